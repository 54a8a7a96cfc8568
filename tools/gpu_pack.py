"""Build and check the folder that is carried to a bare GPU machine: `make gpu-pack`.

    python tools/gpu_pack.py [--python 3.12] [--out gpu-pack]

The machine has PyTorch and much else (gpu_machine.txt beside this file lists it), but no network.
The folder holds what it lacks:

    wheels/     the packages that executing the notebooks needs, in the versions of constraints.txt
    texts/      the books that the chapters and the stages of tools/gpu.py read
    pack.json   for which Python, of which commit, of which code, and the SHA-256 of every file

Building needs the package registry and the texts; checking and installing need neither. Nothing
here imports more than the bare machine has.
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
MACHINE = Path(__file__).with_name("gpu_machine.txt")
LIMIT = 64 * 2**20
"""Bytes that may travel to such a machine: the working tree and the pack together."""

TEXTS = ("shakespeare", "david-copperfield", "wealth-of-nations")
"""Registered names: of the texts that have a file to carry, those that chapters and stages read."""

# What executes a notebook. The course's own dependencies come from pyproject.toml.
_EXECUTES = ("ipykernel", "nbclient", "nbformat")
# The course asks for a newer one than such a machine may have. It is small, so it goes along.
_CARRIED_ANYWAY = frozenset({"filelock"})
# Not for a machine where nobody sits: JupyterLab, a debugger, and widgets as a browser shows them.
# The kernel starts without them, and they are half of the megabytes. The rehearsal has none either.
_LEFT_OUT = frozenset({"debugpy", "jupyterlab", "jupyterlab-widgets", "widgetsnbextension"})
# pip takes a platform by its exact name, and a wheel is named for the oldest that it runs on.
_PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(39, 4, -1)]
_PLATFORMS += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
_CODE = (
    "lstmlib/**/*.py",
    "experiments/*.py",
    "tools/gpu*.py",
    "runs/*/config.json",
    "runs/leaderboard/entries.json",
    "benchmarks/*.py",
    "notebooks/*.ipynb",
)
_NO_PART = ("tools/gpu_collect.py",)
"""What runs at home, after the results."""
_KEYS = {"python": str, "commit": str, "code": str, "files": dict, "bare": list}


class PackError(Exception):
    """The pack cannot be built, is not whole, or does not fit; the message says what to do."""


# Which code is this?


def code_hash(root: Path) -> str:
    """Return the SHA-256 over the code and the settings below a folder, with their paths.

    Neither the bands nor what collects are part of it: a call may be collected before the next. Of
    notebooks the sources of code cells count: neither outputs nor prose. It needs no git.

    Raises:
        PackError: a notebook that is not JSON, or has no cells.
    """
    paths = {path for pattern in _CODE for path in root.glob(pattern) if path.is_file()}
    paths -= {root / name for name in _NO_PART}
    total = hashlib.sha256()
    for name, path in sorted((path.relative_to(root).as_posix(), path) for path in paths):
        content = _cells(path) if path.suffix == ".ipynb" else path.read_bytes()
        # With its length, so that no file's end can pass for the next one's name.
        total.update(f"{name}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


def _cells(path: Path) -> bytes:
    """Return the sources of a notebook's code cells, as JSON."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        # A source may be one string, or a list of lines.
        sources = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise PackError(f"{path} is not a notebook: {error!r}.") from error
    return json.dumps(sources).encode()


# Which packages go along?


def bare_machine(path: Path = MACHINE) -> dict[str, str | None]:
    """Return what the machine has: a package's name -> its version, None where it is not known."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    pairs = [line.partition("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version or None for name, _, version in pairs}


def roots(root: Path = ROOT) -> list[str]:
    """Return the requirements that the notebooks and the library start from."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *_EXECUTES]


def to_carry(
    describe: Callable[[list[str]], dict[str, list[str]]], python_version: str, root: Path = ROOT
) -> list[str]:
    """Return the names of the packages that the bare machine lacks for the notebooks.

    Args:
        describe: names -> for each name the lines Requires-Dist of its metadata.
        python_version: "3.12".
        root: the course.
    """
    bare = {name: v for name, v in bare_machine().items() if name not in _CARRIED_ANYWAY}
    return closure(roots(root), bare, _markers(python_version), describe, _LEFT_OUT)


def closure(
    roots: Iterable[str],
    bare: dict[str, str | None],
    markers: dict[str, str],
    describe: Callable[[list[str]], dict[str, list[str]]],
    left_out: Iterable[str] = (),
) -> list[str]:
    """Follow requirements from package to package; return the names that are to be had, sorted.

    It stops at what the machine has, unless that is known to be too old, and at what is left out.

    Args:
        roots: requirements to start from, such as "pooch>=1.8".
        bare: what is there: name -> version, or None.
        markers: what the target machine is, in the terms of environment markers.
        describe: names -> for each name the lines Requires-Dist of its metadata.
        left_out: names that are neither there nor wanted.
    """
    lines: dict[str, list[str]] = {}
    seen: set[tuple[str, str]] = set()
    pending = list(_that_apply(roots, markers, ""))
    while pending:
        asked = {
            (canonicalize_name(r.name), extra)
            for r in pending
            if not _is_there(r, bare) and canonicalize_name(r.name) not in left_out
            for extra in ("", *r.extras)
        } - seen
        new = sorted({name for name, _ in asked} - lines.keys())
        lines |= describe(new) if new else {}
        seen |= asked
        pending = [
            r for name, extra in sorted(asked) for r in _that_apply(lines[name], markers, extra)
        ]
    return sorted(lines)


def _that_apply(lines: Iterable[str], markers: dict[str, str], extra: str) -> Iterator[Requirement]:
    """Yield the requirements whose marker holds on the target machine."""
    for requirement in map(Requirement, lines):
        if requirement.marker is None or requirement.marker.evaluate(markers | {"extra": extra}):
            yield requirement


def _is_there(requirement: Requirement, bare: dict[str, str | None]) -> bool:
    name = canonicalize_name(requirement.name)
    version = bare.get(name)
    return name in bare and (version is None or requirement.specifier.contains(version, True))


def _markers(python_version: str) -> dict[str, str]:
    """Describe the machine as environment markers do: CPython on Linux, x86-64."""
    return {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python_version}.0",
        "python_version": python_version,
        "sys_platform": "linux",
    }


def pins(python_version: str, root: Path = ROOT) -> dict[str, str]:
    """Return the versions of constraints.txt that count for this Python: name -> version."""
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    kept = _that_apply(lines, _markers(python_version), "")
    return {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in kept}


def requires(wheel: Path) -> list[str]:
    """Return the lines Requires-Dist of a wheel's metadata."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        headers = HeaderParser().parsestr(archive.read(name).decode("utf-8"))
    return headers.get_all("Requires-Dist") or []


def download(wanted: list[str], folder: Path, python_version: str) -> None:
    """Fetch wheels for the machine, such as "pooch==1.9.0", without what they need themselves.

    Raises:
        PackError: no network, or no wheel for this Python and Linux on x86-64.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--implementation", "cp"]
    command += ["--python-version", python_version, "--dest", str(folder)]
    command += [part for platform in _PLATFORMS for part in ("--platform", platform)]
    run = subprocess.run([*command, *wanted], capture_output=True, text=True)
    if run.returncode:
        lines = run.stderr.strip().splitlines() or ["pip said nothing."]
        raise PackError(f"The wheels for Python {python_version} are not to be had. {lines[-1]}")


def _fetch_wheels(folder: Path, python_version: str, root: Path) -> None:
    """Fill a folder with the wheels that the machine lacks, one of each."""
    versions = pins(python_version, root)
    folder.mkdir(parents=True)

    def describe(names: list[str]) -> dict[str, list[str]]:
        unpinned = [name for name in names if name not in versions]
        if unpinned:
            raise PackError(
                f"constraints.txt has no version of {', '.join(unpinned)} for Python "
                f"{python_version}. Run: make pins UPGRADE="
            )
        download([f"{name}=={versions[name]}" for name in names], folder, python_version)
        wheels = {canonicalize_name(p.name.split("-")[0]): p for p in folder.glob("*.whl")}
        return {name: requires(wheels[name]) for name in names}

    to_carry(describe, python_version, root)


# The texts


def text_file(name: str, root: Path = ROOT) -> tuple[str, str]:
    """Return (the name of its file, its SHA-256) of a registered text."""
    registry = tomllib.loads((root / "datasets" / "registry.toml").read_text(encoding="utf-8"))
    return registry[name]["file"], registry[name]["sha256"]


def find_text(name: str) -> Path:
    """Find a registered text as `load_corpus` does: on disk, or by a checked download."""
    # Imported here: it needs pooch, which the bare machine has only once the pack is installed.
    from lstmlib.corpora import find_corpus
    from lstmlib.decoding import CorpusError

    try:
        return find_corpus(name)
    except CorpusError as error:
        raise PackError(f"The pack needs the text {name!r}. {error}") from error


def copy_texts(folder: Path, root: Path = ROOT) -> None:
    """Put the texts that stages read into a folder.

    Raises:
        PackError: a text that is not to be had, or not the one that is registered.
    """
    folder.mkdir(parents=True)
    for name in TEXTS:
        file, expected = text_file(name, root)
        shutil.copyfile(find_text(name), folder / file)
        digest = _sha256(folder / file)
        if digest != expected:
            raise PackError(
                f"The text {name!r} is not the one in datasets/registry.toml: its SHA-256 is "
                f"{digest[:12]}…, expected {expected[:12]}…. Remove the file that was found."
            )


# The pack


def build(
    folder: Path, python_version: str = "3.12", *, root: Path = ROOT, limit: int = LIMIT
) -> dict:
    """Build the pack in a folder, in place of one that is there; return what pack.json says.

    It is made elsewhere and copied when it is whole, pack.json last.

    Args:
        folder: the pack's; not there, empty, or an earlier pack.
        python_version: of the machine, "3.12".
        root: the course, a git checkout.
        limit: bytes that the pack and the working tree may have together.

    Raises:
        PackError: wheels or texts that are not to be had, too many bytes, a folder of something
            else, or no git checkout.
    """
    folder = folder.absolute()
    if folder.exists() and any(folder.iterdir()) and not (folder / "pack.json").is_file():
        raise PackError(f"{folder} is not empty, and no pack: name another folder with --out.")
    with tempfile.TemporaryDirectory() as temporary:
        new = Path(temporary) / "pack"
        _fetch_wheels(new / "wheels", python_version, root)
        copy_texts(new / "texts", root)
        _check_size(new, folder, root, limit)
        pack = describe_pack(new, python_version, root)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(new, folder)
    temporary_file = folder / "pack.json.part"
    temporary_file.write_text(json.dumps(pack, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary_file, folder / "pack.json")
    return pack


def describe_pack(folder: Path, python_version: str, root: Path = ROOT) -> dict:
    """Return what pack.json has to say of the files that stand in a folder."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "pack.json")
    return {
        "python": python_version,
        "commit": _git(root, "rev-parse", "HEAD").strip(),
        "code": code_hash(root),
        "files": {path.relative_to(folder).as_posix(): _sha256(path) for path in files},
        "bare": [f"{n}=={v}" if v else n for n, v in bare_machine().items()],
    }


def working_tree(root: Path = ROOT) -> dict[str, int]:
    """Return what travels of the course besides the pack: path -> bytes.

    It is what git tracks, and what it neither tracks nor ignores.
    """
    listed = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    paths = {name: root / name for name in listed.split("\0") if name}
    return {n: p.lstat().st_size for n, p in paths.items() if p.is_symlink() or p.is_file()}


def _check_size(new: Path, folder: Path, root: Path, limit: int) -> None:
    """Raise PackError if the pack and the working tree are too large to travel together."""
    pack = {
        f"{folder.name}/{path.relative_to(new).as_posix()}": path.stat().st_size
        for path in new.rglob("*")
        if path.is_file()
    }
    # An earlier pack in a folder that git does not ignore is about to be replaced.
    tree = {n: s for n, s in working_tree(root).items() if folder not in (root / n).parents}
    total = sum(pack.values()) + sum(tree.values())
    if total > limit:
        largest = sorted((pack | tree).items(), key=lambda item: -item[1])[:5]
        raise PackError(
            f"The pack ({_mib(sum(pack.values()))}) and the working tree "
            f"({_mib(sum(tree.values()))}) are {_mib(total)} together, and {_mib(limit)} may "
            f"travel. The largest files: {', '.join(f'{n} ({_mib(s)})' for n, s in largest)}."
        )


def check_pack(folder: Path, root: Path | None = None) -> dict:
    """Return what pack.json says, once every file that it names is there and as it was built.

    Args:
        folder: the pack's.
        root: the course, if the pack has to be of this code.

    Raises:
        PackError: no pack, a damaged pack.json, a file that is missing or was changed, a text that
            the pack lacks, or a pack of other code.
    """
    pack = _read(folder)
    for name, expected in pack["files"].items():
        path = folder / name
        if not path.is_file():
            raise PackError(f"{path} is missing. Build the pack again: make gpu-pack")
        if _sha256(path) != expected:
            raise PackError(f"{path} is not as it was built. Build the pack again: make gpu-pack")
    for name in TEXTS:
        file, expected = text_file(name)
        if pack["files"].get(f"texts/{file}") != expected:
            raise PackError(
                f"{folder} lacks the text {name!r} ({file}). Build the pack again: make gpu-pack"
            )
    if root is not None and pack["code"] != code_hash(root):
        raise PackError(
            f"{folder} was built for other code, at commit {pack['commit'][:12]}. "
            "Build the pack again: make gpu-pack"
        )
    return pack


def _read(folder: Path) -> dict:
    """Return what pack.json says, once it is known to have the form of one."""
    path = folder / "pack.json"
    if not path.is_file():
        raise PackError(
            f"{folder} is no pack: it has no pack.json. Build one where there is a network: "
            "make gpu-pack"
        )
    try:
        pack = json.loads(path.read_bytes())
        whole = all(isinstance(pack[key], kind) for key, kind in _KEYS.items())
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole or not all(isinstance(value, str) for value in pack["files"].values()):
        raise PackError(f"{path} is damaged. Build the pack again: make gpu-pack")
    return pack


def install(folder: Path, target: Path) -> None:
    """Install the pack's wheels into a folder of their own, for $PYTHONPATH; no network is asked.

    Raises:
        PackError: as `check_pack` says, a pack for another Python, or pip's own message.
    """
    pack = check_pack(folder)
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    if pack["python"] != running:
        raise PackError(
            f"{folder} is for Python {pack['python']}, and this is Python {running}. "
            f"Build one for it: {Path(__file__).name} --python {running}"
        )
    wheels = [str(folder / name) for name in pack["files"] if name.endswith(".whl")]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--upgrade"]
    # Root is who commands run as on such a machine; pip would warn of it.
    command += ["--root-user-action=ignore", "--target", str(target), *wheels]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        lines = run.stderr.strip().splitlines() or ["pip said nothing."]
        raise PackError(f"The pack's wheels could not be installed into {target}. {lines[-1]}")


def unmet(target: Path) -> list[str]:
    """Return what the course and installed wheels ask for and do not find here, one line each.

    The machine's list has few versions. This says on the spot which package there is too old.

    Args:
        target: the folder that `install` filled.
    """
    here = {
        canonicalize_name(d.name): d for d in importlib.metadata.distributions(path=[str(target)])
    }
    markers = _markers(f"{sys.version_info.major}.{sys.version_info.minor}")
    asked = [("the course", line) for line in roots()]
    asked += [(name, line) for name, dist in here.items() for line in dist.requires or []]
    lines = []
    for who, line in asked:
        for r in _that_apply([line], markers, ""):
            name = canonicalize_name(r.name)
            version = here[name].version if name in here else _version(name)
            if name not in _LEFT_OUT and (not version or not r.specifier.contains(version, True)):
                lines.append(f"{who} needs {r.name}{r.specifier}; here is {version or 'none'}")
    return lines


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def variables(target: Path, folder: Path, root: Path = ROOT) -> dict[str, str]:
    """Return the environment variables with which a stage finds the library, wheels and texts."""
    site = target.absolute()  # notebooks run in a folder of their own
    return {
        "PYTHONPATH": f"{root}{os.pathsep}{site}",
        "LSTMLIB_DATA": str(folder.absolute() / "texts"),
        # The kernel "python3" of the wheels comes first, and starts the Python that asks for it.
        "JUPYTER_PATH": str(site / "share" / "jupyter"),
    }


def _git(root: Path, *arguments: str) -> str:
    try:
        run = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True)
    except FileNotFoundError as error:
        raise PackError("The pack is built with git, which is not on this machine.") from error
    if run.returncode:
        raise PackError(f"The pack is built in a git checkout of the course. {run.stderr.strip()}")
    return run.stdout


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def main() -> None:
    """Build the pack that the command line describes, and say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default="3.12", help="the machine's (default: 3.12)")
    parser.add_argument("--out", type=Path, default=ROOT / "gpu-pack", help="default: gpu-pack")
    arguments = parser.parse_args()
    try:
        pack = build(arguments.out, arguments.python)
    except (PackError, InvalidRequirement) as error:
        sys.exit(str(error))
    sizes = {name: (arguments.out / name).stat().st_size for name in pack["files"]}
    for name, size in sizes.items():
        print(f"{size / 2**20:6.2f} MiB  {name}")
    total, tree = sum(sizes.values()), sum(working_tree().values())
    print(
        f"{arguments.out}: {len(sizes)} files for Python {pack['python']}, {_mib(total)}; with the "
        f"working tree {_mib(total + tree)} of {_mib(LIMIT)}."
    )


if __name__ == "__main__":
    main()
