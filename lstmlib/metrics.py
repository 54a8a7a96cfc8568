"""How good is it? Units of loss, n-gram baselines to hold a loss against, measures of a text."""

import math
import re
from collections.abc import Sequence, Set

import numpy as np


def bits(nats: float) -> float:
    """Turn nats (natural logarithm) into bits (logarithm to base 2)."""
    return nats / math.log(2)


def perplexity(nats: float) -> float:
    """Return e^nats: the number of equally likely characters that would give this loss."""
    return math.exp(nats)


class NGramModel:
    """A character n-gram model with Witten–Bell smoothing (Witten & Bell 1991, method C).

    With h a context of n - 1 characters, h' the same without its first one, N(h) its count and T(h)
    the number of distinct characters seen after it,

        P(c | h) = (N(h c) + T(h) · P(c | h')) / (N(h) + T(h)),

    and P(c | h) = P(c | h') where h was never seen. Below the unigram stands the uniform
    distribution, so no character has probability 0.

    Args:
        ids: (N,) integers, the training text.
        order: n, from 1 (unigram) up.
        vocab_size: number of tokens V; every id lies in 0 … V - 1.

    Raises:
        ValueError: an order below 1, a text shorter than the order, an id outside 0 … V - 1, or V^n
            beyond 64 bits.
    """

    def __init__(self, ids: np.ndarray, order: int, vocab_size: int) -> None:
        if order < 1:
            raise ValueError(f"order is {order}; it must be 1 (unigram) or more.")
        if len(ids) < order:
            raise ValueError(f"A text of {len(ids)} characters is too short for order {order}.")
        if np.min(ids) < 0 or np.max(ids) >= vocab_size:
            raise ValueError(f"ids must lie in 0 … {vocab_size - 1}, below vocab_size.")
        if vocab_size**order >= 2**63:
            raise ValueError(f"{vocab_size} tokens at order {order} do not fit into 64 bits.")
        self.order, self.vocab_size = order, vocab_size
        self._grams, self._contexts = [], []
        for n in range(1, order + 1):
            grams, counts = np.unique(self._codes(ids, n), return_counts=True)
            contexts, first, types = np.unique(
                grams // vocab_size, return_index=True, return_counts=True
            )
            totals = np.add.reduceat(counts, first)
            self._grams.append((grams, counts))
            self._contexts.append((contexts, totals, types))

    def _codes(self, ids: np.ndarray, n: int) -> np.ndarray:
        """Return each n-gram of ids as one number: its digits to base V."""
        ids = np.asarray(ids, dtype=np.int64)
        codes = np.zeros(len(ids) - n + 1, dtype=np.int64)
        for k in range(n):
            codes = codes * self.vocab_size + ids[k : len(ids) - n + 1 + k]
        return codes

    def _refine(self, p: np.ndarray, codes: np.ndarray, n: int) -> np.ndarray:
        """From P(c | h'), (m,), make P(c | h) of the n-grams with these codes, (m,)."""
        grams, counts = self._grams[n - 1]
        contexts, totals, types = self._contexts[n - 1]
        seen = _look_up(grams, counts, codes)
        total = _look_up(contexts, totals, codes // self.vocab_size)
        kinds = _look_up(contexts, types, codes // self.vocab_size)
        return np.where(total > 0, (seen + kinds * p) / np.maximum(total + kinds, 1), p)

    def probabilities(self, ids: np.ndarray) -> np.ndarray:
        """Return the probability of every character after the first, (len(ids) - 1,).

        Near the start, where the context is shorter than n - 1, all of it counts.
        """
        p = np.full(len(ids) - 1, 1 / self.vocab_size)
        for n in range(1, min(self.order, len(ids)) + 1):
            codes = self._codes(ids, n)
            if n == 1:
                codes = codes[1:]  # the first character is given, not predicted
            p[-len(codes) :] = self._refine(p[-len(codes) :], codes, n)
        return p

    def next_probabilities(self, context: np.ndarray) -> np.ndarray:
        """Return the distribution of the character after a context: (V,), sums to 1."""
        context = np.asarray(context, dtype=np.int64)
        p = np.full(self.vocab_size, 1 / self.vocab_size)
        for n in range(1, min(self.order, len(context) + 1) + 1):
            history = context[len(context) - n + 1 :]
            code = int(self._codes(history, n - 1)[0]) if n > 1 else 0
            p = self._refine(p, code * self.vocab_size + np.arange(self.vocab_size), n)
        return p

    def nats_per_char(self, ids: np.ndarray) -> float:
        """Return the mean loss over a text in nats per character, the first one not counted.

        Raises:
            ValueError: a text of under 2 characters.
        """
        if len(ids) < 2:
            raise ValueError(f"A text of {len(ids)} characters has no character to predict.")
        return float(-np.log(self.probabilities(ids)).mean())


def _look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the value of each wanted key, 0 where sorted keys do not hold it."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)


def grams(items: Sequence, n: int) -> list:
    """Return all n-grams of a sequence, in order.

    Args:
        items: characters (a text, whose n-grams are texts), words, or ids.
        n: items of an n-gram, 1 or more.

    Raises:
        ValueError: n is below 1, or the sequence has fewer items.
    """
    if n < 1:
        raise ValueError(f"n is {n}; it must be 1 or more.")
    if len(items) < n:
        raise ValueError(f"A sequence of {len(items)} items has no {n}-gram.")
    if hasattr(items, "tolist"):  # an array or a tensor, whose entries would not be hashed by value
        items = items.tolist()
    if isinstance(items, str):
        return [items[k : k + n] for k in range(len(items) - n + 1)]
    return list(zip(*(items[k:] for k in range(n)), strict=False))


def distinct(items: Sequence, n: int) -> float:
    """Return distinct-n, the share of different n-grams among all of a sequence (Li et al. 2016).

    Raises:
        ValueError: n is below 1, or the sequence has fewer items.
    """
    found = grams(items, n)
    return len(set(found)) / len(found)


def novelty(items: Sequence, seen: Set, n: int) -> float:
    """Return the share of a sequence's n-grams that are not among those seen, `set(grams(…, n))`.

    Raises:
        ValueError: n is below 1, or the sequence has fewer items.
    """
    found = grams(items, n)
    return sum(gram not in seen for gram in found) / len(found)


def words(text: str) -> list[str]:
    """Return the words of a text, in order: runs of letters, digits and underscores."""
    return re.findall(r"\w+", text)


def known_words(text: str, known: Set[str]) -> float:
    """Return the share of a text's words that are among the known ones.

    The last word is not counted, since the text may break off inside it.

    Raises:
        ValueError: there is no word to count.
    """
    counted = words(text)[:-1]
    if not counted:
        raise ValueError("The text has no whole word.")
    return sum(word in known for word in counted) / len(counted)
