"""Checks of the exercises of chapter 05."""

import math
from collections.abc import Callable

import numpy as np

from lstmlib.course.check.exercises import Slip, array, call_answer, entries, grade, index


def norm_clipped(answer: Callable | None) -> None:
    """Check a function (list of arrays, limit) -> new arrays, clipped by their global norm."""

    def reference(gradients: list[np.ndarray], limit: float) -> list[np.ndarray]:
        norm = math.sqrt(sum((g**2).sum() for g in gradients))
        return [g * (limit / norm if norm > limit else 1.0) for g in gradients]

    def find_slip() -> str | None:
        long = [np.array([12.0, 0.5]), np.array([[3.0, -4.0, 1.0], [0.0, 2.0, 0.5]])]
        short = [np.array([0.03, 0.04]), np.array([[0.1, 0.2]])]
        norm, reach = math.sqrt(sum((g**2).sum() for g in long)), max(np.abs(g).max() for g in long)

        def answers(gradients: list[np.ndarray], limit: float) -> list:
            given = [g.copy() for g in gradients]
            with np.errstate(divide="ignore", invalid="ignore"):  # a norm of 0
                try:
                    got = call_answer(answer, given, limit)
                except ValueError as error:
                    if any(said in str(error) for said in _SHAPE_ERRORS):
                        raise Slip(
                            "the arrays have different shapes, so NumPy cannot join or add them: "
                            "flatten each first, or add up the sums of their squares."
                        ) from None
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

        def equal(got: list, wanted: list) -> bool:
            return all(np.allclose(a, b) for a, b in zip(got, wanted, strict=True))

        got = answers(long, 2.0)
        if equal(got, [np.clip(g, -2, 2) for g in long]):
            return "that cuts every entry by itself; scale all entries by one factor."
        if equal(got, [g * min(1, 2 / np.linalg.norm(g)) for g in long]):
            return "you clip each array by its own norm; the norm is that of all arrays together."
        if any(equal(got, [g * min(1, 2 / np.linalg.norm(part)) for g in long]) for part in long):
            return "that is the norm of one array alone; the joint norm takes all of them."
        if equal(got, [g * norm / 2 for g in long]):
            return "the factor is upside down: multiply by limit / norm."
        if equal(got, long):
            return "a gradient that is longer than the limit must be clipped; yours stays as it is."
        if equal(got, [g * 2 / norm**2 for g in long]):
            return "you forgot the square root in the norm."
        if equal(got, [g * 2 / sum(np.abs(g).sum() for g in long) for g in long]):
            return "that is the L1 norm, the sum of absolute values; the L2 norm takes squares."
        if equal(got, [g * 2 / sum(map(np.linalg.norm, long)) for g in long]):
            return "the joint norm is not the sum of the norms: add up squares, then take the root."
        if equal(got, [g * 2 / reach for g in long]):
            return "that is the largest entry; the norm is the length of the whole arrow."
        if equal(got, [g / norm for g in long]) and equal(answers(long, 0.5), got):
            return "you scale to length 1; the length should be `limit`."
        if not equal(got, reference(long, 2.0)):
            return "all entries are multiplied by limit / norm when the norm is above the limit."
        if not equal(answers(long, 0.5), reference(long, 0.5)):
            return "use `limit`, which is not always 2."
        if not equal(answers(short, 2.0), short):
            return "a gradient that is shorter than the limit must stay as it is."
        if not equal(answers(short, 0.1), reference(short, 0.1)):
            return "a gradient with a norm below 1 is clipped, too, where it is above `limit`."
        rng = np.random.default_rng(0)
        many = [rng.normal(size=shape) for shape in ((3,), (2, 2, 2), (1, 4), (5,))]
        for count in (1, 2, 3, 4):
            arrays = many[:count]
            which = f"a list of {count}, here of the shapes {[a.shape for a in arrays]}"
            try:
                if not equal(answers(arrays, 0.7), reference(arrays, 0.7)):
                    return f"all arrays of a list count, however many they are; wrong for {which}."
            except (ValueError, TypeError, IndexError) as error:
                return f"it must hold for every list of arrays; yours stops at {which}: {error}."
        zeros = [np.zeros_like(g) for g in short]
        divides = "where all entries are 0, so is the norm: do not divide by it there."
        try:
            got = answers(zeros, 2.0)
        except ZeroDivisionError:
            return divides
        return None if equal(got, zeros) else divides

    grade(answer, find_slip)


_SHAPE_ERRORS = ("inhomogeneous", "dimensions", "same shape", "broadcast", "match")
"""Parts of what NumPy says where arrays of several shapes are joined, stacked or added."""


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
            return "it stops at the second validation in a row without a new best, not after it."
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
        if answers([3, 1, 2, 1.5, 1.4], 2) != (3, 1):
            return "[3, 1, 2, 1.5]: 1.5 is below 2, but no new best; the best is still index 1."
        if answers([2, 1.9999, 2.1, 1.9998], 2) != (3, 3):
            return "a loss that is lower by however little is a new best: 1.9999 after 2 is one."
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
        if answers([4e30, 3e30, 3.5e30, 3.6e30, 2e30], 2) != (3, 1):
            return (
                "the first loss is the first best, however large it is: begin with it, or with "
                "math.inf, and not with a number that you take for large."
            )
        if answers([3, 1, 2, 0], 1) != (2, 1) or answers([3, 1, 2, 2, 2, 0], 3) != (4, 1):
            return "use `patience`, which is not always 2."
        for patience in (4, 6, 9):
            if answers([3, 1, *[2] * patience, 0], patience) != (patience + 1, 1):
                return f"use `patience` as it is given; yours is wrong at {patience}."
        for losses in ([2.5], [2.5, 1.5], [1.5, 2.5]):
            try:
                got = answers(losses, 1)
            except IndexError:
                got = None
            if got != (len(losses) - 1, losses.index(min(losses))):
                return f"a run may be short: of {losses} the last index is {len(losses) - 1}."
        rng = np.random.default_rng(0)
        for _ in range(500):
            losses = rng.choice([1.0, 1.5, 2.0, 2.5], size=rng.integers(1, 9)).tolist()
            patience = int(rng.integers(1, 4))
            end, best = _stop(losses, patience)
            if answers(losses, patience) != (end, best):
                return (
                    f"{losses} and patience {patience}: the run ends at index {end}, and what "
                    f"comes after it is not looked at. Its best is index {best}."
                )
        return None

    grade(answer, find_slip)
