"""Real and ideal worlds, against trainings by hand in plain Keras and errors in NumPy."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from method_recipes import METHODS
from networks import LOSS, labeled, mlp

import keras_tickets as kt
from keras_tickets._forward.loss import mean_loss
from keras_tickets.analysis.worlds.world_batches import world_batches

X, Y = labeled(200)
TEST = X[128:], Y[128:]
STEPS = 8


def batches(start, stop, size=8):
    return [(X[i : i + size], Y[i : i + size]) for i in range(start, stop, size)]


def compiled(model, optimizer=None, loss=LOSS, **kwargs):
    model.compile(optimizer or keras.optimizers.SGD(0.1, momentum=0.9), loss, **kwargs)
    return model


def collecting(make):
    """The function, and the list of the models that it will have made."""
    made = []
    return lambda: made.append(make()) or made[-1], made


def scores(logits, y):
    """Loss, error and soft error, in NumPy."""
    chances = np.exp(logits - logits.max(1, keepdims=True).astype("float64"))
    right = (chances / chances.sum(1, keepdims=True))[np.arange(len(y)), y]
    return -np.log(right).mean(), np.mean(logits.argmax(1) != y), np.mean(1 - right)


def assert_course(course, rows):
    losses, errors, soft_errors = np.array(rows).T
    np.testing.assert_allclose(course.losses, losses, rtol=1e-5)
    np.testing.assert_array_equal(course.errors, errors)
    np.testing.assert_allclose(course.soft_errors, soft_errors, rtol=1e-5)


def test_both_worlds_are_trainings_by_hand():
    make, made = collecting(lambda: compiled(mlp(), steps_per_execution=3))
    found = kt.analysis.worlds(
        make,
        batches(0, 32),
        iter(batches(32, 128)),
        TEST,
        steps=12,
        at=[4, 0, 4],
        train=(X[:32], Y[:32]),
    )
    assert found.steps.tolist() == [0, 4, 12]
    for model, course, data in (
        (made[0], found.real, [(0, 32), (0, 32), (0, 32)]),
        (made[1], found.ideal, [(32, 64), (64, 96), (96, 128)]),
    ):
        by_hand = compiled(mlp())
        rows, on_train = [], []
        for done in range(4):
            if done != 2:
                rows.append(scores(by_hand.predict_on_batch(TEST[0]), TEST[1]))
                on_train.append(scores(by_hand.predict_on_batch(X[:32]), Y[:32]))
            if done < 3:
                first, last = data[done]
                by_hand.fit(X[first:last], Y[first:last], batch_size=8, shuffle=False, verbose=0)
        assert_course(course, rows)
        if course is found.real:
            assert_course(found.train, on_train)
        for ours, theirs in zip(model.weights, by_hand.weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(
        found.gap.soft_errors, found.real.soft_errors - found.ideal.soft_errors
    )
    assert f"{found.gap.soft_errors[-1]:.4f}" in str(found).splitlines()[-1]


def test_a_stream_of_the_same_samples_in_the_same_order_leaves_no_gap_and_rigl_is_itself():
    number = itertools.count()

    def network():
        seed = next(number)  # each model is another until it gets the state of the first
        dense = mlp(norm=keras.layers.BatchNormalization, dropout=0.2, seed=seed)
        sparse = kt.sparsify(dense, 0.6, distribution="uniform", seed=seed)
        rigl = kt.optimizers.RigL(keras.optimizers.SGD(0.1), update_every=2)
        return compiled(sparse, rigl, run_eagerly=True)

    make, made = collecting(network)
    data = X[:64], Y[:64]
    found = kt.analysis.worlds(make, data, data, TEST, steps=STEPS, at=[0, 4], batch_size=8)
    for gap in (found.gap.losses, found.gap.errors, found.gap.soft_errors):
        np.testing.assert_array_equal(gap, np.zeros(3))
    assert len(set(found.real.losses)) == 3
    start = kt.sparsify(mlp(), 0.6, distribution="uniform", seed=0).masks
    for model in made:
        assert int(model.optimizer.iterations) == STEPS
        assert model.optimizer.window == (0, 6)
        for path, mask in model.masks.items():
            assert mask.sum() == start[path].sum()
            kernel = kt.weight_paths(model)[path].numpy()
            assert not kernel[~mask].any()
            np.testing.assert_array_equal(mask, made[0].masks[path])
    assert any(np.any(mask != start[path]) for path, mask in made[0].masks.items())


def test_probabilities_and_vectors_as_targets():
    def make():
        return compiled(mlp(output="softmax"), loss="categorical_crossentropy", run_eagerly=True)

    data = X[:16], np.eye(3, dtype="float32")[Y[:16]]
    found = kt.analysis.worlds(
        make, data, data, data, steps=1, at=[0], batch_size=16, from_logits=False
    )
    chances = make().predict_on_batch(data[0])
    assert_course(
        kt.analysis.Course(
            found.real.losses[:1], found.real.errors[:1], found.real.soft_errors[:1]
        ),
        [scores(np.log(chances), Y[:16])],
    )
    np.testing.assert_array_equal(found.train.losses, found.real.losses)
    labels = Y[:16]
    for logits, model, y in (
        (True, make, data[1]),
        (False, lambda: compiled(mlp(), run_eagerly=True), labels),
    ):
        with pytest.raises(ValueError, match=f"`from_logits={logits}`, the model must return"):
            kt.analysis.worlds(
                model,
                (X[:16], y),
                (X[:16], y),
                (X[:16], y),
                steps=1,
                at=[0],
                batch_size=8,
                from_logits=logits,
            )


@pytest.mark.slow
def test_accumulated_gradients_count_as_one_step():
    def network():
        sgd = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
        return compiled(kt.sparsify(mlp(), 0.5), kt.optimizers.RigL(sgd, update_every=2, begin=1))

    make, made = collecting(network)
    kt.analysis.worlds(make, (X, Y), (X, Y), TEST, steps=16, at=[8], batch_size=8)
    assert made[1].optimizer.window == (1, 6)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_method_in_graph(name):
    method = METHODS[name]

    def network():
        optimizer = method.make(keras.optimizers.Adam(0.01), update_every=2)
        return compiled(method.sparsify(mlp(12), 0.5), optimizer, steps_per_execution=2)

    make, made = collecting(network)
    x = np.concatenate([X, X[:, :2]], axis=1)
    data, test = (x[:128], Y[:128]), (x[128:], Y[128:])
    found = kt.analysis.worlds(make, data, data, test, steps=16, at=[8], batch_size=8)
    assert not found.gap.losses.any() and len(set(found.real.losses)) == 2
    for model in made:
        assert int(model.optimizer.iterations) == 16
        assert model.optimizer.shortfall() is None
        plain = kt.strip(model).predict_on_batch(test[0])
        assert found.real.soft_errors[-1] == pytest.approx(scores(plain, test[1])[2], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["soft labels", "stored sparsely", "mixed precision"])
def test_other_models(kind):
    def network():
        policy = "mixed_float16" if kind == "mixed precision" else None
        storage = "sparse" if kind == "stored sparsely" else "masked"
        sparse = kt.sparsify(mlp(dtype=policy, seed=next(seeds)), 0.5, storage=storage)
        if kind == "soft labels":
            sparse = kt.trainers.DistillationTrainer(sparse, mlp(seed=7))
        return compiled(sparse, kt.optimizers.SET(keras.optimizers.SGD(0.1), update_every=2))

    seeds = itertools.count()
    data = X[:64], Y[:64]
    found = kt.analysis.worlds(network, data, data, TEST, steps=STEPS, batch_size=8, at=[0])
    assert not found.gap.losses.any()
    assert found.real.losses[1] < found.real.losses[0]


def drawn(name, data, steps, again, **kwargs):
    found, size = world_batches(
        name, data, steps, again=again, **{"batch_size": 8, "seed": 0, **kwargs}
    )
    return [(x.numpy(), y.numpy()) for x, y in found.take(steps)], size


def test_the_real_world_repeats_its_examples_in_new_orders_and_the_ideal_one_does_not():
    ids = np.arange(20)
    real, size = drawn("real", (ids[:, None], ids), 4, True)
    assert size == 8
    epochs = [np.concatenate([y for _, y in real[i : i + 2]]) for i in (0, 2)]
    for epoch in epochs:
        assert len(set(epoch)) == 16
    assert not np.array_equal(*epochs)
    for x, y in real:
        np.testing.assert_array_equal(x[:, 0], y)
    ideal, _ = drawn("ideal", (ids[:, None], ids), 2, False)
    np.testing.assert_array_equal([y for _, y in ideal], [y for _, y in real[:2]])
    other, _ = drawn("ideal", (ids[:, None], ids), 2, False, seed=1)
    assert not np.array_equal([y for _, y in ideal], [y for _, y in other])


@pytest.mark.parametrize("form", ["list", "generator", "tf.data"])
def test_batches_come_as_they_are(form):
    given = batches(0, 24)
    data = {
        "list": given,
        "generator": (list(batch) for batch in given),
        "tf.data": tf.data.Dataset.from_tensor_slices((X[:24], Y[:24])).batch(8),
    }[form]
    found, size = drawn("ideal", data, 3, False)
    assert size == 8
    for ours, theirs in zip(found, given, strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])
    if form != "generator":
        found, _ = drawn("real", data, 7, True)
        np.testing.assert_array_equal(found[6][0], given[0][0])


def test_wrong_arguments():
    def measure(**change):
        data = {"make": lambda: compiled(mlp(), run_eagerly=True), "test": TEST}
        data |= {"real": (X[:64], Y[:64]), "ideal": (X[:64], Y[:64])}
        kt.analysis.worlds(**{**data, "steps": 4, "batch_size": 8, **change})

    shared = compiled(mlp())
    optimizer = keras.optimizers.SGD()
    sizes = itertools.count(4)
    for change, message in (
        ({"steps": 0}, "`steps` must be a positive integer. Received: steps=0"),
        ({"at": [5]}, r"`at` must be an integer in \[0, 4\]. Received: at=5"),
        ({"steps": 9}, "`ideal` must have a batch for each of the 9 steps.*Received: 8 batches"),
        ({"ideal": batches(0, 24)}, "`ideal` must have a batch for each.*fewer than 4 batches"),
        ({"real": iter(batches(0, 8))}, "`real` must have a batch for each.*fewer than 4 batches"),
        ({"real": batches(0, 32, size=4)}, "same size. Received: batches of 4 and 8 examples"),
        ({"real": []}, "`real` has no batches"),
        ({"real": [(X[:8],)]}, "`real` must have targets"),
        ({"test": [(X[:8],)]}, "`test` must have targets"),
        ({"test": []}, "`test` has no examples"),
        ({"make": mlp}, "`make` must return a model that is compiled"),
        ({"make": lambda: shared}, "a new model with a new optimizer each time"),
        (
            {"make": lambda: compiled(mlp(), optimizer)},
            "a new model with a new optimizer each time",
        ),
        ({"make": lambda: compiled(mlp(hidden=(next(sizes),)))}, "the same network each time"),
        ({"make": lambda: compiled(mlp(classes=1), loss="mse")}, "two classes or more"),
    ):
        with pytest.raises(ValueError, match=message):
            measure(**change)
    for change, message in (
        ({"real": 3}, "Data must be a tuple"),
        ({"at": 3}, r"`at` must be steps, such as \[0, 4\]. Received: at=3"),
        ({"from_logits": "no"}, "`from_logits` must be True or False"),
        ({"make": lambda: None}, r"`make\(\)` must be a keras.Model"),
    ):
        with pytest.raises(TypeError, match=message):
            measure(**change)


def test_epochs_have_no_meaning_in_two_worlds():
    def make():
        rigl = kt.optimizers.RigL(keras.optimizers.SGD(), update_every=2, end="2ep")
        return compiled(kt.sparsify(mlp(), 0.5), rigl)

    with pytest.raises(ValueError, match="Step\\('2ep'\\) cannot be resolved"):
        kt.analysis.worlds(make, (X, Y), (X, Y), TEST, steps=STEPS, batch_size=8)


@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size", "none"])
def test_losses_are_means_of_examples_however_they_are_reduced(reduction):
    logits = np.random.default_rng(1).normal(size=(7, 3)).astype("float32")
    labels = np.arange(7) % 3
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
    found = mean_loss(loss, tf.constant(labels), tf.constant(logits))
    assert float(found) == pytest.approx(scores(logits, labels)[0], rel=1e-5)
