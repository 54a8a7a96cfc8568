"""From names to texts: a registry of corpora, checked downloads, and film reviews.

`load_corpus` takes a registered name or a path, and returns decoded text. Line ends are "\\n". A
byte-order mark, and the header and footer of a digital library, are left out. `load_reviews` does
the same for an archive of film reviews, and returns a text for each review. All other cleaning is
done by `lstmlib.cleaning`.
"""

import difflib
import gzip
import hashlib
import os
import re
import sys
import sysconfig
import tarfile
import tokenize
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pooch
import requests

from lstmlib.boilerplate import strip_boilerplate
from lstmlib.decoding import CorpusError, CorpusUnavailable, warn
from lstmlib.readers import as_text, find_file, most_unpacked, read_book, read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "Corpus",
    "CorpusError",
    "CorpusUnavailable",
    "Reviews",
    "find_corpus",
    "load_corpus",
    "load_reviews",
    "read_text",
    "registry",
    "strip_boilerplate",
]

DATASETS = Path(__file__).resolve().parents[1] / "datasets"
LONGEST_REVIEW = 2**20
"""The most bytes of a review. The longest of the Large Movie Review Dataset has 14 000."""

# No name begins with a dot: not "..", and not "._1_9.txt", which macOS packs beside "1_9.txt".
_REVIEW = re.compile(r"(?:\./)?[^/.][^/]*/(?:train|test)/(?:pos|neg)/[^/.][^/]*\.txt")
_BREAK = re.compile(r"<br ?/?>", re.I)
# The reviews hold control characters in the place of dashes, ellipses and quotes. They are read as
# Windows-1252, as HTML reads "&#150;", an en dash. Five have no meaning there, and are dropped.
_WINDOWS = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}


@dataclass(frozen=True)
class Corpus:
    """A decoded text and where it came from.

    Attributes:
        name: the registered name, or the file's name.
        text: the decoded text, "\\n" line ends, no byte-order mark.
        encoding: the encoding it was decoded from; None for text built in memory.
        source: the file it was read from, or a description.
        fell_back_from: the corpus that was asked for, if this one took its place; else None.
    """

    name: str
    text: str
    encoding: str | None
    source: str
    fell_back_from: str | None = None

    def __repr__(self) -> str:
        return f"Corpus({self.name!r}, {len(self.text):,} characters, from {self.source})"


@dataclass(frozen=True)
class Reviews:
    """Decoded reviews and where they came from.

    Attributes:
        name: the registered name, or the file's name.
        texts: one text a review, "\\n" line ends, each text once, in the order of their paths in
            the archive.
        source: the file they were read from.
        fell_back_from: the reviews that were asked for, if these took their place; else None.
    """

    name: str
    texts: tuple[str, ...]
    source: str
    fell_back_from: str | None = None

    def __repr__(self) -> str:
        characters = sum(map(len, self.texts))
        return (
            f"Reviews({self.name!r}, {len(self.texts):,} reviews, {characters:,} characters, "
            f"from {self.source})"
        )


def registry() -> dict[str, dict]:
    """Return the registered corpora: name -> its entry in datasets/registry.toml."""
    path = DATASETS / "registry.toml"
    if not path.is_file():
        raise CorpusError(
            f"{path} is missing. lstmlib works from a checkout of the course: "
            "install it there with 'pip install -e .'."
        )
    return tomllib.loads(path.read_text(encoding="utf-8"))


def load_corpus(
    name_or_path: str | Path,
    *,
    fallback: str | None = None,
    keep_boilerplate: bool = False,
    encoding: str | None = None,
) -> Corpus:
    """Load a corpus by its registered name; or a file of text, markup or an EPUB by its path.

    A registered file is looked for in datasets/, and then in $LSTMLIB_DATA. If it is in neither, it
    is downloaded into datasets/ (if that cannot be written, into $LSTMLIB_DATA or the user's
    cache). Its SHA-256 is checked in any case. `read_text` documents how a file is read.

    Args:
        name_or_path: a name in `registry()`, or a path; ~ stands for the home folder.
        fallback: a registered name to load instead, with a warning, if the corpus is not on disk
            and cannot be downloaded. A broken file is still an error, and so is an argument that is
            no path at all, such as a web address.
        keep_boilerplate: whether the header and footer of a digital library stay.
        encoding: the encoding of a text or HTML file, if you know it. None finds it out.

    Raises:
        CorpusError: there is no such corpus, no network or a wrong hash; the file holds no text or
            cannot be read; or the argument is neither a name nor a path.
    """
    names, asked = registry(), as_text(name_or_path)
    entry = names.get(asked)
    for wanted in (asked, str(fallback)):
        if _is_archive(wanted, names):
            raise CorpusError(
                f"{wanted!r} is an archive of many texts, not one text. If they are film reviews, "
                f"use load_reviews({wanted!r})."
            )
    if fallback is not None and str(fallback) not in names:
        raise CorpusError(f"There is no corpus {fallback!r} to fall back on: {', '.join(names)}.")
    try:
        if entry and entry.get("builtin"):
            return _built_in(asked, entry)
        path = find_corpus(asked)
    except CorpusUnavailable as error:
        if fallback is None:
            raise
        warn(f"Using {fallback!r} instead of {asked!r}. {error}")
        got = load_corpus(fallback, keep_boilerplate=keep_boilerplate)
        return Corpus(got.name, got.text, got.encoding, got.source, asked)
    text, encoding = read_book(path, encoding=encoding, keep_boilerplate=keep_boilerplate)
    # Bundled texts lie at the same place in every checkout.
    source = f"datasets/{path.name}" if entry and entry.get("bundled") else str(path)
    return Corpus(asked if entry else path.name, text, encoding, source)


def _is_archive(name_or_path: str, names: dict[str, dict]) -> bool:
    file = names.get(name_or_path, {"file": name_or_path}).get("file", "")
    return file.endswith(".tar.gz")


def load_reviews(name_or_path: str | Path, *, fallback: str | Path | None = None) -> Reviews:
    """Load film reviews by their registered name, or a tar.gz archive of reviews by its path.

    The archive is looked for and checked as in `load_corpus`. It is read without being unpacked. A
    review is a UTF-8 file */{train,test}/{pos,neg}/*.txt in it. This is the layout of the Large
    Movie Review Dataset (Maas et al. 2011, Learning Word Vectors for Sentiment Analysis). Other
    files, such as its unlabelled texts, are not read.

    In a review, <br /> becomes a line end. White space around it and around the review is dropped.
    U+0080 to U+009F are read as Windows-1252. Of equal reviews only the first is kept: with one
    copy in the training part and one in a held-out part, memory would be measured. Empty reviews
    are dropped too.

    Args:
        name_or_path: a name in `registry()` whose file is a tar.gz, or a path.
        fallback: a name or a path to load instead, with a warning, if the reviews are not on disk
            and cannot be downloaded. A broken file is still an error.

    Raises:
        CorpusError: there are no such reviews, no network or a wrong hash; the file is no whole
            tar.gz or holds no reviews; or a review is not UTF-8. It is a `CorpusUnavailable` if
            neither the reviews nor the fallback can be loaded.
    """
    names, asked = registry(), as_text(name_or_path)
    for wanted in (asked, str(fallback)):
        if wanted in names and not _is_archive(wanted, names):
            archives = ", ".join(name for name in names if _is_archive(name, names))
            raise CorpusError(
                f"{wanted!r} is one text, not reviews; use load_corpus({wanted!r}). "
                f"Registered reviews: {archives}."
            )
    try:
        path = find_corpus(asked)
    except CorpusUnavailable as error:
        if fallback is None:
            raise
        instead = as_text(fallback)
        try:
            got = load_reviews(fallback)
        except CorpusUnavailable as second:
            raise CorpusUnavailable(
                f"Neither {asked!r} nor its fallback {instead!r} is to be had. {error} {second}"
            ) from second
        warn(f"Using {instead!r} instead of {asked!r}. {error}")
        return Reviews(got.name, got.texts, got.source, asked)
    return Reviews(asked if asked in names else path.name, _reviews(path), str(path))


def _reviews(path: Path) -> tuple[str, ...]:
    """Return an archive's reviews, sorted by path, since archives differ in their own order."""
    try:
        members = dict(_members(path))
    except EOFError as error:
        raise CorpusError(f"{path} is cut off. Copy or download it again.") from error
    # tarfile does not catch the errors of its own parsing of numbers and names.
    except (OSError, zlib.error, tarfile.TarError, ValueError, OverflowError) as error:
        raise CorpusError(
            f"{path} is not a tar.gz archive that can be read ({type(error).__name__}: {error}). "
            "Is it the right file, and was it copied whole?"
        ) from error
    texts = [_review_text(members[name], f"{name} in {path}") for name in sorted(members)]
    if not any(texts):
        raise CorpusError(
            f"{path} holds no reviews. They are text files, and their paths in the archive are "
            "*/train/pos/*.txt, or test for train, or neg for pos. Pack it so, or take 'imdb'."
        )
    return tuple(dict.fromkeys(text for text in texts if text))


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of each review in an archive, in the archive's order."""
    with gzip.open(path) as unpacked:
        stream = _Bounded(unpacked, most_unpacked(path.stat().st_size), path)
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if member.isreg() and _REVIEW.fullmatch(member.name):
                    # Checked before reading: 89 bytes of archive can stand for a file of 4 GB.
                    if member.size > LONGEST_REVIEW:
                        raise CorpusError(
                            f"{member.name} in {path} has {member.size:,} bytes; a review has at "
                            f"most {LONGEST_REVIEW:,}. Leave it out, and pack the archive again."
                        )
                    yield member.name, archive.extractfile(member).read()
                archive.members.clear()  # tarfile would keep them all
        while stream.read(2**20):  # to the checksum, which stands behind the archive's end
            pass


class _Bounded:
    """A stream with a limit of bytes, since an archive may unpack to a thousand times its size."""

    def __init__(self, stream: BinaryIO, most: int, path: Path) -> None:
        self._stream, self._left, self._path, self._most = stream, most, path, most

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes.

        Raises:
            CorpusError: the stream has more bytes than its limit.
        """
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise CorpusError(
                f"{self._path} unpacks to more than {self._most:,} bytes, more than reviews would. "
                "Is it the right file?"
            )
        return data


def _review_text(data: bytes, where: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{where} is not UTF-8 ({error}). Save it as UTF-8, and pack the archive again."
        ) from error
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_WINDOWS)
    # Not "[ \t]*<br>[ \t]*", which takes the square of a run of spaces.
    return "\n".join(line.strip(" \t") for line in _BREAK.split(text)).strip()


def find_corpus(name_or_path: str | Path) -> Path:
    """Return the path of a corpus file. A registered file that is not on disk is downloaded.

    Raises:
        CorpusError: there is no such name or path, no network or a wrong hash; a folder or file
            cannot be read; or the argument is neither a name nor a path.
    """
    names, asked = registry(), as_text(name_or_path)
    entry = names.get(asked)
    if entry is None:
        try:
            return find_file(asked)
        except CorpusUnavailable as error:
            near = difflib.get_close_matches(asked, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise CorpusUnavailable(
                f"{error} No corpus has that name, either.{hint} Registered corpora: "
                f"{', '.join(names)}."
            ) from None
    if entry.get("builtin"):
        raise CorpusError(f"{asked!r} is built in and has no file; use load_corpus.")
    local = DATASETS / entry["file"]
    if entry.get("bundled") or (os.path.isfile(local) and _sha256(local) == entry["sha256"]):
        return local
    shared = _shared_folder()
    if shared and os.path.isfile(shared / entry["file"]):
        return _checked(shared / entry["file"], entry["sha256"])
    cached = _cache() / entry["file"]
    if os.path.isfile(cached) and _sha256(cached) == entry["sha256"]:
        return cached
    if "url" in entry:
        return _download(asked, entry, shared)
    if os.path.isfile(local):
        return _checked(local, entry["sha256"])  # broken: say so
    raise CorpusUnavailable(
        f"{asked!r} is not on this machine, and is not to be downloaded. If you have "
        f"{entry['file']}, put it in {DATASETS} or in the folder that $LSTMLIB_DATA names. "
        f"If not, take {entry['instead']!r}."
    )


def _shared_folder() -> Path | None:
    """Return the folder that $LSTMLIB_DATA names; None, with a warning, if it cannot be read."""
    named = os.environ.get("LSTMLIB_DATA")
    if not named:
        return None
    folder = Path(os.path.expanduser(named)).absolute()
    if os.path.isdir(folder) and os.access(folder, os.R_OK | os.X_OK):
        return folder
    what = "may not be read" if os.path.isdir(folder) else "is no folder"
    warn(f"LSTMLIB_DATA is {named!r}, but {folder} {what}: it is passed over.")
    return None


def _cache() -> Path:
    """Return the user's folder for downloads, for machines where datasets/ cannot be written."""
    return Path(pooch.os_cache("lstmlib"))


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}.") from error


def _checked(path: Path, expected: str) -> Path:
    actual = _sha256(path)
    if actual != expected:
        raise CorpusError(
            f"{path} is not the file this course was tested with: its SHA-256 is {actual[:12]}…, "
            f"expected {expected[:12]}…. Remove it, or load it by its path to use it as it is."
        )
    return path


def _download(name: str, entry: dict, shared: Path | None) -> Path:
    """Download a registered file; return its path. pooch moves it into place when it is whole."""
    places = [place for place in (DATASETS, shared) if place and os.access(place, os.W_OK)]
    folder = places[0] if places else _cache()
    try:
        path = pooch.retrieve(
            entry["url"],
            known_hash=f"sha256:{entry['sha256']}",
            fname=entry["file"],
            path=folder,
            downloader=pooch.HTTPDownloader(timeout=30),
        )
    except ValueError as error:  # pooch: the hash of the download does not match
        raise CorpusError(
            f"What {entry['url']} sent for {name!r} has the wrong SHA-256, and was thrown away. "
            "Try again; if it stays wrong, the file has changed at its source."
        ) from error
    except OSError as error:  # every network error of requests is one
        if os.path.isfile(folder / entry["file"]):
            _checked(folder / entry["file"], entry["sha256"])  # broken: say so, hide nothing
        raise CorpusUnavailable(_why_not(name, entry, folder, error)) from error
    if folder != DATASETS:
        warn(f"{DATASETS} is not writable: {name!r} was downloaded to {folder}.")
    return Path(path)


def _why_not(name: str, entry: dict, folder: Path, error: OSError) -> str:
    """Return a message that tells why a download failed, and what to do."""
    file = entry["file"]
    if isinstance(error, requests.RequestException):
        reason = f"could not be downloaded ({type(error).__name__}). With a network, try again"
        reason += ". Without one,"
    else:
        reason = f"could not be written to {folder} ({error.strerror or type(error).__name__}):"
    if folder == DATASETS:
        advice = f"put the file at {DATASETS / file} or in the folder that $LSTMLIB_DATA names"
    else:
        advice = (
            f"put {file} in a folder of yours, and set LSTMLIB_DATA to that folder, since "
            f"{DATASETS} is not writable"
        )
    text = not _is_archive(file, {})
    hint = "; or call load_corpus with fallback='python-docs'" if text else ""
    return f"{name!r} {reason} {advice}{hint}."


def _built_in(name: str, entry: dict) -> Corpus:
    """Return a corpus of the modules that this Python brings with it."""
    folder = Path(sysconfig.get_path("stdlib"))
    text = "".join(_source(folder / module, name) for module in entry["modules"])
    return Corpus(name, text, None, f"{len(entry['modules'])} modules in {folder}")


def _source(path: Path, name: str) -> str:
    """Return the text of a module of the standard library, "\n" line ends, one at its end."""
    try:
        with tokenize.open(path) as file:  # in the encoding that the module declares (PEP 263)
            return file.read().rstrip("\n") + "\n"
    except (OSError, SyntaxError) as error:
        raise CorpusUnavailable(
            f"This Python has no source of its standard library that can be read: {path} "
            f"({type(error).__name__}). {name!r} is made of it, so take another Python, such as "
            "one from python.org, or another corpus."
        ) from error
