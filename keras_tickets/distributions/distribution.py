"""The base of the distributions, and what a sparsity and its count are."""

import abc
import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from keras_tickets._kernels.find import Kernel


def nonzeros(size: int, sparsity: float, rounding: str = "floor") -> int:
    """Number of weights that a sparsity leaves.

    Args:
        size: Number of weights.
        sparsity: Share of zeros in [0, 1).
        rounding: How the number of zeros, `sparsity * size` in float64, is rounded: "floor" or
            "ceil".

    Returns:
        Number of weights that are not zeroed.
    """
    zeros = sparsity * size
    return size - (math.ceil(zeros) if rounding == "ceil" else math.floor(zeros))


@dataclasses.dataclass(frozen=True)
class Allocation:
    """The sparsity of each kernel.

    Attributes:
        sparsity: `{kernel path: share of zeros}` of the kernels that get a mask.
        left_dense: `{kernel path: reason}` of those that get none and do not count.
    """

    sparsity: dict[str, float]
    left_dense: dict[str, str] = dataclasses.field(default_factory=dict)


class Distribution(abc.ABC):
    """Base of the distributions: shares a sparsity among kernels.

    A subclass implements `allocate`; its constructor arguments are its attributes.

    Attributes:
        needs_scores: Whether `allocate` needs `scores`.
    """

    needs_scores = False

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
        """Makes one from its constructor arguments."""
        return cls(**config)

    def __repr__(self):
        arguments = ", ".join(f"{key}={value!r}" for key, value in vars(self).items())
        return f"{type(self).__name__}({arguments})"
