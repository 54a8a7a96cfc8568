"""What a grade cell calls: a check, and then data that no notebook shows.

No program: the hidden line of a grade cell that assignment.py writes calls `graded`. A check tries
the same inputs each time, so an answer that has learnt them by heart is right there. Here inputs
are drawn with a seed that stands in hidden lines alone, and the answer is compared with the first
right answer of tests/support/answers. That folder and this file are in no students' edition.
"""

import contextlib
import copy
import importlib
import io
import math
import sys
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np

from lstmlib.course import check
from lstmlib.course.check.exercises import NotYet, grading

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT / "tests/support") not in sys.path:
    sys.path.append(str(ROOT / "tests/support"))  # the folder of the answers

DRAWS = 12
"""So many inputs are drawn for each answer."""
Rng = np.random.Generator


def graded(exercise: str, seed: int, answer: object, *others: object, **named: object) -> None:
    """Grade an answer by its check, and then on data that are drawn with a seed.

    Args:
        exercise: chapter and check, such as "ch02.chunk".
        seed: of the data.
        answer, others, named: what the check is called with.

    Raises:
        NotAttempted: it is a stub.
        NotYet: it is wrong; the message is the check's line, or says on which data it is wrong.
    """
    name = exercise.partition(".")[2]
    # The cell has called the check once before, and shows what that printed.
    with grading(), contextlib.redirect_stdout(io.StringIO()):
        getattr(check, name)(answer, *others, **named)
    if name in DRAWN:
        _compare(exercise, seed, answer)


def _compare(exercise: str, seed: int, answer: Callable) -> None:
    """Raise NotYet if an answer and the reference differ on data that are drawn."""
    chapter, _, name = exercise.partition(".")
    within = CALLED_BY.get(name, lambda function: function)
    reference, answer = within(_reference(chapter, name)), within(answer)
    view, off = SEEN_AS.get(name, _plain), OFF.get(name, 1e-7)
    rng = np.random.default_rng([seed, zlib.crc32(exercise.encode())])
    for _ in range(DRAWS):
        task = DRAWN[name](rng)
        given = copy.deepcopy(task)
        with np.errstate(all="ignore"):
            wanted = view(reference(*copy.deepcopy(task)))
            try:
                got = view(answer(*given))
            except Exception as error:
                said = f"your code stopped with {type(error).__name__}: {error}"
                raise _not_yet(task, said) from None
        if not alike(got, wanted, off):
            raise _not_yet(task, "your answer is wrong there.")
        if not alike(given, task):
            raise _not_yet(task, "your function changed what it was given.")


def _not_yet(task: tuple, said: str) -> NotYet:
    shown = ", ".join(" ".join(repr(part).split()) for part in task)
    shown = shown if len(shown) <= 300 else f"{shown[:300]} …"
    return NotYet(f"not yet: right for all that the notebook tries, but not for ({shown}): {said}")


@cache
def _reference(chapter: str, name: str) -> Callable:
    return importlib.import_module(f"answers.{chapter}").EXERCISES[name].right[0]


def alike(a: object, b: object, off: float = 1e-7) -> bool:
    """Say whether two results are the same, however they are kept: lists, arrays, tensors.

    Numbers may be `off` apart, and a hundred-thousandth of their size: answers may use 32 bits.
    """
    if isinstance(a, str) or isinstance(b, str) or a is None or b is None:
        return type(a) is type(b) and a == b
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return set(a) == set(b) and all(alike(a[key], b[key], off) for key in a)
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(alike(*pair, off) for pair in zip(a, b, strict=True))
    try:
        return _close(a, b, off)
    except (TypeError, ValueError):
        return a == b


def _close(a: object, b: object, off: float) -> bool:
    first, second = (np.asarray(_plain(x), dtype=float) for x in (a, b))
    return first.shape == second.shape and np.allclose(
        first, second, rtol=1e-5, atol=off, equal_nan=True
    )


def _plain(result: object) -> object:
    return result.detach().numpy() if hasattr(result, "detach") else result


# The data of each exercise: a generator -> what an answer is called with


def _mixed(rng: Rng, signs: str, most: int) -> str:
    return "".join(rng.choice(list(signs), rng.integers(1, most)))


def _whole(rng: Rng, *ranges: tuple[int, int]) -> tuple[int, ...]:
    """Return a whole number from each range, its upper end left out."""
    return tuple(int(rng.integers(*limits)) for limits in ranges)


def _probabilities(rng: Rng) -> np.ndarray:
    return rng.dirichlet(np.full(rng.integers(3, 40), 0.5))


def _window_count(rng: Rng) -> tuple:
    length, more, step = _whole(rng, (1, 60), (1, 400), (1, 25))
    return length + more, length, step


def _stream_place(rng: Rng) -> tuple:
    rows, batches, seq_len = _whole(rng, (1, 20), (1, 30), (1, 70))
    return (*_whole(rng, (0, rows), (0, batches), (0, seq_len)), batches, seq_len)


def _windows_apart(rng: Rng) -> tuple:
    length, more, step = _whole(rng, (1, 30), (60, 300), (1, 9))
    return length + more, length, step, *_whole(rng, (length + 10, more))


def _add_one(rng: Rng) -> tuple:
    context, size = _whole(rng, (1, 900), (2, 120))
    return (*_whole(rng, (0, context + 1)), context, size)


def _chunk(rng: Rng) -> tuple:
    start, length = _whole(rng, (0, 50), (1, 40))
    return rng.integers(90, size=start + length + 1 + rng.integers(30)), start, length


def _step_back(rng: Rng) -> tuple:
    N, H = _whole(rng, (1, 6), (2, 8))
    dh_loss, dh_next, h = rng.normal(size=(3, N, H))
    return dh_loss, dh_next, np.tanh(h), rng.normal(size=(H, H))


def _leaky_step(rng: Rng) -> tuple:
    dh, _, g, Wh = _step_back(rng)
    return dh, g, Wh, rng.uniform(0.05, 0.95)


def _adagrad(rng: Rng) -> tuple:
    shape = _whole(rng, (1, 6), (2, 6))
    return *rng.normal(size=(2, *shape)), rng.uniform(0.1, 4, shape), rng.uniform(0.01, 1)


def _gates(rng: Rng) -> dict[str, np.ndarray]:
    """Return arrays (N, H): gates, candidate and states of a step of the LSTM."""
    shape = _whole(rng, (1, 6), (2, 6))
    parts = dict(zip("ifo", rng.uniform(0.05, 0.95, (3, *shape)), strict=True))
    parts |= {"g": rng.uniform(-0.95, 0.95, shape), "c_old": rng.normal(size=shape)}
    parts["c"] = parts["f"] * parts["c_old"] + parts["i"] * parts["g"]
    return parts | dict(zip(("dh", "dc"), rng.normal(size=(2, *shape)), strict=True))


def _coupled_gate(rng: Rng) -> tuple:
    parts = _gates(rng)
    return tuple(parts[name] for name in ("dc", "i", "g", "c_old"))


def _without_tanh(rng: Rng) -> tuple:
    parts = _gates(rng)
    cache = tuple(parts[name] for name in ("i", "f", "g", "o", "c_old", "c"))
    return (parts["dh"], parts["dc"]), cache


def _onnx(rng: Rng) -> tuple:
    D, H = _whole(rng, (2, 7), (2, 7))
    return rng.normal(size=(4 * H, D)), rng.normal(size=(4 * H, H)), rng.normal(size=8 * H)


def _tensorflow(rng: Rng) -> tuple:
    D, H = _whole(rng, (1, 20), (1, 20))
    return rng.normal(size=(D + H, 4 * H)), rng.normal(size=4 * H), D


def _table_gradient(rng: Rng) -> tuple:
    T, V, M = _whole(rng, (1, 60), (1, 12), (1, 7))
    return rng.normal(size=(T, M)), rng.integers(V, size=T), V


def _gradients(rng: Rng) -> tuple:
    shapes = [rng.integers(1, 5, rng.integers(0, 4)) for _ in range(rng.integers(1, 6))]
    return [np.array(rng.normal(size=shape)) for shape in shapes], rng.uniform(0.2, 6)


def _warm_cosine(rng: Rng) -> tuple:
    (steps,) = _whole(rng, (2, 200))
    return *_whole(rng, (1, steps + 1)), steps, *_whole(rng, (1, steps)), rng.uniform(0.001, 9)


def _validations(rng: Rng) -> tuple:
    """Draw losses that mostly fall; some are equal, and some runs are of whole numbers."""
    size, unit = rng.integers(1, 40), rng.choice([1, 0.25])
    levels = rng.integers(-4, 9, size) - np.arange(size) * rng.integers(0, 3) // 2
    return (levels * unit).tolist(), *_whole(rng, (1, 9))


def _jacobian(rng: Rng) -> tuple:
    H = rng.integers(2, 9)
    return rng.normal(size=(H, H)), rng.uniform(-0.95, 0.95, H)


def _norms(rng: Rng) -> tuple:
    return (
        rng.uniform(0.1, 9, rng.integers(1, 30)).tolist(),
        rng.uniform(0.5, 4),
        *_whole(rng, (1, 12)),
    )


def _sampler(rng: Rng) -> tuple:
    V = int(rng.integers(3, 40))
    return rng.normal(size=V), rng.uniform(0.2, 3), *_whole(rng, (1, V + 1))


def _shares(sampler: Callable) -> Callable:
    """Return what says how often a sampler draws each id, (V,), in whatever order."""

    def shares(logits: np.ndarray, tau: float, k: int) -> np.ndarray:
        ids = [sampler(logits, tau, k, u) for u in np.arange(0.5, 250) / 250]
        return np.bincount(ids, minlength=len(logits)) / 250

    return shares


def _seeded(interval: Callable) -> Callable:
    """Return an interval by many draws: how it uses them is its own affair."""
    return lambda losses: np.array(interval(losses, 3000, np.random.default_rng(0)), dtype=float)


def _brackets(rng: Rng) -> tuple[str]:
    """Return brackets that balance, in most draws with one of them changed."""
    text = "(" * 5
    while height := text.count("(") - text.count(")"):
        text += "(" if height < 9 and len(text) < 40 and rng.random() < 0.5 else ")"
    at = int(rng.integers(len(text)))
    broken = [text[:at] + text[at + 1 :], text + text, text[:at] + "(" + text[at:]]
    return (text if rng.random() < 0.4 else broken[rng.integers(3)],)


def _masked(rng: Rng) -> tuple:
    shape = _whole(rng, (1, 6), (2, 12))
    y = rng.integers(0, 9, shape)
    y[rng.random(shape) < 0.3] = -100
    y[0, 0] = 3
    return rng.uniform(0.1, 6, shape), y


def _depth_and_length(rng: Rng) -> tuple:
    depth = int(rng.integers(1, 30))
    return depth, 2 * depth + int(rng.integers(-3, 40))


def _string_seen(text: str) -> tuple:
    """Return what of a string of brackets was asked for: its length, its depth, if it is whole."""
    heights = np.cumsum([1 if sign == "(" else -1 for sign in text]).tolist()
    whole = bool(heights) and heights[-1] == 0 and min(heights[:-1]) > 0
    return len(text), max(heights, default=0), whole


def _preferences(rng: Rng) -> tuple:
    scores = rng.normal(0, 2, rng.integers(2, 9))
    return scores - scores.mean(), *_whole(rng, (0, scores.size), (0, scores.size))


def _permutations(rng: Rng) -> tuple:
    shuffled = rng.integers(20, 80, rng.integers(5, 200)) / 100
    return int(rng.integers(40, 80)) / 100, shuffled


def _matches(rng: Rng) -> tuple:
    N = int(rng.integers(3, 80))
    matches = np.minimum(rng.integers(0, 12, N), np.arange(N, 0, -1))
    return matches, *_whole(rng, (1, min(N, 12) + 1))


def _loss_of_a_table(rng: Rng) -> tuple:
    unit, per = str(rng.choice(["nats", "bits"])), str(rng.choice(["character", "sequence"]))
    return rng.uniform(0.5, 90), unit, per, *_whole(rng, (2, 300))


def _history(rng: Rng) -> tuple[list]:
    """Return rows of a history, some of them without a validation loss."""
    steps = np.cumsum(rng.integers(1, 90, rng.integers(2, 20))).tolist()
    losses = rng.uniform(1, 4, (2, len(steps))).tolist()
    valid = [None if n % 3 == 1 else math.nan if n % 7 == 5 else x for n, x in enumerate(losses[1])]
    rows = zip(steps, losses[0], valid, strict=True)
    return (
        [
            {"step": s, "characters": 500 * s, "seconds": s**1.1, "loss": x, "valid_loss": v}
            for s, x, v in rows
        ],
    )


def _cased(rng: Rng) -> tuple:
    tokens = rng.permutation(list("aAbBzZQ.É é7\n"))[: rng.integers(2, 12)].tolist()
    return rng.dirichlet(np.ones(len(tokens))), tokens


def _power_law(rng: Rng) -> tuple:
    characters = np.sort(rng.uniform(1e3, 1e7, rng.integers(3, 20)))
    noise = np.exp(rng.normal(0, 0.02, characters.size))
    return characters, 9 * characters ** -rng.uniform(0.05, 0.3) * noise


def _labels(rng: Rng) -> np.ndarray:
    """Return labels, (N,) bool, true somewhere and false somewhere."""
    label = rng.random(rng.integers(4, 60)) < 0.3
    label[:2] = True, False
    return label


def _predictions(rng: Rng) -> tuple:
    label = _labels(rng)
    return rng.random(label.size) < 0.5, label


def _unit(rng: Rng) -> tuple:
    label = _labels(rng)
    return rng.integers(0, 9, label.size) / 4 + label, label  # with ties


def _split(rng: Rng) -> tuple:
    return *_whole(rng, (60, 900)), rng.uniform(0.2, 0.7), *_whole(rng, (0, 15))


def _pasts(rng: Rng) -> tuple:
    ids, P = rng.integers(0, 90, 300), int(rng.integers(1, 6))
    return ids, *rng.integers(40, 300, (2, P)), *_whole(rng, (1, 20), (1, 20))


def _excess(rng: Rng) -> tuple:
    curve = 2 * 0.7 ** np.arange(rng.integers(3, 30))
    return curve + rng.normal(0, 0.03, curve.size), rng.uniform(0.02, 0.3)


def _a_step(rng: Rng) -> tuple:
    sizes = _whole(rng, (8, 600), (20, 120), (1, 128), (4, 200))
    return *sizes, rng.uniform(0.01, 2), rng.uniform(1e9, 1e13)


def _seeds(rng: Rng) -> tuple:
    """Return losses of two recipes, whose ranges overlap in some draws."""
    a, b = (rng.uniform(1.4, 1.5, rng.integers(1, 5)) for _ in range(2))
    return a.round(3).tolist(), (b + rng.choice([-0.12, 0, 0.12])).round(3).tolist()


_V_H = ((2, 300), (2, 300))
DRAWN: dict[str, Callable[[Rng], tuple]] = {
    "pairs": lambda rng: (rng.integers(90, size=rng.integers(2, 60)),),
    "network_parameters": lambda rng: _whole(rng, *_V_H),
    "loss_of_probabilities": lambda rng: (rng.uniform(0.001, 1, rng.integers(1, 4000)),),
    "straight_quotes": lambda rng: (_mixed(rng, "abZ ‘’“”„é'\"\n\t½—", 80),),
    "one_line": lambda rng: (_mixed(rng, "abZ ‘’“” \n\t\r\f\u00a0é½—'", 80),),
    "window_count": _window_count,
    "stream_place": _stream_place,
    "windows_apart": _windows_apart,
    "add_one_probability": _add_one,
    "chunk": _chunk,
    "forward_passes": lambda rng: _whole(rng, *_V_H),
    "step_back": _step_back,
    "adagrad_changes": lambda rng: (rng.normal(size=_whole(rng, (2, 9), (2, 6))), rng.random()),
    "steps_until": lambda rng: (rng.uniform(0.3, 0.99), rng.uniform(0.001, 0.9)),
    "leaky_step_back": _leaky_step,
    "lstm_parameters": lambda rng: _whole(rng, *_V_H, (1, 6)),
    "from_onnx": _onnx,
    "adagrad_step": _adagrad,
    "coupled_gate": _coupled_gate,
    "backward_without_tanh": _without_tanh,
    "gru_units": lambda rng: _whole(rng, (1, 1000), (1, 300)),
    "table_gradient": _table_gradient,
    "from_tensorflow": _tensorflow,
    "bias_for": lambda rng: (*_whole(rng, (1, 300)), rng.uniform(0.05, 0.95)),
    "norm_clipped": _gradients,
    "warm_cosine": _warm_cosine,
    "early_stop": _validations,
    "reach": lambda rng: (*_whole(rng, (1, 200), (0, 100)), rng.uniform(0.001, 9)),
    "step_jacobian": _jacobian,
    "as_a_mean": lambda rng: (
        *rng.uniform(0.001, 9, 2).tolist(),
        *_whole(rng, (2, 300)),
        str(rng.choice(["sgd", "adam"])),
    ),
    "adaptive_limit": _norms,
    "tempered": lambda rng: (_probabilities(rng), rng.uniform(0.1, 4)),
    "drawn": lambda rng: (_probabilities(rng), rng.random()),
    "nucleus": lambda rng: (_probabilities(rng), rng.uniform(0.1, 0.98)),
    "min_p": lambda rng: (_probabilities(rng), rng.uniform(0.02, 0.9)),
    "mended_sampler": _sampler,
    "bracket_string": _brackets,
    "masked_mean": _masked,
    "repeat_floor": lambda rng: (rng.uniform(0.05, 0.9), *_whole(rng, (1, 40))),
    "mean_length": lambda rng: (rng.uniform(0, 0.9),),
    "string_of": _depth_and_length,
    "order_needed": lambda rng: _whole(rng, (8, 13)),
    "share_preferred": _preferences,
    "permutation_p": _permutations,
    "novelty_at": _matches,
    "mended_interval": lambda rng: (rng.normal(size=(25, 1)) + rng.normal(0, 0.3, (25, 9)),),
    "parameters": lambda rng: _whole(rng, (2, 90), (2, 90), (1, 5)),
    "mended_table": _loss_of_a_table,
    "seconds_per_million": _history,
    "best_step": _history,
    "without_case": _cased,
    "samples_needed": lambda rng: (rng.uniform(0.005, 0.9), rng.uniform(0.1, 0.99)),
    "loss_slope": _power_law,
    "half_life": lambda rng: (rng.uniform(0.05, 0.99, _whole(rng, (1, 5), (1, 9))),),
    "balanced_accuracy": _predictions,
    "auc": _unit,
    "mended_split": _split,
    "foreign_past": _pasts,
    "reach_of": _excess,
    "utilisation": _a_step,
    "balance": lambda rng: (rng.uniform(1e9, 1e14), rng.uniform(1e9, 1e13)),
    "parallel_gain": lambda rng: (*rng.uniform(0.1, 9, 2).tolist(), *_whole(rng, (1, 20))),
    "told_apart": _seeds,
}
"""Exercise -> what draws the arguments of an answer."""

SEEN_AS: dict[str, Callable] = {"string_of": _string_seen}
"""Exercise with many right results -> what of a result is compared."""

CALLED_BY: dict[str, Callable] = {"mended_interval": _seeded, "mended_sampler": _shares}
"""Exercise whose answers draw -> what calls one often enough to compare."""

OFF = {"bias_for": 5e-3, "mended_interval": 0.05, "mended_sampler": 9e-3}
"""Exercise -> how far two right answers may lie apart."""
