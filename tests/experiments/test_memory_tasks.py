"""The experiment with brackets and copies: sequences, scores, networks, tables."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from rich.console import Console

from experiments.memory import memory, memory_network, memory_tables
from experiments.memory.memory_brackets import Brackets
from experiments.memory.memory_copying import Copying
from experiments.memory.memory_parts import TENTHS, tenth_of

BRACKETS = Brackets(kinds=3, letters=2, depth=3, length=20)
COPYING = Copying(symbols=4, count=3, longest=6)


def test_brackets_close_those_that_were_opened_last_and_walks_say_where():
    inputs, targets = BRACKETS.draw(200, 1, "train")
    codes = np.concatenate([inputs[:, :1], targets], axis=1)
    # All closing brackets look alike.
    seen = np.where((codes >= 3) & (codes < 6), 3, codes)
    np.testing.assert_array_equal(seen[:, :-1], inputs)
    walk = BRACKETS.walk(codes)
    deepest = 0
    for row, height, distance, around in zip(codes, *walk):
        stack = []
        for place, code in enumerate(row):
            assert height[place] == len(stack)
            deepest = max(deepest, len(stack))
            if 3 <= code < 6:
                kind, opened, others = stack.pop()
                assert (kind, place - opened) == (code - 3, distance[place])
                assert others == around[place]
                if stack:
                    stack[-1][2] = True
            else:
                assert distance[place] == 0 and not around[place]
            if code < 3:
                stack.append([code, place, False])
    assert deepest == 3


def test_the_entropy_is_that_of_the_counts():
    inputs, targets = BRACKETS.draw(4000, 1, "train")
    codes = np.concatenate([inputs[:, :1], targets], axis=1)
    walk = BRACKETS.walk(codes)
    surprise = BRACKETS.surprise(codes, walk.height)
    for height in range(4):
        here = walk.height == height
        closing = (codes >= 3) & (codes < 6)
        # The kind of a closing bracket is no news.
        news = np.where(closing, 3, codes)[here]
        shares = np.unique(news, return_counts=True)[1] / news.size
        entropy = -(shares * np.log2(shares)).sum()
        assert surprise[here].mean() == pytest.approx(entropy, abs=0.02)


def test_copies_are_said_again_after_the_delay():
    inputs, targets = COPYING.draw(300, 1, "train")
    delays = set()
    for row, symbols in zip(inputs, targets):
        first = np.flatnonzero(row < 4)[0]
        np.testing.assert_array_equal(row[first : first + 3], symbols)
        rest = row[first + 3 :].tolist()
        delay = rest.index(5)
        delays.add(delay)
        assert rest == [4] * delay + [5, 4, 4] and len(row) == COPYING.length
    assert delays == set(range(1, 7)) and COPYING.unscored + 3 == COPYING.length


@pytest.mark.parametrize("task", [BRACKETS, COPYING], ids=lambda task: task.name)
def test_no_sequence_of_the_test_can_occur_in_training(task):
    tenths = []
    for part in TENTHS:
        inputs, targets = task.draw(400, 5, part)
        again, _ = task.draw(400, 5, part)
        np.testing.assert_array_equal(inputs, again)
        keys = np.hstack([inputs[:, :1], targets]) if task is BRACKETS else targets
        tenths.append(set(tenth_of(keys).tolist()))
    assert tenths == [set(range(8)), {8}, {9}]


def test_brackets_are_scored_where_they_close_and_by_their_distance():
    inputs, targets = BRACKETS.draw(200, 1, "test")
    right = np.log(1e-9 + np.eye(8)[targets])
    found = BRACKETS.measure(right, inputs, targets)
    assert found["bits"] == pytest.approx(0, abs=1e-6) and 1.5 < found["floor"] < 2.5
    assert set(found["accuracy"].values()) == {1.0}
    # A letter that is predicted does not count, the wrong kind does.
    wrong = np.roll(right[..., 3:6], 1, axis=-1)
    logits = np.concatenate([right[..., :3], wrong, 99 + right[..., 6:]], axis=-1)
    found = BRACKETS.measure(logits, inputs, targets)
    assert set(found["accuracy"].values()) == {0.0}
    found = BRACKETS.measure(0 * right, inputs, targets)
    assert found["bits"] == pytest.approx(3)


def test_copies_are_scored_by_their_delay():
    inputs, targets = COPYING.draw(300, 1, "test")
    long = (inputs[:, :2] >= 4).all(axis=1)  # whose delay is 4 at most
    logits = np.where(long[:, None, None], np.eye(4)[targets], -np.eye(4)[targets])
    found = COPYING.measure(logits, inputs, targets)["accuracy"]
    assert (found["1 to 2"], found["3 to 4"], found["5 to 6"]) == (1, 1, 0)
    assert found["all"] == pytest.approx(long.mean())


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_networks_have_the_weights_that_are_counted(cell):
    gates = len(memory_network.GATES[cell])
    layer = memory_network.CELLS[cell][0](48, return_sequences=True, name=cell)
    model = memory_network.build(COPYING, cell, layer)
    assert model.count_params() == memory_network.total(COPYING, cell, 48)
    assert model.output_shape == (None, 3, 4)
    alone = memory_network.unconnected(COPYING, cell, 48, (16, 16))
    live = memory_network.live_weights(alone, cell)
    assert set(live["recurrent_kernel"].values()) == {0}
    assert set(live["kernel"].values()) == {16 * 48}
    counted = memory_network.total(COPYING, cell, 48) - gates * 48 * 48
    assert memory_network.parameters(alone) == counted
    keras.utils.set_random_seed(1)
    sparse = memory_network.sparse(COPYING, cell, 160, (16, 16), 0.9)
    wanted = memory_network.total(COPYING, cell, 160, 0.9)
    assert memory_network.parameters(sparse) == pytest.approx(wanted, abs=128)
    small = memory_network.small_units(COPYING, cell, 160, 0.9)
    assert memory_network.total(COPYING, cell, small) == pytest.approx(wanted, rel=0.03)


def test_rates_are_chosen_by_validation_with_a_seed_of_their_own(tmp_path, monkeypatch, capsys):
    """Figures are made up: best at twice the rate that the search begins with."""
    seen = []

    def trained(row, recipe, task, folder, console):
        begins = memory.ROWS.get(row, memory.ROWS[memory.PRUNED])["learning_rate"]
        error = abs(np.log(recipe.learning_rate / 2 / begins))
        seen.append((row, recipe))
        return {
            "validation": {"bits": error},
            "test": {"bits": 1.5, "floor": 1.0, "accuracy": {"all": 0.5, "far": None}},
            "parameters": 1234,
            "live_weights": dict.fromkeys(("kernel", "recurrent_kernel"), {"input": 512}),
            "seconds": 1.0,
            "start_seconds": 1.0,
        }

    monkeypatch.setattr(memory, "trained", trained)
    arguments = ["--seeds", "3", "--trials", "--tasks", "brackets", "--cells", "lstm"]
    assert memory.main([*arguments, "--output", str(tmp_path)]) == 0
    tables = json.loads((tmp_path / "memory.json").read_text())["tables"]
    assert list(tables[0]["rows"]) == list(memory.ROWS)
    for row, one in tables[0]["rows"].items():
        assert one["recipe"]["learning_rate"] == 2 * memory.ROWS[row]["learning_rate"]
        assert len(one["seeds"]) == 3 and len(tables[0]["rates"][row]) == 4
    starts = {recipe.start_rate for _, recipe in seen if recipe.kind == "pruned"}
    assert starts == {2 * memory.ROWS[memory.DENSE]["learning_rate"], 0.0}
    assert {recipe.units for row, recipe in seen if row == memory.PRUNED} == {128, 256}
    assert list(tables[1]["rows"]) == [*memory.LARGER, "- each gate by itself", *memory.LEVERS]
    assert all(len(one["seeds"]) == 1 for one in tables[1]["rows"].values())
    for row, recipe in seen:
        tuned = recipe.learning_rate == 2 * memory.ROWS.get(row, {}).get("learning_rate", 0)
        assert recipe.seed == 0 or tuned or row.startswith("-")
    assert "closing brackets right, in per cent; a guess: 25" in capsys.readouterr().out


def test_tables_show_the_spread_of_gates():
    lives = [{"kernel": {"a": 256}, "recurrent_kernel": {"a": 512 * n, "b": 256}} for n in (1, 3)]
    recipe = dataclasses.replace(memory.Recipe(), units=64)
    made = memory_tables.gates_table("t", {"row": (recipe, [{"live_weights": x} for x in lives])})
    console = Console(width=120, record=True)
    console.print(made)
    (line,) = (line for line in console.export_text().splitlines() if "row" in line)
    cells = [cell.strip() for cell in line.split("│")[1:-1]]
    assert cells == ["row", "4 (2 to 6)", "1", "16", "1"]


def test_bad_arguments_are_refused_before_anything_is_trained(tmp_path, capsys):
    output = tmp_path / "out"
    assert memory.main(["--units", "24", "--output", str(output)]) == 2
    assert " ".join(capsys.readouterr().out.split()) == (
        "error: `--steps` and `--seeds` must be at least 1, `--units` a multiple of 16. Received: "
        "--steps=1500, --seeds=1, --units=24"
    )
    assert not output.exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Gates have lost all blocks")
@pytest.mark.filterwarnings("ignore:Pruning stops at the last block of a gate")
def test_a_quick_run_trains_every_row_and_goes_on_where_it_was(tmp_path, monkeypatch):
    arguments = ["--quick", "--cells", "lstm", "--output", str(tmp_path)]
    assert memory.main(arguments) == 0
    tables = json.loads((tmp_path / "memory.json").read_text())["tables"]
    assert [one["task"]["name"] for one in tables] == ["brackets", "copying"]
    for one in tables:
        (figures,) = one["rows"]["no recurrent kernel"]["seeds"]
        assert not any(figures["live_weights"]["recurrent_kernel"].values())
    monkeypatch.setattr(memory.trained.__globals__["keras"], "Model", None)
    assert memory.main(arguments) == 0
    assert json.loads((tmp_path / "memory.json").read_text())["tables"] == tables
