"""Checks that notebooks run: bands for measured numbers, and exercises.

An exercise check takes the student's answer, prints one line, and hands back an answer that the
rest of the notebook can use: the student's own when it is right, else the reference. `...` (as the
exercise cells come) counts as not attempted.
"""

import math
import sys
from collections.abc import Callable, Iterable
from itertools import permutations
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


# Chapter 02


def chunk(answer: Callable | None) -> Callable:
    """Check a function (ids, start, length) -> (x, y): a piece of a text, and its targets."""

    def reference(ids: np.ndarray, start: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        return ids[start : start + length], ids[start + 1 : start + length + 1]

    def find_slip() -> str | None:
        ids = np.array([3, 1, 4, 1, 5, 9, 2, 6])
        for start, length in ((2, 3), (1, 4), (0, 3)):
            got = _call(answer, ids.copy(), start, length)
            if len(got) != 2:
                return "return two arrays: the inputs, and the targets."
            x, y = (np.asarray(part).tolist() for part in got)
            right = [ids[start + k : start + k + length].tolist() for k in (0, 1)]
            if x == y:
                return "the targets are not shifted: the network would learn to copy what it reads."
            if len(x) != length or len(y) != length:
                return f"both must have `length` characters; yours have {len(x)} and {len(y)}."
            if x != right[0]:
                return "the inputs must be the `length` characters from `start` on."
            if start > 0 and y == ids[start - 1 : start - 1 + length].tolist():
                return "the targets are shifted the wrong way; each must be the one that follows."
            if y != right[1]:
                return "target i must be the character that follows input i."
        return None

    return _grade(answer, reference, find_slip)


def step_back(answer: Callable | None) -> Callable:
    """Check a function (dh_loss, dh_next, h, Wh) -> (dz, dh of the step before) of an RNN."""

    def reference(
        dh_loss: np.ndarray, dh_next: np.ndarray, h: np.ndarray, Wh: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        dz = (dh_loss + dh_next) * (1 - h**2)
        return dz, dz @ Wh.T

    def find_slip() -> str | None:
        rng = np.random.default_rng(0)
        dh_loss, dh_next, h = rng.normal(size=(3, 2, 4))
        Wh = rng.normal(size=(4, 4))
        inputs = (dh_loss, dh_next, np.tanh(h), Wh)
        given = [array.copy() for array in inputs]
        got = _call(answer, *given)
        if len(got) != 2:
            return "return two arrays: dz, and the gradient of the h before."
        if any(not np.array_equal(a, b) for a, b in zip(given, inputs, strict=True)):
            return (
                "your function changed its arguments; `a = a + b` makes a new array, `a += b` not."
            )
        dz, dh = reference(*inputs)
        slope = 1 - inputs[2] ** 2
        if np.shape(got[1]) == dz.shape and np.allclose(got[1], dz):
            return "return dz first, then the gradient of the h before."
        if np.shape(got[0]) == dz.shape and np.allclose(got[0], dh_loss * slope):
            return "you forgot to add dh from the next step: h also acts on all that comes later."
        if np.shape(got[0]) == dz.shape and np.allclose(got[0], dh_loss + dh_next):
            return "z comes before the tanh: multiply by its derivative, 1 - h²."
        if np.shape(got[0]) == dz.shape and np.allclose(
            got[0], (dh_loss + dh_next) * (1 - np.tanh(inputs[2]) ** 2)
        ):
            return "h is the tanh already; its derivative is 1 - h²."
        if np.shape(got[0]) != dz.shape or not np.allclose(got[0], dz):
            return "dz is (dh_loss + dh_next) times the derivative of tanh, entry by entry."
        if np.shape(got[1]) == dh.shape and np.allclose(got[1], dz @ Wh):
            return "forwards it was h @ Wh, so the gradient goes back through the transpose, Wh.T."
        right = np.shape(got[1]) == dh.shape and np.allclose(got[1], dh)
        return None if right else "dz is right; the h before reached z through h @ Wh."

    return _grade(answer, reference, find_slip)


def clipped(answer: Callable | None) -> Callable:
    """Check a function (g, limit) -> a new array, every entry of g cut to [-limit, limit]."""

    def reference(g: np.ndarray, limit: float) -> np.ndarray:
        return np.clip(g, -limit, limit)

    def find_slip() -> str | None:
        g = np.array([[-9.0, 0.5], [3.0, 20.0]])
        given = g.copy()
        got = _call(answer, given, 4.0)
        if not np.array_equal(given, g):
            return (
                "your function changed the caller's gradient. Whoever measures its norm afterwards "
                "sees the clipped one; return a new array."
            )
        if np.shape(got) != g.shape:
            return f"the result has the shape of g, {g.shape}; yours is {np.shape(got)}."
        if np.allclose(got, reference(g, 4.0)):
            return None
        if np.allclose(got, reference(g, 5.0)):
            return "use `limit`, which is not always 5."
        if np.allclose(got, np.minimum(g, 4.0)):
            return "large negative entries must be cut too, at -limit."
        if np.allclose(got, g * 4 / np.linalg.norm(g)):
            return "that is clipping by norm, which scales all entries; here each is cut by itself."
        return "entries within [-limit, limit] stay; the others become the nearer end."

    return _grade(answer, reference, find_slip)


# Chapter 03


def split_gates(answer: Callable | None) -> Callable:
    """Check a function z (N, 4H) -> (i, f, g, o), the values of the gates, each (N, H)."""

    def activated(z: np.ndarray, order: Iterable[str], tanh: str = "g") -> list[np.ndarray]:
        parts = dict(zip(order, np.split(z, 4, axis=1), strict=True))
        return [np.tanh(parts[k]) if k in tanh else 1 / (1 + np.exp(-parts[k])) for k in "ifgo"]

    def reference(z: np.ndarray) -> list[np.ndarray]:
        return activated(z, "ifgo")

    def find_slip() -> str | None:
        z = np.random.default_rng(0).normal(size=(2, 12))
        got = _call(answer, z.copy())
        if len(got) != 4:
            return "return four arrays: i, f, g and o."

        def equals(values: list[np.ndarray]) -> bool:
            pairs = zip(got, values, strict=True)
            return all(np.shape(a) == b.shape and np.allclose(a, b) for a, b in pairs)

        if equals(reference(z)):
            return None
        if any(np.shape(part) != (2, 3) for part in got):
            return "each gate is a block of H neighbouring columns of z, (N, H)."
        for order in permutations("ifgo"):
            if equals(activated(z, order)):
                return f"your gate order is {' '.join(order)}; ours, as PyTorch's, is i f g o."
        if equals(activated(z.reshape(2, 3, 4).swapaxes(1, 2).reshape(2, 12), "ifgo")):
            return "each gate is a block of H neighbouring columns of z, not every fourth column."
        if equals(np.split(z, 4, axis=1)):
            return "those are the pre-activations; i, f and o still need σ, and g needs tanh."
        if equals(activated(z, "ifgo", tanh="")):
            return "g is a candidate, not a gate: it needs tanh, so that it can also be negative."
        return "i, f and o are σ of their block, g is tanh of its block."

    return _grade(answer, reference, find_slip)


def coupled_gate(answer: Callable | None) -> Callable:
    """Check a function (dc, i, g, c_old) -> the gradient of the CIFG's z_i."""

    def reference(dc: np.ndarray, i: np.ndarray, g: np.ndarray, c_old: np.ndarray) -> np.ndarray:
        return dc * (g - c_old) * i * (1 - i)

    def find_slip() -> str | None:
        dc, g, c_old, z = np.random.default_rng(0).normal(size=(4, 2, 3))
        i = 1 / (1 + np.exp(-z))
        got = _call(answer, dc.copy(), i.copy(), g.copy(), c_old.copy())
        if np.shape(got) != dc.shape:
            return f"the gradient has the shape of dc, {dc.shape}; yours is {np.shape(got)}."
        slope = i * (1 - i)
        slips = [
            (dc * g * slope, "i acts twice: it lets g in, and as 1 - i it lets c_old go."),
            (dc * (g + c_old) * slope, "c_old is kept by 1 - i, so its term has a minus sign."),
            (
                dc * (g - c_old),
                "that is the gradient of i; z_i comes before the σ: times i (1 - i).",
            ),
            (dc * (g - c_old) * i, "the derivative of σ is i (1 - i)."),
            (dc * (g - c_old) * (1 - i * i), "that is the derivative of tanh; σ's is i (1 - i)."),
            (dc * (c_old - g) * slope, "the signs are swapped: more i means more g, less c_old."),
            ((g - c_old) * slope, "multiply by dc, the gradient that arrives at c."),
        ]
        if np.allclose(got, reference(dc, i, g, c_old)):
            return None
        hints = [hint for value, hint in slips if np.allclose(got, value)]
        return (
            hints[0] if hints else "c = (1 - i)·c_old + i·g: what does c do when i grows a little?"
        )

    return _grade(answer, reference, find_slip)


def lstm_parameters(answer: Callable | None) -> Callable:
    """Check a function (V, H) -> parameters of a one-layer LSTM with its output layer.

    Input is one-hot, and every gate has one bias, as in the equations.
    """

    def reference(V: int, H: int) -> int:
        return 4 * (V * H + H * H + H) + H * V + V

    def find_slip() -> str | None:
        cases = [(65, 100), (3, 2), (80, 1)]
        got = [_call(answer, V, H) for V, H in cases]
        if got == [reference(V, H) for V, H in cases]:
            return None
        blocks = {k: [k * (V * H + H * H + H) + H * V + V for V, H in cases] for k in (1, 3)}
        slips = [
            (blocks[1], "an LSTM has four blocks, i, f, g and o, each with its own matrices."),
            (blocks[3], "that is the CIFG: the LSTM has four blocks."),
            (
                [reference(V, H) + 4 * H for V, H in cases],
                "PyTorch counts two biases for each gate; the equations have one.",
            ),
            (
                [reference(V, H) - H * V - V for V, H in cases],
                "the output layer counts too: H·V weights and V biases.",
            ),
            ([reference(V, H) - V for V, H in cases], "the output layer has V biases as well."),
            ([reference(V, H) - H * V for V, H in cases], "you left out Wy, (H, V)."),
            (
                [reference(V, H) - 4 * H for V, H in cases],
                "you left out the biases of the gates: H for each of the four.",
            ),
        ]
        hints = [hint for counts, hint in slips if got == counts]
        return hints[0] if hints else "count Wx (V, 4H), Wh (H, 4H), b (4H,), Wy (H, V), by (V,)."

    return _grade(answer, reference, find_slip)
