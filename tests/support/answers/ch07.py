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


def of_quotients(p, tau, largest):
    q = np.exp(np.log(p) / tau - largest)
    return q / q.sum()


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


def nucleus_with_ties(p, share):
    return keep(p, p >= p[below_share(p) < share].min())


def nucleus_in_place(p, share):
    p[below_share(p) >= share] = 0
    return p / p.sum()


def min_p_in_place(p, share):
    p[p < share * p.max()] = 0
    p /= p.sum()
    return p


def in_a_loop(p, u, last="of those with a probability"):
    total = 0.0
    order = sorted(range(len(p)), key=lambda i: -p[i])
    for i in order:
        total += p[i]
        if total > u:
            return i
    if last is None:
        return None
    return [i for i in order if p[i] > 0][-1] if last == "of those with a probability" else i


def falling(p):
    return np.sort(p)[::-1].cumsum()


def whole(sums):
    return sums / sums[-1]


def sampler(
    logits, tau, k, u, total="kept", shift=True, cut=True, sort=False, scale=True, side="right"
):
    """The sampler of the exercise, mended, or with one of its faults."""
    z = (logits - logits.max() if shift else logits) / (tau if scale else 1)
    weights = np.exp(z)
    of_all = weights.sum()
    if cut:
        weights[np.argsort(-z)[k:]] = 0
    if sort:
        weights = np.sort(weights)[::-1]
    totals = {"kept": weights.cumsum()[-1], "whole": of_all, "sum": weights.sum()}
    sums = (weights / weights.sum()).cumsum() if total == "first" else weights.cumsum()
    sums /= totals.get(total, 1)
    return int(min(np.searchsorted(sums, u, side=side), len(logits) - 1))


def sampler_in_logarithms(logits, tau, k, u):
    order = np.argsort(-logits)[:k]
    z = logits[order].astype(float) / tau
    return int(order[draw(z, u)])


def sampler_with_ties(logits, tau, k, u):
    weights = np.exp((logits - logits.max()) / tau)
    weights[logits < np.sort(logits)[-k]] = 0
    sums = weights.cumsum()
    return int(np.searchsorted(sums / sums[-1], u, side="right"))


def sampler_of_the_smallest(logits, tau, k, u):
    weights = np.exp((logits - logits.max()) / tau)
    weights[np.argsort(logits)[k:]] = 0
    sums = weights.cumsum()
    return int(np.searchsorted(sums / sums[-1], u, side="right"))


def sampler_greedy_when_cold(logits, tau, k, u):
    return int(logits.argmax()) if tau < 0.01 else sampler(logits, tau, k, u)


def sampler_in_place(logits, tau, k, u):
    logits -= logits.max()
    return sampler(logits, tau, k, u)


def write(model, vocab, prompt, length, seed, place=-1):
    rng, text = np.random.default_rng(seed), prompt
    ids, state = torch.from_numpy(vocab.encode(prompt))[None], None
    for _ in range(length):
        with torch.no_grad():
            logits, state = model(ids, state)
        i = int(draw(logits[0, place], rng.random()))
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


def half_a_state(model, vocab, prompt, length, seed, keep_h=True):
    rng, text = np.random.default_rng(seed), prompt
    ids, state = torch.from_numpy(vocab.encode(prompt))[None], None
    for _ in range(length):
        with torch.no_grad():
            logits, (h, c) = model(ids, state)
        state = (h, torch.zeros_like(c)) if keep_h else (torch.zeros_like(h), c)
        i = int(draw(logits[0, -1], rng.random()))
        text, ids = text + vocab.tokens[i], torch.tensor([[i]])
    return text


def reads_the_last(model, vocab, prompt, length, seed, last=100):
    rng, text = np.random.default_rng(seed), prompt
    for _ in range(length):
        with torch.no_grad():
            logits, _ = model(torch.from_numpy(vocab.encode(text[-last:]))[None])
        text += vocab.tokens[int(draw(logits[0, -1], rng.random()))]
    return text


def with_choice(model, vocab, prompt, length, seed):
    rng, text = np.random.default_rng(seed), prompt
    ids, state = torch.from_numpy(vocab.encode(prompt))[None], None
    for _ in range(length):
        with torch.no_grad():
            logits, state = model(ids, state)
        p = torch.softmax(logits[0, -1].double(), 0).numpy()
        i = int(rng.choice(len(p), p=p / p.sum()))
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
            (
                lambda p, tau: greedy_when_cold(p, tau) if tau < 1e-3 else as_it_stands(p, tau),
                "needs a line of its own",
            ),
            (normalised_in_place, "changes the p"),
            (lambda p, tau: powers(p + 1e-12, tau), "a 0 in it"),
            (lambda p, tau: powers(p[:4], tau), "as many probabilities"),
            (lambda p, tau: p ** (1 / tau), "divide by their sum"),
            (lambda p, tau: p**tau / (p**tau).sum(), "1/τ, not τ"),
            (lambda p, tau: np.exp(p / tau) / np.exp(p / tau).sum(), "p is no logit"),
            (lambda p, tau: p, "to the power 1/τ"),
            (lambda p, tau: powers(np.exp(np.log2(p)), tau), "np.exp undoes np.log"),
            (lambda p, tau: powers(np.exp(np.log10(p)), tau), "np.exp undoes np.log"),
            (lambda p, tau: p.max(), "as many probabilities"),
            (lambda p, tau: powers(p.astype(np.float32), tau), "64 bits"),
            (lambda p, tau: powers(p, max(tau, 0.01)), "held at a limit"),
            (lambda p, tau: powers(p, max(tau, 0.1)), "held at a limit"),
            (lambda p, tau: keep(powers(p, tau), powers(p, tau) > 1e-3), "are dropped"),
            (lambda p, tau: of_quotients(p, tau, np.log(p).max()), "the largest of the quotients"),
            (lambda p, tau: np.log(powers(p, tau)), "np.exp is missing"),
            (lambda p, tau: np.log(p) / tau - (np.log(p) / tau).max(), "np.exp is missing"),
            (lambda p, tau: (p / p.max()) ** (1 / tau), "divide by their sum"),
            (lambda p, tau: np.round(powers(p, tau), 4), "do not round"),
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
            torch.tensor([0.6579, 0.2368, 0.1053]),
        ],
        wrong=[
            ((0.66, 0.24, 0.11), "three digits"),
            ((0.660, 0.236, 0.104), "three digits"),
            ((0.657, 0.236, 0.105), "do not cut it off"),
            ((0.658, 0.237, 0.106), "do not always round up"),
            (torch.tensor(0.658), "three numbers"),
            ((0.25, 0.09, 0.04), "divide each by their sum"),
            (tuple(np.sqrt([0.5, 0.3, 0.2]) / np.sqrt([0.5, 0.3, 0.2]).sum()), "took roots"),
            ((1.0, 0.6, 0.4), "not the probability"),
            ((0.5, 0.3, 0.2), "as they were"),
            (tuple(np.exp([1.0, 0.6, 0.4]) / np.exp([1.0, 0.6, 0.4]).sum()), "p is no logit"),
            ((0.105, 0.237, 0.658), "in another order"),
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
            (1.0, "rounded too much"),
            (1.05, "rounded too much"),
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
            lambda p, u: np.argsort(-p)[np.searchsorted(whole(falling(p)), u, side="right")],
            lambda p, u: np.argsort(-p)[
                np.searchsorted(falling(p), u * falling(p)[-1], side="right")
            ],
            lambda p, u: sorted(range(len(p)), key=lambda i: -p[i])[
                int((whole(falling(p)) <= u).sum())
            ],
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
            (
                lambda p, u: np.argsort(-p)[np.searchsorted(falling(p), u, side="right")],
                "finds no id",
            ),
            (
                lambda p, u: (
                    (u < 0.99999 or p.dtype == np.float64 or len(p) < 12 or p[len(p)])
                    and in_a_loop(p, u)
                ),
                "finds no id",
            ),
            (lambda p, u: in_a_loop(p, u, last=None), "finds no id"),
            (lambda p, u: in_a_loop(p, u, last="any"), "has probability 0"),
            (
                lambda p, u: np.argsort(-p)[
                    min(np.searchsorted(falling(p), u, side="right"), len(p) - 1)
                ],
                "has probability 0",
            ),
            (lambda p, u: p, "one id"),
            (forgets, "forget `return`"),
        ],
        unmoved=("axis_swapped", "dtype"),
    ),
    "nucleus": Exercise(
        right=[lambda p, share: keep(p, below_share(p) < share), by_search],
        wrong=[
            (nucleus_with_ties, "the fewest"),
            (lambda p, share: keep(p, p >= share * p.max()), "that is min-p"),
            (lambda p, share: keep(p, p >= 1 - share), "its own probability alone"),
            (lambda p, share: keep(p, below_share(p) < share - 1e-3), "the share itself"),
            (lambda p, share: keep(p, below_share(p) < share + 1e-3), "reached it"),
            (
                lambda p, share: p if share == 1 else keep(p, below_share(p) < share),
                "caller's own array",
            ),
            (lambda p, share: np.where(below_share(p) < share, p / share, 0), "the last step is"),
            (
                lambda p, share: (lambda k: k / k.sum())(1.0 * (below_share(p) < share)),
                "the last step is",
            ),
            (
                lambda p, share: (
                    np.where(below_share(p) < share, p, 1e-12) / p[below_share(p) < share].sum()
                ),
                "0 exactly",
            ),
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
            (
                lambda p, share: np.where(
                    p >= share * p.max(), keep(p, p >= share * p.max()), 1e-12
                ),
                "0 exactly",
            ),
            (lambda p, share: keep(p, p >= share * p.max()) if share else p, "caller's own array"),
            (lambda p, share: np.where(p >= share * p.max(), p, 0), "must be divided"),
            (lambda p, share: keep(p, p >= share), "not the share itself"),
            (lambda p, share: keep(p, p > share * p.max()), "at least, not more than"),
            (lambda p, share: keep(p, p <= share * p.max()), "keeps the improbable"),
            (lambda p, share: keep(p, p == p.max()), "the largest alone"),
            (lambda p, share: np.sort(keep(p, p >= share * p.max()))[::-1], "sorted order"),
            (lambda p, share: keep(p, p >= p.max() - share), "share of the largest"),
            (lambda p, share: keep(p, below_share(p) < share), "largest alone"),
            (lambda p, share: keep(p, p >= (1 - share) * p.max()), "0.28 and 0.2 have more"),
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
            (lambda *given: sampler(*given, side="left"), "at u = 0"),
            (lambda *given: sampler(*given, total="first"), "below 1 by a rounding"),
            (lambda *given: sampler(*given, total="sum"), "below 1 by a rounding"),
            (sampler_with_ties, "of equal ones"),
            (sampler_of_the_smallest, "keeps the wrong ids"),
            (lambda logits, tau, k, u: sampler(logits, tau, k + 1, u), "keeps the wrong ids"),
            (lambda *given: sampler(*given, total="whole"), "left sum to 1"),
            (sampler_greedy_when_cold, "argmax is the limit"),
            (lambda logits, tau, k, u: sampler(logits, max(tau, 0.01), k, u), "held at a limit"),
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
            (lambda *given: read_again(*given, carry=True), "the state is wrong"),
            (one_number_for_all, "the state is right, but the draw"),
            (with_choice, "the state is right, but the draw"),
            (half_a_state, "both h and c"),
            (lambda *given: half_a_state(*given, keep_h=False), "both h and c"),
            (lambda *given: write(*given, place=0), "at the last position of the prompt"),
            (reads_the_last, "the state is wrong"),
            (lambda *given: reads_the_last(*given, last=60), "the state is wrong"),
            (lambda m, v, prompt, *given: write(m, v, prompt, *given)[len(prompt) :], "the prompt"),
            (lambda m, v, prompt, n, seed: write(m, v, prompt, n + 1, seed), "characters"),
            (lambda m, v, prompt, n, seed: write(m, v, prompt, n, seed + 1), "but the draw"),
            (lambda m, v, prompt, n, seed: list(write(m, v, prompt, n, seed)), "a text is asked"),
            (forgets, "forget `return`"),
            (raises, "RuntimeError: oh no"),
        ],
        unmoved=("axis_swapped", "sign", "dtype", "in_place"),
    ),
}
