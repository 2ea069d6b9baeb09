"""Fails loudly on a Keras version where what `_keras_compat` relies on no longer fits."""

import contextlib
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.tensorflow.trainer import TensorFlowTrainer, TFEpochIterator
from keras_versions import needs_multi_optimizer

import keras_tickets as kt
from keras_tickets import _keras_compat


def test_the_overridden_methods_of_the_trainer_are_still_called_by_fit_and_evaluate():
    names = ("_maybe_symbolic_build", "_make_function")
    for name in names:
        ours = inspect.signature(getattr(_keras_compat.DistributedTrainer, name))
        theirs = inspect.signature(getattr(TensorFlowTrainer, name))
        assert list(ours.parameters) == list(theirs.parameters), name
    source = inspect.getsource(TensorFlowTrainer)
    assert "self._maybe_symbolic_build(iterator=epoch_iterator)" in source
    assert "self._make_function(self.train_step)" in source
    assert "self._make_function(self.test_step)" in source
    assert "_distributed_dataset" in inspect.getsource(TFEpochIterator)
    assert "self._eval_epoch_iterator" in source


def test_fit_runs_through_the_overrides():
    calls = []

    class Counted(_keras_compat.DistributedTrainer, keras.Model):
        def _make_function(self, step_function):
            calls.append(step_function.__name__)
            return super()._make_function(step_function)

    model = Counted(*graph())
    model.compile("sgd", "mse", steps_per_execution=3)
    data = tf.data.Dataset.from_tensors((np.ones((4, 3)), np.ones((4, 2)))).repeat(7)
    model.fit(data, validation_data=data, verbose=0)
    assert calls == ["train_step", "test_step"]
    assert int(model.optimizer.iterations) == 7


def graph():
    inputs = keras.Input((3,))
    return inputs, keras.layers.Dense(2)(inputs)


def test_functional_subclasses_are_made_from_inputs_and_outputs():
    model = kt.SparseModel(*graph())
    assert isinstance(model, _keras_compat.Functional)
    assert "layers" in model.get_config()
    assert isinstance(kt.SparseModel.from_config(model.get_config()), kt.SparseModel)


def test_wrapped_layers_take_call_arguments_by_the_inner_names():
    class Two(keras.layers.Layer):
        def call(self, left, right=None, training=False):
            return left + right + (100.0 if training else 0.0)

    wrapper = kt.layers.Sparse(Two())
    x = tf.ones((1, 1))
    assert float(wrapper(x, right=2 * x)[0, 0]) == 3.0
    assert float(wrapper(left=x, right=x, training=True)[0, 0]) == 102.0


def test_scopes_keep_the_dtype_of_variables_under_autocast():
    layer = keras.layers.Dense(2, dtype="mixed_float16")
    layer.build((None, 3))
    with _keras_compat.backend.AutocastScope("float16"):
        assert layer.kernel.value.dtype == tf.float16
        value = _keras_compat.uncast(layer.kernel)
        assert value.dtype == tf.float32
        scope = _keras_compat.masked_scope([(layer.kernel, value + 1.0)])
        assert scope.get_current_value(layer.kernel).dtype == tf.float32
        with scope:
            layer.bias.assign(np.ones(2))
            assert layer.kernel.value.dtype == tf.float16
        assert [variable is layer.bias for variable, _ in scope.assigned] == [True]
    assert not layer.bias.numpy().any()


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@pytest.mark.parametrize("scope", [None, "float32"])
def test_scopes_keep_a_dtype_that_is_not_that_of_keras(dtype, scope):
    layer = keras.layers.Dense(2, dtype=dtype)
    layer.build((None, 3))
    with _keras_compat.backend.AutocastScope(scope) if scope else contextlib.nullcontext():
        value = _keras_compat.uncast(layer.kernel)
        within = _keras_compat.masked_scope([(layer.kernel, value)])
    assert value.dtype == within.get_current_value(layer.kernel).dtype == dtype


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_a_sparse_model_computes_in_the_precision_of_the_dense_one(dtype):
    first = keras.layers.Dense(6, "tanh", dtype=dtype)
    dense = keras.Sequential(
        [keras.Input((8,), dtype=dtype), first, keras.layers.Dense(3, dtype=dtype)]
    )
    model = kt.sparsify(dense, 0.0, mask="ones")
    assert len(model.masks) == 2
    x = np.random.default_rng(0).normal(size=(5, 8))
    np.testing.assert_array_equal(model(x), dense(x))


def test_state_of_an_enclosing_scope_is_seen():
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    assert _keras_compat.current_state(layer.variables) == []
    with keras.StatelessScope([(layer.bias, tf.ones(2))]):
        ((variable, value),) = _keras_compat.current_state(layer.variables)
    assert variable is layer.bias
    np.testing.assert_array_equal(value, [1, 1])


@pytest.mark.parametrize(
    "name, initial", [("SGD", 0.0), ("Adagrad", np.float32(0.1)), ("Adam", 0.0)]
)
def test_slots_are_recorded_with_their_initial_values(name, initial):
    arguments = {"momentum": 0.9} if name == "SGD" else {}
    optimizer = getattr(keras.optimizers, name)(**arguments)
    variable = keras.Variable(np.zeros((2, 2)))
    slots = _keras_compat.build_recording_slots(optimizer, [variable])
    assert slots
    for reference, slot, value in slots:
        assert reference is variable
        assert value == initial == slot.numpy()[0, 0]
    assert "add_variable_from_reference" not in vars(optimizer)


@needs_multi_optimizer
def test_the_slots_of_every_part_are_recorded():
    """Parts that are chosen while the optimizer builds, as a function of the variable, too."""
    variables = [keras.Variable(np.zeros((2, 2)), name=name) for name in "abc"]
    parts = {}

    def choose(variable):
        return parts.setdefault(variable.name, keras.optimizers.SGD(momentum=0.5))

    known = keras.optimizers.SGD(momentum=0.5)
    by_map = keras.optimizers.OptimizerMap(known, {"b": keras.optimizers.Adam()})
    for chooser, count in ((choose, 3), (by_map, 4)):
        optimizer = keras.optimizers.MultiOptimizer(chooser)
        slots = _keras_compat.build_recording_slots(optimizer, variables)
        assert len(slots) == count and len({id(reference) for reference, _, _ in slots}) == 3
        assert optimizer._optimizer_map is chooser
        for part in _keras_compat.optimizer_parts(optimizer):
            assert "add_variable_from_reference" not in vars(part)


def test_accumulated_batches_and_skipped_steps():
    optimizer = keras.optimizers.SGD(gradient_accumulation_steps=2)
    optimizer.build([keras.Variable(np.zeros(2))])
    ends = []
    for _ in range(4):
        ends.append(bool(_keras_compat.completes_step(optimizer)))
        _keras_compat.skip_step(optimizer)
    assert ends == [False, True, False, True]
    assert int(optimizer.iterations) == 2


@needs_multi_optimizer
def test_no_sum_over_replicas():
    chosen = keras.optimizers.SGD(0.5), keras.optimizers.SGD(0.25)
    optimizer = keras.optimizers.MultiOptimizer(lambda variable: chosen[variable.name == "b"])
    variables = [keras.Variable(np.zeros(2), name=name) for name in "ab"]
    optimizer.build(variables)
    sums = []
    for part in _keras_compat.optimizer_parts(optimizer):
        method = part._all_reduce_sum_gradients
        vars(part)["_all_reduce_sum_gradients"] = lambda pairs, m=method: sums.append(1) or m(pairs)
    optimizer.apply([tf.ones(2)] * 2, variables)
    assert sums
    for part in _keras_compat.optimizer_parts(optimizer):
        del vars(part)["_all_reduce_sum_gradients"]
    with _keras_compat.no_sum_over_replicas(optimizer):
        optimizer.apply([tf.ones(2)] * 2, variables)
    np.testing.assert_array_equal([v.numpy() for v in variables], [[-1, -1], [-0.5, -0.5]])
    assert all("_all_reduce_sum_gradients" not in vars(p) for p in (optimizer, *chosen))


def test_loss_scale_steps():
    inner = keras.optimizers.SGD(1.0)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=4.0)
    variable = keras.Variable(np.zeros(2))
    optimizer.build([variable])
    assert _keras_compat.optimizer_core(optimizer) is inner
    _keras_compat.loss_scale_step(optimizer, [tf.fill([2], 4.0)], [variable])
    np.testing.assert_array_equal(variable.numpy(), [-1, -1])
    _keras_compat.loss_scale_backoff(optimizer)
    assert float(optimizer.dynamic_scale) == 2.0


def test_name_after_layers():
    layers = [keras.layers.Dense(2, name=name) for name in ("fc", "fc_1")]
    model = keras.Sequential([keras.Input((3,)), *layers], name="net")

    def products(prepare):
        @tf.function
        def outputs(x):
            prepare(tf.compat.v1.get_default_graph())
            return model(x)

        operations = outputs.get_concrete_function(tf.zeros((1, 3))).graph.get_operations()
        return [each.name for each in operations if each.type == "MatMul"]

    named = ["net/fc/MatMul", "net/fc_1/MatMul"]
    assert products(_keras_compat.name_after_layers) == named != products(lambda graph: None)


def test_automatic_names():
    assert _keras_compat.automatic_name(keras.layers.Dense(2, name="dense_7")) == "dense"
    assert _keras_compat.automatic_name(keras.layers.Dense(2, name="head")) is None


def test_layers_in_lists_and_dicts_are_found():
    layer = keras.layers.Layer()
    layer.parts = [keras.layers.Dense(1, name="x"), {"k": keras.layers.Dense(1, name="y")}]
    assert [part.name for part in _keras_compat.sublayers(layer)] == ["x", "y"]


def test_the_layer_that_gives_the_output():
    inputs = keras.Input((3,))
    inner = keras.Sequential([inputs, keras.layers.Dense(2, name="last")])
    wrapped = kt.layers.Sparse(keras.layers.Dense(2, name="masked"))
    cases = {
        "last": keras.Model(inputs, inner(inputs)),
        "masked": kt.SparseModel(inputs, wrapped(inputs)),
    }
    for name, model in cases.items():
        assert _keras_compat.output_layer(model).name == name

    class Net(keras.Model):
        def call(self, inputs):
            return inputs

    assert _keras_compat.output_layer(Net()) is None


def test_losses_of_a_model_and_of_its_layers_apart():
    class Model(_keras_compat.DistributedTrainer, keras.Model):
        pass

    inputs = keras.Input((3,))
    regularizer = keras.regularizers.L2(0.5)
    layer = keras.layers.Dense(2, kernel_regularizer=regularizer, kernel_initializer="ones")
    model = Model(inputs, layer(inputs))
    model.compile("sgd", "mse")
    y, y_pred = tf.zeros((4, 2)), model(tf.ones((4, 3)))
    assert float(model.compiled_loss(y, y_pred)) == 9.0
    assert float(model.added_losses()) == 3.0
    assert float(model.compute_loss(y=y, y_pred=y_pred)) == 12.0


def test_input_signatures_follow_the_arguments():
    left, right = keras.Input((3,), name="left"), keras.Input((None,), dtype="int32", name="right")
    embedded = keras.layers.Flatten()(
        keras.layers.Embedding(4, 2)(keras.layers.Reshape((2,))(right))
    )
    outputs = keras.layers.Concatenate()([left, embedded])
    (specs,) = _keras_compat.input_signature(keras.Model({"a": left, "b": right}, outputs))
    assert (specs["a"].shape, specs["a"].dtype) == ((None, 3), tf.float32)
    assert (specs["b"].dtype, specs["b"].name) == (tf.int32, "right")


def test_a_reading_scope_reads_at_each_use():
    variable, other = keras.Variable([1.0, 2.0]), keras.Variable([3.0])
    reads = iter(tf.constant([[10.0, 20.0], [30.0, 40.0]]))
    with _keras_compat.reading_scope([(variable, lambda: next(reads))]) as scope:
        np.testing.assert_array_equal(variable.value, [10, 20])
        np.testing.assert_array_equal(keras.ops.convert_to_tensor(variable), [30, 40])
        np.testing.assert_array_equal(other.value, [3])
        other.assign([4.0])
    assert [v for v, _ in scope.assigned] == [other]
    np.testing.assert_array_equal(variable.numpy(), [1, 2])


def test_an_inner_optimizer_lists_all_its_variables_and_saves_none():
    optimizer = keras.optimizers.Nadam(0.1)
    keras.optimizers.LossScaleOptimizer(optimizer).build([keras.Variable([1.0])])
    product, before = optimizer._u_product, optimizer.variables
    assert all(variable is not product for variable in before)
    for _ in range(2):
        _keras_compat.finish_inner_build(optimizer)
        assert optimizer.variables[-1] is product and len(optimizer.variables) == len(before) + 1
    store = {}
    optimizer.save_own_variables(store)
    assert store == {}


def test_the_learning_rate_at_a_step():
    decay = keras.optimizers.schedules.PolynomialDecay(1.0, 4, 0.0)
    assert _keras_compat.learning_rate_at(keras.optimizers.SGD(decay), 1) == 0.75
    assert _keras_compat.learning_rate_at(keras.optimizers.SGD(0.5), 1) == 0.5


def test_argmax_is_tensorflows_own_only_inside_the_context():
    x = np.array([[0.5, -3.0, 2.0], [1.0, 7.0, 7.0]], "float32")

    def results():
        return [
            function(x, axis=axis, keepdims=keepdims).numpy()
            for function in (keras.ops.argmax, keras.ops.argmin)
            for axis in (None, 0, -1)
            for keepdims in (False, True)
        ]

    def operators():
        graph = tf.function(lambda: keras.ops.argmax(tf.constant(x))).get_concrete_function().graph
        return {operation.type for operation in graph.get_operations()}

    expected, usual = results(), operators()
    with _keras_compat.plain_argmax():
        for actual, wanted in zip(results(), expected, strict=True):
            np.testing.assert_array_equal(actual, wanted)
            assert actual.dtype == wanted.dtype
        assert "Bitcast" not in operators()
    assert "Bitcast" in usual and operators() == usual


def test_the_signature_of_a_scalar_input_has_no_axis():
    scale, x = keras.Input(batch_shape=(), name="scale"), keras.Input((4,), name="x")
    signature = _keras_compat.input_signature(keras.Model({"s": scale, "x": x}, x * scale))
    shapes = {name: spec.shape.as_list() for name, spec in signature[0].items()}
    assert shapes == {"s": [], "x": [None, 4]}


def test_a_layer_is_asked_before_a_saved_model_is_written_and_not_for_other_files(tmp_path):
    class Asked(_keras_compat.AskedBeforeSavedModel, keras.layers.Dense):
        def check_saved_model(self):
            raise ValueError("no SavedModel")

    model = keras.Sequential([keras.Input((2,)), Asked(3)])
    model.save_weights(tmp_path / "a.weights.h5")
    tf.train.Checkpoint(model).write(str(tmp_path / "checkpoint"))
    with pytest.raises(ValueError, match="no SavedModel"):
        model.export(tmp_path / "saved_model", verbose=False)
    assert not (tmp_path / "saved_model").exists()


def test_the_graph_of_a_function_that_is_called():
    double, spec = tf.function(lambda x: x + x, autograph=False), tf.TensorSpec((2,))
    graph = tf.function(lambda x: double(x), autograph=False).get_concrete_function(spec).graph
    (call,) = (each for each in graph.get_operations() if each.type.endswith("PartitionedCall"))
    inner = _keras_compat.called_graph(graph, call.get_attr("f").name)
    assert [each.type for each in inner.get_operations()][:2] == ["Placeholder", "AddV2"]
