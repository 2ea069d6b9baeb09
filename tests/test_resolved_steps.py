import keras
import pytest
import tensorflow as tf

from keras_tickets._resolved_steps import ResolvedSteps
from keras_tickets.step import Step


class Owner(keras.layers.Layer):
    def steps(self, check=lambda *steps: None, **values):
        return ResolvedSteps(
            {name: Step(value) for name, value in values.items()}, self.add_weight, "steps", check
        )


def test_absolute_steps_are_known_at_once():
    steps = Owner().steps(begin=3, end="500it")
    assert steps.known == (3, 500)
    assert steps.set_length(10) is None and steps.known == (3, 500)


def test_relative_steps_are_known_from_the_first_length_on():
    steps = Owner().steps(begin="2ep", end="50%")
    assert steps.known is None
    with pytest.raises(ValueError, match="`steps_per_epoch` is not known"):
        steps.in_graph()
    assert steps.set_length(100, 10) is None and steps.known == (20, 50)
    assert steps.set_length(200, 10) == steps.known == (20, 50)
    assert steps.set_length(100, 10) is None


@pytest.mark.parametrize("values", [{"end": 7}, {"begin": 0, "end": 7}])
def test_in_graph_they_are_scalars_that_follow_the_variable(values):
    owner = Owner()
    steps = owner.steps(**values)
    read = tf.function(steps.in_graph)
    assert [int(step) for step in read()] == list(values.values())
    assert all(step.shape == () and step.dtype == tf.int64 for step in read())
    (variable,) = owner.weights
    variable.assign(variable + 1)  # As loading a file does.
    assert [int(step) for step in read()] == [value + 1 for value in values.values()]
    assert steps.known == tuple(value + 1 for value in values.values())


def test_steps_that_are_refused_are_not_kept():
    def check(begin, end):
        if begin > end:
            raise ValueError("backwards")

    with pytest.raises(ValueError, match="backwards"):
        Owner().steps(check, begin=2, end=1)
    steps = Owner().steps(check, begin=2, end="10%")
    with pytest.raises(ValueError, match="backwards"):
        steps.set_length(10)
    assert steps.known is None
