"""Checks of the exercises of chapter 07."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from lstmlib.course.check.exercises import Slip, array, call_answer, grade, index, number


def _probabilities(answer: Callable, p: np.ndarray, dial: float) -> np.ndarray:
    """Return what an answer makes of a distribution (V,), as floats.

    Raises:
        Slip: it changed the p that it was given, or what it returns is not (V,).
    """
    given = p.copy()
    with np.errstate(all="ignore"):
        got = array(call_answer(answer, given, dial)).astype(float)
    _unchanged(given, p, "p")
    if got.shape != p.shape:
        raise Slip(
            f"return as many probabilities as p has, {len(p)}, with 0 for what is ruled out; "
            f"yours has the shape {got.shape}."
        )
    return got


def _its_own(answer: Callable, p: np.ndarray, dial: float) -> None:
    """Raise Slip if an answer returns the very array that it was given."""
    if np.shares_memory(array(call_answer(answer, p, dial)), p):
        raise Slip(
            f"with {dial:g} your function hands back the caller's own array; who writes into the "
            "result writes into p. Return a copy."
        )


def _ruled_out(got: np.ndarray, wanted: np.ndarray) -> None:
    """Raise Slip if something is ruled out, and has not exactly 0."""
    left = got[(wanted == 0) & (got != 0) & (np.abs(got) < 1e-6)]
    if len(left):
        raise Slip(f"what is ruled out has 0 exactly; yours has {left[0]:.0e} there.")


def _random(size: int) -> np.ndarray:
    """Return a distribution (size,) of no special order."""
    return np.random.default_rng(0).dirichlet(np.full(size, 0.5))


def _f(p: np.ndarray, temperature: float) -> np.ndarray:
    """Return f_τ(p), (V,)."""
    with np.errstate(divide="ignore"):
        scaled = np.log(p) / temperature
    powers = np.exp(scaled - scaled.max())
    return powers / powers.sum()


def _unchanged(given: np.ndarray, before: np.ndarray, name: str) -> None:
    """Raise Slip if an answer wrote into an array that it was given."""
    if not np.array_equal(given, before):
        raise Slip(
            f"your function changes the {name} that it is given, so that who calls it has lost "
            "it; work on a copy."
        )


def _cold_slip(got: np.ndarray, p: np.ndarray, tau: float) -> str:
    """Say what is wrong with f_τ(p) of an answer, (V,), of a p whose two largest are close."""
    wanted = _f(p, tau)
    first, second = np.argsort(-p, kind="stable")[:2]
    if not np.isfinite(got).all():
        return (
            f"at a temperature of {tau:g} yours is not a number, since every p^(1/τ) is rounded to "
            "0. With logarithms, and the largest subtracted, no case needs a line of its own."
        )
    if got.max() > 0.999 or np.isclose(np.sort(got)[-2:], [0, 1], atol=1e-3).all():
        return (
            f"at a temperature of {tau:g}, two probabilities that are close or equal still share "
            "the draws; argmax is the limit at 0 alone."
        )
    if (got[wanted > 1e-12] == 0).any():
        return f"at a temperature of {tau:g} small probabilities are dropped; they must stay."
    if got[first] > got[second] > 0:
        like = math.log(p[first] / p[second]) / math.log(got[first] / got[second])
        if np.allclose(got, _f(p, like), atol=2e-3) and like > 1.2 * tau:
            return (
                f"at a temperature of {tau:g} yours does what one of {like:.2g} does: τ or the "
                "exponent is held at a limit. With the largest subtracted none is needed."
            )
    return (
        f"at a temperature of {tau:g} two that are close get {_listed(got[[first, second]])}; they "
        f"should get {_listed(wanted[[first, second]])}. Compute in 64 bits, and add nothing to p."
    )


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def tempered(answer: Callable | None) -> None:
    """Check a function (p (V,), τ) -> f_τ(p), right also where τ is small."""

    def find_slip() -> str | None:
        p = np.array([0.5, 0.1, 0.15, 0.25])

        def gives(p: np.ndarray, temperature: float, expected: np.ndarray | list[float]) -> bool:
            got = _probabilities(answer, p, temperature)
            return np.allclose(got, expected, rtol=1e-6, atol=1e-12)

        if not all(gives(p, tau, _f(p, tau)) for tau in (0.5, 1.0, 2.0)):
            got, wanted = _probabilities(answer, p, 0.5), _f(p, 0.5)
            if np.allclose(got, wanted, rtol=1e-3):
                return "nearly: that is rounded. Compute in 64 bits, and do not round."
            if np.allclose(_f(np.exp(got - got.max()), 1), wanted) and (got < 0).any():
                return "these are logarithms of probabilities: np.exp is missing at the end."
            if np.allclose(got, wanted * got.sum()):
                return "divide by their sum: the powers must be probabilities again."
            if gives(p, 0.5, p**0.5 / (p**0.5).sum()) or gives(p, 0.5, p**0.5):
                return "the exponent is 1/τ, not τ: a temperature of 0.5 squares."
            if gives(p, 0.5, _f(p, 0.5 * math.log(2))) or gives(p, 0.5, _f(p, 0.5 * math.log(10))):
                return "np.exp undoes np.log, not np.log2 or np.log10."
            if gives(p, 0.5, np.exp(2 * p) / np.exp(2 * p).sum()):
                return "that is the softmax of p/τ; p is no logit. Its logarithm is one."
            return "raise every probability to the power 1/τ, and divide by the sum."
        got = _probabilities(answer, p, 1e-4)
        if not np.isfinite(got).all() or not got.any():
            return (
                "right, but not at a temperature of 0.0001, where every p^(1/τ) is rounded to 0: "
                "divide ln p by τ, subtract the largest of the quotients (not of the ln p), and "
                "only then take the exponential."
            )
        for tau in (0.3, 0.05, 0.008, 1e-3, 1e-4, 1e-6):
            close = np.array([0.2, 1.0, math.exp(-tau), 0.1])  # the two stay as e to 1
            for near in (close / close.sum(), np.array([0.1, 0.4, 0.1, 0.4])):
                if not gives(near, tau, _f(near, tau)):
                    return _cold_slip(_probabilities(answer, near, tau), near, tau)
        others = (np.array([0.6, 0.0, 0.4]), _random(31))
        if all(gives(p, tau, _f(p, tau)) for p in others for tau in (0.01, 0.7, 30)):
            return None
        return "it must hold for every p: of any length, and with a 0 in it, which stays 0."

    grade(answer, find_slip)


def tempered_by_hand(answer: Sequence[float] | None) -> None:
    """Check three numbers: (0.5, 0.3, 0.2) at a temperature of 0.5."""

    def find_slip() -> str | None:
        parts = answer.tolist() if torch.is_tensor(answer) else answer
        if np.size(parts) != 3:
            return "three numbers are asked for, in the order of the three characters."
        got = np.array([number(part) for part in parts])
        p = np.array([0.5, 0.3, 0.2])

        def equals(expected: np.ndarray, off: float = 1e-3) -> bool:
            return np.allclose(got, expected, rtol=0, atol=off)

        if equals(_f(p, 0.5), 6e-4):
            return None
        if equals(_f(p, 0.5)):
            return (
                "nearly: each at its third digit is the number nearest to it; do not cut it off, "
                "and do not always round up."
            )
        if equals(_f(p, 0.5), 6e-3):
            return "nearly: three digits are asked for, so round each at the third."
        if equals(p**2):
            return "these are the squares; divide each by their sum, so that they sum to 1."
        if equals(_f(p, 2)) or equals(p**0.5):
            return "you took roots, which is a temperature of 2. The exponent is 1/τ."
        if equals(p / 0.5):
            return "the logarithm is divided by τ, not the probability: raise p to a power."
        if equals(_f(np.exp(p), 0.5)):
            return "that is the softmax of p/τ; p is no logit. Its logarithm is one."
        if equals(p):
            return "these are the three as they were, which is a temperature of 1."
        if np.allclose(np.sort(got)[::-1], _f(p, 0.5), rtol=0, atol=1e-3):
            return "these are the right three in another order: the most probable one stays so."
        if not math.isclose(got.sum(), 1, abs_tol=5e-3):
            return f"the three sum to {got.sum():.3g}; probabilities sum to 1."
        return "square each of the three, and divide by the sum of the squares."

    grade(answer, find_slip)


def entropy_by_hand(answer: float | None) -> None:
    """Check the entropy of (0.5, 0.25, 0.25, 0) in nats."""

    def find_slip() -> str | None:
        got = number(answer)

        def equals(value: float) -> bool:
            return math.isclose(got, value, rel_tol=2e-3)

        if equals(1.5 * math.log(2)):
            return None
        if abs(got - 1.5 * math.log(2)) < 0.045:
            return "nearly, but rounded too much: give it to two digits after the point."
        if equals(1.5):
            return "right in bits; one bit is ln 2 nats."
        if equals(-1.5 * math.log(2)) or equals(-1.5):
            return "an entropy is never negative: ln p is, and the minus in front turns it round."
        if equals(math.log(4)) or equals(math.log(3)):
            return "that is the entropy of equal probabilities, the largest there can be."
        if equals(5 * math.log(2)) or equals(5 / 3 * math.log(2)) or equals(5 / 4 * math.log(2)):
            return "each -ln p counts as often as it comes: weigh it with its p."
        if equals(2**1.5):
            return "that is e to the entropy, the perplexity; the entropy is its logarithm."
        return "add up -p ln p over the four; the one that never comes adds 0."

    grade(answer, find_slip)


def drawn(answer: Callable | None) -> None:
    """Check a function (p (V,), u) -> id: down from the most probable until the sum passes u."""

    def reference(p: np.ndarray, u: float) -> int:
        order = np.argsort(-p)
        return int(order[np.searchsorted(p[order].cumsum(), u, side="right")])

    def of(p: np.ndarray, u: float) -> int:
        given = p.copy()
        with np.errstate(all="ignore"):
            got = call_answer(answer, given, u)
        _unchanged(given, p, "p")
        if np.ndim(got):
            raise Slip("return one id, a whole number.")
        try:
            return index(got)
        except Slip:
            raise Slip(
                f"an id is a whole number that can index `vocab.tokens`; yours is of the type "
                f"{type(got).__name__}."
            ) from None

    def find_slip() -> str | None:
        p, numbers = np.array([0.2, 0.1, 0.4, 0.3]), (0.05, 0.39, 0.41, 0.69, 0.71, 0.95)
        got = [of(p, u) for u in numbers]
        if got != [reference(p, u) for u in numbers]:
            falling = np.sort(p)[::-1].cumsum()
            if len(set(got)) == 1:
                return "that is always the same id; which one is drawn depends on u."
            if got == [reference(p, 1 - u) for u in numbers]:
                return "that begins with the least probable one, as 1 - u in the place of u does."
            if got == [np.searchsorted(p.cumsum(), u, side="right") for u in numbers]:
                return "that adds up from id 0; begin with the most probable one."
            if got == [np.searchsorted(falling, u, side="right") for u in numbers]:
                return "that is the place in the sorted order, not the id that stands there."
            return "sort from the most probable down, add up, take the first whose sum is above u."
        p = np.array([0.125, 0.5, 0.375])
        if [of(p, u) for u in (0.0, 0.5, 0.875)] != [1, 2, 0]:
            return "a piece begins at its number and ends before the next: the sum must be above u."
        p = _random(40)
        if not all(of(p, u) == reference(p, u) for u in np.arange(0.5, 60) / 60):
            return "it must hold for a p of any length; yours fails for one of 40."
        return next(filter(None, map(at_the_end, (np.float64, np.float32))), None)

    def at_the_end(kind: type) -> str | None:
        """Say what is wrong at the largest u of a type, where the sums may end below it."""
        u = float(np.nextafter(kind(1), kind(0)))
        tenths = np.full(10, 0.1)
        uneven = (_random(size).astype(kind) for size in range(10, 40))
        for p in (tenths, np.append(tenths, 0), *uneven):
            p = p.astype(kind)
            try:
                i = of(p, u)
            except (IndexError, Slip):
                i = -1
            if not 0 <= i < len(p):
                return (
                    f"at u = {u} your function finds no id: the sums may end below 1 by a "
                    "rounding, and below u. Divide them by the last sum."
                )
            if p[i] == 0:
                return (
                    f"at u = {u} your function draws an id that has probability 0: divide the sums "
                    "by the last one, and take the first that is above u."
                )
        return None

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

        def gives(share: float, expected: np.ndarray | list[float], p: np.ndarray = p) -> bool:
            got = _probabilities(answer, p, share)
            _ruled_out(got, np.asarray(expected))
            return np.allclose(got, expected)

        shares = (0.3, 0.6, 0.9, 1.0)

        def keeps(limit: Callable) -> bool:
            """Say whether the answer keeps what has a limit that depends on the share."""
            sets = ((share, _probabilities(answer, p, share) > 0) for share in shares)
            return all(np.array_equal(kept, p >= limit(share)) for share, kept in sets)

        if not all(gives(share, reference(p, share)) for share in shares):
            if keeps(lambda share: share * p.max()):
                return "that is min-p: a character stays by what it has against the largest."
            if keeps(lambda share: 1 - share):
                return (
                    "whether a character stays is not seen from its own probability alone: add up "
                    "from the most probable one until the share is reached."
                )
            if gives(0.6, [0, 0.45, 0, 0.3, 0]):
                return "what is left must be divided by its sum, to be probabilities again."
            if gives(0.6, [0, 1, 0, 0, 0]):
                return "the character with which the sum reaches the share belongs to the nucleus."
            if gives(0.6, [0.6, 0.4, 0, 0, 0]):
                return "right, but in the sorted order; write each back to the place of its id."
            if gives(0.6, reference(p, 0.6)) and not gives(0.3, [0, 1, 0, 0, 0]):
                return (
                    "with a share of 0.3 the most probable one has more than that: it stays, and "
                    "no other."
                )
            if gives(0.6, [0.1 / 0.6, 0.45 / 0.6, 0.05 / 0.6, 0, 0]) or gives(
                0.6, [0.1 / 0.9, 0.45 / 0.9, 0.05 / 0.9, 0.3 / 0.9, 0]
            ):
                return "add up from the most probable character, not from the first: sort."
            both = [(_probabilities(answer, p, share), reference(p, share)) for share in shares]
            if all(np.array_equal(got != 0, wanted != 0) for got, wanted in both):
                return "the set is right, the last step is not: divide what is left by its sum."
            return "sort, add up, keep all that come before the sum reaches the share, normalise."
        even = np.array([0.25, 0.5, 0.125, 0.125])
        if not all(gives(share, reference(even, share), even) for share in (0.5, 0.75)):
            return "where the sum is the share exactly, it has reached it: no more are added."
        ties = _probabilities(answer, np.array([0.125, 0.5, 0.125, 0.125, 0.125]), 0.625)
        if not np.allclose(np.sort(ties), [0, 0, 0, 0.2, 0.8]):
            return (
                "of (0.125, 0.5, 0.125, 0.125, 0.125) two have 0.625 together: the fewest stay, so "
                "of equal ones only as many as are needed."
            )
        for share in (0.5 - 1e-6, 0.5 + 1e-6, 0.75 - 1e-6, 0.75 + 1e-6):
            if not gives(share, reference(even, share), even):
                return f"compare with the share itself; yours is wrong at a share of {share:g}."
        many = _random(31)
        if not all(gives(share, reference(many, share), many) for share in (0.05, 0.5, 0.97)):
            return "it must hold for a p of any length; yours fails for one of 31."
        return _its_own(answer, even, 1.0)

    grade(answer, find_slip)


def min_p(answer: Callable | None) -> None:
    """Check a function (p (V,), share) -> p without what is below a share of the largest."""

    def cut(p: np.ndarray, kept: np.ndarray) -> np.ndarray:
        return np.where(kept, p, 0) / p[kept].sum() if kept.any() else np.zeros_like(p)

    def find_slip() -> str | None:
        p = np.array([0.08, 0.42, 0.02, 0.28, 0.2])

        def gives(share: float, expected: np.ndarray, p: np.ndarray = p) -> bool:
            got = _probabilities(answer, p, share)
            _ruled_out(got, expected)
            return np.allclose(got, expected)

        if not all(gives(share, cut(p, p >= share * 0.42)) for share in (0.1, 0.3, 0.6)):
            if gives(0.3, np.where(p >= 0.126, p, 0)):
                return "what is left must be divided by its sum, to be probabilities again."
            if gives(0.1, cut(p, p >= 0.1)):
                return "the limit is not the share itself, but that share of the largest."
            if gives(0.3, cut(p, p <= 0.126)):
                return "that keeps the improbable ones, and rules out the others."
            if gives(0.3, cut(p, np.array([False, True, False, False, False]))):
                return (
                    "at a share of 0.3 that keeps the largest alone, 0.42; 0.28 and 0.2 have more "
                    "than 0.3 · 0.42, and stay, too."
                )
            if gives(0.3, np.sort(cut(p, p >= 0.126))[::-1]):
                return "right, but in the sorted order; each must stay at the place of its id."
            return "keep what has at least the share of the largest, and divide by the sum."
        even, equal = np.array([0.5, 0.25, 0.125, 0.125]), np.array([0.375, 0.25, 0.375])
        if not gives(0.5, cut(even, even >= 0.25), even):
            return "one that is equal to the limit stays: at least, not more than."
        if not gives(1, np.array([0.5, 0, 0.5]), equal):
            return "of two that are the largest, both stay at a share of 1."
        many = _random(31)
        if not all(gives(s, cut(many, many >= s * many.max()), many) for s in (0, 0.02, 0.4)):
            return "it must hold for every share from 0 to 1 and every length."
        return _its_own(answer, even, 0.0)

    grade(answer, find_slip)
