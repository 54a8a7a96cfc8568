"""How good is it? Units of loss, n-gram baselines, measures of a text, validity in a language."""

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
from lstmlib.vocab import START, Vocab


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
        ValueError: an order below 1, a text shorter than the order, an id outside 0 … V - 1, or a
            text and a vocabulary so large that N · V is beyond 64 bits.
    """

    def __init__(self, ids: np.ndarray, order: int, vocab_size: int) -> None:
        if order < 1:
            raise ValueError(f"order is {order}; it must be 1 (unigram) or more.")
        if len(ids) < order:
            raise ValueError(f"A text of {len(ids)} characters is too short for order {order}.")
        self._count(np.asarray(ids), np.ones(len(ids), dtype=bool), order, vocab_size)

    @classmethod
    def of_sequences(
        cls, sequences: Sequence[np.ndarray], order: int, vocab_size: int
    ) -> "NGramModel":
        """Return the model of whole sequences, each with a context of its own.

        Args:
            sequences: ids of each, such as `Vocab.frame` returns. The first id, `.start`, is given
                and not counted; it also stands for what a context lacks before it.

        Raises:
            ValueError: as for a text; there is no sequence, or one of under 2 ids.
        """
        if order < 1:
            raise ValueError(f"order is {order}; it must be 1 (unigram) or more.")
        model = cls.__new__(cls)
        model._count(*_padded(sequences, order), order, vocab_size)
        return model

    def _count(self, ids: np.ndarray, counted: np.ndarray, order: int, vocab_size: int) -> None:
        """Count the n-grams that end where counted, (N,) bool, is set."""
        if np.min(ids) < 0 or np.max(ids) >= vocab_size:
            raise ValueError(f"ids must lie in 0 … {vocab_size - 1}, below vocab_size.")
        if len(ids) * vocab_size >= 2**63:
            raise ValueError(f"{len(ids)} ids of {vocab_size} tokens do not fit into 64 bits.")
        self.order, self.vocab_size = order, vocab_size
        self._known, self._grams, self._contexts = [], [], []
        codes = ids = ids.astype(np.int64)
        for n in range(1, order + 1):
            known, places = np.unique(codes, return_inverse=True)
            counts = np.bincount(places[counted[n - 1 :]], minlength=len(known))
            # One that is not counted may still be the context of one that is.
            self._known.append(known)
            grams, counts = known[counts > 0], counts[counts > 0]
            contexts, first, types = np.unique(
                grams // vocab_size, return_index=True, return_counts=True
            )
            totals = np.add.reduceat(counts, first)
            self._grams.append((grams, counts))
            self._contexts.append((contexts, totals, types))
            codes = places[:-1] * vocab_size + ids[n:]  # as in _codes

    def _codes(self, ids: np.ndarray, order: int) -> Iterator[np.ndarray]:
        """Yield the codes of all n-grams of ids, (len(ids) - n + 1,) int64, for n = 1 … order.

        The code of an n-gram h c is (place of h among the known (n - 1)-grams) · V + c: below
        N · V, however many n-grams the vocabulary allows, and in the order of the ids. Where h is
        not known, the code is negative.
        """
        ids = np.asarray(ids, dtype=np.int64)
        codes = ids
        yield codes
        for n in range(2, order + 1):
            places = _place(self._known[n - 2], codes[:-1])
            codes = places * self.vocab_size + ids[n - 1 :]
            yield codes

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
        longest = min(self.order, len(ids))
        for n, codes in enumerate(self._codes(ids, longest), start=1):
            if n == 1:
                codes = codes[1:]  # the first character is given, not predicted
            p[-len(codes) :] = self._refine(p[-len(codes) :], codes, n)
        return p

    def next_probabilities(self, context: np.ndarray) -> np.ndarray:
        """Return the distribution of the character after a context: (V,), sums to 1."""
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
        """Return the mean loss over a text in nats per character, the first one not counted.

        Raises:
            ValueError: a text of under 2 characters.
        """
        if len(ids) < 2:
            raise ValueError(f"A text of {len(ids)} characters has no character to predict.")
        return float(-np.log(self.probabilities(ids)).mean())

    def nats_per_symbol(self, sequences: Sequence[np.ndarray]) -> float:
        """Return the mean loss over sequences, as for `of_sequences`: each first id is given.

        Raises:
            ValueError: there is no sequence, or one of under 2 ids.
        """
        ids, counted = _padded(sequences, self.order)
        return float(-np.log(self.probabilities(ids)[counted[1:]]).mean())


def _padded(sequences: Sequence[np.ndarray], order: int) -> tuple[np.ndarray, np.ndarray]:
    """Join sequences, the first id of each repeated to fill a context: (ids, which are predicted).

    So no context of `order - 1` ids reaches into the sequence before.
    """
    if not len(sequences) or min(map(np.size, sequences)) < 2:
        raise ValueError("Give at least one sequence, each of 2 ids or more.")
    before = max(order - 2, 0)  # beside the first id itself
    parts = [np.concatenate([np.repeat(s[:1], before), s]) for s in sequences]
    counted = [np.arange(len(part)) > before for part in parts]
    return np.concatenate(parts), np.concatenate(counted)


def _place(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the place of each wanted key among sorted keys, -1 where they do not hold it."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, at, -1)


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


class Validity(NamedTuple):
    """How many samples of a formal language are whole strings of it.

    Attributes:
        complete: ended, and the language has the string.
        prefix: did not end within their length, and some string of the language begins so.
        wrong: all others.
    """

    complete: int
    prefix: int
    wrong: int


def validity(language: Language, samples: Sequence[Sample]) -> Validity:
    """Judge the texts, prompts included, that a model wrote."""
    complete = sum(sample.ended and language.accepts(sample.text) for sample in samples)
    prefix = sum(not s.ended and language.accepts_prefix(s.text) for s in samples)
    return Validity(complete, prefix, len(samples) - complete - prefix)


def wilson(count: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Return the confidence interval of a share, count / of (Wilson 1927); z = 1.96 is for 95 %.

    It stays between 0 and 1, and has a width also where the count is 0 or all.

    Raises:
        ValueError: unless 0 ≤ count ≤ of, and of is above 0.
    """
    if not (0 <= count <= of and of > 0):
        raise ValueError(f"{count} of {of} is no share.")
    share, weight = count / of, z**2 / of
    middle = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / of + weight / (4 * of)) / (1 + weight)
    # At none or all an end is the share itself, but for rounding.
    return min(max(middle - half, 0.0), share), max(min(middle + half, 1.0), share)


def longest_repeat(text: str) -> str:
    """Return the longest passage that a text has twice, "" if there is none.

    The two may overlap. Of several, it is the one that is there again first. Since a passage can
    only be there twice if its beginning is, the length is found by doubling it, and by bisection.
    """
    # Not by bisection from the start: all passages of half a long text do not fit into memory.
    found, high = "", 1
    while again := _repeated(text, high):
        found, high = again, 2 * high
    low = len(found)  # there is one of this length, and none of `high`
    while low + 1 < high:
        n = (low + high) // 2
        again = _repeated(text, n)
        found, low, high = (again, n, high) if again else (found, low, n)
    return found


def _repeated(text: str, n: int) -> str:
    """Return the first passage of n characters that was there before, or ""."""
    seen = set()
    for k in range(len(text) - n + 1):
        passage = text[k : k + n]
        if passage in seen:
            return passage
        seen.add(passage)
    return ""


@dataclass(frozen=True, eq=False)
class PrefixReading:
    """What a network and a grammar expect at each place of a prefix; place k is after k characters.

    Attributes:
        prefix: its n characters.
        tokens: the V tokens of the vocabulary.
        model: the network's probability of each token, (n + 1, V) float64.
        exact: the grammar's, (n + 1, V) float64. 0 is what cannot follow; behind the first illegal
            character that is everything.
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
        """The probability that the network gives to what cannot follow, (n + 1,) float64."""
        return np.where(self.legal, 0.0, self.model).sum(axis=1)

    @property
    def legal_places(self) -> int:
        """The number of places, from the start on, where something can follow: n + 1 or fewer."""
        return int(self.legal.any(axis=1).sum())

    @property
    def depth(self) -> np.ndarray:
        """The number of brackets that are open, `(` less `)`, (n + 1,) int64."""
        steps = [(c == "(") - (c == ")") for c in self.prefix]
        return np.cumsum([0, *steps], dtype=np.int64)


def read_prefix(model: CharRNN, vocab: Vocab, language: Language, prefix: str) -> PrefixReading:
    """Let a network read `.start` and a prefix, and hold what it expects to the grammar's truth.

    The model's mode is left as it was.

    Raises:
        VocabError: a character is not in the vocabulary, or a symbol of the language, or `.start`.
        ValueError: the vocabulary is not of the model's size, or the model's weights are broken.
    """
    model = unwrap(model)
    check_vocab(model, vocab)
    ids = np.concatenate([[vocab.id_of(START)], vocab.encode(prefix)])
    exact = np.zeros((len(ids), len(vocab)))
    for row, follow in zip(exact, language.along(prefix), strict=True):
        row[[vocab.id_of(symbol) for symbol in follow]] = list(follow.values())
    found = np.exp(log_softmax(read_through(model, ids)))
    return PrefixReading(prefix, vocab.tokens, found, exact)
