"""JSON files with a digest of their content."""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from keras_tickets._files.atomic import replace_file
from keras_tickets._files.reading import open_file
from keras_tickets._files.schemas import check_schema

FORMAT, DIGEST = "format", "sha256"
_MOST_BYTES = 2**28


def encode_document(kind: str, content: Mapping[str, Any]) -> bytes:
    """Encodes the content of a JSON file, with its kind and its digest.

    Args:
        kind: The kind of file, with a version number of its form.
        content: Its content; must be representable in JSON.
    """
    document = {FORMAT: kind, **json.loads(json.dumps(content))}
    document[DIGEST] = _digest(document)
    return (json.dumps(document, indent=2) + "\n").encode()


def write_document(path: str | os.PathLike, kind: str, content: Mapping[str, Any]) -> None:
    """Replaces a JSON file: it is the complete new one, or the unchanged older one.

    Args:
        path: The file.
        kind: As in `encode_document`.
        content: As in `encode_document`.
    """
    replace_file(path, encode_document(kind, content))


def read_document(path: str | os.PathLike, kind: str, schema: dict) -> dict[str, Any]:
    """Reads a JSON file and checks that its content is what was written.

    A file with neither a kind nor a digest is from version 0.1.0.dev0, which wrote none: only its
    form is checked.

    Args:
        path: The file.
        kind: The required kind.
        schema: Its form, as in `check_schema`.

    Returns:
        The content given to `write_document`.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It cannot be read.
        ValueError: It has been changed, is cut off, or is of another kind; the error names it.

    Example:

    ```python
    import pathlib, tempfile
    from keras_tickets._files.documents import read_document, write_document

    path = pathlib.Path(tempfile.mkdtemp()) / "epochs.json"
    write_document(path, "example 1", {"epochs": [0, 1]})
    assert read_document(path, "example 1", {"epochs": [int]}) == {"epochs": [0, 1]}
    ```
    """
    with open_file(path) as (file, size):
        if size > _MOST_BYTES:
            raise ValueError(f"file {str(path)!r} is damaged: it has {size:,} bytes")
        content = file.read()
    try:
        document = json.loads(content)
        check_schema(document, dict)
        if FORMAT in document or DIGEST in document:
            _check_seal(document, kind)
        check_schema(document, schema)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"file {str(path)!r} is damaged, or of another kind: {error}") from error
    return document


def _check_seal(document, kind):
    found, digest = document.get(FORMAT), document.pop(DIGEST, None)
    if found != kind:
        raise ValueError(f"its format is {found!r}, not {kind!r}")
    if digest != _digest(document):
        raise ValueError("its digest is not that of its content")
    del document[FORMAT]


def _digest(document) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
