"""Processes that train one model together, under torch.nn.parallel.DistributedDataParallel.

DistributedDataParallel averages the gradients (Li et al. 2020). Here stands what else the processes
must share or agree on. The wrapped model says that there are several; without it this process is
the only one, and nothing is sent.
"""

import contextlib
from collections.abc import Callable
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lstmlib.models import first_of

T = TypeVar("T")


class Processes:
    """The processes that train a model together; all of them must make the same calls in order.

    Args:
        model: on its device; with several processes, wrapped in DistributedDataParallel over the
            default process group.

    Attributes:
        rank: the number of this process, from 0.
        count: how many there are.
    """

    def __init__(self, model: nn.Module) -> None:
        self._wrapper = first_of(DistributedDataParallel, model)
        self._device = next(model.parameters()).device
        together = self._wrapper is not None
        self.rank = dist.get_rank() if together else 0
        self.count = dist.get_world_size() if together else 1

    def share(self, batch_size: int, parts: int) -> slice:
        """Return which rows of a batch are this process's.

        Raises:
            ValueError: the batch cannot be shared out in parts of equal size.
        """
        if batch_size % (self.count * parts):
            raise ValueError(
                f"batch_size is {batch_size}, over all processes together; with {self.count} "
                f"processes and accumulate = {parts} it must be a multiple of {self.count * parts}."
            )
        rows = batch_size // self.count
        return slice(self.rank * rows, (self.rank + 1) * rows)

    def averaging(self, wanted: bool) -> contextlib.AbstractContextManager:
        """Return the context of a forward pass whose gradients are averaged, if that is wanted.

        If not, they add up in this process, and are averaged together with a later pass's.
        """
        if wanted or self._wrapper is None:
            return contextlib.nullcontext()
        return self._wrapper.no_sync()

    def mean(self, value: float) -> float:
        """Return the mean of all processes' values; not finite where one of them is not."""
        if self.count == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self._device)
        dist.all_reduce(total)
        return total.item() / self.count

    def any(self, flag: bool) -> bool:
        """Say whether a flag is set in any process."""
        return self.mean(float(flag)) > 0

    def gather(self, thing: T) -> list[T]:
        """Return what every process has, by rank: plain data and tensors on the CPU."""
        things = [thing] * self.count
        if self.count > 1:
            dist.all_gather_object(things, thing)
        return things

    def on_first(self, call: Callable[[], T]) -> T:
        """Let the first process make a call; return its result, or raise its error, in each."""
        if self.count == 1:
            return call()
        answer = [None, None]
        if self.rank == 0:
            try:
                answer[0] = call()
            except Exception as error:
                answer[1] = error
        dist.broadcast_object_list(answer)
        if answer[1] is not None:
            raise answer[1]
        return answer[0]
