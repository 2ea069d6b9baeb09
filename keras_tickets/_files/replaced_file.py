"""Files that take the place of older ones: complete, or as they were before."""

import contextlib
import csv
import io
import os
import pathlib
import uuid
from collections.abc import Iterable, Iterator, Sequence

PART = ".part_"


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A path to write, of this process alone, that takes the place of a file at the end.

    Args:
        path: The file. Its directory must exist.
    """
    temporary = path.with_name(f"{PART}{uuid.uuid4().hex}_{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a text file, synced to disk before it takes its place."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_csv(path: pathlib.Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Writes a table, as `write_text` does."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())
