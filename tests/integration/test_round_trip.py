"""Random graphs, from dense model to exported files: the same outputs at every stage."""

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from keras import layers
from method_recipes import METHODS

import keras_tickets as kt
from keras_tickets.compact import compact
from keras_tickets.export import litert_weights, measure, packed_weights
from keras_tickets.export._apart import run_litert, run_tf_saved_model

SIZE, BATCH, STEPS = 8, 6, 3


class Graph:
    """A functional model drawn layer by layer."""

    def __init__(self, draw):
        self.draw = draw
        self.images = [keras.Input((SIZE, SIZE, 2), name="image")]
        self.shared = []

    def pick(self, options):
        return self.draw(st.sampled_from(list(options)))

    def like(self, tensor):
        """A drawn image of the same height and width."""
        return self.pick(x for x in self.images if x.shape[1:3] == tensor.shape[1:3])

    def conv(self, x, filters, **options):
        layer = layers.Conv2D(
            filters,
            self.pick([1, 3]),
            padding="same",
            activation=self.pick(["relu", "tanh", None]),
            use_bias=self.draw(st.booleans()),
            **options,
        )
        self.shared.append((layer, x.shape[-1]))
        return layer(x)

    def add_image(self):
        x = self.pick(self.images)
        kind = self.pick(
            ["conv", "strided", "norm", "add", "concatenate", "pool", "shared", "nested"]
        )
        if kind == "conv":
            x = self.conv(x, self.draw(st.integers(3, 6)))
        elif kind == "strided":
            x = self.conv(x, self.draw(st.integers(3, 6)), strides=2)
        elif kind == "norm":
            x = layers.ReLU()(layers.BatchNormalization()(x))
        elif kind == "add":
            x = layers.Add()([x, self.conv(self.like(x), x.shape[-1])])
        elif kind == "concatenate":
            x = layers.Concatenate()([x, self.like(x)])
        elif kind == "pool":
            pool = self.pick([layers.MaxPooling2D, layers.AveragePooling2D])
            x = pool(2, padding="same")(x)
        elif kind == "shared" and self.shared:
            layer, channels = self.pick(self.shared)
            x = layer(x if x.shape[-1] == channels else self.conv(x, channels))
        else:
            inside = keras.Input(x.shape[1:])
            y = layers.BatchNormalization()(layers.Conv2D(4, 1, use_bias=False)(inside))
            x = keras.Model(inside, y)(x)
        self.images.append(x)

    def vector(self):
        reduce = self.pick([layers.Flatten, layers.GlobalAveragePooling2D])
        x = reduce()(self.images[-1])
        for _ in range(self.draw(st.integers(0, 2))):
            y = layers.Dense(self.draw(st.integers(4, 8)), self.pick(["relu", "tanh", None]))(x)
            x = self.pick([y, layers.Concatenate()([x, y]), layers.BatchNormalization()(y)])
        return x

    def model(self):
        for _ in range(self.draw(st.integers(2, 7))):
            self.add_image()
        outputs = [layers.Dense(3)(self.vector()) for _ in range(self.draw(st.integers(1, 2)))]
        return keras.Model(self.images[0], outputs)


def drawn_sparse_model(draw):
    model = Graph(draw).model()
    structure = draw(st.sampled_from([None, kt.structures.Channel()]))
    method = "Static" if structure else draw(st.sampled_from(["RigL", "SET", "Static"]))
    sparse = kt.sparsify(
        model,
        draw(st.sampled_from([0.3, 0.5])),
        distribution="uniform",
        structure=structure,
        mask=draw(st.sampled_from(["random", "magnitude"])),
        seed=draw(st.integers(0, 1000)),
    )
    inner = keras.optimizers.SGD(0.05, momentum=0.9)
    sparse.compile(METHODS[method].make(inner, update_every=2, end=100), "mse")
    return sparse


def outputs_of(model, images):
    return [y.numpy() for y in keras.tree.flatten(model(images, training=False))]


def assert_close(actual, expected):
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * max(np.abs(b).max(), 1))


def check_round_trip(draw, folder):
    sparse = drawn_sparse_model(draw)
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    images = random.normal(size=(BATCH * STEPS, SIZE, SIZE, 2)).astype("float32")
    targets = [random.normal(size=(len(images), 3)) for _ in sparse.outputs]
    before, plan = kt.strip(sparse), [row.nonzeros for row in sparse.plan.rows]
    assert_close(outputs_of(sparse, images), outputs_of(before, images))

    sparse.fit(images, targets, batch_size=BATCH, verbose=0)
    assert [row.nonzeros for row in sparse.plan.rows] == plan
    expected, masks = outputs_of(sparse, images), kt.get_masks(sparse)
    assert any(np.any(a != b) for a, b in zip(expected, outputs_of(before, images), strict=True))

    sparse.save(folder / "model.keras")
    loaded = keras.models.load_model(folder / "model.keras")
    assert_close(outputs_of(loaded, images), expected)
    assert list(kt.get_masks(loaded)) == list(masks)
    for path, mask in kt.get_masks(loaded).items():
        np.testing.assert_array_equal(mask, masks[path])

    plain = kt.strip(loaded)
    kernels = {row.path: row for row in kt.plan(plain, 0.0).rows}
    assert set(masks) <= set(kernels)
    assert_close(outputs_of(plain, images), expected)

    small = compact(loaded)
    assert small.count_params() <= plain.count_params()
    assert_close(outputs_of(small, images), expected)

    served = {}
    for name, (model, options) in exports(draw, loaded, small).items():
        report = kt.export(model, folder / name, **options)
        assert report.max_abs_difference <= 1e-4 * max(np.abs(y).max() for y in expected) + 1e-5
        prepare = run_litert if options["format"] == "litert" else run_tf_saved_model
        name_of_images = model.inputs[0].name
        outputs = prepare.prepare(str(folder / name), {name_of_images: images})()
        served[name] = [outputs[f"output_{index}"] for index in range(len(outputs))]
        assert_close(served[name], expected)
    for dense, packed in zip(served["dense"], served["packed"], strict=True):
        assert dense.tobytes() == packed.tobytes()


def exports(draw, sparse, small):
    """Models to export, and how."""
    plain = {"format": "tf_saved_model"}
    return {
        "dense": (sparse, plain),
        "packed": (sparse, {**plain, "packed": True}),
        "small": (small, {"format": draw(st.sampled_from(["tf_saved_model", "litert"]))}),
    }


@pytest.fixture(autouse=True)
def small_kernels_are_encoded_too_and_little_is_timed(monkeypatch):
    monkeypatch.setattr(packed_weights, "GRAPH_BYTES", 0)
    monkeypatch.setattr(litert_weights, "OPERATOR_BYTES", 0)
    monkeypatch.setattr(measure, "MAX_SECONDS", 0.0)


# An example takes seconds: failing ones are shown as they are, not made smaller.
OPTIONS = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "database": None,
    "phases": [Phase.generate],
}


@pytest.mark.filterwarnings("ignore:The sparsity falls short")
@settings(max_examples=1, derandomize=True, **OPTIONS)
@given(st.data())
def test_random_graphs_keep_their_outputs(tmp_path_factory, data):
    check_round_trip(data.draw, tmp_path_factory.mktemp("graph"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The sparsity falls short")
@settings(max_examples=100, **OPTIONS)
@given(st.data())
def test_more_random_graphs_keep_their_outputs(tmp_path_factory, data):
    check_round_trip(data.draw, tmp_path_factory.mktemp("graph"))
