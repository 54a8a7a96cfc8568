import base64
import contextlib
import re
import runpy
import warnings
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmlib import corpora, epub
from lstmlib.corpora import load_corpus
from lstmlib.decoding import CorpusError
from lstmlib.epub import epub_text
from lstmlib.markup import (
    MarkupError,
    fiction_book_text,
    looks_like_markup,
    markup_text,
    web_archive_text,
)

# HTML


def test_html_becomes_paragraphs(tmp_path):
    path = tmp_path / "a.html"
    path.write_text(
        "<!DOCTYPE html><html><head><title>no</title><style>p {}</style></head><body>"
        "<h1>A\n  title</h1><p>One <em>long</em>\nline.<br>Next.</p><pre>a\n  b</pre>"
        "<script>no()</script><ul><li>x</li><li>y</li></ul><!-- no --></body></html>"
    )
    assert load_corpus(path).text == "A title\n\nOne long line.\nNext.\n\na\n  b\n\nx\n\ny\n"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (
            "<table><tr><td>cat</td><td>dog</td></tr><tr><th>one<th>two</table>",
            "cat dog\n\none two",
        ),
        ("<center>I</center><center>The Mill</center>It rained.", "I\n\nThe Mill\n\nIt rained."),
        ("<details><summary>More</summary>Text</details>", "More\n\nText"),
        ("<fieldset><legend>Sex</legend>Age</fieldset>", "Sex\n\nAge"),
        ("<select><option>one<option>two</select>", "one\n\ntwo"),
        ("<dl><dt>cat<dd>animal<dt>oak<dd>tree</dl>", "cat\n\nanimal\n\noak\n\ntree"),
        ("<table><caption>Ships</caption><tr><td>a</td></tr></table>", "Ships\n\na"),
        ("<figure>x<figcaption>y</figcaption></figure>z", "x\n\ny\n\nz"),
        ("<chapter>One</chapter><chapter>Two</chapter>", "One\n\nTwo"),
        ("<button>Yes</button><button>No</button>", "Yes No"),
        ("cat<img src=x>dog", "cat dog"),
        ("a<hr>b", "a\n\nb"),
        ("a<br><br><br>b", "a\n\nb"),
        ("a <script>no</script>b<nav>no</nav>c", "a b\n\nc"),
        ("<body>Straight in the body<p>and not", "Straight in the body\n\nand not"),
        ("<p>a</p></body></html><p>behind the end", "a\n\nbehind the end"),
    ],
)
def test_words_that_a_tag_sets_apart_stay_apart(page, text):
    assert markup_text(page) == text + "\n"


@pytest.mark.parametrize(
    "page",
    [
        "<span>W</span><span>ater</span>",
        "<b>Wa</b><i>ter</i>",
        "W<a name=x></a>ater",
        "Wa<wbr>ter",
        "<font size=7>W</font>ater",
        "Wa<!-- no -->ter",
        "<st1:place>Wa</st1:place>ter<o:p></o:p>",
        "<img src=w.png alt=W>ater",
        "Wa<script>no</script>ter",
    ],
)
def test_a_word_of_several_inline_elements_stays_whole(page):
    assert markup_text(f"<p>{page} ran") == "Water ran\n"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>a</p><div hidden><p>no</p></div><p>b", "a\n\nb"),
        ("<p>a</p><p hidden>no<p>b", "a\n\nb"),
        ("<template><p>no</p></template><video>no</video><iframe>no</iframe>a", "a"),
        ("<noscript>yes</noscript>", "yes"),
        ("<ruby>漢<rt>kan</rt>字<rt>ji</rt></ruby>。", "漢(kan)字(ji)。"),
        ("<ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>字", "漢(kan)字"),
        ("<ruby>漢<rp>[<rt>kan<rp>]</ruby>字", "漢(kan)字"),
        ("<ruby>漢<rt> </rt></ruby>字<ruby>漢<rt>kan </rt></ruby>字", "漢 字漢(kan)字"),
        ("<q>He said <q>no</q>.</q>", "“He said ‘no’.”"),
        ("<p>a<img alt='A mill by a river'>", "a"),
        ("<svg><title>no</title><text>one</text><text>two</text></svg>three", "one two three"),
        ("<math><mi>x</mi><mo>=</mo><mn>2</mn><annotation>no</annotation></math>", "x = 2"),
        ("<pre>\na  b\n\n  c\td </pre>  e  f", "a  b\n\n  c\td \n\ne f"),
        ("<pre>a<br>b</pre><xmp><b></xmp>", "a\nb\n\n<b>"),
        ("a\fb \t\n c", "a b c"),
        ("a&nbsp;&nbsp;b &#150; &euro; &amp;lt;", "a\xa0\xa0b – € &lt;"),
        ("1 < 2 &c; <3", "1 < 2 &c; <3"),
    ],
)
def test_the_text_is_what_a_browser_shows(page, text):
    assert markup_text(page) == text + "\n"


def test_halves_of_characters_become_replacement_characters():
    assert markup_text("<p>x &#xD83D;&#xDE00; y") == "x \ufffd\ufffd y\n"


@pytest.mark.parametrize("page", ["", " \n", "<!-- a -->", "<html></html>", "<title>a</title>"])
def test_a_page_without_text_is_empty(page):
    assert markup_text(page) == "\n"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<b>" * 100_000 + "x", "x"),
        ("<div>" * 100_000 + "x" + "</div>" * 100_000 + "y", "x\n\ny"),
        ("<b>" * 50_000 + "</i>" * 50_000 + "x", "x"),  # quadratic in libxml2
        ("<p><font>ab\n" * 5_000, "\n\n".join(["ab"] * 5_000)),
        ("<html xmlns='x'>" + "<b>" * 5_000 + "x" + "</b>" * 5_000 + "</html>", "x"),
    ],
    ids=["open", "closed", "never opened", "font", "xml"],
)
def test_elements_may_nest_however_deep(page, text):
    assert markup_text(page) == text + "\n"


def test_nesting_that_cannot_be_undone_is_refused():
    with pytest.raises(MarkupError, match="nest more than 2,000 deep. Save it as plain text"):
        markup_text("<pre>" * 5_000)


PIECES = """<b> </b> <p> <p/> <q> <rt> <svg> <pre> <!-- --> <![CDATA[ ]]> & &a; &nbsp; <title> <?xml
< > é \ud800 \0 \x0b xmlns='x'> <a word"""


@given(st.lists(st.sampled_from([*PIECES.split(), " "])))
def test_any_markup_becomes_text_or_is_refused(pieces):
    for start in ("", "<html xmlns='x'>"):
        with contextlib.suppress(MarkupError):
            assert markup_text(start + "".join(pieces)).endswith("\n")


# Bytes


@pytest.mark.parametrize(
    ("head", "codec", "text"),
    [
        ('<?xml version="1.0" encoding="windows-1251"?>', "cp1251", "Мельник проснулся"),
        ("<?xml version='1.0' encoding='ISO-8859-1'?>", "cp1252", "café – “x”"),
        ('<?xml version="1.0" encoding="utf-8"?>', "utf-8", "café"),
        ('<meta charset="koi8-r">', "koi8-r", "Мельник проснулся"),
        (
            "<meta http-equiv=Content-Type content='text/html; charset=Shift_JIS'>",
            "cp932",
            "日本語",
        ),
        ("<!DOCTYPE html>", "utf-8", "Мельник"),
        ("<!DOCTYPE html>", "utf-16", "Мельник проснулся"),
        ('<meta charset="iso-8859-1">', "utf-8", "Мельник"),  # wrong, and the bytes show it
    ],
)
def test_bytes_are_decoded_as_they_declare(head, codec, text):
    page = f"{head}<html><body><p>{text}</p></body></html>"
    assert markup_text(page.encode(codec)) == text + "\n"


# XHTML

XHTML = '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>no</title></head><body>%s</body></html>'
STRICT = '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" "http://example.org/xhtml11.dtd"%s>\n'


@pytest.mark.parametrize(
    ("doctype", "body", "text"),
    [
        ("", "<p><![CDATA[Ships & <sails>]]> went</p>", "Ships & <sails> went"),
        ("", "<p>a&nbsp;b &copy; &amp;amp; <![CDATA[&nbsp;]]></p>", "a\xa0b © &amp; &nbsp;"),
        (
            '<!DOCTYPE html [<!ENTITY mill "the <b>Old</b> Mill">]>',
            "<p>At &mill;.</p>",
            "At the Old Mill.",
        ),
        (STRICT % ' [<!ENTITY mill "Old Mill">]', "<p>At &mill;&nbsp;x.</p>", "At Old Mill\xa0x."),
        ("<!DOCTYPE html [<!-- don't ]> --><!ENTITY a 'A'>]>", "<p>&a;</p>", "A"),
        ("", "<title/><p>a<script src='x'/>b</p>", "ab"),
        ("", "<p>Ships & <b>sails</p><p><![CDATA[a < b]]></p>", "Ships & sails\n\na < b"),
        (STRICT % "", "<p>a &unknown; b</p>", "a &unknown; b"),
        ('<!DOCTYPE html [<!ENTITY % x "y"> %x;]>', "<p>a &unknown; b</p>", "a &unknown; b"),
        ("", "<h:p xmlns:h='http://www.w3.org/1999/xhtml'>a</h:p>b", "a\n\nb"),
    ],
)
def test_xhtml_is_read_as_xml_and_as_html_only_if_it_is_not_well_formed(doctype, body, text):
    assert markup_text('<?xml version="1.0"?>\n' + doctype + XHTML % body) == text + "\n"


@pytest.mark.parametrize("reference", ["&secret;", "%secret; "])
def test_no_other_file_is_read(tmp_path, reference):
    (tmp_path / "secret.txt").write_text("SECRET")
    kind = "% " if reference.startswith("%") else ""
    entity = f'<!ENTITY {kind}secret SYSTEM "{(tmp_path / "secret.txt").as_uri()}">'
    inside = reference if kind else ""
    page = f"<!DOCTYPE html [{entity}{inside}]>" + XHTML % f"<p>a {'' if kind else reference}</p>"
    assert "SECRET" not in markup_text(page)


def test_entities_that_multiply_are_refused():
    entities = '<!ENTITY a0 "lol">'
    entities += "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 11))
    loop = '<!ENTITY a10 "&b;"><!ENTITY b "&a10;">'
    for bomb in (entities, loop):
        with pytest.raises(MarkupError, match="entities multiply without end"):
            markup_text(f"<!DOCTYPE html [{bomb}]>" + XHTML % "<p>&a10;</p>")


# FictionBook

FICTION_BOOK = (
    '<?xml version="1.0" encoding="windows-1251"?>'
    '<FictionBook xmlns="http://www.gribuser.ru/xml/fictionbook/2.0"><description><title-info>'
    "<annotation>no</annotation></title-info></description><body><title><p>Мельник</p></title>"
    "<section><p>Он <emphasis>про</emphasis>снулся<a type='note'>[1]</a>.</p><empty-line/>"
    "<poem><stanza><v>Река</v><v>и дождь</v></stanza></poem><cite>Да.</cite></section></body>"
    "<binary id='a.jpg' content-type='image/jpeg'>AAAA</binary></FictionBook>"
)


@pytest.mark.parametrize("book", [FICTION_BOOK, FICTION_BOOK.encode("cp1251")])
def test_a_fiction_book_becomes_paragraphs(book):
    assert fiction_book_text(book) == "Мельник\n\nОн проснулся[1].\n\nРека\nи дождь\n\nДа.\n"


def test_a_fiction_book_may_hold_large_pictures():
    assert "Мельник" in fiction_book_text(FICTION_BOOK.replace("AAAA", "A" * 11_000_000))


@pytest.mark.parametrize(
    ("book", "message"),
    [
        ("<html></html>", "no FictionBook"),
        (FICTION_BOOK[:300], "not well-formed"),
        ("<FictionBook>" + "<section>" * 3000, "not well-formed .*2,000 deep"),
    ],
)
def test_what_is_no_fiction_book_is_refused(book, message):
    with pytest.raises(MarkupError, match=message):
        fiction_book_text(book)


# Web archives


def web_archive(*parts, head='Content-Type: multipart/related; boundary="--x"'):
    page = f"From: <Saved by a browser>\r\nSubject: x\r\nMIME-Version: 1.0\r\n{head}\r\n\r\n"
    return "".join([page, *(f"----x\r\n{part}\r\n" for part in parts), "----x--\r\n"]).encode()


def part(text, codec="utf-8", kind="text/html", more=""):
    body = base64.encodebytes(text.encode(codec)).decode()
    head = f'Content-Type: {kind}; charset="{codec}"\r\nContent-Transfer-Encoding: base64\r\n'
    return f"{head}{more}\r\n{body}"


def test_a_web_archive_is_read_in_its_transfer_encoding_and_charset():
    quoted = "Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    quoted += "<p>a=20=\r\nb=E2=80=94"
    assert web_archive_text(web_archive(quoted)) == ("a b—\n", "utf-8")
    image = part("no", kind="image/png")
    russian = part("<p>Река течёт", "windows-1251")
    assert web_archive_text(web_archive(image, russian)) == ("Река течёт\n", "cp1251")


def test_the_frames_of_a_web_archive_are_named():
    frame = part("<p>frame", more="Content-Location: http://x/frame.html\r\n")
    page = part("<p>page", more="Content-ID: <start>\r\n")
    head = 'Content-Type: multipart/related; start="<start>"; boundary="--x"'
    with pytest.warns(UserWarning, match="left out: http://x/frame.html"):
        assert web_archive_text(web_archive(frame, page, head=head))[0] == "page\n"


@pytest.mark.parametrize("data", [b"", b"text", web_archive(part("a", kind="text/css"))])
def test_a_web_archive_without_a_page_is_refused(data):
    with pytest.raises(MarkupError, match="no part text/html"):
        web_archive_text(data)


# Markup under another name


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("<!DOCTYPE html><html><body><p>a", "HTML"),
        ("\ufeff\n<HTML>\n<HEAD>", "HTML"),
        ("<!-- saved from url=(0014)about:internet -->\n<html lang='en'>\na", "HTML"),
        ('<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x" "y">\n' + XHTML % "a", "HTML"),
        (XHTML % "a", "HTML"),
        ("<h1>A</h1><p>one</p><p>two</p>", "HTML"),
        ("<p>one and two\n<p>three\n<p>four\n", "HTML"),
        (FICTION_BOOK, "FictionBook"),
        (web_archive(part("a")).decode(), "web archive (MHTML)"),
        ('<?xml version="1.0"?><TEI><p>a</p></TEI>', "XML"),
        ("<TEI xmlns='http://www.tei-c.org/ns/1.0'><p>a</p></TEI>", "XML"),
    ],
)
def test_markup_is_known_whatever_its_name(text, kind):
    assert looks_like_markup(text) == kind


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The miller woke.",
        "<Enter Hamlet> To be, or not to be.\n<Exit>",
        "<John> hello\n<Jane> hi\n",
        "<html> is the root of a page, and <body> stands in it.",
        "<!DOCTYPE html> is the first line of a page.",
        "<p> sets paragraphs, <div> blocks and <h1> headings.",
        "<s> the cat sat </s>\n<s> the dog ran </s>\n<s> it rained </s>\n",
        "<3 he wrote, <3 she wrote",
        "A page ends with </p></body></html>",
        "<p align='center'><img src='a.png'></p>\n<h1>Name</h1>\n<p>x</p>\n\n# Install\n\nText.\n",
        "Content-Type: multipart/related is what a web archive says.\n\nMIME-Version: 1.0\n",
    ],
)
def test_text_that_only_speaks_of_tags_is_text(text):
    assert looks_like_markup(text) is None


# EPUB

CONTAINER = (
    '<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
    '<rootfiles><rootfile full-path="OPS/book.opf" media-type="application/oebps-package+xml"/>'
    "</rootfiles></container>"
)
KIND = "application/xhtml+xml"


def item(name, href=None, kind=KIND, more=""):
    return f'<item id="{name}" href="{href or name}" media-type="{kind}" {more}/>'


def package(items, spine, before=""):
    references = "".join(f'<itemref idref="{name}"/>' for name in spine)
    return (
        f'<?xml version="1.0"?>{before}<package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
        f'<manifest>{"".join(items)}</manifest><spine toc="nowhere">{references}</spine></package>'
    )


PDF = '<rootfile full-path="OPS/a" media-type="application/pdf"/>'
SECOND = '<rootfile full-path="OPS/b" media-type="application/oebps-package+xml"/>'
ONE, TWO = XHTML % "<p>The miller woke.</p>", XHTML % "<p>The wheel had stopped.</p>"
BOTH = "The miller woke.\n\nThe wheel had stopped.\n"


@pytest.fixture
def book(tmp_path):
    """Return a function that writes an EPUB of two chapters, changed by its arguments."""

    def write(changes=None, opf=None, mode=zipfile.ZIP_DEFLATED):
        members = {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": CONTAINER,
            "OPS/book.opf": opf or package([item("a"), item("b")], ["a", "b"]),
            "OPS/a": ONE,
            "OPS/b": TWO,
        }
        members |= changes or {}
        path = tmp_path / "book.epub"
        with zipfile.ZipFile(path, "w", mode) as archive:
            for name, content in members.items():
                if content is not None:
                    archive.writestr(name, content)
        return path

    return write


NOISE = bytes(range(1, 255)) * 9


def silently(path):
    """Read an EPUB, and fail if it warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return epub_text(path)


def test_an_epub_is_read_in_the_order_of_its_spine(book):
    assert silently(book()) == (BOTH, "utf-8")
    opf = package([item("a"), item("b")], ["b", "a"])
    assert silently(book(opf=opf))[0] == "The wheel had stopped.\n\nThe miller woke.\n"


def test_epub_reads_in_order_without_its_navigation():
    text = load_corpus("messy-book-epub").text
    heads = ["THE PATIENT MACHINE", "I. THE ARRIVAL", "III. THE SPOILED", "V. THE COUNTING BOY"]
    places = [text.index(head) for head in heads]
    assert places == sorted(places)
    assert all(text.count(head) == 1 for head in heads)


def test_messy_book_is_built_from_its_source(tmp_path):
    script = runpy.run_path(str(corpora.DATASETS / "make_messy_book.py"))
    assert script["as_text"]() == (corpora.DATASETS / "messy-book.txt").read_bytes()
    (tmp_path / "fresh.epub").write_bytes(script["as_epub"]())
    assert load_corpus(tmp_path / "fresh.epub").text == load_corpus("messy-book-epub").text


@pytest.mark.parametrize(
    "kind",
    [
        "text/html",
        "APPLICATION/XHTML+XML",
        "application/xhtml+xml; charset=utf-8",
        "application/xml",
        "text/xml",
        "text/x-oeb1-document",
        "application/octet-stream",
        "",
    ],
)
def test_a_chapter_is_read_whatever_its_media_type_says(book, kind):
    opf = package([item("a", kind=kind), item("b")], ["a", "b"])
    assert silently(book(opf=opf))[0] == BOTH


@pytest.mark.parametrize(
    ("chapter", "text"),
    [
        (
            XHTML % "<p><span>W</span><span>ater</span> ran. <b>Hel</b><i>lo</i></p>",
            "Water ran. Hello",
        ),
        (XHTML % "Straight in the body.", "Straight in the body."),
        (XHTML % "<p><![CDATA[Ships & sails]]></p>", "Ships & sails"),
        (
            '<!DOCTYPE html [<!ENTITY mill "the Old Mill">]>' + XHTML % "<p>&mill;</p>",
            "the Old Mill",
        ),
        (XHTML % "<p>a&nbsp;b<br>c</p>", "a\xa0b\nc"),
        ("<p>No root</p>", "No root"),
        ("\ufeff\n\n" + '<?xml version="1.0"?>' + XHTML % "<p>a</p>", "a"),
        ("\ufeff" + XHTML % "<p>Мельник</p>", "Мельник"),
        (XHTML % "<p>a\0b</p><p>The wheel had stopped, and nobody had heard it.</p>" * 2, None),
    ],
)
def test_a_chapter_is_read_as_its_reader_shows_it(book, chapter, text):
    text = text or "ab\n\nThe wheel had stopped, and nobody had heard it.\n\n" * 2
    assert (
        silently(book({"OPS/a": chapter}))[0] == text.strip("\n") + "\n\nThe wheel had stopped.\n"
    )


@pytest.mark.parametrize(
    ("label", "codec", "text", "name"),
    [
        ("windows-1251", "cp1251", "Мельник проснулся до дождя.", "cp1251"),
        ("iso-8859-1", "cp1252", "The café is “shut”.", "cp1252"),
        ("ISO-8859-2", "iso8859-2", "Zażółć gęślą jaźń.", "iso8859-2"),
        ("Shift_JIS", "cp932", "水車は止まっていた。", "cp932"),
        ("utf-16", "utf-16", "Мельник проснулся до дождя.", "utf-16"),
    ],
)
def test_a_chapter_is_decoded_as_it_declares(book, label, codec, text, name):
    chapter = f'<?xml version="1.0" encoding="{label}"?>' + XHTML % f"<p>{text}</p>"
    read, encoding = silently(book({"OPS/a": chapter.encode(codec)}))
    assert read == f"{text}\n\nThe wheel had stopped.\n"
    assert encoding == f"{name}, utf-8"


def test_a_chapter_that_is_not_in_its_encoding_is_read_with_a_warning(book):
    chapter = XHTML % "<p>Мельник проснулся.</p>"
    broken = chapter.encode().replace("с".encode(), b"\xff", 1)
    with pytest.warns(UserWarning, match=r"OPS/a in .*book\.epub is utf-8, but broken"):
        text, _ = epub_text(book({"OPS/a": broken}))
    assert "Мельник про\ufffdнулся." in text


@pytest.mark.parametrize(
    "extra",
    [
        item("css", "page.css", "text/css"),
        item("film", "https://example.org/a.mp4", "video/mp4"),
        item("nav", "nav.xhtml", more='properties="nav"'),  # the contents page is not there
        item("ncx", "toc.ncx", "application/x-dtbncx+xml"),
    ],
)
def test_what_the_text_does_not_need_may_be_missing(book, extra):
    assert silently(book(opf=package([item("a"), item("b"), extra], ["a", "b"])))[0] == BOTH


@pytest.mark.parametrize(
    ("changes", "opf"),
    [
        ({"mimetype": None}, None),
        ({"META-INF/container.xml": "\ufeff" + CONTAINER}, None),
        ({"META-INF/container.xml": CONTAINER.replace("OPS/", "ops\\")}, None),
        ({"META-INF/container.xml": None}, None),
        ({"META-INF/container.xml": CONTAINER.replace("book.opf", "gone.opf")}, None),
        ({"META-INF/container.xml": CONTAINER.replace("<rootfile ", PDF + "<rootfile ")}, None),
        ({"META-INF/container.xml": CONTAINER.replace("</root", SECOND + "</root", 1)}, None),
        ({"OPS/a": None, "OPS/my page": ONE}, [item("a", "my%20page"), item("b")]),
        ({"OPS/a": None, "OPS/my%20page": ONE}, [item("a", "my%20page"), item("b")]),
        ({"OPS/a": None, "text/a": ONE}, [item("a", "../text/a"), item("b")]),
        ({"OPS/a": None, "text/a": ONE}, [item("a", "/text/a"), item("b")]),
        ({"OPS/a": None, "text/a": ONE}, [item("a", "../../text/a"), item("b")]),
        ({"OPS/a": None, "text/a": ONE}, [item("a", "..\\text\\a#top"), item("b")]),
        ({"OPS/a": None, "OPS\\a": ONE}, None),
        ({"OPS/a": None, "ops/A": ONE}, None),
        ({"OPS/a": None, "OPS/Глава": ONE}, [item("a", "%D0%93лава"), item("b")]),
        ({"OPS/a": None, "OPS/cafe\u0301": ONE}, [item("a", "café"), item("b")]),
        ({}, [item("a", "./a#x"), item("b", "x//../b#y")]),
    ],
)  # fmt: skip
def test_names_are_found_however_they_are_written(book, changes, opf):
    opf = package(opf, ["a", "b"]) if opf else None
    assert silently(book(changes, opf))[0] == BOTH


def test_a_name_in_utf_8_that_does_not_say_so_is_found(book):
    path = book({"OPS/a": None, "OPS/Глава": ONE}, package([item("a", "Глава"), item("b")], "ab"))
    data = bytearray(path.read_bytes())
    for place in (b"PK\x03\x04", b"PK\x01\x02"):  # clear the flag that names are UTF-8
        at = -1
        while (at := data.find(place, at + 1)) >= 0:
            data[at + (7 if place.endswith(b"\x04") else 9)] &= ~0x08
    path.write_bytes(data)
    assert silently(path)[0] == BOTH


@pytest.mark.parametrize(
    ("items", "changes", "left_out"),
    [
        ([item("c", "c.xhtml")], {}, r"c\.xhtml \(not in the archive\)"),
        ([], {}, r"'c' \(not in the manifest\)"),
        ([item("c", "https://x.org/c")], {}, r"https://x.org/c \(on the web\)"),
        ([item("c", "http://[x")], {}, r"http://\[x \(on the web\)"),
        ([item("c", kind="image/svg+xml")], {"OPS/c": "<svg/>"}, r"c \(image/svg\+xml\)"),
        ([item("c", kind="image/jpeg")], {"OPS/c": b"\xff\xd8\xff"}, r"c \(image/jpeg\)"),
        ([item("c", kind="application/xml")], {"OPS/c": "<TEI/>"}, r"c \(application/xml\)"),
        ([item("c")], {"OPS/c": NOISE}, r"c \(no markup; damaged or encrypted\)"),
        (
            [item("c", "c.xhtml", more='properties="nav"')],
            {"OPS/c.xhtml": XHTML % "<h1>Contents</h1><nav><a>One</a></nav>"},
            r"c\.xhtml \(the contents page\)",
        ),
    ],
)  # fmt: skip
def test_whatever_is_left_out_is_named_in_one_warning(book, items, changes, left_out):
    opf = package([item("a"), item("b"), *items], ["a", "c", "b", "gone"])
    with pytest.warns(UserWarning) as caught:
        assert epub_text(book(changes, opf))[0] == BOTH
    assert [len(caught), caught[0].filename] == [1, __file__]
    pattern = rf"book\.epub: left out of the text: {left_out}; 'gone' \(not in the manifest\)\."
    assert re.search(pattern, str(caught[0].message))


def test_a_fallback_is_read_where_an_item_is_no_text(book):
    items = [item("c", "c.svg", "image/svg+xml", 'fallback="a"'), item("a"), item("b")]
    with pytest.warns(UserWarning, match=r"c\.svg \(image/svg\+xml; a stands for it\)"):
        text, _ = epub_text(book({"OPS/c.svg": "<svg/>"}, package(items, ["c", "b"])))
    assert text == BOTH


def test_fallbacks_that_go_round_end(book):
    items = [
        item("c", "c.svg", "image/svg+xml", 'fallback="d"'),
        item("d", "c.svg", "image/svg+xml", 'fallback="c"'),
    ]
    with pytest.raises(MarkupError, match="holds no text"):
        epub_text(book({"OPS/c.svg": "<svg/>"}, package(items, ["c"])))


def test_a_contents_page_of_nav_alone_goes_and_one_with_the_book_in_it_stays(book):
    nav = item("nav", "nav.xhtml", more='properties="toc nav"')
    opf = package([item("a"), item("b"), nav], ["nav", "a", "b"])
    toc = "<nav><h1>Contents</h1><ol><li>One</li></ol></nav>"
    assert silently(book({"OPS/nav.xhtml": XHTML % toc}, opf))[0] == BOTH
    whole = XHTML % (toc + "<p>" + "It rained. " * 50 + "</p>")
    text, _ = silently(book({"OPS/nav.xhtml": whole}, opf))
    assert text == "It rained. " * 49 + "It rained.\n\n" + BOTH


def test_a_chapter_out_of_line_is_kept_and_one_listed_twice_is_read_once(book):
    items = [item("a"), item("b"), item("a2", "a#middle")]
    opf = package(items, ["a", "a2", "b", "a"]).replace('"b"/><', '"b" linear="no"/><')
    assert silently(book(opf=opf))[0] == BOTH


def encryption(uri, algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"):
    return (
        '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" '
        'xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptedData>'
        f'<enc:EncryptionMethod Algorithm="{algorithm}"/><enc:CipherData><enc:CipherReference '
        f'URI="{uri}"/></enc:CipherData></enc:EncryptedData></encryption>'
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"META-INF/encryption.xml": encryption("OPS/a"), "OPS/a": b"\xf5\xb1" * 500},
        {"META-INF/encryption.xml": encryption("OPS/%61")},
        {"META-INF/encryption.xml": encryption("a")},
        {"META-INF/rights.xml": "<rights/>"},
        {"META-INF/sinf.xml": "<sinf/>"},
    ],
)
def test_copy_protection_is_refused_by_name(book, changes):
    with pytest.raises(MarkupError, match="copy-protected"):
        epub_text(book(changes))


def test_a_member_with_a_password_is_refused_by_name(book):
    path = book()
    data = bytearray(path.read_bytes())
    at = -1
    while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
        data[at + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(MarkupError, match="copy-protected"):
        epub_text(path)


def test_garbled_fonts_are_no_copy_protection(book):
    garbled = encryption("OPS/font.otf", "http://www.idpf.org/2008/embedding")
    assert silently(book({"META-INF/encryption.xml": garbled}))[0] == BOTH


@pytest.mark.parametrize("content", ["", b"\0\xff" * 9])
def test_an_encryption_file_that_says_nothing_is_no_copy_protection(book, content):
    assert epub_text(book({"META-INF/encryption.xml": content}))[0] == BOTH


def test_a_package_that_is_not_well_formed_is_read_with_a_warning(book):
    opf = package([item("a"), item("b")], ["a", "b"], "").replace(
        "<manifest>", "<x>A & B</x><manifest>"
    )
    with pytest.warns(
        UserWarning, match=r"OPS/book\.opf is not well-formed; some text may be missing"
    ):
        assert epub_text(book(opf=opf))[0] == BOTH


@pytest.mark.parametrize(
    ("changes", "opf", "message"),
    [
        (
            {"META-INF/container.xml": None, "OPS/book.opf": None},
            None,
            r"not an EPUB.*container\.xml",
        ),
        ({}, package([item("a")], []), "lists no documents in a spine"),
        ({}, package([item("a")], ["a"] * 20_001), "spine lists 20,001 documents"),
        ({}, "nothing", "not an EPUB"),
        ({"OPS/a": XHTML % "<img/>", "OPS/b": XHTML % ""}, None, "holds no text"),
        (
            {"OPS/a": None, "OPS/b": None},
            None,
            r"holds no text \(left out.* a \(not in the archive\)",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(book, changes, opf, message):
    with pytest.raises(MarkupError, match=message):
        epub_text(book(changes, opf))


def test_what_unpacks_to_more_than_a_book_is_refused(book, monkeypatch):
    half = b" " * (2**24 + 1)
    for changes in ({"OPS/a": 2 * half}, {"OPS/a": half, "OPS/b": half}):
        with pytest.raises(MarkupError, match="unpacks to more than 200 times its size"):
            epub_text(book(changes))
    monkeypatch.setattr(epub, "_LARGEST_DOCUMENT", 100)
    with pytest.raises(MarkupError, match="larger than any book"):
        epub_text(book())
    monkeypatch.undo()
    monkeypatch.setattr(epub, "_LARGEST_BOOK", 500)
    with pytest.raises(MarkupError, match="larger than any book"):
        epub_text(book())
    monkeypatch.undo()
    monkeypatch.setattr(epub, "_LARGEST_PACKAGE", 100)
    with pytest.raises(MarkupError, match="larger than any book"):
        epub_text(book())
    monkeypatch.undo()
    monkeypatch.setattr(epub, "_MOST_MEMBERS", 4)
    with pytest.raises(MarkupError, match="holds 5 files"):
        epub_text(book())


def test_renamed_zip_is_no_epub(tmp_path):
    path = tmp_path / "book.epub"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("holiday.txt", "not a book")
    with pytest.raises(CorpusError, match=r"is not an EPUB.*container\.xml"):
        load_corpus(path)


def test_truncated_epub_is_refused(tmp_path):
    data = (corpora.DATASETS / "messy-book.epub").read_bytes()
    path = tmp_path / "book.epub"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(CorpusError, match="is not an EPUB"):
        load_corpus(path)


def test_a_damaged_chapter_is_refused(book):
    path = book(mode=zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"miller", b"killer"))
    with pytest.raises(MarkupError, match="OPS/a is damaged"):
        epub_text(path)
