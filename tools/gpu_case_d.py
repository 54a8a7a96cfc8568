"""Stage case-d of tools/gpu.py: case D as published, as many epochs as fit, a text after each.

    python3 tools/gpu_case_d.py --out FOLDER --seconds 130

Writes FOLDER/runs/case-d-full: history.jsonl and result.json anew after every epoch, epoch-NN.txt,
and in the end samples.txt and model.safetensors. FOLDER/unfinished/case-d-full has a checkpoint of
the last whole epoch; the same command goes on from there, also to add epochs to a run that the
clock ended. `--rehearse` does all this on a CPU with a network that is tiny.
"""

import time

STARTED = time.monotonic()  # importing PyTorch takes seconds, which count

import argparse  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import torch  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from experiments import common, train_windows  # noqa: E402

NAME = "case-d-full"
TINY = {
    "hidden_size": 16,
    "batch_size": 32,
    "epochs": 4,
    "windows_share": 0.001,
    "valid_windows": 50,
    "log_every": 5,
    "sample_characters": 40,
    "valid_characters": 500,
}
REST = 6.0
"""Seconds for the texts, the model and the result after the last epoch."""
MEMORY = 4 * 2**30
"""Bytes that the run needs at most on a GPU."""


def parse() -> argparse.Namespace:
    """Return the command line's settings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder of the stage")
    parser.add_argument("--seconds", type=float, default=130.0, help="what all of it may take")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, on the CPU")
    return parser.parse_args()


def why_not(out: Path, rehearse: bool) -> str | None:
    """Say why there is nothing to do, or None."""
    folder, unfinished = out / "runs" / NAME, out / "unfinished" / NAME
    if (folder / "result.json").exists():
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        if result["ended"] in train_windows.FINAL or not list(
            unfinished.glob("step-*.safetensors")
        ):
            return f"recorded in {folder} already"
        return None
    if not rehearse and (ROOT / "runs" / NAME / "result.json").exists():
        return "recorded in the repository already"
    if not rehearse and torch.cuda.mem_get_info()[0] < MEMORY:
        return f"the GPU has under {MEMORY >> 30} GiB of free memory"
    return None


def train(out: Path, seconds: float, rehearse: bool) -> dict:
    """Train, from the checkpoint on if there is one; return the result.

    Raises:
        ValueError: there is no text, or not one epoch fits into the time.
        SystemExit: it was interrupted in an epoch.
    """
    config = common.read_config(ROOT / "runs" / NAME) | (TINY if rehearse else {})
    settings = common.make_settings(train_windows.Settings, config, "config.json")
    text = train_windows.load_text(settings)
    device = "cpu" if rehearse else "cuda"
    run = train_windows.Run(settings, text, device)
    folder, unfinished = out / "runs" / NAME, out / "unfinished" / NAME
    folder.mkdir(parents=True, exist_ok=True)
    rest = 0 if rehearse else REST
    clock = train_windows.Clock(STARTED + seconds - time.monotonic(), rest)
    train_windows.record(run, folder, clock, unfinished)
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def show(out: Path, result: dict) -> None:
    """Print a line for each epoch, and how the run ended."""
    history = (out / "runs" / NAME / "history.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in history.splitlines()]
    print(f"{'epoch':>5} {'training':>9} {'validation':>10} {'largest norm':>12}")
    for row in (row for row in rows if row["epoch_loss"] is not None):
        largest = max(each["grad_norm"] for each in rows if each["epoch"] == row["epoch"])
        losses = f"{row['epoch_loss']:9.3f} {row['valid_window_loss']:10.3f}"
        print(f"{row['epoch'] + 1:5} {losses} {largest:12.3g}")
    per_epoch = result["training_seconds"] / max(result["epochs"], 1)
    print(f"ended: {result['ended']}, {per_epoch:.1f} s an epoch")


def main() -> None:
    """Do the stage, or say in a line why there is nothing to do."""
    given = parse()
    if not given.rehearse and not torch.cuda.is_available():
        raise SystemExit("case-d needs a GPU that PyTorch can use; --rehearse does without.")
    why = why_not(given.out, given.rehearse)
    if why is not None:
        print(f"{NAME}: skipped, {why}.")
        return
    result = train(given.out, given.seconds, given.rehearse)
    show(given.out, result)


if __name__ == "__main__":
    with common.errors_in_one_line():
        main()
