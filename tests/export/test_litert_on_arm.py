"""Which operators of LiteRT files are said to run sparse on ARM, and what is said of the others."""

import re

import convolutional_networks as networks
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_tickets as kt
from keras_tickets.export.litert_graph import LitertGraph
from keras_tickets.export.litert_on_arm import keep_dense_on_arm, operators_on_arm
from keras_tickets.export.litert_weights import encode


def converted(model, sparsity=0.9, int8=False, **options):
    """A LiteRT file; `sparsity` is that of each 1x1 convolution."""
    return encode(without_many_weights(model, sparsity, **options), int8=int8)[0]


def without_many_weights(model, sparsity=0.9, **options):
    """The file before its kernels are stored sparsely."""
    pattern = f"({'|'.join(_pointwise(model))})/kernel"
    sparse = kt.sparsify(model, sparsity, filters=pattern, distribution="uniform")
    converter = tf.lite.TFLiteConverter.from_keras_model(kt.strip(sparse))
    for name, value in options.items():
        setattr(converter, name, value)
    return converter.convert()


def _pointwise(model):
    return [each.name for each in model.layers if getattr(each, "kernel_size", 0) == (1, 1)]


def layer(operator):
    """The name of its layer; the converter may have appended a number."""
    return re.sub(r"_\d+$", "", operator.name)


def reasons(content):
    """Why each operator does not run sparse, by its layer."""
    return {layer(each): each.reason for each in operators_on_arm(content)}


def sparse_names(content):
    return {layer(each) for each in operators_on_arm(content) if each.sparse}


def convolutions(model):
    return {each.name for each in model.layers if isinstance(each, layers.Conv2D)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2"])
def test_all_operators_of_a_mobilenet_run_sparse(tmp_path, name):
    dense = getattr(kt.models, name)((32, 32, 3), 10, width=0.25, fused_batch_norm=False)
    report = kt.export(kt.sparsify(dense, 0.9), tmp_path / "m.tflite", format="litert")
    sparse = [each.name for each in report.on_arm if each.sparse]
    assert convolutions(dense) <= set(sparse)
    others = [each for each in report.on_arm if not each.sparse]
    assert [each.kind for each in others] == ["FULLY_CONNECTED"]
    count = sum("CONV_2D" == each.kind for each in report.on_arm)
    assert f"XNNPACK computes {count} convolutions without their zeros" in report.note
    assert f"{len(sparse)} of {len(report.on_arm)} operators run sparse on ARM" in str(report)


@pytest.mark.parametrize("wrapped", [True, False])
def test_kernels_and_operators_have_the_names_of_their_layers(tmp_path, wrapped):
    """Also of layers that Keras has numbered, and of one that is called twice."""
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(3, 1, name="conv2d")(inputs)
    x = layers.Conv2D(3, 1, name="conv2d_1")(layers.ReLU(name="conv2d_2")(x))
    x = layers.Dense(8, "relu", name="on_images")(x)
    shared = layers.Dense(8, name="dense_1")
    x = shared(shared(layers.GlobalAveragePooling2D()(x)))
    model = keras.Model(inputs, layers.Dense(2, name="dense")(x))
    if wrapped:
        model = kt.sparsify(model, 0.5)
    report = kt.export(model, tmp_path / "m.tflite", format="litert")
    names = ["conv2d", "conv2d_1", "on_images", "dense_1", "dense"]
    assert sorted(each.name for each in report.kernels) == sorted(names)
    assert [each.name for each in report.on_arm if each.kind == "CONV_2D"] == names[:2]


def with_stem(**options):
    inputs = networks.image()
    return networks.ended(inputs, networks.depthwise(networks.stem(inputs, **options)))


def with_depthwise(**options):
    inputs = networks.image()
    x = networks.depthwise(networks.stem(inputs), **options)
    return networks.ended(inputs, networks.pointwise(x))


def gray():
    inputs = keras.Input((32, 32, 1))
    return networks.ended(inputs, networks.pointwise(networks.stem(inputs)))


def without_stem():
    inputs = networks.image()
    return networks.ended(inputs, networks.pointwise(inputs))


# Each network, the operator that is to blame, and the way out that is named.
BROKEN = {
    "same": (lambda: with_depthwise(same=True), "depthwise", r"ZeroPadding2D\(1\).*valid"),
    "same_first": (
        lambda: with_stem(padding=((0, 1), (0, 1))),
        "stem",
        r"ZeroPadding2D\(1\)",  # the converter makes "same" of it
    ),
    "wide_padding": (lambda: with_stem(padding=2), "stem", r"\(2, 2, 2, 2\)"),
    "no_stride_first": (lambda: with_stem(strides=1), "stem", "strides=2"),
    "large_first": (lambda: with_stem(size=7, padding=3), "stem", "7x7 .*only 1x1"),
    "gray": (gray, "stem", "1 channels.*only one on 3 channels"),
    "multiplier": (lambda: with_depthwise(depth_multiplier=2), "depthwise", "depth_multiplier=1"),
    "depthwise_7x7": (lambda: with_depthwise(size=7), "depthwise", "7x7 .*: 3x3 or 5x5"),
    "pooled": (
        lambda: networks.between(layers.MaxPooling2D(2, name="pool")),
        "pool",
        "depthwise convolution with stride 2 instead",
    ),
    "strided": (
        lambda: networks.between(layers.Conv2D(8, 1, 2, name="strided")),
        "strided",
        "give the stride to a depthwise",
    ),
    "dense_3x3": (
        lambda: networks.between(layers.Conv2D(8, 3, padding="same", name="square")),
        "square",
        "3x3 convolution on 64 channels.*a depthwise and a 1x1",
    ),
    "concatenated": (networks.concatenated, "both", "Add instead"),
    "odd": (lambda: networks.conforming(31), "stem", "odd height or width, 31x31.*even ones"),
    "mean_over_height": (networks.mean_over_height, "", "GlobalAveragePooling2D"),
    "kept_axes": (networks.kept_axes, "last", r"keepdims=False\), and Dense"),
    "classified": (networks.classified_by_convolution, "last", "Reshape have no sparse form"),
    "depth_to_space": (
        lambda: networks.between(networks.DepthToSpace()),
        "last",
        "behind which nothing runs sparse: .*UpSampling2D",
    ),
}


@pytest.mark.parametrize(
    "name", [pytest.param(key, marks=[] if key == "same" else pytest.mark.slow) for key in BROKEN]
)
def test_the_operator_to_blame_is_named_with_the_way_out(name):
    make, blamed, way_out = BROKEN[name]
    content = converted(make())
    found = [each for each in operators_on_arm(content) if blamed in each.name]
    assert found and not any(each.sparse for each in found)
    assert any(re.search(way_out, each.reason) for each in found), found
    assert "last" not in sparse_names(content)


@pytest.mark.slow
@pytest.mark.parametrize("make", [networks.conforming, networks.squeeze_and_excite])
def test_networks_that_conform(make):
    model = make()
    content = converted(model)
    assert convolutions(model) <= sparse_names(content)
    kinds = {each.kind for each in operators_on_arm(content) if not each.sparse}
    assert kinds == {"FULLY_CONNECTED"}


@pytest.mark.slow
def test_more_than_two_thirds_of_zeros_in_all_1x1_convolutions_together():
    few = converted(networks.conforming(), 0.66)
    assert not sparse_names(few)
    assert "66.0% of the weights" in reasons(few)["depthwise"]
    assert sparse_names(converted(networks.conforming(), 0.67))


@pytest.mark.slow
def test_a_file_without_sparse_storage_does_not_run_sparse():
    model = networks.conforming()
    for layer in model.layers:
        if getattr(layer, "kernel_size", 0) == (1, 1):
            layer.kernel.assign(np.zeros(layer.kernel.shape))
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    assert "stored sparsely" in reasons(content)["pointwise"]
    assert sparse_names(encode(content, int8=False)[0])


@pytest.mark.slow
def test_int8_kernels_do_not_run_sparse():
    content = converted(networks.conforming(), int8=True)
    assert not sparse_names(content)
    assert "without quantize" in reasons(content)["pointwise"]


@pytest.mark.slow
def test_integer_arithmetic_does_not_run_sparse():
    def images():
        yield [np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype("float32")]

    content = converted(
        networks.conforming(),
        optimizations=[tf.lite.Optimize.DEFAULT],
        representative_dataset=images,
    )
    assert not sparse_names(content)
    assert "another dtype than float32" in reasons(content)["pointwise"]


@pytest.mark.slow
def test_values_that_leave_other_than_through_a_mean():
    assert "Flatten" in str(reasons(converted(networks.flattened())))
    assert not sparse_names(converted(networks.flattened()))
    found = reasons(converted(networks.returned()))
    assert "the model returns what pointwise" in found["last"]


# Networks in which XNNPACK would let others misread what it computes sparse.
MISREAD = {
    "classified": networks.classified_by_convolution,
    "two_heads": networks.two_heads,
    "mean_over_height": networks.mean_over_height,
    "kept_axes": networks.kept_axes,
    "returned": networks.returned,
    "concatenated": networks.concatenated,
    "pooled": lambda: networks.between(layers.MaxPooling2D(2)),
    "grouped": lambda: networks.between(layers.Conv2D(64, 1, groups=4)),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(key, marks=[] if key == "two_heads" else pytest.mark.slow) for key in MISREAD],
)
def test_networks_that_would_be_misread_are_kept_dense(name):
    content = without_many_weights(MISREAD[name]())
    safe = keep_dense_on_arm(content)
    first = next(each for each in LitertGraph.of(safe).operators if each.kind == "CONV_2D")
    assert LitertGraph.of(safe).constants[first.inputs[1]].shape == (16, 3, 3, 4)
    assert not any(each.sparse for each in operators_on_arm(content, encode(safe, int8=False)[0]))
    for before, after in zip(outputs(content), outputs(safe), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4 * np.abs(before).max())


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        networks.conforming,
        networks.squeeze_and_excite,
        lambda: networks.between(networks.DepthToSpace()),
        networks.flattened,
        lambda: with_stem(strides=1),
        lambda: with_depthwise(same=True),
    ],
    ids=["conforming", "squeeze_excite", "depth_to_space", "no_mean", "no_first", "no_1x1"],
)
def test_networks_that_nobody_misreads_stay_as_they_are(make):
    content = without_many_weights(make())
    assert keep_dense_on_arm(content) is content


@pytest.mark.slow
def test_networks_without_many_zeros_stay_as_they_are():
    content = without_many_weights(networks.two_heads(), 0.66)
    assert keep_dense_on_arm(content) is content


def outputs(content):
    """What a file computes from random values."""
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (image,) = interpreter.get_input_details()
    values = np.random.default_rng(0).normal(size=image["shape"]).astype("float32")
    interpreter.set_tensor(image["index"], values)
    interpreter.invoke()
    return [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]


@pytest.mark.slow
def test_networks_without_convolutions_have_nothing_to_report():
    assert operators_on_arm(converted_mlp()) == ()


def converted_mlp():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(4)])
    return tf.lite.TFLiteConverter.from_keras_model(model).convert()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "blamed"),
    [
        ("MobileNet", {"alpha": 0.25}, "Conv1|conv1"),
        ("MobileNetV2", {"alpha": 0.35}, "Conv1"),
        ("MobileNetV3Small", {"minimalistic": False}, "[Cc]onv"),
        ("EfficientNetB0", {}, "stem_conv"),
        ("ResNet50", {}, "conv1_conv"),
    ],
)
def test_networks_of_keras_applications_do_not_conform(name, options, blamed):
    model = getattr(keras.applications, name)(
        input_shape=(64, 64, 3), weights=None, classes=10, **options
    )
    content = converted(model)
    found = operators_on_arm(content)
    assert found and not any(each.sparse for each in found)
    assert all(each.reason for each in found)
    assert any(re.search(blamed, each.name) for each in found)
