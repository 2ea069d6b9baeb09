"""The kernels of a model: their names, their axes, and the calls that use them."""
