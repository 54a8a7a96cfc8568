"""RNN, LSTM and CIFG in NumPy, with hand-written backward passes and their proof.

The modules follow the notebooks: one step (`cells`), one layer over time (`layers`), the whole
network (`network`), its training (`optimization`), and the proof (`proof`).

A layer is two pure functions, `forward -> (out, cache)` and `backward(dout, cache)`. One loop over
time serves all cells. A `Cell` computes a single step, from the pre-activation z on.

Sizes in comments: N sequences, T steps, D inputs, H units, G blocks of H columns (gates), L layers,
V tokens. Weights are a dict of arrays. Layer k = 0, 1, … has "Wx{k}" (D, G·H), "Wh{k}" (H, G·H) and
"b{k}" (G·H,). The output layer has "Wy" (H, V) and "by" (V,). A state is a tuple of arrays: (h,)
for the RNN, (h, c) for the LSTM and the CIFG. Each array is (N, H) for a layer and (L, N, H) for a
network. A name that begins with d is a gradient of the loss: dh is the one by h, of the shape of h.
Train in float32, check gradients in float64.
"""

from lstmlib.scratch.cells import CELLS, CIFG, LSTM, RNN, Cell, State, Weights, sigmoid
from lstmlib.scratch.layers import layer_backward, layer_forward
from lstmlib.scratch.network import (
    backward,
    check_weights,
    count_layers,
    evaluate,
    forward,
    init_weights,
    log_softmax,
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
from lstmlib.scratch.proof import (
    Agreement,
    agreement,
    complex_gradient,
    complex_step_check,
    gradient_check,
    numeric_gradient,
)

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
    "check_weights",
    "clip_by_global_norm",
    "clip_by_value",
    "complex_gradient",
    "complex_step_check",
    "count_layers",
    "evaluate",
    "forward",
    "gradient_check",
    "init_weights",
    "layer_backward",
    "layer_forward",
    "log_softmax",
    "numeric_gradient",
    "redraw_once",
    "sample",
    "sigmoid",
    "softmax",
    "softmax_cross_entropy",
    "train",
    "train_step",
    "zero_state",
]
