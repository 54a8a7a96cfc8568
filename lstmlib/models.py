"""The character-level network in PyTorch, its cells, and one LSTM in plain steps.

Sizes in comments: B sequences, T steps, D inputs, H units, L layers, V tokens.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstmlib.validation import check_choice, check_flag, check_number, check_whole
from lstmlib.vocab import Vocab

State = tuple[Tensor, ...]
"""(h, c) of an LSTM or a CIFG, (h,) of a GRU or an RNN, each (num_layers, batch, hidden_size)."""


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
            weights[name] = torch.cat([i, -i, g, o])  # PyTorch's order i, f, g, o
            if name.startswith("bias_ih"):  # PyTorch adds two biases; one is enough
                weights[name.replace("ih", "hh")] = torch.zeros_like(weights[name])  # (4H,)
        return weights

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the last layer's outputs (B, T, H) for inputs (B, T, D), and the state (h, c)."""
        # The fused LSTM is not listed, so train() and eval() do not reach it: it follows here.
        fused = self._fused[0].train(self.training)
        # Runs the module with these weights in place of its own. What comes out is a function of
        # the rows i, g, o, so their gradients come back through it.
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
    # (4H, D), (4H, H), (4H,) and (4H,). PyTorch's rows are units, so F.linear transposes.
    W_x, W_h, b_x, b_h = (weights[f"{name}_l{layer}"] for name in names)
    zeros = x.new_zeros(len(x), W_h.shape[1])  # (B, H)
    h, c = (zeros, zeros) if state is None else state  # (B, H) each
    outputs, gates = [], []
    # The input's share depends on no state, so it is one product for all steps: (B, T, 4H).
    for from_x in F.linear(x, W_x, b_x + b_h).unbind(1):  # (B, 4H)
        # One product serves all four blocks, in PyTorch's order i, f, g, o: (B, H) each.
        i, f, g, o = (from_x + F.linear(h, W_h)).chunk(4, dim=-1)
        # With σ a gate is a share from 0 to 1; the candidate g goes from -1 to 1.
        i, f, g, o = gate(i), gate(f), g.tanh(), gate(o)
        # The share f of the old memory stays, and the share i of the candidate comes in.
        c = f * c + i * g  # (B, H)
        h = o * c.tanh()  # (B, H)
        outputs.append(h)
        gates.append((i, f, g, o))
    # T outputs (B, H) become (B, T, H), since the batch comes first.
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
        # What a model file has to hold beside the weights, to build the same network again.
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
        self.dropout = nn.Dropout(dropout)  # behind the last layer
        self.norm = nn.LayerNorm(H) if output_norm else nn.Identity()  # (…, H)
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
        # bias.data[gate] is a view, (H,), so what fills it is written into the bias itself.
        for name, bias in self.layers.named_parameters():
            if name.startswith("bias_ih"):
                nn.init.constant_(bias.data[gate], value)
            elif name.startswith("bias_hh"):
                nn.init.constant_(bias.data[gate], 0.0)

    def embed(self, ids: Tensor) -> Tensor:
        """Return the input of the first layer, embeddings or one-hot vectors: (B, T, D)."""
        if self.embedding is not None:
            return self.embedding(ids)  # (B, T, E)
        # one_hot gives integers, and PyTorch's products of matrices take one dtype only.
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
        x = self.embed(ids)  # (B, T, D)
        if self.config["cell"] in ("gru", "rnn"):  # PyTorch gives their h as it is, not in a tuple
            hidden, h = self.layers(x, None if state is None else state[0])  # (B, T, H), (L, B, H)
            state = (h,)
        else:
            hidden, state = self.layers(x, state)  # (B, T, H), two of (L, B, H)
        # Every position predicts the character after it: T predictions of one pass.
        # Norm and dropout keep (B, T, H), and the output layer makes it (B, T, V).
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
    # In a union of dicts the later value of a name stands: here the checked one.
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
    # modules() begins with the model itself, and has each module before its parts.
    return next((module for module in model.modules() if isinstance(module, kind)), None)


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers of a model are trained."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def check_vocab(model: CharRNN, vocab: Vocab) -> None:
    """Raise ValueError if a vocabulary has not the size that the model was built for."""
    if len(vocab) != model.vocab_size:
        raise ValueError(
            f"The vocabulary has {len(vocab)} tokens, but the model was built for "
            f"{model.vocab_size}. Use the vocabulary that the model was trained with."
        )
