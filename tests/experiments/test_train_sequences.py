"""experiments/train_sequences.py: what a run leaves, that it goes on, and what is recorded."""

import io
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import tarfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from experiments import train_sequences
from lstmlib.batching import PaddedBatches
from lstmlib.checkpoints import CheckpointError
from lstmlib.decoding import CorpusError
from lstmlib.generation import generate
from lstmlib.grammars import LANGUAGES
from lstmlib.history import History
from lstmlib.models import count_parameters
from lstmlib.ngram import NGramModel
from lstmlib.serialization import load_model
from lstmlib.training import evaluate

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs"

SMALL = {"COUNTED": 40, "HELD_OUT": 50, "LONGEST": 80, "KEPT": 3, "MOST_ROWS": 30}
SMALL |= {"SHOWN": 30, "CHECKPOINT_EVERY": 4, "RARE": 3, "WRITTEN": 4, "LOOKED_AT": 45}
CONFIG = {
    "what": "a small run",
    "published": "nothing",
    "data": {"language": "brackets", "strings": 200},
    "model": {"hidden_size": 8, "embedding_size": 4, "num_layers": 1},
    "training": {"learning_rate": 0.03, "clip_norm": 0.3},
    "max_tokens": 150,
    "epochs": 3,
    "seed": 1,
    "samples": 100,
    "variants": {
        "plain": {},
        "other": {
            "model": {"num_layers": 2, "dropout": 0.3},
            "training": {"warmup": 4},
            "max_tokens": 500,
            "epochs": 5,
            "seed": 7,
            "measure_every": 2,
            "samples": 150,
        },
    },
}
OF_A_VARIANT = ["epochs.json", "history.jsonl", "model.safetensors", "result.json"]
BRACKETS = LANGUAGES["brackets"]
TRAINED_ON = [BRACKETS.vocab().frame(text) for text in BRACKETS.sample(200, seed=1)]
STEPS = {n: len(PaddedBatches(TRAINED_ON, b, 0)) for n, b in (("plain", 150), ("other", 500))}
"""Of an epoch."""


@pytest.fixture(autouse=True, scope="module")
def small():
    """Everything that is counted is small, and all is computed on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(train_sequences, name, value)
        yield
    torch.set_num_threads(threads)


def write(folder, config=CONFIG):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def read(path):
    """Read a JSON file, and refuse what only Python takes for JSON: NaN and Infinity."""
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory):
    """A run that nothing interrupts."""
    folder = write(tmp_path_factory.mktemp("whole") / "run")
    train_sequences.main(folder)
    return folder


@pytest.fixture
def no_training(monkeypatch):
    """Whoever trains now fails."""
    monkeypatch.setattr(train_sequences, "fit", lambda *a, **k: pytest.fail("it trains"))


# What a run leaves


def loss_of(model, vocab, texts):
    """Return the mean loss over the symbols of texts, each read alone, in nats."""
    total = count = 0
    for text in texts:
        ids = torch.from_numpy(vocab.frame(text, unknown="unk"))
        with torch.no_grad():
            logits, _ = model.eval()(ids[None, :-1])
        total += F.cross_entropy(logits[0], ids[1:], reduction="sum").item()
        count += len(ids) - 1
    return total / count


def exact_loss_of(texts):
    """Return the mean loss of the exact model on strings of brackets, from the rules alone.

    A string of n pairs has the probability (7/16)^(n - 1) (9/16)^n.
    """
    counts = [len(text) // 2 for text in texts]
    nats = sum(-(n - 1) * math.log(7 / 16) - n * math.log(9 / 16) for n in counts)
    return nats / sum(len(text) + 1 for text in texts)


def test_a_run_leaves_these_files_and_no_others(whole):
    assert names(whole) == ["config.json", "other", "plain", "result.json"]
    for name in CONFIG["variants"]:
        assert names(whole / name) == OF_A_VARIANT
    result = read(whole / "result.json")
    variants = {name: read(whole / name / "result.json") for name in CONFIG["variants"]}
    assert result == {"runs": variants} and list(result["runs"]) == list(CONFIG["variants"])


def test_a_variant_is_trained_with_what_the_config_and_its_changes_say(whole):
    common = {"data": CONFIG["data"], "seed": 1, "epochs": 3, "max_tokens": 150}
    common |= {"measure_every": 1, "samples": 100, "keep_model": True}
    expected = common | {"model": CONFIG["model"], "training": CONFIG["training"]}
    assert read(whole / "plain" / "result.json")["settings"] == expected
    changes = CONFIG["variants"]["other"]
    model = {"hidden_size": 8, "embedding_size": 4, "num_layers": 2, "dropout": 0.3}
    training = {"learning_rate": 0.03, "clip_norm": 0.3, "warmup": 4}
    expected = common | changes | {"model": model, "training": training}
    assert read(whole / "other" / "result.json")["settings"] == expected
    kept, _ = load_model(whole / "other" / "model.safetensors")
    assert {name: kept.config[name] for name in model} == model


@pytest.mark.parametrize(("name", "every"), [("plain", 2), ("other", 1)])
def test_the_history_has_every_step_or_of_many_every_second(whole, name, every):
    result, rows = (
        read(whole / name / "result.json"),
        History.load(whole / name / "history.jsonl").rows,
    )
    settings, steps = result["settings"], STEPS[name]
    total = steps * settings["epochs"]
    assert (total > SMALL["MOST_ROWS"]) == (every == 2)
    assert [row["step"] for row in rows] == list(range(every, total + 1, every))
    assert [row["epoch"] for row in rows] == [(row["step"] - 1) // steps for row in rows]
    assert result["updates"] == total and not any(row["skipped"] for row in rows)
    clipped = sum(row["clipped_norm"] < row["grad_norm"] for row in rows)
    assert 0 < clipped < len(rows)
    assert result["clipped_share"] == pytest.approx(
        clipped / len(rows), abs=0 if every == 1 else 0.2
    )
    assert all(row["clipped_norm"] <= 0.3 for row in rows)
    warmup = settings["training"].get("warmup", 1)
    assert [row["learning_rate"] for row in rows[:4]] == pytest.approx(
        [0.03 * min(row["step"] / warmup, 1) for row in rows[:4]]
    )
    assert result["diverged"] is False and result["threads"] == 1
    assert result["training_seconds"] >= 0


def test_a_variant_need_not_keep_its_model(tmp_path, whole):
    """The rest of it is as with the model."""
    variants = {"plain": {"keep_model": False, "epochs": 3}}
    folder = write(tmp_path / "run", CONFIG | {"variants": variants})
    train_sequences.main(folder)
    assert names(folder / "plain") == [n for n in OF_A_VARIANT if n != "model.safetensors"]
    for file in ("history.jsonl", "epochs.json"):
        kept = (whole / "plain" / file).read_bytes()
        assert (folder / "plain" / file).read_bytes() == kept
    before = contents(folder)
    train_sequences.main(folder)
    assert contents(folder) == before


def test_the_epochs_have_losses_gaps_counts_and_texts(whole):
    variant = whole / "plain"
    epochs, steps = read(variant / "epochs.json"), STEPS["plain"]
    exact = exact_loss_of(BRACKETS.sample(SMALL["HELD_OUT"], seed=2))
    assert [entry["epoch"] for entry in epochs] == [1, 2, 3]
    assert [entry["step"] for entry in epochs] == [steps, 2 * steps, 3 * steps]
    for entry in epochs:
        gap = (entry["valid_loss"] - exact) / BRACKETS.floor
        assert entry["gap"] == pytest.approx(gap, abs=1e-4)
        assert list(entry["validity"]) == ["0.5", "1.0", "1.5"]
        assert all(sum(counts) == SMALL["COUNTED"] for counts in entry["validity"].values())
        assert len(entry["samples"]) == SMALL["KEPT"]
        assert set(entry["greedy"].removesuffix(".end")) <= set("().padstartunk")


def test_what_takes_long_is_measured_as_often_as_the_variant_says(whole):
    epochs = read(whole / "other" / "epochs.json")
    assert [entry["epoch"] for entry in epochs] == [1, 2, 3, 4, 5]
    assert all(entry["valid_loss"] > 0 for entry in epochs)
    measured = [entry["epoch"] for entry in epochs if {"gap", "validity", "greedy"} <= set(entry)]
    assert measured == [2, 4, 5]  # every second, and the last
    assert all(len(entry) == 3 for entry in epochs if entry["epoch"] not in measured)


@pytest.mark.parametrize("name", CONFIG["variants"])
def test_the_figures_are_those_of_the_model_that_was_kept(whole, name):
    model, vocab = load_model(whole / name / "model.safetensors")
    result, last = read(whole / name / "result.json"), read(whole / name / "epochs.json")[-1]
    valid, test = (BRACKETS.sample(SMALL["HELD_OUT"], seed) for seed in (2, 3))
    assert result["parameters"] == count_parameters(model)
    assert last["valid_loss"] == pytest.approx(loss_of(model, vocab, valid), rel=1e-4)
    assert result["test_loss"] == pytest.approx(loss_of(model, vocab, test), rel=1e-4)
    assert result["exact_loss"] == pytest.approx(exact_loss_of(test), rel=1e-4)
    assert result["floor"] == pytest.approx(BRACKETS.floor, rel=1e-4)
    gap = (result["test_loss"] - result["exact_loss"]) / result["floor"]
    assert result["gap"] == pytest.approx(gap, abs=1e-4)


def test_how_many_test_strings_were_trained_on_and_the_gap_of_the_others(whole):
    model, vocab = load_model(whole / "plain" / "model.safetensors")
    result, train = read(whole / "plain" / "result.json"), BRACKETS.sample(200, seed=1)
    test = BRACKETS.sample(SMALL["HELD_OUT"], seed=3)
    unseen = [text for text in test if text not in train]
    assert 0 < len(unseen) < len(test)
    share = sum(text in train for text in test) / len(test)
    assert result["test_strings_in_training"] == pytest.approx(share, rel=1e-4)
    gap = loss_of(model, vocab, unseen) / exact_loss_of(unseen) - 1
    assert result["gap_of_unseen"] == pytest.approx(gap, rel=1e-3)


def balanced(text):
    """Say whether a text is a whole string of brackets: its first one is closed by its last."""
    depth = np.cumsum([{"(": 1, ")": -1}.get(c, -math.inf) for c in text])
    return len(text) > 0 and depth[-1] == 0 and bool((depth[:-1] > 0).all())


@pytest.mark.parametrize("name", CONFIG["variants"])
def test_samples_are_judged_and_new_ones_counted(whole, name):
    model, vocab = load_model(whole / name / "model.safetensors")
    result, train = read(whole / name / "result.json"), BRACKETS.sample(200, seed=1)
    settings, shares = result["settings"], []
    for temperature in (0.5, 1.0, 1.5):
        prompts = [""] * settings["samples"]
        samples = generate(
            model, vocab, prompts, SMALL["LONGEST"], temperature, seed=settings["seed"]
        )
        complete = [s.text for s in samples if s.ended and balanced(s.text)]
        found = result["validity"][str(temperature)]
        assert found[0] == len(complete) and sum(found) == settings["samples"]
        assert found[1] <= sum(not sample.ended for sample in samples)
        novel = sum(text not in train for text in complete) / max(len(complete), 1)
        assert result["novel"][str(temperature)] == pytest.approx(novel, rel=1e-4)
        shares.append(novel)
    assert 0 < max(shares) < 1


def test_the_texts_of_the_last_epoch_are_the_models(whole):
    model, vocab = load_model(whole / "plain" / "model.safetensors")
    last = read(whole / "plain" / "epochs.json")[-1]
    greedy = generate(model, vocab, "", SMALL["LONGEST"], 0.0, seed=0)
    warm = generate(model, vocab, [""] * SMALL["KEPT"], SMALL["LONGEST"], 1.0, seed=300_001)
    assert last["samples"] == [as_shown(sample) for sample in warm]
    assert last["greedy"] == as_shown(greedy)


def as_shown(sample):
    tokens = [*sample.tokens, *[".end"] * sample.ended]
    return "".join(tokens[: SMALL["SHOWN"]])


# Started again


def test_started_again_it_trains_nothing_and_changes_nothing(whole, no_training, capsys):
    before = contents(whole)
    train_sequences.main(whole)
    assert contents(whole) == before
    said = capsys.readouterr().out
    for name, variant in read(whole / "result.json")["runs"].items():
        assert f"{name:<18} loss on the test texts: {variant['test_loss']} nats" in said


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"language": "brackets", "strings": 201}},
        {"data": {"language": "ndfa", "strings": 200}},
        {"model": {"hidden_size": 9}},
        {"training": {"learning_rate": 0.03}},  # not clipped at 0.3 any more
        {"max_tokens": 151},
        {"max_tokens": None, "training": {"batch_size": 2, "seq_len": 4}},
        {"epochs": 4},
        {"seed": 2},
        {"variants": {"plain": {"measure_every": 2}}},
        {"samples": 101},
        {"variants": {"plain": {"keep_model": False}}},
    ],
    ids=str,
)
def test_a_variant_of_other_settings_is_refused(whole, no_training, changes):
    """Whether it is done already, or only begun."""
    before, config = contents(whole), (whole / "config.json").read_bytes()
    write(whole, CONFIG | changes)
    try:
        with pytest.raises(ValueError, match="plain holds a run of other settings .*; delete it"):
            train_sequences.main(whole)
    finally:
        (whole / "config.json").write_bytes(config)
    assert contents(whole) == before


def stop(monkeypatch, step, how):
    """Let a variant be stopped after a step, once what is measured there is written."""
    record = train_sequences.Recorder.__call__

    def record_and_stop(self, history):
        record(self, history)
        if len(history) == step:
            how()

    monkeypatch.setattr(train_sequences.Recorder, "__call__", record_and_stop)


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def die():
    raise MemoryError


def same_but_for_the_clock(folder, other):
    """Assert that two runs have left the same: losses, epochs, weights and figures."""
    runs = [read(f / "result.json")["runs"] for f in (folder, other)]
    for run in [*runs[0].values(), *runs[1].values()]:
        run["training_seconds"] = None
    assert runs[0] == runs[1]
    for name in runs[0]:
        assert names(folder / name) == OF_A_VARIANT
        for file in ("history.jsonl", "epochs.json"):
            assert (folder / name / file).read_bytes() == (other / name / file).read_bytes(), file
        models = [load_model(f / name / "model.safetensors")[0] for f in (folder, other)]
        for weight, expected in zip(*(model.parameters() for model in models), strict=True):
            assert torch.equal(weight, expected)


@pytest.mark.parametrize("step", [1, STEPS["other"], STEPS["plain"], STEPS["plain"] + 2])
def test_after_ctrl_c_it_goes_on_where_it_was(tmp_path, whole, monkeypatch, step):
    folder = write(tmp_path / "run")
    with monkeypatch.context() as patch:
        stop(patch, step, press_ctrl_c)
        for variant in CONFIG["variants"]:
            with pytest.raises(
                SystemExit, match=f"{variant} goes on from step {step} when started"
            ):
                train_sequences.main(folder)
            assert not (folder / variant / "result.json").exists()
            torch.rand(7), np.random.rand()  # what happens in between does not matter
    train_sequences.main(folder)
    same_but_for_the_clock(folder, whole)


def test_what_was_measured_before_a_kill_is_not_there_twice(tmp_path, whole, monkeypatch):
    """An epoch's entry is written before the checkpoint of its last step."""
    steps, folder = STEPS["plain"], write(tmp_path / "run")
    with monkeypatch.context() as patch:
        stop(patch, 2 * steps, die)
        with pytest.raises(MemoryError):
            train_sequences.main(folder)
    assert len(read(folder / "plain" / "epochs.json")) == 2
    (newest,) = (folder / "plain").glob("step-*.safetensors")
    assert int(newest.stem[5:]) < 2 * steps
    train_sequences.main(folder)
    same_but_for_the_clock(folder, whole)


def test_killed_in_its_last_measurements_it_trains_no_step_again(tmp_path, whole, monkeypatch):
    folder = write(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(train_sequences, "measure", lambda *_: die())
        with pytest.raises(MemoryError):
            train_sequences.main(folder)
    assert "result.json" not in names(folder / "plain")
    with monkeypatch.context() as patch:
        patch.setattr(train_sequences.Recorder, "__call__", lambda *_: pytest.fail("a step"))
        train_sequences.main(write(folder, CONFIG | {"variants": {"plain": {}}}))
    train_sequences.main(write(folder))
    same_but_for_the_clock(folder, whole)


def test_killed_before_the_checkpoints_were_removed_it_removes_them(tmp_path, whole, monkeypatch):
    folder = write(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(train_sequences, "remove_unfinished", lambda _: die())
        with pytest.raises(MemoryError):
            train_sequences.main(folder)
    (folder / "plain" / "result.json.1.part").write_text("half a resu")
    assert len(names(folder / "plain")) > len(OF_A_VARIANT) + 2
    train_sequences.main(folder)
    same_but_for_the_clock(folder, whole)


KILLED = """
import os, signal, sys
import torch
from experiments import train_sequences
from pathlib import Path
torch.set_num_threads(1)
for name, value in {small!r}.items():
    setattr(train_sequences, name, value)
record = train_sequences.Recorder.__call__

def record_and_die(self, history):
    record(self, history)
    if len(history) == {step}:
        os.kill(os.getpid(), signal.SIGKILL)

train_sequences.Recorder.__call__ = record_and_die
train_sequences.main(Path({folder!r}))
"""


def test_after_a_kill_that_nothing_can_catch_it_goes_on_where_it_was(tmp_path, whole):
    folder = write(tmp_path / "run")
    code = KILLED.format(small=SMALL, step=10, folder=str(folder))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list((folder / "plain").glob("step-*.safetensors"))
    assert not (folder / "result.json").exists()
    train_sequences.main(folder)
    same_but_for_the_clock(folder, whole)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 2},
        {"epochs": 4},
        {"max_tokens": 151},
        {"variants": {"plain": {"measure_every": 2}}},
        {"samples": 101},
        {"variants": {"plain": {"keep_model": False}}},
        {"training": {"learning_rate": 0.01, "clip_norm": 0.3}},
    ],
    ids=str,
)
def test_a_variant_that_was_begun_with_other_settings_is_refused(begun, no_training, changes):
    before = contents(begun / "plain")
    with pytest.raises(ValueError, match="plain holds a run of other settings, begun; delete"):
        train_sequences.main(write(begun, CONFIG | changes))
    assert contents(begun / "plain") == before


def test_a_variant_that_was_begun_on_other_strings_is_refused(begun):
    """Also where its settings were not noted."""
    (begun / "plain" / "step-config.json").unlink()
    other = CONFIG | {"data": {"language": "brackets", "strings": 199}}
    with pytest.raises(CheckpointError, match="other texts"):
        train_sequences.main(write(begun, other))


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A folder with a variant that was stopped."""
    folder = write(tmp_path / "run")
    with monkeypatch.context() as patch:
        stop(patch, 2, press_ctrl_c)
        with pytest.raises(SystemExit):
            train_sequences.main(folder)
    return folder


# Configs without meaning

WITHOUT_MEANING = [
    ({"epochs": KeyError}, "config.json lacks epochs"),
    ({"epoch": 3}, "config.json has epoch"),
    ({"data": "ndfa"}, "data is 'ndfa'; it must be an object"),
    ({"data": {"language": "ndfa"}}, "give a language and strings, or reviews"),
    (
        {"data": {"language": "dyck", "strings": 9}},
        "language is 'dyck'; choose one of ndfa, brackets, toy",
    ),
    ({"data": {"language": "ndfa", "strings": 0}}, "strings is 0; it must be a whole number, 1"),
    ({"data": {"language": "ndfa", "strings": "9"}}, "strings is '9'"),
    ({"data": {"reviews": "nowhere"}}, "nowhere"),
    ({"variants": {}}, "a name for each variant"),
    ({"variants": ["plain"]}, "a name for each variant"),
    ({"variants": {"plain": None}}, "Variant plain is None; it must say which settings it changes"),
    (
        {"variants": {"plain": {}, "b": {"budgets": 3}}},
        "Variant b has budgets, which means nothing",
    ),
    (
        {"variants": {"plain": {}, "b": {"data": {}}}},
        "Variant b changes data, which all variants",
    ),
    (
        {"variants": {"plain": {}, "b": {"max_tokens": 3}}},
        "more than max_tokens = 3. Raise",
    ),
    ({"variants": {"plain": {}, "b": {"measure_every": 0}}}, "measure_every is 0"),
    ({"variants": {"plain": {}, "b": {"samples": True}}}, "samples is True"),
    ({"variants": {"plain": {}, "b": {"seed": -1}}}, "seed is -1; it must be a whole number, 0 or"),
    ({"variants": {"plain": {}, "b": {"training": {"warmup": 999}}}}, "warmup is 999"),
    ({"keep_model": 1}, "keep_model is 1; it must be true or false"),
    ({"epochs": 2.5}, "epochs is 2.5"),
    ({"seed": "1"}, "seed is '1'"),
    ({"max_tokens": "300"}, "max_tokens is '300'"),
    ({"max_tokens": {}}, "max_tokens is {}"),
    ({"max_tokens": None, "training": {"batch_size": 5000}}, "too short for one batch of 5000"),
    ({"model": {"hidden_size": 0}}, "hidden_size is 0"),
    ({"model": {"hiden_size": 8}}, "hiden_size"),
    (
        {"training": {"learning_rate": -1}},
        "learning_rate is -1; it must be a finite number, above 0",
    ),
    ({"training": {"steps": 5}}, '"training" has steps; the epochs say how long'),
    ({"training": {"eval_every": 5}}, '"training" has eval_every'),
]


def with_changes(changes):
    """Return the config with changes; a value of KeyError leaves the part out."""
    return {name: v for name, v in (CONFIG | changes).items() if v is not KeyError}


@pytest.mark.parametrize(("changes", "message"), WITHOUT_MEANING, ids=lambda p: str(p)[:40])
def test_a_config_without_meaning_is_refused_before_any_training(
    tmp_path, no_training, changes, message
):
    folder = write(tmp_path / "run", with_changes(changes))
    with pytest.raises((ValueError, TypeError, CorpusError)) as error:
        train_sequences.main(folder)
    assert message in str(error.value)
    assert names(folder) == ["config.json"]


def test_the_command_says_what_is_wrong_in_one_line(tmp_path):
    folder = write(tmp_path / "run", CONFIG | {"max_tokens": 3})
    command = [sys.executable, "-m", "experiments.train_sequences", str(folder), "--threads", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr.startswith("ValueError: Sequence ") and done.stderr.count("\n") == 1
    assert "Raise max_tokens" in done.stderr


# Variants that break


def test_a_variant_that_diverges_is_noted_and_the_next_one_trained(tmp_path):
    broken = {"learning_rate": 3e38, "optimizer": "sgd", "clip_norm": None}
    variants = {"broken": {"training": broken, "max_tokens": 200}, "plain": {}}
    folder = write(tmp_path / "run", CONFIG | {"variants": variants})
    for _ in range(2):  # the second time it is read
        train_sequences.main(folder)
        runs = read(folder / "result.json")["runs"]
        assert runs["broken"]["diverged"] is True and runs["plain"]["diverged"] is False
        assert runs["broken"]["test_loss"] is None and "validity" not in runs["broken"]
        assert runs["plain"]["test_loss"] > 0
    rows = History.load(folder / "broken" / "history.jsonl").rows
    assert len(rows) < SMALL["MOST_ROWS"] and sum(row["skipped"] for row in rows) >= 10
    assert runs["broken"]["updates"] == sum(not row["skipped"] for row in rows)
    assert read(folder / "broken" / "epochs.json") == []
    assert names(folder / "broken") == OF_A_VARIANT


def test_a_variant_with_a_rate_far_too_high_has_all_its_figures(tmp_path):
    variants = {"wild": {"training": {"learning_rate": 1e6}}}
    train_sequences.main(write(tmp_path / "run", CONFIG | {"variants": variants}))
    wild = read(tmp_path / "run" / "result.json")["runs"]["wild"]
    assert wild["diverged"] is False and wild["test_loss"] > 1000
    assert sum(wild["validity"]["1.0"]) == 100


# Reviews


def pack(path, texts):
    """Write an archive of reviews."""
    with tarfile.open(path, "w:gz") as archive:
        for k, text in enumerate(texts):
            member, data = tarfile.TarInfo(f"aclImdb/train/pos/{k:03}_9.txt"), text.encode()
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return str(path)


def reviews(count):
    """Return reviews of 20 to 90 characters, all different; the last has rare ones."""
    rng, film = np.random.default_rng(0), "the film was good and the end was bad and the cat sat"
    texts = [
        " ".join(rng.choice(film.split(), rng.integers(5, 20))) + f" {k:03}" for k in range(count)
    ]
    return [*texts[:-1], texts[-1] + " ΩΩЖЖЖ"]


@pytest.fixture(scope="module")
def reviewed(small, tmp_path_factory):
    """A run on reviews: whole ones, and streams of them."""
    folder = tmp_path_factory.mktemp("reviews")
    config = CONFIG | {"data": {"reviews": pack(folder / "reviews.tar.gz", reviews(60))}}
    config |= {"epochs": 2, "training": {"learning_rate": 0.02, "batch_size": 3, "seq_len": 10}}
    config["variants"] = {"whole": {"max_tokens": 400}, "streams": {"max_tokens": None}}
    train_sequences.main(write(folder / "run", config))
    return folder / "run"


def parts_of(texts):
    """Return (training, validation, test) reviews: the run draws a tenth for each of the last."""
    order = np.random.default_rng(1).permutation(len(texts))
    texts = [texts[k] for k in order]
    return texts[12:], texts[6:12], texts[:6]


@pytest.mark.parametrize("variant", ["whole", "streams"])
def test_a_network_learns_reviews(reviewed, variant):
    result, epochs = (
        read(reviewed / variant / "result.json"),
        read(reviewed / variant / "epochs.json"),
    )
    model, vocab = load_model(reviewed / variant / "model.safetensors")
    train, valid, test = parts_of(reviews(60))
    loss = loss_of(model, vocab, test)
    assert result["test_loss"] == pytest.approx(loss, rel=1e-4)
    assert result["bits_per_character"] == pytest.approx(loss / math.log(2), rel=1e-4)
    assert result["perplexity"] == pytest.approx(math.exp(loss), rel=1e-3)
    assert result["characters_trained_on"] == len("".join(train))
    assert epochs[-1]["valid_loss"] == pytest.approx(loss_of(model, vocab, valid), rel=1e-4)
    frames = [[vocab.frame(text, unknown="unk") for text in part] for part in (train, test)]
    five_gram = NGramModel.of_sequences(frames[0], 5, len(vocab)).nats_per_symbol(frames[1])
    assert result["five_gram_loss"] == pytest.approx(five_gram, rel=1e-4)
    assert names(reviewed / variant) == OF_A_VARIANT
    assert [set(entry) for entry in epochs] == [
        {"epoch", "step", "valid_loss", "greedy", "samples"}
    ] * 2


def test_a_rare_character_has_no_token_of_its_own(reviewed):
    _, vocab = load_model(reviewed / "whole" / "model.safetensors")
    train = "".join(parts_of(reviews(60))[0])
    assert set(vocab.characters) == {c for c in train if train.count(c) >= SMALL["RARE"]}
    assert (train.count("Ω"), train.count("Ж")) == (2, 3)
    assert "Ω" not in vocab.characters and "Ж" in vocab.characters
    assert vocab.tokens[:4] == (".pad", ".start", ".end", ".unk")


def test_streams_take_as_many_steps_as_fit_into_the_text(reviewed):
    train, _, _ = parts_of(reviews(60))
    tokens = sum(len(text) + 2 for text in train)
    steps = (tokens - 1) // (3 * 10)
    assert [e["step"] for e in read(reviewed / "streams" / "epochs.json")] == [steps, 2 * steps]
    assert read(reviewed / "streams" / "result.json")["updates"] == 2 * steps


def test_reviews_and_what_is_written_are_held_to_the_same_measures(reviewed):
    result = read(reviewed / "whole" / "result.json")
    model, vocab = load_model(reviewed / "whole" / "model.safetensors")
    long = SMALL["LOOKED_AT"]
    assert list(result["written"]) == list(result["samples"]) == ["0.0", "0.2", "0.5", "1.0"]
    texts = {"real": parts_of(reviews(60))[2]}
    for temperature, count in {"0.0": 1, "0.2": 4, "0.5": 4, "1.0": 4}.items():
        samples = generate(model, vocab, [""] * count, SMALL["LONGEST"], float(temperature), seed=1)
        texts[temperature] = [sample.new for sample in samples]
        assert result["samples"][temperature] == [text[:long] for text in texts[temperature][:3]]
    measured = {"real": result["real"]} | result["written"]
    for name, some in texts.items():
        pieces = [text[:long] for text in some if len(text) >= long]
        assert (measured[name]["counted"], measured[name]["of"]) == (len(pieces), len(some))
        if pieces:
            repeats = np.mean([longest_by_trying(piece) for piece in pieces])
            assert measured[name]["longest_repeat"] == pytest.approx(repeats, rel=1e-4)
    assert 0 < measured["real"]["counted"] < 6
    pieces = [text[:long].split() for text in texts["real"] if len(text) >= long]
    pairs = [list(itertools.pairwise(words)) for words in pieces]
    shares = np.mean([len(set(some)) / len(some) for some in pairs])
    assert measured["real"]["distinct_2"] == pytest.approx(shares, rel=1e-4)


def longest_by_trying(text):
    starts = range(len(text))
    return max(n for n in starts for k in starts if n == 0 or text.find(text[k : k + n], k + 1) > 0)


def test_a_run_on_streams_goes_on_where_it_was(tmp_path, reviewed, monkeypatch):
    folder = write(tmp_path / "run", read(reviewed / "config.json"))
    with monkeypatch.context() as patch:
        stop(patch, 12, press_ctrl_c)
        for variant in ("whole", "streams"):
            with pytest.raises(SystemExit, match=f"{variant} goes on from step 12"):
                train_sequences.main(folder)
    train_sequences.main(folder)
    same_but_for_the_clock(folder, reviewed)


def test_a_loss_beyond_any_perplexity_is_no_crash(tmp_path):
    config = CONFIG | {"data": {"reviews": pack(tmp_path / "few.tar.gz", reviews(30))}}
    config |= {"variants": {"wild": {"training": {"learning_rate": 1e6}}}}
    train_sequences.main(write(tmp_path / "run", config))
    wild = read(tmp_path / "run" / "result.json")["runs"]["wild"]
    assert wild["test_loss"] > 710 and wild["perplexity"] is None


def test_too_few_reviews_are_refused(tmp_path, no_training):
    config = CONFIG | {"data": {"reviews": pack(tmp_path / "few.tar.gz", reviews(9))}}
    with pytest.raises(ValueError, match="few.tar.gz has 9 reviews; it needs 10 or more"):
        train_sequences.main(write(tmp_path / "run", config))


# What was recorded

CASE_C = sorted(path.parent for path in RUNS.glob("case-c-*/config.json"))
RECORDED = [folder for folder in CASE_C if (folder / "result.json").exists()]
VARIANTS = [
    folder / name for folder in RECORDED for name in read(folder / "config.json")["variants"]
]
LARGE = 250_000
"""Parameters from which on a network reads only some of the test strings here."""


def test_two_runs_or_more_are_recorded():
    assert len(CASE_C) >= 5 and len(RECORDED) >= 2


@pytest.mark.parametrize("folder", CASE_C, ids=lambda p: p.name)
def test_the_configs_are_whole(folder):
    assert train_sequences.read_config(folder)


@pytest.mark.parametrize("folder", RECORDED, ids=lambda p: p.name)
def test_a_recorded_result_is_of_its_config(folder):
    config, runs = read(folder / "config.json"), read(folder / "result.json")["runs"]
    assert list(runs) == list(config["variants"])
    for name, settings in train_sequences.read_config(folder).items():
        assert runs[name] == read(folder / name / "result.json")
        assert runs[name]["settings"] == asdict(settings)
        assert runs[name]["threads"] == 1 or "CPU" not in runs[name]["machine"]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda p: f"{p.parent.name} {p.name}")
def test_a_recorded_variant_is_whole(variant):
    result, epochs = read(variant / "result.json"), read(variant / "epochs.json")
    rows, settings = History.load(variant / "history.jsonl").rows, result["settings"]
    kept = [n for n in OF_A_VARIANT if settings["keep_model"] or n != "model.safetensors"]
    assert [name for name in names(variant) if name in OF_A_VARIANT] == kept
    every, last = rows[0]["step"], rows[-1]["step"]
    steps = set(range(every, last + 1, every))  # of which tools/thin_records.py keeps some
    assert steps >= {row["step"] for row in rows}
    if every == 1:
        assert result["updates"] == last - sum(row.get("skipped", False) for row in rows)
    assert [entry["epoch"] for entry in epochs] == list(range(1, len(epochs) + 1))
    assert [entry["step"] for entry in epochs] == [
        entry["epoch"] * epochs[0]["step"] for entry in epochs
    ]
    if not result["diverged"]:
        assert len(epochs) == settings["epochs"]
        assert result["updates"] <= epochs[-1]["step"]
        assert last == epochs[-1]["step"] // every * every
        assert all(row["epoch"] == (row["step"] - 1) // epochs[0]["step"] for row in rows)
    for entry in epochs:
        assert all(sum(counts) == 1000 for counts in entry.get("validity", {}).values())
    measured = [entry["epoch"] for entry in epochs if "greedy" in entry]
    due = [e for e in range(1, len(epochs) + 1) if e % settings["measure_every"] == 0]
    assert sorted({*due, settings["epochs"]}) == measured or result["diverged"]
    if "validity" in result:
        assert all(sum(counts) == settings["samples"] for counts in result["validity"].values())
        assert all(0 <= share <= 1 for share in result["novel"].values())
        gap = (result["test_loss"] - result["exact_loss"]) / result["floor"]
        assert result["gap"] == pytest.approx(gap, rel=1e-4, abs=5e-5)


LEARNED = [
    variant
    for variant in VARIANTS
    if "language" in read(variant.parent / "config.json")["data"]
    and read(variant / "result.json")["settings"]["keep_model"]
]


def test_models_are_kept_of_two_languages_or_more():
    assert len({variant.parent for variant in LEARNED}) >= 2


@pytest.mark.parametrize("variant", LEARNED, ids=lambda p: f"{p.parent.name} {p.name}")
def test_a_recorded_model_has_its_loss_on_the_test_strings(variant):
    """A large network reads a tenth of them: there only the gap is held, and loosely."""
    result, (model, vocab) = (
        read(variant / "result.json"),
        load_model(variant / "model.safetensors"),
    )
    language = LANGUAGES[result["settings"]["data"]["language"]]
    model.float()  # a large one is kept in half precision
    assert vocab == language.vocab() and result["parameters"] == count_parameters(model)
    large = result["parameters"] > LARGE
    test = language.sample(500 if large else 5000, seed=3)
    loss = evaluate(model, PaddedBatches([vocab.frame(text) for text in test], 20_000, 0))
    gap = (loss - language.nats_per_symbol(test)) / language.floor
    assert gap == pytest.approx(result["gap"], abs=0.01 + 0.2 * result["gap"] if large else 1e-4)
    if not large:
        assert loss == pytest.approx(result["test_loss"], abs=2e-5)
        assert language.nats_per_symbol(test) == pytest.approx(result["exact_loss"], abs=2e-5)
