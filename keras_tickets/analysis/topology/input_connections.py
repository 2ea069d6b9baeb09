"""Which inputs a network looks at: the live weights that read each of them."""

from collections.abc import Sequence

import numpy as np

from keras_tickets.analysis.networks import Masks
from keras_tickets.analysis.topology.degrees import degrees


def input_connections(
    network: Masks, shape: Sequence[int] | None = None, path: str | None = None
) -> np.ndarray:
    """Counts the live weights that read each input of a network, as a picture.

    Args:
        network: A sparse model, a `kt.Ticket` or `{kernel path: mask}`.
        shape: Shape of the inputs, such as (28, 28) for a dense layer on flattened digits; by
            default a vector.
        path: Path of the kernel that reads the inputs; by default, the first one.

    Returns:
        Integers of that shape; `kt.analysis.figures.pictures` draws them.

    Raises:
        ValueError: There are no masks, the path is unknown, or the shape does not fit.

    Example:

    ```python
    import keras_tickets as kt

    model = kt.sparsify(kt.models.lenet_300_100(), 0.98)
    picture = kt.analysis.input_connections(model, (28, 28))
    assert picture.sum() == model.masks["fc1/kernel"].sum()
    ```

    References:
        - [Evci et al., 2020, "Rigging the lottery: making all tickets winners", appendix
          ](https://arxiv.org/abs/1911.11134), for such pictures of MNIST
    """
    found = degrees(network)
    path = next(iter(found)) if path is None else path
    if path not in found:
        raise ValueError(
            f"`path` must be that of a masked kernel: {list(found)}. Received: {path!r}"
        )
    counts = found[path].fan_out
    shape = counts.shape if shape is None else tuple(shape)
    if int(np.prod(shape)) != counts.size:
        raise ValueError(
            f"`shape` must have {counts.size} places, one for each input of {path!r}. Received: "
            f"shape={shape}"
        )
    return counts.reshape(shape)
