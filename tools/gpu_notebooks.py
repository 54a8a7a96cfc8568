"""Execute the chapters in the profile gpu, and write down what each of them measured.

    python tools/gpu_notebooks.py --out FOLDER --seconds 300 [--rehearse]

Stage *notebooks* of tools/gpu.py. Each chapter becomes FOLDER/gpu-survey/NOTEBOOK.json, one row as
tools/survey.py writes it, with the GPU's name: the values of the bands, the facts that failed, the
cells that stopped, the strict cells that changed, and the time. It goes on where a check fails.

Two of the chapters that train on the GPU run at a time, and three of those that work on processors:
one after the other they would take twice as long as a call has. So each row says "beside": true,
for a reader who has the machine to himself waits less than its time says. A chapter that is
recorded with the cells that it has now, here or in benchmarks/gpu, is not run again, and none is
begun that cannot end in time. A chapter that takes longer than its bound is ended, without a row.

--rehearse executes two small notebooks in the profile ci, without CUDA, and on the same way.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
SURVEY = ROOT / "benchmarks" / "gpu" / "survey.jsonl"
"""What was recorded of earlier calls."""
SURVEYS = "gpu-survey"
ON_GPU, ON_CORES = 2, 3
"""Chapters that run at a time, on the GPU and on processors."""
ROW = "row.json"
TOO_LONG = 3
"""Exit code of a chapter that was ended before its end."""


class Chapter(NamedTuple):
    """A notebook, the least seconds that it needs, and the most that it may take."""

    path: Path
    least: float
    most: float
    on_gpu: bool


# In the order of their worth.
CHAPTERS = (
    Chapter(NOTEBOOKS / "12_your_own_book.ipynb", 90, 200, True),
    Chapter(NOTEBOOKS / "06_exploding_gradients.ipynb", 30, 150, True),
    Chapter(NOTEBOOKS / "04_lstm_in_pytorch.ipynb", 25, 150, True),
    Chapter(NOTEBOOKS / "05_training_on_gpu.ipynb", 45, 150, True),
    Chapter(NOTEBOOKS / "13_speed_and_scale.ipynb", 30, 120, True),
    Chapter(NOTEBOOKS / "00_start_here.ipynb", 45, 120, True),
    Chapter(NOTEBOOKS / "08_formal_languages.ipynb", 60, 230, False),
    Chapter(NOTEBOOKS / "07_temperature_sampling.ipynb", 30, 150, False),
    Chapter(NOTEBOOKS / "02_rnn_from_scratch.ipynb", 25, 120, False),
    Chapter(NOTEBOOKS / "03_lstm_from_scratch.ipynb", 20, 120, False),
    Chapter(NOTEBOOKS / "01_data_cleaning.ipynb", 8, 60, False),
    Chapter(NOTEBOOKS / "09_measuring_text.ipynb", 25, 120, False),
    Chapter(NOTEBOOKS / "10_five_systems.ipynb", 15, 90, False),
    Chapter(NOTEBOOKS / "11_inside_the_lstm.ipynb", 30, 150, False),
)


class Stage:
    """The chapters of one call: where their rows go, until when, in which profile."""

    def __init__(self, out: Path, end: float, rehearse: bool, gpu: str | None) -> None:
        self.out, self.end, self.rehearse, self.gpu = out, end, rehearse, gpu
        self.running: dict[Path, subprocess.Popen] = {}
        self.stopping = False
        self.lock = threading.Lock()
        self.outcomes: list[tuple[str, str]] = []

    def left(self) -> float:
        """Return the seconds that are left."""
        return self.end - time.monotonic()

    def say(self, chapter: Chapter, what: str) -> None:
        """Print a line about a chapter, and keep it for the table."""
        self.outcomes.append((chapter.path.name, what))
        print(f"{chapter.path.name}: {what}", flush=True)

    def run(self, chapter: Chapter) -> None:
        """Execute a chapter in a process of its own, unless it is recorded or cannot end."""
        recorded = self._recorded(chapter)
        if recorded or self.left() < chapter.least or self.stopping:
            self.say(chapter, recorded or f"not begun, {max(self.left(), 0):.0f} s are left")
            return
        bound = min(chapter.most, self.left())
        with tempfile.TemporaryDirectory() as work:
            code, output = self._execute(chapter, bound, work)
            row = Path(work) / ROW
            if code == 0 and row.exists():
                self.say(chapter, self._write(chapter, json.loads(row.read_text("utf-8"))))
            elif self.stopping:
                self.say(chapter, "interrupted")
            elif code == TOO_LONG:
                self.say(chapter, f"ended at its bound of {bound:.0f} s")
            else:
                self.say(chapter, "failed: " + " ".join(output.split())[-400:])

    def _execute(self, chapter: Chapter, bound: float, work: str) -> tuple[int, str]:
        """Execute a chapter; return its process's exit code, and what it printed."""
        command = [sys.executable, __file__, "--one", str(chapter.path), "--out", work]
        command += ["--seconds", str(bound), *["--rehearse"] * self.rehearse]
        with self.lock:
            if self.stopping:
                return TOO_LONG, ""
            pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
            process = subprocess.Popen(command, cwd=ROOT, **pipe)
            self.running[chapter.path] = process
        try:
            output, _ = process.communicate(timeout=bound + 5)
        except subprocess.TimeoutExpired:  # it should have ended by itself
            process.kill()
            output, _ = process.communicate()
            return TOO_LONG, output
        finally:
            self.running.pop(chapter.path, None)
        return process.returncode, output

    def _recorded(self, chapter: Chapter) -> str | None:
        """Say where a chapter is recorded; None where it is not."""
        if row_path(self.out, chapter.path).exists():
            return f"recorded in {row_path(self.out, chapter.path)}"
        lines = SURVEY.read_text(encoding="utf-8").splitlines() if SURVEY.exists() else []
        rows = [row for row in map(json.loads, lines) if row["notebook"] == chapter.path.name]
        if not self.rehearse and rows and rows[-1]["version"] == version_of(chapter.path):
            return "recorded in benchmarks/gpu/survey.jsonl"
        return None

    def _write(self, chapter: Chapter, row: dict) -> str:
        """Write a chapter's row, whole or not at all; return what to say of it."""
        from lstmlib.serialization import atomic_write

        row |= {"gpu": self.gpu, "beside": True}
        atomic_write(row_path(self.out, chapter.path), (json.dumps(row) + "\n").encode())
        wrong = [f"{len(row[name])} {name}" for name in ("facts", "stopped", "changed")]
        return f"{row['seconds']} s, {len(row['bands'])} bands; " + ", ".join(wrong)

    def stop(self) -> None:
        """End every chapter that runs, and begin none."""
        with self.lock:
            self.stopping = True
            for process in self.running.values():
                process.send_signal(signal.SIGUSR1)  # SIGTERM is nbclient's own


def version_of(notebook: Path) -> str:
    """Return what tells one version of a chapter from another: a hash of its code cells."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return hashlib.sha256("\n".join(sources).encode()).hexdigest()[:12]


def row_path(out: Path, notebook: Path) -> Path:
    """Return where a notebook's row is written."""
    return out / SURVEYS / f"{notebook.stem}.json"


def run_all(stage: Stage, chapters: list[Chapter]) -> None:
    """Run those on the GPU in one lane, and the others in another beside it."""
    on_gpu = [chapter for chapter in chapters if chapter.on_gpu]
    beside = [chapter for chapter in chapters if not chapter.on_gpu]
    with ThreadPoolExecutor(ON_GPU) as gpu, ThreadPoolExecutor(ON_CORES) as cores:
        lanes = ((gpu, on_gpu), (cores, beside))
        waiting = [pool.submit(stage.run, each) for pool, lane in lanes for each in lane]
        try:
            for one in waiting:
                one.result()
        except KeyboardInterrupt:
            stage.stop()
            raise


def rehearsal(folder: Path) -> list[Chapter]:
    """Return what a rehearsal runs: a notebook of a few cells on the "GPU", chapter 01 beside."""
    import nbformat

    cells = [
        "import torch\nfrom lstmlib.course import check",
        "from lstmlib.runtime import pick_device, profile",
        "device = pick_device()\nvalue = (torch.ones(3, device=device) / 3).sum().item()",
        "check.fact('three thirds are one', abs(value - 1) < 1e-6)",
        "check.band('05.price_of_bfloat16', 0.0)",
    ]
    ignored = {"tags": ["nbval-ignore-output"]}  # nothing is committed to compare with
    cells = [nbformat.v4.new_code_cell(source, metadata=ignored) for source in cells]
    notebook = nbformat.v4.new_notebook(cells=cells)
    path = folder / "rehearsal.ipynb"
    nbformat.write(notebook, path)
    quick = Chapter(NOTEBOOKS / "01_data_cleaning.ipynb", 1, 60, False)
    return [Chapter(path, 1, 60, True), quick]


def gpu_name() -> str | None:
    """Return the name of the GPU, or None where there is no CUDA."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


# One chapter, in a process of its own


def own_kernel(folder: Path) -> None:
    """Let the kernel "python3" be this Python, on a machine where none or another is installed.

    Jupyter's own files go into the folder, too: kernels side by side do not share a history.
    """
    spec = folder / "kernels" / "python3"
    spec.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    described = {"argv": command, "display_name": "Python 3", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(described))
    for name, part in {"JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython"}.items():
        (folder / part).mkdir()
        os.environ[name] = str(folder / part)
    others = os.environ.get("JUPYTER_PATH")
    os.environ["JUPYTER_PATH"] = os.pathsep.join([str(folder), *([others] if others else [])])


class Watch:
    """Ends a chapter's kernel when its time is over, or when the stage that began it is gone."""

    def __init__(self, seconds: float) -> None:
        self.end, self.parent = time.monotonic() + seconds, os.getppid()
        self.client = None

    def __call__(self, client: object) -> None:
        """Begin to watch; tools/survey.py calls this with the client that will run the kernel."""
        self.client = client
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while time.monotonic() < self.end and os.getppid() == self.parent:
            time.sleep(0.2)
        self.stop()

    def stop(self, *_: object) -> None:
        """Kill the kernel, and leave: what has no end yet has no row."""
        manager = getattr(self.client, "km", None)
        process = getattr(getattr(manager, "provisioner", None), "process", None)
        if process is not None:
            process.kill()
        os._exit(TOO_LONG)


def execute(notebook: Path, work: Path, seconds: float, rehearse: bool) -> None:
    """Execute one chapter, and write its row into a folder of its own.

    PyTorch is not imported here: each chapter would wait for it twice.
    """
    threads = max(1, (os.cpu_count() or 1) // (ON_GPU + ON_CORES))
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    own_kernel(work)
    sys.path.insert(0, str(ROOT / "tools"))
    import survey

    watch = Watch(seconds)
    signal.signal(signal.SIGUSR1, watch.stop)
    row = survey.survey(notebook, "ci" if rehearse else "gpu", 0, watch=watch)
    (work / ROW).write_text(json.dumps(row), encoding="utf-8")


def main() -> None:
    """Execute the chapters, or with --one one of them."""
    begun = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=Path, help="the folder for the results")
    parser.add_argument("--seconds", required=True, type=float, help="to end in")
    parser.add_argument("--rehearse", action="store_true", help="tiny, on the CPU")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    out, rehearse = arguments.out.resolve(), arguments.rehearse
    if arguments.one:
        execute(arguments.one, out, arguments.seconds, rehearse)
        return
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell has them ignored
        signal.signal(number, signal.default_int_handler)
    gpu = gpu_name()
    if not rehearse and gpu is None:
        sys.exit("PyTorch finds no CUDA device here; --rehearse runs without one.")
    stage = Stage(out, begun + arguments.seconds, rehearse, gpu)
    with tempfile.TemporaryDirectory() as folder:
        try:
            run_all(stage, rehearsal(Path(folder)) if rehearse else list(CHAPTERS))
        finally:
            print(f"\n{'chapter':<32}came of it")
            for name, what in sorted(stage.outcomes):
                print(f"{name:<32}{what}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Interrupted. The rows that were written are whole.")
