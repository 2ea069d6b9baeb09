"""Files of ours with single bits changed, or cut off: refused, or read as they were."""

import io
import json
import os
import pathlib
import pickle
import shutil
import zipfile

import keras
import numpy as np
import pytest
from faults import damaged

import keras_tickets as kt
from keras_tickets._files.checkpoints import read_checkpoint, write_checkpoint
from keras_tickets._files.documents import read_document
from keras_tickets._files.named_arrays import read_arrays
from keras_tickets._files.older_arrays import read_npz
from keras_tickets.callbacks.checkpoint import SCHEMA
from keras_tickets.experiments.work_directory import WorkDirectory
from keras_tickets.trainers.level_store import LevelStore

OLD = pathlib.Path(__file__).parents[1] / "data" / "version_0_1_0_dev0"
X = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
FLIPS, CUTS = 200, 40


def network():
    kernel = keras.initializers.GlorotUniform(0)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_initializer=kernel)])


def of_ticket(ticket):
    parts = (ticket.masks, ticket.weights, ticket.provenance)
    return [dict(part) for part in parts]


def make_ticket(directory):
    file = directory / "a.ticket"
    kt.save_ticket(file, kt.sparsify(network(), 0.5), provenance={"seed": 0, "name": "café"})
    return {"ticket": (file, lambda: of_ticket(kt.load_ticket(file)))}


def make_checkpoint(directory):
    description = {
        "epochs": [0, 1],
        "history": {"loss": [0.5, 0.25]},
        "seconds": 1.5,
        "variables": [
            {"path": f"layer/{name}", "shape": [3, 4], "copies": 1} for name in ("kernel", "mask")
        ],
    }
    arrays = [X[:3], X[:3] > 0]
    path = write_checkpoint(directory, 2, description, arrays, keep=1)
    return {
        name: (path / name, lambda: read_checkpoint(path, SCHEMA))
        for name in ("checkpoint.json", "variables.safetensors")
    }


def make_logits(directory):
    file, teacher = directory / "logits.safetensors", network()

    def read():
        found = kt.trainers.cache_logits(file, teacher, X)
        return found.logits, found.lookup(X)

    read()
    return {"teacher logits": (file, read)}


def make_store(directory):
    store = LevelStore(directory)
    shutil.copytree(OLD / "levels", directory, dirs_exist_ok=True)
    settings = json.loads((directory / "settings.json").read_text())
    (directory / "settings.json").unlink()
    result, at_k = store.result(1), store.read_rewind_point()
    store.open(settings)
    shutil.rmtree(directory / "rewind_point")
    store.write_rewind_point(list(at_k), list(at_k.values()))
    store.finish(1, None, result, {"loss": [0.5, 0.25]})
    level, state = directory / "level_01", directory / "rewind_point" / "state" / "epoch_000000"
    return {
        "settings": (directory / "settings.json", lambda: store.open(settings)),
        "result": (level / "result.json", lambda: store.result(1)),
        "ticket": (level / "ticket.safetensors", lambda: of_ticket(store.ticket(1))),
        "trained": (level / "trained.safetensors", lambda: of_ticket(store.trained(1))),
        "state": (state / "variables.safetensors", store.read_rewind_point),
        "names": (state / "checkpoint.json", store.read_rewind_point),
    }


def make_summary(directory):
    work = WorkDirectory(directory)
    work.begin("train.seed = 0\n")
    work.finish({"steps": 7, "test_accuracy": 0.5, "levels": [{"level": 0, "density": 1.0}]})
    file = directory / "summary.json"
    return {"summary": (file, lambda: work.open("train.seed = 0\n"))}


MAKERS = [make_ticket, make_checkpoint, make_logits, make_store, make_summary]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_no_damage_is_accepted_in_silence(make, tmp_path):
    for name, (file, read) in make(tmp_path).items():
        content, expected = file.read_bytes(), pickle.dumps(read())
        refused = 0
        for changed in damaged(content, FLIPS, CUTS):
            file.write_bytes(changed)
            try:
                assert pickle.dumps(read()) == expected, f"{name}: a change is accepted"
            except (ValueError, OSError) as error:
                refused += 1
                assert file.name in str(error)
        assert refused > 0.9 * (FLIPS + CUTS)
        file.write_bytes(content)
        assert pickle.dumps(read()) == expected


@pytest.mark.parametrize("file", ["checkpoint.json", "variables.npz", "teacher_logits.npz"])
def test_damage_of_older_files_is_an_error_that_names_them_or_goes_unseen(file, tmp_path):
    """Their digest covers the arrays of checkpoints alone."""
    old = OLD if file == "teacher_logits.npz" else OLD / "rigl_checkpoints" / "epoch_000003"
    directory = shutil.copytree(old, tmp_path / "epoch_000003")
    path = directory / file
    for changed in damaged(path.read_bytes(), FLIPS, CUTS):
        path.write_bytes(changed)
        try:
            if file == "teacher_logits.npz":
                read_npz(path)
            else:
                read_checkpoint(directory, SCHEMA)
        except (ValueError, OSError) as error:
            assert file == "teacher_logits.npz" or str(directory) in str(error)


def with_header(**entry):
    """A file of arrays whose header says what it likes."""
    kind = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **entry}
    header = {"__metadata__": {"format": "example 1"}, "a": kind}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(8)


@pytest.mark.parametrize(
    "content",
    [
        with_header(shape=[10**12], data_offsets=[0, 4 * 10**12]),
        with_header(shape=[10**12]),
        with_header(shape=[2**32, 2**32]),
        with_header(shape=[-1, -2]),
        with_header(shape=[2.0]),
        with_header(shape=[True, 2]),
        with_header(data_offsets=[0, 8, 16]),
        with_header(data_offsets=[-8, 0]),
        with_header(dtype="O"),
        with_header(more=1),
        (10**15).to_bytes(8, "little") + b"{}",
        b"\xff" * 64,
        (4000).to_bytes(8, "little") + b"[" * 4000,
    ],
)
def test_sizes_are_checked_before_memory_is_taken(content, tmp_path):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError):
        read_arrays(tmp_path / "a", "example 1")


def test_an_older_file_whose_header_asks_for_terabytes(tmp_path):
    path, header = tmp_path / "a.npz", io.BytesIO()
    kind = {"descr": "<f4", "fortran_order": False, "shape": (10**12,)}
    np.lib.format.write_array_header_1_0(header, kind)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", header.getvalue() + bytes(8))
    with pytest.raises(ValueError, match=r"'a.npy' of shape \(1000000000000,\) has 8 bytes"):
        read_npz(path)
    np.savez_compressed(path, a=np.zeros(10**6))
    with pytest.raises(ValueError, match="compressed"):
        read_npz(path)
    np.savez(path, a=np.array([object()]))
    with pytest.raises(ValueError, match="pickled objects, which are not read"):
        read_npz(path)


@pytest.mark.parametrize("read", [kt.load_ticket, lambda path: read_document(path, "x", {})])
def test_what_has_no_end_is_not_read(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, "/dev/zero"):
        with pytest.raises(OSError, match="is not a regular file"):
            read(path)
    with pytest.raises(TypeError):
        read(0)


def test_a_large_file_that_is_no_document_is_not_read(tmp_path):
    with open(tmp_path / "a.json", "wb") as file:
        file.truncate(10**12)
    with pytest.raises(ValueError, match="has 1,000,000,000,000 bytes"):
        read_document(tmp_path / "a.json", "x", {})
    with pytest.raises(ValueError, match="inside its header"):
        read_arrays(tmp_path / "a.json", "x")
