"""A network that reads a prompt, and then takes one character at a time.

On the CPU the steps of an LSTM, a CIFG or an RNN are computed here, several times as fast as by
calls of the model, which serve all else (benchmarks/generation.py measures both).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstmlib.models import CharRNN, CoupledLSTM, State

AT_ONCE = 4096
"""Characters of a text that a network reads in one call; of these it keeps every state."""


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, without gradients, and every part back in the end."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, was_training in modes:
            module.training = was_training


def _numpy(logits: Tensor) -> np.ndarray:
    """Return logits in NumPy, in 32 bits if they have 16, which NumPy cannot do for bfloat16."""
    logits = logits.cpu()
    return (logits if logits.dtype == torch.float64 else logits.float()).numpy()


def read(model: CharRNN, contexts: Sequence[np.ndarray]) -> tuple[np.ndarray, State]:
    """Read several texts, each different one once, from a state of zeros.

    A long text is read in pieces of `AT_ONCE` characters, in no more memory than one piece takes.

    Args:
        model: a network, on any device.
        contexts: ids (T,) of each of N texts, which may be of different lengths.

    Returns:
        Logits (N, V) of the character after each, and the state after its last one, parts
        (num_layers, N, hidden_size).

    Raises:
        ValueError: a text is empty.
    """
    device, answers = next(model.parameters()).device, {}
    with _evaluating(model):
        for ids in contexts:
            if ids.tobytes() not in answers:
                for logits, state in _pieces(model, ids, device):
                    answer = logits[:, -1].clone(), state  # not the whole piece behind a view
                answers[ids.tobytes()] = answer
    found = [answers[ids.tobytes()] for ids in contexts]
    parts = zip(*(state for _, state in found), strict=True)
    state = tuple(torch.cat(part, dim=1) for part in parts)
    return _numpy(torch.cat([logits for logits, _ in found])), state


def read_through(model: CharRNN, ids: np.ndarray) -> np.ndarray:
    """Read one text, ids (T,), from a state of zeros; return the logits after each id, (T, V).

    Raises:
        ValueError: the text is empty.
    """
    device = next(model.parameters()).device
    with _evaluating(model):
        read = [_numpy(logits[0]) for logits, _ in _pieces(model, ids, device)]
    return np.concatenate(read)


def _pieces(
    model: CharRNN, ids: np.ndarray, device: torch.device
) -> Iterator[tuple[Tensor, State]]:
    """Read a text, ids (T,), piece by piece; yield the logits (1, t, V) of each, and the state."""
    if not len(ids):
        raise ValueError("The text is empty; give at least one character to read.")
    state = None  # which is one of zeros
    for start in range(0, len(ids), AT_ONCE):
        piece = torch.from_numpy(ids[start : start + AT_ONCE])[None].to(device)
        logits, state = model(piece, state)
        yield logits, state


def stepper_for(model: CharRNN, state: State) -> "FusedSteps | ModelSteps":
    """Return what takes the steps of a model fastest."""
    return (FusedSteps if _is_plain(model) else ModelSteps)(model, state)


def _is_plain(model: CharRNN) -> bool:
    """Say whether a network is on the CPU, and of the parts that `FusedSteps` knows."""
    known = {
        "layers": (nn.LSTM, nn.RNN, CoupledLSTM),
        "embedding": (nn.Embedding, type(None)),
        "dropout": (nn.Dropout,),
        "norm": (nn.LayerNorm, nn.Identity),
        "output": (nn.Linear,),
    }
    if type(model) is not CharRNN or next(model.parameters()).device.type != "cpu":
        return False
    if any(type(getattr(model, name)) not in types for name, types in known.items()):
        return False
    # As CharRNN makes them: with biases, and the RNN with tanh.
    whole = {"bias": True, "mode": "RNN_TANH" if type(model.layers) is nn.RNN else "LSTM"}
    as_made = all(getattr(model.layers, name, value) == value for name, value in whole.items())
    affine = getattr(model.norm, "elementwise_affine", True)
    return as_made and affine and model.output.bias is not None


class ModelSteps:
    """Steps that call the model: any cell, any device.

    Args:
        model: the network.
        state: what the steps start from, parts (num_layers, N, hidden_size).
    """

    def __init__(self, model: CharRNN, state: State) -> None:
        self.model, self.state = model, state
        self.device = next(model.parameters()).device

    def step(self, ids: np.ndarray) -> np.ndarray:
        """Read one character of each text, ids (N,); return the logits of the next, (N, V)."""
        with _evaluating(self.model):
            ids = torch.from_numpy(ids)[:, None].to(self.device)
            logits, self.state = self.model(ids, self.state)
        return _numpy(logits[:, 0])

    def select(self, rows: np.ndarray) -> None:
        """Go on with some of the texts only."""
        rows = torch.from_numpy(rows).to(self.device)
        self.state = tuple(part[:, rows] for part in self.state)


class FusedSteps:
    """Steps of an LSTM, a CIFG or an RNN on the CPU, with the weights that the model has now.

    They compute what the model computes in evaluation mode, in float32, or in float64 if the model
    is of that. Four things make them fast. The first layer's input product is a row of a table that
    has one for each token. Each hidden state is multiplied once, by the matrix of its own next step
    and by what reads it above, side by side. Since σ(z) = (1 + tanh(z/2)) / 2, one tanh serves all
    gates. And everything is written into arrays that are made once.

    Args and methods are those of `ModelSteps`.
    """

    def __init__(self, model: CharRNN, state: State) -> None:
        self.is_lstm = not isinstance(model.layers, nn.RNN)
        self.hidden_size = model.config["hidden_size"]
        self.eps = model.norm.eps if isinstance(model.norm, nn.LayerNorm) else None
        double = model.output.weight.dtype == torch.float64
        self.dtype = torch.float64 if double else torch.float32
        with torch.no_grad():
            self._lay_out(model)
        self._start([part.detach().to(self.dtype) for part in state])

    def _lay_out(self, model: CharRNN) -> None:
        """Lay out a copy of the weights as the steps read them."""
        recurrent, embedding = model.layers, model.embedding
        named = (
            recurrent.lstm_weights() if type(recurrent) is CoupledLSTM else recurrent.state_dict()
        )
        w = {name: weight.to(self.dtype) for name, weight in named.items()}
        layers = range(model.config["num_layers"])
        up, own = (
            [self._gated(w[f"weight_{kind}_l{k}"].T) for k in layers] for kind in ("ih", "hh")
        )
        bias = [self._gated(w[f"bias_ih_l{k}"] + w[f"bias_hh_l{k}"]) for k in layers]
        read = up[0] if embedding is None else embedding.weight.to(self.dtype) @ up[0]
        self.table = (read + bias[0]).numpy()  # (V, 4H)
        output, shift = (part.detach().to(self.dtype) for part in model.output.parameters())
        if self.eps is not None:  # the layer norm's own weights become part of the output layer
            shift = shift + output @ model.norm.bias.to(self.dtype)
            output = output * model.norm.weight.to(self.dtype)
        above, above_bias = [*up[1:], output.T], [*bias[1:], shift]
        if self.eps is not None:  # what is normed is multiplied by itself
            self.output, self.output_bias = above.pop().contiguous(), above_bias.pop().clone()
        none = torch.zeros_like(bias[0])
        self.matrices = [torch.cat([own[k], *above[k : k + 1]], dim=1) for k in layers]
        self.biases = [torch.cat([none, *above_bias[k : k + 1]]) for k in layers]

    def _gated(self, rows: Tensor) -> Tensor:
        """Return what (…, 4H) gives the gates i f g o, in the order i f o g, and z/2 for i f o."""
        if not self.is_lstm:
            return rows
        i, f, g, o = rows.chunk(4, dim=-1)
        return torch.cat([i / 2, f / 2, o / 2, g], dim=-1)

    def _start(self, state: list[Tensor]) -> None:
        """Make the arrays that the steps write into, for a state (num_layers, N, H)."""
        (count, H), width = state[0].shape[1:], self.table.shape[1]
        self.h = [layer.clone() for layer in state[0]]
        self.products = [
            torch.addmm(bias, h, matrix)  # (N, 4H), and (N, …) for what is above
            for bias, h, matrix in zip(self.biases, self.h, self.matrices, strict=True)
        ]
        # NumPy's views of all these, made once.
        self.c = [layer.clone().numpy() for layer in state[-1]]
        self.h_views = [h.numpy() for h in self.h]
        self.own = [product.numpy()[:, :width] for product in self.products]
        self.above = [product.numpy()[:, width:] for product in self.products]
        self.z = np.empty((count, width), self.table.dtype)
        self.gates = self.z[:, : 3 * H]
        self.i, self.f, self.o, self.g = (self.z[:, k * H : (k + 1) * H] for k in range(4))
        self.work = np.empty((count, H), self.table.dtype)

    def step(self, ids: np.ndarray) -> np.ndarray:
        """Read one character of each text, ids (N,); return the logits of the next, (N, V)."""
        below, z = self.table[ids], self.z
        for k, own in enumerate(self.own):
            np.add(below, own, out=z)
            if self.is_lstm:
                np.tanh(z, out=z)
                self._remember(self.c[k], self.h_views[k])
            else:
                np.tanh(z, out=self.h_views[k])
            torch.addmm(self.biases[k], self.h[k], self.matrices[k], out=self.products[k])
            below = self.above[k]
        if self.eps is None:
            return below.copy()  # the next step writes over it
        normed = F.layer_norm(self.h[-1], (self.hidden_size,), eps=self.eps)
        return torch.addmm(self.output_bias, normed, self.output).numpy()

    def _remember(self, c: np.ndarray, h: np.ndarray) -> None:
        """Write the next c and h, (N, H) each, from the tanh in z."""
        gates, work = self.gates, self.work
        np.multiply(gates, 0.5, out=gates)
        np.add(gates, 0.5, out=gates)
        np.multiply(c, self.f, out=c)
        np.multiply(self.i, self.g, out=work)
        np.add(c, work, out=c)
        np.tanh(c, out=work)
        np.multiply(self.o, work, out=h)

    def select(self, rows: np.ndarray) -> None:
        """Go on with some of the texts only."""
        rows = torch.from_numpy(rows)
        h, c = torch.stack(self.h), torch.from_numpy(np.stack(self.c))
        self._start([h[:, rows], c[:, rows]])
