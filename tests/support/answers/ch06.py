"""Right and wrong answers to the exercises of chapter 06."""

import math

import numpy as np

from answers import Exercise, raises
from lstmlib.course import check


def limit_once_full(norms, z, span):
    """Do not clip before there are span norms."""
    last = norms[-span:]
    return np.mean(last) + z * np.std(last) if len(last) == span else math.inf


KEY = {
    "patient-1": "missing zero_grad",
    "patient-2": "healthy",
    "patient-3": "saturated gates",
    "patient-4": "no clipping",
    "patient-5": "targets not shifted",
    "patient-6": "state not detached",
}


EXERCISES = {
    "step_jacobian": Exercise(
        arguments={},
        right=[lambda W_h, h: np.diag(1 - h**2) @ W_h],
        wrong=[
            (lambda W_h, h: (np.diag(1 - h**2) @ W_h).T, "its transpose"),
            (lambda W_h, h: W_h @ np.diag(1 - h**2), "columns of W_h"),
            (lambda W_h, h: np.diag(1 - h) @ W_h, "square it"),
            (lambda W_h, h: np.diag(h * (1 - h)) @ W_h, "the sigmoid"),
            (lambda W_h, h: np.diag(1 - np.tanh(h) ** 2) @ W_h, "tanh of it again"),
            (lambda W_h, h: W_h, "has a derivative"),
            (lambda W_h, h: (1 - h**2) @ W_h, "shape of W_h"),
            (lambda W_h, h: 2 * W_h, r"1 - h[a]²"),
            (lambda W_h, h: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "adaptive_limit": Exercise(
        arguments={},
        right=[lambda norms, z, span: np.mean(norms[-span:]) + z * np.std(norms[-span:])],
        wrong=[
            (lambda norms, z, span: np.mean(norms) + z * np.std(norms), "of long ago"),
            (lambda norms, z, span: np.mean(norms[:3]) + z * np.std(norms[:3]), "the first"),
            (lambda norms, z, span: np.mean(norms[-3:]) + z * np.var(norms[-3:]), "the variance"),
            (
                lambda norms, z, span: np.mean(norms[-3:]) - z * np.std(norms[-3:]),
                "do not subtract",
            ),
            (lambda norms, z, span: np.mean(norms[-3:]), "the mean alone"),
            (lambda norms, z, span: max(norms), "plus z times"),
            (lambda norms, z, span: np.mean(norms[-3:]) + 2 * np.std(norms[-3:]), "not always"),
            (limit_once_full, "those that there are"),
            (lambda norms, z, span: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "diagnosis": Exercise(
        arguments={},
        right=[KEY],
        wrong=[
            (dict(zip(KEY, check.CAUSES, strict=True)), "patient-1 is not 'no clipping'"),
            (KEY | {"patient-2": "no clipping"}, "never spikes"),
            (KEY | {"patient-4": "state not detached"}, "at the end of an epoch"),
            (KEY | {"patient-6": "missing zero_grad"}, "how long does each step take?"),
            (KEY | {"patient-3": "targets not shifted"}, "far above 0"),
            (KEY | {"patient-1": "saturated gates"}, "which of its steps are clipped"),
            (KEY | {"patient-5": "healthy"}, "it has a fault. Look at its validation loss"),
            (dict.fromkeys(KEY, "healthy"), "patient-1 is not 'healthy'"),
            (KEY | {"patient-5": "exploding"}, "choose one of no clipping, state not detached"),
            (KEY | {"patient-5": ["healthy"]}, "['healthy'] is no cause here"),
            (KEY | {"patient-7": "healthy"}, "a cause for each of patient-1, patient-2"),
            ({"patient-1": "missing zero_grad"}, "a cause for each of"),
            (list(KEY.values()), "give a dict"),
        ],
    ),
}
