"""Measures training, input, distillation, levels, mask updates, memory, sparse inference.

All figures that are compared come from one run. The things compared take turns in blocks, in an
order that is rotated from round to round, and a ratio is taken between the blocks of one round, so
that a change in the speed of the machine meets them alike. A table shows medians, with the lowest
and the highest value in brackets. "control" is the first row once more, as another model: what its
ratio is off 1 is noise. The first line printed is the machine: some gains depend on its processor.

    python tools/benchmark.py                                      everything, about half an hour
    python tools/benchmark.py update --sizes 30000 235200          one section, small sizes
    python tools/benchmark.py sparse sparse_choice                 sparse LiteRT files
    python tools/benchmark.py train --models lenet_300_100 --rounds 3 --json figures.json
"""

import argparse
import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from benchmarks import (
    distillation,
    inputs,
    levels,
    memory,
    methods,
    sparse_choice,
    sparse_inference,
    sparse_training,
    training,
    updates,
)
from benchmarks.machine import describe_machine
from benchmarks.subjects import MODELS
from rich.console import Console

SECTIONS = {
    "train": (training.benchmark_training, "models"),
    "methods": (methods.benchmark_methods, "models"),
    "distill": (distillation.benchmark_distillation, "models"),
    "levels": (levels.benchmark_levels, "models"),
    "input": (inputs.benchmark_input, "configurations"),
    "update": (updates.benchmark_updates, "sizes"),
    "memory": (memory.benchmark_memory, "models"),
    "sparse": (sparse_inference.benchmark_inference, "networks"),
    "sparse_choice": (sparse_choice.benchmark_choice, "batches"),
    "sparse_training": (sparse_training.benchmark_sparse_training, "sparsities"),
}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", help=f"any of {', '.join(SECTIONS)}; default: all")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument(
        "--sizes", nargs="+", type=int, choices=updates.KERNELS, default=[*updates.KERNELS]
    )
    parser.add_argument(
        "--configurations",
        nargs="+",
        default=[*inputs.CONFIGURATIONS],
        help="whose data and network the section `input` measures; TFDS_DATA_DIR has the data",
    )
    networks = sparse_inference.NETWORKS
    parser.add_argument("--networks", nargs="+", choices=networks, default=[*networks])
    batches = sparse_choice.BATCHES
    parser.add_argument("--batches", nargs="+", type=int, choices=batches, default=[*batches])
    parser.add_argument("--sparsities", nargs="+", type=float, default=[0.95, 0.99])
    parser.add_argument("--width", type=int, default=4096, help="of the layers stored sparsely")
    parser.add_argument("--steps-per-execution", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--steps", type=int, help="steps of a block, instead of each model's own")
    parser.add_argument("--rounds", type=int, default=8, help="recorded blocks of each row")
    parser.add_argument("--json", metavar="FILE", help="write every measured value there too")
    options = parser.parse_args(arguments)
    options.sections = options.sections or list(SECTIONS)
    for section in options.sections:
        if section not in SECTIONS:
            parser.error(f"no section {section!r}: choose from {', '.join(SECTIONS)}")
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, not {options.rounds}")
    for each_call in options.steps_per_execution:
        if each_call < 1 or (options.steps or each_call) % each_call:
            parser.error(f"--steps {options.steps} is no multiple of {each_call} steps a call")
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    console = Console(width=None if os.isatty(1) else 160)
    machine = describe_machine()
    console.print(machine)
    results = {"machine": machine}
    for section in options.sections:
        run, cases = SECTIONS[section]
        for case in getattr(options, cases):
            table, figures = run(case, options)
            console.print(table)
            results[f"{section} {case}"] = figures
            keras.backend.clear_session()
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
