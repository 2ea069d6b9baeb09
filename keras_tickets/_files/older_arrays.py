"""Arrays in `.npz` files, which version 0.1.0.dev0 wrote: still read, no longer written."""

import math
import os
import zipfile

import numpy as np

from keras_tickets._files.reading import open_file


def is_npz(path: str | os.PathLike) -> bool:
    """Whether a file begins like a `.npz` file."""
    with open_file(path) as (file, _):
        return file.read(4) == b"PK\x03\x04"


def read_npz(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads the arrays of a `.npz` file, by name; nothing is unpickled.

    It never allocates more memory than the size of the file, whatever its headers say.

    Args:
        path: The file.

    Returns:
        `{name: array}`, in the order of the file. The arrays are read-only.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It cannot be read.
        ValueError: It is damaged or not such a file.
    """
    with open_file(path) as (file, size):
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                _check_members(members, size)
                return {
                    member.filename.removesuffix(".npy"): _read_member(archive, member)
                    for member in members
                }
        except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
            raise ValueError(str(error)) from error


def _check_members(members, size):
    """Raises an error if members are compressed, or together larger than the file."""
    stored = all(m.compress_type == zipfile.ZIP_STORED for m in members)
    if not stored or sum(m.file_size for m in members) > size:
        raise ValueError("its arrays are compressed, or larger than the file")
    if len({m.filename for m in members}) < len(members):
        raise ValueError("two of its arrays have one name")


def _read_member(archive, member):
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{member.filename!r} is of version {version}, not (1, 0)")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.hasobject:
            raise ValueError(f"{member.filename!r} holds pickled objects, which are not read")
        data = file.read()
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"{member.filename!r} of shape {shape} has {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
