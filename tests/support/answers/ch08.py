"""Right and wrong answers to the exercises of chapter 08."""

import math
import re

import numpy as np

from answers import Exercise, raises
from lstmlib.grammars import LANGUAGES


def balanced(text):
    """Whether brackets balance, and never close what was not opened."""
    depths = np.cumsum([1 if c == "(" else -1 for c in text])
    return bool(depths.min() >= 0 and depths[-1] == 0)


DEPTH_2 = re.compile(r"\((\(\))*\)")


def repeat_floor(stop, words, shown=None, symbols=3, decisions=None):
    """The floor of an NDFA, or a wrong one."""
    entropy = -stop * math.log(stop) - (1 - stop) * math.log(1 - stop)
    shown = 1 - stop if shown is None else shown
    nats = (decisions or 1 / stop) * entropy + shown * math.log(words)
    return nats / (symbols + 4 * (1 - stop) / stop)


EXERCISES = {
    "bracket_string": Exercise(
        arguments={},
        right=[lambda text: LANGUAGES["brackets"].accepts(text)],
        wrong=[
            (lambda text: text.count("(") == text.count(")"), "closes what was never opened"),
            (lambda text: text != "" and balanced(text), "first balances"),
            (lambda text: LANGUAGES["brackets"].accepts_prefix(text), "a legal beginning"),
            (lambda text: text == "" or LANGUAGES["brackets"].accepts(text), "the empty text"),
            (lambda text: text == "()", "'(())' is a string of the language, and yours refuses"),
            (lambda text: bool(DEPTH_2.fullmatch(text)), r"'((()))' is a string"),
            (lambda text: None, "forget `return`"),
            (raises, "RuntimeError: oh no"),
        ],
    ),
    "masked_mean": Exercise(
        arguments={},
        right=[lambda nats, y: np.float32(nats[y != -100].mean())],
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
            (lambda nats, y: nats[y > 0].mean(), "an id like any other"),
            (lambda nats, y: nats.max(), "add up the losses"),
            (lambda nats, y: None, "forget `return`"),
        ],
    ),
    "repeat_floor": Exercise(
        arguments={},
        right=[repeat_floor],
        wrong=[
            (lambda stop, words: repeat_floor(stop, words, shown=1.0), "does not show in 'ss'"),
            (lambda stop, words: repeat_floor(stop, words, shown=stop), "does not show in 'ss'"),
            (lambda stop, words: repeat_floor(stop, words) * (4 / stop - 1) / 7, "mean length"),
            (lambda stop, words: repeat_floor(stop, 1), "which word it is"),
            (lambda stop, words: repeat_floor(stop, words, symbols=2), "`.end` is a symbol"),
            (lambda stop, words: repeat_floor(stop, words) * (3 + 4 * (1 - stop) / stop), "divide"),
            (lambda stop, words: repeat_floor(stop, words) / math.log(2), "in bits"),
            (lambda stop, words: repeat_floor(stop, words, decisions=1), "decisions in the mean"),
            (lambda stop, words: 0.2, "over the mean length"),
            (lambda stop, words: None, "forget `return`"),
        ],
    ),
}
