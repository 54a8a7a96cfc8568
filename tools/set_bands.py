"""Write what a survey measured into the bands: `python tools/set_bands.py OUT.jsonl …`

For each profile in the files, every band's `measured` becomes [lowest, highest, runs]. A band that
leaves less room than a third of that span on a side is named, with the band that would: set it by
hand, after a look at why. (See tools/survey.py; tests/test_house.py holds the room.)
"""

import argparse
import json
import re
import sys
from collections import defaultdict
from pathlib import Path

from lstmlib.check import bands, has_room

BANDS = Path(__file__).resolve().parents[1] / "lstmlib" / "bands.toml"
SAME_RUN = ("notebook", "profile", "seed", "text", "numerics")


def measured(paths: list[Path]) -> dict[str, dict[str, list[float]]]:
    """Return the values of all rows of all files: band -> profile -> values.

    A run that was made twice, with the same seed, text and numerics, counts once.
    """
    values, seen = defaultdict(lambda: defaultdict(list)), set()
    for path in paths:
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            run = json.dumps([row[name] for name in SAME_RUN], sort_keys=True)
            for name, value in row["bands"].items():
                if (name, run) not in seen:
                    seen.add((name, run))
                    values[name][row["profile"]].append(value)
    return values


def write(name: str, ranges: dict[str, list]) -> None:
    """Put a band's `measured` into the file, in place of the one before."""
    shown = ", ".join(f"{profile} = {each}" for profile, each in sorted(ranges.items()))
    text = BANDS.read_text(encoding="utf-8")
    start = text.index(f'["{name}"]\n')
    end = text.find("\n\n", start)
    block = re.sub(r"\nmeasured = .*", "", text[start:end] if end > 0 else text[start:].rstrip())
    rest = text[end:] if end > 0 else "\n"
    BANDS.write_text(text[:start] + block + f"\nmeasured = {{ {shown} }}" + rest, encoding="utf-8")


def main() -> None:
    """Write every band's range, and name those that are too narrow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("surveys", nargs="+", type=Path, help="what tools/survey.py wrote")
    narrow = []
    for name, by_profile in measured(parser.parse_args().surveys).items():
        entry = bands().get(name)
        if entry is None:
            print(f"{name}: no such band any more")
            continue
        ranges = entry.get("measured", {}) | {
            profile: [float(f"{min(each):.4g}"), float(f"{max(each):.4g}"), len(each)]
            for profile, each in by_profile.items()
        }
        write(name, ranges)
        narrow += [
            f"{name}, {profile}: {entry[profile]} for {ranges[profile]}"
            for profile in by_profile
            if not has_room(entry[profile], ranges[profile])
        ]
    print(*narrow, sep="\n")
    sys.exit(1 if narrow else 0)


if __name__ == "__main__":
    main()
