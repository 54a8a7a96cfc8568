"""Checks of the exercises of chapter 04."""

import math
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from lstmlib.course.check.exercises import array, call_answer, called, drawn, grade, number, rounded


def _counted(G: int, V: int, H: int, biases: int = 2, output: bool = True, layers: int = 1) -> int:
    """Return the parameters of layers with G blocks on one-hot inputs, and of their output."""
    upper = (layers - 1) * G * (2 * H * H + biases * H)
    return G * (H * V + H * H + biases * H) + upper + (H * V + V) * output


def _most_units(V: int, H: int, of_gru: int = 2, of_lstm: int = 2, **counting: int) -> int:
    """Return how many units of a GRU have no more parameters than an LSTM of H.

    The biases are those of a block; for `output` and `layers` see `_counted`.
    """
    units, limit = H, _counted(4, V, H, of_lstm, **counting)
    while _counted(3, V, units + 1, of_gru, **counting) <= limit:
        units += 1
    return units


def gru_units(answer: Callable | None) -> None:
    """Check a function (V, H) -> most units of a GRU with no more parameters than an LSTM of H.

    Both have one layer on one-hot inputs, two biases for every block, and an output layer.
    """

    def sizes(rng: np.random.Generator) -> tuple[int, int]:
        V, H = 10 ** rng.uniform(0, (3, 2.5))
        return int(V), int(H)

    def find_slip() -> str | None:
        # With one bias a block, (10, 48) and (65, 93) give another number; with one in the GRU or
        # the LSTM alone, (9, 90) does. With (4, 5) and (12, 10) the GRU has exactly as many
        # parameters as the LSTM. Four or five biases a unit in the GRU, in place of six, give
        # another number at (65, 13) and (65, 18); (1000, 100) goes nearest to 4/3 of the units.
        # With (65, 4) and (3, 1) no unit more fits than the LSTM has. One step of Newton's from 4/3
        # of the root is one too few at (26, 26) and (65, 34).
        tasks = ((65, 100), (10, 300), (90, 17), (10, 48), (65, 93), (9, 90), (4, 5), (12, 10))
        tasks += ((65, 13), (65, 18), (1000, 100), (65, 4), (3, 1), (65, 900), (26, 26), (65, 34))
        tasks += ((20, 15), (33, 9))  # where other forms of the root are one too few
        tasks += tuple(drawn(4, 24, sizes))
        begun = time.process_time()
        given = [number(call_answer(answer, V, H)) for V, H in tasks]
        # A search may end too early. Who counts by building networks would wait minutes for this.
        if time.process_time() - begun < 1:
            # In float32, the root is one too many at the second.
            large = ((65, 4000), (73, 2934), (5000, 4000))
            given += [number(call_answer(answer, *task)) for task in large]
            tasks += large

        def third_more(units: float, task: tuple[int, int]) -> bool:
            return abs(units - 4 * task[1] / 3) < 1

        def fits(**counting: object) -> bool:
            pairs = zip(given, tasks, strict=True)
            return all(units == _most_units(*task, **counting) for units, task in pairs)

        for units, (V, H) in zip(given, tasks, strict=True):
            most = _most_units(V, H)
            if units != most and all(map(third_more, given, tasks)):
                return "4/3 of the units would fit if parameters grew with H; most grow with H²."
            if units != int(units):
                return "units come whole; round down."
            if units == most:
                continue
            if given == [H for _, H in tasks]:
                return "with as many units, the GRU has a quarter less in its layer: more fit."
            said = f"with V = {V} and H = {H}, "
            if units < most:
                said += f"{units:g} are too few: one more would still fit."
            else:
                said += f"a GRU of {units:g} has more parameters"
                said += ": one fewer is the last that fits." if units == most + 1 else "."
            counted = ((1, 1), (1, 2), (2, 1), (4 / 3, 2), (5 / 3, 2))
            if any(fits(of_gru=a, of_lstm=b) for a, b in counted):
                said += " Did you count both of PyTorch's biases, in both cells?"
            elif fits(output=False):
                said += " Did you count the output layer?"
            elif fits(layers=2):
                said += " Are yours of two layers? That is CharRNN's default; here each has one."
            return said
        return None

    grade(answer, find_slip)


def table_gradient(answer: Callable | None) -> None:
    """Check a function (dx (T, M), ids (T,), V) -> gradient (V, M) of the table that was read."""

    def reference(dx: np.ndarray, ids: np.ndarray, V: int) -> np.ndarray:
        table = np.zeros((V, dx.shape[1]))
        np.add.at(table, ids, dx)
        return table

    def make(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
        V, M, T = *map(int, rng.integers(1, (12, 7))), int(10 ** rng.uniform(0, 2))
        dx = rng.normal(size=(T, M)) * 10.0 ** rng.integers(-7, 4)
        dtype, order = rng.choice(["f4", "f8"]), rng.choice(["C", "F"])
        return dx.astype(dtype, order=order), rng.integers(V, size=T), V

    def slip_of(dx: np.ndarray, ids: np.ndarray, V: int) -> str | None:
        # float32 is near enough; where dx is of it, the sum of a hundred rows may be, too.
        (T, M), near = dx.shape, (1e-5 if dx.dtype == "f4" else 2e-6) * abs(dx).max()
        given = dx.copy(order="K"), ids.copy()
        got = called(answer, *given, V)
        if got is None:
            return (
                "your function returns nothing; did you forget `return`? `np.add.at` changes a "
                "table in place, and returns none: return the table."
            )
        got = array(got, "a table (V, M) is asked for")
        if not (np.array_equal(given[0], dx) and np.array_equal(given[1], ids)):
            return "your function changed what it was given; the caller still needs it."
        right = reference(dx, ids, V)
        if got.shape == right.shape[::-1] and np.allclose(got, right.T, atol=near) and V != M:
            return "that is the transpose; the table has a row for each character."
        if got.shape == dx.shape and T != V:
            return "the result has a row for each character, (V, M), not for each step."
        if got.shape != right.shape:
            return f"the table is (V, M), here {right.shape}; yours is {got.shape}."
        if np.allclose(got, right, atol=near):
            return None
        if (none := np.isnan(got).any(axis=1) & ~np.isin(np.arange(V), ids)).any():
            return f"id {none.argmax()} is not read here, so its row is 0; yours holds NaN."
        last, times = np.zeros_like(right), np.bincount(ids, minlength=V)[:, None]
        last[ids] = dx
        slips = [
            (
                last,
                f"id {times.argmax()} was read {times.max()} times, and only its last gradient is "
                "there; they add up. "
                "(In NumPy `a[ids] += b` adds once for each id; `np.add.at` adds all.)",
            ),
            (right / np.maximum(times, 1), "gradients that meet in one place add up: no mean."),
            (np.broadcast_to(times, right.shape), "you counted the reads; add up their dx."),
        ]
        hints = [hint for value, hint in slips if np.allclose(got, value, atol=near)]
        if not hints and np.issubdtype(got.dtype, np.integer):
            return "your table holds whole numbers; it needs the type of dx."
        for n in range(3, 11):
            if not hints and np.allclose(got, right.round(n), atol=near):
                return f"right, but rounded to {n} decimals, and a gradient may be far smaller."
        if hints:
            return hints[0]
        before = got.copy()
        again = np.asarray(call_answer(answer, dx.copy(order="K"), ids.copy(), V))
        if not np.array_equal(before, again, equal_nan=before.dtype.kind == "f"):
            return "called twice with the same, your function gives two results: what does it keep?"
        row = int(np.argmin(np.isclose(got, right, atol=near).all(axis=1)))
        return (
            "row v is the sum of the rows of dx at which v was read; that is not so in row "
            f"{row}, for V = {V} and {f'the ids {ids.tolist()}' if T <= 20 else f'{T} ids'}."
        )

    def find_slip() -> str | None:
        rng = np.random.default_rng(0)
        reads = (([2, 0, 2, 5, 2], 3, 7), ([1], 1, 2), ([3, 3, 0, 1, 3, 0], 4, 4), ([0, 0], 2, 1))
        reads += (([1, 0, 1], 2, 3),)
        tasks = [(rng.normal(size=(len(ids), M)), np.array(ids), V) for ids, M, V in reads]
        tasks += sorted(drawn(4, 40, make), key=lambda task: len(task[1]))
        return next(filter(None, (slip_of(*task) for task in tasks)), None)

    grade(answer, find_slip)


def from_tensorflow(answer: Callable | None) -> None:
    """Check a function (kernel (D + H, 4H), bias (4H,), D) -> PyTorch's weights of that cell.

    It returns weight_ih (4H, D), weight_hh (4H, H) and bias_ih (4H,), NumPy arrays or tensors. The
    columns of the kernel are the blocks i, g, f, o, and the cell adds 1 to the forget gate's z.
    """
    names = ("weight_ih", "weight_hh", "bias_ih")

    def reference(
        kernel: np.ndarray,
        bias: np.ndarray,
        D: int,
        order: tuple[int, ...] = (0, 2, 1, 3),
        add: tuple[int, ...] = (0, 1, 0, 0),
    ) -> tuple[np.ndarray, ...]:
        H = len(bias) // 4
        columns = np.concatenate([np.arange(H) + H * block for block in order])
        W, b = kernel[:, columns].T, bias[columns] + np.repeat(add, H)
        return W[:, :D], W[:, D:], b

    def weights(rng: np.random.Generator, D: int, H: int) -> tuple[np.ndarray, np.ndarray, int]:
        return rng.normal(size=(D + H, 4 * H)), rng.normal(size=4 * H), D

    def make(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
        kernel, bias, D = weights(rng, *map(int, 10 ** rng.uniform(0, 1.5, 2)))
        dtype, order = rng.choice(["f4", "f8"]), rng.choice(["C", "F"])
        bias *= rng.integers(4) > 0  # a new cell of TensorFlow has biases of zero
        return kernel.astype(dtype, order=order), bias.astype(dtype), D

    def slip_of(kernel: np.ndarray, bias: np.ndarray, D: int) -> str | None:
        H = len(bias) // 4
        given = kernel.copy(order="K"), bias.copy()
        got = call_answer(answer, *given, D)
        if not isinstance(got, tuple | list) or len(got) != 3:
            return "three arrays are asked for: weight_ih, weight_hh, bias_ih."
        if not (np.array_equal(given[0], kernel) and np.array_equal(given[1], bias)):
            return "your function changed the arrays of the checkpoint: work on copies."
        got = [array(part, "three arrays are asked for") for part in got]
        right = reference(kernel, bias, D)
        for name, mine, wanted in zip(names, got, right, strict=True):
            if mine.shape != wanted.shape:
                turned = " (transposed?)" * (mine.shape == wanted.shape[::-1])
                return f"{name} has the shape {wanted.shape} here; yours is {mine.shape}{turned}."

        def fits(
            other: tuple[np.ndarray, ...], parts: slice = slice(3), near: float = 2e-7
        ) -> bool:
            pairs = zip(got[parts], other[parts], strict=True)
            return all(np.allclose(a, b, rtol=max(1e-5, near), atol=near) for a, b in pairs)

        if fits(right):
            return None
        if any(part.dtype == np.float16 for part in got) and fits(right, near=2e-3):
            return "right to three digits: keep the type that the arrays of the checkpoint have."
        if fits(reference(kernel, bias, D, (0, 1, 2, 3)), slice(2)):
            return "the blocks are still in TensorFlow's order; PyTorch's is i, f, g, o."
        if any(fits(reference(kernel, bias, D, (0, k, k, 3)), slice(2)) for k in (1, 2)):
            return (
                "f and g are the same block. Did you take one twice? Or swap them by "
                "`a[x], a[y] = a[y], a[x]`, which writes into what it still has to read: take "
                "copies."
            )
        swapped = np.concatenate([kernel[H:], kernel[:H]])
        if fits(reference(swapped, bias, D), slice(2)):
            return "the first D rows of the kernel belong to the inputs, the last H to h."
        if fits(right, slice(2)):
            if fits(reference(kernel, bias, D, add=(0, 0, 0, 0))):
                return (
                    "the 1 that the cell adds to the forget gate at every step is in no array of "
                    "the checkpoint; PyTorch adds none, so put it into the bias."
                )
            if fits(reference(kernel, bias, D, add=(0, 0, 1, 0))):
                return "the 1 went to g: after the blocks changed places, f is the second."
            return "the matrices are right; the bias has the blocks i, f + 1, g, o."
        added = kernel.copy()
        added[:, 2 * H : 3 * H] += 1
        if any(fits(reference(added, bias, D), slice(k, k + 1)) for k in (0, 1)):
            return "the cell adds the 1 to z, after the product: it goes into the bias alone."
        for k in (0, 1):
            turned = np.allclose(got[k].ravel(), right[k].T.ravel())
            if turned and not fits(right, slice(k, k + 1)):
                return f"{names[k]} has the right columns; turn it with .T, not with reshape."
        for k in (0, 1):
            if fits(right, slice(k, k + 1)):
                return f"{names[k]} is right, and {names[1 - k]} is not: compare its rows."
        return "compare block by block: here the columns i, g, f, o, there the rows i, f, g, o."

    def find_slip() -> str | None:
        rng = np.random.default_rng(0)
        tasks = [weights(rng, D, H) for D, H in ((3, 2), (2, 5), (4, 4), (1, 1))]
        return next(filter(None, (slip_of(*task) for task in tasks + drawn(4, 24, make))), None)

    grade(answer, find_slip)


def _sign_of_bias(kept: float) -> str:
    """Say which sign the bias has of a gate that keeps this share in a step."""
    if kept > 0.5:
        return "the sign: a gate that keeps more than half has a bias above 0."
    return "the sign: a gate that keeps less than half has a bias below 0."


def bias_for(answer: Callable | None) -> None:
    """Check a function (lag, share) -> the forget bias b with which σ(b)^lag is the share."""

    def make(rng: np.random.Generator) -> tuple[int, float]:
        lag, odds = int(10 ** rng.uniform(0, 3.3)), rng.uniform(-6, 5)
        return lag, 1 / (1 + math.exp(-odds))

    def find_slip() -> str | None:
        tasks = ((40, 0.4), (40, 0.5), (1, 0.9), (20, 0.01), (3, 0.125), (500, 0.9))
        tasks += ((1, 0.2), (2, 0.1), (1, 1e-5), (5000, 0.9))  # three have a bias below 0
        tasks += ((1, 1e-7), (1, 0.999), (7, 0.999), (2, 0.25), (100_000, 0.9), *drawn(4, 40, make))
        tasks += ((1_000_000, 0.99), (1, 1e-9))  # 1 - p is 0 in float32; a bias far below 0
        tasks += ((1, 1e-14),)  # below what a search from -30 finds
        for lag, share in tasks:
            b = number(call_answer(answer, lag, share), infinite=lag == 1_000_000)
            if b == math.inf:
                return (
                    "for 1000000 steps, what one step keeps is so near 1 that 1 - p is 0 in "
                    "float32, and the bias infinite: compute in float64."
                )
            p = share ** (1 / lag)
            slips = (
                (math.log(p / (1 - p)), None),
                (-math.log(p / (1 - p)), _sign_of_bias(p)),
                (
                    math.log(share / (1 - share)),
                    "that keeps the share over one step; it shrinks with each of the `lag` steps.",
                ),
                (
                    math.log(share / (1 - share)) / lag,
                    "the log-odds do not divide by `lag`: take the lag-th root of the share first.",
                ),
                (p, "that is what one step keeps, σ(b); the bias b is asked for."),
                (math.log(p), "the gate is σ(b), and no exponential: solve 1 / (1 + e^-b) = p."),
            )
            near = 1e-6 + min(0.1, 4 * 2**-23 / (1 - p))  # float32 has few digits of 1 - p
            near += 0.01 * (p < 1e-12)  # as 2 p - 1 has few of p
            same = partial(math.isclose, b, rel_tol=2**-23, abs_tol=near)
            hints = [hint for value, hint in slips if same(value)]
            if None in hints:
                continue
            if hints:
                return hints[0]
            if rounded(b, math.log(p / (1 - p))):
                return "right, but rounded: return the bias with all its decimals."
            kept = (0.5 + 0.5 * math.tanh(b / 2)) ** lag
            digits = next((n for n in range(3, 17) if f"{kept:.{n}g}" != f"{share:.{n}g}"), 17)
            steps = f"{lag} steps" if lag > 1 else "1 step"
            return f"with that, {kept:.{digits}g} is left after {steps}, and not {share:g}."
        return None

    grade(answer, find_slip)
