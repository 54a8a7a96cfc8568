"""Stage *speed* of tools/gpu.py, rehearsed on the CPU at tiny sizes."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lstmlib import settings, training
from lstmlib.course import plots

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, str(ROOT / "tools" / "gpu_speed.py")]
GRID = "runs/speed-gpu/result.json"
KEYS = {
    "overhead": {"machine", "batch_size", "seq_len", "rows", "ratio", "ratio_waiting"},
    "cpu_beside_gpu": {"machine", "cpu_threads", "rows", "ratio"},
    "generation": {"machine", "characters_per_second", "ratio", "left_out", "model"},
    "compiled_step": {"machine", "milliseconds_per_step", "speed_over_plain", "left_out"},
}


def start(*arguments, **more):
    before = os.environ.get("PYTHONPATH", "")
    paths = os.pathsep.join(filter(None, [str(ROOT), before]))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **more}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **pipes)


def finish(*arguments, **more):
    process = start(*arguments, **more)
    said = process.communicate()[0]
    return process.returncode, said


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    """A rehearsal that was killed in the middle of the grid, and started again."""
    folder = tmp_path_factory.mktemp("speed")
    unfinished, process = (
        folder / "unfinished" / GRID,
        start("--out", folder, "--rehearse", "--seconds", 500),
    )
    while not unfinished.exists() or len(read(unfinished)["points"]) < 3:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    begun = read(unfinished)["points"], (folder / "benchmarks/gpu/overhead.json").read_bytes()
    code, said = finish("--out", folder, "--rehearse", "--seconds", 500)
    assert code == 0, said
    return folder, begun, said


def test_a_killed_rehearsal_goes_on_and_is_not_measured_again(rehearsed):
    folder, (points, overhead), said = rehearsed
    assert (folder / "benchmarks/gpu/overhead.json").read_bytes() == overhead
    assert "fit(), 8 units, float32: recorded already" in said
    assert all(point in read(folder / GRID)["points"] for point in points)
    before = {path: path.read_bytes() for path in folder.rglob("*.json")}
    code, said = finish("--out", folder, "--rehearse", "--seconds", 500)
    assert code == 0 and said.count("recorded already") == 7
    assert {path: path.read_bytes() for path in folder.rglob("*.json")} == before


def check_results(folder):
    """Hold the four files of benchmarks/gpu to their own figures."""
    found = {name: read(folder / "benchmarks/gpu" / f"{name}.json") for name in KEYS}
    for name, keys in KEYS.items():
        assert found[name].keys() >= keys
        assert found[name]["machine"].keys() >= {"device", "pytorch", "python"}
    for row in found["overhead"]["rows"]:
        times = row["milliseconds_per_step"]
        assert times.keys() == {"bare loop", *row["ratio"]} and row["rounds"] >= 3
        for way, ratio in row["ratio"].items():
            assert ratio == pytest.approx(times["bare loop"] / times[way], rel=2e-3, abs=1e-3)
    lowest = min(row["ratio"]["fit()"] for row in found["overhead"]["rows"])
    assert found["overhead"]["ratio"] == lowest
    for row in found["cpu_beside_gpu"]["rows"]:
        best = {"CPU": 0, "GPU": 0}
        for way, speed in row["characters_per_second"].items():
            best[way[:3]] = max(best[way[:3]], speed)
        assert row["ratio"] == pytest.approx(best["GPU"] / best["CPU"], abs=0.006)
    speed = found["generation"]["characters_per_second"]
    for name, ratio in found["generation"]["ratio"].items():
        assert ratio == pytest.approx(speed[name] / speed["nn.LSTM"], rel=1e-2, abs=2e-3)
    times = found["compiled_step"]["milliseconds_per_step"]
    for name, ratio in found["compiled_step"]["speed_over_plain"].items():
        assert ratio == pytest.approx(times["plain"] / times[name], rel=2e-3, abs=1e-3)
    judged = times.keys() | found["compiled_step"]["left_out"].keys()
    assert judged >= {"plain", "torch.compile"}
    return found


def test_the_results_of_a_rehearsal_agree_with_themselves(rehearsed):
    found = check_results(rehearsed[0])
    assert all(result["rehearsal"] for result in found.values())
    waits = found["overhead"]["rows"][0]["ratio"].keys() - {"fit()"}
    assert bool(waits) == hasattr(training, "_defers")


def test_what_is_recorded_agrees_with_itself():
    if not (ROOT / "benchmarks/gpu/compiled_step.json").exists():
        pytest.skip("not yet measured")
    assert not any(result["rehearsal"] for result in check_results(ROOT).values())


def test_the_grid_is_whole_and_drawn_beside_the_cpu(rehearsed):
    """As chapter 13 reads and draws what stands in runs/speed-*/result.json."""
    result = read(rehearsed[0] / GRID)
    assert {"device", "pytorch", "threads", "seq_len", "copied_bytes_per_second"} < result.keys()
    keys = [(r["hidden_size"], r["batch_size"], r["precision"]) for r in result["points"]]
    assert keys == sorted(set(keys)) and len(keys) == 4 * 5
    cpu = read(ROOT / "runs/speed-cpu/result.json")
    figure = plots.training_speeds({"cpu": cpu, "gpu": result})
    named = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert {"cpu, H = 512", "gpu, H = 4"} < set(named)


def test_a_grid_that_is_cut_off_has_its_whole_columns():
    program = runpy.run_module("benchmarks.measure_speed", run_name="script")
    points = program["grid_of"](torch.device("cpu"))
    assert list(dict.fromkeys(batch for _, batch, _ in points)) == [1, 16, 64, 256, 4]
    rows = [
        dict(zip(("hidden_size", "batch_size", "precision"), point, strict=True))
        for point in points
    ]
    column = len(points) // 5
    whole = program["whole_columns"]
    assert whole({"points": rows[: 4 * column - 1]}, points) is None
    for count in (4 * column, 5 * column - 1):
        cut = whole({"device": "a", "points": rows[:count]}, points)
        assert cut["device"] == "a"
        assert {row["batch_size"] for row in cut["points"]} == {1, 16, 64, 256}
        assert len(cut["points"]) == 4 * column
    assert len(whole({"points": rows}, points)["points"]) == len(points)


# In this process


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import gpu_speed

    yield gpu_speed
    for name in ("gpu_speed", "gpu_machine"):
        sys.modules.pop(name, None)


def given(folder, seconds=10_000):
    device = torch.device("cpu")
    return SimpleNamespace(out=folder, seconds=seconds, rehearse=True, device=device)


def test_a_point_that_needs_too_much_memory_is_said_and_left_out(tool, tmp_path, capsys):
    def too_much():
        raise torch.cuda.OutOfMemoryError("out of memory")

    assert tool.fits(too_much, "grid (2048, 1024, 'float32')") is None
    assert "this GPU's memory is too small" in capsys.readouterr().out


def test_of_a_record_that_was_cut_off_the_missing_rows_are_measured(tool, tmp_path, monkeypatch):
    """Also where another call measured the others, and this one begins with an empty folder."""
    import gpu_machine

    measured = []

    def compare(device, hidden, config, first, seconds):
        measured.append(hidden)
        ratio = {"fit()": 0.9, "waiting": 0.8}
        return row(hidden, 5) | {"ratio": ratio}

    def row(hidden, rounds):
        ratio = {"fit()": 0.95}
        return {
            "hidden_size": hidden,
            "precision": "float32",
            "rounds": rounds,
            "ratio": ratio,
        }

    program = SimpleNamespace(FIT="fit()", WAITING="waiting", compare=compare)
    monkeypatch.setattr(tool, "module", lambda path: program)
    monkeypatch.setattr(gpu_machine, "ROOT", tmp_path / "repository")
    monkeypatch.setattr(tool, "PRECISIONS", ("float32",))
    ours = given(tmp_path / "out")
    ours.rehearse = False
    few = row(512, 3)  # of too few rounds: measured again
    record = {"machine": tool.machine(ours.device), "rehearsal": False, "rows": [row(1024, 5), few]}
    tool.write_json(gpu_machine.ROOT / tool.OVERHEAD, record)
    tool.overhead(ours, 0)
    found = read(ours.out / tool.OVERHEAD)
    assert measured == [512, 256] and found["wanted"] == 3
    assert [row["hidden_size"] for row in found["rows"]] == [1024, 512, 256]
    tool.write_json(gpu_machine.ROOT / tool.OVERHEAD, found)
    ours.out = tmp_path / "next"
    tool.overhead(ours, 0)
    assert measured == [512, 256] and not ours.out.exists()
    record["machine"] = {"device": "another"}
    tool.write_json(gpu_machine.ROOT / tool.OVERHEAD, record)
    tool.overhead(ours, 0)
    assert measured[2:] == [512, 1024, 256]


def test_what_fails_stops_nothing_else(tool, tmp_path, monkeypatch, capsys):
    def broken(given, until):
        raise RuntimeError("CUDA error")

    items = {"one": (broken, 0, 0.5), "two": (lambda given, until: "done", 0, 0.0)}
    monkeypatch.setattr(tool, "ITEMS", items)
    found, whole = tool.run(given(tmp_path))
    assert found == {"one": "failed: RuntimeError: CUDA error", "two": "done"}
    assert not whole


def test_what_has_no_time_is_taken_up_at_the_end(tool, tmp_path, monkeypatch):
    asked = []

    def long(given, until):
        asked.append(until)
        if len(asked) == 1:
            raise tool.NoTime
        return "whole"

    items = {"long": (long, 0, 0.5), "short": (lambda given, until: "done", 0, 0.0)}
    monkeypatch.setattr(tool, "ITEMS", items)
    assert tool.run(given(tmp_path)) == ({"long": "whole", "short": "done"}, True)
    assert asked == [5000, 1.5]
    found, whole = tool.run(given(tmp_path, seconds=-1))
    assert found == dict.fromkeys(items, "no time left") and not whole


def test_a_compilation_that_takes_too_long_is_ended_and_said(tool, tmp_path, monkeypatch):
    slow = tmp_path / "benchmarks" / "compiled_step.py"
    slow.parent.mkdir()
    slow.write_text(
        "import json, pathlib, sys, time\n"
        "given = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        "path = pathlib.Path(given['--out'])\n"
        "path.parent.mkdir(parents=True)\n"
        "path.write_text(json.dumps({'left_out': given['--limit']}))\n"
        "time.sleep(60)\n"
    )
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    found = tool.judged(given(tmp_path), 2)
    assert found["left_out"] == "2 s" and found["rehearsal"]


def test_the_first_result_of_a_compiled_step_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("LSTMLIB_TINY_STEP", "1")
    path = ROOT / "benchmarks" / "compiled_step.py"
    script = runpy.run_path(str(path), run_name="script")
    results = []
    ours = script["main"].__globals__
    monkeypatch.setitem(ours, "write", lambda path, result: results.append(result))

    def no_compiler(*_, **__):
        raise RuntimeError("There is no compiler.\nAnd more.")

    monkeypatch.setattr(torch, "compile", no_compiler)
    arguments = ["", "--device", "cpu", "--out", str(tmp_path / "a.json"), "--limit", "9 s"]
    monkeypatch.setattr(sys, "argv", arguments)
    script["main"]()
    assert [result["left_out"] for result in results] == [
        {"torch.compile": "took longer than 9 s"},
        {"torch.compile": "RuntimeError: There is no compiler."},
    ]
    assert all(result["speed_over_plain"] == {"plain": 1.0} for result in results)


def test_fit_waits_only_where_it_is_told_to(monkeypatch):
    """`compare` turns the deferring off for one way to train, and for that alone."""
    script = runpy.run_path(str(ROOT / "benchmarks/training_overhead.py"), run_name="script")
    asked = []
    monkeypatch.setattr(training, "_defers", lambda *_: asked.append(1) or False, raising=False)
    config = settings.TrainingConfig(4, 2, 3)
    row = script["compare"](torch.device("cpu"), 4, config, 1, 0.0)
    assert row["ratio"].keys() == {"fit()", "fit(), waiting at every step"}
    assert row["rounds"] == 3
    assert len(asked) in (0, 4)  # none where fit() knows no deferring


def test_without_cuda_it_says_so(tmp_path):
    code, said = finish("--out", tmp_path, CUDA_VISIBLE_DEVICES="")
    assert code != 0
    assert "PyTorch finds no CUDA device here" in said and "Traceback" not in said
    assert not list(tmp_path.iterdir())
