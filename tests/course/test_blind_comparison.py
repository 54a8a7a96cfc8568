"""The blind comparison: what it shows, what it keeps, and what it finds again."""

import gc
import io
import json
import os
import re
import signal
import subprocess
import sys
import weakref
from collections import Counter
from html import unescape
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances

from lstmlib.course.widgets import (
    BlindComparison,
    blind_comparison,
    controls,
    ranking_table,
    read_choices,
)
from lstmlib.preferences import Choice, rank

NAMES = ["one", "two", "three"]
FIVE = ["v", "w", "x", "y", "z"]


def some_texts(names=NAMES, count=6):
    return {name: [f"text {k} of {name}" for k in range(count)] for name in names}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "kept" / "choices.jsonl"


@pytest.fixture
def panel(path):
    return BlindComparison(some_texts(), keep=path)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def shown(panel):
    """Return (name, index) of A and of B, from what is seen."""
    seen = [unescape(re.sub("<[^>]+>", "", html.value)) for html in panel.texts]
    found = [re.fullmatch(r"text (\d+) of (.+)", text).groups() for text in seen]
    return [(name, int(index)) for index, name in found]


def widgets(panel):
    return controls._widgets_of(panel, *panel.children)


def choose(panel, count, button="prefer_a"):
    for _ in range(count):
        getattr(panel, button).click()


# What is kept


@pytest.mark.parametrize("way", ["button", "key"])
def test_a_choice_is_kept_as_it_was_made_and_the_next_pair_is_shown(panel, path, way):
    expected = []
    for k, letter in enumerate("abbaAB"):
        (left, i), (right, j) = shown(panel)
        assert left != right
        if way == "key":
            panel.key.value = letter
            assert panel.key.value == ""
        else:
            getattr(panel, f"prefer_{letter.lower()}").click()
        if letter in "aA":
            line = {"preferred": left, "other": right, "texts": [i, j], "place": "preferred"}
        else:
            line = {"preferred": right, "other": left, "texts": [j, i], "place": "other"}
        expected.append(line)
        assert lines(path) == expected
        assert path.read_bytes().endswith(b"}\n")
        assert shown(panel) != [(left, i), (right, j)]
        assert f"So far {k + 1} choice{'s' * (k > 0)}, kept in {path}" in panel.progress.value
        assert f"Pair {k + 2}:" in panel.progress.value
    assert panel.choices == read_choices(path, NAMES)
    assert panel.choices[0] == Choice(
        NAMES.index(expected[0]["preferred"]), NAMES.index(expected[0]["other"])
    )


def test_names_are_not_seen_before_the_ranking(path):
    names = ["Apfelbaum", "Birnbaum", "Citrone"]
    panel = BlindComparison({name: [f"{k}" for k in range(9)] for name in names}, keep=path)

    def seen():
        states = [str(widget.get_state()) for widget in widgets(panel)]
        return [name for name in names if name in " ".join(states)]

    for k in range(12):
        (panel.cannot_say if k == 3 else panel.prefer_a).click()
        assert seen() == []
    panel.undo.click()
    assert seen() == []
    panel.show_ranking.click()
    assert seen() == names


def test_where_one_cannot_say_nothing_is_kept(panel, path):
    first = shown(panel)
    panel.cannot_say.click()
    second = shown(panel)
    panel.key.value = "c"
    assert first != second != shown(panel)
    assert not path.exists() and "Pair 3:" in panel.progress.value
    assert "0 choices" in panel.progress.value


@pytest.mark.parametrize("typed", ["q", "ab", "<b>", "É", "x" * 10**6, "\ud800"])
def test_another_key_is_named_and_nothing_happens(panel, path, typed):
    before = shown(panel)
    panel.key.value = typed
    assert "none of the keys" in panel.message.value and 'role="alert"' in panel.message.value
    assert panel.key.value == "" and not path.exists() and shown(panel) == before
    panel.message.value.encode()
    assert len(panel.message.value) < 200
    assert "<b>" not in panel.message.value.removeprefix('<div role="alert"><b>')
    panel.key.value = "a"
    assert panel.message.value == "" and len(lines(path)) == 1


def test_a_blank_is_no_key(panel, path):
    panel.key.value = "  "
    assert panel.key.value == "" and panel.message.value == "" and not path.exists()


# The order of the pairs


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pairs_of_names_come_equally_often_and_texts_again_only_after_all(path, seed):
    panel = BlindComparison(some_texts(FIVE, 8), keep=path, seed=seed)
    met, times, left = Counter(), Counter(), Counter()
    for k in range(200):
        (a, i), (b, j) = shown(panel)
        met[frozenset((a, b))] += 1
        times[a, i] += 1
        times[b, j] += 1
        left[a] += 1
        counts = [met[frozenset(pair)] for pair in combinations(FIVE, 2)]
        assert max(counts) - min(counts) <= 1
        for name in FIVE:
            own = [times[name, index] for index in range(8)]
            assert max(own) - min(own) <= 1
        [panel.prefer_a, panel.prefer_b, panel.cannot_say][k % 3].click()
    assert set(met.values()) == {20} and set(times.values()) == {10}
    # Each name stood 80 times in one of the two places: 40 on the left, give or take 4.5.
    assert all(22 <= left[name] <= 58 for name in FIVE)


def test_names_may_have_different_numbers_of_texts(path):
    texts = {"few": ["text 0 of few"], "many": [f"text {k} of many" for k in range(7)]}
    panel, seen = BlindComparison(texts, keep=path), []
    for _ in range(7):
        seen.append(dict(shown(panel)))
        panel.prefer_b.click()
    assert {each["few"] for each in seen} == {0}
    assert sorted(each["many"] for each in seen) == list(range(7))


def test_the_seed_decides_the_order_and_nothing_else_does(tmp_path):
    def order(seed, name, button):
        panel, seen = BlindComparison(some_texts(FIVE), keep=tmp_path / name, seed=seed), []
        np.random.seed(len(name))
        for _ in range(12):
            seen.append(shown(panel))
            getattr(panel, button).click()
        return seen

    assert order(3, "a", "prefer_a") == order(3, "other", "prefer_b") == order(3, "c", "cannot_say")
    assert order(3, "d", "prefer_a") != order(4, "e", "prefer_a")


# After a restart


def test_it_goes_on_where_the_kernel_stopped(path):
    whole = BlindComparison(some_texts(FIVE), keep=path.with_name("whole"))
    wanted = []
    for k in range(12):
        wanted.append(shown(whole))
        (whole.prefer_a if k % 3 else whole.prefer_b).click()
    seen = []
    for k in range(12):
        panel = BlindComparison(some_texts(FIVE), keep=str(path))
        assert len(panel.choices) == k
        seen.append(shown(panel))
        (panel.prefer_a if k % 3 else panel.prefer_b).click()
    assert seen == wanted
    assert path.read_bytes() == path.with_name("whole").read_bytes()


@pytest.mark.parametrize("cut", [1, 2, 20, -1])
def test_a_last_line_that_was_cut_off_is_not_counted_and_a_sentence_says_so(panel, path, cut):
    choose(panel, 3)
    data = path.read_bytes()
    start = data.rindex(b"\n", 0, -1) + 1
    end = len(data) - 2 if cut == -1 else start + cut  # -1: but for the brace
    path.write_bytes(data[:end])
    again = BlindComparison(some_texts(), keep=path)
    assert len(again.choices) == 2
    assert f"The last line of {path} was cut off" in unescape(again.message.value)
    assert path.read_bytes() == data[:end]  # reading changes nothing
    with pytest.warns(UserWarning, match="The last line of .* was cut off"):
        assert len(read_choices(path, NAMES)) == 2
    again.prefer_a.click()
    assert again.message.value == "" and len(lines(path)) == 3
    assert path.read_bytes().startswith(data[:start])
    assert len(BlindComparison(some_texts(), keep=path).choices) == 3


def test_a_last_line_that_lacks_only_its_end_is_a_choice(panel, path):
    choose(panel, 2)
    path.write_bytes(path.read_bytes()[:-1])
    again = BlindComparison(some_texts(), keep=path)
    assert len(again.choices) == 2 and again.message.value == ""
    again.prefer_a.click()
    assert len(lines(path)) == 3


@pytest.mark.parametrize("tail", [b"\0" * 100, b"\xff\xfe", b"[" * 10**5, b"{]\n\n  \n"])
def test_rubbish_at_the_end_is_cut_off_too(panel, path, tail):
    choose(panel, 2)
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    again = BlindComparison(some_texts(), keep=path)
    assert len(again.choices) == 2 and "was cut off" in again.message.value
    again.prefer_a.click()
    assert path.read_bytes().startswith(whole) and len(lines(path)) == 3


PROGRAM = """
import sys
from lstmlib.course.widgets import BlindComparison
panel = BlindComparison({"a": ["x"] * 9, "b": ["y"] * 9}, keep=sys.argv[1])
print("made", flush=True)
while True:
    panel.prefer_a.click()
"""


def test_after_a_kill_every_line_is_whole_or_not_counted(path):
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(path)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        try:
            assert process.stdout.readline() == b"made\n"
            before = path.stat().st_size if path.exists() else 0
            while not path.exists() or path.stat().st_size < before + 2000:
                assert process.poll() is None
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        panel = BlindComparison({"a": ["x"] * 9, "b": ["y"] * 9}, keep=path)
        assert len(panel.choices) > 10


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"preferred": "four", "other": "one", "texts": [0, 0], "place": "other"}', "'four'"),
        ('{"preferred": "one", "other": "<i>", "texts": [0, 0], "place": "other"}', "'<i>'"),
        (
            '{"preferred": "one", "other": "two", "texts": [6, 0], "place": "other"}',
            "text 6 of 'one'",
        ),
        ('{"preferred": "one", "other": "two", "texts": [-1, 0], "place": "other"}', "Line 2"),
        ('{"preferred": "one", "other": "two", "texts": [true, 0], "place": "other"}', "Line 2"),
        ('{"preferred": "one", "other": "two", "texts": [0], "place": "other"}', "Line 2"),
        ('{"preferred": "one", "other": "one", "texts": [0, 1], "place": "other"}', "Line 2"),
        ('{"preferred": ["one"], "other": "two", "texts": [0, 1], "place": "other"}', "Line 2"),
        ('{"preferred": "one", "other": "two", "texts": [0, 1], "place": "left"}', "Line 2"),
        ('{"preferred": "one", "other": "two"}', "Line 2"),
        ("[1, 2]", "Line 2"),
        ("rubbish\n" + '{"preferred": "one"}', "Line 2"),
    ],
)
def test_a_file_of_other_choices_is_refused_in_a_sentence_and_stays(panel, path, line, said):
    choose(panel, 1)
    data = path.read_bytes() + line.encode() + b"\n"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        BlindComparison(some_texts(), keep=path)
    assert str(path) in str(caught.value) and "another file" in str(caught.value)
    assert "\n" not in str(caught.value) and path.read_bytes() == data
    if "text 6" not in said:  # read_choices knows no texts
        with pytest.raises(ValueError, match=re.escape(said)):
            read_choices(path, NAMES)


def test_what_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        BlindComparison(some_texts(), keep=tmp_path)
    with pytest.raises(ValueError, match="cannot be read"):
        read_choices(tmp_path, NAMES)
    assert read_choices(tmp_path / "none", NAMES) == []


def test_without_a_file_named_choices_are_among_what_notebooks_write(tmp_path, monkeypatch):
    monkeypatch.setenv("LSTMLIB_OUTPUT", str(tmp_path))
    choose(BlindComparison(some_texts()), 1)
    assert len(lines(tmp_path / "choices.jsonl")) == 1


def test_a_panel_that_is_only_looked_at_leaves_no_file(panel, path):
    assert list(path.parent.iterdir()) == []


# Where nothing can be written


@pytest.fixture
def refused(monkeypatch):
    """Let every file be refused that is opened for writing, as on a read-only disk."""
    state, real = {"on": True}, open

    def refuse(file, mode="r", *arguments, **more):
        if state["on"] and set(mode) & set("wa+"):
            raise OSError(30, "Read-only file system", str(file))
        return real(file, mode, *arguments, **more)

    monkeypatch.setattr(blind_comparison, "open", refuse, raising=False)
    return state


def test_on_a_read_only_disk_it_says_that_choices_are_not_kept_and_goes_on(path, refused):
    panel = BlindComparison(some_texts(), keep=path)
    said = "not kept</b> beyond this session, as the file cannot be written (Read-only file system)"
    assert said in panel.progress.value
    first = shown(panel)
    choose(panel, 12)
    assert len(panel.choices) == 12 and shown(panel) != first and said in panel.progress.value
    panel.show_ranking.click()
    assert "after 12 choices" in panel.ranking.value
    panel.undo.click()
    assert len(panel.choices) == 11 and not path.exists()


def test_a_disk_that_fills_up_within_a_line_keeps_the_lines_before(panel, path, monkeypatch):
    choose(panel, 2)
    data = path.read_bytes()

    class Full(io.FileIO):
        def write(self, new):
            return super().write(new[:20])

    monkeypatch.setattr(blind_comparison, "open", lambda *a, **_: Full(path, "a+"), raising=False)
    choose(panel, 2)
    assert path.read_bytes() == data and "(the disk is full)" in panel.progress.value
    monkeypatch.undo()
    choose(panel, 1)
    assert len(lines(path)) == 5 and path.read_bytes().startswith(data)


def test_what_could_not_be_written_is_written_once_it_can_be(path, refused):
    panel = BlindComparison(some_texts(), keep=path)
    choose(panel, 2)
    refused["on"] = False
    choose(panel, 1)
    assert len(lines(path)) == 3 and f"kept in {path}" in panel.progress.value
    refused["on"] = True
    choose(panel, 2)
    panel.undo.click()
    refused["on"] = False
    choose(panel, 1)
    assert len(lines(path)) == 5 and read_choices(path, NAMES) == panel.choices


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_said(path):
    path.parent.mkdir()
    path.parent.chmod(0o500)
    panel = BlindComparison(some_texts(), keep=path)
    choose(panel, 1)
    assert "not kept</b>" in panel.progress.value and "Permission denied" in panel.progress.value


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    panel = BlindComparison(some_texts(), keep=tmp_path / "file" / "choices.jsonl")
    choose(panel, 1)
    assert "not kept</b>" in panel.progress.value and len(panel.choices) == 1


def test_without_any_folder_for_output_it_goes_on(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LSTMLIB_OUTPUT", str(tmp_path / "file"))
    panel = BlindComparison(some_texts())
    choose(panel, 2)
    panel.undo.click()
    assert panel.path is None and "not kept</b>" in panel.progress.value
    panel.start_again.click()
    panel.yes.click()
    assert panel.choices == []


def test_what_cannot_be_taken_out_of_the_file_is_said(panel, path, monkeypatch):
    choose(panel, 2)

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(blind_comparison, "atomic_write", refuse)
    panel.undo.click()
    assert len(panel.choices) == 1 and len(lines(path)) == 2
    assert "the choice that you undid is in it still" in panel.progress.value


# Undo, and starting again


def test_undo_takes_the_last_choice_out_and_shows_its_pair_again(panel, path):
    seen, files = [], []
    for k in range(5):
        seen.append(shown(panel))
        (panel.prefer_a if k % 2 else panel.prefer_b).click()
        files.append(path.read_bytes())
    following = shown(panel)
    panel.undo.click()
    assert shown(panel) == seen[4] and path.read_bytes() == files[3]
    panel.undo.click()
    assert shown(panel) == seen[3] and path.read_bytes() == files[2]
    panel.prefer_b.click()
    assert lines(path)[3]["place"] == "other" and shown(panel) == seen[4]
    panel.prefer_b.click()
    assert shown(panel) == following
    for _ in range(7):
        panel.undo.click()
    assert panel.choices == [] and path.read_bytes() == b"" and panel.undo.disabled
    assert shown(panel) == seen[0]


def test_undo_after_a_pass_shows_the_pair_of_the_choice(panel, path):
    chosen = shown(panel)
    panel.prefer_a.click()
    panel.cannot_say.click()
    panel.undo.click()
    assert shown(panel) == chosen and lines(path) == []


def test_undo_after_a_restart(panel, path):
    choose(panel, 2)
    last = shown(panel)
    panel.prefer_b.click()
    again = BlindComparison(some_texts(), keep=path)
    again.undo.click()
    assert shown(again) == last and len(lines(path)) == 2


def test_two_panels_on_one_file_lose_none_of_each_other(panel, path):
    other = BlindComparison(some_texts(), keep=path, seed=5)
    choose(panel, 2)
    choose(other, 2, "prefer_b")
    kept = lines(path)
    panel.undo.click()
    assert lines(path) == [kept[0], *kept[2:]]


def test_starting_again_asks_first(panel, path):
    first = shown(panel)
    assert panel.start_again.disabled and panel._question.layout.display == "none"
    choose(panel, 3)
    data = path.read_bytes()
    panel.start_again.click()
    assert panel.yes.description == "Yes, delete 3 choices"
    assert panel._question.layout.display is None and path.read_bytes() == data
    panel.no.click()
    assert panel._question.layout.display == "none" and len(panel.choices) == 3
    panel.start_again.click()
    panel.prefer_a.click()  # goes on instead
    assert panel._question.layout.display == "none" and len(panel.choices) == 4
    panel.start_again.click()
    panel.yes.click()
    assert panel.choices == [] and not path.exists() and shown(panel) == first
    assert "Pair 1:" in panel.progress.value and panel._question.layout.display == "none"
    choose(panel, 1)
    assert len(lines(path)) == 1


# The ranking


def test_the_ranking_comes_after_ten_choices_with_names_scores_and_counts(path):
    panel = BlindComparison(some_texts(FIVE), keep=path)
    choose(panel, 9)
    assert panel.show_ranking.disabled and "from 10 choices on" in panel.show_ranking.description
    panel.show_ranking.click()
    assert panel.ranking.value == ""
    choose(panel, 1)
    assert not panel.show_ranking.disabled
    assert panel.show_ranking.description == "Show the ranking"
    panel.show_ranking.click()
    expected = rank(read_choices(path, FIVE), 5)
    assert "after 10 choices" in panel.ranking.value
    rows = re.findall("<tr>(.*?)</tr>", panel.ranking.value)[1:]
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    assert [row[0] for row in cells] == [FIVE[i] for i in expected.order]
    kept = lines(path)
    for name, score, interval, won in cells:
        found = expected.intervals[FIVE.index(name)]
        numbers = [float(n.replace("−", "-")) for n in (score, *interval.split(" to "))]
        assert numbers == pytest.approx(found, abs=0.006)
        mine = sum(line["preferred"] == name for line in kept)
        all_of_it = mine + sum(line["other"] == name for line in kept)
        assert won == f"{mine} of {all_of_it} times"
    assert panel.ranking.value.count('scope="row"') == 5
    panel.prefer_a.click()  # what is seen is never of other choices than were made
    assert panel.ranking.value == ""
    panel.undo.click()
    panel.undo.click()
    assert panel.show_ranking.disabled


def test_a_reader_who_always_prefers_one_gets_it_first(path):
    panel = BlindComparison(some_texts(), keep=path)
    for _ in range(30):
        (left, _), (right, _) = shown(panel)
        order = ["two", "three", "one"]
        (panel.prefer_a if order.index(left) < order.index(right) else panel.prefer_b).click()
    panel.show_ranking.click()
    assert re.findall(r'<th scope="row"[^>]*>(.*?)<', panel.ranking.value) == order


def test_names_in_the_ranking_are_shown_as_they_are():
    table = ranking_table([Choice(0, 1)], ["<b>bold</b> & more", "\ud800"])
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; more" in table and "�" in table
    assert "1 of 1 times" in table and "after 1 choice<" in table
    with pytest.raises(ValueError, match="no choice yet"):
        ranking_table([], NAMES)


# Texts as they are


def test_markup_and_blanks_in_texts_are_shown_as_they_are(path):
    markup = "<b>x</b> & </div>\n  <script>alert(1)</script>\0\ud800"
    panel = BlindComparison({"a": [markup], "b": [" \n\t"], "c": [""]}, keep=path)
    for _ in range(3):
        for html, letter in zip(panel.texts, "AB", strict=True):
            value = html.value
            value.encode("utf-8")
            inside = re.fullmatch(r"<div ([^>]*)>(.*)</div>", value, re.S)
            assert f'aria-label="Text {letter}"' in inside[1] and "pre-wrap" in inside[1]
            assert inside[2] in (
                "&lt;b&gt;x&lt;/b&gt; &amp; &lt;/div&gt;\n  &lt;script&gt;alert(1)"
                "&lt;/script&gt;��",
                "<i>(nothing but blanks)</i>",
            )
        panel.prefer_a.click()


def test_a_long_text_can_be_scrolled_by_keys_and_a_short_one_is_no_stop(path):
    panel = BlindComparison({"a": ["x" * 400], "b": ["y" * 5000]}, keep=path)
    reached = {html.value.count("y") > 5: 'tabindex="0"' in html.value for html in panel.texts}
    assert reached == {True: True, False: False}


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({}, "of 0 names"),
        ({"one": ["a"]}, "of 1 names"),
        ({"one": ["a"], "two": []}, "no text of 'two'"),
        ({"one": ["a"], "two": "abc"}, "texts of 'two' must be a list"),
        ({"one": ["a"], "two": [None]}, "texts of 'two' must be a list"),
        ({"one": ["a"], "two": 5}, "texts of 'two' must be a list"),
        ({1: ["a"], 2: ["b"]}, "each name a str"),
        ([["a"], ["b"]], "name -> list"),
    ],
)
def test_texts_that_cannot_be_compared_are_named(path, texts, said):
    before = set(_instances)
    with pytest.raises(ValueError, match=re.escape(said)):
        BlindComparison(texts, keep=path)
    assert set(_instances) == before and not path.exists()


@pytest.mark.parametrize("seed", [-1, 0.5, None, True])
def test_a_seed_without_meaning_is_named(path, seed):
    with pytest.raises(ValueError, match="seed is"):
        BlindComparison(some_texts(), keep=path, seed=seed)


def test_texts_that_are_changed_afterwards_change_nothing(path):
    texts = some_texts()
    panel = BlindComparison(texts, keep=path)
    for own in texts.values():
        own.clear()
    choose(panel, 5)
    assert len(shown(panel)) == 2


# A panel like the others


def test_the_text_form_is_short_and_says_nothing_of_what_was_chosen(panel, path):
    assert repr(panel) == "BlindComparison(3 names)"
    choose(panel, 2)
    assert repr(panel) == repr(BlindComparison(some_texts(), keep=path)) == repr(panel)


def test_every_button_is_labelled_and_comes_in_the_order_of_reading(panel):
    order = [w for w in flat(panel) if type(w).__name__ in ("Button", "Text")]
    assert all(control.description for control in order if control is not panel.yes)
    names = ["prefer_a", "prefer_b", "cannot_say", "key", "undo", "show_ranking", "start_again"]
    assert order == [getattr(panel, name) for name in (*names, "yes", "no")]


def flat(box):
    """Return all that a box shows, in the order in which the Tab key goes through it."""
    found = []
    for child in box.children:
        found += flat(child) if hasattr(child, "children") else [child]
    return found


def test_of_a_closed_panel_nothing_is_left(path):
    class Texts(list):
        """A list that can be referred to weakly."""

    before, held = set(_instances), Texts(["a"])
    panel = BlindComparison({"one": held, "two": ["b"]}, keep=path)
    made = weakref.WeakSet(_instances[name] for name in set(_instances) - before)
    assert len(made) > 10
    choose(panel, 1)
    panel.close()
    panel.close()
    assert set(_instances) == before and repr(panel) == "BlindComparison(closed)"
    gc.collect()
    assert set(made) == {panel, panel.layout} and len(lines(path)) == 1


# The choices that are recorded


def test_the_recorded_choices_are_between_the_recorded_texts(path):
    folder = Path(__file__).parents[2] / "runs/five-checkpoints"
    kept = json.loads((folder / "texts.json").read_text())
    path.parent.mkdir()
    path.write_bytes((folder / "choices.jsonl").read_bytes())
    texts = {step: row["texts"] for step, row in kept.items()}
    panel = BlindComparison(texts, keep=path)
    assert panel.message.value == "" and len(panel.choices) >= 60
    assert panel.choices == read_choices(folder / "choices.jsonl", list(texts))
    pairs = Counter(frozenset(choice) for choice in panel.choices)
    assert len(pairs) == 10 and max(pairs.values()) - min(pairs.values()) <= 1
