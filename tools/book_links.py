"""The links of a built site: does each lead somewhere, and is anything loaded from outside?"""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lxml import html

LOADED = (
    "//script/@src",
    "//link[not(@rel='canonical')]/@href",
    "//img/@src",
    "//iframe/@src",
    "//source/@src",
    "//*[local-name()='image' or local-name()='use']/@href",
    "//object/@data",
)
"""What a browser fetches without being asked."""

_STYLE = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")


def pages(site: Path) -> dict[Path, html.HtmlElement]:
    """Return the pages of a site: path, without links in it -> its tree."""
    return {p: html.parse(str(p)).getroot() for p in sorted(site.resolve().rglob("*.html"))}


def dead_links(site: Path) -> list[str]:
    """Return the links that lead to no file or no anchor of the site, or have no proper address."""
    site = site.resolve()
    trees = pages(site)
    anchors = {path: {"", "top", *tree.xpath("//@id | //a/@name")} for path, tree in trees.items()}
    return [
        f"{path.relative_to(site)}: {link}"
        for path, tree in trees.items()
        for link in [*tree.xpath("//a/@href"), *_local(tree)]
        if not _leads_somewhere(site, path, link, anchors)
    ]


def _local(tree: html.HtmlElement) -> list[str]:
    return [link for place in LOADED for link in tree.xpath(place) if not _is_outside(link)]


def _leads_somewhere(site: Path, path: Path, link: str, anchors: dict[Path, set[str]]) -> bool:
    try:
        parts = urlsplit(link)
    except ValueError:
        return False
    if parts.scheme in ("http", "https"):
        return bool(re.fullmatch(r"[\w.-]+\.[a-z]+(:\d+)?", parts.netloc)) and " " not in link
    if parts.scheme in ("mailto", "data"):
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if parts.scheme or not target.is_relative_to(site) or not target.is_file():
        return False
    return target not in anchors or unquote(parts.fragment) in anchors[target]


def _is_outside(link: str) -> bool:
    return link.startswith("//") or link.partition(":")[0].lower() in ("http", "https", "ftp")


def outside(site: Path) -> list[str]:
    """Return what pages and styles of a site would load from somewhere else."""
    site = site.resolve()
    found = [
        f"{path.relative_to(site)}: {link}"
        for path, tree in pages(site).items()
        for place in LOADED
        for link in tree.xpath(place)
        if _is_outside(link)
    ]
    for path in sorted([*site.rglob("*.css"), *site.rglob("*.html")]):
        text = path.read_text(encoding="utf-8")
        styles = [text] if path.suffix == ".css" else re.findall(r"(?s)<style.*?</style>", text)
        found += [f"{path.relative_to(site)}: {a}" for s in styles for a in _STYLE.findall(s)]
    return found
