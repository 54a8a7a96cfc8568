"""Execute notebooks as another machine would, and write down what they measured and what failed.

    python tools/survey.py OUT.jsonl [NOTEBOOK …] [--profile ci] [--seeds 0 1000 2000] [--text FILE]

A band holds over seeds and over processors. This tool measures both: it runs the notebooks with
their seeds moved, goes on where a check fails, and appends one row for each notebook and seed to
OUT.jsonl: the value of every band, the facts that did not hold, both sides of every fact that is a
comparison, the cells that stopped, and the strict cells whose output is not the committed one (for
seed 0 alone). The notebooks stay as they are.

Other processors come from the environment that it is started in, such as
ATEN_CPU_CAPABILITY=default. --text puts a reader's own text in the place of the default corpus.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from lstmlib.corpora import load_corpus

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
NUMERICS = (
    "ATEN_CPU_CAPABILITY",
    "MKL_CBWR",
    "OMP_NUM_THREADS",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
)
# Runs in the kernel before the notebook: checks write down instead of stopping, seeds are moved.
PRELUDE = """
import ast as _ast, json as _json, linecache as _linecache, os as _os, sys as _sys
import numpy as _np, torch as _torch
from lstmlib.course import check as _check

def _note(*row):
    with open(_os.environ["LSTMLIB_SURVEY"], "a") as file:
        print(_json.dumps(row), file=file)

def _band(name, value, *_, **__):
    _note("band", name, float(value))
    print(f"{_check.bands()[name]['what']} in its band: ok")

def _fact(name, holds, *_, **__):
    if not holds:
        _note("fact", name)
    frame, state = _sys._getframe(1), _torch.get_rng_state()
    try:
        _note("margin", name, _sides(name, frame))
    except Exception as error:
        _note("margin", name, [repr(error)])
    _torch.set_rng_state(state)
    print(f"{name}: ok")

def _sides(name, frame):
    # The two sides of each comparison in a fact: how near did it come to its limit?
    lines = "".join(_linecache.getlines(frame.f_code.co_filename))
    calls = [
        node for node in _ast.walk(_ast.parse(lines))
        if isinstance(node, _ast.Call) and getattr(node.func, "attr", "") == "fact"
        and isinstance(node.args[0], _ast.Constant) and node.args[0].value == name
    ]
    sides = []
    for node in _ast.walk(calls[0].args[1]):
        if isinstance(node, _ast.Compare):
            parts = [node.left, *node.comparators]
            codes = [compile(_ast.Expression(part), "side", "eval") for part in parts]
            values = [eval(code, frame.f_globals, frame.f_locals) for code in codes]
            if all(_np.ndim(v) == 0 and not isinstance(v, (str, bool)) for v in values):
                ops = [type(op).__name__ for op in node.ops]
                sides.append([ops, [v if _np.isfinite(v) else str(v) for v in map(float, values)]])
    return sides

def _moved(function):
    def seeded(seed=None):
        return function(seed + MOVE if isinstance(seed, int) else seed)
    return seeded

if TEXT:
    from lstmlib import corpora as _corpora

    def _load(name, _real=_corpora.load_corpus, **more):
        return _real(TEXT if name == "python-docs" else name, **more)

    _corpora.load_corpus = _load
else:
    _check.band, _check.fact = _band, _fact
if MOVE:
    _torch.manual_seed = _moved(_torch.manual_seed)
    _np.random.default_rng = _moved(_np.random.default_rng)
"""


def shown(cell: nbformat.NotebookNode) -> list[str]:
    """Return what nbval compares of a code cell's output: text, addresses left out."""
    streams, reprs = {}, []
    for output in cell.outputs:
        if output.output_type == "stream":
            streams[output.name] = streams.get(output.name, "") + output.text
        elif output.output_type == "execute_result":
            reprs.append(output.data.get("text/plain", ""))
    texts = [*map(str, sorted(streams.items())), *reprs]
    return [re.sub(r"0x[0-9a-f]{6,}", "0xADDRESS", text) for text in texts]


def survey(
    path: Path,
    profile: str,
    move: int,
    text: Path | None = None,
    watch: Callable[[NotebookClient], None] | None = None,
) -> dict:
    """Execute a notebook with its seeds moved; return the row that describes what came of it.

    On a text of the reader's own, checks stop where they fail, as they do for the reader. `watch`
    is given the client before it starts, to end a run that takes too long.
    """
    notebook = nbformat.read(path, as_version=4)
    committed = [shown(cell) for cell in notebook.cells if cell.cell_type == "code"]
    own = repr(str(text.resolve())) if text else "None"
    prelude = PRELUDE.replace("MOVE", str(move)).replace("TEXT", own)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(prelude))
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes.jsonl"
        notes.touch()
        os.environ |= {"LSTMLIB_PROFILE": profile, "LSTMLIB_SURVEY": str(notes)}
        resources = {"metadata": {"path": str(NOTEBOOKS)}}
        client = NotebookClient(
            notebook, timeout=3600, kernel_name="python3", allow_errors=True, resources=resources
        )
        if watch is not None:
            watch(client)
        start = time.perf_counter()
        client.execute()
        seconds = time.perf_counter() - start
        rows = [json.loads(line) for line in notes.read_text().splitlines()]
    cells = [cell for cell in notebook.cells[1:] if cell.cell_type == "code"]
    return {
        "notebook": path.name,
        "profile": profile,
        "seed": move,
        "numerics": {name: os.environ[name] for name in NUMERICS if name in os.environ},
        "processor": platform.processor() or platform.machine(),
        "text": text.name if text else _fingerprint(),
        "seconds": round(seconds, 1),
        "bands": {row[1]: row[2] for row in rows if row[0] == "band"},
        "facts": [row[1] for row in rows if row[0] == "fact"],
        "margins": {row[1]: row[2] for row in rows if row[0] == "margin" and row[2]},
        "stopped": _stopped(cells),
        "changed": _changed(cells, committed) if move == 0 and text is None else [],
    }


def _fingerprint() -> str:
    """Say which Python's help pages the default corpus is here."""
    return hashlib.sha256(load_corpus("python-docs").text.encode()).hexdigest()[:12]


def _stopped(cells: list[nbformat.NotebookNode]) -> list[str]:
    return [
        f"cell {number}: {output.ename}: {output.evalue}"[:300]
        for number, cell in enumerate(cells)
        for output in cell.outputs
        if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", [])
    ]


def _changed(cells: list[nbformat.NotebookNode], committed: list[list[str]]) -> list[dict]:
    return [
        {"cell": number, "committed": before, "now": shown(cell)}
        for number, (cell, before) in enumerate(zip(cells, committed, strict=True))
        if "nbval-ignore-output" not in cell.metadata.get("tags", []) and shown(cell) != before
    ]


def main() -> None:
    """Survey the notebooks that the command line names, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="a JSON lines file; rows are appended")
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all")
    parser.add_argument("--profile", default="ci", choices=("ci", "cpu", "gpu"))
    far = "added to every seed; far apart, such as 0 1000 2000"
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help=far)
    parser.add_argument("--text", type=Path, help="instead of the default corpus")
    arguments = parser.parse_args()
    for move in arguments.seeds:
        for path in arguments.notebooks or sorted(NOTEBOOKS.glob("*.ipynb")):
            row = survey(path, arguments.profile, move, arguments.text)
            with arguments.out.open("a") as file:
                print(json.dumps(row), file=file)
            problems = [*row["facts"], *row["stopped"], *map(str, row["changed"])]
            print(
                f"{path.name}, seed {move}: {row['seconds']} s", *problems, sep="\n  ", flush=True
            )


if __name__ == "__main__":
    main()
