"""The command line.

keras-tickets train --gin_file=FILE --workdir=DIR    train, or go on with what was begun
keras-tickets plan  --gin_file=FILE                  the table of kernels, before any training
keras-tickets export --model=FILE --output=PATH      files for inference, and what they gain
"""

import contextlib
import logging
import os
import sys

import gin
import keras
import tensorflow as tf
from absl import flags

from keras_tickets._tables import render_table
from keras_tickets.experiments import export_command, gin_bindings, train
from keras_tickets.experiments.experiment import Experiment
from keras_tickets.experiments.work_directory import WorkDirectory

COMMANDS = ("train", "plan", "export")
USER_ERRORS = (
    ValueError,
    TypeError,
    OSError,
    ImportError,
    SyntaxError,
    flags.Error,
    tf.errors.OpError,
)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: The words after the program's name. None: those of this process.

    Returns:
        The exit code: 0, 1 after an error (one line on stderr says which), 130 after an interrupt.

    Example:

    ```python
    from keras_tickets.experiments.cli import main

    assert main(["plan", "--gin_file=no_such_file.gin"]) == 1
    ```
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    values = _define_flags()
    try:
        command, *rest = values(["keras-tickets", *arguments])[1:] or [None]
        if values.help or command is None:
            print(f"{__doc__.partition('.')[2].strip()}\n{values.main_module_help()}")
            return 0 if values.help else 1
        if command not in COMMANDS or rest:
            given = " ".join([command, *rest])
            raise ValueError(f"the command must be one of {', '.join(COMMANDS)}, got {given!r}")
        if command == "export":
            return _export(values)
        experiment = _parse(values)
        return _train(experiment, values) if command == "train" else _plan(experiment)
    except KeyboardInterrupt:
        print("keras-tickets: interrupted; the same command resumes", file=sys.stderr)
        return 130
    except USER_ERRORS as error:
        print(f"keras-tickets: {_one_line(error)}", file=sys.stderr)
        return 1


def _define_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    flags.DEFINE_multi_string("gin_file", [], "Configuration file; several add up.", values)
    flags.DEFINE_multi_string("gin_param", [], "One binding, such as train.seed=1.", values)
    flags.DEFINE_string("workdir", None, "Directory of the run.", values)
    flags.DEFINE_string("model", None, "The .keras file to export.", values)
    flags.DEFINE_string("output", None, "What to export to.", values)
    flags.DEFINE_string("format", "tf_saved_model", "What to export as.", values)
    flags.DEFINE_boolean("packed", False, "Non-zero values and bits in the SavedModel.", values)
    flags.DEFINE_string("quantize", None, "int8 kernels in the LiteRT file: int8.", values)
    flags.DEFINE_boolean("help", False, "Show this help.", values, short_name="h")
    return values


def _parse(values) -> Experiment:
    if not values.gin_file and not values.gin_param:
        raise ValueError("--gin_file is missing: name a configuration, such as one of gin_configs")
    gin.clear_config()
    gin_bindings.bind()
    for file in values.gin_file:
        if not os.path.isfile(file):
            raise ValueError(f"gin file {file!r} does not exist")
        _parse_file(os.path.abspath(file))
    for parameter in values.gin_param:
        try:
            gin.parse_config(parameter)
        except (ValueError, TypeError, SyntaxError) as error:
            raise ValueError(f"--gin_param={parameter!r}: {error}") from error
    gin.finalize()
    return gin.get_configurable("train")()


def _parse_file(path):
    """Parses a file, whose includes are relative to its own directory."""
    logging.disable(logging.ERROR)  # gin logs each place where an included file is not
    try:
        with contextlib.chdir(os.path.dirname(path)):
            gin.parse_config_file(path)
    finally:
        logging.disable(logging.NOTSET)


def _train(experiment, values) -> int:
    if not values.workdir:
        raise ValueError("--workdir is missing: name the directory of the run")
    verbose = 1 if sys.stdout.isatty() else 2
    summary = train.train(
        experiment, values.workdir, describe=gin.operative_config_str, verbose=verbose
    )
    workdir = WorkDirectory(values.workdir).path
    model = keras.models.load_model(workdir / "model.keras", compile=False)
    print(f"\n{experiment.plan_of(model)}\n")
    if "levels" in summary:
        print(f"{_levels(summary['levels'])}\n")
    print(f"test accuracy: {summary['test_accuracy']:.4f}")
    for name in ("summary.json", "metrics.csv", "model.keras", "tensorboard"):
        print(f"{name}: {workdir / name}")
    return 0


def _levels(levels) -> str:
    """The table of a run's levels, with a column for each control."""
    controls = list(dict.fromkeys(name for row in levels for name in row.get("controls", {})))
    rows = []
    for row in levels:
        others = [row.get("controls", {}).get(name) for name in controls]
        accuracies = [f"{r['test_accuracy']:.4f}" if r else "" for r in (row, *others)]
        rows.append(
            [str(row["level"]), f"{row['nonzeros']:,}", f"{row['density']:.2%}", *accuracies]
        )
    return render_table(["level", "weights", "density", "test accuracy", *controls], rows)


def _plan(experiment) -> int:
    print(experiment.plan())
    return 0


def _export(values) -> int:
    names = ("model", "output", "format", "packed", "quantize")
    return export_command.run(**{name: values[name].value for name in names})


def _one_line(error) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
