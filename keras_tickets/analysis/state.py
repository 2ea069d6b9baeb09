"""The complete state of a model."""

import keras


def all_variables(model: keras.Model) -> list[keras.Variable]:
    """All variables of a model and, if it is compiled, of its optimizer, which is built.

    Masks, statistics and the states of random generators are among them.

    Args:
        model: Built Keras model.
    """
    if not model.compiled:
        return [*model.variables]
    with model.distribute_strategy.scope():
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]
