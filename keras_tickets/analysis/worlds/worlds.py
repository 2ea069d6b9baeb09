"""Real and ideal worlds: the same training on a finite set and on fresh samples."""

import dataclasses
import math
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_flag, check_integer, check_model, check_seed
from keras_tickets._forward.loss import loss_of, mean_loss
from keras_tickets._tables import render_table
from keras_tickets._training_step.training import SparseTraining
from keras_tickets.analysis.batches import Data, batches, map_tensors
from keras_tickets.analysis.evaluation import labels_of
from keras_tickets.analysis.state import all_variables
from keras_tickets.analysis.worlds.world_batches import too_few_reported, world_batches


@dataclasses.dataclass(frozen=True, eq=False)
class Course:
    """Loss and errors in the course of a training.

    Attributes:
        losses: (points,) mean loss of the examples, without regularizers.
        errors: (points,) share of wrong answers.
        soft_errors: (points,) mean of 1 minus the probability of the true class.

    Example:

    ```python
    import keras_tickets as kt
    import numpy as np

    course = kt.analysis.Course(np.array([2.3, 0.5]), np.array([0.9, 0.2]), np.array([0.9, 0.3]))
    assert course.errors[-1] == 0.2
    ```
    """

    losses: np.ndarray
    errors: np.ndarray
    soft_errors: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Worlds:
    """A network in the real and in the ideal world. Prints as a table of both.

    Attributes:
        steps: (points,) training steps after which both were measured.
        real: Test loss and errors of the network that is trained on the finite set.
        ideal: Those of the network that is trained on fresh samples.
        train: Loss and errors of the first network on the finite set itself; `None` if not
            measured.

    Example:

    ```python
    import keras_tickets as kt
    import numpy as np

    real, ideal = (kt.analysis.Course(*np.full((3, 1), share)) for share in (0.4, 0.3))
    found = kt.analysis.Worlds(np.array([100]), real, ideal, train=None)
    assert round(found.gap.soft_errors[0], 6) == 0.1
    ```
    """

    steps: np.ndarray
    real: Course
    ideal: Course
    train: Course | None

    @property
    def gap(self) -> Course:
        """The real world minus the ideal one: of the errors, the paper's bootstrap error."""
        names = [field.name for field in dataclasses.fields(Course)]
        return Course(*(getattr(self.real, name) - getattr(self.ideal, name) for name in names))

    def __str__(self) -> str:
        soft = [self.real.soft_errors, self.ideal.soft_errors, self.gap.soft_errors]
        columns = [*soft, self.real.errors, self.ideal.errors]
        header = ["step", "soft error: real", "ideal", "gap", "error: real", "ideal"]
        if self.train is not None:
            columns.append(self.train.errors)
            header.append("on the finite set")
        rows = [
            (str(step), *(f"{column[i]:.4f}" for column in columns))
            for i, step in enumerate(self.steps)
        ]
        return render_table(tuple(header), rows)


def worlds(
    make: Callable[[], keras.Model],
    real: Data,
    ideal: Data,
    test: Data,
    *,
    steps: int,
    at: Iterable[int] | None = None,
    train: Data | None = None,
    from_logits: bool = True,
    batch_size: int = 128,
    seed: int = 0,
) -> Worlds:
    """Trains a network on a finite set and, with the same steps, on fresh samples.

    The test error of the first network is that of the second plus the gap between them. If the gap
    stays small, the network generalizes because it learns fast from fresh samples. Both trainings
    start from the same state: weights, masks, statistics and random generators of the first model
    are copied to the second. Each is one call of `fit`, so any method of `kt.optimizers` and any
    Keras optimizer will do.

    Args:
        make: Returns a new compiled model, a classifier with one output of shape (batch, classes).
            It is called twice, and each model must have an optimizer of its own. Steps of a sparse
            optimizer are numbers or shares of training; epochs have no meaning here.
        real: The finite training set, which is read again and again: `(x, y)` as arrays, which are
            shuffled anew in each epoch; or an iterable of batches `(x, y)`, such as
            `kt.data.Dataset.train`.
        ideal: Fresh samples, in batches of the same size: an iterable of batches, or arrays. They
            are read once. Whether no sample comes twice is up to you.
        test: `(x, y)` as arrays, or an iterable of batches `(x, y)`, the same ones each time.
        steps: Number of training steps in each world.
        at: Steps after which to measure, 0 for the start; the end is always measured. It is
            fastest if all are multiples of one large number. By default about ten, evenly spaced,
            and the start.
        train: The finite set as it is measured, without augmentation; by default `real` if that is
            arrays.
        from_logits: Whether the model returns logits. If not, it returns probabilities.
        batch_size: Size of the batches of arrays.
        seed: Non-negative seed of the order of arrays, the same in both worlds.

    Returns:
        Loss, error and soft error of both by step, and the gap.

    Raises:
        TypeError: The data has an unsupported type, `make` does not return a Keras model, or `at`
            is one number.
        ValueError: An argument is out of range; a model is not compiled; the two models differ or
            share variables; `ideal` has too few batches, or of another size; the outputs are not
            what `from_logits` says.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_tickets as kt

    def make():
        model = kt.sparsify(kt.models.lenet_300_100((8,), classes=3, width=0.1), 0.8)
        sgd = keras.optimizers.SGD(0.1)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(kt.optimizers.RigL(sgd, update_every=5), loss)
        return model

    x = np.random.default_rng(0).normal(size=(500, 8))
    y = x[:, :3].argmax(1)
    real, ideal, test = (x[:80], y[:80]), (x[80:400], y[80:400]), (x[400:], y[400:])
    found = kt.analysis.worlds(make, real, ideal, test, steps=20, batch_size=16)
    print(found, found.gap.soft_errors[-1])
    ```

    References:
        - [Nakkiran et al., 2021, "The deep bootstrap framework: good online learners are good
          offline generalizers", sections 2 and 3](https://arxiv.org/abs/2010.08127)
    """
    check_integer("steps", steps, low=1)
    check_integer("batch_size", batch_size, low=1)
    check_flag("from_logits", from_logits)
    measured = _measured_steps(at, steps)
    how = {"batch_size": batch_size, "seed": check_seed(seed)}
    finite, size = world_batches("real", real, steps, again=True, **how)
    fresh, other = world_batches("ideal", ideal, steps, again=False, **how)
    if size != other:
        raise ValueError(
            "`real` and `ideal` must have batches of the same size. Received: batches of "
            f"{size} and {other} examples"
        )
    if train is None and isinstance(real, tuple):
        train = real

    def course(model, data, name, *on):
        measure = _measure(model, from_logits)

        def scores():
            return [measure(batches(each, batch_size), what) for what, each in on]

        with too_few_reported(name, steps):
            found = np.array(_fit(model, data, measured, scores))
        return [Course(*found[:, place].T) for place in range(len(on))]

    first, second = _pair(make)
    on_train = [] if train is None else [("train", train)]
    in_real, *in_train = course(first, finite, "real", ("test", test), *on_train)
    (in_ideal,) = course(second, fresh, "ideal", ("test", test))
    return Worlds(np.array(measured), in_real, in_ideal, in_train[0] if in_train else None)


def _measured_steps(at, steps):
    every = max(steps // 10, 1)
    chosen = range(0, steps, every) if at is None else at
    if not isinstance(chosen, Iterable):
        raise TypeError(f"`at` must be steps, such as [0, {steps}]. Received: at={at!r}")
    return sorted({steps, *(check_integer("at", step, low=0, high=steps) for step in chosen)})


def _pair(make):
    """Two models in the same state, with nothing in common."""
    models = [make() for _ in range(2)]
    for model in models:
        if not check_model(model, "make()").compiled:
            raise ValueError("`make` must return a model that is compiled.")
    first, second = map(all_variables, models)
    if {id(variable) for variable in first} & {id(variable) for variable in second}:
        raise ValueError(
            "`make` must return a new model with a new optimizer each time. Received: two models "
            "that share variables"
        )
    shapes = [[tuple(variable.shape) for variable in each] for each in (first, second)]
    if shapes[0] != shapes[1]:
        raise ValueError("`make` must return the same network each time. Received: two that differ")
    for source, target in zip(first, second, strict=True):
        target.assign(source.numpy())
    return models


def _fit(model, data, measured, scores):
    """Trains a model and returns its scores after the measured steps."""
    every, steps = math.gcd(*measured), measured[-1]
    model.steps_per_execution = math.gcd(every, model.steps_per_execution)
    if isinstance(model, SparseTraining):
        model.horizon = (steps // model.optimizer.batches_per_step, None)
    found = [scores()] if measured[0] == 0 else []

    def on_epoch_end(epoch, logs=None):
        if (epoch + 1) * every in measured:
            found.append(scores())

    model.fit(
        data,
        epochs=steps // every,
        steps_per_epoch=every,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)],
        shuffle=False,
        verbose=0,
    )
    return found


def _measure(model, from_logits):
    """A function: mean loss, error and soft error on batches."""
    loss = loss_of(model, None)

    @tf.function(reduce_retracing=True, autograph=False)
    def sums(x, y):
        outputs = model(x, training=False)
        labels = labels_of(y, outputs)
        wrong = tf.argmax(outputs, axis=-1) != labels
        outputs64 = tf.cast(outputs, tf.float64)
        total = tf.reduce_sum(outputs64, axis=-1)
        off = tf.reduce_any(outputs64 < 0) | tf.reduce_any(tf.abs(total - 1) > 1e-2)
        finite = tf.reduce_all(tf.math.is_finite(outputs64))
        chances = tf.nn.softmax(outputs64) if from_logits else outputs64
        soft = 1 - tf.gather(chances, labels, batch_dims=1)
        mean = tf.cast(mean_loss(loss, y, outputs), tf.float64)
        count = tf.cast(tf.size(labels), tf.float64)
        found = [mean * count, tf.math.count_nonzero(wrong), tf.reduce_sum(soft), count]
        return tf.stack([tf.cast(part, tf.float64) for part in found]), finite & (off ^ from_logits)

    def measure(data, name):
        totals = np.zeros(4)
        for x, y in data:
            if y is None:
                raise ValueError(f"`{name}` must have targets: batches (x, y). Received: x alone")
            found, misread = sums(map_tensors(x), tf.convert_to_tensor(y))
            if misread:
                raise ValueError(_misread(from_logits))
            totals += found.numpy()
        if not totals[3]:
            raise ValueError(f"`{name}` has no examples.")
        return totals[:3] / totals[3]

    return measure


def _misread(from_logits):
    allowed, found = "logits", "probabilities"
    if not from_logits:
        allowed, found = "probabilities that add up to 1", "other numbers"
    return (
        f"With `from_logits={from_logits}`, the model must return {allowed}. Received: {found}; "
        f"pass `from_logits={not from_logits}` if that is what it returns."
    )
