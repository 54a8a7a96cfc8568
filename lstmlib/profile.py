"""Which machine is this, and how large may a run be?

Every notebook reads its sizes from one table keyed by the profile, so that the same cells run in
continuous integration ("ci"), on a laptop ("cpu") and on a graphics card ("gpu").
"""

import os
import random

import numpy as np
import torch

PROFILES = ("ci", "cpu", "gpu")


def profile() -> str:
    """Return the profile: "ci", "cpu" or "gpu".

    $LSTMLIB_PROFILE decides when it is set. Otherwise it is "gpu" where CUDA is available and "cpu"
    elsewhere; on an Apple machine set LSTMLIB_PROFILE=gpu to train on its GPU.

    Raises:
        ValueError: $LSTMLIB_PROFILE is set to something else.
    """
    chosen = os.environ.get("LSTMLIB_PROFILE", "").strip().lower()
    if not chosen:
        return "gpu" if torch.cuda.is_available() else "cpu"
    if chosen not in PROFILES:
        raise ValueError(
            f"LSTMLIB_PROFILE is {chosen!r}; set it to one of {', '.join(PROFILES)}, or unset it."
        )
    return chosen


def pick_device() -> torch.device:
    """Return the device to train on: the CPU for "ci" and "cpu", else CUDA, else Apple's MPS.

    Raises:
        RuntimeError: the profile is "gpu" and this machine has neither CUDA nor MPS.
    """
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
    """Seed the global generators of Python, NumPy and PyTorch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
