"""The graph that Keras draws of a sparse model."""

import importlib.util
import re

import keras
import pytest
from small_models import nested

import keras_tickets as kt


def drawing(model):
    """The graph that Keras draws of a model, without ids, inputs' names and the wrapper's class."""
    options = ("shapes", "dtype", "layer_names", "layer_activations", "trainable")
    shown = {f"show_{option}": True for option in options}
    text = keras.utils.model_to_dot(model, expand_nested=True, **shown).to_string()
    ids = {}
    text = re.sub(r"\b\d{9,}\b", lambda match: f"n{ids.setdefault(match[0], len(ids))}", text)
    text = re.sub(r"(keras_tensor|input_layer)(_\d+)?", "input", text)
    return re.sub(r"</b> \((Sparse|Dense)\)", "", text)


def test_keras_draws_a_sparse_model_as_the_dense_one():
    dense = nested()
    sparse = kt.sparsify(dense, 0.5)
    if importlib.util.find_spec("pydot") is None:
        with pytest.raises(ImportError, match="You must install pydot"):
            keras.utils.plot_model(sparse)
        pytest.skip("pydot is not installed")
    assert drawing(sparse) == drawing(dense)
