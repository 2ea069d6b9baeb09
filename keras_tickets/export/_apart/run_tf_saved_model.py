"""TensorFlow SavedModels, run by TensorFlow alone."""

import tensorflow as tf

SIGNATURE = "serving_default"


def prepare(path, inputs):
    """A function without arguments that runs the model on `inputs`, arrays by name."""
    model = tf.saved_model.load(path)
    tensors = {name: tf.constant(value) for name, value in inputs.items()}

    def call():
        results = model.signatures[SIGNATURE](**tensors)
        return {name: value.numpy() for name, value in results.items()}

    return call
