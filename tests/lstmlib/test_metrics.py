import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lstmlib.generation import Sample
from lstmlib.grammar_eval import Validity, read_prefix, validity
from lstmlib.grammars import LANGUAGES
from lstmlib.inference import prefill
from lstmlib.metrics import (
    Interval,
    WordValidity,
    bits,
    bleu,
    bootstrap_interval,
    check_texts,
    distinct_n,
    known_words,
    longest_repeat,
    mean_interval,
    ngrams,
    novelty,
    perplexity,
    repetition,
    self_bleu,
    self_bleu_of_each,
    wilson_interval,
    word_validity,
    words,
)
from lstmlib.models import CharRNN
from lstmlib.ngram import NGramModel
from lstmlib.sampling import log_softmax
from lstmlib.vocab import Vocab, VocabError


def witten_bell(train, context, token, vocab_size):
    """Return P(token | context) by the formula, counting afresh: slow and plain."""
    if len(context) == 0:
        lower = 1 / vocab_size
    else:
        lower = witten_bell(train, context[1:], token, vocab_size)
    n = len(context)
    after = [train[i + n] for i in range(len(train) - n) if train[i : i + n] == context]
    if not after:
        return lower
    kinds = len(set(after))
    return (after.count(token) + kinds * lower) / (len(after) + kinds)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_against_counting_by_hand(order):
    rng = np.random.default_rng(0)
    train, test = rng.integers(0, 4, 60).tolist(), rng.integers(0, 5, 30).tolist()
    model = NGramModel(np.array(train), order, 5)
    expected = [
        witten_bell(train, test[max(0, i - order + 1) : i], test[i], 5) for i in range(1, len(test))
    ]
    # To the last bit: bands hang on what the model says of a text.
    assert model.probabilities(np.array(test)).tolist() == expected
    assert model.nats_per_char(np.array(test)) == pytest.approx(-np.log(expected).mean())


def test_the_models_of_lower_order_are_part_of_one():
    rng = np.random.default_rng(0)
    train, test = rng.integers(0, 4, 90), rng.integers(0, 5, 30)
    apart = [NGramModel(train, n, 5).nats_per_char(test) for n in range(1, 5)]
    assert NGramModel(train, 4, 5).nats_by_order(test) == apart
    with pytest.raises(ValueError, match="^A text of 3 characters is too short for the order 4"):
        NGramModel(train, 4, 5).nats_by_order(test[:3])


@given(
    st.lists(st.integers(0, 5), min_size=4, max_size=50), st.lists(st.integers(0, 5), max_size=6)
)
def test_next_distribution_sums_to_one_and_agrees(train, context):
    model = NGramModel(np.array(train), 4, 6)
    p = model.next_probabilities(np.array(context, dtype=np.int64))
    assert p.sum() == pytest.approx(1)
    assert (p > 0).all()
    if context:
        last = model.probabilities(np.array([*context, 3]))[-1]
        assert p[3] == pytest.approx(last)


@pytest.mark.parametrize(("size", "order"), [(7_000, 5), (2**20, 4), (3, 60)])
def test_alphabets_and_orders_of_any_size(size, order):
    """Their n-grams are more than 64 bits can tell apart; those of a text are not."""
    assert size**order >= 2**63
    rng = np.random.default_rng(0)
    used = rng.choice(size, 3, replace=False)
    few, test = rng.integers(0, 3, 200), rng.integers(0, 3, 30)
    model = NGramModel(used[few], order, size)
    expected = [
        witten_bell(few.tolist(), test[max(0, i - order + 1) : i].tolist(), test[i], size)
        for i in range(1, len(test))
    ]
    assert model.probabilities(used[test]) == pytest.approx(expected, rel=1e-12)
    if size < 10**4:
        p = model.next_probabilities(used[test])
        assert p.sum() == pytest.approx(1)
        assert p.argmax() in used


def test_unknown_contexts_are_no_others():
    """An n-gram with an unseen context has no code that another one has."""
    model = NGramModel(np.array([0, 1, 0, 1, 0, 1]), 3, 4)
    shorter = NGramModel(np.array([0, 1, 0, 1, 0, 1]), 1, 4)
    assert model.next_probabilities(np.array([3, 2])) == pytest.approx(
        shorter.next_probabilities(np.array([]))
    )


def test_uniform_text_costs_log_v():
    ids = np.random.default_rng(0).integers(0, 8, 100_000)
    assert NGramModel(ids, 2, 8).nats_per_char(ids) == pytest.approx(math.log(8), abs=0.01)


def test_units():
    assert bits(math.log(2)) == pytest.approx(1)
    assert perplexity(math.log(7)) == pytest.approx(7)


@pytest.mark.parametrize(
    ("ids", "order", "size", "message"),
    [
        ([1, 2], 0, 5, "order is 0; .* 1 is the unigram"),
        ([1, 2], 3, 5, "too short for order 3"),
        ([1, 2] * 20, 2, 2**60, "64 bits"),
        ([1, 5] * 20, 2, 5, "0 … 4"),
        ([1, -1] * 20, 2, 5, "0 … 4"),
    ],
)
def test_bad_input(ids, order, size, message):
    with pytest.raises(ValueError, match=message):
        NGramModel(np.array(ids), order, size)


def test_one_character_has_no_loss():
    with pytest.raises(ValueError, match="no character to predict"):
        NGramModel(np.arange(5), 2, 5).nats_per_char(np.array([1]))


def test_distinct_counts_each_n_gram_once():
    assert distinct_n("abcd", 2) == 1
    assert distinct_n("aaaa", 1) == 1 / 4
    assert distinct_n("ababab", 2) == 2 / 5
    assert distinct_n(["the", "cat", "the", "cat"], 2) == 2 / 3
    assert distinct_n(np.array([1, 1, 2]), 1) == distinct_n(torch.tensor([1, 1, 2]), 1) == 2 / 3


def test_grams_are_all_of_them_in_order():
    assert ngrams("abcd", 3) == ["abc", "bcd"]
    assert ngrams(["a", "b", "c"], 2) == [("a", "b"), ("b", "c")]


def test_novelty_is_the_share_that_was_not_seen():
    assert novelty("abcd", set(ngrams("xabcdx", 2)), 2) == 0
    assert novelty("abcd", set(ngrams("dcba", 2)), 2) == 1
    assert novelty("abcd", set(ngrams("abxcd", 2)), 2) == 1 / 3
    assert novelty(["a", "b", "c"], set(ngrams(["b", "c", "d"], 2)), 2) == 1 / 2


def test_repetition_is_the_share_that_came_before():
    assert repetition("abcd", 2) == 0
    assert repetition("aaaa", 1) == 3 / 4
    assert repetition("ababab", 2) == 3 / 5  # ab ba, and then ab ba ab came before
    assert repetition(["the", "cat", "the", "cat"], 2) == 1 / 3
    assert repetition(np.array([1, 1, 2]), 1) == 1 / 3


@given(st.text("abc", min_size=3, max_size=40), st.integers(1, 3))
def test_repetition_counts_places_at_which_nothing_is_new(text, n):
    places = range(len(text) - n + 1)
    again = sum(any(text[j : j + n] == text[k : k + n] for j in range(k)) for k in places)
    assert repetition(text, n) == again / len(places)
    assert repetition(text, n) == pytest.approx(1 - distinct_n(text, n))


@pytest.mark.parametrize(
    "measure", [ngrams, distinct_n, repetition, lambda x, n: novelty(x, set(), n)]
)
def test_n_grams_that_are_not_there_are_named(measure):
    with pytest.raises(ValueError, match="n is 0"):
        measure("abc", 0)
    with pytest.raises(ValueError, match="3 items has no 4-gram"):
        measure("abc", 4)
    with pytest.raises(ValueError, match="0 items has no 1-gram"):
        measure("", 1)
    with pytest.raises(ValueError, match="100000000 items is too long; take at most 20000000"):
        measure("a" * 10**8, 2)


def test_words_are_runs_of_letters_digits_and_underscores():
    assert words('The "__init__()" method, 2 of them: naïve\n') == [
        *("The", "__init__", "method", "2", "of", "them", "naïve")
    ]


def test_known_words_leaves_out_the_last_which_may_be_cut_off():
    assert known_words("the cat sat on the m", {"the", "cat", "on"}) == 4 / 5
    assert known_words("the the", {"the"}) == 1
    for text in ("", " . ", "the"):
        with pytest.raises(ValueError, match="no whole word"):
            known_words(text, {"the"})


# Words that were seen, that are real, and others


def test_words_are_seen_or_unseen_or_invented():
    # the, cat and on were seen; mat is in held-out text alone; blorp in neither; "The" is not "the"
    found = word_validity("the cat on the mat blorp The en", {"the", "cat", "on"}, {"mat", "cat"})
    assert found == WordValidity(seen=4, unseen=1, invented=2)
    assert found.shares == (4 / 7, 1 / 7, 2 / 7)


@given(st.text("ab ", min_size=1, max_size=30), st.sets(st.text("ab", max_size=2)), st.data())
def test_the_shares_of_words_are_those_of_known_words(text, training, data):
    held_out = data.draw(st.sets(st.text("ab", max_size=3)))
    if len(words(text)) < 2:
        with pytest.raises(ValueError, match="no whole word"):
            word_validity(text, training, held_out)
        return
    shares = word_validity(text, training, held_out).shares
    assert sum(shares) == pytest.approx(1)
    assert shares[0] == known_words(text, training)
    assert 1 - shares[2] == pytest.approx(known_words(text, training | held_out))


def test_a_text_equal_to_the_training_text_and_one_in_another_alphabet():
    known = set(words("the cat sat on the mat"))
    assert word_validity("the cat sat on the mat", known, set()) == (5, 0, 0)
    assert word_validity("кот сидел на коврике", known, {"кот"}) == (0, 1, 2)


# BLEU


@pytest.mark.parametrize(
    ("texts", "references", "expected"),
    [
        (["abcd"], ["abcd"], 1),
        # a b c of 4; ab bc of 3; abc of 2; none of 1, which counts as half a one
        (["abcd"], ["abce"], (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25),
        # a counts as often as the reference has it; the second n without any counts as a quarter
        (["aaaa"], ["aabb"], (2 / 4 * 1 / 3 * (1 / 2) / 2 * (1 / 4) / 1) ** 0.25),
        # of several references the one that has most of it
        (["aabb"], ["aacc", "ccbb"], (4 / 4 * 2 / 3 * (1 / 2) / 2 * (1 / 4) / 1) ** 0.25),
        # half as long as the reference
        (["abcd"], ["abcdefgh"], math.exp(1 - 8 / 4)),
        # the reference that is nearest in length counts
        (["abcd"], ["abcdefgh", "wxyz"], 1),
        # n-grams of two texts together: 4 + 3 of 8, 3 + 2 of 6, 2 + 1 of 4, 1 of 2
        (["abcd", "abce"], ["abcd"], (7 / 8 * 5 / 6 * 3 / 4 * 1 / 2) ** 0.25),
        (["ab"], ["ab"], 1),  # it has no 3-grams, and these do not count
        (["abcd"], ["wxyz"], 0),
        (["", "abcd"], ["abcd"], math.exp(1 - 8 / 4)),  # an empty text is one that is too short
        (["абвг"], ["abcd"], 0),
    ],
)
def test_bleu_by_hand(texts, references, expected):
    assert bleu(texts, references) == pytest.approx(expected, rel=1e-9)


def test_bleu_of_words_takes_the_words_of_words():
    text, reference = "The cat, sat: on it!", "The cat sat on me"
    expected = (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    assert bleu([text], [reference], "words") == pytest.approx(expected)
    assert bleu(["don't"], ["don t"], "words") == pytest.approx(1)
    assert bleu(["the cat"], ["The Cat"], "words") == 0


def test_white_space_counts_among_characters():
    assert bleu(["to be or"], ["to be or"]) == pytest.approx(1)
    assert bleu(["tobeor"], ["to be or"]) < 0.6
    assert bleu(["to\nbe\nor"], ["to be or"]) < 0.6
    assert bleu([" \n \n "], [" \n \n "]) == pytest.approx(1)


def test_self_bleu_by_hand():
    each = self_bleu_of_each(["abcd", "abce", "wxyz"])
    expected = (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25
    assert each == pytest.approx([expected, expected, 0])
    assert self_bleu(["abcd", "abce", "wxyz"]) == pytest.approx(2 / 3 * expected)
    assert self_bleu(["one word"] * 5) == self_bleu(["again and again"] * 5, "words") == 1


@given(st.lists(st.text("ab ", min_size=1, max_size=12), min_size=2, max_size=5))
def test_self_bleu_is_bleu_against_all_others(texts):
    """Counted at once for all texts, and as sacrebleu counts for one text."""
    expected = [bleu([t], texts[:k] + texts[k + 1 :]) for k, t in enumerate(texts)]
    assert self_bleu_of_each(texts) == pytest.approx(expected, abs=1e-12)
    assert 0 <= self_bleu(texts) <= 1


def test_a_bootstrap_of_self_bleu_finds_texts_beside_themselves():
    texts = ["abcd", "efgh", "ijkl", "mnop"]
    assert bootstrap_interval(self_bleu, texts, draws=50) > (0.0, 0.0, 0.5)
    assert mean_interval(self_bleu_of_each(texts)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (lambda: bleu("abc", ["abc"]), r"texts is one text; put it into a list"),
        (lambda: bleu(["abc"], "abc"), r"references is one text"),
        (lambda: bleu([], ["abc"]), "texts has 0 texts; it must have at least 1"),
        (lambda: bleu(["abc"], []), "references has 0 texts"),
        (lambda: bleu(["a", 5], ["abc"]), r"texts\[1\] is a int; it must be a text"),
        (lambda: bleu([""], ["abc"]), "texts have no characters"),
        (lambda: bleu(["abc"], ["", ""]), "references have no characters"),
        (lambda: bleu(["?!"], ["abc"], "words"), "texts have no words"),
        (lambda: bleu(["abc"], ["abc"], "bytes"), "choose one of characters, words"),
        (lambda: bleu(["a" * 10**8], ["abc"]), "100000003 characters are too many for BLEU"),
        (lambda: self_bleu(["abc"]), "texts has 1 texts; it must have at least 2"),
        (lambda: self_bleu(["", ""]), "texts have no characters"),
        (lambda: self_bleu(["a" * 10**8, "b"]), "too many for BLEU"),
        (lambda: check_texts("samples", [None]), r"samples\[0\] is a NoneType"),
    ],
)
def test_what_has_no_bleu_is_refused(measure, message):
    with pytest.raises(ValueError, match=message):
        measure()


# A network against a grammar


def network(vocab):
    torch.manual_seed(0)
    return CharRNN(len(vocab), hidden_size=8, num_layers=1, dropout=0.5)


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_reading_holds_what_network_and_grammar_expect_at_each_place(name):
    language = LANGUAGES[name]
    vocab, prefix = language.vocab(), max(language.sample(30, seed=1), key=len)[:40]
    model = network(vocab)
    reading = read_prefix(model, vocab, language, prefix)
    assert (reading.prefix, reading.tokens) == (prefix, vocab.tokens)
    assert reading.model.shape == reading.exact.shape == (len(prefix) + 1, len(vocab))
    ids = vocab.frame(prefix)
    for k in range(len(prefix) + 1):
        expected = np.exp(log_softmax(prefill(model, [ids[: k + 1]])[0][0]))
        assert reading.model[k] == pytest.approx(expected, abs=1e-6)
        found = dict(zip(vocab.tokens, reading.exact[k], strict=True))
        assert {symbol: p for symbol, p in found.items() if p} == language.next(prefix[:k])
        illegal = [p for token, p in zip(vocab.tokens, expected, strict=True) if not found[token]]
        assert reading.illegal_mass[k] == pytest.approx(sum(illegal), abs=1e-6)
    assert reading.legal_places == len(prefix) + 1
    assert repr(reading) == f"PrefixReading(prefix={prefix!r})"


def test_a_prefix_is_read_once_without_gradients_and_the_mode_is_left_as_it_was():
    language = LANGUAGES["brackets"]
    model, calls = network(language.vocab()), []
    model.norm.eval()
    model.register_forward_hook(
        lambda module, *_: calls.append((module.training, torch.is_grad_enabled()))
    )
    first, second = (read_prefix(model, language.vocab(), language, "(()") for _ in range(2))
    assert calls == [(False, False)] * 2
    assert (first.model == second.model).all()  # no dropout
    assert model.training and model.dropout.training and not model.norm.training


def test_behind_an_illegal_character_nothing_can_follow():
    language = LANGUAGES["brackets"]
    reading = read_prefix(network(language.vocab()), language.vocab(), language, "())(")
    assert reading.legal_places == 3
    assert reading.legal.any(axis=1).tolist() == [True, True, True, False, False]
    assert reading.illegal_mass[3:] == pytest.approx(1)
    assert (reading.illegal_mass[:3] < 1).all()
    assert reading.model.sum(axis=1) == pytest.approx(1)
    assert reading.depth.tolist() == [0, 1, 0, -1, 0]
    empty = read_prefix(network(language.vocab()), language.vocab(), language, "")
    assert (empty.legal_places, empty.depth.tolist(), empty.model.shape) == (1, [0], (1, 6))


def test_a_prefix_that_cannot_be_read_is_refused():
    language = LANGUAGES["brackets"]
    vocab = language.vocab()
    with pytest.raises(VocabError, match="'x'"):
        read_prefix(network(vocab), vocab, language, "(x")
    with pytest.raises(VocabError, match="start"):
        read_prefix(network(Vocab("()")), Vocab("()"), language, "(")
    with pytest.raises(ValueError, match="has 15 tokens"):
        read_prefix(network(vocab), LANGUAGES["ndfa"].vocab(), language, "")


# Whole sequences

SEQUENCES = [[1, 3, 4, 3, 2], [1, 2], [1, 4, 4, 4, 3, 3, 2], [1, 3, 4, 2]]  # 1 starts, 2 ends


def predicted(sequences, order):
    """Return (context, token) of all that is predicted; a short context begins with more starts."""
    pairs = []
    for sequence in sequences:
        for t in range(1, len(sequence)):
            before = sequence[:1] * order + sequence[1:t]
            pairs.append((before[len(before) - order + 1 :], sequence[t]))
    return pairs


def naive(pairs, context, token, vocab_size):
    """Return P(token | context) by the formula, from the pairs that are counted."""
    lower = naive(pairs, context[1:], token, vocab_size) if context else 1 / vocab_size
    after = [t for seen, t in pairs if seen[len(seen) - len(context) :] == context]
    kinds = len(set(after))
    return (after.count(token) + kinds * lower) / (len(after) + kinds) if after else lower


def arrays(sequences):
    return [np.array(sequence) for sequence in sequences]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_the_model_of_sequences_against_counting_by_hand(order):
    model = NGramModel.of_sequences(arrays(SEQUENCES), order, 6)
    test = [[1, 4, 3, 2], [1, 5, 3, 3, 4, 2], [1, 2]]
    pairs = predicted(SEQUENCES, order)
    expected = [naive(pairs, context, token, 6) for context, token in predicted(test, order)]
    assert model.nats_per_symbol(arrays(test)) == pytest.approx(-np.log(expected).mean(), rel=1e-12)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_no_context_of_a_sequence_reaches_into_the_one_before(order):
    """The order of sequences is no matter, in training and in what is measured."""
    there = NGramModel.of_sequences(arrays(SEQUENCES), order, 6)
    back = NGramModel.of_sequences(arrays(SEQUENCES[::-1]), order, 6)
    loss = there.nats_per_symbol(arrays(SEQUENCES))
    assert back.nats_per_symbol(arrays(SEQUENCES[::-1])) == pytest.approx(loss, rel=1e-12)
    each = [there.nats_per_symbol(arrays([s])) * (len(s) - 1) for s in SEQUENCES]
    symbols = sum(len(s) - 1 for s in SEQUENCES)
    assert loss == pytest.approx(sum(each) / symbols, rel=1e-12)


def test_the_start_is_given_and_never_counted():
    model = NGramModel.of_sequences(arrays(SEQUENCES), 1, 6)
    symbols = [token for sequence in SEQUENCES for token in sequence[1:]]
    shares = model.next_probabilities(np.array([]))
    for token in range(6):
        expected = (symbols.count(token) + 3 / 6) / (len(symbols) + 3)  # 3 kinds: 2, 3 and 4
        assert shares[token] == pytest.approx(expected)


@given(st.lists(st.integers(2, 5), min_size=4, max_size=30), st.lists(st.integers(2, 5)))
def test_in_one_sequence_it_is_the_model_of_the_text_behind_the_start(text, context):
    """The two count the same where a context does not reach back to the start."""
    alone = NGramModel(np.array(text), 3, 6)
    framed = NGramModel.of_sequences([np.array([1, *text])], 3, 6)
    context = np.array(context, dtype=np.int64)
    expected = alone.next_probabilities(context)
    assert framed.next_probabilities(context) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("order", "least", "most"), [(2, 1, 2), (3, 0, 0.001)])
def test_a_trigram_model_knows_the_ndfa_and_a_bigram_model_does_not(order, least, most):
    """One symbol before tells neither the word nor whether an `s` opened the string."""
    language = LANGUAGES["ndfa"]
    vocab, unseen = language.vocab(), language.sample(2000, seed=2)
    train = [vocab.frame(text) for text in language.sample(10_000, seed=1)]
    model = NGramModel.of_sequences(train, order, len(vocab))
    loss = model.nats_per_symbol([vocab.frame(text) for text in unseen])
    assert least < (loss - language.nats_per_symbol(unseen)) / language.floor < most


@pytest.mark.parametrize(
    ("sequences", "order", "message"),
    [
        ([[1, 2]], 0, "order is 0; .* 1 is the unigram"),
        ([], 2, "at least one sequence"),
        ([[1, 2], [1]], 2, "each of 2 ids or more"),
        ([[1, 6]], 2, "0 … 5"),
    ],
)
def test_sequences_without_meaning_are_refused(sequences, order, message):
    with pytest.raises(ValueError, match=message):
        NGramModel.of_sequences(arrays(sequences), order, 6)


def test_a_text_is_no_list_of_sequences():
    with pytest.raises(ValueError, match="each of 2 ids or more"):
        NGramModel.of_sequences(np.array([1, 2, 3]), 2, 6)


def test_a_loss_needs_sequences():
    model = NGramModel.of_sequences(arrays(SEQUENCES), 2, 6)
    with pytest.raises(ValueError, match="at least one sequence"):
        model.nats_per_symbol([])


# Samples of a formal language


def written(new, ended, prompt=""):
    """Return a sample as a network might have written it."""
    tokens, figures = tuple(new), np.ones(len(new))
    return Sample(prompt, tokens, figures, figures, figures, figures, ended)


@pytest.mark.parametrize(
    ("sample", "kind"),
    [
        (written("sabc!s", True), "complete"),
        (written("ss", True), "complete"),
        (written("bc!s", True, "sa"), "complete"),  # the prompt counts
        (written("sabc!ab", False), "prefix"),
        (written("", False), "prefix"),
        (written("ss", False), "prefix"),  # whole, but it did not end
        (written("sabc!", True), "wrong"),  # ended too early
        (written("", True), "wrong"),
        (written("sabc!u", False), "wrong"),
        (written("sss", True), "wrong"),
        (written(["s", ".unk", "s"], True), "wrong"),
        (written("ss", True, "s"), "wrong"),
    ],
)
def test_a_sample_is_complete_a_prefix_or_wrong(sample, kind):
    found = validity(LANGUAGES["ndfa"], [sample])
    assert found._asdict() == {"complete": 0, "prefix": 0, "wrong": 0} | {kind: 1}


def test_samples_are_counted():
    samples = [written("()", True)] * 3 + [written("((", False)] * 2 + [written(")", False)]
    assert validity(LANGUAGES["brackets"], samples) == Validity(3, 2, 1)
    assert validity(LANGUAGES["brackets"], []) == Validity(0, 0, 0)


# Confidence intervals


def test_wilson_against_published_intervals():
    """Newcombe (1998), table I, method 3: 95 % intervals of four shares."""
    for (count, of), ends in {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0000, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }.items():
        assert wilson_interval(count, of) == pytest.approx(ends, abs=5e-5)


@given(st.integers(1, 1000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_at_the_ends_of_the_interval_the_share_is_z_standard_errors_away(pair):
    count, of = pair
    low, high = wilson_interval(count, of, z=1.5)
    assert 0 <= low <= count / of + 1e-15 and count / of - 1e-15 <= high <= 1 and low < high
    for end in (low, high):
        assert abs(count / of - end) == pytest.approx(
            1.5 * math.sqrt(end * (1 - end) / of), abs=1e-7
        )


def test_the_interval_of_none_and_of_all_has_a_width():
    assert wilson_interval(0, 10) == pytest.approx((0, 1.96**2 / (10 + 1.96**2)))
    low, high = wilson_interval(10, 10)
    assert (1 - high, 1 - low) == pytest.approx(wilson_interval(0, 10))
    assert wilson_interval(1, 2, z=0) == (0.5, 0.5)


@pytest.mark.parametrize(("count", "of"), [(-1, 5), (6, 5), (0, 0)])
def test_what_is_no_share_has_no_interval(count, of):
    with pytest.raises(ValueError, match=f"{count} of {of} is no share"):
        wilson_interval(count, of)


def test_the_bootstrap_of_two_values_by_hand():
    """Drawn means: 0 in a quarter of the draws, 1/2 in half of them, 1 in a quarter."""
    assert mean_interval([0, 1]) == Interval(0.5, 0, 1)
    assert mean_interval([0, 1], level=0.4) == Interval(0.5, 0.5, 0.5)
    assert bootstrap_interval(lambda texts: len(set(texts)), ["a", "b"]) == (2, 1, 2)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=20), st.integers(0, 5))
def test_the_interval_lies_among_the_values_and_a_seed_fixes_it(values, seed):
    found = mean_interval(values, draws=50, seed=seed)
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
    assert found == bootstrap_interval(np.mean, values, draws=50, seed=seed)
    narrow = mean_interval(values, draws=50, seed=seed, level=0.5)
    assert found.low <= narrow.low <= narrow.high <= found.high


def test_an_interval_of_95_percent_holds_the_mean_in_about_as_many_cases():
    rng = np.random.default_rng(0)
    found = [mean_interval(rng.normal(size=30), draws=200, seed=k) for k in range(200)]
    assert 0.87 < np.mean([low <= 0 <= high for _, low, high in found]) < 0.98


def test_texts_are_drawn_and_not_characters():
    """Ten equal texts say no more of the next text than one of them; ten different ones do."""
    share = lambda texts: np.mean([t.count("a") / len(t) for t in texts])  # noqa: E731
    assert bootstrap_interval(share, ["ab" * 50] * 10) == (0.5, 0.5, 0.5)
    low, high = bootstrap_interval(share, ["a" * 100, "b" * 100] * 5)[1:]
    assert high - low > 0.5


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ([["one"]], {}, "An interval needs at least two texts; there are 1."),
        ([[]], {}, "at least two texts; there are 0"),
        (["a text"], {}, "this is one text; give a list"),
        ([["a", "b"]], {"draws": 0}, "draws is 0"),
        ([["a", "b"]], {"level": 1}, "level is 1"),
        ([["a", "b"]], {"seed": -1}, "seed is -1"),
    ],
)
def test_what_has_no_interval(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(len, *arguments, **options)


def test_a_measure_that_is_nan_has_no_interval():
    with pytest.raises(ValueError, match="no finite number"):
        mean_interval([0.5, math.nan, 0.5])
    with pytest.raises(ValueError, match="no finite number"):  # of some draws alone
        bootstrap_interval(lambda t: 1.0 if len(set(t)) > 1 else math.nan, ["a", "b"])


# Repeats


def test_the_longest_repeat_may_overlap_itself():
    assert longest_repeat("abcabcab") == "abcab"
    assert longest_repeat("aaaa") == "aaa"
    assert longest_repeat("the cat and the cow") == "the c"
    assert longest_repeat("abc") == longest_repeat("a") == longest_repeat("") == ""


@given(st.text("ab", max_size=14) | st.text("abcdef", max_size=14))
def test_the_longest_repeat_is_that_of_trying_all(text):
    repeated = [
        text[i : i + n]
        for n in range(1, len(text))
        for i in range(len(text) - n)
        if text.find(text[i : i + n], i + 1) >= 0
    ]
    found = longest_repeat(text)
    assert len(found) == max(map(len, repeated), default=0)
    assert not found or found in repeated
