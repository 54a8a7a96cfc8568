"""Build messy-book.txt and messy-book.epub from messy-book.source.txt.

The story is this course's own. Real books arrive with a byte-order mark, CRLF line ends, curly
quotes, a library's header and footer, soft hyphens and stray control characters, so this script
puts all of those in, in places that a test and chapter 01 know. Run it after editing the source:

    .venv/bin/python datasets/make_messy_book.py
"""

import io
import re
import textwrap
import zipfile
from pathlib import Path

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


CONTAINER = """\
<?xml version="1.0" encoding="utf-8"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles>
<rootfile full-path="EPUB/content.opf" media-type="application/oebps-package+xml"/>
</rootfiles>
</container>
"""
PACKAGE = """\
<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" unique-identifier="id" version="3.0">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:identifier id="id">lstm-course-the-patient-machine</dc:identifier>
<dc:title>{title}</dc:title>
<dc:language>en</dc:language>
<meta property="dcterms:modified">2026-11-22T00:00:00Z</meta>
</metadata>
<manifest>
<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
{items}</manifest>
<spine>
<itemref idref="nav"/>
{spine}</spine>
</package>
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


def chapters() -> list[tuple[str, str]]:
    """Return the story as (title, XHTML), one a chapter."""
    found: list[tuple[str, str]] = []
    for paragraph in paragraphs():
        text = paragraph.lstrip("# ").replace("harbour-master", "harbour\u00ad-master")
        if paragraph.startswith("#"):
            level = len(re.match("#+", paragraph).group())
            found.append((text.capitalize(), f"<h{level}>{text}</h{level}>\n"))
            continue
        if paragraph.startswith("    "):
            block = f"<pre>{text.strip()}</pre>\n"
        else:
            marked = re.sub(r"\*(.+?)\*", r"<em>\1</em>", textwrap.fill(text, 60))
            block = f"<p>\n  {marked}\n</p>\n"
        found[-1] = (found[-1][0], found[-1][1] + block)
    return found


def page(title: str, body: str) -> str:
    """Return an XHTML document of an EPUB."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n'
        '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" '
        f'lang="en" xml:lang="en">\n<head><title>{title}</title></head>\n'
        f"<body>\n{body}</body>\n</html>\n"
    )


def as_epub() -> bytes:
    """Return the story as an EPUB, one document a chapter behind a contents page."""
    names = [f"chapter{number}.xhtml" for number in range(len(chapters()))]
    entries, items, spine, documents = "", "", "", {}
    for name, (title, body) in zip(names, chapters(), strict=True):
        entries += f'<li><a href="{name}">{title}</a></li>\n'
        items += f'<item id="{name}" href="{name}" media-type="application/xhtml+xml"/>\n'
        spine += f'<itemref idref="{name}"/>\n'
        documents[f"EPUB/{name}"] = page(title, body)
    nav = f'<nav epub:type="toc">\n<h2>{TITLE}</h2>\n<ol>\n{entries}</ol>\n</nav>\n'
    files = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER,
        "EPUB/content.opf": PACKAGE.format(title=TITLE, items=items, spine=spine),
        "EPUB/nav.xhtml": page(TITLE, nav),
        **documents,
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            method = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            archive.writestr(zipfile.ZipInfo(name), content, method)  # dated 1980, at every run
    return buffer.getvalue()


if __name__ == "__main__":
    (HERE / "messy-book.txt").write_bytes(as_text())
    (HERE / "messy-book.epub").write_bytes(as_epub())
