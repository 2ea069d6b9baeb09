"""The table of `docs/export.md` is what `tools/export_support.py` makes."""

import export_support
import pytest

PAGE = export_support.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("convolution with `groups`", "litert"),
        ("convolution with `groups`", "onnx"),
        ("GRU", "litert"),
        ("LSTM with `unroll=True`", "litert"),
    ],
)
def test_cells_say_what_happens(name, format):
    (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| {name} |"))
    cells = dict(zip(export_support.FORMATS, line.split(" | ")[1:], strict=True))
    assert export_support.cell(name, format) == cells[format].removesuffix(" |")


def test_the_page_has_the_rows_of_the_tool():
    rows = [line for line in PAGE.splitlines() if line.split(" | ")[0][2:] in export_support.LAYERS]
    assert len(rows) == len(export_support.LAYERS)
    assert export_support.page(PAGE, rows) == PAGE


@pytest.mark.slow
@pytest.mark.parametrize("name", list(export_support.LAYERS))
def test_every_row_is_what_happens(name):
    assert export_support.row(name) in PAGE.splitlines()
