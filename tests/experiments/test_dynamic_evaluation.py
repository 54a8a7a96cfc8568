"""Dynamic evaluation: a network that goes on learning from the text that it predicts."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from experiments.dynamic_evaluation import (
    DynamicEvaluation,
    dynamic_loss,
    mean_squares,
    without_dropout,
)
from experiments.recipes import build
from lstmlib.models import CharRNN
from lstmlib.training import evaluate


@pytest.fixture
def ids():
    return np.random.default_rng(0).integers(5, size=83)


@pytest.fixture
def model():
    torch.manual_seed(1)
    return CharRNN(5, 6, num_layers=1, dropout=0.5).double()


@pytest.fixture
def squares(model):
    return [torch.rand_like(weight) for weight in model.parameters()]


def test_who_learns_nothing_has_the_loss_of_one_pass(model, ids, squares):
    still = dynamic_loss(model, ids, squares, DynamicEvaluation(rate=0.0))
    assert still == pytest.approx(evaluate(model, ids), abs=1e-9)


def test_a_piece_counts_before_it_is_learned_from(model, ids, squares):
    first = dynamic_loss(model, ids[:21], squares, DynamicEvaluation(rate=0.5, seq_len=20))
    assert first == pytest.approx(evaluate(model, ids[:21]), abs=1e-9)


def test_the_second_piece_meets_the_weights_of_the_paper(model, ids, squares):
    """Krause et al. 2018, equations 6 to 9, weight by weight; the last piece is a short one."""
    settings = DynamicEvaluation(rate=0.01, decay=0.2, floor=0.05, seq_len=7)
    text = torch.from_numpy(ids[:19])
    copy = without_dropout(model)
    trained = [weight.detach().clone() for weight in copy.parameters()]
    mean = torch.cat([each.sqrt().flatten() for each in squares]).mean()
    total, state = 0.0, None
    for start in (0, 7, 14):
        x, y = text[start : start + 7][: 18 - start], text[start + 1 : start + 8]
        logits, state = copy(x[None], state)
        loss = F.cross_entropy(logits[0], y)
        copy.zero_grad()
        loss.backward()
        total, state = total + loss.item() * len(y), tuple(part.detach() for part in state)
        with torch.no_grad():
            for weight, first, square in zip(copy.parameters(), trained, squares, strict=True):
                root = square.sqrt()
                weight += (0.2 * root / mean).clamp(max=1) * (first - weight)
                weight -= 0.01 * weight.grad / (root + 0.05)
    assert dynamic_loss(model, ids[:19], squares, settings) == pytest.approx(total / 18, abs=1e-9)


def test_mean_squares_are_those_of_batches_without_dropout(model, ids):
    got = mean_squares(model, ids, rows=2, seq_len=5, batches=3)
    rows = [torch.from_numpy(ids[k * 40 : k * 40 + 41]) for k in (0, 1)]  # 8 batches a stream
    copy, state, sums = without_dropout(model), None, [torch.zeros_like(g) for g in got]
    for start in (0, 5, 10):
        x = torch.stack([row[start : start + 5] for row in rows])
        y = torch.stack([row[start + 1 : start + 6] for row in rows])
        logits, state = copy(x, state)
        state = tuple(part.detach() for part in state)
        copy.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), y.flatten()).backward()
        for total, weight in zip(sums, copy.parameters(), strict=True):
            total += weight.grad**2 / 3
    for mine, total in zip(got, sums, strict=True):
        torch.testing.assert_close(mine, total)


def test_a_network_stays_as_it_was(model, ids):
    before, drawn = [weight.clone() for weight in model.parameters()], torch.get_rng_state()
    model.eval()
    squares = mean_squares(model, ids, rows=2, seq_len=5)
    dynamic_loss(model, ids, squares, DynamicEvaluation(rate=0.1, decay=0.01))
    assert all(map(torch.equal, before, model.parameters()))
    assert not model.training and all(weight.grad is None for weight in model.parameters())
    assert torch.equal(drawn, torch.get_rng_state())


def test_what_a_recipe_does_not_train_does_not_learn_either(ids):
    settings = {"hidden_size": 6, "num_layers": 1, "input_scale": 4.0, "column_dropout": 0.5}
    model = build(5, settings | {"dropout": 0.5, "locked_dropout": True})
    copy = without_dropout(model)
    assert [w.requires_grad for w in copy.parameters()] == [
        w.requires_grad for w in model.parameters()
    ]
    squares = mean_squares(model, ids, rows=2, seq_len=5)
    assert len(squares) == sum(weight.requires_grad for weight in model.parameters())
    still = dynamic_loss(model, ids, squares, DynamicEvaluation(rate=0.0))
    assert still == pytest.approx(evaluate(model, ids), abs=1e-6)


def test_a_text_that_repeats_itself_is_learned(model):
    ids = np.tile([0, 1, 2, 3, 4, 0, 2, 4, 1, 3], 60)
    squares = mean_squares(model, ids, rows=2, seq_len=20)
    learned = dynamic_loss(model, ids, squares, DynamicEvaluation(rate=0.01))
    assert learned < 0.9 * evaluate(model, ids)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"rate": -1.0}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"rate": 0.1, "decay": 1.5}, "decay"),
        ({"rate": 0.1, "floor": 0.0}, "floor"),
        ({"rate": 0.1, "seq_len": 0}, "seq_len"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings, word):
    with pytest.raises(ValueError, match=word):
        DynamicEvaluation(**settings)
