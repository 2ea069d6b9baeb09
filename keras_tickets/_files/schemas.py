"""Checks of the content of a file before it is used."""

from typing import Any


def check_schema(value: Any, schema: Any, place: str = "it") -> None:
    """Raises an error that names the first place where a value read from JSON is invalid.

    Args:
        value: The value.
        schema: A type; a tuple of schemas, one of which must fit; a list of one schema, for every
            item; `{str: schema}`, for every value; or `{"key": schema}` for the required keys.
            `float` also accepts integers, as JSON does.
        place: Name of the value in the error.

    Raises:
        ValueError: It does not fit.

    Example:

    ```python
    from keras_tickets._files.schemas import check_schema

    schema = {"epoch": int, "history": {str: [float]}}
    check_schema({"epoch": 2, "history": {"loss": [0.5, 0.25]}}, schema)
    ```
    """
    if isinstance(schema, tuple):
        if not any(_fits(value, choice) for choice in schema):
            raise ValueError(f"{place} is {_short(value)}")
    elif isinstance(schema, list):
        _check_type(value, list, place)
        for i, item in enumerate(value):
            check_schema(item, schema[0], f"{place}[{i}]")
    elif isinstance(schema, dict):
        _check_type(value, dict, place)
        for key, each in _keys(value, schema, place):
            check_schema(value[key], each, f"{place}[{key!r}]")
    else:
        _check_type(value, schema, place)


def _keys(value, schema, place):
    if str in schema:
        return [(key, schema[str]) for key in value]
    if missing := [key for key in schema if key not in value]:
        raise ValueError(f"{place} has no {missing[0]!r}")
    return schema.items()


def _fits(value, schema) -> bool:
    try:
        check_schema(value, schema)
    except ValueError:
        return False
    return True


def _check_type(value, kind, place):
    kinds = (float, int) if kind is float else (kind,)
    if type(value) not in kinds:
        raise ValueError(f"{place} is {_short(value)}, and no {kind.__name__}")


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
