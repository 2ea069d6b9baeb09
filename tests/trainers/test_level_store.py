"""The directory of a run of levels: whose it is, who uses it, and which level a file is of."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import time

import pytest
from faults import kill, room_for, run_killed, start

from keras_tickets._files.atomic import room_beside
from keras_tickets.trainers.level_store import LOCK, LevelStore

OLD = pathlib.Path(__file__).parents[1] / "data" / "version_0_1_0_dev0" / "levels"
SETTINGS = json.loads((OLD / "settings.json").read_text())


@pytest.fixture
def store(tmp_path):
    return LevelStore(shutil.copytree(OLD, tmp_path / "store"))


def listing(directory):
    """All below a directory, with what stands in the files."""
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None
        for path in directory.rglob("*")
    }


def use(store, settings=SETTINGS):
    with store.locked():
        store.open(settings)


def test_a_store_is_left_as_it_was_found(store):
    before = listing(store.path)
    use(store)
    assert listing(store.path) == before


@pytest.mark.parametrize("name", ["thesis.txt", "level_00/thesis.txt", "settings.json"])
def test_a_directory_of_something_else_is_refused_untouched(name, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('{"theme": "dark"}')
    before = listing(tmp_path)
    with pytest.raises(ValueError, match="no levels: choose|settings.json' is damaged, or of anot"):
        use(LevelStore(tmp_path))
    assert listing(tmp_path) == before
    with pytest.raises(NotADirectoryError, match="is not a directory"):
        use(LevelStore(tmp_path / name))


@pytest.mark.parametrize("name", [".lock", LOCK])
def test_what_a_link_in_the_place_of_the_lock_points_to_is_not_emptied(name, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / name).symlink_to(tmp_path / "thesis.txt")
    if name == LOCK:
        with pytest.raises(OSError, match="it is a link"):
            use(LevelStore(tmp_path / "store"))
    else:
        use(LevelStore(tmp_path / "store"))
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("name", ["level_01", "rewind_point", "rewind_point/state"])
def test_a_link_out_of_the_store_is_not_followed(name, store, tmp_path):
    (store.path / name).rename(tmp_path / "elsewhere")
    (store.path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=f"{name}' is a link"):
        use(store)


@pytest.mark.parametrize(
    "source, target, words",
    [
        ("level_01/ticket.safetensors", "level_02/ticket.safetensors", "is of level 1"),
        ("level_01/trained.safetensors", "level_02/trained.safetensors", "is of level 1"),
        ("level_01/result.json", "level_02/result.json", "is of another level: 1"),
        ("level_02/trained.safetensors", "level_02/ticket.safetensors", "not the one that"),
        ("level_02/ticket.safetensors", "level_02/trained.safetensors", "not of the ticket that"),
    ],
)
def test_a_file_of_one_level_is_not_one_of_another(source, target, words, store):
    shutil.copy(store.path / source, store.path / target)
    with pytest.raises(ValueError, match=words):
        store.ticket(2), store.trained(2), store.result(2)


def test_a_result_of_a_control_is_not_one_of_the_level(store):
    for control in ("random", None):
        (store.path / "level_01" / "random").mkdir(exist_ok=True)
        store.finish(1, control, store.result(1), {"loss": [0.5]})
    shutil.copy(store.level(1, "random") / "result.json", store.level(1))
    with pytest.raises(ValueError, match="of another level"):
        store.result(1)


def test_files_of_a_run_from_other_first_weights_are_refused(store):
    settings = {**SETTINGS, "initial_state": "0" * 64}
    (store.path / "settings.json").write_text(json.dumps(settings))
    for read in (store.ticket, store.trained):
        with pytest.raises(ValueError, match="of a run from other first weights"):
            read(1)
    at_k = store.read_rewind_point()  # that of an older version does not say
    shutil.rmtree(store.path / "rewind_point")
    store.write_rewind_point(list(at_k), list(at_k.values()))
    (store.path / "settings.json").write_text(json.dumps(SETTINGS))
    with pytest.raises(ValueError, match="of a run from other first weights"):
        store.read_rewind_point()


def test_a_second_process_waits_and_says_so(store):
    def hold():
        with store.locked():
            (store.path.parent / "held").touch()
            time.sleep(100)

    process = start(hold)
    while not (store.path.parent / "held").exists():
        time.sleep(0.001)

    def take():
        with store.locked():
            (store.path.parent / "taken").touch()
            time.sleep(100)

    second = start(take)
    time.sleep(0.2)
    assert not (store.path.parent / "taken").exists()
    kill(process)
    while not (store.path.parent / "taken").exists():
        time.sleep(0.001)
    kill(second)
    use(store)
    assert not (store.path / LOCK).exists()


def test_what_killed_runs_left_is_removed(store):
    before = listing(store.path)
    for directory in ("level_01", "rewind_point"):
        shutil.copytree(
            store.path / "rewind_point" / "state", store.path / directory / "checkpoints"
        )

    def write_half():
        with contextlib.ExitStack() as rooms:
            for directory in (store.path, store.path / "level_01", store._state):
                rooms.enter_context(room_beside(directory / "a"))
            os.kill(os.getpid(), signal.SIGKILL)

    run_killed(write_half)
    assert len(list(store.path.rglob(".keras_tickets_*"))) == 3
    use(store)
    assert listing(store.path) == before


def test_a_full_disk_is_named_and_nothing_is_left(store):
    before = listing(store.path)
    at_k, result = store.read_rewind_point(), store.result(1)
    writes = {
        "settings.json": lambda: LevelStore(store.path.parent / "new").open(SETTINGS),
        "epoch_000000": lambda: LevelStore(store.path.parent / "new").write_rewind_point(
            list(at_k), list(at_k.values())
        ),
        "result.json": lambda: store.finish(1, None, result, {"loss": [0.5]}),
    }
    (store.path.parent / "new").mkdir()
    (store.path / "level_01" / "metrics.csv").unlink()
    for name, write in writes.items():
        with room_for(200), pytest.raises(OSError, match=f"{name}' cannot be written: File too"):
            write()
    assert not [path for path in store.path.parent.rglob("*") if path.name.startswith(".")]
    before["level_01/metrics.csv"] = b"loss\n0.5\n"
    assert listing(store.path) == before
