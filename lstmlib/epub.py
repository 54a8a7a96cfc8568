"""EPUB files -> the text that a reader of them sees.

Container, package and spine are read directly. Sizes are bounded: a small file can unpack to a huge
one.
"""

import contextlib
import posixpath
import re
import unicodedata
import urllib.parse
import zipfile
from pathlib import Path

from lxml import etree

from lstmlib.decoding import CorpusError, warn
from lstmlib.markup import (
    HARDENED,
    MarkupError,
    decode_markup,
    plain_xml,
    root_name,
    xhtml_text,
)

# The limits of an EPUB, sizes in bytes, unpacked: far more than any book has, and little enough for
# any machine.
_MOST_MEMBERS = 100_000
_LONGEST_SPINE = 20_000
_LARGEST_DOCUMENT = 64 * 2**20
_LARGEST_PACKAGE = 8 * 2**20
_LARGEST_BOOK = 256 * 2**20
# Prose is packed to a third of its size, and a line that is repeated to a three-hundredth.
_LARGEST_RATIO, _RATIO_COUNTS_FROM = 200, 32 * 2**20

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a]")
_SAVE_AGAIN = "Save the book again as EPUB, or as plain text."
_PACKAGE_TYPE = "application/oebps-package+xml"
_CONTENTS_PAGE = 300
"""The most characters outside <nav> of a document that is a contents page alone."""


def epub_text(path: str | Path) -> tuple[str, str]:
    """Read an EPUB: the text of its documents in reading order.

    The package's spine lists the documents. Its table of contents, style sheets, pictures and fonts
    may be missing. Documents become paragraphs as in `markup_text`. The contents page is left out,
    since it repeats the headings. One warning names every document that is left out, and why.

    Returns:
        (text, encodings): "utf-8", or several names with commas between them.

    Raises:
        MarkupError: the file is no EPUB, is damaged or copy-protected, holds no text, or is larger
            than any book.
    """
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # zipfile does not catch errors of struct, codecs and others
        raise MarkupError(_no_epub(f"{type(error).__name__}: {error}")) from error
    with archive:
        try:
            book = _Book(_Members(archive))
        except (CorpusError, etree.LxmlError, UnicodeError) as error:  # in the package
            raise MarkupError(_no_epub(f"{type(error).__name__}: {error}")) from error
    left = f"left out of the text: {'; '.join(book.left_out)}" if book.left_out else ""
    remarks = "; ".join(filter(None, [left, *book.remarks]))
    if not book.parts:
        shortened = remarks[:500] + "…" * (len(remarks) > 500)
        raise MarkupError(f"This EPUB holds no text ({shortened or 'pictures only'}).")
    if remarks:
        warn(f"{path}: {remarks}.")
    return "\n\n".join(book.parts) + "\n", ", ".join(book.encodings)


def _no_epub(reason: str) -> str:
    return (
        f"This is not an EPUB that can be read ({reason}). An EPUB is a zip archive with "
        f"META-INF/container.xml and a package file. {_SAVE_AGAIN}"
    )


class _Members:
    """The members of an archive, by name and within limits."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) > _MOST_MEMBERS:
            raise MarkupError(f"It holds {len(members):,} files, more than any book does.")
        self.path, self._archive = archive.filename, archive
        self._size = self._packed = 0  # bytes read so far, and what they were packed in
        self._exact = {name: m for m in members for name in _spellings(m)}
        self._folded = {_folded(name): m for name, m in self._exact.items()}

    def find(self, folder: str, href: str) -> zipfile.ZipInfo | None:
        """Return the member that a reference in a folder leads to, or None.

        Makers of EPUBs escape names or not, and write \\ for /; all spellings are tried.
        """
        href = href.strip().replace("\\", "/")
        plain = href.partition("#")[0]
        for name in (urllib.parse.unquote(plain), href):
            # A path that leads out of the archive begins at its root, as in a browser.
            path = posixpath.normpath(posixpath.join(folder, name)).lstrip("/")
            path = re.sub(r"^(\.\./)+", "", path)
            member = self._exact.get(path) or self._folded.get(_folded(path))
            if member:
                return member
        return None

    def packages(self) -> list[str]:
        """The names of all package files."""
        return [name for name in self._exact if name.lower().endswith(".opf")]

    def beginning(self, member: zipfile.ZipInfo) -> str:
        """Return the ASCII characters at the beginning of a member."""
        return self._read(member, 4096).replace(b"\0", b"").decode("ascii", "ignore")

    def read(self, member: zipfile.ZipInfo, most: int) -> bytes:
        """Return all bytes of a member.

        Raises:
            MarkupError: the member has more than `most` bytes, or the archive is larger than any
                book.
        """
        size = member.file_size
        self._size += size
        self._packed += member.compress_size
        if size > most or self._size > _LARGEST_BOOK:
            raise MarkupError(
                f"Unpacked, it is larger than any book: {member.filename} has {size:,} bytes "
                f"({most:,} may be in such a file, {_LARGEST_BOOK:,} in all)."
            )
        if self._size > max(_RATIO_COUNTS_FROM, _LARGEST_RATIO * self._packed):
            raise MarkupError(
                f"It unpacks to more than {_LARGEST_RATIO} times its size, as no book does "
                f"({member.filename} has {size:,} bytes). Such a file is made to do harm."
            )
        return self._read(member, size)

    def _read(self, member: zipfile.ZipInfo, size: int) -> bytes:
        if member.flag_bits & 0x41:
            raise MarkupError(_protected(f"{member.filename} is encrypted"))
        try:
            with self._archive.open(member) as stream:
                return stream.read(size)
        except Exception as error:  # of zlib, lzma, zipfile and others
            raise MarkupError(
                _no_epub(f"{member.filename} is damaged, {type(error).__name__}: {error}")
            ) from error


def _spellings(member: zipfile.ZipInfo) -> list[str]:
    """Return the names of a member: as stated, and read as UTF-8 if it is not marked as that."""
    names = [member.filename.replace("\\", "/")]
    if not member.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            names.append(names[0].encode("cp437").decode("utf-8"))
    return names


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _protected(reason: str) -> str:
    return (
        f"This EPUB is copy-protected ({reason}), so its text cannot be read. Take an edition "
        "without copy protection."
    )


class _Book:
    """The text of an EPUB's documents, and the names of those that were left out."""

    def __init__(self, members: _Members) -> None:
        self.parts: list[str] = []
        self.encodings: dict[str, None] = {}  # in the order of their first use
        self.left_out: list[str] = []
        self.remarks: list[str] = []
        self._members, self._tried, self._read = members, set(), set()  # ids, files
        name, package = self._package()
        self._folder = posixpath.dirname(name)
        self._items = {}
        for item in package.iter("{*}item"):
            self._items.setdefault(item.get("id"), item)
        spine = [reference.get("idref", "") for reference in package.iter("{*}itemref")]
        if not spine:
            raise MarkupError(_no_epub(f"{name} lists no documents in a spine"))
        if len(spine) > _LONGEST_SPINE:
            raise MarkupError(f"Its spine lists {len(spine):,} documents, more than any book has.")
        self._refuse_protected(spine)
        for name in spine:
            self._add(name)

    def _package(self) -> tuple[str, etree._Element]:
        """Find the package file: by the container or, if that leads nowhere, by its name."""
        container = self._members.find("", "META-INF/container.xml")
        roots = []
        if container:
            roots = list(self._xml(container).iter("{*}rootfile"))
            roots.sort(key=lambda root: root.get("media-type") != _PACKAGE_TYPE)
        names = [root.get("full-path", "") for root in roots] + self._members.packages()
        for name in names:
            member = self._members.find("", name)
            if member:
                return member.filename.replace("\\", "/"), self._xml(member)
        raise MarkupError(_no_epub("neither container.xml nor a package file leads to its text"))

    def _xml(self, member: zipfile.ZipInfo) -> etree._Element:
        markup, _ = decode_markup(self._members.read(member, _LARGEST_PACKAGE), member.filename)
        markup = plain_xml(markup).encode("utf-8", "replace")
        try:
            return etree.fromstring(markup, etree.XMLParser(encoding="utf-8", **HARDENED))
        except etree.XMLSyntaxError as error:
            parser = etree.XMLParser(encoding="utf-8", recover=True, **HARDENED)
            root = etree.fromstring(markup, parser)
            if root is None:
                raise MarkupError(_no_epub(f"{member.filename}: {error.msg}")) from error
            self.remarks.append(f"{member.filename} is not well-formed; some text may be missing")
            return root

    def _refuse_protected(self, spine: list[str]) -> None:
        """Raise MarkupError if a document is encrypted. Fonts often are, and may be."""
        for name in ("META-INF/rights.xml", "META-INF/sinf.xml"):
            if self._members.find("", name):
                raise MarkupError(_protected(f"it holds {name}"))
        encryption = self._members.find("", "META-INF/encryption.xml")
        if encryption is None:
            return
        try:
            references = list(self._xml(encryption).iter("{*}CipherReference"))
        except (MarkupError, CorpusError, etree.LxmlError):
            return  # encryption.xml is empty or broken; `_not_text` sees an encrypted document
        hrefs = [self._items[name].get("href", "") for name in spine if name in self._items]
        documents = {id(self._members.find(self._folder, href)) for href in hrefs} - {id(None)}
        for uri in (reference.get("URI", "") for reference in references):
            # The path should start at the root. Some start at the package's folder.
            if {id(self._members.find(folder, uri)) for folder in ("", self._folder)} & documents:
                raise MarkupError(_protected(f"encryption.xml names {uri}"))

    def _add(self, name: str) -> None:
        """Add the document that a reference of the spine leads to, or its fallback if not text."""
        item = self._items.get(name)
        if item is None:
            self.left_out.append(f"{name!r} (not in the manifest)")
        while item is not None and item.get("id") not in self._tried:
            self._tried.add(item.get("id"))
            member = self._members.find(self._folder, item.get("href", ""))
            reason = self._not_text(member, item)
            if reason is None:
                self._add_document(member, item)
                return
            fallback = self._items.get(item.get("fallback"))
            instead = "" if fallback is None else f"; {fallback.get('href')} stands for it"
            self.left_out.append(f"{item.get('href', name)} ({reason}{instead})")
            item = fallback

    def _not_text(self, member: zipfile.ZipInfo | None, item: etree._Element) -> str | None:
        """Return the reason why an item cannot be read as text; None if it can."""
        kind = item.get("media-type", "").partition(";")[0].strip()
        if member is None:
            remote = re.match("https?:", item.get("href", ""), re.I)
            return "on the web" if remote else "not in the archive"
        beginning = self._members.beginning(member)
        root = (root_name(beginning) or "").lower()
        if root in ("html", "body"):
            return None
        if "html" not in kind.lower() and kind.lower() != "text/x-oeb1-document":
            return kind or "of no stated type, and not HTML"
        if not root and _CONTROL.search(beginning):
            return "no markup; damaged or encrypted"
        return None

    def _add_document(self, member: zipfile.ZipInfo, item: etree._Element) -> None:
        if member.filename in self._read:
            return  # its text is there already
        self._read.add(member.filename)
        try:
            data = self._members.read(member, _LARGEST_DOCUMENT)
            markup, encoding = decode_markup(data, f"{member.filename} in {self._members.path}")
        except CorpusError:
            self.left_out.append(f"{item.get('href')} (in no encoding that could be recognised)")
            return
        text = xhtml_text(markup.replace("\0", "")).strip("\n")
        contents = "nav" in item.get("properties", "").split()
        if contents and text.strip() and len(text) <= _CONTENTS_PAGE:
            self.left_out.append(f"{item.get('href')} (the contents page)")
            return
        self.encodings[encoding] = None
        if text.strip():
            self.parts.append(text)
