"""Right and wrong answers to the exercises of chapter 02."""

import numpy as np

from answers import Exercise, raises

EXERCISES = {
    "chunk": Exercise(
        arguments={},
        right=[lambda ids, start, length: (ids[start:][:length], ids[start + 1 :][:length])],
        wrong=[
            (lambda ids, s, n: (ids[s : s + n], ids[s : s + n]), "are not shifted"),
            (lambda ids, s, n: (ids[s : s + n], ids[s - 1 : s + n - 1]), "the wrong way"),
            (lambda ids, s, n: (ids[s : s + n - 1], ids[s + 1 : s + n]), "yours have 2 and 2"),
            (lambda ids, s, n: (ids[s : s + n], ids[n : n + n]), "follows input i"),
            (lambda ids, s, n: (ids[s + 1 : s + n + 1], ids[s + 2 : s + n + 2]), "from `start` on"),
            (lambda ids, s, n: (ids[s : s + n], ids[s + 2 : s + n + 2]), "follows input i"),
            (lambda ids, s, n: ids[s : s + n], "return two arrays"),
            (lambda ids, s, n: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "step_back": Exercise(
        arguments={},
        right=[lambda a, b, h, W: ((a + b) * (1 - h * h), ((a + b) * (1 - h * h)) @ W.T)],
        wrong=[
            (lambda a, b, h, W: (a * (1 - h**2), a * (1 - h**2) @ W.T), "forgot to add dh"),
            (lambda a, b, h, W: (a + b, (a + b) @ W.T), "before the tanh"),
            (
                lambda a, b, h, W: ((a + b) * (1 - np.tanh(h) ** 2), a),
                "h is the tanh already",
            ),
            (lambda a, b, h, W: ((a - b) * (1 - h**2), a), "entry by entry"),
            (lambda a, b, h, W: ((a + b)[0], a), "entry by entry"),
            (
                lambda a, b, h, W: ((a + b) * (1 - h**2), ((a + b) * (1 - h**2)) @ W),
                "the transpose",
            ),
            (lambda a, b, h, W: ((a + b) * (1 - h**2), b), "dz is right"),
            (lambda a, b, h, W: (a + b,), "return two arrays"),
            (
                lambda a, b, h, W: (((a + b) * (1 - h * h)) @ W.T, (a + b) * (1 - h * h)),
                "return dz first",
            ),
            (
                lambda a, b, h, W: (np.add(a, b, out=a) * (1 - h * h), a * (1 - h * h) @ W.T),
                "changed its arguments",
            ),
            (lambda a, b, h, W: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "clipped": Exercise(
        arguments={},
        right=[lambda g, limit: np.sign(g) * np.minimum(np.abs(g), limit)],
        wrong=[
            (lambda g, limit: np.clip(g, -limit, limit, out=g), "changed the caller's gradient"),
            (lambda g, limit: np.minimum(g, limit), "negative entries"),
            (lambda g, limit: g * limit / np.linalg.norm(g), "clipping by norm"),
            (lambda g, limit: g, "the nearer end"),
            (lambda g, limit: np.clip(g, -5, 5), "use `limit`"),
            (lambda g, limit: g[0], "the shape of g"),
            (lambda g, limit: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
}
