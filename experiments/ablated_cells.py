"""LSTM layers that lack one part each: the ablations of Greff et al. (2017), by their names.

Greff, Srivastava, Koutník, Steunebrink, Schmidhuber: LSTM: A Search Space Odyssey,
https://doi.org/10.1109/TNNLS.2016.2582924

Sizes in comments: B sequences, T steps, D inputs, H units.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstmlib.models import LAYERS, CharRNN, State

OPEN = 50.0
"""A bias at which a sigmoid is exactly 1, in float32 and in float64, whatever computes it."""


def _identity(z: Tensor) -> Tensor:
    return z


class FixedGateLSTM(nn.Module):
    """One LSTM layer of which one gate is always 1, so that it has no weights for it.

    PyTorch's fused LSTM runs it: the rows of that gate are zeros there, and its bias is OPEN.

    Args:
        lstm: one layer with batch_first=True; its parameters, by the same names and without the
            rows of the gate, become this module's: weight_ih_l0 (3H, D) and so on.
        block: which rows go, in PyTorch's order: 0 the input gate, 1 the forget gate, 3 the output
            gate.
    """

    def __init__(self, lstm: nn.LSTM, block: int) -> None:
        super().__init__()
        self.num_layers, self.block = 1, block
        # A tuple hides the fused layer's own parameters; on "meta" they take no memory.
        sizes = {"batch_first": True, "device": "meta"}
        self._fused = (nn.LSTM(lstm.input_size, lstm.hidden_size, **sizes),)
        for name, rows in lstm.named_parameters():
            kept = [part for k, part in enumerate(rows.detach().chunk(4)) if k != block]  # (H, …)
            self.register_parameter(name, nn.Parameter(torch.cat(kept)))  # (3H, …)

    def lstm_weights(self) -> dict[str, Tensor]:
        """Return the weights of the equal torch.nn.LSTM, by its names, (4H, …) each."""
        weights = {}
        for name, rows in self.named_parameters():
            parts = list(rows.chunk(3))  # (H, …) each
            # PyTorch adds bias_ih and bias_hh, so one of them is enough.
            value = OPEN if name.startswith("bias_ih") else 0.0
            parts.insert(self.block, torch.full_like(parts[0], value))
            weights[name] = torch.cat(parts)  # (4H, …)
        return weights

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the outputs (B, T, H) for inputs (B, T, D), and the state (h, c), (1, B, H)."""
        return torch.func.functional_call(self._fused[0], self.lstm_weights(), (x, state))


class SteppedLSTM(nn.Module):
    """One LSTM layer in plain steps, with other functions in the place of its two tanh.

    Args:
        lstm: one layer with batch_first=True; its parameters, by the same names, become this
            module's.
        candidate: the function of the candidate g.
        squash: the function that the cell goes through on its way to the output, h = o · squash(c).
    """

    def __init__(
        self,
        lstm: nn.LSTM,
        candidate: Callable[[Tensor], Tensor] = torch.tanh,
        squash: Callable[[Tensor], Tensor] = torch.tanh,
    ) -> None:
        super().__init__()
        self.num_layers, self.candidate, self.squash = 1, candidate, squash
        for name, parameter in lstm.named_parameters():
            self.register_parameter(name, parameter)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the outputs (B, T, H) for inputs (B, T, D), and the state (h, c), (1, B, H)."""
        zeros = x.new_zeros(len(x), self.weight_hh_l0.shape[1])  # (B, H)
        h, c = (zeros, zeros) if state is None else (state[0][0], state[1][0])
        from_inputs = F.linear(x, self.weight_ih_l0, self.bias_ih_l0 + self.bias_hh_l0)
        outputs = []
        for from_x in from_inputs.unbind(1):  # (B, 4H)
            i, f, g, o = (from_x + F.linear(h, self.weight_hh_l0)).chunk(4, dim=-1)  # (B, H) each
            c = f.sigmoid() * c + i.sigmoid() * self.candidate(g)
            h = o.sigmoid() * self.squash(c)
            outputs.append(h)
        return torch.stack(outputs, dim=1), (h[None], c[None])


ABLATED = {
    "nig": partial(FixedGateLSTM, block=0),
    "nfg": partial(FixedGateLSTM, block=1),
    "nog": partial(FixedGateLSTM, block=3),
    "niaf": partial(SteppedLSTM, candidate=_identity),
    "noaf": partial(SteppedLSTM, squash=_identity),
}
"""Name of Greff et al. -> the layer, made from a torch.nn.LSTM: no input, forget or output gate; no
input or output activation function, which is the tanh of the candidate or of the cell."""
CELLS = (*LAYERS, *ABLATED)
"""What `build` makes. Of Greff et al. also "cifg", coupled input and forget gate."""


def build(
    cell: str, vocab_size: int, hidden_size: int, embedding_size: int | None = None
) -> CharRNN:
    """Return a new network of one layer with one of CELLS, its weights drawn as CharRNN's are."""
    plain = cell if cell in LAYERS else "lstm"
    model = CharRNN(vocab_size, hidden_size, 1, embedding_size, cell=plain)
    if cell in ABLATED:
        model.layers = ABLATED[cell](model.layers)
    return model
