"""Checks that notebooks run: bands for measured numbers, facts, and exercises, a file a chapter.

An exercise check takes the student's answer and prints one line: *not attempted yet*, *not yet* and
why, or *right*. The answer stays the student's own. `hint("ch00.pairs")` gives a hint, and one more
each time that it is called again. What stands here of an exercise is a `Check`, whose source tells
nothing of the answer; the files of the chapters hold references, and are no attributes of this
package (`from lstmlib.course.check import ch00` finds one).
"""

import inspect

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
from lstmlib.course.check.ch02 import bug_table, chunk, forward_passes, revealing_batch, steps_until
from lstmlib.course.check.ch02_adagrad import adagrad_changes
from lstmlib.course.check.ch02_backward import leaky_step_back, step_back
from lstmlib.course.check.ch03 import (
    adagrad_step,
    backward_without_tanh,
    bugs_by_block,
    coupled_gate,
    from_onnx,
    lstm_parameters,
    remember_one_bit,
)
from lstmlib.course.check.ch04 import (
    bias_for,
    from_tensorflow,
    gru_units,
    table_gradient,
)
from lstmlib.course.check.ch04_mended import continued, repaired
from lstmlib.course.check.ch04_state import next_state
from lstmlib.course.check.ch05 import early_stop, norm_clipped
from lstmlib.course.check.ch05_loop import finish_step
from lstmlib.course.check.ch05_rates import book_rate, reach, warm_cosine
from lstmlib.course.check.ch06 import (
    CAUSES,
    adaptive_limit,
    as_a_mean,
    clip_by_hand,
    clip_choice,
    clipped_step,
    diagnosis,
    step_jacobian,
    steps_to_undo,
)
from lstmlib.course.check.ch07 import (
    drawn,
    entropy_by_hand,
    min_p,
    nucleus,
    tempered,
    tempered_by_hand,
)
from lstmlib.course.check.ch07_mended import mended_sampler, mended_writer
from lstmlib.course.check.ch08 import (
    bracket_string,
    breaking_string,
    loss_bugs,
    masked_mean,
    mean_length,
    order_needed,
    repeat_floor,
    short_floor,
    string_of,
)
from lstmlib.course.check.ch09 import (
    distinct_by_hand,
    ece_by_hand,
    mended_interval,
    novelty_at,
    own_cheat,
    permutation_p,
    share_preferred,
    whose_text,
)
from lstmlib.course.check.ch10 import (
    best_step,
    bits_of_e,
    fair_comparison,
    loss_slope,
    mended_table,
    parameters,
    samples_needed,
    seconds_per_million,
    without_case,
)
from lstmlib.course.check.ch11 import (
    auc,
    balanced_accuracy,
    foreign_past,
    half_life,
    looks_ahead,
    mended_split,
    reach_of,
    verdicts,
)
from lstmlib.course.check.ch12 import CheckList
from lstmlib.course.check.ch13 import (
    balance,
    honest_seconds,
    parallel_gain,
    timed_call,
    timing_faults,
    told_apart,
    utilisation,
)
from lstmlib.course.check.exercises import Check, hint
from lstmlib.course.check.facts import band, bands, enough_text, fact, has_room

__all__ = [
    "CAUSES",
    "CheckList",
    "adagrad_changes",
    "adagrad_step",
    "adaptive_limit",
    "add_one_probability",
    "as_a_mean",
    "auc",
    "backward_without_tanh",
    "balance",
    "balanced_accuracy",
    "band",
    "bands",
    "best_step",
    "bias_for",
    "bits_of_e",
    "bits_per_character",
    "book_rate",
    "bracket_string",
    "breaking_string",
    "bug_table",
    "bugs_by_block",
    "chunk",
    "clip_by_hand",
    "clip_choice",
    "clipped_epoch",
    "clipped_step",
    "continued",
    "cooled",
    "coupled_gate",
    "diagnosis",
    "distinct_by_hand",
    "drawn",
    "early_stop",
    "ece_by_hand",
    "enough_text",
    "entropy_by_hand",
    "fact",
    "fair_comparison",
    "fed_back",
    "finish_step",
    "foreign_past",
    "forward_passes",
    "from_onnx",
    "from_tensorflow",
    "gru_units",
    "half_life",
    "has_room",
    "hint",
    "honest_seconds",
    "leaky_step_back",
    "looks_ahead",
    "loss_bugs",
    "loss_of_probabilities",
    "loss_slope",
    "lstm_parameters",
    "masked_mean",
    "mean_length",
    "mended_interval",
    "mended_sampler",
    "mended_split",
    "mended_table",
    "mended_writer",
    "min_p",
    "network_parameters",
    "next_state",
    "norm_clipped",
    "novelty_at",
    "nucleus",
    "one_line",
    "order_needed",
    "own_cheat",
    "pairs",
    "parallel_gain",
    "parameters",
    "permutation_p",
    "reach",
    "reach_of",
    "remember_one_bit",
    "repaired",
    "repeat_floor",
    "revealing_batch",
    "samples_needed",
    "seconds_per_million",
    "share_preferred",
    "short_floor",
    "step_back",
    "step_jacobian",
    "steps_to_undo",
    "steps_until",
    "straight_quotes",
    "stream_place",
    "string_of",
    "symptoms",
    "table_gradient",
    "tempered",
    "tempered_by_hand",
    "timed_call",
    "timing_faults",
    "told_apart",
    "utilisation",
    "verdicts",
    "warm_cosine",
    "whose_text",
    "window_count",
    "windows_apart",
    "without_case",
    "witten_bell",
]

_functions = {name: value for name, value in globals().items() if inspect.isfunction(value)}
globals().update(
    {name: Check(f) for name, f in _functions.items() if f.__module__.startswith(f"{__name__}.ch")}
)
for _name in [name for name, value in globals().items() if inspect.ismodule(value)]:
    del globals()[_name]
del Check, _functions, _name
