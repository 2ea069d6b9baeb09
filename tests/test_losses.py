"""The soft-label loss against float64 NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_tickets as kt


def log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def oracle(teacher, student, temperature):
    """KL of each example, times T², in float64."""
    p, q = (log_softmax(np.float64(logits) / temperature) for logits in (teacher, student))
    return temperature**2 * (np.exp(p) * (p - q)).sum(-1)


def pair(scale, classes=10, batch=32, seed=0, apart=None):
    rng = np.random.default_rng(seed)
    teacher = (scale * rng.normal(size=(batch, classes))).astype("float32")
    noise = rng.normal(size=(batch, classes))
    return teacher, np.float32(scale * noise if apart is None else teacher + apart * noise)


@pytest.mark.parametrize("scale", [1, 10, 100, 400])
@pytest.mark.parametrize("temperature", [1.0, 4.0, 5, 20.0])
@pytest.mark.parametrize("classes", [10, 1000])
def test_equals_float64(scale, temperature, classes):
    teacher, student = pair(scale, classes)
    each = oracle(teacher, student, temperature)
    assert each.min() > 0
    for reduction, expected in (("batchmean", each.mean()), ("mean", each.mean() / classes)):
        loss = kt.losses.SoftLabels(temperature, reduction).compute_loss(teacher, student)
        assert loss.dtype == tf.float32
        assert float(loss) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("scale, apart", [(1, 1e-1), (1, 1e-3), (10, 1e-2), (100, 1.0)])
def test_equals_float64_where_student_and_teacher_nearly_agree(scale, apart):
    teacher, student = pair(scale, 100, apart=apart)
    loss = kt.losses.SoftLabels(20.0).compute_loss(teacher, student)
    assert float(loss) == pytest.approx(oracle(teacher, student, 20.0).mean(), rel=1e-6)


def test_is_zero_at_the_teacher_and_ignores_shifts():
    teacher, student = pair(10)
    loss = kt.losses.SoftLabels(3.0)
    assert float(loss.compute_loss(teacher, teacher)) == 0.0
    shifted = loss.compute_loss(teacher + 128, student - 64)
    assert float(shifted) == pytest.approx(float(loss.compute_loss(teacher, student)), rel=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("scale", [1, 100, 400])
def test_gradient_is_that_of_the_definition(scale, jit_compile):
    """T² · (softmax(s / T) - softmax(t / T)) / (T · batch)."""
    teacher, student = pair(scale)

    @tf.function(jit_compile=jit_compile)
    def gradients(teacher, student):
        with tf.GradientTape() as tape:
            tape.watch((teacher, student))
            loss = kt.losses.SoftLabels(4.0).compute_loss(teacher, student)
        return tape.gradient(loss, (teacher, student))

    of_teacher, of_student = gradients(tf.constant(teacher), tf.constant(student))
    p, q = (np.exp(log_softmax(np.float64(logits) / 4)) for logits in (teacher, student))
    assert of_teacher is None
    np.testing.assert_allclose(of_student, 4 * (q - p) / len(p), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("scale", [1, 10, 100, 400])
def test_half_precision_logits_are_only_rounded_once(scale, dtype):
    teacher, student = (tf.cast(logits, dtype) for logits in pair(scale))
    loss = kt.losses.SoftLabels(4.0).compute_loss(teacher, student)
    exact = oracle(np.float64(teacher), np.float64(student), 4.0).mean()
    assert loss.dtype == tf.float32
    assert float(loss) == pytest.approx(exact, rel=1e-6)


def test_agrees_with_kerass_divergence_of_the_softmaxes():
    teacher, student = pair(1)
    p, q = (keras.ops.softmax(logits / 4.0) for logits in (teacher, student))
    expected = 16 * float(keras.losses.KLDivergence()(p, q))
    loss = float(kt.losses.SoftLabels(4.0).compute_loss(teacher, student))
    assert loss == pytest.approx(expected, rel=1e-4)
    keras_default = keras.distillation.LogitsDistillation(4.0).compute_loss(teacher, student)
    assert float(keras_default) != pytest.approx(expected, rel=0.1)


def test_weights_and_positions():
    teacher, student = (logits.reshape(8, 4, 10) for logits in pair(3))
    each = oracle(teacher, student, 2.0)
    weights = np.random.default_rng(1).random(8)
    loss = kt.losses.SoftLabels(2.0)
    assert float(loss.compute_loss(teacher, student)) == pytest.approx(each.mean(), rel=1e-6)
    weighted = loss.compute_loss(teacher, student, sample_weight=weights)
    assert float(weighted) == pytest.approx((each * weights[:, None]).mean(), rel=1e-6)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf"), True, "4", None])
def test_bad_temperature(temperature):
    with pytest.raises(
        (TypeError, ValueError), match="`temperature` must be a positive finite number"
    ):
        kt.losses.SoftLabels(temperature)


def test_bad_reduction():
    with pytest.raises(ValueError, match="`reduction` must be one of .*batchmean.*'sum'"):
        kt.losses.SoftLabels(reduction="sum")


@pytest.mark.parametrize(
    "teacher, student, words",
    [
        ((4, 10), (4, 12), r"teacher \(4, 10\).*student \(4, 12\)"),
        ((4, 7, 10), (4, 10), r"teacher \(4, 7, 10\).*student \(4, 10\)"),
        ((4, 1), (4, 1), r"two classes or more.*\(4, 1\)"),
        ((4,), (4,), r"two classes or more.*\(4,\)"),
    ],
)
def test_shapes_that_do_not_fit(teacher, student, words):
    with pytest.raises(ValueError, match=words):
        kt.losses.SoftLabels().compute_loss(np.zeros(teacher), np.zeros(student))


def test_serializes():
    loss = kt.losses.SoftLabels(3.0, "mean")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert isinstance(again, kt.losses.SoftLabels)
    assert again.get_config() == {"temperature": 3.0, "reduction": "mean"}


def test_smoothed_labels_are_those_of_keras_with_one_hot_targets():
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 5, (6, 2)), rng.normal(size=(6, 2, 5)).astype("float32")
    known = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)
    loss = kt.losses.SmoothedLabels(0.2)
    want = known(np.eye(5)[labels], logits)
    np.testing.assert_allclose(loss(labels, logits), want, rtol=1e-5)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    np.testing.assert_allclose(again(labels, logits), want, rtol=1e-5)
    with pytest.raises(ValueError, match="label_smoothing=1"):
        kt.losses.SmoothedLabels(1)
