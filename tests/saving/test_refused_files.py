"""Files that do not fit or are damaged are refused, and change nothing."""

import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from saved_networks import exact, network, sparse, state

import keras_tickets as kt


def refuses(model, load, error, message):
    """`load` raises and leaves masks, weights and slots as they were."""
    before = state(model)
    with pytest.raises(error, match=message):
        load()
    for ours, theirs in zip(state(model), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def with_slots(model):
    """A model whose optimizer has all its variables, each with values that no file holds."""
    model.optimizer.build(model.trainable_variables)
    for slot in model.optimizer.slots:
        slot.assign(np.full(slot.shape, 0.5))
    return model


def edit(path, change):
    """Changes the group of a weights file that holds the mask of the first kernel."""
    with h5py.File(path, "r+") as file:
        groups = []
        file.visit(lambda name: groups.append(name) if name.endswith("/kernel_mask") else None)
        group, _, name = groups[0].rpartition("/")
        change(file[group], name)


def without(group, name):
    del group[name], group[f"{name}_shape"]


def of_another_shape(group, name):
    del group[name], group[f"{name}_shape"]
    group[name] = np.zeros(8, np.uint8)
    group[f"{name}_shape"] = np.array([8, 8])


def too_short(group, name):
    del group[name]
    group[name] = np.zeros(2, np.uint8)


def of_one_more(group, name):
    group["extra_mask"] = np.zeros(2, np.uint8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without, r"no mask for kernel 'fc/kernel' of shape \(7, 9\)"),
        (of_another_shape, r"kernel 'fc/kernel' has shape \(8, 8\); the kernel has \(7, 9\)"),
        (too_short, r"a mask of shape \(7, 9\) has 8 bytes of bits, got .*\(2,\)"),
        (of_one_more, r"holds \['extra_mask'\], for which layer 'fc' has no masked kernel"),
    ],
)
def test_masks_that_do_not_fit_are_refused(change, message, trained, tmp_path):
    path = tmp_path / "changed.weights.h5"
    trained.save_weights(path)
    edit(path, change)
    other = with_slots(sparse(dropout=0.2))
    refuses(other, lambda: other.load_weights(path), ValueError, message)


def test_a_model_in_which_fewer_kernels_are_masked_is_refused(tmp_path):
    less = kt.sparsify(network(), {"fc": 0.5})
    less.save_weights(tmp_path / "less.weights.h5")
    model = with_slots(sparse())
    message = r"no mask for kernel 'head/kernel' of shape \(9, 3\)"
    refuses(model, lambda: model.load_weights(tmp_path / "less.weights.h5"), ValueError, message)


def test_another_width_is_refused_with_both_shapes(tmp_path):
    sparse(width=8).save_weights(tmp_path / "narrow.weights.h5")
    network(width=8).save_weights(tmp_path / "dense.weights.h5")
    model = with_slots(sparse())
    message = r"'fc/kernel' has shape \(7, 8\); the kernel has \(7, 9\)"
    refuses(model, lambda: model.load_weights(tmp_path / "narrow.weights.h5"), ValueError, message)
    message = r"(?s)As weights of the dense model.*\(7, 9\).*\(7, 8\)"
    refuses(model, lambda: model.load_weights(tmp_path / "dense.weights.h5"), ValueError, message)


def test_tensorflow_checkpoints_that_do_not_fit(tmp_path):
    dense = network()
    of_dense = tf.train.Checkpoint(model=dense).save(tmp_path / "dense")
    of_narrow = tf.train.Checkpoint(model=sparse(width=8)).save(tmp_path / "narrow")
    model = sparse()
    masks = model.masks
    status = tf.train.Checkpoint(model=model).restore(of_dense)
    with pytest.raises(AssertionError, match="Unresolved|not found|No checkpointed value|matched"):
        status.assert_existing_objects_matched()
    for path, mask in model.masks.items():
        np.testing.assert_array_equal(mask, masks[path])
    with pytest.raises(ValueError, match=r"\(7, 8\).*\(7, 9\)"):
        tf.train.Checkpoint(model=model).restore(of_narrow)


def damage(path, kind):
    content = bytearray(path.read_bytes())
    if kind == "truncated":
        content = content[: len(content) // 2]
    else:
        at = content.index(b"kernel_mask") if kind == "changed" else 0
        content[at : at + 8] = bytes(255 - byte for byte in content[at : at + 8])
    path.write_bytes(content)
    return bytes(content)


@pytest.mark.parametrize("kind", ["truncated", "changed", "no such file"])
@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_damaged_weights_are_named_and_change_nothing(name, kind, trained, tmp_path):
    path = tmp_path / name
    (trained.save if name.endswith(".keras") else trained.save_weights)(path)
    content = None
    if kind == "no such file":
        path = tmp_path / f"missing.{name.partition('.')[2]}"
    else:
        content = damage(path, kind)
    model = with_slots(sparse(dropout=0.2))
    if kind == "changed" and name == "model.weights.h5":
        error, message = ValueError, "no mask for kernel 'fc/kernel'|is damaged"
    elif kind == "no such file":
        error, message = FileNotFoundError, "missing"
    else:
        error, message = OSError, f"Weights file '.*{name}' is damaged: "
    refuses(model, lambda: model.load_weights(path), error, message)
    assert content is None or path.read_bytes() == content


@pytest.mark.parametrize(
    ("kind", "message"), [("truncated", "model.keras"), ("changed", "Bad CRC-32")]
)
def test_a_damaged_model_file_is_not_loaded(kind, message, trained, tmp_path):
    path = tmp_path / "model.keras"
    trained.save(path)
    content = damage(path, kind)
    with pytest.raises((ValueError, zipfile.BadZipFile), match=message):
        keras.models.load_model(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("width", "sparsity", "message"),
    [
        (
            9,
            {"head": 0.5},
            r"is fc/kernel of shape .* has network/fc/kernel_mask of shape \(7, 9\)",
        ),
        (
            8,
            0.5,
            r"fc/kernel_mask of shape \(7, 8\).* has network/fc/kernel_mask of shape \(7, 9\)",
        ),
    ],
)
def test_exact_checkpoints_of_other_masks_are_refused(width, sparsity, message, tmp_path):
    other = kt.sparsify(network(width), sparsity)
    other.compile("sgd", "mse")
    exact(other, tmp_path)
    model = sparse()
    before = [variable.numpy() for variable in model.variables]
    with pytest.raises(ValueError, match=message):
        exact(model, tmp_path, initial_epoch=2)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
