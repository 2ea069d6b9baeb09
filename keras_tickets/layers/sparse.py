"""`Sparse`: any Keras layer with masked kernels."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import _keras_compat, masks, structures
from keras_tickets._checks import check_one_of, check_seed, check_sparsity
from keras_tickets._kernels.find import all_kernels, find_kernels
from keras_tickets._masked_kernel import FirstMask, MaskedKernel, apply_mask
from keras_tickets.bases.basis import Basis, deserialize, serialize
from keras_tickets.layers._mask_files import has_basis, read_masks, write_masks
from keras_tickets.layers._masked_values import masked_value


@keras.saving.register_keras_serializable("keras_tickets")
class Sparse(keras.layers.Wrapper):
    """Runs any Keras layer with `where(mask, kernel, 0)` in place of each of its kernels.

    It works for inner layers of any class. Their kernels are found once they are built. Call
    arguments, Keras's masking of timesteps, dtype policy, state (batch statistics, dropout seeds)
    and losses are those of the inner layer. Biases and other small weights stay dense. The masks
    are boolean: one byte per weight in memory, one bit in `.keras` and `.weights.h5` files.

    `kt.sparsify` wraps whole models. Wrap layers by hand to choose each sparsity yourself, and
    train the result in a `kt.SparseModel`.

    Args:
        layer: Keras layer, built or not.
        sparsity: Share of zeros in [0, 1) for every kernel of the layer; or `{path: share}` with
            paths inside the layer (`"kernel"`, `"query/kernel"`), where kernels that are not named
            stay dense and have no mask.
        structure: Which sets of weights the masks may leave: `None` for single weights, an object
            of `kt.structures`, or `{path: structure}` with paths as in `sparsity`.
        mask: How the first masks are drawn: "random", "magnitude" or "ones"; see `kt.sparsify`.
        seed: Non-negative integer for random masks, which also depend on the layer's name.
        **kwargs: Arguments of `keras.layers.Layer`. The name is the inner layer's by default.

    Raises:
        TypeError: `layer` is not a Keras layer, or is itself a `Sparse`.
        ValueError: `sparsity` is out of range; `sparsity` or `structure` names what is not a
            kernel; a structure does not fit a kernel; `mask` is unknown.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    inputs = keras.Input((16,))
    x = kt.layers.Sparse(keras.layers.Dense(32, activation="relu"), sparsity=0.9)(inputs)
    model = kt.SparseModel(inputs, keras.layers.Dense(4)(x))
    assert abs(model.sparsity - 0.9) < 0.01
    ```
    """

    hidden_in_paths = True

    def __init__(
        self,
        layer: keras.layers.Layer,
        sparsity: float | dict[str, float] = 0.0,
        *,
        structure: structures.Structure | dict[str, structures.Structure] | None = None,
        mask: str | None = None,
        seed: int = 0,
        **kwargs: Any,
    ):
        if not isinstance(layer, keras.layers.Layer) or hasattr(layer, "masked_kernels"):
            raise TypeError(
                f"`layer` must be a Keras layer that is not sparse. Received: layer={layer!r}"
            )
        kwargs.setdefault("name", layer.name)
        kwargs.setdefault("dtype", layer.dtype_policy)
        super().__init__(layer, **kwargs)
        if not isinstance(sparsity, dict):
            check_sparsity(sparsity)
        self.sparsity = sparsity
        self.structure: structures.Structure | dict[str, structures.Structure]
        if isinstance(structure, dict):
            self.structure = {path: structures.get(each) for path, each in structure.items()}
        else:
            self.structure = structures.get(structure)
        self.mask = mask if mask is None else check_one_of("mask", mask, masks.MASKS)
        self.seed = check_seed(seed)
        self.masked_kernels: list[MaskedKernel] = []
        self.names: dict[str, str] = {}
        self.basis: Basis | None = None
        self._waits_for_call = False
        self.forget_file()
        self.supports_masking = layer.supports_masking
        _keras_compat.adopt_call_of(self, layer)
        self._passes_on = True

    # --- Like the layer inside ------------------------------------------------------------------

    def __getattr__(self, name):
        layer = self.__dict__.get("layer")
        if layer is None or name.startswith("_") or name in ("save_assets", "load_assets"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(layer, name)

    def __setattr__(self, name, value):
        own = name.startswith("_") or name in self.__dict__ or hasattr(type(self), name)
        if not own and self.__dict__.get("_passes_on") and hasattr(self.layer, name):
            setattr(self.layer, name, value)
        else:
            super().__setattr__(name, value)

    @property
    def weights(self) -> list[keras.Variable]:
        """The weights of the layer inside. Masks are variables, but not weights."""
        return self.layer.weights

    @property
    def non_trainable_weights(self) -> list[keras.Variable]:
        """The masks, and the non-trainable weights of the layer inside."""
        # Keras's older `.h5` format saves these weights, and the masks belong in the file.
        return [*(record.mask for record in self.masked_kernels), *super().non_trainable_weights]

    @property
    def input_spec(self):
        """The input spec of the layer inside."""
        return self.layer.input_spec

    @input_spec.setter
    def input_spec(self, value):
        self.layer.input_spec = value

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Sets the weights of the layer inside, under the masks.

        Args:
            weights: Arrays, as `get_weights` of this layer or of the dense one returns them.
        """
        super().set_weights(weights)
        for record in self.masked_kernels:
            record.set(record.mask.numpy())

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError(_refusal(self, "quantized"))

    def enable_lora(self, *args: Any, **kwargs: Any) -> None:
        """Not supported.

        Raises:
            ValueError: Always. A layer with masks and low-rank factors could not be loaded again.
        """
        raise ValueError(_refusal(self, "given low-rank factors"))

    # --- Building and saving --------------------------------------------------------------------

    def __call__(self, *args, **kwargs):
        if self._waits_for_call:
            self.built = self._waits_for_call = False
        if not self.built and not _keras_compat.is_built(self.layer):
            _keras_compat.build_by_call(self.layer, *args, **kwargs)
        return super().__call__(*args, **kwargs)

    def build(self, input_shape=None):
        with _keras_compat.outer_name_scope():
            super().build(input_shape)
        _keras_compat.inline_functions(self.layer)
        self._create_masks()

    def get_build_config(self):
        return self.layer.get_build_config()

    def build_from_config(self, config):
        if not self.layer.built:
            self.layer.build_from_config(config)
        # An inner layer without a `build` method gets its weights from the first call, although
        # Keras marks this layer as built.
        self._waits_for_call = not _keras_compat.is_built(self.layer)
        if not self.built and not self._waits_for_call:
            self.build()

    def save_own_variables(self, store):
        write_masks(store, self.masked_kernels, self._present_basis())

    @property
    def found_masks(self) -> bool:
        """Whether weights files read since `forget_file` had masks for this layer."""
        return self._found_masks

    @property
    def found_basis(self) -> bool:
        """Whether the kernels in those files were in the basis of this layer."""
        return self._found_basis

    def forget_file(self) -> None:
        """Makes `found_masks` and `found_basis` speak of the next file alone."""
        self._found_masks, self._found_basis = False, True

    def load_own_variables(self, store):
        basis = self._present_basis()
        if store.keys():
            # Keras may offer a layer that it could not load an empty store as well.
            self._found_masks, self._found_basis = True, has_basis(store, basis)
        found = read_masks(store, self.name, self.masked_kernels, basis)
        for record, mask in zip(self.masked_kernels, found, strict=True):
            record.first = None
            record.mask.assign(mask)

    def _create_masks(self):
        if isinstance(self.sparsity, dict):
            kernels = all_kernels(self.layer)
            chosen = self.sparsity
        else:
            kernels, _ = find_kernels(self.layer)
            chosen = {kernel.path: self.sparsity for kernel in kernels}
        each = self.structure
        if not isinstance(each, dict):
            each = {kernel.path: each for kernel in kernels}
        self._check_paths("sparsity", chosen, kernels)
        self._check_paths("structure", each, kernels)
        records, paths = [], []
        for kernel in kernels:
            if kernel.path in chosen:
                sparsity = check_sparsity(chosen[kernel.path], f"sparsity[{kernel.path!r}]")
                name = self.names.get(kernel.path, f"{self.layer.name}/{kernel.path}")
                structure = structures.get(each.get(kernel.path))
                sparsity, layout = structures.fit(structure, kernel, sparsity)
                mask = self._add_mask(kernel, name, sparsity, layout)
                first = FirstMask(self.mask or "random", chosen=self.mask is not None)
                named = kernel.path in self.names
                record = MaskedKernel(name, kernel.variable, mask, sparsity, layout, first, named)
                record.use_basis(self.basis)
                records.append(record)
                paths.append(kernel.path)
                if _keras_compat.is_initialized(mask):
                    record.begin()
        self.masked_kernels, self._kernel_paths = records, paths
        for record in records:
            # `tf.train.Checkpoint` finds variables through attributes, not through lists.
            setattr(self, record.mask.name, record.mask)

    def _check_paths(self, argument, named, kernels):
        paths = [kernel.path for kernel in kernels]
        if unknown := sorted(set(named) - set(paths)):
            raise ValueError(
                f"`{argument}` of Sparse layer {self.name!r} names {unknown}, which are not "
                f"kernels of {self.layer.name!r}: {paths}"
            )

    def _add_mask(self, kernel, name, sparsity, layout):
        def initialize(shape, dtype=None):
            if self.mask == "ones" or not tf.executing_eagerly():
                # In a graph the variable has no values yet, and any will do.
                return tf.ones(shape, tf.bool)
            scores = masks.initial_scores(name, kernel.variable, self.mask, self.seed)
            return tf.constant(layout.draw(scores, sparsity))

        return self.add_weight(
            shape=kernel.variable.shape,
            initializer=initialize,
            dtype="bool",
            trainable=False,
            aggregation="only_first_replica",
            name=kernel.path.replace("/", "_") + "_mask",
        )

    def call(self, *args, **kwargs):
        values = _keras_compat.current_state(self.layer.variables)
        values += [(r.kernel, r.to_weights(masked_value(r))) for r in self.masked_kernels]
        with _keras_compat.masked_scope(values) as scope:
            outputs = self.layer(*args, **kwargs)
        for variable, value in scope.assigned:
            if (record := masks.record_of(variable)) in self.masked_kernels:
                coefficients = record.to_coefficients(value)
                value = apply_mask(_keras_compat.uncast(record.mask), coefficients)
            variable.assign(value)
        for loss in scope.losses:
            self.add_loss(loss)
        return outputs

    def compute_output_spec(self, *args, **kwargs):
        return _keras_compat.symbolic_call(self, *args, **kwargs)

    def compute_output_shape(self, *args, **kwargs):
        return self.layer.compute_output_shape(*args, **kwargs)

    def compute_mask(self, inputs, previous_mask):
        return self.layer.compute_mask(inputs, previous_mask)

    def get_config(self):
        config = super().get_config()
        return {
            **config,
            "layer_name": self.layer.name,
            "sparsity": self.sparsity,
            "structure": keras.saving.serialize_keras_object(self.structure),
            "mask": self.mask,
            "seed": self.seed,
            "names": self._given_names(),
            **({} if (basis := self._present_basis()) is None else {"basis": serialize(basis)}),
        }

    def _present_basis(self):
        """What the kernels of this layer need of the basis that they are in."""
        if not self.masked_kernels:
            return self.basis
        basis = self.masked_kernels[0].basis
        return basis and basis.of_kernels([record.name for record in self.masked_kernels])

    def _given_names(self):
        """`{path inside the layer: name}` of the kernels that a model has named.

        Random draws depend on these names, so they are saved.
        """
        if not self.built:
            return dict(self.names)
        pairs = zip(self._kernel_paths, self.masked_kernels, strict=True)
        return {path: record.name for path, record in pairs if record.named}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        structure = keras.saving.deserialize_keras_object(config["structure"], custom_objects)
        config = {**config, "structure": structure}
        name, names, basis = (config.pop(key, None) for key in ("layer_name", "names", "basis"))
        wrapper = super().from_config(config, custom_objects)
        wrapper.names = dict(names or {})
        wrapper.basis = None if basis is None else deserialize(basis)
        if name is not None:
            # The configuration of a layer without `get_config` may lack its name.
            wrapper.layer.name = name
        return wrapper


def _refusal(layer, what):
    return (
        f"Layer {layer.name!r} has masks and cannot be {what}: it could not be loaded again. "
        "Make the model plain first with `kt.strip`."
    )
