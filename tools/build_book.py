"""Build the book, one offline site and a PDF, from the notebooks as they are: `make book`.

    python tools/build_book.py [--edition full|student] [--out FOLDER]

full        all of the course, solutions and answers too; by default in book/_build
student     the same without solutions and answers; by default in book/_build-student

It executes nothing. FOLDER gets html/ (open html/index.html) and, where Chromium is installed,
book.pdf. It is written whole or not at all: a warning of Sphinx, a link that
leads nowhere, or anything that a page would load from a network stops the build.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from book_links import dead_links, outside
from book_pages import EDITIONS, BookError, put_together
from book_print import print_book

ROOT = Path(__file__).resolve().parents[1]


def build_html(root: Path, folder: Path, edition: str = "full") -> Path:
    """Build the site of an edition of a course below a folder, and return where it is.

    Raises:
        BookError: Sphinx warns of something, a link leads nowhere, or a page loads from outside.
    """
    source, out = folder / "source", folder / "html"
    put_together(root, source, edition)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    command += ["-t", edition, "-d", str(folder / "doctrees"), str(source), str(out)]
    paths = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    if subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, cwd=root).returncode:
        raise BookError("Sphinx warns of what stands above; each warning has to be put right.")
    copy_pages(root / "page", out / "page")
    for rest in [out / ".buildinfo", *(out / "_static").glob("*webpack-macros.html")]:
        rest.unlink(missing_ok=True)  # the build's own notes
    if dead := dead_links(out):
        raise BookError("Links of the book lead nowhere: " + "; ".join(dead[:5]))
    if loaded := outside(out):
        raise BookError("The book would load from a network: " + "; ".join(loaded[:5]))
    return out


def copy_pages(pages: Path, out: Path) -> None:
    """Copy the stand-alone pages; their link to the course leads to the book, out of any frame."""
    shutil.copytree(pages, out, ignore=shutil.ignore_patterns(*NOT_PAGES))
    for page in out.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        back = text.replace('href="../README.md"', 'href="../course.html" target="_top"')
        page.write_text(back, encoding="utf-8")


HOLDS = {
    "full": "It holds all solutions; EDITION=student builds one without them.",
    "student": "It holds no solutions.",
}
"""What the last line says of an edition."""

NOT_PAGES = ("*.md", "*.py", "*.js", "*.css", "*.c", "*.sh", "*.wasm", "page.html", "lab.html")
NOT_PAGES += (".*", "__pycache__")
"""What the stand-alone pages are made of."""


def refuse_what_is_not_ours(out: Path) -> None:
    """Refuse a folder that holds anything but a book, which the new one would replace.

    Raises:
        BookError: it does.
    """
    if out.is_file() or (out.is_dir() and {p.name for p in out.iterdir()} - {"html", "book.pdf"}):
        raise BookError(f"{out} holds what is no book. Move it away, or name another folder.")


def build(root: Path, out: Path, edition: str = "full") -> None:
    """Build the book of an edition of a course into a folder, in place of the one that was there.

    Raises:
        BookError: it cannot be built, or not be written there.
    """
    refuse_what_is_not_ours(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as name:
            folder, new = Path(name), Path(name) / "new"
            new.mkdir()
            build_html(root, folder, edition).rename(new / "html")
            print_book(new / "html", new / "book.pdf")
            if out.exists():
                out.rename(folder / "old")
            new.rename(out)
    except OSError as error:
        raise BookError(
            f"The book could not be written to {out}: {error.strerror}. Name another folder."
        ) from None


def main() -> None:
    """Build the book where the command line says."""
    parser = argparse.ArgumentParser(description="Build the book.")
    parser.add_argument("--edition", choices=EDITIONS, default="full", help="whose book")
    parser.add_argument("--out", type=Path, help="a folder; default: book/_build…, in the course")
    arguments = parser.parse_args()
    out = (arguments.out or ROOT / EDITIONS[arguments.edition]).absolute()
    try:
        build(ROOT, out, arguments.edition)
    except BookError as error:
        raise SystemExit(str(error)) from None
    print(f"The book is {out / 'html/index.html'}. {HOLDS[arguments.edition]}")


if __name__ == "__main__":
    main()
