"""A plan that is made once and kept, and a look at a run."""

import json
from dataclasses import replace

import pytest
import torch
from own_texts import ENGLISH, sentences

from lstmlib import book_run, thermometer
from lstmlib.batching import split
from lstmlib.book_run import check_up, kept_plan, run_folder
from lstmlib.checkpoints import CheckpointError, Checkpoints
from lstmlib.history import History
from lstmlib.models import CharRNN
from lstmlib.settings import TrainingConfig
from lstmlib.training import fit
from lstmlib.vocab import Vocab

TEXT = sentences(ENGLISH, 4_000)
VOCAB = Vocab.from_text(TEXT)


@pytest.fixture(autouse=True)
def one_speed(monkeypatch):
    """Let plans be those of a machine of one speed, however busy this one is."""
    monkeypatch.setattr(thermometer, "measure_speed", lambda *_: 20_000.0)


def test_a_plan_is_made_once(tmp_path, monkeypatch):
    plan = kept_plan(tmp_path / "run", TEXT, VOCAB, 0.02)
    monkeypatch.setattr(book_run, "plan", None)  # it cannot be made again
    assert kept_plan(tmp_path / "run", TEXT, VOCAB, 0.02) == plan
    assert isinstance(plan.training, TrainingConfig)


def test_the_plan_of_another_text_or_time_is_refused(tmp_path):
    kept_plan(tmp_path, TEXT, VOCAB, 0.02)
    with pytest.raises(CheckpointError, match="of another text or of 0.02 minutes. Choose another"):
        kept_plan(tmp_path, TEXT, VOCAB, 0.03)
    other = TEXT + "a"
    with pytest.raises(CheckpointError, match="plan of another text"):
        kept_plan(tmp_path, other, VOCAB, 0.02)


def test_a_plan_comes_before_the_checkpoints(tmp_path):
    (tmp_path / "step-00000003.safetensors").touch()
    with pytest.raises(CheckpointError, match="holds checkpoints, and no plan"):
        kept_plan(tmp_path, TEXT, VOCAB, 0.02)


@pytest.mark.parametrize("damage", ["cut", "renamed", "settings", "number"])
def test_a_damaged_plan_is_named(tmp_path, damage):
    kept_plan(tmp_path, TEXT, VOCAB, 0.02)
    path = tmp_path / "plan.json"
    notes = json.loads(path.read_text())
    if damage == "renamed":
        notes["format"] = "other"
    elif damage == "settings":
        notes["plan"]["training"]["steps"] = -1
    elif damage == "number":
        del notes["plan"]["expected"]["loss"]
    path.write_text(json.dumps(notes)[: 40 if damage == "cut" else None])
    with pytest.raises(CheckpointError, match="is no plan that one could go on with"):
        kept_plan(tmp_path, TEXT, VOCAB, 0.02)


def test_a_disk_that_is_full_leaves_no_half_plan(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(book_run, "atomic_write", full)
    with pytest.raises(CheckpointError, match=r"plan.json could not be written .*No space left"):
        kept_plan(tmp_path, TEXT, VOCAB, 0.02)
    assert not list(tmp_path.iterdir())


def test_each_text_and_time_has_a_folder_of_its_own(tmp_path):
    names = {
        run_folder(tmp_path, name, text, minutes)
        for name in ("a.txt", "b/c.epub")
        for text in (TEXT, TEXT + "x")
        for minutes in (1, 2.5)
    }
    assert len(names) == 8 and all(path.parent == tmp_path for path in names)
    assert run_folder(tmp_path, "Моя книга.txt", TEXT, 2.5).name.startswith("Моя-книга-")
    for minutes in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="minutes"):
            run_folder(tmp_path, "a", TEXT, minutes)


def test_a_run_that_is_stopped_goes_on_with_its_plan(tmp_path):
    """As the chapter does it: stopped in the middle, then the same lines again."""

    def the_cell(on_step=None):
        plan = kept_plan(tmp_path, TEXT, VOCAB, 0.02)
        torch.manual_seed(0)
        model = CharRNN(len(VOCAB), **plan.model)
        train, valid = split(VOCAB.encode(TEXT))
        config = replace(plan.training, steps=8, warmup=0, eval_every=4)
        kept = Checkpoints(tmp_path, VOCAB, every=2)
        return fit(model, train, valid, config, on_step, kept, progress=False), model

    def stop(history):
        if len(history) == 3:
            history.ended = "interrupted"

    stopped, _ = the_cell(stop)
    assert stopped.ended == "interrupted" and len(stopped) == 3
    assert "it was stopped by hand. Run the cell of the training again" in str(check_up(stopped))
    whole, model = the_cell()
    assert whole.ended in ("all steps", "early") and len(whole) > 3
    assert [row["loss"] for row in whole.rows[:3]] == [row["loss"] for row in stopped.rows]
    again, same = the_cell()
    assert len(again) == len(whole)
    for a, b in zip(model.parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b)


def rows(losses, norms=None, valid=None):
    """Return a history of these losses."""
    norms = norms or [1.0] * len(losses)
    valid = valid or {}
    return History(
        {
            "step": k + 1,
            "epoch": 0,
            "characters": 64 * (k + 1),
            "loss": loss,
            "grad_norm": norms[k],
            "clipped_norm": None if norms[k] is None else min(norms[k], 5.0),
            "learning_rate": 1e-3,
            "seconds": float(k),
            "valid_loss": valid.get(k + 1),
            "skipped": loss is None,
        }
        for k, loss in enumerate(losses)
    )


def test_a_healthy_run_is_called_healthy():
    history = rows([2.0 + 0.01 * (k % 7) for k in range(200)], valid={100: 1.9, 200: 1.8})
    history.ended = "all steps"
    found = check_up(history)
    assert found.healthy and found.steps == 200 and found.best_step == 200 and found.rise == 0
    text = str(found)
    assert "all steps were taken" in text and "No spike" in text and "by heart" not in text
    assert "Every loss and every gradient was finite" in text


def test_a_sick_run_is_called_sick():
    losses = [2.0 + 0.01 * (k % 7) for k in range(200)]
    losses[120], losses[150] = 9.0, None
    norms = [1.0 + 0.01 * (k % 5) for k in range(200)]
    norms[120], norms[150] = 80.0, None
    found = check_up(rows(losses, norms, {50: 1.5, 100: 1.4, 200: 1.9}))
    assert not found.healthy
    assert (found.skipped, found.spikes, found.bursts) == (1, (121,), (121,))
    assert found.clipped == 1 / 200 and found.largest == 80.0
    assert found.best_step == 100 and found.rise == pytest.approx(0.5)
    text = str(found)
    assert "not finite: 1. Halve" in text and "Spikes of the loss: 1, at steps 121." in text
    assert "lowest at step 100 and rose by 0.50" in text and "it has not ended" in text
    facts = " ".join(finding.fact for finding in found.findings)
    assert "not finite: 1." in facts and "Halve" not in facts


def test_of_many_spikes_the_first_are_named_and_all_are_counted():
    losses = [2.0 + 0.01 * (k % 7) for k in range(1200)]
    for k in range(120, 1200, 150):
        losses[k] = 9.0
    found = check_up(rows(losses, [1.0] * 1200))
    assert len(found.spikes) == 8
    assert "Spikes of the loss: 8, at steps 121, 271, 421, 571, 721 and 3 more." in str(found)


def test_only_a_run_that_was_stopped_is_to_be_gone_on_with():
    history = rows([2.0, 1.9])
    assert "again" not in str(check_up(history))
    history.ended = "interrupted"
    found = check_up(history)
    assert "stopped by hand. Run the cell of the training again: it goes on." in str(found)
    assert "again" not in found.findings[0].fact


def test_a_run_without_a_step_or_a_validation():
    with pytest.raises(ValueError, match="Train first"):
        check_up(History())
    found = check_up(rows([2.0, 1.9]))
    assert found.best_step == 0 and found.rise == 0
