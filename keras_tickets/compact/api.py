"""`kt.compact`: a model without its dead units and channels."""

import keras

from keras_tickets import _keras_compat
from keras_tickets._checks import check_model
from keras_tickets.compact.analysis import analyze
from keras_tickets.compact.graph import Graph, build, read
from keras_tickets.compact.report import CompactionReport, CompactionRow, Stayed
from keras_tickets.model import strip


def compact(sparse_model: keras.Model) -> keras.Model:
    """Makes a smaller dense model with the same outputs, without dead units and channels.

    A unit of a dense layer or a channel of a convolution is removed if nothing reads it, or if its
    value is the same for every input (it has no incoming weights, or reads only constants) and can
    be folded into the biases of the layers that read it. Removals may leave others dead, which are
    then removed too. A branch of an `Add` that is zero everywhere is removed with its layers.
    Channels are followed through batch normalization, activations, pooling, merging, flattening and
    nested models; where branches merge, a channel is removed only if it is dead in all of them.
    Constants other than 0 are folded into dense layers and into convolutions without padding (or of
    size 1). A layer of another class, or one that is called more than once, keeps all its input and
    output channels, and so does the model. `kt.compaction_report` lists what stays and why.

    Args:
        sparse_model: A built `kt.SparseModel` or any other built `keras.Model`; it is left
            unchanged. A sparse model is stripped first (`kt.strip`).

    Returns:
        A functional Keras model, not compiled, with the same names and inputs and, at inference,
        the same outputs up to float rounding. It does not need keras_tickets. A subclassed model,
        whose calls cannot be seen, is copied unchanged.

    Raises:
        TypeError: `sparse_model` is not a Keras 3 model.
        ValueError: It is not built, or a layer cannot be copied.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    layers = [keras.Input((16,)), keras.layers.Dense(32, "relu", name="fc"), keras.layers.Dense(4)]
    dense = keras.Sequential(layers)
    sparse = kt.sparsify(dense, {"fc": 0.75}, structure=kt.structures.Channel())
    smaller = kt.compact(sparse)
    assert smaller.get_layer("fc").units == 8
    ```
    """
    return _compact(sparse_model)[0]


def compaction_report(sparse_model: keras.Model) -> CompactionReport:
    """Reports what `kt.compact` does to a model: every kernel's shape, and what stays and why.

    Args:
        sparse_model: As in `kt.compact`.

    Returns:
        The report. Print it for a table.

    Raises:
        TypeError: `sparse_model` is not a Keras 3 model.
        ValueError: It is not built, or a layer cannot be copied.

    Example:

    ```python
    import keras
    import keras_tickets as kt

    layers = [keras.Input((16,)), keras.layers.Dense(32, "relu", name="fc"), keras.layers.Dense(4)]
    dense = keras.Sequential(layers)
    sparse = kt.sparsify(dense, {"fc": 0.75}, structure=kt.structures.Channel())
    print(kt.compaction_report(sparse))
    ```
    """
    return _compact(sparse_model)[1]


def _compact(sparse_model):
    check_model(sparse_model)
    plain = strip(sparse_model)
    parameters = plain.count_params()
    if not _keras_compat.is_graph(plain):
        reason = "a subclassed model, whose calls of layers cannot be seen"
        return plain, CompactionReport([], [Stayed(plain.name, 0, reason)], parameters, parameters)
    graph = read(plain)
    stayed = [Stayed(*entry) for entry in analyze(graph)]
    smaller = build(graph)
    return smaller, CompactionReport(_rows(graph), stayed, parameters, smaller.count_params())


def _rows(graph: Graph) -> list[CompactionRow]:
    rows = []
    for call in dict.fromkeys(graph.steps()):
        if name := call.kernel_name:
            shape = tuple(getattr(call.layer, name).shape)
            compact_shape = call.weights()[name].shape if call.wanted else None
            rows.append(CompactionRow(f"{call.path}/{name}", shape, compact_shape))
    return rows
