"""Trains networks in the real and in the ideal world, and prints how far these are apart.

    python tools/real_and_ideal_worlds.py --seeds 0 1 2 --directory=runs/worlds \
        --figure=docs/figures/worlds.png

Conv-4 at a quarter of its width, or ResNet-20 at a half, on CIFAR-10 averaged to 16x16, dense and
at 90 % zeros. The real world has 1,000 training images, the stream of the ideal one the other
49,000, of which none comes twice in 1,500 steps of 32; both are cropped and mirrored at random.
Networks that are finished in the directory are not trained again.
"""

import argparse
import dataclasses
import functools
import json
import pathlib

import keras
import numpy as np

import keras_tickets as kt
from keras_tickets._files.atomic import replace_file

METHODS = {"dense": None, "static": kt.optimizers.Static, "RigL": kt.optimizers.RigL}
NETWORKS = {
    "conv4": functools.partial(kt.models.conv4, width=0.25),
    "resnet20": functools.partial(kt.models.resnet20, width=0.5),
}
LEARNING_RATES = {"conv4": 0.02, "resnet20": 0.05}
QUANTITIES = {"soft_errors": "test soft error (%)", "errors": "test error (%)"}


def network(arguments: argparse.Namespace, input_shape: tuple, method: str, seed: int):
    """A compiled network; a dense one where the method has no optimizer."""
    name = arguments.network
    model = NETWORKS[name](input_shape, kernel_initializer="he_normal", seed=seed)
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATES[name], arguments.steps)
    optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
    if METHODS[method]:
        model = kt.sparsify(model, arguments.sparsity, seed=seed)
        optimizer = METHODS[method](optimizer)
        kt.initializers.initialize(model, kt.initializers.SparseVarianceScaling(seed=seed))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], steps_per_execution=50)
    return model


def measure(arguments: argparse.Namespace, method: str, seed: int) -> dict:
    """The courses of a network in both worlds, as plain numbers."""
    dataset = kt.data.load(arguments.dataset, arguments.batch_size, seed=seed)
    few, others = dataset.split(arguments.examples)
    made = []

    def make():
        made.append(network(arguments, dataset.input_shape, method, seed))
        return made[-1]

    found = kt.analysis.worlds(
        make,
        few.train(),
        others.train(),
        dataset.test(),
        steps=arguments.steps,
        at=range(0, arguments.steps, arguments.every),
        train=few.train_once(),
    )
    courses = {
        world: {
            name: values.tolist()
            for name, values in dataclasses.asdict(getattr(found, world)).items()
        }
        for world in ("real", "ideal", "train")
    }
    seen = made[1].evaluate(others.train_once().take(200), return_dict=True, verbose=0)
    return {
        "steps": found.steps.tolist(),
        **courses,
        "stream_error": 1 - seen["accuracy"],
        "nonzeros": kt.summary(made[1]).nonzeros if METHODS[method] else None,
        "pass": others.steps_per_epoch,
    }


def spread(values) -> str:
    """Mean ± sample standard deviation of shares, in percent."""
    percents = 100 * np.asarray(values)
    deviation = f" ± {percents.std(ddof=1):.1f}" if len(percents) > 1 else ""
    return f"{percents.mean():.1f}{deviation}"


def table(results: dict[str, list[dict]], steps: list[int]) -> str:
    """Soft error and error of each method in both worlds after some of the steps."""
    header = (
        "",
        "step",
        "soft error: real",
        "ideal",
        "gap",
        "error: real",
        "ideal",
        "gap",
        "train",
    )
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for method, runs in results.items():
        for step in steps:
            place = runs[0]["steps"].index(step)
            cells = []
            for name in QUANTITIES:
                real, ideal = (
                    np.array([run[world][name][place] for run in runs])
                    for world in ("real", "ideal")
                )
                cells += [spread(real), spread(ideal), spread(real - ideal)]
            cells.append(spread([run["train"]["errors"][place] for run in runs]))
            lines.append(f"| {method} | {step:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(results: dict[str, list[dict]], path: pathlib.Path) -> None:
    """A figure of each quantity, by step, whose name it adds to that of the file."""
    for name, quantity in QUANTITIES.items():
        curves = {
            method: (
                runs[0]["steps"],
                *(np.array([run[world][name] for run in runs]) for world in ("real", "ideal")),
            )
            for method, runs in results.items()
        }
        figure = kt.analysis.figures.worlds(curves, quantity=quantity)
        figure.savefig(path.with_stem(f"{path.stem}_{name}"), dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=list(NETWORKS), default="conv4")
    parser.add_argument("--dataset", default="cifar10_16x16")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=["dense", "RigL"])
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--examples", type=int, default=1000, help="of the finite set")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--every", type=int, default=150, help="steps between measurements")
    parser.add_argument("--at", type=int, nargs="+", default=[300, 750, 1500], help="in the table")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--directory", type=pathlib.Path, required=True)
    parser.add_argument("--figure", type=pathlib.Path)
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    results: dict[str, list[dict]] = {method: [] for method in arguments.methods}
    for seed in arguments.seeds:
        for method in arguments.methods:
            file = arguments.directory / f"{method}_{seed}.json"
            if not file.exists():
                replace_file(file, json.dumps(measure(arguments, method, seed)).encode())
            results[method].append(json.loads(file.read_text()))
    print(table(results, arguments.at))
    for method, runs in results.items():
        on_stream = spread([run["stream_error"] for run in runs])
        print(f"{method}: {on_stream} % error on the stream's first images, after the last step")
    if arguments.figure:
        draw(results, arguments.figure)


if __name__ == "__main__":
    main()
