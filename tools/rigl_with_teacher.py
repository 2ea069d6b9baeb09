"""Trains sparse from the start, on labels and on a dense teacher's soft labels.

    python tools/rigl_with_teacher.py --gin_file=gin_configs/mnist/rigl.gin --sparsities 0.98 0.99 \
        --teacher="runs/kd_mnist/0.98_{seed}/labels_initial/level_00/trained.safetensors" \
        --directory=runs/rigl_teacher

The configuration is of one sparse training, by whatever method. Both trainings of a seed start from
the same weights and masks and see the same batches. The teacher of a seed is the trained network of
a level of `tools/kd_grid.py` or `keras-tickets tickets`. Finished trainings are not run again.
"""

import argparse
import json
import pathlib

from kd_grid import table

import keras_tickets as kt
from keras_tickets._files.atomic import replace_file
from keras_tickets.experiments.experiment import Experiment
from keras_tickets.experiments.gin_files import read_experiment
from keras_tickets.trainers import DistillationTrainer


def teacher_of(experiment: Experiment, path: str):
    """The dense model with the weights of this file."""
    model = kt.SparseModel(experiment.dense_model())
    trained = kt.load_ticket(path).weights
    for name, weight in kt.weight_paths(model).items():
        weight.assign(trained[name])
    return model


def accuracy_of(experiment: Experiment, model) -> float:
    """Test accuracy of a model, which is compiled for it."""
    experiment.compile(model)
    return model.evaluate(experiment.load_data().test(), verbose=0, return_dict=True)["accuracy"]


def trained_accuracy(experiment: Experiment, teacher=None, **softness) -> float:
    """Test accuracy after one training, on labels or, with a teacher, on its soft labels."""
    dataset = experiment.load_data()
    model = student = experiment.procedure.start.sparse(experiment, experiment.dense_model())
    if teacher is not None:
        model = DistillationTrainer(student, teacher, **softness)
    experiment.compile(model)
    model.fit(
        dataset.train(),
        steps_per_epoch=dataset.steps_per_epoch,
        epochs=experiment.epochs,
        shuffle=False,
        verbose=0,
    )
    return model.evaluate(dataset.test(), verbose=0, return_dict=True)["accuracy"]


def cell(experiment: Experiment, path: str, workdir: pathlib.Path, softness) -> dict[str, float]:
    """The accuracies of one seed and sparsity; those in the work directory are taken from there."""
    workdir.mkdir(parents=True, exist_ok=True)
    teacher = teacher_of(experiment, path)
    runs = {
        "labels": lambda: trained_accuracy(experiment),
        "soft labels": lambda: trained_accuracy(experiment, teacher, **softness),
    }
    found = {"teacher": accuracy_of(experiment, teacher)}
    for name, run in runs.items():
        file = workdir / f"{name.replace(' ', '_')}.json"
        if not file.exists():
            replace_file(file, json.dumps({"test_accuracy": run()}).encode())
        found[name] = json.loads(file.read_text())["test_accuracy"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gin_file", required=True)
    parser.add_argument("--gin_param", action="append", default=[])
    parser.add_argument("--sparsities", type=float, nargs="+", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--teacher", required=True, help="a path with {seed} in it")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--alpha", type=float, default=0.9)
    parser.add_argument("--reduction", default="batchmean")
    parser.add_argument("--directory", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    softness = {name: getattr(arguments, name) for name in ("temperature", "alpha", "reduction")}
    results: dict[str, dict[str, list[float]]] = {}
    for sparsity in arguments.sparsities:
        column = results.setdefault(f"{sparsity:.1%} zeros", {})
        settings = [*arguments.gin_param, f"train.sparsity = {sparsity}"]
        for seed in arguments.seeds:
            experiment = read_experiment([arguments.gin_file], settings)
            experiment.seed = seed
            teacher = arguments.teacher.format(seed=seed)
            cells = cell(experiment, teacher, arguments.directory / f"{sparsity}_{seed}", softness)
            for name, accuracy in cells.items():
                column.setdefault(name, []).append(accuracy)
            print(json.dumps({"sparsity": sparsity, "seed": seed, **cells}), flush=True)
    print(table(results, ("teacher", "labels", "soft labels")))


if __name__ == "__main__":
    main()
