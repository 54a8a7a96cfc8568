"""How fast the stand-alone pages train and write, and what they learn in three minutes.

    .venv/bin/python benchmarks/page_speed.py

Opens both built pages in Debian's Chromium. Training: one LSTM layer of 128 on the lab's text, in
the compiled kernel and in the plain one, in turns, each on one thread. Learning: the lab's first
preset, started as a reader starts it, until its loss on the held-out text is below the 5-gram
model's. Writing: 300 characters of the temperature page's two layers of 256, and the time from a
slider's event to the frame with the new text. Writes page_speed.json.
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/support"))
from chromium import browser
from page_presets import open_sources
from playwright.sync_api import Page

PAGE = Path(__file__).resolve().parents[1] / "page"
ROUNDS = 5
UNCOUNTED, EVENTS = 20, 200
"""Of the slider: in the first ones the browser still compiles."""
MINUTES = 3
STEPS = """async ([compiled, count]) => {
    const shape = { ...settingsOf("learns"), tokens: tokens.length };
    const size = planOf(shape).total;
    const kernel = compiled ? await compiledKernel(wasm, size) : plainKernel(size);
    const network = new Network(kernel, shape);
    network.initialize(1);
    const streams = new Streams(train, shape.streams, shape.length);
    const take = (k) => { streams.give(network, k); network.trainStep({ ...shape }); };
    take(0);
    const before = performance.now();
    for (let k = 1; k <= count; k++) take(k);
    return (1000 * count * shape.streams * shape.length) / (performance.now() - before);
}"""
WRITE = """() => {
    const context = readContext(network, tokensOf("The "));
    const before = performance.now();
    const settings = { temperature: 0.5, topK: null, topP: 1 };
    const count = [...write(network, context, uniformNumbers(1, 300), settings)].length;
    return (1000 * count) / (performance.now() - before);
}"""
SLIDE = """async (value) => {
    const slider = element("temperature");
    // Told in the very task that shows the text: who asks again and again may miss the frame that
    // paints it, and would then wait for another one.
    const painted = new Promise((done) => {
        const observer = new MutationObserver(() => {
            if (element("text").getAttribute("aria-busy") === "true") return;
            observer.disconnect();
            requestAnimationFrame(() => setTimeout(done));
        });
        observer.observe(element("text"), { attributeFilter: ["aria-busy"] });
    });
    slider.value = value;
    const before = performance.now();
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await painted;
    return performance.now() - before;
}"""


def training(page: Page) -> dict:
    """Return characters a second of both kernels: the best of several turns."""
    open_sources(page)
    found = {"WebAssembly": [], "JavaScript": []}
    for _ in range(ROUNDS):
        found["WebAssembly"].append(page.evaluate(STEPS, [True, 30]))
        found["JavaScript"].append(page.evaluate(STEPS, [False, 4]))
    best = {name: round(max(each)) for name, each in found.items()}
    return {
        "characters_per_second": best,
        "ratio": round(best["WebAssembly"] / best["JavaScript"], 2),
    }


def learning(page: Page) -> dict:
    """Start the lab; return when its held-out loss is first below the 5-gram model's."""
    page.goto((PAGE / "explosion.html").as_uri())
    page.locator("#message", has_text="characters,").wait_for()
    page.locator("#start").click()
    begun, seconds, loss = time.monotonic(), None, None
    while time.monotonic() - begun < 60 * MINUTES:
        time.sleep(1)
        loss = page.evaluate("history[0].valid.at(-1)?.[1] ?? null")
        if loss is not None and loss < page.evaluate("text.baseline"):
            seconds = round(time.monotonic() - begun)
            break
    return {
        "five_gram": round(page.evaluate("text.baseline"), 4),
        "loss": None if loss is None else round(loss, 4),
        "seconds_until_below": seconds,
        "characters_per_second": page.evaluate("speed.value"),
        "steps": page.evaluate("step"),
    }


def writing(page: Page) -> dict:
    """Return how fast the temperature page writes, and how long its slider takes."""
    page.goto((PAGE / "index.html").as_uri())
    page.locator("#text[aria-busy=false]").wait_for()
    speeds = [page.evaluate(WRITE) for _ in range(ROUNDS)]
    values = [0.3 + 0.05 * (k % 20) for k in range(UNCOUNTED + EVENTS)]
    waits = [page.evaluate(SLIDE, value) for value in values][UNCOUNTED:]
    return {
        "characters_per_second": round(max(speeds)),
        "slider_to_text_ms": {
            "events": len(waits),
            "minimum": round(min(waits), 1),
            "median": round(statistics.median(waits), 1),
            "percentile_95": round(statistics.quantiles(waits, n=20)[-1], 1),
        },
    }


def main() -> None:
    """Measure, print and write."""
    load = os.getloadavg()[0]
    with browser() as started:
        pages = [started.new_page() for _ in range(3)]
        result = {
            "training": training(pages[0]),
            "writing": writing(pages[1]),
            "learning": learning(pages[2]),
            "browser": started.version,
            "machine": f"{os.cpu_count()} CPU cores",
            "load_before": round(load, 1),
            "date": time.strftime("%Y-%m-%d"),
        }
    text = json.dumps(result, indent=1) + "\n"
    Path(__file__).with_suffix(".json").write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
