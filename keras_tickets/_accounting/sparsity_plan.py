"""The table of a model's masked kernels, and what they cost together."""

import dataclasses
import math

from keras_tickets._accounting.format_names import FORMAT_NAMES
from keras_tickets._accounting.memory import Memory
from keras_tickets._tables import bytes_text, fill, list_text, render_table, shape_text

SHOWN = 5


@dataclasses.dataclass(frozen=True)
class PlanRow:
    """A masked kernel: a row of `kt.SparsityPlan`.

    Attributes:
        path: Kernel path.
        shape: Shape of the kernel.
        sparsity: Target share of zeros.
        nonzeros: Number of weights that the mask leaves.
        flops: Operations of a forward pass for one sample; `None` if the size of the model's input
            is not known.
        storage: How the kernel is or would be stored, "masked" or "sparse".
        why_masked: Why it cannot be stored sparsely; `None` where it can.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="head")])
    row = kt.plan(model, 0.75).rows[0]
    assert row.path == "head/kernel" and row.size == 32 and row.nonzeros == 8
    ```
    """

    path: str
    shape: tuple[int, ...]
    sparsity: float
    nonzeros: int
    flops: float | None
    storage: str = "masked"
    why_masked: str | None = None

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def actual(self) -> float:
        """Actual share of zeros, which counts whole weights."""
        return 1 - self.nonzeros / self.size


@dataclasses.dataclass(frozen=True)
class SparsityPlan:
    """The masked kernels of a model and what stays dense. Prints as a table.

    Attributes:
        rows: One `PlanRow` for each masked kernel, in layer order.
        skipped: `(path, reason)` for each kernel that has no mask.
        weights: Number of weights of the model, with biases and statistics.
        memory: `{"dense": …, "masked": …, "sparse": …}`: what the model takes by how its kernels
            are stored. Those that cannot be stored sparsely are masked in "sparse".
        slots_per_weight: Variables of the optimizer that `memory` counts for each weight; 1, as of
            SGD with momentum, for a model that is not compiled.
        storage: "sparse" where sparse storage was asked for or is there, otherwise "masked".
        sizes: `{format: bytes}` of all weights where kernels with zeros are stored as "dense";
            "bit_mask", values and one bit for each position; "csr" and "csc", of the kernel as a
            matrix with its last axis as columns, with indices of 32 bits; "n_of_m", values and
            their places in their groups, for structures with groups; "deltas", values and 8 bits
            for the distance from the one before, with zeros where that is too far, as many as
            random masks are expected to need where there are no masks yet.
        flops: Operations of a forward pass for one sample, of all layers, as `kt.flops` counts
            them; `None` if the size of the model's input is not known.
        dense_flops: The same without zeros.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    planned = kt.plan(model, 0.75)
    assert planned.sparsity == 0.75 and planned.sparsity_all_weights == 24 / 36
    print(planned)
    ```
    """

    rows: list[PlanRow]
    skipped: list[tuple[str, str]]
    weights: int
    memory: dict[str, Memory] = dataclasses.field(default_factory=dict)
    slots_per_weight: int = 1
    storage: str = "masked"
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    flops: float | None = None
    dense_flops: float | None = None

    @property
    def nonzeros(self) -> int:
        """Number of weights that the masks leave."""
        return sum(row.nonzeros for row in self.rows)

    @property
    def sparsity(self) -> float:
        """Share of zeros over the masked kernels; 0 if there are none."""
        size = sum(row.size for row in self.rows)
        return 1 - self.nonzeros / size if size else 0.0

    @property
    def sparsity_all_weights(self) -> float:
        """Share of masked weights over all weights of the model."""
        zeros = sum(row.size for row in self.rows) - self.nonzeros
        return zeros / self.weights if self.weights else 0.0

    def __str__(self) -> str:
        sparse = self.storage == "sparse"
        storage = ("storage",) if sparse else ()
        table = render_table(
            ("kernel", "shape", "target", "actual", "nonzeros", "FLOPs", *storage),
            [
                (
                    row.path,
                    shape_text(row.shape),
                    f"{row.sparsity:.4f}",
                    f"{row.actual:.4f}",
                    f"{row.nonzeros:,}",
                    "?" if row.flops is None else f"{row.flops:,.0f}",
                    *((row.storage,) if sparse else ()),
                )
                for row in self.rows
            ],
            droppable=("target", "FLOPs"),
        )
        total = (
            f"sparsity {self.sparsity:.4f} over the masked kernels, "
            f"{self.sparsity_all_weights:.4f} over all {self.weights:,} weights"
        )
        lines = [table, fill(total)]
        if self.flops is not None and self.dense_flops:
            lines.append(
                fill(
                    f"{self.flops:,.0f} FLOPs in a forward pass for one sample, "
                    f"{self.flops / self.dense_flops:.4f} of {self.dense_flops:,.0f} without zeros"
                )
            )
        for heading, paths in self._by_reason().items():
            more = [f"and {len(paths) - SHOWN} more"] if len(paths) > SHOWN else []
            lines.append(list_text(heading, paths[:SHOWN] + more))
        if self.memory:
            lines += ["", self._memory_table()]
            lines.append(fill(f"(slots: {self.slots_per_weight} a weight; without activations)"))
        if self.sizes:
            stored = [f"{FORMAT_NAMES[name]} {bytes_text(n)}" for name, n in self.sizes.items()]
            lines.append(list_text("stored", stored))
        return "\n".join(lines)

    def _by_reason(self) -> dict[str, list[str]]:
        """What stays dense, and beside sparse storage what is masked, with the reasons."""
        found: dict[str, list[str]] = {}
        if self.storage == "sparse":
            for row in self.rows:
                if row.storage == "masked":
                    found.setdefault(f"masked ({row.why_masked or 'asked for'})", []).append(
                        row.path
                    )
        for path, reason in self.skipped:
            found.setdefault(f"no mask ({reason})", []).append(path)
        return found

    def _memory_table(self) -> str:
        columns = ("weights", "masks", "gradients", "slots", "training", "disk", "ram")
        rows = [
            (storage, *(bytes_text(getattr(memory, column)) for column in columns))
            for storage, memory in self.memory.items()
        ]
        return render_table(("", *columns), rows)

    __repr__ = __str__
