"""Run the tests that need no PyTorch on other Pythons: `make test-pythons`.

    python tools/test_pythons.py 3.10 3.12 3.13 3.14

Each Python of this machine gets an environment of its own in .venv-pythons, with every dependency
but PyTorch, as constraints.txt pins it, and from wheels alone: a pin that does not install there
fails here. Which tests need no PyTorch, their imports tell (tests/conftest.py).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = ROOT / ".venv-pythons"


def dependencies() -> list[str]:
    """Return what pyproject.toml lists for readers and for the checks, but PyTorch."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    return [line for line in wanted if not line.startswith("torch>")]


def find(version: str) -> str | None:
    """Return a Python of this version, "3.12": on the path, or one that pyenv keeps."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    kept = [str(path) for path in sorted(pyenv.glob(f"{version}.*/bin/python"))]
    code = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    for python in (shutil.which(f"python{version}"), *kept):
        if python is None:
            continue
        # pyenv puts a python3.12 on the path that may only say that it is switched off.
        asked = subprocess.run([python, "-c", code], capture_output=True, text=True)
        if asked.stdout.strip() == version:
            return python
    return None


def test(version: str, python: str) -> bool:
    """Make the environment, or bring it up to date, and run the tests; say whether they passed."""
    environment = ENVIRONMENTS / version
    own = environment / "bin" / "python"
    if not own.exists():
        subprocess.run([python, "-m", "venv", "--clear", environment], check=True)
    pip = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--only-binary", ":all:", "-c", "constraints.txt", *dependencies()]
    tests = [own, "-m", "pytest", "-q", "--without-torch", "-p", "no:cacheprovider", "tests"]
    return all(subprocess.run(command, cwd=ROOT).returncode == 0 for command in (pip, tests))


def main() -> None:
    """Test on each Python that the command line names, and say what became of each."""
    verdicts, failed = [], False
    for version in sys.argv[1:]:
        python = find(version)
        if python is None:
            verdicts.append(f"Python {version}: not on this machine, so not tested.")
            continue
        print(f"\n=== Python {version}: {python}", flush=True)
        passed = test(version, python)
        failed |= not passed
        verdicts.append(f"Python {version}: {'passed' if passed else 'FAILED'}.")
    print("\n" + "\n".join(verdicts))
    sys.exit(failed)


if __name__ == "__main__":
    main()
