"""The parts of a leaderboard entry that `lstmlib` has not, one class each."""

import math
from collections.abc import Iterable
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstmlib.models import CharRNN, State
from lstmlib.settings import OPTIMIZERS

OPTIONS = {
    "input_scale": None,
    "hidden_scale": None,
    "orthogonal": False,
    "weight_dropout": 0.0,
    "column_dropout": 0.0,
    "locked_dropout": False,
    "blanking": 0.0,
    "resets": 0.0,
    "tied": False,
    "cell_norm": False,
}
"""What `build` takes beside the settings of CharRNN, and what stands for "without"."""


class WeightDropLSTM(nn.LSTM):
    """An LSTM with recurrent matrices of which parts are missing in training.

    One mask serves a whole call, so what is missing is missing at every step of it, and the fused
    LSTM can run. What is left is scaled up, as dropout does.

    A mask of entries is a piece of one long row of ones and zeros, from a place that is drawn. The
    leaderboard's entry "weight-drop" still drew each of a million entries anew at every step, and
    took 29 % fewer steps than without.

    Args:
        lstm: whose sizes, weights and dropout between layers it takes.
        weight_dropout: probability of dropping an entry of a recurrent matrix (Merity et al. 2018,
            AWD-LSTM).
        column_dropout: probability of dropping a column of a recurrent matrix: the unit of the last
            step that it reads is hidden from all gates of all units, and still shown to the next
            layer (Gal & Ghahramani 2016, with one mask for all rows of the batch).
    """

    MATRICES = 4
    """The entries of so many recurrent matrices are in the long row."""

    def __init__(
        self, lstm: nn.LSTM, weight_dropout: float = 0.0, column_dropout: float = 0.0
    ) -> None:
        super().__init__(lstm.input_size, lstm.hidden_size, lstm.num_layers, batch_first=True)
        self.load_state_dict(lstm.state_dict())
        self.dropout, self.weight_dropout = lstm.dropout, weight_dropout
        self.column_dropout = column_dropout
        if weight_dropout:
            row = torch.ones(self.MATRICES * self.weight_hh_l0.numel())
            # Of 1 / (1 - p) and 0, since what is left is scaled up. Not in a model file, since no
            # network in use needs it.
            self.register_buffer("masks", F.dropout(row, weight_dropout), persistent=False)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run as torch.nn.LSTM does, in training with recurrent weights missing."""
        if not self.training:
            return super().forward(x, state)
        whole = self._flat_weights
        self._flat_weights = [
            self._dropped(weight) if "weight_hh" in name else weight
            for name, weight in zip(self._flat_weights_names, whole, strict=True)
        ]
        try:
            return super().forward(x, state)
        finally:
            self._flat_weights = whole

    def _dropped(self, weight: Tensor) -> Tensor:
        """Return a recurrent matrix (4H, H) with entries and columns missing."""
        if self.weight_dropout:
            first = int(torch.randint(len(self.masks) - weight.numel() + 1, ()))
            weight = weight * self.masks[first : first + weight.numel()].view_as(weight)
        if self.column_dropout:
            # A multiplication by ones and zeros, of the weight's dtype and on its device.
            weight = weight * F.dropout(torch.ones_like(weight[:1]), self.column_dropout)
        return weight


class BlankedEmbedding(nn.Embedding):
    """An embedding that hides characters in training: their vectors are zeros.

    What the network reads then has gaps, and no long row of characters is enough to know a place in
    the training text by (Xie et al. 2017, blank noising; Gal & Ghahramani 2016 drop whole words).

    Args:
        embedding: whose weight it takes.
        probability: of hiding a character.
    """

    def __init__(self, embedding: nn.Embedding, probability: float) -> None:
        super().__init__(*embedding.weight.shape, _weight=embedding.weight)
        self.weight, self.probability = embedding.weight, probability

    def forward(self, ids: Tensor) -> Tensor:
        """Return the vectors (B, T, D) of ids (B, T), some of them zeros in training."""
        vectors = super().forward(ids)
        if not self.training:
            return vectors
        return vectors * (torch.rand(*ids.shape, 1, device=ids.device) >= self.probability)


class Resets:
    """A hook before an LSTM's forward pass: in training, some rows begin with a state of zeros.

    Args:
        probability: of beginning anew, for each row of each batch.
    """

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, layers: nn.LSTM, inputs: tuple) -> tuple:
        """Return x, and the state with zeros in some rows."""
        x, state = inputs
        if state is None or not layers.training:
            return inputs
        kept = torch.rand(x.shape[0], 1, device=x.device) >= self.probability
        return x, tuple(part * kept for part in state)


class LockedDropout(nn.Dropout):
    """Dropout with one mask for all steps of a sequence (Gal & Ghahramani 2016), on (B, T, H)."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop the same units at every step."""
        return x * F.dropout(torch.ones_like(x[:, :1]), self.p, self.training)


class Scale(nn.Module):
    """Multiplication by a number that is not learned."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: Tensor) -> Tensor:
        """Return x times the number."""
        return self.by * x


class NormedLSTM(nn.Module):
    """One LSTM layer with layer norms inside the cell (Ba et al. 2016, equations 20 to 22).

    The norms stand around W_x x, W_h h and, before the tanh of the output, c. No fused kernel has
    them, so the steps are a loop in Python.
    """

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float) -> None:
        super().__init__()
        self.of_x = nn.Linear(input_size, 4 * hidden_size, bias=False)
        self.of_h = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.norm_x, self.norm_h = nn.LayerNorm(4 * hidden_size), nn.LayerNorm(4 * hidden_size)
        self.norm_c = nn.LayerNorm(hidden_size)
        nn.init.constant_(self.norm_x.bias.data[hidden_size : 2 * hidden_size], forget_bias)
        self.hidden_size = hidden_size

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run over inputs (B, T, D): outputs (B, T, H), and the last state (1, B, H) each."""
        zeros = x.new_zeros(1, x.shape[0], self.hidden_size)
        h, c = (part[0] for part in state or (zeros, zeros))
        outputs = []
        for read in self.norm_x(self.of_x(x)).unbind(1):
            i, f, g, o = (read + self.norm_h(self.of_h(h))).chunk(4, dim=-1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(self.norm_c(c))
            outputs.append(h)
        return torch.stack(outputs, dim=1), (h[None], c[None])


class Muon(torch.optim.AdamW):
    """AdamW, but an LSTM's (4H, H) matrices take steps that are orthogonal (Jordan et al. 2024).

    These are the recurrent ones, and those from layer to layer. The averaged gradient of each
    gate's block is replaced by a nearly orthogonal matrix, of the same singular vectors with
    singular values near 1, and scaled to the size of Adam's steps (Liu et al. 2025): all directions
    move equally fast, as second-order methods try to have it.
    """

    MOMENTUM = 0.95

    def __init__(self, params: Iterable[Tensor], **options: object) -> None:
        super().__init__(params, **options)
        # The orthogonal steps know nothing of `found_inf`: `fit` has to look at every step.
        self._step_supports_amp_scaling = False

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Take a step; `fit` gives no closure."""
        group = self.param_groups[0]
        square = [w for w in group["params"] if w.ndim == 2 and len(w) == 4 * w.shape[1]]
        gradients = [w.grad for w in square]
        for weight in square:
            weight.grad = None  # AdamW leaves it alone
        super().step()
        for weight, gradient in zip(square, gradients, strict=True):
            weight.grad = gradient
            average = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
            average.lerp_(gradient, 1 - self.MOMENTUM)
            ahead = gradient.lerp(average, self.MOMENTUM)
            gates = ahead.view(4, -1, weight.shape[1]).bfloat16()  # rough is enough, and fast
            update = 0.2 * weight.shape[1] ** 0.5 * orthogonalized(gates).view_as(weight).float()
            weight.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=group["lr"])


OPTIMIZERS["muon"] = Muon


class MatrixDecay(torch.optim.AdamW):
    """AdamW whose weight decay acts on matrices alone: no bias and no layer norm shrinks.

    A step multiplies a matrix by 1 minus the learning rate times `weight_decay` (Loshchilov &
    Hutter 2019). `fit` sets the learning rate of both groups.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, weight_decay: float, **options: object
    ) -> None:
        matrices, others = [], []
        for weight in params:
            (matrices if weight.ndim > 1 else others).append(weight)
        groups = {"params": matrices, "weight_decay": weight_decay}, {"params": others}
        groups = [group for group in groups if group["params"]]
        super().__init__(groups, lr=lr, weight_decay=0.0, **options)


OPTIMIZERS["adamw-matrices"] = MatrixDecay


class TailAverage:
    """The mean of a model's weights over the last steps of a run (Izmailov et al. 2018).

    Args:
        model: the model in training.
        share: of the run's steps, the last ones, whose weights count.
        steps: of the whole run.
    """

    def __init__(self, model: CharRNN, share: float, steps: int) -> None:
        self.model, self.average = model, deepcopy(model)
        self.first, self.taken = steps - round(share * steps), 0
        self.weights, self.averages = list(model.parameters()), list(self.average.parameters())

    @property
    def module(self) -> CharRNN:
        """The model with the average as its weights; before there is one, the model itself."""
        return self.average if self.taken else self.model

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step, if it is one of the last; nothing is waited for."""
        if step <= self.first:
            return
        self.taken += 1
        torch._foreach_lerp_(self.averages, self.weights, 1 / self.taken)


def orthogonalized(matrices: Tensor) -> Tensor:
    """Return matrices (N, H, H) with the same singular vectors, singular values 0.7 to 1.2.

    Five rounds of the polynomial 3.4445 x - 4.7750 x³ + 2.0315 x⁵ on the singular values, as Jordan
    et al. (2024) chose it: a Newton-Schulz iteration, of matrix products alone.
    """
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        power = x @ x.mT
        x = 3.4445 * x + (-4.7750 * power + 2.0315 * power @ power) @ x
    return x


def build(vocab_size: int, settings: dict) -> CharRNN:
    """Return a new network of some settings: those of CharRNN, and of OPTIONS.

    Raises:
        ValueError: cell_norm with more than one layer, hidden_scale with a layer norm, or a tied
            embedding of another width than the hidden state.
    """
    options = {name: settings.get(name, without) for name, without in OPTIONS.items()}
    sizes = {name: value for name, value in settings.items() if name not in OPTIONS}
    if options["input_scale"]:
        sizes["embedding_size"] = 16 * math.ceil(vocab_size / 16)
    model = CharRNN(vocab_size, **sizes)
    if options["input_scale"]:
        # One-hot vectors of that length, with columns of zeros up to a multiple of 16: the products
        # with a matrix of 65 columns take longer than those with one of 80.
        one_hot = options["input_scale"] * torch.eye(*model.embedding.weight.shape)
        model.embedding.weight = nn.Parameter(one_hot, requires_grad=False)
    if options["hidden_scale"]:
        if model.config["output_norm"]:
            raise ValueError("hidden_scale stands in the place of the layer norm.")
        model.norm = Scale(options["hidden_scale"])
    if options["cell_norm"]:
        if model.config["num_layers"] != 1:
            raise ValueError("cell_norm is made for one layer.")
        model.layers = NormedLSTM(
            model.layers.input_size, model.config["hidden_size"], model.config["forget_bias"]
        )
    drops = {name: options[name] for name in ("weight_dropout", "column_dropout")}
    if any(drops.values()):
        model.layers = WeightDropLSTM(model.layers, **drops)
    if options["blanking"]:
        model.embedding = BlankedEmbedding(model.embedding, options["blanking"])
    if options["resets"]:
        model.layers.register_forward_pre_hook(Resets(options["resets"]))
    if options["locked_dropout"]:
        model.dropout = LockedDropout(model.config["dropout"])
    if options["tied"]:
        if model.config["embedding_size"] != model.config["hidden_size"]:
            raise ValueError("A tied embedding must be as wide as the hidden state.")
        model.output.weight = model.embedding.weight
        nn.init.normal_(model.embedding.weight, std=model.config["hidden_size"] ** -0.5)
    if options["orthogonal"]:
        start_orthogonal(model)
    return model


def start_orthogonal(model: CharRNN) -> None:
    """Let the columns of the recurrent matrices start orthonormal (Saxe et al. 2014)."""
    for name, weight in model.layers.named_parameters():
        if name.startswith("weight_hh") or name == "of_h.weight":
            nn.init.orthogonal_(weight)
