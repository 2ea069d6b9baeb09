"""`SparseDense`: a fully connected layer that stores only its nonzero weights."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import _keras_compat, _sparse_storage
from keras_tickets._checks import (
    check_flag,
    check_integer,
    check_one_of,
    check_seed,
    check_sparsity,
)
from keras_tickets._selection.counts import nonzeros
from keras_tickets._sparse_storage.kernel import SparseKernel
from keras_tickets._sparse_storage.positions import check_positions, draw_positions
from keras_tickets._storage import SPARSE_DTYPES
from keras_tickets.initializers import SparseVarianceScaling
from keras_tickets.layers._masked_values import collect
from keras_tickets.layers._stand_ins import has_stand_in, stand_in


@keras.saving.register_keras_serializable("keras_tickets")
class SparseDense(_keras_compat.AskedBeforeSavedModel, keras.layers.Layer):
    """A `keras.layers.Dense` that stores only its nonzero weights.

    The kernel is held as `values` and their `indices`. No array of the kernel's size is ever
    formed: neither weights nor mask, gradient or optimizer slot. The sparsity determines the number
    of weights, which never changes. Their first positions are drawn from the layer's name and the
    seed, exactly as `kt.sparsify` draws the random mask of a kernel of that path; for a kernel of
    more than 2**31 - 1 weights, they are the beginning of a random permutation.

    It trains in any Keras model. `kt.sparsify(…, storage="sparse")` puts it in place of the Dense
    layers of a model.

    Computation is in float32 or float64, and under a mixed policy in float32: only the outputs have
    the policy's compute dtype.

    Args:
        units: Number of outputs.
        sparsity: Share of zeros in [0, 1) of the kernel.
        activation: As in `keras.layers.Dense`, like the arguments of the bias.
        use_bias: Whether there is a bias, which is dense.
        kernel_initializer: Draws the values. `None` for a `kt.initializers.SparseVarianceScaling`
            with the layer's seed, whose variance is by each unit's own connections. So is that of
            Keras's `VarianceScaling` and those made of it, such as "he_normal". Any other
            initializer of Keras draws a vector of the values.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Of the values: one that is a sum over single weights, such as L2.
        bias_regularizer: Regularizer of the bias.
        bias_constraint: Constraint of the bias.
        seed: Non-negative integer: the positions, and by default the values, depend on it and on
            the layer's name.
        engine: What computes: "tensorflow", "numba" (`pip install keras-tickets[cpu]`), or "auto"
            for numba where it is installed and works. Neither works under XLA (`jit_compile=True`);
            numba works on one replica, and an exported SavedModel with it is refused.
        **kwargs: Arguments of `keras.layers.Layer`.

    Attributes:
        values: Trainable variable of shape (weights,).
        indices: Non-trainable int64 variable of the same shape: flat positions of the values in the
            kernel of shape (inputs, units), `input * units + unit`, ascending.

    Call arguments:
        inputs: Tensor of shape (batch, …, inputs).

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range or unknown, or the dtype is not float32, float64 or
            a mixed policy.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential(
        [
            keras.Input((1000,)),
            kt.layers.SparseDense(2000, sparsity=0.99, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    assert model.layers[0].values.shape == (20_000,)
    ```
    """

    def __init__(
        self,
        units: int,
        sparsity: float,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = None,
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        bias_constraint: Any = None,
        *,
        seed: int = 0,
        engine: str = "auto",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.units = check_integer("units", units, low=1)
        self.sparsity = check_sparsity(sparsity)
        self.activation = keras.activations.get(activation)
        self.use_bias = check_flag("use_bias", use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.seed = check_seed(seed)
        self.engine = check_one_of("engine", engine, _sparse_storage.ENGINES)
        if self.variable_dtype not in SPARSE_DTYPES or self.quantization_mode:
            raise ValueError(
                f"`dtype` must have variables of one of {SPARSE_DTYPES} for sparse storage. "
                f"Received: dtype={self.dtype_policy.name!r}"
            )
        self.kernel_name: str | None = None
        self.masked_kernels: list[SparseKernel] = []
        self.supports_masking = True
        self.supports_jit = False
        self.input_spec = keras.layers.InputSpec(min_ndim=2)

    def build(self, input_shape):
        inputs = input_shape[-1]
        if inputs is None:
            raise ValueError(
                "The last axis of the input of a SparseDense layer must have a known size. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        shape = (inputs, self.units)
        name = self.kernel_name or f"{self.name}/kernel"
        count = nonzeros(inputs * self.units, self.sparsity)
        drawn = None

        def positions():
            nonlocal drawn
            # In a graph the variables hold nothing yet, and any values will do. Keras may build in
            # a graph and ask for the values later.
            if drawn is None and tf.executing_eagerly():
                drawn = draw_positions(shape, count, name, self.seed)
            return drawn

        self.values = self.add_weight(
            shape=(count,),
            initializer=lambda _, dtype: self._first_values(positions(), count, shape, dtype, name),
            regularizer=self.kernel_regularizer,
            autocast=False,
            name="kernel",
        )
        self.indices = self.add_weight(
            shape=(count,),
            initializer=lambda _, dtype: np.arange(count) if positions() is None else positions(),
            dtype="int64",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name="kernel_indices",
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )
        record = SparseKernel(name, self.values, self.indices, shape, self.sparsity)
        record.named = self.kernel_name is not None
        self.masked_kernels = [record]
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: inputs})

    def _first_values(self, positions, count, shape, dtype, name):
        if positions is None:
            return np.zeros(count, dtype)
        initializer = self.kernel_initializer
        if initializer is None:
            initializer = SparseVarianceScaling(seed=self.seed)
        elif isinstance(initializer, keras.initializers.VarianceScaling):
            initializer = SparseVarianceScaling.like(initializer, seed=self.seed)
        if isinstance(initializer, SparseVarianceScaling):
            return initializer.at(positions, shape, dtype, path=name)
        return initializer((count,), dtype=dtype)

    def call(self, inputs):
        record = self.masked_kernels[0]
        values = _keras_compat.uncast(self.values)
        indices = _keras_compat.uncast(self.indices)
        inputs = tf.convert_to_tensor(inputs)
        x = tf.reshape(tf.cast(inputs, values.dtype), (-1, record.shape[0]))
        x = tf.ensure_shape(x, (None if inputs.shape.rank != 2 else inputs.shape[0], x.shape[1]))
        if (kernel := stand_in(record)) is not None:
            product = tf.matmul(tf.cast(x, kernel.dtype), kernel, transpose_b=True)
        else:
            pattern = _sparse_storage.Pattern(indices, *record.shape)
            engine = _sparse_storage.find_engine(self.engine)
            product = _sparse_storage.multiply(engine, pattern, values, x)
        collect(record, product, x)
        outputs = tf.cast(product, self.compute_dtype)
        if inputs.shape.rank != 2:
            outputs = tf.reshape(outputs, (*_sizes(inputs)[:-1], self.units))
        if self.bias is not None:
            outputs = outputs + tf.convert_to_tensor(self.bias)
        return self.activation(outputs)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def check_saved_model(self):
        standing_in = any(map(has_stand_in, self.masked_kernels))
        if not standing_in and not _sparse_storage.in_saved_models(self.engine):
            raise ValueError(
                f"Layer {self.name!r} computes with numba, which a SavedModel cannot hold. Use "
                "`kt.export`, or `kt.strip(model).export(…)`; or set its `engine` to "
                f'"tensorflow" before. Received: engine={self.engine!r}'
            )

    def save_own_variables(self, store):
        store["values"], store["indices"] = self.values.numpy(), self.indices.numpy()
        if self.bias is not None:
            store["bias"] = self.bias.numpy()

    def load_own_variables(self, store):
        record, names = self.masked_kernels[0], ["values", "indices", "bias"][: 2 + self.use_bias]
        if set(store.keys()) != set(names):
            raise ValueError(
                f"Layer {self.name!r} is stored as {names}. The file holds {sorted(store.keys())}."
            )
        arrays = {name: np.asarray(store[name]) for name in names}
        for name, variable in zip(names, (self.values, self.indices, self.bias), strict=False):
            if arrays[name].shape != tuple(variable.shape):
                raise ValueError(
                    f"The file's {name} of layer {self.name!r} have shape {arrays[name].shape}; "
                    f"the layer's have {tuple(variable.shape)}."
                )
        try:
            positions = check_positions(arrays["indices"], record.shape, record.count())
        except ValueError as error:
            raise ValueError(f"The file's indices of layer {self.name!r}: {error}.") from error
        self.values.assign(arrays["values"])
        self.indices.assign(positions)
        if self.bias is not None:
            self.bias.assign(arrays["bias"])

    def get_config(self):
        record = self.masked_kernels[0] if self.masked_kernels else None
        return {
            **super().get_config(),
            "units": self.units,
            "sparsity": self.sparsity,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
            "seed": self.seed,
            "engine": self.engine,
            "kernel_name": record.name if record and record.named else self.kernel_name,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        name = config.pop("kernel_name", None)
        layer = super().from_config(config)
        layer.kernel_name = name
        return layer


def _sizes(tensor):
    """The sizes of a tensor's axes, as numbers where they are known."""
    dynamic = tf.shape(tensor)
    return [dynamic[i] if size is None else size for i, size in enumerate(tensor.shape)]
