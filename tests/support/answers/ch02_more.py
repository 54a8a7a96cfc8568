"""More wrong answers to the exercises of chapter 02, such as readers of its checks made up.

WRONG is by the name of the check; `ch02` adds them to its own.
"""

import numpy as np

from lstmlib import scratch


def keeping(compute):
    """Return a function that keeps one set of arrays, made anew where the shapes are others."""
    kept = []

    def answer(*given):
        results = compute(*given)
        several = isinstance(results, tuple)
        parts = results if several else (results,)
        if [np.shape(a) for a in kept] != [np.shape(part) for part in parts]:
            kept[:] = [np.zeros_like(part) for part in parts]
        for place, part in zip(kept, parts, strict=True):
            place[:] = part
        return tuple(kept) if several else kept[0]

    return answer


def keeping_tuples(compute):
    """Return a function that keeps what it returns, a tuple for each shape."""
    kept = {}

    def answer(*given):
        parts = compute(*given)
        shapes = tuple(map(np.shape, parts))
        places = kept.setdefault(shapes, tuple(np.zeros_like(part) for part in parts))
        for place, part in zip(places, parts, strict=True):
            place[:] = part
        return places

    return answer


def chunk(ids, start, length):
    return ids[start : start + length], ids[start + 1 : start + length + 1]


def step_back(dh_loss, dh_next, h, Wh):
    dz = (dh_loss + dh_next) * (1 - h**2)
    return dz, dz @ Wh.T


def adagrad(gradients, rate):
    return -rate * gradients / (np.sqrt(np.cumsum(gradients**2, axis=0)) + 1e-10)


def leaky(dh, g, Wh, a):
    dz = a * dh * (1 - g**2)
    return dz, (1 - a) * dh + dz @ Wh.T


def leaky_by_quotient(dh, g, Wh, a):
    dz = a * dh * (1 - g**2)
    return dz, (1 - a) / np.float64(a) * (a * dh) + dz @ Wh.T


def appended(ids, start, length):
    x = ids[start : start + length]
    return x, np.append(x[1:], x[length])


def into_lists(ids, start, length):
    x, y = [], []
    for i in range(length):
        x[i], y[i] = ids[start + i], ids[start + i + 1]
    return x, y


def into_short_arrays(ids, start, length):
    x, y = np.zeros((2, length), int)
    for i in range(start, start + length):
        x[i], y[i] = ids[i], ids[i + 1]
    return x, y


def of_vectors(ids, start, length):
    return tuple(np.eye(80)[part] for part in chunk(ids, start, length))


def at_floats(ids, start, length):
    i = np.linspace(start, start + length - 1, length)
    return ids[i], ids[i + 1]


def never_put_in(gradients, rate):
    out, s = np.zeros_like(gradients), np.zeros(gradients.shape[1])
    for g in gradients:
        s += g**2
        out_k = -rate * g / (np.sqrt(s) + 1e-10)
    return 0 * out_k + out


def up_to_138_500(factor, share):
    return next((k for k in range(138_500) if factor**k < share), None)


STOPPED = "your code stopped with IndexError"
WRONG = {
    "chunk": [
        (keeping(chunk), "every call returns the same object"),
        (keeping_tuples(chunk), "every call returns the same object"),
        (lambda ids, s, n: (ids[:, s : s + n], ids[:, s + 1 : s + n + 1]), STOPPED),
        (lambda ids, s, n: (ids[s, s + n], ids[s + 1, s + n + 1]), STOPPED),
        (lambda ids, s, n: (ids[s : s + n, :], ids[s + 1 : s + n + 1, :]), STOPPED),
        *((each, STOPPED) for each in (appended, into_lists, into_short_arrays, at_floats)),
        (of_vectors, STOPPED),
        (lambda ids, s, n: (ids[None, s : s + n], ids[s + 1 : s + n + 1]), "(1, 3) and (3,)"),
        (lambda ids, s, n: (ids[s : s + n], ids[s + 1 : s + n + 1][:, None]), "(3,) and (3, 1)"),
    ],
    "step_back": [
        (keeping(step_back), "every call returns the same object"),
        (lambda a, b, h, Wh: ((a + b) @ (1 - h**2), a), "Entry by entry (⊙) is `*`"),
        (lambda a, b, h, Wh: ((a + b) * (1 - h @ h), a), "Entry by entry (⊙) is `*`"),
    ],
    "adagrad_changes": [
        (keeping(adagrad), "every call returns the same object"),
        (never_put_in, "Is there a row for each step that nothing was put into?"),
        (
            lambda g, rate: -rate * g / (np.sqrt(np.cumsum(g**2, axis=0)) - 1e-10),
            "ε is added",
        ),
        (lambda g, rate: scratch.AdaGrad(rate).step({"w": g[0]}, {"w": g[0]}), "returns nothing"),
    ],
    "steps_until": [(up_to_138_500, "3.1e-07: your function returns nothing here")],
    "leaky_step_back": [
        (keeping(leaky), "every call returns the same object"),
        (keeping_tuples(leaky), "every call returns the same object"),
        (leaky_by_quotient, "for a = 0"),
        (lambda dh, g, Wh, a: (a * dh @ (1 - g**2), dh), "Entry by entry (⊙) is `*`"),
    ],
}
