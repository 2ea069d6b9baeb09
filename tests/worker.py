"""What processes that train under a strategy share: strategy, data, and what they compare.

A worker is started by `run_workers`, with its specification in JSON as its one argument.
"""

import json
import os
import sys

import numpy as np
import tensorflow as tf

SPEC = json.loads(sys.argv[1])
if "worker" in SPEC:
    cluster = {"worker": [f"127.0.0.1:{port}" for port in SPEC["ports"]]}
    task = {"type": "worker", "index": SPEC["worker"]}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})


def make_strategy(mode):
    if mode == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
        return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    if mode == "workers":
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def data(poison_from=None):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1600, 24)).astype("float32")
    y = np.argmax(x @ rng.normal(size=(24, 4)), axis=1).astype("int32")
    if poison_from is not None:
        # One example of one batch overflows float16: it lands on one replica only.
        x[poison_from * 64] = 1e30
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(64, drop_remainder=True)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options)


def count_traces(model):
    traces, forward = [], model.forward

    def counted(x):
        traces.append(1)
        return forward(x)

    model.forward = counted
    return traces


def flat(masks):
    """All masks as one vector."""
    return np.concatenate([mask.ravel() for mask in masks.values()])
