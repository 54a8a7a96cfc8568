"""What drifted: versions against constraints.txt, and the tests that failed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # the scripts stand beside each other, in no package

import drift  # noqa: E402


def test_versions_that_are_not_the_pinned_ones_are_listed(tmp_path, monkeypatch):
    lines = ["# pins", "same==1.0", "torch==2.0", "Old_Name==3.0", "other==1 ; os_name == 'no'"]
    (tmp_path / "constraints.txt").write_text("\n".join(lines))
    monkeypatch.setattr(drift, "ROOT", tmp_path)
    here = {"same": "1.0", "torch": "2.0+cpu", "old-name": "2.9", "other": "1", "pip": "1"}
    assert drift.drift(here) == [("old-name", "3.0", "2.9"), ("other", "not pinned", "1")]


def test_failures_and_errors_are_named(tmp_path):
    report = tmp_path / "report.xml"
    cases = '<testcase classname="a" name="good"/><testcase classname="a" name="skipped"><skipped/>'
    cases += '</testcase><testcase classname="a.b" name="bad[1]"><failure/></testcase>'
    cases += '<testcase classname="c" name="broken"><error/></testcase>'
    report.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    assert drift.failed(report) == ["a.b::bad[1]", "c::broken"]


@pytest.mark.parametrize(("failing", "status"), [(False, 0), (True, 1)])
def test_it_says_what_drifted_and_fails_where_a_test_does(monkeypatch, capfd, failing, status):
    """With this environment in place of a new one, and a small test."""
    monkeypatch.setattr(drift, "make", lambda which: Path(sys.executable))
    name = "tests/no_such_file.py" if failing else "tests/tools/test_drift.py"
    monkeypatch.setattr(sys, "argv", ["drift.py", "oldest", name, "-k", "failures_and_errors"])
    with pytest.raises(SystemExit) as ended:
        drift.main()
    assert ended.value.code == status
    assert "| package | pinned | here |" in capfd.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["latest"]])
def test_anything_else_says_how_it_is_run(arguments):
    command = [sys.executable, "tools/drift.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "newest|oldest" in done.stderr
