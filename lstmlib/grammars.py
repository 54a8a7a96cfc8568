"""Formal languages: texts whose every probability is known, so that a network can be held to it.

Case C of the course trains on three of them. Each has a sampler, which follows the rules as they
are stated, and an automaton, which reads a text one character at a time and knows the exact
probability of everything that can follow. A string ends with `.end`, which counts as a symbol.
"""

import math
import random
import sys
from collections.abc import Hashable
from functools import cache, lru_cache
from numbers import Integral

import numpy as np

from lstmlib.vocab import END, PAD, START, UNK, Vocab

SPECIALS = (PAD, START, END, UNK)
"""The special tokens of case C, in the order of their ids."""


class Language:
    """A formal language with a probability for each of its strings.

    A language is a start state and `_follow`, the automaton: state -> symbol -> (probability, next
    state), where a symbol is one character or `.end`.

    Attributes:
        name: "ndfa", "brackets" or "toy".
        characters: its alphabet, sorted.
        floor: the entropy per symbol in nats, `.end` counted and `.start` given: Σ P(s) (-ln P(s))
            over the strings s, divided by their mean length. No model can have a lower expected
            loss.
    """

    name: str
    characters: str
    floor: float
    _start: Hashable

    def __init__(self) -> None:
        self._follow_cached = lru_cache(maxsize=100_000)(self._follow)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def vocab(self) -> Vocab:
        """Return the vocabulary of case C: `.pad`, `.start`, `.end`, `.unk`, and the characters."""
        return _vocab(self.characters)

    def sample(self, count: int, seed: int) -> list[str]:
        """Draw strings independently; the same seed gives the same strings.

        Raises:
            ValueError: count or seed is not a whole number, 0 or more.
        """
        for name, value in (("count", count), ("seed", seed)):
            if not (isinstance(value, Integral) and value >= 0):
                raise ValueError(f"{name} is {value!r}; it must be a whole number, 0 or more.")
        rng = random.Random(int(seed))
        return [self._draw(rng) for _ in range(count)]

    def along(self, text: str) -> list[dict[str, float]]:
        """Return the probability of each symbol at the start of a text, and after each character.

        There are len(text) + 1 of them; behind the first character that is not legal they are {}.

        Raises:
            TypeError: it is not a text. So do the methods below.
        """
        _check_text(text)
        follows = [self._follow_cached(self._start)]
        for character in text:
            _, state = follows[-1].get(character, (0.0, None))
            follows.append({} if state is None else self._follow_cached(state))
        return [{symbol: p for symbol, (p, _) in follow.items()} for follow in follows]

    def next(self, prefix: str) -> dict[str, float]:
        """Return the probability of each symbol after a prefix; {} if no string begins with it."""
        return self.along(prefix)[-1]

    def accepts_prefix(self, text: str) -> bool:
        """Say whether some string of the language begins with a text, by one look-up a symbol."""
        return bool(self.next(text))

    def accepts(self, text: str) -> bool:
        """Say whether a text is a whole string of the language, by one look-up a symbol."""
        return END in self.next(text)

    def log_probabilities(self, text: str) -> np.ndarray:
        """Return ln P of each symbol of a string given those before it: (len(text) + 1,) float64.

        The last one is that of `.end`. From the first symbol that is not legal on, all are -inf.
        """
        _check_text(text)
        found = np.full(len(text) + 1, -math.inf)
        state = self._start
        for k, symbol in enumerate([*text, END]):
            follow = self._follow_cached(state)
            if symbol not in follow:
                break
            p, state = follow[symbol]
            found[k] = math.log(p)
        return found

    def nats_per_symbol(self, texts: list[str]) -> float:
        """Return the loss of the exact model on strings: the mean of -ln P over all their symbols.

        Raises:
            ValueError: there is no string.
            TypeError: a text, and not a list of them.
        """
        if isinstance(texts, str):
            raise TypeError(f"Give a list of strings, such as [{texts[:40]!r}], and not one text.")
        if not texts:
            raise ValueError("There is no string to measure.")
        nats = -sum(self.log_probabilities(text).sum() for text in texts)
        return float(nats / sum(len(text) + 1 for text in texts))

    def _follow(self, state: Hashable) -> dict[str, tuple[float, Hashable]]:
        raise NotImplementedError

    def _draw(self, rng: random.Random) -> str:
        raise NotImplementedError


class NDFA(Language):
    """`s`, then one of three words any number of times, then `s`; no string mixes the words.

    The word is chosen once for each string, and before each repetition the string stops with
    probability 1/4.
    """

    name, characters = "ndfa", "!abcklmsuvw"
    WORDS = ("abc!", "uvw!", "klm!")
    STOP = 1 / 4
    _start = "start"

    @property
    def floor(self) -> float:
        """The number of repetitions is geometric, and the word shows if there is one at all."""
        entropy = _entropy(self.STOP) / self.STOP + (1 - self.STOP) * math.log(len(self.WORDS))
        repetitions = (1 - self.STOP) / self.STOP
        return entropy / (3 + 4 * repetitions)

    def _draw(self, rng: random.Random) -> str:
        word, text = rng.choice(self.WORDS), "s"
        while rng.random() >= self.STOP:
            text += word
        return text + "s"

    def _follow(self, state: str) -> dict[str, tuple[float, str]]:
        """A state is "start", "first", the rest of a word and the word, a word, or "done"."""
        if state == "start":
            return {"s": (1.0, "first")}
        if state == "first":
            share = (1 - self.STOP) / len(self.WORDS)
            words = {word[0]: (share, f"{word[1:]} {word}") for word in self.WORDS}
            return {"s": (self.STOP, "done")} | words
        if state == "done":
            return {END: (1.0, "")}
        rest, _, word = state.rpartition(" ")
        if rest:
            return {rest[0]: (1.0, f"{rest[1:]} {word}" if rest[1:] else word)}
        again = (1 - self.STOP, f"{word[1:]} {word}")
        return {"s": (self.STOP, "done"), word[0]: again}


class Brackets(Language):
    """Balanced brackets that end where they first balance (the prime strings of Dyck-1).

    After the first `(`, each step opens with probability 7/16 and closes otherwise.
    """

    name, characters = "brackets", "()"
    OPEN = 7 / 16
    _start = -1

    @property
    def floor(self) -> float:
        """The depth drifts down by 1 - 2 · 7/16 = 1/8 a step, so 8 steps follow the first."""
        steps = 1 / (1 - 2 * self.OPEN)
        return steps * _entropy(self.OPEN) / (1 + steps + 1)

    def _draw(self, rng: random.Random) -> str:
        text, depth = ["("], 1
        while depth:
            opens = rng.random() < self.OPEN
            text.append("(" if opens else ")")
            depth += 1 if opens else -1
        return "".join(text)

    def _follow(self, state: int) -> dict[str, tuple[float, int]]:
        """A state is the depth, -1 before the first bracket and 0 behind the last."""
        if state == -1:
            return {"(": (1.0, 1)}
        if state == 0:
            return {END: (1.0, 0)}
        return {"(": (self.OPEN, state + 1), ")": (1 - self.OPEN, state - 1)}


TOY_RULES = {
    "S": (
        "S Adv",
        "NP VP",
        "NP VP Prep NP",
        "NP VP ( Prep NP )",
        "NP VP Con S",
        "NP VP ( Con S )",
    ),
    "NP": ("a N", "the N", "a Adj N", "the Adj N"),
    "Adv": ("briefly", "quickly", "impatiently"),
    "Prep": ("on", "with", "to"),
    "Con": ("while", "but"),
    "N": ("mouse", "bunny", "cat", "dog", "man", "woman", "person"),
    "VP": ("walked", "walks", "ran", "runs", "goes", "went"),
    "Adj": ("short", "quick", "busy", "nice", "gorgeous"),
}
"""The grammar of `Toy`: symbol -> its alternatives, all equally likely."""


class Toy(Language):
    """Small English sentences, from a context-free grammar; TOY_RULES states it.

    Each alternative of a rule is equally likely, and the words are separated by spaces. The grammar
    is ambiguous: in "NP VP while NP VP briefly" the adverb may belong to either sentence. The
    probabilities of a text are sums over all its derivations. A look-up takes time in proportion to
    how many brackets are open.
    """

    name = "toy"
    ADVERB = 1 / 6
    """The probability of the rule S -> S Adv."""

    def __init__(self) -> None:
        super().__init__()
        words = " ".join(rule for rules in TOY_RULES.values() for rule in rules).split()
        self.characters = "".join(sorted(set(" ".join(w for w in words if w not in TOY_RULES))))

    @property
    def floor(self) -> float:
        """With the derivations of each text summed: sentences that end together share adverbs."""
        shared = 0.0
        for n in range(1, 60):  # a sentence is followed by one more of the same brackets in 1 of 5
            shared += (4 / 5) * (1 / 5) ** (n - 1) * _negative_binomial_entropy(n, self.ADVERB)
        return self._floor(4 / 3 * shared)  # 1 in 4 last sentences opens new brackets

    @property
    def floor_by_derivation(self) -> float:
        """The floor if every adverb said which sentence it belongs to, nats per symbol."""
        return self._floor(5 / 3 * _entropy(self.ADVERB) / (1 - self.ADVERB))

    def _floor(self, count_entropy: float) -> float:
        """Return nats per symbol, given the entropy of the numbers of adverbs.

        A text has 5/3 sentences in the mean, each with 1/5 adverb: of the five rules for what is
        not an adverb two bring one sentence more, two bring "Prep NP", and two bring brackets.
        """
        nats = {name: math.log(len(rules)) for name, rules in TOY_RULES.items()}
        size = {name: sum(map(len, rules)) / len(rules) + 1 for name, rules in TOY_RULES.items()}
        noun_phrase = nats["NP"] + nats["Adj"] / 2 + nats["N"]
        letters = (len("a ") + len("the ")) / 2 + size["Adj"] / 2 + size["N"]
        entropy = math.log(5) + noun_phrase + nats["VP"]
        entropy += 2 / 5 * (nats["Prep"] + noun_phrase + nats["Con"])
        length = letters + size["VP"]
        length += 2 / 5 * (size["Prep"] + letters + size["Con"] + len("( ") + len(") "))
        entropy = 5 / 3 * (entropy + nats["Adv"] / 5) + count_entropy
        # Each word has its space; the last one's stands for `.end`.
        return entropy / (5 / 3 * (length + size["Adv"] / 5))

    def _draw(self, rng: random.Random) -> str:
        """Expand the leftmost symbol until only words are left."""
        pending, words = ["S"], []
        while pending:
            symbol = pending.pop()
            if symbol in TOY_RULES:
                pending += reversed(rng.choice(TOY_RULES[symbol]).split())
            else:
                words.append(symbol)
        return " ".join(words)

    # The automaton reads the same texts by a grammar in which each next word leaves one way on:
    # what alternatives share is taken out of them, and the adverbs of n sentences that end together
    # are counted, not assigned. What is still to come is a tuple of words and symbols.

    _start = ("", ("NP", "VP", ("Tail", 1)))

    def _follow(self, state: tuple) -> dict[str, tuple[float, tuple]]:
        """A state is what is written of a word, and what was still to come before that word."""
        written, pending = state
        found: dict[str, tuple[float, tuple]] = {}
        words = {w: each for w, each in self._words(pending).items() if w.startswith(written)}
        words.pop(END, None)  # a space or the start stands before, so a word must come
        total = sum(p for p, _ in words.values())
        for word, (p, after) in words.items():
            if word == written:  # no word begins with another that may stand in its place
                return self._behind_word(after)
            symbol = word[len(written)]
            before, _ = found.get(symbol, (0.0, ()))
            found[symbol] = before + p / total, (written + symbol, pending)
        return found

    def _behind_word(self, pending: tuple) -> dict[str, tuple[float, tuple]]:
        end, _ = self._words(pending).get(END, (0.0, ()))
        either = {" ": (1 - end, ("", pending)), END: (end, ())}
        return {symbol: (p, state) for symbol, (p, state) in either.items() if p > 0}

    def _words(self, pending: tuple) -> dict[str, tuple[float, tuple]]:
        """Return what can come next: word or `.end` -> (probability, what is to come after it)."""
        if not pending:
            return {END: (1.0, ())}
        first, rest = pending[0], pending[1:]
        found = {}
        for share, symbols in self._alternatives(first):
            if symbols[:1] == (first,):  # a word
                return {first: (1.0, rest)}
            for word, (p, after) in self._words(symbols + rest).items():
                found[word] = share * p, after
        return found

    def _alternatives(self, symbol: str | tuple) -> list[tuple[float, tuple]]:
        """Return the expansions of a symbol with their probabilities; a word stays as it is."""
        match symbol:
            case "NP":
                return [(1 / 2, ("a", "Noun")), (1 / 2, ("the", "Noun"))]
            case "Noun":
                return [(1 / 2, ("N",)), (1 / 2, ("Adj", "N"))]
            case ("Tail", n):  # behind "NP VP", with n sentences that would end here
                adverbs = ("Adverbs", n, 0)
                return [
                    (1 / 5, (adverbs,)),
                    (1 / 5, ("Prep", "NP", adverbs)),
                    (2 / 5, ("(", "Inside", adverbs)),
                    (1 / 5, ("Con", "NP", "VP", ("Tail", n + 1))),
                ]
            case "Inside":
                sentence = ("Con", "NP", "VP", ("Tail", 1), ")")
                return [(1 / 2, ("Prep", "NP", ")")), (1 / 2, sentence)]
            case ("Adverbs", n, k):
                p = _no_more(n, k, self.ADVERB)
                return [(1 - p, ("Adv", ("Adverbs", n, k + 1))), (p, ())]
        words = TOY_RULES.get(symbol, (symbol,))
        return [(1 / len(words), (word,)) for word in words]


def _entropy(p: float) -> float:
    """Return the entropy in nats of an event of probability p."""
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


def _negative_binomial_entropy(n: int, p: float) -> float:
    """Return the entropy in nats of how often p comes before n failures."""
    share, entropy, k = (1 - p) ** n, 0.0, 0
    while share > 1e-20 or k < n:
        entropy -= share * math.log(share)
        share *= p * (n + k) / (k + 1)
        k += 1
    return entropy


def _no_more(n: int, k: int, p: float) -> float:
    """Return the probability that a negative binomial count is k, given that it is not below.

    It counts how often an event of probability p comes before n failures. For large n this is far
    below the rounding of 1, so it is not to be had as 1 minus the probability of more. Above some
    3 800 sentences it is below any float, too; it is then the least normal one, since 0 would say
    that the text cannot end.
    """
    total, share = 1.0, 1.0  # relative to the probability of exactly k
    while share > 1e-17 * total:
        share *= p * (n + k) / (k + 1)
        total += share
        k += 1
    return max(1 / total, sys.float_info.min)


@cache
def _vocab(characters: str) -> Vocab:
    """Return the vocabulary of an alphabet, built once: its table has an entry for every code."""
    return Vocab(characters, SPECIALS)


def _check_text(text: object) -> None:
    """Raise TypeError unless that is a text."""
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is not a text; of a Sample, give its `text`.")


LANGUAGES = {language.name: language for language in (NDFA(), Brackets(), Toy())}
"""The languages of case C, by name."""
