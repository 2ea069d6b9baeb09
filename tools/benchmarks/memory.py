"""The memory that masks and sparse optimizers add."""

import argparse

import numpy as np
import tensorflow as tf
from rich.table import Table

import keras_tickets as kt
from benchmarks.subjects import SPARSITY, rigl, sgd
from keras_tickets import models


def benchmark_memory(name: str, options: argparse.Namespace) -> tuple[Table, dict]:
    dense = getattr(models, name)(seed=0)
    sparse = kt.sparsify(dense, SPARSITY)

    def held(variables):
        return sum(tf.convert_to_tensor(v).dtype.size * int(np.prod(v.shape)) for v in variables)

    def state(optimizer):
        optimizer.build(sparse.trainable_variables)
        return held(optimizer.variables)

    weights, added = held(dense.variables), held(sparse.variables) - held(dense.variables)
    masked = sum(mask.size for mask in sparse.masks.values())
    figures = {
        "weights of the model, bytes": weights,
        "added by the masks, bytes": added,
        "masked weights": masked,
        "added per masked weight, bytes": added / masked,
        "added by RigL to its inner optimizer's state, bytes": state(rigl()) - state(sgd()),
    }
    table = Table(title=f"Memory, {name}", show_header=False)
    for row, value in figures.items():
        table.add_row(row, f"{value:,}")
    return table, figures
