"""A run that leaves its steps to the device, as on CUDA: here the same code runs on the CPU.

A fused optimizer of PyTorch skips a step on a CPU as it does on a GPU.
"""

import contextlib
import gc
import math
import pickle
import weakref
from dataclasses import replace

import pytest
import torch
from test_training import break_at, fresh, values

from lstmlib import training
from lstmlib.checkpoints import Checkpoints, optimizer_tensors
from lstmlib.clipping import clip_by_global_norm, clip_by_norm_deferred
from lstmlib.history import TrainingDiverged
from lstmlib.settings import TrainingConfig
from lstmlib.training import FETCH_EVERY, evaluate, fit

CONFIG = TrainingConfig(
    steps=60,
    batch_size=4,
    seq_len=8,
    eval_every=1000,
    learning_rate=1e-2,
    optimizer_options={"fused": True},
    clip_norm=1.0,
)
OPTIMIZERS = [("adam", {}), ("adamw", {"weight_decay": 0.1}), ("sgd", {})]


@pytest.fixture
def deferred(monkeypatch):
    """Let every run leave its steps to the device."""
    monkeypatch.setattr(training, "_defers", lambda optimizer, device: True)


@pytest.fixture
def fetched(monkeypatch):
    """Return a list that grows by the number of steps of each look at the device."""
    looks, fetch = [], training._Run.fetch

    def counted(run):
        looks.extend([len(run.unseen)] * bool(run.unseen))
        fetch(run)

    monkeypatch.setattr(training._Run, "fetch", counted)
    return looks


def weights(model):
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def near(history, other):
    for row, expected in zip(values(history), values(other), strict=True):
        assert row.keys() == expected.keys()
        for name, value in row.items():
            assert value == (
                expected[name] if value is None else pytest.approx(expected[name], rel=1e-4)
            )


@pytest.mark.parametrize(("optimizer", "options"), OPTIMIZERS)
@pytest.mark.parametrize(
    "settings",
    [
        {"clip_norm": 1.0},
        {"clip_norm": None},
        {"clip_value": 0.01},
        {"agc_factor": 0.1},
        {"label_smoothing": 0.2, "accumulate": 2},
    ],
    ids=str,
)
@pytest.mark.slow
def test_the_steps_are_those_of_a_run_that_waits(
    vocab, ids, monkeypatch, optimizer, options, settings
):
    options = options | {"fused": True}
    settings = {"clip_norm": None} | settings
    config = replace(CONFIG, optimizer=optimizer, optimizer_options=options, **settings)
    expected = fresh(vocab)
    waited = fit(expected, ids, ids[:100], config)
    monkeypatch.setattr(training, "_defers", lambda optimizer, device: True)
    model = fresh(vocab)
    near(fit(model, ids, ids[:100], config), waited)
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, expected.state_dict()[name], rtol=1e-3, atol=1e-5)


def test_the_device_is_looked_at_every_so_many_steps(vocab, ids, deferred, fetched):
    history = fit(fresh(vocab), ids, None, CONFIG, on_step=len)
    assert fetched == [FETCH_EVERY, FETCH_EVERY, CONFIG.steps - 2 * FETCH_EVERY]
    assert all(row["loss"] > 0 and row["grad_norm"] > 0 for row in history.rows)
    seconds = history.column("seconds")[1]
    assert (seconds[1:] >= seconds[:-1]).all()


def test_who_looks_at_the_rows_sees_whole_ones(vocab, ids, deferred, fetched):
    seen = []
    fit(fresh(vocab), ids, None, CONFIG, lambda h: seen.append(h.rows[-1]["loss"]))
    assert fetched == [1] * CONFIG.steps
    assert all(loss > 0 for loss in seen)


@pytest.mark.parametrize(("optimizer", "options"), OPTIMIZERS)
def test_a_step_that_is_not_finite_leaves_weights_and_averages_alone(
    vocab, ids, deferred, capsys, optimizer, options
):
    config = replace(CONFIG, optimizer=optimizer, optimizer_options=options | {"fused": True})
    model, states = fresh(vocab), []
    breaks = break_at(model, 4, healed_at=6)
    optimizers, make = [], TrainingConfig.make_optimizer

    def on_step(history):
        breaks(history)
        if len(history) in (4, 6):
            averages = {n: t.clone() for n, t in optimizer_tensors(optimizers[0]).items()}
            states.append((weights(model), averages))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            TrainingConfig,
            "make_optimizer",
            lambda self, parameters: optimizers.append(make(self, parameters)) or optimizers[-1],
        )
        history = fit(model, ids, None, config, on_step)
    assert [row["step"] for row in history.rows if row["skipped"]] == [5, 6]
    (before, averages), (after, later) = states
    for name in before:
        same = before[name] == after[name]
        same[torch.isnan(before[name])] = True  # where the test broke it
        assert same.all(), name
    assert averages.keys() == later.keys()
    assert all(torch.equal(averages[name], later[name]) for name in averages)
    row = history.rows[4]
    assert row["loss"] is row["grad_norm"] is row["clipped_norm"] is None
    said = capsys.readouterr().out
    assert "Step 5 skipped: its loss is nan" in said
    assert "Skipped so far: 2." in said
    assert all(weight.isfinite().all() for weight in model.parameters())
    assert len(history.column("loss")[1]) == CONFIG.steps - 2


def test_an_infinite_gradient_is_skipped_though_the_loss_is_finite(vocab, ids, deferred):
    model, kept, calls = fresh(vocab), [], []

    def explode(grad):
        calls.append(1)
        return grad * math.inf if len(calls) == 3 else grad

    model.output.bias.register_hook(explode)
    history = fit(
        model, ids, None, CONFIG, lambda h: kept.append(weights(model)) if len(h) < 4 else None
    )
    assert [row["step"] for row in history.rows if row["skipped"]] == [3]
    assert history.rows[2]["loss"] > 0
    assert all(torch.equal(kept[1][name], kept[2][name]) for name in kept[1])


def test_the_state_starts_at_zero_after_a_skipped_step(vocab, ids, deferred):
    given = []

    class Spy(type(fresh(vocab))):
        def forward(self, x, state=None):
            given.append(state)
            logits, state = super().forward(x, state)
            if len(given) == 3:
                logits, state = logits * math.nan, tuple(part * math.nan for part in state)
            return logits, state

    history = fit(Spy(len(vocab), 8, 1), ids, None, replace(CONFIG, steps=6))
    assert history.skipped == 1
    assert all((part == 0).all() for part in given[3])
    assert all((part != 0).any() for part in given[4])


@pytest.mark.parametrize("last", [20, 60])
def test_divergence_ends_with_the_weights_of_the_last_good_step(vocab, ids, deferred, last):
    model, before = fresh(vocab), {}

    def on_step(history):
        """Break the model after step 4, and heal it after step 16: too late."""
        with torch.no_grad():
            if len(history) == 4:
                before.update(weights(model))
                model.output.weight[0, 0] = math.nan
            if len(history) == 16:
                model.output.weight[0, 0] = before["output.weight"][0, 0]

    config = replace(CONFIG, steps=last)
    with pytest.raises(TrainingDiverged, match="up to step 14.*still those of step 4") as error:
        fit(model, ids, None, config, on_step)
    assert len(error.value.history) == 14
    assert error.value.history.skipped == 10
    assert all(torch.equal(before[name], weight) for name, weight in weights(model).items())


def test_what_an_on_step_raises_carries_whole_rows(vocab, ids, deferred):
    def on_step(history):
        if len(history) == 7:
            raise KeyError("stop")

    with pytest.raises(KeyError) as error:
        fit(fresh(vocab), ids, None, CONFIG, on_step)
    assert [row["loss"] > 0 for row in error.value.history.rows] == [True] * 7


def test_a_run_that_was_broken_off_goes_on(vocab, ids, deferred, tmp_path):
    def stop(history):
        if len(history) == 33:
            raise KeyboardInterrupt

    whole = fresh(vocab)
    expected = fit(whole, ids, ids[:100], CONFIG)
    model = fresh(vocab)
    with pytest.raises(KeyboardInterrupt):
        fit(model, ids, ids[:100], CONFIG, stop, Checkpoints(tmp_path, vocab, every=30))
    again = fresh(vocab)
    history = fit(again, ids, ids[:100], CONFIG, checkpoints=Checkpoints(tmp_path, vocab, every=30))
    assert values(history) == values(expected)
    assert all(torch.equal(w, again.state_dict()[n]) for n, w in whole.state_dict().items())


def test_steps_skipped_before_a_break_are_counted_after_it(vocab, ids, deferred, tmp_path):
    def kept():
        return Checkpoints(tmp_path, vocab, every=1000)

    model = fresh(vocab)
    first = replace(CONFIG, steps=10)
    fit(model, ids, None, first, break_at(model, 4), checkpoints=kept())  # 6 skipped
    with pytest.raises(TrainingDiverged, match="up to step 14"):
        fit(model, ids, None, CONFIG, checkpoints=kept())


def test_clipping_in_one_go_is_clipping(model, ids):
    def gradients():
        model.zero_grad()
        logits, _ = model.eval()(torch.from_numpy(ids[:40])[None])
        torch.nn.functional.cross_entropy(logits[0], torch.from_numpy(ids[1:41])).backward()
        return [p.grad for p in model.parameters()]

    for limit in (0.01, 100.0):
        expected = gradients()
        norms = clip_by_global_norm(model.parameters(), limit)
        expected = [grad.clone() for grad in expected]
        found = gradients()
        unseen = clip_by_norm_deferred(model.parameters(), limit)
        assert [norm.item() for norm in unseen] == pytest.approx(norms, rel=1e-5)
        for grad, other in zip(found, expected, strict=True):
            torch.testing.assert_close(grad, other, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("device", "name", "options", "expected"),
    [
        ("cuda", "adam", {"fused": True}, True),
        ("cuda", "adamw", {"fused": True}, True),
        ("cuda", "sgd", {"fused": True}, True),
        ("cuda", "sgd", {"fused": True, "momentum": 0.9}, False),
        ("cuda", "adam", {}, False),
        ("cuda", "rmsprop", {}, False),
        ("cpu", "adam", {"fused": True}, False),
        ("mps", "adam", {"fused": True}, False),
    ],
)
def test_which_runs_leave_their_steps_to_the_device(device, name, options, expected):
    config = TrainingConfig(steps=1, optimizer=name, optimizer_options=options)
    optimizer = config.make_optimizer([torch.zeros(1, requires_grad=True)])
    assert training._defers(optimizer, torch.device(device)) is expected


def test_evaluation_looks_at_the_device_once(model, ids, monkeypatch):
    looks, item, tolist = [], torch.Tensor.item, torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "item", lambda t: looks.append(1) or item(t))
    monkeypatch.setattr(torch.Tensor, "tolist", lambda t: looks.append(1) or tolist(t))
    evaluate(model, ids, seq_len=16)
    assert looks == [1]


def test_divergence_that_a_look_found_is_not_lost(vocab, ids, deferred):
    breaks = break_at(model := fresh(vocab), 4)

    def on_step(history):
        breaks(history)
        with contextlib.suppress(TrainingDiverged):
            history.rows  # noqa: B018

    with pytest.raises(TrainingDiverged) as error:
        fit(model, ids, None, CONFIG, on_step)
    assert error.value.history.ended == ""
    assert len(error.value.history) == 14


@pytest.mark.parametrize("last", [20, 60])
def test_a_run_that_diverged_has_not_taken_all_steps(vocab, ids, deferred, last):
    model = fresh(vocab)
    with pytest.raises(TrainingDiverged) as error:
        fit(model, ids, None, replace(CONFIG, steps=last), break_at(model, 4))
    assert error.value.history.ended == ""


def test_an_error_is_not_replaced_by_that_of_a_look(vocab, ids, deferred, monkeypatch):
    def broken(run):
        raise RuntimeError("the device is lost")

    def on_step(history):
        if len(history) == 3:
            monkeypatch.setattr(training._Run, "_fill_in", broken)
            raise KeyError("stop")

    with pytest.raises(KeyError) as error:
        fit(fresh(vocab), ids, None, CONFIG, on_step)
    assert len(error.value.history) == 3


def test_a_history_does_not_keep_the_model_alive(vocab, ids, deferred):
    model = fresh(vocab)
    history, alive = fit(model, ids, None, CONFIG), weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None
    assert len(pickle.loads(pickle.dumps(history)).rows) == CONFIG.steps


def test_the_default_dtype_is_of_no_account(vocab, ids, deferred):
    model = fresh(vocab)
    torch.set_default_dtype(torch.float64)
    try:
        history = fit(model, ids, None, CONFIG)
    finally:
        torch.set_default_dtype(torch.float32)
    assert history.skipped == 0
    assert model.output.weight.dtype == torch.float32
