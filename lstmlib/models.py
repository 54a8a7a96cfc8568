"""The character-level network in PyTorch, and model files, also those of NumPy networks.

A model file is one safetensors file: the weights, and as metadata the vocabulary and the sizes (or,
for a NumPy network, its cell). It holds no code, and it is written whole or not at all.
"""

import json
import os
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from lstmlib import scratch
from lstmlib.vocab import Vocab, VocabError

State = tuple[Tensor, Tensor]
"""Hidden state h and cell state c, each (num_layers, batch, hidden_size)."""

_FORMAT = "lstmlib-model-1"
_SCRATCH_FORMAT = "lstmlib-scratch-1"


class ModelFileError(Exception):
    """A model file cannot be used; the message says why."""


class CharRNN(nn.Module):
    """Character ids -> (embedding or one-hot) -> stacked LSTM -> logits of the next character.

    The LSTM is torch.nn.LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al.
    2000). Dropout acts on the outputs of every layer, the last included, not on the recurrence
    (Zaremba et al. 2014).

    Args:
        vocab_size: number of tokens V.
        hidden_size: units H of each layer.
        num_layers: layers stacked.
        embedding_size: width of the learned embedding; None feeds one-hot vectors.
        dropout: probability of dropping an output, 0 ≤ dropout < 1.
        forget_bias: initial bias of the forget gates; at 1 a new network remembers (Jozefowicz et
            al. 2015).

    Raises:
        ValueError: a size below 1 or a dropout outside [0, 1).
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int = 256,
        num_layers: int = 2,
        embedding_size: int | None = None,
        dropout: float = 0.0,
        forget_bias: float = 1.0,
    ) -> None:
        super().__init__()
        sizes = {"vocab_size": vocab_size, "hidden_size": hidden_size, "num_layers": num_layers}
        for name, size in (sizes | {"embedding_size": embedding_size}).items():
            if size is not None and size < 1:
                raise ValueError(f"{name} is {size}; it must be 1 or more.")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is {dropout}; it is a probability, 0 or more and below 1.")
        self.config = sizes | {
            "embedding_size": embedding_size,
            "dropout": dropout,
            "forget_bias": forget_bias,
        }
        self.vocab_size = vocab_size
        self.embedding = nn.Embedding(vocab_size, embedding_size) if embedding_size else None
        self.lstm = nn.LSTM(
            embedding_size or vocab_size,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, vocab_size)
        self._set_forget_bias(forget_bias)

    def _set_forget_bias(self, value: float) -> None:
        """Set the forget gates' bias; PyTorch adds two biases per gate, so one of them stays 0."""
        hidden = self.lstm.hidden_size
        forget = slice(hidden, 2 * hidden)  # PyTorch's gate order is i, f, g, o
        for layer in range(self.lstm.num_layers):
            nn.init.constant_(getattr(self.lstm, f"bias_ih_l{layer}").data[forget], value)
            nn.init.constant_(getattr(self.lstm, f"bias_hh_l{layer}").data[forget], 0.0)

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run the network over a batch of sequences.

        Args:
            ids: (B, T) int64.
            state: what an earlier call returned, to go on from there; None starts at zero.

        Returns:
            logits: (B, T, V), float32; the state after the last character.
        """
        if self.embedding is None:
            x = F.one_hot(ids, self.vocab_size).to(self.output.weight.dtype)
        else:
            x = self.embedding(ids)
        hidden, state = self.lstm(x, state)
        return self.output(self.dropout(hidden)), state


def detach(state: State) -> State:
    """Cut a state from the graph that made it, so that no gradient flows past this point."""
    return state[0].detach(), state[1].detach()


def count_parameters(model: nn.Module) -> int:
    """Return the number of trainable numbers in a model."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def save_model(path: str | Path, model: CharRNN, vocab: Vocab) -> None:
    """Write weights, sizes and vocabulary to one safetensors file, whole or not at all.

    Raises:
        ValueError: the vocabulary is not of the model's size.
    """
    check_vocab(model, vocab)
    metadata = {"format": _FORMAT, "config": json.dumps(model.config), "vocab": vocab.to_json()}
    weights = {name: w.detach().cpu().contiguous() for name, w in model.state_dict().items()}
    write_whole(path, save(weights, metadata))


def load_model(path: str | Path, device: torch.device | str = "cpu") -> tuple[CharRNN, Vocab]:
    """Read a file that `save_model` wrote: (model in evaluation mode on the device, vocabulary).

    Raises:
        ModelFileError: the file is missing, cut off, of another kind, or contradicts itself.
    """
    metadata, weights = _read(path, _FORMAT, "save_model")
    try:
        model, vocab = CharRNN(**json.loads(metadata["config"])), Vocab.from_json(metadata["vocab"])
        check_vocab(model, vocab)
        model.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, VocabError, RuntimeError) as error:
        raise ModelFileError(f"{path} contradicts itself: {error}") from error
    return model.to(device).eval(), vocab


def _read(path: str | Path, file_format: str, writer: str) -> tuple[dict, dict[str, Tensor]]:
    """Return the metadata and the arrays of a safetensors file, if it is one of our format."""
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"There is no model file {path}.")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ModelFileError(
            f"{path} is not a whole safetensors file ({error}). Was it cut off? Save it again."
        ) from error
    if metadata.get("format") != file_format:
        raise ModelFileError(f"{path} is a safetensors file, but not one that {writer} wrote.")
    return metadata, arrays


def save_scratch(
    path: str | Path, weights: scratch.Weights, cell: scratch.Cell, vocab: Vocab
) -> None:
    """Write the weights of a NumPy network, its cell's name and its vocabulary, as `save_model`.

    Raises:
        ValueError: the weights, the cell and the vocabulary do not belong together, or the cell is
            none of CELLS.
    """
    _check_scratch(weights, cell, vocab)
    metadata = {"format": _SCRATCH_FORMAT, "cell": cell.name, "vocab": vocab.to_json()}
    # safetensors stores an array's memory as it lies, so a transposed view must be laid out first.
    weights = {name: np.ascontiguousarray(w) for name, w in weights.items()}
    write_whole(path, safetensors.numpy.save(weights, metadata))


def _check_scratch(weights: scratch.Weights, cell: scratch.Cell, vocab: Vocab) -> None:
    """Raise ValueError unless a NumPy network is whole, and of the vocabulary's size."""
    _check_network(weights, cell)
    if not len(vocab) == len(weights["Wx0"]) == len(weights["by"]):
        raise ValueError(
            f"The vocabulary has {len(vocab)} tokens, but the network reads "
            f"{len(weights['Wx0'])} and predicts {len(weights['by'])}."
        )


def _check_network(weights: scratch.Weights, cell: scratch.Cell) -> None:
    """Raise ValueError unless the cell is one of CELLS and the weights are a network of it."""
    if scratch.CELLS.get(cell.name) is not cell:
        names = ", ".join(scratch.CELLS)
        raise ValueError(f"The cell must be one of {names}, not one of your own.")
    scratch.forward(weights, cell, np.zeros((1, 1), dtype=int))  # raises unless the sizes agree


def load_scratch(path: str | Path) -> tuple[scratch.Weights, scratch.Cell, Vocab]:
    """Read a file that `save_scratch` wrote: (weights, cell, vocabulary).

    Raises:
        ModelFileError: the file is missing, cut off, of another kind, or contradicts itself.
    """
    metadata, arrays = _read(path, _SCRATCH_FORMAT, "save_scratch")
    weights = {name: array.numpy() for name, array in arrays.items()}
    try:
        cell, vocab = scratch.CELLS[metadata["cell"]], Vocab.from_json(metadata["vocab"])
        _check_scratch(weights, cell, vocab)
    except (KeyError, TypeError, ValueError, VocabError) as error:
        raise ModelFileError(f"{path} contradicts itself: {error}") from error
    return weights, cell, vocab


def fused_layers(weights: scratch.Weights, cell: scratch.Cell) -> nn.RNNBase:
    """Return torch.nn.RNN or torch.nn.LSTM with the recurrent weights of a NumPy network.

    PyTorch keeps the matrices transposed and adds two biases, of which the second becomes 0. Its
    gate order is the same, i f g o. It has no CIFG, but 1 - σ(z) = σ(-z): an LSTM whose forget rows
    are minus its input rows is one.

    Args:
        weights: as `scratch.init_weights` makes them, for inputs (N, T, D) in their dtype.
        cell: scratch.RNN, LSTM or CIFG.

    Raises:
        ValueError: a cell of your own, or weights that are not whole.
    """
    _check_network(weights, cell)
    dtype = torch.from_numpy(weights["Wx0"]).dtype
    D, H, L = len(weights["Wx0"]), len(weights["Wh0"]), scratch.count_layers(weights)
    layers = (nn.RNN if cell is scratch.RNN else nn.LSTM)(D, H, L, batch_first=True, dtype=dtype)
    for k in range(L):
        for name, ours in (("weight_ih", "Wx"), ("weight_hh", "Wh"), ("bias_ih", "b")):
            array = weights[f"{ours}{k}"]
            if cell is scratch.CIFG:
                i, g, o = np.split(array, 3, axis=-1)
                array = np.concatenate([i, -i, g, o], axis=-1)
            getattr(layers, f"{name}_l{k}").data.copy_(torch.from_numpy(array.T))
        getattr(layers, f"bias_hh_l{k}").data.zero_()
    return layers


def check_vocab(model: CharRNN, vocab: Vocab) -> None:
    """Raise ValueError if a vocabulary is not of the size that the model was built for."""
    if len(vocab) != model.vocab_size:
        raise ValueError(
            f"The vocabulary has {len(vocab)} tokens, but the model was built for "
            f"{model.vocab_size}. Use the vocabulary that the model was trained with."
        )


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file whole or not at all: to a temporary file beside it, then moved into place."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
