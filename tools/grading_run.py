"""Grade what a class has handed in: `make grade COURSE=FOLDER`.

    python tools/grading_run.py FOLDER [CHAPTER …]

FOLDER is one that assignment.py wrote. What students handed in lies in it under
submitted/STUDENT/chNN/, and stays as it is. For each chapter with submissions (or those named):

1. release/ is made, if it is not there;
2. mended/ gets a copy of each submission that nbgrader can grade (grading_mend.py);
3. nbgrader grades the copies (autograded/, gradebook.db) and writes feedback/;
4. report.html, report.csv and points.csv say how the class did (class_report.py).

A second run grades everything anew. grading.log holds what nbgrader said.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from class_report import write_report
from grading_mend import mend_all
from student_notebook import EditionError


def grade(course: Path, chapters: list[str] | None = None) -> None:
    """Grade the submissions of a course folder.

    Args:
        course: the folder.
        chapters: two digits each; None for all that something was handed in for.

    Raises:
        EditionError: it is no such folder, nothing was handed in, or nbgrader stopped.
    """
    if not (course / "nbgrader_config.py").is_file():
        raise EditionError(
            f"{course} is no course folder; tools/assignment.py writes one: make assignment."
        )
    for name in [f"ch{chapter}" for chapter in chapters or []] or _handed_in(course):
        if not (course / "source" / name).is_dir():
            raise EditionError(f"{course} has no source/{name}; it was written for other chapters.")
        if not any((course / "release" / name).glob("*.ipynb")):
            nbgrader(course, "generate_assignment", name)
        releases = sorted((course / "release" / name).glob("*.ipynb"))
        mend_all(course / "submitted", course / "mended", releases)
        # One that nbgrader cannot grade all the same gets its row in the report.
        mended = "--CourseDirectory.submitted_directory=mended"
        nbgrader(course, "autograde", name, mended, "--force", may_fail=True)
        nbgrader(course, "generate_feedback", name, mended, "--force", may_fail=True)
    write_report(course)


def _handed_in(course: Path) -> list[str]:
    found = sorted({p.name for p in course.glob("submitted/*/ch[0-9][0-9]") if p.is_dir()})
    if not found:
        raise EditionError(
            f"Nothing was handed in: {course / 'submitted'} has no folder STUDENT/chNN."
        )
    return found


def nbgrader(course: Path, *command: str, may_fail: bool = False) -> None:
    """Run a command of nbgrader in a course folder; its words go to grading.log.

    Raises:
        EditionError: it failed, and it may not.
    """
    with (course / "grading.log").open("a", encoding="utf-8") as log:
        run = subprocess.run(
            [sys.executable, "-m", "nbgrader", *command], cwd=course, stdout=log, stderr=log
        )
    if run.returncode and not may_fail:
        raise EditionError(f"nbgrader {command[0]} failed; {course / 'grading.log'} says why.")


def main() -> None:
    """Grade the course folder that the command line names."""
    parser = argparse.ArgumentParser(description="Grade what a class has handed in.")
    parser.add_argument("course", type=Path)
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help="two digits; default: all")
    arguments = parser.parse_args()
    course = arguments.course.absolute()
    try:
        grade(course, arguments.chapters)
    except EditionError as error:
        raise SystemExit(str(error)) from None
    print(f"Graded. For you: {course / 'report.html'}; for students: {course / 'feedback'}")


if __name__ == "__main__":
    main()
