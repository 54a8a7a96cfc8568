"""Build python-docs.txt from the help topics of the Python that runs.

The topics differ from version to version of Python, and every number of the course with them. So
one version's text is bundled, that of PYTHON, and each reader has the same:

    python3.11 datasets/make_python_docs.py
"""

import platform
import re
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHON = "3.11.7"
"""The version whose topics the bundled text is."""
_HEADING = re.compile(r"\n([*=\-~^\"])\1+\Z")


def as_text(topics: Mapping[str, str]) -> str:
    """Return help topics as one text, in which no paragraph occurs twice.

    The topics quote one another. If a paragraph stood in the training and in the validation part,
    memory would be measured there. So only its first place is kept. A topic of which only headings
    are left is dropped.

    Args:
        topics: name -> text, as in `pydoc_data.topics`.
    """
    seen, kept = set(), []
    for name in sorted(topics):
        new = []
        for paragraph in re.split(r"\n\s*\n", topics[name]):
            key = " ".join(paragraph.split())
            if key and key not in seen:
                seen.add(key)
                new.append(paragraph.strip("\n").rstrip())
        if not all(_HEADING.search(paragraph) for paragraph in new):
            kept += new
    return "\n\n".join(kept) + "\n"


def main() -> None:
    """Write the text, if this Python is the one whose topics it is."""
    if platform.python_version() != PYTHON:
        raise SystemExit(
            f"This is Python {platform.python_version()}, and the text is that of Python {PYTHON}. "
            "Run this with that one; another text changes every number of the course."
        )
    from pydoc_data.topics import topics

    (HERE / "python-docs.txt").write_bytes(as_text(topics).encode())


if __name__ == "__main__":
    main()
