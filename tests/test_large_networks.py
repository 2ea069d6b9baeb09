import importlib.util
import pathlib
import sys

import pytest

PATH = pathlib.Path(__file__).parents[1] / "tools" / "large_networks.py"


@pytest.fixture
def large_networks(monkeypatch):
    spec = importlib.util.spec_from_file_location("large_networks", PATH)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "large_networks", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's /proc")
@pytest.mark.parametrize("name, dense", [("set", 151_500), ("rigl", 121_500)])
def test_a_small_one_trains_and_is_measured(large_networks, name, dense):
    arguments = [name, "--small", "--steps", "12", "--update_every", "4", "--batch", "16"]
    figures = large_networks.main(arguments)[name]
    assert figures["dense bytes"] == 4 * dense
    network = large_networks.SMALL[name]
    sizes = [network.inputs, network.hidden, network.hidden, network.classes]
    pairs = list(zip(sizes, sizes[1:], strict=False))
    expected = sum(min(network.epsilon * (a + b), a * b) for a, b in pairs)
    assert figures["weights"] == pytest.approx(expected, abs=3)
    assert figures["last loss"] < 0.5 * figures["first loss"]
    assert figures["share of weights moved"] > 0.1
    assert 0 < figures["seconds a step"] < figures["seconds an update"] < 10
    assert 2**20 < figures["peak of steps"] and 2**20 < figures["peak of updates"] < 2**30
