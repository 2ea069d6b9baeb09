"""Products of matrices in a model's graph: of two activations, or of an activation and a weight."""

import collections
import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import tensorflow as tf

from keras_tickets._kernels.contractions import factors_of, multiplications_of
from keras_tickets._kernels.tracing import Trace
from keras_tickets._kernels.uses import dependent_on

_LOOKUPS = ("GatherV2", "ResourceGather")


class Product(NamedTuple):
    """Products in a forward pass for all samples of a trace.

    Attributes:
        multiplications: How many.
        elements: Number of elements of the results.
    """

    multiplications: float = 0
    elements: float = 0

    def plus(self, other: "Product") -> "Product":
        """The sum of both."""
        return Product(*map(sum, zip(self, other, strict=True)))

    def over(self, number: float) -> "Product":
        """Both numbers divided by another."""
        return Product(*(int(n // number) if n % number == 0 else n / number for n in self))


def sum_of(products: Iterable[Product | None]) -> Product | None:
    """The sum of products; `None` if one of them is not known."""
    total = Product()
    for each in products:
        if each is None:
            return None
        total = total.plus(each)
    return total


class Products(NamedTuple):
    """The products of matrices in a graph, but for those within loops.

    Attributes:
        activations: Those whose factors both depend on the model's input. A table that the input's
            tokens are looked up in counts as such a factor: where a model multiplies by it, as
            language models do for their logits, no kernel stands for that product.
        unknown: Number of products of two activations of which a size is not known.
        weights: For each weight of the trace, its products outside of the recorded calls; `None`
            if a size is not known.
        in_loops: Places of the weights that loops outside of the recorded calls use.
    """

    activations: Product
    unknown: int
    weights: list[Product | None]
    in_loops: set[int]


def find_products(trace: Trace) -> Products:
    """Finds the products of matrices in a traced forward pass."""
    graph = trace.graph
    inputs = [
        tensor
        for tensor in tf.nest.flatten(trace.inputs, expand_composites=True)
        if isinstance(tensor, tf.Tensor)
    ]
    data = dependent_on(inputs, graph)
    factors = dependent_on([*inputs, *_tables(graph, data)], graph)
    recorded = {place for call in trace.calls if call.graph is graph for place in call.operations}
    places = {tensor.ref(): place for place, tensor in enumerate(trace.weights)}
    activations, unknown = Product(), 0
    weights: list[Product | None] = [Product()] * len(trace.weights)
    in_loops: set[int] = set()
    for operation, place in trace.computed().items():
        if operation.type.endswith("While") and place not in recorded:
            in_loops.update(*(_sources(tensor, places) for tensor in operation.inputs))
        both = factors_of(operation)
        if both is None or operation.outputs[0].ref() not in data:
            continue
        found = _product(operation)
        if all(tensor.ref() in factors for tensor in both):
            unknown += found is None
            activations = activations.plus(found or Product())
        elif place not in recorded:
            weight = next(tensor for tensor in both if tensor.ref() not in factors)
            for source, part in _shares(_sources(weight, places), trace.weights):
                weights[source] = sum_of([weights[source], found and found.over(1 / part)])
    return Products(activations, unknown, weights, in_loops)


def _product(operation) -> Product | None:
    multiplications = multiplications_of(operation)
    if multiplications is None:
        return None
    return Product(multiplications, math.prod(operation.outputs[0].shape))


def _shares(sources, weights) -> Iterator[tuple[int, float]]:
    """The weights that a factor is made of, each with its share of the products."""
    sizes = [math.prod(weights[source].shape) for source in sources]
    for source, size in zip(sources, sizes, strict=True):
        yield source, size / sum(sizes)


def _sources(tensor, places) -> list[int]:
    """The weights that a tensor is made of: those that it multiplies to no other, if there are."""
    near, far = [], []
    seen = set()
    waiting = collections.deque([(tensor, near)])
    while waiting:
        tensor, found = waiting.popleft()
        if tensor.ref() in seen:
            continue
        seen.add(tensor.ref())
        if tensor.ref() in places:
            found.append(places[tensor.ref()])
            continue
        after = far if factors_of(tensor.op) else found
        waiting.extend((each, after) for each in tensor.op.inputs)
    return near or far


def _tables(graph, data) -> list[tf.Tensor]:
    """What the tables are read from in which something that depends on the input is looked up."""
    found, seen = [], set()
    waiting = [
        operation.inputs[0]
        for operation in graph.get_operations()
        if operation.type in _LOOKUPS
        and operation.inputs[1].ref() in data
        and operation.inputs[0].ref() not in data
    ]
    while waiting:
        tensor = waiting.pop()
        if tensor.ref() in seen:
            continue
        seen.add(tensor.ref())
        if tensor.op.type == "Placeholder":
            found.append(tensor)
        waiting.extend(tensor.op.inputs)
    return found
