"""Named arrays as bytes, in the safetensors format: no pickle, and the same bytes every time."""

import json
import math
from collections.abc import Mapping

import numpy as np

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
_NAMES = {code: name for name, code in DTYPES.items()}
_METADATA = "__metadata__"


def encode(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """Arrays and strings as the content of a safetensors file, in the order given.

    The library's own writer keeps no order and not always the same one; with this one, equal
    arguments give equal bytes.

    Args:
        arrays: `{name: array}`, of dtypes in `DTYPES`.
        metadata: `{name: text}`.

    Returns:
        The length of a header in JSON, the header, and the arrays' bytes.

    Example:

    ```python
    import numpy as np
    from keras_tickets._files.named_arrays import decode, encode

    arrays, metadata = decode(encode({"a": np.arange(3)}, {"made by": "hand"}))
    assert arrays["a"].tolist() == [0, 1, 2] and metadata == {"made by": "hand"}
    ```

    References:
        - [safetensors, format](https://github.com/huggingface/safetensors#format)
    """
    header, end = {_METADATA: dict(metadata)}, 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        kind = {"dtype": DTYPES[array.dtype.name], "shape": list(array.shape)}
        header[name] = {**kind, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    parts = [np.ascontiguousarray(array).tobytes() for array in arrays.values()]
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def decode(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and strings that were `encode`d.

    Args:
        content: Any bytes.

    Returns:
        `{name: array}` and `{name: text}`, in the order of the header. The arrays are read-only.

    Raises:
        ValueError: The bytes are not what `encode` returns.
    """
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 + size:
        raise ValueError(f"it ends after {len(content)} bytes, inside its header")
    try:
        header = json.loads(content[8 : 8 + size])
        metadata = header.pop(_METADATA)
        arrays = {name: _array(content, 8 + size, **kind) for name, kind in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"its header cannot be read ({error})") from error
    if encode(arrays, metadata) != content:
        raise ValueError("its header and its data do not go together")
    return arrays, metadata


def _array(content, base, dtype, shape, data_offsets):
    start, end = data_offsets
    kind = np.dtype(_NAMES[dtype])
    if base + end > len(content):
        raise ValueError(f"it ends after {len(content)} bytes, inside its arrays")
    if not 0 <= start <= end or math.prod(shape) * kind.itemsize != end - start:
        raise ValueError(f"{end - start} bytes for an array of shape {shape}")
    return np.frombuffer(content[base + start : base + end], kind).reshape(shape)
