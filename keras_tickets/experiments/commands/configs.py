"""`keras-tickets configs`: what comes with the package."""

import shutil
import textwrap

from absl import flags

from keras_tickets.experiments import configurations


def run(values: flags.FlagValues) -> int:
    """Prints the name of each configuration and what it is, and returns 0."""
    found = configurations.installed()
    names = max(map(len, found), default=0)
    columns = shutil.get_terminal_size(fallback=(140, 0)).columns - names - 2
    for name, file in found.items():
        summary = textwrap.shorten(configurations.summary_of(file), columns, placeholder=" …")
        print(f"{name:<{names}}  {summary}")
    return 0
