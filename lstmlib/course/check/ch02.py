"""Checks of the exercises of chapter 02."""

import math
from collections.abc import Callable

import numpy as np

from lstmlib.course.check.exercises import Slip, call_answer, called, grade, number


def _as_array(answer: object, said: str) -> np.ndarray:
    """Return an answer as an array.

    Raises:
        Slip: its rows are not of one length; the message is `said`.
    """
    try:
        return np.asarray(answer)
    except ValueError:
        raise Slip(said) from None


def chunk(answer: Callable | None) -> None:
    """Check a function (ids, start, length) -> (x, y): a piece of a text, and its targets."""

    def find_slip() -> str | None:
        # 59 stands there twice: who looks a character up finds the wrong one.
        ids = np.array([31, 41, 59, 26, 53, 58, 97, 93, 23, 84, 62, 64, 33, 83, 27, 59, 2, 88])
        for start, length in ((3, 3), (1, 4), (0, 3), (4, 3), (5, 1), (13, 4)):
            given = ids.copy()
            try:
                got = call_answer(answer, given, start, length)
            except IndexError:
                return (
                    "your function looks for a place that is not in the text. `ids` holds "
                    "characters, not places: shift the slice, not what stands in it."
                )
            if not np.array_equal(given, ids):
                return "your function changed the text; slices alone are enough."
            stacked = isinstance(got, np.ndarray) and got.ndim > 1
            if not (stacked or isinstance(got, tuple | list)) or len(got) != 2:
                return "return two arrays: the inputs, and the targets."
            if all(np.ndim(part) == 2 for part in got):
                return "both have the shape (length,), without the axis of the streams."
            if any(np.ndim(part) != 1 for part in got):
                return "the targets are `length` ids, one for each input, and not a single id."
            if any(np.asarray(part).dtype.kind == "f" for part in got):
                return "ids are whole numbers; yours are floats, which can pick no row."
            x, y = (np.asarray(part).tolist() for part in got)
            slip = _slip_of_chunk(x, y, ids, start, length)
            if slip:
                return slip
        return None

    grade(answer, find_slip)


def _slip_of_chunk(x: list, y: list, ids: np.ndarray, start: int, length: int) -> str | None:
    right = [ids[start + k : start + k + length].tolist() for k in (0, 1)]
    if [x, y] == right:
        return None
    if y == ids[start + length : start + 2 * length].tolist() and length > 1:
        return "those targets are the next chunk; each must be the character after its input."
    if len(x) != length or len(y) != length:
        return f"both must have `length` characters; yours have {len(x)} and {len(y)}."
    if x == y:
        return "the targets are not shifted: the network would learn to copy what it reads."
    if x != right[0]:
        return "the inputs must be the `length` characters from `start` on."
    if y == [i + 1 for i in x]:
        return "you added 1 to the ids, which gives other characters; add 1 to the places."
    if start > 0 and y == ids[start - 1 : start - 1 + length].tolist():
        return "the targets are shifted the wrong way; each must be the one that follows."
    return "target i must be the character that follows input i."


def forward_passes(answer: Callable | None) -> None:
    """Check a function (V, H) -> forward passes of central differences over all weights."""

    def find_slip() -> str | None:
        for V, H in ((80, 100), (5, 3), (2, 7), (3, 1)):
            got = number(call_answer(answer, V, H))
            weights = 2 * V * H + H * H + H + V
            slips = {
                weights: "a central difference takes two passes: up, and down.",
                2 * weights + 1: "a central difference does not need the loss at the place itself.",
                3 * weights: "a central difference takes two passes for each entry, up and down. "
                "It does not need the loss at the place itself.",
                weights + 1: "that is for differences to one side; a central one takes two passes "
                "for each entry.",
                2 * (weights - H - V): "the two biases are weights, too.",
                2 * (weights - H): "b, the bias of the hidden state, has H entries.",
                2 * (weights - V): "by, the bias of the output, has V entries.",
                2 * (weights - V * H): "both Wx and Wy have V · H entries.",
                2 * (weights - H * H): "Wh, from the old state to the new, has H · H entries.",
                2
                * (
                    weights + H
                ): "that is H entries too many: the first state is no weight, and the "
                "hidden state has one bias.",
            }
            if got != 2 * weights:
                said = slips.get(got, "count the entries of Wx, Wh, b, Wy and by; each is moved.")
                return f"{said} For V = {V} and H = {H} it is another number than {got:g}."
        return None

    grade(answer, find_slip)


_BUGS = {
    "old slope": "it spoils what comes from dz: Wx, Wh, b and h0, and neither Wy nor by.",
    "mean over streams": "it halves the gradient of b, and touches nothing else.",
    "row overwritten": "it loses what earlier steps put into a row of dWx, and touches nothing "
    "else.",
    "not divided": "it makes every gradient N·T = 6 times too large: 5/7 everywhere.",
    "target added": "with p + one-hot the gradient has another direction: it spoils all arrays, "
    "and not by one factor.",
    "Wh.T forgotten": "the loop was left one product too early, which only h0 sees.",
}
"""The bugs to choose from, and what each does to a table of errors."""


def bug_table(answer: dict | None) -> None:
    """Check which bug each row of a table of gradient errors comes from: "A", … -> a name."""
    reference = dict(
        zip(
            "ABCDE",
            ("mean over streams", "row overwritten", "not divided", "old slope", "Wh.T forgotten"),
            strict=True,
        )
    )
    empty = isinstance(answer, dict) and all(name is ... for name in answer.values())

    def find_slip() -> str | None:
        if not isinstance(answer, dict) or set(answer) != set(reference):
            return f"give a dict with a bug for each of {', '.join(reference)}."
        for row, bug in answer.items():
            if bug is ...:
                return f"{row} has no answer yet."
            if bug not in list(_BUGS):
                return f"{row}: {bug!r} is no bug here; choose one of {', '.join(_BUGS)}."
        for row, bug in reference.items():
            given = answer[row]
            if given != bug:
                return f"{row} is not {given!r}: {_BUGS[given]}"
        return None

    grade(... if empty else answer, find_slip)


def revealing_batch(answer: object) -> None:
    """Check ids (2, 3) of 4 characters, on which `dWx[ids[:, t]] += dz` is seen to be wrong."""

    def find_slip() -> str | None:
        ids = _as_array(answer, "the two streams must be of the same length, 3 steps each.")
        if ids.shape != (2, 3):
            return f"a batch of 2 streams and 3 steps is asked for, and yours is {ids.shape}."
        if ids.dtype.kind in "fb" and (ids == np.round(ids.astype(float))).all():
            return f"ids pick rows, so the array must be of an integer type; yours is {ids.dtype}."
        if ids.dtype.kind not in "iu" or not ((ids >= 0) & (ids < 4)).all():
            return "the ids of 4 characters are the whole numbers 0, 1, 2 and 3."
        if (ids[0] == ids[1]).any():
            return None
        if any(len(set(row)) < 3 for row in ids.tolist()):
            return (
                "one stream reads the same character at two steps. The loop adds these one after "
                "the other, and loses nothing. What is added in one go?"
            )
        return "each `+=` of the loop writes two different rows here, so nothing is lost."

    grade(answer, find_slip)


def adagrad_changes(answer: Callable | None) -> None:
    """Check a function (gradients (K, n), rate) -> the changes of n weights in K steps, (K, n)."""

    def find_slip() -> str | None:
        rng = np.random.default_rng(0)
        cases = [(10 * rng.normal(size=(5, 3)), 0.1), (rng.normal(size=(1, 4)), 2.0)]
        cases += [(np.full((9, 1), -3.0), 0.6), (np.array([[0.0, 1.0], [2.0, 0.0]]), 0.1)]
        cases += [(np.array([[1], [1], [-2]]), 0.1)]  # whole numbers, as one types them
        cases += [(1e-4 * rng.normal(size=(4, 3)), 0.1)]  # so small that ε counts inside the root
        for gradients, rate in cases:
            given = gradients.copy()
            with np.errstate(all="ignore"):
                got = call_answer(answer, given, rate)
                got = _as_array(got, "each step has a change for every weight: rows of one length.")
                slip = _slip_of_adagrad(got, gradients, rate)
            if not np.array_equal(given, gradients):
                return "your function changed the gradients; return a new array."
            if slip:
                return slip
        return None

    grade(answer, find_slip)


def _slip_of_adagrad(got: np.ndarray, g: np.ndarray, rate: float) -> str | None:
    if got.shape != g.shape:
        return f"a change for each step and weight is asked for, {g.shape}; yours is {got.shape}."
    s = np.cumsum(g**2, axis=0)
    if np.isnan(got[s > 0]).any():
        return "s sums the squares; a sum of the gradients can fall below 0, and has no root then."
    right = -rate * g / (np.sqrt(s) + 1e-10)
    if np.allclose(got, right, atol=1e-8):
        return None
    without = -rate * g[s > 0] / np.sqrt(s[s > 0])  # with no ε at all
    if _constant(np.abs(got[s > 0] - without)):
        return "ε is added to the whole quotient; below the line √s + ε needs brackets."
    if np.isnan(got).any():
        return "a weight without any gradient yet gives 0/0; add the tiny ε below the line."
    if got.dtype.kind in "iu":
        return "changes are no whole numbers: `np.zeros_like` of whole numbers holds nothing else."
    if not got.any():
        return "no weight changes. `before = w` is the same array as w; `w.copy()` is another."
    if len(got) > 1 and (got == got[0]).all():
        return "all rows are equal; if you append the same array at each step, append a copy."
    cut, shared = np.clip(g, -5, 5), np.cumsum((g**2).sum(axis=1))[:, None]
    slips = [
        (-right, "that goes uphill: a step goes against the gradient."),
        (-rate * g, "that is plain SGD; AdaGrad divides by the root of s."),
        (-rate * np.sign(g), "s keeps the squares of all earlier steps; yours forgets them."),
        (-rate * g / (s + 1e-10), "divide by the root of s, not by s."),
        (
            -rate * cut / (np.sqrt(np.cumsum(cut**2, axis=0)) + 1e-10),
            "you clip the gradients; take them as they are.",
        ),
        (
            -rate * g / (np.sqrt(shared) + 1e-10),
            "each weight has its own s; yours has one s for all weights.",
        ),
        (
            -rate * g / (np.sqrt(np.cumsum(g**2)).reshape(g.shape) + 1e-10),
            "each weight has its own s: sum over the steps alone, with axis=0.",
        ),
        (right / rate, "the learning rate is missing."),
        (0.1 * right / rate, "the learning rate is an argument; yours is 0.1 in every call."),
        (-np.abs(right), "above the line stands g with its sign, not its absolute value."),
        (
            -rate * g / (np.sqrt(s / np.arange(1, len(g) + 1)[:, None]) + 1e-10),
            "s is the sum of the squares so far, and not their mean.",
        ),
        (-rate * g / np.sqrt(s + 1e-10), "ε is added to the root, not under it: √s + ε."),
        (
            -rate * g / (np.sqrt((g**2).sum(axis=0)) + 1e-10),
            "that divides by the sum over all steps; at step k only the first k are known.",
        ),
        (
            -rate * g / (np.sqrt(np.cumsum(g**2, axis=1)) + 1e-10),
            "each weight has its own s: sum over the steps, axis 0, not over the weights.",
        ),
        (
            -rate * g / (np.sqrt(s - g**2) + 1e-10),
            "the step's own square is added first: s ← s + g², and then w changes.",
        ),
        (np.cumsum(right, axis=0), "those are the weights' places; the single changes are asked."),
        (
            -rate * g / (np.abs(np.cumsum(g, axis=0)) + 1e-10),
            "s sums the squares; gradients of both signs would cancel.",
        ),
    ]
    for value, said in slips:
        if np.allclose(got, value, atol=1e-8):
            return said
    added = (-rate * g / got - np.sqrt(s))[g != 0]
    if _constant(added):
        return f"ε is 1e-10, and yours is about {added[0]:.0e}."
    under = ((rate * g / got) ** 2 - s)[g != 0]
    if _constant(under):
        return f"ε is added to the root, not under it: √s + ε, with 1e-10. Yours is {under[0]:.0e}."
    if np.allclose(got, -rate * g / (np.sqrt(s + g[0] ** 2) + 1e-10), atol=1e-8):
        return "s begins at 0; yours begins at the first square, which is then added twice."
    if np.allclose(under, under[0], rtol=1e-3) and under[0] > 0:
        return f"s begins at 0, and yours at about {under[0]:.3g}."
    if any(np.allclose(got, -rate * g / (np.sqrt(f) + 1e-10), atol=1e-8) for f in _faded(g)):
        return "s ← s + g² keeps all squares whole; yours lets the older ones fade."
    return "add the step's square to s, then the change is -rate · g / (√s + 1e-10)."


def _constant(values: np.ndarray) -> bool:
    """Say whether an ε stands out: all values are one, above 0 and below 0.001."""
    first = values.flat[0]
    return bool(0 < first < 1e-3 and np.allclose(values, first, rtol=1e-3, atol=0))


def _faded(g: np.ndarray) -> list[np.ndarray]:
    """Return the averages (K, n) that forget: s ← kept · s + share · g², with usual numbers."""
    averages = []
    for kept in (0.5, 0.9, 0.95, 0.99, 0.999):
        for share in (1 - kept, 1.0):
            s = [np.zeros(g.shape[1])]
            for row in g:
                s.append(kept * s[-1] + share * row**2)
            averages.append(np.stack(s[1:]))
    return averages


def steps_until(answer: Callable | None) -> None:
    """Check a function (factor, share) -> the smallest whole k for which factor**k < share.

    factor lies between 0 and 1, and share, too; the products are those of floats.
    """

    def find_slip() -> str | None:
        tasks = ((0.75, 0.001, 25), (0.93, 0.001, 96), (0.9, 0.5, 7), (0.1, 0.5, 1))
        tasks += ((0.5, 0.125, 4), (0.9, 0.81, 3), (0.99, 0.001, 688), (0.999, 0.001, 6905))
        tasks += ((0.9999, 1e-6, 138149),)  # a loop has no round number at which it may end
        # Powers that are exact in binary, so that every processor and library has the same; the
        # square of 0.1, which is a little more than 0.01 there; shares a little above the factor.
        tasks += ((0.625, 0.625**3, 4), (0.625, 0.625**5, 6), (0.375, 0.375**5, 6), (0.1, 0.01, 3))
        tasks += ((0.5, 0.501, 1), (0.9, 0.90005, 1))
        for factor, share, k in tasks:
            task = f"{factor:g}ᵏ < {share!r}"
            got = called(answer, factor, share)
            if got is None and any(called(answer, *other[:2]) is not None for other in tasks):
                return f"{task}: your function returns nothing here; does its loop end too early?"
            got = number(call_answer(answer, factor, share) if got is None else got)
            slip = None if got == k else _slip_of_steps(got, k, factor, share)
            if slip:
                return f"{task}: {slip}"
        return None

    grade(answer, find_slip)


def _slip_of_steps(got: float, k: int, factor: float, share: float) -> str:
    steps = "1 step" if got == 1 else f"{got:g} steps"
    if got != int(got):
        return f"k counts steps, so it is a whole number, and not {got:.4g}."
    if got < 0:
        return f"{steps} would be a walk back; mind the signs of logarithms."
    left = factor**got
    if got < k and left == share:
        by_logarithms = got == math.floor(math.log(share) / math.log(factor)) + 1
        more = " A quotient of logarithms is rounded; test factor**k itself."
        return f"after {steps} exactly {share:g} is left, and not less.{more * by_logarithms}"
    if got < k:
        return f"after {steps} {left:.4g} is left, which is not below yet."
    return f"it holds before {steps} already; find the smallest k."
