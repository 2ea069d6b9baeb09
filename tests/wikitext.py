"""Short texts with the names of those of WikiText-103, which users bring themselves."""

import pathlib


def write(directory: pathlib.Path) -> None:
    """Writes a training and a test text of some sequences of 512 bytes."""
    line = " The tower is 324 metres tall , about the same height as an <unk> building . \n"
    for split, lines in (("train", 1000), ("test", 100)):
        (directory / f"wiki.{split}.tokens").write_text(lines * line)
