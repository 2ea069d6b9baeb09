"""Floating-point operations of dense and sparse models."""

import dataclasses
import math
from typing import NamedTuple

import keras

from keras_tickets._accounting.costs import LAYERS, Convention, Cost, find_uses, get_convention
from keras_tickets._checks import check_model
from keras_tickets._kernels.axes import computes_as_keras
from keras_tickets._kernels.find import Kernel, counted_kernels
from keras_tickets._kernels.tracing import InputShape
from keras_tickets._masked_kernel import MaskedKernel
from keras_tickets._sparse_storage.kernel import SparseKernel
from keras_tickets._tables import count_text, fill, render_table, shape_text
from keras_tickets._warnings import warn
from keras_tickets.masks import masked_kernels

__all__ = ["Flops", "FlopsRow", "flops"]


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
        between_activations: Operations of a forward pass that multiply two activations, such as
            queries and keys, and have no row; `inference` holds them.
        convention: What was counted, as in `kt.flops`.

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
    between_activations: float = 0.0
    convention: str = LAYERS.name

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
        lines = [
            f"inference: {self.inference:,.0f} per sample, {self.inference_ratio:.4f} of dense",
            f"training:  {self.training:,.0f} per sample, {self.training_ratio:.4f} of dense",
        ]
        if self.between_activations:
            lines.append(fill(f"(inference: {self.between_activations:,.0f} between activations)"))
        if self.convention != LAYERS.name:
            lines.append(f'(convention "{self.convention}")')
        return "\n".join([table, *lines])


class Counted(NamedTuple):
    """A kernel, what masks it, and what it costs."""

    kernel: Kernel
    record: MaskedKernel | SparseKernel | None
    cost: Cost

    @property
    def kept(self) -> int:
        """Number of weights that are not masked."""
        return self.record.count() if self.record else self.kernel.size


class CountedModel(NamedTuple):
    """What a model multiplies, and what is counted of that.

    Attributes:
        kernels: The kernels with their costs, in layer order.
        between_activations: Operations of products of two activations.
        convention: What is counted.
    """

    kernels: list[Counted]
    between_activations: float
    convention: Convention


def flops(
    model: keras.Model,
    *,
    convention: str = "layers",
    update_every: int | None = None,
    input_shape: InputShape = None,
) -> Flops:
    """Counts the floating-point operations of a model. Masked weights do not count.

    A kernel that is masked in another basis is dense, and counts as a dense one does.

    What is counted is a convention:

    | | "layers" | "rigl" | "products" |
    |---|---|---|---|
    | a sum of v products | v multiplications, v - 1 additions | the same | v and v |
    | bias: one addition an output | of layers that have one | of every kernel | no |
    | activation: one operation an output | of layers that have one | of every kernel | no |
    | products of two activations | yes | no | yes |

    "layers" is what the model's own layers do. "rigl" is the count of the papers on RigL, whose
    ratios it gives to the printed digit. "products" takes a multiplication and an addition for each
    weight, as TensorFlow's profiler does.

    A kernel counts once for each call of its layer and each position of its output: those of a
    recurrent layer for each time step, of a transposed convolution for each position of its input,
    of attention for each token. Weights of your own layers count in each product of matrices or
    convolution that they are a factor of. Products of queries and keys, and of attention weights
    and values, are products of two activations. So is the product with an embedding's table where a
    language model takes its logits; looking up embeddings takes no operation. Never counted:
    normalization, pooling, softmax, sums of two activations, gates of recurrent layers, and layers
    that only apply an activation.

    A backward pass takes twice the operations of a forward pass. Methods that grow by dense
    gradients need one every `update_every` steps, at the cost of a dense weight gradient; that of
    `TopKAST` is of the backward set. Training is counted with the present masks. If the model is
    compiled with a pruning method, it is counted with the mean number of weights over the ramp,
    which starts from all of them unless the first masks leave fewer: over the whole training if
    `fit` or `set_total_steps` has told its length, otherwise over the steps taken.
    `kt.training_cost` follows the course of a training instead, step by step.

    Args:
        model: Built Keras model, sparse or not.
        convention: What is counted: "layers", "rigl" or "products".
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
            missing; `convention` is unknown; `update_every` is negative.

    Warns:
        UserWarning: The size of a product of two activations is not known; it is not counted. Or
            kernels are used within loops, of which one pass is counted at most.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    assert kt.flops(model).inference == 64
    assert kt.flops(model, convention="rigl").inference == 68
    ```

    References:
        Evci et al., Rigging the Lottery (arXiv 1911.11134), appendix H.
    """
    counted = count_model(model, get_convention(convention), input_shape)
    return flops_of(model, counted, update_every)


def flops_of(model: keras.Model, counted: CountedModel, update_every: int | None = None) -> Flops:
    """`flops` of a model that has been counted.

    Args:
        model: The model.
        counted: What it multiplies.
        update_every: As in `flops`.
    """
    counting, between = counted.convention, counted.between_activations
    optimizer = getattr(model, "optimizer", None)
    rows, in_training, gradients = [], [], []
    wanted = getattr(optimizer, "weights_with_gradients", None)
    for each in counted.kernels:
        size = each.kernel.size
        row = FlopsRow(
            path=each.kernel.path,
            shape=each.kernel.shape,
            sparsity=1 - each.kept / size,
            inference=each.cost.count(each.kept, counting),
            dense_inference=each.cost.count(size, counting),
        )
        rows.append(row)
        course = getattr(optimizer, "weights_in_training", None)
        phases = course(each.record) if each.record and course else [(1, each.kept)]
        in_training.append(each.cost.mean(phases, counting))
        trained = wanted(each.record) if each.record and wanted else size
        dense_phases = [(steps, max(weights, trained)) for steps, weights in phases]
        gradients.append(each.cost.mean(dense_phases, counting))
    inference = math.fsum([between, *(row.inference for row in rows)])
    dense = math.fsum([between, *(row.dense_inference for row in rows)])
    if update_every is None:
        update_every = getattr(optimizer, "dense_gradient_every", None)
    training = training_flops(
        math.fsum([between, *in_training]), math.fsum([between, *gradients]), update_every
    )
    return Flops(
        rows,
        inference,
        training,
        _ratio(inference, dense),
        _ratio(training, 3 * dense),
        between,
        counting.name,
    )


def count_model(
    model: keras.Model, convention: Convention, input_shape: InputShape = None
) -> CountedModel:
    """Finds what a model multiplies.

    Args:
        model: Built Keras model, sparse or not.
        convention: What is counted.
        input_shape: As in `flops`, like the errors and warnings.
    """
    check_model(model)
    kernels = counted_kernels(model)
    uses = find_uses(model, kernels, input_shape)
    known = {path: cost for path, cost in uses.kernels.items() if cost is not None}
    if unknown := [path for path in uses.kernels if path not in known]:
        raise ValueError(
            f"The output size of {unknown[0]!r} is not known. Pass `input_shape`, without "
            f"the batch axis. Received: input_shape={input_shape}"
        )
    if uses.unknown and convention.between_activations:
        warn(
            f"{count_text(uses.unknown, 'product')} of two activations cannot be counted, because "
            "their sizes are not known. Pass `input_shape`, without the batch axis."
        )
    if uses.looped:
        warn(
            "Of what a loop or a branch multiplies, one pass is counted at most. Kernels that are "
            f"used in one: {uses.looped}"
        )
    # Coefficients in another basis stand for a kernel without zeros.
    records = {id(r.kernel): r for r in masked_kernels(model) if r.basis is None}
    counted = [
        Counted(kernel, records.get(id(kernel.variable)), known[kernel.path])
        for kernel in kernels
        if known[kernel.path].positions or computes_as_keras(kernel.layer)
    ]
    return CountedModel(counted, uses.between_activations(convention), convention)


def training_flops(inference: float, gradients: float, update_every: int | None) -> float:
    """Operations of a training step for one sample, averaged over steps.

    Args:
        inference: Operations of a sparse forward pass, averaged over steps.
        gradients: Operations of the gradients of all weights, those of a dense forward pass; of
            fewer where the method takes the gradients of fewer.
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
    growing = 2 * inference + gradients
    return (3 * inference * update_every + growing) / (update_every + 1)


def _ratio(part, whole):
    return part / whole if whole else 1.0
