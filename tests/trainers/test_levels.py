"""The masks of levels, and the calls of `fit` that make up a training, without training."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_tickets as kt
from keras_tickets.masks import masked_kernels
from keras_tickets.trainers.epochs import Epochs
from keras_tickets.trainers.levels import next_masks, rates_of, remaining

CONV2 = {"conv1": 3 * 3 * 3 * 64, "conv2": 3 * 3 * 64 * 64, "fc1": 16384 * 256}
CONV2 |= {"fc2": 256 * 256, "logits": 2560}
LENET = {"fc1": 784 * 300, "fc2": 300 * 100, "logits": 100 * 10}


def density(sizes, rates, level):
    rates = rates_of(list(sizes), 0.2, rates)
    left = sum(remaining(size, rates[path], level) for path, size in sizes.items())
    return 100 * left / sum(sizes.values())


@pytest.mark.parametrize("level, percent", [(3, 51.3), (7, 21.1), (9, 13.5), (15, 3.6), (16, 2.9)])
def test_published_densities_of_lenet(level, percent):
    """Frankle and Carbin (ICLR 2019): a fifth of each layer, a tenth of the last."""
    assert round(density(LENET, {"logits": 0.1}, level), 1) == percent


@pytest.mark.parametrize("level, percent", [(11, 8.8), (14, 4.6)])
def test_published_densities_of_conv2(level, percent):
    rates = {"conv": 0.1, "logits": 0.1}
    assert round(density(CONV2, rates, level), 1) == percent


@pytest.mark.parametrize("level", range(31))
def test_one_ranking_leaves_a_power_of_four_fifths(level):
    assert abs(remaining(266_200, 0.2, level) - 266_200 * 0.8**level) <= 0.5


def record(shape):
    """What `next_masks` reads of a masked kernel."""
    layer = keras.layers.Dense(shape[1])
    layer.build((None, shape[0]))
    sparse = kt.layers.Sparse(layer)
    sparse.build((None, shape[0]))
    (found,) = masked_kernels(sparse)
    return types.SimpleNamespace(layout=found.layout, size=int(np.prod(shape)))


def test_thirty_levels_of_lenet_prune_exactly_and_never_bring_a_weight_back():
    shapes = {"fc1": (784, 300), "fc2": (300, 100), "logits": (100, 10)}
    records = {path: record(shape) for path, shape in shapes.items()}
    rng = np.random.default_rng(0)
    first = {path: np.ones(shape, bool) for path, shape in shapes.items()}
    rates = rates_of(list(shapes), 0.2, {"logits": 0.1})
    for local in (False, True):
        masks = first
        for level in range(1, 31):
            weights = {p: rng.normal(size=s).astype("float32") for p, s in shapes.items()}
            weights = {p: np.where(masks[p], w, 100.0) for p, w in weights.items()}
            if local:
                counts = {p: remaining(first[p].size, rates[p], level) for p in shapes}
                total = sum(counts.values())
            else:
                counts = total = remaining(266_200, 0.2, level)
            chosen = next_masks(records, masks, weights, counts)
            assert sum(mask.sum() for mask in chosen.values()) == total
            assert not any((chosen[p] & ~masks[p]).any() for p in shapes)
            kept = np.concatenate([np.abs(weights[p][chosen[p]]) for p in shapes])
            gone = np.concatenate([np.abs(weights[p][masks[p] & ~chosen[p]]) for p in shapes])
            if not local:
                assert kept.min() >= gone.max()
            masks = chosen


def test_ties_go_to_the_first_kernel_and_the_lowest_index():
    records = {"a": record((2, 3)), "b": record((2, 3))}
    masks = {"a": np.ones((2, 3), bool), "b": np.ones((2, 3), bool)}
    weights = {path: np.full((2, 3), 0.5, "float32") for path in masks}
    chosen = next_masks(records, masks, weights, 7)
    assert chosen["a"].all()
    assert chosen["b"].reshape(-1).tolist() == [True] + [False] * 5


def test_a_kernel_that_loses_all_weights_is_named():
    records = {"a": record((2, 3)), "b": record((2, 3))}
    masks = {"a": np.ones((2, 3), bool), "b": np.ones((2, 3), bool)}
    weights = {"a": np.ones((2, 3), "float32"), "b": np.full((2, 3), 2.0, "float32")}
    with pytest.warns(UserWarning, match="no weight is left in a"):
        next_masks(records, masks, weights, 6)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 7), st.integers(0, 40), st.integers(0, 40))
def test_segments_are_the_batches_asked_for(steps, start, length):
    data = Epochs(lambda epoch: None, steps_per_epoch=steps)
    found = []
    for segment in data.segments(start, start + length):
        for epoch in range(segment.first, segment.last):
            skip = segment.skip if epoch == segment.first else 0
            assert skip + segment.steps <= steps
            found += [epoch * steps + skip + i for i in range(segment.steps)]
    assert found == list(range(start, start + length))


def test_arrays_have_an_order_of_seed_and_epoch_and_targets_follow():
    x, y = np.arange(20.0), np.arange(20.0) * 2
    data = Epochs(x, y, batch_size=6, seed=3)
    assert data.steps == 3

    def read(dataset, count):
        return [(a.numpy(), b.numpy()) for a, b in dataset.take(count)]

    two_epochs, second = read(data.batches(0), 6), read(data.batches(1), 3)
    for (a, b), (c, d) in zip(two_epochs[3:], second, strict=True):
        assert (a == c).all() and (b == d).all() and (b == 2 * a).all()
    skipped = read(data.batches(0, skip=2), 4)
    assert all((a == c).all() for (a, _), (c, _) in zip(two_epochs[2:], skipped, strict=True))
    epoch = np.concatenate([a for a, _ in two_epochs[:3]])
    assert len(set(epoch)) == 18 and list(epoch) != sorted(epoch)
    other = read(Epochs(x, y, batch_size=6, seed=4).batches(0), 3)
    assert any((a != c).any() for (a, _), (c, _) in zip(two_epochs[:3], other, strict=True))


@pytest.mark.parametrize("kind", ["arrays", "data set"])
def test_shorter_epochs_are_the_same_from_wherever_they_start(kind):
    x = np.arange(20.0)
    if kind == "arrays":
        data = Epochs(x, batch_size=4, steps_per_epoch=3, seed=1)
    else:
        data = Epochs(tf.data.Dataset.from_tensor_slices((x,)).batch(4), steps_per_epoch=3)
    whole = [batch.numpy() for (batch,) in data.batches(0).take(9)]
    for epoch, skip in ((1, 0), (1, 2), (2, 1)):
        part = [batch.numpy() for (batch,) in data.batches(epoch, skip).take(3 - skip)]
        np.testing.assert_array_equal(part, whole[3 * epoch + skip : 3 * epoch + 3])
    assert len(np.unique(whole[:3])) == 12


def test_data_sets():
    data = Epochs(tf.data.Dataset.range(10).batch(4), steps_per_epoch=2)
    assert [b.numpy().tolist() for b in data.batches(5, 1).take(2)] == [[4, 5, 6, 7], [0, 1, 2, 3]]
    assert Epochs(tf.data.Dataset.range(10).batch(4)).steps == 3


@pytest.mark.parametrize(
    "x, arguments, message",
    [
        (lambda epoch: None, {}, "`steps_per_epoch` must be given"),
        (tf.data.Dataset.range(3).repeat(), {}, "`steps_per_epoch` must be given"),
        (tf.data.Dataset.range(3), {"y": np.ones(3)}, "belong to arrays"),
        (np.ones(3), {"batch_size": 4}, "at most 3, the number of examples"),
        (np.ones(3), {"batch_size": 0}, "`batch_size` must be a positive integer"),
        (np.ones(3), {"steps_per_epoch": -1}, "`steps_per_epoch` must be a positive integer"),
        (np.ones(8), {"y": np.ones(7)}, r"same number of examples. Received: \[8, 7\]"),
        (np.ones(8), {"batch_size": 4, "steps_per_epoch": 3}, "at most 2, the number of batches"),
        (tf.data.Dataset.range(3), {"steps_per_epoch": 4}, "at most 3, the number of batches"),
        (tf.data.Dataset.range(0), {}, "at most 0, the number of batches"),
    ],
)
def test_wrong_data(x, arguments, message):
    with pytest.raises(ValueError, match=message):
        Epochs(x, **arguments)


@pytest.mark.parametrize(
    "rate, rates, message",
    [
        (1.0, None, r"`rate` must be a number in .* rate=1.0"),
        (-0.1, None, "rate=-0.1"),
        (0.2, {"fc": 1.5}, r"rates\['fc'\]=1.5"),
        (0.2, {"conv": 0.1}, "regex 'conv' matches no kernel"),
        (0.2, {"(": 0.1}, "valid regex"),
    ],
)
def test_wrong_rates(rate, rates, message):
    with pytest.raises(ValueError, match=message):
        rates_of(["fc/kernel"], rate, rates)
