"""Cells that stand by themselves: called in a loop, stacked, shared by layers, or inside of other
cells.
"""

import keras
import numpy as np
import pytest
from cells import CELLS, MODELS, TIME, FeedBack, is_copied, x_of
from pruning import largest_difference
from subclassing import NOT_LOADABLE

import keras_sparse_rnn as ksr
from keras_sparse_rnn import private_keras
from keras_sparse_rnn.substitution.walking import OF_ONE_CELL

pytestmark = pytest.mark.filterwarnings(NOT_LOADABLE)
KINDS = {
    "packed": {},
    "masked": {"storage": "masked"},
    "reference": {"kernel": "reference"},
    "int8": {"weights": "int8"},
    "4 bits": {"low_precision": ksr.quantization.LowPrecision(weight_bits=4)},
}


def pruned(model):
    model(x_of())
    generator = np.random.default_rng(1)
    model.set_weights(
        [
            generator.normal(scale=0.3, size=weight.shape).astype(weight.dtype)
            if weight.dtype.kind == "f"
            else weight
            for weight in model.get_weights()
        ]
    )
    return ksr.prune(model, 0.5, (4, 4))


def converted(function, model, *arguments, **options):
    return function(model, *arguments, in_place=not is_copied(model), **options)


def left(model):
    """The classes of the Keras cells that no Keras layer has made for itself."""
    inside = private_keras.inner_layers(model)
    made = [one.cell for one in inside if isinstance(one, OF_ONE_CELL)]
    return {type(one) for one in inside if not any(one is cell for cell in made)} & set(
        CELLS.values()
    )


def outputs(model, x):
    for layer in private_keras.inner_layers(model):
        if getattr(layer, "stateful", False):  # Keras's `reset_state` fails on stacks
            for state in keras.tree.flatten(layer.states):
                state.assign(keras.ops.zeros_like(state))
    return np.asarray(model(x))


def cells(model):
    return [
        layer
        for layer in private_keras.inner_layers(model)
        if isinstance(layer, ksr.layers.BlockSparseCell)
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.quick_cases(14)
def test_there_and_back(make, kind):
    model, x = pruned(make()), x_of()
    before, weights = outputs(model, x), model.get_weights()
    paths = [variable.path for variable in model.trainable_variables]
    sparse = converted(ksr.substitute, model, (4, 4), **KINDS[kind])
    assert cells(sparse)
    assert not left(sparse)
    rounded = kind in ("int8", "4 bits")
    assert np.abs(outputs(sparse, x) - before).max() < (0.2 if rounded else 2e-6)
    dense = converted(ksr.to_dense, sparse)
    assert not cells(dense)
    assert np.abs(outputs(dense, x) - outputs(sparse, x)).max() < (0.2 if rounded else 2e-6)
    if not rounded:
        assert [variable.path for variable in dense.trainable_variables] == paths
        assert largest_difference(dense.get_weights(), weights) == 0.0


@pytest.mark.parametrize("storage", ["packed", "masked"])
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.quick_cases(8)
def test_training_goes_on_as_that_of_the_dense_model(make, storage):
    x = x_of()

    def fitted(model, *callbacks):
        y = np.random.default_rng(2).normal(size=outputs(model, x).shape)
        model.fit(x, y, epochs=3, batch_size=len(x), verbose=0, shuffle=False, callbacks=callbacks)
        return model

    dense, sparse = pruned(make()), pruned(make())
    for model in (dense, sparse):
        model.compile(keras.optimizers.Adam(0.01), "mse")
        fitted(model, ksr.callbacks.KeepMasks())
    sparse = fitted(converted(ksr.substitute, sparse, (4, 4), storage=storage))
    fitted(dense, ksr.callbacks.KeepMasks())
    assert sparse.optimizer.iterations == 6
    back = converted(ksr.to_dense, sparse)
    trained = [[one.numpy() for one in model.trainable_variables] for model in (dense, back)]
    assert largest_difference(*trained) < 2e-5


@pytest.mark.parametrize("runtime", ["builtin", "ksr"])
def test_the_whole_road_of_a_cell_that_is_called_by_itself(tmp_path, runtime):
    """Masked, pruned in `fit`, packed, in a file for LiteRT, and dense again."""
    model, x = FeedBack(), x_of()
    y = np.random.default_rng(2).normal(size=model(x).shape)
    ksr.substitute(model, storage="masked", in_place=True)
    assert model.rnn.cell is model.cell and type(model.cell) is ksr.layers.BlockSparseCell
    model.compile("adam", "mse")
    schedule = ksr.schedules.PolynomialDecay(0.0, 0.6, begin_step=1, end_step=4)
    pruning = ksr.callbacks.BlockPruning(schedule, (4, 4), frequency=1)
    model.fit(x, y, epochs=6, verbose=0, callbacks=[pruning])
    before = model(x).numpy()
    ksr.substitute(model, (4, 4), in_place=True)
    assert model.rnn.cell is model.cell and model.cell.layer.storage == "packed"
    report = ksr.report(model, console=False)
    assert [row.layer for row in report.rows] == ["cell", "cell", "dense"]
    assert all(row.sparsity > 0.4 for row in report.rows[:2])
    assert np.abs(model(x).numpy() - before).max() < 2e-6
    model.fit(x, y, verbose=0)
    path = tmp_path / "model.tflite"
    ksr.export_litert(model, path, steps=TIME, runtime=runtime)  # compares with Keras itself
    assert path.stat().st_size
    before = model(x).numpy()
    ksr.to_dense(model, in_place=True)
    assert model.rnn.cell is model.cell and type(model.cell) is keras.layers.LSTMCell
    assert np.abs(model(x).numpy() - before).max() < 2e-6


def test_states_of_a_stack_carry_over():
    """Each batch goes on where the last one has ended, in the new model too."""
    model, x = pruned(MODELS["stateful stack"]()), x_of()
    model(x)
    sparse = ksr.substitute(model, (4, 4))
    dense = ksr.to_dense(sparse)
    expected = model(x)
    assert np.abs(outputs(MODELS["stateful stack"](), x) - expected).max() > 1e-3
    for one in (sparse, dense):
        assert np.abs(one(x) - expected).max() < 2e-6


def test_integers_are_calibrated_on_what_cells_get():
    model, x = pruned(FeedBack()), x_of()
    before = model(x).numpy()
    ksr.substitute(model, (4, 4), weights="int8", activations="int8", calibration=x, in_place=True)
    assert model.cell.layer.input_range >= np.abs(x).max() * 0.999
    assert 0 < np.abs(model(x).numpy() - before).max() < 0.05


def test_the_report_says_that_cells_can_be_substituted():
    advice = "keras_sparse_rnn.substitute(model) gives a model that does not."
    assert ksr.report(pruned(MODELS["stack"]()), console=False).advice.endswith(advice)
