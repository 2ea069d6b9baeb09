"""Hooks of the documentation site (`mkdocs.yml`): pages that are generated, links out of `docs/`.

The reference has a page for each public package, with every name of its `__all__`. Sources are
read and never imported, so that the site builds without TensorFlow and in seconds.
"""

import ast
import pathlib
import posixpath
import re

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = "keras_tickets"
PAGES_FROM_ROOT = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
ENTRY = """[](){{ #{path} }}

::: {origin}
    options:
      heading: {short}
      toc_label: {short}
"""
LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files, config):
    """Adds the pages that come from the root of the repository and those of the reference."""
    for source, page in PAGES_FROM_ROOT.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    for page, text in reference().items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    """Leads links to the page that a file became, or to the file in the repository."""
    made_from = {made: source for source, made in PAGES_FROM_ROOT.items()}
    source = made_from.get(page.file.src_uri, posixpath.join("docs", page.file.src_uri))
    here = posixpath.dirname(page.file.src_uri)

    def lead(match):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1]))
        if target in PAGES_FROM_ROOT:
            place = posixpath.relpath(PAGES_FROM_ROOT[target], here or ".")
        elif target.startswith("docs/"):
            place = posixpath.relpath(target.removeprefix("docs/"), here or ".")
        else:
            place = f"{config.repo_url}/blob/main/{target}"
        return f"]({place}{match[2] or ''})"

    return LINK.sub(lead, markdown)


def reference():
    """`{page: Markdown}` of the reference, one page a public package."""
    return {_page(module): _render(module) for module in public_modules()}


def public_modules(module=PACKAGE):
    """The public modules and packages, the outermost first."""
    inner = [path for _, path in public_names(module) if _file(path)]
    return [module, *(found for path in inner for found in public_modules(path))]


def public_names(module):
    """`(name, where it is defined)` of a module's `__all__`, in alphabetical order."""
    tree = ast.parse(_file(module).read_text(encoding="utf-8"))
    names, origins = [], {}
    for node in tree.body:
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
            parts.append(ENTRY.format(path=path, origin=origin, short=short(path)))
    return "\n\n".join(parts) + "\n"


def _docstring(module):
    return ast.get_docstring(ast.parse(_file(module).read_text(encoding="utf-8"))) or ""


def _first_line(module):
    return _docstring(module).partition("\n")[0]
