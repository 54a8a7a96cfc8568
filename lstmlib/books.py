"""A reader's own text: one file, a name, or a whole folder of files, as one book.

`load_book` reads everything that `lstmlib.corpora` reads, and a folder besides. What was passed
over, and why, is part of what it returns: no file is lost in silence. A text that is too large for
a course's network is taken as a sample, and the book says so.
"""

import hashlib
import os
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from lstmlib import corpora
from lstmlib.decoding import CorpusError
from lstmlib.readers import as_text, read_book
from lstmlib.validation import check_whole

MOST = 4_000_000
"""The most characters of a book that are used. Training for minutes does not read more of it."""
PIECES = 8
"""How many pieces, spread over the whole text, a sample has."""
SHOWN = 20
"""The most remarks that are printed; `remarks` has all."""
MOST_FILES = 5_000
LONGEST = 400_000_000
"""The most bytes that all files of a folder may have together."""
_SCAN = (
    " If it is a scan, its pages are pictures of letters. Take an edition with text, or let a "
    "program for text recognition (OCR) read it first."
)
_NO_TEXT = re.compile(r"holds no text|is a PDF|is a DjVu")


@dataclass(frozen=True)
class Part:
    """A file of a book: its name, its characters, and the encoding that it was decoded from."""

    name: str
    characters: int
    encoding: str | None


@dataclass(frozen=True)
class Book:
    """A text to train on, and where it came from.

    Attributes:
        name: the registered name, or the name of the file or folder.
        text: the decoded text, "\\n" line ends; a sample of it where it is too large.
        parts: the files that it was read from, in order.
        source: the path, or a description.
        remarks: sentences on what reading it met: files that were passed over, broken places, a
            sample that was taken.
        whole: characters of the whole text, before a sample was taken.
        facts: of the remarks, what whoever gets a model has to know of its text. No file is named.
    """

    name: str
    text: str = field(repr=False)
    parts: tuple[Part, ...]
    source: str
    remarks: tuple[str, ...]
    whole: int
    facts: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """The SHA-256 of the text in UTF-8, 64 hexadecimal digits."""
        return sha256(self.text)

    def __str__(self) -> str:
        many = f"{len(self.parts)} files" if len(self.parts) > 1 else self.source
        encodings = ", ".join(dict.fromkeys(part.encoding or "memory" for part in self.parts))
        lines = [f"{self.name}: {len(self.text):,} characters, from {many} ({encodings})"]
        lines += [f"- {remark}" for remark in self.remarks[:SHOWN]]
        more = len(self.remarks) - SHOWN
        return "\n".join([*lines, *[f"- and {more:,} more remarks, see book.remarks"] * (more > 0)])


def sha256(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def load_book(name_or_path: str | Path, *, encoding: str | None = None, most: int = MOST) -> Book:
    """Read a text to train on: a registered corpus, a file, or all files of a folder.

    A file is read as `load_corpus` does: text, HTML, EPUB, FictionBook, gzip. The files of a folder
    and of the folders in it are read in the order of their names, with numbers in them taken as
    numbers, so that chapter 2 stands before chapter 10. Two blank lines stand between them. A file
    that cannot be read is passed over, and `remarks` names it and says why. Of equal texts only the
    first is kept.

    Args:
        name_or_path: a name in `registry()`, or the path of a file or a folder.
        encoding: the encoding of text files, if you know it. None finds it out.
        most: characters above which a sample is taken: `PIECES` pieces of equal length, evenly
            spread, each from the beginning of a line. The end of the text is in it.

    Raises:
        CorpusError: there is nothing to read, or nothing that can be read; the message says what to
            do.
        ValueError: most is not a whole number, 1,000 or more.
    """
    check_whole("most", most, at_least=1000)
    asked = as_text(name_or_path)
    folder = Path(asked).expanduser()
    is_folder = asked not in corpora.registry() and asked.strip() and os.path.isdir(folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        book = _of_folder(folder, encoding) if is_folder else _of_file(asked, encoding)
    said = [str(each.message) for each in caught if issubclass(each.category, UserWarning)]
    remarks = tuple(_without_folder(remark, book) for remark in (*said, *book.remarks))
    text, facts = book.text, _facts(len(said), len(book.remarks))
    if len(text) > most:
        text = take_sample(text, most)
        sample = (
            f"The text has {book.whole:,} characters. A sample of {len(text):,} is used: "
            f"{PIECES} pieces, evenly spread."
        )
        remarks, facts = (*remarks, sample), (*facts, sample)
    return Book(book.name, text, book.parts, book.source, remarks, book.whole, facts)


def _facts(doubts: int, passed_over: int) -> tuple[str, ...]:
    """Return what a card says of the reading."""
    said = []
    if doubts:
        said.append(
            "There was a doubt in reading it, such as a broken place or a guessed encoding."
            if doubts == 1
            else f"There were {doubts:,} doubts in reading it, such as broken places or guessed "
            "encodings."
        )
    if passed_over:
        said.append(
            "Not all that lay in its folder is part of it: some was hidden, could not be read, or "
            "was there twice."
        )
    return tuple(said)


def _without_folder(remark: str, book: Book) -> str:
    """Return a remark that names files alone: what a notebook shows may be handed on."""
    path = Path(book.source)
    folder = path if path.is_dir() else path.parent
    for where in (folder.absolute(), folder):
        remark = remark.replace(f"{where}{os.sep}", "")
    return remark


def take_sample(text: str, most: int, pieces: int = PIECES) -> str:
    """Return pieces of a text, evenly spread, of `most` characters together at most.

    A piece begins and ends at the end of a line, where there is one in its first or last tenth. The
    first one begins where the text does, and the last one ends there. A text of no more than `most`
    characters is returned as it is. (`lstmlib.thermometer.spread` says why it has pieces of its
    own.)
    """
    if len(text) <= most:
        return text
    length = most // pieces
    taken = []
    for k in range(pieces):
        begin = (len(text) - length) * k // (pieces - 1)
        end = begin + length
        if k:
            begin = text.find("\n", begin, begin + length // 10) + 1 or begin
        if k < pieces - 1:
            end = text.rfind("\n", end - length // 10, end) + 1 or end
        taken.append(text[begin:end])
    return "".join(taken)


def _of_file(asked: str, encoding: str | None) -> Book:
    try:
        corpus = corpora.load_corpus(asked, encoding=encoding)
    except CorpusError as error:
        raise _with_what_to_do(error) from error
    part = Part(corpus.name, len(corpus.text), corpus.encoding)
    return Book(corpus.name, corpus.text, (part,), corpus.source, (), len(corpus.text))


def _with_what_to_do(error: CorpusError) -> CorpusError:
    """Return the error of a file without text, with a word on scans."""
    return type(error)(f"{error}{_SCAN}") if _NO_TEXT.search(str(error)) else error


def _of_folder(folder: Path, encoding: str | None) -> Book:
    """Read all files of a folder."""
    paths, remarks = _files(folder)
    texts: dict[str, Part] = {}
    unread = []
    for path in paths:
        name = path.relative_to(folder).as_posix()
        try:
            text, found = read_book(path, encoding=encoding)
        except CorpusError as error:
            unread.append(f"{_with_what_to_do(error)}")
            remarks.append(f"Passed over: {unread[-1]}")
            continue
        if text in texts:
            remarks.append(f"Passed over: {name} has the same text as {texts[text].name}.")
            continue
        texts[text] = Part(name, len(text), found)
    if not texts:
        raise CorpusError(f"{folder} holds no text that can be read. {_why_nothing(unread)}")
    text = "\n\n".join(text.strip("\n") + "\n" for text in texts)
    parts = tuple(texts.values())
    return Book(folder.resolve().name, text, parts, str(folder), tuple(remarks), len(text))


def _why_nothing(unread: list[str]) -> str:
    """Return what is wrong with a folder without a text, and what to do, once for all its files."""
    if not unread:
        return "It holds no files. Put text, HTML or EPUB files into it, or give another folder."
    more = len(unread) - 1
    others = f" So it is, or alike, with {more:,} more file{'s' if more > 1 else ''}."
    return f"{unread[0]}{others * (more > 0)}"


def _files(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the files of a folder in order, and sentences on what is passed over."""
    paths, hidden, closed = [], 0, []
    for where, folders, names in os.walk(folder, onerror=closed.append):
        hidden += sum(name.startswith(".") for name in (*folders, *names))
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        paths += [Path(where, name) for name in names if not name.startswith(".")]
    if len(paths) > MOST_FILES:
        raise CorpusError(
            f"{folder} holds {len(paths):,} files, more than {MOST_FILES:,}. Give a folder that "
            "holds the texts alone."
        )
    size = sum(path.stat().st_size for path in paths if path.is_file())
    if size > LONGEST:
        raise CorpusError(
            f"{folder} holds {size:,} bytes, more than {LONGEST:,}. Give a folder with fewer texts."
        )
    remarks = [f"Passed over: {error.filename} ({error.strerror})." for error in closed]
    if hidden:
        remarks.append(f"Passed over: {hidden} hidden files or folders (their names begin with .).")
    return sorted(paths, key=lambda path: _in_order(path.relative_to(folder))), remarks


def _in_order(path: Path) -> list[tuple[int, int, str]]:
    """Return a key by which chapter 2 comes before chapter 10."""
    pieces = re.split(r"(\d+)", path.as_posix().casefold())
    return [(0, int(p), "") if p.isdecimal() and p.isascii() else (1, 0, p) for p in pieces if p]
