"""Checks of the exercises of chapter 08."""

import math
from collections.abc import Callable
from itertools import product

import numpy as np

from lstmlib.batching import IGNORE
from lstmlib.course.check.exercises import call_answer, grade


def bracket_string(answer: Callable | None) -> None:
    """Check a function text -> whether it is brackets that first balance where they end."""

    def reference(text: str) -> bool:
        depth = 0
        for k, character in enumerate(text, 1):
            depth += 1 if character == "(" else -1
            if depth <= 0:
                return depth == 0 and k == len(text)
        return False

    def find_slip() -> str | None:
        texts = ["".join(text) for n in range(9) for text in product("()", repeat=n)]
        got = {text: answer(text) for text in texts}
        if None in got.values():
            return "your function returns nothing for some text; did you forget `return`?"
        wrong = [text for text in texts if bool(got[text]) != reference(text)]
        if not wrong:
            return None
        refused = [text for text in wrong if reference(text)]
        if refused:
            return f"{refused[0]!r} is a string of the language, and yours refuses it."
        if wrong == [""]:
            return "the empty text is no string of the language: each begins with '('."
        if any(text in wrong for text in ("((", "(()")):
            return "a bracket that is still open at the end makes a legal beginning, not a string."
        if any(text in wrong for text in ("())(()", ")(")):
            return "equal numbers are not enough: '())(()' closes what was never opened."
        return "the string ends where it first balances, so '()()' is not one: look at every place."

    grade(answer, find_slip)


def masked_mean(answer: Callable | None) -> None:
    """Check a function (nats (B, T), y (B, T)) -> mean loss, y = -100 left out."""

    def reference(nats: np.ndarray, y: np.ndarray) -> float:
        return float(nats[y != IGNORE].mean())

    def find_slip() -> str | None:
        nats = np.array([[1.0, 2.0, 7.0, 7.0], [3.0, 1.0, 2.0, 8.0]])
        y = np.array([[5, 2, IGNORE, IGNORE], [4, 6, 0, 2]])
        got = float(call_answer(answer, nats.copy(), y.copy()))
        real = y != IGNORE
        rows = (nats * real).sum(1) / real.sum(1)
        slips = {
            nats[real].mean(): None,
            nats.mean(): "the padding is counted: leave out where y is -100.",
            (nats * real).mean(): "the padding adds nothing to your sum, but it is still counted.",
            rows.mean(): "in a mean of the rows' means, the symbols of a short string count more.",
            nats[real].sum(): "that is the sum; divide by how many symbols are predicted.",
            nats[y > 0].mean(): "0 is an id like any other; only -100 is left out.",
        }
        for value, slip in slips.items():
            if math.isclose(got, value, rel_tol=1e-6):  # an answer may be in float32
                return slip
        return "add up the losses where y is not -100, and divide by how many they are."

    grade(answer, find_slip)


def repeat_floor(answer: Callable | None) -> None:
    """Check a function (stop, words) -> floor of an NDFA with other numbers, nats per symbol."""

    def parts(stop: float, words: int) -> tuple[float, float, float]:
        entropy = -stop * math.log(stop) - (1 - stop) * math.log(1 - stop)
        return entropy / stop, math.log(words), 3 + 4 * (1 - stop) / stop

    def reference(stop: float, words: int) -> float:
        count, word, length = parts(stop, words)
        return (count + (1 - stop) * word) / length

    def find_slip() -> str | None:
        # Not at 0.5, where `stop` and 1 - stop are the same.
        stop, words = 0.2, 8
        got = float(call_answer(answer, stop, words))
        count, word, length = parts(stop, words)
        right, which = reference(stop, words), (1 - stop) * word
        not_in_ss = "the word does not show in 'ss', whose probability is `stop`."
        slips = {
            right: None,
            (count + word) / length: not_in_ss,
            (count + stop * word) / length: not_in_ss,
            count / length: "which word it is must be told too: ln(words), unless it is ss.",
            (count + which) / (length - 1): "`.end` is a symbol, too: the length is one more.",
            count + which: "that is the entropy of a string; divide by its mean length.",
            right / math.log(2): "that is in bits; use the natural logarithm.",
            (stop * count + which) / length: "there are 1/stop decisions in the mean, not one.",
        }
        for value, slip in slips.items():
            if math.isclose(got, value, rel_tol=1e-6):
                return slip
        return "entropy of the number of words, plus (1 - stop) ln(words), over the mean length."

    grade(answer, find_slip)
