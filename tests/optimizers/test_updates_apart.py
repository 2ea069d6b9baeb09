"""An update that is not due costs a step one operation."""

import keras
import numpy as np
import tensorflow as tf
from networks import mlp

import keras_tickets as kt


def test_what_searches_masks_is_not_inlined_into_the_step():
    model = kt.sparsify(mlp(), 0.75)
    model.compile(kt.optimizers.RigL(keras.optimizers.SGD(0.1), update_every=2, end=10), "mse")
    batch = np.zeros((16, 10), np.float32), np.zeros((16, 3), np.float32)
    model.train_on_batch(*batch)
    step = tf.function(model.train_step, autograph=False).get_concrete_function(batch)
    functions = step.graph.as_graph_def().library.function
    search = [f for f in functions if any(node.op == "DenseBincount" for node in f.node_def)]
    assert search and all(f.attr["_noinline"].b for f in search)
