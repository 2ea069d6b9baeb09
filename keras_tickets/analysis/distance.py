"""The distance between two networks, in their masked weights."""

import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from keras_tickets.analysis.networks import (
    Masks,
    Network,
    shared_masks,
    weight_masks_of,
    weights_of,
)


@dataclasses.dataclass(frozen=True)
class Distance:
    """The distance between two networks.

    Attributes:
        l2: Euclidean distance of their weights.
        angle: Angle between their weights as vectors, in degrees; NaN if one of them is all zeros.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    masks = {"k": np.ones(2, bool)}
    measured = kt.analysis.distance({"k": np.array([3.0, 0.0])}, {"k": np.array([0.0, 4.0])}, masks)
    assert measured == kt.analysis.Distance(l2=5.0, angle=90.0)
    ```
    """

    l2: float
    angle: float


def distance(a: Network, b: Network, masks: Masks | None = None) -> Distance:
    """Measures the distance between two networks, over the masked weights only.

    Biases, scales and statistics do not count. Two equal networks have distance 0 and angle 0,
    exactly.

    Args:
        a: Model, `kt.Ticket` or `{weight path: array}`.
        b: The same, with the same paths and shapes.
        masks: The weights to compare: masks by kernel path, or a network whose masks are used. By
            default the masks of `a` and `b`, which must then be the same.

    Returns:
        Distance and angle, computed in float64.

    Raises:
        TypeError: A network has an unsupported type.
        ValueError: There are no masks, or they differ; a kernel is missing, or its shape differs.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    a, b = {"k": np.array([3.0, 4.0])}, {"k": np.array([3.0, -4.0])}
    assert kt.analysis.distance(a, b, masks={"k": np.array([0, 1])}).angle == 180
    ```

    References:
        - [Frankle et al., 2019, "Stabilizing the lottery ticket hypothesis", section 3 and
          appendix B](https://arxiv.org/abs/1903.01611)
    """
    masks = weight_masks_of(masks) if masks is not None else shared_masks(a, b)
    return _distance(_vector(weights_of(a), masks), _vector(weights_of(b), masks))


@dataclasses.dataclass(frozen=True)
class Travel:
    """How far training went.

    Attributes:
        straight: Distance and angle between the first and the last state.
        path: Sum of the Euclidean distances from each state to the next; it is never less than
            `straight.l2`, and grows with the number of recorded states.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    states = [{"k": np.array(state)} for state in ([0.0, 0.0], [3.0, 0.0], [3.0, 4.0])]
    travel = kt.analysis.distance_travelled(states, masks={"k": np.ones(2, bool)})
    assert (travel.straight.l2, travel.path) == (5.0, 7.0)
    ```
    """

    straight: Distance
    path: float


def distance_travelled(states: Iterable[Network], masks: Masks | None = None) -> Travel:
    """How far training went, over the masked weights only.

    Args:
        states: At least two states, in order, each as in `distance`. Pass copies, such as
            `kt.Ticket.of(model)`, of a model that continues to train.
        masks: As in `distance`.

    Returns:
        The straight distance and the length of the path.

    Raises:
        ValueError: There are fewer than two states; or as in `distance`.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_tickets as kt

    layers = [keras.Input((8,)), keras.layers.Dense(4)]
    model = kt.sparsify(keras.Sequential(layers), 0.5)
    model.compile("sgd", "mse")
    states = [kt.Ticket.of(model)]
    for _ in range(2):
        model.fit(np.ones((8, 8)), np.ones((8, 4)), verbose=0)
        states.append(kt.Ticket.of(model))
    travel = kt.analysis.distance_travelled(states)
    assert travel.path >= travel.straight.l2 > 0
    ```
    """
    states = list(states)
    if len(states) < 2:
        raise ValueError(f"`states` must be two or more. Received: {len(states)}")
    masks = weight_masks_of(masks) if masks is not None else shared_masks(*states)
    vectors = [_vector(weights_of(state), masks) for state in states]
    steps = [np.linalg.norm(b - a) for a, b in zip(vectors[:-1], vectors[1:], strict=True)]
    return Travel(_distance(vectors[0], vectors[-1]), float(np.sum(steps)))


def _vector(weights, masks) -> np.ndarray:
    """The weights on the masks, kernel after kernel, as a float64 vector."""
    parts = []
    for path, mask in masks.items():
        if path not in weights:
            raise ValueError(f"A network has no kernel {path!r}. Its weights: {list(weights)}")
        weight = np.asarray(weights[path])
        if weight.shape != mask.shape:
            raise ValueError(
                f"Kernel {path!r} has shape {weight.shape}; its mask has {mask.shape}."
            )
        parts.append(weight[mask].astype(np.float64))
    return np.concatenate(parts)


def _distance(a: np.ndarray, b: np.ndarray) -> Distance:
    difference = float(np.linalg.norm(a - b))
    if not difference:
        return Distance(0.0, 0.0)
    norms = np.linalg.norm(a), np.linalg.norm(b)
    if not all(norms):
        return Distance(difference, math.nan)
    # Unlike the arc cosine, this is precise for small angles.
    a, b = a / norms[0], b / norms[1]
    half = math.atan2(np.linalg.norm(a - b), np.linalg.norm(a + b))
    return Distance(difference, math.degrees(2 * half))
