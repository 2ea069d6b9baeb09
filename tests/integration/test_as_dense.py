"""Random models with masks that are all True behave as the dense models that they were made of."""

import contextlib
import json
import re

import keras
import numpy as np
import pytest
import random_models
import tensorflow as tf

import keras_tickets as kt

QUICK = (47,)
SEEDS = [pytest.param(seed, marks=[pytest.mark.slow] * (seed not in QUICK)) for seed in range(208)]
# Relative to the largest value; graphs order their sums differently.
TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "mixed_bfloat16": 5e-2, "mixed_float16": 2e-2}
# Layers that choose by Python's random numbers while they are traced, each trace anew.
DRAWS_WHILE_TRACED = {"AugMix"}
# What may be refused, and why: `{what the error says: the reason}`.
REFUSED: dict[str, str] = {}


@pytest.mark.parametrize("seed", SEEDS)
def test_behaves_as_the_dense_model(seed, tmp_path):
    for action, result in differences(seed, tmp_path).items():
        assert result in ("equal", "the dense model fails") or result in REFUSED.values(), action


def differences(seed, folder):
    """`{action: "equal", a reason of REFUSED, or that the dense model fails}`.

    Raises:
        AssertionError: The sparse model does otherwise than the dense one.
    """
    plan = random_models.design(seed)
    with policy(plan.policy):
        keras.utils.set_random_seed(seed)
        try:
            dense, x = random_models.make(seed), random_models.examples(seed)
            call(dense, as_tensors(x), None)
        except Exception:
            return {"make": "the dense model fails"}
        try:
            sparse = kt.sparsify(dense, {"": 0.0}, mask="ones", filters=".*")
        except ValueError as error:
            return {"sparsify": reason(error)}
        kernels = [row.path for row in kt.plan(dense, {"": 0.0}, filters=".*").rows]
        assert kernels and list(sparse.masks) == kernels
        assert all(mask.all() for mask in sparse.masks.values())
        tolerance = TOLERANCE[plan.policy]
        return {
            action.__name__: compare(action, dense, sparse, as_tensors(x), folder, tolerance)
            for action in ACTIONS
            if action is not fit or not DRAWS_WHILE_TRACED.intersection(plan.branches)
        }


@contextlib.contextmanager
def policy(name):
    """Makes a dtype policy the global one. Keras sums losses of float64 in its own float type."""
    before = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_floatx("float64" if name == "float64" else before[1])
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before[0])
        keras.config.set_floatx(before[1])


def as_tensors(x):
    """A data set takes lists for tensors, and tuples for structures."""
    if isinstance(x, dict):
        return {name: as_tensors(part) for name, part in x.items()}
    return tuple(map(as_tensors, x)) if isinstance(x, list | tuple) else tf.constant(x)


def reason(error):
    """The listed reason of an error."""
    for words, why in REFUSED.items():
        if re.search(words, str(error)):
            return why
    raise AssertionError(f"refused for no listed reason: {error}") from error


def compare(action, dense, sparse, x, folder, tolerance):
    results, errors = [], []
    for name, model in (("dense", dense), ("sparse", sparse)):
        keras.utils.set_random_seed(1)
        try:
            results.append(action(model, x, folder / f"{name}.keras"))
        except Exception as error:
            errors.append((name, error))
    if any(name == "dense" for name, _ in errors):
        return "the dense model fails"
    if errors:
        return reason(errors[0][1])
    assert_same(results[1], results[0], tolerance, action.__name__)
    return "equal"


def assert_same(ours, theirs, tolerance, where):
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), f"{where}: {list(ours)} for {list(theirs)}"
        ours, theirs = list(ours.values()), list(theirs.values())
    if isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs), where
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(a, b, tolerance, f"{where}/{i}")
        return
    if isinstance(theirs, str):
        assert ours == theirs, f"{where}: {ours} for {theirs}"
        return
    theirs = np.asarray(tf.cast(theirs, "float64"))
    scale = max(1.0, np.abs(theirs, where=np.isfinite(theirs), out=np.zeros_like(theirs)).max())
    np.testing.assert_allclose(
        np.asarray(tf.cast(ours, "float64")), theirs, rtol=0, atol=scale * tolerance, err_msg=where
    )


# --- Actions ------------------------------------------------------------------------------------


class Logs(keras.callbacks.Callback):
    """What a callback sees; sparse models add their sparsity to it."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append({name: value for name, value in logs.items() if name != "sparsity"})

    def on_epoch_end(self, epoch, logs=None):
        self.on_train_batch_end(epoch, logs)


def call(model, x, path):
    return model(x, training=False)


def in_training(model, x, path):
    return model(x, training=True)


def names_and_sizes(model, x, path):
    # Layers without a name are numbered anew in a copy, as in those that Keras makes.
    weights = [(w.name, w.shape, w.dtype, w.trainable) for w in model.weights]
    return [str(model.count_params()), *map(str, weights)]


def summary(model, x, path):
    lines = []
    model.summary(print_fn=lambda line, **kwargs: lines.append(line))
    return re.findall(r"params: [\d,]+", "".join(lines).replace("Optimizer ", "Optimizer_"))[:3]


def targets(model, x):
    return as_tensors(keras.tree.map_structure(tf.ones_like, model(x, training=False)))


def fit(model, x, path):
    y = targets(model, x)
    data = tf.data.Dataset.from_tensors((x, y)).repeat(2)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")
    logs = Logs()
    history = model.fit(data, verbose=0, callbacks=[logs, keras.callbacks.TerminateOnNaN()])
    history.history.pop("sparsity", None)
    return [history.history, logs.seen, list(model.trainable_weights), list(model.weights)]


def evaluate(model, x, path):
    y = targets(model, x)
    return model.evaluate(tf.data.Dataset.from_tensors((x, y)), verbose=0, return_dict=True)


def predict(model, x, path):
    return model.predict(tf.data.Dataset.from_tensors((x,)), verbose=0)


def save_and_load(model, x, path):
    model.save(path)
    loaded = keras.models.load_model(path)
    assert type(loaded) is type(model)
    return [int(loaded.optimizer.iterations), loaded(x, training=False), list(loaded.weights)]


def clone(model, x, path):
    again = keras.models.clone_model(model)
    if not again.built:
        again(x)
    again.set_weights(model.get_weights())
    return again(x, training=False)


def config(model, x, path):
    again = type(model).from_config(json.loads(json.dumps(model.get_config())))
    if not again.built:
        again(x)
    again.set_weights(model.get_weights())
    return again(x, training=False)


def strip(model, x, path):
    plain = kt.strip(model) if isinstance(model, kt.SparseModel) else model
    return [plain(x, training=False), *names_and_sizes(plain, x, path)]


def quantize(model, x, path):
    """The last action, since it changes the dense model."""
    plain = kt.strip(model) if isinstance(model, kt.SparseModel) else model
    plain.quantize("int8")
    return plain(x, training=False)


ACTIONS = (
    *(call, in_training, names_and_sizes, summary, fit, evaluate, predict, save_and_load),
    *(clone, config, strip, quantize),
)
