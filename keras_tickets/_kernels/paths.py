"""Paths of a model's weights: the names on the way from the model to each."""

import collections
import re
from collections.abc import Iterator

import keras

from keras_tickets import _keras_compat
from keras_tickets._kernels.axes import conv_lstm_cell, kernel_shape

_AUTOMATIC_VARIABLE = re.compile(r"variable(_\d+)?")


def weight_paths(model: keras.layers.Layer) -> dict[str, keras.Variable]:
    """Returns the weights of a model by path.

    Paths have the form of kernel paths: they are the same in every process, before and after
    `kt.sparsify`, saving, loading and `kt.strip`. Masks, seed states and metrics are not weights.

    Args:
        model: Built Keras model or layer.

    Returns:
        `{path: variable}`, in layer order: kernels, biases, scales, statistics, each once.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="fc")])
    assert list(kt.weight_paths(model)) == ["fc/kernel", "fc/bias"]
    ```
    """
    return {path: variable for path, _, variable, _ in Walk(model)}


def stable_name(variable: keras.Variable) -> str:
    """The variable's name, without its number where Keras chose the name."""
    return "variable" if _AUTOMATIC_VARIABLE.fullmatch(variable.name) else variable.name


class Walk:
    """Iterates over the weights of a model except masks: `(path, layer, variable, frozen)`.

    Attributes:
        without_kernel: After the walk, paths of the layers whose trainable weights are vectors.
        conv_lstm_cells: After the walk, ids of the cells of convolutional LSTMs.
    """

    def __init__(self, model):
        self.model = model
        self.conv_lstm_cells = set()
        self.without_kernel = []
        self._seen_layers = set()
        self._seen_variables = set()
        self._paths = set()
        self._numbers = collections.Counter()

    def __iter__(self) -> Iterator[tuple[str, keras.layers.Layer, keras.Variable, bool]]:
        # As in Keras, where each weight says whether it is trained, unless the whole model is not.
        frozen = not self.model.trainable
        yield from self._visit(self.model, (), fixed_names=True, frozen=frozen)

    def _visit(self, layer, prefix, fixed_names, frozen):
        if id(layer) in self._seen_layers:
            return
        self._seen_layers.add(id(layer))
        if (cell := conv_lstm_cell(layer)) is not None:
            self.conv_lstm_cells.add(id(cell))
        sublayers = _keras_compat.sublayers(layer)
        yield from self._own_variables(layer, sublayers, prefix, frozen or not layer.trainable)
        hidden = getattr(layer, "hidden_in_paths", False)
        fixed_names = fixed_names and (hidden or _keras_compat.is_graph(layer))
        hides_child = getattr(layer, "hides_child_in_paths", False)
        for sublayer in sublayers:
            names = prefix
            if not (hides_child or getattr(sublayer, "hidden_in_paths", False)):
                names = (*prefix, self._name(sublayer, prefix, fixed_names))
            yield from self._visit(sublayer, names, fixed_names, frozen)

    def _own_variables(self, layer, sublayers, prefix, frozen):
        known = {id(v) for sublayer in sublayers for v in sublayer.weights} | self._seen_variables
        own = [v for v in layer.weights if id(v) not in known]
        self._seen_variables.update(map(id, own))
        trainable = [v for v in own if v.trainable]
        if trainable and all(len(kernel_shape(v)) < 2 or "bias" in v.name for v in trainable):
            self.without_kernel.append("/".join(prefix) or layer.name)
        for variable in own:
            if not _is_support(variable):
                yield self._path(prefix, variable), layer, variable, frozen

    def _path(self, prefix, variable):
        name = "/".join((*prefix, stable_name(variable)))
        path, number = name, 0
        while path in self._paths:
            number += 1
            path = f"{name}_{number}"
        self._paths.add(path)
        return path

    def _name(self, layer, prefix, fixed):
        base = _keras_compat.automatic_name(layer)
        if fixed or base is None:
            return layer.name
        number = self._numbers[prefix, base]
        self._numbers[prefix, base] += 1
        return f"{base}_{number}" if number else base


def _is_support(variable) -> bool:
    """Whether a variable says which weights of a kernel there are: a mask, or indices."""
    boolean = keras.backend.standardize_dtype(variable.dtype) == "bool"
    return boolean or getattr(variable, "is_support", False)
