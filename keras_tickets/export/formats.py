"""The formats of `kt.export`, and the options of each."""

import dataclasses
import functools
import importlib.util
import pathlib
from collections.abc import Callable
from typing import Any

from keras_tickets._checks import check_integer, check_one_of
from keras_tickets.export import litert, litert_encoding, onnx, openvino, saved_model
from keras_tickets.export.report import KernelReport


@dataclasses.dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        write: Writes a plain Keras model to a path and returns sentences on what that saves.
        recognizes: Whether a path holds an export of this format, which may be replaced.
        directory: Whether the path is a directory.
        suffix: What paths usually end in.
        needs_suffix: Whether they must.
        beside: Suffixes of further files beside the path.
        packages: What must be installed.
        options: For each option of the format, the allowed values; `None` for positive integers.
        takes_stored: Whether layers of a model that store kernels sparsely can stay as they are,
            given the options of the format that are set.
        encode: Writes a file again, given a `Trial` that measures files; takes the options in
            place of `write`.
    """

    write: Callable[..., str]
    recognizes: Callable[[pathlib.Path], bool]
    directory: bool = False
    suffix: str = ""
    needs_suffix: bool = False
    beside: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    options: dict[str, tuple | None] = dataclasses.field(default_factory=dict)
    takes_stored: Callable[..., bool] = lambda model, **options: False
    encode: Callable[..., KernelReport] | None = None


FORMATS = {
    "tf_saved_model": Format(
        saved_model.write,
        saved_model.recognizes,
        directory=True,
        options={"packed": (False, True)},
        takes_stored=saved_model.takes_stored,
    ),
    "litert": Format(
        litert.write,
        litert.recognizes,
        suffix=".tflite",
        options={
            "quantize": (None, "int8"),
            "kernels": ("packed", "auto", "sparse"),
            "batch_size": None,
            "target": (None, "arm64"),
        },
        takes_stored=lambda model, **options: True,
        encode=litert_encoding.encode_kernels,
    ),
    "onnx": Format(
        onnx.write, onnx.recognizes, suffix=".onnx", packages=("tf2onnx", "onnxruntime")
    ),
    "openvino": Format(
        openvino.write,
        openvino.recognizes,
        suffix=".xml",
        needs_suffix=True,
        beside=(".bin",),
        packages=("openvino",),
    ),
}
DEFAULTS = {"packed": False, "quantize": None, "kernels": "packed", "batch_size": 1, "target": None}


def find_format(name: str, **given: Any) -> Format:
    """Returns the format of this name, after checking that it has these options.

    Args:
        name: Its name.
        **given: A value for each of `DEFAULTS`.

    Raises:
        ImportError: It needs a package that is not installed.
        ValueError: There is no such format, or it lacks an option.
    """
    check_one_of("format", name, tuple(FORMATS))
    found = FORMATS[name]
    for option, value in given.items():
        allowed = found.options.get(option, (DEFAULTS[option],))
        if allowed is None:
            check_integer(option, value, low=1)
        else:
            _check_option(option, value, allowed, f"format={name!r}")
    if given["kernels"] != "auto":
        _check_option("target", given["target"], (None,), f"kernels={given['kernels']!r}")
    if given["kernels"] == "packed":
        _check_option("batch_size", given["batch_size"], (1,), "kernels='packed'")
    for package in found.packages:
        if importlib.util.find_spec(package) is None:
            raise ImportError(
                f"format={name!r} needs {package}, which is not installed: "
                f"pip install keras-tickets[{name}]"
            )
    chosen = {option: given[option] for option in found.options}
    found = dataclasses.replace(found, takes_stored=functools.partial(found.takes_stored, **chosen))
    if found.encode is None:
        return dataclasses.replace(found, write=functools.partial(found.write, **chosen))
    return dataclasses.replace(found, encode=functools.partial(found.encode, **chosen))


def _check_option(option: str, value: Any, allowed: tuple, where: str) -> None:
    if not any(type(value) is type(choice) and value == choice for choice in allowed):
        raise ValueError(
            f"`{option}` must be {' or '.join(map(repr, allowed))} with {where}. "
            f"Received: {option}={value!r}"
        )
