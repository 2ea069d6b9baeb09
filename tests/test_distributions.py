import json
import math
import pathlib
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_tickets import distributions
from keras_tickets._checks import check_sparsity
from keras_tickets._selection.counts import sparsity_of
from keras_tickets.distributions import ER, ERK, Custom, Global, Uniform, nonzeros
from keras_tickets.distributions.erdos_renyi import solve

VECTORS = json.loads((pathlib.Path(__file__).parent / "data/erk_vectors.json").read_text())


def kernel(path, shape, gates=1, first_conv=False):
    *spatial, inputs, outputs = shape
    return SimpleNamespace(
        path=path,
        shape=tuple(shape),
        size=math.prod(shape),
        inputs=inputs,
        outputs=outputs // gates,
        spatial=tuple(spatial),
        gates=gates,
        first_conv=first_conv,
    )


def name_of(vector):
    scale = vector["erk_power_scale"]
    return f"{vector['arch']}-{vector['distribution']}-{vector['target_sparsity']}-{scale}"


def distribution_of(vector):
    target, given_map = vector["target_sparsity"], vector["custom_sparsity_map"]
    if given_map:
        return Custom({**{f"^{name}$": s for name, s in given_map.items()}, ".": target})
    if vector["distribution"] == "erk":
        return ERK(vector["erk_power_scale"])
    return {"er": ER(), "uniform": Uniform()}[vector["distribution"]]


@pytest.mark.parametrize("vector", VECTORS, ids=name_of)
def test_published_vectors(vector):
    kernels = [kernel(row["name"], row["shape"]) for row in vector["layers"]]
    masked = [k for k in kernels if k.path not in vector["unmasked_layers"]]
    target, rounding = vector["target_sparsity"], vector["rounding"]
    chosen = distribution_of(vector).allocate(masked, target).sparsity
    if rounding == "ceil":
        ratios = [sum(k.shape) / k.size for k in masked]
        densities = solve([k.size for k in masked], ratios, target, rounding)
        chosen = {k.path: 1 - density for k, density in zip(masked, densities, strict=True)}
    counts = {k.path: nonzeros(k.size, chosen.get(k.path, 0.0), rounding) for k in kernels}
    assert chosen.keys() == {row["name"] for row in vector["layers"] if row["masked"]}
    for row in vector["layers"]:
        assert chosen.get(row["name"], 0.0) == pytest.approx(row["sparsity"], abs=1e-9)
    assert counts == {row["name"]: row["nnz"] for row in vector["layers"]}
    assert sum(counts.values()) == vector["total_nnz"]
    if vector["distribution"] != "uniform":
        dense = {path for path, sparsity in chosen.items() if sparsity == 0}
        assert dense == set(vector["layers_forced_dense"])


def test_all_kinds_of_vectors_are_there():
    assert {v["distribution"] for v in VECTORS} == {"er", "erk", "uniform"}
    assert {v["rounding"] for v in VECTORS} == {"floor", "ceil"}
    assert any(v["custom_sparsity_map"] for v in VECTORS)
    assert any(v["unmasked_layers"] for v in VECTORS)


SHAPES = st.lists(st.lists(st.integers(1, 40), min_size=2, max_size=4), min_size=1, max_size=8)
SPARSITIES = st.floats(0, 0.95)


@given(shapes=SHAPES, sparsity=SPARSITIES, power=st.sampled_from([0.0, 0.3, 1.0]))
def test_the_solve_meets_the_budget_and_makes_no_more_dense_than_needed(shapes, sparsity, power):
    sizes = np.array([math.prod(shape) for shape in shapes])
    ratios = np.array([(sum(s) / math.prod(s)) ** power for s in shapes])
    densities = np.array(solve(sizes.tolist(), ratios.tolist(), sparsity))
    assert (0 < densities).all() and (densities <= 1).all()
    budget = sum(nonzeros(int(size), sparsity) for size in sizes)
    assert (densities * sizes).sum() == pytest.approx(budget, rel=1e-9)
    free = densities < 1
    if free.any():
        epsilon = densities[free] / ratios[free]
        np.testing.assert_allclose(epsilon, epsilon[0], rtol=1e-9)
        assert (epsilon[0] * ratios[~free] > 1 - 1e-9).all()


@given(size=st.integers(1, 10**7), share=st.floats(0, 1, exclude_max=True))
def test_counts_leave_at_least_one_weight_and_round_zeros_down(size, share):
    kept = nonzeros(size, share)
    assert 1 <= kept <= size
    assert size - kept == int(np.floor(np.float64(share) * size))


@given(seed=st.integers(0, 1000), sparsity=st.floats(0, 0.8), coarse=st.booleans())
def test_global_is_one_ranking(seed, sparsity, coarse):
    rng = np.random.default_rng(seed)
    kernels = [kernel(f"k{i}", rng.integers(3, 9, 2).tolist()) for i in range(3)]
    levels = 3 if coarse else 10**6
    scores = {k.path: rng.integers(0, levels, k.shape).astype(np.float32) for k in kernels}
    flat = [
        (-value, n, i) for n, k in enumerate(kernels) for i, value in enumerate(scores[k.path].flat)
    ]
    kept = sorted(flat)[: nonzeros(len(flat), sparsity)]
    expected = {k.path: sum(n == index for _, n, _ in kept) for index, k in enumerate(kernels)}
    if not all(expected.values()):
        with pytest.raises(ValueError, match="leaves no weight"):
            Global().allocate(kernels, sparsity, scores)
        return
    chosen = Global().allocate(kernels, sparsity, scores).sparsity
    assert {k.path: nonzeros(k.size, chosen[k.path]) for k in kernels} == expected


@given(size=st.integers(1, 10**6), data=st.data())
def test_a_global_count_survives_the_way_through_a_sparsity(size, data):
    kept = data.draw(st.integers(1, size))
    assert nonzeros(size, sparsity_of(size, kept)) == kept


def test_erk_counts_gates_apart():
    gated = kernel("lstm", (6, 20), gates=4)
    other = kernel("fc", (50, 40))
    chosen = ERK().allocate([gated, other], 0.95).sparsity
    ratio = (1 - chosen["lstm"]) / (1 - chosen["fc"])
    assert ratio == pytest.approx((11 / 30) / (90 / 2000))


def test_uniform_leaves_the_first_convolution_out_of_the_budget():
    kernels = [kernel("stem", (3, 3, 3, 8), first_conv=True), kernel("fc", (8, 4))]
    chosen = Uniform().allocate(kernels, 0.5)
    assert chosen.sparsity == {"fc": 0.5}
    assert "first convolution" in chosen.left_dense["stem"]
    everywhere = Uniform(dense_first_conv=False).allocate(kernels, 0.5)
    assert everywhere.sparsity == {"stem": 0.5, "fc": 0.5}
    assert not everywhere.left_dense


def test_custom_takes_the_first_match_and_leaves_the_rest_dense():
    kernels = [kernel(path, (4, 4)) for path in ("encoder/a", "encoder/b", "head")]
    chosen = Custom({"a$": 0.25, "encoder": 0.5}).allocate(kernels)
    assert chosen.sparsity == {"encoder/a": 0.25, "encoder/b": 0.5}
    assert list(chosen.left_dense) == ["head"]


@pytest.mark.parametrize("name", ["uniform", "er", "erk", "global"])
def test_no_kernels_is_no_error(name):
    assert distributions.get(name).allocate([], 0.5, {}).sparsity == {}


def test_sparsity_zero_is_dense():
    kernels = [kernel("a", (4, 4)), kernel("b", (9, 9))]
    for distribution in (ER(), ERK(), Uniform()):
        assert distribution.allocate(kernels, 0.0).sparsity == {"a": 0.0, "b": 0.0}


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (1.0, ValueError, r"`sparsity` must be a number in \[0, 1\).*sparsity=1.0"),
        (-0.1, ValueError, "sparsity=-0.1"),
        (float("nan"), ValueError, "sparsity=nan"),
        ("0.9", TypeError, r"sparsity='0.9' \(of type str\)"),
        (True, TypeError, "sparsity=True"),
        (None, TypeError, "sparsity=None"),
    ],
)
def test_bad_sparsity(value, error, message):
    for distribution in (Uniform(), ER(), ERK(), Global()):
        with pytest.raises(error, match=message):
            distribution.allocate([kernel("a", (4, 4))], value, {})
    with pytest.raises(error, match=r"sparsity\['fc'\]"):
        Custom({"fc": value})


@pytest.mark.parametrize("value", [0, 0.5, np.float32(0.5), np.float64(0.5)])
def test_numbers_of_any_kind_are_sparsities(value):
    checked = check_sparsity(value)
    assert type(checked) is float and checked == float(value)


def test_sparsity_that_erk_cannot_reach():
    kernels = [kernel("wide", (1000, 1000)), kernel("tiny", (4, 4))]
    with pytest.raises(ValueError, match="0.99999 cannot be reached.*'tiny'"):
        ERK().allocate(kernels, 0.99999)


def test_bad_scores():
    kernels = [kernel("a", (2, 2)), kernel("b", (2, 2))]
    with pytest.raises(ValueError, match="none for 'a'"):
        Global().allocate(kernels, 0.5)
    with pytest.raises(ValueError, match="none for 'b'"):
        Global().allocate(kernels, 0.5, {"a": np.ones((2, 2))})
    with pytest.raises(ValueError, match=r"'b'.* shape \(4,\)"):
        Global().allocate(kernels, 0.5, {"a": np.ones((2, 2)), "b": np.ones(4)})
    with pytest.raises(ValueError, match="'a'.*NaN"):
        Global().allocate(kernels, 0.5, {"a": np.full((2, 2), np.nan), "b": np.ones((2, 2))})


def test_bad_maps():
    with pytest.raises(ValueError, match="'decoder' matches no kernel.*'a'"):
        Custom({"a": 0.5, "decoder": 0.5}).allocate([kernel("a", (4, 4))])
    with pytest.raises(ValueError, match=r"must be a valid regex.*sparsity='\('"):
        Custom({"(": 0.5})
    with pytest.raises(TypeError, match=r"sparsities=\[0.5\]"):
        Custom([0.5])


def test_get():
    assert [type(distributions.get(name)) for name in ("uniform", "er", "erk", "global")] == [
        Uniform,
        ER,
        ERK,
        Global,
    ]
    erk = ERK(0.5)
    assert distributions.get(erk) is erk
    assert distributions.get({"fc": 0.5}).sparsities == {"fc": 0.5}
    with pytest.raises(ValueError, match="'uniform', 'er', 'erk', 'global'.*distribution='ekr'"):
        distributions.get("ekr")
    with pytest.raises(ValueError, match="distribution="):
        distributions.get(ERK)


@pytest.mark.parametrize("power", [-1, float("nan"), "1", True])
def test_bad_power(power):
    with pytest.raises((TypeError, ValueError), match="power_scale"):
        ERK(power)


@pytest.mark.parametrize(
    "distribution",
    [Uniform(dense_first_conv=False), ER(), ERK(0.5), Global(), Custom({"a": 0.5})],
    ids=repr,
)
def test_serialization(distribution):
    config = keras.saving.serialize_keras_object(distribution)
    again = distributions.get(json.loads(json.dumps(config)))
    assert type(again) is type(distribution)
    assert again.get_config() == distribution.get_config()
