"""The patients of chapter 06: that each shows the evidence of its fault, and no other one does."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from answers.ch06 import KEY

from experiments import make_patients
from experiments.common import read_settings, sha256
from experiments.make_patients import PATIENTS, Fault
from lstmlib.batching import split
from lstmlib.cleaning import clean
from lstmlib.corpora import load_corpus
from lstmlib.course import check
from lstmlib.course.check.exercises import hints_of
from lstmlib.decoding import CorpusError
from lstmlib.diagnostics import Diagnostics, series
from lstmlib.generation import generate
from lstmlib.history import History, TrainingDiverged
from lstmlib.internals import gate_values
from lstmlib.models import CharRNN
from lstmlib.serialization import load_model
from lstmlib.settings import TrainingConfig
from lstmlib.training import evaluate, fit

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "runs" / "patients"

OF = {fault.cause: name for name, fault in PATIENTS.items()}


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


CONFIG, RESULT = read(FOLDER / "config.json"), read(FOLDER / "result.json")
HISTORIES = {name: History.load(FOLDER / name / "history.jsonl") for name in PATIENTS}


def losses(name):
    return HISTORIES[name].column("loss")[1]


# The recorded patients


def test_the_key_is_the_one_that_the_check_knows(capsys):
    assert set(OF) == set(check.CAUSES) and len(PATIENTS) == len(check.CAUSES)
    assert {name: fault.cause for name, fault in PATIENTS.items()} == KEY
    check.diagnosis(KEY)
    assert capsys.readouterr().out == "right\n"
    assert list(KEY.values()) != list(check.CAUSES)


def test_a_hint_does_not_name_the_cause(capsys):
    for patient, cause in KEY.items():
        for given in set(check.CAUSES) - {cause}:
            check.diagnosis(KEY | {patient: given})
            said = capsys.readouterr().out
            assert said.startswith(f"not yet: {patient} is not {given!r}: ")
            assert cause not in said


def test_the_hints_of_the_diagnosis_name_no_cause():
    said = " ".join(hints_of("ch06")["diagnosis"])
    assert not any(cause in said for cause in set(check.CAUSES) - {"healthy"})
    last = hints_of("ch06")["diagnosis"][-1].split()
    assert all(f"{name[-1]}:" in last for name in KEY)


@pytest.mark.parametrize("name", PATIENTS)
def test_a_folder_is_whole_and_does_not_name_the_fault(name):
    assert {p.name for p in (FOLDER / name).iterdir()} == {"history.jsonl", "model.safetensors"}
    history = HISTORIES[name]
    assert [row["step"] for row in history.rows] == list(range(1, CONFIG["steps"] + 1))
    steps, _ = series(history.rows, "gradient")
    assert steps.tolist() == list(range(1, CONFIG["steps"] + 1, CONFIG["look_every"]))
    steps, _ = history.column("valid_loss")
    assert steps.tolist() == list(
        range(CONFIG["eval_every"], CONFIG["steps"] + 1, CONFIG["eval_every"])
    )
    assert make_patients.figures(FOLDER / name) == RESULT["runs"][name]
    assert set(history.column("learning_rate")[1]) == {CONFIG["learning_rate"]}
    said = (FOLDER / name / "history.jsonl").read_text() + json.dumps([CONFIG, RESULT])
    assert not any(cause in said for cause in set(check.CAUSES) - {"healthy"})


def test_the_patients_are_those_of_the_text():
    """The text's own losses, and a model measured again, where the text is at hand."""
    try:
        text = clean(load_corpus(CONFIG["corpus"]).text)[0][: CONFIG["characters"]]
    except CorpusError:
        pytest.skip(f"{CONFIG['corpus']} is not here")
    assert sha256(text) == RESULT["text_sha256"]
    assert make_patients.ngram_losses(text) == RESULT["ngram_valid_losses"]
    for name, figures in RESULT["runs"].items():
        model, vocab = load_model(FOLDER / name / "model.safetensors")
        loss = evaluate(model.float(), split(vocab.encode(text), 0.1)[1])  # kept in float16
        assert loss == pytest.approx(figures["valid_loss"], rel=1e-3)


# What the evidence of each fault is, as a number: one side of a gap is that patient, the other side
# all others. The hints of check.diagnosis say of a patient that it is on the other side.


def spike(name):
    """The largest factor from one gradient norm to the next."""
    norms = HISTORIES[name].column("grad_norm")[1]
    return max(norms[1:] / norms[:-1])


def slowing(name):
    """By how much a step's time grows over an epoch, in units of its median: a fitted line."""
    history = HISTORIES[name]
    times = np.diff(history.column("seconds")[1], prepend=0)
    epochs = history.column("epoch")[1]
    place = np.concatenate([np.arange(n) for n in np.bincount(epochs)])
    slope, _ = np.polyfit(place, times, 1)
    return slope * max(place) / np.median(times)


def clipped_share(name):
    return HISTORIES[name].clipped_share


def last_loss(name):
    return losses(name)[-20:].mean()


def saturation(name):
    """The share of saturated values of each gate, (gates, steps)."""
    near_0, near_1 = (series(HISTORIES[name].rows, n)[1] for n in ("near_0", "near_1"))
    return np.array([near_0[gate] + near_1[gate] for gate in near_0])


def first_saturation(name):
    return saturation(name)[:, 0].mean()


@pytest.mark.parametrize(
    ("cause", "measure", "own", "others"),
    [
        ("no clipping", spike, (1000, np.inf), (0, 10)),
        ("state not detached", slowing, (1, np.inf), (-np.inf, 0.5)),
        ("missing zero_grad", clipped_share, (0.95, 1), (0, 0.5)),
        ("targets not shifted", last_loss, (0, 0.1), (1, np.inf)),
        ("saturated gates", first_saturation, (0.95, 1), (0, 0.1)),
    ],
)
def test_the_evidence_is_in_one_patient_alone(cause, measure, own, others):
    for name in PATIENTS:
        low, high = own if name == OF[cause] else others
        assert low <= measure(name) <= high, name


def test_without_clipping_the_loss_is_far_above_where_it_began():
    name = OF["no clipping"]
    assert clipped_share(name) == 0
    assert losses(name)[50:].min() > 10 * losses(name)[0]


def test_a_state_that_is_not_detached_does_no_harm_to_the_loss():
    name, healthy = OF["state not detached"], OF["healthy"]
    assert last_loss(name) == pytest.approx(last_loss(healthy), abs=0.1)
    assert 0.8 < spike(name) / spike(healthy) < 2


def test_gradients_that_pile_up_keep_the_loss_above_where_it_began():
    name = OF["missing zero_grad"]
    assert last_loss(name) > losses(name)[0]
    norms = [HISTORIES[n].column("grad_norm")[1] for n in (name, OF["healthy"])]
    assert np.median(norms[0]) > 2 * np.median(norms[1])
    assert norms[0][20:].min() > CONFIG["clip_norm"]


def test_targets_that_are_not_shifted_teach_to_copy():
    name = OF["targets not shifted"]
    assert last_loss(name) < RESULT["ngram_valid_losses"]["5"] / 10
    _, valid = HISTORIES[name].column("valid_loss")
    assert (np.diff(valid) > 0).all() and valid[-1] > 10
    for patient in PATIENTS:
        model, vocab = load_model(FOLDER / patient / "model.safetensors")
        copies = [
            set(generate(model.float(), vocab, prompt, 100, temperature=0).new) == {prompt[-1]}
            for prompt in ("ROMEO", "the king", "What", "yes")
        ]
        assert all(copies) if patient == name else not any(copies)


def test_saturated_gates_pass_no_gradient_to_the_first_layer():
    name = OF["saturated gates"]
    assert saturation(name).min() > 0.95
    valid = RESULT["runs"][name]["valid_loss"]
    assert valid == pytest.approx(RESULT["ngram_valid_losses"]["1"], abs=0.05)
    model, vocab = load_model(FOLDER / name / "model.safetensors")
    gates = gate_values(model.float(), torch.from_numpy(vocab.encode("What, ho!"))[None])
    assert all(((gate < 0.05) | (gate > 0.95)).float().mean() > 0.95 for gate in gates.values())

    def largest_share(name):
        """The most that layer 1's gradient is of the output layer's."""
        _, norms = series(HISTORIES[name].rows, "gradient")
        first = [norms[part] for part in norms if part.startswith("layer 1")]
        return max(np.linalg.norm(first, axis=0) / norms["output"])

    assert largest_share(name) < 1e-6
    assert min(largest_share(other) for other in PATIENTS if other != name) > 0.1


def test_the_healthy_one_learns():
    name = OF["healthy"]
    _, valid = HISTORIES[name].column("valid_loss")
    assert (np.diff(valid) < 0).all()
    assert valid[-1] < RESULT["ngram_valid_losses"]["1"] - 1
    assert valid[-1] == pytest.approx(last_loss(name), abs=0.2)
    assert clipped_share(name) < 0.2
    assert saturation(name).mean() < 0.2


# The script that makes them


@pytest.fixture
def config(tmp_path, text):
    (tmp_path / "book.txt").write_text(text)
    return CONFIG | {
        "corpus": str(tmp_path / "book.txt"),
        "characters": 700,
        "hidden_size": 4,
        "steps": 8,
        "batch_size": 4,
        "seq_len": 30,
        "learning_rate": 0.1,
        "eval_every": 3,
        "look_every": 4,
    }


def folder_of(path, config):
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config))
    return path


def contents(folder):
    return {path: path.read_bytes() for path in folder.glob("patient-*/*")}


def test_patients_are_made_and_those_that_are_done_are_left(tmp_path, config, ids):
    folder = folder_of(tmp_path / "patients", config)
    make_patients.main(folder)
    settings = TrainingConfig(1, batch_size=2, seq_len=10)
    model = CharRNN(int(ids.max()) + 1, 4)
    expected = fit(model, ids, None, settings, progress=False, diagnostics=Diagnostics()).rows[0]
    for name in PATIENTS:
        rows = History.load(folder / name / "history.jsonl").rows
        assert all(row.keys() == expected.keys() for row in rows)
        assert [row["diagnostics"] is not None for row in rows] == [True, False, False, False] * 2
        assert rows[0]["diagnostics"].keys() == expected["diagnostics"].keys()
        assert [row["step"] for row in rows if row["valid_loss"]] == [3, 6, 8]
        assert [row["epoch"] for row in rows] == [0] * 5 + [1] * 3
        load_model(folder / name / "model.safetensors")
    assert set(read(folder / "result.json")["runs"]) == set(PATIENTS)

    before, path = contents(folder), folder / "patient-2" / "model.safetensors"
    weights = load_model(path)[0].state_dict()
    path.unlink()  # as if it had been killed there
    make_patients.main(folder)
    after, again = contents(folder), load_model(path)[0].state_dict()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert all(before[p] == after[p] for p in before if p.parent != path.parent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip": 1.0}, "config.json has clip, which means nothing"),
        ({"look_every": 0}, "look_every is 0; it must be a whole number"),
        ({"characters": 700.0}, "characters is 700.0; it must be a whole number"),
        ({"clip_norm": 0}, "clip_norm is 0; it must be a number, above 0"),
        ({"optimizer": "Adam"}, "optimizer is 'Adam'"),
        ({"characters": 100}, "too short for one batch"),
        ({"corpus": "no-such-book"}, "no-such-book"),
    ],
)
def test_settings_without_meaning_get_one_message(tmp_path, config, change, message):
    folder = folder_of(tmp_path / "patients", config | change)
    with pytest.raises(ValueError, match=message):
        make_patients.main(folder)


def test_a_wrong_config_is_said_without_a_traceback(tmp_path, config):
    del config["seed"]
    folder = folder_of(tmp_path / "patients", config)
    command = [sys.executable, "-m", "experiments.make_patients", str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr and "config.json lacks seed" in run.stderr


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path, config):
    folder = folder_of(tmp_path / "patients", config | {"learning_rate": 1e38})
    with pytest.raises(TrainingDiverged, match="missing zero_grad: the loss of step"):
        make_patients.main(folder)


BATCH = (torch.tensor([[0, 1, 2, 3]]), torch.tensor([[1, 2, 3, 0]]))


def two_steps(fault, batch=BATCH, clip_norm=None):
    """Take the same step twice, the weights standing still; return (state, findings) of each."""
    torch.manual_seed(0)
    model = CharRNN(4, 5, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-30)
    return [
        make_patients.take_step(model, optimizer, batch, None, fault, clip_norm, None)
        for _ in range(2)
    ]


def test_without_zero_grad_gradients_add_up():
    for zero_grad, factor in ((True, 1), (False, 2)):
        (_, first), (_, second) = two_steps(Fault("", zero_grad=zero_grad))
        assert second["grad_norm"] == pytest.approx(factor * first["grad_norm"])


def test_a_state_that_is_not_detached_has_a_graph():
    for detach in (True, False):
        state, _ = two_steps(Fault("", detach=detach))[0]
        assert all(part.requires_grad != detach for part in state)


def test_without_a_shift_the_targets_are_the_inputs():
    _, copied = two_steps(Fault("", shift=False))[0]
    _, right = two_steps(Fault(""), (BATCH[0], BATCH[0]))[0]
    _, shifted = two_steps(Fault(""))[0]
    assert copied == right != shifted


def test_clipping_is_left_out_or_not():
    _, whole = two_steps(Fault("", clip=False), clip_norm=0.01)[0]
    _, clipped = two_steps(Fault(""), clip_norm=0.01)[0]
    assert whole["clipped_norm"] == whole["grad_norm"] == clipped["grad_norm"] > 0.01
    assert clipped["clipped_norm"] == 0.01


def test_a_bias_shuts_the_gates_of_all_layers_and_nothing_else():
    changes = {"seed": 1, "hidden_size": 5, "num_layers": 2}
    settings = replace(read_settings(FOLDER, make_patients.Settings), **changes)
    plain, shut = (make_patients.build(settings, Fault("", gate_bias=b), 4) for b in (None, -8.0))
    gates = gate_values(shut, BATCH[0])
    assert len(gates) == 6 and all((gate < 0.01).all() for gate in gates.values())
    candidate = slice(10, 15)
    for (name, before), after in zip(plain.named_parameters(), shut.parameters(), strict=True):
        gate_bias = name.startswith("layers.bias")
        assert torch.equal(before, after) != gate_bias
        if gate_bias:
            assert torch.equal(before[candidate], after[candidate])
