"""Generated or real? Two-sample measures: of texts with texts, and never of one text alone.

Sizes in comments: T texts of both kinds together, F features, K different n-grams.
"""

import lzma
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lstmlib.metrics import Interval, check_texts, ngrams, wilson_interval
from lstmlib.validation import check_whole

MOST = 2 * 10**7
"""The most characters that a comparison takes, of all its texts together."""
MOST_CLASSIFIED = 2 * 10**6
"""The most characters that a classifier learns from: 2 to 4 seconds a shuffle."""
WINDOW = 2**23
"""How many bytes the compressor looks back, 8 MiB: a book of 8 million English letters."""
SCALE = 5
"""The scaling constant c of MAUVE."""
WEIGHTS = 200
"""How many mixtures the divergence frontier is drawn through."""


class TwoSampleResult(NamedTuple):
    """How well a classifier tells generated from real texts.

    Attributes:
        accuracy: the share of texts it told right: the mean of that of real and that of generated
            texts. 0.5: it guesses. 1: it never errs. Far below 0.5: the same texts are on both
            sides, and each pulls its twin to the wrong one.
        low, high: the 95 % confidence interval of the accuracy.
        p_value: how often so high an accuracy comes by chance, where the two do not differ.
        permutations: how many shuffles the p-value is from; it is 1 / (permutations + 1) or more.
    """

    accuracy: float
    low: float
    high: float
    p_value: float
    permutations: int


def classifier_test(
    real: Sequence[str],
    generated: Sequence[str],
    *,
    folds: int = 5,
    permutations: int = 200,
    seed: int = 0,
) -> TwoSampleResult:
    """Return how well a classifier tells generated texts from real ones that it never saw.

    A classifier two-sample test (Lopez-Paz & Oquab 2017). Each text becomes the tf-idf weights of
    its character 1- to 3-grams, with 1 + log of each count. A logistic regression learns from the
    texts of all folds but one, and says of those in the last fold which they are. tf-idf sees all
    texts and no label.

    The p-value is from permutations (Ojala & Garriga 2010, test 1): labels are shuffled, and all of
    it is done again. p = (shuffles that are as good + 1) / (shuffles + 1), where "good" is the mean
    accuracy over folds. The interval joins the Wilson intervals of the two kinds of text (Newcombe
    1998, method 10, for a sum); it takes the texts as independent.

    Treat both kinds of text alike, or the classifier learns the treatment: where they begin and
    end, how long they are, how they were cleaned, a prompt. `cut_alike` cuts them. Pieces of one
    text are not independent: then the interval is too short, and the p-value too small.

    Real texts of two chapters differ too: their names and their subjects give them away. So look
    first at how well the test tells one half of the real texts from the other.

    Blind to: all beyond 3 characters in a row, such as grammar and sense. Chance level is no proof
    that the texts are real.

    Args:
        real, generated: texts, at least `folds` of each. The numbers may differ.
        folds: parts of the cross-validation.
        permutations: 200 of them take half a minute with 100 texts of 300 characters of each kind.
        seed: of folds and permutations.

    Raises:
        ValueError: there are too few texts, more than 2 million characters, or none at all; or an
            option has no meaning.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict, permutation_test_score

    check_whole("folds", folds, at_least=2)
    check_whole("permutations", permutations)
    check_whole("seed", seed, at_least=0, at_most=2**32 - 1)
    real, generated = _two_sides(real, generated, at_least=folds)
    size = sum(map(len, real + generated))
    if size > MOST_CLASSIFIED:
        said = f"{size} characters are too many for the classifier; take at most {MOST_CLASSIFIED}"
        raise ValueError(f"{said}, such as fewer pieces of `cut_alike`.")
    if not size:
        raise ValueError("All texts are empty, so there is nothing to tell them by.")
    # The logarithm of a count, and weak shrinkage of the weights, find most of a real difference.
    vectorizer = TfidfVectorizer(analyzer=_short_grams, sublinear_tf=True)
    x = vectorizer.fit_transform(real + generated)  # (T, F), sparse
    y = np.repeat([0, 1], [len(real), len(generated)])  # (T,), 1: generated
    model = LogisticRegression(C=10, max_iter=1000, class_weight="balanced")
    cut = StratifiedKFold(folds, shuffle=True, random_state=seed)
    right = cross_val_predict(model, x, y, cv=cut) == y
    _, _, p_value = permutation_test_score(
        model,
        x,
        y,
        cv=cut,
        n_permutations=permutations,
        scoring="balanced_accuracy",
        random_state=seed,
    )
    sides = [(int(right[y == side].sum()), int((y == side).sum())) for side in (0, 1)]
    return TwoSampleResult(*_balanced(sides), float(p_value), permutations)


def _short_grams(text: str) -> list[str]:
    """Return the 1- to 3-grams of a text. scikit-learn's own would make blank lines one space."""
    return [gram for n in (1, 2, 3) if n <= len(text) for gram in ngrams(text, n)]


def _balanced(sides: Sequence[tuple[int, int]]) -> Interval:
    """Return the mean of two shares, each (count, of), with its interval.

    The interval of a sum of independent shares: on each side, the root of the sum of the squared
    distances from share to end (Newcombe 1998; for a difference this is his method 10).
    """
    shares = np.array([count / of for count, of in sides])
    ends = np.array([wilson_interval(count, of) for count, of in sides])  # (2, 2): low, high
    middle = float(shares.mean())
    below, above = (float(np.linalg.norm(shares - ends[:, k])) / 2 for k in (0, 1))
    return Interval(middle, max(middle - below, 0.0), min(middle + above, 1.0))


def cut_alike(
    real: Sequence[str],
    generated: Sequence[str],
    length: int,
    *,
    count: int | None = None,
    seed: int = 0,
) -> tuple[list[str], list[str]]:
    """Return pieces of one length from real and from generated texts, as many of each.

    Real texts begin at a line and end at a full stop; generated ones begin after a prompt and break
    off. A classifier sees that before it sees anything else. So each text gives pieces that begin
    at random places and do not overlap. Of the pieces of a text, one less is taken than would fit:
    without room to move, the first would always begin at the text's beginning.

    Args:
        real, generated: texts, such as `[held_out]` and `[sample.new for sample in samples]`; each
            of 2 · length characters or more. A prompt is no part of a generated text.
        length: characters of a piece.
        count: pieces of each; None takes as many as the side with fewer has.
        seed: of the places, and of which pieces are taken.

    Raises:
        ValueError: a side has no text, or fewer pieces than count; a text is too short; or an
            option has no meaning.
    """
    check_whole("length", length)
    rng = np.random.default_rng(check_whole("seed", seed, at_least=0))
    sides = {"real": real, "generated": generated}
    pieces = {name: _pieces(name, texts, length, rng) for name, texts in sides.items()}
    fewest = min(map(len, pieces.values()))
    taken = fewest if count is None else check_whole("count", count)
    if taken > fewest:
        raise ValueError(f"count is {count}, but there are only {fewest} pieces of each kind.")
    drawn = [
        [own[k] for k in rng.choice(len(own), taken, replace=False)] for own in pieces.values()
    ]
    return drawn[0], drawn[1]


def _pieces(name: str, texts: Sequence[str], length: int, rng: np.random.Generator) -> list[str]:
    """Return pieces of texts that begin at random places and do not overlap."""
    found = []
    for k, text in enumerate(check_texts(name, texts)):
        if len(text) < 2 * length:
            said = f"{name}[{k}] has {len(text)} characters; a piece of {length} that begins at"
            raise ValueError(f"{said} a random place needs a text of {2 * length} or more.")
        pieces = len(text) // length - 1
        room = len(text) - pieces * length  # characters that are in no piece
        gaps = np.sort(rng.integers(room + 1, size=pieces))  # how many of these before each piece
        found += [text[g + j * length : g + (j + 1) * length] for j, g in enumerate(gaps.tolist())]
    return found


def ngram_divergence(real: Sequence[str], generated: Sequence[str], n: int = 3) -> float:
    """Return how near the n-grams of generated texts are to those of real texts: 1 is equal.

    The area under the divergence frontier of MAUVE (Pillutla et al. 2021). Let P and Q be the
    shares of each n-gram in real and in generated texts, and R = λ P + (1 - λ) Q a mixture. The
    frontier is the curve of (exp(-5 KL(Q ‖ R)), exp(-5 KL(P ‖ R))) for λ from 0 to 1, in nats.
    KL(Q ‖ R) is large where generated texts have what real ones lack; KL(P ‖ R), where they lack
    what real ones have. The area is 1 for equal shares, and 1/252 where no n-gram is in both.

    It is not MAUVE: there P and Q are shares of clusters, to which the states of GPT-2 at the end
    of each text belong; here they are shares of character n-grams. MAUVE sees the sense of a text,
    this does not. Compare no value of one with a value of the other.

    It is biased downwards: two samples of one source do not share all of their rare n-grams. With
    3-grams of two samples of Shakespeare it is about 0.47 for 10 000 characters each, 0.88 for
    50 000 and 0.98 for 200 000. So read it beside `divergence_ceiling`, and compare only values
    from equal numbers of characters. Blind to: all beyond n characters, and the order of texts.

    Args:
        real, generated: texts; an n-gram reaches from none into the next.
        n: characters in an n-gram.

    Raises:
        ValueError: a side has no text of n characters or more, or all of them have more than 20
            million characters.
    """
    check_whole("n", n)
    real, generated = _two_sides(real, generated)
    counts = [_count(name, texts, n) for name, texts in (("real", real), ("generated", generated))]
    grams = sorted(counts[0] | counts[1])
    # (2, K): the shares of each n-gram in real and in generated texts.
    shares = np.array([[own[gram] for gram in grams] for own in counts], dtype=np.float64)
    return _frontier_area(*shares / shares.sum(axis=1, keepdims=True))


def divergence_ceiling(
    real: Sequence[str], n: int = 3, *, draws: int = 20, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return the `ngram_divergence` of real texts with real texts, which no network should exceed.

    The texts are shuffled and parted into two halves. Give twice as many texts as are compared
    with a network: then each half has as many as each side has there, and the same bias.

    Args:
        real: two texts or more, of about equal lengths, such as those of `cut_alike`.
        n: characters in an n-gram.
        draws: how often the texts are parted.
        level: the interval holds this share of the values; the value is their mean.
        seed: of the shuffles.

    Raises:
        ValueError: as `ngram_divergence`; or there are fewer than two texts.
    """
    real = check_texts("real", real, at_least=2)
    check_whole("draws", draws)
    rng = np.random.default_rng(check_whole("seed", seed, at_least=0))
    half, values = len(real) // 2, []
    for _ in range(draws):
        order = [real[k] for k in rng.permutation(len(real))]
        values.append(ngram_divergence(order[:half], order[half : 2 * half], n))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(np.mean(values)), float(low), float(high))


def _count(name: str, texts: Sequence[str], n: int) -> Counter:
    """Return how often texts have each n-gram."""
    count = Counter()
    for text in texts:
        if len(text) >= n:
            count.update(ngrams(text, n))
    if not count:
        raise ValueError(f"None of the {name} texts has {n} characters, so there is no {n}-gram.")
    return count


def _frontier_area(p: np.ndarray, q: np.ndarray) -> float:
    """Return the area under the divergence frontier of two distributions, (K,) each."""
    points = [(1.0, 0.0)]  # Q alone is the mixture, and P has what Q lacks
    for weight in np.linspace(0, 1, WEIGHTS + 1)[1:-1]:
        r = weight * p + (1 - weight) * q  # above 0, since each n-gram is in one of the two
        points.append((np.exp(-SCALE * _kl(q, r)), np.exp(-SCALE * _kl(p, r))))
    points.append((0.0, 1.0))
    x, y = np.array(points).T  # x falls
    return float(((x[:-1] - x[1:]) * (y[:-1] + y[1:]) / 2).sum())  # trapezoids


def _kl(p: np.ndarray, r: np.ndarray) -> float:
    """Return KL(p ‖ r) in nats; where p is 0, nothing is added."""
    there = p > 0
    return max(float((p[there] * np.log(p[there] / r[there])).sum()), 0.0)  # no rounding below 0


def compressed_bits(text: str, given: str = "") -> float:
    """Return how many bits a character of a text costs a compressor that has read another text.

    (C(given + text) - C(given)) · 8 / characters, where C is the number of bytes that LZMA makes of
    a text in UTF-8. LZMA replaces what it has seen before by where it stood. Its window of 8 MiB
    holds a whole book; zlib's, of 32 kB, would hold a chapter. What of `given` lies further back
    than the window is left out.

    Compare with held-out text of the same length: a lower value than that of real text means that
    the text copies or repeats itself, a higher one that it is noise. Ends on whole bytes: the error
    is about 8 bits in all, so use texts of 1000 characters or more.

    Blind to: sense; and to all order that is no literal copy, since LZMA predicts badly. Its bits
    are an upper bound that a network goes far below.

    Takes the time of two compressions, 2 seconds for a megabyte of `given`. For an interval use
    `mean_interval` of the values of texts, perhaps with a shorter `given`.

    Args:
        text: what was written, or held-out text.
        given: the training text, or "" for none.

    Raises:
        ValueError: the text is empty or has more than 4 MiB.
    """
    if not text:
        raise ValueError("An empty text has no bits per character.")
    own = _bytes(text[:WINDOW])
    if len(own) > WINDOW // 2:
        said = f"The text of {len(text)} characters is too long for the compressor's window"
        raise ValueError(f"{said}; take at most {WINDOW // 2} bytes of it.")
    # A character has at least one byte, so no more of these can be within the window.
    tail = _bytes(given[-WINDOW:])[len(own) - WINDOW :]  # together they fill the window at most
    return max(_compressed(tail + own) - _compressed(tail), 0) * 8 / len(text)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _compressed(data: bytes) -> int:
    """Return the number of bytes that LZMA makes of data, without a header or a checksum."""
    filters = [{"id": lzma.FILTER_LZMA1, "preset": 9, "dict_size": WINDOW}]
    return len(lzma.compress(data, format=lzma.FORMAT_RAW, filters=filters))


def _two_sides(
    real: Sequence[str], generated: Sequence[str], at_least: int = 1
) -> tuple[list[str], list[str]]:
    """Return both kinds of texts as lists."""
    real = check_texts("real", real, at_least)
    generated = check_texts("generated", generated, at_least)
    size = sum(map(len, real + generated))
    if size > MOST:
        raise ValueError(f"The texts have {size} characters; compare at most {MOST} at a time.")
    return real, generated
