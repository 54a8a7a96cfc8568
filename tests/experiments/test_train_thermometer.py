import json

import pytest
import torch

from experiments import train_thermometer
from experiments.train_thermometer import main
from lstmlib.thermometer import recipe

PROSE = "The price of bread was high, and I was hungry: a cat sat on the mat, and a rat ran. "


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def folder(tmp_path):
    """Settings of runs on a book and on a piece of it."""
    (tmp_path / "book.txt").write_text(PROSE * 40, encoding="utf-8")
    source = {"kind": "prose", "registry": "course", "package": str(tmp_path / "book.txt")}
    source |= {"version": "", "files": [], "licence": "none"}
    whole = {"name": "whole", "source": "book", "budgets": [4000, 6000]}
    piece = {"name": "piece", "source": "book", "start": 500, "length": 1000, "budgets": [2000]}
    config = {"seed": 1, "sources": {"book": source}, "texts": [whole, piece]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


def test_every_text_has_a_run_of_each_of_its_budgets(folder, one_thread):
    main(folder, folder / "texts")
    result = result_of(folder)
    assert set(result["texts"]) == {"whole", "piece"}
    assert result["texts"]["piece"]["characters"] == 1000
    assert list(result["runs"]) == ["whole 4000", "whole 6000", "piece 2000"]
    for name, run in result["runs"].items():
        text, budget = name.split()
        size = result["texts"][text]["characters"]
        model, training = recipe(size, result["texts"][text]["alphabet"], int(budget))
        read = training.steps * training.batch_size * training.seq_len
        assert run["characters"] == read and run["hidden_size"] == model["hidden_size"]
        assert run["valid_loss"] <= run["last_loss"] and run["best_at"] <= read
        assert run["training_seconds"] > 0 and run["precision"] in ("bfloat16", "float32")
        assert run["device"] and run["versions"]["torch"] == torch.__version__
    assert not list(folder.glob("step-*"))


def test_what_is_done_is_not_trained_again_and_what_broke_off_goes_on(
    folder, one_thread, monkeypatch
):
    train = train_thermometer.train

    def broken(folder, text, budget, seed, device):
        if budget == 6000:
            raise KeyboardInterrupt
        return train(folder, text, budget, seed, device)

    monkeypatch.setattr(train_thermometer, "train", broken)
    with pytest.raises(KeyboardInterrupt):
        main(folder, folder / "texts")
    before = result_of(folder)["runs"]
    assert set(before) == {"whole 4000"}
    monkeypatch.setattr(train_thermometer, "train", train)
    main(folder, folder / "texts")
    after = result_of(folder)["runs"]
    assert len(after) == 3
    assert {name: after[name] for name in before} == before  # with their seconds: not run again


def test_a_missing_text_and_another_one_are_named(folder, one_thread, capsys):
    main(folder, folder / "texts")
    result = result_of(folder)
    for name in ("whole 4000", "piece 2000"):
        del result["runs"][name]
    result["texts"]["whole"]["sha256"] = "0"
    (folder / "result.json").write_text(json.dumps(result))
    capsys.readouterr()
    main(folder, folder / "texts")
    said = capsys.readouterr().out
    assert "whole is another text than the one that was trained on; it is left out." in said
    assert set(result_of(folder)["runs"]) == {*result["runs"], "piece 2000"}
    (folder / "book.txt").unlink()
    (folder / "result.json").unlink()
    main(folder, folder / "texts")
    assert "whole: " in capsys.readouterr().out and not (folder / "result.json").exists()
