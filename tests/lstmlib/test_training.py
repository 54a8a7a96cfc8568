import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lstmlib import training
from lstmlib.batching import IGNORE, PaddedBatches, Streams
from lstmlib.checkpoints import Checkpoints
from lstmlib.clipping import adaptive_clip, clip_by_global_norm, clip_by_value
from lstmlib.generation import generate
from lstmlib.history import History, HistoryError, TrainingDiverged
from lstmlib.models import CharRNN
from lstmlib.precision import has_bfloat16
from lstmlib.settings import TrainingConfig
from lstmlib.training import evaluate, fit

CPU = torch.device("cpu")
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


def test_each_unit_is_clipped_by_its_own_weights():
    torch.manual_seed(0)
    matrix = torch.nn.Parameter(torch.randn(3, 4))
    bias = torch.nn.Parameter(torch.tensor([2.0, 0.0, -1.0]))
    matrix.grad, bias.grad = torch.randn(3, 4), torch.tensor([1.0, 1.0, 0.05])
    matrix.grad[1] *= 1e-3
    before = matrix.grad.clone(), bias.grad.clone()
    norm, clipped = adaptive_clip([matrix, bias], 0.1)
    assert norm == pytest.approx(math.sqrt(sum((grad**2).sum().item() for grad in before)))
    left = sum((weight.grad**2).sum().item() for weight in (matrix, bias))
    assert clipped == pytest.approx(math.sqrt(left))
    for k in (0, 2):
        shorter = before[0][k] * 0.1 * matrix[k].norm() / before[0][k].norm()
        torch.testing.assert_close(matrix.grad[k], shorter.detach())
    assert torch.equal(matrix.grad[1], before[0][1])
    torch.testing.assert_close(bias.grad, torch.tensor([0.2, 1e-4, 0.05]))


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


@pytest.mark.parametrize("seq_len", [1, 7, 512, 1000, 10**6])  # 512 and 1000 leave a short last one
def test_evaluate_is_the_mean_over_every_character_but_the_first(model, ids, seq_len):
    model.eval()
    logits, _ = model(torch.from_numpy(ids[:-1])[None])
    expected = F.cross_entropy(logits[0], torch.from_numpy(ids[1:])).item()
    assert evaluate(model, ids, seq_len) == pytest.approx(expected, rel=1e-5)


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


@pytest.mark.parametrize("progress", [True, False])
def test_the_progress_bar_can_be_left_out(vocab, ids, capsys, progress):
    fit(fresh(vocab), ids, None, CONFIG, progress=progress)
    assert ("12/12" in capsys.readouterr().err) == progress


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


class Reader(CharRNN):
    """A network that remembers what it read in training."""

    def forward(self, x, state=None):
        if self.training:
            self.read_so_far.append((x.clone(), state is None))
        return super().forward(x, state)


def batches_read(vocab, ids, config):
    """Return what fit reads in two epochs: epoch -> (x of each batch, state is None)."""
    per_epoch = (len(ids) - 1) // (config.batch_size * config.seq_len)
    model = Reader(len(vocab), 8, 1)
    model.read_so_far = []
    fit(model, ids, None, replace(config, steps=2 * per_epoch), progress=False)
    return model.read_so_far[:per_epoch], model.read_so_far[per_epoch:]


def test_on_cuda_optimizers_are_fused_unless_the_options_say_how(monkeypatch):
    made = []
    monkeypatch.setattr(TrainingConfig, "_optimizer", lambda self, w, options: made.append(options))

    class Weight:
        device = torch.device("cuda")

    for optimizer, options in [
        ("adam", {}),
        ("sgd", {"momentum": 0.9}),
        ("adamw", {"foreach": True}),
        ("rmsprop", {}),
    ]:
        config = TrainingConfig.__new__(TrainingConfig)
        object.__setattr__(config, "optimizer", optimizer)
        object.__setattr__(config, "optimizer_options", options)
        config.make_optimizer(iter([Weight()]))
    assert made == [{"fused": True}, {"momentum": 0.9, "fused": True}, {"foreach": True}, {}]


def test_rotated_streams_cut_the_text_at_other_places(vocab, ids):
    still, rotated = CONFIG, replace(CONFIG, rotate_streams=True)
    first, second = batches_read(vocab, ids, still)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, second, strict=True))
    begun, moved = batches_read(vocab, ids, rotated)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, begun, strict=True))
    assert [new for _, new in moved] == [True] + [False] * (len(moved) - 1)
    # Each row is a piece of the text, taken as a ring, and goes on where the batch before stopped.
    ring = np.concatenate([ids, ids])
    rows = torch.cat([x for x, _ in moved], dim=1).numpy()
    starts = [
        next(i for i in range(len(ids)) if np.array_equal(ring[i : i + len(row)], row))
        for row in rows
    ]
    assert starts[0] != 0
    again = batches_read(vocab, ids, rotated)[1]
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(moved, again, strict=True))


def test_a_run_with_rotated_streams_goes_on(vocab, ids, tmp_path):
    config = replace(CONFIG, steps=150, rotate_streams=True)
    expected = fit(fresh(vocab), ids, None, config)

    def stop(history):
        if len(history) == 80:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(fresh(vocab), ids, None, config, stop, Checkpoints(tmp_path, vocab, every=70))
    kept = Checkpoints(tmp_path, vocab, every=70)
    assert values(fit(fresh(vocab), ids, None, config, checkpoints=kept)) == values(expected)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_with_smoothed_targets_by_hand(vocab, ids, accumulate):
    config = TrainingConfig(1, 4, 8, 0.1, "sgd", clip_norm=None, label_smoothing=0.2)
    config = replace(config, accumulate=accumulate)
    torch.manual_seed(0)
    model = CharRNN(len(vocab), 16, 1)
    old = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    x, y = (torch.from_numpy(part) for part in next(iter(Streams(ids, 4, 8))))
    logits, _ = model(x)
    log_p = F.log_softmax(logits, dim=-1)  # (B, T, V)
    target = 0.8 * F.one_hot(y, len(vocab)) + 0.2 / len(vocab)  # sums to 1
    (-(target * log_p).sum(-1).mean()).backward()
    plain = -log_p.gather(-1, y[..., None]).mean().item()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    history = fit(model, ids, None, config)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.detach(), old[name] - 0.1 * gradients[name])
    # What is shown is the loss of the characters themselves.
    assert history.rows[0]["loss"] == pytest.approx(plain, rel=1e-6)


def test_smoothing_leaves_padding_out():
    batches = PaddedBatches([np.array([1, 2, 3, 4]), np.array([1, 2])], 8, pad=0)
    config = TrainingConfig(1, learning_rate=0.1, optimizer="sgd", label_smoothing=0.5)
    torch.manual_seed(0)
    model = CharRNN(5, 8, 1)
    (x, y), *others = batches
    assert not others and (y == IGNORE).sum() == 2
    logits, _ = model(torch.from_numpy(x))
    read = torch.from_numpy(y != IGNORE)  # (B, T)
    log_p = F.log_softmax(logits, dim=-1)[read]  # (targets, V)
    target = 0.5 * F.one_hot(torch.from_numpy(y)[read], 5) + 0.1
    (-(target * log_p).sum(-1).mean()).backward()
    expected = model.output.bias.detach() - 0.1 * model.output.bias.grad
    fit(model, batches, None, config)
    torch.testing.assert_close(model.output.bias.detach(), expected)


def test_a_network_trained_with_smoothed_targets_is_less_sure(vocab, ids):
    sure = {}
    for smoothing in (0.0, 0.1):
        config = TrainingConfig(300, 4, 8, 1e-2, label_smoothing=smoothing)
        torch.manual_seed(0)
        model = CharRNN(len(vocab), 16, 1)
        fit(model, ids, None, config)
        logits, _ = model.eval()(torch.from_numpy(ids[None, :200]))
        sure[smoothing] = logits.softmax(-1).amax(-1).mean().item()
    assert sure[0.1] < sure[0.0] - 0.03


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


# Schedules and optimizers, held to PyTorch's own


def rates_of_pytorch(make, steps=50):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("settings", "make"),
    [
        ({"schedule": "constant"}, lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1.0)),
        (
            {"schedule": "step", "decay": 0.3, "decay_every": 7},
            lambda o: torch.optim.lr_scheduler.StepLR(o, 7, 0.3),
        ),
        (
            {"schedule": "one-cycle"},
            lambda o: torch.optim.lr_scheduler.OneCycleLR(
                o, 0.1, total_steps=51, cycle_momentum=False
            ),
        ),
        (
            {"schedule": "one-cycle", "warmup": 10},
            lambda o: torch.optim.lr_scheduler.OneCycleLR(
                o, 0.1, total_steps=51, pct_start=10 / 51, cycle_momentum=False
            ),
        ),
    ],
    ids=lambda part: part["schedule"] if isinstance(part, dict) else "",
)
def test_schedules_are_those_of_pytorch(settings, make):
    config = TrainingConfig(steps=51, learning_rate=0.1, **settings)
    assert [config.rate_at(step) for step in range(1, 51)] == pytest.approx(rates_of_pytorch(make))


@pytest.mark.parametrize("warmup", [0, 1, 3])
def test_the_shortest_one_cycle(warmup):
    config = TrainingConfig(steps=3, learning_rate=1.0, schedule="one-cycle", warmup=warmup)
    rates = [config.rate_at(step) for step in (1, 2, 3)]
    assert max(rates) <= 1
    assert all(rate > 0 for rate in rates)


@pytest.mark.parametrize(
    ("optimizer", "options", "kind"),
    [
        ("adam", {"betas": (0.5, 0.9)}, torch.optim.Adam),
        ("adamw", {"weight_decay": 0.3}, torch.optim.AdamW),
        ("rmsprop", {"alpha": 0.9}, torch.optim.RMSprop),
        ("sgd", {"momentum": 0.9}, torch.optim.SGD),
    ],
)
def test_fit_takes_the_steps_of_a_bare_loop(vocab, ids, optimizer, options, kind):
    config = TrainingConfig(
        5, 4, 8, 1e-2, optimizer, options, schedule="step", decay_every=2, clip_norm=0.2
    )
    torch.manual_seed(0)
    model, bare = CharRNN(len(vocab), 16, 2), CharRNN(len(vocab), 16, 2)
    bare.load_state_dict(model.state_dict())
    fit(model, ids, None, config)
    theirs = kind(bare.parameters(), lr=1e-2, **options)
    state, streams = None, Streams(ids, 4, 8)
    for step in range(5):
        x, y = (torch.from_numpy(part) for part in streams.batch(step))
        logits, state = bare(x, state)
        state = tuple(part.detach() for part in state)
        theirs.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), y.flatten()).backward()
        torch.nn.utils.clip_grad_norm_(bare.parameters(), 0.2)
        theirs.param_groups[0]["lr"] = 1e-2 * 0.5 ** (step // 2)
        theirs.step()
    for a, b in zip(model.parameters(), bare.parameters(), strict=True):
        torch.testing.assert_close(a, b)


# Early stopping, accumulation, precision


def test_early_stopping_gives_the_best_weights_back(vocab, ids, capsys):
    config = TrainingConfig(200, 4, 8, learning_rate=0.5, eval_every=3, patience=2)
    model = fresh(vocab)
    history = fit(model, ids, ids[:100], config)
    assert history.ended == "early"
    steps, losses = history.column("valid_loss")
    best = int(np.argmin(losses))
    assert len(losses) == best + 3
    assert evaluate(model, ids[:100]) == pytest.approx(losses[best], rel=1e-5)
    said = capsys.readouterr().out
    assert f"Stopped early at step {steps[-1]}" in said
    assert f"that of step {steps[best]}." in said


def test_with_patience_the_best_weights_come_back_after_all_steps_too(vocab, ids):
    config = TrainingConfig(9, 4, 8, learning_rate=0.5, eval_every=1, patience=100)
    model = fresh(vocab)
    history = fit(model, ids, ids[:100], config)
    assert history.ended == "all steps"
    assert history.rows[-1]["valid_loss"] > history.best_valid_loss  # else this shows nothing
    assert evaluate(model, ids[:100]) == pytest.approx(history.best_valid_loss, rel=1e-5)


def test_patience_needs_something_to_validate_on(vocab, ids):
    with pytest.raises(ValueError, match="give valid_ids"):
        fit(fresh(vocab), ids, None, TrainingConfig(5, 4, 8, patience=1))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulated_gradients_are_those_of_the_whole_batch(vocab, ids, cell, accumulate):
    histories, seen = [], []
    for parts in (1, accumulate):
        torch.manual_seed(0)
        model = CharRNN(len(vocab), 16, 2, cell=cell).double()
        model.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
        histories.append(fit(model, ids, ids[:50], TrainingConfig(12, 4, 32, accumulate=parts)))
    for name in ("loss", "grad_norm", "valid_loss"):
        one, other = (history.column(name)[1] for history in histories)
        np.testing.assert_allclose(other, one, rtol=1e-6)
    assert 4 // accumulate in seen


@pytest.mark.skipif(not has_bfloat16(CPU), reason="this processor cannot train in bfloat16")
def test_bfloat16_trains_almost_as_float32_and_keeps_float32_weights(vocab, ids):
    losses = {}
    for precision in ("float32", "bfloat16"):
        model = fresh(vocab)
        dtypes = set()
        model.output.register_forward_hook(lambda _, __, out, seen=dtypes: seen.add(out.dtype))
        torch.manual_seed(1)
        config = TrainingConfig(60, 4, 16, 1e-2, precision=precision)
        history = fit(model, ids, None, config)
        losses[precision] = history.column("loss")[1]
        assert history.precision == precision
        assert dtypes == {getattr(torch, precision)}
        assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not np.array_equal(*losses.values())
    np.testing.assert_allclose(losses["bfloat16"], losses["float32"], atol=0.15)
    assert losses["bfloat16"][-5:].mean() < 0.9 * losses["bfloat16"][0]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_scaled_loss_changes_no_digit(vocab, ids, monkeypatch, accumulate):
    config = replace(CONFIG, accumulate=accumulate)
    model = fresh(vocab)
    expected = fit(model, ids, None, config)
    monkeypatch.setattr(training, "_loss_scale", lambda *_: 1024)
    scaled = fresh(vocab)
    assert values(fit(scaled, ids, None, config)) == values(expected)
    assert all(torch.equal(w, scaled.state_dict()[n]) for n, w in model.state_dict().items())


@pytest.mark.parametrize(
    ("device", "precision", "targets", "expected"),
    [
        ("cuda", "bfloat16", 8192, 1024),
        ("cuda", "bfloat16", 60_000, 8192),
        ("cuda", "bfloat16", 4, 1),
        ("cuda", "float32", 8192, 1),
        ("cpu", "bfloat16", 8192, 1),
    ],
)
def test_the_loss_is_scaled_where_an_lstm_runs_in_float16(device, precision, targets, expected):
    assert training._loss_scale(torch.device(device), precision, targets) == expected


def test_where_bfloat16_fails_fit_says_so_and_trains_in_float32(vocab, ids, monkeypatch, capsys):
    def refuse(*_, **__):
        raise RuntimeError("could not create a primitive descriptor")

    monkeypatch.setattr(nn.LSTM, "forward", refuse)
    has_bfloat16.cache_clear()
    before = torch.random.get_rng_state()
    try:
        assert not has_bfloat16(CPU)  # tried, not known by name
        assert torch.equal(torch.random.get_rng_state(), before)
        monkeypatch.undo()
        histories = []
        for precision in ("bfloat16", "float32"):
            torch.manual_seed(1)
            config = TrainingConfig(4, 4, 8, precision=precision)
            histories.append(fit(fresh(vocab), ids, None, config, progress=False))
    finally:
        has_bfloat16.cache_clear()
    assert [history.precision for history in histories] == ["float32", "float32"]
    assert np.array_equal(*(history.column("loss")[1] for history in histories))
    said = capsys.readouterr().out
    assert said == "This machine (cpu) cannot train in bfloat16; it trains in float32.\n"


def test_bfloat16_is_tried_where_gradients_are_turned_off_too():
    expected = has_bfloat16.__wrapped__(CPU)
    with torch.no_grad():
        assert has_bfloat16.__wrapped__(CPU) is expected
    with torch.inference_mode():
        assert has_bfloat16.__wrapped__(CPU) is expected


def test_a_gpu_that_only_imitates_bfloat16_does_not_have_it(monkeypatch):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation
    )
    assert not has_bfloat16.__wrapped__(torch.device("cuda"))


# Losses that are not finite


def break_at(model, step, healed_at=None):
    """Return an on_step that puts a NaN into the model after a step, and takes it out later."""
    whole = model.output.weight[0, 0].item()

    def on_step(history):
        if len(history) in (step, healed_at):
            with torch.no_grad():
                model.output.weight[0, 0] = math.nan if len(history) == step else whole

    return on_step


def test_a_step_that_is_not_finite_is_skipped_counted_and_said(vocab, ids, capsys):
    model = fresh(vocab)
    history = fit(model, ids, ids[:100], CONFIG, break_at(model, 4, healed_at=6))
    assert [row["step"] for row in history.rows if row["skipped"]] == [5, 6]
    assert history.skipped == 2
    row = history.rows[4]
    assert row["loss"] is row["grad_norm"] is row["clipped_norm"] is row["valid_loss"] is None
    assert len(history.column("loss")[1]) == 10
    assert history.clipped_share < 1
    assert all(p.isfinite().all() for p in model.parameters())
    said = capsys.readouterr().out
    assert "Step 5 skipped: its loss is nan" in said
    assert "Skipped so far: 2." in said


def test_an_infinite_gradient_is_skipped_though_the_loss_is_finite(vocab, ids):
    model, before = fresh(vocab), {}
    calls = []

    def explode(grad):
        calls.append(1)
        if len(calls) == 3:
            before.update({n: p.clone() for n, p in model.named_parameters()})
            return grad * math.inf
        return grad

    model.output.bias.register_hook(explode)

    def on_step(history):
        if len(history) == 3:
            assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())

    history = fit(model, ids, None, CONFIG, on_step)
    assert [row["skipped"] for row in history.rows] == [False] * 2 + [True] + [False] * 9
    assert history.rows[2]["loss"] > 0


def test_the_state_starts_at_zero_after_a_skipped_step(vocab, ids):
    given = []

    class Spy(CharRNN):
        def forward(self, x, state=None):
            if self.training:
                given.append(state)
            logits, state = super().forward(x, state)
            if len(given) == 3:
                logits, state = logits * math.nan, tuple(s * math.nan for s in state)
            return logits, state

    history = fit(Spy(len(vocab), 8, 1), ids, None, CONFIG)
    assert history.skipped == 1
    assert given[3] is None
    assert given[4] is not None


def test_divergence_stops_with_a_word_and_the_history(vocab, ids):
    model = fresh(vocab)
    config = TrainingConfig(steps=50, batch_size=4, seq_len=8)
    with pytest.raises(TrainingDiverged, match="up to step 14.*still those of step 4") as error:
        fit(model, ids, None, config, break_at(model, 4))
    assert len(error.value.history) == 14
    assert error.value.history.skipped == 10


def test_text_shorter_than_a_batch_says_why(vocab, ids):
    with pytest.raises(ValueError, match="too short for one batch of 4 × 8"):
        fit(fresh(vocab), ids[:20], None, CONFIG)


@pytest.mark.parametrize("which", ["training", "validation"])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.array([1]), "The {} text has under 2 characters"),
        (np.array([0, 999]), "999 in the {} text is no id"),
    ],
)
def test_texts_are_checked_before_training_begins(vocab, ids, which, bad, message):
    texts = {"training": ids, "validation": ids[:50], which: bad}
    with pytest.raises(ValueError, match=message.format(which)):
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
        {"optimizer": "lion"},
        {"optimizer_options": {"momentum": 0.9}},
        {"optimizer_options": {"betas": (2.0, 0.9)}},
        {"precision": "float16"},
        {"label_smoothing": -0.1},
        {"label_smoothing": 1.0},
        {"label_smoothing": math.nan},
        {"label_smoothing": "0.1"},
        {"label_smoothing": None},
        {"rotate_streams": 1},
        {"rotate_streams": "yes"},
        {"decay": 0.0},
        {"decay_every": 0},
        {"patience": 0},
        {"accumulate": 0},
        {"batch_size": 4, "accumulate": 3},
        {"batch_size": 4.0},
        {"steps": None},
        {"clip_norm": "5"},
        {"warmup": 0.5},
        {"optimizer_options": {"weight_decay": np.float32(0.1)}},
        {"optimizer_options": {"fused": True, "foreach": True}},
        {"warmup": 6},
        {"optimizer_options": {"betas": [0.9]}},
        {"optimizer_options": {"betas": []}},
        {"optimizer_options": {"betas": {}}},
        {"optimizer_options": {"betas": [0.9, 0.99, 0.999]}},
        {"optimizer_options": {"betas": "ab"}},
        {"optimizer_options": {"eps": 10**400}},
        {"optimizer_options": {"eps": 10**30}},
        {"optimizer_options": {"betas": [0.9, 10**30]}},
        {"optimizer_options": {"weight_decay": 10**400}},
        {"optimizer_options": {"weight_decay": math.inf}},
        {"optimizer_options": {"eps": math.nan}},
        {"optimizer_options": {"differentiable": True}},
        {"optimizer_options": {"lr": 1.0}},
        {"optimizer_options": {1: 2}},
        {"optimizer_options": [0.9]},
        {"optimizer_options": "momentum"},
        {"optimizer_options": None},
        {"optimizer": ["adam"]},
        {"optimizer": None},
        {"schedule": {}},
        {"precision": np.array(["float32", "bfloat16"])},
        {"decay": 10**400},
        {"decay": 2.0, "schedule": "step", "decay_every": 1, "steps": 5000},
        {"learning_rate": 10**400},
        {"learning_rate": -(10**400)},
        {"learning_rate": 1e300},
        {"learning_rate": math.inf},
        {"learning_rate": "0.1"},
        {"learning_rate": 1j},
        {"learning_rate": True},
        {"steps": 10**400},
        {"steps": True},
        {"steps": math.inf},
        {"steps": "5"},
        {"batch_size": 10**400},
        {"batch_size": 2**63},
        {"seq_len": math.nan},
        {"warmup": -(10**400)},
        {"eval_every": 10**400},
        {"patience": "3"},
        {"clip_norm": 10**400},
        {"clip_norm": math.nan},
        {"clip_norm": 0.0},
        {"clip_norm": -1.0},
        {"clip_norm": None, "clip_value": math.nan},
        {"clip_norm": 1.0, "clip_value": 1.0},
    ],
)
def test_settings_without_meaning(setting):
    with pytest.raises(ValueError, match="|".join(setting)):
        TrainingConfig(**{"steps": 5, **setting})


@pytest.mark.parametrize("setting", [{"steps": 10**400}, {"optimizer": "x" * 10**5}])
def test_a_message_stays_short(setting):
    with pytest.raises(ValueError) as error:
        TrainingConfig(**{"steps": 5, **setting})
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("sizes", [{"batch_size": 10**15}, {"seq_len": 2**62}, {"batch_size": 99}])
def test_a_batch_that_is_larger_than_the_text_is_refused(vocab, ids, sizes):
    with pytest.raises(ValueError, match="is too short for one batch"):
        fit(fresh(vocab), ids, None, TrainingConfig(5, **sizes))


def test_what_never_comes_may_be_as_far_off_as_one_likes(vocab, ids):
    config = TrainingConfig(3, 4, 8, eval_every=2**62, decay_every=2**62, patience=2**62)
    assert len(fit(fresh(vocab), ids, ids[:50], config)) == 3


def test_numbers_from_numpy_become_plain():
    config = TrainingConfig(np.int64(5), learning_rate=np.float32(0.5), warmup=np.int8(2))
    assert [type(x) for x in (config.steps, config.learning_rate, config.warmup)] == [
        int,
        float,
        int,
    ]


def test_ids_must_be_integers(vocab, ids):
    with pytest.raises(
        ValueError, match="dtype of the training text is float64; ids must be integers"
    ):
        fit(fresh(vocab), ids + 0.5, None, CONFIG)


def test_a_history_without_rows():
    assert History().clipped_share == 0
    assert History().best_valid_loss == math.inf


def test_validations_that_are_not_finite_use_up_the_patience(vocab, ids, monkeypatch):
    monkeypatch.setattr("lstmlib.training.evaluate", lambda *_: math.nan)
    model = fresh(vocab)
    history = fit(model, ids, ids[:50], TrainingConfig(20, 4, 8, eval_every=2, patience=3))
    assert (len(history), history.ended) == (6, "early")
    assert history.column("valid_loss")[1].size == 0


def test_what_an_on_step_raises_carries_the_history(vocab, ids):
    def on_step(history):
        if len(history) == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as error:
        fit(fresh(vocab), ids, None, CONFIG, on_step)
    assert len(error.value.history) == 3


def test_the_loss_is_taken_in_float32(vocab, ids, monkeypatch):
    dtypes, real = set(), F.cross_entropy

    def spy(logits, target, **settings):
        dtypes.add(logits.dtype)
        return real(logits, target, **settings)

    monkeypatch.setattr(F, "cross_entropy", spy)
    fit(fresh(vocab), ids, None, TrainingConfig(2, 4, 8, precision="bfloat16"))
    assert dtypes == {torch.float32}


def test_history_file_round_trip(tmp_path, vocab, ids):
    history = fit(fresh(vocab), ids, ids[:100], CONFIG)
    history.save(tmp_path / "h.jsonl")
    assert History.load(tmp_path / "h.jsonl").rows == history.rows


def row(step, **changes):
    return {"step": step, "loss": 2.0, "grad_norm": 1.0, "valid_loss": None} | changes


LINES = [json.dumps(row(1)), json.dumps(row(2, valid_loss=2.5)), json.dumps(row(4))]


def write(path, *lines):
    data = [line if isinstance(line, bytes) else line.encode() for line in lines]
    path.write_bytes(b"\n".join(data) + b"\n")
    return path


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("]", "Expecting value at column 1"),
        ("{", "Expecting property name enclosed in double quotes at column 2"),
        (LINES[1] + LINES[1], "Extra data at column"),
        (LINES[1][:-9], "at column"),
        ("[" * 10**5, "recursion"),
        ('{"step": ' + "9" * 5000, "digits"),
        (b'{"step": \x82', "'utf-8' codec"),
        ("[1, 2]", "has no columns"),
        ("5", "has no columns"),
        (json.dumps({"step": 2}), "missing: loss, grad_norm"),
        (json.dumps(row(2) | {"los": 1}), "other columns: ..los"),
        (json.dumps(row(2, loss="2")), "loss is '2', not a number"),
        (json.dumps(row(2, loss=[2])), r"loss is \[2\], not a number"),
        (json.dumps(row(2, loss=True)), "loss is True, not a number"),
        (json.dumps(row(2, loss=10**400)), "loss is 1000.*, not a number"),
        (json.dumps(row(2, diagnostics=[])), r"diagnostics is \[\]"),
        (json.dumps(row(2, skipped=1)), "skipped is 1"),
        (json.dumps(row(2.5)), "step is 2.5"),
        (json.dumps(row(None)), "step is None"),
        (json.dumps(row(0)), "step is 0"),
        (json.dumps(row(1)), "step 1 follows on step 1"),
    ],
    ids=lambda part: str(part)[:20],
)
def test_a_line_that_is_no_row_is_named_with_its_file(tmp_path, monkeypatch, line, message):
    write(tmp_path / "h.jsonl", LINES[0], line, LINES[2])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HistoryError, match=f"{tmp_path}/h.jsonl, line 2, is no row .*{message}"):
        History.load("h.jsonl")


def test_every_line_of_a_history_is_checked(tmp_path):
    first = write(tmp_path / "first", json.dumps({"step": 1}), *LINES[1:])
    with pytest.raises(HistoryError, match="first, line 1, is no row"):
        History.load(first)
    with pytest.raises(HistoryError, match="last, line 4, is no row"):
        History.load(write(tmp_path / "last", *LINES, LINES[0][:-5]))


@pytest.mark.parametrize("path", ["none.jsonl", ".", "nul\0"])
def test_a_history_that_cannot_be_read_is_named_in_full(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HistoryError, match=f"{tmp_path}.* cannot be read"):
        History.load(path)


def test_marks_and_line_ends_of_other_systems_are_no_part_of_a_history(tmp_path):
    lines = [b"\xef\xbb\xbf" + LINES[0].encode() + b"\r", b"", LINES[1] + "\r"]
    history = History.load(write(tmp_path / "h", *lines, b"\xef\xbb\xbf" + LINES[2].encode()))
    assert history.rows == [json.loads(line) for line in LINES]


def test_recorded_histories_are_read():
    paths = sorted((Path(__file__).parents[2] / "runs").glob("*/**/history.jsonl"))
    assert len(paths) > 20
    for path in paths:
        assert len(History.load(path)) > 50
