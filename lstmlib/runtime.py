"""Which machine is this, how large may a run be, and where are the course's files?

Every notebook takes its sizes from a table with a column for each profile. So the same cells run in
continuous integration ("ci"), on a laptop ("cpu") and on a graphics card ("gpu"). The folders to
read from and to write into come from here too, so a notebook runs in any working directory.
"""

import os
import random
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lstmlib.validation import check_choice

# PyTorch is imported where it is used, since the folders are needed without PyTorch too.
if TYPE_CHECKING:
    import torch

PROFILES = ("ci", "cpu", "gpu")


def profile() -> str:
    """Return the profile: "ci", "cpu" or "gpu".

    $LSTMLIB_PROFILE decides if it is set. If not, the profile is "gpu" on a machine with CUDA and
    "cpu" elsewhere. To train on the GPU of an Apple machine, set LSTMLIB_PROFILE=gpu.

    Raises:
        ValueError: $LSTMLIB_PROFILE has another value.
    """
    chosen = os.environ.get("LSTMLIB_PROFILE", "").strip().lower()
    if not chosen:
        import torch

        return "gpu" if torch.cuda.is_available() else "cpu"
    return check_choice("LSTMLIB_PROFILE", chosen, PROFILES, hint=", or unset it")


def pick_device() -> "torch.device":
    """Return the device to train on: the CPU for "ci" and "cpu"; for "gpu" CUDA, else Apple's MPS.

    Raises:
        RuntimeError: the profile is "gpu" and this machine has neither CUDA nor MPS.
    """
    import torch

    if profile() != "gpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    raise RuntimeError(
        "LSTMLIB_PROFILE is 'gpu', but PyTorch finds no CUDA or MPS device here. "
        "Unset LSTMLIB_PROFILE, or set it to 'cpu'."
    )


def seed_everything(seed: int) -> None:
    """Seed the global random generators of Python, NumPy and PyTorch, on all devices."""
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def course_folder() -> Path:
    """Return the folder of the course, which holds notebooks/, runs/, benchmarks/ and datasets/.

    It is the folder that lstmlib lies in. If lstmlib was installed apart from the course, it is the
    working directory, or the nearest folder above it, that holds the notebooks.

    Raises:
        FileNotFoundError: the course is in none of these folders.
    """
    beside = Path(__file__).resolve().parents[1]
    if _holds_the_course(beside):
        return beside
    here = Path.cwd()
    for folder in (here, *here.parents):
        if _holds_the_course(folder):
            return folder
    raise FileNotFoundError(
        f"The folder of the course is neither beside lstmlib nor above {here}. "
        "Start the notebook from a folder of the course, or install lstmlib from it: "
        "pip install -e FOLDER."
    )


def _holds_the_course(folder: Path) -> bool:
    """Say whether a folder is a copy of the course."""
    return (folder / "notebooks" / "00_start_here.ipynb").is_file()


def output_folder() -> Path:
    """Return the folder that notebooks write models, checkpoints and runs into.

    The folder is made if need be. It is the first of these:
        1. the folder that $LSTMLIB_OUTPUT names, if it is set;
        2. notebooks/output in the course, if it can be written;
        3. lstm-course-output in the reader's home, for a course that many readers share. One
           printed sentence then names it.

    Raises:
        OSError: the folder that $LSTMLIB_OUTPUT names, or the one in the home, cannot be written.
    """
    chosen = os.environ.get("LSTMLIB_OUTPUT", "").strip()
    if chosen:
        folder = Path(os.path.expanduser(chosen)).absolute()
        if not _can_be_written(folder):
            raise OSError(
                f"Nothing can be written in {folder}, which LSTMLIB_OUTPUT names. "
                "Set it to a folder of yours, or unset it."
            )
        return folder
    folder = course_folder() / "notebooks" / "output"
    return folder if _can_be_written(folder) else _output_in_home(folder)


@cache  # The sentence is printed once.
def _output_in_home(refused: Path) -> Path:
    """Return the folder for output in the reader's home, and print why it is used."""
    folder = Path(os.path.expanduser("~/lstm-course-output")).absolute()
    if not _can_be_written(folder):
        raise OSError(
            f"Nothing can be written in {refused}, nor in {folder}. "
            "Set LSTMLIB_OUTPUT to a folder of yours."
        )
    print(f"{refused} cannot be written: output goes to {folder}.", file=sys.stderr)
    return folder


def _can_be_written(folder: Path) -> bool:
    """Make a folder if need be; return whether a file can be written in it.

    The file is really written, since permissions do not show a read-only or full disk.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
