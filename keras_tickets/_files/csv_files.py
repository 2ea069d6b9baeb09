"""Tables as CSV files."""

import csv
import io
import os
from collections.abc import Iterable, Sequence

from keras_tickets._files.atomic import replace_file


def write_csv(path: str | os.PathLike, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Replaces a table: the file is the complete new one, or the unchanged older one.

    Args:
        path: The file.
        header: Names of the columns.
        rows: The values.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    replace_file(path, text.getvalue().encode())
