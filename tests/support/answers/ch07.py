"""Right and wrong answers to the exercises of chapter 07."""

import numpy as np

from answers import Exercise, raises


def below_share(p):
    """What the more probable ones have together, for each."""
    order = np.argsort(-p, kind="stable")
    before = np.empty_like(p)
    before[order] = p[order].cumsum() - p[order]
    return before


def keep_nucleus(p, kept):
    return np.where(kept, p, 0) / np.where(kept, p, 0).sum()


EXERCISES = {
    "tempered": Exercise(
        arguments={},
        right=[lambda p, tau: (lambda z: z / z.sum())(np.exp(np.log(p / p.max()) / tau))],
        wrong=[
            (lambda p, tau: p ** (1 / tau) / (p ** (1 / tau)).sum(), "rounded to 0"),
            (lambda p, tau: p ** (1 / tau), "divided by their sum"),
            (lambda p, tau: p**tau / (p**tau).sum(), "1/τ, not τ"),
            (lambda p, tau: np.exp(p / tau) / np.exp(p / tau).sum(), "p is no logit"),
            (lambda p, tau: p, "to the power 1/τ"),
            (lambda p, tau: None, "forget `return`"),
            (raises, "RuntimeError: oh no"),
        ],
    ),
    "nucleus": Exercise(
        arguments={},
        right=[lambda p, share: keep_nucleus(p, (below_share(p) < share))],
        wrong=[
            (lambda p, share: np.where(below_share(p) < share, p, 0), "must be divided"),
            (lambda p, share: keep_nucleus(p, below_share(p) + p <= share), "belongs to the"),
            (
                lambda p, share: keep_nucleus(p, (below_share(p) < share) & (share > 0.4)),
                "most probable one has more",
            ),
            (lambda p, share: keep_nucleus(p, p.cumsum() - p < share), "sort"),
            (lambda p, share: keep_nucleus(p, p.cumsum() <= share), "sort"),
            (lambda p, share: p, "sort, add up"),
            (raises, "RuntimeError: oh no"),
        ],
    ),
    "drawn": Exercise(
        arguments={},
        right=[
            lambda p, u: sorted(range(4), key=lambda i: -p[i])[
                int((np.sort(p)[::-1].cumsum() <= u).sum())
            ]
        ],
        wrong=[
            (lambda p, u: int(p.argmax()), "always the same"),
            (lambda p, u: int((p.cumsum() <= u).sum()), "from id 0"),
            (lambda p, u: int((np.sort(p)[::-1].cumsum() <= u).sum()), "the place in the sorted"),
            (lambda p, u: int(np.argsort(p)[(np.sort(p).cumsum() < u).sum()]), "least probable"),
            (lambda p, u: 3 - int((np.sort(p)[::-1].cumsum() <= u).sum()), "take the first"),
            (lambda p, u: p, "one id"),
            (lambda p, u: None, "forget `return`"),
        ],
    ),
}
