"""Pruning to a pattern of single weights: N of every M inputs."""

import keras
import numpy as np
import pytest
from fitting import HALF, fit

import keras_sparse_rnn as ksr
from keras_sparse_rnn.callbacks import BlockPruning, KeepMasks, Regrowth
from keras_sparse_rnn.patterns import NofM
from keras_sparse_rnn.schedules import Constant, PolynomialDecay, ThresholdRamp

layers = keras.layers


@pytest.fixture
def wide():
    """16 samples of (2, 8) -> 2: two steps of 8."""
    generator = np.random.default_rng(1)
    return generator.normal(size=(16, 2, 8)).astype("float32"), generator.normal(
        size=(16, 2)
    ).astype("float32")


def model_of(kind=layers.SimpleRNN, units=16, inputs=8, eager=True):
    model = keras.Sequential(
        [keras.Input((2, inputs)), kind(units, name="rnn", unroll=True), layers.Dense(2)]
    )
    model.compile(keras.optimizers.Adam(0.02), "mse", run_eagerly=eager)
    return model


def kernels(model):
    cell = model.get_layer("rnn").cell
    return [variable.numpy() for variable in (cell.kernel, cell.recurrent_kernel)]


def most_in_a_group(kernel, m):
    """The largest and the smallest number of weights that live in `m` inputs of a column."""
    counts = np.count_nonzero(kernel.T.reshape(kernel.shape[1], -1, m), axis=2)
    return counts.max(), counts.min()


@pytest.mark.parametrize("sizes", [(2, 4), (4, 8)])
def test_masked_once_and_trained_with_the_mask(sizes, wide):
    """Mishra et al.: train, mask, and repeat the training."""
    pattern = NofM(*sizes)
    model = model_of()
    fit(model, wide)
    dense = kernels(model)
    history = fit(model, wide, BlockPruning(pattern.sparsity, pattern=pattern)).history
    for kernel, before in zip(kernels(model), dense):
        groups = np.abs(before.T.reshape(before.shape[1], -1, pattern.m))
        least_kept = np.sort(groups, axis=2)[:, :, -pattern.n, None]
        largest = (groups >= least_kept).reshape(before.shape[1], -1).T
        np.testing.assert_array_equal(kernel != 0, largest)
        assert (kernel != before)[largest].all()
    assert history["sparsity"] == pytest.approx([pattern.sparsity])
    assert all(variable.constraint is None for variable in model.trainable_variables)


@pytest.mark.parametrize(("scope", "eager"), [("gate", True), ("model", False)])
def test_a_schedule_drops_the_least_of_each_group_step_by_step(scope, eager, wide):
    model = model_of(layers.GRU, eager=eager)
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append((logs["sparsity"], [most_in_a_group(one, 4) for one in kernels(model)]))

    schedule = PolynomialDecay(0.0, 0.5, begin_step=1, end_step=4)
    pruning = BlockPruning(schedule, pattern=NofM(2, 4), frequency=1, scope=scope)
    fit(model, wide, pruning, Watch(), epochs=2)
    sparsities = [sparsity for sparsity, _ in seen]
    assert sparsities == sorted(sparsities) and sparsities[0] < 0.4 and sparsities[-1] == 0.5
    assert all(least >= 2 for _, counts in seen for _, least in counts)
    assert [count for count in seen[-1][1]] == [(2, 2), (2, 2)]
    assert any(counts[0] == (4, 2) for _, counts in seen)
    assert pruning.is_finished


def test_a_resumed_run_keeps_its_mask_and_ends_at_the_pattern(wide):
    model = model_of()
    schedule = PolynomialDecay(0.0, 0.5, begin_step=0, end_step=3)
    with pytest.warns(UserWarning, match="Pruning is not finished"):
        fit(model, wide, BlockPruning(schedule, pattern=NofM(2, 4), frequency=1))
    dead = [kernel == 0 for kernel in kernels(model)]
    fit(model, wide, BlockPruning(schedule, pattern=NofM(2, 4), frequency=1))
    for kernel, before in zip(kernels(model), dead):
        assert not kernel[before].any() and before.any()
        assert most_in_a_group(kernel, 4) == (2, 2)


def test_weights_that_are_zero_by_themselves_do_not_crowd_other_groups(wide):
    """Counting them alone would end at the sparsity, with three weights in some group."""
    model = model_of()
    kernel = model.get_layer("rnn").cell.kernel
    kernel.assign(np.where(np.arange(16) < 6, 0.0, kernel.numpy()))
    fit(model, wide, BlockPruning(0.5, pattern=NofM(2, 4)))
    assert most_in_a_group(kernels(model)[0], 4) == (2, 0)
    assert most_in_a_group(kernels(model)[0][:, 6:], 4) == (2, 2)


def test_fisher_chooses_by_its_own_scores(wide):
    model = model_of()
    fit(model, wide)
    before = kernels(model)[0]
    second = model.optimizer._velocities[0].numpy()
    fit(model, wide, BlockPruning(0.5, pattern=NofM(2, 4), criterion="fisher"))
    groups = (before**2 * second).T.reshape(before.shape[1], -1, 4)
    expected = (groups >= np.sort(groups, axis=2)[:, :, 2, None]).reshape(before.shape[1], -1).T
    np.testing.assert_array_equal(kernels(model)[0] != 0, expected)


def test_at_once_then_trained_on_with_kept_masks(wide):
    model = ksr.prune(model_of(), pattern=NofM(2, 4))
    before = kernels(model)
    assert [most_in_a_group(one, 4) for one in before] == [(2, 2), (2, 2)]
    fit(model, wide, KeepMasks())
    for kernel, start in zip(kernels(model), before):
        np.testing.assert_array_equal(kernel != 0, start != 0)
        assert (kernel != start).any()
        values, metadata = NofM(2, 4).pack(kernel)
        np.testing.assert_array_equal(NofM(2, 4).unpack(values, metadata), kernel)


def test_the_layers_of_masked_storage_take_it_too(wide):
    model = ksr.substitute(model_of(), (4, 4), storage="masked")
    model.compile("sgd", "mse", run_eagerly=True)
    fit(model, wide, BlockPruning(0.5, pattern=NofM(2, 4)))
    assert [most_in_a_group(one, 4) for one in kernels(model)] == [(2, 2), (2, 2)]


def test_the_callback_is_made_again_from_its_config():
    pruning = BlockPruning(0.5, pattern=NofM(2, 4))
    again = BlockPruning.from_config(pruning.get_config())
    assert again.pattern == NofM(2, 4) and again.block_shape is None
    assert again.get_config() == pruning.get_config()
    assert BlockPruning(0.5).block_shape == (16, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"pattern": "2:4"},
            "`pattern` must be a Pattern of keras_sparse_rnn.patterns, such as NofM(2, 4), or "
            "None. Received: pattern='2:4'",
        ),
        (
            {"block_shape": (16, 16)},
            "`block_shape` must be left out where there is a `pattern`, which says itself which "
            "weights live. Received: block_shape=(16, 16), pattern=NofM(2, 4)",
        ),
        (
            {"keep_diagonal": True},
            "`keep_diagonal` must be left out where there is a `pattern`, which says itself which "
            "weights live. Received: keep_diagonal=True, pattern=NofM(2, 4)",
        ),
        (
            {"minimum_density": 0.1},
            "`minimum_density` must be left out where there is a `pattern`, which says itself "
            "which weights live. Received: minimum_density=0.1, pattern=NofM(2, 4)",
        ),
    ],
)
def test_arguments_that_do_not_go_together(arguments, message):
    for make in (lambda **given: BlockPruning(HALF, **given), lambda **g: ksr.prune(None, **g)):
        with pytest.raises(ValueError) as error:
            make(**{"pattern": NofM(2, 4), **arguments})
        assert str(error.value) == message


def test_blocks_cannot_come_back_into_a_pattern():
    regrowth = Regrowth()
    with pytest.raises(ValueError) as error:
        BlockPruning(HALF, pattern=NofM(2, 4), regrowth=regrowth)
    assert str(error.value) == (
        "`regrowth` must be left out where there is a `pattern`, which says itself which weights "
        f"live. Received: regrowth={regrowth!r}, pattern=NofM(2, 4)"
    )


@pytest.mark.parametrize(
    ("inputs", "schedule", "message"),
    [
        (
            6,
            HALF,
            "`pattern` must have an `m` that divides the inputs of every kernel: "
            "rnn/simple_rnn_cell/kernel has 6. Received: NofM(2, 4). Leave the layer out with "
            "`layers`, or pad its inputs with zeros",
        ),
        (
            8,
            Constant(0.9, 2),
            "`schedule` must not ask for more than the sparsity of the pattern, 0.5 of NofM(2, 4). "
            "Received: 0.9 at step 2",
        ),
        (
            8,
            PolynomialDecay(0.0, 0.4, 1, 4),
            "`schedule` must end at the sparsity of the pattern, 0.5, or NofM(2, 4) is not "
            "reached. Received: a schedule that ends at 0.4",
        ),
        (
            8,
            ThresholdRamp(1, 2, 3, 0.1, 0.1),
            "`pattern` needs a schedule that asks for a sparsity. Received: a ThresholdRamp",
        ),
    ],
)
def test_what_does_not_fit_is_found_before_anything_is_changed(inputs, schedule, message):
    model = model_of(inputs=inputs)
    before = model.get_weights()
    data = np.zeros((8, 2, inputs), "float32"), np.zeros((8, 2), "float32")
    with pytest.raises(ValueError) as error:
        fit(model, data, BlockPruning(schedule, pattern=NofM(2, 4)))
    assert str(error.value) == message
    assert all(variable.constraint is None for variable in model.trainable_variables)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_at_once_another_sparsity_is_refused():
    model = model_of()
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        ksr.prune(model, 0.9, pattern=NofM(2, 4))
    assert str(error.value) == (
        "`sparsity` must be left out where there is a `pattern`, which has one of its own, 0.5. "
        "Received: sparsity=0.9, pattern=NofM(2, 4)"
    )
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
