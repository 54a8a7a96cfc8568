"""Tests in several processes: how many, with what share of the machine, and alike in each."""

import os

import pytest


@pytest.fixture
def conftest(request):
    """The module tests/conftest.py."""
    plugins = request.config.pluginmanager.get_plugins()
    return next(p for p in plugins if hasattr(p, "LONGEST") and hasattr(p, "MOST_WORKERS"))


@pytest.mark.parametrize(
    "cores, gigabytes, workers",
    [(1, 64, 1), (2, 23, 2), (2, 4, 1), (3, 64, 3), (64, 512, 4), (8, 14, 2)],
)
def test_there_are_as_many_processes_as_cores_and_memory_allow(
    conftest, monkeypatch, cores, gigabytes, workers
):
    monkeypatch.setattr(conftest, "cores", lambda: cores)
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": gigabytes * 2**18}
    monkeypatch.setattr(conftest.os, "sysconf", sizes.get)
    assert conftest.pytest_xdist_auto_num_workers() == workers


def test_the_processes_share_the_cores(conftest, monkeypatch):
    monkeypatch.setattr(conftest, "cores", lambda: 8)
    for workers, threads in ((4, "2"), (3, "2"), (8, "1"), (16, "1")):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        conftest.pytest_xdist_setupnodes([None] * workers)
        assert os.environ["OMP_NUM_THREADS"] == threads
    monkeypatch.setenv("OMP_NUM_THREADS", "5")  # whoever sets it means it
    conftest.pytest_xdist_setupnodes([None])
    assert os.environ["OMP_NUM_THREADS"] == "5"


def test_a_name_holds_no_packed_bytes_and_a_longest_file_is_there(conftest, request):
    assert conftest.pytest_make_parametrize_id(b"\x1f\x8b" * 9, "content") == "content"
    assert conftest.pytest_make_parametrize_id(b"short", "content") is None
    assert [n for n in conftest.LONGEST if not (request.config.rootpath / n).exists()] == []


def test_notebooks_of_this_process_write_into_a_folder_of_its_own(request):
    from lstmlib.runtime import output_folder

    assert output_folder().name == "output"
    assert not output_folder().is_relative_to(request.config.rootpath)
