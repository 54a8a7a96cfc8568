"""Right and wrong answers to the exercises of chapter 05."""

import math

import numpy as np

from answers import Exercise, raises


def total_norm(gradients):
    return math.sqrt(sum((g**2).sum() for g in gradients))


def scale_in_place(gradients, limit):
    norm = total_norm(gradients)
    for g in gradients:
        g *= min(1, limit / norm)
    return gradients


def warm_cosine(step, steps, warmup, peak):
    if step <= warmup:
        return peak * step / warmup
    return peak * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


def early_stop(losses, patience, equal=False):
    best, waited = math.inf, 0
    for k, loss in enumerate(losses):
        if loss < best or (equal and loss == best):
            best, at, waited = loss, k, 0
        else:
            waited += 1
        if waited == patience:
            return k, at
    return len(losses) - 1, at


def forgets_the_best(losses, patience):
    """Say at the end that the last was the best."""
    end, best = early_stop(losses, patience)
    return (end, best) if end - best >= patience else (len(losses) - 1, len(losses) - 1)


def rises(losses, patience):
    """Count losses above the one before, instead of above the best."""
    waited = 0
    for k in range(1, len(losses)):
        waited = waited + 1 if losses[k] > losses[k - 1] else 0
        if waited == patience:
            return k, int(np.argmin(losses[: k + 1]))
    return len(losses) - 1, int(np.argmin(losses))


EXERCISES = {
    "norm_clipped": Exercise(
        arguments={},
        right=[lambda gs, limit: [g * min(1, limit / total_norm(gs)) for g in gs]],
        wrong=[
            (lambda gs, limit: [np.clip(g, -limit, limit) for g in gs], "cuts every entry"),
            (
                lambda gs, limit: [g * min(1, limit / np.linalg.norm(g)) for g in gs],
                "by its own norm",
            ),
            (lambda gs, limit: [g * limit / total_norm(gs) ** 2 for g in gs], "square root"),
            (lambda gs, limit: [g / total_norm(gs) for g in gs], "scale to length 1"),
            (lambda gs, limit: [g * limit / total_norm(gs) for g in gs], "shorter than the limit"),
            (lambda gs, limit: [g * 0.5 for g in gs], "multiplied by limit / norm"),
            (lambda gs, limit: [g * min(1, 2 / total_norm(gs)) for g in gs], "not always 2"),
            (lambda gs, limit: gs[:1], "as many arrays"),
            (scale_in_place, "changed the gradients"),
            (lambda gs, limit: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "warm_cosine": Exercise(
        arguments={},
        right=[warm_cosine],
        wrong=[
            (lambda k, n, w, peak: warm_cosine(k - 1, n, w, peak), "steps count from 1"),
            (lambda k, n, w, peak: peak * (1 + math.cos(math.pi * k / n)) / 2, "straight line"),
            (
                lambda k, n, w, peak: peak * k / w * (0.5 if k == w else 1),
                "last step of the warm-up",
            ),
            (
                lambda k, n, w, peak: (
                    peak * k / w if k <= w else peak * (1 + math.cos(math.pi * k / n)) / 2
                ),
                "begins where the warm-up ends",
            ),
            (
                lambda k, n, w, peak: (
                    peak * k / w if k <= w else peak * math.cos(math.pi * (k - w) / (n - w))
                ),
                "falls from 1 to -1",
            ),
            (
                lambda k, n, w, peak: peak * k / w if k <= w else peak * (1 - (k - w) / (n - w)),
                "straight line down",
            ),
            (lambda k, n, w, peak: peak * min(1, k / w), "at the last step the rate is 0"),
            (
                lambda k, n, w, peak: (
                    peak * k / w if k <= w else peak * (1 - ((k - w) / (n - w)) ** 2)
                ),
                "share going from 0 to 1",
            ),
            (lambda k, n, w, peak: warm_cosine(k, 100, 20, 0.004), "as they are given"),
            (lambda k, n, w, peak: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "early_stop": Exercise(
        arguments={},
        right=[early_stop],
        wrong=[
            (lambda losses, patience: early_stop(losses, 1), "no reason to stop at patience 2"),
            (lambda losses, patience: early_stop(losses, patience + 1), "not after it"),
            (lambda losses, patience: early_stop(losses, patience)[0], "return two numbers"),
            (lambda losses, patience: early_stop(losses, patience)[::-1], "where it stops first"),
            (lambda losses, patience: (0, 0), "nothing gets worse"),
            (lambda losses, patience: (2, 2), "starts the count"),
            (rises, "no new best; the best"),
            (lambda losses, patience: early_stop(losses, patience, equal=True), "an equal loss"),
            (lambda losses, patience: early_stop(losses, 2), "not always 2"),
            (forgets_the_best, "runs to the end"),
            (lambda losses, patience: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
}
