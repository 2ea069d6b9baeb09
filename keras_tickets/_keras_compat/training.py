"""The training loop, on every strategy."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import keras
import tensorflow as tf
from keras.src import backend, tree
from keras.src.losses.loss import scale_loss_for_distribution, unscale_loss_for_distribution
from keras.src.trainers.data_adapters.data_adapter_utils import unpack_x_y_sample_weight


class _CallSize(keras.callbacks.Callback):
    """Tells the model how many steps each call of its train or test function has to run."""

    def on_train_batch_begin(self, batch, logs=None):
        self._remember(batch, self.params.get("steps"))

    def on_test_batch_begin(self, batch, logs=None):
        steps = self.params.get("steps")
        if self.model._validates:
            steps = self.model._eval_epoch_iterator.num_batches
        self._remember(batch, steps)

    def _remember(self, batch, steps):
        size = self.model.steps_per_execution
        self.model._call_size = min(size, steps - batch) if steps else size


class _Bar(keras.callbacks.ProgbarLogger):
    """Keras's bar, which does not run past its end where the last call has fewer steps."""

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(self._within(batch), logs)

    def on_test_batch_end(self, batch, logs=None):
        super().on_test_batch_end(self._within(batch), logs)

    def _within(self, batch):
        return min(batch, self.target - 1) if self.target else batch


if TYPE_CHECKING:
    from keras import Model as _Model
else:
    _Model = object


class DistributedTrainer(_Model):
    """Mixin for `keras.Model`: `fit` and `evaluate` on every strategy, K steps per graph call.

    Stock Keras cannot build a model from a distributed batch of several workers (keras-team/keras
    issue 20585) and fails under `MirroredStrategy` with `steps_per_execution > 1`. Two methods are
    overridden: how the model is built before training, and the loop that runs the steps. The number
    of steps of an epoch is exact also where `steps_per_execution` does not divide it.
    """

    _call_size = 1
    _validates = False

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        if data_batch is None:
            data_batch = tree.map_structure(_local_spec, iterator._distributed_dataset.element_spec)
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=data_batch)

    def _symbolic_build(self, iterator=None, data_batch=None):
        """Builds metrics, loss and optimizer before the loop is traced.

        Where no strategy needs them so early, what cannot be built is left to the first step: one
        of the user's own need not compute a loss or metrics from the model's outputs.
        """
        try:
            self._build_loss_and_metrics(data_batch)
        except Exception:
            if self._distribute_strategy is not None:
                raise
        if self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        self._post_build()

    def _build_loss_and_metrics(self, data_batch):
        metrics, loss = self._compile_metrics, self._compile_loss
        unbuilt = [part for part in (metrics, loss) if part is not None and not part.built]
        if not unbuilt and all(layer.built for layer in self._flatten_layers()):
            return
        x, y, weight = unpack_x_y_sample_weight(tree.map_structure(_symbolic, data_batch))
        y_pred = backend.compute_output_spec(self, x, training=False)
        if metrics in unbuilt:
            backend.compute_output_spec(self.compute_metrics, x, y, y_pred, sample_weight=weight)
        if loss in unbuilt:
            backend.compute_output_spec(
                self._compute_loss, x, y, y_pred, sample_weight=weight, training=False
            )

    def steps_of_call(self, step_function: Callable) -> tuple[Callable, Callable[[], None]]:
        """What each step of a call of the train or test function runs, and what runs before them.

        Args:
            step_function: `train_step` or `test_step`.
        """
        return step_function, lambda: None

    def _make_function(self, step_function):
        strategy = self.distribute_strategy
        step_function, begin = self.steps_of_call(step_function)
        step = self._autoconvert_optionals(step_function)
        if self.jit_compile and strategy.num_replicas_in_sync == 1:
            step = tf.function(step, jit_compile=True, autograph=False)

        def run_step(data):
            return self._logs_of_replicas(strategy.run(step, args=(data,)))

        def run_next(iterator):
            data = next(iterator)
            with _once_read(data, strategy):
                return run_step(data)

        def run_steps(iterator, count):
            def body(done, _):
                return done + 1, run_next(iterator)

            begin()
            # The first step is outside of the loop, which must know what a step returns.
            _, logs = tf.while_loop(
                lambda done, _: done < count, body, (1, run_next(iterator)), parallel_iterations=1
            )
            return self._logs(logs)

        def run_one(iterator):
            begin()
            return self._logs(run_next(iterator))

        def run_on_data(data):
            begin()
            return self._logs(run_step(data))

        if not self.run_eagerly:
            in_graph = functools.partial(tf.function, reduce_retracing=True, autograph=False)
            if self.steps_per_execution > 1:
                run_next = in_graph(run_next)
            run_steps, run_one, run_on_data = map(in_graph, (run_steps, run_one, run_on_data))
        run_on_data = self._autoconvert_optionals(run_on_data)

        def function(iterator):
            if not isinstance(iterator, (tf.data.Iterator, tf.distribute.DistributedIterator)):
                return run_on_data(next(iterator))
            if self.steps_per_execution == 1:
                return run_one(iterator)
            return run_steps(iterator, tf.constant(self._call_size))

        return function

    def _logs_of_replicas(self, outputs):
        """What a step returns, as one structure of tensors.

        Of several replicas it is the mean, and nothing where a step returns the model's metrics,
        which are known for all replicas together.
        """
        strategy = self.distribute_strategy
        if outputs is None or (strategy.num_replicas_in_sync > 1 and self._are_metrics(outputs)):
            return {}
        if strategy.num_replicas_in_sync > 1:
            return tree.map_structure(lambda x: strategy.reduce("MEAN", x, axis=None), outputs)
        return tree.map_structure(
            lambda x: strategy.experimental_local_results(x)[0],
            tree.map_structure(tf.convert_to_tensor, outputs),
        )

    def _are_metrics(self, outputs):
        return isinstance(outputs, dict) and set(outputs) == set(self.get_metrics_result())

    def _logs(self, logs):
        several = self.distribute_strategy.num_replicas_in_sync > 1
        return self.get_metrics_result() if several and logs == {} else logs

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
        callbacks = _with_bar(self.with_callback(_CallSize(), callbacks))
        return super().fit(x, y, batch_size, epochs, verbose, callbacks, *args, **kwargs)

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        *args,
        **kwargs,
    ):
        validates, self._validates = self._validates, kwargs.get("_use_cached_eval_dataset", False)
        callbacks = _with_bar(self.with_callback(_CallSize(), callbacks))
        try:
            return super().evaluate(
                x, y, batch_size, verbose, sample_weight, steps, callbacks, *args, **kwargs
            )
        finally:
            self._validates = validates

    @staticmethod
    def with_callback(callback, callbacks):
        """`callbacks`, in any form that `fit` takes, with one more in front, unless it is there."""
        if isinstance(callbacks, keras.callbacks.CallbackList):
            if not any(type(c) is type(callback) for c in callbacks.callbacks):
                callbacks.callbacks.insert(0, callback)
                callback.set_params(callbacks.params)
                callback.set_model(callbacks.model)
            return callbacks
        return [callback, *tree.flatten(callbacks or [])]

    def compiled_loss(self, y, y_pred, sample_weight=None) -> tf.Tensor:
        """The loss given to `compile` alone, as this replica's share of the mean."""
        return self._compile_loss(y, y_pred, sample_weight)

    def added_losses(self) -> tf.Tensor:
        """The sum of regularizers and of what layers added, as this replica's share."""
        dtype = backend.floatx()
        losses = [tf.cast(tf.reduce_sum(loss), dtype) for loss in self.losses]
        return scale_loss_for_distribution(tf.add_n([tf.zeros((), dtype), *losses]))

    def track_loss(self, loss: tf.Tensor, inputs) -> None:
        """Adds the loss of one batch to the mean that `fit` reports."""
        batch_size = tf.shape(next(x for x in tree.flatten(inputs) if x is not None))[0]
        self._loss_tracker.update_state(
            unscale_loss_for_distribution(loss), sample_weight=batch_size
        )


def _with_bar(callbacks):
    """The callbacks, the bar last, which shows what the others add to the logs."""
    if isinstance(callbacks, keras.callbacks.CallbackList) or any(
        isinstance(callback, keras.callbacks.ProgbarLogger) for callback in callbacks
    ):
        return callbacks
    return [*callbacks, _Bar()]


def _local_spec(spec):
    values = getattr(spec, "_value_specs", None)
    return values[0] if values else spec


def _symbolic(value):
    """A symbolic tensor for an array, tensor or spec; `None` for what is none of these."""
    if not hasattr(value, "dtype"):
        return None
    return keras.KerasTensor(
        value.shape,
        backend.standardize_dtype(value.dtype),
        sparse=isinstance(value, tf.SparseTensor | tf.SparseTensorSpec),
        ragged=isinstance(value, tf.RaggedTensor | tf.RaggedTensorSpec),
    )


def _once_read(data, strategy):
    """Without it, what does not depend on the data would run even where the data has ended."""
    local = [strategy.experimental_local_results(x) for x in tf.nest.flatten(data)]
    return tf.control_dependencies(_tensors(local))


def _tensors(structure):
    flat = tf.nest.flatten(structure, expand_composites=True)
    return [part for part in flat if tf.is_tensor(part)]
