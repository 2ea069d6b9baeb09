"""`CompactionReport`: what `kt.compact` removes, and what stays and why."""

import dataclasses

from keras_tickets._tables import list_text, render_table, shape_text


@dataclasses.dataclass(frozen=True)
class CompactionRow:
    """A kernel whose channels were analyzed: a row of `kt.CompactionReport`.

    Attributes:
        path: Kernel path.
        shape: Shape of the kernel before.
        compact_shape: Shape after; `None` if the whole layer is removed.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    layers = [keras.Input((8,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(2)]
    sparse = kt.sparsify(keras.Sequential(layers), 0.5, structure=kt.structures.Channel())
    for row in kt.compaction_report(sparse).rows:
        print(row.path, row.shape, row.compact_shape)
    ```
    """

    path: str
    shape: tuple[int, ...]
    compact_shape: tuple[int, ...] | None


@dataclasses.dataclass(frozen=True)
class Stayed:
    """A layer that must keep its channels, dead or not, and why.

    Attributes:
        path: The names of the enclosing models and of the layer.
        channels: Number of channels known to be dead that stay because of it.
        reason: Why they stay, in words.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    layers = [keras.Input((8,)), keras.layers.LayerNormalization(), keras.layers.Dense(2)]
    for entry in kt.compaction_report(keras.Sequential(layers)).stayed:
        print(entry.path, entry.channels, entry.reason)
    ```
    """

    path: str
    channels: int
    reason: str


@dataclasses.dataclass(frozen=True)
class CompactionReport:
    """What `kt.compact` does to a model. Prints as a table.

    Attributes:
        rows: One `CompactionRow` for each kernel of a dense layer or convolution, in order.
        stayed: The layers that keep channels that may be dead.
        parameters: Number of weights before, including weights that are not trained.
        compact_parameters: Number of weights after.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    layers = [keras.Input((8,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(2)]
    sparse = kt.sparsify(keras.Sequential(layers), 0.5, structure=kt.structures.Channel())
    report = kt.compaction_report(sparse)
    assert report.compact_parameters < report.parameters
    print(report)
    ```
    """

    rows: list[CompactionRow]
    stayed: list[Stayed]
    parameters: int
    compact_parameters: int

    def __str__(self) -> str:
        table = render_table(
            ("kernel", "shape", "compact"),
            [
                (
                    row.path,
                    shape_text(row.shape),
                    "removed" if row.compact_shape is None else shape_text(row.compact_shape),
                )
                for row in self.rows
            ],
        )
        share = self.compact_parameters / self.parameters if self.parameters else 1.0
        lines = [
            table,
            f"{self.compact_parameters:,} of {self.parameters:,} weights ({share:.1%})",
        ]
        by_reason: dict[str, list[str]] = {}
        for entry in self.stayed:
            count = f" ({entry.channels} dead)" if entry.channels else ""
            by_reason.setdefault(entry.reason, []).append(entry.path + count)
        for reason, paths in by_reason.items():
            lines.append(list_text(f"stays ({reason})", paths))
        return "\n".join(lines)

    __repr__ = __str__
