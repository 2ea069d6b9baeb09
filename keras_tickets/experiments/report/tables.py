"""The table of runs as CSV, LaTeX or Markdown, for papers and spreadsheets."""

import csv
import io
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from keras_tickets._accounting.format_names import FORMAT_NAMES
from keras_tickets._tables import plain
from keras_tickets.experiments.report.groups import Group, in_words, is_share, spread

COLUMNS = (
    "data set",
    "model",
    "method",
    "differs in",
    "metric",
    "mean",
    "spread",
    "n",
    "sparsity",
    "nonzeros",
    "inference FLOPs",
    "training FLOPs",
    "bytes",
    "steps",
    "seconds",
    "seeds",
    "training course",
    "operations of a sample",
    "operations of training",
    *(f"bytes, {name}" for name in FORMAT_NAMES),
)
_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def row_of(one: Group) -> dict[str, Any]:
    """The values of a group by column; `None` where something is not known."""
    return {
        "data set": one.field("dataset"),
        "model": one.field("model"),
        "method": one.field("method"),
        "differs in": in_words(one.differs_beyond_columns),
        "metric": one.metric,
        "mean": sum(one.results) / len(one.results) if one.results else math.nan,
        "spread": spread(one.results),
        "n": len(one.runs),
        "sparsity": one.mean("sparsity"),
        "nonzeros": one.mean("nonzeros"),
        "inference FLOPs": one.mean("inference_flops_ratio"),
        "training FLOPs": one.mean("training_flops_ratio"),
        "bytes": one.bytes,
        "steps": one.mean("steps"),
        "seconds": one.mean("wall_seconds"),
        "seeds": " ".join(str(run.seed) for run in one.runs),
        "training course": one.mean("training_course_ratio"),
        "operations of a sample": one.mean("inference_flops"),
        "operations of training": one.mean("training_flops"),
        **{f"bytes, {name}": one.sizes.get(name) for name in FORMAT_NAMES},
    }


def as_csv(groups: Sequence[Group]) -> str:
    """All columns, numbers in full."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for one in groups:
        writer.writerow({name: _no_formula(value) for name, value in row_of(one).items()})
    return text.getvalue()


def _no_formula(value: Any) -> Any:
    """A text that a spreadsheet does not compute."""
    begins = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if begins else value


def as_markdown(groups: Sequence[Group]) -> str:
    """The columns that a paper shows, as a Markdown table."""
    names, header, *rows = _for_paper(groups, "±", _in_markdown)
    right = ["---:" if name in _NUMBERS else "---" for name in names]
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, right, *rows))


def _in_markdown(text: str) -> str:
    return re.sub(r"([\\|<`*])", r"\\\1", text)


def as_latex(groups: Sequence[Group]) -> str:
    """The same in a LaTeX `tabular`, with the rules of the package booktabs."""

    def escape(text):
        return "".join(_LATEX.get(character, character) for character in text)

    names, header, *rows = _for_paper(groups, r"$\pm$", escape)
    columns = "".join("r" if name in _NUMBERS else "l" for name in names)
    lines = [r"\toprule", _latex_row(header), r"\midrule", *map(_latex_row, rows), r"\bottomrule"]
    body = "\n".join(lines)
    return f"\\begin{{tabular}}{{{columns}}}\n{body}\n\\end{{tabular}}\n"


FORMATS: dict[str, Callable[[Sequence[Group]], str]] = {
    "csv": as_csv,
    "latex": as_latex,
    "markdown": as_markdown,
}
_NUMBERS = ("sparsity", "weights", "FLOPs", "training FLOPs", "result", "n")


def _for_paper(groups, plus_minus, escape) -> list[list[str]]:
    """The columns, their heads, and a row for each group; what is the same in all is left out."""
    rows = [_cells(row_of(one), plus_minus, escape) for one in groups]
    kept = [
        name
        for name in rows[0]
        if name not in ("data set", "model", "metric", "differs in", "training FLOPs")
        or len({row[name] for row in rows}) > 1
    ]
    # A metric that is that of all rows is the head of their results.
    heads = [rows[0]["metric"] if n == "result" and "metric" not in kept else n for n in kept]
    return [kept, heads, *([row[name] for name in kept] for row in rows)]


def _cells(row: dict[str, Any], plus_minus: str, escape: Callable[[str], str]) -> dict[str, str]:
    result = figure(row["mean"], row["metric"])
    if row["spread"] is not None:
        result += f" {plus_minus} {figure(row['spread'], row['metric'])}"
    unit = ", %" if is_share(row["metric"]) else ""
    return {
        "data set": escape(plain(str(row["data set"]))),
        "model": escape(plain(str(row["model"]))),
        "method": escape(plain(str(row["method"]))),
        "differs in": escape(plain(row["differs in"])),
        "sparsity": _known(row["sparsity"], ".3f"),
        "weights": _known(row["nonzeros"], ",.0f"),
        "FLOPs": _known(row["inference FLOPs"], ".3f"),
        "training FLOPs": _known(row["training course"], ".3f"),
        "metric": escape(plain(row["metric"].replace("_", " ")) + unit),
        "result": result,
        "n": str(row["n"]),
    }


def figure(value: float, metric: str) -> str:
    """A result with the digits that its metric is usually given with."""
    return f"{100 * value:.2f}" if is_share(metric) else f"{value:.4g}"


def _known(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
