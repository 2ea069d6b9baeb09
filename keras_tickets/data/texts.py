"""`text_file` and `tiny_shakespeare`: the next byte, character or word of a text."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_tickets._checks import check_integer, check_number, check_one_of
from keras_tickets._files.home import expand_home
from keras_tickets.data import published
from keras_tickets.data.arrays import Arrays, Examples
from keras_tickets.data.read_later import ReadLater
from keras_tickets.data.source import Source

TOKENS: dict[str, Callable[[bytes], Any]] = {
    "bytes": lambda text: np.frombuffer(text, "uint8"),
    "characters": lambda text: list(text.decode()),
    "words": lambda text: text.decode().split(),
}
BYTES = 256
# Bytes of the training text of tiny_shakespeare.
SHAKESPEARE = 1_003_854


def text_file(
    path: str | os.PathLike,
    *,
    length: int = 100,
    tokens: str = "characters",
    test_share: float = 0.1,
    test_path: str | os.PathLike | None = None,
    name: str | None = None,
) -> Arrays:
    """Windows of a text, in which each token is to be predicted from those before it.

    The tokens of all texts, sorted and numbered from 0, are the vocabulary; bytes are their own
    numbers. Windows do not overlap; the end of the text is for the test, or a file of its own.

    Args:
        path: A text file, in UTF-8 unless its tokens are bytes.
        length: Tokens in a window.
        tokens: "bytes", whose vocabulary is always 256; "characters"; or "words" between white
            space.
        test_share: Share of the text, in (0, 1), that is the test set. Of no effect beside
            `test_path`.
        test_path: A text file that is the test set.
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
    texts = [_read(file, tokens) for file in (path, test_path) if file is not None]
    numbers, outputs = _numbered(texts, tokens)
    if test_path is None:
        end = round(len(numbers) * (1 - test_share))
    else:
        end = len(texts[0])
    train, test = (_windows(part, length) for part in (numbers[:end], numbers[end:]))
    if not len(train[0]) or not len(test[0]):
        raise ValueError(
            f"text file {str(path)!r} must have more than {length} {tokens} for training and for "
            f"the test. Received: {end:,} and {len(numbers) - end:,}"
        )
    name = expand_home(path).stem if name is None else name
    return Arrays(name, train, test, outputs=outputs, standardize=False)


def tiny_shakespeare(*, length: int = 100, data_dir: str | None = None) -> Source:
    """A million characters of Shakespeare, in which each byte is to be predicted.

    Read through tensorflow-datasets, which downloads it where it is missing. Windows do not
    overlap; the splits are those of the data set, of which "validation" is not used.

    Args:
        length: Bytes in a window.
        data_dir: Directory of tensorflow-datasets. None: `$TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`.

    Returns:
        A `kt.data.Source` with inputs and targets of shape (length,), int32, from 0 to 255: the
        targets are the inputs one byte later.

    Raises:
        ValueError: `length` is not a positive integer. Once it is loaded: the data can be neither
            found nor downloaded.

    Example:

    ```python
    import keras_tickets as kt

    source = kt.data.tiny_shakespeare(length=128)
    assert (source.outputs, source.examples) == (256, 7842)
    ```
    """
    return _TinyShakespeare(length, data_dir)


class _TinyShakespeare(ReadLater):
    name = "tiny_shakespeare"
    outputs = BYTES
    repeats = True
    standardize = False

    def __init__(self, length, data_dir):
        self._length, self._data_dir = check_integer("length", length, low=1), data_dir
        self.inputs = self.targets = tf.TensorSpec((length,), tf.int32)
        self.examples = (SHAKESPEARE - 1) // length

    def read(self) -> tuple[Examples, Examples]:
        builder = published.prepared(self.name, self._data_dir)
        train, test = (self._text(builder, split) for split in ("train", "test"))
        return _windows(train, self._length), _windows(test, self._length)

    def _text(self, builder, split):
        (example,) = builder.as_dataset(split=split).as_numpy_iterator()
        return TOKENS["bytes"](example["text"])


def _read(path: str | os.PathLike, tokens: str) -> Any:
    """The tokens of a text file."""
    file = expand_home(path)
    if not file.is_file():
        raise ValueError(f"text file {str(path)!r} does not exist")
    try:
        return TOKENS[tokens](file.read_bytes())
    except UnicodeDecodeError as error:
        raise ValueError(f"text file {str(path)!r} must be in UTF-8: {error}") from error


def _numbered(texts: Sequence[Any], tokens: str) -> tuple[np.ndarray, int]:
    """All tokens, one text after the other, as numbers; and the size of the vocabulary."""
    together = np.concatenate([np.array(text) for text in texts])
    if tokens == "bytes":
        return together, BYTES
    vocabulary, numbers = np.unique(together, return_inverse=True)
    return numbers, max(len(vocabulary), 2)


def _windows(tokens: np.ndarray, length: int) -> Examples:
    """Inputs and targets, each of shape (windows, length)."""
    count = (len(tokens) - 1) // length
    used = tokens[: count * length + 1].astype("int32") if count > 0 else tokens[:1]
    return used[:-1].reshape(-1, length), used[1:].reshape(-1, length)
