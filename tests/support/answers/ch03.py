"""Right and wrong answers to the exercises of chapter 03."""

import numpy as np

from answers import Exercise, raises

BIT = np.array([[20.0, -20, 20, 20], [-20, -20, 0, 20], [-20, 20, 0, 20]])


def sigma(z):
    return 1 / (1 + np.exp(-z))


def forgets(*given):
    list(given)


def bit(**changes):
    """An answer with entries of BIT replaced, such as open_f=20 for the forget gate at "("."""
    table = BIT.copy()
    for name, value in changes.items():
        row, gate = name.split("_")
        table[["open", "close", "x"].index(row), "ifgo".index(gate)] = value
    return lambda: table


def onnx(
    W, R, B, order="ifgo", bias=lambda B: B[: len(B) // 2] + B[len(B) // 2 :], turn=np.transpose
):
    def blocks(array):
        parts = dict(zip("iofg", np.split(array, 4), strict=True))
        return np.concatenate([parts[k] for k in order])

    return turn(blocks(W)), turn(blocks(R)), blocks(bias(B))


def onnx_by_rows(W, R, B):
    H = R.shape[1]
    rows = np.r_[0:H, 2 * H : 3 * H, 3 * H : 4 * H, H : 2 * H]
    return W[rows].T, R[rows].T, B.reshape(2, -1).sum(axis=0)[rows]


def adagrad(w, g, s, rate):
    s = s + g**2
    return w - rate * g / (np.sqrt(s) + 1e-10), s


def adagrad_where(w, g, s, rate):
    total = np.add(s, np.square(g))
    step = np.divide(g, np.sqrt(total), out=np.zeros_like(g), where=total > 0)
    return np.subtract(w, rate * step), total


def adagrad_in_place(w, g, s, rate):
    s += g**2
    w -= rate * g / (np.sqrt(s) + 1e-10)
    return w, s


def no_tanh(dstate, cache, slope=lambda c: 1, keep=1, reach=lambda o: o, back=lambda dc, f: dc * f):
    (dh, dc), (i, f, g, o, c_old, c) = dstate, cache
    dc = keep * dc + dh * reach(o) * slope(c)
    dz_i, dz_f = dc * g * i * (1 - i), dc * c_old * f * (1 - f)
    dz_g, dz_o = dc * i * (1 - g**2), dh * c * o * (1 - o)
    return np.concatenate([dz_i, dz_f, dz_g, dz_o], axis=1), (back(dc, f),)


def no_tanh_by_columns(dstate, cache):
    (dh, dc), (i, f, g, o, c_old, c) = dstate, cache
    H = c.shape[1]
    whole = dc + o * dh
    dz = np.empty((len(c), 4 * H))
    dz[:, :H] = whole * g * (i - i * i)
    dz[:, H : 2 * H] = whole * c_old * (f - f * f)
    dz[:, 2 * H : 3 * H] = whole * i * (1 + g) * (1 - g)
    dz[:, 3 * H :] = dh * c * (o - o * o)
    return dz, (f * whole,)


def swapped(dstate, cache):
    dz, rest = no_tanh(dstate, cache)
    i, f, g, o = np.split(dz, 4, axis=1)
    return np.concatenate([f, i, g, o], axis=1), rest


def spoiled(names):
    """An answer with some blocks of dz doubled."""

    def answer(dstate, cache):
        dz, rest = no_tanh(dstate, cache)
        parts = zip("ifgo", np.split(dz, 4, axis=1), strict=True)
        return np.concatenate([2 * z if n in names else z for n, z in parts], axis=1), rest

    return answer


EXERCISES = {
    "lstm_parameters": Exercise(
        right=[
            lambda V, H, L: 4 * (V * H + H * H + H) + (L - 1) * 4 * (2 * H * H + H) + H * V + V,
            lambda V, H, L: 4 * H * (V + H + 1 + (L - 1) * (2 * H + 1)) + V * (H + 1),
            lambda V, H, L: sum(4 * H * (D + H + 1) for D in [V, *[H] * (L - 1)]) + V * (H + 1),
        ],
        wrong=[
            (lambda V, H, L: 4 * H * (V + H + 1) + V * (H + 1), "yours counts one"),
            (lambda V, H, L: L * 4 * H * (V + H + 1) + V * (H + 1), "only layer 0 reads V"),
            (lambda V, H, L: L * (4 * H * (V + H + 1) + V * (H + 1)), "stands once, at the top"),
            (
                lambda V, H, L: 4 * H * (V + H + 1 + L * (2 * H + 1)) + V * (H + 1),
                "a layer too many",
            ),
            (
                lambda V, H, L: H * (V + H + 1 + (L - 1) * (2 * H + 1)) + V * (H + 1),
                "four blocks, i, f, g and o",
            ),
            (
                lambda V, H, L: 3 * H * (V + H + 1 + (L - 1) * (2 * H + 1)) + V * (H + 1),
                "that is the CIFG",
            ),
            (
                lambda V, H, L: 4 * H * (V + H + 2 + (L - 1) * (2 * H + 2)) + V * (H + 1),
                "two biases",
            ),
            (
                lambda V, H, L: 4 * H * (V + H + (L - 1) * 2 * H) + V * (H + 1),
                "left out the biases",
            ),
            (lambda V, H, L: 4 * H * (V + H + 1 + (L - 1) * (2 * H + 1)), "the output layer"),
            (
                lambda V, H, L: 4 * H * (V + H + 1 + (L - 1) * (2 * H + 1)) + V * H,
                "V biases as well",
            ),
            (lambda V, H, L: 4 * H * (V + H + 1 + (L - 1) * (2 * H + 1)) + V, "left out Wy"),
            (lambda V, H, L: V * H * L, "a layer has Wx"),
            (lambda V, H, L: "many", "a finite number"),
            (forgets, "forget `return`"),
            (153365, "a function is asked for"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped", "dtype", "in_place"),
    ),
    "remember_one_bit": Exercise(
        right=[
            bit(),
            bit(close_g=9, x_g=-9, close_o=-20, x_i=-30),
            lambda: [[8, -8, 8, 8], [-8, -8, 0, 8], [-12, 10, 0, 8]],
        ],
        wrong=[
            (bit(open_f=20), "Your unit counts"),
            (bit(x_f=4), "after `(` and 300 times `x`, c must be 1"),
            (bit(x_f=4), "f at `x` is 0.9820."),
            (bit(x_f=0), "f³⁰⁰ must"),
            (bit(x_i=0, x_g=20), "Close i at `x`"),
            (bit(x_f=4, x_i=0, x_g=9), "0.9820. Close i at `x`"),
            (bit(x_f=7, x_i=-7, x_g=20), "Close i at `x`"),
            (bit(close_f=20), "after `(x)`, c must be 0"),
            (bit(close_i=20, close_g=20), "after `(x)`, c must be 0"),
            (bit(close_f=20, close_i=20, close_g=-20), "must write nothing"),
            (bit(open_o=-20), "h does not show it"),
            (bit(x_o=-20), "h does not show it"),
            (bit(open_i=1, open_g=1), "both must be near 1"),
            (bit(open_g=-20), "c is -1"),
            (lambda: BIT.T, "a row for each"),
            (lambda: (BIT > 0).astype(float), "both must be near 1"),
            (lambda: BIT * np.nan, "a finite number, and yours has nan"),
            (bit(x_f=np.inf), "a finite number, and yours has inf"),
            (lambda: [[1, 2, 3, 4], [1, 2, 3]], "with four numbers in each row"),
            (lambda: [["a"] * 4] * 3, "with four numbers in each row"),
            (forgets, "forget `return`"),
            (BIT, "a function is asked for"),
            (raises, "oh no"),
        ],
        # The cut to whole numbers leaves whole numbers, and nothing is given that could be changed.
        unmoved=("dtype", "in_place"),
    ),
    "from_onnx": Exercise(
        right=[onnx, onnx_by_rows],
        wrong=[
            (lambda W, R, B: onnx(W, R, B, order="iofg"), "order i o f g"),
            (lambda W, R, B: onnx(W, R, B, order="ifog"), "order i f o g"),
            (lambda W, R, B: onnx(W, R, B, order="igfo"), "order i g f o"),
            (lambda W, R, B: onnx(W, R, B, turn=lambda a: a), "Wx is transposed"),
            (lambda W, R, B: (onnx(W, R, B)[0], *onnx(W, R, B, turn=lambda a: a)[1:]), "Wh is tr"),
            (lambda W, R, B: onnx(W, R, B, bias=lambda B: np.split(B, 2)[0]), "the first bias"),
            (lambda W, R, B: onnx(W, R, B, bias=lambda B: np.split(B, 2)[1]), "the second bias"),
            (lambda W, R, B: (*onnx(W, R, B)[:2], B), "b must be (4H,)"),
            (
                lambda W, R, B: (*onnx(W, R, B)[:2], B.reshape(2, -1).sum(axis=0)),
                "put in order, too",
            ),
            (
                lambda W, R, B: (W.T, R.T, onnx(W, R, B)[2]),
                "still stand in the order",
            ),
            (lambda W, R, B: (onnx(W, R, B)[0], R.T, onnx(W, R, B)[2]), "Wh is transposed, but"),
            (lambda W, R, B: (*onnx(W, R, B)[:2], 0 * B[::2]), "the sum of two biases"),
            (lambda W, R, B: tuple(-a for a in onnx(W, R, B)), "not right: Wx, Wh, b. Split each"),
            (lambda W, R, B: onnx(W, R, B)[:2], "three arrays"),
            (lambda W, R, B: [part.sort() for part in (W, R, B)], "changed its arguments"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
        # The last array, b, has one axis.
        unmoved=("axis_swapped",),
    ),
    "adagrad_step": Exercise(
        right=[adagrad, adagrad_where],
        wrong=[
            (adagrad_in_place, "changed its arguments"),
            (lambda w, g, s, rate: (w - rate * g / (np.abs(g) + 1e-10), g**2), "adds up over all"),
            (lambda w, g, s, rate: (w, s + np.abs(g)), "squares of the gradient"),
            (
                lambda w, g, s, rate: (w - rate * g / (np.sqrt(s + g) + 1e-10), s + g),
                "s adds up squares",
            ),
            (
                lambda w, g, s, rate: (w - rate * g / np.sqrt(s + g**2 + 1e-10), s + g**2),
                "to the root, not under it",
            ),
            (lambda w, g, s, rate: (w, s), "s + g²"),
            (
                lambda w, g, s, rate: (2 * w - adagrad(w, g, s, rate)[0], s + g**2),
                "minus, not plus",
            ),
            (lambda w, g, s, rate: (w - rate * g / (s + g**2 + 1e-10), s + g**2), "square root of"),
            (lambda w, g, s, rate: adagrad(w, g, s, 1), "left out the rate"),
            (lambda w, g, s, rate: (w - rate * g, s + g**2), "that is SGD"),
            (
                lambda w, g, s, rate: (w - rate / (np.sqrt(s + g**2) + 1e-10), s + g**2),
                "in the direction of g",
            ),
            (
                lambda w, g, s, rate: (w - rate * g / (np.sqrt(s) + 1e-10), s + g**2),
                "before the division",
            ),
            (lambda w, g, s, rate: (w - rate * g / np.sqrt(s + g**2), s + g**2), "gives 0/0"),
            (
                lambda w, g, s, rate: (w - rate * g / np.sqrt((s + g**2).sum()), s + g**2),
                "a sum of its own",
            ),
            (lambda w, g, s, rate: adagrad(w, g, s, rate)[::-1], "w first"),
            (lambda w, g, s, rate: adagrad(w, g, s, rate)[0], "two arrays"),
            (lambda w, g, s, rate: (w.sum(), s), "the shape of w"),
            (lambda w, g, s, rate: (w - 3, s + g**2), "with the new s"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "coupled_gate": Exercise(
        right=[
            lambda dc, i, g, c: dc * (g - c) * i * (1 - i),
            lambda dc, i, g, c: (dc * g - dc * c) * (i - i * i),
        ],
        wrong=[
            (lambda dc, i, g, c: dc * g * i * (1 - i), "it lets g in, and as"),
            (lambda dc, i, g, c: -dc * c * i * (1 - i), "it lets c_old go, and"),
            (lambda dc, i, g, c: dc * (g + c) * i * (1 - i), "minus sign"),
            (lambda dc, i, g, c: dc * (g - c), "before the σ"),
            (lambda dc, i, g, c: dc * (g - c) * i, "derivative of σ is"),
            (lambda dc, i, g, c: dc * (g - c) * (1 - i**2), "derivative of tanh"),
            (lambda dc, i, g, c: dc * (c - g) * i * (1 - i), "signs are swapped"),
            (lambda dc, i, g, c: (g - c) * i * (1 - i), "multiply by dc"),
            (lambda dc, i, g, c: dc * (g - c) * (1 - i), "g − c_old is right; look at the slope"),
            (lambda dc, i, g, c: dc * (g - c) * sigma(i) * (1 - sigma(i)), "g − c_old is right"),
            (lambda dc, i, g, c: dc, "grows a little"),
            (lambda dc, i, g, c: dc[0], "the shape of dc"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "bugs_by_block": Exercise(
        right=[{"A": 3, "B": 1, "C": 5}, {"C": 5.0, "B": np.int64(1), "A": 3}],
        wrong=[
            ({"A": 2, "B": 1, "C": 5}, "student A again: at T = 1 only c0"),
            ({"A": 6, "B": 1, "C": 5}, "student A again"),
            ({"A": 3, "B": 2, "C": 5}, "student B again: at T = 1 all is right"),
            ({"A": 3, "B": 6, "C": 5}, "comes to o through dh alone"),
            ({"A": 3, "B": 1, "C": 4}, "student C again: at T = 1 one block"),
            ({"A": 3, "B": 1, "C": 7}, "1 to 6"),
            ({"A": 3, "B": 1.5, "C": 5}, "1 to 6"),
            ({"A": 3, "B": ..., "C": ...}, "still open: B, C"),
            ({"A": 3, "B": 1}, "the keys"),
            ({"A": 3, "B": 1, "C": "sigma"}, "a finite number"),
            ([3, 1, 5], "the keys"),
        ],
        # The answer is a dictionary, in which the mutations change nothing.
        unmoved=("off_by_one", "axis_swapped", "sign", "dtype"),
    ),
    "backward_without_tanh": Exercise(
        right=[no_tanh, no_tanh_by_columns],
        wrong=[
            (lambda d, k: no_tanh(d, k, slope=lambda c: 1 - c**2), "no derivative of one"),
            (lambda d, k: no_tanh(d, k, slope=lambda c: 1 - np.tanh(c) ** 2), "no derivative of"),
            (lambda d, k: no_tanh(d, k, slope=lambda c: 0), "also acts through h"),
            (lambda d, k: no_tanh(d, k, keep=0), "from the step after is lost"),
            (lambda d, k: no_tanh(d, k, reach=lambda o: 1), "dh is multiplied by o"),
            (lambda d, k: no_tanh(d, k, back=lambda dc, f: dc), "gradient is dc · f"),
            (lambda d, k: (no_tanh(d, k)[0], (d[1] * k[1],)), "hand back the whole dc"),
            (lambda d, k: (no_tanh(d, k)[0], (d[1],)), "the gradient of c_old is dc · f"),
            (swapped, "in another order; ours is i, f, g, o"),
            (spoiled("o"), "block of o is wrong: do is dh times c"),
            (spoiled("g"), "block of g is wrong; each"),
            (spoiled("ig"), "blocks of i, g are wrong; each"),
            (spoiled("fo"), "blocks of f, o are wrong"),
            (lambda d, k: (-no_tanh(d, k)[0], no_tanh(d, k)[1]), "blocks of i, f, g, o are"),
            (lambda d, k: (no_tanh(d, k)[0], no_tanh(d, k)[1][0]), "a tuple that holds one"),
            (lambda d, k: no_tanh(d, k)[0], "return dz (N, 4H)"),
            (lambda d, k: (no_tanh(d, k)[0].T, no_tanh(d, k)[1]), "dz is (N, 4H)"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
}
