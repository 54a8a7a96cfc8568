"""The checks of arguments: what passes, what does not, and what the message says."""

import math

import numpy as np
import pytest

from lstmlib.validation import (
    LARGEST,
    check_choice,
    check_flag,
    check_ids,
    check_number,
    check_whole,
    is_number,
    is_whole,
    quoted,
)


@pytest.mark.parametrize("value", [1, 7, np.int64(7), np.uint8(7), 2**63])
def test_a_whole_number_passes_as_an_int(value):
    checked = check_whole("steps", value)
    assert checked == value
    assert type(checked) is int


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", None, True, np.True_, math.nan, -(2**63)])
def test_what_is_no_whole_number_from_1_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"^steps is .*; it must be a whole number, 1 or more\.$"):
        check_whole("steps", value)


def test_bounds_and_a_hint_are_part_of_the_message():
    with pytest.raises(ValueError, match=r"^seed is -1; .* number, 0 or more, or None\.$"):
        check_whole("seed", -1, 0, hint=", or None")
    with pytest.raises(ValueError, match=r"^k is 4; it must be a whole number from 1 to 3\.$"):
        check_whole("k", 4, at_most=3)
    with pytest.raises(ValueError, match=rf"^k is .*; .* number from 1 to {LARGEST}\.$"):
        check_whole("k", LARGEST + 1, at_most=LARGEST)
    with pytest.raises(ValueError, match=r"^k is 0; it must be a whole number, 1 or more\.$"):
        check_whole("k", 0, at_most=LARGEST)
    assert check_whole("k", 3, at_most=3) == 3
    assert check_whole("k", 0, 0) == 0


@pytest.mark.parametrize(
    ("bounds", "passes", "refused", "wanted"),
    [
        ({"above": 0}, [0.1, 3, np.float32(2)], [0, -1, math.inf], "a finite number, above 0"),
        ({"at_least": 0}, [0, 0.5], [-0.1, math.inf], "a finite number, 0 or more"),
        ({"at_least": 0, "below": 1}, [0, 0.5], [1, -0.1], "a number, 0 or more and below 1"),
        ({"above": 0, "at_most": 1}, [0.1, 1], [0, 1.1], "a number, above 0 and at most 1"),
        ({"above": 0, "infinite": True}, [1, math.inf], [0, -math.inf], "a number, above 0"),
        ({}, [-3, 0.0], [math.inf, -math.inf], "a finite number"),
        ({"infinite": True}, [math.inf, -math.inf], [], "a number"),
    ],
)
def test_a_number_within_its_bounds_passes_and_no_other(bounds, passes, refused, wanted):
    for value in passes:
        checked = check_number("rate", value, **bounds)
        assert checked == value
        assert type(checked) is float
    for value in [*refused, "0.5", None, True, math.nan, 10**400, 1j]:
        with pytest.raises(ValueError, match=rf"^rate is .*; it must be {wanted}, if any\.$"):
            check_number("rate", value, **bounds, hint=", if any")


def test_a_choice_is_one_of_the_words():
    assert check_choice("cell", "gru", ("lstm", "gru")) == "gru"
    for wrong in ("LSTM", None, 3, ["lstm"]):
        with pytest.raises(ValueError, match=r"^cell is .*; choose one of lstm, gru\.$"):
            check_choice("cell", wrong, ("lstm", "gru"))
    with pytest.raises(ValueError, match=r"choose one of NFC, NFD, or None\.$"):
        check_choice("form", "nfc", {"NFC": 1, "NFD": 2}, hint=", or None")


def test_a_flag_is_true_or_false():
    assert check_flag("compiled", True) is True
    assert check_flag("compiled", np.False_) is False
    for wrong in (1, 0, "True", None):
        with pytest.raises(ValueError, match=r"^compiled is .*; it must be True or False\.$"):
            check_flag("compiled", wrong)


def test_ids_lie_in_the_vocabulary():
    for ids in (np.array([0, 4]), np.array([[4], [0]], np.uint8), np.array([])):
        assert check_ids("x", ids, 5) is ids
    with pytest.raises(ValueError, match=r"^5 in x is no id; ids must lie in 0 … 4\.$"):
        check_ids("x", np.array([0, 5]), 5)
    with pytest.raises(ValueError, match=r"^-1 in x is no id; ids must lie in 0 … 4\.$"):
        check_ids("x", np.array([-1, 5]), 5)
    with pytest.raises(
        UnicodeError, match=r"^The dtype of x is float64; ids must be integers in 0 … 4"
    ):
        check_ids("x", np.array([1.0]), 5, UnicodeError)


def test_whole_numbers_and_numbers_are_told_from_all_else():
    assert is_whole(3) and is_whole(np.int8(3))
    assert not is_whole(3.0) and not is_whole(True)
    assert is_number(3) and is_number(np.float32(0.5)) and is_number(math.inf)
    assert not is_number(math.nan) and not is_number(10**400) and not is_number(False)


def test_a_value_is_shown_at_a_length_that_one_can_read():
    assert quoted("a\n") == r"'a\n'"
    assert quoted("a" * 1000) == "'" + "a" * 49 + "… (1002 characters)"
    assert quoted(10**5000) == "a number of thousands of digits"
