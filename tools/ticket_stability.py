"""Measures how stable the tickets of finished runs are, to pruning and to the order of the data.

    python tools/ticket_stability.py runs/mnist_tickets/seed_0 --level 10 --orders 3

From the state at step k the full network, the ticket of a level and a random subnetwork are trained
to the end, once in each data order; printed are distances over the ticket's weights, their ratios,
accuracies, and the error barrier between two copies of the ticket.
"""

import argparse
import json
import pathlib

import numpy as np

from keras_tickets import analysis
from keras_tickets.analysis.networks import weights_of
from keras_tickets.analysis.stability import KINDS
from keras_tickets.experiments.gin_files import read_experiment
from keras_tickets.experiments.work_directory import WorkDirectory
from keras_tickets.masks import get_masks, set_masks
from keras_tickets.trainers.epochs import Epochs
from keras_tickets.trainers.state import TrainingState


class Subject:
    """The network of a run at its rewind point, and its training from there on.

    Args:
        directory: Work directory of a finished run of tickets.
    """

    def __init__(self, directory: pathlib.Path):
        self.experiment = read_experiment([str(directory / "config.gin")])
        trainer = self.experiment.procedure.make(self.experiment, WorkDirectory(directory))
        self.trainer, self.model = trainer, trainer.model
        settings = json.loads((directory / "settings.json").read_text())
        self.start, self.stop = settings["rewind_to"], settings["steps"]
        state, at_k = TrainingState(self.model), trainer.level_store.read_rewind_point()
        fresh = state.slots if trainer.optimizer_state == "fresh" else ()
        state.write({name: at_k[name] for name in at_k if name not in fresh})
        self.test = self.experiment.load_data().test()
        self.trained = []

    def train(self, model, order: int) -> None:
        """Trains to the end on the batches of another seed."""
        self.experiment.seed = order
        dataset = self.experiment.load_data()
        data = Epochs(dataset.train, steps_per_epoch=dataset.steps_per_epoch)
        for segment in data.segments(self.start, self.stop):
            model.fit(
                data.batches(segment.first, segment.skip),
                steps_per_epoch=segment.steps,
                initial_epoch=segment.first,
                epochs=segment.last,
                shuffle=False,
                verbose=0,
            )
        self.trained.append((get_masks(model), weights_of(model)))

    def evaluate(self, model) -> float:
        """Accuracy on the test set."""
        return model.evaluate(self.test, verbose=0, return_dict=True)["accuracy"]


def measure(directory: pathlib.Path, level: int, orders: int) -> dict:
    """Distances, angles, ratios, accuracies and barriers of one run, as plain numbers."""
    subject = Subject(directory)
    ticket = subject.trainer.ticket(level)
    found = analysis.stability(
        subject.model,
        dict(ticket.masks),
        subject.train,
        orders=[1000 + order for order in range(orders)],
        evaluate=subject.evaluate,
    )
    barriers = {}
    for name, first in (("ticket", orders), ("random", 2 * orders)):
        (masks, a), (_, b) = subject.trained[first : first + 2]
        set_masks(subject.model, masks)
        for path, weight in TrainingState(subject.model).weights.items():
            weight.assign(a[path])
        line = analysis.connectivity(subject.model, b, {"test": subject.test})
        barriers[name] = line.error_barriers["test"]
    return {
        "run": str(directory),
        "level": level,
        "density": 1 - ticket.sparsity,
        "rewind_to": subject.start,
        **{
            name: {kind: getattr(part, kind).summary() for kind in KINDS}
            for name, part in (("ticket", found.ticket), ("random", found.random))
        },
        "ratios": found.ratios,
        "accuracy": {
            "full": float(np.mean(found.full_scores)),
            "ticket": float(np.mean(found.ticket.scores)),
            "random": float(np.mean(found.random.scores)),
        },
        "error_barrier": barriers,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directories", nargs="+", type=pathlib.Path)
    parser.add_argument("--level", type=int, required=True)
    parser.add_argument("--orders", type=int, default=3, help="copies of each network")
    arguments = parser.parse_args()
    for directory in arguments.directories:
        print(json.dumps(measure(directory, arguments.level, arguments.orders), indent=1))


if __name__ == "__main__":
    main()
