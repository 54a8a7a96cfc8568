"""The page of the benchmarks says what the records say; all are run one by one, and go on."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

pytest.importorskip("torch")  # a file written whole or not at all
ROOT = Path(__file__).resolve().parents[2]

from benchmarks import bench, page  # noqa: E402

README = ROOT / "benchmarks/README.md"


@pytest.fixture
def course(tmp_path):
    """Copy all records into a course of their own."""
    for name in (*page.record_paths(ROOT), page.DATES, "benchmarks/gpu/sources.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), encoding="utf-8")


# The page


def test_the_page_is_made_of_the_records():
    assert README.read_text("utf-8") == page.page(), "python -m benchmarks.page writes it anew"


def ratios(record, known=False):
    """Yield every number of a record that is a ratio by its key, but 1 of a way with itself."""
    for key, value in record.items():
        if isinstance(value, dict):
            yield from ratios(value, known or re.match("ratio|speed_over", key) is not None)
        elif (known or key.startswith("ratio")) and value != 1:
            yield value


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.json")), ids=lambda p: p.stem)
def test_every_ratio_is_on_the_page(path):
    if path.name == Path(page.DATES).name:
        return
    record = json.loads(path.read_text("utf-8"))
    rows = page.rows_of(path.stem, record)
    assert rows and set(map(page.shown, ratios(record))) <= {row.ratio for row in rows}
    text = README.read_text("utf-8")
    assert all(f"| {row.what} | {row.beside}".rstrip() in text for row in rows)


def test_what_changes_in_a_record_changes_on_the_page_and_its_date_is_not_noted(course):
    before = page.page(course)
    assert before == page.page()
    change(course / "benchmarks/training_overhead.json", ratio=0.123, machine="a laptop")
    change(course / "benchmarks/gpu/cpu_beside_gpu.json", rows=[])
    lines = set(page.page(course).splitlines()) - set(before.splitlines())
    assert len(lines) == 3 and all("not noted" in line for line in lines)
    assert any("| a bare loop | 0.12 | " in line and "a laptop" in line for line in lines)


def test_a_new_record_is_read_by_its_keys(course):
    record = {"ratio": {"one": 1.5, "two": 12.34}, "ratio_of_all": 3, "machine": {"device": "d"}}
    record["machine"]["pytorch"] = "2"
    (course / "benchmarks/new.json").write_text(json.dumps(record))
    (course / "benchmarks/plain.json").write_text('{"seconds": 1}')
    said = [line for line in page.page(course).splitlines() if re.match(r"\| \[(new|pla)", line)]
    assert [line.split("|")[4].strip() for line in said[:3]] == ["1.50", "12.3", "3.00"]
    assert all("d, PyTorch 2" in line for line in said[:3]) and "[plain.json]" in said[3]


def test_the_date_of_a_record_is_that_of_its_commit_until_the_record_changes(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("needs git")
    (tmp_path / "benchmarks").mkdir()
    record = tmp_path / "benchmarks/a.json"
    record.write_text("{}")
    page.note_commits(tmp_path)  # no checkout, and nothing committed
    assert page.date_of(tmp_path, "benchmarks/a.json") == page.NOT_NOTED
    who = ["-c", "user.name=n", "-c", "user.email=e"]
    commit = [*who, "commit", "-m", "a", "--date", "2020-02-03T12:00:00"]
    for arguments in (["init"], ["add", "."], commit):
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True, capture_output=True)
    page.note_commits(tmp_path)
    assert page.date_of(tmp_path, "benchmarks/a.json") == "2020-02-03 (commit)"
    record.write_text('{"ratio": 2}')
    page.note_commits(tmp_path)  # it is not what was committed
    assert page.date_of(tmp_path, "benchmarks/a.json") == page.NOT_NOTED


SPEEDS = re.compile(
    r"(\d[\d .]*(?:%|times as fast|times the speed|characters a second|of its speed))"
)


def test_the_speeds_in_the_readme_are_on_the_page():
    """A speed that somebody types into README.md has no record."""
    speeds = [s for s in SPEEDS.findall((ROOT / "README.md").read_text("utf-8")) if "%" not in s]
    assert len(speeds) > 5
    assert [speed for speed in speeds if speed not in README.read_text("utf-8")] == []


# The command


SCRIPT = """import json, pathlib, sys
here = pathlib.Path(__file__)
log = here.with_name("log")
log.write_text(log.read_text() + here.stem + " ")
if here.stem == "broken":
    sys.exit(3)
here.with_suffix(".json").write_text(json.dumps({"ratio": 2}))
"""


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A course of three programs, of which one fails; the machine is quiet."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    for name in ("a", "broken", "c"):
        (folder / f"{name}.py").write_text(SCRIPT)
    (folder / "page.py").write_text("1 / 0")
    (folder / "broken.json").write_text('{"ratio": 7}')
    (folder / "log").write_text("")
    monkeypatch.setattr(bench.os, "getloadavg", lambda: (0, 0, 0))
    monkeypatch.setattr(bench, "PATIENCE", 0)
    return tmp_path


def log(root):
    return (root / "benchmarks/log").read_text().split()


def test_all_run_in_order_and_the_page_is_written(small, capfd):
    assert bench.main([], small) == 1  # one fails
    assert log(small) == ["a", "broken", "c"]
    said = (small / "benchmarks/README.md").read_text("utf-8")
    assert said == page.page(small)
    dates = {line.split(" | ")[0][3]: line.split(" | ")[-1] for line in said.splitlines()[7:12]}
    today = bench._today()
    assert dates["a"] == dates["c"] == f"{today} |" and dates["b"] == "not noted |"
    assert "broken: failed" in capfd.readouterr().out


def test_what_was_measured_today_is_not_measured_again(small, capfd):
    assert bench.main(["a", "c"], small) == 0
    assert bench.main(["a"], small) == 0 and log(small) == ["a", "c"]
    assert "a: skipped: measured today." in capfd.readouterr().out
    assert bench.main(["--again", "a"], small) == 0 and log(small) == ["a", "c", "a"]
    (small / "benchmarks/a.json").write_text("{}")  # something else wrote it since
    assert bench.main(["a"], small) == 0 and log(small) == ["a", "c", "a", "a"]
    day = json.loads((small / page.DATES).read_text())
    day["benchmarks/a.json"]["date"] = "2020-01-01"
    (small / page.DATES).write_text(json.dumps(day))
    assert bench.main(["a"], small) == 0 and log(small)[-2:] == ["a", "a"]


def test_after_a_break_it_goes_on(small, monkeypatch, capfd):
    real = bench.run

    def run(root, name):
        if name == "broken":
            raise KeyboardInterrupt
        return real(root, name)

    monkeypatch.setattr(bench, "run", run)
    assert bench.main([], small) == 130 and "goes on" in capfd.readouterr().err
    assert "[a](a.py)" in (small / "benchmarks/README.md").read_text("utf-8")
    monkeypatch.setattr(bench, "run", real)
    bench.main([], small)
    assert log(small) == ["a", "broken", "c"]


def test_a_busy_machine_measures_nothing(small, monkeypatch, capfd):
    monkeypatch.setattr(bench.os, "getloadavg", lambda: (3.26, 0, 0))
    monkeypatch.setattr(bench.os, "cpu_count", lambda: 2)
    assert bench.main([], small) == 1 and log(small) == []
    said = capfd.readouterr().err
    assert "its load is 3.3, and 0.5 would be quiet" in said and said.count("\n") == 1
    assert bench.main(["--busy", "a"], small) == 0 and log(small) == ["a"]


def test_two_at_once_are_refused(small, capfd):
    with FileLock(small / "benchmarks/.bench.lock"):
        assert bench.main(["a"], small) == 1
    assert "running already" in capfd.readouterr().err and log(small) == []


def test_what_needs_a_browser_is_skipped_without_one(small, monkeypatch, capfd):
    (small / "benchmarks/a.py").write_text("from chromium import browser\n" + SCRIPT)
    monkeypatch.setattr(bench, "CHROMIUM", small / "no-browser")
    assert bench.main(["a", "c"], small) == 0 and log(small) == ["c"]
    said = capfd.readouterr().out
    assert "a: skipped: it needs Chromium" in said and "gpu: skipped: it needs a GPU" in said


def test_an_unknown_name_is_said(small, capfd):
    assert bench.main(["d"], small) == 1
    assert capfd.readouterr().err == "There is no benchmark d: a, broken, c.\n"


def test_every_program_has_a_record_where_it_is_looked_for():
    names = bench.programs(ROOT)
    assert len(names) > 10 and set(bench.OPTIONS) <= set(names)
    records = [bench.record_of(name) for name in names]
    assert [record for record in records if not (ROOT / record).exists()] == []
    assert set(page.record_paths(ROOT)) >= set(records)


def test_the_commands_are_run_as_they_are_described(tmp_path):
    help_ = [sys.executable, "-m", "benchmarks.bench", "--help"]
    assert "--again" in subprocess.run(help_, cwd=ROOT, capture_output=True, text=True).stdout
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert "\n\t$(PY) -m benchmarks.$(if $(PAGE),page,bench)\n" in makefile
