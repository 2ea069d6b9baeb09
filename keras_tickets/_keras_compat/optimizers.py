"""Optimizers: their slots, counters, accumulation and loss scaling."""

import contextlib
from collections.abc import Iterator, Sequence

import keras
import tensorflow as tf
from keras.src.utils import tracking

_MULTI_OPTIMIZER = getattr(keras.optimizers, "MultiOptimizer", ())  # not in Keras 3.13


def optimizer_core(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer inside a `LossScaleOptimizer`, or the optimizer itself."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer.inner_optimizer
    return optimizer


def without_tracking(method):
    """Decorates a method so that lists it sets on an optimizer stay plain lists."""
    return tracking.no_automatic_dependency_tracking(method)


def optimizer_parts(optimizer: keras.optimizers.Optimizer) -> list[keras.optimizers.Optimizer]:
    """The optimizer inside any loss scaling, and the parts of a `MultiOptimizer`."""
    core = optimizer_core(optimizer)
    return [core, *(core.optimizers if isinstance(core, _MULTI_OPTIMIZER) else ())]


def build_recording_slots(
    optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]
) -> list[tuple[keras.Variable, keras.Variable, float]]:
    """Builds an optimizer; returns `(variable, slot, initial value)` for each slot that it makes.

    Slots are found so, never by name: names of slots collide. The method that makes them is
    covered on the objects alone, so that optimizers can be built in several threads at once.
    """
    slots: list[tuple[keras.Variable, keras.Variable, float]] = []
    covered = []

    def cover(part):
        if "add_variable_from_reference" not in vars(part):
            vars(part)["add_variable_from_reference"] = _recording(part, slots)
            covered.append(part)
        return part

    for part in optimizer_parts(optimizer):
        cover(part)
    attributes = vars(optimizer_core(optimizer))
    choose = attributes.get("_optimizer_map")
    if choose is not None:
        attributes["_optimizer_map"] = lambda variable: cover(choose(variable))
    try:
        optimizer.build(variables)
    finally:
        for part in covered:
            del vars(part)["add_variable_from_reference"]
        if choose is not None:
            attributes["_optimizer_map"] = choose
    return slots


def _recording(optimizer, slots):
    """The optimizer's `add_variable_from_reference`, which also adds to `slots`."""

    def add_variable_from_reference(reference_variable, name=None, initializer="zeros"):
        add = type(optimizer).add_variable_from_reference
        slot = add(optimizer, reference_variable, name=name, initializer=initializer)
        with tf.init_scope():
            initial = float(keras.initializers.get(initializer)(shape=(), dtype="float32"))
        slots.append((reference_variable, slot, initial))
        return slot

    return add_variable_from_reference


@without_tracking
def build_without_slots(
    optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]
) -> None:
    """Tells an optimizer its variables without the slots that its settings call for."""
    indices = {optimizer._var_key(variable): i for i, variable in enumerate(variables)}
    optimizer._trainable_variables_indices = indices
    optimizer._trainable_variables = list(variables)
    optimizer.built = True


def finish_inner_build(optimizer: keras.optimizers.Optimizer) -> None:
    """Makes a built optimizer fit to be inside another one.

    All its variables are listed, it saves none by itself, and its averages are where
    `keras.callbacks.SwapEMAWeights` looks, which knows one level of wrapping.
    """
    core = optimizer_core(optimizer)
    for part in {id(part): part for part in (*optimizer_parts(optimizer), optimizer)}.values():
        list_all_variables(part)
        vars(part)["save_own_variables"] = vars(part)["load_own_variables"] = _leave_to_wrapper
    if core is not optimizer:
        for name in ("_model_variables_moving_average", "optimizers"):
            if hasattr(core, name):
                vars(optimizer)[name] = getattr(core, name)


def _leave_to_wrapper(store):
    """In place of an optimizer's saving and loading: the one around it does both."""


def completes_step(optimizer: keras.optimizers.Optimizer) -> tf.Tensor | bool:
    """Whether the next `apply` of the core optimizer is the last of those that make up a step."""
    steps = optimizer.gradient_accumulation_steps
    if not steps:
        return True
    return tf.equal((tf.convert_to_tensor(optimizer._iterations) + 1) % steps, 0)


def accumulated_batches(optimizer: keras.optimizers.Optimizer) -> tf.Tensor | int:
    """Batches of the present step whose gradients the core optimizer has accumulated."""
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
    for part in optimizer_parts(optimizer):
        part._iterations.assign(steps)


def skip_step(optimizer: keras.optimizers.Optimizer) -> None:
    """Advances the core optimizer's counters as a step would, without stepping."""
    for part in optimizer_parts(optimizer):
        if part.gradient_accumulation_steps:
            part._backend_reset_gradient_accumulators()
        if part.built:
            part._iterations.assign_add(1)


@contextlib.contextmanager
def no_sum_over_replicas(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Lets an optimizer step without summing gradients over replicas, where there is only one.

    The sum of one gradient is that gradient, but TensorFlow writes a function for it that keeps
    the graph of the whole training step for as long as the process runs.
    """
    parts = optimizer_parts(optimizer)
    for part in parts:
        vars(part)["_all_reduce_sum_gradients"] = list
    try:
        yield
    finally:
        for part in parts:
            del vars(part)["_all_reduce_sum_gradients"]


def loss_scale_step(optimizer: keras.optimizers.LossScaleOptimizer, gradients, variables) -> None:
    """A step of a `LossScaleOptimizer` on gradients that are known to be finite."""
    optimizer._stateful_handle_finite_grads(gradients, variables)


def loss_scale_backoff(optimizer: keras.optimizers.LossScaleOptimizer) -> None:
    """What a `LossScaleOptimizer` does where gradients are not finite."""
    optimizer._stateful_handle_non_finite_grads()
