"""The batch size of training, which Keras does not tell its callbacks."""

import math

import keras


class BatchSize:
    """Finds out the batch size of an epoch from how many examples the mean loss is over.

    It takes two looks: after the first call of the training function, and at the end of the epoch,
    before validation, which confirms that all batches but the last had the same size.

    Args:
        steps: Batches in the epoch; `None` if not known.

    Attributes:
        first: Examples in each of the epoch's first batches; `None` if not known, as with a
            training step that does not track its loss, or if one call runs the whole epoch.
    """

    def __init__(self, steps: int | None = None):
        self._steps, self._batches, self._examples = steps, 0, 0.0
        self.first: int | None = None

    def after_call(self, model: keras.Model, batches: int) -> None:
        """Looks at the mean after a call of the training function.

        Args:
            model: The model that is trained.
            batches: Batches of this epoch so far.
        """
        if not self._batches and (batches == 1 or (self._steps and batches < self._steps)):
            size = _examples(model) / batches
            self.first = int(size) if size >= 1 and size.is_integer() else None
        self._batches = min(batches, self._steps or batches)

    def end_epoch(self, model: keras.Model) -> None:
        """Looks at the mean at the end of an epoch, or before its validation."""
        self._examples = self._examples or _examples(model)

    @property
    def of_all(self) -> int | None:
        """Examples in each batch of the epoch but its last; `None` if they differ, or not known."""
        same = self.first and math.ceil(self._examples / self.first) == self._batches
        return self.first if same else None


def _examples(model) -> float:
    """Number of examples that the mean loss is over."""
    for metric in model.metrics:
        if isinstance(metric, keras.metrics.Mean) and metric.name == "loss":
            return float(keras.ops.convert_to_numpy(metric.count))
    return 0.0
