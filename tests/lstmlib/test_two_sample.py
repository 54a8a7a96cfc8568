import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmlib import two_sample
from lstmlib.two_sample import (
    classifier_test,
    compressed_bits,
    cut_alike,
    divergence_ceiling,
    ngram_divergence,
)

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran", "to", "old", "red", "barn"]


def texts(count, seed, common=WORDS, length=60):
    """Return texts of words that are drawn one by one."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(common, length // 3))[:length] for _ in range(count)]


def test_no_heavy_library_is_imported_with_the_modules():
    code = "import sys, lstmlib.metrics, lstmlib.calibration, lstmlib.two_sample\n"
    code += "assert not {'sklearn', 'scipy', 'sacrebleu', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# A classifier


def test_two_alphabets_are_told_apart_by_hand():
    """All 10 of 10 are right. Wilson: from 10 / (10 + 1.96²), 0.2775 below 1, on each side."""
    found = classifier_test(["abab ab"] * 10, ["xyxy xy"] * 10, permutations=9)
    assert found.accuracy == 1 and found.high == 1
    assert found.p_value == 1 / 10 and found.permutations == 9
    below = 1 - 10 / (10 + 1.96**2)
    assert found.low == pytest.approx(1 - math.sqrt(2 * below**2) / 2)


def test_texts_of_one_source_are_not_told_apart():
    found = classifier_test(texts(30, 0), texts(30, 1), permutations=9)
    assert found.low < 0.5 < found.high
    assert found.p_value > 0.1
    assert classifier_test(texts(30, 0), texts(30, 1), permutations=9) == found


def test_unequal_numbers_do_not_make_one_answer_good():
    found = classifier_test(texts(40, 0), texts(8, 1), permutations=9)
    assert 0.3 < found.accuracy < 0.7  # and not the 40 / 48 of who says "real" of all
    assert classifier_test(["abab"] * 40, ["xyxy"] * 6, permutations=9).accuracy == 1


@pytest.mark.parametrize("text", ["the same", "a", "", "word word word word"])
def test_texts_that_are_all_equal_are_guessed(text):
    real, generated = [text] * 6, [text or "?"] * 6
    if text:
        found = classifier_test(real, generated, permutations=9)
        assert (found.accuracy, found.p_value) == (0.5, 1)
    else:  # nothing on one side is something to tell it by
        assert classifier_test(real, generated, permutations=9).accuracy == 1


def test_the_training_texts_themselves_are_worse_than_guessed():
    own = ["abcdefgh", "ijklmnop", "qrstuvwxyz", "абвгд", "еёжзи", "йклмн", "опрст"]
    found = classifier_test(own, own, folds=7, permutations=9)
    assert found.accuracy < 0.5 and found.p_value > 0.5


def test_blank_lines_and_case_are_seen():
    """scikit-learn's own analyzer of characters makes all white space one space."""
    assert classifier_test(["a\n\nb"] * 6, ["a b"] * 6, permutations=4).accuracy == 1
    assert classifier_test(["aB"] * 6, ["ab"] * 6, permutations=4).accuracy == 1


@pytest.mark.parametrize(
    ("real", "generated", "options", "message"),
    [
        (["a"] * 4, ["b"] * 9, {}, "real has 4 texts; it must have at least 5"),
        (["a"] * 9, [], {}, "generated has 0 texts"),
        ("a text", ["b"] * 9, {}, "real is one text; put it into a list"),
        ([""] * 5, [""] * 5, {}, "All texts are empty"),
        (["a" * 10**8] * 5, ["b"] * 5, {}, "compare at most 20000000"),
        (["a" * 10**6] * 5, ["b"] * 5, {}, "too many for the classifier.*`cut_alike`"),
        (["a"] * 5, ["b"] * 5, {"folds": 1}, "folds is 1"),
        (["a"] * 5, ["b"] * 5, {"permutations": 0}, "permutations is 0"),
        (["a"] * 5, ["b"] * 5, {"seed": -1}, "seed is -1"),
    ],
)
def test_what_no_classifier_can_learn_from(real, generated, options, message):
    with pytest.raises(ValueError, match=message):
        classifier_test(real, generated, **options)


def test_the_interval_of_two_shares_is_that_of_one_where_both_are_equal_by_hand():
    """With h the half width of each side, that of the mean is √(h² + h²) / 2."""
    found = two_sample._balanced([(5, 10), (5, 10)])
    one = 1.96 * math.sqrt(0.25 / 10 + 1.96**2 / 400) / (1 + 1.96**2 / 10)
    assert found == pytest.approx((0.5, 0.5 - one / math.sqrt(2), 0.5 + one / math.sqrt(2)))


# Pieces


def test_pieces_of_both_kinds_are_cut_alike():
    real, generated = cut_alike(["abcdefghij" * 3], ["0123456789" * 2] * 5, 5, count=4)
    assert len(real) == len(generated) == 4
    assert {len(piece) for piece in real + generated} == {5}
    assert all(piece in "abcdefghij" * 3 for piece in real)


@given(st.integers(1, 9), st.integers(2, 60), st.integers(0, 50))
def test_pieces_do_not_overlap_and_are_one_less_than_fit(length, extra, seed):
    text = "".join(map(chr, range(200, 200 + 2 * length + extra)))  # each character once
    pieces, others = cut_alike([text], [text], length, seed=seed)
    assert len(pieces) == len(others) == len(text) // length - 1
    places = sorted(text.index(piece) for piece in pieces)
    assert all(here + length <= there for here, there in pairwise(places))


def test_a_piece_begins_anywhere():
    text = "".join(map(chr, range(200, 230)))
    begins = {text.index(cut_alike([text], [text], 15, seed=k)[0][0]) for k in range(300)}
    assert begins == set(range(16))


def test_cutting_takes_away_what_the_beginning_tells():
    real = ["ACT I: " + text for text in texts(30, 0, length=200)]
    generated = texts(30, 1, length=200)
    whole = classifier_test(real, generated, permutations=4)
    cut = classifier_test(*cut_alike(real, generated, 60), permutations=4)
    assert whole.accuracy > 0.9
    assert cut.accuracy < 0.65


@pytest.mark.parametrize(
    ("real", "generated", "options", "message"),
    [
        (["abcd"], ["abc"], {"length": 2}, r"generated\[0\] has 3 characters; .* needs .* 4 or"),
        ([""], ["abcd"], {"length": 2}, r"real\[0\] has 0 characters"),
        ([], ["abcd"], {"length": 2}, "real has 0 texts"),
        ("abcd", ["abcd"], {"length": 2}, "real is one text"),
        (["abcd"], ["abcd"], {"length": 0}, "length is 0"),
        (["abcd"], ["abcd"], {"length": 2, "count": 2}, "only 1 pieces of each kind"),
        (["abcd"], ["abcd"], {"length": 2, "count": 0}, "count is 0"),
    ],
)
def test_what_cannot_be_cut(real, generated, options, message):
    with pytest.raises(ValueError, match=message):
        cut_alike(real, generated, **options)


# n-grams


def test_equal_texts_have_an_area_of_1():
    for n in (1, 2, 3):
        assert ngram_divergence(["the cat sat"], ["the cat sat"], n) == pytest.approx(1)
    assert ngram_divergence(["aaaa"], ["aaaaaaa"], 2) == pytest.approx(1)
    assert ngram_divergence(["ab", "ab"], ["abab"], 1) == pytest.approx(1)


def test_texts_without_a_common_n_gram_by_hand():
    """KL(P ‖ R) = -ln λ and KL(Q ‖ R) = -ln(1 - λ).

    The area is ∫ λ^5 · 5 (1 - λ)^4 dλ = 5! 5! / 10!
    """
    expected = math.factorial(5) ** 2 / math.factorial(10)
    assert expected == pytest.approx(1 / 252)
    assert ngram_divergence(["ab"], ["xyz"], 1) == pytest.approx(expected, rel=1e-3)
    assert ngram_divergence(["кот"], ["cat"], 1) == pytest.approx(expected, rel=1e-3)


def test_texts_with_half_in_common_by_hand():
    """P = ½ a + ½ b, Q = ½ a + ½ c: KL(P ‖ R) = -½ ln λ, so with 5/2 for 5: Γ(7/2)² / Γ(6)."""
    expected = math.gamma(3.5) ** 2 / math.gamma(6)
    assert ngram_divergence(["ab"], ["ac"], 1) == pytest.approx(expected, rel=1e-3)


@given(
    st.lists(st.text("abc", min_size=2, max_size=9), min_size=1, max_size=4),
    st.lists(st.text("abcd", min_size=2, max_size=9), min_size=1, max_size=4),
)
def test_the_area_is_a_share_and_the_same_both_ways(real, generated):
    area = ngram_divergence(real, generated, 2)
    assert 1 / 252 - 1e-6 <= area <= 1 + 1e-9
    assert ngram_divergence(generated, real, 2) == pytest.approx(area)
    assert ngram_divergence(real * 2, generated[::-1], 2) == pytest.approx(area)


def test_no_n_gram_reaches_from_one_text_into_the_next():
    assert ngram_divergence(["ab", "ab"], ["ab"], 2) == pytest.approx(1)


def test_two_halves_of_real_texts_fall_short_of_1_and_the_less_the_more_there_is():
    few, many = (divergence_ceiling(texts(k, 0), draws=5) for k in (8, 80))
    assert few.low <= few.value <= few.high < many.low <= many.value < 1
    other = texts(40, 1, [*WORDS, "zap", "blip", "quux"])
    assert ngram_divergence(texts(40, 0), other) < many.low
    assert divergence_ceiling(texts(8, 0), draws=5) == few


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (lambda: ngram_divergence(["ab"], ["abc"]), "None of the real texts has 3 characters"),
        (lambda: ngram_divergence(["abc"], [""]), "None of the generated texts has 3"),
        (lambda: ngram_divergence(["abc"], []), "generated has 0 texts"),
        (lambda: ngram_divergence("abc", ["abc"]), "real is one text"),
        (lambda: ngram_divergence(["abc"], ["abc"], 0), "n is 0"),
        (lambda: ngram_divergence(["a" * 10**8], ["abc"]), "100000003 characters; compare at most"),
        (lambda: divergence_ceiling(["abc"]), "real has 1 texts; it must have at least 2"),
        (lambda: divergence_ceiling(["abc", "abc"], draws=0), "draws is 0"),
    ],
)
def test_what_has_no_divergence(measure, message):
    with pytest.raises(ValueError, match=message):
        measure()


# A compressor


def noise(size, letters, seed=0):
    return "".join(np.random.default_rng(seed).choice(list(letters), size))


def test_noise_costs_the_logarithm_of_its_alphabet_and_a_copy_nothing():
    text, given_ = noise(4000, "abcdefgh"), noise(4000, "abcdefgh", 1)
    assert 3 <= compressed_bits(text) < 4  # log2(8) = 3
    assert 3 <= compressed_bits(text, given_) < 4
    assert compressed_bits(text, text) < 0.1
    assert compressed_bits(text, given_ + text + given_) < 0.1
    assert compressed_bits("a" * 4000) < 0.05


def test_bits_are_of_characters_and_not_of_bytes():
    letters = "абвгдежз"
    assert len(letters.encode()) == 16
    assert 3 <= compressed_bits(noise(4000, letters)) < 4.3


def test_what_lies_further_back_than_the_window_is_of_no_use(monkeypatch):
    monkeypatch.setattr(two_sample, "WINDOW", 2**13)
    text, far = noise(2000, "abcdefgh"), noise(9000, "abcdefgh", 1)
    assert compressed_bits(text, text + far[:4000]) < 0.1
    assert compressed_bits(text, text + far) > 3
    with pytest.raises(ValueError, match="5000 characters is too long .* 4096 bytes"):
        compressed_bits(far[:5000])


@pytest.mark.parametrize("text", ["a", "é", "\ud800", "one word " * 50])
def test_any_text_has_its_bits(text):
    assert 0 <= compressed_bits(text) < 100
    assert 0 <= compressed_bits(text, text) < 100


def test_what_has_no_bits():
    with pytest.raises(ValueError, match="An empty text has no bits"):
        compressed_bits("", "abc")
    with pytest.raises(ValueError, match="100000000 characters is too long"):
        compressed_bits("a" * 10**8)
