"""Modules of the user's: where they are found, and how gin knows what is in them."""

import importlib
import inspect
import os
import pathlib
import re
import sys
from types import ModuleType

import keras

from keras_tickets.experiments import gin_bindings

_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+)?import[ \t]+([\w.]+)", re.MULTILINE)


class UserModules:
    """The modules that configurations import.

    A function or class of one of them goes by its name in gin once a configuration writes it with
    that of the module, as in `@my_models.net`: nothing needs to be registered by hand.

    Attributes:
        modules: `{name: module}`.
    """

    def __init__(self):
        self.modules: dict[str, ModuleType] = {}

    def read(self, text: str, directory: str | os.PathLike) -> None:
        """Imports what a configuration imports, and binds the names of modules that it uses.

        Args:
            text: The configuration.
            directory: Where it is: modules are looked for in the current folder, then there.

        Raises:
            ImportError: A module cannot be found or imported.
        """
        for package, name in _IMPORT.findall(text):
            if package != "__gin__":
                self.load(f"{package}.{name}" if package else name, directory)
        for name, module in self.modules.items():
            self._bind(name, module, text)

    def load(self, name: str, directory: str | os.PathLike = ".") -> None:
        """Imports a module.

        Args:
            name: Its dotted name.
            directory: As in `read`.

        Raises:
            ImportError: It cannot be found or imported.
        """
        if name.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
            raise ImportError(
                "a module goes by its name, such as my_models, without its folder and without .py. "
                f"Received: {name!r}"
            )
        look_in(directory)
        try:
            self.modules[name] = importlib.import_module(name)
        except Exception as error:  # whatever the user's code raises
            if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
                places = " and ".join(dict.fromkeys((os.getcwd(), os.path.abspath(directory))))
                raise ImportError(
                    f"there is no module {name!r}: it is neither in {places} nor installed"
                ) from error
            raise ImportError(
                f"module {name!r} cannot be imported: {type(error).__name__}: {error}"
            ) from error
        _register(self.modules[name])

    def names(self, selector: str) -> list[str]:
        """The functions and classes of the module that a name in gin begins with, if any."""
        module = self.modules.get(selector.rpartition(".")[0])
        found = vars(module).items() if module else ()
        return [name for name, value in found if callable(value) and not name.startswith("_")]

    def _bind(self, name, module, text):
        package, _, last = name.rpartition(".")
        prefix = rf"(?:{re.escape(package)}\.)?" if package else ""
        for path in re.findall(rf"(?<![\w.]){prefix}{last}((?:\.\w+)+)", text):
            value, place = module, name
            for part in path[1:].split("."):
                value = getattr(value, part, None)
                if callable(value):
                    gin_bindings.bind_name(value, place, part)
                if not isinstance(value, ModuleType):
                    break
                place = f"{place}.{part}"


def _register(module: ModuleType) -> None:
    """Lets models be loaded that have layers and functions, such as activations, of a module.

    A function with the name of one of Keras's is left out: Keras would take it for its own.
    """
    known = keras.saving.get_custom_objects()
    for name, value in vars(module).items():
        layer = inspect.isclass(value) and issubclass(value, keras.layers.Layer)
        function = inspect.isfunction(value) and value.__module__ == module.__name__
        taken = any(
            hasattr(part, name) for part in (keras.activations, keras.losses, keras.metrics)
        )
        if layer and not value.__module__.startswith("keras") or function and not taken:
            known.setdefault(name, value)


def look_in(directory: str | os.PathLike = ".") -> None:
    """Makes modules in the current folder, then in `directory`, come before installed ones."""
    for place in (pathlib.Path(directory), pathlib.Path.cwd()):
        path = os.path.abspath(place)
        if path not in sys.path:
            sys.path.insert(0, path)
