"""What does a text copy? The longest matches with another text, found by a suffix array.

Sizes in comments: n characters of the text, N of both texts with an end behind each.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from lstmlib.validation import check_whole

PIECE = 2**22
"""Characters of each text that are sorted at a time, about 4 million. So memory is bounded."""
REACH = 2**16
"""How far a piece reaches into the next. A match of this length or less is never cut."""


class CopiedSpan(NamedTuple):
    """A passage of a text that stands in another text, character for character.

    Attributes:
        start: its place in the text, 0 or more.
        length: its number of characters.
        source: one of its places in the other text, 0 or more.
    """

    start: int
    length: int
    source: int


@dataclass(frozen=True, eq=False)
class Matches:
    """How far a text goes on, from each of its places, as another text does somewhere.

    Attributes:
        lengths: length of the longest match that begins at each place, (n,) int64.
        sources: where such a match begins in the other text, (n,) int64; -1 where there is none.
    """

    lengths: np.ndarray = field(repr=False)
    sources: np.ndarray = field(repr=False)

    def novelty(self, longest: int | None = None) -> np.ndarray:
        """Return the share of the substrings of each length that are absent from the other text.

        Entry L - 1 is the share of length L, for L = 1 … `longest`; (longest,) float64. It never
        falls with L by more than the end of the text brings about. A length that the text does not
        have is nan. `longest` is the longest match plus 1, if it is not given: from there on, all
        is new.

        The definition is that of McCoy et al. 2023, who call it n-gram novelty. It is
        blind to meaning: nonsense is new, and one changed character makes a copy new.

        Raises:
            ValueError: `longest` is no whole number, 1 or more.
        """
        if longest is None:
            longest = int(self.lengths.max(initial=0)) + 1
        check_whole("longest", longest)
        # A place whose longest match has m characters has a match of every length up to m.
        counts = np.bincount(np.minimum(self.lengths, longest), minlength=longest + 1)
        seen = counts[::-1].cumsum()[::-1][1:]  # places with a match of L or more, (longest,)
        of_length = len(self.lengths) - np.arange(longest)  # substrings of length L
        share = 1 - seen / np.maximum(of_length, 1)
        return np.where(of_length > 0, share, np.nan)

    def covered(self, shortest: int) -> float:
        """Return the share of the text that lies in matches of `shortest` characters or more.

        Raises:
            ValueError: shortest is no whole number, 1 or more.
        """
        check_whole("shortest", shortest)
        places = np.arange(len(self.lengths))
        ends = np.where(self.lengths >= shortest, places + self.lengths, 0)  # (n,)
        # A place is covered if a match that began at it or before it ends behind it.
        inside = np.maximum.accumulate(ends) > places
        return float(inside.mean()) if len(inside) else 0.0

    def spans(self, count: int = 10, shortest: int = 1) -> list[CopiedSpan]:
        """Return the longest copied passages, longest first; no two of them overlap in the text.

        Args:
            count: how many at most.
            shortest: shorter ones are left out, in characters.

        Raises:
            ValueError: an argument is no whole number, 1 or more.
        """
        check_whole("count", count)
        check_whole("shortest", shortest)
        # A match that begins inside a longer one, and ends where that ends, is part of it.
        before = np.concatenate([[0], self.lengths[:-1]])
        starts = np.flatnonzero((self.lengths >= before) & (self.lengths >= shortest))
        spans: list[CopiedSpan] = []
        for start in starts[np.argsort(-self.lengths[starts], kind="stable")].tolist():
            if len(spans) == count:
                break
            end = start + int(self.lengths[start])
            if all(end <= s.start or start >= s.start + s.length for s in spans):
                spans.append(CopiedSpan(start, end - start, int(self.sources[start])))
        return spans


def longest_matches(text: str | np.ndarray, training: str | np.ndarray) -> Matches:
    """Return the longest match of a text with the training text, from each place of the text.

    The two texts are joined, and all suffixes of the whole are sorted (the suffix array of Manber &
    Myers 1993, built by libdivsufsort; benchmarks/novelty.json has its time against the size).
    Suffixes that begin alike then stand side by side, so the longest match of a place stands right
    above or below it. Texts of more than `PIECE` characters are taken piece by piece, so memory
    stays under a gigabyte. Then a match of more than `REACH` characters may be given in parts.

    Args:
        text: the text whose matches are looked for, or its ids, (n,) integers.
        training: the text in which they are looked for, or its ids.
    """
    codes = [_code_points(each) for each in (text, training)]
    lengths = np.zeros(len(text), dtype=np.int64)
    sources = np.full(len(text), -1, dtype=np.int64)
    for begin, piece in _pieces(codes[0]):
        for source_begin, source_piece in _pieces(codes[1]):
            found, places = _match(piece, source_piece)
            # What begins in the reach of a piece belongs to the next one.
            here = slice(begin, min(begin + PIECE, len(text)))
            found, places = found[: here.stop - begin], places[: here.stop - begin]
            better = found > lengths[here]
            lengths[here] = np.where(better, found, lengths[here])
            sources[here] = np.where(better, places + source_begin, sources[here])
    return Matches(lengths, sources)


def _code_points(text: str | np.ndarray) -> np.ndarray:
    """Return the code point of every character, (len(text),) uint32; ids as they are."""
    if isinstance(text, np.ndarray):
        return text
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _pieces(codes: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the place of each piece, and the piece with its reach into the next one."""
    for begin in range(0, len(codes), PIECE):
        yield begin, codes[begin : begin + PIECE + REACH]


def _match(text: np.ndarray, training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the length and the source of the longest match at each place of a text, (n,) each."""
    from pydivsufsort import divsufsort, kasai

    # Characters become 2, 3, … The end of each text is a number that nothing else has, so no match
    # reaches over it.
    used, ids = np.unique(np.concatenate([training, text]), return_inverse=True)
    kind = np.uint8 if len(used) < 254 else np.uint16 if len(used) < 2**16 - 2 else np.uint32
    ids = (ids + 2).astype(kind)
    ends = np.array([[0], [1]], dtype=kind)
    joined = np.concatenate([ids[: len(training)], ends[0], ids[len(training) :], ends[1]])  # (N,)
    order = divsufsort(joined)  # suffixes in order: where each begins, (N,)
    common = kasai(joined, order).astype(np.int64)  # characters shared with the next suffix, (N,)
    above = _nearest(order, common, len(training))
    # The same from below: the suffix before in the reversed order is the one behind.
    reversed_common = np.concatenate([common[:-1][::-1], [0]])
    below = _nearest(order[::-1], reversed_common, len(training))
    lengths, sources = (
        np.where(below[0] > above[0], b, a) for a, b in zip(above, below, strict=True)
    )
    places = slice(len(training) + 1, len(joined) - 1)
    return lengths[places], sources[places]


def _nearest(order: np.ndarray, common: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what each suffix shares with the nearest suffix of the training text before it.

    Args:
        order: where each suffix begins, (N,).
        common: the number of characters that each shares with the next in order, (N,) int64.
        size: a suffix that begins before `size` is one of the training text.

    Returns:
        By the place where a suffix begins: the number of shared characters, and where that suffix
        of the training text begins, -1 where nothing is shared; (N,) int64 each.
    """
    training = order < size
    groups = np.cumsum(training)  # a training suffix, and all behind it until the next: one group
    # A suffix shares with an earlier one the least of what neighbours on the way share. The running
    # minimum must begin anew in each group: each group lies lower than all before it.
    offset = groups * np.int64(len(order) + 1)
    before = np.concatenate([[0], common[:-1]])  # shared with the suffix just before
    before = np.where(training, len(order), before)
    shared = np.minimum.accumulate(before - offset) + offset
    last = np.maximum.accumulate(np.where(training, np.arange(len(order)), -1))
    shared = np.where(training | (last < 0), 0, shared)
    lengths, sources = np.empty((2, len(order)), dtype=np.int64)
    lengths[order] = shared
    sources[order] = np.where(shared > 0, order[last], -1)
    return lengths, sources
