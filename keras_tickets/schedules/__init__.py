"""Schedules: the drop fractions of growing methods, and the ramps of pruning ones."""

import keras

from keras_tickets.schedules.drop_fractions import Constant as Constant
from keras_tickets.schedules.drop_fractions import Cosine as Cosine
from keras_tickets.schedules.drop_fractions import Exponential as Exponential
from keras_tickets.schedules.drop_fractions import InversePower as InversePower
from keras_tickets.schedules.drop_fractions import Linear as Linear
from keras_tickets.schedules.drop_fractions import Schedule as Schedule
from keras_tickets.schedules.drop_fractions import get as get
from keras_tickets.schedules.ramps import ConstantSparsity as ConstantSparsity
from keras_tickets.schedules.ramps import CosineRamp as CosineRamp
from keras_tickets.schedules.ramps import PolynomialDecay as PolynomialDecay
from keras_tickets.schedules.ramps import Ramp as Ramp
from keras_tickets.schedules.tfmot_ramp import TfmotRamp as TfmotRamp
from keras_tickets.schedules.tfmot_ramp import is_schedule


def get_ramp(identifier: Ramp | dict | object | None) -> Ramp:
    """Makes a ramp of what a user may pass as the schedule of gradual pruning.

    Args:
        identifier: A ramp, which is returned as it is, its serialized form, a `PruningSchedule` of
            tensorflow-model-optimization, or `None` for the cubic ramp to each kernel's target.

    Raises:
        TypeError: If `identifier` is none of these.
        ValueError: If the schedule's target goes down.
    """
    if identifier is None:
        return PolynomialDecay()
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, Ramp):
        return identifier
    if is_schedule(identifier):
        return TfmotRamp.of(identifier)
    raise TypeError(
        "`schedule` must be a ramp of `kt.schedules` (PolynomialDecay, CosineRamp, "
        "ConstantSparsity) or a PruningSchedule of tensorflow-model-optimization. Received: "
        f"schedule={identifier!r}"
    )
