"""Right and wrong answers to the exercises of chapter 01."""

from answers import Exercise, raises

EXERCISES = {
    "straight_quotes": Exercise(
        arguments={},
        right=[lambda text: text.translate(str.maketrans("‘’“”", "''\"\""))],
        wrong=[
            (lambda text: text.encode("ascii", "ignore").decode(), "deletes"),
            (lambda text: text.translate(str.maketrans("‘’“", "''\"")), "U\\+201D"),
            (lambda text: text, "still there"),
            (lambda text: None, "forget `return`"),
            (lambda text: text.translate(str.maketrans("‘’“”", "\"\"''")), "single curly"),
            (raises, "oh no"),
        ],
    ),
    "window_count": Exercise(
        arguments={},
        right=[lambda n, length, step: len(range(0, n - length, step))],
        wrong=[
            (lambda n, length, step: (n - length) // step + 1, "after it to predict"),
            (lambda n, length, step: (n - length - 1) // step, "starts at 0"),
            (lambda n, length, step: n // length, "do not overlap"),
            (lambda n, length, step: n, "draw them"),
            (lambda n, length, step: (n - length - 1) / step + 1, "whole number"),
            (lambda n, length, step: None, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "add_one_probability": Exercise(
        arguments={},
        right=[lambda pair, context, size: (pair + 1) / (context + size)],
        wrong=[
            (lambda pair, context, size: pair / context, "∞ nats"),
            (lambda pair, context, size: (pair + 1) / (context + 1), "sum to more"),
            (lambda pair, context, size: (pair + 1) / (context + 2 * size), "add 1"),
            (raises, "oh no"),
        ],
    ),
}
