import itertools
import platform
import subprocess
import sys

import pytest
import torch

from lstmlib import throughput
from lstmlib.models import LAYERS, CharRNN
from lstmlib.precision import has_bfloat16

CPU = torch.device("cpu")


def test_seconds_per_call_is_the_median_without_the_warm_up(monkeypatch):
    durations = [100.0] * 3 + [1.0, 9.0, 2.0, 3.0, 4.0]  # of three calls that warm up, and of five
    clock, calls = [0.0], itertools.count()

    def call():
        clock[0] += durations[next(calls)]

    monkeypatch.setattr(throughput.time, "perf_counter", lambda: clock[0])
    assert throughput.seconds_per_call(call, CPU) == 3.0
    assert next(calls) == 8


def test_seconds_per_call_waits_for_the_device_before_it_reads_the_clock(monkeypatch):
    events = []
    monkeypatch.setattr(throughput, "synchronize", lambda device: events.append("wait"))
    real = throughput.time.perf_counter
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: events.append("read") or real())
    throughput.seconds_per_call(lambda: events.append("call"), CPU, warm_up=1, least=0)
    assert events == ["call", "wait"] + ["read", "call", "wait", "read"] * 5


def test_between_two_readings_a_busy_device_takes_as_many_calls_as_fill_them(monkeypatch):
    waits, calls, clock = [], [], [0.0]
    monkeypatch.setattr(throughput, "synchronize", lambda device: waits.append(len(calls)))
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: clock[0])

    def call():
        calls.append(1)
        clock[0] += 0.25

    assert throughput.seconds_per_call(call, CPU, warm_up=1, least=0, reading=1.0) == 0.25
    assert waits == [1, 2, 6, 10, 14, 18, 22]  # one call to see how long one takes, then four each
    waits.clear(), calls.clear()
    assert throughput.seconds_per_call(call, CPU, warm_up=0, least=7, reading=1.0) == 0.25
    assert len(calls) == 1 + 4 * 7


PAGE_FAULTS = """
import resource
import torch
from lstmlib.throughput import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(64 * 2**18)  # 64 MB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

given_back = min(faults() for _ in range(5))
can = keep_freed_memory()
print(given_back, can, sorted(faults() for _ in range(41))[20])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc")
@pytest.mark.slow
def test_freed_memory_that_is_kept_is_not_mapped_anew():
    # Up to five of the first calls still map memory anew: glibc before 2.38 cannot put an aligned
    # array into a free piece of the very same size. Hence the median of many.
    said = subprocess.run([sys.executable, "-c", PAGE_FAULTS], capture_output=True, text=True)
    given_back, can, kept = said.stdout.split()
    assert can == "True"
    assert int(given_back) >= 32  # 2 MB each at most
    assert int(kept) < int(given_back) / 10


def test_elsewhere_freed_memory_is_left_alone(monkeypatch):
    monkeypatch.setattr(throughput.platform, "libc_ver", lambda: ("", ""))
    assert not throughput.keep_freed_memory()


@pytest.mark.parametrize("cell", LAYERS)
def test_operations_per_character_by_hand(cell):
    v, e, h = 7, 3, 5
    rows = {"lstm": 4, "cifg": 4, "gru": 3, "rnn": 1}[cell] * h
    inner = rows * h + rows * h + rows * h + h * v  # Wh, the upper layer's Wx and Wh, the output
    model = CharRNN(v, h, 2, e, cell=cell)
    assert throughput.flops_per_character(model) == 6 * (rows * e + inner)
    assert throughput.flops_per_character(CharRNN(v, h, 2, cell=cell)) == 4 * rows * v + 6 * inner


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_speed_trains(precision, monkeypatch):
    seconds = []

    def once(call, device, least, reading):
        call()
        call()  # the second goes on from the first one's state
        seconds.append(device)
        return 0.5

    monkeypatch.setattr(throughput, "seconds_per_call", once)
    model = CharRNN(7, 5, 1)
    before = model.output.weight.clone()
    if precision == "bfloat16" and not has_bfloat16(CPU):
        with pytest.raises(ValueError, match="cannot train in bfloat16"):
            throughput.training_throughput(model, 4, 8, precision)
        return
    assert throughput.training_throughput(model, 4, 8, precision) == 4 * 8 / 0.5
    assert not torch.equal(model.output.weight, before)


def test_speeds_of_the_device_count_what_they_should(monkeypatch):
    def two_seconds(call, device, least, reading):
        call()
        return 2.0

    monkeypatch.setattr(throughput, "seconds_per_call", two_seconds)
    assert throughput.matmul_throughput(CPU, 64) == 64**3
    assert throughput.copy_bandwidth(CPU, 1) == 2**20
