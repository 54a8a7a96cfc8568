"""The book as a PDF: all pages of the site in one, printed by Chromium."""

import os
import subprocess
import tempfile
from pathlib import Path

from lxml import etree, html

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--no-pdf-header-footer")
FLAGS += ("--generate-pdf-document-outline", "--disable-background-networking")
NOT_PRINTED = ("genindex.html", "search.html", "explorer.html", "explosion.html")
NOT_PRINTED += ("library",)
"""What is of use only on a screen."""


def print_book(site: Path, out: Path) -> None:
    """Print a site into a PDF, if there is Chromium; else say that there is none."""
    if not CHROMIUM.exists():
        print(f"No PDF: there is no {CHROMIUM}. Install Debian's chromium, or set $CHROMIUM.")
        return
    page = site / "print.html"
    page.write_text(one_page(site), encoding="utf-8")
    try:
        with tempfile.TemporaryDirectory() as profile:
            command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", f"--print-to-pdf={out}"]
            done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True)
    finally:
        page.unlink()
    if done.returncode or not out.exists():
        out.unlink(missing_ok=True)
        print(f"No PDF: Chromium failed. It said: {done.stderr.strip()[-300:]}")


def one_page(site: Path) -> str:
    """Return all pages of a site as one, what is folded open, links leading inside it."""
    first = html.parse(str(site / "index.html"))
    names = [link for link in _in_order(first) if not link.startswith(NOT_PRINTED)]
    head = "".join(
        f'<link rel="stylesheet" href="{href}">'
        for href in first.xpath("//link[@rel='stylesheet']/@href")
    )
    body = "".join(_article(site, name, names) for name in names)
    return (
        f'<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8">'
        f"<title>{first.findtext('.//title')}</title>{head}</head>"
        f'<body class="printed">{body}</body></html>'
    )


def _in_order(first: etree._ElementTree) -> list[str]:
    links = first.xpath("//nav[contains(@class, 'bd-docs-nav')]//a/@href")
    names = ["index.html", *(link for link in links if not link.startswith(("#", "http")))]
    return list(dict.fromkeys(names))


def _article(site: Path, name: str, names: list[str]) -> str:
    """Return the text of a page, its ids beginning with its name, as its links then do."""
    article = html.parse(str(site / name)).xpath("//article")[0]
    for element in article.xpath(".//*[@id]"):
        element.set("id", f"{name}-{element.get('id')}")
    for link in article.xpath(".//a[@href]"):
        page, _, anchor = link.get("href").partition("#")
        if (page or name) in names:
            link.set("href", f"#{page or name}" + (f"-{anchor}" if anchor else ""))
        elif not page.startswith(("http:", "https:", "mailto:")):
            del link.attrib["href"]  # it would name a file of this machine
    for folded in article.xpath(".//details"):
        folded.set("open", "")
    for said in article.xpath(".//summary/p[contains(@class, 'expanded')]"):
        said.text = said.text_content().removeprefix("Hide ").capitalize()
    for button in article.xpath(".//a[contains(@class, 'headerlink')]"):
        button.drop_tree()
    article.tag = "section"
    article.set("id", name)
    return etree.tostring(article, encoding="unicode", method="html")
