"""Checks of the exercises of chapter 03."""

from collections.abc import Callable, Iterable
from itertools import permutations

import numpy as np

from lstmlib.course.check.exercises import call_answer, grade


def split_gates(answer: Callable | None) -> None:
    """Check a function z (N, 4H) -> (i, f, g, o), the values of the gates, each (N, H)."""

    def activated(z: np.ndarray, order: Iterable[str], tanh: str = "g") -> list[np.ndarray]:
        parts = dict(zip(order, np.split(z, 4, axis=1), strict=True))
        return [np.tanh(parts[k]) if k in tanh else 1 / (1 + np.exp(-parts[k])) for k in "ifgo"]

    def reference(z: np.ndarray) -> list[np.ndarray]:
        return activated(z, "ifgo")

    def find_slip() -> str | None:
        z = np.random.default_rng(0).normal(size=(2, 12))
        got = call_answer(answer, z.copy())
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

    grade(answer, find_slip)


def coupled_gate(answer: Callable | None) -> None:
    """Check a function (dc, i, g, c_old) -> the gradient of the CIFG's z_i."""

    def reference(dc: np.ndarray, i: np.ndarray, g: np.ndarray, c_old: np.ndarray) -> np.ndarray:
        return dc * (g - c_old) * i * (1 - i)

    def find_slip() -> str | None:
        dc, g, c_old, z = np.random.default_rng(0).normal(size=(4, 2, 3))
        i = 1 / (1 + np.exp(-z))
        got = call_answer(answer, dc.copy(), i.copy(), g.copy(), c_old.copy())
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

    grade(answer, find_slip)


def lstm_parameters(answer: Callable | None) -> None:
    """Check a function (V, H) -> parameters of a one-layer LSTM with its output layer.

    Input is one-hot, and every gate has one bias, as in the equations.
    """

    def reference(V: int, H: int) -> int:
        return 4 * (V * H + H * H + H) + H * V + V

    def find_slip() -> str | None:
        cases = [(65, 100), (3, 2), (80, 1)]
        got = [call_answer(answer, V, H) for V, H in cases]
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

    grade(answer, find_slip)
