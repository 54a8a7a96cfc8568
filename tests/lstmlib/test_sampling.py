"""Transforms of a distribution, the draw, and texts, alone and in batches."""

import math
import sys
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmlib import generation, scratch
from lstmlib.generation import generate, steps, stream
from lstmlib.models import CharRNN
from lstmlib.sampling import (
    SamplingConfig,
    apply_temperature,
    draw,
    entropy,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    log_softmax,
    penalize_repetition,
    redraw_once,
)
from lstmlib.validation import quoted
from lstmlib.vocab import END, START, Vocab, VocabError

LOGITS = np.array([2.0, -1.0, 0.5, -30.0])
P = np.array([0.4, 0.1, 0.3, 0.2])
LAST = 1 - 2**-53  # the largest number that a generator gives

distributions = st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=30).map(log_softmax)
uniforms = st.floats(0, LAST)


def power(p, temperature):
    """Return p^(1/τ) / Σ p^(1/τ) as the formula has it."""
    raised = p ** (1 / temperature)
    return raised / raised.sum()


def frequencies(log_p, n=40_000):
    drawn = draw(np.broadcast_to(log_p, (n, len(log_p))), np.random.default_rng(0).random(n))
    return np.bincount(drawn, minlength=len(log_p)) / n


def assert_follows(found, p, n=40_000):
    """Assert that frequencies of n draws are within four standard deviations of p."""
    assert (np.abs(found - p) <= 4 * np.sqrt(p * (1 - p) / n)).all()


# Temperature


@pytest.mark.parametrize("temperature", [0.2, 0.5, 1.0, 2.0, 100.0])
def test_temperature_is_the_power_formula(temperature):
    found = np.exp(apply_temperature(np.log(P), temperature))
    np.testing.assert_allclose(found, power(P, temperature), rtol=1e-12)


def test_temperature_one_is_the_identity_and_half_squares():
    np.testing.assert_allclose(np.exp(apply_temperature(np.log(P), 1.0)), P, rtol=1e-12)
    np.testing.assert_allclose(np.exp(apply_temperature(np.log(P), 0.5)), P**2 / (P**2).sum())


@pytest.mark.parametrize("temperature", [0, 1e-6, 1e-300, 5e-324])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cold_is_argmax_without_overflow(temperature, dtype):
    logits = torch.tensor(LOGITS * 1000).to(dtype)
    assert np.exp(apply_temperature(logits, temperature)).tolist() == [1, 0, 0, 0]


def test_of_equal_characters_the_first_is_the_greedy_one_but_at_a_temperature_they_share():
    tied = np.array([1.0, 3.0, 3.0])
    assert np.exp(apply_temperature(tied, 0)).tolist() == [0, 1, 0]
    assert np.exp(apply_temperature(tied, 1e-6)).tolist() == [0, 0.5, 0.5]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_at_100_it_is_the_formula_still_and_far_above_uniform(dtype):
    logits = torch.tensor(LOGITS).to(dtype)
    p = logits.double().softmax(-1).numpy()
    np.testing.assert_allclose(np.exp(apply_temperature(logits, 100)), power(p, 100), rtol=1e-12)
    np.testing.assert_allclose(np.exp(apply_temperature(logits, 1e9)), 0.25, rtol=1e-7)


def test_each_distribution_may_have_its_own_temperature():
    found = apply_temperature(np.log([P, P, P]), [0, 0.5, 1.0])
    for row, temperature in zip(found, (0, 0.5, 1.0), strict=True):
        np.testing.assert_array_equal(row, apply_temperature(np.log(P), temperature))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_type_and_leading_shape(dtype):
    log_p = apply_temperature(torch.tensor(LOGITS).to(dtype).expand(2, 3, 4), 0.7)
    assert log_p.shape == (2, 3, 4) and log_p.dtype == np.float64
    np.testing.assert_allclose(np.exp(log_p).sum(-1), 1)


@pytest.mark.parametrize(
    "temperature",
    [-0.1, math.nan, math.inf, -math.inf, "warm", None, True, 10**400, 10**5000, b"1"],
    ids=quoted,
)
def test_bad_temperature_is_named(temperature, model, vocab):
    for bad in (temperature, [1.0, temperature]):
        with pytest.raises(ValueError, match="temperature is"):
            apply_temperature(LOGITS, bad)
        with pytest.raises(ValueError, match="temperature is"):
            generate(model, vocab, "the", 5, bad)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_broken_weights_are_named(broken, model, vocab):
    with pytest.raises(ValueError, match="NaN or infinity"):
        log_softmax(torch.tensor([broken, 1.0]))
    torch.nn.init.constant_(model.output.bias, broken)
    with pytest.raises(ValueError, match="NaN or infinity"):
        generate(model, vocab, "the", 5)


# Other transforms


def test_top_k_keeps_the_k_most_probable():
    np.testing.assert_allclose(np.exp(keep_top_k(np.log(P), 2)), [4 / 7, 0, 3 / 7, 0])
    np.testing.assert_allclose(np.exp(keep_top_k(np.log(P), 9)), P)
    assert np.exp(keep_top_k(np.zeros(4), 2)).tolist() == [0.5, 0.5, 0, 0]


def test_a_character_with_which_the_share_is_reached_exactly_is_the_last():
    p = np.log([0.5, 0.25, 0.25])
    assert np.exp(keep_top_p(p, 0.5)).tolist() == [1, 0, 0]
    assert np.exp(keep_top_p(p, 0.75)).tolist() == pytest.approx([2 / 3, 1 / 3, 0])


def test_a_dial_that_is_none_is_named_by_each_transform():
    for transform, name in ((keep_top_k, "top_k"), (keep_top_p, "top_p"), (keep_min_p, "min_p")):
        for wrong in (-1, 1.5) if name != "top_p" else (0, 1.5):
            with pytest.raises(ValueError, match=f"{name} is {wrong}"):
                transform(np.log(P), wrong)
    np.testing.assert_allclose(keep_min_p(np.log(P), 0), np.log(P))


def test_a_float64_tensor_keeps_its_digits():
    logits = torch.tensor([1.0, 1.0 + 1e-12], dtype=torch.float64)
    assert np.diff(log_softmax(logits)) == pytest.approx(1e-12, rel=1e-3)


def test_a_logit_as_low_as_float32_goes_overflows_without_a_word(recwarn):
    logits = torch.tensor([0.0, torch.finfo(torch.float32).min])
    assert np.exp(apply_temperature(logits, 0)).tolist() == [1, 0]
    assert not recwarn


@pytest.mark.parametrize(
    ("share", "kept"), [(1e-9, 1), (0.39, 1), (0.41, 2), (0.69, 2), (0.71, 3), (0.95, 4)]
)
def test_top_p_keeps_the_fewest_that_have_the_share(share, kept):
    found = np.exp(keep_top_p(np.log(P), share))
    best = np.argsort(-P)[:kept]
    np.testing.assert_allclose(found[best], P[best] / P[best].sum())
    assert np.count_nonzero(found) == kept


@pytest.mark.parametrize(("share", "kept"), [(0.0001, 4), (0.25, 4), (0.26, 3), (0.6, 2), (1, 1)])
def test_min_p_rules_out_below_a_share_of_the_largest(share, kept):
    found = np.exp(keep_min_p(np.log(P), share))
    assert np.count_nonzero(found) == kept
    np.testing.assert_allclose(found[found > 0], P[found > 0] / P[found > 0].sum())


def test_what_was_written_lately_is_raised_to_the_power_of_the_penalty():
    expected = np.array([0.4**2, 0.1, 0.3**2, 0.2])
    found = penalize_repetition(np.log(P), np.array([-1, 2, 0, 2]), 2.0)
    np.testing.assert_allclose(np.exp(found), expected / expected.sum())
    # The same distribution with a constant added to its logits is punished the same.
    shifted = SamplingConfig(repetition_penalty=2.0).transform(
        log_softmax(np.log(P) + 7), np.array([2, 0])
    )
    np.testing.assert_allclose(shifted, found)


def test_only_the_window_counts_as_lately():
    recent = np.array([[0, 1, 2, 3]])
    narrow = SamplingConfig(repetition_penalty=3.0, penalty_window=1)
    expected = penalize_repetition(np.log([P]), np.array([[3]]), 3.0)
    np.testing.assert_allclose(narrow.transform(np.log([P]), recent), expected)


def test_redrawing_once_is_what_it_says_and_what_chapter_03_does():
    rng, n = np.random.default_rng(0), 40_000
    first, second = rng.choice(4, n, p=P), rng.choice(4, n, p=P)
    found = np.bincount(np.where(first == 0, first, second)) / n
    p = np.exp(redraw_once(np.log(P)))
    assert_follows(found, p)
    np.testing.assert_allclose(p, scratch.redraw_once(P))
    assert np.exp(redraw_once(apply_temperature(LOGITS, 0))).tolist() == [1, 0, 0, 0]


@given(distributions, st.floats(0, 5), st.integers(1, 30), st.floats(0.01, 1), st.floats(0, 1))
def test_any_settings_give_a_distribution_with_the_same_favourite(log_p, tau, k, share, floor):
    changed = SamplingConfig(tau, k, share, floor).transform(log_p)
    assert math.isclose(np.exp(changed).sum(), 1, rel_tol=1e-9)
    assert changed[log_p.argmax()] == changed.max()
    assert not np.isnan(changed).any()


@given(distributions)
def test_the_defaults_change_nothing(log_p):
    np.testing.assert_allclose(SamplingConfig().transform(log_p), log_p, atol=1e-12)


def test_settings_act_in_their_order():
    log_p = np.log(P)
    everything = SamplingConfig(0.5, 3, 0.9, 0.3, True, 1.5, 4)
    expected = penalize_repetition(log_p, np.array([2]), 1.5)
    expected = keep_top_k(apply_temperature(expected, 0.5), 3)
    expected = redraw_once(keep_min_p(keep_top_p(expected, 0.9), 0.3))
    np.testing.assert_allclose(everything.transform(log_p, np.array([2])), expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.5},
        {"top_k": 2},
        {"top_p": 0.6},
        {"temperature": 0.5, "top_p": 0.6},
        {"min_p": 0.6},
        {"redraw_once": True},
        {"repetition_penalty": 2.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("constant", [-3, 8])
def test_logits_that_differ_by_a_constant_are_one_distribution(settings, constant):
    recent = np.array([0, 2])
    expected = SamplingConfig(**settings).transform(np.log(P), recent)
    found = SamplingConfig(**settings).transform(np.log(P) + constant, recent)
    np.testing.assert_allclose(found, expected)


def test_the_nucleus_is_that_of_the_distribution_at_the_temperature():
    # p² of 0.4, 0.1, 0.3, 0.2 is as 16, 1, 9, 4: 0.53, 0.03, 0.3, 0.13; the first two have 0.83.
    p = np.exp(SamplingConfig(temperature=0.5, top_p=0.8).transform(np.log(P)))
    np.testing.assert_allclose(p, [16 / 25, 0, 9 / 25, 0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"top_k": 0},
        {"top_k": 2.5},
        {"top_k": True},
        {"top_p": 0},
        {"top_p": 1.1},
        {"top_p": math.nan},
        {"min_p": -0.1},
        {"min_p": 2},
        {"repetition_penalty": 0},
        {"repetition_penalty": math.inf},
        {"penalty_window": 0},
        {"redraw_once": "no"},
        *({name: 10**400} for name in ("top_p", "min_p", "repetition_penalty")),
        *({name: -(10**5000)} for name in ("top_k", "top_p", "min_p", "penalty_window")),
        {"repetition_penalty": Fraction(10**400)},
    ],
    ids=quoted,
)
def test_a_setting_without_meaning_is_named(wrong, model, vocab):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} is") as raised:
        generate(model, vocab, "the", 5, **wrong)
    assert len(str(raised.value)) < 200
    with pytest.raises(TypeError, match="top_q"):
        generate(model, vocab, "the", 5, top_q=1)


def test_entropy_is_zero_when_sure_and_ln_v_when_uniform():
    assert entropy(apply_temperature(LOGITS, 0)) == 0
    np.testing.assert_allclose(entropy(np.log(np.full((2, 4), 0.25))), [math.log(4)] * 2)
    np.testing.assert_allclose(entropy(np.log(P)), -(P * np.log(P)).sum())


# The draw


def test_draws_follow_the_distribution():
    p = np.array([0.5, 0.0, 0.3, 0.2])
    with np.errstate(divide="ignore"):
        found = frequencies(np.log(p))
    assert found[1] == 0
    assert_follows(found, p)


@pytest.mark.parametrize("u", [0.0, LAST])
def test_the_ends_of_the_unit_interval_draw_nothing_impossible(u):
    assert draw(apply_temperature(np.array([0.0, 9.0, 0.0]), 0), u) == 1
    rounded = np.log(np.full(10, 0.1))  # adds up to less than 1
    assert 0 <= draw(rounded, u) <= 9


@pytest.mark.parametrize("u", [-1e-9, 1.0, math.nan, math.inf])
def test_a_number_outside_the_unit_interval_is_named(u):
    for given_ in (u, [0.5, u]):
        with pytest.raises(ValueError, match=r"u is .*; it must be 0 or more, and below 1"):
            draw(np.log([P, P]), given_)


@given(distributions, uniforms, st.tuples(st.floats(0, 5), st.floats(0, 5)).map(sorted))
@settings(max_examples=300)
def test_the_same_number_at_a_lower_temperature_never_draws_a_less_probable_one(log_p, u, taus):
    cold, warm = (draw(apply_temperature(log_p, tau), u) for tau in taus)
    assert log_p[cold] >= log_p[warm] - 1e-9


# Texts


def test_prompt_is_part_of_the_text(model, vocab):
    sample = generate(model, vocab, "the quick", 20, seed=0)
    assert sample.text == "the quick" + sample.new == str(sample)
    assert len(sample.new) == len(sample.tokens) == 20
    nothing = generate(model, vocab, "the", 0)
    assert nothing.text == "the" and nothing.p_before.shape == (0,) and not nothing.ended


def test_the_prompt_counts_for_the_penalty(model, vocab):
    settings = {"repetition_penalty": 4.0, "penalty_window": 3}
    first = next(iter(steps(model, vocab, ["the"], 1, SamplingConfig(**settings), [0])))
    expected = penalize_repetition(first.log_before, vocab.encode("the")[None], 4.0)
    np.testing.assert_allclose(first.log_after, expected)


def test_texts_of_any_length_are_whole(model, vocab):
    for length in (1, 2, 100, 250):
        sample = generate(model, vocab, "the", length, seed=1)
        assert len(sample.new) == len(sample.p_after) == length


def test_steps_need_a_seed_and_a_temperature_for_each_prompt(model, vocab):
    for sampling_, seeds in ((SamplingConfig(), [1]), (SamplingConfig((1.0, 2.0, 3.0)), [1, 2])):
        with pytest.raises(ValueError, match="2 prompts need as many seeds"):
            steps(model, vocab, ["a", "b"], 5, sampling_, seeds)


def test_samples_can_be_compared_and_kept_in_sets(model, vocab):
    one, other = generate(model, vocab, "the", 5, seed=[1, 1])
    assert one == one and one != other and len({one, other}) == 2


def test_seed_decides(model, vocab):
    same = [generate(model, vocab, "the", 60, seed=5).text for _ in range(2)]
    assert same[0] == same[1]
    assert generate(model, vocab, "the", 60, seed=6).text != same[0]
    assert generate(model, vocab, "the", 60).text != generate(model, vocab, "the", 60).text


def believed(model, vocab, text):
    """Return the model's log-probabilities of every character after the first, (T - 1, V)."""
    with torch.no_grad():
        logits, _ = model.eval()(torch.from_numpy(vocab.encode(text))[None])
    return log_softmax(logits[0, :-1])


def test_greedy_takes_the_most_probable_character(model, vocab):
    sample = generate(model, vocab, "the", 15, temperature=0)
    best = believed(model, vocab, sample.text).argmax(-1)[2:]
    assert vocab.encode(sample.new).tolist() == best.tolist()
    assert (sample.p_after == 1).all() and (sample.entropy_after == 0).all()


def test_a_sample_holds_what_the_model_believed_and_what_was_drawn_from(model, vocab):
    options = {"top_k": 5, "top_p": 0.9, "repetition_penalty": 1.3, "penalty_window": 3}
    sample = generate(model, vocab, "the", 25, 0.8, seed=2, **options)
    before = believed(model, vocab, sample.text)[2:]
    ids, at = vocab.encode(sample.text), np.arange(25)
    recent = np.stack([ids[t : t + 3] for t in at])
    after = SamplingConfig(0.8, **options).transform(before, recent)
    new = ids[3:]
    np.testing.assert_allclose(sample.p_before, np.exp(before)[at, new], rtol=1e-4)
    np.testing.assert_allclose(sample.p_after, np.exp(after)[at, new], rtol=1e-4)
    np.testing.assert_allclose(sample.entropy_before, entropy(before), rtol=1e-4)
    np.testing.assert_allclose(sample.entropy_after, entropy(after), rtol=1e-4)
    assert (sample.p_after > 0).all()


def test_mode_and_random_state_stay(model, vocab):
    model.train()
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].tolist()
    model.dropout.eval()
    generate(model, vocab, "the", 5)
    assert model.training and model.layers.training and not model.dropout.training
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.random.get_state()[1].tolist() == numpy_state


def test_unseen_character_in_the_prompt_is_named(model, vocab):
    with pytest.raises(VocabError, match="'É'"):
        generate(model, vocab, "thÉ", 5)
    with pytest.raises(VocabError, match="'É'"):
        stream(model, vocab, "thÉ", 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": ["t", ""]}, "prompt is empty"),
        ({"length": -1}, "length is -1"),
        ({"length": 2.5}, "length is 2.5"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"seed": "two"}, "seed is 'two'"),
        ({"seed": True}, "seed is True"),
        ({"temperature": np.array(-0.5)}, "temperature is -0.5"),
        ({"seed": [1, "two"]}, "seed is 'two'"),
        ({"temperature": [1, 2], "seed": [1, 2, 3]}, "2 temperatures and 3 seeds"),
        ({"prompt": []}, "0 prompts"),
        ({"length": 10**400}, r"length is 1000*… \(401 characters\)"),
        ({"length": 10**5000}, "length is a number of thousands of digits"),
        ({"length": -(10**5000)}, "length is a number of thousands of digits"),
        ({"seed": -(10**5000)}, "seed is a number of thousands of digits"),
        ({"seed": "x" * 10**6}, r"seed is 'x*… \(1000002 characters\)"),
        ({"seed": range(10**400)}, "texts would take"),
        ({"temperature": range(10**12)}, "A batch of 1000000000000 texts would take"),
        ({"prompt": ["t"] * 10**6}, "A batch of 1000000 texts would take .* write [0-9]+ or fewer"),
    ],
    ids=quoted,
)
def test_bad_arguments_are_named_at_once(model, vocab, arguments, message):
    arguments = {"prompt": "t", "length": 5} | arguments
    for write in (generate, stream):
        with pytest.raises(ValueError, match=message) as raised:
            write(model, vocab, **arguments)
        assert len(str(raised.value)) < 300


@pytest.mark.parametrize("prompt", [7, ["the", None], b"the", [b"the" * 10**5]], ids=quoted)
def test_a_prompt_that_is_no_text_is_named(model, vocab, prompt):
    with pytest.raises(TypeError, match="prompt is (7|None|b'the'|b'the.*…).*; it must be a text"):
        generate(model, vocab, prompt, 5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_models_of_16_bits_write_at_any_temperature(vocab, dtype, cell):
    torch.manual_seed(0)
    model = CharRNN(len(vocab), 16, 2, cell=cell).to(dtype)
    zero, millionth, hot = generate(model, vocab, "the", 30, [0, 1e-6, 100], seed=[1, 1, 1])
    assert (zero.p_after == 1).all() and zero.text == millionth.text
    assert hot.entropy_after.min() > 0.999 * math.log(len(vocab))


def test_foreign_vocabulary_is_refused():
    with pytest.raises(ValueError, match="2 tokens, but the model was built for 9"):
        generate(CharRNN(9, 4, 1), Vocab("ab"), "a", 5)


# Batches


def test_a_batch_writes_what_each_text_would_be_alone(model, vocab):
    model.double()  # where rounding does not decide a draw
    prompts, temperatures = ["the quick", "the", "a"], [0.5, 1.0, 1.5]
    options = {"top_k": 7, "repetition_penalty": 1.2}
    batch = generate(model, vocab, prompts, 40, temperatures, seed=3, **options)
    alone = [
        generate(model, vocab, prompt, 40, temperature, seed=3 + k, **options)
        for k, (prompt, temperature) in enumerate(zip(prompts, temperatures, strict=True))
    ]
    assert [s.text for s in batch] == [s.text for s in alone]
    for together, single in zip(batch, alone, strict=True):
        np.testing.assert_allclose(together.p_after, single.p_after)
        np.testing.assert_allclose(together.entropy_before, single.entropy_before)


def test_one_of_anything_serves_the_whole_batch(model, vocab):
    assert len(generate(model, vocab, "the", 5, temperature=[0.5, 1.0])) == 2
    assert len(generate(model, vocab, ["the"], 5)) == 1
    one, other = generate(model, vocab, "the", 40, seed=[4, 4])
    assert one.text == other.text == generate(model, vocab, "the", 40, seed=4).text
    one, other = generate(model, vocab, ["the", "the"], 40, seed=4)
    assert one.text != other.text
    array = generate(model, vocab, "the", 5, temperature=np.array([0.5, 1.0]), seed=1)
    assert array[0].text == generate(model, vocab, "the", 5, 0.5, seed=1).text


def test_every_option_may_stay_as_it_is_with_every_temperature_of_its_own(model, vocab):
    cold, warm = generate(model, vocab, "the", 30, [0, 2.0], seed=[1, 1])
    assert cold.entropy_after.max() == 0 < warm.entropy_after.min()


def test_an_array_of_no_dimension_is_one_value(model, vocab):
    found = generate(model, vocab, np.array("the"), 20, np.array(0.5), np.array(7))
    assert found.text == generate(model, vocab, "the", 20, 0.5, 7).text


@pytest.mark.parametrize("seed", [np.uint8(255), np.int64(2**63 - 1)])
def test_the_seeds_of_a_batch_do_not_overflow(model, vocab, seed):
    texts = [sample.text for sample in generate(model, vocab, ["the"] * 2, 30, seed=seed)]
    assert texts == [generate(model, vocab, "the", 30, seed=int(seed) + k).text for k in (0, 1)]


# Sizes


@pytest.mark.parametrize("count", [1, 3, 500])
def test_numbers_drawn_some_at_a_time_are_those_drawn_all_at_once(count):
    seeds = range(5, 5 + count)
    length = 2 * (generation.AHEAD // count) + 7  # two whole pieces, and a part of one
    expected = np.stack([np.random.default_rng(s).random(length) for s in seeds], axis=1)
    found = list(generation._uniforms(seeds, length))
    assert len(found) == length
    np.testing.assert_array_equal(np.array(found), expected)


def test_every_text_keeps_its_own_numbers_when_others_have_ended(ending, monkeypatch):
    monkeypatch.setattr(generation, "AHEAD", 60)  # a new piece at every third step
    seeds = list(range(20))
    expected = np.stack([np.random.default_rng(seed).random(30) for seed in seeds])
    for t, step in enumerate(steps(*ending, [""] * 20, 30, SamplingConfig(), seeds)):
        np.testing.assert_array_equal(step.uniforms, expected[step.rows, t])
    assert t > 6 and len(step.rows) < 20


def peak_of(act):
    """Return the bytes that something takes at most, those of NumPy's arrays among them."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("length", [10**8, sys.maxsize])
def test_the_first_character_of_a_long_text_costs_no_more_than_that_of_a_short_one(
    model, vocab, length
):
    first = [next(stream(model, vocab, "the", n, seed=3)) for n in (5, length)]
    assert first[0] == first[1]
    assert peak_of(lambda: next(stream(model, vocab, ["the"] * 9, length, seed=3))) < 10**7


def test_a_text_that_may_end_may_have_any_length(ending):
    model, vocab = ending
    sample = generate(model, vocab, "", 10**12, seed=0)
    assert sample.ended and sample.text == generate(model, vocab, "", 1000, seed=0).text


def test_more_characters_than_are_kept_are_refused_at_once(model, vocab):
    for prompt, length in (("the", 10**8), (["the"] * 1000, 10_001), ("the", 10**400)):
        with pytest.raises(ValueError, match=r"keeps every character .* or use stream\(\)"):
            generate(model, vocab, prompt, length)


def test_a_window_longer_than_the_text_is_the_whole_text(model, vocab):
    def written(window):
        settings = {"repetition_penalty": 1.5, "penalty_window": window}
        return generate(model, vocab, ["the", "a quick fox"], 60, seed=1, **settings)

    expected = [sample.text for sample in written(100)]
    assert expected != [sample.text for sample in written(3)]
    for window in (10**9, 10**400):
        assert [sample.text for sample in written(window)] == expected
    assert peak_of(lambda: written(10**9)) < 10**7


@pytest.mark.parametrize("penalty", [1e300, sys.float_info.max])
def test_a_penalty_however_large_leaves_a_distribution(penalty, recwarn):
    log_p = log_softmax(np.array([0.0, -1.0, -2.0]))
    assert np.exp(penalize_repetition(log_p, np.arange(3), penalty)).tolist() == [1, 0, 0]
    assert not recwarn


def test_the_figures_of_large_batches_and_vocabularies_are_computed_in_parts():
    wide = Vocab(map(chr, range(0x4E00, 0x4E00 + 5000)))
    torch.manual_seed(0)
    model = CharRNN(len(wide), 4, 1)
    steps_ = 30  # at once, their distributions take 24 MB, and what is computed of them 150 MB
    assert peak_of(lambda: generate(model, wide, ["一"] * 20, steps_, seed=0)) < 10**8


# Start and end


@pytest.fixture
def ending():
    """A network with `.start` and `.end` that ends about every fifth text at each character."""
    torch.manual_seed(1)
    vocab = Vocab("ab", specials=[".pad", START, END, ".unk"])
    model = CharRNN(len(vocab), 8, 2).double()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.8)  # what was written before matters
    with torch.no_grad():
        model.output.weight[:4] = 0
        model.output.bias[:] = torch.tensor([-20.0, -20, 0, -20, 0.7, 0.7])
    return model, vocab


def test_texts_stop_at_end_each_on_its_own(ending):
    model, vocab = ending
    samples = generate(model, vocab, [""] * 60, 30, seed=0)
    lengths = [len(s.new) for s in samples]
    assert min(lengths) == 0 and max(lengths) > 5
    for k, sample in enumerate(samples):
        assert set(sample.text) <= {"a", "b"}
        assert sample.ended == (len(sample.new) < 30)
        assert len(sample.p_before) == len(sample.entropy_after) == len(sample.new)
        assert sample.text == generate(model, vocab, "", 30, seed=k).text


def test_each_keeps_its_own_temperature_and_window_when_others_have_ended(ending):
    model, vocab = ending
    temperatures, options = [0.4 + 0.05 * k for k in range(30)], {"repetition_penalty": 1.5}
    batch = generate(model, vocab, "ab", 30, temperatures, seed=0, **options)
    alone = [
        generate(model, vocab, "ab", 30, t, seed=k, **options) for k, t in enumerate(temperatures)
    ]
    assert [s.text for s in batch] == [s.text for s in alone]


def test_start_comes_before_every_prompt(ending):
    model, vocab = ending
    first = next(iter(steps(model, vocab, ["a"], 1, SamplingConfig(), [0])))
    ids = torch.tensor([[vocab.id_of(START), vocab.id_of("a")]])
    np.testing.assert_allclose(first.log_before, log_softmax(model.eval()(ids)[0][:, -1]))


# Streaming


def test_a_stream_yields_what_generate_writes(model, vocab):
    text = generate(model, vocab, "the", 40, 0.7, seed=1, top_k=5).new
    assert "".join(stream(model, vocab, "the", 40, 0.7, seed=1, top_k=5)) == text


def test_a_stream_comes_character_by_character(model, vocab, monkeypatch):
    drawn, draw_ = [], generation.draw_within
    monkeypatch.setattr(generation, "draw_within", lambda *a: drawn.append(1) or draw_(*a))
    for k, character in enumerate(stream(model, vocab, "the", 10, seed=0), start=1):
        assert len(character) == 1 and len(drawn) == k


def test_a_batch_streams_side_by_side_until_the_last_has_ended(ending):
    model, vocab = ending
    written = [s.new for s in generate(model, vocab, [""] * 8, 30, seed=0)]
    columns = list(stream(model, vocab, [""] * 8, 30, seed=0))
    assert [len(row) for row in columns] == [8] * max(map(len, written))
    assert ["".join(column) for column in zip(*columns, strict=True)] == written


def test_a_stream_may_be_left_and_the_model_is_as_it_was(model, vocab):
    model.train()
    characters = stream(model, vocab, "the", 100, seed=0)
    next(characters)
    assert model.training
    characters.close()
    assert model.training
