"""The strategies that `train.strategy` names, each made once in a process."""

import functools
import os
from collections.abc import Callable

import tensorflow as tf

from keras_tickets._checks import check_integer, check_one_of
from keras_tickets.experiments import clusters


def check_settings(name: str, replicas: int | None) -> None:
    """Checks the settings of a strategy; makes none.

    Args:
        name: One of `STRATEGIES`.
        replicas: As in `make`.

    Raises:
        ValueError: The name is unknown, or `replicas` is out of range or means nothing.
    """
    check_one_of("strategy", name, tuple(STRATEGIES))
    if replicas is None:
        return
    check_integer("replicas", replicas, low=1)
    if name != "mirrored":
        raise ValueError(
            '`replicas` is for strategy="mirrored"; others use all devices of all workers. '
            f"Received: replicas={replicas}, strategy={name!r}"
        )


def make(name: str, replicas: int | None = None) -> tf.distribute.Strategy:
    """The strategy of a name; every call in this process returns the same one.

    "multi_worker" must be made before TensorFlow computes anything, and returns once all workers
    are there.

    Args:
        name: One of `STRATEGIES`.
        replicas: With "mirrored", how many GPUs are used, or without a GPU how many parts of the
            processor stand in for them. None: all GPUs.

    Raises:
        ValueError: The name is unknown, the strategy cannot be had here, or the processes around
            this one, told by `TF_CONFIG`, would train each for itself.
    """
    check_settings(name, replicas)
    if name != "multi_worker" and (count := clusters.count_in_tf_config()) > 1:
        raise ValueError(
            f"TF_CONFIG names {count} workers, and strategy={name!r} would train in each of them "
            'alone: set train.strategy="multi_worker", or unset TF_CONFIG'
        )
    return _made(name, replicas)


@functools.cache
def _made(name: str, replicas: int | None) -> tf.distribute.Strategy:
    return STRATEGIES[name](replicas)


def check_batch(batch_size: int, strategy: tf.distribute.Strategy, name: str) -> None:
    """Checks that the replicas of a strategy divide the batch, which is that of all of them.

    Raises:
        ValueError: They do not.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ValueError(
            f"`batch_size` must be a multiple of the number of replicas, {replicas}, which share "
            f"each batch. Received: batch_size={batch_size} with strategy={name!r}"
        )


def _mirrored(replicas: int | None) -> tf.distribute.Strategy:
    gpus = tf.config.list_physical_devices("GPU")
    if replicas is None:
        return tf.distribute.MirroredStrategy()
    if gpus:
        check_integer("replicas", replicas, 1, len(gpus))
        return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(replicas)])
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * replicas
    _at_start(lambda: tf.config.set_logical_device_configuration(cpu, logical), "mirrored")
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])


def _multi_worker(replicas: int | None) -> tf.distribute.Strategy:
    resolver = clusters.resolve()
    return _at_start(
        lambda: tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver), "multi_worker"
    )


def _tpu(replicas: int | None) -> tf.distribute.Strategy:
    name = os.environ.get("TPU_NAME") or "local"
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except Exception as error:  # whatever the client of the cloud and the runtime raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ValueError(
            'strategy="tpu" needs a TPU, and there is none '
            f"{'on this machine' if name == 'local' else f'called {name!r}'}: {reason}"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def _at_start(function: Callable, name: str):
    """Calls what TensorFlow allows only before it has computed anything."""
    try:
        return function()
    except RuntimeError as error:
        raise ValueError(
            f"strategy={name!r} must be set up before TensorFlow computes anything, and something "
            "has, such as a module of yours when it is imported: make tensors inside of functions. "
            f"TensorFlow says: {' '.join(str(error).split())}"
        ) from error


STRATEGIES: dict[str, Callable[[int | None], tf.distribute.Strategy]] = {
    "none": lambda replicas: tf.distribute.get_strategy(),
    "mirrored": _mirrored,
    "multi_worker": _multi_worker,
    "tpu": _tpu,
}
