"""Right and wrong answers to the exercises of chapter 05."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import nn

from answers import Exercise, raises
from lstmlib.models import detach
from lstmlib.vocab import Vocab


def forgets(*task):
    """Return nothing."""
    len(task)


def total_norm(gradients):
    return math.sqrt(sum((g**2).sum() for g in gradients))


def scale_in_place(gradients, limit):
    norm = total_norm(gradients)
    for g in gradients:
        g *= min(1, limit / norm)
    return gradients


def of_two_arrays(gradients, limit):
    W, b = gradients
    factor = min(1, limit / total_norm([W, b]))
    return [W * factor, b * factor]


def of_the_first_two(gradients, limit):
    factor = min(1, limit / max(limit, total_norm(gradients[:2])))
    return [g * factor for g in gradients]


def of_at_most_two_axes(gradients, limit):
    rows = [row for g in gradients for row in np.atleast_2d(g)]
    norm = math.sqrt(sum(float(entry) ** 2 for row in rows for entry in row))
    return [g * (limit / max(limit, norm)) for g in gradients]


def with_the_norm(gradients, limit):
    norm = total_norm(gradients)
    return [g * (limit / max(limit, norm)) for g in gradients], norm


def divides_by_the_norm(gradients, limit):
    norm = total_norm(gradients)
    return [g * min(1, limit / norm) for g in gradients]


def warm_cosine(step, steps, warmup, peak):
    if step <= warmup:
        return peak * step / warmup
    return peak * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


def warm_cosine_from_one(step, steps, warmup, peak):
    """Rise from peak / warmup by equal differences, of which a warm-up of one step has none."""
    if step > warmup:
        return warm_cosine(step, steps, warmup, peak)
    first = peak / warmup
    return first + (peak - first) * (step - 1) / (warmup - 1)


def cosine_in_float32(step, steps, warmup, peak):
    if step <= warmup:
        return np.float32(peak * step / warmup)
    share = torch.tensor((step - warmup) / (steps - warmup))
    return peak * (1 + torch.cos(math.pi * share)) / 2


def smooth_fall(step, steps, warmup, peak):
    """Fall along another curve that begins and ends flat, and passes half of the peak half-way."""
    share = (step - warmup) / (steps - warmup)
    if share <= 0:
        return peak * step / warmup
    return peak * (1 - share * share * (3 - 2 * share))


def warm_up_by(curve):
    """Rise along another curve than a straight line, then fall rightly."""
    return lambda k, n, w, peak: peak * curve(k / w) if k < w else warm_cosine(k, n, w, peak)


def fall_by(curve):
    """Rise rightly, then fall along another curve."""
    return lambda k, n, w, peak: peak * k / w if k <= w else peak * curve((k - w) / (n - w))


def needs_two_losses(losses, patience):
    return early_stop([losses[0], losses[1], *losses[2:]], patience)


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


def zero_stands_for_none(losses, patience, none=lambda best: not best):
    best, at, waited = 0, 0, 0
    for k, loss in enumerate(losses):
        waited += 1
        if none(best) or loss < best:
            best, at, waited = loss, k, 0
        if waited == patience:
            return k, at
    return len(losses) - 1, at


def goes_on_after_the_end(losses, patience):
    best, at, waited, end = math.inf, 0, 0, None
    for k, loss in enumerate(losses):
        best, at, waited = (loss, k, 0) if loss < best else (best, at, waited + 1)
        if waited == patience:
            end = k, at
    return end or (len(losses) - 1, at)


def minus_1_stands_for_none(losses, patience):
    return zero_stands_for_none([*losses], patience, lambda best: best <= 0)


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


def counts_all(losses, patience):
    """Never set the count of validations without a new best back to 0."""
    best = waited = 0
    for k in range(1, len(losses)):
        if losses[k] < losses[best]:
            best = k
        else:
            waited += 1
        if waited == patience:
            return k, best
    return len(losses) - 1, best


def begins_at(lowest):
    """Take a number that is above most losses for the best before the first."""

    def answer(losses, patience, lowest=lowest):
        best = waited = 0
        for k in range(len(losses)):
            waited += 1
            if losses[k] < lowest:
                lowest, best, waited = losses[k], k, 0
            if waited == patience:
                return k, best
        return len(losses) - 1, best

    return answer


def norm_by_concatenation(gradients, limit):
    whole = np.concatenate([np.ravel(g) for g in gradients])
    norm = np.linalg.norm(whole)
    factor = limit / norm if norm > limit else 1.0
    return tuple(factor * g for g in gradients)


def cosine_in_degrees(step, steps, warmup, peak):
    share = min(step / warmup, 1.0)
    angle = 180.0 * max(step - warmup, 0) / (steps - warmup)
    return share * peak * math.cos(math.radians(angle / 2)) ** 2


def lower_by_a_thousandth(losses, patience):
    best = waited = 0
    for k in range(1, len(losses)):
        waited += 1
        if losses[k] < losses[best] - 1e-3:
            best, waited = k, 0
        if waited == patience:
            return k, best
    return len(losses) - 1, best


def looks_back(losses, patience):
    """Compare with the loss of `patience` validations ago alone."""
    for k in range(patience, len(losses)):
        if losses[k] > losses[k - patience]:
            return k, int(np.argmin(losses[: k + 1]))
    return len(losses) - 1, int(np.argmin(losses))


def counts_the_first(losses, patience):
    """Take the first loss for one that is no new best."""
    best = waited = 0
    for k in range(len(losses)):
        waited += 1
        if losses[k] < losses[best]:
            best, waited = k, 0
        if waited == patience:
            return k, best
    return len(losses) - 1, best


def stops_after_the_lowest_of_all(losses, patience):
    best = int(np.argmin(losses))
    return min(best + patience, len(losses) - 1), best


def stops_at_the_best(losses, patience):
    end, best = early_stop(losses, patience)
    return (best if end - best == patience else end), best


def stop_by_slices(losses, patience):
    for k in range(len(losses)):
        best = losses.index(min(losses[: k + 1]))
        if k - best == patience:
            return np.array([k, best])
    return len(losses) - 1, best


def best_of_the_whole_run(losses, patience):
    return early_stop(losses, patience)[0], int(np.argmin(losses))


def gives_the_loss(losses, patience):
    end, best = early_stop(losses, patience)
    return end, losses[best]


def sorts(losses, patience):
    found = early_stop(losses, patience)
    losses.sort()
    return found


def finish_step(
    model,
    loss,
    state,
    optimizer,
    limit,
    zero=True,
    clip="after",
    cut=True,
    carry=True,
    retain=False,
    late=False,
):
    """The end of a step, right or with some of its faults."""
    if zero:
        optimizer.zero_grad()
    if clip == "before":
        nn.utils.clip_grad_norm_(model.parameters(), limit)
    loss.backward(retain_graph=retain)
    if late:
        optimizer.zero_grad()
    if clip == "after":
        nn.utils.clip_grad_norm_(model.parameters(), limit)
    if clip == "each":
        for p in model.parameters():
            nn.utils.clip_grad_norm_([p], limit)
    if clip == "value":
        nn.utils.clip_grad_value_(model.parameters(), limit)
    if clip in ("layers", "output"):
        nn.utils.clip_grad_norm_(getattr(model, clip).parameters(), limit)
    if clip == "matrices":
        nn.utils.clip_grad_norm_([p for p in model.parameters() if p.ndim > 1], limit)
    if clip in ("fixed", "loose"):
        nn.utils.clip_grad_norm_(model.parameters(), 0.1 if clip == "fixed" else 1.0)
    optimizer.step()
    return loss.item(), (detach(state) if cut else state) if carry else None


def finish_by_hand(model, loss, state, optimizer, limit):
    h, c = state
    weights = list(model.parameters())
    for p, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        p.grad = gradient
    norm = torch.sqrt(sum((p.grad**2).sum() for p in weights))
    if norm > limit:
        for p in weights:
            p.grad *= limit / norm
    optimizer.step()
    return [float(loss.detach()), (h.detach(), c.clone().detach())]


def steps_by_hand(model, loss, state, optimizer, limit):
    """Make the step of SGD in place of the optimizer's."""
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), limit)
    with torch.no_grad():
        for p in model.parameters():
            p -= optimizer.param_groups[0]["lr"] * p.grad
    return loss.item(), tuple(part.detach() for part in state)


def faulty(**faults):
    return lambda *task: finish_step(*task, **faults)


def clears_the_state(model, loss, state, optimizer, limit):
    found = finish_step(model, loss, tuple(part.clone() for part in state), optimizer, limit)
    state[0].detach().zero_()
    return found


def gives(of):
    """The right step, which returns something else of the loss."""

    def answer(model, loss, *rest):
        return of(loss), finish_step(model, loss, *rest)[1]

    return answer


def swaps_the_state(*task):
    loss, (h, c) = finish_step(*task)
    return loss, (c, h)


def steps_twice(model, loss, state, optimizer, limit):
    found = finish_step(model, loss, state, optimizer, limit)
    optimizer.step()
    return found


def evaluates(model, *task):
    found = finish_step(model, *task)
    model.eval()
    return found


def seeds(*task):
    torch.manual_seed(0)
    return finish_step(*task)


def halves_the_gradient(model, loss, state, optimizer, limit):
    return finish_step(model, loss / 2, state, optimizer, limit)


def reach(steps, warmup, rate):
    return sum(rate * (k / warmup if k < warmup else 1) for k in range(1, steps + 1))


def reach_from_one(steps, warmup, rate):
    """Add up equal differences from rate / warmup, of which a warm-up of one step has none."""
    if warmup == 0:
        return steps * rate
    n, first = min(steps, warmup), rate / warmup
    risen = sum(first + (rate - first) * (k - 1) / (warmup - 1) for k in range(1, n + 1))
    return risen + rate * (steps - n)


def reach_in_float32(steps, warmup, rate):
    shares = torch.arange(1, steps + 1) / max(warmup, 1)
    return (rate * torch.clamp(shares, max=1)).sum()


def reach_by_formula(steps, warmup, rate):
    risen = min(steps, warmup)
    rising = rate * risen * (risen + 1) / (2 * warmup) if warmup else 0.0
    return rising + rate * max(steps - warmup, 0)


BOOK_TEXT = (Path(__file__).parents[3] / "datasets/messy-book.txt").read_text(encoding="utf-8")
BOOK = Vocab.from_text(BOOK_TEXT).encode(BOOK_TEXT)

EXERCISES = {
    "norm_clipped": Exercise(
        right=[
            lambda gs, limit: [g * (limit / max(limit, total_norm(gs))) for g in gs],
            norm_by_concatenation,
            lambda gs, limit: [g * min(1, limit / np.float64(total_norm(gs))) for g in gs],
        ],
        wrong=[
            (lambda gs, limit: [np.clip(g, -limit, limit) for g in gs], "cuts every entry"),
            (
                lambda gs, limit: [g * min(1, limit / np.linalg.norm(g)) for g in gs],
                "by its own norm",
            ),
            (lambda gs, limit: [g * limit / total_norm(gs) ** 2 for g in gs], "square root"),
            (
                lambda gs, limit: [
                    g * min(1, limit / sum(np.abs(a).sum() for a in gs)) for g in gs
                ],
                "the L1 norm",
            ),
            (
                lambda gs, limit: [
                    g * min(1, limit / max(np.abs(a).max() for a in gs)) for g in gs
                ],
                "the largest entry",
            ),
            (
                lambda gs, limit: [g * min(1, limit / np.linalg.norm(gs)) for g in gs],
                "flatten each",
            ),
            (
                lambda gs, limit: [
                    g * min(1, limit / np.linalg.norm(np.concatenate(gs))) for g in gs
                ],
                "flatten each",
            ),
            (
                lambda gs, limit: [g * min(1, limit / np.linalg.norm(sum(gs))) for g in gs],
                "flatten",
            ),
            (
                lambda gs, limit: [g * min(1, limit / np.linalg.norm(gs[0])) for g in gs],
                "one array",
            ),
            (lambda gs, limit: [g * min(1, limit / np.linalg.norm(gs[-1])) for g in gs], "one arr"),
            (
                lambda gs, limit: [g * min(1, limit / max(map(np.linalg.norm, gs))) for g in gs],
                "one array alone",
            ),
            (lambda gs, limit: [g * total_norm(gs) / limit for g in gs], "upside down"),
            (
                lambda gs, limit: [
                    g * (limit / total_norm(gs) if total_norm(gs) < limit else 1.0) for g in gs
                ],
                "must be clipped",
            ),
            (lambda gs, limit: [g / total_norm(gs) for g in gs], "scale to length 1"),
            (lambda gs, limit: [g * limit / total_norm(gs) for g in gs], "shorter than the limit"),
            (lambda gs, limit: [g * 0.5 for g in gs], "multiplied by limit / norm"),
            (lambda gs, limit: [g * min(1, 2.5 / total_norm(gs)) for g in gs], "not always 2.5"),
            (lambda gs, limit: gs[:1], "as many arrays"),
            (
                lambda gs, limit: (
                    gs if total_norm(gs) <= limit else [g * limit / total_norm(gs) for g in gs]
                ),
                "where nothing is to be clipped",
            ),
            (
                lambda gs, limit: [g * min(1, limit / sum(map(np.linalg.norm, gs))) for g in gs],
                "not the sum of the norms",
            ),
            (
                lambda gs, limit: [g * min(1, limit / max(1, total_norm(gs))) for g in gs],
                "a norm below 1",
            ),
            (divides_by_the_norm, "do not divide"),
            (
                lambda gs, limit: [np.ravel(g * min(1, limit / total_norm(gs))) for g in gs],
                "has the shape",
            ),
            (scale_in_place, "changed the gradients"),
            (of_two_arrays, "a list of 1"),
            (of_the_first_two, "a list of 3"),
            (of_at_most_two_axes, "(2, 2, 2)"),
            (with_the_norm, "without the norm"),
            (
                lambda gs, limit: [g * min(1, limit / total_norm(gs) / 2) for g in gs],
                "limit / norm",
            ),
            (lambda gs, limit: (g * 1 for g in gs), "a generator"),
            (lambda gs, limit: {0: gs[0], 1: gs[1]}, "a list of arrays is asked for"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "warm_cosine": Exercise(
        unmoved=("axis_swapped", "in_place"),
        right=[warm_cosine, cosine_in_degrees, cosine_in_float32],
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
            (
                lambda k, n, w, peak: peak * (k // w) if k <= w else warm_cosine(k, n, w, peak),
                "rounds down to 0",
            ),
            (
                warm_up_by(lambda share: (1 - math.cos(math.pi * share)) / 2),
                "the cosine comes after it",
            ),
            (fall_by(lambda share: (1 - math.cos(math.pi * share)) / 2), "your rate rises"),
            (lambda k, n, w, peak: warm_cosine(k, n, w, 0.03), "the highest rate is `peak`"),
            (warm_up_by(lambda share: 0.5), "a straight line"),
            (warm_up_by(lambda share: share**2), "a straight line"),
            (fall_by(lambda share: (1 + math.cos(2 * math.pi * share)) / 2), "not to 2π"),
            (fall_by(lambda share: math.cos(math.pi / 2 * share)), "ends steep"),
            (fall_by(lambda share: (1 + math.cos(math.pi / 2 * share)) / 2), "not to π / 2"),
            (
                lambda k, n, w, peak: warm_cosine(k, n - (k > w), w, peak),
                "not one step before it",
            ),
            (smooth_fall, "share going from 0 to 1"),
            (lambda k, n, w, peak: peak * min(1, k / w), "at the last step the rate is 0"),
            (
                lambda k, n, w, peak: (
                    peak * k / w if k <= w else peak * (1 - ((k - w) / (n - w)) ** 2)
                ),
                "share going from 0 to 1",
            ),
            (lambda k, n, w, peak: warm_cosine(k, 100, 20, 0.004), "as they are given"),
            (warm_cosine_from_one, "warmup = 1 and peak = 0.3 your code divides by 0"),
            (
                lambda k, n, w, peak: peak / 2 if n - w == 1 else warm_cosine(k, n, w, peak),
                "at steps = 9, warmup = 8",
            ),
            (lambda *task: round(warm_cosine(*task), 4), "right, but rounded"),
            (lambda *task: round(warm_cosine(*task), 6), "right, but rounded"),
            (lambda *task: [warm_cosine(*task)], "finite number"),
            (lambda *task: str(warm_cosine(*task)), "finite number"),
            (lambda *task: np.array([warm_cosine(*task)]), "an array (1,)"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "early_stop": Exercise(
        unmoved=("axis_swapped", "dtype"),
        right=[early_stop, stop_by_slices, begins_at(math.inf)],
        wrong=[
            (goes_on_after_the_end, "is not looked at"),
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
            (zero_stands_for_none, "does not stand for none"),
            (minus_1_stands_for_none, "does not stand for none"),
            (best_of_the_whole_run, "not the best of the whole run"),
            (counts_all, "sets the count back to 0"),
            (lower_by_a_thousandth, "by however little"),
            (looks_back, "one validation ago"),
            (counts_the_first, "it is not counted"),
            (stops_after_the_lowest_of_all, "not the best of the whole run"),
            (stops_at_the_best, "not at it"),
            (begins_at(10.0), "[40, 30, 35, 36, 20]"),
            (begins_at(100), "with math.inf"),
            (begins_at(1e9), "with math.inf"),
            (lambda losses, patience: (len(losses) - 1, min(losses)), "not the loss itself"),
            (gives_the_loss, "not the loss itself"),
            (lambda losses, patience: (2, math.inf), "both are indices"),
            (lambda *task: tuple(map(float, early_stop(*task))), "both are indices"),
            (lambda *task: "{}{}".format(*early_stop(*task)), "return two numbers"),
            (lambda losses, patience: early_stop(losses, min(3, patience)), "wrong at 4"),
            (lambda losses, patience: early_stop(losses, min(6, patience)), "wrong at 9"),
            (needs_two_losses, "a run may be short"),
            (
                lambda losses, patience: tuple(k + 1 for k in early_stop(losses, patience)),
                "count from 0",
            ),
            (sorts, "changed the list"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "finish_step": Exercise(
        unmoved=("axis_swapped",),
        right=[
            finish_step,
            finish_by_hand,
            gives(lambda loss: loss.detach()),
            gives(lambda loss: loss.detach().numpy()),
        ],
        wrong=[
            (steps_by_hand, "with Adam the weights move otherwise"),
            (faulty(zero=False, clip="before", cut=False), "cut the state from it"),
            (faulty(cut=False), "cut the state from it"),
            (faulty(zero=False), "still in `.grad`"),
            (faulty(zero=False, clip="before"), "still in `.grad`"),
            (faulty(clip="before"), "nothing to clip"),
            (faulty(clip=None), "nothing to clip"),
            (faulty(carry=False), "hand on the state"),
            (faulty(clip="each"), "clipped by itself"),
            (faulty(clip="value"), "cuts every entry by itself"),
            (faulty(clip="layers"), "only some of the gradients"),
            (faulty(clip="output"), "only some of the gradients"),
            (faulty(clip="matrices"), "only some of the gradients"),
            (steps_twice, "call `optimizer.step()` once"),
            (swaps_the_state, "(h, c), in this order"),
            (halves_the_gradient, "losses or weights differ"),
            (gives(lambda loss: str(loss.item())), "loss.item(): yours is '"),
            (gives(lambda loss: np.array([loss.item()])), "loss.item(): yours is array"),
            (evaluates, "leaves it in the other"),
            (lambda *task: (finish_step(*task)[0], "h, c"), "a pair of tensors"),
            (lambda *task: (finish_step(*task)[0], [0.0, 0.0]), "a pair of tensors"),
            (
                lambda *task: (finish_step(*task)[0], [p.detach().numpy() for p in task[2]]),
                "a pair of tensors",
            ),
            (
                lambda *task: (finish_step(*task)[0], [p[:, -1:].detach() for p in task[2]]),
                "each (1, B, H)",
            ),
            (faulty(clip="loose"), "no number of your own"),
            (seeds, "seeds PyTorch's generator"),
            (gives(lambda loss: loss.item), "with brackets"),
            (gives(lambda loss: None), "loss.item(): yours is None"),
            (gives(lambda loss: "low"), "loss.item(): yours is 'low'"),
            (faulty(clip="fixed"), "use `limit`"),
            (faulty(cut=False, retain=True), "`retain_graph=True` does not help"),
            (faulty(late=True), "no weight moves"),
            (lambda *task: finish_step(*task)[::-1], "the loss first"),
            (lambda *task: finish_step(*task)[0], "return two things"),
            (gives(lambda loss: loss), "keeps its graph"),
            (clears_the_state, "changed the state"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "book_rate": Exercise(
        arguments={"ids": BOOK},
        unmoved=("axis_swapped",),
        right=[0.1, np.float64(0.15), torch.tensor(0.2)],
        wrong=[
            (0.0003, "too low"),
            (0.003, "too low"),
            (0.03, "within 0.15"),
            (torch.tensor([0.1]), "finite number"),
            (2.41, "is about the lowest loss"),
            (2.451, "is about the lowest loss"),
            (3.0, "too high"),
            (1000, "too high"),
            (0.0, "above 0"),
            (-0.1, "above 0"),
            ("0.1", "finite number"),
            (math.nan, "finite number"),
            (lambda: 0.1, "finite number"),
        ],
    ),
    "reach": Exercise(
        unmoved=("axis_swapped", "in_place"),
        right=[reach, reach_by_formula, reach_in_float32],
        wrong=[
            (lambda n, w, rate: n * rate, "steps are shorter"),
            (lambda n, w, rate: (n - w) * rate + rate * (w - 1) / 2, "one step is missing"),
            (lambda n, w, rate: reach(n - 1, w, rate), "`range(1, steps + 1)`"),
            (lambda n, w, rate: (n - w) * rate + rate * w / 2, "a little more than"),
            (
                lambda n, w, rate: sum(
                    rate * (k / (w + 1) if k <= w else 1) for k in range(1, n + 1)
                ),
                "with warmup + 1 below the line",
            ),
            (lambda n, w, rate: rate * (w + 1) / 2, "warm-up alone"),
            (lambda n, w, rate: rate, "one step"),
            (lambda n, w, rate: 2 * reach(n, w, rate), "add up the rates"),
            (lambda n, w, rate: reach(n, w or n, rate), "no warm-up"),
            (lambda n, w, rate: (n - w) * rate + (rate * (w + 1) / 2 if w else 0), "within"),
            (
                lambda n, w, rate: reach(n, w, rate) + (w == 5),
                "as they are given",
            ),
            (
                lambda n, w, rate: reach(n, w, 0.03),
                "`rate` is an argument",
            ),
            (lambda *task: round(reach(*task), 3), "right, but rounded"),
            (lambda *task: round(reach(*task), 4), "right, but rounded"),
            (lambda *task: np.array([reach(*task)]), "finite number"),
            (reach_from_one, "steps = 8, warmup = 1"),
            (
                lambda n, w, rate: rate * (n - 1) if w == 1 else reach(n, w, rate),
                "steps = 8, warmup = 1",
            ),
            (
                lambda n, w, rate: sum(rate * min(1, k / w) for k in range(1, n + 1)),
                "divides by warmup",
            ),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
}
