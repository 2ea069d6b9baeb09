"""Whole models, as `docs/supported_layers.md` has them."""

import pathlib
import re

import model_recipes
import pytest
import supported_layers

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "supported_layers.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[pytest.mark.slow] if re.search("applications|transformer|nested", name) else [],
        )
        for name in model_recipes.MODELS
    ],
)
def test_each_comes_through_as_the_page_says(name):
    row = supported_layers.model_row(name)
    if "not tried" in row:
        pytest.skip(row)
    assert row in PAGE.splitlines()
