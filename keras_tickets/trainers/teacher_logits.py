"""Logits of a teacher, computed once and kept in a file."""

import os
from typing import Any

import numpy as np
import tensorflow as tf

from keras_tickets._files.atomic import create_file
from keras_tickets._files.home import expand_home
from keras_tickets._files.named_arrays import FORMAT, encode, read_arrays
from keras_tickets._files.older_arrays import is_npz, read_npz
from keras_tickets.trainers.teachers import FINAL, Teachers, load_teachers

LABELS, TEACHER_LOGITS = "labels", "teacher_logits"
KIND = "keras_tickets teacher logits 1"
_BATCH = 256


class TeacherLogits:
    """The logits of a teacher for each input of a data set, looked up by the input itself.

    Made by `kt.trainers.cache_logits`. A 64-bit fingerprint of its bytes identifies an input, so
    its logits are found whatever the order of the data, and another data set is detected.

    Args:
        keys: int64 array of shape (n,): fingerprints, ascending.
        logits: float32 array of shape (n, …, classes).
        source: Name of the logits in messages, such as their path.

    Example:

    ```python
    import keras_tickets as kt
    import numpy as np
    import tensorflow as tf

    x = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
    teacher = kt.models.lenet_300_100((8,), classes=3)
    data = tf.data.Dataset.from_tensor_slices(x).batch(16)
    logits = kt.trainers.cache_logits("logits.npz", teacher, data)
    assert logits.lookup(x[5:7]).shape == (2, 3)
    ```
    """

    def __init__(self, keys: np.ndarray, logits: np.ndarray, source: str):
        self.logits = logits
        with tf.device("CPU"):  # Where `tf.data` runs.
            self._keys, self._rows = tf.constant(keys), tf.constant(logits)
        self._source = source
        self._strange = (
            f"The data has an input for which {source!r} holds no teacher logits: they are of "
            "another data set, another augmentation seed or fewer epochs. Make the cache anew, "
            "under another path, from the inputs that training sees."
        )

    def __len__(self):
        return len(self.logits)

    def lookup(self, x: Any) -> np.ndarray:
        """Returns the logits of a batch.

        Args:
            x: Inputs, an array or a structure of arrays, as given to the teacher.

        Returns:
            float32 array of shape (batch, …, classes).

        Raises:
            ValueError: An input is not among those that the logits were computed from.
        """
        positions, known = self._find(x)
        if not known:
            raise ValueError(self._strange)
        return self.logits[positions.numpy()]

    def lookup_all(self, data: tf.data.Dataset) -> np.ndarray:
        """Returns the logits of a whole data set, in its order.

        Args:
            data: Finite; batches `x`, `(x, y)` or `(x, y, sample_weight)`.

        Returns:
            float32 array of shape (examples, …, classes).

        Raises:
            ValueError: An input is not among those that the logits were computed from.
        """
        return np.concatenate([self.lookup(x) for x in _batches(data)])

    def attach(self, data: tf.data.Dataset) -> tf.data.Dataset:
        """Returns a data set with the logits beside its labels.

        If inputs are the same in each epoch, attach before `cache`, so that each is looked up once.

        Args:
            data: Batches `x`, `(x, y)` or `(x, y, sample_weight)`, in any order.

        Returns:
            The same batches with `{"labels": y, "teacher_logits": logits}` in place of `y`. An
            input without logits ends the iteration with an `InvalidArgumentError` that says so.
        """

        def add(x, y=None, *rest):
            positions, known = self._find(x)
            with tf.control_dependencies([tf.debugging.Assert(known, [self._strange])]):
                targets = {TEACHER_LOGITS: tf.gather(self._rows, positions)}
            if y is not None:
                targets[LABELS] = y
            return x, targets, *rest

        return data.map(add, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def _find(self, x):
        """Returns the positions of a batch among the logits, and whether every input was found."""
        wanted = fingerprints(x)
        positions = tf.minimum(tf.searchsorted(self._keys, wanted), len(self) - 1)
        return positions, tf.reduce_all(tf.gather(self._keys, positions) == wanted)


def cache_logits(
    path: str | os.PathLike, teacher: Any, data: Any, *, teacher_outputs: str = "logits"
) -> TeacherLogits:
    """Returns a teacher's logits for a data set, read from a file, or computed and written to it.

    Without augmentation each input is cached once. With augmentation, cache as many epochs as you
    will train; the augmentation of the data set must be a function of its seed.

    Args:
        path: The file, a `.safetensors` file. It is complete or not there. A `.npz` file of
            version 0.1.0.dev0 is read.
        teacher: As in `kt.trainers.DistillationTrainer`. It is run only if there is no file.
        data: Finite `tf.data.Dataset` of batches `x`, `(x, y)` or `(x, y, sample_weight)`; or an
            array of inputs.
        teacher_outputs: As in `kt.trainers.DistillationTrainer`.

    Returns:
        The logits. `attach` puts them beside the labels of a `tf.data.Dataset`; `lookup_all` gives
        them as an array.

    Raises:
        ValueError: The file is damaged, or holds logits of another teacher or of other data (it is
            then left unchanged); the data set has no end; or the teacher gives probabilities, or
            logits that are NaN or infinite.
        OSError: The file cannot be read or written; nothing is left behind.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    digits = kt.data.load("digits")
    teacher = kt.models.lenet_300_100(digits.input_shape, seed=1)  # train it first
    student = kt.sparsify(kt.models.lenet_300_100(digits.input_shape), 0.95)
    logits = kt.trainers.cache_logits("logits.safetensors", teacher, digits.train_once())
    trainer = kt.trainers.DistillationTrainer(student, teacher=None)
    trainer.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    data = digits.train(targets={"teacher_logits": logits.lookup_all(digits.train_once())})
    trainer.fit(data, steps_per_epoch=digits.steps_per_epoch, epochs=1)
    ```
    """
    path = expand_home(path)
    teachers = Teachers(load_teachers(teacher), teacher_outputs)
    data = _batches(data)
    if path.exists():
        return _read(path, teachers.digest(), data)
    keys, logits = _compute(teachers, data)
    metadata = {FORMAT: KIND, "teacher": teachers.digest()}
    content, _ = encode({"keys": keys, "logits": logits}, metadata)
    try:
        create_file(path, content)
    except FileExistsError:  # Another process wrote it in the meantime.
        return _read(path, teachers.digest(), data)
    return TeacherLogits(keys, logits, str(path))


def fingerprints(x: Any) -> tf.Tensor:
    """A 64-bit fingerprint of the bytes of each example.

    Args:
        x: Tensor, or structure of tensors, of shape (batch, …).

    Returns:
        int64 tensor of shape (batch,).
    """
    parts = [tf.fingerprint(_rows(part)) for part in tf.nest.flatten(x)]
    parts = parts[0] if len(parts) == 1 else tf.fingerprint(tf.concat(parts, 1))
    return tf.bitcast(parts, tf.int64)


def _rows(part):
    part = tf.convert_to_tensor(part)
    return tf.reshape(part, [tf.shape(part)[0], -1])


def _batches(data):
    """A data set of inputs alone."""
    if not isinstance(data, tf.data.Dataset):
        return tf.data.Dataset.from_tensor_slices(data).batch(_BATCH)
    if data.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError("`data` has no end: take the batches to cache, `data.take(n)`.")
    return data.map(lambda x, *rest: x)


def _compute(teachers, data):
    @tf.function(reduce_retracing=True)
    def run(x):
        return fingerprints(x), teachers(x)[FINAL]

    batches: list[tuple[np.ndarray, np.ndarray]] = []
    for x in data:
        if not batches:
            teachers.check_kind(x)
        found, logits = run(x)
        batches.append((found.numpy(), logits.numpy()))
    if not batches:
        raise ValueError("`data` is empty.")
    keys, first = np.unique(np.concatenate([keys for keys, _ in batches]), return_index=True)
    rows = np.concatenate([logits for _, logits in batches])[first].astype(np.float32, copy=False)
    if not np.isfinite(rows).all():
        raise ValueError("The teacher gives logits that are NaN or infinite.")
    return keys, rows


def _read(path, digest, data):
    try:
        if is_npz(path):
            arrays = read_npz(path)
            found = str(arrays.pop("teacher", ""))
        else:
            arrays, metadata = read_arrays(path, KIND)
            found = metadata.get("teacher", "")
        keys, logits = _checked(**arrays)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"Teacher logits file {str(path)!r} is damaged: {error}") from error
    if found != digest:
        raise ValueError(
            f"Teacher logits file {str(path)!r} is of another teacher: SHA-256 of its weights "
            f"{found[:12]}…, of this one's {digest[:12]}…. Give another path."
        )
    cached = TeacherLogits(keys, logits, str(path))
    for x in data.take(1):
        cached.lookup(x)
    return cached


def _checked(keys, logits):
    """Checks that keys and logits belong together and returns them; otherwise raises an error."""
    if keys.dtype != np.int64 or keys.ndim != 1 or not len(keys) or (keys[1:] <= keys[:-1]).any():
        raise ValueError("its fingerprints are not int64 numbers in ascending order")
    if logits.dtype != np.float32 or logits.ndim < 2 or len(logits) != len(keys):
        raise ValueError(
            f"its logits, {logits.dtype} of shape {logits.shape}, do not belong to {len(keys)} "
            "inputs"
        )
    if not np.isfinite(logits).all():
        raise ValueError("its logits are NaN or infinite")
    return keys, logits
