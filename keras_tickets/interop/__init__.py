"""Conversion of models from other libraries."""

from keras_tickets.interop.from_tfmot import from_tfmot

__all__ = ["from_tfmot"]
