"""Converters and runtimes run in a process of their own: what happens to it is an error here."""

import os
import pathlib
import shutil

import keras
import numpy as np
import pytest
from keras import layers
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets.export import apart
from keras_tickets.export._apart import memory


def small():
    return keras.Sequential([keras.Input((4,)), layers.Dense(2)])


@pytest.fixture
def converter(monkeypatch, tmp_path):
    """Runs what it is given in place of the LiteRT converter."""
    program = tmp_path / "program"
    shutil.copytree(apart.PROGRAM, program)
    apart.stop()
    monkeypatch.setattr(apart, "PROGRAM", program)

    def use(body):
        source = f"import os, sys, time\ndef convert(*arguments):\n    {body}\n"
        (program / "run_litert.py").write_text(source)

    yield use
    apart.stop()


@pytest.mark.parametrize(
    ("body", "message"),
    slow_unless(
        lambda body, message: "abort" in body,
        [
            ("print('LLVM ERROR: bad', file=sys.stderr, flush=True); os.abort()", "SIGABRT.*LLVM"),
            ("os.kill(os.getpid(), 11)", "crashed with SIGSEGV"),
            ("os._exit(3)", "ended with 3"),
            ("raise KeyError('no such thing')", "KeyError: 'no such thing'"),
            ("print('noise'); return ['FancyOperator']", "LiteRT has no operator FancyOperator"),
        ],
    ),
)
def test_a_converter_that_crashes_is_an_error(converter, tmp_path, body, message):
    converter(body)
    with pytest.raises(ValueError, match=f"cannot be exported with format='litert'.*{message}"):
        kt.export(small(), tmp_path / "here" / "m.tflite", format="litert")
    assert not list((tmp_path / "here").iterdir())


def test_the_interpreter_may_crash_and_the_next_export_works(tmp_path):
    inputs = x = keras.Input((None, None, 3))
    for _ in range(4):
        x = layers.Conv2D(8, 5, strides=2)(x)
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
    kt.export(model, tmp_path / "m", format="litert")
    name = model.inputs[0].name
    np.savez(tmp_path / "inputs.npz", **{name: np.zeros((1, 16, 16, 3), "float32")})
    with pytest.raises(apart.Failure):
        apart.request(
            "run",
            "litert",
            path=str(tmp_path / "m"),
            inputs=str(tmp_path / "inputs.npz"),
            outputs=str(tmp_path / "outputs.npz"),
            dtypes={name: "float32"},
            calls={"least": 1, "most": 1, "seconds": 0.0},
            ram=False,
        )
    assert kt.export(small(), tmp_path / "n", format="litert").max_abs_difference < 1e-6


@pytest.mark.slow
def test_one_process_serves_all_exports_and_comes_back_when_it_has_ended(converter, tmp_path):
    converter("return [str(os.getpid())]")

    def process():
        return apart.request("convert", "litert", source="", target="", inputs=[], outputs=[])[
            "lacks"
        ]

    first = process()
    assert process() == first != [str(os.getpid())]
    running = apart._PROCESS._process
    running.stdin.close()  # as when this process ends
    assert running.wait(timeout=20) == 0
    assert process() != first


def test_it_imports_nothing_of_keras_tickets():
    for source in pathlib.Path(apart.PROGRAM).glob("*.py"):
        imports = [line for line in source.read_text().splitlines() if "import " in line]
        assert not [line for line in imports if line.split()[1].startswith("keras")], source


def test_the_growth_of_memory_is_seen():
    with memory.PeakGrowth() as growth:
        block = np.ones(50_000_000, "uint8")
        del block
    assert growth.bytes is None or 40e6 < growth.bytes < 100e6


def test_a_relative_path_is_that_of_the_directory_of_the_call(tmp_path, monkeypatch):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        kt.export(small(), "model.tflite", format="litert")
        assert (tmp_path / name / "model.tflite").is_file()
