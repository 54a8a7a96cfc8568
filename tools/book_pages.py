"""The pages of the book, as Sphinx reads them: what tools/build_book.py puts into one folder.

A chapter is its notebook with its outputs. What is changed is only how it is shown: what is folded,
the alternative text of its figures, a note where a panel needs Python, and where its links lead.
"""

import ast
import os
import re
import shutil
from collections import defaultdict
from pathlib import Path

import nbformat
from editions import for_students
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from student_notebook import EditionError, student_notebook

EDITIONS = {"full": "book/_build", "student": "book/_build-student"}
"""What books there are, and where each is built. That of students has no solutions and answers."""

PAGES = {
    "README.md": "course.md",
    "datasets/README.md": "datasets.md",
    "runs/README.md": "runs.md",
    "notebooks/glossary.md": "glossary.md",
    "page/README.md": "explorer.md",
    "page/index.html": "explorer.md",
    "page/explosion.html": "explosion.md",
}
"""Files of the course -> pages of the book; each notebook has a page of its own name."""

NO_PANEL = """\
```{{note}}
Here the notebook has a panel with controls. It needs a running Python, so the book shows its code
alone. {works}
```
"""
EXPLORER = "The [temperature explorer](explorer.md) is such a panel, and works in this book."
FILES = "files"
"""The folder of files that pages link to, such as a sample text."""

LIBRARY = """\
# The library

The chapters build `lstmlib`, and use it from then on. Data flows one way: each module imports only
modules above it.

| module | what it does |
|---|---|
{table}
```{{toctree}}
:hidden:
:maxdepth: 1

{names}
```
"""

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_TERM = re.compile(r"^### (.+)$", re.M)
_MARK = re.compile(r'^<a id="[^"]*"></a>\n\n', re.M)
"""A mark that JupyterLab needs before a heading with capitals. Sphinx marks each heading itself."""
_CHECKED = re.compile(r"^\s*(?:check|ch\d\d)\.(\w+)\(", re.M)
_NUMBER = re.compile(r"^\*\*(\d+)\.\*\*", re.M)


class BookError(Exception):
    """The book cannot be built; the message says why, and what to do."""


def put_together(root: Path, folder: Path, edition: str = "full") -> None:
    """Write all that Sphinx reads into a folder: settings, pages, chapters, files.

    Args:
        root: the course.
        folder: it must not exist.
        edition: one of EDITIONS; in that of students the chapters have no solutions and answers.

    Raises:
        BookError: a notebook is none; something of it might be an answer, and is not marked as one.
    """
    # What is built there, and what is being built, is none of it.
    built = shutil.ignore_patterns("_build*", ".*", "__pycache__")
    shutil.copytree(root / "book", folder, ignore=built)
    notebooks = sorted((root / "notebooks").glob("[0-9]*.ipynb"))
    chapters = {path.stem: read(path, edition) for path in notebooks}
    for name, notebook in chapters.items():
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = moved(cell.source, root, folder, "notebooks")
        nbformat.write(as_shown(notebook), folder / f"{name}.ipynb")
    for name in ("README.md", "datasets/README.md", "runs/README.md", "notebooks/glossary.md"):
        text = _MARK.sub("", (root / name).read_text(encoding="utf-8"))
        if edition == "student":
            text = for_students(text)
        page = moved(text, root, folder, os.path.dirname(name))
        (folder / PAGES[name]).write_text(page, encoding="utf-8")
    glossary = folder / "glossary.md"
    glossary.write_text(with_chapters(glossary.read_text(encoding="utf-8"), chapters), "utf-8")
    shutil.copy(root / "notebooks/references.bib", folder)
    describe_library(root, folder)


def read(path: Path, edition: str = "full") -> NotebookNode:
    """Return a notebook as it is in an edition.

    Raises:
        BookError: it is none; students' one cannot be made of it.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
    except (ValueError, nbformat.ValidationError) as error:
        raise BookError(f"{path.name} is no notebook: {str(error).splitlines()[0]}") from None
    try:
        return student_notebook(notebook, path.name) if edition == "student" else notebook
    except EditionError as error:
        raise BookError(str(error)) from None


def describe_library(root: Path, folder: Path) -> None:
    """Write a page for each module of lstmlib, which Sphinx fills from the docstrings."""
    package = ast.parse((root / "lstmlib/__init__.py").read_text(encoding="utf-8"))
    rows = re.findall(r"^    (\w+) +(\S.*)$", ast.get_docstring(package) or "", re.M)
    (folder / "library").mkdir()
    for module, _ in rows:
        title = f"lstmlib.{module}"
        page = f"{title}\n{'=' * len(title)}\n\n.. automodule:: {title}\n"
        (folder / f"library/{module}.rst").write_text(page, encoding="utf-8")
    table = "".join(f"| [{name}](library/{name}.rst) | {what} |\n" for name, what in rows)
    names = "\n".join(f"library/{name}" for name, _ in rows)
    text = LIBRARY.format(table=table, names=names)
    (folder / "library.md").write_text(text, encoding="utf-8")


# Links


def moved(text: str, root: Path, folder: Path, home: str) -> str:
    """Return Markdown with its links as they are in the book.

    A link to a file that is no page leads to a copy of it. One to a folder, or to a page for
    people who change the course, becomes text. One that leads nowhere stays: Sphinx then fails.
    """

    def replaced(link: re.Match) -> str:
        picture, shown, target = link.groups()
        path, hash_, anchor = target.partition("#")
        name = os.path.normpath(os.path.join(home, path))
        source = root / name
        if not path or re.match(r"[a-z]+:", target) or not source.exists():
            return link.group()
        if name in PAGES or name.endswith(".ipynb"):
            return f"[{shown}]({PAGES.get(name, source.name)}{hash_}{anchor})"
        if source.is_dir() or name.endswith(".md"):
            return shown
        copy = folder / FILES / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copy)
        return f"{picture}[{shown}]({FILES}/{name})"

    return _LINK.sub(replaced, text)


def with_chapters(glossary: str, chapters: dict[str, NotebookNode]) -> str:
    """Return the glossary, each entry with the chapters that link to it."""
    users = defaultdict(list)
    for name, notebook in chapters.items():
        prose = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
        for anchor in sorted(set(re.findall(r"\(glossary\.md#([^)]+)\)", prose))):
            users[anchor].append(f"[{name[:2]}]({name}.ipynb)")
    parts = _TERM.split(glossary)
    pages = [parts[0]]
    for term, text in zip(parts[1::2], parts[2::2], strict=True):
        linked = ", ".join(users[term.lower().replace(" ", "-")])
        pages.append(f"## {term}{text.rstrip()}\n\n{linked and f'Linked from {linked}.'}\n\n")
    return "".join(pages)


# Cells


def as_shown(notebook: NotebookNode) -> NotebookNode:
    """Return a notebook as the book shows it: folded, with alternative text, with notes."""
    numbers = exercise_numbers(notebook)
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type != "code":
            continue
        fold(cell, numbers)
        for output in cell.outputs:
            if alt := output.get("metadata", {}).get("image/png", {}).get("alt"):
                cell.metadata.setdefault("mystnb", {})["image"] = {"alt": alt}
        if is_panel(cell):
            works = EXPLORER if "xplorer" in cell.source else ""
            cells.append(new_markdown_cell(NO_PANEL.format(works=works)))
    notebook.cells = cells
    return notebook


def exercise_numbers(notebook: NotebookNode) -> dict[str, str]:
    """Return which exercise each check belongs to: name of the check -> number, as printed."""
    numbers, number = {}, ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            number = (_NUMBER.findall(cell.source) or [number])[-1]
        elif "exercise" in cell.metadata.get("tags", []):
            numbers |= {name: number for name in _CHECKED.findall(cell.source) if number}
    return numbers


def fold(cell: NotebookNode, numbers: dict[str, str]) -> None:
    """Fold what only checks, and what tells an answer, and say on the fold which it is.

    myst-nb folds what is tagged hide-input, and leaves its output open.
    """
    tags = cell.metadata.get("tags", [])
    if not {"solution", "answer", "hide-input"} & set(tags):
        return
    cell.metadata.tags = [*tags, *({"hide-input"} - set(tags))]
    what = "the check"
    if "solution" in tags:
        checks = [numbers[name] for name in _CHECKED.findall(cell.source) if name in numbers]
        what = f"the solution of exercise {checks[0]}" if checks else "the solution"
    elif "answer" in tags:
        what = "the code of the answer"
    prompts = {"code_prompt_show": f"Show {what}", "code_prompt_hide": f"Hide {what}"}
    cell.metadata.setdefault("mystnb", {}).update(prompts)


def is_panel(cell: NotebookNode) -> bool:
    """Say whether a cell ends in a panel: a name or a new object, of which no output was kept."""
    if cell.outputs or not cell.source.strip():
        return False
    try:
        last = ast.parse(re.sub(r"^[%!].*$", "", cell.source, flags=re.M)).body[-1:]
    except SyntaxError:  # a cell of another language
        return False
    if not last or not isinstance(last[0], ast.Expr):
        return False
    value = last[0].value
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).split(".")[-1][0].isupper()
    return isinstance(value, ast.Name)
