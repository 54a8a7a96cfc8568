"""An audit of a text before anything is trained: what is in it, and what can be expected of it.

`audit` measures size, alphabet, language, repeated passages, what a library or a publisher left in,
and what a 5-gram model achieves. `Audit.verdict` says in plain sentences what follows from that.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from lstmlib.batching import split
from lstmlib.books import sha256, take_sample
from lstmlib.findings import Finding
from lstmlib.languages import Languages, languages_of
from lstmlib.ngram import NGramModel
from lstmlib.suffixes import longest_matches
from lstmlib.vocab import Vocab

MOST = 2_000_000
"""Characters that are measured at most; of a longer text a sample, see `take_sample`."""
LEAST = 1_000
"""Characters below which there is nothing to measure."""
SHORT, LONG = 50, 100
"""The lengths of repeated passages that are counted, in characters."""
PARTS = 20
"""The parts of which each has its own share of repeats."""
MANY, FEW = 500, 50
"""Distinct characters from which an alphabet is large, and below which it is small."""
MARKS = 10
"""The most lines of a library or a publisher that are listed."""
# Words of libraries and publishers, in the languages of most books.
_MARK = re.compile(
    r"project gutenberg|gutenberg-tm|all rights reserved|creative commons|\blicensed under\b"
    r"|\blicen[cs]e (?:agreement|terms)|free documentation license|terms of (?:use|this agreement)"
    r"|distributed proofread|digiti[sz]ed by|internet archive|\bisbn\b|\bcopyright\b.{0,20}\d{4}"
    r"|©|alle rechte vorbehalten|tous droits réservés|todos los derechos reservados"
    r"|все права защищены|版权所有|著作権",
    re.I,
)


@dataclass(frozen=True)
class Repeats:
    """How much of a text stood in it before.

    Attributes:
        short, long: of its runs of 50 and of 100 characters, the share that stood in it before.
        longest: length of the longest passage that stands in it twice, in characters.
        first, second: two places of that passage, in characters from the beginning.
        passage: its first characters.
        held_out: the held-out copies, the share of the last tenth that stands in the text before
            it, in passages of 50 characters or more.
        by_part: `short` of each twentieth of the text, in order.
    """

    short: float
    long: float
    longest: int
    first: int
    second: int
    passage: str
    held_out: float
    by_part: tuple[float, ...]


@dataclass(frozen=True)
class Audit:
    """What was measured of a text.

    Attributes:
        sha256: of the whole text in UTF-8.
        characters: of the whole text.
        measured: characters of the sample that all else was measured on; all, if it is short.
        distinct: distinct characters.
        seldom: how many of these occur fewer than 10 times.
        languages: what its letters say of its language.
        verse: whether most lines are short and end where the writer ended them.
        repeats: what stood in it before.
        marks: (line from 1, the line) of words of a library or a publisher, the first `MARKS`.
        mark_count: how many such lines there are.
        five_gram: loss of a 5-gram model on the last tenth, in nats per character.
    """

    sha256: str
    characters: int
    measured: int
    distinct: int
    seldom: int
    languages: Languages
    verse: bool
    repeats: Repeats
    marks: tuple[tuple[int, str], ...]
    mark_count: int
    five_gram: float

    @property
    def findings(self) -> dict[str, Finding]:
        """What follows for training: what a finding is about -> what is found, and what to do."""
        found = {name: look(self) for name, look in _LOOKS.items()}
        return {name: finding for name, finding in found.items() if finding}

    @property
    def verdict(self) -> tuple[str, ...]:
        """The findings in words, a few sentences each."""
        return tuple(map(str, self.findings.values()))

    def __str__(self) -> str:
        repeats, lines = self.repeats, "short, as of verse" if self.verse else "of prose"
        rows = {
            "characters": f"{self.characters:,}"
            + (f" (measured on {self.measured:,})" if self.measured < self.characters else ""),
            "distinct": f"{self.distinct:,}, of which {self.seldom:,} occur under 10 times",
            "language": str(self.languages),
            "lines": lines,
            "repeated": f"{repeats.short:.1%} of runs of {SHORT} characters, "
            f"{repeats.long:.1%} of {LONG}; the longest has {repeats.longest:,}",
            "held-out copies": f"{repeats.held_out:.1%} of the last tenth, in passages of {SHORT} "
            "or more",
            "words of others": f"{self.mark_count} lines of a library or a publisher",
            "5-gram": f"{self.five_gram:.3f} nats per character",
        }
        return "\n".join(f"{name:<16} {said}" for name, said in rows.items())


def audit(text: str) -> Audit:
    """Measure a text.

    Args:
        text: any text of 1,000 characters or more. Of more than `MOST`, a sample is measured.

    Raises:
        ValueError: the text is too short to measure, of one character alone, or no string.
    """
    if not isinstance(text, str):
        raise ValueError(f"audit takes a text, and got {type(text).__name__}: audit(book.text).")
    if len(text.strip()) < LEAST:
        raise ValueError(
            f"The text has {len(text.strip()):,} characters. Give one of {LEAST:,} or more: of "
            "fewer nothing can be measured, and nothing learnt."
        )
    if len(set(text)) < 2:
        raise ValueError(f"The text is {text[0]!r} alone, again and again. Give another text.")
    sample = take_sample(text, MOST)
    counts = Counter(sample)
    marks = marks_in(text)
    vocab = Vocab(counts)
    train, valid = split(vocab.encode(sample))
    return Audit(
        sha256(text),
        len(text),
        len(sample),
        len(counts),
        sum(count < 10 for count in counts.values()),
        languages_of(sample),
        _is_verse(sample),
        repeats_in(sample),
        tuple(marks[:MARKS]),
        len(marks),
        NGramModel(train, 5, len(vocab)).nats_per_char(valid),
    )


def repeats_in(text: str) -> Repeats:
    """Return how much of a text stood in it before.

    All suffixes of the text are sorted (Manber & Myers 1993, as in `lstmlib.suffixes`). Of the
    suffixes that begin with the same run, all but one repeat it: so the runs of n characters that
    stood in the text before are as many as neighbours that share n characters or more.
    """
    from pydivsufsort import divsufsort, kasai

    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")  # (N,)
    used, ids = np.unique(codes, return_inverse=True)
    ids = ids.astype(np.uint8 if len(used) < 256 else np.uint16 if len(used) < 2**16 else np.uint32)
    order = divsufsort(ids)  # where the suffixes begin, in their order, (N,)
    common = kasai(ids, order)  # characters that each shares with the next one, (N,)
    at = int(np.argmax(common))
    longest = int(common[at])
    places = sorted((int(order[at]), int(order[min(at + 1, len(order) - 1)])))
    # Suffixes that begin with the same run stand together. The first of them in the text is new.
    begins = np.flatnonzero(np.insert(common[:-1] < SHORT, 0, True))  # of each group, in the order
    repeated = np.ones(len(text), dtype=bool)  # whether the run at a place stood before, (N,)
    repeated[np.minimum.reduceat(order, begins)] = False
    shares = [(common >= n).sum() / max(len(text) - n + 1, 1) for n in (SHORT, LONG)]
    cut = len(split(ids)[0])
    return Repeats(
        *map(float, shares),
        longest,
        *places,
        text[places[0] : places[0] + min(longest, 120)],
        longest_matches(text[cut:], text[:cut]).covered(SHORT),
        tuple(float(part.mean()) for part in np.array_split(repeated, PARTS)),
    )


def marks_in(text: str) -> list[tuple[int, str]]:
    """Return (line from 1, the line) of each line with words of a library or a publisher."""
    found = {}
    line, seen = 1, 0
    for match in _MARK.finditer(text):
        line, seen = line + text.count("\n", seen, match.start()), match.start()
        begin = text.rfind("\n", 0, seen) + 1
        found[line] = text[begin:].split("\n", 1)[0].strip()[:200]
    return list(found.items())


def _is_verse(text: str) -> bool:
    """Say whether most lines are short, and are not wrapped at a fixed width."""
    lengths = np.array([len(line.rstrip()) for line in text.split("\n") if line.strip()])
    if len(lengths) < 8:
        return False
    widest = np.percentile(lengths, 90)
    # A line that was wrapped at a width ends within a long word of it.
    wrapped = (lengths > widest - 12).mean()
    return bool(np.median(lengths) <= 60 and wrapped < 0.6)


# Words for a reader


def _new(found: Audit) -> int:
    """Return about how many characters of what was measured did not stand in it before."""
    return round(found.measured * (1 - found.repeats.long))


def _on_size(found: Audit) -> Finding:
    count, said = found.characters, "characters"
    if found.repeats.long > 0.5:  # copies teach nothing more
        count, said = _new(found), "characters that are new"
    size = f"{count:,} {said}"
    if count < 20_000:
        return Finding(
            f"{size} are very few. Expect the look of words, and many that are none. The last "
            "tenth is short, so its loss says little.",
            "After some seconds the network has read them so often that more time brings nothing. "
            "Add texts of the kind.",
        )
    if count < 200_000:
        return Finding(
            f"{size} are few. Expect words and the look of the text.",
            "After some minutes the network has read them so often that more time brings little. "
            "More text would help.",
        )
    if count < 2_000_000:
        return Finding(
            f"{size} are a book. Expect words, phrases and layout, and no story that holds."
        )
    return Finding(f"{size} are plenty: the time for training is the limit, and not the text.")


def _on_alphabet(found: Audit) -> Finding | None:
    if found.distinct >= MANY:
        return Finding(
            f"The text has {found.distinct:,} distinct characters, and {found.seldom:,} of them "
            "occur under 10 times: these cannot be learnt. A character says more than one of a "
            "small alphabet, so its loss is higher, and compares only with such texts."
        )
    if found.distinct < FEW:
        return Finding(
            f"The text has only {found.distinct} distinct characters: its loss is lower than that "
            "of texts with capitals and marks, and compares only with such texts."
        )
    return None


def _on_language(found: Audit) -> Finding | None:
    languages = found.languages
    if languages.second:
        return Finding(
            f"Parts of it are in {languages.main}, others in {languages.second}. The network "
            "learns both, each from less text, and changes over as it writes.",
            "Keep one.",
        )
    if not languages.sure:
        return Finding(
            "Its language was not recognised for sure.",
            "State it yourself, in `language` beside the title.",
        )
    return None


def _on_repeats(found: Audit) -> Finding | None:
    repeats = found.repeats
    if repeats.long < 0.05:
        return None
    new = _new(found)
    most = "nearly all of it is repeated" if repeats.long > 0.5 else "much of it is repeated"
    return Finding(
        f"Of its runs of {LONG} characters, {repeats.long:.0%} stood in it before: {most}, and "
        f"only about {new:,} characters are new. The longest begins "
        f"“{_in_a_line(repeats.passage)}”.",
        "Take the copies out.",
    )


def _on_last_tenth(found: Audit) -> Finding | None:
    nothing = math.log(found.distinct)
    if found.five_gram <= 0.9 * nothing:
        return None
    return Finding(
        f"On the last tenth, a 5-gram model has a loss of {found.five_gram:.2f} nats; one that "
        f"knows nothing has {nothing:.2f}. It may be another kind of text than the rest.",
        "Look whether it is, such as notes, an index or another script. If so, cut it off.",
    )


def _on_held_out(found: Audit) -> Finding | None:
    if found.repeats.held_out < 0.05:
        return None
    return Finding(
        f"{found.repeats.held_out:.0%} of the last tenth are held-out copies: they stand in the "
        f"text before it, in passages of {SHORT} characters or more. There memory is enough, so "
        "the validation loss looks better than it is."
    )


def _on_marks(found: Audit) -> Finding | None:
    if not found.marks:
        return None
    (line, words), count = found.marks[0], found.mark_count
    return Finding(
        f"A library's or a publisher's words seem to be left in, on {count:,} "
        f"line{'s' if count > 1 else ''}, the first on line {line:,}: “{_in_a_line(words)}”.",
        "Cut out what is no part of the book, and read it: a licence says what you may do with it.",
    )


_LOOKS = {
    "size": _on_size,
    "alphabet": _on_alphabet,
    "language": _on_language,
    "repeats": _on_repeats,
    "held-out copies": _on_held_out,
    "last tenth": _on_last_tenth,
    "words of others": _on_marks,
}
"""What a finding is about -> the look that finds it."""


def _in_a_line(passage: str, most: int = 60) -> str:
    """Return the beginning of a passage without line ends."""
    words = " ".join(passage.split())
    return words if len(words) <= most else words[: most - 1] + "…"
