"""Trains the control points of a Bézier curve between two networks."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._checks import check_integer, check_model, check_one_of, check_seed
from keras_tickets._forward.loss import loss_of, mean_loss
from keras_tickets._kernels.paths import weight_paths
from keras_tickets.analysis.batches import Data, batches, map_tensors
from keras_tickets.analysis.landscape.bezier import BezierCurve, de_casteljau, line_between
from keras_tickets.analysis.networks import Network
from keras_tickets.masks import whole_kernels
from keras_tickets.optimizers.sparse_optimizer import SparseOptimizer

SPACES = ("union", "dense")


def bezier_curve(
    model_a: keras.Model,
    model_b: Network,
    train_data: Data,
    *,
    steps: int = 1000,
    degree: int = 2,
    space: str = "union",
    optimizer: keras.optimizers.Optimizer | str | None = None,
    loss: Callable | str | None = None,
    batch_size: int = 128,
    seed: int = 0,
) -> BezierCurve:
    """Finds a curve of low loss between two trained networks.

    The ends stay as they are. The control points start on the straight line, evenly spaced. Each
    step takes a batch and a point of the curve, t uniform in [0, 1), and moves the control points
    against the gradient of the loss there. The model runs in training mode, so batch normalization
    uses the statistics of the batch: evaluate the curve by `kt.analysis.connectivity(…, curve=…,
    batch_norm="recompute")`. The loss is that of the data alone, without regularizers. Weights that
    are not trainable in the first model go straight. Neither network is changed.

    Args:
        model_a: Built Keras model with one output.
        model_b: Another model, a `kt.Ticket` or `{weight path: array}` of the same paths and
            shapes. Its masks may be others.
        train_data: Training data: `(x, y)` as arrays, which are shuffled anew in each epoch; or an
            iterable of batches `(x, y)`, which is read again and again.
        steps: Number of training steps.
        degree: 2 for a quadratic curve, with one control point; 3 for a cubic one, with two; and so
            on.
        space: Where the control points may be. "union": only weights on one of the two masks are
            nonzero along the curve, so for two networks of the same mask it stays in the space of
            that mask. "dense": any weight may be nonzero between the ends. Models without masks are
            dense.
        optimizer: Keras optimizer, or its name, which is copied; by default Adam with a learning
            rate of 0.001.
        loss: Keras loss, or its name; by default the one that `model_a` was compiled with.
        batch_size: Size of the batches of arrays, at most all examples.
        seed: Non-negative integer, for the points and the order of arrays.

    Returns:
        The curve, with the losses of its training.

    Raises:
        TypeError: The data or a network has an unsupported type.
        ValueError: The paths or shapes of the networks differ; an argument is out of range; no loss
            is known; there is no data; kernels are stored sparsely; or the loss becomes NaN or
            infinite.

    Example:

    ```python
    import numpy as np
    import keras_tickets as kt

    x, y = np.random.normal(size=(32, 8)), np.arange(32) % 3
    a, b = (kt.sparsify(kt.models.lenet_300_100((8,), classes=3, seed=s), 0.9) for s in range(2))
    loss = "sparse_categorical_crossentropy"
    curve = kt.analysis.bezier_curve(a, b, (x, y), steps=5, loss=loss)
    along = kt.analysis.connectivity(a, b, (x, y), curve=curve, points=5, loss=loss)
    print(along.loss_barriers)
    ```

    References:
        - [Garipov et al., 2018, "Loss surfaces, mode connectivity, and fast ensembling of DNNs",
          section 3](https://arxiv.org/abs/1802.10026)
        - [Evci et al., 2020, "Rigging the lottery: making all tickets
          winners"](https://arxiv.org/abs/1911.11134), for the two spaces
    """
    check_model(model_a)
    check_integer("steps", steps, low=1)
    check_integer("degree", degree, low=2)
    check_integer("batch_size", batch_size, low=1)
    check_one_of("space", space, SPACES)
    line = line_between(model_a, model_b)
    masks = line.masks
    if space == "dense":
        masks = {path: np.ones_like(mask) for path, mask in masks.items()}
    given: Any = keras.optimizers.get(optimizer if optimizer is not None else "adam")
    if isinstance(given, SparseOptimizer):
        raise ValueError(
            "`optimizer` must be a Keras optimizer, since no mask changes along a curve. Received: "
            f"optimizer={type(given).__name__}; pass its inner one."
        )
    bend = _Bend(
        model_a,
        BezierCurve([line.at(i / degree) for i in range(degree + 1)], masks),
        type(given).from_config(given.get_config()),
        loss_of(model_a, loss),
        check_seed(seed),
    )
    endless = _endless(train_data, batch_size, seed)
    losses = np.array([float(bend.step(*next(endless))) for _ in range(steps)])
    if not np.isfinite(losses).all():
        raise ValueError(
            f"The loss became NaN or infinite at step {np.argmin(np.isfinite(losses))}: use a "
            "smaller learning rate."
        )
    return BezierCurve(bend.points(), masks, losses)


class _Bend:
    """The training of the control points between the ends of a curve.

    Args:
        model: The first network.
        curve: The curve before training.
        optimizer: Keras optimizer, not built.
        loss: From `loss_of`.
        seed: Seed of the points at which the curve is trained.
    """

    def __init__(self, model, curve, optimizer, loss, seed):
        self._curve, self._optimizer, self._seed = curve, optimizer, seed
        trained = {path: v for path, v in weight_paths(model).items() if v.trainable}
        self._controls = [
            {path: keras.Variable(point[path], dtype=v.dtype) for path, v in trained.items()}
            for point in curve.points[1:-1]
        ]
        self._variables = [v for control in self._controls for v in control.values()]
        optimizer.build(self._variables)
        self._count = 0
        self._traced = self._trace(model, loss)

    def step(self, x, y) -> tf.Tensor:
        """Trains on a batch, and returns its loss."""
        if y is None:
            raise ValueError("`train_data` must have targets: batches (x, y). Received: x alone")
        seed = tf.constant([self._seed, self._count], tf.int64)
        self._count += 1
        return self._traced(seed, map_tensors(x), tf.convert_to_tensor(y))

    def points(self):
        """The first network, the control points and the second network."""
        first, *between, last = self._curve.points
        trained = [
            {**point, **{path: v.numpy() for path, v in control.items()}}
            for point, control in zip(between, self._controls, strict=True)
        ]
        return (first, *trained, last)

    def _trace(self, model, loss):
        weights, records = weight_paths(model), whole_kernels(model, "A curve between networks")
        masks = [(r.mask, tf.constant(self._curve.masks[path])) for path, r in records.items()]
        ends = [
            {path: tf.constant(point[path], v.dtype) for path, v in weights.items()}
            for point in (self._curve.points[0], self._curve.points[-1])
        ]
        known = {id(v) for v in [*model.weights, *weights.values(), *model.metrics_variables]}
        known |= {id(mask) for mask, _ in masks}
        noise = {id(v): (v, tf.Variable(v.value)) for v in model.variables if id(v) not in known}

        def values(path, t):
            first, last = ends[0][path], ends[1][path]
            if first.dtype.is_integer:
                return first
            between = [tf.convert_to_tensor(c[path]) for c in self._controls if path in c]
            return de_casteljau([first, *between, last], tf.cast(t, first.dtype))

        @tf.function(reduce_retracing=True, autograph=False)
        def step(seed, x, y):
            t = tf.random.stateless_uniform([], seed)
            with tf.GradientTape() as tape:
                mapping = [(variable, values(path, t)) for path, variable in weights.items()]
                mapping += [(v, tf.convert_to_tensor(state)) for v, state in noise.values()]
                with _keras_compat.masked_scope(mapping + masks, model) as scope:
                    outputs = model(x, training=True)
                result = mean_loss(loss, y, outputs)
            targets = [variable.value for variable in self._variables]
            gradients = tape.gradient(result, targets, unconnected_gradients="zero")
            self._optimizer.apply(gradients, self._variables)
            for variable, value in scope.assigned:
                if id(variable) in noise:
                    noise[id(variable)][1].assign(value)
            return result

        return step


def _endless(data: Data, batch_size: int, seed: int) -> Iterator[tuple]:
    """Batches without end; those of arrays are all of one size, and shuffled in each epoch."""
    arrays, generator = isinstance(data, tuple) and len(data) == 2, np.random.default_rng(seed)
    while True:
        found = _shuffled(data, batch_size, generator) if arrays else batches(data, batch_size)
        batch = None
        for batch in found:
            yield batch
        if batch is None:
            raise ValueError("`train_data` has no batches, or can be read only once.")


def _shuffled(data, batch_size, generator):
    if next(batches(data, batch_size), None) is None:
        return
    x, y = keras.tree.map_structure(np.asarray, data[0]), np.asarray(data[1])
    size, order = min(batch_size, len(y)), generator.permutation(len(y))
    for start in range(0, len(y) - size + 1, size):
        chosen = order[start : start + size]
        yield keras.tree.map_structure(lambda part, at=chosen: part[at], x), y[chosen]
