"""Resuming: after kills, interrupts, full disks and broken files. The runs are real processes."""

import contextlib
import dataclasses
import errno
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import threading
import time
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lstmlib import training
from lstmlib.batching import split
from lstmlib.checkpoints import CheckpointError, Checkpoints
from lstmlib.history import TrainingDiverged
from lstmlib.models import CharRNN
from lstmlib.serialization import load_model, save_model, to_bytes
from lstmlib.settings import TrainingConfig
from lstmlib.training import fit
from lstmlib.vocab import Vocab

TEXT = "the quick brown fox jumps over the lazy dog. " * 40
CONFIG = TrainingConfig(
    steps=24,
    batch_size=4,
    seq_len=32,  # 12 batches an epoch: the run crosses an epoch's end
    learning_rate=2e-2,
    optimizer="adamw",
    schedule="cosine",
    warmup=4,
    eval_every=5,
    patience=3,
)
CONFIG_PLAIN = TrainingConfig(6, 4, 32)
pytestmark = pytest.mark.slow  # many a test starts processes, and kills them
PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["lstmlib.training"])


def texts():
    vocab = Vocab.from_text(TEXT)
    return vocab, *split(vocab.encode(TEXT), 0.1)


def start(folder, config=CONFIG, on_step=None, every=3, cell="lstm", seed=0):
    """Train in a folder as a script would that is simply started again; return what it left."""
    torch.set_num_threads(1)
    vocab, train_ids, valid_ids = texts()
    torch.manual_seed(seed)
    model = CharRNN(len(vocab), 12, 2, embedding_size=5, dropout=0.3, cell=cell)
    checkpoints = Checkpoints(folder, vocab, every)
    history = fit(model, train_ids, valid_ids, config, on_step, checkpoints)
    return model, history


def rows(history):
    """Return the rows without the clock."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]


def same(run, other):
    """Do two runs have the same history and the same weights, bit for bit?"""
    weights, others = (model.state_dict() for model, _ in (run, other))
    return rows(run[1]) == rows(other[1]) and all(
        torch.equal(weights[name], others[name]) for name in weights
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupts."""
    return start(tmp_path_factory.mktemp("whole") / "run")


def stop_after(step):
    """Return an on_step that presses Ctrl-C after a step."""

    def on_step(history):
        if len(history) == step:
            signal.raise_signal(signal.SIGINT)

    return on_step


def in_process(target, *arguments):
    """Run a function in a process of its own; return its exit code."""
    process = PROCESSES.Process(target=target, args=arguments)
    process.start()
    process.join()
    return process.exitcode


# Killed


def kill_at(folder, name, count):
    """Train, and die by SIGKILL at the count-th call of a function that writes or deletes files."""
    calls, real = [0], getattr(os, name)

    def deadly(*arguments, **kwargs):
        calls[0] += 1
        if calls[0] == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **kwargs)

    setattr(os, name, deadly)
    start(folder)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("name", ["fsync", "replace", "unlink"])
def test_killed_while_it_writes(tmp_path, whole, name, count):
    assert in_process(kill_at, tmp_path, name, count) == -signal.SIGKILL
    assert same(start(tmp_path), whole)
    assert not list(tmp_path.glob("*.part"))


def train_slowly(folder):
    start(folder, on_step=lambda _: time.sleep(0.05))


def test_killed_at_any_moment_again_and_again(tmp_path, whole):
    rng, kills, vocab = random.Random(0), 0, texts()[0]
    while True:
        process = PROCESSES.Process(target=train_slowly, args=(tmp_path,))
        process.start()
        before = [p.name for p in Checkpoints(tmp_path, vocab).paths]
        while process.is_alive() and before == [p.name for p in Checkpoints(tmp_path, vocab).paths]:
            time.sleep(0.005)  # until it has moved on, so that the whole loop comes to its end
        process.join(rng.uniform(0, 0.2))
        if process.exitcode is not None:
            break
        process.kill()
        process.join()
        kills += 1
    assert process.exitcode == 0
    assert kills >= 3
    assert same(start(tmp_path), whole)


# Interrupted


@pytest.mark.parametrize("step", [1, 4, 12, 13, 23])
def test_resumed_after_ctrl_c_it_is_the_run_that_was_never_stopped(tmp_path, whole, step):
    _model, history = start(tmp_path, on_step=stop_after(step), every=1000)
    assert (len(history), history.ended) == (step, "interrupted")
    assert rows(history) == rows(whole[1])[:step]
    torch.rand(7), random.random(), np.random.rand()  # what happens in between does not matter
    resumed = start(tmp_path)
    assert same(resumed, whole)
    assert (np.diff(resumed[1].column("seconds")[1]) > 0).all()  # the clock goes on, too


def test_steps_skipped_in_a_row_are_counted_across_a_break(tmp_path):
    vocab, train_ids, _ = texts()

    def train():
        torch.manual_seed(0)
        model = CharRNN(len(vocab), 8, 1)

        def break_it(history):
            if len(history) == 4:
                torch.nn.init.constant_(model.output.bias, np.nan)
            if len(history) == 7:
                signal.raise_signal(signal.SIGINT)

        config = TrainingConfig(40, 4, 32)
        return fit(model, train_ids, None, config, break_it, Checkpoints(tmp_path, vocab))

    assert train().skipped == 3
    with pytest.raises(TrainingDiverged, match="up to step 14"):
        train()


@pytest.mark.parametrize(
    "changes",
    [
        {"cell": "gru", "optimizer": "sgd", "optimizer_options": {"momentum": 0.9}},
        {"cell": "rnn", "optimizer": "sgd", "schedule": "step"},
        {"cell": "lstm", "optimizer": "adam", "optimizer_options": {"betas": (0.5, 0.9)}},
        {"cell": "cifg", "optimizer": "rmsprop", "schedule": "one-cycle", "precision": "bfloat16"},
    ],
    ids=lambda changes: changes["cell"],
)
def test_every_cell_optimizer_and_schedule_resumes(tmp_path, changes):
    cell = changes["cell"]
    config = TrainingConfig(
        **{"steps": 12, "batch_size": 4, "seq_len": 32, "learning_rate": 1e-2, "accumulate": 2}
        | {"warmup": 3, "decay_every": 5}
        | {name: setting for name, setting in changes.items() if name != "cell"}
    )
    uninterrupted = start(tmp_path / "whole", config, cell=cell)
    start(tmp_path / "stopped", config, stop_after(7), cell=cell)
    assert same(start(tmp_path / "stopped", config, cell=cell), uninterrupted)


def test_random_numbers_of_every_generator_go_on(tmp_path):
    def draws(folder, stop):
        drawn = {}

        def on_step(history):
            numbers = (random.random(), np.random.rand(), torch.rand(()).item())
            drawn[len(history)] = numbers
            if len(history) == stop:
                signal.raise_signal(signal.SIGINT)

        random.seed(1)
        np.random.seed(1)
        start(folder, on_step=on_step)
        return drawn

    expected = draws(tmp_path / "whole", None)
    assert draws(tmp_path / "stopped", 10) | draws(tmp_path / "stopped", None) == expected


def test_history_and_model_stay_usable_after_ctrl_c_without_checkpoints(capsys):
    vocab, train_ids, valid_ids = texts()
    model = CharRNN(len(vocab), 8, 1)
    history = fit(model, train_ids, valid_ids, CONFIG, stop_after(4))
    assert (len(history), history.ended) == (4, "interrupted")
    assert "those of step 4" in capsys.readouterr().out
    more = fit(model, train_ids, None, TrainingConfig(3, 4, 32))
    assert more.ended == "all steps"


def test_ctrl_c_never_cuts_a_step_in_half():
    """The signal comes while the optimizer works: the step is finished, and is in the history."""
    vocab, train_ids, _ = texts()
    model = CharRNN(len(vocab), 8, 1)
    config = TrainingConfig(9, 4, 32)
    optimizer, real = [], TrainingConfig.make_optimizer

    def make(self, parameters):
        made = real(self, parameters)
        made.register_step_pre_hook(lambda *_: optimizer.append(1))
        made.register_step_pre_hook(
            lambda *_: signal.raise_signal(signal.SIGINT) if len(optimizer) == 3 else None
        )
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingConfig, "make_optimizer", make)
        history = fit(model, train_ids, None, config)
    assert len(history) == len(optimizer) == 3


def test_a_second_ctrl_c_stops_at_once_and_the_handler_is_put_back():
    vocab, train_ids, _ = texts()
    before = signal.getsignal(signal.SIGINT)

    def twice(history):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as error:
        fit(CharRNN(len(vocab), 8, 1), train_ids, None, CONFIG_PLAIN, twice)
    assert len(error.value.history) == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_fit_works_outside_the_main_thread():
    vocab, train_ids, _ = texts()
    histories = []
    model = CharRNN(len(vocab), 8, 1)
    thread = threading.Thread(
        target=lambda: histories.append(fit(model, train_ids, None, CONFIG_PLAIN))
    )
    thread.start()
    thread.join()
    assert histories[0].ended == "all steps"


# Finished


def test_a_finished_run_is_not_run_again(tmp_path, whole):
    start(tmp_path)
    calls = []
    again = start(tmp_path, on_step=calls.append)
    assert calls == []
    assert same(again, whole)


def test_a_run_that_ended_early_has_its_best_weights_again_and_again(tmp_path, monkeypatch):
    losses = iter([3.0, 2.5, 2.9, 2.8])  # given, since where a real run ends hangs on last bits
    monkeypatch.setattr("lstmlib.training.evaluate", lambda model, ids: next(losses))
    config = TrainingConfig(60, 4, 32, learning_rate=0.3, eval_every=2, patience=2)
    model, history = start(tmp_path, config)
    assert (history.ended, len(history)) == ("early", 8)
    best, _ = load_model(tmp_path / "best.safetensors")
    for other in (best, start(tmp_path, config)[0]):
        assert all(
            torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True)
        )


def test_more_steps_may_be_asked_for(tmp_path):
    short, long = (TrainingConfig(steps, 4, 32, eval_every=100) for steps in (7, 12))
    start(tmp_path / "a", short)
    longer, at_once = start(tmp_path / "a", long), start(tmp_path / "b", long)
    expected = rows(at_once[1])
    expected[6]["valid_loss"] = longer[1].rows[6]["valid_loss"]  # the last step then validated
    assert rows(longer[1]) == expected
    with pytest.raises(CheckpointError, match="steps = 12, not 7"):
        start(tmp_path / "a", short)


def test_fewer_steps_than_the_run_has_taken_or_planned_are_refused(tmp_path):
    start(tmp_path, TrainingConfig(12, 4, 32), stop_after(6))
    with pytest.raises(CheckpointError, match="steps = 12, not 6"):
        start(tmp_path, TrainingConfig(6, 4, 32))


def test_rotation_keeps_the_last_and_the_best(tmp_path):
    foreign = {"probe", "film.mkv.part", "step-backup.safetensors", "step-00000003 (1).safetensors"}
    for name in foreign:
        (tmp_path / name).write_bytes(b"of the user")
    start(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} - foreign == {
        "step-00000021.safetensors",
        "step-00000024.safetensors",
        "best.safetensors",
    }
    assert foreign < {p.name for p in tmp_path.iterdir()}


# Not of this run


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.5}, "learning_rate = 0.02, not 0.5"),
        ({"steps": 30}, "steps = 24, not 30"),  # the cosine depends on them
        ({"optimizer": "adam"}, "optimizer = adamw, not adam"),
    ],
)
def test_another_configuration_is_refused(tmp_path, change, message):
    start(tmp_path, on_step=stop_after(4))
    with pytest.raises(CheckpointError, match=message):
        start(tmp_path, TrainingConfig(**{**CONFIG.__dict__, **change}))


def test_another_model_text_or_vocabulary_is_refused(tmp_path):
    start(tmp_path, on_step=stop_after(4))
    vocab, train_ids, valid_ids = texts()
    kept = Checkpoints(tmp_path, vocab)
    with pytest.raises(CheckpointError, match="cell = lstm, not gru"):
        start(tmp_path, cell="gru")
    model = CharRNN(len(vocab), 12, 2, embedding_size=5, dropout=0.3)
    with pytest.raises(CheckpointError, match="other texts"):
        fit(model, train_ids[1:], valid_ids, CONFIG, checkpoints=kept)
    with pytest.raises(CheckpointError, match="other texts"):
        fit(model, train_ids, valid_ids[1:], CONFIG, checkpoints=kept)
    other = Checkpoints(tmp_path, Vocab.from_text(TEXT.replace("x", "X")))
    assert len(other.vocab) == len(vocab)
    with pytest.raises(CheckpointError, match="another vocabulary"):
        fit(model, train_ids, valid_ids, CONFIG, checkpoints=other)
    with pytest.raises(ValueError, match="the model was built for"):
        fit(model, train_ids, valid_ids, CONFIG, checkpoints=Checkpoints(tmp_path, Vocab("ab")))


# Broken files


@pytest.mark.parametrize("keep", [0, 4, 200, 0.5, -1])
def test_truncated_checkpoint(tmp_path, whole, keep):
    start(tmp_path, on_step=stop_after(8))
    *_, _older, newest = Checkpoints(tmp_path, texts()[0]).paths
    data = newest.read_bytes()
    newest.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(CheckpointError, match="not a whole safetensors.*Delete it to go on"):
        start(tmp_path)
    newest.unlink()
    assert same(start(tmp_path), whole)


def rewrite(path, change):
    """Write a checkpoint again, with a checksum, after a change to its tensors or notes.

    The change works in place, or returns other (tensors, notes).
    """
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    notes = json.loads(tensors.pop("notes").numpy().tobytes())
    changed = change(tensors, notes)
    tensors, notes = changed if isinstance(changed, tuple) else (tensors, notes)
    as_tensor = torch.tensor(list(json.dumps(notes).encode()), dtype=torch.uint8)
    path.write_bytes(to_bytes({"notes": as_tensor} | tensors, metadata))


def noted(**changes):
    """Return a change to the notes of a checkpoint."""
    return lambda tensors, notes: (tensors, notes | changes)


def row(k, **changes):
    """Return a change to a row of a checkpoint's history."""
    return lambda tensors, notes: notes["rows"][k].update(changes)


def without(name):
    """Return a change that leaves out a tensor."""
    return lambda tensors, notes: tensors.pop(name)


def tensor(name, change):
    """Return a change to a tensor."""
    return lambda tensors, notes: tensors.update({name: change(tensors[name])})


def python_state(k, part):
    return lambda tensors, notes: notes["random"]["python"].__setitem__(k, part)


def numpy_state(**changes):
    return lambda tensors, notes: notes["random"]["numpy"]["state"].update(changes)


CHANGES = {
    "no notes": lambda tensors, notes: (tensors, {}),
    "notes in a list": lambda tensors, notes: (tensors, []),
    "notes that are a number": lambda tensors, notes: (tensors, 5),
    "notes too deep": lambda tensors, notes: tensors.update(
        notes=torch.tensor(list(b"[" * 10**5), dtype=torch.uint8)
    ),
    "notes cut off": lambda tensors, notes: tensors.update(
        notes=torch.tensor(list(json.dumps(notes).encode())[:-9], dtype=torch.uint8)
    ),
    "notes that are no bytes": lambda tensors, notes: tensors.update(
        notes=torch.zeros(3).to(torch.float8_e4m3fn)
    ),
    "no rows": noted(rows=[]),
    "rows that are text": noted(rows="x"),
    "rows by name": noted(rows={}),
    "rows of numbers": noted(rows=[1, 2, 3]),
    "the first row is missing": lambda tensors, notes: notes["rows"].pop(0),
    "rows with a column less": lambda tensors, notes: [r.pop("epoch") for r in notes["rows"]],
    "a loss that is text": row(2, loss="3"),
    "characters that are none": row(-1, characters=None),
    "a step too large": row(-1, step=10**400),
    "more rows than steps": lambda tensors, notes: notes["settings"].update(steps=3),
    "steps that are text": lambda tensors, notes: notes["settings"].update(steps="24"),
    "no steps": lambda tensors, notes: notes["settings"].pop("steps"),
    "settings in a list": noted(settings=[]),
    "an end that is none": noted(ended="now"),
    "half a step was skipped": noted(skipped_in_a_row=1.5),
    "too many steps were skipped": noted(skipped_in_a_row=10),
    "time runs backwards": noted(seconds=-1.0),
    "seconds without end": noted(seconds=float("inf")),
    "best that is short": noted(best=[1.0, 2]),
    "best that waited for text": noted(best=[1.0, 2, ""]),
    "best in the future": noted(best=[1.0, 99, 0]),
    "a best loss by name": noted(best=[{}, 2, 0]),
    "a weight is missing": without("model.output.bias"),
    "a weight too many": lambda tensors, notes: tensors.update({"model.more": torch.zeros(1)}),
    "a weight of another shape": tensor("model.output.bias", lambda w: w[:1].clone()),
    "a weight of another dtype": tensor("model.output.bias", lambda w: w.double()),
    "an unknown tensor": lambda tensors, notes: tensors.update({"more.0": torch.zeros(1)}),
    "an average is missing": without("optimizer.0.exp_avg"),
    "an average with another name": lambda tensors, notes: tensors.update(
        {"optimizer.0.exp_avgx": tensors.pop("optimizer.0.exp_avg")}
    ),
    "an average of no parameter": lambda tensors, notes: tensors.update(
        {"optimizer.99.step": tensors["optimizer.0.step"].clone()}
    ),
    "an average without a number": lambda tensors, notes: tensors.update(
        {"optimizer.step": torch.zeros(())}
    ),
    "an average of another shape": tensor("optimizer.0.exp_avg", lambda a: a[:0]),
    "an average of bytes": tensor("optimizer.0.step", lambda a: a.bool()),
    "an average of complex numbers": tensor("optimizer.1.step", lambda a: a.to(torch.complex64)),
    "an average of eight bits": tensor("optimizer.1.step", lambda a: a.to(torch.float8_e4m3fn)),
    "a state is missing": without("state.1"),
    "a state too many": lambda tensors, notes: tensors.update({"state.2": tensors["state.1"] * 2}),
    "a state of another batch": tensor("state.0", lambda s: s[:, :1].clone()),
    "a state of two dimensions": tensor("state.0", lambda s: s[0].clone()),
    "a state of bytes": tensor("state.0", lambda s: s.to(torch.uint8)),
    "a state of 16 bits": tensor("state.0", lambda s: s.half()),
    "a random state is missing": without("random.cpu"),
    "a random state that is short": tensor("random.cpu", lambda r: r[:9].clone()),
    "a random state of zeros": tensor("random.cpu", lambda r: r * 0),
    "no other random states": lambda tensors, notes: notes.pop("random"),
    "random states in a list": noted(random=[]),
    "Python's random state is short": python_state(1, [1]),
    "Python's next random number is text": python_state(2, "x"),
    "NumPy's position beyond the end": numpy_state(pos=10**6),
    "NumPy's position before the start": numpy_state(pos=-1),
    "NumPy's position is text": numpy_state(pos="1"),
    "NumPy's random state is short": numpy_state(key=[1, 2, 3]),
    "NumPy's random state is too large": numpy_state(key=[10**30] * 624),
    "a start that is text": noted(initial="x"),
    "a start of text": lambda tensors, notes: notes["initial"].update({"output.bias": ["x", 1]}),
}  # fmt: skip


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The folder of a run that stopped after 7 steps, in mid-epoch, with a best model at step 5."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    start(folder, on_step=stop_after(7))
    return folder


@pytest.mark.parametrize("what", CHANGES)
def test_a_checkpoint_that_contradicts_itself(tmp_path, stopped, what):
    folder = shutil.copytree(stopped, tmp_path / "run")
    path = Checkpoints(folder, texts()[0]).paths[-1]
    rewrite(path, CHANGES[what])
    steps = []
    with pytest.raises(CheckpointError, match=f"{path} (contradicts itself: |is no checkpoint)"):
        start(folder, on_step=steps.append)
    assert steps == []
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in stopped.iterdir())


def test_foreign_checkpoints(tmp_path):
    path = tmp_path / "step-00000004.safetensors"
    path.write_bytes(b"\x80\x04\x95pickle" * 20)
    with pytest.raises(CheckpointError, match="not a whole safetensors"):
        start(tmp_path)
    save_file({"w": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="not one that fit wrote"):
        start(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(CheckpointError, match=f"{path} is a folder"):
        start(tmp_path)


def test_a_best_model_of_another_shape_is_refused(tmp_path, stopped):
    folder, vocab = shutil.copytree(stopped, tmp_path / "run"), texts()[0]
    save_model(folder / "best.safetensors", CharRNN(len(vocab), 3, 1), vocab)
    with pytest.raises(CheckpointError, match="contradicts itself: missing or unknown"):
        start(folder)


def test_flipped_bits_in_a_checkpoint_are_found(tmp_path):
    vocab = Vocab("ab")
    Checkpoints(tmp_path, vocab).save(1, {"w": torch.arange(3.0)}, {"rows": [1.5]})
    (path,) = Checkpoints(tmp_path, vocab).paths
    data, harmless = path.read_bytes(), set()
    assert json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["sha256"]
    for k in range(len(data)):
        flipped = bytearray(data)
        flipped[k] ^= 1 << k % 8
        path.write_bytes(flipped)
        try:
            tensors, notes = Checkpoints(tmp_path, vocab).load()
            assert tensors.keys() == {"w"} and tensors["w"].tolist() == [0, 1, 2]
            assert notes == {"rows": [1.5]}
            harmless.add(k)
        except CheckpointError:
            pass
    start = data.index(b'"sha256"')  # a file without this name is one of an earlier version
    assert harmless <= set(range(start, start + 8))


# Of another version


def test_a_checkpoint_without_a_checksum_and_without_a_note_of_the_start_is_read(tmp_path, whole):
    start(tmp_path, on_step=stop_after(7))
    path = Checkpoints(tmp_path, texts()[0]).paths[-1]
    rewrite(path, lambda tensors, notes: notes.pop("initial"))
    with safe_open(path, framework="pt") as file:
        metadata = {name: note for name, note in file.metadata().items() if name != "sha256"}
    save_file(load_file(path), path, metadata)
    assert same(start(tmp_path), whole)


@pytest.mark.parametrize("name", ["agc_factor", "accumulate", "output_norm", "dtype"])
def test_a_setting_that_is_newer_than_the_checkpoint_had_its_default(tmp_path, whole, name):
    start(tmp_path, on_step=stop_after(7))
    path = Checkpoints(tmp_path, texts()[0]).paths[-1]
    rewrite(path, lambda tensors, notes: notes["settings"].pop(name))
    assert same(start(tmp_path), whole)
    path = Checkpoints(tmp_path, texts()[0]).paths[-1]
    rewrite(path, lambda tensors, notes: notes["settings"].pop(name))
    other = {"clip_norm": None, "agc_factor": 0.1}
    with pytest.raises(
        CheckpointError, match="clip_norm = 5.0, not None|agc_factor = None, not 0.1"
    ):
        start(tmp_path, dataclasses.replace(CONFIG, **other))


def test_a_setting_that_had_another_name_is_known(tmp_path, whole):
    def as_before(tensors, notes):
        notes["settings"]["clip_ratio"] = notes["settings"].pop("agc_factor")

    start(tmp_path, on_step=stop_after(7))
    rewrite(Checkpoints(tmp_path, texts()[0]).paths[-1], as_before)
    assert same(start(tmp_path), whole)


def test_a_setting_that_this_version_does_not_know_is_named(tmp_path):
    start(tmp_path, on_step=stop_after(4))
    path = Checkpoints(tmp_path, texts()[0]).paths[-1]
    rewrite(path, lambda tensors, notes: notes["settings"].update(lookahead=5))
    with pytest.raises(CheckpointError, match="another version of lstmlib.*not know: lookahead"):
        start(tmp_path)


# Of another start


@pytest.mark.parametrize("config", [CONFIG, CONFIG_PLAIN], ids=["stopped", "finished"])
def test_another_seed_is_refused_by_name(tmp_path, config):
    start(tmp_path, config, stop_after(6))
    with pytest.raises(CheckpointError, match="began with other weights, as of another seed"):
        start(tmp_path, config, seed=1)
    start(tmp_path, config)


def go_on(folder, model):
    """Train a model that is at hand, as a cell of a notebook that is run again by itself."""
    vocab, train_ids, valid_ids = texts()
    return model, fit(
        model, train_ids, valid_ids, CONFIG, checkpoints=Checkpoints(folder, vocab, 3)
    )


def test_the_model_that_was_interrupted_goes_on_as_the_break_left_it(tmp_path, whole):
    def stop_at_once(history):
        if len(history) == 7:
            raise ZeroDivisionError  # so that the newest checkpoint is one of before

    torch.set_num_threads(1)
    torch.manual_seed(0)
    vocab, train_ids, valid_ids = texts()
    model = CharRNN(len(vocab), 12, 2, embedding_size=5, dropout=0.3)
    for on_step in (stop_at_once, stop_after(11)):
        with contextlib.suppress(ZeroDivisionError):
            kept = Checkpoints(tmp_path, vocab, 3)
            fit(model, train_ids, valid_ids, CONFIG, on_step, kept)
    assert same(go_on(tmp_path, model), whole)


def test_the_best_model_and_the_newest_go_on_with_their_run(tmp_path, whole):
    start(tmp_path, on_step=stop_after(7))
    shutil.copytree(tmp_path, tmp_path / "twin")
    best, vocab = load_model(tmp_path / "best.safetensors")
    assert same(go_on(tmp_path, best), whole)
    newest = CharRNN(len(vocab), 12, 2, embedding_size=5, dropout=0.3)
    tensors = load_file(Checkpoints(tmp_path / "twin", vocab).paths[-1])
    weights = {n[len("model.") :]: t for n, t in tensors.items() if n.startswith("model.")}
    newest.load_state_dict(weights)
    assert same(go_on(tmp_path / "twin", newest), whole)


def test_a_start_that_differs_in_its_last_bits_is_the_same(tmp_path, whole):
    """Processors draw the numbers of an embedding with other last bits."""
    start(tmp_path, on_step=stop_after(7))
    torch.manual_seed(0)
    vocab, *_ = texts()
    model = CharRNN(len(vocab), 12, 2, embedding_size=5, dropout=0.3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1 + 1e-7 * torch.randint(-1, 2, weight.shape))
    assert same(go_on(tmp_path, model), whole)


def test_one_other_weight_is_another_start(tmp_path):
    start(tmp_path, on_step=stop_after(7))
    torch.manual_seed(0)
    vocab, *_ = texts()
    model = CharRNN(len(vocab), 12, 2, embedding_size=5, dropout=0.3)
    model.output.bias.data[-1] += 0.1
    with pytest.raises(
        CheckpointError, match=r"began with other weights.*best.safetensors'\) goes"
    ):
        go_on(tmp_path, model)


# Two runs in one folder


def train_beside(folder, seed, report):
    """Train in a folder that another run may want, too: what came of it?"""
    try:
        model, history = start(folder, on_step=lambda _: time.sleep(0.05), seed=seed)
        report.send((seed, history.ended, model.output.bias.tolist()))
    except CheckpointError as error:
        report.send((seed, str(error), None))


def test_of_two_runs_in_one_folder_one_is_refused_and_told_who_holds_it(tmp_path):
    expected = {seed: start(tmp_path / f"alone {seed}", seed=seed)[0] for seed in (1, 2)}
    pipes = {seed: PROCESSES.Pipe(duplex=False) for seed in (1, 2)}
    runs = {
        seed: PROCESSES.Process(target=train_beside, args=(tmp_path / "run", seed, send))
        for seed, (_, send) in pipes.items()
    }
    for process in runs.values():
        process.start()
    said = [receive.recv() for receive, _ in pipes.values()]
    for process in runs.values():
        process.join()
    (trained,) = [each for each in said if each[2] is not None]
    (refused,) = [each for each in said if each[2] is None]
    assert trained[1] == "all steps"
    assert trained[2] == expected[trained[0]].output.bias.tolist()
    holder = f"process {runs[trained[0]].pid} on {re.escape(socket.gethostname())}"
    assert re.search(f"is in use by another run, {holder}, since 20.*another folder", refused[1])


def test_a_folder_is_let_go_of_however_the_run_ends(tmp_path):
    def fail(history):
        raise ZeroDivisionError

    vocab = texts()[0]
    with pytest.raises(ZeroDivisionError):
        start(tmp_path, on_step=fail)
    start(tmp_path, on_step=stop_after(4))
    with pytest.raises(CheckpointError, match="another seed"):
        start(tmp_path, seed=3)
    with Checkpoints(tmp_path, vocab).owned():
        pass
    assert not list(tmp_path.glob(".lstmlib*"))


def test_who_holds_the_folder_hands_it_to_fit_and_still_holds_it_after(tmp_path, whole):
    torch.set_num_threads(1)
    vocab, train_ids, valid_ids = texts()
    torch.manual_seed(0)
    model = CharRNN(len(vocab), 12, 2, embedding_size=5, dropout=0.3)
    checkpoints = Checkpoints(tmp_path, vocab, 3)
    with checkpoints.owned():
        history = fit(model, train_ids, valid_ids, CONFIG, checkpoints=checkpoints)
        with pytest.raises(CheckpointError, match=f"another run, process {os.getpid()} on"):
            start(tmp_path)
    assert same((model, history), whole)
    assert same(start(tmp_path), whole)  # the folder is free again
    assert not list(tmp_path.glob(".lstmlib*"))


def test_a_run_within_a_run_and_in_another_thread_is_refused(tmp_path):
    errors = []

    def second():
        try:
            start(tmp_path)
        except CheckpointError as error:
            errors.append(str(error))

    def on_step(history):
        if len(history) == 2:
            second()
            thread = threading.Thread(target=second)
            thread.start()
            thread.join()

    start(tmp_path, on_step=on_step)
    assert len(errors) == 2
    assert all(f"another run, process {os.getpid()} on" in error for error in errors)


def test_what_another_run_is_writing_stays(tmp_path):
    """A model that is saved by another program, and what is no checkpoint's, are not touched."""
    (tmp_path / "step-00000003.safetensors.77.part").write_bytes(b"of a killed run")
    others = {"model.safetensors.77.part", "film.part", "step-1.safetensors.7.part"}
    for name in others:
        (tmp_path / name).write_bytes(b"of another program")

    def on_step(history):
        if len(history) == 2:  # while it trains, nothing half written is removed
            (tmp_path / "best.safetensors.88.part").write_bytes(b"being written")

    start(tmp_path, on_step=on_step)
    left = {p.name for p in tmp_path.glob("*.part")}
    assert left == others | {"best.safetensors.88.part"}


def test_a_lock_of_a_killed_run_is_taken_over_although_its_process_number_is_used_again(
    tmp_path, whole
):
    """Its files are there, and name a process that runs: this one."""
    assert in_process(kill_at, tmp_path, "replace", 6) == -signal.SIGKILL
    owner = tmp_path / ".lstmlib-owner"
    noted = json.loads(owner.read_text())
    owner.write_text(json.dumps(noted | {"process": os.getpid()}))
    assert (tmp_path / ".lstmlib-lock").exists()
    assert same(start(tmp_path), whole)
    assert not owner.exists()


@pytest.mark.parametrize("owner", [b"", b"[]", b"{}", b"\xff", b"5"])
def test_an_owner_that_is_not_noted(tmp_path, owner):
    vocab = texts()[0]
    with Checkpoints(tmp_path, vocab).owned():
        (tmp_path / ".lstmlib-owner").write_bytes(owner)
        with pytest.raises(CheckpointError, match="another run, which has not yet noted its pro"):
            start(tmp_path)


def test_a_folder_that_cannot_be_locked_is_used_with_a_warning(tmp_path, whole, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with pytest.warns(UserWarning, match="cannot be locked.*Take care that no second run uses it"):
        run = start(tmp_path)
    assert same(run, whole)


def test_the_best_weights_are_lost(tmp_path):
    start(tmp_path, on_step=stop_after(8))
    (tmp_path / "best.safetensors").unlink()
    with pytest.raises(CheckpointError, match="best weights of the run are lost"):
        start(tmp_path)


def fill_the_disk(folder, report):
    """Train where no file may grow beyond what the first checkpoint takes: what does fit say?"""

    def on_step(history):
        if len(history) == 5:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    try:
        start(folder, on_step=on_step)
    except CheckpointError as error:
        report.send(str(error))  # a pipe has no such limit


def test_disk_full_while_a_checkpoint_is_written(tmp_path, whole):
    receive, send = PROCESSES.Pipe(duplex=False)
    assert in_process(fill_the_disk, tmp_path, send) == 0
    assert "could not be written" in receive.recv()
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == ["step-00000003.safetensors"]
    assert same(start(tmp_path), whole)


# Devices, and what a checkpoint holds


def test_a_checkpoint_is_plain_data_without_a_device(tmp_path):
    start(tmp_path, on_step=stop_after(4))
    path = Checkpoints(tmp_path, texts()[0]).paths[-1]
    assert b"device" not in load_file(path)["notes"].numpy().tobytes()
    assert {name.split(".")[0] for name in load_file(path)} == {
        "model",
        "optimizer",
        "state",
        "random",
        "notes",
    }


@pytest.mark.parametrize("folder", ["file", "file/below", "nul\0"])
def test_a_folder_that_cannot_be_one_is_refused_before_the_first_step(tmp_path, folder):
    (tmp_path / "file").write_text("not a folder")
    steps = []
    with pytest.raises(CheckpointError, match="cannot be written to"):
        start(tmp_path / folder, on_step=steps.append)
    assert steps == []


def test_a_long_history_fits_into_a_checkpoint(tmp_path, whole):
    vocab, *_ = texts()
    checkpoints, row = Checkpoints(tmp_path, vocab), whole[1].rows[-1]
    notes = {"rows": [row | {"step": k + 1} for k in range(400_000)]}
    checkpoints.save(400_000, {"weight": torch.zeros(2)}, notes)
    tensors, loaded = checkpoints.load()
    assert loaded == notes
    assert tensors.keys() == {"weight"}


# A best that is not the newest


def start_with_an_early_best(folder, on_step=None):
    """Validate on a text read backwards, whose loss soon rises; the best stays an early one."""
    torch.set_num_threads(1)
    vocab, train_ids, valid_ids = texts()
    torch.manual_seed(0)
    model = CharRNN(len(vocab), 12, 1).double()
    config = TrainingConfig(20, 4, 32, learning_rate=0.1, eval_every=2, patience=50)
    checkpoints = Checkpoints(folder, vocab, every=4)
    return model, fit(model, train_ids, valid_ids[::-1].copy(), config, on_step, checkpoints)


def test_the_best_weights_of_before_the_break_come_back(tmp_path):
    model, history = start_with_an_early_best(tmp_path / "whole")
    steps, losses = history.column("valid_loss")
    best = steps[np.argmin(losses)]
    assert best < 14
    stopped, _ = start_with_an_early_best(tmp_path / "run", stop_after(17))
    resumed = start_with_an_early_best(tmp_path / "run")
    assert same(resumed, (model, history))
    weights = load_file(tmp_path / "run/best.safetensors")
    assert all(torch.equal(p, weights[n]) for n, p in resumed[0].named_parameters())
    assert not all(torch.equal(p, weights[n]) for n, p in stopped.named_parameters())


def kill_before_the_best(folder, step):
    """Die between the checkpoint of a new best and the best model's own file."""
    real = Checkpoints.save_best

    def deadly(self, model):
        if self.paths[-1].name == f"step-{step:08}.safetensors":
            os.kill(os.getpid(), signal.SIGKILL)
        real(self, model)

    Checkpoints.save_best = deadly
    start_with_an_early_best(folder)


def test_killed_between_the_checkpoint_and_the_best_model(tmp_path):
    model, history = start_with_an_early_best(tmp_path / "whole")
    steps, losses = history.column("valid_loss")
    best = int(steps[np.argmin(losses)])
    assert in_process(kill_before_the_best, tmp_path / "run", best) == -signal.SIGKILL
    assert same(start_with_an_early_best(tmp_path / "run"), (model, history))


def test_another_dtype_is_refused(tmp_path):
    start_with_an_early_best(tmp_path, stop_after(4))
    vocab, train_ids, valid_ids = texts()
    config = TrainingConfig(20, 4, 32, learning_rate=0.1, eval_every=2, patience=50)
    with pytest.raises(CheckpointError, match=r"dtype = torch.float64, not torch.float32"):
        model, kept = CharRNN(len(vocab), 12, 1), Checkpoints(tmp_path, vocab)
        fit(model, train_ids, valid_ids[::-1].copy(), config, checkpoints=kept)


def test_ctrl_c_that_is_ignored_stays_ignored():
    vocab, train_ids, _ = texts()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        history = fit(CharRNN(len(vocab), 8, 1), train_ids, None, CONFIG_PLAIN, stop_after(2))
    finally:
        signal.signal(signal.SIGINT, before)
    assert history.ended == "all steps"


def test_more_steps_than_eight_digits_hold(tmp_path):
    kept = Checkpoints(tmp_path, Vocab("ab"))
    for step in (99_999_999, 100_000_000):
        kept.save(step, {}, {"step": step})
    assert kept.load()[1] == {"step": 100_000_000}
    kept.save(100_000_001, {}, {})
    assert [path.name for path in kept.paths] == [
        "step-100000000.safetensors",
        "step-100000001.safetensors",
    ]


@pytest.mark.parametrize(
    "setting", [{"every": 0}, {"keep": 0}, {"every": 2.5}, {"keep": "2"}, {"keep": True}]
)
def test_settings_without_meaning(setting):
    with pytest.raises(ValueError, match="1 or more"):
        Checkpoints("folder", Vocab("ab"), **setting)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_run_in_16_bits_goes_on_where_a_device_has_none(tmp_path, vocab, ids, monkeypatch, cell):
    """As a run that began on one GPU goes on on an older one."""
    config = TrainingConfig(12, 4, 8, precision="bfloat16")

    def stop(history):
        if len(history) == 8:
            raise KeyboardInterrupt

    def model():
        torch.manual_seed(0)
        return CharRNN(len(vocab), 8, 1, cell=cell)

    kept = Checkpoints(tmp_path, vocab, every=4)
    with pytest.raises(KeyboardInterrupt):
        fit(model(), ids, None, config, stop, kept)
    monkeypatch.setattr(training, "usable_precision", lambda *_: "float32")
    history = fit(model(), ids, None, config, checkpoints=Checkpoints(tmp_path, vocab, every=4))
    assert (history.ended, history.skipped) == ("all steps", 0)
    assert history.precision == "float32"
