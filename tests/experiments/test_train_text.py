"""experiments/train_text.py, and the model that chapter 07 samples from."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lstmlib.batching import split
from lstmlib.cleaning import clean
from lstmlib.corpora import load_corpus
from lstmlib.history import History
from lstmlib.models import count_parameters
from lstmlib.serialization import load_model
from lstmlib.settings import TrainingConfig
from lstmlib.training import evaluate

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "runs" / "help-pages"
RESULT = json.loads((FOLDER / "result.json").read_text(encoding="utf-8"))
CONFIG = {
    "what": "a small run",
    "corpus": "book.txt",
    "clean": {"straight_quotes": True},
    "model": {"hidden_size": 12, "num_layers": 1, "dropout": 0.3},
    "training": {"steps": 60, "batch_size": 4, "seq_len": 8, "eval_every": 20},
    "seed": 1,
    "prompt": "the ",
}


def run(folder, config, *more):
    """Run the command on a config and a book in a folder."""
    config = config | {"corpus": str(folder / "book.txt")}
    (folder / "book.txt").write_text("the quick brown fox jumps over “the lazy” dog. " * 40)
    (folder / "config.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "experiments.train_text", str(folder), "--threads", "1"]
    return subprocess.run([*command, *more], capture_output=True, text=True, cwd=ROOT)


def test_a_run_leaves_its_model_history_texts_and_figures(tmp_path):
    done = run(tmp_path, CONFIG)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    model, vocab = load_model(tmp_path / "model.safetensors")
    assert result["parameters"] == count_parameters(model)
    assert result["bytes"] == (tmp_path / "model.safetensors").stat().st_size
    ids = vocab.encode((tmp_path / "book.txt").read_text().replace("“", '"').replace("”", '"'))
    assert evaluate(model.float(), split(ids)[1]) == pytest.approx(result["valid_loss"])
    history = History.load(tmp_path / "history.jsonl")
    assert [row["step"] for row in history.rows] == [20, 40, 60]
    assert history.rows[-1]["valid_loss"] == pytest.approx(result["valid_loss"], rel=1e-3)
    texts = (tmp_path / "samples.txt").read_text()
    for temperature in ("0.2", "0.5", "1.0"):
        assert f"--- temperature {temperature}\nthe " in texts
    assert not list(tmp_path.glob("step-*")) and not list(tmp_path.glob("best*"))
    again = run(tmp_path, CONFIG)
    assert again.returncode != 0 and "holds a run already" in again.stderr


def test_a_run_goes_on_from_its_checkpoint(tmp_path):
    """A run of 60 steps is the same whether or not it ended for a while after 40."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    assert run(whole, CONFIG).returncode == 0
    stopped = subprocess.run(
        [sys.executable, "-c", STOPPED.format(folder=cut)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        input=json.dumps(CONFIG | {"corpus": str(cut / "book.txt")}),
    )
    assert "goes on from step 40 when started again" in stopped.stderr
    assert list(cut.glob("step-0*")) and not (cut / "result.json").exists()
    other = run(cut, CONFIG | {"seed": 7})
    assert other.returncode != 0 and "a run of other settings" in other.stderr
    assert run(cut, CONFIG).returncode == 0
    assert (cut / "samples.txt").read_bytes() == (whole / "samples.txt").read_bytes()
    models = [load_model(folder / "model.safetensors")[0] for folder in (cut, whole)]
    for a, b in zip(*(model.parameters() for model in models), strict=True):
        assert torch.equal(a, b)


STOPPED = """
import json, sys
from pathlib import Path
import torch
from experiments import train_text
from lstmlib import training
torch.set_num_threads(1)
folder = Path("{folder}")
(folder / "config.json").write_text(sys.stdin.read())
(folder / "book.txt").write_text("the quick brown fox jumps over “the lazy” dog. " * 40)

def stop(history):
    if len(history) == 40:
        import os, signal
        os.kill(os.getpid(), signal.SIGINT)

fit = train_text.fit
train_text.fit = lambda *a, **k: fit(*a, on_step=stop, **k)
train_text.main(folder)
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": "É"}, "'É'"),
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": 5}, "prompt is 5"),
        ({"seed": -1}, "seed is -1"),
        ({"speed": 3}, "config.json has speed"),
        ({"model": {"hidden_size": 0}}, "hidden_size is 0"),
        ({"training": {"steps": 0}}, "steps is 0"),
        ({"corpus": "nowhere"}, "nowhere"),
    ],
)
def test_a_config_without_meaning_is_refused_before_training(tmp_path, change, message, capsys):
    config = CONFIG | {"corpus": str(tmp_path / "book.txt")} | change
    (tmp_path / "book.txt").write_text("the quick brown fox jumps over “the lazy” dog. " * 40)
    (tmp_path / "config.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "experiments.train_text", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode != 0 and message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*.safetensors"))


# The recorded run


def test_the_recorded_model_is_the_one_of_its_config():
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    TrainingConfig(**config["training"])
    model, _ = load_model(FOLDER / "model.safetensors")
    assert {name: model.config[name] for name in config["model"]} == config["model"]
    assert RESULT["parameters"] == count_parameters(model)
    assert RESULT["bytes"] == (FOLDER / "model.safetensors").stat().st_size < 4e6
    history = History.load(FOLDER / "history.jsonl")
    assert history.rows[-1]["step"] == config["training"]["steps"]
    assert history.rows[-1]["valid_loss"] == pytest.approx(RESULT["valid_loss"], abs=2e-3)
    assert RESULT["valid_loss"] < RESULT["five_gram_loss"]


def test_the_recorded_loss_is_the_models_on_its_text():
    """Other versions of Python have other help pages: there the loss is only near."""
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    text, _ = clean(load_corpus("python-docs").text, **config["clean"])
    model, vocab = load_model(FOLDER / "model.safetensors")
    loss = evaluate(model.float(), split(vocab.encode(text, unknown="skip"))[1])
    same = hashlib.sha256(text.encode()).hexdigest() == RESULT["text_sha256"]
    assert loss == pytest.approx(RESULT["valid_loss"], abs=1e-3 if same else 0.4)
