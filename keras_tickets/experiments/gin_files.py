"""Reads gin files, whose includes are relative to the file that includes them."""

import contextlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import TextIO

import gin

from keras_tickets.experiments import configurations, gin_bindings
from keras_tickets.experiments.experiment import Experiment


def read_experiment(files: Sequence[str], parameters: Sequence[str] = ()) -> Experiment:
    """The experiment that configurations describe.

    Args:
        files: Paths, or names of configurations that come with the package; later ones override
            earlier ones.
        parameters: Settings, such as "train.seed=1", which override the files.

    Raises:
        ValueError: A file or a setting is wrong; the error says which.
        FileNotFoundError: There is no such file.

    Example:

    ```python
    from keras_tickets.experiments.gin_files import read_experiment

    assert read_experiment(["digits/rigl.gin"], ["train.seed=1"]).seed == 1
    ```
    """
    gin.clear_config()
    gin_bindings.bind()
    for name in files:
        path = configurations.find(name)
        with _named(f"gin file {str(path)!r}"):
            gin.parse_config_file(str(path))
    for parameter in parameters:
        with _named(f"--gin_param={parameter!r}"):
            gin.parse_config(parameter)
    gin.finalize()
    try:
        return gin.get_configurable("train")()
    except RecursionError:
        raise ValueError("the configuration has a value that refers to itself") from None


@contextlib.contextmanager
def _named(source: str) -> Iterator[None]:
    """Says where an error comes from: gin, and a module that it imports, may raise any or exit."""
    try:
        yield
    except (Exception, SystemExit) as error:
        raise ValueError(f"{source}: {error or type(error).__name__}") from error


class _Reader:
    """Opens files for gin, which reads an include while the file that includes it is open."""

    def __init__(self):
        self._open: list[pathlib.Path] = []

    def finds(self, name: str) -> bool:
        """Whether this reader opens the file: gin asks before it does."""
        return bool(self._find(name))

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[TextIO]:
        path = self._find(name)
        if any(path.samefile(file) for file in self._open):
            raise ValueError(f"{str(path)!r} includes itself")
        self._open.append(path)
        try:
            with open(path, encoding="utf-8-sig") as file:  # some editors begin a file with a mark
                yield file
        finally:
            self._open.pop()

    def _find(self, name):
        return configurations.find(name, self._open[-1].parent if self._open else ".")


_READER = _Reader()
# In front of gin's own reader, which `gin.register_file_reader` is not: that one looks in the
# current directory.
gin.config._FILE_READERS.insert(0, (_READER, _READER.finds))
