"""`ER` and `ERK`: smaller kernels are denser."""

import abc
import math
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_tickets._checks import check_number, check_sparsity
from keras_tickets._kernels.find import Kernel
from keras_tickets._selection.counts import nonzeros
from keras_tickets.distributions.distribution import Allocation, Distribution


class _ErdosRenyi(Distribution):
    """Density in proportion to a ratio of each kernel, at most 1."""

    @abc.abstractmethod
    def _ratio(self, kernel):
        """The density of a kernel, up to a factor that is the same for all kernels."""

    def allocate(
        self,
        kernels: Sequence[Kernel],
        sparsity: float,
        scores: Mapping[str, np.ndarray] | None = None,
    ) -> Allocation:
        sparsity = check_sparsity(sparsity)
        if not kernels:
            return Allocation({})
        sizes = [kernel.size for kernel in kernels]
        densities = solve(sizes, [self._ratio(kernel) for kernel in kernels], sparsity)
        for kernel, density in zip(kernels, densities, strict=True):
            if density * kernel.size < 1:
                raise ValueError(
                    f"sparsity={sparsity} cannot be reached with {self!r}: it leaves kernel "
                    f"{kernel.path!r} of shape {kernel.shape} less than one weight. Lower the "
                    "sparsity, or leave that kernel out with `filters`."
                )
        return Allocation({k.path: 1.0 - d for k, d in zip(kernels, densities, strict=True)})


def solve(
    sizes: Sequence[int], ratios: Sequence[float], sparsity: float, rounding: str = "floor"
) -> list[float]:
    """Densities `epsilon * ratio`, at most 1, that meet the budget of weights.

    Kernels whose density would be above 1 are made dense. Each round makes only those with the
    highest ratio dense, because the factor of the others changes then. The budget is a float64 sum
    of rounded counts in kernel order, as in the code of the paper, so that the densities are equal
    to published ones bit for bit.

    Args:
        sizes: Number of weights of each kernel.
        ratios: Positive ratio of each kernel.
        sparsity: Share of zeros in [0, 1) over all kernels.
        rounding: How each kernel's number of zeros is rounded: "floor" or "ceil".

    Returns:
        The density of each kernel.

    References:
        Evci et al., Rigging the Lottery (arXiv 1911.11134), section 3, "Sparsity
        Distribution".
    """
    dense = set()
    while len(dense) < len(sizes):
        budget = divisor = 0.0
        for index, (size, ratio) in enumerate(zip(sizes, ratios, strict=True)):
            kept = nonzeros(size, sparsity, rounding)
            if index in dense:
                budget -= size - kept
            else:
                budget += kept
                divisor += ratio * size
        epsilon = budget / divisor
        highest = max(ratio for index, ratio in enumerate(ratios) if index not in dense)
        if epsilon * highest <= 1:
            break
        dense.update(index for index, ratio in enumerate(ratios) if ratio == highest)
    return [1.0 if index in dense else epsilon * ratio for index, ratio in enumerate(ratios)]


@keras.saving.register_keras_serializable("keras_tickets")
class ER(_ErdosRenyi):
    """Erdős–Rényi: density in proportion to (inputs + outputs) / (inputs · outputs).

    Inputs and outputs are channels; spatial axes do not count. Kernels whose density would be above
    1 stay dense, and the others become sparser to make up for them.

    Raises:
        ValueError: In `allocate`, if a kernel would be left without weights.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="fc")])
    print(kt.plan(model, 0.5, distribution=kt.distributions.ER()))
    ```

    References:
        Mocanu et al., Scalable training of artificial neural networks with adaptive sparse
        connectivity inspired by network science (Nature Communications 9, 2018).
    """

    def _ratio(self, kernel):
        return (kernel.inputs + kernel.outputs) / (kernel.inputs * kernel.outputs)


@keras.saving.register_keras_serializable("keras_tickets")
class ERK(_ErdosRenyi):
    """Erdős–Rényi-Kernel: density in proportion to sum / product of a kernel's dimensions.

    The dimensions of a kernel are its number of inputs, its number of outputs and the sizes of its
    spatial axes; several input or output axes count as one, by their product. Each gate of a
    recurrent kernel counts as a kernel of its own. Kernels whose density would be above 1 stay
    dense, and the others become sparser to make up for them.

    Args:
        power_scale: Power of the ratio: 1 for ERK, 0 for a uniform distribution, and in between for
            something between the two.

    Raises:
        TypeError: `power_scale` is not a number.
        ValueError: `power_scale` is negative or not finite; in `allocate`, if a kernel would be
            left without weights.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="fc")])
    print(kt.plan(model, 0.5, distribution=kt.distributions.ERK(power_scale=0.5)))
    ```

    References:
        Evci et al., Rigging the Lottery (arXiv 1911.11134), section 3, "Sparsity Distribution".
    """

    def __init__(self, power_scale: float = 1.0):
        self.power_scale = check_number("power_scale", power_scale, "[0, inf)")

    def _ratio(self, kernel):
        dimensions = (kernel.inputs, kernel.outputs, *kernel.spatial)
        return (sum(dimensions) / math.prod(dimensions)) ** self.power_scale
