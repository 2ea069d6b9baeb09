"""Bytes that a model takes with its kernels dense, masked or stored sparsely."""

import dataclasses
from collections.abc import Iterable

import keras
import numpy as np

from keras_tickets import _keras_compat

_MASK, _INDEX = 1, 8  # bytes of a position


@dataclasses.dataclass(frozen=True)
class KernelSize:
    """What the memory of a kernel depends on.

    Attributes:
        size: Number of weights, zeros included.
        nonzeros: Number of weights that a mask leaves.
        itemsize: Bytes of a weight.
        can_be_sparse: Whether it can be stored sparsely; it is masked otherwise.
    """

    size: int
    nonzeros: int
    itemsize: int
    can_be_sparse: bool


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes that the weights of a model take, and what training holds beside them.

    Activations are left out, and so is what TensorFlow needs for itself.

    Attributes:
        weights: Weights, or the values of those that are stored sparsely.
        masks: Masks at one byte a weight, or indices at eight bytes a value.
        gradients: Gradients; with masks the dense one and the masked one.
        slots: The optimizer's variables of the weights' shapes.
        disk: The weights in a `.keras` file, with masks at one bit a weight.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(100, use_bias=False)])
    memory = kt.plan(model, 0.99).memory
    assert memory["masked"].masks == 10_000 and memory["sparse"].training < 2_500
    ```
    """

    weights: int
    masks: int
    gradients: int
    slots: int
    disk: int

    @property
    def training(self) -> int:
        """All that training holds."""
        return self.weights + self.masks + self.gradients + self.slots

    @property
    def ram(self) -> int:
        """What the loaded model holds: weights and masks."""
        return self.weights + self.masks


def memory_of(
    kernels: Iterable[KernelSize], others: int, slots_per_weight: int
) -> dict[str, Memory]:
    """The memory of a model by how its kernels are stored.

    Args:
        kernels: The kernels that have or can have masks.
        others: Bytes of the other weights, which are dense in any case.
        slots_per_weight: Variables of an optimizer for each weight.

    Returns:
        `{"dense": …, "masked": …, "sparse": …}`.
    """
    kernels = list(kernels)
    return {
        "dense": _total(others, slots_per_weight, map(_dense, kernels)),
        "masked": _total(others, slots_per_weight, map(_masked, kernels)),
        "sparse": _total(
            others,
            slots_per_weight,
            [_sparse(k) if k.can_be_sparse else _masked(k) for k in kernels],
        ),
    }


def slots_per_weight(model: keras.Model) -> int | None:
    """Variables that the optimizer of a compiled model has for each weight; `None` without one."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return None
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    core = _keras_compat.optimizer_core(optimizer)
    again = type(core).from_config(core.get_config())
    variable = keras.Variable(np.zeros((2, 3), "float32"))
    slots = _keras_compat.build_recording_slots(again, [variable])
    return sum(tuple(slot.shape) == (2, 3) for _, slot, _ in slots)


def _dense(kernel: KernelSize) -> tuple[int, int, int, int]:
    """Bytes of weights, of masks in memory and on disk, and the number of gradients."""
    return kernel.size * kernel.itemsize, 0, 0, 1


def _masked(kernel: KernelSize) -> tuple[int, int, int, int]:
    """Bytes of weights, of masks in memory and on disk, and the number of gradients."""
    return kernel.size * kernel.itemsize, kernel.size * _MASK, -(-kernel.size // 8), 2


def _sparse(kernel: KernelSize) -> tuple[int, int, int, int]:
    positions = kernel.nonzeros * _INDEX
    return kernel.nonzeros * kernel.itemsize, positions, positions, 1


def _total(others, slots, parts) -> Memory:
    weights, masks, gradients, disk = others, 0, others, others
    for values, positions, stored_positions, passes in parts:
        weights += values
        masks += positions
        gradients += passes * values
        disk += values + stored_positions
    return Memory(weights, masks, gradients, slots * weights, disk)
