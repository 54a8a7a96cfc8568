"""The explosion lab in Chromium, for tests that use it as a reader does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

PAGE = Path(__file__).resolve().parents[2] / "page" / "explosion.html"
SMALL = "#units=16&streams=4&length=10&rate=0.01&clip=norm&optimizer=adam"
"""A network that takes many steps a second."""


@contextmanager
def lab_opener(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Yield what opens the lab, offline; fail on errors and on requests."""
    contexts, problems = [], []

    def opened(fragment="", width=1366, height=768, path=PAGE, before=None, **more) -> Page:
        size = {"width": width, "height": height}
        contexts.append(chromium.new_context(viewport=size, offline=True, **more))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        if before:
            page.add_init_script(before)
        asked = []
        page.goto(path.as_uri() + fragment)
        expect(page.locator("#message")).to_contain_text("characters,")
        outside = [url for url in asked if not url.startswith(("file:", "blob:", "data:"))]
        assert outside == [] and asked.count(asked[0]) == 1
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


def losses_of(page: Page) -> list[list[float]]:
    return page.evaluate("history.map((run) => run.losses.map(([, loss]) => loss))")


def until(page: Page, condition: str, argument=None) -> None:
    """Wait for a condition. (Playwright's own wait evaluates a text, which the policy forbids.)"""
    for _ in range(600):
        if page.evaluate(condition, argument):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{condition} did not come true")


def take_steps(page: Page, count: int) -> None:
    before = page.evaluate("step")
    for k in range(count):
        page.locator("#step").click()
        until(page, f"step === {before + k + 1}")


def paste(page: Page, text: str) -> None:
    if not page.locator("#own-text").is_visible():
        page.locator("#own-part summary").click()
    page.locator("#own-text").fill(text)
    page.locator("#use-text").click()


def give_file(page: Page, field: str, name: str, data: bytes) -> None:
    page.locator(f"#{field}").set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    )
