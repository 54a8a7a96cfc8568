"""Checks of the exercises of chapter 08."""

import math
from collections.abc import Callable
from itertools import product

import numpy as np

from lstmlib.batching import IGNORE
from lstmlib.course.check.exercises import Slip, call_answer, called, grade, number, rounded


def _is_string(text: str) -> bool:
    """Say whether a text of brackets is a string of the language."""
    depth = 0
    for k, character in enumerate(text, 1):
        depth += 1 if character == "(" else -1
        if depth <= 0:
            return depth == 0 and k == len(text)
    return False


def _real(got: object) -> float:
    """Return what a student's function returned as one number, which may be infinite.

    Raises:
        Slip: it is none.
    """
    if np.ndim(got):
        raise Slip(f"one number is asked for, and yours has the shape {np.shape(got)}.")
    return number(got, infinite=True)


def _why_not(text: str) -> str:
    """Say why a text of brackets, accepted by a student, is no string of the language."""
    if not text:
        return "yours accepts the empty text; each string of the language begins with '('."
    if text[0] == ")":
        return f"yours accepts {text!r}, whose first bracket closes nothing."
    depths = [2 * text[:k].count("(") - k for k in range(1, len(text) + 1)]
    if 0 in depths:
        where = f"here after {depths.index(0) + 1} of {len(text)} brackets"
        return f"yours accepts {text!r}; a string ends where its brackets first balance, {where}."
    many = f"{depths[-1]} bracket{'s are' if depths[-1] > 1 else ' is'}"
    return f"yours accepts {text!r}, which is only a legal beginning: {many} open at its end."


def _rounded(value: float, right: float) -> str | None:
    """Say that a number is right, but rounded or cut off."""
    said = "right, but rounded: return the number with all its decimals."
    return said if rounded(value, right) else None


def _apart(a: float, b: float) -> tuple[str, str]:
    """Write two numbers with so many digits that one sees the difference."""
    pairs = ((f"{a:.{digits}g}", f"{b:.{digits}g}") for digits in range(4, 18))
    return next((pair for pair in pairs if pair[0] != pair[1]), (repr(a), repr(b)))


def bracket_string(answer: Callable | None) -> None:
    """Check a function text -> whether it is a whole string of the language of brackets."""

    def find_slip() -> str | None:
        texts = ["".join(text) for n in range(9) for text in product("()", repeat=n)]
        deep = "(" * 40 + ")" * 40
        texts += [deep, deep[:-1], deep + "()", "(" + deep[1:-1] * 2 + ")"]
        call_answer(answer, "()")
        got = {text: called(answer, text) for text in texts}
        if None in got.values():
            text = next(text for text in texts if got[text] is None)
            return f"for {text!r} yours returns None; return {_is_string(text)}."
        wrong = [text for text in texts if bool(got[text]) != _is_string(text)]
        if not wrong:
            return None
        if _is_string(wrong[0]):  # the shortest
            return f"{wrong[0]!r} is a string of the language, and yours refuses it."
        return _why_not(wrong[0])

    grade(answer, find_slip)


def masked_mean(answer: Callable | None) -> None:
    """Check a function (nats (B, T), y (B, T)) -> mean loss, y = -100 left out."""

    def reference(nats: np.ndarray, y: np.ndarray) -> float:
        return float(nats[y != IGNORE].mean())

    def slip_of(nats: np.ndarray, y: np.ndarray) -> str | None:
        given = nats.copy(), y.copy()
        got = _real(call_answer(answer, *given))
        if not (np.array_equal(given[0], nats) and np.array_equal(given[1], y)):
            return "your function changes what it was given; work on a copy."
        if math.isclose(got, reference(nats, y), rel_tol=1e-6):  # it may be in float32
            return None
        real = y != IGNORE
        rows = (nats * real).sum(1) / np.maximum(real.sum(1), 1)
        slips = {
            nats.mean(): "the padding is counted: leave out where y is -100.",
            (nats * real).mean(): "the padding adds nothing to your sum, but it is still counted.",
            rows.mean(): "in a mean of the rows' means, the symbols of a short string count more.",
            (nats * ~real).sum() / max((~real).sum(), 1): "that is the mean of the padding: take "
            "the places where y is not -100.",
            nats[real].sum(): "that is the sum; divide by how many symbols are predicted.",
            nats[real].sum() / len(y): "that is the loss of a string: you divide by the B strings, "
            "and not by the symbols.",
            nats[real].sum() / y.shape[1]: "you divide by T, the columns, and not by the symbols.",
            nats[y > 0].sum() / max((y > 0).sum(), 1): "0 is an id like any other; only -100 is "
            "left out.",
        }
        smallest = y != y.min()
        if smallest.any():
            slips[nats[smallest].mean()] = (
                "a batch without padding has no -100, and yours leaves out its smallest id."
            )
        for value, slip in slips.items():
            if math.isclose(got, value, rel_tol=1e-6):
                return slip
        general = "add up the losses where y is not -100, and divide by how many they are."
        return _rounded(got, reference(nats, y)) or general

    def find_slip() -> str | None:
        nats = np.array(
            [[1.13, 2.37, 7.91, 6.29], [3.71, 0.64, 4.48, 8.53]]
        )  # no two means are equal
        y = np.array([[5, 2, IGNORE, IGNORE], [4, 6, 0, 2]])
        cases = [(nats, y), (nats[:1], y[:1]), (nats[1:, :3], y[1:, :3])]
        rng = np.random.default_rng(0)
        y = rng.integers(0, 6, (5, 7))
        y[1, 3:] = y[3, 1:] = y[4] = IGNORE  # one row is nothing but padding
        cases.append((rng.random((5, 7)), y))
        return next(filter(None, (slip_of(*case) for case in cases)), None)

    grade(answer, find_slip)


def short_floor(answer: float | None) -> None:
    """Check the floor of `ab` once, twice or four times with 1/2, 1/4, 1/4, nats per symbol."""

    def find_slip() -> str | None:
        got = number(answer)
        p, symbols = np.array([1 / 2, 1 / 4, 1 / 4]), np.array([3, 5, 9])
        nats, length = -(p * np.log(p)).sum(), (p * symbols).sum()
        right = nats / length
        slips = {
            right: None,
            nats / (length - 1): "`.end` is a symbol, too: the length is one more.",
            nats: "that is the entropy of a string; divide by its mean number of symbols.",
            right / math.log(2): "that is in bits; use the natural logarithm.",
            math.log(3) / length: "the three strings are not equally likely.",
            nats / (length + 1): "`.start` is no symbol that is predicted.",
            nats / symbols.mean(): "the lengths must be weighted with the probabilities, too.",
            nats / (symbols - 1).mean(): "the lengths must be weighted, and `.end` is a symbol.",
            -(p * np.log(p) / symbols).sum(): "a floor is the entropy over the mean length, and "
            "not the mean of each string's share.",
        }
        for value, slip in slips.items():
            if math.isclose(got, value, rel_tol=2e-3):  # three digits are enough
                return slip
        if got < 0:
            return "an entropy is never negative: it is the mean of -ln p."
        if math.isclose(got, right, rel_tol=0.012):
            return "right method, but the third digit is missing or wrong: round only at the end."
        return "work out two numbers: the nats of a string, and its symbols in the mean."

    grade(answer, find_slip)


def repeat_floor(answer: Callable | None) -> None:
    """Check a function (stop, words) -> floor of an NDFA with other numbers, nats per symbol."""

    def parts(stop: float, words: int) -> tuple[float, float, float]:
        entropy = -stop * math.log(stop) - (1 - stop) * math.log(1 - stop)
        return entropy / stop, math.log(words), 3 + 4 * (1 - stop) / stop

    def reference(stop: float, words: int) -> float:
        count, word, length = parts(stop, words)
        return (count + (1 - stop) * word) / length

    def slip_at(stop: float, words: int) -> str | None:
        got, right = _real(call_answer(answer, stop, words)), reference(stop, words)
        if math.isclose(got, right, rel_tol=1e-6):
            return None
        wanted, yours = _apart(right, got)
        where = f"at stop = {stop} and {words} word{'s' * (words > 1)}"
        return f"right at stop = 0.4 and 8 words; {where} the floor is {wanted}, and yours {yours}."

    def find_slip() -> str | None:
        others = [(0.25, 3), (0.6, 1), (0.05, 30), (0.2, 8)]
        # Not at 0.5, where `stop` and 1 - stop are the same, and not at 0.2, where 1 / stop - 1 is
        # the 4 of section 2.
        stop, words = 0.4, 8
        got = _real(call_answer(answer, stop, words))
        count, word, length = parts(stop, words)
        right, which = reference(stop, words), (1 - stop) * word
        not_in_ss = "the word does not show in 'ss', whose probability is `stop`."
        slips = {
            right: None,
            (count + word) / length: not_in_ss,
            (count + stop * word) / length: not_in_ss,
            count / length: "which word it is must be told too, unless the string is ss.",
            (count + (1 - stop) * math.log(3)) / length: "`words` is not used.",
            (count + which) / (3 + 4 / stop): "the last decision has no word: it stops.",
            (count + which) / (length - 1): "`.end` is a symbol, too: the length is one more.",
            count + which: "that is the entropy of a string; divide by its mean length.",
            right / math.log(2): "that is in bits; use the natural logarithm.",
            (stop * count + which) / length: "a string has more than one decision in the mean.",
            ((1 - stop) * count + which) / length: "one decision is missing: to stop is one, too.",
            (4 * stop * count + which)
            / length: "your decisions are fixed; 4 are those of a `stop` of 1/4.",
        }
        for value, slip in slips.items():
            if math.isclose(got, value, rel_tol=1e-6):
                return slip or next(filter(None, (slip_at(*each) for each in others)), None)
        return _rounded(got, right) or (
            f"at stop = 0.4 and 8 words, the decisions of a string have {count:.3f} nats in the "
            f"mean, the word has {which:.3f}, and a string has {length:g} symbols. Which of the "
            "three do you get?"
        )

    grade(answer, find_slip)


def mean_length(answer: Callable | None) -> None:
    """Check a function q -> mean length of a string of brackets that opens with probability q."""

    def reference(q: float) -> float:
        return 1 + 1 / (1 - 2 * q) if q < 1 / 2 else math.inf

    def find_slip() -> str | None:
        below = (7 / 16, 0.0, 0.25, 0.3, 0.49, 0.4999, 0.2)
        got = [_real(call_answer(answer, q)) for q in below]

        def gives(formula: Callable) -> bool:
            return all(
                math.isclose(a, formula(q), rel_tol=1e-6) for a, q in zip(got, below, strict=True)
            )

        if gives(lambda q: reference(q) - 1):
            return "the first bracket is missing: it comes before all decisions."
        if gives(lambda q: reference(q) + 1):
            return "`.end` is a symbol, but no bracket: a length counts brackets."
        if gives(lambda q: 1 + 1 / (2 * q - 1)):
            return "the sign: the depth falls by (1 - q) - q a step."
        if gives(lambda q: 1 + 1 / (1 - q)):
            return "the depth also rises, with probability q: it falls by 1 - 2q in the mean."
        if not gives(reference):
            q, a = next(
                (q, a)
                for q, a in zip(below, got, strict=True)
                if not math.isclose(a, reference(q), rel_tol=1e-6)
            )
            right, yours = _apart(reference(q), a)
            return f"at q = {q:g} the length is {right}, and yours is {yours}."
        for q in (0.5, 0.75):
            try:
                length = called(answer, q)
            except ZeroDivisionError:
                return f"right below 1/2; at q = {q} the length is math.inf; yours divides by 0."
            if np.ndim(length) or length != math.inf:
                why = f"at q = {q} the length has no bound: return math.inf"
                return f"right below 1/2; {why}, and not {length!r}."
        return None

    grade(answer, find_slip)


def string_of(answer: Callable | None) -> None:
    """Check a function (depth, length) -> a string of that depth and length, "" if there is none.

    The depth is the largest; the length is that of the brackets.
    """

    def slip_of(depth: int, length: int) -> str | None:
        what = f"depth {depth}, length {length}: "
        none = length % 2 or length < 2 * depth or (depth == 1 and length > 2)
        text = (called if none else call_answer)(answer, depth, length)
        if text is None:
            return f"{what}there is no such string: return '', not None."
        if not isinstance(text, str):
            return f"{what}a text is asked for, and yours is {text!r}."
        if none:
            return f"{what}there is no such string, so return ''." if text else None
        if not text:
            return f"{what}there is one, and yours is empty."
        if set(text) - set("()") or len(text) != length:
            return f"{what}yours has {len(text)} characters: {text!r}."
        heights = np.cumsum([1 if c == "(" else -1 for c in text])
        if not _is_string(text):
            early = heights.min() >= 0 and heights[-1] == 0
            why = "it balances before its end" if early else "its brackets do not balance"
            return f"{what}{text!r} is no string of the language: {why}."
        if heights.max() != depth:
            return f"{what}{text!r} has depth {heights.max()}."
        return None

    def find_slip() -> str | None:
        tasks = [(3, 10), (3, 6), (1, 4)]
        tasks += [(depth, length) for depth in range(1, 7) for length in range(1, 17)]
        tasks += [(40, 80), (2, 100), (30, 61)]
        return next(filter(None, (slip_of(*task) for task in tasks)), None)

    grade(answer, find_slip)


def order_needed(answer: Callable | None) -> None:
    """Check a function depth -> least order of an n-gram model of (), (()) … to that depth."""

    def find_slip() -> str | None:
        depths = range(1, 8)
        got = [call_answer(answer, depth) for depth in depths]
        slips = {
            2: None,
            -1: "that is the length of the context; an n-gram is its context and one symbol more.",
            0: "the brackets that close must be seen, too, and not only those that open.",
            1: "one symbol fewer will do: look at the 2 · depth - 1 symbols before the last "
            "bracket of the deepest string. They begin with `(`; those at the end of the string "
            "before it in the list begin with `.start`.",
        }
        formulas = {
            2: lambda d: 2 * d,
            -1: lambda d: 2 * d - 1,
            0: lambda d: d,
            1: lambda d: 2 * d + 1,
        }
        for key, formula in formulas.items():
            if got == [formula(depth) for depth in depths]:
                return slips[key]
        if got == [depth + 1 for depth in depths]:
            return slips[0]
        if got[0] != 2:
            return "depth 1 has one string, `()`: a bigram knows what follows ( and what follows )."
        if got[1] != 4:
            return (
                "depth 2: after `()` comes .end, after `(()` comes a bracket. How many symbols "
                "must a model see to tell these apart, and which order has it then?"
            )
        return "right for depths 1 and 2. Look at the last bracket of the two deepest strings."

    grade(answer, find_slip)


BUGS = {
    "bits": "a loss in bits is larger by 1 / ln 2 = 1.44.",
    "per string": "a loss per string is about 10 times as large, for a string has 10 symbols.",
    "padding counted": "padding is learned soon and costs nothing, so it lowers the mean by its "
    "share; in batches sorted by length that share is small.",
    "targets not shifted": "a network that sees its target copies it, and the loss falls to 0.",
    "none": "a floor is an expectation: on 5 000 strings the exact model itself is half a percent "
    "off.",
}
"""What can be wrong with a loss on brackets, and how it shows."""


def loss_bugs(answers: dict[str, str] | None) -> None:
    """Check which of BUGS made each of five losses on brackets: "a", … "e" -> the bug."""
    causes = ("bits", "padding counted", "targets not shifted", "none", "per string")
    reference = dict(zip("abcde", causes, strict=True))
    far_below = {"b": 0.351, "c": 0.0004}

    def find_slip() -> str | None:
        if not isinstance(answers, dict) or set(answers) != set(reference):
            return f"give a dict with a cause for each of {', '.join(reference)}."
        for name, cause in answers.items():
            if cause is ...:
                return f"{name} has no cause yet."
            if cause not in list(BUGS):
                return f"{name}: {cause!r} is no cause here; choose one of {', '.join(BUGS)}."
        for name, cause in reference.items():
            if name in far_below and answers[name] == "none":
                why = f"{far_below[name]} is far below the floor; no model can get there."
                return f"{name} is not 'none': {why}"
            if answers[name] != cause:
                return f"{name} is not {answers[name]!r}: {BUGS[answers[name]]}"
        return None

    grade(... if _untouched(answers) else answers, find_slip)


def _untouched(answers: object) -> bool:
    """Say whether a dictionary holds nothing but `...`."""
    return isinstance(answers, dict) and all(value is ... for value in answers.values())


def breaking_string(answer: str | None, decide: Callable[[str], np.ndarray]) -> None:
    """Check a string of brackets, two open at most, on which a network makes a wrong decision.

    Args:
        answer: the string, of at most 10 000 brackets.
        decide: text -> whether the network decides rightly after each bracket, (T,) bool.
    """

    def find_slip() -> str | None:
        if not isinstance(answer, str):
            raise Slip(f"a text of brackets is asked for, and yours is {type(answer).__name__!r}.")
        if len(answer) > 10_000:
            return f"yours has {len(answer)} brackets; 10 000 are the most, and fewer will do."
        if set(answer) - set("()") or not _is_string(answer):
            return "yours is no string of the language, so the network need not know it."
        most = np.cumsum([1 if c == "(" else -1 for c in answer]).max()
        if most > 2:
            return f"yours has {most} brackets open; find one with no more than two."
        if np.asarray(decide(answer)).all():
            return f"the network decides rightly after all {len(answer)} brackets. Go further."
        return None

    grade(answer, find_slip)
