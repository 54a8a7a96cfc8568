"""Recorded runs are small, and still hold what charts and tables are made of."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lstmlib.history import History
from lstmlib.models import CharRNN
from lstmlib.scratch import LSTM, init_weights
from lstmlib.serialization import load_model, save_model, save_scratch
from lstmlib.vocab import Vocab

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs"
sys.path.insert(0, str(ROOT / "tools"))  # the tools stand beside each other, in no package

import thin_records  # noqa: E402
from thin_records import HEAD, Keep, thinned  # noqa: E402

LIMIT = 20_000_000
"""Bytes of all records, as a clone has them on its disk."""


def name_of(path):
    return path.parent.relative_to(RUNS).as_posix()


HISTORIES = sorted(RUNS.rglob("history.jsonl"))
RULED = [path for path in HISTORIES if thin_records.rule_of(name_of(path))]
SHORTENED = [path for path in RULED if thin_records.rule_of(name_of(path)).stretches]
MODELS = sorted(RUNS.rglob("model.safetensors"))


def records():
    """Return the files of runs/ and benchmarks/ that a clone brings along: (bytes, path)."""
    command = ["git", "ls-files", "-z", "runs", "benchmarks"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    paths = [ROOT / name for name in done.stdout.split("\0") if name]
    if done.returncode:  # a copy without git
        paths = [path for top in ("runs", "benchmarks") for path in (ROOT / top).rglob("*")]
    sizes = {path: path.stat().st_size for path in paths if path.is_file()}
    return sorted(((size, str(path.relative_to(ROOT))) for path, size in sizes.items()))[::-1]


def test_all_records_together_are_small():
    found = records()
    total = sum(size for size, _ in found)
    largest = "\n".join(f"{size:>12,}  {path}" for size, path in found[:12])
    assert len(found) > 200
    assert total < LIMIT, (
        f"runs/ and benchmarks/ have {total:,} bytes, of {LIMIT:,}. The largest files:\n{largest}\n"
        "Add a rule to tools/thin_records.py, and run it."
    )


@pytest.mark.parametrize("path", RULED, ids=name_of)
def test_a_recorded_history_is_as_thin_as_its_rule_says(path):
    keep = thin_records.rule_of(name_of(path))
    assert thin_records.thin_history(path, keep) == path.read_bytes(), "run tools/thin_records.py"


@pytest.mark.parametrize("path", SHORTENED, ids=name_of)
def test_a_shortened_history_has_its_beginning_and_each_stretch(path):
    steps = [row["step"] for row in History.load(path).rows]
    recorded = range(steps[0], steps[-1] + 1, steps[1] - steps[0])
    assert steps[:HEAD] == list(recorded[:HEAD])
    stretches = thin_records.rule_of(name_of(path)).stretches
    found, expected = (
        {(step - 1) * stretches // steps[-1] for step in some} for some in (steps, recorded)
    )
    assert found == expected


def test_every_rule_has_a_run():
    used = {id(thin_records.rule_of(name_of(path))) for path in RULED}
    assert used == {id(keep) for keep in thin_records.HISTORIES.values()}


def test_the_first_steps_of_case_a_are_left_as_they_were_recorded():
    """A run that is made again is compared with them, to the last digit."""
    folders = [RUNS / f"case-a-{arm}" for arm in ("lower-case", "cased", "every-position")]
    for folder in folders:
        assert thin_records.rule_of(folder.name) is None
        first, second = History.load(folder / "history.jsonl").rows[:2]
        assert (first["step"], second["step"]) == (100, 200)
        assert len(str(first["loss"])) > 12 and "learning_rate" in first


@pytest.mark.parametrize("path", MODELS, ids=name_of)
def test_a_large_model_is_kept_in_half_precision(path, tmp_path):
    copy = shutil.copy(path, tmp_path)
    thin_records.halve(Path(copy))
    assert Path(copy).read_bytes() == path.read_bytes(), "run tools/thin_records.py"


def test_what_is_left_out_is_told_of_in_another_file():
    for folder, stand_in in thin_records.LEFT_OUT.items():
        assert not (RUNS / folder / "model.safetensors").exists()
        assert json.loads((RUNS / folder / stand_in).read_text(encoding="utf-8"))


# The rule itself


def rows_of(steps, **more):
    draw = random.Random(0)
    return [
        {"step": k, "loss": 2 + draw.random(), "grad_norm": draw.random(), "skipped": False} | more
        for k in range(1, steps + 1)
    ]


def test_spikes_survive():
    rows = rows_of(5000)
    rows[1234]["loss"], rows[4321]["grad_norm"] = 9.0, 777.0
    kept = thinned(rows, Keep(stretches=100))
    assert {1235, 4322} < {row["step"] for row in kept} and len(kept) < 400
    for column in ("loss", "grad_norm"):
        for start in range(0, 5000, 50):  # each of the hundred stretches
            before = [row[column] for row in rows[start : start + 50]]
            after = [row[column] for row in kept if start < row["step"] <= start + 50]
            assert max(after) == pytest.approx(max(before), rel=1e-4)
    assert [row["step"] for row in kept[:HEAD]] == list(range(1, HEAD + 1))
    assert kept[-1]["step"] == 5000


def test_rows_with_more_than_a_loss_survive():
    rows = rows_of(3000, valid_loss=None)
    rows[1110]["valid_loss"] = 1.23456789
    rows[1111]["diagnostics"] = {"gradient": {"output": 1.0}, "update": {"output": 0.1}}
    rows[1112] |= {"loss": None, "grad_norm": None, "skipped": True}
    kept = {row["step"]: row for row in thinned(rows, Keep(("skipped",), ("update",), stretches=9))}
    assert kept[1111]["valid_loss"] == 1.23456789  # as result.json quotes it
    assert kept[1112]["diagnostics"] == {"update": {"output": 0.1}}
    assert kept[1113]["skipped"] is True and kept[1]["skipped"] is False  # one was skipped
    assert "diagnostics" not in kept[1111]


def test_without_stretches_every_row_stays_shorter():
    rows = rows_of(300, learning_rate=1 / 3)
    kept = thinned(rows, Keep(("skipped",), digits=3))
    assert len(kept) == 300 and kept[7].keys() == {"step", "loss", "grad_norm", "learning_rate"}
    assert kept[7]["learning_rate"] == 0.333
    assert all(
        a["loss"] == pytest.approx(b["loss"], rel=5e-3) for a, b in zip(rows, kept, strict=True)
    )


@pytest.mark.parametrize("keep", [Keep(stretches=30), Keep(("skipped",), (), 2, 7), Keep(digits=2)])
def test_what_is_thin_stays_as_it_is(keep):
    once = thinned(rows_of(2000, diagnostics=None), keep)
    assert thinned(once, keep) == once
    assert thinned([], keep) == []


def test_the_tool_thins_a_folder_and_then_leaves_it(tmp_path, capsys):
    folder = tmp_path / "case-c-made-up" / "ours"
    folder.mkdir(parents=True)
    vocab = Vocab.from_text("abc")
    History(rows_of(3000, learning_rate=0.1)).save(folder / "history.jsonl")
    torch.manual_seed(0)
    save_model(folder / "model.safetensors", CharRNN(3, 64), vocab)
    other = tmp_path / "mine"  # of which no rule speaks
    other.mkdir()
    History(rows_of(3000)).save(other / "history.jsonl")
    before = (other / "history.jsonl").read_bytes()
    thin_records.main(tmp_path)
    said = capsys.readouterr().out
    assert "history.jsonl: " in said and "model.safetensors: " in said
    assert len(History.load(folder / "history.jsonl")) < 700
    assert load_model(folder / "model.safetensors")[0].output.weight.dtype == torch.float16
    assert (other / "history.jsonl").read_bytes() == before
    thin_records.main(tmp_path)
    assert capsys.readouterr().out == ""


def test_a_model_that_half_precision_cannot_hold_stays(tmp_path):
    path = tmp_path / "model.safetensors"
    model = CharRNN(3, 64)
    with torch.no_grad():
        model.output.weight[0, 0] = 1e5
    save_model(path, model, Vocab.from_text("abc"))
    before = path.read_bytes()
    thin_records.halve(path)
    assert len(before) > thin_records.LARGE and path.read_bytes() == before


def test_a_numpy_model_and_a_small_one_stay(tmp_path):
    path, vocab = tmp_path / "model.safetensors", Vocab.from_text("abc")
    save_scratch(path, init_weights(LSTM, 3, 96), LSTM, vocab)
    before = path.read_bytes()
    thin_records.halve(path)
    assert len(before) > thin_records.LARGE and path.read_bytes() == before
    save_model(path, CharRNN(3, 8), vocab)
    thin_records.halve(path)
    assert load_model(path)[0].output.weight.dtype == torch.float32


def test_a_model_goes_only_where_something_tells_of_it(tmp_path):
    folder = tmp_path / "case-d-full"
    folder.mkdir()
    path = folder / "model.safetensors"
    save_model(path, CharRNN(3, 8), Vocab.from_text("abc"))
    thin_records.main(tmp_path)
    assert path.exists()
    (folder / "network.json").write_text("{}")
    thin_records.main(tmp_path)
    assert not path.exists()


def test_what_is_no_history_is_said_in_one_line(tmp_path):
    (tmp_path / "help-pages").mkdir()
    (tmp_path / "help-pages" / "history.jsonl").write_text("no rows\n")
    command = [sys.executable, str(ROOT / "tools/thin_records.py"), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and "line 1, is no row of a history" in done.stderr
    assert "Traceback" not in done.stderr
