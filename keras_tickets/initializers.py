"""Initial weights for sparse kernels, with the variance that each neuron's connections ask for."""

import math
import zlib

import keras
import numpy as np

from keras_tickets._checks import check_number, check_one_of, check_seed
from keras_tickets._kernels.find import all_kernels
from keras_tickets._sparse_storage.kernel import SparseKernel
from keras_tickets.masks import kernels_by_path, masked_kernels, refuse_coefficients

__all__ = ["SparseVarianceScaling", "initialize"]

_MODES = ("fan_in", "fan_out", "fan_avg")
_DISTRIBUTIONS = ("normal", "truncated_normal", "uniform")
# Standard deviation of a standard normal that is cut off at two standard deviations.
_TRUNCATED_DEVIATION = 0.87962566103423978


@keras.saving.register_keras_serializable("keras_tickets")
class SparseVarianceScaling(keras.initializers.Initializer):
    """Draws weights whose variance is `scale` divided by the neuron's own number of connections.

    A connection from input j to output i has variance scale / fan. The fan is the number of active
    weights into output i ("fan_in"), the number out of input j ("fan_out"), or the mean of both
    ("fan_avg"), but at least 1. In a convolution, weights at all spatial positions count. Without a
    mask this is Keras's `VarianceScaling`.

    Use `kt.initializers.initialize` for the kernels of a model.

    Args:
        scale: Positive number: 2 for ReLU networks (He), 1 with "fan_avg" for Glorot's.
        mode: "fan_in", "fan_out" or "fan_avg".
        distribution: "normal", "truncated_normal" (at two standard deviations) or "uniform".
        seed: Non-negative integer.

    Raises:
        ValueError: An argument is out of range or unknown.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    mask = np.zeros((100, 2), bool)
    mask[:, 0], mask[:4, 1] = True, True
    kernel = kt.initializers.SparseVarianceScaling(seed=1)((100, 2), mask=mask)
    assert kernel[:, 0].std() < kernel[:4, 1].std() and not kernel[4:, 1].any()
    ```

    References:
        - [Evci et al., 2022, "Gradient flow in sparse neural networks and how lottery tickets win",
          section 3.1](https://arxiv.org/abs/2010.03533)
    """

    def __init__(
        self,
        scale: float = 2.0,
        mode: str = "fan_in",
        distribution: str = "normal",
        seed: int = 0,
    ):
        self.scale = check_number("scale", scale, "(0, inf)")
        check_one_of("mode", mode, _MODES)
        check_one_of("distribution", distribution, _DISTRIBUTIONS)
        self.mode = mode
        self.distribution = distribution
        self.seed = check_seed(seed)

    def __call__(
        self,
        shape: tuple[int, ...],
        dtype: str | None = None,
        *,
        mask: np.ndarray | None = None,
        input_axes: tuple[int, ...] = (-2,),
        output_axes: tuple[int, ...] = (-1,),
        path: str = "",
    ) -> np.ndarray:
        """Draws a kernel.

        Args:
            shape: Shape of the kernel.
            dtype: Its dtype; by default, Keras's float type.
            mask: Boolean array of that shape. By default, all weights are active.
            input_axes: Axes of the inputs. Axes of neither inputs nor outputs are spatial.
            output_axes: Axes of the outputs.
            path: Kernel path. Draws for different paths are independent.

        Returns:
            Array of that shape, 0 off the mask.
        """
        mask = np.ones(shape, bool) if mask is None else np.asarray(mask, bool)
        inputs = {axis % len(shape) for axis in input_axes}
        outputs = {axis % len(shape) for axis in output_axes}

        def fan(kept_axes):
            summed = tuple(axis for axis in range(len(shape)) if axis not in kept_axes)
            return np.maximum(mask.sum(axis=summed, keepdims=True), 1)

        fan_in, fan_out = fan(outputs), fan(inputs)
        fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
        deviation = np.sqrt(self.scale / fans[self.mode])
        values = self._unit_noise(shape, path) * deviation
        dtype = keras.backend.standardize_dtype(dtype or keras.config.floatx())
        return np.where(mask, values, 0).astype(dtype)

    def at(
        self,
        positions: np.ndarray,
        shape: tuple[int, int],
        dtype: str | None = None,
        *,
        path: str = "",
    ) -> np.ndarray:
        """Draws the values of a kernel that is stored sparsely.

        Args:
            positions: Flat row-major positions of the weights in the kernel.
            shape: Inputs and units of the kernel.
            dtype: As in `__call__`.
            path: As in `__call__`.

        Returns:
            Array of the shape of `positions`. The variances are those of a masked kernel; the
            values are other draws.
        """
        inputs, units = shape
        fan_in = np.bincount(positions % units, minlength=units)[positions % units]
        fan_out = np.bincount(positions // units, minlength=inputs)[positions // units]
        fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
        values = self._unit_noise(positions.shape, path) * np.sqrt(self.scale / fans[self.mode])
        return values.astype(keras.backend.standardize_dtype(dtype or keras.config.floatx()))

    def _unit_noise(self, shape, path):
        """Independent draws of variance 1."""
        generator = np.random.default_rng([self.seed, zlib.crc32(path.encode())])
        if self.distribution == "uniform":
            return generator.uniform(-math.sqrt(3), math.sqrt(3), shape)
        noise = generator.standard_normal(shape)
        if self.distribution == "normal":
            return noise
        outside = np.abs(noise) > 2
        while outside.any():
            noise[outside] = generator.standard_normal(int(outside.sum()))
            outside = np.abs(noise) > 2
        return noise / _TRUNCATED_DEVIATION

    @classmethod
    def like(
        cls, initializer: keras.initializers.VarianceScaling, seed: int = 0
    ) -> "SparseVarianceScaling":
        """The same rule as one of Keras, by each neuron's own connections.

        Args:
            initializer: `keras.initializers.VarianceScaling` or one made of it, as "he_normal".
            seed: Seed where `initializer` has no number as its own.
        """
        distribution = {"untruncated_normal": "normal"}.get(
            initializer.distribution, initializer.distribution
        )
        own = initializer.seed
        seed = own if isinstance(own, int) and own >= 0 else seed
        return cls(initializer.scale, initializer.mode, distribution, seed)

    def get_config(self):
        return {
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "seed": self.seed,
        }


def initialize(sparse_model: keras.Model, initializer: SparseVarianceScaling) -> None:
    """Draws new values for all masked kernels of a model, for their present masks.

    Biases and other weights stay. The gates of a recurrent kernel count as outputs.

    Args:
        sparse_model: A `kt.SparseModel`.
        initializer: A `kt.initializers.SparseVarianceScaling`.

    Raises:
        TypeError: `initializer` is not a `kt.initializers.SparseVarianceScaling`.
        ValueError: The model has no masks, or has them in another basis.

    Example:

    ```python
    import keras_tickets as kt

    model = kt.sparsify(kt.models.lenet_300_100(), 0.98)
    kt.initializers.initialize(model, kt.initializers.SparseVarianceScaling())
    ```
    """
    if not isinstance(initializer, SparseVarianceScaling):
        raise TypeError(
            "`initializer` must be a kt.initializers.SparseVarianceScaling. Received: "
            f"initializer={initializer!r}"
        )
    refuse_coefficients(kernels_by_path(sparse_model), "An initializer")
    records = {id(record.kernel): record for record in masked_kernels(sparse_model)}
    if not records:
        raise ValueError(f"Model {sparse_model.name!r} has no masks: see `kt.sparsify`.")
    kernels = all_kernels(sparse_model)
    for kernel in kernels:
        if record := records.get(id(kernel.variable)):
            if isinstance(record, SparseKernel):
                positions, dtype = record.indices.numpy(), kernel.variable.dtype
                values = initializer.at(positions, record.shape, dtype, path=kernel.path)
                kernel.variable.assign(values)
                continue
            groups = _group_axes(kernel)
            values = initializer(
                kernel.shape,
                kernel.variable.dtype,
                mask=record.mask.numpy(),
                input_axes=(*kernel.input_axes, *groups),
                output_axes=(*kernel.output_axes, *groups),
                path=kernel.path,
            )
            kernel.variable.assign(values)


def _group_axes(kernel) -> tuple[int, ...]:
    """Axes along which an einsum stacks independent kernels."""
    known = (*kernel.input_axes, *kernel.output_axes)
    others = [axis for axis in range(len(kernel.shape)) if axis not in known]
    return tuple(others) if not kernel.spatial else ()
