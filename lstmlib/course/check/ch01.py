"""Checks of the exercises of chapter 01."""

from collections.abc import Callable

import numpy as np

from lstmlib.course.check.exercises import call_answer, grade


def straight_quotes(answer: Callable | None) -> None:
    """Check a function text -> text that turns the four curly quotes into straight ones."""
    table = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"'})

    def reference(text: str) -> str:
        return text.translate(table)

    def find_slip() -> str | None:
        text = "“I can’t,” he said, “say ‘yes’.”"
        got = call_answer(answer, text)
        if got == text.translate(table):
            return None
        if got == text.encode("ascii", errors="ignore").decode():
            return "that deletes the quotes, so “can’t” is read as “cant”; replace them."
        left = [c for c in "‘’“”" if c in got]
        if left:
            return f"{left[0]!r} (U+{ord(left[0]):04X}) is still there; there are four of them."
        return "single curly quotes become ' and double ones become \"; nothing else changes."

    grade(answer, find_slip)


def window_count(answer: Callable | None) -> None:
    """Check a function (n, length, step) -> how many windows with a target fit."""

    def reference(n: int, length: int, step: int) -> int:
        return (n - length - 1) // step + 1

    def find_slip() -> str | None:
        cases = [(10, 4, 1), (10, 4, 2), (11, 4, 2), (51, 50, 5), (1000, 50, 5)]
        got = [call_answer(answer, *case) for case in cases]
        if got == [reference(*case) for case in cases]:
            return None
        if got == [(n - length) // step + 1 for n, length, step in cases]:
            return "the last window needs a character after it to predict."
        if got == [(n - length - 1) // step for n, length, step in cases]:
            return "the window that starts at 0 counts too: one more."
        if got == [n // length for n, length, step in cases]:
            return "those are blocks that do not overlap; windows start every `step` characters."
        if any(count != int(count) for count in got):
            return "a number of windows is a whole number; divide with //."
        bad, count = next((c, g) for c, g in zip(cases, got, strict=True) if g != reference(*c))
        return f"{bad} gives {count}, but there are {reference(*bad)}; draw them and count."

    grade(answer, find_slip)


def add_one_probability(answer: Callable | None) -> None:
    """Check a function (pair_count, context_count, vocab_size) -> P(c | h), add-one smoothed."""

    def reference(pair_count: int, context_count: int, vocab_size: int) -> float:
        return (pair_count + 1) / (context_count + vocab_size)

    def find_slip() -> str | None:
        cases = [(3, 10, 5), (0, 10, 5), (0, 0, 5)]
        if call_answer(answer, 0, 10, 5) == 0:
            return "a pair that was never seen gets probability 0, and one such pair costs ∞ nats."
        got = [call_answer(answer, *case) for case in cases]
        if np.allclose(got, [reference(*case) for case in cases]):
            return None
        if np.allclose(got, [(a + 1) / (b + 1) for a, b, _ in cases]):
            return "the probabilities of the V next characters must sum to 1; yours sum to more."
        return "add 1 to the count of each of the V possible pairs; the total grows by V."

    grade(answer, find_slip)
