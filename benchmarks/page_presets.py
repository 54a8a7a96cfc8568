"""Do the presets of the explosion lab do what they say, whatever the seed?

    .venv/bin/python benchmarks/page_presets.py
    .venv/bin/python benchmarks/page_presets.py late      # these alone, the others stay as recorded

Trains each preset with 20 seeds on the page's built-in text, in Debian's Chromium, with the page's
own sources. A loss *leaps* where a step's is a nat above the lowest mean of ten so far; a text is
*dead* where the network is hardly better than one that only knows how often each character comes.
Both are decided by the page's LossWatch. The network of chapter 06's first section is also trained
for that section's 600 steps, not clipped and clipped, to see whether what the section says of both
holds. Writes page_presets.json.
"""

import base64
import json
import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/support"))
from chromium import browser
from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "page"
SOURCES = ("kernel.js", "engine.js", "text.js", "presets.js")
SEEDS = 20
STEPS = 300
TRAIN = """async ([preset, seed, steps]) => {
    const settings = { ...settingsOf(preset), seed };
    const shape = { ...settings, tokens: tokens.length };
    const network = new Network(await compiledKernel(wasm, planOf(shape).total), shape);
    network.initialize(seed);
    const streams = new Streams(train, settings.streams, settings.length);
    const watch = new LossWatch();
    let brokenAt = null;
    for (let step = 0; step < steps && brokenAt === null; step++) {
        streams.give(network, step);
        const now = { ...clippingAt(settings, step), rate: settings.rate };
        const { loss, norm } = network.trainStep(now);
        if (!Number.isFinite(loss) || !Number.isFinite(norm)) brokenAt = step;
        else watch.add(loss);
    }
    return { seed, leapt_at: watch.leaptAt, broken_at: brokenAt, lowest: watch.lowest,
             last: meanOf(watch.recent), dead: watch.isDead(unigram) };
}"""
SECTION = "chapter06"
SECTION_STEPS = 600
FOLLOW = """async ([preset, seed, steps, clip]) => {
    const settings = { ...settingsOf(preset), seed, clip };
    const shape = { ...settings, tokens: tokens.length };
    const network = new Network(await compiledKernel(wasm, planOf(shape).total), shape);
    network.initialize(seed);
    const streams = new Streams(train, settings.streams, settings.length);
    const figures = new RunFigures();
    let early = 0;
    for (let step = 0; step < steps; step++) {
        streams.give(network, step);
        const { loss, norm, clipped } = network.trainStep(settings);
        figures.add(step + 1, loss, norm, clipped);
        if (step + 1 === 40) early = figures.highest.loss;
    }
    const { first, highest, longest, recent, clipped } = figures;
    return { first_loss: first.loss, highest_of_40: early, highest: highest.loss,
             last_20: meanOf(recent), first_norm: first.norm, longest: longest.norm,
             longest_at: longest.step, clipped_share: clipped / steps };
}"""
PREPARE = """([text, base64]) => {
    window.wasm = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    window.tokens = tokensOf(text);
    const { train, valid } = split(encode(text, tokens).ids);
    window.train = train;
    window.unigram = ngramLoss(train, valid.subarray(0, 8000), 1, tokens.length);
    return { unigram, guessing: Math.log(tokens.length), presets: Object.fromEntries(
        Object.keys(PRESETS).map((key) => [key, { ...PRESETS[key], settings: settingsOf(key) }])) };
}"""


def open_sources(page: Page) -> dict:
    """Load the page's sources and its text; return its presets and the unigram's loss."""
    for name in SOURCES:
        page.add_script_tag(content=(PAGE / name).read_text(encoding="utf-8"))
    text = runpy.run_path(str(PAGE / "build.py"))["built_in_text"]()
    wasm = base64.b64encode((PAGE / "kernel.wasm").read_bytes()).decode()
    return page.evaluate(PREPARE, [text, wasm])


def as_it_says(end: str, run: dict) -> bool:
    """Return whether a run came to the end that its preset promises."""
    leapt = run["leapt_at"] is not None or run["broken_at"] is not None
    if end == "dies":
        return run["dead"]
    return leapt if end == "bursts" else not (leapt or run["dead"])


def follow(page: Page, guessing: float) -> dict:
    """Train the network of chapter 06's first section with all seeds, not clipped and clipped."""
    seeds = []
    for seed in range(1, SEEDS + 1):
        free, clipped = (
            {
                name: round(value, 4)
                for name, value in page.evaluate(
                    FOLLOW, [SECTION, seed, SECTION_STEPS, clip]
                ).items()
            }
            for clip in ("none", "norm")
        )
        holds = {
            "ends far worse than by guessing": free["last_20"] > 2 * guessing,
            "longest over 20 times the first": free["longest"] > 20 * free["first_norm"],
            "spikes within 40 steps": free["highest_of_40"] > 2 * free["first_loss"],
            "clipped, it learns": clipped["last_20"] < 0.8 * guessing,
            "most steps are not clipped": clipped["clipped_share"] < 0.5,
        }
        seeds.append({"seed": seed, "free": free, "clipped": clipped, "holds": all(holds.values())})
        print(f"section, seed {seed}: {holds}", flush=True)
    said = {"steps": SECTION_STEPS, "guessing": round(guessing, 4), "says": list(holds)}
    return {**said, "as_it_says": sum(each["holds"] for each in seeds), "seeds": seeds}


def measure(page: Page, name: str, preset: dict) -> dict:
    """Train a preset with all seeds."""
    runs = [page.evaluate(TRAIN, [name, seed, STEPS]) for seed in range(1, SEEDS + 1)]
    for run in runs:
        run |= {key: round(run[key], 3) for key in ("lowest", "last") if run[key] is not None}
        run["as_it_says"] = as_it_says(preset["end"], run)
    kept = sum(run["as_it_says"] for run in runs)
    print(f"{name}: {preset['end']} in {kept} of {SEEDS}", flush=True)
    return {**{key: preset[key] for key in ("end", "settings")}, "as_it_says": kept, "seeds": runs}


def main(names: list[str]) -> None:
    """Measure the presets of these names, or all; print and write."""
    path = Path(__file__).with_suffix(".json")
    kept = json.loads(path.read_text(encoding="utf-8")) if names else {}
    with browser() as started:
        page = started.new_page()
        found = open_sources(page)
        presets = {
            name: measure(page, name, each) if name in names or not names else kept["presets"][name]
            for name, each in found["presets"].items()
        }
        followed = SECTION in names or not names
        section = follow(page, found["guessing"]) if followed else kept["section"]
        result = {
            "text": "python-docs",
            "unigram": round(found["unigram"], 4),
            "steps": STEPS,
            "seeds": SEEDS,
            "browser": started.version,
            "presets": presets,
            "section": section,
        }
    text = json.dumps(result, indent=None, separators=(", ", ": ")).replace('{"seed"', '\n{"seed"')
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
