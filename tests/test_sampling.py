import math

import pytest
import torch

from lstmlib.models import CharRNN
from lstmlib.sampling import apply_temperature, draw, generate
from lstmlib.vocab import Vocab, VocabError

LOGITS = torch.tensor([2.0, -1.0, 0.5, -30.0])


def power(temperature):
    """Return p^(1/τ) / Σ p^(1/τ) as the formula has it."""
    p = LOGITS.double().softmax(-1) ** (1 / temperature)
    return p / p.sum()


@pytest.mark.parametrize("temperature", [0.2, 0.5, 1.0, 2.0, 100.0])
def test_temperature_is_the_power_formula(temperature):
    torch.testing.assert_close(apply_temperature(LOGITS, temperature), power(temperature))


def test_temperature_one_is_the_identity_and_half_squares():
    p = LOGITS.double().softmax(-1)
    torch.testing.assert_close(apply_temperature(LOGITS, 1.0), p)
    torch.testing.assert_close(apply_temperature(LOGITS, 0.5), p**2 / (p**2).sum())


@pytest.mark.parametrize("temperature", [0, 1e-6, 1e-300, 5e-324])
def test_cold_is_argmax_without_overflow(temperature):
    assert apply_temperature(LOGITS * 1000, temperature).tolist() == [1, 0, 0, 0]


def test_hot_is_uniform():
    torch.testing.assert_close(
        apply_temperature(LOGITS, 1e9), torch.full((4,), 0.25, dtype=torch.float64)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_type_and_leading_shape(dtype):
    p = apply_temperature(LOGITS.to(dtype).expand(2, 3, 4), 0.7)
    assert p.shape == (2, 3, 4)
    torch.testing.assert_close(p.sum(-1), torch.ones(2, 3, dtype=torch.float64))


@pytest.mark.parametrize("temperature", [-0.1, math.nan, math.inf, -math.inf])
def test_bad_temperature_is_named(temperature, model, vocab):
    with pytest.raises(ValueError, match="temperature is"):
        apply_temperature(LOGITS, temperature)
    with pytest.raises(ValueError, match="temperature is"):
        generate(model, vocab, "the", 5, temperature)


def test_broken_weights_are_named():
    with pytest.raises(ValueError, match="NaN"):
        apply_temperature(torch.tensor([math.nan, 1.0]), 1.0)


def test_draws_follow_the_distribution():
    p = torch.tensor([0.5, 0.0, 0.3, 0.2], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    n = 20_000
    counts = torch.bincount(torch.tensor([draw(p, generator) for _ in range(n)]), minlength=4)
    assert counts[1] == 0
    for i in (0, 2, 3):
        assert abs(counts[i] / n - p[i]) < 4 * math.sqrt(p[i] * (1 - p[i]) / n)


@pytest.mark.parametrize("u", [0.0, 1 - 2**-53])
def test_the_ends_of_the_unit_interval_draw_nothing_impossible(monkeypatch, u):
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.tensor(u, dtype=torch.float64))
    assert draw(torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64), torch.Generator()) == 1


def test_prompt_is_part_of_the_text(model, vocab):
    text = generate(model, vocab, "the quick", 20, seed=0)
    assert text.startswith("the quick")
    assert len(text) == len("the quick") + 20
    assert generate(model, vocab, "the", 0) == "the"


def test_seed_decides(model, vocab):
    same = [generate(model, vocab, "the", 60, seed=5) for _ in range(2)]
    assert same[0] == same[1]
    assert generate(model, vocab, "the", 60, seed=6) != same[0]
    assert generate(model, vocab, "the", 60) != generate(model, vocab, "the", 60)


def test_greedy_takes_the_most_probable_character(model, vocab):
    text = generate(model, vocab, "the", 15, temperature=0)
    model.eval()
    ids = torch.from_numpy(vocab.encode(text))
    best = model(ids[None])[0][0].argmax(-1)
    assert torch.equal(best[2:-1], ids[3:])


def test_mode_and_random_state_stay(model, vocab):
    model.train()
    state = torch.get_rng_state()
    generate(model, vocab, "the", 5)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)


def test_unseen_character_in_the_prompt_is_named(model, vocab):
    with pytest.raises(VocabError, match="'É'"):
        generate(model, vocab, "thÉ", 5)


@pytest.mark.parametrize(
    ("prompt", "length", "message"), [("", 5, "empty"), ("t", -1, "0 or more")]
)
def test_bad_prompt_or_length(model, vocab, prompt, length, message):
    with pytest.raises(ValueError, match=message):
        generate(model, vocab, prompt, length)


def test_foreign_vocabulary_is_refused():
    with pytest.raises(ValueError, match="2 tokens, but the model was built for 9"):
        generate(CharRNN(9, 4, 1), Vocab("ab"), "a", 5)
