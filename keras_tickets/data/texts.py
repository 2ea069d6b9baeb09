"""`text_file`: the next character, or the next word, of a text."""

import os
from collections.abc import Callable

import numpy as np

from keras_tickets._checks import check_integer, check_number, check_one_of
from keras_tickets._files.home import expand_home
from keras_tickets.data.arrays import Arrays

TOKENS: dict[str, Callable[[str], list[str]]] = {"characters": list, "words": str.split}


def text_file(
    path: str | os.PathLike,
    *,
    length: int = 100,
    tokens: str = "characters",
    test_share: float = 0.1,
    name: str | None = None,
) -> Arrays:
    """Windows of a text, in which each token is to be predicted from those before it.

    The tokens of the whole text, sorted and numbered from 0, are the vocabulary. Windows do not
    overlap; the end of the text is for the test.

    Args:
        path: A text file, in UTF-8.
        length: Tokens in a window.
        tokens: "characters", or "words" between white space.
        test_share: Share of the text, in (0, 1), that is the test set.
        name: Name for messages and summaries. None: that of the file.

    Returns:
        A `kt.data.Arrays` with inputs and targets of shape (length,), int32: the targets are the
        inputs one token later. `outputs` is the size of the vocabulary.

    Raises:
        ValueError: There is no such file, it is not text, it is too short for a window in both
            sets, or an argument is out of range.

    Example:

    ```python
    import pathlib
    import keras_tickets as kt

    pathlib.Path("abc.txt").write_text("abcabcabcabc " * 20)
    source = kt.data.text_file("abc.txt", length=10)
    assert (source.outputs, source.inputs.shape) == (4, (10,))
    inputs, targets = next(iter(source.load(batch_size=4).train()))
    assert (inputs[:, 1:] == targets[:, :-1]).numpy().all()
    ```
    """
    check_integer("length", length, low=1)
    check_one_of("tokens", tokens, tuple(TOKENS))
    check_number("test_share", test_share, "(0, 1)")
    file = expand_home(path)
    if not file.is_file():
        raise ValueError(f"text file {str(path)!r} does not exist")
    try:
        words = TOKENS[tokens](file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"text file {str(path)!r} must be in UTF-8: {error}") from error
    vocabulary, numbers = np.unique(np.array(words), return_inverse=True)
    end = round(len(words) * (1 - test_share))
    train, test = (_windows(part, length) for part in (numbers[:end], numbers[end:]))
    if not len(train[0]) or not len(test[0]):
        raise ValueError(
            f"text file {str(path)!r} must have more than {length} {tokens} for training and for "
            f"the test. Received: {end:,} and {len(words) - end:,}"
        )
    name = file.stem if name is None else name
    return Arrays(name, train, test, outputs=max(len(vocabulary), 2), standardize=False)


def _windows(tokens, length):
    count = (len(tokens) - 1) // length
    used = tokens[: count * length + 1].astype("int32") if count > 0 else tokens[:1]
    return used[:-1].reshape(-1, length), used[1:].reshape(-1, length)
