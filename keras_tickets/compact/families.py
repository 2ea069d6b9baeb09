"""Which class of call each layer class is."""

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

_BY_NAME = {
    MatrixProduct: "Dense",
    Mixing: "Conv1D Conv2D Conv3D",
    TransposedConvolution: "Conv1DTranspose Conv2DTranspose Conv3DTranspose",
    SeparableConvolution: "SeparableConv1D SeparableConv2D",
    DepthwiseConvolution: "DepthwiseConv1D DepthwiseConv2D",
    BatchNormalization: "BatchNormalization",
    PReLU: "PReLU",
    Elementwise: "Activation ReLU LeakyReLU ELU",
    Channelwise: "Identity Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D AlphaDropout "
    "GaussianDropout GaussianNoise ActivityRegularization RepeatVector "
    "MaxPooling1D MaxPooling2D MaxPooling3D AveragePooling1D AveragePooling2D AveragePooling3D "
    "GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GlobalAveragePooling1D "
    "GlobalAveragePooling2D GlobalAveragePooling3D UpSampling1D UpSampling2D UpSampling3D "
    "Cropping1D Cropping2D Cropping3D",
    ZeroPadding: "ZeroPadding1D ZeroPadding2D ZeroPadding3D",
    Merge: "Add Subtract Multiply Average Maximum Minimum",
    Concatenate: "Concatenate",
    Flatten: "Flatten",
    Reshape: "Reshape",
}
FAMILIES = {getattr(layers, name): cls for cls, names in _BY_NAME.items() for name in names.split()}
FAMILIES |= dict.fromkeys(MERGING_OPERATIONS.values(), Merge)
FAMILIES |= dict.fromkeys(ELEMENTWISE_OPERATIONS, Elementwise)


def understand(is_shared: bool, layer: keras.layers.Layer, *where: Any) -> Call:
    """The call of a layer, of the class that knows what it does to channels.

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
