"""What every test shares: the small profile, and no way out to the network."""

import os
import signal
import socket

import numpy as np
import pytest
import torch

from lstmlib.models import CharRNN
from lstmlib.vocab import Vocab

os.environ["LSTMLIB_PROFILE"] = "ci"
_connect = socket.socket.connect
# A shell's background jobs start with Ctrl-C ignored; some tests send it to themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
def model(vocab) -> CharRNN:
    torch.manual_seed(0)
    return CharRNN(len(vocab), hidden_size=16, num_layers=2, dropout=0.3)
