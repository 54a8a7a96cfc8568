"""What every test shares: the small profile, and no way out to the network."""

import os
import signal
import socket
import sys

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
    """Refuse PyTorch where the tests are to run without it, also where it is installed."""
    if config.getoption("--without-torch"):
        sys.meta_path.insert(0, NoTorch())


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
