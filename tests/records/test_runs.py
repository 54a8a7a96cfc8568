"""Recorded runs of NumPy networks, and measured speeds; other runs have tests of their own."""

import hashlib
import json
import math
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from killed import run_until_it_has_written

from experiments import count_characters, look_inside, train_numpy
from experiments.common import make_settings, read_settings
from lstmlib import scratch
from lstmlib.batching import split
from lstmlib.checkpoints import Checkpoints
from lstmlib.cleaning import clean
from lstmlib.corpora import load_corpus
from lstmlib.decoding import CorpusError
from lstmlib.history import History
from lstmlib.models import CharRNN
from lstmlib.precision import has_bfloat16
from lstmlib.serialization import load_scratch, save_model
from lstmlib.throughput import flops_per_character
from lstmlib.vocab import Vocab

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs"
FOLDERS = sorted(path.parent for path in RUNS.glob("*/config.json"))
RECORDED = [folder for folder in FOLDERS if folder.name.startswith(("case-b-", "case-e-"))]


def read(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def test_the_readme_names_every_run():
    readme = (RUNS / "README.md").read_text(encoding="utf-8")
    assert len(RECORDED) >= 4 and len(FOLDERS) >= 8
    for folder in FOLDERS:
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{folder.name}`"))
        assert row.endswith("| not yet recorded |") != (folder / "result.json").exists()


def test_figures_in_the_prose_are_those_of_the_runs():
    readme = (RUNS.parent / "README.md").read_text(encoding="utf-8")
    cases = {line[2]: line for line in readme.splitlines() if re.match(r"\| [A-E] \|", line)}
    case_a = read(RUNS / "case-a-lower-case", "result.json")
    assert f"training loss {case_a['training_loss']:.4f} on" in cases["A"]
    assert f"after {case_a['epochs']} epochs of half the windows" in cases["A"]
    cased = read(RUNS / "case-a-cased", "result.json")
    assert f"; {cased['training_loss']:.4f} with the text's capitals" in cases["A"]
    assert case_a["windows_per_epoch"] == pytest.approx(case_a["windows_in_all"] / 2, rel=0.01)
    assert f"{read(RUNS / 'case-e-rnn', 'result.json')['best_smooth_loss']:.2f} on" in cases["E"]
    assert (
        f"{read(RUNS / 'case-b-cifg-batched', 'result.json')['valid_loss']:.3f} with" in cases["B"]
    )
    losses = read(RUNS / "case-d-cpu" / "not-clipped", "result.json")["valid_losses"]
    died = int(np.argmax(np.diff(losses))) + 1
    assert f"words at epoch {died}, noise at epoch {died + 1};" in cases["D"]
    loss, level, _ = case_d_at_full_size()
    assert f"after 10 epochs the training loss is {loss:.2f}, and {level:.2f} is what" in cases["D"]
    for language, name, said in (
        ("ndfa", "ours", "{} of NDFA right, from the same network"),
        ("ndfa", "published", "and {} with the report's"),
        ("brackets", "ours", "brackets {}"),
        ("toy", "ours", "Toy {}"),
    ):
        run = read(RUNS / f"case-c-{language}", "result.json")["runs"][name]
        right = run["validity"]["1.0"][0] / sum(run["validity"]["1.0"])
        assert said.format(f"{100 * right:.1f} %") in cases["C"]
    table = (RUNS / "README.md").read_text(encoding="utf-8").splitlines()
    for folder in FOLDERS:
        row = next(line for line in table if line.startswith(f"| `{folder.name}`"))
        if not row.endswith("| not yet recorded |"):
            result = read(folder, "result.json")
            on = "" if folder.name != "case-d-full" else f" on {result['machine']}"
            assert row.endswith(f"| {training_seconds(result):.0f} s{on} |")


def case_d_at_full_size():
    """Return the loss of its tenth epoch, the entropy of its characters, and its longest norm."""
    folder = RUNS / "case-d-full"
    result, rows = read(folder, "result.json"), History.load(folder / "history.jsonl").rows
    assert result["epochs"] == 10
    level = read(folder, "text.json")["entropy_of_characters"]
    return result["training_loss"], level, max(row["grad_norm"] for row in rows)


def test_case_d_at_full_size_learned_frequencies_alone():
    _, level, longest = case_d_at_full_size()
    lowest = read(RUNS / "case-d-full", "result.json")["lowest_training_loss"]
    assert level < lowest < level + 0.05
    prose = " ".join((RUNS / "README.md").read_text(encoding="utf-8").split())
    assert f"10 epochs of `case-d-full` none has a training loss below {lowest:.3f}," in prose
    assert f"in the training text is {level:.3f}: the network" in prose
    assert f"no gradient was longer than {longest:.1f}." in prose


def test_characters_are_counted_in_the_text_of_the_run():
    counted = read(RUNS / "case-d-full", "text.json")
    assert counted["text_sha256"] == read(RUNS / "case-d-full", "result.json")["text_sha256"]
    # The first nine tenths are counted: 9 of "a", 9 of "b".
    assert count_characters.count("ab" * 9 + "cc")["entropy_of_characters"] == round(math.log(2), 6)
    settings = read_settings(RUNS / "case-d-full", count_characters.Settings)
    try:
        text = count_characters.load_text(settings)
    except ValueError:
        pytest.skip("david-copperfield is not here")
    assert count_characters.count(text) == counted


def test_what_became_of_case_d_at_full_size_is_recorded_without_its_model():
    folder = RUNS / "case-d-full"
    config, looked = read(folder, "config.json"), read(folder, "network.json")
    gates = ("input", "forget", "output")
    layers = range(1, config["num_layers"] + 1)
    names = [f"layer {layer} · {gate} gate" for layer in layers for gate in gates]
    assert list(looked["saturated"]) == names
    # It was in half precision, and the file has a header.
    weights = 2 * read(folder, "result.json")["parameters"]
    assert 0 < looked["model_bytes"] - weights < 2**16


def test_a_network_is_looked_into(tmp_path):
    """One that heeds what it reads, and one that does not, with its gates at their ends."""
    torch.manual_seed(1)
    model = CharRNN(9, 5, num_layers=2).eval()
    found = look_inside.look(model)
    assert found["largest_difference"] > 1e-3 and set(found["saturated"].values()) == {0}
    with torch.no_grad():
        for name, weight in model.layers.named_parameters():
            weight.fill_(50 if name.startswith("bias_ih") else 0)
    model.layers.bias_hh_l1.data[:5] = -100  # the input gates of layer 2
    save_model(tmp_path / "model.safetensors", model.half(), Vocab("abcdefghi"))
    look_inside.main(tmp_path)
    found = read(tmp_path, "network.json")
    assert found["largest_difference"] == 0 and set(found["saturated"].values()) == {1}
    assert (
        len(found["saturated"]) == 6
        and found["model_sha256"]
        == hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    )


def test_a_folder_without_a_model_is_not_looked_into(tmp_path):
    command = [sys.executable, "-m", "experiments.look_inside", str(tmp_path)]
    done = subprocess.run(command, cwd=RUNS.parent, capture_output=True, text=True)
    assert done.returncode == 1 and "ModelFileError: There is no file" in done.stderr
    assert "Traceback" not in done.stderr


def training_seconds(result):
    """Return those of a run, or of all runs that a folder holds; where none, of the measuring."""
    if "measuring_seconds" in result:
        return result["measuring_seconds"]
    runs = result.get("runs", {"": result})
    return sum(run["training_seconds"] for run in runs.values())


@pytest.mark.parametrize("folder", RECORDED, ids=lambda p: p.name)
class TestRecorded:
    def test_history_and_result_belong_to_the_config(self, folder):
        config, result = read(folder, "config.json"), read(folder, "result.json")
        rows = History.load(folder / "history.jsonl").rows
        assert [row["step"] for row in rows] == list(
            range(config["log_every"], config["steps"] + 1, config["log_every"])
        )
        seen = config["steps"] * config["batch_size"] * config["seq_len"]
        assert rows[-1]["characters"] == seen
        assert result["characters_per_second"] == pytest.approx(
            seen / result["training_seconds"], rel=0.01
        )
        lowest = min(row["smooth_loss"] for row in rows)  # of every 100th iteration
        assert lowest - 0.1 < result["best_smooth_loss"] <= lowest
        if config["keep"] == "last":
            assert result["valid_loss"] == rows[-1]["valid_loss"]

    def test_samples_have_their_iterations_and_the_final_text(self, folder):
        config = read(folder, "config.json")
        samples = re.split(
            r"^--- ", (folder / "samples.txt").read_text(encoding="utf-8"), flags=re.MULTILINE
        )[1:]
        assert len(samples) >= 5
        assert samples[-2].startswith(f"after {config['steps']:,} iterations (")
        title, _, text = samples[-1].partition("\n")
        assert re.fullmatch(r"the kept model \(\d+% of the words known\)", title)
        assert len(text) == 1001  # and a line end

    def test_the_model_is_the_one_that_was_measured(self, folder):
        """On the text itself, where it is at hand."""
        config, result = read(folder, "config.json"), read(folder, "result.json")
        weights, cell, vocab = load_scratch(folder / "model.safetensors")
        assert cell.name == config["cell"]
        assert sum(w.size for w in weights.values()) == result["parameters"]
        assert len(vocab) == result["distinct_characters"]
        try:
            text, _ = clean(load_corpus(config["corpus"]).text)
        except CorpusError:
            pytest.skip(f"{config['corpus']} is not here")
        assert hashlib.sha256(text.encode()).hexdigest() == result["text_sha256"]
        valid_ids = split(vocab.encode(text), 0.1)[1]
        loss = scratch.evaluate(weights, cell, valid_ids)
        assert loss == pytest.approx(result["valid_loss"], abs=1e-4)


def start(folder):
    """Run train_numpy.py to its end; return (what it said, its exit code)."""
    command = [sys.executable, *command_of(folder)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=ROOT)
    return run.stdout + run.stderr, run.returncode


def command_of(folder):
    return "-m", "experiments.train_numpy", str(folder)


def small_run(folder, text):
    folder.mkdir()
    (folder / "book.txt").write_text(text * 5)
    config = read(RUNS / "case-e-rnn", "config.json") | {
        "corpus": str(folder / "book.txt"),
        "hidden_size": 16,
        "steps": 3000,
        "eval_every": 500,
        "sample_every": 250,
        "sample_length": 60,
        "optimizer": "adam",
        "learning_rate": 0.003,
    }
    (folder / "config.json").write_text(json.dumps(config))


def without_seconds(folder):
    rows = History.load(folder / "history.jsonl").rows
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def test_a_killed_run_goes_on_where_it_was(tmp_path, text):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        small_run(folder, text)
    run_until_it_has_written("step-", *command_of(cut))
    assert list(cut.glob("step-*")) and not (cut / "result.json").exists()
    for folder in (cut, whole):
        said, code = start(folder)
        assert code == 0, said
    assert not list(cut.glob("step-*"))
    assert without_seconds(cut) == without_seconds(whole)
    assert (cut / "samples.txt").read_text() == (whole / "samples.txt").read_text()
    weights, expected = (load_scratch(f / "model.safetensors")[0] for f in (cut, whole))
    assert weights.keys() == expected.keys()
    assert all(np.array_equal(weights[name], expected[name]) for name in weights)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path, text):
    folder = tmp_path / "run"
    small_run(folder, text)
    run_until_it_has_written("step-", *command_of(folder))
    config = read(folder, "config.json")
    [path] = folder.glob("step-*")
    checkpoint = bytearray(path.read_bytes())
    checkpoint[-9] ^= 1
    messages = {
        "settings": "another text or another config.json; delete it to start anew",
        "text": "another text or another config.json; delete it to start anew",
        "damage": "is damaged: what it holds is not what was written",
    }
    for change, message in messages.items():
        (folder / "config.json").write_text(
            json.dumps(config | ({"learning_rate": 0.1} if change == "settings" else {}))
        )
        (folder / "book.txt").write_text(text * (4 if change == "text" else 5))
        if change == "damage":
            path.write_bytes(checkpoint)
        said, code = start(folder)
        assert code == 1
        assert "Traceback" not in said
        assert message in said


def test_two_processes_do_not_train_in_one_folder(tmp_path, text):
    folder = tmp_path / "run"
    small_run(folder, text)
    with Checkpoints(folder, Vocab.from_text(text)).owned():
        said, code = start(folder)
    assert code == 1 and "is in use by another run" in said and "Traceback" not in said
    assert {path.name for path in folder.iterdir()} == {"book.txt", "config.json"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "sum"}, "loss is 'sum'; choose one of"),
        ({"keep": "best"}, "keep is 'best'"),
        ({"optimizer": "Adam"}, "optimizer is 'Adam'"),
        ({"clip_value": 0}, "clip_value is 0; it must be a number, above 0"),
        ({"schedule": "Cosine"}, "schedule is 'Cosine'"),
        ({"corpus": "no-such-book"}, "no-such-book"),
        ({"log_every": 0}, "log_every is 0; it must be a whole number"),
        ({"clip": 1.0}, "config.json has clip, which means nothing here"),
    ],
)
def test_settings_without_meaning_get_one_message(tmp_path, text, change, message):
    small_run(tmp_path / "run", text)
    config = read(tmp_path / "run", "config.json")
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ValueError, match=message):
        train_numpy.main(tmp_path / "run")


def test_a_batched_run_with_two_states_goes_on_where_it_was(tmp_path, text):
    """In one process: saved and loaded after any step, the next steps are the same."""
    config = read(RUNS / "case-b-cifg-batched", "config.json") | {
        "hidden_size": 8,
        "batch_size": 3,
        "seq_len": 10,
        "steps": 40,
        "warmup": 5,
        "write_above": 0.036,
    }
    del config["what"]
    settings = make_settings(train_numpy.Settings, config, "the config")
    for stop in (1, 7, 39):
        whole, first, second = (train_numpy.Run(settings, text) for _ in range(3))
        checkpoints = Checkpoints(tmp_path / f"stopped-{stop}", first.vocab)
        for _ in range(stop):
            first.take_step()
        first.save(checkpoints)
        second.load(checkpoints)
        for _ in range(config["steps"] - stop):
            second.take_step()
        for _ in range(config["steps"]):
            whole.take_step()
        assert all(np.array_equal(whole.weights[n], second.weights[n]) for n in whole.weights)
        assert whole.trigger == second.trigger
        assert whole.smooth_loss == second.smooth_loss
        assert [tuple(row) for row in second.interval] == whole.interval
        assert whole.write_text(whole.weights, 20) == second.write_text(second.weights, 20)
    assert whole.trigger > 1


# How fast devices train

SPEEDS = sorted(RUNS.glob("speed-*/result.json"))


def test_the_readme_names_every_measured_device():
    readme = (RUNS / "README.md").read_text(encoding="utf-8")
    assert SPEEDS
    for kind in ("cpu", "gpu"):
        row = next(line for line in readme.splitlines() if line.startswith(f"| `speed-{kind}`"))
        assert ("not yet measured" in row) != (RUNS / f"speed-{kind}/result.json" in SPEEDS)


@pytest.mark.parametrize("path", SPEEDS, ids=lambda p: p.parent.name)
def test_measured_speeds_are_a_whole_grid_below_the_ceiling(path):
    result = json.loads(path.read_text(encoding="utf-8"))
    grid = {
        tuple(row[k] for k in ("hidden_size", "batch_size", "precision"))
        for row in result["points"]
    }
    hidden, batch, precision = (sorted(set(column)) for column in zip(*grid, strict=True))
    assert precision == ["bfloat16", "float32"]
    assert len(result["points"]) == len(grid) == len(hidden) * len(batch) * 2
    assert len(hidden) >= 4 and len(batch) >= 4
    for row in result["points"]:
        ceiling = result["product_operations_per_second"][row["precision"]]
        share = row["characters_per_second"] * row["flops_per_character"] / ceiling
        assert 0 < share < 1
        model = CharRNN(96, row["hidden_size"], 1)
        assert row["flops_per_character"] == flops_per_character(model)


def half_a_second(call, device, least, reading):
    call()
    return 0.5


def test_measuring_a_device_writes_one_result(tmp_path, monkeypatch):
    script = runpy.run_module("benchmarks.measure_speed", run_name="script")
    small = {"HIDDEN_SIZES": {"cpu": (4, 8)}, "BATCH_SIZES": {"cpu": (1, 2)}, "SEQ_LEN": 3}
    script["measure"].__globals__.update(small | {"PRODUCT_SIZES": {"cpu": (8,)}})
    monkeypatch.setattr("lstmlib.throughput.seconds_per_call", half_a_second)
    monkeypatch.setattr(sys, "argv", ["", "--device", "cpu", "--out", str(tmp_path / "new")])
    script["main"]()
    result = read(tmp_path / "new", "result.json")
    precisions = {"float32", "bfloat16"} if has_bfloat16(torch.device("cpu")) else {"float32"}
    assert {row["precision"] for row in result["points"]} == precisions
    assert set(result["product_operations_per_second"]) == precisions
    assert len(result["points"]) == 4 * len(precisions)
    assert result["points"][0]["characters_per_second"] == 1 * 3 / 0.5
    assert result["product_operations_per_second"]["float32"] == 2 * 8**3 / 0.5
