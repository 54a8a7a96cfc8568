"""fit(): (truncated) back-propagation through time, clipped, guarded and resumable."""

import contextlib
import functools
import math
import operator
import signal
import threading
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm.auto import tqdm

from lstmlib.batching import IGNORE, PaddedBatches, Streams, Windows
from lstmlib.checkpoints import Checkpoints
from lstmlib.clipping import clip, clip_deferred
from lstmlib.diagnostics import Diagnostics
from lstmlib.distributed import DistributedContext
from lstmlib.history import History, TrainingDiverged
from lstmlib.models import CharRNN, State, detach, unwrap
from lstmlib.precision import autocast, usable_precision
from lstmlib.run_state import Keeper, RunState
from lstmlib.settings import TrainingConfig
from lstmlib.sources import Data, check_data, fingerprint, source_of

FETCH_EVERY = 25
"""Steps from one look at what a GPU has computed to the next."""


@torch.no_grad()
def evaluate(model: CharRNN, ids: Data, seq_len: int = 256) -> float:
    """Return the mean loss over a text, sequences or windows, in nats per character.

    A text is read in one pass with carried state, each sequence or window from a state of zeros.
    Of a text and of sequences, every character after the first is predicted exactly once. Of
    windows, those of their epoch 0 are. Each prediction counts the same, and padding does not
    count. seq_len only bounds the memory. The model's mode and every random generator are left as
    they were.

    Raises:
        ValueError: a text of under 2 characters.
    """
    device = next(model.parameters()).device
    was_training = model.training
    # Without dropout the loss is that of the whole network, and the same at every call.
    model.eval()
    losses, count, state = [], 0, None
    apart = isinstance(ids, (PaddedBatches, Windows))
    try:
        for x, y in ids if apart else _in_one_pass(ids, seq_len):  # (B, T) each
            # A text goes on where the batch before stopped; what stands apart begins with zeros.
            # logits (B, T, V); each part of the state (num_layers, B, H).
            logits, state = model(torch.from_numpy(x).to(device), None if apart else state)
            target = torch.from_numpy(y).to(device).flatten()  # (B * T,)
            # The sum, and not the mean: the last batch may be a shorter one. ()
            loss = F.cross_entropy(
                logits.flatten(0, 1), target, ignore_index=IGNORE, reduction="sum"
            )
            losses.append(loss)
            count += int((y != IGNORE).sum())
    finally:
        model.train(was_training)
    total = 0.0
    # As Python's floats, of 64 bits: a sum of many float32 numbers loses digits.
    for loss in torch.stack(losses).tolist():  # fetched at once, so that a GPU never waits
        total += loss
    return total / count


def _in_one_pass(ids: np.ndarray, seq_len: int) -> Streams:
    """Return the batches of one stream through a text, with no more padding than needed."""
    # One row, since the state is to be carried through the whole text in order. A piece longer than
    # the text would be padding. At least 1, so that Streams says what is wrong with a text of 1
    # character. drop_last=False: the last, shorter piece counts too.
    return Streams(ids, 1, max(min(seq_len, len(ids) - 1), 1), drop_last=False)


def fit(
    model: CharRNN | DistributedDataParallel,
    train_ids: Data,
    valid_ids: Data | None,
    config: TrainingConfig,
    on_step: Callable[[History], None] | None = None,
    checkpoints: Checkpoints | None = None,
    progress: bool = True,
    diagnostics: Diagnostics | None = None,
) -> History:
    """Train a model by back-propagation through time, and return the history.

    **What it trains on.** On a text it is stateful truncated BPTT. The state is carried from batch
    to batch, and cut from the graph between them. It starts at zero again when an epoch's streams
    are at their end. On sequences (`PaddedBatches`) it is BPTT through each whole one, from a state
    of zeros. On `Windows` it is BPTT through each window, from a state of zeros. An epoch has as
    many steps as there are batches. A step's loss is the mean over the targets of its batch,
    padding left out.

    **What stops it.** A step whose loss or gradient is not finite is skipped, and `fit` says so.
    After `config.most_skipped` of them in a row it gives up. Ctrl-C (in Jupyter, the stop button)
    ends the run after the step it is at; a second one stops at once. An on_step ends the run after
    the step it is at by setting the history's `ended` to "interrupted". An exception that stops a
    run carries the history so far, as `history`.

    **On a CUDA device** `fit` does not wait for the end of a step before it asks for the next one.
    The device itself decides whether a step is to be skipped. Losses and norms stay there. They are
    fetched every FETCH_EVERY steps, and when somebody looks at the history's rows; skipped steps
    are reported then. This holds with Adam, AdamW, and SGD without momentum. With another
    optimizer, with diagnostics, and in several processes `fit` waits at every step.

    **With checkpoints** the same call goes on from the newest one in the folder. It takes the steps
    that it would have taken without the break. On one CPU thread they are the same bit for bit. On
    several, or on a GPU, PyTorch itself may add in another order, and cuDNN draws the dropout
    between layers anew. The model must be made as it was at first, with the same seed, or be the
    one that was interrupted, or the best one so far. A finished run is not run again. Steps may be
    added where the schedule does not depend on their number. The folder belongs to one call at a
    time; a killed one no longer holds it.

    **Several processes** train a model together if they call `fit` with the same arguments and a
    model wrapped in PyTorch's DistributedDataParallel (experiments.train_distributed does). Each
    has its share of the batch's rows. Losses, gradients and steps are those of one process with the
    whole batch, but for rounding and dropout's draws. What is not finite in one process makes all
    of them skip the step, and Ctrl-C in one ends all. Every process has the whole history. The
    first one alone speaks, and reads and writes the checkpoints, which hold the weights without the
    wrapper. Any number of processes may go on from one; the same number draws the dropout as
    without the break.

    Args:
        model: trained in place, on the device it is on; wrapped, if several processes train it.
        train_ids: the ids of a text, (N,) integers, or sequences, or windows.
        valid_ids: the same to validate on, or None.
        config: the settings. With sequences and windows, which have their own batches, batch_size
            and seq_len are of no account.
        on_step: called with the history after every step, in every process, to draw or to sample;
            nothing that it does with the model in evaluation mode changes the training.
        checkpoints: where to keep checkpoints, or None.
        progress: show a progress bar.
        diagnostics: what to record of every step beside the losses, under "diagnostics" in the
            history's rows (`lstmlib.diagnostics`); None records nothing and costs nothing.

    Raises:
        ValueError: a text is too short, or has ids that are not in the model's vocabulary; patience
            without a validation text; a batch that the processes cannot share out in equal parts;
            sequences in several processes, or accumulated.
        TrainingDiverged: `config.most_skipped` steps in a row were not finite.
        CheckpointError: a checkpoint cannot be written, or is not one of this run, or is damaged;
            or another run holds the folder.
    """
    # Texts and settings that do not fit are found here, before the first step.
    run = _Run(model, train_ids, valid_ids, config, checkpoints, diagnostics)
    with contextlib.ExitStack() as stack:
        if checkpoints is not None:
            # The first process locks the folder, since it alone writes there.
            run.processes.on_first(lambda: stack.enter_context(checkpoints.owned()))
            run.resume()
        _train(run, on_step, progress)
    return run.history


def _train(run: "_Run", on_step: Callable[[History], None] | None, progress: bool) -> None:
    """Take the steps that are left; the model ends with its best weights where patience asks."""
    history, best = run.history, run.state.best
    hidden = not progress or run.processes.rank > 0
    # Several processes show one bar. A resumed run's bar begins where the run does.
    bar = tqdm(total=run.config.steps, initial=len(history), unit="step", disable=hidden)
    try:
        # From here on Ctrl-C is a wish, which is looked at between two steps.
        with bar, _Interrupt() as interrupt:
            while not history.ended:
                run.take_step(bar)
                if on_step is not None:
                    on_step(history)
                # All processes end after the same step. Otherwise those that go on would wait for
                # the one that ended.
                if run.processes.any(interrupt.asked) and not history.ended:
                    history.ended = "interrupted"
                    run.say(f"Interrupted: model and history are those of step {run.step}.")
                # Last, so that the checkpoint also has the random numbers that on_step drew.
                if run.keeper is not None:
                    run.keeper.save_if_due()
            # The last steps' losses may still be on the device.
            run.fetch()
    except BaseException as error:
        # BaseException, since a second Ctrl-C raises KeyboardInterrupt, which is no Exception.
        error.history = history
        with contextlib.suppress(Exception):  # only what stopped the run is raised
            run.fetch()
        raise
    finally:
        history._fetch = None  # else whoever keeps the history keeps model and text
    # An interrupted run keeps its newest weights, since the run may be resumed from there.
    if best.weights is not None and history.ended != "interrupted":
        run.state.model.load_state_dict(best.weights)


class _Run:
    """A model in training: how it takes a step, and measures where it is."""

    def __init__(
        self,
        model: CharRNN | DistributedDataParallel,
        train_ids: Data,
        valid_ids: Data | None,
        config: TrainingConfig,
        checkpoints: Checkpoints | None,
        diagnostics: Diagnostics | None,
    ) -> None:
        self.device = next(model.parameters()).device
        self.processes, bare = DistributedContext(model), unwrap(model)
        # An id that the model does not know would fail in mid-training, after hours perhaps.
        check_data(bare, train_ids, valid_ids)
        if config.patience is not None and valid_ids is None:
            raise ValueError("patience counts validations; give valid_ids, or patience=None.")
        self.config, self.valid_ids, self.diagnostics = config, valid_ids, diagnostics
        self.source = source_of(train_ids, config, self.device, self.processes)
        self.precision = usable_precision(config.precision, self.device, self.say)
        # The bare model, so that the names of saved weights do not speak of a wrapper.
        self.state = RunState(bare, config.make_optimizer(model.parameters()))
        self.optimizer, self.history = self.state.optimizer, self.state.history
        self.history.precision = self.precision
        # To defer a look at the loss is to learn of it some steps later. Several processes must
        # agree on it at once, and diagnostics measure each step when it is taken.
        alone = self.processes.count == 1 and diagnostics is None
        self.defers = alone and _defers(self.optimizer, self.device)
        # The wrapper is for the forward pass alone, where it prepares the averaging.
        self.model = model
        self.backward = _Backward(model, config, self.processes, self.precision, self.defers)
        self.unseen = []  # of the newest steps: loss, norm before clipping and after, (3,) each
        self.given_up = None  # the TrainingDiverged that a look at the device found
        # As state.skipped_in_a_row, as the device knows it, ().
        self.in_a_row = torch.zeros((), dtype=torch.float32, device=self.device)
        if self.defers:
            # Who reads the history's rows gets them whole, whenever that is.
            self.history._fetch = self.fetch
        self.keeper = None
        if checkpoints is not None:
            texts = fingerprint(train_ids, valid_ids)
            # A checkpoint notes these, so that a run does not go on from that of another one.
            parts = config, self.source, texts, self.processes, self.precision
            self.keeper = Keeper(checkpoints, self.state, *parts)

    @property
    def step(self) -> int:
        """The last step that was taken, from 1; 0 before the first one."""
        return self.state.step

    def say(self, text: str) -> None:
        """Print a line above the progress bar, in the first process alone."""
        if self.processes.rank == 0:
            tqdm.write(text)

    def resume(self) -> None:
        """Go on from the newest checkpoint, if there is one."""
        self.keeper.resume()
        # A break does not interrupt a row of skipped steps.
        self.in_a_row += self.state.skipped_in_a_row

    def take_step(self, bar: tqdm) -> None:
        """Forward, loss, backward, clip, update, and a row in the history."""
        if self.given_up is not None:  # and the on_step that looked went on
            raise self.given_up
        config, step, state = self.config, self.step + 1, self.state
        self.model.train()  # on_step may have left it in evaluation mode, without dropout
        # The step's number tells which batch it takes, so a resumed run finds its place.
        epoch, k = divmod(step - 1, self.source.batches)
        if k == 0:
            state.hidden = None  # the text begins anew
        self.optimizer.zero_grad(set_to_none=True)  # else this gradient adds to the last one
        x, y = self.source.batch(epoch, k)  # (B, T) each
        y = y[:, self.source.columns]  # (B, T), or (B, 1) where only the last target counts
        before = state.hidden  # each part (num_layers, B, H)
        # The gradient is now in the weights' .grad. hidden has the shapes of before.
        loss, hidden = self.backward(x, y, before)
        if self.source.goes_on:  # else the next batch, too, begins with zeros
            state.hidden = hidden
        # Before the update, so that step n is taken at the rate of step n.
        for group in self.optimizer.param_groups:
            group["lr"] = config.rate_at(step)
        row = self._new_row(step, epoch, self.source.targets(y))
        if self.defers:
            self._update_unseen(row, loss)
        else:
            self._update_seen(row, loss, x, before)
        if step == config.steps:
            self.history.ended = "all steps"
        # Also at the end, wherever it is: the last weights have to be judged too.
        if self.valid_ids is not None and (step % config.eval_every == 0 or self.history.ended):
            self._validate(bar)
        bar.update()

    def _new_row(self, step: int, epoch: int, targets: int) -> dict:
        """Return the row of a step, as far as it is known before the update."""
        # `_rows` and not `rows`, which would wait for a GPU.
        seen = self.history._rows[-1]["characters"] if self.step else 0
        return {
            "step": step,
            "epoch": epoch,
            "characters": seen + targets,
            "loss": None,  # what is None here is not known yet
            "grad_norm": None,
            "clipped_norm": None,
            "learning_rate": self.config.rate_at(step),
            "seconds": None,
            "valid_loss": None,  # stays None where there is no validation
            "skipped": False,
        }

    def _update_seen(self, row: dict, loss: float, x: Tensor, before: State | None) -> None:
        """Clip, update unless the step is to be skipped, and add the row to the history."""
        if self.diagnostics is not None:
            self.diagnostics.before_clipping(self.state.model)  # the gradient as it came
        loss = self.processes.mean(loss)  # so that all of them skip a step, or none
        # After the averaging, so that all processes clip the same gradient.
        norm, clipped_norm = clip(self.model.parameters(), self.config)
        # A NaN in the gradient would go into the weights, and from there into every later loss.
        skipped = not (math.isfinite(loss) and math.isfinite(norm))
        if skipped:
            self.state.hidden = None  # what made the loss infinite may be in the state
        else:
            # By value or by unit, a cut may be too small to show in the norm.
            clipped = clipped_norm < norm or self.config.clip_norm is None
            record = self._update(x, before, clipped)
        row["seconds"] = self.state.seconds()
        self.history.rows.append(row)  # first, since a run that is given up shows its last step
        if self.diagnostics is not None:
            row["diagnostics"] = None if skipped else record
        self._fill_in(row, loss, norm, clipped_norm)

    def _update(self, x: Tensor, before: State | None, clipped: bool) -> dict | None:
        """Take the optimizer's step; return what the diagnostics say of it, if there are any."""
        if self.diagnostics is None:
            self.optimizer.step()
            return None
        # How far a step moved the weights is their difference before and after it.
        self.diagnostics.before_update(clipped)
        self.optimizer.step()
        return self.diagnostics.after_update(x, before)

    def _update_unseen(self, row: dict, loss: Tensor) -> None:
        """Do as `_update_seen`, but let the device decide, and do not wait for it.

        It decides by the optimizer's `found_inf`, a number (): at 1 a fused step of PyTorch changes
        neither weights nor averages. After most_skipped in a row no step changes anything any more,
        so that the weights are those of the last good one whenever the run is given up.
        """
        norm, clipped_norm = clip_deferred(self.model.parameters(), self.config)  # () each
        seen = torch.stack([loss.to(norm.dtype), norm, clipped_norm])  # (3,), none below 0
        finite = seen.amax() < math.inf  # (); NaN is not below
        # (). `and` in place of `&` would ask for the value, and so wait for the device.
        good = finite & (self.in_a_row < self.config.most_skipped)
        bad = (~good).float()  # (), 1.0 or 0.0
        self.in_a_row = torch.addcmul(bad, bad, self.in_a_row)  # one more, or 0 again
        # What PyTorch's own loss scaling sets before such a step.
        self.optimizer.grad_scale, self.optimizer.found_inf = None, bad
        self.optimizer.step()
        if self.state.hidden is not None:  # after a skipped step it begins at zero
            hidden = self.state.hidden  # each part (num_layers, B, H)
            # A choice, not a product with 0: NaN times 0 is NaN.
            self.state.hidden = tuple(torch.where(good, part, 0.0) for part in hidden)
        row["seconds"] = self.state.seconds()
        self.history._rows.append(row)  # not `rows`, which would fetch
        self.unseen.append(seen)
        if len(self.unseen) == FETCH_EVERY:
            self.fetch()

    def fetch(self) -> None:
        """Wait for the device, and fill in the rows of the steps since the last time.

        Raises:
            TrainingDiverged: they say that the run is to be given up.
        """
        if not self.unseen:
            return
        seen, self.unseen = torch.stack(self.unseen).tolist(), []  # (steps, 3)
        # These steps are the newest, so their rows are the last ones.
        first = len(self.history) - len(seen)
        self.history._rows[-1]["seconds"] = self.state.seconds()  # until the device had it
        for number, (loss, norm, clipped_norm) in enumerate(seen, first):
            row = self.history._rows[number]
            try:
                self._fill_in(row, loss, norm, clipped_norm)
            except TrainingDiverged as error:
                del self.history._rows[number + 1 :]  # they changed nothing
                self.history.ended, self.given_up = "", error
                raise

    def _fill_in(self, row: dict, loss: float, norm: float, clipped_norm: float) -> None:
        """Write into a row what a step came to; raises TrainingDiverged if it is one too many."""
        # None where there is no number: JSON, in which the rows are kept, has no NaN.
        row["loss"] = loss if math.isfinite(loss) else None
        row["skipped"] = not (math.isfinite(loss) and math.isfinite(norm))
        if row["skipped"]:
            self._count_skipped(row["step"], loss, norm)
        else:
            row["grad_norm"], row["clipped_norm"] = norm, clipped_norm
            self.state.skipped_in_a_row = 0

    def _count_skipped(self, step: int, loss: float, norm: float) -> None:
        """Say that a step was skipped; raise TrainingDiverged if it is one too many in a row."""
        most = self.config.most_skipped
        self.state.skipped_in_a_row += 1
        self.say(
            f"Step {step} skipped: its loss is {loss:.4g} and its gradient norm {norm:.4g}. "
            f"The weights stay as they were. Skipped so far: {self.history.skipped}."
        )
        # One bad batch is passed over. Many in a row mean that no batch works with these weights
        # any more.
        if self.state.skipped_in_a_row == most:
            which = f"Step {step}" if most == 1 else f"{most} steps in a row, up to step {step},"
            raise TrainingDiverged(
                f"{which} had a loss or a gradient that was not finite. The weights are still "
                f"those of step {step - most}. Lower the learning rate, or clip at a smaller "
                "value.",
                self.history,
            )

    def _validate(self, bar: tqdm) -> None:
        """Measure the validation loss; note a new best, or that patience is at its end."""
        row, best, patience = self.history.rows[-1], self.state.best, self.config.patience
        # Every process measures it, since one alone would take as long and let the others wait.
        loss = self.processes.mean(evaluate(self.state.model, self.valid_ids))
        row["valid_loss"] = loss if math.isfinite(loss) else None
        bar.set_postfix(valid=f"{loss:.3f}")
        # One more without a new best; a new best sets the count to 0 below.
        best.waited += 1
        # NaN is below nothing, so a validation that failed is never the best.
        if loss < best.loss:
            best.loss, best.step, best.waited = loss, self.step, 0
            if patience is not None:  # a copy: the steps to come change the weights in place
                best.weights = _copy(self.state.model)
        elif patience is not None and best.waited >= patience and not self.history.ended:
            self.history.ended = "early"
            self.say(
                f"Stopped early at step {self.step}: {best.waited} validations in a row brought no "
                f"loss below {best.loss:.4f}, that of step {best.step}."
            )


class _Backward:
    """The forward and the backward pass over a batch, worked through in equal parts.

    Args:
        model: maybe wrapped.
        config: the settings.
        processes: those that train it.
        precision: of the forward pass.
        defers: whether the loss stays on the device, so that nothing waits for it.
    """

    def __init__(
        self,
        model: CharRNN | DistributedDataParallel,
        config: TrainingConfig,
        processes: DistributedContext,
        precision: str,
        defers: bool,
    ) -> None:
        self.model, self.parts, self.processes = model, config.accumulate, processes
        self.precision, self.defers, self.smoothing = precision, defers, config.label_smoothing
        weight = next(model.parameters())
        self.device, self.dtype = weight.device, weight.dtype

    def __call__(self, x: Tensor, y: Tensor, hidden: State | None) -> tuple[float | Tensor, State]:
        """Add the gradient of a batch to the model; return its loss, and the state after it.

        Args:
            x: (B, T) int64.
            y: (B, T) int64, or (B, 1) to predict after the last character alone.
            hidden: the state before the batch, each part (num_layers, B, H), or None.

        Returns:
            The mean loss over the targets, a number, or a tensor () if the run defers; and the
            state after the last character, cut from the graph.
        """
        losses, states = [], []
        # The parts are worked through one after the other, so one alone takes memory at a time.
        rows, scale = len(x) // self.parts, _loss_scale(self.device, self.precision, y.numel())
        for first in range(0, len(x), rows):
            part = slice(first, first + rows)
            # The state of the part's rows, (num_layers, rows, H) each. cuDNN wants it without gaps
            # in memory, which a slice of the middle axis has.
            before = hidden and tuple(s[:, part].contiguous() for s in hidden)
            # The processes average their gradients once, in the backward pass of the last part.
            averaging = self.processes.averaging(part.stop == len(x))
            with averaging, autocast(self.precision, self.device):
                logits, after = self.model(x[part], before)  # (rows, T, V)
            loss, minimized = self._losses(logits, y[part])  # () each
            # The gradients of the parts add up, and so do these shares to the batch's mean.
            if self.parts > 1:
                loss, minimized = loss / self.parts, minimized / self.parts
            # Adds to .grad, which has the shape of its weight, and frees this part's graph.
            (minimized * scale if scale > 1 else minimized).backward()
            # The values go on to the next batch, and no gradient comes back (truncated BPTT).
            states.append(detach(after))
            # A tensor stays on the device. A number has to be waited for.
            losses.append(loss.detach() if self.defers else loss.item())
        if scale > 1:  # back to the gradient of the loss itself
            grads = [p.grad for p in self.model.parameters() if p.grad is not None]
            torch._foreach_mul_(grads, 1 / scale)
        loss = functools.reduce(operator.add, losses)  # in order; Python's sum() rounds otherwise
        return loss, states[0] if self.parts == 1 else _side_by_side(states)

    def _losses(self, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean loss, and the one that the step minimizes, () each.

        They differ where the targets are smoothed.

        Args:
            logits: (rows, T, V).
            y: (rows, T), or (rows, 1) to predict after the last character alone.
        """
        if y.shape[1] < logits.shape[1]:  # the other positions have no target
            logits = logits[:, -y.shape[1] :]  # (rows, 1, V)
        # Not in 16 bits: a softmax over V would lose what tells one small loss from another.
        logits = logits.to(self.dtype).flatten(0, 1)  # (targets, V)
        # (targets,). A target IGNORE is neither in the sum nor in the count of this mean.
        y = y.flatten()
        loss = F.cross_entropy(logits, y, ignore_index=IGNORE)
        if not self.smoothing:
            return loss, loss
        # The target is 1 - s for the character itself, and s/V more for every character (Szegedy et
        # al. 2016, section 7).
        options = {"ignore_index": IGNORE, "label_smoothing": self.smoothing}
        return loss.detach(), F.cross_entropy(logits, y, **options)


def _loss_scale(device: torch.device, precision: str, targets: int) -> int:
    """Return what the loss is multiplied by on its way back, and the gradient divided by.

    Under autocast cuDNN's LSTM runs in float16, whichever dtype was asked for. float16 has no
    number between 0 and 6e-8, and the gradient of a mean over thousands of characters has many
    entries there. So it is scaled up (Micikevicius et al. 2018), to that of a mean over about
    eight, padding counted in; a power of 2 changes no digit.
    """
    if device.type != "cuda" or precision == "float32":
        return 1
    # - 3, since 2³ is eight. Never below 1: the gradient of few targets is large enough.
    return 2 ** max(round(math.log2(targets)) - 3, 0)


class _Interrupt:
    """While it is open, the first Ctrl-C only sets `asked`, so that no step is cut in half.

    It does nothing outside the main thread, where Python delivers no signals, and where Ctrl-C is
    ignored, as in a shell's background jobs.
    """

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> "_Interrupt":
        self._before = signal.getsignal(signal.SIGINT)
        main = threading.current_thread() is threading.main_thread()
        # None stands for a handler of C code, which Python could not put back.
        self._active = main and self._before not in (signal.SIG_IGN, None)
        if self._active:
            signal.signal(signal.SIGINT, self._ask)
        return self

    def _ask(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt  # asked again: do not wait for the end of the step
        self.asked = True

    def __exit__(self, *_: object) -> None:
        if self._active:
            signal.signal(signal.SIGINT, self._before)


def _side_by_side(states: list[State]) -> State:
    """Return the state of a batch from those of its parts, (num_layers, B, hidden_size) each."""
    # Axis 1 is the batch. The parts are in the order of its rows.
    return tuple(torch.cat(parts, dim=1) for parts in zip(*states, strict=True))


def _copy(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a model's weights."""
    # state_dict() hands out the weights themselves, not copies of them.
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def _defers(optimizer: torch.optim.Optimizer, device: torch.device) -> bool:
    """Say whether steps are left to the device, which then skips those that are not finite.

    Fused optimizers can, as PyTorch's own loss scaling has them do it. SGD's momentum cannot: a
    first step that is skipped would leave it without a value.
    """
    # PyTorch's own mark of optimizers that read `found_inf`.
    can = getattr(optimizer, "_step_supports_amp_scaling", False)
    return device.type == "cuda" and can and not optimizer.defaults.get("momentum")
