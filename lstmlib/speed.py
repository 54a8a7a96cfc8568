"""How fast does a device train, and how far is that from what it can do?

A device works on its own time: a call that starts work on a GPU returns before the work is done. So
everything here warms up first, waits for the device before it reads the clock, and takes a median.
"""

import ctypes
import platform
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lstmlib.models import CharRNN, detach
from lstmlib.training import autocast, has_bfloat16


def synchronize(device: torch.device) -> None:
    """Wait until a device has done all that was asked of it; the CPU always has."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def keep_freed_memory() -> bool:
    """Let this process keep memory that it frees; return whether it can (on Linux with glibc).

    By default glibc gives an array of more than 32 MB back as soon as it is freed, and the kernel
    clears its pages when the next step asks for them again. In training on a CPU with large batches
    that can take a fourth of the time. The price: the process stays as large as it has ever been.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    trim_threshold, mmap_max = -1, -4  # as malloc.h names them
    return bool(mallopt(mmap_max, 0) and mallopt(trim_threshold, 2**31 - 1))


def seconds_per_call(
    call: Callable[[], object],
    device: torch.device,
    warm_up: int = 3,
    least: float = 0.5,
    reading: float = 0.0,
) -> float:
    """Return the median time of a call, in seconds, over at least five and `least` seconds.

    Args:
        call: what to time, without arguments.
        device: the device it works on, waited for before the clock is read.
        warm_up: calls that are not counted: the first ones load and tune the device's programs.
        least: seconds of measuring.
        reading: seconds between two readings of the clock, roughly, if a call takes less. Then a
            GPU works on one call while the next is asked for, as in a loop; at 0 each call is
            waited for.
    """
    for _ in range(warm_up):
        call()
    synchronize(device)
    times, calls = [], 1
    if reading:
        calls = min(max(round(reading / max(_seconds(call, device, 1), 1e-9)), 1), 1000)
    while len(times) < 5 or sum(times) * calls < least:
        times.append(_seconds(call, device, calls))
    return float(np.median(times))


def _seconds(call: Callable[[], object], device: torch.device, calls: int) -> float:
    """Return the time of a call, in seconds, as the mean of so many between two readings."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    synchronize(device)
    return (time.perf_counter() - start) / calls


def _busy_seconds(call: Callable[[], object], device: torch.device, least: float) -> float:
    """Return the median time of a call with the device kept busy, as a CPU is in any case."""
    reading = 0.0 if device.type == "cpu" else 0.02
    return seconds_per_call(call, device, least=least, reading=reading)


def training_speed(
    model: CharRNN,
    batch_size: int,
    seq_len: int,
    precision: str = "float32",
    least: float = 0.5,
) -> float:
    """Return the characters a second that a bare training loop learns from, in truncated BPTT.

    A step is forward, loss, backward, clipping and Adam, on random characters, with the state
    carried on. The model's weights change.

    Args:
        model: on the device to be measured.
        batch_size: parallel streams B.
        seq_len: characters T of each.
        precision: "float32" or "bfloat16", as in `TrainingConfig`.
        least: seconds of measuring, see `seconds_per_call`.

    Raises:
        ValueError: the device cannot train in bfloat16, so that there is nothing to measure.
    """
    device = next(model.parameters()).device
    if precision == "bfloat16" and not has_bfloat16(device):
        raise ValueError(f"This machine ({device.type}) cannot train in bfloat16; measure float32.")
    ids = torch.randint(model.vocab_size, (batch_size, seq_len + 1), device=device)
    optimizer = torch.optim.Adam(model.parameters())
    carried = [None]

    def step() -> None:
        with autocast(precision, device):
            logits, state = model(ids[:, :-1], carried[0])
        carried[0] = detach(state)
        optimizer.zero_grad()
        F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()

    model.train()
    return batch_size * seq_len / _busy_seconds(step, device, least)


def operations_per_character(model: CharRNN) -> int:
    """Return the floating-point operations that training on one character takes in products.

    Every weight of a matrix is multiplied and added once forwards and twice backwards (for the
    gradient of the input and of the weight): 6 operations. An embedding is a look-up, and biases
    and gates are left out, as few beside H². One-hot inputs need no gradient: 4 operations.
    """
    operations = 0
    for name, weight in model.named_parameters():
        if weight.ndim == 2 and not name.startswith("embedding"):
            forwards = weight.numel()
            if model.config["cell"] == "cifg" and name.startswith("layers"):
                forwards = forwards * 4 // 3  # it runs as an LSTM, whose forget rows are computed
            first = model.embedding is None and name.endswith("ih_l0")
            operations += (4 if first else 6) * forwards
    return operations


def product_speed(
    device: torch.device,
    size: int = 1024,
    dtype: torch.dtype = torch.float32,
    least: float = 0.5,
) -> float:
    """Return the floating-point operations a second of a product of two (size, size) matrices."""
    a = torch.randn(size, size, device=device, dtype=dtype)
    return 2 * size**3 / _busy_seconds(lambda: a @ a, device, least)


def copy_speed(device: torch.device, megabytes: int = 256, least: float = 0.5) -> float:
    """Return the bytes a second that a device reads and writes when it copies its memory."""
    a = torch.zeros(megabytes * 2**20, dtype=torch.uint8, device=device)
    b = torch.empty_like(a)
    return 2 * a.numel() / _busy_seconds(lambda: b.copy_(a), device, least)
