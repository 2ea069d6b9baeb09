import warnings

import keras
import numpy as np
import pytest

import keras_tickets as kt

layers = keras.layers


def lenet():
    return keras.Sequential(
        [
            keras.Input((784,)),
            layers.Dense(300, activation="relu", name="layer1"),
            layers.Dense(100, activation="relu", name="layer2"),
            layers.BatchNormalization(name="bn"),
            layers.Dense(10, name="layer3"),
        ]
    )


def test_rows_of_a_published_network():
    plan = kt.plan(lenet(), 0.9)
    assert [(row.path, row.shape, row.nonzeros) for row in plan.rows] == [
        ("layer1/kernel", (784, 300), 18715),
        ("layer2/kernel", (300, 100), 6906),
        ("layer3/kernel", (100, 10), 1000),
    ]
    assert [row.sparsity for row in plan.rows] == pytest.approx([0.920432, 0.769811, 0], abs=1e-6)
    assert [row.flops for row in plan.rows] == [2 * 18715 + 300, 2 * 6906 + 100, 2000]
    assert plan.sparsity == pytest.approx(1 - 26621 / 266200)
    weights = 266200 + 410 + 4 * 100
    assert plan.weights == weights
    assert plan.sparsity_all_weights == pytest.approx((266200 - 26621) / weights)
    assert plan.skipped == [("bn", "no kernel: only vectors")]


def test_prints_as_a_table():
    text = str(kt.plan(lenet(), 0.9, filters="layer[12]"))
    header, *lines = text.splitlines()
    assert header.split() == ["kernel", "shape", "target", "actual", "nonzeros", "FLOPs"]
    assert any(line.split()[:2] == ["layer1/kernel", "784x300"] for line in lines)
    assert "over the masked kernels" in text
    assert "layer3/kernel" in text and "excluded by `filters`" in text
    assert repr(kt.plan(lenet(), 0.9, filters="layer[12]")) == text


def test_operations_of_all_layers_and_bytes_of_each_format_are_below_the_table():
    plan = kt.plan(lenet(), 0.9, filters="layer[12]")
    dense = 2 * 266200 + 400
    assert (plan.flops, plan.dense_flops) == (dense - 2 * (265200 - plan.nonzeros), dense)
    assert (plan.flops, plan.dense_flops) == tuple(
        kt.flops(model).inference
        for model in (kt.sparsify(lenet(), 0.9, filters="layer[12]"), lenet())
    )
    text = " ".join(str(plan).split())
    assert f"{plan.flops:,.0f} FLOPs in a forward pass for one sample, 0.1041 of" in text
    assert all(name in text for name in ("bit mask", "CSR", "CSC", "8-bit deltas"))
    assert "n of m" in str(kt.plan(lenet(), 0.5, structure=kt.structures.NM(2, 4)))


def test_operations_are_left_out_where_the_size_of_the_input_is_open():
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(4, 3)])
    plan = kt.plan(model, 0.5)
    assert plan.flops is None and "forward pass" not in str(plan)


def test_many_skipped_layers_are_summed_up():
    model = keras.Sequential([keras.Input((4,)), *(layers.BatchNormalization() for _ in range(9))])
    assert "and 4 more" in str(kt.plan(model, 0.5))


@pytest.mark.parametrize("distribution", ["uniform", "er", "erk", "global"])
def test_the_plan_is_what_sparsify_does(distribution):
    model = lenet()
    plan = kt.plan(model, 0.8, distribution=distribution)
    sparse = kt.sparsify(model, 0.8, distribution=distribution)
    made = kt.summary(sparse)
    assert made.rows == plan.rows
    assert made.weights == plan.weights
    assert made.skipped == plan.skipped
    assert {path: mask.sum() for path, mask in kt.get_masks(sparse).items()} == {
        row.path: row.nonzeros for row in plan.rows
    }


def test_summary_shows_what_is_there_now():
    sparse = kt.sparsify(lenet(), 0.9)
    kt.set_masks(sparse, {"layer3/kernel": np.zeros((100, 10), bool)})
    row = kt.summary(sparse).rows[2]
    assert (row.sparsity, row.nonzeros, row.actual, row.size) == (0.0, 0, 1.0, 1000)
    assert kt.summary(lenet()).rows == []
    assert kt.summary(lenet()).sparsity == 0


def test_kernels_left_dense_are_listed_with_the_reason():
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(4, 3, name="stem"), layers.Flatten()]
        + [layers.Dense(64, name="hidden"), layers.Dense(10, name="head")]
    )
    plan = kt.plan(model, 0.5, distribution="uniform")
    assert [row.path for row in plan.rows] == ["hidden/kernel", "head/kernel"]
    assert [path for path, _ in plan.skipped] == ["stem/kernel"]
    plan = kt.plan(model, {"hid": 0.75, "h": 0.5})
    assert [row.sparsity for row in plan.rows] == [0.75, 0.5]
    assert [path for path, _ in plan.skipped] == ["stem/kernel"]


def test_flops_are_left_open_where_the_size_of_the_input_is():
    inputs = keras.Input((None, 4))
    plan = kt.plan(keras.Model(inputs, layers.Conv1D(8, 3)(inputs)), 0.5)
    assert plan.rows[0].flops is None
    assert plan.rows[0].nonzeros == 48
    assert "?" in str(plan)


def test_warns_of_a_sparsity_that_falls_short():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(3)(inputs))
    with pytest.warns(UserWarning, match="0.9500 was asked for, 0.9167 is reached") as caught:
        kt.plan(model, 0.95)
    assert caught[0].filename == __file__
    convolution = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(8, 3, name="stem")])
    with pytest.warns(UserWarning, match=r"0.0000 is reached.*'stem/kernel'"):
        kt.plan(convolution, 0.5, distribution="uniform")


def test_does_not_warn_where_rounding_explains_it():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plans = [kt.plan(lenet(), 0.9), kt.plan(lenet(), {"layer1": 0.5})]
    assert [round(plan.sparsity, 3) for plan in plans] == [0.9, 0.5]


class Unbuilt(keras.Model):
    def __init__(self):
        super().__init__()
        self.fc = layers.Dense(4)

    def call(self, x):
        return self.fc(x)


def test_a_model_that_is_built_from_a_configuration():
    model, config = Unbuilt(), {"input_shape": (None, 8)}
    model.build_from_config(config)
    assert [row.flops for row in kt.plan(model, 0.5).rows] == [2 * 16]


@pytest.mark.parametrize("function", [lambda m: kt.plan(m, 0.5), kt.summary, kt.flops])
def test_bad_models(function):
    legacy = type("Sequential", (), {"__module__": "tf_keras.src.engine.sequential"})()
    with pytest.raises(TypeError, match=r"Keras 2 models do not work.*tf_keras"):
        function(legacy)
    with pytest.raises(TypeError, match=r"keras.Model of Keras 3.*builtins.str"):
        function("model.keras")
    for model in (Unbuilt(), keras.Sequential([layers.Dense(4)])):
        with pytest.raises(ValueError, match="is not built"):
            function(model)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sparsity": 1.0}, ValueError, "sparsity=1.0"),
        ({"sparsity": "0.9"}, TypeError, "sparsity='0.9'"),
        ({"sparsity": {"nowhere": 0.5}}, ValueError, "'nowhere' matches no kernel"),
        ({"sparsity": {"layer1": 1.0}}, ValueError, r"sparsity\['layer1'\]=1.0"),
        ({"distribution": "ekr"}, ValueError, "distribution='ekr'"),
        ({"filters": "nowhere"}, ValueError, "'nowhere'"),
        ({"structure": "channel"}, ValueError, "`structure` must be None.*'channel'"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        kt.plan(lenet(), **{"sparsity": 0.5, **arguments})
