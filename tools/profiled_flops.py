"""Compares `kt.flops` with the profiler of TensorFlow, on networks of keras.applications.

    python tools/profiled_flops.py

Prints a Markdown table: what `kt.flops` counts, what the profiler counts on the frozen graph for
products of matrices and convolutions, and what it counts in all. Takes a minute. A network of
keras-hub is among them where that is installed.
"""

import importlib.util
import math
import unittest.mock
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

import keras_tickets as kt

PRODUCTS = (
    *("Conv2D", "Conv3D", "Conv2DBackpropInput", "DepthwiseConv2dNative"),
    *("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"),
)


def encoder(tokens: int = 128, width: int = 256, blocks: int = 4) -> keras.Model:
    """A language model of the size of BERT mini: blocks of attention and of two dense layers."""
    inputs = keras.Input((tokens,), dtype="int32")
    x = keras.layers.Embedding(8000, width)(inputs)
    for _ in range(blocks):
        attention = keras.layers.MultiHeadAttention(width // 64, 64)
        x = keras.layers.LayerNormalization()(x + attention(x, x))
        hidden = keras.layers.Dense(4 * width, activation="gelu")(x)
        x = keras.layers.LayerNormalization()(x + keras.layers.Dense(width)(hidden))
    return keras.Model(inputs, keras.layers.Dense(8000)(x), name="encoder")


def hub_decoder() -> keras.Model:
    """The same of the layers of keras-hub: decoders, and logits by the table of the tokens."""
    import keras_hub

    tokens = keras.Input((128,), dtype="int32")
    embedding = keras_hub.layers.TokenAndPositionEmbedding(8000, 128, 256, tie_weights=True)
    x = embedding(tokens)
    for _ in range(4):
        x = keras_hub.layers.TransformerDecoder(1024, 4)(x)
    return keras.Model(tokens, embedding.token_embedding(x, reverse=True), name="decoder")


def _application(name: str) -> Callable[[], keras.Model]:
    return lambda: getattr(keras.applications, name)(weights=None)


NETWORKS: dict[str, Callable[[], keras.Model]] = {
    **{
        name: _application(name)
        for name in ("ResNet50", "MobileNetV2", "EfficientNetB0", "ConvNeXtTiny")
    },
    "transformer, 4 blocks of width 256, 128 tokens": encoder,
}
if importlib.util.find_spec("keras_hub"):
    NETWORKS["the same of keras-hub, table of tokens shared"] = hub_decoder


def profiled(model: keras.Model) -> dict[str, int]:
    """What the profiler counts for one sample, by type of operation.

    The profiler knows neither einsums nor functions that XLA compiles. So einsums are computed by
    products of matrices, and what Keras would compile, as grouped convolutions, is part of the
    graph.
    """
    specs = [tf.TensorSpec((1, *x.shape[1:]), x.dtype) for x in model.inputs]

    def run(*inputs):
        tf.config.run_functions_eagerly(True)
        try:
            return model(inputs[0] if len(inputs) == 1 else list(inputs), training=False)
        finally:
            tf.config.run_functions_eagerly(False)

    with unittest.mock.patch.object(tf, "einsum", _einsum):
        concrete = tf.function(run).get_concrete_function(*specs)
    frozen = convert_variables_to_constants_v2(concrete)
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(frozen.graph.as_graph_def(), name="")
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    profile = tf.compat.v1.profiler.profile(graph, cmd="op", options=options)
    return {node.name: node.float_ops for node in _nodes(profile)}


def _einsum(equation: str, x: tf.Tensor, y: tf.Tensor, **options: str) -> tf.Tensor:
    """An einsum of two tensors as one product of matrices."""
    (first, second), result = equation.split("->")[0].split(","), equation.split("->")[1]
    batch = [label for label in first if label in second and label in result]
    summed = [label for label in first if label in second and label not in result]
    rows = [label for label in first if label not in second]
    columns = [label for label in second if label not in first]
    sizes = dict(zip(first + second, (*x.shape, *y.shape), strict=True))

    def size(labels):
        return math.prod(sizes[label] for label in labels)

    def matrix(tensor, labels, *axes):
        tensor = tf.transpose(tensor, [labels.index(label) for part in axes for label in part])
        return tf.reshape(tensor, [size(part) for part in axes])

    product = tf.matmul(
        matrix(x, first, batch, rows, summed), matrix(y, second, batch, summed, columns)
    )
    labels = [*batch, *rows, *columns]
    product = tf.reshape(product, [sizes[label] for label in labels])
    return tf.transpose(product, [labels.index(label) for label in result])


def _nodes(profile) -> Iterator:
    for child in profile.children:
        yield child
        yield from _nodes(child)


def main() -> None:
    """Prints the table."""
    print("| network | layers | products | profiler, products | profiler, all |")
    print("|---|---|---|---|---|")
    for name, make in NETWORKS.items():
        model = make()
        layers, products = (
            kt.flops(model, convention=convention).inference
            for convention in ("layers", "products")
        )
        found = profiled(model)
        theirs = sum(found.get(kind, 0) for kind in PRODUCTS)
        cells = [f"{value / 1e9:.4f}" for value in (layers, products, theirs, sum(found.values()))]
        print("|", " | ".join([name, *cells]), "|", flush=True)


if __name__ == "__main__":
    main()
