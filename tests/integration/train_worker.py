"""Trains small networks under one strategy and saves what it saw; run by `test_strategies.py`.

python train_worker.py '{"mode": "mirrored", "methods": ["RigL"], "output": "out.npz", …}'
"""

import json
import os
import sys

SPEC = json.loads(sys.argv[1])
if "worker" in SPEC:
    cluster = {"worker": [f"127.0.0.1:{port}" for port in SPEC["ports"]]}
    task = {"type": "worker", "index": SPEC["worker"]}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import keras_tickets as kt  # noqa: E402


def make_strategy(mode):
    if mode == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
        return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    if mode == "workers":
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def data(poison_from=None):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1600, 24)).astype("float32")
    y = np.argmax(x @ rng.normal(size=(24, 4)), axis=1).astype("int32")
    if poison_from is not None:
        # One example of one batch overflows float16: it lands on one replica only.
        x[poison_from * 64] = 1e30
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(64, drop_remainder=True)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options)


class Record(keras.callbacks.Callback):
    """Keeps the masks of every epoch's end, and the number of traces after the first call."""

    def __init__(self, traces):
        super().__init__()
        self.traces = traces
        self.first_traces = None
        self.masks = []

    def on_train_batch_end(self, batch, logs=None):
        self.first_traces = self.first_traces or len(self.traces)

    def on_epoch_end(self, epoch, logs=None):
        self.masks.append(kt.get_masks(self.model))


def count_traces(model):
    traces, step = [], model.train_step

    def train_step(data):
        traces.append(1)
        return step(data)

    model.train_step = train_step
    return traces


WINDOW = {"update_every": 10, "end": 95}
ALWAYS = {"update_every": 10}
METHODS = {
    "RigL": (kt.optimizers.RigL, WINDOW),
    "SET": (kt.optimizers.SET, WINDOW),
    "SNFS": (kt.optimizers.SNFS, WINDOW),
    "RigL, initial": (kt.optimizers.RigL, {**WINDOW, "grow_init": "initial_dist"}),
    "GradualMagnitude": (kt.optimizers.GradualMagnitude, WINDOW),
    "global": (kt.optimizers.GradualMagnitude, {**WINDOW, "scope": "global"}),
    "regrow": (kt.optimizers.GradualMagnitude, {**WINDOW, "regrow": True}),
    "StraightThrough": (kt.optimizers.StraightThrough, ALWAYS),
    "DNW": (kt.optimizers.DNW, {}),
    "TopKAST": (kt.optimizers.TopKAST, ALWAYS),
}
FROM_ONES = ("GradualMagnitude", "global", "regrow", "StraightThrough", "DNW", "TopKAST")


def train(method, strategy):
    """Trains by one method, `None` for a fixed mask, and returns what is compared."""
    with strategy.scope():
        keras.utils.set_random_seed(1)
        inputs = keras.Input((24,))
        shared = keras.layers.Dense(32, activation="relu", name="shared")
        x = keras.layers.Dense(32, activation="relu", name="first")(inputs)
        x = shared(shared(x))
        x = keras.layers.Reshape((4, 8))(x)
        x = keras.layers.GRU(12, name="gru")(x)
        x = keras.layers.Dense(4, dtype="float32", name="head")(x)
        start = "ones" if method in FROM_ONES else "random"
        dense = keras.Model(inputs, x)
        model = kt.sparsify(dense, 0.8, distribution="uniform", mask=start, seed=2)
        inner = keras.optimizers.get(
            {"class_name": SPEC.get("inner", "SGD"), "config": SPEC.get("config", {})}
        )
        if method:
            make, arguments = METHODS[method]
            inner = make(inner, **arguments)
        first_masks = model.masks
        traces = count_traces(model)
        model.compile(
            inner,
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            steps_per_execution=SPEC.get("steps_per_execution", 1),
            jit_compile=SPEC.get("jit_compile", False),
        )
    record = Record(traces)
    dataset = data(SPEC.get("poison_from"))
    history = model.fit(
        dataset, epochs=4, verbose=0, callbacks=[record], validation_data=dataset.take(4)
    ).history
    evaluated = model.evaluate(dataset, verbose=0)
    predicted = model.predict(dataset.map(lambda x, y: x).take(2), verbose=0)
    return dict(
        accuracy=history["accuracy"],
        val_accuracy=history["val_accuracy"],
        evaluated=evaluated,
        predicted=predicted,
        iterations=int(model.optimizer.iterations.numpy()),
        retraces=len(traces) - record.first_traces,
        masks=[flat(masks) for masks in (first_masks, *record.masks)],
        weights=np.concatenate([w.numpy().ravel() for w in model.trainable_weights]),
        leaked=leaked(model.optimizer),
    )


def leaked(optimizer):
    """The largest weight off the masks."""
    return max(
        np.abs(t.masked.kernel.numpy()[~t.masked.mask.numpy()]).max(initial=0)
        for t in optimizer.topologies
    )


def main():
    if SPEC.get("policy"):
        keras.mixed_precision.set_global_policy(SPEC["policy"])
    strategy = make_strategy(SPEC["mode"])
    results = {}
    for method in SPEC["methods"]:
        results |= {f"{method}: {k}": value for k, value in train(method, strategy).items()}
    np.savez(SPEC["output"], **results)


def flat(masks):
    return np.concatenate([mask.ravel() for mask in masks.values()])


if __name__ == "__main__":
    main()
