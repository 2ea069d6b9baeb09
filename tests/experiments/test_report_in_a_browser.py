"""The page of a report in a real browser."""

import pathlib
import sys

import pytest
from run_directories import level, write_run

from keras_tickets.experiments import cli

sys.path.append(str(pathlib.Path(__file__).parents[2] / "tools"))
import browser  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.find() is None, reason="no Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page of a hundred runs: methods at several sparsities, tickets and their students."""
    directory = tmp_path_factory.mktemp("hundred")
    for method in ("static", "set", "rigl", "snfs", "rigl_long"):
        for sparsity in (0.8, 0.9, 0.95, 0.98):
            for seed in range(4):
                write_run(
                    directory / f"{method}_{sparsity}_{seed}",
                    method=method,
                    sparsity=sparsity,
                    seed=seed,
                    epochs=60,
                    test_accuracy=0.99 - sparsity / 10 - len(method) / 100 + seed / 100,
                    inference_flops_ratio=1 - sparsity,
                )
    for seed in range(4):
        levels = [level(i, 0.95 - i / 50, reinit=0.9 - i / 20) for i in range(6)]
        write_run(directory / f"t{seed}", seed=seed, method="tickets", levels=levels)
        write_run(directory / f"d{seed}", seed=seed, method="distill", teacher_test_accuracy=0.9)
        dense = {"sparsity": 0.0, "masks": False}
        write_run(directory / f"dense{seed}", seed=seed, method="dense", **dense)
        write_run(directory / f"other{seed}", seed=seed, dataset="zoo <mnist>")
    levels = [level(i, 0.9 - i / 50) for i in range(3)]
    write_run(directory / "single", method="tickets", dataset="zoo <mnist>", levels=levels)
    write_run(directory / "unfinished", finished=False)
    output = directory / "report.html"
    with pytest.warns(UserWarning, match="not finished"):
        assert cli.main(["report", str(directory), f"--output={output}"]) == 0
    return output.as_uri()


@pytest.fixture(scope="module")
def chromium():
    with browser.Browser() as found:
        yield found


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_opens_quickly_without_errors_and_without_the_network(address, chromium, width, dark):
    page = chromium.open(address, width=width, dark=dark)
    assert page.seconds < 2
    page.run("reportDrawAll()")
    page.run("document.querySelectorAll('.tabs button')[1].click(); reportDrawAll()")
    assert page.errors == []
    assert page.requests == [address]
    assert page.run("document.documentElement.scrollWidth") <= width
    shown = page.run(
        "[...document.querySelectorAll('.plot')]"
        ".map((p) => p.querySelectorAll('svg path, svg text').length)"
    )
    assert min(shown) > 5, shown


def test_sorting_and_filtering(address, chromium):
    page = chromium.open(address)
    rows = "[...document.querySelectorAll('#task-0 table.sortable tbody tr:not([hidden])')]"
    methods = f"{rows}.map((row) => row.cells[0].textContent)"
    everything = page.run(methods)
    assert len(everything) == 23
    head = "document.querySelectorAll('#task-0 thead button')[2].click()"
    values = f"{rows}.map((row) => Number(row.cells[2].dataset.v))"
    page.run(head)
    assert page.run(values) == sorted(page.run(values), reverse=True)
    page.run(head)
    assert page.run(values) == sorted(page.run(values))
    page.run(
        "const box = document.querySelector('#task-0 input'); box.value = 'rigl_long 98.0';"
        "box.dispatchEvent(new Event('input'))"
    )
    assert page.run(methods) == ["rigl_long"]
    assert page.errors == []


def test_it_prints(address, chromium, tmp_path):
    page = chromium.open(address, dark=True)
    page.run("reportDrawAll()")
    page.print_to(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    page.call("Emulation.setEmulatedMedia", media="print", features=[dark])
    assert (
        page.run("getComputedStyle(document.documentElement).backgroundColor")
        == "rgb(255, 255, 255)"
    )
    assert page.errors == []
