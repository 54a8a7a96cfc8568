"""Checks of the exercises of chapter 06."""

import math
from collections.abc import Callable

import numpy as np

from lstmlib.course.check.exercises import call_answer, grade


def step_jacobian(answer: Callable | None) -> None:
    """Check a function (W_h (H, H), h (H,)) -> (H, H), the Jacobian of tanh(W_h · before + …)."""

    def reference(W_h: np.ndarray, h: np.ndarray) -> np.ndarray:
        return (1 - h**2)[:, None] * W_h

    def find_slip() -> str | None:
        W_h = np.array([[1.0, 2.0, 0.5], [-3.0, 4.0, 0.2], [0.1, -0.7, 0.9]])
        h = np.array([0.5, -0.8, 0.1])
        got = np.asarray(call_answer(answer, W_h.copy(), h.copy()))

        def equals(wanted: np.ndarray) -> bool:
            return got.shape == wanted.shape and np.allclose(got, wanted)

        if got.shape != W_h.shape:
            return f"the Jacobian has the shape of W_h, (3, 3), not {got.shape}."
        if equals(reference(W_h, h).T):
            return "that is its transpose: entry [a, b] is the derivative of h_t[a] by h_before[b]."
        if equals(W_h * (1 - h**2)):
            return "you scaled the columns of W_h; entry a of h_t is a row's, so scale the rows."
        if equals((1 - h)[:, None] * W_h) or equals((1 - h) * W_h):
            return "the derivative of tanh is 1 - tanh², and h is the tanh already: square it."
        if equals((h * (1 - h))[:, None] * W_h):
            return "that is the derivative of the sigmoid; this unit is a tanh."
        if equals((1 - np.tanh(h) ** 2)[:, None] * W_h):
            return "h is what the tanh gave; do not take the tanh of it again."
        if equals(W_h):
            return "the tanh has a derivative, too."
        return None if equals(reference(W_h, h)) else "row a of W_h times 1 - h[a]²."

    grade(answer, find_slip)


def adaptive_limit(answer: Callable | None) -> None:
    """Check a function (norms, z, span) -> mean + z standard deviations of the last span norms."""

    def reference(norms: list[float], z: float, span: int) -> float:
        return float(np.mean(norms[-span:]) + z * np.std(norms[-span:]))

    def find_slip() -> str | None:
        norms, z, span = [9.0, 7.0, 1.0, 2.0, 6.0], 2.0, 3
        got, last = float(call_answer(answer, list(norms), z, span)), norms[-span:]

        def equals(value: float) -> bool:
            return math.isclose(got, value, rel_tol=1e-6)

        if equals(reference(norms, z, len(norms))):
            return "only the last `span` norms count; a gradient of long ago says little."
        if equals(np.mean(norms[:span]) + z * np.std(norms[:span])):
            return "those are the first `span` norms; take the last ones."
        if equals(np.mean(last) + z * np.var(last)):
            return "that is the variance; the standard deviation is its square root."
        if equals(np.mean(last) - z * np.std(last)):
            return "the limit lies above the mean: add, do not subtract."
        if equals(np.mean(last)):
            return "the mean alone would clip every second gradient; add z standard deviations."
        if not equals(reference(norms, z, span)):
            return "the mean of the last `span` norms, plus z times their standard deviation."
        if not math.isclose(float(call_answer(answer, [1.0, 3.0], 0.5, 2)), 2.5):
            return "use z and span as they are given; they are not always the same."
        if not math.isclose(float(call_answer(answer, [1.0, 3.0], 0.5, 10)), 2.5):
            return "before `span` norms are there, use those that there are."
        return None

    grade(answer, find_slip)


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
