"""Checks of the exercises of chapter 06."""

import copy
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from lstmlib.course.check.exercises import call_answer, grade, number


def _first_like(
    got: object, table: Sequence[tuple], otherwise: str, atol: float = 1e-8
) -> str | None:
    """Return the reason beside the first value of a table that is like an answer."""
    for wanted, reason in table:
        if np.shape(got) == np.shape(wanted) and np.allclose(got, wanted, rtol=1e-4, atol=atol):
            return reason
    return otherwise


def _parts(answer: object, count: int) -> list | None:
    """Return the entries of a list, tuple, array or tensor of `count` entries; None for others."""
    if not isinstance(answer, list | tuple | np.ndarray | torch.Tensor):
        return None
    fits = getattr(answer, "ndim", 1) == 1 and len(answer) == count
    return list(answer) if fits else None


def step_jacobian(answer: Callable | None) -> None:
    """Check a function (W_h (H, H), h (H,)) -> (H, H), the Jacobian of tanh(before @ W_h + …)."""

    def find_slip() -> str | None:
        for H in (3, 1, 5):
            random = np.random.default_rng(H)
            W_h, h = random.normal(size=(H, H)), random.uniform(-0.95, 0.95, H)
            given = W_h.copy(), h.copy()
            try:
                got = call_answer(answer, *given)
            except TypeError as error:
                if "Tensor" in str(error):
                    return "W_h and h are NumPy arrays, and torch's functions take tensors: np."
                raise
            if slip := _slip_of_jacobian(np.asarray(got), W_h, h):
                return slip
            if not (np.array_equal(given[0], W_h) and np.array_equal(given[1], h)):
                return "your function changed W_h or h; the run still needs them."
        return None

    grade(answer, find_slip)


def _slip_of_jacobian(got: np.ndarray, W_h: np.ndarray, h: np.ndarray) -> str | None:
    """Say what is wrong with the Jacobian of a step."""
    if got.shape != W_h.shape:
        return f"the Jacobian has the shape of W_h, {W_h.shape}, not {got.shape}."
    rows = h[:, None]
    slope = 1 - rows**2
    square = "the derivative of tanh is 1 - tanh², and h is the tanh already: square it."
    torch_s = (
        "that is right for PyTorch's weight_hh_l0. Here W_h stands as in chapter 02, "
        "`before @ W_h`: the weight from b to a is W_h[b, a]. Transpose it."
    )
    transposed = "that is the transpose: entry [a, b] is the derivative of h[a] by before[b]."
    table = [
        (slope * W_h.T, None),
        (slope * W_h, torch_s),
        (W_h * slope.T, transposed),
        (W_h.T * slope.T, "you scaled the columns; the slope of unit a belongs to row a."),
        ((1 - rows) * W_h.T, square),
        ((1 - rows) * W_h, square),
        (rows * (1 - rows) * W_h.T, "that is the derivative of the sigmoid; this unit is a tanh."),
        ((1 - np.tanh(rows) ** 2) * W_h.T, "h is the tanh; do not take the tanh of it again."),
        (np.diag(np.diag(slope * W_h)), "`*` multiplies entry by entry: `@` for the product."),
        (W_h.T, "the tanh has a derivative, too."),
        (W_h, "the tanh has a derivative, too."),
    ]
    return _first_like(got, table, "entry [a, b] is (1 - h[a]²) times the weight from b to a.")


def steps_to_undo(answer: float | None) -> None:
    """Check the least number of factors of 0.75 that take a factor of 45 below 1."""

    def find_slip() -> str | None:
        got, exact = number(answer), math.log(45) / math.log(1 / 0.75)
        table = [
            (14, None),
            (13, "45 * 0.75 ** 13 is 1.07, which is longer still; one step more."),
            (min(got, -1), "a number of steps is not negative; the logarithm of 0.75 is."),
            (15, "one step less is enough: 45 * 0.75 ** 14 is 0.8."),
            (exact, "right but for one thing: steps are whole, so take the first that is below 1."),
            (40, "that is as many again; but 0.75 shrinks more than 1.10 stretches."),
            (54, "that counts the 40 steps, too: how many *further* steps are there?"),
            (60, "the factors are multiplied, not added: 0.75 of what is left, at each step."),
        ]
        said = f"45 * 0.75 ** {got:g} is {45 * 0.75**got:.3g}; when is it below 1 the first time?"
        return _first_like(got, table, said, atol=5e-2)

    grade(answer, find_slip)


def clip_by_hand(answer: Sequence[float] | None) -> None:
    """Check the gradient (1.2, -1.6 | 4.8) of two tensors, clipped at a norm of 1.3."""
    gradient, limit = np.array([1.2, -1.6, 4.8]), 1.3
    norm = np.linalg.norm(gradient)

    def find_slip() -> str | None:
        three = _parts(answer, 3)
        if three is None:
            return "give a list of three numbers."
        got = np.array([number(each) for each in three])
        sizes, right = np.abs(gradient), gradient * limit / norm
        table = [
            (right, None),
            (gradient.clip(-limit, limit), "that is clipping by value; it turns the gradient."),
            ([0.78, -1.04, 1.3], "you clipped each tensor by itself; together they are 5.2 long."),
            (right / norm, "the norm is the root of the sum of squares."),
            (gradient * limit / sizes.sum(), "you added up; take the root of the sum of squares."),
            (gradient * limit / sizes.max(), "you divided by the largest entry, not by the norm."),
            (gradient / norm, "that has the norm 1; the limit is 1.3."),
            (gradient, "its norm is 5.2, over the limit."),
            (np.abs(right), "clipping keeps the signs."),
        ]
        long = np.linalg.norm(got)
        said = f"it must point where the gradient does, 1.3 long, not {long:.3g}."
        if math.isclose(long, limit, abs_tol=0.01):
            said = "it is 1.3 long, but turned: multiply all three numbers by the same factor."
        return _first_like(got, table, said, atol=5e-3)

    grade(answer, find_slip)


def as_a_mean(answer: Callable | None) -> None:
    """Check (rate, limit, length, optimizer) of a summed loss -> (rate, limit) of its mean."""

    def reference(rate: float, limit: float, length: int, optimizer: str) -> tuple[float, float]:
        return (rate * length if optimizer == "sgd" else rate), limit / length

    def find_slip() -> str | None:
        tries = ((0.02, 5.0, 50, "sgd"), (0.002, 5.0, 25, "adam"), (0.1, 1.0, 1, "sgd"))
        for settings in (*tries, (0.003, 2.5, 700, "sgd")):
            got, wanted = call_answer(answer, *settings), reference(*settings)
            two = _parts(got, 2)
            if two is None:
                return "return two numbers: the rate, and the limit."
            got = tuple(map(number, two))
            if not np.allclose(got, wanted, rtol=1e-6, atol=0):
                return _slip_of_mean(got, wanted, *settings)
        return None

    grade(answer, find_slip)


def _slip_of_mean(
    got: tuple, wanted: tuple, rate: float, limit: float, length: int, optimizer: str
) -> str:
    """Say what is wrong with the settings of a mean."""
    if np.allclose(got, wanted[::-1], rtol=1e-6, atol=0):
        return "that is the limit and then the rate; return the rate first."
    limits = [
        (wanted[1], None),
        (limit * length, "the gradient of a mean is shorter, so the limit must be, too: divide."),
        (limit, "the gradient of a mean is shorter, and would never reach the same limit."),
    ]
    rates = [
        (rate / length, "the gradient of a mean is shorter: for the same step, multiply the rate."),
        (rate, "SGD's step is rate times gradient; with a shorter gradient the rate must rise."),
    ]
    if optimizer == "adam":
        rates = [(got[0], "Adam divides the gradient by its own size, so its rate stays.")]
    said = f"over {length} characters {limit:g} becomes {limit / length:g}."
    slip = _first_like(got[1], limits, f"the limit is wrong: {said}", atol=0)
    said = f"with SGD a rate of {rate:g} over {length} characters becomes {rate * length:g}."
    return slip or _first_like(got[0], rates, said, atol=0)


def adaptive_limit(answer: Callable | None) -> None:
    """Check a function (norms, z, span) -> mean + z standard deviations of the last span norms."""

    def reference(norms: list[float], z: float, span: int) -> float:
        return float(np.mean(norms[-span:]) + z * np.std(norms[-span:]))

    def find_slip() -> str | None:
        norms, z, span = [9.0, 7.0, 1.0, 2.0, 6.0], 2.0, 3
        given, last = list(norms), norms[-span:]
        got = number(call_answer(answer, given, z, span))
        mean, spread = np.mean(last), np.std(last)
        ddof = (
            "you divided by span - 1 (ddof=1, as statistics.stdev and torch.std do); with a "
            "single norm that divides by 0. Take np.std as it is."
        )
        early = np.mean(norms[:span]) + z * np.std(norms[:span])
        table = [
            (mean + z * spread, None),
            (reference(norms, z, 5), "only the last `span` norms count; long ago says little."),
            (reference(norms, z, 4), "that is one norm more than `span`."),
            (reference(norms, z, 2), "that is one norm less than `span`."),
            (early, "those are the first `span` norms; take the last ones."),
            (mean + z * np.std(last, ddof=1), ddof),
            (mean + z * spread**2, "that is the variance; its square root is wanted."),
            (mean - z * spread, "the limit lies above the mean: add, do not subtract."),
            (mean, "the mean alone would clip every second gradient; add z standard deviations."),
            (mean + spread, "that is one standard deviation; take z of them."),
            (z * (mean + spread), "z multiplies the standard deviation, not the mean."),
            (np.median(last) + z * spread, "that starts from the median; take the mean."),
            (reference(norms[:-1], z, 3), "the newest norm is missing."),
        ]
        slip = _first_like(got, table, "the mean of the last `span` norms, plus z times their std.")
        if slip:
            return slip
        if given != norms:
            return "your function changed the list of norms; the run still needs it."
        return _slip_of_a_start(answer, reference)

    grade(answer, find_slip)


def _slip_of_a_start(answer: Callable, reference: Callable) -> str | None:
    """Say what is wrong with a limit of other settings, or of fewer norms than the span."""
    many = [4.0, 1.0, 8.0, 2.0, 3.0, 7.0, 5.0]
    for z, span in ((0.5, 2), (1.5, 5), (3.0, 1), (0.5, 7)):
        found = number(call_answer(answer, list(many), z, span))
        if not math.isclose(found, reference(many, z, span), rel_tol=1e-6):
            return "use z and span as they are given; they are not always the same."
    for norms in ([1.0, 3.0], [4.0], many, many[:6]):
        found = number(call_answer(answer, list(norms), 0.5, 10), infinite=True)
        if math.isclose(found, reference(norms, 0.5, 10), rel_tol=1e-6):
            continue
        from_end = norms[len(norms) - 10 :]
        if from_end and math.isclose(found, reference(from_end, 0.5, 10), rel_tol=1e-6):
            return (
                f"of {len(norms)} norms and a span of 10 it took {len(from_end)}: a slice that "
                "begins at a negative number, here len(norms) - span, counts from the end."
            )
        return "before `span` norms are there, use those that there are, one at least."
    return None


PROBE = (
    *(2.10, 1.40, 1.25, 0.52, 0.48, 0.55, 0.44, 0.61, 0.50, 0.47, 0.58, 0.53, 0.41, 0.49, 0.63),
    *(0.51, 0.46, 0.56, 14.2, 31.0, 0.72, 0.50, 0.45, 0.54, 0.48, 0.59, 0.43, 0.52, 0.66, 0.50),
)
"""The norms in exercise 6: three of the start, a burst of two, and 25 usual ones."""


def clip_choice(answer: float | None) -> None:
    """Check a clip value for the norms of exercise 6: usual ones near 0.5, a start, a burst."""
    usual = [norm for norm in PROBE[3:] if norm < 10]

    def find_slip() -> str | None:
        value = number(answer)
        if 0.55 <= value <= 1:
            return None
        if value <= 0:
            return "a clip value is above 0."
        if value < 0.55:
            clipped = sum(norm > value for norm in usual)
            return (
                f"of the {len(usual)} usual steps, those without the start and the burst, it clips "
                f"{clipped}; leave at least seven of ten alone."
            )
        if math.isclose(value, np.mean(PROBE), rel_tol=0.03):
            return (
                "that is about the mean of all norms, and about the first norm. The burst decides "
                "the one, the start the other; neither is a usual norm."
            )
        if value < 10:
            return (
                f"a step of the burst would still be {value / np.median(usual):.1f} times as long "
                "as the median. Without the start and the burst no norm is over 0.72; go a little "
                "above a high percentile at most."
            )
        return "that is as long as the burst, which it is to cut; look at the usual norms."

    grade(answer, find_slip)


def clipped_step(answer: Callable | None) -> None:
    """Check (model, x, y, optimizer, limit) -> (loss, norm before clipping), a step of training."""

    def find_slip() -> str | None:
        for seed, limit in ((0, 0.05), (1, 1e6)):
            got, norm_wanted, loss_wanted, slip = _take_step(answer, seed, limit)
            if slip:
                return slip
            if not isinstance(got, tuple | list) or len(got) != 2:
                return "return two numbers: the loss, and the norm before clipping."
            loss, norm = map(number, got)
            if math.isclose(norm, loss_wanted, rel_tol=1e-4):
                return "return the loss first, and then the norm."
            if math.isclose(loss, 8 * loss_wanted, rel_tol=1e-4):
                return "that is the sum over the batch of 8; take the mean, as cross_entropy does."
            if not math.isclose(loss, loss_wanted, rel_tol=1e-4):
                return "the loss is that of this batch, before the step."
            if not math.isclose(norm, norm_wanted, rel_tol=1e-4):
                return "the norm is that of all gradients together, before they are clipped."
        return None

    grade(answer, find_slip)


def _take_step(answer: Callable, seed: int, limit: float) -> tuple:
    """Take a student's step; return the answer, norm, loss, and what was wrong with the step."""
    draw = torch.Generator().manual_seed(seed)
    model = nn.utils.skip_init(nn.Linear, 4, 3)
    x, y = torch.empty(8, 4).normal_(generator=draw), torch.arange(8) % 3
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(generator=draw)
    loss = nn.functional.cross_entropy(model(x), y)
    grads = torch.autograd.grad(loss, list(model.parameters()))
    norm = math.sqrt(sum((g**2).sum().item() for g in grads))
    theirs = copy.deepcopy(model)
    for weight in theirs.parameters():  # what an earlier step left
        weight.grad = torch.ones_like(weight)
    groups = [{"params": [weight]} for weight in theirs.parameters()]
    optimizer = torch.optim.SGD(groups, lr=0.5)
    given = x.clone(), y.clone()
    got = call_answer(answer, theirs, *given, optimizer, limit)
    if not (torch.equal(given[0], x) and torch.equal(given[1], y)):
        return got, norm, loss.item(), "your function changed the batch."
    pairs = zip(model.parameters(), theirs.parameters(), strict=True)
    moved = torch.cat([((a - b) / 0.5).detach().flatten() for a, b in pairs])
    whole = torch.cat([g.flatten() for g in grads])
    each = torch.cat([(g * min(1, limit / g.norm().item())).flatten() for g in grads])
    old = whole + torch.ones_like(whole)
    stale = "the gradient of the step before is still in it: call zero_grad first."
    late = (
        f"the weights moved by the whole gradient, {norm:.2g} long. Clip at the `limit` given, "
        f"{limit:g}: after backward(), which makes the gradient, and before step(), which uses it."
    )
    idle = "the weights did not move: is zero_grad before backward(), and step() after it?"
    table = [
        (whole * min(1, limit / norm), None),
        (whole, late),
        (whole * limit / norm, "a gradient shorter than the limit must stay as it is."),
        (each, "each group of weights is clipped by itself, so the direction turns: one call."),
        (whole.clamp(-limit, limit), "that is clipping by value; it turns the direction."),
        (old * min(1, limit / old.norm().item()), stale),
        (old, stale),
        (whole * min(1, limit / whole.abs().max().item()), "that divides by the largest entry."),
        (whole * min(1, limit / whole.abs().sum().item()), "that adds up sizes, not squares."),
        (torch.zeros_like(whole), idle),
    ]
    otherwise = f"the weights must move by the gradient, scaled to a norm of at most {limit:g}."
    return got, norm, loss.item(), _first_like(moved, table, otherwise, atol=1e-6)


CAUSES = {
    "no clipping": "plots.loss_and_gradient: no step is clipped, the gradient norm spikes by "
    "orders of magnitude within a step, and the loss jumps far above where it began.",
    "state not detached": "the differences of `seconds`: a step takes longer the later it comes in "
    "its epoch, since the backward pass goes back to the epoch's first character.",
    "missing zero_grad": "History.clipped_share: nearly every step is clipped, to the last, since "
    "each gradient is added to what clipping left of all those before it; the loss swings, and "
    "ends above where it began.",
    "targets not shifted": "the training loss falls to nearly 0, far below that of any n-gram "
    "model, while the validation loss rises; generation.generate repeats the prompt's last "
    "character for ever.",
    "saturated gates": "diagnostics.series: near_0 and near_1 of every gate sum to about 1 from "
    "the first step on, the gradient of layer 1 is a tiny part of the output layer's, and the loss "
    "stays at that of single-character frequencies.",
    "healthy": "none of these: both losses fall together, few steps are clipped, most gates are "
    "away from their ends, and all steps take equally long.",
}
"""What a patient of runs/patients may have, and the evidence for it."""

_AGAINST = {
    "no clipping": "its gradient norm never spikes: no step's is even ten times that of the step "
    "before.",
    "state not detached": "its steps take as long at the end of an epoch as at its beginning (take "
    "the differences of `seconds`).",
    "missing zero_grad": "most of its steps are not clipped; gradients that pile up are too long "
    "at nearly every step.",
    "targets not shifted": "its training loss stays far above 0; a network that may copy what it "
    "reads soon makes no mistakes.",
    "saturated gates": "at its first step hardly a gate is saturated (near_0 and near_1).",
    "healthy": "it has a fault.",
}
"""What speaks against each cause, in every patient that has another."""

_LOOK_AT = {
    "no clipping": "Draw its first twenty steps with plots.loss_and_gradient.",
    "state not detached": "Its losses and gradients look well: how long does each step take?",
    "missing zero_grad": "Look at which of its steps are clipped, and compare with the others.",
    "targets not shifted": "Look at its validation loss, and let it write (generation.generate).",
    "saturated gates": "Compare its gradient in layer 1 with that in the output layer.",
    "healthy": "Compare its loss, gradient norm, gates and seconds with those of the others.",
}
"""Where to look for each cause."""


def diagnosis(answers: dict[str, str] | None) -> None:
    """Check what each patient of runs/patients has: "patient-1", … -> one of CAUSES."""
    reference = {
        "patient-1": "missing zero_grad",
        "patient-2": "healthy",
        "patient-3": "saturated gates",
        "patient-4": "no clipping",
        "patient-5": "targets not shifted",
        "patient-6": "state not detached",
    }

    def find_slip() -> str | None:
        if not isinstance(answers, dict) or set(answers) != set(reference):
            return f"give a dict with a cause for each of {', '.join(reference)}."
        for patient, cause in answers.items():
            if cause not in list(CAUSES):
                return f"{patient}: {cause!r} is no cause here; choose one of {', '.join(CAUSES)}."
        for patient, cause in reference.items():
            given = answers[patient]
            if given != cause:
                return f"{patient} is not {given!r}: {_AGAINST[given]} {_LOOK_AT[cause]}"
        return None

    grade(answers, find_slip)
