"""A kernel's path is that of the model which is asked; draws go by a name that stays."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from networks import mlp

import keras_tickets as kt
from keras_tickets import masks

L = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 8)).astype("float32")


def autoencoder():
    encoder = keras.Sequential(
        [keras.Input((8,)), L.Dense(16, "relu", name="e1"), L.Dense(4, name="e2")], name="encoder"
    )
    decoder = keras.Sequential([keras.Input((4,)), L.Dense(8, name="d1")], name="decoder")
    inputs = keras.Input((8,))
    return keras.Model(inputs, decoder(encoder(inputs)), name="autoencoder")


def regrown():
    """An autoencoder whose weights off the masks are not 0."""
    model = kt.sparsify(autoencoder(), 0.6, mask="ones")
    optimizer = kt.optimizers.GradualMagnitude("adam", begin=0, end=6, update_every=1, regrow=True)
    model.compile(optimizer, "mse")
    model.fit(X, X, epochs=8, batch_size=32, verbose=0)
    return model


def test_a_part_of_a_sparse_model_is_one_by_itself(tmp_path):
    model = regrown()
    encoder = model.get_layer("encoder")
    found = kt.get_masks(encoder)
    assert list(found) == ["e1/kernel", "e2/kernel"]
    for path, mask in found.items():
        np.testing.assert_array_equal(mask, model.masks[f"encoder/{path}"])
    outputs = encoder(X).numpy()
    plain = kt.strip(encoder)
    np.testing.assert_allclose(plain(X), outputs, atol=1e-6)
    assert not kt.weight_paths(plain)["e1/kernel"].numpy()[~found["e1/kernel"]].any()
    np.testing.assert_allclose(kt.strip(model).get_layer("encoder")(X), outputs, atol=1e-6)
    assert kt.export(encoder, tmp_path / "encoder").max_abs_difference < 1e-5
    assert [row.path for row in kt.summary(encoder).rows] == list(found)
    assert list(kt.Ticket.of(encoder).masks) == list(found)
    wrapped = kt.SparseModel(encoder)
    assert list(wrapped.masks) == list(found)
    assert list(model.masks) == ["encoder/e1/kernel", "encoder/e2/kernel", "decoder/d1/kernel"]
    kt.set_masks(encoder, {"e2/kernel": np.ones((16, 4), bool)})
    assert model.masks["encoder/e2/kernel"].all()


def test_a_sparse_model_inside_another_stays_one():
    critic = kt.sparsify(mlp(8, classes=1), 0.5)
    generator = kt.sparsify(keras.Sequential([keras.Input((4,)), L.Dense(8, name="g1")]), 0.5)
    rigl = kt.optimizers.RigL("adam", update_every=3, end=100, mean_over=2)
    critic.compile(rigl, "mse")
    critic.train_on_batch(X, np.ones((32, 1)))
    before = list(critic.masks)
    noise = keras.Input((4,))
    gan = kt.SparseModel(noise, critic(generator(noise)))
    assert list(critic.masks) == before == ["fc1/kernel", "head/kernel"]
    assert sorted(gan.masks) == sorted(
        [f"{generator.name}/g1/kernel", f"{critic.name}/fc1/kernel", f"{critic.name}/head/kernel"]
    )
    for _ in range(6):
        critic.train_on_batch(X[:16], np.ones((16, 1)))
    assert [r.count() for r in masks.masked_kernels(critic)] == [
        r.target for r in masks.masked_kernels(critic)
    ]
    ticket = kt.Ticket.of(critic)
    assert list(ticket.masks) == before and ticket.apply(critic) is critic
    gan.compile(kt.optimizers.SET("sgd", update_every=2, end=50), "mse")
    gan.fit(RNG.normal(size=(32, 4)), np.ones((32, 1)), batch_size=8, epochs=2, verbose=0)
    kt.set_masks(gan, {f"{critic.name}/fc1/kernel": np.ones((8, 16), bool)})
    assert critic.masks["fc1/kernel"].all()


def test_the_students_paths_are_those_of_its_trainer():
    student = kt.sparsify(mlp(8), 0.5)
    trainer = kt.trainers.DistillationTrainer(student, mlp(8, seed=3))
    assert list(kt.get_masks(trainer)) == list(student.masks)


def test_active_weights_of_nested_models_keep_their_values():
    dense = autoencoder()
    model = kt.sparsify(dense, 0.6, distribution="uniform")
    values = {path: weight.numpy() for path, weight in kt.weight_paths(dense).items()}
    for path, mask in model.masks.items():
        kept = kt.weight_paths(model)[path].numpy()
        np.testing.assert_array_equal(kept, np.where(mask, values[path], 0), err_msg=path)


def updated(model):
    """The masks after an update of SET, whose random draws go by the names of the kernels."""
    model.compile(kt.optimizers.SET("sgd", update_every=1, end=50, seed=5), "mse")
    model.fit(X, X, batch_size=32, epochs=2, verbose=0)
    return model.masks


LOADED = """
import sys, numpy as np, keras, keras_tickets as kt
model = keras.models.load_model(sys.argv[1], compile=False)
for i in range(3):  # names that Keras gives count on
    kt.sparsify(keras.Sequential([keras.Input((8,)), keras.layers.Dense(8)]), 0.5)
if isinstance(model, kt.SparseModel):
    wrapped = model
else:
    wrapped = kt.SparseModel(model)
from keras_tickets import masks
print([record.name for record in masks.masked_kernels(wrapped)])
"""


@pytest.mark.slow
@pytest.mark.parametrize("part", ["whole", "encoder"])
def test_names_stay_in_other_models_files_and_processes(part, tmp_path):
    model = kt.sparsify(autoencoder(), 0.6)
    saved = model if part == "whole" else model.get_layer("encoder")
    names = [record.name for record in masks.masked_kernels(saved)]
    assert all(name.startswith(("encoder/", "decoder/")) for name in names)
    saved.save(tmp_path / "model.keras")
    printed = subprocess.run(
        [sys.executable, "-c", LOADED, tmp_path / "model.keras"], capture_output=True, text=True
    )
    assert printed.stdout.strip() == str(names), printed.stderr


def test_draws_are_the_same_after_loading_and_in_a_larger_model(tmp_path):
    model = kt.sparsify(autoencoder(), 0.6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    inputs = keras.Input((8,))
    again = keras.models.load_model(tmp_path / "model.keras")
    larger = kt.SparseModel(inputs, again(inputs))
    expected = updated(model)
    for path, mask in updated(loaded).items():
        np.testing.assert_array_equal(mask, expected[path], err_msg=path)
    for path, mask in updated(larger).items():
        np.testing.assert_array_equal(mask, expected[path.split("/", 1)[1]], err_msg=path)


def test_two_copies_of_a_layer_draw_apart():
    layer = kt.layers.Sparse(L.Dense(8, use_bias=False, name="fc"), 0.5)
    inputs = keras.Input((8,))
    first = kt.SparseModel(inputs, layer(inputs))
    config = first.layers[1].get_config()
    copy = kt.layers.Sparse.from_config({**config, "name": "other"})
    both = kt.SparseModel(inputs, copy(layer(inputs)))
    names = [record.name for record in masks.masked_kernels(both)]
    assert len(set(names)) == 2
