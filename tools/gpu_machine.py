"""What the stages of tools/gpu.py share: their arguments, their clock, and the machine in words."""

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

import torch

from lstmlib.serialization import atomic_write

ROOT = Path(__file__).resolve().parents[1]


def _age() -> float:
    """Return how many seconds ago this process began: importing PyTorch counts, too."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        up = float(Path("/proc/uptime").read_text().split()[0])
        return min(max(up - ticks / os.sysconf("SC_CLK_TCK"), 0.0), 60.0)
    except (OSError, ValueError, IndexError):  # no Linux
        return 0.0


STARTED = time.monotonic() - _age()


def arguments(description: str, seconds: float) -> argparse.Namespace:
    """Return the arguments of a stage; end with a message where it needs CUDA and finds none."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--seconds", type=float, default=seconds, help="most that it may take")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, at tiny sizes")
    given = parser.parse_args()
    if not (given.rehearse or torch.cuda.is_available()):
        sys.exit("PyTorch finds no CUDA device here: run this where one is, or use --rehearse.")
    given.device = torch.device("cpu" if given.rehearse else "cuda")
    return given


def left(given: argparse.Namespace) -> float:
    """Return how many seconds are left to a stage."""
    return given.seconds - (time.monotonic() - STARTED)


def machine(device: torch.device) -> dict:
    """Return what a result says of the machine that it was measured on."""
    fields = {
        "device": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "cpu_cores": os.cpu_count(),
        "python": platform.python_version(),
        "pytorch": torch.__version__,
    }
    if device.type == "cuda":
        fields["device"] = torch.cuda.get_device_name(device)
        fields |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    return fields


def write_json(path: Path, content: dict) -> None:
    """Write a JSON file, whole or not at all."""
    atomic_write(path, (json.dumps(content, indent=1) + "\n").encode())


def read_json(path: Path) -> dict:
    """Return what a JSON file holds; an empty dict if there is no such file, or it is broken."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def recorded(given: argparse.Namespace, name: str) -> dict:
    """Return a result that FOLDER holds, or else the repository; {} if there is none.

    A rehearsal asks FOLDER alone, and what is no rehearsal goes on from none.
    """
    results = [read_json(place / name) for place in (given.out, ROOT)[: 1 if given.rehearse else 2]]
    results = [r for r in results if r.get("rehearsal", given.rehearse) == given.rehearse]
    return next(filter(None, results), {})
