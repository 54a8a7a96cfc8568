"""Several processes that train one model together, under DistributedDataParallel of PyTorch.

DistributedDataParallel averages the gradients (Li et al. 2020). `DistributedContext` does the rest.
It shares out the rows of a batch, and lets the processes agree on numbers and decisions. A model
without that wrapper is trained by one process, and nothing is sent.
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


class DistributedContext:
    """The processes that train a model together.

    Every process must make the same calls in the same order, since a call waits for all processes.

    Args:
        model: the model, on its device. Where several processes train, it is wrapped in
            DistributedDataParallel over the default process group.

    Attributes:
        rank: the number of this process, from 0.
        count: the number of processes.
    """

    def __init__(self, model: nn.Module) -> None:
        self._wrapper = first_of(DistributedDataParallel, model)
        self._device = next(model.parameters()).device
        together = self._wrapper is not None
        self.rank = dist.get_rank() if together else 0
        self.count = dist.get_world_size() if together else 1

    def share(self, batch_size: int, parts: int) -> slice:
        """Return the rows of a batch that this process trains on.

        Args:
            batch_size: rows of the batch, of all processes together.
            parts: number of parts in which a process passes its rows through the model.

        Raises:
            ValueError: the batch cannot be divided into equal parts.
        """
        if batch_size % (self.count * parts):
            raise ValueError(
                f"batch_size is {batch_size}, over all processes together; with {self.count} "
                f"processes and accumulate = {parts} it must be a multiple of {self.count * parts}."
            )
        # Neighbouring rows, always the same ones: a process carries the state of its rows on.
        rows = batch_size // self.count
        return slice(self.rank * rows, (self.rank + 1) * rows)

    def averaging(self, wanted: bool) -> contextlib.AbstractContextManager:
        """Return the context of a forward pass, where a batch is trained on in several parts.

        Args:
            wanted: whether the gradients of this pass are averaged over all processes. If not, they
                add up in this process, and a later pass averages the sum: one exchange for all
                parts.
        """
        if wanted or self._wrapper is None:
            return contextlib.nullcontext()
        return self._wrapper.no_sync()

    def mean(self, value: float) -> float:
        """Return the mean of the values of all processes.

        If one value is not finite, the mean is not finite, in every process.
        """
        if self.count == 1:
            return value
        # On the model's device, since a process group of GPUs can send nothing else.
        total = torch.tensor(value, dtype=torch.float64, device=self._device)
        dist.all_reduce(total)
        return total.item() / self.count

    def any(self, flag: bool) -> bool:
        """Say whether a flag is set in at least one process."""
        return self.mean(float(flag)) > 0

    def gather(self, thing: T) -> list[T]:
        """Return the things of all processes, in the order of their ranks.

        Args:
            thing: plain data, or tensors on the CPU.
        """
        things = [thing] * self.count
        if self.count > 1:
            dist.all_gather_object(things, thing)
        return things

    def on_first(self, call: Callable[[], T]) -> T:
        """Make a call in the first process alone; return its result in every process.

        Raises:
            Exception: the error of the call, in every process. Otherwise the others would wait for
                a result that never comes.
        """
        if self.count == 1:
            return call()
        answer = [None, None]  # (result, error)
        if self.rank == 0:
            try:
                answer[0] = call()
            except Exception as error:
                answer[1] = error
        dist.broadcast_object_list(answer)
        if answer[1] is not None:
            raise answer[1]
        return answer[0]
