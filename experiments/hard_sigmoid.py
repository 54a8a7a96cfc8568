"""An LSTM whose gates are hard sigmoids, as Keras had them when case A was written."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = tuple[Tensor, Tensor]


def hard_sigmoid(z: Tensor) -> Tensor:
    """Return min(max(0.2 z + 0.5, 0), 1), of the shape and dtype of z.

    torch.nn.functional.hardsigmoid is another one: its slope is 1/6.
    """
    return (0.2 * z + 0.5).clamp(0, 1)


class HardSigmoidLSTM(nn.Module):
    """The layers of a torch.nn.LSTM (Hochreiter & Schmidhuber 1997), with other gates.

    Args:
        lstm: layers with batch_first=True; its parameters, by the same names, become this module's.
        gate: what stands in the place of the sigmoid in the input, forget and output gates.
    """

    def __init__(self, lstm: nn.LSTM, gate: Callable[[Tensor], Tensor] = hard_sigmoid) -> None:
        super().__init__()
        self.hidden_size, self.num_layers = lstm.hidden_size, lstm.num_layers
        self.dropout, self.gate = lstm.dropout, gate
        for name, parameter in lstm.named_parameters():
            self.register_parameter(name, parameter)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run over inputs (B, T, D): outputs (B, T, H) of the last layer, and the last state.

        The state is (h, c), each (num_layers, B, H), as of torch.nn.LSTM; None starts at zero.
        """
        if state is None:
            zeros = x.new_zeros(self.num_layers, len(x), self.hidden_size)  # (num_layers, B, H)
            state = (zeros, zeros)
        last = []
        for k in range(self.num_layers):
            if k:  # between the layers, as torch.nn.LSTM has it
                x = F.dropout(x, self.dropout, self.training)  # (B, T, H)
            x, h, c = self._layer(k, x, state[0][k], state[1][k])
            last.append((h, c))
        h, c = (torch.stack(parts) for parts in zip(*last, strict=True))  # (num_layers, B, H)
        return x, (h, c)

    def _layer(self, k: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run one layer: outputs (B, T, H), and h and c, (B, H), after the last step."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        W_x, W_h, b_x, b_h = (getattr(self, f"{name}_l{k}") for name in names)
        outputs = []
        # One product for all steps, (B, T, 4H): of the input it needs no step's result.
        for from_input in F.linear(x, W_x, b_x + b_h).unbind(1):  # (B, 4H)
            z = from_input + F.linear(h, W_h)  # (B, 4H)
            i, f, _, o = self.gate(z).chunk(4, dim=1)  # (B, H) each, in PyTorch's order i, f, g, o
            g = z.chunk(4, dim=1)[2].tanh()  # (B, H), the candidate, which has no gate's curve
            c = f * c + i * g  # (B, H)
            h = o * c.tanh()  # (B, H)
            outputs.append(h)
        return torch.stack(outputs, dim=1), h, c
