"""The content of a ticket file."""

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from keras_tickets._files.mask_bits import pack_mask, unpack_mask
from keras_tickets._files.named_arrays import DIGEST, FORMAT, digest_of, encode, read_arrays
from keras_tickets._files.schemas import check_schema

KIND, KIND_IN_BASIS = "keras_tickets ticket 1", "keras_tickets ticket 2"
_WEIGHTS, _MASKS, _BASIS, _PROVENANCE = "weights/", "masks/", "basis", "provenance"
_BASIS_SCHEMA = {"basis": str, "config": dict}


class TicketContent(NamedTuple):
    """What a ticket file holds.

    Attributes:
        masks: `{kernel path: boolean array}`.
        weights: `{weight path: array}`.
        provenance: Where the ticket comes from, as values that JSON can hold.
        basis: The basis of the masks, as values that JSON can hold; `None` for single weights. A
            file that has one is of another kind, which versions refuse that know no bases.
    """

    masks: Mapping[str, np.ndarray]
    weights: Mapping[str, np.ndarray]
    provenance: Mapping[str, Any]
    basis: Mapping[str, Any] | None = None


def encode_ticket(ticket: TicketContent) -> bytes:
    """Encodes the content of the file."""
    content, _ = encode(_arrays(ticket), _metadata(ticket))
    return content


def digest_ticket(ticket: TicketContent) -> str:
    """SHA-256 in hexadecimal over the content, independent of the order of its parts."""
    return digest_of(_arrays(ticket), _metadata(ticket))


def read_ticket(path: str | os.PathLike) -> tuple[TicketContent, str]:
    """What `encode_ticket` was given, and the digest.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It cannot be read.
        ValueError: It is not a ticket, or has been changed or cut off.
    """
    arrays, metadata = read_arrays(path, KIND, KIND_IN_BASIS)
    weights, bits = _named(arrays, _WEIGHTS), _named(arrays, _MASKS)
    if without := sorted(set(bits) - set(weights)):
        raise ValueError(f"masks {without} have no weights")
    masks = {name: unpack_mask(each, weights[name].shape) for name, each in bits.items()}
    provenance = _read_json(metadata, _PROVENANCE, dict)
    in_basis = metadata[FORMAT] == KIND_IN_BASIS
    basis = _read_json(metadata, _BASIS, _BASIS_SCHEMA) if in_basis else None
    return TicketContent(masks, weights, provenance, basis), metadata[DIGEST]


def _read_json(metadata, name, schema):
    try:
        value = json.loads(metadata.get(name, ""))
        check_schema(value, schema)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its {name} cannot be read ({error})") from error
    return value


def _arrays(ticket):
    packed = {f"{_MASKS}{path}": pack_mask(mask) for path, mask in ticket.masks.items()}
    return {f"{_WEIGHTS}{path}": value for path, value in ticket.weights.items()} | packed


def _metadata(ticket):
    written = {_PROVENANCE: _json(dict(ticket.provenance))}
    if ticket.basis is None:
        return {FORMAT: KIND, **written}
    return {FORMAT: KIND_IN_BASIS, **written, _BASIS: _json(ticket.basis)}


def _json(value):
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _named(arrays, prefix):
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
