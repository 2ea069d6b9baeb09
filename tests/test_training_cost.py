"""The operations of whole trainings, against sums over their steps in plain Python."""

import keras
import numpy as np
import pytest
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets.experiments import settings
from keras_tickets.experiments.procedures import Tickets
from keras_tickets.experiments.train import train

layers, optimizers = keras.layers, kt.optimizers
DENSE, SPARSE, STEPS = 1312, 352, 1000


def dense_model():
    return keras.Sequential(
        [
            keras.Input((16,)),
            layers.Dense(32, activation="relu", name="first"),
            layers.Dense(4, name="second"),
        ]
    )


def compiled(optimizer, mask=None, steps=STEPS):
    """A model of which a quarter of the weights stays, and its optimizer, told of its training."""
    model = kt.sparsify(dense_model(), 0.75, distribution="uniform", mask=mask)
    model.compile(optimizer, loss="mse")
    model.optimizer.build(model.trainable_variables)
    if steps:
        model.optimizer.set_total_steps(steps)
    return model


def forward(first, second):
    """A forward pass with so many weights in the first and in the second kernel."""
    return 2 * first + 32 + 2 * second


def updates(every, begin=0, end=750):
    return [t for t in range(STEPS) if t > 0 and begin <= t < end and (t - begin) % every == 0]


def test_fixed_masks_and_random_growth_take_three_sparse_passes():
    assert forward(512, 128) == DENSE and forward(128, 32) == SPARSE
    for optimizer in (optimizers.Static("sgd"), optimizers.SET("sgd", update_every=10)):
        cost = kt.training_cost(compiled(optimizer), steps=STEPS, batch_size=8)
        assert (cost.steps, cost.batch_size, cost.convention) == (STEPS, 8, "layers")
        assert cost.per_sample == 3 * SPARSE and cost.dense_per_sample == 3 * DENSE
        assert cost.total == 3 * SPARSE * STEPS * 8 and cost.dense_total == 3 * DENSE * STEPS * 8
        assert cost.ratio == SPARSE / DENSE


def test_rigl_takes_dense_gradients_at_its_updates_only():
    model = compiled(optimizers.RigL("sgd", update_every=10, begin=300, end=0.9))
    due = updates(10, 300, 900)
    steps = [2 * SPARSE + (DENSE if t in due else SPARSE) for t in range(STEPS)]
    assert kt.training_cost(model).per_sample == pytest.approx(np.mean(steps), rel=1e-12)


def test_the_updates_are_those_that_happen():
    model = compiled(optimizers.RigL("sgd", update_every=3, drop_fraction=0.5), steps=None)
    changed, rng = 0, np.random.default_rng(0)
    model.optimizer.set_total_steps(16)
    for _ in range(16):
        before = kt.get_masks(model)
        model.train_on_batch(rng.normal(size=(8, 16)), rng.normal(size=(8, 4)))
        changed += any((before[path] != mask).any() for path, mask in kt.get_masks(model).items())
    assert changed == 3
    expected = (changed * DENSE + (16 - changed) * SPARSE + 2 * 16 * SPARSE) / 16
    assert kt.training_cost(model).per_sample == pytest.approx(expected, rel=1e-12)


def test_while_the_length_is_not_known_rigl_costs_what_the_paper_says():
    model = compiled(optimizers.RigL("sgd", update_every=10), steps=None)
    assert kt.flops(model).training == (30 * SPARSE + 2 * SPARSE + DENSE) / 11


METHODS = {
    "rigl": lambda: optimizers.RigL("sgd", update_every=10),
    "rigl at known steps": lambda: optimizers.RigL("sgd", update_every=10, begin=50, end=500),
    "gradual": lambda: optimizers.GradualMagnitude("sgd", update_every=50),
    "gradual, global": lambda: optimizers.GradualMagnitude("sgd", update_every=50, scope="global"),
    "gradual at known steps": lambda: optimizers.GradualMagnitude("sgd", begin=50, end=500),
    "straight through": lambda: optimizers.StraightThrough("sgd", begin=0.25),
    "top-kast": lambda: optimizers.TopKAST("sgd", update_every=50),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_length_that_is_given_counts_as_one_that_was_told(method):
    told = kt.training_cost(compiled(METHODS[method]())).per_sample
    model = kt.sparsify(dense_model(), 0.75, distribution="uniform")
    model.compile(METHODS[method](), loss="mse")
    assert kt.training_cost(model, steps=STEPS).per_sample == told
    window = getattr(model.optimizer, "window", None)
    assert window is None or window == (50, 500), "nothing is kept of the given length"
    assert kt.training_cost(model, steps=2 * STEPS).steps == 2 * STEPS


def test_a_given_length_does_not_move_what_is_known():
    model = compiled(optimizers.RigL("sgd", update_every=20, end=500))
    expected = 3 * SPARSE + 24 * (DENSE - SPARSE) / 5000
    assert kt.training_cost(model, steps=5000).per_sample == pytest.approx(expected, rel=1e-12)
    in_epochs = compiled(optimizers.RigL("sgd", update_every=20, end="5ep"), steps=None)
    with pytest.raises(ValueError, match="5ep.*steps_per_epoch"):
        kt.training_cost(in_epochs, steps=5000)


@pytest.mark.parametrize("batches", [1, 3, 4, 7, 20])
def test_several_batches_for_one_update(batches):
    model = compiled(optimizers.RigL("sgd", update_every=20, mean_over=batches))
    dense = batches * len(updates(20))
    expected = 2 * SPARSE + (dense * DENSE + (STEPS - dense) * SPARSE) / STEPS
    assert kt.training_cost(model).per_sample == pytest.approx(expected, rel=1e-12)


def test_growth_by_momentum_takes_a_dense_gradient_at_every_step():
    model = compiled(optimizers.SNFS("sgd", update_every=10))
    assert kt.training_cost(model).per_sample == 2 * SPARSE + DENSE


def test_top_kast_takes_the_gradient_of_its_backward_set():
    model = compiled(optimizers.TopKAST("sgd"), mask="ones", steps=None)
    cost = kt.training_cost(model, steps=STEPS)  # before the first step, too
    expected = 3 * DENSE + (STEPS - 1) * (2 * SPARSE + forward(256, 64))
    assert cost.per_sample == pytest.approx(expected / STEPS, rel=1e-12)
    wider = compiled(optimizers.TopKAST("sgd", backward_sparsity=0.25), mask="ones", steps=None)
    cost = kt.training_cost(wider, steps=STEPS)
    expected = 3 * DENSE + (STEPS - 1) * (2 * SPARSE + forward(384, 96))
    assert cost.per_sample == pytest.approx(expected / STEPS, rel=1e-12)


def test_the_papers_formula_with_the_gradient_of_a_backward_set():
    model = compiled(optimizers.TopKAST("sgd", backward_sparsity=0.25), steps=None)
    assert kt.flops(model).training == 2 * SPARSE + forward(384, 96)


def test_the_first_step_of_top_kast_uses_all_weights():
    model = compiled(optimizers.TopKAST("sgd", update_every=5), mask="ones", steps=8)
    rng, passes = np.random.default_rng(0), []
    for _ in range(8):
        kept = [np.count_nonzero(mask) for mask in kt.get_masks(model).values()]
        passes.append(2 * forward(*kept) + max(forward(*kept), forward(256, 64)))
        model.train_on_batch(rng.normal(size=(8, 16)), rng.normal(size=(8, 4)))
    assert passes[0] == 3 * DENSE
    assert kt.training_cost(model).per_sample == pytest.approx(np.mean(passes), rel=1e-12)


@pytest.mark.parametrize("regrow", slow_unless(lambda regrow: regrow, [False, True]))
def test_gradual_pruning_follows_its_ramp(regrow):
    optimizer = optimizers.GradualMagnitude(
        "sgd", update_every=50, begin=100, end=800, regrow=regrow
    )
    model = compiled(optimizer, mask="ones")
    passes, kept = [], (512, 128)
    for t in range(STEPS):
        passes.append(forward(*kept))
        if 100 <= t <= 800 and (t - 100) % 50 == 0:
            sparsity = 0.75 * (1 - (1 - (t - 100) / 700) ** 3)
            kept = tuple(n - int(np.floor(sparsity * n + 1e-9)) for n in (512, 128))
    expected = 2 * np.mean(passes) + (DENSE if regrow else np.mean(passes))
    assert kt.training_cost(model).per_sample == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("start", ["drawn", "set", "frozen"])
def test_a_ramp_that_begins_from_fewer_weights(start):
    drawn = kt.schedules.PolynomialDecay(final_sparsity=0.9)
    optimizer = optimizers.GradualMagnitude("sgd", drawn, update_every=3, begin=2, end=10)
    mask = "ones" if start == "set" else "magnitude"
    model = kt.sparsify(dense_model(), 0.5, distribution="uniform", mask=mask)
    if start == "set":
        masks = kt.get_masks(model).items()
        kt.set_masks(model, {path: np.arange(m.size).reshape(m.shape) % 3 > 0 for path, m in masks})
    if start == "frozen":
        model.get_layer("second").trainable = False
    model.compile(optimizer, loss="mse")
    before = kt.training_cost(model, steps=16).per_sample
    rng, passes = np.random.default_rng(0), []
    model.set_total_steps(16)
    for _ in range(16):
        passes.append(3 * forward(*(np.count_nonzero(m) for m in kt.get_masks(model).values())))
        model.train_on_batch(rng.normal(size=(8, 16)), rng.normal(size=(8, 4)))
    assert before == pytest.approx(np.mean(passes), rel=1e-12)
    assert kt.training_cost(model).per_sample == pytest.approx(before, rel=1e-12)


def test_longer_training_and_scores_against_one_dense_training():
    model = compiled(optimizers.Static("sgd"))
    cost = kt.training_cost(model, steps=5000, batch_size=10, dense_steps=1000, scored_examples=200)
    assert cost.ratio == pytest.approx(5 * SPARSE / DENSE + 20 / 1000)
    assert cost.total / cost.dense_total == pytest.approx(cost.ratio)
    assert kt.training_cost(model, steps=5).total is None


def test_a_dense_model_and_other_conventions():
    model = dense_model()
    model.compile("sgd", loss="mse")
    cost = kt.training_cost(model, steps=10, convention="products")
    assert cost.per_sample == cost.dense_per_sample == 3 * 2 * 640 and cost.ratio == 1


def test_refusals():
    with pytest.raises(ValueError, match="length of the training is not known.*steps=None"):
        kt.training_cost(compiled(optimizers.Static("sgd"), steps=None))
    model = compiled(optimizers.RigL("sgd", update_every=10))
    with pytest.raises(ValueError, match="steps=0"):
        kt.training_cost(model, steps=0)
    with pytest.raises(ValueError, match="batch_size.*scored_examples=5"):
        kt.training_cost(model, scored_examples=5)
    with pytest.raises(ValueError, match="convention"):
        kt.training_cost(model, convention="macs")
    with pytest.raises(TypeError, match="trained=5"):
        kt.training_cost(5)
    with pytest.raises(FileNotFoundError):
        kt.training_cost("nowhere")


def experiment(**changes):
    usual = {
        "dataset": "digits",
        "model": kt.models.lenet_300_100,
        "optimizer": lambda: optimizers.RigL(keras.optimizers.SGD(0.1), update_every=2),
        "epochs": 2,
        "batch_size": 300,
        "sparsity": 0.8,
    }
    return settings.train(**{**usual, **changes})


def test_a_work_directory_costs_what_its_training_did(tmp_path):
    summary = train(experiment(), tmp_path / "run", verbose=0)
    cost = kt.training_cost(tmp_path / "run")
    assert (cost.steps, cost.batch_size) == (summary["steps"], 300)
    assert (cost.total, cost.ratio) == (
        summary["training_flops"],
        summary["training_course_ratio"],
    )
    model = keras.models.load_model(tmp_path / "run" / "model.keras")
    counted = kt.flops(model)
    assert counted.inference == summary["inference_flops"]
    steps, dense = summary["steps"], counted.inference / counted.inference_ratio
    due = len([t for t in range(1, int(0.75 * steps)) if t % 2 == 0])
    grown = due * (dense - counted.inference) / steps
    assert cost.per_sample == pytest.approx(3 * counted.inference + grown, rel=1e-12)
    assert summary["sizes"]["dense"] > summary["sizes"]["deltas"] > summary["sizes"]["bit_mask"]


class StopAfterTwo(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == 1


@pytest.mark.parametrize(
    "optimizer",
    slow_unless(
        lambda optimizer: optimizer is optimizers.RigL,
        [optimizers.RigL, optimizers.GradualMagnitude],
    ),
)
def test_a_training_that_a_callback_stops_costs_what_was_taken(optimizer, tmp_path):
    run = experiment(
        optimizer=lambda: optimizer(keras.optimizers.SGD(0.1), update_every=2),
        epochs=4,
        callbacks=(StopAfterTwo,),
    )
    summary = train(run, tmp_path, verbose=0)
    assert summary["steps"] == run.total_steps // 2
    cost = kt.training_cost(tmp_path)
    assert (cost.total, cost.ratio) == (
        summary["training_flops"],
        summary["training_course_ratio"],
    )


def test_a_work_directory_knows_where_its_ramp_began(tmp_path):
    ramp = kt.schedules.PolynomialDecay(final_sparsity=0.9)
    run = experiment(
        mask="magnitude",
        optimizer=lambda: optimizers.GradualMagnitude(
            keras.optimizers.SGD(0.1), ramp, update_every=2
        ),
    )
    summary = train(run, tmp_path, verbose=0)
    cost = kt.training_cost(tmp_path)
    assert cost.ratio == summary["training_course_ratio"] < 0.21
    assert sum(summary["first_nonzeros"].values()) == pytest.approx(0.2 * summary["weights"], abs=3)


@pytest.mark.slow
def test_masks_chosen_before_training_cost_their_scores(tmp_path):
    run = experiment(
        sparsity=0.8, scores=kt.scoring.snip, score_examples=600, optimizer=keras.optimizers.SGD
    )
    summary = train(run, tmp_path, verbose=0)
    cost = kt.training_cost(tmp_path)
    assert cost.scored_examples == summary["scored_examples"] == 600
    passes = cost.per_sample / cost.dense_per_sample
    assert cost.ratio == pytest.approx(passes + 600 / (300 * cost.steps))


@pytest.mark.slow
def test_levels_of_pruning_cost_all_of_their_trainings(tmp_path):
    run = experiment(
        sparsity=None,
        optimizer=lambda: keras.optimizers.SGD(0.1),
        procedure=Tickets(levels=2, rate=0.5, rewind_to="4it", control="reinit"),
    )
    summary = train(run, tmp_path, verbose=0)
    cost = kt.training_cost(tmp_path)
    dense = cost.dense_per_sample
    total, steps = 4 * dense, 4
    for row in summary["levels"]:
        masks = kt.load_ticket(tmp_path / f"level_{row['level']:02d}/ticket.safetensors").masks
        network = kt.sparsify(kt.models.lenet_300_100((64,)), 0.0, mask="ones")
        kt.set_masks(network, masks)
        for each in (row, *row.get("controls", {}).values()):
            total += each["steps"] * 3 * kt.flops(network).inference
            steps += each["steps"]
    assert cost.steps == steps
    assert summary["training_flops"] == cost.total
    assert cost.per_sample == pytest.approx(total / steps, rel=0.01)  # a control has other masks
    assert 0.3 < cost.ratio < 1
