"""Trains a small study on the digits, and makes the picture of its report for the README.

    python tools/report_screenshot.py --directory=build/report_study

The study is static masks, SET and RigL at three sparsities, and the dense network, with three seeds
each. Runs that are finished in the directory are not run again. Needs a Chromium.
"""

import argparse
import itertools
import pathlib

import browser
import gin

from keras_tickets.experiments import cli
from keras_tickets.experiments.gin_files import read_experiment
from keras_tickets.experiments.train import train

ROOT = pathlib.Path(__file__).parents[1]
METHODS = ("static", "set", "rigl")
SPARSITIES = (0.9, 0.95, 0.98)
SEEDS = (0, 1, 2)
SETTINGS = ("train.epochs=20", "train.validation=0.1")
UPDATES = {"set": "SET.update_every=10", "rigl": "RigL.update_every=10"}


def study(directory: pathlib.Path) -> None:
    """Trains what is missing of the study."""
    sparse = itertools.product(METHODS, SPARSITIES, SEEDS)
    for method, sparsity, seed in [*sparse, *(("dense", None, seed) for seed in SEEDS)]:
        settings = [*SETTINGS, f"train.seed={seed}"]
        settings += [f"train.sparsity={sparsity}"] if sparsity else []
        settings += [UPDATES[method]] if method in UPDATES else []
        experiment = read_experiment([f"digits/{method}.gin"], settings)
        workdir = directory / "_".join(
            filter(None, (method, sparsity and str(sparsity), str(seed)))
        )
        train(experiment, workdir, describe=gin.operative_config_str, verbose=0)
        print(workdir, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=pathlib.Path, default=ROOT / "build" / "report_study")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "docs/figures/report.png")
    arguments = parser.parse_args()
    study(arguments.directory)
    file = arguments.directory / "report.html"
    if cli.main(["report", str(arguments.directory), f"--output={file}"]):
        raise SystemExit(1)
    with browser.Browser() as chromium:
        page = chromium.open(file.resolve().as_uri(), width=1240, height=1180)
        page.run("reportDrawAll()")
        page.screenshot(arguments.output)
        if page.errors:
            parser.error("; ".join(page.errors))


if __name__ == "__main__":
    main()
