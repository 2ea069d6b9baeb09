"""What workers agree on, with threads in place of processes."""

import threading

import numpy as np
import pytest
import tensorflow as tf

from keras_tickets._workers.workers import Workers


class Threads(Workers):
    """Workers that are threads of this process."""

    def __init__(self, index, barrier, values):
        super().__init__(tf.distribute.get_strategy())
        self.count, self.index, self.writes = len(values), index, index == 0
        self._barrier, self._values = barrier, values

    def gather(self, values):
        self._values[self.index] = values
        self._barrier.wait(10)
        found = np.stack(self._values)
        self._barrier.wait(10)
        return found


def run(function, count=3):
    """What `function(workers)` returns or raises on each worker."""
    barrier, values, found = threading.Barrier(count), [None] * count, [None] * count

    def work(index):
        try:
            found[index] = function(Threads(index, barrier, values))
        except Exception as error:
            found[index] = error

    threads = [threading.Thread(target=work, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return found


def test_what_differs_is_named_with_the_workers():
    def compare(workers):
        weights = {"kernel": np.full(4, workers.index == 2, "float32")}
        workers.check_same({"seed": workers.index % 2, "epochs": 3, "weights": weights}, "Mend it.")

    errors = run(compare)
    (message,) = {str(error) for error in errors}
    assert "worker 0: seed (worker 1); weights (worker 2). Mend it." in message


def test_the_chief_decides_and_goes_first():
    order = []
    assert run(lambda workers: workers.as_chief(workers.index == 0)) == [True, True, True]
    assert run(lambda workers: workers.as_chief(workers.index > 0)) == [False, False, False]
    found = run(lambda workers: workers.chief_first(lambda: order.append(workers.index) or 7))
    assert found == [7, 7, 7] and order[0] == 0 and sorted(order) == [0, 1, 2]
    assert run(lambda workers: workers.chief_alone(lambda: workers.index)) == [0, None, None]


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_on_one_ends_all(failing):
    def work(workers):
        if workers.index == failing:
            raise OSError("the disk is full")

    errors = run(lambda workers: workers.together(lambda: work(workers)))
    assert isinstance(errors[failing], OSError)
    for index in {0, 1, 2} - {failing}:
        assert str(errors[index]) == f"worker {failing} has stopped; its own output says why"


def test_one_process_asks_nobody():
    alone = Workers(tf.distribute.get_strategy())
    assert (alone.count, alone.index, alone.writes) == (1, 0, True)
    alone.check_same({"seed": 1})
    assert alone.chief_first(lambda: 3) == 3
