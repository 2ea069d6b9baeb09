"""Random masks for comparison with a ticket's masks."""

import numpy as np

from keras_tickets._checks import check_seed
from keras_tickets._randomness import random_scores
from keras_tickets.analysis.networks import Masks, masks_of


def random_masks(masks: Masks, seed: int = 0) -> dict[str, np.ndarray]:
    """Draws random masks with the same number of weights in each kernel as the given masks.

    Args:
        masks: Masks by kernel path, or a network whose masks are taken.
        seed: Non-negative integer; a seed and a kernel path determine a mask on every machine.

    Returns:
        `{kernel path: boolean array}`.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    drawn = kt.analysis.random_masks({"fc/kernel": np.eye(4)}, seed=1)
    assert drawn["fc/kernel"].sum() == 4
    ```
    """
    check_seed(seed)
    drawn = {}
    for path, mask in masks_of(masks).items():
        scores = random_scores(mask.shape, f"{path}/random_masks", seed, step=0).numpy().reshape(-1)
        chosen = np.zeros(mask.size, bool)
        chosen[np.argsort(-scores, kind="stable")[: np.count_nonzero(mask)]] = True
        drawn[path] = chosen.reshape(mask.shape)
    return drawn
