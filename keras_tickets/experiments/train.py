"""What `keras-tickets train` does: an experiment, from its description to a finished directory."""

import contextlib
import os
import platform
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from keras_tickets._version import __version__
from keras_tickets._workers.workers import Workers
from keras_tickets.data.digest import digest_of_data
from keras_tickets.experiments.error_lines import one_line
from keras_tickets.experiments.experiment import Experiment
from keras_tickets.experiments.procedures import Run
from keras_tickets.experiments.procedures.watching import log_configuration
from keras_tickets.experiments.work_directory import WorkDirectory, settings


def train(
    experiment: Experiment,
    workdir: str | os.PathLike,
    *,
    describe: Callable[[], str] = lambda: "",
    given: str = "",
    verbose: int | str = "auto",
) -> dict:
    """Runs an experiment in a work directory, or goes on with it.

    The directory gets `config.gin`, `checkpoints/`, `metrics.csv` (one row per epoch),
    `tensorboard/` and, when all is done, `model.keras` and `summary.json`. A run that was killed is
    resumed from its last finished epoch and ends as if it had not been killed; one that is finished
    is left as it is. Several workers run it together: each calls it with the same arguments, and
    the chief alone writes. A run that fails leaves its reason in `failure.json`.

    Args:
        experiment: What to run.
        workdir: Directory of the run, made where it is missing. One that holds anything but a run
            of the same configuration is refused.
        describe: Called once the model and the optimizer are made; returns the configuration as
            text, one `name = value` a line, that is kept in `config.gin`.
        given: The configuration before anything is made of it, as text; workers compare it.
        verbose: As in `keras.Model.fit`.

    Returns:
        The summary, as in `summary.json`.

    Raises:
        ValueError: The directory is of another configuration, a checkpoint is damaged, the loss is
            NaN or infinite, the strategy cannot be had, its replicas do not divide the batch, or
            workers differ in configuration or data.
        OSError: The directory cannot be written.
        RuntimeError: Another worker has stopped with an error of its own.

    Example:

    ```python
    import keras
    import keras_tickets as kt
    from keras_tickets.experiments.experiment import Experiment
    from keras_tickets.experiments.train import train

    experiment = Experiment("digits", kt.models.lenet_300_100, keras.optimizers.SGD, epochs=1)
    print(train(experiment, "runs/example")["test_accuracy"])
    ```
    """
    workers = Workers(experiment.distribution())
    keras.utils.set_random_seed(experiment.seed)
    workers.check_same(experiment.in_words() | {"configuration": given})
    directory = WorkDirectory(workdir, workers.writes)
    procedure = experiment.procedure
    made = procedure.make(experiment, directory)
    experiment.make_callbacks()  # their settings are described, and errors come before any file
    config = describe()
    finished = workers.chief_first(lambda: directory.open(config, procedure.extends))
    if finished is not None:
        print(f"{directory.path} is finished already; nothing to do.")
        return finished
    dataset = workers.together(experiment.load_data)
    if workers.count > 1:
        workers.check_same({"data set": digest_of_data(experiment.source, dataset)})
    with contextlib.ExitStack() as stack:
        workers.chief_alone(lambda: stack.enter_context(directory.in_use()))
        finished = workers.chief_first(lambda: directory.open(config, procedure.extends))
        if finished is not None:
            print(f"{directory.path} has been finished by another process; nothing to do.")
            return finished
        stack.enter_context(_noted_failure(directory))
        workers.chief_first(lambda: directory.begin(config))
        if workers.writes:
            log_configuration(directory.tensorboard, settings(config), config)
        run = Run(experiment, directory, dataset, verbose if workers.writes else 0, workers)
        try:
            summary = procedure.run(made, run)
        except tf.errors.OpError as error:
            raise getattr(dataset, "failure", None) or error from error
        summary = {**summary, "config": settings(config), "versions": versions()}
        workers.chief_alone(lambda: directory.finish(summary))
    return summary


@contextlib.contextmanager
def _noted_failure(directory: WorkDirectory) -> Iterator[None]:
    """Leaves a line in the directory that says why a run failed; one that is killed leaves none."""
    try:
        yield
    except Exception as error:
        directory.fail(one_line(error))
        raise


def versions() -> dict[str, str]:
    """Versions of what decides the results of a run."""
    return {
        "keras_tickets": __version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
