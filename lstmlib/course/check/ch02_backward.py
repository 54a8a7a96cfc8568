"""Checks of the exercises of chapter 02 that write a step of back-propagation."""

from collections.abc import Callable

import numpy as np

from lstmlib.course.check.exercises import Slip, array, call_answer, drawn, grade

Case = tuple[str, tuple]
"""What is said of a case that was drawn, and what the answer is called with."""

SIZES = (1e-9, 1e-5, 0.01, 1.0, 1.0, 100.0, 1e5)
"""Of gradients."""


def step_back(answer: Callable | None) -> None:
    """Check a function (dh_loss, dh_next, h, Wh) -> (dz, dh of the step before) of an RNN."""

    def find_slip() -> str | None:
        rng = np.random.default_rng(0)
        cases = [("", _a_step(rng, N, H)) for N, H in ((3, 4), (2, 5), (1, 3))]
        cases.append(("gradients of which one is 0, and their sum", _some_zeros(rng)))
        cases += drawn(5, 24, _any_step)
        return _first_slip(answer, cases, _slip_of_step)

    grade(answer, find_slip)


def _first_slip(answer: Callable, cases: list[Case], slip_of: Callable) -> str | None:
    """Return the first slip that is found, `slip_of(got_z, got_h, *inputs)`, with its case."""
    for said, inputs in cases:
        with np.errstate(all="ignore"):
            got = _two_arrays(answer, inputs)
            wide = [array(part).astype(float) for part in (*got, *inputs)]
            slip = slip_of(*wide)
        if slip:
            return f"for {said}: {slip}" if said else slip
    return None


def _a_step(rng: np.random.Generator, N: int, H: int) -> tuple:
    """Draw (dh_loss, dh_next, h, Wh) of N streams and H units."""
    dh_loss, dh_next, h = rng.normal(size=(3, N, H))
    return dh_loss, dh_next, np.tanh(h), rng.normal(size=(H, H))


def _some_zeros(rng: np.random.Generator) -> tuple:
    """Draw (dh_loss, dh_next, h, Wh): who asks for `.all()` or `.sum()` takes them for zeros."""
    dh_loss, dh_next, h, Wh = _a_step(rng, 2, 3)
    for dh in (dh_loss, dh_next):
        dh[0, 0] = 0
        dh[1, 2] -= dh.sum()
    return dh_loss, dh_next, h, Wh


def _any_step(rng: np.random.Generator) -> Case:
    """Draw a case of step_back: any sizes, gradients and states, of 64 or 32 bits."""
    N, H = (int(size) for size in rng.integers(1, 7, 2))
    dh_loss, dh_next, h, Wh = _a_step(rng, N, H)
    size = rng.choice(SIZES)
    said, loss, later, slope = [
        ("", 1, 1, 1),
        (", dh_loss = 0", 0, 1, 1),
        (", dh_next = 0", 1, 0, 1),
        (", h = 0", 1, 1, 0),
        (", h near 1 and -1", 1, 1, 3),
        (", dh_loss a thousandth of dh_next", 0.001, 1, 1),
    ][rng.integers(6)]
    h = np.tanh(slope * np.arctanh(h))
    inputs = (size * loss * dh_loss, size * later * dh_next, h, Wh)
    said = f"N = {N} and H = {H}, gradients near {size:g}{said}"
    return _of_a_kind(rng, said, inputs)


def _of_a_kind(rng: np.random.Generator, said: str, inputs: tuple) -> Case:
    """Return a case as it is, in 32 bits, or with the other order of the entries in memory."""
    kind, order = (("float64", "C"), ("float32", "C"), ("float64", "F"))[rng.integers(3)]
    made = [np.asarray(x, kind, order=order) if np.ndim(x) else x for x in inputs]
    return said + ", float32" * (kind == "float32"), tuple(made)


def _two_arrays(answer: Callable, inputs: tuple) -> tuple:
    """Return what an answer returns, (dz, dh), (N, H) both.

    Raises:
        Slip: it returns something else, or changed what it was given.
    """
    given = [part.copy(order="K") if np.ndim(part) else part for part in inputs]
    (shape, *_, square) = (np.shape(part) for part in inputs if np.ndim(part))
    try:
        got = call_answer(answer, *given)
    except ValueError as error:
        if "matmul" not in str(error) and "not aligned" not in str(error):
            raise
        raise Slip(
            f"your code stopped at a product of shapes that do not fit: {error}. Here dz is "
            f"{shape} and Wh {square}. Entry by entry (⊙) is `*`; of a product of matrices, what "
            "has a row for each stream stands on the left of @."
        ) from None
    if any(not np.array_equal(a, b) for a, b in zip(given, inputs, strict=True)):
        raise Slip(
            "your function changed its arguments; `x = x * y` makes a new array, `x *= y` not."
        )
    stacked = getattr(got, "ndim", 0) == 3
    if getattr(got, "ndim", 0) and not stacked:
        raise Slip("you return one array; return two: dz, and the gradient of the h before.")
    if not (stacked or isinstance(got, tuple | list)) or len(got) != 2:
        raise Slip("return two arrays: dz, and the gradient of the h before.")
    shapes = [np.shape(part) for part in got]
    if shapes != [shape, shape]:
        raise Slip(f"both have the shape of h, {shape}; yours are {shapes[0]} and {shapes[1]}.")
    return tuple(got)


def _alike(a: np.ndarray, b: np.ndarray, size: np.ndarray) -> bool:
    """Say whether two arrays are the same to float32, seen beside numbers of a size."""
    return np.allclose(a, b, rtol=1e-5, atol=2e-6 * np.abs(size).max())


def _slip_of_step(
    got_z: np.ndarray,
    got_h: np.ndarray,
    dh_loss: np.ndarray,
    dh_next: np.ndarray,
    h: np.ndarray,
    Wh: np.ndarray,
) -> str | None:
    dh, slope = dh_loss + dh_next, 1 - h**2
    dz = dh * slope
    right = dz @ Wh.T
    sizes = np.abs(dh_loss) + np.abs(dh_next)
    after = sizes @ np.abs(Wh.T)
    if _alike(got_z, dz, sizes) and _alike(got_h, right, after):
        return None
    if _alike(got_h, dz, sizes) and _alike(got_z, right, after):
        return "return dz first, then the gradient of the h before."
    if not _alike(got_z, dz, sizes):
        slips = [
            (
                dh_loss * slope,
                "you forgot to add dh from the next step: h also acts on all later h.",
            ),
            (dh_next * slope, "dh_loss is missing, the gradient from this step's own prediction."),
            (
                dh_loss + dh_next * slope,
                "the slope multiplies the whole sum; the sum needs brackets.",
            ),
            (
                dh_loss * slope + dh_next,
                "the slope multiplies the whole sum: dh_next passes it, too.",
            ),
            (dh, "z comes before the tanh: multiply by its derivative, 1 - h²."),
            (dh * (1 - np.tanh(h) ** 2), "h is the tanh already; its derivative is 1 - h²."),
            (dh * (1 + h**2), "the derivative of tanh is 1 - h², with a minus."),
            (dh * h * (1 - h), "that is the derivative of the sigmoid; the one of tanh is 1 - h²."),
        ]
        other = "dz is (dh_loss + dh_next) times the derivative of tanh, 1 - h², entry by entry."
        return _said_of(got_z, slips, other, sizes)
    slips = [
        (
            dz @ Wh,
            "forwards it was h @ Wh, so the gradient goes back through the transpose, Wh.T.",
        ),
        (dh @ Wh.T, "the h before reached h through z: send dz back through Wh, not dh."),
        (right + dh_next, "dh_next is in dz already; do not add it again."),
        (right + dh_loss, "dh_loss is in dz already; do not add it again."),
        (right + dh, "dh_loss and dh_next are in dz already; do not add them again."),
        (right * slope, "dz holds the slope of this step already; yours has a slope twice."),
    ]
    return _said_of(got_h, slips, "dz is right; the h before reached z by h @ Wh.", after)


def _said_of(got: np.ndarray, slips: list[tuple], other: str, size: np.ndarray) -> str:
    """Return what is said of the one slip that gives this; `other` if none does, or several do."""
    said = {said for value, said in slips if _alike(got, value, size)}
    return said.pop() if len(said) == 1 else other


def leaky_step_back(answer: Callable | None) -> None:
    """Check a function (dh, g, Wh, a) -> (dz, dh before), where h = (1 - a) h before + a g."""

    def find_slip() -> str | None:
        rng = np.random.default_rng(0)
        sizes = ((3, 4, 0.35), (1, 2, 0.9), (2, 5, 1.0), (2, 3, 0.05))
        cases = [("", _a_leak(rng, N, H, a)) for N, H, a in sizes]
        cases += [*drawn(6, 24, _any_leak), ("a = 0", _a_leak(rng, 2, 2, 0.0))]
        return _first_slip(answer, cases, _slip_of_leak)

    grade(answer, find_slip)


def _a_leak(rng: np.random.Generator, N: int, H: int, a: float) -> tuple:
    """Draw (dh, g, Wh, a) of N streams and H units."""
    dh, z = rng.normal(size=(2, N, H))
    return dh, np.tanh(z), rng.normal(size=(H, H)), a


def _any_leak(rng: np.random.Generator) -> Case:
    """Draw a case of leaky_step_back: any sizes, gradients and leaks, of 64 or 32 bits."""
    N, H = (int(size) for size in rng.integers(1, 7, 2))
    a = [rng.uniform(0.05, 0.95), 0.5, 10.0 ** -rng.uniform(1, 4), 1][rng.integers(4)]
    dh, g, Wh, a = _a_leak(rng, N, H, round(a, 5))
    size, slope = rng.choice(SIZES), rng.choice([0, 1, 1, 3])
    g = np.tanh(slope * np.arctanh(g))
    kind = {0: ", g = 0", 1: "", 3: ", g near 1 and -1"}[slope]
    said = f"N = {N}, H = {H} and a = {a:g}, gradients near {size:g}{kind}"
    return _of_a_kind(rng, said, (size * dh, g, Wh, a))


def _slip_of_leak(
    got_z: np.ndarray, got_h: np.ndarray, dh: np.ndarray, g: np.ndarray, Wh: np.ndarray, a: float
) -> str | None:
    slope = 1 - g**2
    dz = a * dh * slope
    right = (1 - a) * dh + dz @ Wh.T
    after = np.abs(dh) + np.abs(dh) @ np.abs(Wh.T)
    if _alike(got_z, dz, a * dh) and _alike(got_h, right, after):
        return None
    if _alike(got_h, dz, a * dh) and not _alike(got_z, dz, a * dh):
        return "return dz first, then the gradient of the h before."
    if not _alike(got_z, dz, a * dh):
        slips = [
            (dh * slope, "g enters h times a, so its gradient is a · dh."),
            (a * dh, "z comes before the tanh: multiply by its derivative, 1 - g²."),
            (a * a * dh * slope, "the factor a stands before g once, and so it does here."),
            (a * dh * (1 + g**2), "the derivative of tanh is 1 - g², with a minus."),
            (
                a * dh * g * (1 - g),
                "that is the derivative of the sigmoid; the one of tanh is 1 - g².",
            ),
            (a * dh * (1 - (a * g) ** 2), "the tanh gave g, not a · g: its derivative is 1 - g²."),
            (a * dh * (1 - np.tanh(g) ** 2), "g is the tanh already; its derivative is 1 - g²."),
            ((1 - a) * dh * slope, "the new part g has the factor a, the old state 1 - a."),
        ]
        slips += [
            (each * dh * slope, f"a is an argument, here {a:g}; yours is {each}.")
            for each in (0.1, 0.2, 0.5)
        ]
        other = "dz is the gradient of g, a · dh, times the derivative of tanh, 1 - g²."
        return _said_of(got_z, slips, other, dh)
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
    other = "dz is right; the h before gets the direct way, times 1 - a, and dz through Wh.T."
    return _said_of(got_h, slips, other, after)
