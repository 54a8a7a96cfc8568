"""How nbgrader grades an assignment of the course: nbgrader_config.py calls `settings`.

No program. nbgrader would run a notebook from top to bottom in one kernel: it starts one for each
student, an answer that ends Python takes all later answers with it, and a loop without an end is
waited for. `Apart` stands in its place. It runs each answer, with its grade cell, in a process of
its own (grading_worker.py), and writes what came out into the cells, where nbgrader looks for it.
"""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from grading_feedback import FeedbackExporter
from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    ClearHiddenTests,
    GetGrades,
    IgnorePattern,
    LimitOutput,
    NbGraderPreprocessor,
    SaveAutoGrades,
)
from nbgrader.utils import is_grade, is_locked, is_solution
from traitlets import Integer
from traitlets.config import Config

ROOT = Path(__file__).resolve().parents[1]


def settings(config: Config) -> None:
    """Set what nbgrader must do otherwise than it would."""
    # nbgrader starts `alembic` by its bare name, which fails in a venv that is not activated.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    config.ClearSolutions.code_stub = {"python": ""}  # what stands above the solution is the stub
    config.GenerateFeedback.preprocessors = [GetGrades, ClearHiddenTests, CSSHTMLHeaderPreprocessor]
    config.GenerateFeedback.exporter_class = FeedbackExporter
    config.Autograde.autograde_preprocessors = [
        Apart,
        IgnorePattern,
        LimitOutput,
        SaveAutoGrades,
        AssignLatePenalties,
        CheckCellMetadata,
    ]


class Apart(NbGraderPreprocessor):
    """Run each answer of a submission, and the cell that grades it, apart from all others."""

    seconds = Integer(10, help="of the processor, for an answer and its check").tag(config=True)
    megabytes = Integer(1024, help="of memory beyond what imports take").tag(config=True)
    characters = Integer(20_000, help="of a cell's output that are shown").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Fill in the outputs of answers and grade cells."""
        code = [cell for cell in nb.cells if cell.cell_type == "code"]
        given = [cell.source for cell in code if is_locked(cell) and not is_grade(cell)]
        worker = _worker(json.dumps(given))
        for cell in code:
            cell.outputs, cell.execution_count = [], None
        for test in filter(is_grade, code):
            answer = _answer_to(test, code)
            own = [c.source for c in code[: code.index(test)] if not is_locked(c)]
            ran = self._ran(worker, [answer.source, test.source])
            if _lacks_a_name(ran):  # it may stand in another cell of the student's
                again = self._ran(worker, [*own, answer.source, test.source])
                ran = ran if again["ended"] or _lacks_a_name(again) else again
            _write(ran, answer, test)
        return nb, resources

    def _ran(self, worker: "Worker", sources: list[str]) -> dict:
        """Run cells apart; return the last two, the answer and its test, and why there are none."""
        limits = {"seconds": self.seconds, "megabytes": self.megabytes}
        ran = worker.ask({"cells": sources, "characters": self.characters, **limits})
        return {"cells": ran["cells"][-2:], "ended": ran["ended"]}


def _answer_to(test: NotebookNode, code: list[NotebookNode]) -> NotebookNode:
    """Return the cell of the answer that a grade cell grades."""
    wanted = test.metadata.nbgrader.grade_id.replace("check-", "answer-", 1)
    found = [c for c in code if is_solution(c) and c.metadata.nbgrader.grade_id == wanted]
    return found[0] if found else NotebookNode(source="", outputs=[])


def _lacks_a_name(ran: dict) -> bool:
    """Say whether an answer or its check stopped for want of a name."""
    errors = [cell["error"] for cell in ran["cells"] if cell["error"]]
    said = [f"{kind}: {message}" for kind, message, _ in errors]
    return any("NameError: name" in text for text in said)


def _write(ran: dict, answer: NotebookNode, test: NotebookNode) -> None:
    """Write the results into the outputs of the two cells."""
    if ran["ended"]:
        test.outputs = [_error(["Ended", ran["ended"], []])]
        return
    for cell, result in zip((answer, test), ran["cells"], strict=True):
        if result["text"]:
            cell.outputs.append(new_output("stream", name="stdout", text=result["text"]))
        if result["error"]:
            kind, message, traceback = result["error"]
            # Where a test stopped is the grader's own affair, and hidden.
            cell.outputs.append(_error([kind, message, traceback if cell is answer else []]))


def _error(error: list) -> NotebookNode:
    kind, message, traceback = error
    lines = traceback or [f"{kind}: {message}"]
    return new_output("error", ename=kind, evalue=message, traceback=lines)


class Worker:
    """A process that has run a chapter's own cells, and runs answers in copies of itself.

    Raises:
        RuntimeError: those cells stopped; the message says where.
    """

    def __init__(self, given: list[str]):
        folders = [str(ROOT), str(ROOT / "tools"), os.environ.get("PYTHONPATH", "")]
        # A process with threads cannot be copied: one thread, and no window for figures.
        alone = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "tools/grading_worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                **alone,
                "MPLBACKEND": "Agg",
                "PYTHONPATH": os.pathsep.join(folders),
            },
        )
        if stopped := self.ask({"setup": given}):
            raise RuntimeError(f"The cells that the exercises need stop here: {stopped}")

    def ask(self, job: dict) -> dict | str | None:
        """Return the result of a job.

        Raises:
            RuntimeError: the process has ended.
        """
        try:
            print(json.dumps(job), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError("The process that runs answers has ended; is there enough memory?")
        return json.loads(line)


@cache
def _worker(given: str) -> Worker:
    """Return the one process for all submissions with these cells, a list in JSON."""
    return Worker(json.loads(given))
