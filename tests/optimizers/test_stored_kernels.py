"""Networks in sparse storage against the same ones with masks, and against NumPy."""

import itertools

import keras
import numpy as np
import oracle
import pytest
import tensorflow as tf
from networks import LOSS, labeled, mlp
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets._sparse_storage import OuterProduct
from keras_tickets.masks import masked_kernels
from keras_tickets.optimizers import rigl as rigl_module
from keras_tickets.optimizers import set as set_module

INPUTS, HIDDEN, CLASSES = 20, (30, 24), 4
X, Y = labeled(64, INPUTS, CLASSES)


def masked_model(sparsity=0.8):
    return kt.sparsify(mlp(INPUTS, HIDDEN, CLASSES), {"fc": sparsity})


def stored_model(sparsity=0.8):
    """The network of `masked_model`, with the same weights, in sparse storage."""
    inputs = x = keras.Input((INPUTS,))
    for i, units in enumerate(HIDDEN, 1):
        x = stored_layer(units, sparsity, f"fc{i}")(x)
    return with_weights_of(
        kt.SparseModel(inputs, keras.layers.Dense(CLASSES, name="head")(x)), masked_model(sparsity)
    )


def stored_layer(units, sparsity, name):
    return kt.layers.SparseDense(units, sparsity, "relu", engine="tensorflow", name=name)


def with_weights_of(model, like):
    """The model, with the weights that another one has under its masks."""
    for path, record in kernels(model).items():
        whole = kernels(like)[path]
        record.set(whole.to_mask())
        record.assign(whole.kernel.numpy())
    model.get_layer("head").set_weights(like.get_layer("head").get_weights())
    return model


def kernels(model):
    return {record.name: record for record in masked_kernels(model)}


def whole(model):
    """{path: (kernel, slot, …)} as arrays of the kernels' shapes."""
    found = {}
    for state in model.optimizer.kernel_states:
        record = state.masked
        arrays = [record.kernel.numpy(), *(slot.numpy() for slot, _ in state.slots)]
        if record.storage == "sparse":
            rests = [0.0, *(rest for _, rest in state.slots)]
            arrays = [spread(record, *pair) for pair in zip(arrays, rests, strict=True)]
        found[record.name] = arrays
    return found


def spread(record, values, rest):
    array = np.full(record.size, rest, values.dtype)
    array[record.indices.numpy()] = values
    return array.reshape(record.shape)


def compiled(model, optimizer, **options):
    model.compile(optimizer, LOSS, **options)
    return model


def fit(model, steps, x=X, y=Y):
    data = tf.data.Dataset.from_tensors((x, y)).repeat()
    model.horizon = model.horizon or (steps, 1)
    model.fit(data, steps_per_epoch=steps, verbose=0, shuffle=False)
    return model


def assert_alike(masked, stored):
    for path, mask in kt.get_masks(masked).items():
        np.testing.assert_array_equal(mask, kt.get_masks(stored)[path])
    stored_values = whole(stored)
    for path, arrays in whole(masked).items():
        for one, other in zip(arrays, stored_values[path], strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-5)


OPTIMIZERS = {
    "set": lambda: kt.optimizers.SET(keras.optimizers.SGD(0.1, momentum=0.9), update_every=5),
    "rigl": lambda: kt.optimizers.RigL(keras.optimizers.Adagrad(0.05), update_every=5),
}


@pytest.mark.parametrize("method", slow_unless(lambda method: method == "rigl", OPTIMIZERS))
def test_both_storages_choose_the_same_weights_for_100_steps(method):
    models = [compiled(build(), OPTIMIZERS[method]()) for build in (masked_model, stored_model)]
    first = kt.get_masks(models[0])
    np.testing.assert_array_equal(first["fc1/kernel"], kt.get_masks(models[1])["fc1/kernel"])
    for model in models:
        fit(model, 100)
    for path, mask in kt.get_masks(models[0]).items():
        assert (mask != first[path]).mean() > 0.05
    assert_alike(*models)


@pytest.mark.parametrize(
    "grow_init",
    slow_unless(
        lambda grow_init: grow_init == "random_normal",
        ["initial_dist", "random_normal", "random_uniform"],
    ),
)
def test_grown_weights_start_as_with_masks(grow_init):
    models = [
        fit(
            compiled(
                build(),
                kt.optimizers.SET("sgd", update_every=1, end=9, grow_init=grow_init, seed=2),
            ),
            2,
        )
        for build in (masked_model, stored_model)
    ]
    assert_alike(*models)


@pytest.mark.slow
@pytest.mark.parametrize("grow_init", ["grad_scale", "grad_sign"])
def test_grown_weights_start_from_their_gradients_as_with_masks(grow_init):
    optimizer = {"grow_init": grow_init, "grow_divisor": 100.0, "end": 9}
    models = [
        fit(compiled(build(), kt.optimizers.RigL("sgd", update_every=2, **optimizer)), 3)
        for build in (masked_model, stored_model)
    ]
    assert_alike(*models)


def updated(optimizer, product, weights, slot):
    """One layer after an update by a given dense gradient: mask, weights, slot, all before too."""
    inputs = keras.Input((INPUTS,))
    layer = stored_layer(30, 0.8, "fc")
    model = kt.SparseModel(inputs, layer(inputs))
    optimizer.build(model.trainable_variables)
    (state,) = optimizer.kernel_states
    state.masked.kernel.assign(weights)
    state.slots[0][0].assign(slot)
    optimizer.inner_optimizer.iterations.assign(1)

    def arrays():
        record = state.masked
        values = [record.kernel.numpy(), state.slots[0][0].numpy()]
        return record.to_mask(), *(spread(record, value, 0) for value in values)

    before = arrays()
    gradients = [tf.zeros(variable.shape) for variable in model.trainable_variables]
    dense = {"fc/kernel": product} if optimizer.needs_dense_gradients else None

    @tf.function
    def apply(gradients):
        optimizer.apply(gradients, model.trainable_variables, dense_gradients=dense)

    apply(gradients)
    return before, arrays()


def at_rest():
    """An inner optimizer whose step leaves weights and their slot as they are."""
    return keras.optimizers.RMSprop(0.0, rho=1.0)


@pytest.mark.parametrize(
    "memory, method, fraction",
    slow_unless(
        lambda memory, method, fraction: memory == 2**15 and (method == "RigL" or fraction == 0.3),
        itertools.product([2**15, 2**28], ["SET", "RigL"], [0.0, 0.3, 0.999]),
    ),
)
def test_an_update_is_that_of_the_oracle(method, fraction, memory):
    """With weights and gradients of few different values, many of them 0."""
    rng = np.random.default_rng(5)
    weights = rng.integers(-2, 3, 120).astype(np.float32)
    factors = [rng.integers(-1, 2, (3, size)).astype(np.float32) for size in (INPUTS, 30)]
    optimizer = getattr(kt.optimizers, method)(
        at_rest(),
        update_every=1,
        end=9,
        drop_fraction=fraction,
        search_memory=memory,
        skip_gradient_step=False,
    )
    velocity = rng.random(120).astype(np.float32)
    product = OuterProduct(*map(tf.constant, factors))
    before, after = updated(optimizer, product, weights, velocity)
    scores = oracle.random_scores((INPUTS, 30), "fc/kernel", 0, 1)
    if method == "RigL":
        scores = np.abs(factors[0].T @ factors[1])
    mask, kernel = oracle.drop_and_grow(before[1], before[0], scores, fraction)
    np.testing.assert_array_equal(after[0], mask)
    np.testing.assert_array_equal(after[1], kernel)
    np.testing.assert_array_equal(after[2], np.where(mask & before[0], before[2], 0))
    assert mask.sum() == 120


def test_counts_stay_and_grown_slots_rest_after_every_step():
    model = compiled(stored_model(), kt.optimizers.SET("adam", update_every=2, end=99))
    before = {name: set(r.indices.numpy().tolist()) for name, r in kernels(model).items()}
    changed = 0
    for _ in range(8):
        model.train_on_batch(X, Y)
        for state in model.optimizer.kernel_states:
            record = state.masked
            indices = record.indices.numpy()
            assert (np.diff(indices) > 0).all() and indices[-1] < record.size
            new = ~np.isin(indices, list(before[record.name]))
            changed += new.sum()
            for slot, rest in [(record.kernel, 0.0), *state.slots]:
                assert (slot.numpy()[new] == rest).all()
            before[record.name] = set(indices.tolist())
    assert changed > 50


@pytest.mark.parametrize("method", slow_unless(lambda method: method == "rigl", OPTIMIZERS))
def test_a_saved_model_goes_on_bitwise(method, tmp_path):
    straight = fit(compiled(stored_model(), OPTIMIZERS[method]()), 14)
    half = compiled(stored_model(), OPTIMIZERS[method]())
    half.horizon = (14, 1)
    fit(half, 7)
    half.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.horizon = (14, 1)
    fit(loaded, 7)
    for one, other in zip(straight.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_nothing_is_traced_again():
    model = stored_model()
    traces, step = [], model.train_step
    model.train_step = lambda data: (traces.append(1), step(data))[1]
    compiled(model, kt.optimizers.RigL("sgd", update_every=3, end=99), steps_per_execution=4)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8).repeat()
    model.fit(data, steps_per_epoch=8, verbose=0)
    first = len(traces)
    model.fit(data, steps_per_epoch=20, epochs=2, verbose=0)
    assert len(traces) == first


def shared_and_mixed(sparse):
    """A layer that is called twice, on sequences too, one with masks, and one in either storage."""
    dense = [
        keras.layers.Dense(INPUTS, "relu", name="shared", kernel_initializer="he_normal"),
        keras.layers.Dense(16, "relu", name="deep"),
    ]
    if sparse:
        dense = [stored_layer(INPUTS, 0.7, "shared"), stored_layer(16, 0.7, "deep")]
    masked = keras.layers.Dense(12, "relu", name="masked")
    inputs = keras.Input((4, INPUTS))
    shared, deep = dense if sparse else [kt.layers.Sparse(layer, 0.7) for layer in dense]
    x = shared(shared(inputs))
    x = kt.layers.Sparse(masked, 0.7)(x)
    x = deep(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    head = keras.layers.Dense(CLASSES, name="head", kernel_initializer=keras.initializers.Ones())
    return kt.SparseModel(inputs, head(x))


@pytest.mark.slow
def test_shared_layers_sequences_and_both_storages_in_one_model():
    masked, stored = shared_and_mixed(False), shared_and_mixed(True)
    with_weights_of(stored, masked)
    x = np.random.default_rng(3).normal(size=(32, 4, INPUTS)).astype("float32")
    for model in (masked, stored):
        compiled(model, kt.optimizers.RigL(keras.optimizers.SGD(0.01), update_every=2, end=99))
        fit(model, 8, x, Y[:32])
    storages = {record.storage for record in masked_kernels(stored)}
    assert storages == {"masked", "sparse"}
    assert_alike(masked, stored)


def test_large_kernels_grow_among_candidates():
    """The best of those that were drawn, none twice; all of them are looked at, so all are best."""
    rng = np.random.default_rng(5)
    factors = [rng.normal(size=(3, size)).astype(np.float32) for size in (INPUTS, 30)]
    product = OuterProduct(*map(tf.constant, factors))
    found = []
    for candidates in (None, 599, 200):
        optimizer = kt.optimizers.RigL(
            at_rest(), update_every=2, begin=1, end=9, drop_fraction=0.5, candidates=candidates
        )
        weights = np.arange(1, 121, dtype=np.float32)
        before, after = updated(optimizer, product, weights, weights)
        grown = after[0] & ~(before[0] & (before[1] > 60))
        assert after[0].sum() == 120 and grown.sum() == 60
        found.append(grown)
    scores = np.abs(factors[0].T @ factors[1])
    assert (found[0] != found[1]).sum() <= 2
    assert 0.2 * scores[found[0]].mean() < scores[found[2]].mean() < scores[found[0]].mean()


def test_set_draws_in_kernels_too_large_for_masks(monkeypatch):
    monkeypatch.setattr(set_module, "LARGEST_DENSE", 100)
    model = compiled(stored_model(), kt.optimizers.SET("sgd", update_every=1, end=99))
    counts = {name: np.zeros(record.size) for name, record in kernels(model).items()}
    for _ in range(30):
        model.train_on_batch(X, Y)
        for name, record in kernels(model).items():
            indices = record.indices.numpy()
            assert (np.diff(indices) > 0).all() and indices[0] >= 0 and indices[-1] < record.size
            counts[name][indices] += 1
    assert all((count > 0).mean() > 0.5 for count in counts.values())


REFUSED = [
    (kt.optimizers.SNFS, {}, "SNFS needs whole kernels"),
    (kt.optimizers.DNW, {}, "DNW needs whole kernels"),
    (kt.optimizers.TopKAST, {}, "TopKAST needs whole kernels"),
    (kt.optimizers.StraightThrough, {}, "StraightThrough needs whole kernels"),
    (kt.optimizers.GradualMagnitude, {}, "Use `kt.optimizers.Static`, `SET` or `RigL`"),
    (kt.optimizers.RigL, {"mean_over": 5}, "`mean_over` keeps a mean of whole dense gradients"),
    (kt.optimizers.SET, {"track_exploration": True}, "`track_exploration` remembers"),
    (kt.optimizers.SET, {"search_memory": 40}, "`search_memory` must be at least"),
    (kt.optimizers.RigL, {"search_memory": 2000}, "for kernel 'fc1/kernel' of shape"),
    (kt.optimizers.RigL, {"candidates": 10}, "`candidates` must be at least the 120 weights"),
]


@pytest.mark.parametrize("method, arguments, message", REFUSED)
def test_what_sparse_storage_cannot_do_is_refused_at_compile(method, arguments, message):
    model = stored_model()
    with pytest.raises(ValueError, match=message):
        compiled(model, method("sgd", **arguments))


def test_a_search_of_all_positions_has_an_end(monkeypatch):
    monkeypatch.setattr(rigl_module, "LARGEST_SEARCH", 500)
    with pytest.raises(ValueError, match="pass `candidates=`.*or use `kt.optimizers.SET`"):
        compiled(stored_model(), kt.optimizers.RigL("sgd"))
    with pytest.raises(ValueError, match="`candidates` is for kernels that are stored sparsely"):
        compiled(masked_model(), kt.optimizers.RigL("sgd", candidates=1000))
