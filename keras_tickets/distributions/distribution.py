"""The base of the distributions."""

import abc
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from keras_tickets._kernels.find import Kernel


@dataclasses.dataclass(frozen=True)
class Allocation:
    """The sparsity of each kernel.

    Attributes:
        sparsity: `{kernel path: share of zeros}` of the kernels that get a mask.
        left_dense: `{kernel path: reason}` of those that get no mask and do not count.

    Example:

    >>> import keras_tickets as kt
    >>> kt.distributions.Allocation({"fc/kernel": 0.9}).left_dense
    {}
    """

    sparsity: dict[str, float]
    left_dense: dict[str, str] = dataclasses.field(default_factory=dict)


class Distribution(abc.ABC):
    """Base of the distributions, which share a sparsity among kernels.

    A subclass implements `allocate`. It keeps each constructor argument as an attribute of the same
    name, so that it can be saved.

    Attributes:
        needs_scores: Whether `allocate` needs `scores`.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    class DenserEnds(kt.distributions.Distribution):
        def allocate(self, kernels, sparsity, scores=None):
            shares = {kernel.path: sparsity + 0.1 for kernel in kernels}
            shares[kernels[0].path] = shares[kernels[-1].path] = sparsity - 0.1
            return kt.distributions.Allocation(shares)

    model = keras.Sequential([keras.Input((8,)), *(keras.layers.Dense(8) for _ in range(4))])
    rows = kt.plan(model, 0.5, distribution=DenserEnds()).rows
    assert [row.nonzeros for row in rows] == [39, 26, 26, 39]
    ```
    """

    needs_scores: bool = False

    @abc.abstractmethod
    def allocate(
        self,
        kernels: Sequence[Kernel],
        sparsity: float,
        scores: Mapping[str, np.ndarray] | None = None,
    ) -> Allocation:
        """Shares a sparsity among kernels.

        Args:
            kernels: The kernels, in layer order.
            sparsity: Share of zeros in [0, 1) over the kernels that get a mask.
            scores: `{kernel path: array of the kernel's shape}`, for distributions that rank
                weights.

        Returns:
            The sparsity of each kernel.

        Raises:
            ValueError: The sparsity is out of range or cannot be reached.
        """

    def get_config(self) -> dict:
        """The constructor arguments."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict) -> "Distribution":
        """Creates a distribution from its constructor arguments."""
        return cls(**config)

    def __repr__(self):
        arguments = ", ".join(f"{key}={value!r}" for key, value in vars(self).items())
        return f"{type(self).__name__}({arguments})"
