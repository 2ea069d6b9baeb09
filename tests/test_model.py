"""Into a sparse model, around with it, and out again."""

import keras
import numpy as np
import oracle
import pytest
from small_models import Subclassed, inputs_for, mlp, nested, subclassed

import keras_tickets as kt
from keras_tickets._kernels.find import find_kernels
from keras_tickets.masks import masked_kernels

PATHS = {
    mlp: ["a/kernel", "b/kernel", "c/kernel"],
    nested: ["encoder/fc/kernel", "head/kernel"],
    subclassed: ["block/kernel", "block/kernel_1", "head/kernel"],
}


@pytest.mark.parametrize("make", list(PATHS))
def test_paths_outputs_and_counts_through_sparsify_save_load_and_strip(make, tmp_path):
    dense = make()
    before = [np.array(v) for v in dense.variables]
    plan = kt.plan(dense, 0.5)
    model = kt.sparsify(dense, 0.5)
    assert isinstance(model, kt.SparseModel)
    assert list(model.masks) == PATHS[make] == [row.path for row in plan.rows]
    assert [mask.sum() for mask in model.masks.values()] == [row.nonzeros for row in plan.rows]
    assert model.sparsity == pytest.approx(plan.sparsity)
    for variable, value in zip(dense.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)

    x = inputs_for(dense)
    expected = model(x).numpy()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, kt.SparseModel)
    np.testing.assert_array_equal(loaded(x), expected)
    for path, mask in loaded.masks.items():
        np.testing.assert_array_equal(mask, model.masks[path])

    model.save_weights(tmp_path / "model.weights.h5")
    other = kt.sparsify(make(), 0.5, seed=9)
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other(x), expected)

    plain = kt.strip(loaded)
    assert not isinstance(plain, kt.SparseModel)
    np.testing.assert_array_equal(plain(x), expected)
    assert [row.path for row in kt.plan(plain, 0.5).rows] == PATHS[make]
    kernels = {row.path: row for row in kt.plan(plain, 0.0).rows}
    assert list(kernels) == PATHS[make]
    assert type(plain) is (Subclassed if make is subclassed else type(keras.Model(**graph())))


def graph():
    inputs = keras.Input((1,))
    return {"inputs": inputs, "outputs": keras.layers.Dense(1)(inputs)}


def test_masked_kernels_compute_what_the_dense_layers_would():
    dense = mlp()
    model = kt.sparsify(dense, 0.7)
    x = inputs_for(dense)
    reference = mlp()
    reference.set_weights(dense.get_weights())
    for layer in reference.layers:
        mask = model.masks[f"{layer.name}/kernel"]
        layer.kernel.assign(layer.kernel.numpy() * mask)
    np.testing.assert_allclose(model(x), reference(x), rtol=1e-6)


def test_magnitude_masks_keep_the_largest_weights():
    dense = mlp()
    model = kt.sparsify(dense, 0.8, distribution="uniform", mask="magnitude")
    for layer in dense.layers:
        kernel, mask = np.abs(layer.kernel.numpy()), model.masks[f"{layer.name}/kernel"]
        assert kernel[mask].min() >= kernel[~mask].max()


def test_the_same_seed_gives_the_same_masks_and_another_others():
    masks = [kt.sparsify(mlp(), 0.5, distribution="uniform", seed=seed).masks for seed in (3, 3, 4)]
    for path in masks[0]:
        np.testing.assert_array_equal(masks[0][path], masks[1][path])
        assert np.any(masks[0][path] != masks[2][path])


def test_random_masks_come_from_the_path_and_the_seed_alone():
    model = kt.sparsify(mlp(), 0.9, distribution="uniform", seed=5)
    for path, mask in model.masks.items():
        scores = oracle.random_scores(mask.shape, path, 5, 0).ravel()
        expected = oracle.top(scores, mask.size - int(0.9 * mask.size), np.ones(mask.size, bool))
        np.testing.assert_array_equal(mask.ravel(), expected)


def test_sparsity_by_regex():
    model = kt.sparsify(mlp(), {"^a/": 0.5, "a|b": 0.25})
    assert [round(float(1 - mask.mean()), 3) for mask in model.masks.values()] == [0.5, 0.25]
    assert list(model.masks) == ["a/kernel", "b/kernel"]


def test_in_place_shares_the_layers():
    dense = mlp()
    model = kt.sparsify(dense, 0.5, in_place=True)
    assert model.get_layer("a").layer is dense.get_layer("a")
    assert (dense.get_layer("a").kernel.numpy()[~model.masks["a/kernel"]] == 0).all()


def test_set_masks_zeroes_the_kernel_and_refuses_what_does_not_fit():
    model = kt.sparsify(mlp(), 0.5)
    mask = np.zeros((16, 20), bool)
    mask[0] = True
    kt.set_masks(model, {"a/kernel": mask})
    np.testing.assert_array_equal(kt.get_masks(model)["a/kernel"], mask)
    assert not model.get_layer("a").layer.kernel.numpy()[1:].any()
    with pytest.raises(ValueError, match="x/kernel"):
        kt.set_masks(model, {"a/kernel": ~mask, "x/kernel": mask})
    with pytest.raises(ValueError, match=r"\(20, 16\)"):
        kt.set_masks(model, {"a/kernel": mask.T})
    with pytest.raises(ValueError, match="0 and 1"):
        kt.set_masks(model, {"a/kernel": mask * 2.0})
    np.testing.assert_array_equal(kt.get_masks(model)["a/kernel"], mask)


class Pair(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.left, self.right = keras.layers.Dense(6, name="l"), keras.layers.Dense(6, name="r")

    def call(self, x, other=None):
        if isinstance(x, dict):
            x, other = x["x"], x["other"]
        return self.left(x) + self.right(other)


X, OTHER = np.ones((3, 8), "float32"), np.full((3, 5), 2, "float32")


def test_a_subclassed_model_of_a_dict_of_inputs():
    dense, inputs = Pair(), {"x": X, "other": OTHER}
    dense(inputs)
    model = kt.sparsify(dense, 0.5)
    assert list(model.masks) == ["l/kernel", "r/kernel"]
    plain = kt.strip(model)
    assert plain.built
    np.testing.assert_array_equal(plain(inputs), model(inputs))


def test_a_subclassed_model_of_two_arguments_is_known_by_a_symbolic_call():
    """Of a call on arrays Keras keeps the shape of the first argument only."""
    dense = Pair()
    expected = dense(X, other=OTHER)
    with pytest.raises(ValueError, match="Call it once on symbolic inputs"):
        kt.sparsify(dense, 0.5, in_place=True)
    dense(keras.Input((8,)), other=keras.Input((5,)))
    model = kt.sparsify(dense, 0.0, mask="ones")
    np.testing.assert_array_equal(model(X, other=OTHER), expected)
    np.testing.assert_array_equal(model({"x": X, "other": OTHER}), expected)
    np.testing.assert_array_equal(kt.strip(model)(X, OTHER), expected)
    inputs = [keras.Input((8,)), keras.Input((5,))]
    model = kt.SparseModel(inputs, kt.layers.Sparse(dense, 0.5)(inputs[0], other=inputs[1]))
    assert model.sparsity == 0.5
    np.testing.assert_array_equal(model([X, OTHER]), dense(X, OTHER))


def test_a_dense_sparse_model_has_nothing_masked():
    model = kt.SparseModel(mlp())
    assert model.masks == {}
    assert model.sparsity == 0.0


def of_the_package(model):
    layers = model._flatten_layers()
    return [layer.name for layer in layers if type(layer).__module__.startswith("keras_tickets")]


def test_strip_leaves_no_sparse_model_inside():
    pair = Pair(name="pair")
    inputs = {"x": keras.Input((8,), name="x"), "other": keras.Input((5,), name="other")}
    pair(inputs)
    head = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
    model = kt.SparseModel(inputs, kt.sparsify(head, 0.5)(kt.sparsify(pair, 0.5)(inputs)))
    plain = kt.strip(model)
    assert not of_the_package(plain)
    assert list(model.masks) == [row.path for row in kt.plan(plain, 0.5).rows]
    x = {"x": X, "other": OTHER}
    np.testing.assert_array_equal(plain(x), model(x))


def test_strip_leaves_no_layer_of_the_package():
    inputs = keras.Input((4, 4, 2))
    x = keras.layers.Conv2D(3, 3, name="conv")(inputs)
    dense = keras.Model(inputs, kt.layers.FusedBatchNormalization(name="norm")(x))
    dense.get_layer("norm").moving_mean.assign([1.0, 2.0, 3.0])
    model = kt.sparsify(dense, 0.5, distribution=kt.distributions.ERK())
    plain = kt.strip(model)
    assert not of_the_package(plain)
    x = np.ones((2, 4, 4, 2), "float32")
    np.testing.assert_allclose(plain(x), model(x), rtol=1e-6)


def test_adapted_and_vocabulary_layers_are_copied_with_what_they_learned():
    rng = np.random.default_rng(0)
    data = rng.normal(3.0, 5.0, size=(64, 8)).astype("float32")
    normalization = keras.layers.Normalization()
    normalization.adapt(data)
    dense = keras.Sequential([keras.Input((8,)), normalization, keras.layers.Dense(4)])
    model = kt.sparsify(dense, 0.5, mask="ones")
    np.testing.assert_allclose(model(data), dense(data), rtol=1e-6)
    np.testing.assert_allclose(kt.strip(model)(data), dense(data), rtol=1e-6)

    inputs = keras.Input((1,), dtype="string")
    x = keras.layers.StringLookup(vocabulary=["a", "b"], output_mode="one_hot")(inputs)
    words = keras.Model(inputs, keras.layers.Dense(3)(x))
    batch = keras.ops.convert_to_tensor(np.array([["a"], ["b"], ["z"]]))
    np.testing.assert_allclose(kt.sparsify(words, 0.5, mask="ones")(batch), words(batch))


@keras.saving.register_keras_serializable("test_model")
class Doubled(keras.Model):
    """A functional model that computes more than its graph."""

    def __init__(self, **kwargs):
        inputs = keras.Input((8,))
        super().__init__(inputs, keras.layers.Dense(8)(inputs), **kwargs)

    def call(self, x, training=None, mask=None):
        return 2 * super().call(x)

    def get_config(self):
        return {"name": self.name}


@pytest.mark.parametrize("nested", [False, True])
def test_a_functional_model_with_its_own_call_is_one_layer(nested, tmp_path):
    dense = Doubled(name="doubled")
    if nested:
        dense = keras.Sequential([keras.Input((8,)), dense, keras.layers.Dense(2, name="head")])
    model = kt.sparsify(dense, {".*": 0.0}, mask="ones")
    assert list(model.masks)[0] == "doubled/dense/kernel"[0 if nested else 8 :]
    assert list(model.masks) == [row.path for row in kt.plan(dense, 0.5).rows]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for each in (model, loaded, kt.strip(loaded)):
        np.testing.assert_array_equal(each(X), dense(X))


def test_nested_models_keep_what_was_set_on_them():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    layers = [keras.layers.Dense(4, name="fixed"), keras.layers.Dense(4, name="free")]
    part = keras.Sequential([keras.Input((8,)), *layers], name="part")
    dense = keras.Sequential([keras.Input((8,)), part, keras.layers.Dense(2, name="head")])
    keras.config.set_dtype_policy(policy)
    part.compile("adam", lambda y, y_pred: 0.0)
    part.trainable = False
    layers[1].trainable = True
    model = kt.sparsify(dense, 0.5)
    assert list(model.masks) == ["part/free/kernel", "head/kernel"]
    for each in (model, kt.SparseModel(dense), kt.strip(model)):
        assert len(each.trainable_variables) == len(dense.trainable_variables) == 4
        assert not each.get_layer("part").trainable
        assert each.dtype_policy.name == each.get_layer("part").dtype_policy.name == "mixed_float16"
        assert not each.get_layer("part").compiled
    dense.trainable = False
    layers[1].trainable = True
    assert not kt.SparseModel(dense).trainable_variables


def test_inputs_that_may_be_missing():
    @keras.saving.register_keras_serializable("test_model")
    class Add(keras.layers.Layer):
        def call(self, x, other=None):
            return x if other is None else x + other

        def compute_output_spec(self, x, other=None):
            return x

    inputs = [keras.Input((8,)), keras.Input((8,), optional=True, name="other")]
    dense = keras.Model(inputs, keras.layers.Dense(2)(Add()(*inputs)))
    model = kt.sparsify(dense, {".*": 0.0}, mask="ones")
    for each in (model, kt.strip(model)):
        np.testing.assert_array_equal(each([X, None]), dense([X, None]))


def test_a_clone_has_masks_of_the_same_sparsity():
    model = kt.sparsify(mlp(), 0.7)
    clone = keras.models.clone_model(model)
    assert clone.sparsity == model.sparsity
    assert list(clone.masks) == list(model.masks)


@pytest.mark.parametrize("make", list(PATHS))
def test_weights_of_the_dense_model_load_under_the_masks(make, tmp_path):
    trained = make()
    for variable in trained.trainable_variables:
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    trained.save_weights(tmp_path / "dense.weights.h5")
    model = kt.sparsify(make(), 0.5)
    masks = model.masks
    model.load_weights(tmp_path / "dense.weights.h5")
    expected = {kernel.path: kernel.variable.numpy() for kernel in find_kernels(trained)[0]}
    for record in masked_kernels(model):
        np.testing.assert_array_equal(record.mask.numpy(), masks[record.name])
        np.testing.assert_array_equal(
            record.kernel.numpy(), np.where(masks[record.name], expected[record.name], 0)
        )


def test_weights_that_do_not_fit_change_nothing(tmp_path):
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(
        tmp_path / "other.weights.h5"
    )
    model = kt.sparsify(mlp(), 0.5)
    before = model.get_weights()
    with pytest.raises(ValueError):
        model.load_weights(tmp_path / "other.weights.h5")
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("whole", [False, True])
def test_what_is_frozen_after_it_was_made_sparse_stays_sparse(whole, tmp_path):
    dense = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, name="fc"), keras.layers.Dense(2, name="head")]
    )
    model = kt.sparsify(dense, 0.5, distribution="uniform")
    (model if whole else model.get_layer("fc")).trainable = False
    assert [row.path for row in kt.summary(model).rows] == ["fc/kernel", "head/kernel"]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert list(loaded.masks) == ["fc/kernel", "head/kernel"]
    for path, mask in model.masks.items():
        np.testing.assert_array_equal(loaded.masks[path], mask)
    inputs = np.ones((3, 4), "float32")
    np.testing.assert_array_equal(kt.strip(loaded)(inputs), model(inputs))
