"""What `keras-tickets train` does: an experiment, from its description to a finished directory."""

import os
import platform
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from keras_tickets._version import __version__
from keras_tickets.experiments.experiment import Experiment
from keras_tickets.experiments.procedures import Run
from keras_tickets.experiments.procedures.watching import log_configuration
from keras_tickets.experiments.work_directory import WorkDirectory, settings


def train(
    experiment: Experiment,
    workdir: str | os.PathLike,
    *,
    describe: Callable[[], str] = lambda: "",
    verbose: int | str = "auto",
) -> dict:
    """Runs an experiment in a work directory, or goes on with it.

    The directory gets `config.gin`, `checkpoints/`, `metrics.csv` (one row per epoch),
    `tensorboard/` and, when all is done, `model.keras` and `summary.json`. A run that was killed is
    resumed from its last finished epoch and ends as if it had not been killed; one that is finished
    is left as it is.

    Args:
        experiment: What to run.
        workdir: Directory of the run, made where it is missing. One that holds anything but a run
            of the same configuration is refused.
        describe: Called once the model and the optimizer are made; returns the configuration as
            text, one `name = value` a line, that is kept in `config.gin`.
        verbose: As in `keras.Model.fit`.

    Returns:
        The summary, as in `summary.json`.

    Raises:
        ValueError: The directory is of another configuration, a checkpoint is damaged, or the loss
            is NaN or infinite.
        OSError: The directory cannot be written.

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
    keras.utils.set_random_seed(experiment.seed)
    directory = WorkDirectory(workdir)
    procedure = experiment.procedure
    made = procedure.make(experiment, directory)
    experiment.make_callbacks()  # their settings are described, and errors come before any file
    config = describe()
    finished = directory.open(config, procedure.extends)
    if finished is not None:
        print(f"{directory.path} is finished already; nothing to do.")
        return finished
    dataset = experiment.load_data()
    with directory.in_use():
        directory.begin(config)
        log_configuration(directory.tensorboard, settings(config), config)
        try:
            summary = procedure.run(made, Run(experiment, directory, dataset, verbose))
        except tf.errors.OpError as error:
            raise getattr(dataset, "failure", None) or error from error
        return directory.finish({**summary, "config": settings(config), "versions": versions()})


def versions() -> dict[str, str]:
    """Versions of what decides the results of a run."""
    return {
        "keras_tickets": __version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
