"""Tickets: what they hold, their files, and transplanting them."""

import contextlib
import errno
import hashlib
import json
import os
import resource

import keras
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_tickets as kt

X = np.random.default_rng(0).normal(size=(32, 7)).astype("float32")
Y = np.random.default_rng(1).normal(size=(32, 3)).astype("float32")


def network(width=10, seed=0, trainable=True):
    """A nested network with batch norm; `trainable=False` freezes its encoder."""
    keras.utils.set_random_seed(seed)
    encoder = keras.Sequential(
        [
            keras.Input((7,)),
            keras.layers.Dense(width, "relu", name="fc"),
            keras.layers.BatchNormalization(name="norm"),
        ],
        name="encoder",
    )
    inputs = keras.Input((7,))
    x = keras.layers.Dropout(0.1, seed=seed, name="drop")(encoder(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3, name="head")(x), name="network")
    encoder.trainable = trainable
    return model


def sparse(seed=0):
    """A sparse network whose weights, biases and statistics are all drawn."""
    model = kt.sparsify(network(seed=seed), 0.5, distribution="uniform", seed=seed)
    rng = np.random.default_rng(seed)
    for variable in kt.weight_paths(model).values():
        variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    model.rest()
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def trained(seed=0):
    model = sparse(seed)
    model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    return model


def state(model):
    weights = {path: v.numpy() for path, v in kt.weight_paths(model).items()}
    return weights, kt.get_masks(model), [v.numpy() for v in model.optimizer.variables]


def assert_same(ours, theirs):
    assert list(ours) == list(theirs)
    for path, value in ours.items():
        assert value.dtype == theirs[path].dtype
        np.testing.assert_array_equal(value, theirs[path])


PATHS = [
    "encoder/fc/kernel",
    "encoder/fc/bias",
    "encoder/norm/gamma",
    "encoder/norm/beta",
    "encoder/norm/moving_mean",
    "encoder/norm/moving_variance",
    "head/kernel",
    "head/bias",
]


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


def test_a_file_gives_back_the_ticket_bit_by_bit(tmp_path):
    model = sparse()
    provenance = {"config": {"lr": 0.01, "rates": [0.2, 0.1]}, "seed": 3, "parent": None}
    saved = kt.save_ticket(tmp_path / "a.ticket", model, provenance=provenance)
    loaded = kt.load_ticket(tmp_path / "a.ticket")
    weights, masks, _ = state(model)
    for ticket in (saved, loaded):
        assert_same(ticket.weights, weights)
        assert_same(ticket.masks, masks)
        assert ticket.provenance == {"keras_tickets": kt.__version__, **provenance}
    assert loaded.digest == saved.digest and len(saved.digest) == 64
    assert loaded.sparsity == pytest.approx(model.sparsity)


def test_other_readers_of_safetensors_open_the_file(tmp_path):
    ticket = kt.save_ticket(tmp_path / "a.safetensors", sparse())
    arrays = safetensors.numpy.load_file(tmp_path / "a.safetensors")
    assert len(arrays) == len(PATHS) + 2
    for path, value in ticket.weights.items():
        np.testing.assert_array_equal(arrays[f"weights/{path}"], value)
    for path, mask in ticket.masks.items():
        bits = arrays[f"masks/{path}"]
        assert bits.dtype == np.uint8 and bits.nbytes == -(-mask.size // 8)
        np.testing.assert_array_equal(np.unpackbits(bits)[: mask.size].reshape(mask.shape), mask)
    with safetensors.safe_open(tmp_path / "a.safetensors", "numpy") as file:
        metadata = file.metadata()
    assert metadata["digest"] == ticket.digest
    assert json.loads(metadata["provenance"]) == ticket.provenance


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_other_dtypes(dtype, tmp_path):
    layers = [keras.Input((5,)), keras.layers.Dense(4, name="fc", dtype=dtype)]
    model = kt.sparsify(keras.Sequential(layers), 0.5)
    saved = kt.save_ticket(tmp_path / "a.ticket", model)
    loaded = kt.load_ticket(tmp_path / "a.ticket")
    assert loaded.weights["fc/kernel"].dtype.name == dtype
    assert_same(saved.weights, loaded.weights)


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
    with pytest.raises(ValueError, match="'encoder/fc/kernel' has a mask in the ticket and cannot"):
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
        "masks": (head, "'encoder/fc/kernel' has a mask in the ticket and cannot have one"),
    }


@pytest.mark.parametrize("name", ["sparse", "dense", "shallow", "deep", "masks"])
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
        (({"k": np.ones(4)}, {"k": np.ones(3)}), r"'k' has shape \(4,\); its weights have \(3,\)"),
        (({"k": np.full(3, 2)}, {"k": np.ones(3)}), "'k' must be boolean or hold only 0 and 1"),
        (({"k": np.ones(1)}, {"k": np.array(["a"])}), r"weights\['k'\]` is not numeric: .* <U1"),
        (({"k": np.ones(1)}, {"k": np.array([None])}), "is not numeric: its dtype is object"),
        (({"k": np.ones(1)}, {"k": np.ones(1)}, {"a": float("nan")}), "must hold what JSON can"),
        (({"k": np.ones(1)}, {"k": np.ones(1)}, {"a": np.ones(2)}), "must hold what JSON can"),
    ],
)
def test_wrong_content_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        kt.Ticket(*arguments)


def test_weights_that_do_not_fit_the_model_are_refused(tmp_path):
    model = sparse()
    weights = dict(kt.Ticket.of(model).weights)
    del weights["head/bias"]
    with pytest.raises(ValueError, match=r"'head/bias' of shape \(3,\); `weights` has none"):
        kt.save_ticket(tmp_path / "a.ticket", model, weights=weights)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def ticket_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("tickets") / "a.ticket"
    kt.save_ticket(path, sparse(), provenance={"seed": 0, "name": "café"})
    return path.read_bytes(), path.with_name("changed.ticket")


def assert_refused(content, path):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"ticket file '.*{path.name}' is damaged or no ticket"):
        kt.load_ticket(path)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_every_changed_byte_is_noticed(data, ticket_file):
    content, path = ticket_file
    header = 8 + int.from_bytes(content[:8], "little")
    regions = [(0, 8), (8, header), (header, len(content))]
    start, end = data.draw(st.sampled_from(regions))
    position = data.draw(st.integers(start, end - 1))
    value = data.draw(st.integers(0, 255).filter(lambda v: v != content[position]))
    assert_refused(content[:position] + bytes([value]) + content[position + 1 :], path)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_file_that_is_cut_off_or_longer_is_noticed(data, ticket_file):
    content, path = ticket_file
    size = data.draw(st.integers(0, len(content) - 1))
    assert_refused(content[:size], path)
    assert_refused(content + data.draw(st.binary(min_size=1, max_size=9)), path)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=64))
def test_anything_else_is_no_ticket(ticket_file, content):
    _, path = ticket_file
    assert_refused(content, path)
    assert_refused(len(content).to_bytes(8, "little") + content, path)


def test_a_ticket_changed_with_another_tool_is_noticed(ticket_file):
    content, path = ticket_file
    arrays = safetensors.numpy.load(content)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    metadata = header["__metadata__"]
    arrays["weights/head/bias"] = arrays["weights/head/bias"] + 1
    assert_refused(safetensors.numpy.save(arrays, metadata), path)


def test_a_later_format_is_named(ticket_file):
    content, path = ticket_file
    changed = content.replace(b"keras_tickets ticket 1", b"keras_tickets ticket 2")
    path.write_bytes(changed)
    with pytest.raises(ValueError, match="format is 'keras_tickets ticket 2', not"):
        kt.load_ticket(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no ticket file '.*none.ticket'"):
        kt.load_ticket(tmp_path / "none.ticket")


def test_an_existing_file_is_not_overwritten(tmp_path):
    path = tmp_path / "a.ticket"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="a.ticket' exists already, and nothing is overwr"):
        kt.save_ticket(path, sparse())
    assert path.read_text() == "mine" and list(tmp_path.iterdir()) == [path]


@contextlib.contextmanager
def room_for(size):
    """Lets no file grow beyond `size` bytes: the operating system refuses, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 100, 1000])
def test_where_there_is_no_room_nothing_is_left(size, tmp_path):
    model, path = sparse(), tmp_path / "a.ticket"
    with room_for(size), pytest.raises(OSError, match=r"file '.*a\.ticket' cannot be written: "):
        kt.save_ticket(path, model)
    assert list(tmp_path.iterdir()) == []
    kt.save_ticket(path, model)
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_is_full_when_the_file_is_synced(tmp_path, monkeypatch):
    def fsync(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="cannot be written: No space left on device") as failure:
        kt.save_ticket(tmp_path / "a.ticket", sparse())
    assert failure.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(OSError, match="none/a.ticket' cannot be written: No such file"):
        kt.save_ticket(tmp_path / "none" / "a.ticket", sparse())


def test_file_systems_without_links(tmp_path, monkeypatch):
    def link(source, target):
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", link)
    path, model = tmp_path / "a.ticket", sparse()
    saved = kt.save_ticket(path, model)
    assert kt.load_ticket(path).digest == saved.digest
    with pytest.raises(FileExistsError):
        kt.save_ticket(path, model)
    assert list(tmp_path.iterdir()) == [path]


def test_digest_is_sha256_of_the_file_with_sorted_arrays_and_no_digest(ticket_file):
    content, path = ticket_file
    path.write_bytes(content)
    ticket = kt.load_ticket(path)
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    metadata = header.pop("__metadata__")
    del metadata["digest"]
    canonical, data = {"__metadata__": metadata}, b""
    for name, kind in sorted(header.items()):
        start, end = kind["data_offsets"]
        offsets = [len(data), len(data) + end - start]
        data += content[8 + size + start : 8 + size + end]
        canonical[name] = {**kind, "data_offsets": offsets}
    text = json.dumps(canonical, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    expected = hashlib.sha256(len(text).to_bytes(8, "little") + text + data).hexdigest()
    assert ticket.digest == expected
