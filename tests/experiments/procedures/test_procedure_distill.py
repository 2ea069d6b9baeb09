"""KD tickets from the training binary."""

import keras
import numpy as np
import pytest
from slow_cases import slow_unless

import keras_tickets as kt
from keras_tickets.experiments import cli
from keras_tickets.experiments.experiment import Experiment
from keras_tickets.experiments.procedures import Distill, Tickets
from keras_tickets.experiments.train import train


def experiment(**settings):
    return Experiment(
        dataset="digits",
        model=kt.models.lenet_300_100,
        optimizer=lambda: keras.optimizers.SGD(0.1, momentum=0.9),
        epochs=2,
        steps_per_epoch=5,
        steps_per_execution=5,
        batch_size=50,
        procedure=Distill(**{"sparsity": 0.9, "reduction": "mean", **settings}),
    )


def weights(file):
    return {path: value.copy() for path, value in kt.load_ticket(file).weights.items()}


def equal(a, b):
    return all(np.array_equal(a[path], b[path]) for path in a)


def masked(values, ticket):
    return {path: np.where(ticket.masks.get(path, True), v, 0) for path, v in values.items()}


@pytest.mark.parametrize(
    "start, settings, steps",
    slow_unless(
        lambda start, settings, steps: start == "rewound",
        [
            ("initial", {"rewind_to": 0}, 10),
            ("rewound", {"rewind_to": 3}, 7),
            ("final", {"rewind_to": 3, "rewind": ("schedule",)}, 7),
        ],
    ),
)
def test_the_student_starts_from_the_weights_that_were_asked_for(start, settings, steps, tmp_path):
    summary = train(experiment(**settings), tmp_path, verbose=0)
    teacher, student = summary["levels"]
    assert summary["method"] == "distill" and student["steps"] == steps
    assert summary["nonzeros"] == 5_020 and summary["test_accuracy"] == student["test_accuracy"]
    assert summary["teacher_test_accuracy"] == teacher["test_accuracy"]
    ticket = kt.load_ticket(tmp_path / "level_01" / "ticket.safetensors")
    source = "ticket" if start != "final" else "trained"
    expected = weights(tmp_path / "level_00" / f"{source}.safetensors")
    assert equal(ticket.weights, masked(expected, ticket))


@pytest.mark.slow
def test_soft_labels_make_a_difference_and_cached_logits_none(tmp_path):
    found = {}
    for name, settings in {
        "soft": {},
        "cached": {"cached": True},
        "hard": {"alpha": 0.0},
        "ended": {"end": 4},
    }.items():
        train(experiment(**settings), tmp_path / name, verbose=0)
        found[name] = weights(tmp_path / name / "level_01" / "trained.safetensors")
    tickets = tmp_path / "hard", "tickets"
    hard = Tickets(levels=1, rate=0.9)
    plain = experiment()
    plain.procedure = hard
    train(plain, tmp_path / tickets[1], verbose=0)
    level = weights(tmp_path / tickets[1] / "level_01" / "trained.safetensors")
    assert equal(found["hard"], level)
    assert not equal(found["soft"], found["hard"]) and not equal(found["soft"], found["ended"])
    assert all(np.allclose(found["soft"][p], found["cached"][p], atol=1e-5) for p in level)


@pytest.mark.slow
def test_a_teacher_of_ones_own_and_several_prunings(tmp_path):
    teacher = kt.models.lenet_300_100((8, 8, 1), seed=9)
    teacher.save(tmp_path / "teacher.keras")
    summary = train(
        experiment(teacher=str(tmp_path / "teacher.keras"), levels=2), tmp_path / "run", verbose=0
    )
    assert [row["nonzeros"] for row in summary["levels"]] == [50_200, 15_875, 5_020]
    own = train(experiment(levels=2), tmp_path / "own", verbose=0)
    assert own["levels"][1]["test_loss"] == summary["levels"][1]["test_loss"]
    assert own["test_loss"] != summary["test_loss"]


@pytest.mark.parametrize(
    "parameter, message",
    [
        ("distill.sparsity=1.0", "sparsity=1.0"),
        ("distill.levels=0", "`levels` must be a positive integer"),
        ("distill.temperature=0.0", "`temperature`"),
        ("distill.alpha=1.5", "alpha=1.5"),
        ("train.dataset='cifar10'\ndistill.cached=True", "cached=True with data set 'cifar10'"),
        ("distill.teacher='no.keras'", "there is no file or directory 'no.keras'"),
    ],
)
def test_bad_settings_are_one_line(parameter, message, tmp_path, capsys):
    arguments = ["train", "--gin_file=gin_configs/digits/distill.gin", f"--workdir={tmp_path}/run"]
    arguments += ["--gin_param=train.epochs=1", "--gin_param=train.steps_per_epoch=2"]
    arguments += ["--gin_param=distill.rewind_to=1"]
    assert cli.main([*arguments, f"--gin_param={parameter}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("keras-tickets: ") and message in line
    assert not (tmp_path / "run").exists()
