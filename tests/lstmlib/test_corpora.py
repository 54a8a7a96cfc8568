import functools
import gzip
import hashlib
import http.server
import io
import os
import platform
import runpy
import sysconfig
import tarfile
import threading
import tokenize
import tracemalloc
import warnings
from pathlib import Path

import pytest

from lstmlib import corpora, readers
from lstmlib.cleaning import clean
from lstmlib.corpora import find_corpus, load_corpus, load_reviews, registry
from lstmlib.decoding import CorpusError, CorpusUnavailable
from lstmlib.readers import read_text


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    """Point lstmlib at an empty datasets folder with a registry of one file, and no shared data."""
    folder = tmp_path / "datasets"
    folder.mkdir()
    monkeypatch.setattr(corpora, "DATASETS", folder)
    monkeypatch.delenv("LSTMLIB_DATA", raising=False)
    monkeypatch.setattr(corpora, "_cache", lambda: tmp_path / "cache")
    return folder


def register(folder, data: bytes, url: str = "http://127.0.0.1:9/book.txt"):
    (folder / "registry.toml").write_text(
        f'[book]\nfile = "book.txt"\nurl = "{url}"\n'
        f'sha256 = "{hashlib.sha256(data).hexdigest()}"\n'
        '[python-docs]\nfile = "python-docs.txt"\nbundled = true\n'
    )
    (folder / "python-docs.txt").write_text("Help on a topic.\n", encoding="utf-8")


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


def test_python_docs_is_the_same_in_every_python_and_repeats_little():
    """All numbers of the course are of this text."""
    path = corpora.DATASETS / "python-docs.txt"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest == "2ff6a661ef97ac1bb32913eea94fd8fbc7d2085b56ef93b1846bf1b017263369"
    assert load_corpus("python-docs").text.encode() == path.read_bytes()
    assert repeated_share(load_corpus("python-docs").text) < 0.05


def test_python_docs_is_made_of_the_help_topics():
    from pydoc_data.topics import topics

    script = runpy.run_path(str(corpora.DATASETS / "make_python_docs.py"))
    built = script["as_text"](topics)
    assert repeated_share("\n\n".join(topics[name] for name in sorted(topics))) > 0.08
    assert repeated_share(built) < 0.05
    if platform.python_version() == script["PYTHON"]:
        assert built == load_corpus("python-docs").text
    else:
        with pytest.raises(SystemExit, match=f"is that of Python {script['PYTHON']}"):
            script["main"]()


def test_help_topics_become_one_text_without_what_was_said_before():
    script = runpy.run_path(str(corpora.DATASETS / "make_python_docs.py"))
    topics = {"b": "Two\n***\n\nSaid  once.\n", "a": "One\n***\n\nSaid once.\n\n New. \n", "c": ""}
    assert script["as_text"](topics) == "One\n***\n\nSaid once.\n\n New.\n"


def test_python_docs_has_no_paragraph_twice():
    paragraphs = [" ".join(p.split()) for p in load_corpus("python-docs").text.split("\n\n")]
    assert len(paragraphs) == len(set(paragraphs))


@pytest.mark.slow
def test_python_source_is_valid_python_that_repeats_little():
    text, _ = clean(load_corpus("python-source").text, ascii_only=True)
    assert 1_950_000 < len(text) < 2_300_000
    assert "".join(sorted(set(text))) == "\n" + "".join(map(chr, range(32, 127)))
    assert repeated_share(text) < 0.02
    list(tokenize.generate_tokens(io.StringIO(text).readline))  # raises where it is not


def test_python_source_has_modules_in_its_validation_part_alone():
    corpus, modules = load_corpus("python-source"), registry()["python-source"]["modules"]
    folder = Path(sysconfig.get_path("stdlib"))
    sizes = [len(corpora._source(folder / module, corpus.name)) for module in modules]
    assert len(corpus.text) == sum(sizes)
    assert 0.08 < sum(sizes[-10:]) / sum(sizes) < 0.11
    assert max(sizes) < 0.06 * sum(sizes)  # no module is most of the text


def test_python_source_needs_the_sources(tmp_path, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / "python.zip"))
    with pytest.raises(CorpusUnavailable, match=r"no source of its standard library.*abc\.py"):
        load_corpus("python-source")
    with pytest.warns(UserWarning, match="Using 'messy-book' instead of 'python-source'"):
        assert load_corpus("python-source", fallback="messy-book").name == "messy-book"


def test_a_module_is_read_in_the_encoding_that_it_declares(tmp_path):
    (tmp_path / "old.py").write_bytes(
        "# -*- coding: latin-1 -*-\r\nx = 'é'\r\n\r\n".encode("latin-1")
    )
    assert corpora._source(tmp_path / "old.py", "x") == "# -*- coding: latin-1 -*-\nx = 'é'\n"
    (tmp_path / "bad.py").write_bytes(b"# coding: klingon\n")
    with pytest.raises(CorpusUnavailable, match=r"bad\.py \(SyntaxError\)"):
        corpora._source(tmp_path / "bad.py", "x")


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
    assert f"| {characters:,} | {distinct} |".replace(",", " ") in data_sheet()[name]


def data_sheet():
    """Return the data sheet's table: name -> its line."""
    sheet = (corpora.DATASETS / "README.md").read_text(encoding="utf-8")
    return {line.split("`")[1]: line for line in sheet.splitlines() if line.startswith("| `")}


def test_data_sheet_and_registry_name_the_same_corpora():
    assert list(data_sheet()) == list(registry())


def test_a_corpus_without_an_address_says_what_to_take_instead():
    for entry in registry().values():
        if not entry.keys() & {"builtin", "bundled", "url"}:
            assert "url" in registry()[entry["instead"]]


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
    assert {p.name for p in datasets.iterdir()} == {"registry.toml", "python-docs.txt"}


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
    assert {p.name for p in datasets.iterdir()} == {"registry.toml", "python-docs.txt"}
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
    assert {p.name for p in datasets.iterdir()} == {"registry.toml", "python-docs.txt"}


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


@pytest.mark.parametrize("named", ["~/texts", "$HOME"])
def test_a_tilde_in_the_shared_folder_is_the_home_folder(datasets, tmp_path, monkeypatch, named):
    register(datasets, b"A book.", url="http://192.0.2.1/book.txt")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "book.txt").write_bytes(b"A book.")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LSTMLIB_DATA", named)
    if named == "~/texts":
        assert load_corpus("book").source == str(tmp_path / "texts" / "book.txt")
    else:  # only a shell expands it
        with pytest.warns(UserWarning, match=r"is '\$HOME'.*is no folder"):
            load_corpus("book", fallback="python-docs")


@pytest.mark.parametrize("named", ["/no/such/folder", "~nosuchuser/texts", "texts.txt"])
def test_a_shared_folder_that_is_not_there_is_said(datasets, tmp_path, monkeypatch, named):
    register(datasets, b"A book.", url="http://192.0.2.1/book.txt")
    (tmp_path / "texts.txt").write_text("no folder")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LSTMLIB_DATA", named)
    with (
        pytest.warns(UserWarning, match=f"LSTMLIB_DATA is '{named}', but .* is no folder") as seen,
        pytest.raises(CorpusUnavailable),
    ):
        load_corpus("book")
    assert seen[0].filename == __file__
    # What it does not need, it does not look for.
    (datasets / "book.txt").write_bytes(b"A book.")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_corpus("book").text == "A book."


@pytest.fixture
def read_only(datasets, monkeypatch):
    """Make datasets/ a folder that one may not write to, as far as lstmlib can see."""

    def access(path, mode):
        return not (mode & os.W_OK and str(path).startswith(str(datasets)))

    monkeypatch.setattr(corpora.os, "access", access)
    return datasets


def test_a_read_only_course_folder_downloads_into_the_users_cache(read_only, server, tmp_path):
    register(read_only, server["data"], server["url"])
    with pytest.warns(UserWarning, match="datasets is not writable: 'book' was downloaded to"):
        assert load_corpus("book").source == str(tmp_path / "cache" / "book.txt")
    server["cut"] = True
    with warnings.catch_warnings():  # it is found there, without a word
        warnings.simplefilter("error")
        assert load_corpus("book").text == server["data"].decode()
    (tmp_path / "cache" / "book.txt").write_bytes(b"broken")
    server["cut"] = False
    with pytest.warns(UserWarning, match="was downloaded to"):
        assert load_corpus("book").text == server["data"].decode()


def test_a_read_only_course_folder_downloads_into_the_shared_folder(
    read_only, server, tmp_path, monkeypatch
):
    register(read_only, server["data"], server["url"])
    monkeypatch.setenv("LSTMLIB_DATA", str(tmp_path))
    with pytest.warns(UserWarning, match="is not writable"):
        assert load_corpus("book").source == str(tmp_path / "book.txt")


def test_a_read_only_course_folder_without_network_says_so(read_only):
    register(read_only, b"x", url="http://192.0.2.1/book.txt")
    with pytest.raises(
        CorpusUnavailable, match="could not be downloaded.*set LSTMLIB_DATA.*datasets is not writ"
    ):
        load_corpus("book")


def test_nowhere_to_write_says_so(read_only, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder can be made below this")
    monkeypatch.setattr(corpora, "_cache", lambda: tmp_path / "file" / "cache")
    register(read_only, b"x", url="http://192.0.2.1/book.txt")
    with pytest.raises(
        CorpusUnavailable, match="could not be written to .*cache.*set LSTMLIB_DATA.*not writable"
    ):
        load_corpus("book")


def test_a_registered_file_that_may_not_be_read_is_said(datasets, monkeypatch):
    register(datasets, b"A book.")
    (datasets / "book.txt").write_bytes(b"A book.")

    def closed(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", closed)
    with pytest.raises(CorpusError, match=r"book.txt cannot be read: Permission denied"):
        load_corpus("book", fallback="python-docs")


# Files


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        (b"plain\r\nlines\rhere\n", "plain\nlines\nhere\n", "utf-8"),
        ("\ufeffcafé\r\n".encode(), "café\n", "utf-8-sig"),
        ("café “x”".encode("utf-16"), "café “x”", "utf-16"),
        ("café “x”".encode("utf-32"), "café “x”", "utf-32"),
        (b"Character set encoding: ISO-8859-1\r\ncaf\xe9", None, "cp1252"),
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
            "half.txt",
            "\ufeffcafé".encode("utf-16")[:2] + b"\x00\xd8" * 9,
            "begins with the byte-order mark of utf-16, and does not decode",
        ),
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


def test_folder_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="is a folder, not a file"):
        load_corpus(tmp_path)


def test_boilerplate_is_kept_on_request():
    assert "START OF THIS PRACTICE" in load_corpus("messy-book", keep_boilerplate=True).text
    assert "PRACTICE" not in load_corpus("messy-book").text


# Reviews


def pack(path, members, kind=tarfile.REGTYPE):
    """Write a tar.gz of (name, text or bytes), in this order."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members:
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.type, member.size = kind, len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


TWO = [("aclImdb/train/pos/0_9.txt", "Good."), ("aclImdb/test/neg/1_2.txt", "Bad.")]
SAMPLE = """
[reviews]
file = "whole.tar.gz"
url = "http://192.0.2.1/whole.tar.gz"
sha256 = "00"
[reviews-sample]
file = "sample.tar.gz"
sha256 = "{}"
instead = "reviews"
[book]
file = "book.txt"
url = "http://192.0.2.1/book.txt"
sha256 = "00"
[python-docs]
file = "python-docs.txt"
bundled = true
"""


@pytest.fixture
def sample(datasets, tmp_path, monkeypatch):
    """Register reviews that no network sends, and a sample; return the sample's place, unwritten.

    The archive of the right hash lies beside that place, as packed.tar.gz.
    """
    data = pack(tmp_path / "packed.tar.gz", TWO).read_bytes()
    (datasets / "registry.toml").write_text(SAMPLE.format(hashlib.sha256(data).hexdigest()))
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setenv("LSTMLIB_DATA", str(shared))
    return shared / "sample.tar.gz"


def test_the_data_sheet_of_the_sample_is_true():
    try:
        path = find_corpus("imdb-sample")
    except CorpusUnavailable:
        pytest.skip("imdb-sample is on no disk here")
    with tarfile.open(path) as archive:
        packed = [m.name for m in archive if m.isreg()]
    reviews = load_reviews("imdb-sample")
    text = "".join(reviews.texts)
    row, sheet = data_sheet()["imdb-sample"], (corpora.DATASETS / "README.md").read_text("utf-8")
    assert f"| {len(text):,} | {len(set(text))} |".replace(",", " ") in row
    assert f"{len(packed):,} reviews".replace(",", " ") in row
    assert {name.split("/")[1] for name in packed} == {"train"}
    assert len(reviews.texts) == len(packed)  # none is empty, and none occurs twice
    assert "sample has no such text" in " ".join(sheet.split())
    assert not [c for c in text if "\x7f" <= c <= "\x9f"]
    assert "<br" not in text.lower()


def test_reviews_come_in_the_order_of_their_paths(tmp_path):
    names = ["train/pos/10_9", "train/neg/2_1", "test/pos/3_8", "train/pos/2_9", "test/neg/0_4"]
    members = [(f"aclImdb/{name}.txt", name) for name in names]
    one = load_reviews(pack(tmp_path / "one.tar.gz", members))
    other = load_reviews(pack(tmp_path / "other.tar.gz", reversed(members)))
    assert one.texts == other.texts == tuple(sorted(names))
    assert (one.name, one.source, one.fell_back_from) == (
        "one.tar.gz",
        str(tmp_path / "one.tar.gz"),
        None,
    )
    assert "5 reviews" in repr(one)


def test_a_text_that_occurs_twice_is_kept_once_and_an_empty_one_not_at_all(tmp_path):
    texts = ["b", " <br /> ", "a", "b <br />", "", "a.", "B"]
    members = [(f"x/train/pos/{i}_9.txt", text) for i, text in enumerate(texts)]
    assert load_reviews(pack(tmp_path / "x.tar.gz", members)).texts == ("b", "a", "a.", "B")


@pytest.mark.parametrize(
    ("packed", "text"),
    [
        ("One.<br /><br />Two.", "One.\n\nTwo."),
        ("One. <br /><br />\tTwo.<BR/> <br>Three.", "One.\n\nTwo.\n\nThree."),
        ("\ufeff<br />One.\r\nTwo.\rThree. \n", "One.\nTwo.\nThree."),
        ("Hush\x85Hush \x96 \x91so\x92\x81 said\x85", "Hush…Hush – ‘so’ said…"),
        ("\x85\x85 and 99¢ café", "…… and 99¢ café"),
        ("a < b, < YES >, <p>, R&B", "a < b, < YES >, <p>, R&B"),
    ],
)
def test_the_text_of_a_review(tmp_path, packed, text):
    assert load_reviews(pack(tmp_path / "x.tar.gz", [("x/test/pos/0_9.txt", packed)])).texts == (
        text,
    )


@pytest.mark.parametrize(
    "name",
    [
        "aclImdb/train/unsup/0_0.txt",
        "aclImdb/train/urls_pos.txt",
        "aclImdb/train/pos/._0_9.txt",
        "aclImdb/train/pos/0_9.txt.bak",
        "aclImdb/train/pos/deeper/0_9.txt",
        "aclImdb/valid/pos/0_9.txt",
        "/aclImdb/train/pos/0_9.txt",
        "/train/pos/0_9.txt",
        "../train/pos/0_9.txt",
        "../../aclImdb/train/pos/0_9.txt",
        "aclImdb/../train/pos/0_9.txt",
        "aclImdb/train/pos/../0_9.txt",
        "train/pos/0_9.txt",
    ],
)
def test_nothing_outside_the_layout_is_read(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    odd = [(name, b"\xff no review")]  # not UTF-8: read, it would be an error
    assert load_reviews(pack(tmp_path / "x.tar.gz", odd + TWO)).texts == ("Bad.", "Good.")
    assert [p.name for p in tmp_path.iterdir()] == ["x.tar.gz"]
    with pytest.raises(CorpusError, match="holds no reviews"):
        load_reviews(pack(tmp_path / "x.tar.gz", odd))


def test_a_leading_dot_folder_is_no_matter(tmp_path):
    members = [(f"./{name}", text) for name, text in TWO]
    assert load_reviews(pack(tmp_path / "x.tar.gz", members)).texts == ("Bad.", "Good.")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
def test_links_and_folders_are_not_read(tmp_path, kind):
    path = tmp_path / "x.tar.gz"
    (tmp_path / "secret").write_text("a secret")
    with tarfile.open(path, "w:gz") as archive:
        for name, text in TWO:
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
        for target in (str(tmp_path / "secret"), "../../../secret", TWO[0][0]):
            member = tarfile.TarInfo(f"aclImdb/train/neg/{len(target)}_1.txt")
            member.type, member.linkname = kind, target
            archive.addfile(member)
    assert load_reviews(path).texts == ("Bad.", "Good.")


def second_block_of_no_type(whole):
    """Store an archive uncompressed, and give the second block a type that DEFLATE has not."""
    data = bytearray(gzip.compress(gzip.decompress(whole), compresslevel=0))
    first = int.from_bytes(data[11:13], "little")  # its length, behind gzip's header and its type
    data[15 + first] = 0b111
    return bytes(data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda whole: whole[: len(whole) // 2], "is cut off. Copy or download it again"),
        (lambda whole: whole[:-5], "is cut off"),
        (lambda whole: whole[:-8] + bytes(4) + whole[-4:], "not a tar.gz archive.*CRC"),
        (second_block_of_no_type, "not a tar.gz archive.*block type"),
        (gzip.decompress, "not a tar.gz archive.*Not a gzipped"),
        (lambda whole: gzip.compress(gzip.decompress(whole)[:700]), "not a tar.gz archive.*end of"),
        (lambda whole: gzip.compress(b"I am one text. " * 99), "not a tar.gz archive"),
        (lambda whole: b"I am no archive.", "not a tar.gz archive.*right file"),
        (lambda whole: b"", "not a tar.gz archive.*empty"),
    ],
)
def test_bad_archive_gets_one_clear_message(tmp_path, damage, message):
    noise = "".join(hashlib.sha512(b"%d" % i).hexdigest() for i in range(999))
    members = [("x/train/pos/0_9.txt", "Good."), ("x/train/pos/1_9.txt", noise)]
    path = pack(tmp_path / "x.tar.gz", members)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CorpusError, match=message) as error:
        load_reviews(path)
    assert str(path) in str(error.value)


def refused_early(path, message):
    """Assert that an archive is refused before it fills the memory."""
    tracemalloc.start()
    with pytest.raises(CorpusError, match=message) as error:
        load_reviews(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(path) in str(error.value)
    assert peak < 100 * 2**20


def sparse(name, size):
    """Return a member that holds nothing, and says that it has so many zeros."""
    member = tarfile.TarInfo(name)
    member.type, member.size = tarfile.GNUTYPE_SPARSE, 0
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0" % size + b"%011o\0" % 0  # the first of its pieces
    header[483:495] = b"%011o\0" % size  # its real size
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def test_a_review_of_gigabytes_is_refused(tmp_path):
    path = tmp_path / "x.tar.gz"
    path.write_bytes(gzip.compress(sparse("x/train/pos/0_9.txt", 4 * 10**9) + bytes(1024)))
    assert path.stat().st_size < 200
    refused_early(path, r"x/train/pos/0_9\.txt in .* has 4,000,000,000 bytes; a review has")
    long = [("x/train/pos/0_9.txt", b"a" * (corpora.LONGEST_REVIEW + 1))]
    refused_early(pack(path, long), "0_9.txt in .* has 1,048,577 bytes")


@pytest.mark.parametrize("name", ["x/train/pos/0_9.txt", "x/elsewhere.txt"])
@pytest.mark.slow
def test_an_archive_that_unpacks_to_a_thousandfold_is_refused(tmp_path, name, monkeypatch):
    monkeypatch.setattr(readers, "FREELY_UNPACKED", 2**22)
    members = [(f"{name}{k}.txt", bytes(2**20)) for k in range(20)]
    refused_early(pack(tmp_path / "x.tar.gz", members), "unpacks to more than 4,194,304 bytes")
    empty = [(f"{name}{k}.txt", b"") for k in range(10_000)]
    refused_early(pack(tmp_path / "x.tar.gz", empty), "unpacks to more than")


def test_a_break_behind_many_spaces_is_read(tmp_path):
    """100 KB of spaces took 8 s; benchmarks/reading.py measures the time."""
    review = ("a" + " " * 10**5 + "<br>" + "\t" * 10**5 + "b") * 4
    texts = load_reviews(pack(tmp_path / "x.tar.gz", [("x/test/pos/0_9.txt", review)])).texts
    assert texts == ("a\nba\nba\nba\nb",)


@pytest.mark.parametrize("size", ["0x", "-1", "99999999999999999999", "nan"])
def test_numbers_that_are_none_get_the_message_too(tmp_path, size):
    member = tarfile.TarInfo("x/train/pos/0_9.txt")
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "size": size}
    member.pax_headers["GNU.sparse.realsize"] = size
    path = tmp_path / "x.tar.gz"
    path.write_bytes(gzip.compress(member.tobuf(tarfile.PAX_FORMAT) + bytes(2048)))
    refused_early(path, "not a tar.gz archive|holds no reviews|has .* bytes; a review")


@pytest.mark.parametrize("members", [[], [("x/train/pos/0_9.txt", " <br />\n")]])
def test_an_archive_without_reviews_says_where_they_should_be(tmp_path, members):
    with pytest.raises(CorpusError, match=r"holds no reviews.*\*/train/pos/\*\.txt.*'imdb'"):
        load_reviews(pack(tmp_path / "x.tar.gz", members))


def test_a_review_that_is_not_utf8_is_named(tmp_path):
    path = pack(tmp_path / "x.tar.gz", [*TWO, ("x/train/neg/7_1.txt", b"caf\xe9")])
    with pytest.raises(CorpusError, match=r"x/train/neg/7_1\.txt in .*x\.tar\.gz is not UTF-8"):
        load_reviews(path)


def test_reviews_and_texts_each_name_the_other_reader(sample, tmp_path):
    for wanted in ("reviews", "reviews-sample", str(tmp_path / "packed.tar.gz")):
        with pytest.raises(CorpusError, match=r"many texts, not one.*use load_reviews\('"):
            load_corpus(wanted)
    with pytest.raises(CorpusError, match="use load_reviews"):
        load_corpus("python-docs", fallback="reviews")  # before it is needed
    for wanted in ("book", "python-docs"):
        with pytest.raises(
            CorpusError, match=rf"one text, not reviews; use load_corpus\('{wanted}'.*reviews, rev"
        ):
            load_reviews(wanted)
        with pytest.raises(CorpusError, match="one text, not reviews"):
            load_reviews(tmp_path / "packed.tar.gz", fallback=wanted)  # before it is needed
    renamed = (tmp_path / "packed.tar.gz").rename(tmp_path / "packed.txt")
    with pytest.raises(CorpusError, match="is a gzip file"):
        load_corpus(renamed)


def test_a_sample_that_is_not_here_is_not_to_be_downloaded(sample, datasets):
    with pytest.raises(CorpusUnavailable, match=r"not to be downloaded.*take 'reviews'") as error:
        load_reviews("reviews-sample")
    for part in ("sample.tar.gz", str(datasets), "$LSTMLIB_DATA"):
        assert part in str(error.value)


@pytest.mark.parametrize("in_datasets", [True, False])
def test_a_sample_is_found_and_checked_in_either_place(sample, datasets, tmp_path, in_datasets):
    path = datasets / "sample.tar.gz" if in_datasets else sample
    path.write_bytes((tmp_path / "packed.tar.gz").read_bytes())
    reviews = load_reviews("reviews-sample")
    assert (reviews.name, reviews.source) == ("reviews-sample", str(path))
    assert reviews.texts == ("Bad.", "Good.")
    pack(path, TWO[:1])
    with pytest.raises(CorpusError, match="SHA-256"):
        load_reviews("reviews-sample")
    with pytest.raises(CorpusError, match="SHA-256"):  # broken, and not hidden
        load_reviews("reviews-sample", fallback=tmp_path / "packed.tar.gz")
    with pytest.raises(CorpusError, match="SHA-256"):
        load_reviews("reviews", fallback="reviews-sample")


def test_reviews_without_network_say_where_to_put_the_file(sample):
    with pytest.raises(
        CorpusUnavailable, match=r"could not be downloaded.*whole\.tar\.gz"
    ) as error:
        load_reviews("reviews")
    assert "load_corpus" not in str(error.value)


def test_fallback_of_reviews_is_visible(sample, tmp_path):
    with pytest.warns(UserWarning, match=r"Using '.*packed\.tar\.gz' instead of 'reviews'") as seen:
        reviews = load_reviews("reviews", fallback=str(tmp_path / "packed.tar.gz"))
    assert (reviews.name, reviews.fell_back_from) == ("packed.tar.gz", "reviews")
    assert seen[0].filename == __file__
    sample.write_bytes((tmp_path / "packed.tar.gz").read_bytes())
    with pytest.warns(UserWarning, match="Using 'reviews-sample' instead of 'reviews'"):
        reviews = load_reviews("reviews", fallback="reviews-sample")
    assert (reviews.name, reviews.fell_back_from) == ("reviews-sample", "reviews")
    assert reviews.texts == ("Bad.", "Good.")


@pytest.mark.filterwarnings("error")
def test_a_fallback_that_is_not_here_either_is_named_too(sample):
    with pytest.raises(
        CorpusUnavailable,
        match=r"Neither 'reviews' nor its fallback 'reviews-sample'.*not to be downloaded",
    ):
        load_reviews("reviews", fallback="reviews-sample")
    with pytest.raises(CorpusUnavailable, match=r"Neither 'reviews' nor its fallback 'none\.tar"):
        load_reviews("reviews", fallback="none.tar.gz")
