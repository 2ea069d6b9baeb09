"""Kernels of more elements than an int32 counts: planned without their memory."""

import fractions
import math
import types

import pytest

from keras_tickets import structures
from keras_tickets._allocation import allocate
from keras_tickets._kernels.find import Kernel

SHAPES = {"wide": (2**17, 2**16), "square": (2**16, 2**16), "small": (64, 10)}
SIZES = {path: math.prod(shape) for path, shape in SHAPES.items()}


def kernels():
    """Dense kernels whose variables have a shape and no values."""
    return [
        Kernel(
            path=path,
            variable=types.SimpleNamespace(shape=shape, path=path),
            layer=None,
            inputs=shape[0],
            outputs=shape[1],
            spatial=(),
            gates=1,
            first_conv=False,
            input_axes=(0,),
            output_axes=(1,),
        )
        for path, shape in SHAPES.items()
    ]


def er_sparsities(sparsity):
    """The shares of Erdos-Renyi, in exact arithmetic: the small kernel is dense."""
    raw = {p: fractions.Fraction(sum(shape), SIZES[p]) for p, shape in SHAPES.items()}
    sparse = [path for path in SHAPES if path != "small"]
    kept = fractions.Fraction(1 - sparsity) * sum(SIZES.values()) - SIZES["small"]
    scale = kept / sum(raw[path] * SIZES[path] for path in sparse)
    return {path: 1 - scale * raw[path] for path in sparse}


@pytest.mark.parametrize("distribution", ["uniform", "er", "erk"])
def test_a_plan_is_right_and_needs_no_memory(distribution):
    chosen = allocate(kernels(), 0.75, distribution).sparsity
    if distribution == "uniform":
        assert chosen == dict.fromkeys(SHAPES, 0.75)
    else:
        expected = er_sparsities(0.75)
        assert chosen.get("small", 0.0) == 0.0
        for path, share in expected.items():
            # To within one weight.
            assert abs(chosen[path] - float(share)) * SIZES[path] <= 1


@pytest.mark.parametrize(
    "structure, kept",
    [
        (None, 2**33 // 4),
        (structures.NM(1, 4), 2**33 // 4),
        (structures.Block((32, 32)), 2**33 // 4),
        (structures.Channel(), 2**33 // 4),
        (structures.FanIn(), 2**33 // 4),
    ],
)
def test_counts_of_structures_are_right(structure, kept):
    kernel = kernels()[0]
    share, layout = structures.fit(structures.get(structure), kernel, 0.75)
    assert layout.count(share) == kept
