"""Collects what a forward pass computes with kernels, for the dense gradients."""

import contextlib
import threading
from collections.abc import Iterable, Iterator

import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._masked_kernel import MaskedKernel, apply_mask
from keras_tickets._sparse_storage.kernel import SparseKernel


class _Scopes(threading.local):
    """What is open in this thread."""

    collected: tuple[dict[MaskedKernel | SparseKernel, list[tuple]], ...] = ()
    at_rest: frozenset[MaskedKernel] = frozenset()


_scopes = _Scopes()


@contextlib.contextmanager
def collect_masked_values() -> Iterator[dict[MaskedKernel | SparseKernel, list[tuple]]]:
    """Collects the masked kernels of a forward pass, and the products with sparse kernels.

    The gradient of a masked kernel is its dense gradient. That of a product with a sparse kernel is
    one factor of the dense gradient, and the inputs are the other.

    Yields:
        `{record of a kernel: [tensors, …]}`, filled while layers are called in this thread: each
        call adds `(masked kernel,)` or `(product, inputs)`.
    """
    collected: dict[MaskedKernel | SparseKernel, list[tuple]] = {}
    outer = _scopes.collected
    _scopes.collected = (*outer, collected)
    try:
        yield collected
    finally:
        _scopes.collected = outer


def collect(record: MaskedKernel | SparseKernel, *tensors: tf.Tensor) -> None:
    """Adds a masked kernel, or a product with a sparse kernel, to every open collection.

    Args:
        record: The kernel.
        *tensors: Its masked value; or, if it is stored sparsely, the product and the inputs.
    """
    for collected in _scopes.collected:
        collected.setdefault(record, []).append(tensors)


@contextlib.contextmanager
def kernels_at_rest(records: Iterable[MaskedKernel]) -> Iterator[None]:
    """Says of kernels that they are 0 off their masks: they are their own masked kernels.

    The gradient of such a kernel is its dense gradient and that of its regularizer. It must be
    masked before a step.

    Args:
        records: The kernels. Others are masked as ever in layers that are called in this thread.
    """
    outer = _scopes.at_rest
    _scopes.at_rest = frozenset(records)
    try:
        yield
    finally:
        _scopes.at_rest = outer


def masked_value(record: MaskedKernel) -> tf.Tensor:
    """The kernel that a layer computes with, 0 off the mask; `collect` gets it too.

    Args:
        record: The kernel and its mask.
    """
    value = _keras_compat.uncast(record.kernel)
    if record in _scopes.at_rest:
        # A tensor of its own, because the dense gradient leaves out regularizers. It is not made by
        # `tf.identity`, which hands its gradient on as it is: `tf.GradientTape` never frees a
        # gradient that it returns twice.
        value = tf.reshape(value, value.shape)
    else:
        value = apply_mask(_keras_compat.uncast(record.mask), value)
    collect(record, value)
    return value
