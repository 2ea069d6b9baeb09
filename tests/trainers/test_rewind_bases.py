"""`RewindTrainer` in other bases: coefficients are pruned, rewound and trained."""

import keras
import numpy as np
import pytest
from rewound_networks import Stop, X, fit, trainer, without_time
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets import bases
from keras_tickets.model import basis_of, set_basis

RNG = np.random.default_rng(3)
INPUTS = RNG.normal(size=(20, 6)).astype("float32")
TARGETS = RNG.normal(size=(20, 5)).astype("float32")
RATE, MOMENTUM, K, STEPS = 0.2, 0.5, 2, 6


def linear(**arguments):
    """A kernel alone, trained on one batch that is all of the data."""
    layer = keras.layers.Dense(5, use_bias=False, name="fc", **arguments)
    return keras.Sequential([keras.Input((6,)), layer])


def two_layers(seed=0):
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(6, "relu", name="fc"), keras.layers.Dense(4, name="head")]
    return keras.Sequential([keras.Input((8,)), *layers])


def small(basis, **arguments):
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    return trainer(two_layers(), optimizer, basis=basis, **arguments)


class Descent:
    """Gradient descent with momentum in float64, on kernels in a subspace."""

    def __init__(self, kernel, keep, velocity=0.0):
        self.keep = keep
        self.kernel, self.velocity = keep(kernel), keep(np.zeros_like(kernel) + velocity)

    def run(self, steps):
        x, y = INPUTS.astype("float64"), TARGETS.astype("float64")
        for _ in range(steps):
            gradient = 2 * x.T @ (x @ self.kernel - y) / y.size
            self.velocity = MOMENTUM * self.velocity - RATE * gradient
            self.kernel = self.keep(self.kernel + self.velocity)
        return self


def largest(basis, kernel, count):
    """The projection onto the coefficients that are largest in a kernel, and their mask."""
    sizes = np.abs(basis.forward("fc/kernel", kernel))
    mask = sizes >= np.sort(sizes, axis=None)[-count]

    def keep(values):
        return basis.inverse("fc/kernel", np.where(mask, basis.forward("fc/kernel", values), 0))

    return keep, mask


def low_rank(kernel, rank):
    """The projection onto the right singular vectors of the largest singular values."""
    vectors = np.linalg.svd(kernel)[2][:rank]
    return lambda values: values @ vectors.T @ vectors


@pytest.mark.parametrize(
    "basis, state",
    slow_unless(
        lambda basis, state: not isinstance(basis, bases.RandomOrthogonal),
        [
            (bases.DCT(), "restore"),
            (bases.Singular(), "fresh"),
            (bases.RandomOrthogonal(2), "fresh"),
        ],
    ),
    ids=str,
)
def test_levels_are_those_of_projected_gradient_descent(basis, state):
    model, rate = linear(), 0.4
    first = model.get_layer("fc").kernel.numpy().astype("float64")
    made = kt.trainers.RewindTrainer(
        model, levels=1, rate=rate, rewind_to=K, basis=basis, optimizer_state=state
    )
    optimizer = keras.optimizers.SGD(RATE, momentum=MOMENTUM)
    made.compile(optimizer, "mse", jit_compile=True)
    made.fit(INPUTS, TARGETS, batch_size=20, epochs=STEPS, verbose=0)

    at_k = Descent(first, lambda values: values).run(K)
    begun = at_k.velocity if state == "restore" else 0.0
    dense = Descent(at_k.kernel, lambda values: values, begun).run(STEPS - K).kernel
    if basis.fixed:
        keep, mask = largest(basis, dense, 18)
        np.testing.assert_array_equal(made.ticket(1).masks["fc/kernel"], mask)
    else:
        keep = low_rank(dense, 3)
        assert np.linalg.matrix_rank(kt.strip(made.model).get_weights()[0], tol=1e-5) == 3
    expected = Descent(at_k.kernel, keep, begun).run(STEPS - K).kernel
    np.testing.assert_allclose(kt.strip(made.model).get_weights()[0], expected, atol=2e-6)
    assert np.abs(expected - keep(at_k.kernel)).max() > 0.05
    row = made.results[1]
    assert row["nonzeros"] == round(30 * (1 - rate)) == 18
    assert row.get("stored") == (None if basis.fixed else 3 * (6 + 5))
    coefficients = made.level_store.trained(1).weights["fc/kernel"]
    assert not coefficients[~made.ticket(1).masks["fc/kernel"]].any()


def test_the_identity_is_no_basis():
    made, same = small(None), small(bases.Identity())
    assert same.settings == made.settings and basis_of(same.model) is None
    assert "basis" not in same.settings.in_files()


@pytest.mark.slow
def test_the_files_of_the_identity_are_those_of_no_basis(tmp_path):
    runs = {tmp_path / "none": None, tmp_path / "identity": bases.Identity()}
    for store, basis in runs.items():
        fit(small(basis, store=store))
    for level in range(3):
        for name in ("ticket.safetensors", "trained.safetensors", "metrics.csv"):
            one, other = (store / f"level_{level:02d}" / name for store in runs)
            assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    "basis, rewind, levels",
    slow_unless(
        lambda basis, rewind, levels: levels == 1,
        [
            (bases.Singular(), ("weights", "schedule"), 1),
            (bases.Singular(), ("schedule",), 2),
            (bases.DCT(), ("weights", "schedule"), 2),
        ],
    ),
    ids=str,
)
def test_an_interrupted_run_ends_as_if_it_had_not_been(basis, rewind, levels, tmp_path):
    arguments = {"basis": basis, "rewind": rewind, "levels": levels, "rate": 0.5, "rewind_to": 0}
    in_fit = {"epochs": 2, "validation_data": None}
    whole = small(store=tmp_path / "whole", **arguments)
    fit(whole, **in_fit)
    with pytest.raises(KeyboardInterrupt):
        fit(small(store=tmp_path / "resumed", **arguments), [Stop(2 * levels + 1)], **in_fit)
    resumed = small(store=tmp_path / "resumed", **arguments)
    fit(resumed, **in_fit)
    assert without_time(resumed.results) == without_time(whole.results)
    for level in range(levels + 1):
        one, other = (made.level_store.trained(level) for made in (whole, resumed))
        assert one.digest == other.digest
    assert basis_of(resumed.model) == whole.level_store.trained(levels).basis
    counts = [row["nonzeros"] for row in whole.results]
    assert counts == [72, 36, 18][: levels + 1]


@pytest.mark.slow
@pytest.mark.parametrize("basis", [bases.DCT(), bases.Singular()], ids=str)
def test_controls(basis):
    names = ("reinit", "reinit_signs", "reuse", "random", "random_global", "shuffled")
    made = small(basis, levels=1, control=names, rewind_to=1)
    fit(made, epochs=1)
    ticket = made.ticket(1)
    plain = kt.strip(made.model)
    bounds = {path: np.sqrt(6 / sum(v.shape)) for path, v in kt.weight_paths(plain).items()}
    for name in names:
        control = made.ticket(1, name)
        assert control.basis == ticket.basis
        kept = sum(mask.sum() for mask in control.masks.values())
        assert kept == made.results[1]["controls"][name]["nonzeros"] == 58
    for path, mask in ticket.masks.items():
        signs = made.ticket(1, "reinit_signs").weights[path]
        assert (np.sign(signs) == np.sign(ticket.weights[path])).all()
        survivors = ticket.weights[path][mask]
        assert np.isin(made.ticket(1, "reuse").weights[path][mask], survivors).all()
        # New weights are uniform, and keep their length in any orthonormal basis.
        length = np.linalg.norm(made.ticket(1, "reinit").weights[path])
        assert 0 < length <= bounds[path] * np.sqrt(mask.size)
        assert not (made.ticket(1, "reinit").weights[path] == ticket.weights[path])[mask].any()


@pytest.mark.slow
def test_a_student_is_pruned_in_a_basis():
    student = kt.sparsify(two_layers(), {"": 0.0}, mask="ones")
    distilled = kt.trainers.DistillationTrainer(student, two_layers(1))
    made = trainer(distilled, basis=bases.Singular(), levels=1, rate=0.5)
    fit(made)
    assert made.results[1]["nonzeros"] == 36 and not basis_of(student).fixed
    assert basis_of(student) == made.ticket(1).basis


@pytest.mark.slow
@pytest.mark.parametrize("basis", [bases.RandomOrthogonal(1), bases.Singular()], ids=str)
def test_a_trainer_in_a_basis_can_be_saved(basis, tmp_path):
    made = small(basis, levels=1)
    fit(made)
    made.save(tmp_path / "trainer.keras")
    loaded = keras.models.load_model(tmp_path / "trainer.keras")
    assert loaded.get_config()["basis"] == made.get_config()["basis"]
    np.testing.assert_array_equal(loaded(X), made(X))


class Unregistered(bases.Identity):
    """A class that a file could not name."""


def test_what_makes_no_sense_is_refused():
    model = two_layers()
    masked = kt.sparsify(model, 0.5, mask="magnitude")
    in_dct = kt.sparsify(model, {"": 0.0}, mask="ones")
    set_basis(in_dct, bases.DCT())
    constrained = linear(kernel_constraint="non_neg")
    for refused, arguments, message in (
        (model, {"basis": "dct"}, "`basis` must be an object of `kt.bases`. Received: basis='dct'"),
        (masked, {"basis": bases.DCT()}, r"all its weights where `basis` is given.*sparsity 0\.5"),
        (in_dct, {"basis": bases.RandomOrthogonal()}, r"in basis DCT\(\)"),
        (in_dct, {}, r"in no other basis.*basis=None.*in basis DCT\(\)"),
        (constrained, {"basis": bases.DCT()}, r"\['fc/kernel'\] have constraints"),
        (model, {"basis": Unregistered()}, "of a registered class"),
        (
            model,
            {"basis": bases.Singular(), "optimizer_state": "restore"},
            '`optimizer_state` must be "fresh" with a basis that is drawn anew',
        ),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            kt.trainers.RewindTrainer(refused, levels=1, **arguments)


@pytest.mark.slow
def test_another_basis_is_another_store(tmp_path):
    fit(small(bases.DCT(), store=tmp_path, levels=0))
    with pytest.raises(ValueError, match="basis.basis is 'keras_tickets>Singular', was"):
        fit(small(bases.Singular(), store=tmp_path, levels=0))


def test_a_step_of_adam_is_one_on_the_coefficients():
    """Which is not one on the weights, whose sign it would take."""
    model = kt.sparsify(linear(), {"": 0.0}, mask="ones")
    set_basis(model, bases.DCT())
    before = kt.weight_paths(model)["fc/kernel"].numpy()
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.fit(INPUTS, TARGETS, batch_size=20, verbose=0)
    moved = kt.weight_paths(model)["fc/kernel"].numpy() - before
    np.testing.assert_allclose(np.abs(moved), 0.01, rtol=0.02)
