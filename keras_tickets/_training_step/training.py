"""The training step of sparse models: one backward pass gives masked and dense gradients."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import _keras_compat, masks
from keras_tickets._sparse_storage.kernel import SparseKernel
from keras_tickets._sparse_storage.positions import check_positions
from keras_tickets._tables import count_text
from keras_tickets._training_step.same_workers import SameOnAllWorkers
from keras_tickets._warnings import warn
from keras_tickets.gradients import DenseGradientTape
from keras_tickets.layers._masked_values import kernels_at_rest
from keras_tickets.optimizers.sparse_optimizer import SparseOptimizer
from keras_tickets.optimizers.static import Static


class SparseTraining(_keras_compat.DistributedTrainer):
    """Mixin for `keras.Model`: training by sparse optimizers, on any `tf.distribute` strategy.

    Attributes:
        horizon: Optimizer steps of the whole training and of an epoch (`None`: epochs have no
            meaning), if it is not for `fit` to say; `None` if each call is a training of its own.
    """

    horizon: tuple[int, int | None] | None = None

    def compile(self, optimizer="rmsprop", loss=None, *args, auto_scale_loss=True, **kwargs):
        """Configures training, as `keras.Model.compile` does.

        A plain Keras optimizer is wrapped in `kt.optimizers.Static`, so that zeros stay zero. Under
        `mixed_float16` the loss is scaled by the sparse optimizer.

        Args:
            optimizer: A sparse optimizer, or anything `keras.Model.compile` takes.
            loss: As in Keras.
            *args: As in Keras.
            auto_scale_loss: As in Keras.
            **kwargs: As in Keras.

        Raises:
            ValueError: There are several replicas, and the optimizer accumulates gradients or
                overwrites weights with their average, which Keras cannot do then; the method cannot
                start from the masks that `kt.sparsify` was asked for; or kernels are stored
                sparsely, and the method or `jit_compile=True` does not go with that.
        """
        optimizer = keras.optimizers.get(optimizer)
        if not isinstance(optimizer, SparseOptimizer):
            optimizer = Static(optimizer)
        if auto_scale_loss and self.dtype_policy.name == "mixed_float16":
            optimizer.enable_loss_scaling()
        self._check_replicas(optimizer.core_optimizer)
        records = masks.masked_kernels(self)
        optimizer.check_storage(records)
        if kwargs.get("jit_compile") is True:
            _check_xla(records)
        optimizer.take_first_masks(records)
        super().compile(optimizer, loss, *args, auto_scale_loss=False, **kwargs)
        on_tpu = isinstance(self.distribute_strategy, tf.distribute.TPUStrategy)
        optimizer.compiles_under_xla = on_tpu or (bool(self.jit_compile) and self._replicas == 1)

    def rest(self) -> None:
        """Puts kernels and optimizer slots off the masks to rest after they were set from outside.

        `fit`, `set_weights`, `load_weights` and `kt.set_masks` do this automatically.
        """
        if not (self.compiled and self.optimizer.trains_off_mask):
            for record in masks.masked_kernels(self):
                record.rest()
        if self.compiled and self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.rest(self.distribute_strategy)

    def get_weights(self) -> list[np.ndarray]:
        """The values of `weights`, as in the dense model, and then the masks.

        For a kernel that is stored sparsely, `weights` has its values and their indices.
        """
        return [*super().get_weights(), *(mask.numpy() for mask in self._mask_variables)]

    @property
    def _mask_variables(self) -> list[keras.Variable]:
        """The masks. They are not weights, while the indices of sparse storage are."""
        weights = {id(weight) for weight in self.weights}
        supports = [record.support for record in masks.masked_kernels(self)]
        return [support for support in supports if id(support) not in weights]

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Sets weights and masks, or the weights alone, under the present masks.

        Args:
            weights: Arrays, as returned by `get_weights` of this model or of the dense one.

        Raises:
            ValueError: Their number or shapes are not those of the model, or what is given for the
                indices of a kernel that is stored sparsely cannot be its positions.
        """
        size, variables = len(self.weights), self._mask_variables
        found = weights[size:] if len(weights) == size + len(variables) else []
        if len(weights) - len(found) == size:
            self._check_indices(weights[:size])
        masks.forget_first(self)
        super().set_weights(weights[:size] if found else weights)
        for variable, mask in zip(variables, found, strict=False):
            variable.assign(mask)
        self.rest()

    def _check_indices(self, weights):
        given = {id(variable): array for variable, array in zip(self.weights, weights, strict=True)}
        for record in masks.masked_kernels(self):
            if isinstance(record, SparseKernel) and id(record.support) in given:
                try:
                    check_positions(given[id(record.support)], record.shape, record.count())
                except ValueError as error:
                    raise ValueError(
                        f"`weights` must hold indices for kernel {record.name!r} that can be its "
                        f"positions: {error}"
                    ) from error

    def compile_from_config(self, config):
        """Compiles the model as it was when it was saved, for `keras.models.load_model`."""
        for record in masks.masked_kernels(self):
            # The masks may be those of the middle of training, and need not be a valid start.
            if record.first is not None and record.first.chosen:
                record.first = None
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    @property
    def _replicas(self) -> int:
        return self.distribute_strategy.num_replicas_in_sync

    def _check_replicas(self, optimizer):
        for name in ("gradient_accumulation_steps", "ema_overwrite_frequency"):
            value = getattr(optimizer, name)
            if value and self._replicas > 1:
                raise ValueError(
                    f"`{name}` does not work with several replicas in Keras. Received: {name}="
                    f"{value} with {self._replicas} replicas; use None, or one replica."
                )

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        *args,
        **kwargs,
    ):
        """Trains the model, as `keras.Model.fit` does."""
        callbacks = self.with_callback(SameOnAllWorkers(), callbacks)
        begin, best = _Begin(), _BestEpochs()
        callbacks = self.with_callback(begin, callbacks)
        if masks.masked_kernels(self):
            best.watch(callbacks)
            callbacks = self.with_callback(best, callbacks)
            callbacks = self.with_callback(_LogSparsity(), callbacks)
        if self.optimizer is not None and self.optimizer.track_exploration:
            callbacks = self.with_callback(_LogExploration(), callbacks)
        history = super().fit(x, y, batch_size, epochs, verbose, callbacks, *args, **kwargs)
        steps = int(self.optimizer.iterations.numpy())
        if shortfall := self.optimizer.shortfall():
            warn(
                f"{shortfall}, after {count_text(steps, 'step')}. The "
                "ramp did not reach its end, or weights of an earlier epoch were restored; see "
                "`kt.callbacks.AfterUpdates`."
            )
        elif begin.steps_before is not None:
            self.optimizer.check_calendar(begin.steps_before, steps)
        for file, shortfall in best.shortfalls():
            warn(
                f"{file!r} holds the best epoch. {shortfall}: it was before the end of the ramp; "
                "see `kt.callbacks.AfterUpdates`."
            )
        return history

    def forward(self, x):
        """The outputs in training, from which the training step computes loss and metrics."""
        return self(x, training=True) if self._call_has_training_arg else self(x)

    def set_total_steps(self, total_steps: int, steps_per_epoch: int | None = None) -> None:
        """Tells the optimizer how long training is. `fit` does this automatically.

        Args:
            total_steps: Optimizer steps from step 0 to the end of training.
            steps_per_epoch: Optimizer steps per epoch, for steps given as `"10ep"`.
        """
        self.optimizer.set_total_steps(total_steps, steps_per_epoch)

    def steps_of_call(self, step_function):
        # A step of the user's own may do anything to kernels between its passes.
        if getattr(step_function, "__func__", None) is not SparseTraining.train_step:
            return super().steps_of_call(step_function)

        def step_at_rest(data):
            with kernels_at_rest(self.optimizer.kernels_at_rest):
                return step_function(data)

        def begin():
            with self.distribute_strategy.scope():
                self.optimizer.rest(self.distribute_strategy)

        return step_at_rest, begin

    def train_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        compiled = self.jit_compile and self._replicas > 1
        differentiate = self._differentiate_compiled if compiled else self._differentiate
        loss, y_pred, gradients, dense = differentiate(x, y, sample_weight)
        self.track_loss(loss, x)
        self.optimizer.apply(gradients, self.trainable_weights, dense_gradients=dense)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def _differentiate(self, x, y, sample_weight):
        """Loss, predictions, gradients with respect to the weights, and dense gradients."""
        variables = self.trainable_weights
        with DenseGradientTape() as tape:
            tape.watch([variable.value for variable in variables])
            y_pred = self.forward(x)
            loss = self.compute_loss(
                x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True
            )
            scaled = self.optimizer.scale_loss(loss)
        gradients, dense = tape.gradients(scaled, variables)
        return loss, y_pred, gradients, dense if self.optimizer.needs_dense_gradients else None

    def _differentiate_compiled(self, x, y, sample_weight):
        """`_differentiate` under XLA. What the forward pass assigns is assigned after it."""
        variables = []

        @tf.function(jit_compile=True)
        def differentiate(x, y, sample_weight):
            with _keras_compat.functional_scope(self.trainable_weights, self) as scope:
                results = self._differentiate(x, y, sample_weight)
            variables[:] = [variable for variable, _ in scope.assigned]
            return results, [value for _, value in scope.assigned]

        results, values = differentiate(x, y, sample_weight)
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return results


def _check_xla(records):
    if stored := [record.name for record in records if record.storage == "sparse"]:
        raise ValueError(
            f"Kernels {stored} are stored sparsely, and XLA compiles neither engine that computes "
            'with them: leave out `jit_compile`, or use `kt.sparsify(…, storage="masked")`. '
            "Received: jit_compile=True"
        )


class _Begin(keras.callbacks.Callback):
    """Puts masked weights to rest and tells the optimizer the length of training, if known.

    Attributes:
        steps_before: Optimizer steps before a training of unknown length; otherwise `None`.
    """

    steps_before: int | None = None

    def on_train_begin(self, logs=None):
        masks.forget_first(self.model)
        self.model.rest()
        if self.model.horizon:
            self.model.set_total_steps(*self.model.horizon)
        elif steps := self.params.get("steps"):
            per_step = self.model.optimizer.batches_per_step
            self.model.set_total_steps(self.params["epochs"] * steps // per_step, steps // per_step)
        else:
            self.steps_before = int(self.model.optimizer.iterations.numpy())


class _BestEpochs(keras.callbacks.Callback):
    """Notes how far the masks were from what was asked for where a best epoch was saved."""

    def __init__(self):
        super().__init__()
        self._saving, self._seen = [], {}

    def watch(self, callbacks):
        """Watches those of the callbacks that save the best epoch of all."""
        kind = keras.callbacks.ModelCheckpoint
        callbacks = getattr(callbacks, "callbacks", callbacks)
        self._saving = [c for c in callbacks if isinstance(c, kind) and c.save_best_only]

    def on_train_begin(self, logs=None):
        self._seen = {callback: (callback.best, None) for callback in self._saving}

    def on_epoch_begin(self, epoch, logs=None):
        self._look()

    def on_train_end(self, logs=None):
        self._look()

    def _look(self):
        """Runs between epochs: a `best` that is new is that of the epoch before."""
        for callback in self._saving:
            best, _ = self._seen[callback]
            if callback.best != best:
                self._seen[callback] = callback.best, self.model.optimizer.shortfall()

    def shortfalls(self):
        """The file of each callback whose best epoch fell short, and by how much."""
        return [(c.filepath, found) for c, (_, found) in self._seen.items() if found]


class _LogSparsity(keras.callbacks.Callback):
    """Adds the share of zeros over the masked kernels to the logs of each epoch."""

    def on_epoch_end(self, epoch, logs=None):
        logs["sparsity"] = masks.sparsity_of_masks(self.model)


class _LogExploration(keras.callbacks.Callback):
    """Adds the optimizer's `exploration` to the logs of each epoch."""

    def on_epoch_end(self, epoch, logs=None):
        logs["exploration"] = self.model.optimizer.exploration
