"""The machine that figures are measured on."""

import os
import pathlib
import platform

import keras
import tensorflow as tf

# Those of the instruction sets that kernels of TensorFlow and LiteRT choose by; x86, then ARM.
FEATURES = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16"),
    *("avx_vnni", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)
PROCESSOR = pathlib.Path("/proc/cpuinfo")


def describe_machine() -> dict[str, str | int | list[str]]:
    """The processor, its features and cores, and the versions that figures depend on."""
    fields = _processor_fields()
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    return {
        "processor": fields.get("model name") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "features": [feature for feature in FEATURES if feature in flags],
        "cores": os.cpu_count() or 1,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "devices": [device.device_type for device in tf.config.list_logical_devices()],
    }


def _processor_fields() -> dict[str, str]:
    """What Linux says of the first processor; nothing elsewhere."""
    if not PROCESSOR.exists():
        return {}
    first = PROCESSOR.read_text(encoding="utf-8").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
