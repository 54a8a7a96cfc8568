import math
import re
from itertools import pairwise

import numpy as np
import pytest

from lstmlib.course import check
from lstmlib.course.check import facts
from lstmlib.grammars import LANGUAGES
from lstmlib.runtime import PROFILES


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


# Exercises: (check, its other arguments, right answer, [(wrong answer, word of the hint)])


def raises(*_):
    raise RuntimeError("oh no")


def below_share(p):
    """What the more probable ones have together, for each."""
    order = np.argsort(-p, kind="stable")
    before = np.empty_like(p)
    before[order] = p[order].cumsum() - p[order]
    return before


def keep_nucleus(p, kept):
    return np.where(kept, p, 0) / np.where(kept, p, 0).sum()


def sigma(z):
    return 1 / (1 + np.exp(-z))


def assign(dx, ids, V):
    table = np.zeros((V, dx.shape[1]))
    table[ids] += dx
    return table


LOSS = 1.3


def gru_units(V, H):
    def count(G, n):
        return G * (n * V + n * n + 2 * n) + n * V + V

    return max(n for n in range(1, 2 * H) if count(3, n) <= count(4, H))


def total_norm(gradients):
    return math.sqrt(sum((g**2).sum() for g in gradients))


def scale_in_place(gradients, limit):
    norm = total_norm(gradients)
    for g in gradients:
        g *= min(1, limit / norm)
    return gradients


def warm_cosine(step, steps, warmup, peak):
    if step <= warmup:
        return peak * step / warmup
    return peak * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


def early_stop(losses, patience, equal=False):
    best, waited = math.inf, 0
    for k, loss in enumerate(losses):
        if loss < best or (equal and loss == best):
            best, at, waited = loss, k, 0
        else:
            waited += 1
        if waited == patience:
            return k, at
    return len(losses) - 1, at


def forgets_the_best(losses, patience):
    """Say at the end that the last was the best."""
    end, best = early_stop(losses, patience)
    return (end, best) if end - best >= patience else (len(losses) - 1, len(losses) - 1)


def rises(losses, patience):
    """Count losses above the one before, instead of above the best."""
    waited = 0
    for k in range(1, len(losses)):
        waited = waited + 1 if losses[k] > losses[k - 1] else 0
        if waited == patience:
            return k, int(np.argmin(losses[: k + 1]))
    return len(losses) - 1, int(np.argmin(losses))


def limit_once_full(norms, z, span):
    """Do not clip before there are span norms."""
    last = norms[-span:]
    return np.mean(last) + z * np.std(last) if len(last) == span else math.inf


KEY = {
    "patient-1": "missing zero_grad",
    "patient-2": "healthy",
    "patient-3": "saturated gates",
    "patient-4": "no clipping",
    "patient-5": "targets not shifted",
    "patient-6": "state not detached",
}


def balanced(text):
    """Whether brackets balance, and never close what was not opened."""
    depths = np.cumsum([1 if c == "(" else -1 for c in text])
    return bool(depths.min() >= 0 and depths[-1] == 0)


DEPTH_2 = re.compile(r"\((\(\))*\)")


def repeat_floor(stop, words, shown=None, symbols=3, decisions=None):
    """The floor of an NDFA, or a wrong one."""
    entropy = -stop * math.log(stop) - (1 - stop) * math.log(1 - stop)
    shown = 1 - stop if shown is None else shown
    nats = (decisions or 1 / stop) * entropy + shown * math.log(words)
    return nats / (symbols + 4 * (1 - stop) / stop)


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
    (
        check.gru_units,
        {},
        gru_units,
        [
            (lambda V, H: H, "a quarter less"),
            (lambda V, H: 4 * H // 3, "4/3 of the units"),
            (lambda V, H: gru_units(V, H) + 0.5, "come whole"),
            (lambda V, H: gru_units(V, H) + 1, "has more parameters"),
            (lambda V, H: gru_units(V, H) - 1, "one more would still fit"),
            (lambda V, H: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    (
        check.table_gradient,
        {},
        lambda dx, ids, V: np.eye(V)[ids].T @ dx,
        [
            (lambda dx, ids, V: assign(dx, ids, V), "they add up"),
            (lambda dx, ids, V: dx.T @ np.eye(V)[ids], "transpose"),
            (lambda dx, ids, V: dx, "not for each step"),
            (lambda dx, ids, V: np.eye(V)[ids] @ np.ones((V, V)), "yours is (5, 7)"),
            (
                lambda dx, ids, V: np.stack(
                    [dx[ids == v].mean(0) if v in ids else 0 * dx[0] for v in range(V)]
                ),
                "no mean",
            ),
            (lambda dx, ids, V: np.eye(V)[ids].T @ np.ones_like(dx), "counted the reads"),
            (lambda dx, ids, V: -np.eye(V)[ids].T @ dx, "row v is the sum"),
            (lambda dx, ids, V: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    (
        check.next_state,
        {},
        lambda state, k: tuple(part.detach() for part in state) if k else None,
        [
            (lambda state, k: None if k == 0 else state, "hangs on the graph"),
            (lambda state, k: None if k == 0 else (state[0].detach(), state[1]), "detach h and c"),
            (lambda state, k: tuple(part.detach() for part in state), "batch 0 begins the text"),
            (lambda state, k: None if k else tuple(p.detach() for p in state), "way round"),
            (lambda state, k: None, "is there a `return`"),
            (lambda state, k: tuple(0 * part for part in state), "no batch gets a state"),
            (lambda state, k: None if k < 2 else tuple(p.detach() for p in state), "batch 0 alone"),
            (lambda state, k: state[0].detach() if k else None, "a pair"),
            (lambda state, k: (state[0].detach(),) if k else None, "a pair"),
            (lambda state, k: tuple(p.detach() for p in state[::-1]) if k else None, "h first"),
            (lambda state, k: tuple(p.detach_() for p in state) if k else None, "caller's state"),
            (raises, "oh no"),
        ],
    ),
    (
        check.norm_clipped,
        {},
        lambda gs, limit: [g * min(1, limit / total_norm(gs)) for g in gs],
        [
            (lambda gs, limit: [np.clip(g, -limit, limit) for g in gs], "cuts every entry"),
            (
                lambda gs, limit: [g * min(1, limit / np.linalg.norm(g)) for g in gs],
                "by its own norm",
            ),
            (lambda gs, limit: [g * limit / total_norm(gs) ** 2 for g in gs], "square root"),
            (lambda gs, limit: [g / total_norm(gs) for g in gs], "scale to length 1"),
            (lambda gs, limit: [g * limit / total_norm(gs) for g in gs], "shorter than the limit"),
            (lambda gs, limit: [g * 0.5 for g in gs], "multiplied by limit / norm"),
            (lambda gs, limit: [g * min(1, 2 / total_norm(gs)) for g in gs], "not always 2"),
            (lambda gs, limit: gs[:1], "as many arrays"),
            (scale_in_place, "changed the gradients"),
            (lambda gs, limit: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    (
        check.warm_cosine,
        {},
        warm_cosine,
        [
            (lambda k, n, w, peak: warm_cosine(k - 1, n, w, peak), "steps count from 1"),
            (lambda k, n, w, peak: peak * (1 + math.cos(math.pi * k / n)) / 2, "straight line"),
            (
                lambda k, n, w, peak: peak * k / w * (0.5 if k == w else 1),
                "last step of the warm-up",
            ),
            (
                lambda k, n, w, peak: (
                    peak * k / w if k <= w else peak * (1 + math.cos(math.pi * k / n)) / 2
                ),
                "begins where the warm-up ends",
            ),
            (
                lambda k, n, w, peak: (
                    peak * k / w if k <= w else peak * math.cos(math.pi * (k - w) / (n - w))
                ),
                "falls from 1 to -1",
            ),
            (
                lambda k, n, w, peak: peak * k / w if k <= w else peak * (1 - (k - w) / (n - w)),
                "straight line down",
            ),
            (lambda k, n, w, peak: peak * min(1, k / w), "at the last step the rate is 0"),
            (
                lambda k, n, w, peak: (
                    peak * k / w if k <= w else peak * (1 - ((k - w) / (n - w)) ** 2)
                ),
                "share going from 0 to 1",
            ),
            (lambda k, n, w, peak: warm_cosine(k, 100, 20, 0.004), "as they are given"),
            (lambda k, n, w, peak: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    (
        check.early_stop,
        {},
        early_stop,
        [
            (lambda losses, patience: early_stop(losses, 1), "no reason to stop at patience 2"),
            (lambda losses, patience: early_stop(losses, patience + 1), "not after it"),
            (lambda losses, patience: early_stop(losses, patience)[0], "return two numbers"),
            (lambda losses, patience: early_stop(losses, patience)[::-1], "where it stops first"),
            (lambda losses, patience: (0, 0), "nothing gets worse"),
            (lambda losses, patience: (2, 2), "starts the count"),
            (rises, "no new best; the best"),
            (lambda losses, patience: early_stop(losses, patience, equal=True), "an equal loss"),
            (lambda losses, patience: early_stop(losses, 2), "not always 2"),
            (forgets_the_best, "runs to the end"),
            (lambda losses, patience: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    (
        check.step_jacobian,
        {},
        lambda W_h, h: np.diag(1 - h**2) @ W_h,
        [
            (lambda W_h, h: (np.diag(1 - h**2) @ W_h).T, "its transpose"),
            (lambda W_h, h: W_h @ np.diag(1 - h**2), "columns of W_h"),
            (lambda W_h, h: np.diag(1 - h) @ W_h, "square it"),
            (lambda W_h, h: np.diag(h * (1 - h)) @ W_h, "the sigmoid"),
            (lambda W_h, h: np.diag(1 - np.tanh(h) ** 2) @ W_h, "tanh of it again"),
            (lambda W_h, h: W_h, "has a derivative"),
            (lambda W_h, h: (1 - h**2) @ W_h, "shape of W_h"),
            (lambda W_h, h: 2 * W_h, r"1 - h[a]²"),
            (lambda W_h, h: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    (
        check.adaptive_limit,
        {},
        lambda norms, z, span: np.mean(norms[-span:]) + z * np.std(norms[-span:]),
        [
            (lambda norms, z, span: np.mean(norms) + z * np.std(norms), "of long ago"),
            (lambda norms, z, span: np.mean(norms[:3]) + z * np.std(norms[:3]), "the first"),
            (lambda norms, z, span: np.mean(norms[-3:]) + z * np.var(norms[-3:]), "the variance"),
            (
                lambda norms, z, span: np.mean(norms[-3:]) - z * np.std(norms[-3:]),
                "do not subtract",
            ),
            (lambda norms, z, span: np.mean(norms[-3:]), "the mean alone"),
            (lambda norms, z, span: max(norms), "plus z times"),
            (lambda norms, z, span: np.mean(norms[-3:]) + 2 * np.std(norms[-3:]), "not always"),
            (limit_once_full, "those that there are"),
            (lambda norms, z, span: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    (
        check.diagnosis,
        {},
        KEY,
        [
            (dict(zip(KEY, check.CAUSES, strict=True)), "patient-1 is not 'no clipping'"),
            (KEY | {"patient-2": "no clipping"}, "never spikes"),
            (KEY | {"patient-4": "state not detached"}, "at the end of an epoch"),
            (KEY | {"patient-6": "missing zero_grad"}, "how long does each step take?"),
            (KEY | {"patient-3": "targets not shifted"}, "far above 0"),
            (KEY | {"patient-1": "saturated gates"}, "which of its steps are clipped"),
            (KEY | {"patient-5": "healthy"}, "it has a fault. Look at its validation loss"),
            (dict.fromkeys(KEY, "healthy"), "patient-1 is not 'healthy'"),
            (KEY | {"patient-5": "exploding"}, "choose one of no clipping, state not detached"),
            (KEY | {"patient-5": ["healthy"]}, "['healthy'] is no cause here"),
            (KEY | {"patient-7": "healthy"}, "a cause for each of patient-1, patient-2"),
            ({"patient-1": "missing zero_grad"}, "a cause for each of"),
            (list(KEY.values()), "give a dict"),
        ],
    ),
    (
        check.tempered,
        {},
        lambda p, tau: (lambda z: z / z.sum())(np.exp(np.log(p / p.max()) / tau)),
        [
            (lambda p, tau: p ** (1 / tau) / (p ** (1 / tau)).sum(), "rounded to 0"),
            (lambda p, tau: p ** (1 / tau), "divided by their sum"),
            (lambda p, tau: p**tau / (p**tau).sum(), "1/τ, not τ"),
            (lambda p, tau: np.exp(p / tau) / np.exp(p / tau).sum(), "p is no logit"),
            (lambda p, tau: p, "to the power 1/τ"),
            (lambda p, tau: None, "forget `return`"),
            (raises, "RuntimeError: oh no"),
        ],
    ),
    (
        check.nucleus,
        {},
        lambda p, share: keep_nucleus(p, (below_share(p) < share)),
        [
            (lambda p, share: np.where(below_share(p) < share, p, 0), "must be divided"),
            (lambda p, share: keep_nucleus(p, below_share(p) + p <= share), "belongs to the"),
            (
                lambda p, share: keep_nucleus(p, (below_share(p) < share) & (share > 0.4)),
                "most probable one has more",
            ),
            (lambda p, share: keep_nucleus(p, p.cumsum() - p < share), "sort"),
            (lambda p, share: keep_nucleus(p, p.cumsum() <= share), "sort"),
            (lambda p, share: p, "sort, add up"),
            (raises, "RuntimeError: oh no"),
        ],
    ),
    (
        check.drawn,
        {},
        lambda p, u: sorted(range(4), key=lambda i: -p[i])[
            int((np.sort(p)[::-1].cumsum() <= u).sum())
        ],
        [
            (lambda p, u: int(p.argmax()), "always the same"),
            (lambda p, u: int((p.cumsum() <= u).sum()), "from id 0"),
            (lambda p, u: int((np.sort(p)[::-1].cumsum() <= u).sum()), "the place in the sorted"),
            (lambda p, u: int(np.argsort(p)[(np.sort(p).cumsum() < u).sum()]), "least probable"),
            (lambda p, u: 3 - int((np.sort(p)[::-1].cumsum() <= u).sum()), "take the first"),
            (lambda p, u: p, "one id"),
            (lambda p, u: None, "forget `return`"),
        ],
    ),
    (
        check.bracket_string,
        {},
        lambda text: LANGUAGES["brackets"].accepts(text),
        [
            (lambda text: text.count("(") == text.count(")"), "closes what was never opened"),
            (lambda text: text != "" and balanced(text), "first balances"),
            (lambda text: LANGUAGES["brackets"].accepts_prefix(text), "a legal beginning"),
            (lambda text: text == "" or LANGUAGES["brackets"].accepts(text), "the empty text"),
            (lambda text: text == "()", "'(())' is a string of the language, and yours refuses"),
            (lambda text: bool(DEPTH_2.fullmatch(text)), r"'((()))' is a string"),
            (lambda text: None, "forget `return`"),
            (raises, "RuntimeError: oh no"),
        ],
    ),
    (
        check.masked_mean,
        {},
        lambda nats, y: np.float32(nats[y != -100].mean()),
        [
            (lambda nats, y: nats.mean(), "the padding is counted"),
            (lambda nats, y: np.where(y == -100, 0, nats).mean(), "still counted"),
            (
                lambda nats, y: np.mean(
                    [n[t != -100].mean() for n, t in zip(nats, y, strict=True)]
                ),
                "rows' means",
            ),
            (lambda nats, y: nats[y != -100].sum(), "that is the sum"),
            (lambda nats, y: nats[y > 0].mean(), "an id like any other"),
            (lambda nats, y: nats.max(), "add up the losses"),
            (lambda nats, y: None, "forget `return`"),
        ],
    ),
    (
        check.repeat_floor,
        {},
        repeat_floor,
        [
            (lambda stop, words: repeat_floor(stop, words, shown=1.0), "does not show in 'ss'"),
            (lambda stop, words: repeat_floor(stop, words, shown=stop), "does not show in 'ss'"),
            (lambda stop, words: repeat_floor(stop, words) * (4 / stop - 1) / 7, "mean length"),
            (lambda stop, words: repeat_floor(stop, 1), "which word it is"),
            (lambda stop, words: repeat_floor(stop, words, symbols=2), "`.end` is a symbol"),
            (lambda stop, words: repeat_floor(stop, words) * (3 + 4 * (1 - stop) / stop), "divide"),
            (lambda stop, words: repeat_floor(stop, words) / math.log(2), "in bits"),
            (lambda stop, words: repeat_floor(stop, words, decisions=1), "decisions in the mean"),
            (lambda stop, words: 0.2, "over the mean length"),
            (lambda stop, words: None, "forget `return`"),
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


def test_a_hint_does_not_name_the_cause(capsys):
    for patient, cause in KEY.items():
        for given in set(check.CAUSES) - {cause}:
            check.diagnosis(KEY | {patient: given})
            said = verdict(capsys)
            assert said.startswith(f"not yet: {patient} is not {given!r}: ")
            assert cause not in said


def test_every_public_check_is_tested():
    tested = {exercise.__name__ for exercise, *_ in EXERCISES}
    assert set(check.__all__) == tested | {
        "CAUSES",
        "band",
        "bands",
        "enough_text",
        "fact",
        "has_room",
    }
