import math
from itertools import pairwise

import numpy as np
import pytest

from lstmlib import check
from lstmlib.profile import PROFILES


def verdict(capsys):
    return capsys.readouterr().out.strip()


# Bands and facts


def test_every_band_is_an_interval_for_every_profile():
    for name, entry in check.bands().items():
        assert set(entry) == {"what", *PROFILES}, name
        for profile in PROFILES:
            low, high = entry[profile]
            assert low < high, name


def test_band_prints_ok_inside_and_names_itself_outside(monkeypatch, capsys):
    monkeypatch.setattr(check, "bands", lambda: {"x": {"what": "the loss", "ci": [1.0, 2.0]}})
    check.band("x", 2.0)
    assert verdict(capsys) == "the loss in its band: ok"
    for value in (0.99, 2.01, math.nan, math.inf):
        with pytest.raises(AssertionError, match="the loss is .*outside its band 1.0 … 2.0"):
            check.band("x", value)


def test_band_says_that_it_was_measured_on_another_text(capsys):
    check.band("00.five_gram", 99.0, corpus="my-novel.epub")
    said = verdict(capsys)
    assert "not checked" in said
    assert "my-novel.epub" in said


def test_a_rounded_number_is_right(capsys):
    check.bits_per_character(round(LOSS / math.log(2), 3), nats=LOSS)
    check.bits_per_character(0.0, nats=0.0)
    assert verdict(capsys) == "right\nright"


def test_fact_prints_ok_or_raises(capsys):
    check.fact("snow is white", True)
    assert verdict(capsys) == "snow is white: ok"
    with pytest.raises(AssertionError, match="snow is black"):
        check.fact("snow is black", False)


# Exercises: (check, its other arguments, right answer, [(wrong answer, word of the hint)])


def raises(*_):
    raise RuntimeError("oh no")


LOSS = 1.3
EXERCISES = [
    (
        check.pairs,
        {},
        lambda ids: (ids[:-1], ids[1:]),
        [
            (lambda ids: (ids, ids), "must be shifted"),
            (lambda ids: (ids[:-1], ids[:-1]), "must be shifted"),
            (lambda ids: (ids, ids[1:]), "differ in length"),
            (lambda ids: (ids, np.roll(ids, -1)), "N - 1 pairs"),
            (lambda ids: (ids[1:], ids[:-1]), "swap"),
            (lambda ids: (ids[:-2], ids[2:]), "must be the character that follows"),
            (lambda ids: list(pairwise(ids)), "return two arrays"),
            (lambda ids: None, "forget `return`"),
            (lambda ids: (ids[:-1], ids[1:] + 1), "must be the character that follows"),
            (raises, "RuntimeError: oh no"),
        ],
    ),
    (
        check.bits_per_character,
        {"nats": LOSS},
        LOSS / math.log(2),
        [
            (LOSS * math.log(2), "multiplied"),
            (math.exp(LOSS), "perplexity"),
            (math.log2(LOSS), "is one already"),
            (LOSS / math.log(10), "ln 10"),
            (LOSS, "in nats"),
            ("1.7", "another number"),
            ("many", "ValueError"),
        ],
    ),
    (
        check.straight_quotes,
        {},
        lambda text: text.translate(str.maketrans("‘’“”", "''\"\"")),
        [
            (lambda text: text.encode("ascii", "ignore").decode(), "deletes"),
            (lambda text: text.translate(str.maketrans("‘’“", "''\"")), "U\\+201D"),
            (lambda text: text, "still there"),
            (lambda text: None, "forget `return`"),
            (lambda text: text.translate(str.maketrans("‘’“”", "\"\"''")), "single curly"),
            (raises, "oh no"),
        ],
    ),
    (
        check.window_count,
        {},
        lambda n, length, step: len(range(0, n - length, step)),
        [
            (lambda n, length, step: (n - length) // step + 1, "after it to predict"),
            (lambda n, length, step: (n - length - 1) // step, "starts at 0"),
            (lambda n, length, step: n // length, "do not overlap"),
            (lambda n, length, step: n, "draw them"),
            (lambda n, length, step: (n - length - 1) / step + 1, "whole number"),
            (lambda n, length, step: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    (
        check.add_one_probability,
        {},
        lambda pair, context, size: (pair + 1) / (context + size),
        [
            (lambda pair, context, size: pair / context, "∞ nats"),
            (lambda pair, context, size: (pair + 1) / (context + 1), "sum to more"),
            (lambda pair, context, size: (pair + 1) / (context + 2 * size), "add 1"),
            (raises, "oh no"),
        ],
    ),
]


@pytest.mark.parametrize(("exercise", "arguments", "right", "slips"), EXERCISES)
def test_right_answer_is_accepted_and_handed_back(exercise, arguments, right, slips, capsys):
    assert exercise(right, **arguments) is right
    assert verdict(capsys) == "right"


@pytest.mark.parametrize(("exercise", "arguments", "right", "slips"), EXERCISES)
def test_wrong_answers_get_their_hint_and_the_reference(exercise, arguments, right, slips, capsys):
    for wrong, hint in slips:
        reference = exercise(wrong, **arguments)
        said = verdict(capsys)
        assert said.startswith("not yet: ")
        assert hint.replace("\\", "") in said
        assert reference is not wrong
        exercise(reference, **arguments)
        assert verdict(capsys) == "right"


@pytest.mark.parametrize("nothing", [..., None])
@pytest.mark.parametrize(("exercise", "arguments", "right", "slips"), EXERCISES)
def test_not_attempted_hands_back_a_right_reference(
    exercise, arguments, right, slips, nothing, capsys
):
    reference = exercise(nothing, **arguments)
    assert verdict(capsys) == "not attempted yet"
    exercise(reference, **arguments)
    assert verdict(capsys) == "right"


def test_every_public_check_is_tested():
    public = {
        name
        for name, thing in vars(check).items()
        if callable(thing) and getattr(thing, "__module__", "") == check.__name__
    }
    tested = {exercise.__name__ for exercise, *_ in EXERCISES}
    assert {n for n in public if not n.startswith("_")} == tested | {"band", "bands", "fact"}
