"""Networks in files, PyTorch's and NumPy's: written whole or not at all, checked when read.

A model file is one safetensors file. It holds the weights, and as metadata the vocabulary, a
checksum, and the sizes (or, for a NumPy network, the cell). It holds no code. Equal models are
equal files. `atomic_write` also writes the other files of the course.
"""

import hashlib
import json
import os
import reprlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lstmlib import scratch
from lstmlib.conversion import check_network
from lstmlib.models import CharRNN, check_vocab, unwrap
from lstmlib.vocab import Vocab, VocabError

_FORMAT = "lstmlib-model-2"
_SCRATCH_FORMAT = "lstmlib-scratch-1"
_CHECKSUM = "sha256"
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_FLOATS = (np.float16, np.float32, np.float64)
_CONTRADICTIONS = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
"""The errors that Python and PyTorch raise where a file's parts do not belong together."""


class ModelFileError(Exception):
    """A model file cannot be used; the message says why."""


def save_model(path: str | Path, model: CharRNN, vocab: Vocab) -> None:
    """Write weights, sizes and vocabulary to one safetensors file, whole or not at all.

    Of a model in a wrapper of DistributedDataParallel or torch.compile, the model alone is saved.

    Raises:
        ValueError: the vocabulary has not the model's size, or a weight is not finite.
    """
    model = unwrap(model)
    check_vocab(model, vocab)
    weights = model.state_dict()  # name -> tensor
    _check_finite(weights)
    metadata = {"format": _FORMAT, "config": json.dumps(model.config), "vocab": vocab.to_json()}
    atomic_write(path, to_bytes(weights, metadata))


def load_model(path: str | Path, device: torch.device | str = "cpu") -> tuple[CharRNN, Vocab]:
    """Read a file that `save_model` wrote; return (model, vocabulary).

    The model is in evaluation mode, on the device.

    Raises:
        ModelFileError: the file is missing, unreadable, cut off, damaged, of another kind, or
            contradicts itself.
    """
    metadata, weights = read_file(path, _FORMAT, "save_model")
    try:
        config, vocab = json.loads(metadata["config"]), Vocab.from_json(metadata["vocab"])
        _check_weights(config, weights)
        model = CharRNN(**config)
        model.to(weights["output.weight"].dtype)  # else load_state_dict would convert the weights
        check_vocab(model, vocab)
        model.load_state_dict(weights)
    except _CONTRADICTIONS as error:
        raise _contradiction(path, error) from error
    return model.to(device).eval(), vocab


def _check_weights(config: dict, weights: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless the weights have the shapes that the sizes ask for.

    A file of 400 bytes can declare a network of any size. So the network is first built on
    PyTorch's device "meta", where an array is a shape alone and takes no memory.
    """
    if not isinstance(config, dict):
        raise ValueError("its sizes are not named.")
    numbers = sum(weight.numel() for weight in weights.values())
    for name, size in config.items():
        # Each layer has several arrays, so there are fewer layers than arrays.
        most = len(weights) if name == "num_layers" else numbers
        if isinstance(size, int) and size > most:
            content = f"{len(weights)} arrays of {numbers} numbers in all"
            raise ValueError(f"{name} is {reprlib.repr(size)}, but it holds {content}.")
    with torch.device("meta"):
        expected = CharRNN(**config).state_dict()
    check_shapes(weights, expected)
    dtypes = {weight.dtype for weight in weights.values()}
    if len(dtypes) > 1 or not dtypes <= set(_DTYPES):
        kinds = ", ".join(sorted(map(str, dtypes)))
        raise ValueError(f"its weights are {kinds}, where floats of one kind are asked for.")
    _check_finite(weights)


def check_shapes(arrays: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless arrays have the names and shapes of the expected ones."""
    wrong = sorted(arrays.keys() ^ expected.keys())
    if wrong:
        raise ValueError(f"missing or unknown: {', '.join(wrong[:5])}.")
    for name, array in arrays.items():
        if array.shape != expected[name].shape:
            shapes = tuple(array.shape), tuple(expected[name].shape)
            raise ValueError(f"{name} is {shapes[0]}, where the sizes ask for {shapes[1]}.")


def _check_finite(weights: Mapping[str, Tensor]) -> None:
    """Raise ValueError if a weight is infinite or not a number."""
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise ValueError(
                f"{name} has weights that are infinite or not a number: the network is of no use. "
                "Train it again with a lower learning rate, or clip its gradients."
            )


def to_bytes(arrays: Mapping[str, Tensor], metadata: dict[str, str]) -> bytes:
    """Return the bytes of a safetensors file with a checksum.

    Equal arrays and metadata give equal bytes, in every process.

    Args:
        arrays: name -> tensor, of any dtype, on any device.
        metadata: name -> text. The checksum is added to it as "sha256"; `read_file` compares it.
    """
    arrays = {name: array.detach().cpu().contiguous() for name, array in arrays.items()}
    metadata = metadata | {_CHECKSUM: _checksum(arrays, metadata)}
    # safetensors writes the metadata in the order of a hash table, and that differs from process to
    # process. So it writes the arrays alone here, and the metadata is added in a fixed order.
    data = save(arrays)
    size = int.from_bytes(data[:8], "little")
    header = {"__metadata__": dict(sorted(metadata.items()))} | json.loads(data[8 : 8 + size])
    header = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)  # safetensors wants the arrays to begin at a multiple of 8
    return b"".join([len(header).to_bytes(8, "little"), header, memoryview(data)[8 + size :]])


def _checksum(arrays: Mapping[str, Tensor], metadata: dict[str, str]) -> str:
    """Return the SHA-256 of all names, dtypes, shapes, bytes and metadata, in a fixed order."""
    names = sorted(arrays)
    kinds = [[name, str(arrays[name].dtype), list(arrays[name].shape)] for name in names]
    notes = sorted((name, note) for name, note in metadata.items() if name != _CHECKSUM)
    digest = hashlib.sha256(json.dumps([kinds, notes]).encode())
    for name in names:
        digest.update(arrays[name].contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def read_file(path: str | Path, file_format: str, writer: str) -> tuple[dict, dict[str, Tensor]]:
    """Read a safetensors file of one of our formats; return (metadata, arrays on the CPU).

    A file without a checksum is read too, since earlier versions wrote none.

    Args:
        path: the file.
        file_format: the format that its metadata must name.
        writer: the function that writes this format, for messages.

    Raises:
        ModelFileError: the file is missing, unreadable, cut off, damaged, or of another format.
    """
    where = os.path.abspath(path)
    if os.path.isdir(where):
        raise ModelFileError(f"{where} is a folder; give the path of a file in it.")
    if not os.path.isfile(where):
        raise ModelFileError(f"There is no file {where}.")
    try:
        with safe_open(where, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise ModelFileError(f"{where} cannot be read ({error}).") from error
    except (SafetensorError, AttributeError, *_CONTRADICTIONS) as error:
        raise ModelFileError(
            f"{where} is not a whole safetensors file ({error}). Was it cut off? Save it again."
        ) from error
    if metadata.get("format") != file_format:
        raise ModelFileError(f"{where} is a safetensors file, but not one that {writer} wrote.")
    # An unknown name may be "sha256" with a damaged letter. The file would then seem to be an old
    # one without a checksum.
    unknown = metadata.keys() - {"format", "config", "cell", "vocab", _CHECKSUM}
    if unknown or metadata.get(_CHECKSUM) not in (None, _checksum(arrays, metadata)):
        raise ModelFileError(
            f"{where} is damaged: what it holds is not what was written (its checksum is another). "
            "Copy or save it again."
        )
    return metadata, arrays


def _contradiction(path: str | Path, error: Exception) -> ModelFileError:
    """Return the error to raise for a file whose parts do not belong together."""
    # The kind of an error of Python or PyTorch is named: the message of a KeyError is the bare key.
    kind = "" if type(error) in (ValueError, VocabError) else f"{type(error).__name__}: "
    reason = kind + next(iter(str(error).splitlines()), "")  # without PyTorch's lines of its origin
    return ModelFileError(f"{os.path.abspath(path)} contradicts itself: {reason}")


def save_scratch(
    path: str | Path, weights: scratch.Weights, cell: scratch.Cell, vocab: Vocab
) -> None:
    """Write a NumPy network to a file as `save_model` does: weights, cell's name and vocabulary.

    Raises:
        ValueError: the weights, the cell and the vocabulary do not belong together, or the cell is
            not one of scratch.CELLS.
    """
    _check_scratch(weights, cell, vocab)
    metadata = {"format": _SCRATCH_FORMAT, "cell": cell.name, "vocab": vocab.to_json()}
    arrays = {name: torch.from_numpy(np.ascontiguousarray(w)) for name, w in weights.items()}
    atomic_write(path, to_bytes(arrays, metadata))


def _check_scratch(weights: scratch.Weights, cell: scratch.Cell, vocab: Vocab) -> None:
    """Raise ValueError unless a NumPy network is complete, finite, and of the vocabulary's size."""
    floats = {name: w for name, w in weights.items() if w.dtype in _FLOATS}
    _check_finite({name: torch.from_numpy(np.ascontiguousarray(w)) for name, w in floats.items()})
    check_network(weights, cell)
    if not len(vocab) == len(weights["Wx0"]) == len(weights["by"]):
        raise ValueError(
            f"The vocabulary has {len(vocab)} tokens, but the network reads "
            f"{len(weights['Wx0'])} and predicts {len(weights['by'])}."
        )


def load_scratch(path: str | Path) -> tuple[scratch.Weights, scratch.Cell, Vocab]:
    """Read a file that `save_scratch` wrote; return (weights, cell, vocabulary).

    Raises:
        ModelFileError: the file is missing, unreadable, cut off, damaged, of another kind, or
            contradicts itself.
    """
    metadata, arrays = read_file(path, _SCRATCH_FORMAT, "save_scratch")
    try:
        weights = {name: array.numpy() for name, array in arrays.items()}
        cell, vocab = scratch.CELLS[metadata["cell"]], Vocab.from_json(metadata["vocab"])
        _check_scratch(weights, cell, vocab)
    except _CONTRADICTIONS as error:
        raise _contradiction(path, error) from error
    return weights, cell, vocab


def atomic_write(path: str | Path, data: bytes) -> None:
    """Write a file whole or not at all.

    The bytes go into a temporary file beside it, which is then moved into place.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, since a move to another file system is a copy, which can be cut off.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # on the disk before the name is: else a crash leaves it empty
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
