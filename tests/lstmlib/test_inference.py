"""Steps outside the model are steps of the model."""

import numpy as np
import pytest
import torch
from torch import nn

from lstmlib import inference
from lstmlib.generation import generate
from lstmlib.inference import FusedDecoder, ModelDecoder, make_decoder, prefill, read_through
from lstmlib.models import CharRNN

V = 11


def network(**settings):
    torch.manual_seed(0)
    model = CharRNN(V, **({"hidden_size": 24, "num_layers": 2, "dropout": 0.3} | settings))
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.4)
    return model


FUSED = [
    {},
    {"num_layers": 1},
    {"num_layers": 3, "embedding_size": 7},
    {"cell": "cifg"},
    {"cell": "rnn", "num_layers": 3},
    {"output_norm": True, "embedding_size": 5},
    {"cell": "rnn", "output_norm": True, "num_layers": 1},
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("settings", FUSED, ids=str)
def test_fused_steps_compute_what_the_model_computes(settings, dtype):
    model = network(**settings).to(dtype)
    rng = np.random.default_rng(0)
    contexts = [rng.integers(V, size=n) for n in (4, 1, 9)]
    _, state = prefill(model, contexts)
    fused, called = FusedDecoder(model, state), ModelDecoder(model, state)
    tolerance = 1e-9 if dtype == torch.float64 else 1e-3
    for t in range(60):
        ids = rng.integers(V, size=len(contexts))
        ours, theirs = fused.step(ids), called.step(ids)
        assert torch.from_numpy(ours).dtype == dtype and ours.shape == (len(contexts), V)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
        if t in (20, 40):  # a text ends
            kept = np.arange(len(contexts))[t == 20 :][:2] if t == 20 else np.array([1])
            contexts = [contexts[k] for k in kept]
            fused.select(kept)
            called.select(kept)


def test_a_step_does_not_change_what_the_step_before_gave():
    model = network()
    _, state = prefill(model, [np.array([1, 2])])
    decoder = FusedDecoder(model, state)
    first = decoder.step(np.array([3]))
    kept = first.copy()
    decoder.step(np.array([4]))
    np.testing.assert_array_equal(first, kept)


def test_prompts_of_different_lengths_are_read_as_alone():
    model = network().double()
    contexts = [np.array([1, 2, 3]), np.array([4]), np.array([1, 2, 3])]
    logits, state = prefill(model, contexts)
    assert logits.shape == (3, V) and [p.shape for p in state] == [(2, 3, 24)] * 2
    for k, ids in enumerate(contexts):
        alone, alone_state = model.eval()(torch.from_numpy(ids)[None])
        np.testing.assert_allclose(logits[k], alone[0, -1].detach())
        for part, alone_part in zip(state, alone_state, strict=True):
            torch.testing.assert_close(part[:, k], alone_part[:, 0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_16_bits_are_computed_with_in_32(dtype):
    model = network().to(dtype)
    _, state = prefill(model.float(), [np.array([1])])
    fused = FusedDecoder(model.to(dtype), state)
    called = ModelDecoder(model.float(), state)
    for token in (3, 5, 0, 10):
        ids = np.array([token])
        np.testing.assert_allclose(fused.step(ids), called.step(ids), rtol=0, atol=1e-4)


class Doubled(nn.Identity):
    def forward(self, x):
        return 2 * x


class Other(CharRNN):
    pass


OTHER_PARTS = {
    "norm": Doubled(),
    "dropout": Doubled(),
    "embedding": nn.Sequential(nn.Embedding(V, V)),
    "output": nn.Linear(24, V, bias=False),
    "layers": nn.RNN(V, 24, 2, nonlinearity="relu", batch_first=True),
}


@pytest.mark.parametrize("settings", FUSED, ids=str)
def test_the_fused_steps_are_taken_where_they_can_be(settings):
    model = network(**settings)
    _, state = prefill(model, [np.array([1])])
    assert type(make_decoder(model, state)) is FusedDecoder


@pytest.mark.parametrize("part", [*OTHER_PARTS, "plain norm", "no bias", "gru", "class"])
def test_what_the_fused_steps_do_not_know_is_left_to_the_model(part):
    model = network(cell="gru") if part == "gru" else network()
    if part in OTHER_PARTS:
        setattr(model, part, OTHER_PARTS[part])
    if part == "plain norm":
        model.norm = nn.LayerNorm(24, elementwise_affine=False)
    if part == "no bias":
        model.layers = nn.LSTM(V, 24, 2, bias=False, batch_first=True)
    if part == "class":
        model.__class__ = Other
    if part == "layers":
        model.config["cell"] = "rnn"
    _, state = prefill(model, [np.array([1])])
    assert type(make_decoder(model, state)) is ModelDecoder


@pytest.mark.parametrize("cell", ["lstm", "cifg", "rnn", "gru"])
def test_greedy_text_is_that_of_the_model_character_by_character(cell, vocab):
    torch.manual_seed(3)
    model = CharRNN(len(vocab), 32, 2, cell=cell)
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.3)
    written = generate(model, vocab, "the", 300, temperature=0).text
    with torch.no_grad():
        best = model.eval()(torch.from_numpy(vocab.encode(written))[None])[0][0].argmax(-1)
    assert vocab.encode(written)[3:].tolist() == best[2:-1].tolist()


def test_the_weights_of_now_are_used(model, vocab):
    before = generate(model, vocab, "the", 40, seed=1).text
    with torch.no_grad():
        model.output.weight.mul_(-3)
    assert generate(model, vocab, "the", 40, seed=1).text != before


@pytest.mark.parametrize("settings", [{}, {"cell": "gru"}], ids=str)
def test_a_text_read_through_has_at_each_place_the_logits_of_what_came_before(settings):
    model = network(**settings).train()  # with dropout, if the mode were not changed
    ids = np.random.default_rng(0).integers(V, size=9)
    logits = read_through(model, ids)
    assert logits.shape == (9, V) and model.training
    for k in range(9):
        np.testing.assert_allclose(logits[k], prefill(model, [ids[: k + 1]])[0][0], atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"cell": "gru"}, {"cell": "cifg"}], ids=str)
def test_a_long_text_read_in_pieces_is_read_as_in_one(settings, monkeypatch):
    model = network(**settings).double()
    contexts = [np.random.default_rng(n).integers(V, size=n) for n in (1, 6, 7, 8, 20)]
    whole = [read_through(model, ids) for ids in contexts]
    logits, state = prefill(model, contexts)
    monkeypatch.setattr(inference, "AT_ONCE", 7)
    for ids, expected in zip(contexts, whole, strict=True):
        np.testing.assert_allclose(read_through(model, ids), expected, atol=1e-9)
    in_pieces, state_in_pieces = prefill(model, contexts)
    np.testing.assert_allclose(in_pieces, logits, atol=1e-9)
    for part, expected in zip(state_in_pieces, state, strict=True):
        torch.testing.assert_close(part, expected, atol=1e-9, rtol=0)


def test_a_text_up_to_the_length_of_a_piece_is_read_in_one_call(model):
    calls = []
    model.register_forward_pre_hook(lambda _, args: calls.append(args[0].shape[1]))
    prefill(model, [np.zeros(inference.AT_ONCE, dtype=np.int64)])
    prefill(model, [np.zeros(inference.AT_ONCE + 1, dtype=np.int64)])
    assert calls == [inference.AT_ONCE, inference.AT_ONCE, 1]


def test_an_empty_text_is_refused(model):
    nothing = np.zeros(0, dtype=np.int64)
    for act in (lambda: prefill(model, [nothing]), lambda: read_through(model, nothing)):
        with pytest.raises(ValueError, match="The text is empty"):
            act()
