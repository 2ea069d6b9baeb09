"""`SparseDense` in a SavedModel that Keras writes: by TensorFlow alone, or refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_tickets as kt


def model(engine):
    layer = kt.layers.SparseDense(9, 0.5, "relu", engine=engine, name="fc")
    return keras.Sequential([keras.Input((12,)), layer, keras.layers.Dense(3)])


def test_tensorflow_alone_computes_what_is_exported(tmp_path):
    written = model("tensorflow")
    written.export(tmp_path / "m", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "m"))
    x = np.random.default_rng(0).normal(size=(4, 12)).astype("float32")
    np.testing.assert_allclose(loaded.serve(x), written(x), rtol=1e-5, atol=1e-6)
    graph = loaded.signatures["serving_default"].graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    operators = {node.op for node in nodes}
    assert "SparseMatrixMatMul" in operators and not any("PyFunc" in name for name in operators)


@pytest.mark.parametrize("engine", ["auto", "numba"])
def test_what_computes_with_numba_is_refused_and_nothing_written(tmp_path, engine):
    pytest.importorskip("numba")
    written = model(engine)
    for write in (
        lambda path: written.export(path, verbose=False),
        lambda path: tf.saved_model.save(written, str(path)),
    ):
        with pytest.raises(ValueError, match="'fc' computes with numba.*`kt.export`, or `kt.strip"):
            write(tmp_path / "m")
    assert not list(tmp_path.iterdir())
    written.layers[0].engine = "tensorflow"
    written.export(tmp_path / "m", verbose=False)
    written.save(tmp_path / "m.keras")
    kt.strip(written).export(tmp_path / "plain", verbose=False)
