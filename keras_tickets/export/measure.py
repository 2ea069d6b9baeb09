"""Measures an exported model on random inputs: difference, latency and memory."""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tickets._kernels.tracing import InputShape
from keras_tickets._warnings import warn
from keras_tickets.export import apart
from keras_tickets.export.interface import Interface
from keras_tickets.export.report import Latency
from keras_tickets.export.samples import Examples, Sample, working_samples

BATCH_SIZES = (1, 32)
MIN_CALLS, MAX_CALLS, MAX_SECONDS = 10, 200, 0.5
MOST_SAMPLES = 4
SIZES_NOTE = "Measured with {shapes}."
ONE_BATCH_NOTE = "Runs at batch size {ran}, but not at {failed}: {error}"
FAR = 0.1
FAR_NOTE = (
    "Outputs of the exported file differ by up to {difference:.3g} from the model's, the largest "
    "of which is {largest:.3g}: do not use it unseen."
)
NOT_MEASURED_NOTE = (
    "Not measured: the model took none of the random inputs tried, so pass `input_shape` if its "
    "sizes are why. The first error was {error}"
)
NO_RUNTIME_NOTE = "Not measured: nothing that runs the file is installed. {error}"


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
        difference: The largest absolute difference of the outputs; NaN if nothing could be run.
        latency: `Latency` by batch size.
        ram_bytes: Peak growth of the process's memory; `None` if it was not measured.
        note: Remarks, in sentences; may be empty.
    """

    difference: float
    latency: dict[int, Latency]
    ram_bytes: int | None
    note: str

    @classmethod
    def nothing(cls, note: str) -> "Measured":
        """Nothing, for the reason in the note."""
        return cls(float("nan"), {}, None, note)


class Trial:
    """An exported model and the original, run on the same random inputs.

    Args:
        model: The original.
        interface: Its inputs.
        format: The format of the exported model.
        folder: Where to write arrays for the process that runs it.
        input_shape: As in `kt.export`.
        examples: An array for each input to run on, in place of random ones.
    """

    def __init__(
        self,
        model: keras.Model,
        interface: Interface,
        format: str,
        *,
        folder: pathlib.Path,
        input_shape: InputShape = None,
        examples: Sequence[np.ndarray] = (),
    ):
        self.model, self.interface = model, interface
        self.format, self.folder = format, folder
        self.input_shape = input_shape
        self.examples = examples

    def samples(self) -> Iterator[Sample]:
        """The inputs that the model accepts, the best ones first.

        Raises:
            ValueError: The model does not accept `input_shape`.
            Exception: The model accepts none of the inputs tried; the first of its errors.
        """
        batch = self._batches[0]
        inputs = self.interface.inputs
        if self.examples:
            shapes = tuple((None, *values.shape[1:]) for values in self.examples)
            yield Examples(inputs, shapes, values=self.examples)
            return
        try:
            yield from working_samples(self._outputs, inputs, self.input_shape, batch)
        except Exception as error:
            if self.input_shape is None or str(error).startswith("`input_shape`"):
                raise
            raise ValueError(
                "`input_shape` must be a shape that the model takes: "
                f"{first_line(error)} Received: input_shape={self.input_shape!r}"
            ) from error

    @property
    def _batches(self) -> tuple[int, ...]:
        size = self.interface.batch_size
        return BATCH_SIZES if size is None else (size,)

    def _outputs(self, values: list[np.ndarray]) -> list[np.ndarray]:
        return list(self._named(values).values())

    def _named(self, values) -> dict[str, np.ndarray]:
        with keras.StatelessScope():  # what a call would assign is lost: the next is as the first
            outputs = self.interface.call(self.model, map(tf.convert_to_tensor, values))
        return {name: np.asarray(value) for name, value in outputs.items()}

    def sample(self) -> Sample:
        """The best inputs that the model accepts.

        Raises:
            ValueError: The model does not accept `input_shape`.
            apart.Failure: The model accepts none of the inputs tried.
        """
        try:
            return next(self.samples())
        except Exception as error:
            if self.input_shape is not None or str(error).startswith("`input_shape`"):
                raise
            raise apart.Failure(f"the model takes no random inputs. {first_line(error)}") from error

    def request(self, do: str, values: list[np.ndarray], **arguments: Any) -> dict[str, Any]:
        """Asks the process that runs exported models for something, with values for the inputs.

        Raises:
            apart.Failure: It is refused there.
        """
        names = [spec.name for spec in self.interface.inputs]
        return self.request_named(do, dict(zip(names, values, strict=True)), **arguments)

    def request_named(
        self, do: str, inputs: dict[str, np.ndarray], **arguments: Any
    ) -> dict[str, Any]:
        """The same with inputs by name, for any file of the format.

        Raises:
            apart.Failure: It is refused there.
        """
        path = self.folder / "inputs.npz"
        arrays: dict[str, Any] = {name: _as_stored(value) for name, value in inputs.items()}
        np.savez(path, **arrays)
        dtypes = {name: tf.as_dtype(value.dtype).name for name, value in inputs.items()}
        return apart.request(do, self.format, inputs=str(path), dtypes=dtypes, **arguments)

    def measure(self, path: pathlib.Path, ram: bool = False) -> Measured:
        """Compares an exported model with the original, and times it.

        Args:
            path: The exported model.
            ram: Whether to measure memory too.

        Raises:
            ValueError: The model does not accept `input_shape`.
            apart.Failure: The exported model cannot be run on any input that the model accepts.
        """
        failure: apart.Failure | None = None
        try:
            for sample in itertools.islice(self.samples(), MOST_SAMPLES):
                try:
                    return self._run(path, sample, ram)
                except apart.Failure as error:
                    failure = failure or error
        except Exception as error:
            if self.input_shape is not None or str(error).startswith("`input_shape`"):
                raise
            if failure is None:
                return Measured.nothing(NOT_MEASURED_NOTE.format(error=first_line(error)))
        assert failure is not None
        if failure.no_runtime:
            return Measured.nothing(NO_RUNTIME_NOTE.format(error=failure))
        raise failure

    def _run(self, path: pathlib.Path, sample: Sample, ram: bool) -> Measured:
        """Measures at each batch size; the note reports one that fails after another has run."""
        difference, largest, latency, ram_bytes, notes = 0.0, 0.0, {}, None, []
        if sample.open_shapes:
            notes.append(SIZES_NOTE.format(shapes=sample.open_shapes))
        for batch in self._batches:
            values = sample.draw(batch)
            try:
                expected = self._named(values)
            except Exception:
                if latency:
                    continue
                raise
            try:
                outputs, reply = self._run_file(path, values, expected, ram and not latency)
            except apart.Failure as error:
                if not latency:
                    raise
                ran = ", ".join(map(str, latency))
                notes.append(ONE_BATCH_NOTE.format(ran=ran, failed=batch, error=error))
                continue
            difference = max(difference, _max_abs_difference(expected, outputs))
            largest = max(largest, *map(_largest, expected.values()))
            times = reply["milliseconds"]
            latency[batch] = Latency(float(np.median(times)), min(times), max(times))
            ram_bytes = reply["ram_bytes"] if ram_bytes is None else ram_bytes
        if difference > FAR * largest:
            notes.append(FAR_NOTE.format(difference=difference, largest=largest))
            warn(notes[-1])
        return Measured(difference, latency, ram_bytes, " ".join(notes))

    def _run_file(self, path: pathlib.Path, values, expected, ram: bool):
        target = self.folder / "outputs.npz"
        reply = self.request(
            "run",
            values,
            path=str(path),
            outputs=str(target),
            calls={"least": MIN_CALLS, "most": MAX_CALLS, "seconds": MAX_SECONDS},
            ram=ram,
        )
        with np.load(target) as file:
            results = {name: file[name] for name in file.files}
        names = list(expected)
        if self.format != "tf_saved_model":
            names = self.interface.file_names(names)
        if missing := [name for name in names if name not in results]:
            raise apart.Failure(f"it has no outputs of the names {missing}, but {list(results)}")
        return [results[name] for name in names], reply


def _max_abs_difference(expected: dict[str, np.ndarray], actual: list[np.ndarray]) -> float:
    """The largest difference over all outputs; infinite if strings or shapes differ."""
    return max(
        (_difference(a, b) for a, b in zip(expected.values(), actual, strict=True)), default=0.0
    )


def _largest(expected: np.ndarray) -> float:
    """The largest absolute finite value; 0 for strings."""
    if expected.dtype.kind in "OSU":
        return 0.0
    values = np.abs(expected.astype("complex128"))
    return float(values.max(initial=0.0, where=np.isfinite(values)))


def _difference(expected: np.ndarray, actual: np.ndarray) -> float:
    if expected.shape != actual.shape:
        return float("inf")
    if expected.dtype.kind in "OSU":
        same = expected.astype("S") == actual.astype("S")
        return 0.0 if same.all() else float("inf")
    wide = "complex128" if expected.dtype.kind == "c" else "float64"
    a, b = expected.astype(wide), actual.astype(wide)
    with np.errstate(invalid="ignore"):
        differences = np.atleast_1d(np.abs(a - b))
    differences[(a == b) | (np.isnan(a) & np.isnan(b))] = 0
    differences[np.isnan(differences)] = np.inf
    return float(differences.max(initial=0.0))


def _as_stored(value: np.ndarray) -> np.ndarray:
    return value.astype("float32") if value.dtype.name == "bfloat16" else value


def first_line(error: Exception) -> str:
    """The name of an error and the first line that it says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {(lines or [''])[0].rstrip('.')}."
