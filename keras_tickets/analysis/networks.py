"""Networks as the analyses accept them: a model, a ticket, or arrays by path."""

from collections.abc import Mapping
from typing import TypeAlias

import keras
import numpy as np

from keras_tickets._kernels.paths import weight_paths
from keras_tickets.bases.coefficient_masks import to_weights
from keras_tickets.masks import get_masks, kernels_by_path, refuse_coefficients
from keras_tickets.model import basis_of
from keras_tickets.tickets import Ticket

Network: TypeAlias = keras.Model | Ticket | Mapping[str, np.ndarray]
Masks: TypeAlias = keras.Model | Ticket | Mapping[str, np.ndarray]


def weights_of(network: Network) -> dict[str, np.ndarray]:
    """The weights of a network, kernels exactly 0 off their masks; dense, if in another basis.

    Args:
        network: Built Keras model, sparse or not; `kt.Ticket`; or `{weight path: array}`, which is
            used unchanged.

    Returns:
        `{weight path: array}`.

    Raises:
        TypeError: `network` is none of these.
    """
    if isinstance(network, keras.Model):
        weights = {path: variable.numpy() for path, variable in weight_paths(network).items()}
        weights |= {path: each.to_dense() for path, each in kernels_by_path(network).items()}
        return to_weights(weights, get_masks(network), basis_of(network))
    if isinstance(network, Ticket):
        return to_weights(network.weights, network.masks, network.basis)
    return dict(_mapping(network))


def masks_of(network: Masks, maybe_none: bool = False) -> dict[str, np.ndarray]:
    """The masks of a network.

    Args:
        network: Keras model; `kt.Ticket`; or `{kernel path: array}`, boolean or of 0 and 1.
        maybe_none: Whether a network without masks, such as a dense model, has empty ones.

    Returns:
        `{kernel path: boolean array}`.

    Raises:
        TypeError: `network` is none of these.
        ValueError: It has no masks.
    """
    if isinstance(network, keras.Model):
        masks = get_masks(network)
    else:
        found = _mapping(network.masks if isinstance(network, Ticket) else network)
        masks = {path: np.asarray(mask).astype(bool) for path, mask in found.items()}
    if not masks and not maybe_none:
        name = f" {network.name!r}" if isinstance(network, keras.Model) else ""
        raise ValueError(
            "A network whose masks are asked for must have some; dense and stripped models have "
            f"none. Received: {type(network).__name__}{name} without masks"
        )
    return masks


def weight_masks_of(network: Masks, maybe_none: bool = False) -> dict[str, np.ndarray]:
    """`masks_of`, for what compares weights: all `True` if they are in another basis."""
    masks = masks_of(network, maybe_none)
    in_network = isinstance(network, keras.Model) and basis_of(network)
    if in_network or (isinstance(network, Ticket) and network.basis):
        return {path: np.ones_like(mask) for path, mask in masks.items()}
    return masks


def masks_over_weights(
    network: Masks, what: str, maybe_none: bool = False
) -> dict[str, np.ndarray]:
    """`masks_of`, for what asks which weights there are.

    Raises:
        ValueError: The masks are over coefficients in another basis.
    """
    if isinstance(network, keras.Model):
        refuse_coefficients(kernels_by_path(network), what)
    elif isinstance(network, Ticket) and network.basis is not None:
        raise ValueError(
            f"{what} needs masks over weights, and those of the ticket are in the basis "
            f"{network.basis!r}."
        )
    return masks_of(network, maybe_none)


def shared_masks(*networks: Network) -> dict[str, np.ndarray]:
    """The masks shared by all of the given networks that have masks.

    Args:
        *networks: As in `weights_of`; arrays have no masks.

    Raises:
        ValueError: None has masks, or two have different ones.
    """
    models = [n for n in networks if isinstance(n, (keras.Model, Ticket))]
    found = [masks for model in models if (masks := weight_masks_of(model, maybe_none=True))]
    if not found:
        raise ValueError("None of the networks has masks: pass `masks={kernel path: array}`.")
    for masks in found[1:]:
        check_same_kernels(found[0], masks)
        if path := next((p for p in masks if not np.array_equal(masks[p], found[0][p])), None):
            raise ValueError(
                f"The networks have different masks, first for kernel {path!r}: say on which "
                "weights to compare them, `masks={kernel path: array}`."
            )
    return found[0]


def check_same_kernels(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> None:
    """Raises a `ValueError` that names the first path or shape in which two mappings differ."""
    for path in (*a, *b):
        if path not in a or path not in b:
            which = "second" if path in a else "first"
            raise ValueError(f"Kernel {path!r} is missing in the {which} network.")
        if np.shape(a[path]) != np.shape(b[path]):
            raise ValueError(
                f"Kernel {path!r} has shape {np.shape(a[path])} in the first network and "
                f"{np.shape(b[path])} in the second."
            )


def _mapping(value):
    if not isinstance(value, Mapping):
        raise TypeError(
            f"A network must be a keras.Model, a kt.Ticket or a dict {{path: array}}. Received: "
            f"{value!r}"
        )
    return value
