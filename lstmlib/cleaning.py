"""From raw text to clean text, with a report of the characters that vanished.

`clean` applies its steps in one fixed order. For every step, the report gives the number of
characters and of distinct characters that were left. It also lists each character that vanished,
and how often the raw text had it.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from lstmlib.validation import check_choice, check_number, check_whole

NEWLINES = ("keep", "space")
FORMS = ("NFC", "NFD", "NFKC", "NFKD")
LISTED, SHOWN = 20, 10
"""The most kinds of vanished characters that are all listed, and how many of more than these."""

# The characters to drop are listed here. `unicodedata` is not asked, since its Unicode differs from
# Python to Python: an old one would drop an emoji that is newer than itself. The list holds control
# characters, the format characters that Unicode calls ignorable, surrogates, and the code points
# that will never be characters. U+06DD, the Arabic end of ayah, is a format character but visible,
# and stays. Joiners (U+200C, U+200D) and variation selectors stay, since scripts and emoji are
# spelled with them. Private characters stay, since their writer's font shows them.
_DROPPED = re.compile(
    "[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ufeff\ufff0-\ufff9\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\ud800-\udfff\ufdd0-\ufdef"
    + "".join(
        f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
    )
    + "]"
    # A tag character stays in the flag that it spells: a black flag, tags, and the last tag.
    "|(\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f)|[\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]"
)
# Characters that separate words: vertical tabs and form feeds (soft line ends and new pages of word
# processors), and file, group and record separators. Within a line: unit separators, zero-width
# spaces (in scripts that are written without spaces), and U+FFFA, between a word and its ruby.
_WITHIN_A_LINE = "\x1f\u200b\ufffa"
_SEPARATORS = re.compile(f"[\x0b\x0c\x1c-\x1e{_WITHIN_A_LINE}]+")
_QUOTES = str.maketrans({"‘": "'", "’": "'", "‚": "'", "‛": "'", "“": '"', "”": '"', "„": '"'})
# Characters with an ASCII spelling that no Unicode decomposition gives.
_ASCII_SPELLING = str.maketrans(
    {"–": "-", "—": "--", "―": "--", "−": "-", "«": '"', "»": '"', "‹": "'", "›": "'", "′": "'"}
    | {"″": '"', "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ß": "ss", "ø": "o", "Ø": "O"}
)


@dataclass(frozen=True)
class CleaningStep:
    """One step of `clean`: its name, and the numbers of characters left after it."""

    name: str
    characters: int
    distinct: int


@dataclass(frozen=True)
class CleaningReport:
    """The report of `clean`.

    Attributes:
        steps: first "raw", then every step that was applied, in order.
        vanished: each character that the raw text has and the clean text has not -> how often the
            raw text has it.
    """

    steps: list[CleaningStep] = field(repr=False)
    vanished: dict[str, int] = field(repr=False)

    @property
    def before(self) -> CleaningStep:
        """The raw text's counts."""
        return self.steps[0]

    @property
    def after(self) -> CleaningStep:
        """The clean text's counts."""
        return self.steps[-1]

    def __str__(self) -> str:
        lines = [f"{'step':<22}{'characters':>12}{'distinct':>10}"]
        lines += [f"{s.name:<22}{s.characters:>12,}{s.distinct:>10}" for s in self.steps]
        lines.append(f"vanished (dropped or replaced): {self.listed}")
        return "\n".join(lines)

    @property
    def listed(self) -> str:
        """What vanished, in words: all of it, or of a long list the most frequent and the sums."""
        gone = sorted(self.vanished.items(), key=lambda item: -item[1])
        count = SHOWN if len(gone) > LISTED else len(gone)
        said = ", ".join(f"{c!r} ×{n:,}" for c, n in gone[:count]) or "nothing"
        if count == len(gone):
            return said
        return (
            f"{sum(self.vanished.values()):,} characters of {len(gone):,} kinds: {said}, and "
            f"{len(gone) - count:,} others; the report's `vanished` has all"
        )


def clean(
    text: str,
    *,
    newlines: str = "keep",
    unicode_form: str | None = "NFC",
    straight_quotes: bool = False,
    ascii_only: bool = False,
    lowercase: bool = False,
    min_count: int = 1,
    rare: str = "",
) -> tuple[str, CleaningReport]:
    r"""Clean a text and report which characters vanished.

    `drop_control` is always applied, as the first step. The report lists all steps in the order in
    which they were applied.

    Args:
        text: the raw text.
        newlines: "keep" keeps line ends. "space" turns each run of white space into one space, so
            that the text is one line (as case A of the course does).
        unicode_form: a Unicode normalisation form (UAX #15), or None for no normalisation. NFC
            makes "é" one character, however it was typed.
        straight_quotes: whether curly quotes become ' and ".
        ascii_only: whether every character gets its ASCII spelling (é -> e, — -> --). Characters
            without one are dropped.
        lowercase: whether all letters become small letters.
        min_count: characters that occur fewer times than this are rare.
        rare: the replacement of a rare character, one character; "" drops rare characters.

    Returns:
        The clean text and a `CleaningReport`.

    Raises:
        ValueError: the text is no string, or another argument is outside its bounds.
    """
    if not isinstance(text, str):
        hint = "clean(corpus.text)" if hasattr(text, "text") else "decode bytes with load_corpus"
        raise ValueError(f"clean takes a text, and got {type(text).__name__}: {hint}.")
    steps = _steps(newlines, unicode_form, straight_quotes, ascii_only, lowercase, min_count, rare)
    before = Counter(text)
    rows = [CleaningStep("raw", len(text), len(before))]
    for name, step in steps:
        text = step(text)
        rows.append(CleaningStep(name, len(text), len(set(text))))
    left = set(text)
    return text, CleaningReport(rows, {c: n for c, n in before.items() if c not in left})


def rare_count(text: str, share: float = 1 / 20_000, most: float = 0.05) -> int:
    """Return a `min_count` for `clean`, to drop characters too rare for a network to learn.

    Args:
        text: the raw text.
        share: a character is rare if it has less than this share of the text.
        most: the largest share of the text that may be dropped. In a script of thousands of
            characters, the rare ones together have more. Then none counts as rare, and the answer
            is 1.

    Raises:
        ValueError: share or most is outside [0, 1].
    """
    for name, value in (("share", share), ("most", most)):
        check_number(name, value, at_least=0, at_most=1)
    limit = int(len(text) * share) + 1
    rare = sum(count for count in Counter(text).values() if count < limit)
    return limit if rare <= most * len(text) else 1


def _steps(
    newlines: str,
    unicode_form: str | None,
    straight_quotes: bool,
    ascii_only: bool,
    lowercase: bool,
    min_count: int,
    rare: str,
) -> list[tuple[str, Callable[[str], str]]]:
    """Check the arguments of `clean` and return its steps as (name, function)."""
    check_choice("newlines", newlines, NEWLINES)
    if unicode_form is not None:
        check_choice("unicode_form", unicode_form, FORMS, hint=", or None")
    check_whole("min_count", min_count)
    if not isinstance(rare, str) or len(rare) > 1:
        raise ValueError(f"rare is {rare!r}; give one character, or '' to drop rare ones.")
    steps: list[tuple[str, Callable[[str], str]]] = [("control characters", drop_control)]
    if unicode_form:
        steps.append((unicode_form, lambda text: unicodedata.normalize(unicode_form, text)))
    if straight_quotes:
        steps.append(("straight quotes", lambda text: text.translate(_QUOTES)))
    if ascii_only:
        steps.append(("ASCII only", to_ascii))
    if newlines == "space":  # behind the steps that make spaces: NFKD spells "¯" with one
        steps.append(("newlines to spaces", join_lines))
    if lowercase:
        steps.append(("lower case", str.lower))
    if min_count > 1:
        steps.append((f"rarer than {min_count}", lambda text: map_rare(text, min_count, rare)))
    return steps


def drop_control(text: str) -> str:
    r"""Drop invisible control and format characters, except "\n" and tab.

    Some of them separate words: line ends of other systems, form feed, vertical tab, U+001C to
    U+001F, U+0085, U+2028, U+2029, and the zero-width space. They become "\n" or a space, so that
    the words stay apart. The result is the same in every version of Python.
    """
    text = re.sub("\r\n|[\r\u0085\u2028\u2029]", "\n", text)
    if _DROPPED.search("".join(set(text))):  # most texts hold none, and a look at each costs time
        text = _DROPPED.sub(lambda match: match[1] or "", text)
    return _SEPARATORS.sub(_separate, text)


def _separate(match: re.Match) -> str:
    """Return the replacement of separators: "" beside white space, else a space or a line end."""
    text, start, end = match.string, match.start(), match.end()
    if start == 0 or end == len(text) or text[start - 1].isspace() or text[end].isspace():
        return ""
    return " " if set(match[0]) <= set(_WITHIN_A_LINE) else "\n"


def join_lines(text: str) -> str:
    """Replace every run of white space, line ends included, by one space."""
    return re.sub(r"\s+", " ", text).strip(" ")


def to_ascii(text: str) -> str:
    """Give every character its ASCII spelling, and drop characters without one."""
    text = re.sub(r"(?<=\d)(?=[¼-¾⅐-⅞])", " ", text)  # 2½ is "2 1/2", not "21/2"
    text = unicodedata.normalize("NFKD", text.translate(_QUOTES).translate(_ASCII_SPELLING))
    return text.replace("\u2044", "/").encode("ascii", errors="ignore").decode("ascii")


def map_rare(text: str, min_count: int, replacement: str) -> str:
    """Replace each character that occurs fewer than min_count times; "" drops it."""
    counts = Counter(text)
    return text.translate({ord(c): replacement for c, n in counts.items() if n < min_count})
