"""What a report draws of levels, of students on soft labels and of masks."""

import base64
import statistics

import numpy as np
import pytest
import tensorflow as tf
from run_directories import level, write_run

from keras_tickets.experiments.report import figures, parts
from keras_tickets.experiments.report.collect import collect
from keras_tickets.experiments.report.groups import group
from keras_tickets.experiments.report.pictures import mask_images


def test_levels_with_their_controls_are_means_over_seeds(tmp_path):
    accuracies = ((0.9, 0.8, 0.6), (0.8, 0.7, 0.5))
    for seed, (first, second, control) in enumerate(accuracies):
        levels = [level(0, first), level(1, second, reinit=control)]
        write_run(tmp_path / str(seed), seed=seed, method="tickets", levels=levels)
    (one,) = group(collect([tmp_path]))
    found = {(row["branch"], row["level"]): row for row in figures.levels_of(one)}
    assert found["ticket", 1]["mean"] == pytest.approx(0.75)
    assert found["reinit", 1]["mean"] == pytest.approx(0.55)
    assert found["reinit", 1]["spread"] == pytest.approx(statistics.stdev([0.6, 0.5]))
    assert found["ticket", 1]["density"] == 0.8 and set(found) == {
        ("ticket", 0),
        ("ticket", 1),
        ("reinit", 1),
    }


def test_the_grid_of_soft_labels(tmp_path):
    for temperature in (1.0, 4.0):
        for sparsity in (0.9, 0.95):
            for seed in (0, 1):
                write_run(
                    tmp_path / f"{temperature}_{sparsity}_{seed}",
                    method="distill",
                    seed=seed,
                    sparsity=sparsity,
                    test_accuracy=sparsity - temperature / 100 + seed / 50,
                    teacher_test_accuracy=0.97,
                    config={"distill.temperature": temperature, "distill.sparsity": sparsity},
                )
    sparsities, rows = figures.kd_grid(group(collect([tmp_path])))
    assert sparsities == [0.9, 0.95]
    assert [name for name, _ in rows] == [
        "teacher",
        "distill (distill.temperature=1.0)",
        "distill (distill.temperature=4.0)",
    ]
    mean, deviation, count = rows[2][1][1]
    assert (mean, count) == (pytest.approx(0.95 - 0.04 + 0.01), 2)
    assert deviation == pytest.approx(statistics.stdev([0, 0.02]))
    assert "92.00 ± 1.41" in parts.kd_table((sparsities, rows), "accuracy")


def test_pictures_are_png_files_of_the_masks():
    mask = np.zeros((9, 4), bool)
    mask[4] = True
    mask[0, :2] = True
    (address, width, height), _ = mask_images([mask, ~mask])
    picture = tf.io.decode_png(base64.b64decode(address.partition(",")[2]))[..., 0].numpy()
    assert (width, height) == (3, 3) and picture.shape == (3, 3)
    assert picture[1, 1] == 255 and int(picture[0, 0]) == pytest.approx(128, abs=9)
    assert np.count_nonzero(picture) == 2
