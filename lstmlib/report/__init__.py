"""A report on any text: its measures beside those of held-out text, and what it copied from where.

    python -m lstmlib.report generated.txt --training book.txt --html report.html

No model is needed, so there is no loss. Both texts are cut into pieces of one length at random
places, as many of each, and an interval is over these pieces (`measures`; `meanings` says what each
measure means, and what it cannot see). The matching alone goes over all of both texts (`copies`).
`measuring` puts the report together, and `page` writes it, for a terminal or as one HTML page.
"""

from lstmlib.report.meanings import Measure
from lstmlib.report.measuring import measure_text
from lstmlib.report.page import Passage, Report, Row

__all__ = ["Measure", "Passage", "Report", "Row", "measure_text"]
