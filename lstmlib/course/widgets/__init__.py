"""Panels that move: a slider, and what follows from it.

A panel that a notebook cell makes anew, when it is run again, takes the place of the one before:
the old one is closed, and what it held is free.
"""

from lstmlib.course.widgets.blind_comparison import (
    BlindComparison,
    ranking_table,
    read_choices,
)
from lstmlib.course.widgets.controls import Panel
from lstmlib.course.widgets.prefix_explorer import PrefixExplorer
from lstmlib.course.widgets.side_by_side import SideBySide
from lstmlib.course.widgets.temperature_explorer import TemperatureExplorer
from lstmlib.course.widgets.training_scrubber import TrainingScrubber
from lstmlib.course.widgets.unit_page import unit_page
from lstmlib.course.widgets.unit_viewer import UnitReading, UnitViewer, read_units

__all__ = [
    "BlindComparison",
    "Panel",
    "PrefixExplorer",
    "SideBySide",
    "TemperatureExplorer",
    "TrainingScrubber",
    "UnitReading",
    "UnitViewer",
    "ranking_table",
    "read_choices",
    "read_units",
    "unit_page",
]
