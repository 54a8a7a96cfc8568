import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lstmlib.models import CharRNN
from lstmlib.sampling import generate
from lstmlib.training import (
    History,
    TrainingConfig,
    TrainingDiverged,
    clip_by_global_norm,
    clip_by_value,
    evaluate,
    fit,
)

CONFIG = TrainingConfig(steps=12, batch_size=4, seq_len=8, eval_every=5, learning_rate=1e-2)


def fresh(vocab, **kwargs):
    torch.manual_seed(0)
    return CharRNN(len(vocab), 16, 2, dropout=0.3, **kwargs)


def values(history):
    """Return the rows without the clock."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]


# Clipping


def parameters_with(*grads):
    out = []
    for grad in grads:
        out.append(torch.nn.Parameter(torch.zeros(len(grad))))
        out[-1].grad = torch.tensor(grad)
    return [*out, torch.nn.Parameter(torch.zeros(1))]  # one without a gradient


def test_clip_by_global_norm_keeps_the_direction():
    parameters = parameters_with([3.0, 0.0], [0.0, 4.0])
    assert clip_by_global_norm(parameters, 2.5) == (5.0, 2.5)
    assert parameters[0].grad.tolist() == [1.5, 0.0]
    assert parameters[1].grad.tolist() == [0.0, 2.0]


def test_clip_by_global_norm_leaves_a_short_gradient():
    parameters = parameters_with([3.0, 4.0])
    assert clip_by_global_norm(parameters, 5.0) == (5.0, 5.0)
    assert parameters[0].grad.tolist() == [3.0, 4.0]


def test_clip_by_value_cuts_each_entry():
    parameters = parameters_with([3.0, -4.0, 0.5])
    before, after = clip_by_value(parameters, 1.0)
    assert parameters[0].grad.tolist() == [1.0, -1.0, 0.5]
    assert before == pytest.approx(math.sqrt(25.25))
    assert after == pytest.approx(1.5)


@pytest.mark.parametrize("limit", [0.01, 1.0, 100.0])
def test_clipping_agrees_with_pytorch(model, ids, limit):
    def gradients(clip):
        model.zero_grad()
        logits, _ = model.eval()(torch.from_numpy(ids[:40])[None])
        F.cross_entropy(logits[0], torch.from_numpy(ids[1:41])).backward()
        norm = clip(model.parameters(), limit)
        return norm, [p.grad.clone() for p in model.parameters()]

    (norm, _), ours = gradients(clip_by_global_norm)
    theirs_norm, theirs = gradients(torch.nn.utils.clip_grad_norm_)
    assert norm == pytest.approx(theirs_norm.item(), rel=1e-5)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-8)


# Evaluation


def test_evaluate_is_the_mean_over_every_character_but_the_first(model, ids):
    model.eval()
    logits, _ = model(torch.from_numpy(ids[:-1])[None])
    expected = F.cross_entropy(logits[0], torch.from_numpy(ids[1:])).item()
    assert evaluate(model, ids, seq_len=7) == pytest.approx(expected, rel=1e-5)
    assert evaluate(model, ids, seq_len=10**6) == pytest.approx(expected, rel=1e-5)


def test_evaluate_leaves_everything_as_it_was(model, ids):
    model.train()
    state = torch.get_rng_state()
    evaluate(model, ids)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in model.parameters())


def test_evaluate_of_one_character_says_why(model):
    with pytest.raises(ValueError, match="no pair"):
        evaluate(model, np.array([1]))


# Training


def test_loss_falls(vocab, ids):
    config = TrainingConfig(steps=120, batch_size=4, seq_len=16, learning_rate=1e-2)
    history = fit(fresh(vocab), ids, ids[:200], config)
    _, loss = history.column("loss")
    assert loss[0] == pytest.approx(math.log(len(vocab)), abs=0.3)
    assert loss[-5:].mean() < 0.5 * loss[0]
    assert history.best_valid_loss < 0.5 * loss[0]


def test_rows_hold_what_they_promise(vocab, ids):
    history = fit(fresh(vocab), ids, ids[:100], CONFIG)
    assert [row["step"] for row in history.rows] == list(range(1, 13))
    assert history.column("valid_loss")[0].tolist() == [5, 10, 12]
    assert history.rows[-1]["characters"] == 12 * 4 * 8
    assert (np.diff(history.column("seconds")[1]) > 0).all()


def test_same_seed_same_history(vocab, ids):
    runs = []
    for _ in range(2):
        model = fresh(vocab)
        torch.manual_seed(1)
        runs.append(values(fit(model, ids, ids[:100], CONFIG)))
    assert runs[0] == runs[1]


def test_a_model_in_evaluation_mode_is_trained_with_its_dropout(vocab, ids):
    histories = []
    for mode in (True, False):
        model = fresh(vocab).train(mode)
        torch.manual_seed(1)
        histories.append(values(fit(model, ids, None, CONFIG)))
    assert histories[0] == histories[1]


def test_evaluating_and_sampling_in_mid_training_changes_nothing(vocab, ids):
    def run(disturb):
        model = fresh(vocab)

        def on_step(history):
            if disturb:
                evaluate(model, ids[:100])
                generate(model, vocab, "the ", 5)
                generate(model, vocab, "the ", 5, seed=3)

        torch.manual_seed(1)
        return values(fit(model, ids, None, CONFIG, on_step)), list(model.parameters())

    (plain, weights), (disturbed, other_weights) = run(False), run(True)
    assert disturbed == plain
    for a, b in zip(weights, other_weights, strict=True):
        assert torch.equal(a, b)


def test_state_is_carried_and_reset_at_the_epochs_end(vocab, ids):
    """One epoch is 3 batches here; each step's input state is the last one's, detached."""
    states = []

    class Spy(CharRNN):
        def forward(self, x, state=None):
            logits, new = super().forward(x, state)
            states.append((state, new))
            return logits, new

    model = Spy(len(vocab), 8, 1)
    fit(model, ids[: 3 * 4 * 8 + 1], None, TrainingConfig(steps=5, batch_size=4, seq_len=8))
    assert states[0][0] is None
    assert states[3][0] is None
    for k in (1, 2, 4):
        given, previous = states[k][0], states[k - 1][1]
        assert torch.equal(given[0], previous[0])
        assert not given[0].requires_grad


@pytest.mark.parametrize("clip", [{"clip_norm": 0.05}, {"clip_norm": None, "clip_value": 0.01}])
def test_norms_before_and_after_clipping_are_recorded(vocab, ids, clip):
    history = fit(fresh(vocab), ids, None, TrainingConfig(steps=5, batch_size=4, seq_len=8, **clip))
    _, before = history.column("grad_norm")
    _, after = history.column("clipped_norm")
    assert (after < before).all()
    assert history.clipped_share == 1
    if clip["clip_norm"]:
        assert (after == 0.05).all()


def test_without_clipping_the_norms_agree(vocab, ids):
    config = TrainingConfig(steps=5, batch_size=4, seq_len=8, clip_norm=None)
    history = fit(fresh(vocab), ids, None, config)
    assert history.clipped_share == 0


def test_cosine_schedule_with_warm_up():
    config = TrainingConfig(steps=100, learning_rate=1.0, schedule="cosine", warmup=10)
    rates = [config.rate_at(step) for step in range(1, 101)]
    assert rates[:10] == pytest.approx(np.linspace(0.1, 1, 10))
    assert rates[54] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    assert (np.diff(rates[10:]) < 0).all()


def test_divergence_stops_with_a_word_and_the_history(vocab, ids):
    model = fresh(vocab)

    def break_it(history):
        if len(history) == 4:
            with torch.no_grad():
                model.output.weight[0, 0] = math.nan

    with pytest.raises(TrainingDiverged, match="Step 5: the loss is nan") as error:
        fit(model, ids, None, CONFIG, break_it)
    assert len(error.value.history) == 4


def test_text_shorter_than_a_batch_says_why(vocab, ids):
    with pytest.raises(ValueError, match="too short for one batch of 4 × 8"):
        fit(fresh(vocab), ids[:20], None, CONFIG)


@pytest.mark.parametrize("which", ["training", "validation"])
@pytest.mark.parametrize(
    ("bad", "message"), [(np.array([1]), "under 2 characters"), (np.array([0, 999]), "ids outside")]
)
def test_texts_are_checked_before_training_begins(vocab, ids, which, bad, message):
    texts = {"training": ids, "validation": ids[:50], which: bad}
    with pytest.raises(ValueError, match=f"The {which} text has {message}"):
        fit(fresh(vocab), texts["training"], texts["validation"], CONFIG)


@pytest.mark.parametrize(
    "setting",
    [
        {"steps": 0},
        {"steps": 10.5},
        {"batch_size": 0},
        {"seq_len": -1},
        {"learning_rate": 0.0},
        {"learning_rate": math.nan},
        {"schedule": "linear"},
        {"warmup": 6},
        {"clip_norm": 0.0},
        {"clip_norm": -1.0},
        {"clip_norm": None, "clip_value": math.nan},
        {"clip_norm": 1.0, "clip_value": 1.0},
    ],
)
def test_settings_without_meaning(setting):
    with pytest.raises(ValueError, match="|".join(setting)):
        TrainingConfig(**{"steps": 5, **setting})


def test_history_file_round_trip(tmp_path, vocab, ids):
    history = fit(fresh(vocab), ids, ids[:100], CONFIG)
    history.save(tmp_path / "h.jsonl")
    assert History.load(tmp_path / "h.jsonl").rows == history.rows
