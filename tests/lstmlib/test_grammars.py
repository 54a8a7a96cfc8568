"""The formal languages, held to other accounts of the same rules: sums, counts and a parser."""

import itertools
import math
import re
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from lstmlib.grammars import LANGUAGES, SPECIALS, TOY_RULES, Brackets, Toy
from lstmlib.vocab import END

NAMES = ["ndfa", "brackets", "toy"]
NDFA, BRACKETS, TOY = (LANGUAGES[name] for name in NAMES)


@cache
def sampled(name, count=20_000):
    """Return a large sample, and ln P of each of its strings."""
    texts = LANGUAGES[name].sample(count, seed=1)
    return texts, np.array([LANGUAGES[name].log_probabilities(text).sum() for text in texts])


def within_4_standard_errors(floor, nats, lengths):
    """Is a ratio of means as near to the floor as chance allows?"""
    rest = nats - floor * lengths
    return abs(rest.mean()) < 4 * rest.std() / math.sqrt(len(rest))


# Names, vocabularies, samples


def test_the_languages_by_name():
    assert list(LANGUAGES) == NAMES
    assert all(language.name == name for name, language in LANGUAGES.items())
    assert repr(TOY) == "Toy()"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_the_vocabulary_is_that_of_the_strings(name):
    vocab = LANGUAGES[name].vocab()
    texts, _ = sampled(name)
    assert vocab.tokens == (".pad", ".start", ".end", ".unk", *sorted(set("".join(texts))))
    assert [vocab.id_of(token) for token in SPECIALS] == [0, 1, 2, 3]
    assert LANGUAGES[name].characters == "".join(vocab.characters)


def test_sizes_of_the_vocabularies():
    assert [len(LANGUAGES[name].vocab()) for name in NAMES] == [4 + 11, 4 + 2, 4 + 25]


@pytest.mark.parametrize("name", NAMES)
def test_samples_follow_their_seed(name):
    language = LANGUAGES[name]
    texts = language.sample(50, seed=3)
    assert texts == language.sample(50, seed=3)
    assert texts != language.sample(50, seed=4)
    assert texts[:20] == language.sample(20, seed=3)
    assert language.sample(0, seed=3) == []
    assert language.sample(np.int64(50), seed=np.int32(3)) == texts


@pytest.mark.parametrize(
    ("count", "seed", "message"),
    [(-1, 3, "count is -1"), (2.5, 3, "count is 2.5"), (3, None, "seed is None"), (3, -3, "is -3")],
)
def test_a_sample_needs_a_count_and_a_seed(count, seed, message):
    """Without a seed each call would differ; with -3 it would be that of 3."""
    with pytest.raises(ValueError, match=f"{message}; it must be a whole number, 0 or more"):
        TOY.sample(count, seed)


@pytest.mark.parametrize("text", [None, 5, b"(", ["(", ")"]])
def test_what_is_no_text_is_refused(text):
    reading = (BRACKETS.next, BRACKETS.along, BRACKETS.accepts, BRACKETS.accepts_prefix)
    for read in (*reading, BRACKETS.log_probabilities):
        with pytest.raises(TypeError, match="is not a text; of a Sample"):
            read(text)
    with pytest.raises(TypeError, match="Give a list of strings, such as \\['ss'\\]"):
        NDFA.nats_per_symbol("ss")


@pytest.mark.parametrize("name", NAMES)
def test_every_sampled_string_is_accepted(name):
    texts, log_probabilities = sampled(name)
    assert all(map(LANGUAGES[name].accepts, texts))
    assert np.isfinite(log_probabilities).all()


# Floors


@pytest.mark.parametrize("name", NAMES)
def test_a_large_sample_has_the_floors_loss(name):
    language, (texts, log_probabilities) = LANGUAGES[name], sampled(name)
    lengths = np.array([len(text) + 1 for text in texts])
    assert within_4_standard_errors(language.floor, -log_probabilities, lengths)
    assert not within_4_standard_errors(1.1 * language.floor, -log_probabilities, lengths)
    loss = -log_probabilities.sum() / lengths.sum()
    assert language.nats_per_symbol(texts) == pytest.approx(loss, rel=1e-12)


def test_the_floor_of_the_ndfa_is_a_sum_over_its_strings():
    nats = length = 0.0
    for repetitions in range(500):
        p = 0.25 * 0.75**repetitions
        nats -= p * (math.log(p) - (math.log(3) if repetitions else 0))
        length += p * (4 * repetitions + 3)
    assert NDFA.floor == pytest.approx(nats / length, rel=1e-12)
    assert NDFA.floor == pytest.approx(0.20489, abs=5e-6)


def shares_of_brackets(most_pairs):
    """Return P(a string has m pairs), m = 1 …: Catalan(m - 1) of them, (7/16)^(m-1) (9/16)^m each.

    Catalan(m) is Catalan(m - 1) times (4m - 2) / (m + 1).
    """
    shares = [9 / 16]
    for m in range(1, most_pairs):
        shares.append(shares[-1] * (4 * m - 2) / (m + 1) * 7 / 16 * 9 / 16)
    return np.array(shares)


def test_the_floor_of_the_brackets_is_a_sum_over_their_strings():
    shares = shares_of_brackets(4000)
    pairs = np.arange(1, 4001)
    assert shares.sum() == pytest.approx(1, abs=1e-12)
    nats = -(pairs - 1) * math.log(7 / 16) - pairs * math.log(9 / 16)
    floor = (shares * nats).sum() / (shares * (2 * pairs + 1)).sum()
    assert BRACKETS.floor == pytest.approx(floor, rel=1e-12)
    assert BRACKETS.floor == pytest.approx(0.54825, abs=5e-6)


def toy_means():
    """Return nats and symbols of a derivation of Toy in the mean, from what each rule brings."""
    names = list(TOY_RULES)
    inside, own = np.zeros((len(names), len(names))), np.zeros((len(names), 2))
    for row, (_, rules) in enumerate(TOY_RULES.items()):
        own[row, 0] = math.log(len(rules))
        for part in " ".join(rules).split():
            if part in TOY_RULES:
                inside[row, names.index(part)] += 1 / len(rules)
            else:
                own[row, 1] += (len(part) + 1) / len(rules)  # with its space, or `.end`
    return np.linalg.solve(np.eye(len(names)) - inside, own)[names.index("S")]


def test_the_floor_of_toy_by_derivation_is_that_of_its_rules():
    nats, length = toy_means()
    assert TOY.floor_by_derivation == pytest.approx(nats / length, rel=1e-12)
    assert TOY.floor_by_derivation == pytest.approx(0.37828, abs=5e-6)


def derivation_nats(text):
    """Return -ln P of one derivation of a text; all of a text have the same rules, hence one P.

    Each word tells of the rules: a verb of its sentence's and its own, an adverb likewise.
    """
    worth = {word: math.log(len(rules)) for rules in TOY_RULES.values() for word in rules}
    worth |= dict.fromkeys(("a", "the"), math.log(4)) | dict.fromkeys("()", 0.0)
    worth |= {word: math.log(6) + worth[word] for name in ("VP", "Adv") for word in TOY_RULES[name]}
    return sum(worth[word] for word in text.split(" "))


def test_the_floor_of_toy_leaves_out_what_the_text_does_not_tell():
    """The two floors differ by ln(number of derivations), in the mean, over the mean length."""
    texts, log_probabilities = sampled("toy")
    derivations = np.array([derivation_nats(text) for text in texts]) + log_probabilities
    assert derivations.min() > -1e-9
    assert np.isclose(np.exp(derivations), np.rint(np.exp(derivations)), rtol=1e-9).all()
    gap = (TOY.floor_by_derivation - TOY.floor) * toy_means()[1]
    assert abs(derivations.mean() - gap) < 4 * derivations.std() / math.sqrt(len(texts))
    assert derivations.mean() > 20 * derivations.std() / math.sqrt(len(texts))  # it is not nothing
    assert TOY.floor == pytest.approx(0.3764, abs=5e-5)


# Toy, by a parser that knows its rules and nothing else


def inside(text):
    """Return P(text) by TOY_RULES as they stand: the inside algorithm over the spans of its words.

    Every symbol covers at least one word, so S -> S Adv leads to shorter spans and comes to an end.
    """
    words = text.split(" ")

    @cache
    def symbol(name, i, j):
        if name not in TOY_RULES:
            return float(words[i:j] == [name])
        rules = TOY_RULES[name]
        return sum(row(tuple(rule.split()), i, j) for rule in rules) / len(rules)

    @cache
    def row(names, i, j):
        if len(names) == 1:
            return symbol(names[0], i, j)
        total = 0.0
        for k in range(i + 1, j - len(names) + 2):
            first = symbol(names[0], i, k)
            total += first * row(names[1:], k, j) if first else 0.0
        return total

    return symbol("S", 0, len(words))


AMBIGUOUS = [
    "a cat ran",
    "a cat ran briefly",
    "a cat ran while the dog went briefly",
    "a cat ran while the dog went briefly quickly briefly",
    "a cat ran but a man walks while the nice dog goes but the man went quickly briefly quickly",
    "a cat ran ( while the dog went briefly but a man runs quickly quickly ) briefly impatiently",
    "a cat ran while the dog went ( but a man ran ( with the person ) quickly ) briefly quickly",
]


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_ambiguous_sentences_have_the_parsers_probability(text):
    assert math.exp(TOY.log_probabilities(text).sum()) == pytest.approx(inside(text), rel=1e-12)


@pytest.mark.slow
def test_sampled_sentences_have_the_parsers_probability():
    texts = [text for text in sampled("toy")[0] if text.count(" ") < 40]
    twice = re.compile("(while|but).* (while|but).*ly [a-z]+ly$")
    ambiguous = [text for text in texts if twice.search(text)]
    assert len(ambiguous) > 20
    for text in texts[:300] + ambiguous:
        mine = math.exp(TOY.log_probabilities(text).sum())
        assert mine == pytest.approx(inside(text), rel=1e-12), text


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["delete", "insert", "swap"]),
        st.booleans(),
        st.integers(0, 10**6),
        st.integers(0, 10**6),
    ),
    max_size=3,
)


def changed(text, changes):
    """Delete, insert or swap characters or whole words."""
    for what, by_word, where, which in changes:
        parts = text.split(" ") if by_word else list(text)
        words = [word for rules in TOY_RULES.values() for rule in rules for word in rule.split()]
        new = sorted(set(words) - set(TOY_RULES)) if by_word else TOY.characters
        at = where % max(len(parts), 1)
        if what == "delete":
            parts = parts[:at] + parts[at + 1 :]
        elif what == "insert":
            parts.insert(at, new[which % len(new)])
        else:
            parts[at : at + 2] = parts[at : at + 2][::-1]
        text = (" " if by_word else "").join(parts)
    return text


SHORT = [text for text in TOY.sample(300, seed=2) if len(text) < 150] + AMBIGUOUS


@given(st.sampled_from(SHORT), CHANGES)
def test_toy_accepts_what_the_parser_accepts(text, changes):
    text = changed(text, changes)
    p = inside(text)
    assert TOY.accepts(text) == (p > 0)
    assert math.exp(TOY.log_probabilities(text).sum()) == pytest.approx(p, rel=1e-12)


def test_changed_sentences_are_of_both_kinds():
    """Else the test above would show little."""
    changes = [[("insert", True, at, word)] for at in range(3) for word in range(0, 31, 5)]
    accepted = [TOY.accepts(changed(text, each)) for text in SHORT[:40] for each in changes]
    assert 0.02 < np.mean(accepted) < 0.5


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a cat ran ",
        " a cat ran",
        "a  cat ran",
        "a cat",
        "A cat ran",
        "a cat ran.",
        "a cat ran on",
        "a cat ran (with a dog)",
        "a cat ran ( with a dog",
        "a cat ran ( )",
        "a cat ran ( briefly )",
        "a cat briefly ran",
        "a cat ran while briefly",
        "a nice short cat ran",
        "a cat ran.end",
        "a cat ran ranc",
    ],
)
def test_no_sentences_of_toy(text):
    assert not TOY.accepts(text)
    assert inside(text) == 0
    assert TOY.log_probabilities(text)[-1] == -math.inf


def test_a_chain_of_very_many_sentences_may_still_end():
    """Its probability of ending is far below the rounding of 1."""
    text = " while ".join(["a cat ran"] * 400)
    assert TOY.accepts(text)
    # n sentences that end together have no adverb by (5/6)^n, and each rule but the last is Con.
    nats = 400 * (math.log(4 * 7 * 6) + math.log(5)) + 399 * math.log(2) - 400 * math.log(5 / 6)
    assert TOY.log_probabilities(text).sum() == pytest.approx(-nats, rel=1e-12)


@pytest.mark.slow
def test_a_chain_may_still_end_where_no_float_is_as_small_as_its_probability():
    text = " while ".join(["a cat ran"] * 4500)
    following = Toy().along(text)[-1]
    assert following[" "] == 1 and 0 < following[END] < 1e-300


# NDFA and brackets, by another definition


def words_of(alphabet, pieces):
    """Strings of an alphabet, some of them made of pieces that make a legal one likely."""
    return st.one_of(
        st.text(alphabet, max_size=14),
        st.lists(st.sampled_from([*pieces, *alphabet]), max_size=14).map("".join),
    )


NDFA_STRING = r"s(?:(abc!|uvw!|klm!)\1*)?s"


@given(words_of("!abcklmsuvwx", ["abc!", "uvw!", "klm!", "abc!abc!"]), st.booleans())
@example("ss", False)
@example("abc!" * 3, True)
@example("abc!abc!klm!", True)
@example("abc!abc", True)
def test_ndfa_accepts_what_a_regular_expression_accepts(text, framed):
    text = f"s{text}s" if framed else text
    assert NDFA.accepts(text) == bool(re.fullmatch(NDFA_STRING, text))


@given(words_of("!abcklmsuvw", ["abc!", "uvw!", "klm!"]), st.integers(0, 20))
@example("abc!abc!", 7)
def test_ndfa_accepts_the_beginnings_of_its_strings(text, cut):
    text = ("s" + text)[:cut]
    endless = [f"s{word * 9}" for word in ("abc!", "uvw!", "klm!")]
    legal = any(each.startswith(text) for each in endless) or re.fullmatch(NDFA_STRING, text)
    assert NDFA.accepts_prefix(text) == bool(legal)


def depths(text):
    return list(itertools.accumulate(1 if character == "(" else -1 for character in text))


@given(words_of("()", ["(())", "()", "((", "))"]), st.booleans())
@example("", False)
@example("()()", False)
@example("(())()", True)
def test_brackets_accepts_by_the_depth(text, framed):
    text = f"({text})" if framed else text
    balances_first_at_the_end = bool(text) and 0 not in depths(text)[:-1] and depths(text)[-1] == 0
    legal = text.startswith("(") and min(depths(text)) >= 0
    assert BRACKETS.accepts(text) == (legal and balances_first_at_the_end)
    assert BRACKETS.accepts_prefix(text) == (not text or (legal and 0 not in depths(text)[:-1]))


@given(st.sampled_from(NAMES), st.text(max_size=8))
def test_characters_outside_the_alphabet_are_refused(name, text):
    language = LANGUAGES[name]
    assume(set(text) - set(language.characters))
    assert not language.accepts_prefix(text)
    assert language.next(text) == {}


def ended_by_depth(steps):
    """Return P(a string of brackets has at most so many symbols, .end left out), by its depth."""
    open_, alive = 7 / 16, np.zeros(steps + 2)
    alive[1] = 1.0  # behind the first bracket
    for _ in range(steps - 1):
        before, alive = alive, np.zeros(steps + 2)
        alive[2:] += open_ * before[1:-1]
        alive[:-1] += (1 - open_) * before[1:]
        alive[0] += before[0]
    return alive[0]


def test_the_probabilities_of_all_short_strings_of_brackets_add_up():
    total = 0.0
    for length in range(2, 15, 2):
        strings = map("".join, itertools.product("()", repeat=length))
        total += sum(math.exp(BRACKETS.log_probabilities(text).sum()) for text in strings)
        assert total == pytest.approx(ended_by_depth(length), rel=1e-12)
        assert total == pytest.approx(shares_of_brackets(length // 2).sum(), rel=1e-12)


def test_the_share_of_long_strings_of_brackets():
    longer = 1 - ended_by_depth(200)
    assert longer == pytest.approx(0.0024, abs=5e-5)
    share = np.mean([len(text) > 200 for text in sampled("brackets")[0]])
    assert share == pytest.approx(longer, abs=4 * math.sqrt(longer / 20_000))


# What can follow


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_what_follows_every_prefix(name):
    language = LANGUAGES[name]
    texts = [text for text in sampled(name)[0] if len(text) < 200][:60]
    for text in texts:
        nats = 0.0
        for k, symbol in enumerate([*text, END]):
            prefix = text[:k]
            following = language.next(prefix)
            assert sum(following.values()) == pytest.approx(1, abs=1e-12)
            assert min(following.values()) > 0
            assert set(following) <= {*language.characters, END}
            assert (END in following) == language.accepts(prefix)
            assert language.accepts_prefix(prefix)
            nats -= math.log(following[symbol])
            for other in set(language.characters) - set(following):
                assert language.next(prefix + other) == {}
                assert not language.accepts_prefix(prefix + other)
        assert nats == pytest.approx(-language.log_probabilities(text).sum(), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_log_probabilities_one_by_one(name):
    language = LANGUAGES[name]
    text = next(text for text in sampled(name)[0] if len(text) > 8)
    found = language.log_probabilities(text)
    assert (found.dtype, found.shape) == (np.float64, (len(text) + 1,))
    steps = [language.next(text[:k])[s] for k, s in enumerate([*text, END])]
    np.testing.assert_allclose(np.exp(found), steps, rtol=1e-12)
    broken = language.log_probabilities(text[:5] + "?" + text[5:])
    assert np.isfinite(broken[:5]).all()
    assert (broken[5:] == -math.inf).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_prefix_leads_to_a_string(name):
    """accepts_prefix promises a string: the likeliest way on comes to its end."""
    language = LANGUAGES[name]
    rank = {END: 0, ")": 1, "s": 1}
    for text in sampled(name)[0][:60]:
        prefix = text[: len(text) // 2]
        for _ in range(2 * len(text) + 40):
            following = language.next(prefix)
            if END in following:
                break
            prefix += min(following, key=lambda symbol: (rank.get(symbol, 2), -following[symbol]))
        assert language.accepts(prefix)


def test_what_is_returned_may_be_changed():
    BRACKETS.next("(").clear()
    assert BRACKETS.next("(") == {"(": 7 / 16, ")": 9 / 16}


def test_nats_of_no_string_and_of_a_wrong_one():
    with pytest.raises(ValueError, match="no string"):
        TOY.nats_per_symbol([])
    assert TOY.nats_per_symbol(["a cat ran", "a cat"]) == math.inf


@pytest.mark.parametrize("repeats", [1, 10, 100])
@pytest.mark.parametrize(
    ("kind", "begin", "middle", "finish"),
    [
        (type(NDFA), "s", "abc!", "s"),
        (Brackets, "(", "(())", ")"),
        (Toy, "a cat ran", " while the dog went", " ( on a man ) briefly"),
    ],
    ids=NAMES,
)
def test_reading_takes_one_look_up_a_symbol(kind, begin, middle, finish, repeats):
    language, calls = kind(), []
    real = language._follow_cached
    language._follow_cached = lambda state: calls.append(state) or real(state)
    text = begin + repeats * middle + finish
    for read in (language.accepts, language.accepts_prefix, language.log_probabilities):
        calls.clear()
        read(text)
        assert len(calls) == len(text) + 1
    calls.clear()
    assert not language.accepts("?" + text)
    assert len(calls) == 1
