"""Turns what users may pass as a structure into one, and fits it to a kernel."""

import math

from keras_tickets._kernels.find import Kernel
from keras_tickets.structures.structure import Layout, Structure
from keras_tickets.structures.unstructured import Unstructured


def get(structure: Structure | None) -> Structure:
    """Resolves a structure.

    Args:
        structure: A structure, or `None` for single weights.

    Returns:
        The structure.

    Raises:
        ValueError: `structure` is neither.

    Example:

    >>> import keras_tickets as kt
    >>> kt.structures.get(None)
    Unstructured()
    """
    if structure is None:
        return Unstructured()
    if not isinstance(structure, Structure):
        raise ValueError(
            "`structure` must be None or an object of kt.structures. Received: "
            f"structure={structure!r}"
        )
    return structure


def fit(structure: Structure, kernel: Kernel, sparsity: float) -> tuple[float, Layout]:
    """Fits a structure to a kernel.

    A kernel of sparsity 0 keeps all its weights, so the structure need not fit: if it does not, the
    layout is that of single weights.

    Args:
        structure: The structure.
        kernel: The kernel.
        sparsity: Requested share of zeros in [0, 1).

    Returns:
        The share of zeros, which is exactly the structure's own if it has one, and the layout.

    Raises:
        ValueError: The structure has a different sparsity, or cannot divide the kernel.

    Example:

    ```python
    import keras
    import keras_tickets as kt
    from keras_tickets._kernels.find import find_kernels

    dense = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    (kernel,), _ = find_kernels(dense)
    sparsity, layout = kt.structures.fit(kt.structures.NM(1, 4), kernel, 0.75)
    assert layout.count(sparsity) == 8
    ```
    """
    if sparsity == 0:
        try:
            return sparsity, structure.layout(kernel)
        except ValueError:
            return sparsity, Unstructured().layout(kernel)
    if structure.sparsity is not None:
        if not math.isclose(sparsity, structure.sparsity, abs_tol=1e-6):
            raise ValueError(
                f"With structure={structure!r} the sparsity is {structure.sparsity:.6g}. "
                f"Received: {sparsity} for kernel {kernel.path!r}."
            )
        sparsity = structure.sparsity
    return sparsity, structure.layout(kernel)
