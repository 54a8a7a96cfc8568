"""Right and wrong answers to the exercises of chapter 00."""

import math
from itertools import pairwise

import numpy as np

from answers import Exercise, raises

LOSS = 1.3
SQUARES = np.array([0.25, 0.09, 0.04])
POWERS = np.array([0.5, 0.3, 0.2])


def train(network, batches, limit):
    losses, state = [], network.zero_state()
    for x, y in batches:
        loss, gradient, state = network.gradient(x, y, state)
        length = np.linalg.norm(gradient)
        if length > limit:
            gradient = gradient * limit / length
        network.step(gradient)
        losses.append(loss)
    return losses


def trained(
    target=lambda x, y: y,
    restart=False,
    clip=lambda g, limit: g * min(1, limit / max(np.linalg.norm(g), limit)),
    again=False,
    after=False,
    report=lambda losses: losses,
):
    """Return a training function with a bug in it."""

    def train(network, batches, limit):
        losses, state = [], network.zero_state()
        for x, y in batches:
            state = network.zero_state() if restart else state
            loss, gradient, state = network.gradient(x, target(x, y), state)
            if again:
                network.gradient(x, y, state)
            network.step(gradient if after else clip(gradient, limit))
            losses.append(loss)
        return report(losses)

    return train


@np.errstate(invalid="ignore")
def always_scaled(gradient, limit):
    return gradient * limit / np.linalg.norm(gradient)


def mean_of_means(p, size):
    return np.mean([-np.log(p[at : at + size]).mean() for at in range(0, len(p), size)])


def turned(gradient, limit):
    length = np.linalg.norm(gradient)
    return gradient * limit / length if 0 < length < limit else gradient


def by_column(gradient, limit, axis=0):
    length = np.linalg.norm(gradient, axis=axis, keepdims=True)
    return gradient * limit / np.maximum(length, limit)


def by_numpy(gradient, limit):
    with np.errstate(divide="ignore"):
        return gradient * min(1, limit / np.linalg.norm(gradient))


def divides(gradient, limit):
    return gradient * min(1, limit / float(np.linalg.norm(gradient)))


def lazily(network, batches, limit):
    yield from train(network, batches, limit)


def write(predict, draw, prompt, n):
    ids = list(prompt)
    for _ in range(n):
        ids.append(draw(predict(ids)))
    return ids


def write_again(predict, draw, prompt, n):
    return (
        list(prompt) if n == 0 else write_last(predict, draw, write(predict, draw, prompt, n - 1))
    )


def write_last(predict, draw, ids):
    return np.append(ids, draw(predict(np.array(ids))))


def in_the_prompt(predict, draw, prompt, n):
    for _ in range(n):
        prompt.append(draw(predict(prompt)))
    return prompt


def writes(read=lambda ids: ids, choose=None, more=0, give=lambda ids, prompt: ids):
    """Return a writing function with a bug in it; `prompt` is the length of the prompt."""

    def write(predict, draw, prompt, n):
        ids = list(prompt)
        for _ in range(n + more):
            p = predict(read(ids))
            ids.append((choose or draw)(p))
        return give(ids, len(prompt))

    return write


def prompt_alone(predict, draw, prompt, n):
    return list(prompt) + [draw(predict(prompt)) for _ in range(n)]


def throws_away(predict, draw, prompt, n):
    ids = list(prompt)
    for _ in range(n):
        p = predict(ids)
        draw(p)
        ids.append(int(p.argmax()))
    return ids


def writes_lazily(predict, draw, prompt, n):
    yield from write(predict, draw, prompt, n)


def forgets(*given):
    list(given)


EXERCISES = {
    "pairs": Exercise(
        right=[
            lambda ids: (ids[:-1], ids[1:]),
            lambda ids: [list(part) for part in zip(*pairwise(ids), strict=True)],
        ],
        wrong=[
            (lambda ids: (ids, ids), "must be shifted"),
            (lambda ids: (ids[:-1], ids[:-1]), "must be shifted"),
            (lambda ids: (ids, ids[1:]), "differ in length"),
            (lambda ids: (ids, np.roll(ids, -1)), "N - 1 pairs"),
            (lambda ids: (ids[1:], ids[:-1]), "swap"),
            (lambda ids: (ids[:-2], ids[2:]), "shifted by two"),
            (lambda ids: (ids[:-1], np.roll(ids, -2)[:-1]), "shifted by two"),
            (lambda ids: list(pairwise(ids)), "return two arrays"),
            (lambda ids: len(ids), "return two arrays"),
            (lambda ids: (ids[1:-1], ids[2:]), "first pair is missing"),
            (lambda ids: (ids[:-2], ids[1:-1]), "last pair is missing"),
            (lambda ids: (ids[0], ids[1]), "the shapes () and ()"),
            (forgets, "forget `return`"),
            (lambda ids: (ids[:-1], ids[1:] + 1), "must be the character that follows"),
            (lambda ids: (np.array([3, 1, 4, 1, 5]), np.array([1, 4, 1, 5, 9])), "follows input i"),
            (raises, "RuntimeError: oh no"),
        ],
        unmoved=("axis_swapped", "dtype"),
    ),
    "bits_per_character": Exercise(
        arguments={"nats": LOSS},
        right=[LOSS / math.log(2), np.float64(LOSS * math.log2(math.e)), LOSS / 0.6931],
        wrong=[
            (LOSS * math.log(2), "multiplied"),
            (math.exp(LOSS), "perplexity"),
            (math.log2(LOSS), "is one already"),
            (LOSS / math.log(10), "ln 10"),
            (LOSS, "in nats"),
            (1.7, "another number"),
            (LOSS / 0.69, "rounded too early"),
            (round(LOSS / math.log(2), 2), "keep the decimals"),
            ("1.7", "finite number"),
            ("many", "finite number"),
            (math.inf, "finite number"),
        ],
        unmoved=("axis_swapped",),
    ),
    "network_parameters": Exercise(
        right=[
            lambda V, H: 4 * (H * V + H * H + 2 * H) + V * H + V,
            lambda V, H: 4 * H * (V + H + 2) + V * (H + 1),
            lambda V, H: np.int64(5 * H * V + 4 * H**2 + 8 * H + V),
        ],
        wrong=[
            (lambda V, H: (H * V + H * H + 2 * H) + V * H + V, "four such parts"),
            (lambda V, H: 3 * (H * V + H * H + 2 * H) + V * H + V, "candidate is missing"),
            (lambda V, H: 4 * (H * V + H * H + H) + V * H + V, "two bias vectors"),
            (lambda V, H: 4 * (H * V + H * H) + V * H + V, "bias vectors of the LSTM"),
            (lambda V, H: 4 * (H * V + H * H) + V * H, "no bias vector"),
            (lambda V, H: 4 * (H * V + H * H + 2 * H) + V * H, "bias of the output layer is mis"),
            (lambda V, H: 4 * (H * V + H * H + 2 * H) + V * H + H, "logits: V numbers, not H"),
            (lambda V, H: 4 * (H * V + H * H + 2 * H), "LSTM alone"),
            (lambda V, H: 4 * (H * V + 2 * H) + V * H + V, "step before are missing, (H, H)"),
            (lambda V, H: 761_944, "V = 3 and H = 5 make"),
            (lambda V, H: 4 * (V * V + H * V + 2 * V) + V * H + H, "V and H are swapped"),
            (lambda V, H: 4 * (H * V + H * H + 2 * H + V * H + V), "counted four times"),
            (lambda V, H: 4 * (H * V + H * H) + 2 * H + V * H + V, "count these four times"),
            (lambda V, H: 4 * (H * V + V * V + 2 * H) + V * H + V, "counted V · V"),
            (lambda V, H: 4 * (2 * H * H + 2 * H) + V * H + V, "counted H · H"),
            (lambda V, H: 4 * (H + V + H + H + 2 * H) + V + H + V, "is a product"),
            (lambda V, H: 4 * (H * V + H * H + 2 * H) + V * V + V, "make"),
            (lambda V, H: [V, H], "finite number"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped", "dtype", "in_place"),
    ),
    "loss_of_probabilities": Exercise(
        right=[
            lambda p: -np.log(p).mean(),
            lambda p: math.fsum(math.log(1 / one) for one in p) / len(p),
        ],
        wrong=[
            (lambda p: -math.log(math.prod(p) or 1e-300) / len(p), "right for a few"),
            (lambda p: -np.log(p.mean()), "logarithm of the mean"),
            (lambda p: -np.log(p).sum(), "sum over the text"),
            (lambda p: np.log(p).mean(), "change its sign"),
            (lambda p: -np.log2(p).mean(), "in bits"),
            (lambda p: -np.log10(p).mean(), "decimal digits"),
            (lambda p: np.exp(-np.log(p).mean()), "perplexity"),
            (lambda p: 1 - p.mean(), "one minus"),
            (lambda p: -np.log(p).max(), "1.039721; yours is 0.693147"),
            (lambda p: -np.log(p), "one number a character"),
            (lambda p: -np.log(p).mean(keepdims=True), "an array of 1."),
            (lambda p: [1.0, 2.0, 3.0, 4.0, 5.0], "an array of 5"),
            (lambda p: -math.log(math.prod(p)) / len(p), "right for a few"),
            (lambda p: -np.log(p[:3]).mean(), "first 3 alone"),
            (lambda p: -np.log(p[:64]).mean(), "first 64 alone"),
            (lambda p: -np.log(p[:1000]).mean(), "first 1000 alone"),
            (lambda p: mean_of_means(p, 64), "mean of means"),
            (lambda p: mean_of_means(p, 1000), "mean of means"),
            (lambda p: -np.log(p.clip(0.1)).mean(), "for p = (0.9, 0.02, 0.0001)"),
            (lambda p: -np.log(p.clip(0.01)).mean(), "for p = (0.9, 0.02, 0.0001)"),
            (lambda p: -np.log(p + 1e-12).mean(), "Add nothing to p"),
            (lambda p: -np.log(p.clip(1e-15)).mean(), "cut nothing off"),
            (lambda p: -np.log(p + 1e-8).mean(), "yours is 4.409208. Add nothing to p"),
            (lambda p: -np.log(p).mean().round(2), "round nothing"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped",),
    ),
    "cooled": Exercise(
        right=[
            tuple(SQUARES / SQUARES.sum()),
            [0.658, 0.237, 0.105],
            np.array([0.6579, 0.2368, 0.1053]),
        ],
        wrong=[
            ((0.5, 0.3, 0.2), "τ = 1"),
            (POWERS**0.5 / (POWERS**0.5).sum(), "τ = 2"),
            (SQUARES, "sum to 0.38"),
            (SQUARES / SQUARES.max(), "by the largest"),
            (np.exp(2 * POWERS) / np.exp(2 * POWERS).sum(), "softmax"),
            ((1, 0, 0), "τ = 0"),
            ((1.0, 0.6, 0.4), "you divided by τ"),
            ((0.25, 0.15, 0.1), "you multiplied by τ"),
            (np.exp(POWERS) / np.exp(POWERS).sum(), "τ is missing"),
            ((0.5, 0.4, 0.3), "yours to 1.200"),
            ((0.105, 0.237, 0.658), "another order"),
            ((0.66, 0.24, 0.11), "rounded too early"),
            ((0.7, 0.2, 0.1), "sum to 1, but"),
            ((0.66, 0.34), "three numbers"),
            (0.66, "three numbers"),
            ("0.66", "three numbers"),
            ({"a": 0.66}, "three numbers"),
        ],
        unmoved=("axis_swapped",),
    ),
    "clipped_epoch": Exercise(
        right=[train, trained(), trained(clip=by_numpy)],
        wrong=[
            (trained(target=lambda x, y: x, restart=True, after=True), "it must be y"),
            (trained(target=lambda x, y: y + 1), "must be its y"),
            (trained(restart=True), "zeros"),
            (trained(after=True), "clip it before"),
            (trained(clip=lambda g, limit: g), "as it came"),
            (trained(clip=turned), "turned round"),
            (
                trained(clip=lambda g, limit: g * max(1, limit / max(np.linalg.norm(g), 1e-9))),
                "`max` for `min`",
            ),
            (trained(clip=by_column), "without an axis"),
            (trained(clip=lambda g, limit: by_column(g, limit, -1)), "without an axis"),
            (trained(clip=divides), "fails for a gradient of length 0"),
            (lazily, "`yield`"),
            (trained(clip=always_scaled), "only one that is longer"),
            (trained(clip=lambda g, limit: g / max(np.linalg.norm(g), 1e-9)), "length 0.5 was"),
            (trained(clip=lambda g, limit: np.clip(g, -limit, limit)), "turns the gradient"),
            (
                trained(clip=lambda g, limit: g * min(1, limit / max(1, (g**2).sum()))),
                "yours has the length 0.2.",
            ),
            (
                trained(clip=lambda g, limit: g if (g**2).sum() <= limit**2 else g[::-1]),
                "another direction",
            ),
            (trained(clip=lambda g, limit: g * np.nan), "NaN"),
            (trained(again=True), "took 10 gradients"),
            (trained(report=sum), "yours is one number"),
            (trained(report=np.mean), "yours is one number"),
            (trained(report=lambda losses: losses[::-1]), "in order"),
            (trained(report=lambda losses: losses[-1:]), "5 numbers, and yours are 1"),
            (trained(report=lambda losses: np.array(losses) / 2), "returned, unchanged"),
            (trained(report=np.cumsum), "returned, unchanged"),
            (lambda network, batches, limit: [], "took 0 gradients and 0 steps"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped",),
    ),
    "fed_back": Exercise(
        right=[write, write_again, writes()],
        wrong=[
            (prompt_alone, "reads the prompt alone"),
            (writes(read=lambda ids: ids[-1:]), "last character alone"),
            (writes(read=lambda ids: ids[1:] + ids[:1]), "in order"),
            (writes(choose=lambda p: int(p.argmax())), "is no draw"),
            (
                writes(choose=lambda p: int(np.random.default_rng(0).choice(4, p=p))),
                "not with `draw`",
            ),
            (throws_away, "thrown away"),
            (writes(choose=lambda p: p), "append what `draw` returns"),
            (writes(choose=lambda p: p.max()), "append what `draw` returns"),
            (writes_lazily, "`yield`"),
            (writes(read=lambda ids: ids[-8:]), "the last 8 ids alone"),
            (writes(read=lambda ids: ids[-64:]), "the last 64 ids alone"),
            (
                lambda *given: write(given[0], lambda p: given[1](p**2), *given[2:]),
                "what `predict` has returned",
            ),
            (
                lambda *given: write(given[0], lambda p: given[1](np.full(4, 0.25)), *given[2:]),
                "what `predict` has returned",
            ),
            (writes(more=1), "7 were drawn"),
            (writes(more=-1), "5 were drawn"),
            (writes(give=lambda ids, prompt: ids[prompt:]), "prompt is missing"),
            (writes(give=lambda ids, prompt: ids[prompt:] + ids[:prompt]), "return the prompt"),
            (in_the_prompt, "changed what it was given"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped", "dtype"),
    ),
}
