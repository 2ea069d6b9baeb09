"""`Block.for_litert`: blocks along a neuron's inputs, in whatever makes masks."""

import keras
import numpy as np
import pytest
from method_recipes import METHODS

import keras_tickets as kt

Block = kt.structures.Block
INPUTS = np.random.default_rng(0).normal(size=(64, 32)).astype("float32")
TARGETS = np.arange(64) % 4


def network(inputs=32):
    keras.utils.set_random_seed(0)
    hidden = keras.layers.Dense(16, "relu", name="fc")
    head = keras.layers.Dense(4, "softmax", name="head")
    return keras.Sequential([keras.Input((inputs,)), hidden, head])


def check(masks, width):
    """Blocks of `width` inputs of one neuron, whole or not at all."""
    for path, mask in masks.items():
        blocks = mask.reshape(-1, width, mask.shape[1])
        np.testing.assert_array_equal(blocks.any(axis=1), blocks.all(axis=1), err_msg=path)
        assert 0 < mask.mean() < 1


@pytest.mark.parametrize("int8, width", [(False, 4), (True, 16)])
def test_blocks_lie_along_the_inputs(int8, width):
    structure = Block.for_litert(int8=int8)
    assert structure.shape == (width, 1) and type(structure) is Block
    check(kt.sparsify(network(), 0.5, structure=structure, distribution="uniform").masks, width)
    check(kt.prune(network(), "magnitude", 0.5, structure=structure, scope="local").masks, width)


def test_scores_choose_whole_blocks():
    scores = {"fc/kernel": np.zeros((32, 16)), "head/kernel": np.zeros((16, 4))}
    for values in scores.values():
        values[3, 1] = values[:4, 2] = 1.0  # mean scores of 1/4 and 1
    pruned = kt.prune(network(), scores, 0.9, scope="local", structure=Block.for_litert(), floor=8)
    assert pruned.masks["head/kernel"].sum() == 8
    assert pruned.masks["head/kernel"][:4, 1:3].all()
    with pytest.raises(ValueError, match='`scope` must be "local" with a structure'):
        kt.prune(network(), scores, 0.5, structure=Block.for_litert())


@pytest.mark.parametrize("method", ["RigL", "SET", "GradualMagnitude"])
def test_they_stay_whole_in_training(method):
    recipe = METHODS[method]
    model = recipe.sparsify(network(), 0.5, structure=Block.for_litert(), distribution="uniform")
    before = model.masks
    model.compile(recipe.make("sgd", update_every=2, end=8), "sparse_categorical_crossentropy")
    model.fit(INPUTS, TARGETS, batch_size=4, verbose=0)
    check(model.masks, 4)
    assert any((mask != before[path]).any() for path, mask in model.masks.items())


@pytest.mark.parametrize("int8, width, inputs", [(False, 4, 30), (True, 16, 40)])
def test_inputs_that_are_no_multiple_are_named_and_nothing_changes(int8, width, inputs):
    model = network(inputs)
    before = model.get_weights()
    message = f"kernel 'fc/kernel': its {inputs} inputs .* multiples of the block's {width} and 1"
    with pytest.raises(ValueError, match=message):
        kt.sparsify(model, 0.5, structure=Block.for_litert(int8=int8))
    for kept, weight in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, weight)
    sparse = kt.sparsify(model, 0.5, structure=Block.for_litert(), filters="head")
    check(sparse.masks, 4)
