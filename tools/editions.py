"""Write the course in two editions from its notebooks: `make student`, `make instructor`.

    python tools/editions.py student|instructor [--out FOLDER]

student     what a class gets: no solutions, no answers, exercises as stubs that nobody attempted
instructor  all tracked files, and answer-key/, a page for each chapter (tools/answer_key.py)

student_notebook.py says what is cut from a notebook. An edition is written whole or not at all. A
second run replaces what the first one wrote, and nothing else: SHA256SUMS in the folder says what
that was.
"""

import argparse
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode
from student_notebook import EditionError, look_over, student_notebook

ROOT = Path(__file__).resolve().parents[1]
SUMS = "SHA256SUMS"
FOR_STUDENTS = (
    ".binder/",
    ".devcontainer/",
    ".dockerignore",
    "CITATION.cff",
    "Dockerfile",
    "LICENSE",
    "Makefile",
    "README.md",
    "benchmarks/",
    "constraints-hashes.txt",
    "constraints.txt",
    "datasets/",
    "environment.yml",
    "experiments/",
    "lstmlib/",
    "notebooks/",
    "page/",
    "pyproject.toml",
    "runs/",
    "tools/course.py",
    "tools/find_python.sh",
    "tools/lab_settings/",
)
"""Files, and folders with all that is in them."""

A_KEY = ("experiments/make_patients.py",)
"""Programs that name what an exercise asks for; in none of these folders for students."""

CODE = re.compile(r"(^```.*?^```|`[^`\n]*`)", re.M | re.S)
"""What is code in Markdown, in blocks and in lines."""
_OF_INSTRUCTORS = re.compile(r"^(<!--|#) for instructors.*?^\1 for all[^\n]*\n", re.M | re.S)


NO_CHECKOUT = (
    "{0} is no git checkout, so nobody knows which files are the course. Make one of it, with git: "
    "cd '{0}' && git init && git add -A && git commit -m Course"
)


class File(NamedTuple):
    """A file of an edition."""

    content: bytes
    program: bool = False


def git(root: Path, *arguments: str) -> str:
    """Return what git says of a checkout.

    Raises:
        EditionError: it is none, or there is no git.
    """
    try:
        run = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        run = None
    if run is None or run.returncode:
        raise EditionError(NO_CHECKOUT.format(root))
    return run.stdout


def tracked(root: Path) -> list[str]:
    """Return the tracked files of a course, and its notebooks, tracked or not, in order.

    Raises:
        EditionError: it is no git checkout.
    """
    listed = git(root, "ls-files", "-z")
    names = {name for name in listed.split("\0") if name and (root / name).is_file()}
    return sorted(names | {f"notebooks/{p.name}" for p in (root / "notebooks").glob("*.ipynb")})


def student(root: Path = ROOT) -> dict[str, File]:
    """Return the files of the students' edition: path -> content.

    Raises:
        EditionError: a notebook cannot be cut.
    """
    files = {name: _read(root, name) for name in tracked(root) if _is_for_students(name)}
    for name in [name for name in files if name.endswith(".ipynb")]:
        notebook = student_notebook(_notebook(root, name), name)
        files[name] = File((nbformat.writes(notebook) + "\n").encode())
    for name in {"README.md", "Makefile"} & set(files):
        files[name] = File(for_students(files[name].content.decode()).encode())
    return files


def for_students(text: str) -> str:
    """Return a page, or the Makefile, without what stands in it for instructors."""
    return _OF_INSTRUCTORS.sub("", text)


def instructor(root: Path = ROOT) -> dict[str, File]:
    """Return the files of the instructors' edition: all tracked ones, and the answer key.

    Raises:
        EditionError: an exercise has no solution, no hints, or no answers that were tried.
    """
    from answer_key import pages  # it imports PyTorch

    files = {name: _read(root, name) for name in tracked(root)}
    notebooks = {name: _notebook(root, name) for name in files if _is_chapter(name)}
    for name, notebook in notebooks.items():
        look_over(notebook, name)
    return files | {name: File(text.encode()) for name, text in pages(notebooks).items()}


def _is_for_students(name: str) -> bool:
    return name.startswith(FOR_STUDENTS) and name not in A_KEY


def _is_chapter(name: str) -> bool:
    return name.startswith("notebooks/") and name.endswith(".ipynb")


def _read(root: Path, name: str) -> File:
    return File((root / name).read_bytes(), os.access(root / name, os.X_OK))


def _notebook(root: Path, name: str) -> NotebookNode:
    try:
        return nbformat.read(root / name, as_version=4)
    except (ValueError, nbformat.ValidationError) as error:
        raise EditionError(f"{name} is no notebook: {str(error).splitlines()[0]}") from None


def broken_links(files: Mapping[str, File]) -> list[str]:
    """Return the links of an edition's pages and notebooks that lead to nothing in it."""
    texts = {name: "\n".join(_prose(name, files[name].content)) for name in files if _is_page(name)}
    return [
        f"{name}: {link}"
        for name, text in texts.items()
        for link in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", text))
        if not re.match(r"[a-z]+:", link) and not _leads_somewhere(name, link, files, texts)
    ]


def _is_page(name: str) -> bool:
    return name.endswith((".md", ".ipynb")) and not name.startswith("tests/")


def _prose(name: str, content: bytes) -> Iterator[str]:
    if name.endswith(".md"):
        yield content.decode()
        return
    for cell in nbformat.reads(content.decode(), as_version=4).cells:
        if cell.cell_type == "markdown":
            yield cell.source


def _leads_somewhere(
    name: str, link: str, files: Mapping[str, File], texts: Mapping[str, str]
) -> bool:
    path, _, anchor = link.partition("#")
    target = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
    if target in texts:
        heads = re.findall(r"^#+ (.*)$", texts[target], re.M)
        return not anchor or anchor in [head.lower().replace(" ", "-") for head in heads]
    return target in files or any(each.startswith(f"{target}/") for each in files)


# Writing


def write(files: Mapping[str, File], out: Path) -> None:
    """Write an edition into a folder, whole or not at all, in place of the one that was there.

    Raises:
        EditionError: a link leads nowhere; the folder holds what is no edition, or was changed; it
            cannot be written.
    """
    if broken := broken_links(files):
        raise EditionError("Links of this edition lead nowhere: " + "; ".join(broken[:5]))
    sums = "".join(
        f"{hashlib.sha256(files[name].content).hexdigest()}  {name}\n" for name in sorted(files)
    )
    try:
        refuse_what_is_not_ours(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
            new, old = Path(folder) / "new", Path(folder) / "old"
            for name, file in {**files, SUMS: File(sums.encode())}.items():
                path = new / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.content)
                path.chmod(0o755 if file.program else 0o644)
            if out.exists():
                out.rename(old)
            try:
                new.rename(out)
            except OSError:
                if old.exists():
                    old.rename(out)
                raise
    except OSError as error:
        raise EditionError(
            f"The edition could not be written to {out}: {error.strerror}. Name another folder "
            "with OUT=."
        ) from None


def refuse_what_is_not_ours(out: Path) -> None:
    """Refuse a folder that holds anything else than an edition as it was written.

    Raises:
        EditionError: it does; the message names the first such file.
    """
    if not out.exists():
        return
    listed = {}
    if (out / SUMS).is_file():
        lines = (out / SUMS).read_text(encoding="utf-8").splitlines()
        listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    there = [out] if out.is_file() else [path for path in sorted(out.rglob("*")) if path.is_file()]
    for path in there:
        name = path.relative_to(out).as_posix()
        if (name == SUMS and listed) or "__pycache__" in path.parts:
            continue
        if name not in listed or hashlib.sha256(path.read_bytes()).hexdigest() != listed[name]:
            raise EditionError(
                f"{out} holds what is no edition as it was written: {path}. Move it away, or name "
                "another folder with OUT=."
            )


EDITIONS = {"student": student, "instructor": instructor}


def main() -> None:
    """Write the edition that the command line names."""
    parser = argparse.ArgumentParser(description="Write an edition of the course.")
    parser.add_argument("edition", choices=EDITIONS)
    parser.add_argument("--out", type=Path, help="a folder; default: editions/ and the name")
    arguments = parser.parse_args()
    out = (arguments.out or ROOT / "editions" / arguments.edition).absolute()
    try:
        refuse_what_is_not_ours(out)  # before the work
        write(EDITIONS[arguments.edition](), out)
    except EditionError as error:
        raise SystemExit(str(error)) from None
    print(f"The {arguments.edition} edition is in {out}")


if __name__ == "__main__":
    main()
