"""Every way to save a sparse model and to load it again."""

import zipfile

import h5py
import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from saved_networks import X, assert_same, exact, fit, network, sparse, state
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets._files.mask_bits import pack_mask, unpack_mask


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(bool, arrays.array_shapes(min_dims=1, max_dims=4, max_side=9)))
def test_bits_hold_the_mask(mask):
    bits = pack_mask(mask)
    assert bits.dtype == np.uint8 and len(bits) == -(-mask.size // 8)
    expected = [
        sum(128 >> i for i, kept in enumerate(mask.flat[start : start + 8]) if kept)
        for start in range(0, mask.size, 8)
    ]
    assert bits.tolist() == expected
    np.testing.assert_array_equal(unpack_mask(bits, mask.shape), mask)
    with pytest.raises(ValueError, match="bytes of bits"):
        unpack_mask(bits, (mask.size + 8,))


@given(st.sampled_from(["float32", "int32", "bool"]))
def test_bits_of_another_dtype_are_refused(dtype):
    with pytest.raises(ValueError, match=f"dtype {dtype}"):
        unpack_mask(np.zeros(1, dtype), (2, 3))


def mask_datasets(file):
    found = {}
    file.visit(lambda name: found.update({name: file[name][()]}) if "_mask" in name else None)
    return found


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_files_hold_one_bit_a_weight(name, trained, tmp_path):
    (trained.save if name.endswith(".keras") else trained.save_weights)(tmp_path / name)
    path = tmp_path / name
    if name.endswith(".keras"):
        with zipfile.ZipFile(path) as archive:
            path = archive.extract("model.weights.h5", tmp_path)
    with h5py.File(path) as file:
        stored = mask_datasets(file)
    bits = [value for name, value in stored.items() if name.endswith("kernel_mask")]
    shapes = [value for name, value in stored.items() if name.endswith("_shape")]
    assert len(bits) == len(shapes) == len(trained.masks) == 2
    for mask, packed, shape in zip(trained.masks.values(), bits, shapes, strict=True):
        assert packed.dtype == np.uint8 and packed.nbytes == -(-mask.size // 8)
        np.testing.assert_array_equal(np.unpackbits(packed)[: mask.size].reshape(shape), mask)


def whole_model(model, path):
    model.save(path / "model.keras")
    return keras.models.load_model(path / "model.keras")


def weights_file(model, path, name="model.weights.h5"):
    model.save_weights(path / name)
    return into_another(model, lambda other: other.load_weights(path / name))


def sharded_weights(model, path):
    model.save_weights(path / "model.weights.json", max_shard_size=1e-6)
    return into_another(model, lambda other: other.load_weights(path / "model.weights.json"))


def weights_of_a_model_file(model, path):
    model.save(path / "model.keras")
    return into_another(model, lambda other: other.load_weights(path / "model.keras"))


def tensorflow_checkpoint(model, path):
    saved = tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(path / "ckpt")

    def restore(other):
        checkpoint = tf.train.Checkpoint(model=other, optimizer=other.optimizer)
        checkpoint.restore(saved).assert_existing_objects_matched()

    return into_another(model, restore)


def into_another(model, load):
    other = sparse(seed=5)
    other.optimizer.build(other.trainable_variables)
    assert any((a != b).any() for a, b in zip(state(model), state(other), strict=True))
    load(other)
    return other


@pytest.mark.parametrize(
    "through",
    slow_unless(
        lambda through: through in (whole_model, tensorflow_checkpoint),
        [
            whole_model,
            weights_file,
            sharded_weights,
            weights_of_a_model_file,
            tensorflow_checkpoint,
        ],
    ),
)
def test_everything_comes_back_and_training_goes_on_alike(through, tmp_path):
    model = sparse()
    fit(model)
    other = through(model, tmp_path)
    assert list(other.masks) == ["fc/kernel", "head/kernel"]
    assert_same(model, other)
    histories = [fit(each, epochs=3).history["loss"] for each in (model, other)]
    assert histories[0] == histories[1]
    assert_same(model, other)


def test_keras_leaves_the_states_of_random_layers_out_of_its_files(trained, tmp_path):
    """`docs/saving.md` says so; `kt.callbacks.Checkpoint` keeps them."""
    seeds = trained.get_layer("drop").seed_generator.state.numpy()
    assert seeds[1] == 6, "one draw a step"
    other = whole_model(trained, tmp_path)
    np.testing.assert_array_equal(other.get_layer("drop").seed_generator.state, [3, 0])


def test_legacy_h5_needs_the_classes_by_name(trained, tmp_path):
    trained.save(tmp_path / "model.h5")
    with pytest.raises(ValueError, match="Unknown layer: 'SparseModel'"):
        keras.models.load_model(tmp_path / "model.h5")
    classes = {"SparseModel": kt.SparseModel, "Sparse": kt.layers.Sparse}
    loaded = keras.models.load_model(tmp_path / "model.h5", custom_objects=classes, compile=False)
    assert list(loaded.masks) == list(trained.masks)
    for ours, theirs in zip(loaded.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("weights_only", slow_unless(lambda only: not only, [True, False]))
def test_model_checkpoint(weights_only, tmp_path):
    path = tmp_path / ("best.weights.h5" if weights_only else "best.keras")
    model = sparse()
    fit(
        model,
        callbacks=[keras.callbacks.ModelCheckpoint(path, save_weights_only=weights_only)],
    )
    loaded = sparse(seed=5) if weights_only else keras.models.load_model(path)
    if weights_only:
        loaded.optimizer.build(loaded.trainable_variables)
        loaded.load_weights(path)
    assert_same(model, loaded)


class Interrupt(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("damaged", slow_unless(lambda damaged: not damaged, [False, True]))
def test_backup_and_restore(damaged, tmp_path):
    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup", double_checkpoint=True)

    keras.utils.set_random_seed(0)
    whole = sparse()
    first = whole.get_weights()
    fit(whole, epochs=4)
    model = sparse()
    model.set_weights(first)
    with pytest.raises(KeyboardInterrupt):
        fit(model, epochs=4, callbacks=[backup(), Interrupt()])
    if damaged:
        file = tmp_path / "backup" / "latest.weights.h5"
        file.write_bytes(file.read_bytes()[:1000])
    resumed = sparse(seed=5)
    history = fit(resumed, epochs=4, callbacks=[backup()])
    assert history.epoch == ([1, 2, 3] if damaged else [2, 3])
    assert_same(whole, resumed)


def test_a_dense_model_takes_the_weights_of_a_sparse_one_through_strip(trained, tmp_path):
    kt.strip(trained).save_weights(tmp_path / "stripped.weights.h5")
    dense = keras.Model(trained.inputs, network(dropout=0.2)(trained.inputs[0])).layers[-1]
    dense.load_weights(tmp_path / "stripped.weights.h5")
    np.testing.assert_array_equal(dense(X), trained(X))
    kernel = dense.get_layer("fc").kernel.numpy()
    np.testing.assert_array_equal(kernel[~trained.masks["fc/kernel"]], 0)


def test_a_layer_whose_class_is_not_registered_is_named(tmp_path):
    class Unregistered(keras.layers.Dense):
        pass

    dense = keras.Sequential([keras.Input((4,)), Unregistered(3, name="fc")])
    model = kt.sparsify(dense, 0.5)
    model.save(tmp_path / "model.keras")
    with pytest.raises(TypeError, match="Could not locate class 'Unregistered'"):
        keras.models.load_model(tmp_path / "model.keras")
    classes = {"Unregistered": Unregistered}
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects=classes)
    np.testing.assert_array_equal(loaded.masks["fc/kernel"], *model.masks.values())


def test_layers_and_operations_of_one_name_are_told_apart(tmp_path):
    inputs = keras.Input((4,))
    x = keras.layers.Add()([inputs, keras.layers.Dense(4)(inputs)])
    x = x + keras.layers.Subtract()([inputs, x])
    model = kt.sparsify(keras.Model(inputs, x - inputs), 0.5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    values = np.ones((2, 4), "float32")
    np.testing.assert_array_equal(loaded(values), model(values))


def test_exact_checkpoints_hold_one_bit_a_weight(tmp_path):
    model = sparse(dropout=0.2)
    exact(model, tmp_path)
    file = tmp_path / "epoch_000002" / "variables.safetensors"
    stored = safetensors.numpy.load_file(file).values()
    packed = [array for array in stored if array.dtype == np.uint8]
    assert [array.nbytes for array in packed] == [8, 4]
    for bits, mask in zip(packed, model.masks.values(), strict=True):
        np.testing.assert_array_equal(np.unpackbits(bits)[: mask.size], mask.ravel())


@pytest.mark.parametrize("whole", [False, True])
def test_a_file_with_another_head_is_taken_as_far_as_it_fits(whole, tmp_path):
    trained = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(4, name="fc"), keras.layers.Dense(5, name="head")]
    )
    other = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(4, name="fc"), keras.layers.Dense(2, name="head")]
    )
    path = tmp_path / "trained.weights.h5"
    (kt.sparsify(trained, 0.5) if whole else trained).save_weights(path)
    model = kt.sparsify(other, 0.5, seed=3)
    head = model.get_layer("head").get_weights()
    with pytest.warns(UserWarning, match="could not be loaded"):
        model.load_weights(path, skip_mismatch=True)
    kernel, mask = trained.get_layer("fc").kernel, model.masks["fc/kernel"]
    np.testing.assert_array_equal(model.get_layer("fc").kernel, np.where(mask, kernel, 0))
    for before, after in zip(head, model.get_layer("head").get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
