"""Every public class and function has an example, and every example of a docstring runs."""

import ast
import doctest
import inspect
import os
import pathlib
import re
import textwrap
import unittest.mock

import keras
import public_api
import pytest
from slow_cases import slow_unless

ROOT = pathlib.Path(__file__).parents[1]
FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def docstrings():
    """`{place: docstring}` of the package, private modules included; a place is `file.py:line`.

    Those that are made at run time have the public path as their place.
    """
    found = {}
    for file in sorted((ROOT / "keras_tickets").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
                line = node.body[0].lineno
                found[f"{file.relative_to(ROOT / 'keras_tickets')}:{line}"] = text
    known = set(found.values())
    made = {path: inspect.getdoc(value) or "" for path, value in public_api.objects().items()}
    return found | {path: text for path, text in made.items() if text not in known}


def blocks(text):
    """The fenced blocks of a docstring, as Python."""
    return [textwrap.dedent(block) for block in FENCE.findall(textwrap.dedent(text))]


def has_example(text):
    return ">>> " in text or bool(blocks(text))


EXAMPLES = {place: text for place, text in docstrings().items() if has_example(text)}


def run(place, text):
    """Runs the blocks of a docstring in one namespace and its sessions in another.

    Raises whatever a block raises, and an `AssertionError` if a session prints something else than
    the docstring shows.
    """
    namespace = {"__name__": "__main__"}
    for block in blocks(text):
        exec(compile(block, place, "exec"), namespace)
    session = doctest.DocTestParser().get_doctest(text, {}, place, place, 0)
    printed = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(session, out=printed.append)
    assert not printed, "".join(printed)


@pytest.fixture
def clean_keras():
    with unittest.mock.patch.dict(os.environ):  # tensorflow_model_optimization sets a variable
        yield
    keras.config.set_dtype_policy("float32")
    keras.config.enable_traceback_filtering()


def is_small(place):
    """Not the deeper ones of a kind, nor what has 300 layers or reads a whole data set."""
    whole = "published.load(" in EXAMPLES[place]
    return not whole and not re.search(r"models\.resnet(44|56|83|110|164)|models/inception", place)


@pytest.mark.parametrize("place", slow_unless(is_small, EXAMPLES))
def test_the_example_runs(place, tmp_path, monkeypatch, clean_keras):
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    run(place, EXAMPLES[place])


def test_every_public_class_and_function_has_an_example():
    without = {
        path
        for path, value in public_api.objects().items()
        if not has_example(inspect.getdoc(value) or "")
    }
    assert without == set()


def test_a_wrong_example_fails():
    assert len(EXAMPLES) > 50
    with pytest.raises(NameError):
        run("fence", "Text.\n\n```python\nundefined\n```")
    with pytest.raises(AssertionError, match="Got:"):
        run("session", ">>> 1 + 1\n3\n")
    run("session", ">>> 1 + 1\n2\n")
    assert not has_example("Text with `code`.")
