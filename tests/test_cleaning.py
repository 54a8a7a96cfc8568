import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmlib.cleaning import clean
from lstmlib.corpora import load_corpus


def cleaned(text, **options):
    return clean(text, **options)[0]


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("a\r\nb\rc\u2028d\x85e", {}, "a\nb\nc\nd\ne"),
        ("so\u00adft\x07\ufeff\x0cly", {}, "softly"),
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
        ({"newlines": "drop"}, "'keep' or 'space'"),
        ({"unicode_form": "NFX"}, "NFC"),
        ({"min_count": 0}, "1 or more"),
        ({"rare": "??"}, "one character"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        clean("a", **options)


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


@given(st.text(), st.booleans(), st.sampled_from(["keep", "space"]))
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
