"""docs/your_own.md, followed word for word from an empty folder."""

import json
import os
import subprocess
import sys

import pytest
from guide import GUIDE, LEARNED, commands


@pytest.mark.slow
@pytest.mark.parametrize("title", LEARNED)
def test_the_guide_word_for_word(title, tmp_path):
    root = str(GUIDE.parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "TF_CPP_MIN_LOG_LEVEL": "3"}
    for program, *arguments in commands(title, tmp_path):
        start = ["-m", "keras_tickets"] if program == "keras-tickets" else []
        result = subprocess.run(
            [sys.executable, *start, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
    figure, low, high, runs = LEARNED[title]
    files = list(tmp_path.glob("runs/*/summary.json"))
    found = [json.loads(file.read_text())[figure] for file in files]
    assert len(found) == runs and all(low <= value <= high for value in found), found
