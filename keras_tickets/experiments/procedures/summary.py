"""What `summary.json` says of every run."""

from collections.abc import Mapping, Sequence

import keras

from keras_tickets._accounting.costs import LAYERS
from keras_tickets.experiments.procedures.procedure import Run
from keras_tickets.flops import count_model, flops_of
from keras_tickets.masks import kernels_by_path
from keras_tickets.training_cost import assuming, cost_of


def summarize(
    run: Run,
    model: keras.Model,
    method: str,
    results: dict,
    steps: int,
    seconds: float,
    scored_examples: int = 0,
    levels: Sequence[tuple[int, Mapping]] = (),
) -> dict:
    """The summary of a run.

    Args:
        run: The run.
        model: The trained model.
        method: Name of the training method.
        results: `loss` and the metrics on the test set, by name.
        steps: Training steps that were taken.
        seconds: Time that they took.
        scored_examples: Examples that the masks were chosen by before training.
        levels: Steps and masks of the trainings, if they were several.

    Returns:
        The fields that every `summary.json` has; values that JSON knows.
    """
    experiment = run.experiment
    kernels, counted = experiment.plan_of(model), count_model(model, LAYERS)
    trained = sum(steps for steps, _ in levels) if levels else steps
    taken = getattr(getattr(model, "optimizer", None), "iterations", None)
    with assuming(model, None if taken is None else int(taken.numpy()) or None):
        operations = flops_of(model, counted)
        cost = cost_of(model, counted, trained, experiment.batch_size, scored_examples, levels)
    return {
        "experiment": experiment.name or f"{experiment.source.name}/{method}",
        "dataset": experiment.source.name,
        "model": model.name,
        "method": method,
        "seed": experiment.seed,
        "epochs": experiment.epochs,
        "batch_size": experiment.batch_size,
        "strategy": experiment.strategy,
        "workers": run.workers.count,
        "replicas": experiment.distribution().num_replicas_in_sync,
        "steps": steps,
        "chosen_on": "validation" if run.dataset.held_out else "test",
        "held_out": run.dataset.held_out,
        **{f"test_{name}": float(value) for name, value in results.items()},
        "sparsity": kernels.sparsity,
        "nonzeros": kernels.nonzeros,
        "weights": sum(row.size for row in kernels.rows),
        "sparsity_all_weights": kernels.sparsity_all_weights,
        "sizes": kernels.sizes,
        "inference_flops": operations.inference,
        "inference_flops_ratio": operations.inference_ratio,
        "training_flops_ratio": operations.training_ratio,
        "training_flops": cost.total,
        "training_course_ratio": cost.ratio,
        **({"scored_examples": scored_examples} if scored_examples else {}),
        **_beginning(model),
        "wall_seconds": seconds,
        "steps_per_second": steps / seconds,
    }


def _beginning(model: keras.Model) -> dict:
    """How many weights a ramp began with, if it did not begin with all."""
    first_count = getattr(getattr(model, "optimizer", None), "first_count", None)
    if first_count is None:
        return {}
    records = kernels_by_path(model)
    counts = {path: first_count(record) for path, record in records.items()}
    fewer = any(counts[path] < record.size for path, record in records.items())
    return {"first_nonzeros": counts} if fewer else {}
