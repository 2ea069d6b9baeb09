"""What a mask update changes, and how that is done on every device."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_tickets._masked_kernel import apply_mask
from keras_tickets._sparse_storage.kernel import SparseKernel
from keras_tickets.masks import record_of

# Their step leaves a weight at 0 as long as its gradient is 0 and its slots are at rest.
_KEEPS_ZEROS = (
    keras.optimizers.SGD,
    keras.optimizers.Adam,
    keras.optimizers.AdamW,
    keras.optimizers.Adamax,
    keras.optimizers.Nadam,
    keras.optimizers.RMSprop,
    keras.optimizers.Adagrad,
    keras.optimizers.Adadelta,
    keras.optimizers.Lion,
    keras.optimizers.Ftrl,
)
_DIVISORS = ("epsilon", "initial_accumulator_value")


@dataclasses.dataclass
class KernelState:
    """What a mask update changes: a masked kernel and the inner optimizer's slots for it.

    Attributes:
        masked: The record of the kernel: a `MaskedKernel`; or a `SparseKernel`, for methods whose
            `storages` include "sparse".
        slots: `(slot, initial value)` for every slot of the kernel's shape.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    dense = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="fc")])
    model = kt.sparsify(dense, 0.5)
    optimizer = kt.optimizers.Static(keras.optimizers.SGD(momentum=0.9))
    optimizer.build(model.trainable_variables)
    (state,) = optimizer.kernel_states
    assert state.masked.count() == 16 and len(state.slots) == 1
    ```
    """

    masked: Any
    slots: list[tuple[keras.Variable, float]]


def find_kernel_states(
    variables: Sequence[keras.Variable], slots: list[tuple[keras.Variable, keras.Variable, float]]
) -> list[KernelState]:
    """The masked kernels among some variables, with their slots.

    The record of a kernel that is stored sparsely gets the slots too: they follow its values when
    positions are set.

    Args:
        variables: Trainable variables.
        slots: `(variable, slot, initial value)` for every slot that an optimizer has made for them.
    """
    states = []
    for variable in variables:
        if (masked := record_of(variable)) is not None:
            own = [(slot, value) for reference, slot, value in slots if reference is variable]
            same = [(s, v) for s, v in own if tuple(s.shape) == tuple(variable.shape)]
            if isinstance(masked, SparseKernel):
                masked.slots = same
            states.append(KernelState(masked, same))
    return states


def keeps_zeros(optimizer: keras.optimizers.Optimizer, states: list[KernelState]) -> bool:
    """Whether an optimizer keeps weights at 0 off the mask without further help.

    Only exact types count, because a subclass may step in another way.
    """
    constrained = any(state.masked.kernel.constraint for state in states)
    # What steps are divided by: where it is 0, the step is NaN.
    divides = all(getattr(optimizer, name, 1.0) > 0 for name in _DIVISORS)
    return type(optimizer) in _KEEPS_ZEROS and divides and not constrained


def add_beside_mask(
    optimizer, state: KernelState, name: str, shape=None, dtype="bool", initializer="zeros"
) -> keras.Variable:
    """Adds a variable to an optimizer, on the devices of a kernel's mask.

    Args:
        optimizer: A Keras optimizer.
        state: The kernel.
        name: Name of the variable.
        shape: Its shape; the kernel's by default.
        dtype: Its dtype.
        initializer: Keras initializer of its values; by default all are 0 or `False`.
    """
    with tf.distribute.get_strategy().extended.colocate_vars_with(state.masked.support.value):
        return optimizer.add_variable(
            state.masked.kernel.shape if shape is None else shape,
            initializer=initializer,
            dtype=dtype,
            aggregation="only_first_replica",
            name=f"{name}_{state.masked.name.replace('/', '_')}",
        )


def put_to_rest(kernel, mask, *slots, initial) -> None:
    """Sets a kernel to 0 and its slots to their initial values where its mask is `False`.

    A function for `update_on_devices`, which calls it on each device.
    """
    mask = tf.convert_to_tensor(mask)
    for variable, value in zip((kernel, *slots), (0.0, *initial), strict=True):
        variable.assign(apply_mask(mask, tf.convert_to_tensor(variable), value))


def update_on_devices(strategy, state: KernelState, function: Callable, *args) -> None:
    """Runs `function` on each device's copy of a kernel, its mask and its slots.

    Args:
        strategy: The `tf.distribute` strategy.
        state: What to update.
        function: Called with the kernel, the mask (or the indices of one that is stored sparsely),
            `args`, the slots, and, by the name `initial`, the slots' initial values.
        *args: Distributed or plain tensors.
    """
    initial = [value for _, value in state.slots]
    variables = [slot.value for slot, _ in state.slots]
    strategy.extended.update(
        state.masked.kernel.value,
        lambda *values: function(*values, initial=initial),
        args=(state.masked.support.value, *args, *variables),
        group=False,
    )


def when(condition: tf.Tensor, then: Callable, otherwise: Callable = lambda: None) -> None:
    """Runs one of two functions for their effects, in graph.

    Args:
        condition: Boolean scalar.
        then: Called where it is true.
        otherwise: Called where it is not.
    """

    def effect(function):
        def run():
            function()
            return tf.constant(0)

        return run

    tf.cond(condition, effect(then), effect(otherwise))


def apart(function: Callable[[], None], strategy: tf.distribute.Strategy) -> Callable[[], None]:
    """A function for `when`, as a single operation of the graph, for what seldom runs.

    TensorFlow writes both branches of a condition into the graph around it, and passes over each
    operation of the one that does not run. A function of its own is passed over as a whole.

    Args:
        function: Called for its effects.
        strategy: The `tf.distribute` strategy. With several replicas, and where there is no graph,
            the function stays as it is.
    """
    if tf.executing_eagerly() or strategy.num_replicas_in_sync > 1:
        return function
    alone = {"_noinline": True}
    return tf.function(function, autograph=False, experimental_attributes=alone)
