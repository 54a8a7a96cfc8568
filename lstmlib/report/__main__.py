"""Prints all measures of a generated text beside those of held-out text, and what it copied.

python -m lstmlib.report generated.txt --training book.txt --html report.html
"""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from lstmlib.corpora import CorpusError, load_corpus
from lstmlib.readers import read_book
from lstmlib.report.measuring import measure_text
from lstmlib.report.page import visible


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program, and return its exit status: 0, or 2 after a sentence on what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m lstmlib.report", description=__doc__.splitlines()[0]
    )
    parser.add_argument("generated", help="a file of what the model wrote, without a prompt")
    parser.add_argument("--training", required=True, help="a file, or the name of a corpus")
    parser.add_argument(
        "--held-out", help="a file; the last tenth of the training text if left out"
    )
    parser.add_argument("--html", help="a file to write the report to, as one page")
    parser.add_argument("--length", type=int, default=400, help="characters of a piece (400)")
    parser.add_argument("--pieces", type=int, default=100, help="the most pieces of a text (100)")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (0)")
    asked = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal may lack a character
    try:
        _run(asked)
    except (CorpusError, ValueError, OSError) as error:
        print(visible(" ".join(str(error).split())), file=sys.stderr)
        return 2
    return 0


def _run(asked: argparse.Namespace) -> None:
    if asked.html and (
        os.path.isdir(asked.html) or not os.path.isdir(Path(asked.html).absolute().parent)
    ):
        raise ValueError(f"{asked.html!r} is no file in a folder that exists; give --html another.")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        generated = read_book(asked.generated)[0]
        training = load_corpus(asked.training).text
        held_out = read_book(asked.held_out)[0] if asked.held_out else None
    for message in [str(warning.message) for warning in caught]:
        _say(message)
    options = {"length": asked.length, "pieces": asked.pieces, "seed": asked.seed}
    report = measure_text(generated, training, held_out, **options, say=_say)
    print(report.text(), end="")
    if asked.html:
        Path(asked.html).write_text(report.html(), encoding="utf-8", errors="replace")


def _say(message: str) -> None:
    print(visible(message), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
