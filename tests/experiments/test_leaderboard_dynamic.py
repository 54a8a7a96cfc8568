"""The leaderboard's second class: its way to tune, its clock, and what it recorded."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments import leaderboard, leaderboard_dynamic
from experiments.dynamic_evaluation import DynamicEvaluation

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "runs/leaderboard/dynamic"
RECORDED = sorted(FOLDER.glob("[cg]pu-*.json"))
TUNED = sorted(FOLDER.glob("tune-*.json"))
TEXT = "\n".join(f"ROMEO: to be {n}, or not to be {n * n}?" for n in range(800))
SMALL = {"hidden_size": 12, "batch_size": 4, "seq_len": 16}


@pytest.fixture(params=["cpu", "gpu"])
def small(request, monkeypatch):
    """The recipe of a kind of device with all of its parts, in a small network, for two seconds."""
    entry = leaderboard_dynamic.ENTRIES[request.param]
    recipe = json.loads(leaderboard.ENTRIES.read_text())[request.param][entry]["changes"]
    monkeypatch.setattr(leaderboard, "read_entries", lambda: {entry: recipe | SMALL})
    monkeypatch.setattr(leaderboard, "KIND", request.param)
    monkeypatch.setattr(leaderboard, "DEVICE", "cpu")
    monkeypatch.setattr(leaderboard, "SECONDS", 2.0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield request.param
    torch.set_num_threads(threads)


def test_the_tuning_walks_to_the_lowest_loss_in_each_number(small, monkeypatch):
    """Of a made-up loss, whose lowest place is known: above the start, below it, and at it."""
    begin, steps = leaderboard_dynamic.BEGIN, leaderboard_dynamic.STEPS
    lowest = {"rate": begin.rate * 1.5**3, "decay": begin.decay / 4, "floor": begin.floor}

    def loss(model, ids, squares, settings):
        away = [math.log(getattr(settings, n) / lowest[n]) / math.log(steps[n]) for n in lowest]
        return 1 + float(np.square(away).sum())

    monkeypatch.setattr(leaderboard_dynamic, "dynamic_loss", loss)
    tried = leaderboard_dynamic.tune(TEXT, 3, seed=1, limit=60)["tried"]
    best = min(tried, key=lambda each: each["loss"])
    for name, value in lowest.items():
        assert best[name] == pytest.approx(value, rel=0.05)
    hurried = leaderboard_dynamic.tune(TEXT, 3, seed=1, limit=-1)["tried"]
    assert hurried == tried[:1] == [{**vars(begin), "loss": tried[0]["loss"]}]


def test_the_tuning_writes_losses_that_the_ways_have(small):
    result = leaderboard_dynamic.tune(TEXT, 40, seed=1, limit=3)
    assert result["steps"] == 40
    assert min(each["loss"] for each in result["tried"]) < result["static_loss"]


def test_the_tuning_never_reads_the_last_tenth(small, monkeypatch):
    read = []
    monkeypatch.setattr(
        leaderboard_dynamic, "dynamic_loss", lambda model, ids, *_: read.append(ids) or 1.0
    )
    leaderboard_dynamic.tune(TEXT, 3, seed=1, limit=3)
    vocab, train_ids, tune_ids = leaderboard_dynamic.tuning_texts(TEXT)
    assert all(np.array_equal(ids, tune_ids) for ids in read)
    assert len(train_ids) + len(tune_ids) <= 0.9 * len(vocab.encode(TEXT))


def test_a_result_has_both_losses_and_the_whole_time(small):
    settings = DynamicEvaluation(rate=3e-4, decay=1e-3)
    result = leaderboard_dynamic.train(1, TEXT[:12_000], settings)
    assert result["seconds_of_training"] <= result["seconds"] <= 2.0
    assert result["dynamic_loss"] < result["static_loss"]
    assert 1 <= result["steps"] <= result["plan"]["steps"] and result["way"]["rate"] == 3e-4


def test_what_takes_too_long_is_no_result(small, monkeypatch):
    monkeypatch.setattr(leaderboard, "SECONDS", 1e-3)
    with pytest.raises(SystemExit, match="no result"):
        leaderboard_dynamic.train(1, TEXT[:12_000], DynamicEvaluation(rate=3e-4))


def test_training_asks_for_the_tuning(small, tmp_path):
    with pytest.raises(SystemExit, match="tune first"):
        leaderboard_dynamic.chosen(tmp_path)


def test_the_lowest_way_is_chosen(small):
    tried = json.loads((FOLDER / f"tune-{small}.json").read_text())["tried"]
    lowest = min(tried, key=lambda each: each["loss"])
    chosen = leaderboard_dynamic.chosen(FOLDER)
    assert {**lowest} == {**vars(chosen), "loss": lowest["loss"]}


def test_a_number_changes_to_two_digits():
    begin = DynamicEvaluation(rate=3e-5)
    assert leaderboard_dynamic.changed(begin, "rate", 1 / 1.5) == replace(begin, rate=2e-5)


# What is recorded


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_results_kept_the_rules(path):
    result, kind = json.loads(path.read_text()), path.name[:3]
    assert result["seconds"] <= {"cpu": 300, "gpu": 180}[kind]
    assert kind == "gpu" or result["threads"] == 2
    assert result["settings"] == leaderboard.all_settings(
        json.loads(leaderboard.ENTRIES.read_text())[kind], leaderboard_dynamic.ENTRIES[kind]
    )
    tried = json.loads((FOLDER / f"tune-{kind}.json").read_text())["tried"]
    lowest = min(tried, key=lambda each: each["loss"])
    assert result["way"] | {"loss": lowest["loss"]} == lowest


def test_both_kinds_of_device_are_recorded():
    assert [path.stem for path in TUNED] == ["tune-cpu", "tune-gpu"]
    assert {path.name[:3] for path in RECORDED} == {"cpu", "gpu"}


def test_the_readme_has_the_table_of_this_class():
    table = leaderboard_dynamic.MARK + leaderboard_dynamic.readme_table()
    assert table in (ROOT / "README.md").read_text(encoding="utf-8")
