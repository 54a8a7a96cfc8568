"""From markup and EPUB files to the text that their reader sees.

A parser of lxml walks over the markup once and calls a `_Gatherer`. No tree is built, so time and
memory grow in proportion to the size, however deep the elements nest. Nothing is fetched from a
network or from another file. A declared encoding is held against the bytes, see `lstmlib.decoding`.
"""

import contextlib
import email
import html
import posixpath
import re
import unicodedata
import urllib.parse
import zipfile
from html.entities import html5
from pathlib import Path
from typing import NamedTuple

from lxml import etree

from lstmlib.decoding import CorpusError, decode, warn

# The limits of an EPUB: far more than any book has, and little enough for any machine.
_MOST_MEMBERS = 100_000
_LONGEST_SPINE = 20_000
_LARGEST_DOCUMENT = 64 * 2**20  # bytes, unpacked
_LARGEST_PACKAGE = 8 * 2**20
_LARGEST_BOOK = 256 * 2**20
# Prose is packed to a third of its size, and a line that is repeated to a three-hundredth.
_LARGEST_RATIO, _RATIO_COUNTS_FROM = 200, 32 * 2**20

_DEEPEST = 2_000  # elements within one another; the time of libxml2 grows with depth times tags
_CHUNK = 2**16  # characters

_DECLARED = [
    re.compile(rb"\s*<\?xml\b[^<>]*?\bencoding\s*=\s*[\"']([^\"'>]+)"),
    re.compile(rb"[\s\S]*?<meta\b[^<>]*?\bcharset\s*=\s*[\"']?\s*([^\"'\s/>;]+)", re.I),
]

_SPACES = re.compile(r"[ \t\r\n\f]+")
_PROLOG_SPACES = re.compile(r"[\s\ufeff]*")
_INSTRUCTION = re.compile(r"<\?[^>]*>")
_DOCTYPE = re.compile(
    r"<!DOCTYPE(?:[^>\[\"']|\"[^\"]*\"|'[^']*')*"
    r"(?:\[(?:<!--(?:(?!-->)[\s\S])*-->|<(?!!--)|[^\]\"'<]|\"[^\"]*\"|'[^']*')*\]\s*)?>"
    r"|<!DOCTYPE[^>]*>",
    re.I,
)
_ENTITY = re.compile(r"<!ENTITY\s+([\w.:-]+)\s+(?:\"[^\"]*\"|'[^']*')\s*>")
_NAME = re.compile(r"<(?:[\w.-]+:)?([A-Za-z][\w.-]*)(?=[\s/>])")
_TAG = re.compile(r"</?([A-Za-z][^\s/<>]*)[^<>]*>")
# A section or a comment ends at its end mark. Without one, it ends with the text.
_CDATA = re.compile(r"<!\[CDATA\[([\s\S]*?)(?:\]\]>|\Z)")
_REFERENCE = re.compile(rf"{_CDATA.pattern}|<!--[\s\S]*?(?:-->|\Z)|&(\w+);")
# Pictures are cut out before parsing: one of more than 10 MB would exceed a limit of libxml2.
_BINARY = re.compile(r"<binary\b[^<>]*>[^<]*</binary\s*>")

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a]")
_HARDENED = {"resolve_entities": "internal", "no_network": True, "huge_tree": False}
_ENTITY_BOMBS = {etree.ErrorTypes.ERR_ENTITY_LOOP, 114}  # 114: XML_ERR_RESOURCE_LIMIT
_SAVE_AGAIN = "Save the book again as EPUB, or as plain text."
_PACKAGE_TYPE = "application/oebps-package+xml"
_CONTENTS_PAGE = (
    300  # the most characters outside <nav> of a document that is a contents page alone
)


class MarkupError(ValueError):
    """Markup or an EPUB cannot be read; the message says why, and what to do next."""


class _Elements(NamedTuple):
    """How a kind of markup separates words. An element in none of these sets is a block."""

    inline: frozenset[str]  # nothing between it and its neighbours
    apart: frozenset[str]  # a space between them
    lines: frozenset[str]  # a line end before it
    verbatim: frozenset[str]  # its spaces and line ends stay as they are
    hidden: frozenset[str]  # not shown


def _names(names: str) -> frozenset[str]:
    """Return the names in a string, with spaces between them, as a set."""
    return frozenset(names.split())


# Inline are the phrasing elements of the HTML standard, obsolete ones, and the parts of a ruby.
_HTML = _Elements(
    inline=_names(
        "a abbr acronym applet area audio b basefont bdi bdo bgsound big blink canvas cite code "
        "data datalist del dfn em embed font i iframe image img ins kbd label link map mark math "
        "meta nobr noscript object output param picture q rb rp rt rtc ruby s samp script slot "
        "small source span strike strong style sub sup template time track tt u var video wbr"
    ),
    apart=_names("td th button input meter progress select svg textarea"),
    lines=frozenset({"br"}),
    verbatim=frozenset({"pre", "listing", "xmp", "plaintext"}),
    hidden=_names(
        "annotation annotation-xml audio canvas datalist desc head iframe metadata nav noembed "
        "noframes script style template title video"
    ),
)
_NO_BLOCKS = frozenset().union(*_HTML)
_WITHOUT_TRACE = _HTML.inline - _HTML.hidden - _names("img q rp rt ruby")  # these add text
_FICTION_BOOK = _Elements(
    inline=_names("a code emphasis image strikethrough strong style sub sup"),
    apart=frozenset({"td", "th"}),
    lines=frozenset({"v"}),
    verbatim=frozenset(),
    hidden=frozenset({"description", "binary", "stylesheet"}),
)


_KNOWN = _NO_BLOCKS | _names(
    "address article aside base blockquote body caption center dd details dir div dl dt fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li link main "
    "menu ol optgroup option p section summary table tbody tfoot thead tr ul"
)
_BLOCK_END = re.compile(
    r"</(?:article|blockquote|center|d[dlt]|div|h[1-6]|li|[ou]l|p|pre|section|t[dhr]|table)\s*>",
    re.I,
)
_PARAGRAPH_LINE = re.compile(r"^[ \t]*<p[\s>]", re.M | re.I)
_HTML_TYPES = {"text/html", "application/xhtml+xml"}


class _TooDeep(Exception):
    """The elements nest deeper than `_DEEPEST`."""


class _Gatherer:
    """Gathers the text of markup: the "target" that a parser of lxml calls for tags and text."""

    def __init__(self, elements: _Elements) -> None:
        self._elements = elements
        self._out: list[str] = []
        self._breaks = 0  # line ends to come before the next text: 1 a new line, 2 a new paragraph
        self._space = False  # a space to come before it
        self._opening = ""  # the bracket to come before a ruby's reading
        self._depth = self._hidden = self._verbatim = self._foreign = self._quotes = 0
        self._fallback = False  # in <rp>: brackets for browsers that cannot show a ruby

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Take a start tag; in XML, `tag` is "{namespace}name"."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _TooDeep(f"its elements nest more than {_DEEPEST:,} deep")
        if self._hidden:
            self._hidden += 1
            return
        name = tag.rpartition("}")[2].lower()
        self._separate(name, at_start=True)
        hidden = attributes.get("hidden")
        if name in self._elements.hidden or (hidden is not None and hidden != "until-found"):
            self._hidden = 1
        elif name in self._elements.verbatim:
            self._verbatim += 1
        elif name in ("svg", "math"):
            self._foreign += 1
        elif self._elements is _HTML:
            self._start_html(name, attributes)

    def _start_html(self, name: str, attributes: dict[str, str]) -> None:
        if name == "q":
            self._add("‘" if self._quotes % 2 else "“")
            self._quotes += 1
        elif name in ("rb", "rp", "rt", "rtc"):
            self._fallback = name == "rp"
            self._opening = "(" if name == "rt" else ""
        elif name == "img":
            alt = attributes.get("alt", "").strip()
            if len(alt) <= 2 and any(map(str.isalnum, alt)):
                self._add(alt)  # a letter that is drawn, at the head of a chapter
            else:
                self._space = True

    def end(self, tag: str) -> None:
        """Take an end tag, which may be implied."""
        self._depth -= 1
        if self._hidden:
            self._hidden -= 1
            return
        name = tag.rpartition("}")[2].lower()
        if name in self._elements.verbatim:
            self._verbatim -= 1
        elif name in ("svg", "math"):
            self._foreign -= 1
        elif self._elements is _HTML:
            self._end_html(name)
        self._separate(name, at_start=False)

    def _end_html(self, name: str) -> None:
        if name == "q":
            self._quotes -= 1
            self._add("’" if self._quotes % 2 else "”")
        elif name in ("rp", "rt", "ruby"):
            if name == "rt" and not self._opening:
                self._space = False
                self._add(")")
            self._fallback, self._opening = False, ""

    def _separate(self, name: str, *, at_start: bool) -> None:
        if self._foreign:  # formulas and drawings: a space between their parts
            self._space |= at_start
        elif name in self._elements.apart:
            self._space = True
        elif name in self._elements.lines:
            self._breaks = min(self._breaks + at_start, 2)
        elif name not in self._elements.inline and ":" not in name:  # word processors write "o:p"
            self._breaks = 2

    def data(self, text: str) -> None:
        """Take a piece of text, which may end before the next tag."""
        if self._hidden or self._fallback:
            return
        if self._verbatim:
            for number, line in enumerate(re.split(r"\r\n?|\n", text)):
                self._breaks = min(self._breaks + (number > 0), 2)
                if line:
                    self._add(line)
            return
        text = _SPACES.sub(" ", text)
        self._space |= text.startswith(" ")
        if text.strip(" "):
            self._add(text.strip(" "))
            self._space = text.endswith(" ")

    def _add(self, text: str) -> None:
        if self._out:
            self._out.append("\n" * self._breaks or " " * self._space)
        self._out += self._opening, text
        self._breaks, self._space, self._opening = 0, False, ""

    def close(self) -> str:
        """Return the text, at the end of the markup."""
        return "".join(self._out) + "\n"


def markup_text(markup: str | bytes) -> str:
    """Turn HTML or XHTML into the paragraphs that a browser shows.

    Each run of white space becomes one space, except in <pre>. <br> becomes a line end. A blank
    line separates blocks, a space separates cells of a table, and nothing separates inline
    elements. <nav> is left out, and so are parts that a browser does not show: <head>, scripts and
    `hidden` elements. The reading of a ruby follows in brackets. <q> becomes quotation marks. An
    image becomes its alternative text if that is one or two letters.

    Args:
        markup: the text, or its bytes. Bytes are decoded as in `lstmlib.decoding`. Their declared
            encoding is that of an XML declaration or, without one, of a <meta charset>.

    Raises:
        MarkupError: entities multiply without end, or elements nest without end.
        CorpusError: the bytes are no text, or their encoding is not recognised.
    """
    markup = _decoded(markup)
    root = _TAG.match(markup, _root(markup))
    if markup.lstrip("\ufeff \t\r\n").startswith("<?xml") or (root and "xmlns=" in root[0]):
        return _xhtml_text(markup)
    return _html_text(markup[_root(markup) :])


def fiction_book_text(markup: str | bytes) -> str:
    """Turn a FictionBook (.fb2) into paragraphs. Its description and pictures are left out.

    Args:
        markup: the text, or its bytes, which are decoded as in `markup_text`.

    Raises:
        MarkupError: the markup is no FictionBook, or is not well-formed.
    """
    markup = _decoded(markup)
    if _root_name(markup) != "FictionBook":
        raise MarkupError("This is no FictionBook: it does not begin with <FictionBook>.")
    try:
        return _xml_text(_BINARY.sub("", markup), _FICTION_BOOK)
    except (etree.XMLSyntaxError, _TooDeep) as error:
        raise MarkupError(
            f"This FictionBook is not well-formed ({error}). Was it copied whole? If so, save the "
            "book again as FictionBook or EPUB, or as plain text."
        ) from error


def web_archive_text(data: bytes) -> tuple[str, str]:
    """Read a web archive (.mht, .mhtml); return (the text of its page, the encoding of the page).

    Other pages in the archive, the contents of frames, are left out. A warning names them.

    Raises:
        MarkupError: the archive holds no page.
    """
    try:
        message = email.message_from_bytes(data)
        pages = [part for part in message.walk() if part.get_content_type() in _HTML_TYPES]
        start = message.get_param("start")
        page = next((part for part in pages if start and part["Content-ID"] == start), pages[0])
        content, charset = page.get_payload(decode=True), page.get_content_charset()
    except Exception as error:  # an IndexError without a page, and others from within email
        raise MarkupError(
            f"This is not a web archive that can be read ({type(error).__name__}): it has no part "
            "text/html. Save the page again as HTML, or as plain text."
        ) from error
    markup, encoding = _decode(content, "The page of the web archive", charset)
    if len(pages) > 1:
        others = ", ".join(str(part["Content-Location"]) for part in pages if part is not page)
        warn(f"Of the web archive, these frames are left out: {others}.")
    return markup_text(markup), encoding


def looks_like_markup(text: str) -> str | None:
    """Name the kind of markup that a text is, whatever its file is called.

    Returns:
        "HTML", "FictionBook", "web archive (MHTML)" or "XML". None for any other text, even if it
        mentions tags or begins with "<".
    """
    headers = re.split(r"\r?\n\r?\n", text[:8192].lstrip("\ufeff\r\n"), maxsplit=1)[0]
    if re.search(r"^MIME-Version:", headers, re.M | re.I) and re.search(
        r"^Content-Type:\s*(multipart/related|text/html)", headers, re.M | re.I
    ):
        return "web archive (MHTML)"
    root = _root(text)
    name, tag = _root_name(text), _TAG.match(text, root)
    if name is None or tag is None:
        return None
    if name == "FictionBook":
        return name
    prolog = text[:root].lstrip("\ufeff \t\r\n").lower()
    is_xml = prolog.startswith("<?xml") or "<!doctype" in prolog or "xmlns" in tag[0]
    if (name.lower() == "html" and is_xml) or _is_html(text, tag):
        return "HTML"
    return "XML" if is_xml else None


def _is_html(text: str, first: re.Match) -> bool:
    """Say whether a text without a declaration is HTML, given its first tag."""
    name, end = first[1].lower(), text[-1000:].rstrip()
    if name in ("html", "head", "body"):  # "<html> is the root of a page" is no page
        following = _PROLOG_SPACES.match(text, first.end()).end()
        return "=" in first[0] or text.startswith("<", following) or end.endswith("</html>")
    if name not in _KNOWN:
        return False
    lines = len(_PARAGRAPH_LINE.findall(text))
    closed = end.endswith(">") and len(_BLOCK_END.findall(text)) >= 3
    return closed or (lines >= 3 and lines * 2000 > len(text))


# Markup -> text


def _html_text(markup: str) -> str:
    """Return the text of HTML, from its first element on."""
    try:
        return _walk(etree.HTMLParser, markup, _HTML, huge_tree=True)
    except _TooDeep:
        # The page has tags that are never closed. Its text is the same without nesting: blocks
        # become rules (<hr>), which hold nothing, and inline elements are dropped.
        flat = _TAG.sub(_flattened, markup)
    try:
        return _walk(etree.HTMLParser, flat, _HTML, huge_tree=True)
    except _TooDeep as error:
        raise MarkupError(f"This cannot be read: {error}. Save it as plain text.") from error


def _flattened(tag: re.Match) -> str:
    """Return the replacement of a tag, in a page without nesting."""
    name = tag[1].lower()
    if name in _HTML.apart:
        return " "
    if name in _WITHOUT_TRACE:
        return ""
    return tag[0] if name in _NO_BLOCKS else "<hr>"


def _xhtml_text(markup: str) -> str:
    """Return the text of XHTML, read as XML or, if it is not well-formed, as HTML."""
    try:
        return _xml_text(markup, _HTML)
    except (etree.XMLSyntaxError, _TooDeep):
        markup = markup[_root(markup) :]
        return _html_text(_CDATA.sub(lambda match: html.escape(match[1], quote=False), markup))


def _xml_text(markup: str, elements: _Elements) -> str:
    """Return the text of well-formed XML; raise MarkupError where entities multiply."""
    try:
        return _walk(etree.XMLParser, _plain_xml(markup), elements, **_HARDENED)
    except etree.XMLSyntaxError as error:
        if error.code in _ENTITY_BOMBS and "entity" in error.msg:
            raise MarkupError(
                f"Its entities multiply without end ({error.msg}), as in a file that is made to do "
                "harm. If you trust it, save it as plain text."
            ) from error
        raise


def _walk(kind: type, markup: str, elements: _Elements, **options: object) -> str:
    """Return the text that a parser of some kind gathers from markup."""
    if not markup.strip():
        return "\n"
    parser = kind(target=_Gatherer(elements), encoding="utf-8", **options)
    for start in range(0, len(markup), _CHUNK):
        parser.feed(markup[start : start + _CHUNK].encode("utf-8", "replace"))
    return parser.close()


def _plain_xml(markup: str) -> str:
    """Return XML that needs no other file: HTML's named characters are written out.

    Of the DOCTYPE, only the entities with their text stay. If it referred to another file, a parser
    would drop unknown entities without a warning.
    """
    root = _root(markup)
    entities = {match[1]: match[0] for match in _ENTITY.finditer(markup, 0, root)}

    def written_out(match: re.Match) -> str:
        name = match[2]
        if name is None or name in entities or f"{name};" not in html5:
            return match[0]
        return html.escape(html5[f"{name};"])

    doctype = f"<!DOCTYPE x [{''.join(entities.values())}]>" if entities else ""
    return doctype + _REFERENCE.sub(written_out, markup[root:])


def _root(markup: str) -> int:
    """Return where the first element begins, behind the declaration, comments and DOCTYPE."""
    at = 0
    while True:
        at = _PROLOG_SPACES.match(markup, at).end()
        if markup.startswith("<!--", at):
            end = markup.find("-->", at) + 3
        else:
            part = _INSTRUCTION.match(markup, at) or _DOCTYPE.match(markup, at)
            end = part.end() if part else 0
        if end <= at:
            return at
        at = end


def _root_name(markup: str) -> str | None:
    """Return the first element's name, without its prefix; None if there is no element."""
    name = _NAME.match(markup, _root(markup))
    return name[1] if name else None


# Bytes -> markup


def _decoded(markup: str | bytes) -> str:
    return _decode(markup, "The page")[0] if isinstance(markup, bytes) else markup.replace("\0", "")


def _decode(data: bytes, name: str, declared: str | None = None) -> tuple[str, str]:
    """Decode markup, which may declare its encoding itself; return (text, encoding)."""
    if declared is None:
        inside = (pattern.match(data[:4096]) for pattern in _DECLARED)
        declared = next((match[1].decode("latin-1") for match in inside if match), None)
    if data.startswith(b"<") and 0 < 100 * data.count(0) < len(data):
        data = data.replace(b"\0", b"")  # stray bytes, which a browser ignores; UTF-16 has far more
    return decode(data, name, declared)


# EPUB


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
        markup, _ = _decode(self._members.read(member, _LARGEST_PACKAGE), member.filename)
        markup = _plain_xml(markup).encode("utf-8", "replace")
        try:
            return etree.fromstring(markup, etree.XMLParser(encoding="utf-8", **_HARDENED))
        except etree.XMLSyntaxError as error:
            parser = etree.XMLParser(encoding="utf-8", recover=True, **_HARDENED)
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
        root = (_root_name(beginning) or "").lower()
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
            markup, encoding = _decode(data, f"{member.filename} in {self._members.path}")
        except CorpusError:
            self.left_out.append(f"{item.get('href')} (in no encoding that could be recognised)")
            return
        text = _xhtml_text(markup.replace("\0", "")).strip("\n")
        contents = "nav" in item.get("properties", "").split()
        if contents and text.strip() and len(text) <= _CONTENTS_PAGE:
            self.left_out.append(f"{item.get('href')} (the contents page)")
            return
        self.encodings[encoding] = None
        if text.strip():
            self.parts.append(text)
