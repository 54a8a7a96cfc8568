"""How good is it? Units of loss, measures of a text, and the intervals of what is measured.

A word is the same everywhere: what `words` returns. An interval is over texts and never over
characters: the characters of one text depend on each other, so there are fewer independent ones
than the text has.

Sizes in comments: T texts.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from typing import NamedTuple

import numpy as np

from lstmlib.validation import check_choice, check_number, check_whole

MOST = 2 * 10**7
"""The most items whose n-grams are listed. Those of a text of this size take about 2 GB."""
MOST_BLEU = 3 * 10**6
"""The most characters that BLEU counts, of all texts and references together: about a minute."""


def bits(nats: float) -> float:
    """Return a loss in nats (natural logarithm) in bits (logarithm to base 2)."""
    return nats / math.log(2)


def perplexity(nats: float) -> float:
    """Return e^nats: a choice among so many equally likely characters has this loss."""
    return math.exp(nats)


def ngrams(items: Sequence, n: int) -> list:
    """Return all n-grams of a sequence, in order.

    Args:
        items: a text, whose n-grams are texts; or words, or ids, whose n-grams are tuples.
        n: number of items in an n-gram, 1 or more.

    Raises:
        ValueError: n is not a whole number, 1 or more; or the sequence has fewer than n items, or
            more than 20 million.
    """
    check_whole("n", n)
    if len(items) < n:
        raise ValueError(f"A sequence of {len(items)} items has no {n}-gram.")
    if len(items) > MOST:
        raise ValueError(f"A sequence of {len(items)} items is too long; take at most {MOST}.")
    if hasattr(items, "tolist"):  # a tensor's entries are not hashed by their values
        items = items.tolist()
    if isinstance(items, str):
        return [items[k : k + n] for k in range(len(items) - n + 1)]
    return list(zip(*(items[k:] for k in range(n)), strict=False))


def distinct_n(items: Sequence, n: int) -> float:
    """Return distinct-n (Li et al. 2016): the number of different n-grams over that of all n-grams.

    The longer a text, the smaller its distinct-n: compare texts of one length alone. Blind to:
    whether an n-gram has any sense, and where its second place is.

    Raises:
        ValueError: as `ngrams`.
    """
    of_items = ngrams(items, n)
    return len(set(of_items)) / len(of_items)


def repetition(items: Sequence, n: int) -> float:
    """Return the share of a sequence's n-grams that came before in the same sequence.

    It is 1 - distinct-n of the sequence: of all places, those at which no n-gram is new. Welleck
    et al. (2020) call it seq-rep-n. Their rep/l counts single tokens within the last l, and is
    another measure. Blind to: how far away the first place is, so a refrain counts as a loop does.
    Real text repeats itself too, and the more the longer it is: compare with real text of the same
    length.

    Raises:
        ValueError: as `ngrams`.
    """
    of_items = ngrams(items, n)
    return (len(of_items) - len(set(of_items))) / len(of_items)


def novelty(items: Sequence, seen: Set, n: int) -> float:
    """Return the share of a sequence's n-grams that were not seen before.

    Blind to: whether what is new has any sense. Noise is all new.

    Args:
        items: the sequence, as for `ngrams`.
        seen: the n-grams seen before, such as `set(ngrams(training_text, n))`.
        n: number of items in an n-gram.

    Raises:
        ValueError: as `ngrams`.
    """
    of_items = ngrams(items, n)
    return sum(gram not in seen for gram in of_items) / len(of_items)


def words(text: str) -> list[str]:
    """Return the words of a text, in order: runs of letters, digits and underscores.

    This is the one rule for what a word is. Upper and lower case differ. An apostrophe or a hyphen
    ends a word: "don't" is "don" and "t".
    """
    return re.findall(r"\w+", text)


def known_words(text: str, known: Set[str]) -> float:
    """Return the share of a text's words that are known.

    The last word is not counted, since the text may break off inside it. Blind to: the order of
    the words. A text that says "the" for ever has only known words.

    Raises:
        ValueError: the text has no word before the last.
    """
    counted = _whole_words(text)
    return sum(word in known for word in counted) / len(counted)


def _whole_words(text: str) -> list[str]:
    """Return the words of a text but the last, which may be cut off."""
    counted = words(text)[:-1]
    if not counted:
        raise ValueError("The text has no whole word.")
    return counted


class WordValidity(NamedTuple):
    """How many words of a text are known, and from where.

    Attributes:
        seen: words that the training text has.
        unseen: words that the training text does not have, but held-out text has.
        invented: words that neither has.
    """

    seen: int
    unseen: int
    invented: int

    @property
    def shares(self) -> tuple[float, float, float]:
        """The shares of the three in all words, in the same order."""
        total = sum(self)
        return self.seen / total, self.unseen / total, self.invented / total


def word_validity(text: str, training: Set[str], held_out: Set[str]) -> WordValidity:
    """Count the words of a text that were seen, that are real though unseen, and the others.

    A network that writes letter by letter can write a word that it never saw. If held-out text has
    this word, it is a real one. The last word is not counted, as in `known_words`. Blind to: real
    words that neither text has, which count as invented. So measure real text too: one part of the
    held-out text against the words of the other parts. Also blind to whether the words go together.

    Args:
        text: what was written.
        training: the words of the training text, `set(words(training_text))`.
        held_out: the words of a text that the network never saw.

    Raises:
        ValueError: the text has no word before the last.
    """
    counted = _whole_words(text)
    seen = sum(word in training for word in counted)
    unseen = sum(word in held_out and word not in training for word in counted)
    return WordValidity(seen, unseen, len(counted) - seen - unseen)


def check_texts(name: str, texts: Sequence[str], at_least: int = 1) -> list[str]:
    """Return texts as a list.

    Args:
        name: the argument's name, for the message.
        texts: what was given.
        at_least: how many there must be.

    Raises:
        ValueError: one text was given in place of several, one of them is no text, or there are
            too few.
    """
    if isinstance(texts, str):
        raise ValueError(f"{name} is one text; put it into a list: [text].")
    texts = list(texts)
    for k, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"{name}[{k}] is a {type(text).__name__}; it must be a text.")
    if len(texts) < at_least:
        raise ValueError(f"{name} has {len(texts)} texts; it must have at least {at_least}.")
    return texts


UNITS = ("characters", "words")
ORDERS = 4
"""BLEU-4 counts n-grams of 1 to 4 units."""


def bleu(texts: Sequence[str], references: Sequence[str], unit: str = "characters") -> float:
    """Return the corpus BLEU-4 of texts, each against all references, between 0 and 1.

    BLEU (Papineni et al. 2002) is the geometric mean of four shares: of the n-grams of the texts,
    n = 1 … 4, how many does a reference have? An n-gram counts at most as often as the reference
    that has it most often. Where all texts are shorter than the references nearest in length, a
    brevity penalty lowers the result. sacrebleu computes it (Post 2018), in percent; here it is a
    share of 1.

    sacrebleu parts nothing itself, so a word is what `words` says: it is given the words with
    spaces between them, and tokenize="none". Characters are given as the numbers of their code
    points, since sacrebleu would drop white space. Smoothing: "exp" (method 3 of Chen & Cherry
    2014), of consequence only where no n-gram of some n is found. Where every text has fewer than
    4 units, only the n that they have count (sacrebleu's effective order).

    Blind to: whether an n-gram stands in a sensible place. A text copied from a reference has 1.
    More references raise it: compare only values with the same references.

    Args:
        texts: what was written, T of them.
        references: real texts of about the same length. Cut a book into such pieces: beside one
            long reference, the brevity penalty makes everything 0.
        unit: "characters" or "words".

    Raises:
        ValueError: there is no text or no reference; none of them has a unit; the unit is another;
            or there are more than 3 million characters.
    """
    from sacrebleu.metrics import BLEU

    texts, references = check_texts("texts", texts), check_texts("references", references)
    _check_bleu(texts + references, unit)
    tokens, others = _tokens("texts", texts, unit), _tokens("references", references, unit)
    # One segment with all references, of which the n-grams are counted once for all texts.
    measure = BLEU(
        references=[[" ".join(other)] for other in others],
        tokenize="none",
        force=True,
        effective_order=True,
    )
    found = [measure.corpus_score([" ".join(own)], None) for own in tokens]
    correct, total = (np.array([f.counts for f in found]), np.array([f.totals for f in found]))
    return _bleu_of(
        correct.sum(axis=0),  # (4,)
        total.sum(axis=0),
        sum(f.sys_len for f in found),
        sum(f.ref_len for f in found),
    )


def self_bleu(texts: Sequence[str], unit: str = "characters") -> float:
    """Return self-BLEU: the mean over texts of the BLEU of each against all others.

    Zhu et al. (2018), Texygen. 1: every text says what another one says. Low: the texts differ.
    Units, smoothing and the effective order are those of `bleu`; Texygen takes words, and another
    smoothing. Blind to: whether the texts are any good. It rises with the number of texts and with
    their length: compare the same numbers of texts of one length.

    Raises:
        ValueError: there are fewer than 2 texts, or as `bleu`.
    """
    return float(np.mean(self_bleu_of_each(texts, unit)))


def self_bleu_of_each(texts: Sequence[str], unit: str = "characters") -> list[float]:
    """Return the BLEU of each text against all others, T values.

    Use `mean_interval` of these for the interval of `self_bleu`. `bootstrap_interval` would draw a
    text twice, and a text that stands beside itself has a BLEU of 1.

    Raises:
        ValueError: as `self_bleu`.
    """
    texts = check_texts("texts", texts, at_least=2)
    _check_bleu(texts, unit)
    tokens = _tokens("texts", texts, unit)
    counts = [_counted(own) for own in tokens]
    # The most that any text has of an n-gram, and which text; and the most that another text has.
    # So each n-gram of each text is looked at twice, and not once for every pair of texts.
    most, holder, second = Counter(), {}, Counter()
    for k, count in enumerate(counts):
        for gram, times in count.items():
            if times > most[gram]:
                second[gram], most[gram], holder[gram] = most[gram], times, k
            elif times > second[gram]:
                second[gram] = times
    values = []
    for k, own in enumerate(tokens):
        correct = [0] * ORDERS
        for gram, times in counts[k].items():
            elsewhere = second[gram] if holder[gram] == k else most[gram]
            correct[len(gram) - 1] += min(times, elsewhere)
        total = [max(len(own) - n, 0) for n in range(ORDERS)]
        lengths = [len(other) for j, other in enumerate(tokens) if j != k]
        nearest = min(lengths, key=lambda length, own=own: (abs(length - len(own)), length))
        values.append(_bleu_of(correct, total, len(own), nearest))
    return values


def _counted(tokens: list[str]) -> Counter:
    """Return how often a text has each n-gram, n = 1 … 4."""
    each = (ngrams(tokens, n) for n in range(1, ORDERS + 1) if n <= len(tokens))
    return Counter(gram for of_one_n in each for gram in of_one_n)


def _check_bleu(texts: list[str], unit: str) -> None:
    """Raise a ValueError if texts are too large to be counted, or the unit is none."""
    check_choice("unit", unit, UNITS)
    size = sum(map(len, texts))
    if size > MOST_BLEU:
        raise ValueError(f"{size} characters are too many for BLEU; take at most {MOST_BLEU}.")


def _tokens(name: str, texts: list[str], unit: str) -> list[list[str]]:
    """Return the units of each text as tokens without white space."""
    tokens = [words(t) if unit == "words" else [str(ord(c)) for c in t] for t in texts]
    if not any(tokens):
        raise ValueError(f"{name} have no {unit}, so BLEU has nothing to count.")
    return tokens


def _bleu_of(correct: Sequence, total: Sequence, length: int, reference: int) -> float:
    """Return BLEU from the n-grams found and the n-grams there are, (4,) each, and two lengths."""
    from sacrebleu.metrics import BLEU

    correct, total = [int(count) for count in correct], [int(count) for count in total]
    score = BLEU.compute_bleu(correct, total, length, reference, "exp", effective_order=True)
    return min(score.score / 100, 1.0)  # exp(log(100)) is a little more than 100


class Interval(NamedTuple):
    """A measured value and its confidence interval.

    Attributes:
        value: what was measured.
        low, high: the ends of the interval.
    """

    value: float
    low: float
    high: float


def bootstrap_interval(
    measure: Callable[[list], float],
    texts: Sequence,
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return a measure of texts with its percentile bootstrap interval (Efron 1979).

    From T texts, T are drawn with replacement, and measured; this is done `draws` times. The
    interval holds the middle of these values: the share `level` of them. Whole texts are drawn and
    not characters, since the characters of a text depend on each other.

    With few texts the interval is too short: see `mean_interval`. It is of no use for a measure
    that looks for the same thing in two texts, as self-BLEU does: a text that is drawn twice has
    itself beside it.

    Args:
        measure: takes a list of texts and returns a number.
        texts: T texts, or anything else that was sampled independently.
        draws: how often texts are drawn, and so how often they are measured.
        level: 0.95 gives 95 %.
        seed: of the draws.

    Raises:
        ValueError: there are fewer than 2 texts; draws, level or seed have no meaning; or the
            measure of the texts or of a draw is NaN.
    """
    texts = _at_least_two(texts)
    value = float(measure(texts))
    picks = _picks(len(texts), draws, level, seed)
    return _interval(value, [measure([texts[k] for k in pick]) for pick in picks], level)


def mean_interval(
    values: Sequence[float], *, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return the mean of values, one a text, with its percentile bootstrap interval (Efron 1979).

    It is `bootstrap_interval` for a measure that is a mean over texts; each text is measured once.
    With few texts the interval is too short. Of normal values, one of 95 % holds the true mean in
    89 of 100 cases with 10 texts, in 93 with 30 and in 94 with 100.

    Args:
        values: (T,) numbers.
        draws, level, seed: as for `bootstrap_interval`.

    Raises:
        ValueError: as `bootstrap_interval`.
    """
    values = np.asarray(_at_least_two(values), dtype=np.float64)
    picks = _picks(len(values), draws, level, seed)
    return _interval(float(values.mean()), [values[pick].mean() for pick in picks], level)


def _at_least_two(texts: Sequence) -> list:
    if isinstance(texts, str):
        raise ValueError("An interval is over texts, and this is one text; give a list of texts.")
    texts = list(texts)
    if len(texts) < 2:
        raise ValueError(f"An interval needs at least two texts; there are {len(texts)}.")
    return texts


def _picks(size: int, draws: int, level: float, seed: int) -> Iterator[np.ndarray]:
    """Return an iterator over which texts are drawn, (T,) integers each."""
    check_whole("draws", draws)
    check_number("level", level, above=0, below=1)
    rng = np.random.default_rng(check_whole("seed", seed, at_least=0))
    return (rng.integers(size, size=size) for _ in range(draws))


def _interval(value: float, drawn: Sequence[float], level: float) -> Interval:
    """Return the interval that holds the middle of the drawn values."""
    if not np.isfinite([value, *drawn]).all():
        raise ValueError("The measure of the texts, or of some of them, is no finite number.")
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def wilson_interval(count: int, of: int, z: float = 1.96) -> tuple[float, float]:
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
