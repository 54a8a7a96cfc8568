"""Bring what students handed in back into the form that nbgrader grades; used by grading_run.py.

No program. nbgrader finds cells by their metadata, and loses a submission whose editor dropped
them, or that is no notebook. Here a submission is laid into the notebook that was released: each
answer is found by nbgrader's mark, else by the cell's id, else by the name that its check is called
with. What the student's other cells hold comes along. What was done stands in the notebook's
metadata, under `mended`; where nothing can be read, the answers stay stubs, and `unreadable` says
why.
"""

import ast
import copy
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import nbformat
from assignment import bound
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

BINDS = re.compile(r"^(?:async )?(?:def|class) (\w+)|^(\w+)(?: *:[^=\n]+)? *=(?!=)", re.M)
ENCODINGS = ("utf-8-sig", "utf-16", "cp1252", "latin-1")


class Unreadable(Exception):
    """A submission holds no notebook; the message says what it holds."""


class Cell(NamedTuple):
    """A cell of a submission: of which released cell it is, "" if nobody can say."""

    kind: str
    source: str
    of: str


def mended(path: Path | None, release: NotebookNode) -> NotebookNode:
    """Return a submission as nbgrader can grade it.

    Args:
        path: the file that was handed in; None if there is none.
        release: the notebook that was given out.
    """
    laid = copy.deepcopy(release)
    try:
        cells, notes = read(path, {cell.id for cell in release.cells})
    except Unreadable as error:
        laid.metadata["unreadable"] = str(error)
        laid.cells.insert(0, new_markdown_cell(f"**Nothing could be graded.** {error}"))
        return laid
    cells = _continued(cells)
    taken: set[int] = set()
    for cell in laid.cells:
        if _is_answer(cell):
            cell.source, more = _answer(cell, cells, taken)
            notes += more
    laid.cells = _with_others(laid.cells, cells, taken)
    if notes:
        laid.metadata["mended"] = notes
        lines = "\n".join(f"- {note}" for note in notes)
        laid.cells.insert(0, new_markdown_cell(f"**Mended before it was graded**\n\n{lines}"))
    return laid


# Reading


def read(path: Path | None, ids: set[str]) -> tuple[list[Cell], list[str]]:
    """Return the cells of a file, and what was odd about it.

    Args:
        path: the file; None if there is none.
        ids: of the released cells.

    Raises:
        Unreadable: there is no notebook in it.
    """
    if path is None:
        raise Unreadable("No notebook was handed in.")
    content, notes = path.read_bytes(), []
    if not content.strip():
        raise Unreadable("The file is empty.")
    data, encoding = _parsed(content)
    if encoding != ENCODINGS[0]:
        notes.append(f"The file is not in UTF-8; it was read as {encoding}.")
    cells = data.get("cells") if isinstance(data, dict) else None
    if not isinstance(cells, list):
        raise Unreadable("The file is JSON, but no notebook of Jupyter: it has no cells.")
    found = [_cell(cell, ids) for cell in cells if isinstance(cell, dict)]
    if not found:
        notes.append("The notebook has no cells.")
    elif not any(cell.of for cell in found):
        lost = "All cells have lost their marks"
        if any("exercise" in _tags(cell) for cell in cells if isinstance(cell, dict)):
            lost = "This is the chapter, not the assignment"
        notes.append(f"{lost}; answers were found by their names.")
    return found, notes


def _tags(cell: dict) -> list:
    """Return the tags of a cell as it was handed in."""
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return tags if isinstance(tags, list) else []


def _parsed(content: bytes) -> tuple[object, str]:
    """Return what is in a file of JSON, and the encoding that it is in."""
    for encoding in ENCODINGS:
        try:
            return json.loads(content.decode(encoding)), encoding
        except RecursionError:
            break
        except ValueError:
            continue
    begins = content[:30].decode("latin-1")
    raise Unreadable(f"The file is no notebook: it is no JSON, and begins with {begins!r}.")


def _cell(cell: dict, ids: set[str]) -> Cell:
    """Return a cell with the name of the released cell that it is, if it tells."""
    source = cell.get("source", "")
    source = "".join(map(str, source)) if isinstance(source, list) else str(source)
    source = source.encode("utf-8", "replace").decode()  # half a character cannot be written
    metadata = cell.get("metadata")
    mark = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    marks = (mark.get("grade_id") if isinstance(mark, dict) else None, cell.get("id"))
    of = next((mark for mark in marks if isinstance(mark, str) and mark in ids), "")
    return Cell(str(cell.get("cell_type", "code")), source, of)


def _continued(cells: list[Cell]) -> list[Cell]:
    """Return cells in which a half that was split off, and is no Python alone, has its mark."""
    cells = list(cells)
    for n, cell in enumerate(cells):
        if cell.of or cell.kind != "code" or parses(cell.source):
            continue
        for other, first in ((n - 1, n - 1), (n + 1, n)):
            marked = 0 <= other < len(cells) and cells[other].of.startswith("answer-")
            if marked and parses("\n".join(c.source for c in cells[first : first + 2])):
                cells[n] = cell._replace(of=cells[other].of)
                break
    return cells


# Finding answers


def _is_answer(cell: NotebookNode) -> bool:
    return cell.metadata.get("nbgrader", {}).get("solution", False)


def _answer(stub: NotebookNode, cells: list[Cell], taken: set[int]) -> tuple[str, list[str]]:
    """Return the source of an answer, and what was done to find it; note which cells it took."""
    name = stub.id.removeprefix("answer-")
    own = [n for n, cell in enumerate(cells) if cell.of == stub.id]
    taken |= set(own)
    (asked,) = bound(stub.source)
    loose = [n for n, c in enumerate(cells) if not c.of and c.kind == "code" and asked in binds(c)]
    found = [n for n in sorted(own + loose) if not _same(cells[n].source, stub.source)]
    if not found:  # in the cell of another exercise
        others = (n for n, cell in enumerate(cells) if cell.of.startswith("answer-"))
        found = [n for n in others if asked in binds(cells[n]) and n not in own]
    if not found:
        there = own or any(_same(cells[n].source, stub.source) for n in loose)
        return stub.source, [] if there else [f"`{name}`: there was no cell with an answer."]
    taken |= set(found)
    source = _joined([cells[n].source for n in found], asked)
    other = _checked_instead(name, cells)
    if other and other != asked and asked not in _names(source):
        source = f"{source}\n\n{asked} = {other}"
    return source, _notes(name, asked, [cells[n] for n in found], other)


def _notes(name: str, asked: str, found: list[Cell], other: str | None) -> list[str]:
    """Return what was odd about the cells of an answer."""
    notes = []
    if any(cell.kind != "code" for cell in found):
        notes.append(f"`{name}`: the answer stood in a cell that is no code.")
    if len(found) > 1:
        notes.append(f"`{name}`: {len(found)} cells were taken for one answer, in their order.")
    if any(cell.of not in ("", f"answer-{name}") for cell in found):
        notes.append(f"`{name}`: the answer stood in the cell of another exercise.")
    if other and other != asked:
        notes.append(f"`{name}`: `{other}` was checked in place of `{asked}`.")
    return notes


def _checked_instead(name: str, cells: list[Cell]) -> str | None:
    """Return the name that a student has put into the call of a check, if any."""
    called = re.compile(rf"^check\.{name}\((\w+)\b", re.M)
    found = [match.group(1) for cell in cells if (match := called.search(cell.source))]
    return found[-1] if found and found[-1].isidentifier() else None


def _joined(pieces: list[str], asked: str) -> str:
    """Return the pieces of an answer as one; those that are no Python are left out if they can."""
    whole = "\n\n".join(dict.fromkeys(pieces))
    for glued in (whole, "\n".join(pieces)):
        if parses(glued):
            return glued
    sound = "\n\n".join(piece for piece in dict.fromkeys(pieces) if parses(piece))
    return sound if asked in _names(sound) else whole


def _with_others(
    released: list[NotebookNode], cells: list[Cell], taken: set[int]
) -> list[NotebookNode]:
    """Return the released cells with a student's own cells between them, where they stood."""
    known = {" ".join(cell.source.split()) for cell in released}
    places = {cell.id: n for n, cell in enumerate(released)}
    behind: dict[int, list[NotebookNode]] = {}
    place = 0
    for n, cell in enumerate(cells):
        place = places.get(cell.of, place)
        own = n not in taken and cell.of not in places and cell.source.strip()
        if own and " ".join(cell.source.split()) not in known:
            new = new_code_cell if cell.kind == "code" else new_markdown_cell
            behind.setdefault(place, []).append(new(cell.source))
    return [each for n, cell in enumerate(released) for each in (cell, *behind.get(n, []))]


def binds(cell: Cell) -> frozenset[str]:
    """Return the names that a cell makes, also if it is no whole Python."""
    return _names(cell.source)


@lru_cache(maxsize=1000)  # the cells of a class are mostly the same
def _names(source: str) -> frozenset[str]:
    try:
        return frozenset(bound(source))
    except (SyntaxError, ValueError):
        return frozenset(name for pair in BINDS.findall(source) for name in pair if name)


def parses(source: str) -> bool:
    """Say whether a cell is Python, its magics left out."""
    try:
        ast.parse(re.sub(r"^[%!].*$", "", source, flags=re.M))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _same(a: str, b: str) -> bool:
    """Say whether two sources are the same but for their blanks."""
    return a.split() == b.split()


def mend_all(submitted: Path, into: Path, releases: Iterable[Path]) -> None:
    """Write a mended copy of every submission.

    Args:
        submitted: a folder for each student, in it one for each assignment.
        into: such a folder; what is in it is written anew.
        releases: the notebooks that were given out, each in the folder of its assignment.
    """
    for path in releases:
        release = nbformat.read(path, as_version=4)
        for student in sorted(p for p in submitted.iterdir() if p.is_dir()):
            folder = student / path.parent.name
            if folder.is_dir():
                new = into / student.name / path.parent.name / path.name
                new.parent.mkdir(parents=True, exist_ok=True)
                laid = mended(handed_in(folder, path.name), release)
                new.write_text(nbformat.writes(laid) + "\n", encoding="utf-8")


def handed_in(folder: Path, name: str) -> Path | None:
    """Return the notebook that a student has handed in, also under another name."""
    if (folder / name).is_file():
        return folder / name
    others = sorted(folder.glob("*.ipynb"))
    return others[0] if len(others) == 1 else None
