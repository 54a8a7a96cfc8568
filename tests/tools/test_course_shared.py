"""A course folder that belongs to root and is read-only, as on a JupyterHub: nothing writes to it.

Permissions do not stop root, so the folder is mounted again, read-only, in a namespace that ends
with the command.
"""

import hashlib
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MOUNT = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
RUN = """
import sys, nbformat
from nbclient import NotebookClient
path, folder = sys.argv[1:]
options = {"kernel_name": "python3", "resources": {"metadata": {"path": folder}}}
NotebookClient(nbformat.read(path, 4), timeout=900, **options).execute()
"""


def read_only(folder, *command, **options):
    """Run a command for which a folder is read-only, for root too."""
    unshare = ["unshare", "--map-root-user", "--mount", "sh", "-c", MOUNT, str(folder)]
    return subprocess.run([*unshare, *command], capture_output=True, text=True, **options)


def can_mount(folder):
    if shutil.which("unshare") is None:
        return False
    touched = read_only(folder, "touch", str(folder / "touched"))
    assert not (folder / "touched").exists() or not touched.returncode
    (folder / "touched").unlink(missing_ok=True)
    return "Read-only" in touched.stderr


def tree(folder):
    """Return what a folder holds: path -> what it is, when it was changed, and its SHA-256."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[path.relative_to(folder).as_posix()] = (status.st_mode, status.st_mtime_ns, digest)
    return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Copy the tracked files of the course to where nobody can write."""
    if not can_mount(tmp_path_factory.mktemp("probe")):
        pytest.skip("this machine mounts nothing read-only")
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("srv") / "course"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.mark.parametrize("chapter", ["00_start_here", "01_data_cleaning", "12_your_own_book"])
def test_a_chapter_runs_and_writes_into_the_readers_home_alone(shared, tmp_path, chapter):
    before = tree(shared)
    notebooks = shared / "notebooks"
    environment = {key: value for key, value in os.environ.items() if key != "LSTMLIB_OUTPUT"}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(shared), "LSTMLIB_PROFILE": "ci"}
    environment |= {"OMP_NUM_THREADS": "1"}  # as on a hub
    command = [sys.executable, "-c", RUN, str(notebooks / f"{chapter}.ipynb"), str(notebooks)]
    run = read_only(shared, *command, cwd=tmp_path, env=environment)
    assert run.returncode == 0, run.stderr[-3000:]
    assert tree(shared) == before
    if not chapter.startswith("01"):  # which writes nothing
        assert any((tmp_path / "lstm-course-output").iterdir())


def test_jupyterlab_opens_a_copy_in_the_readers_home(shared, tmp_path):
    """All but JupyterLab itself: the Python of the shared environment says how it was called."""
    python = shared / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    place = shared / "lstmlib"
    python.write_text(
        f'#!/bin/sh\ncase "$*" in *lstmlib*) echo "{place}" ;; *) pwd; echo "$*" ;; esac\n'
    )
    python.chmod(0o755)
    digest = runpy.run_path(str(shared / "tools/course.py"))["lists_digest"]()
    (shared / ".venv" / ".installed").write_text(digest)
    before = tree(shared)
    environment = os.environ | {"HOME": str(tmp_path)}
    command = [sys.executable, str(shared / "tools/course.py"), "lab"]
    run = read_only(shared, *command, cwd=tmp_path, env=environment)
    assert run.returncode == 0, run.stderr
    mine = tmp_path / "lstm-course"
    assert f"{mine}\n-m jupyterlab --LabApp.default_url=/lab/tree/notebooks/00" in run.stdout
    assert len(list(mine.glob("notebooks/*.ipynb"))) == len(list(ROOT.glob("notebooks/*.ipynb")))
    assert tree(shared) == before
