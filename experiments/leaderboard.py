"""Measure how low a character-LSTM comes on tiny Shakespeare in a fixed time: the leaderboard.

    OMP_PROC_BIND=true .venv/bin/python -m experiments.leaderboard speed
    OMP_PROC_BIND=true .venv/bin/python -m experiments.leaderboard train recipe --seeds 1 2 3
    .venv/bin/python -m experiments.leaderboard train no-layer-norm --threads 1
    .venv/bin/python -m experiments.leaderboard measure runs/leaderboard/cpu/model.safetensors
    .venv/bin/python -m experiments.leaderboard readme

The rules: An entry trains on the first 90 % of the text, for 5 minutes on two CPU cores or 3 on a
GPU. It is measured on the last 10 %, with the weights that its training ends with. The loss is the
mean over every character of these 10 % but the first, in one sequential pass with a carried state,
in nats per character. A second loss is that of random windows of 256, as nanoGPT measures, and a
third that of the end of the training text, which an entry has seen. No loss on the last 10 % may
choose anything during a run.

runs/leaderboard/entries.json says what each entry is: the recipe of each kind of device, and what
another entry changes in it, or in the entry that its "of" names; with an "of" of null it changes
none, and says all its settings.

"speed" measures how many steps each entry takes in the time, and writes cpu/steps.json or
gpu/steps.json. Nothing else may run beside it. An entry that is there is measured anew only if it
is named. On a CPU it also measures whether bfloat16 or float32 is faster; the training takes that.
With OMP_PROC_BIND=true each thread keeps its core, which mostly saves time.

"train" takes as many steps as were measured, on any number of threads, and writes
cpu/ENTRY-SEED.json. The recipe's first seed writes its model, history and text as well. A result
that is there is not made again. On a CPU, a run that was stopped goes on from its checkpoint. On a
GPU it starts anew, and the clock binds, too: where steps take longer than they did when they were
measured, the run ends in time, before its learning rate is 0, and its result says "ended": "out of
time".

"measure" measures a model that was kept as the rules say, and prints its losses.

"--folder" keeps the results of another kind of machine apart. Those in runs/leaderboard/avx2 are of
`ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2`, where no processor has units for bfloat16.

"readme" writes the table in the README anew. tools/gpu_leaderboard.py does for one seed on a GPU
what "speed" and "train" do.

The program needs only PyTorch, NumPy, tqdm and safetensors: where nothing else is installed,
`python3 -m experiments.leaderboard --text PATH speed`.
"""

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from experiments.common import (
    corpus_text,
    describe,
    errors_in_one_line,
    read_json,
    sha256,
    write_json,
    write_texts,
)
from experiments.recipes import TailAverage, build
from lstmlib.batching import split
from lstmlib.checkpoints import Checkpoints
from lstmlib.generation import generate
from lstmlib.history import History
from lstmlib.models import CharRNN, count_parameters
from lstmlib.precision import has_bfloat16
from lstmlib.serialization import atomic_write, load_model, save_model
from lstmlib.settings import TrainingConfig
from lstmlib.throughput import keep_freed_memory
from lstmlib.training import evaluate, fit
from lstmlib.vocab import Vocab

FOLDER = Path(__file__).resolve().parents[1] / "runs" / "leaderboard"
"""Where results stand."""
ENTRIES = FOLDER / "entries.json"
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
KIND = {"cuda": "gpu", "cpu": "cpu"}[DEVICE]
SECONDS = {"cpu": 300, "gpu": 180}[KIND]
PLACES = {
    "cpu": "2 CPU cores, 5 minutes",
    "avx2/cpu": "2 CPU cores held to AVX2, so without bfloat16, 5 minutes",
    "gpu": "a GPU, 3 minutes",
}
"""Folders of results, and what the README calls each of them."""
MARK = "<!-- written by experiments/leaderboard.py readme -->\n"
SPARE = 0.08  # of the time is not planned with, since no two runs are equally fast
MARGIN = 0.005  # of the time is left to a GPU for what it was asked to do and has not yet done
SHORT = 2000  # first characters of the last 10 %, whose loss a CPU can check in seconds


def read_text(path: str | None) -> str:
    """Return tiny Shakespeare, from a file or from where the course finds it.

    Raises:
        SystemExit: it is another text.
    """
    text = corpus_text("shakespeare") if path is None else Path(path).read_text(encoding="utf-8")
    if sha256(text) != SHA256:
        raise SystemExit(f"{path} is not tiny Shakespeare, 1 115 394 characters, as published.")
    return text


def read_entries() -> dict[str, dict]:
    """Return the entries of this kind of device: name -> all its settings.

    Raises:
        SystemExit: there are none yet.
    """
    entries = read_json(ENTRIES)
    if KIND not in entries:
        raise SystemExit(f"{ENTRIES} has no entries for a {KIND} yet: write some.")
    return {name: all_settings(entries[KIND], name) for name in entries[KIND]}


def all_settings(entries: dict[str, dict], name: str) -> dict:
    """Return all settings of an entry: those of the entry that it changes, and its changes."""
    entry = entries[name]
    of = entry.get("of", None if name == "recipe" else "recipe")
    return entry["changes"] if of is None else all_settings(entries, of) | entry["changes"]


def prepare(settings: dict, vocab_size: int, steps: int) -> tuple[CharRNN, TrainingConfig]:
    """Return a new network, on the device, and the training of some settings."""
    config = {name: settings[name] for name in settings if name in TrainingConfig.__annotations__}
    others = config.keys() | {"warmup_share", "averaging", "tail"}
    config |= {"steps": steps, "warmup": round(steps * settings["warmup_share"])}
    network = {name: value for name, value in settings.items() if name not in others}
    model = build(vocab_size, network).to(DEVICE)
    return model, TrainingConfig(**config, eval_every=steps)


def measure_speed(
    text: str, names: list[str], taken: int | None = None, rounds: int = 2
) -> dict[str, dict]:
    """Return, of each entry named, the seconds of a step, and the steps that the time allows.

    The steps are those of `fit`, the first thirty not counted; the entries take turns, and the
    faster of two rounds counts: what else the machine does only ever slows a program down. A GPU is
    waited for at either end of what is timed. On a CPU, an entry in bfloat16 is measured in float32
    as well, and its precision is the faster one: no processor's name tells which.

    Args:
        text: tiny Shakespeare.
        names: of the entries.
        taken: how many steps are timed; None for 100 on a GPU, and for 600 on a CPU, which may be
            faster for a second than for minutes.
        rounds: of turns.
    """
    taken = taken or {"gpu": 100, "cpu": 600}[KIND]
    entries, vocab = read_entries(), Vocab.from_text(text)
    train_ids, _ = split(vocab.encode(text))
    ways = [(name, precision) for name in names for precision in precisions(entries[name])]
    seconds = {way: [] for way in ways}
    for name, precision in tqdm(ways * rounds):
        settings = entries[name] | {"precision": precision}
        model, config = prepare(settings, len(vocab), taken + 30)
        watch = Watch(averaging(model, settings, config.steps)[1], first=30)
        fit(model, train_ids, None, config, watch, progress=False)
        seconds[name, precision].append(watch.seconds() / taken)
    speeds = {}
    for name in names:
        fastest, precision = min((min(seconds[way]), way[1]) for way in ways if way[0] == name)
        speeds[name] = {
            "seconds_per_step": round(fastest, 6),
            "steps": int(SECONDS * (1 - SPARE) / fastest),
            "precision": precision,
        }
    return speeds


def precisions(settings: dict) -> list[str]:
    """Return the precisions in which the speed of an entry is to be measured on this device."""
    wanted = settings.get("precision", "float32")
    if wanted == "float32" or KIND == "gpu":
        return [wanted]
    usable = has_bfloat16(torch.device(DEVICE))
    return ["bfloat16", "float32"] if usable else ["float32"]


class Watch:
    """A stopwatch among what `fit` calls after every step; it can end a run.

    Args:
        on_step: what else to call after every step, or None.
        first: step at whose end the time begins; at 0 it begins now.
        limit: seconds after which the run ends, as History's `ended` then says; None never does.
    """

    def __init__(
        self,
        on_step: Callable[[History], None] | None = None,
        first: int = 0,
        limit: float | None = None,
    ) -> None:
        self.on_step, self.first, self.limit = on_step, first, limit
        self.begun = now()

    def __call__(self, history: History) -> None:
        """Do what follows a step."""
        if self.on_step is not None:
            self.on_step(history)
        if len(history) == self.first:
            self.begun = now()
        late = self.limit is not None and time.perf_counter() - self.begun > self.limit
        if late and not history.ended:
            history.ended = "out of time"

    def seconds(self) -> float:
        """Return the seconds since the time began, all work of the device done."""
        return now() - self.begun


def now() -> float:
    """Return the time in seconds, when the device has done all that it was asked to."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def write_speeds(text: str, names: list[str]) -> None:
    """Measure the speed of entries, those not yet measured if none is named, and write it."""
    path, measured = FOLDER / KIND / "steps.json", {}
    if path.exists():
        measured = read_json(path)["entries"]
    names = names or [name for name in read_entries() if name not in measured]
    measured |= measure_speed(text, names)
    about = {"device": describe(torch.device(DEVICE)), "threads": torch.get_num_threads()}
    write_json(path, about | {"entries": measured})


def train(
    entry: str, seed: int, text: str, steps: int | None = None, limit: float | None = None
) -> dict:
    """Train one entry from one seed, measure it, write its result, and return it.

    Args:
        entry: its name.
        seed: of the first weights and of all that is drawn in training.
        text: tiny Shakespeare.
        steps: how many to take; None for as many as steps.json says.
        limit: seconds after which the training ends; None for what the rules say, on a GPU a little
            less than SECONDS, and else no bound.

    Raises:
        SystemExit: it was interrupted.
    """
    settings, vocab = read_entries()[entry], Vocab.from_text(text)
    train_ids, valid_ids = split(vocab.encode(text))
    precision = settings.get("precision", "float32")
    if steps is None:
        speed = read_json(FOLDER / KIND / "steps.json")["entries"][entry]
        steps = speed["steps"]
        precision = speed.get("precision", precision)
    torch.manual_seed(seed)
    model, config = prepare(settings | {"precision": precision}, len(vocab), steps)
    folder = FOLDER / "unfinished" / f"{KIND}-{entry}-{seed}"
    average, on_step = averaging(model, settings, config.steps)
    # A checkpoint holds neither an average nor one matrix in two places, and takes time to write.
    resumable = not (average or settings.get("tied") or KIND == "gpu")
    checkpoints = Checkpoints(folder, vocab, 2000) if resumable else None
    if limit is None and KIND == "gpu":
        limit = SECONDS * (1 - MARGIN)
    watch = Watch(on_step, limit=limit)
    history = fit(model, train_ids, None, config, watch, checkpoints)
    seconds = max(history.rows[-1]["seconds"], watch.seconds())  # the rows count from a break on
    if history.ended == "interrupted":
        raise SystemExit("Stopped; the same command goes on from here, or anew without checkpoint.")
    last, model = model, average.module if average else model
    result = {
        "entry": entry,
        "seed": seed,
        "valid_loss": evaluate(model, valid_ids),
        "windows_loss": windows_loss(model, valid_ids),
        "short_loss": evaluate(model, valid_ids[:SHORT]),
        "last_loss": evaluate(last, valid_ids) if average else None,
        "last_windows_loss": windows_loss(last, valid_ids) if average else None,
        "training_loss": mean_loss(history.rows[-200:]),
        "seen_loss": seen_loss(model, train_ids),
        "steps": len(history),
        "planned_steps": config.steps,
        "ended": history.ended,
        "skipped": history.skipped,
        "characters": history.rows[-1]["characters"],
        "seconds": round(seconds, 1),
        "threads": torch.get_num_threads(),
        "parameters": count_parameters(model),
        "settings": settings,
        "device": describe(torch.device(DEVICE)),
        "bound": os.environ.get("OMP_PROC_BIND"),
        "precision": history.precision,
        "pytorch": torch.__version__,
    }
    if entry == "recipe" and seed == 1:
        record(model, vocab, history)
    write_json(FOLDER / KIND / f"{entry}-{seed}.json", result)
    shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(result, indent=2))
    return result


def measure(path: str, text: str) -> dict:
    """Return the losses of a kept model on the last 10 % of a text, as a result has them.

    Raises:
        ModelFileError: the file is not one of `save_model`, or is damaged.
        ValueError: the text has characters that the model does not know.
    """
    model, vocab = load_model(path, DEVICE)
    train_ids, valid_ids = split(vocab.encode(text))
    model = model.float()  # it may be kept in half the bytes
    return {
        "file": path,
        "valid_loss": evaluate(model, valid_ids),
        "windows_loss": windows_loss(model, valid_ids),
        "seen_loss": seen_loss(model, train_ids),
    }


def seen_loss(model: CharRNN, train_ids: np.ndarray) -> float:
    """Return the loss on the last tenth of the training text, measured as that on the last 10 %.

    The training loss cannot be compared with that: dropout and averages are in only one of them.
    """
    _, end = split(train_ids)
    return evaluate(model, end)


def mean_loss(rows: list[dict]) -> float:
    """Return the mean training loss of rows, those of skipped steps left out."""
    return float(np.mean([row["loss"] for row in rows if row["loss"] is not None]))


def averaging(model: CharRNN, settings: dict, steps: int) -> tuple:
    """Return (an average of a model's weights, what `fit` calls to update it), or twice None.

    It is a running one ("averaging", its decay), or the mean of the last steps ("tail", their share
    of all). It starts with the first step that this process takes of them.
    """
    if settings.get("tail"):
        tail = TailAverage(model, settings["tail"], steps)
        return tail, lambda history: tail.update(len(history))
    if not settings.get("averaging"):
        return None, None
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings["averaging"]))
    return average, lambda _: average.update_parameters(model)


@torch.no_grad()
def windows_loss(model: CharRNN, ids: np.ndarray, count: int = 2000, length: int = 256) -> float:
    """Return the mean loss over random windows that start from a state of zeros, as nanoGPT's."""
    device, rng = next(model.parameters()).device, np.random.default_rng(0)
    pairs = np.lib.stride_tricks.sliding_window_view(ids, length + 1)
    chosen = torch.from_numpy(pairs[rng.integers(0, len(pairs), count)]).to(device)
    losses = []
    for part in chosen.split(100):
        logits, _ = model.eval()(part[:, :-1])
        losses.append(F.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten()).item())
    return float(np.mean(losses))


def record(model: CharRNN, vocab: Vocab, history: History) -> None:
    """Write what the recipe's first seed leaves behind: model, every 20th row, and text."""
    half = deepcopy(model).half()  # half the bytes, and the same loss to four digits
    save_model(FOLDER / KIND / "model.safetensors", half, vocab)
    kept = ("step", "characters", "loss", "grad_norm", "clipped_norm", "learning_rate", "seconds")
    rows = [{name: row[name] for name in kept} for row in history.rows[::20]]
    History(rows).save(FOLDER / KIND / "history.jsonl")
    samples = {t: generate(model, vocab, "ROMEO:", 1000, t, seed=1) for t in (0.5, 1.0)}
    titled = [(f"temperature {t}", sample.text) for t, sample in samples.items()]
    write_texts(FOLDER / KIND / "samples.txt", titled)


def results(place: str) -> dict[str, list[dict]]:
    """Return what a folder in FOLDER has: entry -> its results by seed, lowest entry first."""
    trained = {}
    for path in sorted((FOLDER / place).glob("*-*.json")):
        result = read_json(path)
        trained.setdefault(result["entry"], []).append(result)
    return dict(sorted(trained.items(), key=lambda each: mean(each[1], "valid_loss")))


def mean(trained: list[dict], name: str) -> float:
    """Return the mean of a figure over the seeds of an entry."""
    return float(np.mean([result[name] for result in trained]))


def readme_table() -> str:
    """Return the README's table: the recipe of each kind of device, and the plain loop."""
    lines = [
        "| device and time | entry | nats per character | mean, in random windows of 256 |",
        "|---|---|---|---|",
    ]
    entries = read_json(ENTRIES)
    for place, where in PLACES.items():
        kind, trained = Path(place).name, results(place)
        if not trained and place == kind:
            lines.append(f"| {where} | not yet measured | | |")
        for entry in [name for name in ("recipe", "plain-loop") if name in trained]:
            if kind == "gpu":
                devices = {result["device"] for result in trained[entry]}
                where = f"{' and '.join(sorted(devices))}, 3 minutes"
            losses = [
                f"{result['valid_loss']:.4f}{how_it_ended(result)}" for result in trained[entry]
            ]
            row = f"| {where} | {entries[kind][entry]['what']} | {', '.join(losses)} |"
            lines.append(f"{row} {mean(trained[entry], 'windows_loss'):.4f} |")
    return "\n".join(lines) + "\n"


def how_it_ended(result: dict) -> str:
    """Say of a run that took fewer steps than planned that the clock ended it."""
    if result.get("ended") != "out of time":
        return ""
    share = 100 * result["steps"] / result["planned_steps"]
    return f" (out of time after {share:.0f} % of its schedule)"


def write_readme(mark: str = MARK, table: Callable[[], str] = readme_table) -> None:
    """Write a table into the README, after its mark."""
    path = FOLDER.parents[1] / "README.md"
    before, mark, rest = path.read_text(encoding="utf-8").partition(mark)
    after = rest.partition("\n\n")[2]
    atomic_write(path, f"{before}{mark}{table()}\n{after}".encode())


def main() -> None:
    """Measure the speed of the entries, or train some of them."""
    global FOLDER
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", help="the file of tiny Shakespeare; else found or downloaded")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where results stand")
    commands = parser.add_subparsers(dest="command", required=True)
    speed = commands.add_parser("speed", help="measure how many steps entries take in the time")
    speed.add_argument("entries", nargs="*", help="default: those not yet measured")
    commands.add_parser("readme", help="write the README's table anew")
    measuring = commands.add_parser("measure", help="measure models that were kept")
    measuring.add_argument("models", nargs="+", metavar="FILE", help="files of save_model")
    training = commands.add_parser("train", help="train entries, where there is no result yet")
    training.add_argument("entries", nargs="+", choices=list(read_entries()))
    training.add_argument("--seeds", type=int, nargs="+", default=[1])
    training.add_argument("--threads", type=int, default=torch.get_num_threads())
    settings = parser.parse_args()
    FOLDER = settings.folder
    if settings.command == "readme":
        write_readme()
        return
    keep_freed_memory()
    text = read_text(settings.text)
    if settings.command == "speed":
        write_speeds(text, settings.entries)
        return
    if settings.command == "measure":
        for path in settings.models:
            print(json.dumps(measure(path, text), indent=2))
        return
    torch.set_num_threads(settings.threads)
    for entry in settings.entries:
        for seed in settings.seeds:
            if not (FOLDER / KIND / f"{entry}-{seed}.json").exists():
                train(entry, seed, text)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
