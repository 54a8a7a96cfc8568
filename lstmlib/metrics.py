"""How good is it? Units of loss, measures of a text, and the interval of a share."""

import math
import re
from collections.abc import Sequence, Set

from lstmlib.validation import check_whole


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


def distinct_n(items: Sequence, n: int) -> float:
    """Return distinct-n (Li et al. 2016): the number of different n-grams over that of all n-grams.

    Raises:
        ValueError: as `ngrams`.
    """
    of_items = ngrams(items, n)
    return len(set(of_items)) / len(of_items)


def novelty(items: Sequence, seen: Set, n: int) -> float:
    """Return the share of a sequence's n-grams that were not seen before.

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
