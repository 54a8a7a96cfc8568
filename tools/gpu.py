"""Measure on a GPU everything that the course says of one.

    python3 tools/gpu.py STAGE …        on the machine with the GPU, in a copy of the course
    python3 tools/gpu.py collect OUT    at home: bring what came back into the course

The machine may be bare: PyTorch, NumPy, and what tools/gpu_machine.txt lists. `make gpu-pack`
builds the folder gpu-pack, which holds the rest: carry it beside the course. The stages, by worth:

    right         60 s   the tests that need CUDA; CPU and GPU compared, cell by cell
    notebooks    300 s   chapters in profile gpu: times, and the values of their bands
    speed         70 s   fit() beside a bare loop, GPU beside CPU, grid of speeds, generators
    leaderboard  190 s   the GPU recipe, one seed a call
    case-d       130 s   case D as published, as many epochs as fit

Each is bounded in time. Two calls run every stage once, each in under 6.6 minutes. What a stage
does not finish, such as a chapter, stays for a later call:

    python3 tools/gpu.py right notebooks --out OUT
    python3 tools/gpu.py speed leaderboard case-d --out OUT

A stage writes what it has as it goes, and OUT/STAGE.tar is renewed every few seconds: a call that
is cut off loses only what was at hand. The same call goes on from there while gpu-work is still on
the machine. What the course has recorded is not measured again. --rehearse runs every stage at tiny
sizes on the CPU.
"""

import argparse
import contextlib
import ctypes
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import gpu_pack

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ROOT / "tools"
BOUNDS = {"right": 60, "notebooks": 300, "speed": 70, "leaderboard": 190, "case-d": 130}
"""Seconds of each stage."""
PATIENCE = 4
"""How much longer a rehearsal may take: what else the machine does is not known."""
RENEWED_EVERY = 5.0
GRACE = 10.0
"""Seconds that a stage has to end by itself: after its bound, and after it was asked to stop."""
SHOWN = 25
LARGEST = 15 * 2**20
UNFINISHED = "unfinished"


def describe_gpu() -> dict:
    """Return what the GPU and the software on it are.

    Raises:
        SystemExit: PyTorch finds no CUDA device.
    """
    import torch

    versions = {"pytorch": torch.__version__, "python": platform.python_version()}
    if not torch.cuda.is_available():
        raise SystemExit(
            f"No GPU: PyTorch {torch.__version__} finds no CUDA device here. "
            "Run this on a machine with one, or try the stages on the CPU with --rehearse."
        )
    gpu = torch.cuda.get_device_properties(0)
    return {
        "name": gpu.name,
        "memory_bytes": gpu.total_memory,
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "cores": os.cpu_count(),
    } | versions


def _driver() -> str | None:
    """Return the version of NVIDIA's driver, or None where nvidia-smi cannot be asked."""
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.split("\n")[0].strip()


def environment(pack: Path, site: Path, rehearse: bool) -> dict[str, str]:
    """Return the environment of a stage: the course, the carried wheels, and the texts."""
    variables = gpu_pack.variables(site, pack.resolve(), ROOT)
    before = os.environ.get("PYTHONPATH")
    if before:
        variables["PYTHONPATH"] += os.pathsep + before
    profile = "ci" if rehearse else "gpu"
    return os.environ | variables | {"LSTMLIB_PROFILE": profile, "PYTHONUNBUFFERED": "1"}


def run_stage(
    name: str, work: Path, out: Path, about: dict, variables: dict, rehearse: bool, bound: float
) -> dict:
    """Run a stage within its bound; leave OUT/NAME.tar, and return what stage.json says."""
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    program = PROGRAMS / f"gpu_{name.replace('-', '_')}.py"
    command = [sys.executable, str(program), "--out", str(folder), "--seconds", str(bound)]
    command += ["--rehearse"] * rehearse
    started = time.perf_counter()

    def note(ended: str, code: int | None) -> dict:
        seconds = round(time.perf_counter() - started, 1)
        note = {"stage": name, "ended": ended, "exit_code": code, "seconds": seconds}
        note |= {"limit": bound, "rehearsal": rehearse, **about}
        note["log"] = log.read_text(encoding="utf-8", errors="replace")[-4000:]
        bundle(folder, note, out / f"{name}.tar")
        return note

    log = work / f"{name}.log"
    with log.open("w", encoding="utf-8") as file:
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            env=variables,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that what it starts ends with it
            preexec_fn=end_with_parent,
        )
        try:
            cut_off = _wait(child, bound + GRACE, lambda: note("running", None))
        finally:
            _kill(child)
    ended = "cut off" if cut_off else "whole" if child.returncode == 0 else "failed"
    return note(ended, child.returncode)


def _wait(child: subprocess.Popen, bound: float, renew: object) -> bool:
    """Wait for a stage, and renew its tar meanwhile; return whether it had to be stopped."""
    end, next_time = time.monotonic() + bound, time.monotonic() + RENEWED_EVERY
    while child.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
        if time.monotonic() >= next_time:
            renew()
            next_time = time.monotonic() + RENEWED_EVERY
    if child.poll() is not None:
        return False
    os.killpg(child.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE)
    return True


def _kill(child: subprocess.Popen) -> None:
    """End a stage, and everything that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def end_with_parent() -> None:
    """Ask Linux to end this process when its parent ends, however that comes."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def bundle(folder: Path, note: dict, path: Path) -> None:
    """Write a stage's whole files and its stage.json into a tar, whole or not at all."""
    (folder / "stage.json").write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    part = path.with_suffix(".part")
    with tarfile.open(part, "w") as tar:
        for file in sorted(folder.rglob("*")):
            inside = file.relative_to(folder)
            if inside.parts[0] == UNFINISHED or file.suffix == ".part":
                continue
            # A file may be written anew, whole or not at all, while it is looked for.
            with contextlib.suppress(FileNotFoundError):
                if file.is_file():
                    tar.add(file, str(inside))
    os.replace(part, path)
    if path.stat().st_size > LARGEST:
        mib = path.stat().st_size / 2**20
        print(f"{path.name} has {mib:.0f} MiB; over {LARGEST >> 20} it may be too large to fetch.")


def prepare(pack: Path, work: Path) -> tuple[dict, Path]:
    """Check the pack, and install its wheels; return what it says, and where they are.

    Raises:
        SystemExit: the pack is not whole.
    """
    try:
        content = gpu_pack.check_pack(pack)
        site = work / "site"
        mark, files = site / "installed", json.dumps(content["files"], sort_keys=True)
        if not mark.exists() or mark.read_text(encoding="utf-8") != files:
            shutil.rmtree(site, ignore_errors=True)
            gpu_pack.install(pack, site)
            mark.write_text(files, encoding="utf-8")
    except gpu_pack.PackError as error:
        raise SystemExit(str(error)) from error
    return content, site


def run(stages: list[str], pack: Path, out: Path, work: Path, rehearse: bool) -> int:
    """Run stages one after the other, and say how each ended; return how many failed."""
    out.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    content, site = prepare(pack, work)
    sys.path.insert(1, str(site))
    gpu = {"name": "rehearsal"} if rehearse else describe_gpu()
    print(f"GPU: {', '.join(f'{name} {value}' for name, value in gpu.items())}", flush=True)
    print(*gpu_pack.unmet(site), sep="\n", flush=True)
    code = gpu_pack.code_hash(ROOT)
    # A tree that was changed after the pack was built is of no commit.
    commit = content["commit"] if content["code"] == code else None
    about = {"commit": commit, "code": code, "gpu": gpu}
    variables, ends = environment(pack, site, rehearse), []
    for name in stages:
        bound = BOUNDS[name] * (PATIENCE if rehearse else 1)
        print(f"\n--- {name}, {bound} s at most", flush=True)
        note = run_stage(name, work, out, about, variables, rehearse, bound)
        print(*note["log"].splitlines()[-SHOWN:], sep="\n", flush=True)
        ends.append((name, note["ended"], note["seconds"]))
    print("\nstage        ended     seconds")
    for name, ended, seconds in ends:
        print(f"{name:12} {ended:9} {seconds:7.1f}")
    return sum(ended != "whole" for _, ended, _ in ends)


def main() -> None:
    """Run stages, or collect what they left."""
    if sys.argv[1:2] == ["collect"]:
        import gpu_collect

        sys.exit(gpu_collect.main(sys.argv[2:]))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stages", nargs="+", choices=list(BOUNDS), metavar="STAGE")
    parser.add_argument("--pack", type=Path, default=ROOT / "gpu-pack", help="what was carried")
    parser.add_argument("--out", type=Path, default=ROOT / "gpu-out", help="default: gpu-out")
    parser.add_argument("--work", type=Path, default=ROOT / "gpu-work")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, on the CPU")
    chosen = parser.parse_args()
    sys.exit(run(chosen.stages, chosen.pack, chosen.out, chosen.work.resolve(), chosen.rehearse))


if __name__ == "__main__":
    main()
