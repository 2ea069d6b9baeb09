import csv
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets._files.topology_file import Topology, read_topology, write_topology
from keras_tickets._mask_pictures import mask_picture
from keras_tickets._masked_kernel import MaskedKernel

X = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
Y = np.random.default_rng(1).normal(size=(32, 3)).astype("float32")


def network(storage="masked", optimizer=None, dropout=0.0):
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((6,)),
        keras.layers.Dense(8, "relu", name="a"),
        keras.layers.Dropout(dropout, seed=1),
        keras.layers.Dense(3, name="b"),
    ]
    model = kt.sparsify(keras.Sequential(layers), 0.5, storage=storage)
    model.compile(optimizer or kt.optimizers.SET("sgd", update_every=3, end=100), "mse")
    return model


def fit(model, *callbacks, epochs=4, batches=4):
    size = 32 // batches
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(size)
    model.fit(data, epochs=epochs, shuffle=False, callbacks=list(callbacks), verbose=0)


class Masks(keras.callbacks.Callback):
    """The masks at the start and after each epoch."""

    def on_train_begin(self, logs=None):
        self.seen = [kt.get_masks(self.model)]

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(kt.get_masks(self.model))


def expected(seen):
    """The rows that masks give, by NumPy alone."""
    rows = []
    for look, masks in enumerate(seen):
        for path, mask in masks.items():
            first, last = seen[0][path], seen[max(look - 1, 0)][path]
            rows.append(
                {
                    "epoch": look,
                    "step": 4 * look,
                    "kernel": path,
                    "sparsity": 1 - mask.mean(),
                    "grown": (mask & ~last).sum() / mask.sum(),
                    "dropped": (last & ~mask).sum() / last.sum(),
                    "overlap_first": (mask & first).sum() / (mask | first).sum(),
                    "overlap_last": (mask & last).sum() / (mask | last).sum(),
                    "exploration": np.any([m[path] for m in seen[: look + 1]], axis=0).mean(),
                }
            )
    return rows


@pytest.mark.parametrize("storage", ["masked", pytest.param("sparse", marks=pytest.mark.slow)])
def test_the_figures_are_those_of_the_masks(storage):
    masks, logger = Masks(), kt.callbacks.TopologyLogger()
    fit(network(storage), masks, logger)
    assert len(logger.rows) == 2 * 5
    for row, oracle in zip(logger.rows, expected(masks.seen), strict=True):
        assert {name: row[name] for name in oracle} == pytest.approx(oracle)
        assert row["gradient_before"] is None
    assert logger.rows[2]["grown"] > 0


@pytest.mark.slow
def test_exploration_counts_every_step_where_the_optimizer_does():
    optimizer = kt.optimizers.SET("sgd", update_every=1, end=100, track_exploration=True)
    model, logger = network(optimizer=optimizer), kt.callbacks.TopologyLogger()
    fit(model, logger)
    explored = sum(row["exploration"] * row["weights"] for row in logger.rows[-2:])
    assert explored / 72 == pytest.approx(model.optimizer.exploration)


@pytest.mark.slow
def test_masks_are_read_at_the_ends_of_epochs_alone(monkeypatch):
    read, original = [], MaskedKernel.to_mask
    monkeypatch.setattr(MaskedKernel, "to_mask", lambda self: read.append(1) or original(self))
    fit(network(), kt.callbacks.TopologyLogger(), epochs=2)
    assert len(read) == 2 * (1 + 1 + 2)  # two kernels: to compare with, the start, two epochs


@pytest.mark.slow
def test_gradients_before_and_after_the_last_update_of_an_epoch():
    logger = kt.callbacks.TopologyLogger(examples=lambda: (X[:8], Y[:8]))
    fit(network(), logger, epochs=1)  # 4 steps; the update is at step 3, the last
    flows = {}
    for steps in (3, 4):
        model = network()
        data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8).take(steps)
        model.fit(data, shuffle=False, verbose=0)
        flows[steps] = kt.analysis.gradient_flow(model, X[:8], Y[:8], "mse")
    last = {row["kernel"]: row for row in logger.rows[-2:]}
    for path in flows[3]:
        assert last[path]["gradient_before"] == pytest.approx(flows[3][path], rel=1e-6)
        assert last[path]["gradient_after"] == pytest.approx(flows[4][path], rel=1e-6)
        assert flows[3][path] != pytest.approx(flows[4][path], rel=1e-3)


@pytest.mark.slow
def test_looks_after_every_second_update():
    logger = kt.callbacks.TopologyLogger(every=2)
    fit(network(), logger, epochs=4)  # updates at steps 3, 6, 9, 12, 15
    steps = [row["step"] for row in logger.rows[::2]]
    assert steps == [0, 4, 7, 8, 12, 13, 16]


@pytest.mark.slow
def test_training_is_as_without():
    alone, watched = network(dropout=0.5), network(dropout=0.5)
    fit(alone)
    fit(watched, kt.callbacks.TopologyLogger(examples=(X, Y), every=1))
    for a, b in zip(alone.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


class Kill(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "order, killed, epoch",
    slow_unless(
        lambda *case: case == ("checkpoint first", 1, 3),
        itertools.product(["logger first", "checkpoint first"], [1, 2], [0, 3]),
    ),
)
def test_a_resumed_training_has_each_row_once(tmp_path, order, killed, epoch):
    """Killed between the two at the end of an epoch, or after both."""

    def callbacks(directory, *others):
        both = [
            kt.callbacks.TopologyLogger(directory),
            kt.callbacks.Checkpoint(directory / "checkpoints"),
        ]
        both = both if order == "logger first" else both[::-1]
        return [*both[:killed], *others, *both[killed:]]

    def run(directory, *others):
        checkpoint = kt.callbacks.Checkpoint(directory / "checkpoints")
        data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
        network().fit(
            data,
            epochs=4,
            initial_epoch=checkpoint.initial_epoch,
            shuffle=False,
            callbacks=callbacks(directory, *others),
            verbose=0,
        )

    run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", Kill(epoch))
    run(tmp_path / "parts")
    for name in ("topology.csv", "topology.safetensors"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_a_new_training_in_the_same_directory_begins_anew(tmp_path):
    for epochs in (3, 2):
        logger = kt.callbacks.TopologyLogger(tmp_path)
        fit(network(), logger, epochs=epochs)
    with open(tmp_path / "topology.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "0", "1", "1", "2", "2"]
    assert float(rows[-1]["sparsity"]) == logger.rows[-1]["sparsity"]


@pytest.mark.slow
def test_files_of_other_kernels_are_refused(tmp_path):
    fit(network(), kt.callbacks.TopologyLogger(tmp_path), epochs=2)
    other = kt.sparsify(keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)]), 0.5)
    other.compile(kt.optimizers.SET("sgd", update_every=3, end=100), "mse")
    other.optimizer.build(other.trainable_variables)
    other.optimizer.iterations.assign(8)
    with pytest.raises(ValueError, match="other kernels"):
        fit(other, kt.callbacks.TopologyLogger(tmp_path), epochs=1)


def test_tensorboard_gets_figures_and_pictures(tmp_path):
    logger = kt.callbacks.TopologyLogger(tensorboard=tmp_path, examples=(X, Y))
    fit(network(), logger, epochs=2)
    found = {}
    for file in tmp_path.rglob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.tensor))
    for name in ("sparsity", "overlap_first", "exploration"):
        assert [step for step, _ in found[f"a/kernel/{name}"]] == [0, 4, 8]
    assert [step for step, _ in found["b/kernel/gradient_after"]] == [4, 8]
    grown = [float(tf.make_ndarray(tensor)) for _, tensor in found["a/kernel/grown"]]
    assert grown == pytest.approx([row["grown"] for row in logger.rows[::2]])
    picture = tf.image.decode_png(found["a/kernel/mask"][-1][1].string_val[2])
    np.testing.assert_array_equal(picture[..., 0] > 0, kt.get_masks(logger.model)["a/kernel"])


def test_a_model_without_masks_is_named():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    logger = kt.callbacks.TopologyLogger()
    with pytest.warns(UserWarning, match="no masked kernels"):
        fit(model, logger, epochs=1)
    assert logger.rows == []


def test_wrong_arguments():
    with pytest.raises(TypeError, match="`examples` must be a pair"):
        kt.callbacks.TopologyLogger(examples=X)
    with pytest.raises(ValueError, match="`every` must be"):
        kt.callbacks.TopologyLogger(every=0)


def test_pictures_of_masks():
    mask = np.zeros((9, 4), bool)
    mask[4, :2] = True
    np.testing.assert_array_equal(mask_picture(mask), 0.5 * (np.arange(9) == 4).reshape(3, 3))
    rgb = np.zeros((3, 3, 3, 5), bool)
    rgb[1, 2] = True
    expected = 1.0 * (np.arange(9) == 5).reshape(3, 3)
    np.testing.assert_array_equal(mask_picture(rgb.reshape(27, 5)), expected)
    filters = np.ones((2, 2, 1, 3), bool)
    picture = mask_picture(filters)
    assert picture.shape == (2, 8) and set(picture[:, 2]) == {0.5} and picture[:, :2].all()
    large = np.zeros((2000, 7), bool)
    large[::2] = True
    picture = mask_picture(large)
    assert picture.shape == (512, 7) and picture.mean() == pytest.approx(0.5, abs=0.01)


def test_a_damaged_file_is_named(tmp_path):
    bits = {"k": np.zeros(1, np.uint8)}
    write_topology(tmp_path, Topology([], {"k": [2, 3]}, bits, bits, bits))
    assert read_topology(tmp_path).masks()[0].shape == (2, 3)
    file = tmp_path / "topology.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\xff")
    with pytest.raises(ValueError, match="topology.safetensors.*damaged"):
        read_topology(tmp_path)
