"""The inputs and outputs of a model, flat and by name, however they are nested."""

import dataclasses
import keyword
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_tickets import _keras_compat


@dataclasses.dataclass(frozen=True)
class Interface:
    """The inputs of a model.

    Attributes:
        arguments: The model's positional arguments: a list of structures of `tf.TensorSpec`s.
        inputs: Their `tf.TensorSpec`s, flat, each with a unique name.
        batch_size: The only batch size that the model accepts; `None` if it accepts any.
    """

    arguments: list
    inputs: list[tf.TensorSpec]
    batch_size: int | None

    @classmethod
    def of(cls, model: keras.Model) -> "Interface":
        """The interface of a built model."""
        arguments = _keras_compat.input_signature(model)
        paths, specs = zip(*keras.tree.flatten_with_path(arguments), strict=True)
        names = _argument_names(
            spec.name or _path_name(path[1:]) or f"args_{path[0]}"
            for path, spec in zip(paths, specs, strict=True)
        )
        named = [
            tf.TensorSpec(spec.shape, spec.dtype, name)
            for spec, name in zip(specs, names, strict=True)
        ]
        shapes = [tensor.shape for tensor in getattr(model, "inputs", None) or [] if tensor.shape]
        return cls(arguments, named, shapes[0][0] if shapes else None)

    def pack(self, values: Iterable[Any]) -> list:
        """Structures a value for each of `inputs` as the positional arguments."""
        return keras.tree.pack_sequence_as(self.arguments, list(values))

    def call(self, model: keras.Model, values: Iterable[Any]) -> dict[str, tf.Tensor]:
        """Runs the model for inference on a value for each of `inputs`; returns outputs by name."""
        return name_outputs(model(*self.pack(values), training=False))

    def file_names(self, outputs: Sequence[str]) -> list[str]:
        """Names for outputs, distinct from inputs: some formats have one set of names."""
        taken = {spec.name.lower() for spec in self.inputs}
        return [f"{name}_output" if name.lower() in taken else name for name in outputs]


def name_outputs(outputs: Any) -> dict[str, tf.Tensor]:
    """The flat outputs of a model, named by the keys of dicts or `output_0`, `output_1`, …"""
    found = [
        (path, value) for path, value in keras.tree.flatten_with_path(outputs) if value is not None
    ]
    named = [
        _path_name(path) if any(isinstance(key, str) for key in path) else f"output_{index}"
        for index, (path, _) in enumerate(found)
    ]
    return dict(zip(unique_names(named), (value for _, value in found), strict=True))


def is_flat(outputs: Any) -> bool:
    """Whether a SavedModel's signature can hold outputs as they are nested."""
    if isinstance(outputs, dict):
        names = list(name_outputs(outputs))
        parts = [outputs[key] for key in sorted(outputs)]
        if names != sorted(outputs):
            return False
    elif hasattr(outputs, "_fields"):  # the signature would have the names of its fields
        return False
    else:
        parts = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
    return not any(isinstance(part, dict | list | tuple) or part is None for part in parts)


def unique_names(names: Iterable[str], same: Callable[[str], str] = lambda name: name) -> list[str]:
    """Names that every format accepts, with `_1`, `_2`, … appended to repeated ones.

    Args:
        names: Any names.
        same: Names for which this function returns the same count as repeated.
    """
    found: list[str] = []
    seen: set[str] = set()
    for name in names:
        clean = re.sub(r"\W", "_", name, flags=re.ASCII)
        clean = clean if clean[:1].isalpha() else f"x_{clean.removeprefix('_')}"
        number, unique = 0, clean
        while same(unique) in seen:
            number += 1
            unique = f"{clean}_{number}"
        seen.add(same(unique))
        found.append(unique)
    return found


def _argument_names(names: Iterable[str]) -> list[str]:
    """Unique names of inputs, which become arguments of a Python function and nodes of a graph.

    So they are no words of the language, and do not differ by case alone.
    """
    reserved = {"self", *keyword.kwlist}
    return unique_names((f"{n}_" if n in reserved else n for n in names), str.lower)


def _path_name(path: Sequence[Any]) -> str:
    return "_".join(map(str, path))
