"""Checks of the exercises of chapter 13."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from lstmlib.course.check.exercises import Slip, call_answer, grade, near, number


def utilisation(answer: Callable | None) -> None:
    """Check a function (H, V, batch_size, seq_len, seconds, ceiling) -> (speed, share).

    Of one LSTM layer with one-hot inputs: speed in characters a second, share of the ceiling.
    """

    def parts(H: int, V: int) -> tuple[int, int, int]:
        return 4 * H * V, 4 * H**2, H * V  # weights of inputs, of hidden states, of the output

    def reference(H: int, V: int, B: int, T: int, seconds: float, ceiling: float) -> tuple:
        read, kept, out = parts(H, V)
        return B * T / seconds, B * T / seconds * (4 * read + 6 * kept + 6 * out) / ceiling

    def find_slip() -> str | None:
        def answers(*task: float) -> tuple[float, float]:
            got = call_answer(answer, *task)
            if np.ndim(got) != 1 or len(got) != 2:
                raise Slip("return two numbers: characters a second, and the share of the ceiling.")
            return number(got[0]), number(got[1])

        task = (512, 80, 64, 32, 0.05, 3e11)
        H, V, B, T, seconds, ceiling = task
        (speed, share), (right_speed, right_share) = answers(*task), reference(*task)

        def near(value: float, wanted: float) -> bool:
            return math.isclose(value, wanted, rel_tol=1e-6)

        if near(share, right_speed) and near(speed, right_share):
            return "return the speed first, then the share."
        if near(speed, B / seconds):
            return "those are steps of all streams; each of them has `seq_len` characters."
        if near(speed, T / seconds):
            return "those are the characters of one stream; a step trains on all B of them."
        if near(speed, 1 / seconds):
            return "those are steps a second; a step trains on B · T characters."
        if near(speed, seconds / (B * T)):
            return "those are seconds for a character; turn it round."
        if not near(speed, right_speed):
            return "characters a second are those of a step, B · T, over the seconds of a step."
        read, kept, out = parts(H, V)

        def counted(for_read: float, for_kept: float, for_out: float) -> float:
            """Return the share with so many operations for a weight of each matrix."""
            return speed * (for_read * read + for_kept * kept + for_out * out) / ceiling

        slips = {
            100 * right_share: "a share of 1 is all of the ceiling; that is in percent.",
            1 / right_share: "that is the ceiling over the speed; turn it round.",
            counted(2, 2, 2): "that is the forward pass alone; going backwards takes twice as much "
            "again.",
            counted(6, 6, 6): "the first matrix takes 4 operations for a weight: nothing needs the "
            "gradient of its one-hot inputs.",
            counted(2, 6, 6): "a weight of the first matrix takes 4 operations: 2 forwards, and 2 "
            "backwards for its own gradient.",
            counted(4, 6, 4): "only the first matrix takes 4; what the output layer reads needs a "
            "gradient.",
            counted(6, 6, 4): "the matrix with 4 operations is the first, not that of the output.",
            counted(4, 6, 0): "you forgot the output layer, H · V weights.",
            counted(1, 1.5, 6): "there are 4 gates, so 4H rows.",
            counted(4, 1.5, 6): "W_h has 4 gates, too, so 4H rows.",
            counted(0, 12, 6): "the first matrix reads V numbers, not H.",
            **{
                right_share + speed * biases / ceiling: "count the matrices alone, without the "
                "biases."
                for biases in (24 * H, 48 * H, 24 * H + 6 * V, 48 * H + 6 * V, 16 * H + 6 * V)
            },
            right_share / speed: "that is for one character a second; multiply by the speed.",
        }
        for wrong, slip in slips.items():
            if near(share, wrong):
                return slip
        if not near(share, right_share):
            return "the share is speed · operations for a character / ceiling."
        slow = (512, 80, 64, 32, 0.05, 1e11)
        if near(answers(*slow)[1], 1):
            return "a share above 1 shows that the ceiling is wrong; do not cut it off."
        other = (65, 9, 3, 7, 2.0, 1e7)
        if not all(map(near, answers(*other), reference(*other))):
            return "use all six numbers as they are given; they are not always the same."
        return None

    grade(answer, find_slip)


class _Device:
    """A device that works apart from the program, and its clock; all times are made up.

    A call takes `asking` seconds of the program, and then `work` of the device.
    """

    def __init__(self, work: float, asking: float, left_over: float) -> None:
        self.now, self.done, self.calls, self.waits, self.readings = 0.0, left_over, 0, 0, 0
        self.work, self.asking = work, asking

    def call(self) -> None:
        """Ask for work, and return at once."""
        self.calls += 1
        self.now += self.asking
        self.done = max(self.done, self.now) + self.work

    def wait(self) -> None:
        """Wait until all that was asked for is done."""
        self.waits += 1
        self.now = max(self.now, self.done)

    def clock(self) -> float:
        """Return the time."""
        self.readings += 1
        return self.now


def timed_call(answer: Callable | None) -> None:
    """Check a function (call, wait, clock) -> seconds of one call on a device that works apart."""

    def find_slip() -> str | None:
        def answers(work: float, asking: float, left_over: float) -> tuple[float, _Device]:
            device = _Device(work, asking, left_over)
            got = call_answer(answer, device.call, device.wait, device.clock)
            return number(got), device

        work, asking, left_over = 0.25, 0.01, 7.0
        got, device = answers(work, asking, left_over)
        if not device.calls:
            return "it never calls; the call is what is to be timed."
        if not device.waits:
            return "it never waits for the device, so it times the asking, not the work."
        if device.readings < 2:
            return "read the clock that you are given, before the call and after it."
        if math.isclose(got, asking, rel_tol=1e-6):
            return "the clock is read before the device is done: wait after the call, too."
        if left_over + work - 1e-6 < got < left_over + asking + work + 1e-6:
            return "the device still did earlier work: wait before the first reading, too."
        if device.calls != 1:
            return f"it calls {device.calls} times; time one call."
        for task in ((work, asking, left_over), (3.1, 0.2, 0.0), (0.02, 0.3, 1.0)):
            if not math.isclose(answers(*task)[0], task[0] + task[1], rel_tol=1e-6):
                return "wait, read the clock, call, wait, read the clock; return the difference."
        return None

    grade(answer, find_slip)


def honest_seconds(answer: Callable | None) -> None:
    """Check a function (time_call, warm_up, repeat) -> the typical seconds of a call."""

    def find_slip() -> str | None:
        def answers(usual: float, warm_up: int, repeat: int) -> tuple[float, int]:
            """The first calls take longer, one of the later ones too, and none is alike."""
            count = 0

            def time_call() -> float:
                nonlocal count
                count += 1
                if count <= warm_up:
                    return 100 * usual
                k = count - warm_up
                return 30 * usual if k == 2 else usual * (1 + 0.01 * ((k * 3 + 3) % 7))

            return number(call_answer(answer, time_call, warm_up, repeat)), count

        def times(usual: float, repeat: int) -> list[float]:
            return [
                30 * usual if k == 2 else usual * (1 + 0.01 * ((k * 3 + 3) % 7))
                for k in range(1, repeat + 1)
            ]

        def sorted_before(usual: float, warm_up: int, repeat: int) -> float:
            every = sorted([100 * usual] * warm_up + times(usual, repeat))
            return float(np.median(every[warm_up:]))

        usual, warm_up, repeat = 0.25, 2, 7
        got, count = answers(usual, warm_up, repeat)
        later = times(usual, repeat)
        first = [100 * usual] * warm_up
        if count == 1:
            return "one measurement says little; make `repeat` of them, after the warm-up."
        unwarmed = np.median((first + later)[:repeat])
        if count == repeat and near(got, unwarmed):
            return "the first calls are measured, too."
        for found, slip in (
            (np.mean(first + later), "the first calls, which load programs, are in the mean."),
            (np.mean((first + later)[:repeat]), "the first calls are measured; make them before."),
            (np.median(first + later), "the first calls are measured, too; do not keep them."),
            (np.mean(later), "that is the mean, which one slow call moves; take the median."),
            (np.max(later), "that is the slowest call; take the median."),
            (np.min(later), "that is the luckiest call; take the median."),
            (np.sum(later), "that is all calls together; take the median of them."),
        ):
            if near(got, found):
                return slip
        if count != warm_up + repeat:
            return f"make {warm_up} + {repeat} calls; yours makes {count}."
        tasks = ((usual, warm_up, repeat), (0.03, 5, 11))
        if all(near(answers(*task)[0], sorted_before(*task)) for task in tasks):
            return "leave out the first calls as they came; sorted, they are no longer the first."
        if any(near(got, later[k]) for k in (0, repeat // 2, repeat - 1)):
            return "that is one of the calls as they came; the median is the middle one by size."
        if not near(got, np.median(later)):
            return "after `warm_up` calls that do not count, return the median of `repeat` calls."
        for task in ((2.0, 0, 3), (0.03, 5, 11)):
            if not near(answers(*task)[0], np.median(times(task[0], task[2]))):
                return "use warm_up and repeat as they are given; they are not always 2 and 7."
        return None

    grade(answer, find_slip)


def balance(answer: Callable | None) -> None:
    """Check a function (ceiling, bandwidth) -> streams at which both limits meet."""

    def find_slip() -> str | None:
        def answers(*task: float) -> float:
            return number(call_answer(answer, *task))

        ceiling, bandwidth = 3e11, 2e10
        got, ratio = answers(ceiling, bandwidth), ceiling / bandwidth
        slips = {
            ratio: "a stream gives half an operation for each byte, B / 2 and not B.",
            ratio / 2: "B / 2 operations for each byte must be ceiling / bandwidth; B is larger.",
            2 / ratio: "turn it round: more streams are needed where the ceiling is high.",
            1 / ratio: "turn it round: more streams are needed where the ceiling is high.",
            4 * ratio: "a weight takes 2 operations a stream, a multiplication and an addition.",
            8 * ratio: "W_h has 4H² weights of 4 bytes each, so 16H² bytes, and 8BH² operations.",
        }
        for wrong, slip in slips.items():
            if math.isclose(got, wrong, rel_tol=1e-6):
                return slip
        if not math.isclose(got, 2 * ratio, rel_tol=1e-6):
            return "set 8 · B · H² / ceiling equal to 16 · H² / bandwidth, and solve for B."
        if not math.isclose(answers(7e13, 3e12), 140 / 3, rel_tol=1e-6):
            return "use ceiling and bandwidth as they are given; return B, not rounded."
        if not math.isclose(answers(1e9, 4e9), 0.5, rel_tol=1e-6):
            return "where memory is fast, B may lie below 1; return it as it comes out."
        return None

    grade(answer, find_slip)


def parallel_gain(answer: Callable | None) -> None:
    """Check a function (seconds, sending, n) -> speed of n processes over that of one."""

    def reference(seconds: float, sending: float, n: int) -> float:
        return seconds / (seconds / n + (sending if n > 1 else 0.0))

    def find_slip() -> str | None:
        def answers(*task: float) -> float:
            return number(call_answer(answer, *task))

        seconds, sending, n = 8.8, 2.75, 4
        got = answers(seconds, sending, n)
        slips = {
            1 / reference(seconds, sending, n): "that is below 1, the time of the new step over "
            "that of the old one; the gain in speed is the other way round.",
            seconds / n + sending: "that is the time of a step; the gain is the old time over it.",
            float(n): "you forgot the sending.",
            seconds / (seconds / n + sending / n): "the sending is not shared out: each process "
            "sends the gradients of all weights, however few rows it has.",
            seconds / (seconds + sending): "the rows are shared out: a share takes seconds / n.",
            (seconds + sending) / (seconds / n + sending): "one process alone sends nothing.",
            **dict.fromkeys(
                (seconds / (seconds / n + k * sending) for k in (n, n - 1)),
                "`sending` is the time of all the sending in a step, not of one process.",
            ),
            seconds / max(seconds / n, sending): "the processes send after their work, not "
            "meanwhile: both times add up.",
        }
        for wrong, slip in slips.items():
            if math.isclose(got, wrong, rel_tol=1e-6):
                return slip
        if not math.isclose(got, reference(seconds, sending, n), rel_tol=1e-6):
            return "a step of n processes takes seconds / n + sending; compare it with `seconds`."
        if not math.isclose(answers(0.8, 0.1, 1), 1.0, rel_tol=1e-6):
            return "with one process nothing is sent, and the gain is 1."
        if not math.isclose(answers(0.8, 0.1, 2), reference(0.8, 0.1, 2), rel_tol=1e-6):
            return "two processes send as more do; only one alone sends nothing."
        if not math.isclose(answers(0.3, 0.5, 2), reference(0.3, 0.5, 2), rel_tol=1e-6):
            return "where the sending takes longer than the work, the gain may be below 1."
        return None

    grade(answer, find_slip)


def told_apart(answer: Callable | None) -> None:
    """Check a function (losses, losses) -> "first", "second" or "neither": which is lower."""
    tasks = {
        ((1.41, 1.42), (1.45, 1.47, 1.44)): (
            "first",
            "[1.41, 1.42] against [1.45, 1.47, 1.44]: all of the first are lower.",
        ),
        ((1.45, 1.47), (1.41, 1.42)): ("second", "the second may be the lower one."),
        ((1.40, 1.44), (1.42, 1.43)): (
            "neither",
            "[1.40, 1.44] against [1.42, 1.43]: the first list has the lowest loss, and also the "
            "highest.",
        ),
        ((1.40, 1.43), (1.42, 1.47)): (
            "neither",
            "[1.40, 1.43] against [1.42, 1.47]: the mean of the first is lower, but they overlap.",
        ),
        ((1.41,), (1.45, 1.46)): ("neither", "one seed does not show how far the seeds spread."),
        ((1.45, 1.46), (1.41,)): ("neither", "one seed does not show how far the seeds spread."),
        ((1.40, 1.42), (1.42, 1.44)): (
            "neither",
            "[1.40, 1.42] against [1.42, 1.44]: where they touch, neither is lower.",
        ),
        ((1.43, 1.47), (1.40, 1.45)): (
            "neither",
            "[1.43, 1.47] against [1.40, 1.45]: the second has the lowest loss, but they overlap.",
        ),
        ((1.41,), (1.45, 1.46, 1.47)): (
            "neither",
            "each of the two needs two seeds: one seed against three says nothing.",
        ),
        ((1.47, 1.41), (1.43, 1.45)): (
            "neither",
            "[1.47, 1.41] against [1.43, 1.45]: the losses come in the order of the seeds, not "
            "sorted.",
        ),
        ((1.43, 1.45), (1.44, 1.41)): (
            "neither",
            "[1.43, 1.45] against [1.44, 1.41]: 1.44 lies above 1.43; the losses are not sorted.",
        ),
        ((1.40, 1.40, 1.40, 1.46), (1.45, 1.47, 1.47, 1.47)): (
            "neither",
            "[1.40, 1.40, 1.40, 1.46] against [1.45, 1.47, 1.47, 1.47]: 1.46 is not below 1.45, "
            "so not all of the first are lower.",
        ),
        ((2.1, 2.0, 2.05), (1.7, 1.9)): ("second", "look at all seeds, not at some of them."),
        ((1.40, 1.50), (1.51, 1.53)): (
            "first",
            "[1.40, 1.50] against [1.51, 1.53]: all of the first are lower, however far they lie "
            "from each other.",
        ),
        ((1.45, 1.45), (1.41, 1.41)): (
            "second",
            "[1.45, 1.45] against [1.41, 1.41]: two seeds with the same loss are two seeds.",
        ),
    }

    def find_slip() -> str | None:
        for (a, b), (right, slip) in tasks.items():
            first, second = list(a), list(b)
            got = call_answer(answer, first, second)
            if (first, second) != (list(a), list(b)):
                return "your function changed the lists it was given; leave them as they are."
            if got not in ("first", "second", "neither"):
                return f'return "first", "second" or "neither"; yours is {got!r}.'
            if got != right:
                swapped = {"first": "second", "second": "first"}.get(got) == right
                return "a lower loss is better; you have them swapped." if swapped else slip
        return None

    grade(answer, find_slip)


FAULTS = {
    "A": "not waited",
    "B": "not warmed up",
    "C": "measured once",
    "D": "honest",
    "E": "wrong ceiling",
}


def timing_faults(answer: Mapping | None) -> None:
    """Check a dictionary report -> what is wrong with it, of the five in FAULTS."""
    reasons = {
        "A": "in A, each call returns after 0.2 ms, and in the end one waits for all of them.",
        "B": "in B, the mean has the first two calls in it, which load programs.",
        "C": "in C, one call was timed, and it happened to be a slow one.",
        "D": "in D, one call was slow, and the median is where the others are.",
        "E": "in E, the share is above 1: the limit that it is compared with must be another's.",
    }

    def find_slip() -> str | None:
        if not isinstance(answer, Mapping):
            return "give a dictionary, report -> what is wrong with it."
        strange = [v for v in answer.values() if v is not ... and v not in FAULTS.values()]
        if strange:
            return f"{strange[0]!r} is none of {', '.join(FAULTS.values())}."
        for report, fault in FAULTS.items():
            if answer.get(report, ...) is ...:
                return f"report {report} has no answer yet."
            if answer[report] != fault:
                return reasons[report]
        return None

    empty = isinstance(answer, Mapping) and all(value is ... for value in answer.values())
    grade(None if empty else answer, find_slip)
