import pytest

from keras_tickets.export import litert_races, measure


@pytest.fixture(autouse=True)
def few_calls_for_each_latency(monkeypatch):
    monkeypatch.setattr(measure, "MAX_SECONDS", 0.0)
    monkeypatch.setattr(litert_races, "MAX_SECONDS", 0.0)
