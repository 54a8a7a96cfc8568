"""Write what a survey measured into the bands: `python tools/set_bands.py FILE … [--set PROFILE]`

A file is what tools/survey.py wrote, or a row of tools/gpu_notebooks.py. For each profile in the
files, every band's `measured` becomes [lowest, highest, runs]. A band that leaves less room than a
third of that span on a side is named, with the band that would: set it by hand, after a look at
why. (See tools/survey.py; tests/test_house.py holds the room.)

On a GPU there is seldom more than one run, which has no span. There a band must leave a third of
what the runs in `cpu` span, and 1 % of the value. `--set gpu` widens the bands that do not: to what
was measured, with room for all that the runs in `cpu` span, and 3 % of the value at least. What a
band held before, it still holds: one run cannot show that it was too wide. A band that has room
stays as it is.
"""

import argparse
import json
import math
import re
import sys
from collections import defaultdict
from pathlib import Path

from lstmlib.course.check import bands, has_room

BANDS = Path(__file__).resolve().parents[1] / "lstmlib" / "course" / "bands"
SAME_RUN = ("notebook", "profile", "seed", "text", "numerics")


def rows_of(path: Path) -> list[dict]:
    """Return the rows of a file: one on each line, or one in all."""
    text = path.read_text(encoding="utf-8")
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except json.JSONDecodeError:
        return [json.loads(text)]


def measured(paths: list[Path]) -> dict[str, dict[str, list[float]]]:
    """Return the values of all rows of all files: band -> profile -> values.

    A run that was made twice, with the same seed, text and numerics, counts once. One in which a
    fact did not hold does not count.
    """
    values, seen = defaultdict(lambda: defaultdict(list)), set()
    for path in paths:
        for row in rows_of(path):
            if row.get("facts"):
                continue
            run = json.dumps([row[name] for name in SAME_RUN], sort_keys=True)
            for name, value in row["bands"].items():
                if (name, run) not in seen:
                    seen.add((name, run))
                    values[name][row["profile"]].append(value)
    return values


def around(few_runs: list[float], like: list[float], at_most: float = math.inf) -> list[float]:
    """Return a band around what few runs found: [low, high], rounded outwards.

    Args:
        few_runs: [lowest, highest, runs].
        like: the same of a profile of many runs.
        at_most: what the number can be at most.
    """
    lowest, highest, _ = few_runs
    share = 0.03 * max(abs(lowest), abs(highest))
    room = max(highest - lowest, like[1] - like[0], share) or 0.01
    digits = 1 - math.floor(math.log10(room))
    low, high = (lowest - room) * 10**digits, (highest + room) * 10**digits
    return [
        round(math.floor(low) / 10**digits, digits),
        min(round(math.ceil(high) / 10**digits, digits), at_most),
    ]


def write(name: str, ranges: dict[str, list], band: dict[str, list] | None = None) -> None:
    """Put a band's `measured` into the file, in place of the one before; and new bands, if any."""
    shown = ", ".join(f"{profile} = {each}" for profile, each in sorted(ranges.items()))
    path = next(p for p in BANDS.glob("*.toml") if f'["{name}"]\n' in p.read_text(encoding="utf-8"))
    text = path.read_text(encoding="utf-8")
    start = text.index(f'["{name}"]\n')
    end = text.find("\n\n", start)
    block = re.sub(r"\nmeasured = .*", "", text[start:end] if end > 0 else text[start:].rstrip())
    for profile, each in (band or {}).items():
        block = re.sub(rf"\n{profile} = .*", f"\n{profile} = {each}", block)
    rest = text[end:] if end > 0 else "\n"
    path.write_text(text[:start] + block + f"\nmeasured = {{ {shown} }}" + rest, encoding="utf-8")


def update(name: str, by_profile: dict[str, list[float]], to_set: str | None) -> list[str]:
    """Write what was measured of a band, and the band of the profile `to_set` where it is narrow.

    Returns:
        Profiles whose band is narrow still, each in words.
    """
    entry, narrow, new = bands()[name], [], {}
    before = entry.get("measured", {})
    ranges = before | {
        profile: [float(f"{min(each):.4g}"), float(f"{max(each):.4g}"), len(each)]
        for profile, each in by_profile.items()
    }
    for profile in by_profile:
        like, at_most = ranges.get("cpu", ranges[profile]), entry.get("at_most", math.inf)
        if not has_room(entry[profile], ranges[profile], like, at_most):
            if profile == to_set:
                low, high = around(ranges[profile], like, at_most)
                new[profile] = [min(low, entry[profile][0]), max(high, entry[profile][1])]
                print(f"{name}, {profile}: {entry[profile]} becomes {new[profile]}")
            else:
                narrow.append(f"{name}, {profile}: {entry[profile]} for {ranges[profile]}")
    write(name, ranges, new)
    return narrow


def main() -> None:
    """Write every band's range, and name those that are too narrow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("surveys", nargs="+", type=Path, help="what the surveys wrote")
    parser.add_argument("--set", metavar="PROFILE", help="write its narrow bands anew, such as gpu")
    arguments, narrow = parser.parse_args(), []
    for name, by_profile in measured(arguments.surveys).items():
        if name in bands():
            narrow += update(name, by_profile, arguments.set)
        else:
            print(f"{name}: no such band any more")
    print(*narrow, sep="\n")
    sys.exit(1 if narrow else 0)


if __name__ == "__main__":
    main()
