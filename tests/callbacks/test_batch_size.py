"""Another batch size is noticed by `Checkpoint` where the number of steps stays the same."""

import keras
import numpy as np
import pytest
from checkpointed_runs import assert_same, network, train
from networks import LOSS, mlp

from keras_tickets.callbacks import Checkpoint


def test_another_batch_size_with_as_many_steps_is_noticed(tmp_path):
    whole, _ = train(tmp_path / "whole", 2)
    train(tmp_path / "parts", 1)
    for steps_per_execution in (1, 3):
        model = network()
        model.steps_per_execution = steps_per_execution
        with pytest.raises(ValueError, match="batch_size is 201, was 200"):
            train(tmp_path / "parts", 2, model, batch_size=201)
    resumed, _ = train(tmp_path / "parts", 2)
    assert_same(whole, resumed)


class Sizes(keras.utils.PyDataset):
    """Batches of these sizes."""

    def __init__(self, sizes):
        super().__init__()
        self.sizes = sizes

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, batch):
        size = self.sizes[batch]
        return np.ones((size, 8, 8, 1), "float32"), np.zeros(size)


@pytest.mark.parametrize(
    "before, after, words",
    [
        ([8, 8, 3], [9, 9, 1], "batch_size is 9, was 8"),
        ([8], [9], "batch_size is 9, was 8"),
        ([8, 8, 3], [8, 8, 7], None),
        ([4, 8, 16], [16, 4, 8], None),  # sorted by length, for example
    ],
)
def test_a_batch_size_is_one_that_all_batches_have(before, after, words, tmp_path):
    def fit(sizes, start):
        x, y = np.ones((5, 8, 8, 1)), np.zeros(5)
        model = mlp((8, 8, 1), (), 2)
        model.compile("sgd", LOSS)
        model.fit(
            Sizes(sizes),
            initial_epoch=start,
            epochs=start + 1,
            shuffle=False,
            validation_data=(x, y),
            callbacks=[Checkpoint(tmp_path)],
            verbose=0,
        )

    fit(before, 0)
    if words is None:
        fit(after, 1)
    else:
        with pytest.raises(ValueError, match=words):
            fit(after, 1)
