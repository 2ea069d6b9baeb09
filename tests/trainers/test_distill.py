"""`DistillationTrainer`: its loss and gradients, its teacher, when it ends, saving and resuming."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_tickets as kt

RNG = np.random.default_rng(0)
X = RNG.normal(size=(320, 10)).astype("float32")
Y = np.argmax(X @ RNG.normal(size=(10, 3)), axis=1)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network(seed=0, classes=3, activation=None, **kwargs):
    def dense(units, name, activation=None):
        kernel = keras.initializers.GlorotUniform(seed + units)
        return keras.layers.Dense(units, activation, kernel_initializer=kernel, name=name, **kwargs)

    inputs = keras.Input((10,))
    x = dense(16, "a")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Dropout(0.5, seed=1, name="dropout")(keras.layers.ReLU()(x))
    return keras.Model(inputs, dense(classes, "b", activation)(x))


def plain(seed=0, **kwargs):
    """Without dropout and batch statistics: training and inference compute the same."""
    inputs = keras.Input((10,))
    kernel = keras.initializers.GlorotUniform(seed)
    x = keras.layers.Dense(16, "tanh", name="a", kernel_initializer=kernel, **kwargs)(inputs)
    kernel = keras.initializers.GlorotUniform(seed + 1)
    return keras.Model(inputs, keras.layers.Dense(3, name="b", kernel_initializer=kernel)(x))


def rigl(**kwargs):
    arguments = {"update_every": 5, "end": 100, **kwargs}
    return kt.optimizers.RigL(keras.optimizers.SGD(0.1, momentum=0.9), **arguments)


def dataset(batches, size=32):
    return tf.data.Dataset.from_tensor_slices((X, Y)).repeat().batch(size).take(batches)


def trained(trainer, optimizer="sgd", batches=10, epochs=1, **kwargs):
    trainer.compile(optimizer, LOSS, metrics=["accuracy"], **kwargs)
    trainer.fit(dataset(batches), epochs=epochs, verbose=0)
    return trainer


def soft(logits, temperature=1.0):
    scaled = np.exp(np.float64(logits) / temperature)
    return scaled / scaled.sum(-1, keepdims=True)


def divergence(teacher, student, temperature):
    p, q = soft(teacher, temperature), soft(student, temperature)
    return temperature**2 * (p * np.log(p / q)).sum(-1)


def cross_entropy(labels, logits):
    return -np.log(soft(logits)[np.arange(len(labels)), labels])


# --- The loss ------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("reduction", ["batchmean", "mean"])
@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_loss_of_a_step_is_the_mix_plus_regularizers(alpha, reduction, jit_compile):
    student = kt.sparsify(plain(kernel_regularizer=keras.regularizers.L2(0.1)), 0.5)
    teacher = plain(seed=7)
    trainer = kt.trainers.DistillationTrainer(
        student, teacher, temperature=3.0, alpha=alpha, reduction=reduction
    )
    trainer.compile(keras.optimizers.SGD(0.0), LOSS, jit_compile=jit_compile)
    weights = RNG.random(32)
    for weight in (None, weights):
        each = 1.0 if weight is None else weight
        outputs = student(X[:32]).numpy()
        kl = (each * divergence(teacher(X[:32]).numpy(), outputs, 3.0)).mean()
        ce = (each * cross_entropy(Y[:32], outputs)).mean()
        kl = kl / 3 if reduction == "mean" else kl
        l2 = 0.1 * np.square(student.get_layer("a").layer.kernel.numpy()).sum()
        loss = trainer.train_on_batch(X[:32], Y[:32], sample_weight=weight)
        assert float(loss) == pytest.approx((1 - alpha) * ce + alpha * kl + l2, rel=1e-5)
        trainer.reset_metrics()


def test_alpha_0_is_training_on_hard_labels():
    alone, student = (kt.sparsify(network(), 0.5) for _ in range(2))
    trainer = kt.trainers.DistillationTrainer(student, network(7), alpha=0.0)
    for model in (alone, trainer):
        model.compile(rigl(), LOSS)
        model.fit(dataset(15), verbose=0)
    for a, b in zip(alone.weights, student.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_step_is_the_gradient_of_the_definition():
    """Weights after one SGD step against central differences of the float64 loss."""
    student, teacher = kt.sparsify(plain(), 0.5), plain(seed=7)
    trainer = kt.trainers.DistillationTrainer(student, teacher, temperature=2.0, alpha=0.7)
    kernel, mask = student.get_layer("b").layer.kernel, student.masks["b/kernel"]
    hidden = np.tanh(
        X[:32] @ np.float64(student.get_layer("a").layer.kernel) + student.get_layer("a").layer.bias
    )
    taught, before = teacher(X[:32]).numpy(), np.float64(kernel)

    def loss(values):
        outputs = hidden @ values
        kl, ce = divergence(taught, outputs, 2.0), cross_entropy(Y[:32], outputs)
        return (0.7 * kl + 0.3 * ce).mean()

    expected = np.zeros_like(before)
    for index in np.ndindex(before.shape):
        step = np.zeros_like(before)
        step[index] = 1e-5
        expected[index] = (loss(before + step) - loss(before - step)) / 2e-5
    trainer.compile(keras.optimizers.SGD(1.0), LOSS)
    trainer.train_on_batch(X[:32], Y[:32])
    np.testing.assert_allclose(before - kernel.numpy(), np.where(mask, expected, 0), atol=1e-5)


def test_rigl_grows_by_the_dense_gradients_of_the_students_masked_kernels():
    """A sparse teacher of the same kernel paths must not add its own."""
    student, teacher = kt.sparsify(plain(), 0.5), kt.sparsify(plain(seed=7), 0.8)
    trainer = kt.trainers.DistillationTrainer(student, teacher, alpha=1.0)
    trainer.compile(rigl())
    _, _, _, dense = trainer._differentiate(tf.constant(X), None, None)
    assert set(dense) == set(student.masks)

    outputs = student(X).numpy()
    error = 4.0 * (soft(outputs, 4.0) - soft(teacher(X).numpy(), 4.0)) / len(X)
    hidden = student.get_layer("a")(X)
    np.testing.assert_allclose(dense["b/kernel"], np.float64(hidden).T @ error, atol=1e-6)
    assert (dense["b/kernel"].numpy()[~student.masks["b/kernel"]] != 0).all()


@pytest.mark.parametrize("options", [{}, {"jit_compile": True}, {"steps_per_execution": 4}])
def test_any_sparse_optimizer(options):
    student = kt.sparsify(network(), 0.7)
    before = student.masks
    trainer = kt.trainers.DistillationTrainer(student, network(7))
    history = trained(trainer, rigl(), epochs=4, **options).history.history
    assert history["loss"][-1] < history["loss"][0]
    assert any(np.any(before[path] != mask) for path, mask in student.masks.items())
    for path, mask in student.masks.items():
        assert mask.sum() == before[path].sum()
        kernel = student.get_layer(path.split("/")[0]).layer.kernel.numpy()
        assert not kernel[~mask].any()


def test_no_retracing():
    trainer = kt.trainers.DistillationTrainer(kt.sparsify(network(), 0.7), network(7), end="50%")
    traces, step = [], trainer.train_step
    trainer.train_step = lambda data: (traces.append(1), step(data))[1]
    trainer.compile(rigl(), LOSS, steps_per_execution=4)
    trainer.fit(dataset(4), verbose=0)
    first = len(traces)
    with pytest.warns(UserWarning, match="Distillation ends at step 2"):
        trainer.fit(dataset(30), epochs=3, verbose=0)
    assert len(traces) == first


def test_mixed_precision():
    with keras.device("cpu:0"):
        keras.mixed_precision.set_global_policy("mixed_float16")
        try:
            student, teacher = kt.sparsify(network(), 0.5), network(7)
        finally:
            keras.mixed_precision.set_global_policy("float32")
    trainer = kt.trainers.DistillationTrainer(student, teacher)
    assert trained(trainer, rigl()).history.history["loss"][0] > 0
    inner = trainer.optimizer.inner_optimizer
    assert isinstance(inner, keras.optimizers.LossScaleOptimizer)
    expected = [divergence(teacher(X).numpy(), student(X).numpy(), 4.0).mean()]
    found = trainer.soft_labels.compute_loss(teacher(X), student(X))
    assert float(found) == pytest.approx(expected[0], rel=1e-2)


# --- The teacher ---------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("tests")
class Seen(keras.layers.Layer):
    """Keeps the sum of each batch that it was called on, and in which mode."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.batches, self.modes = [], set()

    def call(self, inputs, training=None):
        self.modes.add(training)
        tf.py_function(lambda x: self.batches.append(x.numpy()), [inputs], [])
        return inputs


def watched(model):
    """The model behind a `Seen` layer, which is returned too."""
    seen, inputs = Seen(), keras.Input((10,))
    return keras.Model(inputs, model(seen(inputs))), seen


def test_the_teacher_sees_the_same_augmented_batch_in_inference_mode_and_never_changes():
    student, of_student = watched(network())
    teacher, of_teacher = watched(network(7))
    before = [variable.numpy() for variable in teacher.variables]
    trainer = kt.trainers.DistillationTrainer(student, teacher)
    noisy = dataset(10).map(lambda x, y: (x + tf.random.normal(tf.shape(x)), y))
    trainer.compile("sgd", LOSS)
    of_student.batches.clear(), of_teacher.batches.clear()
    of_student.modes.clear(), of_teacher.modes.clear()
    trainer.fit(noisy, verbose=0)
    assert len(of_teacher.batches) == 10
    np.testing.assert_array_equal(of_student.batches, of_teacher.batches)
    assert of_teacher.modes == {False}
    assert True in of_student.modes
    for value, variable in zip(before, teacher.variables, strict=True):
        np.testing.assert_array_equal(value, variable)
    assert all(weight.trainable for weight in teacher.trainable_weights)


def test_the_teacher_is_not_among_the_trainers_variables():
    student, teacher = kt.sparsify(network(), 0.5), kt.sparsify(network(7), 0.5)
    trainer = kt.trainers.DistillationTrainer(student, teacher)
    of_teacher = {id(variable) for variable in teacher.variables}
    assert not of_teacher & {id(variable) for variable in trainer.variables}
    assert [id(v) for v in trainer.trainable_variables] == [
        id(v) for v in student.trainable_variables
    ]
    assert kt.get_masks(trainer).keys() == student.masks.keys()


def test_a_teacher_that_trains_off_its_masks_keeps_what_is_there():
    teacher = kt.sparsify(plain(7), 0.5)
    kernel = teacher.get_layer("a").layer.kernel
    kernel.assign(np.ones(kernel.shape))
    trained(kt.trainers.DistillationTrainer(plain(), teacher))
    assert kernel.numpy().all()


def test_predict_evaluate_and_metrics_are_the_students():
    student = kt.sparsify(network(), 0.5)
    trainer = kt.trainers.DistillationTrainer(student, network(7))
    trained(trainer)
    student.compile("sgd", LOSS, metrics=["accuracy"])
    expected = student.evaluate(X, Y, verbose=0)
    np.testing.assert_allclose(trainer.evaluate(X, Y, verbose=0), expected, rtol=1e-6)
    np.testing.assert_array_equal(trainer.predict(X, verbose=0), student.predict(X, verbose=0))
    assert trainer.student is student
    assert isinstance(kt.strip(trainer.student), keras.Model)


def test_alpha_1_needs_neither_labels_nor_a_loss():
    student, teacher = kt.sparsify(plain(), 0.3), plain(7)
    trainer = kt.trainers.DistillationTrainer(student, teacher, alpha=1.0)
    trainer.compile(keras.optimizers.Adam(0.02))
    losses = trainer.fit(X, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.1 * losses[0]
    assert trainer.evaluate(X, verbose=0) == pytest.approx(
        divergence(teacher(X).numpy(), student(X).numpy(), 4.0).mean(), rel=1e-4
    )


def test_several_teachers_are_their_mean_logits():
    teachers = [plain(7), plain(8)]
    student = plain()
    trainer = kt.trainers.DistillationTrainer(student, teachers, alpha=1.0)
    trainer.compile(keras.optimizers.SGD(0.0))
    mean = np.mean([teacher(X).numpy() for teacher in teachers], axis=0)
    expected = divergence(mean, student(X).numpy(), 4.0).mean()
    assert trainer.train_on_batch(X) == pytest.approx(expected, rel=1e-5)


def test_probabilities_are_taken_as_such_when_told():
    teacher = network(7)
    softened = keras.Sequential([teacher, keras.layers.Softmax()])
    losses = []
    for model, outputs in ((teacher, "logits"), (softened, "probabilities")):
        trainer = kt.trainers.DistillationTrainer(
            plain(), model, alpha=1.0, teacher_outputs=outputs
        )
        trainer.compile(keras.optimizers.SGD(0.0))
        losses.append(trainer.train_on_batch(X))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize("kind", ["keras", "savedmodel"])
def test_teachers_from_files(tmp_path, kind):
    teacher = network(7)
    path = tmp_path / ("teacher.keras" if kind == "keras" else "teacher")
    teacher.save(path) if kind == "keras" else teacher.export(path, verbose=False)
    results = []
    for each in (teacher, path):
        student = kt.sparsify(plain(), 0.5)
        trained(
            kt.trainers.DistillationTrainer(student, each),
            rigl(),
            jit_compile=kind == "savedmodel",
        )
        results.append(student.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


# --- Features ------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["mse", keras.losses.MeanSquaredError()])
def test_feature_distillation_as_keras_has_it(loss):
    student, teacher = kt.sparsify(plain(), 0.5), plain(7)
    features = keras.distillation.FeatureDistillation(
        loss, teacher_layer_name="a", student_layer_name="a"
    )
    trainer = kt.trainers.DistillationTrainer(
        student,
        teacher,
        alpha=0.5,
        distillation_losses=[features],
        distillation_loss_weights=[2.0],
    )
    trainer.compile(keras.optimizers.SGD(0.0), LOSS, metrics=["accuracy"])
    outputs, taught = student(X).numpy(), teacher(X).numpy()
    apart = np.square(student.get_layer("a")(X) - teacher.get_layer("a")(X)).mean()
    expected = 0.5 * cross_entropy(Y, outputs).mean()
    expected += 0.5 * (divergence(taught, outputs, 4.0).mean() + 2.0 * apart)
    logs = trainer.train_on_batch(X, Y, return_dict=True)
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)
    assert logs["accuracy"] == pytest.approx((outputs.argmax(1) == Y).mean())


def test_the_student_runs_once_a_step_with_features_too():
    student = kt.sparsify(network(), 0.5)
    features = keras.distillation.FeatureDistillation(
        teacher_layer_name="a", student_layer_name="a"
    )
    trainer = kt.trainers.DistillationTrainer(student, network(7), distillation_losses=[features])
    trainer.compile(keras.optimizers.SGD(0.0), LOSS)
    trainer.train_on_batch(X, Y)
    mean = np.float64(student.get_layer("a")(X)).mean(0)
    np.testing.assert_allclose(student.get_layer("norm").moving_mean, 0.01 * mean, rtol=1e-4)


# --- When it ends --------------------------------------------------------------------------------


@pytest.mark.parametrize("end, last", [("60%", 12), (0.6, 12), ("1ep", 10), (7, 7), ("13it", 13)])
@pytest.mark.parametrize("steps_per_execution", [1, 4])
def test_end_of_distillation(end, last, steps_per_execution):
    """Until `end` as without an end; from there on as hard labels alone from those weights."""

    def make(end):
        return kt.trainers.DistillationTrainer(kt.sparsify(plain(), 0.5), plain(7), end=end)

    def sgd():
        return keras.optimizers.SGD(0.1)

    trainer = make(end)
    trainer.compile(sgd(), LOSS, steps_per_execution=steps_per_execution)
    trainer.fit(dataset(10), epochs=2, verbose=0)

    oracle = make(None)
    oracle.compile(sgd(), LOSS)
    batches = [*dataset(10), *dataset(10)]
    for x, y in batches[:last]:
        oracle.train_on_batch(x, y)
    oracle.student.compile(sgd(), LOSS)
    for x, y in batches[last:]:
        oracle.student.train_on_batch(x, y)
    for a, b in zip(trainer.student.weights, oracle.student.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_teacher_does_not_run_after_the_end():
    teacher, seen = watched(plain(7))
    trainer = kt.trainers.DistillationTrainer(plain(), teacher, end=3)
    trainer.compile("sgd", LOSS)
    seen.batches.clear()
    trainer.fit(dataset(10), verbose=0)
    assert len(seen.batches) == 3


def test_an_end_that_is_not_known_is_named():
    trainer = kt.trainers.DistillationTrainer(plain(), plain(7), end="50%")
    trainer.compile("sgd", LOSS)
    with pytest.raises(ValueError, match="`total_steps` is not known"):
        trainer.train_on_batch(X, Y)
    trainer.set_total_steps(10)
    trainer.train_on_batch(X, Y)


# --- Saving and resuming -------------------------------------------------------------------------


def test_save_and_go_on(tmp_path):
    def make():
        trainer = kt.trainers.DistillationTrainer(
            kt.sparsify(plain(), 0.5), kt.sparsify(network(7), 0.5), temperature=3, end="75%"
        )
        trainer.compile(rigl(), LOSS, metrics=["accuracy"])
        return trainer

    class StopAfterOne(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    whole, part = make(), make()
    whole.fit(dataset(20), epochs=2, verbose=0)
    part.fit(dataset(20), epochs=2, verbose=0, callbacks=[StopAfterOne()])
    part.save(tmp_path / "trainer.keras")
    loaded = keras.models.load_model(tmp_path / "trainer.keras")
    assert isinstance(loaded, kt.trainers.DistillationTrainer)
    assert isinstance(loaded.student, kt.SparseModel)
    assert loaded.soft_labels.temperature == 3
    for a, b in zip(part.teachers[0].weights, loaded.teachers[0].weights, strict=True):
        np.testing.assert_array_equal(a, b)
    loaded.fit(dataset(20), initial_epoch=1, epochs=2, verbose=0)
    for a, b in zip(whole.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(whole.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    stripped = kt.strip(loaded.student)
    np.testing.assert_allclose(stripped(X), whole.student(X), atol=1e-5)


def test_weights_files(tmp_path):
    trainer = trained(kt.trainers.DistillationTrainer(kt.sparsify(plain(), 0.5), plain(7)), rigl())
    trainer.save_weights(tmp_path / "t.weights.h5")
    other = kt.trainers.DistillationTrainer(kt.sparsify(plain(3), 0.5, seed=5), plain(8))
    other.load_weights(tmp_path / "t.weights.h5")
    for a, b in zip(trainer.student.weights, other.student.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def run_of(directory, epochs, cached=None):
    digits = kt.data.load("digits", batch_size=200, seed=1)

    def lenet(seed):
        return kt.models.lenet_300_100(digits.input_shape, seed=seed)

    teacher, data = lenet(1), None
    checkpoint = kt.callbacks.Checkpoint(directory)
    start = checkpoint.initial_epoch
    data = digits.train(start)
    if cached:
        logits = kt.trainers.cache_logits(cached, teacher, digits.train_once())
        data, teacher = logits.attach(data), None
    student = kt.sparsify(lenet(0), 0.9)
    trainer = kt.trainers.DistillationTrainer(student, teacher, end=15)
    trainer.compile(rigl(end=20), LOSS, metrics=["accuracy"])
    trainer.fit(
        data,
        steps_per_epoch=digits.steps_per_epoch,
        initial_epoch=start,
        epochs=epochs,
        shuffle=False,
        callbacks=[checkpoint],
        verbose=0,
    )
    return trainer, checkpoint.history


@pytest.mark.parametrize("with_cache", [False, True])
def test_resumed_run_ends_as_the_uninterrupted_one(tmp_path, with_cache):
    cached = tmp_path / "logits.npz" if with_cache else None
    whole, history = run_of(tmp_path / "whole", 4, cached)
    run_of(tmp_path / "parts", 2, cached)
    resumed, resumed_history = run_of(tmp_path / "parts", 4, cached)
    assert history == resumed_history
    assert len(history["loss"]) == 4
    for a, b in zip(whole.student.variables, resumed.student.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(whole.optimizer.variables, resumed.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)


# --- Bad input -----------------------------------------------------------------------------------


def sharing():
    student = plain()
    return student, keras.Model(student.input, student.output)


def several_outputs():
    model = plain()
    return keras.Model(model.input, [model.output, model.output])


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: (plain(), network(classes=5)), r"teacher \(None, 5\).*student \(None, 3\)"),
        (lambda: (plain(), network(activation="softmax")), "gives probabilities, not logits"),
        (lambda: (network(activation="softmax"), plain()), "student .* gives probabilities"),
        (lambda: (plain(), plain(7), {"temperature": 0}), "`temperature` must be"),
        (lambda: (plain(), plain(7), {"alpha": 1.5}), r"`alpha` must be in \[0, 1\].*1.5"),
        (lambda: (plain(), plain(7), {"alpha": -0.1}), r"`alpha` must be in \[0, 1\]"),
        (lambda: (plain(), plain(7), {"alpha": float("nan")}), r"`alpha` must be in \[0, 1\]"),
        (lambda: (plain(), plain(7), {"reduction": "sum"}), "`reduction` must be one of"),
        (lambda: (plain(), plain(7), {"end": 0}), "`end` must be after step 0"),
        (lambda: (plain(), plain(7), {"end": "120%"}), "A step must be"),
        (lambda: (plain(), plain(7), {"end": -1}), "A step must be"),
        (lambda: (plain(), plain(7), {"teacher_outputs": "softmax"}), "`teacher_outputs` must be"),
        (
            lambda: (plain(), plain(7), {"teacher_outputs": "probabilities"}),
            "does not give probabilities",
        ),
        (lambda: (plain(), []), "must not be an empty list"),
        (lambda: (plain(), "no.keras"), "there is no file or directory 'no.keras'"),
        (lambda: (plain(), __file__), "neither a .keras file nor a SavedModel directory"),
        (lambda: (plain(), 3), "`teacher` must be a Keras model, the path"),
        (lambda: ("student", plain()), "`student` must be a Keras model"),
        (lambda: (keras.Sequential([keras.layers.Dense(3)]), plain()), "is not built"),
        (lambda: (plain(), keras.Sequential([keras.layers.Dense(3)])), "is not built"),
        (sharing, "share weights"),
        (lambda: (several_outputs(), plain()), "models of one output. Received: a model with 2"),
        (lambda: (plain(), several_outputs()), "models of one output. Received: a model with 2"),
        (
            lambda: (
                plain(),
                [plain(7), plain(8)],
                {"distillation_losses": [keras.distillation.FeatureDistillation()]},
            ),
            "need one teacher .* 2 teachers",
        ),
        (
            lambda: (plain(), plain(7), {"distillation_loss_weights": [1.0]}),
            "one weight for each of the 0",
        ),
        (
            lambda: (
                plain(),
                plain(7),
                {
                    "distillation_losses": [
                        keras.distillation.FeatureDistillation(teacher_layer_name="nowhere")
                    ]
                },
            ),
            "In teacher model: .*nowhere",
        ),
    ],
)
def test_bad_input(make, words):
    student, teacher, *rest = make()
    with pytest.raises((ValueError, TypeError), match=words):
        kt.trainers.DistillationTrainer(student, teacher, **(rest[0] if rest else {}))


def test_class_counts_differ_where_they_show_only_in_training():
    inputs = keras.Input((None, 10))
    student = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    teacher = keras.Model(inputs, keras.layers.Dense(4)(inputs))
    trainer = kt.trainers.DistillationTrainer(student, teacher, alpha=1.0)
    trainer.compile("sgd")
    with pytest.raises(ValueError, match=r"of \(4,\) classes.*of \(3,\) classes"):
        trainer.fit(X.reshape(32, 10, 10), verbose=0)


def test_a_softmax_is_found_without_trying_the_model():
    inputs = keras.Input((None, 10))
    student = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    teacher = keras.Sequential([inputs, keras.layers.Dense(3), keras.layers.Softmax()])
    with pytest.raises(ValueError, match="gives probabilities, not logits"):
        kt.trainers.DistillationTrainer(student, teacher)


def test_hard_labels_need_a_loss():
    for arguments in ({"alpha": 0.9}, {"alpha": 1.0, "end": 5}):
        trainer = kt.trainers.DistillationTrainer(plain(), plain(7), **arguments)
        with pytest.raises(ValueError, match="`loss` must be given"):
            trainer.compile("sgd")


def test_data_and_teacher_must_fit_each_other():
    logits = {"labels": Y, "teacher_logits": np.zeros((320, 3))}
    trainer = kt.trainers.DistillationTrainer(plain())
    trainer.compile("sgd", LOSS)
    with pytest.raises(ValueError, match="the data must bring the teacher's logits"):
        trainer.fit(X, Y, verbose=0)
    trainer.fit(X, logits, validation_data=(X, Y), verbose=0)
    both = kt.trainers.DistillationTrainer(plain(), plain(7))
    both.compile("sgd", LOSS)
    with pytest.raises(ValueError, match="there is a teacher too"):
        both.fit(X, logits, verbose=0)
