"""The formats of `kt.export`, and the options of each."""

import dataclasses
import functools
import importlib.util
import pathlib
from collections.abc import Callable

from keras_tickets._checks import check_one_of
from keras_tickets.export import litert, onnx, openvino, saved_model


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
        options: For each option of the format, the allowed values.
    """

    write: Callable[..., str]
    recognizes: Callable[[pathlib.Path], bool]
    directory: bool = False
    suffix: str = ""
    needs_suffix: bool = False
    beside: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    options: dict[str, tuple] = dataclasses.field(default_factory=dict)


FORMATS = {
    "tf_saved_model": Format(
        saved_model.write,
        saved_model.recognizes,
        directory=True,
        options={"packed": (False, True)},
    ),
    "litert": Format(
        litert.write,
        litert.recognizes,
        suffix=".tflite",
        options={"quantize": (None, "int8")},
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
OFF = {"packed": False, "quantize": None}


def find_format(name: str, packed: bool, quantize: str | None) -> Format:
    """Returns the format of this name, after checking that it has these options.

    Raises:
        ImportError: It needs a package that is not installed.
        ValueError: There is no such format, or it lacks an option.
    """
    check_one_of("format", name, tuple(FORMATS))
    found, given = FORMATS[name], {"packed": packed, "quantize": quantize}
    for option, value in given.items():
        allowed = found.options.get(option, (OFF[option],))
        if not any(type(value) is type(choice) and value == choice for choice in allowed):
            raise ValueError(
                f"`{option}` must be {' or '.join(map(repr, allowed))} with format={name!r}. "
                f"Received: {option}={value!r}"
            )
    for package in found.packages:
        if importlib.util.find_spec(package) is None:
            raise ImportError(
                f"format={name!r} needs {package}, which is not installed: "
                f"pip install keras-tickets[{name}]"
            )
    chosen = {option: given[option] for option in found.options}
    return dataclasses.replace(found, write=functools.partial(found.write, **chosen))
