import zipfile

import pytest

from lstmlib import corpora
from lstmlib.corpora import CorpusError, load_corpus


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


def test_messy_book_is_built_from_its_source(tmp_path, monkeypatch):
    import runpy

    script = runpy.run_path(str(corpora.DATASETS / "make_messy_book.py"))
    assert script["as_text"]() == (corpora.DATASETS / "messy-book.txt").read_bytes()
    (tmp_path / "fresh.epub").write_bytes(script["as_epub"]())
    assert load_corpus(tmp_path / "fresh.epub").text == load_corpus("messy-book-epub").text
