"""Build messy-book.txt and messy-book.epub from messy-book.source.txt.

The story is this course's own. Real books arrive with a byte-order mark, CRLF line ends, curly
quotes, a library's header and footer, soft hyphens and stray control characters, so this script
puts all of those in, in places that a test and chapter 01 know. Run it after editing the source:

    .venv/bin/python datasets/make_messy_book.py
"""

import re
import textwrap
from pathlib import Path

from ebooklib import epub

HERE = Path(__file__).resolve().parent
TITLE = "The Patient Machine"

HEADER = f"""\
The Practice EBook of {TITLE}

This eBook belongs to a course on teaching a network to write. You may copy
it, change it and give it away, under the licence that stands beside it.

Title: {TITLE}

Language: English

Character set encoding: UTF-8

*** START OF THIS PRACTICE EBOOK {TITLE.upper()} ***




"""
FOOTER = f"""



*** END OF THIS PRACTICE EBOOK {TITLE.upper()} ***

***** This file should be named messy-book.txt *****

Nothing below the marker is part of the story. It is here to be taken away:
terms, addresses, and a last line that says END, 100% free, © nobody @ all.
"""


def paragraphs() -> list[str]:
    """Return the story's paragraphs; headings start with '#', verse with four spaces."""
    source = (HERE / "messy-book.source.txt").read_text(encoding="utf-8")
    return [p for p in source.strip("\n").split("\n\n") if p]


def as_text() -> bytes:
    """Return the story as a library would send it, with the mess."""
    blocks = []
    for paragraph in paragraphs():
        if paragraph.startswith("#"):
            blocks.append("\n" + paragraph.lstrip("# ") + "\n")
        elif paragraph.startswith("    "):
            blocks.append(paragraph)
        else:
            blocks.append(textwrap.fill(paragraph, 72, break_on_hyphens=False))
    story = "\n\n".join(blocks)
    story = story.replace("harbour-master", "harbour\u00ad-master", 2)  # soft hyphens
    story = story.replace("III. THE SPOILED", "\x0cIII. THE SPOILED")  # a form feed
    story = story.replace("The stove ticked.", "The stove\x07 ticked.")  # a bell
    story = story.replace("forty-one", "forty\u00a0one")  # a no-break space
    return b"\xef\xbb\xbf" + (HEADER + story + FOOTER).replace("\n", "\r\n").encode("utf-8")


def as_epub() -> epub.EpubBook:
    """Return the story as an EPUB, one document a chapter."""
    book = epub.EpubBook()
    book.set_identifier("lstm-course-the-patient-machine")
    book.set_title(TITLE)
    book.set_language("en")
    chapters: list[epub.EpubHtml] = []
    for paragraph in paragraphs():
        text = paragraph.lstrip("# ").replace("harbour-master", "harbour\u00ad-master")
        if paragraph.startswith("#"):
            level = len(re.match("#+", paragraph).group())
            chapter = epub.EpubHtml(
                title=text.capitalize(), file_name=f"chapter{len(chapters)}.xhtml", lang="en"
            )
            chapter.content = f"<h{level}>{text}</h{level}>\n"
            chapters.append(chapter)
            book.add_item(chapter)
        elif paragraph.startswith("    "):
            chapters[-1].content += f"<pre>{text.strip()}</pre>\n"
        else:
            marked = re.sub(r"\*(.+?)\*", r"<em>\1</em>", textwrap.fill(text, 60))
            chapters[-1].content += f"<p>\n  {marked}\n</p>\n"
    book.toc = chapters
    book.spine = ["nav", *chapters]
    book.add_item(epub.EpubNcx())
    book.add_item(epub.EpubNav())
    return book


if __name__ == "__main__":
    (HERE / "messy-book.txt").write_bytes(as_text())
    epub.write_epub(str(HERE / "messy-book.epub"), as_epub())
