"""Trains networks with masks of several structures, and times the LiteRT files made of them.

    python tools/structure_prices.py --seeds 0 1 2 --directory=runs/structures \
        --figure=docs/figures/structure_prices.png

Networks of fully connected layers on MNIST, padded to 32x32, and on CIFAR-10, averaged to 16x16,
trained by RigL with uniform sparsity; the last layer stays dense. All structures leave exactly as
many weights. Networks that are finished in the directory are not trained again. At the end, the
files of all of them take turns, at batch size 1 on one thread, the dense file twice as the control.
"""

import argparse
import json
import pathlib
import statistics

import keras
import numpy as np
from benchmarks.sparse_inference import interpreter_class, invocation
from benchmarks.timing import ratio, spread, take_turns
from keras import layers

import keras_tickets as kt
from keras_tickets._files.atomic import replace_file

# Each sparsity and the n of m weights that it leaves: shares that blocks of 16 and rows allow.
PATTERNS = {0.90625: (3, 32), 0.953125: (3, 64)}
EPOCHS = {"mnist": 4, "cifar10_16x16": 3}
BATCH_SIZE = 128
CONTROL = "control"


def structures(sparsity: float) -> dict[str, kt.structures.Structure | None]:
    """The structures to compare, by what the table calls them."""
    n, m = PATTERNS[sparsity]
    return {
        "single weights": None,
        "1x4 blocks": kt.structures.Block.for_litert(),
        "1x16 blocks, int8": kt.structures.Block.for_litert(int8=True),
        "n:m": kt.structures.NM(n, m),
        "constant fan-in": kt.structures.FanIn(None),
    }


def network(data: str, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    flat = {
        "mnist": [keras.Input((28, 28, 1)), layers.ZeroPadding2D(2), layers.Flatten()],
        "cifar10_16x16": [keras.Input((16, 16, 3)), layers.Flatten()],
    }
    hidden = [layers.Dense(size, "relu", name=f"fc{n}") for n, size in enumerate((512, 256), 1)]
    return keras.Sequential([*flat[data], *hidden, layers.Dense(10, name="logits")])


def train(
    dataset: kt.data.Dataset, data: str, seed: int, sparsity: float, structure
) -> keras.Model:
    """A trained network; a dense one for no sparsity."""
    steps = EPOCHS[data] * dataset.steps_per_epoch
    optimizer = keras.optimizers.SGD(
        keras.optimizers.schedules.CosineDecay(0.05, steps), momentum=0.9, nesterov=True
    )
    model = network(data, seed)
    if sparsity:
        model = kt.sparsify(
            model,
            sparsity,
            filters="fc",
            distribution="uniform",
            structure=structure,
            seed=seed,
        )
        optimizer = kt.optimizers.RigL(optimizer, update_every=100, end=int(0.75 * steps))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, steps_per_execution=30)
    model.fit(
        dataset.train(),
        epochs=EPOCHS[data],
        steps_per_epoch=dataset.steps_per_epoch,
        shuffle=False,
        verbose=0,
    )
    return model


def accuracy(path: pathlib.Path, dataset: kt.data.Dataset) -> float:
    """The share of the test set that a file classifies correctly."""
    interpreter = interpreter_class()(str(path))
    correct, count = 0, 0
    for images, labels in dataset.test().as_numpy_iterator():
        (given,), (returned,) = interpreter.get_input_details(), interpreter.get_output_details()
        interpreter.resize_tensor_input(given["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], images)
        interpreter.invoke()
        correct += (interpreter.get_tensor(returned["index"]).argmax(1) == labels).sum()
        count += len(labels)
    return float(correct / count)


def cell(folder: pathlib.Path, data: str, seed: int, sparsity: float, name: str, structure) -> dict:
    """Trains and exports one network, unless that is done, and returns its result."""
    result, path = folder / "result.json", folder / "model.tflite"
    if not result.exists():
        dataset = kt.data.load(data, batch_size=BATCH_SIZE, seed=seed)
        model = train(dataset, data, seed, sparsity, structure)
        quantize = "int8" if name.endswith("int8") else None
        kernels = "sparse" if sparsity else "packed"
        folder.mkdir(parents=True, exist_ok=True)
        report = kt.export(
            model, path, "litert", quantize=quantize, kernels=kernels, overwrite=True
        )
        found = {
            "accuracy": accuracy(path, dataset),
            "sparsity": kt.summary(model).sparsity if sparsity else 0.0,
            "bytes": report.bytes,
            "kernels": [kernel.form for kernel in report.kernels],
        }
        replace_file(result, json.dumps(found).encode())
    return json.loads(result.read_text())


def latencies(folders: dict[str, pathlib.Path], shape: tuple, rounds: int) -> dict[str, list]:
    """Seconds of a call of each file, round by round; those of the dense one twice."""
    values = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    blocks = {
        name: invocation(folder / "model.tflite", values, threads=1)
        for name, folder in folders.items()
    }
    blocks[CONTROL] = invocation(folders["dense"] / "model.tflite", values, threads=1)
    return take_turns(blocks, rounds)


def table(data: str, accuracies: dict[str, list[float]], seconds: dict[str, list]) -> str:
    lines = [f"| {data} | accuracy, % | times as fast as dense |", "|---|---|---|"]
    for name, values in accuracies.items():
        percents = [100 * value for value in values]
        deviation = f" ± {statistics.stdev(percents):.2f}" if len(percents) > 1 else ""
        factor = spread(ratio(seconds["dense"], seconds[CONTROL if name == "dense" else name]))
        lines.append(f"| {name} | {statistics.mean(percents):.2f}{deviation} | {factor} |")
    return "\n".join(lines)


def draw(results: dict[str, tuple[dict, dict]], path: pathlib.Path) -> None:
    """Accuracy against latency: a panel for each data set, a curve for each structure."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    figure = Figure(figsize=(5 * len(results) + 2, 4), layout="constrained")
    panels = figure.subplots(1, len(results), squeeze=False)[0]
    for axes, (data, (accuracies, seconds)) in zip(panels, results.items(), strict=True):
        for structure in ("dense", *structures(next(iter(PATTERNS)))):
            names = [name for name in accuracies if name.partition(", ")[2] in ("", structure)]
            names = [name for name in names if (name == "dense") == (structure == "dense")]
            percents = [100 * np.asarray(accuracies[name]) for name in names]
            means = [values.mean() for values in percents]
            ranges = [
                [m - values.min(), values.max() - m]
                for m, values in zip(means, percents, strict=True)
            ]
            microseconds = [1e6 * statistics.median(seconds[name]) for name in names]
            axes.errorbar(
                microseconds,
                means,
                yerr=np.transpose(ranges),
                marker="o",
                capsize=2,
                label=structure,
            )
        axes.set(title=data, xlabel="µs a call, batch size 1", ylabel="test accuracy (%)")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(ScalarFormatter())
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", nargs="+", choices=list(EPOCHS), default=list(EPOCHS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--directory", type=pathlib.Path, required=True)
    parser.add_argument("--figure", type=pathlib.Path)
    arguments = parser.parse_args()
    results = {}
    for data in arguments.datasets:
        cells = {"dense": (0.0, "dense", None)}
        for sparsity in PATTERNS:
            for name, structure in structures(sparsity).items():
                cells[f"{sparsity:.1%}, {name}"] = (sparsity, name, structure)
        accuracies: dict[str, list[float]] = {name: [] for name in cells}
        for seed in arguments.seeds:
            for name, chosen in cells.items():
                found = cell(arguments.directory / data / str(seed) / name, data, seed, *chosen)
                accuracies[name].append(found["accuracy"])
                print(json.dumps({"data": data, "seed": seed, "cell": name, **found}), flush=True)
        folders = {
            name: arguments.directory / data / str(arguments.seeds[0]) / name for name in cells
        }
        shape = network(data, 0).input_shape[1:]
        results[data] = (accuracies, latencies(folders, shape, arguments.rounds))
        print(table(data, *results[data]), flush=True)
    if arguments.figure:
        draw(results, arguments.figure)


if __name__ == "__main__":
    main()
