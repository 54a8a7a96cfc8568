"""Checkpoints: all that a run needs to go on exactly where it was, one safetensors file each.

The tensors are the weights, the optimizer's averages, the hidden state and PyTorch's random states.
All else is JSON. It is kept as bytes in a tensor of its own, since the metadata of a safetensors
file may not be as long as a history. So a checkpoint cannot run code.

A checkpoint is written whole or not at all, with a checksum. Its tensors lie on the CPU, so it can
be loaded on any device. A folder belongs to one run at a time.
"""

import contextlib
import errno
import inspect
import json
import os
import random
import re
import socket
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from lstmlib.models import CharRNN
from lstmlib.serialization import (
    ModelFileError,
    atomic_write,
    load_model,
    read_file,
    save_model,
    to_bytes,
)
from lstmlib.validation import check_whole
from lstmlib.vocab import Vocab

_FORMAT = "lstmlib-checkpoint-1"
_LOCK, _OWNER = ".lstmlib-lock", ".lstmlib-owner"
_NAME = re.compile(r"step-([0-9]{8,})\.safetensors")
_HALF_WRITTEN = re.compile(rf"({_NAME.pattern}|best\.safetensors|{re.escape(_OWNER)})\.\d+\.part")
_CANNOT_LOCK = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
INSTEAD = "Delete it to go on from the one before it, if there is one."
_PATIENCE = 0.5
"""Seconds to wait for a lock. A run that is just ending lets go of it within this time."""


class CheckpointError(Exception):
    """A checkpoint cannot be written, read or used; the message says why."""


class Checkpoints:
    """The checkpoints of one run in a folder: the last ones, and the best model.

    step-00000500.safetensors is the run after step 500. best.safetensors is a model file, as
    `load_model` reads it, with the weights of the lowest validation loss.

    Args:
        folder: a folder for this run alone. It is made if need be.
        vocab: the vocabulary of the texts, which is saved with every checkpoint.
        every: number of steps from one checkpoint to the next. A new best model and the end of a
            run write one too.
        keep: how many checkpoints stay. An older one is deleted when a new one is whole.

    Raises:
        ValueError: every or keep is not a whole number, 1 or more.
    """

    def __init__(self, folder: str | Path, vocab: Vocab, every: int = 500, keep: int = 2) -> None:
        self.folder, self.vocab = Path(folder), vocab
        self.every, self.keep = check_whole("every", every), check_whole("keep", keep)
        self._held = False

    @property
    def paths(self) -> list[Path]:
        """The checkpoints in the folder, oldest first."""
        named = {path: _NAME.fullmatch(path.name) for path in self.folder.glob("step-*")}
        return sorted((p for p in named if named[p]), key=lambda path: int(named[path][1]))

    @property
    def best_path(self) -> Path:
        """The path of the model with the lowest validation loss; the file may not exist yet."""
        return self.folder / "best.safetensors"

    @contextlib.contextmanager
    def owned(self) -> Iterator[None]:
        """Hold the folder for this run while the context is open.

        The lock is the operating system's, and ends with the process. So a killed run leaves no
        lock behind. Its half-written files are removed. Where several processes train together, the
        first one takes the lock for all.

        A program that writes more than `fit` does holds the folder itself, from before the run to
        after its last file. It hands this object to `fit`, which then need not take the folder.

        Raises:
            CheckpointError: another run holds the folder, or it cannot be made or written to.
        """
        if self._held:
            yield
            return
        lock = FileLock(self.folder / _LOCK, timeout=_PATIENCE, thread_local=False)
        try:
            self._hold(lock)
            self._held = True
            yield
        finally:
            self._held = False
            if lock.is_locked:
                for name in (_OWNER, _LOCK):
                    with contextlib.suppress(OSError):  # the run itself is whole
                        (self.folder / name).unlink(missing_ok=True)
                lock.release()

    def _hold(self, lock: FileLock) -> None:
        """Take the lock, note the owner, and remove the half-written files of a killed run."""
        owner = {"process": os.getpid(), "host": socket.gethostname()}
        owner["since"] = datetime.now().astimezone().isoformat(timespec="seconds")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            atomic_write(self.folder / _OWNER, json.dumps(owner).encode())
        except Timeout as error:
            raise CheckpointError(
                f"{self.folder} is in use by another run, {self._read_owner()}. "
                "Wait until it has ended, or stop it, or choose another folder."
            ) from error
        except (OSError, ValueError) as error:  # ValueError: NUL in the path
            if getattr(error, "errno", None) not in _CANNOT_LOCK:
                raise CheckpointError(
                    f"Checkpoints cannot be written to {self.folder} ({error}). "
                    "Choose another folder."
                ) from error
            warnings.warn(  # some network folders have no locks, and a run there is still useful
                f"{self.folder} cannot be locked ({error}). Take care that no second run uses it.",
                stacklevel=2,
            )
            return
        for path in self.folder.glob("*.part"):
            if _HALF_WRITTEN.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def _read_owner(self) -> str:
        """Return the words of a message that name the process which holds the folder."""
        try:
            owner = json.loads((self.folder / _OWNER).read_text(encoding="utf-8"))
            return f"process {owner['process']} on {owner['host']}, since {owner['since']}"
        except (OSError, LookupError, TypeError, ValueError):
            return "which has not yet noted its process"

    def save(self, step: int, tensors: dict[str, Tensor], notes: dict) -> None:
        """Write the checkpoint of a step, then delete the oldest ones beyond `keep`.

        Args:
            step: the number of steps done.
            tensors: name -> tensor, on any device.
            notes: all else, as JSON can hold it.

        Raises:
            CheckpointError: the file cannot be written. The earlier checkpoints are unchanged.
        """
        metadata = {"format": _FORMAT, "vocab": self.vocab.to_json()}
        as_bytes = bytearray(json.dumps(notes).encode())  # of a kind that torch.frombuffer takes
        notes_tensor = {"notes": torch.frombuffer(as_bytes, dtype=torch.uint8)}
        path = self.folder / f"step-{step:08}.safetensors"
        try:
            # The old ones go after the new one is whole: there is a checkpoint at every moment.
            atomic_write(path, to_bytes(tensors | notes_tensor, metadata))
            for old in self.paths[: -self.keep]:
                old.unlink(missing_ok=True)
        except OSError as error:
            raise CheckpointError(
                f"The checkpoint {path} could not be written ({error}). The earlier ones are "
                "whole. Make room; the same call then goes on from the newest."
            ) from error

    def save_best(self, model: CharRNN) -> None:
        """Write the model to `best_path`, as `save_model` does.

        Raises:
            CheckpointError: the file cannot be written. The earlier file is unchanged.
        """
        try:
            save_model(self.best_path, model, self.vocab)
        except OSError as error:
            raise CheckpointError(
                f"The model {self.best_path} could not be written ({error}). Make room; the same "
                "call then goes on from the newest checkpoint."
            ) from error

    def load(self) -> tuple[dict[str, Tensor], dict] | None:
        """Read the newest checkpoint; return (tensors on the CPU, notes), or None without one.

        Raises:
            CheckpointError: the file cannot be read, is cut off, damaged, of another kind, or of
                another vocabulary.
        """
        if not self.paths:
            return None
        path = self.paths[-1]
        try:
            metadata, tensors = read_file(path, _FORMAT, "fit")
            vocab = Vocab.from_json(metadata["vocab"])
            notes = json.loads(tensors.pop("notes").numpy().tobytes())
            if not isinstance(notes, dict):
                raise ValueError("its notes are not named.")
        except ModelFileError as error:
            raise CheckpointError(f"{error} {INSTEAD}") from error
        # RuntimeError: the notes are too deep. TypeError: NumPy does not have the tensor's dtype.
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path} is no checkpoint that one could go on from: {error!r} {INSTEAD}"
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
    """Return an optimizer's averages: "0.exp_avg", … -> tensor, with the parameter's number."""
    return {
        f"{i}.{name}": value
        for i, averages in optimizer.state_dict()["state"].items()
        for name, value in averages.items()
        if value is not None  # SGD without momentum notes None
    }


def set_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give an optimizer the averages that `optimizer_tensors` returned. Its options stay.

    Without its averages, a resumed run would take other steps than an unbroken one.

    Raises:
        ValueError: the averages do not belong to this optimizer and its parameters. The optimizer
            is then unchanged.
    """
    _check_averages(optimizer, tensors)
    averages = {}
    for key, value in tensors.items():
        i, name = key.split(".")
        averages.setdefault(int(i), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]  # its options, as the caller set them
    optimizer.load_state_dict({"state": averages, "param_groups": groups})


def _check_averages(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Raise ValueError unless the averages are those of all trained parameters, or none at all.

    There are none before the first step that is not skipped, and in gradient descent without
    momentum.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    names, expected = _names_of_averages(optimizer), {}
    for i, parameter in enumerate(parameters):
        if parameter.requires_grad:
            for name, scalar in names.items():
                expected[f"{i}.{name}"] = torch.Size() if scalar else parameter.shape
    wrong = sorted(tensors.keys() ^ expected.keys()) if tensors else []
    if wrong:
        raise ValueError(f"the optimizer's averages are missing or unknown: {', '.join(wrong[:5])}")
    for key, tensor in tensors.items():
        if tensor.shape != expected[key] or tensor.dtype not in (torch.float32, torch.float64):
            kind = f"{tensor.dtype} {tuple(tensor.shape)}"
            raise ValueError(f"the optimizer's average {key} is {kind}: not of its parameter")


def _names_of_averages(optimizer: torch.optim.Optimizer) -> dict[str, bool]:
    """Return the averages that an optimizer keeps of a parameter: name -> whether it is a scalar.

    Adam's step count is a scalar, for example. The names are found by a trial: a second optimizer
    with the same options takes one step with a weight of its own.
    """
    accepted = inspect.signature(type(optimizer)).parameters
    accepted = accepted.keys() - {"capturable"}  # this option needs a GPU, and changes no name
    options = {name: o for name, o in optimizer.defaults.items() if name in accepted}
    weight = torch.zeros(1, requires_grad=True)
    weight.grad = torch.zeros(1)
    trial = type(optimizer)([weight], **options)
    trial.step()
    averages = trial.state_dict()["state"].get(0, {})
    return {name: value.ndim == 0 for name, value in averages.items() if value is not None}


def random_states(device: torch.device) -> tuple[dict[str, Tensor], dict]:
    """Return the states of the global random generators.

    Returns:
        (PyTorch's states, "cpu" and the device's own -> tensor; {"python": …, "numpy": …} as JSON
        can hold them).
    """
    tensors = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        tensors["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        tensors["mps"] = torch.mps.get_rng_state()
    numpy_state = np.random.get_state(legacy=False)
    numpy_state["state"]["key"] = numpy_state["state"]["key"].tolist()
    return tensors, {"python": random.getstate(), "numpy": numpy_state}


def set_random_states(tensors: dict[str, Tensor], notes: dict, device: torch.device) -> None:
    """Give the global random generators the states that `random_states` returned.

    If the states come from another kind of device, the device's own generator is not changed.

    Raises:
        ValueError, TypeError, LookupError, OverflowError, RuntimeError: the arguments are no
            states. The generators of Python and NumPy, and PyTorch's on the CPU, are then
            unchanged.
    """
    check_random_states(tensors, notes)  # all of them, before the first is set
    torch.set_rng_state(tensors["cpu"])
    if device.type == "cuda" and "cuda" in tensors:
        torch.cuda.set_rng_state(tensors["cuda"], device)
    if device.type == "mps" and "mps" in tensors:
        torch.mps.set_rng_state(tensors["mps"])
    random.setstate(_python_state(notes))
    np.random.set_state(notes["numpy"])


def check_random_states(tensors: dict[str, Tensor], notes: dict) -> None:
    """Try the states on new generators; raise the errors of `set_random_states`."""
    torch.Generator().set_state(tensors["cpu"])
    random.Random().setstate(_python_state(notes))
    state = notes["numpy"]["state"]
    # NumPy does not check the position, and would read beyond the end of its 624 numbers.
    if len(state["key"]) != 624 or not 0 <= state["pos"] <= 624:
        raise ValueError("the state of NumPy's generator is not one")
    np.random.RandomState().set_state(notes["numpy"])


def _python_state(notes: dict) -> tuple:
    """Return the state of Python's generator as `random.setstate` wants it, from JSON's lists."""
    version, internal, gauss = notes["python"]
    if gauss is not None and not isinstance(gauss, float):
        raise ValueError("the state of Python's generator is not one")
    return version, tuple(internal), gauss
