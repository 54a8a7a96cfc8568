"""How well a network knows a formal language: valid strings, and a prefix read along."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from lstmlib.generation import Sample
from lstmlib.grammars import Language
from lstmlib.inference import read_through
from lstmlib.models import CharRNN, check_vocab, unwrap
from lstmlib.sampling import log_softmax
from lstmlib.vocab import START, Vocab


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
