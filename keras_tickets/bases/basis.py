"""`Basis`: an orthonormal basis for kernels, and what all bases have in common."""

import abc
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np

Arrays: TypeAlias = Mapping[str, np.ndarray]
Matrices: TypeAlias = Sequence[np.ndarray | None]


class Basis(abc.ABC):
    """An orthonormal basis for kernels: a rotation along each of their axes.

    Rotations preserve lengths, so magnitudes of coefficients are comparable. SGD, with or without
    momentum, trains the coefficients as it trains the weights. Adam and similar optimizers do not:
    with them, it matters which of the two are trained.

    Subclasses define `matrices`. To be kept with tickets, a class is registered with
    `keras.saving.register_keras_serializable`, and its `get_config` returns the arguments of its
    constructor.

    Attributes:
        fixed: Whether the basis is the same whatever the weights are. Otherwise `fitted` draws it
            from trained weights.

    Example:

    ```python
    import keras
    import keras_tickets as kt
    import numpy as np

    @keras.saving.register_keras_serializable("mine")
    class Flipped(kt.bases.Basis):
        def matrices(self, path, shape):
            return [np.eye(size)[::-1] for size in shape]

    kernel = np.arange(6.0).reshape(2, 3)
    basis = Flipped()
    assert basis.forward("fc/kernel", kernel)[0, 0] == 5.0
    assert (basis.inverse("fc/kernel", basis.forward("fc/kernel", kernel)) == kernel).all()
    ```

    References:
        - [Alabdulmohsin et al., 2021, "A generalized lottery ticket
          hypothesis"](https://arxiv.org/abs/2107.06825)
    """

    fixed = True

    @abc.abstractmethod
    def matrices(self, path: str, shape: tuple[int, ...]) -> list[np.ndarray | None]:
        """Returns one orthogonal matrix for each axis of a kernel; `None` for an unchanged axis.

        Args:
            path: Kernel path.
            shape: Shape of the kernel.
        """

    def forward(self, path: str, weights: np.ndarray) -> np.ndarray:
        """The coefficients of the kernel of this path: a float64 array of the same shape."""
        matrices = self.matrices(path, np.shape(weights))
        return rotate(np, np.asarray(weights, np.float64), matrices)

    def inverse(self, path: str, coefficients: np.ndarray) -> np.ndarray:
        """The kernel of this path that has these coefficients, in float64."""
        matrices = transposed(self.matrices(path, np.shape(coefficients)))
        return rotate(np, np.asarray(coefficients, np.float64), matrices)

    def scores(self, coefficients: np.ndarray) -> np.ndarray:
        """What a coefficient is pruned by, the lowest first: its magnitude by default.

        Args:
            coefficients: Those of one kernel.

        Returns:
            Array of the same shape.
        """
        return np.abs(coefficients)

    def fitted(self, weights: Arrays) -> "Basis":
        """The basis for pruning these weights: this one, if it is fixed.

        Args:
            weights: `{kernel path: array}`, the trained kernels.
        """
        return self

    def of_kernels(self, paths: Iterable[str]) -> "Basis":
        """This basis without what only other kernels need.

        Args:
            paths: Kernel paths.
        """
        return self

    def joined(self, other: "Basis") -> "Basis":
        """The basis of the kernels of both, which are different parts of one.

        Args:
            other: Another result of `of_kernels`.

        Raises:
            ValueError: They are parts of different bases.
        """
        if self != other:
            raise ValueError(f"There are kernels in basis {self!r} and others in basis {other!r}.")
        return self

    def stored(self, mask: np.ndarray) -> int:
        """How many values store a kernel: its coefficients, and what of the basis is its own.

        Args:
            mask: Boolean array over its coefficients.
        """
        return int(np.count_nonzero(mask))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, as values that JSON can hold."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Basis":
        """The basis of which `get_config` gave this."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def rotate(ops: Any, values: Any, matrices: Matrices) -> Any:
    """Multiplies each axis of an array by its matrix.

    Args:
        ops: The module that computes: `numpy` or `keras.ops`.
        values: The array.
        matrices: A matrix for each axis, or `None`.
    """
    for axis, matrix in enumerate(matrices):
        if matrix is not None:
            values = ops.moveaxis(ops.tensordot(matrix, values, axes=[[1], [axis]]), 0, axis)
    return values


def transposed(matrices: Matrices) -> list[np.ndarray | None]:
    """The matrices that rotate back."""
    return [matrix if matrix is None else matrix.T for matrix in matrices]


def check_matrices(basis: Basis, path: str, shape: tuple[int, ...]) -> None:
    """Raises an error if a basis is none of a kernel.

    Args:
        basis: The basis.
        path: Kernel path.
        shape: Shape of the kernel.

    Raises:
        ValueError: It has no matrices for the kernel, they do not fit, or are not orthogonal.
    """
    try:
        matrices = list(basis.matrices(path, shape))
    except KeyError:
        raise ValueError(f"Basis {basis!r} is not one of kernel {path!r}.") from None
    sizes = [getattr(matrix, "shape", ()) for matrix in matrices]
    fitting = [() if m is None else (n, n) for m, n in zip(matrices, shape, strict=False)]
    if len(sizes) != len(shape) or sizes != fitting:
        raise ValueError(
            f"Basis {basis!r} must have a matrix, or `None`, for each axis of kernel {path!r} of "
            f"shape {shape}. Received: matrices of shapes {sizes}"
        )
    for axis, matrix in enumerate(matrices):
        if matrix is not None:
            vector = np.random.default_rng(0).normal(size=shape[axis])
            if not np.allclose(np.asarray(matrix).T @ (matrix @ vector), vector, atol=1e-4):
                raise ValueError(
                    f"Basis {basis!r} must be orthonormal; its matrix for axis {axis} of kernel "
                    f"{path!r} is not orthogonal."
                )


def check_basis(basis: Any) -> Basis:
    """The basis, if it is one that can be kept with tickets.

    Raises:
        TypeError: It is no `kt.bases.Basis`.
        ValueError: Its class is not registered.
    """
    if not isinstance(basis, Basis):
        raise TypeError(f"`basis` must be an object of `kt.bases`. Received: basis={basis!r}")
    name = keras.saving.get_registered_name(type(basis))
    if keras.saving.get_registered_object(name) is not type(basis):
        raise ValueError(
            "`basis` must be of a registered class, so that tickets can be read again: decorate "
            f"it with `keras.saving.register_keras_serializable`. Received: basis={basis!r}"
        )
    return basis


def serialize(basis: Basis) -> dict[str, Any]:
    """A basis as values that JSON can hold: the registered name of its class, and its config."""
    name = keras.saving.get_registered_name(type(basis))
    return {"basis": name, "config": basis.get_config()}


def fingerprint(basis: Basis) -> bytes:
    """SHA-256 of what `serialize` gives: 32 bytes, the same for equal bases."""
    return hashlib.sha256(json.dumps(serialize(basis), sort_keys=True).encode()).digest()


def deserialize(values: Mapping[str, Any]) -> Basis:
    """The basis of which `serialize` gave this. Only registered classes are looked up.

    Raises:
        ValueError: There is no such class, or it does not take the config.
    """
    name = values["basis"]
    found = keras.saving.get_registered_object(name)
    if not (isinstance(found, type) and issubclass(found, Basis)):
        raise ValueError(
            f"its basis {name!r} is not known: import the module that registers the class"
        )
    try:
        return found.from_config(values["config"])
    except Exception as error:
        raise ValueError(f"its basis {name!r} cannot be made ({error})") from error
