"""The processes that train together: who writes, and what all of them must agree on."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from keras_tickets._workers.digests import digest_words

Result = TypeVar("Result")
ADVICE = "Start all of them with the same configuration, seed and data."


def count_workers(strategy: tf.distribute.Strategy) -> int:
    """Number of processes that train together."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 1
    cluster = strategy.cluster_resolver.cluster_spec().as_dict()
    return sum(len(tasks) for tasks in cluster.values()) or 1


class Workers:
    """The worker processes of a strategy; of other strategies, this process alone.

    Every method that exchanges something must be called by all workers, in the same order.

    Args:
        strategy: The strategy that trains.

    Attributes:
        count: Number of processes.
        index: Number of this process, from 0.
        writes: Whether this process is the one that writes files, the chief.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self._strategy = strategy
        self.count, self.index = count_workers(strategy), 0
        if self.count > 1:
            resolver = strategy.cluster_resolver
            chiefs = resolver.cluster_spec().as_dict().get("chief", ())
            before = len(chiefs) if resolver.task_type == "worker" else 0
            self.index = int(resolver.task_id) + before
        self.writes = self.count == 1 or bool(strategy.extended.should_checkpoint)

    def gather(self, values: np.ndarray) -> np.ndarray:
        """The values of every worker, shape (workers, *values.shape).

        Args:
            values: Numbers that are exact in float32.
        """
        if self.count == 1:
            return values[None]
        found = _of_all_replicas(self._strategy, np.asarray(values, "float32"))
        return found[:: len(found) // self.count]

    def wait(self) -> None:
        """Returns once every worker is here."""
        self.gather(np.zeros(1))

    def as_chief(self, flag: bool) -> bool:
        """What the chief says."""
        return bool(self.gather(np.array([float(flag)]))[0, 0])

    def differing(self, values: Mapping[str, Any]) -> dict[str, list[int]]:
        """What is not the same on all workers, and on which it is not as on worker 0.

        Args:
            values: Variables, or values that JSON knows, by names that are the same everywhere.
        """
        if self.count == 1:
            return {}
        found = self.gather(np.stack([digest_words(value) for value in values.values()]))
        others = {
            name: np.flatnonzero((found[:, i] != found[0, i]).any(-1)).tolist()
            for i, name in enumerate(values)
        }
        return {name: workers for name, workers in others.items() if workers}

    def check_same(self, values: Mapping[str, Any], advice: str = ADVICE) -> None:
        """Checks that workers do not differ.

        Args:
            values: As in `differing`.
            advice: What the error ends with.

        Raises:
            ValueError: They do; the same error on all of them.
        """
        if found := self.differing(values):
            words = "; ".join(
                f"{name} (worker {', '.join(map(str, workers))})" for name, workers in found.items()
            )
            raise ValueError(
                "Workers must train the same network in the same way. What differs from worker 0: "
                f"{words}. {advice}"
            )

    def together(self, function: Callable[[], Result]) -> Result:
        """Runs a function on every worker; an error on one of them ends it on all.

        Raises:
            RuntimeError: It failed on another worker. Its own error is raised where it failed.
        """
        if self.count == 1:
            return function()
        result, failure = None, None
        try:
            result = function()
        except Exception as error:
            failure = error
        self._end_where_one_failed(failure)
        return result  # type: ignore[return-value]

    def chief_first(self, function: Callable[[], Result]) -> Result:
        """Runs a function on the chief, and once that is done on the others.

        Raises:
            RuntimeError: It failed on another worker. Its own error is raised where it failed.
        """
        result = self.chief_alone(function)
        return self.together(lambda: result if self.writes else function())  # type: ignore

    def chief_alone(self, function: Callable[[], Result]) -> Result | None:
        """Runs a function on the chief; the others wait until that is done, and get `None`.

        Raises:
            RuntimeError: It failed on the chief, where its own error is raised.
        """
        return self.together(lambda: function() if self.writes else None)

    def _end_where_one_failed(self, failure: Exception | None) -> None:
        failed = self.gather(np.array([float(failure is not None)]))[:, 0]
        if failure is not None:
            raise failure
        if failed.any():
            first = int(np.flatnonzero(failed)[0])
            raise RuntimeError(f"worker {first} has stopped; its own output says why")


def _of_all_replicas(strategy: tf.distribute.Strategy, values: np.ndarray) -> np.ndarray:
    """The values of every replica of every worker, shape (replicas, *values.shape)."""
    gather = _gathering(strategy, values.shape)
    return strategy.experimental_local_results(gather(tf.constant(values)))[0].numpy()


@functools.lru_cache
def _gathering(strategy, shape):
    """The graph that gathers values of a shape, traced once."""
    replicas = strategy.num_replicas_in_sync

    @tf.function
    def gather(values):
        def per_replica():
            context = tf.distribute.get_replica_context()
            row = tf.one_hot(context.replica_id_in_sync_group, replicas)
            own = tf.reshape(row, [replicas] + [1] * len(shape)) * values
            return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

        return strategy.run(per_replica)

    return gather
