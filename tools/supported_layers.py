"""Takes every layer class of `keras.layers`, and whole models, through all that the package does.

    python tools/supported_layers.py        writes docs/supported_layers.md

Each is made sparse, trained for three steps of RigL with a change of masks in each but the first,
saved, loaded and stripped. Whatever fails ends the script with an error.
"""

import argparse
import dataclasses
import pathlib
import tempfile

import keras
import numpy as np
import tensorflow as tf
from layer_recipes import NOT_ALONE, recipe_for
from model_recipes import MODELS, Missing

import keras_tickets as kt

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "supported_layers.md"
EXAMPLES = 4


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a layer or model.

    Attributes:
        masked: Paths of the kernels that are masked by default.
        on_request: Paths of those that are masked where `filters` selects them.
        skipped: `{reason: paths}` of what stays dense by default.
    """

    masked: list[str]
    on_request: list[str]
    skipped: dict[str, list[str]]


def layer_classes() -> dict[type, list[str]]:
    """`{class: its names}` of all of `keras.layers`; the first name is the class's own."""
    found = {}
    for name in dir(keras.layers):
        item = getattr(keras.layers, name)
        if isinstance(item, type) and issubclass(item, keras.layers.Layer):
            found.setdefault(item, []).append(name)
    return {
        cls: sorted(names, key=lambda name: name != cls.__name__) for cls, names in found.items()
    }


def walk_layer(name: str) -> Outcome:
    """Takes one layer of a class through all of it, between the input and a Dense layer.

    Raises:
        AssertionError: It does not come through.
    """
    recipe = recipe_for(name)
    layer = getattr(keras.layers, name)(**recipe.arguments(), name="layer")
    inputs = [keras.Input(recipe.shape, dtype=recipe.dtype) for _ in range(recipe.inputs)]
    x = recipe.call(layer, inputs)
    x = keras.layers.Flatten(name="flatten")(keras.layers.Rescaling(1.0, name="floats")(x))
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(x))
    # Layers without kernels are not wrapped: running them eagerly shows as much, in less time.
    eager = not any(len(weight.shape) > 1 for weight in layer.weights)
    x = [examples(recipe.shape, recipe.dtype) for _ in inputs]
    outcome = walk(model, x[0] if len(x) == 1 else x, eager)

    def own(paths):
        return [p.split("layer/", 1)[-1] for p in paths if p != "head/kernel" and p != "layer"]

    skipped = {reason: own(paths) for reason, paths in outcome.skipped.items()}
    if not layer.trainable_weights:
        skipped["no trainable weights" if layer.weights else "no weights"] = []
    outcome = Outcome(own(outcome.masked), own(outcome.on_request), skipped)
    assert outcome.masked or outcome.skipped, "neither masked nor skipped with a reason"
    return outcome


def examples(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """A batch of random examples: floats in [0, 1), integers in 0 … 3, or words."""
    rng = np.random.default_rng(0)
    if dtype == "string":
        return rng.choice(["a", "b", "c"], size=(EXAMPLES, *shape)).astype(object)
    if dtype == "int32":
        return rng.integers(0, 4, size=(EXAMPLES, *shape)).astype(dtype)
    return rng.random(size=(EXAMPLES, *shape)).astype(dtype)


def walk(model: keras.Model, inputs, eager: bool = False) -> Outcome:
    """Takes a model through `sparsify`, training, saving, loading and `strip`.

    Args:
        model: Built dense model.
        inputs: A batch of examples: an array, or a list or dict of arrays, as the model takes them.
        eager: Train without compiling graphs.

    Raises:
        AssertionError: It does not come through.
    """
    plan = kt.plan(model, 0.0)
    skipped = {}
    for path, reason in plan.skipped:
        skipped.setdefault(reason, []).append(path)
    sparse = kt.sparsify(model, {"": 0.5}, filters=".*")
    masked = [row.path for row in plan.rows]
    assert set(masked) <= set(sparse.masks), "a kernel of the plan is not masked"
    x = tf.nest.map_structure(tf.constant, inputs)
    _train(sparse, x, eager)
    expected = _outputs(sparse, x)
    with tempfile.TemporaryDirectory() as folder:
        sparse.save(f"{folder}/model.keras")
        loaded = keras.models.load_model(f"{folder}/model.keras")
    _compare(_outputs(loaded, x), expected, "loading changes the outputs")
    _compare(loaded.masks.values(), sparse.masks.values(), "loading changes the masks")
    plain = kt.strip(sparse)
    assert not kt.get_masks(plain), "stripping leaves masks"
    _compare(_outputs(plain, x), expected, "stripping changes the outputs")
    return Outcome(masked, [path for path in sparse.masks if path not in masked], skipped)


def _train(model, x, eager):
    counts = [mask.sum() for mask in model.masks.values()]
    before = [weight.numpy() for weight in model.trainable_weights]
    optimizer = kt.optimizers.RigL(
        keras.optimizers.SGD(0.01), update_every=1, end=10, skip_gradient_step=False
    )
    model.compile(optimizer, "mse", run_eagerly=eager)
    y = tf.nest.map_structure(tf.ones_like, model(x, training=False))
    data = tf.data.Dataset.from_tensors((tuple(x) if isinstance(x, list) else x, y)).repeat(3)
    loss = model.fit(data, verbose=0).history["loss"]
    assert np.isfinite(loss).all(), f"the loss is {loss}"
    after = [weight.numpy() for weight in model.trainable_weights]
    assert any((a != b).any() for a, b in zip(before, after, strict=True)), "nothing is learned"
    assert [mask.sum() for mask in model.masks.values()] == counts, "counts change"
    for record in kt.masks.masked_kernels(model):
        off = record.kernel.numpy()[~record.mask.numpy()]
        assert off.size and not off.any(), f"{record.name} is not zero off its mask"


def _outputs(model, x):
    return [np.asarray(output) for output in tf.nest.flatten(model(x, training=False))]


def _compare(ours, theirs, message):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=message)


def layer_row(cls: type, names: list[str]) -> str:
    """A row of the table of layers."""
    name = "`" + "`, `".join(names) + "`"
    if (reason := NOT_ALONE.get(names[0])) is not None:
        return f"| {name} | not called alone: {reason} | | | |"
    return f"| {name} | {_describe(walk_layer(names[0]))} | yes | yes | yes |"


def model_row(name: str) -> str:
    """A row of the table of models."""
    try:
        outcome = walk(*MODELS[name]())
    except Missing as missing:
        return f"| {name} | not tried: {missing} | | | |"
    kernels = len(outcome.masked) + len(outcome.on_request)
    words = [f"{len(outcome.masked)} of {kernels} kernels"]
    words += [f"{len(paths)} skipped: {reason}" for reason, paths in outcome.skipped.items()]
    return f"| {name} | {'; '.join(words)} | yes | yes | yes |"


def _describe(outcome):
    words = [f"`{path}`" for path in outcome.masked]
    for reason, paths in outcome.skipped.items():
        named = ", ".join(f"`{path}`" for path in paths)
        words.append(f"{named}: {reason}" if named else reason)
    return "; ".join(words)


INTRODUCTION = """\
# Layers and models

Made with Keras {version} by `python tools/supported_layers.py`, which takes one layer of every
class of `keras.layers`, and the whole models below, through all of this, and stops where anything
differs:

- `kt.sparsify` masks the kernels named here, and skips others for the reason named. What is "dense
  unless `filters` asks for it" is masked too in the run, by `filters`.
- trained: three steps of RigL around SGD, the masks changing in two of them. The loss is finite,
  counts stay exact, and kernels are 0 off their masks.
- saved: `model.keras` loads with equal masks and bitwise equal outputs.
- stripped: `kt.strip` gives bitwise equal outputs, without masks.

Layers of your own are treated by the same rules, and so are those that Keras may add: a kernel is a
trainable weight of rank 2 or more that is not a bias, a scale or the like.
"""
LAYERS = """
## Layers

| layer | kernels masked; what is skipped, and why | trained | saved | stripped |
|---|---|---|---|---|
"""
WHOLE = """
## Models

Made without pre-trained weights, on small inputs.

| model | kernels | trained | saved | stripped |
|---|---|---|---|---|
"""


def page(layer_rows: list[str], model_rows: list[str]) -> str:
    """The page, from its rows."""
    introduction = INTRODUCTION.format(version=keras.__version__)
    return f"{introduction}{LAYERS}{chr(10).join(layer_rows)}\n{WHOLE}{chr(10).join(model_rows)}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, default=PAGE)
    output = parser.parse_args().output
    layers = [layer_row(cls, names) for cls, names in layer_classes().items()]
    output.write_text(page(layers, [model_row(name) for name in MODELS]), encoding="utf-8")


if __name__ == "__main__":
    main()
