"""Bring what came back from a GPU into the repository: `python tools/gpu.py collect FOLDER`.

    python tools/gpu_collect.py FOLDER    # the same; FOLDER holds STAGE.tar of one stage or more
    python tools/gpu_collect.py readme    # write anew what is made from the records

Everything is checked before anything is written. A stage is refused as a whole if its tar is cut
off or holds what it must not, if it was a rehearsal, or if other code ran than is here. Of a stage
that is taken, each item is taken or refused by itself: a file, or files that belong together.
Then what follows from the records is written anew: the times of the chapters, the `measured` of the
bands, and the tables of README.md and runs/README.md. Nothing of these is typed in.

It needs no GPU; it needs PyTorch, to read the models, and nbformat.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import math
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from unittest import mock

import nbformat

from lstmlib.history import History, HistoryError
from lstmlib.serialization import ModelFileError, atomic_write, load_model

ROOT = Path(__file__).resolve().parents[1]
REFUSED = "refused: "
"""How a line begins that says what was not taken."""
NOT_YET = "not yet measured"
MARK = "<!-- written by tools/gpu_collect.py readme -->\n"
GPU, BOARD, CASE_D = "benchmarks/gpu", "runs/leaderboard/gpu", "runs/case-d-full"
SPEED = "runs/speed-gpu/result.json"
SURVEY = f"{GPU}/survey.jsonl"
"""The row of every chapter that ran on a GPU: its time and the values of its bands."""
SOURCES = f"{GPU}/sources.json"
"""Where each record comes from: the GPU and the commit."""
ROWS = {f"{GPU}/overhead.json": 6, f"{GPU}/cpu_beside_gpu.json": 2}
"""Records that grow by rows, and how many there are in all where the record does not say it."""
SECONDS = 180
"""The time that the leaderboard allows on a GPU."""
RESULT = "entry seed valid_loss windows_loss training_loss steps characters seconds parameters "
RESULT += "settings device precision pytorch"
# What each stage may leave: a pattern of paths, and the keys of a JSON file.
STAGES = {
    "right": {rf"{GPU}/right\.json": "counts measured tests"},
    "notebooks": {
        r"gpu-survey/\d\d_\w+\.json": "notebook profile seed numerics text seconds bands facts "
        "stopped changed"
    },
    "speed": {
        r"runs/speed-gpu/result\.json": "device pytorch threads seq_len points "
        "product_operations_per_second copied_bytes_per_second",
        rf"{GPU}/overhead\.json": "ratio rows",
        rf"{GPU}/cpu_beside_gpu\.json": "ratio rows",
        rf"{GPU}/generation\.json": "characters_per_second",
        rf"{GPU}/compiled_step\.json": "speed_over_plain",
    },
    "leaderboard": {
        rf"{BOARD}/steps\.json": "device entries",
        rf"{BOARD}/[a-z][\w.-]*-\d+\.json": RESULT,
        rf"{BOARD}/(history\.jsonl|model\.safetensors|samples\.txt)": "",
    },
    "case-d": {
        rf"{CASE_D}/result\.json": "training_loss lowest_training_loss lowest_training_loss_epoch "
        "valid_loss epochs training_seconds machine",
        rf"{CASE_D}/(history\.jsonl|epoch-\d\d+\.txt|samples\.txt|model\.safetensors)": "",
    },
}
STAGE_KEYS = "stage ended exit_code seconds limit rehearsal commit code gpu log"
# What belongs to the recipe's first seed, and what case D is nothing without.
FIRST, FIRST_LEAVES = (
    f"{BOARD}/recipe-1.json",
    ("history.jsonl", "model.safetensors", "samples.txt"),
)
CASE_D_NEEDS = ("result.json", "history.jsonl")


class CollectError(ValueError):
    """Something cannot be taken; the message says what, and why."""


@dataclass
class Stage:
    """What one tar holds, checked as far as it concerns the whole.

    Attributes:
        name: the stage.
        about: its stage.json.
        files: path in the repository -> contents.
        strange: paths that are none of the stage's.
    """

    name: str
    about: dict
    files: dict[str, bytes]
    strange: list[str]


# Reading and checking


def read_stage(path: Path, codes: set[str], here: str) -> Stage:
    """Read a stage's tar.

    Args:
        path: STAGE.tar.
        codes: the code that results may come from, as gpu_pack.code_hash gives it.
        here: the commit of the repository, for the message.

    Raises:
        CollectError: it is to be refused as a whole.
    """
    name = path.stem
    if name not in STAGES:
        raise CollectError(f"{path.name} is of no stage; there are {', '.join(STAGES)}.")
    files = read_tar(path)
    if "stage.json" not in files:
        raise CollectError(f"{path.name} has no stage.json, which says how it was measured.")
    about = read_json(files.pop("stage.json"), f"stage.json in {path.name}", STAGE_KEYS)
    if about["stage"] != name:
        raise CollectError(f"{path.name} holds the stage {about['stage']}.")
    if not (is_number(about["seconds"]) and is_number(about["limit"])):
        raise CollectError(f"stage.json in {path.name} does not say how long it took.")
    if about["rehearsal"]:
        raise CollectError(f"{name} is a rehearsal on a CPU, at tiny sizes: nothing was measured.")
    if about["code"] not in codes:
        there = about["commit"]
        if there is None:
            raise CollectError(f"{name} was measured with code of no commit, and not with this.")
        raise CollectError(
            f"{name} was measured with the code of commit {there}; the code here, at commit "
            f"{here}, is another. `git checkout {there}` would let it in."
        )
    gpu = about["gpu"]
    if not isinstance(gpu, dict) or not gpu.get("name") or not gpu.get("pytorch"):
        raise CollectError(f"{name} does not say on which GPU and PyTorch it was measured.")
    known = {each for each in files if any(re.fullmatch(p, each) for p in STAGES[name])}
    taken = {each: files[each] for each in sorted(known)}
    return Stage(name, about, taken, sorted(files.keys() - known))


def read_tar(path: Path) -> dict[str, bytes]:
    """Return the files of a tar: path -> contents.

    Raises:
        CollectError: it is cut off or damaged, or a path leads out of the folder.
    """
    try:
        data = path.read_bytes()
        files, end = {}, 0
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for member in tar.getmembers():
                tarfile.data_filter(member, str(path.parent))  # no way out, no link, no device
                end = max(end, member.offset_data + member.size)
                if member.isreg():
                    files[member.name] = tar.extractfile(member).read()
    except tarfile.FilterError as error:
        raise CollectError(f"{path.name} is not safe to unpack: {error}.") from error
    except (OSError, tarfile.TarError) as error:
        raise CollectError(f"{path.name} cannot be read, copy it again ({error}).") from error
    # A tar ends with two blocks of zeros; tarfile does without them.
    if end > len(data) - 1024 or any(data[-1024:]):
        raise CollectError(f"{path.name} is cut off, copy it again.")
    return files


def read_json(data: bytes, where: str, keys: str = "") -> dict:
    """Return a JSON object that has some keys.

    Raises:
        CollectError: it is none.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"it has {constant} for a number")

    try:
        content = json.loads(data.decode("utf-8"), parse_constant=refuse)
    except (RecursionError, ValueError) as error:
        raise CollectError(f"{where} is no whole JSON file ({error}).") from error
    if not isinstance(content, dict):
        raise CollectError(f"{where} is no JSON object.")
    missing = [key for key in keys.split() if key not in content]
    if missing:
        raise CollectError(f"{where} is not whole: it lacks {', '.join(missing)}.")
    return content


def items(stage: Stage) -> dict[str, dict[str, bytes]]:
    """Return what is taken or refused together: name -> its files."""
    if stage.name == "case-d":
        return {CASE_D: stage.files} if stage.files else {}
    files_by_item = {path: {path: data} for path, data in stage.files.items()}
    left = {f"{BOARD}/{name}" for name in FIRST_LEAVES} & files_by_item.keys()
    if left:
        files_by_item.setdefault(FIRST, {}).update(
            {path: files_by_item.pop(path)[path] for path in sorted(left)}
        )
    return files_by_item


def check_item(stage: Stage, name: str, files: dict[str, bytes], root: Path) -> None:
    """Raise CollectError unless the files of an item are whole, and all there."""
    for path, data in files.items():
        keys = next(keys for p, keys in STAGES[stage.name].items() if re.fullmatch(p, path))
        if path.endswith(".json"):
            check_origin(path, read_json(data, path, keys), stage.about["gpu"]["name"])
        elif path.endswith(".txt"):
            check_text(path, data)
        else:
            check_by_loading(path, data)
    if stage.name == "notebooks":
        check_chapter(name, json.loads(files[name]), root)
    elif name == SPEED:
        check_speed(json.loads(files[name]))
    elif stage.name == "leaderboard" and not name.endswith("/steps.json"):
        check_result(name, files, root)
    elif stage.name == "case-d":
        check_case_d(files, root)
    for path in files.keys() & TABLE.keys():
        check_by_showing(path, json.loads(files[path]))
    if name in ROWS:
        check_rows(name, json.loads(files[name]), root)


def check_origin(path: str, record: dict, gpu: str) -> None:
    """Raise CollectError if a record says that it is of a rehearsal or of another device."""
    if record.get("rehearsal"):
        raise CollectError(f"{path} is of a rehearsal.")
    machine = record.get("machine")
    named = machine.get("device") if isinstance(machine, dict) else record.get("device")
    if path.startswith(CASE_D):
        named = machine
    if named not in (None, gpu):
        raise CollectError(f"{path} was measured on {named}, and its stage on {gpu}.")


def check_text(path: str, data: bytes) -> None:
    """Raise CollectError unless there is a text."""
    try:
        empty = not data.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise CollectError(f"{path} is no text ({error}).") from error
    if empty:
        raise CollectError(f"{path} is empty.")


def check_by_loading(path: str, data: bytes) -> None:
    """Raise CollectError unless a history or a model can be loaded."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / Path(path).name
        file.write_bytes(data)
        try:
            if file.suffix == ".jsonl":
                whole = len(History.load(file)) and data.endswith(b"\n")
            else:
                whole = bool(load_model(file))
        except (HistoryError, ModelFileError) as error:
            reason = str(error).replace(str(file), path)
            raise CollectError(f"{path} is damaged: {reason}") from error
    if not whole:
        raise CollectError(f"{path} is not whole.")


def check_by_showing(path: str, record: dict) -> None:
    """Raise CollectError unless the README can show a record."""
    try:
        cell = TABLE[path][1](record)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise CollectError(f"{path} is not whole: {type(error).__name__}, {error}.") from error
    if not cell or "|" in cell or "\n" in cell:
        raise CollectError(f"{path} has nothing that the README can show: {cell!r}.")


def check_chapter(path: str, row: dict, root: Path) -> None:
    """Raise CollectError unless a chapter ran to its end on a GPU.

    Of one in which a fact did not hold the time counts, and its bands do not.
    """
    name = Path(path).stem + ".ipynb"
    if row["notebook"] != name or not (root / "notebooks" / name).exists():
        raise CollectError(f"{path} is of {row['notebook']}, which is no chapter of that name.")
    if row["profile"] != "gpu":
        raise CollectError(f"{path} is of the profile {row['profile']}, not of gpu.")
    if row["stopped"]:
        failed = "; ".join(row["stopped"])
        raise CollectError(f"{name} failed, and neither its time nor its bands count: {failed}")
    if not all(map(is_number, [row["seconds"], *row["bands"].values()])):
        raise CollectError(f"{path} has a time or a band that is no number.")


def check_speed(result: dict) -> None:
    """Raise CollectError unless the grid of speeds has a number for each of its points."""
    axes = ("hidden_size", "batch_size", "precision")
    try:
        points = {tuple(point[axis] for axis in axes) for point in result["points"]}
        speeds = [point["characters_per_second"] for point in result["points"]]
    except (KeyError, TypeError) as error:
        raise CollectError(f"{SPEED} has a point without {error}.") from error
    whole = math.prod(len(set(axis)) for axis in zip(*points, strict=True))
    if not points or whole != len(points) or not all(map(is_number, speeds)):
        raise CollectError(f"{SPEED} is no whole grid: {len(points)} points.")


def check_result(name: str, files: dict[str, bytes], root: Path) -> None:
    """Raise CollectError unless an entry of the leaderboard is whole and kept the rules."""
    if name not in files:
        raise CollectError(f"{Path(name).name} is missing, and with it what belongs to it.")
    missing = [each for each in FIRST_LEAVES if f"{BOARD}/{each}" not in files]
    if name == FIRST and missing:
        raise CollectError(f"{name} is not whole: {', '.join(missing)} missing.")
    result = json.loads(files[name])
    if name != f"{BOARD}/{result['entry']}-{result['seed']}.json":
        raise CollectError(f"{name} is of {result['entry']}, seed {result['seed']}.")
    entries = read_record(root, "runs/leaderboard/entries.json")
    if result["entry"] not in entries.get("gpu", {}):
        raise CollectError(f"{name} is of {result['entry']}, which entries.json has not for a GPU.")
    if not all(is_number(result[each]) for each in ("valid_loss", "windows_loss", "seconds")):
        raise CollectError(f"{name} has a loss or a time that is no number.")
    if result["seconds"] > SECONDS:
        raise CollectError(f"{name} trained for {result['seconds']} s; {SECONDS} are allowed.")


def check_case_d(files: dict[str, bytes], root: Path) -> None:
    """Raise CollectError unless the run has its result, its history and a text of each epoch."""
    missing = [name for name in CASE_D_NEEDS if f"{CASE_D}/{name}" not in files]
    if missing:
        raise CollectError(f"{CASE_D} is not whole: {', '.join(missing)} missing.")
    result, before = f"{CASE_D}/result.json", read_record(root, f"{CASE_D}/result.json")
    epochs, texts = json.loads(files[result])["epochs"], sum("/epoch-" in path for path in files)
    if texts < epochs:
        raise CollectError(f"{CASE_D} is not whole: {epochs} epochs, and texts of {texts}.")
    if before and epochs < before["epochs"]:
        raise CollectError(f"{CASE_D} has {epochs} epochs; the one recorded has more.")


def check_rows(path: str, record: dict, root: Path) -> None:
    """Raise CollectError if the record that is here already has more rows."""
    rows, before = len(record["rows"]), len((read_record(root, path) or {}).get("rows", ()))
    if rows < before:
        raise CollectError(f"{path} has {rows} of its rows; the one recorded has {before}.")


def is_number(value: object) -> bool:
    """Say whether a value of JSON is a number above minus infinity and below infinity."""
    return type(value) in (int, float) and math.isfinite(value)


# Taking


def collect(folder: Path, root: Path = ROOT) -> list[str]:
    """Bring the stages in a folder into the repository; return what there is to say, in lines.

    A line that begins with REFUSED says what was not taken, and that changed nothing.
    """
    paths = sorted(Path(folder).glob("*.tar"))
    if not paths:
        return [f"{REFUSED}{folder} holds no STAGE.tar: name the folder that gpu.py wrote into."]
    before, lines, taken = code_here(root), [], []
    codes = same_code(root, before)
    for path in paths:
        try:
            stage = read_stage(path, codes, commit_here(root))
        except CollectError as error:
            lines.append(f"{REFUSED}{error}")
        else:
            taken.append((stage, whole_items(stage, root, lines)))
    for stage, files_by_item in taken:
        lines += [take(stage, name, files, root) for name, files in files_by_item.items()]
        lines += how_it_ended(stage, files_by_item, root)
    if any(files_by_item for _, files_by_item in taken):
        lines += write_what_follows(root)
        remember_code(root, codes, code_here(root))
        lines += to_do([name for _, files_by_item in taken for name in files_by_item], root)
    return lines


def whole_items(stage: Stage, root: Path, lines: list[str]) -> dict[str, dict[str, bytes]]:
    """Return the items of a stage that are to be taken; say why the others are not."""
    lines += [f"{REFUSED}{path} is none of what {stage.name} leaves." for path in stage.strange]
    files_by_item = {}
    for name, files in items(stage).items():
        try:
            check_item(stage, name, files, root)
        except CollectError as error:
            lines.append(f"{REFUSED}{error}")
        else:
            files_by_item[name] = files
    return files_by_item


def take(stage: Stage, name: str, files: dict[str, bytes], root: Path) -> str:
    """Write an item into the repository, and where it comes from; return what was done."""
    source = {"gpu": stage.about["gpu"], "commit": stage.about["commit"]}
    measured_on = f"({source['gpu']['name']})"
    if stage.name == "notebooks":
        row = json.loads(files[name])
        add_to_survey(row, source, root)
        changed = ", ".join(str(change["cell"]) for change in row["changed"])
        more = f"; these strict code cells print something else: {changed}" * bool(changed)
        wrong = "; ".join(f"not so: {fact}" for fact in row["facts"])
        more += f"; its time counts, and its bands do not: {wrong}" * bool(wrong)
        return f"{row['notebook']}: taken {measured_on}{more}"
    old = {path: (root / path).read_bytes() for path in files if (root / path).exists()}
    if name == CASE_D:
        older = ("epoch-*.txt", "samples.txt", "model.safetensors")  # which a run cut off has not
        for path in [path for each in older for path in (root / CASE_D).glob(each)]:
            path.unlink()
    # The result last: without it, an item counts as not recorded.
    for path in sorted(files, key=lambda path: path in (name, f"{CASE_D}/result.json")):
        atomic_write(root / path, files[path])
    sources = read_sources(root)
    sources["records"][name] = source
    write_json(root / SOURCES, sources)
    done = "there already" if old == files else "taken, in place of another" if old else "taken"
    return f"{name}: {done} {measured_on}{rows_missing(name, root)}"


def rows_missing(path: str, root: Path) -> str:
    """Say of a record that was cut off how many rows it has; nothing of any other."""
    record = read_record(root, path) if path in ROWS else None
    if record is None or len(record["rows"]) >= rows_wanted(path, record):
        return ""
    has = f"{len(record['rows'])} of {rows_wanted(path, record)} rows"
    return f", {has}; the next call on such a machine measures the others"


def rows_wanted(path: str, record: dict) -> int:
    """Return how many rows a record has that was not cut off."""
    return record.get("wanted", ROWS[path])


def add_to_survey(row: dict, source: dict, root: Path) -> None:
    """Put a chapter's row into the survey, in place of the same run, or of another version's.

    The GPU is part of what a run's numbers depend on, and stands with them.
    """
    from gpu_notebooks import version_of  # it stands beside this file

    version = version_of(root / "notebooks" / row["notebook"])
    new = {name: value for name, value in row.items() if name not in ("changed", "margins")}
    new |= source | {"version": version}
    new["numerics"] = row["numerics"] | {"gpu": source["gpu"]["name"]}
    same = ("notebook", "seed", "numerics", "text")
    kept = [
        each
        for each in read_survey(root)
        if each["notebook"] != new["notebook"]
        or (each["version"] == version and any(each[name] != new[name] for name in same))
    ]
    lines = "".join(json.dumps(each) + "\n" for each in [*kept, new])
    atomic_write(root / SURVEY, lines.encode())


def how_it_ended(stage: Stage, files_by_item: dict, root: Path) -> list[str]:
    """Say of a stage that did not end by itself what is missing, and of one that failed why."""
    about = stage.about
    if about["ended"] == "whole":
        return []
    expected = {
        "right": [f"{GPU}/right.json"],
        "notebooks": [f"gpu-survey/{path.stem}.json" for path in notebooks(root)],
        "speed": [SPEED, *(f"{GPU}/{name}.json" for name in SPEED_RECORDS)],
        "leaderboard": [f"{BOARD}/steps.json", FIRST],
        "case-d": [CASE_D],
    }[stage.name]
    missing = [name for name in expected if name not in files_by_item and not recorded(name, root)]
    ended = "failed" if about["ended"] == "failed" else "was cut off"
    last = (about["log"].strip().splitlines() or ["nothing"])[-1] if ended == "failed" else ""
    line = f"{stage.name} {ended} after {about['seconds']:.0f} s of {about['limit']:.0f}"
    line += f", its last words: {last}" * bool(last)
    return [f"{line}; missing: {', '.join(missing) or 'nothing'}."]


def recorded(name: str, root: Path) -> bool:
    """Say whether the repository has an item of a stage."""
    if name.startswith("gpu-survey/"):
        return f"{Path(name).stem}.ipynb" in {row["notebook"] for row in read_survey(root)}
    return (root / (f"{CASE_D}/result.json" if name == CASE_D else name)).exists()


# The code that results may come from


def code_here(root: Path) -> str:
    """Return the hash of the repository's code."""
    import gpu_pack  # it stands beside this file

    return gpu_pack.code_hash(root)


def commit_here(root: Path) -> str:
    """Return the repository's commit, or that it is not known."""
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        run = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return run.stdout.strip() if run.returncode == 0 else "unknown"


def same_code(root: Path, now: str) -> set[str]:
    """Return the hash of the code, and those from which it differs by what was collected alone.

    What is collected goes into the bands, which are no part of it.
    """
    codes = read_sources(root)["codes"]
    return {now, *(codes if now in codes else [])}


def remember_code(root: Path, codes: set[str], after: str) -> None:
    """Write down that the code, as it is now, is what it was but for what was collected."""
    if after not in codes:
        write_json(root / SOURCES, read_sources(root) | {"codes": sorted({*codes, after})})


# What follows from the records


def write_what_follows(root: Path = ROOT) -> list[str]:
    """Write anew all that is made from the records; return what there is to say."""
    write_times(root)
    lines = write_bands(root)
    with beside(root):
        load_tool(root / "experiments/leaderboard.py").write_readme()
    write_runs_table(root)
    write_readme(root)
    return lines


def write_times(root: Path) -> None:
    """Write the chapters' times on a GPU where they are shown: those of their last rows."""
    tool, path = load_tool(root / "tools/execute_notebooks.py"), root / "notebooks/times.json"
    rows = {row["notebook"]: row for row in read_survey(root)}
    times = json.loads(path.read_text(encoding="utf-8"))
    for name, each in times.items():
        for key in ("gpu", "gpu_device", "gpu_beside"):
            each.pop(key, None)
        if name in rows:
            row = rows[name]
            each |= {"gpu": row["seconds"], "gpu_device": row["gpu"]["name"]}
            each["gpu_beside"] = row.get("beside", False)
    tool.write_times(times)


def write_bands(root: Path) -> list[str]:
    """Write what the bands measured on a GPU; return the lines of tools/set_bands.py."""
    if not (root / SURVEY).exists():
        return []
    path, output = root / "tools/set_bands.py", io.StringIO()
    arguments = ["set_bands.py", str(root / SURVEY), "--set", "gpu"]
    quietly, to_its_end = contextlib.redirect_stdout(output), contextlib.suppress(SystemExit)
    with mock.patch("sys.argv", arguments), quietly, to_its_end:
        load_tool(path).main()
    return [f"bands: {line}" for line in output.getvalue().splitlines() if line.strip()]


def write_runs_table(root: Path) -> None:
    """Write into runs/README.md on which GPU its runs were made, and how long they took."""
    path = root / "runs/README.md"
    text = path.read_text(encoding="utf-8")
    for name, cell in runs_cells(root).items():
        text = re.sub(rf"^(\| `{name}` \|.*\|)[^|]*\|$", rf"\1 {cell} |", text, flags=re.MULTILINE)
    atomic_write(path, text.encode())


def runs_cells(root: Path) -> dict[str, str]:
    """Return the last cell of the rows of runs/README.md that a GPU fills."""
    speed, case_d = read_record(root, SPEED), read_record(root, f"{CASE_D}/result.json")
    return {
        "speed-gpu": speed["device"] if speed else NOT_YET,
        "case-d-full": f"{case_d['training_seconds']:.0f} s on {case_d['machine']}"
        if case_d
        else "not yet recorded",
    }


def write_readme(root: Path) -> None:
    """Write the table of what a GPU measured into the README, after its mark."""
    path = root / "README.md"
    before, mark, rest = path.read_text(encoding="utf-8").partition(MARK)
    after = rest.partition("\n\n")[2]
    atomic_write(path, f"{before}{mark}{readme_table(root)}\n{after}".encode())


def readme_table(root: Path = ROOT) -> str:
    """Return the README's table of what a GPU measured: one row for each record."""
    lines = ["| measured | figures | on |", "|---|---|---|"]
    sources = read_sources(root)["records"]
    for path, (what, figures) in TABLE.items():
        record = read_record(root, path)
        source = sources.get(path) or sources.get(str(Path(path).parent))
        cells = f"{figures(record)} | {machine(source['gpu'])}" if record else f"{NOT_YET} | "
        lines.append(f"| {what} | {cells} |".replace("|  |", "| |"))
    return "\n".join(lines) + "\n"


def machine(gpu: dict) -> str:
    """Return a GPU in a few words."""
    return f"{gpu['name']}, PyTorch {gpu['pytorch']}"


def right(record: dict) -> str:
    """Say how many tests passed, and how far the two devices lie apart in float32."""
    counts = {name: count for name, count in record["counts"].items() if count or name == "failed"}
    figures = "tests: " + ", ".join(f"{count} {name}" for name, count in counts.items())
    for what in ("logits", "gradients"):
        # TF32 and bfloat16 have figures of their own, in the record.
        differences = [v for k, v in record["measured"].items() if k.endswith(f"float32, {what}")]
        figures += f"; {what} differ by at most {max(differences):.1g}" if differences else ""
    return figures + (", as shares of the largest" if "differ" in figures else "")


def overhead(record: dict) -> str:
    """Say how fast fit() is beside a bare loop, at least, and if it waited at every step."""
    rows, wanted = record["rows"], rows_wanted(f"{GPU}/overhead.json", record)
    left = wanted - len(rows)
    of = f"{len(rows)} measurements" + f", {left} more are not yet made" * (left > 0)
    units = " and ".join(map(str, sorted({row["hidden_size"] for row in rows})))
    figures = f"at least {floored(record['ratio'])} of its speed, with {units} units ({of})"
    waiting = record.get("ratio_waiting")
    if waiting is None:
        return figures
    return f"{figures}; at least {floored(waiting)} if it waits at every step"


def floored(ratio: float) -> str:
    """Return a ratio with two digits, rounded down: "at least" has to hold."""
    return f"{math.floor(100 * ratio) / 100:.2f}"


def cpu_beside_gpu(record: dict) -> str:
    """Say how many times as fast the GPU trains as the CPU, model by model."""
    shown = [
        f"{row['ratio']:.1f} times as fast with {row['hidden_size']} units, batch "
        f"{row['batch_size']}"
        for row in sorted(record["rows"], key=lambda row: row["hidden_size"])
    ]
    return "; ".join(shown)


def generation(record: dict) -> str:
    """Say how fast generate() writes, and the fastest loop beside it."""
    speed = dict(record["characters_per_second"])
    ours = speed.pop("generate()")
    others = {name: value for name, value in speed.items() if not name.startswith("generate()")}
    figures = f"`generate()`: {spaced(ours)} characters a second"
    best = max(others, key=others.get, default=None)
    return f"{figures}; {best}: {spaced(others[best])}" if best else figures


def compiled_step(record: dict) -> str:
    """Say how fast a step is that is compiled, or captured, beside the plain one."""
    speed = {name: ratio for name, ratio in record["speed_over_plain"].items() if name != "plain"}
    left_out = record.get("left_out", {})
    ratios = [
        f"{name}: {ratio:.2f} times the speed of the plain step" for name, ratio in speed.items()
    ]
    return "; ".join([*ratios, *(f"{name}: left out" for name in left_out if name not in speed)])


def best_speed(record: dict) -> str:
    """Say the fastest point of the grid."""
    best = max(record["points"], key=lambda point: point["characters_per_second"])
    where = f"{best['hidden_size']} units, batch {best['batch_size']}, {best['precision']}"
    return f"{spaced(best['characters_per_second'])} characters a second: {where}"


def case_d(record: dict) -> str:
    """Say how far the run came, and whether its loss rose again."""
    figures = f"{record['epochs']} epochs in {record['training_seconds']:.0f} s"
    if not record["epochs"]:
        return figures
    lowest = f"{record['lowest_training_loss']:.3f} at epoch {record['lowest_training_loss_epoch']}"
    return (
        f"{figures}; training loss at its lowest {lowest}, in the end {record['training_loss']:.3f}"
    )


def spaced(number: float) -> str:
    """Return a whole number with spaces between the thousands."""
    return f"{number:,.0f}".replace(",", " ")


# The rows of the README's table: record -> what it is, and its figures in words.
TABLE = {
    f"{GPU}/right.json": ("the GPU's numbers beside the CPU's", right),
    f"{GPU}/overhead.json": ("`fit()` beside a bare loop that never waits", overhead),
    f"{GPU}/cpu_beside_gpu.json": ("training on the GPU, beside its machine's CPU", cpu_beside_gpu),
    SPEED: ("the fastest training of one LSTM layer", best_speed),
    f"{GPU}/compiled_step.json": ("a training step, compiled or captured", compiled_step),
    f"{GPU}/generation.json": ("writing text", generation),
    f"{CASE_D}/result.json": ("case D as published", case_d),
}
SPEED_RECORDS = ("overhead", "cpu_beside_gpu", "generation", "compiled_step")


# What is left to do


def to_do(names: list[str], root: Path) -> list[str]:
    """Say which chapters show what was taken: they are to be executed again."""
    shown = {}
    for path in notebooks(root):
        source = "\n".join(c["source"] for c in read_notebook(root, path.name) if is_code(c))
        chapter_words = {word for name in names for word in words_for(name) if word in source}
        if chapter_words:
            shown[path.name] = sorted(chapter_words)
    commands = [
        f"make notebooks NB=notebooks/{name}   # it shows {', '.join(chapter_words)}"
        for name, chapter_words in shown.items()
    ]
    words = {word for chapter_words in shown.values() for word in chapter_words}
    unread = [name for name in (SPEED, CASE_D) if name in names and not words & {*words_for(name)}]
    return [
        *(["To be executed again, then committed:", *commands] if commands else []),
        *(f"No chapter reads {name} yet." for name in unread),
    ]


def words_for(name: str) -> list[str]:
    """Return by what a chapter's code gives away that it reads a record."""
    if name == SPEED:
        return ["speed-*", "speed-gpu"]
    for folder in (BOARD, CASE_D, GPU):
        if name.startswith(folder):
            return [folder.removesuffix("/gpu") if folder == BOARD else folder]
    return []


# Small things


def notebooks(root: Path) -> list[Path]:
    """Return the chapters."""
    return sorted((root / "notebooks").glob("*.ipynb"))


def read_notebook(root: Path, name: str) -> list:
    """Return the cells of a chapter."""
    return nbformat.read(root / "notebooks" / name, as_version=4).cells


def is_code(cell: dict) -> bool:
    """Say whether a cell is of code."""
    return cell["cell_type"] == "code"


def read_survey(root: Path) -> list[dict]:
    """Return the rows of the chapters that ran on a GPU."""
    path = root / SURVEY
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def read_sources(root: Path) -> dict:
    """Return where the records come from."""
    return read_record(root, SOURCES) or {"codes": [], "records": {}}


def read_record(root: Path, path: str) -> dict | None:
    """Return a record, or None where there is none."""
    file = root / path
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def write_json(path: Path, content: dict) -> None:
    """Write a JSON file, whole or not at all."""
    atomic_write(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def load_tool(path: Path) -> ModuleType:
    """Return a program of the repository as a module, not run."""
    spec = importlib.util.spec_from_file_location(f"_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def beside(folder: Path) -> Iterator[None]:
    """Let a program import what stands in its folder."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def main(arguments: list[str] | None = None) -> int:
    """Collect a folder, or write anew what is made from the records; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help='where STAGE.tar are; or "readme": write the tables anew')
    folder = parser.parse_args(arguments).folder
    lines = write_what_follows() if folder == "readme" else collect(Path(folder))
    print(*lines, sep="\n")
    return int(any(line.startswith(REFUSED) for line in lines))


if __name__ == "__main__":
    sys.exit(main())
