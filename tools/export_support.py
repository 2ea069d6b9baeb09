"""The table of `docs/export.md`: which layers each format takes, found by exporting them.

python tools/export_support.py          writes the table into the page
"""

import pathlib
import re
import tempfile

import keras
from keras import layers

import keras_tickets as kt

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "export.md"
FORMATS = {"tf_saved_model": "m", "litert": "m", "onnx": "m", "openvino": "m.xml"}
IMAGE, SERIES, FEATURES = (8, 8, 4), (6, 4), (8,)
# What is exported: the shape of its input, and the layer.
LAYERS = {
    "convolution with `groups`": (IMAGE, lambda: layers.Conv2D(4, 3, groups=2)),
    "depthwise convolution": (IMAGE, lambda: layers.DepthwiseConv2D(3)),
    "transposed convolution": (IMAGE, lambda: layers.Conv2DTranspose(4, 3)),
    "LSTM": (SERIES, lambda: layers.LSTM(4)),
    "GRU": (SERIES, lambda: layers.GRU(4)),
    "SimpleRNN": (SERIES, lambda: layers.SimpleRNN(4)),
    "LSTM with `unroll=True`": (SERIES, lambda: layers.LSTM(4, unroll=True)),
    "bidirectional GRU with `unroll=True`": (
        SERIES,
        lambda: layers.Bidirectional(layers.GRU(4, unroll=True)),
    ),
    "attention": (SERIES, lambda: Attention()),
    "exact `gelu`": (FEATURES, lambda: layers.Dense(4, "gelu")),
}
REFUSED = re.compile(r"has no operators? (\w+)")


class Attention(layers.Layer):
    """Attention of a series to itself."""

    def build(self, shape):
        self.attention = layers.MultiHeadAttention(2, 2)
        self.attention.build(shape, shape)

    def call(self, x):
        return self.attention(x, x)


def cell(name: str, format: str) -> str:
    """Whether a format takes a layer: "yes", or the first operator that it lacks."""
    shape, make = LAYERS[name]
    inputs = keras.Input(shape)
    model = keras.Model(inputs, make()(inputs))
    with tempfile.TemporaryDirectory() as folder:
        try:
            report = kt.export(model, pathlib.Path(folder) / FORMATS[format], format=format)
        except ValueError as error:
            found = REFUSED.search(str(error))
            return f"refused: no {found[1]}" if found else "refused"
    return "yes" if report.max_abs_difference < 1e-4 else f"off by {report.max_abs_difference:.0e}"


def row(name: str) -> str:
    """The row of a layer."""
    return f"| {name} | {' | '.join(cell(name, format) for format in FORMATS)} |"


def page(text: str, rows: list[str]) -> str:
    """The page with these rows as its table."""
    head = (
        "| | " + " | ".join(f'`"{format}"`' for format in FORMATS) + " |\n|---|---|---|---|---|\n"
    )
    start = text.index('| | `"tf_saved_model"`')
    end = text.index("\n\n", start)
    return text[:start] + head + "\n".join(rows) + text[end:]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), [row(name) for name in LAYERS]))
