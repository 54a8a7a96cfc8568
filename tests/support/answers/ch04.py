"""Right and wrong answers to the exercises of chapter 04."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from answers import Exercise, ch04_more, raises
from lstmlib.models import detach


def forgets(*given):
    list(given)


def assign(dx, ids, V):
    table = np.zeros((V, dx.shape[1]))
    table[ids] += dx
    return table


def add_on(dx, ids, V, tables={}):  # noqa: B006 - this is its fault
    """Add into a table that lives on between calls."""
    table = tables.setdefault((V, dx.shape[1]), np.zeros((V, dx.shape[1])))
    np.add.at(table, ids, dx)
    return table


def turns_gradients_off(state, k):
    torch.set_grad_enabled(False)
    return detach(state) if k else None


def changes_the_dtype(state, k):
    torch.set_default_dtype(torch.float64)
    return detach(state) if k else None


def into_one_buffer(dx, ids, V, tables={}):  # noqa: B006 - this is its fault
    """Write into a table that lives on between calls, cleared at each of them."""
    table = tables.setdefault((V, dx.shape[1]), np.zeros((V, dx.shape[1])))
    table[:] = add_at(dx, ids, V)
    return table


def first_for_ever():
    kept = []

    def next_state(state, k):
        if k and not kept:
            kept.append(detach(state))
        return kept[0] if k else None

    return next_state


def add_at(dx, ids, V):
    table = np.zeros((V, dx.shape[1]))
    np.add.at(table, ids, dx)
    return table


def gru_units(V, H, of_gru=2, of_lstm=2, output=True, upper=0):
    def count(G, n, biases):
        layer = n * V + n * n + biases * n + upper * (2 * n * n + biases * n)
        return G * layer + (n * V + V) * output

    return max(n for n in range(1, 2 * H) if count(3, n, of_gru) <= count(4, H, of_lstm))


def fewer_than(V, H):
    """With < in place of <=."""
    n = gru_units(V, H)
    equal = 3 * (n * V + n * n + 2 * n) + n * V == 4 * (H * V + H * H + 2 * H) + H * V
    return n - equal


def by_the_root(V, H):
    """3 n² + (4 V + 6) n = 4 H² + (5 V + 8) H, solved for n."""
    right = 4 * H * H + (5 * V + 8) * H
    b = 4 * V + 6
    return (math.isqrt(b * b + 12 * right) - b) // 6


def from_tensorflow(kernel, bias, D, order="igfo", add=(0, 1, 0, 0), first=0):
    """`order` is the kernel's; `first` is where its rows of the inputs begin."""
    H = len(bias) // 4
    columns = np.concatenate([np.arange(H) + H * order.index(gate) for gate in "ifgo"])
    W = np.roll(kernel, -first, axis=0)[:, columns]
    return W[:D].T, W[D:].T, bias[columns] + np.repeat(add, H)


def added(kernel):
    """Add 1 to the forget gate's columns of the kernel."""
    return kernel + np.repeat((0, 0, 1, 0), kernel.shape[1] // 4)


def by_splitting(kernel, bias, D):
    i, g, f, o = np.split(np.vstack([kernel, bias]).T, 4)
    W = np.concatenate([i, f, g, o])
    W[len(i) : 2 * len(i), -1] += 1
    return tuple(torch.tensor(part) for part in (W[:, :D], W[:, D:-1], W[:, -1]))


def in_the_checkpoint(kernel, bias, D):
    H = len(bias) // 4
    bias[2 * H : 3 * H] += 1
    return from_tensorflow(kernel, bias, D, add=(0, 0, 0, 0))


def stepped(
    clear=True,
    turn=False,
    cut=True,
    between=False,
    keep=False,
    rate=None,
    clip=None,
    decay=None,
    reduction="mean",
):
    def step(model, optimizer, x, y, state):
        logits, state = model(x, state)
        if clear:
            optimizer.zero_grad()
        y = y.T if turn else y
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction=reduction)
        loss.backward(retain_graph=keep)
        if between:
            optimizer.zero_grad()
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        if decay is not None:
            optimizer.param_groups[0]["weight_decay"] = decay
        if rate:
            optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        return tuple(part.detach() for part in state) if cut else state

    return step


def cut_at_first(model, optimizer, x, y, state):
    """Cut the state before the batch, and not after it."""
    state = state and tuple(part.detach() for part in state)
    return stepped(cut=False)(model, optimizer, x, y, state)


def without_dropout(model, optimizer, x, y, state):
    return stepped()(model.eval(), optimizer, x, y, state)


def stops_training(model, optimizer, x, y, state):
    """Leave the network in evaluation mode after the first batch."""
    state = stepped()(model, optimizer, x, y, state)
    model.eval()
    return state


def seeds_each_step(*given):
    torch.manual_seed(0)
    return stepped()(*given)


def with_its_own_optimizer(model, optimizer, x, y, state):
    return stepped()(model, torch.optim.SGD(model.parameters(), lr=0.1), x, y, state)


def gives_back(model, optimizer, x, y, state):
    stepped()(model, optimizer, x, y, state)
    return state


def otherwise_stepped(model, optimizer, x, y, state):
    """Another way to write the loss, the cleared gradients and the cut."""
    logits, (h, c) = model(x, state)
    loss = F.cross_entropy(logits.transpose(1, 2), y)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    return [h.detach().clone(), c.detach().clone()]


def continued(evaluate=True, again=False, position=-1, carry=True, whole=False):
    def write(model, ids, n):
        state, new = None, []
        if evaluate:
            model.eval()
        for _ in range(n):
            fed = ids + new if again or not carry else new[-1:] or ids
            logits, state = model(torch.tensor([fed]), state if carry else None)
            new.append(logits[0, position].argmax().item())
        return ids + new if whole else new

    return write


def begun(first):
    """Read what `first` makes of the ids, then feed the last of the text and the new ids."""

    def write(model, ids, n):
        fed, state, new = first(ids), None, []
        model.eval()
        if fed is not ids:
            _, state = model(torch.tensor([fed]), None) if fed else (None, None)
            fed = ids[-1:]
        for _ in range(n):
            logits, state = model(torch.tensor([fed]), state)
            new.append(logits[0, -1].argmax().item())
            fed = new[-1:]
        return new

    return write


def without_the_last(model, ids, n):
    state, new, fed = None, [], ids[:-1] or ids
    for _ in range(n):
        logits, state = model.eval()(torch.tensor([fed]), state)
        new.append(logits[0, -1].argmax().item())
        fed = new[-1:]
    return new


def draws(model, ids, n):
    state, new = None, []
    for _ in range(n):
        logits, state = model.eval()(torch.tensor([new[-1:] or ids]), state)
        new.append(torch.multinomial(logits[0, -1].softmax(0), 1).item())
    return new


def char_by_char(model, ids, n):
    was, state, new = model.training, None, list(ids)
    model.eval()
    with torch.inference_mode():
        for k in range(len(ids) + n - 1):
            logits, state = model(torch.tensor([[new[k]]]), state)
            if k >= len(ids) - 1:
                new.append(int(logits.flatten().argmax()))
    model.train(was)
    return torch.tensor(new[len(ids) :])


def grows_the_list(model, ids, n):
    new = continued()(model, ids, n)
    ids += new
    return new


def improbable(model, ids, n):
    state, new = None, []
    for _ in range(n):
        logits, state = model.eval()(torch.tensor([new[-1:] or ids]), state)
        new.append(logits[0, -1].argmin().item())
    return new


def window_of_8(model, ids, n):
    new = []
    for _ in range(n):
        logits, _ = model.eval()(torch.tensor([(ids + new)[-8:]]))
        new.append(logits[0, -1].argmax().item())
    return new


def turns_off_and_writes(model, ids, n):
    torch.set_grad_enabled(False)
    return continued()(model, ids, n)


def draws_from_all(model, ids, n):
    np.random.rand()
    return continued()(model, ids, n)


def never_feeds_back(model, ids, n):
    state, new = None, []
    for _ in range(n):
        logits, state = model.eval()(torch.tensor([ids[-1:] if new else ids]), state)
        new.append(logits[0, -1].argmax().item())
    return new


def logit(p):
    return math.log(p / (1 - p))


EXERCISES = {
    "gru_units": Exercise(
        arguments={},
        right=[gru_units, by_the_root, lambda V, H: float(gru_units(V, H))],
        wrong=[
            (lambda V, H: min(499, gru_units(V, H)), "V = 65 and H = 900"),
            (lambda V, H: H, "a quarter less"),
            (lambda V, H: 4 * H // 3, "4/3 of the units"),
            (lambda V, H: max(H + 1, gru_units(V, H)), "V = 65 and H = 4"),
            (lambda V, H: gru_units(V, H) + 0.5, "come whole"),
            (lambda V, H: gru_units(V, H) + 1, "one fewer is the last that fits"),
            (lambda V, H: gru_units(V, H) + 2, "has more parameters."),
            (fewer_than, "with V = 4 and H = 5, 5 are too few"),
            (lambda V, H: gru_units(V, H) - 1, "one more would still fit"),
            (lambda V, H: gru_units(V, H, 1, 1), "both of PyTorch's biases"),
            (lambda V, H: gru_units(V, H, of_gru=1), "both of PyTorch's biases"),
            (lambda V, H: gru_units(V, H, of_lstm=1), "both of PyTorch's biases"),
            (lambda V, H: gru_units(V, H, of_gru=4 / 3), "both of PyTorch's biases"),
            (lambda V, H: gru_units(V, H, of_gru=5 / 3), "both of PyTorch's biases"),
            (lambda V, H: min(gru_units(V, H), int(1.2 * H)), "one more would still fit"),
            (lambda V, H: gru_units(V, H, output=False), "count the output layer"),
            (lambda V, H: gru_units(V, H, upper=1), "of two layers"),
            (lambda V, H: np.array([gru_units(V, H)]), "finite number"),
            (lambda V, H: "115", "finite number"),
            (forgets, "forget `return`"),
            (115, "a function is asked for"),
            (raises, "oh no"),
        ],
        unmoved=("dtype", "axis_swapped", "in_place"),
    ),
    "table_gradient": Exercise(
        arguments={},
        right=[
            lambda dx, ids, V: np.eye(V)[ids].T @ dx,
            add_at,
            lambda dx, ids, V: torch.tensor(add_at(dx, ids, V), dtype=torch.float32),
        ],
        wrong=[
            (
                lambda dx, ids, V: np.add.at(np.zeros((V, dx.shape[1])), ids, dx),
                "table in place",
            ),
            (lambda dx, ids, V: assign(dx, ids, V), "they add up"),
            (lambda dx, ids, V: dx.T @ np.eye(V)[ids], "transpose"),
            (lambda dx, ids, V: dx, "not for each step"),
            (lambda dx, ids, V: np.eye(V)[ids] @ np.ones((V, V)), "yours is (5, 7)"),
            (
                lambda dx, ids, V: np.stack(
                    [dx[ids == v].mean(0) if v in ids else 0 * dx[0] for v in range(V)]
                ),
                "no mean",
            ),
            (lambda dx, ids, V: np.eye(V)[ids].T @ np.ones_like(dx), "counted the reads"),
            (lambda dx, ids, V: -np.eye(V)[ids].T @ dx, "row v is the sum"),
            (lambda dx, ids, V: add_at(dx, ids, V).astype(int), "holds whole numbers"),
            (
                lambda dx, ids, V: (assign if V == 4 else add_at)(dx, ids, V),
                "id 3 was read 3 times, and only its last gradient",
            ),
            (lambda dx, ids, V: add_at(dx, ids, 7), "the table is (V, M)"),
            (add_on, "what does it keep?"),
            (into_one_buffer, "the same object"),
            (lambda dx, ids, V: (add_at(dx, ids, V), ids), "a table (V, M) is asked for"),
            (lambda dx, ids, V: str(add_at(dx, ids, V)), "a table (V, M) is asked for"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "next_state": Exercise(
        arguments={},
        right=[
            lambda state, k: tuple(part.detach() for part in state) if k else None,
            lambda state, k: [part.detach().clone() * (k > 0) for part in state],
            lambda state, k: tuple(p.detach().requires_grad_() for p in state) if k else None,
        ],
        wrong=[
            (
                lambda state, k: (
                    detach(state) if k else tuple(0 * p.transpose(0, 1).detach() for p in state)
                ),
                "of the shapes",
            ),
            (lambda state, k: None if k == 0 else state, "hangs on the graph"),
            (lambda state, k: None if k == 0 else (state[0].detach(), state[1]), "detach h and c"),
            (lambda state, k: tuple(part.detach() for part in state), "batch 0 begins the text"),
            (lambda state, k: None if k else tuple(p.detach() for p in state), "way round"),
            (
                lambda state, k: detach(state) if k else tuple(0 * p for p in state),
                "has its graph, too",
            ),
            (lambda state, k: detach(state) if k else torch.zeros_like(state[0]), "be a pair"),
            (lambda state, k: detach(state) if k else (torch.zeros(2, 3),) * 2, "be a pair"),
            (lambda state, k: detach(state) if k else (), "be a pair"),
            (lambda state, k: {"h": state[0].detach()} if k else None, "a pair"),
            (lambda state, k: (detach(state),) if k else None, "a pair"),
            (lambda state, k: detach(state) if k else False, "be a pair"),
            (
                lambda state, k: (
                    detach(state) if k else tuple(p.double().detach() * 0 for p in state)
                ),
                "of the type that the state has",
            ),
            (lambda state, k: detach(state) if k else 0, "be a pair"),
            (lambda state, k: detach(state) if k else (torch.zeros(2, 2, 3),) * 2, "of the shapes"),
            (
                lambda state, k: tuple(p.detach().numpy() for p in state) if k else None,
                "stay tensors",
            ),
            (
                lambda state, k: tuple(p.detach().double() for p in state) if k else None,
                "of the type",
            ),
            (first_for_ever(), "an older one"),
            (turns_gradients_off, "switches gradients off"),
            (changes_the_dtype, "default dtype"),
            (forgets, "is there a `return`"),
            (lambda state, k: tuple(0 * part for part in state), "no batch gets a state: every"),
            (lambda state, k: None if k < 2 else tuple(p.detach() for p in state), "batch 0 alone"),
            (lambda state, k: tuple(p.detach() for p in state) if k % 4 else None, "batch 0 alone"),
            (lambda state, k: detach(state) if k % 10 else None, "batch 0 alone"),
            (lambda state, k: tuple(p[-1:].detach() for p in state) if k else None, "every layer"),
            (lambda state, k: state[0].detach() if k else None, "a pair"),
            (lambda state, k: (state[0].detach(),) if k else None, "a pair"),
            (lambda state, k: tuple(p.detach() for p in state[::-1]) if k else None, "h first"),
            (lambda state, k: tuple(p.detach_() for p in state) if k else None, "caller's state"),
            (
                lambda state, k: tuple(p.detach().mul_(2) for p in state) if k else None,
                "changed the caller's state",
            ),
            (raises, "oh no"),
        ],
    ),
    "from_tensorflow": Exercise(
        arguments={},
        right=[from_tensorflow, by_splitting],
        wrong=[
            (lambda k, b, D: from_tensorflow(k, b, D, "ifgo"), "still in TensorFlow's order"),
            (lambda k, b, D: from_tensorflow(k, b, D, "igof"), "block by block"),
            (
                lambda k, b, D: from_tensorflow(k, b, D, first=len(b) // 4),
                "belong to the inputs",
            ),
            (lambda k, b, D: from_tensorflow(k, b, D, add=(0,) * 4), "PyTorch adds none"),
            (lambda k, b, D: from_tensorflow(k, b, D, add=(0, 0, 1, 0)), "the 1 went to g"),
            (lambda k, b, D: from_tensorflow(k, b, D, add=(0, 2, 0, 0)), "the matrices are right"),
            (lambda k, b, D: from_tensorflow(added(k), b, D), "into the bias alone"),
            (lambda k, b, D: from_tensorflow(added(k), b, D, add=(0,) * 4), "into the bias alone"),
            (
                lambda k, b, D: (
                    from_tensorflow(k, b, D)[0],
                    *from_tensorflow(k, b, D, "ifgo")[1:],
                ),
                "weight_ih is right, and weight_hh is not",
            ),
            (
                lambda k, b, D: (
                    from_tensorflow(k, b, D, "ifgo")[0],
                    *from_tensorflow(k, b, D)[1:],
                ),
                "weight_hh is right, and weight_ih is not",
            ),
            (lambda k, b, D: (k[:D].T, k[D:].T, b), "still in TensorFlow's order"),
            (lambda k, b, D: (k[:D], k[D:], b), "transposed?"),
            (lambda k, b, D: (*from_tensorflow(k, b, D)[:2], b[: len(b) // 4]), "bias_ih has"),
            (
                lambda k, b, D: tuple(
                    part.T.reshape(part.shape) for part in from_tensorflow(k, b, D)
                ),
                "not with reshape",
            ),
            (lambda k, b, D: from_tensorflow(k, b, D)[:2], "three arrays"),
            (lambda k, b, D: tuple(map(str, from_tensorflow(k, b, D))), "three arrays"),
            (in_the_checkpoint, "work on copies"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped",),  # the last part, the bias, has one axis
    ),
    "repaired": Exercise(
        arguments={},
        right=[stepped(), otherwise_stepped, cut_at_first],
        wrong=[
            (lambda *given: tuple(part[-1:] for part in stepped()(*given)), "is not the one after"),
            (stepped(clear=False), "clear them first"),
            (stepped(turn=True), "beside the wrong logits"),
            (stepped(clear=False, turn=True), "beside the wrong logits"),
            (stepped(cut=False), "Cut h and c"),
            (stepped(cut=False, keep=True), "Cut h and c"),
            (stepped(clear=False, turn=True, cut=False, keep=True), "beside the wrong logits"),
            (stepped(clear=False, cut=False, keep=True), "Cut h and c"),
            (stepped(between=True), "no weight has changed"),
            (without_dropout, "in training mode"),
            (gives_back, "return the state from before the batch?"),
            (stepped(rate=0.1), "0.2 times as long"),
            (stepped(clip=1.0), "which nothing clips"),
            (stepped(clip=5.0), "which nothing clips"),
            (stepped(decay=0.1), "the weights are others"),
            (
                lambda m, o, x, y, s: tuple(p.float() for p in stepped()(m, o, x, y, s)),
                "of the type",
            ),
            (lambda m, o, x, y, s: stepped()(m, o, x, y, s) and 7, "and nothing else"),
            (stops_training, "leaves it in the other"),
            (seeds_each_step, "seeds PyTorch's generator"),
            (with_its_own_optimizer, "the `optimizer` that is given"),
            (stepped(reduction="sum"), "15 times as long. The loss is the mean"),
            (lambda m, o, x, y, s: stepped()(m, o, x, y, None), "the state of the batch before"),
            (lambda m, o, x, y, s: stepped()(m, o, x, y, s)[::-1], "not the one after"),
            (lambda m, o, x, y, s: stepped()(m, o, x, y, s)[0], "and nothing else"),
            (lambda m, o, x, y, s: (0.5, stepped()(m, o, x, y, s)), "and nothing else"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "continued": Exercise(
        arguments={},
        right=[continued(), char_by_char, begun(lambda ids: ids[:-1])],
        wrong=[
            (continued(evaluate=False), "dropout on"),
            (continued(again=True), "gets it once more"),
            (continued(position=0), "at the last position"),
            (continued(carry=False), "carry the state"),
            (continued(whole=True), "the new ids alone"),
            (lambda m, ids, n: continued()(m, ids, n)[:-1], "12 new ids"),
            (begun(list), "5 were read for a text of 4: the last one of the text twice"),
            (begun(lambda ids: []), "only the last id of the text was read"),
            (without_the_last, "the last id of the text was not read"),
            (draws, "take the most probable one"),
            (never_feeds_back, "the id just written"),
            (grows_the_list, "changed the list"),
            (lambda *given: "".join(map(str, continued()(*given))), "a list of ids"),
            (lambda *given: [str(i) for i in continued()(*given)], "yours is '"),
            (lambda *given: [float(i) for i in continued()(*given)], "a whole number"),
            (lambda *given: [continued()(*given)], "none around it"),
            (lambda *given: sorted(continued()(*given)), "in another order"),
            (lambda *given: continued()(*given)[::-1], "in another order"),
            (lambda m, ids, n: continued()(m, ids[:1], n), "only the first id"),
            (
                lambda m, ids, n: continued()(m, ids[1:] or ids, n),
                "the first id of the text was not",
            ),
            (lambda m, ids, n: [0] * len(continued()(m, ids, n)), "the"),
            (improbable, "the argmax"),
            (window_of_8, "begins without a state"),
            (lambda m, ids, n: continued()(m, ids, max(1, n)), "0 new ids"),
            (turns_off_and_writes, "switches gradients off"),
            (draws_from_all, "np.random"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped", "dtype"),  # a list of whole numbers
    ),
    "bias_for": Exercise(
        arguments={},
        right=[
            lambda lag, share: logit(share ** (1 / lag)),
            lambda lag, share: -np.log(np.exp(-np.log(share) / lag) - 1),
            lambda lag, share: torch.logit(torch.tensor(share, dtype=torch.float64) ** (1 / lag)),
            lambda lag, share: np.array(logit(share ** (1 / lag))),
        ],
        wrong=[
            (lambda lag, share: -logit(share ** (1 / lag)), "the sign"),
            (lambda lag, share: logit(share), "over one step"),
            (lambda lag, share: logit(share) / lag, "the lag-th root of the share first"),
            (lambda lag, share: max(0, logit(share ** (1 / lag))), "0.5 is left after 1 step,"),
            (lambda lag, share: round(logit(share ** (1 / lag)), 3), "right, but rounded"),
            (lambda lag, share: logit(share ** (1 / lag)) // 1e-4 * 1e-4, "right, but rounded"),
            (
                lambda lag, share: logit(share ** (1 / lag)) + 3e-5,
                "0.40001 is left after 40 steps, and not 0.4",
            ),
            (lambda lag, share: share ** (1 / lag), "what one step keeps"),
            (lambda lag, share: math.log(share) / lag, "no exponential"),
            (lambda lag, share: logit(1 - share / lag), "is left after 40 steps"),
            (lambda lag, share: 4.0, "is left after 40 steps"),
            (lambda lag, share: abs(logit(share ** (1 / lag))), "less than half"),
            (lambda lag, share: max(-10, logit(share ** (1 / lag))), "1e-05"),
            (lambda lag, share: min(10, logit(share ** (1 / lag))), "after 5000 steps"),
            (lambda lag, share: math.inf, "finite number"),
            (forgets, "forget `return`"),
            (lambda lag, share: np.array([logit(share ** (1 / lag))]), "finite number"),
            (4.05, "a function is asked for"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped", "in_place"),
    ),
}

for _name, _exercise in EXERCISES.items():
    _exercise.right.extend(ch04_more.RIGHT[_name])
    _exercise.wrong.extend(ch04_more.WRONG[_name])
