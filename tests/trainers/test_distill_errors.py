"""What `DistillationTrainer` refuses."""

import keras
import numpy as np
import pytest
from distillation import LOSS, X, Y, network, plain

import keras_tickets as kt


def sharing():
    student = plain()
    return student, keras.Model(student.input, student.output)


def several_outputs():
    model = plain()
    return keras.Model(model.input, [model.output, model.output])


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: (plain(), network(classes=5)), r"teacher \(None, 5\).*student \(None, 3\)"),
        (lambda: (plain(), network(activation="softmax")), "gives probabilities, not logits"),
        (lambda: (network(activation="softmax"), plain()), "student .* gives probabilities"),
        (lambda: (plain(), plain(7), {"temperature": 0}), "`temperature` must be"),
        (lambda: (plain(), plain(7), {"alpha": 1.5}), r"`alpha` must be a number in \[0, 1\].*1.5"),
        (lambda: (plain(), plain(7), {"alpha": -0.1}), r"`alpha` must be a number in \[0, 1\]"),
        (
            lambda: (plain(), plain(7), {"alpha": float("nan")}),
            r"`alpha` must be a number in \[0, 1\]",
        ),
        (lambda: (plain(), plain(7), {"reduction": "sum"}), "`reduction` must be one of"),
        (lambda: (plain(), plain(7), {"end": 0}), "`end` must be after step 0"),
        (lambda: (plain(), plain(7), {"end": "120%"}), "A step must be"),
        (lambda: (plain(), plain(7), {"end": -1}), "A step must be"),
        (lambda: (plain(), plain(7), {"teacher_outputs": "softmax"}), "`teacher_outputs` must be"),
        (
            lambda: (plain(), plain(7), {"teacher_outputs": "probabilities"}),
            "does not give probabilities",
        ),
        (lambda: (plain(), []), "must not be an empty list"),
        (lambda: (plain(), "no.keras"), "there is no file or directory 'no.keras'"),
        (lambda: (plain(), __file__), "neither a .keras file nor a SavedModel directory"),
        (lambda: (plain(), 3), "`teacher` must be a Keras model, the path"),
        (lambda: ("student", plain()), "`student` must be a Keras model"),
        (lambda: (keras.Sequential([keras.layers.Dense(3)]), plain()), "is not built"),
        (lambda: (plain(), keras.Sequential([keras.layers.Dense(3)])), "is not built"),
        (sharing, "share weights"),
        (lambda: (several_outputs(), plain()), "models with one output. Received: a model with 2"),
        (lambda: (plain(), several_outputs()), "models with one output. Received: a model with 2"),
        (
            lambda: (
                plain(),
                [plain(7), plain(8)],
                {"distillation_losses": [keras.distillation.FeatureDistillation()]},
            ),
            "need one teacher .* 2 teachers",
        ),
        (
            lambda: (plain(), plain(7), {"distillation_loss_weights": [1.0]}),
            "one weight for each of the 0",
        ),
        (
            lambda: (
                plain(),
                plain(7),
                {
                    "distillation_losses": [
                        keras.distillation.FeatureDistillation(teacher_layer_name="nowhere")
                    ]
                },
            ),
            "In teacher model: .*nowhere",
        ),
    ],
)
def test_bad_input(make, words):
    student, teacher, *rest = make()
    with pytest.raises((ValueError, TypeError), match=words):
        kt.trainers.DistillationTrainer(student, teacher, **(rest[0] if rest else {}))


def test_class_counts_differ_where_they_show_only_in_training():
    inputs = keras.Input((None, 10))
    student = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    teacher = keras.Model(inputs, keras.layers.Dense(4)(inputs))
    trainer = kt.trainers.DistillationTrainer(student, teacher, alpha=1.0)
    trainer.compile("sgd")
    with pytest.raises(ValueError, match=r"teacher \(None, 10, 4\), student \(None, 10, 3\)"):
        trainer.fit(X.reshape(32, 10, 10), verbose=0)


def test_a_softmax_is_found_without_trying_the_model():
    inputs = keras.Input((None, 10))
    student = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    teacher = keras.Sequential([inputs, keras.layers.Dense(3), keras.layers.Softmax()])
    with pytest.raises(ValueError, match="gives probabilities, not logits"):
        kt.trainers.DistillationTrainer(student, teacher)


def test_hard_labels_need_a_loss():
    for arguments in ({"alpha": 0.9}, {"alpha": 1.0, "end": 5}):
        trainer = kt.trainers.DistillationTrainer(plain(), plain(7), **arguments)
        with pytest.raises(ValueError, match="`loss` must be given"):
            trainer.compile("sgd")


def test_data_and_teacher_must_fit_each_other():
    logits = {"labels": Y, "teacher_logits": np.zeros((320, 3))}
    trainer = kt.trainers.DistillationTrainer(plain())
    trainer.compile("sgd", LOSS)
    with pytest.raises(ValueError, match="the data must bring the teacher's logits"):
        trainer.fit(X, Y, verbose=0)
    trainer.fit(X, logits, validation_data=(X, Y), verbose=0)
    both = kt.trainers.DistillationTrainer(plain(), plain(7))
    both.compile("sgd", LOSS)
    with pytest.raises(ValueError, match="there is a teacher too"):
        both.fit(X, logits, verbose=0)
