"""Turns what users may pass as a schedule into one."""

import numbers

import keras

from keras_tickets.schedules.drop_fractions import Constant, Schedule
from keras_tickets.schedules.ramps import PolynomialDecay, Ramp
from keras_tickets.schedules.tfmot_ramp import TfmotRamp, is_pruning_schedule


def get(identifier: float | dict | Schedule) -> Schedule:
    """Resolves a drop fraction to a schedule.

    Args:
        identifier: A number in [0, 1) for a constant fraction; a schedule, which is returned as it
            is; or its serialized form.

    Returns:
        A `Schedule`.

    Raises:
        TypeError: If `identifier` is none of these.
        ValueError: If it is a number outside [0, 1).

    Example:

    >>> import keras_tickets as kt
    >>> kt.schedules.get(0.3)
    Constant(initial=0.3)
    """
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, Schedule):
        return identifier
    if isinstance(identifier, numbers.Real) and not isinstance(identifier, bool):
        return Constant(float(identifier))
    raise TypeError(
        "A drop fraction must be a number in [0, 1) or an object of `kt.schedules`. "
        f"Received: {identifier!r}"
    )


def get_ramp(identifier: Ramp | dict | object | None) -> Ramp:
    """Resolves a schedule of gradual pruning to a ramp.

    Args:
        identifier: A ramp, which is returned as it is; its serialized form; a `PruningSchedule` of
            tensorflow-model-optimization; or `None` for the cubic ramp to each kernel's target.

    Returns:
        A `Ramp`.

    Raises:
        TypeError: If `identifier` is none of these.
        ValueError: If the schedule's target goes down.

    Example:

    >>> import keras_tickets as kt
    >>> kt.schedules.get_ramp(None)
    PolynomialDecay(initial_sparsity=0.0, final_sparsity=None, power=3.0)
    """
    if identifier is None:
        return PolynomialDecay()
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, Ramp):
        return identifier
    if is_pruning_schedule(identifier):
        return TfmotRamp.of(identifier)
    raise TypeError(
        "`schedule` must be a ramp of `kt.schedules` (PolynomialDecay, CosineRamp, "
        "ConstantSparsity) or a PruningSchedule of tensorflow-model-optimization. Received: "
        f"schedule={identifier!r}"
    )
