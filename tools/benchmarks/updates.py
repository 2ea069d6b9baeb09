"""One RigL update of a kernel, against the same rule by sorting all scores."""

import argparse
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from rich.table import Table

import keras_tickets as kt
from benchmarks.subjects import DROP_FRACTION, SPARSITY, UPDATE_EVERY, rigl
from benchmarks.timing import ratio, spread, take_turns, timed

KERNELS = {
    30_000: (300, 100),
    235_200: (784, 300),
    2_359_296: (3, 3, 512, 512),
    23_000_000: (4600, 5000),
}


def rigl_update(dense: keras.Model, jit_compile: bool = False) -> tuple[Callable, list, list]:
    """RigL's update of a model as a function of the gradients; gradients; what it updates."""
    model = kt.sparsify(dense, SPARSITY)
    optimizer = rigl()
    optimizer.build(model.trainable_variables)
    optimizer.compiles_under_xla = jit_compile
    strategy, step = tf.distribute.get_strategy(), tf.constant(UPDATE_EVERY, tf.int64)

    @tf.function(jit_compile=jit_compile)
    def update(gradients):
        optimizer.update_masks(strategy, optimizer.kernel_states, gradients, step)
        optimizer.rest(strategy)
        return tf.constant(0)

    generator = np.random.default_rng(1)
    gradients = [
        tf.constant(generator.standard_normal(state.masked.kernel.shape, np.float32))
        for state in optimizer.kernel_states
    ]
    return update, gradients, optimizer.kernel_states


def full_sort_update(state, jit_compile: bool) -> tuple[Callable, tf.Variable]:
    """The same rule on a copy of a kernel, each of its two choices by a sort of all scores."""
    (slot, _), *_ = state.slots
    kernel, mask, slot = map(tf.Variable, (state.masked.kernel, state.masked.mask, slot))

    def best(scores, k):
        order = tf.argsort(tf.reshape(scores, [-1]), direction="DESCENDING", stable=True)
        ranked = tf.range(tf.size(scores)) < k
        chosen = tf.scatter_nd(order[:, None], tf.cast(ranked, tf.int32), tf.shape(order))
        return tf.reshape(chosen > 0, scores.shape)

    @tf.function(jit_compile=jit_compile)
    def update(gradients):
        old = tf.convert_to_tensor(mask)
        active = tf.reduce_sum(tf.cast(old, tf.int32))
        dropped = tf.cast(tf.cast(active, tf.float32) * DROP_FRACTION, tf.int32)
        kept = best(tf.where(old, tf.abs(kernel), -np.inf), active - dropped)
        new = kept | best(tf.where(kept, -np.inf, tf.abs(gradients[0])), dropped)
        kernel.assign(tf.where(new, kernel, 0.0))
        slot.assign(tf.where(new, slot, 0.0))
        mask.assign(new)
        return tf.constant(0)

    return update, mask


def one_kernel(shape: tuple[int, ...]) -> keras.Model:
    """A model with a single kernel of a shape."""
    if len(shape) == 2:
        layer, inputs = keras.layers.Dense(shape[-1], use_bias=False), keras.Input(shape[:1])
    else:
        layer = keras.layers.Conv2D(shape[-1], shape[:2], use_bias=False)
        inputs = keras.Input((*shape[:2], shape[2]))
    return keras.Model(inputs, layer(inputs))


def benchmark_updates(size: int, options: argparse.Namespace) -> tuple[Table, dict]:
    dense, blocks, masks = one_kernel(KERNELS[size]), {}, {}
    for jit_compile in (False, True):
        where = "XLA" if jit_compile else "graph"
        update, gradients, (state,) = rigl_update(dense, jit_compile)
        sorting, mask = full_sort_update(state, jit_compile)
        blocks |= {
            where: timed(update, gradients),
            f"{where}, full sort": timed(sorting, gradients),
        }
        masks |= {where: state.masked.mask, f"{where}, full sort": mask}
    seconds = take_turns(blocks, options.rounds)
    for name, mask in masks.items():
        if not np.array_equal(mask, masks["graph"]):
            raise SystemExit(f"The updates of {size:,} weights by {name!r} and 'graph' differ.")

    table = Table(
        title=f"One RigL update, {size:,} weights {KERNELS[size]}: {options.rounds} rounds"
    )
    table.add_column("")
    for column in ("ms", "ms, full sort", "full sort / ours"):
        table.add_column(column, justify="right")
    for where in ("graph", "XLA"):
        ours, sorting = seconds[where], seconds[f"{where}, full sort"]
        table.add_row(
            where, spread(ours, 1e3), spread(sorting, 1e3), spread(ratio(sorting, ours), digits=1)
        )
    table.caption = "All masks are the same, element for element."
    return table, seconds
