"""Make slides of every chapter from its own text and figures: `make slides`.

    python tools/slides.py [--out FOLDER] [--chapters 00 06]

A rule chooses what a slide shows. Each heading of a chapter, as students get it, makes a slide: the
first sentences below it, its first displayed formula, and the first number that a check printed.
If the part has a figure, the first one has a slide of its own. The opening makes the title, and the
summary stands at the end. Text is cut at the ends of sentences, never within one. After a part come
the concept questions on it, from teaching/questions: each has a slide, and its answer another one.

nbconvert writes them for reveal.js. Nothing is loaded from a network when they are shown: reveal.js
and MathJax lie beside the slides. `npm pack` fetches both once, and their SHA-256 is checked. The
default OUT is editions/slides.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nbconvert import SlidesExporter
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook
from platformdirs import user_cache_path
from teaching_plan import NOTEBOOKS, choices, questions, student_view

ROOT = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT = 1366, 768
"""Pixels of a slide, as many as a common projector has."""
MOST_WORDS = 55
"""Words of text on a slide, but for the sentence that crosses this number."""
MOST_WORDS_OF_A_LIST = 80
POINTER = re.compile(r"\b(the|these|this) \w+( `\w+`)? below\b", re.I)
"""What is said of a cell, which is on no slide."""
ASSETS = "assets"
SKIPPED = ("References", "Exercises", "Check list", "Solutions")
PACKAGES = {
    "reveal.js@4.6.1": "4f4121ef2b8e7e9398bdecd7b3b6ce5e0ee3a2f5af221708eb6c4ce03bcae6be",
    "mathjax@3.2.2": "1b9c0a1c44df864e915690558e72adb9cc5203360daefd385084ced3b6c64c09",
}
"""Packages of npm with the SHA-256 of their archives."""
WANTED = (
    "dist/reveal.js",
    "dist/reveal.css",
    "dist/theme/white.css",
    "dist/theme/fonts/source-sans-pro/",
    "es5/tex-svg-full.js",
    "LICENSE",
)
"""What of the packages lies beside the slides."""


class SlidesError(Exception):
    """Slides cannot be made; the message says why, and what to do."""


@dataclass
class Part:
    """What stands below one heading of a chapter, up to the next."""

    heading: str
    level: int
    text: list[str] = field(default_factory=list)
    figures: list[tuple[str, str]] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)


def parts(notebook: NotebookNode) -> list[Part]:
    """Take a chapter apart at its headings.

    Returns:
        A part for each heading: its paragraphs, its figures as (base64, alternative text), and
        what its folded cells printed.
    """
    found: list[Part] = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for block in _blocks(cell.source):
                if match := re.match(r"(#+) (.+)", block):
                    found.append(Part(match[2], len(match[1])))
                    block = block.partition("\n")[2].strip()
                if block:
                    found[-1].text.append(block)
            continue
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                alt = output.metadata.get("image/png", output.metadata).get("alt", "")
                found[-1].figures.append((output.data["image/png"], alt))
            found[-1].checks += output.get("text", "").splitlines()
    return found


def _blocks(source: str) -> list[str]:
    """Return what blank lines part, code blocks left out."""
    return re.split(r"\n\s*\n", re.sub(r"^```.*?^```", "", source, flags=re.M | re.S).strip())


def _plain(text: str) -> str:
    """Return a text in one line, without links, which a slide has no use for."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(text.split()))


def _opening_words(part: Part) -> str:
    """Return the first sentences of the first paragraph that says something by itself.

    A last sentence that leads to what is not on the slide, with a colon, is left out, and so is a
    sentence that points at it, such as "the function below", with what follows on it. A paragraph
    that is nothing else is left out whole.
    """
    prose = [b for b in part.text if not re.match(r"(\$\$|[-*|>] |\||<|!\[|\d+\. |    )", b)]
    return next(filter(None, map(_first_sentences, prose)), "")


def _first_sentences(block: str) -> str:
    kept: list[str] = []
    points = False
    # Not after "al.", which stands before a year.
    for sentence in re.split(r"(?<=[.!?:])(?<!al\.) (?=[A-Z“*`$(])", _plain(block)):
        if kept and len(" ".join([*kept, sentence]).split()) > MOST_WORDS:
            break
        points = points or bool(POINTER.search(sentence))
        if points and not sentence.startswith("("):
            continue
        kept.append(sentence)
    while kept and kept[-1].endswith(":"):
        kept.pop()
    return " ".join(kept)


def _formula(part: Part) -> str:
    return next((match[0] for b in part.text if (match := re.search(r"\$\$.*?\$\$", b, re.S))), "")


def _number(part: Part) -> str:
    """Return the first number that a band holds, or else the first beside a fact, in words."""
    shown = [re.fullmatch(r"(.+): ok \(measured ([-+\d][^;)]*).*\)", line) for line in part.checks]
    lines = [(match[1], match[2]) for match in shown if match]
    bands = [line for line in lines if line[0].endswith(" in its band")]
    for name, value in bands + lines:
        return f"> {name.removesuffix(' in its band')}: **{value}**"
    return ""


def _title(part: Part) -> Iterator[str]:
    yield f"# {part.heading}\n\n{_opening_words(part)}"
    bullets = next(b for b in part.text if b.startswith("- "))
    yield from _bullets("You will be able to", bullets)


def _bullets(heading: str, text: str) -> Iterator[str]:
    """Yield slides of a list, with as many whole items on each as have room."""
    items = [_plain(item) for item in re.split(r"^- ", text, flags=re.M) if item.strip()]
    while items:
        some = [items.pop(0)]
        while items and len(" ".join([*some, items[0]]).split()) <= MOST_WORDS_OF_A_LIST:
            some.append(items.pop(0))
        yield "\n".join([f"## {heading}\n", *(f"- {item}" for item in some)])


def slides(notebook: NotebookNode, questions: Sequence[dict] = ()) -> list[str]:
    """Return a chapter's slides, each in Markdown; a question stands behind the part it is on."""
    first, *rest = parts(notebook)
    made = list(_title(first))
    for part in rest:
        if part.heading == "Summary":
            made += _bullets("Summary", "\n".join(part.text))
        if part.heading in ("Summary", *SKIPPED):
            continue
        said = [_opening_words(part), _formula(part), _number(part)]
        made.append("\n\n".join([f"## {part.heading}", *filter(None, said)]))
        for picture, alt in part.figures[:1]:
            words = alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
            image = f'<img alt="{words}" src="data:image/png;base64,{picture.strip()}">'
            made.append(f"## {part.heading}\n\n{image}")
        for question in questions:
            if _plain(question["section"]) == part.heading:
                made += question_and_answer(question)
    return made


def question_and_answer(question: dict) -> list[str]:
    """Return the slide of a concept question, and the slide of its answer."""
    offered = list(choices(question))
    (right,) = [each for each in offered if not each[2]]
    asked = "\n".join(f"- **{letter}.** {says}" for letter, says, _ in offered)
    return [
        f"## Question\n\n{question['asks']}\n\n{asked}",
        f"## Answer\n\n{question['asks']}\n\n- **{right[0]}.** {right[1]}\n\n{question['because']}",
    ]


def deck(chapter: str) -> str:
    """Return the HTML of a chapter's slides, which reads the folder assets/ beside it."""
    cells = [
        new_markdown_cell(text, metadata={"slideshow": {"slide_type": "slide"}})
        for text in slides(student_view(chapter), questions(chapter))
    ]
    exporter = SlidesExporter(
        template_file=str(Path(__file__).with_name("slides.html.j2")),
        reveal_url_prefix=f"{ASSETS}/reveal.js",
        mathjax_url=f"{ASSETS}/mathjax/es5/tex-svg-full.js",
        reveal_theme="white",
        reveal_width=str(WIDTH),
        reveal_height=str(HEIGHT),
    )
    name = {"metadata": {"name": NOTEBOOKS[chapter].stem}}
    html, _ = exporter.from_notebook_node(new_notebook(cells=cells), resources=name)
    return html


# What lies beside them


def fetch(cache: Path) -> list[Path]:
    """Return the archives of the packages; npm fetches what the cache does not have.

    Raises:
        SlidesError: npm is not there, or has no network; or an archive is not the one we know.
    """
    return [_fetched(package, digest, cache) for package, digest in PACKAGES.items()]


def _fetched(package: str, digest: str, cache: Path) -> Path:
    archive = cache / f"{package.replace('@', '-')}.tgz"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            command = ["npm", "pack", package, "--pack-destination", folder]
            try:
                subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
            except (OSError, subprocess.SubprocessError):
                raise SlidesError(
                    f"{package} could not be fetched: it needs npm, and once a network. Without "
                    f"one, put the archive that `npm pack {package}` makes at {archive}."
                ) from None
            next(Path(folder).iterdir()).replace(archive)
    if hashlib.sha256(archive.read_bytes()).hexdigest() != digest:
        raise SlidesError(f"{archive} is not the {package} that we know. Remove it and try again.")
    return archive


def unpack(archives: Sequence[Path], out: Path) -> None:
    """Write what the slides need of the packages into a folder."""
    for package, archive in zip(PACKAGES, archives, strict=True):
        with tarfile.open(archive) as packed:
            for member in packed:
                name = member.name.partition("/")[2]
                if member.isfile() and name.startswith(WANTED):
                    path = out / package.partition("@")[0] / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(packed.extractfile(member).read())


def write(chapters: Sequence[str], out: Path, cache: Path) -> None:
    """Write the slides of chapters into a folder, whole or not at all.

    Raises:
        SlidesError: what lies beside them cannot be had, or the folder holds other things.
    """
    if out.exists() and any(out.iterdir()) and not (out / ASSETS / "reveal.js").is_dir():
        raise SlidesError(f"{out} holds other things. Name another folder with OUT=.")
    archives = fetch(cache)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
            new = Path(folder) / "new"
            unpack(archives, new / ASSETS)
            for chapter in chapters:
                (new / f"{NOTEBOOKS[chapter].stem}.html").write_text(deck(chapter), "utf-8")
            if out.exists():
                out.replace(Path(folder) / "old")
            new.replace(out)
    except OSError as error:
        raise SlidesError(
            f"The slides could not be written to {out}: {error.strerror}. Name another folder "
            "with OUT=."
        ) from None


def main() -> None:
    """Write the slides that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "editions/slides")
    parser.add_argument("--chapters", nargs="+", default=list(NOTEBOOKS), choices=NOTEBOOKS)
    arguments = parser.parse_args()
    cache = Path(os.environ.get("LSTMLIB_SLIDES", user_cache_path("lstmlib"))) / "npm"
    try:
        write(arguments.chapters, arguments.out.absolute(), cache)
    except SlidesError as error:
        sys.exit(str(error))
    print(f"The slides are in {arguments.out}")


if __name__ == "__main__":
    main()
