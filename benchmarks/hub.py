"""What does a class need of a shared machine: memory and processor time of every chapter?

    .venv/bin/python benchmarks/hub.py [PROFILE CHAPTER …]    ci, and all chapters, if none is named
    .venv/bin/python benchmarks/hub.py server                 what JupyterLab itself takes
    .venv/bin/python benchmarks/hub.py page                   write the figures into HUB.md

Each chapter runs in a fresh kernel, with one thread, as HUB.md sets it: two hundred kernels with a
thread for each core of a large machine would stand in each other's way. What it takes is summed
over the kernel and all processes that it starts, every tenth of a second, from /proc (so on Linux
alone). Memory of a reader's own, such as arrays, is kept apart from mapped files, such as PyTorch's
libraries: a machine holds these once if all readers share one environment. Processor time is the
whole of user and system time. Other work on the machine makes the seconds longer, the processor
time somewhat, and the memory not: how many cores it kept busy meanwhile is recorded. Writes
hub.json beside it; what it has of other chapters and profiles stays.
"""

import json
import math
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
RESULTS = Path(__file__).with_suffix(".json")
PAGE = ROOT / "HUB.md"
EVERY = 0.1  # seconds
MIB = 2**20
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
MARKS = "<!-- written by benchmarks/hub.py page -->", "<!-- end -->"
# What the page reckons with: a class, and how much of a machine stays free.
READERS, MINUTES, SPARE = 200, 90, 1.25


# What processes take


def memory(process: int) -> tuple[int, int]:
    """Return the bytes of a process that are its own, and those of the files that it maps."""
    rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
    kib = {name: int(n) for name, n in re.findall(r"^(\w+): +(\d+) kB", rollup, re.M)}
    own = kib["Pss_Anon"] + kib["Pss_Shmem"]
    return own * 1024, (kib["Rss"] - kib["Anonymous"]) * 1024


def descendants(process: int) -> list[int]:
    """Return a process and all that it started, as far as they still run."""
    found = [process]
    for each in found:
        try:
            tasks = list(Path(f"/proc/{each}/task").iterdir())
            found += [int(c) for t in tasks for c in (t / "children").read_text().split()]
        except OSError:
            continue  # it ended meanwhile
    return found


class Peak(threading.Thread):
    """Watch what this process starts; `own` and `files` are the most bytes at any one time."""

    def __init__(self):
        super().__init__(daemon=True)
        self.own = self.files = 0
        self.over = threading.Event()

    def run(self):
        """Look until `over` is set."""
        while not self.over.wait(EVERY):
            own = files = 0
            for process in descendants(os.getpid())[1:]:
                try:
                    mine, mapped = memory(process)
                except (OSError, KeyError):
                    continue  # it ended meanwhile
                own, files = own + mine, max(files, mapped)
            self.own, self.files = max(self.own, own), max(self.files, files)


def busy_seconds() -> float:
    """Return the processor seconds that this machine has spent on any program since it started."""
    user, nice, system = Path("/proc/stat").read_text().split()[1:4]
    return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK")


def chapter(path: Path) -> dict[str, float]:
    """Run a notebook in a kernel, in this process's profile; return what it took."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(NOTEBOOKS)}}
    peak = Peak()
    peak.start()
    start, busy = time.perf_counter(), busy_seconds()
    NotebookClient(notebook, timeout=3600, kernel_name="python3", resources=where).execute()
    seconds, busy = time.perf_counter() - start, busy_seconds() - busy
    peak.over.set()
    peak.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # the kernel has ended
    others = busy - used.ru_utime - used.ru_stime
    return {
        "own_mib": math.ceil(peak.own / MIB),
        "files_mib": math.ceil(peak.files / MIB),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "cores_of_others": round(max(others, 0) / seconds, 1),
        "seconds": round(seconds, 1),
    }


def server() -> dict[str, int]:
    """Start JupyterLab, let it hand out its page and a notebook; return what it took."""
    token, port = "measured", 8907
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"]
    at = f"http://127.0.0.1:{port}"
    paths = ("lab", "api/contents/notebooks/00_start_here.ipynb", "api/contents/notebooks")
    peak = Peak()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            peak.start()
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"{at}/api?token={token}").close()
                    break
                except OSError:
                    time.sleep(0.1)
            for path in paths:
                with urllib.request.urlopen(f"{at}/{path}?token={token}") as answer:
                    answer.read()
            time.sleep(2)
        finally:
            peak.over.set()
            process.terminate()
            process.wait()
    return {"own_mib": math.ceil(peak.own / MIB), "files_mib": math.ceil(peak.files / MIB)}


# Keeping it


def keep(part: str, name: str, measured: dict[str, float]) -> None:
    """Write what was measured into hub.json, beside what is there."""
    from lstmlib.serialization import atomic_write

    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    model = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.M)
    measured["on"] = f"{os.cpu_count()} cores, {model[1] if model else platform.machine()}"
    results.setdefault(part, {})[name] = measured
    atomic_write(RESULTS, (json.dumps(results, indent=2, sort_keys=True) + "\n").encode())


def measure(profile: str, chapters: list[str]) -> None:
    """Measure chapters, each in a process of its own, whose children are the chapter's alone."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if chapters and path.name[:2] not in chapters:
            continue
        with tempfile.TemporaryDirectory() as output:
            environment = os.environ | {"LSTMLIB_PROFILE": profile, "LSTMLIB_OUTPUT": output}
            environment |= ONE_THREAD
            command = [sys.executable, __file__, "--chapter", str(path)]
            run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
        if run.returncode:
            raise SystemExit(f"{path.name} did not run through; hub.json keeps what it had of it.")
        keep(profile, path.name, json.loads(run.stdout.splitlines()[-1]))
        print(path.name, run.stdout.splitlines()[-1], flush=True)


# The page


def needs(results: dict) -> dict[str, float]:
    """Return what a class needs, of the most that any chapter took."""
    runs = [run for part in ("ci", "cpu") for run in results[part].values()]
    own = max(run["own_mib"] for run in runs) + results["server"]["server"]["own_mib"]
    files = max(run["files_mib"] for run in [*runs, *results["server"].values()])
    first = results["cpu"]["00_start_here.ipynb"]["cpu_seconds"] / 60
    longest = max(run["cpu_seconds"] for run in results["cpu"].values()) / 60
    return {
        "own": own,
        # Files that a reader is the first to map count as this reader's where a limit is kept.
        "limit": math.ceil((own + files) * SPARE / 256) * 256,
        "files": files,
        "first": first,
        "longest": longest,
    }


def tables(results: dict) -> str:
    """Return what the page says in figures: a row for each chapter, and what a class needs."""
    lines = ["| chapter | profile | memory of its own | processor time |", "|---|---|---|---|"]
    for profile in ("ci", "cpu"):
        for name, run in sorted(results[profile].items()):
            spent = f"{run['cpu_seconds'] / 60:.1f} min"
            lines.append(f"| {name[:2]} | {profile} | {run['own_mib']} MiB | {spent} |")
    need = needs(results)
    gib, shared = READERS * need["own"] / 1024, need["files"]
    load = [run["cores_of_others"] for part in ("ci", "cpu") for run in results[part].values()]
    lines += [
        "",
        f"JupyterLab itself takes {results['server']['server']['own_mib']} MiB for each reader. "
        f"The files that all map, PyTorch's libraries above all, take {shared} MiB: once for the "
        "machine if the environment is shared, once for each reader if not. Meanwhile "
        f"other programs kept {min(load)} to {max(load)} cores busy, which makes processor time "
        "longer rather than shorter.",
        "",
        f"| for {READERS} readers at the same time | |",
        "|---|---|",
        f"| memory of one reader, JupyterLab and the largest kernel above | {need['own']} MiB |",
        f"| LIMIT to set for one reader, a quarter above that and its files | {need['limit']}M |",
        f"| memory, one shared environment | {gib + shared / 1024:.0f} GiB |",
        f"| memory, an environment for each | {gib + READERS * shared / 1024:.0f} GiB |",
        f"| processor time, all run chapter 00 in the profile `cpu` | "
        f"{READERS * need['first'] / 60:.1f} hours |",
        f"| cores, to be through chapter 00 within {MINUTES} minutes | "
        f"{math.ceil(READERS * need['first'] / MINUTES)} |",
        f"| cores, for the longest chapter measured within {MINUTES} minutes | "
        f"{math.ceil(READERS * need['longest'] / MINUTES)} |",
    ]
    return "\n".join(lines)


def page() -> None:
    """Write the tables into HUB.md, between its two marks."""
    from lstmlib.serialization import atomic_write

    before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    new = tables(json.loads(RESULTS.read_text()))
    atomic_write(PAGE, f"{before}{MARKS[0]}\n{new}\n{MARKS[1]}{after}".encode())


def main() -> None:
    """Do what the command line says."""
    what, *names = sys.argv[1:] or ["ci"]
    if what == "--chapter":
        print(json.dumps(chapter(Path(names[0]))))
    elif what == "server":
        keep("server", "server", server())
    elif what == "page":
        page()
    elif what in ("ci", "cpu", "gpu"):
        measure(what, names)
    else:
        raise SystemExit(f"{what} is no profile: ci, cpu or gpu. Or: server, page.")


if __name__ == "__main__":
    main()
