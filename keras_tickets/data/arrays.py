"""`Arrays`: a data set of arrays in memory."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_flag, check_integer, check_text
from keras_tickets.data.augmentation import check_augment
from keras_tickets.data.dataset import Dataset
from keras_tickets.data.source import Source

Examples = tuple[np.ndarray, np.ndarray]


class Arrays(Source):
    """Inputs and targets in memory, with order and hold-out as in `kt.data.Dataset`.

    Args:
        name: Name for messages and summaries.
        train: (inputs, targets): array of shape (n, *input_shape), and of shape (n,) or
            (n, *target_shape). Targets that are integers are classes from 0, booleans are yes or
            no (one, or several that may hold at once), floats are numbers to predict.
        test: (inputs, targets) likewise.
        outputs: Number of classes. None: the largest target of either split, plus one. It is for
            integers alone: floats and booleans have one output each.
        standardize: Whether inputs become float32 with mean 0 and deviation 1, per channel or
            feature, by the training inputs. None: yes, unless they are integers of 32 bits or more,
            which are taken for tokens.
        augment: As in `kt.data.Dataset`.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: Arrays do not fit each other, are empty, or hold NaN.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 4)).astype("float32")
    source = kt.data.Arrays("sums", (x, x.sum(1)), (x[:20], x[:20].sum(1)))
    inputs, targets = next(iter(source.load(batch_size=10).train()))
    assert inputs.shape == (10, 4) and targets.dtype == "float32" and source.outputs == 1
    ```

    In a module of yours, a function that returns one is a data set for `train.dataset`.
    """

    def __init__(
        self,
        name: str,
        train: Examples,
        test: Examples,
        *,
        outputs: int | None = None,
        standardize: bool | None = None,
        augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
    ):
        self.name = check_text("name", name)
        self._train, self._test = (_checked(split, given) for split, given in _splits(train, test))
        (inputs, targets), (test_inputs, test_targets) = self._train, self._test
        if inputs.shape[1:] != test_inputs.shape[1:] or targets.shape[1:] != test_targets.shape[1:]:
            raise ValueError(
                "`train` and `test` must have examples of the same shape. Received: "
                f"{inputs.shape[1:]} and {test_inputs.shape[1:]} with targets "
                f"{targets.shape[1:]} and {test_targets.shape[1:]}"
            )
        tokens = inputs.dtype.kind in "iu" and inputs.dtype.itemsize >= 4
        self._standardize = not tokens
        if standardize is not None:
            self._standardize = check_flag("standardize", standardize)
        check_augment(augment, inputs.shape[1:], inputs.dtype)
        self._augment = augment
        dtype = tf.float32 if self._standardize else inputs.dtype
        self.inputs = tf.TensorSpec(inputs.shape[1:], dtype)
        self.targets = tf.TensorSpec(targets.shape[1:], targets.dtype)
        self.outputs = _outputs(outputs, targets, test_targets)
        self.examples = len(targets)
        self.repeats = augment is None

    def load(
        self,
        *,
        batch_size: int,
        seed: int = 0,
        steps_per_epoch: int | None = None,
        validation: float = 0.0,
    ) -> Dataset:
        return Dataset(
            self.name,
            self._train,
            self._test,
            batch_size=batch_size,
            seed=seed,
            steps_per_epoch=steps_per_epoch,
            augment=self._augment,
            validation=validation,
            standardize=self._standardize,
        )


def _splits(train, test):
    for split, given in (("train", train), ("test", test)):
        if not isinstance(given, list | tuple) or len(given) != 2:
            raise TypeError(
                f"`{split}` must be (inputs, targets). Received: {type(given).__name__}"
            )
        yield split, given


def _checked(split: str, given) -> Examples:
    """Inputs and targets as arrays that Keras trains on."""
    inputs, targets = (np.asarray(array) for array in given)
    sizes = [array.shape[0] if array.ndim else 0 for array in (inputs, targets)]
    if 0 in sizes or sizes[0] != sizes[1]:
        raise ValueError(
            f"`{split}` must have as many targets as inputs, at least one. Received: arrays of "
            f"shapes {inputs.shape} and {targets.shape}"
        )
    for name, array in (("inputs", inputs), ("targets", targets)):
        if array.dtype.kind not in "biuf":
            raise TypeError(
                f"`{split}` must be of numbers. Received: {name} of dtype {array.dtype}"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"`{split}` must be finite. Received: {name} with NaN or infinity")
    if inputs.dtype.kind == "f":
        inputs = inputs.astype("float32")
    kinds = {"f": "float32", "i": "int32", "u": "int32", "b": "bool"}
    return inputs, targets.astype(kinds[targets.dtype.kind])


def _outputs(given: int | None, targets: np.ndarray, test_targets: np.ndarray) -> int:
    if targets.dtype.kind != "i":
        if given is not None:
            raise ValueError(
                f"`outputs` is for targets that are integers; these are {targets.dtype}. Received: "
                f"outputs={given!r}"
            )
        return int(np.prod(targets.shape[1:]))
    lowest = int(min(targets.min(), test_targets.min()))
    classes = int(max(targets.max(), test_targets.max())) + 1
    if lowest < 0:
        raise ValueError(f"targets that are classes must be 0 or more. Received: {lowest}")
    if given is not None:
        least = 1 if classes <= 2 else classes
        return check_integer("outputs", given, low=least)
    return classes
