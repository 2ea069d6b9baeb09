"""Bytes of stored kernels, against SciPy and against encodings written out in plain Python."""

import json
import pathlib

import keras
import numpy as np
import pytest
import scipy.sparse
from slow_cases import slow_unless

import keras_tickets as kt

layers = keras.layers
VECTORS = json.loads((pathlib.Path(__file__).parent / "data/erk_vectors.json").read_text())


def sparse_model(sparsity, structure=None, shape=(48, 64)):
    inputs, outputs = shape
    model = keras.Sequential([keras.Input((inputs,)), layers.Dense(outputs, name="fc")])
    return kt.sparsify(model, sparsity, structure=structure)


def deltas(mask):
    """Entries of one byte each: how many zeros to skip; 255 without a weight also skips one."""
    entries, last = [], -1
    for position in np.flatnonzero(mask):
        skipped = position - last - 1
        while skipped > 255:
            entries.append((255, False))
            skipped -= 256
        entries.append((int(skipped), True))
        last = position
    return entries


def decoded(entries, shape):
    mask, place = np.zeros(np.prod(shape), bool), -1
    for skipped, has_weight in entries:
        place += skipped + 1
        mask[place] = has_weight
    return mask.reshape(shape)


@pytest.mark.parametrize("sparsity", slow_unless(lambda sparsity: sparsity == 0.99, [0.5, 0.99]))
def test_formats_hold_what_they_say(sparsity):
    model = sparse_model(sparsity, shape=(96, 200))
    mask = model.masks["fc/kernel"]
    bias = 4 * 200
    sizes = kt.summary(model).sizes
    values = mask.astype("float32")
    matrices = {"csr": scipy.sparse.csr_matrix(values), "csc": scipy.sparse.csc_matrix(values)}
    for name, matrix in matrices.items():
        assert matrix.indices.dtype == matrix.indptr.dtype == np.int32
        held = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
        assert sizes[name] == bias + held
    assert sizes["dense"] == bias + values.nbytes
    assert sizes["bit_mask"] == bias + 4 * mask.sum() + np.packbits(mask).nbytes
    entries = deltas(mask)
    assert (decoded(entries, mask.shape) == mask).all()
    assert sizes["deltas"] == bias + 5 * len(entries)
    assert "n_of_m" not in sizes


@pytest.mark.parametrize(
    ("structure", "bits"), [(kt.structures.NM(2, 4), 2), (kt.structures.FanIn(), 6)], ids=repr
)
def test_groups_need_places_within_them_only(structure, bits):
    model = sparse_model(0.5, structure)
    kept = int(model.masks["fc/kernel"].sum())
    assert kept == 24 * 64
    assert kt.summary(model).sizes["n_of_m"] == 4 * 64 + kept * 4 + kept * bits // 8
    assert "n of m" in str(kt.summary(model))


def test_kernels_without_zeros_are_dense_in_all_formats():
    model = kt.sparsify(keras.Sequential([keras.Input((8,)), layers.Dense(4)]), 0.0, mask="ones")
    assert set(kt.summary(model).sizes.values()) == {4 * (32 + 4)}


def test_without_masks_the_expected_number_of_deltas():
    """200 random masks; a distance above 256 is one in twelve here."""
    model = sparse_model(0.99, shape=(40, 100))
    planned = kt.plan(keras.Sequential([keras.Input((40,)), layers.Dense(100)]), 0.99)
    entries, rng = [], np.random.default_rng(0)
    for _ in range(200):
        mask = np.zeros(4000, bool)
        mask[rng.choice(4000, 40, replace=False)] = True
        entries.append(len(deltas(mask)))
    expected = (planned.sizes["deltas"] - 4 * 100) / 5
    assert abs(expected - np.mean(entries)) < 0.5 + 4 * np.std(entries) / np.sqrt(200)
    assert 41 < expected < 45
    others = {name: size for name, size in planned.sizes.items() if name != "deltas"}
    assert others == {name: kt.summary(model).sizes[name] for name in others}


def test_half_precision_halves_values_and_not_indices():
    model = keras.Sequential([keras.Input((16,)), layers.Dense(8, use_bias=False, dtype="float16")])
    sizes = kt.plan(model, 0.5).sizes
    assert sizes["dense"] == 2 * 128
    assert sizes["csr"] == 64 * (2 + 4) + 17 * 4


LENET = [v for v in VECTORS if v["arch"] == "lenet_300_100" and v["distribution"] == "erk"]


@pytest.mark.parametrize(
    "vector",
    slow_unless(lambda v: v["target_sparsity"] == 0.9, LENET),
    ids=lambda v: str(v["target_sparsity"]),
)
def test_published_sizes(vector):
    sizes = kt.plan(kt.models.lenet_300_100(), vector["target_sparsity"]).sizes
    assert sizes["bit_mask"] / 1e6 == pytest.approx(vector["size_mbytes_bitmask"], abs=2e-5)


def test_the_plan_prints_sizes_within_80_columns():
    text = str(kt.plan(kt.models.lenet_300_100(), 0.9))
    assert "stored: dense 1.1 MB, bit mask" in text and "8-bit deltas" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("structure", "inputs", "bits"),
    [(kt.structures.FanIn(), 16, 4), (kt.structures.NM(2, 4), 4, 2)],
)
def test_a_single_group_has_places_too(structure, inputs, bits):
    network = keras.Sequential([keras.Input((inputs,)), layers.Dense(1, name="fc")])
    for table in (
        kt.plan(network, 0.5, structure=structure, distribution="uniform"),
        kt.summary(kt.sparsify(network, 0.5, structure=structure, distribution="uniform")),
    ):
        weights = inputs // 2
        assert table.sizes["n_of_m"] == 4 + 4 * weights + -(-weights * bits // 8)
