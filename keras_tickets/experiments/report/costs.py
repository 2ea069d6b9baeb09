"""What a training took and what its network takes, as a table of the page."""

from collections.abc import Sequence
from html import escape

from keras_tickets._accounting.format_names import FORMAT_NAMES
from keras_tickets._tables import bytes_text
from keras_tickets.experiments.report.groups import Group

HINT = (
    "Operations of hardware that skips zeros. A training is counted along its course, with "
    "the dense gradients of its method. Bytes are those of all weights."
)


def costs(groups: Sequence[Group]) -> str:
    """The operations and bytes of each group, without the columns that nothing is known of."""
    columns = {
        "a forward pass, FLOPs": [_count(one.mean("inference_flops")) for one in groups],
        "of a dense one": [_share(one.mean("inference_flops_ratio")) for one in groups],
        "the training, FLOPs": [_count(one.mean("training_flops")) for one in groups],
        "of a dense training": [_share(one.mean("training_course_ratio")) for one in groups],
    }
    if not any(columns["a forward pass, FLOPs"] + columns["of a dense training"]):
        return ""
    for name, text in FORMAT_NAMES.items():
        sizes = [one.sizes.get(name) for one in groups]
        columns[text] = ["" if size is None else bytes_text(size) for size in sizes]
    shown = {name: cells for name, cells in columns.items() if any(cells)}
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in shown)
    rows = "".join(
        f'<tr data-of="{place}"><td class="words">{escape(_name(one))}</td>'
        + "".join(f"<td>{escape(cells[place])}</td>" for cells in shown.values())
        + "</tr>"
        for place, one in enumerate(groups)
    )
    return (
        f'<h2>Operations and bytes</h2><div class="card"><p class="hint">{HINT}</p>'
        f'<div class="scroll"><table class="costs"><thead><tr><th scope="col">method</th>{heads}'
        f"</tr></thead><tbody>{rows}</tbody></table></div></div>"
    )


def _name(one: Group) -> str:
    sparsity = one.mean("sparsity")
    return f"{one.name}, {_share(sparsity)} zeros" if sparsity else one.name


def _count(value: float | None) -> str:
    """Operations in three digits: `1.04 G`."""
    if value is None:
        return ""
    for unit in ("", " k", " M", " G", " T", " P", " E"):
        if value < 999.5:
            return f"{value:.3g}{unit}"
        value /= 1000
    return f"{value:,.0f} Z"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"
