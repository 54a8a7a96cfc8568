"""A training step that no one waits for, and on a GPU the same step as one CUDA graph.

A step of a small network is several hundred short kernels, and starting each from Python and C++
may take longer than the kernel itself. A CUDA graph is that whole list, recorded once and started
by one call. It is used only where it has shown that it takes the same steps.
"""

import copy
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

TakeStep = Callable[[Tensor], Tensor]
"""From which examples make the batch, (B,), to its loss and gradient norm, (2,), on the device."""
WARM_UP, MEASURED = 3, 20
SAME_LOSS, SAME_WAY = 0.05, 0.25
"""How far losses, and the ways that the weights went, may differ. Both are computed in the same
way, but sums in another order are rounded otherwise, and Adam makes steps of a sign; a graph that
reads an old batch, or leaves out an update, is off by more than half of the way."""


class CaptureFailed(RuntimeError):
    """CUDA gave up on a capture. What it leaves behind may be broken: start a process anew."""


class DeviceStep:
    """Forward, loss, backward, clip, update: none of it waits for the device.

    The guard against what is not finite is on the device, too. A fused optimizer of PyTorch changes
    nothing where its `found_inf` is 1 (torch.amp does the same). Here the first loss or gradient
    that is not finite sets it for good: the weights stay those before that step.

    Args:
        model: the network.
        optimizer: a fused one, Adam or AdamW; for a graph made with capturable=True.
        loss_of: from the model and the examples of a batch, (B,), to the loss.
        clip_norm: largest global norm of the gradient; None does not clip.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss_of: Callable[[nn.Module, Tensor], Tensor],
        clip_norm: float | None,
    ) -> None:
        self.model, self.optimizer, self.loss_of = model, optimizer, loss_of
        self.limit = torch.inf if clip_norm is None else clip_norm
        self.parameters = list(model.parameters())
        self.broken = torch.zeros((), device=self.parameters[0].device)
        optimizer.found_inf, optimizer.grad_scale = self.broken, None

    def __call__(self, examples: Tensor) -> Tensor:
        """Take a step; return loss and gradient norm, (2,), on the device."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss_of(self.model, examples)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.limit)
        result = torch.stack([loss.detach(), norm])
        self.broken.copy_(torch.maximum(self.broken, (~result.isfinite()).any().float()))
        self.optimizer.step()
        return result

    def copy(self) -> dict[int, Tensor]:
        """Return a copy of all that a step changes."""
        return {id(tensor): tensor.detach().clone() for tensor in self._changed()}

    @torch.no_grad()
    def restore(self, before: dict[int, Tensor]) -> None:
        """Set what `copy` returned, in place; averages that were not there yet become 0."""
        for tensor in self._changed():
            if id(tensor) in before:
                tensor.copy_(before[id(tensor)])
            else:
                tensor.zero_()

    def _changed(self) -> list[Tensor]:
        averages = [value for each in self.optimizer.state.values() for value in each.values()]
        return [*self.parameters, *averages, self.broken]


def cuda_graph(step: DeviceStep, examples: Tensor) -> TakeStep:
    """Return a step as a CUDA graph; the weights are left as they were.

    Args:
        step: the step.
        examples: a batch, as large as all others.
    """
    examples, before, stream = examples.clone(), step.copy(), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):  # cuDNN and cuBLAS take their memory before the capture
            step(examples)
    torch.cuda.current_stream().wait_stream(stream)
    step.restore(before)
    step.optimizer.zero_grad(set_to_none=True)  # so that the graph has gradients of its own
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        result = step(examples)

    def replay(batch: Tensor) -> Tensor:
        examples.copy_(batch)
        graph.replay()
        return result

    return replay


def prepare(
    step: DeviceStep,
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    batches: Sequence[Tensor],
    capture: Callable[[DeviceStep, Tensor], TakeStep] | None = cuda_graph,
) -> tuple[TakeStep, dict]:
    """Return what takes the steps of a run, and in words and figures what it is.

    Args:
        step: the run's step; it is left as it was.
        make_optimizer: makes another optimizer like its own, for a copy of the model.
        batches: several, to try it on.
        capture: makes a graph of a step; None leaves the step as it is.

    Raises:
        CaptureFailed: there is an error in a capture, after which this process may be of no use.
    """
    if capture is None:
        return step, {"kind": "eager"}
    try:
        why, figures = _try(step, make_optimizer, batches, capture)
        if why is None:
            return capture(step, batches[0]), {"kind": "captured", **figures}
    except RuntimeError as error:
        raise CaptureFailed(f"The capture failed: {str(error).splitlines()[0]}") from error
    return step, {"kind": "eager", "why": why, **figures}


def _try(
    step: DeviceStep,
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    batches: Sequence[Tensor],
    capture: Callable[[DeviceStep, Tensor], TakeStep],
) -> tuple[str | None, dict]:
    """Return why a captured step is not to be used, or None; and how fast each is."""
    eager = _twin(step, make_optimizer, between_layers=False)
    twin = _twin(step, make_optimizer, between_layers=False)
    captured = capture(twin, batches[0])
    starts = [w.detach().clone() for w in step.parameters]
    expected = torch.stack([eager(batch) for batch in batches])
    found = torch.stack([captured(batch).clone() for batch in batches])
    ways = zip(eager.parameters, twin.parameters, starts, strict=True)
    apart, way = (torch.stack(norms).norm() for norms in zip(*map(_lengths, ways), strict=True))
    # Written so that NaN counts as a difference.
    if not ((found - expected)[:, 0].abs() <= SAME_LOSS * expected[:, 0]).all():
        return "the captured step gave other losses", {}
    if not apart <= SAME_WAY * way:
        return "the captured step changed the weights in another way", {}
    if not _draws_anew(_twin(step, make_optimizer, between_layers=True), batches[0], capture):
        return "the captured step drew the same dropout again and again", {}
    figures = {
        "milliseconds_captured": _milliseconds(captured, batches),
        "milliseconds_eager": _milliseconds(eager, batches),
    }
    slower = figures["milliseconds_captured"] >= figures["milliseconds_eager"]
    return "the captured step was not faster" if slower else None, figures


def _lengths(weights: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return how far two copies of a weight are apart, and how far the first is from its start."""
    a, b, start = (weight.detach() for weight in weights)
    return (a - b).norm(), (a - start).norm()


def _twin(
    step: DeviceStep,
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    between_layers: bool,
) -> DeviceStep:
    """Return the step of a copy of the model, without dropout or with only that between layers."""
    model = copy.deepcopy(step.model).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.RNNBase):
            module.dropout *= between_layers
            module.flatten_parameters()  # a copy is in pieces, which cuDNN would join every time
    return DeviceStep(model, make_optimizer(model), step.loss_of, step.limit)


def _draws_anew(
    step: DeviceStep, batch: Tensor, capture: Callable[[DeviceStep, Tensor], TakeStep]
) -> bool:
    """Say whether steps from the same weights on the same batch have different dropout, if any."""
    rates = [m.dropout for m in step.model.modules() if isinstance(m, nn.RNNBase)]
    if not any(rates):
        return True
    captured, before, losses = capture(step, batch), step.copy(), set()
    for _ in range(3):
        losses.add(captured(batch)[0].item())
        step.restore(before)
    return len(losses) == 3


def _milliseconds(take_step: TakeStep, batches: Sequence[Tensor]) -> float:
    """Return the time of a step, in milliseconds."""
    take_step(batches[0]).tolist()
    started = time.perf_counter()
    for k in range(MEASURED):
        result = take_step(batches[k % len(batches)])
    result.tolist()  # waits for the device
    return round(1000 * (time.perf_counter() - started) / MEASURED, 3)
