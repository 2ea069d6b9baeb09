"""Whether gin can read what the runs of a sweep ask for; in a process of its own."""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence

from keras_tickets.experiments.sweeps.sweep import Run
from keras_tickets.experiments.work_directory import settings

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
    import gin

    from keras_tickets.experiments.error_lines import one_line
    from keras_tickets.experiments.gin_files import read_experiment

    found = {}
    for name, files, parameters, modules in json.load(sys.stdin):
        try:
            read_experiment(files, parameters, modules)
            check_macros(parameters, gin.config_str())
        except Exception as error:  # whatever a user's module or configuration can cause
            found[name] = one_line(error)
    print(f"\n{_BEFORE}{json.dumps(found)}", flush=True)


def check_macros(parameters: Iterable[str], config: str) -> None:
    """Checks that what is set by a name without a dot is used: runs would differ in name alone.

    Args:
        parameters: Settings, such as "train.seed=1".
        config: The whole configuration, as gin writes it.

    Raises:
        ValueError: A setting changes nothing.

    Example:

    ```python
    from keras_tickets.experiments.sweeps.check import check_macros

    check_macros(["rate=0.1"], "rate = 0.1\nSGD.learning_rate = %rate\n")
    ```
    """
    for parameter in parameters:
        for name in settings(parameter):
            if "." not in name and not re.search(rf"%{re.escape(name)}(?![\w.])", config):
                raise ValueError(
                    f"--gin_param={parameter!r} changes nothing: no configuration has %{name}. "
                    "Settings have the name of what they are of, such as train.sparsity"
                )
