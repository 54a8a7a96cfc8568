"""Checkpoints: all that a run needs to go on exactly where it was, one safetensors file each.

The tensors are the weights, the optimizer's averages, the hidden state and PyTorch's random states;
all else is JSON, as bytes in a tensor of its own, since the metadata of a safetensors file may not
be as long as a history. So a checkpoint cannot run code. It is written whole or not at all, from
the CPU, and can be loaded on any device.
"""

import json
import random
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from lstmlib.models import CharRNN, ModelFileError, load_model, read_file, save_model, write_whole
from lstmlib.vocab import Vocab

_FORMAT = "lstmlib-checkpoint-1"
_PROBE = ".lstmlib-probe"
_NAME = f"step-{'[0-9]' * 8}.safetensors"


class CheckpointError(Exception):
    """A checkpoint cannot be written, read or used; the message says why."""


class Checkpoints:
    """The checkpoints of one run in a folder: the last ones, and the best model.

    step-00000500.safetensors is the run after step 500; best.safetensors is a model file, as
    `load_model` reads it, with the weights of the lowest validation loss.

    Args:
        folder: one for each run, made if it is not there.
        vocab: the vocabulary of the texts, saved with every checkpoint.
        every: steps between checkpoints; a new best and the end of a run write one too.
        keep: how many checkpoints stay; older ones are deleted after a new one is whole.

    Raises:
        ValueError: every or keep is below 1.
    """

    def __init__(self, folder: str | Path, vocab: Vocab, every: int = 500, keep: int = 2) -> None:
        if every < 1 or keep < 1:
            raise ValueError(f"every ({every}) and keep ({keep}) must be 1 or more.")
        self.folder, self.vocab, self.every, self.keep = Path(folder), vocab, every, keep

    @property
    def paths(self) -> list[Path]:
        """The checkpoints in the folder, oldest first."""
        return sorted(self.folder.glob(_NAME))

    @property
    def best_path(self) -> Path:
        """Where the model with the lowest validation loss is, once there is one."""
        return self.folder / "best.safetensors"

    def check_folder(self) -> None:
        """Raise CheckpointError if the folder cannot be made or written to."""
        probe = self.folder / _PROBE
        try:
            write_whole(probe, b"")
            probe.unlink()
        except OSError as error:
            raise CheckpointError(
                f"Checkpoints cannot be written to {self.folder} ({error}). Choose another folder."
            ) from error

    def save(self, step: int, tensors: dict[str, Tensor], notes: dict) -> None:
        """Write the checkpoint of a step, then delete the oldest beyond `keep`.

        Raises:
            CheckpointError: it cannot be written; the earlier ones are as they were.
        """
        metadata = {"format": _FORMAT, "vocab": self.vocab.to_json()}
        tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
        as_bytes = bytearray(json.dumps(notes).encode())
        tensors["notes"] = torch.frombuffer(as_bytes, dtype=torch.uint8)
        path = self.folder / f"step-{step:08}.safetensors"
        try:
            write_whole(path, save(tensors, metadata))
            # A killed process can leave a half-written temporary file of its own behind.
            names = (f"{_NAME}.*.part", "best.safetensors.*.part", f"{_PROBE}.*.part")
            half = [path for name in names for path in self.folder.glob(name)]
            for old in (*self.paths[: -self.keep], *half):
                old.unlink(missing_ok=True)
        except OSError as error:
            raise CheckpointError(
                f"The checkpoint {path} could not be written ({error}). The earlier ones are "
                "whole. Make room; the same call then goes on from the newest."
            ) from error

    def save_best(self, model: CharRNN) -> None:
        """Write the model to `best_path`, as `save_model` does.

        Raises:
            CheckpointError: it cannot be written; the earlier file is as it was.
        """
        try:
            save_model(self.best_path, model, self.vocab)
        except OSError as error:
            raise CheckpointError(
                f"The model {self.best_path} could not be written ({error}). Make room; the same "
                "call then goes on from the newest checkpoint."
            ) from error

    def load(self) -> tuple[dict[str, Tensor], dict] | None:
        """Read the newest checkpoint: (tensors on the CPU, notes), or None if there is none.

        Raises:
            CheckpointError: the file is cut off, of another kind, or of another vocabulary.
        """
        if not self.paths:
            return None
        path = self.paths[-1]
        try:
            metadata, tensors = read_file(path, _FORMAT, "fit")
            vocab = Vocab.from_json(metadata["vocab"])
            notes = json.loads(tensors.pop("notes").numpy().tobytes())
        except (ModelFileError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"{path} is no checkpoint that one could go on from: {error} "
                "Delete it to go on from the one before it, if there is one."
            ) from error
        if vocab != self.vocab:
            raise CheckpointError(
                f"{path} was written with another vocabulary, of {len(vocab)} tokens, not "
                f"{len(self.vocab)}. Use the text that the run began with, or another folder."
            )
        return tensors, notes

    def load_best(self) -> dict[str, Tensor]:
        """Read the best model's weights.

        Raises:
            CheckpointError: the file is missing or broken.
        """
        try:
            model, _ = load_model(self.best_path)
        except ModelFileError as error:
            raise CheckpointError(
                f"The best weights of the run are lost: {error} Start again in another folder."
            ) from error
        return model.state_dict()


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimizer's averages, by the number of the parameter and their own name."""
    return {
        f"{i}.{name}": value
        for i, averages in optimizer.state_dict()["state"].items()
        for name, value in averages.items()
        if value is not None  # SGD without momentum notes None
    }


def set_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Set what `optimizer_tensors` returned; the options stay those of the optimizer."""
    averages = {}
    for key, value in tensors.items():
        i, name = key.split(".")
        averages.setdefault(int(i), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": averages, "param_groups": groups})


def random_states(device: torch.device) -> tuple[dict[str, Tensor], dict]:
    """Return the states of the global generators: PyTorch's as tensors, Python's and NumPy's."""
    tensors = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        tensors["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        tensors["mps"] = torch.mps.get_rng_state()
    numpy_state = np.random.get_state(legacy=False)
    numpy_state["state"]["key"] = numpy_state["state"]["key"].tolist()
    return tensors, {"python": random.getstate(), "numpy": numpy_state}


def set_random_states(tensors: dict[str, Tensor], notes: dict, device: torch.device) -> None:
    """Set the global generators to what `random_states` returned.

    A device's own generator stays as it is when the states come from another kind of device.
    """
    torch.set_rng_state(tensors["cpu"])
    if device.type == "cuda" and "cuda" in tensors:
        torch.cuda.set_rng_state(tensors["cuda"], device)
    if device.type == "mps" and "mps" in tensors:
        torch.mps.set_rng_state(tensors["mps"])
    version, internal, gauss = notes["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(notes["numpy"])
