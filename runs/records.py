"""How the commands of this folder write what they found: JSON, whole or not at all, and short."""

import json
from pathlib import Path

from lstmlib.models import write_whole


def write_json(path: Path, content: dict) -> None:
    """Write a JSON file, whole or not at all."""
    write_whole(path, (json.dumps(content, indent=2) + "\n").encode())


def rounded(value: object, digits: int) -> object:
    """Round the numbers in nested dicts and lists to so many digits, so that files stay small."""
    if isinstance(value, dict):
        return {name: rounded(entry, digits) for name, entry in value.items()}
    if isinstance(value, list):
        return [rounded(entry, digits) for entry in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value
