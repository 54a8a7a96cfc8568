"""Does the time to find all copied passages grow with the texts, and no faster?

    .venv/bin/python benchmarks/novelty.py

Prints, for texts of each size, how long `longest_matches` takes, which knows the novelty of every
length, and beside it sets of n-grams, which know one length at a time: here 20 characters. The text
is a book's second half, the training text its first half. Writes novelty.json beside it. A time is
the least of several; other work on the machine makes the times longer, and hardly the ratios.
"""

import json
import os
import time
from pathlib import Path

from lstmlib.corpora import load_corpus
from lstmlib.metrics import ngrams, novelty
from lstmlib.suffixes import longest_matches

SIZES = [125_000, 250_000, 500_000, 1_000_000, 2_000_000]
"""Characters of both texts together."""
ROUNDS = 5
LENGTH = 20
BOOKS = ("david-copperfield", "wealth-of-nations")


def by_sets(text, training):
    """The novelty of one length."""
    return novelty(text, set(ngrams(training, LENGTH)), LENGTH)


def seconds(measure, text, training):
    start = time.perf_counter()
    measure(text, training)
    return time.perf_counter() - start


def measure(book, rounds=ROUNDS, sizes=SIZES):
    """Return the least time of each way at each size, in seconds."""
    ways = {"longest_matches": longest_matches, "sets of 20-grams": by_sets}
    longest_matches("warm", "up")
    times = {name: [float("inf")] * len(sizes) for name in ways}
    for _ in range(rounds):
        for at, size in enumerate(sizes):
            training, text = book[: size // 2], book[size // 2 : size]
            for name, way in ways.items():
                times[name][at] = min(times[name][at], seconds(way, text, training))
    return times


def result_of(times, sizes=SIZES):
    """Return the times, and the time of a character at the largest size over the smallest."""
    growth = {
        name: round((each[-1] / sizes[-1]) / (each[0] / sizes[0]), 2)
        for name, each in times.items()
    }
    matches, sets = times["longest_matches"][-1], times["sets of 20-grams"][-1]
    return {
        "characters": sizes,
        "seconds": {name: [round(t, 4) for t in each] for name, each in times.items()},
        "time_of_a_character_grows_by": growth,
        "all_lengths_over_one": round(matches / sets, 2),
        "machine": f"{os.cpu_count()} CPU cores",
    }


def main():
    book = "".join(load_corpus(name).text for name in BOOKS)
    assert len(book) >= SIZES[-1]
    result = result_of(measure(book))
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
