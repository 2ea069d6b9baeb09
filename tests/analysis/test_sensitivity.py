"""Sensitivity, against models pruned by hand, and suggestions against all choices."""

import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import LOSS, labeled, mlp

import keras_tickets as kt
from keras_tickets.analysis.sensitivity.suggestion import suggest

X, Y = labeled(120)
SHARES = (0.25, 0.5, 0.9)


@pytest.fixture(scope="module")
def trained():
    model = mlp(hidden=(12, 8))
    model.compile(keras.optimizers.Adam(0.02), LOSS, metrics=["accuracy"])
    model.fit(X, Y, epochs=5, verbose=0)
    return model


@pytest.fixture(scope="module")
def scanned(trained):
    return kt.analysis.sensitivity(trained, (X, Y), sparsities=SHARES, batch_size=50)


def numpy_outputs(weights):
    hidden = X
    for i in (1, 2):
        hidden = np.maximum(hidden @ weights[f"fc{i}/kernel"] + weights[f"fc{i}/bias"], 0)
    return hidden @ weights["head/kernel"] + weights["head/bias"]


def test_rows_are_those_of_kernels_pruned_by_hand(trained, scanned):
    weights = {path: v.numpy() for path, v in kt.weight_paths(trained).items()}
    rows = {(row.path, round(row.sparsity, 2)): row for row in scanned.rows}
    assert len(rows) == len(scanned.rows) == 3 * 4
    for path in ("fc1/kernel", "fc2/kernel", "head/kernel"):
        for share in (0.0, *SHARES):
            kernel = weights[path]
            zeros = int(share * kernel.size)
            order = np.argsort(np.abs(kernel).reshape(-1), kind="stable")
            pruned = kernel.reshape(-1).copy()
            pruned[order[:zeros]] = 0
            outputs = numpy_outputs({**weights, path: pruned.reshape(kernel.shape)})
            row = rows[path, round(zeros / kernel.size, 2)]
            assert row.zeros == zeros
            assert row.accuracy == pytest.approx(np.mean(outputs.argmax(1) == Y))
            assert row.loss == pytest.approx(float(LOSS(Y, outputs)), rel=1e-4)
    loss, accuracy = trained.evaluate(X, Y, verbose=0)
    assert scanned.loss == pytest.approx(loss, rel=1e-4)
    assert scanned.accuracy == pytest.approx(accuracy)
    for path, variable in kt.weight_paths(trained).items():
        np.testing.assert_array_equal(variable, weights[path])


def test_the_suggestion_is_a_map_that_sparsify_takes(trained, scanned):
    suggested = scanned.suggest(0.6)
    sparse = kt.sparsify(trained, suggested.sparsities, mask="magnitude")
    assert sparse.sparsity == pytest.approx(0.6, abs=0.01)
    assert suggested.sparsity == pytest.approx(0.6)
    plan = {row.path: row.sparsity for row in kt.plan(trained, suggested.sparsities).rows}
    for pattern, share in suggested.sparsities.items():
        path = pattern.strip("^$").replace("\\", "")
        assert plan[path] == pytest.approx(share, abs=0.05)


def test_points_that_were_scanned_are_expected_as_they_were_found(scanned):
    curve = scanned.by_path["fc1/kernel"]
    alone = kt.analysis.Sensitivity(curve, scanned.loss, scanned.accuracy)
    last = curve[-1]
    suggested = alone.suggest(last.sparsity)
    assert suggested.loss == pytest.approx(last.loss)
    assert suggested.accuracy == pytest.approx(last.accuracy)


def test_a_sparse_model_is_pruned_further(trained):
    sparse = kt.sparsify(trained, {"fc1": 0.6, "fc2": 0.2}, mask="magnitude")
    found = kt.analysis.sensitivity(sparse, (X, Y), sparsities=[0.5, 0.8], loss=LOSS)
    shares = {
        path: [round(row.sparsity, 2) for row in rows] for path, rows in found.by_path.items()
    }
    assert shares == {"fc1/kernel": [0.6, 0.8], "fc2/kernel": [0.2, 0.5, 0.79]}
    for rows in found.by_path.values():
        assert rows[0].accuracy == found.accuracy


def test_structures(trained):
    found = kt.analysis.sensitivity(
        trained, (X, Y), sparsities=[0.5], filters="fc2", structure=kt.structures.NM(2, 4)
    )
    assert [row.sparsity for row in found.rows] == [0.0, 0.5]


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.3, 0.5])
def test_kernels_of_a_structure_with_its_own_sparsity_have_it_or_none(sparsity):
    model, structure = mlp(hidden=(12, 8)), kt.structures.NM(2, 4)
    kernels = kt.analysis.sensitivity(
        model, (X, Y), loss=LOSS, filters=["fc2", "head"], structure=structure
    )
    suggested = kernels.suggest(sparsity)
    assert set(suggested.sparsities.values()) <= {0.0, 0.5}
    pruned = kt.sparsify(model, suggested.sparsities, mask="magnitude", structure=structure)
    zeros = sum((~mask).sum() for mask in pruned.masks.values())
    assert zeros == suggested.sparsity * (12 * 8 + 8 * 3) >= sparsity * 120
    cost = {row.path: row.loss - kernels.loss for row in kernels.rows if row.target}
    expected: list[str] = []
    for path in sorted(cost, key=lambda path: cost[path] / kernels.by_path[path][1].zeros):
        if sum(kernels.by_path[each][1].zeros for each in expected) < sparsity * 120:
            expected.append(path)
    assert {path for path, mask in pruned.masks.items() if not mask.all()} == set(expected)
    assert suggested.loss - kernels.loss == pytest.approx(sum(cost[each] for each in expected))


def numpy_choice(curves, sizes, sparsity):
    """The least loss of all choices of scanned points that have enough zeros."""
    paths, least = list(curves), np.inf
    for choice in itertools.product(*(range(len(curves[path][0])) for path in paths)):
        zeros = sum(curves[p][0][i] for p, i in zip(paths, choice, strict=True))
        if zeros >= sparsity * sum(sizes.values()):
            loss = sum(curves[p][1][i, 0] for p, i in zip(paths, choice, strict=True))
            least = min(least, loss)
    return least


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 0.8))
def test_no_choice_of_scanned_points_is_expected_to_cost_less(seed, sparsity):
    random = np.random.default_rng(seed)
    curves, sizes = {}, {"a": 50, "b": 100, "c": 20}
    for path, size in sizes.items():
        zeros = np.concatenate([[0], np.sort(random.permutation(size - 1)[:4]) + 1])
        zeros[-1] = round(0.9 * size)
        zeros = np.unique(np.minimum(zeros, zeros[-1]))
        losses = np.concatenate([[0], np.cumsum(random.exponential(size=len(zeros) - 1))])
        curves[path] = zeros, np.stack([losses, -losses / 10], axis=1)
    found = suggest(curves, sizes, sparsity, loss=0.0, accuracy=1.0)
    assert found.sparsity == pytest.approx(sparsity)
    assert found.loss <= numpy_choice(curves, sizes, sparsity) + 1e-9
    shares = np.array(list(found.sparsities.values()))
    assert (shares >= 0).all() and (shares <= 0.9).all()
    assert shares @ list(sizes.values()) == pytest.approx(sparsity * 170)
    assert found.accuracy == pytest.approx(max(1 - found.loss / 10, 0))


def test_tables_and_wrong_arguments(trained, scanned):
    text = str(scanned)
    assert "fc1/kernel" in text and f"{scanned.accuracy:.4f}" in text
    with pytest.raises(ValueError, match="`sparsity` must be at most 0.89.*0.95"):
        scanned.suggest(0.95)
    with pytest.raises(ValueError, match="`sparsities` must have a value"):
        kt.analysis.sensitivity(trained, (X, Y), sparsities=[])
    with pytest.raises(ValueError, match=r"`sparsities` must be a number in \[0, 1\)"):
        kt.analysis.sensitivity(trained, (X, Y), sparsities=[1.0])
    with pytest.raises(ValueError, match="`loss` must be"):
        kt.analysis.sensitivity(mlp(), (X, Y))
    empty = keras.Sequential([keras.Input((10,)), keras.layers.ReLU()])
    with pytest.raises(ValueError, match="no kernels to scan"):
        kt.analysis.sensitivity(empty, (X, Y), loss=LOSS)


def test_gains_of_several_kernels_do_not_add_up_to_more_than_all_answers():
    rows = [
        kt.analysis.SensitivityRow(path, share, share, 90, loss=1 + share, accuracy=0.9 + share / 8)
        for path in "ab"
        for share in (0.0, 0.61)
    ]
    found = kt.analysis.Sensitivity(rows, loss=1.0, accuracy=0.9)
    assert found.suggest(0.6).accuracy == 1
    with pytest.raises(ValueError, match=r"at most 0\.6111,"):
        found.suggest(0.7)
