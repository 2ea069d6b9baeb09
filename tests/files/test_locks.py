"""Locks between processes."""

import threading
import time

import pytest
from faults import kill, start

from keras_tickets._files.locks import locked


def refuse():
    raise OSError("in use")


def hold_elsewhere(path):
    """The id of a process that holds the lock."""

    def hold():
        with locked(path, busy=refuse):
            (path.parent / "held").touch()
            time.sleep(100)

    process = start(hold)
    while not (path.parent / "held").exists():
        time.sleep(0.001)
    return process


def test_a_process_that_is_killed_leaves_no_lock(tmp_path):
    path = tmp_path / "lock"
    process = hold_elsewhere(path)
    with pytest.raises(OSError, match="in use"), locked(path, busy=refuse):
        pass
    kill(process)
    assert path.exists()
    with locked(path, busy=refuse):
        assert path.exists()
    assert not path.exists()


def test_waiting(tmp_path):
    path, told = tmp_path / "lock", []
    process = hold_elsewhere(path)
    threading.Timer(0.1, kill, [process]).start()
    with locked(path, busy=lambda: told.append(1)):
        assert told == [1]


def test_one_at_a_time(tmp_path):
    path, inside, most = tmp_path / "lock", [], []

    def use():
        for _ in range(20):
            with locked(path, busy=lambda: None):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0005)
                inside.pop()

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 80 and not path.exists()


@pytest.mark.parametrize("kind", ["link", "directory", "content"])
def test_what_is_not_ours_is_not_changed(kind, tmp_path):
    path, mine = tmp_path / "lock", tmp_path / "mine"
    mine.write_text("mine")
    if kind == "link":
        path.symlink_to(mine)
    elif kind == "directory":
        path.mkdir()
    else:
        path.write_text("mine")
        with locked(path, busy=refuse):
            pass
        assert path.read_text() == "mine"
        return
    with pytest.raises(OSError, match="lock' (cannot be opened|is not a regular file)"):
        with locked(path, busy=refuse):
            pass
    assert mine.read_text() == "mine" and (path.is_symlink() or path.is_dir())
