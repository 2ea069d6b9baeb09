"""The layers that docs/architecture.md promises are those of the imports."""

import ast
import pathlib
import re

import pytest
import structure

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "keras_tickets"
NAMES = re.compile(r"`([\w/]+)`")
ONLY_BELOW = {
    "keras.src": "_keras_compat",
    "gin": "experiments",
    "absl": "experiments",
}


def modules():
    """{dotted name: file} of the package."""
    found = {}
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(source, name, known):
    """The absolute names that a module imports, those within its functions and blocks too."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import in line {node.lineno}"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.append(
                    whole if node.module == "keras_tickets" or whole in known else node.module
                )
    return found


def unit(name):
    """The row's entry that a module of ours belongs to: `optimizers` or `plan`."""
    return name.split(".")[1]


def table():
    """The entries of the table of docs/architecture.md, from the lowest layer to the highest."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.split("\n## Modules\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [entry.removesuffix("/") for row in rows for entry in NAMES.findall(row)]


def upward(order, uses):
    """The imports, as (module, what it uses), of what does not stand above the module."""
    rank = {entry: place for place, entry in enumerate(order)}
    return [
        (user, used)
        for user, used in uses
        if unit(user) != unit(used) and rank[unit(used)] > rank[unit(user)]
    ]


def all_uses():
    """(module, module of ours that it imports), without the face of the package and `__main__`."""
    known = modules()
    for name, file in known.items():
        if name in ("keras_tickets", "keras_tickets.__main__"):
            continue
        for used in imports(file.read_text(encoding="utf-8"), name, known):
            if used.split(".")[0] == "keras_tickets":
                yield name, used


def test_the_table_has_every_module_once():
    entries = {unit(name) for name in modules() if "." in name} - {"__main__"}
    assert sorted(table()) == sorted(entries)


def test_each_module_uses_only_those_above_it():
    uses = list(all_uses())
    assert len(uses) > 100
    assert upward(table(), uses) == []


def test_no_module_uses_the_face_of_the_package():
    assert [use for use in all_uses() if use[1] == "keras_tickets"] == []
    source = "def f():\n    import keras_tickets as kt\n    from keras_tickets import __version__\n"
    assert imports(source, "m", {}) == ["keras_tickets", "keras_tickets.__version__"]


def test_an_upward_import_is_found_wherever_it_stands():
    source = "def f():\n    if True:\n        from keras_tickets.model import strip\n"
    used = imports(source, "keras_tickets.masks", {"keras_tickets.model"})
    assert used == ["keras_tickets.model"]
    assert upward(["masks", "model"], [("keras_tickets.masks", used[0])])
    assert not upward(["model", "masks"], [("keras_tickets.masks", used[0])])


@pytest.fixture(scope="module")
def used_by():
    """{module: the absolute names that it imports}."""
    known = modules()
    return {
        name: imports(file.read_text(encoding="utf-8"), name, known) for name, file in known.items()
    }


@pytest.mark.parametrize("library", ONLY_BELOW)
def test_one_package_knows_of(library, used_by):
    users = {
        unit(name)
        for name, names in used_by.items()
        for used in names
        if f"{used}.".startswith(f"{library}.")
    }
    assert users == {ONLY_BELOW[library]}


def test_files_and_functions_are_short(tmp_path):
    assert structure.long_files(ROOT) == [] and structure.long_functions(ROOT) == []
    (tmp_path / "tools").mkdir()
    body = "    x = 1\n" * 60
    (tmp_path / "tools" / "long.py").write_text(f"def f():\n{body}" * 6)
    assert [lines for _, lines in structure.long_files(tmp_path)] == [366]
    assert len(structure.long_functions(tmp_path)) == 6
