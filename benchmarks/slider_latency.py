"""From a key on the temperature slider to the new text: how long does a reader wait?

    .venv/bin/python benchmarks/slider_latency.py

Opens chapter 07 in JupyterLab, in Debian's Chromium, runs its cells, and presses arrow keys on the
slider of its first panel, whose text is 300 characters long. The clock is the browser's: it runs
from the key's event to the frame that shows the new text. Writes slider_latency.json.
"""

import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/support"))
from chromium import browser
from lab import press, run_all_cells, running, slider
from playwright.sync_api import Page

NOTEBOOK = "07_temperature_sampling.ipynb"
LABEL = "Temperature τ"
"""Of the panel's slider."""
PRESSES = 120
WARM_UP = 20
LIMIT = 150
"""Milliseconds that the wait may be."""
# Notes the time of each key, and of the first frame after the text has changed.
WATCH = """
(text) => {
    window.waits = [];
    let pressed = null;
    document.addEventListener("keydown", () => { pressed = performance.now(); }, true);
    new MutationObserver(() => {
        const from = pressed;
        pressed = null;
        if (from !== null) {
            const note = () => window.waits.push(performance.now() - from);
            requestAnimationFrame(() => setTimeout(note));  // after the frame
        }
    }).observe(text, { childList: true, subtree: true, characterData: true });
}
"""


def measure(page: Page, address: str) -> list[float]:
    """Return the milliseconds of each press, after a warm-up."""
    run_all_cells(page, address)
    text = page.locator(".widget-html-content", has=page.locator("u")).first
    temperature = slider(page, LABEL).first
    text.evaluate(WATCH)
    for k in range(PRESSES):
        press(temperature, "ArrowRight" if k // 10 % 2 == 0 else "ArrowLeft")
        page.wait_for_function("count => window.waits.length > count", arg=k, timeout=10_000)
    return page.evaluate("window.waits")[WARM_UP:]


def main() -> None:
    """Measure, print and write."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder)) as lab,
        browser() as started,
    ):
        page = started.new_page(viewport={"width": 1400, "height": 1000})
        waits = measure(page, lab(NOTEBOOK))
    result = {
        "notebook": NOTEBOOK,
        "characters": 300,
        "presses": len(waits),
        "median_ms": round(statistics.median(waits), 1),
        "percentile_95_ms": round(statistics.quantiles(waits, n=20)[-1], 1),
        "longest_ms": round(max(waits), 1),
        "limit_ms": LIMIT,
        "browser": started.version,
        "machine": f"{os.cpu_count()} CPU cores",
    }
    text = json.dumps(result, indent=1) + "\n"
    Path(__file__).with_suffix(".json").write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
