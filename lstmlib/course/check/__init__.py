"""Checks that notebooks run: bands for measured numbers, facts, and exercises, a file a chapter.

An exercise check takes the student's answer and prints one line: *not attempted yet*, *not yet* and
why, or *right*. The answer stays the student's own. `hint("ch00.pairs")` gives a hint, and one more
each time that it is called again.
"""

from lstmlib.course.check.ch00 import (
    bits_per_character,
    clipped_epoch,
    cooled,
    fed_back,
    loss_of_probabilities,
    network_parameters,
    pairs,
)
from lstmlib.course.check.ch01 import (
    add_one_probability,
    one_line,
    straight_quotes,
    stream_place,
    symptoms,
    window_count,
    windows_apart,
    witten_bell,
)
from lstmlib.course.check.ch02 import (
    adagrad_changes,
    bug_table,
    chunk,
    forward_passes,
    leaky_step_back,
    revealing_batch,
    step_back,
    steps_until,
)
from lstmlib.course.check.ch03 import (
    adagrad_step,
    backward_without_tanh,
    bugs_by_block,
    coupled_gate,
    from_onnx,
    lstm_parameters,
    remember_one_bit,
)
from lstmlib.course.check.ch04 import gru_units, next_state, table_gradient
from lstmlib.course.check.ch05 import early_stop, norm_clipped, warm_cosine
from lstmlib.course.check.ch06 import CAUSES, adaptive_limit, diagnosis, step_jacobian
from lstmlib.course.check.ch07 import (
    drawn,
    entropy_by_hand,
    min_p,
    nucleus,
    tempered,
    tempered_by_hand,
)
from lstmlib.course.check.ch07_mended import mended_sampler, mended_writer
from lstmlib.course.check.ch08 import bracket_string, masked_mean, repeat_floor
from lstmlib.course.check.exercises import hint
from lstmlib.course.check.facts import band, bands, enough_text, fact, has_room

__all__ = [
    "CAUSES",
    "adagrad_changes",
    "adagrad_step",
    "adaptive_limit",
    "add_one_probability",
    "backward_without_tanh",
    "band",
    "bands",
    "bits_per_character",
    "bracket_string",
    "bug_table",
    "bugs_by_block",
    "chunk",
    "clipped_epoch",
    "cooled",
    "coupled_gate",
    "diagnosis",
    "drawn",
    "early_stop",
    "enough_text",
    "entropy_by_hand",
    "fact",
    "fed_back",
    "forward_passes",
    "from_onnx",
    "gru_units",
    "has_room",
    "hint",
    "leaky_step_back",
    "loss_of_probabilities",
    "lstm_parameters",
    "masked_mean",
    "mended_sampler",
    "mended_writer",
    "min_p",
    "network_parameters",
    "next_state",
    "norm_clipped",
    "nucleus",
    "one_line",
    "pairs",
    "remember_one_bit",
    "repeat_floor",
    "revealing_batch",
    "step_back",
    "step_jacobian",
    "steps_until",
    "straight_quotes",
    "stream_place",
    "symptoms",
    "table_gradient",
    "tempered",
    "tempered_by_hand",
    "warm_cosine",
    "window_count",
    "windows_apart",
    "witten_bell",
]
