"""Configurations by path or by name: where they are found, and those that come with the package."""

import os
import pathlib
import re

from keras_tickets._files.home import expand_home

_PACKAGE = pathlib.Path(__file__).parents[1]


def installed_directory() -> pathlib.Path:
    """Directory of the configurations that come with the package.

    A wheel has them inside of the package, a clone beside it.
    """
    inside = _PACKAGE / "gin_configs"
    return inside if inside.is_dir() else _PACKAGE.parent / "gin_configs"


def installed() -> dict[str, pathlib.Path]:
    """`{name: file}` of the configurations that come with the package; "digits/rigl.gin" is one."""
    directory = installed_directory()
    files = sorted(directory.glob("*/*.gin"))
    return {file.relative_to(directory).as_posix(): file for file in files}


def find(name: str, directory: str | os.PathLike = ".") -> pathlib.Path:
    """The file of a configuration; a file of the user's comes before one of the package.

    Args:
        name: A path, where `~` is the home directory; or the name of an installed configuration.
        directory: What a relative path is relative to.

    Returns:
        The absolute path of a file that is there.

    Raises:
        FileNotFoundError: There is none.
        OSError: It is a directory, a pipe or a device.

    Example:

    ```python
    from keras_tickets.experiments import configurations

    assert configurations.find("digits/rigl.gin").is_file()
    ```
    """
    path = expand_home(name)
    for place in (directory, installed_directory()):
        file = pathlib.Path(os.path.abspath(os.path.join(place, path)))
        if file.is_file():
            return file
        if file.exists():
            raise OSError(f"gin file {name!r} is not a regular file")
    where = "" if os.path.isabs(path) else f" in {os.path.abspath(directory)!r}"
    raise FileNotFoundError(
        f"gin file {name!r} does not exist{where}, and no configuration that comes with the "
        "package has this name: `keras-tickets configs` lists them"
    )


def summary_of(file: pathlib.Path) -> str:
    """The first sentence of the comment that a configuration begins with."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return re.split(r"(?<=[a-z)\d])\.(?: |$)", " ".join(lines), maxsplit=1)[0]
