"""Cuts the header and the footer that a digital library puts around a book.

A file may hold several books, each with a header and a footer, and a reader's own text before,
between and after them. So each header and each footer is cut where it stands, and all else stays.
"""

import re
from collections.abc import Iterator

from lstmlib.decoding import warn

LONGEST_HEADER = 30_000
"""The most characters of a header. The legal text of the first years has half as many."""

# "*** START OF THIS PROJECT GUTENBERG EBOOK … ***"; without stars only where all is in capitals.
_KIND = r"(?:E-?BOOK|E-?TEXT)\b"
_OF = r"OF (?:(?:THE|THIS) [^\n]{0,40}?|PROJECT GUTENBERG )" + _KIND
_LINE = (
    rf"(?:^[ \t>]*\*{{2,}}[ \t]*(?i:%s {_OF})|^[ \t]*%s OF (?:THE|THIS) PROJECT GUTENBERG {_KIND})"
)
# A title may run over a line end, but not over a blank line.
_TITLE = r"(?:(?s:(?!\n[ \t]*\n).){0,300}?\*{3}[ \t]*$|[^\n]*$)"
_STARTS = (_LINE + _TITLE).replace("%s", "(?:START|BEGINNING)")
_ENDS = (_LINE + _TITLE).replace("%s", "END")
# The header of the first years ends with "*END*THE SMALL PRINT! …".
_SMALL_PRINT = r"^[ \t]*\*END\*?[ \t]*THE SMALL PRINT[^\n]*$"
_MARKER = re.compile(f"(?P<start>{_STARTS}|{_SMALL_PRINT})|(?P<end>{_ENDS})", re.M)

# How a header begins: "The Project Gutenberg EBook of …", "Project Gutenberg's …".
_HEADER = re.compile(
    r"^[\ufeff \t*]*(?i:START\*+THE SMALL PRINT|"
    r"(?:This is )?(?:The |A )?(?:Copyrighted )?Project Gutenberg(?:['’]s\b| E-?(?:Book|Text)\b))",
    re.M,
)
# How a footer ends: with the last words of the licence.
_LICENCE_ENDS = re.compile(
    r"newsletter\s+to\s+hear\s+about\s+new\s+ebooks\.?|^\*+ ?END: FULL LICENSE[^\n]*", re.I | re.M
)
# Words that show a paragraph to be the library's, where the lines above are missing.
_LIBRARY_WORDS = re.compile(
    r"\b(?:gutenberg|e-?books?|e-?texts?|licen[cs]es?|copyright|terms|donations?|warrant(?:y|ies)|"
    r"file should be named)\b"
    r"|^(?:title|author|translator|editor|illustrator|language|credits|(?:release|posting) date|"
    r"last updated|character set encoding):",
    re.I | re.M,
)
_CREDIT = re.compile(
    r"\s*(?:Produced|E-text prepared|Transcribed) by (?:[^\n]*\n)+?[ \t]*\n",
)
_CLOSING = re.compile(
    r"^[ \t*]*(?i:End of (?:the |this )?(?:Copyrighted )?Project Gutenberg)\b[^\n]*"
    r"(?:\n(?![ \t]*$)[^\n]+){0,3}",
    re.M,
)
_BLANK_LINE = re.compile(r"\n[ \t]*\n")


def strip_boilerplate(text: str) -> str:
    """Cut each header and each footer that a digital library put around a book.

    Lines such as "*** START OF THIS PROJECT GUTENBERG EBOOK … ***" show where they are. The credit
    paragraph behind the first such line ("Produced by …") is cut too, and so is the closing line
    before the last. Text before a header, behind a footer or between two books stays. A text
    without such lines is returned unchanged.

    Warns:
        UserWarning: a paragraph was cut because of its place, and no word in it shows that it is
            the library's.
    """
    markers = list(_MARKER.finditer(text))
    if not markers and not _CLOSING.search(text):
        return text
    pieces, begin, before = [], 0, None
    for marker in [*markers, None]:
        piece = text[begin : marker.start() if marker else None]
        after = marker.lastgroup if marker else None
        if before == "end":
            piece = piece[_footer_end(piece) :]
        if after == "start":
            piece = piece[: _header_start(piece)]
        if before == "start":
            piece = _CREDIT.sub("", piece, count=1) if _CREDIT.match(piece) else piece
        pieces += [part.strip("\n") for part in _CLOSING.split(piece)]
        begin, before = (marker.end(), after) if marker else (len(text), after)
    return "\n\n".join(piece for piece in pieces if piece.strip()) + "\n"


def _header_start(before: str) -> int:
    """Return where the header begins, given the text before the line that ends it."""
    window = max(0, len(before) - LONGEST_HEADER)
    header = _HEADER.search(before, window)
    if header:
        first_line = before[header.start() :].split("\n", 1)[0]
        start = header.start()
        for a, b in reversed([span for span in _paragraphs(before[:start]) if span[0] >= window]):
            if before[a:b].strip() not in first_line:
                break
            start = a  # the library's EPUBs have a title page before the header
        return start
    paragraphs = [(a, b) for a, b in _paragraphs(before) if a >= window]
    known = [bool(_LIBRARY_WORDS.search(before[a:b])) for a, b in paragraphs]
    cut = paragraphs[known.index(True) :] if True in known else []
    if not cut and paragraphs and paragraphs[-1][1] >= len(before.rstrip(" \t")) - 1:
        cut = paragraphs[-1:]  # no blank line between it and the marker
    _warn_of_unknown([before[a:b] for a, b in cut], "header")
    return cut[0][0] if cut else len(before)


def _footer_end(behind: str) -> int:
    """Return where the footer ends, given the text behind the line that begins it."""
    following = _HEADER.search(behind)
    footer = behind[: following.start()] if following else behind
    ends = [match.end() for match in _LICENCE_ENDS.finditer(footer)]
    if ends:
        return ends[-1]
    paragraphs = list(_paragraphs(footer))
    known = [bool(_LIBRARY_WORDS.search(footer[a:b])) for a, b in paragraphs]
    if True in known:
        cut = paragraphs[: len(known) - known[::-1].index(True)]
    else:
        cut = paragraphs[:1] if footer[:2].strip("\n") else []  # no blank line before it
    _warn_of_unknown([footer[a:b] for a, b in cut], "footer")
    return cut[-1][1] if cut else 0


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each paragraph; blank lines separate paragraphs."""
    start = 0
    for blank in [*_BLANK_LINE.finditer(text), None]:
        end = blank.start() if blank else len(text)
        if text[start:end].strip():
            yield start, end
        start = blank.end() if blank else end


def _warn_of_unknown(cut: list[str], what: str) -> None:
    """Warn of paragraphs that were cut though no word in them shows that they are the library's."""
    unknown = [paragraph for paragraph in cut if not _LIBRARY_WORDS.search(paragraph)]
    if unknown:
        first = " ".join(unknown[0].split())[:60]
        warn(
            f"{sum(map(len, unknown)):,} characters were cut with a book's {what}, and may be "
            f"text: {first!r} …. keep_boilerplate=True keeps them."
        )
