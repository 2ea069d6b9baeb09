"""What goes wrong around a process: a disk that is full, a kill, a damaged file."""

import contextlib
import os
import random
import resource
import signal


@contextlib.contextmanager
def room_for(size):
    """Lets no file grow beyond `size` bytes: the operating system refuses, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def start(action):
    """Runs `action` in another process, which is killed where it ends; returns its id."""
    if process := os.fork():
        return process
    try:
        action()
    finally:
        os.kill(os.getpid(), signal.SIGKILL)


def kill(process):
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def run_killed(action):
    """Runs `action` in another process, which is killed at its end, before anything is tidied."""
    os.waitpid(start(action), 0)


def damaged(content, flips, cuts, seed=0):
    """So many copies of `content` with one bit changed, and so many that are cut off."""
    rng = random.Random(seed)
    for _ in range(flips):
        place = rng.randrange(8 * len(content))
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        yield bytes(changed)
    for _ in range(cuts):
        yield content[: rng.randrange(len(content))]
