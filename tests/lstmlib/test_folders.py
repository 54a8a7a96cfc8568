"""Where the course's files are, and where notebooks write: in any working directory."""

import subprocess
import sys
from pathlib import Path

import pytest

from lstmlib import runtime
from lstmlib.runtime import course_folder, output_folder

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch, tmp_path):
    """Each test asks for the first time, at home in a folder of its own."""
    monkeypatch.delenv("LSTMLIB_OUTPUT", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    runtime._output_in_home.cache_clear()


@pytest.fixture
def refused(monkeypatch, tmp_path):
    """Make a course in which nothing can be written, for root neither: output is a file."""
    course = tmp_path / "shared course"
    (course / "notebooks").mkdir(parents=True)
    (course / "notebooks" / "00_start_here.ipynb").touch()
    (course / "notebooks" / "output").touch()
    monkeypatch.setattr(runtime, "course_folder", lambda: course)
    return course / "notebooks" / "output"


@pytest.mark.parametrize("folder", [ROOT, ROOT / "notebooks", Path("/")])
def test_the_course_is_found_from_any_working_directory(monkeypatch, folder):
    monkeypatch.chdir(folder)
    assert course_folder() == ROOT


def test_an_installed_library_finds_the_course_above_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.setattr(runtime, "__file__", str(tmp_path / "site-packages/lstmlib/runtime.py"))
    monkeypatch.chdir(ROOT / "notebooks" / "figures")
    assert course_folder() == ROOT
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="pip install -e FOLDER"):
        course_folder()


def test_output_lies_beside_the_notebooks_where_it_can(capsys):
    assert output_folder() == ROOT / "notebooks" / "output"
    assert output_folder().is_dir()
    assert list(output_folder().glob("tmp*")) == []
    assert capsys.readouterr() == ("", "")


def test_a_course_that_is_read_only_writes_into_the_home_and_says_so_once(
    refused, tmp_path, capsys
):
    home = tmp_path / "home" / "lstm-course-output"
    assert output_folder() == home
    assert home.is_dir()
    assert capsys.readouterr().err == f"{refused} cannot be written: output goes to {home}.\n"
    assert output_folder() == home
    assert capsys.readouterr() == ("", "")


def test_a_home_that_is_read_only_too_says_what_to_set(refused, tmp_path):
    (tmp_path / "home").touch()
    with pytest.raises(OSError, match="Set LSTMLIB_OUTPUT to a folder of yours"):
        output_folder()


@pytest.mark.parametrize("chosen", ["~/my output", "mine/of/course"])
def test_the_readers_folder_is_taken(monkeypatch, tmp_path, chosen):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LSTMLIB_OUTPUT", chosen)
    expected = tmp_path / chosen.replace("~", "home")
    assert output_folder() == expected
    assert expected.is_dir()


def test_a_readers_folder_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LSTMLIB_OUTPUT", str(tmp_path / "file"))
    with pytest.raises(OSError, match="file, which LSTMLIB_OUTPUT names"):
        output_folder()


def test_folders_need_no_pytorch():
    code = "import sys; sys.modules['torch'] = None; from lstmlib import runtime; "
    code += "print(runtime.course_folder())"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout == f"{ROOT}\n", run.stderr
