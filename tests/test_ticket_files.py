"""Files of tickets: what is in them, and what is refused."""

import errno
import hashlib
import json
import os

import keras
import numpy as np
import pytest
import safetensors.numpy
from faults import room_for
from hypothesis import given, settings
from hypothesis import strategies as st
from ticket_networks import PATHS, assert_same, sparse, state

import keras_tickets as kt


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
    with pytest.raises(
        ValueError, match=rf"ticket file '.*{path.name}' is damaged or is not a ticket"
    ):
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
    changed = content.replace(b"keras_tickets ticket 1", b"keras_tickets ticket 3")
    path.write_bytes(changed)
    with pytest.raises(ValueError, match="format is 'keras_tickets ticket 3', not"):
        kt.load_ticket(path)


def test_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    saved = kt.save_ticket("~/a.ticket", sparse())
    assert (tmp_path / "a.ticket").is_file()
    assert kt.load_ticket("~/a.ticket").digest == saved.digest
    with pytest.raises(ValueError, match="no such user"):
        kt.load_ticket("~nosuchuser/a.ticket")


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no ticket file '.*none.ticket'"):
        kt.load_ticket(tmp_path / "none.ticket")


def test_an_existing_file_is_not_overwritten(tmp_path):
    path = tmp_path / "a.ticket"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="a.ticket' exists already, and nothing is overwr"):
        kt.save_ticket(path, sparse())
    assert path.read_text() == "mine" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("size", [0, 100, 1000])
def test_where_there_is_no_room_nothing_is_left(size, tmp_path):
    model, path = sparse(), tmp_path / "a.ticket"
    with room_for(size), pytest.raises(OSError, match=r"a\.ticket' cannot be written: "):
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
