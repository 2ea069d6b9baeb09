"""What a method of sparse training says: when masks change, how, and what it starts from."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf

from keras_tickets._accounting.costs import Phase
from keras_tickets._masked_kernel import MaskedKernel
from keras_tickets._sparse_storage.kernel import SparseKernel
from keras_tickets.optimizers._kernel_state import KernelState


class Method:
    """What distinguishes one sparse optimizer from another. The defaults are for a fixed mask.

    Attributes:
        needs_dense_gradients: Whether `apply` needs dense gradients.
        trains_off_mask: Whether weights off the mask are trained too, so that a kernel is not 0
            there. Layers compute with the masked kernel all the same.
        skip_gradient_step: Whether an update of the masks replaces the gradient step.
        first_masks: The values of `mask` in `kt.sparsify` that the method can start from. The first
            of them is used if the user chose none.
        storages: How the kernels that the method trains may be stored: "masked", "sparse" or both.
        iterations: The optimizer's variable, steps taken.
    """

    needs_dense_gradients: bool = False
    trains_off_mask: bool = False
    skip_gradient_step: bool = False
    first_masks: tuple[str, ...] = ("random", "magnitude", "ones")
    storages: tuple[str, ...] = ("masked",)
    iterations: Any
    _steps_in_training = 0
    _assumed_steps: int | None = None

    def check_storage(self, kernels: Iterable[MaskedKernel | SparseKernel]) -> None:
        """Checks that the method can train kernels that are stored as these are.

        Args:
            kernels: The masked kernels of a model.

        Raises:
            ValueError: The storage of a kernel is not among `storages`.
        """
        if other := [kernel.name for kernel in kernels if kernel.storage not in self.storages]:
            raise ValueError(
                f"{type(self).__name__} needs whole kernels or whole dense gradients, and these "
                f"are stored sparsely: {other}. Use `kt.optimizers.Static`, `SET` or `RigL`, or "
                'make the model with `kt.sparsify(…, storage="masked")`.'
            )

    def take_first_masks(self, kernels: Iterable[MaskedKernel | SparseKernel]) -> None:
        """Gives kernels the first masks that the method starts from, unless the user chose them.

        Args:
            kernels: The masked kernels of a model. Masks that were set or trained after they had
                been drawn stay as they are.

        Raises:
            ValueError: The method cannot start from the masks that the user chose.
        """
        for kernel in kernels:
            if kernel.first is None or kernel.target == kernel.size:
                continue
            if not kernel.first.chosen:
                kernel.begin_from(self.first_masks[0])
            elif kernel.first.kind not in self.first_masks and not self.can_start_from(kernel):
                why = "never changes the number of weights that a mask leaves"
                if self.first_masks == ("ones",):
                    why = "chooses among all weights"
                allowed = " or ".join(f'"{mask}"' for mask in self.first_masks)
                raise ValueError(
                    f"{type(self).__name__} {why}: pass mask={allowed} to `kt.sparsify`, or leave "
                    f"it out. Received: mask={kernel.first.kind!r}"
                )

    def can_start_from(self, kernel: MaskedKernel) -> bool:
        """Whether the method has something to do for a kernel whose mask is not in `first_masks`.

        Args:
            kernel: The kernel with its mask.
        """
        return False

    @property
    def dense_gradient_every(self) -> int | None:
        """Steps between dense gradients: 0 if every step takes one, `None` if no step does."""
        return None

    def gradient_off_mask(self, state: KernelState, gradient: tf.Tensor) -> tf.Tensor:
        """The gradient for a whole kernel, for methods that train weights off the mask.

        Args:
            state: The kernel.
            gradient: Its dense gradient on this replica.
        """
        return gradient

    def observe(
        self,
        strategy: tf.distribute.Strategy,
        states: list[KernelState],
        dense: list[tf.Tensor],
        step: tf.Tensor,
    ) -> None:
        """Sees the dense gradients before every finite step, in cross-replica context.

        Args:
            strategy: The `tf.distribute` strategy, the default one if the user has none.
            states: The kernels that are trained at this step.
            dense: The dense gradient of each kernel, a value per replica; see `summed`.
            step: int64 scalar, optimizer steps taken before this one.
        """

    def update_due(self, step: tf.Tensor) -> tf.Tensor | None:
        """Whether the masks change at this step; `None` if they never do.

        Args:
            step: int64 scalar, optimizer steps taken before this one.
        """
        return None

    def update_masks(
        self,
        strategy: tf.distribute.Strategy,
        states: list[KernelState],
        dense: list[tf.Tensor],
        step: tf.Tensor,
    ) -> None:
        """Changes the masks, in cross-replica context; weights and slots are put to rest after it.

        Args:
            strategy: The `tf.distribute` strategy, the default one if the user has none.
            states: The kernels that are trained at this step.
            dense: As in `observe`; empty unless `needs_dense_gradients`.
            step: int64 scalar, optimizer steps taken before this one.
        """

    def set_total_steps(self, total_steps: int, steps_per_epoch: int | None = None) -> None:
        """Tells the optimizer how long training is. `fit` does this automatically.

        Args:
            total_steps: Optimizer steps from step 0 to the end of training.
            steps_per_epoch: Optimizer steps per epoch, for steps given as `"10ep"`.
        """
        self._steps_in_training = total_steps

    @property
    def steps_in_training(self) -> int:
        """Optimizer steps of the whole training; those taken so far if its length is not known."""
        if self._assumed_steps is not None:
            return self._assumed_steps
        return max(self._steps_in_training, int(self.iterations.numpy()))

    @contextlib.contextmanager
    def assuming(self, steps: int) -> Iterator[None]:
        """Within it, the method counts as in a training of this length. Nothing is kept of it.

        Args:
            steps: Optimizer steps of the whole training.

        Raises:
            ValueError: A point in training depends on more than their number.
        """
        self._assumed_steps = steps
        try:
            yield
        finally:
            self._assumed_steps = None

    def check_calendar(self, first: int, last: int) -> None:
        """Warns where a training does not do what the method plans.

        Args:
            first: Optimizer steps taken before the training.
            last: Optimizer steps taken at its end.
        """

    @property
    def has_settled(self) -> bool:
        """Whether the method has made the last change of the masks that it plans."""
        return True

    def shortfall(self) -> str | None:
        """Says how far the masks are from the requested sparsity; `None` if it is reached."""
        return None

    def weights_in_training(self, masked: MaskedKernel | SparseKernel) -> list[tuple[int, float]]:
        """The number of weights of a kernel in the course of training.

        Args:
            masked: The kernel.

        Returns:
            `(steps, weights)` pairs: the kernel has that many weights for that many steps. By
            default it has as many as now throughout.
        """
        return [(1, masked.count())]

    def weights_with_gradients(self, masked: MaskedKernel | SparseKernel) -> int:
        """Of how many weights of a kernel the method takes the gradient, where it is "dense"."""
        return masked.size

    @property
    def dense_gradient_share(self) -> float:
        """Share of the training's batches that need dense gradients.

        While the length of training is not known, the share among `dense_gradient_every` gradient
        steps and one update.
        """
        every = self.dense_gradient_every
        return 0.0 if every is None else 1 / (every + 1)

    def course(self, masked: MaskedKernel | SparseKernel) -> list[Phase]:
        """What the steps of a training cost for one kernel.

        Args:
            masked: The kernel.

        Returns:
            The steps that cost the same, together; their order does not matter.
        """
        dense = self.dense_gradient_share
        phases = []
        for steps, weights in self.weights_in_training(masked):
            phases.append(Phase(steps * (1 - dense), weights, weights))
            wanted = max(weights, self.weights_with_gradients(masked))
            phases.append(Phase(steps * dense, weights, wanted))
        return phases
