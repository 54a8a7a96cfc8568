"""Right and wrong answers to the exercises of chapter 04."""

import numpy as np

from answers import Exercise, raises


def assign(dx, ids, V):
    table = np.zeros((V, dx.shape[1]))
    table[ids] += dx
    return table


def gru_units(V, H):
    def count(G, n):
        return G * (n * V + n * n + 2 * n) + n * V + V

    return max(n for n in range(1, 2 * H) if count(3, n) <= count(4, H))


EXERCISES = {
    "gru_units": Exercise(
        arguments={},
        right=[gru_units],
        wrong=[
            (lambda V, H: H, "a quarter less"),
            (lambda V, H: 4 * H // 3, "4/3 of the units"),
            (lambda V, H: gru_units(V, H) + 0.5, "come whole"),
            (lambda V, H: gru_units(V, H) + 1, "has more parameters"),
            (lambda V, H: gru_units(V, H) - 1, "one more would still fit"),
            (lambda V, H: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "table_gradient": Exercise(
        arguments={},
        right=[lambda dx, ids, V: np.eye(V)[ids].T @ dx],
        wrong=[
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
            (lambda dx, ids, V: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "next_state": Exercise(
        arguments={},
        right=[lambda state, k: tuple(part.detach() for part in state) if k else None],
        wrong=[
            (lambda state, k: None if k == 0 else state, "hangs on the graph"),
            (lambda state, k: None if k == 0 else (state[0].detach(), state[1]), "detach h and c"),
            (lambda state, k: tuple(part.detach() for part in state), "batch 0 begins the text"),
            (lambda state, k: None if k else tuple(p.detach() for p in state), "way round"),
            (lambda state, k: None, "is there a `return`"),
            (lambda state, k: tuple(0 * part for part in state), "no batch gets a state"),
            (lambda state, k: None if k < 2 else tuple(p.detach() for p in state), "batch 0 alone"),
            (lambda state, k: state[0].detach() if k else None, "a pair"),
            (lambda state, k: (state[0].detach(),) if k else None, "a pair"),
            (lambda state, k: tuple(p.detach() for p in state[::-1]) if k else None, "h first"),
            (lambda state, k: tuple(p.detach_() for p in state) if k else None, "caller's state"),
            (raises, "oh no"),
        ],
    ),
}
