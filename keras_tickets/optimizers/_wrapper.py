"""An optimizer around another, which passes settings and calls on to it."""

import inspect
from collections.abc import Sequence

import keras

from keras_tickets import _keras_compat

# Arguments of every Keras optimizer, which the wrapper itself does not have.
_SETTINGS = (
    "weight_decay",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
    "loss_scale_factor",
    "gradient_accumulation_steps",
)


class OptimizerWrapper(keras.optimizers.Optimizer):
    """A Keras optimizer around an inner one, which takes the steps.

    Settings such as `weight_decay` or `clipnorm` and the other public attributes of the inner
    optimizer (`momentum`, `beta_1`) are read and set through the wrapper. The wrapper saves the
    inner optimizer's variables with its own, each once.

    Args:
        inner: Keras optimizer, its name or its config; not built yet.
        name: Name of the optimizer.

    Raises:
        TypeError: `inner` is `None`.
        ValueError: `inner` is itself a wrapper of this kind, is built already, or has parts that
            accumulate gradients.
    """

    _own_names: frozenset[str]

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls._own_names = frozenset({*dir(cls), *inspect.signature(cls.__init__).parameters})

    def __init__(
        self, inner: keras.optimizers.Optimizer | str | dict, *, name: str | None = None
    ) -> None:
        if inner is None:
            raise TypeError("`inner` must be a Keras optimizer, its name or its config, not None.")
        if isinstance(inner, dict) and not {"class_name", "config"} <= set(inner):
            raise ValueError(
                "`inner` must be a Keras optimizer, its name or its config with `class_name` and "
                f"`config`. Received: inner={inner!r}"
            )
        inner = keras.optimizers.get(inner)
        if isinstance(_keras_compat.optimizer_core(inner), OptimizerWrapper):
            raise ValueError(
                "`inner` must be a Keras optimizer, not a sparse one; loss scaling goes inside. "
                f"Received: inner={inner}"
            )
        if inner.built:
            raise ValueError(
                "`inner` must not be built yet: its slots are found while it builds. Received the "
                f"built optimizer {inner.name!r}; pass a new one, `{type(inner).__name__}."
                "from_config(optimizer.get_config())`."
            )
        _check_parts(inner)
        super().__init__(learning_rate=0.0, name=name)
        for setting in _SETTINGS:
            delattr(self, setting)
        self.inner_optimizer = inner

    def __getattr__(self, name):
        inner = vars(self).get("inner_optimizer")
        if inner is not None and not name.startswith("_"):
            core = _keras_compat.optimizer_core(inner)
            if hasattr(core, name):
                return getattr(core, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name, value):
        inner = vars(self).get("inner_optimizer")
        own = name.startswith("_") or name in vars(self) or name in self._own_names
        if inner is not None and not own:
            core = _keras_compat.optimizer_core(inner)
            if hasattr(core, name):
                setattr(core, name, value)
                return
        super().__setattr__(name, value)

    def enable_loss_scaling(self) -> None:
        """Puts a `keras.optimizers.LossScaleOptimizer` around the inner optimizer, once."""
        if not isinstance(self.inner_optimizer, keras.optimizers.LossScaleOptimizer):
            self.inner_optimizer = keras.optimizers.LossScaleOptimizer(self.inner_optimizer)

    @property
    def core_optimizer(self) -> keras.optimizers.Optimizer:
        """The inner optimizer without its loss scaling."""
        return _keras_compat.optimizer_core(self.inner_optimizer)

    @property
    def scales_loss(self) -> bool:
        """Whether there is loss scaling inside."""
        return self.core_optimizer is not self.inner_optimizer

    @property
    def batches_per_step(self) -> int:
        """Batches whose gradients the inner optimizer accumulates for one step."""
        return self.core_optimizer.gradient_accumulation_steps or 1

    @_keras_compat.without_tracking
    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Builds the inner optimizer and records its slots."""
        variables = list(variables)
        self._recorded_slots = _keras_compat.build_recording_slots(self.inner_optimizer, variables)
        _keras_compat.finish_inner_build(self.inner_optimizer)
        _keras_compat.build_without_slots(self, variables)

    @property
    def slots(self) -> list[keras.Variable]:
        """The inner optimizer's variables that belong to one weight each, such as its momentum."""
        return [slot for _, slot, _ in self._recorded_slots]

    @property
    def variables(self) -> list[keras.Variable]:
        """The wrapper's own variables, then the inner optimizer's."""
        return self._variables + self.inner_optimizer.variables

    def set_weights(self, weights):
        """Sets all `variables`."""
        for variable, weight in zip(self.variables, weights, strict=True):
            variable.assign(weight)

    @property
    def iterations(self):
        """Optimizer steps taken. With gradient accumulation a step takes several batches."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self):
        """The inner optimizer's learning rate at this step."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.inner_optimizer.learning_rate = learning_rate

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Excludes variables from the inner optimizer's weight decay, as in Keras."""
        for part in _keras_compat.optimizer_parts(self.inner_optimizer):
            part.exclude_from_weight_decay(var_list=var_list, var_names=var_names)

    def scale_loss(self, loss):
        """The loss times the current loss scale of the inner optimizer."""
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list):
        """Sets weights to their averages if the inner optimizer keeps any, as in Keras."""
        self.inner_optimizer.finalize_variable_values(var_list)


def _check_parts(inner):
    for part in _keras_compat.optimizer_parts(inner)[1:]:
        if part.gradient_accumulation_steps:
            raise ValueError(
                "The parts of a MultiOptimizer must not accumulate gradients: they would step at "
                "different times. Received: gradient_accumulation_steps="
                f"{part.gradient_accumulation_steps} in {part.name!r}"
            )
