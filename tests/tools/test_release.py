"""A release is what was committed, in the same bytes each time."""

import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_markdown_cell, new_notebook

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # the scripts stand beside each other, in no package

import release  # noqa: E402
from editions import EditionError, File, broken_links  # noqa: E402

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e", *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def course(tmp_path):
    """Make a small course, committed, with files that git ignores."""
    pytest.importorskip("torch")  # the answer key calls checks
    root = tmp_path / "course"
    texts = {
        "README.md": "# A course\n\n## Start\n\n[a](notebooks/00_a.ipynb)\n\n## For instructors\n",
        "HUB.md": "A hub.",
        "pyproject.toml": '[project]\nversion = "1.0.0"\n',
        "LICENSE": "MIT",
        "CHANGELOG.md": "## 1.0.0\n",
        "CITATION.cff": "cff-version: 1.2.0\n",
        "page/index.html": "<p>",
        "page/explosion.html": "<p>",
        "page/README.md": "A page.",
        "datasets/README.md": "Texts.",
        ".gitignore": "datasets/*.txt\nbook/_build*/\neditions/\n",
        "datasets/book.txt": "Not ours.",
        "book/_build/html/index.html": "<h1>",
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    folded = "*To try.* What?\n\n<details><summary>Answer</summary>\n\nThis.\n\n</details>"
    cells = [new_markdown_cell("# 00 · A\n\n[all](../README.md)"), new_markdown_cell(folded)]
    (root / "notebooks").mkdir()
    nbformat.write(new_notebook(cells=cells), root / "notebooks/00_a.ipynb")
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "A course")
    return root


@needs_git
def test_a_release_holds_both_editions_pages_and_book_and_nothing_ignored(course):
    files = release.contents(course)
    heads = {name.partition("/")[0] for name in files}
    assert heads == {
        "student",
        "instructor",
        "page",
        "instructor-book",
        "README.md",
        "SHA256SUMS",
        "CHANGELOG.md",
        "CITATION.cff",
        "LICENSE",
    }
    assert not [name for name in files if name.endswith("book.txt")]
    assert b"This." not in files["student/notebooks/00_a.ipynb"].content
    assert b"This." in files["instructor/notebooks/00_a.ipynb"].content
    assert b"**Answer.**" in files["instructor/answer-key/00_a.md"].content
    for line in files["SHA256SUMS"].content.decode().splitlines():
        digest, _, name = line.partition("  ")
        assert hashlib.sha256(files[name].content).hexdigest() == digest
    assert len(files["SHA256SUMS"].content.splitlines()) == len(files) - 1


def build(course, folder):
    """Make what a release takes in, if it is there."""
    if folder.made:
        (course / folder.made / folder.opened).parent.mkdir(parents=True, exist_ok=True)
        (course / folder.made / folder.opened).write_text(folder.name)


def table(files):
    """Return the table of a release's README.md: folder -> for whom."""
    text = files["README.md"].content.decode()
    return dict(re.findall(r"^\| \[([\w-]+)/\]\([^)]*\) \| (.*?) \|", text, re.M))


@needs_git
def test_the_readme_says_of_every_folder_for_whom_it_is(course):
    for folder in release.FOLDERS:
        build(course, folder)
    files = release.contents(course)
    whom = table(files)
    assert set(whom) == {name.partition("/")[0] for name in files if "/" in name}
    alone = {name for name, words in whom.items() if words == "**you alone**"}
    assert alone == {"instructor", "instructor-book"}
    assert files["book/html/index.html"].content == b"book"  # the one without solutions
    text = files["README.md"].content.decode()
    may, _, may_not = text.partition("**May be given to students**: ")[2].partition("**Not**:")
    assert set(re.findall(r"`([\w-]+)/`", may)) == set(whom) - alone
    assert set(re.findall(r"`([\w-]+)/`", may_not.partition("##")[0])) == alone
    assert not broken_links(files) and "Not in this release" not in text
    # The stand-alone pages have a link to ../README.md.
    assert "page/index.html" in files and text.startswith("# Teach a network to write, 1.0.0\n")


@needs_git
def test_a_book_with_solutions_is_none_for_students(course):
    for name in ("book/_build", "book/_build-student"):
        page = course / name / "html/02.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("<pre>### BEGIN SOLUTION")
    with pytest.raises(EditionError, match=r"^book/html/02.html .*make book EDITION=student$"):
        release.contents(course)
    page.unlink()
    assert "instructor-book/html/02.html" in release.contents(course)


@needs_git
def test_what_was_not_built_is_not_promised_and_named_with_its_command(course):
    files = release.contents(course)
    said = files["README.md"].content.decode().partition("Not in this release")[2]
    for folder in release.FOLDERS:
        there = any(name.startswith(f"{folder.name}/") for name in files)
        assert there == (folder.name in table(files))
        assert there == (f"{folder.name}/ (`{folder.command}`)" not in said), folder.name
    assert "(book/html" not in files["README.md"].content.decode()
    assert not broken_links(files)


@needs_git
@pytest.mark.skipif(shutil.which("tar") is None, reason="needs tar")
def test_the_command_of_the_page_on_hubs_unpacks_what_students_get(course, tmp_path):
    page = (ROOT / "HUB.md").read_text(encoding="utf-8")
    assert "student edition" in page.split("\n\n")[1], "it begins with what goes on a hub"
    assert "git clone" not in page
    release.write(tmp_path, "lstm-course-1.0.0.tar.gz", pack(course))
    (command,) = re.findall(r"^    (tar .*)$", page, re.M)
    (tmp_path / "srv").mkdir()
    command = command.replace("VERSION", "1.0.0").replace("/srv/course", "srv")
    subprocess.run(command.split(), cwd=tmp_path, check=True)
    assert (tmp_path / "srv/notebooks/00_a.ipynb").is_file()
    assert b"This." not in (tmp_path / "srv/notebooks/00_a.ipynb").read_bytes()
    assert not (tmp_path / "srv/answer-key").exists()


def pack(course):
    return release.archive(release.contents(course), "lstm-course-1.0.0", 5)


@needs_git
def test_the_same_tree_gives_the_same_bytes(course, tmp_path):
    first = release.archive(release.contents(course), "course-1", release.time_of(course))
    again = tmp_path / "again"
    shutil.copytree(course, again)
    for path in again.rglob("*"):
        path.touch()
    assert release.archive(release.contents(again), "course-1", release.time_of(course)) == first


def test_an_archive_tells_nothing_of_the_machine():
    files = {"b": File(b"2", program=True), "a/c": File(b"1")}
    packed = release.archive(files, "course-1", 5)
    assert packed == release.archive(dict(reversed(files.items())), "course-1", 5)
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        entries = tar.getmembers()
        assert [entry.name for entry in entries] == ["course-1/a/c", "course-1/b"]
        assert [entry.mode for entry in entries] == [0o644, 0o755]
        assert {(e.uid, e.gid, e.uname, e.gname, e.mtime) for e in entries} == {(0, 0, "", "", 5)}


@needs_git
@pytest.mark.parametrize("change", ["changed", "new", "staged", "deleted"])
def test_a_tree_that_is_not_clean_is_refused(course, change):
    name = "new.md" if change == "new" else "README.md"
    if change == "deleted":
        (course / name).unlink()
    else:
        (course / name).write_text("Other.")
    if change == "staged":
        git(course, "add", "--all")
    with pytest.raises(EditionError, match=f"not clean: {name}"):
        release.contents(course)


@needs_git
def test_what_a_release_takes_in_is_ignored_so_that_the_tree_stays_clean():
    for folder in release.FOLDERS:
        if folder.made:
            name = f"{folder.made}/{folder.opened}"
            ignored = subprocess.run(["git", "-C", ROOT, "check-ignore", "-q", "--no-index", name])
            assert ignored.returncode == 0 or not (ROOT / ".git").exists(), name


def test_no_checkout_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(EditionError, match="no git checkout.*git init"):
        release.contents(tmp_path)


def test_an_archive_is_written_with_its_checksum_and_replaced(tmp_path):
    for content in (b"one", b"two"):
        path = release.write(tmp_path / "out", "course.tar.gz", content)
        assert path.read_bytes() == content
        digest, name = (tmp_path / "out/course.tar.gz.sha256").read_text().split()
        assert digest == hashlib.sha256(content).hexdigest() and name == "course.tar.gz"
    assert len(list(path.parent.iterdir())) == 2


def test_where_nothing_can_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EditionError, match="could not be written"):
        release.write(tmp_path / "file/out", "course.tar.gz", b"")


# The version, and how to cite it


def test_every_place_that_names_the_version_names_the_same():
    version = release.version_of(ROOT)
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    package = (ROOT / "lstmlib/__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{version}"' in package
    newest = re.search(r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert newest.groups() == (version, citation["date-released"])
    assert str(citation["version"]) == version


def test_the_citation_has_what_the_format_asks_for():
    """cff-version 1.2.0: its required keys, known keys alone, an entity as author."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"authors", "message", "title"} <= set(citation)
    known = {"abstract", "authors", "cff-version", "date-released", "keywords", "license"}
    assert set(citation) <= known | {"message", "title", "type", "version"}
    assert citation["type"] in ("software", "dataset")
    assert citation["authors"] and all(set(each) == {"name"} for each in citation["authors"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", citation["date-released"])
    licence = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["license"]
    assert citation["license"] == licence
    assert len(set(citation["keywords"])) == len(citation["keywords"])
