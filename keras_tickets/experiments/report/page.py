"""The report as one page: tables and pictures as HTML, and the data of the figures."""

import datetime
import functools
import json
import pathlib
import shlex
import string
from collections.abc import Sequence
from html import escape
from typing import Any

from keras_tickets._optional import import_optional
from keras_tickets._version import __version__
from keras_tickets.experiments.report import figures, parts
from keras_tickets.experiments.report.collect import FoundRun
from keras_tickets.experiments.report.costs import costs
from keras_tickets.experiments.report.groups import Group, is_share

FOLDER = pathlib.Path(__file__).parent
TITLE = "Sparse training"
MARK = '<meta name="generator" content="keras_tickets '


def page(runs: Sequence[FoundRun], groups: Sequence[Group], directories: Sequence[str]) -> str:
    """The whole page, which needs no network.

    Args:
        runs: All runs.
        groups: The finished ones, as `group` returns them.
        directories: Where they were looked for, as they were given.

    Raises:
        ImportError: The package that brings the library for figures is not installed.
    """
    tasks = [
        [one for one in groups if one.task == task]
        for task in dict.fromkeys(one.task for one in groups)
    ]
    command = shlex.join(["keras-tickets", "report", *directories])
    seeds = len({run.seed for run in runs if run.finished})
    finished = sum(run.finished for run in runs)
    lead = (
        f"{finished} finished runs of {len(runs)}, in {len(groups)} settings with up to "
        f"{seeds} seeds. A spread (±) is the standard deviation over the seeds."
    )
    return _template("page.html").substitute(
        title=TITLE,
        lead=escape(lead),
        version=__version__,
        date=datetime.date.today().isoformat(),
        command=escape(command),
        style=_read("page.css"),
        tabs=_tabs(tasks),
        tasks="\n".join(_task(index, task) for index, task in enumerate(tasks)),
        notes=parts.notes(runs),
        data=_json(_data(tasks)),
        library=_in_script(_library()),
        script=_in_script(_read("page.js")),
    )


def _task(index: int, groups: Sequence[Group]) -> str:
    """The section of the runs of one data set, model and metric."""
    dataset, model, metric = groups[0].task
    best = parts.best_of(groups)
    data = [figures.figures_of(one) for one in groups]
    curves = list(dict.fromkeys(name for one in data for name in one["curves"]))
    looks = list(dict.fromkeys(name for one in data for name in one["looks"]))
    against = {"sparsity": "sparsity", "flops": "FLOPs", "bytes": "bytes"}
    if any(one["training"] is not None for one in data):
        against["training"] = "FLOPs of training"
    cards = [
        parts.plot(index, kind, f"{_words(metric)} against {what}")
        for kind, what in against.items()
    ]
    if curves:
        first = f"val_{metric}"
        cards.append(parts.plot(index, "curves", "training", _first(curves, first), True))
    if looks:
        first = "exploration"
        cards.append(parts.plot(index, "looks", "masks in training", _first(looks, first), True))
    if any(one["layers"] for one in data):
        cards.append(parts.plot(index, "layers", "sparsity of each kernel", wide=True))
    if any(one["levels"] for one in data):
        cards.append(parts.plot(index, "levels", "levels of tickets", wide=True))
    return string.Template(_read("task.html")).substitute(
        index=index,
        hidden="hidden" if index else "",
        title=escape(f"{dataset}, {model}"),
        tiles=parts.tiles(groups, best),
        table=parts.table(index, groups, best),
        cards="\n".join(cards),
        costs=costs(groups),
        grid=parts.kd_table(figures.kd_grid(groups), metric),
        masks=parts.masks(index, groups),
        settings=parts.settings(groups),
    )


def _data(tasks: Sequence[Sequence[Group]]) -> dict[str, Any]:
    """What the script of the page draws."""
    return {
        "tasks": [
            {
                "title": _words(groups[0].metric),
                "format": ".1~%" if is_share(groups[0].metric) else ".4~g",
                "finer": ".2%" if is_share(groups[0].metric) else ".4~g",
                "groups": [
                    {"id": place, **figures.figures_of(one)} for place, one in enumerate(groups)
                ],
            }
            for groups in tasks
        ]
    }


def _tabs(tasks: Sequence[Sequence[Group]]) -> str:
    if len(tasks) < 2:
        return ""
    buttons = [
        f'<button data-for="task-{index}" aria-pressed="{str(not index).lower()}">'
        f"{escape(', '.join(map(_words, groups[0].task)))}</button>"
        for index, groups in enumerate(tasks)
    ]
    return f'<nav class="tabs">{"".join(buttons)}</nav>'


def _first(names: list[str], first: str) -> list[str]:
    """The names, one of them in front."""
    return sorted(names, key=lambda name: name != first)


def _words(name: str) -> str:
    return name.replace("_", " ")


@functools.cache
def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed, as one script that leaves `vegaEmbed` behind."""
    converter = import_optional("vl_convert", "vl-convert-python", "Reports in HTML")
    return converter.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def _json(content: Any) -> str:
    """JSON without the character that begins a tag."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _in_script(text: str) -> str:
    """Code as it may stand in a `<script>`, with the same meaning in its strings."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _template(name: str) -> string.Template:
    return string.Template(_read(name))
