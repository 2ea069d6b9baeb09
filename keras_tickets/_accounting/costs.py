"""What kernels cost: how often a model uses them, and what a convention counts of that."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import keras

from keras_tickets._checks import check_one_of
from keras_tickets._kernels.axes import is_depthwise, is_transposed, output_channels
from keras_tickets._kernels.find import Kernel
from keras_tickets._kernels.products import products_of_activations
from keras_tickets._kernels.tracing import InputShape, LayerCall, recurrent_layers, trace


@dataclasses.dataclass(frozen=True)
class Convention:
    """What a count of operations includes.

    Attributes:
        name: Its name.
        whole_sums: Whether a sum of v products takes v additions: a multiplication and an addition
            for each weight. Otherwise it takes v - 1.
        bias: Whether each output takes the addition of a bias; `None` if only the outputs of layers
            that have one do.
        activation: The same for an activation function, which is one operation.
        between_activations: Whether products of two activations count, such as those of queries
            and keys.
    """

    name: str
    whole_sums: bool = False
    bias: bool | None = None
    activation: bool | None = None
    between_activations: bool = True


LAYERS = Convention("layers")
CONVENTIONS = {
    convention.name: convention
    for convention in (
        LAYERS,
        Convention("rigl", bias=True, activation=True, between_activations=False),
        Convention("products", whole_sums=True, bias=False, activation=False),
    )
}


def get_convention(name: str) -> Convention:
    """The convention of a name.

    Raises:
        ValueError: There is none.
    """
    return CONVENTIONS[check_one_of("convention", name, tuple(CONVENTIONS))]


@dataclasses.dataclass(frozen=True)
class Cost:
    """How often a kernel is used for one sample.

    Attributes:
        positions: How often each weight is multiplied, in all calls of its layer together.
        outputs: Number of output elements that the kernel contributes to.
        bias: Whether the layer then adds a bias.
        activation: Whether the layer then applies an activation function.
    """

    positions: int
    outputs: int
    bias: bool
    activation: bool

    def count(self, weights: float, convention: Convention = LAYERS) -> float:
        """Operations if this many of the kernel's weights are not zero.

        Args:
            weights: Number of weights that are not zero.
            convention: What is counted.
        """
        multiplications = weights * self.positions
        additions = multiplications
        if not convention.whole_sums:
            additions = max(multiplications - self.outputs, 0)
        bias = self.bias if convention.bias is None else convention.bias
        activation = self.activation if convention.activation is None else convention.activation
        return multiplications + additions + self.outputs * (bias + activation)

    def mean(self, phases: list[tuple[int, float]], convention: Convention = LAYERS) -> float:
        """Mean operations over training.

        Args:
            phases: `(steps, weights)` pairs: for how many steps how many weights are not zero.
            convention: What is counted.
        """
        total = math.fsum(steps * self.count(weights, convention) for steps, weights in phases)
        return total / sum(steps for steps, _ in phases)


class Phase(NamedTuple):
    """Steps of a training that cost the same for one kernel.

    Attributes:
        steps: Their number, or their share of all steps.
        weights: How many weights the forward pass, and the gradient of its input, multiply.
        gradients: Of how many weights the gradient is taken.
    """

    steps: float
    weights: float
    gradients: float

    def operations(self, cost: Cost, convention: Convention = LAYERS) -> float:
        """Operations of one of the steps for one sample.

        Args:
            cost: How often the kernel is used.
            convention: What is counted.
        """
        passes = 2 * cost.count(self.weights, convention)
        return passes + cost.count(self.gradients, convention)


@dataclasses.dataclass(frozen=True)
class Uses:
    """What a forward pass for one sample multiplies.

    Attributes:
        kernels: `{kernel path: cost}`; the cost is `None` if a size is not known.
        activations: The products of two activations, as the cost of a single weight.
        unknown: Number of products of two activations of which a size is not known.
    """

    kernels: dict[str, Cost | None]
    activations: Cost
    unknown: int

    def between_activations(self, convention: Convention) -> float:
        """Operations of the products of two activations."""
        return self.activations.count(1, convention) if convention.between_activations else 0.0

    def operations(self, weights: Mapping[str, float]) -> float | None:
        """Operations of the forward pass; `None` if a size is not known.

        Args:
            weights: `{kernel path: number}` of weights that are not zero.
        """
        costs = [(self.kernels[path], kept) for path, kept in weights.items()]
        known = [cost.count(kept) for cost, kept in costs if cost is not None]
        if self.unknown or len(known) < len(costs):
            return None
        return math.fsum([self.between_activations(LAYERS), *known])


def find_uses(
    model: keras.Model, kernels: Iterable[Kernel], input_shape: InputShape = None
) -> Uses:
    """Finds what a model multiplies, by tracing it once for inference.

    Args:
        model: Built Keras model.
        kernels: Its kernels.
        input_shape: As in `kt.flops`.
    """
    kernels = list(kernels)
    loops = recurrent_layers(model)
    callers = {kernel.path: loops.get(id(kernel.layer), kernel.layer) for kernel in kernels}
    traced = trace(model, callers.values(), input_shape)
    costs: dict[str, Cost | None] = {}
    first = set()
    for kernel in kernels:
        found = [_use(kernel, call) for call in traced.calls if call.layer is callers[kernel.path]]
        uses = [use for use in found if use is not None]
        if len(uses) < len(found):
            costs[kernel.path] = None
            continue
        is_first = id(kernel.layer) not in first
        first.add(id(kernel.layer))
        costs[kernel.path] = Cost(
            positions=sum(positions for positions, _ in uses),
            outputs=sum(outputs for _, outputs in uses),
            bias=is_first and _has_bias(kernel.layer),
            activation=is_first and _has_activation(kernel.layer),
        )
    products, outputs, unknown = products_of_activations(traced)
    return Uses(costs, Cost(products, outputs, bias=False, activation=False), unknown)


def _use(kernel: Kernel, call: LayerCall) -> tuple[int, int] | None:
    """How often one call multiplies each weight, and how many outputs it contributes to."""
    source, result = call.inputs[0].shape, call.outputs[0].shape
    sizes = [*source[1:], *result[1:]]
    if source.rank is None or result.rank is None or None in sizes:
        return None
    columns = kernel.size // math.prod((kernel.inputs, *kernel.spatial))
    if isinstance(call.layer, keras.layers.RNN):
        steps = source[1]
        places = 1
        if kernel.spatial:
            places = math.prod(result[1:]) // kernel.outputs
            places //= steps if call.layer.return_sequences else 1
        return steps * places, steps * places * columns
    elements = math.prod(result[1:])
    if is_transposed(kernel.layer):
        return math.prod(source[1:]) // kernel.inputs, elements
    if is_depthwise(kernel.layer, kernel.variable):
        columns *= kernel.inputs
    positions = max(elements // output_channels(kernel.layer, columns), 1)
    return positions, positions * columns


def _has_bias(layer):
    use_bias = getattr(layer, "use_bias", None)
    return bool(getattr(layer, "bias", None) is not None if use_bias is None else use_bias)


def _has_activation(layer):
    activation = getattr(layer, "activation", None)
    return activation not in (None, keras.activations.linear)
