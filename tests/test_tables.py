"""Tables fit 80 columns, whatever is in them."""

import keras
import numpy as np
import pytest
from keras import layers
from rich.cells import cell_len

import keras_tickets as kt
from keras_tickets._tables import fill, list_text, render_table, shorten
from keras_tickets.experiments.commands import train


def widest(text):
    return max(cell_len(line) for line in str(text).splitlines())


@pytest.fixture(scope="module")
def long_names():
    """Paths, shapes and counts that are all longer than a terminal has room for."""
    inputs = keras.Input((32, 32, 3), name="images")
    name = "transformer_encoder_block_with_a_name_that_goes_on_and_on_"
    x = layers.Conv2D(2048, 3, padding="same", name=name + "stem" * 8)(inputs)
    x = layers.Conv2D(64, 1, name=name + "projection_of_the_tokens")(x)
    x = layers.BatchNormalization(name=name + "normalization" * 5)(x)
    x = layers.GlobalAveragePooling2D()(x)
    return kt.sparsify(keras.Model(inputs, layers.Dense(10, name="head")(x)), 0.9)


def test_no_table_is_wider_than_80_columns(long_names):
    masks = kt.get_masks(long_names)
    tables = [
        kt.plan(kt.strip(long_names), 0.9),
        kt.summary(long_names),
        kt.flops(long_names),
        kt.analysis.overlap(masks, masks),
        kt.compaction_report(long_names),
    ]
    for table in tables:
        lines = str(table).splitlines()
        rows = [line for line in lines if line.startswith("transf")]
        assert len(rows) == 2 and all("…" in row and "kernel" in row for row in rows)
        assert len({len(line.split()) for line in rows}) == 1
        assert widest(table) <= 80, str(table)


def test_a_table_that_fits_is_left_alone():
    rows = [("encoder/fc/kernel", "8x4", "0.5000"), ("head/kernel", "4x2", "0.0000")]
    lines = render_table(("kernel", "shape", "sparsity"), rows).splitlines()
    assert lines[0].split() == ["kernel", "shape", "sparsity"]
    assert [tuple(line.split()) for line in lines[2:]] == rows
    assert len({len(line) for line in lines}) == 1
    assert lines[3].startswith("head/kernel  ") and lines[2].endswith("  0.5000")


@pytest.mark.parametrize("size", range(1, 60, 3))
def test_exactly_80_columns_are_used_before_anything_is_left_out(size):
    rows = [("k" * size, "1" * 25, "2" * 20, "3" * 10)]
    text = render_table(("kernel", "one", "two", "three"), rows, droppable=("two",))
    assert widest(text) <= 80
    fits = min(size, 24) + 61 <= 80
    assert ("2" * 20 in text) == fits and ("columns: two)" in text) == (not fits)
    assert "1" * 25 in text and "3" * 10 in text
    assert ("…" in text) == (size > (19 if fits else 41))


def test_columns_go_in_the_order_given_then_from_the_right():
    columns = ["kernel", *"abcdef"]
    rows = [["path", *("9" * 22 for _ in "abcdef")]]
    text = render_table(columns, rows, droppable=("c", "a"))
    assert text.splitlines()[0].split() == ["kernel", "b", "d", "e"]
    assert text.splitlines()[-1] == "(left out to fit 80 columns: a, c, f)"


def test_the_middle_of_a_path_is_what_goes():
    assert shorten("encoder/kernel", 14) == "encoder/kernel"
    assert shorten("encoder/block/kernel", 13) == "encode…kernel"
    for width in range(3, 40):
        for path in ("encoder/block_17/attention/query/kernel", "層/" * 15, "x" * 40):
            assert cell_len(shorten(path, width)) <= width


def test_sentences_are_filled_to_80_columns():
    text = fill(f"no mask (none): {', '.join(['a/path'] * 40)}, {'x' * 200}")
    assert widest(text) <= 80 and text.count("a/path") == 40
    assert all(line.startswith("  ") for line in text.splitlines()[1:])
    assert fill("short") == "short"


def test_items_of_a_list_are_not_broken():
    items = [f"block_{n} (3 dead)" for n in range(20)] + ["x" * 200]
    text = list_text("stays (its layer cannot be cut)", items)
    assert widest(text) <= 80 and len(text.splitlines()) > 4
    assert all(item in text for item in items[:-1])
    assert list_text("stays (no)", ["a", "b"]) == "stays (no): a, b"


def test_the_table_of_levels_fits_with_every_control():
    names = ("random_mask", "layerwise_shuffle", "reinitialized", "inverted", "late_reset")
    level = {"nonzeros": 23_454_912, "density": 0.512, "test_accuracy": 0.9123}
    control = {name: {"test_accuracy": 0.9} for name in names}
    levels = [{"level": n, "controls": control, **level} for n in range(12)]
    text = train._levels(levels)
    assert widest(text) <= 80 and text.count("23,454,912") == 12


def test_an_overlap_prints_what_random_masks_would_share():
    a, b = np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool)
    line = str(kt.analysis.overlap({"k": a}, {"k": b})).splitlines()[2]
    assert line.split() == "k 4 2 2 1 0.3333 (0.3333) 0.5000 (0.5000)".split()
