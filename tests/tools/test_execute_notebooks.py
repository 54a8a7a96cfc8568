"""What is taken out of a notebook that was executed, and what stays."""

import base64
import io
import runpy
from pathlib import Path

import nbformat
import numpy as np
import pytest
from matplotlib.figure import Figure
from nbconvert.exporters import ScriptExporter
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TOOL = runpy.run_path(str(ROOT / "tools" / "execute_notebooks.py"))


def picture(**style):
    """Draw a colour map and two curves as matplotlib does: soft edges, thousands of colours."""
    figure = Figure(figsize=(6, 4), dpi=110)
    above, below = figure.subplots(2)
    above.imshow(np.linspace(0, 1, 256)[None], cmap="viridis", aspect="auto")
    x = np.linspace(0, 9, 2000)
    below.plot(x, np.sin(9 * x), alpha=0.4)
    below.plot(x, np.cos(7 * x), color="tab:red")
    file = io.BytesIO()
    figure.savefig(file, format="png", **style)
    return base64.b64encode(file.getvalue()).decode()


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")).astype(int)


def executed():
    """Return a notebook as Jupyter leaves it after a run."""
    drawn = nbformat.v4.new_output("display_data", {"image/png": picture()}, metadata={"alt": "x"})
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "x"}
    cell = nbformat.v4.new_code_cell(
        "print(1)",
        metadata={"execution": {"iopub.busy": "2026"}, "tags": ["a"]},
        outputs=[drawn, nbformat.v4.new_output("display_data", widget)],
    )
    metadata = {"language_info": {"name": "python", "version": "3.11.7"}, "widgets": {"state": {}}}
    return nbformat.v4.new_notebook(cells=[cell], metadata=metadata)


def test_what_is_the_machines_goes_and_what_a_reader_sees_stays():
    notebook = executed()
    TOOL["tidy"](notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert "3.11" not in str(notebook.metadata)
    (cell,) = notebook.cells
    assert cell.metadata == {"tags": ["a"]}
    (output,) = cell.outputs
    assert output.metadata == {"alt": "x"}
    assert len(output.data["image/png"]) < len(picture()) / 2


def test_what_was_printed_in_pieces_is_joined():
    """A figure between two pieces keeps them apart, and so does another stream."""
    stream = nbformat.v4.new_output
    parts = [("stdout", "a"), ("stdout", "b\n"), ("stderr", "c"), None, ("stdout", "d")]
    outputs = [
        stream("stream", name=part[0], text=part[1]) if part else stream("display_data", {"a": "b"})
        for part in parts
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=outputs)])
    TOOL["tidy"](notebook)
    (cell,) = notebook.cells
    assert [o.get("text") for o in cell.outputs] == ["ab\n", "c", None, "d"]


def test_a_tidied_notebook_converts_to_a_python_file():
    notebook = executed()
    TOOL["tidy"](notebook)
    nbformat.validate(notebook)
    script, resources = ScriptExporter().from_notebook_node(notebook)
    assert resources["output_extension"] == ".py"
    assert "print(1)" in script


def test_a_smaller_figure_looks_the_same():
    before = picture()
    after = TOOL["shrink"](before)
    assert len(after) < len(before) / 2
    difference = np.abs(pixels(after) - pixels(before))
    assert difference.max() <= 24
    assert difference.mean() < 1
    assert (pixels(after)[0, 0] == 255).all()


@pytest.mark.parametrize("style", [{}, {"transparent": True}])
def test_a_figure_is_made_smaller_only_once_and_stays_clear_where_it_is(style):
    once = TOOL["shrink"](picture(**style))
    assert TOOL["shrink"](once) == once
    assert (once == picture(**style)) == bool(style)


def test_tidying_alone_executes_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.ipynb"
    nbformat.write(executed(), path)
    monkeypatch.setattr("sys.argv", ["execute_notebooks.py", "--tidy-only", str(path)])
    TOOL["main"]()
    written = nbformat.read(path, as_version=4)
    assert len(written.cells[0].outputs) == 1
    assert written.cells[0].execution_count is None
