"""Errors as one line, for the terminal and for the directory of a run."""

import re

from absl import flags

# Errors whose words say what is wrong; of any other the name helps too.
EXPLAINED = (ValueError, TypeError, OSError, ImportError, RuntimeError, flags.Error)
# What gin appends to an error, with the address of a function that nobody wants.
_IN_CALL = re.compile(r" In call to configurable '([\w./]+)' \(<[^>]*>\)")
# The lines in which TensorFlow says where in the code a graph was made.
_IN_GRAPH = re.compile(r'^(Graph execution error|Detected at node|\s*File ").*$', re.MULTILINE)


def one_line(error: BaseException) -> str:
    """What an error says, on one line; with its name where its words alone are not for users.

    Example:

    ```python
    from keras_tickets.experiments.error_lines import one_line

    assert one_line(ValueError("`seed` must be\\n  an integer")) == "`seed` must be an integer"
    assert one_line(KeyError("x")).startswith("KeyError: 'x'")
    ```
    """
    text = " ".join(_IN_GRAPH.sub("", str(error)).split())
    text = _IN_CALL.sub(r" (in \1)", text)
    if isinstance(error, EXPLAINED) and text:
        return text
    return f"{type(error).__name__}: {text} (--traceback shows where)"
