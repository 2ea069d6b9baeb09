"""The runs that are left as one Slurm array."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence

from keras_tickets.experiments.sweeps.processes import command
from keras_tickets.experiments.sweeps.sweep import LOGS, Run

_HEAD = """\
#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --array=0-{last}{limit}
#SBATCH --chdir={folder}
#SBATCH --output={log}
{options}
# One run of the sweep for each task of the array. A task that is queued again resumes its run.
case "$SLURM_ARRAY_TASK_ID" in
"""


def script(
    runs: Sequence[Run],
    directory: pathlib.Path,
    at_once: int | None = None,
    options: Sequence[str] = (),
) -> str:
    """A script for `sbatch`, with a task for each run.

    Args:
        runs: The runs.
        directory: Directory of the sweep.
        at_once: How many tasks may run at once. None: as many as Slurm lets.
        options: Further options of `sbatch`, such as "--gres=gpu:1".

    Raises:
        ValueError: There are no runs, an option is not one, or Slurm cannot have a path.
    """
    for option in options:
        if not re.fullmatch(r"--?[a-zA-Z][^\n]*", option):
            raise ValueError(
                "--slurm_option must be an option of sbatch, such as --gres=gpu:1. Received: "
                f"{option!r}"
            )
    if not runs:
        raise ValueError("no run of the sweep is left")
    place = pathlib.Path(os.path.abspath(directory))
    log = f"{str(place / LOGS).replace('%', '%%')}/slurm_%A_%a.log"
    text = _HEAD.format(
        name=re.sub(r"[^\w.-]+", "_", place.name) or "sweep",
        last=len(runs) - 1,
        limit=f"%{at_once}" if at_once else "",
        folder=_quoted(os.getcwd()),
        log=_quoted(log),
        options="".join(f"#SBATCH {option}\n" for option in options),
    )
    for index, run in enumerate(runs):
        text += f"  {index}) exec {shlex.join(command(run, place / run.name))} ;;\n"
    return f"{text}esac\n"


def _quoted(path: str) -> str:
    """A path as a line of `#SBATCH` can have it."""
    if re.search(r'["\n\r]', path):
        raise ValueError(f"Slurm can have no quote or line break in a path. Received: {path!r}")
    return f'"{path}"' if re.search(r"\s", path) else path


def submit(text: str, directory: pathlib.Path) -> str:
    """Gives a script to `sbatch`, and returns what that says.

    Args:
        text: The script.
        directory: Directory of the sweep, which gets a folder for what the tasks print.

    Raises:
        OSError: There is no `sbatch`, or it refuses.
    """
    tool = shutil.which("sbatch")
    if tool is None:
        raise OSError("there is no sbatch on this machine: submit what --slurm prints from another")
    (directory / LOGS).mkdir(parents=True, exist_ok=True)
    result = subprocess.run([tool], input=text, capture_output=True, text=True)
    if result.returncode:
        raise OSError(
            f"sbatch refuses: {result.stderr.strip() or f'exit code {result.returncode}'}"
        )
    return result.stdout.strip()
