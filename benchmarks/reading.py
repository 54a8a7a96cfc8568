"""Does the time to read a file, and to clean its text, grow with its size, and no faster?

    .venv/bin/python benchmarks/reading.py

Prints, for each kind of file and each size to 20 MB, how long load_corpus takes (and clean, where
the kind says so), and the time a byte at the largest size over that at the smallest, which is 1
where reading is linear. Files of one piece again and again, to 1 MB, are those on which regular
expressions have taken the square of the length. Writes
reading.json beside it. Other work on the machine makes the times longer, and hardly the ratios: a
time is the least of several, and the sizes take turns.
"""

import html
import json
import os
import tempfile
import time
import warnings
import zipfile
from itertools import cycle
from pathlib import Path

from lstmlib.cleaning import clean
from lstmlib.corpora import load_corpus

SIZES = [312_500, 1_250_000, 5_000_000, 20_000_000]
ROUNDS = 5
PARAGRAPHS = 200  # in a chapter
CONTAINER = '<container><rootfiles><rootfile full-path="book.opf"/></rootfiles></container>'


def paragraphs(size):
    """Yield the paragraphs of the help texts, again and again, of `size` bytes in all with tags."""
    texts = [f"<p>{html.escape(p)}</p>\n" for p in load_corpus("python-docs").text.split("\n\n")]
    for text in cycle(texts):
        if size <= 0:
            return
        size -= len(text.encode())
        yield text


def page(body):
    return f"<html><head><title>x</title></head><body>\n{body}</body></html>\n"


def write_html(path, size):
    path.write_text(page("".join(paragraphs(size))), encoding="utf-8")


def write_text(path, size, encoding="utf-8"):
    """Write the help texts, again and again, with curly quotes, and as a library packs a book."""
    parts = [
        "The Project Gutenberg EBook of Help\n\n*** START OF THIS PROJECT GUTENBERG EBOOK ***\n\n"
    ]
    for text in cycle(load_corpus("python-docs").text.split("\n\n")):
        if size <= 0:
            break
        parts.append(f"“{text}”\n\n".encode(encoding, "replace").decode(encoding))
        size -= len(parts[-1].encode(encoding))
    path.write_bytes("".join(parts).encode(encoding))


def write_windows_text(path, size):
    write_text(path, size, "cp1252")


def write_html_of_tags(path, size):
    """Write a page that is hardly anything but tags, most of which are never closed."""
    unit = "<tr><td><b>a</b><td>b<br><font size=2><i>c\n"
    path.write_text(page(unit * (size // len(unit))), encoding="utf-8")


def write_epub(path, size):
    pieces = list(paragraphs(size))
    starts = range(0, len(pieces), PARAGRAPHS)
    write_book(path, ["".join(pieces[start : start + PARAGRAPHS]) for start in starts])


def write_epub_of_one_document(path, size):
    write_book(path, ["".join(paragraphs(size))])


def write_book(path, chapters):
    items = "".join(
        f'<item id="c{n}" href="c{n}.html" media-type="text/html"/>' for n in range(len(chapters))
    )
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", CONTAINER)
        package = f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>"
        archive.writestr("book.opf", package)
        for n, chapter in enumerate(chapters):
            archive.writestr(f"c{n}.html", page(chapter))


def read(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an encoding was guessed
        return load_corpus(path).text


def read_and_clean(path):
    clean(read(path), newlines="space", straight_quotes=True, ascii_only=True, lowercase=True)


PIECES = [" ", "\n", "\n ", "*", "* ", "<", "<!--", "<p ", "'", "\x0c", "é", "\U0001f3f4\U000e0067"]
"""Of each, files and cleaned texts are made that hold nothing else."""
PIECES_SIZES = [62_500, 250_000, 1_000_000]


def write_pieces(piece):
    def write(path, size):
        path.write_text("x" + piece * (size // len(piece.encode())) + "x", encoding="utf-8")

    return write


KINDS = {
    "plain text": (write_text, ".txt", read),
    "plain text of an encoding that is guessed": (write_windows_text, ".txt", read),
    "plain text, read and cleaned": (write_text, ".txt", read_and_clean),
    "HTML": (write_html, ".html", read),
    "HTML, hardly anything but tags": (write_html_of_tags, ".html", read),
    "EPUB in chapters": (write_epub, ".epub", read),
    "EPUB of one document": (write_epub_of_one_document, ".epub", read),
}


def all_kinds():
    """Return what is measured: name -> (writes a file of a size, suffix, task, sizes)."""
    kinds = {kind: (*how, SIZES) for kind, how in KINDS.items()}
    for piece in PIECES:
        how = (write_pieces(piece), ".txt", read_and_clean, PIECES_SIZES)
        kinds[f"nothing but {piece!a}, read and cleaned"] = how
    return kinds


def measure(write, suffix, task, sizes=SIZES, rounds=ROUNDS):
    """Return the least seconds that each size takes."""
    seconds = {size: [] for size in sizes}
    with tempfile.TemporaryDirectory() as folder:
        paths = {size: Path(folder, f"{size}{suffix}") for size in sizes}
        for size, path in paths.items():
            write(path, size)
        for _ in range(rounds):
            for size, path in paths.items():
                start = time.perf_counter()
                task(path)
                seconds[size].append(time.perf_counter() - start)
    return {size: min(times) for size, times in seconds.items()}


def main():
    result = {"seconds": {}, "time_per_byte_largest_over_smallest": {}}
    for kind, how in all_kinds().items():
        seconds = {size: round(value, 4) for size, value in measure(*how).items()}
        first, last = min(seconds), max(seconds)
        ratio = round(seconds[last] / last / (seconds[first] / first), 2)
        result["seconds"][kind] = seconds
        result["time_per_byte_largest_over_smallest"][kind] = ratio
        times = ", ".join(f"{size / 1e6:.2f} MB {value:.3f} s" for size, value in seconds.items())
        print(f"{kind}: {times}; a byte takes {ratio:.2f} times as long in the largest")
    result["machine"] = f"{os.cpu_count()} CPU cores, beside other work"
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
