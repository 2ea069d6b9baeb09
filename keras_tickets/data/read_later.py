"""`ReadLater`: a data set that is described at once and read into memory when it is loaded."""

import abc
from collections.abc import Callable

import tensorflow as tf

from keras_tickets.data.arrays import Arrays, Examples
from keras_tickets.data.dataset import Dataset
from keras_tickets.data.source import Source


class ReadLater(Source):
    """A `Source` whose arrays are read by `load`.

    Attributes:
        augment: As in `kt.data.Dataset`.
        standardize: As in `kt.data.Arrays`.
    """

    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None
    standardize: bool | None = None

    @abc.abstractmethod
    def read(self) -> tuple[Examples, Examples]:
        """Returns (inputs, targets) for training and for testing."""

    def load(
        self,
        *,
        batch_size: int,
        seed: int = 0,
        steps_per_epoch: int | None = None,
        validation: float = 0.0,
    ) -> Dataset:
        train, test = self.read()
        arrays = Arrays(
            self.name,
            train,
            test,
            outputs=self.outputs if self.targets.dtype.is_integer else None,
            standardize=self.standardize,
            augment=self.augment,
        )
        return arrays.load(
            batch_size=batch_size,
            seed=seed,
            steps_per_epoch=steps_per_epoch,
            validation=validation,
        )
