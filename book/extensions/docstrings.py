"""The library's docstrings as they are written: a sentence of prose, and below it their own layout.

They are laid out for people who read the source, and are no reStructuredText.
"""

import re

from sphinx.application import Sphinx


def as_written(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Change a docstring, in place, into what Sphinx shows just so."""
    end = lines.index("") if "" in lines else len(lines)
    prose = [re.sub(r"([\\*|_<>])", r"\\\1", line).replace("`", "``") for line in lines[:end]]
    # Between double backticks a backslash is no escape.
    prose = [re.sub(r"``(.*?)``", lambda m: m.group().replace("\\", ""), line) for line in prose]
    rest = [f"   {line}" for line in lines[end:]]
    block = ["", ".. code-block:: none", *([""] if rest[:1] != ["   "] else []), *rest]
    lines[:] = prose + (block if any(map(str.strip, rest)) else []) + [""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the change with Sphinx."""
    app.connect("autodoc-process-docstring", as_written)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
