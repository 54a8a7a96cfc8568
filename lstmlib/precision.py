"""float32 or bfloat16: what a forward pass is computed in, and what a device can train in."""

import functools
from collections.abc import Callable

import torch
from torch import nn
from tqdm.auto import tqdm

PRECISIONS = ("float32", "bfloat16")


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return the context of a forward pass in one of PRECISIONS."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


@functools.cache
def has_bfloat16(device: torch.device) -> bool:
    """Say whether a device can train an LSTM in bfloat16, by trying it once.

    No name tells: PyTorch's LSTM needs AVX-512 for it on a CPU, and older GPUs only imitate it,
    slower than float32. No random number is drawn.
    """
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return False
    try:
        # The caller may have turned gradients off.
        with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
            layer = nn.LSTM(8, 8).to(device)
            with autocast("bfloat16", device):
                out, _ = layer(torch.zeros(2, 1, 8, device=device))  # (T, B, H)
            out.float().sum().backward()
    except (RuntimeError, TypeError, NotImplementedError):
        return False
    return True


def usable_precision(
    precision: str, device: torch.device, say: Callable[[str], None] = tqdm.write
) -> str:
    """Return one of PRECISIONS that a device can train in: the wanted one, else float32.

    Args:
        precision: the wanted one.
        device: where the model is.
        say: called with a sentence where it is another one than was wanted.
    """
    if precision == "bfloat16" and not has_bfloat16(device):
        say(f"This machine ({device.type}) cannot train in bfloat16; it trains in float32.")
        return "float32"
    return precision
