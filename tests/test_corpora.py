import functools
import hashlib
import http.server
import threading
import zipfile

import pytest

from lstmlib import corpora
from lstmlib.corpora import CorpusError, find_corpus, load_corpus, read_text, strip_boilerplate


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    """Point lstmlib at an empty datasets folder with a registry of one file, and no shared data."""
    folder = tmp_path / "datasets"
    folder.mkdir()
    monkeypatch.setattr(corpora, "DATASETS", folder)
    monkeypatch.delenv("LSTMLIB_DATA", raising=False)
    return folder


def register(folder, data: bytes, url: str = "http://127.0.0.1:9/book.txt"):
    (folder / "registry.toml").write_text(
        f'[book]\nfile = "book.txt"\nurl = "{url}"\n'
        f'sha256 = "{hashlib.sha256(data).hexdigest()}"\n'
        "[python-docs]\nbuiltin = true\n"
    )


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `data`; while `cut` is set, breaks off half way through."""

    def __init__(self, server_data, *args):
        self.server_data = server_data
        super().__init__(*args)

    def do_GET(self):
        data = self.server_data["data"]
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if self.server_data["cut"] else data)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    state = {"data": b"A book. " * 5000, "cut": False}
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, state))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    state["url"] = f"http://127.0.0.1:{httpd.server_port}/book.txt"
    yield state
    httpd.shutdown()
    httpd.server_close()


# Names


def repeated_share(text, n=50):
    """Return the share of the last tenth's windows of n characters that stand before it too."""
    cut = len(text) * 9 // 10
    head = {text[i : i + n] for i in range(cut - n)}
    tail = [text[i : i + n] for i in range(cut, len(text) - n)]
    return sum(window in head for window in tail) / len(tail)


def test_python_docs_is_long_and_repeats_little():
    from pydoc_data.topics import topics

    text = load_corpus("python-docs").text
    as_shipped = "\n\n".join(topics[name] for name in sorted(topics))
    assert len(text) > 250_000
    assert repeated_share(text) < 0.05 < 0.08 < repeated_share(as_shipped)


def test_python_docs_has_no_paragraph_twice():
    paragraphs = [" ".join(p.split()) for p in load_corpus("python-docs").text.split("\n\n")]
    assert len(paragraphs) == len(set(paragraphs))


@pytest.mark.parametrize(
    ("name", "characters", "distinct"),
    [
        ("messy-book", 7_274, 77),
        ("messy-book-epub", 7_248, 74),
        ("shakespeare", 1_115_394, 65),
        ("david-copperfield", 1_934_596, 80),
        ("wealth-of-nations", 2_221_403, 87),
    ],
)
def test_data_sheet_is_true(name, characters, distinct):
    try:
        path = find_corpus(name)
    except CorpusError:
        pytest.skip(f"{name} is on no disk here, and there is no network")
    assert path.is_file()
    text = load_corpus(name).text
    assert (len(text), len(set(text))) == (characters, distinct)
    sheet = (corpora.DATASETS / "README.md").read_text(encoding="utf-8")
    row = next(line for line in sheet.splitlines() if line.startswith(f"| `{name}` |"))
    assert f"| {characters:,} | {distinct} |".replace(",", " ") in row


def test_unknown_name_lists_names_and_suggests_one():
    with pytest.raises(
        CorpusError, match=r"is not there.*Did you mean 'shakespeare'\?.*python-docs"
    ):
        load_corpus("shakespear")


def test_corpora_without_a_checkout_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(corpora, "DATASETS", tmp_path)
    with pytest.raises(CorpusError, match="pip install -e"):
        load_corpus("shakespeare")


# Downloads


def test_no_network_says_where_to_put_the_file(datasets):
    register(datasets, b"x", url="http://192.0.2.1/book.txt")
    with pytest.raises(CorpusError, match=r"could not be downloaded.*LSTMLIB_DATA.*fallback"):
        load_corpus("book")
    assert [p.name for p in datasets.iterdir()] == ["registry.toml"]


def test_fallback_is_visible(datasets):
    register(datasets, b"x", url="http://192.0.2.1/book.txt")
    with pytest.warns(UserWarning, match="Using 'python-docs' instead of 'book'"):
        corpus = load_corpus("book", fallback="python-docs")
    assert (corpus.name, corpus.fell_back_from) == ("python-docs", "book")


def test_download_is_kept_and_not_repeated(datasets, server):
    register(datasets, server["data"], server["url"])
    assert load_corpus("book").text == server["data"].decode()
    server["cut"] = True
    assert load_corpus("book").text == server["data"].decode()


def test_download_cut_off_half_way_leaves_nothing_and_recovers(datasets, server):
    register(datasets, server["data"], server["url"])
    server["cut"] = True
    with pytest.raises(CorpusError, match=r"could not be downloaded|wrong SHA-256"):
        load_corpus("book")
    assert [p.name for p in datasets.iterdir()] == ["registry.toml"]
    server["cut"] = False
    assert load_corpus("book").text == server["data"].decode()


def test_half_a_file_left_by_something_else_is_replaced(datasets, server):
    register(datasets, server["data"], server["url"])
    (datasets / "book.txt").write_bytes(server["data"][:100])
    assert load_corpus("book").text == server["data"].decode()


def test_half_a_file_without_network_is_not_hidden_by_a_fallback(datasets):
    register(datasets, b"A whole book.", url="http://192.0.2.1/book.txt")
    (datasets / "book.txt").write_bytes(b"A who")
    with pytest.raises(CorpusError, match="SHA-256"):
        load_corpus("book", fallback="python-docs")


def test_download_with_wrong_hash_is_thrown_away(datasets, server):
    register(datasets, b"another book", server["url"])
    with pytest.raises(CorpusError, match="wrong SHA-256"):
        load_corpus("book")
    assert [p.name for p in datasets.iterdir()] == ["registry.toml"]


def test_shared_folder_is_used(datasets, tmp_path, monkeypatch):
    register(datasets, b"A book.")
    (tmp_path / "book.txt").write_bytes(b"A book.")
    monkeypatch.setenv("LSTMLIB_DATA", str(tmp_path))
    assert load_corpus("book").source == str(tmp_path / "book.txt")


def test_shared_file_with_wrong_hash_is_refused_not_hidden(datasets, tmp_path, monkeypatch):
    register(datasets, b"A book.")
    (tmp_path / "book.txt").write_bytes(b"Another book.")
    monkeypatch.setenv("LSTMLIB_DATA", str(tmp_path))
    with pytest.raises(CorpusError, match="SHA-256"):
        load_corpus("book", fallback="python-docs")
    assert (tmp_path / "book.txt").exists()


# Files


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        (b"plain\r\nlines\rhere\n", "plain\nlines\nhere\n", "utf-8"),
        ("\ufeffcafé\r\n".encode(), "café\n", "utf-8-sig"),
        ("café “x”".encode("utf-16"), "café “x”", "utf-16"),
        ("café “x”".encode("utf-32"), "café “x”", "utf-32"),
        (b"Character set encoding: ISO-8859-1\r\ncaf\xe9", None, "ISO-8859-1"),
    ],
)
def test_encodings_and_line_ends(tmp_path, data, text, encoding):
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    got, used = read_text(path)
    assert used == encoding
    assert got == (text or "Character set encoding: ISO-8859-1\ncafé")


@pytest.mark.parametrize("copies", [2, 10, 60])
@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Le garçon est allé à la fenêtre où il était naïve. "),
        ("cp1252", "“It’s a naïve café,” he said. "),
        ("cp1252", "El niño comió piñas mañana, ¿no? "),
        ("cp1252", "Übermäßig schöne Größe für die Bärin. "),
        ("cp1250", "Zażółć gęślą jaźń, proszę państwa. "),
        ("cp1251", "Мама мыла раму, а кошка спала на окне. "),
        ("cp1253", "Το παιδί πήγε στο σχολείο. "),
    ],
)
def test_undeclared_encoding_is_guessed_with_a_warning(tmp_path, encoding, text, copies):
    path = tmp_path / "a.txt"
    path.write_bytes((text * copies).encode(encoding))
    with pytest.warns(UserWarning, match="a guess. If letters look wrong, give encoding="):
        assert load_corpus(path).text == text * copies


def test_encoding_can_be_given(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("Мама мыла раму".encode("koi8-r"))
    assert load_corpus(path, encoding="koi8-r").text == "Мама мыла раму"
    path.write_bytes("\ufeffМама".encode())
    assert load_corpus(path, encoding="utf-8").text == "Мама"
    path.write_bytes("Мама мыла раму".encode("koi8-r"))
    with pytest.raises(CorpusError, match="does not decode as ascii"):
        load_corpus(path, encoding="ascii")


def test_unknown_fallback_is_refused_before_anything_is_tried():
    with pytest.raises(CorpusError, match="no corpus 'alsonope' to fall back on"):
        load_corpus("nope", fallback="alsonope")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.txt", b"", "is empty"),
        ("blank.txt", b"\xef\xbb\xbf \r\n\r\n", "holds no text"),
        ("picture.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", "binary file"),
        ("noise.txt", bytes(range(128, 256)) * 8 + bytes(range(1, 32)) * 8, "no encoding"),
        (
            "declared.html",
            b'<meta charset="klingon"><p>caf\xe9',
            "does not know the encoding 'klingon'",
        ),
        ("half.txt", "\ufeffcafé".encode()[:-1], "does not decode"),
        ("wide.txt", "text".encode("utf-16-le"), "UTF-16 without its mark"),
        ("paper.pdf", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n" * 9, "is a PDF file"),
        ("letter.txt", b"{\\rtf1\\ansi caf\\'e9}", "is a RTF file"),
        ("letter.docx", b"PK\x03\x04\x14\x00", "zip or office file"),
        ("none.epub", b"", "is empty"),
        ("text.epub", b"I am no book.", "is not an EPUB"),
    ],
)
def test_bad_file_gets_one_clear_message(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(CorpusError, match=message) as error:
        load_corpus(path)
    assert str(path) in str(error.value)


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


def test_folder_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="is a folder, not a file"):
        load_corpus(tmp_path)


def test_html_becomes_paragraphs(tmp_path):
    path = tmp_path / "a.html"
    path.write_text(
        "<!DOCTYPE html><html><head><title>no</title><style>p {}</style></head><body>"
        "<h1>A\n  title</h1><p>One <em>long</em>\nline.<br>Next.</p><pre>a\n  b</pre>"
        "<script>no()</script><ul><li>x</li><li>y</li></ul><!-- no --></body></html>"
    )
    assert load_corpus(path).text == "A title\n\nOne long line.\nNext.\n\na\n  b\n\nx\n\ny\n"


def test_epub_reads_in_order_without_its_navigation():
    text = load_corpus("messy-book-epub").text
    heads = ["THE PATIENT MACHINE", "I. THE ARRIVAL", "III. THE SPOILED", "V. THE COUNTING BOY"]
    places = [text.index(head) for head in heads]
    assert places == sorted(places)
    assert all(text.count(head) == 1 for head in heads)


# Boilerplate


@pytest.mark.parametrize("which", ["THE", "THIS"])
def test_header_footer_and_credit_go(which):
    book = (
        f"Title: A\n\n*** START OF {which} PROJECT GUTENBERG EBOOK A ***\n\n\nProduced by Some\n"
        f"and others\n\nChapter 1\n\nText.\n\n\nEnd of the Project Gutenberg EBook of A\n\n"
        f"*** END OF {which} PROJECT GUTENBERG EBOOK A ***\nLicence\n"
    )
    assert strip_boilerplate(book) == "Chapter 1\n\nText.\n"


@pytest.mark.parametrize(
    "text",
    [
        "*** Three stars, and the END OF THIS story. ***\n",
        "*** START OF THE RACE ***\n" + "They ran. " * 200 + "No EBOOK here. ***\nThe rest.\n",
    ],
)
def test_text_without_markers_stays(text):
    assert strip_boilerplate(text) == text


def test_a_title_may_run_over_a_line_end():
    book = "x\n*** START OF THIS PROJECT GUTENBERG EBOOK A\nLONG TITLE ***\nText.\n"
    assert strip_boilerplate(book) == "Text.\n"


def test_boilerplate_is_kept_on_request():
    assert "START OF THIS PRACTICE" in load_corpus("messy-book", keep_boilerplate=True).text
    assert "PRACTICE" not in load_corpus("messy-book").text


def test_messy_book_is_built_from_its_source(tmp_path, monkeypatch):
    import runpy

    from ebooklib import epub

    script = runpy.run_path(str(corpora.DATASETS / "make_messy_book.py"))
    assert script["as_text"]() == (corpora.DATASETS / "messy-book.txt").read_bytes()
    epub.write_epub(str(tmp_path / "fresh.epub"), script["as_epub"]())
    assert load_corpus(tmp_path / "fresh.epub").text == load_corpus("messy-book-epub").text
