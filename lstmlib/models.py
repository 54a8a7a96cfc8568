"""The character-level network in PyTorch, and its files.

A model file is one safetensors file: the weights, and as metadata the sizes and the vocabulary. It
holds no code, and it is written whole or not at all.
"""

import json
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from lstmlib.vocab import Vocab, VocabError

State = tuple[Tensor, Tensor]
"""Hidden state h and cell state c, each (num_layers, batch, hidden_size)."""

_FORMAT = "lstmlib-model-1"


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
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"There is no model file {path}.")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ModelFileError(
            f"{path} is not a whole safetensors file ({error}). Was it cut off? Save it again."
        ) from error
    if metadata.get("format") != _FORMAT:
        raise ModelFileError(f"{path} is a safetensors file, but not one that save_model wrote.")
    try:
        model, vocab = CharRNN(**json.loads(metadata["config"])), Vocab.from_json(metadata["vocab"])
        check_vocab(model, vocab)
        model.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, VocabError, RuntimeError) as error:
        raise ModelFileError(f"{path} contradicts itself: {error}") from error
    return model.to(device).eval(), vocab


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
