"""Whether gin can read what the runs of a sweep ask for; in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Sequence

from keras_tickets.experiments.sweeps.sweep import Run

_CODE = "from keras_tickets.experiments.sweeps.check import main; main()"
_BEFORE = "refused runs: "


def refused(runs: Sequence[Run]) -> dict[str, str]:
    """The runs whose configurations cannot be read, `{name: reason}`.

    TensorFlow, which gin needs to know its names, is not imported in this process.

    Args:
        runs: The runs.

    Raises:
        RuntimeError: The process did not answer.
    """
    if not runs:
        return {}
    asked = [[run.name, run.gin_files, run.gin_params, run.modules] for run in runs]
    result = subprocess.run(
        [sys.executable, "-c", _CODE], input=json.dumps(asked), capture_output=True, text=True
    )
    for line in reversed(result.stdout.splitlines()):
        if line.startswith(_BEFORE):
            return json.loads(line.removeprefix(_BEFORE))
    last = (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1]
    raise RuntimeError(f"the configurations could not be read: {last}")


def main() -> None:
    """Reads the runs from stdin, and prints those that are refused."""
    from keras_tickets.experiments.error_lines import one_line
    from keras_tickets.experiments.gin_files import read_experiment

    found = {}
    for name, files, parameters, modules in json.load(sys.stdin):
        try:
            read_experiment(files, parameters, modules)
        except Exception as error:  # whatever a user's module or configuration can cause
            found[name] = one_line(error)
    print(f"\n{_BEFORE}{json.dumps(found)}", flush=True)
