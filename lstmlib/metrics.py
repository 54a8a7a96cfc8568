"""How good is it? Units of loss, n-gram baselines, measures of a text, validity in a language.

Sizes in comments: N ids, V tokens, m n-grams.
"""

import math
import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from lstmlib.grammars import Language
from lstmlib.inference import read_through
from lstmlib.models import CharRNN, check_vocab, unwrap
from lstmlib.sampling import Sample, log_softmax
from lstmlib.validation import check_ids, check_whole
from lstmlib.vocab import START, Vocab


def bits(nats: float) -> float:
    """Return a loss in nats (natural logarithm) in bits (logarithm to base 2)."""
    return nats / math.log(2)


def perplexity(nats: float) -> float:
    """Return e^nats: a choice among so many equally likely characters has this loss."""
    return math.exp(nats)


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
        self._known, self._grams, self._contexts = [], [], []
        codes = ids = ids.astype(np.int64)  # of all n-grams, (N - n + 1,), see `_codes`
        for n in range(1, order + 1):
            known, places = np.unique(codes, return_inverse=True)  # sorted
            counts = np.bincount(places[counted[n - 1 :]], minlength=len(known))
            # An n-gram that does not count may still be the context of a longer one that does.
            self._known.append(known)
            grams, counts = known[counts > 0], counts[counts > 0]
            # The codes of one context stand side by side: where each context begins, how many
            # distinct characters follow it (T), and how often it is followed at all (N).
            contexts, first, types = np.unique(
                grams // vocab_size, return_index=True, return_counts=True
            )
            totals = np.add.reduceat(counts, first)
            self._grams.append((grams, counts))
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
        grams, counts = self._grams[n - 1]
        contexts, totals, types = self._contexts[n - 1]
        seen = _look_up(grams, counts, codes)  # N(h c), (m,)
        total = _look_up(contexts, totals, codes // self.vocab_size)  # N(h)
        kinds = _look_up(contexts, types, codes // self.vocab_size)  # T(h)
        return np.where(total > 0, (seen + kinds * p) / np.maximum(total + kinds, 1), p)

    def probabilities(self, ids: np.ndarray) -> np.ndarray:
        """Return the probability of every character after the first, (len(ids) - 1,) float64.

        Near the start, where fewer than n - 1 characters stand before, all of them are the context.
        """
        # From the uniform distribution up: each order refines the probabilities of the order below.
        p = np.full(len(ids) - 1, 1 / self.vocab_size)
        longest = min(self.order, len(ids))
        for n, codes in enumerate(self._codes(ids, longest), start=1):
            if n == 1:
                codes = codes[1:]  # the first character is given, not predicted
            p[-len(codes) :] = self._refine(p[-len(codes) :], codes, n)
        return p

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


def grams(items: Sequence, n: int) -> list:
    """Return all n-grams of a sequence, in order.

    Args:
        items: a text, whose n-grams are texts; or words, or ids, whose n-grams are tuples.
        n: number of items in an n-gram, 1 or more.

    Raises:
        ValueError: n is not a whole number, 1 or more, or the sequence has fewer than n items.
    """
    check_whole("n", n)
    if len(items) < n:
        raise ValueError(f"A sequence of {len(items)} items has no {n}-gram.")
    if hasattr(items, "tolist"):  # a tensor's entries are not hashed by their values
        items = items.tolist()
    if isinstance(items, str):
        return [items[k : k + n] for k in range(len(items) - n + 1)]
    return list(zip(*(items[k:] for k in range(n)), strict=False))


def distinct(items: Sequence, n: int) -> float:
    """Return distinct-n (Li et al. 2016): the number of different n-grams over that of all n-grams.

    Raises:
        ValueError: as `grams`.
    """
    of_items = grams(items, n)
    return len(set(of_items)) / len(of_items)


def novelty(items: Sequence, seen: Set, n: int) -> float:
    """Return the share of a sequence's n-grams that were not seen before.

    Args:
        items: the sequence, as for `grams`.
        seen: the n-grams seen before, such as `set(grams(training_text, n))`.
        n: number of items in an n-gram.

    Raises:
        ValueError: as `grams`.
    """
    of_items = grams(items, n)
    return sum(gram not in seen for gram in of_items) / len(of_items)


def words(text: str) -> list[str]:
    """Return the words of a text, in order: runs of letters, digits and underscores."""
    return re.findall(r"\w+", text)


def known_words(text: str, known: Set[str]) -> float:
    """Return the share of a text's words that are known.

    The last word is not counted, since the text may break off inside it.

    Raises:
        ValueError: the text has no word before the last.
    """
    counted = words(text)[:-1]
    if not counted:
        raise ValueError("The text has no whole word.")
    return sum(word in known for word in counted) / len(counted)


class Validity(NamedTuple):
    """How many samples of a formal language are valid.

    Attributes:
        complete: samples that ended, and are whole strings of the language.
        prefix: samples that reached their length without an end, and are the beginning of a string
            of the language.
        wrong: all other samples.
    """

    complete: int
    prefix: int
    wrong: int


def validity(language: Language, samples: Sequence[Sample]) -> Validity:
    """Count the valid samples among those that a model wrote; prompts belong to the texts."""
    complete = sum(sample.ended and language.accepts(sample.text) for sample in samples)
    prefix = sum(not s.ended and language.accepts_prefix(s.text) for s in samples)
    return Validity(complete, prefix, len(samples) - complete - prefix)


def wilson(count: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Return the confidence interval (low, high) of a share, count / of (Wilson 1927).

    The interval stays within [0, 1]. It has a width even where the count is 0 or all.

    Args:
        count: how many of them.
        of: how many there are, above 0.
        z: standard deviations on each side; 1.96 gives 95 %.

    Raises:
        ValueError: unless 0 ≤ count ≤ of and of > 0.
    """
    if not (0 <= count <= of and of > 0):
        raise ValueError(f"{count} of {of} is no share.")
    # The simple interval, share ± z √(share (1 - share) / of), has no width at 0 and at 1.
    share, weight = count / of, z**2 / of
    middle = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / of + weight / (4 * of)) / (1 + weight)
    # At a count of 0 or all, one end is the share itself. Rounding must not move it past the share.
    return min(max(middle - half, 0.0), share), max(min(middle + half, 1.0), share)


def longest_repeat(text: str) -> str:
    """Return the longest passage that a text has twice, or "" if there is none.

    The two places may overlap. Of several longest passages, the first to return is taken.
    """
    # If a passage is repeated, its beginning is too. So there are repeated passages of all smaller
    # lengths, and the largest length can be found by doubling and bisection. Bisection alone would
    # begin at half the text, and hold all passages of that length in memory.
    longest, high = "", 1
    while again := _repeated(text, high):
        longest, high = again, 2 * high
    low = len(longest)  # a passage of this length is repeated, and none of length `high`
    while low + 1 < high:
        n = (low + high) // 2
        again = _repeated(text, n)
        longest, low, high = (again, n, high) if again else (longest, low, n)
    return longest


def _repeated(text: str, n: int) -> str:
    """Return the first passage of n characters that the text has had before, or ""."""
    seen = set()
    for k in range(len(text) - n + 1):
        passage = text[k : k + n]
        if passage in seen:
            return passage
        seen.add(passage)
    return ""


@dataclass(frozen=True, eq=False)
class PrefixReading:
    """The next-symbol probabilities of a network and of a grammar at each place of a prefix.

    Place k is behind k characters.

    Attributes:
        prefix: the n characters.
        tokens: the V tokens of the vocabulary.
        model: the network's probability of each token, (n + 1, V) float64.
        exact: the grammar's probability of each token, (n + 1, V) float64. It is 0 for a token that
            cannot follow. Behind the first illegal character it is 0 for all tokens.
    """

    prefix: str
    tokens: tuple[str, ...] = field(repr=False)
    model: np.ndarray = field(repr=False)
    exact: np.ndarray = field(repr=False)

    @property
    def legal(self) -> np.ndarray:
        """Which tokens can follow, (n + 1, V) bool."""
        return self.exact > 0

    @property
    def illegal_mass(self) -> np.ndarray:
        """The network's probability of all tokens that cannot follow, (n + 1,) float64."""
        return np.where(self.legal, 0.0, self.model).sum(axis=1)

    @property
    def legal_places(self) -> int:
        """The number of places at which some token can follow: n + 1 or fewer."""
        return int(self.legal.any(axis=1).sum())

    @property
    def depth(self) -> np.ndarray:
        """The number of open brackets at each place, (n + 1,) int64."""
        steps = [(c == "(") - (c == ")") for c in self.prefix]
        return np.cumsum([0, *steps], dtype=np.int64)


def read_prefix(model: CharRNN, vocab: Vocab, language: Language, prefix: str) -> PrefixReading:
    """Let a network read `.start` and a prefix, and compare its probabilities with the grammar's.

    The model's mode is not changed.

    Raises:
        VocabError: the vocabulary lacks `.start`, a character of the prefix, or a symbol of the
            language.
        ValueError: the vocabulary has not the model's size, or the model's weights are broken.
    """
    model = unwrap(model)
    check_vocab(model, vocab)
    ids = np.concatenate([[vocab.id_of(START)], vocab.encode(prefix)])  # (n + 1,)
    exact = np.zeros((len(ids), len(vocab)))
    for row, follow in zip(exact, language.along(prefix), strict=True):
        row[[vocab.id_of(symbol) for symbol in follow]] = list(follow.values())
    p = np.exp(log_softmax(read_through(model, ids)))  # (n + 1, V)
    return PrefixReading(prefix, vocab.tokens, p, exact)
