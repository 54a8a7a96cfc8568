"""What every test shares: the small profile, and no way out to the network."""

import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from lstmlib.vocab import Vocab

os.environ["LSTMLIB_PROFILE"] = "ci"
# No test depends on the time that a case takes: the machine may be busy.
settings.register_profile("course", deadline=None)
settings.load_profile("course")
_connect = socket.socket.connect
# A shell's background jobs start with Ctrl-C ignored; some tests send it to themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--without-torch", action="store_true", help="run what needs no PyTorch")


class NoTorch:
    """An import hook that finds no PyTorch. (None in sys.modules would be a module to SciPy.)"""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")


def pytest_configure(config):
    """Refuse PyTorch where the tests are to run without it, also where it is installed.

    Notebooks write into a folder of this process alone: a test may run a chapter while another
    process has the same one under nbval. Some print the folder's name, so it stays "output".
    """
    if config.getoption("--without-torch"):
        sys.meta_path.insert(0, NoTorch())
    own = tempfile.TemporaryDirectory(prefix="lstm-course-", ignore_cleanup_errors=True)
    config.add_cleanup(own.cleanup)
    os.environ["LSTMLIB_OUTPUT"] = str(Path(own.name) / "output")


# Several processes at once (pytest-xdist), each with whole files

MOST_WORKERS, MEMORY = 4, 6
"""At most so many processes, each with so many GiB for itself, its kernels and its browser."""
LONGEST = (
    "tests/tools/test_class_report.py",
    "tests/tools/test_gpu_rehearsal.py",
    "tests/browser/test_browser.py",
    "tests/tools/test_build_book.py",
    "tests/course/test_plots.py",
    "notebooks/06_exploding_gradients.ipynb",
    "tests/tools/test_gpu_case_d.py",
    "notebooks/07_temperature_sampling.ipynb",
    "tests/lstmlib/test_distributed.py",
    "tests/lstmlib/test_checkpoints.py",
)
"""The files that take longest, the longest first: no process is to begin one at the end."""


def cores():
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Return the number of processes for this machine, where none is asked for."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return max(1, min(MOST_WORKERS, cores(), int(memory / MEMORY)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs):
    """Share the cores among the processes, which inherit this: more threads only wait."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // len(specs))))


def pytest_make_parametrize_id(val, argname):
    """Name no test after packed bytes, which hold the time: all processes must find the same."""
    return argname if isinstance(val, bytes) and len(val) > 16 else None


def pytest_collection_modifyitems(config, items):
    """Let the processes begin with the longest files; one process alone keeps the order."""
    if hasattr(config, "workerinput"):
        order = {name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: order.get(item.nodeid.partition("::")[0], len(order)))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """Leave out a file that fails to import because it imports torch, itself or through others."""
    report = yield
    if report.failed and collector.config.getoption("--without-torch"):
        said = str(report.longrepr)
        if "No module named 'torch" in said or "import of torch" in said:
            report.outcome = "skipped"
            report.longrepr = (str(collector.path), None, "Skipped: needs PyTorch")
    return report


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Let tests talk to this machine only, so that none depends on a network."""

    def connect(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in (
            "127.0.0.1",
            "::1",
        ):
            raise OSError("tests have no network")
        return _connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture
def text():
    return "the quick brown fox jumps over the lazy dog. " * 40


@pytest.fixture
def vocab(text):
    return Vocab.from_text(text)


@pytest.fixture
def ids(text, vocab) -> np.ndarray:
    return vocab.encode(text)


@pytest.fixture
def model(vocab):
    torch = pytest.importorskip("torch")
    from lstmlib.models import CharRNN

    torch.manual_seed(0)
    return CharRNN(len(vocab), hidden_size=16, num_layers=2, dropout=0.3)
