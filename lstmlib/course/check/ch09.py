"""Checks of the exercises of chapter 09."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lstmlib.course.check.exercises import Slip, call_answer, grade, near, number
from lstmlib.metrics import mean_interval

WRITERS = {"P": "trigram", "Q": "cold", "R": "copier", "S": "hot"}


def _share(result: object) -> float:
    """Return what an answer computed as one number.

    Raises:
        Slip: it is none.
    """
    if np.ndim(result):
        raise Slip(f"return one number; yours has {np.size(result)}.")
    return number(result)


def _unchanged(given: np.ndarray, before: np.ndarray, name: str) -> None:
    """Raise Slip if an answer wrote into an array that it was given."""
    if not np.array_equal(given, before):
        raise Slip(f"your function changes the {name} that it is given; work on a copy.")


def distinct_by_hand(answer: float | None) -> None:
    """Check the distinct-2 of "the cat saw the dog and the cat"."""

    def find_slip() -> str | None:
        got = number(answer)

        def equals(value: float) -> bool:
            return math.isclose(got, value, abs_tol=6e-3)

        if equals(6 / 7):
            return None
        if equals(1 / 7):
            return "that is the share of pairs that came before; distinct-2 is 1 minus it."
        if equals(6 / 8) or equals(5 / 8):
            return "there are 8 words, but 7 pairs of words: divide by the pairs."
        if equals(5 / 7):
            return "a pair that comes twice is still one of the different pairs: count it once."
        if equals(6):
            return "that is how many different pairs there are; divide by the number of all pairs."
        if equals(7 / 6):
            return "that is turned round: the different pairs are divided by all pairs."
        if got > 1:
            return "a share is at most 1; if yours is in percent, divide by 100."
        return "write down the seven pairs in order, and strike out those that came before."

    grade(answer, find_slip)


def ece_by_hand(answer: float | None) -> None:
    """Check the expected calibration error of three bins."""

    def find_slip() -> str | None:
        got = number(answer)

        def equals(value: float) -> bool:
            return math.isclose(got, value, abs_tol=2e-3)

        if equals(0.14):
            return None
        if equals(0.5 / 3):
            return "that is the plain mean of three gaps: a bin with 50 predictions counts more."
        if equals(0.08) or equals(-0.08):
            return (
                "a gap that is too high and one that is too low must not cancel: take |…| of each."
            )
        if equals(0.3):
            return "that is the largest gap; the error is the mean gap."
        if equals(0.5):
            return "the gaps are added up without weights; each bin counts with its share of 100."
        if equals(14):
            return "divide by the 100 predictions."
        if equals(0.5 * 0.01 + 0.3 * 0.01 + 0.2 * 0.09):
            return "these are squares of the gaps; the error takes the gaps themselves."
        return (
            "multiply each |mean probability - share that came true| with the bin's share of 100."
        )

    grade(answer, find_slip)


def share_preferred(answer: Callable | None) -> None:
    """Check a function (scores (k,), i, j) -> share of choices in which i is preferred to j."""

    def of(scores: np.ndarray, i: int, j: int) -> float:
        given = scores.copy()
        got = _share(call_answer(answer, given, i, j))
        _unchanged(given, scores, "scores")
        return got

    def find_slip() -> str | None:
        scores = np.array([1.2, 0.1, -1.3])
        right = 1 / (1 + math.exp(-1.1))
        got = of(scores, 0, 1)
        if math.isclose(got, 1 - right, rel_tol=1e-6):
            return "that is the share in which j is preferred: turn the sign of the difference."
        if math.isclose(got, math.exp(1.2) / np.exp(scores).sum(), rel_tol=1e-6):
            return "that shares the choices among all things; only the two are compared here."
        if math.isclose(got, 1.2 / 1.3, rel_tol=1e-6):
            return "the ratio of scores has no meaning, since they may be negative: take e to them."
        if math.isclose(got, math.exp(1.1), rel_tol=1e-6):
            return "these are the odds, e^(difference); the share is odds / (1 + odds)."
        if math.isclose(got, 1 / (1 + 10 ** (-1.1)), rel_tol=1e-6):
            return "that takes 10 to the difference; the model takes e."
        if math.isclose(got, 100 * right, rel_tol=1e-6):
            return "a share is at most 1; yours is in percent."
        if math.isclose(got, 1 / (1 + 2 ** (-1.1)), rel_tol=1e-6):
            return "that takes 2 to the difference; the model takes e."
        if not math.isclose(got, right, rel_tol=1e-6):
            return "with scores of 1.2 and 0.1 it is 1 / (1 + e^(-1.1)) = 0.75."
        others = np.array([0.0, 4.0, -2.5, 0.3])
        for i in range(4):
            for j in range(4):
                wanted = 1 / (1 + math.exp(others[j] - others[i]))
                got = of(others, i, j)
                if wanted < 0.5 and math.isclose(got, 1 - wanted, rel_tol=1e-6):
                    return "the sign of the difference counts: a lower score has less than 1/2."
                if not math.isclose(got, wanted, rel_tol=1e-6):
                    return f"for the scores {others[i]} and {others[j]} it is {wanted:.3f}."
        return None

    grade(answer, find_slip)


def permutation_p(answer: Callable | None) -> None:
    """Check a function (accuracy, accuracies of shuffles (n,)) -> p-value."""

    def of(accuracy: float, shuffled: Sequence[float]) -> float:
        given = np.array(shuffled)
        got = _share(call_answer(answer, accuracy, given))
        _unchanged(given, np.array(shuffled), "accuracies")
        return got

    def find_slip() -> str | None:
        shuffled = [0.45, 0.5, 0.625, 0.5, 0.75, 0.4, 0.55, 0.375, 0.5]
        got = of(0.625, shuffled)
        if near(got, 2 / 9):
            return "the true labels are one of the labellings: add 1 above and 1 below."
        if near(got, 2 / 10):
            if of(0.9, shuffled) == 0:
                return "the 1 above is missing: the true labels are one of the labellings."
            return "an equally good shuffle counts as well: `>=`."
        if near(got, 3 / 9):
            return "add 1 below, too: with the true labels there are n + 1 labellings."
        if near(got, 1 / 9):
            return "add 1 above and below, and count a shuffle that is equally good."
        if near(got, 7 / 10) or near(got, 8 / 10) or near(got, 9 / 10):
            return "count the shuffles that are at least as accurate, not those that are at most."
        if not near(got, 3 / 10):
            return "of these nine shuffles two are at least as good: (2 + 1) / (9 + 1)."
        if not near(of(0.9, shuffled), 1 / 10):
            return "where no shuffle is as good, it is 1 / (n + 1), and never 0."
        if not near(of(0.3, shuffled), 1):
            return "where all shuffles are as good, it is 1."
        many = np.random.default_rng(0).random(999)
        if not near(of(0.5, many), (np.sum(many >= 0.5) + 1) / 1000):
            return "it must hold for any number of shuffles."
        return None

    grade(answer, find_slip)


def novelty_at(answer: Callable | None) -> None:
    """Check a function (longest matches (N,), n) -> share of the runs of n that are new."""

    def right(matches: np.ndarray, n: int) -> float:
        return float(np.mean(matches[: len(matches) - n + 1] < n))

    def of(matches: np.ndarray, n: int) -> float:
        given = matches.copy()
        got = _share(call_answer(answer, given, n))
        _unchanged(given, matches, "matches")
        return got

    def find_slip() -> str | None:
        matches = np.array([5, 4, 4, 3, 2, 1, 0, 4, 3, 3, 2, 1])
        n, places = 3, 10
        got, wanted = of(matches, n), right(matches, n)  # new at 4, 5 and 6
        if not near(got, wanted):
            if near(got, np.mean(matches < n)):
                return "the last n - 1 places begin no run of n characters: leave them out."
            if near(got, np.sum(matches[:places] < n) / len(matches)):
                return "a text of N characters has N - n + 1 runs of n: divide by these."
            if near(got, 1 - wanted) or near(got, np.mean(matches >= n)):
                return "that is the share of runs that the training text has; new are the others."
            if near(got, np.mean(matches[:places] <= n)):
                return "a match of n characters makes the run an old one: less than n is new."
            if near(got, np.mean(matches[: places - 1] < n)):
                return "one run too few: a text of N characters has N - n + 1 runs of n."
            if near(got, np.mean(matches[:places] == 0)):
                return "that asks for no match at all; a run of n is new if fewer than n match."
            if near(got, 100 * wanted):
                return "a share is at most 1; yours is in percent."
            return "a run of 3 is new where the longest match has fewer than 3: at 3 of 10 places."
        rng = np.random.default_rng(0)
        for size in (1, 7, 40):
            matches = np.minimum(rng.integers(0, 9, size), np.arange(size, 0, -1))
            for n in {1, 2, size} & set(range(1, size + 1)):
                try:
                    fits = near(of(matches, n), right(matches, n))
                except Slip as slip:
                    return f"with N = {size} and n = {n}: {slip}"
                if not fits:
                    return f"it is wrong for a text of {size} characters and runs of {n}."
        return None

    grade(answer, find_slip)


def mended_interval(answer: Callable | None) -> None:
    """Check a function (losses (T, C), draws, rng) -> (low, high), 95 % of the mean."""

    def of(losses: np.ndarray, draws: int = 2000, seed: int = 1) -> tuple[float, float]:
        given = losses.copy()
        got = call_answer(answer, given, draws, np.random.default_rng(seed))
        _unchanged(given, losses, "losses")
        if np.size(got) != 2:
            raise Slip("return two numbers, (low, high).")
        low, high = (number(end) for end in got)
        return low, high

    others = "draw with the generator `rng` that is given, and with no other one."

    def find_slip() -> str | None:
        rng = np.random.default_rng(0)
        for texts, characters in ((12, 30), (9, 8), (25, 3)):
            level = rng.exponential(1.0, (texts, 1))  # pages differ, and not evenly
            losses = level + rng.normal(0, 0.3, (texts, characters))
            # First, since ends that change from call to call may be those of any mistake.
            if of(losses, 40) != of(losses, 40):
                return others
            slip = _interval_slip(of(losses), losses)
            if slip:
                return slip
        low, high = of(losses, draws=1)
        if not near(low, high):
            return "one draw has one mean, so low and high are then the same: use `draws`."
        if of(losses, 40) == of(losses, 40, seed=2):
            return others
        return None

    grade(answer, find_slip)


def _interval_slip(got: tuple[float, float], losses: np.ndarray) -> str | None:
    """Say what is wrong with an interval (low, high) of losses, (T, C)."""
    rng = np.random.default_rng(2)

    def ends(items: np.ndarray, outside: float = 0.025) -> np.ndarray:
        picks = rng.integers(0, len(items), (4000, len(items)))
        return np.quantile(items[picks].mean(axis=1), [outside, 1 - outside])

    pages = losses.mean(axis=1)
    wanted = ends(pages)
    width = wanted[1] - wanted[0]

    def near(other: np.ndarray) -> bool:
        return bool(np.abs(np.array(got) - other).max() < 0.05 * width)

    if near(wanted):
        return None
    if got[0] > got[1]:
        return "low comes first, then high."
    if np.ptp(got) < 0.01 * width:
        return "all draws have the same mean: draw with replacement."
    if np.abs(np.array(got) / losses.shape[1] - wanted).max() < 0.05 * width:
        return "the loss of a text is the mean over its characters, not their sum."
    if near(ends(losses.ravel())) or near(ends(losses.ravel(), 0.05)):
        return "characters are drawn still; draw whole texts, so take the mean of each text first."
    if near(ends(losses.mean(axis=0))):
        return "that draws places in a text, the columns; a text is a row."
    if near(ends(pages, 0.05)):
        return "95 % in the middle leave 2.5 % on each side; 0.05 and 0.95 are the ends of 90 %."
    if near(np.quantile(pages, [0.025, 0.975])):
        return "that is the spread of texts; their mean spreads less: draw, and average."
    if got[1] - got[0] < 0.8 * width:
        return "your interval is too narrow; draw as many texts as there are, with replacement."
    if got[1] - got[0] > 1.2 * width:
        return "your interval is too wide; draw as many texts as there are, and take each mean."
    return "the ends are the quantiles 0.025 and 0.975 of the means of drawn texts."


def own_cheat(
    answer: str | None, measures: Mapping[str, Callable[[str], float]], held: Sequence[str]
) -> None:
    """Check a text that beats held-out texts in three measures.

    Args:
        answer: a text.
        measures: name -> what it gives of a text; with "known words", "novelty", "judge's loss".
        held: held-out texts, of one length.
    """

    def find_slip() -> str | None:
        if not isinstance(answer, str):
            return f"a text is asked for, and yours is of the type {type(answer).__name__}."
        if len(answer) != len(held[0]):
            return f"it must have {len(held[0])} characters; yours has {len(answer)}."
        slips = []
        for name, high_is_good in (("known words", 1), ("novelty", 1), ("judge's loss", 0)):
            real = mean_interval([measures[name](text) for text in held if len(text.split()) > 2])
            got = measures[name](answer)
            limit = real.high if high_is_good else real.low
            if (got <= limit) if high_is_good else (got >= limit):
                more = "above" if high_is_good else "below"
                slips.append(f"{name} must be {more} {limit:.2f}, and is {got:.2f}")
        return "; ".join(slips) + "." if slips else None

    grade(answer, find_slip)


def whose_text(answer: Mapping[str, str] | None) -> None:
    """Check who wrote what: letter -> writer."""

    def find_slip() -> str | None:
        if not isinstance(answer, Mapping) or set(answer) != set(WRITERS):
            return "give a dict with the four letters P, Q, R and S."
        for letter, writer in answer.items():
            if writer is ... or writer is None:
                return f"{letter} has no writer yet."
            if writer not in WRITERS.values():
                return f"{writer!r} is none of the four writers."
        if len(set(answer.values())) < 4:
            return "each of the four wrote one set of texts."
        wrong = {writer for letter, writer in answer.items() if WRITERS[letter] != writer}
        clues = {
            "cold": "the cold one has hardly an unknown word, and its texts say the same things",
            "copier": "the copier's runs of 10 are real where no wrong character falls into them",
            "trigram": "who sees two characters writes the fewest known words",
            "hot": "the hot one slips often, and still knows more words than a trigram model",
        }
        said = [clue for writer, clue in clues.items() if writer in wrong]
        return f"{said[0]}." if said else None

    grade(None if isinstance(answer, Mapping) and _untouched(answer) else answer, find_slip)


def _untouched(answer: Mapping[str, str]) -> bool:
    return all(writer is ... for writer in answer.values())
