"""`RewindTrainer` where things go wrong, are changed from outside, or stop halfway."""

import shutil
import time

import keras
import numpy as np
import pytest
from networks import LOSS
from rewound_networks import EPOCHS, STEPS, Stop, fit, network, trainer

import keras_tickets as kt


def test_a_trainer_that_was_not_compiled_itself_says_so(tmp_path):
    trainer().save(tmp_path / "trainer.keras")
    inside = kt.sparsify(network(), {"": 0.0}, mask="ones")
    inside.compile("sgd", LOSS)
    for made in (
        keras.models.load_model(tmp_path / "trainer.keras"),
        kt.trainers.RewindTrainer(inside, levels=1),
    ):
        with pytest.raises(ValueError, match="Call `compile` of the trainer before `fit`"):
            fit(made)


def test_fine_tuning_at_a_rate_of_zero_is_refused():
    decay = keras.optimizers.schedules.CosineDecay(0.1, STEPS * EPOCHS)
    with pytest.raises(ValueError, match="The learning rate is 0 from step 18 on"):
        fit(trainer(rewind=(), optimizer=keras.optimizers.SGD(decay)))


@pytest.mark.parametrize("rewind_to", [0, 8])
def test_a_level_that_breaks_down_is_an_error_and_not_kept(rewind_to, tmp_path):
    made = trainer(optimizer=keras.optimizers.SGD(1e30), rewind_to=rewind_to, store=tmp_path)
    with pytest.warns(UserWarning, match="not saved"), pytest.raises(ValueError, match="finite"):
        fit(made)
    assert made.results == [] and not list(tmp_path.rglob("trained.safetensors"))


def test_levels_start_from_the_weights_at_the_first_fit():
    made = trainer(levels=1, rewind_to=0)
    weights = [np.full_like(value, 0.1) for value in made.model.get_weights()]
    made.model.set_weights([value > 0 if value.dtype == bool else value for value in weights])
    fit(made)
    assert (made.ticket(0).weights["fc1/kernel"] == np.float32(0.1)).all()
    fit(made)


def test_a_callback_that_sets_the_learning_rate_does_not_change_the_settings(tmp_path):
    def rates(epoch, rate):
        return 0.1 / (epoch + 1)

    scheduler = keras.callbacks.LearningRateScheduler(rates)
    made = trainer(optimizer=keras.optimizers.SGD(0.1), levels=1, store=tmp_path)
    fit(made, [scheduler])
    fit(made, [scheduler])
    for level in (0, 1):
        settings = made.ticket(level).provenance["settings"]
        assert abs(settings["optimizer"]["config"]["learning_rate"] - 0.1) < 1e-6


def test_what_nadam_keeps_to_itself_is_set_back_too():
    seen = []

    class Products(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append(float(self.model.optimizer.core_optimizer._u_product))

    fit(trainer(optimizer=keras.optimizers.Nadam(0.01), levels=1, rewind_to=0), [Products()])
    assert seen == [1.0, 1.0]


@keras.saving.register_keras_serializable("test_rewind")
class Scale(keras.layers.Layer):
    """Multiplies by a single trainable number."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, inputs):
        return inputs * self.scale


def test_the_slot_of_a_single_number_is_a_slot():
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="fc"), Scale()])
    made, momenta = trainer(model, levels=1), []

    class Momenta(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            slots = self.model.optimizer.slots
            momenta.extend(float(slot.numpy()) for slot in slots if not len(slot.shape))

    fit(made, [Momenta()])
    assert len(momenta) == 6 and momenta[1] and momenta[2] == momenta[4] == 0


def test_results_of_a_level_that_a_callback_stops_say_how_long_it_trained():
    class StopAfterFirst(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    made = trainer(levels=0, rewind_to=6)
    fit(made, [StopAfterFirst()])
    assert made.results[0]["steps"] == made.results[0]["early_stop_step"] - 6 == 6


def test_seconds_count_what_came_before_an_interruption(tmp_path):
    class Slow(Stop):
        def on_epoch_end(self, epoch, logs=None):
            time.sleep(1)

    arguments = {"levels": 0, "rewind_to": 0, "store": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        fit(trainer(**arguments), [Slow(2)])
    resumed, began = trainer(**arguments), time.monotonic()
    fit(resumed)
    assert resumed.results[0]["seconds"] > time.monotonic() - began


def test_a_file_that_was_removed_from_the_store_is_named(tmp_path):
    fit(trainer(levels=0, store=tmp_path))
    (tmp_path / "level_00" / "trained.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="level_00/trained.safetensors"):
        fit(trainer(levels=1, store=tmp_path))
    (tmp_path / "settings.json").write_text("[]")
    with pytest.raises(ValueError, match="settings.json' is damaged, or of another kind"):
        fit(trainer(levels=1, store=tmp_path))


@pytest.mark.slow
def test_half_trained_checkpoints_of_another_level_or_store_are_refused(tmp_path):
    one, two, half = tmp_path / "one", tmp_path / "two", tmp_path / "half"
    for store, seed, epochs in ((one, 0, 3), (two, 1, 2)):  # the third is the first of level 0
        with pytest.raises(KeyboardInterrupt):
            fit(trainer(network(seed), levels=1, store=store), [Stop(epochs)])
    shutil.copytree(one / "level_00" / "checkpoints", half)
    fit(trainer(levels=0, store=one))
    shutil.copytree(half, one / "level_01" / "checkpoints")
    with pytest.raises(ValueError, match="cannot be resumed.* level is level_01, was level_00"):
        fit(trainer(levels=1, store=one))
    shutil.copytree(half, two / "level_00" / "checkpoints", dirs_exist_ok=True)
    with pytest.raises(ValueError, match="interrupted: start is [0-9a-f]{64}, was [0-9a-f]{64}"):
        fit(trainer(network(1), levels=0, store=two))


@pytest.mark.slow
def test_what_fit_leaves_is_the_same_after_a_resume(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    arguments = {"levels": 1, "control": "random"}
    first = trainer(store=whole, **arguments)
    fit(first)
    fit(trainer(levels=0, store=parts))
    fit(trainer(levels=1, store=parts))
    resumed = trainer(store=parts, **arguments)
    fit(resumed)
    for a, b in zip(first.model.weights, resumed.model.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    pairs = zip(first.model.optimizer.variables, resumed.model.optimizer.variables, strict=True)
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_steps_per_call_may_change_between_runs_and_what_an_epoch_is_may_not(tmp_path):
    whole = trainer(levels=1, store=tmp_path / "whole")
    fit(whole)
    arguments = {"levels": 1, "store": tmp_path / "parts"}
    with pytest.raises(KeyboardInterrupt):
        fit(trainer(**arguments), [Stop(2)])
    with pytest.raises(ValueError, match="steps_per_epoch is 3, was 6; batch_size is 20, was 10"):
        fit(trainer(**arguments), batch_size=20)
    with pytest.raises(ValueError, match="configuration: batch_size is 5, was 10"):
        fit(trainer(**arguments), batch_size=5, steps_per_epoch=STEPS)
    parts = trainer(**arguments, compiled={"steps_per_execution": 4})
    fit(parts)
    for path, value in whole.level_store.trained(1).weights.items():
        assert value.tobytes() == parts.level_store.trained(1).weights[path].tobytes()
