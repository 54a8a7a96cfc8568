"""Measure how fast this device trains, against batch size and hidden size, and what it could do.

    .venv/bin/python runs/measure_speed.py [--out runs/speed-cpu]

Writes result.json into the folder. It needs only PyTorch, NumPy, tqdm and safetensors, so that it
also runs where nothing else is installed: there, `PYTHONPATH=. python3 runs/measure_speed.py`.
Let nothing else run beside it.
"""

import argparse
import json
import os
import platform
from pathlib import Path

import torch
from tqdm import tqdm

from lstmlib.models import CharRNN, write_whole
from lstmlib.speed import copy_speed, operations_per_character, product_speed, training_speed
from lstmlib.training import PRECISIONS, usable_precision

VOCAB_SIZE, SEQ_LEN = 96, 64
HIDDEN_SIZES = {"cpu": (64, 128, 256, 512), "gpu": (128, 256, 512, 1024, 2048)}
BATCH_SIZES = {"cpu": (1, 4, 16, 64, 256), "gpu": (1, 4, 16, 64, 256, 1024)}
PRODUCT_SIZES = {"cpu": (1024,), "gpu": (1024, 8192)}


def measure_point(device: torch.device, hidden_size: int, batch_size: int, precision: str) -> dict:
    """Return one row: a single-layer LSTM's speed in training."""
    model = CharRNN(VOCAB_SIZE, hidden_size, 1).to(device)
    return {
        "hidden_size": hidden_size,
        "batch_size": batch_size,
        "precision": precision,
        "characters_per_second": round(training_speed(model, batch_size, SEQ_LEN, precision)),
        "operations_per_character": operations_per_character(model),
    }


def describe(device: torch.device) -> str:
    """Return the device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{os.cpu_count()} CPU cores, {platform.machine()}"


def measure(device: torch.device) -> dict:
    """Return everything that result.json holds."""
    kind = "cpu" if device.type == "cpu" else "gpu"
    # cuDNN's LSTM may round products to TF32 by default: let the ceiling do the same.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    precisions = sorted({usable_precision(precision, device) for precision in PRECISIONS})
    ceilings = {
        precision: max(
            product_speed(device, size, getattr(torch, precision)) for size in PRODUCT_SIZES[kind]
        )
        for precision in precisions
    }
    grid = [
        (hidden_size, batch_size, precision)
        for hidden_size in HIDDEN_SIZES[kind]
        for batch_size in BATCH_SIZES[kind]
        for precision in precisions
    ]
    return {
        "device": describe(device),
        "pytorch": torch.__version__,
        "threads": torch.get_num_threads(),
        "seq_len": SEQ_LEN,
        "product_operations_per_second": {name: round(value) for name, value in ceilings.items()},
        "copied_bytes_per_second": round(copy_speed(device)),
        "points": [measure_point(device, *point) for point in tqdm(grid)],
    }


def main() -> None:
    """Measure, and write result.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, help="folder; else runs/speed-cpu or runs/speed-gpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    kind = "cpu" if device.type == "cpu" else "gpu"
    folder = arguments.out or Path(__file__).parent / f"speed-{kind}"
    result = measure(device)
    write_whole(folder / "result.json", (json.dumps(result, indent=1) + "\n").encode())
    print(f"{folder}/result.json: {result['device']}")


if __name__ == "__main__":
    main()
