"""`ER` and `ERK`: smaller kernels are denser."""

import abc
import math
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_tickets._checks import check_number, check_sparsity
from keras_tickets._counts import nonzeros
from keras_tickets._kernels.find import Kernel
from keras_tickets.distributions.distribution import Allocation, Distribution


class _ErdosRenyi(Distribution):
    """Density in proportion to a ratio of each kernel, full kernels kept dense."""

    @abc.abstractmethod
    def _ratio(self, kernel):
        """Density of a kernel up to a factor that all kernels share."""

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
    """Densities `epsilon * ratio`, at most 1, that meet the budget.

    Kernels that would be more than full are dense. One round adds only those of the highest ratio,
    so that no more than needed are. The budget is summed from rounded counts, in kernel order, in
    float64, which makes the densities bit-equal to published ones.

    Args:
        sizes: Number of weights of each kernel.
        ratios: Positive ratio of each kernel.
        sparsity: Share of zeros in [0, 1) over all kernels.
        rounding: How the numbers of zeros are rounded: "floor" or "ceil".

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

    Kernels that this would more than fill stay dense; the others make up for them. Inputs and
    outputs are channels; spatial axes do not count.

    Raises:
        ValueError: From `allocate`, where a kernel would be left without weights.

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

    The dimensions of a convolution are those of its kernel; of any other kernel the product of its
    input axes, the product of its output axes and its spatial axes. The gates of recurrent kernels
    count as kernels of their own. Kernels that this would more than fill stay dense; the others
    make up for them.

    Args:
        power_scale: Power of the ratio: 1 for ERK, 0 for a uniform distribution, between them
            softer.

    Raises:
        ValueError: `power_scale` is not a finite number of at least 0; from `allocate`, where a
            kernel would be left without weights.

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
