"""Tensors that stand in for sparse kernels while a model is traced for a converter."""

import contextlib
import threading
from collections.abc import Iterator, Mapping

import tensorflow as tf

from keras_tickets._sparse_storage.kernel import SparseKernel


class _Scope(threading.local):
    """What is open in this thread."""

    kernels: Mapping[SparseKernel, tf.Tensor | None] = {}


_scope = _Scope()


@contextlib.contextmanager
def standing_in(kernels: Mapping[SparseKernel, tf.Tensor | None]) -> Iterator[None]:
    """Lets layers multiply with other tensors in place of their sparse kernels.

    Args:
        kernels: For each kernel a float32 tensor of shape (units, inputs), whose values need not
            exist; or `None` where none is called, but may be written to a SavedModel.
    """
    outer = _scope.kernels
    _scope.kernels = kernels
    try:
        yield
    finally:
        _scope.kernels = outer


def has_stand_in(kernel: SparseKernel) -> bool:
    """Whether a tensor stands in for a kernel, in this thread."""
    return kernel in _scope.kernels


def stand_in(kernel: SparseKernel) -> tf.Tensor | None:
    """The tensor that stands in for a kernel, of shape (units, inputs)."""
    return _scope.kernels.get(kernel)
