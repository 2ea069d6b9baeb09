"""Collects what a forward pass computes with kernels, for the dense gradients."""

import contextlib
import threading
from collections.abc import Iterator

import tensorflow as tf

from keras_tickets._sparse_kernel import SparseKernel
from keras_tickets.masks import MaskedKernel

_collector = threading.local()


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
    outer = getattr(_collector, "open", ())
    _collector.open = (*outer, collected)
    try:
        yield collected
    finally:
        _collector.open = outer


def collect(record: MaskedKernel | SparseKernel, *tensors: tf.Tensor) -> None:
    """Adds a masked kernel, or a product with a sparse kernel, to every open collection.

    Args:
        record: The kernel.
        *tensors: Its masked value; or, if it is stored sparsely, the product and the inputs.
    """
    for collected in getattr(_collector, "open", ()):
        collected.setdefault(record, []).append(tensors)
