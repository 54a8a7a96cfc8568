"""Checks that notebooks run: bands for measured numbers, and exercises.

An exercise check takes the student's answer, prints one line, and hands back an answer that the
rest of the notebook can use: the student's own when it is right, else the reference. `...` (as the
exercise cells come) counts as not attempted.
"""

import math
import sys
from collections.abc import Callable, Iterable
from itertools import permutations, product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lstmlib.batching import IGNORE
from lstmlib.models import detach
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


def has_room(band: list[float], measured: list[float], like: list[float] | None = None) -> bool:
    """Say whether a band leaves room for machines that were not measured.

    Args:
        band: [low, high].
        measured: [lowest, highest, runs]. On each side a third of their distance must be left.
        like: what was measured in a profile of many runs. One or two runs show no spread, so they
            must have a third of that profile's, and 1 % of their value at least.
    """
    (low, high), (lowest, highest, runs) = band, measured
    room = (highest - lowest) / 3
    if like is not None and runs < 3:
        room = max(room, (like[1] - like[0]) / 3, abs(lowest) / 100, abs(highest) / 100)
    return low <= lowest - room and highest + room <= high


def enough_text(text: str, enough: int = 50_000) -> None:
    """Say whether a text is long enough to learn from; if not, what cannot be learned from it.

    Args:
        text: what a network is to be trained on.
        enough: characters.
    """
    if len(text) >= enough:
        print("enough text to learn from: ok")
        return
    print(
        f"This text has {len(text):,} characters. All cells run, but from under {enough:,} hardly "
        "anything of a language can be learned: the network soon knows these pages by heart, and "
        "the loss on unseen text stays high. Compare with the default text, or take a whole book."
    )


def fact(name: str, holds: bool, corpus: str = "python-docs") -> None:
    """Print "name: ok" if a statement holds.

    A statement about the default corpus, or about what a network learns from it, is given the name
    of the corpus in use: on another one this says so and checks nothing.

    Raises:
        AssertionError: the statement does not hold; the message names it.
    """
    if corpus != "python-docs":
        print(f"{name}: not checked, since it is about python-docs, not about {corpus}")
        return
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


# Chapter 04


def gru_units(answer: Callable | None) -> Callable:
    """Check a function (V, H) -> most units of a GRU with no more parameters than an LSTM of H.

    Both have one layer on one-hot inputs, two biases for every block, and an output layer.
    """

    def counted(G: int, V: int, H: int) -> int:
        return G * (H * V + H * H + 2 * H) + H * V + V

    def reference(V: int, H: int) -> int:
        units = H
        while counted(3, V, units + 1) <= counted(4, V, H):
            units += 1
        return units

    def find_slip() -> str | None:
        for V, H in ((65, 100), (10, 300), (90, 17)):
            units = _call(answer, V, H)
            if units != int(units):
                return "units come whole; round down."
            if units == H:
                return "with as many units, the GRU has a quarter less in its layer: more fit."
            if units == 4 * H // 3:
                return "4/3 of the units would fit if parameters grew with H; most grow with H²."
            if counted(3, V, units) > counted(4, V, H):
                return f"with V = {V} and H = {H}, a GRU of {units} has more parameters."
            if counted(3, V, units + 1) <= counted(4, V, H):
                return f"with V = {V} and H = {H}, {units} are too few: one more would still fit."
        return None

    return _grade(answer, reference, find_slip)


def table_gradient(answer: Callable | None) -> Callable:
    """Check a function (dx (T, E), ids (T,), V) -> gradient (V, E) of the table that was read."""

    def reference(dx: np.ndarray, ids: np.ndarray, V: int) -> np.ndarray:
        table = np.zeros((V, dx.shape[1]))
        np.add.at(table, ids, dx)
        return table

    def find_slip() -> str | None:
        dx, ids, V = np.random.default_rng(0).normal(size=(5, 3)), np.array([2, 0, 2, 5, 2]), 7
        got = _call(answer, dx.copy(), ids.copy(), V)
        right = reference(dx, ids, V)
        shape = np.shape(got)
        if shape == right.shape[::-1] and np.allclose(got, right.T):
            return "that is the transpose; the table has a row for each character."
        if shape == dx.shape:
            return "the result has a row for each character, (V, E), not for each step."
        if shape != right.shape:
            return f"the table is (V, E), here {right.shape}; yours is {shape}."
        if np.allclose(got, right):
            return None
        last, times = np.zeros_like(right), np.bincount(ids, minlength=V)[:, None]
        last[ids] = dx
        slips = [
            (
                last,
                "id 2 was read three times, and only its last gradient is there; they add up. "
                "(In NumPy `a[ids] += b` adds once for each id; `np.add.at` adds all.)",
            ),
            (right / np.maximum(times, 1), "gradients that meet in one place add up: no mean."),
            (np.broadcast_to(times, right.shape), "you counted the reads; add up their dx."),
        ]
        hints = [hint for value, hint in slips if np.allclose(got, value)]
        return hints[0] if hints else "row v is the sum of the rows of dx at which v was read."

    return _grade(answer, reference, find_slip)


def next_state(answer: Callable | None) -> Callable:
    """Check a function (state, k) -> the state to start batch k with; the state is (h, c)."""

    def reference(state: tuple[Tensor, ...], k: int) -> tuple[Tensor, ...] | None:
        return None if k == 0 else detach(state)

    def find_slip() -> str | None:
        grown = torch.arange(1.0, 13.0).reshape(2, 1, 2, 3).requires_grad_()
        state = tuple(2 * part for part in grown)  # (h, c), each (1, 2, 3), with a graph
        first, later = answer(state, 0), [answer(state, k) for k in (1, 2, 7)]
        if any(part.grad_fn is None for part in state):
            return "your function cut the caller's state; `detach`, without `_`, returns a new one."

        def is_zero(got: object) -> bool:
            return got is None or all(not part.any() for part in got)

        if all(map(is_zero, later)):
            if not is_zero(first):
                return "the other way round: batch 0 begins anew, all others go on."
            return (
                "no batch gets a state (is there a `return`?): every piece of text is read as if "
                "nothing came before it."
            )
        for got in later:
            if is_zero(got):
                return "batch 0 alone begins anew; every other one goes on."
            if not isinstance(got, tuple | list) or len(got) != 2:
                return "the LSTM wants a pair, (h, c)."
            if any(not torch.equal(a, b) for a, b in zip(got, state, strict=True)):
                return "the numbers must stay as they are, h first, then c."
            if any(part.requires_grad for part in got):
                return (
                    "it still hangs on the graph of the batch before, and `backward` would walk "
                    "back into it: detach h and c."
                )
        return None if is_zero(first) else "batch 0 begins the text anew: None, or zeros."

    return _grade(answer, reference, find_slip)


# Chapter 05


def norm_clipped(answer: Callable | None) -> Callable:
    """Check a function (list of arrays, limit) -> new arrays, clipped by their global norm."""

    def reference(gradients: list[np.ndarray], limit: float) -> list[np.ndarray]:
        norm = math.sqrt(sum((g**2).sum() for g in gradients))
        return [g * min(1.0, limit / norm) for g in gradients]

    def find_slip() -> str | None:
        long = [np.array([[3.0, -4.0], [0.0, 2.0]]), np.array([12.0, 0.5])]
        short = [np.array([0.03, 0.04]), np.array([[0.1]])]

        def answers(gradients: list[np.ndarray], limit: float) -> list:
            given = [g.copy() for g in gradients]
            got = list(_call(answer, given, limit))
            if any(not np.array_equal(a, b) for a, b in zip(given, gradients, strict=True)):
                raise _Slip("your function changed the gradients it was given; return new arrays.")
            if len(got) != len(gradients):
                raise _Slip("return as many arrays as you were given.")
            return got

        def equal(got: list, wanted: list) -> bool:
            pairs = zip(got, wanted, strict=True)
            return all(np.shape(a) == b.shape and np.allclose(a, b) for a, b in pairs)

        got, norm = answers(long, 2.0), math.sqrt(sum((g**2).sum() for g in long))
        if equal(got, [np.clip(g, -2, 2) for g in long]):
            return "that cuts every entry by itself; scale all entries by one factor."
        if equal(got, [g * min(1, 2 / np.linalg.norm(g)) for g in long]):
            return "you clip each array by its own norm; the norm is that of all arrays together."
        if equal(got, [g * 2 / norm**2 for g in long]):
            return "you forgot the square root in the norm."
        if equal(got, [g / norm for g in long]):
            return "you scale to length 1; the length should be `limit`."
        if not equal(got, reference(long, 2.0)):
            return "all entries are multiplied by limit / norm when the norm is above the limit."
        if not equal(answers(long, 0.5), reference(long, 0.5)):
            return "use `limit`, which is not always 2."
        if not equal(answers(short, 2.0), short):
            return "a gradient that is shorter than the limit must stay as it is."
        return None

    return _grade(answer, reference, find_slip)


def warm_cosine(answer: Callable | None) -> Callable:
    """Check a function (step, steps, warmup, peak) -> learning rate, linear, then half a cosine."""

    def reference(step: int, steps: int, warmup: int, peak: float) -> float:
        if step <= warmup:
            return peak * step / warmup
        done = (step - warmup) / (steps - warmup)
        return peak * 0.5 * (1 + math.cos(math.pi * done))

    def find_slip() -> str | None:
        steps, warmup, peak = 100, 20, 0.004
        got = {k: float(_call(answer, k, steps, warmup, peak)) for k in range(1, steps + 1)}

        def off(k: int) -> bool:
            return not math.isclose(got[k], reference(k, steps, warmup, peak), abs_tol=1e-9)

        if math.isclose(got[1], 0.0, abs_tol=1e-12):
            return "steps count from 1, and the first one should move: its rate is peak / warmup."
        if off(10):
            return "during the warm-up the rate rises on a straight line, peak · step / warmup."
        if off(20):
            return "at the last step of the warm-up the rate is the peak."
        if math.isclose(got[60], peak * 0.5 * (1 + math.cos(math.pi * 0.6)), rel_tol=1e-9):
            return "the cosine begins where the warm-up ends: count its steps from there."
        if math.isclose(got[60], peak * math.cos(math.pi * 0.5), abs_tol=1e-9):
            return "cos falls from 1 to -1; (1 + cos) / 2 falls from 1 to 0."
        if math.isclose(got[60], peak / 2, rel_tol=1e-9) and off(40):
            return "that is a straight line down; half a cosine falls slowly, fast, and slowly."
        if off(100):
            return "at the last step the rate is 0."
        if any(off(k) for k in got):
            return "the cosine is peak · (1 + cos(π · share)) / 2, share going from 0 to 1."
        other = (30, 3, 1.5)
        if any(
            not math.isclose(_call(answer, k, *other), reference(k, *other), abs_tol=1e-9)
            for k in range(1, 31)
        ):
            return "use steps, warmup and peak as they are given; they are not always the same."
        return None

    return _grade(answer, reference, find_slip)


def early_stop(answer: Callable | None) -> Callable:
    """Check a function (validation losses, patience) -> (index it stops at, index of the best).

    Counted from 0; the last index if it never stops.
    """

    def reference(losses: list[float], patience: int) -> tuple[int, int]:
        best = 0
        for k, loss in enumerate(losses):
            if loss < losses[best]:
                best = k
            elif k - best >= patience:
                return k, best
        return len(losses) - 1, best

    def find_slip() -> str | None:
        def answers(losses: list[float], patience: int) -> tuple:
            got = _call(answer, list(losses), patience)
            if np.ndim(got) != 1 or len(got) != 2:
                raise _Slip("return two numbers: where it stops, and where the best loss was.")
            return int(got[0]), int(got[1])

        if answers([3, 2, 1], 2) != (2, 2):
            return "with [3, 2, 1] nothing gets worse: it runs to index 2, which is the best."
        once = answers([3, 2, 2.5, 1, 0.5], 2)
        if once == (2, 1):
            return "one validation without a new best is no reason to stop at patience 2."
        if once != (4, 4):
            return "with [3, 2, 2.5, 1, 0.5] and patience 2 a new best at index 3 starts the count."
        if answers([3, 1, 2, 2.5, 2.2], 2) == (1, 3):
            return "return where it stops first, then where the best loss was."
        if answers([3, 1, 2, 2.5, 2.2], 2) == (4, 1):
            return "it stops at the second validation in a row without a new best, not after it."
        if answers([3, 1, 2, 1.5, 1.4], 2) != (3, 1):
            return "[3, 1, 2, 1.5]: 1.5 is below 2, but no new best; the best is still index 1."
        if answers([3, 2, 2, 2, 1], 2) != (3, 1):
            return "an equal loss is no new best."
        if answers([3, 1, 2], 5) != (2, 1):
            return "[3, 1, 2] and patience 5: it runs to the end, and the best is still index 1."
        if answers([3, 1, 2, 0], 1) != (2, 1) or answers([3, 1, 2, 2, 2, 0], 3) != (4, 1):
            return "use `patience`, which is not always 2."
        return None

    return _grade(answer, reference, find_slip)


# Chapter 06


def step_jacobian(answer: Callable | None) -> Callable:
    """Check a function (W_h (H, H), h (H,)) -> (H, H), the Jacobian of tanh(W_h · before + …)."""

    def reference(W_h: np.ndarray, h: np.ndarray) -> np.ndarray:
        return (1 - h**2)[:, None] * W_h

    def find_slip() -> str | None:
        W_h = np.array([[1.0, 2.0, 0.5], [-3.0, 4.0, 0.2], [0.1, -0.7, 0.9]])
        h = np.array([0.5, -0.8, 0.1])
        got = np.asarray(_call(answer, W_h.copy(), h.copy()))

        def equals(wanted: np.ndarray) -> bool:
            return got.shape == wanted.shape and np.allclose(got, wanted)

        if got.shape != W_h.shape:
            return f"the Jacobian has the shape of W_h, (3, 3), not {got.shape}."
        if equals(reference(W_h, h).T):
            return "that is its transpose: entry [a, b] is the derivative of h_t[a] by h_before[b]."
        if equals(W_h * (1 - h**2)):
            return "you scaled the columns of W_h; entry a of h_t is a row's, so scale the rows."
        if equals((1 - h)[:, None] * W_h) or equals((1 - h) * W_h):
            return "the derivative of tanh is 1 - tanh², and h is the tanh already: square it."
        if equals((h * (1 - h))[:, None] * W_h):
            return "that is the derivative of the sigmoid; this unit is a tanh."
        if equals((1 - np.tanh(h) ** 2)[:, None] * W_h):
            return "h is what the tanh gave; do not take the tanh of it again."
        if equals(W_h):
            return "the tanh has a derivative, too."
        return None if equals(reference(W_h, h)) else "row a of W_h times 1 - h[a]²."

    return _grade(answer, reference, find_slip)


def adaptive_limit(answer: Callable | None) -> Callable:
    """Check a function (norms, z, span) -> mean + z standard deviations of the last span norms."""

    def reference(norms: list[float], z: float, span: int) -> float:
        return float(np.mean(norms[-span:]) + z * np.std(norms[-span:]))

    def find_slip() -> str | None:
        norms, z, span = [9.0, 7.0, 1.0, 2.0, 6.0], 2.0, 3
        got, last = float(_call(answer, list(norms), z, span)), norms[-span:]

        def equals(value: float) -> bool:
            return math.isclose(got, value, rel_tol=1e-6)

        if equals(reference(norms, z, len(norms))):
            return "only the last `span` norms count; a gradient of long ago says little."
        if equals(np.mean(norms[:span]) + z * np.std(norms[:span])):
            return "those are the first `span` norms; take the last ones."
        if equals(np.mean(last) + z * np.var(last)):
            return "that is the variance; the standard deviation is its square root."
        if equals(np.mean(last) - z * np.std(last)):
            return "the limit lies above the mean: add, do not subtract."
        if equals(np.mean(last)):
            return "the mean alone would clip every second gradient; add z standard deviations."
        if not equals(reference(norms, z, span)):
            return "the mean of the last `span` norms, plus z times their standard deviation."
        if not math.isclose(float(_call(answer, [1.0, 3.0], 0.5, 2)), 2.5):
            return "use z and span as they are given; they are not always the same."
        if not math.isclose(float(_call(answer, [1.0, 3.0], 0.5, 10)), 2.5):
            return "before `span` norms are there, use those that there are."
        return None

    return _grade(answer, reference, find_slip)


CAUSES = {
    "no clipping": "plots.loss_and_gradient: no step is clipped, the gradient norm leaps by orders "
    "of magnitude within a step, and the loss jumps far above where it began.",
    "state not detached": "the differences of `seconds`: a step takes longer the later it comes in "
    "its epoch, since the backward pass goes back to the epoch's first character.",
    "missing zero_grad": "History.clipped_share: nearly every step is clipped, to the last, since "
    "each gradient is added to what clipping left of all those before it; the loss swings, and "
    "ends above where it began.",
    "targets not shifted": "the training loss falls to nearly 0, far below that of any n-gram "
    "model, while the validation loss rises; sampling.generate repeats the prompt's last character "
    "for ever.",
    "saturated gates": "diagnostics.series: near_0 and near_1 of every gate sum to about 1 from "
    "the first step on, the gradient of layer 1 is a tiny part of the output layer's, and the loss "
    "stays at that of single-character frequencies.",
    "healthy": "none of these: both losses fall together, few steps are clipped, most gates are "
    "away from their ends, and all steps take equally long.",
}
"""What a patient of runs/patients may have, and the evidence for it."""

_AGAINST = {
    "no clipping": "its gradient norm never leaps: no step's is even ten times that of the step "
    "before.",
    "state not detached": "its steps take as long at the end of an epoch as at its beginning (take "
    "the differences of `seconds`).",
    "missing zero_grad": "most of its steps are not clipped; gradients that pile up are too long "
    "at nearly every step.",
    "targets not shifted": "its training loss stays far above 0; a network that may copy what it "
    "reads soon makes no mistakes.",
    "saturated gates": "at its first step hardly a gate is saturated (near_0 and near_1).",
    "healthy": "it has a fault.",
}
"""What speaks against each cause, in every patient that has another."""

_LOOK_AT = {
    "no clipping": "Draw its first twenty steps with plots.loss_and_gradient.",
    "state not detached": "Its losses and gradients look well: how long does each step take?",
    "missing zero_grad": "Look at which of its steps are clipped, and compare with the others.",
    "targets not shifted": "Look at its validation loss, and let it write (sampling.generate).",
    "saturated gates": "Compare its gradient in layer 1 with that in the output layer.",
    "healthy": "Compare its loss, gradient norm, gates and seconds with those of the others.",
}
"""Where to look for each cause."""


def diagnosis(answers: dict[str, str] | None) -> dict[str, str]:
    """Check what each patient of runs/patients has: "patient-1", … -> one of CAUSES."""
    reference = {
        "patient-1": "missing zero_grad",
        "patient-2": "healthy",
        "patient-3": "saturated gates",
        "patient-4": "no clipping",
        "patient-5": "targets not shifted",
        "patient-6": "state not detached",
    }

    def find_slip() -> str | None:
        if not isinstance(answers, dict) or set(answers) != set(reference):
            return f"give a dict with a cause for each of {', '.join(reference)}."
        for patient, cause in answers.items():
            if cause not in list(CAUSES):
                return f"{patient}: {cause!r} is no cause here; choose one of {', '.join(CAUSES)}."
        for patient, cause in reference.items():
            given = answers[patient]
            if given != cause:
                return f"{patient} is not {given!r}: {_AGAINST[given]} {_LOOK_AT[cause]}"
        return None

    return _grade(answers, reference, find_slip)


# Chapter 07


def tempered(answer: Callable | None) -> Callable:
    """Check a function (p (V,), τ) -> f_τ(p), right also where τ is small."""

    def reference(p: np.ndarray, temperature: float) -> np.ndarray:
        scaled = np.log(p) / temperature
        raised = np.exp(scaled - scaled.max())
        return raised / raised.sum()

    def find_slip() -> str | None:
        p = np.array([0.5, 0.1, 0.15, 0.25])

        def gives(temperature: float, expected: np.ndarray | list[float]) -> bool:
            with np.errstate(all="ignore"):
                got = np.asarray(_call(answer, p.copy(), temperature), dtype=float)
            return got.shape == p.shape and np.allclose(got, expected, rtol=1e-6, atol=1e-12)

        if all(gives(tau, reference(p, tau)) for tau in (0.5, 1.0, 2.0)):
            if gives(1e-4, [1, 0, 0, 0]):
                return None
            return (
                "right, but not at a temperature of 0.0001, where every p^(1/τ) is rounded to 0: "
                "divide ln p by τ, subtract the largest, and only then take the exponential."
            )
        if gives(0.5, p**2):
            return "the powers must be divided by their sum, to be probabilities again."
        if gives(0.5, p**0.5 / (p**0.5).sum()) or gives(0.5, p**0.5):
            return "the exponent is 1/τ, not τ: a temperature of 0.5 squares."
        if gives(0.5, np.exp(2 * p) / np.exp(2 * p).sum()):
            return "that is the softmax of p/τ; p is no logit. Its logarithm is one."
        return "raise every probability to the power 1/τ, and divide by the sum."

    return _grade(answer, reference, find_slip)


def nucleus(answer: Callable | None) -> Callable:
    """Check a function (p (V,), share) -> p with all but the nucleus ruled out (top-p)."""

    def reference(p: np.ndarray, share: float) -> np.ndarray:
        order = np.argsort(-p)
        before = p[order].cumsum() - p[order]
        kept = np.zeros_like(p)
        kept[order[before < share]] = p[order[before < share]]
        return kept / kept.sum()

    def find_slip() -> str | None:
        p = np.array([0.1, 0.45, 0.05, 0.3, 0.1])

        def gives(share: float, expected: np.ndarray | list[float]) -> bool:
            with np.errstate(all="ignore"):
                got = np.asarray(_call(answer, p.copy(), share), dtype=float)
            return got.shape == p.shape and np.allclose(got, expected)

        if all(gives(share, reference(p, share)) for share in (0.3, 0.6, 0.9, 1.0)):
            return None
        if gives(0.6, [0, 0.45, 0, 0.3, 0]):
            return "what is left must be divided by its sum, to be probabilities again."
        if gives(0.6, [0, 1, 0, 0, 0]):
            return "the character with which the sum reaches the share belongs to the nucleus."
        if gives(0.6, reference(p, 0.6)) and not gives(0.3, [0, 1, 0, 0, 0]):
            return "with a share of 0.3 the most probable one has more than that, and must stay."
        if gives(0.6, [0.1 / 0.6, 0.45 / 0.6, 0.05 / 0.6, 0, 0]) or gives(
            0.6, [0.1 / 0.9, 0.45 / 0.9, 0.05 / 0.9, 0.3 / 0.9, 0]
        ):
            return "add up from the most probable character, not from the first: sort."
        return "sort, add up, keep all that come before the sum reaches the share, and normalise."

    return _grade(answer, reference, find_slip)


def drawn(answer: Callable | None) -> Callable:
    """Check a function (p (V,), u) -> id: down from the most probable until the sum passes u."""

    def reference(p: np.ndarray, u: float) -> int:
        order = np.argsort(-p)
        return int(order[np.searchsorted(p[order].cumsum(), u, side="right")])

    def find_slip() -> str | None:
        p, numbers = np.array([0.2, 0.1, 0.4, 0.3]), (0.0, 0.39, 0.41, 0.69, 0.71, 0.95)
        got = [_call(answer, p.copy(), u) for u in numbers]
        if any(np.ndim(i) or int(i) != i for i in got):
            return "return one id, a whole number."
        if got == [reference(p, u) for u in numbers]:
            return None
        if len(set(got)) == 1:
            return "that is always the same id; which one is drawn depends on u."
        if got == [np.searchsorted(p.cumsum(), u, side="right") for u in numbers]:
            return "that adds up from id 0; begin with the most probable one."
        if got == [np.searchsorted(np.sort(p)[::-1].cumsum(), u, side="right") for u in numbers]:
            return "that is the place in the sorted order, not the id that stands there."
        if got == [np.argsort(p)[np.searchsorted(np.sort(p).cumsum(), u)] for u in numbers]:
            return "that begins with the least probable one."
        return "sort from the most probable down, add up, and take the first whose sum is above u."

    return _grade(answer, reference, find_slip)


# Chapter 08


def bracket_string(answer: Callable | None) -> Callable:
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

    return _grade(answer, reference, find_slip)


def masked_mean(answer: Callable | None) -> Callable:
    """Check a function (nats (B, T), y (B, T)) -> mean loss, y = -100 left out."""

    def reference(nats: np.ndarray, y: np.ndarray) -> float:
        return float(nats[y != IGNORE].mean())

    def find_slip() -> str | None:
        nats = np.array([[1.0, 2.0, 7.0, 7.0], [3.0, 1.0, 2.0, 8.0]])
        y = np.array([[5, 2, IGNORE, IGNORE], [4, 6, 0, 2]])
        got = float(_call(answer, nats.copy(), y.copy()))
        real = y != IGNORE
        rows = (nats * real).sum(1) / real.sum(1)
        said = {
            nats[real].mean(): None,
            nats.mean(): "the padding is counted: leave out where y is -100.",
            (nats * real).mean(): "the padding adds nothing to your sum, but it is still counted.",
            rows.mean(): "in a mean of the rows' means, the symbols of a short string count more.",
            nats[real].sum(): "that is the sum; divide by how many symbols are predicted.",
            nats[y > 0].mean(): "0 is an id like any other; only -100 is left out.",
        }
        for value, slip in said.items():
            if math.isclose(got, value, rel_tol=1e-6):  # an answer may be in float32
                return slip
        return "add up the losses where y is not -100, and divide by how many they are."

    return _grade(answer, reference, find_slip)


def repeat_floor(answer: Callable | None) -> Callable:
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
        got = float(_call(answer, stop, words))
        count, word, length = parts(stop, words)
        right, which = reference(stop, words), (1 - stop) * word
        not_in_ss = "the word does not show in 'ss', whose probability is `stop`."
        said = {
            right: None,
            (count + word) / length: not_in_ss,
            (count + stop * word) / length: not_in_ss,
            count / length: "which word it is must be told too: ln(words), unless it is ss.",
            (count + which) / (length - 1): "`.end` is a symbol, too: the length is one more.",
            count + which: "that is the entropy of a string; divide by its mean length.",
            right / math.log(2): "that is in bits; use the natural logarithm.",
            (stop * count + which) / length: "there are 1/stop decisions in the mean, not one.",
        }
        for value, slip in said.items():
            if math.isclose(got, value, rel_tol=1e-6):
                return slip
        return "entropy of the number of words, plus (1 - stop) ln(words), over the mean length."

    return _grade(answer, reference, find_slip)
