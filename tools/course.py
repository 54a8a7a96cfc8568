"""Set up the course, then open it or check it: on Linux, macOS and Windows, with or without make.

    python tools/course.py lab [OPTION …]     open JupyterLab on the first notebook
    python tools/course.py install [checks]   make .venv, or bring it up to date; checks: for `test`
    python tools/course.py copy [FOLDER]      copy the notebooks of a shared course, by default
                                              into lstm-course in the reader's home
    python tools/course.py hub [OPTION …]     what a JupyterHub starts for a reader: copy and serve,
                                              but no solutions, unless LSTMLIB_WITH_SOLUTIONS=1
    python tools/course.py test [OPTION …]    run every check, in several processes (WORKERS=0: in
                                              one), or pytest with these options

HASHES=1 takes only files whose SHA-256 is in constraints-hashes.txt. On Windows a Python of the
course's versions is called by `py -3.11 tools\\course.py lab`.

This program needs nothing but Python, since it is what installs the rest; and it is written for old
Pythons too, so that these get a sentence and no syntax error.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
LISTS = ("pyproject.toml", "constraints.txt")
WINDOWS = os.name == "nt"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
FIRST = "notebooks/00_start_here.ipynb"
BY_FILES = ("--dist", "loadfile", "--no-loadscope-reorder")
"""How pytest-xdist shares out the tests: whole files, in the order of tests/conftest.py."""
LONGEST_PATH = 201
"""Characters of the longest path in .venv, PyTorch's copies of licences: measured on Linux."""


class Refused(Exception):
    """What keeps the program from going on, in a sentence for whoever called it."""


def say(text: str) -> None:
    """Announce a step."""
    print(f"\n=== {text}", flush=True)


def run(*command: str | Path, why: str, **options: object) -> None:
    """Run a command in the course.

    Raises:
        Refused: it failed; `why` says what that means.
    """
    if subprocess.run([str(part) for part in command], cwd=str(ROOT), **options).returncode:
        raise Refused(why)


def answer(*arguments: str, seconds: int = 60) -> str | None:
    """Return what the environment's Python prints, or None if it fails or takes longer."""
    command = [str(python()), "-X", "utf8", *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=str(ROOT),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout.decode("utf-8", "replace").strip()


# The environment


def python() -> Path:
    """Return the Python of the environment."""
    return VENV / "Scripts" / "python.exe" if WINDOWS else VENV / "bin" / "python"


def pythons() -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the first Python that the course supports, and the first after the last."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    first, after = re.search(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"', text, re.M).groups()
    return (3, int(first)), (3, int(after))


def writable(folder: Path) -> bool:
    """Say whether a file can be written in a folder, by writing one: permissions do not tell."""
    try:
        with tempfile.TemporaryFile(dir=str(folder)):
            return True
    except OSError:
        return False


def knows_its_place() -> bool:
    """Say whether the environment imports lstmlib from here.

    One that was moved or copied imports it from the old place; one whose Python is gone, nothing.
    """
    place = answer("-Ic", "import lstmlib; print(lstmlib.__path__[0])")
    return bool(place) and os.path.realpath(place) == os.path.realpath(str(ROOT / "lstmlib"))


def stamp(checks: bool) -> Path:
    """Return the file that says from which lists all was installed, for a reader or the checks."""
    return VENV / (".installed-for-checks" if checks else ".installed")


def lists_digest() -> str:
    """Return the SHA-256 of what is to be installed. Times of files do not tell: in an archive, all
    are alike.
    """
    content = b"".join((ROOT / name).read_bytes() for name in LISTS)
    return hashlib.sha256(content).hexdigest()


def is_installed(checks: bool) -> bool:
    """Say whether all was installed, here, since the lists last changed."""
    stamps = [stamp(False), stamp(True)] if checks else [stamp(False)]
    if not all(each.exists() for each in stamps):
        return False
    unchanged = all(each.read_text(encoding="utf-8") == lists_digest() for each in stamps)
    return unchanged and knows_its_place()


def install(checks: bool = False) -> None:
    """Make the environment or bring it up to date, if there is anything to do.

    Raises:
        Refused: it cannot be made or filled here. What was installed so far stays, without a stamp:
            the next call goes on.
    """
    if is_installed(checks):
        return
    if not writable(VENV if VENV.is_dir() else ROOT) or VENV.is_file():
        raise Refused(
            f"Nothing can be written in {ROOT}, so the environment cannot be made here.\n"
            f"Start the course from a copy of yours:\n    {_copying()}"
        )
    if stamp(False).exists() and not knows_its_place():
        say("The environment was built in another folder, or its Python is gone: it is built anew.")
        _remove_environment()
    if answer("-m", "pip", "--version") is None:
        _make_environment()
    _install_pytorch()
    _install_the_rest(checks)
    for each in [stamp(False), stamp(True)] if checks else [stamp(False)]:
        each.write_text(lists_digest(), encoding="utf-8")


def _copying() -> str:
    if WINDOWS:
        return f'xcopy /e /i "{ROOT}" "%USERPROFILE%\\lstm-course", and there: {_called("lab")}'
    copy = f"cp -r '{ROOT}' ~/lstm-course && chmod -R u+w ~/lstm-course"
    return f"{copy} && make -C ~/lstm-course lab"


def _called(command: str) -> str:
    """Return how the program is called here, with a Python of the course."""
    return (
        f"py -3.11 tools\\course.py {command}" if WINDOWS else f"python3 tools/course.py {command}"
    )


def _remove_environment() -> None:
    try:
        shutil.rmtree(str(VENV))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise Refused(
            f"{error.filename} cannot be removed ({error.strerror}). If JupyterLab runs from "
            f"this folder, end it, and try again."
        ) from None


def _make_environment() -> None:
    """Make an empty environment with pip in it: with this Python, or with uv and one of uv's."""
    (first, after), here = pythons(), sys.version_info[:2]
    has = first <= here < after and all(map(importlib.util.find_spec, ("venv", "ensurepip")))
    uv = shutil.which("uv")
    if not has and not uv:
        raise Refused(_no_python(first, after))
    _remove_environment()
    _warn_of_long_paths()
    why = "The environment could not be made: what stands above says why."
    if has:
        say(f"An environment of its own, in .venv, with Python {here[0]}.{here[1]}")
        run(sys.executable, "-m", "venv", VENV, why=why)
    else:
        say("An environment of its own, in .venv, made by uv")
        wanted = f">=3.{first[1]},<3.{after[1]}"
        run(uv, "venv", "--seed", "--python", wanted, VENV, why=why)


def _no_python(first: tuple[int, int], after: tuple[int, int]) -> str:
    what = f"This is Python {sys.version_info[0]}.{sys.version_info[1]}"
    if first <= sys.version_info[:2] < after:
        what += " without its venv module"
    return (
        f"{what}. The course needs Python 3.{first[1]} to 3.{after[1] - 1} with the venv module.\n"
        "On Debian or Ubuntu: sudo apt install python3 python3-venv. On Windows and macOS: the "
        f"installer of python.org. Then: {_called('lab')}"
    )


def _warn_of_long_paths() -> None:
    """Say before pip fails that Windows may: its paths end at 259 characters, unless it is told."""
    if WINDOWS and len(str(VENV)) + LONGEST_PATH > 259 and not _long_paths_are_on():
        print(
            f"{ROOT} is a long path. If the installation fails with 'No such file', move the "
            "course to a shorter one, such as C:\\course, or turn on long paths in Windows."
        )


def _long_paths_are_on() -> bool:
    import winreg

    try:
        place = "SYSTEM\\CurrentControlSet\\Control\\FileSystem"
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:
            return winreg.QueryValueEx(key, "LongPathsEnabled")[0] == 1
    except OSError:
        return False


def _pip(*arguments: str) -> None:
    pip = (python(), "-m", "pip", "install", "--disable-pip-version-check")
    run(*pip, *arguments, why="pip could not install this: what it says stands above.")


def _install_pytorch() -> None:
    """Install the pinned PyTorch, if another or none is there."""
    lists = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = re.search(r"^torch==(\S+)", lists, re.M)[1]
    code = "import importlib.metadata as m; print(m.version('torch').split('+')[0])"
    if answer("-c", code) == pinned:
        return
    say(f"PyTorch {pinned}: 0.2 GB to download for the CPU alone, 2.8 GB with NVIDIA's libraries")
    if _wants_cpu_build():
        print("This machine has no NVIDIA driver: the build for the CPU.", flush=True)
        _pip("--extra-index-url", CPU_INDEX, "-c", "constraints.txt", "torch")
    else:
        _pip("-c", "constraints.txt", "torch")


def _wants_cpu_build() -> bool:
    """Say whether to ask PyTorch's own index for its build without NVIDIA's libraries.

    It is asked on Linux, where they would be of no use, where nobody has told pip of other places,
    and where the index answers. For Windows and macOS the usual index has no other build.
    """
    drivers = ("/proc/driver/nvidia", "/usr/lib/wsl/lib/nvidia-smi")
    if not sys.platform.startswith("linux") or shutil.which("nvidia-smi"):
        return False
    if any(map(os.path.exists, drivers)):
        return False
    settings = answer("-m", "pip", "config", "list")
    if settings is None or re.search("index-url|find-links|no-index", settings):
        return False
    code = f"import urllib.request; urllib.request.urlopen('{CPU_INDEX}/', timeout=5)"
    return answer("-c", code, seconds=10) is not None


def _install_the_rest(checks: bool) -> None:
    if os.environ.get("HASHES"):
        say("The other packages, each with the SHA-256 that constraints-hashes.txt lists: 0.2 GB")
        _pip("--require-hashes", "--no-deps", "-r", "constraints-hashes.txt")
        _pip("--no-deps", "--no-build-isolation", "-e", ".")
    elif checks:
        say("What the checks need, too: pytest, Playwright, Ruff: 0.1 GB")
        _pip("-c", "constraints.txt", "-e", ".[dev]")
    else:
        say("JupyterLab, matplotlib and what else the notebooks need: 0.1 GB")
        _pip("-c", "constraints.txt", "-e", ".")


# Notebooks of a reader's own


def copy(folder: Path) -> Path:
    """Copy the notebooks into a folder; what is there is the reader's, and stays as it is.

    Returns:
        the folder, which then holds notebooks/.

    Raises:
        Refused: it cannot be written. No file is left half copied.
    """
    source, new = ROOT / "notebooks", 0
    try:
        for path in sorted(source.rglob("*")):
            name = path.relative_to(source)
            target = folder / "notebooks" / name
            if not path.is_file() or target.exists() or name.parts[0] in ("output",):
                continue
            if ".ipynb_checkpoints" in name.parts:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f"{target.name}.{os.getpid()}.part")
            # The content alone: a copy of a file that is read-only is there to be written.
            shutil.copyfile(str(path), str(part))
            os.replace(str(part), str(target))
            new += 1
    except OSError as error:
        raise Refused(
            f"The notebooks cannot be copied to {folder}: {error.strerror}. Name another folder: "
            + _called("copy FOLDER")
        ) from None
    print(f"Your notebooks are in {folder / 'notebooks'}: {new} new files.", flush=True)
    return folder


def home_copy() -> Path:
    """Return the folder in the reader's home that notebooks of a shared course are copied to."""
    return Path(os.path.expanduser("~")) / "lstm-course"


# Commands


def lab(options: list[str]) -> None:
    """Open JupyterLab on the first notebook; where the course is read-only, on a reader's copy."""
    install()
    folder = ROOT if writable(ROOT / "notebooks") else copy(home_copy())
    # Not `jupyter lab`, which starts the first jupyter-lab that is on the path.
    command = [str(python()), "-m", "jupyterlab"]
    # The settings turn off JupyterLab's questions about news and updates, which need a network.
    command += [
        f"--LabApp.default_url=/lab/tree/{FIRST}",
        f"--LabApp.app_settings_dir={ROOT / 'tools' / 'lab_settings'}",
    ]
    # Root needs leave to start; a machine without a screen gets the URL instead of a browser.
    if not WINDOWS and os.geteuid() == 0:
        command.append("--allow-root")
    screen = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    if sys.platform.startswith("linux") and not screen:
        command.append("--no-browser")
    _become([*command, *options], folder)


def solutions() -> str:
    """Return the first thing in the course that gives solutions away; "" in a student edition."""
    for name in ("answer-key", "tests/support/answers"):
        if (ROOT / name).exists():
            return name
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        if b"### BEGIN SOLUTION" in path.read_bytes():
            return f"notebooks/{path.name}"
    return ""


def hub(options: list[str]) -> None:
    """Become a reader's server of a JupyterHub, in the reader's home, which gets the notebooks.

    The hub says how to reach it, in the environment. No root is needed, and no spawner is presumed.

    Raises:
        Refused: readers would get the solutions. A warning would not do: it stands in a log of the
            hub, while a class gets what cannot be taken back. A server that does not start is seen
            by whoever sets up the hub. Or nothing is installed.
    """
    found = solutions()
    if found and os.environ.get("LSTMLIB_WITH_SOLUTIONS") != "1":
        raise Refused(
            f"{ROOT} holds the solutions ({found}), and readers of the hub would get them: put the "
            "student edition there (HUB.md), or set LSTMLIB_WITH_SOLUTIONS=1."
        )
    if not python().exists():
        raise Refused(f"{ROOT} has no environment yet. It is made by: {_called('install')}")
    home = copy(home_copy()).parent
    settings = f"--LabApp.app_settings_dir={ROOT / 'tools' / 'lab_settings'}"
    _become([str(python()), "-m", "jupyterhub.singleuser", settings, *options], home)


def _become(command: list[str], folder: Path) -> None:
    """Run a command in place of this program, so that Ctrl-C and signals are its own.

    Windows has no such thing: there this program waits, and leaves Ctrl-C to the other.
    """
    environment = {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1"}
    if not WINDOWS:
        os.chdir(str(folder))
        os.execve(command[0], command, environment)
    process = subprocess.Popen(command, cwd=str(folder), env=environment)
    while True:
        try:
            sys.exit(process.wait())
        except KeyboardInterrupt:
            continue


def test(options: list[str]) -> None:
    """Run style, tests and every notebook; or pytest alone, with these options.

    Raises:
        Refused: this copy of the course has no tests, or something failed.
    """
    if not (ROOT / "tests").is_dir():
        raise Refused("This copy of the course has no tests: they are in the full edition.")
    install(checks=True)
    own = str(python())
    pytest = [own, "-m", "pytest", "--nbval", "--nbval-current-env"]
    pytest += ["--nbval-sanitize-with", os.path.join("tests", "nbval_sanitize.cfg")]
    workers = os.environ.get("WORKERS", "" if options else "logical")
    if workers:
        pytest += ["-n", workers, "--maxprocesses", "4", *BY_FILES]
    commands = [[*pytest, *options]]
    if not options:
        style = [[own, "-m", "ruff", "check", "."], [own, "-m", "ruff", "format", "--check", "."]]
        commands = [*style, [*pytest, "tests", "notebooks"]]
    environment = {**os.environ, "LSTMLIB_PROFILE": "ci", "JUPYTER_PREFER_ENV_PATH": "1"}
    for command in commands:
        print(" ".join(command), flush=True)
        run(*command, why="The checks did not pass.", env=environment)


def main(arguments: list[str]) -> None:
    """Do what the command line says.

    Raises:
        Refused: it says nothing that this program knows, or it cannot be done.
    """
    what, rest = arguments[:1], arguments[1:]
    if what == ["lab"]:
        lab(rest)
    elif what == ["hub"]:
        hub(rest)
    elif what == ["test"]:
        test(rest)
    elif what == ["install"] and rest in ([], ["checks"]):
        install(checks=bool(rest))
    elif what == ["copy"] and len(rest) <= 1:
        copy(Path(rest[0]).absolute() if rest else home_copy())
    else:
        raise Refused(__doc__.strip())


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a console may lack a letter of the folder's name
    try:
        main(sys.argv[1:])
    except Refused as refused:
        sys.exit(str(refused))
