"""The program that sets up the course and opens it, also where there is no make."""

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # the scripts stand beside each other, in no package

import course  # noqa: E402
from lab import free_port  # noqa: E402

POSIX = pytest.mark.skipif(os.name == "nt", reason="runs programs of a shell")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A course in a folder with blanks and an accent, with nothing installed."""
    folder = tmp_path / "my course é"
    (folder / "notebooks").mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    (folder / "notebooks" / "00_start_here.ipynb").write_text("{}")
    monkeypatch.setattr(course, "ROOT", folder)
    monkeypatch.setattr(course, "VENV", folder / ".venv")
    return folder


@pytest.fixture
def commands(monkeypatch):
    """Collect the commands that are to run, and run none."""
    found = []
    done = subprocess.CompletedProcess([], 0, stdout=b"")
    monkeypatch.setattr(subprocess, "run", lambda parts, **options: found.append(parts) or done)
    return found


def test_old_pythons_can_read_it_and_are_told_which_they_need(here, monkeypatch):
    ast.parse((ROOT / "tools/course.py").read_text(encoding="utf-8"), feature_version=(3, 7))
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(
        course.Refused, match=r"Python 3\.9\. The course needs Python 3\.10 to 3\.14"
    ):
        course.install()
    assert not (here / ".venv").exists()


def test_a_python_without_venv_says_how_to_get_it(here, monkeypatch):
    monkeypatch.setattr(course.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(course.Refused, match="without its venv module.*\n.*python3-venv"):
        course.install()


def test_uv_makes_the_environment_where_this_python_cannot(here, monkeypatch, commands):
    monkeypatch.setattr(sys, "version_info", (3, 16, 0))
    monkeypatch.setattr(shutil, "which", lambda name: "/its/uv" if name == "uv" else None)
    course._make_environment()
    environment = str(here / ".venv")
    assert commands == [["/its/uv", "venv", "--seed", "--python", ">=3.10,<3.15", environment]]


def test_on_windows_the_environment_has_other_folders(here, monkeypatch):
    assert course.python() == here / ".venv" / "bin" / "python"
    monkeypatch.setattr(course, "WINDOWS", True)
    assert course.python() == here / ".venv" / "Scripts" / "python.exe"
    monkeypatch.setattr(course, "writable", lambda folder: False)
    with pytest.raises(course.Refused) as refused:
        course.install()
    assert f'xcopy /e /i "{here}" "%USERPROFILE%\\lstm-course"' in str(refused.value)
    assert "py -3.11 tools\\course.py lab" in str(refused.value)


@pytest.mark.parametrize(("letters", "on", "warned"), [(3, False, False), (150, False, True)])
def test_windows_is_warned_of_long_paths(tmp_path, monkeypatch, capsys, letters, on, warned):
    monkeypatch.setattr(course, "VENV", Path("c" * letters) / ".venv")
    monkeypatch.setattr(course, "_long_paths_are_on", lambda: on)
    course._warn_of_long_paths()
    assert capsys.readouterr().out == ""  # not on Linux
    monkeypatch.setattr(course, "WINDOWS", True)
    course._warn_of_long_paths()
    assert ("long path" in capsys.readouterr().out) == warned


def test_on_windows_the_program_waits_and_leaves_ctrl_c_to_jupyterlab(monkeypatch, tmp_path):
    given = [KeyboardInterrupt, KeyboardInterrupt, 3]

    class Lab:
        def wait(self):
            if given[0] is KeyboardInterrupt:
                raise given.pop(0)
            return given.pop(0)

    started = []
    monkeypatch.setattr(course, "WINDOWS", True)
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **options: started.append(options) or Lab())
    with pytest.raises(SystemExit) as ended:
        course._become(["lab"], tmp_path)
    assert ended.value.code == 3 and given == []
    assert started[0]["cwd"] == str(tmp_path)


def test_an_environment_in_use_is_not_torn(here, monkeypatch):
    (here / ".venv").mkdir()

    def in_use(path):
        raise PermissionError(13, "in use", "python.exe")

    monkeypatch.setattr(shutil, "rmtree", in_use)
    with pytest.raises(course.Refused, match=r"python\.exe cannot be removed \(in use\)"):
        course._make_environment()


@pytest.mark.parametrize(
    ("system", "asked"), [("linux", True), ("darwin", False), ("win32", False)]
)
def test_only_linux_needs_another_index_for_the_cpu_build(here, monkeypatch, system, asked):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    monkeypatch.setattr(course, "answer", lambda *arguments, **options: "")
    assert course._wants_cpu_build() == asked


# A shared course


def test_a_copy_adds_what_is_new_and_leaves_a_readers_work_alone(here, tmp_path, capsys):
    notebooks = here / "notebooks"
    for name in ("figures/a.png", "output/model", ".ipynb_checkpoints/00.ipynb"):
        (notebooks / name).parent.mkdir(exist_ok=True)
        (notebooks / name).write_text("x")
    (notebooks / "figures" / "a.png").chmod(0o444)
    mine = tmp_path / "mine"
    assert course.copy(mine) == mine
    names = {p.relative_to(mine).as_posix() for p in mine.rglob("*") if p.is_file()}
    assert names == {"notebooks/00_start_here.ipynb", "notebooks/figures/a.png"}
    assert os.stat(mine / "notebooks/figures/a.png").st_mode & 0o200
    (mine / "notebooks/00_start_here.ipynb").write_text("my work")
    (notebooks / "01_new.ipynb").write_text("{}")
    course.copy(mine)
    assert (mine / "notebooks/00_start_here.ipynb").read_text() == "my work"
    assert (mine / "notebooks/01_new.ipynb").exists()
    assert "1 new files" in capsys.readouterr().out


def test_a_copy_that_cannot_be_written_is_refused(here, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(course.Refused, match="Name another folder"):
        course.copy(tmp_path / "file")


@pytest.mark.parametrize("shared", [True, False])
def test_a_shared_course_opens_the_readers_copy(here, monkeypatch, tmp_path, shared):
    opened = []
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setattr(course, "install", lambda: None)
    monkeypatch.setattr(course, "writable", lambda folder: not shared)
    monkeypatch.setattr(course, "_become", lambda command, folder: opened.append((command, folder)))
    course.lab(["--port=1"])
    ((command, folder),) = opened
    assert folder == (tmp_path / "home" / "lstm-course" if shared else here)
    assert (folder / course.FIRST).exists()
    assert f"--LabApp.app_settings_dir={here / 'tools' / 'lab_settings'}" in command
    assert command[-1] == "--port=1"


def test_a_hub_gets_a_server_in_the_readers_home_with_the_hubs_options(here, monkeypatch, tmp_path):
    started = []
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setattr(course, "_become", lambda *call: started.append(call))
    monkeypatch.setattr(course, "python", lambda: Path(sys.executable))
    course.main(["hub", "--debug"])
    ((command, folder),) = started
    assert folder == tmp_path / "home"
    assert (folder / "lstm-course" / course.FIRST).exists()
    assert command[:3] == [str(course.python()), "-m", "jupyterhub.singleuser"]
    assert command[-1] == "--debug"
    assert not (here / ".venv").exists()  # a hub installs nothing: the folder is root's


def test_a_hub_without_an_environment_says_how_to_make_one(here, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    with pytest.raises(course.Refused, match=r"no environment yet.*course\.py install$"):
        course.main(["hub"])


@pytest.mark.parametrize("what", ["answer-key", "tests/support/answers", "notebook"])
def test_a_hub_hands_out_no_solutions_unless_it_is_told_to(here, monkeypatch, tmp_path, what):
    started = []
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setattr(course, "_become", lambda *call: started.append(call))
    if what == "notebook":
        what = "notebooks/02_rnn_from_scratch.ipynb"
        shutil.copy(ROOT / what, here / what)
    else:
        (here / what).mkdir(parents=True)
    with pytest.raises(course.Refused, match=rf"solutions \({what}\).* student edition") as refused:
        course.main(["hub"])
    assert "\n" not in str(refused.value)
    assert not started and not (tmp_path / "home").exists()
    monkeypatch.setenv("LSTMLIB_WITH_SOLUTIONS", "1")
    monkeypatch.setattr(course, "python", lambda: Path(sys.executable))
    course.main(["hub"])
    assert len(started) == 1


# Commands


@pytest.mark.parametrize("arguments", [[], ["open"], ["install", "all"], ["copy", "a", "b"]])
def test_what_it_does_not_know_is_answered_with_what_it_does(arguments):
    with pytest.raises(course.Refused, match=r"python tools/course\.py lab"):
        course.main(arguments)


def test_a_copy_without_tests_says_so(here):
    with pytest.raises(course.Refused, match="has no tests"):
        course.test([])


def test_checks_end_with_the_first_that_fails(here, monkeypatch):
    ran = []

    def failing(parts, **options):
        ran.append((parts[1:4], options["env"]["LSTMLIB_PROFILE"]))
        return subprocess.CompletedProcess(parts, len(ran) == 2)

    (here / "tests").mkdir()
    monkeypatch.setattr(course, "install", lambda checks: None)
    monkeypatch.setattr(subprocess, "run", failing)
    with pytest.raises(course.Refused, match="did not pass"):
        course.test([])
    assert ran == [(["-m", "ruff", "check"], "ci"), (["-m", "ruff", "format"], "ci")]


def answers(address, lab):
    """Ask until JupyterLab answers, be the machine ever so busy; return its page."""
    for _ in range(5000):
        try:
            with urllib.request.urlopen(address, timeout=10) as page:
                return page.read().decode()
        except urllib.error.HTTPError:
            raise
        except OSError:
            assert lab.poll() is None, "JupyterLab ended"
            time.sleep(0.2)
    raise AssertionError("JupyterLab does not answer")


@POSIX
def test_a_folder_with_blanks_and_accents_is_set_up_and_opened(tmp_path):
    """For real, but that pip finds the packages of this environment and no index.

    A jupyter-lab that comes first on the path, as in an activated conda, is left alone.
    """
    pytest.importorskip("torch")
    folder = tmp_path / "my course é"
    shutil.copytree(ROOT / "tools", folder / "tools")
    shutil.copytree(ROOT / "lstmlib", folder / "lstmlib")
    for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    (folder / "notebooks").mkdir()
    shutil.copy(ROOT / course.FIRST, folder / "notebooks")
    other = tmp_path / "bin" / "jupyter-lab"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\nexit 9\n")
    other.chmod(0o755)
    environment = os.environ | {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    environment |= {"PYTHONPATH": sysconfig.get_path("purelib"), "HOME": str(tmp_path)}
    environment |= {"PATH": f"{other.parent}{os.pathsep}{os.environ['PATH']}"}
    port = free_port()
    options = [f"--port={port}", "--no-browser", "--IdentityProvider.token=mine"]
    log = tmp_path / "log"
    with open(log, "wb") as file:
        lab = subprocess.Popen(
            [sys.executable, "tools/course.py", "lab", *options],
            cwd=folder,
            env=environment,
            stdout=file,
            stderr=file,
        )
    try:
        page = answers(f"http://127.0.0.1:{port}/lab/tree/{course.FIRST}?token=mine", lab)
        assert "JupyterLab" in page
        roots = re.findall(r"Serving notebooks from local directory: (.*)", log.read_text("utf-8"))
        assert roots == [str(folder)]
        own = folder / ".venv" / "bin" / "python"
        code = "import lstmlib; print(ascii(lstmlib.__path__[0]))"
        said = subprocess.run([own, "-Ic", code], capture_output=True, text=True)
        assert said.stdout.strip() == ascii(str(folder / "lstmlib"))
        lab.send_signal(signal.SIGTERM)  # the program has become JupyterLab, and ends as it does
        lab.wait(60)
        assert "is running at" in log.read_text("utf-8")
    except BaseException:
        print(log.read_text("utf-8", "replace")[-3000:])
        raise
    finally:
        lab.kill()
        lab.wait()
