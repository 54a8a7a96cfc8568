"""Right and wrong answers to the exercises of chapter 06."""

import math
import statistics

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from answers import Exercise, raises
from lstmlib.course import check


def forgets(*given):
    str(given)


def by_loops(W_h, h):
    """Write down each derivative by itself."""
    H = len(h)
    return [[(1 - h[a] ** 2) * W_h[b, a] for b in range(H)] for a in range(H)]


def settings_of_a_mean(rate, limit, length, optimizer):
    return (rate * length if optimizer == "sgd" else rate), limit / length


def settings_in_a_list(rate, limit, length, optimizer):
    factor = {"sgd": length, "adam": 1}[optimizer]
    return [factor * rate, limit * length**-1]


def rounded_settings(rate, limit, length, optimizer):
    """Round to three decimal places."""
    rate, limit = settings_of_a_mean(rate, limit, length, optimizer)
    return round(rate, 3), round(limit, 3)


def limit_once_full(norms, z, span):
    """Do not clip before there are span norms."""
    last = norms[-span:]
    return np.mean(last) + z * np.std(last) if len(last) == span else math.inf


def limit_by_statistics(norms, z, span):
    last = norms[max(len(norms) - span, 0) :]
    return statistics.fmean(last) + z * statistics.pstdev(last)


def limit_from_the_front(norms, z, span):
    """Begin the slice at a negative number while there are fewer norms than the span."""
    last = norms[len(norms) - span :]
    return np.mean(last) + z * np.std(last)


def limit_of_three(norms, z, span):
    return np.mean(norms[-3:]) + z * np.std(norms[-3:])


def one_norm_less(norms, z, span):
    last = norms[1 - span :]
    return np.mean(last) + z * np.std(last)


def sample_deviation(norms, z, span):
    return np.mean(norms[-span:]) + z * np.std(norms[-span:], ddof=1)


def mended(model, x, y, optimizer, limit):
    optimizer.zero_grad()
    loss = cross_entropy(model(x), y)
    loss.backward()
    norm = clip_grad_norm_(model.parameters(), limit)
    optimizer.step()
    return loss.item(), norm.item()


def mended_by_hand(model, x, y, optimizer, limit):
    loss = cross_entropy(model(x), y)
    weights = list(model.parameters())
    grads = torch.autograd.grad(loss, weights)
    norm = sum((g**2).sum() for g in grads) ** 0.5
    for weight, grad in zip(weights, grads, strict=True):
        weight.grad = grad * min(1, limit / norm)
    optimizer.step()
    return [loss.detach(), norm]


def as_published(model, x, y, optimizer, limit):
    """Clip each tensor, and before there is a gradient."""
    optimizer.zero_grad()
    loss = cross_entropy(model(x), y)
    norm = 0
    for weight in model.parameters():
        norm = clip_grad_norm_(weight, limit)
    loss.backward()
    optimizer.step()
    return loss.item(), float(norm)


def step_with(clip, clear=True, step=True, before=False):
    """A step of training that clips in some way."""

    def one_step(model, x, y, optimizer, limit):
        if clear:
            optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        loss.backward()
        if before:
            optimizer.step()
        norm = math.sqrt(sum((w.grad**2).sum().item() for w in model.parameters()))
        clip(model, limit)
        if step and not before:
            optimizer.step()
        return loss.item(), norm

    return one_step


def whole(model, limit):
    clip_grad_norm_(model.parameters(), limit)


def each_tensor(model, limit):
    for weight in model.parameters():
        clip_grad_norm_(weight, limit)


def each_group(model, x, y, optimizer, limit):
    """Clip each of the optimizer's groups of weights by itself."""
    optimizer.zero_grad()
    loss = cross_entropy(model(x), y)
    loss.backward()
    parts = [clip_grad_norm_(group["params"], limit) for group in optimizer.param_groups]
    optimizer.step()
    return loss.item(), math.hypot(*parts)


def cleared_late(model, x, y, optimizer, limit):
    """Forget the gradient before the step."""
    loss = cross_entropy(model(x), y)
    loss.backward()
    optimizer.zero_grad()
    norm = clip_grad_norm_(model.parameters(), limit)
    optimizer.step()
    return loss.item(), norm.item()


def by_largest(model, limit):
    clip_grad_norm_(model.parameters(), limit, norm_type=math.inf)


def by_sum(model, limit):
    clip_grad_norm_(model.parameters(), limit, norm_type=1)


def by_value(model, limit):
    clip_grad_value_(model.parameters(), limit)


def twice(model, limit):
    clip_grad_norm_(model.parameters(), limit / 2)


def at_one(model, limit):
    clip_grad_norm_(model.parameters(), 1.0)


def always_scaled(model, limit):
    norm = math.sqrt(sum((w.grad**2).sum().item() for w in model.parameters()))
    for weight in model.parameters():
        weight.grad *= limit / norm


def mended_in_tensors(model, x, y, optimizer, limit):
    """Return the loss with its graph, and the norm, as tensors."""
    optimizer.zero_grad()
    loss = cross_entropy(model(x), y)
    loss.backward()
    norm = clip_grad_norm_(model.parameters(), limit)
    optimizer.step()
    return loss, norm


def summed_loss(model, x, y, optimizer, limit):
    """Clip the gradient of the sum."""
    optimizer.zero_grad()
    loss = cross_entropy(model(x), y, reduction="sum")
    loss.backward()
    norm = clip_grad_norm_(model.parameters(), limit)
    optimizer.step()
    return loss.item(), norm.item()


def swapped(model, x, y, optimizer, limit):
    return mended(model, x, y, optimizer, limit)[::-1]


def clipped_norm(model, x, y, optimizer, limit):
    loss, norm = mended(model, x, y, optimizer, limit)
    return loss, min(norm, limit)


def loss_after(model, x, y, optimizer, limit):
    _, norm = mended(model, x, y, optimizer, limit)
    return cross_entropy(model(x), y).item(), norm


def loss_alone(model, x, y, optimizer, limit):
    return mended(model, x, y, optimizer, limit)[0]


KEY = {
    "patient-1": "missing zero_grad",
    "patient-2": "healthy",
    "patient-3": "saturated gates",
    "patient-4": "no clipping",
    "patient-5": "targets not shifted",
    "patient-6": "state not detached",
}
A_NUMBER = ("axis_swapped", "in_place")
"""What changes neither a number nor what a function of numbers was given."""


EXERCISES = {
    "step_jacobian": Exercise(
        right=[
            lambda W_h, h: np.diag(1 - h**2) @ W_h.T,
            by_loops,
            lambda W_h, h: (W_h * (1 - h**2)).T,
            lambda W_h, h: torch.diag(1 - torch.tensor(h) ** 2) @ torch.tensor(W_h).T,
        ],
        wrong=[
            (lambda W_h, h: np.diag(1 - h**2) @ W_h, "PyTorch's weight_hh_l0"),
            (lambda W_h, h: W_h * (1 - h**2), "the transpose"),
            (lambda W_h, h: W_h.T @ np.diag(1 - h**2), "scaled the columns"),
            (lambda W_h, h: np.diag(1 - h) @ W_h.T, "square it"),
            (lambda W_h, h: np.diag(h * (1 - h)) @ W_h.T, "the sigmoid"),
            (lambda W_h, h: np.diag(1 - np.tanh(h) ** 2) @ W_h.T, "tanh of it again"),
            (lambda W_h, h: np.diag(1 - h**2) * W_h.T, "entry by entry"),
            (lambda W_h, h: W_h.T, "has a derivative"),
            (lambda W_h, h: (1 - h**2) @ W_h.T, "shape of W_h"),
            (lambda W_h, h: 2 * W_h, r"1 - h[a]²"),
            (lambda W_h, h: torch.diag(1 - h**2) @ W_h.T, "NumPy arrays"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "steps_to_undo": Exercise(
        right=[14, math.ceil(math.log(45) / math.log(4 / 3))],
        wrong=[
            (13, "one step more"),
            (-13.23, "not negative"),
            (-13, "not negative"),
            (15, "one step less"),
            (13.23, "steps are whole"),
            (40, "shrinks more"),
            (54, "how many *further* steps"),
            (60, "not added"),
            (7, "the first time"),
            ("14", "a finite number"),
        ],
        unmoved=("axis_swapped", "dtype"),
    ),
    "clip_by_hand": Exercise(
        right=[
            [0.3, -0.4, 1.2],
            (0.3, -0.4, 1.2),
            np.array([1.2, -1.6, 4.8]) / 4,
            torch.tensor([0.3, -0.4, 1.2]),
        ],
        wrong=[
            ([1.2, -1.3, 1.3], "by value"),
            ([0.78, -1.04, 1.3], "each tensor by itself"),
            ([0.0577, -0.0769, 0.2308], "the sum of squares"),
            ([0.2053, -0.2737, 0.8211], "you added up"),
            ([0.325, -0.4333, 1.3], "the largest entry"),
            ([0.2308, -0.3077, 0.9231], "the limit is 1.3"),
            ([1.2, -1.6, 4.8], "over the limit"),
            ([0.3, 0.4, 1.2], "keeps the signs"),
            ([0.6, -0.8, 2.4], "not 2.6"),
            ([-0.4, 0.3, 1.2], "1.3 long, but turned"),
            (np.array([[0.3, -0.4, 1.2]]), "three numbers"),
            ([0.3, 1.2], "three numbers"),
            (0.25, "three numbers"),
            (["a", "b", "c"], "finite number"),
        ],
        unmoved=("axis_swapped",),
    ),
    "as_a_mean": Exercise(
        right=[
            settings_of_a_mean,
            settings_in_a_list,
            lambda *given: np.array(settings_of_a_mean(*given)),
        ],
        wrong=[
            (lambda r, c, T, o: (r * T, c / T), "Adam divides"),
            (lambda r, c, T, o: (r, c / T), "the rate must rise"),
            (lambda r, c, T, o: (r / T, c / T), "multiply the rate"),
            (lambda r, c, T, o: (r * T, c * T), "divide"),
            (lambda r, c, T, o: (r * T, c), "never reach"),
            (lambda r, c, T, o: settings_of_a_mean(r, c, T, o)[::-1], "the rate first"),
            (lambda r, c, T, o: (r * T**0.5, c / T), "becomes 1"),
            (lambda r, c, T, o: (r * T, c / T**0.5), "becomes 0.1"),
            (rounded_settings, "2.5 becomes 0.00357143"),
            (lambda r, c, T, o: c / T, "two numbers"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
        unmoved=A_NUMBER,
    ),
    "adaptive_limit": Exercise(
        right=[
            lambda norms, z, span: np.mean(norms[-span:]) + z * np.std(norms[-span:]),
            limit_by_statistics,
        ],
        wrong=[
            (lambda norms, z, span: np.mean(norms) + z * np.std(norms), "long ago"),
            (lambda norms, z, span: np.mean(norms[:3]) + z * np.std(norms[:3]), "the first"),
            (lambda norms, z, span: np.mean(norms[-3:]) + z * np.var(norms[-3:]), "the variance"),
            (sample_deviation, "ddof=1"),
            (
                lambda norms, z, span: np.mean(norms[-3:]) - z * np.std(norms[-3:]),
                "do not subtract",
            ),
            (lambda norms, z, span: np.mean(norms[-3:]), "the mean alone"),
            (lambda norms, z, span: np.mean(norms[-3:]) + np.std(norms[-3:]), "take z of them"),
            (
                lambda norms, z, span: z * (np.mean(norms[-3:]) + np.std(norms[-3:])),
                "not the mean",
            ),
            (
                lambda norms, z, span: np.median(norms[-3:]) + z * np.std(norms[-3:]),
                "the median",
            ),
            (lambda norms, z, span: limit_by_statistics(norms[:-1], z, span), "the newest"),
            (lambda norms, z, span: max(norms), "plus z times"),
            (lambda norms, z, span: np.mean(norms[-3:]) + 2 * np.std(norms[-3:]), "not always"),
            (limit_once_full, "those that there are"),
            (limit_from_the_front, "counts from the end"),
            (limit_of_three, "not always"),
            (one_norm_less, "one norm less"),
            (lambda norms, z, span: limit_by_statistics(norms, z, span + 1), "one norm more"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped",),
    ),
    "clip_choice": Exercise(
        right=[0.63, 0.7, 1.0],
        wrong=[
            (0.3, "it clips 25"),
            (0.45, "it clips 21"),
            (0.51, "it clips 12"),
            (2.08, "the mean of all"),
            (2.1, "the first norm"),
            (1.25, "2.5 times as long"),
            (1.4, "2.7 times as long"),
            (5.0, "9.8 times as long"),
            (31.0, "as long as the burst"),
            (0, "above 0"),
            (-1, "above 0"),
            ("0.6", "a finite number"),
        ],
        unmoved=("axis_swapped",),
    ),
    "clipped_step": Exercise(
        right=[mended, mended_by_hand, step_with(whole), mended_in_tensors],
        wrong=[
            (as_published, "after backward()"),
            (step_with(whole, before=True), "before step()"),
            (step_with(each_tensor), "the direction turns"),
            (each_group, "each group of weights"),
            (step_with(by_value), "by value"),
            (step_with(by_largest), "the largest entry"),
            (step_with(by_sum), "not squares"),
            (step_with(whole, clear=False), "call zero_grad first"),
            (step_with(lambda model, limit: None, clear=False), "call zero_grad first"),
            (step_with(whole, step=False), "did not move"),
            (cleared_late, "is zero_grad before backward()"),
            (step_with(twice), "a norm of at most"),
            (step_with(at_one), "Clip at the `limit` given"),
            (step_with(always_scaled), "stay as it is"),
            (summed_loss, "the sum over the batch"),
            (swapped, "the loss first"),
            (clipped_norm, "before they are clipped"),
            (loss_after, "before the step"),
            (loss_alone, "two numbers"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped",),
    ),
    "diagnosis": Exercise(
        right=[KEY, dict(reversed(KEY.items()))],
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
        # A change of the last number or letter of a dict is none.
        unmoved=("off_by_one", "axis_swapped", "sign", "dtype"),
    ),
}
