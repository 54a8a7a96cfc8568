import math
import re
from pathlib import Path

import numpy as np
import pytest

from lstmlib.course import check
from lstmlib.course.check import facts
from lstmlib.runtime import PROFILES

ROOT = Path(__file__).resolve().parents[2]


def verdict(capsys):
    return capsys.readouterr().out.strip()


# Bands and facts


def test_every_band_is_an_interval_for_every_profile():
    for name, entry in check.bands().items():
        assert set(entry) - {"at_most"} == {"what", "measured", *PROFILES}, name
        for profile in PROFILES:
            low, high = entry[profile]
            assert low < high, name


def test_band_prints_ok_inside_and_names_itself_outside(monkeypatch, capsys):
    monkeypatch.setattr(facts, "bands", lambda: {"x": {"what": "the loss", "ci": [1.0, 2.0]}})
    check.band("x", 2.0)
    assert verdict(capsys) == "the loss in its band: ok (measured 2; band 1.0 to 2.0)"
    for value in (0.99, 2.01, math.nan, math.inf):
        with pytest.raises(AssertionError, match="the loss is .*outside its band 1.0 … 2.0"):
            check.band("x", value)


def test_band_says_that_it_was_measured_on_another_text(capsys):
    check.band("00.five_gram", 99.0, corpus="my-novel.epub")
    said = verdict(capsys)
    assert "not checked" in said
    assert "my-novel.epub" in said


def test_fact_prints_ok_or_raises(capsys):
    check.fact("snow is white", True)
    assert verdict(capsys) == "snow is white: ok"
    with pytest.raises(AssertionError, match="snow is black"):
        check.fact("snow is black", False)


@pytest.mark.parametrize(
    ("measured", "shown"),
    [(0.12345678, "0.1235"), (np.float32(2), "2"), ("1 (of 2)", "1 [of 2]"), (None, None)],
)
def test_what_was_measured_stands_beside_a_fact_and_nbval_ignores_it(measured, shown, capsys):
    check.fact("one is one", True, measured=measured)
    said = verdict(capsys)
    assert said == "one is one: ok" + (f" (measured {shown})" if shown else "")
    config = (ROOT / "tests/nbval_sanitize.cfg").read_text(encoding="utf-8")
    for regex, put in re.findall("^regex: (.*)$\n^replace: (.*)$", config, re.M):
        said = re.sub(regex, put, said)
    assert said == "one is one: ok"


def test_a_fact_that_does_not_hold_says_what_was_measured():
    with pytest.raises(AssertionError, match=r"one is two: does not hold here \(measured 1\)\."):
        check.fact("one is two", False, measured=1)


def test_a_fact_about_the_default_text_is_not_checked_on_another(capsys):
    check.fact("q is followed by u", False, "dna.txt")
    said = verdict(capsys)
    assert (
        said == "q is followed by u: not checked, since it is about python-docs, not about dna.txt"
    )
    with pytest.raises(AssertionError, match="q is followed by u"):
        check.fact("q is followed by u", False, "python-docs")


def test_a_short_text_is_said_to_be_short(capsys):
    check.enough_text("a" * 50_000)
    assert verdict(capsys) == "enough text to learn from: ok"
    check.enough_text("a" * 49_999)
    assert "This text has 49,999 characters. All cells run" in verdict(capsys)


@pytest.mark.parametrize(
    ("band", "measured", "room"),
    [
        ([0.0, 4.0], [1.0, 3.0, 5], True),
        ([0.5, 4.0], [1.0, 3.0, 5], False),
        ([0.0, 3.5], [1.0, 3.0, 5], False),
        ([2.0, 2.0], [2.0, 2.0, 3], True),
        ([0.0, 1.0], [2.0, 2.0, 3], False),
    ],
)
def test_a_band_has_room_if_a_third_of_what_was_seen_is_left_on_each_side(band, measured, room):
    assert check.has_room(band, measured) == room
