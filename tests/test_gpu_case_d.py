"""Case D on a GPU: steps that are not waited for, captured ones, the time bound, and the stage."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from killed import run_until_it_has_written

from experiments import captured_step, train_windows
from experiments.captured_step import CaptureFailed, DeviceStep
from experiments.train_windows import Clock, Run, record
from lstmlib.models import load_model
from lstmlib.training import History, TrainingDiverged, evaluate

ROOT = Path(__file__).resolve().parents[1]
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
    return read(RUNS / NAME, "config.json") | SMALL


@pytest.fixture(autouse=True)
def short_texts(monkeypatch):
    monkeypatch.setattr(train_windows, "WRITTEN", 25)


def started(config, text, **options):
    return Run(config, text, waits=False, **options)


def steps(run, count):
    for _ in range(count):
        run.take_step()
    run.fetch()
    return run


# Steps that are not waited for


def test_steps_that_are_not_waited_for_are_those_that_are(config, text):
    norms = [norm for _, norm, _ in steps(Run(config, text), 20).interval]
    config |= {"clip_norm": sorted(norms)[10]}
    waited, run = steps(Run(config, text), 20), steps(started(config, text), 20)
    assert run.step == 20 and run.waits is False and waited.waits is True
    for a, b in zip(run.interval, waited.interval, strict=True):
        assert a == [pytest.approx(b[0], abs=1e-4), pytest.approx(b[1], rel=1e-2), b[2]]
    assert 0 < sum(clipped for _, _, clipped in run.interval) < 20
    assert run.epoch_total == pytest.approx(waited.epoch_total, rel=1e-4)
    for a, b in zip(run.model.parameters(), waited.model.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-3)


def test_nothing_is_looked_at_before_a_row_is_due(config, text):
    run = started(config | {"log_every": 5}, text)
    seen = []
    for _ in range(run.epoch_steps):
        run.take_step()
        seen.append(len(run.interval))
    due = [k for k in range(1, run.epoch_steps + 1) if k % 5 == 0 or k == run.epoch_steps]
    expected = [max([at for at in due if at <= k], default=0) for k in range(1, len(seen) + 1)]
    assert seen == expected


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_what_is_not_finite_leaves_the_weights_before_it(config, text, broken, monkeypatch):
    """Also where the steps after it are finite again: none of them is taken."""
    run, other = started(config, text), started(config, text)
    ordinary, calls = Run._loss, []

    def loss(self, model, examples):
        calls.append(len(calls))
        value = ordinary(self, model, examples)
        if len(calls) == 4:
            if broken == "loss":
                return value * math.inf
            value.register_hook(lambda gradient: gradient * math.nan)
        return value

    steps(other, 3)
    monkeypatch.setattr(Run, "_loss", loss)
    said = "loss of step 4 is inf" if broken == "loss" else "step 4 is .* gradient norm nan"
    with pytest.raises(TrainingDiverged, match=said):
        steps(run, 7)
    assert len(calls) == 7
    assert run.step == 3 and len(run.interval) == 3
    assert all(map(torch.equal, run.model.parameters(), other.model.parameters()))
    state = run.optimizer.state[run.device_step.parameters[0]]
    assert state["step"] == 3


def test_other_optimizers_are_waited_for_also_on_a_gpu(config, text):
    assert Run(config, text).waits
    assert "rmsprop" not in train_windows.NOT_WAITED_FOR


# Captured steps; a fake stands for the GPU


def prepared(config, text, capture):
    run = started(config | {"dropout": 0.3}, text)
    before = [w.clone() for w in run.model.parameters()]
    run.prepare(capture)
    assert all(map(torch.equal, before, run.model.parameters()))
    return run


def warmed_up(step, examples):
    """What cuda_graph does, without the graph."""
    before = step.copy()
    step(examples)
    step.restore(before)
    buffer = examples.clone()

    def replay(batch):
        buffer.copy_(batch)
        return step(buffer)

    return replay


def test_a_captured_step_that_proves_itself_is_used(config, text, monkeypatch):
    times = iter([1.0, 2.0])
    monkeypatch.setattr(captured_step, "_milliseconds", lambda *_: next(times))
    run = prepared(config, text, warmed_up)
    expected = {"kind": "captured", "milliseconds_captured": 1.0, "milliseconds_eager": 2.0}
    assert run.about_steps == expected
    assert not isinstance(run.device_step, DeviceStep)
    steps(run, 9)
    assert run.step == 9
    run.seconds = 1.0
    assert train_windows.summary(run, "time")["steps"] == expected


def old_batch(step, examples):
    return lambda batch: step(examples)


def no_update(step, examples):
    def take(batch):
        before = step.copy()
        result = step(batch)
        step.restore(before)
        return result

    return take


def same_dropout(step, examples):
    def take(batch):
        torch.manual_seed(0)
        return step(batch)

    return take


def not_a_number(step, examples):
    return lambda batch: step(batch) * math.nan


@pytest.mark.parametrize(
    ("capture", "why"),
    [
        (old_batch, "other losses|in another way"),
        (no_update, "other losses|in another way"),
        (not_a_number, "other losses"),
        (same_dropout, "the same dropout again and again"),
    ],
)
def test_a_captured_step_that_does_not_is_left(config, text, capture, why):
    run = prepared(config, text, capture)
    assert run.about_steps["kind"] == "eager"
    assert re.search(why, run.about_steps["why"])
    assert isinstance(run.device_step, DeviceStep)
    steps(run, 9)


def test_a_captured_step_that_is_not_faster_is_left(config, text, monkeypatch):
    monkeypatch.setattr(captured_step, "_milliseconds", lambda *_: 2.0)
    run = prepared(config, text, warmed_up)
    assert run.about_steps["why"] == "the captured step was not faster"


def test_an_error_in_a_capture_is_one_message(config, text):
    def capture(step, examples):
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    with pytest.raises(CaptureFailed, match="capture failed: operation not permitted$"):
        started(config, text).prepare(capture)


@pytest.mark.parametrize(
    ("change", "options", "why"),
    [
        ({}, {}, "CUDA graphs need a GPU, and this is a cpu"),
        ({}, {"eager": "The capture failed: x"}, "The capture failed: x"),
    ],
)
def test_without_a_capture_the_run_says_why(config, text, change, options, why):
    run = started(config | change, text, **options)
    run.prepare()
    assert run.about_steps == {"kind": "eager", "why": why}


def test_a_schedule_is_not_captured(config, text):
    run = started(config | {"schedule": "cosine"}, text)
    run.prepare(warmed_up)
    assert "one learning rate" in run.about_steps["why"]


# With a GPU

on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture
def on_gpu(config, text, monkeypatch):
    """A run whose step is a CUDA graph."""
    figure = {True: 2.0, False: 1.0}  # else it might not be faster, at this size
    monkeypatch.setattr(
        captured_step, "_milliseconds", lambda step, _: figure[isinstance(step, DeviceStep)]
    )
    run = Run(config | {"dropout": 0.3, "hidden_size": 32}, text, "cuda")
    assert run.waits is False
    run.prepare()
    assert run.about_steps["kind"] == "captured", run.about_steps
    return run


@on_a_gpu
def test_a_cuda_graph_trains_as_eager_steps_do(config, text, on_gpu):
    steps(on_gpu, 60)
    settings = on_gpu.config
    eager = steps(Run(settings, text, "cuda", eager="a test"), 60)
    assert eager.about_steps == {"kind": "eager", "why": "a test"}
    means = [sum(loss for loss, _, _ in run.interval[-10:]) / 10 for run in (on_gpu, eager)]
    assert means[0] == pytest.approx(means[1], abs=0.4)
    assert means[0] < on_gpu.interval[0][0] - 0.5
    assert len({tuple(entry) for entry in on_gpu.interval}) == 60


@on_a_gpu
def test_the_guard_is_in_the_graph(on_gpu):
    steps(on_gpu, 5)
    on_gpu.model.output.bias.data[0] = math.inf
    before = [w.clone() for w in on_gpu.model.parameters()]
    with pytest.raises(TrainingDiverged, match="step 6"):
        steps(on_gpu, 4)
    assert on_gpu.step == 5
    assert all(map(torch.equal, before, on_gpu.model.parameters()))


@on_a_gpu
def test_a_run_on_a_gpu_is_recorded_and_goes_on(tmp_path, config, text, monkeypatch):
    folder = tmp_path / NAME
    for epochs in (1, 9):
        run = Run(config | {"dropout": 0.3}, text, "cuda")
        bounded(run, folder, epochs, monkeypatch)
    result, _ = check_record(folder, config)
    assert result["ended"] == "all epochs" and result["steps"]["kind"] in ("captured", "eager")


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
    assert bounded(started(config, text), folder, 2, monkeypatch) == "time"
    result, rows = check_record(folder, config)
    assert (result["epochs"], result["ended"], result["valid_characters"]) == (2, "time", 50)
    killed = started(config, text)
    monkeypatch.setattr(train_windows, "finish", lambda *_: None)
    bounded(killed, folder, 1, monkeypatch)
    assert check_record(folder, config)[0]["ended"] == "cut off"
    assert not (folder / "samples.txt").exists() and not (folder / "model.safetensors").exists()
    monkeypatch.undo()
    assert bounded(started(config, text), folder, 9, monkeypatch) == "all epochs"
    result, longer = check_record(folder, config)
    assert longer[: len(rows)] == rows and result["epochs"] == 4
    whole = tmp_path / "whole" / NAME
    bounded(started(config, text), whole, 9, monkeypatch)
    pairs = zip(History.load(whole / "history.jsonl").rows, longer, strict=True)
    assert all(a | {"seconds": 0} == b | {"seconds": 0} for a, b in pairs)


def test_a_run_that_no_epoch_fits_into_says_so(tmp_path, config, text, monkeypatch):
    run = started(config, text)
    with pytest.raises(ValueError, match=f"Not one epoch of {run.epoch_steps} steps fits"):
        bounded(run, tmp_path / NAME, 0, monkeypatch)
    assert not list((tmp_path / NAME).iterdir())


def test_what_runs_out_of_time_in_an_epoch_keeps_the_whole_ones(
    tmp_path, config, text, monkeypatch
):
    folder = tmp_path / NAME
    folder.mkdir()
    run, ticks = started(config, text), Ticks(monkeypatch)
    ordinary = Run.take_step

    def take_step(self):
        ticks.now += 1 if self.step < 2 * self.epoch_steps else 5
        ordinary(self)

    monkeypatch.setattr(Run, "take_step", take_step)
    seconds = 3.2 * run.epoch_steps
    assert record(run, folder, Clock(seconds), tmp_path / "unfinished") == "cut off"
    result, rows = check_record(folder, config)
    assert (result["epochs"], rows[-1]["step"]) == (2, 2 * run.epoch_steps)


def test_the_first_characters_are_measured_and_no_others(config, text):
    run = started(config, text)
    steps(run, run.epoch_steps)
    run.write_row()
    assert run.rows[-1]["valid_loss"] == evaluate(run.model, run.valid_ids[:50])


def test_a_run_that_diverges_is_recorded_whole_with_finite_weights(
    tmp_path, config, text, monkeypatch
):
    folder = tmp_path / NAME
    folder.mkdir()
    run = started(config | {"clip_norm": None, "learning_rate": 1e37, "hidden_size": 64}, text)
    assert record(run, folder, Clock(60), tmp_path / "unfinished") == "diverged"
    result, _ = check_record(folder, run.config)
    assert result["ended"] == "diverged" and result["diverged_at"] >= 2
    assert result["epochs"] == 0 and result["training_loss"] is None
    assert all(w.isfinite().all() for w in run.model.parameters())
    assert (folder / "samples.txt").exists()


def test_a_model_that_is_too_large_is_left_out(tmp_path, config, text, monkeypatch, capsys):
    run = started(config, text)
    monkeypatch.setattr(train_windows, "LARGEST_MODEL", 2**16 + 100)
    train_windows.save_in_half(tmp_path / "model.safetensors", run.model, run.vocab)
    assert "left out" in capsys.readouterr().out and not list(tmp_path.iterdir())
    monkeypatch.undo()
    run.model.output.bias.data[0] = 1e6  # more than 16 bits hold
    train_windows.save_in_half(tmp_path / "model.safetensors", run.model, run.vocab)
    assert "left out" in capsys.readouterr().out and not list(tmp_path.iterdir())


def test_the_model_of_case_d_fits_into_its_file():
    config = read(RUNS / NAME, "config.json")
    model = train_windows.build_model(config, 100)
    count = train_windows.count_parameters(model)
    assert 2 * count < train_windows.LARGEST_MODEL - 2**16


@pytest.mark.parametrize("name", ["sample_characters", "valid_characters"])
def test_an_optional_setting_without_meaning_gets_one_message(config, text, name):
    with pytest.raises(ValueError, match=f"{name} is 0; it must be a whole number"):
        Run(config | {name: 0}, text)


def test_after_a_capture_that_failed_the_command_starts_anew_without_one(tmp_path, config, text):
    config |= {"epochs": 2, "corpus": str(tmp_path / "book.txt")}
    (tmp_path / "book.txt").write_text(text)
    (tmp_path / "config.json").write_text(json.dumps(config))
    code = """
from experiments import captured_step
def prepare(*_):
    raise captured_step.CaptureFailed("The capture failed: x")
captured_step.prepare = prepare
from experiments import train_windows
from experiments.train_windows import Run
def prepare(self, capture=None):
    if self.eager is None:
        raise captured_step.CaptureFailed("The capture failed: x")
Run.prepare = prepare
train_windows.main(train_windows.parse("", one_run=True))
"""
    command = [sys.executable, "-c", code, str(tmp_path), "--device", "cpu", "--seconds", "60"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "The capture failed: x. The run goes on without one." in done.stdout
    check_record(tmp_path, config)
    assert not list(tmp_path.glob("step-*"))


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
