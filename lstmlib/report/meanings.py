"""What each measure of a report means, and what it cannot see: words for a reader."""

from typing import NamedTuple

GIVEN = 250_000
"""Characters of the training text that the compressor reads first: more would take minutes."""
GROUPS = 10
"""Pieces are compressed in so many groups, since 400 characters alone are too few."""


class Measure(NamedTuple):
    """What a row measures, in words.

    Attributes:
        name: the row's head.
        unit: "%" for shares, "characters", "bits", or "" for a plain number.
        more, less: what a value above or below that of held-out text says.
        meaning: what the value is.
        blind: what it cannot see.
    """

    name: str
    unit: str
    more: str
    less: str
    meaning: str
    blind: str


VALIDITY = (
    Measure(
        "Words that the training text has",
        "%",
        "more known words than held-out text",
        "fewer known words than held-out text",
        "Share of all words.",
        'the order of words: "the the the" has only known words.',
    ),
    Measure(
        "Real words that the training text lacks",
        "%",
        "more real new words than held-out text",
        "fewer real new words than held-out text",
        "Share of words that held-out text has, and the training text does not: new, and real.",
        "real words that neither text has; they count as invented.",
    ),
    Measure(
        "Invented words",
        "%",
        "more invented words than held-out text",
        "fewer invented words than held-out text",
        "Share of words that neither text has. That of held-out text is what names and rare words "
        "give.",
        "whether an invented word could be a word.",
    ),
)
DISTINCT = Measure(
    "Distinct-2",
    "%",
    "more variety within a piece than held-out text",
    "less variety within a piece than held-out text",
    "Different pairs of words over all pairs of words, within a piece.",
    "sense: random words are all distinct.",
)
REPETITION = Measure(
    "Repetition",
    "%",
    "more repetition than held-out text",
    "less repetition than held-out text",
    "Share of the runs of 4 words that came before in the same piece.",
    "what is repeated from one piece to another, and how far away the first place is.",
)
SELF_BLEU = Measure(
    "Self-BLEU",
    "",
    "pieces more alike than those of held-out text",
    "pieces less alike than those of held-out text",
    "BLEU-4 in words of each piece against all others: 1 where every piece says the same.",
    "whether the pieces are any good; a text without spaces has few words.",
)
BLEU = Measure(
    "BLEU against the training text",
    "",
    "nearer to the training text's phrases than held-out text",
    "further from the training text's phrases than held-out text",
    "Runs of 1 to 4 words that pieces of the training text have, as many of them.",
    "the sense of their order; a copy of those pieces would have 1.",
)
LONGEST = Measure(
    "Longest copied passage of a piece",
    "characters",
    "longer copies than held-out text",
    "shorter copies than held-out text",
    "Mean over pieces; the longest ones of all of the text are listed below.",
    "copies with one changed character, which are two shorter ones.",
)
COMPRESSION = Measure(
    "Compressed size of a character",
    "bits",
    "harder to compress than held-out text, as noise is",
    "easier to compress than held-out text: copied, or repeated",
    f"Of pieces in {GROUPS} groups by LZMA, after up to {GIVEN:,} characters from the middle of "
    "the training text.",
    "sense, and all order that is no literal copy; the rest of the training text.",
)
DIVERGENCE = Measure(
    "Likeness of n-grams",
    "",
    "nearer to held-out text than its own halves are: are both the same text?",
    "further from held-out text than its own halves are",
    "Area under the divergence frontier of runs of 3 characters; 1 is equal. Of generated text: "
    "half of its pieces against half of those of held-out text. Of held-out text, the ceiling: "
    "its two halves.",
    "all order beyond 3 characters.",
)
CLASSIFIER = Measure(
    "Accuracy of a classifier",
    "%",
    "told apart from held-out text",
    "below chance: do the same passages stand in both texts?",
    "How often a classifier of runs of 1 to 3 characters tells pieces that it never saw from those "
    "of held-out text.",
    "sense and grammar. Another subject is told apart as well as nonsense; pieces of one text make "
    "p too small.",
)


def novelty_of(n: int) -> Measure:
    """Return what the novelty of runs of n characters means."""
    return Measure(
        f"Novelty at {n} characters",
        "%",
        "more is new than in held-out text",
        "less is new than in held-out text",
        f"Share of the runs of {n} characters that the training text does not have.",
        "sense: nonsense is new, and so is a copy with a slip.",
    )
