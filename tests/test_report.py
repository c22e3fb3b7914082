import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr
from keras_sparse_rnn.patterns import Block


@pytest.fixture
def pruned():
    """A model of three kernels, of which the LSTM's are 75 % zero in (4, 4)."""
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((None, 6)),
        keras.layers.LSTM(10, name="lstm"),
        keras.layers.Dense(3, name="head"),
    ]
    model = keras.Sequential(layers, name="model")
    block = Block((4, 4))
    cell = model.get_layer("lstm").cell
    for variable in (cell.kernel, cell.recurrent_kernel):
        grid = block.grid(variable.shape, gates=4)
        variable.assign(variable * grid.expand(block.keep(grid, variable.numpy(), 0.75)))
    return model


def test_plain_model_shows_sparsity_but_no_gain(pruned):
    report = ksr.report(pruned, console=False)
    kernel, recurrent, head = report.rows
    assert (kernel.layer, kernel.kernel, kernel.block_shape) == ("lstm", "kernel", (4, 4))
    assert (recurrent.layer, recurrent.kernel, recurrent.block_shape) == (
        "lstm",
        "recurrent_kernel",
        (4, 4),
    )
    assert (head.layer, head.kernel, head.block_shape, head.sparsity) == (
        "head",
        "kernel",
        None,
        0.0,
    )
    assert kernel.bytes == kernel.dense_bytes == 6 * 40 * 4
    assert recurrent.multiply_adds == recurrent.dense_multiply_adds == 400
    assert kernel.sparsity == pytest.approx(
        1 - np.count_nonzero(pruned.get_layer("lstm").cell.kernel) / 240
    )
    assert report.bytes == report.dense_bytes == 4 * pruned.count_params()
    assert "Keras layers store and multiply their zeros" in " ".join(str(report).split())


def halved(*layers):
    """Sets the first half of the rows of each kernel of built layers to zero."""
    for layer in layers:
        owner = getattr(layer, "cell", layer)
        for name in ("kernel", "recurrent_kernel"):
            variable = getattr(owner, name, None)
            if variable is not None:
                rows = np.arange(variable.shape[0]) >= variable.shape[0] // 2
                variable.assign(variable * rows[:, None])


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="model")
        self.lstm, self.head = keras.layers.LSTM(8, name="lstm"), keras.layers.Dense(2)

    def call(self, x):
        return self.head(self.lstm(x))


class Fixed(keras.Sequential):
    def __init__(self):
        super().__init__([keras.Input((None, 8)), keras.layers.LSTM(8, name="lstm")])

    def call(self, x, training=None, mask=None):
        return super().call(x) * 2.0


class Own(keras.layers.GRU):
    pass


def sequential(*layers):
    return keras.Sequential([keras.Input((None, 8)), *layers], name="model")


PROMISES = {
    "plain": (
        lambda: sequential(keras.layers.LSTM(8)),
        ": keras_sparse_rnn.substitute(model) gives a model that does not.",
    ),
    "dense": (
        lambda: sequential(keras.layers.Dense(8)),
        ": keras_sparse_rnn.substitute(model, dense=True) gives a model that does not.",
    ),
    "subclassed": (
        Subclassed,
        ": keras_sparse_rnn.substitute(model, dense=True, in_place=True) makes the model one that "
        "does not.",
    ),
    "partly": (
        lambda: sequential(
            keras.layers.LSTM(8, return_sequences=True), Own(8, name="own"), keras.layers.ReLU()
        ),
        ": keras_sparse_rnn.substitute(model) gives a model that does not, but for own.",
    ),
    "not_at_all": (
        lambda: sequential(Own(8, name="own"), keras.layers.ReLU()),
        ", and keras_sparse_rnn.substitute would leave these as they are.",
    ),
    "refused": (Fixed, "."),
}


@pytest.mark.filterwarnings("ignore:substitute. a Keras file of .* cannot be loaded:UserWarning")
@pytest.mark.parametrize("make, promise", PROMISES.values(), ids=PROMISES)
def test_the_report_promises_what_substitute_does(make, promise):
    model = make()
    model(np.zeros((1, 2, 8), "float32"))
    halved(*(layer for layer in model.layers if not isinstance(layer, keras.layers.ReLU)))
    report = ksr.report(model, console=False)
    assert report.advice == "Keras layers store and multiply their zeros" + promise
    assert report.advice in " ".join(str(report).split())
    if "substitute(model" in promise:
        options = {name: True for name in ("dense", "in_place") if f"{name}=True" in promise}
        if "but for" in promise:
            with pytest.warns(UserWarning, match="'own' .Own. left as it is"):
                new = ksr.substitute(model, **options)
        else:
            new = ksr.substitute(model, **options)
            assert ksr.report(new, console=False).advice == ""


def test_substituted_model_shows_what_it_saves(pruned):
    sparse = ksr.substitute(pruned, block_shape=(4, 4))
    report = ksr.report(sparse, console=False)
    kernel, recurrent, head = report.rows
    layer = sparse.get_layer("lstm")
    for row, values in ((kernel, layer.kernel_values), (recurrent, layer.recurrent_kernel_values)):
        assert row.block_shape == (4, 4)
        assert row.bytes == values.shape[0] * (4 * 16 + 4)
        assert row.multiply_adds == values.shape[0] * 16
    assert report.bytes == sum(int(np.prod(w.shape)) * 4 for w in sparse.weights)
    assert report.dense_bytes == 4 * pruned.count_params()
    zeros = sum(
        np.count_nonzero(np.asarray(w) == 0)
        for w in (pruned.layers[0].cell.kernel, pruned.layers[0].cell.recurrent_kernel)
    )
    assert report.sparsity == pytest.approx(zeros / (240 + 400 + 30))
    assert head.multiply_adds == 30


def test_masked_layer_holds_dense_weights_and_computes_live_blocks(pruned):
    report = ksr.report(ksr.substitute(pruned, (4, 4), storage="masked"), console=False)
    kernel = report.rows[0]
    assert kernel.bytes == kernel.dense_bytes
    assert kernel.multiply_adds < kernel.dense_multiply_adds


def test_report_prints_a_table(pruned, capsys):
    ksr.report(pruned)
    printed = capsys.readouterr().out
    for text in (
        "lstm",
        "recurrent_kernel",
        "4 x 4",
        "head",
        "everything else",
        "total",
        "100.0 %",
    ):
        assert text in printed


def test_cells_of_a_stack_are_told_apart():
    cells = [keras.layers.LSTMCell(4, name="first"), keras.layers.GRUCell(3, name="second")]
    model = keras.Sequential([keras.Input((None, 2)), keras.layers.RNN(cells, name="stack")])
    names = [row.layer for row in ksr.report(model, console=False).rows]
    assert [name.split("/")[-1] for name in names] == ["first", "first", "second", "second"]


def test_what_is_no_model_is_refused():
    with pytest.raises(ValueError) as error:
        ksr.report(None)
    assert (
        str(error.value) == "`model` must be a keras.Model. Received: model=None of type NoneType"
    )


def test_model_without_kernels_is_refused():
    model = keras.Sequential([keras.Input((3,)), keras.layers.ReLU()], name="model")
    with pytest.raises(ValueError) as error:
        ksr.report(model)
    assert str(error.value) == (
        "`model` must be built and have recurrent or Dense layers, so that there are kernels to "
        "report. Received: 'model' with 1 layers, built"
    )


def lstm_model(block_shape, sparsity, units=32):
    layer = ksr.layers.BlockSparseLSTM(units, block_shape, sparsity=sparsity, name="lstm")
    return keras.Sequential(
        [keras.Input((None, 16)), layer, keras.layers.Dense(3, name="head")], name="model"
    )


def test_fast_and_sparse_layers_have_no_notes():
    for shape in ((16, 16), (8, 8), (1, 16), (4, 4)):
        assert ksr.report(lstm_model(shape, 0.75), console=False).notes == ()


@pytest.mark.parametrize(
    "block_shape, note",
    [
        (
            (4, 1),
            "(4, 1) blocks run at about 0.5 of the speed of (16, 16) per weight, one sample at a "
            "time; (1, 8) blocks at 0.8",
        ),
        (
            (1, 1),
            "(1, 1) blocks run at about 0.2 of the speed of (16, 16) per weight, one sample at a "
            "time; (1, 8) blocks at 0.8",
        ),
        (
            (3, 5),
            "(3, 5) blocks run at about 0.1 of the speed of (16, 16) per weight, one sample at a "
            "time; (1, 16) blocks at 0.9",
        ),
        (
            (2, 3),
            "(2, 3) blocks run at about 0.06 of the speed of (16, 16) per weight, one sample at "
            "a time; (1, 8) blocks at 0.8",
        ),
    ],
)
def test_slow_block_shapes_are_noted_with_what_to_use_instead(block_shape, note):
    report = ksr.report(lstm_model(block_shape, 0.75), console=False)
    assert report.notes == (f"{note}: prune in those instead.",)
    assert report.notes[0] in " ".join(str(report).split())


def test_blocks_of_a_fast_shape_need_no_note():
    assert ksr.report(lstm_model((16, 16), 0.0), console=False).notes == ()
    plain = keras.Sequential([keras.Input((None, 16)), keras.layers.LSTM(32)])
    assert ksr.report(plain, console=False).notes == ()


def test_a_keras_layer_pruned_in_a_slow_shape_is_noted(pruned):
    cell = pruned.get_layer("lstm").cell
    for variable in (cell.kernel, cell.recurrent_kernel):
        grid = Block((4, 1)).grid(variable.shape, gates=4)
        dense = np.random.default_rng(0).normal(size=variable.shape)
        variable.assign(dense * grid.expand(Block((4, 1)).keep(grid, dense, 0.9)))
    (note,) = ksr.report(pruned, console=False).notes
    assert note.startswith("(4, 1) blocks run at about 0.5 of the speed")


def test_a_packed_layer_is_reported_without_its_dense_kernel():
    """65,536 units and inputs: 137 GB dense."""
    layer = ksr.layers.BlockSparseLSTM(1 << 16, sparsity=0.9999, name="large")
    layer.build((None, None, 1 << 16))
    report = ksr.report(layer, console=False)
    assert [row.dense_bytes for row in report.rows] == [4 << 34, 4 << 34]
    assert report.sparsity == pytest.approx(0.9999, abs=1e-5)
