"""Which language a text is in, as far as the frequencies of its letters tell, and where it changes.

The text is cut into parts. For each part, its main script decides first; then charset-normalizer
compares the frequencies of the part's letters with those of the languages that it knows. Kindred
languages, such as Norwegian and Danish, look alike to it, so the answer says how many parts agree.
Letters tell nothing where few words come again and again, in code, in tables and in lists of names:
such a text has no language for sure. A reader who knows better states it, see `stated_languages`.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from babel import Locale
from babel.core import get_global, parse_locale
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
FEW_WORDS = 80
"""Distinct words below which letters are as frequent as these few words have them."""
FEW_HAN = 50
"""The same of Han characters, which are words themselves."""
SIGNS = 0.1
"""The share of digits and signs above which a text is code or a table, and no prose."""
CAPITALS = 0.6
"""The share of words with a capital from which a text is a list of names. German has a third."""
_SIGN = re.compile(r"[\d{}()\[\]=<>;_+*/\\|&%$#@^~`]")
_WORD = re.compile(r"[^\W\d_]+")
# Scripts of one great language. Han without any kana is Chinese.
_ONE_LANGUAGE = {"Han": "Chinese", "Hangul": "Korean", "Georgian": "Georgian"}
_ONE_LANGUAGE["Armenian"] = "Armenian"
_JAPANESE = ("Hiragana", "Katakana")
_BY_SCRIPT = {"Japanese", *_ONE_LANGUAGE.values()} - {"Chinese"}
"""Languages that their script tells, in however few words."""
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
        doubt: why the letters of this text tell little of its language; "" if they do.
    """

    main: str
    script: str
    agreeing: int
    parts: tuple[str, ...]
    second: str
    doubt: str = ""

    @property
    def sure(self) -> bool:
        """Whether letters tell, there are parts enough, and most of them agree."""
        count, told = len(self.parts), bool(self.main) and not self.doubt
        return told and count >= FEWEST and self.agreeing >= SURE * count

    @property
    def code(self) -> str:
        """The ISO 639-1 code of the main language if that is sure, else ""."""
        return _CODES.get(self.main, "") if self.sure else ""

    def __str__(self) -> str:
        count = f"{self.agreeing} of {len(self.parts)} parts"
        if not self.main:
            return f"not recognised ({self.doubt or f'{self.script} letters'})"
        if self.second:
            others = sum(name not in ("", self.main) for name in self.parts)
            return f"mixed: {self.main} ({count}) and {self.second} ({others})"
        if self.sure:
            return f"{self.main} ({self.script} letters; {count} agree)"
        agree = f"{self.script} letters; {count} agree"
        why = f"; {self.doubt}" if self.doubt else ""
        return f"not certain: {self.main} is nearest ({agree}{why})"


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
    doubt = _doubt("".join(text[begin : begin + length] for begin in starts), main)
    second = _second(parts, taken, main, script, told=not doubt)
    return Languages(main, script, nearest[main], taken, second, doubt)


def _doubt(text: str, main: str) -> str:
    """Return why the letters of a text tell little of its language, or ""."""
    words, visible = _WORD.findall(text), "".join(text.split())
    if not words:
        return "no letters"
    if main in _BY_SCRIPT:
        return ""
    if main == "Chinese":
        han = {character for character in visible if _script(character) == "Han"}
        return f"only {len(han)} distinct characters" if len(han) < FEW_HAN else ""
    few, several = {word.casefold() for word in words}, [word for word in words if len(word) > 1]
    if len(few) < FEW_WORDS:
        return f"only {len(few)} distinct word{'s' if len(few) > 1 else ''}"
    signs = len(_SIGN.findall(visible)) / len(visible)
    if signs > SIGNS:
        return f"{signs:.0%} digits and signs, as of code or a table"
    names = sum(word[0].isupper() and not word.isupper() for word in several)
    if names >= CAPITALS * len(several) > 0:
        return f"{names / len(several):.0%} of the words have a capital, as in a list of names"
    return ""


def _second(
    parts: list["_Part"], taken: tuple[str, ...], main: str, script: str, told: bool
) -> str:
    """Return the language of a good share of the parts beside the main one, or "".

    Where letters do not tell (`told`), only another script is another language.
    """
    enough = max(SECOND * len(parts), 2)
    pairs = list(zip(parts, taken, strict=True))
    # Parts in another script are another language together, though each may be named differently.
    foreign = Counter(name for part, name in pairs if part.script != script and name != main)
    others = Counter(name for name in taken if told and name not in ("", main))
    for counts, count in ((others, max(others.values(), default=0)), (foreign, foreign.total())):
        if count >= enough:
            return counts.most_common(1)[0][0]
    return ""


class Stated(NamedTuple):
    """A language as a reader states it.

    Attributes:
        name: for people, such as "German".
        code: its BCP 47 tag, such as "de"; "" where the name has none that is known.
    """

    name: str
    code: str

    def __str__(self) -> str:
        return f"{self.name} ({self.code or 'no code is known for this name'})"


def stated_languages(stated: str) -> tuple[Stated, ...]:
    """Return the languages that a reader states, in order; () for "".

    Each is a tag of BCP 47, such as "de", "pt-BR" or "zh-Hant", or a plain name. The English name
    of a language finds its tag, and so does its own name if the audit knows the language. Another
    name stands as it is. Names and tags are those of Unicode's CLDR, from Babel.

    Args:
        stated: one or more, with commas between them.

    Raises:
        ValueError: one of them is neither a tag that is known nor a name.
    """
    if not isinstance(stated, str):
        raise ValueError(
            f'language is {stated!r}; give a code such as "de" or "pt-BR", or a name, in quotes.'
        )
    asked = [" ".join(each.split()) for each in stated.split(",")]
    return tuple(_stated(each) for each in asked if each)


def _stated(asked: str) -> Stated:
    english = Locale("en")
    codes = {Locale(code).display_name.casefold(): code for code in _CODES.values()}
    codes |= {name.casefold(): code for code, name in english.languages.items() if "_" not in code}
    tag = codes.get(asked.casefold(), asked.replace("_", "-"))
    if found := _of_tag(tag, english):
        return found
    # What is as short as a tag, or has a hyphen where a tag has one, is no name.
    if re.fullmatch(r"[^\W\d_]{4,}(?:[ '’().-]+[^\W\d_]+)*\)?", asked):
        return Stated(asked, "")
    raise ValueError(
        f'language is "{asked}", which is neither a known code of BCP 47, such as "de" or "pt-BR", '
        'nor the name of a language: give one of these, or "" for what the audit finds.'
    )


def _of_tag(tag: str, english: Locale) -> Stated | None:
    """Return the language of a BCP 47 tag whose parts are all known, or None."""
    try:
        language, region, script, variant = parse_locale(tag, sep="-")[:4]
    except ValueError:
        return None
    language = get_global("language_aliases").get(language, language)  # deu is written de
    said = [(script, english.scripts), (region, english.territories)]
    said += [(variant and variant.upper(), english.variants)]
    names = [names.get(part) for part, names in said if part]
    if language not in english.languages or None in names:
        return None
    name, parts = english.languages[language], (language, script, region, variant)
    written = "-".join(part for part in parts if part)
    return Stated(f"{name} ({', '.join(names)})" if names else name, written)


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
