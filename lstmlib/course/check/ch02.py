"""Checks of the exercises of chapter 02."""

from collections.abc import Callable

import numpy as np

from lstmlib.course.check.exercises import call_answer, grade


def chunk(answer: Callable | None) -> None:
    """Check a function (ids, start, length) -> (x, y): a piece of a text, and its targets."""

    def reference(ids: np.ndarray, start: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        return ids[start : start + length], ids[start + 1 : start + length + 1]

    def find_slip() -> str | None:
        ids = np.array([3, 1, 4, 1, 5, 9, 2, 6])
        for start, length in ((2, 3), (1, 4), (0, 3)):
            got = call_answer(answer, ids.copy(), start, length)
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

    grade(answer, find_slip)


def step_back(answer: Callable | None) -> None:
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
        got = call_answer(answer, *given)
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

    grade(answer, find_slip)


def clipped(answer: Callable | None) -> None:
    """Check a function (g, limit) -> a new array, every entry of g cut to [-limit, limit]."""

    def reference(g: np.ndarray, limit: float) -> np.ndarray:
        return np.clip(g, -limit, limit)

    def find_slip() -> str | None:
        g = np.array([[-9.0, 0.5], [3.0, 20.0]])
        given = g.copy()
        got = call_answer(answer, given, 4.0)
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

    grade(answer, find_slip)
