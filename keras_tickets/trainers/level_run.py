"""One run of levels: where each starts, which batches it sees, and what is kept of it."""

import time
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_tickets import _keras_compat
from keras_tickets._training_step.same_workers import without_names
from keras_tickets.bases.basis import Arrays, Basis
from keras_tickets.bases.coefficient_masks import to_coefficients, to_weights
from keras_tickets.masks import kernels_by_path, set_masks, whole_kernels
from keras_tickets.model.coordinates import basis_of, forget_traces, set_basis
from keras_tickets.tickets import Ticket
from keras_tickets.trainers.controls import CONTROLS, FROM_STEP_0
from keras_tickets.trainers.level_report import LevelReport
from keras_tickets.trainers.level_settings import LevelSettings
from keras_tickets.trainers.level_store import LevelStore
from keras_tickets.trainers.levels import next_masks
from keras_tickets.trainers.resumable_training import ResumableTraining
from keras_tickets.trainers.state import (
    StartingPoint,
    TrainingState,
    fresh_weights,
    network_of,
)

NOT_METRICS = ("epoch", "sparsity")


class LevelRun:
    """Trains levels into a store; each starts from what the level before it left there.

    Args:
        model: Compiled `kt.SparseModel` or `kt.trainers.DistillationTrainer`, its optimizer built.
        settings: How each level follows from the one before.
        start: What the first level starts from, at step 0.
        training: The training that each level runs from step k on.
        store: The store that keeps the levels.

    Attributes:
        rewind_step: The step k.

    Raises:
        ValueError: The rewind point is not before the end.
    """

    def __init__(
        self,
        model: keras.Model,
        settings: LevelSettings,
        start: StartingPoint,
        training: ResumableTraining,
        store: LevelStore,
    ):
        self.model, self.network, self.state = model, network_of(model), TrainingState(model)
        self.settings, self.start, self.training, self.store = settings, start, training, store
        self.workers = store.workers
        self.rewind_step = settings.rewind_to.resolve(training.steps, training.steps_per_epoch)
        if self.rewind_step >= training.steps:
            raise ValueError(
                f"`rewind_to` must be before the end of training. Received: rewind_to="
                f"{settings.rewind_to.value!r}, which is step {self.rewind_step} of "
                f"{training.steps}."
            )

    def run(self, levels: int, controls: Sequence[tuple[int, str]], report: LevelReport) -> None:
        """Trains all levels that are not finished, and leaves the last level in the model.

        Args:
            levels: Number of prunings.
            controls: The controls to train, each with its level.
            report: Receives each level that is trained.

        Raises:
            ValueError: The store has other settings or is damaged; the learning rate at the end is
                0 and the schedule is not rewound; or a loss or weight becomes NaN or infinite.
            OSError: The store cannot be read or written.
        """
        if levels:
            self._check_last_rate()
        with self.store.locked():
            self.store.open(self._description())
            self._reach_rewind_point(report)
            for level in range(levels + 1):
                self._level(level, None, report)
            for level, control in controls:
                self._level(level, control, report)
            # The optimizer holds the state of what was trained last, or on a resume of nothing.
            self.state.write(self.start.state)
            self._take(self.store.trained(levels))

    def _check_last_rate(self):
        optimizer, end = self.model.optimizer.core_optimizer, self.training.steps
        if "schedule" not in self.settings.rewind and (
            _keras_compat.learning_rate_at(optimizer, end) == 0
        ):
            raise ValueError(
                f"The learning rate is 0 from step {end} on, where levels start, since `rewind` "
                'does not name "schedule": they would learn nothing. Received: '
                f"rewind={self.settings.rewind!r}"
            )

    def _description(self) -> dict[str, Any]:
        """Everything that determines the results of a level."""
        return {
            "rewind_to": self.rewind_step,
            "steps": self.training.steps,
            "steps_per_epoch": self.training.batches_per_epoch,
            "batch_size": self.training.data.batch_size,
            "replicas": self.model.distribute_strategy.num_replicas_in_sync,
            **self.settings.in_files(),
            "optimizer": without_names(self.start.optimizer),
            "kernels": {
                path: list(record.kernel.shape)
                for path, record in kernels_by_path(self.model).items()
            },
            "initial_state": self.start.digest(),
        }

    def _reach_rewind_point(self, report):
        """Trains to step k, unless that is done, and keeps everything that training changes."""
        if self.workers.as_chief(self.store.has_rewind_point()):
            return
        self._use_basis(self.start.basis)
        set_masks(self.model, self.start.masks)
        self.state.write(self.start.state)
        if self.rewind_step:
            report.begin_rewind_point(self.rewind_step)
            directory = self.store.rewind_point
            self.training.run(
                directory, self._stretch(directory, self.start.digest()), 0, self.rewind_step
            )
        values = self.state.read()
        self.store.write_rewind_point(list(values), list(values.values()))

    def _level(self, level: int, control: str | None, report: LevelReport) -> None:
        """Trains a level, or a control at a level, unless that is done."""
        if self.workers.as_chief(self.store.result(level, control) is not None):
            return
        began = time.monotonic()
        start = 0 if control in FROM_STEP_0 else self.rewind_step
        ticket = self._begin(level, control)
        kept = sum(int(mask.sum()) for mask in ticket.masks.values())
        density = kept / sum(mask.size for mask in ticket.masks.values())
        report.begin(level, control, density)
        shift = level * self.training.epochs if self.settings.data_order == "new" else 0
        directory = self.store.level(level, control)
        history, seconds = self.training.run(
            directory, self._stretch(directory, ticket.digest), start, self.training.steps, shift
        )
        self.store.write_trained(
            level, control, self.network, self._provenance(level, control, ticket)
        )
        result = {
            "level": level,
            "density": density,
            "sparsity": 1 - density,
            "nonzeros": kept,
            **self._stored(ticket),
            "steps": self.training.step_after(history["epoch"][-1]) - start,
            **_last_metrics(history),
            **self._early_stop(history),
            "ticket": ticket.digest,
            "seconds": max(seconds, time.monotonic() - began),
        }
        self.store.finish(level, control, result, history)
        report.end(level, control, result)

    def _stretch(self, directory, digest) -> dict[str, str]:
        """What distinguishes the training in a directory from that of other levels and stores."""
        return {"level": str(directory.relative_to(self.store.path)), "start": digest}

    def _begin(self, level: int, control: str | None) -> Ticket:
        """Sets the state from which a level trains; returns its ticket."""
        at_k, fresh = self.store.read_rewind_point(), self.start.state
        found = self.store.ticket(level, control)
        if not self.workers.as_chief(found is not None):
            basis, masks, weights, parent = self._draw(level, control, at_k)
            self._use_basis(basis)
            self.state.write({path: weights[path] for path in self.state.weights})
            set_masks(self.model, masks)
            ticket = self.store.write_ticket(
                level, control, self.network, self._provenance(level, control, parent)
            )
        else:
            assert found is not None  # The chief has it, and all share the store.
            ticket = found
            self._take(ticket)
        slots = at_k if self.settings.optimizer_state == "restore" else fresh
        at_start = fresh if control in FROM_STEP_0 else at_k
        self.state.write({name: slots[name] for name in self.state.slots})
        self.state.write({name: at_start[name] for name in self.state.counters})
        self.state.write({name: at_start[name] for name in self.state.noise})
        if level and not control and "schedule" not in self.settings.rewind:
            self.state.set_steps(self.training.steps * self.training.batches_per_step)
        self.model.rest()
        return ticket

    def _draw(self, level, control, at_k):
        """What a level starts from: basis, masks and weights, and the ticket they come from."""
        if control:
            return self._draw_control(level, control, at_k)
        if level == 0:
            return self.start.basis, self.start.masks, at_k, None
        before = self.store.trained(level - 1)
        basis, allowed, trained = self._rotated(before)
        first = {path: int(mask.sum()) for path, mask in self.start.masks.items()}
        masks = next_masks(
            whole_kernels(self.model, "Pruning", any_basis=True),
            allowed,
            trained,
            self.settings.counts(first, level),
            np.abs if basis is None else basis.scores,
        )
        at_k, weights = self._in_basis(at_k, basis), {}
        for path in self.state.weights:
            kind = "weights" if path in self.state.trained else "statistics"
            source = at_k if kind in self.settings.rewind else trained
            weights[path] = source[path]
        return basis, masks, weights, before

    def _rotated(self, before: Ticket) -> tuple[Basis | None, Arrays, Arrays]:
        """The basis in which a trained level is pruned, where in it, and its weights there."""
        if self.settings.basis is None or self.settings.basis.fixed:
            return before.basis, before.masks, before.weights
        dense = to_weights(before.weights, before.masks, before.basis)
        basis = self.settings.basis.fitted({path: dense[path] for path in before.masks})
        return basis, self.start.masks, to_coefficients(dense, before.masks, basis)

    def _in_basis(self, at_k: Arrays, basis: Basis | None) -> Arrays:
        """The state at step k with its kernels in another basis than that of the start."""
        if basis == self.start.basis:
            return at_k
        dense = to_weights(at_k, self.start.masks, self.start.basis)
        return to_coefficients(dense, self.start.masks, basis)

    def _use_basis(self, basis: Basis | None) -> None:
        """Makes the network hold its kernels in a basis; its masks and weights are set next."""
        if basis != basis_of(self.network):
            set_basis(self.network, basis)
            forget_traces(self.model)

    def _take(self, ticket: Ticket) -> None:
        """Gives the network a ticket."""
        self._use_basis(ticket.basis)
        ticket.apply(self.network)

    def _draw_control(self, level, control, at_k):
        ticket = self.store.ticket(level)
        assert ticket is not None  # Controls come after their levels.
        salt = zlib.crc32(control.encode())
        generator = np.random.default_rng([self.settings.seed, level, salt])
        fresh: Mapping[str, np.ndarray] = {}
        if control.startswith("reinit"):
            fresh = fresh_weights(self.network, int(generator.integers(2**31)))
            fresh = to_coefficients(fresh, ticket.masks, ticket.basis)
        at_k = self._in_basis(at_k, ticket.basis)
        weights = {path: at_k[path] for path in self.state.weights}
        made = CONTROLS[control](ticket.masks, weights, fresh, generator)
        return ticket.basis, *made, ticket

    def _stored(self, ticket: Ticket) -> dict[str, int]:
        """How many values store the kernels, where the basis is among them."""
        if ticket.basis is None or ticket.basis.fixed:
            return {}
        return {"stored": sum(map(ticket.basis.stored, ticket.masks.values()))}

    def _early_stop(self, history) -> dict[str, float]:
        """The step with the lowest validation loss, counted from step 0, and its metrics."""
        if "val_loss" not in history:
            return {}
        best = int(np.argmin(history["val_loss"]))
        metrics = {
            f"early_stop_{name}": values[best]
            for name, values in history.items()
            if name.startswith("val_")
        }
        step = self.training.step_after(history["epoch"][best])
        return {"early_stop_step": step, **metrics}

    def _provenance(self, level, control, parent) -> dict[str, Any]:
        return {
            "level": level,
            "control": control,
            "parent": parent.digest if parent else None,
            "settings": self._description(),
        }


def _last_metrics(history) -> dict[str, float]:
    return {name: values[-1] for name, values in history.items() if name not in NOT_METRICS}
