"""Sizes and latencies of exported sparse networks.

Each network is made sparse with random masks of uniform sparsity (the first convolution and
depthwise kernels stay dense) and exported in each format. Sizes are set against four bytes a
weight, the outputs of the packed SavedModel against those of the plain one, bit for bit.

    python tools/export_figures.py
    python tools/export_figures.py --networks lenet_300_100 --sparsities 0.5 0.95
"""

import argparse
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import keras_tickets as kt

# The images are small so that this ends soon: the sizes of the kernels do not depend on them.
APPLICATION = {"weights": None, "input_shape": (32, 32, 3), "classifier_activation": None}
NETWORKS = {
    "resnet50": lambda: keras.applications.ResNet50(**APPLICATION),
    "mobilenet_v2": lambda: keras.applications.MobileNetV2(**APPLICATION),
    "lenet_300_100": lambda: kt.models.lenet_300_100((28, 28, 1)),
}
EXPORTS = {
    "SavedModel": {"format": "tf_saved_model"},
    "SavedModel, packed": {"format": "tf_saved_model", "packed": True},
    "LiteRT": {"format": "litert"},
    "LiteRT, int8": {"format": "litert", "quantize": "int8"},
    "ONNX": {"format": "onnx"},
    "OpenVINO": {"format": "openvino"},
}
HEADER = (
    "| network | sparsity | format | bytes | times smaller | gzip bytes | difference "
    "| ms, batch 1 | ms, batch 32 |\n|---|---|---|---|---|---|---|---|---|"
)


def same_bits(model: keras.Model, dense: pathlib.Path, packed: pathlib.Path) -> bool:
    """Whether two SavedModels give the same outputs, bit for bit."""
    random = np.random.default_rng(1)
    images = random.normal(size=(4, *model.input_shape[1:])).astype("float32")
    artifacts = [tf.saved_model.load(str(path)) for path in (dense, packed)]
    one, two = (artifact.serve(images).numpy() for artifact in artifacts)
    return one.tobytes() == two.tobytes()


def report(name: str, sparsity: float, exports: list[str]) -> None:
    """Prints the rows of one network."""
    keras.utils.set_random_seed(0)
    sparse = kt.sparsify(NETWORKS[name](), sparsity, distribution="uniform")
    weights = kt.strip(sparse).count_params()
    random = np.random.default_rng(0)
    images = random.normal(size=(32, *sparse.input_shape[1:])).astype("float32")
    largest = float(np.abs(sparse(images, training=False)).max())
    notes = []
    with tempfile.TemporaryDirectory() as folder:
        paths = {each: pathlib.Path(folder) / f"{i}.xml" for i, each in enumerate(exports)}
        for each in exports:
            figures = kt.export(sparse, paths[each], **EXPORTS[each])
            latencies = " | ".join(
                f"{time.median:.2f} ({time.lowest:.2f}-{time.highest:.2f})"
                for time in figures.latency_ms.values()
            )
            print(
                f"| {name}, {weights:,} weights | {sparsity} | {each} | {figures.bytes:,} | "
                f"{4 * weights / figures.bytes:.1f} | {figures.gzip_bytes:,} | "
                f"{figures.max_abs_difference / largest:.1e} | {latencies} |",
                flush=True,
            )
            notes.append(f"{each}: {figures.note}")
        if {"SavedModel", "SavedModel, packed"} <= set(exports):
            equal = same_bits(sparse, paths["SavedModel"], paths["SavedModel, packed"])
            notes.append(f"outputs of the packed SavedModel, bit for bit: equal={equal}")
    print("\n".join(["", f"{name}, {sparsity}:", *notes, ""]), flush=True)


def main(arguments=None) -> None:
    """Prints the figures of all networks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--sparsities", nargs="+", type=float, default=[0.9, 0.95])
    parser.add_argument("--exports", nargs="+", choices=list(EXPORTS), default=list(EXPORTS))
    options = parser.parse_args(arguments)
    print(HEADER)
    for name in options.networks:
        for sparsity in options.sparsities:
            report(name, sparsity, options.exports)


if __name__ == "__main__":
    main()
