"""The training loop, on every strategy."""

import keras
import tensorflow as tf
from keras.src import tree
from keras.src.losses.loss import scale_loss_for_distribution, unscale_loss_for_distribution


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


class DistributedTrainer:
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
        data_batch = tree.map_structure(lambda v: v if hasattr(v, "dtype") else None, data_batch)
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=data_batch)

    def _make_function(self, step_function):
        strategy = self.distribute_strategy
        compiled = self.jit_compile and strategy.num_replicas_in_sync == 1
        step = step_function
        if compiled:
            step = tf.function(step, jit_compile=True, autograph=False)

        def run_step(data):
            strategy.run(lambda batch: (step(batch), None)[1], args=(data,))

        def run_next(iterator):
            data = next(iterator)
            local = [strategy.experimental_local_results(x) for x in tf.nest.flatten(data)]
            # Without these, what does not depend on the data runs even where the data has ended.
            with tf.control_dependencies(tf.nest.flatten(local)):
                run_step(data)

        def run_steps(iterator, count):
            def body(done):
                run_next(iterator)
                return (done + 1,)

            tf.while_loop(lambda done: done < count, body, (0,), parallel_iterations=1)
            return self.get_metrics_result()

        def run_one(iterator):
            run_next(iterator)
            return self.get_metrics_result()

        def run_on_data(data):
            run_step(data)
            return self.get_metrics_result()

        if not self.run_eagerly:
            run_steps, run_one, run_on_data = (
                tf.function(function, reduce_retracing=True, autograph=False)
                for function in (run_steps, run_one, run_on_data)
            )
        run_on_data = self._autoconvert_optionals(run_on_data)

        def function(iterator):
            if not isinstance(iterator, (tf.data.Iterator, tf.distribute.DistributedIterator)):
                return run_on_data(next(iterator))
            if self.steps_per_execution == 1:
                return run_one(iterator)
            return run_steps(iterator, tf.constant(self._call_size))

        return function

    def fit(self, *args, callbacks=None, **kwargs):
        return super().fit(*args, callbacks=self.with_callback(_CallSize(), callbacks), **kwargs)

    def evaluate(self, *args, callbacks=None, **kwargs):
        validates, self._validates = self._validates, kwargs.get("_use_cached_eval_dataset", False)
        callbacks = self.with_callback(_CallSize(), callbacks)
        try:
            return super().evaluate(*args, callbacks=callbacks, **kwargs)
        finally:
            self._validates = validates

    @staticmethod
    def with_callback(callback, callbacks):
        """`callbacks`, in any form that `fit` takes, with one more in front, unless it is there."""
        if isinstance(callbacks, keras.callbacks.CallbackList):
            if not any(type(c) is type(callback) for c in callbacks.callbacks):
                callbacks.append(callback)
            return callbacks
        return [callback, *tree.flatten(callbacks or [])]

    def compiled_loss(self, y, y_pred, sample_weight=None) -> tf.Tensor:
        """The loss given to `compile` alone, as this replica's share of the mean."""
        return self._compile_loss(y, y_pred, sample_weight)

    def added_losses(self) -> tf.Tensor:
        """The sum of regularizers and of what layers added, as this replica's share."""
        losses = [tf.cast(tf.reduce_sum(loss), tf.float32) for loss in self.losses]
        return scale_loss_for_distribution(tf.add_n([tf.constant(0.0), *losses]))

    def track_loss(self, loss: tf.Tensor, inputs) -> None:
        """Adds the loss of one batch to the mean that `fit` reports."""
        batch_size = tf.shape(next(x for x in tree.flatten(inputs) if x is not None))[0]
        self._loss_tracker.update_state(
            unscale_loss_for_distribution(loss), sample_weight=batch_size
        )


def _local_spec(spec):
    values = getattr(spec, "_value_specs", None)
    return values[0] if values else spec
