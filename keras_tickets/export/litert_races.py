"""LiteRT kernels and files timed against each other on this machine."""

import contextlib
import dataclasses
import pathlib
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from keras_tickets.export import apart
from keras_tickets.export.litert_weights import encode_alone, first_input, is_integer
from keras_tickets.export.measure import Trial
from keras_tickets.export.samples import Sample

SIGNATURE, CONTROL = "serving_default", "control"  # as in `_apart/run_litert.py`
LEAST_GAIN = 1.05
MIN_ROUNDS, MAX_ROUNDS = 5, 21
MAX_SECONDS, ALL_SECONDS = 0.3, 30.0  # of one race, of all


@dataclasses.dataclass(frozen=True)
class Race:
    """What came of timing a kernel in several forms against itself dense.

    Attributes:
        speedups: How many times as fast as dense each form is: the median over the rounds.
        faster: The forms that are faster beyond doubt, the fastest first: in three quarters of the
            rounds, by at least 5 % than the faster of two dense kernels timed beside them.
        refused: What the interpreter says of forms that it does not run.
    """

    speedups: Mapping[str, float]
    faster: Sequence[str]
    refused: Mapping[str, str]

    @classmethod
    def of(cls, reply: Mapping) -> "Race":
        """Judges the reply of the process that timed them."""
        forms = dict(reply["seconds"])
        dense, control = forms.pop("dense"), forms.pop(CONTROL)
        faster_dense = list(map(min, dense, control))
        speedups = {form: statistics.median(_ratios(dense, own)) for form, own in forms.items()}
        faster = [
            form
            for form, own in forms.items()
            if statistics.quantiles(_ratios(faster_dense, own), n=4)[0] >= LEAST_GAIN
        ]
        return cls(speedups, sorted(faster, key=lambda form: -speedups[form]), reply["refused"])


def race_kernels(
    content: bytes,
    forms: Mapping[int, Sequence[str]],
    trial: Trial,
    sample: Sample,
    batches: Sequence[int],
) -> Iterator[tuple[int, dict[int, Race] | apart.Failure]]:
    """Times kernels, each in a FULLY_CONNECTED alone with inputs as they are in the model.

    Args:
        content: The converted file.
        forms: The forms of each kernel to time, by the index of its tensor.
        trial: Runs files.
        sample: Inputs that the model accepts.
        batches: The batch sizes; those after the first are left out if the model refuses them.

    Returns:
        For each kernel its races by batch size, or what went wrong.

    Raises:
        apart.Failure: The file does not run at the first batch size.
    """
    if not forms:
        return
    shapes = dict(_input_shapes(content, forms, trial, sample, batches))
    rounds = _rounds(min(MAX_SECONDS, ALL_SECONDS / (len(forms) * len(shapes))))
    for place, (index, names) in enumerate(forms.items()):
        paths = {form: trial.folder / form for form in ("dense", *names)}
        for form, path in paths.items():
            path.write_bytes(encode_alone(content, index, form, SIGNATURE))
        texts = {form: str(path) for form, path in paths.items()}
        integer = is_integer(content, index)
        try:
            yield (
                index,
                {
                    batch: Race.of(
                        _race(trial, of_batch[place], integer, paths=texts, rounds=rounds)
                    )
                    for batch, of_batch in shapes.items()
                },
            )
        except apart.Failure as error:
            yield index, error


def race_files(
    slow: pathlib.Path, fast: pathlib.Path, trial: Trial, sample: Sample, batches: Iterable[int]
) -> dict[int, float]:
    """How many times as fast as another file a file is, by batch size.

    Raises:
        apart.Failure: One does not run at the first batch size.
    """
    found: dict[int, float] = {}
    for batch in batches:
        with _skipped_unless_first(found):
            paths = {"dense": str(slow), "sparse": str(fast)}
            reply = trial.request("race", sample.draw(batch), paths=paths, rounds=_rounds())
            if reply["refused"]:
                raise apart.Failure(reply["refused"]["sparse"])
            found[batch] = Race.of(reply).speedups["sparse"]
    return found


def _input_shapes(content, forms, trial, sample, batches) -> dict[int, list[list[int]]]:
    """The shape of what each kernel multiplies, by batch size."""
    path = trial.folder / "converted"
    path.write_bytes(content)
    tensors = [first_input(content, index) for index in forms]
    found: dict[int, list[list[int]]] = {}
    for batch in batches:
        with _skipped_unless_first(found):
            values = sample.draw(batch)
            reply = trial.request("shapes", values, path=str(path), tensors=tensors)
            found[batch] = reply["shapes"]
    return found


@contextlib.contextmanager
def _skipped_unless_first(found: dict) -> Iterator[None]:
    """Some models take one batch size and not another."""
    try:
        yield
    except apart.Failure:
        if not found:
            raise


def _race(trial: Trial, shape: Sequence[int], integer: bool, **arguments) -> dict:
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    if integer:
        values = (32 * values).clip(-128, 127).astype(np.int8)
    return trial.request_named("race", {"input": values}, **arguments)


def _rounds(seconds: float | None = None) -> dict:
    seconds = MAX_SECONDS if seconds is None else seconds
    return {"least": MIN_ROUNDS, "most": MAX_ROUNDS, "seconds": seconds}


def _ratios(dense: Sequence[float], own: Sequence[float]) -> list[float]:
    return [slow / fast for slow, fast in zip(dense, own, strict=True)]
