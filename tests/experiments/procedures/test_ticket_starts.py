"""RigL and static training that start from a ticket, as the RigL paper's lottery experiment."""

import keras
import numpy as np
import pytest

import keras_tickets as kt
from keras_tickets.experiments import settings
from keras_tickets.experiments.train import train


@pytest.fixture(scope="module")
def ticket(tmp_path_factory):
    model = kt.sparsify(kt.models.lenet_300_100((8, 8, 1), seed=11), 0.9)
    path = tmp_path_factory.mktemp("ticket") / "a.ticket"
    return path, kt.save_ticket(path, model)


def experiment(path, start, **more):
    return settings.train(
        dataset="digits",
        model=kt.models.lenet_300_100,
        optimizer=lambda: kt.optimizers.RigL(keras.optimizers.SGD(0.1), update_every=2),
        epochs=1,
        steps_per_epoch=4,
        ticket=str(path),
        ticket_start=start,
        seed=3,
        **more,
    )


@pytest.mark.parametrize("start", ["weights", "masks", "random_masks"])
def test_masks_and_weights_that_a_run_starts_from(start, ticket):
    path, saved = ticket
    run = experiment(path, start)
    model = run.procedure.make(run, None)
    own = kt.models.lenet_300_100((8, 8, 1), seed=3)
    for name, weight in kt.weight_paths(model).items():
        mask = model.masks.get(name, True)
        source = saved.weights[name] if start == "weights" else kt.weight_paths(own)[name].numpy()
        assert (weight.numpy() == np.where(mask, source, 0)).all()
    same = [bool((model.masks[p] == mask).all()) for p, mask in saved.masks.items()]
    assert all(same) == (start != "random_masks")
    assert all(model.masks[p].sum() == mask.sum() for p, mask in saved.masks.items())


def test_a_run_is_counted_and_named_by_its_optimizer(ticket, tmp_path):
    path, saved = ticket
    summary = train(experiment(path, "weights"), tmp_path, verbose=0)
    assert summary["method"] == "rigl"
    assert summary["nonzeros"] == sum(mask.sum() for mask in saved.masks.values())


def test_wrong_tickets(ticket, tmp_path):
    path, _ = ticket
    with pytest.raises(ValueError, match="`ticket_start` must be one of"):
        experiment(path, "weight")
    with pytest.raises(ValueError, match="exclude each other"):
        experiment(path, "weights", sparsity=0.9)
    with pytest.raises(FileNotFoundError, match="no ticket file"):
        experiment(tmp_path / "none", "weights").plan()
