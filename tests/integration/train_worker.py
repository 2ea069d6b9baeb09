"""Trains small networks under one strategy and saves what it saw; run by `test_strategies.py`.

python train_worker.py '{"mode": "mirrored", "methods": ["RigL"], "output": "out.npz", …}'
"""

import keras
import numpy as np
from method_recipes import METHODS
from worker import SPEC, count_traces, data, flat, make_strategy

import keras_tickets as kt

UPDATES = {"update_every": 10, "end": 95}


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
        recipe = METHODS[method or "Static"]
        model = recipe.sparsify(keras.Model(inputs, x), 0.8, distribution="uniform", seed=2)
        inner = keras.optimizers.get(
            {"class_name": SPEC.get("inner", "SGD"), "config": SPEC.get("config", {})}
        )
        if method:
            inner = recipe.make(inner, **UPDATES)
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
        for t in optimizer.kernel_states
    )


def main():
    if SPEC.get("policy"):
        keras.mixed_precision.set_global_policy(SPEC["policy"])
    strategy = make_strategy(SPEC["mode"])
    results = {}
    for method in SPEC["methods"]:
        results |= {f"{method}: {k}": value for k, value in train(method, strategy).items()}
    np.savez(SPEC["output"], **results)


if __name__ == "__main__":
    main()
