"""What kernels cost: how often a model uses them, and what a convention counts of that."""

import collections
import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import keras

from keras_tickets._checks import check_one_of
from keras_tickets._kernels.axes import (
    computes_as_keras,
    is_depthwise,
    is_separable,
    is_transposed,
    output_channels,
)
from keras_tickets._kernels.contractions import sizes_of
from keras_tickets._kernels.find import Kernel
from keras_tickets._kernels.products import Product, find_products, sum_of
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

    positions: float
    outputs: float
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
        looped: Paths of kernels that are used within loops other than those of recurrent layers:
            of all passes of a loop, one is counted at most.
    """

    kernels: dict[str, Cost | None]
    activations: Cost
    unknown: int
    looped: list[str]

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

    How Keras's layers use their kernels is known from the shapes in their calls; everything else is
    read from the graph.

    Args:
        model: Built Keras model.
        kernels: Its kernels. Embeddings among them are never multiplied.
        input_shape: As in `kt.flops`.
    """
    kernels = list(kernels)
    loops = recurrent_layers(model)
    callers = {
        kernel.path: loops.get(id(kernel.layer), kernel.layer)
        for kernel in kernels
        if not _is_table(kernel) and (id(kernel.layer) in loops or computes_as_keras(kernel.layer))
    }
    whole = [k for k in kernels if not _is_table(k) and k.shape == tuple(k.variable.shape)]
    recorded = [*callers.values(), *(k.layer for k in kernels if id(k.layer) in loops)]
    traced = trace(model, recorded, input_shape, [kernel.variable for kernel in whole])
    products = find_products(traced)
    elsewhere = dict(zip((kernel.path for kernel in whole), products.weights, strict=True))
    looped = {whole[place].path for place in products.in_loops}
    calls, inner = _calls(traced)
    costs: dict[str, Cost | None] = {}
    of_layers: set[int] = set()
    for kernel in kernels:
        outside = elsewhere.get(kernel.path, Product())
        caller = id(callers.get(kernel.path))
        used = calls[caller]
        if inner[caller] and outside == Product():
            looped.add(kernel.path)
            used = [*used, *inner[caller]]
        of_calls = sum_of(_use(kernel, call, traced.batch) for call in used)
        if id(kernel.layer) in loops and of_calls is not None:
            of_calls = of_calls.over(1 / _times_in_a_step(kernel.layer, used, calls, inner))
        total = sum_of([outside, of_calls])
        costs[kernel.path] = None
        if total is not None:
            costs[kernel.path] = _cost(kernel, total.over(traced.batch), of_layers)
    both = products.activations.over(traced.batch)
    activations = Cost(both.multiplications, both.elements, bias=False, activation=False)
    return Uses(costs, activations, products.unknown, sorted(looped))


def _calls(traced):
    """By the `id`s of layers: their calls that the outputs need, and those in loops or branches."""
    needed = traced.computed()
    calls, inner = collections.defaultdict(list), collections.defaultdict(list)
    for call in traced.calls:
        if call.graph is not traced.graph:
            inner[id(call.layer)].append(call)
        elif any(output.op in needed for output in call.outputs):
            calls[id(call.layer)].append(call)
    return calls, inner


def _times_in_a_step(layer, used, calls, inner):
    """How often the cell of a recurrent layer calls a layer in each of its steps."""
    places = inner[id(layer)], calls[id(layer)]
    if hasattr(layer, "state_size") or not (used and any(places)):
        return 1
    if places[0]:
        return len(places[0]) / len(used)
    return len(places[1]) / sum(call.inputs[0].shape[1] for call in used)


def _is_table(kernel: Kernel) -> bool:
    """Whether a kernel is a table of embeddings, which is looked up in."""
    return isinstance(kernel.layer, keras.layers.Embedding) and kernel.variable.name == "embeddings"


def _cost(kernel, total, of_layers) -> Cost:
    """The cost of a kernel. `of_layers` are the layers of which one was multiplied before."""
    is_first = id(kernel.layer) not in of_layers
    if total.multiplications:
        of_layers.add(id(kernel.layer))
    finished = _is_finished(kernel, is_first)
    return Cost(
        positions=total.over(kernel.size).multiplications,
        outputs=total.elements,
        bias=_has_bias(kernel.layer) and (finished or getattr(kernel.layer, "reset_after", False)),
        activation=_has_activation(kernel.layer) and finished,
    )


def _use(kernel: Kernel, call: LayerCall, batch: int) -> Product | None:
    """The products of one call; `None` if a size is not known."""
    source, result = sizes_of(call.inputs[0], batch), sizes_of(call.outputs[0], batch)
    if source is None or result is None:
        return None
    columns = kernel.size // math.prod((kernel.inputs, *kernel.spatial))
    if isinstance(call.layer, keras.layers.RNN):
        batch, steps = source[:2]
        places = 1
        if kernel.spatial:
            places = math.prod(result[1:]) // kernel.outputs
            places //= steps if call.layer.return_sequences else 1
        positions = batch * steps * places
    elif is_transposed(kernel.layer):
        return Product(math.prod(source) // kernel.inputs * kernel.size, math.prod(result))
    else:
        if is_depthwise(kernel.layer, kernel.variable):
            columns *= kernel.inputs
        positions = max(math.prod(result) // output_channels(kernel.layer, columns), 1)
    return Product(positions * kernel.size, positions * columns)


def _is_finished(kernel, is_first):
    """Whether it is to the products with this kernel that a layer adds its bias."""
    if is_separable(kernel.layer):
        return kernel.variable.name.startswith("pointwise")
    return is_first


def _has_bias(layer):
    use_bias = getattr(layer, "use_bias", None)
    return bool(getattr(layer, "bias", None) is not None if use_bias is None else use_bias)


def _has_activation(layer):
    activation = getattr(layer, "activation", None)
    return activation not in (None, keras.activations.linear)
