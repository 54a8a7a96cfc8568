"""The tools that measure bands: a survey of notebooks, and what it writes into the bands."""

import json
import math
import runpy
import sys
from pathlib import Path

import nbformat
import pytest

from lstmlib.course import check
from lstmlib.course.check import facts

ROOT = Path(__file__).resolve().parents[2]
SURVEY = runpy.run_path(str(ROOT / "tools" / "survey.py"))
CELLS = [
    "import numpy as np\nimport torch\nfrom lstmlib.course import check\n"
    "from lstmlib.corpora import load_corpus",
    "low, high = 1, 2\ncheck.fact('one is above two', low > high)",
    "check.band('00.five_gram', 99.0)",
    "torch.manual_seed(1)\ncheck.band('01.unigram', torch.rand(1).item())\n"
    "check.band('01.bigram', np.random.default_rng(1).random())",
    "corpus = load_corpus('python-docs')\n"
    "check.fact('short', len(corpus.text) < 100, 'python-docs')",
    "1 / 0",
    "print('as committed')",
]
DRAWN = ("01.unigram", "01.bigram")


@pytest.fixture
def notebook(tmp_path):
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    cells[-1].outputs = [nbformat.v4.new_output("stream", name="stdout", text="as committed\n")]
    path = tmp_path / "some.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_a_survey_goes_on_where_a_check_fails(notebook):
    before = notebook.read_bytes()
    row = SURVEY["survey"](notebook, "ci", 0)
    assert row["facts"] == ["one is above two", "short"]
    assert row["margins"]["one is above two"] == [[["Gt"], [1.0, 2.0]]]
    assert row["bands"]["00.five_gram"] == 99.0
    assert len(row["stopped"]) == 1 and "ZeroDivisionError" in row["stopped"][0]
    assert [change["cell"] for change in row["changed"]] == [1, 2, 3, 4]
    assert notebook.read_bytes() == before


def test_seeds_are_moved(notebook):
    as_it_is, again, moved = (SURVEY["survey"](notebook, "ci", move) for move in (0, 0, 1))
    drawn = [{row["bands"][name] for row in (as_it_is, again, moved)} for name in DRAWN]
    assert as_it_is["bands"] == again["bands"]
    assert [len(each) for each in drawn] == [2, 2]
    assert as_it_is["changed"] and not moved["changed"]  # other seeds may print other things


def test_a_text_of_the_readers_own_takes_the_place_of_the_default(notebook, tmp_path):
    (tmp_path / "own.txt").write_text("a short text of one's own")
    row = SURVEY["survey"](notebook, "ci", 0, tmp_path / "own.txt")
    assert row["text"] == "own.txt" and row["changed"] == []
    kinds = [stop.split(": ")[1] for stop in row["stopped"]]
    # Here checks stop the cell, as they do for the reader: one fact, three bands.
    assert kinds == ["AssertionError"] * 3 + ["ZeroDivisionError"]


def test_measured_ranges_are_written_into_the_bands(tmp_path, monkeypatch, capsys):
    tool = runpy.run_path(str(ROOT / "tools" / "set_bands.py"))
    file, surveyed = tmp_path / "bands/ch00.toml", tmp_path / "survey.jsonl"
    file.parent.mkdir()
    file.write_text('["a"]\nwhat = "first"\nci = [0, 1]\n\n["b"]\nwhat = "second"\nci = [0, 9]\n')
    values = [{"a": 0.4, "b": 1.0}, {"a": 0.6, "b": 8.123456}]
    run = {"notebook": "a.ipynb", "profile": "ci", "text": "x", "numerics": {}}
    rows = [run | {"seed": seed, "bands": each} for seed, each in enumerate(values)]
    rows.append(rows[0])  # made twice, counted once
    surveyed.write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.setattr(facts, "BANDS", file.parent)
    monkeypatch.setitem(tool["write"].__globals__, "BANDS", file.parent)
    monkeypatch.setattr(sys, "argv", ["", str(surveyed)])
    for _ in range(2):
        with pytest.raises(SystemExit, match="1"):
            tool["main"]()
    assert capsys.readouterr().out == 2 * "b, ci: [0, 9] for [1.0, 8.123, 2]\n"
    assert check.bands()["a"]["measured"] == {"ci": [0.4, 0.6, 2]}
    assert file.read_text().count("measured") == 2


GPU_BANDS = """["a"]
what = "narrow"
ci = [0, 1]
cpu = [1.0, 1.5]
gpu = [1.0, 1.5]
measured = { ci = [0.4, 0.6, 9], cpu = [1.2, 1.3, 9] }

["b"]
what = "wide enough"
cpu = [0.0, 9.0]
gpu = [0.0, 9.0]
measured = { cpu = [4.0, 6.0, 9] }
"""


def set_bands(tmp_path, monkeypatch, *arguments):
    """Run tools/set_bands.py on bands of its own and a row as the stage notebooks writes it."""
    tool = runpy.run_path(str(ROOT / "tools" / "set_bands.py"))
    row = {"notebook": "a.ipynb", "profile": "gpu", "seed": 0, "text": "x", "numerics": {}}
    row |= {"bands": {"a": 1.013, "b": 4.5}, "gpu": "a GPU", "beside": False}
    (tmp_path / "bands").mkdir()
    (tmp_path / "bands/ch00.toml").write_text(GPU_BANDS)
    (tmp_path / "a.json").write_text(json.dumps(row, indent=1) + "\n")
    (tmp_path / "b.json").write_text(json.dumps(row | {"notebook": "b.ipynb", "bands": {}}) + "\n")
    monkeypatch.setattr(facts, "BANDS", tmp_path / "bands")
    for name in ("main", "write"):
        monkeypatch.setitem(tool[name].__globals__, "BANDS", tmp_path / "bands")
    files = [str(path) for path in sorted(tmp_path.glob("*.json"))]
    monkeypatch.setattr(sys, "argv", ["", *files, *arguments])
    with pytest.raises(SystemExit) as ended:
        tool["main"]()
    return ended.value.code, check.bands()


def test_one_run_on_a_gpu_needs_the_room_that_cpu_spans(tmp_path, monkeypatch, capsys):
    code, bands = set_bands(tmp_path, monkeypatch)
    assert code == 1
    assert capsys.readouterr().out == "a, gpu: [1.0, 1.5] for [1.013, 1.013, 1]\n"
    assert bands["a"]["gpu"] == [1.0, 1.5]
    assert bands["a"]["measured"]["gpu"] == [1.013, 1.013, 1]
    assert bands["a"]["measured"]["cpu"] == [1.2, 1.3, 9]


def test_a_band_is_widened_to_one_run_and_holds_what_it_held(tmp_path, monkeypatch, capsys):
    code, bands = set_bands(tmp_path, monkeypatch, "--set", "gpu")
    assert code == 0
    assert bands["a"]["gpu"] == [0.91, 1.5]
    assert bands["a"]["cpu"] == [1.0, 1.5]
    assert bands["b"]["gpu"] == [0.0, 9.0]
    assert "a, gpu: [1.0, 1.5] becomes [0.91, 1.5]" in capsys.readouterr().out


@pytest.mark.parametrize("like", [[0.0, 0.0, 3], [1.0, 1.5, 3]])
@pytest.mark.parametrize("value", [-3.21, 0.0, 0.0012, 1.3, 99.7])
def test_a_band_that_was_set_has_room(value, like):
    around = runpy.run_path(str(ROOT / "tools" / "set_bands.py"))["around"]
    found = [value, value, 1]
    low, high = around(found, like)
    assert check.has_room([low, high], found, like)
    assert low < value < high


def test_a_share_has_no_room_beyond_all(like=(99.7, 99.9, 5)):
    around = runpy.run_path(str(ROOT / "tools" / "set_bands.py"))["around"]
    low, high = around([99.7, 99.7, 1], like, at_most=100.0)
    assert low < 99 and high == 100
    assert check.has_room([low, high], [99.7, 99.7, 1], like, at_most=100.0)
    assert not check.has_room([low, 99.8], [99.7, 99.7, 1], like, at_most=100.0)
    assert not check.has_room([99.6, high], [99.7, 99.7, 1], like, at_most=100.0)


@pytest.mark.parametrize("name", check.bands())
def test_every_band_leaves_room_for_machines_that_were_not_measured(name):
    entry = check.bands()[name]
    assert {"ci", "cpu"} <= set(entry["measured"])
    many = entry["measured"]["cpu"]
    for profile, measured in entry["measured"].items():
        assert measured[2] >= 3 or profile == "gpu", "one run is no range"
        room = check.has_room(entry[profile], measured, many, entry.get("at_most", math.inf))
        assert room, profile
