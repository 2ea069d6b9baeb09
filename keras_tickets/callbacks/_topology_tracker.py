"""What is known of masks over training: compares them with the first and the last ones seen."""

import os
from collections.abc import Mapping

from keras_tickets._files.topology_file import Topology, read_topology
from keras_tickets._masked_kernel import MaskedKernel
from keras_tickets._sparse_storage.kernel import SparseKernel
from keras_tickets.callbacks._weight_sets import active, common, count, union

Records = Mapping[str, MaskedKernel | SparseKernel]
Norms = Mapping[str, float]


class TopologyTracker:
    """Looks at the masks of a model, and keeps a row for each kernel and look.

    Args:
        records: `{kernel path: record}` of the masked kernels, in layer order.
        epoch: Epochs before training begins.
        step: Optimizer steps before training begins.
        directory: Where an earlier part of this training may have left its files, or `None`.
        explored: Shares of weights ever active by kernel name, where they are recorded.

    Attributes:
        topology: The rows so far, with the masks that the next ones are compared with.
        new_rows: Those of a look that was made here.

    Raises:
        ValueError: The files are damaged, or of other kernels.
    """

    def __init__(
        self,
        records: Records,
        epoch: int,
        step: int,
        directory: str | os.PathLike | None = None,
        explored: Mapping[str, float] | None = None,
    ):
        self.records = records
        before = None if directory is None else read_topology(directory)
        rows = [row for row in before.rows if row["step"] <= step] if before else []
        shapes = {path: list(record.shape) for path, record in records.items()}
        now = {path: active(record) for path, record in records.items()}
        # Only a training that was first looked at before goes on; another one begins anew.
        if before is None or not rows or rows[0]["step"] == step:
            self.topology = Topology([], shapes, now, now, now)
            self.new_rows = self.look(epoch, step, explored=explored)
            return
        if before.shapes != shapes:
            raise ValueError(
                f"{str(directory)!r} holds the masks of a training of other kernels, "
                f"{before.shapes}, and this model has {shapes}: choose another directory"
            )
        # Killed after a checkpoint and before the look at what it holds, it is looked at now.
        behind = before.rows[-1]["step"] < step
        last = before.last if behind else now
        self.topology = Topology(rows, shapes, before.first, before.explored, last)
        self.new_rows = self.look(epoch, step, explored=explored) if behind else []

    def look(
        self,
        epoch: int,
        step: int,
        before: Norms | None = None,
        after: Norms | None = None,
        explored: Mapping[str, float] | None = None,
    ) -> list[dict]:
        """Adds a row for each kernel, and returns them.

        Args:
            epoch: The epoch, counted from 1; 0 before the first.
            step: Optimizer steps so far.
            before: Norms of gradients before an update.
            after: Norms of gradients after it.
            explored: Shares of weights ever active by kernel name, where they are recorded.
        """
        state, rows = self.topology, []
        for path, record in self.records.items():
            now, last = active(record), state.last[path]
            held, kept = count(now), common(now, last)
            state.explored = {**state.explored, path: union(state.explored[path], now)}
            seen = count(state.explored[path]) / record.size
            rows.append(
                {
                    "epoch": epoch,
                    "step": step,
                    "kernel": path,
                    "weights": record.size,
                    "nonzeros": held,
                    "sparsity": 1 - held / record.size,
                    "grown": 1 - kept / held if held else 0.0,
                    "dropped": 1 - kept / count(last) if count(last) else 0.0,
                    "overlap_first": _iou(state.first[path], now),
                    "overlap_last": _iou(last, now),
                    "exploration": (explored or {}).get(record.name, seen),
                    "gradient_before": (before or {}).get(path),
                    "gradient_after": (after or {}).get(path),
                }
            )
            state.last = {**state.last, path: now}
        state.rows = [*state.rows, *rows]
        return rows


def _iou(a, b) -> float:
    """Intersection over union; 1 for two empty sets."""
    both = common(a, b)
    either = count(a) + count(b) - both
    return both / either if either else 1.0
