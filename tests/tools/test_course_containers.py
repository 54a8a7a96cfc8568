"""Containers: what can be checked of their files without Docker; and their commands run."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CPU = "https://download.pytorch.org/whl/cpu"


def lines(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_dockerfile_drops_root_before_it_starts_and_ends_with_jupyterlab():
    words = [line.split(maxsplit=1) for line in lines("Dockerfile")]
    names = [word for word, _ in words]
    assert names[0] == "FROM" and names[-1] == "CMD"
    assert names.index("USER") > max(i for i, name in enumerate(names) if name == "RUN")
    (user,) = [rest for name, rest in words if name == "USER"]
    (made,) = [rest for name, rest in words if name == "RUN" and "useradd" in rest]
    assert user in made.split()
    assert json.loads(words[-1][1])[:3] == ["python", "tools/course.py", "lab"]
    version = re.fullmatch(r"python:3\.(\d+)-slim", words[0][1])[1]
    assert f"3.{version}" in (ROOT / "pyproject.toml").read_text()


def test_what_the_image_is_built_from_is_the_course_alone():
    ignored = set(lines(".dockerignore"))
    assert {".git", ".venv", "notebooks/output"} <= ignored
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    for name in tracked.stdout.splitlines():
        assert not any(name == each or name.startswith(f"{each}/") for each in ignored), name


@pytest.mark.skipif(os.name == "nt", reason="runs a shell")
def test_the_commands_of_the_dockerfile_run_in_order_in_a_clean_folder(tmp_path):
    """For real, but for useradd, and that pip finds the packages of this environment."""
    pytest.importorskip("torch")
    folder = tmp_path / "srv"
    for name in ("tools", "lstmlib"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "constraints.txt", "README.md"):
        shutil.copy(ROOT / name, folder)
    useradd = tmp_path / "bin" / "useradd"
    useradd.parent.mkdir()
    useradd.write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    useradd.chmod(0o755)
    environment = os.environ | {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    environment |= {"PYTHONPATH": sysconfig.get_path("purelib")}
    environment |= {"PATH": f"{useradd.parent}{os.pathsep}{os.environ['PATH']}"}
    commands = [line.removeprefix("RUN ") for line in lines("Dockerfile") if line[:4] == "RUN "]
    assert len(commands) >= 3
    for command in commands:
        done = subprocess.run(
            ["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert list((folder / "lstmlib" / "__pycache__").glob("runtime.*.pyc"))
    code = "import lstmlib; print(lstmlib.__path__[0])"
    own = subprocess.run([folder / ".venv/bin/python", "-Ic", code], capture_output=True, text=True)
    assert own.stdout.strip() == str(folder / "lstmlib")


def test_a_devcontainer_installs_the_course_and_uses_its_python():
    said = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    known = {"name", "image", "hostRequirements", "postCreateCommand", "containerEnv"}
    assert set(said) == known | {"customizations"}
    version = re.search(r"python:(3\.\d+)$", said["image"])[1]
    assert f":: {version}" in (ROOT / "pyproject.toml").read_text()
    _, program, command = shlex.split(said["postCreateCommand"])
    assert (ROOT / program).is_file() and command == "install"
    place = said["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert place.endswith("/.venv/bin/python")
    (opened,) = said["customizations"]["codespaces"]["openFiles"]
    assert (ROOT / opened).is_file()


def test_binder_takes_the_cpu_build_and_the_pins_and_has_no_list_of_its_own():
    index, pins, course = lines(".binder/requirements.txt")
    assert index == f"--extra-index-url {CPU}"
    assert f'"{CPU}"' in (ROOT / "tools/course.py").read_text(encoding="utf-8")
    assert (ROOT / ".binder" / pins.removeprefix("-c ")).resolve() == ROOT / "constraints.txt"
    assert course == "-e ."  # the root, where Binder calls pip
    (version,) = lines(".binder/runtime.txt")
    assert version.replace("python-", ":: ") in (ROOT / "pyproject.toml").read_text()
