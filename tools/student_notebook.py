"""A notebook of the course without its solutions and answers, and what would let one through.

What is cut: cells tagged `solution` or `answer`, what stands in <details>, and the heading
"## Solutions". All of it but the <details> stands at the end, so what is left runs as it did.
"""

import ast
import copy
import re

from nbformat import NotebookNode

SECRET = {"solution", "answer"}
"""Tags of cells that are for instructors alone."""

DETAILS = re.compile(r"<details>\s*<summary>(.*?)</summary>\s*(.*?)\s*</details>\s*", re.S)
_HEADING = re.compile(r"^## Solutions *$", re.M)
_FOLDED_BELOW = re.compile(r"\s+The\s+solutions\s+stand\s+folded\s+at\s+the\s+end\.")


class EditionError(Exception):
    """An edition cannot be written; the message says why, and what to do."""


def student_notebook(notebook: NotebookNode, name: str) -> NotebookNode:
    """Return a notebook without its solutions and answers; the one that is given stays as it is.

    Args:
        notebook: a notebook of the course.
        name: what messages call it.

    Raises:
        EditionError: something of it might be an answer, and is not marked as one.
    """
    look_over(notebook, name)
    left = copy.deepcopy(notebook)
    for cell in left.cells:
        if cell.cell_type == "markdown":
            cell.source = _without_answers(cell.source)
    left.cells = [cell for cell in left.cells if not SECRET & tags(cell) and cell.source]
    return left


def tags(cell: NotebookNode) -> set[str]:
    """Return the tags of a cell."""
    return set(cell.metadata.get("tags", []))


def said(cell: NotebookNode) -> str:
    """Return what a cell printed."""
    return "".join(output.get("text", "") for output in cell.get("outputs", [])).strip()


def _without_answers(source: str) -> str:
    """Return a text without what is folded in it, and without the heading of the solutions."""
    for pattern in (DETAILS, _FOLDED_BELOW, _HEADING):
        source = pattern.sub("", source)
    return source.strip("\n")


def look_over(notebook: NotebookNode, name: str) -> None:
    """Refuse a notebook from which an answer might come through.

    Raises:
        EditionError: a solution stands where it is not looked for, an exercise is solved, ...
    """
    below = False  # the heading of the solutions
    for number, cell in enumerate(notebook.cells, start=1):
        place, secret = f"{name}, cell {number}", bool(SECRET & tags(cell))
        if secret and not below:
            raise EditionError(
                f"{place}: a cell tagged {_any(SECRET & tags(cell))} stands before the heading "
                "`## Solutions`. A later cell might need it; move it below the heading."
            )
        if "### BEGIN SOLUTION" in cell.source and "solution" not in tags(cell):
            raise EditionError(f"{place}: it holds a solution; give it the tag `solution`.")
        if below and not secret and not _leads_on(notebook, number):
            raise EditionError(
                f"{place}: it stands below `## Solutions`. Give it the tag `answer`, or move it "
                "up. Only the last cell needs no tag, if it begins with `---`."
            )
        if "exercise" in tags(cell):
            _look_at_exercise(cell, place)
        if cell.cell_type == "markdown" and not secret:
            rest = DETAILS.sub("", cell.source)
            if re.search(r"</?details|</?summary", rest):
                raise EditionError(f"{place}: <details> and </details> do not fit together.")
            found = _HEADING.search(rest)
            below = below or found is not None
            if found and rest[found.end() :].strip():
                raise EditionError(
                    f"{place}: text follows `## Solutions` in its cell; give that text a cell of "
                    "its own, with the tag `answer`."
                )


def _leads_on(notebook: NotebookNode, number: int) -> bool:
    """Say whether a cell, counted from 1, is the last one, which leads to other chapters."""
    cell = notebook.cells[number - 1]
    last = number == len(notebook.cells) and cell.cell_type == "markdown"
    return last and cell.source.startswith("---\n")


def _look_at_exercise(cell: NotebookNode, place: str) -> None:
    """Refuse an exercise that somebody has solved, or that was not run."""
    if (text := said(cell)) != "not attempted yet":
        raise EditionError(
            f"{place}: the exercise says {text[:60]!r}, not 'not attempted yet'. Put the stub back "
            "in, and run it: make notebooks NB=…"
        )
    try:
        nodes = list(ast.walk(ast.parse(cell.source)))
    except SyntaxError as error:
        raise EditionError(f"{place}: the exercise is no Python: {error.msg}.") from None
    if not any(isinstance(node, ast.Constant) and node.value is ... for node in nodes):
        raise EditionError(f"{place}: the exercise has no `...` where the answer is to be written.")


def _any(names: set[str]) -> str:
    return " and ".join(f"`{name}`" for name in sorted(names))
