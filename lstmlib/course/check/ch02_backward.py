"""Checks of the exercises of chapter 02 that write a step of back-propagation."""

from collections.abc import Callable

import numpy as np

from lstmlib.course.check.exercises import call_answer, grade


def step_back(answer: Callable | None) -> None:
    """Check a function (dh_loss, dh_next, h, Wh) -> (dz, dh of the step before) of an RNN."""

    def find_slip() -> str | None:
        rng = np.random.default_rng(0)
        for N, H in ((3, 4), (2, 5), (1, 3)):
            dh_loss, dh_next, h = rng.normal(size=(3, N, H))
            inputs = (dh_loss, dh_next, np.tanh(h), rng.normal(size=(H, H)))
            slip = _two_arrays(answer, inputs) or _slip_of_step(answer, *inputs)
            if slip:
                return slip
        return None

    grade(answer, find_slip)


def _two_arrays(answer: Callable, inputs: tuple) -> str | None:
    """Say what is wrong with the form of an answer that must return (dz, dh): (N, H) both."""
    given = [np.copy(part) if np.ndim(part) else part for part in inputs]
    got = call_answer(answer, *given)
    if any(not np.array_equal(a, b) for a, b in zip(given, inputs, strict=True)):
        return "your function changed its arguments; `x = x * y` makes a new array, `x *= y` not."
    if isinstance(got, np.ndarray):
        return "you return one array; return two: dz, and the gradient of the h before."
    if not isinstance(got, tuple | list) or len(got) != 2:
        return "return two arrays: dz, and the gradient of the h before."
    shapes, shape = [np.shape(part) for part in got], np.shape(inputs[0])
    if shapes != [shape, shape]:
        return f"both have the shape of h, {shape}; yours are {shapes[0]} and {shapes[1]}."
    return None


def _slip_of_step(
    answer: Callable, dh_loss: np.ndarray, dh_next: np.ndarray, h: np.ndarray, Wh: np.ndarray
) -> str | None:
    got_z, got_h = call_answer(answer, dh_loss.copy(), dh_next.copy(), h.copy(), Wh.copy())
    dh, slope = dh_loss + dh_next, 1 - h**2
    dz = dh * slope
    slips = [
        (dh_loss * slope, "you forgot to add dh from the next step: h also acts on all later h."),
        (dh_next * slope, "dh_loss is missing, the gradient from this step's own prediction."),
        (dh_loss + dh_next * slope, "the slope multiplies the whole sum; the sum needs brackets."),
        (dh_loss * slope + dh_next, "the slope multiplies the whole sum: dh_next passes it, too."),
        (dh, "z comes before the tanh: multiply by its derivative, 1 - h²."),
        (dh * (1 - np.tanh(h) ** 2), "h is the tanh already; its derivative is 1 - h²."),
        (dh * (1 + h**2), "the derivative of tanh is 1 - h², with a minus."),
        (dh * h * (1 - h), "that is the derivative of the sigmoid; the one of tanh is 1 - h²."),
    ]
    if np.allclose(got_h, dz) and np.allclose(got_z, dz @ Wh.T):
        return "return dz first, then the gradient of the h before."
    for value, said in slips:
        if np.allclose(got_z, value):
            return said
    if not np.allclose(got_z, dz):
        return "dz is (dh_loss + dh_next) times the derivative of tanh, 1 - h², entry by entry."
    if np.allclose(got_h, dz @ Wh):
        return "forwards it was h @ Wh, so the gradient goes back through the transpose, Wh.T."
    if np.allclose(got_h, dh @ Wh.T):
        return "the h before reached h through z: send dz back through Wh, not dh."
    right = dz @ Wh.T
    if np.allclose(got_h, right):
        return None
    slips = [
        (right + dh_next, "dh_next is in dz already; do not add it again."),
        (right + dh_loss, "dh_loss is in dz already; do not add it again."),
        (right + dh, "dh_loss and dh_next are in dz already; do not add them again."),
        (right * slope, "dz holds the slope of this step already; yours has a slope twice."),
    ]
    for value, said in slips:
        if np.allclose(got_h, value):
            return said
    return "dz is right; the h before reached z by h @ Wh."


def leaky_step_back(answer: Callable | None) -> None:
    """Check a function (dh, g, Wh, a) -> (dz, dh before), where h = (1 - a) h before + a g."""

    def find_slip() -> str | None:
        rng = np.random.default_rng(0)
        for N, H, a in ((3, 4, 0.3), (1, 2, 0.9), (2, 5, 1.0), (2, 3, 0.05)):
            dh, z = rng.normal(size=(2, N, H))
            inputs = (dh, np.tanh(z), rng.normal(size=(H, H)), a)
            slip = _two_arrays(answer, inputs) or _slip_of_leak(answer, *inputs)
            if slip:
                return slip
        return None

    grade(answer, find_slip)


def _slip_of_leak(
    answer: Callable, dh: np.ndarray, g: np.ndarray, Wh: np.ndarray, a: float
) -> str | None:
    got_z, got_h = call_answer(answer, dh.copy(), g.copy(), Wh.copy(), a)
    slope = 1 - g**2
    dz = a * dh * slope
    if np.allclose(got_h, dz) and not np.allclose(got_z, dz):
        return "return dz first, then the gradient of the h before."
    slips = [
        (dh * slope, "g enters h times a, so its gradient is a · dh."),
        (a * dh, "z comes before the tanh: multiply by its derivative, 1 - g²."),
        (a * a * dh * slope, "the factor a stands before g once, and so it does here."),
        (a * dh * (1 + g**2), "the derivative of tanh is 1 - g², with a minus."),
        (a * dh * g * (1 - g), "that is the derivative of the sigmoid; the one of tanh is 1 - g²."),
        (a * dh * (1 - (a * g) ** 2), "the tanh gave g, not a · g: its derivative is 1 - g²."),
        (a * dh * (1 - np.tanh(g) ** 2), "g is the tanh already; its derivative is 1 - g²."),
        ((1 - a) * dh * slope, "the new part g has the factor a, the old state 1 - a."),
    ]
    for value, said in slips:
        if not np.allclose(dz, value) and np.allclose(got_z, value):
            return said
    if not np.allclose(got_z, dz):
        return "dz is the gradient of g, a · dh, times the derivative of tanh, 1 - g²."
    slips = [
        (dz @ Wh.T, "the old state also reaches the new one directly, times 1 - a."),
        ((1 - a) * dh, "the old state also reaches the new one through z, by h @ Wh."),
        (dh + dz @ Wh.T, "on the direct way the old state is multiplied by 1 - a."),
        (a * dh + dz @ Wh.T, "on the direct way the factor is 1 - a, not a."),
        (((1 - a) * dh + dz) @ Wh.T, "the direct way does not pass Wh; dz alone does."),
        (((1 - a) * dh + dz) @ Wh, "the direct way does not pass Wh; dz alone does."),
        (
            (1 - a) * dh @ Wh.T + dz,
            "the two ways are swapped: dz passes Wh, (1 - a) · dh does not.",
        ),
        ((1 - a) * dh + dz, "dz is the gradient of z; the h before reached z by h @ Wh."),
        ((1 - a) * dh + dz @ Wh, "forwards it was h @ Wh, so back it is Wh.T."),
        ((1 - a) * dh + a * dz @ Wh.T, "dz holds the factor a already; yours has it twice."),
        ((1 - a) * dh * slope + dz @ Wh.T, "the direct way does not go through the tanh."),
        ((1 - a) * (dh + dz @ Wh.T), "only the direct way has the factor 1 - a."),
        (
            a * dh + (1 - a) * (dz @ Wh.T),
            "the direct way has the factor 1 - a; beside dz stands none, since a is in it already.",
        ),
        ((1 + a) * dh + dz @ Wh.T, "on the direct way the factor is 1 - a, not 1 + a."),
    ]
    right = (1 - a) * dh + dz @ Wh.T
    if np.allclose(got_h, right):
        return None
    for value, said in slips:
        if np.allclose(got_h, value):
            return said
    return "dz is right; the h before gets the direct way, times 1 - a, and dz through Wh.T."
