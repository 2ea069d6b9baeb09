"""Which kernels of a LiteRT file are computed with as they are stored, without their zeros.

Whether that is faster than dense depends on the zeros, the sizes, the batch and the processor. So
it is measured on this machine, or looked up for another one.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

from keras_tickets.export import apart
from keras_tickets.export.litert_file import LitertFile
from keras_tickets.export.litert_races import Race, race_kernels
from keras_tickets.export.litert_weights import expanded_bytes, sparse_forms, zeros
from keras_tickets.export.measure import Trial
from keras_tickets.export.samples import Sample

PACKED = "packed"
MOST_EXPANDED = 2**28  # bytes of a kernel stored sparsely that is expanded to be measured
# The least share of zeros (of blocks in the second and third form) with which each of the layers
# measured, 784x300, 1024x1024 and 4096x4096, was faster than dense: at batch size 1, and at 32.
THRESHOLDS = {"csr": (0.95, 0.98), "1x4": (0.9, 0.95), "1x16": (0.8, 0.9)}


@dataclasses.dataclass(frozen=True)
class Choice:
    """The form chosen for a kernel.

    Attributes:
        form: "csr", "1x4" or "1x16"; "packed" if the kernel is expanded.
        reason: Why, in words.
        speedups: How many times as fast as dense each form is, by batch size and form.
        best: The form that would be chosen, by batch size.
    """

    form: str
    reason: str
    speedups: Mapping[int, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    best: Mapping[int, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Candidates:
    """The kernels of a converted file that could be computed with as they are stored.

    Attributes:
        content: The file.
        forms: The forms that each could have, the smallest last, by the index of its tensor.
        others: The choice for kernels that have none of these forms.
    """

    content: bytes
    forms: Mapping[int, Sequence[str]]
    others: Mapping[int, Choice]

    @classmethod
    def of(cls, content: bytes, int8: bool) -> "Candidates":
        """Finds them."""
        file, forms, others = LitertFile(content), {}, {}
        for index in file.kernels():
            found, reason = sparse_forms(file, index, int8)
            if found:
                forms[index] = found
            else:
                others[index] = Choice(PACKED, reason)
        return cls(content, forms, others)

    def packed(self, reason: str) -> dict[int, Choice]:
        """All kernels are expanded."""
        return {**self.others, **{index: Choice(PACKED, reason) for index in self.forms}}

    def smallest(self, reason: str) -> dict[int, Choice]:
        """Each has its smallest form."""
        chosen = {index: Choice(forms[-1], reason) for index, forms in self.forms.items()}
        return {**self.others, **chosen}

    def by_table(self, batches: Sequence[int]) -> dict[int, Choice]:
        """Each has its smallest form for which it has enough zeros at the first batch size."""
        file, chosen = LitertFile(self.content), {}
        for index, forms in self.forms.items():
            shares = {form: zeros(file, index, form) for form in forms}
            best = {batch: _by_table(shares, batch) for batch in batches}
            form = best[batches[0]]
            shown = forms[-1] if form == PACKED else form
            least = THRESHOLDS[shown][batches[0] > 1]
            than = "fewer than" if form == PACKED else "at least"
            reason = f"{shares[shown]:.1%} zeros as {shown}, {than} the {least:.0%} of the table"
            chosen[index] = Choice(form, reason, best=best)
        return {**self.others, **chosen}

    def by_measuring(
        self, trial: Trial, sample: Sample, batches: Sequence[int], force: bool
    ) -> dict[int, Choice]:
        """Each has the form that is fastest on this machine at the first batch size.

        Args:
            trial: Runs files.
            sample: Inputs that the model accepts.
            batches: The batch sizes to measure at.
            force: Whether the smallest form is chosen that the interpreter does not refuse.

        Raises:
            apart.Failure: The file does not run at the first batch size.
        """
        raced = {index: names for index, names in self.forms.items() if index not in self.large}
        races = race_kernels(self.content, raced, trial, sample, batches)
        chosen = {index: _judge(found, batches[0], force) for index, found in races}
        large = {
            index: Choice(self.forms[index][-1], f"expanded it would take {size / 1e9:.2g} GB")
            for index, size in self.large.items()
        }
        return {**self.others, **chosen, **large}

    @functools.cached_property
    def large(self) -> dict[int, int]:
        """The bytes that kernels would take if expanded, of those that are never expanded."""
        sizes = {index: expanded_bytes(self.content, index) for index in self.forms}
        return {index: size for index, size in sizes.items() if size > MOST_EXPANDED}


def _by_table(shares: Mapping[str, float], batch: int) -> str:
    enough = [form for form, share in shares.items() if share >= THRESHOLDS[form][batch > 1]]
    return enough[-1] if enough else PACKED


def _judge(races: dict[int, Race] | apart.Failure, batch: int, force: bool) -> Choice:
    if isinstance(races, apart.Failure):
        return Choice(PACKED, f"the interpreter refuses it: {races}")
    first = races[batch]
    best = {size: race.faster[0] if race.faster else PACKED for size, race in races.items()}
    form = [PACKED, *first.speedups][-1] if force else best[batch]
    measured = [f"{name} {factor:.2f} times as fast" for name, factor in first.speedups.items()]
    refused = [f"{name} refused: {text}" for name, text in first.refused.items()]
    than = "as dense" if first.speedups else ""
    reason = f"{', '.join([*measured, *refused])} {than} at batch size {batch}"
    speedups = {size: race.speedups for size, race in races.items()}
    return Choice(form, " ".join(reason.split()), speedups, best)
