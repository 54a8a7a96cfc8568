"""Training on whole sequences: padding changes nothing, and a run goes on where it was."""

import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lstmlib.batching import IGNORE, PaddedBatches
from lstmlib.checkpoints import CheckpointError, Checkpoints
from lstmlib.diagnostics import Diagnostics
from lstmlib.grammars import LANGUAGES
from lstmlib.models import CharRNN
from lstmlib.settings import TrainingConfig
from lstmlib.sources import SequenceSource
from lstmlib.training import evaluate, fit

LANGUAGE = LANGUAGES["ndfa"]
VOCAB = LANGUAGE.vocab()
PAD = VOCAB.id_of(".pad")
# The last two are of no account here, but for the texts that take the sequences' place.
CONFIG = TrainingConfig(24, learning_rate=1e-2, eval_every=5, batch_size=4, seq_len=8)


def framed(count=40, seed=0):
    return [VOCAB.frame(text) for text in LANGUAGE.sample(count, seed)]


def batches(sequences=None, max_tokens=200, pad=PAD, seed=0):
    return PaddedBatches(framed() if sequences is None else sequences, max_tokens, pad, seed)


def fresh(**settings):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return CharRNN(len(VOCAB), **{"hidden_size": 12, "num_layers": 2} | settings)


def sum_of_losses(model, sequence):
    """Return the loss summed over one sequence, read alone, and how many symbols it predicts."""
    ids = torch.from_numpy(sequence)
    logits, _ = model(ids[None, :-1])
    return F.cross_entropy(logits[0], ids[1:], reduction="sum"), len(ids) - 1


def rows(history):
    """Return the rows without the clock."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]


def stop_after(step):
    """Return an on_step that presses Ctrl-C after a step."""

    def on_step(history):
        if len(history) == step:
            signal.raise_signal(signal.SIGINT)

    return on_step


def same_weights(model, other):
    pairs = zip(model.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


# Padding


@pytest.mark.parametrize("cell", ["lstm", "cifg", "gru", "rnn"])
def test_padding_changes_neither_loss_nor_gradient(cell):
    """A step on a padded batch is a step on the mean over the symbols of its sequences."""
    sequences = [VOCAB.frame(text) for text in ("ss", "sabc!abc!s", "suvw!s")]
    padded = batches(sequences)
    assert len(padded) == 1
    assert padded.padding > 0.3
    model, bare = (fresh(cell=cell).double() for _ in range(2))
    history = fit(model, padded, None, TrainingConfig(1, optimizer="sgd", learning_rate=1.0))
    losses, counts = zip(*(sum_of_losses(bare, sequence) for sequence in sequences), strict=True)
    loss = sum(losses) / sum(counts)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(bare.parameters(), CONFIG.clip_norm)
    row = history.rows[0]
    assert row["loss"] == pytest.approx(loss.item(), rel=1e-12)
    assert row["grad_norm"] == row["clipped_norm"] < CONFIG.clip_norm
    for mine, theirs in zip(model.parameters(), bare.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs - theirs.grad, rtol=1e-10, atol=1e-12)


def test_the_padding_id_changes_nothing():
    models, histories = [], []
    for pad in (PAD, len(VOCAB) - 1):
        models.append(fresh(dropout=0.3))
        torch.manual_seed(1)
        data = batches(pad=pad)
        assert data.padding > 0.02
        histories.append(rows(fit(models[-1], data, data, CONFIG)))
    assert histories[0] == histories[1]
    assert same_weights(*models)


@pytest.mark.parametrize("max_tokens", [120, 400, 10_000])
def test_evaluate_is_the_mean_over_the_symbols_of_all_sequences(max_tokens):
    sequences, model = framed(), fresh(dropout=0.3).double()
    found = evaluate(model, batches(sequences, max_tokens))
    assert model.training
    with torch.no_grad():
        each = [sum_of_losses(model.eval(), sequence) for sequence in sequences]
    losses, counts = zip(*each, strict=True)
    assert found == pytest.approx(sum(losses).item() / sum(counts), rel=1e-12)
    assert sum(counts) == batches(sequences, max_tokens).targets


def test_evaluate_leaves_the_random_numbers_alone():
    model = fresh(dropout=0.3)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    evaluate(model, batches())
    assert torch.equal(torch.get_rng_state(), before)
    assert np.random.get_state()[1].tolist() == numpy_before


# Steps


def test_every_batch_begins_with_a_state_of_zeros():
    states = []

    class Spy(CharRNN):
        def forward(self, x, state=None):
            states.append((self.training, state))
            return super().forward(x, state)

    data = batches()
    fit(Spy(len(VOCAB), 8, 1), data, data, CONFIG)
    assert sum(training for training, _ in states) == CONFIG.steps
    assert len(states) == CONFIG.steps + 5 * len(data)  # validated at 5, 10, 15, 20 and 24
    assert all(state is None for _, state in states)


def test_fit_takes_the_steps_of_a_bare_loop_across_epochs():
    model, bare, data = fresh(), fresh(), batches()
    steps = 2 * len(data) + 1
    assert steps > 7
    config = TrainingConfig(steps, learning_rate=0.5, optimizer="sgd", clip_norm=None)
    fit(model, data, None, config)
    optimizer = torch.optim.SGD(bare.parameters(), lr=0.5)
    for step in range(steps):
        x, y = map(torch.from_numpy, data.batch(step % len(data), epoch=step // len(data)))
        optimizer.zero_grad()
        logits, _ = bare(x)
        F.cross_entropy(logits[y != IGNORE], y[y != IGNORE]).backward()
        optimizer.step()
    for mine, theirs in zip(model.parameters(), bare.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_history_counts_epochs_and_symbols():
    data = batches()
    history = fit(fresh(), data, None, TrainingConfig(2 * len(data) + 1))
    epochs = [row["epoch"] for row in history.rows]
    assert epochs == [0] * len(data) + [1] * len(data) + [2]
    seen = [row["characters"] for row in history.rows]
    assert seen[len(data) - 1] == data.targets
    assert seen[2 * len(data) - 1] == 2 * data.targets
    of_each = [int((data.batch(k, 0)[1] != IGNORE).sum()) for k in range(len(data))]
    assert np.diff([0, *seen[: len(data)]]).tolist() == of_each


def test_training_and_validating_on_the_same_batches_is_no_matter():
    data, plain, disturbed = batches(), fresh(), fresh()
    every_step = TrainingConfig(12, eval_every=1)
    history = fit(plain, data, None, every_step)
    others = fit(disturbed, data, data, every_step)
    assert history.column("loss")[1].tolist() == others.column("loss")[1].tolist()
    assert same_weights(plain, disturbed)


def test_a_text_can_be_validated_on():
    text = np.concatenate(framed())
    history = fit(fresh(), batches(), text, TrainingConfig(2))
    assert history.best_valid_loss == pytest.approx(np.log(len(VOCAB)), abs=0.3)


def test_diagnostics_of_sequences():
    history = fit(fresh(), batches(), None, TrainingConfig(3), diagnostics=Diagnostics())
    for row in history.rows:
        gradient = row["diagnostics"]["gradient"]
        total = sum(norm**2 for norm in gradient.values()) ** 0.5
        assert total == pytest.approx(row["grad_norm"], rel=1e-5)


def test_a_small_network_learns_that_no_string_mixes_the_words():
    """One that knows only how often each symbol comes has far more nats than the language."""
    data, unseen = batches(framed(400), 2000), batches(framed(100, seed=1), 2000)
    targets = np.concatenate([sequence[1:] for sequence in unseen.sequences])
    shares = np.bincount(targets) / len(targets)
    by_frequency = -np.log(shares[targets]).mean()
    model = fresh(hidden_size=32, num_layers=1)
    history = fit(model, data, unseen, TrainingConfig(120, learning_rate=2e-2))
    assert by_frequency > 2
    assert LANGUAGE.floor * 0.8 < history.best_valid_loss < 0.2 * by_frequency


# Checkpoints


def start(folder, data=None, config=CONFIG, on_step=None, valid=None, seed=1, every=1000):
    """Train in a folder as a script would that is simply started again; return what it left."""
    model = fresh(dropout=0.3)
    torch.manual_seed(seed)
    data = batches() if data is None else data
    valid = batches(framed(10, seed=7)) if valid is None else valid
    checkpoints = Checkpoints(folder, VOCAB, every)
    return model, fit(model, data, valid, config, on_step, checkpoints)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupts."""
    return start(tmp_path_factory.mktemp("whole") / "run")


EPOCH = len(batches())


@pytest.mark.parametrize("step", [1, EPOCH - 1, EPOCH, EPOCH + 1, 23])
def test_resumed_it_is_the_run_that_was_never_stopped(tmp_path, whole, step):
    assert 2 < EPOCH < CONFIG.steps / 2
    _, stopped = start(tmp_path, on_step=stop_after(step))
    assert len(stopped) == step
    torch.rand(7), np.random.rand()  # what happens in between does not matter
    model, history = start(tmp_path, seed=5)
    assert rows(history) == rows(whole[1])
    assert same_weights(model, whole[0])


def test_killed_between_two_checkpoints_in_the_second_epoch(tmp_path, whole):
    def die(history):
        if len(history) == EPOCH + 3:
            raise MemoryError

    with pytest.raises(MemoryError):
        start(tmp_path, on_step=die, every=EPOCH + 1)
    newest = Checkpoints(tmp_path, VOCAB).paths[-1]
    assert newest.name == f"step-{EPOCH + 1:08}.safetensors"
    model, history = start(tmp_path, seed=5)
    assert rows(history) == rows(whole[1])
    assert same_weights(model, whole[0])


def test_a_run_on_sequences_goes_on_with_more_steps_and_another_padding(tmp_path, whole):
    start(tmp_path, config=replace(CONFIG, steps=10))
    model, history = start(tmp_path, batches(pad=5))
    assert rows(history) == rows(whole[1])
    assert same_weights(model, whole[0])


def moved(sequences):
    """The same ids in the same order, cut into sequences in another way."""
    first, second, *rest = sequences
    return [first[:-1], np.concatenate([first[-1:], second]), *rest]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: batches(max_tokens=201), "max_tokens = 200, not 201"),
        (lambda: batches(seed=1), "shuffling seed = 0, not 1"),
        (lambda: batches(framed()[:-1]), "other texts"),
        (lambda: batches(framed()[::-1]), "other texts"),
        (lambda: batches(moved(framed())), "other texts"),
        (lambda: np.concatenate(framed()), "other texts"),
    ],
    ids=["max_tokens", "seed", "fewer", "reversed", "cut anew", "a text"],
)
def test_other_sequences_are_refused(tmp_path, change, message):
    start(tmp_path, on_step=stop_after(2))
    with pytest.raises(CheckpointError, match=message):
        start(tmp_path, change())


def test_sequences_are_refused_where_a_text_was_trained_on(tmp_path):
    start(tmp_path, np.concatenate(framed()), on_step=stop_after(2))
    with pytest.raises(CheckpointError, match="other texts"):
        start(tmp_path)


def test_other_sequences_to_validate_on_are_refused(tmp_path):
    start(tmp_path, on_step=stop_after(2))
    with pytest.raises(CheckpointError, match="other texts"):
        start(tmp_path, valid=batches(framed(10, seed=8)))


def test_max_tokens_and_seed_may_come_from_numpy(tmp_path, whole):
    data = batches(max_tokens=np.int64(200), seed=np.int32(0), pad=np.int64(PAD))
    assert rows(start(tmp_path, data)[1]) == rows(whole[1])


# Refused


def test_accumulation_is_refused():
    with pytest.raises(ValueError, match="accumulate = 1.*Lower max_tokens"):
        fit(fresh(), batches(), None, TrainingConfig(3, accumulate=2))


@pytest.mark.parametrize(("count", "refused"), [(1, False), (2, True)])
def test_several_processes_are_refused(count, refused):
    source = SequenceSource(batches(), torch.device("cpu"))
    if not refused:
        source.check(CONFIG, SimpleNamespace(count=count))
        return
    with pytest.raises(ValueError, match="in one process"):
        source.check(CONFIG, SimpleNamespace(count=count))


@pytest.mark.parametrize("which", ["training", "validation"])
def test_ids_outside_the_vocabulary_are_refused(which):
    for wrong in (len(VOCAB), -1):
        data = {"training": batches(), "validation": batches()}
        data[which] = batches([*framed(), np.array([1, wrong, 2])])
        with pytest.raises(
            ValueError, match=f"{wrong} in the {which} text is no id; .* 0 … 14; build the model"
        ):
            fit(fresh(), data["training"], data["validation"], CONFIG)


@pytest.mark.parametrize("pad", [len(VOCAB), -1])
def test_a_padding_id_outside_the_vocabulary_is_refused(pad):
    with pytest.raises(ValueError, match=f"The padding id is {pad}; it must be .* from 0 to 14"):
        fit(fresh(), batches(pad=pad), None, CONFIG)
    with pytest.raises(ValueError, match=f"The padding id is {pad}; it must be .* from 0 to 14"):
        fit(fresh(), batches(), batches(pad=pad), CONFIG)
