"""What is kept of a training's masks: a row for each look at each kernel, and some masks."""

import dataclasses
import json
import math
import os
import pathlib
from typing import Any

import numpy as np

from keras_tickets._files.atomic import replace_file
from keras_tickets._files.csv_files import write_csv
from keras_tickets._files.mask_bits import unpack_mask
from keras_tickets._files.named_arrays import FORMAT, encode, read_arrays
from keras_tickets._files.schemas import check_schema

KIND = "keras_tickets topology 1"
TABLE, STATE = "topology.csv", "topology.safetensors"
# Of each row; the figures are empty where they are not known.
KEYS = ("epoch", "step", "kernel", "weights", "nonzeros")
FIGURES = (
    "sparsity",
    "grown",
    "dropped",
    "overlap_first",
    "overlap_last",
    "exploration",
    "gradient_before",
    "gradient_after",
)
COLUMNS = (*KEYS, *FIGURES)
SETS = ("first", "explored", "last")


@dataclasses.dataclass
class Topology:
    """The rows so far, and what the next ones are compared with.

    A set of weights is an array: uint8, the packed bits of a mask, or int64, ascending positions.

    Attributes:
        rows: `{column: value}` for each look at each kernel.
        shapes: `{kernel path: shape}`.
        first: The weights of each kernel at the first look.
        explored: The weights that were there at any look.
        last: The weights at the last look.
    """

    rows: list[dict[str, Any]]
    shapes: dict[str, list[int]]
    first: dict[str, np.ndarray]
    explored: dict[str, np.ndarray]
    last: dict[str, np.ndarray]

    @property
    def first_kernel(self) -> str:
        """Path of the kernel nearest to the inputs, whose masks are drawn."""
        return next(iter(self.shapes))

    def masks(self) -> tuple[np.ndarray, np.ndarray]:
        """The masks of the first kernel at the first look and at the last."""
        path = self.first_kernel
        shape = self.shapes[path]
        return mask_of(self.first[path], shape), mask_of(self.last[path], shape)


def mask_of(weights: np.ndarray, shape) -> np.ndarray:
    """A set of weights as a boolean array of a kernel's shape."""
    if weights.dtype == np.uint8:
        return unpack_mask(weights, shape)
    mask = np.zeros(math.prod(shape), bool)
    mask[weights] = True
    return mask.reshape(tuple(shape))


def write_topology(directory: str | os.PathLike, topology: Topology) -> None:
    """Replaces the two files of a directory: the table, and what it goes on from.

    Args:
        directory: An existing directory; gets `topology.safetensors` and `topology.csv`.
        topology: What they hold.
    """
    directory = pathlib.Path(directory)
    arrays = {
        f"{kind}/{path}": array for kind in SETS for path, array in getattr(topology, kind).items()
    }
    table = [[row[name] for name in COLUMNS] for row in topology.rows]
    metadata = {FORMAT: KIND, "shapes": json.dumps(topology.shapes), "rows": json.dumps(table)}
    content, _ = encode(arrays, metadata)
    replace_file(directory / STATE, content)
    write_csv(directory / TABLE, COLUMNS, table)


def read_topology(directory: str | os.PathLike) -> Topology | None:
    """What `write_topology` wrote; `None` if there is none.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is damaged; the error names it.
    """
    file = pathlib.Path(directory) / STATE
    if not file.exists():
        return None
    try:
        arrays, metadata = read_arrays(file, KIND)
        rows, shapes = json.loads(metadata["rows"]), json.loads(metadata["shapes"])
        check_schema(shapes, {str: [int]})
        if not shapes or any(len(row) != len(COLUMNS) for row in rows):
            raise ValueError("it has no kernels, or rows of other columns")
        sets = {kind: {path: arrays[f"{kind}/{path}"] for path in shapes} for kind in SETS}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"file {str(file)!r} is damaged, or of another kind: {error}") from error
    return Topology([dict(zip(COLUMNS, row, strict=True)) for row in rows], shapes, **sets)
