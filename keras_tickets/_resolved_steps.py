"""Resolves steps given in epochs or as shares to optimizer steps, once, and saves them."""

import contextlib
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from keras_tickets.step import Step


class ResolvedSteps:
    """Points in training that are resolved once, and then kept in a saved variable.

    Steps that do not depend on the length of training are resolved at once, the others by the first
    `set_length`. A later length does not move them, which would change a training that has begun.

    Args:
        steps: The points, by the names of the arguments that they come from.
        add_variable: Creates a variable of the owner, like
            `keras.optimizers.Optimizer.add_variable`.
        name: Name of the variable.
        check: Called with the resolved steps before they are kept. Raises an error if they are not
            allowed.

    Raises:
        ValueError: `check` refuses the steps.
    """

    def __init__(
        self,
        steps: dict[str, Step],
        add_variable: Callable[..., keras.Variable],
        name: str,
        check: Callable[..., None],
    ):
        self._steps, self._check = steps, check
        self._length: dict[str, int | None] = {}
        # A single step is a scalar, because it is one in files of earlier versions.
        shape = (len(steps),) if len(steps) > 1 else ()
        self._variable = add_variable(
            shape,
            dtype="int64",
            initializer=lambda shape, dtype: tf.fill(shape, tf.constant(-1, dtype)),
            aggregation="only_first_replica",
            name=name,
        )
        if not any(step.is_relative for step in steps.values()):
            self._keep()

    @property
    def known(self) -> tuple[int, ...] | None:
        """The steps as ints; `None` while they are not known."""
        with tf.init_scope():
            values = tuple(int(value) for value in self._variable.numpy().reshape(-1))
        return None if values[-1] < 0 else values

    def set_length(
        self, total_steps: int, steps_per_epoch: int | None = None
    ) -> tuple[int, ...] | None:
        """Resolves the steps, unless they are known.

        Args:
            total_steps: Optimizer steps of the whole training.
            steps_per_epoch: Optimizer steps of an epoch.

        Returns:
            The steps that are kept, if this length would give others; otherwise `None`.

        Raises:
            ValueError: A step cannot be resolved, or the steps are not allowed.
        """
        self._length = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
        if self.known is None:
            self._keep()
        return self.known if self.known != self._resolve() else None

    @contextlib.contextmanager
    def assuming(self, total_steps: int) -> Iterator[None]:
        """Within it, steps that are not known are resolved by this length. None is kept.

        Args:
            total_steps: Optimizer steps of the whole training.

        Raises:
            ValueError: A step cannot be resolved, or the steps are not allowed.
        """
        if self.known is not None:
            yield
            return
        before = self._length
        try:
            self._length = {**before, "total_steps": total_steps}
            self._keep()
            yield
        finally:
            self._length = before
            self._variable.assign(-tf.ones_like(self._variable))

    def in_graph(self) -> list[tf.Tensor]:
        """The steps as int64 scalars.

        Raises:
            ValueError: They depend on a length of training that is not known.
        """
        if self.known is None:
            self._keep()
        return tf.unstack(tf.reshape(tf.convert_to_tensor(self._variable), [len(self._steps)]))

    def _resolve(self) -> tuple[int, ...]:
        return tuple(step.resolve(**self._length) for step in self._steps.values())

    def _keep(self) -> None:
        values = self._resolve()
        self._check(*values)
        self._variable.assign(tf.reshape(values, self._variable.shape))
