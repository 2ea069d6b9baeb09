"""The command line; nothing here imports TensorFlow before a command needs it."""

import dataclasses
import importlib
import os
import signal
import sys
import textwrap
import warnings
from collections.abc import Callable, Sequence

from absl import flags

from keras_tickets import _process
from keras_tickets._version import __version__
from keras_tickets.experiments import restarts
from keras_tickets.experiments.error_lines import one_line

PROGRAM = "keras-tickets"
# Commands that go on where they were interrupted.
RESUMED = ("train", "sweep")


@dataclasses.dataclass(frozen=True)
class Command:
    """One command; `run(values)` in the module of its name in `commands` does it.

    Attributes:
        summary: What it does, on a line.
        usage: What is written after the program's name.
        define_flags: Functions that define its flags.
        needs_package: Whether it needs more than what starts without TensorFlow.
        takes_words: Whether words after its name are for it: `run(values, words)`.
    """

    summary: str
    usage: str
    define_flags: Sequence[Callable[[flags.FlagValues], None]] = ()
    needs_package: bool = True
    takes_words: bool = False


def _configuration_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_multi_string(
        "gin_file",
        [],
        "Configuration: a path, or the name of one that `keras-tickets configs` lists. Several add "
        "up. It can import Python modules: trust it like a program.",
        values,
    )
    flags.DEFINE_multi_string(
        "gin_param", [], "One setting, such as train.seed=1; it overrides the files.", values
    )


def _module_flag(values: flags.FlagValues) -> None:
    flags.DEFINE_multi_string(
        "module",
        [],
        "Python module of yours with models, data, losses or layers, looked for in the current "
        "folder and beside the configuration.",
        values,
    )


def _work_directory_flag(values: flags.FlagValues) -> None:
    flags.DEFINE_string("workdir", None, "Directory of the run. Required.", values)


def _sweep_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("workdir", None, "Directory of the sweep. Required.", values)
    flags.DEFINE_string(
        "sweep_file", None, "What to run, in TOML; the flags add to it and override it.", values
    )
    flags.DEFINE_multi_string(
        "grid", [], "Values to try of one setting, such as train.sparsity=[0.8,0.9].", values
    )
    flags.DEFINE_string("seeds", None, "Seeds of each run, such as 0,1,2.", values)
    text = "How many combinations of the grid are drawn at random, instead of all."
    flags.DEFINE_integer("choose", None, text, flag_values=values)
    text = "How many runs at once. None: one on each GPU, or else on each core."
    flags.DEFINE_integer("jobs", None, text, flag_values=values)
    flags.DEFINE_boolean("dry_run", False, "Print the runs and their commands.", values)
    flags.DEFINE_boolean("slurm", False, "Print a script for sbatch: an array of runs.", values)
    flags.DEFINE_boolean("submit", False, "Submit that script.", values)
    text = "Option of sbatch, such as --gres=gpu:1."
    flags.DEFINE_multi_string("slurm_option", [], text, values)


def _export_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("model", None, "The .keras file to export. Required.", values)
    flags.DEFINE_string(
        "output",
        None,
        "File or directory to create; a file without a suffix gets that of the format. Required.",
        values,
    )
    flags.DEFINE_string(
        "format",
        "tf_saved_model",
        "What to write: tf_saved_model, litert, onnx or openvino.",
        values,
    )
    flags.DEFINE_boolean("packed", False, "Non-zero values and bits in the SavedModel.", values)
    flags.DEFINE_string("quantize", None, "int8: kernels of the LiteRT file as int8.", values)
    flags.DEFINE_string(
        "calibration",
        None,
        "An .npz file of examples, arrays by input name: with --quantize=int8, the LiteRT file "
        "computes in int8, in their ranges.",
        values,
    )
    flags.DEFINE_string(
        "kernels",
        "packed",
        "Of the LiteRT file. packed: all expanded before the first call; sparse: computed with as "
        "they are stored, without their zeros; auto: the faster of the two, as measured here.",
        values,
    )
    text = "The batch size for which --kernels=auto chooses."
    flags.DEFINE_integer("batch_size", 1, text, flag_values=values)
    flags.DEFINE_string(
        "target", None, "arm64: --kernels=auto looks up what is faster there.", values
    )
    flags.DEFINE_boolean(
        "overwrite", False, "Replace the output if it is an export of the same format.", values
    )


def _report_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "output",
        None,
        "File to write: without it report.html, and tables go to the terminal. A page of an "
        "earlier report is replaced, anything else is not.",
        values,
    )
    flags.DEFINE_string(
        "format", "html", "html: the page; csv, latex or markdown: the table of runs.", values
    )
    flags.DEFINE_multi_string(
        "ignore",
        [],
        "A setting in which runs of a group may differ, as in their seed, such as train.ticket.",
        values,
    )


COMMANDS = {
    "train": Command(
        "Train, or go on with what was begun.",
        "train --gin_file=FILE --workdir=DIR [--gin_param=NAME=VALUE]",
        (_configuration_flags, _module_flag, _work_directory_flag),
    ),
    "sweep": Command(
        "Train what is missing of a grid, a list or random choices of settings.",
        "sweep --sweep_file=FILE --workdir=DIR [--jobs=N]",
        (_configuration_flags, _module_flag, _sweep_flags),
        needs_package=False,
    ),
    "plan": Command(
        "Print the table of kernels, before any training.",
        "plan --gin_file=FILE [--gin_param=NAME=VALUE]",
        (_configuration_flags, _module_flag),
    ),
    "export": Command(
        "Write files for inference, and say what they gain.",
        "export --model=FILE --output=PATH [--format=FORMAT]",
        (_export_flags, _module_flag),
    ),
    "report": Command(
        "Put many runs on one page, or in a table for a paper.",
        "report DIR … [--output=report.html] [--format=FORMAT]",
        (_report_flags,),
        needs_package=False,
        takes_words=True,
    ),
    "list": Command(
        "Show the runs below a directory: finished, running, interrupted and failed.",
        "list [DIR …]",
        needs_package=False,
        takes_words=True,
    ),
    "configs": Command(
        "List the configurations that come with the package.",
        "configs",
        needs_package=False,
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: The words after the program's name. None: those of this process.

    Returns:
        The exit code: 0, 1 after an error (one line on stderr says which), 130 after an interrupt,
        143 where the process of the command is asked to end (SIGTERM).

    Example:

    ```python
    from keras_tickets.experiments.cli import main

    assert main(["plan", "--gin_file=no_such_file.gin"]) == 1
    ```
    """
    own_process = arguments is None
    if arguments is None:
        arguments = sys.argv[1:]
        # Of a process that is this command and nothing else.
        warnings.showwarning = _show_warning
        signal.signal(signal.SIGTERM, _end)
    name = next((word for word in arguments if word in COMMANDS), None)
    values = flags_of(name)
    try:
        return _run(name, values, arguments)
    except (KeyboardInterrupt, _Ended) as stop:
        how, code = ("ended", 143) if isinstance(stop, _Ended) else ("interrupted", 130)
        goes_on = "; the same command resumes" if name in RESUMED else ""
        print(f"{PROGRAM}: {how}{goes_on}", file=sys.stderr)
        return code
    except restarts.WorkerLost as lost:
        if not own_process or not restarts.may_restart():
            print(f"{PROGRAM}: {lost}; the same command on all of them resumes", file=sys.stderr)
            return 1
        print(f"{PROGRAM}: {lost}; starting again, to go on with it", file=sys.stderr)
        restarts.restart()
    except BrokenPipeError:  # whoever read the output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # whatever a user's file, flag or disk can cause
        if values.is_parsed() and values.traceback:
            raise
        print(f"{PROGRAM}: {one_line(error)}", file=sys.stderr)
        return 1


class _Ended(BaseException):
    """The process was asked to end: as after an interrupt, nothing half-written stays."""


def _end(signal_number, frame):
    raise _Ended


def flags_of(name: str | None) -> flags.FlagValues:
    """The flags of a command, or with None those of all commands; not parsed."""
    values = flags.FlagValues()
    for define in COMMANDS[name].define_flags if name else ():
        define(values)
    flags.DEFINE_boolean("traceback", False, "Where in the code an error comes from.", values)
    flags.DEFINE_boolean("help", False, "Show this help.", values, short_name="h")
    flags.DEFINE_boolean("version", False, "Show the version.", values)
    return values


def _run(name: str | None, values: flags.FlagValues, arguments: list[str]) -> int:
    words = [word for word in arguments if not word.startswith("-")]
    if words and name is None:
        raise _unknown_command(words)
    words = values([PROGRAM, *arguments])[1:]
    if values.version:
        print(f"{PROGRAM} {__version__}")
        return 0
    if values.help or not words:
        print(_help(name, values))
        return 0 if values.help else 1
    if name is None or words[0] != name or words[1:] and not COMMANDS[name].takes_words:
        raise _unknown_command(words)
    if COMMANDS[name].needs_package:
        _process.finish_import()
    module = importlib.import_module(f"keras_tickets.experiments.commands.{name}")
    return module.run(values, words[1:]) if COMMANDS[name].takes_words else module.run(values)


def _unknown_command(words: list[str]) -> ValueError:
    allowed = ", ".join(COMMANDS)
    return ValueError(f"the command must be one of {allowed}. Received: {' '.join(words)!r}")


def _help(name: str | None, values: flags.FlagValues) -> str:
    if name is None:
        lines = ["Sparse training for TensorFlow and Keras 3.", ""]
        lines += [f"  {PROGRAM} {n:<8} {command.summary}" for n, command in COMMANDS.items()]
        lines += ["", f"{PROGRAM} COMMAND --help lists the flags of a command. Flags of all:"]
    else:
        lines = [COMMANDS[name].summary, "", f"  {PROGRAM} {COMMANDS[name].usage}", "", "Flags:"]
    lines += [_describe(values[flag]) for flag in values if flag != "h"]
    return "\n".join(lines)


def _describe(flag: flags.Flag) -> str:
    value = "" if flag.boolean else "=" + flag.name.rpartition("_")[2].upper()
    meaning = flag.help.partition(";\n")[0]  # absl appends that a flag can be repeated
    known = "none" if flag.default in (None, []) else str(flag.default).lower()
    default = "" if meaning.endswith("Required.") else f" Default: {known}."
    text = textwrap.fill(meaning + default, 76, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return f"  --{flag.name}{value}\n{text}"


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    print(f"{PROGRAM}: warning: {' '.join(str(message).split())}", file=sys.stderr)
