import random

import numpy as np
import pytest
import torch

from lstmlib.runtime import pick_device, profile, seed_everything


@pytest.mark.parametrize("name", ["ci", "cpu", "gpu"])
def test_environment_decides(monkeypatch, name):
    monkeypatch.setenv("LSTMLIB_PROFILE", name.upper() + " ")
    assert profile() == name


@pytest.mark.parametrize(("cuda", "expected"), [(True, "gpu"), (False, "cpu")])
def test_without_environment_cuda_decides(monkeypatch, cuda, expected):
    monkeypatch.delenv("LSTMLIB_PROFILE")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert profile() == expected


def test_unknown_profile_is_named(monkeypatch):
    monkeypatch.setenv("LSTMLIB_PROFILE", "fast")
    with pytest.raises(ValueError, match="'fast'.*ci, cpu, gpu"):
        profile()


@pytest.mark.parametrize(
    ("name", "cuda", "mps", "expected"),
    [("ci", True, True, "cpu"), ("gpu", True, True, "cuda"), ("gpu", False, True, "mps")],
)
def test_device(monkeypatch, name, cuda, mps, expected):
    monkeypatch.setenv("LSTMLIB_PROFILE", name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert pick_device().type == expected


def test_gpu_profile_without_gpu_says_so(monkeypatch):
    monkeypatch.setenv("LSTMLIB_PROFILE", "gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="no CUDA or MPS"):
        pick_device()


def test_seeds_reach_all_three_generators():
    def draws():
        seed_everything(7)
        return random.random(), np.random.rand(), torch.rand(()).item()

    assert draws() == draws()
