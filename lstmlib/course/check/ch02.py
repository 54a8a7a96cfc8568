"""Checks of the exercises of chapter 02."""

import math
import re
from collections.abc import Callable

import numpy as np

from lstmlib.course.check.exercises import call_answer, called, drawn, grade, number


def chunk(answer: Callable | None) -> None:
    """Check a function (ids, start, length) -> (x, y): a piece of a text, and its targets."""

    def find_slip() -> str | None:
        # 59 stands there twice: who looks a character up finds the wrong one.
        text = [31, 41, 59, 26, 53, 58, 97, 93, 23, 84, 62, 64, 33, 83, 27, 59, 2, 88]
        fixed = [(text, *at) for at in ((3, 3), (1, 4), (0, 3), (4, 3), (5, 1), (13, 4))]
        for n, (text, start, length) in enumerate(fixed + drawn(1, 16, _a_piece)):
            ids = np.array(text)
            slip = _slip_of_chunk(answer, ids, start, length)
            shown = text if len(text) < 20 else f"{len(text)} ids"
            case = f"for the text {shown}, start = {start} and length = {length}: "
            if slip:
                return f"{case * (n >= len(fixed))}{slip}"
        return None

    grade(answer, find_slip)


def _a_piece(rng: np.random.Generator) -> tuple:
    """Draw a text and a piece of it: few characters, or more than a byte can hold."""
    V, longest = rng.choice([2, 3, 90, 2000]), rng.choice([7, 7, 7, 300])
    start, length = int(rng.integers(longest)), int(rng.integers(1, longest))
    size = start + length + 1 + rng.choice([0, 0, 1, 4])  # the text may end with the last target
    return rng.integers(V, size=size).tolist(), start, length


def _slip_of_chunk(answer: Callable, ids: np.ndarray, start: int, length: int) -> str | None:
    given = ids.copy()
    try:
        got = call_answer(answer, given, start, length)
    except IndexError as error:
        of_text = f"is out of bounds for axis 0 with size {len(ids)}"
        place = re.search(rf"index (\d+) {of_text}", str(error))
        if place and int(place[1]) == start + length + 1:
            return "your function looks for a place behind the last target, where the text ends."
        if place:
            return (
                "your function looks for a place that is not in the text. `ids` holds "
                "characters, not places: shift the slice, not what stands in it."
            )
        raise  # such as too many axes
    if not np.array_equal(given, ids):
        return "your function changed the text; slices alone are enough."
    stacked = isinstance(got, np.ndarray) and got.ndim > 1
    if not (stacked or isinstance(got, tuple | list)) or len(got) != 2:
        return "return two arrays: the inputs, and the targets."
    axes = [np.ndim(part) for part in got]
    if 0 in axes:
        return "the targets are `length` ids, one for each input: an array, and not a single id."
    if axes != [1, 1]:
        shapes = " and ".join(str(np.shape(part)) for part in got)
        return f"both have the shape (length,), without another axis; yours are {shapes}."
    parts = [np.asarray(part) for part in got]
    for part in parts:
        if part.size and part.dtype.kind not in "iu":
            return f"ids are whole numbers; yours are of the type {part.dtype}, which picks no row."
    x, y = (part.tolist() for part in parts)
    return _slip_of_targets(x, y, ids, start, length)


def _slip_of_targets(x: list, y: list, ids: np.ndarray, start: int, length: int) -> str | None:
    inputs, targets = (ids[start + k : start + k + length].tolist() for k in (0, 1))
    if [x, y] == [inputs, targets]:
        return None
    if len(x) != length or len(y) != length:
        return f"both must have `length` characters, {length}; yours have {len(x)} and {len(y)}."
    if x != inputs:
        return "the inputs must be the `length` characters from `start` on."
    slips = [
        (
            ids[start + length : start + 2 * length].tolist(),
            "those targets are the next chunk; each must be the character after its input.",
        ),
        (x, "the targets are not shifted: the network would learn to copy what it reads."),
        (
            [i + 1 for i in x],
            "you added 1 to the ids, which gives other characters; add 1 to the places.",
        ),
        (
            ids[start - 1 : start - 1 + length].tolist() if start else [],
            "the targets are shifted the wrong way; each must be the one that follows.",
        ),
    ]
    # Of a short text, or one of few characters, several may be true: then none is told.
    said = [said for value, said in slips if value == y]
    return said[0] if len(said) == 1 else "target i must be the character that follows input i."


def forward_passes(answer: Callable | None) -> None:
    """Check a function (V, H) -> forward passes of central differences over all weights."""

    def find_slip() -> str | None:
        for V, H in [(80, 100), (5, 3), (2, 7), (3, 1), *drawn(2, 24, _a_network)]:
            got = number(call_answer(answer, V, H))
            slip = _slip_of_passes(got, V, H)
            if slip:
                return f"{slip} For V = {V} and H = {H} it is another number than {got:.12g}."
        return None

    grade(answer, find_slip)


def _a_network(rng: np.random.Generator) -> tuple[int, int]:
    """Draw V and H, small or large, in some draws as many of both."""
    V, H = (int(max(1, 10.0**power)) for power in rng.uniform(-0.5, 3.3, 2))
    return (V, H) if rng.random() < 0.7 else (V, V)


def _slip_of_passes(got: float, V: int, H: int) -> str | None:
    weights = 2 * V * H + H * H + H + V
    if got == 2 * weights:
        return None
    slips = [
        (weights, "a central difference takes two passes: up, and down."),
        (2 * weights + 1, "a central difference does not need the loss at the place itself."),
        (
            3 * weights,
            "a central difference takes two passes for each entry, up and down. "
            "It does not need the loss at the place itself.",
        ),
        (
            weights + 1,
            "that is for differences to one side; a central one takes two passes for each entry.",
        ),
        (4 * weights, "that is twice as many: two passes for each entry, up and down, are all."),
        (2 * (weights - H - V), "the two biases are weights, too."),
        (2 * (weights - H), "b, the bias of the hidden state, has H entries."),
        (2 * (weights - V), "by, the bias of the output, has V entries."),
        (2 * (weights - V * H), "both Wx and Wy have V · H entries."),
        (2 * (weights - H * H), "Wh, from the old state to the new, has H · H entries."),
        (
            2 * (weights + H),
            "that is H entries too many: the first state is no weight, and the hidden state has "
            "one bias.",
        ),
    ]
    said = [said for value, said in slips if value == got]
    return (
        said[0] if len(said) == 1 else "count the entries of Wx, Wh, b, Wy and by; each is moved."
    )


_BUGS = {
    "old slope": "it spoils what comes from dz: Wx, Wh, b and h0, and neither Wy nor by.",
    "mean over streams": "it halves the gradient of b, and touches nothing else.",
    "row overwritten": "it loses what the loop put into a row of dWx before, and touches nothing "
    "else.",
    "not divided": "it makes every gradient N·T = 6 times too large: 5/7 everywhere.",
    "target added": "with p + one-hot the gradient has another direction: it spoils all arrays, "
    "and not by one factor.",
    "Wh.T forgotten": "the loop was left one product too early, which only h0 sees.",
}
"""The bugs to choose from, and what each does to a table of errors."""


def _bare(name: str) -> str:
    """Return a name as it counts: capitals, spaces and underscores make no difference."""
    return " ".join(name.lower().replace("_", " ").split())


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
        named, chosen = {_bare(name): name for name in _BUGS}, {}
        for row, bug in answer.items():
            if bug is ...:
                return f"{row} has no answer yet."
            if not isinstance(bug, str) or _bare(bug) not in named:
                return f"{row}: {bug!r} is no bug here; choose one of {', '.join(_BUGS)}."
            chosen[row] = named[_bare(bug)]
        for row, bug in reference.items():
            given = chosen[row]
            if given != bug:
                return f"{row} is not {given!r}: {_BUGS[given]}"
        return None

    grade(... if empty else answer, find_slip)


def revealing_batch(answer: object) -> None:
    """Check ids (2, 3) of 4 characters, on which `dWx[ids[:, t]] += dz` is seen to be wrong."""

    def find_slip() -> str | None:
        try:
            ids = np.asarray(answer)
        except ValueError:
            return "the two streams must be of the same length, 3 steps each."
        if ids.dtype == object or (ids.dtype.kind in "US" and not ids.shape):
            return "ids of 2 streams and 3 steps are asked for, such as [[0, 1, 2], [3, 2, 1]]."
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


def steps_until(answer: Callable | None) -> None:
    """Check a function (factor, share) -> the smallest whole k for which factor**k < share.

    factor lies between 0 and 1, and share, too; the products are those of floats. k is below
    150 000: where a loop could go on for ever, an answer may stop it there.
    """

    def find_slip() -> str | None:
        # Few tasks, of which each tells something: an answer may count a whole array of powers.
        tasks = [(0.75, 0.001, 25), (0.93, 0.001, 96), (0.1, 0.5, 1), (0.5, 1e-300, 997)]
        # A loop has no round number at which it may end.
        tasks += [(0.9999, 1e-6, 138149), (0.9999, 3.1e-7, 149860)]
        # Shares that are a power, exactly so in binary, and shares a little above the factor.
        tasks += [(0.5, 0.125, 4), (0.625, 0.625**5, 6), (0.3, 0.3, 2)]
        tasks += [(0.5, 0.501, 1), (0.5, 0.5 + 2**-50, 1)]
        # The next share above a power, which is exact: logarithms are rounded to the power there.
        powers = ((0.375, 9), (0.375, 11), (0.375, 13), (0.75, 13))
        tasks += [(factor, math.nextafter(factor**k, 1), k) for factor, k in powers]
        tasks += drawn(3, 5, _a_share)
        for factor, share, k in tasks:
            task = f"{factor!r}ᵏ < {share!r}"
            got = called(answer, factor, share)
            if got is None and any(called(answer, *other[:2]) is not None for other in tasks):
                return f"{task}: your function returns nothing here; does its loop end too early?"
            got = number(call_answer(answer, factor, share) if got is None else got)
            slip = None if got == k else _slip_of_steps(got, k, factor, share)
            if slip:
                return f"{task}: {slip}"
        return None

    grade(answer, find_slip)


def _a_share(rng: np.random.Generator) -> tuple[float, float, int]:
    """Draw a factor, k, and a share between the powers k - 1 and k, in most draws close to one."""
    factor, k = float(rng.integers(5, 98)) / 100, int(rng.integers(1, 40))
    off = 0.5 * 10.0 ** -rng.uniform(0, 6)
    return factor, float(factor ** (k - rng.choice([off, 1 - off]))), k


def _slip_of_steps(got: float, k: int, factor: float, share: float) -> str:
    steps = "1 step" if got == 1 else f"{got:g} steps"
    if got != int(got):
        return f"k counts steps, so it is a whole number, and not {got:.4g}."
    if got < 0:
        return f"{steps} would be a walk back; mind the signs of logarithms."
    left = factor**got
    if got < k and left == share:
        by_logarithms = got == math.floor(math.log(share) / math.log(factor)) + 1
        more = " Logarithms are rounded; test factor**k itself."
        return f"after {steps} exactly {share!r} is left, and not less.{more * by_logarithms}"
    if got < k:
        # As many digits as it takes to see it.
        shown = next(
            (t for t in (f"{left:.{n}g}" for n in range(4, 17)) if float(t) >= share), left
        )
        return f"after {steps} {shown} is left, which is not below yet."
    return f"it holds before {steps} already; find the smallest k."
