"""The operations of a whole training, step by step: planned, just done, or in a work directory."""

import contextlib
import dataclasses
import math
import os
from collections.abc import Mapping, Sequence

import keras

from keras_tickets._accounting.costs import LAYERS, Convention, Phase, get_convention
from keras_tickets._checks import check_integer
from keras_tickets._files.documents import read_document
from keras_tickets._files.home import expand_home
from keras_tickets._files.run_files import MODEL, SUMMARY, SUMMARY_KIND, SUMMARY_SCHEMA
from keras_tickets._kernels.tracing import InputShape
from keras_tickets.flops import Counted, CountedModel, count_model
from keras_tickets.masks import kernels_by_path
from keras_tickets.trainers.level_store import (
    SETTINGS,
    SETTINGS_KIND,
    SETTINGS_SCHEMA,
    LevelStore,
)

__all__ = ["TrainingCost", "training_cost"]


@dataclasses.dataclass(frozen=True)
class TrainingCost:
    """Floating-point operations of a training.

    Attributes:
        steps: Optimizer steps, those of all levels together where weights are pruned by levels.
        batch_size: Examples of a step; `None` if it is not known.
        per_sample: Operations for one example in one step, averaged over the steps.
        dense_per_sample: The same for a network without zeros.
        scored_examples: Examples whose dense gradients the masks were chosen by before the first
            step.
        dense_steps: Steps of the dense training that `ratio` compares with.
        convention: What was counted, as in `kt.flops`.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, use_bias=False)])
    model = kt.sparsify(model, 0.5)
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    cost = kt.training_cost(model, steps=1000, batch_size=32)
    assert cost.per_sample == 3 * 28 and cost.total == 3 * 28 * 32_000
    assert cost.ratio == 28 / 60
    ```
    """

    steps: int
    batch_size: int | None
    per_sample: float
    dense_per_sample: float
    scored_examples: int = 0
    dense_steps: int = 0
    convention: str = LAYERS.name

    @property
    def total(self) -> float | None:
        """All operations of the training; `None` if the batch size is not known."""
        if self.batch_size is None:
            return None
        examples = self.steps * self.batch_size
        return examples * self.per_sample + self.scored_examples * self.dense_per_sample

    @property
    def dense_total(self) -> float | None:
        """All operations of the dense training that `ratio` compares with."""
        if self.batch_size is None:
            return None
        return self.dense_steps * self.batch_size * self.dense_per_sample

    @property
    def ratio(self) -> float:
        """The operations of the training over those of dense training."""
        if not self.dense_per_sample:
            return 1.0
        scored = self.scored_examples / self.batch_size if self.batch_size else 0.0
        steps = self.steps * self.per_sample / self.dense_per_sample + scored
        return steps / self.dense_steps


def training_cost(
    trained: keras.Model | str | os.PathLike,
    *,
    steps: int | None = None,
    batch_size: int | None = None,
    dense_steps: int | None = None,
    scored_examples: int | None = None,
    convention: str = "layers",
    input_shape: InputShape = None,
) -> TrainingCost:
    """Counts the operations of a training, following its course.

    A step takes a forward pass, the gradient of each kernel's input, and the gradient of its
    weights: three products with the weights that are not masked. Where a method needs more, the
    last one is larger:

    | method | gradients of weights |
    |---|---|
    | `Static`, `SET`, masks chosen before training | those not masked |
    | `RigL` | all at updates, which end with the window; with `mean_over`, in each of its batches |
    | `SNFS`, `DNW`, `StraightThrough` | all, at every step |
    | `GradualMagnitude` | those not masked yet; with `regrow`, all |
    | `TopKAST` | those of the backward set |

    Weights count as the ramp leaves them at each step; the first step of `TopKAST` uses all. Where
    sparsity moves between kernels, the course of each kernel is not known: its weights count as
    they are at the end (`SNFS` with redistribution), or as its present share of all zeros
    (`GradualMagnitude` with a global ranking). Choosing weights, the second derivatives of GraSP
    and the steps of the inner optimizer are not counted, nor are the passes of teachers.

    Args:
        trained: A compiled model, or a work directory of `keras-tickets train` with one finished
            training or with finished levels of pruning.
        steps: Optimizer steps of the whole training, over which updates and ramps are counted.
            Points in training that are already known stay where they are. By default what `fit` or
            `set_total_steps` of the optimizer has told, or else those taken; of a work directory,
            those of its summary.
        batch_size: Examples of a step.
        dense_steps: Steps of the dense training to compare with; `steps` by default. A training
            of five times the length of the dense one has a fifth.
        scored_examples: Examples whose dense gradients `kt.prune` chose the masks by, once each.
        convention: What is counted, as in `kt.flops`.
        input_shape: As in `kt.flops`.

    Returns:
        The operations, for one example and in total.

    Raises:
        TypeError: `trained` is neither a Keras 3 model nor a path.
        ValueError: The length of training is not known, or a point in it is given in epochs, whose
            length is not known; a number is not a positive integer; `scored_examples` needs a
            `batch_size`; `convention` is unknown; a file is damaged.
        OSError: A file of the work directory cannot be read.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = kt.sparsify(kt.models.lenet_300_100((64,)), 0.9)
    model.compile(kt.optimizers.RigL(keras.optimizers.SGD(0.1), update_every=100), loss="mse")
    model.optimizer.set_total_steps(10_000)
    assert 0.10 < kt.training_cost(model).ratio < 0.12
    ```

    References:
        Evci et al., Rigging the Lottery (arXiv 1911.11134), appendix H, on the gradients of each
        method; its formula for RigL counts updates throughout.
        Jayakumar et al., Top-KAST (arXiv 2106.03517), section 2.
    """
    counting = get_convention(convention)
    found: dict[str, int | None] = {}
    levels: list[tuple[int, Mapping]] = []
    if not isinstance(trained, keras.Model):
        trained, found, levels = _read(trained)
    counted = count_model(trained, counting, input_shape)
    assumed = steps
    steps = _chosen("steps", steps, found.get("steps") or _steps_of(trained))
    if steps is None:
        raise ValueError(
            "The length of the training is not known. Pass `steps`, or call "
            "`model.optimizer.set_total_steps(n)` before. Received: steps=None"
        )
    batch_size = _chosen("batch_size", batch_size, found.get("batch_size"))
    scored = _chosen("scored_examples", scored_examples, found.get("scored_examples")) or 0
    if scored and batch_size is None:
        raise ValueError(
            f"`scored_examples` needs a `batch_size`. Received: scored_examples={scored}"
        )
    with assuming(trained, assumed):
        cost = cost_of(trained, counted, steps, batch_size, scored, levels)
    return dataclasses.replace(cost, dense_steps=_chosen("dense_steps", dense_steps, steps) or 0)


def cost_of(
    model: keras.Model,
    counted: CountedModel,
    steps: int,
    batch_size: int | None,
    scored_examples: int = 0,
    levels: Sequence[tuple[int, Mapping]] = (),
) -> TrainingCost:
    """`training_cost` of a model that has been counted.

    Args:
        model: The compiled model.
        counted: What it multiplies.
        steps: Optimizer steps of the training.
        batch_size: Examples of a step.
        scored_examples: As in `training_cost`.
        levels: Steps and masks of the trainings, if they were several.
    """
    counting, between = counted.convention, counted.between_activations
    kernels = [_mean(each, _course(model, each, levels), counting) for each in counted.kernels]
    dense = [each.cost.count(each.kernel.size, counting) for each in counted.kernels]
    return TrainingCost(
        steps,
        batch_size,
        per_sample=math.fsum([3 * between, *kernels]),
        dense_per_sample=3 * math.fsum([between, *dense]),
        scored_examples=scored_examples,
        dense_steps=steps,
        convention=counting.name,
    )


def _chosen(name: str, given: int | None, known: int | None) -> int | None:
    return known if given is None else check_integer(name, given, low=1)


def _steps_of(model: keras.Model) -> int | None:
    """Steps of the training that the optimizer of a model knows of; `None` if there are none."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return None
    return getattr(optimizer, "steps_in_training", 0) or int(optimizer.iterations.numpy()) or None


def assuming(model: keras.Model, steps: int | None) -> contextlib.AbstractContextManager:
    """Within it, the optimizer of a model counts as in a training of the given length, if any.

    Args:
        model: The model, compiled or not.
        steps: Optimizer steps; `None` for what the optimizer knows.
    """
    within = getattr(getattr(model, "optimizer", None), "assuming", None)
    return within(steps) if within and steps is not None else contextlib.nullcontext()


def _course(model: keras.Model, counted: Counted, levels: Sequence[tuple[int, Mapping]]):
    """The steps of a training, by what they cost for one kernel."""
    size = counted.kernel.size
    if levels:
        masks = [(steps, found.get(counted.kernel.path)) for steps, found in levels]
        kept = [(steps, size if mask is None else int(mask.sum())) for steps, mask in masks]
        return [Phase(steps, weights, weights) for steps, weights in kept]
    course = getattr(getattr(model, "optimizer", None), "course", None)
    if course is None or counted.record is None:
        return [Phase(1, counted.kept, counted.kept)]
    return course(counted.record)


def _mean(counted: Counted, course: Sequence[Phase], convention: Convention) -> float:
    total = math.fsum(phase.steps * phase.operations(counted.cost, convention) for phase in course)
    return total / math.fsum(phase.steps for phase in course)


def _read(directory: str | os.PathLike):
    """The model, the known numbers and the levels of a finished work directory."""
    if not isinstance(directory, (str, os.PathLike)):
        raise TypeError(
            "`trained` must be a Keras 3 model or the path of a work directory. Received: "
            f"trained={directory!r}"
        )
    path = expand_home(directory)
    summary = read_document(path / SUMMARY, SUMMARY_KIND, SUMMARY_SCHEMA)
    known = {name: summary.get(name) for name in ("steps", "batch_size", "scored_examples")}
    levels = level_masks(LevelStore(path), summary.get("levels", ()))
    if levels:
        known["steps"] = sum(steps for steps, _ in levels)
    model = keras.models.load_model(path / MODEL)
    first = summary.get("first_nonzeros") or {}
    for name, record in kernels_by_path(model).items():
        if name in first:
            model.optimizer.set_first_count(record, first[name])
    return model, known, levels


def level_masks(store: LevelStore, rows: Sequence[dict]) -> list[tuple[int, Mapping]]:
    """Steps and masks: of the way to the rewind point, of all levels and of their controls.

    Args:
        store: Where the levels are kept.
        rows: Their results.

    Returns:
        `(steps, {kernel path: mask})` for each training; a kernel without a mask, or with one in
        another basis, has all weights.
    """
    if not rows:
        return []
    settings = read_document(store.path / SETTINGS, SETTINGS_KIND, SETTINGS_SCHEMA)
    found: list[tuple[int, Mapping]] = []
    if settings["rewind_to"]:
        found.append((settings["rewind_to"], {}))
    for row in rows:
        for control, result in {None: row, **row.get("controls", {})}.items():
            ticket = store.ticket(row["level"], control)
            found.append((result["steps"], ticket.masks if ticket and ticket.basis is None else {}))
    return found
