"""Checks of the exercises of chapter 07."""

from collections.abc import Callable

import numpy as np

from lstmlib.course.check.exercises import call_answer, grade


def tempered(answer: Callable | None) -> None:
    """Check a function (p (V,), τ) -> f_τ(p), right also where τ is small."""

    def reference(p: np.ndarray, temperature: float) -> np.ndarray:
        scaled = np.log(p) / temperature
        raised = np.exp(scaled - scaled.max())
        return raised / raised.sum()

    def find_slip() -> str | None:
        p = np.array([0.5, 0.1, 0.15, 0.25])

        def gives(temperature: float, expected: np.ndarray | list[float]) -> bool:
            with np.errstate(all="ignore"):
                got = np.asarray(call_answer(answer, p.copy(), temperature), dtype=float)
            return got.shape == p.shape and np.allclose(got, expected, rtol=1e-6, atol=1e-12)

        if all(gives(tau, reference(p, tau)) for tau in (0.5, 1.0, 2.0)):
            if gives(1e-4, [1, 0, 0, 0]):
                return None
            return (
                "right, but not at a temperature of 0.0001, where every p^(1/τ) is rounded to 0: "
                "divide ln p by τ, subtract the largest, and only then take the exponential."
            )
        if gives(0.5, p**2):
            return "the powers must be divided by their sum, to be probabilities again."
        if gives(0.5, p**0.5 / (p**0.5).sum()) or gives(0.5, p**0.5):
            return "the exponent is 1/τ, not τ: a temperature of 0.5 squares."
        if gives(0.5, np.exp(2 * p) / np.exp(2 * p).sum()):
            return "that is the softmax of p/τ; p is no logit. Its logarithm is one."
        return "raise every probability to the power 1/τ, and divide by the sum."

    grade(answer, find_slip)


def nucleus(answer: Callable | None) -> None:
    """Check a function (p (V,), share) -> p with all but the nucleus ruled out (top-p)."""

    def reference(p: np.ndarray, share: float) -> np.ndarray:
        order = np.argsort(-p)
        before = p[order].cumsum() - p[order]
        kept = np.zeros_like(p)
        kept[order[before < share]] = p[order[before < share]]
        return kept / kept.sum()

    def find_slip() -> str | None:
        p = np.array([0.1, 0.45, 0.05, 0.3, 0.1])

        def gives(share: float, expected: np.ndarray | list[float]) -> bool:
            with np.errstate(all="ignore"):
                got = np.asarray(call_answer(answer, p.copy(), share), dtype=float)
            return got.shape == p.shape and np.allclose(got, expected)

        if all(gives(share, reference(p, share)) for share in (0.3, 0.6, 0.9, 1.0)):
            return None
        if gives(0.6, [0, 0.45, 0, 0.3, 0]):
            return "what is left must be divided by its sum, to be probabilities again."
        if gives(0.6, [0, 1, 0, 0, 0]):
            return "the character with which the sum reaches the share belongs to the nucleus."
        if gives(0.6, reference(p, 0.6)) and not gives(0.3, [0, 1, 0, 0, 0]):
            return "with a share of 0.3 the most probable one has more than that, and must stay."
        if gives(0.6, [0.1 / 0.6, 0.45 / 0.6, 0.05 / 0.6, 0, 0]) or gives(
            0.6, [0.1 / 0.9, 0.45 / 0.9, 0.05 / 0.9, 0.3 / 0.9, 0]
        ):
            return "add up from the most probable character, not from the first: sort."
        return "sort, add up, keep all that come before the sum reaches the share, and normalise."

    grade(answer, find_slip)


def drawn(answer: Callable | None) -> None:
    """Check a function (p (V,), u) -> id: down from the most probable until the sum passes u."""

    def reference(p: np.ndarray, u: float) -> int:
        order = np.argsort(-p)
        return int(order[np.searchsorted(p[order].cumsum(), u, side="right")])

    def find_slip() -> str | None:
        p, numbers = np.array([0.2, 0.1, 0.4, 0.3]), (0.0, 0.39, 0.41, 0.69, 0.71, 0.95)
        got = [call_answer(answer, p.copy(), u) for u in numbers]
        if any(np.ndim(i) or int(i) != i for i in got):
            return "return one id, a whole number."
        if got == [reference(p, u) for u in numbers]:
            return None
        if len(set(got)) == 1:
            return "that is always the same id; which one is drawn depends on u."
        if got == [np.searchsorted(p.cumsum(), u, side="right") for u in numbers]:
            return "that adds up from id 0; begin with the most probable one."
        if got == [np.searchsorted(np.sort(p)[::-1].cumsum(), u, side="right") for u in numbers]:
            return "that is the place in the sorted order, not the id that stands there."
        if got == [np.argsort(p)[np.searchsorted(np.sort(p).cumsum(), u)] for u in numbers]:
            return "that begins with the least probable one."
        return "sort from the most probable down, add up, and take the first whose sum is above u."

    grade(answer, find_slip)
