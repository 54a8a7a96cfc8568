"""Checks of the exercises of chapter 00."""

import math
from collections.abc import Callable

import numpy as np

from lstmlib.course.check.exercises import call_answer, grade


def pairs(answer: Callable | None) -> None:
    """Check a function ids (N,) -> (inputs, targets), the targets one character ahead."""

    def reference(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return ids[:-1], ids[1:]

    def find_slip() -> str | None:
        ids = np.array([3, 1, 4, 1, 5, 9])
        got = call_answer(answer, ids.copy())
        if len(got) != 2:
            return "return two arrays: all the inputs, and all the targets."
        x, y = (np.asarray(part) for part in got)
        if len(x) != len(y):
            return "inputs and targets differ in length; the last character has no successor."
        if np.array_equal(x, y):
            return "the targets are the inputs; they must be shifted by one character."
        if len(x) == len(ids):
            return "the last character has no successor, so there are N - 1 pairs, not N."
        if np.array_equal(x, ids[1:]) and np.array_equal(y, ids[:-1]):
            return "that predicts the character before; swap inputs and targets."
        right = np.array_equal(x, ids[:-1]) and np.array_equal(y, ids[1:])
        return None if right else "target i must be the character that follows input i."

    grade(answer, find_slip)


def bits_per_character(answer: float | None, nats: float) -> None:
    """Check a loss in nats turned into bits."""
    reference = nats / math.log(2)

    def find_slip() -> str | None:
        def equals(value: float) -> bool:
            return math.isclose(float(answer), value, rel_tol=1e-3)

        if equals(reference):
            return None
        if equals(nats):
            return "that is the loss in nats; a bit is ln 2 nats."
        if equals(nats * math.log(2)):
            return "you multiplied by ln 2; a bit is smaller than a nat, so there are more of them."
        if equals(math.exp(nats)):
            return "that is the perplexity, e to the loss; bits are the loss in another unit."
        if nats > 0 and equals(math.log2(nats)):
            return "that is the logarithm of the loss; the loss is one already, in another unit."
        if equals(nats / math.log(10)):
            return "that is the loss in decimal digits; divide by ln 2, not by ln 10."
        return "that is another number; a bit is ln 2 nats, so how many bits are in the loss?"

    grade(answer, find_slip)
