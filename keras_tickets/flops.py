"""Floating-point operations of dense and sparse models."""

import dataclasses
import math

import keras

from keras_tickets._checks import check_model
from keras_tickets._kernels.axes import is_depthwise, is_transposed, output_channels
from keras_tickets._kernels.find import Kernel, multiplied_kernels
from keras_tickets._kernels.tracing import InputShape, LayerCall, recurrent_layers, trace
from keras_tickets._tables import render_table, shape_text
from keras_tickets.masks import masked_kernels

__all__ = ["Flops", "FlopsRow", "flops"]


@dataclasses.dataclass(frozen=True)
class Cost:
    """How often a kernel is used for one sample.

    Attributes:
        positions: How often each weight is multiplied, in all calls of its layer together.
        outputs: Number of output elements that the kernel contributes to.
        bias: Whether the layer then adds a bias.
        activation: Whether the layer then applies an activation function.
    """

    positions: int
    outputs: int
    bias: bool
    activation: bool

    def count(self, weights: float) -> float:
        """Operations if this many of the kernel's weights are not zero.

        A sum of v products takes v multiplications and v - 1 additions. For each output, a bias
        takes one more addition, and an activation one operation.

        Args:
            weights: Number of weights that are not zero.
        """
        multiplications = weights * self.positions
        additions = max(multiplications - self.outputs, 0)
        return multiplications + additions + self.outputs * (self.bias + self.activation)

    def mean(self, phases: list[tuple[int, float]]) -> float:
        """Mean operations over training.

        Args:
            phases: `(steps, weights)` pairs: for how many steps how many weights are not zero.
        """
        total = math.fsum(steps * self.count(weights) for steps, weights in phases)
        return total / sum(steps for steps, _ in phases)


@dataclasses.dataclass(frozen=True)
class FlopsRow:
    """The operations of one kernel: a row of `kt.Flops`.

    Attributes:
        path: Kernel path.
        shape: Shape of the kernel.
        sparsity: Share of zeros in the kernel's mask; 0 if it has none.
        inference: Operations of a forward pass for one sample.
        dense_inference: The same for a kernel without zeros.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="head")])
    row = kt.flops(model).rows[0]
    assert row.path == "head/kernel" and row.shape == (8, 4) and row.sparsity == 0
    ```
    """

    path: str
    shape: tuple[int, ...]
    sparsity: float
    inference: float
    dense_inference: float


@dataclasses.dataclass(frozen=True)
class Flops:
    """Floating-point operations for one sample.

    Attributes:
        rows: One `FlopsRow` for each kernel, in layer order.
        inference: Operations of a forward pass.
        training: Operations of a training step, averaged over steps.
        inference_ratio: `inference` over that of the same model without zeros.
        training_ratio: `training` over that of dense training without zeros.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, use_bias=False)])
    counted = kt.flops(kt.sparsify(model, 0.5))
    assert counted.rows[0].inference == 28 and counted.rows[0].dense_inference == 60
    print(counted)
    ```
    """

    rows: list[FlopsRow]
    inference: float
    training: float
    inference_ratio: float
    training_ratio: float

    def __str__(self) -> str:
        table = render_table(
            ("kernel", "shape", "sparsity", "FLOPs", "dense FLOPs"),
            [
                (
                    row.path,
                    shape_text(row.shape),
                    f"{row.sparsity:.4f}",
                    f"{row.inference:,.0f}",
                    f"{row.dense_inference:,.0f}",
                )
                for row in self.rows
            ],
            droppable=("dense FLOPs",),
        )
        return (
            f"{table}\n"
            f"inference: {self.inference:,.0f} per sample, {self.inference_ratio:.4f} of dense\n"
            f"training:  {self.training:,.0f} per sample, {self.training_ratio:.4f} of dense"
        )


def flops(
    model: keras.Model,
    *,
    update_every: int | None = None,
    input_shape: InputShape = None,
) -> Flops:
    """Counts the floating-point operations of a model. Masked weights do not count.

    For each kernel and each call of its layer, multiplications and additions are counted, and the
    layer's bias and activation with its first kernel. Operations without a kernel are not counted:
    normalization, pooling, attention scores, embedding look-ups, and layers that only apply an
    activation. A recurrent layer counts once for each time step.

    A backward pass takes twice the operations of a forward pass. Methods that grow by dense
    gradients need one every `update_every` steps, at the cost of a dense weight gradient. Training
    is counted with the present masks. If the model is compiled with a pruning method, it is counted
    with the mean number of weights over the ramp, which starts from all of them: over the whole
    training if `fit` or `set_total_steps` has told its length, otherwise over the steps taken.

    Args:
        model: Built Keras model, sparse or not.
        update_every: Optimizer steps between dense gradients in training; 0 if every step needs
            one. By default, that of the optimizer that the model is compiled with; without one, no
            step needs a dense gradient.
        input_shape: Shape of the input without the batch axis, or a structure of such shapes, for
            models that leave some sizes of their input open.

    Returns:
        The counts, in total and for each kernel.

    Raises:
        TypeError: `model` is not a Keras 3 model.
        ValueError: The model is not built; sizes of its input are not known and `input_shape` is
            missing; `update_every` is negative.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    assert kt.flops(model).inference == 64
    ```

    References:
        Evci et al., Rigging the Lottery (arXiv 1911.11134), appendix H.
    """
    check_model(model)
    kernels = multiplied_kernels(model)
    costs = kernel_costs(model, kernels, input_shape)
    known = {path: cost for path, cost in costs.items() if cost is not None}
    if unknown := [path for path in costs if path not in known]:
        raise ValueError(
            f"The output size of {unknown[0]!r} is not known. Pass `input_shape`, without "
            f"the batch axis. Received: input_shape={input_shape}"
        )
    optimizer = getattr(model, "optimizer", None)
    records = {id(record.kernel): record for record in masked_kernels(model)}
    rows, in_training = [], []
    for kernel in kernels:
        cost, record = known[kernel.path], records.get(id(kernel.variable))
        kept = record.count() if record else kernel.size
        row = FlopsRow(
            path=kernel.path,
            shape=kernel.shape,
            sparsity=1 - kept / kernel.size,
            inference=cost.count(kept),
            dense_inference=cost.count(kernel.size),
        )
        rows.append(row)
        course = getattr(optimizer, "weights_in_training", None)
        phases = course(record) if record and course else [(1, kept)]
        in_training.append(cost.mean(phases))
    inference = math.fsum(row.inference for row in rows)
    dense = math.fsum(row.dense_inference for row in rows)
    if update_every is None:
        update_every = getattr(optimizer, "dense_gradient_every", None)
    training = training_flops(math.fsum(in_training), dense, update_every)
    return Flops(rows, inference, training, _ratio(inference, dense), _ratio(training, 3 * dense))


def training_flops(inference: float, dense_inference: float, update_every: int | None) -> float:
    """Operations of a training step for one sample, averaged over steps.

    Args:
        inference: Operations of a sparse forward pass, averaged over steps.
        dense_inference: Operations of a dense one.
        update_every: Steps between dense gradients; 0 if every step needs one, `None` for methods
            that need none.

    Returns:
        The operations of three forward passes, and of dense gradients where they are needed.

    Raises:
        ValueError: `update_every` is negative.

    References:
        Evci et al., Rigging the Lottery (arXiv 1911.11134), appendix H.
    """
    if update_every is None:
        return 3 * inference
    if update_every < 0:
        raise ValueError(
            f"`update_every` must be at least 0. Received: update_every={update_every}"
        )
    growing = 2 * inference + dense_inference
    return (3 * inference * update_every + growing) / (update_every + 1)


def kernel_costs(
    model: keras.Model, kernels: list[Kernel], input_shape: InputShape = None
) -> dict[str, Cost | None]:
    """Finds how often kernels are used, by tracing the model once for inference.

    Args:
        model: Built Keras model.
        kernels: Its kernels.
        input_shape: As in `flops`.

    Returns:
        `{kernel path: cost}`; the cost is `None` if a size is not known.
    """
    loops = recurrent_layers(model)
    callers = {kernel.path: loops.get(id(kernel.layer), kernel.layer) for kernel in kernels}
    calls, _, _ = trace(model, callers.values(), input_shape)
    costs: dict[str, Cost | None] = {}
    first = set()
    for kernel in kernels:
        found = [_use(kernel, call) for call in calls if call.layer is callers[kernel.path]]
        uses = [use for use in found if use is not None]
        if len(uses) < len(found):
            costs[kernel.path] = None
            continue
        is_first = id(kernel.layer) not in first
        first.add(id(kernel.layer))
        costs[kernel.path] = Cost(
            positions=sum(positions for positions, _ in uses),
            outputs=sum(outputs for _, outputs in uses),
            bias=is_first and _has_bias(kernel.layer),
            activation=is_first and _has_activation(kernel.layer),
        )
    return costs


def _use(kernel: Kernel, call: LayerCall) -> tuple[int, int] | None:
    """How often one call multiplies each weight, and how many outputs it contributes to."""
    source, result = call.inputs[0].shape, call.outputs[0].shape
    sizes = [*source[1:], *result[1:]]
    if source.rank is None or result.rank is None or None in sizes:
        return None
    columns = kernel.size // math.prod((kernel.inputs, *kernel.spatial))
    if isinstance(call.layer, keras.layers.RNN):
        steps = source[1]
        places = 1
        if kernel.spatial:
            places = math.prod(result[1:]) // kernel.outputs
            places //= steps if call.layer.return_sequences else 1
        return steps * places, steps * places * columns
    elements = math.prod(result[1:])
    if is_transposed(kernel.layer):
        return math.prod(source[1:]) // kernel.inputs, elements
    if is_depthwise(kernel.layer, kernel.variable):
        columns *= kernel.inputs
    positions = max(elements // output_channels(kernel.layer, columns), 1)
    return positions, positions * columns


def _has_bias(layer):
    use_bias = getattr(layer, "use_bias", None)
    return bool(getattr(layer, "bias", None) is not None if use_bias is None else use_bias)


def _has_activation(layer):
    activation = getattr(layer, "activation", None)
    return activation not in (None, keras.activations.linear)


def _ratio(part, whole):
    return part / whole if whole else 1.0
