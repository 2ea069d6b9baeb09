"""Prints what an update of one kernel takes at its peak; run by `test_search_memory.py`.

python search_memory_worker.py METHOD INPUTS SPARSITY BUDGET
"""

import ctypes
import gc
import json
import pathlib
import sys
import threading

import keras
import numpy as np
import tensorflow as tf

import keras_tickets as kt
from keras_tickets._sparse_storage import OuterProduct

BATCH = 32
STATUS = pathlib.Path("/proc/self/status")


def allocated():
    """Bytes of memory that this process has, without those of files such as libraries."""
    lines = STATUS.read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def peak_of(run):
    """The most bytes allocated while something runs, above those before, by looking all the time.

    Linux's own peak has files in it, which come and go.
    """
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    before, peaks, over = allocated(), [0], threading.Event()

    def watch():
        while not over.is_set():
            peaks.append(allocated())

    watcher = threading.Thread(target=watch)
    watcher.start()
    run()
    over.set()
    watcher.join()
    return max(peaks) - before


def make_update(method, size, sparsity, budget):
    """A function that updates a kernel of shape (size, size), and its number of weights."""
    inputs = keras.Input((size,))
    layer = kt.layers.SparseDense(size, sparsity, engine="tensorflow", name="fc", use_bias=False)
    model = kt.SparseModel(inputs, layer(inputs))
    optimizer = getattr(kt.optimizers, method)(
        keras.optimizers.SGD(0.0),
        update_every=1,
        end=99,
        skip_gradient_step=False,
        search_memory=budget,
    )
    optimizer.build(model.trainable_variables)
    optimizer.inner_optimizer.iterations.assign(1)
    rng = np.random.default_rng(0)
    factors = [tf.constant(rng.standard_normal((BATCH, size), np.float32)) for _ in range(2)]
    dense = {"fc/kernel": OuterProduct(*factors)} if method == "RigL" else None
    gradients = [tf.zeros(variable.shape) for variable in model.trainable_variables]
    before = layer.indices.numpy()

    @tf.function
    def update():
        optimizer.apply(gradients, model.trainable_variables, dense_gradients=dense)

    def moved():
        return 1 - np.isin(layer.indices.numpy(), before).mean()

    return update, moved, before.size


def main(method, size, sparsity, budget):
    warm, _, _ = make_update(method, 64, 0.9, 2**20)
    warm()
    update, moved, weights = make_update(method, size, sparsity, budget)
    graph = update.get_concrete_function()
    peak = peak_of(graph)
    print(json.dumps({"peak": peak, "weights": weights, "moved": moved()}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
