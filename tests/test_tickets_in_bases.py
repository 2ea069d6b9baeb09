"""Tickets and models whose kernels are coefficients in another basis."""

import json

import keras
import numpy as np
import pytest

import keras_tickets as kt
from keras_tickets import bases
from keras_tickets.model import basis_of, set_basis

X = np.random.default_rng(0).normal(size=(7, 6)).astype("float32")
ALL = [bases.DCT(), bases.RandomOrthogonal(3), "singular"]


def dense(seed=0):
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(5, "relu", name="fc"), keras.layers.Dense(3, name="head")]
    return keras.Sequential([keras.Input((6,)), *layers])


def kernels_of(model):
    return {p: v.numpy() for p, v in kt.weight_paths(model).items() if p.endswith("kernel")}


def in_basis(basis, density=0.4):
    """A model with the largest coefficients of a dense one, and what a NumPy oracle makes of it."""
    model = dense()
    kernels = kernels_of(model)
    basis = bases.Singular(kernels) if basis == "singular" else basis
    masks = bases.magnitude_masks(kernels, basis, density)
    weights = {path: variable.numpy() for path, variable in kt.weight_paths(model).items()}
    sparse = kt.sparsify(model, {"": 0.0}, mask="ones")
    set_basis(sparse, basis)
    kt.set_masks(sparse, masks)
    kept = bases.project(weights, masks, basis)
    hidden = np.maximum(X @ kept["fc/kernel"] + kept["fc/bias"], 0)
    return sparse, kept, hidden @ kept["head/kernel"] + kept["head/bias"]


@pytest.mark.parametrize("basis", ALL, ids=str)
def test_a_model_runs_with_the_kernels_of_its_coefficients(basis, tmp_path):
    sparse, kept, outputs = in_basis(basis)
    np.testing.assert_allclose(sparse(X), outputs, atol=1e-5)
    plain = kt.strip(sparse)
    np.testing.assert_allclose(plain(X), outputs, atol=1e-5)
    for path, kernel in kernels_of(plain).items():
        np.testing.assert_allclose(kernel, kept[path], atol=1e-6)
    sparse.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert basis_of(loaded) == basis_of(sparse)
    np.testing.assert_array_equal(loaded(X), sparse(X))


@pytest.mark.parametrize("basis", ALL, ids=str)
def test_a_ticket_brings_its_basis(basis, tmp_path):
    sparse, _, outputs = in_basis(basis)
    saved = kt.save_ticket(tmp_path / "a.ticket", sparse)
    ticket = kt.load_ticket(tmp_path / "a.ticket")
    assert ticket.digest == saved.digest and ticket.basis == basis_of(sparse)
    masked = kt.sparsify(dense(1), 0.5)
    for model in (dense(2), masked):
        applied = ticket.apply(model)
        np.testing.assert_allclose(applied(X), outputs, atol=1e-5)
        assert applied.sparsity == pytest.approx(0.6, abs=0.01)
    # The model takes tickets of single weights again.
    ordinary = kt.Ticket.of(kt.sparsify(dense(), 0.5))
    assert ordinary.basis is None
    np.testing.assert_array_equal(ordinary.apply(masked)(X), ordinary.apply(dense(3))(X))


def test_the_identity_changes_no_byte(tmp_path):
    ordinary = kt.save_ticket(tmp_path / "a.ticket", kt.sparsify(dense(), 0.5))
    parts = (ordinary.masks, ordinary.weights, ordinary.provenance)
    assert kt.Ticket(*parts, bases.Identity()).digest == ordinary.digest
    assert kt.Ticket(*parts, bases.DCT()).digest != ordinary.digest
    content = (tmp_path / "a.ticket").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert set(header["__metadata__"]) == {"format", "provenance", "digest"}
    assert header["__metadata__"]["format"] == "keras_tickets ticket 1"


def test_a_ticket_of_an_unknown_basis_is_refused(tmp_path):
    @keras.saving.register_keras_serializable("test_tickets_in_bases")
    class Known(bases.DCT):
        pass

    sparse, _, _ = in_basis(Known())
    kt.save_ticket(tmp_path / "a.ticket", sparse)
    assert isinstance(kt.load_ticket(tmp_path / "a.ticket").basis, Known)
    del keras.saving.get_custom_objects()["test_tickets_in_bases>Known"]
    with pytest.raises(ValueError, match="basis 'test_tickets_in_bases>Known' is not known"):
        kt.load_ticket(tmp_path / "a.ticket")


def test_what_takes_masks_for_zeros_of_kernels_refuses_or_counts_all():
    sparse, _, _ = in_basis(bases.DCT())
    counted = kt.flops(sparse)
    assert counted.inference == kt.flops(dense()).inference and counted.inference_ratio == 1
    summary = kt.summary(sparse)
    assert summary.rows[0].flops == counted.rows[0].inference
    assert summary.flops == summary.dense_flops and summary.sparsity == pytest.approx(0.6, abs=0.01)
    for refuses in (
        lambda: kt.scoring.magnitude(sparse),
        lambda: kt.analysis.degrees(sparse),
        lambda: kt.analysis.degrees(kt.Ticket.of(sparse)),
        lambda: kt.analysis.effective_sparsity(sparse),
        lambda: kt.strip(sparse, in_place=True),
        lambda: kt.initializers.initialize(sparse, kt.initializers.SparseVarianceScaling()),
    ):
        with pytest.raises(ValueError, match=r"needs masks over weights.*DCT\(\)"):
            refuses()


def test_kernels_that_moved_keep_their_basis_and_have_no_ticket():
    sparse, _, outputs = in_basis(bases.RandomOrthogonal(3))
    inputs = keras.Input((6,))
    outer = kt.SparseModel(inputs, sparse(inputs))
    np.testing.assert_allclose(outer(X), outputs, atol=1e-5)
    with pytest.raises(ValueError, match="those that had another path"):
        kt.Ticket.of(outer)


def test_distances_are_those_of_weights():
    sparse, kept, _ = in_basis(bases.DCT())
    found = kt.analysis.distance(kt.Ticket.of(sparse), dense()).l2
    start = kernels_of(dense())
    expected = np.sqrt(sum(np.sum((kept[path] - start[path]) ** 2) for path in start))
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("skip_mismatch", [False, True])
def test_weights_files_of_another_basis_are_refused(skip_mismatch, tmp_path):
    """They have the same names and shapes, but their numbers mean something else."""
    models = {"none": kt.sparsify(dense(1), 0.5)}
    models |= {str(basis): in_basis(basis)[0] for basis in (*ALL, bases.RandomOrthogonal(4))}
    files = {name: tmp_path / f"{i}.weights.h5" for i, name in enumerate(models)}
    outputs = {name: model(X).numpy() for name, model in models.items()}
    for name, model in models.items():
        model.save_weights(files[name])
    for name, model in models.items():
        for other in files.keys() - {name}:
            with pytest.raises(ValueError, match="another basis"):
                model.load_weights(files[other], skip_mismatch=skip_mismatch)
        np.testing.assert_array_equal(model(X), outputs[name])
        model.load_weights(files[name], skip_mismatch=skip_mismatch)
        np.testing.assert_array_equal(model(X), outputs[name])


def with_matrices(function):
    return type("Own", (bases.Basis,), {"matrices": lambda self, path, shape: function(shape)})()


@pytest.mark.parametrize(
    "basis, message",
    [
        (bases.Singular({"other/kernel": np.eye(5)}), "is not one of kernel 'fc/kernel'"),
        (bases.Singular({"fc/kernel": np.eye(4)}), r"each axis of kernel 'fc/kernel'.*\(4, 4\)"),
        (with_matrices(lambda shape: [None]), "for each axis"),
        (with_matrices(lambda shape: [np.eye(n).tolist() for n in shape]), "for each axis"),
        (with_matrices(lambda shape: [2 * np.eye(n) for n in shape]), "not orthogonal"),
        (with_matrices(lambda shape: [np.ones((n, n)) for n in shape]), "not orthogonal"),
    ],
    ids=["other_kernel", "other_shape", "one_axis", "lists", "scaled", "singular"],
)
def test_a_basis_that_does_not_fit_is_refused(basis, message):
    sparse = kt.sparsify(dense(), 0.5)
    outputs = sparse(X).numpy()
    with pytest.raises(ValueError, match=message):
        set_basis(sparse, basis)
    assert basis_of(sparse) is None
    np.testing.assert_array_equal(sparse(X), outputs)
