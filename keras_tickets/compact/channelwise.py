"""Layers in which each output channel depends on one input channel."""

import keras
import numpy as np

from keras_tickets.compact.activations import is_elementwise, map_constants
from keras_tickets.compact.call import Call, Connection

PADDED = "a constant other than 0 meets zero padding"


class Channelwise(Call):
    """A call whose channels stay or go with those of its inputs; constants pass unchanged.

    Pooling, dropout at inference, upsampling, cropping.
    """

    shareable = True
    turns_live = "a constant becomes live"

    def refusal(self):
        return None if len(self.inputs) == 1 else "called on more than one tensor"

    def links(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each input, indices of its channels and of the corresponding output channels."""
        channels = np.arange(self.inputs[0].kept.size)
        return [(channels, channels)]

    def connections(self):
        tensors = zip(self.inputs, self.links(), strict=True)
        return [Connection(channels, self.outputs[0], *pair) for channels, pair in tensors]

    def infer(self):
        self.outputs[0].constant = self.inputs[0].constant.copy()

    def keep(self):
        output = self.outputs[0]
        for channels, (own, there) in zip(self.inputs, self.links(), strict=True):
            channels.kept[own[output.kept[there]]] = True
            output.kept[there[channels.kept[own]]] = True

    def stayed(self):
        output = self.outputs[0]
        for channels, (own, there) in zip(self.inputs, self.links(), strict=True):
            turned = channels.is_constant[own] & output.kept[there] & ~output.is_constant[there]
            if turned.any():
                yield np.unique(own[turned]).size, self.turns_live

    def remake(self):
        if not isinstance(self.layer, keras.layers.Layer):
            return self.layer
        return type(self.layer).from_config(self.layer.get_config())


class ZeroPadding(Channelwise):
    """Padding with zeros: only a channel that is constant at 0 stays constant."""

    turns_live = PADDED

    def infer(self):
        constant = self.inputs[0].constant
        self.outputs[0].constant = np.where(constant == 0, 0.0, np.nan)


class Elementwise(Channelwise):
    """An activation layer."""

    def refusal(self):
        if isinstance(self.layer, keras.layers.Activation) and not is_elementwise(
            self.layer.activation
        ):
            return "its activation may join channels"
        return super().refusal()

    def infer(self):
        self.outputs[0].constant = map_constants(self.layer, self.inputs[0].constant)


class PReLU(Channelwise):
    """An activation with slopes of its own for each channel."""

    shareable = False

    def refusal(self):
        if self.layer.alpha.shape[-1] != self.inputs[0].kept.size:
            return "channels share a slope"
        return super().refusal()

    def infer(self):
        slopes = self.layer.alpha.numpy().reshape((-1, self.inputs[0].kept.size))
        constant = self.inputs[0].constant
        negative = np.where((slopes == slopes[0]).all(axis=0), slopes[0] * constant, np.nan)
        self.outputs[0].constant = np.where(constant >= 0, constant, negative)

    def weights(self):
        return {"alpha": self.layer.alpha.numpy()[..., self.inputs[0].kept]}

    def remake(self):
        return self.resized()


class BatchNormalization(Channelwise):
    """Batch normalization with its moving averages, over the last axis."""

    shareable = False

    def refusal(self):
        if self.layer.axis not in (-1, len(self.inputs[0].spec.shape) - 1):
            return "its axis is not the last one"
        if getattr(self.layer, "renorm", False):
            return "batch renormalization"
        return super().refusal()

    def _statistics(self):
        names = ("gamma",) * self.layer.scale + ("beta",) * self.layer.center
        names += ("moving_mean", "moving_variance")
        return {name: getattr(self.layer, name).numpy() for name in names}

    def infer(self):
        values = {name: value.astype("float64") for name, value in self._statistics().items()}
        factor = values.get("gamma", 1.0) / np.sqrt(values["moving_variance"] + self.layer.epsilon)
        centered = self.inputs[0].constant - values["moving_mean"]
        centered = np.where(factor == 0, 0.0, centered)
        constant = factor * centered + values.get("beta", 0.0)
        self.outputs[0].constant = np.where(np.isfinite(constant), constant, np.nan)

    def weights(self):
        kept = self.inputs[0].kept
        return {name: value[kept] for name, value in self._statistics().items()}

    def remake(self):
        return self.resized()


class DepthwiseConvolution(Channelwise):
    """A depthwise convolution: each input channel has its own output channels."""

    shareable = False
    kernel_name = "kernel"
    turns_live = PADDED

    def refusal(self):
        if not is_elementwise(self.layer.activation):
            return "its activation may join channels"
        return super().refusal()

    def links(self):
        there = np.arange(self.outputs[0].kept.size)
        return [(there // self.layer.depth_multiplier, there)]

    def connections(self):
        ((own, there),) = self.links()
        kernel = self.layer.kernel.numpy().reshape((-1, there.size))
        reads = kernel.any(axis=0)
        return [Connection(self.inputs[0], self.outputs[0], own[reads], there[reads])]

    def on_paths(self, reached, needed):
        shape = self.layer.kernel.shape[-2:]
        return {"kernel": reached[self.inputs[0]][:, None] & needed[self.outputs[0]].reshape(shape)}

    def infer(self):
        kernel = self.layer.kernel.numpy()
        kernel = kernel.reshape((-1, self.outputs[0].kept.size)).astype("float64")
        source = np.repeat(self.inputs[0].constant, self.layer.depth_multiplier)
        folds = (source == 0) | ~np.isnan(source) & np.bool_(is_unpadded(self.layer))
        zero = ~kernel.any(axis=0)
        constant = np.where(zero, 0.0, np.where(folds, source * kernel.sum(axis=0), np.nan))
        if self.layer.use_bias:
            constant = constant + self.layer.bias.numpy()
        self.outputs[0].constant = map_constants(self.layer.activation, constant)

    def weights(self):
        weights = {"kernel": self.layer.kernel.numpy()[..., self.inputs[0].kept, :]}
        if self.layer.use_bias:
            weights["bias"] = self.layer.bias.numpy()[self.outputs[0].kept]
        return weights

    def remake(self):
        return self.resized()


def is_unpadded(layer: keras.layers.Layer) -> bool:
    """Whether every output position of a convolution reads real input positions only."""
    return layer.padding == "valid" or all(size == 1 for size in layer.kernel_size)
