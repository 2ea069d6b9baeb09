"""Measures the house: modules at the top, longest files and functions, files that name a method.

python tools/structure.py            this checkout
python tools/structure.py DIR        another one, such as an older clone, to compare
"""

import argparse
import ast
import pathlib
import re

FOLDERS = ("keras_tickets", "tests", "tools")
LONGEST_FILE, LONGEST_FUNCTION = 350, 50
EXAMPLES = {"method": "SNFS", "score": "synflow"}


def python_files(root: pathlib.Path) -> list[pathlib.Path]:
    """All Python files of the project."""
    return sorted(file for folder in FOLDERS for file in (root / folder).rglob("*.py"))


def long_files(root: pathlib.Path) -> list[tuple[pathlib.Path, int]]:
    """`(file, lines)` of the files that are too long."""
    counts = [(file, file.read_text(encoding="utf-8").count("\n")) for file in python_files(root)]
    return [(file, lines) for file, lines in counts if lines > LONGEST_FILE]


def long_functions(root: pathlib.Path) -> list[tuple[pathlib.Path, str, int]]:
    """`(file, function, lines of code)` of the functions that are too long without docstring."""
    found = []
    for file in python_files(root):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                documentation = ast.get_docstring(node, clean=False) or ""
                lines = node.end_lineno - node.lineno - documentation.count("\n")
                if lines > LONGEST_FUNCTION:
                    found.append((file, node.name, lines))
    return found


def top_level(root: pathlib.Path) -> tuple[list[str], list[str]]:
    """Names of the public and of the private modules and packages at the top of the package."""
    package = root / "keras_tickets"
    names = {path.stem for path in package.glob("*.py")}
    names |= {path.parent.name for path in package.glob("*/__init__.py")}
    names -= {"__init__", "__main__"}
    return sorted(n for n in names if n[0] != "_"), sorted(n for n in names if n[0] == "_")


def files_that_name(root: pathlib.Path, name: str) -> list[pathlib.Path]:
    """Code and configurations that name a thing outside of docstrings, documentation left out."""
    word = re.compile(rf"\b{name}\b")
    files = [*python_files(root), *sorted((root / "gin_configs").rglob("*.gin"))]
    this = root / "tools" / pathlib.Path(__file__).name
    return [file for file in files if file != this and word.search(_code(file))]


def _code(file: pathlib.Path) -> str:
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".py":
        return text
    return re.sub(r'"""(?s:.)*?"""', "", text)


def report(root: pathlib.Path) -> str:
    """The measures as text."""
    public, private = top_level(root)
    lines = [
        f"public at the top ({len(public)}): {' '.join(public)}",
        f"private at the top ({len(private)}): {' '.join(private)}",
    ]
    lines.append(f"files over {LONGEST_FILE} lines:")
    lines += [f"  {file.relative_to(root)} {count}" for file, count in long_files(root)]
    lines.append(f"functions over {LONGEST_FUNCTION} lines:")
    lines += [f"  {f.relative_to(root)} {name} {count}" for f, name, count in long_functions(root)]
    for kind, name in EXAMPLES.items():
        files = files_that_name(root, name)
        lines.append(f"files that name the {kind} {name} ({len(files)}):")
        lines += [f"  {file.relative_to(root)}" for file in files]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    here = pathlib.Path(__file__).parents[1]
    parser.add_argument("directory", nargs="?", type=pathlib.Path, default=here)
    print(report(parser.parse_args().directory.resolve()))


if __name__ == "__main__":
    main()
