"""Package metadata; the build system and the tools' settings are in pyproject.toml."""

import pathlib
import re

import setuptools

ROOT = pathlib.Path(__file__).parent


def read_version() -> str:
    """The `__version__` of the package, read without importing it and so TensorFlow."""
    source = (ROOT / "keras_tickets" / "_version.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "([^"]+)"$', source, re.MULTILINE).group(1)


DEPENDENCIES = [
    "tensorflow>=2.20,<3",  # the backend, tf.distribute, SavedModel; 2.20 is the first on 3.13
    "keras>=3.13,<4",  # layers and models; 3.13 is the first with LiteRT export
    "tensorflow-model-optimization>=0.8",  # its pruning schedules are accepted as they are
    "tensorflow-datasets>=4.9.8",  # mnist, fashion_mnist, cifar10 and imagenet2012
    "importlib_resources",  # tensorflow-datasets imports it without declaring it
    "gin-config>=0.5",  # configuration of the training binary
    "absl-py",  # flags of the command line
    "flatbuffers",  # LiteRT files are rewritten with it; TensorFlow needs it too
    "tensorboard>=2.20",  # writes the logs of tf.summary, which TensorFlow no longer brings
    "scikit-learn>=1.4",  # its bundled digits: a real data set that needs no download
]

ONNX = [
    "tf2onnx>=1.17",  # what Keras exports ONNX through; older ones pin an old protobuf
    "onnxruntime",  # runs the exported file
]

OPENVINO = [
    "openvino",  # what Keras exports OpenVINO IR through, and what runs it
]

TEST = [
    *ONNX,  # small and quick to install, so that these formats are always tested
    *OPENVINO,
    "pytest>=8",  # the test runner
    "pytest-xdist>=3",  # runs the tests on all cores
    "hypothesis>=6",  # property tests
    "safetensors>=0.4",  # opens ticket files as another reader would
    "matplotlib>=3.8",  # kt.analysis.figures
]

DOCS = [
    "mkdocs-material>=9.7",  # the site of `make docs`
    "mkdocstrings[python]>=1",  # its reference, from the docstrings
]

EXTRAS = {
    "test": TEST,
    "docs": DOCS,
    "dev": [
        *TEST,
        *DOCS,
        "ruff>=0.6",  # formatting and lint
        "mypy>=1.13",  # types
        "pre-commit>=4",  # runs the checks before each commit
    ],
    "figures": [
        "matplotlib>=3.8",  # kt.analysis.figures; neither training nor the other analyses need it
    ],
    "onnx": ONNX,
    "openvino": OPENVINO,
}

setuptools.setup(
    name="keras-tickets",
    version=read_version(),
    description="Sparse training for TensorFlow and Keras 3: RigL, lottery tickets, KD tickets.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords="keras tensorflow sparsity pruning sparse-training rigl lottery-ticket",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    python_requires=">=3.11,<3.14",
    packages=setuptools.find_packages(include=["keras_tickets", "keras_tickets.*"]),
    package_data={"keras_tickets": ["py.typed"]},
    install_requires=DEPENDENCIES,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["keras-tickets = keras_tickets.experiments.cli:main"]},
)
