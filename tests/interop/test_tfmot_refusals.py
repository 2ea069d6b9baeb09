"""What cannot be converted from tensorflow-model-optimization is refused by name."""

import os
import re

import keras
import pytest
import tensorflow as tf

import keras_tickets as kt

k2 = pytest.importorskip("tf_keras")
layers = k2.layers


@pytest.mark.parametrize(
    "layer",
    [
        layers.Dense(3, "hard_sigmoid", name="bad"),
        layers.Lambda(lambda x: x, name="bad"),
        layers.ThresholdedReLU(name="bad"),
        layers.LSTM(3, time_major=True, name="bad"),
        layers.Bidirectional(layers.LSTM(3, recurrent_activation="hard_sigmoid"), name="bad"),
        layers.LocallyConnected1D(3, 2, name="bad"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_what_cannot_be_translated_is_named(layer):
    legacy = k2.Sequential([k2.Input((5, 4)), layer])
    with pytest.raises(ValueError, match=rf"layer 'bad' \({type(layer).__name__}\)"):
        kt.interop.from_tfmot(legacy)


def test_operations_that_are_not_known_are_named():
    inputs = k2.Input((4,))
    with pytest.raises(ValueError, match=r"'tf.math.erf' \(TFOpLambda\).*'math.erf'"):
        kt.interop.from_tfmot(k2.Model(inputs, tf.math.erf(inputs)))


class Own(layers.Layer):
    def call(self, inputs):
        return inputs


class Failing(keras.layers.Layer):
    def call(self, inputs):
        raise RuntimeError("out of order")


@pytest.mark.parametrize(
    "custom_objects",
    [[Failing], Failing, {"Own": "Failing"}, {"Own": Failing()}, {"Own": Own}, {3: Failing}],
    ids=str,
)
def test_custom_objects_are_classes_by_name(custom_objects):
    with pytest.raises(TypeError, match="`custom_objects` must be a dict {Keras 2 class name:"):
        kt.interop.from_tfmot(k2.Sequential([k2.Input((4,)), Own()]), custom_objects)


def test_what_fails_in_a_layer_of_the_users_is_told_with_the_model():
    inputs = k2.Input((4,))
    for legacy, name in (
        (k2.Sequential([k2.Input((4,)), Own(name="own")], name="whole"), "whole"),
        (k2.Model(inputs, Own(name="own")(inputs)), "own"),
    ):
        with pytest.raises(ValueError, match=rf"layer '{name}' .*(?s:.)*out of order"):
            kt.interop.from_tfmot(legacy, {"Own": Failing})


def test_names_that_become_the_same_are_refused():
    legacy = k2.Sequential([layers.Dense(4, input_shape=(4,), name="a/b"), layers.Dense(2)])
    legacy.add(layers.Dense(2, name="a_b"))
    with pytest.raises(ValueError, match="^`model`: .*'a_b' is already the name"):
        kt.interop.from_tfmot(legacy)


class Subclassed(k2.Model):
    def call(self, inputs):
        return inputs


def test_wrong_arguments(tmp_path):
    with pytest.raises(TypeError, match="a Keras 3 model needs no conversion"):
        kt.interop.from_tfmot(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
    with pytest.raises(TypeError, match="builtins.int"):
        kt.interop.from_tfmot(3)
    with pytest.raises(ValueError, match=r"subclassed.*Only functional and Sequential"):
        kt.interop.from_tfmot(Subclassed())
    with pytest.raises(ValueError, match="not built"):
        kt.interop.from_tfmot(k2.Sequential([layers.Dense(2)]))
    with pytest.raises(ValueError, match="has no layers"):
        kt.interop.from_tfmot(k2.Sequential([k2.Input((4,))]))
    with pytest.raises(ValueError, match="there is no file .*missing.h5"):
        kt.interop.from_tfmot(tmp_path / "missing.h5")


def wrapped(tfmot):
    """Models with other wrappers than those of pruning, or with those where they cannot be."""
    cluster, quantize = tfmot.clustering.keras, tfmot.quantization.keras
    schedule = tfmot.sparsity.keras.ConstantSparsity(0.5, 0)
    pruned = tfmot.sparsity.keras.prune_low_magnitude(layers.Dense(3, name="fc"), schedule)

    def dense():
        return k2.Sequential([layers.Dense(8, input_shape=(4,)), layers.Dense(2)])

    return {
        "clustered": cluster.cluster_weights(dense(), 4, cluster.CentroidInitialization.LINEAR),
        "annotated": quantize.quantize_annotate_model(dense()),
        "quantized": quantize.quantize_model(dense()),
        "inside": k2.Sequential([k2.Input((5, 4)), layers.TimeDistributed(pruned)]),
        "alone": pruned,
    }


WORDS = {
    "clustered": r"\(ClusterWeights\) has no counterpart: call `strip_clustering`",
    "annotated": r"\(QuantizeAnnotate\) has no .* before quantization-aware training",
    "quantized": r"\(Quantize\w+\) has no .* before quantization-aware training",
    "inside": r"\(PruneLowMagnitude\) has no counterpart: it is inside another layer",
    "alone": r"must be a Keras 2 model .* Received: an object of class .*PruneLowMagnitude",
    "three.keras": r"cannot be read .* Keras 3 has saved .*: `keras.models.load_model`",
    "three.h5": r"cannot be read .* Keras 3 has saved .*: `keras.models.load_model`",
    "bad.keras": "cannot be read",
    "bad.h5": "cannot be read",
    "bad": "cannot be read",
    "lambda.keras": "Lambda",
    "lambda.h5": "Lambda",
    "lambda": "Lambda",
}


def test_other_wrappers_and_files_are_refused_by_name_and_no_code_in_them_is_run(tmp_path):
    tfmot = pytest.importorskip("tensorflow_model_optimization")
    marker, files = str(tmp_path / "marker"), tmp_path / "files"
    make = lambda x, path=marker: [__import__("os").makedirs(path, exist_ok=True), x][1]  # noqa: E731
    legacy = k2.Sequential([k2.Input((4,)), layers.Lambda(make)])
    three = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    (files / "bad").mkdir(parents=True)
    for suffix in (".keras", ".h5"):
        (files / f"bad{suffix}").write_bytes(b"no model")
        legacy.save(files / f"lambda{suffix}")
        three.save(files / f"three{suffix}")
    legacy.save(files / "lambda")
    os.rmdir(marker)
    messages = {}
    for name, model in {**wrapped(tfmot), **{path.name: path for path in files.iterdir()}}.items():
        with pytest.raises((TypeError, ValueError)) as caught:
            kt.interop.from_tfmot(model)
        messages[name] = " ".join(str(caught.value).split())
    assert messages.keys() == WORDS.keys()
    for name, words in WORDS.items():
        assert re.search(words, messages[name]), messages[name]
    assert not os.path.exists(marker)
