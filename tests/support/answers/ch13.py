"""Right and wrong answers to the exercises of chapter 13."""

import statistics
import time

import numpy as np

from answers import Exercise, raises


def forgets(*task):
    """Return nothing."""
    len(task)


def utilisation(H, V, B, T, seconds, ceiling, read=4, kept=6, out=6, gates=4, scale=1.0):
    """The share of the ceiling, with so many operations for a weight of each matrix."""
    speed = B * T / seconds
    work = read * gates * H * V + kept * gates * H**2 + out * H * V
    return speed, scale * speed * work / ceiling


def utilisation_by_parts(H, V, batch_size, seq_len, seconds, ceiling):
    rows = 4 * H
    forward = 2 * (rows * V + rows * H + H * V)
    backward = 2 * forward - 2 * rows * V
    a_step = batch_size * seq_len * (forward + backward)
    return np.array([batch_size * seq_len / seconds, a_step / (seconds * ceiling)])


def counted(**more):
    return lambda *task: utilisation(*task, **more)


def reads_H(H, V, B, T, seconds, ceiling):
    """The share, with a first matrix as large as W_h."""
    return B * T / seconds * 6 * (8 * H**2 + H * V) / ceiling


def counts_biases(H, V, B, T, seconds, ceiling):
    speed, share = utilisation(H, V, B, T, seconds, ceiling)
    return speed, share + speed * 6 * 4 * H / ceiling


def timed_call(call, wait, clock):
    wait()
    start = clock()
    call()
    wait()
    return clock() - start


def timed_by_difference(call, wait, clock):
    readings = []
    for work in (lambda: None, call):
        work()
        wait()
        readings.append(clock())
    return np.diff(readings)[0]


def waits_too_late(call, wait, clock):
    wait()
    start = clock()
    call()
    seconds = clock() - start
    wait()
    return seconds


def waits_at_the_end_alone(call, wait, clock):
    start = clock()
    call()
    wait()
    return clock() - start


def reads_the_clock_first(call, wait, clock):
    start = clock()
    wait()
    call()
    wait()
    return clock() - start


def reads_its_own_clock(call, wait, clock):
    return timed_call(call, wait, time.perf_counter)


def calls_twice(call, wait, clock):
    call()
    return timed_call(call, wait, clock)


def honest_seconds(time_call, warm_up, repeat):
    for _ in range(warm_up):
        time_call()
    return np.median([time_call() for _ in range(repeat)])


def honest_by_sorting(time_call, warm_up, repeat):
    times = [time_call() for _ in range(warm_up + repeat)][warm_up:]
    return statistics.median(sorted(times))


def sorts_before_the_warm_up_is_out(time_call, warm_up, repeat):
    return np.median(sorted(time_call() for _ in range(warm_up + repeat))[warm_up:])


def summed_up(how, warm=True):
    """An answer that sums up in another way, or with the first calls among those that count."""

    def answer(time_call, warm_up, repeat):
        for _ in range(warm_up * warm):
            time_call()
        return how([time_call() for _ in range(repeat)])

    return answer


def gain(seconds, sending, n):
    return seconds / (seconds / n + (sending if n > 1 else 0))


def gain_by_rates(seconds, sending, n):
    return 1.0 if n == 1 else 1 / (1 / n + sending / seconds)


def told_apart(a, b):
    if min(len(a), len(b)) < 2:
        return "neither"
    if max(a) < min(b):
        return "first"
    return "second" if max(b) < min(a) else "neither"


def told_by_all_pairs(a, b):
    below = [x < y for x in a for y in b]
    above = [x > y for x in a for y in b]
    lower = "first" if all(below) else "second" if all(above) else "neither"
    return lower if len(a) > 1 and len(b) > 1 else "neither"


def told_at_a_touch(a, b):
    told = max(a) <= min(b) and min(len(a), len(b)) > 1
    return "first" if told else told_apart(a, b)


def told_by_spread(a, b):
    """Compare the means, and ask for more than the larger spread."""
    apart = abs(np.mean(a) - np.mean(b)) > max(np.ptp(a), np.ptp(b))
    return told_apart(a, b) if apart else "neither"


def told_by_deviations(a, b):
    """Compare means, one standard deviation away from each other's."""
    if min(len(a), len(b)) < 2:
        return "neither"
    if np.mean(a) + np.std(a) < np.mean(b) - np.std(b):
        return "first"
    return "second" if np.mean(b) + np.std(b) < np.mean(a) - np.std(a) else "neither"


def told_as_if_sorted(a, b):
    if min(len(a), len(b)) < 2:
        return "neither"
    if a[-1] < b[0]:
        return "first"
    return "second" if b[-1] < a[0] else "neither"


def told_by_the_first_seed(a, b):
    told = told_apart(a, b)
    return "second" if told == "neither" and len(a) == len(b) > 1 and b[0] < a[0] else told


def lower_mean(a, b):
    return "first" if np.mean(a) < np.mean(b) else "second"


def sorts(a, b):
    a.sort(reverse=True)
    return told_apart(a, b)


RIGHT_FAULTS = {
    "A": "not waited",
    "B": "not warmed up",
    "C": "measured once",
    "D": "honest",
    "E": "wrong ceiling",
}

EXERCISES = {
    "utilisation": Exercise(
        unmoved=("axis_swapped", "in_place"),
        right=[utilisation, utilisation_by_parts],
        wrong=[
            (lambda *task: utilisation(*task)[::-1], "the speed first"),
            (lambda H, V, B, T, s, c: (B / s, 0.1), "has `seq_len` characters"),
            (lambda H, V, B, T, s, c: (T / s, 0.1), "all B of them"),
            (lambda H, V, B, T, s, c: (1 / s, 0.1), "steps a second"),
            (lambda H, V, B, T, s, c: (s / (B * T), 0.1), "turn it round"),
            (lambda H, V, B, T, s, c: (B * T * s, 0.1), "over the seconds"),
            (counted(scale=100), "in percent"),
            (counted(read=2, kept=2, out=2), "forward pass alone"),
            (counted(read=6), "one-hot inputs"),
            (counted(out=0), "output layer"),
            (counted(gates=1), "so 4H rows"),
            (counted(kept=1.5), "W_h has 4 gates"),
            (counted(read=2), "for its own gradient"),
            (counted(out=4), "only the first matrix takes 4"),
            (lambda H, V, *task: (utilisation(H, V, *task)[0], reads_H(H, V, *task)), "not H"),
            (counts_biases, "without the biases"),
            (counted(read=6, out=4), "not that of the output"),
            (lambda *task: np.minimum(utilisation(*task), (np.inf, 1)), "do not cut it off"),
            (lambda *task: (utilisation(*task)[0], 1 / utilisation(*task)[1]), "ceiling over"),
            (
                lambda *task: (utilisation(*task)[0], np.divide(*utilisation(*task)[::-1])),
                "one char",
            ),
            (counted(kept=3), "operations for a character"),
            (lambda H, V, B, T, s, c: utilisation(H, 80, B, T, s, c), "all six numbers"),
            (lambda *task: utilisation(*task)[1], "return two numbers"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "timed_call": Exercise(
        unmoved=("axis_swapped", "in_place"),
        right=[timed_call, timed_by_difference],
        wrong=[
            (lambda call, wait, clock: timed_call(call, lambda: None, clock), "never waits"),
            (waits_too_late, "before the device is done"),
            (waits_at_the_end_alone, "earlier work"),
            (reads_the_clock_first, "earlier work"),
            (reads_its_own_clock, "the clock that you are given"),
            (lambda call, wait, clock: timed_call(lambda: None, wait, clock), "never calls"),
            (calls_twice, "time one call"),
            (lambda *task: 1000 * timed_call(*task), "return the difference"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "honest_seconds": Exercise(
        unmoved=("axis_swapped", "in_place"),
        right=[honest_seconds, honest_by_sorting],
        wrong=[
            (lambda time_call, warm_up, repeat: time_call(), "one measurement"),
            (lambda t, w, n: np.mean([t() for _ in range(w + n)]), "in the mean"),
            (lambda t, w, n: np.median([t() for _ in range(w + n)]), "do not keep them"),
            (summed_up(np.mean, warm=False), "make them before"),
            (summed_up(np.median, warm=False), "the first calls are measured, too."),
            (summed_up(np.mean), "the mean, which"),
            (summed_up(max), "slowest"),
            (summed_up(min), "luckiest"),
            (summed_up(sum), "together"),
            (summed_up(lambda times: times[len(times) // 2]), "as they came"),
            (sorts_before_the_warm_up_is_out, "no longer the first"),
            (summed_up(lambda times: times[0]), "as they came"),
            (summed_up(lambda times: times[-1]), "as they came"),
            (lambda t, w, n: np.median([honest_seconds(t, w, 1)] * n), "yours makes 3"),
            (lambda t, w, n: honest_seconds(t, 1, n), "do not keep them"),
            (lambda t, w, n: honest_seconds(t, w, n) + 1, "that do not count"),
            (lambda t, w, n: (honest_seconds(t, w, n), t())[0], "2 + 7"),
            (lambda t, w, n: honest_seconds(t, 2, 7), "not always 2 and 7"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "balance": Exercise(
        unmoved=("axis_swapped", "in_place"),
        right=[lambda c, b: 2 * c / b, lambda c, b: (16 / b) / (8 / c)],
        wrong=[
            (lambda c, b: c / b, "B / 2 and not B"),
            (lambda c, b: c / b / 2, "B is larger"),
            (lambda c, b: 2 * b / c, "turn it round"),
            (lambda c, b: b / c, "turn it round"),
            (lambda c, b: 8 * c / b, "16H² bytes"),
            (lambda c, b: c - b, "solve for B"),
            (lambda c, b: 4 * c / b, "2 operations a stream"),
            (lambda c, b: round(2 * c / b), "not rounded"),
            (lambda c, b: max(1, 2 * c / b), "below 1"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "parallel_gain": Exercise(
        unmoved=("axis_swapped", "in_place"),
        right=[gain, gain_by_rates],
        wrong=[
            (lambda s, t, n: 1 / gain(s, t, n), "below 1"),
            (lambda s, t, n: s / n + t, "time of a step"),
            (lambda s, t, n: float(n), "forgot the sending"),
            (lambda s, t, n: s / ((s + t) / n), "not shared out"),
            (lambda s, t, n: s / (s + t), "rows are shared out"),
            (lambda s, t, n: (s + t) / (s / n + t), "sends nothing"),
            (lambda s, t, n: s / (s / n + n * t), "all the sending"),
            (lambda s, t, n: s / (s / n + (n - 1) * t), "all the sending"),
            (lambda s, t, n: s / max(s / n, t) if n > 1 else 1, "not meanwhile"),
            (lambda s, t, n: gain(s, t, n) if n > 2 else 1, "two processes send"),
            (lambda s, t, n: s / (s // n + t), "compare it with"),
            (lambda s, t, n: s / (s / n + t / 2), "compare it with"),
            (lambda s, t, n: s / (s / n + t), "the gain is 1"),
            (lambda s, t, n: max(1.0, gain(s, t, n)), "below 1"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "told_apart": Exercise(
        unmoved=("axis_swapped", "sign", "dtype"),
        right=[told_apart, told_by_all_pairs],
        wrong=[
            (lower_mean, "the first list has the lowest loss"),
            (lambda a, b: "neither", "all of the first are lower"),
            (lambda a, b: told_apart(b, a), "swapped"),
            (lambda a, b: "first" if max(a) < min(b) else "neither", "the second may be"),
            (lambda a, b: "first" if min(a) < min(b) else "second", "has the lowest loss"),
            (lambda a, b: told_apart([*a, *a], [*b, *b]), "one seed"),
            (told_at_a_touch, "where they touch"),
            (told_by_the_first_seed, "the second has the lowest"),
            (
                lambda a, b: told_apart(a * 2, b * 2) if len(a) + len(b) > 3 else "neither",
                "one seed against three",
            ),
            (told_as_if_sorted, "not sorted"),
            (
                lambda a, b: "second" if told_as_if_sorted(a, b) == "second" else told_apart(a, b),
                "1.44 lies above 1.43",
            ),
            (told_by_deviations, "1.46 is not below 1.45"),
            (told_by_spread, "however far they lie"),
            (lambda a, b: told_apart(sorted(set(a)), sorted(set(b))), "same loss are two seeds"),
            (lambda a, b: told_apart(a, b) if len(a) == len(b) else "neither", "all of the first"),
            (lambda a, b: max(a) < min(b), 'return "first"'),
            (sorts, "changed the lists"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
    ),
    "timing_faults": Exercise(
        unmoved=("off_by_one", "axis_swapped", "sign", "dtype"),
        right=[RIGHT_FAULTS, dict(reversed(RIGHT_FAULTS.items()))],
        wrong=[
            (RIGHT_FAULTS | {"A": "honest"}, "waits for all of them"),
            (RIGHT_FAULTS | {"B": "measured once"}, "load programs"),
            (RIGHT_FAULTS | {"C": "not waited"}, "happened to be a slow one"),
            (RIGHT_FAULTS | {"D": "measured once"}, "the median is where"),
            (RIGHT_FAULTS | {"E": "not waited"}, "above 1"),
            (RIGHT_FAULTS | {"E": "too fast"}, "none of"),
            ({"A": "not waited"}, "report B has no answer yet"),
            ("not waited", "a dictionary"),
            (RIGHT_FAULTS | {"D": ...}, "report D has no answer yet"),
            (RIGHT_FAULTS | {"D": None}, "none of"),
        ],
    ),
}
