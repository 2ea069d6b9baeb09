"""What is public: the names of `__all__`, from `keras_tickets` on down."""

import importlib
import inspect
import pkgutil
import types

import keras_tickets as kt


def modules(module: types.ModuleType = kt) -> list[types.ModuleType]:
    """The package and the modules that `__all__` lists, the outermost first."""
    inner = [value for _, value in names(module) if inspect.ismodule(value)]
    return [module, *(found for one in inner for found in modules(one))]


def files() -> list[types.ModuleType]:
    """The modules and packages directly in the package without an underscore in their names.

    Some are not among `modules`, because a function has the same name, such as `kt.export`.
    """
    found = [info.name for info in pkgutil.iter_modules(kt.__path__) if info.name[0] != "_"]
    return [importlib.import_module(f"keras_tickets.{name}") for name in found]


def names(module: types.ModuleType) -> list[tuple[str, object]]:
    """`(name, value)` of what a module's `__all__` lists."""
    return [(name, getattr(module, name)) for name in getattr(module, "__all__", ())]


def objects() -> dict[str, object]:
    """`{path: class or function}` of all that is public: `keras_tickets.optimizers.RigL`."""
    return {
        f"{module.__name__}.{name}": value
        for module in {module.__name__: module for module in [*modules(), *files()]}.values()
        for name, value in names(module)
        if inspect.isclass(value) or inspect.isfunction(value)
    }


def members(value: type) -> dict[str, object]:
    """`{name: function}` of the public methods and properties that a class of ours defines."""
    found = {}
    for name, member in vars(value).items():
        if isinstance(member, property):
            member = member.fget
        elif isinstance(member, (classmethod, staticmethod)):
            member = member.__func__
        if inspect.isfunction(member) and (name == "__init__" or not name.startswith("_")):
            found[name] = member
    return found
