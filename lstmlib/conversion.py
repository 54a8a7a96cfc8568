"""The same weights in NumPy and in PyTorch.

Sizes in comments: N sequences, T steps, D inputs, H units, G blocks of H rows, L layers, V tokens,
E numbers of an embedding.
"""

import numpy as np
import torch
from torch import nn

from lstmlib import scratch
from lstmlib.models import CharRNN, CoupledLSTM


def check_network(weights: scratch.Weights, cell: scratch.Cell) -> None:
    """Raise ValueError unless the cell is one of scratch.CELLS, and the weights a network of it."""
    if scratch.CELLS.get(cell.name) is not cell:
        names = ", ".join(scratch.CELLS)
        raise ValueError(f"The cell must be one of {names}, not one of your own.")
    scratch.forward(weights, cell, np.zeros((1, 1), dtype=int))  # raises unless the sizes agree


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
    check_network(weights, cell)
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


def from_numpy(weights: scratch.Weights, cell: scratch.Cell) -> CharRNN:
    """Return the CharRNN, on one-hot inputs, that computes what a NumPy network computes.

    Args:
        weights: as `scratch.init_weights` makes them; their dtype becomes the model's.
        cell: scratch.RNN, LSTM or CIFG.

    Raises:
        ValueError: the cell is another one, the weights are not complete, or the network reads and
            predicts different numbers of tokens.
    """
    check_network(weights, cell)
    V, H, L = len(weights["Wx0"]), len(weights["Wh0"]), scratch.count_layers(weights)
    if len(weights["by"]) != V:
        raise ValueError(f"The network reads {V} tokens and predicts {len(weights['by'])}.")
    model = CharRNN(V, H, L, cell=cell.name).to(torch.from_numpy(weights["Wy"]).dtype)
    _copy_layers(model.layers, weights)
    model.output.weight.data.copy_(torch.from_numpy(weights["Wy"].T))
    model.output.bias.data.copy_(torch.from_numpy(weights["by"]))
    return model


def to_numpy(model: CharRNN) -> tuple[scratch.Weights, scratch.Cell]:
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
