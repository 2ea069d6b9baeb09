"""RigL, started from a static solution, goes on to descend where static training stays."""

import functools

import keras
import pytest
from networks import LOSS

import keras_tickets as kt

EPOCHS = 10


def network(digits):
    dense = kt.models.lenet_300_100(digits.input_shape, width=0.3, seed=0)
    return kt.sparsify(dense, 0.97, seed=0)


def train(model, method, digits):
    """Trains in full, and returns the loss afterwards."""
    steps = EPOCHS * digits.steps_per_epoch
    sgd = keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, steps), momentum=0.9)
    model.compile(method(sgd), LOSS)
    epoch = {"steps_per_epoch": digits.steps_per_epoch, "verbose": 0}
    model.fit(digits.train(), epochs=EPOCHS, **epoch)
    return model.evaluate(digits.train(), steps=digits.steps_per_epoch, verbose=0)


@pytest.mark.slow
def test_rigl_leaves_a_static_solution():
    digits = kt.data.load("digits", batch_size=64)
    static = network(digits)
    reached = train(static, kt.optimizers.Static, digits)
    solution = kt.Ticket.of(static)

    def go_on(method):
        model = network(digits)
        solution.apply(model)
        return train(model, method, digits)

    stays = go_on(kt.optimizers.Static)
    assert stays > 0.7 * reached
    assert go_on(functools.partial(kt.optimizers.RigL, update_every=20)) < 0.5 * stays
