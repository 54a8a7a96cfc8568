"""Install the newest or the oldest releases that pyproject.toml allows, and say what drifted.

    .venv/bin/python tools/drift.py newest|oldest [OPTION OF PYTEST …]

They go into .venv-drift, into an environment of their own. PyTorch stays as constraints.txt pins
it: a new one is a decision, and an old one may have no build for this Python. Then the quick part
of the suite runs, tests/lstmlib and tests/course, or what the options name. Printed are the
versions that are not the pinned ones, and the tests that failed. The status is 1 if one did.

"oldest" holds for what pyproject.toml names; what these packages bring is the newest that fits.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
RESOLUTIONS = {"newest": "highest", "oldest": "lowest-direct"}
QUICK = ["tests/lstmlib", "tests/course"]
VERSIONS = "from importlib.metadata import *; [print(d.name, d.version) for d in distributions()]"


def run(*command: str | Path) -> None:
    """Run a command in the course, or end with its status: what it says stands above."""
    done = subprocess.run([str(part) for part in command], cwd=ROOT)
    if done.returncode:
        sys.exit(done.returncode)


def canonical(name: str) -> str:
    """Return a package's name as indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    """Return what constraints.txt pins for this Python and system: name -> version."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if not line.startswith("#")]
    count = [each for each in wanted if each.marker is None or each.marker.evaluate()]
    return {canonical(each.name): str(each.specifier).removeprefix("==") for each in count}


def drift(installed: dict[str, str]) -> list[tuple[str, str, str]]:
    """Return (name, pinned, installed) of each package whose version is not the pinned one."""
    pinned = pins()
    found = [(name, pinned.get(name, "not pinned"), here) for name, here in installed.items()]
    same = ("pip", "uv", "lstmlib")
    return sorted(row for row in found if row[0] not in same and row[1] != row[2].partition("+")[0])


def make(which: str) -> Path:
    """Make the environment; return its Python."""
    folder = ROOT / ".venv-drift" / which
    own = folder / "bin" / "python"
    run(sys.executable, "-m", "venv", "--clear", folder)
    pip = (own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "uv")
    listed, no_torch = folder / "listed.txt", folder / "no-torch.txt"
    no_torch.write_text("torch; sys_platform == 'none'\n")
    resolve = ("uv", "pip", "compile", "--quiet", "--extra", "dev", "--override", no_torch)
    run(own, "-m", *resolve, "--resolution", RESOLUTIONS[which], "pyproject.toml", "-o", listed)
    run(*pip, "-r", listed, f"torch=={pins()['torch']}")
    run(*pip, "--no-deps", "-e", ".")
    return own


def failed(report: Path) -> list[str]:
    """Return the tests that did not pass, from pytest's report."""
    cases = ElementTree.parse(report).iter("testcase")
    bad = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
    return [f"{case.get('classname')}::{case.get('name')}" for case in bad]


def main() -> None:
    """Do what the command line says, and print what drifted."""
    which, options = "".join(sys.argv[1:2]), sys.argv[2:] or QUICK
    if which not in RESOLUTIONS:
        sys.exit(__doc__)
    own = make(which)
    said = subprocess.run([own, "-c", VERSIONS], capture_output=True, text=True, check=True)
    versions = dict(line.split() for line in said.stdout.splitlines())
    rows = drift({canonical(name): version for name, version in versions.items()})
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        tests = [own, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}"]
        status = subprocess.run([*tests, *options], cwd=ROOT).returncode
        bad = failed(report) if report.exists() else ["pytest did not start"]
    print("\n| package | pinned | here |\n|---|---|---|")
    print("\n".join("| " + " | ".join(row) + " |" for row in rows))
    print(f"\n{len(rows)} versions drifted; {len(bad)} tests failed.", *bad, sep="\n")
    sys.exit(status != 0)


if __name__ == "__main__":
    main()
