"""What a text copies: longest matches, novelty of every length, copied spans."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmlib import suffixes
from lstmlib.metrics import ngrams, novelty
from lstmlib.suffixes import CopiedSpan, longest_matches

TEXTS = st.text(alphabet="abé😀", max_size=30)


def by_hand(text, training):
    """The same lengths by looking for ever longer substrings."""
    lengths = []
    for start in range(len(text)):
        end = start
        while end < len(text) and text[start : end + 1] in training:
            end += 1
        lengths.append(end - start)
    return lengths


def check_all(text, training):
    matches = longest_matches(text, training)
    assert matches.lengths.tolist() == by_hand(text, training)
    for start, (length, source) in enumerate(zip(matches.lengths, matches.sources, strict=True)):
        if length:
            assert text[start : start + length] == training[source : source + length]
        else:
            assert source == -1


def test_a_case_worked_by_hand():
    matches = longest_matches("the hat", "the cat sat")
    # "the " stands in the training text (from place 0), then "he ", "e ", " "; no "h" before "at",
    # which is there first at place 5.
    assert matches.lengths.tolist() == [4, 3, 2, 1, 1, 2, 1]
    assert matches.sources[0] == 0
    # Of the 6 substrings of two characters "th he e_ _h ha at", "_h" and "ha" are new.
    assert matches.novelty(2) == pytest.approx([0, 2 / 6])
    # All of length 5 are new: the longest match has 4 characters.
    assert matches.novelty()[-1] == 1 and len(matches.novelty()) == 5
    assert matches.spans(2)[0] == CopiedSpan(start=0, length=4, source=0)
    assert [span[:2] for span in matches.spans(2)][1] == (5, 2)


@given(TEXTS, TEXTS)
def test_matches_are_those_of_a_plain_search(text, training):
    check_all(text, training)


@given(TEXTS, TEXTS)
def test_pieces_give_what_the_whole_gives(text, training):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suffixes, "PIECE", 7)
        patch.setattr(suffixes, "REACH", 30)
        check_all(text, training)


@given(TEXTS.filter(bool), TEXTS)
def test_novelty_is_that_of_the_sets_of_ngrams(text, training):
    shares = longest_matches(text, training).novelty(len(text))
    for n in range(1, len(text) + 1):
        seen = set(ngrams(training, n)) if n <= len(training) else set()
        assert shares[n - 1] == pytest.approx(novelty(text, seen, n))


@given(TEXTS, TEXTS)
def test_spans_are_copies_that_do_not_overlap(text, training):
    spans = longest_matches(text, training).spans(count=50)
    for span in spans:
        copy = text[span.start : span.start + span.length]
        assert copy == training[span.source : span.source + span.length]
    covered = [k for span in spans for k in range(span.start, span.start + span.length)]
    assert len(covered) == len(set(covered))
    lengths = [span.length for span in spans]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[:1] == [m for m in [max(by_hand(text, training), default=0)] if m]


def test_many_alphabets():
    """Beyond 254 and beyond 65 534 different characters, other integers hold them."""
    rng = np.random.default_rng(0)
    for size in (100, 700, 70_000):
        codes = rng.integers(0xF0000, 0xF0000 + size, 80_000)
        training = "".join(map(chr, codes))
        text = training[500:540] + "-" + training[70:90]
        matches = longest_matches(text, training)
        assert matches.lengths[0] == 40 and matches.sources[0] == 500
        assert matches.lengths[40] == 0 and matches.lengths[41] == 20


@pytest.mark.parametrize(
    ("text", "training", "lengths"),
    [
        ("", "", []),
        ("", "abc", []),
        ("abc", "", [0, 0, 0]),
        ("a", "a", [1]),
        ("aaaa", "aa", [2, 2, 2, 1]),
        ("abc", "abc", [3, 2, 1]),
        ("абв", "abc", [0, 0, 0]),
        ("\ud800a", "a\ud800", [1, 1]),
        ("\x00\x01", "\x01\x00\x01", [2, 1]),
    ],
)
def test_small_and_strange_texts(text, training, lengths):
    assert longest_matches(text, training).lengths.tolist() == lengths


def test_a_text_has_no_substring_longer_than_itself():
    shares = longest_matches("ab", "abab").novelty(4)
    assert shares[:2].tolist() == [0, 0] and np.isnan(shares[2:]).all()
    assert math.isnan(longest_matches("", "abc").novelty()[0])


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True])
def test_wrong_numbers_get_one_sentence(wrong):
    matches = longest_matches("ab", "abc")
    with pytest.raises(ValueError, match="longest is"):
        matches.novelty(wrong)
    with pytest.raises(ValueError, match="count is"):
        matches.spans(wrong)
    with pytest.raises(ValueError, match="shortest is"):
        matches.spans(1, wrong)


def test_what_is_covered_by_matches():
    matches = suffixes.Matches(np.array([0, 3, 2, 1, 0, 0, 5, 4, 3, 2]), np.zeros(10, dtype=int))
    assert matches.covered(3) == 0.7
    assert matches.covered(4) == 0.4
    assert matches.covered(6) == 0
    assert longest_matches("", "abc").covered(1) == 0
    with pytest.raises(ValueError, match="shortest is 0"):
        matches.covered(0)


@given(TEXTS, TEXTS)
def test_ids_are_matched_as_their_text_is(text, training):
    ids = [np.array([ord(c) for c in each], dtype=np.int64) for each in (text, training)]
    found, wanted = longest_matches(*ids), longest_matches(text, training)
    assert found.lengths.tolist() == wanted.lengths.tolist()
    assert found.sources.tolist() == wanted.sources.tolist()
