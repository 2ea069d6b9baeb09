"""ONNX files."""

import logging

import numpy as np

OPSET = 18


def convert(source, target, inputs, outputs):
    """Converts a SavedModel; returns the operators that ONNX lacks."""
    import onnx
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    graph, _, _, tables, names = tf2onnx.tf_loader.from_saved_model(
        source,
        None,
        None,
        tag="serve",
        signatures=["serving_default"],
        return_initialized_tables=True,
        return_tensors_to_rename=True,
    )
    spelled = {name.lower(): name for name in inputs}  # TensorFlow's nodes may be in lower case
    names = {tensor: spelled.get(name.lower(), name) for tensor, name in names.items()}
    tensors = {name: tensor for tensor, name in names.items()}
    model, _ = tf2onnx.convert._convert_common(
        graph,
        name="model",
        opset=OPSET,
        input_names=[tensors[name] for name in inputs if name in tensors],
        output_names=[tensors[name] for name in outputs],
        tensors_to_rename=names,
        initialized_tables=tables,
        custom_op_handlers={"Erfc": (_erfc, [])},
    )
    onnx.save(model, target)
    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    return sorted({node.op_type for node in model.graph.node if not node.domain} - known)


def _erfc(context, node, name, arguments):
    """1 - erf(x), which ONNX has."""
    from tf2onnx.utils import map_onnx_to_numpy_type

    dtype = context.get_dtype(node.output[0])
    context.remove_node(node.name)
    erf = context.make_node("Erf", node.input, dtypes=[dtype])
    one = context.make_const(f"{name}/one", np.array(1, map_onnx_to_numpy_type(dtype)))
    context.make_node(
        "Sub", [one.output[0], erf.output[0]], outputs=node.output, name=name, dtypes=[dtype]
    )


def prepare(path, inputs):
    """A function without arguments that runs the model on `inputs`, arrays by name."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = {entry.name for entry in session.get_inputs()}
    inputs = {name: _as_text(value) for name, value in inputs.items() if name in names}
    results = [entry.name for entry in session.get_outputs()]

    def call():
        return dict(zip(results, session.run(results, inputs), strict=True))

    return call


def _as_text(value):
    return value.astype("U").astype(object) if value.dtype.kind == "S" else value
