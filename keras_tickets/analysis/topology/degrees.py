"""Degrees: how many live weights each unit of a kernel has."""

import dataclasses

import keras
import numpy as np

from keras_tickets._kernels.find import all_kernels
from keras_tickets.analysis.networks import Masks, check_same_kernels, masks_of, masks_over_weights


@dataclasses.dataclass(frozen=True, eq=False)
class Degrees:
    """The live weights of each unit of a kernel.

    Attributes:
        fan_in: (outputs,) integers: live weights into each output unit or channel.
        fan_out: (inputs,) integers: live weights out of each input unit or channel.
        size: Number of weights, live or not.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    found = kt.analysis.degrees({"fc": np.array([[1, 1], [1, 0], [0, 0]])})["fc"]
    assert found.fan_in.tolist() == [2, 1] and found.fan_out.tolist() == [2, 1, 0]
    ```
    """

    fan_in: np.ndarray
    fan_out: np.ndarray
    size: int

    @property
    def spread_in(self) -> float:
        """Standard deviation of `fan_in`, over its expectation for random masks.

        1 for masks drawn at random, 0 where all units have the same fan-in, and more than 1 where
        connections gather at some units; NaN where random masks have no spread either.
        """
        return _spread(self.fan_in, self.size)

    @property
    def spread_out(self) -> float:
        """The same for `fan_out`."""
        return _spread(self.fan_out, self.size)


@dataclasses.dataclass(frozen=True, eq=False)
class DegreeChange:
    """How the degrees of a kernel's units differ between two masks.

    Attributes:
        fan_in: (outputs,) integers: second minus first.
        fan_out: (inputs,) integers: second minus first.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    a, b = {"fc": np.array([[1, 1], [0, 0]])}, {"fc": np.array([[1, 0], [1, 0]])}
    change = kt.analysis.degree_change(a, b)["fc"]
    assert change.fan_in.tolist() == [1, -1] and change.fan_out.tolist() == [-1, 1]
    ```
    """

    fan_in: np.ndarray
    fan_out: np.ndarray


def degrees(network: Masks) -> dict[str, Degrees]:
    """Counts the live weights of each unit.

    In a convolution, those at all spatial positions count together.

    Args:
        network: A sparse model, which knows what the axes of its kernels mean; or a `kt.Ticket` or
            `{kernel path: mask}`, where outputs are the last axis, inputs the one before.

    Returns:
        `{kernel path: Degrees}`.

    Raises:
        TypeError: `network` is none of these.
        ValueError: It has no masks, or they are in another basis.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    layers = [keras.Input((8,)), keras.layers.Dense(4, name="fc")]
    found = kt.analysis.degrees(kt.sparsify(keras.Sequential(layers), 0.5))
    assert found["fc/kernel"].fan_in.sum() == 16
    ```

    References:
        - [Mocanu et al., 2018, "Scalable training of artificial neural networks with adaptive
          sparse connectivity inspired by network science"](https://arxiv.org/abs/1707.04780)
    """
    return _degrees(network, network)


def _degrees(network, *models) -> dict[str, Degrees]:
    """Those of a network, with the axes of its kernels as the models among `models` have them."""
    masks = masks_over_weights(network, "Counting connections")
    axes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
        path: ((mask.ndim - 2,), (mask.ndim - 1,)) for path, mask in masks.items()
    }
    for model in models:
        if isinstance(model, keras.Model):
            axes |= {k.path: (k.input_axes, k.output_axes) for k in all_kernels(model)}
    return {
        path: Degrees(_count(mask, axes[path][1]), _count(mask, axes[path][0]), mask.size)
        for path, mask in masks.items()
    }


def degree_change(before: Masks, after: Masks) -> dict[str, DegreeChange]:
    """How the degrees of units change from one set of masks to another.

    Args:
        before: As in `degrees`; of a model that trains on, `kt.get_masks(model)`.
        after: The same, for the same kernels. If one of the two is a model, it says for both what
            the axes of its kernels mean.

    Returns:
        `{kernel path: DegreeChange}`.

    Raises:
        ValueError: A kernel is missing in one of them, or the shapes differ.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    masks = {"fc": np.eye(3)}
    assert not kt.analysis.degree_change(masks, masks)["fc"].fan_in.any()
    ```
    """
    check_same_kernels(masks_of(before), masks_of(after))
    first, second = (_degrees(each, before, after) for each in (before, after))
    return {
        path: DegreeChange(
            second[path].fan_in - first[path].fan_in, second[path].fan_out - first[path].fan_out
        )
        for path in first
    }


def _count(mask, kept) -> np.ndarray:
    others = tuple(axis for axis in range(mask.ndim) if axis not in kept)
    return mask.sum(axis=others, dtype=np.int64).reshape(-1)


def _spread(counts, size) -> float:
    """The standard deviation over that of as many draws, without replacement, among all weights."""
    places, live = size / counts.size, counts.sum() / size
    variance = places * live * (1 - live) * (size - places) / max(size - 1, 1)
    return float(np.std(counts) / np.sqrt(variance)) if variance else float("nan")
