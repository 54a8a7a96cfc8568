"""The leaderboard's recipe on a GPU: its speed, then one seed. A stage of tools/gpu.py.

    python tools/gpu_leaderboard.py --out FOLDER --seconds 190
    python tools/gpu_leaderboard.py --out FOLDER --seconds 20 --rehearse

A call trains the lowest seed of the recipe that neither FOLDER nor the repository has, by the rules
and with the settings of experiments/leaderboard.py, and leaves in FOLDER/runs/leaderboard/gpu what
belongs into the repository's runs/leaderboard/gpu. Every call measures the speed first, in about 2
seconds: two machines with the same GPU took 6.2 and 9.5 ms for a step. It takes 190 seconds: three
minutes are the rule, of which 8 % are kept back, and the rest goes to starting and to measuring. A
start that takes longer than planned costs steps, and so does a machine that turns slow: the
training ends in time. Of a call that is killed the next one trains the same seed from its
beginning.

--rehearse does the same on a CPU, with all of the recipe's parts in a small network, for seconds.
"""

import time

STARTED = time.perf_counter()

import argparse  # noqa: E402
import json  # noqa: E402
import math  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import torch  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from experiments import leaderboard  # noqa: E402
from lstmlib.serialization import atomic_write  # noqa: E402

ENTRY, BOARD = "recipe", Path("runs/leaderboard")
RECORDED = ROOT / BOARD
"""Where the repository has its seeds; FOLDER in a rehearsal."""
NEEDS = 185
"""Seconds that a call must be given."""
LEAST = 150
"""Seconds of training below which it is not worth a seed: something is wrong with the machine."""
AFTER = 12
"""Seconds kept back for measuring and writing after the training."""
MEMORY = 4 * 2**30
"""Bytes of GPU memory that it needs, and more than it was seen to take on any device."""
SMALL = {"hidden_size": 24, "batch_size": 4, "seq_len": 16}
"""What the rehearsal changes in the recipe: sizes alone."""


def main() -> None:
    """Do the stage; see the module.

    Raises:
        SystemExit: there is no GPU, or too little time; the message says so.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder for the results")
    parser.add_argument("--seconds", type=float, default=190.0, help="the whole stage's time")
    parser.add_argument("--rehearse", action="store_true", help="small, on a CPU")
    asked = parser.parse_args()
    if asked.rehearse:
        rehearse(asked.out, asked.seconds)
    elif leaderboard.DEVICE != "cuda":
        raise SystemExit("No GPU: this stage needs one. --rehearse tries it on a CPU.")
    elif asked.seconds < NEEDS:
        raise SystemExit(f"{asked.seconds:.0f} s are too few: training by the rule takes {NEEDS}.")
    elif (has := torch.cuda.get_device_properties(0).total_memory) < MEMORY:
        print(
            f"Left out: the GPU has {has / 2**30:.1f} GiB, the recipe needs {MEMORY / 2**30:.0f}."
        )
    else:
        leaderboard.FOLDER = asked.out / BOARD
        run(asked.out, read_text(), STARTED + asked.seconds)


def run(out: Path, text: str, ends: float, least: float = LEAST) -> None:
    """Measure the speed, then train a seed.

    Args:
        out: the folder for the results.
        text: tiny Shakespeare.
        ends: the time, as `time.perf_counter` gives it, at which all must be done.
        least: seconds of training below which there is none.

    Raises:
        SystemExit: too few seconds are left for the training.
    """
    speed = measure(out, text)
    seed = next_seed(out)
    left = ends - AFTER - time.perf_counter()
    trains = min(leaderboard.SECONDS * (1 - leaderboard.SPARE), left)
    if trains < least:
        raise SystemExit(f"{left:.0f} s are left for the training; it is to have {least:.0f}.")
    steps = max(int(trains / speed["seconds_per_step"]), 1)
    print(f"{ENTRY}, seed {seed}: {steps} steps in about {trains:.0f} s", flush=True)
    limit = min(leaderboard.SECONDS * (1 - leaderboard.MARGIN), left)
    result = leaderboard.train(ENTRY, seed, text, steps, limit)
    whole = "" if result["ended"] == "all steps" else f", {result['ended']}: rate not yet at 0"
    print(f"\n{'seed':>4} {'steps':>6} {'seconds':>8} {'nats per character':>19}")
    print(f"{seed:>4} {result['steps']:>6} {result['seconds']:>8} ", end="")
    print(f"{result['valid_loss']:>19.4f}{whole}")


def measure(out: Path, text: str) -> dict:
    """Measure the recipe's speed on this machine, write it into the folder, and return it.

    What another call measured is not planned with: its machine may have been another.
    """
    leaderboard.write_speeds(text, [ENTRY])
    speed = read(out / BOARD / "gpu/steps.json")["entries"][ENTRY]
    print(f"speed: {1000 * speed['seconds_per_step']:.2f} ms a step", flush=True)
    return speed


def next_seed(out: Path) -> int:
    """Return the lowest seed from 1 that is recorded neither in the folder nor the repository."""
    seed, places = 1, [out / BOARD / "gpu", RECORDED / "gpu"]
    while any((place / f"{ENTRY}-{seed}.json").exists() for place in places):
        print(f"{ENTRY}, seed {seed}: recorded, not trained again")
        seed += 1
    return seed


def read(path: Path) -> dict | None:
    """Return what a JSON file holds, or None if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def read_text() -> str:
    """Return tiny Shakespeare: from $LSTMLIB_DATA, or else from where the course finds it."""
    path = Path(os.environ.get("LSTMLIB_DATA") or ".") / "shakespeare.txt"
    return leaderboard.read_text(str(path) if path.exists() else None)


def rehearse(out: Path, seconds: float) -> None:
    """Do all of it at small sizes, with a text that needs no file, on one thread.

    It trains for a tenth of the seconds, 2 at most, and is not stopped by the clock: a machine that
    is busy takes longer.
    """
    global RECORDED
    RECORDED = out / BOARD
    torch.set_num_threads(1)
    entries = read(leaderboard.ENTRIES)
    entries["gpu"][ENTRY]["changes"] |= SMALL
    path = out / "unfinished" / "entries.json"
    atomic_write(path, json.dumps(entries).encode())
    leaderboard.ENTRIES, leaderboard.FOLDER = path, out / BOARD
    leaderboard.DEVICE = "cpu"
    leaderboard.KIND, leaderboard.SECONDS = "gpu", min(2.0, seconds / 10)
    text = "\n".join(f"ROMEO: to be {n}, or not to be {n * n}?" for n in range(800))
    run(out, text, math.inf, least=0)


if __name__ == "__main__":
    main()
