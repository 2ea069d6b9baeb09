"""What the package says of itself: every import declared, each dependency with its reason."""

import ast
import importlib.metadata
import pathlib
import re
import runpy
import sys
import tomllib

import pytest
import setuptools

ROOT = pathlib.Path(__file__).parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(PYPROJECT)["project"]
EXTRAS = PROJECT["optional-dependencies"]
SHAPE = ("tensorflow", "keras", "tensorflow-model-optimization", "tensorflow-datasets")
SHAPE += ("gin-config", "absl-py")


def name_of(requirement):
    """The name of the package that a requirement is of, as package indexes write it."""
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")


def declared():
    extras = ("cpu", "figures", "kubernetes", "litert", "onnx", "openvino", "report")
    groups = [PROJECT["dependencies"], *(EXTRAS[name] for name in extras)]
    return {name_of(requirement) for group in groups for requirement in group}


def imported():
    """The names of all top-level modules that the package imports, wherever in a file."""
    found, own = set(), {"keras_tickets", "__future__"}
    for file in (ROOT / "keras_tickets").rglob("*.py"):
        if file.name == "__main__.py":  # a program, which imports what lies beside it by name
            own |= {beside.stem for beside in file.parent.glob("*.py")}
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_optional":
                found.add(node.args[0].value.partition(".")[0])
    return found - set(sys.stdlib_module_names) - own


def test_every_import_is_declared():
    packages = importlib.metadata.packages_distributions()
    assert {"numpy", "rich", "gin", "sklearn", "tf_keras", "matplotlib"} <= imported()
    for module in imported():
        brought_by = {name_of(package) for package in packages.get(module, [module])}
        assert brought_by & declared(), f"{module} is imported, and nothing declared brings it"


def test_what_gives_the_project_its_shape_is_required():
    assert set(SHAPE) <= {name_of(requirement) for requirement in PROJECT["dependencies"]}


def test_each_dependency_says_what_it_is_for():
    lines = re.findall(r'^    "([^"]+)",(.*)$', PYPROJECT, re.MULTILINE)
    requirements = [*PROJECT["dependencies"], *(one for group in EXTRAS.values() for one in group)]
    reasons = dict(lines)
    for requirement in requirements:
        if not requirement.startswith("keras-tickets["):
            assert re.fullmatch(r"  # \w.{10,}", reasons[requirement]), requirement


@pytest.fixture
def setup(monkeypatch):
    given = {}
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: given.update(arguments))
    monkeypatch.chdir(ROOT)
    runpy.run_path(str(ROOT / "setup.py"))
    return given


def test_configurations_and_types_are_in_the_wheel(setup):
    assert "keras_tickets.experiments.commands" in setup["packages"]
    place = setup["package_dir"]["keras_tickets.gin_configs"]
    (pattern,) = setup["package_data"]["keras_tickets.gin_configs"]
    assert "keras_tickets.gin_configs" in setup["packages"]
    assert set((ROOT / place).glob(pattern)) == set((ROOT / "gin_configs").rglob("*.gin"))
    assert "py.typed" in setup["package_data"]["keras_tickets"]


def test_links_of_the_readme_lead_somewhere_from_a_package_index(setup):
    links = re.findall(r"\]\(([^)]+)\)", setup["long_description"])
    assert all(link.startswith("https://") for link in links)
    assert "- docs/rewinding.md: lottery tickets" in setup["long_description"]
