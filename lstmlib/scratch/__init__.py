"""RNN, LSTM and CIFG in NumPy, with hand-written backward passes and their proof.

The modules follow the notebooks: one step (`cells`), one layer over time (`layers`), the whole
network (`network`), its training (`optimization`), and the proof (`proof`).
"""

from lstmlib.scratch.cells import CELLS, CIFG, LSTM, RNN, Cell, State, Weights, sigmoid
from lstmlib.scratch.layers import by_batch, layer_backward, layer_forward, over_time
from lstmlib.scratch.network import (
    backward,
    check_weights,
    count_layers,
    evaluate,
    forward,
    init_weights,
    redraw_once,
    sample,
    softmax,
    softmax_cross_entropy,
    zero_state,
)
from lstmlib.scratch.optimization import (
    OPTIMIZERS,
    SGD,
    AdaGrad,
    Adam,
    Momentum,
    Optimizer,
    RMSprop,
    clip_by_global_norm,
    clip_by_value,
    train,
    train_step,
)
from lstmlib.scratch.proof import Agreement, agreement, gradient_check, numeric_gradient

__all__ = [
    "CELLS",
    "CIFG",
    "LSTM",
    "OPTIMIZERS",
    "RNN",
    "SGD",
    "AdaGrad",
    "Adam",
    "Agreement",
    "Cell",
    "Momentum",
    "Optimizer",
    "RMSprop",
    "State",
    "Weights",
    "agreement",
    "backward",
    "by_batch",
    "check_weights",
    "clip_by_global_norm",
    "clip_by_value",
    "count_layers",
    "evaluate",
    "forward",
    "gradient_check",
    "init_weights",
    "layer_backward",
    "layer_forward",
    "numeric_gradient",
    "over_time",
    "redraw_once",
    "sample",
    "sigmoid",
    "softmax",
    "softmax_cross_entropy",
    "train",
    "train_step",
    "zero_state",
]
