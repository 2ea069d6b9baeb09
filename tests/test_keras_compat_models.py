"""Fails loudly on a Keras version where `_keras_compat` no longer fits layers, graphs and files."""

import pathlib
import re
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tickets import _keras_compat

TESTS = pathlib.Path(__file__).parent


def test_everything_has_a_check_here_or_in_the_other_file():
    source = "".join(path.read_text("utf-8") for path in TESTS.glob("test_keras_compat*.py"))
    names = [
        name
        for name, value in vars(_keras_compat).items()
        if name[0] != "_" and not isinstance(value, types.ModuleType)
    ]
    assert len(names) > 40
    assert [name for name in names if not re.search(rf"_keras_compat\.{name}\b", source)] == []


# --- Layers -------------------------------------------------------------------------------------


class Late(keras.layers.Layer):
    """No `build` of its own: the layer inside is built by the call."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = keras.layers.Dense(2)

    def call(self, left, *, right=None, mask=None, training=False):
        return self.inner(left if right is None else left + right)


def test_whether_a_layer_and_all_inside_it_are_built():
    late, dense = Late(), keras.layers.Dense(2)
    assert _keras_compat.overrides_build(dense) and not _keras_compat.overrides_build(late)
    late.build((None, 3))
    assert late.built and not _keras_compat.is_built(late)
    late = Late()
    _keras_compat.build_by_call(late, keras.Input((3,)))
    assert _keras_compat.is_built(late) and late.inner.kernel.shape == (3, 2)
    assert _keras_compat.all_layers(late) == [late, late.inner]
    assert all(_keras_compat.is_initialized(variable) for variable in late.variables)


def test_a_symbolic_call_makes_specs_alone():
    late = Late()
    late(keras.Input((3,)))
    spec = _keras_compat.symbolic_call(late, keras.Input((3,)), right=keras.Input((3,)))
    assert isinstance(spec, keras.KerasTensor) and spec.shape == (None, 2)


def test_the_last_symbolic_call_is_remembered_with_its_arguments_but_not_the_mode():
    late, first, second = Late(), keras.Input((3,)), keras.Input((3,))
    assert _keras_compat.last_symbolic_call(late) is None
    late(np.ones((1, 3)))
    assert _keras_compat.last_symbolic_call(late) is None
    late(first)
    late(first, right=second, training=True)
    args, kwargs = _keras_compat.last_symbolic_call(late)
    assert len(args) == 1 and args[0] is first
    assert set(kwargs) == {"right"} and kwargs["right"] is second


def test_an_adopted_call_takes_the_arguments_of_the_other_layer():
    class Around(keras.layers.Layer):
        def call(self, *args, **kwargs):
            self.seen = args, kwargs
            return args[0]

    late, around = Late(autocast=False), Around()
    late._allow_non_tensor_positional_args = True
    _keras_compat.adopt_call_of(around, late)
    names = list(_keras_compat.call_signature(late).parameters)
    assert names == ["left", "right", "mask", "training"]
    assert list(_keras_compat.call_signature(around).parameters) == names
    assert around.autocast is False
    around(tf.ones((1, 3)), right=tf.ones((1, 3)), training=True)
    assert set(around.seen[1]) == {"right", "training"}
    around("a string")
    assert around.seen[0] == ("a string",)


@pytest.mark.parametrize("kind", [{}, {"sparse": True}, {"ragged": True}, {"optional": True}])
def test_inputs_like_others(kind):
    like = keras.Input((None, 3), batch_size=4, dtype="int32", name="ids", **kind)
    found = _keras_compat.input_like(like)
    assert found is not like and found.shape == (None, None, 3)
    assert (found.dtype, found.name) == ("int32", "ids")
    assert (bool(found.sparse), bool(found.ragged)) == ("sparse" in kind, "ragged" in kind)
    assert found._keras_history.operation.optional == ("optional" in kind)
    assert _keras_compat.input_like(like, "float16", "b").dtype == "float16"


def test_own_attributes_are_not_those_that_keras_sets():
    class Holder(keras.layers.Dense):
        def __init__(self):
            super().__init__(2)
            self.shift, self.parts = 3.0, (1, 2)

    layer = Holder()
    before = set(_keras_compat.own_attributes(layer))
    assert {"shift", "parts", "units"} <= before
    layer(np.ones((1, 3)))
    assert not {name for name in set(_keras_compat.own_attributes(layer)) - before} - {
        "_kernel",
        "bias",
    }
    assert not _keras_compat.own_attributes(keras.layers.Layer())


def test_normalization_derives_its_values_again():
    layer = keras.layers.Normalization()
    layer.adapt(np.array([[1.0], [3.0]]))
    layer.adapt_mean.assign([10.0])
    _keras_compat.finalize_state(keras.Sequential([layer]))
    np.testing.assert_allclose(layer(np.array([[10.0]])), [[0.0]])


def test_layers_compute_in_another_dtype_for_a_while():
    layer = keras.layers.Dense(2, dtype="mixed_bfloat16")
    layer.build((None, 3))
    with _keras_compat.computing_in("float32", [layer]):
        assert layer(np.ones((1, 3))).dtype == "float32"
    assert layer.compute_dtype == "bfloat16" and layer.kernel.dtype == "float32"


# --- Graphs -------------------------------------------------------------------------------------


class Doubled(keras.Sequential):
    def call(self, inputs, training=None, mask=None):
        return 2 * super().call(inputs, training=training)


def small():
    inputs = keras.Input((3,), name="x")
    dense = keras.layers.Dense(3, name="first")
    x = keras.ops.relu(dense(inputs)) + inputs
    return keras.Model(inputs, keras.layers.Dense(2, name="second")(x))


def test_the_calls_of_a_graph_come_in_order():
    model = small()
    inputs, outputs, calls = _keras_compat.read_graph(model)
    assert inputs is model.input and outputs is model.output
    first, relu, add, second = [operation for operation, *_ in calls]
    assert (first.name, second.name) == ("first", "second")
    assert isinstance(relu, _keras_compat.ELEMENTWISE_OPERATIONS)
    assert isinstance(add, _keras_compat.MERGING_OPERATIONS[keras.layers.Add])
    assert calls[2][1][0] is calls[1][3][0] and calls[3][3][0] is model.output


@pytest.mark.parametrize("cls", _keras_compat.MERGING_OPERATIONS, ids=lambda cls: cls.__name__)
def test_merging_functions_are_the_operations_of_their_layers(cls):
    left, right = keras.Input((3,)), keras.Input((3,))
    function = getattr(keras.ops, cls.__name__.lower())
    operation = function(left, right)._keras_history.operation
    assert type(operation) is _keras_compat.MERGING_OPERATIONS[cls]


def test_elementwise_functions_are_the_operations_that_are_listed():
    for operation in _keras_compat.ELEMENTWISE_OPERATIONS:
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation.__name__).lower()
        made = getattr(keras.ops, name)(keras.Input((3,)))._keras_history.operation
        assert type(made) is operation


def test_rebuilding_converts_each_layer_once_and_keeps_a_compiled_model():
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, name="inside")])
    inputs = keras.Input((3,))
    model = keras.Model({"a": inputs}, [inner(inner(inputs))])
    model.compile("sgd", "mse")
    seen = []

    def convert(layer):
        seen.append(layer.name)
        return layer

    inputs, outputs = _keras_compat.rebuild(model, convert)
    assert seen == ["inside"] and model.compiled
    assert set(inputs) == {"a"} and len(outputs) == 1
    x = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(keras.Model(inputs, outputs)({"a": x})[0], model({"a": x})[0])


def test_settings_of_a_model_are_not_those_of_its_layers():
    source, target = small(), small()
    source.trainable, source.dtype_policy = False, "mixed_bfloat16"
    _keras_compat.copy_settings(source, target)
    assert (target.trainable, target.dtype_policy.name) == (False, "mixed_bfloat16")
    assert all(layer.trainable for layer in target.layers)


def test_whose_call_is_that_of_the_graph():
    assert _keras_compat.is_graph(small())
    assert _keras_compat.is_graph(keras.Sequential([keras.layers.Dense(2)]))
    assert not _keras_compat.is_graph(Doubled([keras.layers.Dense(2)]))
    assert not _keras_compat.is_graph(keras.layers.Dense(2))


def test_shapes_are_leaves():
    shapes = {"a": (None, 3), "b": [(2,), (None, 4, 5)]}
    ranks = _keras_compat.map_shapes(len, shapes)
    assert ranks == {"a": 2, "b": [1, 3]}


def test_a_functional_model_can_be_called_as_its_one_layer_is():
    class Ids(keras.Model):
        def call(self, ids, scale=None, training=False):
            assert "int" in str(ids.dtype)
            return keras.ops.cast(ids, "float32") * (1.0 if scale is None else scale)

    inner, inputs = Ids(), keras.Input((3,), dtype="int32")
    model = _keras_compat.DelegatingFunctional(inputs, inner(inputs))
    converted = []

    def convert(args, kwargs):
        converted.append(kwargs)
        return args, kwargs

    ids = np.array([[1, 2, 2**24 + 1]], "int64")
    assert _keras_compat.called_layer(model) is model
    model.delegate_to(inner, convert)
    assert _keras_compat.called_layer(model) is inner
    np.testing.assert_array_equal(model(ids, scale=3.0), ids.astype("float32") * 3.0)
    assert converted[-1]["scale"] == 3.0
    model.compile("sgd", "mse")
    np.testing.assert_array_equal(model.predict(ids, verbose=0), ids.astype("float32"))
    assert model.compute_output_spec(keras.Input((3,), dtype="int64")).shape == (None, 3)


def test_functions_are_inlined_while_a_scope_is_open_or_for_good():
    class Traced(keras.layers.Layer):
        @tf.function
        def call(self, x):
            return x

    layer = Traced()
    with _keras_compat.masked_scope([], layer):
        assert layer.call(3) == 3
    assert tf.is_tensor(layer.call(3))
    ((part, name, _),) = _keras_compat.inline_functions(layer)
    assert part is layer and name == "call" and layer.call(3) == 3


# --- Files, scopes and optimizers ---------------------------------------------------------------


def test_a_model_made_without_weights_holds_nothing_and_leaves_nothing_behind():
    serialized = keras.saving.serialize_keras_object(small())
    model = _keras_compat.made_without_weights(serialized, {})
    assert [tuple(variable.shape) for variable in model.variables] == [(3, 3), (3,), (3, 2), (2,)]
    assert not any(_keras_compat.is_initialized(variable) for variable in model.variables)
    with pytest.raises(Exception, match="Unknown"):
        _keras_compat.made_without_weights({**serialized, "class_name": "Unknown"}, {})
    # Variables that were left waiting would be initialized with the next scope.
    assert not _keras_compat.saving.global_state.get_global_attribute("uninitialized_variables")
    fresh = keras.layers.Dense(2)
    fresh.build((None, 3))
    assert all(map(_keras_compat.is_initialized, fresh.variables))


def test_code_is_taken_where_configurations_are_trusted():
    config = keras.layers.serialize(keras.layers.Lambda(lambda x: 2 * x))
    with pytest.raises(Exception, match="safe_mode"):
        keras.layers.deserialize(config)
    config = keras.layers.serialize(keras.layers.Lambda(lambda x: 2 * x))
    with _keras_compat.trusted():
        assert float(keras.layers.deserialize(config)(tf.ones(()))) == 2.0


def test_paths_of_variables_without_the_layer_that_is_being_built():
    class Around(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="around")
            self.inner = keras.layers.Dense(2, name="dense")

        def build(self, input_shape):
            with _keras_compat.outer_name_scope():
                self.inner.build(input_shape)
            self.own = self.add_weight(shape=(), name="own")

    layer = Around()
    layer.build((None, 3))
    assert [layer.inner.kernel.path, layer.own.path] == ["dense/kernel", "around/own"]
    with _keras_compat.outer_name_scope():
        pass  # outside of any scope there is nothing to leave


def test_a_functional_scope_catches_assignments():
    variable = keras.Variable([1.0, 2.0])
    with _keras_compat.functional_scope([variable]) as scope:
        variable.assign_add([1.0, 1.0])
        np.testing.assert_array_equal(variable.value, [2, 3])
    np.testing.assert_array_equal(variable.numpy(), [1, 2])
    assert [assigned is variable for assigned, _ in scope.assigned] == [True]


def test_batches_of_an_accumulating_optimizer_are_counted_and_set():
    optimizer = keras.optimizers.SGD(gradient_accumulation_steps=3)
    optimizer.build([keras.Variable(np.zeros(2))])
    _keras_compat.set_steps(optimizer, 7)
    assert int(_keras_compat.accumulated_batches(optimizer)) == 1
    assert int(optimizer.iterations) == 2
    assert _keras_compat.accumulated_batches(keras.optimizers.SGD()) == 0


def test_an_optimizer_without_slots_knows_its_variables():
    optimizer, variable = keras.optimizers.SGD(1.0, momentum=0.9), keras.Variable(np.zeros(2))
    count = len(optimizer.variables)
    _keras_compat.build_without_slots(optimizer, [variable])
    assert optimizer.built and len(optimizer.variables) == count
    assert optimizer._get_variable_index(variable) == 0


def test_variables_in_lists_of_an_optimizer_stay_out_of_its_own():
    class Holder(keras.optimizers.SGD):
        @_keras_compat.without_tracking
        def hold(self, items):
            self.items = items

    holder, items = Holder(), [keras.Variable([1.0])]
    count = len(holder.variables)
    holder.hold(items)
    assert len(holder.items) == 1 and len(holder.variables) == count
    holder.tracked = items
    assert len(holder.variables) == count + 1


def test_losses_are_scaled_by_the_number_of_replicas():
    loss = tf.constant(3.0)
    assert float(_keras_compat.scale_loss_for_distribution(loss)) == 3.0
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        assert float(_keras_compat.unscale_loss_for_distribution(loss)) == 3.0
