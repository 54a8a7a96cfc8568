"""Checks of the exercises of chapter 04."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lstmlib.course.check.exercises import call_answer, grade
from lstmlib.models import detach


def gru_units(answer: Callable | None) -> None:
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
            units = call_answer(answer, V, H)
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

    grade(answer, find_slip)


def table_gradient(answer: Callable | None) -> None:
    """Check a function (dx (T, E), ids (T,), V) -> gradient (V, E) of the table that was read."""

    def reference(dx: np.ndarray, ids: np.ndarray, V: int) -> np.ndarray:
        table = np.zeros((V, dx.shape[1]))
        np.add.at(table, ids, dx)
        return table

    def find_slip() -> str | None:
        dx, ids, V = np.random.default_rng(0).normal(size=(5, 3)), np.array([2, 0, 2, 5, 2]), 7
        got = call_answer(answer, dx.copy(), ids.copy(), V)
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

    grade(answer, find_slip)


def next_state(answer: Callable | None) -> None:
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

    grade(answer, find_slip)
