"""`SparseModel`: a Keras model with masked kernels."""

import os
import warnings
import zipfile
from typing import Any

import keras
import numpy as np

from keras_tickets import _keras_compat, masks
from keras_tickets._checks import check_model
from keras_tickets._kernels.calls import last_call, tensor_arguments
from keras_tickets._kernels.graphs import graph_of
from keras_tickets._training_step.training import SparseTraining
from keras_tickets.layers._sparse_root import SparseRoot, root_of
from keras_tickets.layers.sparse import Sparse
from keras_tickets.layers.sparse_dense import SparseDense
from keras_tickets.model.loadable import check_loadable
from keras_tickets.model.sparse_storage import dense_layer, take_weights
from keras_tickets.model.stripping import unwrap
from keras_tickets.model.whole_files import WholeFiles
from keras_tickets.plan import SparsityPlan, summary


@keras.saving.register_keras_serializable("keras_tickets")
class SparseModel(WholeFiles, SparseTraining, _keras_compat.DelegatingFunctional):
    """A Keras model with `kt.layers.Sparse` layers, and a training step for sparse optimizers.

    `compile`, `fit`, `evaluate`, `predict` and saving work as in `keras.Model`, with or without a
    `tf.distribute` strategy, and with any `steps_per_execution`. `kt.sparsify` makes a sparse model
    from a dense one. A model without `Sparse` layers is trained densely.

    Args:
        inputs: Keras inputs, as in `keras.Model(inputs, outputs)`. Without `outputs`, a built Keras
            model, whose layers are used as they are.
        outputs: Keras outputs, as in `keras.Model(inputs, outputs)`.
        name: Name of the model.
        **kwargs: As in `keras.Model`.

    Raises:
        TypeError: `inputs` is not a Keras 3 model.
        ValueError: `inputs` is a model that is not built.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    inputs = keras.Input((16,))
    x = kt.layers.Sparse(keras.layers.Dense(32, activation="relu"), sparsity=0.9)(inputs)
    model = kt.SparseModel(inputs, keras.layers.Dense(4)(x))
    model.compile(kt.optimizers.RigL(keras.optimizers.SGD(0.1), end=100), loss="mse")
    ```
    """

    def __init__(
        self, inputs: Any, outputs: Any = None, name: str | None = None, **kwargs: Any
    ) -> None:
        # Keras loads a functional model from its config only if `__init__` has these names.
        super().__init__(**_functional_arguments(inputs, outputs, name, **kwargs))
        if outputs is None:
            _keras_compat.copy_settings(inputs, self)
        records = masks.masked_kernels(self)
        if len({id(record.kernel) for record in records}) < len(records):
            raise ValueError(
                "A kernel that two Sparse layers share would have two masks. Received: masked "
                f"kernels {[record.name for record in records]}. Put both layers into one model or "
                "layer, and that into `kt.layers.Sparse`."
            )
        masks.name_kernels(self)
        for record in records:
            if _keras_compat.is_initialized(record.support):
                record.begin()
        if (root := root_of(self)) is not None:
            self.delegate_to(root, self._arguments_of_root)

    def _arguments_of_root(self, args, kwargs):
        """The arguments of a call. One dict that has them all, as `input` has, is taken apart."""
        names = set(tensor_arguments(last_call(root_of(self))))
        is_dict = len(names) > 1 and len(args) == 1 and isinstance(args[0], dict)
        if is_dict and set(args[0]) == names:
            return (), {**args[0], **kwargs}
        return args, kwargs

    def load_weights(
        self, filepath: str | os.PathLike, skip_mismatch: bool = False, **kwargs: Any
    ) -> None:
        """Loads a file of this model's weights, or of its dense model's, which has no masks.

        In the second case the masks stay. If an error is raised, the model has not changed.

        Args:
            filepath: Path of a `.weights.h5`, `.weights.json` or `.keras` file.
            skip_mismatch: Whether to load the weights that fit and to warn of the others, for
                example for a model with a new head.
            **kwargs: As in `keras.Model.load_weights`.

        Raises:
            ValueError: The file fits neither model, lacks a mask, or is in another basis.
            OSError: The file cannot be read.
        """
        variables = [*self.variables, *(self.optimizer.variables if self.compiled else ())]
        before = [variable.numpy() for variable in variables]
        try:
            self._load_weights(filepath, skip_mismatch, **kwargs)
        except BaseException:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)
            raise
        self.rest()

    def _load_weights(self, filepath, skip_mismatch, **kwargs):
        try:
            if skip_mismatch:
                self._load_what_fits(filepath, **kwargs)
            else:
                super().load_weights(filepath, **kwargs)
        except ValueError as failure:
            if skip_mismatch:
                raise
            try:
                self._load_dense(filepath, **kwargs)
            except ValueError as dense_failure:
                raise ValueError(
                    f"Weights file {str(filepath)!r} fits neither model {self.name!r} nor its "
                    f"dense one.\n\nAs weights of the sparse model: {failure}\n\n"
                    f"As weights of the dense model: {dense_failure}"
                ) from None
        except (FileNotFoundError, PermissionError, IsADirectoryError):
            raise
        except (OSError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
            # After an `OSError`, `keras.callbacks.BackupAndRestore` falls back on its older file.
            raise OSError(f"Weights file {str(filepath)!r} is damaged: {error}") from error

    def _load_what_fits(self, filepath, **kwargs):
        wrappers = [la for la in _keras_compat.all_layers(self) if isinstance(la, Sparse)]
        for wrapper in wrappers:
            wrapper.forget_file()
        with warnings.catch_warnings(record=True) as skipped:
            warnings.simplefilter("always")
            super().load_weights(filepath, skip_mismatch=True, **kwargs)
        if not any(wrapper.found_masks for wrapper in wrappers):
            self._load_dense(filepath, skip_mismatch=True, **kwargs)
            return
        if other := [wrapper.name for wrapper in wrappers if not wrapper.found_basis]:
            raise ValueError(
                f"Weights file {str(filepath)!r} holds the kernels of layers {other} in another "
                f"basis than model {self.name!r}. Nothing of it can be skipped."
            )
        for warning in skipped:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )

    def _load_dense(self, filepath, **kwargs):
        """Loads weights of the model without masks, which has the same layers."""
        masks.refuse_coefficients(masks.kernels_by_path(self), "Loading dense weights")
        stored = {}

        def plain(layer, wrapper):
            if isinstance(layer, SparseDense):
                stored[layer] = dense_layer(layer)
            return stored.get(layer, layer)

        unwrap(self, plain).load_weights(filepath, **kwargs)
        for layer, dense in stored.items():
            take_weights(layer, dense)

    def save(self, filepath: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Saves the model, as `keras.Model.save` does.

        Args:
            filepath: Path of a `.keras` file.
            *args: As in `keras.Model.save`.
            **kwargs: As in `keras.Model.save`.

        Raises:
            ValueError: The file could not be loaded again. Nothing is written.
        """
        check_loadable(self)
        super().save(filepath, *args, **kwargs)

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        """Not supported.

        Raises:
            ValueError: Always. A quantized model with masks could not be loaded again.
        """
        raise ValueError(
            f"Model {self.name!r} has masks and cannot be quantized: it could not be loaded again. "
            "Make it plain first: `kt.strip(model).quantize(…)`, or use `kt.export` with "
            "`quantize=`."
        )

    def export(self, *args: Any, **kwargs: Any) -> Any:
        """Exports the model, as `keras.Model.export` does; see `kt.export` for more.

        Raises:
            ValueError: Kernels are stored sparsely, which no format of Keras holds.
        """
        records = masks.kernels_by_path(self)
        if stored := [path for path, each in records.items() if each.storage == "sparse"]:
            raise ValueError(
                f"Kernels {stored} are stored sparsely, and `export` of Keras cannot write them. "
                "Use `kt.export`, or `kt.strip(model).export(…)`."
            )
        return super().export(*args, **kwargs)

    @property
    def masks(self) -> dict[str, np.ndarray]:
        """`{kernel path: boolean array}`, as from `kt.get_masks`."""
        return masks.get_masks(self)

    @property
    def sparsity(self) -> float:
        """Share of zeros over the masked kernels; 0 if there are none."""
        return masks.sparsity_of_masks(self)

    @property
    def plan(self) -> SparsityPlan:
        """The masked kernels as they are now, as from `kt.summary`."""
        return summary(self)


def _functional_arguments(inputs, outputs, name, **kwargs):
    if outputs is None:
        check_model(inputs)
        name = name or inputs.name
        inputs, outputs = graph_of(
            inputs, lambda layer: layer, lambda model: SparseRoot(model, sparsity={})
        )
    return {"inputs": inputs, "outputs": outputs, "name": name, **kwargs}
