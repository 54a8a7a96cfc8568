"""Checks that notebooks run: bands for measured numbers, facts, and exercises, a file a chapter.

An exercise check takes the student's answer and prints one line: *not attempted yet*, *not yet* and
why, or *right*. The answer stays the student's own. `hint("ch00.pairs")` gives a hint, and one more
each time that it is called again.
"""

from lstmlib.course.check.ch00 import bits_per_character, pairs
from lstmlib.course.check.ch01 import add_one_probability, straight_quotes, window_count
from lstmlib.course.check.ch02 import chunk, clipped, step_back
from lstmlib.course.check.ch03 import coupled_gate, lstm_parameters, split_gates
from lstmlib.course.check.ch04 import gru_units, next_state, table_gradient
from lstmlib.course.check.ch05 import (
    book_rate,
    early_stop,
    finish_step,
    norm_clipped,
    reach,
    warm_cosine,
)
from lstmlib.course.check.ch06 import CAUSES, adaptive_limit, diagnosis, step_jacobian
from lstmlib.course.check.ch07 import drawn, nucleus, tempered
from lstmlib.course.check.ch08 import bracket_string, masked_mean, repeat_floor
from lstmlib.course.check.ch13 import (
    balance,
    honest_seconds,
    parallel_gain,
    timed_call,
    timing_faults,
    told_apart,
    utilisation,
)
from lstmlib.course.check.exercises import hint
from lstmlib.course.check.facts import band, bands, enough_text, fact, has_room

__all__ = [
    "CAUSES",
    "adaptive_limit",
    "add_one_probability",
    "balance",
    "band",
    "bands",
    "bits_per_character",
    "book_rate",
    "bracket_string",
    "chunk",
    "clipped",
    "coupled_gate",
    "diagnosis",
    "drawn",
    "early_stop",
    "enough_text",
    "fact",
    "finish_step",
    "gru_units",
    "has_room",
    "hint",
    "honest_seconds",
    "lstm_parameters",
    "masked_mean",
    "next_state",
    "norm_clipped",
    "nucleus",
    "pairs",
    "parallel_gain",
    "reach",
    "repeat_floor",
    "split_gates",
    "step_back",
    "step_jacobian",
    "straight_quotes",
    "table_gradient",
    "tempered",
    "timed_call",
    "timing_faults",
    "told_apart",
    "utilisation",
    "warm_cosine",
    "window_count",
]
