"""The temperature explorer in Chromium, for tests that use it as a reader does."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page

PAGE = Path(__file__).resolve().parents[2] / "page" / "index.html"
LAPTOP, PHONE = (1366, 768), (390, 844)


@contextmanager
def opened(
    chromium: Browser,
    fragment: str = "",
    size: tuple[int, int] = LAPTOP,
    address: str | None = None,
    **more: object,
) -> Iterator[Page]:
    """Open the page on a screen, or what lies at another address; fail on errors in it."""
    problems = []
    width, height = size
    with chromium.new_context(viewport={"width": width, "height": height}, **more) as context:
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address or PAGE.as_uri() + fragment)
        if not address:
            settled(page)
        yield page
    assert problems == []


def settled(page: Page) -> None:
    """Wait until the text of the settings stands on the page."""
    page.locator("#text[aria-busy=false]").wait_for(state="attached")
