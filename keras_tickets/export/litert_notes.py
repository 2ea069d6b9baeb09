"""What the report says of the kernels of a LiteRT file."""

from collections.abc import Mapping, Sequence

from keras_tickets._tables import count_text
from keras_tickets.export.litert_file import LitertFile
from keras_tickets.export.litert_weights import StoredKernel

SPARSE_NOTE = (
    "{sparse} of {all} kernels are computed with as they are stored, without their zeros: {how}."
)
PACKED_NOTE = (
    "{packed} of {all} kernels lie in the file as their non-zero values and the columns these are "
    "in. The interpreter expands them before the first call, so "
)
ALL_PACKED = "this model is neither smaller in memory nor faster than the dense one."
SOME_PACKED = "these are neither smaller in memory nor faster than dense ones."
PACKED_ON_ARM = (
    "they are as large in memory as dense ones, and no faster on x86. On ARM and in WebAssembly, "
    "XNNPACK computes {convolutions} convolutions without their zeros."
)
KEPT_DENSE = (
    "On ARM and in WebAssembly, XNNPACK would compute a part of it sparse and let others read the "
    "results in the wrong order. To keep it dense there, the first convolution reads a fourth "
    "channel, of zeros."
)
DENSE_NOTE = (
    "None of the {all} kernels in the main graph has enough zeros to take less as values and "
    "columns, so zeros make the model neither smaller nor faster."
)
WIDE_NOTE = "Rows longer than 256 need 2 bytes a column index: {names}."
INT8_NOTE = (
    "{int8} kernels are int8, one scale an output channel, zeros exact; they are computed with in "
    "float32, so int8 makes the file smaller, the model not faster."
)
INT8_SPARSE_NOTE = (
    "Of those computed with as they are stored, {int8} are int8, one scale a kernel; their inputs "
    "are rounded to int8 too."
)
INTEGER_NOTE = (
    "{integer} of {all} kernels are int8 with their zeros, which are exact, and take a byte a "
    "weight, {bytes:,} bytes: what computes in int8 takes no packed kernels, so zeros make them "
    "neither smaller nor faster."
)
CALIBRATED_NOTE = (
    "The file computes in int8, in ranges that are those of {examples}, on which its outputs are "
    "compared and timed. Its inputs and outputs have the model's dtypes."
)
IN_FLOAT_NOTE = "It computes in float32 in {names}."

WAY_OUT = "kernels='auto' expands none of those that are faster without their zeros."
FORCED = "kernels='sparse' asks for it"
MEASURED = "measured on this machine, kernel by kernel, at batch size {batch}"
LOOKED_UP = "by a table for target={target!r}, measured on another kind of processor, not on it"
NO_GAIN = (
    "No kernel was clearly faster without its zeros on this machine at batch size {batch}, so all "
    "are expanded."
)
LARGE = (
    "It was not compared with one that expands all kernels: of those stored sparsely in the model, "
    "none that would take more than {limit:.0f} MB is expanded."
)
NOT_ENOUGH_ZEROS = "No kernel has the zeros that the table for target={target!r} asks for."
SLOWER = (
    "Some kernels were faster without their zeros on this machine at batch size {batch}, but not "
    "the file as a whole ({factor:.2f} times as fast), so all are expanded."
)
NOT_MEASURED = "It could not be measured which kernels are faster without their zeros: {reason}"
REFUSED = "The interpreter refuses the file with sparse kernels, so all are expanded: {reason}"
REFUSED_REASON = "the interpreter refuses the file with sparse kernels"
FORCED_NOTE = (
    "None of them is clearly faster for it on this machine at batch size {batch}: kernels='auto' "
    "expands such kernels."
)


def note_on(kernels: Sequence[StoredKernel], how: str, convolutions: int = 0) -> str:
    """What the forms of the kernels mean.

    Args:
        kernels: All kernels.
        how: How those that are not expanded were chosen.
        convolutions: How many run sparse on ARM.
    """
    sparse = [kernel for kernel in kernels if kernel.form not in ("dense", "packed")]
    packed_or_dense = [kernel for kernel in kernels if kernel not in sparse]
    packed = [kernel for kernel in kernels if kernel.form == "packed"]
    wide = [kernel.name for kernel in packed if kernel.index_bytes > 1]
    int8 = [kernel for kernel in packed_or_dense if kernel.int8 and not kernel.integer]
    integer = [kernel for kernel in packed_or_dense if kernel.integer]
    sentences = []
    if sparse:
        sentences.append(SPARSE_NOTE.format(sparse=len(sparse), all=len(kernels), how=how))
    if packed:
        sentences.append(PACKED_NOTE.format(packed=len(packed), all=len(kernels)))
        on_x86 = SOME_PACKED if sparse else ALL_PACKED
        on_arm = PACKED_ON_ARM.format(convolutions=convolutions)
        sentences[-1] += on_arm if convolutions else on_x86
    if not sparse and not packed and not integer:
        sentences.append(DENSE_NOTE.format(all=len(kernels)))
    if wide:
        sentences.append(WIDE_NOTE.format(names=", ".join(wide)))
    if int8:
        sentences.append(INT8_NOTE.format(int8=len(int8)))
    if integer:
        size = sum(kernel.bytes for kernel in integer)
        sentences.append(INTEGER_NOTE.format(integer=len(integer), all=len(kernels), bytes=size))
    if sparse_int8 := [kernel for kernel in sparse if kernel.int8 and not kernel.integer]:
        sentences.append(INT8_SPARSE_NOTE.format(int8=len(sparse_int8)))
    return " ".join(sentences)


def note_on_calibration(content: bytes, examples: int) -> str:
    """What a file that was converted by examples computes in."""
    note = CALIBRATED_NOTE.format(examples=count_text(examples, "example"))
    if names := sorted(LitertFile(content).in_float()):
        note += " " + IN_FLOAT_NOTE.format(names=", ".join(names))
    return note


def note_on_gain(speedup: Mapping[int, float], ram: int | None, packed_ram: int | None) -> str:
    """What the file gains over one with all kernels expanded, in speed by batch size, in memory."""
    (first, factor), *others = speedup.items()
    text = (
        f"The file is {factor:.2f} times as fast as with all kernels expanded at batch size {first}"
    )
    if others:
        text += f" ({', '.join(f'{factor:.2f} at {batch}' for batch, factor in others)})"
    if ram is not None and packed_ram is not None:
        text += f", and takes {ram / 1e6:.3g} MB of memory instead of {packed_ram / 1e6:.3g} MB"
    return f"{text}."
