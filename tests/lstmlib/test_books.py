"""A reader's own text: files and folders, and nothing lost in silence."""

import os
from itertools import pairwise

import pytest
from own_texts import ENGLISH, RUSSIAN, epub, protected_epub, sentences

from lstmlib import books
from lstmlib.books import load_book, sha256, take_sample
from lstmlib.decoding import CorpusError


def test_a_name_and_a_file_are_read_as_load_corpus_does(tmp_path):
    book = load_book("messy-book-epub")
    assert book.name == "messy-book-epub" and book.whole == len(book.text) == 7248
    (tmp_path / "a.txt").write_bytes(sentences(RUSSIAN, 900).encode("cp1251"))
    book = load_book(tmp_path / "a.txt")
    assert book.text == sentences(RUSSIAN, 900)
    assert book.parts == (books.Part("a.txt", len(book.text), "cp1251"),)
    assert book.sha256 == sha256(book.text) and len(book.sha256) == 64
    assert str(book).startswith(
        f"a.txt: {len(book.text)} characters, from {tmp_path / 'a.txt'} (cp"
    )


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path):
    for k in (10, 2, 1):
        (tmp_path / f"Chapter {k}.txt").write_text(f"chapter {k}\n")
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / "c" / "last.html").write_text("<html><body><p>end</p></body></html>")
    book = load_book(tmp_path)
    names = ["b/c/last.html", "Chapter 1.txt", "Chapter 2.txt", "Chapter 10.txt"]
    assert [part.name for part in book.parts] == names
    assert book.text == "end\n\n\nchapter 1\n\n\nchapter 2\n\n\nchapter 10\n"
    assert book.remarks == () and book.name == tmp_path.name
    assert str(book).startswith(
        f"{tmp_path.name}: {len(book.text)} characters, from 4 files (utf-8)"
    )


def test_what_cannot_be_read_is_named_and_the_rest_is_kept(tmp_path):
    (tmp_path / "a.txt").write_text("a text\n")
    (tmp_path / "again.txt").write_text("a text\n")
    (tmp_path / "picture.jpg").write_bytes(bytes(range(256)) * 9)
    (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.7\n...")
    (tmp_path / "empty.txt").touch()
    (tmp_path / ".hidden").write_text("no")
    protected_epub(tmp_path / "bought.epub")
    book = load_book(tmp_path)
    assert book.text == "a text\n"
    said = "\n".join(book.remarks)
    for name in ("again.txt", "picture.jpg", "paper.pdf", "empty.txt", "bought.epub"):
        assert sum(name in remark for remark in book.remarks) == 1, name
    assert "again.txt has the same text as a.txt" in said
    assert "1 hidden files" in said and "copy-protected" in said
    assert str(tmp_path) not in said  # what a notebook shows may be handed on
    (fact,) = book.facts
    assert "Not all that lay in its folder is part of it" in fact
    assert not any(name in fact for name in ("again", "picture", "paper", "empty", "bought"))
    assert all(f"- {remark}" in str(book) for remark in book.remarks)


@pytest.mark.skipif(os.getuid() == 0, reason="root may read every file")
def test_a_file_that_is_closed_is_named(tmp_path):
    (tmp_path / "a.txt").write_text("a text\n")
    (tmp_path / "closed.txt").write_text("x")
    (tmp_path / "closed.txt").chmod(0)
    (remark,) = load_book(tmp_path).remarks
    assert "closed.txt cannot be read: Permission denied" in remark


def test_a_file_that_fails_while_it_is_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("a text\n")
    (tmp_path / "b.txt").write_text("other\n")
    read = type(tmp_path).read_bytes

    def fail(path):
        if path.name == "b.txt":
            raise OSError(5, "Input/output error")
        return read(path)

    monkeypatch.setattr(type(tmp_path), "read_bytes", fail)
    book = load_book(tmp_path)
    assert book.text == "a text\n" and len(book.remarks) == 1
    assert "b.txt cannot be read: Input/output error" in book.remarks[0]


def test_an_empty_folder_says_what_to_put_there(tmp_path):
    with pytest.raises(
        CorpusError, match="It holds no files. Put text, HTML or EPUB files into it"
    ):
        load_book(tmp_path)
    (tmp_path / "scan.pdf").write_bytes(b"%PDF-1.7\n...")
    with pytest.raises(CorpusError, match=r"scan.pdf is a PDF file.*\(OCR\)") as error:
        load_book(tmp_path)
    assert "more file" not in str(error.value) and "Put text" not in str(error.value)
    for k in range(9):
        (tmp_path / f"{k}.pdf").write_bytes(b"%PDF-1.7\n...")
    with pytest.raises(CorpusError, match=r"0.pdf is a PDF file.* with 9 more files.") as error:
        load_book(tmp_path)
    assert str(error.value).count("(OCR)") == 1


@pytest.mark.parametrize("name", ["scan.html", "scan.epub", "scan.pdf"])
def test_a_scan_is_told_from_a_text(tmp_path, name):
    path, pictures = tmp_path / name, '<p><img src="1.png" alt=""/></p><p><img src="2.png"/></p>'
    if name == "scan.html":
        path.write_text(f"<html><body>{pictures}</body></html>")
    elif name == "scan.epub":
        epub(path, pictures)
    else:
        path.write_bytes(b"%PDF-1.7\n...")
    with pytest.raises(CorpusError, match=r"If it is a scan.*text recognition \(OCR\)"):
        load_book(path)


def test_a_protected_book_is_named_as_such(tmp_path):
    with pytest.raises(CorpusError, match="copy-protected.*Take an edition without"):
        load_book(protected_epub(tmp_path / "bought.epub"))


def test_what_is_no_folder_and_no_file_is_refused_as_by_load_corpus(tmp_path):
    with pytest.raises(CorpusError, match="is not there"):
        load_book(tmp_path / "missing")
    with pytest.raises(CorpusError, match="The name is empty"):
        load_book("")
    with pytest.raises(ValueError, match="most"):
        load_book("messy-book", most=10)


def test_a_name_counts_before_a_folder_of_that_name(tmp_path, monkeypatch):
    (tmp_path / "messy-book").mkdir()
    monkeypatch.chdir(tmp_path)
    assert len(load_book("messy-book").text) == 7274


def test_a_large_text_is_sampled_and_the_book_says_so(tmp_path):
    whole = sentences(ENGLISH, 120_000)
    (tmp_path / "a.txt").write_text(whole)
    book = load_book(tmp_path / "a.txt", most=20_000)
    assert 18_000 < len(book.text) <= 20_000 and book.whole == len(whole)
    said = (
        f"The text has {len(whole):,} characters. A sample of {len(book.text):,} is used: 8 pieces"
    )
    assert book.remarks[0].startswith(said) and book.facts == book.remarks


def test_a_sample_has_pieces_of_all_of_a_text_that_begin_with_lines():
    text = "".join(f"line {k}\n" for k in range(10_000))
    sample = take_sample(text, 8_000)
    lines = sample.split("\n")
    assert lines[0] == "line 0" and sample.endswith("line 9999\n")
    numbers = [int(line.removeprefix("line ")) for line in lines if line.startswith("line ")]
    gaps = [b - a for a, b in pairwise(numbers) if b - a > 50]
    assert len(gaps) == 7 and max(gaps) < 1.1 * min(gaps)
    assert take_sample(text, len(text)) == text
    without_lines = take_sample("x" * 10_000, 1_000)
    assert without_lines == "x" * 1_000


def test_folders_beyond_all_measure_are_refused(tmp_path, monkeypatch):
    for k in range(4):
        (tmp_path / f"{k}.txt").write_text(f"text {k}\n")
    monkeypatch.setattr(books, "MOST_FILES", 3)
    with pytest.raises(CorpusError, match="4 files, more than 3"):
        load_book(tmp_path)
    monkeypatch.setattr(books, "MOST_FILES", 4)
    monkeypatch.setattr(books, "LONGEST", 20)
    with pytest.raises(CorpusError, match="28 bytes, more than 20"):
        load_book(tmp_path)


def test_a_broken_file_is_named_without_its_folder(tmp_path, monkeypatch):
    data = "Grüße aus Köln. ".encode() * 50
    (tmp_path / "a.txt").write_bytes(data[:-3])
    (tmp_path / "b.txt").write_bytes(data[1:100] + b"\xff" + data[100:])
    monkeypatch.chdir(tmp_path.parent)
    for source in (tmp_path, tmp_path.name, tmp_path / "b.txt"):
        book = load_book(source)
        assert any(remark.startswith("b.txt is utf-8, but broken") for remark in book.remarks)
        assert tmp_path.name not in "".join(book.remarks)
        assert book.facts[0].startswith("There w") and "doubt" in book.facts[0]
        assert "b.txt" not in "".join(book.facts)


def test_of_very_many_remarks_some_are_printed(tmp_path):
    (tmp_path / "a.txt").write_text("a text\n")
    for k in range(books.SHOWN + 3):
        (tmp_path / f"{k}.pdf").write_bytes(b"%PDF-1.7")
    book = load_book(tmp_path)
    assert len(book.remarks) == books.SHOWN + 3
    lines = str(book).splitlines()
    assert len(lines) == books.SHOWN + 2 and lines[-1] == "- and 3 more remarks, see book.remarks"
