"""Checks of the exercises of chapter 06."""

import copy
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from lstmlib.course.check.exercises import call_answer, grade, number

HINTS = {
    "step_jacobian": (
        "In chapter 02's W_h, which unit does row b belong to, and which one column a?",
        "Entry [a, b] is the slope of the tanh of unit a, times the weight from b to a, which "
        "stands in row b and column a: transpose, then scale the rows.",
        "return (1 - h**2)[:, None] * W_h.T",
    ),
    "steps_to_leave": (
        "After how many steps is 0.5 ** k below 1/4: is 2 enough?",
        "A factor below 1 shrinks, one above 1 grows; its logarithm, without the sign, counts for "
        "both. A factor of 1 stays for ever.",
        "return math.inf if factor == 1 else math.floor(math.log(times) / abs(math.log(factor))) "
        "+ 1",
    ),
    "clip_by_hand": (
        "How long is the gradient, all three numbers taken together?",
        "√(1.2² + 1.6² + 4.8²) = √27.04 = 5.2. All three are multiplied by the same factor.",
        "[1.2 / 4, -1.6 / 4, 4.8 / 4], since 1.3 / 5.2 = 1 / 4",
    ),
    "as_a_mean": (
        "If all losses are divided by `length`, what becomes of the gradient's norm, and what of "
        "a step of SGD?",
        "The limit is divided by `length` in any case. SGD's step is rate times gradient, so its "
        "rate makes up for the shorter gradient. Adam's step does not depend on the length.",
        'return (rate * length if optimizer == "sgd" else rate), limit / length',
    ),
    "adaptive_limit": (
        "Which norms tell how long a gradient is *now*?",
        "The last `span` of them: their mean, and `z` times their standard deviation above it.",
        "return np.mean(norms[-span:]) + z * np.std(norms[-span:])",
    ),
    "clip_choice": (
        "Which of these norms belong to a network in health, and which to its start or to a burst?",
        "Leave out the first tenth, and what is over ten times the median. Of what is left, few "
        "steps should be clipped: take a high percentile.",
        "suggest_clip(norms), the 90th percentile, is 0.62; all from 0.55 to 1 serve.",
    ),
    "clipped_step": (
        "At which moment does the gradient of this batch exist, and when is it used up?",
        "zero_grad, backward, clip, step, in this order; and the norm is that of all weights "
        "together, so one call takes them all.",
        "norm = torch.nn.utils.clip_grad_norm_(model.parameters(), limit), between backward() and "
        "step()",
    ),
    "diagnosis": (
        "Which one column of its history tells a patient from the healthy one?",
        "Ask of each: does the norm spike, is nearly every step clipped, does a step take longer "
        "late in an epoch, is the loss too good, are its gates shut at step 1?",
        "1: clipped at 100 % of its steps. 3: all gates shut at step 1. 4: the norm spikes 38 "
        "500-fold. 5: a loss of 0.003. 6: late steps take 5 times as long. 2: none of these.",
    ),
}


def step_jacobian(answer: Callable | None) -> None:
    """Check a function (W_h (H, H), h (H,)) -> (H, H), the Jacobian of tanh(before @ W_h + …)."""

    def reference(W_h: np.ndarray, h: np.ndarray) -> np.ndarray:
        return (1 - h**2)[:, None] * W_h.T

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
            slip = _slip_of_jacobian(np.asarray(got), W_h, h, reference)
            if slip:
                return slip
            if not (np.array_equal(given[0], W_h) and np.array_equal(given[1], h)):
                return "your function changed W_h or h; the run still needs them."
        return None

    grade(answer, find_slip)


def _slip_of_jacobian(
    got: np.ndarray, W_h: np.ndarray, h: np.ndarray, reference: Callable
) -> str | None:
    """Say what is wrong with the Jacobian of a step."""

    def equals(wanted: np.ndarray) -> bool:
        return got.shape == wanted.shape and np.allclose(got, wanted)

    slope = 1 - h**2
    if got.shape != W_h.shape:
        return f"the Jacobian has the shape of W_h, {W_h.shape}, not {got.shape}."
    if equals(reference(W_h, h)):
        return None
    if equals(slope[:, None] * W_h):
        return (
            "that is right for PyTorch's weight_hh_l0. Here W_h stands as in chapter 02, "
            "`before @ W_h`: the weight from b to a is W_h[b, a]. Transpose it."
        )
    if equals(W_h * slope):
        return "that is the transpose: entry [a, b] is the derivative of h[a] by before[b]."
    if equals(W_h.T * slope):
        return "you scaled the columns; the slope of unit a belongs to row a of the Jacobian."
    if equals((1 - h)[:, None] * W_h.T) or equals((1 - h)[:, None] * W_h):
        return "the derivative of tanh is 1 - tanh², and h is the tanh already: square it."
    if equals((h * (1 - h))[:, None] * W_h.T) or equals((h * (1 - h))[:, None] * W_h):
        return "that is the derivative of the sigmoid; this unit is a tanh."
    if equals((1 - np.tanh(h) ** 2)[:, None] * W_h.T):
        return "h is what the tanh gave; do not take the tanh of it again."
    if equals(W_h.T) or equals(W_h):
        return "the tanh has a derivative, too."
    return "entry [a, b] is (1 - h[a]²) times the weight from unit b to unit a."


def steps_to_leave(answer: Callable | None) -> None:
    """Check (factor, times) -> the least k with factor ** k < 1 / times or > times, or infinity."""

    def reference(factor: float, times: float) -> float:
        if factor == 1:
            return math.inf
        k, product = 0, 1.0
        while 1 / times <= product <= times:
            k, product = k + 1, product * factor
        return k

    def find_slip() -> str | None:
        # Powers of 2 are exact, so that a product may lie on the edge.
        for factor, times in ((0.75, 1000.0), (0.5, 4.0), (2.0, 8.0), (1.1, 1000.0), (0.9, 50.0)):
            got, wanted = number(call_answer(answer, factor, times)), reference(factor, times)
            if got != wanted:
                return _slip_of_steps(got, wanted, factor, times)
        if call_answer(answer, 1.0, 10.0) != math.inf:
            return "a factor of 1 neither shrinks nor grows: return math.inf."
        return None

    grade(answer, find_slip)


def _slip_of_steps(got: float, wanted: float, factor: float, times: float) -> str:
    """Say what is wrong with the number of steps."""
    exact = math.log(times) / abs(math.log(factor))
    said = f"for a factor of {factor:g} and {times:g} times"
    if got == -wanted or got < 0:
        return f"{said} yours is negative; a factor above 1 leaves at the other end."
    if got == wanted - 1:
        at = factor**got
        return f"{said}: {factor:g} ** {got:g} is {at:.4g}, which has not left yet; one step more."
    if got == wanted + 1:
        return f"{said}, one step less is enough: {factor:g} ** {wanted:g} is {factor**wanted:.4g}."
    if math.isclose(got, exact, rel_tol=1e-3):
        return f"{said} yours is {got:.4g}; steps are whole, so take the first one that is outside."
    if math.isclose(got, math.log10(times) / abs(math.log(factor)), abs_tol=1.01):
        return "use one logarithm for both numbers, not log10 for one and log for the other."
    return f"{said} it takes {wanted:g} steps, not {got:g}."


def clip_by_hand(answer: Sequence[float] | None) -> None:
    """Check the gradient (1.2, -1.6 | 4.8) of two tensors, clipped at a norm of 1.3."""
    gradient, limit = np.array([1.2, -1.6, 4.8]), 1.3
    norm = np.linalg.norm(gradient)

    def find_slip() -> str | None:
        if not isinstance(answer, list | tuple | np.ndarray) or len(answer) != 3:
            return "give a list of three numbers."
        got = np.array([number(each) for each in answer])

        def equals(*wanted: float) -> bool:
            return np.allclose(got, wanted, atol=5e-3)

        if equals(*(gradient * limit / norm)):
            return None
        if equals(*gradient.clip(-limit, limit)):
            return "that is clipping by value, each number by itself; it turns the gradient."
        if equals(0.78, -1.04, 1.3):
            return "you clipped each tensor by itself; the norm is that of both together, 5.2."
        if equals(*(gradient * limit / norm**2)):
            return "the norm is the root of the sum of squares."
        if equals(*(gradient * limit / np.abs(gradient).sum())):
            return "you added up the sizes; the norm is the root of the sum of squares."
        if equals(*(gradient * limit / np.abs(gradient).max())):
            return "you divided by the largest entry; divide by the norm of all three."
        if equals(*(gradient / norm)):
            return "that has the norm 1; the limit is 1.3."
        if equals(*gradient):
            return "its norm is 5.2, over the limit."
        if equals(*np.abs(gradient * limit / norm)):
            return "clipping keeps the signs."
        length = np.linalg.norm(got)
        return (
            f"the result must point where the gradient does, with a norm of 1.3, not {length:.3g}."
        )

    grade(answer, find_slip)


def as_a_mean(answer: Callable | None) -> None:
    """Check (rate, limit, length, optimizer) of a summed loss -> (rate, limit) of its mean."""

    def reference(rate: float, limit: float, length: int, optimizer: str) -> tuple[float, float]:
        return (rate * length if optimizer == "sgd" else rate), limit / length

    def find_slip() -> str | None:
        for settings in ((0.02, 5.0, 50, "sgd"), (0.002, 5.0, 25, "adam"), (0.1, 1.0, 1, "sgd")):
            got, wanted = call_answer(answer, *settings), reference(*settings)
            if not isinstance(got, tuple | list) or len(got) != 2:
                return "return two numbers: the rate, and the limit."
            got = tuple(map(number, got))
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
    if not math.isclose(got[1], wanted[1], rel_tol=1e-6):
        if math.isclose(got[1], limit * length, rel_tol=1e-6):
            return "the gradient of a mean is shorter, so the limit must be, too: divide."
        if math.isclose(got[1], limit):
            return "the gradient of a mean is shorter, and the same limit would never be reached."
        return f"the limit of {limit:g} over {length} characters becomes {limit / length:g}."
    if optimizer == "adam":
        return "Adam divides the gradient by its own size, so its rate stays as it is."
    if math.isclose(got[0], rate / length, rel_tol=1e-6):
        return "the gradient of a mean is shorter: for the same step, multiply the rate."
    if math.isclose(got[0], rate):
        return "SGD's step is rate times gradient; with a shorter gradient the rate must rise."
    return f"with SGD a rate of {rate:g} over {length} characters becomes {rate * length:g}."


def adaptive_limit(answer: Callable | None) -> None:
    """Check a function (norms, z, span) -> mean + z standard deviations of the last span norms."""

    def reference(norms: list[float], z: float, span: int) -> float:
        return float(np.mean(norms[-span:]) + z * np.std(norms[-span:]))

    def find_slip() -> str | None:
        norms, z, span = [9.0, 7.0, 1.0, 2.0, 6.0], 2.0, 3
        given, last = list(norms), norms[-span:]
        got = number(call_answer(answer, given, z, span))

        def equals(value: float) -> bool:
            return math.isclose(got, value, rel_tol=1e-6)

        if equals(reference(norms, z, len(norms))):
            return "only the last `span` norms count; a gradient of long ago says little."
        if equals(np.mean(norms[:span]) + z * np.std(norms[:span])):
            return "those are the first `span` norms; take the last ones."
        if equals(np.mean(last) + z * np.std(last, ddof=1)):
            return (
                "you divided by span - 1 (ddof=1, as statistics.stdev and torch.std do); with a "
                "single norm that divides by 0. Take np.std as it is."
            )
        if equals(np.mean(last) + z * np.var(last)):
            return "that is the variance; the standard deviation is its square root."
        if equals(np.mean(last) - z * np.std(last)):
            return "the limit lies above the mean: add, do not subtract."
        if equals(np.mean(last)):
            return "the mean alone would clip every second gradient; add z standard deviations."
        if not equals(reference(norms, z, span)):
            return "the mean of the last `span` norms, plus z times their standard deviation."
        if given != norms:
            return "your function changed the list of norms; the run still needs it."
        return _slip_of_a_start(answer)

    grade(answer, find_slip)


def _slip_of_a_start(answer: Callable) -> str | None:
    """Say what is wrong with a limit of other settings, or of fewer norms than the span."""
    if not math.isclose(number(call_answer(answer, [1.0, 3.0], 0.5, 2)), 2.5):
        return "use z and span as they are given; they are not always the same."
    for norms, wanted in (([1.0, 3.0], 2.5), ([4.0], 4.0)):
        found = call_answer(answer, norms, 0.5, 10)
        if not math.isclose(float(found), wanted):
            return "before `span` norms are there, use those that there are, one at least."
    return None


PROBE_MEAN = 2.103
"""The mean of the norms in exercise 6."""


def clip_choice(answer: float | None) -> None:
    """Check a clip value for the norms of exercise 6: usual ones near 0.5, a start, a burst."""

    def find_slip() -> str | None:
        value = number(answer)
        if value <= 0:
            return "a clip value is above 0."
        if value < 0.35:
            return "that is below most norms: nearly every step would be clipped."
        if value < 0.55:
            return "that is about the median: every second step would be clipped."
        if value >= 10:
            return "that is as long as the burst, which it is to cut; look at the usual norms."
        if math.isclose(value, PROBE_MEAN, rel_tol=0.05):
            return "that is the mean, which the two norms of the burst decide; it is no usual norm."
        if value > 1:
            return (
                "a burst would pass hardly cut. Without the first steps and the burst no norm is "
                "over 0.72; go a little above a high percentile at most."
            )
        return None

    grade(answer, find_slip)


def clipped_step(answer: Callable | None) -> None:
    """Check (model, x, y, optimizer, limit) -> (loss, norm before clipping), a step of training."""

    def find_slip() -> str | None:
        for seed, limit in ((0, 0.05), (1, 1e6)):
            got, norm_wanted, loss_wanted, moves = _step_both(answer, seed, limit)
            slip = _slip_of_move(moves, limit)
            if slip:
                return slip
            if not isinstance(got, tuple | list) or len(got) != 2:
                return "return two numbers: the loss, and the norm before clipping."
            loss, norm = (number(each) for each in got)
            if math.isclose(norm, loss_wanted, rel_tol=1e-4):
                return "return the loss first, and then the norm."
            if not math.isclose(loss, loss_wanted, rel_tol=1e-4):
                return "the loss is that of this batch, before the step."
            if not math.isclose(norm, norm_wanted, rel_tol=1e-4):
                return "the norm is that of all gradients together, before they are clipped."
        return None

    grade(answer, find_slip)


def _step_both(answer: Callable, seed: int, limit: float) -> tuple:
    """Take a student's step and some others; return the answer, norm, loss and the moves."""
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
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.5)
    given = x.clone(), y.clone()
    got = call_answer(answer, theirs, *given, optimizer, limit)
    if not (torch.equal(given[0], x) and torch.equal(given[1], y)):
        return got, norm, loss.item(), {"changed": True}
    pairs = zip(model.parameters(), theirs.parameters(), strict=True)
    moved = torch.cat([((a - b) / 0.5).detach().flatten() for a, b in pairs])
    whole = torch.cat([g.flatten() for g in grads])
    each = [g * min(1, limit / g.norm().item()) for g in grads]
    old = whole + torch.ones_like(whole)
    moves = {
        "theirs": moved,
        "right": whole * min(1, limit / norm),
        "whole": whole,
        "each": torch.cat([g.flatten() for g in each]),
        "by value": whole.clamp(-limit, limit),
        "added": old * min(1, limit / old.norm().item()),
        "added, whole": old,
        "old": torch.ones_like(whole) * min(1, limit / len(whole) ** 0.5),
    }
    return got, norm, loss.item(), moves


def _slip_of_move(moves: dict[str, torch.Tensor | bool], limit: float) -> str | None:
    """Say what is wrong with how the weights were moved."""
    if "changed" in moves:
        return "your function changed the batch."
    theirs = moves.pop("theirs")
    said = {
        "right": None,
        "whole": "the weights moved by the whole gradient: clipping must come after backward(), "
        "which makes the gradient, and before step(), which uses it.",
        "each": "each tensor is still clipped by itself, so that the direction turns: give all "
        "parameters to one call.",
        "by value": "that is clipping by value; it turns the direction.",
        "added": "the gradient of the step before is still in it: call zero_grad first.",
        "added, whole": "the gradient of the step before is still in it: call zero_grad first.",
        "old": "the weights moved along an old gradient: zero_grad, then backward.",
    }
    for name, reason in said.items():
        if torch.allclose(theirs, moves[name], rtol=1e-3, atol=1e-6):
            return reason
    if not theirs.any():
        return "the weights did not move; is optimizer.step() called, after backward()?"
    return f"the weights must move by the gradient, scaled to a norm of at most {limit:g}."


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
