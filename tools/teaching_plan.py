"""Write what of the plan for teaching is computed: `python tools/teaching_plan.py`.

It reads the notebooks as students get them, notebooks/times.json, teaching/plan.toml and
teaching/questions/NN.toml. It writes the tables of teaching/README.md and the pages
teaching/questions/NN.md.

Running minutes are measured: those of the profile cpu. Reading minutes are an estimate by rate,
with the rates below.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from student_notebook import student_notebook

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
TEACHING = ROOT / "teaching"
QUESTIONS = TEACHING / "questions"
NOTEBOOKS = {path.name[:2]: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}

WORDS_A_MINUTE = 238
"""Silent reading of non-fiction in English: Brysbaert (2019), doi.org/10.1016/j.jml.2019.104047."""
SECONDS_A_FORMULA, SECONDS_A_FIGURE, SECONDS_A_LINE = 30, 30, 4
"""Of a displayed formula, a figure, a line of code. We set these three; we know of no source."""

_FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
_FORMULA = re.compile(r"\$\$.*?\$\$", re.S)


@dataclass(frozen=True)
class Reading:
    """What there is to read in a chapter.

    Attributes:
        words: of the text; a formula within a line counts as one.
        formulas: displayed ones.
        figures: pictures that cells drew.
        lines: of code that is not folded, blank ones not counted.
    """

    words: int
    formulas: int
    figures: int
    lines: int

    @property
    def minutes(self) -> float:
        """Minutes by the rates of this file."""
        seconds = (
            self.formulas * SECONDS_A_FORMULA
            + self.figures * SECONDS_A_FIGURE
            + self.lines * SECONDS_A_LINE
        )
        return self.words / WORDS_A_MINUTE + seconds / 60


def reading(notebook: NotebookNode) -> Reading:
    """Count what there is to read in a notebook, as it is given."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    seen = [cell for cell in notebook.cells if cell.cell_type == "code" and not _is_folded(cell)]
    code = [cell.source for cell in seen] + _FENCE.findall(text)
    return Reading(
        words=len(_words(text)),
        formulas=len(_FORMULA.findall(text)),
        figures=sum(_figures(cell) for cell in notebook.cells),
        lines=sum(bool(line.strip("` ")) for each in code for line in each.splitlines()),
    )


def _words(text: str) -> list[str]:
    """Return the words that are read as such: no code blocks, addresses, or displayed formulas."""
    for pattern, instead in (
        (_FENCE, " "),
        (_FORMULA, " "),
        (re.compile(r"\$[^$\n]+\$"), " formula "),
        (re.compile(r"\]\([^)]*\)"), " "),
        (re.compile(r"<[^>]+>"), " "),
    ):
        text = pattern.sub(instead, text)
    return re.findall(r"\w[\w'’-]*", text)


def _is_folded(cell: NotebookNode) -> bool:
    return bool(cell.metadata.get("jupyter", {}).get("source_hidden"))


def _figures(cell: NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


def student_view(chapter: str) -> NotebookNode:
    """Return a chapter as students get it."""
    path = NOTEBOOKS[chapter]
    return student_notebook(nbformat.read(path, as_version=4), path.name)


def headings(chapter: str) -> list[str]:
    """Return the headings of a chapter as students get it."""
    text = "\n".join(c.source for c in student_view(chapter).cells if c.cell_type == "markdown")
    return re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.M)


def exercises(chapter: str) -> list[int]:
    """Return the numbers of a chapter's exercises."""
    cells = [c.source for c in student_view(chapter).cells if c.cell_type == "markdown"]
    below = "\n".join(cells).partition("## Exercises")[2]
    return [int(number) for number in re.findall(r"^\*\*(\d+)\.\*\*", below, re.M)]


# Tables


def plan() -> dict:
    """Return what instructors decided: teaching/plan.toml."""
    return tomllib.loads((TEACHING / "plan.toml").read_text(encoding="utf-8"))


def running_minutes(chapter: str) -> float:
    """Return the measured minutes of the profile cpu."""
    times = json.loads((ROOT / "notebooks/times.json").read_text(encoding="utf-8"))
    return times[NOTEBOOKS[chapter].name]["cpu"] / 60


def tables() -> dict[str, str]:
    """Return the tables of teaching/README.md by their names."""
    read = {chapter: reading(student_view(chapter)) for chapter in NOTEBOOKS}
    decided = plan()
    by_name = {"chapters": _chapters(read, decided["chapters"])}
    return by_name | {each["name"]: _weeks(each, read) for each in decided["plans"]}


def _chapters(read: dict[str, Reading], decided: dict) -> str:
    head = "chapter | to read | to run | homework | in class | can be left out"
    rows = [f"| {head} |", "|---" * 6 + "|"]
    for chapter, each in read.items():
        chosen = decided[chapter]
        out, home = chosen["leave_out"], chosen["homework"]
        left = [number for number in exercises(chapter) if number not in out + home]
        spare = [f"exercises {_list(out)}"] * bool(out)
        spare += [f"*{section}*" for section in chosen["sections"]]
        cells = (
            f"[{chapter}](../notebooks/{NOTEBOOKS[chapter].name})",
            f"{each.minutes:.0f} min",
            f"{running_minutes(chapter):.1f} min",
            _list(home) or "the check list",
            _list(left) or "–",
            "; ".join(spare),
        )
        rows.append(f"| {' | '.join(cells)} |")
    total = sum(each.minutes for each in read.values())
    ran = sum(running_minutes(chapter) for chapter in read)
    rows.append(f"| all | {total / 60:.1f} h | {ran:.0f} min | | | |")
    return "\n".join(rows)


def _weeks(each: dict, read: dict[str, Reading]) -> str:
    rows = [f"| {each['when']} | chapters | to read | to run | what for |", "|---|---|---|---|---|"]
    for name, chapters, what in each["rows"]:
        minutes = sum(read[chapter].minutes for chapter in chapters)
        ran = sum(running_minutes(chapter) for chapter in chapters)
        cells = (name, ", ".join(chapters), f"{minutes:.0f} min", f"{ran:.1f} min", what)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def filled_in(text: str) -> str:
    """Return teaching/README.md with its tables written anew.

    Raises:
        KeyError: it has a place for a table that there is none of.
    """
    made = tables()
    place = re.compile(
        r"(<!-- written by tools/teaching_plan.py: (.+?) -->\n).*?(<!-- end -->)", re.S
    )
    return place.sub(lambda m: f"{m[1]}{made[m[2]]}\n{m[3]}", text)


# Questions


def questions(chapter: str) -> list[dict]:
    """Return a chapter's questions: dictionaries with asks, section, right, because and wrong."""
    text = (QUESTIONS / f"{chapter}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["question"]


def choices(question: dict) -> Iterator[tuple[str, str, str]]:
    """Yield (letter, choice, the misconception behind it, or "" for the right one).

    Their order is that of their digests: no person chose it, and a changed word may change it.
    """
    every = [(question["right"], "")] + [(w["says"], w["thinks"]) for w in question["wrong"]]
    every.sort(key=lambda choice: hashlib.sha256(choice[0].encode()).digest())
    for letter, (says, thinks) in zip("ABCD", every, strict=True):
        yield letter, says, thinks


def page(chapter: str) -> str:
    """Return the page of a chapter's questions, with the answers folded."""
    path = NOTEBOOKS[chapter]
    title = nbformat.read(path, as_version=4).cells[0].source.partition("\n")[0].strip("# ")
    parts = [
        f"# {title}\n\nFive questions on [the chapter](../../notebooks/{path.name}). Written by "
        f"`tools/teaching_plan.py` from `{chapter}.toml`; change them there."
    ]
    for number, question in enumerate(questions(chapter), start=1):
        offered = list(choices(question))
        (right,) = [letter for letter, _, thinks in offered if not thinks]
        parts += [
            f"## Question {number}\n\n{question['asks']}",
            "\n".join(f"- **{letter}.** {says}" for letter, says, _ in offered),
            f"<details><summary>Answer</summary>\n\n**{right}.** {question['because']} "
            f"(Section *{question['section']}*)",
            "\n".join(f"- {letter}: {thinks}" for letter, _, thinks in offered if thinks),
            "</details>",
        ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write the tables and the pages."""
    from lstmlib.serialization import atomic_write  # it imports PyTorch

    readme = TEACHING / "README.md"
    atomic_write(readme, filled_in(readme.read_text(encoding="utf-8")).encode())
    for chapter in NOTEBOOKS:
        atomic_write(QUESTIONS / f"{chapter}.md", page(chapter).encode())


if __name__ == "__main__":
    main()
