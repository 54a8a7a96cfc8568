"""Which language a text is in, as far as the frequencies of its letters tell, and where it changes.

The text is cut into parts. For each part, its main script decides first; then charset-normalizer
compares the frequencies of the part's letters with those of the languages that it knows. Kindred
languages, such as Norwegian and Danish, look alike to it, so the answer says how many parts agree.
"""

import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cache

from charset_normalizer.cd import coherence_ratio

PARTS = 20
"""The most parts that are looked at, evenly spread."""
LENGTH = 4_000
"""Characters of a part."""
SHORTEST = 1_000
"""Characters of a part of a short text. In fewer, the letters tell little."""
SURE = 0.8
"""The share of the parts that have to agree, for the answer to count as sure."""
MARGIN = 0.1
"""How far a part has to be nearer to another language, to count as written in it."""
SECOND = 0.15
"""The share of parts in a second language from which a text is of two languages."""
FEWEST = 4
"""Parts below which no answer is sure."""
# Scripts of one great language. Han without any kana is Chinese.
_ONE_LANGUAGE = {"Han": "Chinese", "Hangul": "Korean", "Georgian": "Georgian"}
_ONE_LANGUAGE["Armenian"] = "Armenian"
_JAPANESE = ("Hiragana", "Katakana")
_CODES = {
    **{"English": "en", "German": "de", "French": "fr", "Dutch": "nl", "Italian": "it"},
    **{"Polish": "pl", "Spanish": "es", "Russian": "ru", "Japanese": "ja", "Portuguese": "pt"},
    **{"Swedish": "sv", "Chinese": "zh", "Ukrainian": "uk", "Norwegian": "no", "Finnish": "fi"},
    **{"Vietnamese": "vi", "Czech": "cs", "Hungarian": "hu", "Korean": "ko", "Indonesian": "id"},
    **{"Turkish": "tr", "Romanian": "ro", "Farsi": "fa", "Arabic": "ar", "Danish": "da"},
    **{"Serbian": "sr", "Lithuanian": "lt", "Slovene": "sl", "Slovak": "sk", "Hebrew": "he"},
    **{"Bulgarian": "bg", "Croatian": "hr", "Hindi": "hi", "Estonian": "et", "Thai": "th"},
    **{"Greek": "el", "Tamil": "ta", "Kazakh": "kk", "Georgian": "ka", "Armenian": "hy"},
}


@dataclass(frozen=True)
class Languages:
    """What the letters of a text say of its language.

    Attributes:
        main: the language that most parts are nearest to; "" where no part tells.
        script: the script of most letters, such as "Latin"; "" without letters.
        agreeing: how many parts are nearest to the main language.
        parts: of each part, in order, the language that it is taken to be in; "" where none.
        second: another language that a good share of the parts is clearly nearer to; "" if none.
    """

    main: str
    script: str
    agreeing: int
    parts: tuple[str, ...]
    second: str

    @property
    def sure(self) -> bool:
        """Whether there are parts enough, and most of them agree."""
        count = len(self.parts)
        return bool(self.main) and count >= FEWEST and self.agreeing >= SURE * count

    @property
    def code(self) -> str:
        """The ISO 639-1 code of the main language if that is sure, else ""."""
        return _CODES.get(self.main, "") if self.sure else ""

    def __str__(self) -> str:
        count = f"{self.agreeing} of {len(self.parts)} parts"
        if not self.main:
            return f"not recognised ({self.script or 'no'} letters)"
        if self.second:
            others = sum(name not in ("", self.main) for name in self.parts)
            return f"mixed: {self.main} ({count}) and {self.second} ({others})"
        if self.sure:
            return f"{self.main} ({self.script} letters; {count} agree)"
        return f"not sure: {self.main} is nearest ({self.script} letters; {count} agree)"


def languages_of(text: str) -> Languages:
    """Return the language of a text, and a second one where a good share of it is in another.

    Args:
        text: any text; at most `PARTS` · `LENGTH` characters of it are looked at.
    """
    length = min(LENGTH, max(len(text) // FEWEST, SHORTEST))
    starts = range(0, max(len(text) - length // 2, 1), max(length, len(text) // PARTS))
    parts = [_Part(text[begin : begin + length]) for begin in starts]
    nearest = Counter(part.nearest for part in parts if part.nearest)
    scripts = Counter(part.script for part in parts if part.script)
    main = nearest.most_common(1)[0][0] if nearest else ""
    taken = tuple(part.compared_with(main) for part in parts)
    script = scripts.most_common(1)[0][0] if scripts else ""
    return Languages(main, script, nearest[main], taken, _second(parts, taken, main, script))


def _second(parts: list["_Part"], taken: tuple[str, ...], main: str, script: str) -> str:
    """Return the language of a good share of the parts beside the main one, or ""."""
    enough = max(SECOND * len(parts), 2)
    pairs = list(zip(parts, taken, strict=True))
    # Parts in another script are another language together, though each may be named differently.
    foreign = Counter(name for part, name in pairs if part.script != script and name != main)
    others = Counter(name for name in taken if name not in ("", main))
    for counts, count in ((others, max(others.values(), default=0)), (foreign, foreign.total())):
        if count >= enough:
            return counts.most_common(1)[0][0]
    return ""


class _Part:
    """A part of a text: its script, and how near its letters are to each language."""

    def __init__(self, text: str) -> None:
        scripts = Counter(map(_script, text))
        scripts.pop("", None)
        self.script = scripts.most_common(1)[0][0] if scripts else ""
        if self.script in _JAPANESE or any(
            scripts[kana] > 0.1 * scripts.total() for kana in _JAPANESE
        ):
            self.script = "Han" if self.script in _JAPANESE else self.script
            self.ratios = {"Japanese": 1.0}
        elif self.script in _ONE_LANGUAGE:
            self.ratios = {_ONE_LANGUAGE[self.script]: 1.0}
        else:
            # Words in another script, such as names of programs, would be counted as a language.
            own = "".join(c if _script(c) in (self.script, "") else " " for c in text)
            self.ratios = dict(coherence_ratio(own)) if self.script else {}
        self.nearest = max(self.ratios, key=self.ratios.get) if self.ratios else ""

    def compared_with(self, main: str) -> str:
        """Return the nearest language if it is clearly nearer than the main one; else that."""
        if not self.nearest:
            return ""
        clear = self.ratios[self.nearest] >= self.ratios.get(main, 0.0) + MARGIN
        return self.nearest if clear else main


@cache
def _script(character: str) -> str:
    """Return the script of a letter, such as "Latin"; "" of what is no letter."""
    if not character.isalpha():
        return ""
    first = unicodedata.name(character, "").partition(" ")[0].partition("-")[0]
    return {"CJK": "Han", "FULLWIDTH": "Latin", "HALFWIDTH": "Katakana"}.get(first, first.title())
