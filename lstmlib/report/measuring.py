"""A report on any text: from three texts to all that there is to say."""

from collections.abc import Callable

import numpy as np

from lstmlib import suffixes
from lstmlib.batching import split
from lstmlib.report.copies import CURVE, match_all, matching_seconds, novelty_curve
from lstmlib.report.meanings import GIVEN
from lstmlib.report.measures import Sample, Texts, cut, rows_of
from lstmlib.report.page import Passage, Report
from lstmlib.validation import check_whole

MOST = 2 * 10**6
"""The most characters of all pieces of a text together."""
SHORTEST = 10
"""Copied passages that are shorter are not listed, in characters."""
REPEATED = 300
"""Characters: phrases and chance give no common passage of that length."""


def measure_text(
    generated: str,
    training: str,
    held_out: str | None = None,
    *,
    length: int = 400,
    pieces: int = 100,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
) -> Report:
    """Measure a generated text, and held-out text beside it.

    Args:
        generated: what a model wrote, without a prompt.
        training: what it was trained on.
        held_out: text like the training text that the model never saw. None holds out the last
            tenth of the training text, as `lstmlib.batching.split` does. Copied passages are
            looked for in this tenth too.
        length: characters of a piece, 2 or more.
        pieces: the most pieces of each text, 2 or more. Fewer are taken where a text is too short.
        seed: of the places and of all other draws.
        say: is told beforehand how long the matching will take, if that is over a minute.

    Raises:
        ValueError: a text is empty, the training text is too short to hold out its last tenth, an
            option has no meaning, or the pieces have more than 2 million characters together.
    """
    check_whole("length", length, at_least=2)
    check_whole("pieces", pieces, at_least=2)
    check_whole("seed", seed, at_least=0, at_most=2**32 - 1)
    if length * pieces > MOST:
        raise ValueError(f"{pieces} pieces of {length} characters are more than {MOST:,} together.")
    for name, text in (("generated", generated), ("training", training), ("held-out", held_out)):
        if text == "":
            raise ValueError(f"The {name} text is empty.")
    book, own = training, held_out is None
    if held_out is None:
        training, held_out = split(book)
    texts = Texts(generated, training, held_out, book, own)
    sample = cut(texts, length, pieces, seed)
    seconds = matching_seconds(generated, book) + matching_seconds(held_out, training)
    if say and seconds > 60:
        say(f"The matching goes over all of both texts: about {seconds / 60:.0f} minutes.")
    counts, spans = match_all(generated, book, len(training))
    counts_held_out, spans_held_out = match_all(held_out, training, len(training), most=1)
    curves = novelty_curve(counts, len(generated)), novelty_curve(counts_held_out, len(held_out))
    curve = np.array(curves)
    longest = spans_held_out[0].length if spans_held_out else 0
    return Report(
        "A generated text, measured",
        _described(texts),
        _notes(texts, sample, spans, longest, curve),
        tuple(rows_of(texts, sample)),
        curve,
        tuple(_passage(span, texts, longest) for span in spans if span.length >= SHORTEST),
        _yardstick(texts, spans, longest),
    )


# Words for a reader


def _described(texts: Texts) -> tuple[str, ...]:
    held_out = ", the last tenth of the training text" if texts.own else ""
    return (
        f"Generated text: {len(texts.generated):,} characters.",
        f"Training text: {len(texts.training):,} characters"
        + (", without its last tenth." if texts.own else "."),
        f"Held-out text: {len(texts.held_out):,} characters{held_out}.",
    )


def _notes(
    texts: Texts, sample: Sample, spans: list, longest: int, curve: np.ndarray
) -> tuple[str, ...]:
    """Say what was measured on what, and warn where numbers would mislead."""
    notes = []
    if spans and spans[0].length == len(texts.generated):
        notes.append("All of the generated text stands in the training text, as one passage.")
    elif curve[0, -1] < 0.1:
        notes.append(
            f"Nearly all of the generated text is copied: of its passages of {CURVE} characters, "
            f"{100 * curve[0, -1]:.1f}\xa0% are new."
        )
    if longest >= len(texts.held_out) / 2 or curve[1, -1] < 0.5:
        notes.append(
            "Warning: most of the held-out text stands in the training text. It was not held out, "
            "so no comparison with it means anything."
        )
    if texts.own:
        notes.append(
            "The last tenth of the training text was held out. A model that was trained on all of "
            "the text has seen it: then compare with another text, by --held-out."
        )
    for name, side, size in zip(
        ("generated", "held-out"), (sample.generated, sample.held_out), sample.sizes, strict=True
    ):
        if side:
            share = 100 * len(side) * sample.length / size
            notes.append(
                f"Measures are of {len(side)} pieces of {sample.length:,} characters at random "
                f"places of the {name} text, {share:.1f}\xa0% of it."
            )
    if sample.training:
        said = f"BLEU against the training text is of {len(sample.training)} pieces of it"
        notes.append(f"{said}; the compressor reads at most {GIVEN:,} characters of it.")
    notes.append("Copied passages and the novelty curve are of all of both texts.")
    notes.append(
        "In brackets: the 95\xa0% interval, from a bootstrap over pieces. Of two equal sources, "
        "the intervals lie apart in about 1 of 200 rows. Pieces of one text differ less than texts "
        "do, so intervals are a little too short; with under 30 pieces, clearly too short."
    )
    return tuple(notes)


def _meaning_of(longest: int) -> str:
    """Say what the longest passage is that held-out text shares with the training text."""
    if longest >= REPEATED:
        return (
            "That is more than phrases and chance give: the held-out text repeats the training "
            "text, so it is no yardstick for copies."
        )
    return (
        "A copy no longer than that is what phrases and chance give. The longer a text, the longer "
        "its longest match."
    )


def _yardstick(texts: Texts, spans: list, longest: int) -> str:
    said = (
        f"The longest passage of the held-out text ({len(texts.held_out):,} characters) that "
        f"stands in the training text has {longest:,} characters. {_meaning_of(longest)} What is "
        "copied several times is listed once, at its first place. Characters are counted from 0 "
        "and lines from 1, in the texts without what a digital library puts around them."
    )
    if not spans or spans[0].length < SHORTEST:
        said += f" Of the generated text, no passage of {SHORTEST} characters or more stands there."
    return said


def _passage(span: suffixes.CopiedSpan, texts: Texts, longest: int) -> Passage:
    text, (start, length, source) = texts.generated, span
    note = "Longer than any copy in the held-out text." if length > longest else ""
    if source + length > len(texts.training):
        note += " It stands in the part that is held out."
    whole = length <= 400
    return Passage(
        start,
        text.count("\n", 0, start) + 1,
        length,
        source,
        texts.book.count("\n", 0, source) + 1,
        source / len(texts.book),
        note.strip(),
        text[max(start - 40, 0) : start],
        text[start : start + (length if whole else 300)],
        "" if whole else text[start + length - 100 : start + length],
        text[start + length : start + length + 40],
    )
