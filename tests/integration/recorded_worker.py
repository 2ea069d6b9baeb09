"""Applies recorded weights, gradients and steps under one strategy; run by `test_strategies.py`."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from train_worker import SPEC, make_strategy  # noqa: E402

import keras_tickets as kt  # noqa: E402

SHAPE, STEPS = (37, 23), 24
WINDOW = {"update_every": 2, "begin": 1, "end": STEPS}
GROWING = {**WINDOW, "drop_fraction": 0.5, "seed": 3}


def sgd():
    return keras.optimizers.SGD(0.0)


OPTIMIZERS = {
    "RigL": lambda: kt.optimizers.RigL(sgd(), **GROWING),
    "RigL, mean": lambda: kt.optimizers.RigL(sgd(), mean_over=2, **GROWING),
    "RigL, initial": lambda: kt.optimizers.RigL(sgd(), grow_init="initial_dist", **GROWING),
    "RigL, fan-in": lambda: kt.optimizers.RigL(sgd(), **GROWING),
    "SET": lambda: kt.optimizers.SET(sgd(), **GROWING),
    "SNFS": lambda: kt.optimizers.SNFS(sgd(), momentum=0.5, **GROWING),
    "GradualMagnitude": lambda: kt.optimizers.GradualMagnitude(sgd(), scope="global", **WINDOW),
    "regrow": lambda: kt.optimizers.GradualMagnitude(sgd(), regrow=True, **WINDOW),
    "StraightThrough": lambda: kt.optimizers.StraightThrough(
        sgd(), kt.schedules.CosineRamp(), scope="global", **WINDOW
    ),
    "DNW": lambda: kt.optimizers.DNW(sgd()),
    "TopKAST": lambda: kt.optimizers.TopKAST(sgd(), update_every=2),
}
STRUCTURES = {"RigL, fan-in": kt.structures.FanIn(0.9)}


def main():
    strategy = make_strategy(SPEC["mode"])
    replicas = strategy.num_replicas_in_sync
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(STEPS, *SHAPE)).astype("float32")
    dense = (rng.integers(-64, 65, size=(STEPS, *SHAPE)) / 32).astype("float32")
    with strategy.scope():
        keras.utils.set_random_seed(1)
        start = "random" if SPEC["method"].startswith(("RigL", "SET", "SNFS")) else "ones"
        inner = keras.layers.Dense(SHAPE[1], use_bias=False, name="fc")
        structure = STRUCTURES.get(SPEC["method"])
        layer = kt.layers.Sparse(inner, 0.8, structure=structure, mask=start)
        layer.build((None, SHAPE[0]))
        (record,) = layer.masked_kernels
        optimizer = OPTIMIZERS[SPEC["method"]]()
        optimizer.compiles_under_xla = SPEC.get("jit_compile", False)
        optimizer.build([record.kernel])

    def apply(gradient):
        share = gradient / replicas  # Exact: the replicas' shares add up to the recording.
        optimizer.apply([tf.zeros(SHAPE)], [record.kernel], dense_gradients={record.path: share})

    step = tf.function(apply, jit_compile=True) if SPEC.get("jit_compile") else apply

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
    np.savez(SPEC["output"], masks=masks, kernels=kernels)


if __name__ == "__main__":
    main()
