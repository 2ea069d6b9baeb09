"""Stability of a subnetwork to pruning and to the order of the data."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from keras_tickets._checks import check_integer, check_seed, check_some_of
from keras_tickets.analysis.distance import distance
from keras_tickets.analysis.networks import Masks, Network, masks_of, weights_of
from keras_tickets.analysis.random_masks import random_masks
from keras_tickets.analysis.state import all_variables
from keras_tickets.masks import get_masks, set_masks
from keras_tickets.model import SparseModel

KINDS = ("pruning", "data_order")


@dataclasses.dataclass(frozen=True, eq=False)
class Distances:
    """Distances between pairs of trained networks.

    Attributes:
        orders: The two data orders of each pair.
        l2: (pairs,) Euclidean distances over the masked weights.
        angle: (pairs,) angles in degrees.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    measured = kt.analysis.Distances([(0, 1), (0, 2)], np.array([1.0, 3.0]), np.array([10.0, 30.0]))
    assert measured.summary()["l2"]["mean"] == 2.0
    ```
    """

    orders: list[tuple[int, int]]
    l2: np.ndarray
    angle: np.ndarray

    def summary(self) -> dict[str, dict[str, float]]:
        """Mean, sample standard deviation, minimum and maximum of both, as plain numbers."""
        return {"l2": _spread(self.l2), "angle": _spread(self.angle)}


@dataclasses.dataclass(frozen=True, eq=False)
class MaskStability:
    """How stable training is from one state under one set of masks; lower is more stable.

    Attributes:
        pruning: Distances between the full and the pruned network, trained in the same data order;
            `None` if not requested.
        data_order: Distances between pruned networks trained in different data orders; `None` if
            not requested.
        scores: What `evaluate` returned for the pruned network of each data order.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    pruning = kt.analysis.Distances([(0, 0)], np.array([1.0]), np.array([10.0]))
    stable = kt.analysis.MaskStability(pruning, data_order=None, scores=np.array([0.9]))
    assert stable.pruning.summary()["angle"]["max"] == 10.0
    ```
    """

    pruning: Distances | None
    data_order: Distances | None
    scores: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Stability:
    """The stability of a ticket, compared with that of random masks.

    Attributes:
        ticket: Stability of the given masks.
        random: Stability of random masks with the same number of weights in each kernel; `None` if
            not requested.
        full_scores: What `evaluate` returned for the full network of each data order.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt


    def of(l2):
        pruning = kt.analysis.Distances([(0, 0)], np.array([l2]), np.array([10.0]))
        return kt.analysis.MaskStability(pruning, data_order=None, scores=np.array([0.9]))


    measured = kt.analysis.Stability(of(1.0), of(2.5), full_scores=np.array([0.95]))
    assert measured.ratios["pruning"]["l2"] == 2.5
    ```
    """

    ticket: MaskStability
    random: MaskStability | None
    full_scores: np.ndarray

    @property
    def ratios(self) -> dict[str, dict[str, float]]:
        """`{"pruning" or "data_order": {"l2" or "angle": mean of random / mean of ticket}}`."""
        found = {}
        for kind in KINDS if self.random else ():
            ours, theirs = getattr(self.ticket, kind), getattr(self.random, kind)
            if ours is not None:
                found[kind] = {
                    name: float(np.mean(getattr(theirs, name)) / np.mean(getattr(ours, name)))
                    for name in ("l2", "angle")
                }
        return found


def stability(
    model: SparseModel,
    masks: Masks,
    train: Callable[[SparseModel, int], object],
    *,
    orders: int | Sequence[int] = 3,
    kinds: Sequence[str] = KINDS,
    compare_random: bool = True,
    evaluate: Callable[[SparseModel], float] | None = None,
    seed: int = 0,
) -> Stability:
    """Trains copies of a network and of its subnetwork, and measures how far apart they end.

    *Stability to pruning*: the full network and the subnetwork are trained in the same data order,
    and compared on the subnetwork's weights. *Stability to data order*: two copies of the
    subnetwork are trained in different orders. Biases, scales and statistics are not compared. A
    copy is trained once and used for all pairs it is in: with n orders there are n pairs for
    pruning and n (n - 1) / 2 for data order.

    Args:
        model: The full network at the step from which it is trained, such as `kt.sparsify(dense,
            0.0)` with the weights of the rewind step. Each copy starts from its current state:
            masks, weights, statistics, seeds and, if it is compiled, optimizer. That state is
            restored at the end.
        masks: Masks of the subnetwork, a subset of those of `model`; or a network whose masks are
            used.
        train: `train(model, order)` trains the model in place to the end. All randomness, in data
            order and augmentation, must be a function of the integer `order`. If it compiles the
            model again, it trains with its own optimizer, and the model stays compiled so.
        orders: Number of data orders, or their integers; at least 2 to measure "data_order".
        kinds: What to measure: "pruning", "data_order" or both. Without "pruning" the full network
            is not trained.
        compare_random: Whether to measure the same for random masks.
        evaluate: `evaluate(model)` returns a number for a trained model, such as its accuracy.
        seed: For the random masks.

    Returns:
        Distances, angles and what `evaluate` returned.

    Raises:
        TypeError: `model` is not a `kt.SparseModel`.
        ValueError: An argument is out of range; a mask contains a weight that is off the mask in
            `model`.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    x, y = np.random.normal(size=(64, 8)), np.random.normal(size=(64, 3))
    model = kt.sparsify(kt.models.lenet_300_100((8,), classes=3), 0.0)
    model.compile("adam", "mse")

    def train(model, order):
        chosen = np.random.default_rng(order).permutation(64)
        model.fit(x[chosen], y[chosen], shuffle=False, verbose=0)

    masks = kt.sparsify(kt.models.lenet_300_100((8,), classes=3), 0.8).masks
    measured = kt.analysis.stability(model, masks, train, orders=2)
    print(measured.ticket.pruning.summary(), measured.ratios)
    ```

    References:
        - [Frankle et al., 2019, "Stabilizing the lottery ticket hypothesis", section
          3](https://arxiv.org/abs/1903.01611)
    """
    if not isinstance(model, SparseModel):
        raise TypeError(f"`model` must be a kt.SparseModel. Received: {type(model).__name__}")
    check_seed(seed)
    kinds = check_some_of("kinds", kinds, KINDS)
    if not kinds:
        raise ValueError(f"`kinds` must be among {KINDS}. Received: kinds={kinds!r}")
    checked = _check_orders(orders, 2 if "data_order" in kinds else 1)
    masks = masks_of(masks)
    _check_within(masks, get_masks(model))
    start = _State(model)

    def run(masks):
        """The trained weights and the score of one copy per order."""
        trained, scores = [], []
        for order in checked:
            start.restore()
            set_masks(model, masks)
            train(model, order)
            trained.append({path: w for path, w in weights_of(model).items() if path in masks})
            scores.append(float(evaluate(model)) if evaluate else np.nan)
        return trained, np.array(scores)

    try:
        full, full_scores = run(get_masks(model)) if "pruning" in kinds else (None, np.array([]))
        measured = []
        for each in (masks, random_masks(masks, seed)) if compare_random else (masks,):
            copies, scores = run(each)
            pruning = pruning_distances(full, copies, each, checked) if full else None
            between = order_distances(copies, each, checked) if "data_order" in kinds else None
            measured.append(MaskStability(pruning, between, scores))
    finally:
        start.restore()
    return Stability(measured[0], measured[1] if compare_random else None, full_scores)


def pruning_distances(
    full: Sequence[Network], pruned: Sequence[Network], masks: Masks, orders: Sequence[int]
) -> Distances:
    """Stability to pruning of networks that are already trained.

    Args:
        full: The trained full network of each data order.
        pruned: The trained subnetwork of each.
        masks: The subnetwork's.
        orders: The data orders.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    masks = {"k": np.array([True, False])}
    full, pruned = [{"k": np.array([3.0, 4.0])}], [{"k": np.array([1.0, 0.0])}]
    measured = kt.analysis.pruning_distances(full, pruned, masks, orders=[0])
    assert measured.l2 == [2.0]
    ```
    """
    pairs = [(order, order) for order in orders]
    return _measure(pairs, zip(full, pruned, strict=True), masks)


def order_distances(pruned: Sequence[Network], masks: Masks, orders: Sequence[int]) -> Distances:
    """Stability to data order of networks that are already trained.

    Args:
        pruned: The trained subnetwork of each data order.
        masks: The subnetwork's.
        orders: The data orders.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    masks = {"k": np.array([True, True])}
    runs = [{"k": np.array([0.0, value])} for value in (1.0, 2.0, 4.0)]
    measured = kt.analysis.order_distances(runs, masks, orders=[0, 1, 2])
    assert measured.orders == [(0, 1), (0, 2), (1, 2)]
    assert list(measured.l2) == [1.0, 3.0, 2.0]
    ```
    """
    pairs = list(itertools.combinations(orders, 2))
    return _measure(pairs, itertools.combinations(pruned, 2), masks)


def _measure(pairs, networks, masks):
    found = [distance(a, b, masks) for a, b in networks]
    return Distances(pairs, np.array([d.l2 for d in found]), np.array([d.angle for d in found]))


def _spread(values):
    return {
        "mean": float(np.mean(values)),
        "std": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
        "min": float(np.min(values)),
        "max": float(np.max(values)),
    }


class _State:
    """The complete state of a model and its optimizer, to restore later."""

    def __init__(self, model):
        self._values = [(variable, variable.numpy()) for variable in all_variables(model)]

    def restore(self):
        for variable, value in self._values:
            variable.assign(value)


def _check_orders(orders, least):
    several = isinstance(orders, Iterable)
    found = list(orders if several else range(check_integer("orders", orders, low=1)))
    if len(found) < least or len(set(found)) < len(found):
        raise ValueError(
            f"`orders` must be {least} or more different integers, or their number. Received: "
            f"orders={orders!r}"
        )
    return found


def _check_within(masks, held):
    for path, mask in masks.items():
        if path not in held:
            raise ValueError(
                f"`masks` names {path!r}, which is not a masked kernel of `model`: {list(held)}"
            )
        if mask.shape != held[path].shape:
            raise ValueError(f"Mask {path!r} has shape {mask.shape}, not {held[path].shape}.")
        if np.any(mask & ~held[path]):
            raise ValueError(
                f"Mask {path!r} has weights that `model` has not: `model` must be the full network."
            )
