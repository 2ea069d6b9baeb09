import importlib.util
import json
import os
import pathlib
import platform
import sys

import pytest

from keras_tickets.export import litert_races

PATH = pathlib.Path(__file__).parents[1] / "tools" / "benchmark.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_small(benchmark, monkeypatch):
    """Lets the sections on sparse inference measure little of a few files."""
    inference, choice = benchmark.sparse_inference, benchmark.sparse_choice
    for name, value in [("SPARSITIES", (0.95,)), ("BATCHES", (1,)), ("THREADS", (1,))]:
        monkeypatch.setattr(inference, name, value)
    monkeypatch.setattr(inference, "loaded_bytes", lambda *arguments: 1)
    name = "LeNet-300-100, 95 %"
    monkeypatch.setattr(choice, "NETWORKS", {name: choice.NETWORKS[name]})
    monkeypatch.setattr(litert_races, "MAX_SECONDS", 0.0)


@pytest.mark.slow
def test_every_section_runs_and_writes_its_figures(benchmark, tmp_path, capsys, monkeypatch):
    path = tmp_path / "figures.json"
    make_small(benchmark, monkeypatch)
    short = "--models lenet_300_100 --sizes 30000 --steps-per-execution 2 --steps 2 --rounds 2"
    short += " --networks lenet_300_100 --batches 8 --sparsities 0.9 --width 64"
    short += " --configurations digits/rigl.gin"
    benchmark.main([*short.split(), "--json", str(path)])
    figures = json.loads(path.read_text())
    machine = figures["machine"]
    assert machine["processor"] and machine["cores"] == os.cpu_count()
    training, update = figures["train lenet_300_100"], figures["update 30000"]
    assert {"stock fit @2", "SparseModel, dense @2", "Static @2", "RigL @2"} < set(training)
    assert set(update) == {"graph", "graph, full sort", "XLA", "XLA, full sort"}
    methods = figures["methods lenet_300_100"]
    assert {"Static", "RigL", "SNFS", "GradualMagnitude", "DNW", "TopKAST"} < set(methods)
    distillation = figures["distill lenet_300_100"]
    assert {"hard labels @2", "teacher @2", "cached logits @2"} < set(distillation)
    levels = figures["levels lenet_300_100"]
    assert set(figures["input digits/rigl.gin"]) == {"training", "pipeline", "pipeline, control"}
    storage = figures["sparse_training 0.9"]
    assert min(storage["peak_bytes"].values()) > 0 and len(storage["peak_bytes"]) == 4
    for seconds in [
        *levels.values(),
        *training.values(),
        *methods.values(),
        *update.values(),
        *distillation.values(),
        *storage["seconds"].values(),
    ]:
        assert len(seconds) == 2 and min(seconds) > 0
    assert figures["memory lenet_300_100"]["added per masked weight, bytes"] == 1
    sparse = figures["sparse lenet_300_100"]
    rows = {"dense float", "dense int8", "csr float, 95%", "1x4 float, 95%", "1x16 int8, 95%"}
    assert set(sparse["bytes"]) == set(sparse["RAM bytes"]) == rows
    assert set(sparse["seconds at batch size 1 with 1 thread"]) == rows | {"control"}
    choice = figures["sparse_choice 8"]["LeNet-300-100, 95 %"]
    assert sum(choice["kernels"].values()) == 3 and set(choice) > {"packed", "auto", "control"}
    assert "All masks are the same" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text, processor, features",
    [
        (
            "model name\t: A CPU\nflags\t\t: fpu avx avx2 fma\n\nmodel name\t: B",
            "A CPU",
            "avx avx2 fma",
        ),
        ("BogoMIPS\t: 50.00\nFeatures\t: fp asimd asimddp", None, "asimd asimddp"),
        (None, None, ""),
    ],
)
def test_the_processor_and_its_features_are_named(
    benchmark, monkeypatch, tmp_path, text, processor, features
):
    module = sys.modules["benchmarks.machine"]
    monkeypatch.setattr(module, "PROCESSOR", tmp_path / "cpuinfo")
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    machine = module.describe_machine()
    assert machine["processor"] == (processor or platform.processor() or platform.machine())
    assert machine["features"] == features.split()


def test_blocks_take_turns_in_rotated_order(benchmark):
    order = []

    def block(name):
        return lambda: order.append(name) or len(order)

    seconds = benchmark.training.take_turns({name: block(name) for name in "abc"}, rounds=3)
    assert "".join(order) == "abc" + "abc" + "bca" + "cab"
    assert seconds == {"a": [4, 9, 11], "b": [5, 7, 12], "c": [6, 8, 10]}


@pytest.mark.parametrize(
    "arguments, words",
    [
        ("speed", "no section 'speed'"),
        ("update --sizes 5", "invalid choice: 5"),
        ("train --rounds 0", "--rounds must be at least 1"),
        ("train --steps 10 --steps-per-execution 4", "no multiple of 4"),
    ],
)
def test_wrong_options_are_named(benchmark, arguments, words, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(arguments.split())
    assert words in capsys.readouterr().err
