import collections
import inspect
import json
import pathlib
import re

import keras
import numpy as np
import pytest
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets import models


def kernel_count(model):
    return sum(int(np.prod(w.shape)) for w in model.weights if w.name == "kernel")


PUBLISHED_WEIGHTS = {
    "lenet_300_100": 266_200,
    "conv2": 38_592 + 64 * 16 * 16 * 256 + 256 * 256 + 2560,
    "conv4": 259_776 + 128 * 8 * 8 * 256 + 256 * 256 + 2560,
    "conv6": 1_144_512 + 256 * 4 * 4 * 256 + 256 * 256 + 2560,
    "resnet20": 270_896,
    "resnet32": 464_432,
    "resnet44": 657_968,
    "resnet56": 851_504,
    "resnet110": 1_722_416,
    "resnet83_bottleneck": 856_496,
    "resnet164_bottleneck": 1_679_024,
    "resnet50": 25_502_912,
    "mobilenet_v1": 4_209_088,
    "mobilenet_v2": 3_469_760,
    "squeezenet": 1_244_448,
    "inception_v3": 23_799_136,
    "wrn22_2": 1_076_912,
    "char_gru": 1_146_880,
    "vgg11": 9_222_848,
    "vgg13": 9_407_168,
    "vgg16": 14_715_584,
    "vgg19": 20_024_000,
}
# The dense layers that VGG's names count are one here.
DEPTHS = {f"vgg{depth}": depth - 2 for depth in (11, 13, 16, 19)}
ONE_OF_EACH_KIND = ("lenet_300_100", "conv2", "conv6", "resnet20", "resnet83_bottleneck", "vgg11")
SMALL = ("lenet_300_100", "conv2", "conv6", "resnet20", "vgg11")
FOR_IMAGENET = ("resnet50", "mobilenet_v1", "mobilenet_v2", "squeezenet", "inception_v3")
baselines = {"big_sparse", "small_dense"}


def test_every_network_has_a_published_count():
    assert set(models.__all__) == PUBLISHED_WEIGHTS.keys() | baselines


IMAGE_NETWORKS = [name for name in PUBLISHED_WEIGHTS if name != "char_gru"]


@pytest.mark.parametrize("name", slow_unless(lambda name: name in SMALL, IMAGE_NETWORKS))
def test_published_weight_counts_and_names(name):
    model = getattr(models, name)()
    assert kernel_count(model) == PUBLISHED_WEIGHTS[name]
    assert model.name == name
    assert model.output_shape == (None, 1000 if name in FOR_IMAGENET else 10)
    if name != "squeezenet":  # as published, its logits are a mean of what ReLU gives
        assert model.layers[-1].activation is keras.activations.linear
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names)
    paths = [row.path for row in kt.plan(model, 0.0).rows]
    assert paths[0] in ("fc1/kernel", "conv1/kernel") and paths[-1] == "logits/kernel"
    if name in ("squeezenet", "inception_v3"):
        return
    digits = name.removesuffix("_bottleneck").removeprefix("resnet").removeprefix("vgg")
    if digits.isdigit():
        assert sum("shortcut" not in path for path in paths) == DEPTHS.get(name, int(digits))


def test_resnet50_has_the_kernels_and_products_of_the_published_one():
    vectors = json.loads((pathlib.Path(__file__).parent / "data/erk_vectors.json").read_text())
    published = next(vector for vector in vectors if vector["arch"] == "resnet50_imagenet")
    model = models.resnet50()
    shapes = [tuple(row.shape) for row in kt.plan(model, 0.0).rows]
    want = [tuple(layer["shape"]) for layer in published["layers"]]
    assert collections.Counter(shapes) == collections.Counter(want)
    kernels = [layer.kernel.shape for layer in model.layers if hasattr(layer, "kernel")]
    outputs = [
        int(np.prod(layer.output.shape[1:])) for layer in model.layers if hasattr(layer, "kernel")
    ]
    products = [
        int(np.prod(kernel[:-1])) * size for kernel, size in zip(kernels, outputs, strict=True)
    ]
    # The published counts give every kernel a bias and an activation.
    assert 2 * sum(products) + sum(outputs) == published["dense_inference_flops"]


def nonzeros_of(arch, sparsity, unmasked):
    """The published non-zero weights of each masked kernel, by shape."""
    vectors = json.loads((pathlib.Path(__file__).parent / "data/erk_vectors.json").read_text())
    (vector,) = (
        one
        for one in vectors
        if one["arch"] == arch
        and one["distribution"] == "erk"
        and (one["target_sparsity"], one["unmasked_layers"]) == (sparsity, unmasked)
    )
    masked = [layer for layer in vector["layers"] if layer["masked"]]
    return sorted((tuple(layer["shape"]), layer["nnz"]) for layer in masked)


@pytest.mark.parametrize(
    ("filters", "unmasked"), [("stage|logits", ["conv_1"]), (None, [])], ids=["code", "study"]
)
def test_wrn22_2_has_the_published_nonzeros(filters, unmasked):
    rows = kt.plan(models.wrn22_2(), 0.9, distribution="erk", filters=filters).rows
    want = nonzeros_of("wrn22_2_cifar10", 0.9, unmasked)
    assert sorted((tuple(row.shape), row.nonzeros) for row in rows) == want


@pytest.mark.slow
def test_resnet50_for_cifar_has_the_published_weights_and_operations():
    model = models.resnet50((32, 32, 3), 100, stem="cifar")
    assert kernel_count(model) == 23_652_032
    assert model.get_layer("conv1").strides == (1, 1)
    kernels = [layer for layer in model.layers if hasattr(layer, "kernel")]
    sizes = [int(np.prod(layer.output.shape[1:])) for layer in kernels]
    products = sum(
        int(np.prod(layer.kernel.shape[:-1])) * size
        for layer, size in zip(kernels, sizes, strict=True)
    )
    # The published counts give every kernel a bias and an activation.
    assert 2 * products + sum(sizes) == pytest.approx(2.5995e9, rel=1e-4)
    for sparsity, ratio in ((0.8, 0.3859), (0.9, 0.2258)):
        rows = kt.plan(model, sparsity, distribution="erk").rows
        left = {row.path.partition("/")[0]: 1 - row.sparsity for row in rows}
        sparse = sum(
            2 * int(np.prod(layer.kernel.shape[:-1])) * size * left[layer.name] + size
            for layer, size in zip(kernels, sizes, strict=True)
        )
        assert sparse / (2 * products + sum(sizes)) == pytest.approx(ratio, abs=2e-3)


def test_parameters_of_squeezenet_as_published():
    assert models.squeezenet().count_params() == 1_248_424  # "1.25 M"


@pytest.mark.slow
def test_weights_of_inception_v3_with_those_of_its_auxiliary_classifier():
    model = models.inception_v3()
    assert model.count_params() == keras.applications.InceptionV3(weights=None).count_params()
    # The 27.1 M of the papers have a classifier after the eighth block, in training alone: 1x1 to
    # 128 channels, 5x5 to 768, and 1000 units. Here and in Keras there are 23.8 M, without it.
    auxiliary = 768 * 128 + 25 * 128 * 768 + 768 * 1000
    assert round((kernel_count(model) + auxiliary) / 1e6, 1) == 27.1
    norms = [layer for layer in model.layers if layer.name.endswith("_norm")]
    assert len(norms) == 94 and {layer.momentum for layer in norms} == {0.9}
    assert {type(layer) for layer in norms} == {kt.layers.FusedBatchNormalization}


def test_the_character_model_reads_with_the_embeddings_that_it_writes_with():
    model = models.char_gru((20,), classes=30, width=0.1, seed=0)
    assert [row.path for row in kt.plan(model, 0.0).rows] == [
        "gru/gru_cell/kernel",
        "gru/gru_cell/recurrent_kernel",
        "readout1/kernel",
        "readout2/kernel",
    ]
    hidden = keras.Model(model.input, model.get_layer("readout2").output)
    x = np.arange(20)[None] % 30
    embeddings = model.get_layer("embedding").embeddings
    logits = hidden.predict(x, verbose=0) @ np.transpose(embeddings)
    np.testing.assert_allclose(model.predict(x, verbose=0), logits, atol=1e-5)
    again = models.char_gru((20,), classes=30, width=0.1, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(model.weights, again.weights, strict=True))
    with pytest.raises(ValueError, match=r"`input_shape` must be \(length,\)"):
        models.char_gru((20, 3))


@pytest.mark.slow
def test_the_character_model_has_the_published_size():
    assert sum(row.size for row in kt.plan(models.char_gru(), 0.0).rows) == 1_146_880


@pytest.mark.slow
def test_mobilenet_v1_has_the_sparsities_that_the_published_code_gives_it():
    plan = kt.plan(models.mobilenet_v1(), 0.9, distribution="erk", filters="pointwise|logits")
    published = [0, 0.237274, 0.492827, 0.620603, 0.747396, 0.810793, *5 * [0.873944]]
    published += [0.905519, 0.937033, 0.936340]
    assert [row.sparsity for row in plan.rows] == pytest.approx(published, abs=3e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "published"), [("mobilenet_v1", "MobileNet"), ("mobilenet_v2", "MobileNetV2")]
)
def test_mobilenets_have_the_kernels_of_those_in_keras_applications(name, published):
    theirs = getattr(keras.applications, published)(weights=None)

    def kernels(model):
        # Their output layer is a 1x1 convolution in version 1.
        kernels = [weight for weight in model.weights if weight.name == "kernel"]
        return collections.Counter(tuple(kernel.shape[-2:]) for kernel in kernels)

    assert kernels(getattr(models, name)()) == kernels(theirs)


def test_strided_convolutions_of_mobilenets_have_zeros_on_all_sides():
    model = models.mobilenet_v2((33, 33, 3), width=0.25)
    strided = [layer for layer in model.layers if getattr(layer, "strides", (1, 1)) == (2, 2)]
    assert len(strided) == 5
    for layer in strided:
        source = model.get_layer(f"{layer.name}_pad")
        assert layer.padding == "valid" and source.padding == ((1, 1), (1, 1))


@pytest.mark.parametrize(
    "name",
    slow_unless(
        lambda name: name in SMALL,
        (*ONE_OF_EACH_KIND, "mobilenet_v1", "mobilenet_v2", "wrn22_2"),
    ),
)
def test_weights_are_a_function_of_the_seed(name):
    def build(seed=None):
        return getattr(models, name)((16, 16, 1), 3, width=0.2, seed=seed)

    keras.utils.set_random_seed(1)
    first = build(5).weights
    keras.utils.set_random_seed(2)
    again, other = build(5).weights, build(6).weights
    assert [w.path for w in first] == [w.path for w in again]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert build()(np.zeros((2, 16, 16, 1))).shape == (2, 3)


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize(
    "name",
    slow_unless(
        lambda name: name in ("resnet20", "vgg11"),
        ["resnet20", "resnet83_bottleneck", "resnet50", "vgg11", "mobilenet_v2"],
    ),
)
def test_scales_of_batch_normalization_as_asked(name, seed):
    uniform = keras.initializers.RandomUniform(0, 1)
    shape = (32, 32, 3)
    model = getattr(models, name)(shape, 4, width=0.5, gamma_initializer=uniform, seed=seed)
    gammas = [w.numpy() for w in model.weights if w.name == "gamma"]
    values = np.concatenate(gammas)
    assert values.min() >= 0 and values.max() <= 1 and 0.4 < values.mean() < 0.6
    assert len({gamma.tobytes() for gamma in gammas}) == len(gammas)
    plain = [w.numpy() for w in getattr(models, name)(width=0.1).weights if w.name == "gamma"]
    assert all((gamma == 1).all() for gamma in plain)


def test_kernel_initializers_by_name_and_by_object():
    for initializer in ("glorot_normal", keras.initializers.GlorotNormal()):
        model = models.lenet_300_100(kernel_initializer=initializer, seed=1)
        deviation = model.get_layer("fc1").kernel.numpy().std()
        assert deviation == pytest.approx(np.sqrt(2 / (784 + 300)), rel=0.02)
    small = models.vgg11(width=0.5, kernel_initializer=keras.initializers.RandomNormal(stddev=0.3))
    assert small.get_layer("conv8").kernel.numpy().std() == pytest.approx(0.3, rel=0.02)


def test_layers_of_one_shape_start_differently():
    weights = {w.path: w for w in models.resnet20(seed=0).weights}
    a = weights["stage1_block1_conv1/kernel"].numpy()
    b = weights["stage1_block1_conv2/kernel"].numpy()
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.1
    assert a.std() == pytest.approx(np.sqrt(2 / (9 * 16)), rel=0.05)


def test_resnet20_with_and_without_fused_batch_norm_agree():
    x = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype("float32")
    fused = models.resnet20((16, 16, 3), seed=0, width=0.25)
    plain = models.resnet20((16, 16, 3), seed=0, width=0.25, fused_batch_norm=False)
    np.testing.assert_allclose(fused(x, training=True), plain(x, training=True), atol=2e-4)
    for a, b in zip(fused.weights, plain.weights, strict=True):
        assert a.path == b.path
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: models.conv6((4, 4, 3)),
            r"sides of at least 8. Received: .*=\(4, 4, 3\)",
        ),
        (lambda: models.conv2((8, 8)), "input_shape"),
        (lambda: models.resnet20((8, 8)), "input_shape"),
        (
            lambda: models.vgg16((8, 32, 3)),
            r"vgg16 must .* at least 16. Received: .*=\(8, 32, 3",
        ),
        (lambda: models.vgg11((32, 32)), "input_shape"),
        (lambda: models.resnet50((224, 224)), "input_shape"),
        (lambda: models.resnet164_bottleneck((32, 32)), "input_shape"),
        (lambda: models.mobilenet_v1((32, 32)), "input_shape"),
        (lambda: models.resnet50(stem="cifar10"), "`stem` must be one of .*stem='cifar10'"),
        (lambda: models.wrn22_2((32, 32)), "input_shape"),
        (lambda: models.squeezenet((28, 28, 3)), "squeezenet must .* at least 29"),
        (lambda: models.squeezenet(dropout=1), "`dropout` must be"),
        (lambda: models.inception_v3((74, 80, 3)), "inception_v3 must .* at least 75"),
        (lambda: models.mobilenet_v2(width=0), "`width` must be a positive finite number.*width=0"),
        (lambda: models.vgg19(width=-1), "`width` must be a positive finite number.*width=-1"),
        (lambda: models.resnet56(seed=-1), "`seed` must be"),
        (lambda: models.resnet20(width=0), "`width` must be a positive finite number.*width=0"),
        (lambda: models.lenet_300_100(seed=-1), "`seed` must be"),
        (lambda: models.lenet_300_100(seed=1.5), "`seed` must be"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def weights(model):
    return sum(row.size for row in kt.plan(model, 0.0).rows)


@pytest.mark.parametrize(
    "name",
    slow_unless(lambda name: name == "lenet_300_100", ["lenet_300_100", "conv2", "resnet20"]),
)
def test_baselines_of_equal_cost(name):
    make, shape = getattr(models, name), (16, 16, 3)
    full = weights(make(shape))
    small = models.small_dense(make, 0.9, input_shape=shape, classes=10, seed=1)
    big = models.big_sparse(make, 0.75, input_shape=shape, classes=10, seed=1)
    assert 0.08 * full < weights(small) <= 0.1 * full
    assert 0.97 * full < weights(big) / 4 <= full
    assert weights(models.small_dense(make, 0.0, input_shape=shape)) == full


def test_a_budget_that_no_width_meets_is_refused():
    with pytest.raises(ValueError, match="narrowest network has"):
        models.small_dense(models.lenet_300_100, 0.999, input_shape=(8, 8, 1))


@pytest.mark.parametrize("name", models.__all__)
def test_documentation_names_all_arguments(name):
    make = getattr(models, name)
    text = inspect.getdoc(make)
    assert make.__name__ == name and make.__module__.startswith("keras_tickets.models.")
    arguments = re.search(r"^Args:\n(.*?)^Returns:", text, re.DOTALL | re.MULTILINE)[1]
    named = re.findall(r"^    \**(\w+):", arguments, re.MULTILINE)
    assert named == list(inspect.signature(make).parameters)
    assert max(map(len, text.splitlines())) <= 100
