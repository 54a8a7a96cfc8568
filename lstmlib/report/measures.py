"""The measures of a report: of pieces of a generated and of held-out text, with intervals."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lstmlib.metrics import (
    ORDERS,
    Interval,
    bootstrap_interval,
    distinct_n,
    mean_interval,
    ngrams,
    repetition,
    self_bleu_of_each,
    wilson_interval,
    word_validity,
    words,
)
from lstmlib.report import meanings
from lstmlib.report.copies import best_matches, ranges
from lstmlib.report.meanings import GIVEN, GROUPS, Measure
from lstmlib.report.page import Row
from lstmlib.two_sample import (
    classifier_test,
    compressed_bits,
    divergence_ceiling,
    ngram_divergence,
)

NOVELTY = (10, 20, 40)
"""Lengths of which the novelty has a row of its own."""
FOLDS = 5
PERMUTATIONS = 200
"""Of the classifier: its folds, and how often labels are shuffled for its p-value."""
HALVES = 40
"""How often half of the pieces are drawn, for the divergence of n-grams."""
CHUNK = 2**20
"""Characters whose words are listed at a time."""

Cell = Interval | str
Cells = tuple[Cell, Cell]


@dataclass(frozen=True)
class Texts:
    """What is compared; `book` is the training text, with its last tenth where that is held out."""

    generated: str
    training: str
    held_out: str
    book: str
    own: bool


@dataclass(frozen=True)
class Sample:
    """Pieces of each text; `short` says of a text why it has none, and is "" if it has some."""

    length: int
    seed: int
    generated: list[str]
    held_out: list[str]
    training: list[str]
    sizes: tuple[int, int]

    def short(self, least: int = 2) -> tuple[str, str]:
        """Say of the generated and of the held-out text whether it is too short for `least`."""
        needed = (least + 1) * self.length
        said = "too short: {:,} characters; at this length of a piece it needs {:,}"
        return tuple("" if n >= needed else said.format(n, needed) for n in self.sizes)


# Pieces


def cut(texts: Texts, length: int, pieces: int, seed: int) -> Sample:
    """Cut all texts into pieces, as many of the generated as of the held-out text."""
    sizes = len(texts.generated), len(texts.held_out)
    # A text that is too short for two pieces is not measured, and so does not bind the other one.
    fitting = [n // length - 1 for n in sizes if n // length > 2]
    count = min([pieces, *fitting])
    sides = [texts.generated, texts.held_out, texts.training]
    # BLEU has as many references as it may have: their number is the same for both sides.
    counts = [count, count, pieces]
    found = [
        _pieces(text, length, many, [seed, k])
        for k, (text, many) in enumerate(zip(sides, counts, strict=True))
    ]
    return Sample(length, seed, *found, sizes)


def _pieces(text: str, length: int, count: int, seed: list[int]) -> list[str]:
    """Return pieces at random places that do not overlap; none of a text too short for two.

    They are those of `cut_alike`, which lists all pieces of a text before it draws some: of 100
    million characters, a copy.
    """
    fitting = len(text) // length - 1
    if fitting < 2:
        return []
    rng = np.random.default_rng(seed)
    which = np.sort(rng.choice(fitting, min(count, fitting), replace=False))
    room = len(text) - fitting * length  # characters that are in no piece
    starts = which * length + np.sort(rng.integers(room + 1, size=len(which)))
    return [text[start : start + length] for start in starts.tolist()]


def _each(measure: Callable[[str], float], sample: Sample) -> Cells:
    """Return the mean of a measure over the pieces of each side."""
    return _cells(lambda side: [measure(piece) for piece in side], sample)


def _cells(values: Callable[[list[str]], list[float]], sample: Sample, share: bool = True) -> Cells:
    """Return the means of the values of each side's pieces, NaN for a piece that has none.

    Where a share is 0 in all pieces, or 1 in all, a bootstrap gives an interval without a width.
    Wilson's has one: of k pieces without an invented word, the next may well have some.
    """
    found = []
    for side, short in zip((sample.generated, sample.held_out), sample.short(), strict=True):
        own = [] if short else [value for value in values(side) if value == value]
        few = short or "not measured: its pieces have too few words"
        if share and len(own) > 1 and set(own) in ({0}, {1}):
            ends = wilson_interval(int(sum(own)), len(own))
            found.append(Interval(own[0], *ends))
        else:
            found.append(mean_interval(own, seed=sample.seed) if len(own) > 1 else few)
    return found[0], found[1]


# Measures


def rows_of(texts: Texts, sample: Sample) -> Iterator[Row]:
    """Yield a row for each measure."""
    for measures in (_validity(texts, sample), _variety(sample), _copying(texts, sample)):
        for measure, cells in measures:
            yield Row(measure, *cells, _verdict(measure, *cells))
    cells = _compression(texts, sample)
    yield Row(meanings.COMPRESSION, *cells, _verdict(meanings.COMPRESSION, *cells))
    cells = _divergence(sample)
    yield Row(meanings.DIVERGENCE, *cells, _verdict(meanings.DIVERGENCE, *cells))
    yield _classifier(sample)


def _verdict(measure: Measure, generated: Cell, held_out: Cell) -> str:
    """Say in words how two intervals lie."""
    if isinstance(generated, str) or isinstance(held_out, str):
        return "not compared"
    if generated.low > held_out.high:
        return measure.more
    if generated.high < held_out.low:
        return measure.less
    return "no difference that the intervals show"


def _validity(texts: Texts, sample: Sample) -> list[tuple[Measure, Cells]]:
    """Return the three shares of words: seen, unseen, invented."""
    wanted = {word for piece in sample.generated + sample.held_out for word in words(piece)}
    seen, real = set(_counts(texts.training, wanted)), _counts(texts.held_out, wanted)
    own = set(sample.held_out)

    def shares(side: list[str]) -> np.ndarray:
        found = []
        for piece in side:
            elsewhere = Counter(real)
            if piece in own:  # a piece of held-out text does not vouch for its own words
                elsewhere -= Counter(words(piece))
            # The first word may begin outside the piece. The last one is not counted anyway.
            bare = re.sub(r"^\w+", "", piece)
            few = len(words(bare)) < 2
            found.append([np.nan] * 3 if few else word_validity(bare, seen, set(elsewhere)).shares)
        return np.array(found)  # (pieces, 3)

    return [
        (measure, _cells(lambda side, k=k: shares(side)[:, k].tolist(), sample))
        for k, measure in enumerate(meanings.VALIDITY)
    ]


def _counts(text: str, wanted: set[str]) -> Counter:
    """Return how often a text has each of some words, without a list of all its words."""
    found, begin = Counter(), 0
    while begin < len(text):
        gap = re.compile(r"\W").search(text, begin + CHUNK)
        end = gap.start() if gap else len(text)
        found.update(word for word in words(text[begin:end]) if word in wanted)
        begin = end
    return found


def _variety(sample: Sample) -> Iterator[tuple[Measure, Cells]]:
    def of_words(measure: Callable, n: int) -> Cells:
        def one(piece: str) -> float:
            items = words(piece)
            return measure(items, n) if len(items) >= n else np.nan

        return _each(one, sample)

    yield meanings.DISTINCT, of_words(distinct_n, 2)
    yield meanings.REPETITION, of_words(repetition, 4)

    def among(side: list[str]) -> list[float]:
        return self_bleu_of_each(side, "words") if any(map(words, side)) else []

    yield meanings.SELF_BLEU, _cells(among, sample)


def _copying(texts: Texts, sample: Sample) -> Iterator[tuple[Measure, Cells]]:
    yield meanings.BLEU, _bleu(sample)
    sides = sample.generated + sample.held_out
    matches = best_matches("".join(sides), texts.training, ranges(0, len(texts.training)))
    # A match is cut where its piece ends: what stands behind it is another piece.
    rows = matches.lengths.reshape(-1, sample.length)
    rows = np.minimum(rows, np.arange(sample.length, 0, -1))  # (pieces of both, length)
    of_piece = {id(side): part for side, part in _parted(rows, sample)}
    for n in NOVELTY:
        measure = meanings.novelty_of(n)
        if n > sample.length:
            yield measure, (f"too short: a piece has {sample.length} characters",) * 2
            continue
        yield measure, _cells(lambda side, n=n: _new(of_piece[id(side)], n), sample)
    yield (
        meanings.LONGEST,
        _cells(lambda side: of_piece[id(side)].max(axis=1).tolist(), sample, False),
    )


def _parted(rows: np.ndarray, sample: Sample) -> list[tuple[list[str], np.ndarray]]:
    """Return the rows of each side's pieces."""
    own = len(sample.generated)
    return [(sample.generated, rows[:own]), (sample.held_out, rows[own:])]


def _new(lengths: np.ndarray, n: int) -> list[float]:
    """Return the share of new substrings of n characters in each piece."""
    return (lengths[:, : lengths.shape[1] - n + 1] < n).mean(axis=1).tolist()


def _bleu(sample: Sample) -> Cells:
    """Return BLEU against pieces of the training text, with a bootstrap over pieces."""
    references = [words(piece) for piece in sample.training]
    if not any(references):
        said = "not measured: the training text has too few characters or words"
        return tuple(short or said for short in sample.short())
    most = Counter()  # the most that a reference has of each n-gram
    for reference in references:
        most |= _ngrams(reference)
    sizes = sorted(map(len, references))
    found = []
    for side, short in zip((sample.generated, sample.held_out), sample.short(), strict=True):
        if short or not any(map(words, side)):
            found.append(short or "not measured: its pieces have too few words")
            continue
        counted = [_bleu_counts(words(piece), most, sizes) for piece in side]
        found.append(bootstrap_interval(_bleu_of, counted, seed=sample.seed))
    return found[0], found[1]


def _ngrams(items: list[str]) -> Counter:
    orders = range(1, min(ORDERS, len(items)) + 1)
    return Counter(gram for n in orders for gram in ngrams(items, n))


def _bleu_counts(items: list[str], most: Counter, sizes: list[int]) -> np.ndarray:
    """Return what BLEU needs of a text: n-grams found, n-grams, its length and a reference's."""
    found = [0] * ORDERS
    for gram, times in _ngrams(items).items():
        found[len(gram) - 1] += min(times, most[gram])
    total = [max(len(items) - n, 0) for n in range(ORDERS)]
    nearest = min(sizes, key=lambda size: (abs(size - len(items)), size))
    return np.array([*found, *total, len(items), nearest])


def _bleu_of(counted: Sequence[np.ndarray]) -> float:
    """Return the BLEU of texts together, as `lstmlib.metrics.bleu` does."""
    from sacrebleu.metrics import BLEU

    total = [int(v) for v in np.sum(counted, axis=0)]
    parts = total[:ORDERS], total[ORDERS : 2 * ORDERS], *total[2 * ORDERS :]
    return min(BLEU.compute_bleu(*parts, "exp", effective_order=True).score / 100, 1.0)


def _compression(texts: Texts, sample: Sample) -> Cells:
    begin = max(len(texts.training) - GIVEN, 0) // 2  # from the middle, where no preface stands
    given = texts.training[begin : begin + GIVEN]

    def of_groups(side: list[str]) -> list[float]:
        groups = ["".join(side[k::GROUPS]) for k in range(min(GROUPS, len(side)))]
        return [compressed_bits(group, given) for group in groups]

    return _cells(of_groups, sample, False)


def _divergence(sample: Sample) -> Cells:
    """Return the divergence of random halves, and its ceiling: halves of held-out text."""
    short, n = sample.short(), 3
    if sample.length < n or any(short):
        said = short[0] or (short[1] and f"not measured: the held-out text is {short[1]}")
        return said or "too short: a piece has under 3 characters", short[1] or "not measured"
    rng, half = np.random.default_rng([sample.seed, 3]), len(sample.held_out) // 2
    values = []
    for _ in range(HALVES):
        real, own = (
            [side[k] for k in rng.choice(len(side), half, replace=False)]
            for side in (sample.held_out, sample.generated)
        )
        values.append(ngram_divergence(real, own, n))
    value = Interval(float(np.mean(values)), *map(float, np.quantile(values, [0.025, 0.975])))
    return value, divergence_ceiling(sample.held_out, n, draws=HALVES, seed=sample.seed)


def _classifier(sample: Sample) -> Row:
    short, chance = sample.short(FOLDS), "50.0\xa0% by chance"
    if any(short):
        said = short[0] or f"not measured: the held-out text is {short[1]}"
        return Row(meanings.CLASSIFIER, said, short[1] or chance, "not compared")
    sides = sample.held_out, sample.generated
    if len(sample.held_out) < FOLDS or not any(p.strip() for side in sides for p in side):
        said = f"not measured: it needs {FOLDS} pieces of each, and not of white space alone"
        return Row(meanings.CLASSIFIER, said, chance, "not compared")
    result = classifier_test(*sides, folds=FOLDS, permutations=PERMUTATIONS, seed=sample.seed)
    value = Interval(result.accuracy, result.low, result.high)
    verdict = "not told apart"
    if result.low > 0.5 and result.p_value <= 0.05:
        verdict = meanings.CLASSIFIER.more
    elif result.high < 0.5:
        verdict = meanings.CLASSIFIER.less
    return Row(meanings.CLASSIFIER, value, chance, f"{verdict} (p = {result.p_value:.3f})")
