"""A method owns its first mask: it takes the right one, or says what to pass."""

import itertools
import warnings

import keras
import numpy as np
import pytest
from networks import mlp
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets import masks

DENSE_TO_SPARSE = {
    "gradual": lambda: kt.optimizers.GradualMagnitude("sgd", update_every=1, begin=0, end=4),
    "straight": lambda: kt.optimizers.StraightThrough("sgd"),
    "dnw": lambda: kt.optimizers.DNW("sgd"),
    "topkast": lambda: kt.optimizers.TopKAST("sgd", update_every=2),
}
SPARSE_TO_SPARSE = {
    "set": lambda: kt.optimizers.SET("sgd", update_every=2, end=100),
    "rigl": lambda: kt.optimizers.RigL("sgd", update_every=2, end=100),
    "snfs": lambda: kt.optimizers.SNFS("sgd", update_every=2, end=100),
}
X, Y = np.random.default_rng(0).normal(size=(16, 10)), np.zeros((16, 3))


def fit(model, epochs=6):
    model.fit(X, Y, batch_size=16, epochs=epochs, verbose=0)


def kernels(model):
    return {path: weight.numpy() for path, weight in kt.weight_paths(model).items()}


@pytest.mark.parametrize(
    "method",
    slow_unless(lambda method: method == "topkast", sorted(DENSE_TO_SPARSE)),
)
def test_methods_that_prune_start_from_all_weights_where_no_mask_was_chosen(method):
    dense = mlp()
    model, asked = kt.sparsify(dense, 0.8), kt.sparsify(dense, 0.8, mask="ones")
    assert abs(model.sparsity - 0.8) < 0.02
    for each in (model, asked):
        each.compile(DENSE_TO_SPARSE[method](), "mse")
        assert each.sparsity == 0.0
        for path, values in kernels(dense).items():
            np.testing.assert_array_equal(kernels(each)[path], values)
        fit(each)
    for (path, mask), other in zip(model.masks.items(), asked.masks.values(), strict=True):
        np.testing.assert_array_equal(mask, other, err_msg=path)
    assert abs(model.sparsity - 0.8) < 0.02


@pytest.mark.parametrize("mask", ["random", "magnitude"])
@pytest.mark.parametrize("method", sorted(DENSE_TO_SPARSE))
def test_a_sparse_mask_that_was_chosen_is_refused_by_methods_that_prune(method, mask):
    model = kt.sparsify(mlp(), 0.8, mask=mask)
    with pytest.raises(ValueError, match=rf'pass mask="ones".*Received: mask=\'{mask}\''):
        model.compile(DENSE_TO_SPARSE[method](), "mse")


@pytest.mark.parametrize("method", sorted(SPARSE_TO_SPARSE))
def test_full_masks_that_were_chosen_are_refused_by_methods_that_move_weights(method):
    model = kt.sparsify(mlp(), 0.8, mask="ones")
    with pytest.raises(ValueError, match='mask="random" or "magnitude".*Received'):
        model.compile(SPARSE_TO_SPARSE[method](), "mse")
    model.compile(kt.optimizers.Static("sgd"), "mse")
    nothing_to_mask = kt.sparsify(mlp(), {"": 0.0}, mask="ones")
    nothing_to_mask.compile(SPARSE_TO_SPARSE[method](), "mse")


def test_the_last_of_several_compilations_counts():
    dense = mlp()
    model = kt.sparsify(dense, 0.8, seed=3)
    drawn, values = model.masks, kernels(model)
    for method in (DENSE_TO_SPARSE["gradual"], SPARSE_TO_SPARSE["rigl"], lambda: "adam"):
        model.compile(method(), "mse")
    for path, mask in model.masks.items():
        np.testing.assert_array_equal(mask, drawn[path])
        np.testing.assert_array_equal(kernels(model)[path], values[path])
    model.compile(DENSE_TO_SPARSE["dnw"](), "mse")
    np.testing.assert_array_equal(kernels(model)["fc1/kernel"], kernels(dense)["fc1/kernel"])


def test_a_ramp_may_go_on_from_a_sparse_mask():
    model = kt.sparsify(mlp(), 0.5, mask="magnitude", distribution="uniform")
    ramp = kt.schedules.PolynomialDecay(0.5, 0.9)
    model.compile(kt.optimizers.GradualMagnitude("sgd", ramp, update_every=1, end=4), "mse")
    fit(model)
    assert abs(model.sparsity - 0.9) < 0.02


def test_weights_set_since_the_draw_are_never_overwritten():
    model = kt.sparsify(mlp(), 0.8)
    kt.initializers.initialize(model, kt.initializers.SparseVarianceScaling())
    values = kernels(model)
    with pytest.raises(ValueError, match='has changed since.*pass `mask="ones"`'):
        model.compile(DENSE_TO_SPARSE["gradual"](), "mse")
    for path, value in kernels(model).items():
        np.testing.assert_array_equal(value, values[path])
    model.compile("sgd", "mse")


HOWS = {"compiled": "rigl", "weights": "straight", "loaded": "gradual", "set": "rigl"}


@pytest.mark.parametrize(
    "method, how",
    slow_unless(
        lambda method, how: method == HOWS[how],
        itertools.product(["gradual", "straight", "rigl"], HOWS),
    ),
)
def test_partly_pruned_models_are_compiled_again(method, how, tmp_path):
    """Masks are neither reset nor refused, wherever they come from."""
    make = {**DENSE_TO_SPARSE, **SPARSE_TO_SPARSE}[method]
    model = kt.sparsify(mlp(), 0.8)
    model.compile(make(), "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(model, epochs=2)
    found, values = model.masks, kernels(model)
    if how == "loaded":
        model.save(tmp_path / "model.keras")
        model = keras.models.load_model(tmp_path / "model.keras")
    elif how == "weights":
        weights, model = model.get_weights(), kt.sparsify(mlp(), 0.8, mask="magnitude")
        model.set_weights(weights)
        values = kernels(model)
    elif how == "set":
        model = kt.sparsify(mlp(), 0.8, mask="magnitude")
        kt.set_masks(model, found)
        values = kernels(model)
    model.compile(make(), "mse")
    for path, mask in model.masks.items():
        np.testing.assert_array_equal(mask, found[path])
        np.testing.assert_array_equal(kernels(model)[path], values[path])


def test_layers_wrapped_by_hand_choose_in_the_same_way():
    for mask, sparsity in ((None, 0.0), ("ones", 0.0)):
        inputs = keras.Input((10,))
        layer = kt.layers.Sparse(keras.layers.Dense(8, name="fc"), 0.75, mask=mask)
        model = kt.SparseModel(inputs, layer(inputs))
        model.compile(DENSE_TO_SPARSE["dnw"](), "mse")
        assert model.sparsity == sparsity
    again = kt.layers.Sparse.from_config(layer.get_config())
    assert again.mask == "ones"
    assert (
        kt.layers.Sparse.from_config(kt.layers.Sparse(keras.layers.Dense(2)).get_config()).mask
        is None
    )


def test_levels_begin_from_all_weights_where_no_mask_was_chosen():
    dense = mlp()
    trainer = kt.trainers.RewindTrainer(kt.sparsify(dense, 0.8), levels=1)
    trainer.compile("sgd", "mse")
    assert trainer.model.sparsity == 0.0
    np.testing.assert_array_equal(
        kernels(trainer.model)["fc1/kernel"], kernels(dense)["fc1/kernel"]
    )
    chosen = kt.sparsify(dense, 0.8, mask="random")
    assert kt.trainers.RewindTrainer(chosen, levels=1).model.sparsity > 0.7


def test_every_method_says_what_it_starts_from():
    for name in kt.optimizers.__all__:
        method = getattr(kt.optimizers, name)
        if issubclass(method, kt.optimizers.SparseOptimizer):
            assert set(method.first_masks) <= set(masks.MASKS) and method.first_masks


def test_the_whole_kernel_is_kept_only_until_training_begins():
    model = kt.sparsify(mlp(), 0.8)
    (record, _) = masks.masked_kernels(model)
    assert record.first.kernel is not None
    model.compile("sgd", "mse")
    fit(model, epochs=1)
    assert record.first is None
    assert (
        kt.sparsify(mlp(), 0.8, mask="magnitude").layers[1].masked_kernels[0].first.kernel is None
    )
