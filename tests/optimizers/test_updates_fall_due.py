"""Masks that will never change, ramps that do not end, targets not reached: each is said."""

import warnings

import keras
import numpy as np
import pytest
from networks import mlp
from slow_cases import slow_unless

import keras_tickets as kt

X, Y = np.random.default_rng(0).normal(size=(32, 10)), np.zeros((32, 3))


def said(optimizer, epochs, callbacks=()):
    """The warnings of `fit`, of two steps an epoch, and the model."""
    model = kt.sparsify(mlp(), 0.75)
    model.compile(optimizer, "mse")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, Y, batch_size=16, epochs=epochs, callbacks=list(callbacks), verbose=0)
    return [str(w.message) for w in caught if "numpy" not in str(w.message)], model


@pytest.mark.parametrize("window", [{"end": 10}, {"begin": 60, "end": 60}])
def test_a_window_without_an_update_is_said_at_once(window):
    with pytest.warns(UserWarning, match="every 50 steps.*: no update") as caught:
        kt.optimizers.RigL("sgd", update_every=50, **window)
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kt.optimizers.RigL("sgd", update_every=50, end=51)
        kt.optimizers.RigL("sgd", update_every=50, begin=5, end=6)
        kt.optimizers.GradualMagnitude("sgd", update_every=50, begin=5, end=5)


def test_fit_says_where_it_was_called():
    model = kt.sparsify(mlp(), 0.75)
    model.compile(kt.optimizers.SET("sgd", update_every=1, end=50), "mse")
    expected = "every step from step 0 to 50: no update in 1 step of training"
    with pytest.warns(UserWarning, match=expected) as caught:
        model.fit(X, Y, batch_size=32, verbose=0)
    assert [warning.filename for warning in caught] == [__file__]


LENGTHS = [
    ({}, "no update in 12 steps"),
    ({"update_every": 5, "end": 6}, "1 update in 12 steps"),
    ({"update_every": 10, "end": 100}, "1 update in 12 steps"),
    ({"update_every": 5}, "1 update in 12 steps"),
    ({"update_every": 4, "end": 12}, None),
    ({"update_every": 4, "end": "75%", "begin": 3}, None),
]


@pytest.mark.parametrize(
    "method", slow_unless(lambda method: method == "RigL", ["SET", "RigL", "SNFS"])
)
@pytest.mark.parametrize(
    "arguments, found",
    slow_unless(lambda arguments, found: (arguments, found) in LENGTHS[::2], LENGTHS),
)
def test_a_fit_with_hardly_an_update_is_said(method, arguments, found):
    optimizer = getattr(kt.optimizers, method)("sgd", **arguments)
    messages, _ = said(optimizer, epochs=6)
    assert len(messages) == (found is not None), messages
    assert found is None or found in messages[0]


def messages_of(fit):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit()
    kinds = ("no update", "1 update", "masks change from", "best epoch")
    return [str(w.message) for w in caught if any(kind in str(w.message) for kind in kinds)]


@pytest.mark.parametrize("end", slow_unless(lambda end: end == 0.75, [0.75, 10]))
@pytest.mark.parametrize("method", ["RigL", "GradualMagnitude"])
def test_another_fit_in_which_the_masks_stay_is_said(method, end):
    optimizer = getattr(kt.optimizers, method)("sgd", update_every=2, end=end)
    messages, model = said(optimizer, epochs=6)
    assert messages == []

    def again():
        model.fit(X, Y, batch_size=16, epochs=6, verbose=0)

    found = messages_of(again)
    if method == "RigL":
        assert len(found) == 1 and "no update after the training so far" in found[0]
    else:
        assert found == [], "training goes on under the final masks, as it should"


def test_a_loop_of_short_fits_in_the_window_is_not_warned_of():
    model = kt.sparsify(mlp(), 0.75)
    model.compile(kt.optimizers.RigL("sgd", update_every=2, end=100), "mse")
    fits = [lambda: model.fit(X, Y, batch_size=4, epochs=1, verbose=0)] * 3
    assert [message for fit in fits for message in messages_of(fit)] == []


@pytest.mark.parametrize(
    "every, found",
    slow_unless(lambda every, found: found, [(100, ["no update in 2 steps"]), (1, [])]),
)
def test_a_training_of_unknown_length_is_judged_at_its_end(every, found):
    model = kt.sparsify(mlp(), 0.75)
    model.compile(kt.optimizers.SET("sgd", update_every=every, end=1000), "mse")

    def batches():
        yield from ((X[:16], Y[:16]), (X[16:], Y[16:]), (X[16:], Y[16:]))[: 2 if found else 3]

    messages = messages_of(lambda: model.fit(batches(), verbose=0))
    assert len(messages) == len(found) and (not found or found[0] in messages[0])


@pytest.mark.parametrize(
    "arguments, found",
    slow_unless(
        lambda arguments, found: found or arguments["end"] == 11,
        [
            ({"begin": 12, "end": 20}, "before the ramp begins"),
            ({"begin": 2, "end": 20}, "before the ramp ends"),
            ({"begin": 2, "end": 11}, None),
            ({"begin": 2, "end": 0.5}, None),
            ({"begin": 4, "end": 4}, None),
        ],
    ),
)
def test_a_ramp_that_training_does_not_reach_is_said(arguments, found):
    optimizer = kt.optimizers.GradualMagnitude("sgd", update_every=2, **arguments)
    messages, model = said(optimizer, epochs=6)
    if found is None:
        assert messages == [] and abs(model.sparsity - 0.75) < 0.02
        return
    at_start, at_end = messages
    assert found in at_start
    assert "was to reach a sparsity of 0.7452" in at_end
    assert f"has {model.sparsity:.4f}, after 12 steps" in at_end


def test_sparsity_is_in_the_logs_of_every_sparse_model():
    optimizer = kt.optimizers.GradualMagnitude("sgd", update_every=1, begin=0, end=7)
    model = kt.sparsify(mlp(), 0.75)
    model.compile(optimizer, "mse")
    seen = []
    see = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs))
    history = model.fit(X, Y, batch_size=16, epochs=4, callbacks=[see], verbose=0).history
    assert history["sparsity"] == [logs["sparsity"] for logs in seen]
    assert history["sparsity"][0] < history["sparsity"][-1] == model.sparsity
    dense = kt.SparseModel(mlp())
    dense.compile("sgd", "mse")
    assert "sparsity" not in dense.fit(X, Y, verbose=0).history


class Scripted(keras.callbacks.Callback):
    """Makes the losses that another callback sees those of a script: the first is the best."""

    def on_epoch_end(self, epoch, logs=None):
        logs["loss"] = float(epoch)


def gradual():
    return kt.optimizers.GradualMagnitude("sgd", update_every=1, begin=0, end=6)


def test_a_best_epoch_before_the_target_is_said():
    stop = keras.callbacks.EarlyStopping("loss", patience=10, restore_best_weights=True)
    messages, model = said(gradual(), 6, [Scripted(), stop])
    assert model.sparsity < 0.7
    assert len(messages) == 1 and "weights of an earlier epoch" in messages[0]


@pytest.mark.parametrize(
    "last, found", slow_unless(lambda last, found: found, [(False, 1), (True, 0)])
)
def test_a_file_of_a_best_epoch_before_the_target_is_named(last, found, tmp_path):
    path = str(tmp_path / "best.keras")
    mode = "max" if last else "min"
    save = keras.callbacks.ModelCheckpoint(path, "loss", save_best_only=True, mode=mode)
    messages, model = said(gradual(), 6, [Scripted(), save])
    assert abs(model.sparsity - 0.75) < 0.02 and len(messages) == found
    assert not found or path in messages[0] and "before the end of the ramp" in messages[0]


@pytest.mark.parametrize("kind", ["stopping", "checkpoint"])
def test_the_best_epoch_and_patience_count_from_the_end_of_the_ramp_on(kind, tmp_path):
    path = tmp_path / "best.keras"
    callback = {
        "stopping": lambda: keras.callbacks.EarlyStopping(
            "loss", patience=2, restore_best_weights=True
        ),
        "checkpoint": lambda: keras.callbacks.ModelCheckpoint(
            path, monitor="loss", save_best_only=True
        ),
    }[kind]()
    messages, model = said(gradual(), 9, [Scripted(), kt.callbacks.AfterUpdates(callback)])
    assert messages == []
    if kind == "checkpoint":
        model = keras.models.load_model(path)
        assert int(model.optimizer.iterations) == 8
    else:
        assert len(model.history.epoch) == 6, "seen from epoch 4 on, and stopped 2 later"
    assert abs(model.sparsity - 0.75) < 0.02


def test_after_updates_passes_all_on_where_no_masks_are_updated():
    seen = []
    see = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    model = mlp()
    model.compile("sgd", "mse")
    model.fit(X, Y, epochs=2, callbacks=[kt.callbacks.AfterUpdates(see)], verbose=0)
    assert seen == [0, 1]


def test_after_updates_takes_callbacks():
    with pytest.raises(TypeError, match="`callback` must be a Keras callback"):
        kt.callbacks.AfterUpdates(lambda epoch: None)
