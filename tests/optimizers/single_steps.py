"""Kernels without a model, and steps of an optimizer on given gradients."""

import keras
import tensorflow as tf

import keras_tickets as kt


def kernels_of(shapes, sparsities):
    layers = []
    for i, (shape, sparsity) in enumerate(zip(shapes, sparsities, strict=True)):
        dense = keras.layers.Dense(shape[1], use_bias=False, name=f"fc{i}")
        layers.append(kt.layers.Sparse(dense, sparsity, mask="ones"))
        layers[-1].build((None, shape[0]))
    return [layer.masked_kernels[0] for layer in layers], layers


def stepper(optimizer, records, jit_compile=False):
    optimizer.compiles_under_xla = jit_compile
    optimizer.build([record.kernel for record in records])

    @tf.function(jit_compile=jit_compile)
    def step(gradients):
        grads = [tf.where(r.mask.value, g, 0.0) for r, g in zip(records, gradients, strict=True)]
        dense = {r.name: g for r, g in zip(records, gradients, strict=True)}
        optimizer.apply(grads, [r.kernel for r in records], dense_gradients=dense)

    return step
