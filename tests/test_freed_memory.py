"""What training has used is freed with the model: graphs, functions and gradients."""

import gc
import weakref

import keras
import pytest
from networks import LOSS, labeled, mlp
from tensorflow.python.eager import context

import keras_tickets as kt

X, Y = labeled(32)


@pytest.fixture(autouse=True)
def only_new_objects():
    """Collections look at what the test makes, not at all that earlier tests have left."""
    gc.freeze()
    yield
    gc.unfreeze()


class Watching(kt.optimizers.RigL):
    """RigL that knows which dense gradients are still there."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seen = []

    def observe(self, strategy, states, dense, step):
        super().observe(strategy, states, dense, step)
        self.seen.extend(weakref.ref(gradient) for gradient in dense)


def train(optimizer=kt.optimizers.RigL, **kwargs):
    model = kt.sparsify(mlp(), 0.7)
    optimizer = optimizer(keras.optimizers.SGD(0.1, momentum=0.9), update_every=2, end=4)
    model.compile(optimizer, LOSS, **kwargs)
    model.fit(X, Y, batch_size=8, verbose=0)
    return model


def functions():
    gc.collect()
    return len(context.context().list_function_names())


def test_a_model_that_is_gone_leaves_no_functions():
    counts = []
    for _ in range(3):
        train()
        counts.append(functions())
    assert counts[1] == counts[2]


def test_dense_gradients_of_steps_in_python_are_freed():
    model = train(Watching, run_eagerly=True)
    gc.collect()
    assert len(model.optimizer.seen) == 4 * len(model.masks)
    assert not any(reference() is not None for reference in model.optimizer.seen)
