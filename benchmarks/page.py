"""Write README.md beside this file: every ratio that the benchmarks recorded, on one page.

    .venv/bin/python -m benchmarks.page          # or: make bench PAGE=1

The page is made of the records alone, so a test can hold it to them. dates.json says when each was
measured: `benchmarks.bench` notes it, and for a record that it did not make, this program takes the
date of the record's last commit. The date goes with the record's SHA-256: if a record changes and
nobody says when, the page says "not noted".
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
FOLDER, DATES = "benchmarks", "benchmarks/dates.json"
SPEED = "runs/speed-{}/result.json"
"""Where measure_speed writes, for "cpu" and "gpu"."""
NOT_NOTED = "not noted"
ABOUT = """# What is fast, and beside what

Made from the records by `python -m benchmarks.page`; nothing here is typed in. A ratio above 1
says that what stands first is that many times as fast, or, where it begins with "time", takes that
many times as long. Both were measured in the same run, in turns; each program says at its head how.
A date with "commit" is that of the record's last commit.
"""
PER_SECOND = "characters a second"


class Row(NamedTuple):
    """What was compared with what; the ratio as the page shows it; the figures behind it."""

    what: str
    beside: str
    ratio: str
    figures: str


def shown(ratio: float) -> str:
    """Return a ratio as the page has it: three digits."""
    return f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"


def spaced(number: float) -> str:
    """Return a whole number with spaces between the thousands."""
    return f"{number:,.0f}".replace(",", " ")


def from_to(numbers) -> str:
    """Return the least and the greatest of some ratios."""
    return f"{shown(min(numbers))} to {shown(max(numbers))}"


# What each record says


def ways(record, figures="characters_per_second", ratio="ratio", unit=PER_SECOND):
    """Yield a row for each way but the first, which the others are compared with."""
    first, *others = record[figures]
    for name in others:
        both = f"{_figure(record[figures][name])} and {_figure(record[figures][first])} {unit}"
        yield Row(name, first, shown(record[ratio][name]), both)
    yield from other_ratios(record, ratio)


def _figure(number):
    return spaced(number) if number >= 1000 else f"{number:g}"


def other_ratios(record, *known):
    """Yield a row for each ratio whose key is all that the page knows of it."""
    for key, value in record.items():
        if key.startswith("ratio") and key not in known:
            values = value if isinstance(value, dict) else {"": value}
            for name, number in values.items():
                yield Row(name or key.replace("_", " "), "", shown(number), "")


def character_loop(record):
    for memory, said in record.items():
        if memory == "machine":
            continue
        speed = said["characters_per_second"]
        both = f"{spaced(speed['fit()'])} and {spaced(speed['character loop'])} {PER_SECOND}"
        loop = f"a Python loop over the characters, {memory}"
        yield Row("fit()", loop, shown(said["ratio"]), both)
        rows = said["ceiling"]["shapes"]
        shapes = ", ".join(f"{row['batch_size']} × {row['seq_len']}" for row in rows)
        yield Row(
            f"fit(), in batches of {shapes}",
            f"the operations a second of a matrix product, {memory}",
            from_to([row["share"]["counted"] for row in rows]),
            f"{from_to([row['share']['six_per_parameter'] for row in rows])} at 6 a parameter",
        )


def compiled_step(record):
    return ways(record, "milliseconds_per_step", "speed_over_plain", "ms a step")


def keras_windows(record):
    for kind, what in (("predicted", "predictions learnt from"), ("read", "characters read")):
        speed = record[f"{kind}_per_second"]
        both = f"{spaced(speed['fit()'])} and {spaced(speed['keras windows'])} {what} a second"
        yield Row("fit()", "Keras's example of windows", shown(record[f"ratio_{kind}"]), both)


def novelty(record):
    seconds, growth = record["seconds"], record["time_of_a_character_grows_by"]
    ours, sets = (seconds[name][-1] for name in ("longest_matches", "sets of 20-grams"))
    size, grown = spaced(record["characters"][-1]), len(record["characters"])
    both = f"{ours:.2f} and {sets:.2f} s for {size} characters"
    ratio = shown(record["all_lengths_over_one"])
    yield Row("time for all copies, of every length", "for one length, with sets", ratio, both)
    for name, ratio in growth.items():
        smallest = f"of {spaced(record['characters'][0])}"
        figures = f"{grown} sizes"
        yield Row(f"{name}: time a character, of {size}", smallest, shown(ratio), figures)


def numpy_cifg(record):
    speed = record["characters_per_second"]
    for shape, ratio in record["ratio_to_loop"].items():
        both = f"{spaced(speed[f'scratch, {shape}'])} and {spaced(speed['loop'])} {PER_SECOND}"
        yield Row(f"lstmlib.scratch, CIFG, {shape}", "a loop over single steps", shown(ratio), both)
    share = shown(record["share_of_ceiling_at_best_shape"])
    product = "the operations a second of a matrix product"
    yield Row("lstmlib.scratch at its best", product, share, "")
    if trained := record.get("trained"):
        loss = trained["valid_loss"]
        both = f"{loss['scratch']:.3f} and {loss['loop']:.3f} nats per character"
        minutes = f"both after {trained['minutes']:g} minutes of training"
        yield Row("lstmlib.scratch", f"the loop, {minutes}", "", both)


def page_presets(record):
    kept = ", ".join(f"{name} {each['as_it_says']}" for name, each in record["presets"].items())
    what = f"runs, of {record['seeds']} seeds, that end as the lab says"
    yield Row(what, "", "", kept)


def page_speed(record):
    speed, said = record["training"]["characters_per_second"], record["writing"]
    both = f"{spaced(speed['WebAssembly'])} and {spaced(speed['JavaScript'])} {PER_SECOND}"
    ratio = shown(record["training"]["ratio"])
    yield Row("the lab's training in WebAssembly", "in plain JavaScript", ratio, both)
    wait, learning = said["slider_to_text_ms"], record["learning"]
    times = f"{wait['median']:g} ms from slider to text, 95 % within {wait['percentile_95']:g} ms"
    writes = f"{spaced(said['characters_per_second'])} {PER_SECOND}"
    yield Row("the page writes", "", "", f"{writes}; {times}")
    losses = f"loss {learning['loss']:.3f} and {learning['five_gram']:.3f}"
    seconds = f"after {learning['seconds_until_below']} s"
    yield Row("the lab's network", "a 5-gram model", "", f"{losses} {seconds}")


def reading(record):
    growth, seconds = record["time_per_byte_largest_over_smallest"], record["seconds"]
    largest = max(int(size) for each in seconds.values() for size in each)
    slowest = max(growth, key=growth.get)
    kinds = f"{len(growth)} kinds of file; the greatest is that of {slowest!r}"
    what = f"time to read a byte, in files up to {largest / 1e6:g} MB"
    yield Row(what, "in small files", from_to(growth.values()), kinds)


def slider_latency(record):
    figures = f"{record['median_ms']:g} ms, 95 % within {record['percentile_95_ms']:g} ms"
    yield Row("wait from a key to the new text", f"at most {record['limit_ms']} ms", "", figures)


def step_profile(record):
    for shape, said in record["steps"].items():
        (plain, ms), *avoided = said["ms"].items()
        for way, less in avoided:
            what = f"a step of fit(), {record['model']}, {shape}, {way}"
            yield Row(what, plain, shown(ms / less), f"{less:.3g} and {ms:.3g} ms a step")
        yield Row(
            f"fit(), {record['model']}, {shape}",
            "the operations a second of a matrix product",
            shown(said["ms_at_ceiling"] / min(said["ms"].values())),
            f"products alone {said['ms_at_ceiling']:.3g} ms",
        )


def training_overhead(record):
    speed, ratio = record["characters_per_second"], shown(record["ratio"])
    bare, fit, watched = speed["bare loop"], speed["fit()"], speed["fit() with diagnostics"]
    yield Row("fit()", "a bare loop", ratio, f"{spaced(fit)} and {spaced(bare)} {PER_SECOND}")
    both = f"{spaced(watched)} and {spaced(fit)} {PER_SECOND}"
    yield Row("fit() with diagnostics", "fit()", shown(record["ratio_with_diagnostics"]), both)


ROWS = {
    "character_loop": character_loop,
    "compiled_step": compiled_step,
    "distributed": ways,
    "generation": ways,
    "keras_windows": keras_windows,
    "novelty": novelty,
    "numpy_cifg": numpy_cifg,
    "page_presets": page_presets,
    "page_speed": page_speed,
    "reading": reading,
    "slider_latency": slider_latency,
    "step_profile": step_profile,
    "training_overhead": training_overhead,
}
"""Record -> its rows. One that is not here is read by the names of its keys."""


def rows_of(name: str, record: dict) -> list[Row]:
    """Return the rows of a record; one at least."""
    rows = list(ROWS.get(name, other_ratios)(record))
    return rows or [Row("figures without a ratio", "", "", f"in [{name}.json]({name}.json)")]


# When and where


def record_paths(root: Path) -> Iterator[str]:
    """Yield the records' paths in the course, those of the CPU first."""
    for folder in (root / FOLDER, root / FOLDER / "gpu"):
        for path in sorted(folder.glob("*.json")):
            name = path.relative_to(root).as_posix()
            if name != DATES and path.name != "sources.json":
                yield name
    for name in map(SPEED.format, ("cpu", "gpu")):
        if (root / name).exists():
            yield name


def read_dates(root: Path) -> dict:
    """Return dates.json: path -> SHA-256 of the record, its date, and who says so."""
    path = root / DATES
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def digest(path: Path) -> str:
    """Return the SHA-256 of a record."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_noted(root: Path, name: str) -> bool:
    """Say whether the date in dates.json is that of the record as it is."""
    path = root / name
    return path.exists() and read_dates(root).get(name, {}).get("sha256") == digest(path)


def date_of(root: Path, name: str) -> str:
    """Return when a record was measured, in the page's words."""
    if not is_noted(root, name):
        return NOT_NOTED
    noted = read_dates(root)[name]
    return noted["date"] + " (commit)" * (noted["by"] == "commit")


def note(root: Path, name: str, date: str, by: str) -> None:
    """Write into dates.json when a record was made."""
    from lstmlib.serialization import atomic_write  # it imports PyTorch

    dates = read_dates(root)
    dates[name] = {"sha256": digest(root / name), "date": date, "by": by}
    there = {key: dates[key] for key in sorted(dates) if (root / key).exists()}
    atomic_write(root / DATES, (json.dumps(there, indent=1) + "\n").encode())


def note_commits(root: Path) -> None:
    """Give each record that has no date, and is committed as it is, that of its last commit."""
    for name in record_paths(root):
        if date_of(root, name) == NOT_NOTED and not _git(root, "status", "-s", "--", name):
            date = _git(root, "log", "-1", "--format=%as", "--", name)
            if date:
                note(root, name, date, "commit")


def _git(root, *arguments):
    """Return what git says; where there is none, a word that is no date and no empty status."""
    try:
        run = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True)
    except OSError:
        return ""
    return run.stdout.strip()


def machine_of(record: dict) -> str:
    """Return the machine that a record names."""
    machine = record.get("machine", NOT_NOTED)
    if isinstance(machine, dict):
        return f"{machine['device']}, PyTorch {machine['pytorch']}"
    return machine.removeprefix("cpu, ")


# The page


def line(*cells: str) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(cells)} |".replace("  |", " |")


def of_the_cpu(root: Path) -> list[str]:
    """Return the table of the programs that run here."""
    lines = [line("program", "compared", "with", "ratio", "figures", "machine", "measured")]
    lines.append(line(*["---"] * 7))
    for name in record_paths(root):
        if not name.startswith(f"{FOLDER}/gpu") and name.startswith(FOLDER):
            record, stem = json.loads((root / name).read_text(encoding="utf-8")), Path(name).stem
            where = machine_of(record), date_of(root, name)
            for row in rows_of(stem, record):
                lines.append(line(f"[{stem}]({stem}.py)", *row, *where))
    name = SPEED.format("cpu")
    if (root / name).exists():
        record = json.loads((root / name).read_text(encoding="utf-8"))
        best = max(record["points"], key=lambda point: point["characters_per_second"])
        units = f"{best['hidden_size']} units, batch {best['batch_size']}, {best['precision']}"
        speed = f"{spaced(best['characters_per_second'])} {PER_SECOND}: {units}"
        what, date = "the fastest training of one LSTM layer", date_of(root, name)
        link = "[measure_speed](measure_speed.py)"
        lines.append(line(link, what, "", "", speed, record["device"], date))
    return lines


def of_gpus(root: Path) -> list[str]:
    """Return the table of what tools/gpu.py measured, in the words of the README."""
    gpu_collect = load_collect()
    sources = gpu_collect.read_sources(root)["records"]
    lines = [line("measured", "figures", "machine", "measured"), line(*["---"] * 4)]
    for name in record_paths(root):
        if name in gpu_collect.TABLE and not name.endswith("right.json"):
            what, figures = gpu_collect.TABLE[name]
            record = json.loads((root / name).read_text(encoding="utf-8"))
            source = sources.get(name) or sources.get(str(Path(name).parent))
            where = gpu_collect.machine(source["gpu"]), date_of(root, name)
            lines.append(line(what, figures(record), *where))
    return lines


def load_collect():
    """Return tools/gpu_collect.py, which makes the README's table."""
    sys.path.insert(0, str(ROOT / "tools"))  # the scripts stand beside each other, in no package
    try:
        import gpu_collect
    finally:
        sys.path.pop(0)
    return gpu_collect


def page(root: Path = ROOT) -> str:
    """Return the page, made of the records of a course."""
    parts = ABOUT, *of_the_cpu(root), "\n## On a GPU\n", *of_gpus(root)
    return "\n".join(parts) + "\n"


def write(root: Path = ROOT) -> None:
    """Write the page, and the dates of what was committed since."""
    from lstmlib.serialization import atomic_write  # it imports PyTorch

    note_commits(root)
    atomic_write(root / FOLDER / "README.md", page(root).encode())


if __name__ == "__main__":
    write()
