import dataclasses
import json
import math

import numpy as np
import pytest

from experiments.common import search
from experiments.navigation import (
    navigation,
    navigation_conditions,
    navigation_measuring,
    navigation_training,
    navigation_world,
)
from experiments.navigation.navigation_conditions_tables import below, error_table, strength_table

WORLD = navigation_world.World(side=0.7, steps=7, cells=48)
RECIPE = navigation_training.Recipe(units=24, steps=40, batch=5, masks=4, seed=3)


def parts_of(recipe):
    """Errors that a strength of 0.03 makes least on validation, and one of 1 on the test."""
    distance = {"validation": 0.03, "test": 1.0}
    return {
        "gradient": [0.1, 0.2],
        **{part: 5 + abs(math.log(recipe.strength / at)) for part, at in distance.items()},
    }


def test_the_search_goes_downhill_and_has_worse_neighbours_on_both_sides():
    asked = []

    def error(value):
        asked.append(value)
        return (value - 4) ** 2

    errors = search.descend(error, (1, 2, 3, 4, 5, 6), 2, strides=(1,))
    assert errors == {1: 9, 2: 4, 3: 1, 4: 0, 5: 1}
    assert asked == [2, 1, 3, 4, 5]  # each once
    assert list(search.descend(error, (1, 2, 3), 3)) == [1, 2, 3]
    assert list(search.descend(error, (4, 5, 6), 6, strides=(1,))) == [4, 5, 6]
    asked.clear()
    search.descend(lambda value: error(value + 0.1), tuple(range(-9, 20)), 9)
    asked = [round(value) for value in asked]
    assert asked == [9, 7, 5, 3, 1, 2, 4]  # downhill in long steps, then short ones on either side


def test_the_least_of_a_parabola_is_found_between_the_values_that_were_tried():
    errors = {value: math.exp(math.log(value / 0.2) ** 2) for value in (0.03, 0.1, 0.3, 1.0)}
    assert navigation_measuring.vertex(errors) == pytest.approx(0.2)
    assert navigation_measuring.vertex({1: 3.0, 2: 4.0}) is None


def test_figures_are_made_once_and_again_when_others_are_asked_for(tmp_path):
    made = []

    def make():
        made.append(len(made))
        return {"error": made[-1]}

    records = navigation_measuring.Records(tmp_path, most=2)
    assert records.take("one", {"units": (3,)}, make) == {"error": 0}
    assert records.take("one", {"units": (3,)}, make) == {"error": 0}
    assert records.take("one", {"units": (4,)}, make) == {"error": 1}
    with pytest.raises(navigation_measuring.Enough):
        records.take("two", {}, make)
    assert navigation_measuring.Records(tmp_path).take("one", {"units": [4]}, make)["error"] == 1


def test_strengths_are_chosen_on_validation_by_seed_0_which_no_result_has():
    asked, result = [], {}

    def error_of(recipe):
        asked.append(recipe)
        return parts_of(recipe)

    condition = navigation_conditions.Condition(units=32, steps=60, until=0.5)
    grid = navigation_conditions.GRID
    navigation_conditions.in_condition(condition, RECIPE, grid, 0.3, 2, error_of, result)
    assert result["strengths"] == {"torus": 0.03, "permuted": 0.03, "l1": 0.03, "none": 0.0}
    assert list(result["tried"]["torus"]) == [0.01, 0.018, 0.03, 0.055, 0.1, 0.3]
    assert list(result["tried"]["permuted"]) == [0.018, 0.03, 0.055]
    assert list(result["tried"]["l1"]) == list(result["tried"]["torus"])  # from 0.3 as well
    assert (result["after"], result["gradient"]) == (30, [0.1, 0.2])
    assert [(run["row"], run["seed"]) for run in result["runs"]] == [
        (row, seed) for seed in (1, 2) for row in ("dense", *navigation_conditions.ROWS)
    ]
    assert {(one.units, one.steps) for one in asked} == {(32, 60)}
    pruned = [one for one in asked if one.sparsity]
    assert {(one.sparsity, one.ramp, one.pruned) for one in pruned} == {(0.9, (0.0, 0.5), "all")}
    tested = [one for one in pruned if one.seed]
    assert {one.strength for one in tested if one.regularizer != "none"} == {0.03}
    assert len({one.name() for one in asked}) == len(set(asked))


def test_one_thing_is_varied_at_a_time_and_every_width_has_a_beginning():
    base, *others = navigation_conditions.CONDITIONS
    changed = [
        {name for name, value in vars(other).items() if value != getattr(base, name)}
        for other in others
    ]
    assert all(len(names) == 1 for names in changed)
    assert all(one.units in navigation_conditions.BEGIN for one in navigation_conditions.CONDITIONS)
    assert base.after == 33


@pytest.mark.parametrize("until, after", [(0.5, 20), (1.0, 0)])
def test_the_last_mask_falls_as_many_steps_before_the_end_as_the_condition_says(until, after):
    condition = navigation_conditions.Condition(24, 40, until)
    assert condition.after == after
    recipe = condition.recipe(RECIPE, sparsity=0.9, ramp=(0.0, until))
    model, _, curve = navigation_training.train(recipe, WORLD, navigation.console)
    live = navigation_training.live_weights(model)
    assert sum(live.values()) == pytest.approx(0.1 * (24 * (2 * 48 + 24 + 2)), abs=1)
    full = [sparsity > 0.89 for sparsity in curve.sparsity]  # of every tenth step
    assert full == [10 * (number + 1) >= 40 - after for number in range(4)]


def test_a_network_is_measured_on_walks_of_its_own_and_not_trained_twice(tmp_path, monkeypatch):
    recipe = dataclasses.replace(RECIPE, regularizer="torus", sparsity=0.9)
    records = navigation_measuring.Records(tmp_path)
    known = navigation_measuring.measured(recipe, WORLD, records, navigation.console)
    assert known["validation"] != known["test"] and set(known["live"]) == {
        "encoder",
        "inputs",
        "recurrent",
        "decoder",
    }
    assert "gradient" not in known
    parts = [navigation_measuring._held_out(WORLD, part) for part in navigation_measuring.PARTS]
    held_out = [*parts, navigation_world.test_walks(WORLD)]
    assert len({one.start.tobytes() for one in held_out}) == 3
    dense = navigation_measuring.measured(RECIPE, WORLD, records, navigation.console)
    assert all(0 < size < 1 for size in dense["gradient"])
    monkeypatch.setattr(navigation_measuring, "train", None)
    assert known == navigation_measuring.measured(recipe, WORLD, records, navigation.console)


def test_tables_count_the_seeds_on_which_the_torus_is_below():
    result = {"units": 24, "steps": 40, "after": 0, "tried": {"torus": {0.1: 7.0, 0.3: 6.0}}}
    errors = {"torus": (5.0, 8.0), "none": (6.0, 7.0), "l1": (9.0, 9.0)}
    result["runs"] = [
        {"row": row, "seed": seed, "test": error}
        for row, values in errors.items()
        for seed, error in enumerate(values, 1)
    ]
    assert below({1: 5.0, 2: 8.0}, {1: 6.0, 2: 7.0}) == "1 of 2"
    assert below({1: 5.0}, {}) == ""
    cells = [list(column.cells) for column in error_table([result, {}]).columns]
    assert cells == [
        *(["24 units, 40 steps, 0 after the last mask"], [""], ["6.5 ± 2.1"], [""]),
        *(["9.0 ± 0.0"], ["6.5 ± 0.7"], [""], ["2 of 2"], ["1 of 2"]),
    ]
    cells = [list(column.cells) for column in strength_table([result, {}]).columns]
    assert cells[1:] == [["torus"], ["7.0"], ["6.0*"], [""]]


def test_finished_conditions_of_an_earlier_run_are_taken_over_if_they_are_of_the_same_setting(
    tmp_path,
):
    path = tmp_path / "known.json"
    setting = {"world": dataclasses.asdict(WORLD), "recipe": dataclasses.asdict(RECIPE)}
    options = navigation_conditions.parse(["--known", str(path), "--seeds", "2"])
    whole = {"units": 24, "steps": 40, "after": 20, "tried": {"torus": {0.03: 5.0}}}
    whole["runs"] = [{"row": "torus", "seed": seed, "test": 5.0} for seed in (1, 2)]
    begun = {**whole, "after": 0, "runs": whole["runs"][:1]}
    path.write_text(json.dumps({**setting, "conditions": [whole, begun]}))
    assert navigation_conditions.known_conditions(options, setting) == {(24, 40, 20): whole}
    other = {**setting, "recipe": dataclasses.asdict(dataclasses.replace(RECIPE, batch=6))}
    with pytest.raises(ValueError, match="`--known` must have this world and recipe. Received: "):
        navigation_conditions.known_conditions(options, other)


@pytest.mark.parametrize("name", ["--seeds", "--pieces"])
def test_less_than_one_is_refused(name, capsys):
    with pytest.raises(SystemExit):
        navigation_conditions.parse([name, "0"])
    assert f"error: `{name}` must be at least 1. Received: 0" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_in_pieces_comes_to_what_one_run_comes_to(tmp_path, capsys):
    def run(folder, *arguments):
        command = ["--quick", "--output", str(tmp_path / folder), *arguments]
        return navigation_conditions.main(command)

    assert run("whole") == 0
    statuses = [run("pieces", "--pieces", "9") for _ in range(4)]
    assert statuses[:2] == [3, 3] and statuses[3] == 0
    figures = []
    for folder in ("whole", "pieces"):
        path = tmp_path / folder / "navigation_conditions.json"
        figures.append(json.loads(path.read_text()))
        for condition in figures[-1]["conditions"]:
            for one in condition["runs"]:
                one.pop("seconds")
                one["test"] = np.round(one["test"], 3)
                one["validation"] = np.round(one["validation"], 3)
    assert len(figures[0]["conditions"]) == 2
    assert [c["strengths"] for c in figures[0]["conditions"]] == [
        c["strengths"] for c in figures[1]["conditions"]
    ]
    assert "24 units" not in capsys.readouterr().out
