"""How many runs at once, and the cores and GPU of each."""

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Mapping

THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
VISIBLE, GROWTH = "CUDA_VISIBLE_DEVICES", "TF_FORCE_GPU_ALLOW_GROWTH"


@dataclasses.dataclass(frozen=True)
class Resources:
    """What the machine has.

    Attributes:
        cores: Cores that this process may use.
        gpus: Names of the GPUs, as `CUDA_VISIBLE_DEVICES` has them.
    """

    cores: int
    gpus: tuple[str, ...] = ()

    def jobs(self) -> int:
        """How many runs at once, unless told: one on each GPU, or else on each core."""
        return len(self.gpus) or self.cores

    def environment(self, slot: int, jobs: int, inherited: Mapping[str, str]) -> dict[str, str]:
        """The variables that a run gets, besides those it inherits.

        Args:
            slot: Which of the runs at once, from 0; no two that run have the same.
            jobs: How many runs at once.
            inherited: The variables that are set; those that say how many threads win.

        Example:

        ```python
        from keras_tickets.experiments.sweeps.resources import Resources

        given = Resources(cores=16, gpus=("0", "1")).environment(1, jobs=2, inherited={})
        assert given["CUDA_VISIBLE_DEVICES"] == "1" and given["OMP_NUM_THREADS"] == "8"
        ```
        """
        threads = str(max(self.cores // jobs, 1))
        given = {name: threads for name in THREADS if name not in inherited}
        if len(self.gpus) > 1:
            given[VISIBLE] = self.gpus[slot % len(self.gpus)]
        if self.gpus and jobs > len(self.gpus) and GROWTH not in inherited:
            given[GROWTH] = "true"  # otherwise the first takes all memory of its GPU
        return given


def find_resources() -> Resources:
    """The cores and GPUs of this machine; TensorFlow is not asked, which would take memory."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux has it
        cores = os.cpu_count() or 1
    return Resources(cores, _gpus())


def _gpus() -> tuple[str, ...]:
    if VISIBLE in os.environ:
        names = [name.strip() for name in os.environ[VISIBLE].split(",")]
        return tuple(name for name in names if name and name != "-1")
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return tuple(str(index) for index in range(len(found)))
