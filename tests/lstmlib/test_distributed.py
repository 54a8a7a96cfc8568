"""Several processes train one model: as one process would, together in all they decide."""

import contextlib
import io
import json
import os
import random
import runpy
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from lstmlib.batching import split
from lstmlib.checkpoints import Checkpoints
from lstmlib.diagnostics import Diagnostics, series
from lstmlib.history import History
from lstmlib.models import CharRNN, unwrap
from lstmlib.serialization import load_model, save_model
from lstmlib.settings import TrainingConfig
from lstmlib.training import fit
from lstmlib.vocab import Vocab

TEXT = "the quick brown fox jumps over the lazy dog. " * 40
pytestmark = pytest.mark.slow  # each test starts processes, which load PyTorch
ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = "experiments.train_distributed"
SECONDS = 300
"""After which a deadlock is taken for one."""
PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["lstmlib.training"])


def start(target, *arguments):
    """Start two processes of one gloo group, each of which calls target(rank, *arguments)."""
    store = arguments[0] / f"store-{time.monotonic_ns()}"
    processes = [
        PROCESSES.Process(target=join, args=(rank, store, target, arguments)) for rank in range(2)
    ]
    for process in processes:
        process.start()
    return processes


def join(rank, store, target, arguments):
    torch.set_num_threads(1)
    limit = timedelta(seconds=SECONDS)
    dist.init_process_group("gloo", f"file://{store}", limit, world_size=2, rank=rank)
    target(rank, *arguments)
    dist.destroy_process_group()


def kill(processes):
    """Kill processes all at once: stopped first, so that none notices another's end."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for process in processes:
            os.kill(process.pid, number)


def finish(processes, exit_code=0):
    """Wait for processes, which all end with one exit code; none is left behind."""
    deadline = time.monotonic() + SECONDS
    for process in processes:
        process.join(max(deadline - time.monotonic(), 0))
    hung = [process for process in processes if process.exitcode is None]
    for process in hung:
        process.kill()
        process.join()
    assert not hung
    assert {process.exitcode for process in processes} == {exit_code}


def train(config, wrap=lambda model: model, folder=None, on_step=None, look=None, **settings):
    """Train as every process does; return the bare model and the history."""
    vocab = Vocab.from_text(TEXT)
    train_ids, valid_ids = split(vocab.encode(TEXT), 0.1)
    torch.manual_seed(0)
    dtype = settings.pop("dtype", torch.float64)
    bare = CharRNN(len(vocab), 12, 2, embedding_size=5, **settings).to(dtype)
    for seed in (torch.manual_seed, random.seed, np.random.seed):
        seed(dist.get_rank() if dist.is_initialized() else 0)
    checkpoints = folder and Checkpoints(folder, vocab, every=3)
    history = fit(wrap(bare), train_ids, valid_ids, config, on_step, checkpoints, diagnostics=look)
    return bare, history


def leave(folder, name, run):
    """Write what a process has, for the test to read."""
    save_file(run[0].state_dict(), folder / f"{name}.model")
    run[1].save(folder / f"{name}.history")


def left(folder, name):
    """Read what `leave` wrote: weights, and rows without the clock."""
    rows = History.load(folder / f"{name}.history").rows
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    return load_file(folder / f"{name}.model"), rows


def assert_close(history, other, rtol):
    assert len(history) == len(other)
    for name in ("loss", "grad_norm", "clipped_norm", "learning_rate", "characters", "valid_loss"):
        (steps, one), (others, two) = history.column(name), other.column(name)
        assert len(steps) > 0
        assert np.array_equal(steps, others)
        np.testing.assert_allclose(one, two, rtol=rtol)


# As one process

# name: (settings of the training, settings of the model, tolerance)
CASES = {
    "lstm": ({"optimizer": "adamw"}, {}, 1e-10),
    "lstm in parts": ({"accumulate": 2, "clip_norm": 0.2}, {}, 1e-10),
    "cifg in parts": (
        {"accumulate": 4, "clip_norm": None, "clip_value": 0.01},
        {"cell": "cifg"},
        1e-10,
    ),
    "gru": ({"optimizer": "sgd", "schedule": "cosine"}, {"cell": "gru"}, 1e-10),
    "float32": ({}, {"dtype": torch.float32}, 1e-5),
    "bfloat16": ({"precision": "bfloat16"}, {"dtype": torch.float32}, 2e-2),
}


def run_case(name, wrap=lambda model: model):
    config, settings, _ = CASES[name]
    # 6 batches an epoch: the runs cross an epoch's end.
    config = {"learning_rate": 1e-2, "eval_every": 5, "patience": 9} | config
    return train(TrainingConfig(14, 8, 32, **config), wrap, **settings)


def run_cases(rank, folder):
    averages = []

    def average(state, bucket):
        averages.append(bucket.index())
        return allreduce_hook(state, bucket)

    def wrap(bare):
        model = DistributedDataParallel(bare)
        model.register_comm_hook(None, average)
        return model

    for name in CASES:
        leave(folder, f"{name} {rank}", run_case(name, wrap))
    assert len(averages) == 14 * len(CASES)  # once a step, into however many parts it is cut


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    finish(start(run_cases, folder))
    return folder


@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_as_one_with_the_whole_batch(cases, name):
    tolerance = CASES[name][2]
    model, history = run_case(name)
    (weights, rows), (others, other_rows) = (left(cases, f"{name} {rank}") for rank in (0, 1))
    assert rows == other_rows
    assert_close(History(rows), history, tolerance)
    assert weights.keys() == others.keys() == model.state_dict().keys()
    for key, weight in model.state_dict().items():
        assert torch.equal(weights[key], others[key])
        torch.testing.assert_close(weights[key], weight, rtol=tolerance, atol=tolerance)


def watch(wrap=lambda model: model):
    return train(TrainingConfig(6, 8, 32, 1e-2, clip_norm=0.2), wrap, look=Diagnostics())


def run_watched(rank, folder):
    leave(folder, str(rank), watch(DistributedDataParallel))


def test_two_processes_record_the_norms_that_one_records(tmp_path):
    finish(start(run_watched, tmp_path))
    alone = watch()[1].rows
    for rank in (0, 1):
        _, rows = left(tmp_path, str(rank))
        for name in ("gradient", "clipped", "update"):
            (steps, parts), (others, expected) = series(rows, name), series(alone, name)
            assert np.array_equal(steps, others) and parts.keys() == expected.keys()
            for part, norms in parts.items():
                np.testing.assert_allclose(norms, expected[part], rtol=1e-9)


# Together in all they decide


def break_second(rank, folder):
    """The second process has a loss of NaN at step 3, and an infinite gradient at step 5."""
    calls, said = {"forward": 0, "backward": 0}, io.StringIO()

    def forward(module, _, output):
        calls["forward"] += rank and module.training
        return (output[0] * (np.nan if calls["forward"] == 3 else 1), output[1])

    def backward(grad):
        calls["backward"] += rank
        return grad * (np.inf if calls["backward"] == 5 else 1)

    def wrap(bare):
        bare.register_forward_hook(forward)
        bare.output.bias.register_hook(backward)
        return DistributedDataParallel(bare)

    with contextlib.redirect_stdout(said):
        leave(folder, str(rank), train(TrainingConfig(8, 8, 32), wrap))
    (folder / f"said {rank}").write_text(said.getvalue())


def test_a_step_that_is_not_finite_in_one_process_is_skipped_in_all(tmp_path):
    finish(start(break_second, tmp_path))
    (weights, rows), (others, other_rows) = (left(tmp_path, str(rank)) for rank in (0, 1))
    assert rows == other_rows
    assert [row["step"] for row in rows if row["skipped"]] == [3, 5]
    assert rows[2]["loss"] is None
    assert rows[4]["loss"] > 0
    for name, weight in weights.items():
        assert weight.isfinite().all()
        assert torch.equal(weight, others[name])
    assert "Step 3 skipped: its loss is nan" in (tmp_path / "said 0").read_text()
    assert (tmp_path / "said 1").read_text() == ""


# Resumed

WITH_DROPOUT = TrainingConfig(20, 8, 32, 3e-2, "adamw", eval_every=4, patience=50)


def train_with_dropout(rank, folder, name, stop):
    drawn = []

    def on_step(history):
        drawn.append([len(history), torch.rand(()).item(), random.random(), np.random.rand()])
        if len(history) == stop:
            time.sleep(SECONDS)  # until the test kills it

    settings = {"dropout": 0.3, "dtype": torch.float32}
    run = train(WITH_DROPOUT, DistributedDataParallel, folder / name, on_step, **settings)
    leave(folder, f"{name} {rank}", run)
    (folder / f"{name} {rank} drawn").write_text(json.dumps(drawn))


def test_killed_and_started_again_it_is_the_run_that_was_never_stopped(tmp_path):
    # In mid-epoch, where a state is carried.
    checkpoint, deadline = tmp_path / "cut/step-00000009.safetensors", time.monotonic() + SECONDS
    processes = start(train_with_dropout, tmp_path, "cut", 11)
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    kill(processes)
    finish(processes, -signal.SIGKILL)
    finish(start(train_with_dropout, tmp_path, "cut", None))
    finish(start(train_with_dropout, tmp_path, "whole", None))
    for rank in (0, 1):
        weights, rows = left(tmp_path, f"cut {rank}")
        expected, expected_rows = left(tmp_path, f"whole {rank}")
        assert rows == expected_rows
        assert all(torch.equal(weights[key], expected[key]) for key in expected)
        drawn, expected_draws = (
            json.loads((tmp_path / f"{name} {rank} drawn").read_text()) for name in ("cut", "whole")
        )
        assert 0 < len(drawn) <= 11
        assert drawn == expected_draws[-len(drawn) :]
    tensors = load_file(tmp_path / "whole/step-00000020.safetensors")
    assert not torch.equal(tensors["random.cpu"], tensors["random1.cpu"])
    assert tensors["state.0"].shape[1] == 8
    assert not [name for name in tensors if "module" in name]
    best, _ = load_model(tmp_path / "whole/best.safetensors")
    assert all(torch.equal(best.state_dict()[key], expected[key]) for key in expected)


PLAIN = TrainingConfig(14, 8, 32, 1e-2, eval_every=5)


def stop_after(step):
    """Return an on_step that presses Ctrl-C after a step."""
    return lambda history: len(history) == step and signal.raise_signal(signal.SIGINT)


def interrupt_second(rank, folder):
    """Ctrl-C reaches the second process after step 9, and the first one never."""
    said, on_step = io.StringIO(), stop_after(9) if rank == 1 else None
    with contextlib.redirect_stdout(said):
        _, history = train(PLAIN, DistributedDataParallel, folder / "run", on_step)
    report = [len(history), history.ended, said.getvalue()]
    (folder / f"report {rank}").write_text(json.dumps(report))


def test_any_number_of_processes_goes_on_and_ctrl_c_in_one_ends_all(tmp_path):
    torch.set_num_threads(1)
    assert train(PLAIN, folder=tmp_path / "run", on_step=stop_after(4))[1].ended == "interrupted"
    finish(start(interrupt_second, tmp_path))
    reports = [json.loads((tmp_path / f"report {rank}").read_text()) for rank in (0, 1)]
    said = "Interrupted: model and history are those of step 9.\n"
    assert reports == [[9, "interrupted", said], [9, "interrupted", ""]]
    model, history = train(PLAIN, folder=tmp_path / "run")
    expected, expected_history = train(PLAIN)
    assert_close(history, expected_history, 1e-10)
    for weight, other in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-10, atol=1e-10)


def spoil(rank, folder):
    """The first process finds a broken checkpoint: what do all of them say?"""
    try:
        train(PLAIN, DistributedDataParallel, folder / "run")
    except Exception as error:
        (folder / f"error {rank}").write_text(f"{type(error).__name__}: {error}")


def test_an_error_with_the_checkpoints_is_raised_in_every_process(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/step-00000003.safetensors").write_bytes(b"broken")
    finish(start(spoil, tmp_path))
    first, second = ((tmp_path / f"error {rank}").read_text() for rank in (0, 1))
    assert first == second
    assert first.startswith("CheckpointError")


def test_a_compiled_model_leaves_files_with_the_names_of_the_bare_one(tmp_path):
    vocab = Vocab.from_text(TEXT)
    model = CharRNN(len(vocab), 8, 1)
    compiled = torch.compile(model, backend="eager")
    assert unwrap(compiled) is unwrap(model) is model
    fit(
        compiled,
        vocab.encode(TEXT),
        vocab.encode(TEXT[:99]),
        TrainingConfig(2, 4, 32),
        checkpoints=Checkpoints(tmp_path, vocab),
    )
    weights, tensors = model.state_dict(), load_file(tmp_path / "step-00000002.safetensors")
    assert {f"model.{name}" for name in weights} < tensors.keys()
    save_model(tmp_path / "model.safetensors", compiled, vocab)
    for name in ("best", "model"):
        loaded = load_model(tmp_path / f"{name}.safetensors")[0].state_dict()
        assert all(torch.equal(loaded[name], weights[name]) for name in weights)


# The launcher

ARGUMENTS = ["--hidden-size", "16", "--dropout", "0", "--steps", "300", "--seq-len", "16"]
ARGUMENTS += ["--learning-rate", "0.003", "--eval-every", "20"]


def launch(folder, batch_size):
    """Start the launcher under torchrun, with two processes on this machine."""
    (folder / "book.txt").write_text(TEXT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", LAUNCHER, "--text", str(folder / "book.txt"), "--out", str(folder / "run")]
    command += ["--batch-size", str(batch_size), *ARGUMENTS]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, text=True, env=environment, cwd=ROOT, **pipes)


def end_of(process):
    """Return what the launcher said, once it has ended."""
    try:
        return process.communicate(timeout=SECONDS)[0]
    finally:
        if process.poll() is None:
            process.terminate()  # torchrun ends its processes then
            process.wait(SECONDS)


def interrupted(folder, batch_size):
    """Launch, press Ctrl-C once a network is saved, and return what was said.

    On a busy machine the run may be over before the signal comes; then it is launched anew.
    """
    for _ in range(5):
        process, deadline = launch(folder, batch_size), time.monotonic() + SECONDS
        while not (folder / "run/best.safetensors").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said = end_of(process)
        if "ended: all steps." not in said:
            break
        shutil.rmtree(folder / "run")
    return said


def test_the_launcher_interrupted_and_started_again_does_what_one_process_does(
    tmp_path, monkeypatch
):
    said = interrupted(tmp_path, 8)
    assert said.count("Interrupted: model and history are those of step") == 1, said
    assert len(History.load(tmp_path / "run/history.jsonl")) < 300
    process = launch(tmp_path, 8)
    said = end_of(process)
    assert process.returncode == 0, said
    assert said.count("300 steps, ended: all steps.") == 1
    alone = ["", "--text", str(tmp_path / "book.txt"), "--out", str(tmp_path / "alone")]
    monkeypatch.setattr(sys, "argv", [*alone, "--batch-size", "8", *ARGUMENTS])
    runpy.run_module(LAUNCHER, run_name="__main__")
    run, alone = (History.load(tmp_path / name / "history.jsonl") for name in ("run", "alone"))
    # In float32, what rounding changes grows from step to step.
    assert_close(History(run.rows[:150]), History(alone.rows[:150]), 1e-2)
    assert_close(run, alone, 0.1)
    assert run.rows[-1]["valid_loss"] < 0.5 * run.rows[0]["loss"]
    model, vocab = load_model(tmp_path / "run/model.safetensors")
    assert model.config["hidden_size"] == 16
    assert vocab == Vocab.from_text(TEXT)


def test_a_batch_that_cannot_be_shared_out_gets_one_message(tmp_path):
    process = launch(tmp_path, 7)
    said = end_of(process)
    assert process.returncode != 0
    assert said.count("ValueError: batch_size is 7, over all processes together; with 2") == 1
    assert not list((tmp_path / "run").glob("*"))


def test_a_text_that_is_not_there_gets_one_message(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["", "--text", "no-such-book", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="ValueError: .*no-such-book"):
        runpy.run_module(LAUNCHER, run_name="__main__")
