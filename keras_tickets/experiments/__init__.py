"""The training binary; nothing else in the package knows of gin, flags or work directories."""
