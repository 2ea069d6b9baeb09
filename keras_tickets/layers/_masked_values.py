"""The masked kernels of a forward pass, whose gradients are the dense gradients."""

import contextlib
import threading
from collections.abc import Iterator

import tensorflow as tf

from keras_tickets.masks import MaskedKernel

_collector = threading.local()


@contextlib.contextmanager
def collect_masked_values() -> Iterator[dict[MaskedKernel, list[tf.Tensor]]]:
    """Collects the masked-kernel tensors of a forward pass.

    Their gradients are the dense gradients by which sparse optimizers grow.

    Yields:
        `{record of a kernel: [tensor, …]}`, filled as `Sparse` layers are called in this thread; a
        layer that is called twice adds two tensors.
    """
    collected: dict[MaskedKernel, list[tf.Tensor]] = {}
    outer = getattr(_collector, "open", ())
    _collector.open = (*outer, collected)
    try:
        yield collected
    finally:
        _collector.open = outer


def collect(record: MaskedKernel, value: tf.Tensor) -> None:
    """Adds a masked kernel to what is being collected in this thread."""
    for collected in getattr(_collector, "open", ()):
        collected.setdefault(record, []).append(value)
