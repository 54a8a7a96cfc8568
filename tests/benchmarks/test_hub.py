"""What the page for a JupyterHub says of memory and time is what was measured."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def hub():
    return runpy.run_path(str(ROOT / "benchmarks" / "hub.py"), run_name="script")


@pytest.fixture(scope="module")
def results():
    return json.loads((ROOT / "benchmarks" / "hub.json").read_text(encoding="utf-8"))


def test_every_chapter_was_measured(results):
    assert set(results["ci"]) == {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {"00_start_here.ipynb", "05_training_on_gpu.ipynb"} <= set(results["cpu"])
    for part in ("ci", "cpu"):
        for run in results[part].values():
            assert run["own_mib"] > 50 and run["cpu_seconds"] > 1


def test_the_page_shows_what_was_measured(hub, results):
    page = (ROOT / "HUB.md").read_text(encoding="utf-8")
    between = page.partition(hub["MARKS"][0])[2].partition(hub["MARKS"][1])[0]
    assert between.strip() == hub["tables"](results)


def run_of(own, seconds):
    took = {"own_mib": own, "files_mib": 100, "cpu_seconds": seconds, "seconds": seconds}
    return took | {"cores_of_others": seconds / 10}


def test_what_a_class_needs_by_hand(hub):
    results = {"ci": {"00_start_here.ipynb": run_of(300, 6), "01_x.ipynb": run_of(900, 6)}}
    results["cpu"] = {"00_start_here.ipynb": run_of(400, 90), "05_x.ipynb": run_of(400, 270)}
    results["server"] = {"server": {"own_mib": 100, "files_mib": 40}}
    said = hub["tables"](results)
    for row in (
        "| memory of one reader, JupyterLab and the largest kernel above | 1000 MiB |",
        "| LIMIT to set for one reader, a quarter above that and its files | 1536M |",  # 1375
        "other programs kept 0.6 to 27.0 cores busy",
        "| memory, one shared environment | 195 GiB |",  # 200 * 1000 + 100
        "| memory, an environment for each | 215 GiB |",  # 200 * (1000 + 100)
        "in the profile `cpu` | 5.0 hours |",  # 200 * 1.5 minutes
        "| cores, to be through chapter 00 within 90 minutes | 4 |",  # 300 minutes in 90
        "| cores, for the longest chapter measured within 90 minutes | 10 |",
    ):
        assert row in said


def test_the_settings_name_what_is_in_the_course():
    """What the page has as code is Python, and calls a command that tools/course.py knows."""
    page = (ROOT / "HUB.md").read_text(encoding="utf-8")
    settings = re.findall(r"^    (c\.Spawner\..*)$", page, re.M)
    c = SimpleNamespace(Spawner=SimpleNamespace())
    exec("\n".join(settings), {"c": c})
    _, program, command = c.Spawner.cmd
    assert (ROOT / program.removeprefix("/srv/course/")).is_file()
    assert f"python tools/course.py {command} " in (ROOT / "tools/course.py").read_text("utf-8")
    assert (ROOT / c.Spawner.default_url.partition("lstm-course/")[2]).is_file()
    cluster = yaml.safe_load(
        "singleuser:\n" + page.partition("    singleuser:\n")[2].split("\n\n")[0]
    )
    assert cluster["singleuser"]["cmd"] == c.Spawner.cmd
    assert cluster["singleuser"]["defaultUrl"] == c.Spawner.default_url
    assert cluster["singleuser"]["extraEnv"] == c.Spawner.environment


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs /proc")
def test_arrays_of_a_grandchild_are_its_own_memory_and_a_mapped_file_is_not(hub, tmp_path):
    mapped = tmp_path / "file"
    mapped.write_bytes(b"x" * 50 * 2**20)
    code = """if True:
        import mmap, sys
        array = bytearray(b"x") * (80 * 2**20)
        file = open(sys.argv[1], "rb")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        sum(mapped[::4096])
        print("there", flush=True)
        sys.stdin.read()"""
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}, sys.argv[1]])"
    command = [sys.executable, "-c", child, str(mapped)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"there\n"
        found = hub["descendants"](process.pid)
        assert len(found) == 2 and process.pid in hub["descendants"](os.getpid())
        own, files = hub["memory"](found[1])
        assert 80 < own / 2**20 < 110
        assert 50 < files / 2**20 < 80
    finally:
        process.communicate(b"")
