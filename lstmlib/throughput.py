"""How fast does a device train, and how far is that from its limit?

A GPU works apart from the program: a call that starts work returns before the work is done. So each
measurement here waits for the device before it reads the clock. It warms up first, and takes a
median.
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
from lstmlib.precision import autocast, has_bfloat16


def synchronize(device: torch.device) -> None:
    """Wait until a device has finished its work. The CPU works within the call, and never waits."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees. Return whether it can: on Linux with glibc.

    By default, glibc returns an array of more than 32 MB to the kernel as soon as it is freed. The
    next step asks for the memory again, and the kernel clears it first. In training on a CPU with
    large batches, this can take a fourth of the time. The price of keeping it: the process stays as
    large as it has ever been.
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
    """Return the median time of a call in seconds.

    Args:
        call: the function to time, without arguments.
        device: the device that the call works on.
        warm_up: number of calls before the first measurement. The first calls take longer, since
            they load and tune the device's programs.
        least: seconds of measuring at least. There are five measurements at least.
        reading: rough seconds between two readings of the clock. A measurement then is the mean of
            as many calls as fit, and the GPU goes on from one call to the next without a pause, as
            in a training loop. At 0, every call is measured and waited for.
    """
    for _ in range(warm_up):
        call()
    synchronize(device)
    times, calls = [], 1
    # One call tells how many fit into a reading; at most 1000, in case that call was too short.
    if reading:
        calls = min(max(round(reading / max(_seconds(call, device, 1), 1e-9)), 1), 1000)
    while len(times) < 5 or sum(times) * calls < least:
        times.append(_seconds(call, device, calls))
    # The median, since other work of the machine makes some calls longer, and none shorter.
    return float(np.median(times))


def _seconds(call: Callable[[], object], device: torch.device, calls: int) -> float:
    """Return the time of a call in seconds: the mean of several between two readings."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    synchronize(device)
    return (time.perf_counter() - start) / calls


def _busy_seconds(call: Callable[[], object], device: torch.device, least: float) -> float:
    """Return the median time of a call in seconds, while the device is busy without a pause."""
    reading = 0.0 if device.type == "cpu" else 0.02
    return seconds_per_call(call, device, least=least, reading=reading)


def training_throughput(
    model: CharRNN,
    batch_size: int,
    seq_len: int,
    precision: str = "float32",
    least: float = 0.5,
) -> float:
    """Return how many characters a second a bare loop of truncated BPTT trains on.

    A step is forward pass, loss, backward pass, clipping and Adam, with the state carried on. The
    characters are random. The model's weights change.

    Args:
        model: the network, on the device to be measured.
        batch_size: number of parallel streams B.
        seq_len: characters T of each stream in a batch.
        precision: "float32" or "bfloat16", as in `TrainingConfig`.
        least: seconds of measuring at least, see `seconds_per_call`.

    Raises:
        ValueError: the device cannot train in bfloat16.
    """
    device = next(model.parameters()).device
    if precision == "bfloat16" and not has_bfloat16(device):
        raise ValueError(f"This machine ({device.type}) cannot train in bfloat16; measure float32.")
    ids = torch.randint(model.vocab_size, (batch_size, seq_len + 1), device=device)  # (B, T + 1)
    optimizer = torch.optim.Adam(model.parameters())
    carried = [None]

    def step() -> None:
        with autocast(precision, device):
            logits, state = model(ids[:, :-1], carried[0])  # (B, T, V)
        carried[0] = detach(state)  # the next step's gradient ends here: truncated BPTT
        optimizer.zero_grad()
        F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()

    model.train()
    return batch_size * seq_len / _busy_seconds(step, device, least)


def flops_per_character(model: CharRNN) -> int:
    """Return the floating-point operations of the matrix products for training on one character.

    Forwards, each weight of a matrix takes one multiplication and one addition. Backwards it takes
    twice as many: for the gradient of the input, and for that of the weight. Together these are 6
    operations. A matrix that reads one-hot inputs takes 4, since they need no gradient. An
    embedding is a look-up, without a product. Biases and gates are left out: their operations grow
    with H, those of the matrices with H².
    """
    operations = 0
    for name, weight in model.named_parameters():
        if weight.ndim == 2 and not name.startswith("embedding"):
            forwards = weight.numel()
            if model.config["cell"] == "cifg" and name.startswith("layers"):
                forwards = forwards * 4 // 3  # a CIFG runs as an LSTM, with forget rows added
            first = model.embedding is None and name.endswith("ih_l0")
            operations += (4 if first else 6) * forwards
    return operations


def matmul_throughput(
    device: torch.device,
    size: int = 1024,
    dtype: torch.dtype = torch.float32,
    least: float = 0.5,
) -> float:
    """Return the speed of a matrix product in floating-point operations a second.

    Args:
        device: the device to be measured.
        size: both matrices are (size, size).
        dtype: the type of their numbers.
        least: seconds of measuring at least, see `seconds_per_call`.
    """
    a = torch.randn(size, size, device=device, dtype=dtype)
    return 2 * size**3 / _busy_seconds(lambda: a @ a, device, least)


def copy_bandwidth(device: torch.device, megabytes: int = 256, least: float = 0.5) -> float:
    """Return the speed of a device's memory in bytes a second, read and written.

    Args:
        device: the device to be measured.
        megabytes: size of the array that is copied, in units of 2^20 bytes.
        least: seconds of measuring at least, see `seconds_per_call`.
    """
    a = torch.zeros(megabytes * 2**20, dtype=torch.uint8, device=device)
    b = torch.empty_like(a)
    return 2 * a.numel() / _busy_seconds(lambda: b.copy_(a), device, least)
