"""Right and wrong answers to the exercises of chapter 03."""

import numpy as np

from answers import Exercise, raises


def sigma(z):
    return 1 / (1 + np.exp(-z))


EXERCISES = {
    "split_gates": Exercise(
        arguments={},
        right=[lambda z: [sigma(z[:, :3]), sigma(z[:, 3:6]), np.tanh(z[:, 6:9]), sigma(z[:, 9:])]],
        wrong=[
            (
                lambda z: [sigma(z[:, :3]), sigma(z[:, 3:6]), np.tanh(z[:, 9:]), sigma(z[:, 6:9])],
                "gate order is i f o g",
            ),
            (
                lambda z: [sigma(z[:, 3:6]), sigma(z[:, :3]), np.tanh(z[:, 6:9]), sigma(z[:, 9:])],
                "gate order is f i g o",
            ),
            (
                lambda z: [sigma(z[:, 9:]), sigma(z[:, 6:9]), np.tanh(z[:, 3:6]), sigma(z[:, :3])],
                "gate order is o g f i",
            ),
            (
                lambda z: [
                    sigma(z[:, ::4]),
                    sigma(z[:, 1::4]),
                    np.tanh(z[:, 2::4]),
                    sigma(z[:, 3::4]),
                ],
                "not every fourth",
            ),
            (lambda z: [sigma(part) for part in np.split(z, 4, axis=1)], "needs tanh, so that"),
            (lambda z: np.split(z, 4, axis=1), "pre-activations"),
            (lambda z: [np.tanh(part) for part in np.split(z, 4, axis=1)], "σ of their block"),
            (lambda z: [z] * 4, "H neighbouring"),
            (lambda z: [sigma(z)], "return four arrays"),
            (lambda z: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "coupled_gate": Exercise(
        arguments={},
        right=[lambda dc, i, g, c: (dc * g - dc * c) * (i - i * i)],
        wrong=[
            (lambda dc, i, g, c: dc * g * i * (1 - i), "i acts twice"),
            (lambda dc, i, g, c: dc * (g + c) * i * (1 - i), "minus sign"),
            (lambda dc, i, g, c: dc * (g - c), "before the σ"),
            (lambda dc, i, g, c: dc * (g - c) * i, "derivative of σ is"),
            (lambda dc, i, g, c: dc * (g - c) * (1 - i**2), "derivative of tanh"),
            (lambda dc, i, g, c: dc * (c - g) * i * (1 - i), "signs are swapped"),
            (lambda dc, i, g, c: (g - c) * i * (1 - i), "multiply by dc"),
            (lambda dc, i, g, c: dc, "grows a little"),
            (lambda dc, i, g, c: dc[0], "the shape of dc"),
            (lambda dc, i, g, c: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "lstm_parameters": Exercise(
        arguments={},
        right=[lambda V, H: 4 * H * (V + H + 1) + V * (H + 1)],
        wrong=[
            (lambda V, H: H * (V + H + 1) + V * (H + 1), "four blocks, i, f, g and o"),
            (lambda V, H: 3 * H * (V + H + 1) + V * (H + 1), "that is the CIFG"),
            (lambda V, H: 4 * H * (V + H + 2) + V * (H + 1), "two biases"),
            (lambda V, H: 4 * H * (V + H + 1), "the output layer"),
            (lambda V, H: 4 * H * (V + H) + V * (H + 1), "left out the biases"),
            (lambda V, H: 4 * H * (V + H + 1) + V * H, "V biases"),
            (lambda V, H: 4 * H * (V + H + 1) + V, "left out Wy"),
            (lambda V, H: V * H, "count Wx"),
            (lambda V, H: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
}
