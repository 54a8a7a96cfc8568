"""The poster: nine steps in their order, every number from a record, and equal files each time."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lstmlib.corpora import load_corpus
from lstmlib.serialization import load_model

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # the scripts stand beside each other, in no package

import poster  # noqa: E402
from poster import PANELS, Records, words  # noqa: E402

RUN = ROOT / "runs/help-pages"


@pytest.fixture(scope="module")
def records():
    return Records()


def test_the_line_has_its_nine_steps_in_order():
    assert [panel.title for panel in PANELS] == [
        "Clean",
        "Encode",
        "Batch",
        "Cell",
        "Back-propagation through time",
        "Clipping",
        "Training",
        "Temperature",
        "Measuring",
    ]


def test_no_number_is_typed_into_the_words():
    for panel in PANELS:
        typed = re.sub(r"\{\w+\}", "", panel.words).replace("5-gram", "")
        assert not re.search(r"\d", typed), panel.title


def test_the_numbers_are_those_of_the_records(records):
    said = dict(words(records))
    result = json.loads((RUN / "result.json").read_text())
    config = json.loads((RUN / "config.json").read_text())
    rows = [json.loads(line) for line in (RUN / "history.jsonl").read_text().splitlines()]
    raw = load_corpus("python-docs").text
    model, vocab = load_model(RUN / "model.safetensors")
    assert f"{len(raw):,} characters" in said["Clean"]
    assert f"{result['text_characters']:,}, {len(vocab)} different" in said["Clean"]
    assert f"{len(vocab)} of them" in said["Encode"]
    assert f"{config['training']['batch_size']} streams" in said["Batch"]
    assert f"{sum(weight.numel() for weight in model.parameters()):,} parameters" in said["Cell"]
    assert f"back {config['training']['seq_len']} characters" in said[PANELS[4].title]
    assert f"longest was {max(row['grad_norm'] for row in rows):.2f}" in said["Clipping"]
    cut = [row["clipped_norm"] < row["grad_norm"] for row in rows]
    assert f"{100 * sum(cut) / len(cut):.1f}% were clipped" in said["Clipping"]
    assert f"{result['valid_loss']:.3f} nats" in said["Training"]
    assert f"(5-gram): {result['five_gram_loss']:.3f}" in said["Training"]


def test_entropies_are_those_of_the_formula(records):
    for temperature in poster.TEMPERATURES:
        p = torch.softmax(records.logits.double() / temperature, dim=-1)
        entropy = -(p * p.log()).sum()
        assert f"{entropy:.2f}" in dict(words(records))["Temperature"]
        assert torch.allclose(torch.from_numpy(records.at(temperature)), p, atol=1e-9)


def test_choices_are_counted(records):
    lines = (ROOT / "runs/five-checkpoints/choices.jsonl").read_text().splitlines()
    said = dict(words(records))["Measuring"]
    longer, every = map(int, re.search(r"(\d+) of (\d+) choices", said).groups())
    assert every == len(lines) and every / 2 < longer < every


def test_another_record_makes_another_number(tmp_path, records):
    for name in ("runs/help-pages", "runs/five-checkpoints"):
        shutil.copytree(ROOT / name, tmp_path / name)
    file = tmp_path / "runs/help-pages/result.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"valid_loss": 9.87654}))
    assert "9.877 nats" in dict(words(Records(tmp_path)))["Training"]


def test_both_files_are_written_and_are_the_same_each_time(tmp_path):
    written = [
        poster.write(tmp_path / name) for name in ("a", "b") if not (tmp_path / name).mkdir()
    ]
    assert [path.name for path in written[0]] == ["poster.pdf", "poster.svg"]
    for one, other in zip(*written, strict=True):
        assert one.read_bytes() == other.read_bytes()
    svg = written[0][1].read_text("utf-8")
    assert svg.count("<image") == len(PANELS) and "Measuring" in svg
    width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups())
    assert (round(width / 72 * 25.4), round(height / 72 * 25.4)) == (420, 297)  # A3, in mm


def test_where_nothing_can_be_written_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    program = [sys.executable, str(ROOT / "tools/poster.py"), "--out", str(tmp_path / "file/out")]
    run = subprocess.run(program, capture_output=True, text=True)
    assert run.returncode == 1 and run.stderr.count("\n") == 1
    assert "Name another folder with OUT=" in run.stderr
