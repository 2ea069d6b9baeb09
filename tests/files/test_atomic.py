"""Files and directories that are complete or not there."""

import contextlib
import errno
import os
import random
import signal
import time

import pytest
from faults import kill, room_for, run_killed, start
from slow_cases import slow_unless

from keras_tickets._files import atomic
from keras_tickets._files.atomic import (
    MARK,
    create_file,
    creating,
    remove_directory,
    remove_leftovers,
    replace_file,
    replacing,
    room_beside,
    take_places,
)


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def fill(directory, content):
    (directory / "inner").mkdir(parents=True)
    (directory / "inner" / "file").write_text(content)


def test_a_new_file_and_a_new_directory_appear_whole(tmp_path):
    with creating(tmp_path / "a") as file, creating(tmp_path / "b") as directory:
        file.write_text("content")
        fill(directory, "content")
        assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()
    assert names(tmp_path) == ["a", "b"]
    assert (tmp_path / "b" / "inner" / "file").read_text() == "content"


@pytest.mark.parametrize("there", ["file", "directory", "link"])
@pytest.mark.parametrize("late", [False, True])
def test_nothing_is_overwritten_by_what_is_new(there, late, tmp_path):
    path = tmp_path / "a"

    def occupy():
        if there == "file":
            path.write_text("mine")
        elif there == "directory":
            fill(path, "mine")
        else:
            path.symlink_to(tmp_path / "nowhere")

    for make in (lambda new: new.write_text("new"), lambda new: fill(new, "new")):
        if not late:
            occupy()
        with pytest.raises(FileExistsError, match="a' exists already, and nothing is overwritt"):
            with creating(path) as temporary:
                make(temporary)
                if late:
                    occupy()
        assert names(tmp_path) == ["a"]
        if there == "directory":
            assert (path / "inner" / "file").read_text() == "mine"
            remove_directory(path)
        else:
            assert path.is_symlink() or path.read_text() == "mine"
            path.unlink()


def test_what_is_replaced_is_replaced_whole_and_a_link_is_not_followed(tmp_path):
    replace_file(tmp_path / "a", b"old")
    replace_file(tmp_path / "a", b"new")
    fill(tmp_path / "b", "old")
    (tmp_path / "b" / "more").write_text("old")
    with replacing(tmp_path / "b") as temporary:
        fill(temporary, "new")
        assert (tmp_path / "b" / "inner" / "file").read_text() == "old"
    assert (tmp_path / "a").read_text() == (tmp_path / "b" / "inner" / "file").read_text() == "new"
    assert not (tmp_path / "b" / "more").exists()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    replace_file(tmp_path / "link", b"other")
    assert (tmp_path / "a").read_text() == "new" and not (tmp_path / "link").is_symlink()
    assert names(tmp_path) == ["a", "b", "link"]


def failures():
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return [(full, "a' cannot be written: No space left"), (KeyboardInterrupt("now"), "now")]


@pytest.mark.parametrize("failure, words", failures(), ids=["full disk", "interrupt"])
@pytest.mark.parametrize("call", ["fsync", "replace", "mkdir"])
def test_where_writing_fails_all_is_as_before(failure, words, call, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise failure

    fill(tmp_path / "a", "old")
    monkeypatch.setattr(atomic, "exchange_names", lambda a, b: False)  # as outside Linux
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(type(failure), match=words):
        with replacing(tmp_path / "a") as temporary:
            temporary.write_text("new")
    monkeypatch.undo()
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a" / "inner" / "file").read_text() == "old"


def test_a_full_disk_leaves_the_older_file(tmp_path):
    replace_file(tmp_path / "a", b"old")
    with room_for(100), pytest.raises(OSError, match="a' cannot be written: File too large"):
        replace_file(tmp_path / "a", bytes(1000))
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "old"


def test_names_as_long_as_they_may_be(tmp_path):
    create_file(tmp_path / ("a" * 255), b"content")
    for awkward in (MARK, "room", "replaced"):
        create_file(tmp_path / awkward, b"content")
        with replacing(tmp_path / awkward) as temporary:
            fill(temporary, "content")
    assert len(names(tmp_path)) == 4


def test_what_a_killed_process_left_goes_and_what_is_in_use_or_not_ours_stays(tmp_path):
    def write_half():
        with creating(tmp_path / "a") as temporary:
            fill(temporary, "half")
            os.kill(os.getpid(), signal.SIGKILL)

    run_killed(write_half)
    (left,) = tmp_path.iterdir()
    mine = tmp_path / f".keras_tickets_{'0' * 32}"
    fill(mine, "mine")
    link = tmp_path / f".keras_tickets_{'1' * 32}"
    link.symlink_to(left)
    file = tmp_path / f".keras_tickets_{'2' * 32}"
    file.write_text("mine")
    with room_beside(tmp_path / "b") as room:
        assert not left.exists()
        (room / "file").write_text("in use")
        remove_leftovers(tmp_path)
        run_killed(lambda: remove_leftovers(tmp_path))
        assert (room / "file").read_text() == "in use"
    assert sorted(tmp_path.iterdir()) == sorted([mine, link, file])


def test_a_directory_that_was_to_be_replaced_comes_back_after_a_kill(tmp_path):
    fill(tmp_path / "a", "old")

    def replace_half():
        with replacing(tmp_path / "a") as temporary:
            temporary.mkdir()
            atomic.exchange_names = lambda a, b: False  # as outside Linux
            os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)

    run_killed(replace_half)
    assert not (tmp_path / "a").exists()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["a"] and (tmp_path / "a" / "inner" / "file").read_text() == "old"


@pytest.mark.parametrize("older", slow_unless(bool, [True, False]))
def test_files_that_belong_together_are_all_old_or_all_new(older, tmp_path):
    last, part = tmp_path / "model.xml", tmp_path / "model.bin"

    def write(directory, content):
        for name in (last.name, part.name):
            (directory / name).write_text(content)

    def replace_and_die_at(call):
        calls = iter(range(call))

        def dying(real):
            def run(*paths):
                if next(calls, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                real(*paths)

            return run

        os.rename, os.link, os.replace = map(dying, (os.rename, os.link, os.replace))
        with room_beside(last) as room:
            (room / "new").mkdir()
            write(room / "new", "new")
            take_places(room / "new", last.name, tmp_path, room)

    found = []
    while found[-1:] != ["new"]:
        for path in tmp_path.iterdir():
            path.unlink()
        if older:
            write(tmp_path, "old")
        run_killed(lambda: replace_and_die_at(len(found)))
        assert not last.exists() or last.read_text() == part.read_text()
        remove_leftovers(tmp_path)
        there = {path.name: path.read_text() for path in tmp_path.iterdir()}
        assert not there or there == dict.fromkeys([last.name, part.name], there[last.name])
        found.append(there.get(last.name))
    assert len(found) > 4 and set(found[:-1]) == {"old" if older else None}


@pytest.mark.parametrize("links", [True, False])
def test_where_a_part_cannot_be_placed_the_older_files_come_back(links, tmp_path, monkeypatch):
    for name in ("a", "b", "z"):
        (tmp_path / name).write_text("old")

    def fail(source, target):
        if not links:
            raise OSError(errno.EPERM, "no links here")
        raise FileExistsError

    monkeypatch.setattr(os, "link", fail)
    with contextlib.suppress(FileExistsError), room_beside(tmp_path / "z") as room:
        (room / "new").mkdir()
        for name in ("a", "b", "z"):
            (room / "new" / name).write_text("new")
        take_places(room / "new", "z", tmp_path, room)
    expected = "old" if links else "new"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        ["a", "b", "z"], expected
    )


def test_a_kill_while_leftovers_are_removed_leaves_them_known_as_ours(tmp_path):
    def write_half():
        with creating(tmp_path / "a") as temporary:
            fill(temporary, "half")
            os.kill(os.getpid(), signal.SIGKILL)

    def remove_half():
        remove = os.unlink

        def die(path, *args, **kwargs):
            remove(path, *args, **kwargs)
            os.kill(os.getpid(), signal.SIGKILL)

        os.unlink = die
        remove_leftovers(tmp_path)

    run_killed(write_half)
    run_killed(remove_half)
    assert names(tmp_path)
    remove_leftovers(tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("kills", slow_unless(lambda kills: kills < 20, [12, 100]))
def test_kills_at_any_moment_leave_a_whole_file_and_nothing_for_long(kills, tmp_path):
    contents = [bytes([i]) * 50_000 for i in range(4)]
    rng, seen = random.Random(0), set()

    def write_on():
        while True:
            for i, content in enumerate(contents):
                replace_file(tmp_path / "file", content)
                with contextlib.suppress(FileExistsError):
                    create_file(tmp_path / f"new_{i}", content)
                with replacing(tmp_path / "directory") as temporary:
                    temporary.mkdir()
                    for name in ("x", "y"):
                        (temporary / name).write_bytes(content)

    for _ in range(kills):
        process = start(write_on)
        time.sleep(rng.uniform(0, 0.03))
        kill(process)
        remove_leftovers(tmp_path)
        for path in tmp_path.iterdir():
            parts = [path] if path.is_file() else sorted(path.iterdir())
            found = {part.read_bytes() for part in parts}
            assert len(found) == 1 and found < set(contents)
            assert len(parts) == (1 if path.is_file() else 2)
            seen.add(path.name)
        assert not [name for name in names(tmp_path) if name.startswith(".")]
    assert seen >= {"file", "directory", "new_0"}
