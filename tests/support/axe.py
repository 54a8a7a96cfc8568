"""axe-core on a page, where there is one: it is no package of the course's environment."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page

AXE = os.environ.get("AXE_CORE", "")
needs_axe = pytest.mark.skipif(
    not AXE, reason="$AXE_CORE is not set, to axe.min.js of the npm package axe-core"
)
FOUND = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations
    .map(({ id, nodes }) => [id, nodes.map(({ target }) => String(target))])"""


def found_by_axe(page: Page) -> list:
    """Return what axe-core finds on a page whose policy is bypassed: [rule, elements] each."""
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(Path(AXE).read_text(encoding="utf-8"))
    return page.evaluate(FOUND)
