"""What has become of a network that a run left: the same for every text, its gates at their ends?

    .venv/bin/python -m experiments.look_inside runs/case-d-full

Gives the folder's model.safetensors random characters to read, and writes network.json. Where the
model is too large to keep, and nothing but this is said of it, network.json stands in for it.
"""

import hashlib
from pathlib import Path

import torch

from experiments.common import run_program, write_json
from lstmlib.diagnostics import SATURATED
from lstmlib.internals import gate_values
from lstmlib.models import CharRNN
from lstmlib.serialization import load_model

TEXTS, CHARACTERS, SEED = 32, 30, 0
"""What a network reads: so many texts of so many random characters, drawn with that seed."""


@torch.no_grad()
def look(model: CharRNN) -> dict:
    """Return what network.json holds of a network.

    "largest_difference" is the largest difference between the probabilities of the next character
    after the first text and after any other one. "saturated" is, for each gate, the share of its
    values that lie within `diagnostics.SATURATED` of 0 or of 1.
    """
    torch.manual_seed(SEED)
    drawn = torch.randint(model.config["vocab_size"], (TEXTS, CHARACTERS))  # (32, 30) int64
    p = model(drawn)[0][:, -1].softmax(dim=-1)  # (32, V)
    gates = gate_values(model, drawn)  # each (32, 30, H)
    shut = {name: (gate < SATURATED) | (gate > 1 - SATURATED) for name, gate in gates.items()}
    return {
        "texts": TEXTS,
        "characters": CHARACTERS,
        "seed": SEED,
        "largest_difference": float((p - p[0]).abs().max()),
        "saturated": {name: round(float(at.float().mean()), 4) for name, at in shut.items()},
    }


def main(folder: Path) -> None:
    """Look into the model of a folder, and say which file it was."""
    path = folder / "model.safetensors"
    model, _ = load_model(path)
    looked = look(model.float())  # it may be kept in half precision
    file = {"model_bytes": path.stat().st_size}
    file["model_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    write_json(folder / "network.json", looked | file)


if __name__ == "__main__":
    run_program(main, __doc__, "runs/case-d-full")
