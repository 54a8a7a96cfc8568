"""From markup to the text that its reader sees.

A parser of lxml walks over the markup once and calls a `_Gatherer`. No tree is built, so time and
memory grow in proportion to the size, however deep the elements nest. Nothing is fetched from a
network or from another file. A declared encoding is held against the bytes, see `lstmlib.decoding`.
"""

import email
import html
import re
from html.entities import html5
from typing import NamedTuple

from lxml import etree

from lstmlib.decoding import decode, warn

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

HARDENED = {"resolve_entities": "internal", "no_network": True, "huge_tree": False}
_ENTITY_BOMBS = {etree.ErrorTypes.ERR_ENTITY_LOOP, 114}  # 114: XML_ERR_RESOURCE_LIMIT


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
        return xhtml_text(markup)
    return _html_text(markup[_root(markup) :])


def fiction_book_text(markup: str | bytes) -> str:
    """Turn a FictionBook (.fb2) into paragraphs. Its description and pictures are left out.

    Args:
        markup: the text, or its bytes, which are decoded as in `markup_text`.

    Raises:
        MarkupError: the markup is no FictionBook, or is not well-formed.
    """
    markup = _decoded(markup)
    if root_name(markup) != "FictionBook":
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
    markup, encoding = decode_markup(content, "The page of the web archive", charset)
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
    name, tag = root_name(text), _TAG.match(text, root)
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


def xhtml_text(markup: str) -> str:
    """Return the text of XHTML, read as XML or, if it is not well-formed, as HTML."""
    try:
        return _xml_text(markup, _HTML)
    except (etree.XMLSyntaxError, _TooDeep):
        markup = markup[_root(markup) :]
        return _html_text(_CDATA.sub(lambda match: html.escape(match[1], quote=False), markup))


def _xml_text(markup: str, elements: _Elements) -> str:
    """Return the text of well-formed XML; raise MarkupError where entities multiply."""
    try:
        return _walk(etree.XMLParser, plain_xml(markup), elements, **HARDENED)
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


def plain_xml(markup: str) -> str:
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


def root_name(markup: str) -> str | None:
    """Return the first element's name, without its prefix; None if there is no element."""
    name = _NAME.match(markup, _root(markup))
    return name[1] if name else None


def _decoded(markup: str | bytes) -> str:
    return (
        decode_markup(markup, "The page")[0]
        if isinstance(markup, bytes)
        else markup.replace("\0", "")
    )


def decode_markup(data: bytes, name: str, declared: str | None = None) -> tuple[str, str]:
    """Decode markup, which may declare its encoding itself; return (text, encoding)."""
    if declared is None:
        inside = (pattern.match(data[:4096]) for pattern in _DECLARED)
        declared = next((match[1].decode("latin-1") for match in inside if match), None)
    if data.startswith(b"<") and 0 < 100 * data.count(0) < len(data):
        data = data.replace(b"\0", b"")  # stray bytes, which a browser ignores; UTF-16 has far more
    return decode(data, name, declared)
