"""Random Keras models, each told by its seed: any layer of `keras.layers`, any kind of model."""

import dataclasses

import keras
import numpy as np
import supported_layers
from keras import layers
from layer_recipes import NOT_ALONE, recipe_for

register = keras.saving.register_keras_serializable("random_models")
NAMES = [
    names[0] for names in supported_layers.layer_classes().values() if names[0] not in NOT_ALONE
]
POLICIES = ("float32", "float32", "mixed_bfloat16", "mixed_float16", "float64")
BODY = ("dense", "norm", "dropout", "custom", "late", "function", "twice", "skip")


@dataclasses.dataclass(frozen=True)
class Design:
    """What a random model consists of.

    Attributes:
        kind: "sequential", "functional" or "subclassed".
        policy: Dtype policy of all layers.
        branches: Layer classes, each on an input of its own.
        body: What follows where the branches have met, from `BODY`.
        nested: Whether the body is a model inside the model.
        inputs: Structure of the inputs: "one", "list", "dict" or "nested".
        outputs: Structure of the outputs: "one", "tuple" or "dict".
        frozen: Whether the first branch is not trainable.
    """

    kind: str
    policy: str
    branches: tuple[str, ...]
    body: tuple[str, ...]
    nested: bool
    inputs: str
    outputs: str
    frozen: bool


def design(seed: int) -> Design:
    """The model of a seed; seeds that follow each other go through all layer classes."""
    rng = np.random.default_rng(seed)
    kind = str(rng.choice(["sequential", "functional", "functional", "subclassed", "subclassed"]))
    more = 0 if kind == "sequential" else rng.integers(0, 3)
    first = NAMES[seed * 37 % len(NAMES)]
    if recipe_for(first).inputs > 1 and kind == "sequential":
        kind = "functional"
    branches = (first, *(str(name) for name in rng.choice(NAMES, more)))
    several = len(branches) > 1
    return Design(
        kind=kind,
        policy=str(rng.choice(POLICIES)),
        branches=branches,
        body=tuple(str(name) for name in rng.choice(BODY, rng.integers(1, 4))),
        nested=bool(rng.integers(2)),
        inputs=str(rng.choice(["list", "dict", "nested"])) if several else "one",
        outputs="one" if kind == "sequential" else str(rng.choice(["one", "tuple", "dict"])),
        frozen=bool(rng.integers(4) == 0),
    )


# --- Layers of a user's own ---------------------------------------------------------------------


@register
class Custom(layers.Layer):
    """Weights of its own, made in `build`."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.projection = self.add_weight(shape=(input_shape[-1], self.units), name="projection")
        self.scale = self.add_weight(shape=(self.units,), initializer="ones", name="scale")

    def call(self, x):
        return keras.ops.matmul(x, self.projection) * self.scale

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@register
class Late(layers.Layer):
    """Layers inside, and no `build` nor `get_config`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = layers.Dense(4, "tanh")
        self.others = [layers.Dense(4), layers.LayerNormalization()]

    def call(self, x, training=False):
        x = x + self.first(x)
        for layer in self.others:
            x = layer(x)
        return x


@register
class Skip(layers.Layer):
    def call(self, x):
        return keras.ops.relu(x) + x


@register
class Twice(layers.Layer):
    """One layer called two times, built in `build`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.shared = layers.Dense(4, "tanh")

    def build(self, input_shape):
        self.shared.build(input_shape)

    def call(self, x):
        return self.shared(self.shared(x))


def _block(kind, name):
    return {
        "dense": lambda: layers.Dense(4, "relu", kernel_regularizer="l2", name=name),
        "norm": lambda: layers.BatchNormalization(name=name),
        "dropout": lambda: layers.Dropout(0.3, seed=3, name=name),
        "custom": lambda: Custom(name=name),
        "late": lambda: Late(name=name),
        "function": lambda: layers.Lambda(keras.activations.tanh, name=name),
        "twice": lambda: Twice(name=name),
        "skip": lambda: Skip(name=name),
    }[kind]()


# --- Whole models -------------------------------------------------------------------------------


def _parts(plan: Design) -> dict[str, layers.Layer]:
    parts = {}
    for i, name in enumerate(plan.branches):
        layer = getattr(layers, name)(**recipe_for(name).arguments(), name=f"branch_{i}")
        if name.endswith("Cell") or name.endswith("Cells"):
            layer = layers.RNN(layer, name=f"branch_{i}_loop")
        layer.trainable = not (plan.frozen and i == 0)
        parts[f"branch_{i}"] = layer
        parts[f"floats_{i}"] = layers.Rescaling(1.0, name=f"floats_{i}")
        parts[f"flat_{i}"] = layers.Flatten(name=f"flat_{i}")
        parts[f"meet_{i}"] = layers.Dense(4, "tanh", name=f"meet_{i}")
    body = [_block(kind, f"body_{i}") for i, kind in enumerate(plan.body)]
    if plan.nested:
        body = [keras.Sequential([keras.Input((4,)), *body], name="body")]
    parts |= {f"body_{i}": layer for i, layer in enumerate(body)}
    heads = 1 if plan.outputs == "one" else 2
    return parts | {f"head_{i}": layers.Dense(2 + i, name=f"head_{i}") for i in range(heads)}


def _run(plan, parts, inputs):
    met = []
    for i, (name, x) in enumerate(zip(plan.branches, keras.tree.flatten(inputs), strict=True)):
        recipe = recipe_for(name)
        in_loop = isinstance(parts[f"branch_{i}"], layers.RNN)
        call = recipe.call if recipe.inputs > 1 and not in_loop else _alone
        x = call(parts[f"branch_{i}"], [x] * recipe.inputs)
        met.append(parts[f"meet_{i}"](parts[f"flat_{i}"](parts[f"floats_{i}"](x))))
    x = sum(met[1:], start=met[0])
    for name, layer in parts.items():
        x = layer(x) if name.startswith("body") else x
    outputs = [layer(x) for name, layer in parts.items() if name.startswith("head")]
    if plan.outputs == "one":
        return outputs[0]
    return (
        tuple(outputs) if plan.outputs == "tuple" else dict(zip(("p", "q"), outputs, strict=True))
    )


def _alone(layer, inputs):
    return layer(inputs[0])


def _structure(plan, flat):
    if plan.inputs == "one":
        return flat[0]
    if plan.inputs == "list":
        return list(flat)
    if plan.inputs == "dict":
        return {f"in_{i}": part for i, part in enumerate(flat)}
    return {"first": flat[0], "more": list(flat[1:])}


@register
class Whole(keras.Model):
    """A subclassed model of a seed."""

    def __init__(self, seed, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.design = design(seed)
        self.parts = _parts(self.design)

    def call(self, inputs, training=None):
        return _run(self.design, self.parts, inputs)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


def make(seed: int) -> keras.Model:
    """The built model of a seed; the dtype policy of its design must be the global one."""
    plan = design(seed)
    recipes = [recipe_for(name) for name in plan.branches]
    floats = "float64" if plan.policy == "float64" else "float32"
    inputs = [
        keras.Input(r.shape, dtype=floats if r.dtype == "float32" else r.dtype, name=f"in_{i}")
        for i, r in enumerate(recipes)
    ]
    if plan.kind == "sequential":
        return keras.Sequential([inputs[0], *_parts(plan).values()])
    structure = _structure(plan, inputs)
    if plan.kind == "subclassed":
        model = Whole(seed)
        model(structure)
        return model
    return keras.Model(structure, _run(plan, _parts(plan), structure))


def examples(seed: int):
    """A batch of inputs of the model of a seed, in their structure."""
    plan = design(seed)
    recipes = [recipe_for(name) for name in plan.branches]
    arrays = [supported_layers.examples(recipe.shape, recipe.dtype) for recipe in recipes]
    if plan.policy == "float64":
        arrays = [x.astype("float64") if x.dtype == "float32" else x for x in arrays]
    return _structure(plan, arrays)
