"""Models that count: how often does a character follow the n - 1 before it?

Sizes in comments: N ids, V tokens, m n-grams.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from lstmlib.validation import check_ids, check_whole


class NGramModel:
    """A character n-gram model with Witten–Bell smoothing (Witten & Bell 1991, method C).

    Let h be a context of n - 1 characters, and h' the same without its first one. N(h) is how often
    the text has h, and T(h) is the number of distinct characters that follow it. Then

        P(c | h) = (N(h c) + T(h) · P(c | h')) / (N(h) + T(h)),

    and P(c | h) = P(c | h') if the text does not have h. P(c | h') is computed in the same way. The
    unigram is smoothed with the uniform distribution, so no character has probability 0.

    Args:
        ids: the training text, (N,) integers.
        order: n, 1 (unigram) or more.
        vocab_size: number of tokens V; every id lies in 0 … V - 1.

    Raises:
        ValueError: the order is not a whole number, 1 or more; the text is shorter than the order;
            an id is outside 0 … V - 1; or N · V is beyond 64 bits.
    """

    def __init__(self, ids: np.ndarray, order: int, vocab_size: int) -> None:
        check_whole("order", order, hint="; 1 is the unigram")
        if len(ids) < order:
            raise ValueError(f"A text of {len(ids)} characters is too short for order {order}.")
        self._count(np.asarray(ids), np.ones(len(ids), dtype=bool), order, vocab_size)

    @classmethod
    def of_sequences(
        cls, sequences: Sequence[np.ndarray], order: int, vocab_size: int
    ) -> "NGramModel":
        """Return the model of whole sequences. No context reaches from one into the next.

        Args:
            sequences: the ids of each, such as `Vocab.frame` returns. The first id, `.start`, is
                given, and not predicted. Where a context is too short, `.start` fills it up.
            order, vocab_size: as for a text.

        Raises:
            ValueError: as for a text; there is no sequence; or one has fewer than 2 ids.
        """
        check_whole("order", order, hint="; 1 is the unigram")
        model = cls.__new__(cls)
        model._count(*_padded(sequences, order), order, vocab_size)
        return model

    def _count(self, ids: np.ndarray, counted: np.ndarray, order: int, vocab_size: int) -> None:
        """Count n-grams of every length up to the order.

        Args:
            ids: (N,) integers.
            counted: whether the n-grams that end at an id count, (N,) bool.
            order, vocab_size: as for the class.
        """
        check_ids("ids", ids, vocab_size)
        if len(ids) * vocab_size >= 2**63:
            raise ValueError(f"{len(ids)} ids of {vocab_size} tokens do not fit into 64 bits.")
        self.order, self.vocab_size = order, vocab_size
        # For each n: all codes; (codes that count, N(h c)); and (contexts, N(h), T(h)). They are
        # sorted, so a look-up is a binary search.
        self._known, self._ngrams, self._contexts = [], [], []
        codes = ids = ids.astype(np.int64)  # of all n-grams, (N - n + 1,), see `_codes`
        for n in range(1, order + 1):
            known, places = np.unique(codes, return_inverse=True)  # sorted
            counts = np.bincount(places[counted[n - 1 :]], minlength=len(known))
            # An n-gram that does not count may still be the context of a longer one that does.
            self._known.append(known)
            ngrams, counts = known[counts > 0], counts[counts > 0]
            # The codes of one context stand side by side: where each context begins, how many
            # distinct characters follow it (T), and how often it is followed at all (N).
            contexts, first, types = np.unique(
                ngrams // vocab_size, return_index=True, return_counts=True
            )
            totals = np.add.reduceat(counts, first)
            self._ngrams.append((ngrams, counts))
            self._contexts.append((contexts, totals, types))
            codes = places[:-1] * vocab_size + ids[n:]  # as in _codes

    def _codes(self, ids: np.ndarray, order: int) -> Iterator[np.ndarray]:
        """Yield the codes of all n-grams of ids, (len(ids) - n + 1,) int64, for n = 1 … order.

        The code of an n-gram h c is (place of h among the known (n - 1)-grams) · V + c. So a code
        is always below N · V, though there are V^n possible n-grams. A code is negative if h is not
        known.
        """
        ids = np.asarray(ids, dtype=np.int64)
        codes = ids
        yield codes
        for n in range(2, order + 1):
            places = _place(self._known[n - 2], codes[:-1])
            codes = places * self.vocab_size + ids[n - 1 :]
            yield codes

    def _refine(self, p: np.ndarray, codes: np.ndarray, n: int) -> np.ndarray:
        """Return P(c | h), (m,), of the n-grams with these codes, (m,), given P(c | h'), (m,)."""
        ngrams, counts = self._ngrams[n - 1]
        contexts, totals, types = self._contexts[n - 1]
        seen = _look_up(ngrams, counts, codes)  # N(h c), (m,)
        total = _look_up(contexts, totals, codes // self.vocab_size)  # N(h)
        kinds = _look_up(contexts, types, codes // self.vocab_size)  # T(h)
        return np.where(total > 0, (seen + kinds * p) / np.maximum(total + kinds, 1), p)

    def probabilities(self, ids: np.ndarray) -> np.ndarray:
        """Return the probability of every character after the first, (len(ids) - 1,) float64.

        Near the start, where fewer than n - 1 characters stand before, all of them are the context.
        """
        *_, p = self._by_order(ids)
        return p

    def _by_order(self, ids: np.ndarray) -> Iterator[np.ndarray]:
        """Yield what `probabilities` returns, (len(ids) - 1,), at each order from 1 up."""
        # From the uniform distribution up: each order refines the probabilities of the order below.
        p = np.full(len(ids) - 1, 1 / self.vocab_size)
        longest = min(self.order, len(ids))
        for n, codes in enumerate(self._codes(ids, longest), start=1):
            if n == 1:
                codes = codes[1:]  # the first character is given, not predicted
            p[-len(codes) :] = self._refine(p[-len(codes) :], codes, n)
            yield p

    def next_probabilities(self, context: np.ndarray) -> np.ndarray:
        """Return the distribution of the character after a context, (V,) float64."""
        context = np.asarray(context, dtype=np.int64)
        p = np.full(self.vocab_size, 1 / self.vocab_size)
        for n in range(1, min(self.order, len(context) + 1) + 1):
            history = context[len(context) - n + 1 :]  # h, the last n - 1 ids
            place = np.zeros(1, dtype=np.int64)
            if n > 1:
                *_, code = self._codes(history, n - 1)
                place = _place(self._known[n - 2], code)
            p = self._refine(p, place * self.vocab_size + np.arange(self.vocab_size), n)
        return p

    def nats_per_char(self, ids: np.ndarray) -> float:
        """Return the mean loss over a text in nats per character. The first one is given.

        Raises:
            ValueError: the text has fewer than 2 characters.
        """
        if len(ids) < 2:
            raise ValueError(f"A text of {len(ids)} characters has no character to predict.")
        return float(-np.log(self.probabilities(ids)).mean())

    def nats_by_order(self, ids: np.ndarray) -> list[float]:
        """Return the mean loss over a text in nats per character of the models of order 1 … n.

        The model of a lower order is part of this one, so all of them take no longer than one.

        Raises:
            ValueError: the text has fewer characters than the order, or fewer than 2.
        """
        if len(ids) < max(self.order, 2):
            raise ValueError(
                f"A text of {len(ids)} characters is too short for the order {self.order}."
            )
        return [float(-np.log(p).mean()) for p in self._by_order(ids)]

    def nats_per_symbol(self, sequences: Sequence[np.ndarray]) -> float:
        """Return the mean loss over whole sequences in nats per symbol. Each first id is given.

        Raises:
            ValueError: there is no sequence, or one has fewer than 2 ids.
        """
        ids, counted = _padded(sequences, self.order)
        return float(-np.log(self.probabilities(ids)[counted[1:]]).mean())


def _padded(sequences: Sequence[np.ndarray], order: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sequences joined into one, (N,), and whether each id is predicted, (N,) bool.

    The first id of each sequence is repeated. So no context of `order - 1` ids reaches into the
    sequence before.
    """
    if not len(sequences) or min(map(np.size, sequences)) < 2:
        raise ValueError("Give at least one sequence, each of 2 ids or more.")
    before = max(order - 2, 0)  # repeats; the first id itself is one more
    parts = [np.concatenate([np.repeat(s[:1], before), s]) for s in sequences]
    counted = [np.arange(len(part)) > before for part in parts]
    return np.concatenate(parts), np.concatenate(counted)


def _place(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the place of each wanted key among sorted keys, or -1 where it is none of them."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, at, -1)


def _look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the value of each wanted key, or 0 where it is none of the sorted keys."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)
