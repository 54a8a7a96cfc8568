"""Put both editions and the stand-alone pages into one archive with checksums: `make release`.

    python tools/release.py [--out FOLDER]

The archive holds tracked files, what is made of them, and the built book (book/_build), if there is
one. The same tree gives the same bytes on the same machine: names are sorted, and no time, user or
process stands in it. So the tree must be clean.
"""

import argparse
import gzip
import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from editions import (
    SUMS,
    EditionError,
    File,
    broken_links,
    instructor,
    student,
    tracked,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
BOOK = "book/_build"
PAGES = ("page/index.html", "page/explosion.html", "page/README.md")
"""What a course site shows without Python."""


def version_of(root: Path) -> str:
    """Return the version that pyproject.toml states."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["version"]


def contents(root: Path = ROOT) -> dict[str, File]:
    """Return what a release holds: path in the archive -> file.

    Raises:
        EditionError: the tree is not clean; an edition cannot be made.
    """
    _refuse_changes(root)
    parts = {"student": student(root), "instructor": instructor(root)}
    for name, files in parts.items():
        if broken := broken_links(files):
            raise EditionError(f"Links of the {name} edition lead nowhere: {broken[:5]}")
    files = {f"{part}/{name}": file for part, each in parts.items() for name, file in each.items()}
    there = set(tracked(root))
    files |= {name: File((root / name).read_bytes()) for name in PAGES if name in there}
    for path in sorted((root / BOOK).rglob("*")):
        if path.is_file():
            files[f"book/{path.relative_to(root / BOOK).as_posix()}"] = File(path.read_bytes())
    for name in ("CHANGELOG.md", "CITATION.cff", "LICENSE"):
        files[name] = File((root / name).read_bytes())
    sums = "".join(f"{_sum(files[name].content)}  {name}\n" for name in sorted(files))
    return files | {SUMS: File(sums.encode())}


def _refuse_changes(root: Path) -> None:
    """Refuse a tree with changes that are not committed; what git ignores does not count."""
    command = ["git", "-C", root, "status", "--porcelain", "-z"]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise EditionError(f"{root} is no git checkout, so nobody knows what a release would hold.")
    if changed := [line[3:] for line in run.stdout.split("\0") if line]:
        raise EditionError(
            f"The tree is not clean: {', '.join(changed[:3])}{' …' * (len(changed) > 3)}. A "
            "release is made of what is committed; commit this, or put it away (git stash -u)."
        )


def archive(files: Mapping[str, File], folder: str) -> bytes:
    """Return a gzipped tar archive of files in a folder, with nothing in it but names and bytes."""
    plain, packed = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(files):
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mode = (
                len(files[name].content),
                0o755 if files[name].program else 0o644,
            )
            tar.addfile(entry, io.BytesIO(files[name].content))
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=0) as zipped:
        zipped.write(plain.getvalue())
    return packed.getvalue()


def write(out: Path, name: str, content: bytes) -> Path:
    """Write an archive and its checksum beside it, each whole or not at all; return its path.

    Raises:
        EditionError: nothing can be written there.
    """
    path = out / name
    try:
        out.mkdir(parents=True, exist_ok=True)
        for target, data in (
            (path, content),
            (out / f"{name}.sha256", f"{_sum(content)}  {name}\n".encode()),
        ):
            with tempfile.NamedTemporaryFile(dir=out, suffix=".part", delete=False) as part:
                part.write(data)
            Path(part.name).chmod(0o644)
            Path(part.name).replace(target)
    except OSError as error:
        raise EditionError(
            f"The release could not be written to {out}: {error.strerror}. Name another folder "
            "with OUT=."
        ) from None
    return path


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    """Write a release of the committed tree."""
    parser = argparse.ArgumentParser(description="Write a release.")
    parser.add_argument("--out", type=Path, default=ROOT / "editions/release", help="a folder")
    out = parser.parse_args().out.absolute()
    try:
        version = version_of(ROOT)
        if not re.search(rf"^## {re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text(), re.M):
            raise EditionError(f"CHANGELOG.md says nothing of the version {version}.")
        folder = f"lstm-course-{version}"
        path = write(out, f"{folder}.tar.gz", archive(contents(), folder))
    except EditionError as error:
        raise SystemExit(str(error)) from None
    print(f"{path}\nIts SHA-256 stands in {path.name}.sha256; of every file in it, in {SUMS}.")


if __name__ == "__main__":
    main()
