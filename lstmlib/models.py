"""The character-level network in PyTorch, and files of models, PyTorch's and NumPy's.

A model file is one safetensors file. It holds the weights, and as metadata the vocabulary, a
checksum, and the sizes (or, for a NumPy network, the cell). It holds no code. It is written whole
or not at all, and equal models are equal files.

Sizes in comments: B sequences, T steps, D inputs, H units, L layers, V tokens.
"""

import hashlib
import json
import math
import os
import reprlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from lstmlib import scratch
from lstmlib.validation import check_choice, check_flag, check_number, check_whole
from lstmlib.vocab import Vocab, VocabError

State = tuple[Tensor, ...]
"""(h, c) of an LSTM or a CIFG, (h,) of a GRU or an RNN, each (num_layers, batch, hidden_size)."""

_FORMAT = "lstmlib-model-2"
_SCRATCH_FORMAT = "lstmlib-scratch-1"
_CHECKSUM = "sha256"
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_FLOATS = (np.float16, np.float32, np.float64)
_CONTRADICTIONS = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
"""The errors that Python and PyTorch raise where a file's parts do not belong together."""


class ModelFileError(Exception):
    """A model file cannot be used; the message says why."""


class CoupledLSTM(nn.Module):
    """The CIFG: an LSTM whose forget gate is 1 - input gate (Greff et al. 2017).

    Since 1 - σ(z) = σ(-z), a CIFG is an LSTM whose forget rows are minus its input rows. So this
    module trains the rows i, g, o alone, makes the forget rows at every call, and runs PyTorch's
    fused LSTM. The input rows stand in two places there, and get the gradients of both.

    The arguments and the call are those of torch.nn.LSTM(…, batch_first=True). The parameters of
    layer k are weight_ih_l{k} (3H, D), weight_hh_l{k} (3H, H) and bias_ih_l{k} (3H,).
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.hidden_size, self.num_layers = hidden_size, num_layers
        sizes = {"batch_first": True, "dropout": dropout, "device": "meta"}
        # The fused LSTM has no weights of its own: on the device "meta" an array is a shape alone.
        # It stands in a tuple, so that PyTorch does not list its parameters among this module's.
        self._fused = (nn.LSTM(input_size, hidden_size, num_layers, **sizes),)
        bound = 1 / math.sqrt(hidden_size)  # as torch.nn.LSTM starts
        for k in range(num_layers):
            shapes = {
                "weight_ih": (3 * hidden_size, hidden_size if k else input_size),  # i, g, o
                "weight_hh": (3 * hidden_size, hidden_size),
                "bias_ih": (3 * hidden_size,),
            }
            for name, shape in shapes.items():
                rows = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
                self.register_parameter(f"{name}_l{k}", rows)

    def lstm_weights(self) -> dict[str, Tensor]:
        """Return the weights of the equal torch.nn.LSTM, by its names, (4H, …) each."""
        weights = {}
        # The gradient of -i flows back to i, so a CIFG trains with no more code than this.
        for name, rows in self.named_parameters():
            i, g, o = rows.chunk(3)  # (H, …) each
            weights[name] = torch.cat([i, -i, g, o])
            if name.startswith("bias_ih"):  # PyTorch adds two biases; one is enough
                weights[name.replace("ih", "hh")] = torch.zeros_like(weights[name])  # (4H,)
        return weights

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the last layer's outputs (B, T, H) for inputs (B, T, D), and the state (h, c)."""
        # The fused LSTM is not listed, so train() and eval() do not reach it: it follows here.
        fused = self._fused[0].train(self.training)
        return torch.func.functional_call(fused, self.lstm_weights(), (x, state))


LAYERS = {
    "lstm": partial(nn.LSTM, batch_first=True),
    "gru": partial(nn.GRU, batch_first=True),
    "rnn": partial(nn.RNN, batch_first=True),
    "cifg": CoupledLSTM,
}
"""The cells of CharRNN: name -> layers(input_size, hidden_size, num_layers, dropout=…)."""


def lstm_by_steps(
    x: Tensor,
    state: State | None,
    weights: Mapping[str, Tensor],
    layer: int = 0,
    gate: Callable[[Tensor], Tensor] = torch.sigmoid,
) -> tuple[Tensor, State, list[tuple[Tensor, ...]]]:
    """Run one layer of an LSTM step by step (Gers et al. 2000), in PyTorch's plain operations.

    PyTorch's fused LSTM computes the same, faster, and keeps its gates to itself. Here the gates
    can be seen, and the gates' function can be another one. Gradients flow through all of it.

        weights = dict(torch.nn.LSTM(4, 8, batch_first=True).named_parameters())
        outputs, (h, c), gates = lstm_by_steps(torch.randn(2, 5, 4), None, weights)

    Args:
        x: inputs (B, T, D), with T ≥ 1.
        state: (h, c) before the first step, (B, H) each; None stands for zeros.
        weights: those of torch.nn.LSTM by their names, such as `CoupledLSTM.lstm_weights` returns:
            weight_ih_l{k} (4H, D), weight_hh_l{k} (4H, H), bias_ih_l{k} and bias_hh_l{k} (4H,).
        layer: the number k of the layer, from 0.
        gate: the function of the input, forget and output gate; (B, H) -> (B, H).

    Returns:
        outputs: h after every step, (B, T, H).
        state: (h, c) after the last step, (B, H) each.
        gates: for each of the T steps (i, f, g, o), (B, H) each. They are not copied into one
            tensor, so a caller that trains pays nothing for them.
    """
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    W_x, W_h, b_x, b_h = (weights[f"{name}_l{layer}"] for name in names)
    zeros = x.new_zeros(len(x), W_h.shape[1])  # (B, H)
    h, c = (zeros, zeros) if state is None else state
    outputs, gates = [], []
    # The input's share depends on no state, so it is one product for all steps: (B, T, 4H).
    for from_x in F.linear(x, W_x, b_x + b_h).unbind(1):  # (B, 4H)
        # One product serves all four blocks, in PyTorch's order i, f, g, o: (B, H) each.
        i, f, g, o = (from_x + F.linear(h, W_h)).chunk(4, dim=-1)
        i, f, g, o = gate(i), gate(f), g.tanh(), gate(o)
        c = f * c + i * g  # (B, H)
        h = o * c.tanh()  # (B, H)
        outputs.append(h)
        gates.append((i, f, g, o))
    return torch.stack(outputs, dim=1), (h, c), gates


class CharRNN(nn.Module):
    """Character ids -> (embedding or one-hot) -> stacked recurrent layers -> next-character logits.

    The layers are PyTorch's fused ones: "lstm" (Hochreiter & Schmidhuber 1997, with the forget gate
    of Gers et al. 2000), "gru" (Cho et al. 2014), "rnn" (Elman 1990, tanh), and "cifg", see
    `CoupledLSTM`. Dropout acts on the outputs of every layer, the last included. It does not act
    from one step to the next, where it would make the network forget (Zaremba et al. 2014).

    Args:
        vocab_size: number of tokens V.
        hidden_size: units H of each layer.
        num_layers: number of layers L, one above the other.
        embedding_size: width of the learned embedding; None feeds one-hot vectors.
        dropout: probability that an output is dropped, 0 ≤ dropout < 1.
        forget_bias: initial bias of the forget gates. At 1 a new network remembers (Jozefowicz et
            al. 2015). In a CIFG the input gates get minus this bias, since there the forget gate is
            1 - input gate. The GRU and the RNN have no forget gate.
        cell: "lstm", "gru", "rnn" or "cifg".
        output_norm: whether a layer norm (Ba et al. 2016) stands between the last recurrent layer
            and the last dropout. The output layer then reads vectors of one length, whatever the
            output gates let through. The norm stands before the dropout because dropout makes
            vectors longer in training than in evaluation.

    Raises:
        ValueError: a size is not a whole number, 1 or more; dropout is outside [0, 1); forget_bias
            is not finite; the cell has another name; or output_norm is not True or False.
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int = 256,
        num_layers: int = 2,
        embedding_size: int | None = None,
        dropout: float = 0.0,
        forget_bias: float = 1.0,
        cell: str = "lstm",
        output_norm: bool = False,
    ) -> None:
        super().__init__()
        self.config = _check_config(
            {
                "vocab_size": vocab_size,
                "hidden_size": hidden_size,
                "num_layers": num_layers,
                "embedding_size": embedding_size,
                "dropout": dropout,
                "forget_bias": forget_bias,
                "cell": cell,
                "output_norm": output_norm,
            }
        )
        V, H, L = (self.config[name] for name in ("vocab_size", "hidden_size", "num_layers"))
        E, dropout = self.config["embedding_size"], self.config["dropout"]
        self.vocab_size = V
        self.embedding = nn.Embedding(V, E) if E else None  # ids -> (…, E)
        # PyTorch's layers drop outputs between layers, and warn where there is only one.
        self.layers = LAYERS[cell](E or V, H, L, dropout=dropout if L > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(H) if output_norm else nn.Identity()
        self.output = nn.Linear(H, V)  # (…, H) -> logits (…, V)
        if cell in ("lstm", "cifg"):
            self._set_forget_bias(self.config["forget_bias"])

    def _set_forget_bias(self, value: float) -> None:
        """Set the bias of the forget gates in every layer."""
        H, coupled = self.config["hidden_size"], self.config["cell"] == "cifg"
        # PyTorch's gate order is i, f, g, o, so the forget gate is block 1. In a CIFG i = σ(z) and
        # f = σ(-z): a bias of z pushes f the other way.
        gate, value = (slice(H), -value) if coupled else (slice(H, 2 * H), value)
        # PyTorch adds bias_ih and bias_hh: a value in both would count twice.
        for name, bias in self.layers.named_parameters():
            if name.startswith("bias_ih"):
                nn.init.constant_(bias.data[gate], value)
            elif name.startswith("bias_hh"):
                nn.init.constant_(bias.data[gate], 0.0)

    def read(self, ids: Tensor) -> Tensor:
        """Return the input of the first layer, embeddings or one-hot vectors: (B, T, D)."""
        if self.embedding is not None:
            return self.embedding(ids)  # (B, T, E)
        return F.one_hot(ids, self.vocab_size).to(self.output.weight.dtype)  # (B, T, V)

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run the network over a batch of sequences.

        Args:
            ids: (B, T) int64.
            state: the state that an earlier call returned, to go on from there. None stands for
                zeros.

        Returns:
            logits: (B, T, V), of the weights' dtype.
            state: the state after the last character, parts (L, B, H).
        """
        x = self.read(ids)  # (B, T, D)
        if self.config["cell"] in ("gru", "rnn"):  # PyTorch gives their h as it is, not in a tuple
            hidden, h = self.layers(x, None if state is None else state[0])  # (B, T, H), (L, B, H)
            state = (h,)
        else:
            hidden, state = self.layers(x, state)  # (B, T, H), two of (L, B, H)
        # Every position predicts the character after it: T predictions of one pass.
        return self.output(self.dropout(self.norm(hidden))), state


def _check_config(config: dict) -> dict:
    """Return the arguments of CharRNN as Python's own numbers; raise ValueError as CharRNN does.

    A model file holds them as JSON, which knows no number of NumPy's.
    """
    plain = {"cell": check_choice("cell", config["cell"], LAYERS)}
    for name in ("vocab_size", "hidden_size", "num_layers"):
        plain[name] = check_whole(name, config[name])
    if config["embedding_size"] is not None:
        size = config["embedding_size"]
        plain["embedding_size"] = check_whole("embedding_size", size, hint=", or None")
    plain["dropout"] = check_number("dropout", config["dropout"], at_least=0, below=1)
    plain["forget_bias"] = check_number("forget_bias", config["forget_bias"])
    return config | plain | {"output_norm": check_flag("output_norm", config["output_norm"])}


def detach(state: State) -> State:
    """Return a state with the same values, through which no gradient flows back."""
    # Truncated BPTT: without this, the graph of a batch would hang on that of the batch before.
    # backward() would go back to the beginning of the text, through graphs that PyTorch has freed.
    return tuple(part.detach() for part in state)


def unwrap(model: nn.Module) -> nn.Module:
    """Return the CharRNN inside a wrapper of DistributedDataParallel or torch.compile."""
    return first_of(CharRNN, model) or model


def first_of(kind: type[nn.Module], model: nn.Module) -> nn.Module | None:
    """Return the outermost module of a kind in a model, or None."""
    return next((module for module in model.modules() if isinstance(module, kind)), None)


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers of a model are trained."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


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
    write_whole(path, to_bytes(weights, metadata))


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
    write_whole(path, to_bytes(arrays, metadata))


def _check_scratch(weights: scratch.Weights, cell: scratch.Cell, vocab: Vocab) -> None:
    """Raise ValueError unless a NumPy network is complete, finite, and of the vocabulary's size."""
    floats = {name: w for name, w in weights.items() if w.dtype in _FLOATS}
    _check_finite({name: torch.from_numpy(np.ascontiguousarray(w)) for name, w in floats.items()})
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


def fused_layers(weights: scratch.Weights, cell: scratch.Cell) -> nn.RNNBase:
    """Return torch.nn.RNN or torch.nn.LSTM with the recurrent weights of a NumPy network.

    PyTorch keeps the matrices transposed and adds two biases; the second becomes 0. Its gate order
    is the same, i f g o. PyTorch has no CIFG. A CIFG becomes the LSTM that computes the same, see
    `CoupledLSTM`.

    Args:
        weights: as `scratch.init_weights` makes them. The layers read inputs (N, T, D) of their
            dtype.
        cell: scratch.RNN, LSTM or CIFG.

    Raises:
        ValueError: the cell is another one, or the weights are not complete.
    """
    _check_network(weights, cell)
    dtype = torch.from_numpy(weights["Wx0"]).dtype
    D, H, L = len(weights["Wx0"]), len(weights["Wh0"]), scratch.count_layers(weights)
    layers = (nn.RNN if cell is scratch.RNN else nn.LSTM)(D, H, L, batch_first=True, dtype=dtype)
    if cell is scratch.CIFG:
        coupled = CoupledLSTM(D, H, L).to(dtype)
        _copy_layers(coupled, weights)
        layers.load_state_dict(coupled.lstm_weights())
    else:
        _copy_layers(layers, weights)
    return layers


def _copy_layers(layers: nn.Module, weights: scratch.Weights) -> None:
    """Copy a NumPy network's recurrent weights into PyTorch's layers, in place."""
    names = {"weight_ih": "Wx", "weight_hh": "Wh", "bias_ih": "b"}
    for name, parameter in layers.named_parameters():
        kind, k = name.split("_l")
        if kind in names:
            # (D, G·H) -> (G·H, D): PyTorch keeps a matrix transposed.
            parameter.data.copy_(torch.from_numpy(weights[f"{names[kind]}{k}"].T))
        else:  # PyTorch's second bias, which `scratch` does not have
            parameter.data.zero_()


def from_scratch(weights: scratch.Weights, cell: scratch.Cell) -> CharRNN:
    """Return the CharRNN, on one-hot inputs, that computes what a NumPy network computes.

    Args:
        weights: as `scratch.init_weights` makes them; their dtype becomes the model's.
        cell: scratch.RNN, LSTM or CIFG.

    Raises:
        ValueError: the cell is another one, the weights are not complete, or the network reads and
            predicts different numbers of tokens.
    """
    _check_network(weights, cell)
    V, H, L = len(weights["Wx0"]), len(weights["Wh0"]), scratch.count_layers(weights)
    if len(weights["by"]) != V:
        raise ValueError(f"The network reads {V} tokens and predicts {len(weights['by'])}.")
    model = CharRNN(V, H, L, cell=cell.name).to(torch.from_numpy(weights["Wy"]).dtype)
    _copy_layers(model.layers, weights)
    model.output.weight.data.copy_(torch.from_numpy(weights["Wy"].T))
    model.output.bias.data.copy_(torch.from_numpy(weights["by"]))
    return model


def to_scratch(model: CharRNN) -> tuple[scratch.Weights, scratch.Cell]:
    """Return the NumPy network, as (weights, cell), that computes what a CharRNN computes.

    The NumPy network has no dropout. Its bias is the sum of PyTorch's two. An embedding E becomes
    part of the first matrix W: (one-hot E) W = one-hot (E W).

    Raises:
        ValueError: the model is a GRU or has a layer norm; `scratch` has neither.
    """
    missing = "layer norm" if model.config["output_norm"] else model.config["cell"]
    if missing not in scratch.CELLS:
        raise ValueError(f"There is no {missing} in lstmlib.scratch.")
    # (G·H, D) -> (D, G·H): `scratch` multiplies x Wx, PyTorch x Wᵀ.
    arrays = {name: p.detach().cpu().numpy().T for name, p in model.layers.named_parameters()}
    weights = {}
    for k in range(model.config["num_layers"]):
        weights[f"Wx{k}"], weights[f"Wh{k}"] = arrays[f"weight_ih_l{k}"], arrays[f"weight_hh_l{k}"]
        weights[f"b{k}"] = arrays[f"bias_ih_l{k}"] + arrays.get(f"bias_hh_l{k}", 0)
    if model.embedding is not None:  # (V, E) @ (E, G·H)
        weights["Wx0"] = model.embedding.weight.detach().cpu().numpy() @ weights["Wx0"]
    weights["Wy"] = model.output.weight.detach().cpu().numpy().T
    weights["by"] = model.output.bias.detach().cpu().numpy()
    # Copies, so that training one network leaves the other alone.
    copies = {name: np.array(array, order="C") for name, array in weights.items()}
    return copies, scratch.CELLS[model.config["cell"]]


def check_vocab(model: CharRNN, vocab: Vocab) -> None:
    """Raise ValueError if a vocabulary has not the size that the model was built for."""
    if len(vocab) != model.vocab_size:
        raise ValueError(
            f"The vocabulary has {len(vocab)} tokens, but the model was built for "
            f"{model.vocab_size}. Use the vocabulary that the model was trained with."
        )


def write_whole(path: str | Path, data: bytes) -> None:
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
