"""`kt.sparsify(…, storage="sparse")` does what masked storage does, in less memory."""

import keras
import numpy as np
import pytest
from method_recipes import METHODS
from networks import LOSS, labeled, mlp
from slow_cases import slow_unless
from small_models import nested, subclassed

import keras_tickets as kt
from keras_tickets._sparse_storage import positions

X, Y = labeled(96, inputs=12)
ENGINES = ("tensorflow", "numba")
INNER = {
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "clipped": lambda: keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.5),
    "accumulated": lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=2),
    "averaged": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=5),
    "decayed": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
}


def network(storage, sparsity=0.8, engine="auto", **arguments):
    model = kt.sparsify(
        mlp(12, hidden=(16, 8)), sparsity, distribution="uniform", storage=storage, **arguments
    )
    for layer in model.layers:
        if isinstance(layer, kt.layers.SparseDense):
            layer.engine = engine
    return model


def dense_values(model):
    """All weights by path, kernels whole."""
    return kt.Ticket.of(model).weights


def check_same(model, other, **tolerance):
    for path, value in dense_values(model).items():
        np.testing.assert_allclose(value, dense_values(other)[path], err_msg=path, **tolerance)


@pytest.mark.parametrize("engine", slow_unless(lambda engine: engine == ENGINES[-1], ENGINES))
def test_a_hundred_steps_of_a_fixed_mask_are_those_of_masked_storage(engine):
    masked, sparse = network("masked"), network("sparse", engine=engine)
    before = kt.get_masks(masked)
    for path, mask in kt.get_masks(sparse).items():
        np.testing.assert_array_equal(mask, before[path])
    check_same(masked, sparse, rtol=0)
    for model in (masked, sparse):
        model.compile(kt.optimizers.Static(INNER["momentum"]()), LOSS)
        model.fit(X, Y, batch_size=24, epochs=25, shuffle=False, verbose=0)
    check_same(masked, sparse, rtol=1e-3, atol=2e-5)
    for path, mask in kt.get_masks(sparse).items():
        np.testing.assert_array_equal(mask, before[path])


@pytest.mark.parametrize(
    "inner", slow_unless(lambda inner: inner in ("decayed", "averaged"), INNER)
)
def test_inner_optimizers_do_as_on_masked_kernels(inner):
    masked, sparse = network("masked"), network("sparse")
    for model in (masked, sparse):
        model.compile(INNER[inner](), LOSS)
        model.fit(X, Y, batch_size=24, epochs=3, shuffle=False, verbose=0)
    check_same(masked, sparse, rtol=1e-3, atol=1e-4)


def test_counts_are_exact_and_nothing_has_the_size_of_a_kernel():
    sparse = network("sparse")
    sparse.compile(INNER["averaged"](), LOSS)
    sparse.fit(X, Y, verbose=0)
    whole = {12 * 16, 16 * 8, 8 * 3}
    counts = {row.path: row.size - int(0.8 * row.size) for row in kt.summary(sparse).rows}
    assert {path: mask.sum() for path, mask in kt.get_masks(sparse).items()} == counts
    sizes = {v.shape.num_elements() for v in (*sparse.variables, *sparse.optimizer.variables)}
    assert not sizes & whole and set(counts.values()) <= sizes


@pytest.mark.parametrize("mask", ["random", "magnitude"])
def test_first_masks_are_those_of_masked_storage(mask):
    masked, sparse = (network(storage, mask=mask, seed=4) for storage in ("masked", "sparse"))
    check_same(masked, sparse, rtol=0)


def test_resumed_training_is_the_one_that_was_not_interrupted(tmp_path):
    def trained(*stops):
        for i, stop in enumerate(stops):
            model = network("sparse")
            model.compile(INNER["momentum"](), LOSS)
            callbacks = []
            if len(stops) > 1:
                callbacks = [kt.callbacks.Checkpoint(tmp_path)]
            start = callbacks[0].initial_epoch if callbacks else 0
            assert start == (stops[i - 1] if i else 0)
            model.fit(
                X,
                Y,
                epochs=stop,
                initial_epoch=start,
                shuffle=False,
                verbose=0,
                callbacks=callbacks,
            )
        return model

    whole, resumed = trained(4), trained(2, 4)
    check_same(whole, resumed, rtol=0)
    for ours, theirs in zip(whole.optimizer.variables, resumed.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_saved_model_goes_on_as_the_one_that_was_saved(tmp_path):
    model = network("sparse")
    model.compile(INNER["momentum"](), LOSS)
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert kt.summary(loaded) == kt.summary(model)
    for each in (model, loaded):
        each.fit(X, Y, shuffle=False, verbose=0)
    check_same(model, loaded, rtol=0)


def test_weights_of_the_dense_model_are_taken_at_the_positions(tmp_path):
    dense, sparse = mlp(12, hidden=(16, 8), seed=5), network("sparse")
    masks = kt.get_masks(sparse)
    dense.save_weights(tmp_path / "dense.weights.h5")
    sparse.load_weights(tmp_path / "dense.weights.h5")
    expected = kt.weight_paths(dense)
    for path, value in dense_values(sparse).items():
        kept = masks.get(path, True)
        np.testing.assert_array_equal(value, np.where(kept, expected[path].numpy(), 0))


@pytest.mark.parametrize("make", [nested, subclassed])
def test_nested_models_are_stored_and_layers_of_subclassed_ones_are_not(make):
    dense = make()
    x = np.random.default_rng(0).normal(size=(4, 8)).astype("float32")
    masked = kt.sparsify(dense, 0.5)
    if make is subclassed:
        with pytest.warns(UserWarning, match="changes nothing.*not a Dense layer|inside another"):
            sparse = kt.sparsify(dense, 0.5, storage="sparse")
    else:
        sparse = kt.sparsify(dense, 0.5, storage="sparse")
    expected = "sparse" if make is nested else "masked"
    assert {row.storage for row in kt.summary(sparse).rows} == {expected}
    planned = kt.plan(dense, 0.5, storage="sparse")
    assert planned.rows == kt.summary(sparse).rows
    assert make is nested or "masked (inside another layer)" in str(planned)
    np.testing.assert_allclose(masked(x), sparse(x), atol=1e-6)
    assert list(kt.get_masks(sparse)) == list(kt.get_masks(masked))
    assert list(kt.weight_paths(sparse)) == list(kt.weight_paths(dense))
    np.testing.assert_array_equal(kt.strip(sparse)(x), kt.strip(masked)(x))


def test_what_cannot_be_stored_sparsely_is_masked_for_a_reason():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(4, 3, name="conv"),
            layers.Flatten(),
            layers.Dense(20, kernel_constraint="max_norm", name="bound"),
            layers.Dense(20, kernel_regularizer="orthogonal_regularizer", name="straight"),
            layers.Dense(20, kernel_regularizer="l2", name="fc"),
            layers.Dense(4, name="head"),
        ]
    )
    shares = {"conv|bound|straight|fc": 0.5, "head": 0.0}
    sparse = kt.sparsify(model, shares, storage="sparse")
    rows = {row.path.split("/")[0]: row for row in kt.summary(sparse).rows}
    assert rows["fc"].storage == "sparse" and rows["fc"].why_masked is None
    assert [rows[name].why_masked for name in ("conv", "bound", "straight", "head")] == [
        "not a Dense layer",
        "constraint: on the whole kernel",
        "regularizer: not a sum over weights",
        "without zeros",
    ]
    text = str(kt.plan(model, shares, storage="sparse"))
    assert "masked (not a Dense layer): conv/kernel" in text
    assert max(map(len, text.splitlines())) <= 80
    blocks = kt.structures.NM(1, 2)
    (row, *_) = kt.plan(mlp(12), 0.5, structure=blocks, storage="sparse").rows
    assert row.storage == "masked" and row.why_masked == "structure: not of single weights"


def test_tickets_go_from_one_storage_to_the_other(tmp_path):
    masked, sparse = network("masked"), network("sparse")
    other = network("sparse", seed=9)
    ticket = kt.save_ticket(tmp_path / "a.ticket", sparse)
    assert ticket.digest == kt.Ticket.of(masked).digest
    kt.load_ticket(tmp_path / "a.ticket").apply(other)
    check_same(other, masked, rtol=0)
    ticket.apply(mlp(12, hidden=(16, 8)))
    with pytest.raises(ValueError, match="is stored sparsely and always has .* weights"):
        ticket.apply(network("sparse", sparsity=0.5))


def test_memory_is_that_of_the_variables():
    model = network("sparse")
    model.compile("adam", LOSS)
    memory = kt.summary(model).memory
    model.fit(X, Y, verbose=0)

    def held(variables):
        return sum(v.shape.num_elements() * np.dtype(v.dtype).itemsize for v in variables)

    assert memory["sparse"].ram == held(model.weights)
    slots = [slot for slot in model.optimizer.slots if slot.shape]
    assert memory["sparse"].slots == held(slots)
    assert memory["sparse"].weights == held(model.trainable_variables)
    assert memory["dense"].weights == held(mlp(12, hidden=(16, 8)).variables)


def test_what_needs_whole_kernels_says_so(monkeypatch):
    sparse = network("sparse")
    for run in (
        lambda: kt.scoring.magnitude(sparse),
        lambda: kt.trainers.RewindTrainer(sparse, levels=1),
    ):
        with pytest.raises(ValueError, match="needs kernels with masks, and .*fc1/kernel"):
            run()
    with pytest.raises(ValueError, match="is sparse already"):
        kt.prune(sparse, "magnitude", 0.9)
    with pytest.raises(ValueError, match="stored sparsely, and `export` of Keras"):
        sparse.export("unused")
    with pytest.raises(ValueError, match="stored sparsely, and XLA compiles neither"):
        sparse.compile("sgd", LOSS, jit_compile=True)
    with pytest.raises(ValueError, match="GradualMagnitude needs whole kernels"):
        sparse.compile(METHODS["GradualMagnitude"].make("sgd"), LOSS)
    monkeypatch.setattr(positions, "LARGEST_DENSE", 100)
    for run in (kt.strip, kt.get_masks, kt.Ticket.of):
        with pytest.raises(ValueError, match="none of more than 100 is formed as a whole"):
            run(sparse)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="`storage` must be one of"):
        kt.sparsify(mlp(), 0.5, storage="csr")
    with pytest.raises(ValueError, match="always has as many weights as its first mask"):
        kt.sparsify(mlp(), 0.5, storage="sparse", mask="ones")
    with pytest.raises(TypeError, match="`layer` must be a Keras layer that is not sparse"):
        kt.layers.Sparse(kt.layers.SparseDense(4, 0.5), 0.5)


def test_indices_that_cannot_be_positions_are_not_set():
    model = network("sparse")
    before = model.get_weights()
    place = next(i for i, array in enumerate(before) if array.dtype == np.int64)
    swapped, twice = before[place][::-1], np.repeat(before[place][::2], 2)[: before[place].size]
    for indices in (swapped, twice, before[place] + 0.5, before[place] - 1000):
        given = [*before[:place], indices, *before[place + 1 :]]
        given[0] = given[0] + 1
        with pytest.raises(ValueError, match="`weights` must hold indices for kernel 'fc1/kernel'"):
            model.set_weights(given)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
