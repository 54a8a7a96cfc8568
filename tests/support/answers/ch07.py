"""Right and wrong answers to the exercises of chapter 07."""

import math

import numpy as np
import torch

from answers import Exercise, raises
from lstmlib.generation import generate
from lstmlib.sampling import draw


def forgets(*given):
    str(given)


def powers(p, tau):
    z = np.log(p) / tau
    return np.exp(z - z.max()) / np.exp(z - z.max()).sum()


def as_it_stands(p, tau):
    return p ** (1 / tau) / (p ** (1 / tau)).sum()


def greedy_when_cold(p, tau, limit=0.01):
    if tau < limit:
        return np.eye(len(p))[p.argmax()]
    return powers(p, tau)


def normalised_in_place(p, tau):
    p /= p.max()
    return powers(p, tau)


def below_share(p):
    """What the more probable ones have together, for each."""
    order = np.argsort(-p, kind="stable")
    before = np.empty_like(p)
    before[order] = p[order].cumsum() - p[order]
    return before


def keep(p, kept):
    return np.where(kept, p, 0) / np.where(kept, p, 0).sum()


def by_search(p, share):
    order = np.argsort(-p)
    last = np.searchsorted(p[order].cumsum(), share)
    q = np.zeros_like(p)
    q[order[: last + 1]] = p[order[: last + 1]]
    return q / q.sum()


def nucleus_in_place(p, share):
    p[below_share(p) >= share] = 0
    return p / p.sum()


def min_p_in_place(p, share):
    p[p < share * p.max()] = 0
    p /= p.sum()
    return p


def in_a_loop(p, u):
    total = 0.0
    for i in sorted(range(len(p)), key=lambda i: -p[i]):
        total += p[i]
        if total > u:
            return i
    return i


def falling(p):
    return np.sort(p)[::-1].cumsum()


def sampler(logits, tau, k, u, total="kept", shift=True, cut=True, sort=False, scale=True):
    """The sampler of the exercise, mended, or with one of its faults."""
    z = (logits - logits.max() if shift else logits) / (tau if scale else 1)
    weights = np.exp(z)
    whole = weights.sum()
    if cut:
        weights[np.argsort(-z)[k:]] = 0
    if sort:
        weights = np.sort(weights)[::-1]
    sums = weights.cumsum() / (weights.sum() if total == "kept" else whole)
    return int(min(np.searchsorted(sums, u, side="right"), len(logits) - 1))


def sampler_in_logarithms(logits, tau, k, u):
    order = np.argsort(-logits)[:k]
    z = logits[order].astype(float) / tau
    return int(order[draw(z, u)])


def sampler_in_place(logits, tau, k, u):
    logits -= logits.max()
    return sampler(logits, tau, k, u)


def write(model, vocab, prompt, length, seed):
    rng, text = np.random.default_rng(seed), prompt
    ids, state = torch.from_numpy(vocab.encode(prompt))[None], None
    for _ in range(length):
        with torch.no_grad():
            logits, state = model(ids, state)
        i = int(draw(logits[0, -1], rng.random()))
        text += vocab.tokens[i]
        ids = torch.tensor([[i]])
    return text


def read_again(model, vocab, prompt, length, seed, carry=False):
    """Read the whole text at every step: slow, and right; with the state carried on, wrong."""
    rng, text, state = np.random.default_rng(seed), prompt, None
    for _ in range(length):
        with torch.no_grad():
            logits, after = model(torch.from_numpy(vocab.encode(text))[None], state)
        state = after if carry else None
        text += vocab.tokens[int(draw(logits[0, -1], rng.random()))]
    return text


def forget(model, vocab, prompt, length, seed, of_prompt=False):
    rng, text = np.random.default_rng(seed), prompt
    ids, state = torch.from_numpy(vocab.encode(prompt))[None], None
    for _ in range(length):
        with torch.no_grad():
            logits, after = model(ids, state)
        state = state or after if of_prompt else None
        i = int(draw(logits[0, -1], rng.random()))
        text, ids = text + vocab.tokens[i], torch.tensor([[i]])
    return text


def one_number_for_all(model, vocab, prompt, length, seed):
    text, state = prompt, None
    ids = torch.from_numpy(vocab.encode(prompt))[None]
    for _ in range(length):
        with torch.no_grad():
            logits, state = model(ids, state)
        i = int(draw(logits[0, -1], np.random.default_rng(seed).random()))
        text, ids = text + vocab.tokens[i], torch.tensor([[i]])
    return text


EXERCISES = {
    "tempered": Exercise(
        right=[
            powers,
            lambda p, tau: (lambda z: z / z.sum())(np.exp(np.log(p / p.max()) / tau)),
            lambda p, tau: torch.softmax(torch.from_numpy(p).log() / tau, 0).numpy(),
            lambda p, tau: as_it_stands(p / p.max(), tau),
        ],
        wrong=[
            (as_it_stands, "rounded to 0"),
            (greedy_when_cold, "share the draws"),
            (lambda p, tau: greedy_when_cold(p, tau, 1e-5), "share the draws"),
            (normalised_in_place, "changes the p"),
            (lambda p, tau: powers(p + 1e-12, tau), "a 0 in it"),
            (lambda p, tau: powers(p[:4], tau), "as many probabilities"),
            (lambda p, tau: p ** (1 / tau), "divided by their sum"),
            (lambda p, tau: p**tau / (p**tau).sum(), "1/τ, not τ"),
            (lambda p, tau: np.exp(p / tau) / np.exp(p / tau).sum(), "p is no logit"),
            (lambda p, tau: p, "to the power 1/τ"),
            (lambda p, tau: p.max(), "as many probabilities"),
            (forgets, "forget `return`"),
            (raises, "RuntimeError: oh no"),
        ],
        unmoved=("axis_swapped",),
    ),
    "tempered_by_hand": Exercise(
        right=[
            (0.25 / 0.38, 0.09 / 0.38, 0.04 / 0.38),
            [0.658, 0.237, 0.105],
            np.array([0.6579, 0.2368, 0.1053]),
        ],
        wrong=[
            ((0.25, 0.09, 0.04), "divide each by their sum"),
            (tuple(np.sqrt([0.5, 0.3, 0.2]) / np.sqrt([0.5, 0.3, 0.2]).sum()), "took roots"),
            ((1.0, 0.6, 0.4), "not the probability"),
            ((0.5, 0.3, 0.2), "as they were"),
            (tuple(np.exp([1.0, 0.6, 0.4]) / np.exp([1.0, 0.6, 0.4]).sum()), "p is no logit"),
            ((0.105, 0.237, 0.658), "square each"),
            ((65.8, 23.7, 10.5), "sum to 1"),
            ((1, 0, 0), "square each"),
            ((0.658, 0.237), "three numbers"),
            (0.658, "three numbers"),
            (("0.658", 0.237, 0.105), "finite number"),
        ],
        unmoved=("axis_swapped",),
    ),
    "entropy_by_hand": Exercise(
        right=[1.5 * math.log(2), 1.04, -math.log(0.5) * 0.5 - math.log(0.25) * 0.5],
        wrong=[
            (1.5, "in bits"),
            (-1.5 * math.log(2), "never negative"),
            (math.log(4), "equal probabilities"),
            (math.log(3), "equal probabilities"),
            (5 * math.log(2), "as often as it comes"),
            (5 / 3 * math.log(2), "as often as it comes"),
            (math.exp(1.5 * math.log(2)), "perplexity"),
            (0.0, "add up"),
            (math.nan, "finite number"),
            ("1.04", "finite number"),
        ],
        unmoved=("axis_swapped",),
    ),
    "drawn": Exercise(
        right=[
            in_a_loop,
            lambda p, u: np.argsort(-p)[np.searchsorted(falling(p), u, side="right")],
            lambda p, u: sorted(range(len(p)), key=lambda i: -p[i])[int((falling(p) <= u).sum())],
            lambda p, u: int(draw(np.log(p), u)),
        ],
        wrong=[
            (lambda p, u: int(p.argmax()), "always the same"),
            (lambda p, u: int((p.cumsum() <= u).sum()), "from id 0"),
            (lambda p, u: int((falling(p) <= u).sum()), "the place in the sorted"),
            (lambda p, u: int(np.argsort(p)[(np.sort(p).cumsum() < u).sum()]), "least probable"),
            (lambda p, u: 3 - int((falling(p) <= u).sum()), "take the first"),
            (lambda p, u: np.argsort(-p)[np.searchsorted(falling(p), 1 - u)], "as 1 - u"),
            (lambda p, u: in_a_loop(p, 1 - u), "as 1 - u"),
            (lambda p, u: float(in_a_loop(p, u)), "of the type float"),
            (lambda p, u: np.float64(in_a_loop(p, u)), "of the type float64"),
            (lambda p, u: [in_a_loop(p, u)], "one id"),
            (lambda p, u: np.argsort(-p)[np.searchsorted(falling(p), u)], "must be above u"),
            (lambda p, u: in_a_loop(p[:4], u), "any length"),
            (lambda p, u: p, "one id"),
            (forgets, "forget `return`"),
        ],
        unmoved=("axis_swapped", "dtype"),
    ),
    "nucleus": Exercise(
        right=[lambda p, share: keep(p, below_share(p) < share), by_search],
        wrong=[
            (lambda p, share: np.where(below_share(p) < share, p, 0), "must be divided"),
            (lambda p, share: keep(p, below_share(p) + p <= share), "belongs to the"),
            (lambda p, share: np.sort(keep(p, below_share(p) < share))[::-1], "sorted order"),
            (nucleus_in_place, "changes the p"),
            (
                lambda p, share: keep(p, (below_share(p) < share) & (share > 0.4)),
                "most probable one has more",
            ),
            (lambda p, share: keep(p, below_share(p) <= share), "reached it"),
            (lambda p, share: keep(p, below_share(p) < share)[below_share(p) < share], "as many"),
            (lambda p, share: keep(p, p.cumsum() - p < share), "sort"),
            (lambda p, share: keep(p, p.cumsum() <= share), "sort"),
            (lambda p, share: p, "sort, add up"),
            (raises, "RuntimeError: oh no"),
        ],
        unmoved=("axis_swapped",),
    ),
    "min_p": Exercise(
        right=[
            lambda p, share: keep(p, p >= share * p.max()),
            lambda p, share: p * (p >= share * p.max()) / p[p >= share * p.max()].sum(),
        ],
        wrong=[
            (lambda p, share: np.where(p >= share * p.max(), p, 0), "must be divided"),
            (lambda p, share: keep(p, p >= share), "not the share itself"),
            (lambda p, share: keep(p, p > share * p.max()), "at least, not more than"),
            (lambda p, share: keep(p, p <= share * p.max()), "keeps the improbable"),
            (lambda p, share: keep(p, p == p.max()), "the largest alone"),
            (lambda p, share: np.sort(keep(p, p >= share * p.max()))[::-1], "sorted order"),
            (lambda p, share: keep(p, p >= p.max() - share), "share of the largest"),
            (lambda p, share: keep(p, below_share(p) < share), "largest alone"),
            (lambda p, share: keep(p, p >= share * p.mean()), "share of the largest"),
            (
                lambda p, share: keep(
                    p, (p >= share * p.max()) & ((share < 1) | (below_share(p) == 0))
                ),
                "both stay",
            ),
            (min_p_in_place, "changes the p"),
            (lambda p, share: p[p >= share * p.max()], "as many probabilities"),
            (raises, "RuntimeError: oh no"),
        ],
        unmoved=("axis_swapped",),
    ),
    "mended_sampler": Exercise(
        right=[sampler, sampler_in_logarithms],
        wrong=[
            (lambda *given: sampler(*given, total="whole", shift=False), "ruled it out"),
            (lambda *given: sampler(*given, total="whole"), "ruled it out"),
            (lambda *given: sampler(*given, shift=False), "infinite or all 0"),
            (lambda *given: sampler(*given, cut=False), "ruled it out"),
            (lambda *given: sampler(*given, sort=True), "should be"),
            (lambda *given: sampler(*given, scale=False), "at τ = 0.5"),
            (lambda logits, tau, k, u: sampler(logits, 1 / tau, k, u), "at τ = 0.5"),
            (lambda logits, tau, k, u: int(logits.argmax()), "should be"),
            (lambda logits, tau, k, u: sampler(logits, tau, 3, u), "ruled it out"),
            (lambda logits, tau, k, u: sampler(logits[:5], tau, k, u), "19 logits"),
            (lambda *given: sampler(*given) + 0.5, "return one id"),
            (lambda logits, tau, k, u: logits, "return one id"),
            (sampler_in_place, "changes the logits"),
            (forgets, "forget `return`"),
        ],
        unmoved=("axis_swapped", "dtype"),
    ),
    "mended_writer": Exercise(
        right=[
            write,
            lambda model, vocab, prompt, length, seed: (
                generate(model, vocab, prompt, length, seed=seed).text
            ),
            read_again,
        ],
        wrong=[
            (forget, "state is still lost"),
            (lambda *given: forget(*given, of_prompt=True), "after the prompt"),
            (lambda *given: read_again(*given, carry=True), "read once"),
            (one_number_for_all, "read once"),
            (lambda m, v, prompt, *given: write(m, v, prompt, *given)[len(prompt) :], "the prompt"),
            (lambda m, v, prompt, n, seed: write(m, v, prompt, n + 1, seed), "characters"),
            (lambda m, v, prompt, n, seed: write(m, v, prompt, n, seed + 1), "another text"),
            (lambda m, v, prompt, n, seed: list(write(m, v, prompt, n, seed)), "a text is asked"),
            (forgets, "forget `return`"),
            (raises, "RuntimeError: oh no"),
        ],
        unmoved=("axis_swapped", "sign", "dtype", "in_place"),
    ),
}
