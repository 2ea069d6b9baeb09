import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_tickets.step import Step


@pytest.mark.parametrize(
    "value, steps, text",
    [
        (0, 0, "0it"),
        (500, 500, "500it"),
        ("500it", 500, "500it"),
        (np.int64(7), 7, "7it"),
        ("10ep", 6000, "10ep"),
        ("0ep", 0, "0ep"),
        (0.75, 75_000, "75%"),
        ("75%", 75_000, "75%"),
        ("12.5%", 12_500, "12.5%"),
        ("0%", 0, "0%"),
        ("100%", 100_000, "100%"),
        (1e-5, 1, "0.001%"),
        (np.float64(0.3), 30_000, "30%"),
    ],
)
def test_resolves_to_optimizer_steps(value, steps, text):
    step = Step(value)
    resolved = step.resolve(total_steps=100_000, steps_per_epoch=600)
    assert resolved == steps and type(resolved) is int
    assert str(step) == text
    assert step.is_relative == (not text.endswith("it"))


@given(st.floats(0, 1, exclude_min=True, exclude_max=True), st.integers(0, 2**40))
def test_shares_are_rounded_down_as_written_in_decimals(share, total):
    assert Step(share).resolve(total_steps=total) == int(Fraction(repr(share)) * total)


def test_a_share_is_not_cut_short_by_binary_floats():
    assert int(0.29 * 100) == 28
    assert Step(0.29).resolve(100) == Step("29%").resolve(100) == 29


@given(
    st.integers(0)
    | st.integers(0).map("{}it".format)
    | st.integers(0).map("{}ep".format)
    | st.integers(0, 100).map("{}%".format)
    | st.floats(1e-12, 1, exclude_max=True)
)
def test_goes_through_value_text_and_copies(value):
    step = Step(value)
    for copy in (Step(step.value), Step(step), Step(str(step)), pickle.loads(pickle.dumps(step))):
        assert copy == step and hash(copy) == hash(step)
    assert step.value == value
    assert repr(step) == f"Step({value!r})"


def test_equality_is_by_meaning():
    assert Step(500) == Step("500it") == Step("0500it")
    assert Step(0.75) == Step("75%") == Step("75.0%")
    assert len({Step(0.5), Step("50%"), Step("50ep"), Step(50)}) == 3
    assert Step(10) != Step("10ep")
    assert Step(10) != 10


def test_steps_need_no_length():
    assert Step(500).resolve() == 500


@pytest.mark.parametrize(
    "value, known, missing",
    [
        ("75%", {"steps_per_epoch": 600}, "total_steps"),
        (0.75, {}, "total_steps"),
        ("10ep", {"total_steps": 1000}, "steps_per_epoch"),
    ],
)
def test_an_unknown_length_is_an_error_with_the_way_out(value, known, missing):
    way_out = r"give the step in optimizer steps, or call `optimizer.set_total_steps\(n\)`"
    with pytest.raises(ValueError, match=f"`{missing}` is not known: {way_out}") as error:
        Step(value).resolve(**known)
    assert repr(value) in str(error.value)


@pytest.mark.parametrize(
    "value",
    [1.0, 0.0, -0.5, 2.5, 500.0, float("nan"), float("inf"), -1, "", "10 epochs", "10", "-5it"]
    + ["1.5ep", "120%", "100.5%", "-5%", "nan%", "10EP", "10ep\n", " 10ep", "٣it", "1e3it"],
)
def test_values_out_of_range_are_refused(value):
    with pytest.raises(ValueError, match="A step must be a non-negative int or") as error:
        Step(value)
    assert repr(value) in str(error.value)


@pytest.mark.parametrize("value", [True, None, [10], 1j, b"10ep"])
def test_values_of_other_types_are_refused(value):
    with pytest.raises(TypeError, match="A step must be a non-negative int or"):
        Step(value)


@pytest.mark.parametrize("length", [-1, 10.0, True])
def test_lengths_are_checked(length):
    with pytest.raises(ValueError, match="`total_steps` must"):
        Step("50%").resolve(total_steps=length)
    with pytest.raises(ValueError, match="`steps_per_epoch` must"):
        Step("5ep").resolve(steps_per_epoch=length)
