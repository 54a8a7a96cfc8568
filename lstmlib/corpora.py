"""Where text comes from: a registry of corpora, readers for files, and checked downloads.

`load_corpus` takes a registered name or a path and hands back decoded text with "\\n" line ends,
without byte-order mark and without the header and footer that a digital library wraps around it.
`load_reviews` does the same for an archive of film reviews, and hands back one text a review.
Everything else that is wrong with a text is the business of `lstmlib.cleaning`.
"""

import codecs
import difflib
import gzip
import hashlib
import os
import re
import sys
import tarfile
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import pooch
from charset_normalizer import from_bytes

from lstmlib.markup import MarkupError, epub_text, markup_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DATASETS = Path(__file__).resolve().parents[1] / "datasets"

_BOMS = [
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is a prefix of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]
_DECLARED = re.compile(
    rb"(?:Character set encoding:\s*|charset\s*=\s*[\"']?|encoding\s*=\s*[\"'])([A-Za-z0-9._:-]+)"
)
_NOT_TEXT = {b"%PDF-": "PDF", b"{\\rtf": "RTF", b"PK\x03\x04": "zip or office", b"\x1f\x8b": "gzip"}
# A title may run over a line end, but not over a page.
_START = re.compile(
    r"^\*{3} ?START OF (?:THE|THIS) .{0,40}?EBOOK.{0,300}?\*{3}[ \t]*$", re.M | re.S | re.I
)
_END = re.compile(r"^\*{3} ?END OF (?:THE|THIS) .*?EBOOK.*$", re.M | re.I)
_CREDIT = re.compile(r"\A\s*(?:Produced|E-text prepared|Transcribed) by .*?\n\s*\n", re.S)
_LAST_LINE = re.compile(
    r"\n[ \t]*End of (?:the )?Project Gutenberg(?:'s|’s)? [^\n]*(?:\n[^\n]+)*\s*\Z"
)
_HEADING = re.compile(r"\n([*=\-~^\"])\1+\Z")
# No name begins with a dot: not "..", and not "._1_9.txt", which macOS packs beside "1_9.txt".
_REVIEW = re.compile(r"(?:\./)?[^/.][^/]*/(?:train|test)/(?:pos|neg)/[^/.][^/]*\.txt")
_BREAK = re.compile(r"[ \t]*<br ?/?>[ \t]*", re.I)
# The reviews hold control characters where dashes, ellipses and quotes were meant. They are read
# as HTML reads "&#150;": as Windows-1252, there an en dash. Five stand for nothing there, and go.
_WINDOWS = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}


class CorpusError(Exception):
    """A corpus could not be had; the message says what was wrong and what to do next."""


@dataclass(frozen=True)
class Corpus:
    """A decoded text and where it came from.

    Attributes:
        name: the registered name, or the file's name.
        text: the decoded text, "\\n" line ends, no byte-order mark.
        encoding: the encoding it was decoded from; None for text built in memory.
        source: the file it was read from, or a description.
        fell_back_from: the corpus that was asked for, when this one took its place; else None.
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
        fell_back_from: the reviews that were asked for, when these took their place; else None.
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
    """Load a corpus by its registered name, or a .txt, .html or .epub file by its path.

    A registered file is looked for in datasets/, then in $LSTMLIB_DATA, then downloaded into
    datasets/; its SHA-256 is checked wherever it comes from.

    Args:
        name_or_path: a name in `registry()`, or a path.
        fallback: a registered name to load instead, with a warning, when the corpus cannot be had
            from disk or network. It does not hide a file that is there but broken.
        keep_boilerplate: keep the header and footer of a digital library (they go by default).
        encoding: the encoding of a text or HTML file, if you know it; None finds out.

    Raises:
        CorpusError: no such corpus, no network, a wrong hash, or a file that holds no text.
    """
    names = registry()
    entry = names.get(str(name_or_path))
    for wanted in (str(name_or_path), str(fallback)):
        if _is_archive(wanted, names):
            raise CorpusError(
                f"{wanted!r} is an archive of many texts, not one text. If they are film reviews, "
                f"use load_reviews({wanted!r})."
            )
    if fallback is not None and fallback not in names:
        raise CorpusError(f"There is no corpus {fallback!r} to fall back on: {', '.join(names)}.")
    if entry and entry.get("builtin"):
        return Corpus(str(name_or_path), _python_docs(), None, "pydoc_data.topics")
    try:
        path = find_corpus(name_or_path)
    except CorpusUnavailable as error:
        if fallback is None:
            raise
        warnings.warn(f"Using {fallback!r} instead of {name_or_path!r}. {error}", stacklevel=2)
        got = load_corpus(fallback, keep_boilerplate=keep_boilerplate)
        return Corpus(got.name, got.text, got.encoding, got.source, str(name_or_path))
    text, encoding = read_text(path, encoding)
    if not keep_boilerplate:
        text = strip_boilerplate(text)
    if not text.strip():
        raise CorpusError(f"{path} holds no text. Is it the right file, and was it copied whole?")
    return Corpus(str(name_or_path) if entry else path.name, text, encoding, str(path))


def _is_archive(name_or_path: str, names: dict[str, dict]) -> bool:
    file = names.get(name_or_path, {"file": name_or_path}).get("file", "")
    return file.endswith(".tar.gz")


class CorpusUnavailable(CorpusError):
    """The corpus is neither on disk nor to be downloaded now."""


def load_reviews(name_or_path: str | Path, *, fallback: str | Path | None = None) -> Reviews:
    """Load film reviews by their registered name, or a tar.gz archive of them by its path.

    The archive is looked for and checked as in `load_corpus`, and read without being unpacked. In
    it, a review is a UTF-8 file */{train,test}/{pos,neg}/*.txt, the layout of the Large Movie
    Review Dataset (Maas et al. 2011, Learning Word Vectors for Sentiment Analysis); nothing else
    is read, its unlabelled texts neither. <br /> becomes a line end, and white space around it and
    around the review goes. U+0080 to U+009F are read as Windows-1252. Of reviews that are then the
    same the first is kept: one copy in the training part and one in a held-out part would be scored
    by memory. Empty ones go too.

    Args:
        name_or_path: a name in `registry()` whose file is a tar.gz, or a path.
        fallback: a name or a path to load instead, with a warning, when the reviews cannot be had
            from disk or network. It does not hide a file that is there but broken.

    Raises:
        CorpusError: no such reviews, no network, a wrong hash, a file that is no whole tar.gz, an
            archive without reviews, or a review that is not UTF-8. A `CorpusUnavailable` if
            neither the reviews nor the fallback are to be had.
    """
    names = registry()
    for wanted in (str(name_or_path), str(fallback)):
        if wanted in names and not _is_archive(wanted, names):
            archives = ", ".join(name for name in names if _is_archive(name, names))
            raise CorpusError(
                f"{wanted!r} is one text, not reviews; use load_corpus({wanted!r}). "
                f"Registered reviews: {archives}."
            )
    try:
        path = find_corpus(name_or_path)
    except CorpusUnavailable as error:
        if fallback is None:
            raise
        asked, instead = str(name_or_path), str(fallback)
        try:
            got = load_reviews(fallback)
        except CorpusUnavailable as second:
            raise CorpusUnavailable(
                f"Neither {asked!r} nor its fallback {instead!r} is to be had. {error} {second}"
            ) from second
        warnings.warn(f"Using {instead!r} instead of {asked!r}. {error}", stacklevel=2)
        return Reviews(got.name, got.texts, got.source, asked)
    name = str(name_or_path) if str(name_or_path) in names else path.name
    return Reviews(name, _reviews(path), str(path))


def _reviews(path: Path) -> tuple[str, ...]:
    """Read an archive's reviews, and sort them by path: archives differ in their own order."""
    found = {}
    try:
        with gzip.open(path) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for member in archive:
                    if member.isreg() and _REVIEW.fullmatch(member.name):
                        found[member.name] = archive.extractfile(member).read()
            while stream.read(2**20):  # to the checksum, which stands behind the archive's end
                pass
    except EOFError as error:
        raise CorpusError(f"{path} is cut off. Copy or download it again.") from error
    except (OSError, zlib.error, tarfile.TarError) as error:
        raise CorpusError(
            f"{path} is not a tar.gz archive that can be read ({type(error).__name__}: {error}). "
            "Is it the right file, and was it copied whole?"
        ) from error
    texts = [_review_text(found[name], f"{name} in {path}") for name in sorted(found)]
    if not any(texts):
        raise CorpusError(
            f"{path} holds no reviews. They are text files, and their paths in the archive are "
            "*/train/pos/*.txt, or test for train, or neg for pos. Pack it so, or take 'imdb'."
        )
    return tuple(dict.fromkeys(text for text in texts if text))


def _review_text(data: bytes, where: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{where} is not UTF-8 ({error}). Save it as UTF-8, and pack the archive again."
        ) from error
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_WINDOWS)
    return _BREAK.sub("\n", text).strip()


def find_corpus(name_or_path: str | Path) -> Path:
    """Return the path of a corpus file, downloading a registered one if it is on no disk.

    Raises:
        CorpusError: no such name or path, no network, or a wrong hash.
    """
    names = registry()
    entry = names.get(str(name_or_path))
    if entry is None:
        path = Path(name_or_path).expanduser()
        if path.is_file():
            return path
        near = difflib.get_close_matches(str(name_or_path), names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        what = "is a folder, not a file" if path.is_dir() else "is not there"
        raise CorpusUnavailable(
            f"{path.absolute()} {what}, and no corpus has the name {str(name_or_path)!r}.{hint} "
            f"Registered corpora: {', '.join(names)}."
        )
    if entry.get("builtin"):
        raise CorpusError(f"{name_or_path!r} is built in and has no file; use load_corpus.")
    local = DATASETS / entry["file"]
    if entry.get("bundled") or (local.is_file() and _sha256(local) == entry["sha256"]):
        return local
    shared = os.environ.get("LSTMLIB_DATA")
    if shared and (Path(shared) / entry["file"]).is_file():
        return _checked(Path(shared) / entry["file"], entry["sha256"])
    if "url" in entry:
        return _download(str(name_or_path), entry)
    if local.is_file():
        return _checked(local, entry["sha256"])  # broken: say so
    raise CorpusUnavailable(
        f"{name_or_path!r} is not on this machine, and is not to be downloaded. If you have "
        f"{entry['file']}, put it in {DATASETS} or in the folder that $LSTMLIB_DATA names. "
        f"If not, take {entry['instead']!r}."
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _checked(path: Path, expected: str) -> Path:
    found = _sha256(path)
    if found != expected:
        raise CorpusError(
            f"{path} is not the file this course was tested with: its SHA-256 is {found[:12]}…, "
            f"expected {expected[:12]}…. Remove it, or load it by its path to use it as it is."
        )
    return path


def _download(name: str, entry: dict) -> Path:
    """Download into datasets/ with pooch: to a temporary file that is moved when whole."""
    try:
        return Path(
            pooch.retrieve(
                entry["url"],
                known_hash=f"sha256:{entry['sha256']}",
                fname=entry["file"],
                path=DATASETS,
                downloader=pooch.HTTPDownloader(timeout=30),
            )
        )
    except ValueError as error:  # pooch: the hash of what came does not match
        raise CorpusError(
            f"What {entry['url']} sent for {name!r} has the wrong SHA-256, and was thrown away. "
            "Try again; if it stays wrong, the file has changed at its source."
        ) from error
    except OSError as error:  # every network error of requests is one
        if (DATASETS / entry["file"]).is_file():
            _checked(DATASETS / entry["file"], entry["sha256"])  # broken: say so, hide nothing
        text = not _is_archive(entry["file"], {})
        hint = ", or call load_corpus with fallback='python-docs'" if text else ""
        raise CorpusUnavailable(
            f"{name!r} could not be downloaded ({type(error).__name__}). With a network, try "
            f"again. Without one, put the file at {DATASETS / entry['file']} or in the folder "
            f"that $LSTMLIB_DATA names{hint}."
        ) from error


def read_text(path: str | Path, encoding: str | None = None) -> tuple[str, str]:
    """Read a .txt, .html or .epub file: (text, the encoding it was decoded from).

    Line ends become "\\n" and a byte-order mark goes. Markup becomes paragraphs set apart by a
    blank line. Any other suffix is read as plain text. Without an encoding, a byte-order mark
    decides, else the bytes if they are UTF-8, else what the file declares; if none of them does,
    the encoding is guessed, with a warning.

    Raises:
        CorpusError: the file is missing, empty, binary, in no known encoding, or no EPUB.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}.") from error
    if not data:
        raise CorpusError(f"{path} is empty. Was it copied or downloaded whole?")
    suffix = path.suffix.lower()
    if suffix == ".epub":
        try:
            return epub_text(path)
        except MarkupError as error:
            raise CorpusError(f"{path}: {error}") from error
    if encoding is not None:
        text, encoding = _decode_as(data, encoding, path)
    else:
        text, encoding = _decode(data, path)
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if suffix in (".html", ".htm", ".xhtml"):
        text = markup_text(text)
    return text, encoding


def _decode(data: bytes, path: Path) -> tuple[str, str]:
    """Decode by byte-order mark, else UTF-8, else the declared encoding, else a guessed one."""
    for magic, kind in _NOT_TEXT.items():
        if data.startswith(magic):
            raise CorpusError(f"{path} is a {kind} file. Save its text as .txt first.")
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return _decode_as(data, encoding, path)
    if b"\0" in data:
        raise CorpusError(
            f"{path} is a binary file (it holds NUL bytes), or UTF-16 without its mark. "
            "Give a .txt, .html or .epub file, or save the text as UTF-8."
        )
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    declared = _DECLARED.search(data[:4096])
    if declared:
        return _decode_as(data, declared.group(1).decode("ascii"), path)
    return _decode_as(data, _guess(data, path), path)


def _guess(data: bytes, path: Path) -> str:
    """Guess an encoding, and warn; of several that fit, take Windows-1252, the commonest."""
    matches = from_bytes(data)
    best = matches.best()
    if best is None:
        raise CorpusError(
            f"{path} is in no encoding that could be recognised. If it is text and you know its "
            "encoding, give encoding=…; if it is no text, use another file."
        )
    close = [m for m in matches if m.chaos <= best.chaos and m.coherence > best.coherence - 0.1]
    names = {name for m in close for name in (m.encoding, *m.could_be_from_charset)}
    encoding = "cp1252" if "cp1252" in names else best.encoding
    warnings.warn(
        f"{path} does not say its encoding; it is read as {encoding}, a guess. "
        "If letters look wrong, give encoding=….",
        stacklevel=5,
    )
    return encoding


def _decode_as(data: bytes, encoding: str, path: Path) -> tuple[str, str]:
    try:
        return data.decode(encoding), encoding
    except LookupError as error:
        raise CorpusError(
            f"{path}: Python does not know the encoding {encoding!r}. Give the right name as "
            "encoding=…, or save the file as UTF-8."
        ) from error
    except UnicodeError as error:
        raise CorpusError(
            f"{path} does not decode as {encoding}: {error}. "
            "Was it cut off? If it is in another encoding, give encoding=…."
        ) from error


def strip_boilerplate(text: str) -> str:
    """Drop what a digital library puts before and after a book, if its markers are there.

    The markers are lines such as "*** START OF THIS PROJECT GUTENBERG EBOOK … ***"; with them go
    the credit paragraph ("Produced by …") behind the first and the closing line before the last.
    """
    start, end = _START.search(text), _END.search(text)
    last = end.start() if end else len(text)
    first = start.end() if start and start.end() <= last else 0
    if not first and not end:
        return text
    body = _LAST_LINE.sub("", _CREDIT.sub("", text[first:last]))
    return body.strip("\n") + "\n"


def _python_docs() -> str:
    """Return CPython's help topics as one text, without passages that repeat earlier ones.

    The topics quote one another. A repeated paragraph that fell into the training and the
    validation part would be scored as if it had been learned, so only the first one stays. A topic
    of which nothing but headings is left goes too.
    """
    from pydoc_data.topics import topics

    seen, kept = set(), []
    for name in sorted(topics):
        new = []
        for paragraph in re.split(r"\n\s*\n", topics[name]):
            key = " ".join(paragraph.split())
            if key and key not in seen:
                seen.add(key)
                new.append(paragraph.strip("\n").rstrip())
        if not all(_HEADING.search(paragraph) for paragraph in new):
            kept += new
    return "\n\n".join(kept) + "\n"
