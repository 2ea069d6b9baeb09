"""How masks change over the course of training."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from keras_tickets.analysis.networks import Masks, check_same_kernels, masks_of


@dataclasses.dataclass(frozen=True, eq=False)
class MaskCourse:
    """The masks of one kernel, or of all kernels, over time: arrays of shape (snapshots,).

    Attributes:
        density: Share of live weights. It is also what `survival` and `kept` would be on average
            if the mask were drawn anew at random.
        survival: Share of the first snapshot's weights that are live; 1 if it had none.
        kept: Share of the previous snapshot's weights that are still live; 1 at the first.
        exploration: Share of all weights that have been live in any snapshot so far.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    masks = {0: {"fc": np.array([1, 1, 0, 0])}, 100: {"fc": np.array([1, 0, 1, 0])}}
    course = kt.analysis.mask_history(masks).total
    assert course.survival.tolist() == [1.0, 0.5] and course.exploration.tolist() == [0.5, 0.75]
    ```
    """

    density: np.ndarray
    survival: np.ndarray
    kept: np.ndarray
    exploration: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class MaskHistory:
    """The masks of a network over time.

    Attributes:
        steps: (snapshots,) the steps of the snapshots.
        kernels: `{kernel path: MaskCourse}`.
        total: Over all kernels.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    history = kt.analysis.mask_history({0: {"fc": np.eye(2)}, 50: {"fc": np.eye(2)}})
    assert history.steps.tolist() == [0, 50] and list(history.kernels) == ["fc"]
    ```
    """

    steps: np.ndarray
    kernels: dict[str, MaskCourse]
    total: MaskCourse


def mask_history(snapshots: Mapping[int, Masks]) -> MaskHistory:
    """Measures how masks change over time: survival, turnover and exploration.

    Args:
        snapshots: `{step: masks}`, in any order: masks by kernel path, such as
            `kt.get_masks(model)` of a model that trains on, or tickets.

    Returns:
        The course of each kernel and of all together.

    Raises:
        ValueError: There are no snapshots, one has no masks, or their kernels differ.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_tickets as kt

    model = kt.sparsify(kt.models.lenet_300_100((8,), classes=3, width=0.1), 0.8)
    model.compile(kt.optimizers.SET("adam", update_every=1, end=0.9), "mse")
    snapshots = {}
    for step in range(3):
        snapshots[step] = kt.get_masks(model)
        model.fit(np.ones((8, 8)), np.ones((8, 3)), verbose=0)
    assert kt.analysis.mask_history(snapshots).total.survival[0] == 1
    ```

    References:
        - [Liu et al., 2021, "Do we actually need dense over-parameterization?", section
          3](https://arxiv.org/abs/2102.02887), for exploration
    """
    if not snapshots:
        raise ValueError("`snapshots` must have one or more. Received: none")
    steps = sorted(snapshots)
    masks = [masks_of(snapshots[step]) for step in steps]
    for later in masks[1:]:
        check_same_kernels(masks[0], later)
    counts = {path: _counts([each[path] for each in masks]) for path in masks[0]}
    zero = np.zeros((5, len(steps)))
    total = sum(counts.values(), zero)
    return MaskHistory(
        np.array(steps), {path: _course(each) for path, each in counts.items()}, _course(total)
    )


def _counts(masks) -> np.ndarray:
    """(5, snapshots): weights in all, live, live of the first's, of the previous', ever live."""
    ever = np.zeros(masks[0].shape, bool)
    columns = []
    for before, mask in zip([masks[0], *masks], masks, strict=False):
        ever |= mask
        sets = mask, mask & masks[0], mask & before, ever
        columns.append((mask.size, *(np.count_nonzero(each) for each in sets)))
    return np.array(columns, float).T


def _course(counts) -> MaskCourse:
    size, live, of_first, of_previous, ever = counts
    previous = np.concatenate([live[:1], live[:-1]])
    return MaskCourse(
        _share(live, size),
        _share(of_first, np.broadcast_to(live[:1], live.shape)),
        _share(of_previous, previous),
        _share(ever, size),
    )


def _share(part, whole):
    return np.divide(part, whole, out=np.ones_like(part), where=whole > 0)
