"""What other libraries call things, in the terms of this one."""

from keras_tickets.interop.from_tfmot import from_tfmot

__all__ = ["from_tfmot"]
