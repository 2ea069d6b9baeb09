"""The examples in README.md and docs/ run, and the commands and files they name exist."""

import contextlib
import doctest
import io
import os
import pathlib
import re
import shlex
import subprocess
import sys
import unittest.mock

import keras
import pytest

import keras_tickets as kt
from keras_tickets.experiments import cli, configurations

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def blocks(document, *languages):
    """(line number of the fence, code) of the fenced blocks in the languages."""
    text = document.read_text(encoding="utf-8")
    return [
        (text[: match.start()].count("\n") + 1, match[2])
        for match in FENCE.finditer(text)
        if match[1] in languages
    ]


def transcripts(document):
    """(command, what it prints) of the console blocks; nothing printed where there is no `$ `."""
    for _, code in blocks(document, "console"):
        if not code.startswith("$ "):
            yield from ((shlex.split(line), "") for line in code.splitlines())
            continue
        for part in ("\n" + code).split("\n$ ")[1:]:
            command, _, printed = part.partition("\n")
            yield shlex.split(command), printed


def commands(document):
    return [command for command, _ in transcripts(document)]


def run(arguments, cwd):
    python_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": python_path, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def name(document):
    return document.name


def runnable(document):
    # These wrap, trace and convert a MobileNetV2, thrice; start a process for two devices; prune
    # level by level, as README.md does too; train with tensorflow-model-optimization first; or
    # train networks for every measure.
    slow = document.name in (
        *("finetuning.md", "scaling.md", "insight.md"),
        *("rewinding.md", "migrating_from_tfmot.md"),
    )
    return pytest.param(document, id=document.name, marks=[pytest.mark.slow] if slow else [])


@pytest.fixture
def clean(tmp_path, monkeypatch):
    """An empty folder to work in; Keras and the environment afterwards as they were."""
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    with unittest.mock.patch.dict(os.environ):  # tensorflow_model_optimization sets a variable
        yield
    keras.config.set_dtype_policy("float32")
    keras.config.enable_traceback_filtering()
    keras.utils.clear_session()


@pytest.mark.parametrize(
    "document", [runnable(path) for path in DOCUMENTS if blocks(path, "python")]
)
def test_python_examples_run(document, clean):
    code = ""
    for line, block in blocks(document, "python"):
        code += "\n" * (line - code.count("\n")) + block  # lines are counted as in the document
    if "set_logical_device_configuration" in code:  # works only before TensorFlow is used
        result = run(["-c", code], os.curdir)
        assert result.returncode == 0, result.stderr
    else:
        exec(compile(code, document, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize(
    "document", [path for path in DOCUMENTS if blocks(path, "pycon")], ids=name
)
def test_python_sessions_print_what_they_show(document, clean):
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    namespace, printed = {"__name__": "__main__"}, []
    for line, code in blocks(document, "pycon"):
        session = doctest.DocTestParser().get_doctest(code, {}, document.name, document, line)
        session.globs = namespace
        runner.run(session, out=printed.append, clear_globs=False)
    assert runner.tries > 0
    assert not printed, "".join(printed)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document):
    links = LINK.findall(document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_commands_exist(document):
    meant_to_work = [
        command
        for command, printed in transcripts(document)
        if not printed.startswith("keras-tickets: ")
    ]
    problems = [problem for command in meant_to_work for problem in find_problems(command)]
    assert problems == []


def test_commands_print_what_they_show(clean, monkeypatch):
    monkeypatch.chdir(ROOT)
    shown = [
        (command[1:], printed or "...kernel...")
        for document in DOCUMENTS
        for command, printed in transcripts(document)
        if command[0] == "keras-tickets" and (printed or command[1] == "plan")
    ]
    once = [command for index, command in enumerate(shown) if command not in shown[:index]]
    assert once
    for arguments, expected in once:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = cli.main(arguments)
        options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        same = doctest.OutputChecker().check_output(expected, printed.getvalue(), options)
        assert same, f"{arguments} prints\n{printed.getvalue()}\nand not\n{expected}"
        assert (code != 0) == expected.startswith("keras-tickets:"), arguments


def find_problems(command):
    """What is wrong with a command of the documents, as sentences."""
    program, *arguments = [word for word in command if not re.match(r"[A-Z_]+=", word)]
    if program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        known = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
        return [f"make has no target {target!r}" for target in arguments if target not in known]
    if program == "keras-tickets":
        return find_command_problems(*arguments)
    if program == "python" and (ROOT / arguments[0]).is_file():
        return find_flag_problems(ROOT / arguments[0], arguments[1:])
    if command[1:2] == ["install"] and program in ("pip", "pre-commit"):
        return []
    return [f"{shlex.join(command)!r} is not a command that this test knows"]


def find_command_problems(command, *arguments):
    if command not in cli.COMMANDS:
        return [f"keras-tickets has no command {command!r}"]
    known, problems = cli.flags_of(command), []
    if cli.COMMANDS[command].takes_words:
        arguments = [argument for argument in arguments if argument.startswith("-")]
    for flag, value in map(flag_and_value, arguments):
        if flag not in known:
            problems.append(f"keras-tickets {command} has no flag {flag!r}")
        if flag == "gin_file":
            problems += find_file_problems(value)
    return problems


def find_flag_problems(source, arguments):
    text = source.read_text(encoding="utf-8")
    problems = []
    for flag, value in map(flag_and_value, arguments):
        if not re.search(rf'"(--)?{re.escape(flag)}"', text):
            problems.append(f"{source.name} has no flag {flag!r}")
        if flag == "gin_file":
            problems += find_file_problems(value)
    return problems


def flag_and_value(argument):
    flag, _, value = argument.partition("=")
    return flag.removeprefix("--"), value


def find_file_problems(name):
    try:
        configurations.find(name, ROOT)
    except FileNotFoundError as error:
        return [str(error)]
    return []


def test_find_problems_finds_them():
    assert find_problems(["make", "demo"]) == []
    assert len(find_problems(["make", "coffee"])) == 1
    assert len(find_problems(["keras-tickets", "brew", "--sugar=2"])) == 1
    assert len(find_problems(["keras-tickets", "train", "--sugar=2"])) == 1
    assert find_problems(["keras-tickets", "train", "--gin_file=digits/rigl.gin"]) == []
    assert len(find_problems(["keras-tickets", "train", "--gin_file=gin_configs/no.gin"])) == 1
    assert len(find_problems(["rm", "-rf", "/"])) == 1


def test_every_method_has_a_row_with_a_configuration_and_a_test():
    rows = {}
    for line in (ROOT / "docs" / "methods.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if "configuration" in cells:
            header = cells
        elif len(cells) > 1 and cells[0].startswith("`") and len(cells) == len(header):
            rows[cells[0].strip("`")] = dict(zip(header, cells, strict=True))
    bases = {
        "KernelState",
        "SparseOptimizer",
        "PeriodicOptimizer",
        "DropAndGrow",
        "MagnitudePruning",
    }
    methods = set(kt.optimizers.__all__) - bases
    scores = {f"kt.scoring.{name}" for name in kt.scoring.SCORES}
    assert methods | scores <= set(rows)
    for method, row in rows.items():
        assert "(../gin_configs/" in row["configuration"], method
        assert "(../tests/" in row["tested"], method
