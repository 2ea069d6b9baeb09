"""What `make demo` runs: dense and sparse training on the digits, then the export.

Trains both networks with the command line of the package, which shows progress bars and then the
sparsity of each layer; prints the test accuracies and how much smaller the sparse LiteRT files are
than the dense one.
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
    models = [
        keras.models.load_model(directory / method / "model.keras", compile=False)
        for method in ("dense", "rigl")
    ]
    reports = [
        kt.export(model, directory / f"{method}.tflite", format="litert", quantize=quantize)
        for model, method, quantize in (
            (models[0], "dense", None),
            (models[1], "rigl", None),
            (models[1], "rigl_int8", "int8"),
        )
    ]

    print()
    for name, summary in (("dense", dense), ("RigL", sparse)):
        print(
            f"{name:>5}: test accuracy {summary['test_accuracy']:.4f}, "
            f"sparsity {summary['sparsity']:.4f}, {summary['nonzeros']:,} of "
            f"{summary['weights']:,} weights"
        )
    print("\nLiteRT files, for phones and small devices:")
    for name, report in zip(("dense", "RigL", "RigL, int8"), reports, strict=True):
        smaller = reports[0].bytes / report.bytes
        print(f"{name:>11}: {report.bytes:9,} bytes, {smaller:4.1f} times smaller than dense")
    seconds = time.perf_counter() - start
    print(f"Took {seconds:.0f} s. Everything lies in {directory.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
