"""Markup and EPUB files -> the text that a reader of them sees."""

import re
import zipfile
from pathlib import Path

import ebooklib
from bs4 import BeautifulSoup, NavigableString
from ebooklib import epub

_BLOCKS = re.compile(
    "^(address|article|aside|blockquote|d[dlt]|div|figcaption|figure|footer|h[1-6]|header|hr|li|main|"
    "[ou]l|p|pre|section|table|tr)$"
)


class MarkupError(ValueError):
    """Markup could not be read; the message says what was wrong and what to do next."""


def epub_text(path: str | Path) -> tuple[str, str]:
    """Return the text of an EPUB's documents in reading order."""
    try:
        with zipfile.ZipFile(path) as archive:
            archive.getinfo("META-INF/container.xml")
        book = epub.read_epub(str(path), options={"ignore_ncx": True})
        documents = [book.get_item_with_id(name) for name, _ in book.spine]
        parts = [
            markup_text(item.get_content().decode("utf-8"))
            for item in documents
            if item is not None
            and item.get_type() == ebooklib.ITEM_DOCUMENT
            and not isinstance(item, epub.EpubNav)
        ]
    except Exception as error:  # ebooklib lets errors of zipfile, lxml and its own through
        raise MarkupError(
            f"This is not an EPUB that can be read ({type(error).__name__}: {error}). "
            "An EPUB is a zip archive with META-INF/container.xml and without copy protection. "
            "Save the book again as EPUB, or as plain text."
        ) from error
    return "\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n", "utf-8"


def markup_text(markup: str) -> str:
    """Turn HTML or XHTML into paragraphs: runs of white space are one space, as a browser shows."""
    soup = BeautifulSoup(re.sub(r"^\s*<\?xml[^>]*\?>", "", markup), "lxml")
    for tag in soup(["head", "script", "style", "nav", "template"]):
        tag.decompose()
    for string in soup.find_all(string=lambda s: type(s) is NavigableString):
        if string.find_parent("pre"):  # its spaces count, so they hide from the trimming below
            string.replace_with(string.replace(" ", "\0"))
        else:
            string.replace_with(re.sub(r"[ \t\r\n]+", " ", string))
    for tag in soup("br"):
        tag.replace_with("\n")
    for tag in soup(_BLOCKS):
        tag.insert_before("\n\n")
        tag.insert_after("\n\n")
    lines = re.sub(r" *\n *", "\n", soup.get_text())
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n ").replace("\0", " ") + "\n"
