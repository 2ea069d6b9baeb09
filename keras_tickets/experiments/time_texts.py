"""Lengths of time in words."""


def duration(seconds: float) -> str:
    """A length of time to read: "40 s", "12 min", "3 h 20 min", "2 d 5 h".

    Example:

    ```python
    from keras_tickets.experiments.time_texts import duration

    assert [duration(t) for t in (0.2, 40, 90, 12_000)] == ["1 s", "40 s", "2 min", "3 h 20 min"]
    ```
    """
    if seconds < 59.5:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return _two(minutes // 60, "h", minutes % 60, "min")
    hours = round(seconds / 3600)
    return _two(hours // 24, "d", hours % 24, "h")


def _two(whole: int, unit: str, rest: int, smaller: str) -> str:
    return f"{whole} {unit} {rest} {smaller}" if rest else f"{whole} {unit}"
