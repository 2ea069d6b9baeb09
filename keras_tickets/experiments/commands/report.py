"""`keras-tickets report`: many runs on one page, or as a table."""

import pathlib
import sys
from collections.abc import Sequence

from absl import flags

from keras_tickets._files.atomic import replace_file
from keras_tickets._files.home import expand_home
from keras_tickets._warnings import warn
from keras_tickets.experiments.report.collect import collect
from keras_tickets.experiments.report.groups import group
from keras_tickets.experiments.report.page import MARK, page
from keras_tickets.experiments.report.tables import FORMATS

HTML = "html"


def run(values: flags.FlagValues, words: Sequence[str]) -> int:
    """Writes the report, says where, and returns 0.

    Raises:
        ValueError: A flag is missing or wrong, or there is no finished run.
        FileExistsError: The output is a file that is no report.
        IsADirectoryError: The output is a directory.
        OSError: A directory does not exist, or the output cannot be written.
        ImportError: A package is missing.
    """
    if not words:
        raise ValueError("name the directories of runs, such as: keras-tickets report runs")
    if values.format not in (HTML, *FORMATS):
        allowed = ", ".join((HTML, *FORMATS))
        raise ValueError(f"--format must be one of {allowed}. Received: {values.format!r}")
    output = expand_home(values.output) if values.output else None
    if output is None and values.format == HTML:
        output = pathlib.Path("report.html")
    if output is not None:
        _check_replaceable(output, values.format)
    runs = collect(words)
    groups = group(runs, values.ignore)
    for one in runs:
        for note in one.notes:
            warn(f"{str(one.path)!r}: {note}")
    if not groups:
        raise ValueError(f"none of the {len(runs)} runs is finished: there is nothing to report")
    text = FORMATS[values.format](groups) if values.format != HTML else page(runs, groups, words)
    if output is None:
        sys.stdout.write(text)
        return 0
    replace_file(output, text.encode(errors="replace"))  # names of files can be no text
    count = sum(len(one.runs) for one in groups)
    print(f"{output}: {count} runs in {len(groups)} settings, {len(text.encode()) / 1e6:.1f} MB")
    return 0


def _check_replaceable(output: pathlib.Path, form: str) -> None:
    """Checks that nothing is there but a page of an earlier report."""
    if not output.parent.is_dir():
        raise FileNotFoundError(f"directory {str(output.parent)!r} does not exist")
    if output.is_dir():
        raise IsADirectoryError(f"--output must be a file. Received: {str(output)!r}, a directory")
    if not output.exists():
        return
    with open(output, "rb") as file:
        beginning = file.read(1000)
    if form != HTML or MARK.encode() not in beginning:
        raise FileExistsError(
            f"{str(output)!r} exists already and is no page of an earlier report: nothing is "
            "overwritten"
        )
