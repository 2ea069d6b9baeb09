"""Which operators of a LiteRT file run sparse on ARM and in WebAssembly.

XNNPACK, the interpreter's default delegate, computes 1x1 convolutions without their zeros there,
but only in whole parts of a network, in which values are laid out channel by channel: from a first
convolution, through operators that all have a form for that layout, to a global mean.

It does not notice when the only reader of a value has no such form: that one then reads channels
for columns, and the outputs are wrong, or the file cannot be loaded. Files are written so that this
cannot happen: such a part does not start.

Source: XNNPACK, `src/subgraph.c`, `xnn_subgraph_rewrite_for_nchw`.
"""

import dataclasses
from collections.abc import Mapping

from keras_tickets.export.litert_conditions import (
    AXES,
    CONSTANT,
    ENDS,
    Padding,
    broken,
    first,
    pointwise,
)
from keras_tickets.export.litert_file import LitertFile
from keras_tickets.export.litert_graph import LitertGraph, Operator
from keras_tickets.export.report import ExportedOperator

NOTHING_FIRST = (
    "{name} reads the model's input: a 3x3 convolution on 3 channels with stride 2 and padding of "
    "1 comes first"
)
READS = "{name} reads what {other} computes, and {other} does not run sparse: {reason}"
READ_BY = "{other} reads what {name} computes, and {other} does not run sparse: {reason}"
LAST = "DEPTH_TO_SPACE"  # what reads it reads in the usual order
BEHIND_LAST = (
    "{name} reads what {other} computes, behind which nothing runs sparse: let it be the last "
    "layer, or take UpSampling2D instead"
)
KEPT_AXES = (
    "{name} keeps height and width, and what reads it does not run sparse: "
    "GlobalAveragePooling2D(keepdims=False), and Dense for 1x1 convolutions behind it"
)
RETURNED = "the model returns what {name} computes: only what comes from a global mean may be"
NOT_PACKED = (
    "no float kernel of the file is stored sparsely, and XNNPACK takes int8 ones for dense: export "
    'with kernels="packed" and without quantize'
)
NO_POINTWISE = "there are no 1x1 convolutions beside it"
# XNNPACK takes operators that break these conditions for ones with sparse forms.
TAKEN_FOR_SPARSE = (AXES, CONSTANT)
TOO_FEW_ZEROS = (
    "{share:.1%} of the weights of the 1x1 convolutions beside it are zeros: more than 2/3 must be"
)


def operators_on_arm(content: bytes, stored: bytes = b"") -> tuple[ExportedOperator, ...]:
    """Finds which operators of a network with convolutions run sparse on ARM and in WebAssembly.

    Args:
        content: A LiteRT file.
        stored: The file with other forms of its kernels, if they are to be those.

    Returns:
        Each operator in order, without those that only unpack constants, and without padding that
        becomes part of a convolution; nothing if there are no convolutions.
    """
    graph = LitertGraph.of(content)
    if not any("CONV_2D" in operator.kind for operator in graph.operators):
        return ()
    if stored:
        graph = dataclasses.replace(graph, unpacked=LitertGraph.of(stored).unpacked)
    network = _Network(graph)
    return tuple(
        ExportedOperator(operator.name, operator.kind, not reason, reason)
        for operator, reason in network.reasons().items()
    )


def keep_dense_on_arm(content: bytes) -> bytes:
    """Keeps from running sparse what XNNPACK would compute wrongly on ARM and in WebAssembly.

    The first convolution there gets a fourth input channel, of zeros, and so cannot be one that
    starts a sparse part.

    Args:
        content: A LiteRT file whose kernels are not stored sparsely yet.
    """
    network = _Network(LitertGraph.of(content))
    if not (starts := network.misread()):
        return content
    file = LitertFile(content)
    for operator in starts:
        file.add_channel(operator.outputs[0])
    return file.pack()


class _Network:
    """A graph as XNNPACK sees it, with padding fused into convolutions.

    Attributes:
        paddings: What is fused into a convolution.
        fused: The convolution by the padding.
        operators: The others.
        broken: The condition that each breaks by itself, or nothing.
    """

    def __init__(self, graph: LitertGraph):
        self.graph = graph
        self.paddings: dict[Operator, tuple[Operator, Padding]] = {}
        for operator in graph.operators:
            if found := _fused_padding(graph, operator):
                (reader,) = graph.readers(operator.outputs[0])
                self.paddings[reader] = (operator, found)
        self.fused = {padding: reader for reader, (padding, _) in self.paddings.items()}
        self.operators = [each for each in graph.operators if each not in self.fused]
        self.broken = {
            each: broken(graph, each, self.paddings.get(each, (None, None))[1])
            for each in self.operators
        }

    def reasons(self) -> Mapping[Operator, str]:
        """Why each operator does not run sparse; nothing for those that do."""
        problems = dict(self.broken)
        for part in self._parts():
            problem = self._problem(part)
            problems.update(dict.fromkeys(part, problem))
        return problems

    def _parts(self) -> list[list[Operator]]:
        """The operators without problems of their own, in groups that are connected."""
        parts: dict[Operator, list[Operator]] = {}
        for operator in self.operators:
            if self.broken[operator]:
                continue
            merged = [operator]
            for source in self._sources(operator):
                if source is None or source.kind == LAST or source not in parts:
                    continue
                if parts[source] is not merged:
                    merged = [*parts[source], *merged]
                    parts.update(dict.fromkeys(merged, merged))
            parts.update(dict.fromkeys(merged, merged))
        return list({id(part): part for part in parts.values()}.values())

    def _sources(self, operator: Operator) -> list[Operator | None]:
        """What computes the values that must be laid out channel by channel; `None`: the input."""
        if first(self.graph, operator):
            return []
        padding, _ = self.paddings.get(operator, (operator, None))
        return [self.graph.writer(index) for index in self.graph.read(padding)]

    def misread(self) -> list[Operator]:
        """First convolutions of parts that could run sparse, but whose values others misread."""
        return [
            each
            for part in self._parts()
            if self._border(part) and self._could_run(part)
            for each in part
            if first(self.graph, each)
        ]

    def _could_run(self, part: list[Operator]) -> bool:
        """Whether XNNPACK could run a part sparse, in spite of its border."""
        sparse = [each for each in self.operators if self._is_sparse(each)]
        readers = [reader for each in part for reader in self.graph.readers(each.outputs[0])]
        taken = any(self.broken.get(each) in TAKEN_FOR_SPARSE for each in readers)
        ends = any(each.kind in ENDS for each in self.operators)
        return bool(sparse) and ends and (taken or any(each in part for each in sparse))

    def _is_sparse(self, operator: Operator) -> bool:
        if not pointwise(self.graph, operator):
            return False
        kernel = self.graph.constants.get(operator.inputs[1])
        return kernel is not None and 3 * kernel.zeros > 2 * kernel.size

    def _problem(self, part: list[Operator]) -> str:
        return self._border(part) or self._too_few_zeros(part)

    def _border(self, part: list[Operator]) -> str:
        """Why values enter or leave a part otherwise than they may, if they do."""
        for operator in part:
            for source in self._sources(operator):
                if source is None:
                    return NOTHING_FIRST.format(name=operator.name)
                if source.kind == LAST:
                    return BEHIND_LAST.format(name=operator.name, other=source.name)
                if source not in part:
                    return READS.format(
                        name=operator.name, other=source.name, reason=self.broken[source]
                    )
            if problem := self._leak(part, operator):
                return problem
        return ""

    def _leak(self, part: list[Operator], operator: Operator) -> str:
        """Why values leave a part other than through a global mean, if they do."""
        (index,) = operator.outputs
        readers = [self.fused.get(reader, reader) for reader in self.graph.readers(index)]
        inside = [each for each in readers if each in part and operator in self._sources(each)]
        if operator.kind in ENDS and (operator.kind == LAST or not inside):
            kept = operator.kind != LAST and operator.options.keepDims
            return KEPT_AXES.format(name=operator.name) if kept else ""
        for reader in readers:
            if reader not in inside:
                reason = self.broken[reader] or "it is a first convolution"
                return READ_BY.format(name=operator.name, other=reader.name, reason=reason)
        return RETURNED.format(name=operator.name) if index in self.graph.outputs else ""

    def _too_few_zeros(self, part: list[Operator]) -> str:
        kernels = [
            self.graph.constants[each.inputs[1]] for each in part if pointwise(self.graph, each)
        ]
        weights = sum(kernel.size for kernel in kernels)
        zeros = sum(kernel.zeros for kernel in kernels)
        if not weights:
            return NO_POINTWISE
        if 3 * zeros <= 2 * weights:
            return TOO_FEW_ZEROS.format(share=zeros / weights)
        return "" if self.graph.unpacked else NOT_PACKED


def _fused_padding(graph: LitertGraph, operator: Operator) -> Padding | None:
    """The zeros that an operator adds around images, if one convolution alone reads the result."""
    if operator.kind != "PAD" or operator.inputs[1] not in graph.constants:
        return None
    readers = graph.readers(operator.outputs[0])
    if len(readers) != 1 or operator.outputs[0] in graph.outputs:
        return None
    if readers[0].kind not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        return None
    amounts = graph.constants[operator.inputs[1]].values.reshape(-1, 2)
    if len(amounts) != 4 or amounts[0].any() or amounts[3].any():
        return None
    (top, bottom), (left, right) = amounts[1].tolist(), amounts[2].tolist()
    return top, bottom, left, right
