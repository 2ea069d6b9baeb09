"""The tables of docs/flops.md are those of tools/published_flops.py, and those of the papers."""

import math
import pathlib

import published_flops
import pytest

ROOT = pathlib.Path(__file__).parents[1]


def test_the_notebook_of_mobilenet_to_the_printed_digit():
    costs = published_flops.notebook_costs()

    def megaflops(sparsity):
        return (
            math.fsum(
                cost.count(
                    size * (1 - (0 if "conv1" in name or "depthwise" in name else sparsity)),
                    published_flops.RIGL,
                )
                for name, (size, cost) in costs.items()
            )
            / 1e6
        )

    printed = {0.0: 1141.544, 0.75: 330.769, 0.85: 222.666, 0.9: 168.614, 0.95: 114.563}
    assert {s: round(megaflops(s), 3) for s in printed} == printed


@pytest.mark.parametrize(
    ("inference", "sparsity", "printed"),
    [(0.2241, 0.8, (".56", ".84")), (0.1272, 0.9, (".50", ".76"))],
)
def test_gradual_pruning_along_its_ramp(inference, sparsity, printed):
    """Printed are .56, .84, .51 and .76: the third is not what its 1.5-fold is of."""
    ratio = published_flops.pruning(inference, sparsity)
    assert (published_flops.short(ratio), published_flops.short(1.5 * ratio)) == printed
    kept = 1 - (15 * 0.75 + 7) / 32 * (1 - inference)
    assert ratio == pytest.approx(kept, abs=2e-3)


@pytest.mark.slow
def test_the_page_shows_what_the_tool_prints(capsys):
    published_flops.main()
    printed = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    page = (ROOT / "docs" / "flops.md").read_text(encoding="utf-8").splitlines()
    assert len(printed) > 60
    assert [line for line in printed if line not in page] == []
