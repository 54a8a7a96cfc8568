"""Raw text -> clean text, with a report of what went.

`clean` applies its steps in one fixed order, and the report says for every step how many characters
and how many distinct characters were left, and for the whole which characters went and how often.
"""

import operator
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

NEWLINES = ("keep", "space")
FORMS = ("NFC", "NFD", "NFKC", "NFKD")

# The characters that go are listed here, not asked of `unicodedata`: that knows each version of
# Python another Unicode, and would drop an emoji that is newer than the Python that runs. They are
# the control characters, the format characters that Unicode calls ignorable (so not U+06DD, the
# Arabic end of ayah, which one sees), surrogates, and what is never to be a character. Joiners
# (U+200C, U+200D) and variation selectors stay, since scripts and emoji spell with them; so do
# private characters, which a font of their writer's shows.
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
# What separates words: line ends of other systems, the page and the soft line end of word
# processors, file, group and record separators. Within a line: unit separators, zero-width spaces
# (in scripts that are written without spaces), and what divides a word from its ruby.
_WITHIN_A_LINE = "\x1f\u200b\ufffa"
_SEPARATORS = re.compile(f"[\x0b\x0c\x1c-\x1e{_WITHIN_A_LINE}]+")
_QUOTES = str.maketrans({"‘": "'", "’": "'", "‚": "'", "‛": "'", "“": '"', "”": '"', "„": '"'})
# What has an ASCII spelling but no Unicode decomposition to it.
_ASCII_SPELLING = str.maketrans(
    {"–": "-", "—": "--", "―": "--", "−": "-", "«": '"', "»": '"', "‹": "'", "›": "'", "′": "'"}
    | {"″": '"', "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ß": "ss", "ø": "o", "Ø": "O"}
)


@dataclass(frozen=True)
class CleaningStep:
    """One step of `clean`: its name, and what was left after it."""

    name: str
    characters: int
    distinct: int


@dataclass(frozen=True)
class CleaningReport:
    """What `clean` did.

    Attributes:
        steps: "raw" first, then every step that was asked for, in order.
        vanished: characters of the raw text that the clean text has none of -> how many there were.
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
        gone = sorted(self.vanished.items(), key=lambda item: -item[1])
        listed = ", ".join(f"{c!r} ×{n:,}" for c, n in gone) or "nothing"
        lines.append(f"vanished (dropped or replaced): {listed}")
        return "\n".join(lines)


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
    r"""Clean a text and report what went.

    What `drop_control` drops goes in any case. The report names the other steps in the order in
    which they are applied.

    Args:
        text: the raw text.
        newlines: "keep", or "space" to join everything into one line, each run of white space
            becoming one space (as case A of the course does).
        unicode_form: a Unicode normalisation form (UAX #15), or None to leave it. NFC makes "é"
            one character however it was typed.
        straight_quotes: curly quotes become ' and ".
        ascii_only: spell what has an ASCII spelling in ASCII (é -> e, — -> --), drop the rest.
        lowercase: lower-case everything.
        min_count: characters that occur fewer times than this are rare.
        rare: what a rare character becomes: "" drops it, one character replaces it.

    Returns:
        The clean text and a `CleaningReport`.

    Raises:
        ValueError: an argument has no meaning.
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
    """Return the `min_count` that drops what a network cannot learn, having hardly seen it.

    Args:
        text: the raw text.
        share: a character is rare if it is under this share of the text.
        most: the largest share of the text that may be lost. Where all rare characters are more, as
            in scripts of thousands of characters, none counts as rare, and the answer is 1.

    Raises:
        ValueError: a share is not between 0 and 1.
    """
    for name, value in (("share", share), ("most", most)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}; it must lie between 0 and 1.")
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
    if newlines not in NEWLINES:
        raise ValueError(f"newlines is {newlines!r}; choose 'keep' or 'space'.")
    if unicode_form is not None and unicode_form not in FORMS:
        raise ValueError(f"unicode_form is {unicode_form!r}; choose one of {FORMS} or None.")
    if not _is_whole(min_count) or min_count < 1:
        raise ValueError(f"min_count is {min_count!r}; it must be a whole number, 1 or more.")
    if not isinstance(rare, str) or len(rare) > 1:
        raise ValueError(f"rare is {rare!r}; give one character, or '' to drop rare ones.")
    steps: list[tuple[str, Callable[[str], str]]] = [("control characters", drop_control)]
    if unicode_form:
        steps.append((unicode_form, lambda text: unicodedata.normalize(unicode_form, text)))
    if straight_quotes:
        steps.append(("straight quotes", lambda text: text.translate(_QUOTES)))
    if ascii_only:
        steps.append(("ASCII only", to_ascii))
    if newlines == "space":  # after what may make spaces: "¯" is a space and an accent
        steps.append(("newlines to spaces", join_lines))
    if lowercase:
        steps.append(("lower case", str.lower))
    if min_count > 1:
        steps.append((f"rarer than {min_count}", lambda text: map_rare(text, min_count, rare)))
    return steps


def _is_whole(number: object) -> bool:
    """Return whether a number, Python's or NumPy's, is a whole one."""
    try:
        operator.index(number)
    except TypeError:
        return False
    return True


def drop_control(text: str) -> str:
    r"""Drop control and format characters that one does not see, but "\n" and tab.

    Where one separated two words, "\n" or a space does so now: a line end, a form feed, a vertical
    tab, U+001C to U+001F, U+0085, U+2028, U+2029, and the zero-width space. The result is the same
    in every version of Python.
    """
    text = re.sub("\r\n|[\r\u0085\u2028\u2029]", "\n", text)
    if _DROPPED.search("".join(set(text))):  # most texts hold none, and a look at each costs time
        text = _DROPPED.sub(lambda match: match[1] or "", text)
    return _SEPARATORS.sub(_separate, text)


def _separate(match: re.Match) -> str:
    """Return what takes the place of separators: nothing where white space separates already."""
    text, start, end = match.string, match.start(), match.end()
    if start == 0 or end == len(text) or text[start - 1].isspace() or text[end].isspace():
        return ""
    return " " if set(match[0]) <= set(_WITHIN_A_LINE) else "\n"


def join_lines(text: str) -> str:
    """Replace every run of white space, line ends included, by one space."""
    return re.sub(r"\s+", " ", text).strip(" ")


def to_ascii(text: str) -> str:
    """Spell in ASCII what has an ASCII spelling, and drop every other character."""
    text = re.sub(r"(?<=\d)(?=[¼-¾⅐-⅞])", " ", text)  # 2½ is "2 1/2", not "21/2"
    text = unicodedata.normalize("NFKD", text.translate(_QUOTES).translate(_ASCII_SPELLING))
    return text.replace("\u2044", "/").encode("ascii", errors="ignore").decode("ascii")


def map_rare(text: str, min_count: int, replacement: str) -> str:
    """Replace characters that occur fewer than min_count times ("" drops them)."""
    counts = Counter(text)
    return text.translate({ord(c): replacement for c, n in counts.items() if n < min_count})
