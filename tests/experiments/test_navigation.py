import dataclasses
import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from experiments.navigation import (
    navigation,
    navigation_plots,
    navigation_regularizers,
    navigation_training,
    navigation_world,
)

WORLD = navigation_world.World(side=0.7, steps=7, cells=48)
RECIPE = navigation_training.Recipe(units=24, steps=20, batch=5, masks=3, seed=3)


def test_walks_are_what_the_velocities_say_and_stay_in_the_box():
    walks = navigation_world.walks(WORLD, 211, seed=5)
    steps = np.diff(np.concatenate([walks.start[:, None], walks.position], axis=1), axis=1)
    np.testing.assert_allclose(steps, WORLD.interval * walks.velocity, atol=1e-6)
    assert np.abs(walks.position).max() <= WORLD.side / 2
    assert (np.abs(walks.position).max(axis=(1, 2)) > 0.95 * WORLD.side / 2).any()
    np.testing.assert_array_equal(
        walks.position, navigation_world.walks(WORLD, 211, seed=5).position
    )
    assert (walks.position != navigation_world.walks(WORLD, 211, seed=6).position).any()


def test_speed_is_rayleigh_distributed():
    world = navigation_world.World(side=1e6)
    speed = np.hypot(*np.moveaxis(navigation_world.walks(world, 4001, seed=0).velocity, -1, 0))
    assert speed.mean() == pytest.approx(world.speed * np.sqrt(np.pi / 2), rel=0.03)
    assert (speed**2).mean() == pytest.approx(2 * world.speed**2, rel=0.05)


def test_place_cells_are_a_difference_of_gaussians():
    cells = navigation_world.PlaceCells(WORLD, seed=2)
    position = np.array([[0.11, -0.2], [0.3, 0.34]], np.float32)
    squares = np.square(position[:, None] - cells.centres).sum(axis=-1)
    near, wide = (np.exp(-squares / (2 * WORLD.field**2 * scale)) for scale in (1, WORLD.surround))
    expected = near / near.sum(axis=1, keepdims=True) - wide / wide.sum(axis=1, keepdims=True)
    expected -= expected.min(axis=1, keepdims=True)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(cells(position), expected, atol=2e-5)


def test_decoding_is_the_mean_of_the_three_most_active():
    cells = navigation_world.PlaceCells(WORLD, seed=2)
    scores = np.zeros((2, 3, WORLD.cells))
    scores[1, 2, [7, 11, 40]] = 0.1, 5, 2
    np.testing.assert_allclose(
        cells.decode(scores)[1, 2], cells.centres[[7, 11, 40]].mean(axis=0), atol=1e-6
    )
    assert navigation_world.centimetres(
        np.zeros((2, 2)), np.array([[0.03, 0.04], [0, 0]])
    ) == pytest.approx(2.5)


def test_place_cells_are_copied_with_their_centres():
    cells = navigation_world.PlaceCells(WORLD, seed=2)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(cells))
    np.testing.assert_array_equal(again.centres, cells.centres)


def test_the_seed_alone_decides_the_first_weights():
    weights = []
    for seed in (4, 4, 5):
        keras.utils.set_random_seed(seed)
        weights.append(
            navigation_training.build(
                RECIPE, WORLD, navigation_world.PlaceCells(WORLD, 3)
            ).get_weights()
        )
    for one, same, other in zip(*weights):
        np.testing.assert_array_equal(one, same)
        assert (one != other).any()


@pytest.mark.parametrize("name", navigation_regularizers.NAMES)
def test_every_regularizer_penalises_the_recurrent_kernel_alone(name):
    recipe = dataclasses.replace(RECIPE, regularizer=name)
    model = navigation_training.build(recipe, WORLD, navigation_world.PlaceCells(WORLD, 3))
    assert len(model.losses) == (name != "none")
    assert all(float(loss) > 0 for loss in model.losses)


def test_l1_pulls_as_hard_as_the_torus_on_average():
    recipe = dataclasses.replace(RECIPE, regularizer="l1")
    ones = np.ones((RECIPE.units, RECIPE.units), np.float32)
    torus = navigation_regularizers.moduli("torus", recipe)
    assert float(navigation_regularizers.regularizer(recipe)(ones)) == pytest.approx(
        float(torus(ones)), rel=1e-5
    )


def test_all_four_kernels_are_pruned_together_and_the_mask_outlives_new_weights(tmp_path):
    recipe = dataclasses.replace(RECIPE, sparsity=0.9)
    again = dataclasses.replace(recipe, start="again")
    second = navigation_training.trained(again, WORLD, tmp_path, navigation.console)
    first = navigation_training.trained(recipe, WORLD, tmp_path, navigation.console)
    total = 2 * 48 * 24 + 24 * 24 + 2 * 24
    assert sum(first.live.values()) == pytest.approx(0.1 * total, abs=1)
    kernels = [navigation_training.kernels(one.model()) for one in (first, second)]
    for name in kernels[0]:
        before, after = (one[name].numpy() for one in kernels)
        np.testing.assert_array_equal(before != 0, after != 0)
        assert (before != after).any()


@pytest.mark.slow
def test_trained_again_with_the_penalty_or_without_it_begins_alike(tmp_path, monkeypatch):
    begins, penalties = [], []
    fit = navigation_training._fit

    def spied(model, *others):
        begins.append(
            {name: kernel.numpy() for name, kernel in navigation_training.kernels(model).items()}
        )
        penalties.append(len(model.losses))
        return fit(model, *others)

    monkeypatch.setattr(navigation_training, "_fit", spied)
    recipe = dataclasses.replace(RECIPE, sparsity=0.9, regularizer="torus")
    both = [
        navigation_training.trained(
            dataclasses.replace(recipe, start=start), WORLD, tmp_path, navigation.console
        )
        for start in ("again", "again, free")
    ]
    (_, again, free), (first, *others) = begins, penalties
    assert (first, *others) == (1, 1, 0)
    for name in again:
        np.testing.assert_array_equal(again[name], free[name])
    assert both[0].live == both[1].live and both[0].path != both[1].path


@pytest.mark.slow
def test_the_recipe_starts_from_the_dense_network_of_its_seed(tmp_path, monkeypatch):
    dense = navigation_training.trained(RECIPE, WORLD, tmp_path, navigation.console)
    begins = []
    fit = navigation_training._fit

    def spied(model, *others):
        begins.append([weights.numpy() for weights in navigation_training.kernels(model).values()])
        return fit(model, *others)

    monkeypatch.setattr(navigation_training, "_fit", spied)
    recipe = dataclasses.replace(
        RECIPE,
        start="trained",
        sparsity=0.9,
        pruned="recurrent",
        block_shape=(4, 4),
        ramp=(0.0, 0.5),
    )
    pruned = navigation_training.trained(recipe, WORLD, tmp_path, navigation.console)
    (begin,) = begins
    for before, trained in zip(begin, navigation_training.kernels(dense.model()).values()):
        np.testing.assert_array_equal(before, trained.numpy())
    assert pruned.live["recurrent"] + pruned.live["inputs"] <= 0.15 * 24 * 26
    others = [{"criterion": "l2"}, {"lasso": 1e-3}]
    errors = [
        navigation_training.trained(
            dataclasses.replace(recipe, **changes), WORLD, tmp_path, navigation.console
        ).error
        for changes in others
    ]
    assert len({pruned.error, *errors}) == 3


def test_a_priori_blocks_are_those_of_the_geometry(tmp_path):
    changes = {
        "units": 32,
        "sparsity": 0.75,
        "block_shape": (8, 8),
        "pruned": "recurrent",
        "start": "a priori",
        "regularizer": "torus",
    }
    recipe = dataclasses.replace(RECIPE, placement="lattice", **changes)
    one = navigation_training.trained(recipe, WORLD, tmp_path, navigation.console)
    (blocks,) = navigation_regularizers.regularizer(recipe).block_mask(
        0.75 + 0.75 * 2 / 32, (8, 8), units=32
    )  # the dense kernel from the inputs is made up for
    weights = navigation_training.kernels(one.model())["recurrent"].numpy()
    np.testing.assert_array_equal(weights.reshape(4, 8, 4, 8).any(axis=(1, 3)), blocks.T)
    assert one.live["inputs"] == 2 * 32 and one.live["decoder"] == 32 * 48


def test_arrows_go_to_the_nearest_image():
    source, target = np.array([[9.0, 2.0]]), np.array([[1.0, 9.0]])
    np.testing.assert_allclose(
        navigation_plots._nearest_images(source, target, twisted=False), [[11.0, -1.0]]
    )
    np.testing.assert_allclose(
        navigation_plots._nearest_images(source, target, twisted=True), [[11.0, 1.0]]
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--seeds", "0"], "`--seeds` must be at least 1. Received: 0"),
        (
            ["--blocks", "--only", "circle"],
            "`--only` is about the first table and does not go with `--blocks`",
        ),
        (["--tune", "--seeds", "2"], "`--tune` has one seed, 0. Received: `--seeds 2`"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_trained(arguments, message, tmp_path, capsys):
    assert navigation.main([*arguments, "--output", str(tmp_path / "out")]) == 2
    assert " ".join(capsys.readouterr().out.split()) == f"error: {message}"
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_stopped_run_goes_on_where_it_was(tmp_path, elsewhere):
    command = [
        sys.executable,
        "-m",
        "experiments.navigation.navigation",
        "--quick",
        "--output",
        str(tmp_path),
    ]
    subprocess.run(command, check=True, capture_output=True, **elsewhere)
    first = json.loads((tmp_path / "navigation.json").read_text())
    for path in tmp_path.glob("torus-90%-1.*"):
        path.unlink()
    subprocess.run(command, check=True, capture_output=True, **elsewhere)
    second = json.loads((tmp_path / "navigation.json").read_text())
    for run in (*first["runs"], *second["runs"]):
        run.pop("seconds")
    assert first == second
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "paths.png",
        "rates.png",
        "neurons.png",
    }


def test_strengths_are_tried_on_a_seed_that_the_tables_do_not_have():
    tuned = navigation.plan(navigation.parse(["--tune", "--only", "torus", "l1"]), 0)
    assert {(one.regularizer, one.strength) for one in tuned.values() if one.sparsity} == {
        (n, s) for n in ("torus", "l1") for s in navigation.TRIED
    }
    assert len({one.name() for one in tuned.values()}) == len(tuned)
    tuned = navigation.plan(navigation.parse(["--tune", "--blocks"]), 0)
    in_order = [
        one.strength for (row, _), one in tuned.items() if row == "moduli, neurons in order"
    ]
    assert tuple(in_order) == navigation.TRIED_BLOCKS and navigation.TORUS["strength"] in in_order
    assert {
        (one.block_shape, one.sparsity, one.placement)
        for (row, _), one in tuned.items()
        if "order" in row
    } == {((16, 16), 0.95, "lattice")}
    lassos = [one.lasso for (row, _), one in tuned.items() if row == "recipe with a lasso"]
    assert tuple(lassos) == navigation.TRIED_LASSO and navigation.LASSO in lassos
    assert (
        len({one.name() for one in tuned.values()})
        == len(tuned)
        == 2 + 2 * len(in_order) + len(lassos)
    )
    names = [
        recipe.name() for recipe in navigation.plan(navigation.parse(["--blocks"]), 1).values()
    ]
    assert len(set(names)) == len(names)
    tables = [
        recipe
        for arguments in ([], ["--blocks"])
        for seed in (1, 5)
        for recipe in navigation.plan(navigation.parse(arguments), seed).values()
    ]
    assert 0 not in {one.seed for one in tables}


@pytest.mark.slow
def test_quick_blocks(tmp_path, capsys):
    assert navigation.main(["--quick", "--blocks", "--output", str(tmp_path)]) == 0
    assert "a priori" in capsys.readouterr().out
    rows = {
        run["row"] for run in json.loads((tmp_path / "navigation_blocks.json").read_text())["runs"]
    }
    assert rows == {"dense", "dense, trained on", *navigation.BLOCKS}
