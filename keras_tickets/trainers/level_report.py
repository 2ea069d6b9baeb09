"""The printed progress of levels."""

import sys


class LevelReport:
    """Prints which level is training, and of how many.

    In a terminal, or if `verbose` asks for it, a line appears above the progress bars of each
    level. If output goes to a file there are no bars, and each level is one line with its results.

    Args:
        levels: Number of prunings.
        verbose: As in `RewindTrainer.fit`.

    Attributes:
        verbose_fit: `verbose` for the `keras.Model.fit` of each level.
    """

    def __init__(self, levels: int, verbose: int | str = "auto"):
        self._levels = levels
        self._to_file = verbose == "auto" and not sys.stdout.isatty()
        self._silent = verbose == 0
        self.verbose_fit = 0 if self._to_file else verbose

    def begin_rewind_point(self, step: int) -> None:
        """Reports that training to the rewind point begins."""
        self._above_bars(f"To step {step}, which levels rewind to")

    def begin(self, level: int, control: str | None, density: float) -> None:
        """Reports that a level begins, with this share of its weights left."""
        self._above_bars(self._level(level, control, density))

    def end(self, level: int, control: str | None, result: dict) -> None:
        """Reports that a level has ended, with this result."""
        if not self._to_file:
            return
        metrics = [name for name in result if name.startswith("val_")] or ["loss"]
        found = "".join(f", {name} {result[name]:.4f}" for name in metrics)
        line = self._level(level, control, result["density"])
        print(f"{line}{found}, {result['seconds']:.0f} s", flush=True)

    def _level(self, level, control, density):
        name = f", control {control!r}" if control else ""
        return f"Level {level} of {self._levels}{name}: {density:.1%} of the weights left"

    def _above_bars(self, line):
        if not self._silent and not self._to_file:
            print(line, flush=True)
