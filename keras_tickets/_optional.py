"""Imports packages that only one part needs, at the moment when it needs them."""

import importlib
from types import ModuleType


def import_optional(module: str, package: str, purpose: str) -> ModuleType:
    """Imports a module, or says in one line how to install it.

    Args:
        module: Dotted name of the module.
        package: What `pip install` calls it.
        purpose: What needs it: the subject of a sentence, in the plural.

    Raises:
        ImportError: It is not installed.

    Example:

    >>> from keras_tickets._optional import import_optional
    >>> import_optional("no_such_module", "no-such-package", "Figures")
    Traceback (most recent call last):
    ImportError: Figures need no-such-package, which is not installed: pip install no-such-package
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ImportError(
            f"{purpose} need {package}, which is not installed: pip install {package}"
        ) from error


def import_tfds() -> ModuleType:
    """Imports tensorflow-datasets."""
    return import_optional(
        "tensorflow_datasets", "tensorflow-datasets", "Data sets other than the digits"
    )
