"""The audit of a text: what is counted, and what is said of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from own_texts import (
    ENGLISH,
    GERMAN,
    RUSSIAN,
    chinese,
    many_characters,
    page_again_and_again,
    sentences,
    verse,
)

from lstmlib import audit as module
from lstmlib.audit import audit, marks_in, repeats_in
from lstmlib.batching import split
from lstmlib.books import sha256
from lstmlib.corpora import load_corpus
from lstmlib.ngram import NGramModel
from lstmlib.vocab import Vocab


def said(text):
    """Return the verdict of a text in one line."""
    return " ".join(audit(text).verdict)


def repeats_by_hand(text, n):
    """Return the share of runs of n characters that stood in a text before, one by one."""
    seen, before = set(), 0
    for k in range(len(text) - n + 1):
        before += text[k : k + n] in seen
        seen.add(text[k : k + n])
    return before / max(len(text) - n + 1, 1)


@given(st.lists(st.sampled_from(["ab" * 30, "x" * 80, "cd\n", "é", "😀"]), min_size=2, max_size=12))
def test_repeats_are_those_that_one_counts_by_hand(pieces):
    text = "".join(pieces) + "and some other end of it"
    found = repeats_in(text)
    assert found.short == pytest.approx(repeats_by_hand(text, 50))
    assert found.long == pytest.approx(repeats_by_hand(text, 100))
    first, second, longest = found.first, found.second, found.longest
    assert first < second
    assert text[first : first + longest] == text[second : second + longest]
    assert not repeats_by_hand(text, longest + 1)
    assert found.passage == text[first : first + longest][:120]


def test_the_share_of_the_last_tenth_is_counted_by_hand():
    text = sentences(ENGLISH, 4000)
    text = text[:3600] + text[100:220] + "".join(chr(0x400 + k) for k in range(280))
    cut = len(split(np.arange(len(text)))[0])
    train, valid = text[:cut], text[cut:]
    inside = np.zeros(len(valid), dtype=bool)
    for k in range(len(valid) - 49):
        inside[k : k + 50] |= valid[k : k + 50] in train
    assert repeats_in(text).held_out == pytest.approx(inside.mean())
    assert inside.mean() > 0.25


@given(st.lists(st.sampled_from(["ab" * 30, "x" * 80, "cd\n", "é"]), min_size=2, max_size=12))
def test_each_part_has_the_share_of_its_runs_that_stood_before(pieces):
    text = "".join(pieces) + "and some other end of it, long enough for twenty parts"
    seen, before = set(), np.zeros(len(text))
    for k in range(len(text) - 49):
        before[k] = text[k : k + 50] in seen
        seen.add(text[k : k + 50])
    found = repeats_in(text)
    assert found.by_part == pytest.approx([part.mean() for part in np.array_split(before, 20)])
    assert found.short == pytest.approx(before.sum() / (len(text) - 49))


def test_the_map_shows_the_second_of_two_equal_pages():
    page = sentences(ENGLISH, 1000)
    parts = repeats_in(sentences(GERMAN, 9000) + page + page).by_part
    assert len(parts) == 20 and max(parts[:18]) < 0.1 and min(parts[18:]) > 0.8


def test_the_numbers_are_of_this_text():
    text = sentences(ENGLISH, 30_000) + "ßß"
    found = audit(text)
    assert found.sha256 == sha256(text) and found.characters == found.measured == len(text)
    assert found.distinct == len(set(text)) and found.seldom == sum(
        text.count(c) < 10 for c in set(text)
    )
    vocab = Vocab.from_text(text)
    train, valid = split(vocab.encode(text))
    assert found.five_gram == NGramModel(train, 5, len(vocab)).nats_per_char(valid)
    assert f"{found.five_gram:.3f} nats per character" in str(found)
    assert f"{found.distinct} of" not in str(found) and f"{found.distinct}, of which" in str(found)


@pytest.mark.parametrize(
    ("characters", "words"),
    [(3_000, "are very few"), (50_000, "are few"), (300_000, "are a book")],
)
def test_the_verdict_on_the_size_is_one_for_each_size(characters, words):
    verdict = audit(sentences(ENGLISH, characters)).verdict[0]
    assert verdict.startswith(f"{characters + 1:,} characters {words}")


def test_a_large_text_is_measured_on_a_sample(monkeypatch):
    monkeypatch.setattr(module, "MOST", 10_000)
    found = audit(sentences(ENGLISH, 40_000))
    assert found.characters == 40_001 and 9_000 < found.measured <= 10_000
    assert f"40,001 (measured on {found.measured:,})" in str(found)


def test_one_page_again_and_again_is_no_large_text():
    text = page_again_and_again()
    found = audit(text)
    assert found.repeats.long > 0.95 and found.repeats.held_out == 1
    assert found.verdict[0].startswith("1,") or found.verdict[0].startswith("2,")
    assert "characters that are new are very few" in found.verdict[0]
    assert "nearly all of it is repeated" in said(text) and "Take the copies out" in said(text)
    assert "100% of the last tenth are held-out copies: they stand in the text before" in said(text)
    facts = " ".join(finding.fact for finding in found.findings.values())
    assert "nearly all of it is repeated" in facts and "held-out copies" in facts
    assert "Take the copies out" not in facts and "Add texts" not in facts


def test_two_languages_are_named():
    text = sentences(ENGLISH, 30_000) + sentences(RUSSIAN, 30_000)
    assert "Parts of it are in Russian, others in English" in said(text)
    assert "Parts of it" not in said(sentences(RUSSIAN, 60_000))


@pytest.mark.parametrize(
    "line",
    [
        "This eBook is for the use of anyone anywhere. www.gutenberg.org, Project Gutenberg",
        "Copyright © 1999 by Somebody. All rights reserved.",
        "ISBN 3-16-148410-0",
        "Licensed under the Creative Commons Attribution License",
        "Alle Rechte vorbehalten.",
        "Все права защищены",
        "Digitized by the Internet Archive",
    ],
)
def test_a_licence_that_was_left_in_is_shown_with_its_line(line):
    text = f"{sentences(ENGLISH, 2000)}\n{line}\n{sentences(ENGLISH, 2000, 1)}"
    number = text[: text.index(line)].count("\n") + 1
    assert marks_in(text) == [(number, line)]
    assert f"on 1 line, the first on line {number}: “{line[:20]}" in said(text)


def test_a_novel_that_speaks_of_a_licence_has_none():
    assert marks_in(load_corpus("messy-book").text) == []
    assert marks_in("He had no licence to drive, and a copy of a right kind of book.\n") == []


def test_alphabets_of_40_and_of_6000():
    small = "".join(
        c for c in sentences(ENGLISH, 20_000).lower() if c in "abcdefghijklmnop rstu.\n"
    )
    assert len(set(small)) < 40 and "distinct characters: its loss is lower" in said(small)
    text = many_characters(6_000, 60_000)
    found = audit(text)
    assert found.distinct == 6_000 and found.seldom > 3_000
    assert "6,000 distinct characters" in said(text)
    assert "6,000 distinct" not in said(sentences(ENGLISH, 20_000))


def test_verse_is_told_from_prose():
    assert audit(verse(8_000)).verse
    assert not audit(sentences(ENGLISH, 8_000)).verse
    words, width = sentences(ENGLISH, 8_000).replace("\n", " ").split(), 60
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) >= width:
            lines, line = [*lines, line], ""
        line = f"{line} {word}".strip()
    assert not audit("\n".join(lines)).verse


def test_any_script_is_measured():
    found = audit(chinese(20_000))
    assert found.languages.main == "Chinese" and found.distinct > 60
    assert "🙂" in chinese(20_000)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ValueError, match="Give one of 1,000 or more"):
        audit("x" * 999)
    with pytest.raises(ValueError, match="The text has 0 characters"):
        audit("\n" * 5000)
    with pytest.raises(ValueError, match="The text is 'a' alone"):
        audit("a" * 5000)
    with pytest.raises(ValueError, match=r"audit\(book.text\)"):
        audit(load_corpus("messy-book"))


def test_a_last_tenth_of_another_kind_is_named():
    prose = load_corpus("messy-book").text[:6_000]
    odd = audit(prose + "".join(chr(0x30A1 + k * 7 % 80) for k in range(667)))
    assert any("another kind of text than the rest" in said for said in odd.verdict)
    assert not any("another kind of text" in said for said in audit(prose).verdict)
