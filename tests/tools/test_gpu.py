"""The command that runs the stages on a GPU, with stages of the tests' own."""

import json
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

import gpu  # noqa: E402

STAGE = """
import argparse, os, sys, time
from pathlib import Path
parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path)
parser.add_argument("--seconds", type=float)
parser.add_argument("--rehearse", action="store_true")
chosen = parser.parse_args()
(chosen.out / "runs").mkdir(exist_ok=True)
(chosen.out / "unfinished").mkdir(exist_ok=True)
(chosen.out / "unfinished" / "step.safetensors").write_text("large")
for item in ("a", "b"):
    path = chosen.out / "runs" / item
    if path.exists():
        print(item, "is there")
        continue
    path.write_text(os.environ["LSTMLIB_PROFILE"])
    print(item, "measured", flush=True)
    ENDING
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return a folder whose stages "right" and "speed" are STAGE."""
    monkeypatch.setattr(gpu, "PROGRAMS", tmp_path)
    monkeypatch.setattr(gpu, "RENEWED_EVERY", 0.2)
    monkeypatch.setattr(gpu, "GRACE", 0.5)
    monkeypatch.setattr(gpu, "PATIENCE", 1)
    monkeypatch.setattr(gpu, "BOUNDS", {"right": 1, "speed": 1})
    monkeypatch.setattr(
        gpu.gpu_pack, "check_pack", lambda pack: {"commit": "abc", "code": "1", "files": {}}
    )
    monkeypatch.setattr(gpu.gpu_pack, "install", lambda pack, target: target.mkdir(parents=True))
    monkeypatch.setattr(gpu.gpu_pack, "code_hash", lambda root: "1")
    monkeypatch.setattr(gpu.gpu_pack, "unmet", lambda site: [])
    return tmp_path


def write_stage(place, name, ending):
    (place / f"gpu_{name}.py").write_text(STAGE.replace("ENDING", ending))


def run(place, *stages, rehearse=True):
    return gpu.run(list(stages), place / "pack", place / "out", place / "work", rehearse)


def unpack(place, name):
    with tarfile.open(place / "out" / f"{name}.tar") as tar:
        files = {member.name: tar.extractfile(member).read().decode() for member in tar}
    return json.loads(files.pop("stage.json")), files


def test_a_stage_that_ends_is_whole(place, capsys):
    write_stage(place, "right", "pass")
    assert run(place, "right") == 0
    note, files = unpack(place, "right")
    assert files == {"runs/a": "ci", "runs/b": "ci"}
    assert (note["ended"], note["exit_code"], note["rehearsal"]) == ("whole", 0, True)
    assert (note["commit"], note["code"], note["limit"]) == ("abc", "1", 1)
    assert "b measured" in note["log"]
    said = capsys.readouterr().out
    assert "b measured" in said
    assert "right        whole" in said


def test_the_next_stage_runs_though_one_failed(place):
    write_stage(place, "right", "sys.exit('no such thing')")
    write_stage(place, "speed", "pass")
    assert run(place, "right", "speed") == 1
    note, files = unpack(place, "right")
    assert (note["ended"], list(files)) == ("failed", ["runs/a"])
    assert "no such thing" in note["log"]
    assert unpack(place, "speed")[0]["ended"] == "whole"


@pytest.mark.parametrize(
    "ending",
    [
        "time.sleep(60)",
        "while True:\n        try: time.sleep(60)\n        except KeyboardInterrupt: pass",
    ],
)
def test_a_stage_is_stopped_at_its_bound_and_keeps_what_it_has(place, ending):
    write_stage(place, "right", ending)
    assert run(place, "right") == 1
    note, files = unpack(place, "right")
    assert (note["ended"], list(files)) == ("cut off", ["runs/a"])


def test_what_a_stage_started_ends_with_it(place):
    start = "import subprocess; p = subprocess.Popen(['sleep', '60'])"
    write_stage(
        place, "right", f"{start}; (chosen.out / 'pid').write_text(str(p.pid)); time.sleep(60)"
    )
    run(place, "right")
    pid = int((place / "work" / "right" / "pid").read_text())
    state = Path(f"/proc/{pid}/stat")
    assert not state.exists() or state.read_text().split(")")[1].split()[0] == "Z"


def test_a_call_that_is_killed_leaves_a_whole_tar_and_the_next_goes_on(place):
    write_stage(place, "right", "time.sleep(60 * (item == 'b'))")
    settings = {name: getattr(gpu, name) for name in ("RENEWED_EVERY", "GRACE")}
    code = f"""
import sys
sys.path.insert(0, {str(TOOLS)!r})
import gpu
from pathlib import Path
gpu.PROGRAMS, gpu.BOUNDS = Path({str(place)!r}), {{"right": 60}}
gpu.RENEWED_EVERY, gpu.GRACE = {settings["RENEWED_EVERY"]}, {settings["GRACE"]}
gpu.gpu_pack.check_pack = lambda pack: {{"commit": "abc", "code": "1", "files": {{}}}}
gpu.gpu_pack.install = lambda pack, target: target.mkdir(parents=True)
gpu.gpu_pack.code_hash = lambda root: "1"
gpu.gpu_pack.unmet = lambda site: []
place = Path({str(place)!r})
gpu.run(["right"], place / "pack", place / "out", place / "work", True)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    tar, end = place / "out" / "right.tar", time.monotonic() + 60
    while not tar.exists() and time.monotonic() < end:
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    note, files = unpack(place, "right")
    assert (note["ended"], note["exit_code"]) == ("running", None)
    assert set(files) <= {"runs/a", "runs/b"}
    write_stage(place, "right", "pass")
    assert run(place, "right") == 0
    note, files = unpack(place, "right")
    assert set(files) == {"runs/a", "runs/b"}
    assert "a is there" in note["log"]


def test_a_tree_that_was_changed_is_of_no_commit(place, monkeypatch):
    monkeypatch.setattr(gpu.gpu_pack, "code_hash", lambda root: "2")
    write_stage(place, "right", "pass")
    run(place, "right")
    note, _ = unpack(place, "right")
    assert (note["commit"], note["code"]) == (None, "2")


def test_a_file_that_is_being_written_is_not_packed(place):
    write_stage(place, "right", "(chosen.out / 'runs' / 'a.123.part').write_text('half')")
    run(place, "right")
    assert set(unpack(place, "right")[1]) == {"runs/a", "runs/b"}


def test_a_file_that_goes_while_it_is_packed_stops_nothing(place, monkeypatch):
    write_stage(place, "right", "pass")
    add = tarfile.TarFile.add

    def gone(tar, name, *rest):
        if name.name == "a":
            raise FileNotFoundError(name)
        add(tar, name, *rest)

    monkeypatch.setattr(tarfile.TarFile, "add", gone)
    assert run(place, "right") == 0
    assert set(unpack(place, "right")[1]) == {"runs/b"}


def test_without_a_gpu_it_says_so(place, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    write_stage(place, "right", "pass")
    with pytest.raises(SystemExit, match="finds no CUDA device here.*--rehearse"):
        run(place, "right", rehearse=False)
    assert not (place / "out" / "right.tar").exists()


def test_a_pack_that_is_not_whole_is_refused(place, monkeypatch):
    def refuse(pack):
        raise gpu.gpu_pack.PackError("gpu-pack lacks texts/shakespeare.txt.")

    monkeypatch.setattr(gpu.gpu_pack, "check_pack", refuse)
    with pytest.raises(SystemExit, match="lacks texts/shakespeare"):
        run(place, "right")


def test_every_stage_has_its_program_and_two_calls_run_each_once():
    for name in gpu.BOUNDS:
        assert (TOOLS / f"gpu_{name.replace('-', '_')}.py").is_file()
        assert f"    {name} " in gpu.__doc__
        assert f" {gpu.BOUNDS[name]} s " in gpu.__doc__
    calls = [line.split()[2:] for line in gpu.__doc__.splitlines() if "--out OUT" in line]
    seconds = [sum(gpu.BOUNDS[stage] for stage in call[:-2]) for call in calls]
    assert sorted(stage for call in calls for stage in call[:-2]) == sorted(gpu.BOUNDS)
    assert max(seconds) < 6.6 * 60 and sum(seconds) < 13 * 60
