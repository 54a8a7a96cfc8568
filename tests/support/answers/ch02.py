"""Right and wrong answers to the exercises of chapter 02."""

import math
from itertools import count as count_up
from itertools import pairwise

import numpy as np

from answers import Exercise, ch02_more, raises


def forgets(*given):
    len(given)


# Exercises 1 and 2


def chunk_by_places(ids, start, length):
    at = np.arange(start, start + length)
    return [ids[k] for k in at], [ids[k + 1] for k in at]


def indexed_by_ids(ids, s, n):
    return ids[s : s + n], ids[ids[s : s + n] + 1]


def stacked(ids, start, length):
    return np.stack([ids[start : start + length], ids[start + 1 : start + length + 1]])


def with_streams(ids, s, n):
    return ids[None, s : s + n], ids[None, s + 1 : s + n + 1]


def as_floats(ids, s, n):
    y = np.zeros(n)
    y[:] = ids[s + 1 : s + n + 1]
    return ids[s : s + n], y


def zeroes_the_text(ids, s, n):
    x, y = ids[s : s + n].copy(), ids[s + 1 : s + n + 1].copy()
    ids[:] = 0
    return x, y


def chunk_of_window(ids, start, length):
    window = list(ids[start : start + length + 1])
    return window[:-1], window[1:]


def chunk_pair_by_pair(ids, start, length):
    inputs, targets = zip(*[*pairwise(ids.tolist())][start : start + length], strict=True)
    return inputs, targets


def chunk_rolled(ids, start, length):
    at = slice(start, start + length)
    return ids[at].copy(), np.roll(ids, -1)[at].copy()


def as_bytes(kind):
    """The right ids in a type that holds no large ones."""
    return lambda ids, s, n: (
        ids[s : s + n].astype(kind),
        ids[s + 1 : s + n + 1].astype(kind),
    )


def chunk_with(targets):
    """The right inputs, and other targets."""
    return lambda ids, s, n: (ids[s : s + n], targets(ids, s, n))


def count(V, H):
    return 2 * (V * H + H * H + H + H * V + V)


# Exercise 3


def repaired(dh_loss, dh_next, h, Wh):
    dz = (dh_loss + dh_next) * (1 - h**2)
    return dz, dz @ Wh.T


def row_by_row(dh_loss, dh_next, h, Wh):
    dz = np.stack([(a + b) - (a + b) * c * c for a, b, c in zip(dh_loss, dh_next, h, strict=True)])
    return [dz, np.einsum("nj,ij->ni", dz, Wh)]


def step_in_loops(dh_loss, dh_next, h, Wh):
    N, H = h.shape
    dz, dh = np.zeros((N, H)), np.zeros((N, H))
    for n in range(N):
        for j in range(H):
            dz[n, j] = (dh_loss[n, j] + dh_next[n, j]) * (1 - h[n, j]) * (1 + h[n, j])
            dh[n] += dz[n, j] * Wh[:, j]
    return dz, dh


def step_in_place(dh_loss, dh_next, h, Wh):
    dz = dh_loss.copy()
    dz += dh_next
    dz *= 1 - h**2
    return np.stack([dz, dz @ Wh.T])


def step_in_lists(dh_loss, dh_next, h, Wh):
    dz = ((dh_loss + dh_next) * (1 - np.square(h))).tolist()
    return dz, [[sum(z * w for z, w in zip(row, to, strict=True)) for to in Wh] for row in dz]


def where(seen, otherwise=repaired):
    """An answer that is wrong on some inputs alone: what it does there, `seen` says, or None."""

    def answer(*given):
        other = seen(*given)
        return otherwise(*given) if other is None else other

    return answer


def clipped_step(most):
    return lambda *given: [np.clip(part, -most, most) for part in repaired(*given)]


def with_dz(dz_of):
    """An answer whose dz is another one, and which goes on rightly from it."""

    def answer(dh_loss, dh_next, h, Wh):
        dz = dz_of(dh_loss, dh_next, h)
        return dz, dz @ Wh.T

    return answer


def back(dh_of):
    """An answer whose dz is right, and whose gradient of the h before is another one."""

    def answer(a, b, h, Wh):
        dz = (a + b) * (1 - h**2)
        return dz, dh_of(dz, a, b, Wh)

    return answer


def slope_twice(dh_loss, dh_next, h, Wh):
    dz = (dh_loss + dh_next) * (1 - h**2)
    return dz, dz @ Wh.T * (1 - h**2)


# Exercise 4

TABLE = {
    "A": "mean over streams",
    "B": "row overwritten",
    "C": "not divided",
    "D": "old slope",
    "E": "Wh.T forgotten",
}

# Exercise 6


def adagrad(gradients, rate):
    return -rate * gradients / (np.sqrt(np.cumsum(gradients**2, axis=0)) + 1e-10)


def adagrad_in_a_loop(gradients, rate):
    s, changes = np.zeros(gradients.shape[1]), []
    for g in gradients:
        s = s + g**2
        changes.append(-rate * g / (np.sqrt(s) + 1e-10))
    return np.stack(changes)


def adagrad_where(gradients, rate):
    root = np.sqrt(np.cumsum(gradients**2, axis=0))
    return -rate * np.divide(gradients, root, out=np.zeros_like(root), where=root > 0)


def adagrad_of_lists(gradients, rate):
    rows = []
    for k in range(len(gradients)):
        s = [sum(float(g) ** 2 for g in column[: k + 1]) for column in gradients.T]
        rows.append(
            [-rate * g / (math.sqrt(x) + 1e-10) for g, x in zip(gradients[k], s, strict=True)]
        )
    return rows


def adagrad_of_weights(gradients, rate):
    s, w, changes = np.zeros(gradients.shape[1]), np.ones(gradients.shape[1]), []
    for g in gradients:
        before = w.copy()
        s += g.astype(float) ** 2
        w -= rate * g / (s**0.5 + 1e-10)
        changes.append(w - before)
    return tuple(changes)


def adagrad_in_32_bits(gradients, rate):
    g = gradients.astype(np.float32)
    out = np.empty_like(g)
    for k in range(len(g)):
        out[k] = -rate * g[k] / (np.sqrt((g[: k + 1] ** 2).sum(axis=0)) + 1e-10)
    return out


def adagrad_like(gradients, rate):
    out, s = np.zeros_like(gradients), np.zeros(gradients.shape[1])
    for k, g in enumerate(gradients):
        s = s + g**2
        out[k] = -rate * g / (np.sqrt(s) + 1e-10)
    return out


def adagrad_from_the_second(gradients, rate):
    out, s = np.zeros(gradients.shape), np.zeros(gradients.shape[1])
    for k in range(1, len(gradients)):
        s = s + gradients[k] ** 2
        out[k] = -rate * gradients[k] / (np.sqrt(s) + 1e-10)
    return out


def adagrad_by_norm(gradients, rate):
    norms = np.linalg.norm(gradients, axis=1, keepdims=True)
    return adagrad(gradients * np.minimum(1, 5 / np.maximum(norms, 5)), rate)


def adagrad_that_forgets(share):
    def answer(gradients, rate):
        s, changes = 0, []
        for g in gradients:
            s = 0.9 * s + share * g**2
            changes.append(-rate * g / (np.sqrt(s) + 1e-10))
        return np.stack(changes)

    return answer


def summed(gradients):
    return np.cumsum(gradients**2, axis=0)


def adagrad_of_the_sum(gradients, rate):
    s, changes = np.zeros(gradients.shape[1]), []
    for g in gradients:
        s = s + g
        changes.append(-rate * g / (np.sqrt(s) + 1e-10))
    return np.stack(changes)


def adagrad_in_one_array(gradients, rate):
    s, change, changes = np.zeros(gradients.shape[1]), np.zeros(gradients.shape[1]), []
    for g in gradients:
        s += g**2
        change[:] = -rate * g / (np.sqrt(s) + 1e-10)
        changes.append(change)
    return np.array(changes)


def over(root):
    """AdaGrad with something else below the line."""
    return lambda g, rate: -rate * g / (root(g) + 1e-10)


def root_of_the_mean(g):
    return np.sqrt(np.cumsum(g**2, axis=0) / np.arange(1, len(g) + 1)[:, None])


# Exercise 7


def counted(factor, share):
    k = 0
    while factor**k >= share:
        k += 1
    return k


def up_to(most):
    """A loop that gives up, and returns nothing then."""
    return lambda f, s: next((k for k in range(most) if f**k < s), None)


def tie_by_logarithm(factor, share):
    k = math.ceil(math.log(share) / math.log(factor))
    return k + 1 if factor**k == share else k


def chunk_by_value(ids, start, length):
    follower = {int(a): b for a, b in reversed([*pairwise(ids)])}
    x = ids[start : start + length]
    return x, np.array([follower[int(each)] for each in x])


def by_array(factor, share):
    return int(np.argmax(factor ** np.arange(150_000) < share))


def by_powers_of_numpy(factor, share):
    k = 0
    while np.power(factor, k) >= share:
        k += 1
    return k


def from_logarithm(factor, share):
    k = max(1, math.floor(math.log(share) / math.log(factor)) - 2)
    while factor**k >= share:
        k += 1
    return np.int64(k)


def shares_out(factor, share):
    k, reached = 1, factor
    while not reached < share:
        reached *= factor
        k += 1
    return float(k)


def by_log(log, up=0.0):
    return lambda f, s: math.floor(log(s) / log(f) + up) + 1


KEPT = np.zeros((2, 3000), dtype=int)


def into_a_kept_array(ids, start, length):
    KEPT[:, :length] = ids[start : start + length], ids[start + 1 : start + length + 1]
    return KEPT[0, :length], KEPT[1, :length]


def corrected_upwards(factor, share):
    k = math.ceil(math.log(share) / math.log(factor))
    return k + 1 if factor**k >= share else k


def rounded_to(digits):
    return lambda f, s: math.floor(round(math.log(s) / math.log(f), digits)) + 1


def close_counts(factor, share):
    k = 1
    while factor**k >= share or math.isclose(factor**k, share):
        k += 1
    return k


def floor_plus_one(factor, share):
    return math.floor(math.log(share) / math.log(factor)) + 1


def multiplied(factor, share):
    k, left = 0, 1.0
    while left >= share:
        k, left = k + 1, left * factor
    return k


# Exercise 8


def leaky(dh, g, Wh, leak):
    dz = leak * dh * (1 - g**2)
    return dz, (1 - leak) * dh + dz @ Wh.T


def leaky_from_the_candidate(dh, g, Wh, leak):
    dg = dh * leak
    dz = dg - dg * g * g
    return dz, dh - dg + (Wh @ dz.T).T


def leaky_of_the_jacobian(dh, g, Wh, leak):
    eye = np.eye(len(Wh))
    steps = [(1 - leak) * eye + Wh * (leak * (1 - row**2)) for row in g]
    return leak * (1 - g**2) * dh, [step @ row for step, row in zip(steps, dh, strict=True)]


def leaky_in_loops(dh, g, Wh, leak):
    dz, before = np.zeros_like(dh), (1 - leak) * dh
    for n in range(len(dh)):
        dz[n] = leak * dh[n] * (1 - g[n]) * (1 + g[n])
        before[n] += Wh @ dz[n]
    return np.stack([dz, before])


def leaky_in_lists(dh, g, Wh, leak):
    dz, before = leaky(dh, g, Wh, leak)
    return dz.tolist(), before.tolist()


def leaky_of_a(a):
    return lambda dh, g, Wh, leak: leaky(dh, g, Wh, a)


def leaky_before(of):
    """An answer whose dz is right, and whose gradient of the h before is another one."""

    def answer(dh, g, Wh, leak):
        dz = leak * dh * (1 - g**2)
        return dz, of(dh, dz, Wh, leak)

    return answer


EXERCISES = {
    "chunk": Exercise(
        arguments={},
        right=[
            lambda ids, s, n: (ids[s : s + n], ids[s + 1 : s + n + 1]),
            lambda ids, start, length: (ids[start:][:length], ids[start + 1 :][:length]),
            chunk_by_places,
            stacked,
            chunk_of_window,
            chunk_pair_by_pair,
            chunk_rolled,
        ],
        wrong=[
            (into_a_kept_array, "every call returns the same object"),
            (chunk_by_value, "that follows input i"),
            (lambda ids, s, n: (ids[s : s + n], ids[s : s + n]), "are not shifted"),
            (lambda ids, s, n: (ids[s : s + n], ids[s - 1 : s + n - 1]), "the wrong way"),
            (lambda ids, s, n: (ids[s : s + n - 1], ids[s + 1 : s + n]), "yours have 2 and 2"),
            (lambda ids, s, n: (ids[s:n], ids[s + 1 : n + 1]), "yours have 0 and 0"),
            (lambda ids, s, n: (ids[s : s + n], ids[n : n + n]), "are not shifted"),
            (lambda ids, s, n: (ids[s + 1 : s + n + 1], ids[s + 2 : s + n + 2]), "from `start` on"),
            (lambda ids, s, n: (ids[s : s + n], ids[s + 2 : s + n + 2]), "follows input i"),
            (lambda ids, s, n: (ids[s : s + n], ids[s : s + n] + 1), "added 1 to the ids"),
            (lambda ids, s, n: (ids[s : s + n], ids[s + n]), "not a single id"),
            (lambda ids, s, n: (ids[s : s + n], ids[s + n + 1]), "not a single id"),
            (lambda ids, s, n: (ids[s : s + n], np.roll(ids[s : s + n], -1)), "follows input i"),
            (lambda ids, s, n: (ids[s : s + n], ids[s + n : s + 2 * n]), "the next chunk"),
            (as_floats, "ids are whole numbers"),
            (with_streams, "without another axis; yours are (1, 3) and (1, 3)"),
            (
                lambda *given: np.stack(with_streams(*given)),
                "without another axis; yours are (1, 3) and (1, 3)",
            ),
            (indexed_by_ids, "characters, not places"),
            (lambda ids, s, n: (ids[99], ids[100]), "characters, not places"),
            (lambda ids, s, n: ids[s : s + n], "return two arrays"),
            (zeroes_the_text, "changed the text"),
            (as_bytes(np.int8), "for the text ["),
            (as_bytes(np.uint8), "the inputs must be"),
            (chunk_with(lambda ids, s, n: ids[s + 1 : -1][:n]), "must have `length`"),
            (chunk_with(lambda ids, s, n: np.roll(ids[s : s + n + 1], 1)[:-1]), "follows input i"),
            (
                chunk_with(lambda ids, s, n: np.array([ids[k] for k in range(s + 1, s + n)])),
                "yours",
            ),
            (chunk_with(lambda ids, s, n: [*ids[s + 1 : s + n], ids[s + n - 1]]), "input i"),
            (chunk_with(lambda ids, s, n: [*ids[s + 1 : s + n], ids[0]]), "follows input i"),
            (chunk_with(lambda ids, s, n: ids[s + 1 : s + n + 1][::-1]), "follows input i"),
            (chunk_with(lambda ids, s, n: ids[1 : n + 1]), "follows input i"),
            (chunk_with(lambda ids, s, n: ids[s + 1 : s + n + 2][:-1] % 64), "follows input i"),
            (
                chunk_with(lambda ids, s, n: [ids[list(ids).index(c) + 1] for c in ids[s : s + n]]),
                "i",
            ),
            (chunk_with(lambda ids, s, n: [ids[k + 1] for k in range(s, s + n + 1)][:n]), "behind"),
            (lambda ids, s, n: (ids[:n], ids[1 : n + 1]), "from `start` on"),
            (lambda ids, s, n: (ids[s : s + 25], ids[s + 1 : s + 26]), "must have `length`"),
            (lambda ids, s, n: (np.unique(ids[s : s + n]), ids[s + 1 : s + n + 1]), "from `start`"),
            (lambda ids, s, n: (ids[s:-1][: n + 1], ids[s + 1 :][: n + 1]), "must have `length`"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped", "dtype"),
    ),
    "forward_passes": Exercise(
        arguments={},
        right=[
            count,
            lambda V, H: 2 * sum(np.prod(s) for s in ((V, H), (H, H), (H,), (H, V), (V,))),
            lambda V, H: 2.0 * (H * (2 * V + H + 1) + V),
            lambda V, H: np.int64(2) * np.add(V * (H + 1), H * (V + H + 1)),
            lambda V, H: sum(2 * np.zeros(s).size for s in ((V, H), (H, H), H, (H, V), V)),
            lambda V, H: np.array([V * H, H * H, H, H * V, V]).sum() * 2,
        ],
        wrong=[
            (lambda V, H: count(V, H) // 2, "up, and down"),
            (lambda V, H: count(V, H) // 2 + 1, "to one side"),
            (lambda V, H: count(V, H) + 1, "the loss at the place itself"),
            (lambda V, H: 3 * count(V, H) // 2, "the loss at the place itself"),
            (lambda V, H: 2 * (2 * V * H + H * H), "two biases"),
            (lambda V, H: count(V, H) - 2 * H, "b, the bias"),
            (lambda V, H: count(V, H) - 2 * V, "by, the bias"),
            (lambda V, H: count(V, H) - 2 * V * H, "both Wx and Wy"),
            (lambda V, H: count(V, H) - 2 * H * H, "Wh, from the old"),
            (lambda V, H: count(V, H) + 2 * H, "the first state"),
            (lambda V, H: count(V, H) + 2 * H, "has one bias"),
            (lambda V, H: count(V, H) // 2, "For V = 80"),
            (lambda V, H: 52_360, "For V = 5"),
            (lambda V, H: count(V, H) ** 2, "count the entries"),
            (lambda V, H: 2 * count(V, H), "twice as many"),
            (lambda V, H: count(H, V), "count the entries"),
            (lambda V, H: count(V, H) - 2 * V + 2 * H, "count the entries"),
            (lambda V, H: 2 * (V * H + V * V + H + H * V + V), "count the entries"),
            (lambda V, H: 2 * V * H + H * H + H + H * V + V, "count the entries"),
            (lambda V, H: 2 * (2 * V * H + 2 * H + H + V), "count the entries"),
            (lambda V, H: 2 * (V * H + H * H + H), "count the entries"),
            (lambda V, H: 2 * (2 * V * H + H**2) + H + V, "count the entries"),
            (lambda V, H: count(V, H) if V != H else 6 * V * H, "For V = "),
            (lambda V, H: count(V, H) if V > 1 else 2 * H * H + 6 * H, "For V = 1 and"),
            (lambda V, H: int(np.uint16(count(V, H) % 2**16)), "For V = "),
            (lambda V, H: round(count(V, H), -1), "than 90"),
            (lambda V, H: "many", "a finite number"),
            (forgets, "forget `return`"),
            (52_360, "a function is asked for"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped", "dtype", "in_place"),
    ),
    "step_back": Exercise(
        arguments={},
        right=[repaired, row_by_row, step_in_loops, step_in_place, step_in_lists],
        wrong=[
            (with_dz(lambda a, b, h: a * (1 - h**2)), "forgot to add dh"),
            (with_dz(lambda a, b, h: (a + b if b.all() else a) * (1 - h**2)), "forgot to add dh"),
            (with_dz(lambda a, b, h: (a + b if b.sum() else a) * (1 - h**2)), "forgot to add dh"),
            (with_dz(lambda a, b, h: (a + b if a.all() else b) * (1 - h**2)), "dh_loss is miss"),
            (with_dz(lambda a, b, h: b * (1 - h**2)), "dh_loss is missing"),
            (with_dz(lambda a, b, h: a + b * (1 - h**2)), "needs brackets"),
            (with_dz(lambda a, b, h: a + b), "before the tanh"),
            (with_dz(lambda a, b, h: (a + b) * (1 - np.tanh(h) ** 2)), "h is the tanh already"),
            (with_dz(lambda a, b, h: (a + b) * (1 + h**2)), "with a minus"),
            (with_dz(lambda a, b, h: (a + b) * h * (1 - h)), "the sigmoid"),
            (with_dz(lambda a, b, h: (a - b) * (1 - h**2)), "entry by entry"),
            (back(lambda dz, a, b, Wh: dz @ Wh), "the transpose"),
            (back(lambda dz, a, b, Wh: (a + b) @ Wh.T), "send dz back"),
            (with_dz(lambda a, b, h: (a - b) * (1 - h**2)), "1 - h²"),
            (back(lambda dz, a, b, Wh: dz @ Wh.T + b), "dh_next is in dz already"),
            (back(lambda dz, a, b, Wh: dz @ Wh.T + a), "dh_loss is in dz already"),
            (back(lambda dz, a, b, Wh: dz @ Wh.T + a + b), "do not add them again"),
            (slope_twice, "a slope twice"),
            (back(lambda dz, a, b, Wh: b), "dz is right"),
            (lambda a, b, h, Wh: (a + b) * (1 - h**2), "you return one array"),
            (lambda a, b, h, Wh: (a + b,), "return two arrays"),
            (lambda a, b, h, Wh: ((a + b)[0], a), "the shape of h"),
            (lambda a, b, h, Wh: repaired(a, b, h, Wh)[::-1], "return dz first"),
            (lambda a, b, h, Wh: repaired(np.add(a, b, out=a), 0, h, Wh), "changed its arguments"),
            (clipped_step(5), "for N = "),
            (clipped_step(1), "entry by entry"),
            (with_dz(lambda a, b, h: (a + b) * (1 - h)), "entry by entry"),
            (with_dz(lambda a, b, h: (a + b) * np.sqrt(1 - h**2)), "entry by entry"),
            (with_dz(lambda a, b, h: (a + b) * (1 - h**2) / len(h)), "entry by entry"),
            (with_dz(lambda a, b, h: (a + b) / 2 * (1 - h**2)), "entry by entry"),
            (with_dz(lambda a, b, h: np.where(h > 0, a + b, 0)), "entry by entry"),
            (back(lambda dz, a, b, Wh: dz @ (Wh + Wh.T) / 2), "reached z by h @ Wh"),
            (back(lambda dz, a, b, Wh: dz @ np.linalg.inv(Wh)), "reached z by h @ Wh"),
            (back(lambda dz, a, b, Wh: np.repeat(dz[:1] @ Wh.T, len(dz), 0)), "by h @ Wh"),
            (back(lambda dz, a, b, Wh: (Wh @ dz.T).reshape(dz.shape)), "by h @ Wh"),
            (back(lambda dz, a, b, Wh: Wh.T @ dz), "stands on the left of @"),
            (back(lambda dz, a, b, Wh: Wh @ dz), "stands on the left of @"),
            (where(lambda a, b, h, Wh: (a, a) if len(h) == len(Wh) else None), "for N = "),
            (where(lambda a, b, h, Wh: (a, a) if len(h) > len(Wh) else None), "for N = "),
            (where(lambda a, b, h, Wh: (b, a) if not b.any() else None), "dh_next = 0"),
            (where(lambda a, b, h, Wh: (a, a @ Wh) if len(Wh) == 1 else None), "H = 1"),
            (
                where(lambda a, b, h, Wh: (a, b) if np.abs(a + b).max() < 1e-3 else None),
                "gradients near ",
            ),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "bug_table": Exercise(
        arguments={},
        right=[
            TABLE,
            dict(reversed(TABLE.items())),
            {row: bug.capitalize().replace(" ", "_") for row, bug in TABLE.items()},
        ],
        wrong=[
            (TABLE | {"C": "target added"}, "C is not 'target added'"),
            (TABLE | {"A": "not divided"}, "A is not 'not divided'"),
            (TABLE | {"D": "Wh.T forgotten"}, "only h0 sees"),
            (TABLE | {"B": "mean over streams"}, "halves the gradient of b"),
            (TABLE | {"E": "row overwritten"}, "a row of dWx"),
            (TABLE | {"E": ...}, "E has no answer yet"),
            (TABLE | {"E": "bad luck"}, "is no bug here"),
            (TABLE | {"E": ["old slope"]}, "is no bug here"),
            (dict.fromkeys("ABCDE", "old slope"), "A is not 'old slope'"),
            (TABLE | {"A": "row overwritten", "B": "mean over streams"}, "A is not"),
            (TABLE | {"D": "Wh.T forgotten", "E": "old slope"}, "D is not"),
            (TABLE | {"C": "old slope", "D": "not divided"}, "spoils what comes from dz"),
            (TABLE | {"C": "old slope", "D": "target added"}, "C is not 'old slope'"),
            (TABLE | {"D": "target added"}, "D is not 'target added'"),
            (TABLE | {"B": "Wh.T forgotten"}, "only h0 sees"),
            (TABLE | {"A": ""}, "is no bug here"),
            (TABLE | {"F": "target added"}, "for each of A, B, C, D, E"),
            ({name: row for row, name in TABLE.items()}, "for each of A, B, C, D, E"),
            ({row.lower(): name for row, name in TABLE.items()}, "for each of A, B, C, D, E"),
            ({"A": "old slope"}, "for each of A, B, C, D, E"),
            (list(TABLE.values()), "give a dict"),
        ],
        unmoved=("off_by_one", "axis_swapped", "sign", "dtype"),
    ),
    "revealing_batch": Exercise(
        arguments={},
        right=[
            np.array([[0, 1, 2], [0, 2, 3]]),
            [[3, 3, 3], [3, 3, 3]],
            np.array([[1, 0, 2], [0, 1, 2]], np.uint8),
            ((2, 3, 1), (3, 3, 1)),
            [np.array([0, 1, 2]), np.array([1, 2, 2])],
            np.zeros((2, 3), dtype=int),
        ],
        wrong=[
            ([[2, 3, 1], [3, 1, 3]], "at two steps"),
            ([[0, 0, 0], [1, 1, 1]], "at two steps"),
            ([[0, 1, 2], [1, 2, 3]], "two different rows"),
            ([[0, 1], [0, 1], [0, 1]], "2 streams and 3 steps"),
            ([0, 0, 0], "2 streams and 3 steps"),
            ([[4, 1, 2], [4, 2, 3]], "whole numbers 0, 1, 2 and 3"),
            ([[-1, 1, 2], [-1, 2, 3]], "whole numbers 0, 1, 2 and 3"),
            ([[0.0, 1, 2], [0, 2, 3]], "of an integer type"),
            ([[True, True, False], [True, False, False]], "of an integer type"),
            ([[0.5, 1, 2], [0.5, 2, 3]], "whole numbers 0, 1, 2 and 3"),
            ("abc", "2 streams and 3 steps"),
            ([[2, 3, 1], [3, 1, 3]][::-1], "at two steps"),
            ([[0, 1, 2], [3, 0, 1]], "two different rows"),
            ([[0, 1, 0], [1, 0, 1]], "at two steps"),
            ([[3, 2, 1], [1, 3, 2]], "two different rows"),
            ([[-1, 1, 2], [3, 2, 0]], "whole numbers 0, 1, 2 and 3"),
            ([[0, 1, 2, 3], [0, 2, 1, 3]], "2 streams and 3 steps"),
            ([[[0, 1, 2], [0, 2, 1]]], "2 streams and 3 steps"),
            ([[1, 2, 3], [1, 3, 4]], "whole numbers 0, 1, 2 and 3"),
            ([["0", "1", "2"], ["0", "2", "1"]], "whole numbers 0, 1, 2 and 3"),
            (np.eye(4, dtype=int)[[[0, 1, 2], [0, 2, 1]]], "2 streams and 3 steps"),
            ([[0, 1, 2], [0, 2]], "of the same length"),
        ],
        # Rolled along the steps, it is another batch that shows the bug.
        unmoved=("off_by_one", "dtype"),
    ),
    "adagrad_changes": Exercise(
        arguments={},
        right=[
            adagrad,
            adagrad_in_a_loop,
            adagrad_of_lists,
            adagrad_of_weights,
            adagrad_in_32_bits,
            adagrad_like,
            lambda g, rate: np.negative(rate * g) / ((g * 1.0 * g).cumsum(0) ** 0.5 + 1e-10),
        ],
        wrong=[
            (lambda g, rate: -adagrad(g, rate), "uphill"),
            (
                lambda g, rate: np.vstack([adagrad(g[:-1], rate), 0 * g[-1:]]),
                "your last change is 0",
            ),
            (lambda g, rate: -rate * g, "plain SGD"),
            (over(np.abs), "yours forgets them"),
            (over(lambda g: np.cumsum(g**2, axis=0)), "the root of s"),
            (lambda g, rate: adagrad(g, 1), "do not depend on the rate"),
            (lambda g, rate: adagrad(g, 0.1), "yours is 0.1 in every call"),
            (lambda g, rate: -np.abs(adagrad(g, rate)), "with its sign"),
            (lambda g, rate: np.abs(adagrad(g, rate)), "with its sign"),
            (over(root_of_the_mean), "and not their mean"),
            (over(lambda g: np.sqrt((g**2).sum(axis=0))), "over all steps"),
            (over(lambda g: np.sqrt(np.cumsum(g**2, axis=1))), "its own s"),
            (over(lambda g: np.sqrt(np.cumsum(g**2, axis=0) - g**2)), "own square"),
            (lambda g, rate: np.cumsum(adagrad(g, rate), axis=0), "places"),
            (over(lambda g: np.abs(np.cumsum(g, axis=0))), "both signs"),
            (lambda g, rate: -rate * g / np.sqrt(np.cumsum(g**2, axis=0)), "0/0"),
            (lambda g, rate: -rate * g / np.sqrt(np.cumsum(g**2, axis=0) + 1e-10), "not under it"),
            (over(lambda g: np.sqrt(np.cumsum(g**2, axis=0)) + 1e-8), "yours is about 1e-08"),
            (over(lambda g: np.sqrt(np.cumsum(g**2, axis=0)) + 1e-4), "yours is about 1e-04"),
            (lambda g, rate: [[1.0, 2.0], [3.0]], "rows of one length"),
            (lambda g, rate: adagrad(np.clip(g, -5, 5), rate), "you clip"),
            (adagrad_of_the_sum, "s sums the squares"),
            (adagrad_in_one_array, "append a copy"),
            (over(lambda g: np.sqrt(np.cumsum((g**2).sum(axis=1)))[:, None]), "one s for all"),
            (over(lambda g: np.sqrt(np.cumsum(g**2)).reshape(g.shape)), "with axis=0"),
            (adagrad_that_forgets(0.1), "the older ones fade"),
            (adagrad_that_forgets(1), "the older ones fade"),
            (lambda g, rate: -rate * g / np.sqrt(summed(g)) + 1e-10, "needs brackets"),
            (lambda g, rate: -(rate * g / np.sqrt(summed(g)) + 1e-10), "needs brackets"),
            (lambda g, rate: -rate * g / np.sqrt(summed(g)) + 1e-4, "needs brackets"),
            (lambda g, rate: -rate * g / np.sqrt(summed(g) + 1e-8), "not under it"),
            (lambda g, rate: -rate * g / np.sqrt(summed(g) + 1e-6), "not under it"),
            (over(lambda g: np.sqrt(summed(g) + g[0] ** 2)), "begins at the first square"),
            (
                over(lambda g: np.sqrt(summed(g) + 1)),
                "s begins at 0 in each call, and yours at about 1",
            ),
            (
                over(lambda g: np.sqrt(summed(g) + 0.1)),
                "s begins at 0 in each call, and yours at about 0.1",
            ),
            (over(lambda g: 2 * np.sqrt(summed(g))), "add the step's square"),
            (lambda g, rate: -rate * g / (np.sqrt(summed(g)) + 1e-16), "ε counts: it is 1e-10"),
            (lambda g, rate: -rate * g / (np.sqrt(summed(g)) + 1e10), "stands about 1e+10"),
            (lambda g, rate: adagrad(25 * g, rate), "yours is about 4e-12"),  # which is the same
            (lambda g, rate: adagrad(rate * g, 1), "do not depend on the rate"),
            (
                lambda g, rate: adagrad(g / np.maximum(1, np.linalg.norm(g, axis=0)), rate),
                "for gradients",
            ),
            (lambda g, rate: adagrad(np.clip(g, -1e6, 1e6), rate), "for gradients"),
            (lambda g, rate: adagrad(g, rate)[-1], "for each step"),
            (adagrad_where, "ε counts: it is 1e-10"),
            (adagrad_from_the_second, "your first change is 0"),
            (adagrad_by_norm, "you clip"),
            (lambda g, rate: adagrad(np.clip(g, -1, 1), rate), "you clip"),
            (lambda g, rate: adagrad(np.clip(g, -100, 100), rate), "for gradients"),
            (lambda g, rate: np.nan_to_num(-rate * g / np.sqrt(summed(g))), "it is 1e-10"),
            (over(lambda g: np.sqrt(summed(g)) - 0.9e-10), "yours is about 1e-11"),
            (over(lambda g: np.sqrt(summed(g)) + 1e-10), "yours is about 2e-10"),
            (lambda g, rate: -rate * g / np.sqrt(summed(g) + 1e-20), "not under it"),
            (lambda g, rate: -rate * g / np.maximum(np.sqrt(summed(g)), 1e-10), "ε"),
            (over(lambda g: np.cumsum(np.abs(g), axis=0)), "yours sums the sizes"),
            (over(lambda g: np.sqrt(np.cumsum(g**2, axis=0) / len(g))), "add the step's square"),
            (over(lambda g: np.sqrt(np.maximum.accumulate(g**2, axis=0))), "add the step's square"),
            (lambda g, rate: adagrad(g[::-1], rate)[::-1], "add the step's square"),
            (lambda g, rate: adagrad(g, min(rate, 2.0)), "the rate"),
            (lambda g, rate: adagrad(np.where(abs(g) < 1e-6, 0, g), rate), "small gradients move"),
            (lambda g, rate: adagrad(g, rate).astype(np.float16), "change"),
            (lambda g, rate: adagrad(g.T, rate).T, "not over the weights"),
            (lambda g, rate: np.diff(adagrad(g, rate), axis=0), "for each step"),
            (lambda g, rate: adagrad(np.negative(g, out=g), -rate), "changed the gradients"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "steps_until": Exercise(
        arguments={},
        right=[
            counted,
            multiplied,
            up_to(1_000_000),
            by_powers_of_numpy,
            by_array,
            from_logarithm,
            shares_out,
            lambda f, s: next(k for k in count_up(1) if math.pow(f, k) < s),
        ],
        wrong=[
            (lambda f, s: math.floor(round(math.log(s) / math.log(f), 2)) + 1, "k"),
            (lambda f, s: math.ceil(math.log(s) / math.log(f) + 1e-3), "k"),
            (lambda f, s: round(math.log(s) / math.log(f)), "0.001003 is left"),
            (lambda f, s: int(math.log(s) / math.log(f)), "0.001003 is left"),
            (lambda f, s: math.ceil(math.log(s) / math.log(f)), "exactly 0.125 is left"),
            (lambda f, s: floor_plus_one(f, s) + 1, "holds before 26 steps already"),
            (lambda f, s: math.log(s) / math.log(f), "whole number, and not 24.01"),
            (lambda f, s: math.floor(math.log(s / f)), "the signs of logarithms"),
            (
                floor_plus_one,
                "after 5 steps exactly 0.095367431640625 is left, and not less. Log",
            ),
            (lambda f, s: counted(f, s * (1 + 1e-12)), "exactly 0.125 is left"),
            (up_to(1000), "0.9999ᵏ < 1e-06: your function returns nothing here"),
            (up_to(100_000), "0.9999ᵏ < 1e-06: your function returns nothing here"),
            (by_log(math.log2), "0.625ᵏ < 0.095367431640625: after 5 steps exactly"),
            (by_log(math.log10), "0.375ᵏ < 0.00014664977788925174: it holds before 10 steps"),
            (by_log(math.log, 1e-3), "holds before"),
            (by_log(math.log, 1e-9), "holds before"),
            (rounded_to(3), "holds before"),
            (rounded_to(6), "holds before"),
            (corrected_upwards, "it holds before"),
            (rounded_to(12), "0.5ᵏ < 0.5000000000000009: it holds before 2 steps"),
            (rounded_to(9), "0.5ᵏ < 0.5000000000000009: it holds before 2 steps"),
            (close_counts, "0.5ᵏ < 0.5000000000000009: it holds before 2 steps"),
            (lambda f, s: 1 if s >= f else counted(f, s), "0.3ᵏ < 0.3: after 1 step exactly 0.3"),
            (lambda f, s: counted(f, max(s, 1e-12)), "0.5ᵏ < 1e-300"),
            (lambda f, s: counted(f, round(s, 3)) if s > 0.01 else counted(f, s), "0.5"),
            (lambda f, s: min(counted(f, s), 1000), "after 1000 steps"),
            (lambda f, s: round(math.log(s) / math.log(f) + 0.5), "0.625ᵏ"),
            (lambda f, s: counted(1 - f, s), "0.2373 is left"),
            (lambda f, s: counted(s, f), "after 1 step 0.75 is left"),
            (
                lambda f, s: next((k for k in range(1000) if f**k < s), 1000),
                "after 1000 steps 0.9048 is left",
            ),
            (tie_by_logarithm, "0.375ᵏ < 0.00014664977788925174: it holds before 10 steps"),
            (up_to(10_000), "0.9999ᵏ < 1e-06: your function returns nothing here"),
            (
                lambda f, s: next((k for k in range(10_000) if f**k < s), 10_000),
                "after 10000 steps 0.3679 is left",
            ),
            (up_to(100), "0.5ᵏ < 1e-300: your function returns nothing here"),
            (up_to(10), "0.75ᵏ < 0.001: your function returns nothing here"),
            (lambda f, s: 25, "0.93ᵏ"),
            (lambda f, s: 1, "after 1 step 0.75 is left"),
            (lambda f, s: "25", "a finite number"),
            (forgets, "forget `return`"),
            (25, "a function is asked for"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped", "dtype", "in_place"),
    ),
    "leaky_step_back": Exercise(
        arguments={},
        right=[
            leaky,
            leaky_from_the_candidate,
            leaky_of_the_jacobian,
            leaky_in_loops,
            leaky_in_lists,
        ],
        wrong=[
            (lambda dh, g, Wh, a: repaired(dh, 0, g, Wh), "its gradient is a · dh"),
            (lambda dh, g, Wh, a: (a * dh, a * dh @ Wh.T), "before the tanh"),
            (lambda dh, g, Wh, a: (a * dh * (1 - np.tanh(g) ** 2), dh), "g is the tanh already"),
            (lambda dh, g, Wh, a: (a * dh * (1 + g**2), dh), "with a minus"),
            (lambda dh, g, Wh, a: ((1 - a) * dh * (1 - g**2), dh), "the new part g"),
            (lambda dh, g, Wh, a: leaky(a * dh, g, Wh, a), "before g once"),
            (lambda dh, g, Wh, a: (a * dh * (1 - g), dh), "derivative of tanh, 1 - g²"),
            (lambda dh, g, Wh, a: (a * dh * (1 - dh**2), dh), "derivative of tanh, 1 - g²"),
            (lambda dh, g, Wh, a: (a * dh * (1 - (a * g) ** 2), dh), "not a · g"),
            (leaky_before(lambda dh, dz, Wh, a: ((1 - a) * dh + dz) @ Wh.T), "does not pass Wh"),
            (leaky_before(lambda dh, dz, Wh, a: ((1 - a) * dh + dz) @ Wh), "does not pass Wh"),
            (leaky_before(lambda dh, dz, Wh, a: (1 - a) * dh @ Wh.T + dz), "are swapped"),
            (leaky_before(lambda dh, dz, Wh, a: (1 - a) * dh + dz), "reached z by h @ Wh"),
            (leaky_before(lambda dh, dz, Wh, a: dz @ Wh.T), "one directly"),
            (leaky_before(lambda dh, dz, Wh, a: (1 - a) * dh), "through z"),
            (leaky_before(lambda dh, dz, Wh, a: dh + dz @ Wh.T), "is multiplied by 1 - a"),
            (leaky_before(lambda dh, dz, Wh, a: a * dh + dz @ Wh.T), "not a."),
            (leaky_before(lambda dh, dz, Wh, a: (1 - a) * dh + dz @ Wh), "back it is Wh.T"),
            (leaky_before(lambda dh, dz, Wh, a: (1 - a) * (dh + dz @ Wh.T)), "only the direct way"),
            (leaky_before(lambda dh, dz, Wh, a: (1 - a) * dh + a * dz @ Wh.T), "has it twice"),
            (
                lambda dh, g, Wh, a: (
                    a * dh * (1 - g**2),
                    (1 - a) * dh * (1 - g**2) + (a * dh * (1 - g**2)) @ Wh.T,
                ),
                "does not go through the tanh",
            ),
            (leaky_before(lambda dh, dz, Wh, a: a * dh + (1 - a) * (dz @ Wh.T)), "stands none"),
            (lambda dh, g, Wh, a: (a * dh * g * (1 - g), dh), "derivative of the sigmoid"),
            (leaky_before(lambda dh, dz, Wh, a: (1 + a) * dh + dz @ Wh.T), "not 1 + a"),
            (leaky_before(lambda dh, dz, Wh, a: 0 * dh), "gets the direct way"),
            (leaky_of_a(0.1), "a is an argument, here 0.35; yours is 0.1"),
            (leaky_of_a(0.5), "a is an argument, here 0.35; yours is 0.5"),
            (leaky_of_a(0.3), "1 - g²"),
            (lambda *given: [np.clip(x, -5, 5) for x in leaky(*given)], "for N = "),
            (lambda dh, g, Wh, a: leaky(dh, g, Wh, max(a, 0.05)), "for N = "),
            (lambda dh, g, Wh, a: leaky(dh, g, Wh, round(a, 2)), "for N = "),
            (leaky_before(lambda dh, dz, Wh, a: Wh.T @ dz), "stands on the left of @"),
            (leaky_before(lambda dh, dz, Wh, a: (1 - a) * dh - dz @ Wh.T), "gets the direct way"),
            (leaky_before(lambda dh, dz, Wh, a: dh / (1 + a) + dz @ Wh.T), "gets the direct way"),
            (leaky_before(lambda dh, dz, Wh, a: (1 - a) ** 2 * dh + dz @ Wh.T), "gets the direct"),
            (leaky_before(lambda dh, dz, Wh, a: (1 - a) * dz + dz @ Wh.T), "gets the direct way"),
            (leaky_before(lambda dh, dz, Wh, a: (1 - a) * dh.mean(0) + dz @ Wh.T), "the direct"),
            (
                where(lambda dh, g, Wh, a: (dh, dh) if len(dh) == len(Wh) else None, leaky),
                "for N = ",
            ),
            (
                where(lambda dh, g, Wh, a: (dh, dh) if np.abs(dh).max() < 1e-3 else None, leaky),
                "gradients near ",
            ),
            (lambda dh, g, Wh, a: leaky(dh, g, Wh, a)[0], "you return one array"),
            (lambda dh, g, Wh, a: leaky(dh, g, Wh, a)[::-1], "return dz first"),
            (
                lambda dh, g, Wh, a: leaky(np.negative(dh, out=dh), g, Wh, a),
                "changed its arguments",
            ),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
}

for _name, _wrong in ch02_more.WRONG.items():
    EXERCISES[_name].wrong.extend(_wrong)
