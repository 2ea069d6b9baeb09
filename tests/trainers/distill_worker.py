"""Distils under one strategy and saves what came of it; run by `test_distill_strategies.py`.

python distill_worker.py '{"mode": "mirrored", "cached": false, "output": "out.npz", …}'
"""

import pathlib

import keras
import numpy as np
from method_recipes import METHODS
from networks import LOSS, mlp
from worker import SPEC, count_traces, data, flat, make_strategy

import keras_tickets as kt


def main():
    strategy, dataset = make_strategy(SPEC["mode"]), data()
    with strategy.scope():
        teacher = mlp(24, (32,), 4, norm=keras.layers.BatchNormalization, seed=7)
        teacher.get_layer("norm1").moving_mean.assign(np.linspace(-1, 1, 32))
        student = kt.sparsify(mlp(24, (32,), 4), 0.8, distribution="uniform", seed=2)
        features = keras.distillation.FeatureDistillation(
            keras.losses.MeanSquaredError(), teacher_layer_name="head", student_layer_name="head"
        )
        if SPEC["cached"]:
            path = pathlib.Path(SPEC["output"]).with_suffix(".logits.npz")
            logits = kt.trainers.cache_logits(path, teacher, dataset)
            trainer = kt.trainers.DistillationTrainer(student, end="80%")
        else:
            trainer = kt.trainers.DistillationTrainer(
                student, teacher, end="80%", distillation_losses=[features]
            )
        trainer.compile(
            METHODS["RigL"].make(keras.optimizers.Adam(0.01), update_every=10, end=95),
            LOSS,
            metrics=["accuracy"],
            steps_per_execution=SPEC.get("steps_per_execution", 1),
            jit_compile=SPEC.get("jit_compile", False),
        )
    before = teacher.get_weights()
    traces, masks = count_traces(trainer), []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: masks.append((flat(student.masks), len(traces)))
    )
    trained = logits.attach(dataset) if SPEC["cached"] else dataset
    history = trainer.fit(
        trained, epochs=4, verbose=0, callbacks=[keep], validation_data=dataset.take(4)
    ).history
    np.savez(
        SPEC["output"],
        loss=history["loss"],
        accuracy=history["accuracy"],
        val_loss=history["val_loss"],
        masks=[mask for mask, _ in masks],
        retraces=masks[-1][1] - masks[0][1],
        weights=np.concatenate([w.numpy().ravel() for w in student.trainable_weights]),
        taught=max(np.abs(a - b).max() for a, b in zip(before, teacher.get_weights(), strict=True)),
    )


if __name__ == "__main__":
    main()
