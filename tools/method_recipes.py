"""How the methods of sparse training are made, for all tests and benchmarks.

A new method joins `METHODS`, with the file in `gin_configs/digits` that trains it.
"""

import dataclasses
from typing import Any

import keras

import keras_tickets as kt

REWIRES = ("update_every", "begin", "end", "drop_fraction", "seed")
PRUNES = ("update_every", "begin", "end")
CHOOSES = ("update_every",)


@dataclasses.dataclass(frozen=True)
class Method:
    """A method and the start that it needs.

    Attributes:
        optimizer: Its class.
        configuration: Name of its file in `gin_configs/digits`.
        takes: The arguments, of those about updates, that it has.
        options: Arguments that make it a variant of its class.
        mask: The first masks: "random", or "ones" for a method that prunes on the way.
        structure: Structure of the masks.
    """

    optimizer: type
    configuration: str
    takes: tuple[str, ...] = ()
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    mask: str = "random"
    structure: kt.structures.Structure | None = None

    def make(self, inner: Any, **arguments: Any) -> keras.optimizers.Optimizer:
        """The optimizer around `inner`; arguments about updates that it has not are left out."""
        taken = {
            name: value
            for name, value in arguments.items()
            if name in self.takes or name not in REWIRES
        }
        return self.optimizer(inner, **{**self.options, **taken})

    def sparsify(self, model: keras.Model, sparsity: float, **arguments: Any) -> kt.SparseModel:
        """The model with the masks that the method starts from."""
        return kt.sparsify(
            model, sparsity, **{"mask": self.mask, "structure": self.structure, **arguments}
        )


def _rigl(**options: Any) -> Method:
    structure = options.pop("structure", None)
    return Method(kt.optimizers.RigL, "rigl", REWIRES, options, structure=structure)


def _gradual(**options: Any) -> Method:
    return Method(kt.optimizers.GradualMagnitude, "gradual_magnitude", PRUNES, options, mask="ones")


def _straight_through(takes: tuple[str, ...], **options: Any) -> Method:
    return Method(kt.optimizers.StraightThrough, "straight_through", takes, options, mask="ones")


METHODS = {
    "Static": Method(kt.optimizers.Static, "static"),
    "SET": Method(kt.optimizers.SET, "set", REWIRES),
    "RigL": _rigl(),
    "RigL, mean": _rigl(mean_over=2),
    "RigL, initial": _rigl(grow_init="initial_dist"),
    "RigL, fan-in": _rigl(structure=kt.structures.FanIn()),
    "SNFS": Method(kt.optimizers.SNFS, "snfs", REWIRES),
    "SNFS, fixed": Method(kt.optimizers.SNFS, "snfs", REWIRES, {"redistribution": None}),
    "GradualMagnitude": _gradual(),
    "GradualMagnitude, global": _gradual(scope="global"),
    "GradualMagnitude, regrow": _gradual(regrow=True),
    "StraightThrough": _straight_through(CHOOSES),
    "StraightThrough, ramp": _straight_through(PRUNES, schedule=kt.schedules.CosineRamp()),
    "DNW": Method(kt.optimizers.DNW, "dnw", mask="ones"),
    "TopKAST": Method(kt.optimizers.TopKAST, "topkast", CHOOSES, mask="ones"),
}
