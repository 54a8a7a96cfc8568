"""Reading a prompt, and then the steps of generation: one character in, the next logits out.

The module exists for one latency: that of a single character on a CPU. In such a step the overhead
of the calls is larger than the arithmetic. `FusedDecoder` therefore makes few calls, and writes
into arrays that it made once. `ModelDecoder` calls the model at every step. It serves all other
cells and devices. benchmarks/generation.json holds the measured speed of `generate()` with each of
the two.

Sizes in comments: N texts, T characters, H units, L layers, V tokens.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstmlib.models import CharRNN, CoupledLSTM, State

AT_ONCE = 4096
"""Characters that a network reads in one call. It keeps the outputs of all of them in memory."""


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Hold a model in evaluation mode without gradients; then give every part its mode back."""
    # Of each part, not of the whole: somebody may have set the mode of one part alone.
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, was_training in modes:
            module.training = was_training


def _numpy(logits: Tensor) -> np.ndarray:
    """Return logits as a NumPy array, float64 if they are that, else float32.

    NumPy has no bfloat16.
    """
    logits = logits.cpu()
    return (logits if logits.dtype == torch.float64 else logits.float()).numpy()


def prefill(model: CharRNN, contexts: Sequence[np.ndarray]) -> tuple[np.ndarray, State]:
    """Read several texts from a state of zeros. Equal texts are read once.

    A long text is read in pieces of `AT_ONCE` characters, so that the memory is that of one piece.

    Args:
        model: a network, on any device.
        contexts: N texts as ids, (T,) int64 each. Their lengths may differ.

    Returns:
        logits: those of the character after each text, (N, V).
        state: the state after the last character of each text, parts (L, N, H).

    Raises:
        ValueError: a text is empty.
    """
    device, answers = next(model.parameters()).device, {}  # ids as bytes -> (logits, state)
    with _evaluating(model):
        for ids in contexts:
            if ids.tobytes() not in answers:
                # Each piece overwrites the answer of the one before; the last one's remains.
                for logits, state in _pieces(model, ids, device):
                    answer = logits[:, -1].clone(), state  # a view would keep the whole piece
                answers[ids.tobytes()] = answer  # (1, V), and parts (L, 1, H)
    by_text = [answers[ids.tobytes()] for ids in contexts]  # N pairs
    # From N states (h, c) to N times h and N times c.
    parts = zip(*(state for _, state in by_text), strict=True)
    state = tuple(torch.cat(part, dim=1) for part in parts)  # (L, N, H) each
    # N of (1, V) become (N, V).
    return _numpy(torch.cat([logits for logits, _ in by_text])), state


def read_through(model: CharRNN, ids: np.ndarray) -> np.ndarray:
    """Read one text, ids (T,), from a state of zeros; return the logits after each id, (T, V).

    Raises:
        ValueError: the text is empty.
    """
    device = next(model.parameters()).device
    with _evaluating(model):
        pieces = [_numpy(logits[0]) for logits, _ in _pieces(model, ids, device)]  # (t, V) each
    return np.concatenate(pieces)  # (T, V)


def _pieces(
    model: CharRNN, ids: np.ndarray, device: torch.device
) -> Iterator[tuple[Tensor, State]]:
    """Read a text, ids (T,), in pieces of t ≤ AT_ONCE characters.

    Yields:
        (logits (1, t, V), state after the piece, parts (L, 1, H)).
    """
    if not len(ids):
        raise ValueError("The text is empty; give at least one character to read.")
    state = None  # stands for zeros
    for start in range(0, len(ids), AT_ONCE):
        piece = torch.from_numpy(ids[start : start + AT_ONCE])[None].to(device)  # (1, t)
        # The state goes on, so the pieces together are one reading of the text.
        logits, state = model(piece, state)
        yield logits, state


def make_decoder(model: CharRNN, state: State) -> "FusedDecoder | ModelDecoder":
    """Return the fastest decoder that a model allows, `FusedDecoder` or `ModelDecoder`.

    Args:
        model: the network.
        state: the state to start from, parts (L, N, H).
    """
    return (FusedDecoder if is_plain(model) else ModelDecoder)(model, state)


def is_plain(model: CharRNN) -> bool:
    """Say whether `FusedDecoder` can compute a network: on the CPU, and made as CharRNN makes it.

    A reader may have replaced a part, for example by an LSTM with other gates. Then the model
    itself must be called.
    """
    known = {
        "layers": (nn.LSTM, nn.RNN, CoupledLSTM),
        "embedding": (nn.Embedding, type(None)),
        "dropout": (nn.Dropout,),
        "norm": (nn.LayerNorm, nn.Identity),
        "output": (nn.Linear,),
    }
    # A subclass may compute something else. So types are compared; isinstance would let it in.
    if type(model) is not CharRNN or next(model.parameters()).device.type != "cpu":
        return False
    if any(type(getattr(model, name)) not in types for name, types in known.items()):
        return False
    # CharRNN's own parts have biases, and its RNN has tanh.
    whole = {"bias": True, "mode": "RNN_TANH" if type(model.layers) is nn.RNN else "LSTM"}
    # A CoupledLSTM has neither attribute, and passes by the default of getattr.
    as_made = all(getattr(model.layers, name, value) == value for name, value in whole.items())
    affine = getattr(model.norm, "elementwise_affine", True)
    return as_made and affine and model.output.bias is not None


class ModelDecoder:
    """Steps of generation by calls of the model, for any cell on any device.

    Args:
        model: the network.
        state: the state to start from, parts (L, N, H).
    """

    def __init__(self, model: CharRNN, state: State) -> None:
        self.model, self.state = model, state
        self.device = next(model.parameters()).device

    def step(self, ids: np.ndarray) -> np.ndarray:
        """Read one character of each text, ids (N,); return the logits of the next, (N, V)."""
        with _evaluating(self.model):
            ids = torch.from_numpy(ids)[:, None].to(self.device)  # (N, 1)
            # The state goes into the next call. Reset at each character, the network would have
            # forgotten the text that it goes on with.
            logits, self.state = self.model(ids, self.state)
        return _numpy(logits[:, 0])  # (N, 1, V) -> (N, V)

    def select(self, rows: np.ndarray) -> None:
        """Go on with some of the texts only; rows (M,) holds their numbers."""
        rows = torch.from_numpy(rows).to(self.device)
        self.state = tuple(part[:, rows] for part in self.state)  # (L, M, H) each


class FusedDecoder:
    """Steps of generation of an LSTM, a CIFG or an RNN on the CPU, in few calls.

    The steps compute what the model computes in evaluation mode. The weights are those that the
    model has when this is made. The arithmetic is float64 if the model's is, else float32.

    Four things make the steps fast:
        1. The product of a one-hot input and a matrix is a row of the matrix. So the first layer's
           input product is a row of a table with one row for each token.
        2. Two matrices read a hidden state: its own layer's recurrent matrix at the next step, and
           the matrix of the layer above now. They stand side by side, and one product serves both.
        3. σ(z) = (1 + tanh(z/2)) / 2, so one call of tanh serves all four gates.
        4. Every result is written into an array that was made once.

    The arguments and methods are those of `ModelDecoder`.
    """

    def __init__(self, model: CharRNN, state: State) -> None:
        self.is_lstm = not isinstance(model.layers, nn.RNN)
        self.hidden_size = model.config["hidden_size"]
        self.eps = model.norm.eps if isinstance(model.norm, nn.LayerNorm) else None
        double = model.output.weight.dtype == torch.float64
        self.dtype = torch.float64 if double else torch.float32
        # The tables are products of weights, whose gradients nobody asks for.
        with torch.no_grad():
            self._lay_out(model)
        self._start([part.detach().to(self.dtype) for part in state])

    def _lay_out(self, model: CharRNN) -> None:
        """Copy the weights into the layout that the steps read; G is 4 gates, or 1 in an RNN."""
        recurrent, embedding = model.layers, model.embedding
        named = (
            recurrent.lstm_weights() if type(recurrent) is CoupledLSTM else recurrent.state_dict()
        )
        # PyTorch's (G·H, D), transposed below: h times a matrix gives a row for each text.
        w = {name: weight.to(self.dtype) for name, weight in named.items()}
        layers = range(model.config["num_layers"])
        up, own = (  # of each layer: up (D, G·H) reads the layer below, own (H, G·H) its own h
            [self._gated(w[f"weight_{kind}_l{k}"].T) for k in layers] for kind in ("ih", "hh")
        )
        bias = [self._gated(w[f"bias_ih_l{k}"] + w[f"bias_hh_l{k}"]) for k in layers]  # (G·H,)
        # Row v is the first layer's input product for token v: (V, E) @ (E, G·H), or up[0] itself.
        inputs = up[0] if embedding is None else embedding.weight.to(self.dtype) @ up[0]
        self.table = (inputs + bias[0]).numpy()  # (V, G·H)
        # The output layer's weight (V, H) and bias (V,).
        output, shift = (part.detach().to(self.dtype) for part in model.output.parameters())
        if self.eps is not None:
            # W (n · w + b) + s = (W · w) n + (W b + s): the norm's own weight w and bias b become
            # part of the output layer, and a step computes n alone.
            shift = shift + output @ model.norm.bias.to(self.dtype)  # (V,)
            output = output * model.norm.weight.to(self.dtype)  # (V, H)
        # The matrix that reads each layer's h from above: the next layer's, at the top the output.
        # (H, G·H) each and (H, V); their biases (G·H,) and (V,).
        above, above_bias = [*up[1:], output.T], [*bias[1:], shift]
        if self.eps is not None:  # the output layer reads the normed h: a product of its own
            self.output, self.output_bias = above.pop().contiguous(), above_bias.pop().clone()
        none = torch.zeros_like(bias[0])  # the layer's own bias came in from below
        # (H, G·H + the width above). A slice of one, since behind a norm nothing stands above.
        self.matrices = [torch.cat([own[k], *above[k : k + 1]], dim=1) for k in layers]
        # (G·H + the width above,).
        self.biases = [torch.cat([none, *above_bias[k : k + 1]]) for k in layers]

    def _gated(self, rows: Tensor) -> Tensor:
        """Return gate blocks (…, 4H) in another order, with z/2 in place of z for the gates.

        The order i, f, o, g puts the three gates side by side, so that one call scales them all.
        The weights are halved here once, and not z at every step.
        """
        if not self.is_lstm:
            return rows  # an RNN has one block, and no gate
        i, f, g, o = rows.chunk(4, dim=-1)  # (…, H) each
        return torch.cat([i / 2, f / 2, o / 2, g], dim=-1)

    def _start(self, state: list[Tensor]) -> None:
        """Make the arrays that the steps write into, for a state with parts (L, N, H)."""
        # N, H, and G·H.
        (count, H), width = state[0].shape[1:], self.table.shape[1]
        self.h = [layer.clone() for layer in state[0]]  # (N, H) each
        self.products = [
            torch.addmm(bias, h, matrix)  # (N, G·H + the width above), both products of h
            for bias, h, matrix in zip(self.biases, self.h, self.matrices, strict=True)
        ]
        # NumPy's views of the same memory, made once: on arrays of this size a call of NumPy has
        # less overhead than a call of PyTorch.
        # (N, H) each. An RNN's copy of h here is never read.
        self.c = [layer.clone().numpy() for layer in state[-1]]
        self.h_views = [h.numpy() for h in self.h]  # (N, H) each, the memory of self.h
        self.own = [product.numpy()[:, :width] for product in self.products]  # (N, G·H) each
        self.above = [product.numpy()[:, width:] for product in self.products]  # the other columns
        self.z = np.empty((count, width), self.table.dtype)  # (N, G·H)
        self.gates = self.z[:, : 3 * H]  # i, f and o
        # (N, H) each, the order of `_gated`. An RNN does not use them.
        self.i, self.f, self.o, self.g = (self.z[:, k * H : (k + 1) * H] for k in range(4))
        self.work = np.empty((count, H), self.table.dtype)  # (N, H)

    def step(self, ids: np.ndarray) -> np.ndarray:
        """Read one character of each text, ids (N,); return the logits of the next, (N, V)."""
        below, z = self.table[ids], self.z  # (N, G·H)
        for k, own in enumerate(self.own):
            # own is this layer's h times its recurrent matrix, from the step before.
            np.add(below, own, out=z)
            if self.is_lstm:
                np.tanh(z, out=z)
                self._remember(self.c[k], self.h_views[k])
            else:
                np.tanh(z, out=self.h_views[k])
            # Both readers of the new h at once: the layer above now, the layer itself next time.
            torch.addmm(self.biases[k], self.h[k], self.matrices[k], out=self.products[k])
            below = self.above[k]  # (N, G·H), behind the last layer the logits (N, V)
        if self.eps is None:
            return below.copy()  # the next step writes over the original
        # (N, H). The norm's own weight and bias are in self.output.
        normed = F.layer_norm(self.h[-1], (self.hidden_size,), eps=self.eps)
        return torch.addmm(self.output_bias, normed, self.output).numpy()

    def _remember(self, c: np.ndarray, h: np.ndarray) -> None:
        """Write the next c and h, (N, H) each; z holds tanh(z/2) of i, f, o and tanh(z) of g."""
        # No line makes an array: c and h are changed where they are, and self.h sees it.
        gates, work = self.gates, self.work
        np.multiply(gates, 0.5, out=gates)
        np.add(gates, 0.5, out=gates)  # σ(z) = tanh(z/2) / 2 + 1/2
        np.multiply(c, self.f, out=c)
        np.multiply(self.i, self.g, out=work)
        np.add(c, work, out=c)  # c = f·c + i·g
        np.tanh(c, out=work)
        np.multiply(self.o, work, out=h)  # h = o·tanh(c)

    def select(self, rows: np.ndarray) -> None:
        """Go on with some of the texts only; rows (M,) holds their numbers."""
        rows = torch.from_numpy(rows)
        h, c = torch.stack(self.h), torch.from_numpy(np.stack(self.c))  # (L, N, H) each
        # With another N every array has another size, so all are made anew.
        self._start([h[:, rows], c[:, rows]])
