"""What a forward pass computed with kernels, whose gradients are or make the dense gradients."""

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

    The gradients of masked kernels are the dense gradients by which sparse optimizers grow; those
    of products are a factor of them, with the inputs.

    Yields:
        `{record of a kernel: [tensors, …]}`, filled as layers are called in this thread: `(masked
        kernel,)` or `(product, inputs)`. A layer that is called twice adds two.
    """
    collected: dict[MaskedKernel | SparseKernel, list[tuple]] = {}
    outer = getattr(_collector, "open", ())
    _collector.open = (*outer, collected)
    try:
        yield collected
    finally:
        _collector.open = outer


def collect(record: MaskedKernel | SparseKernel, *tensors: tf.Tensor) -> None:
    """Adds a masked kernel, or a product with a sparse kernel and its inputs, to what is collected.

    Args:
        record: The kernel.
        *tensors: Its masked value; or, where it is stored sparsely, the product and the inputs.
    """
    for collected in getattr(_collector, "open", ()):
        collected.setdefault(record, []).append(tensors)
