"""Train a CharRNN on a text with several processes: one on each GPU, or some on the CPU's cores.

On one machine, with N processes:

    torchrun --standalone --nproc_per_node=N -m experiments.train_distributed \\
        --text book.txt --out run

On two machines, the same command on both, with the name of the first; they need the same text:

    torchrun --nnodes=2 --nproc_per_node=N --rdzv-backend=c10d --rdzv-endpoint=FIRST:29500 \\
        -m experiments.train_distributed --text book.txt --out run

Without torchrun (`python -m experiments.train_distributed …`) it is one process.

The program writes checkpoints, history.jsonl and model.safetensors into the folder, and
best.safetensors with the lowest validation loss; on two machines, into the first one's folder.
After a break the same command goes on.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from experiments.common import ERRORS, corpus_text
from lstmlib.batching import split
from lstmlib.checkpoints import Checkpoints
from lstmlib.models import LAYERS, CharRNN
from lstmlib.precision import PRECISIONS
from lstmlib.serialization import save_model
from lstmlib.settings import TrainingConfig
from lstmlib.training import fit
from lstmlib.vocab import Vocab


def parse() -> argparse.Namespace:
    """Return the command line's settings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--text", required=True, help="a file of text, markup or an EPUB, or a corpus's name"
    )
    parser.add_argument("--out", required=True, type=Path, help="folder, one for each run")
    parser.add_argument("--cell", default="lstm", choices=LAYERS)
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--num-layers", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=64, help="over all processes together")
    parser.add_argument("--seq-len", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--precision", default="float32", choices=PRECISIONS)
    parser.add_argument("--eval-every", type=int, default=100, help="and a checkpoint as often")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def join(local_rank: int) -> torch.device:
    """Join the processes that torchrun started, if it did; return this one's device."""
    started = dist.is_torchelastic_launched()
    if not torch.cuda.is_available():
        if started:
            dist.init_process_group("gloo")
        return torch.device("cpu")
    here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", 1)), torch.cuda.device_count()
    if here > gpus:
        raise ValueError(f"{here} processes, but {gpus} GPUs: start one process for each GPU.")
    torch.cuda.set_device(local_rank)
    if started:
        dist.init_process_group("nccl")
    return torch.device("cuda", local_rank)


def train(settings: argparse.Namespace, device: torch.device) -> None:
    """Train, and write what the run leaves behind."""
    text = corpus_text(settings.text)
    vocab = Vocab.from_text(text)
    train_ids, valid_ids = split(vocab.encode(text))
    rank = dist.get_rank() if dist.is_initialized() else 0
    torch.manual_seed(settings.seed + rank)  # the same seed would draw the same dropout everywhere
    sizes = (settings.hidden_size, settings.num_layers)
    bare = CharRNN(len(vocab), *sizes, dropout=settings.dropout, cell=settings.cell).to(device)
    # Wrapping gives every process the first one's weights.
    model = DistributedDataParallel(bare) if dist.is_initialized() else bare
    config = TrainingConfig(
        settings.steps,
        settings.batch_size,
        settings.seq_len,
        settings.learning_rate,
        eval_every=settings.eval_every,
        precision=settings.precision,
    )
    checkpoints = Checkpoints(settings.out, vocab, settings.eval_every)
    history = fit(model, train_ids, valid_ids, config, checkpoints=checkpoints)
    if rank == 0:
        history.save(settings.out / "history.jsonl")
        save_model(settings.out / "model.safetensors", bare, vocab)
        print(f"{settings.out}: {len(history)} steps, ended: {history.ended}.")


def main() -> None:
    """Train; an error is reported once on every machine."""
    settings = parse()
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    try:
        train(settings, join(local_rank))
    except ERRORS as error:
        if local_rank > 0:
            time.sleep(10)  # torchrun ends them all when one ends: let the first one speak
            raise SystemExit(1) from error
        raise SystemExit(f"{type(error).__name__}: {error}") from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    if dist.is_torchelastic_launched():
        # DistributedDataParallel leaves gloo's threads behind. One that lets go of a tensor while
        # the interpreter is ending would abort the process, so end without that.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
