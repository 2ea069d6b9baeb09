"""`keras-tickets plan`: the table of kernels, before any training."""

from absl import flags

from keras_tickets.experiments.commands.train import experiment_of


def run(values: flags.FlagValues) -> int:
    """Prints the table, and returns 0."""
    print(experiment_of(values).plan())
    return 0
