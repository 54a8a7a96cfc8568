"""Trials of leaderboard settings: they never read the text that entries are measured on."""

import json

import numpy as np
import pytest
import torch

from experiments import leaderboard, tune_leaderboard
from lstmlib.training import evaluate
from lstmlib.vocab import Vocab

TEXT = "ROMEO: to be, or not to be, " * 400
SETTINGS = {
    "hidden_size": 4,
    "num_layers": 1,
    "batch_size": 2,
    "seq_len": 5,
    "learning_rate": 0.1,
    "warmup_share": 0.0,
}


@pytest.fixture
def board(tmp_path, monkeypatch):
    """A leaderboard of one small entry in a folder of its own; returns the folder."""
    entries = {leaderboard.KIND: {"recipe": {"what": "the recipe", "changes": SETTINGS}}}
    (tmp_path / "entries.json").write_text(json.dumps(entries))
    monkeypatch.setattr(leaderboard, "FOLDER", tmp_path)
    monkeypatch.setattr(leaderboard, "ENTRIES", tmp_path / "entries.json")
    monkeypatch.setattr(leaderboard, "read_text", lambda path: TEXT)
    return tmp_path


def test_trials_never_read_the_text_that_entries_are_measured_on():
    _, train_ids, tune_ids = tune_leaderboard.tuning_texts(TEXT)
    ids = Vocab.from_text(TEXT).encode(TEXT)
    measured = round(0.1 * len(ids))
    np.testing.assert_array_equal(np.concatenate([train_ids, tune_ids]), ids[:-measured])
    assert len(tune_ids) == round(0.05 * (len(ids) - measured))


def test_the_last_tenth_changes_nothing_in_a_trial(board):
    known = len(TEXT) - round(0.1 * len(TEXT))
    other = TEXT[:known] + TEXT[known:][::-1]
    first, second = (
        tune_leaderboard.trial("a", "recipe", {}, 1, 20, text) for text in (TEXT, other)
    )
    assert first == second


def test_a_trial_measures_the_last_weights_and_means_of_tails(board, monkeypatch):
    monkeypatch.setattr(tune_leaderboard, "TAILS", (0.25, 0.5))
    result = tune_leaderboard.trial("a", "recipe", {"learning_rate": 0.3}, 1, 4, TEXT)
    vocab, train_ids, tune_ids = tune_leaderboard.tuning_texts(TEXT)
    torch.manual_seed(1)
    model, config = leaderboard.prepare(SETTINGS | {"learning_rate": 0.3}, len(vocab), 4)
    tune_leaderboard.fit(model, train_ids, None, config, progress=False)
    last = evaluate(model, tune_ids)
    assert result["tuning_loss"] == pytest.approx(last)
    assert result["of_tails"]["0.25"] == pytest.approx(last)  # one step's mean
    assert result["of_tails"]["0.5"] != pytest.approx(last, rel=1e-6)
    assert tune_leaderboard.lowest(result) == min(last, result["of_tails"]["0.5"])


def test_a_trial_is_written_once_and_stands_in_the_table(board, monkeypatch, capsys):
    leaderboard.write_json(
        board / leaderboard.KIND / "steps.json", {"entries": {"recipe": {"steps": 8}}}
    )
    ask(monkeypatch, "less", "--changes", '{"batch_size": 4}')
    written = json.loads((board / f"tune/{leaderboard.KIND}-less-1.json").read_text())
    assert written["steps"] == 8 and written["settings"] == SETTINGS | {"batch_size": 4}
    ask(monkeypatch, "long", "--steps", "30", "--seed", "2")
    with pytest.raises(SystemExit, match="is there; remove it"):
        ask(monkeypatch, "less")
    capsys.readouterr()
    ask(monkeypatch, "--table")
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["30", "8"]  # more steps, a lower loss
    assert lines[1].endswith('less, 1, recipe, {"batch_size": 4}')


def ask(monkeypatch, *words):
    """Run the program with a command line."""
    monkeypatch.setattr("sys.argv", ["tune_leaderboard", *words, *["--threads", "1"]])
    tune_leaderboard.main()


def test_a_trial_needs_a_name(board, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        ask(monkeypatch)
    assert "say the name of the trial, or --table" in capsys.readouterr().err


def test_a_recorded_trial_is_its_entry_with_its_changes():
    entries = leaderboard.read_json(leaderboard.ENTRIES)
    paths = sorted((leaderboard.FOLDER / "tune").glob("*.json"))
    assert paths
    for path in paths:
        trial, kind = leaderboard.read_json(path), path.name.partition("-")[0]
        settings = leaderboard.all_settings(entries[kind], trial["of"]) | trial["changes"]
        assert trial["settings"] == settings, path.name
