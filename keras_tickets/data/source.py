"""`Source`: a data set before it is loaded; `Batches`: after."""

import abc
from typing import Protocol

import tensorflow as tf


class Batches(Protocol):
    """The batches of a data set that is loaded or opened.

    Attributes:
        batch_size: Examples per training step, over all replicas.
        steps_per_epoch: Training batches per epoch.
        held_out: Number of training examples that are held out for validation.

    Example:

    ```python
    import keras_tickets as kt

    batches: kt.data.Batches = kt.data.load("digits")
    assert (batches.steps_per_epoch, batches.held_out) == (11, 0)
    ```
    """

    batch_size: int
    steps_per_epoch: int
    held_out: int

    def train(self, start_epoch: int = 0) -> tf.data.Dataset:
        """Returns the training batches (inputs, targets) from an epoch on, without end.

        Args:
            start_epoch: First epoch; epoch k holds the same batches wherever training starts.
        """
        ...

    def validation(self) -> tf.data.Dataset:
        """Returns the held-out examples once, in batches, in their own order."""
        ...

    def test(self) -> tf.data.Dataset:
        """Returns the test set once, in batches, in its own order."""
        ...


class Source(abc.ABC):
    """A data set that says what it holds before it is loaded.

    The training binary makes the network from the description and loads the data only if there is
    something to train. `kt.data.Arrays` is the one for arrays; for batches that code of yours
    draws, write the smaller interface `kt.data.BatchSource` instead.

    Attributes:
        name: Name for messages and summaries.
        inputs: Shape and dtype of the inputs of one example.
        targets: Shape and dtype of the targets of one example. Integers are classes, one for each
            position that the shape has (and 0 or 1 where `outputs` is 1); booleans are yes or no;
            floats are numbers to predict.
        outputs: Number of outputs of a network for this data: classes, or numbers to predict.
        examples: Number of training examples, before any are held out; `None` if unknown.
        repeats: Whether every epoch has the same inputs, all in memory, so that something can be
            computed once for each.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    x, y = np.zeros((20, 8), "float32"), np.arange(20) % 3
    source: kt.data.Source = kt.data.Arrays("toy", (x, y), (x, y))
    assert (source.inputs.shape, source.outputs, source.examples) == ((8,), 3, 20)
    assert source.load(batch_size=5).steps_per_epoch == 4
    ```
    """

    name: str
    inputs: tf.TensorSpec
    targets: tf.TensorSpec
    outputs: int
    examples: int | None
    repeats: bool = False

    @abc.abstractmethod
    def load(
        self,
        *,
        batch_size: int,
        seed: int = 0,
        steps_per_epoch: int | None = None,
        validation: float = 0.0,
    ) -> Batches:
        """Loads or opens the data.

        Args:
            batch_size: Examples per training step, over all replicas.
            seed: Non-negative seed of hold-out, order and augmentation.
            steps_per_epoch: Training batches per epoch, at most as many as there are. None: all.
            validation: Share of the training examples, in [0, 1), that is held out.

        Returns:
            A `kt.data.Batches`.

        Raises:
            ValueError: An argument is out of range, or the data is missing or damaged.
        """
