"""`keras-tickets export`: a saved Keras model as files for inference."""

import os

import keras

from keras_tickets.export import export


def run(
    model: str | None, output: str | None, format: str, packed: bool, quantize: str | None
) -> int:
    """Exports a model, prints the report, and returns 0.

    Args:
        model: `.keras` file to read.
        output: What to create.
        format: As in `kt.export`.
        packed: As in `kt.export`.
        quantize: As in `kt.export`.

    Raises:
        ImportError: The format needs a package that is not installed.
        ValueError: A flag is missing or wrong, the model cannot be loaded, or `kt.export` refuses.
    """
    if not model:
        raise ValueError("--model is missing: name a .keras file, such as model.keras of a run")
    if not output:
        raise ValueError("--output is missing: name what to create")
    report = export(load(model), output, format=format, packed=packed, quantize=quantize or None)
    print(report)
    for file in report.files:
        print(file)
    return 0


def load(path: str) -> keras.Model:
    """The model of a `.keras` file, not compiled.

    Raises:
        ValueError: There is none, it is damaged, or it holds classes that are not registered.
    """
    if not os.path.isfile(path):
        raise ValueError(f"model file {path!r} does not exist")
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:
        # Keras prints the whole configuration before and after what went wrong.
        reason = str(error).rpartition("Exception encountered: ")[2]
        reason = reason.partition("Full object config")[0]
        raise ValueError(f"model file {path!r} cannot be loaded: {reason}") from error
