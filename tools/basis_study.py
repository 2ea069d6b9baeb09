"""Accuracy by the basis of pruning and by the share that is left, on MNIST.

    python tools/basis_study.py lenet conv --seeds 0 1 2 --directory=runs/bases

Each level halves what is left of each kernel but the last, and returns to the initial weights.
Runs that are finished in the directory are not run again. Prints a table for each network.
"""

import argparse
import pathlib
import statistics

import keras

import keras_tickets as kt
from keras_tickets.trainers import RewindTrainer

LEVELS, STEPS = 6, 300
BATCH = {"lenet": 100, "conv": 50}
BASES = {
    "weights": kt.bases.Identity(),
    "DCT": kt.bases.DCT(),
    "random": kt.bases.RandomOrthogonal(),
    "units": kt.bases.Identity(),
    "low rank": kt.bases.Singular(),
}


def network(name: str, seed: int) -> keras.Model:
    """LeNet-300-100, or two convolutions of 5x5 with stride 2 and a mean over places."""
    if name == "lenet":
        return kt.models.lenet_300_100((28, 28, 1), seed=seed)
    keras.utils.set_random_seed(seed)
    convolutions = [
        keras.layers.Conv2D(channels, 5, 2, "same", activation="relu", name=f"conv{i}")
        for i, channels in ((1, 16), (2, 32))
    ]
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10, name="logits")]
    return keras.Sequential([keras.Input((28, 28, 1)), *convolutions, *head])


def run(name: str, basis: str, seed: int, directory: pathlib.Path) -> list[dict]:
    """The results of all levels of one run."""
    data = kt.data.load("mnist", batch_size=BATCH[name], seed=seed)
    model = kt.sparsify(
        network(name, seed),
        {"": 0.0},
        mask="ones",
        filters=lambda path: not path.startswith("logits"),
        structure=kt.structures.Channel() if basis == "units" else None,
    )
    trainer = RewindTrainer(
        model,
        levels=LEVELS,
        rate=0.5,
        scope="local",
        basis=BASES[basis],
        store=str(directory / name / f"{basis.replace(' ', '_')}_{seed}"),
    )
    rate = keras.optimizers.schedules.CosineDecay(0.05, STEPS)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer.compile(
        keras.optimizers.SGD(rate, momentum=0.9), loss, metrics=["accuracy"], steps_per_execution=50
    )
    trainer.fit(data.train, steps_per_epoch=STEPS, epochs=1, validation_data=data.test(), verbose=0)
    return trainer.results


def cell(runs: list[list[dict]], level: int) -> str:
    """Mean and spread of a level's test accuracy in percent, and the share stored, if another."""
    values = [100 * results[level]["val_accuracy"] for results in runs]
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    row, size = runs[0][level], runs[0][0]["nonzeros"]
    stored = row.get("stored", row["nonzeros"]) / size
    note = "" if abs(stored - 0.5**level) < 5e-4 else f" ({stored:.1%})"
    return f"{statistics.mean(values):.2f}{spread}{note}"


def table(results: dict[str, list[list[dict]]]) -> str:
    """A row for each basis, a column for each level."""
    levels = range(LEVELS + 1)
    lines = [f"| basis | {' | '.join(f'{0.5**level:.1%}' for level in levels)} |"]
    lines.append("|---" * (LEVELS + 2) + "|")
    for basis, runs in results.items():
        lines.append(f"| {basis} | {' | '.join(cell(runs, level) for level in levels)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="+", choices=BATCH)
    parser.add_argument("--bases", nargs="+", choices=BASES, default=list(BASES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--directory", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    for name in arguments.networks:
        results: dict[str, list[list[dict]]] = {basis: [] for basis in arguments.bases}
        for seed in arguments.seeds:
            for basis in arguments.bases:
                results[basis].append(run(name, basis, seed, arguments.directory))
                last = results[basis][-1]
                found = " ".join(f"{100 * row['val_accuracy']:.2f}" for row in last)
                seconds = sum(row["seconds"] for row in last)
                print(f"{name}, {basis}, seed {seed}: {found} ({seconds:.0f} s)", flush=True)
        weights = results[arguments.bases[0]][0][0]["nonzeros"]
        print(f"\n{name}, {weights:,} weights\n\n{table(results)}\n")


if __name__ == "__main__":
    main()
