"""Studies what separates static from dynamic sparse training: ways, escape, gradients, exploration.

    python tools/landscape_study.py --directory=runs/landscape --networks lenet resnet20 \
        --seeds 0 1 2

Each cell of the study is a file of numbers in the directory. Cells that are there are not computed
again. `tools/landscape_figures.py` draws them.
"""

import argparse
import collections
import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable

import keras
import numpy as np

import keras_tickets as kt
from keras_tickets._files.atomic import replace_file

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
METHODS = {
    "static": kt.optimizers.Static,
    "RigL": kt.optimizers.RigL,
    "SET": kt.optimizers.SET,
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """A network, its data and its training.

    Attributes:
        dataset: Name of the data set.
        batch_size: Images in a batch.
        network: Function of the shape of an image that makes the dense network.
        sparsity: Share of weights that are zero.
        learning_rate: At the start; it falls along a cosine.
        steps: Steps of every training.
        update_every: Steps between updates of the masks.
        measure_every: Steps between measurements of the gradient norms.
        curve_steps: Steps of training a curve.
        points: Points of a way at which it is measured.
        examples: Training images, and as many or fewer of the test, on which ways are measured.
        intervals: Steps between updates in further trainings, by method.
    """

    dataset: str
    batch_size: int
    network: Callable
    sparsity: float
    learning_rate: float
    steps: int
    update_every: int
    measure_every: int
    curve_steps: int
    points: int
    examples: int
    intervals: dict[str, tuple[int, ...]]


SETTINGS = {
    "lenet": Setting(
        dataset="mnist",
        batch_size=100,
        network=kt.models.lenet_300_100,
        sparsity=0.98,
        learning_rate=0.1,
        steps=6000,
        update_every=100,
        measure_every=300,
        curve_steps=3000,
        points=15,
        examples=5000,
        intervals={"RigL": (25, 400), "SET": (100, 400)},
    ),
    "resnet20": Setting(
        dataset="cifar10_16x16",
        batch_size=64,
        network=functools.partial(kt.models.resnet20, width=0.5, kernel_initializer="he_normal"),
        sparsity=0.95,
        learning_rate=0.1,
        steps=3000,
        update_every=100,
        measure_every=200,
        curve_steps=750,
        points=11,
        examples=1000,
        intervals={"RigL": (400,), "SET": (100, 400)},
    ),
}
SETTINGS["tiny"] = dataclasses.replace(
    SETTINGS["lenet"],
    dataset="digits",
    steps=60,
    update_every=10,
    measure_every=20,
    curve_steps=20,
    examples=200,
    intervals={"RigL": (20,), "SET": (10,)},
)


class GradientNorms(keras.callbacks.Callback):
    """Measures the norm of the gradient on one batch, before and after updates of the masks.

    Each epoch of `fit` ends right before an update. The weights of that moment are kept, and
    measured under the masks that the update leaves.

    Args:
        probe: A network like the one that is trained.
        batch: `(x, y)`.
        every: Epochs between measurements.
    """

    def __init__(self, probe: kt.SparseModel, batch: tuple, every: int):
        super().__init__()
        self._probe, self._batch, self._every = probe, batch, every
        self._pending = False
        self.found = collections.defaultdict(list)

    def on_train_begin(self, logs=None):
        self._measure()

    def on_epoch_end(self, epoch, logs=None):
        if self._pending:
            self.found["after"].append(self._norm(under=kt.get_masks(self.model)))
            self._pending = False
        if (epoch + 1) % self._every == 0:
            self._measure()

    def on_train_end(self, logs=None):
        if self._pending:
            self.found["after"].append(self.found["before"][-1])

    def _measure(self):
        self._probe.set_weights(self.model.get_weights())
        self.found["steps"].append(int(self.model.optimizer.iterations.numpy()))
        self.found["before"].append(self._norm())
        self._pending = True

    def _norm(self, **masks):
        flow = kt.analysis.gradient_flow(self._probe, *self._batch, LOSS, **masks)
        return float(np.linalg.norm(list(flow.values())))


class Study:
    """The cells of one network and seed.

    Args:
        name: Key of `SETTINGS`.
        seed: Of masks, weights and the order of the data.
        directory: Where the cells go.
    """

    def __init__(self, name: str, seed: int, directory: pathlib.Path):
        self.setting, self.seed = SETTINGS[name], seed
        self._directory = directory / name / f"seed_{seed}"
        self._directory.mkdir(parents=True, exist_ok=True)

    @functools.cached_property
    def data(self) -> kt.data.Dataset:
        return kt.data.load(self.setting.dataset, self.setting.batch_size, seed=self.seed)

    @functools.cached_property
    def train_batches(self) -> list[tuple]:
        """Training images without augmentation."""
        return list(self.data.train_once().take(self.setting.examples // self.setting.batch_size))

    @functools.cached_property
    def test_batches(self) -> list[tuple]:
        return list(self.data.test().unbatch().take(self.setting.examples).batch(500))

    def network(self) -> kt.SparseModel:
        """The untrained network; whatever the method, its first weights and masks are the same."""
        dense = self.setting.network(self.data.input_shape, seed=self.seed)
        sparse = kt.sparsify(dense, self.setting.sparsity, seed=self.seed)
        kt.initializers.initialize(sparse, kt.initializers.SparseVarianceScaling(seed=self.seed))
        return sparse

    def train(self, model, method, update_every=None, measure_gradients=False) -> dict:
        """Trains, and returns what is worth keeping of it."""
        setting, epoch = self.setting, self.setting.update_every
        rate = keras.optimizers.schedules.CosineDecay(setting.learning_rate, setting.steps)
        sgd = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=1e-3)
        updates = {} if method == "static" else {"update_every": update_every or epoch, "end": 0.75}
        optimizer = METHODS[method](sgd, track_exploration=True, **updates)
        model.compile(optimizer, LOSS, metrics=["accuracy"], steps_per_execution=epoch)
        model.optimizer.set_total_steps(setting.steps)
        norms = GradientNorms(self.network(), self._images(512), setting.measure_every // epoch)
        history = model.fit(
            self.data.train(),
            steps_per_epoch=epoch,
            epochs=setting.steps // epoch,
            callbacks=[norms] if measure_gradients else [],
            shuffle=False,
            verbose=0,
        )
        loss, _ = model.evaluate(*self._images(), verbose=0)
        _, accuracy = model.evaluate(self.data.test(), verbose=0)
        return {
            "train_loss": loss,
            "losses": history.history["loss"],
            "test_accuracy": accuracy,
            "exploration": float(model.optimizer.exploration),
            "norms": norms.found,
        }

    def solutions(self) -> dict:
        """Static training and RigL from one start."""
        found = {}
        for method in ("static", "RigL"):
            model = self.network()
            found[method] = self.train(model, method, measure_gradients=True)
            self._solution(method).unlink(missing_ok=True)
            kt.save_ticket(self._solution(method), model)
        return found

    def ways(self) -> dict:
        """Loss and error along the line and trained curves from the static to RigL's solution."""
        static, other = self._load("static"), kt.load_ticket(self._solution("RigL"))
        data = {"train": self.train_batches, "test": self.test_batches}
        found = {}
        for way in ("line", "union", "dense"):
            curve = None if way == "line" else self._curve(static, other, way)
            along = kt.analysis.connectivity(
                static,
                other,
                data,
                curve=curve,
                points=self.setting.points,
                batch_norm="recompute",
                train_data=self.train_batches,
                loss=LOSS,
            )
            found[way] = {
                "alphas": along.alphas.tolist(),
                "losses": {name: values.tolist() for name, values in along.losses.items()},
                "errors": {name: values.tolist() for name, values in along.errors.items()},
            }
        return found

    def escape(self) -> dict:
        """Both methods again, from the static solution."""
        return {method: self.train(self._load("static"), method) for method in ("static", "RigL")}

    def exploration(self, method: str, update_every: int) -> dict:
        """One training with another interval between updates."""
        usual = update_every == self.setting.update_every
        return self.train(self.network(), method, update_every, measure_gradients=usual)

    def cell(self, name: str, compute: Callable[[], dict]) -> None:
        """Computes a cell, unless it is there."""
        file = self._directory / f"{name}.json"
        if not file.exists():
            replace_file(file, json.dumps(compute(), indent=1).encode())
            print(f"{file} done", flush=True)
            keras.backend.clear_session()

    def main_cells(self) -> None:
        """Solutions, the ways between them, and escape."""
        for name in ("solutions", "ways", "escape"):
            self.cell(name, getattr(self, name))

    def exploration_cells(self) -> None:
        """Trainings with other intervals between updates."""
        for method, intervals in self.setting.intervals.items():
            for every in intervals:
                compute = functools.partial(self.exploration, method, every)
                self.cell(f"exploration_{method}_{every}", compute)

    def _solution(self, method):
        return self._directory / f"{method}.npz"

    def _load(self, method):
        model = self.network()
        kt.load_ticket(self._solution(method)).apply(model)
        return model

    def _curve(self, static, other, space):
        rate = keras.optimizers.schedules.CosineDecay(0.05, self.setting.curve_steps)
        return kt.analysis.bezier_curve(
            static,
            other,
            self.data.train(),
            steps=self.setting.curve_steps,
            space=space,
            optimizer=keras.optimizers.SGD(rate, momentum=0.9),
            loss=LOSS,
            seed=self.seed,
        )

    def _images(self, number=None):
        parts = zip(*self.train_batches, strict=True)
        return tuple(np.concatenate(part)[:number] for part in parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=pathlib.Path, required=True)
    parser.add_argument("--networks", nargs="+", choices=SETTINGS, default=["lenet", "resnet20"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    arguments = parser.parse_args()
    studies = [
        Study(name, seed, arguments.directory)
        for name in arguments.networks
        for seed in arguments.seeds
    ]
    for study in studies:
        study.main_cells()
        study.exploration_cells()


if __name__ == "__main__":
    main()
