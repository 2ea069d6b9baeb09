"""Arrays in files, between this process and the one that started it."""

import numpy as np


def read(path: str, dtypes: dict[str, str]) -> dict[str, np.ndarray]:
    """The arrays of a file by name, in the dtypes given."""
    with np.load(path) as file:
        return {name: _as_dtype(file[name], dtypes[name]) for name in file.files}


def write(path: str, arrays: dict) -> None:
    """Writes arrays to a file."""
    stored = {name: _as_stored(value) for name, value in arrays.items()}
    np.savez(path, **stored)  # type: ignore[arg-type]


def _as_dtype(value: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "bfloat16":
        import ml_dtypes

        return value.astype(ml_dtypes.bfloat16)
    return value if dtype == "string" else value.astype(dtype)


def _as_stored(value) -> np.ndarray:
    """An array as NumPy files hold it without pickling: strings as bytes, bfloat16 as float32."""
    value = np.asarray(value)
    if value.dtype.kind in "OU":
        strings = [item if isinstance(item, bytes) else str(item).encode() for item in value.flat]
        return np.array(strings or [b""], dtype="S")[: value.size].reshape(value.shape)
    return value.astype("float32") if value.dtype.name == "bfloat16" else value
