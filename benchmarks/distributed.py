"""What do two processes with one thread each gain over one process? All in one run, in turns.

    .venv/bin/python benchmarks/distributed.py

fit() under DistributedDataParallel (gloo, on the CPU) with the same batch and with twice the batch,
beside one process with one thread and with two. Prints the ratios of their speeds to that of one
process with one thread, and writes distributed.json beside this file. Let nothing else run.
"""

import json
import os
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from lstmlib.corpora import load_corpus
from lstmlib.models import CharRNN
from lstmlib.settings import TrainingConfig
from lstmlib.training import fit
from lstmlib.vocab import Vocab

ROUNDS, STEPS, BATCH_SIZE, SEQ_LEN, HIDDEN = 5, 30, 16, 64, 384
# name: (processes, threads of each, batch over all processes)
SETTINGS = {
    "1 process, 1 thread": (1, 1, BATCH_SIZE),
    "1 process, 2 threads": (1, 2, BATCH_SIZE),
    "2 processes, 1 thread each": (2, 1, BATCH_SIZE),
    "2 processes, 1 thread each, twice the batch": (2, 1, 2 * BATCH_SIZE),
    "1 process, 2 threads, twice the batch": (1, 2, 2 * BATCH_SIZE),
}


def seconds_of_fit(vocab, ids, processes, threads, batch_size):
    """Train as one of several processes, or alone; return the seconds."""
    torch.set_num_threads(threads)
    torch.manual_seed(dist.get_rank())
    model = CharRNN(len(vocab), HIDDEN, 1, dropout=0.2)
    if processes > 1:
        model = DistributedDataParallel(model)
    config = TrainingConfig(STEPS, batch_size, SEQ_LEN)
    start = time.perf_counter()
    fit(model, ids, None, config, progress=False)
    return time.perf_counter() - start


def run(rank, folder):
    """Go through the rounds; a process that has no part in a setting waits at the barrier."""
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    text = load_corpus("python-docs").text
    vocab = Vocab.from_text(text)
    ids = vocab.encode(text)
    seconds = {name: [] for name in SETTINGS}
    for _ in range(ROUNDS + 1):
        for name, setting in SETTINGS.items():
            dist.barrier()
            if rank < setting[0]:
                seconds[name].append(seconds_of_fit(vocab, ids, *setting))
    if rank == 0:
        (Path(folder) / "seconds.json").write_text(json.dumps(seconds))
    dist.destroy_process_group()


def main():
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(run, (folder,), nprocs=2)
        seconds = json.loads((Path(folder) / "seconds.json").read_text())
    speed = {}
    for name, times in seconds.items():
        median = sorted(times[1:])[ROUNDS // 2]  # the first round warms up
        speed[name] = STEPS * SETTINGS[name][2] * SEQ_LEN / median
    alone = next(iter(speed.values()))
    result = {
        "characters_per_second": {name: round(value) for name, value in speed.items()},
        "ratio": {name: round(value / alone, 3) for name, value in speed.items()},
        "model": f"1x{HIDDEN}, batch {BATCH_SIZE}, sequence {SEQ_LEN}",
        "machine": f"{os.cpu_count()} CPU cores, PyTorch {torch.__version__}",
    }
    for name, value in speed.items():
        print(f"{name:<45}{value:>9,.0f} characters per second, {result['ratio'][name]:.3f} times")
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
