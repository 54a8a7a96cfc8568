"""JupyterLab on a copy of the course, and what a reader does in it, by Playwright."""

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
from playwright.sync_api import expect

ROOT = Path(__file__).resolve().parents[2]
TO_START, TO_RUN = 60, 240
"""Seconds that JupyterLab and a kernel may take to start, and the cells of a notebook to run."""
expect.set_options(timeout=30_000)  # milliseconds; a busy machine is slow


def lay_out(folder, windowing=None):
    """Lay out the course where JupyterLab may write: it saves a notebook again and again.

    The notebooks have no outputs, so that what a test sees is of its own run.
    """
    (folder / "notebooks").mkdir()
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, folder / "notebooks" / path.name)
    for name in ("README.md", "benchmarks", "datasets", "experiments", "page", "runs", "tools"):
        (folder / name).symlink_to(ROOT / name)
    settings = json.loads((ROOT / "tools/lab_settings/overrides.json").read_text())
    if windowing:
        settings["@jupyterlab/notebook-extension:tracker"] = {"windowingMode": windowing}
    (folder / "settings").mkdir()
    (folder / "settings/overrides.json").write_text(json.dumps(settings))


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(folder, port, token):
    """Start JupyterLab as `make lab` does, with nothing that the user of this machine has set."""
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser"]
    command += [f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"]
    command += [f"--LabApp.app_settings_dir={folder / 'settings'}"]
    # Where nothing stops it, since the tests were killed, it ends after ten idle minutes or so.
    idle = ("MappingKernelManager.cull_idle_timeout", "ServerApp.shutdown_no_activity_timeout")
    command += [f"--{name}=600" for name in idle]
    command += ["--allow-root"] if os.geteuid() == 0 else []
    own = {"JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_DATA_DIR": str(folder / "data")}
    settings = {"JUPYTER_PREFER_ENV_PATH": "1", "LSTMLIB_PROFILE": "ci"}
    with open(folder / "lab.log", "w") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | own | settings,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a process group of its own
        )


def wait_until_it_answers(server, port, log):
    deadline = time.monotonic() + TO_START
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    what = "does not answer" if server.poll() is None else f"ended with code {server.returncode}"
    raise RuntimeError(f"JupyterLab {what}. Its log ends:\n{log.read_text()[-3000:]}")


def stop(server):
    """Let JupyterLab stop its kernels; then end what is left of its group."""
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(20)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


@contextmanager
def running(folder: Path, windowing: str | None = None) -> Iterator[Callable[[str], str]]:
    """Run JupyterLab in an empty folder; give a function from a notebook's name to its address.

    With the windowing mode "none", cells out of view stay in the page, as nobody has it but a test
    that counts their outputs.
    """
    lay_out(folder, windowing)
    port, token = free_port(), secrets.token_hex()
    server = start(folder, port, token)
    try:
        wait_until_it_answers(server, port, folder / "lab.log")
        # A workspace for each notebook, so that none opens beside one that was open before.
        at = f"http://127.0.0.1:{port}/lab/workspaces"
        yield lambda name: f"{at}/{name[:2]}/tree/notebooks/{name}?token={token}"
    finally:
        stop(server)


# What a reader does


def run_all_cells(page, address):
    """Open a notebook, run it by the menu, and wait until it has ended, with or without errors."""
    page.goto(address)
    # The circle above the notebook says "idle" before there is a kernel; the status bar does not.
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=1000 * TO_START)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    # While cells run, it says "Executed 3/38 cells".
    status = page.locator(".jp-Notebook-ExecutionIndicator")
    expect(status).to_contain_text(re.compile(r"Executed \d+ cells"), timeout=1000 * TO_RUN)


def slider(page, label):
    """Return the slider with a label."""
    return page.locator(".widget-slider").filter(has=page.get_by_text(label, exact=True))


def drag(page, slider, share):
    """Drag a slider's handle with the mouse to a share of its length."""
    slider.locator(".noUi-handle").hover()
    page.mouse.down()
    track = slider.locator(".noUi-base").bounding_box()
    page.mouse.move(track["x"] + share * track["width"], track["y"] + track["height"] / 2)
    page.mouse.up()


def press(slider, key):
    """Press a key while a slider has the focus."""
    slider.locator(".noUi-handle").press(key)
