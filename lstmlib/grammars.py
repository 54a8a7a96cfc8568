"""Formal languages, whose every probability is known, so that a network can be measured exactly.

Case C of the course trains on three languages. Each has a sampler, which follows the stated rules,
and an automaton. The automaton reads a text one character at a time, and knows the exact
probability of each symbol that can follow. A symbol is a character, or `.end`, which ends a string.
"""

import math
import random
import sys
from collections.abc import Hashable
from functools import cache, lru_cache

import numpy as np

from lstmlib.validation import check_whole
from lstmlib.vocab import END, PAD, START, UNK, Vocab

SPECIALS = (PAD, START, END, UNK)
"""The special tokens of case C, in the order of their ids."""


class Language:
    """A formal language with a probability for each of its strings.

    A subclass gives the start state `_start` and the automaton `_follow`: state -> symbol ->
    (probability, next state).

    Attributes:
        name: "ndfa", "brackets" or "toy".
        characters: the alphabet, sorted.
        floor: the entropy per symbol in nats. It is Σ P(s) (-ln P(s)) over all strings s, divided
            by their mean length in symbols. `.end` counts as a symbol, `.start` does not. No model
            can have a lower expected loss.
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
        """Return the vocabulary of case C: the SPECIALS, then the characters."""
        return _vocab(self.characters)

    def sample(self, count: int, seed: int) -> list[str]:
        """Draw strings independently of each other.

        Args:
            count: how many strings, 0 or more.
            seed: 0 or more; the same seed gives the same strings.

        Raises:
            ValueError: count or seed is not a whole number, 0 or more.
        """
        count = check_whole("count", count, 0)
        rng = random.Random(check_whole("seed", seed, 0))
        return [self._draw(rng) for _ in range(count)]

    def along(self, text: str) -> list[dict[str, float]]:
        """Return what can follow at each place of a text: symbol -> probability.

        Returns:
            len(text) + 1 dicts: one for the start, and one for the place after each character. From
            the first illegal character on they are empty.

        Raises:
            TypeError: the argument is not a text. The methods below raise it too.
        """
        _check_text(text)
        follows = [self._follow_cached(self._start)]
        for character in text:
            _, state = follows[-1].get(character, (0.0, None))
            follows.append({} if state is None else self._follow_cached(state))
        return [{symbol: p for symbol, (p, _) in follow.items()} for follow in follows]

    def next(self, prefix: str) -> dict[str, float]:
        """Return symbol -> probability after a prefix; {} if no string begins with the prefix."""
        return self.along(prefix)[-1]

    def accepts_prefix(self, text: str) -> bool:
        """Say whether some string of the language begins with a text."""
        return bool(self.next(text))

    def accepts(self, text: str) -> bool:
        """Say whether a text is a whole string of the language."""
        return END in self.next(text)

    def log_probabilities(self, text: str) -> np.ndarray:
        """Return ln P of each symbol of a string given those before it: (len(text) + 1,) float64.

        The last entry is that of `.end`. From the first illegal symbol on, all entries are -inf.
        """
        _check_text(text)
        log_p = np.full(len(text) + 1, -math.inf)
        state = self._start
        for k, symbol in enumerate([*text, END]):
            follow = self._follow_cached(state)
            if symbol not in follow:
                break
            p, state = follow[symbol]
            log_p[k] = math.log(p)
        return log_p

    def nats_per_symbol(self, texts: list[str]) -> float:
        """Return the loss of the exact model on strings: the mean of -ln P over all their symbols.

        Raises:
            ValueError: there is no string.
            TypeError: the argument is one text, not a list of texts.
        """
        if isinstance(texts, str):
            raise TypeError(f"Give a list of strings, such as [{texts[:40]!r}], and not one text.")
        if not texts:
            raise ValueError("There is no string to measure.")
        nats = -sum(self.log_probabilities(text).sum() for text in texts)
        return float(nats / sum(len(text) + 1 for text in texts))

    def _follow(self, state: Hashable) -> dict[str, tuple[float, Hashable]]:
        """Return what can follow in a state: symbol -> (probability, next state)."""
        raise NotImplementedError

    def _draw(self, rng: random.Random) -> str:
        """Draw one string by the stated rules, without the automaton."""
        raise NotImplementedError


class NDFA(Language):
    """The strings s, a word any number of times, s: a non-deterministic finite automaton.

    There are three words. One is chosen for each string, so a network has to remember it. Before
    each repetition the string stops with probability 1/4.
    """

    name, characters = "ndfa", "!abcklmsuvw"
    WORDS = ("abc!", "uvw!", "klm!")
    STOP = 1 / 4
    _start = "start"

    @property
    def floor(self) -> float:
        """See `Language`.

        The number of repetitions is geometric. The word adds entropy where there is one at least.
        """
        entropy = _entropy(self.STOP) / self.STOP + (1 - self.STOP) * math.log(len(self.WORDS))
        repetitions = (1 - self.STOP) / self.STOP
        return entropy / (3 + 4 * repetitions)

    def _draw(self, rng: random.Random) -> str:
        word, text = rng.choice(self.WORDS), "s"
        while rng.random() >= self.STOP:
            text += word
        return text + "s"

    def _follow(self, state: str) -> dict[str, tuple[float, str]]:
        """See `Language`.

        A state is one of these: "start"; "first", behind the first s; "REST WORD" within a word;
        "WORD" behind it; and "done", behind the last s.
        """
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
    """Balanced brackets that end where they balance for the first time (the primes of Dyck-1).

    After the first `(`, each step opens a bracket with probability 7/16, and closes one otherwise.
    """

    name, characters = "brackets", "()"
    OPEN = 7 / 16
    _start = -1

    @property
    def floor(self) -> float:
        """See `Language`.

        The depth falls by 1 - 2 · 7/16 = 1/8 a step in the mean. So 8 steps follow the first one.
        """
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
        """See `Language`. A state is the depth, and -1 before the first bracket."""
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
    """Small English sentences from a context-free grammar, which TOY_RULES states.

    The alternatives of a rule are equally likely. Spaces separate the words. The grammar is
    ambiguous: in "NP VP while NP VP briefly" the adverb may belong to either sentence. The
    probability of a text is therefore a sum over all its derivations. A look-up takes time in
    proportion to the number of open brackets.
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
        """See `Language`.

        Sentences that end at one place share the adverbs that follow. A text shows the number of
        these adverbs, but not which sentence each belongs to.
        """
        shared = 0.0
        # A sentence goes on with Con and one more sentence in 1 of 5. So n sentences end together
        # with probability 4/5 · (1/5)^(n - 1).
        for n in range(1, 60):
            shared += (4 / 5) * (1 / 5) ** (n - 1) * _negative_binomial_entropy(n, self.ADVERB)
        return self._floor(4 / 3 * shared)  # 1 in 4 last sentences opens new brackets

    @property
    def floor_by_derivation(self) -> float:
        """The floor in nats per symbol if each adverb showed which sentence it belongs to."""
        return self._floor(5 / 3 * _entropy(self.ADVERB) / (1 - self.ADVERB))

    def _floor(self, count_entropy: float) -> float:
        """Return nats per symbol, given the entropy in nats of the numbers of adverbs in a text.

        Five rules of S add no adverb. Of these, two add a sentence, two add "Prep NP", and two add
        brackets. So a text has 1 / (1 - 2/5) = 5/3 sentences in the mean, each with 1/5 adverb.
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

    # The automaton uses another grammar of the same texts. In it, each next word leaves one way on.
    # Alternatives that begin alike share that beginning. The adverbs of n sentences that end
    # together are counted, not assigned to sentences. `pending` holds the words and symbols that
    # are still to come, as a tuple.

    _start = ("", ("NP", "VP", ("Tail", 1)))

    def _follow(self, state: tuple) -> dict[str, tuple[float, tuple]]:
        """See `Language`.

        A state is (letters of the present word that were read, `pending` before that word).
        """
        written, pending = state
        follow: dict[str, tuple[float, tuple]] = {}
        words = {w: each for w, each in self._words(pending).items() if w.startswith(written)}
        words.pop(END, None)  # a space or the start stands before, so a word must come
        total = sum(p for p, _ in words.values())
        for word, (p, after) in words.items():
            if word == written:  # no word begins with another that may stand in its place
                return self._behind_word(after)
            symbol = word[len(written)]
            before, _ = follow.get(symbol, (0.0, ()))
            follow[symbol] = before + p / total, (written + symbol, pending)
        return follow

    def _behind_word(self, pending: tuple) -> dict[str, tuple[float, tuple]]:
        """Return what can follow behind a whole word: a space, or `.end`."""
        end, _ = self._words(pending).get(END, (0.0, ()))
        either = {" ": (1 - end, ("", pending)), END: (end, ())}
        return {symbol: (p, state) for symbol, (p, state) in either.items() if p > 0}

    def _words(self, pending: tuple) -> dict[str, tuple[float, tuple]]:
        """Return what can come next: word or `.end` -> (probability, `pending` after it)."""
        if not pending:
            return {END: (1.0, ())}
        first, rest = pending[0], pending[1:]
        words = {}
        for share, symbols in self._alternatives(first):
            if symbols[:1] == (first,):  # a word
                return {first: (1.0, rest)}
            for word, (p, after) in self._words(symbols + rest).items():
                words[word] = share * p, after
        return words

    def _alternatives(self, symbol: str | tuple) -> list[tuple[float, tuple]]:
        """Return the expansions of a symbol, (probability, symbols) each; a word stays itself."""
        match symbol:
            case "NP":
                return [(1 / 2, ("a", "Noun")), (1 / 2, ("the", "Noun"))]
            case "Noun":
                return [(1 / 2, ("N",)), (1 / 2, ("Adj", "N"))]
            case ("Tail", n):  # behind "NP VP", where n sentences can end
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
            case ("Adverbs", n, k):  # behind k adverbs of n sentences that end together
                p = _no_more(n, k, self.ADVERB)
                return [(1 - p, ("Adv", ("Adverbs", n, k + 1))), (p, ())]
        words = TOY_RULES.get(symbol, (symbol,))
        return [(1 / len(words), (word,)) for word in words]


def _entropy(p: float) -> float:
    """Return the entropy in nats of an event of probability p."""
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


def _negative_binomial_entropy(n: int, p: float) -> float:
    """Return the entropy in nats of a negative binomial count.

    It counts how often an event of probability p comes before n failures.
    """
    share, entropy, k = (1 - p) ** n, 0.0, 0
    while share > 1e-20 or k < n:
        entropy -= share * math.log(share)
        share *= p * (n + k) / (k + 1)
        k += 1
    return entropy


def _no_more(n: int, k: int, p: float) -> float:
    """Return the probability that a negative binomial count is k, given that it is k or more.

    The count is how often an event of probability p comes before n failures.

    For large n the result is far smaller than the rounding of 1. So it cannot be computed as 1
    minus the probability of a larger count. Above some 3 800 sentences it is smaller than any
    float. Then the smallest normal float is returned, since 0 would mean that the text cannot end.
    """
    total, share = 1.0, 1.0  # relative to the probability of exactly k
    while share > 1e-17 * total:
        share *= p * (n + k) / (k + 1)
        total += share
        k += 1
    return max(1 / total, sys.float_info.min)


@cache
def _vocab(characters: str) -> Vocab:
    """Return the vocabulary of an alphabet, built once, since its table covers all of Unicode."""
    return Vocab(characters, SPECIALS)


def _check_text(text: object) -> None:
    """Raise TypeError unless the argument is a text."""
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is not a text; of a Sample, give its `text`.")


LANGUAGES = {language.name: language for language in (NDFA(), Brackets(), Toy())}
"""The languages of case C, by name."""
