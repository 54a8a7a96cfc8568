"""Right and wrong answers to the exercises of chapter 00."""

import math
from itertools import pairwise

import numpy as np

from answers import Exercise, raises

LOSS = 1.3


EXERCISES = {
    "pairs": Exercise(
        arguments={},
        right=[lambda ids: (ids[:-1], ids[1:])],
        wrong=[
            (lambda ids: (ids, ids), "must be shifted"),
            (lambda ids: (ids[:-1], ids[:-1]), "must be shifted"),
            (lambda ids: (ids, ids[1:]), "differ in length"),
            (lambda ids: (ids, np.roll(ids, -1)), "N - 1 pairs"),
            (lambda ids: (ids[1:], ids[:-1]), "swap"),
            (lambda ids: (ids[:-2], ids[2:]), "must be the character that follows"),
            (lambda ids: list(pairwise(ids)), "return two arrays"),
            (lambda ids: None, "forget `return`"),
            (lambda ids: (ids[:-1], ids[1:] + 1), "must be the character that follows"),
            (raises, "RuntimeError: oh no"),
        ],
    ),
    "bits_per_character": Exercise(
        arguments={"nats": LOSS},
        right=[LOSS / math.log(2)],
        wrong=[
            (LOSS * math.log(2), "multiplied"),
            (math.exp(LOSS), "perplexity"),
            (math.log2(LOSS), "is one already"),
            (LOSS / math.log(10), "ln 10"),
            (LOSS, "in nats"),
            ("1.7", "another number"),
            ("many", "ValueError"),
        ],
    ),
}
