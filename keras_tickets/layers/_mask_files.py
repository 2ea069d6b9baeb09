"""What a layer's part of a weights file holds beside the kernels: masks, and their basis."""

from collections.abc import Mapping, MutableMapping, Sequence

import numpy as np

from keras_tickets._files.mask_bits import pack_mask, unpack_mask
from keras_tickets._masked_kernel import MaskedKernel
from keras_tickets.bases.basis import Basis, fingerprint

_BASIS = "basis"  # Names of masks end in "mask".


def write_masks(
    store: MutableMapping, records: Sequence[MaskedKernel], basis: Basis | None
) -> None:
    """Writes the masks, and what tells the basis from others.

    Args:
        store: The layer's part of the file.
        records: Its masked kernels.
        basis: What they need of the basis that they are in; `None` for that of single weights.
    """
    for record in records:
        mask = record.mask.numpy()
        store[record.mask.name] = pack_mask(mask)
        store[f"{record.mask.name}_shape"] = np.array(mask.shape, np.int32)
    if basis is not None:
        store[_BASIS] = np.frombuffer(fingerprint(basis), np.uint8)


def has_basis(store: Mapping, basis: Basis | None) -> bool:
    """Whether the kernels in the file are in this basis."""
    found = np.asarray(store[_BASIS]).tobytes() if _BASIS in set(store.keys()) else None
    return found == (None if basis is None else fingerprint(basis))


def read_masks(
    store: Mapping, layer: str, records: Sequence[MaskedKernel], basis: Basis | None
) -> list[np.ndarray]:
    """The masks of the records.

    Args:
        store: As in `write_masks`.
        layer: The name of the layer, for errors.
        records: As in `write_masks`.
        basis: As in `write_masks`.

    Raises:
        ValueError: The file lacks a mask, has one of another shape or of another kernel, or its
            kernels are in another basis.
    """
    masks = [_mask_of(record, store) for record in records]
    known = {record.mask.name + suffix for record in records for suffix in ("", "_shape")}
    if unknown := sorted(set(store.keys()) - known - {_BASIS}):
        raise ValueError(
            f"The file holds {unknown}, for which layer {layer!r} has no masked kernel. "
            f"Its masked kernels: {[record.name for record in records]}"
        )
    if not has_basis(store, basis):
        raise ValueError(
            f"The kernels of layer {layer!r} are in another basis in the file than in the model, "
            f"where it is {basis or 'that of single weights'!s}. A ticket, or a model that "
            "`save` has written whole, brings its basis with it."
        )
    return masks


def _mask_of(record, store):
    name, shape = record.mask.name, tuple(record.kernel.shape)
    stored = set(store.keys())
    if not {name, f"{name}_shape"} <= stored:
        raise ValueError(
            f"The file holds no mask for kernel {record.name!r} of shape {shape}: it was not "
            "masked in the model that was saved."
        )
    found = tuple(int(size) for size in store[f"{name}_shape"])
    if found != shape:
        raise ValueError(
            f"The file's mask for kernel {record.name!r} has shape {found}; the kernel has {shape}."
        )
    return unpack_mask(np.asarray(store[name]), shape)
