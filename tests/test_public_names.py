"""Packages list what is public, and nothing else is there; its arguments are named and typed."""

import inspect
import pkgutil

import pytest

import keras_tickets as kt

PACKAGES = [kt.distributions, kt.optimizers, kt.schedules, kt.structures]
PUBLIC = [
    pytest.param(getattr(package, name), id=f"{package.__name__.partition('.')[2]}.{name}")
    for package in PACKAGES
    for name in package.__all__
]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_only_what_is_listed_is_there(package):
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    names = {name for name in vars(package) if not name.startswith("_")}
    assert names - modules == set(package.__all__)


@pytest.mark.parametrize("public", PUBLIC)
def test_every_argument_is_named_and_typed(public):
    methods = [public]
    if inspect.isclass(public):
        methods = [
            member
            for name, member in inspect.getmembers(public, inspect.isfunction)
            if name in vars(public) and (name == "__init__" or not name.startswith("_"))
        ]
    for method in methods:
        overrides = inspect.isclass(public) and any(
            method.__name__ in vars(base) for base in public.__mro__[1:]
        )
        if overrides and method.__name__ != "__init__":
            continue
        for name, parameter in inspect.signature(method).parameters.items():
            assert parameter.kind is not parameter.VAR_KEYWORD, method.__qualname__
            typed = parameter.annotation is not parameter.empty
            assert typed or name == "self", f"{method.__qualname__}: {name}"


@pytest.mark.parametrize("method", ["SET", "RigL", "SNFS", "GradualMagnitude", "TopKAST"])
def test_a_misspelt_argument_is_caught(method):
    optimizer = getattr(kt.optimizers, method)
    assert "update_every" in inspect.signature(optimizer).parameters
    with pytest.raises(TypeError, match="updat_every"):
        optimizer("sgd", updat_every=10)
