"""What `make` installs, where, and what it says; the Pythons that it finds."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CPU_BUILD = "--extra-index-url https://download.pytorch.org/whl/cpu"
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make and a shell")
# A Python that answers what it is told to, and writes down what pip was to install. It cannot run
# tools/course.py, so make looks for another.
PYTHON = """#!/bin/sh
case "$*" in
    *"print(\\".venv"*) exit 1 ;;
    *"-m pip config list") echo "$PIP_SAYS" ;;
    *"-m pip --version") exit 0 ;;
    "-m pip "*) echo "$*" >> calls ;;
    *urllib*) exit "$INDEX_ANSWERS" ;;
    *torch*) echo "$TORCH" ;;
    *lstmlib*) echo "$LSTMLIB" ;;
esac
"""


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def course(tmp_path):
    """Copy what installs into a folder whose environment is made already."""
    folder = tmp_path / "a course"
    shutil.copytree(ROOT / "tools", folder / "tools")
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    program(folder / ".venv" / "bin" / "python", PYTHON)
    program(folder / "pythons" / "python3.11", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    return folder


def run(course, *command, **answers):
    """Run a command in the course; the index answers, pip has no settings, no PyTorch is there."""
    environment = {"PATH": f"{course / 'bin'}:{course / 'pythons'}:{os.defpath}"}
    environment |= {"HOME": str(course)}
    environment |= {"PIP_NO_INDEX": "1"}  # nothing is fetched, whatever goes wrong
    environment |= {"PIP_SAYS": "", "INDEX_ANSWERS": "0", "TORCH": ""}
    environment |= {"LSTMLIB": str(course / "lstmlib")} | answers
    return subprocess.run(command, cwd=course, env=environment, capture_output=True, text=True)


def installed(course, *arguments, **answers):
    """Install; return what was said, and the arguments of each call of pip."""
    done = run(course, sys.executable, "tools/course.py", "install", *arguments, **answers)
    assert done.returncode == 0, done.stderr
    return done.stdout, (course / "calls").read_text().splitlines()


@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="has an NVIDIA driver")
def test_without_a_driver_the_cpu_build_comes_and_only_pytorch_from_there(course):
    said, (torch, rest) = installed(course)
    assert torch.endswith(f"{CPU_BUILD} -c constraints.txt torch")
    assert rest.endswith("install --disable-pip-version-check -c constraints.txt -e .")
    assert "2.8 GB with NVIDIA's libraries" in said
    assert "no NVIDIA driver" in said
    assert "0.1 GB" in said


@pytest.mark.parametrize(
    "answers",
    [
        {"PIP_SAYS": "global.index-url='https://pypi.example.org'"},
        {"PIP_SAYS": ":env:.extra-index-url='https://example.org'"},
        {"PIP_SAYS": "global.no-index='true'"},
        {"INDEX_ANSWERS": "1"},
    ],
)
def test_pip_decides_where_it_is_set_or_the_index_does_not_answer(course, answers):
    _, (torch, _) = installed(course, **answers)
    assert torch.endswith("install --disable-pip-version-check -c constraints.txt torch")


def test_with_a_driver_pip_decides(course):
    program(course / "bin" / "nvidia-smi", "#!/bin/sh")
    said, (torch, _) = installed(course)
    assert "index-url" not in torch
    assert "no NVIDIA driver" not in said


@pytest.mark.parametrize(("there", "asked"), [("same", False), ("1.0.0", True)])
def test_pytorch_is_fetched_only_where_another_is_there(course, there, asked):
    lines = (course / "constraints.txt").read_text().splitlines()
    pinned = next(line.removeprefix("torch==") for line in lines if line.startswith("torch=="))
    said, calls = installed(course, TORCH=pinned if there == "same" else there)
    assert ("PyTorch" in said) == asked
    assert len(calls) == 1 + asked


def test_the_checks_need_more_and_hashes_are_an_option(course):
    assert installed(course, "checks")[1][-1].endswith("-c constraints.txt -e .[dev]")
    (course / ".venv" / ".installed").unlink()
    hashed, own = installed(course, HASHES="1")[1][-2:]
    assert hashed.endswith("--require-hashes --no-deps -r constraints-hashes.txt")
    assert own.endswith("--no-deps --no-build-isolation -e .")


def test_a_folder_that_is_read_only_says_what_to_do(course):
    shutil.rmtree(course / ".venv")
    (course / ".venv").touch()
    done = run(course, "make", "lab")
    assert done.returncode != 0
    assert f"cp -r '{course}' ~/lstm-course" in done.stderr
    assert not (course / "calls").exists()


@pytest.mark.parametrize("target", ["lab", "test-oldest"])
@pytest.mark.parametrize(("place", "anew"), [("here", False), ("elsewhere", True), ("", True)])
def test_an_environment_of_another_folder_is_built_anew(course, target, place, anew):
    """The new one is a real one; the PATH names a Python that says what it was told to make."""
    digest = runpy.run_path(str(course / "tools/course.py"))["lists_digest"]()
    for stamp in (".installed", ".installed-for-checks"):
        (course / ".venv" / stamp).write_text(digest)
    found = {"here": str(course / "lstmlib"), "elsewhere": "/old/lstmlib", "": ""}[place]
    sees = "import sys; sys.orig_argv[1:3] == ['-m', 'venv'] and sys.exit('asked for venv')\n"
    (course / "sees").mkdir()
    (course / "sees" / "sitecustomize.py").write_text(sees)
    done = run(course, "make", target, LSTMLIB=found, PYTHONPATH=str(course / "sees"))
    assert ("built anew" in done.stdout) == anew
    assert (course / ".venv").exists() == (not anew)


@pytest.mark.parametrize(("change", "again"), [(None, False), ("constraints.txt", True)])
def test_installed_again_only_where_a_list_has_changed(course, change, again):
    installed(course)
    if change:
        (course / change).write_text((course / change).read_text() + "# another\n")
        os.utime(course / change, (0, 0))  # as all files of an archive
    (course / "calls").write_text("")
    _, calls = installed(course)
    assert bool(calls) == again


def test_what_pip_could_not_install_is_not_taken_for_installed(course):
    program(course / ".venv" / "bin" / "python", PYTHON.replace(">> calls", "; exit 1"))
    done = run(course, sys.executable, "tools/course.py", "install")
    assert done.returncode == 1
    assert "pip could not install this" in done.stderr and "Traceback" not in done.stderr
    assert not (course / ".venv" / ".installed").exists()


@pytest.mark.parametrize("only", ["python3.10", "python3.14"])
def test_each_declared_python_is_found(course, only):
    program(course / "bin" / only, f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    finder = [shutil.which("sh"), "tools/find_python.sh"]
    assert run(course, *finder, PATH=str(course / "bin")).stdout == f"{only}\n"
    program(course / "bin" / only, "#!/bin/sh\nexit 1\n")  # too old, too new, or without venv
    done = run(course, *finder, PATH=str(course / "bin"))
    assert done.returncode == 1
    assert "Python 3.10 to 3.14" in done.stderr


def test_a_python_that_pyenv_keeps_is_found_for_the_tests(tmp_path, monkeypatch):
    find = runpy.run_path(str(ROOT / "tools" / "test_pythons.py"))["find"]
    kept = tmp_path / "versions" / "3.98.1" / "bin" / "python"
    program(kept, "#!/bin/sh\necho 3.98\n")
    program(tmp_path / "bin" / "python3.98", "#!/bin/sh\nexit 127\n")  # a shim, switched off
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert find("3.98") == str(kept)
    assert find("3.97") is None


def collected(tmp_path, *options, **environment):
    names = ["tests/lstmlib/test_vocab.py", "tests/lstmlib/test_models.py"]
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", *options, *names]
    command += ["-p", "no:cacheprovider"]
    environment = os.environ | environment
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_tests_that_need_no_pytorch_are_told_by_their_imports(tmp_path):
    done = collected(tmp_path, "--without-torch")
    assert done.returncode == 0, done.stdout
    assert "tests/lstmlib/test_vocab.py::" in done.stdout
    assert "tests/lstmlib/test_models.py::" not in done.stdout
    assert "tests/lstmlib/test_models.py: needs PyTorch" in done.stdout


def test_a_broken_pytorch_is_an_error_unless_tests_run_without_it(tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")")
    done = collected(tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert done.returncode == 2
    assert "ERROR tests/lstmlib/test_models.py" in done.stdout


def stub(folder, name, version):
    """Let pip find a package of this version, ahead of the one that is installed."""
    metadata = folder / f"{name}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (metadata.parent / "INSTALLER").write_text("a notebook service\n")


@pytest.mark.parametrize(("torch", "numpy"), [("2.4.0", "1.26.4"), ("2.11.0+cu130", "2.5.2")])
def test_an_installation_leaves_the_pytorch_and_numpy_of_a_service_alone(tmp_path, torch, numpy):
    """Without an index pip can only succeed if what is asked for is there already."""
    pytest.importorskip("torch")  # without it some of the rest is not installed either
    stub(tmp_path / "service", "torch", torch)
    stub(tmp_path / "service", "numpy", numpy)
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "-e", "."]
    command += ["--no-build-isolation", "--report", str(tmp_path / "report.json")]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "service")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"({torch})" in done.stdout and f"({numpy})" in done.stdout  # they were looked at
    installs = json.loads((tmp_path / "report.json").read_text())["install"]
    assert [each["metadata"]["name"] for each in installs] == ["lstmlib"]


def test_five_lines_say_how_to_use_a_notebook_service():
    chapter = json.loads((ROOT / "notebooks" / "05_training_on_gpu.ipynb").read_text("utf-8"))
    cells = ["".join(cell["source"]) for cell in chapter["cells"]]
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    least = re.search(r'"torch>=([\d.]+)"', pyproject)[1]
    for text in ("\n".join(cells), (ROOT / "README.md").read_text(encoding="utf-8")):
        lines = re.search(r"otebook service.*?\n\n(1\. .*?)(\n\n|$)", text, re.S)[1]
        assert re.findall(r"^(\d)\.", lines, re.M) == ["1", "2", "3", "4", "5"]
        for part in ("git clone", "pip install -e .", "LSTMLIB_OUTPUT", "`gpu`", "`Checkpoints`"):
            assert part in lines
        assert f"PyTorch ({least} or later)" in lines
