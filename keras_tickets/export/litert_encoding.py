"""Converted LiteRT files, written again with a form for each of their kernels."""

import dataclasses
import pathlib
from collections.abc import Mapping

from keras_tickets.export import apart
from keras_tickets.export import litert_notes as notes
from keras_tickets.export.litert_choice import MOST_EXPANDED, PACKED, Candidates, Choice
from keras_tickets.export.litert_on_arm import keep_dense_on_arm, operators_on_arm
from keras_tickets.export.litert_races import race_files
from keras_tickets.export.litert_weights import encode
from keras_tickets.export.measure import Trial
from keras_tickets.export.report import ExportedKernel, KernelReport
from keras_tickets.export.samples import Sample

BATCH_SIZES = (1, 8, 32)


def encode_kernels(
    path: pathlib.Path,
    trial: Trial,
    *,
    quantize: str | None,
    kernels: str,
    batch_size: int,
    target: str | None,
) -> KernelReport:
    """Encodes the kernels of a converted file; arguments as in `kt.export`.

    Raises:
        ValueError: No kernel can be as `kernels` asks, or the model has another batch size.
    """
    batches = _batches(trial.interface.batch_size, batch_size)
    encoder = _Encoder(path, trial, quantize == "int8", batches)
    forms = encoder.candidates.forms
    if kernels == "sparse" and not forms:
        raise ValueError(
            "`kernels` must be 'auto' or 'packed' for this model: none of its kernels can be "
            f"computed with without its zeros. {encoder.reasons()}. Received: kernels='sparse'"
        )
    if kernels == PACKED or not forms:
        return encoder.expand(note=notes.WAY_OUT if forms else "")
    if target is not None:
        return encoder.look_up(target)
    return encoder.measure(force=kernels == "sparse")


def _batches(fixed: int | None, wanted: int) -> list[int]:
    """The batch sizes to measure at, the one to choose for first."""
    if fixed is None:
        return [wanted, *(batch for batch in BATCH_SIZES if batch != wanted)]
    if wanted not in (1, fixed):
        raise ValueError(
            f"`batch_size` must be {fixed}, which the model's inputs have. "
            f"Received: batch_size={wanted}"
        )
    return [fixed]


class _Encoder:
    """Writes a file again, in place of the converted one."""

    def __init__(self, path: pathlib.Path, trial: Trial, int8: bool, batches: list[int]):
        self.path, self.trial, self.int8, self.batches = path, trial, int8, batches
        self.converted = path.read_bytes()
        self.content = keep_dense_on_arm(self.converted)
        self.candidates = Candidates.of(self.content, int8)

    def reasons(self) -> str:
        """Why no kernel can be sparse."""
        others = self.candidates.others
        stored = encode(self.content, int8=self.int8)[1]
        return "; ".join(f"{each.name}: {others[each.index].reason}" for each in stored)

    def expand(self, reason: str = "", note: str = "") -> KernelReport:
        """Expands all kernels."""
        return self._write(self.candidates.packed(reason), note=note)

    def look_up(self, target: str) -> KernelReport:
        """Chooses by the table."""
        choices = self.candidates.by_table(self.batches)
        note = "" if _any_sparse(choices) else notes.NOT_ENOUGH_ZEROS.format(target=target)
        return self._write(choices, notes.LOOKED_UP.format(target=target), note)

    def measure(self, force: bool) -> KernelReport:
        """Chooses what is fastest on this machine; sparse in any case if `force`."""
        batch = self.batches[0]
        try:
            sample = self.trial.sample()
            choices = self.candidates.by_measuring(self.trial, sample, self.batches, force)
        except apart.Failure as error:
            note = notes.NOT_MEASURED.format(reason=error)
            if force:
                return self._write(self.candidates.smallest(notes.FORCED), notes.FORCED, note)
            return self.expand("it was not measured", note)
        if not _any_sparse(choices):
            return self._write(choices, note=notes.NO_GAIN.format(batch=batch))
        how = notes.FORCED if force else notes.MEASURED.format(batch=batch)
        report = self._write(choices, how)
        if self.candidates.large:
            return self._with_ram(report, sample)
        try:
            report = self._with_gain(report, sample)
        except apart.Failure as error:
            return self.expand(notes.REFUSED_REASON, notes.REFUSED.format(reason=error))
        factor = report.speedup[batch]
        if force:
            note = notes.FORCED_NOTE.format(batch=batch) if _no_gain(choices, batch) else ""
            return dataclasses.replace(report, note=f"{report.note} {note}".strip())
        if factor >= 1:
            return report
        expanded = {
            index: dataclasses.replace(choice, form=PACKED) for index, choice in choices.items()
        }
        return self._write(expanded, note=notes.SLOWER.format(batch=batch, factor=factor))

    def _write(self, choices: Mapping[int, Choice], how: str = "", note: str = "") -> KernelReport:
        forms = {index: each.form for index, each in choices.items() if each.form != PACKED}
        content, stored = encode(self.content, int8=self.int8, forms=forms)
        self.path.write_bytes(content)
        kernels = tuple(
            ExportedKernel(
                name=each.name,
                form=each.form,
                bytes=each.bytes,
                reason=choices[each.index].reason,
                speedups=choices[each.index].speedups,
                best=choices[each.index].best,
            )
            for each in stored
        )
        on_arm = operators_on_arm(self.converted, content)
        convolutions = sum(each.sparse and each.kind == "CONV_2D" for each in on_arm)
        text = notes.note_on(stored, how, convolutions)
        kept_dense = "" if self.content is self.converted else notes.KEPT_DENSE
        return KernelReport(kernels, on_arm, " ".join(filter(None, [text, kept_dense, note])))

    def _with_ram(self, report: KernelReport, sample: Sample) -> KernelReport:
        """The report with the memory that the file takes, and nothing on one that expands it."""
        ram = self._ram(self.path, sample)
        note = notes.LARGE.format(limit=MOST_EXPANDED / 1e6)
        return dataclasses.replace(report, note=f"{report.note} {note}", ram_bytes=ram)

    def _ram(self, path: pathlib.Path, sample: Sample) -> int | None:
        values = sample.draw(self.batches[0])
        return self.trial.request("ram", values, path=str(path))["ram_bytes"]

    def _with_gain(self, report: KernelReport, sample: Sample) -> KernelReport:
        """The report with what the file gains over one with all kernels expanded."""
        packed = self.trial.folder / "all_packed"
        packed.write_bytes(encode(self.content, int8=self.int8)[0])
        speedup = race_files(packed, self.path, self.trial, sample, self.batches)
        ram, packed_ram = self._ram(self.path, sample), self._ram(packed, sample)
        return dataclasses.replace(
            report,
            note=f"{report.note} {notes.note_on_gain(speedup, ram, packed_ram)}",
            speedup=speedup,
            ram_bytes=ram,
            packed_ram_bytes=packed_ram,
        )


def _any_sparse(choices: Mapping[int, Choice]) -> bool:
    return any(choice.form != PACKED for choice in choices.values())


def _no_gain(choices: Mapping[int, Choice], batch: int) -> bool:
    return all(choice.best.get(batch, PACKED) == PACKED for choice in choices.values())
