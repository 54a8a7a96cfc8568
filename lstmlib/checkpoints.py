"""Checkpoints: all that a run needs to go on exactly where it was, one safetensors file each.

The tensors are the weights, the optimizer's averages, the hidden state and PyTorch's random states;
all else is JSON in the file's metadata. So a checkpoint cannot run code. It is written whole or not
at all, from the CPU, and can be loaded on any device.
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


class CheckpointError(Exception):
    """A checkpoint cannot be written, read or used; the message says why."""


class Checkpoints:
    """The checkpoints of one run in a folder: the last ones, and the best model.

    step-00000500.safetensors is the run after step 500; best.safetensors is a model file, as
    `load_model` reads it, with the weights of the lowest validation loss.

    Args:
        folder: made when the first checkpoint is written; one folder for each run.
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
        return sorted(self.folder.glob("step-*.safetensors"))

    @property
    def best_path(self) -> Path:
        """Where the model with the lowest validation loss is, once there is one."""
        return self.folder / "best.safetensors"

    def save(self, step: int, tensors: dict[str, Tensor], notes: dict) -> None:
        """Write the checkpoint of a step, then delete the oldest beyond `keep`.

        Raises:
            CheckpointError: it cannot be written; the earlier ones are as they were.
        """
        metadata = {"format": _FORMAT, "vocab": self.vocab.to_json(), "notes": json.dumps(notes)}
        tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
        path = self.folder / f"step-{step:08}.safetensors"
        try:
            write_whole(path, save(tensors, metadata))
            # A killed process can leave a half-written temporary file behind.
            for old in (*self.paths[: -self.keep], *self.folder.glob("*.part")):
                old.unlink()
        except OSError as error:
            raise CheckpointError(
                f"The checkpoint {path} could not be written ({error}). The earlier ones are "
                "whole. Make room, or use another folder; the same call then goes on from them."
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
                f"The model {self.best_path} could not be written ({error}). Make room, or use "
                "another folder; the same call then goes on from the last checkpoint."
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
            vocab, notes = Vocab.from_json(metadata["vocab"]), json.loads(metadata["notes"])
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


def random_states(device: torch.device) -> tuple[dict[str, Tensor], dict]:
    """Return the states of the global generators: PyTorch's as tensors, Python's and NumPy's."""
    tensors = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        tensors[device.type] = getattr(torch, device.type).get_rng_state()
    numpy_state = np.random.get_state(legacy=False)
    numpy_state["state"]["key"] = numpy_state["state"]["key"].tolist()
    return tensors, {"python": random.getstate(), "numpy": numpy_state}


def set_random_states(tensors: dict[str, Tensor], notes: dict, device: torch.device) -> None:
    """Set the global generators to what `random_states` returned.

    A device's own generator stays as it is when the states come from another kind of device.
    """
    torch.set_rng_state(tensors["cpu"])
    if device.type != "cpu" and device.type in tensors:
        getattr(torch, device.type).set_rng_state(tensors[device.type])
    version, internal, gauss = notes["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(notes["numpy"])
