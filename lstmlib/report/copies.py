"""What a long text copies from a long text: matches of all of both, in bounded memory.

Sizes in comments: n characters of the text, L lengths of the novelty curve.
"""

import numpy as np

from lstmlib import suffixes

CURVE = 60
"""The longest substrings of the novelty curve."""
SECONDS = 8e-7
"""What it takes to match two pieces, for a character of both."""


def ranges(begin: int, end: int) -> list[tuple[int, int]]:
    """Return the parts of a text that are matched at a time; each reaches into the next one."""
    step = suffixes.PIECE - suffixes.REACH
    return [(k, min(k + suffixes.PIECE, end)) for k in range(begin, end, step)]


def best_matches(
    text: str, book: str, ranges: list[tuple[int, int]], known: suffixes.Matches | None = None
) -> suffixes.Matches:
    """Return the longest matches of a text of one piece with some parts of a book.

    `longest_matches` would do the same with four bytes for each character of the book.
    """
    lengths = known.lengths if known else np.zeros(len(text), dtype=np.int64)
    sources = known.sources if known else np.full(len(text), -1, dtype=np.int64)
    for begin, end in ranges if text else []:
        found = suffixes.longest_matches(text, book[begin:end])
        better = found.lengths > lengths
        lengths = np.where(better, found.lengths, lengths)
        sources = np.where(better, found.sources + begin, sources)
    return suffixes.Matches(lengths, sources)


def match_all(
    text: str, book: str, cut: int, most: int = 10
) -> tuple[np.ndarray, list[suffixes.CopiedSpan]]:
    """Match all of a text with all of a book.

    Returns:
        How many places of the text have a longest match of 0, 1, … characters with the first `cut`
        characters of the book, those of `CURVE` and more together, (L + 1,) int64. And the longest
        passages that stand in all of the book, `most` at most, each once, at its first place.
    """
    counts, spans = np.zeros(CURVE + 1, dtype=np.int64), []
    step = suffixes.PIECE - suffixes.REACH
    for begin in range(0, len(text), step):
        piece = text[begin : begin + suffixes.PIECE]
        matches = best_matches(piece, book, ranges(0, cut))
        counts += np.bincount(np.minimum(matches.lengths[:step], CURVE), minlength=CURVE + 1)
        matches = best_matches(piece, book, ranges(cut, len(book)), matches)
        # What begins in the reach of a piece belongs to the next one.
        matches = suffixes.Matches(matches.lengths[:step], matches.sources[:step])
        for start, length, source in _longest(piece, matches, most + 1):
            spans.append(_extended(text, book, begin + start, length, source))
        spans = _apart(text, spans)[:most]
    return counts, spans


def _longest(text: str, matches: suffixes.Matches, most: int) -> list[suffixes.CopiedSpan]:
    """Return the longest passages of a piece, as `Matches.spans` does, but none of them twice.

    A text that goes in circles would fill the list with one phrase.
    """
    lengths = matches.lengths
    before = np.concatenate([[0], lengths[:-1]])
    starts = np.flatnonzero((lengths >= before) & (lengths > 0))
    taken, found = np.zeros(len(text), dtype=bool), {}
    for start in starts[np.argsort(-lengths[starts], kind="stable")].tolist():
        length = int(lengths[start])
        if len(found) == most:
            break
        if not taken[start : start + length].any():
            taken[start : start + length] = True
            span = suffixes.CopiedSpan(start, length, int(matches.sources[start]))
            found.setdefault(_key(text, start, length), span)
    return list(found.values())


def _extended(text: str, book: str, start: int, length: int, source: int) -> suffixes.CopiedSpan:
    """Return a copied passage to its end, where a piece of one of the texts cut it."""
    block = 2**16
    while block:
        mine = text[start + length : start + length + block]
        if len(mine) == block and mine == book[source + length : source + length + block]:
            length += block
        else:
            block //= 2
    return suffixes.CopiedSpan(start, length, source)


def _apart(text: str, spans: list[suffixes.CopiedSpan]) -> list[suffixes.CopiedSpan]:
    """Return passages, longest first, without those that overlap a longer one or are the same."""
    kept: list[suffixes.CopiedSpan] = []
    known = set()
    for span in sorted(spans, key=lambda span: (-span.length, span.start)):
        end = span.start + span.length
        apart = all(end <= k.start or span.start >= k.start + k.length for k in kept)
        if apart and _key(text, *span[:2]) not in known:
            known.add(_key(text, *span[:2]))
            kept.append(span)
    return kept


def _key(text: str, start: int, length: int) -> tuple[int, str]:
    """Return what tells passages apart, without a copy of a long one."""
    return length, text[start : start + min(length, 100)]


def novelty_curve(counts: np.ndarray, size: int) -> np.ndarray:
    """Return the share of substrings of each length that are new, (L,); NaN where there is none."""
    seen = counts[::-1].cumsum()[::-1][1:]
    of_length = size - np.arange(CURVE)
    return np.where(of_length > 0, 1 - seen / np.maximum(of_length, 1), np.nan)


def matching_seconds(text: str, book: str) -> float:
    """Return about how long `match_all` takes."""
    sizes, others = ([end - begin for begin, end in ranges(0, len(t))] for t in (text, book))
    return SECONDS * (sum(sizes) * len(others) + sum(others) * len(sizes))
