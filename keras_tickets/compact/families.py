"""The `Call` subclass for each layer class."""

from typing import Any

import keras
from keras import layers

from keras_tickets._keras_compat import ELEMENTWISE_OPERATIONS, MERGING_OPERATIONS
from keras_tickets.compact.call import Call
from keras_tickets.compact.channelwise import (
    BatchNormalization,
    Channelwise,
    DepthwiseConvolution,
    Elementwise,
    PReLU,
    ZeroPadding,
)
from keras_tickets.compact.joining import Concatenate, Flatten, Merge, Reshape
from keras_tickets.compact.mixing import (
    MatrixProduct,
    Mixing,
    SeparableConvolution,
    TransposedConvolution,
)

_BY_CLASS: dict[type[Call], tuple[type[keras.layers.Layer], ...]] = {
    MatrixProduct: (layers.Dense,),
    Mixing: (
        layers.Conv1D,
        layers.Conv2D,
        layers.Conv3D,
    ),
    TransposedConvolution: (
        layers.Conv1DTranspose,
        layers.Conv2DTranspose,
        layers.Conv3DTranspose,
    ),
    SeparableConvolution: (
        layers.SeparableConv1D,
        layers.SeparableConv2D,
    ),
    DepthwiseConvolution: (
        layers.DepthwiseConv1D,
        layers.DepthwiseConv2D,
    ),
    BatchNormalization: (layers.BatchNormalization,),
    PReLU: (layers.PReLU,),
    Elementwise: (
        layers.Activation,
        layers.ReLU,
        layers.LeakyReLU,
        layers.ELU,
    ),
    Channelwise: (
        layers.Identity,
        layers.Dropout,
        layers.SpatialDropout1D,
        layers.SpatialDropout2D,
        layers.SpatialDropout3D,
        layers.AlphaDropout,
        layers.GaussianDropout,
        layers.GaussianNoise,
        layers.ActivityRegularization,
        layers.RepeatVector,
        layers.MaxPooling1D,
        layers.MaxPooling2D,
        layers.MaxPooling3D,
        layers.AveragePooling1D,
        layers.AveragePooling2D,
        layers.AveragePooling3D,
        layers.GlobalMaxPooling1D,
        layers.GlobalMaxPooling2D,
        layers.GlobalMaxPooling3D,
        layers.GlobalAveragePooling1D,
        layers.GlobalAveragePooling2D,
        layers.GlobalAveragePooling3D,
        layers.UpSampling1D,
        layers.UpSampling2D,
        layers.UpSampling3D,
        layers.Cropping1D,
        layers.Cropping2D,
        layers.Cropping3D,
    ),
    ZeroPadding: (
        layers.ZeroPadding1D,
        layers.ZeroPadding2D,
        layers.ZeroPadding3D,
    ),
    Merge: (
        layers.Add,
        layers.Subtract,
        layers.Multiply,
        layers.Average,
        layers.Maximum,
        layers.Minimum,
    ),
    Concatenate: (layers.Concatenate,),
    Flatten: (layers.Flatten,),
    Reshape: (layers.Reshape,),
}
FAMILIES = {layer: cls for cls, known in _BY_CLASS.items() for layer in known}
FAMILIES |= dict.fromkeys(MERGING_OPERATIONS.values(), Merge)
FAMILIES |= dict.fromkeys(ELEMENTWISE_OPERATIONS, Elementwise)


def understand(is_shared: bool, layer: keras.layers.Layer, *where: Any) -> Call:
    """Returns the call of a layer, as the class that knows what the layer does to channels.

    Args:
        is_shared: Whether the layer is called more than once.
        layer: The layer or operation.
        *where: Path, arguments and outputs, as in `Call`.
    """
    cls = FAMILIES.get(type(layer), Call)
    call = cls(layer, *where)
    reason: str | None
    if call.kwargs.get("training"):
        reason = "called with training=True"
    elif cls is Call:
        reason = f"{type(layer).__name__} cannot be taken apart"
    elif is_shared and not cls.shareable:
        reason = "called more than once"
    elif getattr(layer, "data_format", None) == "channels_first":
        reason = "its channels come first"
    else:
        reason = call.refusal()
    if reason:
        path, args, kwargs, outputs = where
        return Call(layer, path, args, kwargs, outputs, reason)
    return call
