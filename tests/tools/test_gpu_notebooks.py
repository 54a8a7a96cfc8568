"""The stage that runs the chapters on a GPU, and what they would need of the library there."""

import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from torch import Tensor

from lstmlib.course.widgets import PrefixExplorer, SideBySide, TemperatureExplorer
from lstmlib.generation import generate, stream
from lstmlib.grammar_eval import read_prefix
from lstmlib.grammars import LANGUAGES
from lstmlib.internals import gate_values, largest_singular_values, states_along
from lstmlib.models import CharRNN
from lstmlib.serialization import load_model, save_model
from lstmlib.training import evaluate
from lstmlib.vocab import Vocab

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "tools" / "gpu_notebooks.py"
TOOL = runpy.run_path(str(PROGRAM))
FAILS = ["from lstmlib.course import check", "check.fact('one is above two', 1 > 2)", "1 / 0"]


def chapter(folder, name, cells, most=60.0, on_gpu=True):
    cells = [nbformat.v4.new_code_cell(source) for source in cells]
    path = folder / f"{name}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return TOOL["Chapter"](path, 0.0, most, on_gpu)


def stage(folder, seconds=120.0):
    return TOOL["Stage"](folder / "out", time.monotonic() + seconds, True, "a GPU")


def row_of(folder, name):
    return json.loads((folder / "out" / "gpu-survey" / f"{name}.json").read_text())


def is_running(pid):
    """Say whether a process runs still; one that ended and was not asked for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def started(path, seconds=60):
    """Wait until a notebook has written its process's number; return it."""
    end = time.monotonic() + seconds
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return int(path.read_text())


# Linux tells here whether a process runs.
linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def test_a_chapter_is_run_once(tmp_path):
    chapters = [chapter(tmp_path, "quick", ["print(1)"])]
    for said in ("s, 0 bands", "recorded in"):
        ours = stage(tmp_path)
        TOOL["run_all"](ours, chapters)
        assert said in dict(ours.outcomes)["quick.ipynb"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_without_cuda_it_says_so(tmp_path):
    command = [sys.executable, PROGRAM, "--out", tmp_path, "--seconds", "9"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode != 0
    assert run.stderr == "PyTorch finds no CUDA device here; --rehearse runs without one.\n"


@linux
def test_a_chapter_that_hangs_is_ended_and_the_others_go_on(tmp_path):
    number = tmp_path / "number"
    hang = f"import os, pathlib\npathlib.Path({str(number)!r}).write_text(str(os.getpid()))"
    chapters = [
        chapter(tmp_path, "hangs", [hang, "while True: pass"], most=25),
        chapter(tmp_path, "fails", FAILS),
        chapter(tmp_path, "quick", ["print(1)"], on_gpu=False),
    ]
    ours = stage(tmp_path)
    TOOL["run_all"](ours, chapters)
    said = dict(ours.outcomes)
    assert said["hangs.ipynb"] == "ended at its bound of 25 s"
    assert not (tmp_path / "out" / "gpu-survey" / "hangs.json").exists()
    assert not is_running(started(number))
    failed = row_of(tmp_path, "fails")
    assert failed["facts"] == ["one is above two"]
    assert "ZeroDivisionError" in failed["stopped"][0]
    assert failed["gpu"] == "a GPU"
    assert row_of(tmp_path, "quick")["beside"]


def test_an_interrupted_stage_ends_at_once_and_says_so(tmp_path):
    command = [sys.executable, PROGRAM, "--out", tmp_path / "out", "--seconds", "100", "--rehearse"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, env=environment, **pipe)
    while not list(tmp_path.glob("*/kernels")):  # a chapter's own folder
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said, error = process.communicate(timeout=30)
    assert process.returncode != 0
    assert error == "Interrupted. The rows that were written are whole.\n"
    assert "rehearsal.ipynb" in said.partition("chapter ")[2]


@linux
def test_a_stage_that_is_stopped_ends_its_chapters_and_begins_none(tmp_path):
    number = tmp_path / "number"
    hang = f"import os, pathlib\npathlib.Path({str(number)!r}).write_text(str(os.getpid()))"
    chapters = [
        chapter(tmp_path, "hangs", [hang, "while True: pass"], most=100),
        chapter(tmp_path, "hangs-too", ["while True: pass"], most=100),  # two run at a time
        chapter(tmp_path, "later", ["print(1)"]),
    ]
    ours = stage(tmp_path)
    lane = threading.Thread(target=TOOL["run_all"], args=(ours, chapters))
    lane.start()
    kernel = started(number)
    ours.stop()
    lane.join(20)
    assert not lane.is_alive() and not is_running(kernel)
    said = dict(ours.outcomes)
    assert said["hangs.ipynb"] == "interrupted"
    assert said["later.ipynb"].startswith("not begun")


def test_what_is_recorded_or_cannot_end_is_not_begun(tmp_path, monkeypatch):
    known, other, long = (chapter(tmp_path, name, ["print(1)"]) for name in "abc")
    rows = [{"notebook": "a.ipynb", "version": TOOL["version_of"](known.path)}]
    rows += [{"notebook": "b.ipynb", "version": "that of other cells"}]
    (tmp_path / "survey.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.setitem(TOOL["main"].__globals__, "SURVEY", tmp_path / "survey.jsonl")
    ours = TOOL["Stage"](tmp_path / "out", time.monotonic() + 30, False, "a GPU")
    TOOL["run_all"](ours, [each._replace(least=40) for each in (known, other, long)])
    outcomes = dict(ours.outcomes)  # three go side by side, in any order
    assert outcomes.pop("a.ipynb") == "recorded in benchmarks/gpu/survey.jsonl"
    assert [what.startswith("not begun, ") for what in outcomes.values()] == [True, True]


def test_the_kernel_is_this_python_whatever_is_installed(tmp_path, monkeypatch):
    """Another spec of the same name is in the user's folder, one that runs another program."""
    spec = tmp_path / "home" / "kernels" / "python3"
    spec.mkdir(parents=True)
    other = {"argv": ["/bin/false"], "display_name": "x", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(other))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "home"))
    for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, "")  # set by the call, and taken back after the test
    TOOL["own_kernel"](tmp_path / "work")
    code = "from jupyter_client.kernelspec import get_kernel_spec as g; print(g('python3').argv[0])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == sys.executable


def test_every_chapter_has_a_place_and_a_bound():
    names = [each.path.name for each in TOOL["CHAPTERS"]]
    assert sorted(names) == sorted(p.name for p in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    for each in TOOL["CHAPTERS"]:
        source = each.path.read_text(encoding="utf-8")
        assert each.on_gpu == ("pick_device()" in source), each.path.name
        assert each.least < each.most < 240


# A device apart from the CPU: "meta", whose numbers can only be read by way of .cpu(), as zeros.


@pytest.fixture
def elsewhere(monkeypatch):
    """Let a tensor on "meta" be read as zeros, by the calls that fetch from a device alone."""

    def fetched(tensor):
        return torch.zeros(tensor.shape, dtype=tensor.dtype)

    def by(name):
        real = getattr(Tensor, name)

        def fetch(tensor, *arguments):
            away = tensor.device.type == "meta"
            return real(fetched(tensor) if away and name != "cpu" else tensor, *arguments)

        def fetch_all(tensor, *arguments):
            return fetched(tensor) if tensor.device.type == "meta" else real(tensor, *arguments)

        monkeypatch.setattr(Tensor, name, fetch_all if name == "cpu" else fetch)

    for name in ("cpu", "item", "tolist", "__bool__", "__float__"):
        by(name)
    return torch.device("meta")


def small(language, device):
    return CharRNN(len(language.vocab()), 4, 1).to(device)


def test_texts_are_written_by_a_network_on_a_device(elsewhere, tmp_path):
    vocab = Vocab.from_text("abcd")
    model = CharRNN(4, 4, 2, embedding_size=3, output_norm=True).to(elsewhere)
    texts = generate(model, vocab, ["a", "bc"], 5, [0.5, 1.0], seed=1, repetition_penalty=1.5)
    assert [len(text.text) for text in texts] == [6, 7]
    assert len("".join(stream(model, vocab, "a", 5, seed=1))) == 5
    assert evaluate(model, np.arange(10) % 4) == 0
    TemperatureExplorer(model, vocab, "a", length=5).temperature.value = 1.5
    SideBySide(model, vocab, "a", length=5).temperatures[0].value = 1.5


def test_a_network_on_a_device_ends_its_strings_one_by_one(elsewhere):
    ndfa = LANGUAGES["ndfa"]
    samples = generate(small(ndfa, elsewhere), ndfa.vocab(), [""] * 20, 30, seed=1)
    assert 0 < sum(sample.ended for sample in samples) < 20


def test_instruments_look_into_a_network_on_a_device(elsewhere):
    brackets = LANGUAGES["brackets"]
    model = small(brackets, elsewhere)
    assert read_prefix(model, brackets.vocab(), brackets, "(()").model.shape == (4, 6)
    PrefixExplorer(model, brackets.vocab(), brackets, prefix="(()")
    ids = torch.tensor([1, 4, 5], device=elsewhere)
    assert states_along(model, ids)[0].device == elsewhere
    assert gate_values(model, ids[None])["layer 1 · forget gate"].device == elsewhere
    assert largest_singular_values(torch.zeros(2, 3, 3)).shape == (2,)


def test_a_model_is_saved_from_a_device_and_loaded_onto_one(elsewhere, tmp_path):
    vocab = Vocab.from_text("abcd")
    save_model(tmp_path / "a.safetensors", CharRNN(4, 4, 1), vocab)
    loaded, _ = load_model(tmp_path / "a.safetensors", elsewhere)
    assert {weight.device for weight in loaded.parameters()} == {elsewhere}
