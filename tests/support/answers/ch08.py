"""Right and wrong answers to the exercises of chapter 08."""

import math
import re

import numpy as np

from answers import Exercise, raises
from lstmlib.grammars import LANGUAGES


def balanced(text):
    """Whether brackets balance, and never close what was not opened."""
    depths = np.cumsum([1 if c == "(" else -1 for c in text])
    return bool(
        depths.min(initial=0) >= 0 and depths.sum() >= 0 and text.count("(") * 2 == len(text)
    )


def by_stack(text):
    """Whether a text is a string, with a stack."""
    stack = []
    for place, bracket in enumerate(text):
        if bracket == "(":
            stack.append(place)
        elif not stack or (stack.pop() == 0 and place < len(text) - 1):
            return False
    return text != "" and not stack


def begins_well(text):
    """Take a legal beginning for a string."""
    return text != "" and LANGUAGES["brackets"].accepts_prefix(text)


def at_balance(says, stop=None):
    """Decide where the depth is first 0, or first no more than `stop`."""

    def is_string(text):
        depth = 0
        for k, bracket in enumerate(text, 1):
            depth += 1 if bracket == "(" else -1
            if depth == 0 or (stop is not None and depth <= stop):
                return says(depth, k, len(text))
        return False

    return is_string


def unless(found):
    """Mend the given function for the empty text, and for some of what goes on."""
    return lambda text: text != "" and balanced(text) and not found(text)


def forgets(*arguments):
    """Compute something, and return nothing."""
    len(arguments)


DEPTH_2 = re.compile(r"\((\(\))*\)")


def masked_by_loop(nats, y):
    """Add up symbol by symbol."""
    losses = [
        n
        for row, targets in zip(nats, y, strict=True)
        for n, t in zip(row, targets, strict=True)
        if t != -100
    ]
    return sum(losses) / len(losses)


def masked_in_place(nats, y):
    nats[y == -100] = 0
    return nats.sum() / (y != -100).sum()


def repeat_floor(stop, words, shown=None, symbols=3, decisions=None):
    """The floor of an NDFA, or a wrong one."""
    entropy = -stop * math.log(stop) - (1 - stop) * math.log(1 - stop)
    shown = 1 - stop if shown is None else shown
    nats = (decisions or 1 / stop) * entropy + shown * math.log(words)
    return nats / (symbols + 4 * (1 - stop) / stop)


def floor_by_sum(stop, words):
    """The same, string by string."""
    p = stop * (1 - stop) ** np.arange(3000)  # of so many repeats
    each = np.where(np.arange(3000) > 0, p / words, p)
    seen = p > 1e-300
    nats = -(p[seen] * np.log(each[seen])).sum()
    return nats / (p * (3 + 4 * np.arange(3000))).sum()


def mean_length(q):
    return 1 + 1 / (1 - 2 * q) if q < 1 / 2 else math.inf


def string_of(depth, length):
    """A string of this depth and length, or nothing."""
    if length % 2 or length < 2 * depth or (depth == 1 and length > 2):
        return ""
    return "(" + "()" * (length // 2 - depth) + "(" * (depth - 1) + ")" * depth


def pairs_at_the_top(depth, length):
    """The same with the pairs below the deepest place."""
    if string_of(depth, length) == "" or depth == 1:
        return string_of(depth, length)
    more = length // 2 - depth
    return "(" * (depth - 1) + "()" * (more + 1) + ")" * (depth - 1)


def anything_even(depth, length):
    """Forget that depth 1 has one string."""
    if length % 2 or length < 2 * depth:
        return ""
    return "(" + "()" * (length // 2 - depth) + "(" * (depth - 1) + ")" * depth


def order_by_search(depth):
    """The least order at which no context is followed by both `)` and .end."""
    strings = [["."] * 40 + ["("] * n + [")"] * n + ["end"] for n in range(1, depth + 1)]
    for order in range(1, 40):
        follow = {}
        for s in strings:
            for k in range(40, len(s)):
                follow.setdefault(tuple(s[k - order + 1 : k]), set()).add(s[k])
        if not any({")", "end"} <= after for after in follow.values()):
            return order
    return None


BUGS = {
    "a": "bits",
    "b": "padding counted",
    "c": "targets not shifted",
    "d": "none",
    "e": "per string",
}


def drifts(text):
    """Decide rightly over 1000 brackets, as a network might."""
    return np.arange(len(text)) < 1000


FIXED = ("axis_swapped", "sign", "dtype")  # make no other answer of a text
EXERCISES = {
    "bracket_string": Exercise(
        right=[lambda text: LANGUAGES["brackets"].accepts(text), by_stack],
        wrong=[
            (balanced, "the empty text"),
            (
                lambda text: text and text.count("(") == text.count(")"),
                "accepts ')(', whose first bracket closes nothing",
            ),
            (lambda text: text != "" and balanced(text), "accepts '()()'; a string ends where"),
            (begins_well, "accepts '(', which is only a legal beginning: 1 bracket is open"),
            (at_balance(lambda depth, k, n: True), "accepts ')(', whose first bracket"),
            (
                at_balance(lambda depth, k, n: depth == 0, stop=0),
                "accepts '()('; a string ends where",
            ),
            (at_balance(lambda depth, k, n: k == n, stop=0), "accepts ')', whose first bracket"),
            (at_balance(lambda depth, k, n: k == n), "accepts ')(', whose first bracket"),
            (unless(lambda text: text.startswith("()(")), "balance, here after 4 of 6 brackets"),
            (unless(lambda text: text.endswith(")()")), "balance, here after 2 of 6 brackets"),
            (
                lambda text: LANGUAGES["brackets"].accepts(text) or len(text) > 80,
                "a string ends where its brackets first balance, here after 80 of 82 brackets",
            ),
            (lambda text: text == "" or LANGUAGES["brackets"].accepts(text), "the empty text"),
            (lambda text: text == "()", "'(())' is a string of the language, and yours refuses"),
            (lambda text: bool(DEPTH_2.fullmatch(text)), r"'((()))' is a string"),
            (lambda text: len(text) < 9 and LANGUAGES["brackets"].accepts(text), "yours refuses"),
            (lambda text: LANGUAGES["brackets"].accepts(text) or None, "for '' yours returns None"),
            (
                lambda text: LANGUAGES["brackets"].accepts(text) if len(text) < 9 else None,
                "yours returns None; return True",
            ),
            (forgets, "forget `return`"),
            (raises, "RuntimeError: oh no"),
        ],
        unmoved=(*FIXED, "in_place"),
    ),
    "masked_mean": Exercise(
        right=[
            lambda nats, y: float(nats[y != -100].mean()),
            lambda nats, y: np.float32(nats[y != -100].mean()),
            lambda nats, y: np.where(y == -100, 0, nats).sum() / (y != -100).sum(),
            masked_by_loop,
        ],
        wrong=[
            (lambda nats, y: nats.mean(), "the padding is counted"),
            (lambda nats, y: np.where(y == -100, 0, nats).mean(), "still counted"),
            (
                lambda nats, y: np.mean(
                    [n[t != -100].mean() for n, t in zip(nats, y, strict=True)]
                ),
                "rows' means",
            ),
            (lambda nats, y: nats[y != -100].sum(), "that is the sum"),
            (lambda nats, y: nats[y != -100].sum() / len(y), "divide by the B strings"),
            (lambda nats, y: nats[y != -100].sum() / y.shape[1], "divide by T"),
            (lambda nats, y: nats[y > 0].mean(), "an id like any other"),
            (lambda nats, y: nats[:, :-1].mean(), "add up the losses"),
            (lambda nats, y: np.median(nats[y != -100]), "add up the losses"),
            (lambda nats, y: nats[y != y.min()].mean(), "leaves out its smallest id"),
            (lambda nats, y: np.array([nats[y != -100].mean()]), "yours has the shape (1,)"),
            (lambda nats, y: nats * (y != -100), "yours has the shape (2, 4)"),
            (lambda nats, y: "1.5", "a finite number is asked for"),
            (masked_in_place, "changes what it was given"),
            (lambda nats, y: nats.max(), "add up the losses"),
            (lambda nats, y: nats[y == -100].mean(), "the mean of the padding"),
            (lambda nats, y: round(nats[y != -100].mean(), 2), "all its decimals"),
            (lambda nats, y: nats[y != -100].mean() // 1e-2 * 1e-2, "all its decimals"),
            (forgets, "forget `return`"),
        ],
        unmoved=("axis_swapped",),
    ),
    "short_floor": Exercise(
        right=[0.3 * math.log(2), 0.208, np.float32(0.2079)],
        wrong=[
            (1.5 * math.log(2) / 4, "`.end` is a symbol"),
            (1.5 * math.log(2), "the entropy of a string"),
            (0.3, "in bits"),
            (math.log(3) / 5, "not equally likely"),
            (1.5 * math.log(2) / 6, "`.start` is no symbol that is predicted"),
            (1.5 * math.log(2) / (17 / 3), "weighted with the probabilities"),
            (1.5 * math.log(2) / (14 / 3), "must be weighted, and"),
            (math.log(2) * (1 / 6 + 1 / 10 + 1 / 18), "the mean of each string's share"),
            (-0.208, "never negative"),
            (0.21, "the third digit"),
            (0.207, "the third digit"),
            (2.0, "work out two numbers"),
            ("0.208 nats", "a finite number is asked for"),
        ],
        unmoved=("axis_swapped",),
    ),
    "repeat_floor": Exercise(
        right=[repeat_floor, floor_by_sum],
        wrong=[
            (lambda stop, words: repeat_floor(stop, words, shown=1.0), "does not show in 'ss'"),
            (lambda stop, words: repeat_floor(stop, words, shown=stop), "does not show in 'ss'"),
            (
                lambda stop, words: repeat_floor(stop, words) * (4 / stop - 1) / 7,
                "Which of the three do you get?",
            ),
            (lambda stop, words: repeat_floor(stop, 1), "which word it is"),
            (lambda stop, words: repeat_floor(stop, words, symbols=2), "`.end` is a symbol"),
            (lambda stop, words: repeat_floor(stop, words) * (3 + 4 * (1 - stop) / stop), "divide"),
            (lambda stop, words: repeat_floor(stop, words) / math.log(2), "in bits"),
            (lambda stop, words: repeat_floor(stop, words, decisions=1), "more than one decision"),
            (
                lambda stop, words: repeat_floor(stop, words, decisions=4),
                "those of a `stop` of 1/4",
            ),
            (lambda stop, words: repeat_floor(stop, 3), "`words` is not used"),
            (lambda stop, words: repeat_floor(stop, words, symbols=7), "the last decision has no"),
            (
                lambda stop, words: repeat_floor(stop, words, decisions=1 / stop - 1),
                "one decision is missing",
            ),
            (lambda stop, words: repeat_floor(0.4, words), "at stop = 0.25 and 3 words the floor"),
            (lambda stop, words: repeat_floor(stop, 8), "at stop = 0.25 and 3 words the floor"),
            (
                lambda stop, words: repeat_floor(stop, words) if words > 1 else 0.0,
                "at stop = 0.6 and 1 word the floor is 0.1979, and yours 0.",
            ),
            (lambda stop, words: 0.2, "and a string has 9 symbols"),
            (lambda stop, words: np.array([repeat_floor(stop, words)]), "yours has the shape"),
            (lambda stop, words: round(repeat_floor(stop, words), 3), "all its decimals"),
            (lambda stop, words: round(repeat_floor(stop, words), 5), "all its decimals"),
            (lambda stop, words: repeat_floor(stop, words) // 1e-3 * 1e-3, "all its decimals"),
            (forgets, "forget `return`"),
        ],
        unmoved=("axis_swapped", "in_place"),
    ),
    "mean_length": Exercise(
        right=[
            mean_length,
            lambda q: (2 - 2 * q) / (1 - 2 * q) if q < 0.5 else float("inf"),
            lambda q: np.float64(mean_length(q)),
        ],
        wrong=[
            (lambda q: mean_length(q) - 1, "the first bracket is missing"),
            (lambda q: mean_length(q) + 1, "counts brackets"),
            (
                lambda q: round(mean_length(q), 2) if q < 0.5 else math.inf,
                "2.667, and yours is 2.67",
            ),
            (
                lambda q: round(mean_length(q), 5) if q < 0.5 else math.inf,
                "2.666667, and yours is 2.66667",
            ),
            (lambda q: 1 + 1 / (2 * q - 1) if q < 0.5 else math.inf, "the sign"),
            (lambda q: 1 + 1 / (1 - q), "the depth also rises"),
            (lambda q: [mean_length(q)], "yours has the shape (1,)"),
            (lambda q: mean_length(q) if q < 0.5 else "inf", "return math.inf, and not 'inf'"),
            (lambda q: mean_length(q) if q < 0.5 else math.nan, "return math.inf, and not nan"),
            (lambda q: 1 + 1 / (1 - 2 * q), "yours divides by 0"),
            (lambda q: math.inf if q == 0.5 else 1 + 1 / (1 - 2 * q), "at q = 0.75"),
            (lambda q: 9, "at q = 0 the length is 2, and yours is 9"),
            (lambda q: mean_length(q) if q < 0.49 else math.inf, "at q = 0.49 the length is 51"),
            (
                lambda q: mean_length(q) if q < 0.495 else math.inf,
                "at q = 0.4999 the length",
            ),
            (
                lambda q: mean_length(q) if q < 0.5 else None,
                "return math.inf, and not None",
            ),
            (forgets, "forget `return`"),
        ],
        unmoved=("axis_swapped", "in_place"),
    ),
    "string_of": Exercise(
        right=[string_of, pairs_at_the_top],
        wrong=[
            (lambda d, n: "(" * d + ")" * d + "()" * (n // 2 - d), "balances before its end"),
            (lambda d, n: "(" * (n // 2) + ")" * (n // 2), "has depth 5"),
            (lambda d, n: string_of(d, n // 2 * 2), "length 3: there is no such string"),
            (anything_even, "depth 1, length 4: there is no such string"),
            (lambda d, n: string_of(d, n) and string_of(d, 2 * d), "yours has 6 characters"),
            (lambda d, n: string_of(d, n) and "(" * n, "do not balance"),
            (lambda d, n: string_of(d, n) if n == 2 * d else "", "there is one"),
            (lambda d, n: list(string_of(d, n)), "a text is asked for"),
            (lambda d, n: string_of(d, n) or None, "length 4: there is no such string: return ''"),
            (forgets, "forget `return`"),
            (lambda d, n: string_of(d, n) if d < 9 else "", "depth 40, length 80: there is one"),
        ],
        unmoved=(*FIXED, "in_place"),
    ),
    "order_needed": Exercise(
        right=[lambda depth: 2 * depth, order_by_search],
        wrong=[
            (lambda depth: 2 * depth - 1, "the length of the context"),
            (lambda depth: 2 * depth + 1, "begin with `.start`"),
            (lambda depth: depth, "that close must be seen"),
            (lambda depth: depth + 1, "that close must be seen"),
            (lambda depth: 2**depth, "the two deepest strings"),
            (lambda depth: 3 * depth, "a bigram knows"),
            (lambda depth: 2 if depth == 1 else 3, "to tell these apart"),
            (forgets, "forget `return`"),
        ],
        unmoved=("axis_swapped", "dtype", "in_place"),
    ),
    "loss_bugs": Exercise(
        right=[BUGS, dict(reversed(BUGS.items()))],
        wrong=[
            (BUGS | {"a": "per string", "e": "bits"}, "10 times as large"),
            (BUGS | {"a": "padding counted"}, "lowers the mean"),
            (BUGS | {"b": "none"}, "b is not 'none'"),
            (BUGS | {"c": "none"}, "0.0004 is far below the floor; no model can get there"),
            (BUGS | {"c": "padding counted"}, "in batches sorted by length that share is small"),
            (BUGS | {"d": "padding counted"}, "d is not"),
            (BUGS | {"b": "overfitting"}, "is no cause here"),
            (BUGS | {"b": ...}, "b has no cause yet"),
            (list(BUGS.values()), "give a dict"),
        ],
        unmoved=("off_by_one", *FIXED),
    ),
    "breaking_string": Exercise(
        arguments={"decide": drifts},
        right=["(" + "()" * 500 + ")", "(" + "()" * 4999 + ")"],
        wrong=[
            ("()", "decides rightly after all 2"),
            ("(" * 1000 + ")" * 1000, "yours has 1000 brackets open"),
            ("(" + "(())" * 500 + ")", "yours has 3 brackets open"),
            ("(" + "()" * 400 + ")", "decides rightly after all 802"),
            ("(" * 30, "no string of the language"),
            ("(" * 30 + ")" * 30 + "()", "no string of the language"),
            ("[" * 30 + "]" * 30, "no string of the language"),
            ("", "no string of the language"),
            ("(" * 6000 + ")" * 6000, "10 000 are the most"),
            (21, "a text of brackets is asked for"),
        ],
        unmoved=FIXED,
    ),
}
