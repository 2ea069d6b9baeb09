"""`RewindTrainer`: lottery tickets by iterative magnitude pruning with rewinding."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_tickets._checks import (
    check_integer,
    check_number,
    check_one_of,
    check_seed,
    check_some_of,
)
from keras_tickets._workers.workers import Workers
from keras_tickets.bases.basis import Basis, deserialize, serialize
from keras_tickets.masks import kernels_by_path, masked_kernels
from keras_tickets.optimizers.magnitude_pruning import SCOPES
from keras_tickets.optimizers.sparse_optimizer import SparseOptimizer
from keras_tickets.pruning import settle_counts
from keras_tickets.step import Step
from keras_tickets.tickets import Ticket
from keras_tickets.trainers.controls import CONTROLS
from keras_tickets.trainers.epochs import Epochs
from keras_tickets.trainers.level_report import LevelReport
from keras_tickets.trainers.level_run import LevelRun
from keras_tickets.trainers.level_settings import (
    DATA_ORDERS,
    OPTIMIZER_STATES,
    REWINDS,
    LevelSettings,
    levels_with_controls,
    planned_controls,
)
from keras_tickets.trainers.level_store import LevelStore
from keras_tickets.trainers.prunable import checked_basis, prunable
from keras_tickets.trainers.resumable_training import ResumableTraining
from keras_tickets.trainers.state import StartingPoint


@keras.saving.register_keras_serializable("keras_tickets")
class RewindTrainer(keras.Model):
    """Trains, prunes and rewinds a network, level by level.

    `fit` trains the network to step k and keeps its state; trains on to the end, T; prunes the
    smallest of the remaining weights; rewinds the others to step k; and so on. Level 0 is the dense
    network, level n the one after n prunings; each trains for T - k steps. After `fit`, `model` is
    the trained network of the last level, and its optimizer is in the state of step 0.

    Variants differ in what is rewound:

    | method | arguments |
    |---|---|
    | lottery tickets | `rewind_to="0it"` |
    | weight rewinding | `rewind_to="500it"` |
    | learning-rate rewinding | `rewind=("schedule",)` |
    | fine-tuning | `rewind=()` |
    | weight rewinding at the last learning rate | `rewind=("weights", "statistics")` |
    | one-shot pruning | `levels=1, rate=0.9` |

    Args:
        model: Built Keras model, which is copied; or a `kt.SparseModel` or a
            `kt.trainers.DistillationTrainer`, which is trained itself: from the masks chosen for
            it, or from all weights if none were chosen.
        levels: Number of prunings, at least 0. More can be added later, with the same `store`.
        rate: Share in [0, 1) of the remaining weights that is pruned at each level. Level n has
            `round((1 - rate)**n * weights)`.
        rewind_to: The step k, as a `kt.Step`: `"500it"`, `"10ep"`, `"0.5%"` or an int.
        basis: What is pruned: coefficients of the kernels in a basis of `kt.bases`, which are then
            also what is trained and rewound. None, like `kt.bases.Identity()`: single weights.
        scope: "global", one ranking of all masked kernels; or "local", each kernel by itself.
        rates: `{path regex: rate}` for kernels with another rate, with `scope="local"`; the first
            match wins, and kernels that match none have `rate`.
        rewind: What returns to step k before a level trains: any of "weights" (everything that is
            trained), "statistics" (those of batch normalization) and "schedule" (the step counter,
            and so the learning rate). Anything else stays as the level before left it; without
            "schedule" the step counter starts at T.
        optimizer_state: "fresh", slots start at their initial values; or "restore", as at step k.
            Adam and its relatives correct their slots by the step counter, so with fresh slots and
            a counter above 0 their first steps are far too large.
        data_order: "same", each level sees the batches k to T that the dense network saw; or
            "new", level n reads on from n times `epochs` epochs.
        control: Name or names of controls to train beside each ticket. "reinit": the ticket's masks
            with freshly drawn weights, from step k; "reinit_from_0": the same, for T steps;
            "reinit_signs": drawn anew, with the signs at step k; "reuse": values drawn from the
            survivors; "random": random masks with the same number of weights in each kernel;
            "random_global": the same number in total; "shuffled": masks and values moved to other
            places.
        control_levels: The levels that get controls; all from 1 on by default. Levels above
            `levels` get theirs once they exist.
        store: Directory that keeps the levels. A finished level is not run again; an interrupted
            one resumes where it was. Processes that share a directory wait for each other; the
            workers of one strategy share it, and their chief writes. None: a temporary directory.
        seed: Non-negative integer, for the draws of controls and the order of arrays.
        name: Name of the trainer.

    Attributes:
        model: The network.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range or unknown, or the model has nothing to prune.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    digits = kt.data.load("digits", batch_size=60)
    trainer = kt.trainers.RewindTrainer(kt.models.lenet_300_100((64,)), levels=2, rewind_to="20it")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
    ```

    References:
        - [Frankle et al., 2019, "Stabilizing the lottery ticket hypothesis", Algorithm
          1](https://arxiv.org/abs/1903.01611)
        - [Renda et al., 2020, "Comparing rewinding and fine-tuning in neural network pruning",
          section 2](https://arxiv.org/abs/2003.02389), for learning-rate rewinding
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        levels: int,
        rate: float = 0.2,
        rewind_to: int | float | str | Step = "0it",
        basis: Basis | None = None,
        scope: str = "global",
        rates: Mapping[str, float] | None = None,
        rewind: Sequence[str] = REWINDS,
        optimizer_state: str = "fresh",
        data_order: str = "same",
        control: str | Sequence[str] | None = None,
        control_levels: Sequence[int] | None = None,
        store: str | None = None,
        seed: int = 0,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if rates is not None and scope != "local":
            raise ValueError(
                f'`rates` needs scope="local": one ranking of all kernels has one rate. Received: '
                f"scope={scope!r}, rates={rates!r}"
            )
        self.levels = check_integer("levels", levels, low=0)
        self.control = check_some_of("control", control or (), tuple(CONTROLS))
        self.control_levels = levels_with_controls(control_levels)
        self.settings = LevelSettings(
            rate=check_number("rate", rate, "[0, 1)"),
            rates=rates,
            rewind_to=Step(rewind_to),
            scope=check_one_of("scope", scope, SCOPES),
            rewind=check_some_of("rewind", rewind, REWINDS),
            optimizer_state=check_one_of("optimizer_state", optimizer_state, OPTIMIZER_STATES),
            data_order=check_one_of("data_order", data_order, DATA_ORDERS),
            seed=check_seed(seed),
            basis=checked_basis(basis, optimizer_state),
        )
        self.model = prunable(model, self.settings.basis)
        self.settings.kernel_rates(list(kernels_by_path(self.model)))
        self.store = None if store is None else str(store)
        if store is None:
            self._temporary = tempfile.TemporaryDirectory()
            store = self._temporary.name
        self.level_store = LevelStore(store)
        self._start: StartingPoint | None = None
        self._compiled_by_trainer = False
        self.built = True

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return self.model(*args, **kwargs)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Configures the training of every level, as `keras.Model.compile` does.

        Args:
            *args: As in Keras.
            **kwargs: As in Keras.

        Raises:
            ValueError: The optimizer changes masks by itself, or averages weights; or the strategy
                has several workers, and there is no `store`.
        """
        workers = Workers(self.model.distribute_strategy)
        if workers.count > 1 and self.store is None:
            raise ValueError(
                "`store` must be given where several workers train: a directory that all of them "
                f"share. Received: store=None with {workers.count} workers"
            )
        self.level_store.workers = workers
        self.model.compile(*args, **kwargs)
        optimizer = self.model.optimizer
        if type(optimizer).update_due is not SparseOptimizer.update_due:
            raise ValueError(
                f"`optimizer` must not change masks, which is what the levels do. Received: "
                f"{type(optimizer).__name__}; pass a Keras optimizer."
            )
        if optimizer.core_optimizer.use_ema:
            raise ValueError("`optimizer` must not average weights. Received: use_ema=True")
        with self.model.distribute_strategy.scope():
            optimizer.build(self.model.trainable_variables)
        self._compiled_by_trainer, self._start = True, None

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        return self.model.evaluate(*args, **kwargs)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        return self.model.predict(*args, **kwargs)

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        batch_size: int | None = None,
        epochs: int = 1,
        steps_per_epoch: int | None = None,
        validation_data: Any = None,
        callbacks: Sequence | Callable[[str], Sequence] = (),
        verbose: int | str = "auto",
    ) -> keras.callbacks.History:
        """Runs all levels that are not finished.

        Args:
            x: Arrays of all examples; a `tf.data.Dataset` of the batches of an epoch; or a function
                that takes an epoch and returns the `tf.data.Dataset` of all batches from that epoch
                on, such as `kt.data.Dataset.train`, which makes the order of the data the same in
                each level and after a resume.
            y: Targets, if `x` is arrays.
            batch_size: Examples in a batch, if `x` is arrays.
            epochs: Epochs from step 0 to T, of which each level trains the part after k.
            steps_per_epoch: Batches in an epoch. Required if `x` is a function.
            validation_data: As in `keras.Model.fit`.
            callbacks: As in `keras.Model.fit`; or a function that takes the directory of a level
                and returns its callbacks.
            verbose: As in `keras.Model.fit`. Unless it is 0, each level is announced. With "auto"
                and no terminal, each level is one line with its results.

        Returns:
            A `keras.callbacks.History` with `history["levels"]`, as `results`.

        Raises:
            ValueError: The rewind point is not before the end; the store has another configuration
                or is damaged; the learning rate at the end is 0 and the schedule is not rewound; or
                a loss or weight becomes NaN or infinite.
            OSError: The store cannot be read or written.
        """
        if not self._compiled_by_trainer:
            raise ValueError("Call `compile` of the trainer before `fit`.")
        if self._start is None:
            self._start = StartingPoint.of(self.model)
        writes = self.level_store.workers.writes
        report = LevelReport(self.levels, verbose if writes else 0)
        training = ResumableTraining(
            self.model,
            Epochs(
                x,
                y,
                batch_size=batch_size,
                steps_per_epoch=steps_per_epoch,
                seed=self.settings.seed,
            ),
            epochs,
            callbacks=callbacks if callable(callbacks) else lambda directory: callbacks,
            validation_data=validation_data,
            verbose=report.verbose_fit,
        )
        run = LevelRun(self.model, self.settings, self._start, training, self.level_store)
        controls = planned_controls(self.levels, self.control, self.control_levels)
        run.run(self.levels, controls, report)
        settle_counts(self.model, masked_kernels(self.model))
        history = keras.callbacks.History()
        history.set_model(self.model)
        history.history = {"levels": self.results}
        return history

    @property
    def results(self) -> list[dict]:
        """A dict for each finished level, in order.

        Each has `level`, `density`, `sparsity`, `nonzeros` (over the masked kernels), `steps` (the
        optimizer steps it trained), the last value of each metric of `fit`, `early_stop_step` (the
        step with the lowest validation loss), `seconds`, and `controls`: the same fields for each
        control.
        """
        rows = []
        for level in range(self.levels + 1):
            if (row := self.level_store.result(level)) is None:
                break
            found = {name: self.level_store.result(level, name) for name in CONTROLS}
            controls = {name: result for name, result in found.items() if result is not None}
            rows.append(row | ({"controls": controls} if controls else {}))
        return rows

    def ticket(self, level: int, control: str | None = None) -> Ticket:
        """Returns the masks of a level and the weights that it started from.

        Args:
            level: The level.
            control: Name of a control, for the control's own masks and weights.

        Raises:
            ValueError: The level has not been reached.
        """
        ticket = self.level_store.ticket(level, control)
        if ticket is None:
            which = f"level {level!r}, control {control!r}" if control else f"level {level!r}"
            reached = [row["level"] for row in self.results]
            raise ValueError(f"There is no ticket of {which}. Finished levels: {reached}")
        return ticket

    def get_config(self):
        return {
            "model": keras.saving.serialize_keras_object(self.model),
            "levels": self.levels,
            **vars(self.settings),
            "basis": self.settings.basis and serialize(self.settings.basis),
            "rewind_to": self.settings.rewind_to.value,
            "rewind": list(self.settings.rewind),
            "control": list(self.control),
            "control_levels": self.control_levels,
            "store": self.store,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        model = keras.saving.deserialize_keras_object(config["model"], custom_objects)
        basis = config["basis"] and deserialize(config["basis"])
        return cls(**{**config, "model": model, "basis": basis})
