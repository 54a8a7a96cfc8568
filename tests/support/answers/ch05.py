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


def clipped_above_a_millionth(gradients, limit):
    norm = total_norm(gradients)
    factor = min(1, limit / norm) if norm > 1e-6 else 1
    return [g * factor for g in gradients]


def clipped_with_room(gradients, limit):
    norm = total_norm(gradients)
    return [g * limit / norm if norm > limit + 1e-2 else g.copy() for g in gradients]


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


def clipped_by(norm):
    """Clip by something else than the joint norm."""
    return lambda gs, limit: [g * (limit / max(limit, norm(gs))) for g in gs]


def clipped_where(long):
    """Clip rightly, but under a condition of one's own: (arrays, limit) -> bool."""
    return lambda gs, limit: [g * (limit / total_norm(gs) if long(gs, limit) else 1) for g in gs]


def scaled_by(change):
    """Change the right factor."""
    return lambda gs, limit: [g * change(limit / max(limit, total_norm(gs))) for g in gs]


def clip_copies_in_place(gradients, limit):
    new, squares = [], 0.0
    for g in gradients:
        new.append(np.array(g))
        for entry in g.flat:
            squares += float(entry) * float(entry)
    if squares > limit**2:
        for g in new:
            g *= limit / math.sqrt(squares)
    return new


def clip_with_torch(gradients, limit):
    weights = [nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in gradients]
    for weight, g in zip(weights, gradients, strict=True):
        weight.grad = torch.tensor(g, dtype=torch.float64)
    nn.utils.clip_grad_norm_(weights, limit)
    return [weight.grad.numpy() for weight in weights]


def clip_to_float32(gradients, limit):
    norm = np.sqrt(sum(np.vdot(g, g) for g in gradients))
    return [np.float32(1 if norm <= limit else limit / norm) * g for g in gradients]


def schedule_table(step, steps, warmup, peak):
    rise = np.linspace(0, peak, warmup + 1)
    fall = peak * (1 + np.cos(np.linspace(0, np.pi, steps - warmup + 1))) / 2
    return np.concatenate([rise, fall[1:]])[step]


def cosine_by_clipping(step, steps, warmup, peak):
    share = np.clip((step - warmup) / (steps - warmup), 0, 1)
    return peak * np.clip(step / warmup, 0, 1) * (0.5 + 0.5 * np.cos(np.pi * share))


def cosine_as_sine(step, steps, warmup, peak):
    if step < warmup:
        return step * (peak / warmup)
    return peak / 2 * (1 - math.sin(math.pi * ((step - warmup) / (steps - warmup) - 0.5)))


def table_of(schedule):
    """Fill a table that begins as `np.full(steps, peak)`: of whole numbers, if the peak is one."""

    def answer(step, steps, warmup, peak):
        rates = np.full(steps, peak)
        rates[:] = [schedule(k, steps, warmup, peak) for k in range(1, steps + 1)]
        return rates[step - 1]

    return answer


def counted(step, steps, warmup, peak):
    """Count the calls, and not look at `step`."""
    at = COUNTED.setdefault((steps, warmup, peak), [0])
    at[0] = at[0] % steps + 1
    return warm_cosine(at[0], steps, warmup, peak)


COUNTED = {}


def stops(better=lambda loss, best: loss < best, after_best=lambda waited: 0, most=10**9):
    """Stop early, rightly or with a fault: in what a new best is, or in what it does."""

    def answer(losses, patience):
        best = waited = 0
        for k in range(1, len(losses)):
            waited += 1
            if better(losses[k], losses[best]):
                best, waited = k, after_best(waited - 1)
            if waited >= min(patience, most):
                return k, best
        return len(losses) - 1, best

    return answer


def stop_recursively(losses, patience, k=0, best=0):
    if k == len(losses):
        return k - 1, best
    best = k if losses[k] < losses[best] else best
    return (k, best) if k - best == patience else stop_recursively(losses, patience, k + 1, best)


def stop_by_arrays(losses, patience):
    lowest = np.minimum.accumulate(losses)
    new = np.append(True, lowest[1:] < lowest[:-1])
    best = np.maximum.accumulate(np.where(new, np.arange(len(losses)), 0))
    ended = np.flatnonzero(np.arange(len(losses)) - best >= patience)
    end = ended[0] if ended.size else len(losses) - 1
    return [int(end), int(best[end])]


def stop_by_while(losses, patience):
    k = best = 0
    while k + 1 < len(losses) and k - best < patience:
        k += 1
        if losses[k] < losses[best]:
            best = k
    return torch.tensor([k, best])


def stops_at_any_later(losses, patience):
    """Begin to count anew after the end, and so find a later one."""
    best, waited, end = math.inf, 0, len(losses) - 1
    for k, loss in enumerate(losses):
        best, waited = (loss, 0) if loss < best else (best, waited + 1)
        if waited == patience:
            end, waited = k, 0
    return end, losses.index(min(losses[: end + 1]))


def rise_at_patience_1(losses, patience):
    rises = [k for k in range(1, len(losses)) if losses[k] > losses[k - 1]]
    if patience > 1:
        return early_stop(losses, patience)
    return (rises[0], rises[0] - 1) if rises else (len(losses) - 1, len(losses) - 1)


def indices_of_values(losses, patience):
    return tuple(losses.index(losses[k]) for k in early_stop(losses, patience))


def ends(clip=None, zero=None, step=None, hand=detach, number=lambda loss: loss.item(), after=None):
    """The right end of a step, some parts of which are written otherwise."""

    def answer(model, loss, state, optimizer, limit):
        (zero or (lambda model, optimizer: optimizer.zero_grad()))(model, optimizer)
        loss.backward()
        if clip:
            clip(model, optimizer, limit, loss.item())
        else:
            nn.utils.clip_grad_norm_(model.parameters(), limit)
        (step or (lambda model, optimizer: optimizer.step()))(model, optimizer)
        if after:
            after(model, optimizer)
        return number(loss), hand(state)

    return answer


def clips(parts=lambda model, optimizer: model.parameters(), **options):
    """Clip some parts of the gradient, or by another norm."""
    return ends(
        clip=lambda model, optimizer, limit, loss: nn.utils.clip_grad_norm_(
            parts(model, optimizer), limit, **options
        )
    )


def clips_if(long):
    """Clip under a condition of one's own: (gradients, limit, loss) -> bool."""

    def clip(model, optimizer, limit, loss):
        if long([p.grad for p in model.parameters()], limit, loss):
            nn.utils.clip_grad_norm_(model.parameters(), limit)

    return ends(clip=clip)


def clips_by_vector(model, optimizer, limit, loss):
    norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    for p in model.parameters():
        p.grad = p.grad * torch.clamp(limit / norm, max=1.0)


def by_closure(model, loss, state, optimizer, limit):
    def closure():
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), limit, foreach=False)
        return loss

    return optimizer.step(closure).item(), [part.data for part in state]


def new_optimizer(model, optimizer):
    type(optimizer)(optimizer.param_groups).step()


def steps_by_groups(model, optimizer):
    with torch.no_grad():
        for group in optimizer.param_groups:
            for p in group["params"]:
                p -= group["lr"] * p.grad


def table_of_rates(steps, warmup, rate):
    """Fill a table that is of whole numbers, if the rate is one."""
    rates = np.full(steps, rate)
    for k in range(1, min(steps, warmup) + 1):
        rates[k - 1] = rate * k / warmup
    return rates.sum()


def reach_by_recursion(steps, warmup, rate):
    if steps == 0:
        return 0.0
    last = rate if steps >= warmup else rate * steps / warmup
    return reach_by_recursion(steps - 1, warmup, rate) + last


def reach_by_arrays(steps, warmup, rate):
    return rate * np.minimum(1, np.arange(1, steps + 1) / max(warmup, 1)).sum()


def reach_by_loop(steps, warmup, rate):
    moved = 0
    for k in range(steps):
        moved += rate * (k + 1) / warmup if k + 1 < warmup else rate
    return np.float32(moved)


BOOK_TEXT = (Path(__file__).parents[3] / "datasets/messy-book.txt").read_text(encoding="utf-8")
BOOK = Vocab.from_text(BOOK_TEXT).encode(BOOK_TEXT)

EXERCISES = {
    "norm_clipped": Exercise(
        right=[
            lambda gs, limit: [g * (limit / max(limit, total_norm(gs))) for g in gs],
            norm_by_concatenation,
            lambda gs, limit: [g * min(1, limit / np.float64(total_norm(gs))) for g in gs],
            clip_copies_in_place,
            clip_with_torch,
            clip_to_float32,
            lambda gs, limit: [(g / max(1, total_norm(gs) / limit)).tolist() for g in gs],
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
            (clipped_above_a_millionth, "that norm"),
            (clipped_with_room, "that norm"),
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
            (
                clipped_by(lambda gs: math.hypot(*(np.linalg.norm(g, 2) for g in gs))),
                "its spectral norm",
            ),
            (clipped_by(lambda gs: total_norm([g for g in gs if g.ndim > 1])), "one array alone"),
            (clipped_by(lambda gs: total_norm(gs[:4])), "longer than the limit"),
            (clipped_by(lambda gs: total_norm([g for g in gs if g.ndim])), "longer than the limit"),
            (
                clipped_by(lambda gs: total_norm({g.tobytes(): g for g in gs}.values())),
                "of the shapes [(3,), (3,)]",
            ),
            (clipped_by(lambda gs: np.mean([np.linalg.norm(g) for g in gs])), "yours are by 0.28"),
            (
                clipped_by(lambda gs: math.sqrt(sum(g.sum() ** 2 for g in gs))),
                "the joint norm is 13.2",
            ),
            (clipped_by(lambda gs: math.sqrt(sum(np.sum(g @ g) for g in gs))), "multiply matrices"),
            (clipped_by(lambda gs: total_norm(gs) + 0.001), "the joint norm is 13.2"),
            (clipped_where(lambda gs, limit: total_norm(gs) > 1.05 * limit), "must be clipped"),
            (
                clipped_where(lambda gs, limit: any(np.linalg.norm(g) > limit for g in gs)),
                "must be clipped",
            ),
            (clipped_where(lambda gs, limit: total_norm(gs) > max(1, limit)), "must be clipped"),
            (clipped_where(lambda gs, limit: total_norm(gs) ** 2 > limit), "must be clipped"),
            (scaled_by(lambda factor: round(factor, 4)), "right, but rounded"),
            (scaled_by(lambda factor: round(factor, 6)), "right, but rounded"),
            (scaled_by(lambda factor: max(factor, 0.01)), "yours are by 0.01"),
            (scaled_by(math.sqrt), "the joint norm is 13.2"),
            (
                lambda gs, limit: [np.abs(g) for g in scaled_by(float)(gs, limit)],
                "not all multiplied by one factor",
            ),
            (
                lambda gs, limit: [
                    np.ravel(g, order="K").reshape(g.shape) for g in scaled_by(float)(gs, limit)
                ],
                "not all multiplied",
            ),
            (
                lambda gs, limit: [
                    g * (total_norm(gs) > 1e-5) for g in scaled_by(float)(gs, limit)
                ],
                "yours are by 0",
            ),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "warm_cosine": Exercise(
        unmoved=("axis_swapped", "in_place"),
        right=[
            warm_cosine,
            cosine_in_degrees,
            cosine_in_float32,
            schedule_table,
            cosine_by_clipping,
            cosine_as_sine,
        ],
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
            (table_of(warm_cosine), "peak = 1 the rate of step"),
            (counted, "yours is"),
            (lambda k, n, w, peak: max(1e-9, warm_cosine(k, n, w, peak)), "yours is 1e-09"),
            (
                lambda k, n, w, peak: peak if k == w + 1 else warm_cosine(k, n, w, peak),
                "share going from 0 to 1",
            ),
            (lambda k, n, w, peak: warm_cosine(k, n, w, min(peak, 1.5)), "yours is 1.5"),
            (lambda k, n, w, peak: warm_cosine(k, n, w, max(peak, 1e-4)), "yours is"),
            (
                lambda k, n, w, peak: (
                    peak * k // w if k < w and peak >= 1 else warm_cosine(k, n, w, peak)
                ),
                "as they are given",
            ),
            (
                lambda k, n, w, peak: warm_cosine(k, n, w, peak) if w < n - 1 else peak * k / n,
                "at steps = 9, warmup = 8",
            ),
            (
                lambda k, n, w, peak: warm_cosine(k, n, w, peak) if n > 2 else peak / k,
                "at steps = 2, warmup = 1",
            ),
            (
                lambda k, n, w, peak: (
                    warm_cosine(min(k, 100), n, w, peak) if n > 100 else warm_cosine(k, n, w, peak)
                ),
                "at steps = 400",
            ),
            (
                lambda k, n, w, peak: peak * min(1, k / w) * (1 + math.cos(math.pi * k / n)) / 2,
                "a straight line",
            ),
            (fall_by(lambda share: (1 + math.cos(3.14 * share)) / 2), "share going from 0 to 1"),
            (
                fall_by(lambda share: (1 + math.cos(180 * share)) / 2),
                "at the last step the rate is 0",
            ),
            (lambda *task: float(np.float16(warm_cosine(*task))), "right, but rounded"),
            (lambda *task: float(f"{warm_cosine(*task):.4g}"), "right, but rounded"),
            (lambda *task: round(warm_cosine(*task), 8), "right, but rounded"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "early_stop": Exercise(
        unmoved=("axis_swapped", "dtype"),
        right=[
            early_stop,
            stop_by_slices,
            begins_at(math.inf),
            stops(),
            stop_recursively,
            stop_by_arrays,
            stop_by_while,
        ],
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
            (stops_at_any_later, "is not looked at"),
            (stops(after_best=lambda waited: max(0, waited - 1)), "Yours are"),
            (stops(after_best=lambda waited: waited // 2), "Yours are"),
            (stops(most=12), "wrong at 15"),
            (stops(lambda loss, best: loss < best - 1e-6), "in the twelfth decimal"),
            (
                stops(lambda loss, best: loss < best and not math.isclose(loss, best)),
                "compare with `<` alone",
            ),
            (stops(lambda loss, best: round(loss, 6) < round(best, 6)), "in the twelfth decimal"),
            (stops(lambda loss, best: abs(loss) < abs(best)), "a loss of 0 or below"),
            (stops(lambda loss, best: int(loss) < int(best)), "by however little"),
            (
                stops(lambda loss, best: best and loss < best),
                "Its best is index 1. Yours are 1 and 0.",
            ),
            (
                lambda losses, patience: early_stop([max(0, loss) for loss in losses], patience),
                "Yours are",
            ),
            (lambda losses, patience: early_stop(losses[:20], patience), "wrong at 40"),
            (
                lambda losses, patience: early_stop(losses, patience - (patience == 5)),
                "patience 5: ",
            ),
            (
                lambda losses, patience: early_stop(torch.tensor(losses).tolist(), patience),
                "float32",
            ),
            (rise_at_patience_1, "Yours are"),
            (indices_of_values, "keep the index itself"),
            (begins_at(1e300), "with math.inf"),
            (
                lambda losses, patience: early_stop(list(dict.fromkeys(losses)), patience),
                "an equal loss",
            ),
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
            by_closure,
            ends(clip=clips_by_vector, number=lambda loss: float(loss.detach())),
            ends(zero=lambda model, optimizer: model.zero_grad()),
            ends(
                hand=lambda state: [
                    torch.from_numpy(part.detach().numpy().copy()) for part in state
                ]
            ),
        ],
        wrong=[
            (steps_by_hand, "call its `step()`"),
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
            (halves_the_gradient, "losses, weights or the last state differ"),
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
            (clips_if(lambda gradients, limit, loss: loss > limit), "Seen with"),
            (
                clips_if(lambda gradients, limit, loss: max(g.norm() for g in gradients) > limit),
                "Seen with",
            ),
            (
                clips_if(
                    lambda gradients, limit, loss: (
                        math.hypot(*(g.norm() for g in gradients)) > 1.2 * limit
                    )
                ),
                "Seen with",
            ),
            (clips(lambda model, optimizer: optimizer.param_groups[0]["params"]), "hand over all"),
            (clips(lambda model, optimizer: optimizer.param_groups[-1]["params"]), "Seen where"),
            (
                clips(
                    lambda model, optimizer: [
                        *model.layers.parameters(),
                        *model.output.parameters(),
                    ]
                ),
                "hand over all",
            ),
            (clips(norm_type=1.0), "unless `norm_type`"),
            (clips(norm_type=math.inf), "unless `norm_type`"),
            (ends(step=new_optimizer), "make no new one"),
            (ends(step=steps_by_groups), "not always SGD"),
            (
                ends(
                    step=lambda model, optimizer: (
                        steps_by_groups(model, optimizer)
                        if isinstance(optimizer, torch.optim.SGD)
                        else optimizer.step()
                    )
                ),
                "not always SGD",
            ),
            (ends(zero=lambda model, optimizer: model.layers.zero_grad()), "differ from those"),
            (
                ends(
                    after=lambda model, optimizer: (
                        nn.utils.clip_grad_norm_(model.parameters(), 1)
                        and [p.data.clamp_(-2, 2) for p in model.parameters()]
                    )
                ),
                "differ from those",
            ),
            (ends(hand=lambda state: (state[0].detach(), state[1])), "h and c both"),
            (
                ends(hand=lambda state: [part.detach() for part in state] and state),
                "hand on what detach(state) returns",
            ),
            (
                ends(hand=lambda state: (state[0].detach(), torch.zeros_like(state[1]))),
                "differ from those",
            ),
            (
                ends(hand=lambda state: [torch.zeros_like(part) for part in state]),
                "a state of zeros",
            ),
            (ends(hand=lambda state: [part.detach().float() for part in state]), "of the dtype"),
            (ends(number=lambda loss: round(loss.item(), 3)), "differ from those"),
            (lambda model, loss, *rest: finish_step(model, 2 * loss, *rest), "differ from those"),
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
            (1e-8, "too low"),
            (0.001, "too low"),
            (0.01, "too low"),
            (0.02, "too low"),
            (1, "too high"),
            (1.0, "too high"),
            (2, "too high"),
            (10.0, "too high"),
            (1e30, "too high"),
            (math.inf, "finite number"),
            (True, "finite number"),
            ({"rate": 0.1}, "finite number"),
            ((0.1, 0.2), "finite number"),
            (0.0, "above 0"),
            (-0.1, "above 0"),
            ("0.1", "finite number"),
            (math.nan, "finite number"),
            (lambda: 0.1, "finite number"),
        ],
    ),
    "reach": Exercise(
        unmoved=("axis_swapped", "in_place"),
        right=[
            reach,
            reach_by_formula,
            reach_in_float32,
            reach_by_recursion,
            reach_by_arrays,
            reach_by_loop,
        ],
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
            (table_of_rates, "and rate = 1 it is"),
            (lambda n, w, rate: rate * (reach(n, w, 1) if n > w or w == 9 else n), "yours gives"),
            (
                lambda n, w, rate: reach(w, w, rate) if n == w - 1 else reach(n, w, rate),
                "yours gives",
            ),
            (lambda n, w, rate: reach(min(n, 100), w, rate), "yours gives"),
            (lambda n, w, rate: reach(n, min(w, 50), rate), "yours gives"),
            (lambda n, w, rate: reach(n, w, min(rate, 1.5)), "yours gives"),
            (lambda n, w, rate: reach(n, w, max(rate, 1e-4)), "yours gives"),
            (lambda n, w, rate: n * rate if w == 2 else reach(n, w, rate), "yours gives"),
            (lambda n, w, rate: rate if n == 1 else reach(n, w, rate), "yours gives"),
            (lambda n, w, rate: reach(n, min(n, w), rate), "within the warm-up"),
            (lambda n, w, rate: reach(n, w, rate) if w else (n - 1) * rate, "no warm-up"),
            (
                lambda n, w, rate: (torch.arange(1, n + 1).clip(max=w) * rate / w).sum(),
                "divides by warmup",
            ),
            (lambda *task: round(reach(*task), 6), "right, but rounded"),
            (lambda *task: round(reach(*task), 8), "right, but rounded"),
            (lambda *task: float(np.float16(reach(*task))), "add up the rates"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
}
