"""The base of the structures, and the layout that one gives a kernel."""

import abc
import math

import numpy as np
import tensorflow as tf

from keras_tickets._kernels.axes import is_depthwise
from keras_tickets._kernels.find import Kernel
from keras_tickets._selection import exact
from keras_tickets._selection.counts import nonzeros


class Structure(abc.ABC):
    """Which sets of weights a mask may leave.

    A structure divides a kernel into *units*, which stay or go as a whole, and these into *groups*,
    in each of which the same number of units stay. The result for one kernel is a `Layout`. A
    subclass keeps each constructor argument as an attribute of the same name, so that it can be
    saved.

    Attributes:
        sparsity: The share of zeros that the structure itself determines; `None` for most.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    class PerInput(kt.structures.Structure):
        def layout(self, kernel):
            return PerInputLayout(*kernel.shape)

    class PerInputLayout(kt.structures.Layout):
        def __init__(self, inputs, outputs):
            super().__init__(groups=inputs, units=outputs, unit_size=1)

        def pool(self, values):
            return values

        def spread(self, units):
            return units

    dense = keras.Sequential([keras.Input((16,)), keras.layers.Dense(8, name="fc")])
    model = kt.sparsify(dense, 0.75, structure=PerInput())
    assert (model.masks["fc/kernel"].sum(axis=1) == 2).all()
    ```
    """

    sparsity: float | None = None

    def at_output(self) -> "Structure":
        """The structure for kernels that compute a model's outputs. By default, the same one."""
        return self

    @abc.abstractmethod
    def layout(self, kernel: Kernel) -> "Layout":
        """The units and groups of a kernel.

        Args:
            kernel: The kernel.

        Raises:
            ValueError: The structure cannot divide the kernel.
        """

    def get_config(self) -> dict:
        """The constructor arguments."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict) -> "Structure":
        """Creates a structure from its constructor arguments."""
        return cls(**config)

    def __repr__(self):
        arguments = ", ".join(f"{key}={value!r}" for key, value in vars(self).items())
        return f"{type(self).__name__}({arguments})"


class Layout(abc.ABC):
    """The units and groups of one kernel.

    It turns scores into masks: in graph when masks change during training (`choose`, `update`), and
    eagerly when they are first drawn (`draw`). The highest scores are chosen exactly. Ties go to
    the lowest group, then to the lowest unit.

    Args:
        groups: Number of groups.
        units: Number of units in each group.
        unit_size: Number of weights in each unit.

    Example:

    ```python
    import tensorflow as tf
    import keras_tickets as kt

    class Rows(kt.structures.Layout):
        def pool(self, values):
            return values

        def spread(self, units):
            return units

    layout = Rows(groups=2, units=3, unit_size=1)
    mask = layout.choose(tf.constant([[3.0, 1.0, 2.0], [0.0, 1.0, 2.0]]), left=2)
    assert mask.numpy().tolist() == [[True, False, True], [False, True, True]]
    ```
    """

    def __init__(self, groups: int, units: int, unit_size: int):
        self.groups = groups
        self.units = units
        self.unit_size = unit_size

    @property
    def has_groups(self) -> bool:
        """Whether a mask takes as many single weights from each group, be it the only one."""
        return self.groups > 1 and self.unit_size == 1

    @abc.abstractmethod
    def pool(self, values: tf.Tensor) -> tf.Tensor:
        """One value for each unit: the mean of its scores, or whether any of its mask is `True`.

        Args:
            values: float32 or boolean tensor of the kernel's shape.

        Returns:
            Tensor of shape (groups, units) and the same dtype.
        """

    @abc.abstractmethod
    def spread(self, units: tf.Tensor) -> tf.Tensor:
        """The mask of chosen units.

        Args:
            units: Boolean tensor of shape (groups, units).

        Returns:
            Boolean tensor of the kernel's shape.
        """

    def left(self, sparsity: float) -> int:
        """Number of units that a sparsity leaves in each group. The zeros are rounded down."""
        return nonzeros(self.units, sparsity)

    def count(self, sparsity: float) -> int:
        """Number of the kernel's weights that a sparsity leaves."""
        return self.groups * self.left(sparsity) * self.unit_size

    def draw(self, scores: np.ndarray, sparsity: float) -> np.ndarray:
        """The mask of the highest scores, computed eagerly.

        Args:
            scores: Array of the kernel's shape.
            sparsity: Share of zeros in [0, 1).

        Returns:
            Boolean array of the same shape.
        """
        with tf.init_scope():
            return self.choose(tf.constant(scores), self.left(sparsity)).numpy()

    def choose(
        self,
        scores: tf.Tensor,
        left: int | tf.Tensor,
        *,
        among: tf.Tensor | None = None,
        method: str = "histogram",
    ) -> tf.Tensor:
        """The mask of the `left` units with the highest scores in each group, in graph.

        Args:
            scores: Float tensor of the kernel's shape.
            left: Number of units to choose in each group, an integer or an int32 scalar.
            among: Boolean tensor of the kernel's shape: where weights may be chosen. `None` for
                everywhere.
            method: "histogram", or "bit_search" for code that XLA compiles. Both choose the same.

        Returns:
            Boolean tensor of the kernel's shape.
        """
        among = None if among is None else self.pool(among)
        scores = self.pool(tf.cast(scores, tf.float32))
        return self.spread(self._best(scores, left, among, method))

    def update(
        self,
        mask: tf.Tensor,
        drop_scores: tf.Tensor,
        grow_scores: tf.Tensor,
        fraction: tf.Tensor,
        *,
        grown: tf.Tensor | None = None,
        target: int,
        method: str = "histogram",
    ) -> tf.Tensor:
        """The mask after one drop-and-grow update, in graph.

        Of n active units, the `int(n * fraction)` (computed in float32) with the lowest drop scores
        are dropped. Then each group grows as many units as it has lost: those with the highest grow
        scores among all that are inactive now, including those just dropped.

        Args:
            mask: Boolean tensor of the kernel's shape.
            drop_scores: float32 tensor of the kernel's shape.
            grow_scores: float32 tensor of the kernel's shape.
            fraction: float32 scalar in [0, 1].
            grown: int32 scalar, the number of units to grow instead, if there is only one group.
            target: Number of weights that the kernel is to have.
            method: As in `choose`.

        Returns:
            Boolean tensor of the kernel's shape.
        """
        active = self.pool(mask)
        count = tf.math.count_nonzero(active, dtype=tf.int32)
        dropped = tf.cast(tf.cast(count, tf.float32) * fraction, tf.int32)
        kept = exact.choose(self.pool(drop_scores), count - dropped, among=active, method=method)
        if self.groups > 1:
            missing = _count_rows(active) - _count_rows(kept)
        else:
            missing = dropped if grown is None else grown
        new = self._best(self.pool(grow_scores), missing, ~kept, method)
        return self.spread(kept | new)

    def _best(self, scores, left, among, method):
        if self.groups > 1:
            return exact.choose_rows(scores, left, among=among)
        return exact.choose(scores, left, among=among, method=method)


class Matrix:
    """A kernel as a matrix with a row for each output: its spatial positions and inputs.

    If an einsum stacks independent kernels, each has its own outputs. A depthwise kernel has an
    output for each channel and multiplier, and its only inputs are the spatial positions.

    Args:
        kernel: The kernel.

    Attributes:
        inputs: Number of inputs.
        outputs: Number of rows.
        fan_in: Number of columns.
    """

    def __init__(self, kernel: Kernel):
        inputs, outputs = list(kernel.input_axes), list(kernel.output_axes)
        others = [axis for axis in range(len(kernel.shape)) if axis not in inputs + outputs]
        if is_depthwise(kernel.layer, kernel.variable):
            inputs, outputs = [], inputs + outputs
        if not kernel.spatial:
            others, outputs = [], others + outputs
        self.order = outputs + others + inputs
        self.back = list(np.argsort(self.order))
        self.shape = kernel.shape
        self.moved = tuple(kernel.shape[axis] for axis in self.order)
        self.inputs = math.prod(kernel.shape[axis] for axis in inputs)
        self.outputs = math.prod(kernel.shape[axis] for axis in outputs)
        self.fan_in = kernel.size // self.outputs

    def of(self, values: tf.Tensor) -> tf.Tensor:
        """A tensor of the kernel's shape as (outputs, spatial positions times inputs)."""
        return tf.reshape(tf.transpose(values, self.order), (self.outputs, self.fan_in))

    def to_kernel(self, matrix: tf.Tensor) -> tf.Tensor:
        """The reverse of `of`. The tensor may have any shape with the same order of elements."""
        return tf.transpose(tf.reshape(matrix, self.moved), self.back)


def mean(values: tf.Tensor, axis) -> tf.Tensor:
    """The mean of scores, or whether any entry of a mask is `True`.

    The mean is taken in float64, so that the order in which a device adds does not change the
    float32 result.
    """
    if values.dtype == tf.bool:
        return tf.reduce_any(values, axis)
    return tf.cast(tf.reduce_mean(tf.cast(values, tf.float64), axis), values.dtype)


def _count_rows(mask):
    return tf.math.count_nonzero(mask, axis=1, dtype=tf.int32)
