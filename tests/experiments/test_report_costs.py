"""What the report says of operations and bytes."""

import csv
import io
import re

import pytest
from run_directories import write_run

from keras_tickets.experiments.report import tables
from keras_tickets.experiments.report.collect import collect
from keras_tickets.experiments.report.costs import costs
from keras_tickets.experiments.report.groups import group


@pytest.fixture
def groups(tmp_path):
    """A method with two seeds, and one whose summary is of an older version."""
    for seed in (0, 1):
        write_run(
            tmp_path / f"rigl_{seed}",
            seed=seed,
            masks=False,
            inference_flops=1.04e9,
            training_flops=(5 + seed) * 1e15,
            training_course_ratio=0.25 + seed / 100,
            sizes={"dense": 1000, "bit_mask": 300 + 10 * seed, "csr": 400},
        )
    write_run(tmp_path / "set", method="set", masks=False)
    return group(collect([tmp_path]))


def test_operations_and_bytes_are_a_table_of_the_page(groups):
    heads, *rows = [
        re.sub(r"<[^>]+>", "|", line).strip("|") for line in costs(groups).split("<tr")[1:]
    ]
    names = re.findall(r"[^|>]+", heads)
    assert names[-7:] == [
        "a forward pass, FLOPs",
        "of a dense one",
        "the training, FLOPs",
        "of a dense training",
        "dense",
        "bit mask",
        "CSR",
    ]
    assert re.findall(r"[^|>]+", rows[0])[-7:] == [
        *("1.04 G", "10.0 %", "5.5 P", "25.5 %"),
        *("1.0 kB", "305 B", "400 B"),
    ]
    assert "set" in rows[1] and "10.0 %" in rows[1]


def test_nothing_is_said_where_nothing_is_known(groups):
    assert costs([one for one in groups if one.field("method") == "set"]) == ""


def test_they_are_columns_of_csv_and_those_that_are_known_of_markdown(groups):
    row, older = csv.DictReader(io.StringIO(tables.as_csv(groups)))
    assert float(row["operations of training"]) == 5.5e15 and row["bytes, csr"] == "400"
    assert float(row["training course"]) == pytest.approx(0.255) and row["bytes, deltas"] == ""
    assert older["operations of training"] == older["bytes, csr"] == ""
    lines = tables.as_markdown(groups).splitlines()
    assert "| FLOPs | training FLOPs |" in lines[0] and "| 0.100 | 0.255 |" in lines[2]
    assert "training FLOPs" not in tables.as_markdown(groups[1:])
