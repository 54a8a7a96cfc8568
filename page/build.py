"""Build the stand-alone pages: the temperature explorer with a model in it, and the explosion lab.

    .venv/bin/python page/build.py
    .venv/bin/python page/build.py model.safetensors --about "It was trained on sonnets."

Without a model it builds both; with one, the explorer of this model alone. `lstmlib.explorer` puts
the explorer together, for chapter 12 too.
"""

import argparse
import base64
import json
import os
from pathlib import Path

from lstmlib.cleaning import clean, rare_count
from lstmlib.explorer import PROMPT, arrays_of, explorer_page, policy_of, way_back
from lstmlib.serialization import ModelFileError, atomic_write, load_model
from lstmlib.vocab import VocabError

__all__ = ["arrays_of", "build", "built_in_text", "lab_page", "main"]

HERE = Path(__file__).resolve().parent
MODEL = HERE.parent / "runs" / "help-pages" / "model.safetensors"
ABOUT = "It was trained on the help pages inside Python."
"""What is said of MODEL; of another model, nothing is known unless it is said."""
BACK = "../README.md"
"""Where the course is from the page in its place."""
build = explorer_page
LAB = HERE / "explosion.html"
TEXT = HERE.parent / "datasets" / "python-docs.txt"
"""What the lab trains on at first, cleaned as chapter 06 cleans it."""
WORKER = ("kernel.js", "engine.js", "text.js", "presets.js", "worker.js")
"""The sources of the lab's worker, which is one script."""
SCRIPTS = ("presets.js", "shared.js", "history.js", "plots.js", "lab.js")


def built_in_text() -> str:
    """Return the text that the lab trains on at first."""
    text = TEXT.read_text(encoding="utf-8")
    return clean(text, straight_quotes=True, min_count=rare_count(text))[0]


def lab_page(back: str | None = BACK) -> str:
    """Return the explosion lab: its page, its worker, the compiled arithmetic and a text.

    Raises:
        OSError: a source cannot be read.
        ValueError: the page has no place for a part.
    """
    style, *scripts = (f"\n{_source(name)}" for name in ("lab.css", *SCRIPTS))
    # In a script element only "<" could end or disturb the data.
    text = json.dumps(built_in_text()).replace("<", "\\u003c")
    worker = "\n".join(_source(name) for name in WORKER)
    if "</script" in worker or "<!--" in worker:
        raise ValueError("The worker's sources hold what would end the element that they stand in.")
    parts = {
        # The worker is a blob of this page's own making.
        "<!-- policy -->": policy_of(scripts, style) + "; worker-src blob:",
        '<link rel="stylesheet" href="lab.css">': f"<style>{style}</style>",
        "<!-- back -->": way_back(back).removeprefix("<p>").removesuffix("</p>"),
        "<!-- text -->": text,
        "<!-- kernel -->": base64.b64encode((HERE / "kernel.wasm").read_bytes()).decode(),
        "<!-- worker -->": worker,
    }
    for name, script in zip(SCRIPTS, scripts, strict=True):
        parts[f'<script src="{name}"></script>'] = f"<script>{script}</script>"
    page = _source("lab.html")
    for mark, part in parts.items():
        before, found, after = page.partition(mark)
        if not found:
            raise ValueError(f"lab.html lacks {mark}")
        page = before + part + after
    return page


def _source(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _write(page: str, out: Path) -> None:
    atomic_write(out, page.encode("utf-8"))
    print(f"{os.path.relpath(out)}: {len(page.encode('utf-8')):,} bytes")


def main(path: Path, about: str | None, prompt: str, out: Path, back: str | None = BACK) -> None:
    """Write the page of a model file.

    Raises:
        ModelFileError: it is not a file of `save_model`.
        ValueError, VocabError: as in `build`.
        OSError: the page cannot be written.
    """
    if about is None:
        about = ABOUT if path.resolve() == MODEL else ""
    _write(build(*load_model(path), about, prompt, back), out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?", default=MODEL, help="a file of save_model")
    parser.add_argument("--about", help=f"what it was trained on; of the course's model: {ABOUT}")
    parser.add_argument("--prompt", default=PROMPT, help="what the prompt is at first")
    parser.add_argument("--back", default=BACK, help='address of the course; "" for no link to it')
    parser.add_argument("--out", type=Path, default=HERE / "index.html", help="the page")
    arguments = parser.parse_args()
    try:
        main(arguments.model, arguments.about, arguments.prompt, arguments.out, arguments.back)
        if arguments.model == MODEL and arguments.out == HERE / "index.html":
            _write(lab_page(arguments.back), LAB)
    except (OSError, ValueError, VocabError, ModelFileError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
