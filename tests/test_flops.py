import json
import pathlib
import re

import keras
import numpy as np
import pytest

import keras_tickets as kt
from keras_tickets._accounting.costs import Cost
from keras_tickets.flops import training_flops

layers = keras.layers
VECTORS = json.loads((pathlib.Path(__file__).parent / "data/erk_vectors.json").read_text())


def side(arch, name):
    """Side of the square of output positions of a kernel in the published architectures."""
    if arch == "resnet50_imagenet":
        group, block, conv = re.match(r"(?:group(\d)_block(\d)_(\w+))?", name).groups()
        before_stride = block == "0" and conv == "conv1" and group != "1"
        sides = {None: 112, "1": 56, "2": 28, "3": 14, "4": 7}
        return sides[group] * (2 if before_stride else 1)
    stage = re.match(r"(?:skip_)?conv_(\d)", name)
    return {"1": 32, "2": 32, "3": 16, "4": 8}[stage.group(1)]


def published_costs(vector):
    """The published counts give every kernel a bias and an activation."""
    for row in vector["layers"]:
        positions = side(vector["arch"], row["name"]) ** 2 if len(row["shape"]) == 4 else 1
        cost = Cost(positions, positions * row["shape"][-1], bias=True, activation=True)
        yield cost, row["params"], row["params"] * (1 - row["sparsity"])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['arch']}-{v['target_sparsity']}")
def test_published_vectors(vector):
    costs = list(published_costs(vector))
    dense = sum(cost.count(size) for cost, size, _ in costs)
    sparse = sum(cost.count(kept) for cost, _, kept in costs)
    assert dense == vector["dense_inference_flops"]
    assert sparse == pytest.approx(vector["inference_flops"], rel=1e-12)
    assert sparse / dense == pytest.approx(vector["inference_flops_ratio"], rel=1e-12)
    for update_every, key in ((None, "static"), (100, "rigl"), (0, "snfs")):
        suffix = "_dT100" if update_every else ""
        ratio = training_flops(sparse, dense, update_every) / (3 * dense)
        assert ratio == pytest.approx(vector[f"{key}_train_flops_ratio{suffix}"], rel=1e-12)


def build(layer, *shape):
    inputs = keras.Input(shape)
    return keras.Model(inputs, layer(inputs))


@pytest.mark.parametrize(
    ("layer", "shape", "weights", "positions", "outputs", "extra"),
    [
        (layers.Dense(4), (7,), 28, 1, 4, 1),
        (layers.Dense(4, use_bias=False), (7,), 28, 1, 4, 0),
        (layers.Dense(4, activation="relu"), (7,), 28, 1, 4, 2),
        (layers.Dense(4), (3, 7), 28, 3, 12, 1),
        (layers.TimeDistributed(layers.Dense(4)), (3, 7), 28, 3, 12, 1),
        (layers.Conv1D(5, 3), (8, 2), 30, 6, 30, 1),
        (layers.Conv2D(6, 3, 2, "same", groups=2), (8, 8, 4), 108, 16, 96, 1),
        (layers.Conv2D(6, 3, dilation_rate=2), (8, 8, 4), 216, 16, 96, 1),
        (layers.Conv3D(2, 2), (4, 4, 4, 3), 48, 27, 54, 1),
        (layers.Conv2DTranspose(5, 3, 2, "same"), (4, 4, 2), 90, 16, 8 * 8 * 5, 1),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), (8, 8, 3), 54, 36, 216, 1),
        (layers.EinsumDense("abc,cde->abde", (None, 4, 5)), (6, 3), 60, 6, 120, 0),
        (layers.EinsumDense("abc,bcd->abd", (6, 4), bias_axes="d"), (6, 3), 72, 1, 24, 1),
    ],
)
def test_one_kernel(layer, shape, weights, positions, outputs, extra):
    (row,) = kt.flops(build(layer, *shape)).rows
    products = weights * positions
    assert row.inference == products + (products - outputs) + extra * outputs
    assert np.prod(row.shape) == weights


@pytest.mark.parametrize(("layer", "gates"), [(layers.SimpleRNN, 1), (layers.LSTM, 4)])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_recurrent_layers_count_every_time_step(layer, gates, return_sequences):
    model = build(layer(5, return_sequences=return_sequences, use_bias=False), 6, 7)
    kernel, recurrent = kt.flops(model).rows
    outputs = 6 * 5 * gates
    assert kernel.inference == 2 * 6 * 7 * 5 * gates - outputs + outputs
    assert recurrent.inference == 2 * 6 * 5 * 5 * gates - outputs


@pytest.mark.parametrize("return_sequences", [False, True])
def test_convolutional_recurrence(return_sequences):
    layer = layers.ConvLSTM2D(5, 3, use_bias=False, return_sequences=return_sequences)
    kernel, recurrent = kt.flops(build(layer, 4, 8, 8, 2)).rows
    places, gated = 4 * 6 * 6, 4 * 5
    assert kernel.inference == 2 * places * 9 * 2 * gated
    assert recurrent.inference == 2 * places * 9 * 5 * gated - places * gated


def test_attention_and_separable_convolutions():
    inputs = keras.Input((6, 8))
    model = keras.Model(inputs, layers.MultiHeadAttention(2, 3, use_bias=False)(inputs, inputs))
    assert [row.inference for row in kt.flops(model).rows] == [
        6 * (2 * 8 * 6 - 6),
        6 * (2 * 8 * 6 - 6),
        6 * (2 * 8 * 6 - 6),
        6 * (2 * 6 * 8 - 8),
    ]
    model = build(layers.SeparableConv2D(4, 3, use_bias=False), 8, 8, 2)
    assert [row.inference for row in kt.flops(model).rows] == [
        36 * (2 * 9 * 2 - 2),
        36 * (2 * 2 * 4 - 4),
    ]


def test_shared_layers_count_every_call_and_frozen_ones_too():
    inputs = keras.Input((4,))
    shared = layers.Dense(4, use_bias=False, trainable=False)
    model = keras.Model(inputs, shared(shared(inputs)))
    assert [row.inference for row in kt.flops(model).rows] == [2 * (2 * 16 - 4)]


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv = layers.Conv2D(4, 3, use_bias=False)
        self.fc = layers.Dense(3, use_bias=False)

    def call(self, inputs):
        x = self.conv(inputs["image"] / 255.0)
        x = keras.ops.mean(x, axis=(1, 2)) + inputs["offset"]
        return self.fc(x)


def test_subclassed_model_with_a_dict_of_inputs():
    model = Net()
    model({"image": np.zeros((2, 8, 8, 1), "float32"), "offset": np.zeros((2, 4), "float32")})
    assert [row.inference for row in kt.flops(model).rows] == [
        36 * (2 * 9 * 4 - 4),
        2 * 12 - 3,
    ]
    assert all(not loss for loss in model.losses)


def test_open_sizes_need_an_input_shape():
    model = build(layers.Conv1D(4, 3, use_bias=False), None, 2)
    with pytest.raises(ValueError, match="kernel.*not known.*input_shape=None"):
        kt.flops(model)
    assert kt.flops(model, input_shape=(8, 2)).inference == 6 * (2 * 6 * 4 - 4)


def dense_model():
    return keras.Sequential(
        [keras.Input((16,)), layers.Dense(32, activation="relu"), layers.Dense(4)]
    )


def test_zeros_of_masks_are_left_out():
    model = kt.sparsify(dense_model(), 0.75, distribution="uniform")
    counted = kt.flops(model)
    assert [row.sparsity for row in counted.rows] == [0.75, 0.75]
    assert [row.inference for row in counted.rows] == [256 + 32, 64]
    assert counted.inference == 352
    assert counted.inference_ratio == 352 / (1024 + 32 + 256)
    assert counted.training_ratio == counted.inference_ratio


def test_training_takes_dense_gradients_from_the_optimizer():
    model = kt.sparsify(dense_model(), 0.75, distribution="uniform")
    dense, sparse = 1312, 352
    model.compile(kt.optimizers.RigL(keras.optimizers.SGD(0.1), update_every=10), loss="mse")
    assert kt.flops(model).training == (30 * sparse + 2 * sparse + dense) / 11
    model.compile(kt.optimizers.SET(keras.optimizers.SGD(0.1), update_every=10), loss="mse")
    assert kt.flops(model).training == 3 * sparse
    assert kt.flops(model, update_every=0).training == 2 * sparse + dense
    with pytest.raises(ValueError, match="update_every.*-1"):
        kt.flops(model, update_every=-1)


def left(size, sparsity):
    return size - int(np.floor(sparsity * size))


@pytest.mark.parametrize("regrow", [False, True])
def test_gradual_pruning_takes_the_mean_over_its_ramp(regrow):
    model = kt.sparsify(dense_model(), 0.75, distribution="uniform", mask="ones")
    optimizer = kt.optimizers.GradualMagnitude(
        "sgd", update_every=3, begin=2, end=10, regrow=regrow
    )
    model.compile(optimizer, loss="mse")
    assert kt.flops(model).training_ratio == 1
    model.fit(np.zeros((64, 16)), np.zeros((64, 4)), batch_size=4, verbose=0)
    assert int(optimizer.iterations) == 16
    forward, kept = [], [512, 128]
    for t in range(16):
        first, second = kept
        forward.append(2 * first + 32 + 2 * second)
        if t in (2, 5, 8, 10):
            sparsity = 0.75 * (1 - (1 - (t - 2) / 8) ** 3)
            kept = [left(512, sparsity), left(128, sparsity)]
    counted, dense = kt.flops(model), 1312
    assert counted.inference == forward[-1] == 352
    expected = 2 * np.mean(forward) + dense if regrow else 3 * np.mean(forward)
    assert counted.training == pytest.approx(expected, rel=1e-12)
    assert counted.training_ratio == pytest.approx(expected / (3 * dense), rel=1e-12)


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize("sparsity", [0.8, 0.9])
def test_a_cubic_ramp_against_its_integral(sparsity, scope):
    """Steps 10,000 to 25,000 of 32,000; the mean of 1 - (1 - p)³ is 3/4."""
    model = kt.sparsify(build(layers.Dense(100, use_bias=False), 2000), sparsity, mask="ones")
    calendar = {"update_every": 1, "begin": 10_000, "end": 25_000}
    optimizer = kt.optimizers.GradualMagnitude("sgd", scope=scope, **calendar)
    optimizer.set_total_steps(32_000)
    model.compile(optimizer, loss="mse")
    optimizer.build(model.trainable_variables)
    mean = (10 + 15 * (1 - 0.75 * sparsity) + 7 * (1 - sparsity)) / 32
    assert kt.flops(model).training_ratio == pytest.approx(mean, abs=2e-4)


def test_a_global_ramp_shares_its_zeros_as_the_masks_do():
    model = kt.sparsify(dense_model(), 0.75, distribution="uniform", mask="ones")
    optimizer = kt.optimizers.GradualMagnitude("sgd", update_every=4, end=8, scope="global")
    model.compile(optimizer, loss="mse")
    model.fit(np.zeros((64, 16)), np.zeros((64, 4)), batch_size=4, verbose=0)
    zeros = [int((~mask).sum()) for mask in model.masks.values()]
    assert sum(zeros) == 480 and zeros[0] != 384
    forward = []
    for t in range(16):
        updates = [u for u in (0, 4, 8) if u < t]
        sparsity = 0.75 * (1 - (1 - updates[-1] / 8) ** 3) if updates else 0.0
        pruned = 640 - left(640, sparsity)
        first, second = (n - pruned * z / 480 for n, z in zip((512, 128), zeros, strict=True))
        forward.append(2 * first + 32 + 2 * second)
    assert kt.flops(model).training == pytest.approx(3 * np.mean(forward), rel=1e-12)


def test_a_constant_straight_through_sparsity():
    model = kt.sparsify(dense_model(), 0.75, distribution="uniform", mask="ones")
    model.compile(kt.optimizers.DNW("sgd"), loss="mse")
    model.fit(np.zeros((64, 16)), np.zeros((64, 4)), batch_size=4, verbose=0)
    forward = (1312 + 15 * 352) / 16
    assert kt.flops(model).training == pytest.approx(2 * forward + 1312, rel=1e-12)


def test_a_model_without_kernels():
    counted = kt.flops(build(layers.Embedding(5, 3), 4))
    assert (counted.rows, counted.inference, counted.inference_ratio) == ([], 0, 1)


def test_prints_as_a_table():
    text = str(kt.flops(dense_model()))
    assert "16x32" in text and "1,056" in text and "inference: 1,312" in text
