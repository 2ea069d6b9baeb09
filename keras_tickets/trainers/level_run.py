"""One run of levels: what each trains from, on which batches, and what is kept of it."""

import hashlib
import pathlib
import time
import zlib

import numpy as np

from keras_tickets import _keras_compat
from keras_tickets._checks import check_integer
from keras_tickets.masks import masked_kernels, set_masks
from keras_tickets.tickets import Ticket, save_ticket
from keras_tickets.trainers.controls import CONTROLS, FROM_STEP_0
from keras_tickets.trainers.epochs import Epochs
from keras_tickets.trainers.level_store import REWIND_POINT
from keras_tickets.trainers.levels import next_masks, remaining
from keras_tickets.trainers.state import TrainingState, fresh_weights, network_of
from keras_tickets.trainers.stretch import train_stretch


class LevelRun:
    """Trains the levels of a `RewindTrainer` on given data, into its store.

    Args:
        trainer: Compiled `RewindTrainer`.
        data: The training batches.
        epochs: Epochs from step 0 to the end.
        fit_arguments: Further arguments of `keras.Model.fit`.
        callbacks: Function from the directory of a level to its callbacks.

    Raises:
        ValueError: `epochs` is not a positive integer; the rewind point is not before the end; or
            the learning rate at the end is 0 and the schedule is not rewound.
    """

    def __init__(self, trainer, data: Epochs, epochs: int, fit_arguments: dict, callbacks):
        self.trainer, self.model, self.store = trainer, trainer.model, trainer.level_store
        self.network = network_of(trainer.model)
        self.data, self.epochs = data, check_integer("epochs", epochs, low=1)
        self.fit_arguments, self.callbacks = fit_arguments, callbacks
        self.batches_per_step = self.model.optimizer.batches_per_step
        self.horizon = epochs * data.steps // self.batches_per_step
        self.rewind_step = trainer.rewind_to.resolve(
            self.horizon, data.steps // self.batches_per_step
        )
        if self.rewind_step >= self.horizon:
            raise ValueError(
                f"`rewind_to` must be before the end of training. Received: rewind_to="
                f"{trainer.rewind_to.value!r}, which is step {self.rewind_step} of {self.horizon}."
            )
        self._check_last_rate()
        self.state = TrainingState(self.model)

    def _check_last_rate(self):
        optimizer = self.model.optimizer.core_optimizer
        rate = _keras_compat.learning_rate_at(optimizer, self.horizon)
        if "schedule" not in self.trainer.rewind and self.trainer.levels and rate == 0:
            raise ValueError(
                f"The learning rate is 0 from step {self.horizon} on, where levels start, since "
                f'`rewind` does not name "schedule": they would learn nothing. Received: rewind='
                f"{self.trainer.rewind!r}"
            )

    def settings(self) -> dict:
        """What decides the results of a level."""
        trainer = self.trainer
        digest = hashlib.sha256()
        for arrays in (trainer.first_masks, trainer.first_state):
            for name, array in arrays.items():
                digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return {
            "rewind_to": self.rewind_step,
            "steps": self.horizon,
            "steps_per_epoch": self.data.steps,
            "rate": trainer.rate,
            "rates": trainer.rates and dict(trainer.rates),
            "scope": trainer.scope,
            "rewind": sorted(trainer.rewind),
            "optimizer_state": trainer.optimizer_state,
            "data_order": trainer.data_order,
            "seed": trainer.seed,
            "optimizer": _without_names(trainer.first_optimizer),
            "kernels": {r.path: list(r.kernel.shape) for r in masked_kernels(self.model)},
            "initial_state": digest.hexdigest(),
        }

    def reach_rewind_point(self) -> None:
        """Trains to step k, unless that is done, and keeps all that training changes."""
        if self.store.has_rewind_point():
            return
        set_masks(self.model, self.trainer.first_masks)
        self.state.write(self.trainer.first_state)
        if self.rewind_step:
            self._train(self.store.path / REWIND_POINT, 0, self.rewind_step)
        values = self.state.read()
        self.store.write_rewind_point(list(values), list(values.values()))

    def level(self, level: int, control: str | None = None) -> None:
        """Trains a level, or a control at a level, unless that is done."""
        if self.store.result(level, control) is not None:
            return
        began = time.monotonic()
        start = 0 if control in FROM_STEP_0 else self.rewind_step
        ticket = self._begin(level, control, start)
        directory = self.store.level(level, control)
        shift = level * self.epochs if self.trainer.data_order == "new" else 0
        history, seconds = self._train(directory, start, self.horizon, shift)
        trained = directory / "trained.safetensors"
        if not trained.exists():
            save_ticket(trained, self.network, provenance=self._provenance(level, control, ticket))
        kept = sum(int(mask.sum()) for mask in ticket.masks.values())
        size = sum(mask.size for mask in ticket.masks.values())
        result = {
            "level": level,
            "density": kept / size,
            "sparsity": 1 - kept / size,
            "nonzeros": kept,
            "steps": self._step_after(history["epoch"][-1]) - start,
            **{name: values[-1] for name, values in history.items() if name != "epoch"},
            **self._early_stop(history),
            "ticket": ticket.digest,
            "seconds": max(seconds, time.monotonic() - began),
        }
        self.store.finish(level, control, result, history)

    def _begin(self, level, control, start) -> Ticket:
        """Sets the state that a level trains from; returns its ticket."""
        path = self.store.level(level, control) / "ticket.safetensors"
        at_k = self.store.read_rewind_point()
        ticket = self.store.ticket(level, control)
        if ticket is None:
            masks, weights, parent = self._draw(level, control, at_k)
            self._set_weights(masks, weights)
            path.parent.mkdir(parents=True, exist_ok=True)
            ticket = save_ticket(
                path, self.network, provenance=self._provenance(level, control, parent)
            )
        else:
            ticket.apply(self.network)
        fresh = self.trainer.first_state
        slots = at_k if self.trainer.optimizer_state == "restore" else fresh
        at_start = fresh if control in FROM_STEP_0 else at_k
        self.state.write({name: slots[name] for name in self.state.slots})
        self.state.write({name: at_start[name] for name in self.state.counters})
        self.state.write({name: at_start[name] for name in self.state.noise})
        if level and not control and "schedule" not in self.trainer.rewind:
            self.state.set_steps(self.horizon * self.batches_per_step)
        self.model.rest()
        return ticket

    def _draw(self, level, control, at_k):
        """Masks and weights that a level starts from, and the ticket that they come from."""
        trainer = self.trainer
        if control:
            ticket = self.store.ticket(level)
            salt = zlib.crc32(control.encode())
            generator = np.random.default_rng([trainer.seed, level, salt])
            fresh = {}
            if control.startswith("reinit"):
                fresh = fresh_weights(self.network, int(generator.integers(2**31)))
            weights = {path: at_k[path] for path in self.state.weights}
            return *CONTROLS[control](ticket.masks, weights, fresh, generator), ticket
        if level == 0:
            return trainer.first_masks, at_k, None
        before = self.store.trained(level - 1)
        masks = next_masks(
            masked_kernels(self.model), before.masks, before.weights, self._counts(level)
        )
        rewound = {
            path
            for path in self.state.weights
            if ("weights" if path in self.state.trained else "statistics") in trainer.rewind
        }
        weights = {p: at_k[p] if p in rewound else before.weights[p] for p in self.state.weights}
        return masks, weights, before

    def _counts(self, level) -> dict[str, int] | int:
        first = {path: int(mask.sum()) for path, mask in self.trainer.first_masks.items()}
        if self.trainer.scope == "global":
            return remaining(sum(first.values()), self.trainer.rate, level)
        rates = self.trainer.kernel_rates
        return {path: remaining(count, rates[path], level) for path, count in first.items()}

    def _set_weights(self, masks, weights):
        self.state.write({path: weights[path] for path in self.state.weights})
        set_masks(self.model, masks)

    def _train(self, directory: pathlib.Path, start: int, stop: int, shift: int = 0):
        return train_stretch(
            self.model,
            self.data,
            start * self.batches_per_step,
            stop * self.batches_per_step,
            directory,
            epochs=self.epochs,
            shift=shift,
            callbacks=self.callbacks(str(directory)),
            **self.fit_arguments,
        )

    def _step_after(self, epoch: int) -> int:
        """Optimizer steps from step 0 to the end of an epoch, or of its part that is trained."""
        return min((epoch + 1) * self.data.steps // self.batches_per_step, self.horizon)

    def _early_stop(self, history) -> dict:
        """The step with the lowest validation loss, counted from step 0, and its metrics."""
        if "val_loss" not in history:
            return {}
        best = int(np.argmin(history["val_loss"]))
        metrics = {
            f"early_stop_{name}": values[best]
            for name, values in history.items()
            if name.startswith("val_")
        }
        return {"early_stop_step": self._step_after(history["epoch"][best]), **metrics}

    def _provenance(self, level, control, parent) -> dict:
        return {
            "level": level,
            "control": control,
            "parent": parent.digest if parent else None,
            "settings": self.settings(),
        }


def _without_names(config):
    """A configuration without the names that Keras numbers anew in each process."""
    if isinstance(config, list | tuple):
        return [_without_names(part) for part in config]
    if not isinstance(config, dict):
        return config
    return {key: _without_names(value) for key, value in config.items() if key != "name"}
