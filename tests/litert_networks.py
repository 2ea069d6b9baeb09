"""The network of the tests of sparse LiteRT kernels."""

from networks import mlp

import keras_tickets as kt


def network(structure=None, sparsity=0.9, sizes=(64, 96, 80)):
    """Two layers, `fc1` and `head`, with kernels of the same sparsity and biases that are not 0."""
    inputs, hidden, outputs = sizes
    dense = mlp(inputs, (hidden,), outputs, bias_initializer="random_normal")
    return kt.sparsify(dense, sparsity, structure=structure, distribution="uniform")
