"""Directories as the training binary leaves them, without any training."""

import csv
import hashlib
import json

import numpy as np

from keras_tickets._files.mask_bits import pack_mask
from keras_tickets._files.topology_file import Topology, write_topology

KERNELS = {"fc1/kernel": [64, 30], "fc2/kernel": [30, 10]}


def write_run(path, **changes):
    """Writes a finished run; `changes` are of its summary, or `config`, `epochs`, `masks`."""
    summary = {
        "experiment": "digits/rigl",
        "dataset": "digits",
        "model": "lenet_300_100",
        "method": "rigl",
        "seed": 0,
        "epochs": 3,
        "steps": 21,
        "chosen_on": "test",
        "test_accuracy": 0.9,
        "test_loss": 0.4,
        "sparsity": 0.9,
        "nonzeros": 222,
        "weights": 2220,
        "sparsity_all_weights": 0.88,
        "inference_flops_ratio": 0.1,
        "training_flops_ratio": 0.12,
        "wall_seconds": 2.5,
        "config": {},
        "versions": {"keras": "3.15.1"},
    }
    config, epochs = changes.pop("config", {}), changes.pop("epochs", 3)
    masks, finished = changes.pop("masks", True), changes.pop("finished", True)
    summary |= changes
    summary["config"] = {
        "train.seed": summary["seed"],
        "train.sparsity": summary["sparsity"],
        "train.epochs": 3,
        "train.optimizer": f"@{summary['method']}",
        **config,
    }
    path.mkdir(parents=True)
    lines = [f"{name} = {value!r}\n" for name, value in summary["config"].items()]
    (path / "config.gin").write_text("".join(lines))
    if finished:
        write_document(path / "summary.json", summary)
    write_metrics(path / "metrics.csv", summary, epochs)
    if masks:
        write_masks(path, summary["seed"], epochs)
    return summary


def write_document(path, content):
    """A JSON file with its digest, written from its description and not by the package."""
    document = {"format": "keras_tickets summary 1", **content}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    document["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(document, indent=2) + "\n")


def write_metrics(path, summary, epochs):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        metrics = [name.removeprefix("test_") for name in summary if name.startswith("test_")]
        writer.writerow(["epoch", "step", *metrics, *(f"val_{name}" for name in metrics)])
        for epoch in range(1, epochs + 1):
            ends = [summary[f"test_{name}"] * epoch / epochs for name in metrics]
            writer.writerow([epoch, 7 * epoch, *ends, *ends])


def write_masks(path, seed, epochs):
    """Masks of two kernels that change at random, and their rows."""
    generator = np.random.default_rng(seed)
    first = {name: pack_mask(generator.random(shape) < 0.1) for name, shape in KERNELS.items()}
    last = {name: pack_mask(generator.random(shape) < 0.1) for name, shape in KERNELS.items()}
    rows = []
    for epoch in range(epochs + 1):
        for name, shape in KERNELS.items():
            row = {"epoch": epoch, "step": 7 * epoch, "kernel": name}
            row |= {"weights": int(np.prod(shape)), "nonzeros": 9, "sparsity": 0.9}
            row |= {"grown": 0.1, "dropped": 0.1, "overlap_first": 1 / (1 + epoch)}
            row |= {"overlap_last": 0.8, "exploration": 0.1 + 0.05 * epoch}
            row |= {"gradient_before": None, "gradient_after": 3.0 if epoch else None}
            rows.append(row)
    explored = {name: first[name] | last[name] for name in KERNELS}
    write_topology(path, Topology(rows, dict(KERNELS), first, explored, last))


def level(level, accuracy, **controls):
    """A row of `levels` in a summary."""
    density = 0.8**level
    row = {"level": level, "density": density, "test_accuracy": accuracy, "nonzeros": 9}
    if controls:
        row["controls"] = {name: {**row, "test_accuracy": a} for name, a in controls.items()}
    return row
