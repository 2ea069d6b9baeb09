"""Tables as plain text."""

import io
from collections.abc import Iterable, Sequence

import rich.box
import rich.console
import rich.table
import rich.text

_WIDTH = 1000
_TEXT_COLUMNS = ("kernel", "shape")


def render_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Renders a table as plain text.

    Args:
        columns: Names of the columns; all but "kernel" and "shape" are aligned to the right.
        rows: Cells, row by row.

    Returns:
        The lines of the table.
    """
    table = rich.table.Table(box=rich.box.SIMPLE)
    for name in columns:
        table.add_column(name, justify="left" if name in _TEXT_COLUMNS else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(rich.text.Text(cell) for cell in row))
    text = io.StringIO()
    rich.console.Console(file=text, width=_WIDTH).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines() if line.strip())


def shape_text(shape: Sequence[int]) -> str:
    """A shape as `3x3x16x32`."""
    return "x".join(map(str, shape))
