"""Everything that training changes in a model, by name."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_tickets import _keras_compat
from keras_tickets._kernels.copies import fresh_layer
from keras_tickets._kernels.graphs import graph_of
from keras_tickets._kernels.paths import weight_paths
from keras_tickets.bases.basis import Basis
from keras_tickets.masks import get_masks, masked_kernels
from keras_tickets.model import basis_of, strip


class TrainingState:
    """The variables of a compiled model and its optimizer, except masks and metrics.

    Args:
        model: Compiled model, its optimizer built.

    Attributes:
        weights: `{weight path: variable}`.
        trained: Paths of the weights that the optimizer trains.
        noise: Names of the states of random generators.
        counters: Names of the optimizer's scalars that belong to no weight, such as its step
            counter.
        slots: Names of its other variables.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        self.weights = weight_paths(network_of(model))
        self.trained = {path for path, weight in self.weights.items() if weight.trainable}
        supports = [record.support for record in masked_kernels(model)]
        others = {id(v) for v in [*model.weights, *supports, *model.metrics_variables]}
        noise = [variable for variable in model.variables if id(variable) not in others]
        self._noise = {f"noise/{i}": variable for i, variable in enumerate(noise)}
        self._optimizer = {f"optimizer/{i}": v for i, v in enumerate(model.optimizer.variables)}
        self.noise = set(self._noise)
        slots = {id(slot) for slot in model.optimizer.slots}
        self.counters = {
            name for name, v in self._optimizer.items() if not len(v.shape) and id(v) not in slots
        }
        self.slots = set(self._optimizer) - self.counters

    @property
    def _variables(self):
        return {**self.weights, **self._noise, **self._optimizer}

    def read(self) -> dict[str, np.ndarray]:
        """Returns `{name: value}`: the weights by path, and the other variables."""
        return {name: np.asarray(variable) for name, variable in self._variables.items()}

    def write(self, values: Mapping[str, np.ndarray]) -> None:
        """Sets the variables named in `values`; other names in it are ignored."""
        with self.model.distribute_strategy.scope():
            for name, variable in self._variables.items():
                if name in values:
                    variable.assign(values[name])

    def set_steps(self, steps: int) -> None:
        """Sets the optimizer's step counter."""
        _keras_compat.set_steps(self.model.optimizer.core_optimizer, steps)


@dataclasses.dataclass(frozen=True)
class StartingPoint:
    """The starting point of a training run, kept before it changes.

    Attributes:
        masks: `{kernel path: boolean array}`.
        state: What `TrainingState.read` gives.
        optimizer: Configuration of the Keras optimizer inside the sparse one.
        basis: The basis that masks and kernels are in; `None` for single weights.
    """

    masks: Mapping[str, np.ndarray]
    state: Mapping[str, np.ndarray]
    optimizer: Mapping[str, Any]
    basis: Basis | None

    @classmethod
    def of(cls, model: keras.Model) -> "StartingPoint":
        """The starting point of a compiled model whose optimizer is built."""
        optimizer = keras.saving.serialize_keras_object(model.optimizer.inner_optimizer)
        basis = basis_of(network_of(model))
        return cls(get_masks(model), TrainingState(model).read(), optimizer, basis)

    def digest(self) -> str:
        """SHA-256 of masks and state, as hexadecimal digits."""
        total = hashlib.sha256()
        for arrays in (self.masks, self.state):
            for name, array in arrays.items():
                total.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return total.hexdigest()


def network_of(model: keras.Model) -> keras.Model:
    """The network that a model trains: the model, or the student of a `DistillationTrainer`."""
    return getattr(model, "student", model)


def fresh_weights(sparse_model: keras.Model, seed: int) -> dict[str, np.ndarray]:
    """Weights drawn anew from the initializers in the layers' configurations.

    Args:
        sparse_model: A `kt.SparseModel`.
        seed: Non-negative integer; the same seed draws the same weights.

    Returns:
        `{weight path: array}`, without masks applied, kernels as single weights.

    Raises:
        ValueError: A layer cannot be created from its configuration.
    """
    plain = strip(sparse_model)
    inputs, outputs = graph_of(plain, lambda layer: fresh_layer(layer, seed))
    fresh = keras.Model(inputs, outputs, name=plain.name)
    return {path: np.asarray(weight) for path, weight in weight_paths(fresh).items()}
