"""How a sparsity is shared among the kernels of a model."""

import abc
import dataclasses
import math
import numbers
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_tickets.kernels import Kernel, compile_regex

NAMES = ("uniform", "er", "erk", "global")


def check_sparsity(value: float, name: str = "sparsity") -> float:
    """Checks that a value is a sparsity.

    Args:
        value: What the user gave.
        name: Name of the argument, for the error.

    Returns:
        The value as a Python float.

    Raises:
        TypeError: It is not a number.
        ValueError: It is not in [0, 1).
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"`{name}` must be a float in [0, 1). "
            f"Received: {name}={value!r} (of type {type(value).__name__})"
        )
    if not 0.0 <= value < 1.0:
        raise ValueError(f"`{name}` must be in [0, 1). Received: {name}={value!r}")
    return float(value)


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
    """

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


@keras.saving.register_keras_serializable("keras_tickets")
class Uniform(Distribution):
    """The same sparsity for every kernel.

    Args:
        dense_first_conv: Leave convolutions that read the model's input dense and out of the
            budget, as in the RigL paper; never a `Dense` layer.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="fc")])
    print(kt.plan(model, 0.5, distribution=kt.distributions.Uniform(dense_first_conv=False)))
    ```

    References:
        Evci et al., Rigging the Lottery (arXiv 1911.11134), section 3, "Sparsity Distribution".
    """

    def __init__(self, dense_first_conv: bool = True):
        self.dense_first_conv = dense_first_conv

    def allocate(self, kernels, sparsity, scores=None):
        sparsity = check_sparsity(sparsity)
        left_dense = {}
        if self.dense_first_conv:
            reason = "first convolution: dense in a uniform distribution"
            left_dense = {kernel.path: reason for kernel in kernels if kernel.first_conv}
        chosen = {k.path: sparsity for k in kernels if k.path not in left_dense}
        return Allocation(chosen, left_dense)


class _ErdosRenyi(Distribution):
    """Density in proportion to a ratio of each kernel, full kernels kept dense."""

    @abc.abstractmethod
    def _ratio(self, kernel):
        """Density of a kernel up to a factor that all kernels share."""

    def allocate(self, kernels, sparsity, scores=None):
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
        valid = isinstance(power_scale, numbers.Real) and not isinstance(power_scale, bool)
        if not valid or not 0 <= power_scale < math.inf:
            raise ValueError(
                f"`power_scale` must be a finite number of at least 0. "
                f"Received: power_scale={power_scale!r}"
            )
        self.power_scale = float(power_scale)

    def _ratio(self, kernel):
        dimensions = (kernel.inputs, kernel.outputs, *kernel.spatial)
        return (sum(dimensions) / math.prod(dimensions)) ** self.power_scale


@keras.saving.register_keras_serializable("keras_tickets")
class Global(Distribution):
    """One ranking of all weights: those with the highest scores stay, wherever they are.

    The total is exact: `nonzeros` of all weights together. Ties go to the kernel that comes first,
    then to the lowest flat index. `kt.sparsify` passes the scores by which it draws the first
    masks: random ones, or magnitudes.

    Raises:
        ValueError: From `allocate`, where `scores` are missing or not of the kernels' shapes.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    sparse = kt.sparsify(model, 0.5, distribution="global", mask="magnitude")
    ```
    """

    needs_scores = True

    def allocate(self, kernels, sparsity, scores=None):
        sparsity = check_sparsity(sparsity)
        if not kernels:
            return Allocation({})
        ranked = np.concatenate([self._scores(kernel, scores) for kernel in kernels])
        sizes = [kernel.size for kernel in kernels]
        kept = np.zeros(ranked.size, dtype=bool)
        kept[np.argsort(-ranked, kind="stable")[: nonzeros(ranked.size, sparsity)]] = True
        parts = np.split(kept, np.cumsum(sizes)[:-1])
        chosen = {}
        for kernel, part in zip(kernels, parts, strict=True):
            if not part.any():
                raise ValueError(
                    f"sparsity={sparsity} with {self!r} leaves no weight in kernel "
                    f"{kernel.path!r} of shape {kernel.shape}. Lower the sparsity, leave that "
                    'kernel out with `filters`, or use distribution="erk".'
                )
            chosen[kernel.path] = _sparsity_of(kernel.size, np.count_nonzero(part))
        return Allocation(chosen)

    def _scores(self, kernel, scores):
        if scores is None or kernel.path not in scores:
            raise ValueError(
                'distribution="global" ranks all weights by their scores, and there are none for '
                f"{kernel.path!r}. Pass `scores={{kernel path: array}}`."
            )
        score = np.asarray(scores[kernel.path])
        if score.shape != kernel.shape:
            raise ValueError(
                f"`scores[{kernel.path!r}]` has shape {score.shape}; the kernel has {kernel.shape}."
            )
        if np.isnan(score).any():
            raise ValueError(f"`scores[{kernel.path!r}]` has NaN.")
        return score.reshape(-1)


def _sparsity_of(size, kept):
    """A sparsity for which `nonzeros` is exactly `kept`, also where rounding is against it."""
    sparsity = (size - kept) / size
    return sparsity if nonzeros(size, sparsity) == kept else math.nextafter(sparsity, 1.0)


@keras.saving.register_keras_serializable("keras_tickets")
class Custom(Distribution):
    """A sparsity for each kernel by the first regex that matches its path.

    Kernels that match none stay dense and out of the budget. The overall `sparsity` follows from
    the map and is not used.

    Args:
        sparsities: `{path regex: share of zeros in [0, 1)}`.

    Raises:
        ValueError: A regex is invalid or, from `allocate`, matches no kernel; a share is out of
            range.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="fc")])
    print(kt.plan(model, {"fc": 0.75}))
    ```
    """

    def __init__(self, sparsities: Mapping[str, float]):
        if not isinstance(sparsities, Mapping) or not all(isinstance(p, str) for p in sparsities):
            raise TypeError(
                f"`sparsities` must be a dict from path regexes to sparsities. "
                f"Received: sparsities={sparsities!r}"
            )
        for pattern, value in sparsities.items():
            compile_regex(pattern, "sparsity")
            check_sparsity(value, f"sparsity[{pattern!r}]")
        self.sparsities = dict(sparsities)

    def allocate(self, kernels, sparsity=0.0, scores=None):
        regexes = {compile_regex(p, "sparsity"): float(s) for p, s in self.sparsities.items()}
        for regex in regexes:
            if not any(regex.search(kernel.path) for kernel in kernels):
                raise ValueError(
                    f"`sparsity`: regex {regex.pattern!r} matches no kernel. "
                    f"Kernels: {[kernel.path for kernel in kernels]}"
                )
        chosen, left_dense = {}, {}
        for kernel in kernels:
            matching = [value for regex, value in regexes.items() if regex.search(kernel.path)]
            if matching:
                chosen[kernel.path] = matching[0]
            else:
                left_dense[kernel.path] = "matches no regex of `sparsity`"
        return Allocation(chosen, left_dense)


def get(identifier: str | dict | Distribution) -> Distribution:
    """Resolves a distribution.

    Args:
        identifier: "uniform", "er", "erk", "global"; a distribution; its serialized form; or a map
            `{path regex: sparsity}`.

    Returns:
        The distribution.

    Raises:
        ValueError: It is none of these.
    """
    classes = dict(zip(NAMES, (Uniform, ER, ERK, Global), strict=True))
    if isinstance(identifier, str) and identifier.lower() in classes:
        return classes[identifier.lower()]()
    if isinstance(identifier, Mapping):
        if {"class_name", "config"} <= set(identifier):
            return keras.saving.deserialize_keras_object(dict(identifier))
        return Custom(identifier)
    if callable(getattr(identifier, "allocate", None)) and not isinstance(identifier, type):
        return identifier
    raise ValueError(
        f"`distribution` must be one of {NAMES}, an object of `kt.distributions` or a dict "
        f"{{path regex: sparsity}}. Received: distribution={identifier!r}"
    )
