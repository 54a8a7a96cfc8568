"""Checks that notebooks run: bands for measured numbers, and exercises.

An exercise check takes the student's answer, prints one line, and hands back an answer that the
rest of the notebook can use: the student's own when it is right, else the reference. `...` (as the
exercise cells come) counts as not attempted.
"""

import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lstmlib.profile import profile

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_BANDS = Path(__file__).with_name("bands.toml")


def bands() -> dict[str, dict]:
    """Return all bands: name -> {"what": text, profile: [low, high], ...}."""
    return tomllib.loads(_BANDS.read_text(encoding="utf-8"))


def band(name: str, value: float, corpus: str = "python-docs") -> None:
    """Print "…: ok" if a measured number lies in its band for this profile.

    Bands were measured on the default corpus; on another one this says so and checks nothing.

    Raises:
        KeyError: there is no such band.
        AssertionError: the number lies outside; the message names the band.
    """
    entry = bands()[name]
    if corpus != "python-docs":
        print(f"{entry['what']}: not checked, since its band is for python-docs, not for {corpus}")
        return
    low, high = entry[profile()]
    if not low <= value <= high:
        raise AssertionError(
            f"{entry['what']} is {value:.4g}, outside its band {low} … {high} for the profile "
            f"{profile()!r} (bands.toml, {name}). If you changed a size or trained twice, "
            "that was to be expected; if not, something is wrong."
        )
    print(f"{entry['what']} in its band: ok")


def fact(name: str, holds: bool) -> None:
    """Print "name: ok" if a statement holds, else raise AssertionError naming it."""
    if not holds:
        raise AssertionError(f"{name}: does not hold here.")
    print(f"{name}: ok")


class _Slip(Exception):
    """What is wrong with an answer, said to the student."""


def _grade(answer: object, reference: object, find_slip: Callable[[], str | None]) -> object:
    """Print the verdict on an answer; return the answer if right, else the reference."""
    if answer is ... or answer is None:
        print("not attempted yet")
        return reference
    try:
        slip = find_slip()
    except _Slip as error:
        slip = str(error)
    except Exception as error:  # whatever the student's code raises is a slip, not a crash
        slip = f"your code stopped with {type(error).__name__}: {error}"
    if slip:
        print(f"not yet: {slip}")
        return reference
    print("right")
    return answer


def _call(function: Callable, *arguments: object) -> object:
    """Call a student's function; a result of None is the forgotten `return`."""
    result = function(*arguments)
    if result is None:
        raise _Slip("your function returns nothing; did you forget `return`?")
    return result


# Chapter 00


def pairs(answer: Callable | None) -> Callable:
    """Check a function ids (N,) -> (inputs, targets), the targets one character ahead."""

    def reference(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return ids[:-1], ids[1:]

    def find_slip() -> str | None:
        ids = np.array([3, 1, 4, 1, 5, 9])
        got = _call(answer, ids.copy())
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

    return _grade(answer, reference, find_slip)


def bits_per_character(answer: float | None, nats: float) -> float:
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

    return _grade(answer, reference, find_slip)


# Chapter 01


def straight_quotes(answer: Callable | None) -> Callable:
    """Check a function text -> text that turns the four curly quotes into straight ones."""
    table = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"'})

    def reference(text: str) -> str:
        return text.translate(table)

    def find_slip() -> str | None:
        text = "“I can’t,” he said, “say ‘yes’.”"
        got = _call(answer, text)
        if got == text.translate(table):
            return None
        if got == text.encode("ascii", errors="ignore").decode():
            return "that deletes the quotes, so “can’t” is read as “cant”; replace them."
        left = [c for c in "‘’“”" if c in got]
        if left:
            return f"{left[0]!r} (U+{ord(left[0]):04X}) is still there; there are four of them."
        return "single curly quotes become ' and double ones become \"; nothing else changes."

    return _grade(answer, reference, find_slip)


def window_count(answer: Callable | None) -> Callable:
    """Check a function (n, length, step) -> how many windows with a target fit."""

    def reference(n: int, length: int, step: int) -> int:
        return (n - length - 1) // step + 1

    def find_slip() -> str | None:
        cases = [(10, 4, 1), (10, 4, 2), (11, 4, 2), (51, 50, 5), (1000, 50, 5)]
        got = [_call(answer, *case) for case in cases]
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

    return _grade(answer, reference, find_slip)


def add_one_probability(answer: Callable | None) -> Callable:
    """Check a function (pair_count, context_count, vocab_size) -> P(c | h), add-one smoothed."""

    def reference(pair_count: int, context_count: int, vocab_size: int) -> float:
        return (pair_count + 1) / (context_count + vocab_size)

    def find_slip() -> str | None:
        cases = [(3, 10, 5), (0, 10, 5), (0, 0, 5)]
        if _call(answer, 0, 10, 5) == 0:
            return "a pair that was never seen gets probability 0, and one such pair costs ∞ nats."
        got = [_call(answer, *case) for case in cases]
        if np.allclose(got, [reference(*case) for case in cases]):
            return None
        if np.allclose(got, [(a + 1) / (b + 1) for a, b, _ in cases]):
            return "the probabilities of the V next characters must sum to 1; yours sum to more."
        return "add 1 to the count of each of the V possible pairs; the total grows by V."

    return _grade(answer, reference, find_slip)
