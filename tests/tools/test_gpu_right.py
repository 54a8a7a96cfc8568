"""Stage *right* of tools/gpu.py, with tests made up here.

That the tests of CUDA pass on a CPU, all of them, is seen in test_gpu_rehearsal.py.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, str(ROOT / "tools" / "gpu_right.py")]
RESULT = Path("benchmarks/gpu/right.json")
CRASHING = """
import os, signal

def test_first(record_property):
    record_property("a figure", 0.5)

def test_that_takes_its_process_down():
    os.kill(os.getpid(), signal.SIGKILL)

def test_that_fails():
    assert 1 == 2, "one is not two"

def test_last():
    pass
"""
SLOW = """
import time
import pytest

@pytest.mark.parametrize("number", range(20))
def test_some(number, record_property):
    record_property(f"figure {number}", number)
    time.sleep(0.2 * (number > 7))
"""
OF_SLOW_TESTS = """
import sys
from pathlib import Path
sys.path.insert(0, {tools!r})
import gpu_right
gpu_right.FILES, gpu_right.ROOT = ("test_slow.py",), Path({root!r})
gpu_right.main()
"""


def environment(**more):
    before = os.environ.get("PYTHONPATH", "")
    paths = os.pathsep.join(filter(None, [str(ROOT), before]))
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **more}


def start(*arguments, program=PROGRAM, **more):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    command = [*program, *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment(**more), start_new_session=True, **pipes
    )


def finish(*arguments, **more):
    process = start(*arguments, **more)
    said = process.communicate()[0]
    return process.returncode, said


def log_of(folder):
    """Return the lines that the tests' process wrote of tests that passed."""
    path = folder / "unfinished" / "right.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return [entry for entry in map(json.loads, lines) if entry.get("outcome") == "passed"]


def read(folder):
    return json.loads((folder / RESULT).read_text(encoding="utf-8"))


def test_a_stage_that_is_interrupted_goes_on_and_is_then_recorded(tmp_path):
    (tmp_path / "test_slow.py").write_text(SLOW)
    code = OF_SLOW_TESTS.format(tools=str(ROOT / "tools"), root=str(tmp_path))
    out, program = tmp_path / "out", [sys.executable, "-c", code]
    options = ("--out", out, "--rehearse", "--seconds", 500)
    process = start(*options, program=program)
    while len(log_of(out)) < 8:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as gpu.py does
    process.communicate()
    assert process.returncode != 0
    before, begun = {entry["test"] for entry in log_of(out)}, read(out)
    assert begun["counts"]["not run"] > 0 and begun["counts"]["crashed"] == 0
    assert {name for name, t in begun["tests"].items() if t["outcome"] == "passed"} == before
    code, said = finish(*options, program=program)
    assert code == 0, said
    assert not before & {entry["test"] for entry in log_of(out)}
    assert read(out)["counts"]["passed"] == len(read(out)["measured"]) == 20
    assert read(out)["rehearsal"]
    assert said.rstrip().split("\n")[-1].startswith("20 passed")
    code, said = finish(*options, program=program)
    assert code == 0 and "is recorded already" in said


def check_whole(result):
    """Hold a result to what the stage promises."""
    counts = result["counts"]
    assert counts["failed"] == counts["crashed"] == counts["not run"] == 0, result["tests"]
    assert counts["passed"] == len(result["tests"]) - counts["skipped"] > 60
    assert counts["skipped"] <= 2
    assert result["machine"].keys() >= {"device", "pytorch", "python"}
    for cell in ("lstm", "gru", "rnn", "cifg"):
        for what in ("float32, logits", "float64, gradients", "TF32, logits"):
            value = result["measured"][f"relative difference, {cell}, {what}"]
            assert 0 <= value < 0.02


def test_what_is_recorded_is_whole():
    if not (ROOT / RESULT).exists():
        pytest.skip("not yet measured")
    check_whole(read(ROOT))
    assert not read(ROOT)["rehearsal"]


@pytest.fixture
def tool(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import gpu_right

    (tmp_path / "test_crashing.py").write_text(CRASHING)
    monkeypatch.setattr(gpu_right, "FILES", ("test_crashing.py",))
    monkeypatch.setattr(gpu_right, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    yield gpu_right
    del sys.modules["gpu_right"], sys.modules["gpu_machine"]


def test_a_test_that_takes_its_process_down_is_named_and_the_others_go_on(tool, tmp_path, capfd):
    given = SimpleNamespace(out=tmp_path, seconds=500, rehearse=True, device=torch.device("cpu"))
    result = tool.run(given)
    assert read(tmp_path) == result
    outcomes = {name.partition("::")[2]: t["outcome"] for name, t in result["tests"].items()}
    assert outcomes == {
        "test_first": "passed",
        "test_that_takes_its_process_down": "crashed",
        "test_that_fails": "failed",
        "test_last": "passed",
    }
    assert result["measured"] == {"a figure": 0.5}
    assert not tool.passed(result)
    tool.show(result)
    said = capfd.readouterr().out
    assert "one is not two" in said and said.rstrip().endswith(
        "2 passed, 1 failed, 0 skipped, 1 crashed, 0 not run"
    )


def test_without_cuda_it_says_so(tmp_path):
    code, said = finish("--out", tmp_path, CUDA_VISIBLE_DEVICES="")
    assert code != 0
    assert "PyTorch finds no CUDA device here" in said and "Traceback" not in said
    assert not list(tmp_path.iterdir())
