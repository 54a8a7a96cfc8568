"""More answers to the exercises of chapter 04: each wrong one is right on most inputs.

RIGHT and WRONG are by the name of the check; `ch04` adds them to its own.
"""

import math
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

from lstmlib.models import CharRNN, count_parameters, detach

# gru_units


def _lstm(V, H):
    return 4 * (H * V + H * H + 2 * H) + H * V + V


def _gru(V, n, biases=2):
    return 3 * (n * V + n * n + biases * n) + n * V + V


@cache
def units(V, H):
    n = H
    while _gru(V, n + 1) <= _lstm(V, H):
        n += 1
    return n


def units_in(first, end):
    """Search where the range of the units is a guess."""

    def gru_units(V, H):
        return max([n for n in range(first(H), end(H)) if _gru(V, n) <= _lstm(V, H)], default=H)

    return gru_units


def units_by_halves(V, H):
    low, high = H, 2 * H
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _gru(V, middle) <= _lstm(V, H) else (low, middle - 1)
    return low


def units_downwards(V, H):
    n = 2 * H
    while _gru(V, n) > _lstm(V, H):
        n -= 1
    return n


def units_in_an_array(V, H):
    n = np.arange(1, 2 * H + 2)
    return n[_gru(V, n) <= _lstm(V, H)].max()


def units_by_tens(V, H):
    """Grow by ten while it fits, and then by one, but once at most."""
    n = H
    while _gru(V, n + 10) <= _lstm(V, H):
        n += 10
    return n + (_gru(V, n + 1) <= _lstm(V, H))


def units_of_networks(V, H):
    with torch.device("meta"):
        most, n = count_parameters(CharRNN(V, H, num_layers=1)), H
        while count_parameters(CharRNN(V, n + 1, num_layers=1, cell="gru")) <= most:
            n += 1
    return n


def one_step_of_newton(V, H):
    h = H * math.sqrt(4 / 3)
    return int(h - (_gru(V, h) - _lstm(V, H)) / (6 * h + 4 * V + 6))


def units_root(cut):
    def gru_units(V, H):
        b = 4 * V + 6
        return cut((-b + math.sqrt(b * b + 12 * (_lstm(V, H) - V))) / 6)

    return gru_units


# table_gradient


def a_table_kept():
    """Add into a table that is made anew only where another shape is asked for."""
    kept = [np.zeros((0, 0))]

    def table_gradient(dx, ids, V):
        if kept[0].shape != (V, dx.shape[1]):
            kept[0] = np.zeros((V, dx.shape[1]))
        np.add.at(kept[0], ids, dx)
        return kept[0].copy()

    return table_gradient


def _zeros(dx, V):
    return np.zeros((V, dx.shape[1]))


def step_by_step(dx, ids, V, most=10**9, end=10**9):
    """Add the gradients of the first `end` steps, and of each id at most so many."""
    table, times = _zeros(dx, V), np.zeros(V, int)
    for v, row in zip(ids[:end], dx[:end], strict=True):
        if times[v] < most:
            table[v] += row
        times[v] += 1
    return table


def by_columns(dx, ids, V):
    return np.stack([np.bincount(ids, column, V) for column in dx.T], axis=1)


def by_differences(dx, ids, V):
    order = np.argsort(ids, kind="stable")
    sums = np.concatenate([np.zeros((1, dx.shape[1])), dx[order].cumsum(0)])
    ends = np.searchsorted(ids[order], np.arange(V + 1))
    return sums[ends[1:]] - sums[ends[:-1]]


def by_autograd(dx, ids, V):
    table = torch.zeros(V, dx.shape[1], dtype=torch.float64, requires_grad=True)
    (table[torch.tensor(ids)] * torch.tensor(dx)).sum().backward()
    return table.grad


def by_assignment(dx, ids, V):
    table = _zeros(dx, V)
    table[ids] += dx
    return table


def without_neighbours(dx, ids, V):
    """Leave out what is read twice in a row."""
    new = np.r_[True, ids[1:] != ids[:-1]]
    return step_by_step(dx[new], ids[new], V)


# next_state


def states(later=lambda p: p.detach(), first=None):
    """Return a next_state that treats each part by itself; None stands for no state."""

    def next_state(state, k):
        how = later if k else first
        return how and tuple(how(part) for part in state)

    return next_state


def cached_by_k():
    kept = {}
    return lambda state, k: kept.setdefault(k, detach(state)) if k else None


def counting():
    calls = []

    def next_state(state, k):
        calls.append(k)
        return None if len(calls) == 1 else detach(state)

    return next_state


def of_the_batch_before():
    kept = [None]

    def next_state(state, k):
        before, kept[0] = kept[0], detach(state)
        return before if k else None

    return next_state


# from_tensorflow


def converted(kernel, bias, D, order="igfo", add=(0, 1, 0, 0)):
    blocks = dict(zip(order, np.split(np.vstack([kernel, bias]), 4, axis=1), strict=True))
    W = np.concatenate([blocks[gate] for gate in "ifgo"], axis=1).T
    return W[:, :D], W[:, D:-1], W[:, -1] + np.repeat(add, len(bias) // 4)


def one_block_twice(kernel, bias, D):
    i, _, f, o = np.split(kernel, 4, axis=1)
    W = np.concatenate([i, f, f, o], axis=1).T
    return W[:, :D], W[:, D:], converted(kernel, bias, D)[2]


def by_reshaping(kernel, bias, D):
    H = len(bias) // 4
    turned = kernel.reshape(-1, 4, H)[:, [0, 2, 1, 3]].reshape(-1, 4 * H).T
    b = bias.reshape(4, H)[[0, 2, 1, 3]]
    b[1] += 1
    return turned[:, :D].tolist(), turned[:, D:].tolist(), b.ravel().tolist()


def in_torch(kernel, bias, D):
    i, g, f, o = torch.from_numpy(kernel).chunk(4, dim=1)
    b_i, b_g, b_f, b_o = torch.from_numpy(bias).chunk(4)
    W = torch.cat([i, f, g, o], dim=1).T
    return [W[:, :D], W[:, D:], torch.cat([b_i, b_f + 1, b_g, b_o])]


def by_rows(kernel, bias, D):
    H = kernel.shape[0] - D
    names = [(gate, u) for gate in (0, 2, 1, 3) for u in range(H)]
    rows = np.array([kernel[:, gate * H + u] for gate, u in names])
    return rows[:, :D], rows[:, D:], np.array([bias[g * H + u] + (g == 2) for g, u in names])


def by_parts(**changed):
    """Change some of the three arrays: "x", "h" or "b"."""

    def from_tensorflow(kernel, bias, D):
        parts = zip("xhb", converted(kernel, bias, D), strict=True)
        return tuple(changed.get(name, lambda w: w)(part) for name, part in parts)

    return from_tensorflow


def unit_by_unit(w):
    """Lay the rows out unit after unit, not gate after gate."""
    return np.concatenate([w[k :: len(w) // 4] for k in range(len(w) // 4)])


# repaired


def cross_entropy(logits, y):
    return F.cross_entropy(logits.flatten(0, 1), y.flatten())


def stepping(
    loss=cross_entropy,
    clear=lambda model, optimizer, state: optimizer.zero_grad(),
    change=lambda model: None,
    step=lambda model, optimizer: optimizer.step(),
    cut=detach,
):
    """Return a step of training; `change` may touch the gradients."""

    def repaired(model, optimizer, x, y, state):
        logits, new = model(x, state)
        clear(model, optimizer, state)
        loss(logits, y).backward()
        change(model)
        step(model, optimizer)
        return cut(new)

    return repaired


def step_by_hand(model, optimizer):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= optimizer.param_groups[0]["lr"] * parameter.grad


def step_anew(model, optimizer):
    type(optimizer)(model.parameters(), lr=optimizer.param_groups[0]["lr"]).step()


def step_without_memory(model, optimizer):
    optimizer.state.clear()
    optimizer.step()


def step_and_clear(model, optimizer):
    optimizer.step()
    optimizer.zero_grad()


def step_twice(model, optimizer):
    optimizer.step()
    optimizer.step()


def step_at(rate):
    def step(model, optimizer):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()

    return step


def without(word):
    """Forget the gradients of some parameters."""

    def change(model):
        for name, parameter in model.named_parameters():
            if word in name:
                parameter.grad = None

    return change


def clipped(limit):
    return lambda model: torch.nn.utils.clip_grad_norm_(model.parameters(), limit)


def gathered(logits, y):
    return -logits.log_softmax(-1).gather(-1, y[..., None]).mean()


def mean_of_steps(logits, y):
    return sum(F.cross_entropy(logits[:, t], y[:, t]) for t in range(y.shape[1])) / y.shape[1]


def to_the_processor(model, optimizer, x, y, state):
    logits, state = model(x, state)
    optimizer.zero_grad()
    F.cross_entropy(logits.flatten(0, 1), y.flatten()).backward()
    optimizer.step()
    return tuple(part.detach().cpu() for part in state)


# continued


def writing(
    off=lambda model: model.eval(),
    pick=torch.argmax,
    first=list,
    carry=lambda state, k: state,
    feed=lambda ids, new: new[-1:],
):
    """Return a writer: it reads what `first` makes of the ids, and then feeds what is asked for."""

    def continued(model, ids, n):
        off(model)
        new, state, fed = [], None, first(ids)
        for k in range(n):
            logits, state = model(torch.tensor([fed]), state)
            state = carry(state, k)
            new.append(int(pick(logits[0, -1])))
            fed = feed(ids, new)
        return new

    return continued


def in_pieces(size):
    """Read the text in pieces, and forget the state between them."""

    def continued(model, ids, n):
        model.eval()
        for k in range(0, len(ids), size):
            logits, state = model(torch.tensor([ids[k : k + size]]))
        new = []
        for _ in range(n):
            new.append(int(logits[0, -1].argmax()))
            logits, state = model(torch.tensor([new[-1:]]), state)
        return new

    return continued


def frozen(model):
    model.eval().requires_grad_(False)


def without_dropout(model):
    model.eval().dropout.p = 0.0


def only_its_flag(model):
    model.training = False


def part_by_part(model):
    for part in model.children():
        part.eval()


def last_alone(model, ids, n):
    """Read the text but for its last id, also where there is nothing before it."""
    state, new = model.eval()(torch.tensor([ids[:-1]]))[1], ids[-1:]
    for _ in range(n):
        logits, state = model(torch.tensor([new[-1:]]), state)
        new.append(logits[0, -1].argmax().item())
    return new[1:]


def calls_itself(model, ids, n, state=None):
    if n == 0:
        return []
    logits, state = model.eval()(torch.tensor([ids]), state=state)
    best = logits[0, -1].topk(1).indices.item()
    return [best, *calls_itself(model, [best], n - 1, state)]


# bias_for


def logit(p):
    return math.log(p / (1 - p))


def root(lag, share):
    return share ** (1 / lag)


def by_bisection(low, high, steps=200):
    def bias_for(lag, share):
        a, b = low, high
        for _ in range(steps):
            middle = (a + b) / 2
            kept = (1 / (1 + math.exp(-middle))) ** lag
            a, b = (middle, b) if kept < share else (a, middle)
        return (a + b) / 2

    return bias_for


# What two readers of the course wrote


def units_in_32_bits(V, H):
    b, c = np.float32(4 * V + 6), np.float32(4 * H * H + (5 * V + 8) * H)
    return int((-b + np.sqrt(b * b + 12 * c)) / 6)


def with_nan(dx, ids, V):
    table = np.full((V, dx.shape[1]), np.nan)
    for v in set(ids.tolist()):
        table[v] = dx[ids == v].sum(axis=0)
    return table


def looks_at_numbers(state, k):
    if k:
        state[0][0, 0, :2].tolist()
        state[1].abs().max().detach().cpu()
        float(state[1].detach().sum())
    return None if k == 0 else detach(state)


def through_views(kernel, bias, D):
    kernel, bias, H = kernel.copy(), bias.copy(), len(bias) // 4
    for a in (kernel, bias):
        f, g = slice(2 * H, 3 * H), slice(H, 2 * H)
        a[..., f], a[..., g] = a[..., g], a[..., f]
    bias[H : 2 * H] += 1
    return kernel[:D].T, kernel[D:].T, bias


@torch.inference_mode()
def cut_for_good(state):
    return tuple(part.clone() for part in state)


def without_dropout_for_a_while(model, ids, n):
    between, behind = model.layers.dropout, model.dropout.p
    model.layers.dropout = model.dropout.p = 0.0
    new = writing(off=lambda _: None)(model, ids, n)
    model.layers.dropout, model.dropout.p = between, behind
    return new


def state_on_the_model(model, ids, n):
    model.eval()
    new = []
    for _ in range(n):
        read = torch.tensor([new[-1:] or ids])
        logits, model.state = model(read, getattr(model, "state", None))
        new.append(int(logits[0, -1].argmax()))
    return new


def in_a_global():
    kept = [None]

    def continued(model, ids, n):
        model.eval()
        new = []
        for _ in range(n):
            logits, kept[0] = model(torch.tensor([new[-1:] or ids]), kept[0])
            new.append(int(logits[0, -1].argmax()))
        return new

    return continued


# what ends an iteration inside an answer


def ends_an_iteration(*_):
    return next(iter([]))


def first_reads(dx, ids, V):
    return np.array([dx[next(t for t in range(len(ids)) if ids[t] == v)] for v in range(V)])


def by_view(logits, y):
    return F.cross_entropy(logits.view(-1, logits.size(-1)), y.view(-1))


def with_anomaly_mode(model):
    torch.autograd.set_detect_anomaly(True)


def dropout_off(model):
    model.dropout.p = 0.0


def zeros_first(model, ids, n, dtype=torch.float32):
    """Write on from a state of zeros that is made by hand."""
    model.eval()
    shape = model.config["num_layers"], 1, model.config["hidden_size"]
    state = torch.zeros(shape, dtype=dtype), torch.zeros(shape, dtype=dtype)
    new, x = [], ids
    for _ in range(n):
        logits, state = model(torch.tensor([x]), state)
        x = [int(logits[0, -1].argmax())]
        new += x
    return new


def weights_lost(model, ids, n):
    new = writing()(model, ids, n)
    model.load_state_dict({name: 0 * w for name, w in model.state_dict().items()})
    return new


def old_logits(model, ids, n):
    model.eval()
    logits, state = model(torch.tensor([ids]))
    new = []
    for _ in range(n):
        new.append(int(logits[0, -1].argmax()))
        _, state = model(torch.tensor([new[-1:]]), state)
    return new


def text_without_state(model, ids, n):
    model.eval()
    new = []
    for i in ids:
        logits, state = model(torch.tensor([[i]]))
    for _ in range(n):
        new.append(int(logits[0, -1].argmax()))
        logits, state = model(torch.tensor([new[-1:]]), state)
    return new


DEVICE = torch.device("cpu")  # what `pick_device` gives where there is no GPU


RIGHT = {
    "gru_units": [
        units_by_halves,
        units_downwards,
        units_in_an_array,
        units_of_networks,
        units,
        units_in(lambda H: H, lambda H: 4 * H // 3 + 1),
        units_root(math.floor),
    ],
    "table_gradient": [
        step_by_step,
        by_columns,
        by_differences,
        by_autograd,
        lambda dx, ids, V: [dx[ids == v].sum(0) for v in range(V)],
        lambda dx, ids, V: ((ids == np.arange(V)[:, None]) @ dx).tolist(),
        lambda dx, ids, V: np.einsum("tv,tm->vm", np.eye(V)[ids], dx),
    ],
    "next_state": [
        looks_at_numbers,
        lambda state, k: tuple(p.detach().to(DEVICE) for p in state) if k else None,
        states(lambda p: p.data),
        states(lambda p: torch.tensor(p.detach())),
        states(lambda p: p.clone().detach(), torch.zeros_like),
        states(first=lambda p: p.new_zeros(p.shape)),
        states(first=lambda p: torch.zeros(*p.shape).to(p)),
        states(first=lambda p: torch.zeros(p.shape, dtype=p.dtype, device=p.device)),
        lambda state, k: [part.detach() for part in state] if k > 0 else None,
    ],
    "from_tensorflow": [
        converted,
        by_reshaping,
        in_torch,
        by_rows,
        by_parts(x=np.ascontiguousarray, h=torch.tensor, b=list),
        lambda *given: tuple(part.astype(np.float32) for part in converted(*given)),
    ],
    "repaired": [
        stepping(),
        stepping(loss=gathered, clear=lambda model, *_: model.zero_grad()),
        stepping(loss=mean_of_steps, cut=lambda new: [part.data for part in new]),
        stepping(clear=lambda *_: None, step=step_and_clear),
        stepping(clear=lambda m, o, s: o.zero_grad(set_to_none=False)),
        stepping(loss=lambda a, y: F.nll_loss(a.log_softmax(-1).transpose(1, 2), y)),
    ],
    "continued": [
        without_dropout_for_a_while,
        writing(carry=lambda state, k: (state[0].detach(), state[1].detach())),
        writing(off=part_by_part),
        writing(off=lambda model: model.train(False), carry=lambda state, k: detach(state)),
        calls_itself,
        zeros_first,
        torch.inference_mode()(writing(pick=lambda row: row.softmax(0).argmax())),
        lambda *given: np.array(writing()(*given), dtype=int),
        lambda *given: tuple(torch.tensor(i) for i in writing()(*given)),
    ],
    "bias_for": [
        lambda lag, share: -math.log(share ** (-1 / lag) - 1),
        lambda lag, share: -math.log(math.expm1(-math.log(share) / lag)),
        lambda lag, share: 2 * math.atanh(2 * root(lag, share) - 1),
        lambda lag, share: math.log(root(lag, share)) - math.log1p(-root(lag, share)),
        by_bisection(-50, 50),
        lambda lag, share: np.float32(logit(root(lag, share))),
    ],
}

WRONG = {
    "gru_units": [
        (units_in_32_bits, "with V = 73 and H = 2934, a GRU of 3392 has more"),
        (one_step_of_newton, "with V = 26 and H = 26"),
        (
            lambda V, H: max(n for n in range(2 * H) if _gru(V, n, 3) <= _lstm(V, H) + 4 * H),
            "with V = 26 and H = 26",
        ),
        (units_root(round), "has more parameters"),
        (units_root(math.ceil), "has more parameters"),
        (units_root(float), "units come whole"),
        (lambda V, H: 4 * H / 3, "most grow with H²"),
        (lambda V, H: round(4 * H / 3), "most grow with H²"),
        (units_in(lambda H: 1, lambda H: 4700), "V = 5000 and H = 4000"),
        (ends_an_iteration, "your code stopped with RuntimeError: StopIteration"),
        (units_by_tens, "one more would still fit"),
        (units_in(lambda H: 1, lambda H: 1000), "V = 65 and H = 900"),
        (units_in(lambda H: H, lambda H: H + 100), "V = 65 and H = 900"),
        (units_in(lambda H: 1, lambda H: 2000), "V = 65 and H = 4000"),
        (units_in(lambda H: H, lambda H: H + 300), "V = 65 and H = 4000"),
        (units_in(lambda H: H, lambda H: int(1.15 * H) + 1), "too few"),
        (lambda V, H: units(V, H) // 2 * 2, "too few"),
        (lambda V, H: units(65, H), "V = 10 and H = 300"),
        (lambda V, H: units(H, V), "too few"),
        (
            lambda V, H: min(range(H, 2 * H + 1), key=lambda n: abs(_gru(V, n) - _lstm(V, H))),
            "one fewer is the last",
        ),
        (
            lambda V, H: max(n for n in range(H + 1, 2 * H) if _gru(V, n) <= _lstm(V, H)),
            "(for 65 and 4)",
        ),
    ],
    "table_gradient": [
        (ends_an_iteration, "your code stopped with RuntimeError: StopIteration"),
        (first_reads, "your code stopped with RuntimeError: StopIteration"),
        (
            lambda dx, ids, V: (
                F.one_hot(torch.tensor(ids), V).double().T @ torch.tensor(dx)
            ).numpy(),
            "float32 and",
        ),
        (
            lambda dx, ids, V: by_columns(dx, ids, V).astype(object),
            "yours is an array (7, 3) of type object",
        ),
        (a_table_kept(), "keeps something between its calls"),
        (lambda dx, ids, V: step_by_step(dx, ids, V, most=2), "row 2"),
        (lambda dx, ids, V: step_by_step(dx, ids, V, most=3), "row v is the sum"),
        (lambda dx, ids, V: step_by_step(dx, ids, V, most=10), "row v is the sum"),
        (lambda dx, ids, V: step_by_step(dx, ids, V, end=32), "ids."),
        (lambda dx, ids, V: step_by_step(dx, ids, V, end=-1), "row v is the sum"),
        (without_neighbours, "row 3"),
        (lambda dx, ids, V: by_columns(dx, ids, V).clip(-5, 5), "row v is the sum"),
        (lambda dx, ids, V: by_columns(dx, ids, V).round(6), "right, but rounded"),
        (lambda dx, ids, V: by_columns(dx, ids, V) + 1e-8, "row v is the sum"),
        (lambda dx, ids, V: by_columns(dx, ids, V).astype(np.float16), "row v is the sum"),
        (lambda dx, ids, V: dx if len(ids) == V else by_columns(dx, ids, V), "ids [1, 0, 1]"),
        (lambda dx, ids, V: step_by_step(dx, ids, ids.max() + 1), "yours is (6, 3)"),
        (lambda dx, ids, V: np.array([dx[ids == v].sum(0) for v in set(ids)]), "yours is (3, 3)"),
        (
            lambda dx, ids, V: (by_assignment if len(ids) > 6 else by_columns)(dx, ids, V),
            "only its last gradient",
        ),
        (lambda dx, ids, V: by_columns(dx, ids, V).squeeze(), "yours is (2,)"),
        (
            lambda dx, ids, V: by_columns(dx, ids, V).T.reshape(V, -1),
            "row v is the sum",
        ),
        (
            lambda dx, ids, V: by_columns(dx, ids, V) * (np.arange(V) > 0)[:, None],
            "in row 0, for V = 7",
        ),
        (with_nan, "is not read here, so its row is 0; yours holds NaN"),
        (lambda dx, ids, V: by_columns(dx, ids, V).round(4), "rounded to 4 decimals"),
    ],
    "next_state": [
        (ends_an_iteration, "your code stopped with RuntimeError: StopIteration"),
        (states(first=lambda p: torch.zeros(p.shape)), "of the type that the state has"),
        (torch.inference_mode()(states(lambda p: p.clone())), "no `backward`"),
        (states(first=lambda p: torch.zeros(p.shape, dtype=p.dtype)), "on a GPU, the zeros"),
        (states(lambda p: torch.tensor(p.tolist(), dtype=p.dtype)), "to the processor"),
        (states(lambda p: p.detach().cpu()), "to the processor"),
        (states(lambda p: torch.from_numpy(p.detach().numpy())), "to the processor"),
        (states(lambda p: torch.tensor(p.tolist())), "of the type that they have"),
        (states(lambda p: p.detach().float()), "of the type that they have"),
        (states(lambda p: p.detach().abs()), "the numbers must stay"),
        (states(lambda p: p.detach().relu()), "the numbers must stay"),
        (states(lambda p: p.detach().round(decimals=4)), "the numbers must stay"),
        (states(first=lambda p: p.new_zeros(1, *p.shape[1:])), "of the shapes"),
        (states(first=lambda p: 1e-6 * torch.ones_like(p)), "None, or zeros"),
        (states(lambda p: p.clone()), "hangs on the graph"),
        (lambda state, k: detach(state) if k % 1024 else None, "batch 0 alone"),
        (lambda state, k: detach(state) if 0 < k < 1500 else None, "batch 0 alone"),
        (lambda state, k: state if k == 1 else detach(state) if k else None, "hangs on the graph"),
        (cached_by_k(), "an older one"),
        (counting(), "batch 0 begins the text anew"),
        (of_the_batch_before(), "an older one"),
    ],
    "from_tensorflow": [
        (lambda k, b, D: converted(k, b, D, add=(0, int(b.any()), 0, 0)), "PyTorch adds none"),
        (lambda k, b, D: converted(k, b, D, "igfo" if D > 1 else "ifgo"), "TensorFlow's order"),
        (lambda k, b, D: converted(k, b, D, "igfo" if len(b) < 33 else "ifgo"), "order"),
        (lambda k, b, D: converted(k.ravel("K").reshape(k.shape), b, D), "block by block"),
        (lambda k, b, D: converted(k, b, len(b) // 4), "weight_ih has the shape (8, 3)"),
        (lambda k, b, D: converted(k, b, D)[::-1], "weight_ih has the shape"),
        (lambda k, b, D: converted(k, b, D, "ofgi"), "block by block"),
        (lambda k, b, D: converted(k, b, D, add=(0, -1, 0, 0)), "the matrices are right"),
        (lambda k, b, D: converted(k, b, D, add=(1, 1, 1, 1)), "the matrices are right"),
        (by_parts(b=unit_by_unit), "the matrices are right"),
        (by_parts(x=unit_by_unit, h=unit_by_unit, b=unit_by_unit), "block by block"),
        (by_parts(b=lambda b: np.where(np.arange(len(b)) // (len(b) // 4) == 1, 1, b)), "matrices"),
        (by_parts(x=lambda w: w.round(3)), "weight_hh is right, and weight_ih is not"),
        (by_parts(b=lambda b: b[None]), "yours is (1, 8)"),
        (through_views, "take copies"),
        (one_block_twice, "Did you take one twice?"),
        (
            lambda k, b, D: tuple(part.astype(np.float16) for part in converted(k, b, D)),
            "right to three digits",
        ),
        (ends_an_iteration, "your code stopped with RuntimeError: StopIteration"),
    ],
    "repaired": [
        (stepping(loss=by_view), "Use .reshape(...) instead"),
        (ends_an_iteration, "your code stopped with RuntimeError: StopIteration"),
        (stepping(change=with_anomaly_mode), "anomaly mode"),
        (stepping(change=dropout_off), "for good"),
        (
            stepping(loss=lambda a, y: cross_entropy(a, y) / 2),
            "0.5 times as long. The loss is the mean over all characters; step with its gradient, "
            "which nothing clips",
        ),
        (stepping(cut=cut_for_good), "no `backward`"),
        (to_the_processor, "to the processor"),
        (stepping(step=step_by_hand), "here Adam"),
        (stepping(step=step_anew), "here Adam"),
        (stepping(step=step_without_memory), "here Adam"),
        (stepping(step=step_at(0.5)), "as it is"),
        (stepping(step=step_twice), "step once"),
        (
            stepping(clear=lambda m, o, state: state is not None and o.zero_grad()),
            "where a text begins anew",
        ),
        (stepping(clear=lambda m, o, state: state is None and o.zero_grad()), "clear them first"),
        (stepping(clear=lambda m, o, state: m.output.zero_grad()), "the weights are others"),
        (stepping(change=without("embedding")), "the weights are others"),
        (stepping(change=without("_l2")), "the weights are others"),
        (stepping(change=clipped(10.0)), "which nothing clips"),
        (stepping(change=clipped(100.0)), "which nothing clips"),
        (stepping(cut=lambda new: tuple(p.detach().double() for p in new)), "of the type"),
        (stepping(cut=lambda new: tuple(p[:1].detach() for p in new)), "not the one after"),
        (stepping(cut=lambda new: (new[0], new[1].detach())), "Cut h and c"),
        (stepping(cut=lambda new: (p.detach() for p in new)), "and nothing else"),
        (stepping(loss=lambda a, y: F.cross_entropy(a[:, -1], y[:, -1])), "others"),
        (
            stepping(loss=lambda a, y: y.shape[1] * cross_entropy(a, y)),
            "5 times as long. The loss is the mean",
        ),
    ],
    "continued": [
        (lambda m, ids, n: zeros_first(m, ids, n, torch.float64), "dtype"),
        (weights_lost, "changed the weights"),
        (text_without_state, "has no state"),
        (old_logits, "the last logits of a new call"),
        (lambda m, ids, n: (writing()(m, ids, n), None), "nothing beside it"),
        (lambda m, ids, n: [writing()(m, ids, n)], "none around it"),
        (ends_an_iteration, "your code stopped with RuntimeError: StopIteration"),
        (state_on_the_model, "what hangs on it"),
        (in_a_global(), "keep no state from one call"),
        (writing(carry=lambda state, k: state[:1]), "IndexError"),
        (writing(off=frozen), "for good"),
        (writing(off=without_dropout), "for good"),
        (writing(off=lambda model: model.eval().double()), "for good"),
        *[(in_pieces(size), "has no state") for size in (12, 32, 64, 100, 128, 200, 256)],
        (writing(off=only_its_flag), "dropout on"),
        (writing(off=lambda model: model.dropout.eval()), "dropout on"),
        (writing(off=lambda model: model.layers.eval()), "dropout on"),
        (writing(off=lambda model: model.train(not model.training)), "dropout on"),
        (writing(pick=lambda row: row[:6].argmax()), "argmax"),
        (writing(pick=lambda row: row.abs().argmax()), "it goes wrong"),
        (writing(pick=lambda row: torch.multinomial((row / 1e-3).softmax(0), 1)), "do not draw"),
        (writing(first=lambda ids: ids[-10:]), "only the last 10 were read"),
        (writing(first=lambda ids: ids[:100]), "only the first 100 were read"),
        (writing(first=lambda ids: ids[-256:]), "only the last 256 were read"),
        (writing(first=lambda ids: list(dict.fromkeys(ids))), "was not read"),
        (writing(first=lambda ids: [min(i, 5) for i in ids]), "the"),
        (writing(carry=lambda state, k: state if k % 30 < 29 else None), "the"),
        (writing(carry=lambda state, k: tuple(p[-1:].expand_as(p) for p in state)), "the"),
        (writing(feed=lambda ids, new: (ids + new)[-2:]), "gets it once more"),
        (lambda m, ids, n: writing()(m, ids, min(n, 50)), "60 new ids are asked for"),
        (last_alone, "(for a CharRNN and [3] and 9)"),
    ],
    "bias_for": [
        (by_bisection(-15, 15), "and not 1e-07"),
        (by_bisection(-20, 12), "after 100000 steps"),
        (by_bisection(-20, 20), "and not 1e-09"),
        (by_bisection(-30, 30), "and not 1e-14"),
        (lambda lag, share: torch.logit(torch.tensor(root(lag, share))).item(), "in float64"),
        (lambda lag, share: torch.logit(torch.tensor(share) ** (1 / lag)), "in float64"),
        (by_bisection(-20, 20, steps=18), "is left after"),
        (lambda lag, share: logit(np.clip(root(lag, share), 1e-6, 1 - 1e-6)), "and not 1e-07"),
        (lambda lag, share: min(12, logit(root(lag, share))), "after 100000 steps"),
        (lambda lag, share: logit(root(min(lag, 10_000), share)), "after 100000 steps"),
        (
            lambda lag, share: (
                logit(root(lag, share)) if lag < 50 else math.log(lag / -math.log(share))
            ),
            "is left after",
        ),
        (lambda lag, share: logit(root(lag + 1, share)), "is left after"),
        (lambda lag, share: logit(root(lag, 0.5)), "0.5 is left after 40 steps"),
        (lambda lag, share: logit(root(lag, 1 - share)), "0.6 is left after 40 steps"),
        (lambda lag, share: logit(1 - (1 - share) / lag), "is left after 40 steps"),
        (lambda lag, share: math.log2(root(lag, share) / (1 - root(lag, share))), "is left after"),
        (
            lambda lag, share: math.log(root(lag, share) / (1 - root(lag, share) + 1e-6)),
            "is left after",
        ),
        (lambda lag, share: round(logit(root(lag, share)), 2), "right, but rounded"),
        (lambda lag, share: float(np.float16(logit(root(lag, share)))), "is left after"),
    ],
}
"""Check -> (answer, a word of what is said of it)."""
