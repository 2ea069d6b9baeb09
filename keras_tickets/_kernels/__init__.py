"""Which weights of a model are kernels: their names, their axes, and the calls that use them."""
