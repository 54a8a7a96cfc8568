"""Measure how fast this device trains, against batch size and hidden size, and what it could do.

    .venv/bin/python -m benchmarks.measure_speed [--out runs/speed-cpu]

Writes result.json into the folder. It needs only PyTorch, NumPy, tqdm and safetensors, so that it
also runs where nothing else is installed: there, `python3 -m benchmarks.measure_speed`.
Let nothing else run beside it.
"""

import argparse
from pathlib import Path

import torch
from tqdm import tqdm

from experiments.common import describe, write_json
from lstmlib.models import CharRNN
from lstmlib.precision import PRECISIONS, usable_precision
from lstmlib.throughput import (
    copy_bandwidth,
    flops_per_character,
    matmul_throughput,
    training_throughput,
)

ROOT = Path(__file__).resolve().parents[1]
VOCAB_SIZE, SEQ_LEN = 96, 64
HIDDEN_SIZES = {"cpu": (64, 128, 256, 512), "gpu": (128, 256, 512, 1024, 2048)}
BATCH_SIZES = {"cpu": (1, 4, 16, 64, 256), "gpu": (1, 4, 16, 64, 256, 1024)}
FIRST = (1, 16, 64, 256)
"""Batch sizes that are measured before the others."""
PRODUCT_SIZES = {"cpu": (1024,), "gpu": (1024, 8192)}


def measure_point(
    device: torch.device, hidden_size: int, batch_size: int, precision: str, least: float
) -> dict:
    """Return one row: a single-layer LSTM's speed in training, over `least` seconds or more."""
    model = CharRNN(VOCAB_SIZE, hidden_size, 1).to(device)
    speed = training_throughput(model, batch_size, SEQ_LEN, precision, least)
    return {
        "hidden_size": hidden_size,
        "batch_size": batch_size,
        "precision": precision,
        "characters_per_second": round(speed),
        "flops_per_character": flops_per_character(model),
    }


def key(row: dict) -> tuple[int, int, str]:
    """Return what tells a row of a grid from the others."""
    return row["hidden_size"], row["batch_size"], row["precision"]


def grid_of(device: torch.device) -> list[tuple[int, int, str]]:
    """Return the keys of a device's grid, batch size by batch size, the most telling ones first.

    So a grid that is cut off has whole columns, see `whole_columns`.
    """
    kind = _kind(device)
    precisions = sorted({usable_precision(precision, device) for precision in PRECISIONS})
    sizes = sorted(BATCH_SIZES[kind], key=lambda size: size not in FIRST)
    return [(h, b, p) for b in sizes for h in HIDDEN_SIZES[kind] for p in precisions]


def whole_columns(result: dict, grid: list[tuple[int, int, str]]) -> dict | None:
    """Return the result with the batch sizes that are whole, in order; None if under four are."""
    rows = {key(row): row for row in result["points"]}
    sizes = {b for _, b, _ in grid}
    sizes -= {b for h, b, p in grid if (h, b, p) not in rows}
    if len(sizes) < min(4, len({b for _, b, _ in grid})):
        return None
    points = [rows[point] for point in sorted(rows) if point in grid and point[1] in sizes]
    return result | {"points": points}


def _kind(device: torch.device) -> str:
    return "cpu" if device.type == "cpu" else "gpu"


def limits(device: torch.device, least: float = 0.5) -> dict:
    """Return what result.json says of a device beside its points, which are none yet."""
    # cuDNN's LSTM may round products to TF32 by default: let the ceiling do the same.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    precisions = sorted({usable_precision(precision, device) for precision in PRECISIONS})
    ceilings = {
        precision: max(
            matmul_throughput(device, size, getattr(torch, precision), least)
            for size in PRODUCT_SIZES[_kind(device)]
        )
        for precision in precisions
    }
    return {
        "device": describe(device),
        "pytorch": torch.__version__,
        "threads": torch.get_num_threads(),
        "seq_len": SEQ_LEN,
        "product_operations_per_second": {name: round(value) for name, value in ceilings.items()},
        "copied_bytes_per_second": round(copy_bandwidth(device, least=least)),
        "points": [],
    }


def measure(device: torch.device, least: float = 0.5) -> dict:
    """Return everything that result.json holds."""
    result, grid = limits(device, least), grid_of(device)
    result["points"] = [measure_point(device, *point, least) for point in tqdm(grid)]
    return whole_columns(result, grid)


def main() -> None:
    """Measure, and write result.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, help="folder; else runs/speed-cpu or runs/speed-gpu")
    parser.add_argument("--least", type=float, default=0.5, help="seconds of each measurement")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    folder = arguments.out or ROOT / "runs" / f"speed-{_kind(device)}"
    result = measure(device, arguments.least)
    write_json(folder / "result.json", result)
    print(f"{folder}/result.json: {result['device']}")


if __name__ == "__main__":
    main()
