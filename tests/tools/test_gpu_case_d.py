"""Case D on a GPU: steps that are left to the device, the time bound, and the stage."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from killed import run_until_it_has_written

from experiments import train_windows
from experiments.common import make_settings, read_config, read_settings
from experiments.train_windows import Clock, Run, RunCheckpoints, Settings, Watcher, record
from lstmlib import training
from lstmlib.history import History, TrainingDiverged
from lstmlib.serialization import load_model
from lstmlib.settings import OPTIMIZERS
from lstmlib.training import evaluate, fit

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs"

STAGE = str(ROOT / "tools" / "gpu_case_d.py")
NAME = "case-d-full"
SMALL = {
    "hidden_size": 8,
    "length": 10,
    "batch_size": 16,
    "epochs": 3,
    "valid_windows": 20,
    "log_every": 7,
    "sample_characters": 20,
    "valid_characters": 50,
    "learning_rate": 0.01,
    "dropout": 0.0,
}


def read(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


@pytest.fixture
def config():
    return read_config(RUNS / NAME) | SMALL


def of(config):
    """Return the settings that a config holds."""
    return make_settings(Settings, config, "config.json")


@pytest.fixture(autouse=True)
def short_texts(monkeypatch):
    monkeypatch.setattr(train_windows, "WRITTEN", 25)


# Steps that are left to the device


@pytest.fixture
def deferred(monkeypatch):
    """Let `fit` leave the steps to the device, as on CUDA: here the same code runs on the CPU."""
    monkeypatch.setattr(training, "_defers", lambda optimizer, device: True)


def fused(config):
    return config | {"optimizer_options": {"fused": True}}


def trained(config, text, folder, device="cpu"):
    """Take all steps of a run, and record nothing."""
    run = Run(of(config), text, device)
    train_windows.train(run, folder, RunCheckpoints(run, folder))
    return run


def test_steps_that_are_left_to_the_device_are_those_that_are_waited_for(
    tmp_path, config, text, monkeypatch
):
    config = fused(config) | {"clip_norm": 0.5}
    waited = trained(config, text, tmp_path / "waited")
    monkeypatch.setattr(training, "_defers", lambda optimizer, device: True)
    run = trained(config, text, tmp_path / "deferred")
    assert 0 < sum(row["clipped_share"] for row in run.rows) < len(run.rows)
    for row, expected in zip(run.rows, waited.rows, strict=True):
        assert row.keys() == expected.keys()
        for name in row.keys() - {"seconds"}:
            near = None if row[name] is None else pytest.approx(expected[name], rel=1e-3)
            assert row[name] == near
    for a, b in zip(run.model.parameters(), waited.model.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-3)


def test_nothing_is_looked_at_before_a_row_is_due(tmp_path, config, text, deferred, monkeypatch):
    """Or before `fit` looks itself."""
    looks, fetch = [], training._Run.fetch

    def counted(run):
        looks.extend([run.step] * bool(run.unseen))
        fetch(run)

    monkeypatch.setattr(training._Run, "fetch", counted)
    monkeypatch.setattr(training, "FETCH_EVERY", 10**6)
    run = trained(fused(config) | {"log_every": 5}, text, tmp_path)
    assert looks == [row["step"] for row in run.rows]
    assert all(step % 5 == 0 or step % run.epoch_steps == 0 for step in looks)


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_what_is_not_finite_leaves_the_weights_before_it(
    tmp_path, config, text, broken, waits, monkeypatch
):
    """Also where the steps after it are finite again: none of them is taken."""
    ordinary, calls = training._Backward._losses, []

    def losses(self, logits, y):
        calls.append(len(calls))
        loss, minimized = ordinary(self, logits, y)
        if len(calls) == 4:
            if broken == "loss":
                return loss * math.inf, minimized * math.inf
            minimized.register_hook(lambda gradient: gradient * math.nan)
        return loss, minimized

    other = Run(of(fused(config)), text)

    def on_step(history):
        history.ended = "interrupted" if len(history) == 3 else ""

    fit(other.model, other.windows, None, other.training, on_step, progress=False)
    monkeypatch.setattr(training, "_defers", lambda optimizer, device: not waits)
    monkeypatch.setattr(training._Backward, "_losses", losses)
    run = Run(of(fused(config)), text)
    with pytest.raises(TrainingDiverged, match="Step 4 had a loss or a gradient that was not fin"):
        train_windows.train(run, tmp_path, RunCheckpoints(run, tmp_path))
    assert len(calls) == (4 if waits else run.settings.log_every)
    assert run.step == 3
    assert [row["step"] for row in run.rows] == [3]
    assert all(map(torch.equal, run.model.parameters(), other.model.parameters()))


def test_case_d_is_left_to_the_device_and_case_a_is_not(config, text):
    for name, expected in ((NAME, True), ("case-a-lower-case", False)):
        of_case = {key: read(RUNS / name, "config.json")[key] for key in train_windows.TRAINING}
        settings = Run(of(config | of_case | {"batch_size": 16}), text).training
        options = {"fused": True} if settings.optimizer == "adam" else {}  # as on CUDA
        optimizer = OPTIMIZERS[settings.optimizer]([torch.zeros(1)], **options)
        assert training._defers(optimizer, torch.device("cuda")) is expected


# With a GPU


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_run_on_a_gpu_is_recorded_and_goes_on(tmp_path, config, text, monkeypatch):
    folder = tmp_path / NAME
    for epochs in (1, 9):
        run = Run(of(config | {"dropout": 0.3}), text, "cuda")
        bounded(run, folder, epochs, monkeypatch)
    result, _ = check_record(folder, config)
    assert result["ended"] == "all epochs"


# The time bound


class Ticks:
    """A clock that a test sets."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(train_windows.time, "monotonic", lambda: self.now)


def test_an_epoch_begins_only_if_one_as_long_as_the_longest_fits(monkeypatch):
    ticks = Ticks(monkeypatch)
    clock, fits = Clock(60, rest=10), []
    for seconds in (0, 12, 15, 12):  # the last one would end at 54
        ticks.now += seconds
        fits.append(clock.fits())
    assert fits == [True, True, True, False]
    assert clock.longest == 15


def test_a_first_epoch_that_cannot_end_is_given_up_early(monkeypatch):
    ticks = Ticks(monkeypatch)
    clock = Clock(60)
    clock.fits()
    ticks.now += 1
    assert not clock.hopeless(0.02)
    ticks.now += 4
    assert not clock.hopeless(0.1) and clock.hopeless(0.05)
    ticks.now += 60
    assert clock.hopeless(0.99)


def bounded(run, folder, epochs, monkeypatch):
    """Record a run whose clock allows so many epochs."""
    folder.mkdir(parents=True, exist_ok=True)
    allowed = iter([True] * epochs + [False])
    monkeypatch.setattr(Clock, "fits", lambda self: next(allowed))
    monkeypatch.setattr(Clock, "hopeless", lambda self, share: False)
    return record(run, folder, Clock(60), folder.parent / "unfinished")


def check_record(folder, config):
    """Hold what was recorded against itself."""
    result, rows = read(folder, "result.json"), History.load(folder / "history.jsonl").rows
    ends = [row for row in rows if row["epoch_loss"] is not None]
    assert result["epochs"] == len(ends) and [row["epoch"] for row in ends] == [*range(len(ends))]
    assert result["ended"] in ("all epochs", "time", "cut off", "diverged")
    assert (result["ended"] == "all epochs") == (len(ends) == config["epochs"])
    assert (result["diverged_at"] is not None) == (result["ended"] == "diverged")
    if result["ended"] == "diverged":
        assert result["diverged_at"] == (rows[-1]["step"] if rows else 0) + 1
    else:
        assert rows[-1]["epoch_loss"] is not None
    for name in ("valid_loss", "valid_window_loss"):
        assert result[name] == (ends[-1][name] if ends else None)
    assert result["lowest_training_loss"] == min((e["epoch_loss"] for e in ends), default=None)
    assert all(row["step"] % config["log_every"] == 0 or row in ends for row in rows[:-1])
    texts = [path.name for path in sorted(folder.glob("epoch-*.txt"))]
    assert texts == [f"epoch-{k:02}.txt" for k in range(1, len(ends) + 1)]
    for name in texts + ["samples.txt"] * (result["ended"] != "cut off"):
        said = (folder / name).read_text(encoding="utf-8")
        titles = re.findall(r"^--- temperature ([\d.]+) \(\d+% of the words known\)$", said, re.M)
        assert titles == ["0.5", "0.75", "1.0"]
    if (folder / "model.safetensors").exists():
        model, _ = load_model(folder / "model.safetensors")
        assert {w.dtype for w in model.parameters()} == {torch.float16}
        assert model.config["hidden_size"] == config["hidden_size"]
    return result, rows


def test_a_run_ends_after_the_last_whole_epoch_that_fits_and_goes_on(
    tmp_path, config, text, monkeypatch
):
    folder = tmp_path / NAME
    config |= {"epochs": 4, "dropout": 0.2}
    assert bounded(Run(of(config), text), folder, 2, monkeypatch) == "time"
    result, rows = check_record(folder, config)
    assert (result["epochs"], result["ended"], result["valid_characters"]) == (2, "time", 50)
    killed = Run(of(config), text)
    monkeypatch.setattr(train_windows, "finish", lambda *_: None)
    bounded(killed, folder, 1, monkeypatch)
    result, cut = check_record(folder, config)
    assert (result["epochs"], result["ended"]) == (3, "cut off") and cut[: len(rows)] == rows
    assert not (folder / "samples.txt").exists() and not (folder / "model.safetensors").exists()
    monkeypatch.undo()
    assert bounded(Run(of(config), text), folder, 9, monkeypatch) == "all epochs"
    result, longer = check_record(folder, config)
    assert longer[: len(cut)] == cut and result["epochs"] == 4
    whole = tmp_path / "whole" / NAME
    bounded(Run(of(config), text), whole, 9, monkeypatch)
    pairs = zip(History.load(whole / "history.jsonl").rows, longer, strict=True)
    assert all(a | {"seconds": 0} == b | {"seconds": 0} for a, b in pairs)


@pytest.mark.parametrize("epochs", [2, 3])
def test_without_time_for_another_epoch_what_a_killed_run_left_is_finished(
    tmp_path, config, text, monkeypatch, epochs
):
    """It was killed after it had recorded an epoch, and before it wrote its texts and its model."""
    folder = tmp_path / NAME
    killed = Run(of(config), text)
    with monkeypatch.context() as patch:
        patch.setattr(train_windows, "finish", lambda *_: None)
        patch.setattr(train_windows, "remove_unfinished", lambda *_: None)
        bounded(killed, folder, epochs, patch)
    assert read(folder, "result.json")["ended"] == "cut off"
    ended = bounded(Run(of(config), text), folder, 0, monkeypatch)
    assert ended == ("time" if epochs == 2 else "all epochs")
    result, rows = check_record(folder, config)
    assert result["epochs"] == epochs and rows[-1]["step"] == killed.step
    kept, _ = load_model(folder / "model.safetensors")
    for a, b in zip(kept.parameters(), killed.model.parameters(), strict=True):
        assert torch.equal(a, b.half())


def test_a_run_that_no_epoch_fits_into_says_so(tmp_path, config, text, monkeypatch):
    run = Run(of(config), text)
    with pytest.raises(ValueError, match=f"Not one epoch of {run.epoch_steps} steps fits"):
        bounded(run, tmp_path / NAME, 0, monkeypatch)
    assert not list((tmp_path / NAME).iterdir())


def test_what_runs_out_of_time_in_an_epoch_keeps_the_whole_ones_and_goes_on_in_it(
    tmp_path, config, text, monkeypatch
):
    folder, unfinished = tmp_path / NAME, tmp_path / "unfinished"
    folder.mkdir()
    run = Run(of(config), text)
    with monkeypatch.context() as patch:
        ticks, ordinary = Ticks(patch), Watcher.__call__

        def watch(watcher, history):
            ticks.now += 1 if len(history) <= 2 * run.epoch_steps else 5
            ordinary(watcher, history)

        patch.setattr(Watcher, "__call__", watch)
        assert record(run, folder, Clock(3.2 * run.epoch_steps), unfinished) == "cut off"
    result, rows = check_record(folder, config)
    assert (result["epochs"], rows[-1]["step"]) == (2, 2 * run.epoch_steps)
    assert 2 * run.epoch_steps < run.step < 3 * run.epoch_steps
    taken, ordinary = [], Watcher.__call__
    monkeypatch.setattr(
        Watcher, "__call__", lambda w, history: taken.append(len(history)) or ordinary(w, history)
    )
    assert record(Run(of(config), text), folder, Clock(600), unfinished) == "all epochs"
    assert taken == list(range(run.step + 1, 3 * run.epoch_steps + 1))
    assert check_record(folder, config)[0]["epochs"] == 3


def test_the_first_characters_are_measured_and_no_others(tmp_path, config, text):
    run = trained(config | {"epochs": 1}, text, tmp_path)
    assert run.rows[-1]["valid_loss"] == evaluate(run.model, run.valid_ids[:50])


def test_a_run_that_diverges_is_recorded_whole_with_finite_weights(tmp_path, config, text):
    folder = tmp_path / NAME
    folder.mkdir()
    config |= {"clip_norm": None, "learning_rate": 1e37, "hidden_size": 64}
    run = Run(of(config), text)
    assert record(run, folder, Clock(60), tmp_path / "unfinished") == "diverged"
    result, _ = check_record(folder, config)
    assert result["ended"] == "diverged" and result["diverged_at"] >= 2
    assert result["epochs"] == 0 and result["training_loss"] is None
    assert all(w.isfinite().all() for w in run.model.parameters())
    assert (folder / "samples.txt").exists()


def test_a_model_that_is_too_large_is_left_out(tmp_path, config, text, monkeypatch, capsys):
    run = Run(of(config), text)
    monkeypatch.setattr(train_windows, "LARGEST_MODEL", 2**16 + 100)
    train_windows.save_in_half(tmp_path / "model.safetensors", run.model, run.vocab)
    assert "left out" in capsys.readouterr().out and not list(tmp_path.iterdir())
    monkeypatch.undo()
    run.model.output.bias.data[0] = 1e6  # more than 16 bits hold
    train_windows.save_in_half(tmp_path / "model.safetensors", run.model, run.vocab)
    assert "left out" in capsys.readouterr().out and not list(tmp_path.iterdir())


def test_the_model_of_case_d_fits_into_its_file():
    model = train_windows.build_model(read_settings(RUNS / NAME, Settings), 100)
    count = train_windows.count_parameters(model)
    assert 2 * count < train_windows.LARGEST_MODEL - 2**16


@pytest.mark.parametrize("name", ["sample_characters", "valid_characters"])
def test_an_optional_setting_without_meaning_gets_one_message(config, name):
    with pytest.raises(ValueError, match=f"{name} is 0; it must be a whole number"):
        of(config | {name: 0})


# The stage


@pytest.fixture
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def command(out, *options):
    return [STAGE, "--out", str(out), "--seconds", "60", "--rehearse", *options]


def rehearse(out, *options):
    whole = [sys.executable, *command(out, *options)]
    return subprocess.run(whole, capture_output=True, text=True, timeout=120)


def needs_the_text():
    from lstmlib.corpora import load_corpus
    from lstmlib.decoding import CorpusError

    try:
        load_corpus("david-copperfield")
    except (CorpusError, OSError):
        pytest.skip("david-copperfield is not here")


def test_the_stage_is_rehearsed_and_killed_it_goes_on(tmp_path, one_thread):
    needs_the_text()
    sys.path.insert(0, str(ROOT / "tools"))
    import gpu_case_d

    config = read(RUNS / NAME, "config.json") | gpu_case_d.TINY
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    run_until_it_has_written("result.json", *command(cut))
    result, _ = check_record(cut / "runs" / NAME, config)
    assert (result["ended"], result["epochs"]) == ("cut off", 1)
    for out in (cut, whole):
        done = rehearse(out)
        assert done.returncode == 0, done.stderr
        assert "ended: all epochs" in done.stdout
        result, _ = check_record(out / "runs" / NAME, config)
        assert result["epochs"] == config["epochs"]
    a, b = (History.load(out / "runs" / NAME / "history.jsonl").rows for out in (cut, whole))
    assert [row | {"seconds": 0} for row in a] == [row | {"seconds": 0} for row in b]
    again = rehearse(cut)
    assert again.returncode == 0 and "recorded in" in again.stdout
    assert not list((cut / "runs").rglob("step-*"))


def test_without_a_gpu_the_stage_says_one_thing(tmp_path, one_thread):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = subprocess.run(
        [sys.executable, STAGE, "--out", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("case-d needs a GPU")
    assert not list(tmp_path.iterdir())


# What was recorded


def test_the_recorded_run_is_whole_and_of_its_config():
    if not (RUNS / NAME / "result.json").exists():
        pytest.skip("not yet recorded: it needs a GPU")
    config = read(RUNS / NAME, "config.json")
    result, rows = check_record(RUNS / NAME, config)
    assert result["epochs"] >= 1 and result["machine"] != "2 CPU cores, x86_64"
    assert rows[-1]["windows"] == rows[-1]["step"] * config["batch_size"]
    size = sum(path.stat().st_size for path in (RUNS / NAME).iterdir())
    assert size < 15 * 2**20
