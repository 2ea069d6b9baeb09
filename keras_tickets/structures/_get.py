"""What users may pass as a structure, and what it makes of a kernel."""

import math

from keras_tickets._kernels.find import Kernel
from keras_tickets.structures.structure import Layout, Structure
from keras_tickets.structures.unstructured import Unstructured


def get(structure: Structure | None) -> Structure:
    """The structure, single weights for `None`.

    Raises:
        ValueError: `structure` is no structure.

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
    """What a structure makes of a kernel and the share of zeros that was asked for.

    A kernel of sparsity 0 keeps all its weights: it need not fit, and has single weights then.

    Args:
        structure: The structure.
        kernel: The kernel.
        sparsity: Share of zeros in [0, 1).

    Returns:
        The sparsity, exactly the structure's own where it has one, and the layout.

    Raises:
        ValueError: The structure has another sparsity, or the kernel cannot be divided so.

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
