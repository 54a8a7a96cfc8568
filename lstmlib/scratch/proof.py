"""The proof: analytic gradients against numeric ones."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lstmlib.scratch.cells import Cell, State, Weights
from lstmlib.scratch.network import backward, forward, softmax_cross_entropy, zero_state


class Agreement(NamedTuple):
    """How well two gradients a and n of one array agree.

    Attributes:
        name: the array's name.
        entries: the number of entries that were compared.
        absolute: the largest |a - n|.
        relative: the largest |a - n| / max(1e-3, |a| + |n|).
    """

    name: str
    entries: int
    absolute: float
    relative: float


def agreement(name: str, a: np.ndarray, n: np.ndarray) -> Agreement:
    """Compare two gradients of one array.

    Raises:
        ValueError: the gradients differ in shape, are empty, or hold NaN or infinity.
    """
    if np.shape(a) != np.shape(n):
        raise ValueError(f"{name}: gradients of shapes {np.shape(a)} and {np.shape(n)}.")
    if np.size(a) == 0 or not (np.isfinite(a).all() and np.isfinite(n).all()):
        raise ValueError(f"{name}: a gradient is empty, or holds NaN or infinity.")
    error = np.abs(a - n)  # of the shape of a and n
    # The floor 1e-3 keeps the rounding of a gradient near 0 from looking like a large error.
    relative = error / np.maximum(1e-3, np.abs(a) + np.abs(n))
    return Agreement(name, error.size, float(error.max()), float(relative.max()))


def numeric_gradient(
    f: Callable[[], float],
    array: np.ndarray,
    step: float = 1e-5,
    entries: np.ndarray | None = None,
) -> np.ndarray:
    """Return the gradient of f by central differences, of the shape of the array or of entries.

    The derivative by an entry a is nearly (f(a + step) - f(a - step)) / (2 step), with an error of
    the order of step².

    Args:
        f: a function without arguments that reads the array.
        array: floats. It is changed in place while f is called, and is as before at the end.
        step: the distance from a, above 0.
        entries: positions (M,) in the flattened array whose derivatives are wanted; None wants all.

    Raises:
        ValueError: the array does not hold floats, or the step is not above 0.
    """
    if array.dtype.kind != "f" or not step > 0:
        raise ValueError(f"Give floats and a step above 0, not {array.dtype} and {step}.")
    shape = array.shape if entries is None else np.shape(entries)
    positions = np.arange(array.size) if entries is None else entries  # (M,)
    gradient = np.empty(array.size if entries is None else len(entries), array.dtype)
    for k, position in enumerate(positions):  # two calls of f for every entry: small networks only
        # An index into the array itself: a flattened copy could be moved, and f would not see it.
        index = np.unravel_index(position, array.shape)
        before, losses = array[index], []
        try:
            # To both sides: so the error's term of the order of step cancels out.
            for moved in (before + step, before - step):
                array[index] = moved  # in place: f reads the very array
                losses.append(f())
        finally:
            # Also if f raises, since the array is the caller's.
            array[index] = before
        # With a much smaller step the two losses would agree in nearly all digits, and their
        # difference would be rounding.
        gradient[k] = (losses[0] - losses[1]) / (2 * step)
    return gradient.reshape(shape)


def gradient_check(
    weights: Weights,
    cell: Cell,
    x: np.ndarray,
    targets: np.ndarray,
    state: State | None = None,
    step: float = 1e-5,
    most: int | None = None,
) -> list[Agreement]:
    """Compare the hand-written gradients of the mean loss with central differences.

    The arguments are copied, and not changed.

    Args:
        weights: float64, all finite.
        x: (N, T) ids, or (N, T, D) float64. The gradient of floats is compared too.
        targets: (N, T) ids.
        state: float64, all finite, arrays (L, N, H); None stands for zeros.
        step: the distance of the differences, see `numeric_gradient`.
        most: of an array with more entries, so many are compared, spread evenly over it. A table of
            thousands of characters would take hours. None compares all.

    Returns:
        A row for every weight, for each array of the first state ("h0", "c0"), and for x if x holds
        floats.

    Raises:
        ValueError: an array is not float64 or not finite, or sizes do not agree.
    """
    # Copies, since `numeric_gradient` moves the entries of what it is given.
    weights = {name: w.copy() for name, w in weights.items()}
    if state is None:
        state = zero_state(weights, cell, len(x))
    x, state = x.copy(), tuple(array.copy() for array in state)
    # The first state counts as an array too: its gradient has passed through all T steps.
    starts = ["h0", "c0", *(f"state {k}" for k in range(2, len(state)))][: len(state)]
    # No copies here: these are the very arrays that loss() reads.
    arrays = weights | dict(zip(starts, state, strict=True))
    arrays |= {} if x.dtype.kind in "iu" else {"x": x}
    for name, array in arrays.items():
        if array.dtype != np.float64:
            raise ValueError(f"{name} is {array.dtype}; only float64 is exact enough for a proof.")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds NaN or infinity; nothing can be proven with it.")

    def loss() -> float:
        (logits, _), _ = forward(weights, cell, x, state)  # (N, T, V)
        return softmax_cross_entropy(logits, targets)[0]

    (logits, _), cache = forward(weights, cell, x, state)
    gradients, dx, dstate = backward(softmax_cross_entropy(logits, targets)[1], cache)
    # dx is None for ids, which then are not among the arrays.
    gradients |= {"x": dx} | dict(zip(starts, dstate, strict=True))
    rows = []
    for name, array in arrays.items():
        count = array.size if most is None else min(most, array.size)
        entries = np.linspace(0, array.size - 1, count).astype(int)  # (count,) positions
        numeric = numeric_gradient(loss, array, step, entries)  # (count,)
        rows.append(agreement(name, gradients[name].ravel()[entries], numeric))
    return rows
