"""Checks of the exercises of chapter 11."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from lstmlib.course.check.exercises import Slip, call_answer, grade, near, number

CHANGED = "your function changes what it was given; work on a copy."


def _array(answer: object, shape: tuple[int, ...], what: str) -> np.ndarray:
    """Return an answer as an array of that shape, or raise Slip."""
    try:
        array = np.asarray(answer)
    except (TypeError, ValueError, RuntimeError):
        raise Slip(f"{what} must be an array.") from None
    if array.dtype.kind not in "biuf":
        raise Slip(f"{what} must be an array of numbers.")
    if array.shape != shape:
        raise Slip(f"{what} must have the shape {shape}, and yours has {array.shape}.")
    return array


def half_life(answer: Callable | None) -> None:
    """Check a function forget (...) -> characters until half of a cell is left (...)."""

    def find_slip() -> str | None:
        cases = [
            np.array([0.5, 0.9, 0.99, 0.999]),
            np.array([[0.2, 0.25, 0.95], [0.5, 0.7, 0.8]]),
            np.array([1e-3]),
        ]
        for forget in cases:
            given = forget.copy()
            got = _array(call_answer(answer, given), forget.shape, "the answer")
            if not np.array_equal(given, forget):
                return CHANGED
            decay = -np.log(forget)
            slips = {
                "": math.log(2) / decay,
                "that is negative: ln f is below 0, and so is ln 0.5.": -math.log(2) / decay,
                "that is the time constant: there 1/e is left, not a half.": 1 / decay,
                "that is the usual estimate 1/(1 - f), which is near the time constant and holds "
                "for f near 1 alone.": 1 / (1 - forget),
                "upside down: the nearer f is to 1, the longer it takes.": decay / math.log(2),
                "that is ln 2 times the estimate 1/(1 - f); exact is -ln f.": math.log(2)
                / (1 - forget),
                "whole characters are not asked for: do not round.": np.round(math.log(2) / decay),
                "no whole characters are asked for: do not round.": np.ceil(
                    math.log(2) / decay - 1e-9
                ),
            }
            for slip, values in slips.items():
                if np.allclose(got, values, rtol=1e-6, atol=0):
                    if not slip:
                        break
                    return slip
            else:
                return (
                    "after n characters f to the power n is left. At f = 0.5 it takes one "
                    "character, at f = 0.9 it takes 6.58."
                )
        return None

    grade(answer, find_slip)


def balanced_accuracy(answer: Callable | None) -> None:
    """Check a function (predicted, label) -> mean of the shares found right in both classes."""

    def find_slip() -> str | None:
        rng = np.random.default_rng(0)
        rare = rng.random(400) < 0.1
        cases = [
            (rare ^ (rng.random(400) < 0.2), rare),
            (np.zeros(50, dtype=bool), np.arange(50) < 5),  # never says yes
            (np.array([True, False, True]), np.array([True, False, False])),
            (np.arange(8) < 6, np.arange(8) < 6),
            (np.arange(7) >= 2, np.arange(7) < 2),  # all wrong
        ]
        for predicted, label in cases:
            given = predicted.copy(), label.copy()
            got = number(call_answer(answer, *given))
            if not (np.array_equal(given[0], predicted) and np.array_equal(given[1], label)):
                return CHANGED
            hits, quiet = predicted[label].mean(), 1 - predicted[~label].mean()
            right = (hits + quiet) / 2
            if near(got, right):
                continue
            slips = {
                "that is the share of all characters: a label that is rare hardly counts in it.": (
                    predicted == label
                ).mean(),
                "that is the share among the places where the label is true; the others count, "
                "too.": hits,
                "that is the share among the places where the label is false; the others count, "
                "too.": quiet,
                "two shares were added; a mean is half of that.": hits + quiet,
                "that is the geometric mean; half of the sum is asked for.": (hits * quiet) ** 0.5,
                "divide each count by the places of its own class, not by all of them.": (
                    predicted == label
                ).mean()
                / 2,
                "at the places where the label is false, `predicted` is right if it is False.": (
                    hits + 1 - quiet
                )
                / 2,
            }
            if predicted.any() and not predicted.all():
                slips[
                    "divide by how many places *have* the label, not by how many were said to."
                ] = (label[predicted].mean() + 1 - label[~predicted].mean()) / 2
            if hits + quiet:
                slips["that is the harmonic mean; half of the sum is asked for."] = (
                    2 * hits * quiet / (hits + quiet)
                )
            for slip, value in slips.items():
                if math.isclose(got, value, abs_tol=1e-9):
                    return slip
            return f"in one of the cases it is {right:.6g}, and yours gives {got:.6g}."
        return None

    grade(answer, find_slip)


def auc(answer: Callable | None) -> None:
    """Check a function (values, label) -> how often a true place has the higher value."""

    def reference(values: np.ndarray, label: np.ndarray, tie: float = 0.5) -> float:
        yes, no = values[label][:, None], values[~label][None]
        return float((yes > no).mean() + tie * (yes == no).mean())

    def find_slip() -> str | None:
        rng = np.random.default_rng(0)
        cases = [
            (rng.standard_normal(60) + 0.5 * (np.arange(60) % 3 < 1), np.arange(60) % 3 < 1),
            (np.repeat([0.5, -1.0, 0.5, 2.0], 5), np.arange(20) % 3 == 0),  # with ties
            (np.full(6, 0.25), np.arange(6) < 2),  # a unit that never moves
            (np.array([3.0, 1.0, 2.0]), np.array([True, False, False])),
            (np.array([-5.0, 1.0, -4.0, 2.0]), np.array([True, False, True, False])),
        ]
        for n, (values, label) in enumerate(cases):
            given = values.copy(), label.copy()
            got = number(call_answer(answer, *given))
            if not (np.array_equal(given[0], values) and np.array_equal(given[1], label)):
                return CHANGED
            right = reference(values, label)
            if near(got, right):
                continue
            if len(set(values.tolist())) == 1:
                return "a unit that never moves says nothing: all pairs are ties, so it has 0.5."
            # The first unit is higher where its label is true, so max(…) is found out later.
            other = "the other way round: count the pairs in which the true place is the higher."
            if n:
                other = "below 0.5 is possible: the unit is lower where the label is true."
            slips = {
                other: 1 - right,
                "a tie counts a half: you count it as nothing.": reference(values, label, 0),
                "a tie counts a half: you count it as a whole.": reference(values, label, 1),
                "that is an accuracy at one threshold; all pairs are asked for.": (
                    (values > 0) == label
                ).mean(),
                "that is the number of pairs; divide by all of them.": right
                * label.sum()
                * (~label).sum(),
            }
            for slip, value in slips.items():
                if math.isclose(got, value, abs_tol=1e-9):
                    return slip
            if reference(values, label, 0) < got < reference(values, label, 1):
                return "it goes wrong at ties: two that are equal count a half, in any order."
            return f"in one of the cases it is {right:.6g}, and yours gives {got:.6g}."
        return None

    grade(answer, find_slip)


def mended_split(answer: Callable | None) -> None:
    """Check a function (n, share, gap) -> places to train on, and places to score."""

    def find_slip() -> str | None:
        for n, share, gap in ((1000, 0.75, 100), (11, 0.5, 2), (10, 0.29, 0), (57, 0.6, 20)):
            got = call_answer(answer, n, share, gap)
            if not isinstance(got, tuple | list) or len(got) != 2:
                raise Slip("two arrays are asked for: (train, test).")
            cut = int(share * n)
            train, test = (np.asarray(part) for part in got)
            if any(part.ndim != 1 or part.dtype.kind not in "iu" for part in (train, test)):
                raise Slip("both must be arrays of whole numbers, of one dimension.")
            right = np.arange(cut), np.arange(cut + gap, n)
            if np.array_equal(train, right[0]) and np.array_equal(test, right[1]):
                continue
            if np.intersect1d(train, test).size:
                return "some places are in both parts: the probe is scored on what it has seen."
            if train.size and test.size and train.min() > test.max():
                return "the order is turned round: fit on the first part, and score on a later one."
            if train.size and test.size and train.max() > test.min():
                return (
                    "places of one part still lie between those of the other. Neighbours have "
                    "nearly the same state and label: score on a part that comes later, as a whole."
                )
            if any((np.diff(part) != 1).any() for part in (train, test)):
                return "within a part the places stay in their order, and none is left out."
            if len(train) != cut:
                return (
                    f"of {n} places with a share of {share}, the first {cut} are for training "
                    f"(rounded down); yours are {len(train)}."
                )
            if gap and test.size and test[0] == cut:
                return "the gap is missing: leave that many places out between the two parts."
            if gap and test.size and test[0] == cut + gap + 1:
                return "the gap has one place too many."
            return f"the places to score are those from {cut + gap} to {n - 1}."
        return None

    grade(answer, find_slip)


LOOKS_AHEAD = {
    "a": (False, "a string has been opened and not closed: is the rest of the text needed?"),
    "b": (True, "of the first letters of `environment`, does anyone know how long it will be?"),
    "c": (True, "at the first character of a line, does anyone know how it will end?"),
    "d": (False, "count brackets from the start up to here: is a later one needed?"),
    "e": (False, "the last line end lies behind: is a later one needed?"),
    "f": (True, "a word is the last of its line if none follows; who knows that within it?"),
    "g": (False, "“so far”: has a # come or not?"),
}
"""Of each label of the exercise whether it depends on later characters, and what to think of."""


def looks_ahead(answer: Mapping | None) -> None:
    """Check which of seven labels depend on characters that the network has not read."""

    def find_slip() -> str | None:
        if not isinstance(answer, Mapping) or set(answer) != set(LOOKS_AHEAD):
            raise Slip("a dictionary is asked for, with an entry for each of a to g.")
        left = [letter for letter, value in answer.items() if value is ...]
        if left:
            raise Slip(f"{', '.join(left)}: still open.")
        if any(not isinstance(value, bool | np.bool_) for value in answer.values()):
            raise Slip("each entry is True, if the label looks ahead, or False.")
        wrong = [k for k, (ahead, _) in LOOKS_AHEAD.items() if answer[k] != ahead]
        if not wrong:
            return None
        said = f"{len(LOOKS_AHEAD) - len(wrong)} of {len(LOOKS_AHEAD)} are right."
        return f"{said} Look at {wrong[0]}: {LOOKS_AHEAD[wrong[0]][1]}"

    untouched = isinstance(answer, Mapping) and all(value is ... for value in answer.values())
    grade(... if untouched else answer, find_slip)


def foreign_past(answer: Callable | None) -> None:
    """Check a function (ids, places, others, past, k) -> rows whose past is another place's."""

    def reference(
        ids: np.ndarray, places: np.ndarray, others: np.ndarray, past: int, k: int
    ) -> np.ndarray:
        before = others[:, None] + np.arange(-past + 1, 1)  # (P, past)
        own = places[:, None] + np.arange(-k + 1, 1)  # (P, k)
        return ids[np.concatenate([before, own], axis=1)]

    def find_slip() -> str | None:
        rng = np.random.default_rng(0)
        ids = rng.integers(0, 90, 200)
        cases = [
            (np.array([50, 120]), np.array([150, 30]), 6, 3),
            (np.array([40, 80, 199]), np.array([100, 7, 60]), 8, 0),  # no true character at all
            (np.array([9]), np.array([199]), 2, 10),
        ]
        for places, others, past, k in cases:
            given = ids.copy(), places.copy(), others.copy()
            try:
                got = call_answer(answer, *given, past, k)
            except Exception as error:
                if k or isinstance(error, Slip):
                    raise
                stopped = f"your code stopped with {type(error).__name__}: {error}"
                return f"at k = 0 there is no true character, and there {stopped}"
            kept = zip(given, (ids, places, others), strict=True)
            if not all(np.array_equal(a, b) for a, b in kept):
                return CHANGED
            right = reference(ids, places, others, past, k)
            where = f"with a past of {past} and k = {k}, the answer"
            got = _array(got, right.shape, where)
            if np.array_equal(got, right):
                continue
            if k == 0:
                return "at k = 0 the row is the other place's past alone."
            if np.array_equal(got, reference(ids, others, places, past, k)):
                return "`places` and `others` are swapped: the foreign past is that of `others`."
            if np.array_equal(got, reference(ids, places, others, k, past)):
                return "`past` and `k` are swapped: the foreign past has `past` characters."
            if np.array_equal(got, right[:, ::-1]):
                return "each row runs backwards; the network reads a text from its beginning."
            if np.array_equal(got, right[::-1]):
                return "the rows are in the wrong order: the first belongs to the first place."
            own, before = right[:, past:], right[:, :past]
            if np.array_equal(got, np.concatenate([own, before], axis=1)):
                return "the foreign past comes first, and the true characters last."
            if np.array_equal(got[:, past:], own):
                lies = reference(ids, places, places - k, past, 0)
                if np.array_equal(got[:, :past], lies):
                    return "that is the true past: take it before the *other* place."
                return f"the foreign past ends with the character at the other place: {before[0]}."
            if np.array_equal(got, reference(ids, places - 1, others - 1, past, k)):
                return "one too early: the character at a place is the last one read there."
            if np.array_equal(got[:, :past], before):
                return f"the last {k} characters are those up to the place, and it, too: {own[0]}."
            return f"the first row here is {right[0].tolist()}; yours is {got[0].tolist()}."
        return None

    grade(answer, find_slip)


def reach_of(answer: Callable | None) -> None:
    """Check a function (excess, tolerance) -> from which k on the excess stays small."""

    def find_slip() -> str | None:
        falling = np.array([2.0, 0.9, 0.2, 0.04, 0.01, 0.0])
        cases = [
            (falling, 0.05, 3, ""),
            (falling, 0.04, 3, "an excess that equals the tolerance is within it."),
            (np.array([1.0, 0.0, 0.3, 0.02, 0.0]), 0.05, 3, "it may come back above the tolerance: "
             "the k is asked for from which on it *stays* within."),
            (np.array([1.0, 0.5, 0.2]), 0.05, 3, "where it never stays within, return the number "
             "of values given."),
            (np.array([0.01, 0.0, 0.02]), 0.05, 0, "all are within: it may be so from k = 0 on."),
            (np.array([1.0, 0.01, -0.2, 0.0]), 0.05, 1, "below 0 the foreign past even helped: "
             "that is within, too."),
            (np.array([1.0, 0.02, 0.03, 0.2]), 0.1, 4, "the last value lies above: it does not "
             "stay within."),
        ]  # fmt: skip
        for excess, tolerance, right, slip in cases:
            given = excess.copy()
            try:
                got = number(call_answer(answer, given, tolerance))
            except Slip as error:
                if not slip:
                    raise
                return f"{error} Here, {slip}"
            except Exception as error:
                if not slip:
                    raise
                stopped = f"your code stopped with {type(error).__name__}: {error}"
                return f"{slip} For {excess.tolist()} and {tolerance} {stopped}"
            if not np.array_equal(given, excess):
                return CHANGED
            if got == right:
                continue
            if slip:
                return slip
            if got == right - 1:
                return "that is the last k that lies above; the next one is the first within."
            if any(math.isclose(got, value) for value in excess):
                return "that is an excess; at which k does it stand?"
            return f"of {excess.tolist()} and 0.05 it is {right}, and yours gives {got:g}."
        return None

    grade(answer, find_slip)


VERDICTS = {
    "a": "used",
    "b": "only correlates",
    "c": "nothing found",
    "d": "only correlates",
    "e": "nothing found",
}


def verdicts(answer: Mapping | None) -> None:
    """Check what may be said of five finds, from their scores and interventions."""

    def find_slip() -> str | None:
        words = sorted(set(VERDICTS.values()))
        if not isinstance(answer, Mapping) or set(answer) != set(VERDICTS):
            raise Slip("a dictionary is asked for, with an entry for each of a to e.")
        left = [letter for letter, value in answer.items() if value is ...]
        if left:
            raise Slip(f"{', '.join(left)}: still open.")
        unknown = [value for value in answer.values() if value not in words]
        if unknown:
            raise Slip(f"{unknown[0]!r} is none of the three words of the task.")
        hints = {
            "a": "a: does each score clear its own controls, and the intervention its own?",
            "b": "b: the scores are above their own controls. What do other units do, set as far?",
            "c": "c: what do the last eight characters say without any network?",
            "d": "d: which way does the prediction move, and which way was claimed?",
            "e": "e: is the untrained network any worse?",
        }
        wrong = [letter for letter, verdict in VERDICTS.items() if answer[letter] != verdict]
        if not wrong:
            return None
        return f"{5 - len(wrong)} of 5 are right. Look at {hints[wrong[0]]}"

    untouched = isinstance(answer, Mapping) and all(value is ... for value in answer.values())
    grade(... if untouched else answer, find_slip)
