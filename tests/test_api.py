"""What is public is listed in `__all__`, typed, and in the reference; nothing else leaks."""

import inspect
import pathlib
import re
import subprocess
import sys

import docs_site
import public_api
import pytest

import keras_tickets as kt

ROOT = pathlib.Path(__file__).parents[1]
MODULES = {module.__name__: module for module in public_api.modules()}


def is_ours(value):
    return (getattr(value, "__module__", None) or "").split(".")[0] == "keras_tickets"


def leaks(module):
    """Names without underscore that a module has and does not list, without its submodules.

    Of a module that is a file, only what it defines itself: what it imports is its own affair.
    """
    listed = getattr(module, "__all__", ())
    whole = hasattr(module, "__path__")
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and name not in listed
        and not (inspect.ismodule(value) and value.__name__ == f"{module.__name__}.{name}")
        and (whole or getattr(value, "__module__", None) == module.__name__)
    ]


def without_types(function):
    """The parameters of a function that have no annotation, and "return"."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    if parameters and parameters[0].name in ("self", "cls"):
        del parameters[0]
    missing = [each.name for each in parameters if each.annotation is each.empty]
    if signature.return_annotation is signature.empty and function.__name__ != "__init__":
        missing.append("return")
    return missing


def overrides(value, name):
    """Whether a class defines a method that a base has: its types are those of the base."""
    return name != "__init__" and any(name in vars(base) for base in value.__mro__[1:])


def test_the_public_modules_are_found():
    assert {"keras_tickets", "keras_tickets.optimizers", "keras_tickets.scoring"} <= set(MODULES)
    assert len(public_api.objects()) > 100


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_is_listed_and_nothing_else_leaks(name):
    module = MODULES[name]
    assert len(set(module.__all__)) == len(module.__all__) > 0
    assert [each for each in module.__all__ if not hasattr(module, each)] == []
    assert leaks(module) == []


def test_every_module_that_can_be_imported_lists_what_it_offers():
    files = public_api.files()
    assert {"keras_tickets.masks", "keras_tickets.export"} <= {file.__name__ for file in files}
    assert [file.__name__ for file in files if not hasattr(file, "__all__")] == []
    for file in files:
        assert [name for name in file.__all__ if name[0] == "_" or not hasattr(file, name)] == []


def undocumented(value):
    """The arguments that the docstring of a function or class leaves out."""
    if getattr(value, "_is_protocol", False):  # nothing is made of it
        return []
    entries = re.findall(r"^    \*{0,2}(\w+):", inspect.getdoc(value) or "", re.MULTILINE)
    return [name for name in inspect.signature(value).parameters if name not in entries]


def test_all_arguments_are_documented_where_help_shows_them():
    missing = {path: undocumented(value) for path, value in public_api.objects().items()}
    inherited = "keras_tickets.layers.FusedBatchNormalization"  # from Keras, with their description
    assert [path for path, names in missing.items() if names and path != inherited] == []


def test_an_argument_without_description_is_found():
    def function(first, second):
        """Does it.

        Args:
            second: Described.
        """

    assert undocumented(function) == ["first"]


def test_public_signatures_are_typed():
    missing = {}
    for path, value in public_api.objects().items():
        functions = {"": value} if inspect.isfunction(value) else public_api.members(value)
        for name, function in functions.items():
            if not is_ours(function) or (name and overrides(value, name)):
                continue
            if names := without_types(function):
                missing[f"{path}.{name}".rstrip(".")] = names
    assert missing == {}


def test_what_has_no_types_is_found():
    def function(self, x, y: int, *args):
        pass

    assert without_types(function) == ["x", "args", "return"]


def test_every_public_name_has_a_place_in_the_reference():
    pages = "".join(docs_site.reference().values())
    for module in public_api.modules():
        for name, value in public_api.names(module):
            if not inspect.ismodule(value) and name != "__version__":
                assert f"{{ #{module.__name__}.{name} }}" in pages, f"{module.__name__}.{name}"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; the build is strict: a link or an anchor that leads nowhere fails it."""
    pytest.importorskip("mkdocs")
    pages = tmp_path_factory.mktemp("pages")
    subprocess.run(
        [sys.executable, "tools/docs_site.py", str(pages / "docs")], cwd=ROOT, check=True
    )
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    settings = settings.replace("build/docs", str(pages / "docs")).replace("[., ", f"[{ROOT}, ")
    (pages / "mkdocs.yml").write_text(settings, encoding="utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", "site"]
    built = subprocess.run(command, cwd=pages, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return pages / "site"


@pytest.mark.slow
def test_every_public_name_is_in_the_reference(site):
    for module in public_api.modules():
        place = module.__name__.removeprefix("keras_tickets").strip(".")
        page = (site / "api" / place / "index.html").read_text(encoding="utf-8")
        for name, value in public_api.names(module):
            if not inspect.ismodule(value) and name != "__version__":
                assert f'id="{module.__name__}.{name}"' in page, f"{module.__name__}.{name}"
                if docstring := inspect.getdoc(value) if is_ours(value) else None:
                    first = docstring.splitlines()[0].split("`")[0].split('"')[0].rstrip()
                    assert first[:40] in page, f"{module.__name__}.{name}"


@pytest.mark.slow
def test_the_guides_are_pages_of_the_site(site):
    for guide in (ROOT / "docs").glob("*.md"):
        assert (site / guide.stem / "index.html").is_file()
    assert kt.__doc__.strip()[:20] in (site / "api" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("method", ["SET", "RigL", "SNFS", "GradualMagnitude", "TopKAST"])
def test_a_misspelt_argument_is_refused(method):
    optimizer = getattr(kt.optimizers, method)
    assert "update_every" in inspect.signature(optimizer).parameters
    with pytest.raises(TypeError, match="updat_every"):
        optimizer("sgd", updat_every=10)
