"""Random inputs that a model accepts, of the given sizes or of sizes found by trying."""

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from keras_tickets import _keras_compat
from keras_tickets._kernels.tracing import InputShape

# Powers of two first, then sizes that are multiples of others, then odd ones.
SIZES: tuple[int, ...] = (32, 64, 128, 256, 16, 8, 4, 2, 1, 96, 224, 512, 60, 84, 72, 100, 110, 130)
SIZES += (33, 65, 129, 31, 17, 257, 360, 840, 1024, 4096, 16384, 65536)
SIZES_APART = (8, 16, 32, 64, 128)  # if one size for all open dimensions does not work
MOST_OPEN_APART = 3
MOST_ELEMENTS = 1 << 22
MAX_SECONDS = 30.0
KINDS = ("normal", "positive", "zeros")


@dataclasses.dataclass(frozen=True)
class Sample:
    """Random values for the inputs of a model, at any batch size.

    Attributes:
        specs: The `tf.TensorSpec`s of the inputs.
        shapes: A shape for each, with `None` for the batch axis.
        kind: "normal": floats are standard normal, integers and booleans 0 or 1, strings "0".
            "positive": the absolute values of those. "zeros": all zeros.
    """

    specs: Sequence[tf.TensorSpec]
    shapes: tuple[tuple[int | None, ...], ...]
    kind: str = "normal"

    def draw(self, batch: int, seed: int = 0) -> list[np.ndarray]:
        """Draws an array for each input."""
        random = np.random.default_rng(seed)
        return [
            self._values(random, spec.dtype, [batch if n is None else n for n in shape])
            for spec, shape in zip(self.specs, self.shapes, strict=True)
        ]

    def _values(self, random, dtype: tf.DType, shape: list[int]) -> np.ndarray:
        if dtype == tf.string:
            return np.full(shape, b"0")
        if dtype.is_floating or dtype.is_complex:
            values = random.standard_normal(shape)
        else:
            values = random.integers(0, 2, shape)  # 0 and 1 are in any vocabulary
        if self.kind == "positive":
            values = np.abs(values)
        if self.kind == "zeros":
            values = np.zeros(shape)
        return np.asarray(values).astype(dtype.as_numpy_dtype)

    @property
    def open_shapes(self) -> str:
        """The shapes of the inputs that leave sizes open, in words; empty if there are none."""
        chosen = [
            f"{spec.name}={'x'.join(str(n) for n in shape[1:])}"
            for spec, shape in zip(self.specs, self.shapes, strict=True)
            if None in tuple(spec.shape)[1:]
        ]
        return ", ".join(chosen)


@dataclasses.dataclass(frozen=True)
class Examples(Sample):
    """Values of a user's data in place of random ones; they repeat if there are too few.

    Attributes:
        values: An array for each input, examples first.
    """

    values: Sequence[np.ndarray] = ()

    def draw(self, batch: int, seed: int = 0) -> list[np.ndarray]:
        """The first examples of each input."""
        return [values[np.arange(batch) % len(values)] for values in self.values]


def working_samples(
    call: Callable[[list[np.ndarray]], Sequence[np.ndarray]],
    specs: Sequence[tf.TensorSpec],
    input_shape: InputShape,
    batch: int,
) -> Iterator[Sample]:
    """The samples that a model accepts, those with finite outputs first.

    Args:
        call: Runs the model on arrays; returns its outputs.
        specs: The `tf.TensorSpec`s of its inputs.
        input_shape: The shape of the input without the batch axis, or a structure of such shapes;
            `None` to try sizes if the model leaves some open.
        batch: The batch size to try with.

    Raises:
        ValueError: `input_shape` does not fit the model, or the model fails with it.
        Exception: The first error of the model, if it accepts no sample at all.
    """
    first_error: Exception | None = None
    not_finite: list[Sample] = []
    found = False
    until = time.monotonic() + MAX_SECONDS
    for sample in _candidates(specs, input_shape):
        if time.monotonic() > until:
            break
        try:
            outputs = call(sample.draw(batch))
        except Exception as error:
            first_error = first_error or error
            continue
        if all(_is_finite(value) for value in outputs):
            found = True
            yield sample
        elif not not_finite:
            not_finite.append(sample)
    yield from not_finite
    if first_error is not None and not found and not not_finite:
        raise first_error


def _candidates(specs, input_shape: InputShape) -> Iterator[Sample]:
    shapes = [given_shapes(specs, input_shape)] if input_shape is not None else list(_tried(specs))
    for kind, chosen in itertools.product(KINDS, shapes):
        yield Sample(specs, chosen, kind)


def given_shapes(specs: Sequence[tf.TensorSpec], input_shape: InputShape) -> tuple:
    """Checks and returns the shapes that a user gives.

    Raises:
        ValueError: They do not fit the model's inputs.
    """
    given: list[tuple[int, ...]] = []
    try:
        _keras_compat.map_shapes(lambda shape: given.append(tuple(shape)), input_shape)
    except (TypeError, ValueError):
        pass  # refused below
    fits = len(given) == len(specs) and all(
        len(shape) == len(spec.shape[1:])
        and all(
            isinstance(n, int) and n > 0 and size in (None, n)
            for n, size in zip(shape, spec.shape[1:], strict=True)
        )
        for shape, spec in zip(given, specs, strict=True)
    )
    if not fits:
        wanted = ", ".join(f"{spec.name}: {tuple(spec.shape[1:])}" for spec in specs)
        raise ValueError(
            "`input_shape` must be the shape of the input without the batch axis, or a structure "
            f"of such shapes, as the model's inputs have them ({wanted}). "
            f"Received: input_shape={input_shape!r}"
        )
    return tuple((*_batch_axis(spec), *shape) for spec, shape in zip(specs, given, strict=True))


def _tried(specs: Sequence[tf.TensorSpec]) -> Iterator[tuple]:
    """Shapes to try, each once: first one size for all open dimensions, then one for each."""
    places = sum(size is None for spec in specs for size in tuple(spec.shape)[1:])
    if not places:
        yield _filled(specs, ())
        return
    choices: list[Iterable[tuple[int, ...]]] = [[(size,) * places for size in SIZES]]
    if 1 < places <= MOST_OPEN_APART:
        apart = itertools.product(SIZES_APART, repeat=places)
        choices.append(sorted((sizes for sizes in apart if len(set(sizes)) > 1), key=sum))
    for sizes in itertools.chain(*choices):
        shapes = _filled(specs, sizes)
        if all(np.prod([n or 1 for n in shape]) <= MOST_ELEMENTS for shape in shapes):
            yield shapes


def _filled(specs, sizes: Iterable[int]) -> tuple:
    rest = iter(sizes)
    return tuple(
        (*_batch_axis(spec), *(next(rest) if n is None else n for n in tuple(spec.shape)[1:]))
        for spec in specs
    )


def _batch_axis(spec) -> tuple[int | None, ...]:
    return tuple(spec.shape)[:1]


def _is_finite(value: np.ndarray) -> bool:
    if value.dtype.kind not in "fc":
        return value.size > 0
    return value.size > 0 and bool(np.isfinite(value).all())
