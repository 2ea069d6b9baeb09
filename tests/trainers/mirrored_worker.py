"""`RewindTrainer` on two replicas; started by `test_rewind.py`."""

import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from rewound_networks import fit, trainer  # noqa: E402

with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    made = trainer(levels=1, control="reinit")
fit(made)
at_k, ticket = made.level_store.read_rewind_point(), made.ticket(1)
for path, value in ticket.weights.items():
    assert (value == np.where(ticket.masks.get(path, True), at_k[path], 0)).all(), path
assert made.results[1]["nonzeros"] == 115
assert made.model.sparsity == 1 - 115 / 144
