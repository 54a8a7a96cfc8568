"""From a file to its text: chooses the reader that a file needs, and refuses files of other kinds.

For a plain UTF-8 file the module needs Python's own library alone, like `lstmlib.decoding`.
"""

import errno
import gzip
import io
import os
import re
import stat
import zipfile
import zlib
from pathlib import Path

from lstmlib.boilerplate import strip_boilerplate
from lstmlib.decoding import CorpusError, CorpusUnavailable, decode, decode_as, warn

_HTML, _FICTION_BOOK, _WEB_ARCHIVE = "HTML", "FictionBook", "web archive (MHTML)"
_KINDS = {
    **dict.fromkeys((".html", ".htm", ".xhtml", ".xht"), _HTML),
    ".fb2": _FICTION_BOOK,
    **dict.fromkeys((".mht", ".mhtml"), _WEB_ARCHIVE),
}
FREELY_UNPACKED = 64 * 2**20
"""Bytes that an archive may unpack to, however small it is."""
LARGEST_RATIO = 100
"""The most unpacked bytes for a packed byte, beyond FREELY_UNPACKED. A text has about five."""

_ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]+:/|\s*www\.", re.I)
_DRIVE = re.compile(r"[A-Za-z]:[\\/\a-\r]|\\\\")
_QUOTED = re.compile(r"\s*([\"'`“”‘’«])(.+)[\"'`“”‘’»]\s*", re.S)
_GZIP, _ZIP = b"\x1f\x8b", (b"PK\x03\x04", b"PK\x05\x06")  # a zip archive; an empty one
_NOT_TEXT = {
    _GZIP: "packed twice, a gzip",
    _ZIP[0]: "packed twice, a zip or office",
    b"%PDF-": "a PDF",
    b"{\\rtf": "a RTF",
    b"\xd0\xcf\x11\xe0": "an old Office",
    b"7z\xbc\xaf": "a 7-Zip",
    b"Rar!\x1a": "a RAR",
    b"\xfd7zXZ": "an xz",
    b"BZh91AY&SY": "a bzip2",
    b"AT&TFORM": "a DjVu",
}
_KINDLE = re.compile(rb".{60}(?:BOOKMOBI|TEXtREAd|TPZ)", re.S)
_TAR = slice(257, 262)
# A text may declare its encoding in three places: on a line of its own in a library's header, in an
# XML declaration, or in a <meta>. Elsewhere the same words are part of the text.
_DECLARED = re.compile(rb"^Character set encoding:[ \t]*([^\r\n]*[^\s])", re.M)
_DECLARED_IN_MARKUP = re.compile(
    rb"\A\s*<\?xml\b[^>]*?\bencoding\s*=\s*[\"']([^\"'>]+)|"
    rb"<meta\b[^>]*?\bcharset\s*=\s*[\"']?\s*([^\"'\s/>;]+)",
    re.I,
)
_COMMENT = re.compile(rb"<!--.*?-->", re.S)
# A text that begins otherwise is no markup. So lxml is imported only for texts that may be.
_MAY_BE_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<[!?A-Za-z]")
_MAY_BE_WEB_ARCHIVE = re.compile(rb"^MIME-Version:", re.M | re.I)
_HEAD = 8192


def read_book(
    path: str | Path, *, encoding: str | None = None, keep_boilerplate: bool = False
) -> tuple[str, str]:
    """Read a file as `read_text` does, and cut a digital library's header and footer.

    Args:
        path: the file.
        encoding: the encoding of the text, if the caller knows it.
        keep_boilerplate: whether the header and the footer stay.

    Returns:
        (text, the encoding it was decoded from).

    Raises:
        CorpusError: as for `read_text`, or no text is left.
    """
    text, encoding = read_text(path, encoding)
    if not keep_boilerplate:
        text = strip_boilerplate(text)
    if not text.strip():
        raise CorpusError(f"{path} holds no text. Is it the right file, and was it copied whole?")
    return text, encoding


def read_text(path: str | Path, encoding: str | None = None) -> tuple[str, str]:
    """Read a file of text, markup or an EPUB; return (text, the encoding it was decoded from).

    Line ends become "\\n", and a byte-order mark is left out. U+0085, U+2028 and U+2029 stay;
    `clean` makes line ends of them. Markup (.html, .htm, .xhtml, .xht, .fb2, .mht, .mhtml, .epub)
    becomes paragraphs with a blank line between them. A file with any other suffix is read as plain
    text. If it holds markup, it is read as markup, with a warning. A file that is packed by gzip,
    or is the only one in a zip archive, is read too.

    Raises:
        CorpusError: as for `find_file`; or the file cannot be read, is empty, is of a kind that is
            no text, is in no known encoding, or unpacks to more than a text would.
    """
    path = find_file(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError(
            f"{path} cannot be read: {error.strerror}. If it is not yours, ask its owner to let "
            "you, or take a copy."
        ) from error
    if not data:
        raise CorpusError(f"{path} is empty. Was it copied or downloaded whole?")
    try:
        text, encoding = _read(data, path, encoding)
    except ImportError as error:
        raise CorpusError(
            f"{path} is not plain UTF-8, and what reads other files is missing on this machine "
            f"({error}). Save it as UTF-8 text where the course is installed."
        ) from error
    return text.removeprefix("\ufeff"), encoding


def as_text(name_or_path: str | Path) -> str:
    """Return a corpus's name or a path as a string.

    Raises:
        CorpusError: the argument is neither a string nor a path.
    """
    if isinstance(name_or_path, (str, os.PathLike)):
        name_or_path = os.fspath(name_or_path)
    if not isinstance(name_or_path, str):
        raise CorpusError(
            "A corpus is asked for by its name or by a path, such as 'python-docs' or "
            f"'my-novel.txt'; this is of type {type(name_or_path).__name__}."
        )
    return name_or_path


def find_file(path: str | Path) -> Path:
    """Return the path of an existing file; ~ stands for the home folder.

    Raises:
        CorpusUnavailable: the file does not exist.
        CorpusError: the path leads to no file or to one that cannot be looked at, or the argument
            is no path, but a web address, for example.
    """
    asked = as_text(path)
    if not asked.strip():
        raise CorpusError("The name is empty. Give a corpus's name, or the path of a text file.")
    try:
        path = Path(asked).expanduser()
        kind = path.stat().st_mode
    except PermissionError as error:
        raise CorpusError(
            f"{_shown(asked)} cannot be looked at: {error.strerror}. A folder on the way to it is "
            "closed to you; ask its owner, or copy the file into a folder of yours."
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        mistake = _mistake(asked, error)
        if mistake:
            raise CorpusError(mistake) from error
        raise CorpusUnavailable(f"{_shown(str(path.absolute()))} is not there.") from None
    if not stat.S_ISREG(kind):
        what = "is a folder, not a file" if stat.S_ISDIR(kind) else "is no file on disk"
        raise CorpusError(f"{path.absolute()} {what}. Give the path of one text file.")
    return path


def _mistake(asked: str, error: Exception) -> str | None:
    """Return a message that tells why a string is no path; None if it may be the path of a file."""
    for what, meant in (
        ("white space around it", asked.strip()),
        ("\\ where this system writes /", asked.replace("\\", "/")),
    ):
        if meant != asked and os.path.isfile(os.path.expanduser(meant)):
            return f"{_shown(asked)} has {what}: {meant!r} is there."
    if _ADDRESS.match(asked):
        if "file:" in asked[:10].lower():
            return f"{_shown(asked)} is an address. Give the path alone, without file://."
        return (
            f"{_shown(asked)} is an address on the web, and only files are read. Download it, in a "
            "browser or with curl -O, and give the file's path."
        )
    if _DRIVE.match(asked) and os.name != "nt":
        return (
            f"{_shown(asked)} is a path of Windows, and this is another system. Give the file's "
            "path on this one; in WSL, C:\\ is /mnt/c/."
        )
    if _QUOTED.fullmatch(asked):
        return f"{_shown(asked)} has quotation marks around it: give the path without them."
    too_long = getattr(error, "errno", None) == errno.ENAMETOOLONG
    sentence = len(asked.split()) > 8 and not re.search(r"\.\w{1,6}$", asked)
    if "\n" in asked or too_long or sentence:
        return (
            f"{_shown(asked)} is a text, not the path of one. A text that you have already needs "
            "no load_corpus: clean(text) takes it. To read it from a file, give the file's path."
        )
    if re.search(r"[\0-\x1f\x7f]", asked):
        return (
            f"{_shown(asked)} holds a control character, as no path does. Is it a path of Windows "
            "in a text of Python? Write r'C:\\…' with the r, or / for \\."
        )
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return None
    reason = "no such user is known here" if isinstance(error, RuntimeError) else error
    return f"{_shown(asked)} is no path that can be followed: {reason}."


def _shown(asked: str) -> str:
    """Return a name or a path in quotes, cut if it is long."""
    return repr(asked if len(asked) <= 200 else asked[:60] + "…")


def _read(data: bytes, path: Path, encoding: str | None) -> tuple[str, str]:
    """Read a file's bytes: the bytes show their kind, and else the suffix does."""
    name, suffix = str(path), path.suffix.lower()
    if suffix == ".epub" or _is_epub(data):
        if suffix != ".epub":
            warn(f"{path} is an EPUB, and is read as one. Its name should end in .epub.")
        return _read_epub(path)
    if data.startswith((_GZIP, *_ZIP)):
        unpack = _unpack_gzip if data.startswith(_GZIP) else _unpack_zip
        data, name = unpack(data, path)
        suffix, name = Path(name).suffix.lower(), f"{name} in {path}"
    _refuse_what_is_no_text(data, name)
    kind = _KINDS.get(suffix)
    if kind is None and _is_web_archive(data):
        kind = _WEB_ARCHIVE
        _warn_of_markup(kind, name)
    if kind == _WEB_ARCHIVE:
        return _read_web_archive(data, name)
    declared = _declared(data, kind is not None)
    if encoding is None:
        text, encoding = decode(data, name, declared)
    else:
        text, encoding = decode_as(data, encoding, name)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if kind is None and _MAY_BE_MARKUP.match(data):
        kind = _named_markup(text, name)
    return (_read_markup(text, kind, name) if kind else text), encoding


def _is_epub(data: bytes) -> bool:
    if not data.startswith(_ZIP):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return "META-INF/container.xml" in archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError):
        return b"mimetypeapplication/epub+zip" in data[:100]  # the beginning of one that is cut off


def _read_epub(path: Path) -> tuple[str, str]:
    from lstmlib.epub import epub_text
    from lstmlib.markup import MarkupError

    try:
        return epub_text(path)
    except MarkupError as error:
        raise CorpusError(f"{path}: {error}") from error


def _is_web_archive(data: bytes) -> bool:
    if not _MAY_BE_WEB_ARCHIVE.search(data[:_HEAD]):
        return False
    from lstmlib.markup import looks_like_markup

    return looks_like_markup(data[:_HEAD].decode("latin-1")) == _WEB_ARCHIVE


def _read_web_archive(data: bytes, name: str) -> tuple[str, str]:
    from lstmlib.markup import MarkupError, web_archive_text

    try:
        return web_archive_text(data)
    except MarkupError as error:
        raise CorpusError(f"{name}: {error}") from error


def _named_markup(text: str, name: str) -> str | None:
    """Return the kind of markup of a text whose suffix shows none, with a warning.

    Plain text gives None.
    """
    from lstmlib.markup import looks_like_markup

    kind = looks_like_markup(text)
    if kind == "XML":
        raise CorpusError(
            f"{name} is XML, of a kind that is not read here. Save it as HTML, EPUB or plain text."
        )
    if kind:
        _warn_of_markup(kind, name)
    return kind


def _warn_of_markup(kind: str, name: str) -> None:
    warn(f"{name} holds {kind}, and is read as such: its tags are no part of the text.")


def _read_markup(text: str, kind: str, name: str) -> str:
    from lstmlib.markup import MarkupError, fiction_book_text, markup_text

    try:
        return fiction_book_text(text) if kind == _FICTION_BOOK else markup_text(text)
    except MarkupError as error:
        raise CorpusError(f"{name}: {error}") from error


def _declared(data: bytes, is_markup: bool) -> str | None:
    """Return the encoding that a text declares, or None."""
    head = data[:_HEAD]
    if is_markup or _MAY_BE_MARKUP.match(head):
        declaration = _DECLARED_IN_MARKUP.search(_COMMENT.sub(b"", head))
    else:
        declaration = _DECLARED.search(head)
    return (
        next(filter(None, declaration.groups())).decode("latin-1").strip() if declaration else None
    )


def _refuse_what_is_no_text(data: bytes, name: str) -> None:
    for magic, kind in _NOT_TEXT.items():
        if data.startswith(magic):
            raise CorpusError(f"{name} is {kind} file. Save its text as .txt first.")
    if _KINDLE.match(data):
        raise CorpusError(f"{name} is a Kindle file. Save the book as EPUB or as text first.")
    if data[_TAR] == b"ustar":
        raise CorpusError(
            f"{name} is a tar archive. Unpack it, and give one file's path; for film reviews, "
            "pack it as .tar.gz, and use load_reviews."
        )


def most_unpacked(packed: int) -> int:
    """Return the most bytes that an archive of `packed` bytes may unpack to.

    A text needs far fewer. A file made to do harm may ask for more than the machine has.
    """
    return max(FREELY_UNPACKED, LARGEST_RATIO * packed)


def _unpack_gzip(data: bytes, path: Path) -> tuple[bytes, str]:
    """Return the bytes of the file in a gzip file, and its name."""
    most = most_unpacked(len(data))
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            text = stream.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(
            f"{path} is a gzip file that cannot be unpacked ({error}). Copy or download it again."
        ) from error
    if text[_TAR] == b"ustar":
        raise CorpusError(
            f"{path} is a gzip file of a tar archive, many texts and not one. If they are film "
            "reviews, name it .tar.gz, and use load_reviews; else unpack it, and give one's path."
        )
    return _of_bounded_size(text, most, path), path.stem


def _unpack_zip(data: bytes, path: Path) -> tuple[bytes, str]:
    """Return the bytes of the only file in a zip archive, and its name."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [n for n in archive.namelist() if not re.search(r"/$|^__MACOSX/", n)]
            if "[Content_Types].xml" in names or "content.xml" in names:
                raise CorpusError(f"{path} is an Office file. Save its text as .txt first.")
            if len(names) != 1:
                raise CorpusError(
                    f"{path} is a zip archive of {len(names):,} files, not one text. Unpack it, "
                    "and give one file's path."
                )
            most = most_unpacked(len(data))
            with archive.open(names[0]) as stream:
                return _of_bounded_size(stream.read(most + 1), most, path), names[0]
    except (OSError, EOFError, zlib.error, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        # RuntimeError: a password is needed. NotImplementedError, its subclass: an odd compression.
        raise CorpusError(
            f"{path} is a zip or office file that cannot be unpacked ({error}). Save its text as "
            ".txt first."
        ) from error


def _of_bounded_size(data: bytes, most: int, path: Path) -> bytes:
    if len(data) > most:
        raise CorpusError(
            f"{path} unpacks to more than {most:,} bytes, {LARGEST_RATIO} times its size: more "
            "than a text would. Is it the right file? If so, unpack it first."
        )
    return data
