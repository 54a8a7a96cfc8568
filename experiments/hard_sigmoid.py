"""An LSTM whose gates are hard sigmoids, as Keras had them when case A was written."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstmlib.models import State, lstm_by_steps


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
        self.num_layers, self.dropout, self.gate = lstm.num_layers, lstm.dropout, gate
        for name, parameter in lstm.named_parameters():
            self.register_parameter(name, parameter)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run over inputs (B, T, D): outputs (B, T, H) of the last layer, and the last state.

        The state is (h, c), each (num_layers, B, H), as of torch.nn.LSTM; None starts at zero.
        """
        weights, last = dict(self.named_parameters()), []
        for k in range(self.num_layers):
            if k:  # between the layers, as torch.nn.LSTM has it
                x = F.dropout(x, self.dropout, self.training)  # (B, T, H)
            before = None if state is None else (state[0][k], state[1][k])  # (B, H) each
            x, after, _ = lstm_by_steps(x, before, weights, k, self.gate)  # (B, T, H)
            last.append(after)
        h, c = (torch.stack(parts) for parts in zip(*last, strict=True))  # (num_layers, B, H)
        return x, (h, c)
