import gzip
import io
import os
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import pytest

from lstmlib import readers
from lstmlib.corpora import load_corpus
from lstmlib.decoding import CorpusError, CorpusUnavailable
from lstmlib.readers import find_file, read_book, read_text

ROOT = Path(__file__).resolve().parents[2]
PAGE = "<!DOCTYPE html><html><body><p>One &amp; two.</p><p>Three.</p></body></html>"
FICTION_BOOK = (
    '<?xml version="1.0" encoding="{}"?><FictionBook '
    'xmlns="http://www.gribuser.ru/xml/fictionbook/2.0"><description/><body><section>'
    "<p>Мельник проснулся.</p><p>Конец.</p></section></body></FictionBook>"
)
WEB_ARCHIVE = (
    "From: <Saved by a browser>\r\nSubject: A page\r\nMIME-Version: 1.0\r\n"
    'Content-Type: multipart/related; type="text/html"; boundary="x"\r\n\r\n--x\r\n'
    "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    "<html><body><p>One =E2=80=94 two.</p><p>Three.</p></body></html>\r\n--x--\r\n"
)


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read_with_warnings(path, **options):
    """Return (text, encoding, what the warnings said)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        text, encoding = read_text(path, **options)
    return text, encoding, " ".join(str(w.message) for w in caught)


def zipped(files):
    """Return a zip archive of these files, name -> content."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


# Which reader


@pytest.mark.parametrize("suffix", [".html", ".htm", ".xhtml", ".xht", ".HTML"])
@pytest.mark.filterwarnings("error")
def test_pages_are_read_by_their_suffix(tmp_path, suffix):
    assert read_text(write(tmp_path / f"a{suffix}", PAGE))[0] == "One & two.\n\nThree.\n"


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1251", "koi8-r"])
@pytest.mark.filterwarnings("error")
def test_fiction_books_are_read_in_the_encoding_that_they_declare(tmp_path, encoding):
    path = write(tmp_path / "a.fb2", FICTION_BOOK.format(encoding).encode(encoding))
    assert read_text(path)[0] == "Мельник проснулся.\n\nКонец.\n"


@pytest.mark.parametrize("suffix", [".mht", ".mhtml"])
@pytest.mark.filterwarnings("error")
def test_web_archives_are_read(tmp_path, suffix):
    assert read_text(write(tmp_path / f"a{suffix}", WEB_ARCHIVE))[0] == "One — two.\n\nThree.\n"


@pytest.mark.parametrize(
    ("content", "text", "kind"),
    [
        (PAGE, "One & two.\n\nThree.\n", "HTML"),
        ("\ufeff" + PAGE, "One & two.\n\nThree.\n", "HTML"),
        ("\n\n" + PAGE, "One & two.\n\nThree.\n", "HTML"),
        (FICTION_BOOK.format("utf-8"), "Мельник проснулся.\n\nКонец.\n", "FictionBook"),
        (WEB_ARCHIVE, "One — two.\n\nThree.\n", "web archive"),
    ],
)
@pytest.mark.parametrize("suffix", [".txt", "", ".md"])
def test_markup_under_another_name_is_read_as_markup(tmp_path, content, text, kind, suffix):
    got, _, said = read_with_warnings(write(tmp_path / f"a{suffix}", content))
    assert got == text
    assert f"holds {kind}" in said


@pytest.mark.parametrize(
    "text",
    [
        "The <p> tag begins a paragraph; </p> ends it.\n",
        "<sigh> she said.\n\n<laughs> He did not.\n",
        "MIME-Version: a header that mail has.\n",
        "1 < 2 and 3 > 2\n",
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_text_about_markup_is_a_text(tmp_path, text):
    assert read_text(write(tmp_path / "a.txt", text)) == (text, "utf-8")


def test_unknown_xml_is_refused_by_name(tmp_path):
    path = write(tmp_path / "a.xml", '<?xml version="1.0"?>\n<TEI><text>One.</text></TEI>')
    with pytest.raises(CorpusError, match=r"a\.xml is XML, of a kind that is not read here"):
        read_text(path)


@pytest.mark.filterwarnings("error")
def test_a_page_declares_its_encoding_where_browsers_look(tmp_path):
    path = tmp_path / "a.html"
    meta = "<html><head><meta {}></head><body><p>Мама мыла раму</p></body></html>"
    for declared in (
        'charset="windows-1251"',
        "charset=cp1251",
        'http-equiv="Content-Type" content="text/html; charset=windows-1251"',
    ):
        write(path, meta.format(declared).encode("cp1251"))
        assert read_text(path) == ("Мама мыла раму\n", "cp1251")
    comment = '<!-- <meta charset="koi8-r"> -->' + meta.format("charset=cp1251")
    assert read_text(write(path, comment.encode("cp1251")))[0] == "Мама мыла раму\n"


def test_a_text_declares_its_encoding_on_a_line_of_its_own(tmp_path):
    path = tmp_path / "a.txt"
    header = "The Book\r\n\r\nCharacter set encoding: {}\r\n\r\n"
    write(path, (header.format("KOI8-R") + "Мама мыла раму. ").encode("koi8-r"))
    assert "Мама" in read_with_warnings(path)[0]
    assert not read_with_warnings(path)[2]
    for about in ("Never write charset=none. ", "so encoding='koi8-r' is wrong. ", "see: {}"):
        write(
            path, ((about.format("Character set encoding: KOI8-R")) + "Le café. ").encode("cp1252")
        )
        got, encoding, said = read_with_warnings(path)
        assert (got[-9:], encoding) == ("Le café. ", "cp1252")
        assert "does not say its encoding" in said


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("ASCII", "declares ASCII, and holds more"),
        ("ISO Latin-1", "declares the encoding 'ISO Latin-1', a name that is not known"),
        ("CP-1252", "a name that is not known"),
        ("UTF-8", "does not fit its bytes"),
    ],
)
def test_a_gutenberg_header_that_is_wrong_about_the_encoding(tmp_path, declared, said):
    text = (
        f"The Project Gutenberg EBook of A\n\nCharacter set encoding: {declared}\n\n"
        "*** START OF THIS PROJECT GUTENBERG EBOOK A ***\n\nShe had £20,000 a year, and a café.\n"
    )
    path = write(tmp_path / "a.txt", text.encode("cp1252"))
    with pytest.warns(UserWarning, match=said):
        assert load_corpus(path).text == "She had £20,000 a year, and a café.\n"


def test_separators_of_lines_stay_for_cleaning(tmp_path):
    path = write(tmp_path / "a.txt", "one\r\ntwo\rthree\x85four\u2028five\u2029six\x0c\n")
    assert read_text(path)[0] == "one\ntwo\nthree\x85four\u2028five\u2029six\x0c\n"


def test_a_book_of_nothing_but_a_header_is_refused(tmp_path):
    path = write(
        tmp_path / "a.txt", "Title: A\n\n*** START OF THIS PROJECT GUTENBERG EBOOK A ***\n"
    )
    with pytest.raises(CorpusError, match="holds no text"):
        read_book(path)
    assert "START" in read_book(path, keep_boilerplate=True)[0]


# Packed files


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt.gz", gzip.compress("One — two.".encode())),
        ("a.txt", gzip.compress("One — two.".encode())),
        ("a.txt.zip", zipped({"a.txt": "One — two."})),
        ("a.zip", zipped({"folder/": "", "folder/a.txt": "One — two.", "__MACOSX/._a": "x"})),
        ("a.html.gz", gzip.compress(b"<html><p>One &mdash; two.</html>")),
    ],
)
@pytest.mark.filterwarnings("error")
def test_one_packed_file_is_read(tmp_path, name, content):
    assert read_text(write(tmp_path / name, content))[0].strip() == "One — two."


@pytest.mark.filterwarnings("error")
def test_a_packed_fiction_book_is_read(tmp_path):
    content = zipped({"a.fb2": FICTION_BOOK.format("utf-8")})
    assert "Мельник" in read_text(write(tmp_path / "a.fb2.zip", content))[0]


@pytest.mark.parametrize("name", ["messy.txt", "messy.zip"])
def test_an_epub_under_another_name_is_told_apart(tmp_path, name):
    content = (ROOT / "datasets" / "messy-book.epub").read_bytes()
    got, _, said = read_with_warnings(write(tmp_path / name, content))
    assert got == load_corpus("messy-book-epub").text
    assert "is an EPUB, and is read as one" in said


TAR = bytes(257) + b"ustar\x0000" + bytes(248)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped({"a.txt": "One.", "b.txt": "Two."}), "is a zip archive of 2 files, not one text"),
        (zipped({"[Content_Types].xml": "", "word/document.xml": ""}), "is an Office file"),
        (zipped({"mimetype": "application/vnd.oasis", "content.xml": ""}), "is an Office file"),
        (zipped({}), "is a zip archive of 0 files"),
        (zipped({"a.txt": "One."})[:-30], "is a zip or office file that cannot be unpacked"),
        (zipped({"a.txt": gzip.compress(b"One.")}), "is packed twice, a gzip file"),
        (gzip.compress(zipped({"a.txt": "One."})), "is packed twice, a zip"),
        (gzip.compress(b"One. " * 999)[:-30], "is a gzip file that cannot be unpacked"),
        (b"\x1f\x8b and so on", "is a gzip file that cannot be unpacked"),
        (gzip.compress(TAR), "is a gzip file of a tar archive"),
        (TAR, "is a tar archive"),
        (b"%PDF-1.7\n", "is a PDF file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old Office file"),
        (bytes(60) + b"BOOKMOBI", "is a Kindle file"),
        (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip file"),
    ],
)
def test_what_is_no_text_is_named(tmp_path, content, message):
    path = write(tmp_path / "a.txt", content)
    with pytest.raises(CorpusError, match=message) as error:
        load_corpus(path, fallback="python-docs")
    assert str(path) in str(error.value)


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: zipped({"a.txt": data})])
def test_what_unpacks_to_a_thousandfold_is_refused(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(readers, "FREELY_UNPACKED", 2**20)
    path = write(tmp_path / "a.txt.gz", pack(b"spam " * 2**22))
    tracemalloc.start()
    with pytest.raises(CorpusError, match="unpacks to more than"):
        read_text(path)
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()


# Paths


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("https://example.org/book.txt", "is an address on the web, and only files.*Download it"),
        (Path("https://example.org/book.txt"), "is an address on the web"),
        ("HTTP://EXAMPLE.ORG/BOOK", "is an address on the web"),
        ("ftp://example.org/book.txt", "is an address on the web"),
        ("www.example.org/book.txt", "is an address on the web"),
        ("file:///home/me/book.txt", r"Give the path alone, without file://\."),
        ("'book.txt'", "has quotation marks around it"),
        ('"/home/me/my book.txt"', "has quotation marks around it"),
        ("“book.txt”", "has quotation marks around it"),
        (" book.txt", r"has white space around it: 'book\.txt' is there"),
        ("book.txt\n", r"has white space around it: 'book\.txt' is there"),
        (".\\book.txt", r"this system writes /: '\./book\.txt' is there"),
        ("C:\\Users\\me\\book.txt", "is a path of Windows"),
        ("C:\new\book.txt", "is a path of Windows"),
        ("\\\\server\\share\\book.txt", "is a path of Windows"),
        ("texts\book.txt", "holds a control character"),
        ("~no-such-user/book.txt", "no such user is known here"),
        ("a\0b", "holds a control character"),
        ("\ud800", "is no path that can be followed"),
        ("loop", "is no path that can be followed.*symbolic links"),
        ("To be, or not to be: that is the question, he said.", "is a text, not the path"),
        ("Call me Ishmael.\nSome years ago", "is a text, not the path"),
        ("word " * 10**6, "is a text, not the path"),
        ("x" * 300, "is a text, not the path"),
        ("", "The name is empty"),
        (" ", "The name is empty"),
        (".", "is a folder, not a file"),
        ("fifo", "is no file on disk"),
        ("/dev/zero", "is no file on disk"),
        (b"book.txt", "by its name or by a path.*of type bytes"),
        (None, "of type NoneType"),
        (10**400, "of type int"),
        (["book.txt"], "of type list"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="paths of this system")
def test_what_is_no_path_gets_one_clear_message(tmp_path, monkeypatch, asked, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "book.txt", "A book.")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    for options in ({}, {"fallback": "python-docs"}):  # which hides no mistake
        with pytest.raises(CorpusError, match=message) as error:
            load_corpus(asked, **options)
        assert not isinstance(error.value, CorpusUnavailable)
        assert len(str(error.value)) < 500
    with pytest.raises(CorpusError, match=message):
        read_text(asked)


@pytest.mark.parametrize(
    "asked", ["book.tx", "no/book.txt", "book.txt/x", "\udcff", "A Book (1).txt"]
)
def test_a_file_that_is_not_there_may_have_a_fallback(tmp_path, monkeypatch, asked):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "book.txt", "A book.")
    with pytest.raises(CorpusUnavailable, match="is not there. No corpus has that name") as error:
        load_corpus(asked)
    str(error.value).encode()  # it can be printed, whatever the path holds
    with pytest.warns(UserWarning, match="Using 'python-docs' instead"):
        assert load_corpus(asked, fallback="python-docs").name == "python-docs"


def test_a_path_may_look_like_something_else(tmp_path, monkeypatch):
    """What is there is read, whatever its name."""
    monkeypatch.chdir(tmp_path)
    names = [
        "'a'",
        " a",
        "a\\b",
        "a\nb",
        "one two three four five six seven eight nine ten",
        "é\u0301",
    ]
    for name in names:
        write(tmp_path / name, "A book.")
        assert load_corpus(name).text == "A book."
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_file("~/'a'") == tmp_path / "'a'"


@pytest.mark.parametrize("asked_of", ["stat", "read_bytes"])
def test_a_file_that_may_not_be_read(tmp_path, monkeypatch, asked_of):
    """In a closed folder it cannot even be looked at. (The superuser may read all: a stand-in.)"""
    path, real = write(tmp_path / "closed.txt", "A book."), getattr(Path, asked_of)

    def closed(self, *arguments, **options):
        if self == path:
            raise PermissionError(13, "Permission denied")
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, asked_of, closed)
    with pytest.raises(CorpusError, match=r"closed\.txt.*Permission denied.*ask its owner"):
        load_corpus(path, fallback="python-docs")


# A machine with nothing but PyTorch


def test_plain_utf8_is_read_with_pythons_own_library_alone(tmp_path):
    plain = write(tmp_path / "plain.txt", "\ufeffA “book”.\r\n")
    latin = write(tmp_path / "latin.txt", "Un café.".encode("cp1252"))
    page = write(tmp_path / "page.html", PAGE)
    blocked = ["webencodings", "charset_normalizer", "lxml", "pooch", "requests", "numpy", "bs4"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked!r}))\n"
        "from lstmlib.readers import read_book\n"
        "from lstmlib.decoding import CorpusError\n"
        "for path in sys.argv[1:]:\n"
        "    try: print(ascii(read_book(path)))\n"
        "    except CorpusError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, plain, latin, page],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    first, second, third = done.stdout.splitlines()
    assert first == r"('A \u201cbook\u201d.\n', 'utf-8-sig')"
    for said in (second, third):
        assert "is not plain UTF-8, and what reads other files is missing" in said


# Programs that train on a file


def read_by_a_program(name):
    pytest.importorskip("torch")
    from experiments.common import corpus_text

    return corpus_text(name)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.filterwarnings("ignore:.*a guess")
def test_programs_read_a_text_as_load_corpus_does(tmp_path, encoding):
    text = "Le moulin tournait. « Ça va ? » dit-il, à la fenêtre.\r\n" * 30
    path = write(tmp_path / "book.txt", text.encode(encoding))
    assert read_by_a_program(str(path)) == load_corpus(path).text == text.replace("\r\n", "\n")


def test_programs_read_an_epub_and_name_what_they_cannot_read(tmp_path):
    epub = str(ROOT / "datasets" / "messy-book.epub")
    assert read_by_a_program(epub) == load_corpus("messy-book-epub").text
    path = write(tmp_path / "a.txt", b"%PDF-1.7\n")
    with pytest.raises(ValueError, match=r"a\.txt is a PDF file"):
        read_by_a_program(str(path))
    with pytest.raises(ValueError, match="is an address on the web"):
        read_by_a_program("https://example.org/book.txt")


# Large files


@pytest.mark.parametrize("piece", [" ", "\n", "<", "<!--", "a", "\t\r\n", "é", "<p ", "'"])
def test_megabytes_of_one_piece_are_read(tmp_path, piece):
    """benchmarks/reading.py measures the time."""
    path = write(tmp_path / "a.txt", "x" + piece * 10**6)
    assert (
        load_corpus(path).text.replace("\r", "").rstrip()
        == ("x" + piece * 10**6).replace("\r", "").rstrip()
    )
