"""Drop and grow in kernels that are stored sparsely, as values and their positions."""

from collections.abc import Callable

import tensorflow as tf

from keras_tickets._randomness import scores_at, stream
from keras_tickets._selection import exact, search
from keras_tickets._sparse_storage import OuterProduct, Pattern, find_engine
from keras_tickets._sparse_storage.kernel import SparseKernel
from keras_tickets.optimizers._grow_init import GRADIENTS, grown_values, random_stream
from keras_tickets.optimizers._kernel_state import KernelState

# What a search may hold for each position of a block, and for each weight that grows. Measured were
# 31 to 37 bytes a position; scores below 0 need 12 more.
_BYTES_PER_POSITION = 48
_BYTES_PER_CHOICE = 72
_LARGEST_BLOCK = 2**21  # of positions; larger ones leave the cache and take twice the time


def drop_and_grow(method, state: KernelState, fraction: tf.Tensor, step: tf.Tensor) -> Callable:
    """The update of one kernel, for `update_on_devices`: the weights that masks would choose.

    Args:
        method: A `DropAndGrow` that has `grow_positions`.
        state: The kernel and its slots.
        fraction: float32 scalar in [0, 1], the share of weights that goes.
        step: int64 scalar.
    """
    count = state.masked.count()

    def update(values, indices, *given_and_slots, initial):
        slots = given_and_slots[len(given_and_slots) - len(initial) :]
        given = list(given_and_slots[: len(given_and_slots) - len(initial)])
        product = given.pop(0) if method.needs_dense_gradients else None
        start = tf.convert_to_tensor(given.pop(0)) if given else None
        old, weights = tf.convert_to_tensor(indices), tf.convert_to_tensor(values)
        dropped = tf.cast(tf.cast(count, tf.float32) * fraction, tf.int32)
        kept = exact.choose(method.drop_scores(weights), count - dropped)
        taken = tf.gather(old, tf.where(kept)[:, 0])
        grown = method.grow_positions(state, product, taken, dropped, step)
        new = tf.ensure_shape(tf.sort(tf.concat([taken, grown], 0)), (count,))
        carry, stays = _carry(old, new)
        moved = carry(weights, 0.0)
        if method.grow_init != "zeros":
            begun = _start_values(method, state, weights, new, product, start, step)
            moved = tf.where(stays, moved, begun / method.grow_divisor)
        for slot, rest in zip(slots, initial, strict=True):
            slot.assign(carry(tf.convert_to_tensor(slot), rest))
        values.assign(moved)
        indices.assign(new)

    return update


def _carry(old, new):
    """A function that takes values from their old order to the new one, and what stays."""
    place = tf.minimum(tf.searchsorted(old, new), old.shape[0] - 1)
    stays = tf.gather(old, place) == new

    def carry(values, elsewhere):
        return tf.where(stays, tf.gather(values, place), tf.cast(elsewhere, values.dtype))

    return carry, stays


def _start_values(method, state, weights, new, product, start, step):
    record = state.masked
    gradient = uniform = None
    if method.grow_init in GRADIENTS:
        gradient = gradient_at(record, new, product)
    else:
        uniform = scores_at(new, stream(random_stream(record.name), method.seed, step))
    return grown_values(method.grow_init, weights, record.count(), gradient, start, uniform)


def gradient_at(record: SparseKernel, positions: tf.Tensor, product: OuterProduct) -> tf.Tensor:
    """The dense gradient of a kernel at some of its positions, of shape (positions,)."""
    return find_engine("tensorflow").sample(Pattern(positions, *record.shape), *product)


def block_size(record: SparseKernel, memory: int, share: float, row: int) -> int:
    """How many positions of a kernel a search ranks at once.

    Args:
        record: The kernel.
        memory: Bytes that the search may take.
        share: The largest share of the weights that grows at once.
        row: A block is a multiple of so many positions.

    Raises:
        ValueError: There is no memory for one row.
    """
    choices = int(record.count() * share) * _BYTES_PER_CHOICE
    rows = (memory - choices) // (row * _BYTES_PER_POSITION)
    if rows < 1:
        raise ValueError(
            f"`search_memory` must be at least {choices + row * _BYTES_PER_POSITION:,} bytes for "
            f"kernel {record.name!r} of shape {record.shape}. Received: search_memory={memory}"
        )
    return min(rows, record.size // row, max(_LARGEST_BLOCK // row, 1)) * row


def search_products(
    state: KernelState,
    product: OuterProduct,
    scores: Callable[[tf.Tensor], tf.Tensor],
    count: tf.Tensor,
    *,
    block: int,
    taken: tf.Tensor,
) -> tf.Tensor:
    """The positions of the highest scores of the dense gradient, which is formed in blocks.

    Args:
        state: The kernel.
        product: Its dense gradient.
        scores: Makes scores of gradients, each of its own.
        count: How many, an int32 scalar.
        block: A `block_size` of whole rows.
        taken: int64 tensor, sorted: the positions that are kept.
    """
    gradient = search.product_scores_from(*product, block // state.masked.shape[1])
    return search.best_positions(
        lambda start: scores(gradient(start)), state.masked.size, count, block=block, taken=taken
    )
