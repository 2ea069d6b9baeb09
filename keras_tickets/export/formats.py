"""The formats of `kt.export`, and which options each has."""

import dataclasses
import functools
import importlib.util
import pathlib
from collections.abc import Callable

from keras_tickets.export import litert, onnx, openvino, saved_model
from keras_tickets.export.measure import Runner


@dataclasses.dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        write: Writes a plain Keras model to a path and returns in sentences what that gains.
        load: Reads it back, given the `tf.TensorSpec`s of its positional arguments.
        directory: Whether the path is a directory.
        suffix: What the path must end in.
        beside: Suffixes of further files beside the path.
        packages: What must be installed.
        options: For each option that the format has, the values it may have.
    """

    write: Callable[..., str]
    load: Callable[[pathlib.Path, list], Runner]
    directory: bool = False
    suffix: str = ""
    beside: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    options: dict[str, tuple] = dataclasses.field(default_factory=dict)


FORMATS = {
    "tf_saved_model": Format(
        saved_model.write,
        saved_model.load,
        directory=True,
        options={"packed": (False, True)},
    ),
    "litert": Format(litert.write, litert.load, options={"quantize": (None, "int8")}),
    "onnx": Format(onnx.write, onnx.load, packages=("tf2onnx", "onnxruntime")),
    "openvino": Format(
        openvino.write,
        openvino.load,
        suffix=".xml",
        beside=(".bin",),
        packages=("openvino",),
    ),
}
OFF = {"packed": False, "quantize": None}


def find_format(name: str, packed: bool, quantize: str | None) -> Format:
    """The format of this name, which writes with these options.

    Raises:
        ImportError: It needs a package that is not installed.
        ValueError: There is none, or it has no such option.
    """
    if name not in FORMATS:
        allowed = ", ".join(map(repr, FORMATS))
        raise ValueError(f"format={name!r} is not known; allowed: {allowed}.")
    found, given = FORMATS[name], {"packed": packed, "quantize": quantize}
    for option, value in given.items():
        allowed = found.options.get(option, (OFF[option],))
        if value not in allowed:
            raise ValueError(
                f"{option}={value!r} is not available with format={name!r}; "
                f"use {' or '.join(map(repr, allowed))}."
            )
    for package in found.packages:
        if importlib.util.find_spec(package) is None:
            raise ImportError(
                f"format={name!r} needs {package}, which is not installed: "
                f"pip install keras-tickets[{name}]"
            )
    chosen = {option: given[option] for option in found.options}
    return dataclasses.replace(found, write=functools.partial(found.write, **chosen))
