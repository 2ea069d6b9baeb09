"""Tables and sentences as plain text for a terminal of 80 columns."""

import textwrap
from collections.abc import Iterable, Sequence

from rich.cells import cell_len, chop_cells

WIDTH = 80
GAP = "  "
NARROWEST_TEXT = 24
_CONTROLS = dict.fromkeys([*range(32), *range(127, 160)], "\ufffd")
_TEXT_COLUMNS = ("", "kernel", "shape")


def render_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], droppable: Sequence[str] = ()
) -> str:
    """Renders a table that fits a terminal.

    If the table is too wide, the texts of the first column are shortened in the middle. If that is
    not enough, columns are left out, and a last line names them. No row is ever wrapped.

    Args:
        columns: Names of the columns. "kernel", "shape" and a first column without a name are
            aligned to the left, the others to the right.
        rows: Cells, row by row.
        droppable: Names of the columns that may be left out, in this order. If that is not enough,
            the last columns go.

    Returns:
        The lines of the table, none longer than 80 columns.
    """
    rows = [[plain(cell) for cell in row] for row in rows]
    kept = list(range(len(columns)))
    order = [list(columns).index(name) for name in droppable]
    order += [index for index in reversed(kept[1:]) if index not in order]
    while len(kept) > 1 and _narrowest(columns, rows, kept) > WIDTH:
        kept.remove(order.pop(0))
    others = sum(_width(columns, rows, index) + len(GAP) for index in kept[1:])
    first = min(_width(columns, rows, 0), WIDTH - others)
    rows = [[shorten(row[0], first), *row[1:]] for row in rows]
    widths = {index: _width(columns, rows, index) for index in kept}
    lines = [[columns[index] for index in kept], ["─" * widths[index] for index in kept]]
    lines += [[row[index] for index in kept] for row in rows]
    aligned = [
        GAP.join(
            _pad(cell, widths[index], left=index == 0 or columns[index] in _TEXT_COLUMNS)
            for index, cell in zip(kept, line, strict=True)
        ).rstrip()
        for line in lines
    ]
    hidden = [name for index, name in enumerate(columns) if index not in kept]
    if hidden:
        aligned.append(fill(f"(left out to fit {WIDTH} columns: {', '.join(hidden)})"))
    return "\n".join(aligned)


def plain(text: str) -> str:
    """The text on one line, without what a terminal would obey or could not print.

    Example:

    ```python
    from keras_tickets._tables import plain

    assert plain("a  b" + chr(27) + "[2J") == "a b\ufffd[2J"
    ```
    """
    return " ".join(text.split()).encode(errors="replace").decode().translate(_CONTROLS)


def shorten(text: str, width: int) -> str:
    """The text, with "…" in place of its middle if it takes more than `width` columns."""
    if cell_len(text) <= width:
        return text
    head = chop_cells(text, (width - 1) // 2)[0]
    tail = chop_cells(text[::-1], width - 1 - cell_len(head))[0][::-1]
    return f"{head}…{tail}"


def fill(text: str) -> str:
    """The text in lines of at most 80 columns, all but the first indented."""
    words = [shorten(word, WIDTH - 2) for word in plain(text).split()]
    lines = textwrap.wrap(
        " ".join(words),
        WIDTH,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)


def list_text(heading: str, items: Sequence[str]) -> str:
    """`heading: item, item` in lines of at most 80 columns. No item is split between lines."""
    lines = [fill(f"{heading}:")]
    for index, item in enumerate(items):
        item = shorten(item, WIDTH - 3) + ("," if index < len(items) - 1 else "")
        last = lines[-1].rpartition("\n")[2]
        if cell_len(f"{last} {item}") <= WIDTH:
            lines[-1] += f" {item}"
        else:
            lines.append(f"  {item}")
    return "\n".join(lines)


def shape_text(shape: Sequence[int]) -> str:
    """A shape as `3x3x16x32`."""
    return "x".join(map(str, shape))


def count_text(count: int, noun: str) -> str:
    """A number of things: `1 step`, `2 steps`, `1,000 steps`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def bytes_text(size: float) -> str:
    """A number of bytes in three digits or a little more: `83.9 MB`."""
    if size < 1000:
        return f"{size:.0f} B"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:,.1f} TB"


def _width(columns, rows, index) -> int:
    return max([cell_len(columns[index]), *(cell_len(row[index]) for row in rows)])


def _narrowest(columns, rows, kept) -> int:
    """The smallest width that a table of these columns can have."""
    first = min(_width(columns, rows, 0), NARROWEST_TEXT)
    return first + sum(len(GAP) + _width(columns, rows, index) for index in kept[1:])


def _pad(text: str, width: int, left: bool) -> str:
    spaces = " " * (width - cell_len(text))
    return text + spaces if left else spaces + text
