"""Exact choice of the k highest scores, in graph, without sorting.

Scores are compared as 32-bit integer keys that have the order of the numbers, so that a device
that flushes denormals to zero makes the same choice as any other. Two methods find the k-th
largest key, and agree bit for bit:

* `"histogram"` counts how often each value of the keys' highest bits occurs, and so finds the
  highest bits of the k-th largest key. Then it does the same for the next bits, among the keys that
  have these highest bits. It is the faster method without XLA.
* `"bit_search"` finds the key bit by bit, and counts keys once for each bit. All its shapes are
  static, so XLA compiles it, for TPUs too.
"""

import tensorflow as tf

from keras_tickets._checks import check_one_of

METHODS = ("histogram", "bit_search")

_INFINITY = 0x7F800000
_NAN = -_INFINITY - 1
EXCLUDED = tf.int32.min
_LARGE = 1 << 20
_SHORT_ROW = 16


def choose(
    scores: tf.Tensor,
    k: int | tf.Tensor,
    *,
    among: tf.Tensor | None = None,
    method: str = "histogram",
) -> tf.Tensor:
    """Marks the `k` highest scores, exactly.

    Ties go to the lowest flat (row-major) index. `-0.0` equals `0.0`, and a NaN ranks below every
    number.

    Args:
        scores: Float tensor of any static shape, compared in float32.
        k: How many to choose: an integer or an int32 scalar tensor. A negative `k` chooses
            nothing; a `k` above the number of allowed positions chooses all of these.
        among: Boolean tensor of the shape of `scores`, `True` where a position may be chosen.
            `None` allows all.
        method: `"histogram"`, or `"bit_search"` for code that XLA compiles. Both choose the same.

    Returns:
        A boolean tensor of the shape of `scores`, `True` at the chosen positions.

    Raises:
        TypeError: If `scores` is not floating point, `k` not an integer or `among` not boolean.
        ValueError: If the shape of `scores` is not static, `among` has a different shape, `k` is
            not a scalar or `method` is unknown.

    Example:

    >>> from keras_tickets._selection import exact
    >>> exact.choose([0.5, 2.0, -1.0, 0.5], 2).numpy().tolist()
    [True, True, False, False]
    """
    scores, k, among = _check(scores, k, among, method)
    if 0 in scores.shape:
        return tf.zeros(scores.shape, tf.bool)
    chosen, _ = choose_keys(sort_keys(scores, among, method), k, method)
    return tf.reshape(chosen, scores.shape)


def choose_keys(
    keys: tf.Tensor, k: tf.Tensor, method: str = "histogram"
) -> tuple[tf.Tensor, tf.Tensor]:
    """`choose` for the keys of scores, of which the histogram needs no static number.

    Args:
        keys: int32 tensor of shape (scores,), as `sort_keys` gives them, `EXCLUDED` where a
            position may not be chosen.
        k: int32 scalar.
        method: As in `choose`.

    Returns:
        A boolean tensor of shape (scores,), and the k-th largest key: `EXCLUDED` where there are
        fewer than `k`, the largest for a `k` below 1.
    """
    threshold, needed, ties = _SEARCHES[method](keys, k)
    chosen = tf.cond(
        (needed == ties) | (threshold == EXCLUDED),
        lambda: keys >= tf.maximum(threshold, EXCLUDED + 1),
        lambda: (keys > threshold) | _first(keys == threshold, needed),
    )
    return chosen, threshold


def choose_rows(
    scores: tf.Tensor, k: int | tf.Tensor, *, among: tf.Tensor | None = None
) -> tf.Tensor:
    """Marks the `k` highest scores of each row, exactly. XLA compiles it.

    Ties go to the lowest column; zeros and NaNs are treated as in `choose`. Short rows are ranked
    by comparing each score with every other; long ones are searched bit by bit, all rows at once.

    Args:
        scores: Float tensor of static shape (rows, columns), compared in float32.
        k: How many to choose in each row: an integer, an int32 scalar, or an int32 tensor with a
            number for each row.
        among: Boolean tensor of the shape of `scores`, `True` where a position may be chosen.

    Returns:
        A boolean tensor of the shape of `scores`.

    Raises:
        TypeError: As in `choose`.
        ValueError: As in `choose`, and if the rank of `scores` is not 2 or `k` does not have a
            number for each row.

    Example:

    >>> from keras_tickets._selection import exact
    >>> exact.choose_rows([[1.0, 3.0, 2.0], [5.0, 5.0, 5.0]], 2).numpy().tolist()
    [[False, True, True], [True, True, False]]
    """
    scores = tf.convert_to_tensor(scores)
    if scores.shape.rank != 2:
        raise ValueError(f"`scores` must have rank 2. Received: shape={scores.shape}")
    scores, k, among = _check(scores, k, among, "bit_search", rows=scores.shape[0])
    rows, columns = scores.shape
    if 0 in scores.shape:
        return tf.zeros(scores.shape, tf.bool)
    keys = tf.reshape(sort_keys(scores, among, "bit_search"), (rows, columns))
    if columns <= _SHORT_ROW:
        return tf.transpose(_best_of_columns(tf.transpose(keys), k))
    k = tf.broadcast_to(k, (rows,))[:, None]
    threshold, needed, _ = _bit_search(keys, k, axis=1)
    ties = (keys == threshold) & (keys > EXCLUDED)
    first = tf.cumsum(tf.cast(ties, tf.int32), axis=1) <= needed
    return ((keys > threshold) | (ties & first)) & (k > 0)


def _best_of_columns(keys, k):
    """Marks the k largest keys of each column, by counting how many come before each."""
    below = tf.range(keys.shape[0])[:, None]
    before = tf.zeros_like(keys)
    for i, key in enumerate(tf.unstack(keys)):
        before += tf.cast(key >= keys + tf.cast(below <= i, tf.int32), tf.int32)
    return (before < k) & (keys > EXCLUDED)


def kth_largest(
    scores: tf.Tensor,
    k: int | tf.Tensor,
    *,
    among: tf.Tensor | None = None,
    method: str = "histogram",
) -> tf.Tensor:
    """Finds the value of the `k`-th largest score, counting from 1.

    Args:
        scores: Float tensor of any static shape that is not empty, compared in float32.
        k: Rank, an integer or an int32 scalar tensor. Less than 1 counts as 1.
        among: Boolean tensor of the shape of `scores`, `True` where a position counts. `None`
            counts all.
        method: As in `choose`.

    Returns:
        A float32 scalar, NaN if that score is a NaN or fewer than `k` positions are allowed.

    Raises:
        TypeError: As in `choose`.
        ValueError: As in `choose`, and if `scores` is empty.

    Example:

    >>> from keras_tickets._selection import exact
    >>> float(exact.kth_largest([0.5, 2.0, -1.0, 0.5], 2))
    0.5
    """
    scores, k, among = _check(scores, k, among, method)
    if 0 in scores.shape:
        raise ValueError(f"`scores` must not be empty. Received: shape={scores.shape}")
    keys = sort_keys(scores, among, method)
    threshold, _, _ = _SEARCHES[method](keys, tf.maximum(k, 1))
    number = tf.bitcast(_mirror_negative(threshold), tf.float32)
    return tf.where(threshold <= _NAN, tf.constant(float("nan")), number)


def _check(scores, k, among, method, rows=None):
    check_one_of("method", method, METHODS)
    scores = tf.convert_to_tensor(scores)
    if not scores.dtype.is_floating:
        raise TypeError(f"`scores` must be floating point. Received: dtype={scores.dtype.name}")
    if not scores.shape.is_fully_defined():
        raise ValueError(f"`scores` must have a static shape. Received: shape={scores.shape}")
    k = tf.convert_to_tensor(k)
    if not k.dtype.is_integer:
        raise TypeError(f"`k` must be an integer. Received: dtype={k.dtype.name}")
    if k.shape.rank != 0 and (rows is None or k.shape != (rows,)):
        each = "" if rows is None else f" or have one number for each of {rows} rows"
        raise ValueError(f"`k` must be a scalar{each}. Received: shape={k.shape}")
    if among is not None:
        among = tf.convert_to_tensor(among)
        if among.dtype != tf.bool:
            raise TypeError(f"`among` must be boolean. Received: dtype={among.dtype.name}")
        if among.shape != scores.shape:
            raise ValueError(
                f"`among` must have the shape of `scores`, {scores.shape}. "
                f"Received: shape={among.shape}"
            )
    return tf.cast(scores, tf.float32), tf.cast(k, tf.int32), among


def sort_keys(
    scores: tf.Tensor, among: tf.Tensor | None = None, method: str = "histogram"
) -> tf.Tensor:
    """Flat int32 keys in the order of the scores; `EXCLUDED`, the lowest, where none is allowed.

    Args:
        scores: float32 tensor of any shape.
        among: As in `choose`.
        method: As in `choose`.
    """
    bits = tf.bitcast(tf.reshape(scores, [-1]), tf.int32)
    if method == "histogram":
        plain = tf.reduce_max(tf.bitcast(bits, tf.uint32)) <= _INFINITY
        keys = tf.cond(plain, lambda: bits, lambda: _signed_keys(bits))
    else:
        keys = _signed_keys(bits)
    if among is None:
        return keys
    return tf.where(tf.reshape(among, [-1]), keys, EXCLUDED)


def _signed_keys(bits):
    keys = _mirror_negative(bits)
    return tf.where(tf.abs(keys) > _INFINITY, _NAN, keys)


def _mirror_negative(bits):
    """Converts sign and magnitude to two's complement, and back. Both zeros become 0."""
    return tf.where(bits < 0, tf.int32.min - bits, bits)


def _histogram_search(keys, k):
    """Finds the k-th largest key, digit by digit.

    Returns:
        That key (`EXCLUDED` if there are fewer than `k` keys, the largest one if `k` is below 1);
        how many keys equal to it belong to the k largest; and how many keys are equal to it.
    """
    few = keys.shape[0] is not None and keys.shape[0] < _LARGE
    widths = (11, 11, 10) if few else (16, 16)
    unsigned = tf.bitcast(keys, tf.uint32)
    prefix = tf.constant(1 << 31, tf.uint32)
    shift = 32
    for width in widths:
        shift -= width
        digits = tf.bitwise.right_shift(tf.bitwise.bitwise_xor(unsigned, prefix), shift)
        counts = _count(tf.minimum(digits, 1 << width) if shift == 0 else digits, 1 << width)
        up_to_here = tf.cumsum(counts, reverse=True)
        digit = tf.maximum(_count_true(up_to_here >= tf.maximum(k, 1)) - 1, 0)
        k -= tf.gather(up_to_here - counts, digit)
        digit_bits = tf.bitcast(tf.bitwise.left_shift(digit, shift), tf.uint32)
        prefix = tf.bitwise.bitwise_xor(prefix, digit_bits)
    return tf.bitcast(prefix, tf.int32), k, tf.gather(counts, digit)


def _count(values, size):
    """How often each integer from 0 to `size` - 1 occurs among the values."""
    return tf.raw_ops.DenseBincount(
        input=tf.bitcast(values, tf.int32),
        size=size,
        weights=tf.constant([], tf.int32),
        binary_output=False,
    )


def _bit_search(keys, k, axis=None):
    """Like `_histogram_search`, over all keys, or along an axis with a `k` for each line of it."""
    at_least = tf.maximum(k, 1)

    def settle(bit, threshold):
        candidate = tf.bitwise.bitwise_xor(threshold, tf.bitwise.left_shift(1, bit))
        enough = _count_true(keys >= candidate, axis) >= at_least
        return bit - 1, tf.where(enough, candidate, threshold)

    _, threshold = tf.while_loop(
        lambda bit, _: bit >= 0,
        settle,
        (tf.constant(31), tf.fill(k.shape, EXCLUDED)),
        maximum_iterations=32,
    )
    above, ties = _count_true(keys > threshold, axis), _count_true(keys == threshold, axis)
    return threshold, k - above, ties


def _count_true(condition, axis=None):
    return tf.reduce_sum(tf.cast(condition, tf.int32), axis, keepdims=axis is not None)


def _first(ties, needed):
    """Marks the first `needed` entries of `ties` that are `True`; there must be more than that.

    The entries are laid out in rows. Counting rows, and then entries within one row, is cheaper
    than a running count of all.
    """
    size = ties.shape[0]
    if size is None:
        return ties & (tf.cumsum(tf.cast(ties, tf.int32)) <= needed)
    width = 1 << (size.bit_length() // 2)
    rows = tf.reshape(tf.pad(ties, [[0, -size % width]]), [-1, width])
    in_rows = tf.reduce_sum(tf.cast(rows, tf.int32), axis=1)
    up_to_row = tf.cumsum(in_rows)
    row = _count_true(up_to_row <= needed)
    up_to_column = tf.gather(up_to_row - in_rows, row) + tf.cumsum(
        tf.cast(tf.gather(rows, row), tf.int32)
    )
    end = row * width + _count_true(up_to_column <= needed)
    return ties & (tf.range(size) < end)


_SEARCHES = {"histogram": _histogram_search, "bit_search": _bit_search}
