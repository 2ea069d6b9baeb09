"""Reads a sweep from a TOML file and from flags."""

import os
import pathlib
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from absl import flags

from keras_tickets._files.home import expand_home
from keras_tickets.experiments.sweeps.axes import GIN_FILE, gin_text, read_axis, read_values, whole
from keras_tickets.experiments.sweeps.sweep import NAME, Sweep

SETTING = re.compile(r"[\w./]+")
KEYS = ("gin_file", "gin_param", "module", "seeds", "choose", "choose_seed", "grid", "runs")


def read_sweep(values: flags.FlagValues) -> Sweep:
    """The sweep that a file describes, and flags, which add to it and override it.

    Args:
        values: The flags of the command, parsed.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file or a flag is not valid; the error names it.
    """
    content: dict[str, Any] = {}
    if values.sweep_file:
        content = read_file(expand_home(values.sweep_file))
    for text in values.grid:
        name, _, listed = text.partition("=")
        with_name = f"--grid={text!r}"
        if not SETTING.fullmatch(name.strip()):
            raise ValueError(f"{with_name}: it must be NAME=[value, value]")
        try:
            content.setdefault("grid", {}).update(
                _grid("grid", {name.strip(): read_values(listed)})
            )
        except ValueError as error:
            raise ValueError(f"{with_name}: {error}") from error
    if values.seeds is not None:
        content["seeds"] = _seeds_flag(values.seeds)
    if values.choose is not None:
        content["choose"] = whole("choose", values.choose, low=1)
    return Sweep(
        gin_files=(*content.get("gin_file", ()), *map(_in_current_folder, values.gin_file)),
        gin_params=(*content.get("gin_param", ()), *values.gin_param),
        modules=(*content.get("module", ()), *values.module),
        listed=content.get("runs", ()),
        grid=content.get("grid", {}),
        seeds=content.get("seeds"),
        choose=content.get("choose"),
        choose_seed=content.get("choose_seed", 0),
        directory=expand_home(values.sweep_file).parent if values.sweep_file else pathlib.Path(),
    )


def _in_current_folder(name: str) -> str:
    """A configuration of a flag, which is not looked for beside the sweep file first."""
    return os.path.abspath(name) if os.path.isfile(name) else name


def read_file(file: pathlib.Path) -> dict[str, Any]:
    """What a sweep file says; each part checked.

    Args:
        file: A TOML file, with any of `KEYS`.

    Returns:
        Arguments of `Sweep` under the names of the file.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It cannot be read.
        ValueError: It is no such file; the error says what is wrong.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))  # as gin files are read
        if unknown := [key for key in content if key not in KEYS]:
            raise ValueError(f"it has {unknown[0]!r}; what it can have are {', '.join(KEYS)}")
        return {key: _READ[key](key, value) for key, value in content.items()}
    except FileNotFoundError:
        raise FileNotFoundError(f"sweep file {str(file)!r} does not exist") from None
    except OSError as error:
        raise OSError(f"sweep file {str(file)!r} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"sweep file {str(file)!r} is not valid: {error}") from error


def _texts(key: str, value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{key!r} must be a text or a list of texts. Received: {value!r}")
    return texts


def _seeds(key, value) -> tuple[int, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"'seeds' must be a list of whole numbers. Received: {value!r}")
    seeds = tuple(whole("seeds", seed) for seed in value)
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"'seeds' has one twice. Received: {value!r}")
    return seeds


def _seeds_flag(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(,\d+)*", text.replace(" ", "")):
        raise ValueError(
            f"--seeds must be numbers with commas between, as 0,1,2. Received: {text!r}"
        )
    return _seeds("seeds", [int(one) for one in text.split(",")])


def _count(key, value) -> int:
    return whole(key, value, low=0 if key == "choose_seed" else 1)


def _grid(key, value):
    if not isinstance(value, dict):
        raise ValueError(f"'grid' must be a table. Received: {value!r}")
    axes = {name: read_axis(name, values) for name, values in _flat(value).items()}
    if NAME in axes:
        raise ValueError("a name is for a run of the list, [[runs]], and not for the grid")
    if GIN_FILE in axes:
        _texts(GIN_FILE, axes[GIN_FILE])
    return axes


def _runs(key, value):
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ValueError(f"'runs' must be tables, [[runs]]. Received: {value!r}")
    listed = [_flat(one) for one in value]
    for one in listed:
        for name, setting in one.items():
            gin_text(name, setting)
        if GIN_FILE in one:
            _texts(GIN_FILE, [one[GIN_FILE]])
        named = one.get(NAME, "run")
        if not isinstance(named, str) or not re.fullmatch(r"[\w+-][\w.+=-]*", named):
            raise ValueError(
                "the name of a run must be a text of letters, digits and any of . _ + = -. "
                f"Received: name={named!r}"
            )
    return listed


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by their whole names: `train.seed = 1` is a table in TOML, `"train.seed"` a name."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        nested = isinstance(value, dict) and "." not in key and not {"from", "to"} <= set(value)
        if not SETTING.fullmatch(key):
            raise ValueError(f"{key!r} is no name of a setting, such as train.sparsity")
        flat |= _flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat


_READ: dict[str, Callable[[str, Any], Any]] = {
    "gin_file": _texts,
    "gin_param": _texts,
    "module": _texts,
    "seeds": _seeds,
    "choose": _count,
    "choose_seed": _count,
    "grid": _grid,
    "runs": _runs,
}
