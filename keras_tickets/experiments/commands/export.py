"""`keras-tickets export`: a saved Keras model as files for inference."""

import pathlib
import zipfile
from collections.abc import Sequence

import keras
import numpy as np
from absl import flags

from keras_tickets._files.home import expand_home
from keras_tickets._files.reading import open_file
from keras_tickets.export import export
from keras_tickets.export.formats import FORMATS


def run(values: flags.FlagValues) -> int:
    """Exports a model, prints the report, and returns 0.

    Raises:
        ImportError: The format needs a package that is not installed.
        ValueError: A flag is missing or wrong, the model cannot be loaded, or `kt.export` refuses.
    """
    if not values.model:
        raise ValueError("--model is missing: name a .keras file, such as model.keras of a run")
    if not values.output:
        raise ValueError("--output is missing: name what to create")
    _import(values.module)
    report = export(
        load(values.model),
        _with_suffix(values.output, values.format),
        format=values.format,
        packed=values.packed,
        quantize=values.quantize or None,
        calibration=_arrays(values.calibration) if values.calibration else None,
        kernels=values.kernels,
        batch_size=values.batch_size,
        target=values.target or None,
        overwrite=values.overwrite,
    )
    print(report)
    for file in report.files:
        print(file)
    return 0


def _import(modules: Sequence[str]) -> None:
    """Imports the modules whose classes the model has."""
    if modules:
        from keras_tickets.experiments.user_modules import UserModules  # knows gin

        for name in modules:
            UserModules().load(name)


def _with_suffix(output: str, format: str) -> pathlib.Path:
    """The path of the output, with the suffix of the format if it has none."""
    path = expand_home(output)
    if path.name and not path.suffix and format in FORMATS and FORMATS[format].suffix:
        return path.with_suffix(FORMATS[format].suffix)
    return path


def _arrays(path: str) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file by name.

    Raises:
        ValueError: There is none, or it is damaged.
    """
    try:
        with open_file(expand_home(path)) as (file, _):
            stored = np.load(file, allow_pickle=False)
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError as error:
        raise ValueError(f"calibration file {path!r} does not exist") from error
    except Exception as error:
        raise ValueError(
            f"calibration file {path!r} cannot be read: it must be an .npz file of arrays without "
            f"objects. {type(error).__name__}: {error}"
        ) from error


def load(path: str) -> keras.Model:
    """The model of a `.keras` file, not compiled.

    Raises:
        ValueError: There is none, it is damaged, or it holds classes that are not registered.
    """
    file = expand_home(path)
    if not file.is_file():
        raise ValueError(f"model file {path!r} does not exist")
    if file.suffix == ".keras" and not zipfile.is_zipfile(file):
        # Keras says of such a file that it is not found.
        raise ValueError(f"model file {path!r} cannot be loaded: it is no Keras file, or cut short")
    try:
        return keras.models.load_model(file, compile=False)
    except Exception as error:
        # Keras prints the whole configuration before and after what went wrong.
        reason = str(error).rpartition("Exception encountered: ")[2]
        reason = reason.partition("Full object config")[0]
        raise ValueError(f"model file {path!r} cannot be loaded: {reason}") from error
