"""Execute notebooks in place, ready to commit: `make notebooks`, or with names for some of them.

    python tools/execute_notebooks.py [--profile cpu] [--time-only | --tidy-only] [NOTEBOOK …]

A notebook is written back only if every cell ran. What changes from run to run and says nothing
(widget state, execution times, the Python patch version) is taken out, and figures are made
smaller. The measured time goes into notebooks/times.json, and from there into the notebook's
opening and the table in the README. --time-only measures and keeps the outputs as they are: for the
profile ci. --tidy-only executes nothing. The times of the profile gpu are not written here: they
come with what a GPU measured, through tools/gpu_collect.py, and name the GPU.
"""

import argparse
import base64
import io
import json
import os
import re
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
TIMES = NOTEBOOKS / "times.json"
PROFILES = ("ci", "cpu", "gpu")
# What Jupyter's Python kernel says of itself, without the version, which is the machine's.
# Converters take the ending of a script from here, and editors the colours.
PYTHON = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}


def execute(path: Path) -> tuple[nbformat.NotebookNode, float]:
    """Run a notebook in its own folder; return it and the seconds that its cells took."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=1800,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        resources={"metadata": {"path": str(NOTEBOOKS)}},
    )
    start = time.perf_counter()
    client.execute()
    return notebook, time.perf_counter() - start


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Take out what varies from machine to machine and says nothing to a reader; shrink figures."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": PYTHON,
        }
    )
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = joined([o for o in cell.outputs if not _is_widget(o)])
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    output.data["image/png"] = shrink(output.data["image/png"])


def joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Join what a cell printed in pieces. Where the pieces end depends on the machine's load."""
    whole: list[nbformat.NotebookNode] = []
    for output in outputs:
        name = output.get("name")  # of a stream: stdout or stderr
        if name and whole and whole[-1].get("name") == name:
            whole[-1].text += output.text
        else:
            whole.append(output)
    return whole


def shrink(picture: str) -> str:
    """Return a PNG with a palette of 256 colours, a third of its size; both in base64.

    A line's soft edges have some two thousand colours. The nearest of 256 is a few steps of 255
    away, which nobody sees. Code hosts show no notebook of more than a megabyte.
    A picture that has a palette, or that one sees through, is returned as it is.
    """
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    seen_through = "A" in image.getbands() and image.getchannel("A").getextrema()[0] < 255
    if image.mode == "P" or seen_through:
        return picture
    colours = image.convert("RGB").quantize(
        256, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE
    )
    smaller = io.BytesIO()
    colours.save(smaller, "PNG", optimize=True)
    return base64.b64encode(smaller.getvalue()).decode("ascii")


def _is_widget(output: nbformat.NotebookNode) -> bool:
    """Say whether an output is a widget, which renders only beside a live kernel."""
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def duration(seconds: float | None) -> str:
    """Say a time as a reader wants it, or that there is none."""
    if seconds is None:
        return "not yet measured"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def times_line(times: dict) -> str:
    """Return the line of a notebook's opening that states its measured times, and on what."""
    where = "two CPU cores; by profile"
    if "gpu" in times:
        where = f"by profile; ci and cpu on two CPU cores, gpu on one {times['gpu_device']}"
        where += ", beside other chapters" * times["gpu_beside"]
    parts = [f"{p}: {duration(times.get(p))}" for p in PROFILES]
    return f"**Measured time** ({where}): " + ", ".join(parts) + "."


def times_sentence(times: dict[str, dict]) -> str:
    """Return the README's sentence over the table of times, with every GPU that measured some."""
    measured = {name: each for name, each in sorted(times.items()) if "gpu" in each}
    note = ", ".join(sorted({each["gpu_device"] for each in measured.values()}))
    beside = ", ".join(name[:2] for name, each in measured.items() if each["gpu_beside"])
    note += f"; chapters {beside} while others ran" * bool(beside)
    more = f" ({note})" if note else ""
    return (
        "Measured times, on two CPU cores; `ci` is the tiny run of the tests, `cpu` a laptop, "
        f"`gpu` a CUDA device{more}."
    )


def write_times(times: dict[str, dict]) -> None:
    """Write the times into times.json, every notebook's opening, and the README.

    Args:
        times: notebook -> {profile: seconds}. With "gpu" come "gpu_device", the GPU's name, and
            "gpu_beside": whether other chapters ran beside this one.
    """
    TIMES.write_text(json.dumps(times, indent=2, sort_keys=True) + "\n")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    readme = re.sub(r"^Measured times, on .*", times_sentence(times), readme, flags=re.MULTILINE)
    for name, measured in times.items():
        path = NOTEBOOKS / name
        notebook = nbformat.read(path, as_version=4)
        opening = notebook.cells[0]
        opening.source = re.sub(r"\*\*Measured time\*\*.*", times_line(measured), opening.source)
        nbformat.write(notebook, path)
        cells = " | ".join(duration(measured.get(p)) for p in PROFILES)
        row = rf"(\| \[[^]]*\]\(notebooks/{re.escape(name)}\) \|[^|]*\|).*"
        readme = re.sub(row, rf"\1 {cells} |", readme)
    (ROOT / "README.md").write_text(readme, encoding="utf-8")


def save_figures(notebook: nbformat.NotebookNode) -> None:
    """Save the picture of each cell tagged figure:NAME to notebooks/figures/NAME.png."""
    for cell in notebook.cells:
        names = [t[7:] for t in cell.metadata.get("tags", []) if t.startswith("figure:")]
        images = [
            o.data["image/png"] for o in cell.get("outputs", []) if "image/png" in o.get("data", {})
        ]
        for name, image in zip(names, images, strict=True) if names else []:
            (NOTEBOOKS / "figures").mkdir(exist_ok=True)
            (NOTEBOOKS / "figures" / f"{name}.png").write_bytes(base64.b64decode(image))


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook, tidied, and the pictures of its that other pages show."""
    tidy(notebook)
    save_figures(notebook)
    nbformat.write(notebook, path)


def main() -> None:
    """Execute the notebooks that the command line names, or all of them."""
    parser = argparse.ArgumentParser(description="Execute notebooks in place.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all")
    parser.add_argument("--profile", default="cpu", choices=PROFILES)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--time-only", action="store_true", help="keep the outputs as they are")
    what.add_argument("--tidy-only", action="store_true", help="execute nothing")
    arguments = parser.parse_args()
    os.environ["LSTMLIB_PROFILE"] = arguments.profile
    for path in arguments.notebooks or sorted(NOTEBOOKS.glob("*.ipynb")):
        if arguments.tidy_only:
            write(nbformat.read(path, as_version=4), path)
            continue
        print(f"{path.name}: ", end="", flush=True)
        notebook, seconds = execute(path)
        print(duration(seconds))
        if not arguments.time_only:
            write(notebook, path)
        if arguments.profile != "gpu":
            times = json.loads(TIMES.read_text()) if TIMES.exists() else {}
            times.setdefault(path.name, {})[arguments.profile] = round(seconds, 1)
            write_times(times)


if __name__ == "__main__":
    main()
