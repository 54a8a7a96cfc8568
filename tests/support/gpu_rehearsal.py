"""The bare GPU machine, made here without a network: what it has, what is carried, nothing else.

A fresh virtual environment gets links to installed packages: to those that tools/gpu_machine.txt
names, and to those that the pack brings. What a stage imports beyond them is missing here, as it
would be missing there.
"""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # the scripts stand beside each other, in no package

import gpu_pack  # noqa: E402

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
# What of the caller's would let other packages, or another kernel, in.
_LEAKS = ("PYTHONHOME", "PYTHONPATH", "JUPYTER_PATH", "JUPYTER_CONFIG_PATH", "VIRTUAL_ENV")
_OF_THE_INSTALLER = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")


@cache
def carried() -> tuple[str, ...]:
    """Return the names of the packages that a pack for this Python brings, as installed here."""

    def describe(names: list[str]) -> dict[str, list[str]]:
        return {name: distribution(name).requires or [] for name in names}

    return tuple(gpu_pack.to_carry(describe, PYTHON))


def make_environment(folder: Path, *, with_pack: bool = True) -> Path:
    """Make the environment in a folder; return its Python.

    Args:
        folder: where it goes; not there yet.
        with_pack: link what the pack brings, too. Without, the environment is the bare machine, on
            which `gpu_pack.install` puts the wheels of `make_pack`.
    """
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True, env=variables())
    [site] = folder.glob("lib/python*/site-packages")
    names = {*gpu_pack.bare_machine(), *(carried() if with_pack else ())}
    if sys.version_info < (3, 11):
        names.add("tomli")  # the machine's own Python has it, as tomllib
    for name in sorted(names):
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # such a machine has much that the course does not use
        _link(found, site)
    return folder / "bin" / "python"


def variables(**more: str) -> dict[str, str]:
    """Return environment variables for programs in the environment; lstmlib is the course's own."""
    kept = {name: value for name, value in os.environ.items() if name not in _LEAKS}
    # The environment's kernel "python3" comes before one of the user's, which is another Python.
    return kept | {"PYTHONPATH": str(ROOT), "JUPYTER_PREFER_ENV_PATH": "1"} | more


@cache
def _owners() -> Counter:
    """Count for each name at the top of site-packages how many packages have files below it."""
    return Counter(top for d in distributions() for top in {f.parts[0] for f in d.files or ()})


def _link(found: Distribution, site: Path) -> None:
    """Link a package's files: a folder of its own as a whole, a shared one file by file."""
    for file in found.files or ():
        top, inside = file.parts[0], _beside(file.parts)
        if top == "..":
            # Kernels are data, beside lib/. Scripts would start the Python that they came with.
            target = site.parents[2].joinpath(*inside)
            source = Path(found.locate_file(file)) if inside[0] == "share" else None
        else:
            name = top if _owners()[top] == 1 else file
            target, source = site / name, Path(found.locate_file(name))
        if source and source.exists() and not target.is_symlink() and "__pycache__" not in inside:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source)


def _beside(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return a path's parts without the ".." that it begins with."""
    return tuple(part for part in parts if part != "..")


def make_pack(folder: Path) -> dict:
    """Make a pack for this Python in a folder, of what is installed here; return its pack.json.

    Raises:
        gpu_pack.PackError: a text that is neither on this machine nor to be downloaded.
    """
    shutil.rmtree(folder, ignore_errors=True)
    gpu_pack.copy_texts(folder / "texts")  # first, since one may not be to be had
    (folder / "wheels").mkdir(parents=True)
    for name in carried():
        make_wheel(distribution(name), folder / "wheels")
    pack = gpu_pack.describe_pack(folder, PYTHON)
    (folder / "pack.json").write_text(json.dumps(pack))
    return pack


def make_wheel(installed: Distribution, folder: Path) -> Path:
    """Pack an installed package as a wheel again, without its scripts."""
    [info] = {f.parts[0] for f in installed.files if f.parts[0].endswith(".dist-info")}
    stem = info.removesuffix(".dist-info")
    wheel = folder / f"{stem}-{_tag(installed)}.whl"
    record = [f"{info}/RECORD,,"]
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in installed.files:
            inside = _beside(file.parts)
            if "__pycache__" in inside or inside[0] == "bin" or inside[-1] in _OF_THE_INSTALLER:
                continue
            is_data = file.parts[0] == ".."
            name = "/".join((f"{stem}.data", "data", *inside) if is_data else inside)
            content = installed.locate_file(file).read_bytes()
            archive.writestr(name, content)
            record.append(f"{name},{_digest(content)},{len(content)}")
        archive.writestr(f"{info}/RECORD", "\n".join(record) + "\n")
    return wheel


def _tag(installed: Distribution) -> str:
    """Return what a wheel's name says of Pythons and platforms: py2.py3-none-any."""
    lines = installed.read_text("WHEEL").splitlines()
    tags = [line.removeprefix("Tag: ").split("-") for line in lines if line.startswith("Tag: ")]
    return "-".join(".".join(dict.fromkeys(parts)) for parts in zip(*tags, strict=True))


def _digest(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    return f"sha256={digest}"
