"""Tickets: masks with the weights that training starts from, and their files."""

import dataclasses
import functools
import json
import os
import types
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_tickets import _keras_compat, masks
from keras_tickets._checks import check_model
from keras_tickets._files.atomic import create_file
from keras_tickets._files.home import expand_home
from keras_tickets._files.named_arrays import DTYPES
from keras_tickets._files.ticket_file import (
    TicketContent,
    digest_ticket,
    encode_ticket,
    read_ticket,
)
from keras_tickets._kernels.axes import kernel_shape
from keras_tickets._kernels.find import find_kernels
from keras_tickets._kernels.paths import weight_paths
from keras_tickets._version import __version__
from keras_tickets.bases.basis import Basis, check_basis, deserialize, serialize
from keras_tickets.bases.identity import Identity
from keras_tickets.model import SparseModel, basis_of, set_basis, with_full_masks
from keras_tickets.pruning import settle_counts

__all__ = ["Ticket", "load_ticket", "save_ticket"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Ticket:
    """Masks, the weights that a network with these masks starts from, and where they come from.

    A ticket has all weights of a model: kernels, biases, scales and statistics of batch
    normalization. Kernels are exactly 0 off their masks. A ticket is immutable.

    Args:
        masks: `{kernel path: array}`. Arrays are boolean, or hold only 0 and 1. At least one.
        weights: `{weight path: array}` with the paths of `kt.weight_paths`, of any numeric dtype.
        provenance: Where the ticket comes from, as values that JSON can hold: configuration, seed,
            level, digest of the ticket that this one was pruned from.
        basis: The basis in which the kernels are masked: their arrays in `weights` are coefficients
            in it. None: kernels are masked weight by weight, as in `kt.bases.Identity()`.

    Raises:
        TypeError: `basis` is not of `kt.bases`.
        ValueError: There is no mask; a mask has no weight of its path and shape, or has values
            other than 0 and 1; a weight is not numeric; JSON cannot hold the provenance.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    dense = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="fc")])
    ticket = kt.Ticket.of(kt.sparsify(dense, 0.5), provenance={"seed": 0})
    transplanted = ticket.apply(dense)
    assert transplanted.sparsity == 0.5
    ```
    """

    masks: Mapping[str, np.ndarray]
    weights: Mapping[str, np.ndarray]
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    basis: Basis | None = None

    def __post_init__(self):
        if self.basis is not None:
            basis = check_basis(self.basis)
            object.__setattr__(self, "basis", None if isinstance(basis, Identity) else basis)
        weights = {path: np.array(value) for path, value in self.weights.items()}
        for path, value in weights.items():
            if value.dtype.name not in DTYPES:
                raise ValueError(f"`weights[{path!r}]` is not numeric: its dtype is {value.dtype}.")
        if not self.masks:
            raise ValueError("`masks` is empty; a ticket has at least one masked kernel.")
        checked = {p: _check_mask(p, mask, weights.get(p)) for p, mask in self.masks.items()}
        for path, mask in checked.items():
            weights[path][~mask] = 0
        for array in (*checked.values(), *weights.values()):
            array.setflags(write=False)
        object.__setattr__(self, "masks", types.MappingProxyType(checked))
        object.__setattr__(self, "weights", types.MappingProxyType(weights))
        provenance = json.loads(_to_json(dict(self.provenance)))
        object.__setattr__(self, "provenance", types.MappingProxyType(provenance))

    @classmethod
    def of(
        cls,
        sparse_model: SparseModel,
        *,
        weights: Mapping[str, np.ndarray] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> "Ticket":
        """The ticket of a model's masks.

        Args:
            sparse_model: A `kt.SparseModel`.
            weights: `{weight path: array}`, such as those of the rewind step, with kernels in
                the model's basis. By default, the model's present weights.
            provenance: As in `kt.Ticket`. The version of keras_tickets is added.

        Raises:
            ValueError: `weights` does not have the model's paths and shapes; or kernels are
                coefficients in a basis that was not set for this model.
        """
        check_model(sparse_model)
        present = weight_paths(sparse_model)
        if weights is None:
            weights = {path: variable.numpy() for path, variable in present.items()}
            records = masks.kernels_by_path(sparse_model)
            weights |= {path: record.to_dense() for path, record in records.items()}
        _check_same_shapes(present, weights, "`weights`")
        provenance = {"keras_tickets": __version__, **(provenance or {})}
        return cls(masks.get_masks(sparse_model), weights, provenance, basis_of(sparse_model))

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of masks, weights and provenance in hexadecimal. Their order does not matter."""
        return digest_ticket(self._content)

    @property
    def _content(self) -> TicketContent:
        basis = None if self.basis is None else serialize(self.basis)
        return TicketContent(self.masks, self.weights, self.provenance, basis)

    @property
    def sparsity(self) -> float:
        """Share of zeros over the masked kernels."""
        size = sum(mask.size for mask in self.masks.values())
        return 1.0 - sum(np.count_nonzero(mask) for mask in self.masks.values()) / size

    def apply(self, model: keras.Model) -> SparseModel:
        """Gives the ticket's masks and weights to a model with the same paths and shapes.

        Optimizer slots stay, but off the masks they return to their initial values. If the ticket
        is in another basis than the model, all slots of the kernels do, and the model then runs
        with the kernels that the ticket's coefficients stand for.

        Args:
            model: A `kt.SparseModel`, which is changed; or a built dense Keras model, which is
                copied and left as it is.

        Returns:
            The `kt.SparseModel`: `model` itself, or a new one that is not compiled.

        Raises:
            TypeError: `model` is not a Keras 3 model, or has masks and is not a `kt.SparseModel`.
            ValueError: Paths or shapes differ. The error names the first difference, and nothing is
                changed.
        """
        check_model(model)
        _check_same_shapes(weight_paths(model), self.weights, "the ticket")
        masked = list(masks.kernels_by_path(model))
        if not masked:
            model = self._sparsify(model)
        elif not isinstance(model, SparseModel):
            raise TypeError(
                f"Model {model.name!r} has masks, but is not a `kt.SparseModel`. Make it one with "
                "`kt.SparseModel(model)`."
            )
        else:
            _check_same_masks(masked, self.masks)
        set_basis(model, self.basis)
        masks.set_masks(model, dict(self.masks))
        if not masked:
            settle_counts(model, masks.masked_kernels(model))
        kernels = masks.kernels_by_path(model)
        for path, variable in weight_paths(model).items():
            kernels.get(path, variable).assign(self.weights[path])
        _keras_compat.finalize_state(model)
        return model

    def _sparsify(self, model):
        kernels, _ = find_kernels(model, filters=lambda path: path in self.masks)
        _check_same_masks([kernel.path for kernel in kernels], self.masks)
        return with_full_masks(model, lambda path: path in self.masks)

    def __repr__(self):
        return (
            f"Ticket({len(self.masks)} masks, {len(self.weights)} weights, "
            f"sparsity={self.sparsity:.4f}, digest={self.digest[:12]}…)"
        )


def save_ticket(
    path: str | os.PathLike,
    sparse_model: SparseModel,
    *,
    weights: Mapping[str, np.ndarray] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Ticket:
    """Writes a ticket to one new file: masks at one bit per weight, weights, provenance, digest.

    Even if the process is killed, the file is either complete or not there. It is a safetensors
    file, with the weights under `weights/…` and the bits of the masks under `masks/…`.

    Args:
        path: The file. It must not exist, but its directory must.
        sparse_model: A `kt.SparseModel`.
        weights: `{weight path: array}`, such as those of the rewind step. By default, the model's
            present weights.
        provenance: As in `kt.Ticket`. The version of keras_tickets is added.

    Returns:
        The ticket.

    Raises:
        ValueError: `weights` does not have the model's paths and shapes.
        FileExistsError: The file exists; it is left as it is.
        OSError: The file cannot be written; nothing is left behind.

    Example:

    ```python
    import pathlib, tempfile
    import keras
    import keras_tickets as kt

    model = kt.sparsify(keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)]), 0.5)
    path = pathlib.Path(tempfile.mkdtemp()) / "level_01.ticket"
    saved = kt.save_ticket(path, model, provenance={"level": 1, "seed": 0})
    assert kt.load_ticket(path).digest == saved.digest
    ```
    """
    ticket = Ticket.of(sparse_model, weights=weights, provenance=provenance)
    create_file(expand_home(path), encode_ticket(ticket._content))
    return ticket


def load_ticket(path: str | os.PathLike) -> Ticket:
    """Reads a ticket, and checks by its digest that it is as it was written.

    Args:
        path: A file that `kt.save_ticket` wrote.

    Returns:
        The ticket.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It cannot be read.
        ValueError: It is not a ticket, or has been changed or cut off; the error names it.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    layers = [keras.Input((8,)), keras.layers.Dense(4, name="fc")]
    model = kt.sparsify(keras.Sequential(layers), 0.5)
    saved = kt.save_ticket("start.ticket", model)
    assert kt.load_ticket("start.ticket").digest == saved.digest
    ```
    """
    file = expand_home(path)
    try:
        content, digest = read_ticket(file)
        basis = None if content.basis is None else deserialize(content.basis)
        ticket = Ticket(content.masks, content.weights, content.provenance, basis)
        if ticket.digest != digest:
            raise ValueError(f"its digest is {digest!r}, and that of its content {ticket.digest!r}")
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no ticket file {str(path)!r}") from None
    except ValueError as error:
        raise ValueError(
            f"ticket file {str(path)!r} is damaged or is not a ticket: {error}"
        ) from error
    return ticket


def _to_json(provenance) -> str:
    try:
        return json.dumps(provenance, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`provenance` must hold only what JSON can: {error}. "
            f"Received: provenance={provenance!r}"
        ) from error


def _check_mask(path, mask, weight) -> np.ndarray:
    mask = np.asarray(mask)
    if weight is None:
        raise ValueError(f"`masks` names {path!r}, for which `weights` has no array.")
    if mask.shape != weight.shape:
        raise ValueError(
            f"Mask {path!r} must have the shape of its kernel, {weight.shape}. Received: shape="
            f"{mask.shape}"
        )
    if mask.dtype != bool and not np.isin(mask, (0, 1)).all():
        raise ValueError(f"Mask {path!r} must be boolean or hold only 0 and 1.")
    return mask.astype(bool)


def _check_same_shapes(variables, arrays, what):
    """Raises an error that names the first weight whose path or shape differs."""
    for path, variable in variables.items():
        shape = kernel_shape(variable)
        if path not in arrays:
            raise ValueError(
                f"The model has weight {path!r} of shape {shape}; {what} has none of that path. "
                "Name the layers yourself: the names that Keras gives differ from model to model."
            )
        if np.shape(arrays[path]) != shape:
            raise ValueError(
                f"Weight {path!r} has shape {shape} in the model and {np.shape(arrays[path])} in "
                f"{what}."
            )
    for path, array in arrays.items():
        if path not in variables:
            raise ValueError(
                f"In {what} there is {path!r} of shape {np.shape(array)}; the model has no weight "
                "of that path."
            )


def _check_same_masks(in_model, in_ticket):
    """Raises an error that names the first kernel that only one of the two has masked."""
    for path in in_model:
        if path not in in_ticket:
            raise ValueError(f"Kernel {path!r} has a mask in the model and none in the ticket.")
    for path in in_ticket:
        if path not in in_model:
            raise ValueError(
                f"Kernel {path!r} has a mask in the ticket, but cannot have one in the model, "
                "where it is frozen, or was not masked when the model was made sparse."
            )
