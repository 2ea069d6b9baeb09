"""The only place that touches Keras internals; everything else uses public names."""

import keras


def sublayers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The direct sublayers of a layer or model, in layer order, those in lists and dicts included."""
    return list(layer._flatten_layers(include_self=False, recursive=False))
