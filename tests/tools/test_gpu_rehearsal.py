"""All stages, rehearsed: on what a bare GPU machine has and what is carried, and nothing else."""

import json
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from gpu_rehearsal import ROOT, make_environment, make_pack, variables
from test_gpu_right import check_whole

sys.path.insert(0, str(ROOT / "tools"))

import gpu
import gpu_collect
import gpu_pack

LEAVES = {
    "right": {"benchmarks/gpu/right.json"},
    "notebooks": {"gpu-survey/01_data_cleaning.json"},
    "speed": {"benchmarks/gpu/overhead.json", "runs/speed-gpu/result.json"},
    "leaderboard": {"runs/leaderboard/gpu/steps.json", "runs/leaderboard/gpu/recipe-1.json"},
    "case-d": {"runs/case-d-full/result.json", "runs/case-d-full/history.jsonl"},
}


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """Return (the Python of a bare machine, a pack for it)."""
    place = tmp_path_factory.mktemp("bare")
    try:
        make_pack(place / "gpu-pack")
    except gpu_pack.PackError as error:
        pytest.skip(f"a text is neither on this machine nor to be had: {error}")
    return make_environment(place / "machine", with_pack=False), place / "gpu-pack"


def command(machine, place, *stages):
    python, pack = machine
    folders = ["--pack", str(pack), "--out", str(place / "out"), "--work", str(place / "work")]
    return [str(python), str(ROOT / "tools" / "gpu.py"), *stages, "--rehearse", *folders]


def unpack(path):
    with tarfile.open(path) as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar}
    return json.loads(files.pop("stage.json")), files


def kill_at_its_first_file(machine, place, stage):
    """Begin a stage, and kill it as soon as it has written something."""
    with (place / "log").open("w") as log:
        child = subprocess.Popen(
            command(machine, place, stage), env=variables(), stdout=log, stderr=log
        )
        end = time.monotonic() + 120
        folder = place / "work" / stage
        while child.poll() is None and time.monotonic() < end:
            if any(f.is_file() for f in folder.rglob("*/*")):
                break
            time.sleep(0.1)
        assert child.poll() is None, (place / "log").read_text()
        child.send_signal(signal.SIGKILL)
        child.wait()


@pytest.fixture(scope="module")
def rehearsed(machine, tmp_path_factory):
    """Return the folder of all stages' results, and what was said.

    Each stage was killed once; then one call went on with all of them. Without a break each is
    rehearsed in its own file, such as test_gpu_speed.
    """
    place = tmp_path_factory.mktemp("rehearsed")
    for stage in gpu.BOUNDS:
        kill_at_its_first_file(machine, place, stage)
    done = subprocess.run(
        command(machine, place, *gpu.BOUNDS), env=variables(), capture_output=True, text=True
    )
    return place / "out", done.stdout + done.stderr


@pytest.mark.parametrize("stage", gpu.BOUNDS)
def test_a_stage_that_was_killed_goes_on_to_its_end(rehearsed, stage):
    out, said = rehearsed
    note, files = unpack(out / f"{stage}.tar")
    assert note["ended"] == "whole", said
    assert note["rehearsal"] and note["code"] == gpu_pack.code_hash(ROOT)
    assert LEAVES[stage] <= set(files), said


def test_all_tests_of_cuda_pass_on_a_cpu(rehearsed):
    _, files = unpack(rehearsed[0] / "right.tar")
    check_whole(json.loads(files["benchmarks/gpu/right.json"]))


def test_chapters_leave_their_rows(rehearsed):
    _, files = unpack(rehearsed[0] / "notebooks.tar")
    rows = {Path(path).stem: json.loads(data) for path, data in files.items()}
    assert set(rows) == {"rehearsal", "01_data_cleaning"}
    for row in rows.values():
        assert row["profile"] == "ci" and row["bands"] and row["beside"] and "gpu" in row
        assert row["facts"] == row["stopped"] == []


def test_what_comes_home_is_little_enough(rehearsed):
    out, _ = rehearsed
    assert len(list(out.iterdir())) <= 8
    assert all(path.stat().st_size < gpu.LARGEST for path in out.iterdir())


def test_a_rehearsal_is_not_collected(rehearsed, capsys):
    out, _ = rehearsed
    before = subprocess.run(["git", "status", "--short"], cwd=ROOT, capture_output=True).stdout
    assert gpu_collect.main([str(out)]) == 1
    assert "rehearsal" in capsys.readouterr().out
    after = subprocess.run(["git", "status", "--short"], cwd=ROOT, capture_output=True).stdout
    assert before == after


def test_without_a_gpu_it_says_so(machine, tmp_path):
    without = [part for part in command(machine, tmp_path, "right") if part != "--rehearse"]
    done = subprocess.run(
        without, env=variables(CUDA_VISIBLE_DEVICES=""), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "finds no CUDA device here" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pack_without_its_texts_is_refused(machine, tmp_path):
    python, pack = machine
    copy = tmp_path / "gpu-pack"
    copy.mkdir()
    for path in pack.rglob("*"):
        if path.is_file():
            target = copy / path.relative_to(pack)
            target.parent.mkdir(exist_ok=True)
            target.symlink_to(path)
    (copy / "texts" / "shakespeare.txt").unlink()
    done = subprocess.run(
        command((python, copy), tmp_path, "right"), env=variables(), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "shakespeare.txt is missing" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(Path(tmp_path / "out").glob("*.tar"))
