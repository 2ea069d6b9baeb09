"""docs/your_own.md, followed word for word from an empty folder."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SECTION = re.compile(r"^## (.*)$", re.MULTILINE)
BLOCK = re.compile(r'^```(\w+)(?: title="(\S+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
LEARNED = {
    "Images: your own network on a folder of images": ("test_accuracy", 0.8, 1.0, 1),
    "Numbers: your own data set": ("test_relative_error", 0.0, 0.1, 2),
    "Text: the next character": ("test_accuracy", 0.6, 1.0, 1),
}


def sections():
    parts = SECTION.split((ROOT / "docs" / "your_own.md").read_text(encoding="utf-8"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("title", LEARNED)
def test_the_guide_word_for_word(title, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    for language, name, content in BLOCK.findall(sections()[title]):
        if name:
            (tmp_path / name).write_text(content)
            continue
        assert language == "sh"
        for line in content.splitlines():
            program, *arguments = shlex.split(line)
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
