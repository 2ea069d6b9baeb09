"""Dense gradients as `apply` gets them: arrays of masked kernels, two factors of sparse ones."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from keras_tickets._sparse_storage import OuterProduct
from keras_tickets.masks import record_of
from keras_tickets.optimizers._kernel_state import KernelState

DenseGradient: TypeAlias = tf.Tensor | OuterProduct


def dense_gradients_of(
    variables: Sequence[keras.Variable],
    given: Sequence[DenseGradient | None] | Mapping[str, DenseGradient] | None,
    method: str,
) -> list[DenseGradient | None]:
    """The dense gradient of each variable; `None` for one that has none.

    Args:
        variables: The variables.
        given: What `SparseOptimizer.apply` got.
        method: Name of the method, for the error.

    Raises:
        ValueError: There are none, or they are not of these variables.
    """
    if given is None:
        raise ValueError(
            f"{method} needs dense gradients. `fit` of a `kt.SparseModel` has them; in a loop of "
            "your own, take them from a `kt.DenseGradientTape` and pass `dense_gradients=` to "
            "`apply`."
        )
    if isinstance(given, Mapping):
        names: list[Any] = [getattr(record_of(variable), "name", None) for variable in variables]
        if unknown := sorted(set(given) - set(names)):
            known = [name for name in names if name is not None]
            raise ValueError(
                f"`dense_gradients` names {unknown}, which are not masked kernels among the "
                f"variables: {known}"
            )
        return [given.get(name) for name in names]
    if len(given) != len(variables):
        raise ValueError(
            f"`dense_gradients` must have one entry for each of the {len(variables)} variables. "
            f"Received: {len(given)} entries"
        )
    return list(given)


def as_tensors(gradient: DenseGradient) -> DenseGradient:
    """The gradient as a tensor, or its factors as tensors."""
    if isinstance(gradient, OuterProduct):
        return OuterProduct(*map(tf.convert_to_tensor, gradient))
    return tf.convert_to_tensor(gradient)


def divide(gradient: DenseGradient, scale: tf.Tensor) -> DenseGradient:
    """The gradient divided by a scalar."""
    if isinstance(gradient, OuterProduct):
        return OuterProduct(gradient.inputs, divide(gradient.gradients, scale))
    return gradient / tf.cast(scale, gradient.dtype)


def sum_over_replicas(
    strategy: tf.distribute.Strategy, states: list[KernelState], dense: list[DenseGradient]
) -> list[DenseGradient]:
    """Dense gradients summed over replicas, in cross-replica context.

    The sum of outer products has the examples of all replicas in its factors.

    Args:
        strategy: The `tf.distribute` strategy.
        states: Their kernels.
        dense: One gradient for each kernel, of each replica.
    """
    if strategy.num_replicas_in_sync == 1:
        return dense
    kernels = [state.masked.kernel.value for state in states]
    whole = [pair for pair in zip(dense, kernels, strict=True) if not _is_product(pair[0])]
    sums = iter(
        strategy.extended.batch_reduce_to(tf.distribute.ReduceOp.SUM, whole) if whole else ()
    )
    return [
        OuterProduct(*(_gather(strategy, factor) for factor in gradient))
        if _is_product(gradient)
        else next(sums)
        for gradient in dense
    ]


def _gather(strategy, factor):
    """The rows of all replicas. What TensorFlow gathers does not know the size of a row."""
    row = strategy.experimental_local_results(factor)[0].shape[1]
    return tf.ensure_shape(strategy.gather(factor, axis=0), (None, row))


def _is_product(gradient):
    return isinstance(gradient, OuterProduct)
