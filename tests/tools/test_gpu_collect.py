"""What comes back from a GPU: what is taken, what is refused, and that nothing else is shown."""

import hashlib
import io
import json
import re
import runpy
import shutil
import sys
import tarfile
import types
from pathlib import Path

import nbformat
import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from lstmlib.course import check
from lstmlib.course.check import facts
from lstmlib.history import History
from lstmlib.models import CharRNN
from lstmlib.serialization import save_model
from lstmlib.vocab import Vocab

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # the tools stand beside each other, in no package

import gpu_collect  # noqa: E402

DEVICE = {"name": "NVIDIA Test 9", "pytorch": "2.11.0", "memory_bytes": 2**36, "driver": "1"}
CODE = "c0de"
ABOUT = {"ended": "whole", "exit_code": 0, "seconds": 50.0, "limit": 60.0, "rehearsal": False}
ABOUT |= {"commit": "abc1234", "code": CODE, "gpu": DEVICE, "log": "begun\nIt broke."}
BANDS = "lstmlib/course/bands"
COPIED = ("README.md", "runs/README.md", "runs/case-d-full/config.json")
COPIED += ("runs/leaderboard/entries.json", "notebooks/times.json")
COPIED += ("tools/execute_notebooks.py", "tools/set_bands.py")
BOARD, CASE_D = "runs/leaderboard/gpu", "runs/case-d-full"
CHAPTERS = [path.name for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]


# Made-up results


def as_json(content):
    return json.dumps(content).encode()


def file_of(write, tmp_path):
    write(tmp_path / "file")
    return (tmp_path / "file").read_bytes()


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    """A small history and a small model, as files."""
    folder = tmp_path_factory.mktemp("files")
    model, vocab = CharRNN(3, 4, 1), Vocab.from_text("abc")
    row = {"loss": 1.5, "grad_norm": 1.0, "seconds": 0.5}
    return {
        "history.jsonl": file_of(History([row | {"step": 1}, row | {"step": 2}]).save, folder),
        "model.safetensors": file_of(lambda path: save_model(path, model, vocab), folder),
    }


def chapter(name, **more):
    bands = {"00.five_gram": 1.4} if name.startswith("00") else {}
    row = {"notebook": name, "profile": "gpu", "seed": 0, "numerics": {}, "text": "abc"}
    row |= {"seconds": 31.4, "bands": bands, "facts": [], "margins": {}, "stopped": []}
    return row | {"changed": [], "processor": "x86_64"} | more


def leaderboard_result(seed, **more):
    result = {"entry": "recipe", "seed": seed, "valid_loss": 1.3612, "windows_loss": 1.402}
    result |= {"training_loss": 1.1, "steps": 900, "characters": 10**6, "seconds": 170.5}
    result |= {"parameters": 10**6, "settings": {}, "device": DEVICE["name"]}
    return result | {"precision": "bfloat16", "pytorch": "2.11.0"} | more


def speeds():
    point = {"precision": "float32", "flops_per_character": 10**6}
    points = [
        point | {"hidden_size": hidden, "batch_size": batch, "characters_per_second": hidden * 1000}
        for hidden in (128, 2048)
        for batch in (1, 16)
    ]
    return {
        "device": DEVICE["name"],
        "pytorch": "2.11.0",
        "threads": 8,
        "seq_len": 64,
        "product_operations_per_second": {"float32": 10**14},
        "copied_bytes_per_second": 10**12,
        "points": points,
    }


def case_d(epochs):
    result = {"training_loss": 1.2, "valid_loss": 1.3456, "epochs": epochs, "versions": {}}
    result |= {"lowest_training_loss": 1.1, "lowest_training_loss_epoch": epochs}
    return result | {"training_seconds": 133.4, "machine": DEVICE["name"]}


def results(binary):
    """Return what five whole stages leave: stage -> path -> contents."""
    gpu = "benchmarks/gpu"
    return {
        "right": {f"{gpu}/right.json": as_json(RIGHT)},
        "notebooks": {
            f"gpu-survey/{Path(name).stem}.json": as_json(chapter(name)) for name in CHAPTERS
        },
        "speed": {
            "runs/speed-gpu/result.json": as_json(speeds()),
            **{f"{gpu}/{name}.json": as_json(record) for name, record in SPEED.items()},
        },
        "leaderboard": {
            f"{BOARD}/steps.json": as_json(
                {"device": DEVICE["name"], "entries": {"recipe": {"steps": 900}}}
            ),
            f"{BOARD}/recipe-1.json": as_json(leaderboard_result(1)),
            f"{BOARD}/recipe-2.json": as_json(leaderboard_result(2, valid_loss=1.3701)),
            f"{BOARD}/samples.txt": b"ROMEO: well\n",
            **{f"{BOARD}/{name}": data for name, data in binary.items()},
        },
        "case-d": {
            f"{CASE_D}/result.json": as_json(case_d(2)),
            f"{CASE_D}/epoch-01.txt": b"a text\n",
            f"{CASE_D}/epoch-02.txt": b"a better text\n",
            f"{CASE_D}/samples.txt": b"the last text\n",
            **{f"{CASE_D}/{name}": data for name, data in binary.items()},
        },
    }


RIGHT = {
    "counts": {"passed": 30, "failed": 0, "skipped": 1, "crashed": 0, "not run": 0},
    "measured": {
        "relative difference, lstm, float32, logits": 2.1e-7,
        "relative difference, gru, float32, logits": 4.2e-7,
        "relative difference, lstm, float32, gradients": 8e-7,
        "relative difference, lstm, TF32, logits": 0.01,
    },
    "tests": {},
}
SPEED = {
    "overhead": {
        "ratio": 0.953,
        "ratio_waiting": 0.61,
        "wanted": 2,
        "rows": [{"hidden_size": 512}, {"hidden_size": 1024}],
    },
    "cpu_beside_gpu": {
        "ratio": 41.2,
        "rows": [{"hidden_size": 1024, "batch_size": 64, "seq_len": 64, "ratio": 41.2}],
    },
    "generation": {"characters_per_second": {"generate()": 1234, "nn.LSTMCell, CUDA graph": 15000}},
    "compiled_step": {
        "speed_over_plain": {"plain": 1.0, "CUDA graph": 1.5},
        "left_out": {"torch.compile": "took longer than 9 s"},
    },
}
SHOWN = """\
| the GPU's numbers beside the CPU's | tests: 30 passed, 0 failed, 1 skipped; logits differ by at \
most 4e-07; gradients differ by at most 8e-07, as shares of the largest | NVIDIA Test 9, PyTorch \
2.11.0 |
| `fit()` beside a bare loop that never waits | at least 0.95 of its speed, with 512 \
and 1024 units (2 measurements); at least 0.61 if it waits at every step | NVIDIA Test 9, \
PyTorch 2.11.0 |
| training on the GPU, beside its machine's CPU | 41.2 times as fast with 1024 units, batch 64 | \
NVIDIA Test 9, PyTorch 2.11.0 |
| the fastest training of one LSTM layer | 2 048 000 characters a second: 2048 units, batch 1, \
float32 | NVIDIA Test 9, PyTorch 2.11.0 |
| a training step, compiled or captured | CUDA graph: 1.50 times the speed of the plain step; \
torch.compile: left out | NVIDIA Test 9, PyTorch 2.11.0 |
| writing text | `generate()`: 1 234 characters a second; nn.LSTMCell, CUDA graph: 15 000 | NVIDIA \
Test 9, PyTorch 2.11.0 |
| case D as published | 2 epochs in 133 s; training loss at its lowest 1.100 at epoch 2, in the \
end 1.200 | NVIDIA Test 9, PyTorch 2.11.0 |
"""


def pack(folder, name, files, **more):
    """Write a stage's tar as gpu.py does."""
    folder.mkdir(exist_ok=True)
    about = ABOUT | {"stage": name} | more
    with tarfile.open(folder / f"{name}.tar", "w") as tar:
        for path, data in {"stage.json": as_json(about), **files}.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return folder / f"{name}.tar"


def bands_of(root):
    """Return the bytes of all bands of a copy of the course."""
    return b"".join(p.read_bytes() for p in sorted((root / BANDS).glob("*.toml")))


class Codes:
    """Stands in for the hash of the code, which the bands are part of, of a copy of the course."""

    def __init__(self, root):
        self.begun = bands_of(root)

    def __call__(self, root):
        bands = bands_of(root)
        return CODE if bands == self.begun else hashlib.sha256(bands).hexdigest()


def copy_course(root):
    """Copy what collecting reads and writes, no record of a GPU; notebooks without outputs."""
    for name in COPIED:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(ROOT / BANDS, root / BANDS)
    shutil.copytree(ROOT / "benchmarks", root / "benchmarks", ignore=shutil.ignore_patterns("gpu"))
    shutil.copytree(ROOT / "experiments", root / "experiments")
    shutil.copytree(ROOT / "runs/leaderboard/cpu", root / "runs/leaderboard/cpu")
    for name in CHAPTERS:
        notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = []
        nbformat.write(notebook, root / "notebooks" / name)


def forget_bands(root):
    """Take out of the copy's bands what was measured on a GPU."""
    for path in (root / BANDS).glob("*.toml"):
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"(\nmeasured = .*?),? gpu = \[.*?\]", r"\1", text)
        path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """The course as it was before anything was measured on a GPU."""
    root = tmp_path_factory.mktemp("bare") / "course"
    copy_course(root)
    forget_bands(root)
    entries = json.loads((ROOT / "runs/leaderboard/entries.json").read_text(encoding="utf-8"))
    entries["gpu"] = {"recipe": {"what": "the recipe", "changes": {}}}
    (root / "runs/leaderboard/entries.json").write_bytes(as_json(entries))
    gpu_collect.write_what_follows(root)
    return root


def use(root, monkeypatch):
    monkeypatch.setattr(facts, "BANDS", root / BANDS)
    monkeypatch.setitem(sys.modules, "gpu_pack", types.SimpleNamespace(code_hash=Codes(root)))
    return root


@pytest.fixture
def course(bare, tmp_path, monkeypatch):
    """A copy of the course with no record of a GPU."""
    return use(shutil.copytree(bare, tmp_path / "course"), monkeypatch)


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A copy of the course with what it has recorded of a GPU."""
    root = tmp_path / "course"
    copy_course(root)
    for name in ("benchmarks/gpu", BOARD, CASE_D, "runs/speed-gpu"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, root / name, dirs_exist_ok=True)
    return use(root, monkeypatch)


def contents(root):
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def refused(said):
    return [line for line in said if line.startswith(gpu_collect.REFUSED)]


# Taken


def test_five_whole_stages_are_taken_and_shown(course, tmp_path, binary):
    files = results(binary)
    for stage, each in files.items():
        pack(tmp_path / "out", stage, each)
    said = gpu_collect.collect(tmp_path / "out", course)
    assert refused(said) == []
    for stage in ("right", "speed", "leaderboard", "case-d"):
        for path, data in files[stage].items():
            assert (course / path).read_bytes() == data
    assert not (course / "gpu-survey").exists()
    assert "| 31 s |" in (course / "README.md").read_text("utf-8")
    assert_shown_is_recorded(course)
    readme = (course / "README.md").read_text(encoding="utf-8")
    assert SHOWN in readme and gpu_collect.NOT_YET not in readme
    assert "| the recipe | 1.3612, 1.3701 | 1.4020 |" in readme
    assert check.bands()["00.five_gram"]["measured"]["gpu"] == [1.4, 1.4, 1]
    said = "\n".join(said)
    assert "No chapter reads runs/case-d-full yet." in said or "06_exploding" in said
    assert "make notebooks NB=notebooks/13_speed_and_scale.ipynb" in said
    before = contents(course)
    assert refused(gpu_collect.collect(tmp_path / "out", course)) == []
    assert contents(course) == before


def test_a_session_adds_to_what_the_course_has_recorded(recorded, tmp_path, binary):
    assert_shown_is_recorded(recorded)
    before, rows = contents(recorded), gpu_collect.read_survey(recorded)
    files = results(binary)
    path = f"gpu-survey/{Path(CHAPTERS[0]).stem}.json"
    # A chapter that has changed since takes the place of its row before, with the same bands.
    row = json.loads(files["notebooks"][path])
    row["bands"] |= next(r["bands"] for r in rows if r["notebook"] == row["notebook"])
    pack(tmp_path / "out", "notebooks", {path: as_json(row)})
    new = f"{BOARD}/recipe-9.json"
    pack(tmp_path / "out", "leaderboard", {new: as_json(leaderboard_result(9))})
    pack(tmp_path / "out", "right", files["right"])
    assert refused(gpu_collect.collect(tmp_path / "out", recorded)) == []
    assert_shown_is_recorded(recorded)
    others = [row for row in rows if row["notebook"] != CHAPTERS[0]]
    assert [row for row in gpu_collect.read_survey(recorded) if row in others] == others
    after = contents(recorded)
    changed = {p.relative_to(recorded).as_posix() for p in after if after[p] != before.get(p)}
    allowed = {new, "benchmarks/gpu/right.json", gpu_collect.SURVEY, gpu_collect.SOURCES}
    allowed |= {"README.md", "notebooks/times.json"}
    allowed |= {p.relative_to(ROOT).as_posix() for p in (ROOT / BANDS).glob("*.toml")}
    assert changed <= allowed | {f"notebooks/{CHAPTERS[0]}"}
    assert before.keys() <= after.keys()
    assert refused(gpu_collect.collect(tmp_path / "out", recorded)) == []
    assert contents(recorded) == after


def test_a_record_with_some_of_its_rows_says_so_and_takes_the_place_of_none_with_more(
    course, tmp_path
):
    path, record = "benchmarks/gpu/overhead.json", {"ratio": 0.953, "wanted": 6}
    rows = [{"hidden_size": units} for units in (512, 512, 1024)]
    for name, count in (("one", 1), ("three", 3), ("six", 6)):
        part = record | {"rows": (2 * rows)[:count]}
        pack(tmp_path / name, "speed", {path: as_json(part)}, ended="failed", exit_code=1)
    [said] = [s for s in gpu_collect.collect(tmp_path / "three", course) if s.startswith(path)]
    assert said.endswith("3 of 6 rows; the next call on such a machine measures the others")
    readme = (course / "README.md").read_text(encoding="utf-8")
    assert "at least 0.95 of its speed, with 512 and 1024 units (3 measurements, 3 more" in readme
    said = refused(gpu_collect.collect(tmp_path / "one", course))
    assert len(said) == 1 and "has 1 of its rows; the one recorded has 3" in said[0]
    said = gpu_collect.collect(tmp_path / "six", course)
    assert refused(said) == [] and "units (6 measurements)" in gpu_collect.readme_table(course)
    assert f"{path}: taken, in place of another ({DEVICE['name']})" in said
    assert_shown_is_recorded(course)


def test_a_record_that_does_not_say_how_many_rows_it_wants_is_of_the_rows_of_the_stage():
    import gpu_speed

    size, names = gpu_speed.SIZES["gpu"], [Path(path).stem for path in gpu_collect.ROWS]
    wanted = [len(size["models"]) * len(gpu_speed.PRECISIONS), len(size["beside"])]
    assert names == ["overhead", "cpu_beside_gpu"]
    assert list(gpu_collect.ROWS.values()) == wanted


def test_a_later_session_adds_to_an_earlier_one(course, tmp_path, binary):
    files = results(binary)
    pack(
        tmp_path / "one",
        "notebooks",
        {k: files["notebooks"][k] for k in sorted(files["notebooks"])[:2]},
    )
    name = CHAPTERS[0]
    path = f"gpu-survey/{Path(name).stem}.json"
    moved = {
        path: as_json(
            chapter(name, seed=1, bands={"00.five_gram": 1.45}, seconds=20.0, beside=True)
        )
    }
    pack(tmp_path / "two", "notebooks", moved, gpu=DEVICE | {"name": "NVIDIA Other"})
    for folder in ("one", "two", "one", "two"):
        assert refused(gpu_collect.collect(tmp_path / folder, course)) == []
        assert_shown_is_recorded(course)
    assert check.bands()["00.five_gram"]["measured"]["gpu"] == [1.4, 1.45, 2]
    times = json.loads((course / "notebooks/times.json").read_text())
    assert times[name]["gpu"] == 20.0 and times[name]["gpu_device"] == "NVIDIA Other"
    assert "gpu" not in times[CHAPTERS[-1]]
    assert "(NVIDIA Other, NVIDIA Test 9; chapters 00 while others ran)." in (
        course / "README.md"
    ).read_text("utf-8")


def test_rows_of_an_earlier_version_of_a_chapter_no_longer_count(course, tmp_path):
    path = f"gpu-survey/{Path(CHAPTERS[0]).stem}.json"
    pack(tmp_path / "out", "notebooks", {path: as_json(chapter(CHAPTERS[0]))})
    gpu_collect.collect(tmp_path / "out", course)
    notebook = nbformat.read(course / "notebooks" / CHAPTERS[0], as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("1 + 1"))
    nbformat.write(notebook, course / "notebooks" / CHAPTERS[0])
    row = chapter(CHAPTERS[0], seed=1, bands={"00.five_gram": 1.45})
    pack(tmp_path / "out", "notebooks", {path: as_json(row)})
    gpu_collect.collect(tmp_path / "out", course)
    assert check.bands()["00.five_gram"]["measured"]["gpu"] == [1.45, 1.45, 1]


def test_of_a_stage_that_was_cut_off_whole_items_are_taken(course, tmp_path, binary):
    files = results(binary)
    left = {k: v for k, v in files["leaderboard"].items() if "steps" in k or "recipe-2" in k}
    pack(tmp_path / "out", "leaderboard", left, ended="running", seconds=61.2, limit=190)
    pack(tmp_path / "out", "right", {}, ended="failed", exit_code=1)
    said = gpu_collect.collect(tmp_path / "out", course)
    assert refused(said) == []
    where = "missing: runs/leaderboard/gpu/recipe-1.json."
    assert f"leaderboard was cut off after 61 s of 190; {where}" in said
    assert any(
        line.startswith("right failed after 50 s of 60, its last words: It broke.;")
        for line in said
    )
    assert (course / BOARD / "recipe-2.json").exists()
    assert_shown_is_recorded(course)


def test_a_run_of_case_d_takes_the_place_of_a_shorter_one_only(course, tmp_path, binary):
    files = results(binary)["case-d"]
    one = files | {f"{CASE_D}/result.json": as_json(case_d(1))}
    del one[f"{CASE_D}/epoch-02.txt"]
    pack(tmp_path / "one", "case-d", one)
    pack(tmp_path / "two", "case-d", files)
    assert refused(gpu_collect.collect(tmp_path / "one", course)) == []
    assert refused(gpu_collect.collect(tmp_path / "two", course)) == []
    assert (course / CASE_D / "epoch-02.txt").exists()
    said = gpu_collect.collect(tmp_path / "one", course)
    assert refused(said) == said and "has 1 epochs; the one recorded has more" in said[0]


def test_a_strict_cell_that_prints_something_else_is_named(course, tmp_path):
    path = f"gpu-survey/{Path(CHAPTERS[0]).stem}.json"
    changed = [{"cell": 7, "committed": [], "now": []}]
    pack(tmp_path / "out", "notebooks", {path: as_json(chapter(CHAPTERS[0], changed=changed))})
    said = gpu_collect.collect(tmp_path / "out", course)
    assert any("these strict code cells print something else: 7" in line for line in said)


# Refused


def without(content, key):
    return as_json({name: value for name, value in content.items() if name != key})


@pytest.mark.parametrize(
    ("stage", "change", "message"),
    [
        ("right", {"benchmarks/gpu/right.json": b'{"a": 1'}, "right.json is no whole JSON file"),
        ("right", {"benchmarks/gpu/right.json": b"[1]"}, "right.json is no JSON object"),
        ("right", {"benchmarks/gpu/right.json": b'{"a": NaN}'}, "it has NaN for a number"),
        (
            "right",
            {"benchmarks/gpu/right.json": as_json(RIGHT | {"counts": [1]})},
            "right.json is not whole: AttributeError",
        ),
        (
            "right",
            {"benchmarks/gpu/right.json": as_json(RIGHT | {"rehearsal": True})},
            "is of a rehearsal",
        ),
        ("right", {"benchmarks/gpu/else.json": b"{}"}, "else.json is none of what right leaves"),
        ("right", {"lstmlib/models.py": b""}, "lstmlib/models.py is none of what right leaves"),
        (
            "speed",
            {"runs/speed-gpu/result.json": without(speeds(), "points")},
            "result.json is not whole: it lacks points",
        ),
        (
            "speed",
            {"runs/speed-gpu/result.json": as_json(speeds() | {"points": speeds()["points"][:3]})},
            "result.json is no whole grid: 3 points",
        ),
        (
            "speed",
            {"runs/speed-gpu/result.json": as_json(speeds() | {"points": []})},
            "no whole grid",
        ),
        (
            "speed",
            {"runs/speed-gpu/result.json": as_json(speeds() | {"points": [{"hidden_size": 1}]})},
            "has a point without 'batch_size'",
        ),
        (
            "leaderboard",
            {f"{BOARD}/recipe-2.json": as_json(leaderboard_result(2, seconds=181))},
            "recipe-2.json trained for 181 s; 180 are allowed",
        ),
        (
            "speed",
            {"runs/speed-gpu/result.json": as_json(speeds() | {"device": "2 CPU cores"})},
            "was measured on 2 CPU cores, and its stage on NVIDIA Test 9",
        ),
        (
            "right",
            {"benchmarks/gpu/right.json": as_json(RIGHT | {"machine": {"device": "x"}})},
            "was measured on x, and",
        ),
        (
            "case-d",
            {f"{CASE_D}/result.json": as_json(case_d(2) | {"machine": "2 CPU cores"})},
            "was measured on 2 CPU cores, and",
        ),
        (
            "leaderboard",
            {f"{BOARD}/recipe-2.json": as_json(leaderboard_result(3))},
            "recipe-2.json is of recipe, seed 3",
        ),
        (
            "leaderboard",
            {f"{BOARD}/new-2.json": as_json(leaderboard_result(2, entry="new"))},
            "is of new, which entries.json has not",
        ),
        ("leaderboard", {f"{BOARD}/recipe-1.json": None}, "recipe-1.json is missing"),
        ("leaderboard", {f"{BOARD}/samples.txt": None}, "not whole: samples.txt missing"),
        (
            "leaderboard",
            {f"{BOARD}/model.safetensors": b"no model"},
            "model.safetensors is damaged",
        ),
        ("leaderboard", {f"{BOARD}/history.jsonl": b'{"step": 1}\n'}, "history.jsonl is damaged"),
        ("case-d", {f"{CASE_D}/history.jsonl": b""}, "history.jsonl is not whole"),
        ("case-d", {f"{CASE_D}/result.json": None}, "not whole: result.json missing"),
        ("case-d", {f"{CASE_D}/epoch-02.txt": None}, "2 epochs, and texts of 1"),
        ("case-d", {f"{CASE_D}/epoch-02.txt": b" \n"}, "epoch-02.txt is empty"),
        ("case-d", {f"{CASE_D}/samples.txt": b"\xff"}, "samples.txt is no text"),
    ],
)
def test_an_item_that_is_not_whole_is_refused_and_the_others_are_taken(
    course, tmp_path, binary, stage, change, message
):
    files = results(binary)[stage] | change
    files = {path: data for path, data in files.items() if data is not None}
    pack(tmp_path / "out", stage, files)
    said = gpu_collect.collect(tmp_path / "out", course)
    assert len(refused(said)) == 1 and message in refused(said)[0]
    for path, data in change.items():
        assert data is None or not (course / path).exists()
    assert_shown_is_recorded(course)
    taken = sum((course / path).exists() for path in files)
    assert taken == {"right": int(len(files) > 1), "case-d": 0}.get(stage, taken) or taken > 0


def test_where_a_fact_did_not_hold_the_time_counts_and_the_bands_do_not(course, tmp_path):
    row = chapter(CHAPTERS[0], facts=["one is above two"], bands={"00.five_gram": 9.0})
    path = f"gpu-survey/{Path(CHAPTERS[0]).stem}.json"
    pack(tmp_path / "out", "notebooks", {path: as_json(row)})
    before = check.bands()["00.five_gram"]
    said = gpu_collect.collect(tmp_path / "out", course)
    assert any("its bands do not: not so: one is above two" in line for line in said)
    times = json.loads((course / "notebooks/times.json").read_text())
    assert times[CHAPTERS[0]]["gpu"] == row["seconds"]
    assert check.bands()["00.five_gram"] == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"stopped": ["cell 3: ZeroDivisionError: x"]},
            "neither its time nor its bands count: cell 3",
        ),
        ({"profile": "cpu"}, "is of the profile cpu"),
        ({"notebook": "00_other.ipynb"}, "is of 00_other.ipynb, which is no chapter"),
        ({"seconds": None}, "a time or a band that is no number"),
        ({"bands": {"00.five_gram": True}}, "a time or a band that is no number"),
    ],
)
def test_a_chapter_that_failed_is_not_recorded(course, tmp_path, more, message):
    rows = {Path(name).stem: chapter(name) for name in CHAPTERS[:2]}
    rows[Path(CHAPTERS[0]).stem] |= more
    pack(
        tmp_path / "out", "notebooks", {f"gpu-survey/{k}.json": as_json(v) for k, v in rows.items()}
    )
    said = gpu_collect.collect(tmp_path / "out", course)
    assert len(refused(said)) == 1 and message in refused(said)[0]
    assert [row["notebook"] for row in gpu_collect.read_survey(course)] == [CHAPTERS[1]]
    assert_shown_is_recorded(course)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"rehearsal": True}, "right is a rehearsal on a CPU"),
        (
            {"code": "other"},
            "code of commit abc1234; the code here, at commit unknown, is another. "
            "`git checkout abc1234` would let it in.",
        ),
        ({"code": "other", "commit": None}, "code of no commit, and not with this"),
        ({"stage": "speed"}, "right.tar holds the stage speed"),
        ({"seconds": None}, "does not say how long it took"),
        ({"gpu": None}, "does not say on which GPU"),
        ({"gpu": {"name": "x"}}, "does not say on which GPU"),
    ],
)
def test_a_stage_that_does_not_count_changes_nothing(course, tmp_path, about, message):
    pack(tmp_path / "out", "right", {"benchmarks/gpu/right.json": as_json(RIGHT)}, **about)
    assert_refused_and_nothing_changed(course, tmp_path / "out", message)


def assert_refused_and_nothing_changed(course, folder, message):
    before = contents(course)
    said = gpu_collect.collect(folder, course)
    assert len(said) == len(refused(said)) == 1 and message in said[0]
    assert contents(course) == before


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.999])
def test_a_tar_that_is_cut_off_is_refused(course, tmp_path, binary, share):
    path = pack(tmp_path / "out", "case-d", results(binary)["case-d"])
    data = path.read_bytes().rstrip(b"\0")
    path.write_bytes(data[: int(share * len(data))])
    assert_refused_and_nothing_changed(course, tmp_path / "out", "copy it again")


def test_a_tar_that_is_cut_off_between_two_files_is_refused(course, tmp_path):
    text = {"benchmarks/gpu/right.json": as_json(RIGHT)}
    path = pack(tmp_path / "out", "right", text)
    path.write_bytes(path.read_bytes()[: 4 * 512])  # two headers, two contents
    with tarfile.open(path) as tar:
        assert len(tar.getnames()) == 2  # tarfile finds nothing wrong
    assert_refused_and_nothing_changed(course, tmp_path / "out", "right.tar is cut off")


@pytest.mark.parametrize(
    "name", ["../escaped.json", "/etc/escaped.json", "a/../../../escaped.json"]
)
def test_a_path_that_leads_out_is_refused(course, tmp_path, name):
    text = {"benchmarks/gpu/right.json": as_json(RIGHT), name: b"{}"}
    pack(tmp_path / "out", "right", text)
    before = contents(tmp_path / "out")
    said = gpu_collect.collect(tmp_path / "out", course)
    assert len(refused(said)) == 1 and "escaped.json" in said[0]
    assert not list(tmp_path.rglob("escaped.json"))
    assert contents(tmp_path / "out") == before


def test_a_link_is_refused(course, tmp_path):
    path = pack(tmp_path / "out", "right", {})
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("benchmarks/gpu/right.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert_refused_and_nothing_changed(course, tmp_path / "out", "not safe to unpack")


def test_what_is_no_stage_is_refused_and_the_others_are_taken(course, tmp_path):
    pack(tmp_path / "out", "else", {})
    pack(tmp_path / "out", "right", {"benchmarks/gpu/right.json": as_json(RIGHT)})
    with tarfile.open(tmp_path / "out" / "speed.tar", "w"):
        pass
    said = gpu_collect.collect(tmp_path / "out", course)
    assert len(refused(said)) == 2
    assert "else.tar is of no stage" in said[0] and "speed.tar has no stage.json" in said[1]
    assert (course / "benchmarks/gpu/right.json").exists()


def test_a_folder_with_nothing_in_it_gets_one_message(course, tmp_path):
    assert_refused_and_nothing_changed(course, tmp_path / "none", "holds no STAGE.tar")


def test_other_code_than_what_was_collected_into_is_refused(course, tmp_path, binary):
    """What is collected changes the bands; that alone does not make the code another one."""
    files = results(binary)
    pack(tmp_path / "one", "notebooks", files["notebooks"])
    pack(tmp_path / "two", "right", files["right"])
    assert refused(gpu_collect.collect(tmp_path / "one", course)) == []
    bands = course / BANDS / "ch00.toml"
    collected = bands.read_text(encoding="utf-8")
    assert bands_of(course) != sys.modules["gpu_pack"].code_hash.begun
    bands.write_text(collected + "\n# edited\n", encoding="utf-8")
    assert_refused_and_nothing_changed(course, tmp_path / "two", "is another")
    bands.write_text(collected, encoding="utf-8")
    assert refused(gpu_collect.collect(tmp_path / "two", course)) == []


def test_the_command_says_what_was_refused_by_its_exit_code(tmp_path, capsys):
    assert gpu_collect.main([str(tmp_path / "none")]) == 1
    assert capsys.readouterr().out.startswith("refused: ")


# What is shown is what is recorded


def assert_shown_is_recorded(root):
    """Hold everything that shows what a GPU measured to the records."""
    tool = runpy.run_path(str(ROOT / "tools" / "execute_notebooks.py"))
    survey = {row["notebook"]: row for row in gpu_collect.read_survey(root)}
    times = json.loads((root / "notebooks/times.json").read_text(encoding="utf-8"))
    measured = {n: (t["gpu"], t["gpu_device"]) for n, t in times.items() if "gpu" in t}
    assert measured == {n: (r["seconds"], r["gpu"]["name"]) for n, r in survey.items()}
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert tool["times_sentence"](times) + "\n" in readme
    for name, each in times.items():
        opening = nbformat.read(root / "notebooks" / name, as_version=4).cells[0].source
        assert tool["times_line"](each) in opening
        row = next(line for line in readme.splitlines() if f"](notebooks/{name})" in line)
        assert row.endswith(f"| {tool['duration'](each.get('gpu'))} |")
    assert gpu_collect.MARK + gpu_collect.readme_table(root) + "\n" in readme
    assert (f"| a GPU, 3 minutes | {gpu_collect.NOT_YET} |" in readme) != any(
        (root / BOARD).glob("*-*.json")
    )
    runs = (root / "runs/README.md").read_text(encoding="utf-8").splitlines()
    for name, cell in gpu_collect.runs_cells(root).items():
        row = next(line for line in runs if line.startswith(f"| `{name}` |"))
        assert row.endswith(f"| {cell} |")
    assert_bands_are_surveyed(root)
    assert_records_have_sources(root)


def assert_bands_are_surveyed(root):
    tool = runpy.run_path(str(ROOT / "tools" / "set_bands.py"))
    path = root / gpu_collect.SURVEY
    found = tool["measured"]([path]) if path.exists() else {}
    text = bands_of(root).decode()
    recorded = {
        name: entry["measured"]["gpu"]
        for name, entry in tomllib.loads(text).items()
        if "gpu" in entry["measured"]
    }
    assert recorded == {
        name: [float(f"{min(v['gpu']):.4g}"), float(f"{max(v['gpu']):.4g}"), len(v["gpu"])]
        for name, v in found.items()
    }


def assert_records_have_sources(root):
    """Every record of a GPU says on which, and at which commit."""
    files = {path.relative_to(root).as_posix() for path in (root / BOARD).glob("*.json")}
    files |= {p.relative_to(root).as_posix() for p in (root / "benchmarks/gpu").glob("*.json")}
    files -= {gpu_collect.SOURCES}
    files |= {p for p in ("runs/speed-gpu/result.json",) if (root / p).exists()}
    files |= {CASE_D} if (root / CASE_D / "result.json").exists() else set()
    sources = gpu_collect.read_sources(root)["records"]
    assert sources.keys() == files
    assert all(source["gpu"]["name"] and "commit" in source for source in sources.values())


def test_what_the_course_shows_of_a_gpu_is_what_is_recorded():
    assert_shown_is_recorded(ROOT)


def test_where_nothing_is_recorded_every_row_says_so(tmp_path):
    rows = gpu_collect.readme_table(tmp_path).splitlines()[2:]
    assert len(rows) == len(gpu_collect.TABLE) >= 7
    assert all(row.endswith(f"| {gpu_collect.NOT_YET} | |") for row in rows)
    assert gpu_collect.runs_cells(tmp_path) == {
        "speed-gpu": "not yet measured",
        "case-d-full": "not yet recorded",
    }


def test_contributing_says_it_in_ten_lines():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## Measuring on a GPU\n")[2].partition("\n## ")[0]
    assert "collect FOLDER" in section and len(section.strip().splitlines()) <= 10
