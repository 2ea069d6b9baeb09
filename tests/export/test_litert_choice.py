"""Which kernels of a LiteRT file are computed with without their zeros, and why."""

import numpy as np
import pytest
from litert_networks import network

import keras_tickets as kt
from keras_tickets.export import apart
from keras_tickets.export.litert_races import Race

Block = kt.structures.Block


def answer(monkeypatch, reply):
    """Lets the process that runs files answer `reply(request, real)` to each request."""
    real = apart.request
    monkeypatch.setattr(
        apart,
        "request",
        lambda do, format, **kw: reply(do, lambda: real(do, format, **kw), **kw),
    )


def times(paths, factors):
    """A reply to a race in which each form is `factors` times as fast as the first."""
    noise = [1.0, 1.01, 0.99, 1.0, 1.02]
    seconds = {name: [x / factors.get(name, 1) for x in noise] for name in (*paths, "control")}
    return {"seconds": seconds, "refused": {}}


def raced(factors_of_kernels, factor_of_file=2.0):
    """Answers races of kernels in turn, each at three batch sizes, and then those of files."""
    turns = iter([factors for factors in factors_of_kernels for _ in range(3)])

    def reply(do, real, paths=None, **kw):
        if do == "ram":
            return {"ram_bytes": None}
        if do != "race":
            return real()
        if "sparse" in paths:
            return times(paths, {"sparse": factor_of_file})
        return times(paths, next(turns))

    return reply


def test_auto_chooses_the_faster_form_of_each_kernel(tmp_path, monkeypatch):
    answer(monkeypatch, raced([{"csr": 1.5, "1x4": 1.2}, {"csr": 0.6, "1x4": 1.04}]))
    model = network(Block.for_litert())
    report = kt.export(model, tmp_path / "m", "litert", kernels="auto")
    assert [kernel.form for kernel in report.kernels] == ["csr", "packed"]
    assert [kernel.best[1] for kernel in report.kernels] == ["csr", "packed"]
    assert report.kernels[1].speedups[8] == pytest.approx({"csr": 0.6, "1x4": 1.04})
    assert "1 of 2 kernels are computed with as they are stored" in report.note
    assert "measured on this machine, kernel by kernel, at batch size 1" in report.note
    assert (
        "2.00 times as fast as with all kernels expanded at batch size 1 (2.00 at 8" in report.note
    )
    assert "packed (1x4 1.04)" in str(report) and "csr 1.50" in str(report)
    assert report.max_abs_difference < 1e-5


def test_auto_expands_all_where_the_file_as_a_whole_is_slower(tmp_path, monkeypatch):
    answer(monkeypatch, raced([{"csr": 1.5}, {"csr": 1.5}], factor_of_file=0.9))
    model = network()
    report = kt.export(model, tmp_path / "m", "litert", kernels="auto")
    assert [kernel.form for kernel in report.kernels] == ["packed", "packed"]
    assert "but not the file as a whole (0.90 times as fast), so all are expanded" in report.note
    assert report.kernels[0].speedups[1]["csr"] == pytest.approx(1.5)
    kt.export(model, tmp_path / "n", "litert", kernels="packed")
    assert (tmp_path / "m").read_bytes() == (tmp_path / "n").read_bytes()


def test_auto_expands_all_where_nothing_gains_and_sparse_says_so(tmp_path, monkeypatch):
    answer(monkeypatch, raced([{"csr": 0.5}] * 4, factor_of_file=0.5))
    report = kt.export(network(), tmp_path / "m", "litert", kernels="auto")
    assert "No kernel was clearly faster without its zeros on this machine" in report.note
    report = kt.export(network(), tmp_path / "n", "litert", kernels="sparse")
    assert [kernel.form for kernel in report.kernels] == ["csr", "csr"]
    assert "None of them is clearly faster for it" in report.note
    assert "0.50 times as fast as with all kernels expanded" in report.note


def test_what_the_interpreter_refuses_is_expanded(tmp_path, monkeypatch):
    def refuse_blocks(do, real, paths=None, **kw):
        if do != "race" or "sparse" in paths:
            return real()
        return {
            **times([name for name in paths if name != "1x4"], {"csr": 2.0}),
            "refused": {"1x4": "no blocks"},
        }

    model = network(Block.for_litert())
    answer(monkeypatch, refuse_blocks)
    report = kt.export(model, tmp_path / "m", "litert", kernels="sparse")
    assert [kernel.form for kernel in report.kernels] == ["csr", "csr"]
    assert "1x4 refused: no blocks" in report.kernels[0].reason

    def crash(do, real, **kw):
        if do == "race":
            raise apart.Failure("the process crashed with SIGSEGV.", crashed=True)
        return real()

    answer(monkeypatch, crash)
    report = kt.export(model, tmp_path / "n", "litert", kernels="sparse")
    assert [kernel.form for kernel in report.kernels] == ["packed", "packed"]
    assert "the interpreter refuses it: the process crashed" in report.kernels[0].reason


def test_without_an_interpreter_files_are_written_unmeasured(tmp_path, monkeypatch):
    def nothing_installed(do, real, **kw):
        if do == "convert":
            return real()
        raise apart.Failure("ImportError: no interpreter", no_runtime=True)

    answer(monkeypatch, nothing_installed)
    report = kt.export(network(), tmp_path / "m", "litert", kernels="auto")
    assert [kernel.form for kernel in report.kernels] == ["packed", "packed"]
    assert "It could not be measured" in report.note and not report.latency_ms
    assert "Not measured: nothing that runs the file is installed" in report.note
    report = kt.export(network(), tmp_path / "n", "litert", kernels="sparse")
    assert [kernel.form for kernel in report.kernels] == ["csr", "csr"]


@pytest.mark.parametrize(
    "structure, sparsity, batch_size, quantize, forms",
    [
        (None, 0.96, 1, None, ["csr", "csr"]),
        (None, 0.96, 8, None, ["packed", "packed"]),
        (Block.for_litert(), 0.92, 1, None, ["1x4", "1x4"]),
        (Block.for_litert(int8=True), 0.85, 1, "int8", ["1x16", "1x16"]),
    ],
)
def test_arm64_is_looked_up(tmp_path, structure, sparsity, batch_size, quantize, forms):
    report = kt.export(
        network(structure, sparsity, (128, 160, 160)),
        tmp_path / "m",
        "litert",
        quantize=quantize,
        target="arm64",
        kernels="auto",
        batch_size=batch_size,
    )
    assert [kernel.form for kernel in report.kernels] == forms
    assert "target='arm64'" in report.note and not report.speedup
    assert not any(kernel.speedups for kernel in report.kernels)
    than = "fewer than" if "packed" in forms else "at least"
    assert all(
        f"zeros as {f}, {than} the" in k.reason
        for f, k in zip(["csr" if f == "packed" else f for f in forms], report.kernels, strict=True)
    )


def test_a_form_is_faster_if_it_beats_both_dense_kernels_in_most_rounds():
    dense, noisy = [1.0] * 5, [0.5, 1.0, 1.5, 0.6, 1.4]
    race = judged(dense, dense, [0.9] * 5)
    assert list(race.faster) == ["csr"] and race.speedups["csr"] == pytest.approx(1 / 0.9)
    assert not judged(dense, noisy, [0.9] * 5).faster
    assert not judged(dense, dense, [0.97] * 5).faster
    assert not judged(dense, dense, [0.7, 0.7, 0.7, 1.0, 1.0]).faster


def test_a_busy_machine_hides_no_clear_gain_and_makes_up_none():
    random = np.random.default_rng(0)

    def seconds(factor):
        """Each call takes up to twice its time, each round up to three times."""
        return list(rounds * random.uniform(1, 2, 21) / factor)

    twice, even = 0, 0
    for _ in range(200):
        rounds = random.uniform(1, 3, 21)
        twice += bool(judged(seconds(1), seconds(1), seconds(2)).faster)
        even += bool(judged(seconds(1), seconds(1), seconds(1)).faster)
    assert twice > 80 and even == 0


def judged(dense, control, csr):
    return Race.of({"seconds": {"dense": dense, "control": control, "csr": csr}, "refused": {}})
