"""Sensitivity: what pruning one kernel at a time, without training, does to a model."""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import structures
from keras_tickets._checks import check_integer, check_model, check_sparsity
from keras_tickets._forward.loss import loss_of
from keras_tickets._forward.passes import masked_values
from keras_tickets._kernels.find import Filters, find_kernels
from keras_tickets._tables import render_table
from keras_tickets.analysis.batches import Data, batches
from keras_tickets.analysis.evaluation import Evaluation
from keras_tickets.analysis.sensitivity.suggestion import Suggestion, suggest
from keras_tickets.masks import get_masks

SPARSITIES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)


@dataclasses.dataclass(frozen=True)
class SensitivityRow:
    """A model in which one kernel is pruned.

    Attributes:
        path: Kernel path.
        target: Share of zeros that was asked for; 0 for the kernel as it is.
        sparsity: Share of zeros in the kernel, which is made of whole weights or units.
        size: Number of weights of the kernel.
        loss: Mean loss.
        accuracy: Share of correct answers.

    Example:

    ```python
    import keras_tickets as kt

    row = kt.analysis.SensitivityRow("fc1/kernel", 0.9, 0.9, size=1000, loss=0.3, accuracy=0.92)
    assert row.zeros == 900
    ```
    """

    path: str
    target: float
    sparsity: float
    size: int
    loss: float
    accuracy: float

    @property
    def zeros(self) -> int:
        """Number of zeros in the kernel."""
        return round(self.sparsity * self.size)


@dataclasses.dataclass(frozen=True, eq=False)
class Sensitivity:
    """What pruning each kernel alone does to a model. Prints as a table of accuracies.

    Attributes:
        rows: For each kernel, the model as it is and then with the kernel pruned, by increasing
            sparsity.
        loss: Mean loss of the model as it is.
        accuracy: Accuracy of the model as it is.
        all_or_none: Whether a kernel is pruned to a sparsity that was scanned or not at all, as a
            structure of a sparsity of its own asks.

    Example:

    ```python
    import keras_tickets as kt

    rows = [kt.analysis.SensitivityRow("fc", s, s, 100, loss=s, accuracy=1 - s) for s in (0.0, 0.5)]
    found = kt.analysis.Sensitivity(rows, loss=0.0, accuracy=1.0)
    assert found.suggest(0.25).sparsities == {"^fc$": 0.25}
    ```
    """

    rows: list[SensitivityRow]
    loss: float
    accuracy: float
    all_or_none: bool = False

    @property
    def by_path(self) -> dict[str, list[SensitivityRow]]:
        """`{kernel path: rows}`, in layer order."""
        found: dict[str, list[SensitivityRow]] = {}
        for row in self.rows:
            found.setdefault(row.path, []).append(row)
        return found

    def suggest(self, sparsity: float) -> Suggestion:
        """A sparsity for each kernel that costs little loss, if the costs of kernels add up.

        Args:
            sparsity: Share of zeros in [0, 1) over all scanned kernels; at least that, where
                kernels are pruned all or none.

        Returns:
            A map for `kt.sparsify` and `kt.plan`, with the expected accuracy and loss.

        Raises:
            ValueError: No kernel was scanned at a sparsity that high.
        """
        curves = {
            path: (
                np.array(
                    [row.target * row.size if self.all_or_none else row.zeros for row in rows]
                ),
                np.array([(row.loss - self.loss, row.accuracy - self.accuracy) for row in rows]),
            )
            for path, rows in self.by_path.items()
        }
        sizes = {row.path: row.size for row in self.rows}
        check_sparsity(sparsity)
        return suggest(curves, sizes, sparsity, self.loss, self.accuracy, self.all_or_none)

    def __str__(self) -> str:
        columns = sorted({row.target for row in self.rows if row.target})
        cells = []
        for path, rows in self.by_path.items():
            found = {row.target: f"{row.accuracy:.4f}" for row in rows}
            cells.append((path, *(found.get(column, "") for column in columns)))
        table = render_table(("kernel", *(f"{column:g}" for column in columns)), cells)
        return f"{table}\naccuracy as it is: {self.accuracy:.4f}, loss {self.loss:.4f}"


def sensitivity(
    model: keras.Model,
    data: Data,
    *,
    sparsities: Sequence[float] | None = None,
    loss: Callable | str | None = None,
    filters: Filters = None,
    structure: structures.Structure | None = None,
    batch_size: int = 256,
) -> Sensitivity:
    """Prunes one kernel at a time by magnitude, without training, and evaluates the model.

    Args:
        model: Built and trained classifier with one output of shape (batch, classes). It is left
            unchanged. If it is sparse, its masked kernels are pruned further.
        data: `(x, y)` as arrays, or an iterable of batches `(x, y)` that yields the same ones each
            time. Take data on which choices may be made: not the test set.
        sparsities: Shares of zeros in (0, 1), at which each kernel is pruned; by default that of
            the structure, if it has one, otherwise 0.5, 0.7, 0.8, 0.9, 0.95 and 0.98.
        loss: Keras loss, or its name; by default the one that the model was compiled with.
        filters: Which kernels to scan, as in `kt.sparsify`.
        structure: Which sets of weights stay or go together, as in `kt.sparsify`.
        batch_size: Size of the batches of arrays.

    Returns:
        Loss and accuracy for each kernel and sparsity. Its `suggest` gives a map of sparsities.

    Raises:
        TypeError: `model` is not a Keras 3 model; the data has an unsupported type.
        ValueError: An argument is out of range; no loss is known; there are no kernels.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_tickets as kt

    x, y = np.random.default_rng(0).normal(size=(64, 8)), np.arange(64) % 3
    model = kt.models.lenet_300_100((8,), classes=3, width=0.1)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    found = kt.analysis.sensitivity(model, (x, y), sparsities=[0.5, 0.9])
    suggested = found.suggest(0.6)
    sparse = kt.sparsify(model, suggested.sparsities, mask="magnitude")
    assert abs(sparse.sparsity - 0.6) < 0.01
    ```

    References:
        - [Li et al., 2017, "Pruning filters for efficient ConvNets", section
          3.2](https://arxiv.org/abs/1608.08710)
    """
    check_model(model)
    check_integer("batch_size", batch_size, low=1)
    structure, masks = structures.get(structure), get_masks(model)
    own = SPARSITIES if structure.sparsity is None else (structure.sparsity,)
    sparsities = own if sparsities is None else sparsities
    shares = sorted({check_sparsity(value, "sparsities") for value in sparsities} - {0.0})
    if not shares:
        raise ValueError(f"`sparsities` must have a value in (0, 1). Received: {sparsities!r}")
    kernels = [k for k in find_kernels(model, filters)[0] if not masks or k.path in masks]
    if not kernels:
        raise ValueError(f"Model {model.name!r} has no kernels to scan.")
    values = masked_values(model, kernels)
    evaluate = Evaluation(model, [k.variable for k in kernels], loss_of(model, loss))

    def row(place, target, value):
        changed = [*values[:place], value, *values[place + 1 :]]
        error, mean = evaluate(changed, batches(data, batch_size))
        return _row(kernels[place], target, value, mean, 1.0 - error)

    start = row(0, 0.0, values[0])
    rows = []
    for place, kernel in enumerate(kernels):
        value = values[place].numpy()
        rows.append(_row(kernel, 0.0, value, start.loss, start.accuracy))
        for target in shares:
            share, layout = structures.fit(structure, kernel, target)
            kept = layout.draw(np.abs(value), share)
            pruned = np.where(kept, value, np.zeros_like(value))
            if np.count_nonzero(pruned) < np.count_nonzero(value):
                rows.append(row(place, target, tf.constant(pruned)))
    return Sensitivity(rows, start.loss, start.accuracy, structure.sparsity is not None)


def _row(kernel, target, value, loss, accuracy) -> SensitivityRow:
    zeros = kernel.size - int(np.count_nonzero(value))
    return SensitivityRow(kernel.path, target, zeros / kernel.size, kernel.size, loss, accuracy)
