"""Put both editions and the stand-alone pages into one archive with checksums: `make release`.

    python tools/release.py [--out FOLDER]

The archive holds tracked files and what is made of them: both editions, and what was built before
of books, slides and poster (MADE). Its README.md says which folder is for whom, and what was not
built. The same tree gives the same bytes on the same machine: names are sorted, all times are
the commit's, and no user or process stands in it. So the tree must be clean.
"""

import argparse
import gzip
import hashlib
import io
import re
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from editions import (
    SUMS,
    EditionError,
    File,
    broken_links,
    git,
    instructor,
    student,
    tracked,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]


class Folder(NamedTuple):
    """A folder of a release.

    Attributes:
        name: of the folder.
        opened: the file in it to begin with.
        words: what it is, for README.md.
        made: where it lies in a checkout; "" if the release makes it itself.
        command: what makes that.
        for_class: whether students may get it.
    """

    name: str
    opened: str
    words: str
    made: str = ""
    command: str = ""
    for_class: bool = True


FOLDERS = (
    Folder("student", "README.md", "the course: chapters, library, texts; exercises as stubs"),
    Folder(
        "book",
        "html/index.html",
        "the chapters to read offline, without solutions",
        "book/_build-student",
        "make book EDITION=student",
    ),
    Folder("page", "README.md", "two pages that run in any browser, for any course site"),
    Folder(
        "slides",
        "00_start_here.html",
        "slides of every chapter, made of what students read",
        "editions/slides",
        "make slides",
    ),
    Folder("poster", "poster.pdf", "the whole line on one page", "editions/poster", "make poster"),
    Folder(
        "instructor",
        "README.md",
        "the whole course: solutions, answer key, tests, plan for teaching, grading",
        for_class=False,
    ),
    Folder(
        "instructor-book",
        "html/index.html",
        "the chapters to read offline, with all solutions and answers",
        "book/_build",
        "make book",
        for_class=False,
    ),
)
"""What a release holds, in the order of its README.md."""

PAGES = ("page/index.html", "page/explosion.html", "page/README.md")
"""What a course site shows without Python."""


def version_of(root: Path) -> str:
    """Return the version that pyproject.toml states."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["version"]


def contents(root: Path = ROOT) -> dict[str, File]:
    """Return what a release holds: path in the archive -> file.

    Raises:
        EditionError: the tree is not clean; an edition cannot be made.
    """
    _refuse_changes(root)
    parts = {"student": student(root), "instructor": instructor(root)}
    for name, files in parts.items():
        if broken := broken_links(files):
            raise EditionError(f"Links of the {name} edition lead nowhere: {broken[:5]}")
    files = {f"{part}/{name}": file for part, each in parts.items() for name, file in each.items()}
    there = set(tracked(root))
    files |= {name: File((root / name).read_bytes()) for name in PAGES if name in there}
    for folder in FOLDERS:
        files |= _made(root, folder)
    _refuse_solutions(files)
    for name in ("CHANGELOG.md", "CITATION.cff", "LICENSE"):
        files[name] = File((root / name).read_bytes())
    files["README.md"] = File(readme(version_of(root), folders_in(files)).encode())
    sums = "".join(f"{_sum(files[name].content)}  {name}\n" for name in sorted(files))
    return files | {SUMS: File(sums.encode())}


def _made(root: Path, folder: Folder) -> dict[str, File]:
    """Return the files of a folder that was made before; none if it was not."""
    made = root / folder.made
    paths = sorted(path for path in made.rglob("*") if path.is_file()) if folder.made else []
    return {
        f"{folder.name}/{path.relative_to(made).as_posix()}": File(path.read_bytes())
        for path in paths
    }


def _refuse_solutions(files: Mapping[str, File]) -> None:
    """Refuse pages with solutions in a folder for students, such as a book of the full course.

    Raises:
        EditionError: there are.
    """
    for name, file in files.items():
        folder = next((f for f in FOLDERS if name.startswith(f"{f.name}/")), None)
        page = name.endswith((".html", ".ipynb")) and b"BEGIN SOLUTION" in file.content
        if page and folder and folder.for_class:
            raise EditionError(
                f"{name} would give solutions to students. Make it anew: {folder.command}"
            )


def folders_in(files: Mapping[str, File]) -> list[Folder]:
    """Return the folders that a release has."""
    heads = {name.partition("/")[0] for name in files}
    return [folder for folder in FOLDERS if folder.name in heads]


def missing(there: Sequence[Folder]) -> str:
    """Return a sentence on what was not built before; "" if all was."""
    lacking = [f"{f.name}/ (`{f.command}`)" for f in FOLDERS if f.command and f not in there]
    return f"Not in this release, since not built: {', '.join(lacking)}." if lacking else ""


README = """# Teach a network to write, {version}

A course in Jupyter notebooks: from raw text to a character-level LSTM that writes new text.

{table}

**May be given to students**: {students}. **Not**: {teachers}, nor this archive
as a whole, since it holds the solutions.

## Begin

On Linux with Python 3.10 to 3.14 and make ([student/README.md](student/README.md#start) says how it
goes on Windows and macOS, and how much is downloaded):

    cd student
    make lab         # builds .venv, opens JupyterLab on the first notebook

Who teaches begins in another folder
([instructor/README.md](instructor/README.md#for-instructors) says what there is for you):

    cd instructor
    make lab         # the same, with the solutions
    make test-fast   # is all well here? Minutes; `make test` runs every chapter, too

A machine that a class shares: [instructor/HUB.md](instructor/HUB.md). Without installing anything:
{pages}.

[CHANGELOG.md](CHANGELOG.md) says what is new, [CITATION.cff](CITATION.cff) how to cite the course,
[LICENSE](LICENSE) what you may do with it. `sha256sum -c --quiet SHA256SUMS` is silent if every
file is as it was released. {missing}
"""


def readme(version: str, there: Sequence[Folder]) -> str:
    """Return the README.md of a release: which folder is for whom, and how to begin.

    Args:
        version: of the course.
        there: the folders that the release has.
    """
    whom = {True: "the class", False: "**you alone**"}
    rows = [
        f"| [{f.name}/]({f.name}/{f.opened}) | {whom[f.for_class]} | {f.words} |" for f in there
    ]
    names = {True: [], False: []}
    for folder in there:
        names[folder.for_class].append(f"`{folder.name}/`")
    pages = [
        "the [temperature explorer](page/index.html)",
        "the [explosion lab](page/explosion.html)",
    ]
    pages += ["the [book](book/html/index.html)"] * any(f.name == "book" for f in there)
    text = README.format(
        version=version,
        table="\n".join(["| folder | for whom | what it is |", "|---|---|---|", *rows]),
        students=", ".join(names[True]),
        teachers=", ".join(names[False]),
        pages=", ".join(pages),
        missing=missing(there),
    )
    return text.rstrip() + "\n"


def _refuse_changes(root: Path) -> None:
    """Refuse a tree with changes that are not committed; what git ignores does not count."""
    status = git(root, "status", "--porcelain", "-z")
    if changed := [line[3:] for line in status.split("\0") if line]:
        raise EditionError(
            f"The tree is not clean: {', '.join(changed[:3])}{' …' * (len(changed) > 3)}. A "
            "release is made of what is committed; commit this, or put it away (git stash -u)."
        )


def time_of(root: Path) -> int:
    """Return the time of the commit that a release is made of, in seconds since 1970."""
    return int(git(root, "log", "-1", "--format=%ct"))


def archive(files: Mapping[str, File], folder: str, time: int) -> bytes:
    """Return a gzipped tar archive of files in a folder: names, bytes, and one time for all."""
    plain, packed = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(files):
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.mtime = time
            entry.size, entry.mode = (
                len(files[name].content),
                0o755 if files[name].program else 0o644,
            )
            tar.addfile(entry, io.BytesIO(files[name].content))
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=0) as zipped:
        zipped.write(plain.getvalue())
    return packed.getvalue()


def write(out: Path, name: str, content: bytes) -> Path:
    """Write an archive and its checksum beside it, each whole or not at all; return its path.

    Raises:
        EditionError: nothing can be written there.
    """
    path = out / name
    try:
        out.mkdir(parents=True, exist_ok=True)
        for target, data in (
            (path, content),
            (out / f"{name}.sha256", f"{_sum(content)}  {name}\n".encode()),
        ):
            with tempfile.NamedTemporaryFile(dir=out, suffix=".part", delete=False) as part:
                part.write(data)
            Path(part.name).chmod(0o644)
            Path(part.name).replace(target)
    except OSError as error:
        raise EditionError(
            f"The release could not be written to {out}: {error.strerror}. Name another folder "
            "with OUT=."
        ) from None
    return path


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    """Write a release of the committed tree."""
    parser = argparse.ArgumentParser(description="Write a release.")
    parser.add_argument("--out", type=Path, default=ROOT / "editions/release", help="a folder")
    out = parser.parse_args().out.absolute()
    try:
        version = version_of(ROOT)
        if not re.search(rf"^## {re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text(), re.M):
            raise EditionError(f"CHANGELOG.md says nothing of the version {version}.")
        folder = f"lstm-course-{version}"
        files = contents()
        path = write(out, f"{folder}.tar.gz", archive(files, folder, time_of(ROOT)))
    except EditionError as error:
        raise SystemExit(str(error)) from None
    print(f"{path}\nIts SHA-256 stands in {path.name}.sha256; of every file in it, in {SUMS}.")
    if lacking := missing(folders_in(files)):
        print(lacking)


if __name__ == "__main__":
    main()
