"""The training binary. Nothing else in the package knows of gin, flags or work directories."""

__all__: list[str] = []
