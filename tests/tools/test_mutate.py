"""The mutation run: its list fits the code, and it tells what is caught from what is not."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import mutate  # noqa: E402

LISTED = mutate.load()
IDS = [mutation.name for mutation in LISTED]
# Bugs so common that a reader should see a chapter catch each of them.
SEEN_IN_A_CHAPTER = (
    "tanh-deleted",
    "clipping-off",
    "state-reset-in-generate",
    "targets-unshifted",
    "gate-order-swapped",
    "dropout-on-in-evaluation",
    "temperature-multiplied",
)


# The list


@pytest.mark.parametrize("mutation", LISTED, ids=IDS)
def test_a_mutation_fits_the_code(mutation):
    changed = mutation.changed(ROOT)
    compile(changed, mutation.file, "exec")  # else any test would catch it
    assert changed != (ROOT / mutation.file).read_text(encoding="utf-8")
    files = [path.split("::")[0] for path in mutation.tests]
    assert files and all((ROOT / path).is_file() for path in files)
    assert all((ROOT / path).is_file() for path in mutation.chapters)
    assert not set(files) & set(mutate.LEFT_OUT)


def test_every_mutation_is_another():
    assert len(set(IDS)) == len(LISTED)
    assert len({(each.file, each.find, each.replace) for each in LISTED}) == len(LISTED)


@pytest.mark.parametrize("name", SEEN_IN_A_CHAPTER)
def test_a_common_bug_is_caught_by_a_chapter_too(name):
    (mutation,) = mutate.chosen(LISTED, [name])
    assert mutation.chapters


def test_published_bugs_say_where():
    reported = [each.reported for each in LISTED if each.reported]
    assert len(reported) >= 20
    for source in reported:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+ #\d+(, [\w.-]+/[\w.-]+ #\d+)*", source), source


def test_the_table_says_of_every_mutation_what_caught_it():
    table = (ROOT / mutate.README).read_text(encoding="utf-8").split("<!-- table -->")[1]
    rows = [line for line in table.splitlines() if line[:3] == "| `"]
    assert [line.split("`")[1] for line in rows] == IDS
    assert not [line for line in rows if "**nothing**" in line]
    for line, mutation in zip(rows, LISTED, strict=True):
        assert mutation.bug in line and mutation.reported in line
        caught = line.split(" | ")[3].split("`")[1]
        assert (ROOT / caught.split("::")[0]).is_file()
        assert all(f"{Path(chapter).name[:2]}, cell" in line for chapter in mutation.chapters)


# The tool, on a project of its own

CODE = """
def double(x):
    return 2 * x


def half(x):
    return x / 2
"""
TEST = """
from tiny import double


def test_double():
    assert double(3) == 6
"""
ENTRY = """
[[mutation]]
name = "{name}"
bug = "It is wrong."
reported = "someone/something #1"
file = "tiny.py"
find = "{find}"
replace = "{replace}"
tests = ["tests/test_tiny.py"]
"""
CAUGHT = ENTRY.format(name="caught", find="2 * x", replace="x")
SURVIVES = ENTRY.format(name="survives", find="x / 2", replace="x | 2")
MOVED = ENTRY.format(name="moved", find="3 * x", replace="x")
TWICE = ENTRY.format(name="twice", find="return ", replace="return -")
TABLE = "# Tests\n\n<!-- table -->\n<!-- end of table -->\n\nMore.\n"


@pytest.fixture
def project(tmp_path):
    """Return what makes a project with a list, and what runs the tool on it."""
    if shutil.which("git") is None:
        pytest.skip("the tool asks git for the files of a project, and there is no git")

    def make(*entries, **files):
        named = {"tiny.py": CODE, "tests/test_tiny.py": TEST, "tests/README.md": TABLE} | files
        for name, text in (named | {mutate.LIST: "".join(entries)}).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
        subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
        return tmp_path

    def run(*arguments):
        said = []
        return mutate.main(arguments, tmp_path, said.append), said

    return make, run


def test_what_is_caught_is_named_and_the_project_is_left_as_it_was(project):
    make, run = project
    root = make(CAUGHT, SURVIVES)
    status, said = run("caught")
    assert status == 0 and len(said) == 1
    assert "`caught`" in said[0] and "someone/something #1" in said[0]
    assert re.search(r"`tests/test_tiny\.py::test_double`, \d+ s", said[0])
    assert (root / "tiny.py").read_text() == CODE


def test_what_survives_every_test_is_named_and_the_status_says_so(project):
    make, run = project
    make(SURVIVES, **{"tests/room/test_more.py": "def test_more():\n    pass\n"})
    status, said = run()
    assert status == 1
    assert "**nothing**" in said[0] and "survives" in said[-1]


def test_the_other_tests_are_run_where_the_named_ones_see_nothing(project):
    make, run = project
    more = "from tiny import half\n\n\ndef test_half():\n    assert half(8) == 4\n"
    make(SURVIVES, **{"tests/room/test_more.py": more})
    status, said = run()
    assert status == 0 and "tests/room/test_more.py::test_half" in said[0]


def test_what_fails_without_a_mutation_too_proves_nothing(project):
    make, run = project
    make(CAUGHT, **{"tests/test_tiny.py": "def test_red():\n    assert False\n"})
    status, said = run()
    assert status == 2 and "tests/test_tiny.py::test_red fails without any mutation" in said[0]


@pytest.mark.parametrize(("entry", "times"), [(MOVED, 0), (TWICE, 2)])
@pytest.mark.parametrize("options", [["--check"], []])
def test_code_that_has_moved_is_noticed_before_anything_runs(project, entry, times, options):
    make, run = project
    make(CAUGHT, entry)
    status, said = run(*options)
    assert status == 2 and len(said) == 1
    assert f"tiny.py has its text {times} times, not once" in said[0] and "moved" in said[0]


def test_an_unknown_name_is_named(project):
    make, run = project
    make(CAUGHT)
    assert run("other") == (2, ["Not in tests/mutations.toml: other."])


@pytest.mark.parametrize(
    "entry", [CAUGHT + 'colour = "red"\n', '[[mutation]]\nname = "bare"\n', "[[mutation", ""]
)
def test_a_list_that_is_none_is_named(project, entry):
    make, run = project
    make(entry)
    status, said = run()
    assert status == 2 and "tests/mutations.toml" in said[0]


def test_a_result_is_recorded_in_the_order_of_the_list(project):
    make, run = project
    root = make(CAUGHT.replace("caught", "second"), CAUGHT)
    assert run("caught", "--record")[0] == 0
    assert run("second", "--record")[0] == 0
    text = (root / "tests/README.md").read_text()
    assert re.findall(r"^\| `(\w+)`", text, re.M) == ["second", "caught"]
    assert text.startswith("# Tests\n\n<!-- table -->\nRecorded last on ")
    assert text.endswith("<!-- end of table -->\n\nMore.\n")


def test_a_readme_without_a_place_for_the_table_is_named(project):
    make, run = project
    make(CAUGHT, **{"tests/README.md": "# Tests\n"})
    status, said = run("--record")
    assert status == 2 and "lacks the comments" in said[-1]
