"""Every layer class of `keras.layers`, as `docs/supported_layers.md` has it."""

import pathlib

import keras
import layer_recipes
import pytest
import supported_layers
from slow_cases import slow_unless

import keras_tickets as kt

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "supported_layers.md").read_text(encoding="utf-8")
CLASSES = supported_layers.layer_classes()
SAME_KERAS = f"Made with Keras {keras.__version__} by" in PAGE


BY_DEFAULT = (  # one of each larger kind
    "Embedding",
    "Conv2D",
    "GRU",
    "MultiHeadAttention",
    "BatchNormalization",
    "SpectralNormalization",
    "TextVectorization",
    "Dropout",
    "Lambda",
    "Add",
)


@pytest.mark.parametrize(
    "cls",
    slow_unless(lambda cls: cls.__name__ in BY_DEFAULT, CLASSES),
    ids=lambda cls: cls.__name__,
)
def test_each_comes_through_as_the_page_says(cls):
    row = supported_layers.layer_row(cls, CLASSES[cls])
    assert row in PAGE.splitlines() or not SAME_KERAS


def test_the_page_is_what_the_script_makes():
    if not SAME_KERAS:
        pytest.skip("the page was made with another version of Keras")
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    ours = [row for row in rows if "keras.applications" not in row and "keras_hub" not in row]
    assert [row.split("`")[1] for row in ours] == [names[0] for names in CLASSES.values()]
    models = PAGE.partition(supported_layers.WHOLE)[2].splitlines()
    assert [row.split(" | ")[0].removeprefix("| ") for row in models] == list(
        supported_layers.MODELS
    )
    assert supported_layers.page(ours, models) == PAGE


def test_recipes_and_reasons_are_of_classes_that_exist():
    known = {names[0] for names in CLASSES.values()}
    named = set(layer_recipes.RECIPES) | set(layer_recipes.NOT_ALONE)
    assert named <= known or not SAME_KERAS, named - known
    assert not set(layer_recipes.RECIPES) & set(layer_recipes.NOT_ALONE)


class Hidden(keras.layers.Layer):
    """A layer that Keras might add: it needs an argument, and its weight is a kernel."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units


class Forgetful(keras.layers.Dense):
    """A layer whose configuration forgets how many units it has."""

    def get_config(self):
        return {**super().get_config(), "units": 7}


@pytest.mark.parametrize(
    ("cls", "error"), [(Hidden, TypeError), (Forgetful, (TypeError, ValueError))]
)
def test_a_class_that_does_not_come_through_fails(cls, error, monkeypatch):
    monkeypatch.setattr(keras.layers, cls.__name__, cls, raising=False)
    if cls is Forgetful:
        recipe = layer_recipes.RECIPES["Dense"]
        monkeypatch.setitem(layer_recipes.RECIPES, cls.__name__, recipe)
    assert cls in supported_layers.layer_classes()
    with pytest.raises(error):
        supported_layers.layer_row(cls, [cls.__name__])


@pytest.mark.parametrize(("groups", "depthwise"), [(1, False), (3, False), (6, True)])
def test_a_convolution_of_one_channel_a_group_is_depthwise(groups, depthwise):
    inputs = keras.Input((8, 8, 6))
    outputs = keras.layers.Conv2D(12, 3, groups=groups, name="conv")(inputs)
    plan = kt.plan(keras.Model(inputs, outputs), 0.0)
    masked, skipped = [row.path for row in plan.rows], [path for path, _ in plan.skipped]
    assert (masked, skipped) == (([], ["conv/kernel"]) if depthwise else (["conv/kernel"], []))
