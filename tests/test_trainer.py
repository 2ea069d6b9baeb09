"""`fit`, `evaluate`, `predict` and the batch methods take what Keras takes, and do the same."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf
from slow_cases import slow_unless

import keras_tickets as kt

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6)).astype("float32")
Y = RNG.integers(0, 3, size=40)
WEIGHTS = RNG.random(40).astype("float32")
LOSS = "sparse_categorical_crossentropy"


def dense_network():
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Dense(8, "relu", name="a", kernel_regularizer="l2"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Dense(3, "softmax", name="b"),
    ]
    return keras.Sequential([keras.Input((6,)), *layers])


def pair(make=dense_network):
    """A dense model, and a sparse one of the same weights with all masks `True`."""
    dense = make()
    return dense, kt.sparsify(dense, {".*": 0.0}, mask="ones")


def data(**kwargs):
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(8, **kwargs)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, i):
        part = slice(8 * i, 8 * i + 8)
        return X[part], Y[part], WEIGHTS[part]


def generator():
    while True:
        for i in range(5):
            yield X[8 * i : 8 * i + 8], Y[8 * i : 8 * i + 8]


KEEP = {"shuffle": False}
CALLS = {
    "class weights": lambda: ((X, Y), {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}, **KEEP}),
    "sample weights": lambda: ((X, Y), {"sample_weight": WEIGHTS, **KEEP}),
    "split": lambda: ((X, Y), {"validation_split": 0.25, "validation_batch_size": 3, **KEEP}),
    "validation": lambda: (
        (X, Y),
        {
            "validation_data": (X, Y, WEIGHTS),
            "validation_steps": 2,
            "validation_freq": 2,
            "epochs": 4,
            **KEEP,
        },
    ),
    "positional": lambda: ((X, Y, 8, 2, 0, [keras.callbacks.EarlyStopping("loss")]), KEEP),
    "initial epoch": lambda: ((X, Y), {"initial_epoch": 2, "epochs": 3, **KEEP}),
    "shuffled": lambda: ((X, Y), {}),
    "data set": lambda: ((data(),), {"validation_data": data()}),
    "steps": lambda: ((data().repeat(),), {"steps_per_epoch": 3, "initial_epoch": 1, "epochs": 2}),
    "generator": lambda: ((generator(),), {"steps_per_epoch": 5}),
    "PyDataset": lambda: ((Batches(),), KEEP),
}


def results(model, call, **compiled):
    keras.utils.set_random_seed(1)
    model.compile("sgd", LOSS, metrics=["accuracy"], weighted_metrics=["accuracy"], **compiled)
    args, kwargs = call()
    positional = len(args) > 2
    history = model.fit(*args, **({} if positional else {"verbose": 0}), **kwargs).history
    evaluated = model.evaluate(X, Y, 16, 0, WEIGHTS, return_dict=True)
    return {**history, **{f"test_{name}": [value] for name, value in evaluated.items()}}


def assert_alike(ours, theirs):
    assert "sparsity" in ours and [name for name in ours if name != "sparsity"] == list(theirs)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-4, atol=1e-6, err_msg=name)


OF_THE_SAME_KIND = (
    *("positional", "shuffled", "split", "sample weights"),
    *("initial epoch", "PyDataset", "generator", "data set"),
)


@pytest.mark.parametrize("call", slow_unless(lambda call: call not in OF_THE_SAME_KIND, CALLS))
def test_all_arguments_of_fit(call):
    dense, sparse = pair()
    assert_alike(results(sparse, CALLS[call]), results(dense, CALLS[call]))


def test_a_list_of_callbacks_of_keras():
    _, model = pair()
    model.compile("sgd", LOSS)
    stop = keras.callbacks.EarlyStopping("sparsity", patience=0, mode="max")
    given = keras.callbacks.CallbackList(
        [stop], add_history=True, model=model, epochs=5, steps=3, verbose=0
    )
    assert len(model.fit(X, Y, epochs=5, verbose=0, callbacks=given).history["sparsity"]) == 2


@pytest.mark.parametrize("compiled", [{"run_eagerly": True}, {"steps_per_execution": 3}])
def test_eagerly_and_several_steps_a_call(compiled):
    dense, sparse = pair()
    call = CALLS["data set"]
    assert_alike(results(sparse, call, **compiled), results(dense, call, **compiled))


def test_batch_by_batch_and_predict():
    def run(model):
        model.compile("sgd", LOSS, metrics=["accuracy"])
        on_batches = [
            model.train_on_batch(X[:8], Y[:8], class_weight={0: 1.0, 1: 2.0, 2: 0.5}),
            model.train_on_batch(X[8:16], Y[8:16], WEIGHTS[8:16]),
            model.test_on_batch(X, Y),
        ]
        predicted = [model.predict(X, 16, 0), model.predict_on_batch(X), model(X)]
        return [np.asarray(part) for part in [*on_batches, *predicted]]

    dense, sparse = pair()
    for ours, theirs in zip(run(sparse), run(dense), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_copy_of_a_model_goes_on_as_the_model():
    sparse = kt.sparsify(dense_network(), 0.5)
    sparse.compile(kt.optimizers.SET("sgd", update_every=2, end=50), LOSS)
    sparse.fit(X, Y, shuffle=False, verbose=0)
    again = copy.deepcopy(sparse)
    assert list(again.masks) == list(sparse.masks)
    losses = [m.fit(X, Y, shuffle=False, verbose=0).history["loss"] for m in (sparse, again)]
    assert losses[0] == losses[1]


# --- Sparse and ragged tensors, strings ---------------------------------------------------------


def of_sparse_input():
    inputs = keras.Input((6,), sparse=True)
    return keras.Model(inputs, keras.layers.Dense(3, "softmax", name="a")(inputs))


def of_strings():
    inputs = keras.Input((1,), dtype="string")
    x = keras.layers.StringLookup(vocabulary=["a", "b"], output_mode="one_hot")(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, "softmax", name="a")(x))


class Bag(keras.layers.Layer):
    """The mean of the rows of a ragged tensor."""

    def call(self, x):
        if isinstance(x, tf.RaggedTensor):
            return tf.reduce_mean(x, axis=1, keepdims=True)
        return tf.reduce_mean(x, axis=1, keepdims=True)


def of_ragged_input():
    inputs = keras.Input((None,), ragged=True)
    return keras.Model(inputs, keras.layers.Dense(3, "softmax", name="a")(Bag()(inputs)))


INPUTS = {
    of_sparse_input: lambda: tf.sparse.from_dense(X * (X > 0.5)),
    of_strings: lambda: tf.constant(RNG.choice(["a", "b", "c"], size=(40, 1))),
    of_ragged_input: lambda: tf.RaggedTensor.from_row_splits(X[:, 0], [0, *range(1, 40), 40]),
}


@pytest.mark.parametrize("steps_per_execution", slow_unless(lambda k: k > 1, [1, 3]))
@pytest.mark.parametrize(
    "make", slow_unless(lambda make: make is not of_ragged_input, list(INPUTS))
)
def test_tensors_of_other_kinds(make, steps_per_execution):
    batches = tf.data.Dataset.from_tensor_slices((INPUTS[make](), Y)).batch(8)
    losses = []
    for model in pair(make):
        model.compile("sgd", LOSS, steps_per_execution=steps_per_execution)
        losses.append(model.fit(batches, validation_data=batches, verbose=0).history)
        losses[-1]["predicted"] = model.predict(batches, verbose=0)
    assert_alike(losses[1], losses[0])


# --- Steps of the user's own --------------------------------------------------------------------


class OwnSteps:
    """Returns what is no metric of the model."""

    def train_step(self, data):
        x, y, *_ = data
        with tf.GradientTape() as tape:
            loss = keras.ops.mean(
                (self(x, training=True)[:, 0] - keras.ops.cast(y, "float32")) ** 2
            )
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"own": loss, "half": loss / 2}

    def test_step(self, data):
        return {"own": keras.ops.mean(self(data[0], training=False))}


class OwnDense(OwnSteps, keras.Model):
    pass


class OwnSparse(OwnSteps, kt.SparseModel):
    pass


@pytest.mark.parametrize("steps_per_execution", slow_unless(lambda k: k > 1, [1, 5]))
def test_what_own_steps_return(steps_per_execution):
    dense, sparse = pair()
    models = OwnSparse(sparse), OwnDense(dense.inputs, dense.outputs)
    histories, batches = [], []
    for model in models:
        model.compile("sgd", steps_per_execution=steps_per_execution)
        stop = keras.callbacks.EarlyStopping("val_own", mode="min", patience=9)
        history = model.fit(data(), epochs=2, validation_data=data(), callbacks=[stop], verbose=0)
        histories.append(history.history)
        batches.append(model.train_on_batch(X[:8], Y[:8], return_dict=True)["own"])
    assert_alike(*histories)
    assert batches[0] == pytest.approx(batches[1], rel=1e-4)


def test_float64():
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        dense, sparse = pair()
        call = CALLS["sample weights"]
        ours, theirs = results(sparse, call), results(dense, call)
        teacher, student = (
            keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)]) for _ in "ab"
        )
        trainer = kt.trainers.DistillationTrainer(kt.sparsify(student, 0.5), teacher, alpha=0.5)
        trainer.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        trainer.fit(X, Y, verbose=0)
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)
    assert sparse(X).dtype == tf.float64
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-12, err_msg=name)
