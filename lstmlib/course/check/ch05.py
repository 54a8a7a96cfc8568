"""Checks of the exercises of chapter 05."""

import math
from collections.abc import Callable

import numpy as np

from lstmlib.course.check.exercises import Slip, call_answer, grade


def norm_clipped(answer: Callable | None) -> None:
    """Check a function (list of arrays, limit) -> new arrays, clipped by their global norm."""

    def reference(gradients: list[np.ndarray], limit: float) -> list[np.ndarray]:
        norm = math.sqrt(sum((g**2).sum() for g in gradients))
        return [g * min(1.0, limit / norm) for g in gradients]

    def find_slip() -> str | None:
        long = [np.array([[3.0, -4.0], [0.0, 2.0]]), np.array([12.0, 0.5])]
        short = [np.array([0.03, 0.04]), np.array([[0.1]])]

        def answers(gradients: list[np.ndarray], limit: float) -> list:
            given = [g.copy() for g in gradients]
            got = list(call_answer(answer, given, limit))
            if any(not np.array_equal(a, b) for a, b in zip(given, gradients, strict=True)):
                raise Slip("your function changed the gradients it was given; return new arrays.")
            if len(got) != len(gradients):
                raise Slip("return as many arrays as you were given.")
            return got

        def equal(got: list, wanted: list) -> bool:
            pairs = zip(got, wanted, strict=True)
            return all(np.shape(a) == b.shape and np.allclose(a, b) for a, b in pairs)

        got, norm = answers(long, 2.0), math.sqrt(sum((g**2).sum() for g in long))
        if equal(got, [np.clip(g, -2, 2) for g in long]):
            return "that cuts every entry by itself; scale all entries by one factor."
        if equal(got, [g * min(1, 2 / np.linalg.norm(g)) for g in long]):
            return "you clip each array by its own norm; the norm is that of all arrays together."
        if equal(got, [g * 2 / norm**2 for g in long]):
            return "you forgot the square root in the norm."
        if equal(got, [g / norm for g in long]):
            return "you scale to length 1; the length should be `limit`."
        if not equal(got, reference(long, 2.0)):
            return "all entries are multiplied by limit / norm when the norm is above the limit."
        if not equal(answers(long, 0.5), reference(long, 0.5)):
            return "use `limit`, which is not always 2."
        if not equal(answers(short, 2.0), short):
            return "a gradient that is shorter than the limit must stay as it is."
        return None

    grade(answer, find_slip)


def warm_cosine(answer: Callable | None) -> None:
    """Check a function (step, steps, warmup, peak) -> learning rate, linear, then half a cosine."""

    def reference(step: int, steps: int, warmup: int, peak: float) -> float:
        if step <= warmup:
            return peak * step / warmup
        done = (step - warmup) / (steps - warmup)
        return peak * 0.5 * (1 + math.cos(math.pi * done))

    def find_slip() -> str | None:
        steps, warmup, peak = 100, 20, 0.004
        got = {k: float(call_answer(answer, k, steps, warmup, peak)) for k in range(1, steps + 1)}

        def off(k: int) -> bool:
            return not math.isclose(got[k], reference(k, steps, warmup, peak), abs_tol=1e-9)

        if math.isclose(got[1], 0.0, abs_tol=1e-12):
            return "steps count from 1, and the first one should move: its rate is peak / warmup."
        if off(10):
            return "during the warm-up the rate rises on a straight line, peak · step / warmup."
        if off(20):
            return "at the last step of the warm-up the rate is the peak."
        if math.isclose(got[60], peak * 0.5 * (1 + math.cos(math.pi * 0.6)), rel_tol=1e-9):
            return "the cosine begins where the warm-up ends: count its steps from there."
        if math.isclose(got[60], peak * math.cos(math.pi * 0.5), abs_tol=1e-9):
            return "cos falls from 1 to -1; (1 + cos) / 2 falls from 1 to 0."
        if math.isclose(got[60], peak / 2, rel_tol=1e-9) and off(40):
            return "that is a straight line down; half a cosine falls slowly, fast, and slowly."
        if off(100):
            return "at the last step the rate is 0."
        if any(off(k) for k in got):
            return "the cosine is peak · (1 + cos(π · share)) / 2, share going from 0 to 1."
        other = (30, 3, 1.5)
        if any(
            not math.isclose(call_answer(answer, k, *other), reference(k, *other), abs_tol=1e-9)
            for k in range(1, 31)
        ):
            return "use steps, warmup and peak as they are given; they are not always the same."
        return None

    grade(answer, find_slip)


def early_stop(answer: Callable | None) -> None:
    """Check a function (validation losses, patience) -> (index it stops at, index of the best).

    Counted from 0; the last index if it never stops.
    """

    def reference(losses: list[float], patience: int) -> tuple[int, int]:
        best = 0
        for k, loss in enumerate(losses):
            if loss < losses[best]:
                best = k
            elif k - best >= patience:
                return k, best
        return len(losses) - 1, best

    def find_slip() -> str | None:
        def answers(losses: list[float], patience: int) -> tuple:
            got = call_answer(answer, list(losses), patience)
            if np.ndim(got) != 1 or len(got) != 2:
                raise Slip("return two numbers: where it stops, and where the best loss was.")
            return int(got[0]), int(got[1])

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
        if answers([3, 1, 2, 1.5, 1.4], 2) != (3, 1):
            return "[3, 1, 2, 1.5]: 1.5 is below 2, but no new best; the best is still index 1."
        if answers([3, 2, 2, 2, 1], 2) != (3, 1):
            return "an equal loss is no new best."
        if answers([3, 1, 2], 5) != (2, 1):
            return "[3, 1, 2] and patience 5: it runs to the end, and the best is still index 1."
        if answers([3, 1, 2, 0], 1) != (2, 1) or answers([3, 1, 2, 2, 2, 0], 3) != (4, 1):
            return "use `patience`, which is not always 2."
        return None

    grade(answer, find_slip)
