"""Three ways to shorten a gradient before a step: by its norm, by value, and unit by unit.

Each way has two forms. The plain one returns numbers, so it waits until the device has computed
them. The one whose name ends in `_unseen` returns tensors () and waits for nothing: a GPU can go on
to the next kernel.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lstmlib.settings import TrainingConfig

Norms = tuple[Tensor, Tensor]
"""The global L2 norm of a gradient before and after clipping, () each."""
SHORTEST = 1e-3
"""The least that the weights of a unit count as, so that a unit of zeros can move."""


def clip(parameters: Iterable[nn.Parameter], config: TrainingConfig) -> tuple[float, float]:
    """Clip as the settings say; return the global norm before and after."""
    if config.clip_value is not None:
        return clip_by_value(parameters, config.clip_value)
    if config.agc_factor is not None:
        return adaptive_clip(parameters, config.agc_factor)
    limit = math.inf if config.clip_norm is None else config.clip_norm
    return clip_by_global_norm(parameters, limit)


def clip_deferred(parameters: Iterable[nn.Parameter], config: TrainingConfig) -> Norms:
    """Do as `clip`, without waiting for the device."""
    if config.clip_value is not None:
        return clip_by_value_deferred(parameters, config.clip_value)
    if config.agc_factor is not None:
        return adaptive_clip_deferred(parameters, config.agc_factor)
    limit = math.inf if config.clip_norm is None else config.clip_norm
    return clip_by_norm_deferred(parameters, limit)


def clip_by_global_norm(parameters: Iterable[nn.Parameter], max_norm: float) -> tuple[float, float]:
    """Scale all gradients by one factor so that their joint L2 norm is at most max_norm.

    The direction stays, only the length changes (Pascanu et al. 2013, algorithm 1).

    Returns:
        The norm before and after.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = _global_norm(grads).item()
    if norm <= max_norm:
        return norm, norm
    for grad in grads:  # one factor for all of them: a factor for each would turn the direction
        grad.mul_(max_norm / norm)
    return norm, max_norm


def clip_by_norm_deferred(parameters: Iterable[nn.Parameter], max_norm: float) -> Norms:
    """Do as `clip_by_global_norm`, without waiting for the device.

    The comparison of the norm with its limit would wait. So every gradient is multiplied, by 1
    where it is short enough.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = torch.stack(torch._foreach_norm(grads)).norm()  # ()
    torch._foreach_mul_(grads, (max_norm / norm).clamp(max=1.0))
    return norm, norm.clamp(max=max_norm)


def clip_by_value(parameters: Iterable[nn.Parameter], max_value: float) -> tuple[float, float]:
    """Cut every gradient entry to [-max_value, max_value]; this may turn the direction.

    Returns:
        The global L2 norm before and after.
    """
    norm, clipped_norm = clip_by_value_deferred(parameters, max_value)
    return norm.item(), clipped_norm.item()


def clip_by_value_deferred(parameters: Iterable[nn.Parameter], max_value: float) -> Norms:
    """Do as `clip_by_value`, without waiting for the device."""
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = _global_norm(grads)  # ()
    for grad in grads:
        grad.clamp_(-max_value, max_value)
    return norm, _global_norm(grads)


def adaptive_clip(parameters: Iterable[nn.Parameter], factor: float) -> tuple[float, float]:
    """Shorten each unit's gradient to at most factor times the norm of the unit's weights.

    A unit is a row of a matrix, or an entry of a bias; one whose weights are shorter than 1e-3
    counts as that long, so that zeros can move (Brock et al. 2021, adaptive gradient clipping). The
    limit follows the weights, layer by layer, and one value serves networks of any size.

    Returns:
        The global L2 norm before and after.
    """
    norm, clipped_norm = adaptive_clip_deferred(parameters, factor)
    return norm.item(), clipped_norm.item()


def adaptive_clip_deferred(parameters: Iterable[nn.Parameter], factor: float) -> Norms:
    """Do as `adaptive_clip`, without waiting for the device."""
    weights = [p for p in parameters if p.grad is not None]
    norm = _global_norm([w.grad for w in weights])  # ()
    for weight in weights:
        # A unit is a row: (units, inputs) of a matrix, (units, 1) of a bias.
        rows = weight.detach().flatten(1) if weight.ndim > 1 else weight.detach()[:, None]
        grads = weight.grad.view(rows.shape)  # (units, inputs), the gradient itself and no copy
        limit = factor * rows.norm(dim=1, keepdim=True).clamp(min=SHORTEST)  # (units, 1)
        # 1e-30: a gradient of zeros is divided by something, and stays.
        grads.mul_((limit / grads.norm(dim=1, keepdim=True).clamp(min=1e-30)).clamp(max=1.0))
    return norm, _global_norm([w.grad for w in weights])


def _global_norm(grads: list[Tensor]) -> Tensor:
    """Return the L2 norm of all gradients as one long vector, ()."""
    return torch.stack([grad.norm() for grad in grads]).norm()
