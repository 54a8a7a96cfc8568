"""Measure how fast a GPU trains and writes, each beside a peer in the same run.

    python tools/gpu_speed.py --out FOLDER [--seconds 70] [--rehearse]

In order of worth, each written as it ends: fit() beside a bare loop for a GPU, with and without
waiting for the device at every step (benchmarks/gpu/overhead.json); the grid of speed-gpu
(runs/speed-gpu/result.json); the same training step on this machine's CPU and on its GPU
(benchmarks/gpu/cpu_beside_gpu.json); a CUDA graph that writes text (generation.json); CUDA graphs
and torch.compile in training (compiled_step.json, in a process that is ended when its time is
over). Started again, it goes on: a row or a point that is there is not measured again.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
from gpu import end_with_parent
from gpu_machine import ROOT, arguments, left, machine, read_json, recorded, write_json

from lstmlib.models import CharRNN
from lstmlib.precision import PRECISIONS, usable_precision
from lstmlib.settings import TrainingConfig
from lstmlib.throughput import keep_freed_memory, training_throughput

OVERHEAD = "benchmarks/gpu/overhead.json"
GRID = "runs/speed-gpu/result.json"
BESIDE = "benchmarks/gpu/cpu_beside_gpu.json"
GENERATION = "benchmarks/gpu/generation.json"
COMPILED = "benchmarks/gpu/compiled_step.json"
SIZES = {
    "gpu": {
        "models": [512, 1024, 256],
        "batch": (64, 128),
        "steps": (60, 10),
        "turns": 9.0,  # seconds of rounds for each model
        "rounds": 5,  # a row of fewer is measured again: its medians swing by a tenth
        "least": 0.1,
        "beside": [(256, 64, 64), (1024, 64, 64)],
        "generation": {"length": 250, "rounds": 5, "checked": 100},
    },
    "rehearsal": {
        "models": [8, 12],
        "batch": (2, 4),
        "steps": (8, 3),
        "turns": 0.0,
        "rounds": 3,
        "least": 0.0,
        "beside": [(4, 2, 3), (6, 2, 3)],
        "generation": {"length": 5, "rounds": 1, "checked": 10, "hidden_size": 16},
    },
}
SMALL_GRID = {
    "HIDDEN_SIZES": {"cpu": (4, 6, 8, 10)},
    "BATCH_SIZES": {"cpu": (1, 2, 3, 4, 5)},
    "FIRST": (1, 3, 4, 5),
    "PRODUCT_SIZES": {"cpu": (8,)},
    "PRECISIONS": ("float32",),
    "SEQ_LEN": 3,
}


class NoTime(Exception):
    """An item has to end, since the stage has no time left for more of it."""


def module(path: str) -> ModuleType:
    """Return a program of the repository as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def sizes(given: argparse.Namespace) -> dict:
    """Return the sizes that this run measures."""
    return SIZES["rehearsal" if given.rehearse else "gpu"]


def precisions(given: argparse.Namespace) -> list[str]:
    """Return what is trained in; a CPU takes long over its first steps in bfloat16."""
    wanted = PRECISIONS[:1] if given.rehearse else PRECISIONS
    return sorted({usable_precision(name, given.device) for name in wanted}, reverse=True)


def rows_of(given: argparse.Namespace, name: str, whole: int) -> list[dict]:
    """Return the rows of a result that is whole, or was begun on this machine; else none."""
    result = recorded(given, name)
    rows, here = result.get("rows", []), result.get("machine") == machine(given.device)
    return rows if here or len(rows) >= whole else []


def fits(measure: Callable[[], dict], what: str) -> dict | None:
    """Return what is measured; say so and return None where the GPU's memory is too small."""
    try:
        return measure()
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        print(f"{what}: left out, this GPU's memory is too small for it.", flush=True)
        return None


def check_time(given: argparse.Namespace, until: float, needed: float) -> None:
    """Raise NoTime if fewer than `until` seconds would be left after what is needed."""
    if left(given) - needed < until:
        raise NoTime


# The items: each takes the arguments and the seconds that must be left when it ends


def overhead(given: argparse.Namespace, until: float) -> str:
    """Set fit() beside a bare loop, model by model."""
    program, size = module("benchmarks/training_overhead.py"), sizes(given)
    (batch_size, seq_len), (steps, first) = size["batch"], size["steps"]
    wanted = [(hidden, name) for hidden in size["models"] for name in precisions(given)]
    rows = [r for r in rows_of(given, OVERHEAD, len(wanted)) if r["rounds"] >= size["rounds"]]
    lowest = {"ratio": program.FIT, "ratio_waiting": program.WAITING}
    for hidden, precision in wanted:
        if any((r["hidden_size"], r["precision"]) == (hidden, precision) for r in rows):
            print(f"fit(), {hidden} units, {precision}: recorded already", flush=True)
            continue
        check_time(given, until, 1.3 * size["turns"])
        settings = {"learning_rate": 2e-3, "clip_norm": 5.0, "precision": precision}
        config = TrainingConfig(steps, batch_size, seq_len, **settings)
        task = (given.device, hidden, config, first, size["turns"])
        row = fits(lambda task=task: program.compare(*task), f"fit(), {hidden} units, {precision}")
        if row is None:
            continue
        print(f"fit(), {hidden} units, {precision}: {row['ratio']}", flush=True)
        rows = [*rows, row]
        result = {"machine": machine(given.device), "rehearsal": given.rehearse}
        result |= {"batch_size": batch_size, "seq_len": seq_len}
        result |= {"steps": steps, "steps_not_timed": first, "wanted": len(wanted), "rows": rows}
        result["tf32"] = torch.backends.cudnn.allow_tf32  # what float32 may be rounded to
        result |= {name: least(rows, of) for name, of in lowest.items()}
        write_json(given.out / OVERHEAD, result)
    if not rows:
        raise RuntimeError("no model could be measured")
    summary = f"fit() runs at {least(rows, program.FIT)} times the speed of a bare loop or more"
    return f"{summary}; waiting at every step: {least(rows, program.WAITING)}"


def least(rows: list[dict], name: str) -> float | None:
    """Return the lowest ratio of a way to train, or None where it was not measured."""
    return min((row["ratio"][name] for row in rows if name in row["ratio"]), default=None)


def grid(given: argparse.Namespace, until: float) -> str:
    """Measure the grid of speed-gpu, point by point; the result holds its whole columns."""
    program, seconds = module("benchmarks/measure_speed.py"), sizes(given)["least"]
    if given.rehearse:
        vars(program).update(SMALL_GRID)
    result, points = begun_grid(given, program, seconds), program.grid_of(given.device)
    known = {program.key(row) for row in result["points"]}
    if known >= set(points):
        print("grid: recorded already", flush=True)
    for n, point in enumerate(points):
        if point in known:
            continue
        check_time(given, until, 5 * seconds)
        row = fits(
            lambda p=point: program.measure_point(given.device, *p, seconds), f"grid {point}"
        )
        if row is not None:
            result["points"].append(row)
            write_json(given.out / "unfinished" / GRID, result)
        is_last = n + 1 == len(points) or points[n + 1][1] != point[1]
        whole = program.whole_columns(result, points) if is_last else None
        if whole is not None:
            write_json(given.out / GRID, whole)
    return f"{len(result['points'])} of {len(points)} points of the grid"


def begun_grid(given: argparse.Namespace, program: ModuleType, seconds: float) -> dict:
    """Return the result that is whole, or was begun on this machine; else one without points."""
    results = [read_json(given.out / "unfinished" / GRID), recorded(given, GRID)]
    if len(results[1].get("points", ())) >= len(program.grid_of(given.device)):
        return results[1]
    here = (program.describe(given.device), torch.__version__, program.SEQ_LEN)
    results = [
        r for r in results if tuple(r.get(k) for k in ("device", "pytorch", "seq_len")) == here
    ]
    if results:
        return max(results, key=lambda result: len(result["points"]))
    return program.limits(given.device, seconds)


def cpu_beside_gpu(given: argparse.Namespace, until: float) -> str:
    """Train the same model on this machine's CPU and on its GPU."""
    rows = rows_of(given, BESIDE, len(sizes(given)["beside"]))
    keep_freed_memory()  # which a CPU is faster with
    for shape in sizes(given)["beside"]:
        hidden, batch_size, seq_len = shape
        if any((r["hidden_size"], r["batch_size"], r["seq_len"]) == shape for r in rows):
            print(f"CPU beside GPU, {hidden} units: recorded already", flush=True)
            continue
        check_time(given, until, 40 * sizes(given)["least"] * hidden / 1024)
        speed = {}
        for name, device in (("GPU", given.device), ("CPU", torch.device("cpu"))):
            for precision in precisions(given):
                if usable_precision(precision, device) == precision:
                    torch.manual_seed(0)
                    model = CharRNN(96, hidden, 1).to(device)
                    task = (model, batch_size, seq_len, precision, sizes(given)["least"])
                    speed[f"{name}, {precision}"] = round(training_throughput(*task))
        best = {n: max(v for k, v in speed.items() if k.startswith(n)) for n in ("GPU", "CPU")}
        row = {"hidden_size": hidden, "batch_size": batch_size, "seq_len": seq_len}
        row |= {"characters_per_second": speed, "ratio": round(best["GPU"] / best["CPU"], 2)}
        print(f"CPU beside GPU, {hidden} units: {row['ratio']} times", flush=True)
        rows = [*rows, row]
        result = {"machine": machine(given.device), "rehearsal": given.rehearse}
        result |= {"cpu_threads": torch.get_num_threads(), "rows": rows}
        result["ratio"] = max(row["ratio"] for row in rows)
        write_json(given.out / BESIDE, result)
    return "the GPU trains " + ", ".join(f"{row['ratio']}" for row in rows) + " times as fast"


def generation(given: argparse.Namespace, until: float) -> str:
    """Write text by a loop, by a CUDA graph and by generate()."""
    result = recorded(given, GENERATION)
    if result:
        print("generation: recorded already", flush=True)
    else:
        program = module("benchmarks/generation.py")
        result = {"machine": machine(given.device), "rehearsal": given.rehearse}
        result |= program.run_on_gpu(given.device, **sizes(given)["generation"])
        write_json(given.out / GENERATION, result)
    return ", ".join(f"{name} {ratio}" for name, ratio in result["ratio"].items())


def compiled_step(given: argparse.Namespace, until: float) -> str:
    """Judge CUDA graphs and torch.compile in training, within what is left of the time."""
    result = recorded(given, COMPILED)
    if result:
        print("compiled step: recorded already", flush=True)
    else:
        limit = left(given) - until
        write_json(given.out / COMPILED, judged(given, limit))
        result = read_json(given.out / COMPILED)
    ratios = [f"{name} {ratio}" for name, ratio in result["speed_over_plain"].items()]
    return ", ".join([*ratios, *(f"{name}: {why}" for name, why in result["left_out"].items())])


def judged(given: argparse.Namespace, limit: float) -> dict:
    """Return what benchmarks/compiled_step.py finds in its own process within a limit in seconds.

    Raises:
        RuntimeError: it found nothing.
    """
    path = given.out / "unfinished" / COMPILED
    path.unlink(missing_ok=True)
    command = [sys.executable, str(ROOT / "benchmarks/compiled_step.py"), "--out", str(path)]
    command += ["--device", given.device.type, "--limit", f"{limit:.0f} s"]
    environment = dict(os.environ)
    if given.rehearse:  # the same calls, without a compiler
        environment |= {"TORCH_COMPILE_DISABLE": "1", "LSTMLIB_TINY_STEP": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "preexec_fn": end_with_parent}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, **quiet)
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        print(f"compiled step: ended after {limit:.0f} s", flush=True)
    finally:
        process.kill()  # does nothing where it has ended
        process.wait()
    result = read_json(path)
    if not result:
        raise RuntimeError(f"compiled_step.py wrote nothing in {limit:.0f} s.")
    return result | {"machine": machine(given.device), "rehearsal": given.rehearse}


ITEMS = {  # name -> item, seconds that it needs, share of the stage that is for those after it
    "overhead": (overhead, 6, 0.62),
    "grid": (grid, 4, 0.38),
    "cpu beside gpu": (cpu_beside_gpu, 4, 0.3),
    "generation": (generation, 6, 0.0),
    "compiled step": (compiled_step, 9, 0.03),
}


def run(given: argparse.Namespace) -> tuple[dict[str, str], bool]:
    """Take the items in turn; return what came of each, and whether all were whole.

    What one leaves for want of time is taken up again at the end, if time is left then.
    """
    outcomes, whole, todo = {}, True, list(ITEMS)
    for last_round in (False, True):
        later = []
        for name in todo:
            item, needed, share = ITEMS[name]
            until = 1.5 if last_round else share * given.seconds
            try:
                check_time(given, 0, needed / (4 if given.rehearse else 1))
                outcomes[name] = item(given, until)
            except NoTime:
                later.append(name)
            except Exception as error:  # whatever it is, the other items can still be measured
                traceback.print_exc()
                outcomes[name], whole = f"failed: {type(error).__name__}: {error}"[:600], False
            print(f"{name}: {outcomes.get(name, 'no time left')}", flush=True)
        todo = later
    return outcomes | dict.fromkeys(todo, "no time left"), whole and not todo


def main() -> None:
    """Measure what is not recorded yet, print a table, and end with 0 if all is there."""
    given = arguments(__doc__.splitlines()[0], 60)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    print(f"speed: {machine(given.device)['device']}", flush=True)
    outcomes, whole = run(given)
    print("\n".join(f"| {name} | {outcome} |" for name, outcome in outcomes.items()), flush=True)
    sys.exit(0 if whole else 1)


if __name__ == "__main__":
    main()
