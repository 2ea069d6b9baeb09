"""Applies recorded weights, gradients and steps under one strategy, and under none.

Run by `test_strategies.py`.
"""

import keras
import numpy as np
import tensorflow as tf
from method_recipes import METHODS
from worker import SPEC, make_strategy

import keras_tickets as kt

SHAPE, STEPS = (37, 23), 24
UPDATES = {"update_every": 2, "begin": 1, "end": STEPS, "drop_fraction": 0.5, "seed": 3}


def main():
    strategy = make_strategy(SPEC["mode"])
    masks, kernels = train(strategy, SPEC.get("jit_compile", False))
    expected_masks, expected_kernels = train(tf.distribute.get_strategy(), jit_compile=False)
    np.savez(
        SPEC["output"],
        masks=masks,
        kernels=kernels,
        expected_masks=expected_masks,
        expected_kernels=expected_kernels,
    )


def train(strategy, jit_compile):
    """The masks and the kernels after each step."""
    replicas = strategy.num_replicas_in_sync
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(STEPS, *SHAPE)).astype("float32")
    dense = (rng.integers(-64, 65, size=(STEPS, *SHAPE)) / 32).astype("float32")
    with strategy.scope():
        keras.utils.set_random_seed(1)
        method = METHODS[SPEC["method"]]
        inner = keras.layers.Dense(SHAPE[1], use_bias=False, name="fc")
        layer = kt.layers.Sparse(inner, 0.8, structure=method.structure, mask=method.mask)
        layer.build((None, SHAPE[0]))
        (record,) = layer.masked_kernels
        optimizer = method.make(keras.optimizers.SGD(0.0), **UPDATES)
        optimizer.compiles_under_xla = jit_compile
        optimizer.build([record.kernel])

    def apply(gradient):
        share = gradient / replicas  # Exact: the replicas' shares add up to the recording.
        optimizer.apply([tf.zeros(SHAPE)], [record.kernel], dense_gradients={record.name: share})

    step = tf.function(apply, jit_compile=True) if jit_compile else apply

    @tf.function
    def run(gradient):
        strategy.run(step, args=(gradient,))

    masks, kernels = [], []
    for t in range(STEPS):
        raw = optimizer.trains_off_mask
        record.kernel.assign(weights[t] if raw else np.where(record.mask.numpy(), weights[t], 0))
        run(tf.constant(dense[t]))
        masks.append(record.mask.numpy())
        kernels.append(record.kernel.numpy())
    return masks, kernels


if __name__ == "__main__":
    main()
