"""Optimizers: their slots, counters, accumulation and loss scaling."""

import contextlib

import keras
import tensorflow as tf
from keras.src.utils import tracking


def optimizer_core(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer inside a `LossScaleOptimizer`, or the optimizer itself."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer.inner_optimizer
    return optimizer


def without_tracking(method):
    """Decorates a method so that lists it sets on an optimizer stay plain lists."""
    return tracking.no_automatic_dependency_tracking(method)


@contextlib.contextmanager
def record_slots():
    """Records `(reference variable, slot, initial value)` for every slot made inside the context.

    Slots are found so, never by name: names of slots collide.
    """
    base = keras.optimizers.Optimizer
    original = base.add_variable_from_reference
    slots = []

    def recording(self, reference_variable, name=None, initializer="zeros"):
        slot = original(self, reference_variable, name=name, initializer=initializer)
        with tf.init_scope():
            initial = float(keras.initializers.get(initializer)(shape=(), dtype="float32"))
        slots.append((reference_variable, slot, initial))
        return slot

    base.add_variable_from_reference = recording
    try:
        yield slots
    finally:
        base.add_variable_from_reference = original


def closes_window(optimizer: keras.optimizers.Optimizer) -> tf.Tensor | bool:
    """Whether the next `apply` of the core optimizer ends a gradient-accumulation window."""
    steps = optimizer.gradient_accumulation_steps
    if not steps:
        return True
    return tf.equal((tf.convert_to_tensor(optimizer._iterations) + 1) % steps, 0)


def batches_in_window(optimizer: keras.optimizers.Optimizer) -> tf.Tensor | int:
    """Batches of the present gradient-accumulation window that the core optimizer has seen."""
    steps = optimizer.gradient_accumulation_steps
    return tf.convert_to_tensor(optimizer._iterations) % steps if steps else 0


def learning_rate_at(optimizer: keras.optimizers.Optimizer, step: int) -> float:
    """The learning rate at an optimizer step; where there is no schedule, that of now."""
    rate = optimizer._learning_rate
    is_schedule = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
    return float(rate(step) if is_schedule else optimizer.learning_rate)


def list_all_variables(optimizer: keras.optimizers.Optimizer) -> None:
    """Adds to an optimizer's `variables` those that it has as attributes alone.

    Keras lists them as they are set, but not while an optimizer around it builds. Nadam's product
    of momenta is one: unlisted, it is neither saved nor set back.
    """
    listed = {id(variable) for variable in optimizer.variables}
    for value in vars(optimizer).values():
        if isinstance(value, keras.Variable) and id(value) not in listed:
            optimizer._track_variable(value)


def set_steps(optimizer: keras.optimizers.Optimizer, steps: int) -> None:
    """Sets the core optimizer's counter, of batches where gradients are accumulated."""
    optimizer._iterations.assign(steps)


def skip_step(optimizer: keras.optimizers.Optimizer) -> None:
    """Advances the core optimizer's counter as a step would, without stepping."""
    if optimizer.gradient_accumulation_steps:
        optimizer._backend_reset_gradient_accumulators()
    optimizer._iterations.assign_add(1)


def loss_scale_step(optimizer: keras.optimizers.LossScaleOptimizer, gradients, variables) -> None:
    """A step of a `LossScaleOptimizer` on gradients that are known to be finite."""
    optimizer._stateful_handle_finite_grads(gradients, variables)


def loss_scale_backoff(optimizer: keras.optimizers.LossScaleOptimizer) -> None:
    """What a `LossScaleOptimizer` does where gradients are not finite."""
    optimizer._stateful_handle_non_finite_grads()
