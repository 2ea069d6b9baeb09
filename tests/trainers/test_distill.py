"""`DistillationTrainer`: its loss and gradients, and the optimizers that it takes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from distillation import (
    LOSS,
    RNG,
    X,
    Y,
    cross_entropy,
    dataset,
    divergence,
    network,
    plain,
    rigl,
    soft,
    trained,
)
from slow_cases import slow_unless

import keras_tickets as kt


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
        kernels = [student.get_layer(name).layer.kernel.numpy() for name in ("fc1", "head")]
        l2 = 0.1 * sum(np.square(kernel).sum() for kernel in kernels)
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
    kernel, mask = student.get_layer("head").layer.kernel, student.masks["head/kernel"]
    hidden = np.tanh(
        X[:32] @ np.float64(student.get_layer("fc1").layer.kernel)
        + student.get_layer("fc1").layer.bias
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
    """A sparse teacher of the same kernel names must not add its own."""
    student, teacher = kt.sparsify(plain(), 0.5), kt.sparsify(plain(seed=7), 0.8)
    trainer = kt.trainers.DistillationTrainer(student, teacher, alpha=1.0)
    trainer.compile(rigl())
    _, _, _, dense = trainer._differentiate(tf.constant(X), None, None)
    paths = {id(variable): path for path, variable in kt.weight_paths(student).items()}
    found = zip(trainer.trainable_weights, dense, strict=True)
    dense = {paths[id(weight)]: value for weight, value in found if value is not None}
    assert set(dense) == set(student.masks)

    outputs = student(X).numpy()
    error = 4.0 * (soft(outputs, 4.0) - soft(teacher(X).numpy(), 4.0)) / len(X)
    hidden = student.get_layer("fc1")(X)
    np.testing.assert_allclose(dense["head/kernel"], np.float64(hidden).T @ error, atol=1e-6)
    assert (dense["head/kernel"].numpy()[~student.masks["head/kernel"]] != 0).all()


@pytest.mark.parametrize(
    "options",
    slow_unless(
        lambda options: "steps_per_execution" in options,
        [{}, {"jit_compile": True}, {"steps_per_execution": 4}],
    ),
)
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
    traces, forward = [], trainer.forward
    trainer.forward = lambda x: (traces.append(1), forward(x))[1]
    trainer.compile(rigl(), LOSS, steps_per_execution=4)
    trainer.fit(dataset(4), verbose=0)
    first = len(traces)
    with pytest.warns(UserWarning, match="Distillation ends at step 2"):
        trainer.fit(dataset(30), epochs=3, verbose=0)
    assert len(traces) == first


@pytest.mark.slow
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


@pytest.mark.parametrize("loss", ["mse", keras.losses.MeanSquaredError()])
def test_feature_distillation_as_keras_has_it(loss):
    student, teacher = kt.sparsify(plain(), 0.5), plain(7)
    features = keras.distillation.FeatureDistillation(
        loss, teacher_layer_name="fc1", student_layer_name="fc1"
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
    apart = np.square(student.get_layer("fc1")(X) - teacher.get_layer("fc1")(X)).mean()
    expected = 0.5 * cross_entropy(Y, outputs).mean()
    expected += 0.5 * (divergence(taught, outputs, 4.0).mean() + 2.0 * apart)
    logs = trainer.train_on_batch(X, Y, return_dict=True)
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)
    assert logs["accuracy"] == pytest.approx((outputs.argmax(1) == Y).mean())


def test_the_student_runs_once_a_step_with_features_too():
    student = kt.sparsify(network(), 0.5)
    features = keras.distillation.FeatureDistillation(
        teacher_layer_name="fc1", student_layer_name="fc1"
    )
    trainer = kt.trainers.DistillationTrainer(student, network(7), distillation_losses=[features])
    trainer.compile(keras.optimizers.SGD(0.0), LOSS)
    trainer.train_on_batch(X, Y)
    mean = np.float64(student.get_layer("fc1")(X)).mean(0)
    np.testing.assert_allclose(student.get_layer("norm1").moving_mean, 0.01 * mean, rtol=1e-4)
