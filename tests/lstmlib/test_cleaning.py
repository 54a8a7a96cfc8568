import re
import unicodedata
from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmlib.cleaning import LISTED, SHOWN, clean, drop_control, rare_count
from lstmlib.corpora import Corpus, load_corpus


def cleaned(text, **options):
    return clean(text, **options)[0]


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("a\r\nb\rc\u2028d\x85e", {}, "a\nb\nc\nd\ne"),
        ("so\u00adft\x07\ufeffly", {}, "softly"),
        ("tab\tstays", {}, "tab\tstays"),
        ("\u0646\u200c\u0627", {}, "\u0646\u200c\u0627"),  # spelled with a non-joiner
        ("a\n\n  b\t\u00a0c ", {"newlines": "space"}, "a b c"),
        ("e\u0301", {}, "é"),
        ("e\u0301", {"unicode_form": None}, "e\u0301"),
        ("ﬁ", {"unicode_form": "NFKC"}, "fi"),
        ("“I can’t,” ‘no’", {"straight_quotes": True}, "\"I can't,\" 'no'"),
        ("naïve—œuvre… 9½ £", {"ascii_only": True}, "naive--oeuvre... 9 1/2 "),
        ("ABC Éa", {"lowercase": True}, "abc éa"),
        ("aaab", {"min_count": 2}, "aaa"),
        ("aaab", {"min_count": 2, "rare": "?"}, "aaa?"),
        ("aaabb", {"min_count": 2}, "aaabb"),  # as often as that is not rare
        ("aaabb", {"min_count": 3, "rare": "?"}, "aaa??"),
        ("", {"newlines": "space", "ascii_only": True, "lowercase": True, "min_count": 3}, ""),
    ],
)
def test_steps(text, options, expected):
    assert cleaned(text, **options) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"newlines": "drop"}, "choose one of keep, space"),
        ({"unicode_form": "NFX"}, "NFC"),
        ({"min_count": 0}, "1 or more"),
        ({"rare": "??"}, "one character"),
        ({"min_count": b"x"}, "min_count is b'x'.*a whole number"),
        ({"min_count": 2.5}, "min_count is 2.5"),
        ({"min_count": array("d", [2])}, "min_count is array"),
        ({"rare": 0.5}, "rare is 0.5"),
        ({"rare": ["?"]}, "one character"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        clean("a", **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a", r"got bytes: decode bytes with load_corpus"),
        (None, "got NoneType"),
        (Corpus("a", "a", None, "memory"), r"got Corpus: clean\(corpus.text\)"),
    ],
)
def test_what_is_no_text_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        clean(text)


def test_counts_may_be_numpys():
    assert cleaned("aaab", min_count=np.int64(2)) == "aaa"


# Separators and invisible characters

LINE_SEPARATORS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
WORD_SEPARATORS = "\x1f\u200b\ufffa"


@pytest.mark.parametrize("separator", LINE_SEPARATORS + WORD_SEPARATORS)
def test_two_words_stay_two_words(separator):
    between = "\n" if separator in LINE_SEPARATORS else " "
    assert cleaned(f"the end{separator}Next") == f"the end{between}Next"
    # A soft hyphen beside it goes, and hides nothing.
    assert cleaned(f"the end\u00ad{separator}\u00ad{separator}\ufeffNext").split() == [
        "the",
        "end",
        "Next",
    ]
    assert cleaned(f"the end{separator}Next", newlines="space") == "the end Next"


@pytest.mark.parametrize("separator", "\x0b\x0c\x1c\x1d\x1e\x1f\u200b")
def test_a_separator_beside_white_space_adds_none(separator):
    """A form feed at the head of a page is no paragraph break within a sentence."""
    assert cleaned(f"page one\n{separator}page two") == "page one\npage two"
    assert cleaned(f"page one {separator}page two") == "page one page two"
    assert cleaned(f"page one{separator}\npage two") == "page one\npage two"
    assert cleaned(f"{separator}page{separator}") == "page"


@given(st.text(st.sampled_from("ab \n\x1f\x0c\u200b\u00ad\u2028\ufeff\x07"), max_size=30))
def test_words_of_a_clean_text_are_those_between_separators(text):
    kept = text.translate(dict.fromkeys(map(ord, "\u00ad\ufeff\x07")))
    words = re.split("[ \n\x1f\x0c\u200b\u2028]+", kept)
    assert cleaned(text).split() == [word for word in words if word]


@pytest.mark.parametrize(
    "text",
    [
        "بسم ۝١",  # U+06DD, the end of ayah, a format character
        *"\u0600\u0601\u0602\u0603\u0604\u0605\u070f\u0890\u0891\u08e2\U000110bd\U000110cd",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # England
        "\U0001f469\u200d\U0001f680",  # an astronaut, joined
        "می\u200cخواهم",  # Persian, spelled with a non-joiner
        "\u2764\ufe0f",  # a heart that asks for colour
        "葛\U000e0100",  # a form of the character, by a variation selector
        "\U0001faef\U0001fa8a",  # emoji of Unicode 17, which no Python to 3.14 knows
        "\U0003fffd",  # not assigned
        "\uf8ff\ue5e5\U000f0000\U0010fffd",  # private
        "\u180e",  # Mongolian is spelled with it
        "\U00013430",  # so are hieroglyphs
    ],
)
def test_what_one_sees_stays(text):
    clean_text, report = clean(f"a {text} b", unicode_form=None)
    assert clean_text == f"a {text} b"
    assert not report.vanished


@pytest.mark.parametrize(
    "text",
    [
        *"\0\x08\x0e\x1b\x7f\x80\x9f\u00ad\u061c\u200e\u200f\u202a\u202e\u2060\u2066\u206f",
        *"\ufeff\ufff9\ufffb\U0001d173\ud800\udfff\ufdd0\ufffe\uffff\U0001ffff\U0010ffff",
        *"\U000e0001\U000e0067\U000e007f",  # tags that spell no flag
    ],
)
def test_what_one_does_not_see_goes_and_is_listed(text):
    clean_text, report = clean(f"a{text}b")
    assert clean_text == "ab"
    assert report.vanished == {text: 1}


def test_tags_without_their_end_spell_no_flag():
    assert cleaned("\U0001f3f4\U000e0067\U000e0062 goal") == "\U0001f3f4 goal"


@pytest.mark.slow
def test_what_goes_is_what_python_calls_invisible_or_no_character():
    """Everything that goes is so by this Python's Unicode; what only it does not know stays."""
    every = map(chr, range(0x110000))
    gone = {c for c in every if not drop_control(c)}
    assert {unicodedata.category(c) for c in gone} == {"Cc", "Cf", "Cs", "Cn"}
    # Of unassigned ones, those that Unicode keeps free for invisible ones, or never assigns.
    unassigned = {ord(c) for c in gone if unicodedata.category(c) == "Cn"}
    free = {0x2065, *range(0xFFF0, 0xFFF9), *range(0xE0000, 0xE1000)}
    never = {*range(0xFDD0, 0xFDF0), *(c for c in range(0x110000) if c & 0xFFFE == 0xFFFE)}
    assert unassigned <= free | never


@pytest.mark.parametrize("piece", ["\x0c", " ", "\U0001f3f4\U000e0067", "\u200b "], ids=ascii)
def test_hundreds_of_kilobytes_of_one_piece_are_cleaned(piece):
    """Each took minutes; benchmarks/reading.py measures the time."""
    text = cleaned(f"a{piece * 10**5}b", newlines="space", ascii_only=True)
    assert text.replace(" ", "") == "ab"


def test_report_counts_exactly():
    text, report = clean("ab\r\nab“x”", newlines="space", straight_quotes=True)
    assert text == 'ab ab"x"'
    assert (report.before.characters, report.after.characters) == (9, 8)
    assert (report.before.distinct, report.after.distinct) == (7, 5)
    assert report.vanished == {"\r": 1, "\n": 1, "“": 1, "”": 1}
    assert [s.name for s in report.steps][:3] == ["raw", "control characters", "NFC"]
    assert "'“' ×1" in str(report)


def test_report_of_clean_text_says_nothing_vanished():
    assert str(clean("abc")[1]).endswith("vanished (dropped or replaced): nothing")


def test_of_many_kinds_that_vanished_the_most_frequent_are_listed_and_all_are_counted():
    rare = [chr(0x4E00 + k) for k in range(LISTED + 1)]
    text = "ab" * 500 + "".join(c * (k + 1) for k, c in enumerate(rare))
    total = sum(range(1, LISTED + 2))
    report = clean(text, min_count=100)[1]
    said = str(report).splitlines()[-1]
    assert f"{total} characters of {LISTED + 1} kinds: '{rare[-1]}' ×{LISTED + 1}, " in said
    assert said.count("×") == SHOWN and f"and {LISTED + 1 - SHOWN} others" in said
    assert "the report's `vanished` has all" in said and len(report.vanished) == LISTED + 1
    few = clean(text.replace(rare[-1], ""), min_count=100)[1]
    assert str(few).count("×") == LISTED and "others" not in str(few)


@given(st.text(), st.booleans(), st.sampled_from(["keep", "space"]))
@pytest.mark.slow
def test_cleaning_twice_changes_nothing_more(text, ascii_only, newlines):
    options = {"ascii_only": ascii_only, "newlines": newlines, "straight_quotes": True}
    once = cleaned(text, **options)
    assert cleaned(once, **options) == once


@given(st.text(), st.sampled_from(["keep", "space"]))
def test_no_control_character_survives(text, newlines):
    left = {c for c in cleaned(text, newlines=newlines) if unicodedata.category(c) == "Cc"}
    assert left <= ({"\n", "\t"} if newlines == "keep" else set())


@given(st.text(min_size=1))
def test_report_adds_up(text):
    out, report = clean(text, ascii_only=True)
    assert report.before.characters == len(text)
    assert report.after.characters == len(out)
    assert all(text.count(c) == n and c not in out for c, n in report.vanished.items())


def test_messy_book_is_messy_and_gets_clean():
    raw = load_corpus("messy-book", keep_boilerplate=True).text
    text, report = clean(raw, newlines="space", straight_quotes=True, ascii_only=True)
    assert {"\xad", "\x07", "\x0c", "\xa0", "“", "”", "’", "—"} <= set(report.vanished)
    assert text.isascii()
    assert text.isprintable()


# Rare characters


def test_what_is_under_a_20_000th_of_a_text_is_rare():
    text = "ab" * 20_000 + "cc" + "d"
    assert rare_count(text) == 3
    assert clean(text, min_count=rare_count(text))[0] == "ab" * 20_000
    assert rare_count("ab" * 5_000 + "c") == 1  # once in 10 001: all stay


def test_where_nearly_all_characters_are_rare_they_all_stay():
    hanzi = "".join(chr(0x4E00 + k) for k in range(6_000))
    text = "的" * 30_000 + hanzi
    assert len(hanzi) > 0.05 * len(text)
    assert rare_count(text) == 1
    assert rare_count(text, most=0.5) == 2
    assert rare_count("") == 1


@pytest.mark.parametrize("wrong", [{"share": 2}, {"share": float("nan")}, {"most": -0.1}])
def test_shares_that_are_none_are_named(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*, 0 or more and at most 1"):
        rare_count("text", **wrong)
