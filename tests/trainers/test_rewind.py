"""`RewindTrainer`: what each level starts from, on which batches, and what is kept of it."""

import errno
import os
import pathlib
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import LOSS, mlp

import keras_tickets as kt
from keras_tickets.trainers.level_store import LevelStore

STEPS, EPOCHS = 6, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 8)).astype("float32")
Y = (X[:, 0] + X[:, 1] > 0).astype("int32") + 2 * (X[:, 2] > 0).astype("int32")
SCHEDULE = keras.optimizers.schedules.PiecewiseConstantDecay([7, 13], [0.1, 0.05, 0.01])


def network(seed=0):
    norm = keras.layers.BatchNormalization
    return mlp(8, (12,), 4, norm=norm, dropout=0.1, seed=seed)


def trainer(model=None, optimizer=None, compiled=None, **arguments):
    arguments = {"levels": 2, "rewind_to": "8it", **arguments}
    made = kt.trainers.RewindTrainer(model or network(), **arguments)
    optimizer = optimizer or keras.optimizers.SGD(SCHEDULE, momentum=0.9)
    made.compile(optimizer, LOSS, metrics=["accuracy"], **(compiled or {}))
    return made


def fit(made, callbacks=(), **arguments):
    arguments = {"epochs": EPOCHS, "batch_size": 10, "validation_data": (X, Y), **arguments}
    return made.fit(X, Y, verbose=0, callbacks=callbacks, **arguments)


def without_time(rows):
    drop = {"seconds"}
    return [
        {
            k: without_time(v.values()) if k == "controls" else v
            for k, v in r.items()
            if k not in drop
        }
        for r in rows
    ]


class Spy(keras.callbacks.Callback):
    """Remembers what each call of `fit` starts from, and with which learning rates it steps."""

    def __init__(self):
        super().__init__()
        self.starts, self.rates, self.steps = [], [], []

    def on_train_begin(self, logs=None):
        optimizer = self.model.optimizer
        weights = kt.weight_paths(self.model)
        self.starts.append(
            {
                "weights": {path: np.asarray(w).copy() for path, w in weights.items()},
                "masks": self.model.masks,
                "steps": int(optimizer.iterations),
                "rate": float(optimizer.learning_rate),
                "slots": [np.asarray(v).copy() for v in optimizer.variables if len(v.shape)],
            }
        )


def starts_of_levels(made, spy):
    """What the spy saw at the first call of each level, which starts amid an epoch."""
    return [start for start in spy.starts if start["steps"] == 8]


def test_each_level_starts_from_the_masked_weights_of_step_k(tmp_path):
    made, spy = trainer(store=tmp_path / "store"), Spy()
    fit(made, [spy])
    at_k = made.level_store.read_rewind_point()
    starts = starts_of_levels(made, spy)
    assert len(starts) == 3
    for level, start in enumerate(starts):
        ticket = made.ticket(level)
        assert sum(mask.sum() for mask in start["masks"].values()) == round(144 * 0.8**level)
        for path, value in start["weights"].items():
            mask = start["masks"].get(path, True)
            assert value.tobytes() == np.where(mask, at_k[path], 0).astype(value.dtype).tobytes()
            assert value.tobytes() == ticket.weights[path].tobytes()
        assert start["rate"] == np.float32(0.05)
        assert all(not slot.any() for slot in start["slots"])
    assert any("moving_mean" in path for path in at_k)


def test_masks_are_those_of_a_numpy_oracle():
    made = trainer(levels=4, rate=0.3)
    fit(made)
    for level in range(1, 5):
        before, now = made.level_store.trained(level - 1), made.ticket(level)
        size = np.concatenate(
            [np.abs(np.where(m, before.weights[p], 0)).ravel() for p, m in before.masks.items()]
        )
        kept = round(144 * 0.7**level)
        expected = np.zeros(144, bool)
        expected[np.argsort(-size, kind="stable")[:kept]] = True
        found = np.concatenate([mask.ravel() for mask in now.masks.values()])
        assert (found == expected).all()
        assert now.provenance["parent"] == before.digest


def test_local_ranking_with_rates():
    made = trainer(scope="local", rates={"fc1": 0.5}, levels=2)
    fit(made)
    sizes = {path: mask.size for path, mask in made.ticket(0).masks.items()}
    for path, mask in made.ticket(2).masks.items():
        rate = {"fc1/kernel": 0.5, "head/kernel": 0.2}[path]
        assert mask.sum() == round(sizes[path] * (1 - rate) ** 2)


def test_units_are_pruned_where_the_kernels_have_that_structure():
    model = kt.sparsify(network(), {"": 0.0}, mask="ones", structure=kt.structures.Channel())
    made = trainer(model, scope="local", rate=0.25)
    fit(made)
    first = made.ticket(2).masks[next(iter(made.ticket(2).masks))]
    alive = first.any(axis=0)
    assert (first[:, alive]).all() and 0 < alive.sum() < 12


@pytest.mark.parametrize(
    "rewind, steps",
    [
        (("schedule",), 8),
        ((), STEPS * EPOCHS),
        (("weights", "statistics"), STEPS * EPOCHS),
        (("weights", "schedule"), 8),
    ],
)
def test_what_is_rewound(rewind, steps):
    made, spy = trainer(rewind=rewind, levels=1), Spy()
    fit(made, [spy])
    at_k, before = made.level_store.read_rewind_point(), made.level_store.trained(0)
    start = spy.starts[-2]
    assert start["steps"] == steps
    for path, value in start["weights"].items():
        kind = "statistics" if "moving" in path else "weights"
        source = at_k[path] if kind in rewind else before.weights[path]
        expected = np.where(start["masks"].get(path, True), source, 0).astype(value.dtype)
        assert value.tobytes() == expected.tobytes()


def test_slots_of_step_k_are_restored_where_asked():
    made, spy = trainer(optimizer_state="restore", levels=1), Spy()
    fit(made, [spy])
    at_k = made.level_store.read_rewind_point()
    for start in starts_of_levels(made, spy):
        slots = [
            value for name, value in at_k.items() if name.startswith("optimizer") and value.ndim
        ]
        masks = [m for m in start["masks"].values()]
        for slot, saved in zip(start["slots"], slots, strict=True):
            mask = next((m for m in masks if m.shape == slot.shape), True)
            assert (slot == np.where(mask, saved, 0)).all() and slot.any()


def test_restored_the_dense_level_is_the_uninterrupted_training():
    made = trainer(optimizer_state="restore", levels=0)
    fit(made)
    plain = kt.sparsify(network(), {"": 0.0}, mask="ones")
    plain.compile(keras.optimizers.SGD(SCHEDULE, momentum=0.9), LOSS)
    data = kt.trainers.epochs.Epochs(X, Y, batch_size=10)
    plain.fit(data.batches(0), steps_per_epoch=STEPS, epochs=EPOCHS, verbose=0)
    for path, weight in kt.weight_paths(plain).items():
        assert np.asarray(weight).tobytes() == made.level_store.trained(0).weights[path].tobytes()


@pytest.mark.parametrize("interrupted", [False, True])
def test_the_model_is_not_left_as_a_part_of_the_trainers_training(interrupted):
    made = trainer(levels=0)
    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            fit(made, [Stop(1)])
    else:
        fit(made)
    assert made.model.horizon is None


class Recorder:
    """A function from an epoch to batches that say where they come from."""

    def __init__(self):
        self.asked = []

    def __call__(self, epoch):
        self.asked.append(epoch)
        return kt.trainers.epochs.Epochs(X, Y, batch_size=10).batches(epoch)


def test_a_new_order_reads_on_where_the_level_before_ended():
    for order, expected in (("same", [1, 2, 1, 2]), ("new", [1, 2, 4, 5])):
        recorder = Recorder()
        made = trainer(levels=1, data_order=order)
        made.fit(recorder, steps_per_epoch=STEPS, epochs=EPOCHS, verbose=0)
        assert recorder.asked[2:] == expected


def test_equal_runs_are_equal_to_the_bit():
    first, second = trainer(control=("reinit", "random")), trainer(control=("reinit", "random"))
    fit(first), fit(second)
    assert without_time(first.results) == without_time(second.results)
    for level in range(3):
        a, b = first.level_store.trained(level), second.level_store.trained(level)
        assert all(a.weights[path].tobytes() == b.weights[path].tobytes() for path in a.weights)


def test_results_say_what_was_trained():
    made = trainer(control="random", control_levels=[2])
    history = fit(made)
    assert history.history["levels"] == made.results
    assert [row["level"] for row in made.results] == [0, 1, 2]
    for row in made.results:
        assert row["nonzeros"] == round(144 * 0.8 ** row["level"])
        assert row["density"] == row["nonzeros"] / 144 and row["steps"] == 10
        assert 0 <= row["val_accuracy"] <= 1 and row["early_stop_step"] in (12, 18)
        assert ("controls" in row) == (row["level"] == 2)
    trained = made.level_store.trained(2)
    logits = made.model.predict(X, verbose=0)
    accuracy = (logits.argmax(1) == Y).mean()
    assert abs(accuracy - made.results[2]["val_accuracy"]) < 1e-6
    assert all((made.model.masks[path] == mask).all() for path, mask in trained.masks.items())
    assert (made.predict(X, verbose=0) == logits).all()


def test_controls_are_what_they_say(tmp_path):
    names = tuple(kt.trainers.controls.CONTROLS)
    made = trainer(control=names, control_levels=[2], store=tmp_path)
    fit(made)
    ticket, at_k = made.ticket(2), made.level_store.read_rewind_point()
    found = {name: made.ticket(2, name) for name in names}
    counts = [mask.sum() for mask in ticket.masks.values()]
    for name, control in found.items():
        masks = list(control.masks.values())
        assert sum(mask.sum() for mask in masks) == sum(counts)
        assert ([mask.sum() for mask in masks] == counts) or name == "random_global"
        same = all((m == t).all() for m, t in zip(masks, ticket.masks.values(), strict=True))
        assert same == (name.startswith("reinit") or name == "reuse")
        assert control.provenance["parent"] == ticket.digest
    for path, mask in ticket.masks.items():
        values = {name: control.weights[path] for name, control in found.items()}
        assert not np.isin(values["reinit"][mask], at_k[path][mask]).any()
        assert not (values["reinit"] == values["reinit_from_0"])[mask].all()
        assert (np.sign(values["reinit_signs"]) == np.sign(ticket.weights[path])).all()
        assert np.isin(values["reuse"][mask], at_k[path][mask]).all()
        for name in ("random", "random_global"):
            own = found[name].masks[path]
            assert (values[name] == np.where(own, at_k[path], 0)).all()
        moved = values["shuffled"][found["shuffled"].masks[path]]
        assert sorted(moved) == sorted(at_k[path][mask])
    assert made.results[2]["controls"]["reinit_from_0"]["steps"] == 18
    assert not found["reinit"].weights["norm1/moving_mean"].any()


def test_finished_levels_are_not_run_again_and_more_can_be_added(tmp_path):
    whole = trainer(levels=2, control="random", store=tmp_path / "whole")
    fit(whole)
    fit(trainer(levels=1, store=tmp_path / "parts"))
    spy = Spy()
    again = trainer(levels=1, store=tmp_path / "parts")
    fit(again, [spy])
    assert not spy.starts
    more = trainer(levels=2, control="random", store=tmp_path / "parts")
    fit(more, [spy])
    assert len(spy.starts) == 2 * 3
    assert without_time(more.results) == without_time(whole.results)


class Stop(keras.callbacks.Callback):
    """Interrupts the n-th epoch that ends."""

    def __init__(self, n):
        super().__init__()
        self.left = n

    def on_epoch_begin(self, epoch, logs=None):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "epochs_before", [1, 4, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 2, 3, 6))]
)
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(epochs_before, tmp_path):
    whole = trainer(levels=1, control="reinit", store=tmp_path / "whole")
    fit(whole)
    with pytest.raises(KeyboardInterrupt):
        fit(trainer(levels=1, control="reinit", store=tmp_path / "parts"), [Stop(epochs_before)])
    parts = trainer(levels=1, control="reinit", store=tmp_path / "parts")
    fit(parts)
    assert without_time(parts.results) == without_time(whole.results)
    for level, control in ((0, None), (1, None), (1, "reinit")):
        a, b = (t.level_store.trained(level, control) for t in (whole, parts))
        assert all(a.weights[path].tobytes() == b.weights[path].tobytes() for path in a.weights)


def test_nothing_is_traced_again_between_levels():
    traces = []

    @keras.saving.register_keras_serializable("test_rewind")
    class Counting(keras.layers.Layer):
        def call(self, inputs):
            traces.append(tf.inside_function())
            return inputs

    model = keras.Sequential([keras.Input((8,)), Counting(), keras.layers.Dense(4)])
    made = trainer(model, levels=3, compiled={"steps_per_execution": 4})
    at_levels = []

    class Count(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            at_levels.append(len(traces))

    fit(made, [Count()])
    assert len(at_levels) == 2 + 2 * 4
    assert at_levels[1] == at_levels[-1]


@pytest.mark.parametrize(
    "compiled", [{"jit_compile": True}, {"steps_per_execution": 4}, {"run_eagerly": True}]
)
def test_other_ways_to_step(compiled):
    made = trainer(levels=1, compiled=compiled)
    fit(made)
    assert made.results[1]["nonzeros"] == 115 and made.model.sparsity == 1 - 115 / 144


def test_two_replicas():
    """In a process of its own, since devices are set up before anything else."""
    worker = pathlib.Path(__file__).parent / "mirrored_worker.py"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, worker], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]


def test_steps_are_those_of_the_optimizer_where_gradients_are_accumulated():
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    made, spy = trainer(optimizer=optimizer, rewind_to="4it", levels=1), Spy()
    fit(made, [spy])
    assert [row["steps"] for row in made.results] == [5, 5]
    assert [start["steps"] for start in spy.starts if start["steps"]].count(4) == 2


def test_the_trainer_is_a_keras_model_that_can_be_saved(tmp_path):
    made = trainer(rates={"head": 0.5}, scope="local", control="reinit")
    made.save(tmp_path / "trainer.keras")
    loaded = keras.models.load_model(tmp_path / "trainer.keras")
    same = set(made.get_config()) - {"model"}
    assert {k: loaded.get_config()[k] for k in same} == {k: made.get_config()[k] for k in same}
    assert (loaded(X).numpy() == made(X).numpy()).all()


def test_who_shares_a_store_waits(tmp_path):
    held, free = threading.Event(), threading.Event()
    order = []

    def hold():
        with LevelStore(tmp_path).locked():
            held.set()
            free.wait(5)
            order.append("first")

    other = threading.Thread(target=hold)
    other.start()
    held.wait(5)
    threading.Timer(0.3, free.set).start()
    with LevelStore(tmp_path).locked():
        order.append("second")
    other.join()
    assert order == ["first", "second"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"levels": -1}, "`levels` must be a non-negative integer. Received: levels=-1"),
        ({"rate": 1.0}, "`rate` must be .* rate=1.0"),
        ({"scope": "layer"}, "`scope` must be one of"),
        ({"rates": {"fc": 0.1}}, '`rates` needs scope="local"'),
        ({"rewind": "weight"}, "`rewind` must be among"),
        ({"optimizer_state": "kept"}, "`optimizer_state` must be one of"),
        ({"data_order": "old"}, "`data_order` must be one of"),
        ({"control": "reinitialise"}, "`control` must be among"),
        ({"rewind": 5}, "`rewind` must be among .* rewind=5"),
        (
            {"control": "random", "control_levels": [-1]},
            "`control_levels` must be a non-negative integer",
        ),
        ({"rewind_to": 1.5}, "A step must be"),
        ({"seed": -1}, "`seed` must be"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        trainer(**arguments)


def test_wrong_use(tmp_path):
    with pytest.raises(ValueError, match="which is step 18 of 18"):
        fit(trainer(rewind_to="18it"))
    with pytest.raises(ValueError, match="must not change masks"):
        trainer(optimizer=kt.optimizers.RigL(keras.optimizers.SGD(0.1)))
    with pytest.raises(ValueError, match="use_ema=True"):
        trainer(optimizer=keras.optimizers.SGD(0.1, use_ema=True))
    with pytest.raises(ValueError, match="has no kernels to prune"):
        kt.trainers.RewindTrainer(
            keras.Sequential([keras.Input((4,)), keras.layers.ReLU()]), levels=1
        )
    with pytest.raises(TypeError, match="`rates` must be a dict"):
        trainer(scope="local", rates=[0.1])
    with pytest.raises(ValueError, match="`epochs` must be a positive integer"):
        fit(trainer(), epochs=2.5)
    with pytest.raises(ValueError, match="no ticket of level 1"):
        trainer().ticket(1)
    structured = kt.sparsify(network(), {"": 0.0}, mask="ones", structure=kt.structures.Channel())
    with pytest.raises(ValueError, match='use scope="local"'):
        fit(trainer(structured))


def test_a_full_disk_is_named_and_leaves_what_was_there(tmp_path, monkeypatch):
    fit(trainer(levels=1, store=tmp_path))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left on device"):
            fit(trainer(levels=2, store=tmp_path))
    assert all(path.read_bytes() == content for path, content in before.items())
    more = trainer(levels=2, store=tmp_path)
    fit(more)
    assert [row["level"] for row in more.results] == [0, 1, 2]


def test_a_store_of_another_run_or_damaged_is_refused_and_left_as_it_was(tmp_path):
    fit(trainer(levels=1, store=tmp_path))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="rate is 0.3, was 0.2"):
        fit(trainer(rate=0.3, store=tmp_path))
    with pytest.raises(ValueError, match="rewind_to is 9, was 8"):
        fit(trainer(rewind_to=9, store=tmp_path))
    with pytest.raises(ValueError, match="initial_state is"):
        fit(trainer(network(seed=5), store=tmp_path))
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    file = tmp_path / "level_01" / "trained.safetensors"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="trained.safetensors"):
        fit(trainer(levels=2, store=tmp_path))
