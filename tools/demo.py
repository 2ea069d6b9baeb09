"""What `make demo` runs: dense and sparse training on the digits, then the export.

Trains both networks with the command line of the package, which shows progress bars and then the
sparsity of each layer; prints the test accuracies and where the SavedModel of the sparse network
lies.
"""

import itertools
import json
import pathlib
import shlex
import subprocess
import sys
import time

import keras

import keras_tickets as kt

ROOT = pathlib.Path(__file__).parents[1]
RUNS = ROOT / "runs"


def new_directory() -> pathlib.Path:
    """The first of `runs/demo_1`, `runs/demo_2`, … that is not there yet."""
    for number in itertools.count(1):
        path = RUNS / f"demo_{number}"
        if not path.exists():
            path.mkdir(parents=True)
            return path


def train(method: str, workdir: pathlib.Path) -> dict:
    """Trains `gin_configs/digits/<method>.gin` and returns the run's summary."""
    config = ROOT / "gin_configs" / "digits" / f"{method}.gin"
    arguments = ["train", f"--gin_file={config.relative_to(ROOT)}"]
    arguments.append(f"--workdir={workdir.relative_to(ROOT)}")
    print(f"\n$ keras-tickets {shlex.join(arguments)}", flush=True)
    code = subprocess.run([sys.executable, "-m", "keras_tickets", *arguments], cwd=ROOT).returncode
    if code:
        sys.exit(code)
    return json.loads((workdir / "summary.json").read_text())


def main() -> None:
    start = time.perf_counter()
    directory = new_directory()
    dense, sparse = (train(method, directory / method) for method in ("dense", "rigl"))
    model = keras.models.load_model(directory / "rigl" / "model.keras", compile=False)
    saved_model = directory / "saved_model"
    report = kt.export(model, saved_model)

    print()
    for name, summary in (("dense", dense), ("RigL", sparse)):
        print(
            f"{name:>5}: test accuracy {summary['test_accuracy']:.4f}, "
            f"sparsity {summary['sparsity']:.4f}, {summary['nonzeros']:,} of "
            f"{summary['weights']:,} weights"
        )
    print(f"\nSavedModel of the sparse network: {saved_model.relative_to(ROOT)}\n{report}")
    seconds = time.perf_counter() - start
    print(f"Took {seconds:.0f} s. Everything lies in {directory.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
