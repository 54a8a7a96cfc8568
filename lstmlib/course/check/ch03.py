"""Checks of the exercises of chapter 03."""

from collections.abc import Callable, Iterable
from itertools import permutations

import numpy as np

from lstmlib.course.check.exercises import Slip, array, call_answer, grade, number


def _same(got: object, wanted: np.ndarray) -> bool:
    """Say whether an array has the shape and the values that are wanted."""
    return np.shape(got) == np.shape(wanted) and np.allclose(got, wanted, atol=1e-9)


def _unmoved(given: Iterable[np.ndarray], before: Iterable[np.ndarray]) -> None:
    """Raise Slip if an array that a student's function was given is not as it was before."""
    for now, then in zip(given, before, strict=True):
        if not np.array_equal(now, then):
            raise Slip("your function changed its arguments: `s += a` does, `s = s + a` does not.")


def lstm_parameters(answer: Callable | None) -> None:
    """Check a function (V, H, L) -> parameters of an LSTM of L layers with its output layer.

    Input is one-hot, and every gate has one bias, as in the equations.
    """

    def count(
        V: int, H: int, L: int, blocks: int = 4, biases: int = 1, wide: bool = False, Wy: int = 1
    ) -> int:
        first, later = (blocks * (D * H + H * H + biases * H) for D in (V, V if wide else H))
        return first + (L - 1) * later + Wy * (H * V + V)

    def find_slip() -> str | None:
        cases = [(65, 100, 1), (65, 100, 2), (3, 2, 4), (80, 1, 3)]
        got = [number(call_answer(answer, *case)) for case in cases]

        def equals(formula: Callable, **options: object) -> bool:
            return got == [formula(*case, **options) for case in cases]

        if equals(count):
            return None
        for options, hint in (
            ({"wide": True}, "only layer 0 reads V numbers; others read the H of the layer below."),
            ({"blocks": 1}, "an LSTM has four blocks, i, f, g and o, each with its own matrices."),
            ({"blocks": 3}, "that is the CIFG: the LSTM has four blocks."),
            ({"biases": 2}, "PyTorch counts two biases for each gate; the equations have one."),
            (
                {"biases": 0},
                "you left out the biases: H for each of the four gates, in each layer.",
            ),
            ({"Wy": 0}, "the output layer counts too: H·V weights and V biases."),
        ):
            if equals(count, **options):
                return hint
        for formula, hint in (
            (lambda V, H, L: count(V, H, 1), "L layers are asked for; yours counts one."),
            (lambda V, H, L: L * count(V, H, 1), "the output layer stands once, at the top."),
            (lambda V, H, L: count(V, H, L + 1), "a layer too many: the first, and L - 1 others."),
            (lambda V, H, L: count(V, H, L) - V, "the output layer has V biases as well."),
            (lambda V, H, L: count(V, H, L) - H * V, "you left out Wy, (H, V)."),
        ):
            if equals(formula):
                return hint
        return "a layer has Wx (D, 4H), Wh (H, 4H) and b (4H,); on top come Wy (H, V) and by (V,)."

    grade(answer, find_slip)


def remember_one_bit(answer: Callable | None) -> None:
    """Check a function () -> (3, 4): the pre-activations i, f, g, o of one unit at "(", ")", "x".

    The unit must hold c = 1 from each "(" until the next ")", and 0 elsewhere, both to 0.05, over
    hundreds of steps; h must show it.
    """

    def find_slip() -> str | None:
        given = call_answer(answer)
        try:
            table = np.asarray(given, dtype=float)
        except (TypeError, ValueError):
            return "the table has a row for each of ( ) x, with four numbers in each row."
        if table.shape != (3, 4):
            return (
                f"the table has a row for each of ( ) x, and four columns; yours is {table.shape}."
            )
        if not np.isfinite(table).all():
            return (
                f"each entry is a finite number, and yours has {table[~np.isfinite(table)][0]}; "
                "σ(20) differs from 1 by 2e-9 only."
            )
        gates = 0.5 * np.tanh(0.5 * table) + 0.5  # σ
        gates[:, 2] = np.tanh(table[:, 2])
        rows = dict(zip("()x", gates, strict=True))

        def held(text: str) -> tuple[float, float]:
            c = h = 0.0
            for character in text:
                i, f, g, o = rows[character]
                c = f * c + i * g
                h = o * np.tanh(c)
            return c, h

        if abs(held("(")[0] + 1) < 0.05:
            return "after `(` c is -1, not 1: g is the value that is written."
        i, f, g, _ = rows["x"]
        writes = abs(i * g) > 1e-4  # 300 times that is not small
        fades = f"f³⁰⁰ must be near 1; f at `x` is {f:.4f}."
        keep = [fades] if f**300 < 0.95 or not writes else []
        if writes:
            keep.append("Close i at `x`.")
        for text, wanted, hint in (
            ("(", 1, "What is written is i · g: both must be near 1, and g is a tanh."),
            ("(" + 300 * "x", 1, " ".join(keep)),
            (300 * "x", 0, "Close i at `x`."),
            ("(xx(", 1, "Your unit counts: where something is written, forget the old value."),
            ("(x)", 0, "At `)` close f, and i."),
            ("())xx)", 0, "`)` must write nothing, also where nothing is open."),
        ):
            c, name = held(text)[0], f"`{text}`"
            if text.endswith(300 * "x"):
                name = "`(` and 300 times `x`" if text[0] == "(" else "300 times `x`"
            if abs(c - wanted) > 0.05:
                return f"after {name}, c must be {wanted}; yours is {c:.2f}. {hint}"
        if any(held(text)[1] < 0.7 for text in ("(", "(x", "(xx(xx")):
            return "c is right, but h does not show it: while the bit is set, o must be near 1."
        return None

    grade(answer, find_slip)


def from_onnx(answer: Callable | None) -> None:
    """Check a function (W, R, B) -> (Wx, Wh, b), from ONNX's layout of an LSTM to ours.

    W (4H, D) and R (4H, H) hold blocks of rows in the order i, o, f, g, B (8H,) eight blocks: the
    four biases of W, then the four of R.
    """

    def arranged(
        W: np.ndarray, R: np.ndarray, B: np.ndarray, order: Iterable[int] = (0, 2, 3, 1)
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        def blocks(array: np.ndarray) -> np.ndarray:
            parts = np.split(array, 4)
            return np.concatenate([parts[k] for k in order])

        first, second = np.split(B, 2)
        return blocks(W).T, blocks(R).T, blocks(first + second)

    def find_slip() -> str | None:
        rng = np.random.default_rng(0)
        for D, H in ((5, 3), (3, 3), (2, 1)):
            before = (
                rng.normal(size=(4 * H, D)),
                rng.normal(size=(4 * H, H)),
                rng.normal(size=8 * H),
            )
            given = [part.copy() for part in before]
            got = call_answer(answer, *given)
            _unmoved(given, before)
            slip = _slip_of_layout(got, before, arranged)
            if slip:
                return slip
        return None

    grade(answer, find_slip)


def _slip_of_layout(got: object, given: tuple, arranged: Callable) -> str | None:
    """Return what is wrong with the weights that `from_onnx` was answered with, or None."""
    if not isinstance(got, tuple | list) or len(got) != 3:
        return "return three arrays: Wx, Wh and b."
    right = arranged(*given)
    if all(_same(a, b) for a, b in zip(got, right, strict=True)):
        return None
    W, R, B = given
    first, second = np.split(B, 2)
    for name, part, wanted in zip(("Wx", "Wh"), got, right[:2], strict=False):
        if np.shape(part) != wanted.shape and np.shape(part) == wanted.T.shape:
            return f"{name} is transposed: here a row vector stands left of it, {wanted.shape}."
    for order in permutations(range(4)):
        wrong = arranged(*given, order)
        if order != (0, 2, 3, 1) and all(_same(a, b) for a, b in zip(got, wrong, strict=True)):
            names = " ".join("iofg"[k] for k in order)
            return f"your blocks stand in the order {names}; ours is i f g o."
    if _same(got[0], right[0]) and _same(got[1], right[1].T):
        return "Wh is transposed, which its shape does not show where all sizes agree."
    if _same(got[0], right[0]) and _same(got[1], right[1]):
        for half, name in ((first, "first"), (second, "second")):
            if _same(got[2], arranged(W, R, np.concatenate([half, 0 * half]))[2]):
                return f"b holds the {name} bias alone; both are added in z, so b is their sum."
        if np.shape(got[2]) != first.shape:
            return f"b must be (4H,), here {first.shape}; yours is {np.shape(got[2])}."
        if _same(got[2], first + second):
            return "the blocks of b must be put in order, too."
        return "Wx and Wh are right; b is the sum of two biases, with its blocks in our order."
    for name, part, wanted, rows in zip(("Wx", "Wh"), got, right, (W, R), strict=False):
        if _same(part, rows.T) and not _same(part, wanted):
            return f"{name} is transposed, but its blocks still stand in the order i, o, f, g."
    wrong = [n for n, a, b in zip(("Wx", "Wh", "b"), got, right, strict=True) if not _same(a, b)]
    return (
        f"not right: {', '.join(wrong)}. Split each array into 4 blocks of H rows, put them in the "
        "order i, f, g, o, and then transpose."
    )


def adagrad_step(answer: Callable | None) -> None:
    """Check a function (w, g, s, rate) -> (new w, new s): one step of AdaGrad, not in place."""

    def step(w: np.ndarray, g: np.ndarray, s: np.ndarray, rate: float) -> tuple:
        s = s + g**2
        return w - rate * g / (np.sqrt(s) + 1e-10), s

    def find_slip() -> str | None:
        rng = np.random.default_rng(0)
        for shape, rate in (((3, 2), 0.1), ((4,), 0.5)):
            w, s = rng.normal(size=shape), np.zeros(shape)
            for _ in range(3):
                g = rng.normal(size=shape)
                g.flat[0] = 0  # an entry that never has a gradient
                g.flat[1] = 1e-4  # so small that 1e-10 counts inside the root, not outside
                given = [w.copy(), g.copy(), s.copy()]
                with np.errstate(invalid="ignore", divide="ignore"):
                    got = call_answer(answer, *given, rate)
                _unmoved(given, (w, g, s))
                slip = _slip_of_adagrad(got, w, g, s, rate)
                if slip:
                    return slip
                w, s = step(w, g, s, rate)
        return None

    grade(answer, find_slip)


def _slip_of_adagrad(
    got: object, w: np.ndarray, g: np.ndarray, s: np.ndarray, rate: float
) -> str | None:
    """Return what is wrong with the step that `adagrad_step` was answered with, or None."""
    if not isinstance(got, tuple | list) or len(got) != 2:
        return "return two arrays: the new w and the new s."
    new_w, new_s = (array(part) for part in got)
    if not new_w.shape == new_s.shape == w.shape:
        return f"both arrays have the shape of w, {w.shape}; every entry has a step of its own."
    total = s + g**2
    root = np.sqrt(total) + 1e-10
    if _same(new_s, s + np.abs(g)) or _same(new_s, s + g):
        return "s adds up squares of the gradient."
    if np.isnan(new_w).any():
        return "an entry whose gradient was 0 so far gives 0/0: add a tiny number to the root."
    if _same(new_w, w - rate * g / root) and _same(new_s, total):
        return None
    if _same(new_w, total) and _same(new_s, w - rate * g / root):
        return "return the new w first, then s."
    if (s > 0).any() and _same(new_s, g**2):
        return "s adds up over all steps; yours keeps the last gradient's square alone."
    if not _same(new_s, total):
        return "the new s is s + g², entry by entry."
    with np.errstate(invalid="ignore", divide="ignore"):
        slips = [
            (w + rate * g / root, "a step goes against the gradient: w minus, not plus."),
            (w - rate * g / np.sqrt(total + 1e-10), "1e-10 is added to the root, not under it."),
            (w - rate * g / (total + 1e-10), "divide by the square root of s, not by s."),
            (w - g / root, "you left out the rate."),
            (w - rate * g, "that is SGD: divide each entry by the root of its own s."),
            (w - rate / root, "the step is in the direction of g: multiply by it."),
            (
                w - rate * g / (np.sqrt(s) + 1e-10),
                "this step's g² belongs into s before the division; with s = 0 the first step "
                "would be huge.",
            ),
            (w - rate * g / (np.sqrt(total.sum()) + 1e-10), "every entry has a sum of its own."),
        ]
    hints = [hint for value, hint in slips if _same(new_w, value)]
    return hints[0] if hints else "s is right; w loses rate · g / (√s + 1e-10), with the new s."


def coupled_gate(answer: Callable | None) -> None:
    """Check a function (dc, i, g, c_old) -> the gradient of the CIFG's z_i."""

    def has_factor(before: tuple, others: np.ndarray) -> bool:
        """Say whether the answer is dc (g - c_old) times something positive of i alone."""
        slopes = []
        for dc, g, c_old in (before[:1] + before[2:], others):
            got = call_answer(answer, dc.copy(), before[1].copy(), g.copy(), c_old.copy())
            slopes.append(got / (dc * (g - c_old)))
        return bool(np.allclose(*slopes) and np.min(slopes) > 0)

    def find_slip() -> str | None:
        rng = np.random.default_rng(0)
        for shape in ((2, 3), (1, 1), (4, 4)):
            dc, g, c_old, z = rng.normal(size=(4, *shape))
            before = dc, 1 / (1 + np.exp(-z)), g, c_old
            given = [part.copy() for part in before]
            got = call_answer(answer, *given)
            _unmoved(given, before)
            if np.shape(got) != shape:
                return f"the gradient has the shape of dc, {shape}; yours is {np.shape(got)}."
            slip = _slip_of_coupling(got, *before)
            if slip:
                if slip == COUPLING and has_factor(before, rng.normal(size=(3, *shape))):
                    return "g − c_old is right; look at the slope of σ."
                return slip
        return None

    grade(answer, find_slip)


COUPLING = "c = (1 - i)·c_old + i·g: what does c do when i grows a little?"
"""What is said of a wrong gradient of the CIFG's z_i that is none of the known ones."""


def _slip_of_coupling(
    got: np.ndarray, dc: np.ndarray, i: np.ndarray, g: np.ndarray, c_old: np.ndarray
) -> str | None:
    """Return what is wrong with the gradient that `coupled_gate` was answered with, or None."""
    slope = i * (1 - i)
    if np.allclose(got, dc * (g - c_old) * slope):
        return None
    slips = [
        (dc * g * slope, "i acts twice: it lets g in, and as 1 - i it lets c_old go."),
        (-dc * c_old * slope, "i acts twice: as 1 - i it lets c_old go, and it lets g in."),
        (dc * (g + c_old) * slope, "c_old is kept by 1 - i, so its term has a minus sign."),
        (dc * (g - c_old), "that is the gradient of i; z_i comes before the σ: times i (1 - i)."),
        (dc * (g - c_old) * i, "the derivative of σ is i (1 - i)."),
        (dc * (g - c_old) * (1 - i * i), "that is the derivative of tanh; σ's is i (1 - i)."),
        (dc * (c_old - g) * slope, "the signs are swapped: more i means more g, less c_old."),
        ((g - c_old) * slope, "multiply by dc, the gradient that arrives at c."),
    ]
    hints = [hint for value, hint in slips if np.allclose(got, value)]
    return hints[0] if hints else COUPLING


def bugs_by_block(answer: dict | None) -> None:
    """Check which of six bugs each of three students has, {"A": 1 to 6, "B": …, "C": …}."""
    hints = {
        "A": "at T = 1 only c0 is wrong: all gradients of this step's z are right, and only what "
        "is handed back along c is not",
        "B": "at T = 1 all is right, so the bug sits in what comes from the step after; at T = 2 "
        "block o is wrong too, and the gradient comes to o through dh alone",
        "C": "at T = 1 one block alone is wrong, so the bug sits in that gate's own gradient",
    }

    def find_slip() -> str | None:
        if not isinstance(answer, dict) or set(answer) != set(hints):
            return 'give a dictionary with the keys "A", "B" and "C".'
        if ... in answer.values():
            return f"still open: {', '.join(t for t, value in answer.items() if value is ...)}."
        given = {student: number(value) for student, value in answer.items()}
        if any(value not in range(1, 7) for value in given.values()):
            return "each value is the number of a bug, 1 to 6."
        wrong = [t for t, value in given.items() if value != {"A": 3, "B": 1, "C": 5}[t]]
        return f"look at student {wrong[0]} again: {hints[wrong[0]]}." if wrong else None

    grade(answer, find_slip)


def backward_without_tanh(answer: Callable | None) -> None:
    """Check a function (dstate, cache) -> (dz, (dc_old,)) of an LSTM with h = o · c, no tanh.

    dstate is (dh, dc), the cache (i, f, g, o, c_old, c), all (N, H).
    """

    def step(
        dstate: tuple, cache: tuple, slope: Callable = lambda c: 1, back: Callable = lambda f: f
    ) -> tuple:
        (dh, dc), (i, f, g, o, c_old, c) = dstate, cache
        dc = dc + dh * o * slope(c)
        di, df, dg, do = dc * g, dc * c_old, dc * i, dh * c
        dz = [di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)]
        return np.concatenate(dz, axis=1), (dc * back(f),)

    def find_slip() -> str | None:
        rng = np.random.default_rng(0)
        for N, H in ((2, 3), (1, 1), (3, 5)):
            dh, dc, c_old, *z = rng.normal(size=(7, N, H))
            i, f, o = (1 / (1 + np.exp(-part)) for part in z[:3])
            g = np.tanh(z[3])
            cache = (i, f, g, o, c_old, f * c_old + i * g)
            given = [part.copy() for part in (dh, dc, *cache)]
            got = call_answer(answer, tuple(given[:2]), tuple(given[2:]))
            _unmoved(given, (dh, dc, *cache))
            slip = _slip_of_backward(got, (dh, dc), cache, step)
            if slip:
                return slip
        return None

    grade(answer, find_slip)


def _slip_of_backward(got: object, dstate: tuple, cache: tuple, step: Callable) -> str | None:
    """Return what is wrong with the step that `backward_without_tanh` was answered with."""
    if not isinstance(got, tuple | list) or len(got) != 2:
        return "return dz (N, 4H), and (the gradient of c_old,), a tuple."
    dz, rest = got
    if not isinstance(rest, tuple | list) or len(rest) != 1:
        return "the second thing is a tuple that holds one array, the gradient of c_old."
    dh, f, o = dstate[0], cache[1], cache[3]
    right_dz, (right_dc,) = step(dstate, cache)
    if np.shape(dz) != right_dz.shape:
        return f"dz is (N, 4H), here {right_dz.shape}; yours is {np.shape(dz)}."
    if _same(dz, right_dz) and _same(rest[0], right_dc):
        return None
    for slope in (lambda c: 1 - c**2, lambda c: 1 - np.tanh(c) ** 2):
        if _same(dz, step(dstate, cache, slope)[0]):
            return "there is no tanh between c and h any more, so no derivative of one."
    if _same(dz, step(dstate, cache, lambda c: 0)[0]):
        return "c also acts through h: its gradient there is dh · o."
    if _same(dz, step((dh, 0 * dstate[1]), cache)[0]):
        return "the gradient dc that comes from the step after is lost."
    if _same(dz, step(dstate, cache, lambda c: 1 / o)[0]):
        return "h is o · c: on its way to c the gradient dh is multiplied by o."
    if _same(dz, right_dz):
        if _same(rest[0], right_dc / f):
            return "dz is right now; but c_old reaches c through f, so its gradient is dc · f."
        if _same(rest[0], dstate[1] * f):
            return "hand back the whole dc, the share through h included, times f."
        return "dz is right; the gradient of c_old is dc · f."
    pairs = zip("ifgo", np.split(dz, 4, axis=1), np.split(right_dz, 4, axis=1), strict=True)
    blocks = [name for name, a, b in pairs if not _same(a, b)]
    for order in permutations(np.split(right_dz, 4, axis=1)):
        if _same(dz, np.concatenate(order, axis=1)):
            return "the blocks stand in another order; ours is i, f, g, o."
    if blocks == ["o"]:
        return "of dz the block of o is wrong: do is dh times c."
    many = f"blocks of {', '.join(blocks)} are" if len(blocks) > 1 else f"block of {blocks[0]} is"
    output = " For o, do is dh times c." if "o" in blocks else ""
    return f"of dz the {many} wrong; each factor gets dc times the other.{output}"
