"""The proof: hand-written gradients against differences, and against complex steps."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lstmlib.scratch.cells import Cell, State, Weights
from lstmlib.scratch.network import (
    backward,
    forward,
    log_softmax,
    softmax_cross_entropy,
    zero_state,
)


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


def complex_gradient(
    f: Callable[[], complex],
    array: np.ndarray,
    step: float = 1e-20,
    entries: np.ndarray | None = None,
) -> np.ndarray:
    """Return the gradient of f by complex steps, of the shape of the array or of entries.

    The derivative by an entry a is nearly Im f(a + i step) / step (Squire and Trapp 1998), with an
    error of the order of step². No difference is taken, so no digits cancel, and the step may be so
    small that this error is far below rounding.

    Args:
        f: a function without arguments that reads the array, and computes with complex numbers to
            the end. It may add, multiply, divide, and take exp, log and tanh; it must not take
            absolute values, conjugates or real parts of what depends on the array. Of complex
            numbers it must not take the largest one either, but compare their real parts.
        array: complex128, with imaginary parts 0. It is changed in place while f is called, and is
            as before at the end.
        step: the length of the step along the imaginary axis, above 0.
        entries: positions (M,) in the flattened array whose derivatives are wanted; None wants all.

    Returns:
        float64.

    Raises:
        ValueError: the array does not hold complex128, an imaginary part is not 0, the step is not
            above 0, or f returns a real number, which has lost the derivative.
    """
    if array.dtype != np.complex128 or array.imag.any() or not step > 0:
        raise ValueError(
            "Give complex128 with imaginary parts 0 and a step above 0, "
            f"not {array.dtype} and {step}."
        )
    shape = array.shape if entries is None else np.shape(entries)
    positions = np.arange(array.size) if entries is None else entries  # (M,)
    gradient = np.empty(len(positions))
    for k, position in enumerate(positions):  # one call of f for every entry
        index = np.unravel_index(position, array.shape)
        before = array[index]
        try:
            array[index] = before + 1j * step
            value = f()
        finally:
            array[index] = before
        if not np.iscomplexobj(value):
            raise ValueError("f returned a real number: somewhere it drops the imaginary part.")
        gradient[k] = value.imag / step
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

    def loss(logits: np.ndarray) -> float:
        return softmax_cross_entropy(logits, targets)[0]

    def gradient(f: Callable[[], float], array: np.ndarray, entries: np.ndarray) -> np.ndarray:
        return numeric_gradient(f, array, step, entries)

    return _compare((weights, cell, x, targets, state), np.float64, loss, gradient, most)


def complex_step_check(
    weights: Weights,
    cell: Cell,
    x: np.ndarray,
    targets: np.ndarray,
    state: State | None = None,
    step: float = 1e-20,
    most: int | None = None,
) -> list[Agreement]:
    """Compare the hand-written gradients of the mean loss with complex steps.

    The forward pass runs in complex128, and the backward pass, which is what is checked, in
    float64. The two agree to the last digits or so, where central differences leave about ten.

    Args:
        weights, cell, x, targets, state, most: as of `gradient_check`.
        step: the length of the imaginary step, see `complex_gradient`.

    Returns:
        Rows as of `gradient_check`.

    Raises:
        ValueError: as `gradient_check`.
    """

    def loss(logits: np.ndarray) -> complex:
        # `softmax_cross_entropy` returns a float; this is its formula for complex logits.
        return -np.take_along_axis(log_softmax(logits), targets[..., None], axis=-1).mean()

    def gradient(f: Callable[[], complex], array: np.ndarray, entries: np.ndarray) -> np.ndarray:
        return complex_gradient(f, array, step, entries)

    return _compare((weights, cell, x, targets, state), np.complex128, loss, gradient, most)


def _compare(
    problem: tuple[Weights, Cell, np.ndarray, np.ndarray, State | None],
    dtype: type,
    loss: Callable[[np.ndarray], complex],
    gradient: Callable[[Callable[[], complex], np.ndarray, np.ndarray], np.ndarray],
    most: int | None,
) -> list[Agreement]:
    """Compare the hand-written gradients of a problem with those of another way.

    Args:
        problem: (weights, cell, x, targets, first state or None).
        dtype: what the forward pass of the other way computes in.
        loss: logits (N, T, V) -> the mean loss, in that dtype.
        gradient: (function of nothing, array that it reads, positions (M,)) -> derivatives (M,).
        most: entries of an array that are compared at most; None compares all.
    """
    weights, cell, x, targets, state = problem
    if state is None:
        state = zero_state(weights, cell, len(x))
    # The first state counts as an array too: its gradient has passed through all T steps.
    starts = ["h0", "c0", *(f"state {k}" for k in range(2, len(state)))][: len(state)]
    arrays = weights | dict(zip(starts, state, strict=True))
    arrays |= {} if x.dtype.kind in "iu" else {"x": x}
    for name, array in arrays.items():
        if array.dtype != np.float64:
            raise ValueError(f"{name} is {array.dtype}; only float64 is exact enough for a proof.")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds NaN or infinity; nothing can be proven with it.")
    (logits, _), cache = forward(weights, cell, x, state)  # (N, T, V)
    gradients, dx, dstate = backward(softmax_cross_entropy(logits, targets)[1], cache)
    # dx is None for ids, which then are not among the arrays.
    gradients |= {"x": dx} | dict(zip(starts, dstate, strict=True))
    # Copies, since their entries are moved; each array one of its own, also where two share memory.
    moved = {name: array.astype(dtype) for name, array in arrays.items()}
    moved_weights = {name: moved[name] for name in weights}
    moved_state = tuple(moved[name] for name in starts)

    def moved_loss() -> complex:
        return loss(forward(moved_weights, cell, moved.get("x", x), moved_state)[0][0])

    rows = []
    for name, array in moved.items():
        count = array.size if most is None else min(most, array.size)
        entries = np.linspace(0, array.size - 1, count).astype(int)  # (count,) positions
        other = gradient(moved_loss, array, entries)  # (count,)
        rows.append(agreement(name, gradients[name].ravel()[entries], other))
    return rows
