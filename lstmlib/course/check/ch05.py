"""Checks of the exercises of chapter 05."""

import itertools
import math
from collections.abc import Callable

import numpy as np

from lstmlib.course.check.exercises import (
    Slip,
    array,
    call_answer,
    drawn,
    entries,
    grade,
    index,
    rounded,
)


def norm_clipped(answer: Callable | None) -> None:
    """Check a function (list of arrays, limit) -> new arrays, clipped by their global norm."""

    def answers(gradients: list[np.ndarray], limit: float) -> list:
        given = [g.copy(order="K") for g in gradients]
        with np.errstate(all="ignore"):  # a norm of 0
            try:
                got = call_answer(answer, given, limit)
            except ValueError as error:
                for parts, slip in _SHAPE_ERRORS.items():
                    if any(said in str(error) for said in parts):
                        raise Slip(slip) from None
                raise
        untouched = len(given) == len(gradients) and all(map(np.array_equal, given, gradients))
        if not untouched:
            raise Slip("your function changed the gradients it was given; return new arrays.")
        if isinstance(got, tuple) and got and isinstance(got[0], list | tuple):
            raise Slip("return the list of arrays alone, without the norm.")
        got = entries(got, "a list of arrays is asked for")
        if len(got) != len(gradients):
            raise Slip("return as many arrays as you were given.")
        got = [array(g, "a list of arrays is asked for") for g in got]
        if [g.shape for g in got] != [g.shape for g in gradients]:
            raise Slip("every new array has the shape of the one that it was made from.")
        if any(np.shares_memory(a, b) for a in got for b in given):
            raise Slip("return new arrays (copies), also where nothing is to be clipped.")
        return got

    def find_slip() -> str | None:
        for n, (gradients, limit, said) in enumerate(_clip_cases() + drawn(0, 60, _gradients)):
            which = f"a list of {len(gradients)}, here of the shapes {[g.shape for g in gradients]}"
            stops = f"it must hold for every list of arrays; yours stops at {which}"
            try:
                got = answers(gradients, limit)
            except ZeroDivisionError:
                return said or f"{stops}: it divides by 0."
            except (ValueError, TypeError, IndexError) as error:
                if n == 0:
                    raise
                return f"{stops}: {type(error).__name__}: {error}."
            if not _equal(got, [g * _factor(gradients, limit) for g in gradients]):
                known = _slip_of_clipping(got, gradients, limit)
                if known and n:
                    known += f" Seen for {which}, and the limit {limit:.4g}."
                return known or said or _wrong_factor(got, gradients, limit, which)
        # Who adds 1e-6 to the norm, as PyTorch does, is right: here a little more is cut off.
        for limit, least in ((1e-3, 0.999), (1e-7, 0.0)):
            got = answers([np.array([3.0, -4.0]) * limit], limit)
            norm = math.hypot(*_norms(got))
            if not least * limit <= norm <= (1 + 1e-6) * limit:
                return (
                    f"a gradient with the norm {5 * limit:g} has, clipped at the limit {limit:g}, "
                    f"that norm; yours has {norm:.4g}. Compare with `limit` itself, with nothing "
                    "added to it."
                )
        return None

    grade(answer, find_slip)


_SHAPE_ERRORS = {
    ("core dimension", "not aligned"): "`@` and np.dot multiply matrices; the norm takes the "
    "squares of all entries, `(g**2).sum()`.",
    ("inhomogeneous", "input array", "same shape", "broadcast"): "the arrays have different "
    "shapes, so NumPy cannot join or add them: flatten each first, or add up the sums of their "
    "squares.",
}
"""Parts of what NumPy says where arrays of several shapes are joined or multiplied -> the slip."""


def _norms(gradients: list[np.ndarray]) -> list[float]:
    return [math.sqrt((g.astype(float) ** 2).sum()) for g in gradients]


def _factor(gradients: list[np.ndarray], limit: float) -> float:
    return limit / max(limit, math.hypot(*_norms(gradients)))


def _equal(got: list, wanted: list) -> bool:
    """Say whether arrays are equal to five digits, however small their entries are."""
    return all(np.allclose(a, b, rtol=1e-5, atol=0) for a, b in zip(got, wanted, strict=True))


def _clip_cases() -> list[tuple[list[np.ndarray], float, str]]:
    """Return gradients, a limit, and what is said if nothing more is known; "" if that is long."""
    long = [np.array([12.0, 0.5]), np.array([[3.0, -4.0, 1.0], [0.0, 2.0, 0.5]])]
    short = [np.array([0.03, 0.04]), np.array([[0.1, 0.2]])]
    zeros = [np.zeros_like(g) for g in short]
    rng = np.random.default_rng(0)
    many = [rng.normal(size=shape) for shape in ((3,), (2, 2, 2), (1, 4), (5,))]
    return [
        (long, 2.5, ""),
        (long, 0.5, ""),
        (short, 2.0, "a gradient that is shorter than the limit must stay as it is."),
        (short, 0.1, ""),
        *((many[:count], 0.7, "") for count in (1, 2, 3, 4)),
        (many[:1] * 2, 0.7, ""),
        (zeros, 2.0, "where all entries are 0, so is the norm: do not divide by it there."),
        ([np.array([3.0, -4.0])], 5.0, ""),
    ]


def _gradients(rng: np.random.Generator) -> tuple[list[np.ndarray], float, str]:
    """Draw arrays of up to three axes, of several sizes and layouts, and a limit."""
    gradients = [rng.normal(size=rng.integers(1, 9))]
    for _ in range(rng.integers(0, 9)):
        g = rng.normal(size=rng.integers(1, 6, rng.integers(0, 4))) * 10 ** rng.uniform(-2, 2)
        gradients.append(g * rng.choice([0, 1, 1, 1]))  # some are all 0
    # Some add 1e-6 to the norm, as PyTorch does: that is little beside the larger of the two.
    norm, kind = 10 ** rng.uniform(0, 4), rng.choice([np.float32, np.float64])
    limit = norm * rng.choice([10 ** rng.uniform(-4, -0.1), 0.99, 1.01, 2, 50])
    if limit > norm:
        norm *= rng.choice([1, 10 ** rng.uniform(-9, 0)])
    scale = norm / math.hypot(*_norms(gradients))
    order = rng.permutation(len(gradients))
    return [np.asarray(gradients[n] * scale, dtype=kind).T for n in order], float(limit), ""


def _slip_of_clipping(got: list, gradients: list[np.ndarray], limit: float) -> str | None:
    """Return what is wrong with arrays that are not clipped rightly, if it is a known slip."""
    norms = _norms(gradients)
    joint = math.hypot(*norms)
    spectral = [np.linalg.norm(g, 2) if g.ndim == 2 else np.linalg.norm(g) for g in gradients]
    own = [limit / max(limit, norm) for norm in norms]
    factors = [
        (own, "you clip each array by its own norm; the norm is that of all arrays together."),
        (joint / limit, "the factor is upside down: multiply by limit / norm."),
        (1 / (joint or 1), "you scale to length 1; the length should be `limit`."),
        (2.5 / (joint or 1), "use `limit`, which is not always 2.5."),
        (
            limit / max(1, joint),
            "a gradient with a norm below 1 is clipped, too, where it is above `limit`.",
        ),
        (
            limit / (joint or 1),
            "a gradient that is shorter than the limit must stay as it is.",
        ),
    ]
    taken_for_norm = [
        (joint**2, "you forgot the square root in the norm."),
        (
            sum(np.abs(g).sum() for g in gradients),
            "that is the L1 norm, the sum of absolute values; the L2 norm takes squares.",
        ),
        (
            sum(norms),
            "the joint norm is not the sum of the norms: add up squares, then take the root.",
        ),
        (
            max(np.abs(g).max() for g in gradients),
            "that is the largest entry; the norm is the length of the whole arrow.",
        ),
        (
            math.hypot(*spectral),
            "np.linalg.norm(g, 2) of a matrix is its spectral norm; the root of all squares is "
            "np.linalg.norm(g).",
        ),
    ]
    for count in range(1, len(norms)):
        some = "one array" if count == 1 else "some of the arrays"
        slip = f"that is the norm of {some} alone; the joint norm takes all of them."
        taken_for_norm += [(math.hypot(*p), slip) for p in itertools.combinations(norms, count)]
    factors += [(limit / max(limit, norm), slip) for norm, slip in taken_for_norm]
    if _equal(got, gradients):
        return "a gradient that is longer than the limit must be clipped; yours stays as it is."
    if _equal(got, [np.clip(g, -limit, limit) for g in gradients]):
        return "that cuts every entry by itself; scale all entries by one factor."
    for factor, slip in factors:
        each = np.broadcast_to(factor, len(gradients))
        if _equal(got, [g * f for g, f in zip(gradients, each, strict=True)]):
            return slip
    one, wanted = _one_factor(got, gradients), _factor(gradients, limit)
    if rounded(one, wanted) and math.isclose(one, wanted, rel_tol=0.01):
        return "right, but rounded: take the factor with all its decimals."
    return None


def _one_factor(got: list, gradients: list[np.ndarray]) -> float:
    """Return the factor by which all entries are multiplied, or nan."""
    with np.errstate(all="ignore"):
        ratios = np.concatenate([(a / g)[g != 0] for a, g in zip(got, gradients, strict=True)])
    same = ratios.size and np.allclose(ratios, ratios[0], rtol=1e-5, atol=0)
    return float(ratios[0]) if same else math.nan


def _wrong_factor(got: list, gradients: list[np.ndarray], limit: float, which: str) -> str:
    """Say by what the arrays are multiplied, and by what they should be."""
    norm, factor = math.hypot(*_norms(gradients)), _one_factor(got, gradients)
    right = f"limit / norm = {limit / norm:.4g}" if norm > limit else "1, as it is not above that"
    yours = "not all multiplied by one factor" if math.isnan(factor) else f"by {factor:.4g}"
    return (
        f"for {which}, the joint norm is {norm:.4g} and the limit {limit:.4g}. All entries must be "
        f"multiplied by {right}; yours are {yours}."
    )


def _stop(losses: list[float], patience: int) -> tuple[int, int]:
    """Return the index at which a run ends, and that of its best loss up to there."""
    best = 0
    for k, loss in enumerate(losses):
        if loss < losses[best]:
            best = k
        if k - best == patience:
            return k, best
    return len(losses) - 1, best


def early_stop(answer: Callable | None) -> None:
    """Check a function (validation losses, patience) -> (index it stops at, index of the best).

    Counted from 0; the last index if it never stops.
    """

    def find_slip() -> str | None:
        def answers(losses: list[float], patience: int) -> tuple:
            given = list(losses)
            got = call_answer(answer, given, patience)
            if given != losses:
                raise Slip("your function changed the list it was given; leave it as it is.")
            two = "return two numbers: where it stops, and where the best loss was"
            got = entries(got, two)
            if len(got) != 2:
                raise Slip(f"{two}.")
            try:
                return index(got[0]), index(got[1])
            except Slip:
                raise Slip(
                    "both are indices, whole numbers that can pick a loss of the list (int): the "
                    f"index of the best loss, not the loss itself. Yours are {got[0]!r} and "
                    f"{got[1]!r}."
                ) from None

        answers([3.5, 2.5, 1.25], 2)  # no loss of these can be taken for an index
        if answers([3, 2, 1], 2) == (3, 3):
            return "indices count from 0: the last of three is 2."
        if answers([3, 2, 1], 2) != (2, 2):
            return "with [3, 2, 1] nothing gets worse: it runs to index 2, which is the best."
        once = answers([3, 2, 2.5, 1, 0.5], 2)
        if once == (2, 1):
            return "one validation without a new best is no reason to stop at patience 2."
        if once != (4, 4):
            return "with [3, 2, 2.5, 1, 0.5] and patience 2 a new best at index 3 starts the count."
        if answers([3, 1, 2, 2.5, 2.2], 2) == (1, 3):
            return "return where it stops first, then where the best loss was."
        if answers([3, 1, 2, 2.5, 2.2], 2) == (4, 1):
            return (
                "it stops at the second validation in a row without a new best, not after it; and "
                "the run ends there, so what comes later is not looked at."
            )
        if answers([3, 1, 2, 2.5, 2.2], 2) == (1, 1):
            return "it ends where the patience is over, which is after its best loss, not at it."
        if answers([3, 1, 2, 2.5, 0.5], 2) in ((3, 4), (4, 4)):
            return (
                "[3, 1, 2, 2.5, 0.5] and patience 2: the run ends at index 3, and never sees the "
                "0.5 after it. The best up to there is index 1, not the best of the whole run, and "
                "1 is the loss that the later ones are compared with."
            )
        if answers([3, 2, 2.5, 1, 1.5, 0.5], 2) != (5, 5):
            return (
                "[3, 2, 2.5, 1, 1.5, 0.5] and patience 2 runs to the end: a new best sets the "
                "count back to 0, since patience counts validations in a row."
            )
        if answers([3, 3.5, 2], 2) != (2, 2):
            return (
                "[3, 3.5, 2] and patience 2 runs to the end: the first loss is a new best, so it "
                "is not counted."
            )
        if answers([2, 2.5, 1, 2.8, 0.5], 2) != (4, 4):
            return (
                "[2, 2.5, 1, 2.8, 0.5] and patience 2 runs to the end: at index 3 the best, at "
                "index 2, is one validation ago. Compare with the best so far."
            )
        if (got := answers([3, 1, 2, 1.5, 1.4], 2)) == (2, 1):
            return "[3, 1, 2, 1.5, 1.4] and patience 2: the run ends at index 3, not before it."
        if got != (3, 1):
            return "[3, 1, 2, 1.5]: 1.5 is below 2, but no new best; the best is still index 1."
        if answers([2, 1.9999, 2.1, 1.9998], 2) != (3, 3):
            return "a loss that is lower by however little is a new best: 1.9999 after 2 is one."
        if answers([2, 2 - 2**-40, 2.5, 2 - 2**-39], 2) != (3, 3):
            return (
                "a loss that is lower by however little is a new best, in the twelfth decimal, "
                "too: compare with `<` alone. (Tensors of float32 do not tell such losses apart.)"
            )
        if answers([3, 2, 2, 2, 1], 2) == (1, 1):
            return (
                "[3, 2, 2, 2, 1] and patience 2: the run ends at index 3. An index that is looked "
                "up by its loss is that of the first of equal losses: keep the index itself."
            )
        if answers([3, 2, 2, 2, 1], 2) != (3, 1):
            return "an equal loss is no new best, so it counts towards the patience."
        if answers([1, 0, 2, 3], 2) != (3, 1) or answers([1, -2, -1, -1], 2) != (3, 1):
            return (
                "[1, 0, 2, 3] and [1, -2, -1, -1] with patience 2 end at index 3, and their best "
                "is index 1: a loss of 0 or below is a loss, and does not stand for none."
            )
        if answers([3, 1, 2], 5) != (2, 1):
            return "[3, 1, 2] and patience 5: it runs to the end, and the best is still index 1."
        if answers([40, 30, 35, 36, 20], 2) != (3, 1):
            return (
                "[40, 30, 35, 36, 20] and patience 2 ends at index 3, its best is index 1: the "
                "first loss is the first best, however large it is."
            )
        if answers([1.6e308, 1.2e308, 1.3e308, 1.4e308, 1e308], 2) != (3, 1):
            return (
                "the first loss is the first best, however large it is: begin with it, or with "
                "math.inf, and not with a number that you take for large."
            )
        if answers([3, 1, 2, 0], 1) != (2, 1) or answers([3, 1, 2, 2, 2, 0], 3) != (4, 1):
            return "use `patience`, which is not always 2."
        for patience in (4, 6, 9, 15, 40):
            if answers([3, 1, *[2] * patience, 0], patience) != (patience + 1, 1):
                return f"use `patience` as it is given; yours is wrong at {patience}."
        for losses in ([2.5], [2.5, 1.5], [1.5, 2.5]):
            try:
                got = answers(losses, 1)
            except IndexError:
                got = None
            if got != (len(losses) - 1, losses.index(min(losses))):
                return f"a run may be short: of {losses} the last index is {len(losses) - 1}."
        for losses, patience in sorted(
            drawn(0, 900, _validations), key=lambda case: len(str(case))
        ):
            end, best = _stop(losses, patience)
            got = answers(losses, patience)
            if got != (end, best):
                ends = f"the run ends at index {end}, and what comes after it is not looked at"
                if end - best < patience:
                    ends = f"the run is never ended, so it goes to the last index, {end}"
                return (
                    f"{losses} and patience {patience}: {ends}. Its best is index {best}. Yours "
                    f"are {got[0]} and {got[1]}."
                )
        return None

    grade(answer, find_slip)


def _validations(rng: np.random.Generator) -> tuple[list[float], int]:
    """Draw losses, of which many are equal, and a patience; in binary all of them are exact."""
    levels = rng.integers(rng.integers(1, 9), size=rng.integers(1, 9)) - rng.integers(0, 9)
    if rng.random() < 0.3:  # longer, and falling with many stops
        levels = rng.integers(-6, 6, rng.integers(9, 120))
        levels -= np.arange(len(levels)) * rng.integers(0, 4) // 2
    first, unit = rng.choice(
        [(0, 1), (0, 0.5), (2, 2**-40), (0, 2**-60), (0, 2.0**90), (-50, 0.25)]
    )
    losses = (first + unit * levels).tolist()
    patience = int(rng.integers(1, rng.choice([3, 10, 30])))
    return [int(x) for x in losses] if unit == 1 else losses, patience
