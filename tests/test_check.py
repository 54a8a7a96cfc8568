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


def sigma(z):
    return 1 / (1 + np.exp(-z))


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
    (
        check.chunk,
        {},
        lambda ids, start, length: (ids[start:][:length], ids[start + 1 :][:length]),
        [
            (lambda ids, s, n: (ids[s : s + n], ids[s : s + n]), "are not shifted"),
            (lambda ids, s, n: (ids[s : s + n], ids[s - 1 : s + n - 1]), "the wrong way"),
            (lambda ids, s, n: (ids[s : s + n - 1], ids[s + 1 : s + n]), "yours have 2 and 2"),
            (lambda ids, s, n: (ids[s : s + n], ids[n : n + n]), "follows input i"),
            (lambda ids, s, n: (ids[s + 1 : s + n + 1], ids[s + 2 : s + n + 2]), "from `start` on"),
            (lambda ids, s, n: (ids[s : s + n], ids[s + 2 : s + n + 2]), "follows input i"),
            (lambda ids, s, n: ids[s : s + n], "return two arrays"),
            (lambda ids, s, n: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    (
        check.step_back,
        {},
        lambda a, b, h, W: ((a + b) * (1 - h * h), ((a + b) * (1 - h * h)) @ W.T),
        [
            (lambda a, b, h, W: (a * (1 - h**2), a * (1 - h**2) @ W.T), "forgot to add dh"),
            (lambda a, b, h, W: (a + b, (a + b) @ W.T), "before the tanh"),
            (
                lambda a, b, h, W: ((a + b) * (1 - np.tanh(h) ** 2), a),
                "h is the tanh already",
            ),
            (lambda a, b, h, W: ((a - b) * (1 - h**2), a), "entry by entry"),
            (lambda a, b, h, W: ((a + b)[0], a), "entry by entry"),
            (
                lambda a, b, h, W: ((a + b) * (1 - h**2), ((a + b) * (1 - h**2)) @ W),
                "the transpose",
            ),
            (lambda a, b, h, W: ((a + b) * (1 - h**2), b), "dz is right"),
            (lambda a, b, h, W: (a + b,), "return two arrays"),
            (
                lambda a, b, h, W: (((a + b) * (1 - h * h)) @ W.T, (a + b) * (1 - h * h)),
                "return dz first",
            ),
            (
                lambda a, b, h, W: (np.add(a, b, out=a) * (1 - h * h), a * (1 - h * h) @ W.T),
                "changed its arguments",
            ),
            (lambda a, b, h, W: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    (
        check.clipped,
        {},
        lambda g, limit: np.sign(g) * np.minimum(np.abs(g), limit),
        [
            (lambda g, limit: np.clip(g, -limit, limit, out=g), "changed the caller's gradient"),
            (lambda g, limit: np.minimum(g, limit), "negative entries"),
            (lambda g, limit: g * limit / np.linalg.norm(g), "clipping by norm"),
            (lambda g, limit: g, "the nearer end"),
            (lambda g, limit: np.clip(g, -5, 5), "use `limit`"),
            (lambda g, limit: g[0], "the shape of g"),
            (lambda g, limit: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    (
        check.split_gates,
        {},
        lambda z: [sigma(z[:, :3]), sigma(z[:, 3:6]), np.tanh(z[:, 6:9]), sigma(z[:, 9:])],
        [
            (
                lambda z: [sigma(z[:, :3]), sigma(z[:, 3:6]), np.tanh(z[:, 9:]), sigma(z[:, 6:9])],
                "gate order is i f o g",
            ),
            (
                lambda z: [sigma(z[:, 3:6]), sigma(z[:, :3]), np.tanh(z[:, 6:9]), sigma(z[:, 9:])],
                "gate order is f i g o",
            ),
            (
                lambda z: [sigma(z[:, 9:]), sigma(z[:, 6:9]), np.tanh(z[:, 3:6]), sigma(z[:, :3])],
                "gate order is o g f i",
            ),
            (
                lambda z: [
                    sigma(z[:, ::4]),
                    sigma(z[:, 1::4]),
                    np.tanh(z[:, 2::4]),
                    sigma(z[:, 3::4]),
                ],
                "not every fourth",
            ),
            (lambda z: [sigma(part) for part in np.split(z, 4, axis=1)], "needs tanh, so that"),
            (lambda z: np.split(z, 4, axis=1), "pre-activations"),
            (lambda z: [np.tanh(part) for part in np.split(z, 4, axis=1)], "σ of their block"),
            (lambda z: [z] * 4, "H neighbouring"),
            (lambda z: [sigma(z)], "return four arrays"),
            (lambda z: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    (
        check.coupled_gate,
        {},
        lambda dc, i, g, c: (dc * g - dc * c) * (i - i * i),
        [
            (lambda dc, i, g, c: dc * g * i * (1 - i), "i acts twice"),
            (lambda dc, i, g, c: dc * (g + c) * i * (1 - i), "minus sign"),
            (lambda dc, i, g, c: dc * (g - c), "before the σ"),
            (lambda dc, i, g, c: dc * (g - c) * i, "derivative of σ is"),
            (lambda dc, i, g, c: dc * (g - c) * (1 - i**2), "derivative of tanh"),
            (lambda dc, i, g, c: dc * (c - g) * i * (1 - i), "signs are swapped"),
            (lambda dc, i, g, c: (g - c) * i * (1 - i), "multiply by dc"),
            (lambda dc, i, g, c: dc, "grows a little"),
            (lambda dc, i, g, c: dc[0], "the shape of dc"),
            (lambda dc, i, g, c: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    (
        check.lstm_parameters,
        {},
        lambda V, H: 4 * H * (V + H + 1) + V * (H + 1),
        [
            (lambda V, H: H * (V + H + 1) + V * (H + 1), "four blocks, i, f, g and o"),
            (lambda V, H: 3 * H * (V + H + 1) + V * (H + 1), "that is the CIFG"),
            (lambda V, H: 4 * H * (V + H + 2) + V * (H + 1), "two biases"),
            (lambda V, H: 4 * H * (V + H + 1), "the output layer"),
            (lambda V, H: 4 * H * (V + H) + V * (H + 1), "left out the biases"),
            (lambda V, H: 4 * H * (V + H + 1) + V * H, "V biases"),
            (lambda V, H: 4 * H * (V + H + 1) + V, "left out Wy"),
            (lambda V, H: V * H, "count Wx"),
            (lambda V, H: None, "forget `return`"),
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
