"""`RewindTrainer`: what each level starts from, on which batches, and what is kept of it."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import LOSS
from rewound_networks import (
    EPOCHS,
    SCHEDULE,
    STEPS,
    Spy,
    Stop,
    X,
    Y,
    fit,
    network,
    trainer,
    without_time,
)
from slow_cases import slow_unless

import keras_tickets as kt


def starts_of_levels(made, spy):
    """What the spy saw at the first call of each level, which starts amid an epoch."""
    return [start for start in spy.starts if start["steps"] == 8]


CONTROLS = tuple(kt.trainers.controls.CONTROLS)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two levels, the last with all controls: the trainer, a spy and the history."""
    store = tmp_path_factory.mktemp("store")
    made, spy = trainer(control=CONTROLS, control_levels=[2], store=store), Spy()
    return made, spy, fit(made, [spy])


def test_each_level_starts_from_the_masked_weights_of_step_k(run):
    made, spy, _ = run
    at_k = made.level_store.read_rewind_point()
    starts = starts_of_levels(made, spy)
    assert len(starts) == 3 + len(set(CONTROLS) - set(kt.trainers.controls.FROM_STEP_0))
    for level, start in enumerate(starts[:3]):
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
    made = trainer(levels=3, rate=0.3)
    fit(made)
    for level in range(1, 4):
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
    slow_unless(
        lambda rewind, steps: rewind == ("weights", "statistics"),
        [
            (("schedule",), 8),
            ((), STEPS * EPOCHS),
            (("weights", "statistics"), STEPS * EPOCHS),
            (("weights", "schedule"), 8),
        ],
    ),
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


def test_the_model_is_not_left_as_a_part_of_the_trainers_training(run):
    assert run[0].model.horizon is None
    made = trainer(levels=0)
    with pytest.raises(KeyboardInterrupt):
        fit(made, [Stop(1)])
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


@pytest.mark.slow
def test_equal_runs_are_equal_to_the_bit():
    first, second = (trainer(levels=1, control=("reinit", "random")) for _ in range(2))
    fit(first), fit(second)
    assert without_time(first.results) == without_time(second.results)
    for level in range(2):
        a, b = first.level_store.trained(level), second.level_store.trained(level)
        assert all(a.weights[path].tobytes() == b.weights[path].tobytes() for path in a.weights)


def test_results_say_what_was_trained(run):
    made, _, history = run
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


def test_controls_are_what_they_say(run):
    made, _, _ = run
    ticket, at_k = made.ticket(2), made.level_store.read_rewind_point()
    found = {name: made.ticket(2, name) for name in CONTROLS}
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "compiled", [{"jit_compile": True}, {"steps_per_execution": 4}, {"run_eagerly": True}]
)
def test_other_ways_to_step(compiled):
    made = trainer(levels=1, compiled=compiled)
    fit(made)
    assert made.results[1]["nonzeros"] == 115 and made.model.sparsity == 1 - 115 / 144


@pytest.mark.slow
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
