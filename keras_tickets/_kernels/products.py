"""Products of matrices in a model's graph: of two activations, or of an activation and a weight."""

import collections
import math
from collections.abc import Iterable
from typing import NamedTuple

import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._kernels.contractions import factors_of, multiplications_of, result_of, sizes_of
from keras_tickets._kernels.tracing import Trace
from keras_tickets._kernels.uses import dependent_on

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
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
    recorded = {place for call in trace.calls if call.graph is graph for place in call.operations}
    search = _Search(trace.weights, trace.batch)
    sources = {tensor.ref(): [place] for place, tensor in enumerate(trace.weights)}
    search.visit(graph, trace.computed(), inputs, sources, recorded)
    return Products(search.activations, search.unknown, search.found, search.in_loops)


class _Search:
    """Adds up the products of a graph and of the functions that are called in it."""

    def __init__(self, weights, batch):
        self.batch = batch
        self.sizes = [math.prod(weight.shape) for weight in weights]
        self.found: list[Product | None] = [Product()] * len(weights)
        self.activations, self.unknown = Product(), 0
        self.in_loops: set[int] = set()

    def visit(self, graph, operations, inputs, sources, recorded=frozenset()):
        """Adds what is multiplied in one graph.

        Args:
            graph: The graph.
            operations: `{operation: its place in the graph}` of those that are needed.
            inputs: Tensors that depend on the model's input.
            sources: `{reference to a tensor: the weights that it is made of}`.
            recorded: Places of operations whose products with weights are known.
        """
        data = dependent_on(inputs, graph)
        factors = dependent_on([*inputs, *_tables(graph, data)], graph)
        for operation, place in operations.items():
            if operation.type in _CALLS:
                self._enter(graph, operation, data, sources, place in recorded)
            elif operation.type.endswith("While") and place not in recorded:
                self.in_loops.update(*(_made_of(each, sources) for each in operation.inputs))
            if result_of(operation) is None or operation.outputs[0].ref() not in data:
                continue
            both = factors_of(operation) or []
            weights = [tensor for tensor in both if tensor.ref() not in factors]
            if not weights and operation.type != "Mul":
                self._add_activations(_product(operation, self.batch))
            elif weights and place not in recorded:
                self._add_weights(_product(operation, self.batch), _made_of(weights[0], sources))

    def _enter(self, graph, operation, data, sources, is_recorded):
        """Adds what a function multiplies that is called in a graph."""
        inner = _keras_compat.called_graph(graph, operation.get_attr("f").name)
        pairs = list(zip(inner.inputs, operation.inputs, strict=True))
        inputs = [inside for inside, outside in pairs if outside.ref() in data]
        made = {inside.ref(): _made_of(outside, sources) for inside, outside in pairs}
        operations = {each: place for place, each in enumerate(inner.get_operations())}
        recorded = frozenset(operations.values() if is_recorded else ())
        self.visit(inner, operations, inputs, made, recorded)

    def _add_activations(self, product):
        self.unknown += product is None
        self.activations = self.activations.plus(product or Product())

    def _add_weights(self, product, weights):
        total = sum(self.sizes[weight] for weight in weights)
        for weight in weights:
            share = product and product.over(total / self.sizes[weight])
            self.found[weight] = sum_of([self.found[weight], share])


def _product(operation, batch) -> Product | None:
    multiplications = multiplications_of(operation, batch)
    if multiplications is None:
        return None
    result = result_of(operation)
    sizes = None if result is None else sizes_of(result, batch)
    return None if sizes is None else Product(multiplications, math.prod(sizes))


def _made_of(tensor, sources) -> list[int]:
    """The weights that a tensor is made of: those that it multiplies to no other, if there are."""
    near, far = [], []
    seen = set()
    waiting = collections.deque([(tensor, near)])
    while waiting:
        tensor, found = waiting.popleft()
        if tensor.ref() in seen:
            continue
        seen.add(tensor.ref())
        if tensor.ref() in sources:
            found += sources[tensor.ref()]
            continue
        after = found if result_of(tensor.op) is None else far
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
