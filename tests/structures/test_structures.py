"""Structures hold at every step, count exactly, and agree with plain NumPy."""

import itertools

import keras
import numpy as np
import pytest
from method_recipes import METHODS
from networks import LOSS
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets import masks

NM, Block, Channel, FanIn = (
    kt.structures.NM,
    kt.structures.Block,
    kt.structures.Channel,
    kt.structures.FanIn,
)


def network():
    """Dense, Conv2D and EinsumDense kernels with sizes that 4 divides."""
    inputs = keras.Input((6, 6, 4))
    x = keras.layers.Conv2D(8, 3, activation="relu", name="conv")(inputs)
    x = keras.layers.Reshape((16, 8))(x)
    x = keras.layers.EinsumDense("abc,cde->abde", (16, 4, 4), activation="relu", name="einsum")(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(4, name="head")(x))


def rows_of(path, mask):
    """A mask as (outputs, spatial positions, inputs)."""
    if path.startswith("conv"):
        return mask.transpose(3, 0, 1, 2).reshape(8, 9, 4)
    if path.startswith("einsum"):
        return mask.reshape(8, 16).T[:, None]
    return mask.T[:, None]


def check_nm(path, mask):
    assert (rows_of(path, mask).reshape(-1, 4).sum(axis=1) == 2).all(), path


def check_fan_in(path, mask):
    rows = rows_of(path, mask)
    counts = rows.reshape(len(rows), -1).sum(axis=1)
    live = counts[counts > 0]
    assert (live == live[0]).all(), path


def check_block(path, mask):
    rows = rows_of(path, mask)
    outputs, spatial, inputs = rows.shape
    tiles = rows.reshape(outputs // 2, 2, spatial, inputs // 4, 4)
    kept = tiles.sum(axis=(1, 4))
    assert np.isin(kept, (0, 8)).all(), path


def check_channel(path, mask):
    rows = rows_of(path, mask)
    rows = rows.reshape(len(rows), -1)
    assert (rows.all(axis=1) | ~rows.any(axis=1)).all(), path


CASES = {
    "nm": (NM(2, 4), 0.5, check_nm),
    "fan_in": (FanIn(), 0.75, check_fan_in),
    "fan_in_constant": (FanIn(None), 0.75, check_fan_in),
    "block": (Block((4, 2)), 0.75, check_block),
    "channel": (Channel(), 0.5, check_channel),
}
X = np.random.default_rng(0).normal(size=(320, 6, 6, 4)).astype("float32")
Y = np.argmax(X.reshape(320, -1) @ np.random.default_rng(1).normal(size=(144, 4)), axis=1)
KINDS = ["Static", "SET", "RigL", "SNFS, fixed", "DNW", "TopKAST", "GradualMagnitude"]


@pytest.mark.parametrize(
    "structure, method",
    slow_unless(
        lambda structure, method: (
            structure in ("fan_in", "nm")
            and method == ("GradualMagnitude" if structure == "nm" else "RigL")
        ),
        itertools.product(sorted(CASES), KINDS),
    ),
)
def test_structures_hold_after_every_step(structure, method, tmp_path):
    structure, sparsity, check = CASES[structure]
    keras.utils.set_random_seed(1)
    recipe = METHODS[method]
    model = recipe.sparsify(network(), sparsity, structure=structure, distribution="uniform")
    plan = kt.plan(network(), sparsity, structure=structure, distribution="uniform")
    targets = {r.name: r.target for r in masks.masked_kernels(model)}
    assert targets == {row.path: row.nonzeros for row in plan.rows}
    first, changed = model.masks, False
    ablates = isinstance(structure, FanIn) and structure.ablation
    due = {"DNW": 1, "TopKAST": 1, "GradualMagnitude": 13}.get(method, 0)

    def look(batch, logs):
        nonlocal changed
        for path, mask in model.masks.items():
            if batch + 1 >= due:
                check(path, mask)
                exact = mask.sum() == targets[path]
                assert exact or (ablates and mask.sum() <= targets[path]), path
            changed |= bool((mask != first[path]).any())

    end = 12 if method == "GradualMagnitude" else 100
    model.compile(recipe.make("adam", update_every=3, end=end, drop_fraction=0.4), LOSS)
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=look)
    model.fit(X, Y, batch_size=16, verbose=0, callbacks=[callback])
    # The gradient of a channel that has no weights is 0 behind a ReLU: it cannot come back by it.
    stuck = isinstance(structure, Channel) and method in ("RigL", "SNFS, fixed")
    assert changed == (method != "Static" and not stuck)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(X[:4]), model(X[:4]))
    again.fit(X, Y, batch_size=16, verbose=0)
    for path, mask in again.masks.items():
        check(path, mask)


@pytest.mark.parametrize(
    "structure, sparsity, message",
    [
        (NM(2, 5), 0.6, "m=5 does not divide its 4 inputs"),
        (NM(2, 4), 0.9, "the sparsity is 0.5. Received: 0.9"),
        (Block((8, 2)), 0.5, "4 inputs and 8 outputs must be multiples of the block's 8 and 2"),
        (Block((4, 16)), 0.5, "multiples of the block's 4 and 16"),
    ],
)
def test_what_does_not_fit_is_named(structure, sparsity, message):
    with pytest.raises(ValueError, match=message):
        kt.sparsify(network(), sparsity, structure=structure)
    with pytest.raises(ValueError, match=message):
        kt.plan(network(), sparsity, structure=structure)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: NM(4, 4), "0 < n < m. Received: n=4, m=4"),
        (lambda: NM(2.0, 4), "n=2.0"),
        (lambda: Block(4), "shape=4"),
        (lambda: Block((0, 4)), "shape="),
        (lambda: FanIn(0), "ablation=0"),
        (
            lambda: kt.sparsify(network(), 0.5, structure=Channel(), distribution="global"),
            "ranks single weights",
        ),
        (
            lambda: kt.optimizers.SNFS("sgd", end=9).build(
                kt.sparsify(network(), 0.5, structure=Channel()).trainable_variables
            ),
            "needs masks of single weights",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
