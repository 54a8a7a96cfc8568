"""The answer key has every exercise of a chapter, and what the check says of wrong answers."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # the scripts stand beside each other, in no package

import answer_key  # noqa: E402
from editions import File, broken_links, instructor, tracked, write  # noqa: E402
from student_notebook import EditionError, tags  # noqa: E402

from lstmlib.course.check.exercises import hints_of  # noqa: E402

CHAPTER = ROOT / "notebooks/10_five_systems.ipynb"
ANSWERS = ROOT / "tests/support/answers/ch10.py"
MADE = ("editions/assignment/source", "book/_build/html", "notebooks/output", "gpu-pack", ".venv-x")
"""Folders that a lecturer's commands make in the course."""


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(CHAPTER, as_version=4)


@pytest.fixture(scope="module")
def page(notebook):
    return answer_key.page(notebook, CHAPTER.stem)


def test_every_exercise_has_its_parts(page):
    parts = page.split("\n## ")
    found = {part.splitlines()[0]: part for part in parts}
    for name, hints in hints_of("ch10").items():
        part = found[name]
        assert re.search(r"^\*\*\d+\.\*\* ", part, re.M), "the task"
        solution = part.partition("### Solution\n\n")[2]
        assert solution[0] != "`" and f"check.{name}(" in solution
        for hint in hints:
            assert hint.splitlines()[-1].strip() in part
        assert part.count("\n> not yet: ") >= 5
    assert "BEGIN SOLUTION" not in page
    assert "**Answer.**" in found["To try"]


def test_a_wrong_answer_stands_as_it_was_written(page):
    said = dict(re.findall(r"```python\n(.*?)\n```\n\n> (.*)\n", page))
    exercise = importlib.import_module("answers.ch10").EXERCISES["bits_of_e"]
    code = answer_key._as_written(ANSWERS.read_text(encoding="utf-8"), "bits_of_e")[0]
    assert said[code] == answer_key._verdict("bits_of_e", exercise.wrong[0][0], exercise)
    assert not re.search(r" at 0x[0-9a-f]+", page), "a place in memory differs from run to run"
    verdicts = re.findall(r"^> (.*)$", page, re.M)
    assert all(verdict.startswith("not yet: ") for verdict in verdicts)


def test_a_second_page_is_the_same(notebook, page):
    assert answer_key.page(notebook, CHAPTER.stem) == page


def test_its_links_lead_from_the_folder_of_the_key(page):
    files = {"answer-key/10.md": File(page.encode()), "README.md": File(b"## The five cases\n")}
    for path in [*(ROOT / "notebooks").glob("*"), *(ROOT / "runs").rglob("*.md")]:
        if path.is_file():
            files[path.relative_to(ROOT).as_posix()] = File(path.read_bytes())
    assert not [each for each in broken_links(files) if each.startswith("answer-key")]


def test_links_in_code_are_none():
    page = "[a](b.md) [c](../README.md) [d](https://x.org) `f[1](2)`\n```\nw[0](x)\n```\n"
    assert answer_key._from_here(page) == page.replace("(b.md", "(../notebooks/b.md").replace(
        "(../README", "(../notebooks/../README"
    )


@pytest.mark.parametrize("wrong", ["no solution", "no hints", "no answers"])
def test_an_exercise_that_lacks_a_part_is_refused(notebook, wrong, monkeypatch):
    stem, cut = CHAPTER.stem, nbformat.from_dict(notebook)
    if wrong == "no solution":
        cut.cells = [cell for cell in cut.cells if "solution" not in tags(cell)]
    elif wrong == "no hints":
        monkeypatch.setattr(answer_key, "hints_of", lambda chapter: {})
    else:
        module = importlib.import_module("answers.ch10")
        monkeypatch.setattr(module, "EXERCISES", {})
    with pytest.raises(EditionError, match="has 0 solutions|has none of ch10"):
        answer_key.page(cut, stem)


def test_the_index_names_every_page(notebook):
    without = nbformat.from_dict(notebook)
    without.cells = [notebook.cells[0]]  # a chapter without exercises
    written = answer_key.pages({"notebooks/12_your_own.ipynb": without})
    assert set(written) == {"answer-key/README.md", "answer-key/12_your_own.md"}
    assert "(12_your_own.md)" in written["answer-key/README.md"]


@pytest.fixture(scope="module")
def files():
    """The instructors' edition.

    What is said of wrong answers is left out: it takes long, and one chapter has it above.
    """
    if not (ROOT / ".git").exists():
        pytest.skip("needs the git checkout")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answer_key, "_wrong", lambda chapter, name: [])
        return instructor()


def test_the_instructors_edition_is_the_whole_course_and_a_page_for_each_chapter(files):
    chapters = {name for name in tracked(ROOT) if re.fullmatch(r"notebooks/[^/]*\.ipynb", name)}
    pages = {f"answer-key/{Path(name).stem}.md" for name in chapters}
    assert set(files) == {*tracked(ROOT), *pages, "answer-key/README.md"}
    assert not broken_links(files)
    for name in chapters:
        chapter = f"ch{Path(name).name[:2]}"
        page = files[f"answer-key/{Path(name).stem}.md"].content.decode()
        heads = re.findall(r"^## (\w+)$", page, re.M)
        assert set(hints_of(chapter)) <= set(heads)


def test_style_passes_in_the_instructors_edition_as_it_is_written(files, page, tmp_path):
    """`make test` begins with it there, where git ignores nothing, not even what was made since."""
    out = tmp_path / "editions/instructor"
    made = {f"{name}/x.py": File(b"x=1;x") for name in MADE}
    write({**files, **made, f"answer-key/{CHAPTER.stem}.md": File(page.encode())}, out)
    for style in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *style, "--no-cache", "."]
        run = subprocess.run(command, cwd=out, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
    (out / "tools/unformatted.py").write_text("x=1;x")
    assert subprocess.run(command, cwd=out, capture_output=True).returncode == 1
