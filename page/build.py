"""Build the temperature explorer: one HTML file that holds the page and a model.

    .venv/bin/python page/build.py
    .venv/bin/python page/build.py model.safetensors --about "It was trained on sonnets."

`lstmlib.explorer` puts the page together; this program is its command, for the course's own model.
"""

import argparse
import os
from pathlib import Path

from lstmlib.explorer import PROMPT, arrays_of, explorer_page
from lstmlib.serialization import ModelFileError, atomic_write, load_model
from lstmlib.vocab import VocabError

__all__ = ["arrays_of", "build", "main"]

HERE = Path(__file__).resolve().parent
MODEL = HERE.parent / "runs" / "help-pages" / "model.safetensors"
ABOUT = "It was trained on the help pages inside Python."
"""What is said of MODEL; of another model, nothing is known unless it is said."""
BACK = "../README.md"
"""Where the course is from the page in its place."""
build = explorer_page


def main(path: Path, about: str | None, prompt: str, out: Path, back: str | None = BACK) -> None:
    """Write the page of a model file.

    Raises:
        ModelFileError: it is not a file of `save_model`.
        ValueError, VocabError: as in `build`.
        OSError: the page cannot be written.
    """
    if about is None:
        about = ABOUT if path.resolve() == MODEL else ""
    page = build(*load_model(path), about, prompt, back)
    atomic_write(out, page.encode("utf-8"))
    print(f"{os.path.relpath(out)}: {len(page.encode('utf-8')):,} bytes")


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
    except (OSError, ValueError, VocabError, ModelFileError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
