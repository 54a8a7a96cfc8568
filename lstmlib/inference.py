"""A network that reads a prompt, and then takes one character at a time.

On the CPU the steps of an LSTM, a CIFG or an RNN are computed here, several times as fast as by
calls of the model, which serve all else (benchmarks/generation.py measures both).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from lstmlib.models import CharRNN, CoupledLSTM, State


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, without gradients, and back into its own in the end."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def read(model: CharRNN, contexts: Sequence[np.ndarray]) -> tuple[Tensor, State]:
    """Read several texts, each different one once, from a state of zeros.

    Args:
        model: a network, on any device.
        contexts: ids (T,) of each of N texts, which may be of different lengths.

    Returns:
        Logits (N, V) of the character after each, and the state after its last one, parts
        (num_layers, N, hidden_size).
    """
    device, answers = next(model.parameters()).device, {}
    with _evaluating(model):
        for ids in contexts:
            if ids.tobytes() not in answers:
                logits, state = model(torch.from_numpy(ids)[None].to(device))
                answers[ids.tobytes()] = logits[:, -1], state
    found = [answers[ids.tobytes()] for ids in contexts]
    parts = zip(*(state for _, state in found), strict=True)
    state = tuple(torch.cat(part, dim=1) for part in parts)
    return torch.cat([logits for logits, _ in found]), state


def stepper_for(model: CharRNN, state: State) -> "FusedSteps | ModelSteps":
    """Return what takes the steps of a model fastest."""
    return (FusedSteps if _is_plain(model) else ModelSteps)(model, state)


def _is_plain(model: CharRNN) -> bool:
    """Say whether a network is on the CPU, and of the parts that `FusedSteps` knows."""
    known = {
        "layers": (nn.LSTM, nn.RNN, CoupledLSTM),
        "embedding": (nn.Embedding, type(None)),
        "norm": (nn.LayerNorm, nn.Identity),
        "output": (nn.Linear,),
    }
    parts_are_known = all(type(getattr(model, name)) in types for name, types in known.items())
    on_cpu = next(model.parameters()).device.type == "cpu"
    return type(model) is CharRNN and parts_are_known and on_cpu


class ModelSteps:
    """Steps that call the model: any cell, any device.

    Args:
        model: the network.
        state: what the steps start from, parts (num_layers, N, hidden_size).
    """

    def __init__(self, model: CharRNN, state: State) -> None:
        self.model, self.state = model, state
        self.device = next(model.parameters()).device

    def step(self, ids: np.ndarray) -> Tensor:
        """Read one character of each text, ids (N,); return the logits of the next, (N, V)."""
        with _evaluating(self.model):
            ids = torch.from_numpy(ids)[:, None].to(self.device)
            logits, self.state = self.model(ids, self.state)
        return logits[:, 0]

    def select(self, rows: np.ndarray) -> None:
        """Go on with some of the texts only."""
        rows = torch.from_numpy(rows).to(self.device)
        self.state = tuple(part[:, rows] for part in self.state)


class FusedSteps:
    """Steps of an LSTM, a CIFG or an RNN on the CPU, with the weights that the model has now.

    They compute what the model computes in evaluation mode, in float32, or in float64 if the model
    is of that. Four things make them fast. The first layer's input product is a row of a table that
    has one for each token. Each hidden state is multiplied once, by the matrix of its own next step
    and that of the layer above side by side. Since σ(z) = (1 + tanh(z/2)) / 2, one tanh serves all
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
        self._start([part.to(self.dtype) for part in state])

    def _lay_out(self, model: CharRNN) -> None:
        """Lay out a copy of the weights as the steps read them."""
        recurrent = model.layers
        named = (
            recurrent.lstm_weights() if type(recurrent) is CoupledLSTM else recurrent.state_dict()
        )
        w = {name: weight.to(self.dtype) for name, weight in named.items()}
        H, layers = self.hidden_size, range(model.config["num_layers"])
        scale = torch.ones(4 * H if self.is_lstm else H, dtype=self.dtype)
        if self.is_lstm:
            scale[: 2 * H] = scale[3 * H :] = 0.5  # the z/2 of the gates i, f and o; g is a tanh
        up = [(w[f"weight_ih_l{k}"].T * scale) for k in layers]
        own = [(w[f"weight_hh_l{k}"].T * scale) for k in layers]
        bias = [(w[f"bias_ih_l{k}"] + w[f"bias_hh_l{k}"]) * scale for k in layers]
        embedding = model.embedding
        read = up[0] if embedding is None else embedding.weight.to(self.dtype) @ up[0]
        self.table = (read + bias[0]).numpy()  # (V, 4H)
        none = torch.zeros_like(bias[0])
        self.matrices = [torch.cat([own[k], *up[k + 1 : k + 2]], dim=1) for k in layers]
        self.biases = [torch.cat([none, *bias[k + 1 : k + 2]]) for k in layers]
        output, shift = (part.detach().to(self.dtype) for part in model.output.parameters())
        if self.eps is not None:  # the layer norm's own weights become part of the output layer
            shift = shift + output @ model.norm.bias.to(self.dtype)
            output = output * model.norm.weight.to(self.dtype)
        self.output, self.output_bias = output.T.contiguous(), shift.clone()

    def _start(self, state: list[Tensor]) -> None:
        """Make the arrays that the steps write into, for a state (num_layers, N, H)."""
        (count, H), width = state[0].shape[1:], self.table.shape[1]
        self.h = [layer.clone() for layer in state[0]]
        self.products = [
            torch.addmm(bias, h, matrix)  # (N, 4H), and (N, 4H) more for the layer above
            for bias, h, matrix in zip(self.biases, self.h, self.matrices, strict=True)
        ]
        self.z = np.empty((count, width), self.table.dtype)
        self.work = np.empty((count, H), self.table.dtype)
        # Views of all these, made once: (h, c, product for itself, product for the layer above).
        cells = [layer.clone().numpy() for layer in state[-1]]
        made = [product.numpy() for product in self.products]
        self.views = [
            (h.numpy(), c, product[:, :width], product[:, width:])
            for h, c, product in zip(self.h, cells, made, strict=True)
        ]
        self.gates = [self.z[:, k * H : (k + 1) * H] for k in range(4)]  # i, f, g, o

    def step(self, ids: np.ndarray) -> np.ndarray:
        """Read one character of each text, ids (N,); return the logits of the next, (N, V)."""
        below = self.table[ids]
        for k, (h, c, own, above) in enumerate(self.views):
            np.add(below, own, out=self.z)
            np.tanh(self.z, out=self.z)
            if self.is_lstm:
                self._gates(h, c)
            else:
                np.copyto(h, self.z)
            torch.addmm(self.biases[k], self.h[k], self.matrices[k], out=self.products[k])
            below = above
        return torch.addmm(self.output_bias, self._normed(self.h[-1]), self.output).numpy()

    def _gates(self, h: np.ndarray, c: np.ndarray) -> None:
        """Write the next h and c, (N, H) each, from the tanh of all gates."""
        i, f, g, o = self.gates
        for gate in (i, f, o):
            gate += 1  # twice the gate
        np.multiply(i, g, out=self.work)
        c *= f
        c += self.work
        c *= 0.5
        np.tanh(c, out=self.work)
        np.multiply(o, self.work, out=h)
        h *= 0.5

    def _normed(self, h: Tensor) -> Tensor:
        """Return what the output layer reads, (N, H)."""
        if self.eps is None:
            return h
        return torch.nn.functional.layer_norm(h, h.shape[-1:], eps=self.eps)

    def select(self, rows: np.ndarray) -> None:
        """Go on with some of the texts only."""
        rows = torch.from_numpy(rows)
        h = torch.stack(self.h)[:, rows]
        c = torch.stack([torch.from_numpy(c) for _, c, *_ in self.views])[:, rows]
        self._start([h, c])
