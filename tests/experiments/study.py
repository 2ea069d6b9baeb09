"""A module as users write it, for configurations to import."""

import keras
import numpy as np
import tensorflow as tf

import keras_tickets as kt


class Squares:
    """A bright square in the middle, or none; drawn anew in every epoch."""

    name = "squares"
    inputs = tf.TensorSpec((8, 8, 1), tf.float32)
    targets = tf.TensorSpec((), tf.int32)
    outputs = 2

    def __init__(self, examples=64):
        self.examples = examples

    def train_batch(self, seed, epoch, index, size):
        return self.draw(np.random.default_rng([seed, epoch, index]), size)

    def test_batches(self, size):
        rng = np.random.default_rng(0)
        return (self.draw(rng, n) for n in (size, size // 2))

    def draw(self, rng, size):
        labels = rng.integers(0, 2, size)
        images = rng.normal(size=(size, 8, 8, 1))
        images[labels == 1, 3:5, 3:5] += 2
        return images, labels


class Failing(Squares):
    def train_batch(self, seed, epoch, index, size):
        if epoch == 1:
            raise KeyError("lost")
        return super().train_batch(seed, epoch, index, size)


class Forgetful(Squares):
    def train_batch(self, seed, epoch, index, size):
        return self.draw(np.random.default_rng(), size)


class Untested(Squares):
    def test_batches(self, size):
        return None


class Empty(Squares):
    def test_batches(self, size):
        yield self.draw(np.random.default_rng(0), 0)


class Incomplete:
    name = "incomplete"
    inputs = targets = tf.TensorSpec((), tf.float32)
    outputs, examples = 1, 10

    def train_batch(self, seed, epoch, index, size):
        return np.zeros(size), np.zeros(size)


def arrays(targets, **kwargs):
    inputs = np.random.default_rng(0).normal(size=(64, 6))
    made = targets(inputs)
    return kt.data.Arrays("table", (inputs, made), (inputs[:20], made[:20]), **kwargs)


def numbers():
    return arrays(lambda x: x @ np.arange(6.0))


def pairs():
    return arrays(lambda x: x[:, :2] + x[:, 2:4])


def yes_or_no():
    return arrays(lambda x: x[:, 0] > 0)


def several():
    return arrays(lambda x: x[:, :3] > 0)


def streamed(seed, epoch):
    data = tf.data.Dataset.range(40).shuffle(40, 1 + seed + epoch, reshuffle_each_iteration=False)
    return data.map(lambda i: (tf.fill([8, 8, 1], tf.cast(i % 2, tf.float32)), i % 2))


def stream_test():
    return streamed(0, 0)


def net(input_shape, outputs, seed, width=16):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(input_shape)
    hidden = keras.layers.Dense(width, "relu", name="fc")(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, keras.layers.Dense(outputs, name="head")(hidden), name="net")


class Scale(keras.layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x):
        return x * self.scale


def scaled_net(input_shape, classes):
    layers = [keras.layers.Flatten(), keras.layers.Dense(classes, name="head"), Scale(name="scale")]
    return keras.Sequential([keras.Input(input_shape), *layers])


def hidden_net(input_shape, classes):
    class Hidden(Scale):
        pass

    return keras.Sequential([scaled_net(input_shape, classes), Hidden(name="hidden")])


def any_net(**given):
    assert set(given) == {"input_shape", "classes", "seed"}
    return net(given["input_shape"], given["classes"], given["seed"])


def fixed_net():
    return net((8, 8, 1), 3, seed=1)


def two_outputs(input_shape, classes):
    inputs = keras.Input(input_shape)
    flat = keras.layers.Flatten()(inputs)
    return keras.Model(inputs, [keras.layers.Dense(classes, name=name)(flat) for name in "ab"])


def cubic(targets, outputs):
    targets = tf.reshape(tf.cast(targets, tf.float32), tf.shape(outputs))
    return tf.reduce_mean(tf.abs(targets - outputs) ** 3)


class Cubic(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return cubic(y_true, y_pred)


class Largest(keras.metrics.Metric):
    """The largest output so far."""

    def __init__(self, scale=1.0, name="largest"):
        super().__init__(name=name)
        self.scale, self.value = scale, self.add_weight(name="value", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.value.assign(tf.maximum(self.value, self.scale * tf.reduce_max(tf.abs(y_pred))))

    def result(self):
        return self.value


class Diary(keras.callbacks.Callback):
    def __init__(self, file="diary.txt"):
        super().__init__()
        self.file = file

    def on_epoch_end(self, epoch, logs=None):
        with open(self.file, "a") as file:
            file.write(f"{epoch} {sorted(logs)}\n")
