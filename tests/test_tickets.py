"""What tickets hold, and transplanting them."""

import keras
import numpy as np
import pytest
from slow_cases import slow_unless
from ticket_networks import PATHS, X, assert_same, network, sparse, state, trained

import keras_tickets as kt


def test_weight_paths_stay_through_the_life_of_a_model(tmp_path):
    dense, model = network(), sparse()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for each in (dense, model, loaded, kt.strip(model)):
        assert list(kt.weight_paths(each)) == PATHS
    assert set(kt.get_masks(model)) == {path for path in PATHS if path.endswith("kernel")}
    held = {id(variable) for variable in kt.weight_paths(model).values()}
    assert held <= {id(variable) for variable in model.weights}
    assert_same(state(model)[0], state(loaded)[0])


def test_weight_paths_number_what_repeats():
    class Pair(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="pair")
            self.parts = [keras.layers.Dense(4), keras.layers.Dense(4)]

        def call(self, x):
            return self.parts[1](self.parts[0](x))

    model = keras.Sequential([keras.Input((4,)), Pair()])
    expected = ["pair/dense/kernel", "pair/dense/bias", "pair/dense_1/kernel", "pair/dense_1/bias"]
    assert list(kt.weight_paths(model)) == expected


def test_digest_is_of_the_content_and_not_of_its_order():
    ticket = kt.Ticket.of(sparse(), provenance={"a": 1, "b": 2})

    def reverse(values):
        return dict(reversed(values.items()))

    same = kt.Ticket(*map(reverse, (ticket.masks, ticket.weights, ticket.provenance)))
    assert same.digest == ticket.digest
    others = [
        kt.Ticket(ticket.masks, ticket.weights, {"a": 1, "b": 3}),
        kt.Ticket(ticket.masks, {**ticket.weights, "head/bias": np.zeros(3, "float32")}),
        kt.Ticket({**ticket.masks, "head/kernel": np.zeros((10, 3))}, ticket.weights),
    ]
    assert len({ticket.digest, *(other.digest for other in others)}) == 4


def test_a_ticket_cannot_be_changed_and_is_a_copy():
    mask, weight = np.eye(3, dtype=bool), np.ones((3, 3))
    ticket = kt.Ticket({"k": mask}, {"k": weight})
    mask[:], weight[:] = False, 7
    np.testing.assert_array_equal(ticket.weights["k"], np.eye(3))
    for change in (
        lambda: ticket.weights["k"].fill(0),
        lambda: ticket.masks.update(k=mask),
        lambda: setattr(ticket, "masks", {}),
    ):
        with pytest.raises((ValueError, AttributeError)):
            change()


def test_weights_are_those_given_and_zero_off_the_masks():
    model = sparse()
    first = {path: np.full(v.shape, 2.0, "float32") for path, v in kt.weight_paths(model).items()}
    ticket = kt.Ticket.of(model, weights=first)
    for path, value in ticket.weights.items():
        mask = ticket.masks.get(path, np.ones(value.shape))
        np.testing.assert_array_equal(value, 2 * mask)


def test_transplant_into_a_sparse_model_of_another_seed():
    ticket, target = kt.Ticket.of(trained(seed=0)), trained(seed=1)
    assert not np.array_equal(target.masks["head/kernel"], ticket.masks["head/kernel"])
    assert ticket.apply(target) is target
    weights, masks, _ = state(target)
    assert_same(ticket.weights, weights)
    assert_same(ticket.masks, masks)
    momenta = [v for v in target.optimizer.variables if "head_kernel_momentum" in v.path]
    assert len(momenta) == 1 and momenta[0].numpy().any()
    assert not momenta[0].numpy()[~masks["head/kernel"]].any()


def test_transplant_into_a_dense_model():
    source, dense = sparse(), network(seed=5)
    before = {path: v.numpy() for path, v in kt.weight_paths(dense).items()}
    ticket = kt.Ticket.of(source)
    new = ticket.apply(dense)
    assert isinstance(new, kt.SparseModel) and not new.compiled
    assert_same(ticket.weights, {p: v.numpy() for p, v in kt.weight_paths(new).items()})
    assert_same(ticket.masks, new.masks)
    np.testing.assert_array_equal(new(X), source(X))
    assert_same(before, {path: v.numpy() for path, v in kt.weight_paths(dense).items()})


def test_the_new_model_is_saved_with_its_counts(tmp_path):
    new = kt.Ticket.of(sparse()).apply(network())
    new.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_same(new.masks, loaded.masks)
    assert kt.summary(loaded).nonzeros == sum(mask.sum() for mask in new.masks.values())


def test_kernels_without_a_mask_stay_dense():
    model = kt.sparsify(network(), {"encoder": 0.5})
    new = kt.Ticket.of(model).apply(network(seed=1))
    assert list(new.masks) == ["encoder/fc/kernel"]
    np.testing.assert_array_equal(new(X), model(X))


def test_frozen_layers():
    model = sparse()
    ticket = kt.Ticket.of(model)
    model.get_layer("encoder").trainable = False
    assert kt.Ticket.of(model).digest == ticket.digest
    other = sparse(seed=1)
    other.get_layer("encoder").trainable = False
    ticket.apply(other)
    assert_same(ticket.weights, {p: v.numpy() for p, v in kt.weight_paths(other).items()})
    with pytest.raises(
        ValueError, match="'encoder/fc/kernel' has a mask in the ticket, but cannot"
    ):
        ticket.apply(network(trainable=False))


def test_layers_that_derive_values_from_their_weights_do_so_again():
    def build(mean):
        norm = keras.layers.Normalization(name="norm")
        norm.adapt(np.array([[mean], [mean + 2.0]]))
        layers = [keras.Input((1,)), norm, keras.layers.Dense(2, name="fc")]
        return kt.sparsify(keras.Sequential(layers), 0.5)

    source, target = build(0.0), build(5.0)
    kt.Ticket.of(source).apply(target)
    assert np.any(source(np.full((1, 1), 4.0)))
    np.testing.assert_array_equal(source(np.full((1, 1), 4.0)), target(np.full((1, 1), 4.0)))


def other_networks():
    """(a model that the ticket of `trained` does not fit, what the error says)."""
    head = kt.sparsify(network(), {"head": 0.5})
    plain = keras.Sequential([keras.Input((7,)), keras.layers.Dense(3, name="head")])
    deeper = keras.Sequential([network(), keras.layers.Dense(3, name="more")])
    return {
        "sparse": (
            kt.sparsify(network(width=8), 0.5),
            r"'encoder/fc/kernel' has shape \(7, 8\) in the model and \(7, 10\) in the ticket",
        ),
        "dense": (network(width=8), r"'encoder/fc/kernel' has shape \(7, 8\)"),
        "shallow": (plain, r"'head/kernel' has shape \(7, 3\) in the model and \(10, 3\)"),
        "deep": (
            deeper,
            r"'network/encoder/fc/kernel' of shape \(7, 10\); the ticket has none",
        ),
        "masks": (head, "'encoder/fc/kernel' has a mask in the ticket, but cannot have one"),
    }


@pytest.mark.parametrize(
    "name",
    slow_unless(
        lambda name: name in ("dense", "deep", "masks"),
        ["sparse", "dense", "shallow", "deep", "masks"],
    ),
)
def test_the_first_mismatch_is_named_and_nothing_changes(name):
    model, message = other_networks()[name]
    model.compile("sgd", "mse")
    before = state(model)
    with pytest.raises(ValueError, match=message):
        kt.Ticket.of(sparse()).apply(model)
    for ours, theirs in zip(before[:2], state(model)[:2], strict=True):
        assert_same(ours, theirs)


def test_a_mismatch_late_in_the_model_changes_nothing_before_it():
    target = sparse(seed=1)
    before = state(target)
    ticket = kt.Ticket.of(sparse())
    longer = kt.Ticket(ticket.masks, {**ticket.weights, "more/bias": np.ones(3)})
    with pytest.raises(ValueError, match=r"there is 'more/bias' of shape \(3,\); the model has no"):
        longer.apply(target)
    fewer = {path: mask for path, mask in ticket.masks.items() if path != "head/kernel"}
    with pytest.raises(ValueError, match="'head/kernel' has a mask in the model and none in the"):
        kt.Ticket(fewer, ticket.weights).apply(target)
    after = state(target)
    assert_same(before[0], after[0])
    assert_same(before[1], after[1])
    for ours, theirs in zip(before[2], after[2], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({}, {"k": np.ones(3)}), "`masks` is empty"),
        (({"k": np.ones(3)}, {"q": np.ones(3)}), "`masks` names 'k', for which `weights` has"),
        (
            ({"k": np.ones(4)}, {"k": np.ones(3)}),
            r"'k' must have the shape of its kernel, \(3,\). Received: shape=\(4,\)",
        ),
        (({"k": np.full(3, 2)}, {"k": np.ones(3)}), "'k' must be boolean or hold only 0 and 1"),
        (({"k": np.ones(1)}, {"k": np.array(["a"])}), r"weights\['k'\]` is not numeric: .* <U1"),
        (({"k": np.ones(1)}, {"k": np.array([None])}), "is not numeric: its dtype is object"),
        (
            ({"k": np.ones(1)}, {"k": np.ones(1)}, {"a": float("nan")}),
            "must hold only what JSON can",
        ),
        (({"k": np.ones(1)}, {"k": np.ones(1)}, {"a": np.ones(2)}), "must hold only what JSON can"),
    ],
)
def test_wrong_content_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        kt.Ticket(*arguments)
