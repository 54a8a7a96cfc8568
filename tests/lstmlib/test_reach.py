"""Reach: what it measures is what a slow, separate computation measures."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lstmlib import reach as module
from lstmlib.models import LAYERS, CharRNN
from lstmlib.ngram import NGramModel
from lstmlib.reach import (
    forget_gates,
    gradient_by_distance,
    loss_by_order,
    loss_by_past,
    memory_worth,
    reach,
    time_constant,
)
from lstmlib.training import evaluate

IDS = np.random.default_rng(0).integers(5, size=60)


def network(cell="lstm", layers=2, **kwargs):
    torch.manual_seed(1)
    return CharRNN(5, 3, layers, cell=cell, dropout=0.3, **kwargs).double()


def losses_of(model, ids, past):
    """Return the loss of each id after a past, one by one, from a state of zeros."""
    with torch.no_grad():
        logits, _ = model.eval()(torch.tensor([[*past, *ids[:-1]]]))
    return F.cross_entropy(logits[0, len(past) - 1 :], torch.tensor(ids), reduction="none").numpy()


# The loss after a foreign past


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("more", [{}, {"embedding_size": 4, "output_norm": True}], ids=["", "all"])
def test_the_past_is_replaced_but_for_the_last_characters(cell, more, monkeypatch):
    """Against reading the foreign text, then the true one, each place from the beginning."""
    monkeypatch.setattr(module, "_CHUNK", 7)
    monkeypatch.setattr(module, "_ROWS", 2)
    model, K = network(cell, **more), 4
    places = [4, 21, 38, 55]  # evenly spread from K to N - 1 - K
    measured = loss_by_past(model, IDS, longest=K, places=4)
    assert measured.full == pytest.approx(evaluate(model, IDS), rel=1e-12)
    for p, s in enumerate(places):
        foreign = places[(p + 2) % 4]
        after_other = losses_of(model, IDS[s : s + K + 1], IDS[:foreign])
        after_own = losses_of(model, IDS[s : s + K + 1], IDS[:s])
        np.testing.assert_allclose(measured.excess[p], after_other - after_own, atol=1e-12)
    assert measured.excess.shape == (4, K + 1)


def test_a_network_that_copies_the_last_character_needs_one():
    """An RNN without a memory: its recurrent matrix is zero."""
    model = network("rnn", 1)
    with torch.no_grad():
        model.layers.weight_hh_l0.zero_()
    excess = loss_by_past(model, IDS, longest=5, places=20).excess
    assert np.abs(excess[:, 0]).max() > 0.01 and np.abs(excess[:, 1:]).max() < 1e-12
    assert reach(excess.mean(axis=0), tolerance=1e-9) == 1
    norms = gradient_by_distance(model, IDS, longest=5, places=20)
    assert norms[:, 0].min() > 0 and norms[:, 1:].max() == 0


def test_the_network_is_left_as_it_was():
    model = network().train()
    before = torch.random.get_rng_state()
    loss_by_past(model, IDS, 4, 4)
    gradient_by_distance(model, IDS, 4, 4)
    memory_worth(model, IDS, 4, 4)
    assert model.training and torch.equal(before, torch.random.get_rng_state())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_a_short_text_has_fewer_places():
    model, N, K = network(), len(IDS), 10
    assert len(loss_by_past(model, IDS, K, 1000).excess) == N - 2 * K
    assert len(gradient_by_distance(model, IDS, K, 1000)) == N - 1 - 2 * K
    assert len(memory_worth(model, IDS, K, 1000)) == (N - 2) // K


# Its curve


@pytest.mark.parametrize(
    ("excess", "tolerance", "k"),
    [
        ([0.0], 0, 0),
        ([1, 0.5, 0.2, 0.009, 0.0], 0.01, 3),
        ([1, 0.005, 0.5, 0.01, 0.0], 0.01, 3),  # the dip at 1 does not last
        ([1, 0.5, -0.5, 0.0], 0.01, 3),  # better than with the whole past is not alike
        ([0.001, 0.002], 0.01, 0),
        ([1, 0.5, 0.02], 0.01, None),
    ],
)
def test_the_reach_is_where_the_curve_stays(excess, tolerance, k):
    assert reach(np.array(excess), tolerance) == k


@pytest.mark.parametrize(
    "excess", [[], [[1.0, 0.0]], [1.0, math.nan], [math.inf, 0.0], 3.0], ids=str
)
def test_a_curve_without_meaning_is_refused(excess):
    with pytest.raises(ValueError, match=r"excess has the shape \(.*\); give finite numbers"):
        reach(excess)
    with pytest.raises(ValueError, match="tolerance is -1; it must be"):
        reach([1.0, 0.0], -1)


def test_counting_models_see_exactly_so_many_characters():
    train_ids, ids = np.tile(IDS, 3), IDS[::-1].copy()
    losses = loss_by_order(train_ids, ids, 5, longest=3)
    assert losses.tolist() == [NGramModel(train_ids, n, 5).nats_per_char(ids) for n in (1, 2, 3, 4)]
    # What stands before the last 2 characters is of no account for k = 2, by construction.
    model = NGramModel(train_ids, 3, 5)
    same = [model.next_probabilities(np.array([*past, 1, 2])) for past in ([], [0, 0], [4, 3])]
    assert np.ptp(same, axis=0).max() == 0
    with pytest.raises(ValueError, match="longest is -1"):
        loss_by_order(train_ids, ids, 5, longest=-1)


# The gradient


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("more", [{}, {"embedding_size": 4, "output_norm": True}], ids=["", "all"])
def test_the_gradient_is_that_of_central_differences(cell, more, monkeypatch):
    monkeypatch.setattr(module, "_ROWS", 2)
    model, K, h = network(cell, **more).eval(), 3, 1e-6
    norms = gradient_by_distance(model, IDS, longest=K, places=3)
    starts = [3, 29, 55]  # evenly spread from K to N - 2 - K
    for row, s in zip(norms, starts, strict=True):
        ids = torch.tensor(IDS[None, : s + K + 1])  # all that was read
        x = model.embed(ids).detach()

        def loss(x, target=IDS[s + K + 1]):
            with torch.no_grad():
                hidden, _ = model.layers(x)
                logits = model.output(model.norm(hidden[0, -1]))
            return -logits.log_softmax(-1)[target].item()

        for k in range(K + 1):
            slopes = []
            for d in range(x.shape[-1]):
                up, down = x.clone(), x.clone()
                up[0, -1 - k, d] += h
                down[0, -1 - k, d] -= h
                slopes.append((loss(up) - loss(down)) / (2 * h))
            assert row[k] == pytest.approx(np.linalg.norm(slopes), rel=1e-5, abs=1e-9)


# Forget gates and memory


def test_a_time_constant_is_when_a_third_is_left():
    tau = time_constant([0.5, 0.99, 0.0, 1.0])
    np.testing.assert_allclose(np.array([0.5, 0.99]) ** tau[:2], math.exp(-1))
    assert tau[2] == 0 and tau[3] == math.inf and time_constant(0.9).shape == ()
    assert time_constant(1 / (1 + math.exp(-1))) == pytest.approx(3.2, abs=0.05)  # the docstring's
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(
            ValueError, match="A forget gate lies from 0 to 1, and not all of these"
        ):
            time_constant([0.5, bad])


def test_a_cell_that_takes_nothing_in_decays_with_its_time_constant():
    """Its input gate is shut, and what it held is left to the forget gate."""
    model = network("lstm", 1)
    weights = dict(model.layers.named_parameters())
    with torch.no_grad():
        for weight in weights.values():
            weight.zero_()
        weights["bias_ih_l0"][:3] = -1000  # i = 0
        weights["bias_ih_l0"][3:6] = 2.0
        start = torch.zeros(1, 1, 3).double(), torch.ones(1, 1, 3).double()
        _, (_, c) = model(torch.tensor(IDS[None, :7]), start)
    gates = forget_gates(model, IDS[:7])
    assert gates.shape == (7, 1, 3)
    expected = torch.from_numpy(np.exp(-7 / time_constant(gates[0, 0])))
    torch.testing.assert_close(c[0, 0], expected, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("cell", ["lstm", "cifg"])
def test_forget_gates_are_those_of_the_formula(cell):
    model = network(cell)
    layers = model.layers
    weights = layers.lstm_weights() if cell == "cifg" else dict(layers.named_parameters())
    gates = forget_gates(model, IDS)
    assert gates.shape == (60, 2, 3)
    # From a state of zeros the first gate depends on the first input alone.
    z = weights["weight_ih_l0"][:, IDS[0]] + weights["bias_ih_l0"] + weights["bias_hh_l0"]
    np.testing.assert_allclose(gates[0, 0], z[3:6].sigmoid().detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("cell", ["lstm", "cifg"])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_memory_of_a_unit_is_taken_away_at_every_step(cell, layers):
    """Against one stream at a time, whose state is written by hand."""
    model, T = network(cell, layers).eval(), 5
    worth = memory_worth(model, IDS, length=T, places=3)
    assert worth.shape == (3, layers, 3)
    starts = [1, 28, 54]  # evenly spread from 1 to N - 1 - T, to even numbers where between two

    def loss(s, unit=None, value=None):
        cells, total = [], 0.0
        with torch.no_grad():
            _, (h, c) = model(torch.tensor(IDS[None, :s]))
            for t in range(s, s + T):
                if unit:
                    c[unit[0], 0, unit[1]] = value
                logits, (h, c) = model(torch.tensor([[IDS[t]]]), (h, c))
                cells.append(c[:, 0])
                total -= logits[0, 0].log_softmax(-1)[IDS[t + 1]].item() / T
        return total, torch.stack(cells)

    plain = [loss(s) for s in starts]
    mean = torch.cat([cells for _, cells in plain]).mean(dim=0)  # (L, H)
    for s, row, (full, _) in zip(starts, worth, plain, strict=True):
        for layer, unit in np.ndindex(layers, 3):
            without, _ = loss(s, (layer, unit), mean[layer, unit])
            assert row[layer, unit] == pytest.approx(without - full, abs=1e-12)
    assert np.abs(worth).max() > 1e-6


def test_a_unit_that_carries_nothing_is_worth_nothing():
    model = network("lstm", 1)
    with torch.no_grad():
        model.layers.weight_hh_l0.zero_()
        model.layers.weight_ih_l0[3:6].zero_()
        model.layers.bias_hh_l0.zero_()
        model.layers.bias_ih_l0[3:6] = torch.tensor([-1000.0, 3.0, 3.0])  # unit 0 forgets all
    worth = memory_worth(model, IDS, length=10, places=5)[:, 0]
    assert np.abs(worth[:, 0]).max() < 1e-12 < np.abs(worth[:, 1:]).min()


# Bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m: loss_by_past(m, IDS, 15),
            "of 60 characters is too short for looking 15 .* 63 or",
        ),
        (lambda m: loss_by_past(m, IDS, 0), "longest is 0; it must be a whole number, 1 or more"),
        (lambda m: loss_by_past(m, IDS, 3, 1), "places is 1; it must be a whole number, 2 or more"),
        (lambda m: loss_by_past(m, IDS + 1, 3), "5 in the text is no id; ids must lie in 0 … 4"),
        (lambda m: loss_by_past(m, IDS[None], 3), r"shape \(1, 60\); give the ids of one text"),
        (lambda m: loss_by_past(m, IDS / 2, 3), "The dtype of the text is float64"),
        (lambda m: gradient_by_distance(m, IDS, 29), "too short for looking 29 .* 61 or more"),
        (lambda m: gradient_by_distance(m, IDS, 1.5), "longest is 1.5; it must be"),
        (lambda m: gradient_by_distance(m, IDS, 3, 0), "places is 0; it must be"),
        (lambda m: memory_worth(m, IDS, 30), "too short for looking 30 .* 61 or more"),
        (lambda m: memory_worth(m, IDS, 3, 0), "places is 0; it must be"),
        (lambda m: memory_worth(network("gru"), IDS), "The cell is 'gru'; only LSTM and CIFG"),
        (lambda m: forget_gates(network("rnn"), IDS), "The cell is 'rnn'; only LSTM and CIFG"),
        (lambda m: forget_gates(m, IDS[:0]), "of 0 characters is too short for this: give 1"),
    ],
)
def test_what_has_no_meaning_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call(network())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("K", [1, 7])
def test_the_shortest_texts_are_enough(K):
    model = network()
    assert loss_by_past(model, IDS[: 4 * K + 3], K).excess.shape[1] == K + 1
    assert gradient_by_distance(model, IDS[: 2 * K + 3], K).shape == (2, K + 1)
    assert memory_worth(model, IDS[: 2 * K + 1], K).shape[1:] == (2, 3)
