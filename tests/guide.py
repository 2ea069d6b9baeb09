"""The examples of docs/your_own.md, to be followed word for word."""

import pathlib
import re
import shlex

GUIDE = pathlib.Path(__file__).parents[1] / "docs" / "your_own.md"
SECTION = re.compile(r"^## (.*)$", re.MULTILINE)
BLOCK = re.compile(r'^```(\w+)(?: title="(\S+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
# Of each example the figure of its summaries, from and to what, and how many runs it has.
LEARNED = {
    "Images: your own network on a folder of images": ("test_accuracy", 0.8, 1.0, 1),
    "Numbers: your own data set": ("test_relative_error", 0.0, 0.1, 2),
    "Text: the next character": ("test_accuracy", 0.6, 1.0, 1),
}


def commands(title, folder):
    """Writes each file of an example into a folder, and yields the words of each command."""
    parts = SECTION.split(GUIDE.read_text(encoding="utf-8"))
    example = dict(zip(parts[1::2], parts[2::2], strict=True))[title]
    for language, name, content in BLOCK.findall(example):
        if name:
            (folder / name).write_text(content)
            continue
        assert language == "sh"
        yield from map(shlex.split, content.splitlines())
