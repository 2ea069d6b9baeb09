"""`keras-tickets list`: what the runs below a directory have come to."""

from collections.abc import Sequence

from absl import flags

from keras_tickets._files.home import expand_home
from keras_tickets.experiments.run_states import find_runs, state_of
from keras_tickets.experiments.run_table import count_states, render_runs


def run(values: flags.FlagValues, words: Sequence[str]) -> int:
    """Prints a table for each directory, and returns 0.

    Raises:
        ValueError: A directory is missing, or there is no run below it.
    """
    for word in words or ["."]:
        directory = expand_home(word)
        if not directory.is_dir():
            raise ValueError(f"{word!r} is not a directory, to list the runs of")
        states = [state_of(path) for path in find_runs(directory)]
        if not states:
            raise ValueError(f"there is no run below {word!r}: none of its directories has one")
        if len(words) > 1:
            print(f"{directory}:")
        print(render_runs(states, directory))
        print(count_states(states))
    return 0
