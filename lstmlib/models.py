"""The character-level network in PyTorch, and model files, also those of NumPy networks.

A model file is one safetensors file: the weights, and as metadata the vocabulary, the sizes (or,
for a NumPy network, its cell) and a checksum of it all. It holds no code, it is written whole or
not at all, and equal models are equal files.
"""

import hashlib
import json
import math
import os
import reprlib
from collections.abc import Mapping
from functools import partial
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from lstmlib import scratch
from lstmlib.vocab import Vocab, VocabError

State = tuple[Tensor, ...]
"""(h, c) of an LSTM or a CIFG, (h,) of a GRU or an RNN, each (num_layers, batch, hidden_size)."""

_FORMAT = "lstmlib-model-2"
_SCRATCH_FORMAT = "lstmlib-scratch-1"
_CHECKSUM = "sha256"
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_FLOATS = (np.float16, np.float32, np.float64)
_CONTRADICTIONS = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
"""What Python and PyTorch raise where a file's parts do not belong together."""


class ModelFileError(Exception):
    """A model file cannot be used; the message says why."""


class CoupledLSTM(nn.Module):
    """The CIFG, an LSTM whose forget gate is 1 - input gate (Greff et al. 2017), as torch.nn.LSTM.

    Since 1 - σ(z) = σ(-z), a CIFG is an LSTM whose forget rows are minus its input rows. The rows
    i, g, o are the parameters; the forget rows are made of them at every call, so that the fused
    LSTM runs, and its gradient reaches the parameters through both places where they stand.

    Args and call are those of torch.nn.LSTM(…, batch_first=True). The parameters of layer k are
    weight_ih_l{k} (3H, D), weight_hh_l{k} (3H, H) and bias_ih_l{k} (3H,).
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.hidden_size, self.num_layers = hidden_size, num_layers
        sizes = {"batch_first": True, "dropout": dropout, "device": "meta"}
        # Without weights of its own, and in a tuple so that this module does not list them.
        self._fused = (nn.LSTM(input_size, hidden_size, num_layers, **sizes),)
        bound = 1 / math.sqrt(hidden_size)
        for k in range(num_layers):
            shapes = {
                "weight_ih": (3 * hidden_size, hidden_size if k else input_size),
                "weight_hh": (3 * hidden_size, hidden_size),
                "bias_ih": (3 * hidden_size,),
            }
            for name, shape in shapes.items():
                rows = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
                self.register_parameter(f"{name}_l{k}", rows)

    def lstm_weights(self) -> dict[str, Tensor]:
        """Return the weights of the torch.nn.LSTM that this CIFG is, (4H, …) each, by name."""
        weights = {}
        for name, rows in self.named_parameters():
            i, g, o = rows.chunk(3)
            weights[name] = torch.cat([i, -i, g, o])
            if name.startswith("bias_ih"):
                weights[name.replace("ih", "hh")] = torch.zeros_like(weights[name])
        return weights

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run over inputs (B, T, D): outputs (B, T, H) of the last layer, and the last state."""
        fused = self._fused[0].train(self.training)
        return torch.func.functional_call(fused, self.lstm_weights(), (x, state))


LAYERS = {
    "lstm": partial(nn.LSTM, batch_first=True),
    "gru": partial(nn.GRU, batch_first=True),
    "rnn": partial(nn.RNN, batch_first=True),
    "cifg": CoupledLSTM,
}
"""The cells of CharRNN: name -> layers(input_size, hidden_size, num_layers, dropout=…)."""


class CharRNN(nn.Module):
    """Character ids -> (embedding or one-hot) -> stacked recurrent layers -> next-character logits.

    The layers are PyTorch's fused ones: "lstm" (Hochreiter & Schmidhuber 1997, with the forget gate
    of Gers et al. 2000), "gru" (Cho et al. 2014), "rnn" (Elman 1990, tanh), and "cifg", see
    `CoupledLSTM`. Dropout acts on the outputs of every layer, the last included, not on the
    recurrence (Zaremba et al. 2014).

    Args:
        vocab_size: number of tokens V.
        hidden_size: units H of each layer.
        num_layers: layers stacked.
        embedding_size: width of the learned embedding; None feeds one-hot vectors.
        dropout: probability of dropping an output, 0 ≤ dropout < 1.
        forget_bias: initial bias of the forget gates; at 1 a new network remembers (Jozefowicz et
            al. 2015). The CIFG gets it as minus the bias of the input gates, which are its forget
            gates; the GRU and the RNN have no forget gate.
        cell: "lstm", "gru", "rnn" or "cifg".
        output_norm: put a layer norm (Ba et al. 2016) before the last dropout and the output layer,
            so that what predicts is of one length, whatever the gates let through. Behind the
            dropout it would read longer vectors in training than in evaluation.

    Raises:
        ValueError: a size that is not a whole number from 1, a dropout outside [0, 1), a forget
            bias that is not finite, a cell of another name, or an output_norm of another kind.
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
        self.embedding = nn.Embedding(V, E) if E else None
        self.layers = LAYERS[cell](E or V, H, L, dropout=dropout if L > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(H) if output_norm else nn.Identity()
        self.output = nn.Linear(H, V)
        if cell in ("lstm", "cifg"):
            self._set_forget_bias(self.config["forget_bias"])

    def _set_forget_bias(self, value: float) -> None:
        """Set the forget gates' bias; where PyTorch adds two biases, one of them is 0."""
        H, coupled = self.config["hidden_size"], self.config["cell"] == "cifg"
        # PyTorch's gate order is i, f, g, o. The CIFG's forget gate is σ of minus what i reads.
        gate, value = (slice(H), -value) if coupled else (slice(H, 2 * H), value)
        for name, bias in self.layers.named_parameters():
            if name.startswith("bias_ih"):
                nn.init.constant_(bias.data[gate], value)
            elif name.startswith("bias_hh"):
                nn.init.constant_(bias.data[gate], 0.0)

    def read(self, ids: Tensor) -> Tensor:
        """Return what the first layer reads, embeddings or one-hot vectors: (B, T, D)."""
        if self.embedding is not None:
            return self.embedding(ids)
        return F.one_hot(ids, self.vocab_size).to(self.output.weight.dtype)

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run the network over a batch of sequences.

        Args:
            ids: (B, T) int64.
            state: what an earlier call returned, to go on from there; None starts at zero.

        Returns:
            logits: (B, T, V), of the weights' dtype; the state after the last character.
        """
        x = self.read(ids)
        if self.config["cell"] in ("gru", "rnn"):  # their state is h alone, not a tuple
            hidden, h = self.layers(x, None if state is None else state[0])
            state = (h,)
        else:
            hidden, state = self.layers(x, state)
        return self.output(self.dropout(self.norm(hidden))), state


def _check_config(config: dict) -> dict:
    """Return the arguments of CharRNN as plain numbers; raises ValueError as CharRNN does."""
    for name in ("vocab_size", "hidden_size", "num_layers", "embedding_size"):
        size = config[name]
        if name == "embedding_size" and size is None:
            continue
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{name} is {size!r}; it must be a whole number, 1 or more.")
        config[name] = int(size)
    dropout, bias, cell = config["dropout"], config["forget_bias"], config["cell"]
    if not (isinstance(dropout, Real) and 0 <= dropout < 1):
        raise ValueError(f"dropout is {dropout!r}; it is a probability, 0 or more and below 1.")
    if not (isinstance(bias, Real) and abs(bias) < math.inf):
        raise ValueError(f"forget_bias is {bias!r}; it must be a finite number.")
    if not (isinstance(cell, str) and cell in LAYERS):
        raise ValueError(f"cell is {cell!r}; choose one of {', '.join(LAYERS)}.")
    if not isinstance(config["output_norm"], (bool, np.bool_)):
        raise ValueError(f"output_norm is {config['output_norm']!r}; it must be True or False.")
    plain = {"dropout": float(dropout), "forget_bias": float(bias)}
    return config | plain | {"output_norm": bool(config["output_norm"])}


def detach(state: State) -> State:
    """Cut a state from the graph that made it, so that no gradient flows past this point."""
    return tuple(part.detach() for part in state)


def unwrap(model: nn.Module) -> nn.Module:
    """Return the CharRNN in a wrapper, DistributedDataParallel's or torch.compile's."""
    return first_of(CharRNN, model) or model


def first_of(kind: type[nn.Module], model: nn.Module) -> nn.Module | None:
    """Return the outermost module of a kind in a model, or None."""
    return next((module for module in model.modules() if isinstance(module, kind)), None)


def count_parameters(model: nn.Module) -> int:
    """Return the number of trainable numbers in a model."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def save_model(path: str | Path, model: CharRNN, vocab: Vocab) -> None:
    """Write weights, sizes and vocabulary to one safetensors file, whole or not at all.

    A wrapper of DistributedDataParallel or torch.compile is left out.

    Raises:
        ValueError: the vocabulary is not of the model's size, or a weight is not finite.
    """
    model = unwrap(model)
    check_vocab(model, vocab)
    weights = model.state_dict()
    _check_finite(weights)
    metadata = {"format": _FORMAT, "config": json.dumps(model.config), "vocab": vocab.to_json()}
    write_whole(path, to_bytes(weights, metadata))


def load_model(path: str | Path, device: torch.device | str = "cpu") -> tuple[CharRNN, Vocab]:
    """Read a file that `save_model` wrote: (model in evaluation mode on the device, vocabulary).

    Raises:
        ModelFileError: the file is missing, unreadable, cut off, damaged, of another kind, or
            contradicts itself.
    """
    metadata, weights = read_file(path, _FORMAT, "save_model")
    try:
        config, vocab = json.loads(metadata["config"]), Vocab.from_json(metadata["vocab"])
        _check_weights(config, weights)
        model = CharRNN(**config)
        model.to(weights["output.weight"].dtype)
        check_vocab(model, vocab)
        model.load_state_dict(weights)
    except _CONTRADICTIONS as error:
        raise _contradiction(path, error) from error
    return model.to(device).eval(), vocab


def _check_weights(config: dict, weights: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless the weights are those of the sizes, before memory is taken for any.

    A file of 400 bytes can declare a network of any size, so the network is first built on
    PyTorch's device "meta", where an array is a shape and takes no memory.
    """
    if not isinstance(config, dict):
        raise ValueError("its sizes are not named.")
    numbers = sum(weight.numel() for weight in weights.values())
    for name, size in config.items():
        most = len(weights) if name == "num_layers" else numbers  # each layer has several arrays
        if isinstance(size, int) and size > most:
            held = f"{len(weights)} arrays of {numbers} numbers in all"
            raise ValueError(f"{name} is {reprlib.repr(size)}, but it holds {held}.")
    with torch.device("meta"):
        expected = CharRNN(**config).state_dict()
    check_shapes(weights, expected)
    dtypes = {weight.dtype for weight in weights.values()}
    if len(dtypes) > 1 or not dtypes <= set(_DTYPES):
        found = ", ".join(sorted(map(str, dtypes)))
        raise ValueError(f"its weights are {found}, where floats of one kind are asked for.")
    _check_finite(weights)


def check_shapes(arrays: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless arrays have the names and shapes that are expected."""
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
    """Return a safetensors file with a checksum; equal arrays and metadata are equal bytes.

    Args:
        arrays: of any dtypes, on any device.
        metadata: "sha256" is added, which `read_file` compares.
    """
    arrays = {name: array.detach().cpu().contiguous() for name, array in arrays.items()}
    metadata = metadata | {_CHECKSUM: _checksum(arrays, metadata)}
    # safetensors writes the metadata in the order of a hash table, which is another in each
    # process. So it writes the arrays alone, and the metadata is put before them in a fixed order.
    data = save(arrays)
    size = int.from_bytes(data[:8], "little")
    header = {"__metadata__": dict(sorted(metadata.items()))} | json.loads(data[8 : 8 + size])
    header = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)  # the arrays begin at a multiple of 8
    return b"".join([len(header).to_bytes(8, "little"), header, memoryview(data)[8 + size :]])


def _checksum(arrays: Mapping[str, Tensor], metadata: dict[str, str]) -> str:
    """Return the SHA-256 of names, dtypes, shapes, bytes and metadata, whatever their order."""
    names = sorted(arrays)
    kinds = [[name, str(arrays[name].dtype), list(arrays[name].shape)] for name in names]
    notes = sorted((name, note) for name, note in metadata.items() if name != _CHECKSUM)
    digest = hashlib.sha256(json.dumps([kinds, notes]).encode())
    for name in names:
        digest.update(arrays[name].contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def read_file(path: str | Path, file_format: str, writer: str) -> tuple[dict, dict[str, Tensor]]:
    """Read a safetensors file of one of our formats: (metadata, arrays on the CPU).

    A file without a checksum, as earlier versions wrote it, is read all the same.

    Raises:
        ModelFileError: the file is missing, unreadable, cut off, damaged, or not one that `writer`
            wrote.
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
    # A name that we never write may be a damaged one, and the checksum's own.
    unknown = metadata.keys() - {"format", "config", "cell", "vocab", _CHECKSUM}
    if unknown or metadata.get(_CHECKSUM) not in (None, _checksum(arrays, metadata)):
        raise ModelFileError(
            f"{where} is damaged: what it holds is not what was written (its checksum is another). "
            "Copy or save it again."
        )
    return metadata, arrays


def _contradiction(path: str | Path, error: Exception) -> ModelFileError:
    """Return the error of a file whose parts do not belong together."""
    # The kind is named where Python or PyTorch speaks: KeyError says no more than the key.
    kind = "" if type(error) in (ValueError, VocabError) else f"{type(error).__name__}: "
    said = kind + next(iter(str(error).splitlines()), "")  # PyTorch adds where it stood, in lines
    return ModelFileError(f"{os.path.abspath(path)} contradicts itself: {said}")


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
    arrays = {name: torch.from_numpy(np.ascontiguousarray(w)) for name, w in weights.items()}
    write_whole(path, to_bytes(arrays, metadata))


def _check_scratch(weights: scratch.Weights, cell: scratch.Cell, vocab: Vocab) -> None:
    """Raise ValueError unless a NumPy network is whole, finite, and of the vocabulary's size."""
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
    """Read a file that `save_scratch` wrote: (weights, cell, vocabulary).

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
    if cell is scratch.CIFG:
        coupled = CoupledLSTM(D, H, L).to(dtype)
        _copy_layers(coupled, weights)
        layers.load_state_dict(coupled.lstm_weights())
    else:
        _copy_layers(layers, weights)
    return layers


def _copy_layers(layers: nn.Module, weights: scratch.Weights) -> None:
    """Copy recurrent weights; PyTorch keeps the matrices transposed, its second bias becomes 0."""
    names = {"weight_ih": "Wx", "weight_hh": "Wh", "bias_ih": "b"}
    for name, parameter in layers.named_parameters():
        kind, k = name.split("_l")
        if kind in names:
            parameter.data.copy_(torch.from_numpy(weights[f"{names[kind]}{k}"].T))
        else:
            parameter.data.zero_()


def from_scratch(weights: scratch.Weights, cell: scratch.Cell) -> CharRNN:
    """Return the CharRNN, on one-hot inputs, that computes what a NumPy network computes.

    Args:
        weights: as `scratch.init_weights` makes them; their dtype becomes the model's.
        cell: scratch.RNN, LSTM or CIFG.

    Raises:
        ValueError: a cell of your own, weights that are not whole, or a network whose inputs and
            outputs are not of one vocabulary.
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

    It has no dropout, PyTorch's two biases become their sum, and an embedding E becomes part of the
    first matrix: a one-hot vector times E times W is one-hot times (E W).

    Raises:
        ValueError: a GRU or a layer norm, which `scratch` has not.
    """
    missing = "layer norm" if model.config["output_norm"] else model.config["cell"]
    if missing not in scratch.CELLS:
        raise ValueError(f"There is no {missing} in lstmlib.scratch.")
    arrays = {name: p.detach().cpu().numpy().T for name, p in model.layers.named_parameters()}
    weights = {}
    for k in range(model.config["num_layers"]):
        weights[f"Wx{k}"], weights[f"Wh{k}"] = arrays[f"weight_ih_l{k}"], arrays[f"weight_hh_l{k}"]
        weights[f"b{k}"] = arrays[f"bias_ih_l{k}"] + arrays.get(f"bias_hh_l{k}", 0)
    if model.embedding is not None:
        weights["Wx0"] = model.embedding.weight.detach().cpu().numpy() @ weights["Wx0"]
    weights["Wy"] = model.output.weight.detach().cpu().numpy().T
    weights["by"] = model.output.bias.detach().cpu().numpy()
    copies = {name: np.array(array, order="C") for name, array in weights.items()}
    return copies, scratch.CELLS[model.config["cell"]]


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
