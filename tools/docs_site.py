"""Writes the pages of the documentation site, which `mkdocs.yml` then builds.

    python tools/docs_site.py build/docs

The pages are those of `docs/`, the README and its like, and a reference: a page for each public
package, with every name of its `__all__`. Sources are read, not imported; only functions that are
made at run time, such as those of `kt.models`, are written out as source for the reference. Nothing
here depends on the builder of the site.
"""

import ast
import importlib
import inspect
import pathlib
import posixpath
import re
import shutil
import sys

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = "keras_tickets"
PAGES_FROM_ROOT = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
MADE = "made_at_run_time"
ENTRY = """[](){{ #{path} }}

::: {origin}
    options:
      heading: {short}
      toc_label: {short}
"""
LINK = re.compile(r"\[([^\[\]]+)\]\((?!https?://|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")


def write_site(directory):
    """Writes all pages into a directory, which is emptied first."""
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(ROOT / "docs", directory)
    pages = {f"docs/{page.name}": page.name for page in (ROOT / "docs").glob("*.md")}
    for source, page in (PAGES_FROM_ROOT | pages).items():
        text = (ROOT / source).read_text(encoding="utf-8")
        (directory / page).write_text(lead_links(text, source), encoding="utf-8")
    (directory / "api").mkdir()
    (directory / f"{MADE}.py").write_text(source_of_what_is_made(), encoding="utf-8")
    for page, text in reference().items():
        (directory / page).write_text(text, encoding="utf-8")


def lead_links(text, source):
    """Leads the links of a page to the page that a file became, or to the repository.

    While `mkdocs.yml` names no repository, only the words of a link into it are left.
    """
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    repository = re.search(r"^repo_url: (\S+)$", settings, re.MULTILINE)

    def lead(match):
        words, path, anchor = match[1], match[2], match[3] or ""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if target in PAGES_FROM_ROOT:
            place = PAGES_FROM_ROOT[target]
        elif target.startswith("docs/"):
            place = target.removeprefix("docs/")
        elif repository:
            place = f"{repository[1]}/blob/main/{target}"
        else:
            return words
        return f"[{words}]({place}{anchor})"

    return LINK.sub(lead, text)


def reference():
    """`{page: Markdown}` of the reference, one page a public package."""
    return {_page(module): _render(module) for module in public_modules()}


def source_of_what_is_made():
    """Signatures and docstrings of the public functions that no source defines, as source."""
    parts = ["from __future__ import annotations"]
    for name, origin in _all_made():
        module, _, inner = origin.rpartition(".")
        function = getattr(importlib.import_module(module), inner)
        if inspect.isfunction(function):
            docstring = inspect.getdoc(function)
            parts.append(f"def {name}{inspect.signature(function)}:\n    {docstring!r}")
    return "\n\n\n".join(parts) + "\n"


def public_modules(module=PACKAGE):
    """The public modules and packages, the outermost first."""
    inner = [path for _, path in public_names(module) if _file(path)]
    return [module, *(found for path in inner for found in public_modules(path))]


def public_names(module):
    """`(name, where it is defined)` of a module's `__all__`, in alphabetical order."""
    tree = ast.parse(_file(module).read_text(encoding="utf-8"))
    names, origins = [], {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                origins[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names = ast.literal_eval(node.value)
    return [(name, origins.get(name, f"{module}.{name}")) for name in sorted(names)]


def short(path):
    """A public path as users write it: `kt.optimizers.RigL`."""
    return "kt" + path.removeprefix(PACKAGE)


def _file(module):
    """The file of a module or package of ours; `None` for what is neither."""
    path = ROOT.joinpath(*module.split("."))
    candidates = (path / "__init__.py", path.with_suffix(".py"))
    return next((file for file in candidates if file.is_file()), None)


def _page(module):
    name = module.removeprefix(PACKAGE).strip(".")
    return f"api/{name or 'index'}.md"


def _render(module):
    names = [(name, origin) for name, origin in public_names(module) if name != "__version__"]
    links = [
        f"- [`{short(origin)}`]({posixpath.basename(_page(origin))}): {_first_line(origin)}"
        for _, origin in names
        if _file(origin)
    ]
    parts = [f"# {short(module)}", _docstring(module), "\n".join(links)]
    for name, origin in names:
        if not _file(origin):
            path = f"{module}.{name}"
            source = f"{MADE}.{name}" if _is_made(origin) else origin
            parts.append(ENTRY.format(path=path, origin=source, short=short(path)))
    return "\n\n".join(parts) + "\n"


def _all_made():
    names = [each for module in public_modules() for each in public_names(module)]
    return [(name, origin) for name, origin in names if _is_made(origin)]


def _is_made(origin):
    """Whether a lower-case name is assigned in its module, and so is a function made by another."""
    module, _, name = origin.rpartition(".")
    if name.isupper() or name.startswith("_") or _file(origin) or not _file(module):
        return False
    tree = ast.parse(_file(module).read_text(encoding="utf-8"))
    assigned = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    return any(ast.unparse(target) == name for node in assigned for target in node.targets)


def _docstring(module):
    return ast.get_docstring(ast.parse(_file(module).read_text(encoding="utf-8"))) or ""


def _first_line(module):
    return _docstring(module).partition("\n")[0]


if __name__ == "__main__":
    write_site(pathlib.Path(sys.argv[1]))
