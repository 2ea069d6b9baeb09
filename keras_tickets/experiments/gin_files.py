"""Reads gin files, whose includes are relative to the file that includes them."""

import contextlib
import io
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

import gin

from keras_tickets.experiments import configurations, gin_bindings
from keras_tickets.experiments.experiment import Experiment
from keras_tickets.experiments.user_modules import UserModules

_UNKNOWN = re.compile(r"No configurable matching (?:reference )?'@?(?:[\w./]*/)?([\w.]+)(?:\(\))?'")
_NO_PARAMETER = re.compile(r"Configurable '(?:[\w./]*/)?([\w.]+)' doesn't have a parameter")


def read_experiment(
    files: Sequence[str],
    parameters: Sequence[str] = (),
    modules: Sequence[str] = (),
    prepare: Callable[[str, int | None], object] = lambda strategy, replicas: None,
) -> Experiment:
    """The experiment that configurations describe.

    Args:
        files: Paths, or names of configurations that come with the package; later ones override
            earlier ones.
        parameters: Settings, such as "train.seed=1", which override the files.
        modules: Names of modules that are imported first, as by `import` in a file.
        prepare: Called with `train.strategy` and `train.replicas` before anything is made of the
            configuration: some strategies must come before the first tensor.

    Raises:
        ValueError: A file, a module or a setting is wrong; the error says which.
        FileNotFoundError: There is no such file.

    Example:

    ```python
    from keras_tickets.experiments.gin_files import read_experiment

    assert read_experiment(["digits/rigl.gin"], ["train.seed=1"]).seed == 1
    ```
    """
    gin.clear_config()
    gin_bindings.bind()
    _READER.modules = UserModules()
    paths = [configurations.find(name) for name in files]
    for name in modules:
        with _named(f"--module={name}"):
            _READER.modules.load(name, paths[0].parent if paths else ".")
            gin.parse_config(f"import {name}")
    for path in paths:
        with _named(f"gin file {str(path)!r}"):
            gin.parse_config_file(str(path))
    for parameter in parameters:
        with _named(f"--gin_param={parameter!r}"):
            _READER.modules.read(parameter, ".")
            gin.parse_config(parameter)
    gin.finalize()
    settings = gin.get_bindings("train", resolve_references=False)
    strategy, replicas = settings.get("strategy", "none"), settings.get("replicas")
    if isinstance(strategy, str) and isinstance(replicas, int | None):
        prepare(strategy, replicas)
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
        text = str(error) or type(error).__name__
        raise ValueError(f"{source}: {text}{_what_exists(text)}") from error


def _what_exists(error: str) -> str:
    """The names that gin would know, after an error about one that it does not."""
    if unknown := _UNKNOWN.search(error):
        names = _READER.modules.names(unknown[1])
        return f" The names are: {', '.join(names or gin_bindings.known_names())}"
    if found := _NO_PARAMETER.search(error):
        return f" They are: {', '.join(gin_bindings.parameters_of(found[1]))}"
    return ""


class _Reader:
    """Opens files for gin, which reads an include while the file that includes it is open.

    Attributes:
        modules: What the files import; each file's modules are imported before gin reads it.
    """

    def __init__(self):
        self.modules = UserModules()
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
            text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
            self.modules.read(text, path.parent)
            yield io.StringIO(text)
        finally:
            self._open.pop()

    def _find(self, name):
        return configurations.find(name, self._open[-1].parent if self._open else ".")


_READER = _Reader()
# In front of gin's own reader, which `gin.register_file_reader` is not: that one looks in the
# current directory.
gin.config._FILE_READERS.insert(0, (_READER, _READER.finds))
