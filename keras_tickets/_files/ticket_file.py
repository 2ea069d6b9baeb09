"""The content of a ticket file."""

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_tickets._files.mask_bits import pack_mask, unpack_mask
from keras_tickets._files.named_arrays import DIGEST, FORMAT, digest_of, encode, read_arrays
from keras_tickets._files.schemas import check_schema

KIND = "keras_tickets ticket 1"
_WEIGHTS, _MASKS = "weights/", "masks/"


def encode_ticket(
    masks: Mapping[str, np.ndarray],
    weights: Mapping[str, np.ndarray],
    provenance: Mapping[str, Any],
) -> bytes:
    """Encodes the content of the file.

    Args:
        masks: `{kernel path: boolean array}`.
        weights: `{weight path: array}`.
        provenance: Where the ticket comes from, as values that JSON can hold.
    """
    content, _ = encode(_arrays(masks, weights), _metadata(provenance))
    return content


def digest_ticket(
    masks: Mapping[str, np.ndarray],
    weights: Mapping[str, np.ndarray],
    provenance: Mapping[str, Any],
) -> str:
    """SHA-256 in hexadecimal over masks, weights and provenance, independent of their order."""
    return digest_of(_arrays(masks, weights), _metadata(provenance))


def read_ticket(path: str | os.PathLike) -> tuple[dict, dict, dict, str]:
    """The masks, the weights and the provenance that `encode_ticket` was given, and the digest.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It cannot be read.
        ValueError: It is not a ticket, or has been changed or cut off.
    """
    arrays, metadata = read_arrays(path, KIND)
    weights, bits = _named(arrays, _WEIGHTS), _named(arrays, _MASKS)
    if without := sorted(set(bits) - set(weights)):
        raise ValueError(f"masks {without} have no weights")
    masks = {name: unpack_mask(each, weights[name].shape) for name, each in bits.items()}
    try:
        provenance = json.loads(metadata.get("provenance", ""))
        check_schema(provenance, dict)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its provenance cannot be read ({error})") from error
    return masks, weights, provenance, metadata[DIGEST]


def _arrays(masks, weights):
    packed = {f"{_MASKS}{path}": pack_mask(mask) for path, mask in masks.items()}
    return {f"{_WEIGHTS}{path}": value for path, value in weights.items()} | packed


def _metadata(provenance):
    text = json.dumps(dict(provenance), sort_keys=True, allow_nan=False)
    return {FORMAT: KIND, "provenance": text}


def _named(arrays, prefix):
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
