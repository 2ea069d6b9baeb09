"""What is printed while levels train."""

import functools
import io
import re
import sys

import pytest
from networks import LOSS, mlp
from rewound_networks import X, Y

import keras_tickets as kt

LEVELS = [
    "To step 2, which levels rewind to",
    "Level 0 of 2: 100.0% of the weights left",
    "Level 1 of 2: 50.0% of the weights left",
    "Level 2 of 2: 25.0% of the weights left",
    "Level 2 of 2, control 'random': 25.0% of the weights left",
]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(scope="module")
def printed():
    """What `fit` prints, by `verbose` and by whether there is a terminal."""
    model = mlp(8, (), 4)

    @functools.cache
    def run(verbose, terminal):
        out = Terminal() if terminal else io.StringIO()
        made = kt.trainers.RewindTrainer(
            model, levels=2, rate=0.5, rewind_to=2, control="random", control_levels=[2]
        )
        made.compile("sgd", LOSS, metrics=["accuracy"], steps_per_execution=4)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            made.fit(X, Y, batch_size=10, epochs=2, validation_data=(X, Y), verbose=verbose)
        return out.getvalue()

    return run


def test_in_a_terminal_each_level_is_named_above_its_bars(printed):
    lines = printed("auto", True).splitlines()
    assert [line for line in lines if line.startswith(("To step", "Level"))] == LEVELS
    at = {line: lines.index(line) for line in LEVELS}
    assert list(at.values()) == sorted(at.values())
    assert any("6/6" in line for line in lines[at[LEVELS[-1]] :])


def test_no_bar_runs_past_its_end(printed):
    text = re.sub(r"\x1b\[[0-9]*m", "", printed("auto", True))
    bars = [(int(done), int(of)) for done, of in re.findall(r"(\d+)/(\d+) ━", text)]
    assert {of for _, of in bars} == {2, 4, 6}
    assert all(done <= of for done, of in bars)


def test_in_a_file_each_level_is_one_line_with_its_results(printed):
    lines = printed("auto", False).splitlines()
    assert len(lines) == 4
    for line, level in zip(lines, LEVELS[1:], strict=True):
        found = re.fullmatch(
            re.escape(level) + r", val_accuracy 0\.\d{4}, val_loss \d+\.\d{4}, \d+ s", line
        )
        assert found, line


@pytest.mark.slow
def test_nothing_is_printed_where_nothing_is_asked_for(printed):
    assert printed(0, True) == ""
    assert all(level in printed(2, False) for level in LEVELS)
