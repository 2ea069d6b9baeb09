"""`RewindTrainer`: resuming, sharing and extending a store, and what is refused."""

import errno
import os
import pathlib
import shutil
import threading

import keras
import pytest
from rewound_networks import Spy, Stop, fit, network, trainer, without_time
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets.trainers.level_store import LevelStore


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The trainer of a finished run of one level and a control, and its store."""
    store = tmp_path_factory.mktemp("finished") / "store"
    made = trainer(levels=1, control="reinit", store=store)
    fit(made)
    return made, store


@pytest.fixture
def store(finished, tmp_path):
    """A copy of the finished store."""
    return pathlib.Path(shutil.copytree(finished[1], tmp_path / "store"))


@pytest.mark.slow
def test_finished_levels_are_not_run_again_and_more_can_be_added(tmp_path):
    whole = trainer(levels=2, control="random", store=tmp_path / "whole")
    fit(whole)
    fit(trainer(levels=1, store=tmp_path / "parts"))
    spy = Spy()
    again = trainer(levels=1, store=tmp_path / "parts")
    fit(again, [spy])
    assert not spy.starts
    more = trainer(levels=2, control="random", store=tmp_path / "parts")
    fit(more, [spy])
    assert len(spy.starts) == 2 * 3
    assert without_time(more.results) == without_time(whole.results)


@pytest.mark.parametrize(
    "epochs_before", slow_unless(lambda epochs: epochs == 4, [0, 1, 2, 3, 4, 6])
)
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(epochs_before, finished, tmp_path):
    whole, _ = finished
    with pytest.raises(KeyboardInterrupt):
        fit(trainer(levels=1, control="reinit", store=tmp_path / "parts"), [Stop(epochs_before)])
    parts = trainer(levels=1, control="reinit", store=tmp_path / "parts")
    fit(parts)
    assert without_time(parts.results) == without_time(whole.results)
    for level, control in ((0, None), (1, None), (1, "reinit")):
        a, b = (t.level_store.trained(level, control) for t in (whole, parts))
        assert all(a.weights[path].tobytes() == b.weights[path].tobytes() for path in a.weights)


def test_who_shares_a_store_waits(tmp_path):
    held, free = threading.Event(), threading.Event()
    order = []

    def hold():
        with LevelStore(tmp_path).locked():
            held.set()
            free.wait(5)
            order.append("first")

    other = threading.Thread(target=hold)
    other.start()
    held.wait(5)
    threading.Timer(0.3, free.set).start()
    with LevelStore(tmp_path).locked():
        order.append("second")
    other.join()
    assert order == ["first", "second"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"levels": -1}, "`levels` must be a non-negative integer. Received: levels=-1"),
        ({"rate": 1.0}, "`rate` must be .* rate=1.0"),
        ({"scope": "layer"}, "`scope` must be one of"),
        ({"rates": {"fc": 0.1}}, '`rates` needs scope="local"'),
        ({"rewind": "weight"}, "`rewind` must be among"),
        ({"optimizer_state": "kept"}, "`optimizer_state` must be one of"),
        ({"data_order": "old"}, "`data_order` must be one of"),
        ({"control": "reinitialise"}, "`control` must be among"),
        ({"rewind": 5}, "`rewind` must be among .* rewind=5"),
        (
            {"control": "random", "control_levels": [-1]},
            "`control_levels` must be a non-negative integer",
        ),
        ({"rewind_to": 1.5}, "A step must be"),
        ({"seed": -1}, "`seed` must be"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        trainer(**arguments)


def test_wrong_use(tmp_path):
    with pytest.raises(ValueError, match="which is step 18 of 18"):
        fit(trainer(rewind_to="18it"))
    with pytest.raises(ValueError, match="must not change masks"):
        trainer(optimizer=kt.optimizers.RigL(keras.optimizers.SGD(0.1)))
    with pytest.raises(ValueError, match="use_ema=True"):
        trainer(optimizer=keras.optimizers.SGD(0.1, use_ema=True))
    with pytest.raises(ValueError, match="has no kernels to prune"):
        kt.trainers.RewindTrainer(
            keras.Sequential([keras.Input((4,)), keras.layers.ReLU()]), levels=1
        )
    with pytest.raises(TypeError, match="`rates` must be a dict"):
        trainer(scope="local", rates=[0.1])
    with pytest.raises(ValueError, match="`epochs` must be a positive integer"):
        fit(trainer(), epochs=2.5)
    with pytest.raises(ValueError, match="no ticket of level 1"):
        trainer().ticket(1)
    structured = kt.sparsify(network(), {"": 0.0}, mask="ones", structure=kt.structures.Channel())
    with pytest.raises(ValueError, match='use scope="local"'):
        fit(trainer(structured))


def test_a_full_disk_is_named_and_leaves_what_was_there(store, monkeypatch):
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left on device"):
            fit(trainer(levels=2, store=store))
    assert all(path.read_bytes() == content for path, content in before.items())
    more = trainer(levels=2, store=store)
    fit(more)
    assert [row["level"] for row in more.results] == [0, 1, 2]


def test_a_store_of_another_run_or_damaged_is_refused_and_left_as_it_was(store):
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="rate is 0.3, was 0.2"):
        fit(trainer(rate=0.3, store=store))
    with pytest.raises(ValueError, match="rewind_to is 9, was 8"):
        fit(trainer(rewind_to=9, store=store))
    with pytest.raises(ValueError, match="initial_state is"):
        fit(trainer(network(seed=5), store=store))
    assert before == {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    file = store / "level_01" / "trained.safetensors"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="trained.safetensors"):
        fit(trainer(levels=2, store=store))
