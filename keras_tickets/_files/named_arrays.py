"""Named arrays in files, in the safetensors format: no pickle, and the same bytes every time."""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from keras_tickets._files.reading import open_file
from keras_tickets._files.schemas import check_schema

DTYPES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "uint32": "U32",
    "int32": "I32",
    "uint64": "U64",
    "int64": "I64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
}
FORMAT, DIGEST = "format", "digest"
_NAMES = {code: name for name, code in DTYPES.items()}
_METADATA = "__metadata__"
_MOST_HEADER_BYTES = 10**8  # As in safetensors' own readers.
_ENTRY = {"dtype": str, "shape": [int], "data_offsets": [int]}


def encode(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> tuple[bytes, str]:
    """Encodes arrays and strings as the content of a safetensors file, in the given order.

    The library's own writer does not keep the order, and its order can vary; here equal arguments
    give equal bytes.

    Args:
        arrays: `{name: array}`, of dtypes in `DTYPES`.
        metadata: `{name: text}` with "format", the kind of file; the digest is added to it.

    Returns:
        The content (the length of a header in JSON, the header, and the arrays' bytes), and the
        digest.

    Example:

    ```python
    import pathlib, tempfile
    import numpy as np
    from keras_tickets._files.named_arrays import encode, read_arrays

    path = pathlib.Path(tempfile.mkdtemp()) / "a.safetensors"
    content, digest = encode({"a": np.arange(3)}, {"format": "example 1"})
    path.write_bytes(content)
    arrays, metadata = read_arrays(path, "example 1")
    assert arrays["a"].tolist() == [0, 1, 2] and metadata["digest"] == digest
    ```

    References:
        - [safetensors, format](https://github.com/huggingface/safetensors#format)
    """
    digest = digest_of(arrays, metadata)
    header = _header(arrays, {**metadata, DIGEST: digest})
    return b"".join([header, *map(_bytes, arrays.values())]), digest


def digest_of(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """SHA-256 in hexadecimal over arrays and strings, whatever the order of the arrays."""
    arrays = dict(sorted(arrays.items()))
    digest = hashlib.sha256(_header(arrays, metadata))
    for array in arrays.values():
        digest.update(_bytes(array))
    return digest.hexdigest()


def read_arrays(
    path: str | os.PathLike, *kinds: str
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads a file of arrays and checks that every byte is as it was written.

    It never allocates more memory than the size of the file.

    Args:
        path: The file.
        *kinds: The "format" must be one of these.

    Returns:
        `{name: array}` and `{name: text}`, in the order of the file, with format and digest. The
        arrays are read-only.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It cannot be read.
        ValueError: It is not what `encode` returned, or is of another kind.
    """
    with open_file(path) as (file, size):
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= min(size - 8, _MOST_HEADER_BYTES):
            raise ValueError(f"it ends after {size} bytes, inside its header")
        text = file.read(length)
        entries, metadata = _parse(text)
        _check_layout(entries, size - 8 - length)
        if metadata.get(FORMAT) not in kinds:
            wanted = " or ".join(map(repr, kinds))
            raise ValueError(f"its format is {metadata.get(FORMAT)!r}, not {wanted}")
        data = file.read()
    arrays = {name: _array(data, entry) for name, entry in entries}
    if _header(arrays, metadata) != length.to_bytes(8, "little") + text:
        raise ValueError("its header is not as it was written")
    unsealed = {name: value for name, value in metadata.items() if name != DIGEST}
    if (digest := digest_of(arrays, unsealed)) != metadata.get(DIGEST):
        raise ValueError(
            f"its digest is {metadata.get(DIGEST)!r}, and that of its content {digest!r}"
        )
    return arrays, metadata


def _header(arrays, metadata) -> bytes:
    """Returns what precedes the arrays' bytes: a length, and JSON padded to it."""
    header: dict[str, Any] = {_METADATA: dict(metadata)}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        kind = {"dtype": DTYPES[array.dtype.name], "shape": list(array.shape)}
        header[name] = {**kind, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _bytes(array) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def _parse(text: bytes) -> tuple[list[tuple[str, dict]], dict[str, str]]:
    """Parses a header into the entries of the arrays and the metadata."""
    try:
        header = json.loads(text)
        check_schema(header, {_METADATA: {str: str}})
        metadata = header.pop(_METADATA)
        check_schema(header, {str: _ENTRY})
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its header cannot be read ({error})") from error
    return list(header.items()), metadata


def _check_layout(entries: Iterable[tuple[str, dict]], size: int) -> None:
    """Raises an error unless the arrays follow each other without gaps to the end of the file."""
    end = 0
    for name, entry in entries:
        shape, offsets = entry["shape"], entry["data_offsets"]
        if entry["dtype"] not in _NAMES or min(shape, default=0) < 0:
            raise ValueError(f"{name!r} has dtype {entry['dtype']!r} and shape {shape}")
        start, end = end, end + math.prod(shape) * np.dtype(_NAMES[entry["dtype"]]).itemsize
        if offsets != [start, end]:
            raise ValueError(f"{name!r} of shape {shape} cannot lie at bytes {offsets}")
    if end != size:
        raise ValueError(f"its arrays take {end:,} bytes, and {size:,} are there")


def _array(data, entry):
    start, end = entry["data_offsets"]
    dtype = np.dtype(_NAMES[entry["dtype"]])
    return np.frombuffer(data[start:end], dtype).reshape(entry["shape"])
