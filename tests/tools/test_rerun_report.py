"""The report of a re-run: tiny notebooks that go wrong in each way, and chapters; nothing moves."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

pytest.importorskip("torch")  # chapters need it, and so does a file written whole or not at all
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # the scripts stand beside each other, in no package

import editions  # noqa: E402
import rerun_report  # noqa: E402
from rerun_report import NOTEBOOKS, PAGE, ReportError, differs, rerun  # noqa: E402

TINY = {
    "00_fine.ipynb": [
        ("print('as committed')", "as committed\n", []),
        ("check.fact('one is below two', 1 < 2, measured=1)", "one is below two: ok\n", []),
        ("import random; print(random.random())", "0.5\n", ["nbval-ignore-output"]),
        ("1 / 0", "", ["raises-exception", "nbval-ignore-output"]),
        ("from lstmlib.runtime import profile\nprint(profile())", "ci\n", []),
        ("x = bytearray(300_000_000)", "", []),
    ],
    "01_fails.ipynb": [
        ("print('before')", "before\n", []),
        ("raise ValueError('<b>not & good</b>')", "", []),
        ("print('after')", "after\n", []),
    ],
    "02_misses.ipynb": [
        ("check.band('00.five_gram', 99.0)", "in its band: ok\n", []),
        ("check.fact('one is above two', 1 > 2, measured=1)", "one is above two: ok\n", []),
        ("check.fact('two is above three', 2 > 3)", "two is above three: ok\n", []),
    ],
    "03_prints.ipynb": [
        ("print('one'); print('now')", "one\nthen\n", []),
        ("{'a': 1}", "", []),
        ("1 + 1", "2", []),
    ],
    "04_dies.ipynb": [
        ("print('alive')", "alive\n", []),
        ("import os; os.kill(os.getpid(), 9)", "", []),
        ("print('never')", "never\n", []),
    ],
    "05_writes.ipynb": [
        (
            "from lstmlib.runtime import output_folder\n(output_folder() / 'x').write_text('x');",
            "",
            [],
        ),
        # A download, as far as the place where it would be written to.
        (
            "import pooch\nfrom lstmlib import corpora\n"
            "pooch.retrieve = lambda *_, path, fname, **__: print('to', path) or path / fname\n"
            "corpora._cache().mkdir(parents=True, exist_ok=True)\nhere = corpora.DATASETS\n"
            "corpora._download('a', dict(url='', file='a', sha256=''), None)\n"
            "print(corpora.DATASETS == here)",
            "",
            ["nbval-ignore-output"],
        ),
    ],
}


def tiny(folder, name):
    """Write one of the notebooks, with outputs as if it had been committed."""
    cells = [new_markdown_cell("# Tiny"), new_code_cell("from lstmlib.course import check")]
    for source, text, tags in TINY[name]:
        value = source == "1 + 1"
        kind = {"data": {"text/plain": text}} if value else {"name": "stdout", "text": text}
        output = new_output("execute_result" if value else "stream", **kind)
        outputs = [output] if text else []
        cells.append(new_code_cell(source, outputs=outputs, metadata={"tags": tags}))
    for number, cell in enumerate(cells[1:], start=1):
        cell.execution_count = number
    nbformat.write(new_notebook(cells=cells), folder / name)
    return folder / name


def snapshot(folder):
    """Return the SHA-256 of every file below a folder, ignored ones and git's own too."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """All tiny notebooks, once: (rows by name, folder, page)."""
    where = tmp_path_factory.mktemp("tiny")
    paths = [tiny(where, name) for name in TINY]
    before = snapshot(where)
    environment, out = dict(os.environ), tmp_path_factory.mktemp("report")
    os.environ["XDG_CACHE_HOME"] = str(where / "cache")
    rows = rerun(paths, out, "ci")
    os.environ.pop("XDG_CACHE_HOME")
    os.environ.update({k: v for k, v in environment.items() if k == "XDG_CACHE_HOME"})
    after = snapshot(where)
    assert {name: after[name] for name in before} == before
    assert dict(os.environ) == environment
    return {row.name: row for row in rows}, out, (out / PAGE).read_text("utf-8")


def test_a_notebook_that_is_as_committed_needs_no_look(run):
    row = run[0]["00_fine.ipynb"]
    assert row.verdict == "as committed" and row.fine
    assert row.ran == row.cells == 7
    assert row.seconds > sum(seconds for seconds, _, _ in row.slow) > 0
    assert row.slow == sorted(row.slow, reverse=True)
    assert row.megabytes > 300  # one of its cells takes that


def test_what_fails_is_shown_with_its_traceback_and_the_rest_runs(run):
    row = run[0]["01_fails.ipynb"]
    (failed,) = row.failures
    assert (failed["cell"], failed["what"]) == (3, "ValueError: <b>not & good</b>")
    assert "Traceback" in failed["traceback"] and "\x1b" not in failed["traceback"]
    assert row.ran == 4 and not row.bands and not row.facts and not row.changed
    assert row.verdict == "1 × cell failed"
    assert "&lt;b&gt;not &amp; good&lt;/b&gt;" in run[2] and "<b>not" not in run[2]


def test_bands_and_facts_are_told_from_other_failures(run):
    row = run[0]["02_misses.ipynb"]
    (band,) = row.bands
    assert band["value"] == "99" and re.fullmatch(r"[\d.]+ … [\d.]+", band["band"])
    assert [(fact["what"], fact["value"]) for fact in row.facts] == [
        ("one is above two", "1"),
        ("two is above three", None),
    ]
    assert not row.failures and not row.changed
    assert row.verdict == "1 × band missed; 2 × fact does not hold"


def test_an_output_that_differs_is_shown_line_by_line(run):
    row = run[0]["03_prints.ipynb"]
    assert [change["cell"] for change in row.changed] == [2, 3]
    assert "-then\n+now" in row.changed[0]["how"] and "-one" not in row.changed[0]["how"]
    assert "text/plain" in row.changed[1]["how"]  # nothing was committed
    assert not row.failures


def test_a_kernel_that_dies_gets_its_row_and_the_next_notebook_runs(run):
    row = run[0]["04_dies.ipynb"]
    assert row.verdict == row.ended == "the kernel died in cell 3 of 4"
    assert row.ran == 2 and not row.fine
    assert run[0]["05_writes.ipynb"].fine


def test_notebooks_write_where_it_is_thrown_away_and_downloads_go_to_the_cache(run):
    copied = nbformat.read(run[1] / "05_writes.ipynb", as_version=4)
    text = copied.cells[-1].outputs[0].text
    assert re.fullmatch(r"to \S+/cache/lstmlib\nTrue\n", text), text
    assert sorted(path.name for path in run[1].iterdir()) == [*sorted(TINY), PAGE]


def test_the_copies_are_the_notebooks_with_their_own_numbers(run):
    for name in TINY:
        copied = nbformat.read(run[1] / name, as_version=4)
        assert len(copied.cells) == len(TINY[name]) + 2
    counts = [cell.get("execution_count") for cell in copied.cells]
    assert counts == [None, 1, 2, 3]


def test_the_page_is_one_file_and_says_where_it_was_made(run):
    page = run[2]
    assert not re.search(r"""(src|href)=["']?(https?:)?//|@import|url\(""", page)
    assert 'name="viewport"' in page and rerun_report.MADE_BY in page
    for part in ("commit", "profile", "machine", "versions", "date", "Python 3.", "CPU cores"):
        assert part in page
    assert '<strong class="bad">2 of 6</strong>' in page
    slowest = page.partition("The slowest cells")[2]
    assert slowest.partition("</table>")[0].count("<tr>") == rerun_report.SLOWEST + 1


# Another text


def line(text):
    return [new_output("stream", name="stdout", text=text)]


def test_what_checks_say_of_another_text_is_no_difference():
    committed = line("loss in its band: ok (measured 2)\nother\nfact: ok\n")
    now = line("loss: not checked, since its band is for a (measured 3)\nother\nfact: ok\n")
    assert differs(committed, now, own_text=False)
    assert not differs(committed, now, own_text=True)
    assert differs(committed, line("loss in its band: ok\nelse\nfact: ok\n"), own_text=True)


def test_a_text_of_the_readers_own_takes_the_place_of_the_default(tmp_path):
    text = tmp_path / "own.txt"
    text.write_text("a short text of one's own")
    cells = ["from lstmlib.corpora import load_corpus", "print(load_corpus('python-docs').text)"]
    cells.append("import os; print(os.environ['LSTMLIB_CORPUS'])")
    cells.append("from lstmlib.course import check; check.fact('a', 1 > 2, 'own')")
    tags = {"tags": ["nbval-ignore-output"]}
    notebook = new_notebook(cells=[new_code_cell(source, metadata=tags) for source in cells])
    nbformat.write(notebook, tmp_path / "a.ipynb")
    (row,) = rerun([tmp_path / "a.ipynb"], tmp_path / "out", "ci", str(text))
    assert row.fine and row.verdict == "all cells ran; not checked on this text: 1"
    page = (tmp_path / "out" / PAGE).read_text("utf-8")
    assert row.verdict in page and "as committed" not in page
    now = nbformat.read(tmp_path / "out/a.ipynb", as_version=4)
    assert [cell.outputs[0].text.strip() for cell in now.cells[1:3]] == [
        "a short text of one's own",
        str(text),
    ]


# The command


def command(*arguments, course=ROOT, **more):
    program = [sys.executable, str(course / "tools/rerun_report.py"), *arguments]
    return subprocess.run(program, capture_output=True, text=True, **more)


@pytest.fixture
def course(tmp_path):
    """Copy the course into a checkout of its own: other tests may be at work in this one.

    Git's index there is not up to date. A plain `git status` would write it anew.
    """
    copy = tmp_path / "course"
    for name in editions.tracked(ROOT):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    who = ["-c", "user.name=n", "-c", "user.email=e"]
    for arguments in (["init"], ["add", "--all"], [*who, "commit", "-m", "all"]):
        subprocess.run(["git", "-C", copy, *arguments], check=True, capture_output=True)
    os.utime(copy / "README.md", (1, 1))
    return copy


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_chapter_comes_out_as_committed_and_nothing_in_the_course_is_changed(course, tmp_path):
    tree = snapshot(course)
    variables = {"PYTHONPATH": str(course), "PYTHONDONTWRITEBYTECODE": "1"}  # as make report has it
    out, own = tmp_path / "out", {k: v for k, v in os.environ.items() if k != "LSTMLIB_OUTPUT"}
    options = ("--profile", "ci", "--chapters", "1", "--out", str(out))
    said = command(*options, course=course, env=own | variables)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "as committed" in said.stdout and "01_data_cleaning (1 of 1)" in said.stderr
    assert "WARNING" not in said.stderr  # of a kernel, in the middle of the bar
    assert "\r" not in said.stderr and "%|" not in said.stderr  # no bar in a log
    assert snapshot(course) == tree
    assert sorted(path.name for path in out.iterdir()) == ["01_data_cleaning.ipynb", PAGE]
    commit = subprocess.run(["git", "-C", course, "rev-parse", "HEAD"], capture_output=True)
    page = (out / PAGE).read_text("utf-8")
    assert commit.stdout.decode()[:12] in page and "with changes" not in page


def test_a_course_that_nothing_can_be_written_into_is_reported_on(tmp_path):
    """Root may write everywhere but on a read-only mount, which needs Linux and its leave."""
    mount = f"mount --bind {ROOT} {ROOT} && mount -o remount,bind,ro {ROOT}"
    inside = ["unshare", "--mount", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*inside, mount]).returncode:
        pytest.skip("no read-only mount can be made here")
    refused = subprocess.run([*inside, f"{mount} && touch {ROOT}/x"], capture_output=True)
    assert refused.returncode
    run = f"{sys.executable} {ROOT}/tools/rerun_report.py --profile ci --chapters 10"
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    said = subprocess.run(
        [*inside, f"{mount} && cd {ROOT} && {run}"],
        env={k: v for k, v in os.environ.items() if k != "LSTMLIB_OUTPUT"} | home,
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert (tmp_path / "lstm-course-output/report" / PAGE).exists()


def test_a_page_is_there_after_ctrl_c(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    path = tiny(tmp_path, "00_fine.ipynb")
    monkeypatch.setattr(rerun_report.papermill, "execute_notebook", interrupted)
    rows = rerun([path, path], tmp_path / "out", "ci")
    assert [row.ended for row in rows] == ["interrupted"]
    assert "Not executed: 00_fine.ipynb" in (tmp_path / "out" / PAGE).read_text("utf-8")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--chapters", "77"], "There is no chapter 77: 00, 01, "),
        (["--corpus", "no-such-text"], "No corpus has that name"),
        (["--out", "tests"], "lies in the course, which a report does not change"),
        (["--out", "/proc/report"], "Nothing can be written to /proc/report"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments, message):
    said = command("--profile", "ci", *arguments, cwd=ROOT)
    assert said.returncode == 1 and said.stderr.count("\n") == 1, said.stderr
    assert message in said.stderr


def test_a_folder_that_holds_other_things_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ReportError, match="holds other things"):
        rerun_report._folder(tmp_path)
    (tmp_path / PAGE).write_text(f"{rerun_report.MADE_BY}")
    assert rerun_report._folder(tmp_path) == tmp_path  # a second run


def test_a_course_that_cannot_be_written_is_reported_on_elsewhere(tmp_path, monkeypatch):
    """The default is where notebooks write, which is in the home if the course is read-only."""
    monkeypatch.setenv("LSTMLIB_OUTPUT", str(tmp_path / "home"))
    assert rerun_report._folder(None) == tmp_path / "home/report"


def test_chapters_are_named_by_their_numbers():
    names = [path.name[:2] for path in rerun_report._chosen(["3", "00", "03"])]
    assert names == ["03", "00"]
    assert rerun_report._chosen([]) == sorted(NOTEBOOKS.glob("*.ipynb"))
