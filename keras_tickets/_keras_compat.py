"""The only place that touches Keras internals; everything else uses public names.

`tests/test_keras_compat.py` fails loudly on a Keras version where one of them no longer fits.
"""

import contextlib

import keras
import tensorflow as tf
from keras.src import backend, tree
from keras.src.export.export_utils import get_input_signature, make_tf_tensor_spec
from keras.src.losses.loss import scale_loss_for_distribution, unscale_loss_for_distribution
from keras.src.models.functional import Functional as Functional
from keras.src.ops import nn as nn_operations
from keras.src.ops import numpy as numpy_operations
from keras.src.utils import tracking
from keras.src.utils.naming import to_snake_case

if backend.backend() != "tensorflow":
    raise ImportError(
        "keras_tickets needs the TensorFlow backend of Keras: set KERAS_BACKEND=tensorflow before "
        f"keras is imported. Received: KERAS_BACKEND={backend.backend()}"
    )


# --- Operations ---------------------------------------------------------------------------------

# What `a + b` and functions such as `keras.ops.relu` become in the graph of a functional model.
MERGING_OPERATIONS = {
    keras.layers.Add: numpy_operations.Add,
    keras.layers.Subtract: numpy_operations.Subtract,
    keras.layers.Multiply: numpy_operations.Multiply,
    keras.layers.Maximum: numpy_operations.Maximum,
    keras.layers.Minimum: numpy_operations.Minimum,
}
ELEMENTWISE_OPERATIONS = (
    *(
        getattr(nn_operations, name)
        for name in "Relu Relu6 Sigmoid Silu Gelu Elu LeakyRelu".split()
    ),
    numpy_operations.Tanh,
)


# --- Layers -------------------------------------------------------------------------------------


def sublayers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The direct sublayers of a layer or model, in order, those in lists and dicts included."""
    return list(layer._flatten_layers(include_self=False, recursive=False))


def automatic_name(layer: keras.layers.Layer) -> str | None:
    """The layer's name without its number where Keras chose the name, otherwise `None`."""
    base, _, number = layer.name.rpartition("_")
    name = base if number.isdigit() else layer.name
    class_name = to_snake_case(type(layer).__name__)
    return name if name in {class_name, f"forward_{class_name}", f"backward_{class_name}"} else None


def all_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """A layer or model and all that is inside it."""
    return list(layer._flatten_layers(include_self=True, recursive=True))


def rebuild(model: keras.Model, convert):
    """The graph of a functional or Sequential model, with all its layers `convert`ed.

    Args:
        model: Built model; nested ones are rebuilt too.
        convert: Called once with each layer or operation; returns what stands in its place.

    Returns:
        The symbolic inputs and outputs, in the model's structure.
    """
    compiled, model.compiled = model.compiled, False
    try:
        rebuilt = keras.models.clone_model(model, clone_function=convert, recursive=True)
    finally:
        model.compiled = compiled
    if isinstance(rebuilt, keras.Sequential):
        return rebuilt.inputs[0], rebuilt.outputs[0]
    return rebuilt.input, rebuilt.output


def read_graph(model: keras.Model):
    """The graph of a functional or Sequential model, nested ones as single calls.

    Args:
        model: Built model.

    Returns:
        The symbolic inputs and outputs, in the model's structure, and `(operation, args, kwargs,
        output tensors)` of each call, in an order in which they can be made.
    """
    graph = model._functional if isinstance(model, keras.Sequential) else model
    calls = [
        (node.operation, node.arguments.args, node.arguments.kwargs, node.outputs)
        for depth in sorted(graph._nodes_by_depth, reverse=True)
        for node in graph._nodes_by_depth[depth]
        if not node.is_input
    ]
    return graph.input, graph.output, calls


def map_shapes(function, shapes):
    """Applies `function` to each shape in a nested structure of shapes."""
    return tree.map_shape_structure(function, shapes)


def adopt_call_of(wrapper: keras.layers.Layer, layer: keras.layers.Layer) -> None:
    """Makes `wrapper` take the same call arguments, in the same way, as `layer`."""
    wrapper._call_signature = layer._call_signature
    wrapper.call_signature_parameters = layer.call_signature_parameters
    wrapper._call_has_training_arg = layer._call_has_training_arg
    wrapper._call_has_mask_arg = layer._call_has_mask_arg
    wrapper._call_has_context_arg = layer._call_has_context_arg
    wrapper._convert_input_args = layer._convert_input_args
    wrapper._allow_non_tensor_positional_args = layer._allow_non_tensor_positional_args
    wrapper.autocast = layer.autocast


def overrides_call(model: keras.Model) -> bool:
    """Whether a functional or Sequential model computes anything but its graph."""
    return type(model).call not in (Functional.call, keras.Sequential.call)


def output_layer(model: keras.layers.Layer):
    """The layer or operation that gives a model's first output; `None` where no graph says."""
    while isinstance(model, keras.Model):
        graph = model._functional if isinstance(model, keras.Sequential) else model
        if not isinstance(graph, Functional) or overrides_call(model):
            return None
        operation = graph.outputs[0]._keras_history.operation
        model = getattr(operation, "layer", operation)
    return model


def build_by_call(layer: keras.layers.Layer, *args, **kwargs) -> None:
    """Builds `layer` by calling it on symbolic stand-ins for the given arguments."""
    backend.compute_output_spec(layer, *args, **kwargs)


def symbolic_call(layer: keras.layers.Layer, *args, **kwargs):
    """The output specs of `layer.call`, found without computing anything."""
    return backend.compute_output_spec(layer.call, *args, **kwargs)


def current_state(variables) -> list[tuple[keras.Variable, tf.Tensor]]:
    """The values of `variables` that an enclosing `keras.StatelessScope` has set."""
    if not backend.in_stateless_scope():
        return []
    scope = backend.get_stateless_scope()
    values = [(v, scope.get_current_value(v)) for v in variables]
    return [(v, value) for v, value in values if value is not None]


def finalize_state(layer: keras.layers.Layer) -> None:
    """Makes layers that derive values from their variables, as `Normalization`, do so again."""
    for part in all_layers(layer):
        if hasattr(part, "finalize_state") and part.built:
            part.finalize_state()


def is_initialized(variable: keras.Variable) -> bool:
    """Whether the variable holds a value; not so while a model is only traced."""
    return variable._value is not None


def uncast(variable: keras.Variable) -> tf.Tensor:
    """The variable's value in its own dtype, whatever the autocast scope."""
    with backend.AutocastScope(None):
        return tf.convert_to_tensor(variable.value)


def functional_scope(variables) -> keras.StatelessScope:
    """A scope that catches assignments instead of making them; for code that XLA compiles alone."""
    return masked_scope([(v, uncast(v)) for v in variables])


def masked_scope(mapping) -> keras.StatelessScope:
    """A `StatelessScope` over `mapping` whose values keep the dtype of their variables.

    Its `assigned` are the `(variable, value)` pairs that were assigned inside it.
    """
    with backend.AutocastScope(None):
        return _CarryingScope(state_mapping=mapping, collect_losses=True)


class _CarryingScope(keras.StatelessScope):
    def __enter__(self):
        self._updated = {}
        return super().__enter__()

    def add_update(self, update):
        super().add_update(update)
        self._updated[id(update[0])] = update

    @property
    def assigned(self):
        return list(self._updated.values())


def reading_scope(readers) -> keras.StatelessScope:
    """As `masked_scope`, but for `(variable, function)` pairs: each use calls the function anew."""
    with backend.AutocastScope(None):
        scope = _ReadingScope(collect_losses=True)
    scope.readers = {id(variable): read for variable, read in readers}
    return scope


class _ReadingScope(_CarryingScope):
    def get_current_value(self, variable):
        value = super().get_current_value(variable)
        if value is None and id(variable) in self.readers:
            value = self.readers[id(variable)]()
        return value


# --- Optimizers ---------------------------------------------------------------------------------


def optimizer_core(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer inside a `LossScaleOptimizer`, or the optimizer itself."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer.inner_optimizer
    return optimizer


def without_tracking(method):
    """Decorates a method so that lists it sets on an optimizer stay plain lists."""
    return tracking.no_automatic_dependency_tracking(method)


@contextlib.contextmanager
def record_slots():
    """Records `(reference variable, slot, initial value)` for every slot made inside the context.

    Slots are found so, never by name: names of slots collide.
    """
    base = keras.optimizers.Optimizer
    original = base.add_variable_from_reference
    slots = []

    def recording(self, reference_variable, name=None, initializer="zeros"):
        slot = original(self, reference_variable, name=name, initializer=initializer)
        with tf.init_scope():
            initial = float(keras.initializers.get(initializer)(shape=(), dtype="float32"))
        slots.append((reference_variable, slot, initial))
        return slot

    base.add_variable_from_reference = recording
    try:
        yield slots
    finally:
        base.add_variable_from_reference = original


def closes_window(optimizer: keras.optimizers.Optimizer) -> tf.Tensor | bool:
    """Whether the next `apply` of the core optimizer ends a gradient-accumulation window."""
    steps = optimizer.gradient_accumulation_steps
    if not steps:
        return True
    return tf.equal((tf.convert_to_tensor(optimizer._iterations) + 1) % steps, 0)


def batches_in_window(optimizer: keras.optimizers.Optimizer) -> tf.Tensor | int:
    """Batches of the present gradient-accumulation window that the core optimizer has seen."""
    steps = optimizer.gradient_accumulation_steps
    return tf.convert_to_tensor(optimizer._iterations) % steps if steps else 0


def set_steps(optimizer: keras.optimizers.Optimizer, steps: int) -> None:
    """Sets the core optimizer's counter, of batches where gradients are accumulated."""
    optimizer._iterations.assign(steps)


def skip_step(optimizer: keras.optimizers.Optimizer) -> None:
    """Advances the core optimizer's counter as a step would, without stepping."""
    if optimizer.gradient_accumulation_steps:
        optimizer._backend_reset_gradient_accumulators()
    optimizer._iterations.assign_add(1)


def loss_scale_step(optimizer: keras.optimizers.LossScaleOptimizer, gradients, variables) -> None:
    """A step of a `LossScaleOptimizer` on gradients that are known to be finite."""
    optimizer._stateful_handle_finite_grads(gradients, variables)


def loss_scale_backoff(optimizer: keras.optimizers.LossScaleOptimizer) -> None:
    """What a `LossScaleOptimizer` does where gradients are not finite."""
    optimizer._stateful_handle_non_finite_grads()


# --- Training -----------------------------------------------------------------------------------


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


# --- Export -------------------------------------------------------------------------------------


def input_signature(model: keras.Model) -> list:
    """The `tf.TensorSpec`s of a built model's positional arguments, each in its structure."""
    return tree.map_structure(make_tf_tensor_spec, get_input_signature(model))
