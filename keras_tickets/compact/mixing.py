"""Layers whose every output channel reads all input channels: dense layers and convolutions."""

import functools

import numpy as np

from keras_tickets.compact.activations import is_elementwise, map_constants
from keras_tickets.compact.call import Call, Connection
from keras_tickets.compact.channelwise import PADDED, is_unpadded


class Mixing(Call):
    """A dense layer or convolution of `kernel` (…, input channels, output channels) and `bias`.

    A constant input channel is folded into the bias if every output position reads it alike: in a
    dense layer, in a convolution without padding, or if the constant is 0. Otherwise, one constant
    channel is kept, and the weights of the others are added to its own.
    """

    size_name = "filters"
    kernel_name = "kernel"
    merges_constants = True

    def refusal(self):
        layer = self.layer
        if len(self.inputs) != 1:
            return "called on more than one tensor"
        if getattr(layer, "quantization_mode", None) or getattr(layer, "lora_enabled", False):
            return "quantized, or with LoRA weights"
        if getattr(layer, "groups", 1) > 1:
            return "a grouped convolution"
        return None

    @property
    def folds_any(self) -> bool:
        """Whether constants other than 0 can be folded."""
        return is_unpadded(self.layer)

    def kernel(self) -> np.ndarray:
        """The kernel, with input channels and output channels as its last axes."""
        return self.orient(self.layer.kernel.numpy())

    def orient(self, kernel: np.ndarray) -> np.ndarray:
        """Converts the axes of the layer's kernel to input and output channels last, and back."""
        return kernel

    @functools.cached_property
    def _reads(self) -> np.ndarray:
        """Boolean (input channels, output channels): which pairs have a nonzero weight."""
        kernel = self.kernel()
        return (kernel != 0).any(axis=tuple(range(kernel.ndim - 2)))

    @functools.cached_property
    def _folds(self) -> np.ndarray:
        constant = self.inputs[0].constant
        return (constant == 0) | ~np.isnan(constant) & np.bool_(self.folds_any)

    @functools.cached_property
    def _merges(self) -> np.ndarray:
        """Boolean (input channels): constants that one kept channel can represent."""
        return self.inputs[0].is_constant & ~self._folds & np.bool_(self.merges_constants)

    def _bias(self, folded: np.ndarray) -> np.ndarray:
        """The bias, plus the contributions of the `folded` input channels."""
        bias = np.zeros(self.outputs[0].kept.size)
        if self.layer.use_bias:
            bias += self.layer.bias.numpy()
        constant = self.inputs[0].constant
        rows = np.flatnonzero(folded & (np.nan_to_num(constant) != 0))
        if rows.size:
            kernel = self.kernel()[..., rows, :].astype("float64")
            bias += constant[rows] @ kernel.sum(axis=tuple(range(kernel.ndim - 2)))
        return bias

    def connections(self):
        reads = self._reads
        if not is_elementwise(self.layer.activation):
            reads = np.broadcast_to(reads.any(axis=1, keepdims=True), reads.shape)
        return [Connection(self.inputs[0], self.outputs[0], *np.nonzero(reads))]

    def on_paths(self, reached, needed):
        read = needed[self.outputs[0]]
        if not is_elementwise(self.layer.activation):
            read = np.full_like(read, read.any())
        pairs = reached[self.inputs[0]][:, None] & read
        axes = tuple(range(len(self.layer.kernel.shape) - 2))
        return {"kernel": self.orient(np.expand_dims(pairs, axes))}

    def infer(self):
        if is_elementwise(self.layer.activation):
            live = self._reads[~self._folds].any(axis=0)
            constant = np.where(live, np.nan, self._bias(self._folds))
            self.outputs[0].constant = map_constants(self.layer.activation, constant)

    def keep(self):
        output = self.outputs[0]
        if not is_elementwise(self.layer.activation):
            output.kept[:] = True
        self.inputs[0].kept |= self._read() & ~self._folds & ~self._merges

    def _read(self):
        return self._reads[:, self.outputs[0].kept].any(axis=1)

    def keep_constant(self):
        channels = self.inputs[0]
        merged = self._read() & self._merges
        if not merged.any() or (channels.kept & self._merges).any():
            return False
        channels.kept[np.argmax(np.where(merged, np.abs(channels.constant), 0.0))] = True
        return True

    def stayed(self):
        channels = self.inputs[0]
        stuck = channels.is_constant & channels.kept & self._read() & ~self._folds
        if stuck.any():
            yield int(stuck.sum()), PADDED

    def _merged_kernel(self):
        """The kernel, with the weights of merged constants added to those of the kept one."""
        channels, kernel = self.inputs[0], self.kernel()
        merged = np.flatnonzero(self._read() & self._merges & ~channels.kept)
        if not merged.size:
            return kernel
        sizes = np.where(channels.kept & self._merges, np.abs(channels.constant), 0.0)
        target = np.argmax(sizes)
        shares = channels.constant[merged] / channels.constant[target]
        added = np.einsum("i,...io->...o", shares, kernel[..., merged, :].astype("float64"))
        kernel = kernel.copy()
        kernel[..., target, :] += added.astype(kernel.dtype)
        return kernel

    def sliced_kernels(self) -> dict[str, np.ndarray]:
        """The kernels for the kept channels, by attribute."""
        kernel = self._merged_kernel()[..., self.inputs[0].kept, :][..., self.outputs[0].kept]
        return {"kernel": self.orient(kernel)}

    def weights(self):
        bias = self._bias(self._folds & ~self.inputs[0].kept)[self.outputs[0].kept]
        needs_bias = self.layer.use_bias or bias.any()
        return self.sliced_kernels() | ({"bias": bias} if needs_bias else {})

    def remake(self):
        size = {self.size_name: int(self.outputs[0].kept.sum())}
        return self.resized(**size, use_bias="bias" in self.weights())


class MatrixProduct(Mixing):
    """A dense layer."""

    size_name = "units"
    folds_any = True


class TransposedConvolution(Mixing):
    """A transposed convolution: positions at the border read less, so only 0 is folded."""

    folds_any = False

    def orient(self, kernel):
        return np.swapaxes(kernel, -1, -2)


class SeparableConvolution(Mixing):
    """A depthwise and a pointwise convolution, which together act as one convolution."""

    kernel_name = "pointwise_kernel"
    merges_constants = False

    def kernel(self):
        depthwise = self.layer.depthwise_kernel.numpy()
        pointwise = self.layer.pointwise_kernel.numpy()
        pointwise = pointwise.reshape((*depthwise.shape[-2:], -1))
        return np.einsum("...im,imo->...io", depthwise, pointwise)

    def on_paths(self, reached, needed):
        depthwise = self.layer.depthwise_kernel.numpy()
        channels = depthwise.shape[-2:]
        made = depthwise.any(axis=tuple(range(depthwise.ndim - 2)))
        made &= reached[self.inputs[0]][:, None]
        pointwise = self.layer.pointwise_kernel.numpy().reshape((made.size, -1))
        read = (pointwise[:, needed[self.outputs[0]]] != 0).any(axis=1).reshape(channels)
        return {
            "depthwise_kernel": made & read,
            "pointwise_kernel": made.reshape(-1, 1) & needed[self.outputs[0]],
        }

    def sliced_kernels(self):
        depthwise = self.layer.depthwise_kernel.numpy()
        kept = self.inputs[0].kept
        rows = np.repeat(kept, depthwise.shape[-1])
        pointwise = self.layer.pointwise_kernel.numpy()[..., rows, :]
        return {
            "depthwise_kernel": depthwise[..., kept, :],
            "pointwise_kernel": pointwise[..., self.outputs[0].kept],
        }
