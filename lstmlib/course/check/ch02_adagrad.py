"""The check of the exercise of chapter 02 that writes AdaGrad."""

from collections.abc import Callable

import numpy as np

from lstmlib.course.check.exercises import call_answer, drawn, grade

EPSILON = 1e-10


def adagrad_changes(answer: Callable | None) -> None:
    """Check a function (gradients (K, n), rate) -> the changes of n weights in K steps, (K, n)."""

    def find_slip() -> str | None:
        rng = np.random.default_rng(0)
        fixed = [(10 * rng.normal(size=(5, 3)), 0.1), (rng.normal(size=(1, 4)), 2.0)]
        fixed += [(np.full((9, 1), -3.0), 0.6), (np.array([[0.0, 1.0], [2.0, 0.0]]), 0.1)]
        fixed += [(np.array([[1.0], [1.0], [-2.0]]), 0.1)]
        fixed += [(1e-4 * rng.normal(size=(4, 3)), 0.1)]  # so small that ε counts inside the root
        others = [(np.array([[1e-10, 0.0], [3e-10, -2e-10]]), 0.1)]  # so small that ε counts
        others += [(np.array([[1e-10, 5e7], [1e6, 2e6]]), 0.1)]  # from tiny to huge, and less
        others += drawn(4, 24, _some_gradients)
        for n, (gradients, rate) in enumerate(fixed + others):
            slip = _slip_of_call(answer, gradients, rate)
            if slip:
                return f"{_described(gradients, rate) * (n >= len(fixed))}{slip}"
        return None

    grade(answer, find_slip)


def _some_gradients(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Draw gradients of any size, some in 32 bits, some 0, and a rate."""
    K, n = rng.integers(1, [9, 6])
    gradients = rng.normal(size=(K, n)) * 10.0 ** rng.integers(-11, 7, n)  # of each weight its own
    gradients[rng.random((K, n)) < rng.choice([0, 0.3])] = 0
    if rng.random() < 0.3:
        gradients[:] = gradients[0]
    kind = rng.choice(["float64", "float32"])
    rate = [10.0 ** rng.uniform(-5, 2), int(rng.integers(1, 4))][rng.integers(2)]
    return np.asarray(gradients, kind, order=rng.choice(["C", "F"])), rate


def _described(g: np.ndarray, rate: float) -> str:
    """Return the words for a case that was drawn."""
    digits = np.array2string(g, precision=2, separator=", ", max_line_width=999)
    shown = " ".join(digits.split()) if g.size <= 9 else f"of the shape {g.shape}"
    return f"for gradients {shown}, {g.dtype}, and the rate {rate:.3g}: "


def _slip_of_call(answer: Callable, gradients: np.ndarray, rate: float) -> str | None:
    given = gradients.copy(order="K")
    with np.errstate(all="ignore"):
        got = call_answer(answer, given, rate)
        try:
            got = np.asarray(got)
        except ValueError:
            return "each step has a change for every weight: rows of one length."
        if not np.array_equal(given, gradients):
            return "your function changed the gradients; return a new array."
        if got.shape != gradients.shape:
            return (
                f"a change for each step and weight is asked for, {gradients.shape}; yours is "
                f"{got.shape}."
            )
        return _slip_of_adagrad(got, gradients.astype(float), rate)


def _slip_of_adagrad(got: np.ndarray, g: np.ndarray, rate: float) -> str | None:
    """Say what is wrong with changes (K, n) of gradients g (K, n), floats of 64 bits."""
    s = np.cumsum(g**2, axis=0)
    right = _over(np.sqrt(s), g, rate)
    if _alike(got, right, rate):
        return None
    if np.isnan(got[s > 0]).any():
        return "s sums the squares; a sum of the gradients can fall below 0, and has no root then."
    without = -rate * g[s > 0] / np.sqrt(s[s > 0])  # with no ε at all
    if _constant(np.abs(got[s > 0] - without)):
        return "ε is added to the whole quotient; below the line √s + ε needs brackets."
    if np.isnan(got).any():
        return "a weight without any gradient yet gives 0/0; add the tiny ε below the line."
    if not got.any() and np.abs(g).max() < 1e-6:
        return "no weight changes; small gradients move the weights, too."
    if not got.any():
        return (
            "all your changes are 0. Is there a row for each step that nothing was put into? Or is "
            "`before = w` the same array as w? `w.copy()` is another."
        )
    if len(got) > 1 and (got == got[0]).all():
        return "all rows are equal; if you append the same array at each step, append a copy."
    if len(g) > 1 and np.abs(g[-1]).max() > 1e-6 and not got[-1].any():
        return "your last change is 0; all K steps are taken, the last one, too."
    if np.abs(g[0]).max() > 1e-6 and not got[0].any():
        return "your first change is 0; the first step is taken, too, with s = g²."
    if _alike(got[s > 0], without, rate) and not _alike(right[s > 0], without, rate):
        return (
            "gradients can be so small that ε counts: it is 1e-10, and it is added to √s in any "
            "case, not only where s is 0."
        )
    said = {said for value, said in _slips(g, s, right, rate) if _alike(got, value, rate)}
    # Of few gradients several may be true: then none is told.
    return said.pop() if len(said) == 1 else _slip_of_start(got, g, s, rate)


def _over(root: np.ndarray, g: np.ndarray, rate: float) -> np.ndarray:
    """Return the changes with a root below the line, to which ε is added."""
    return -rate * g / (root + EPSILON)


def _alike(a: np.ndarray, b: np.ndarray, rate: float) -> bool:
    """Say whether changes are the same to float32; no change is larger than the rate."""
    return np.allclose(a, b, rtol=1e-5, atol=1e-6 * rate)


def _slips(g: np.ndarray, s: np.ndarray, right: np.ndarray, rate: float) -> list[tuple]:
    """Return what usual slips give, and what to say of each."""
    steps = np.arange(1, len(g) + 1)[:, None]
    shared = np.cumsum((g**2).sum(axis=1))[:, None]
    cut = [np.clip(g, -most, most) for most in (1, 5, 10, 100)]
    norms = np.linalg.norm(g, axis=1, keepdims=True)
    cut += [g * np.minimum(1, most / np.maximum(norms, most)) for most in (1, 5)]
    clipped = [_over(np.sqrt(np.cumsum(c**2, axis=0)), c, rate) for c in cut]
    return [
        (-right, "that goes uphill: a step goes against the gradient."),
        (-rate * g, "that is plain SGD; AdaGrad divides by the root of s."),
        (-rate * np.sign(g), "s keeps the squares of all earlier steps; yours forgets them."),
        (
            _over(np.abs(g), g, rate),
            "s keeps the squares of all earlier steps; yours forgets them.",
        ),
        (_over(s, g, rate), "divide by the root of s, not by s."),
        *((each, "you clip the gradients; take them as they are.") for each in clipped),
        (
            _over(np.sqrt(shared), g, rate),
            "each weight has its own s; yours has one s for all weights.",
        ),
        (
            _over(np.sqrt(np.cumsum(g**2)).reshape(g.shape), g, rate),
            "each weight has its own s: sum over the steps alone, with axis=0.",
        ),
        (right / rate, "your changes do not depend on the rate: -rate multiplies g, once."),
        (0.1 * right / rate, "the learning rate is an argument; yours is 0.1 in every call."),
        *(
            (each, "above the line stands g with its sign, not its absolute value.")
            for each in (np.abs(right), -np.abs(right))
        ),
        (
            _over(np.sqrt(s / steps), g, rate),
            "s is the sum of the squares so far, and not their mean.",
        ),
        (-rate * g / np.sqrt(s + EPSILON), "ε is added to the root, not under it: √s + ε."),
        (
            -rate * g / np.maximum(np.sqrt(s), EPSILON),
            "ε is added to the root; yours is taken from it, or put in its place where that is "
            "smaller.",
        ),
        (
            _over(np.sqrt((g**2).sum(axis=0)), g, rate),
            "that divides by the sum over all steps; at step k only the first k are known.",
        ),
        (
            _over(np.sqrt(np.cumsum(g**2, axis=1)), g, rate),
            "each weight has its own s: sum over the steps, axis 0, not over the weights.",
        ),
        (
            _over(np.sqrt(s - g**2), g, rate),
            "the step's own square is added first: s ← s + g², and then w changes.",
        ),
        (np.cumsum(right, axis=0), "those are the weights' places; the single changes are asked."),
        (
            _over(np.abs(np.cumsum(g, axis=0)), g, rate),
            "s sums the squares; gradients of both signs would cancel.",
        ),
        (
            _over(np.cumsum(np.abs(g), axis=0), g, rate),
            "s sums the squares, and its root stands below the line; yours sums the sizes.",
        ),
    ]


def _slip_of_start(got: np.ndarray, g: np.ndarray, s: np.ndarray, rate: float) -> str:
    """Say what is wrong with changes that have another ε, or another s."""
    moved = (g != 0) & (got != 0)
    below = -rate * g[moved] / got[moved]  # what stands below the line
    added = below - np.sqrt(s[moved])
    # One root alone would fit any ε.
    several = np.ptp(np.sqrt(s[moved])) > 0.1 * np.sqrt(s[moved]).max() if moved.any() else False
    if several and _constant(added) and not np.isclose(added[0], EPSILON, rtol=1e-4, atol=0):
        digits = 1 if 5e-11 < added[0] < 1.9e-10 else 0  # as many as it takes to see it
        return f"ε is 1e-10, and yours is about {added[0]:.{digits}e}."
    under = below**2 - s[moved]
    if _constant(under):
        return f"ε is added to the root, not under it: √s + ε, with 1e-10. Yours is {under[0]:.0e}."
    if _alike(got, _over(np.sqrt(s + g[0] ** 2), g, rate), rate):
        return "s begins at 0; yours begins at the first square, which is then added twice."
    if several and np.allclose(below, below[0], rtol=1e-3, atol=0):
        return f"below the line stands about {below[0]:.3g} at every step: √s + ε, with ε = 1e-10."
    if under.size > 1 and np.allclose(under, under[0], rtol=1e-3, atol=0) and under[0] > 0:
        return f"s begins at 0 in each call, and yours at about {under[0]:.3g}."
    if any(_alike(got, _over(np.sqrt(faded), g, rate), rate) for faded in _faded(g)):
        return "s ← s + g² keeps all squares whole; yours lets the older ones fade."
    return "add the step's square to s, then the change is -rate · g / (√s + 1e-10)."


def _constant(values: np.ndarray) -> bool:
    """Say whether an ε stands out: all values are one, above 0 and below 0.001."""
    first = values.flat[0] if values.size else 0
    return bool(0 < first < 1e-3 and np.allclose(values, first, rtol=1e-3, atol=0))


def _faded(g: np.ndarray) -> list[np.ndarray]:
    """Return the averages (K, n) that forget: s ← kept · s + share · g², with usual numbers."""
    averages = []
    for kept in (0.5, 0.9, 0.95, 0.99, 0.999):
        for share in (1 - kept, 1.0):
            s = [np.zeros(g.shape[1])]
            for row in g:
                s.append(kept * s[-1] + share * row**2)
            averages.append(np.stack(s[1:]))
    return averages
