"""Every figure of the course, one function each: in a chapter's file, or in `training`.

`training` has those that several chapters draw. Each function returns a matplotlib Figure; as the
last line of a notebook cell it is shown once.
"""

from lstmlib.course.plots.ch00 import against_baselines, one_step, temperature_bars
from lstmlib.course.plots.ch01 import character_counts, ngram_losses, windows_and_streams
from lstmlib.course.plots.ch02 import step_sizes, stretched_circle, unrolled
from lstmlib.course.plots.ch03 import distributions, gates, lstm_cell
from lstmlib.course.plots.ch04 import dropout_places
from lstmlib.course.plots.ch05 import number_formats
from lstmlib.course.plots.ch06 import (
    broken_run,
    cliff,
    clip_sweep,
    jacobian_products,
    log_curves,
    loss_and_gradient_by_epoch,
    loss_surface,
    norms_over_time,
    patients,
    training_moment,
)
from lstmlib.course.plots.ch07 import (
    draws,
    entropy_by_temperature,
    loop,
    measures_by_temperature,
    pieces_by_temperature,
    shaded_texts,
    tradeoff,
)
from lstmlib.course.plots.ch08 import (
    automata,
    counter,
    counting,
    ending_too_soon,
    layer_gradients,
    ngram_gaps,
    prefix_reading,
    training_by_epoch,
    validity_by_epoch,
)
from lstmlib.course.plots.ch09 import (
    measures_and_cheats,
    novelty_by_length,
    quality_and_diversity,
    reader_agreement,
    reader_scores,
    reliability_diagrams,
    resampled_intervals,
    time_by_size,
    two_sample_by_temperature,
)
from lstmlib.course.plots.ch10 import cases_measured, change_by_change, curves_of_cases
from lstmlib.course.plots.ch11 import (
    reach_curves,
    scores_with_controls,
    time_constants,
    units_along_text,
)
from lstmlib.course.plots.ch12 import plan_and_run, text_map
from lstmlib.course.plots.ch13 import asynchronous, ranked, seen_and_unseen, training_speeds
from lstmlib.course.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PINK,
    RED,
    SKY,
    YELLOW,
    png,
    with_alt,
)
from lstmlib.course.plots.training import (
    LivePlot,
    clipping,
    gradient_against_lag,
    loss_and_gradient,
    loss_curves,
)

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "ORANGE",
    "PINK",
    "RED",
    "SKY",
    "YELLOW",
    "LivePlot",
    "against_baselines",
    "asynchronous",
    "automata",
    "broken_run",
    "cases_measured",
    "change_by_change",
    "character_counts",
    "cliff",
    "clip_sweep",
    "clipping",
    "counter",
    "counting",
    "curves_of_cases",
    "distributions",
    "draws",
    "dropout_places",
    "ending_too_soon",
    "entropy_by_temperature",
    "gates",
    "gradient_against_lag",
    "jacobian_products",
    "layer_gradients",
    "log_curves",
    "loop",
    "loss_and_gradient",
    "loss_and_gradient_by_epoch",
    "loss_curves",
    "loss_surface",
    "lstm_cell",
    "measures_and_cheats",
    "measures_by_temperature",
    "ngram_gaps",
    "ngram_losses",
    "norms_over_time",
    "novelty_by_length",
    "number_formats",
    "one_step",
    "patients",
    "pieces_by_temperature",
    "plan_and_run",
    "png",
    "prefix_reading",
    "quality_and_diversity",
    "ranked",
    "reach_curves",
    "reader_agreement",
    "reader_scores",
    "reliability_diagrams",
    "resampled_intervals",
    "scores_with_controls",
    "seen_and_unseen",
    "shaded_texts",
    "step_sizes",
    "stretched_circle",
    "temperature_bars",
    "text_map",
    "time_by_size",
    "time_constants",
    "tradeoff",
    "training_by_epoch",
    "training_moment",
    "training_speeds",
    "two_sample_by_temperature",
    "units_along_text",
    "unrolled",
    "validity_by_epoch",
    "windows_and_streams",
    "with_alt",
]
