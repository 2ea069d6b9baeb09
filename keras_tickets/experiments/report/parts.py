"""The tables and pictures of the page as HTML; every text of a run is escaped."""

import pathlib
import shlex
import statistics
from collections.abc import Sequence
from html import escape
from typing import Any

from keras_tickets._tables import count_text
from keras_tickets.experiments.report.collect import FoundRun
from keras_tickets.experiments.report.groups import (
    Group,
    in_gin,
    in_words,
    is_better_lower,
    is_share,
    spread,
)
from keras_tickets.experiments.report.pictures import mask_images
from keras_tickets.experiments.report.tables import figure
from keras_tickets.experiments.work_directory import CONFIG


def best_of(groups: Sequence[Group]) -> Group | None:
    """The group with the best mean, of those with masks if there are any."""
    sparse = [one for one in groups if one.results and one.mean("sparsity")]
    found = sparse or [one for one in groups if one.results]
    if not found:
        return None
    choose = min if is_better_lower(found[0].metric) else max
    return choose(found, key=lambda one: statistics.fmean(one.results))


def tiles(groups: Sequence[Group], best: Group | None) -> str:
    """A few numbers above the table."""
    found = []
    if best is not None:
        sparsity = best.mean("sparsity")
        zeros = f" at {100 * sparsity:.1f} % zeros" if sparsity else ""
        text = f"best {best.metric.replace('_', ' ')}: {best.name}{zeros}"
        found.append((_result(best.results, best.metric), text))
    dense = [one for one in groups if one.field("method") == "dense" and one.results]
    for one in dense[:1]:
        found.append((_result(one.results, one.metric), "dense network"))
    runs = sum(len(one.runs) for one in groups)
    found.append((str(runs), f"runs in {len(groups)} settings"))
    seconds = sum(sum(one.values("wall_seconds")) for one in groups)
    found.append((_time(seconds), "of training in all"))
    return "".join(
        f'<div class="tile"><b>{escape(number)}</b><span>{escape(text)}</span></div>'
        for number, text in found
    )


def table(index: int, groups: Sequence[Group], best: Group | None) -> str:
    """The table of groups, which the script sorts and filters."""
    metric = groups[0].metric
    unit = ", %" if is_share(metric) else ""
    heads = [
        ("method", ""),
        ("sparsity", ""),
        (f"{metric.replace('_', ' ')}{unit}", ""),
        ("n", ""),
        ("each seed", "more"),
        ("FLOPs, inference", "more"),
        ("FLOPs, training", "more"),
        ("bytes", "more"),
        ("steps", "more"),
        ("time", "more"),
    ]
    values = [value for one in groups for value in one.results]
    rows = "".join(
        f'<tr data-id="{place}"{" class=best" if one is best else ""}>{_row(one, values)}</tr>'
        for place, one in enumerate(groups)
    )
    cells = "".join(
        f'<th scope="col" class="{kind}"><button type="button">{escape(name)}</button></th>'
        for name, kind in heads
    )
    return f'<table class="sortable"><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>'


def _row(one: Group, values: Sequence[float]) -> str:
    mean = statistics.fmean(one.results) if one.results else None
    words = in_words(one.differs_beyond_columns)
    name = escape(str(one.field("method"))) + (f" <small>{escape(words)}</small>" if words else "")
    flops, training = (one.mean(f"{kind}_flops_ratio") for kind in ("inference", "training"))
    seconds, steps, sparsity = map(one.mean, ("wall_seconds", "steps", "sparsity"))
    cells = [
        f'<td class="words" data-v="{escape(one.name)}">{name}</td>',
        _cell(sparsity, _share(sparsity)),
        _cell(mean, _result(one.results, one.metric)),
        _cell(len(one.results), str(len(one.results))),
        f'<td class="more" data-v="{_plain(mean)}">{_dots(one, values)}</td>',
        _cell(flops, _share(flops), "more"),
        _cell(training, _share(training), "more"),
        _cell(one.bytes, f"{one.bytes:,}" if one.bytes is not None else "", "more"),
        _cell(steps, f"{steps:,.0f}" if steps is not None else "", "more"),
        _cell(seconds, _time(seconds) if seconds is not None else "", "more"),
    ]
    return "".join(cells)


def _cell(value: float | None, text: str, kind: str = "") -> str:
    return f'<td class="{kind}" data-v="{_plain(value)}">{escape(text)}</td>'


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


def _dots(one: Group, values: Sequence[float]) -> str:
    """A dot for each run, over the range of all groups; the seeds are in its title."""
    if not one.results:
        return ""
    low, high = min(values), max(values)
    width = (high - low) or 1.0
    found = ", ".join(
        f"seed {run.seed}: {figure(value, one.metric)}"
        for run, value in zip(one.runs, one.results, strict=False)
    )
    circles = "".join(
        f'<circle cx="{4 + 82 * (value - low) / width:.1f}" cy="6" r="3"/>' for value in one.results
    )
    line = '<line x1="4" x2="86" y1="6" y2="6"/>'
    title = f"<title>{escape(found)}</title>"
    return f'<svg class="dots" viewBox="0 0 90 12" role="img">{title}{line}{circles}</svg>'


def plot(index: int, kind: str, title: str, choices: Sequence[str] = (), wide: bool = False) -> str:
    """The place of a figure that the script draws, with a menu if there is something to choose."""
    options = "".join(
        f'<option value="{escape(name)}">{escape(name.replace("_", " "))}</option>'
        for name in choices
    )
    menu = f'<select aria-label="What is drawn">{options}</select>' if choices else ""
    return (
        f'<div class="card{" wide" if wide else ""}"><div class="head"><h3>{escape(title)}</h3>'
        f'{menu}</div><div class="plot" data-task="{index}" data-plot="{kind}"></div></div>'
    )


def masks(index: int, groups: Sequence[Group]) -> str:
    """The first kernel's masks before and after training, of the first seed of each group."""
    found = []
    for place, one in enumerate(groups):
        run = next((run for run in one.runs if run.first_kernel is not None), None)
        if run is None or run.first_kernel is None:
            continue
        kernel, *both = run.first_kernel
        pictures = []
        images = zip(("before", "after"), mask_images(both), strict=True)
        for when, (address, width, height) in images:
            text = escape(f"{kernel} {when} training")
            pictures.append(
                f'<img src="{address}" width="{width}" height="{height}" alt="{text}" '
                f'style="aspect-ratio:{width}/{height}">'
            )
        zeros = _share(one.mean("sparsity"))
        words = escape(f"{one.name}, {zeros}, seed {run.seed}: {kernel}")
        found.append(
            f'<figure class="card" data-of="{place}"><div class="pair">{"".join(pictures)}</div>'
            f"<figcaption>{words}</figcaption></figure>"
        )
    if not found:
        return ""
    hint = (
        "Before training on the left, after it on the right. White is connected; of dense layers "
        "on images, the brighter a pixel, the more of its connections are there."
    )
    return (
        f'<h2>Masks of the first layer</h2><p class="hint">{hint}</p>'
        f'<div class="masks">{"".join(found)}</div>'
    )


def kd_table(grid: tuple[list[float], list[tuple[str, list[Any]]]] | None, metric: str) -> str:
    """The grid of students on soft labels; the darker a cell, the better."""
    if grid is None:
        return ""
    sparsities, rows = grid
    means = [cell[0] for _, cells in rows for cell in cells if cell]
    low, high = min(means), max(means)
    sign = -1 if is_better_lower(metric) else 1
    heads = "".join(f'<th scope="col">{_share(value)}</th>' for value in sparsities)
    lines = []
    for name, cells in rows:
        shown = []
        for cell in cells:
            if cell is None:
                shown.append("<td>–</td>")
                continue
            mean, deviation, count = cell
            heat = (mean - low) / ((high - low) or 1.0)
            heat = heat if sign > 0 else 1 - heat
            text = figure(mean, metric)
            text += "" if deviation is None else f" ± {figure(deviation, metric)}"
            shown.append(
                f'<td class="grid-cell" style="--heat:{heat:.2f}" title="{count} seeds">{text}</td>'
            )
        lines.append(f'<tr><td class="words">{escape(name)}</td>{"".join(shown)}</tr>')
    unit = ", %" if is_share(metric) else ""
    return (
        f'<h2>Soft labels</h2><div class="card"><p class="hint">Test {escape(metric)}{unit} by '
        f'sparsity of the student</p><div class="scroll"><table><thead><tr>'
        f'<th scope="col">training</th>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div></div>"
    )


def settings(groups: Sequence[Group]) -> str:
    """For each group the settings, those marked in which it differs, and its runs' commands."""
    return "".join(_settings_of(place, one) for place, one in enumerate(groups))


def _settings_of(place: int, one: Group) -> str:
    lines = "".join(
        f"<li{' class=own' if name in one.differs else ''}><code>"
        f"{escape(f'{name} = {in_gin(value)}')}</code></li>"
        for name, value in sorted(one.settings.items())
    )
    commands = "\n".join(escape(command_of(run)) for run in one.runs)
    versions = one.field("versions") or {}
    runs = count_text(len(one.runs), "run")
    made = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f'<details data-of="{place}"><summary>{escape(one.name)}, '
        f"{escape(_share(one.mean('sparsity')))} zeros: {runs}</summary><div>"
        f"<p class=hint>To repeat each run, with a directory of your choice:</p>"
        f'<pre class="commands">{commands}</pre>'
        f"<p class=hint>Settings; marked are those in which settings of this method differ. "
        f'{escape(made)}</p><ul class="settings">{lines}</ul></div></details>'
    )


def command_of(run: FoundRun) -> str:
    """The command that trains a run again, elsewhere."""
    again = pathlib.PurePath("again") / run.path.name
    config = f"--gin_file={run.path / CONFIG}"
    return shlex.join(["keras-tickets", "train", config, f"--workdir={again}"])


def notes(runs: Sequence[FoundRun]) -> str:
    """Runs that are not finished or cannot be read, a line each."""
    lines = [
        f"<li><code>{escape(str(run.path))}</code>: {escape(note)}</li>"
        for run in runs
        for note in run.notes
    ]
    if not lines:
        return ""
    title, items = "Not finished, or of note", "".join(lines)
    return f'<h2>{title}</h2><div class="card"><ul class="notes">{items}</ul></div>'


def _result(values: Sequence[float], metric: str) -> str:
    if not values:
        return ""
    deviation = spread(values)
    text = figure(statistics.fmean(values), metric)
    return text if deviation is None else f"{text} ± {figure(deviation, metric)}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
