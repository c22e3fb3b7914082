"""What a report says of gates, and of layers that cannot be cut into blocks."""

import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr


def emptied(layer_class, empty, units=32, **options):
    """A model of 16 inputs whose recurrent kernel has four zero blocks of (8, 8)
    in each gate, and nothing else in the gates `empty`.
    """
    keras.utils.set_random_seed(0)
    layer = layer_class(units, name="rnn", **options)
    model = keras.Sequential([keras.Input((None, 16)), layer, keras.layers.Dense(3)], name="model")
    kernel = np.array(layer.cell.recurrent_kernel)
    kernel[:8] = 0
    for gate in empty:
        kernel[:, gate * units : (gate + 1) * units] = 0
    layer.cell.recurrent_kernel.assign(kernel)
    return model


def lines(report):
    return [line.strip() for line in str(report).splitlines()]


def test_live_blocks_of_each_gate_are_shown():
    report = ksr.report(emptied(keras.layers.LSTM, ()), console=False)
    row = report.rows[1]
    assert row.gate_names == ("i", "f", "c", "o")
    assert (row.block_shape, row.live_blocks, row.blocks) == ((8, 8), (12, 12, 12, 12), 16)
    assert "rnn, recurrent_kernel:  i 12/16  f 12/16  c 12/16  o 12/16" in lines(report)
    assert report.rows[0].live_blocks == () and report.rows[2].gate_names == ()
    assert report.notes == ()


@pytest.mark.parametrize("storage", ["packed", "masked"])
def test_those_of_block_sparse_layers_too(storage):
    sparse = ksr.substitute(emptied(keras.layers.GRU, (1,)), (8, 8), storage=storage)
    report = ksr.report(sparse, console=False)
    rows = {row.kernel: row for row in report.rows if row.gate_names}
    assert rows["recurrent_kernel"].live_blocks == (12, 0, 12)
    assert rows["kernel"].live_blocks == (8, 8, 8) and rows["kernel"].blocks == 8
    assert "rnn, recurrent_kernel:  z 12/16  r 0/16  h 12/16" in lines(report)
    assert "rnn, kernel:  z 8/8  r 8/8  h 8/8" in lines(report)


def test_a_layer_on_its_own_is_reported():
    layer = ksr.substitute(emptied(keras.layers.LSTM, ()), (8, 8)).get_layer("rnn")
    assert [row.layer for row in ksr.report(layer, console=False).rows] == ["rnn", "rnn"]


END = (
    ' not see the previous state any more. To keep a block in every gate, prune with scope="gate"; '
    "to keep more, with a minimum_density, in smaller blocks or to a lower sparsity."
)


@pytest.mark.parametrize(
    "layer_class, empty, said",
    [
        (keras.layers.LSTM, (1,), "gate f: it does"),
        (keras.layers.LSTM, (0, 1, 3), "gates i and f and o: they do"),
        (keras.layers.GRU, (2,), "gate h: it does"),
        (keras.layers.SimpleRNN, (0,), "gate h: it does"),
    ],
)
def test_gates_without_a_live_block_are_noted(layer_class, empty, said):
    note = f"rnn: no block of the recurrent kernel lives in {said}{END}"
    model = emptied(layer_class, empty)
    assert note in ksr.report(model, console=False).notes
    if layer_class is not keras.layers.SimpleRNN:  # a kernel of zeros is packed whole
        assert note in ksr.report(ksr.substitute(model, (8, 8)), console=False).notes
    assert note in " ".join(str(ksr.report(model, console=False)).split())


def test_a_convolutional_recurrent_layer_is_named_as_what_it_is():
    pictures, layer = keras.Input((3, 6, 6, 1)), keras.layers.ConvLSTM2D(2, 3, name="conv")
    model = keras.Sequential([pictures, layer], name="film")
    with pytest.raises(ValueError) as error:
        ksr.report(model)
    assert str(error.value) == (
        "`model` must have recurrent or Dense layers that can be cut into blocks. Received: 'film' "
        "with conv (ConvLSTM2D), whose kernels are not plain float matrices [inputs, gates * units]"
    )


def test_beside_others_it_is_noted():
    layers = [
        keras.Input((3, 6, 6, 1)),
        keras.layers.ConvLSTM2D(2, 3, name="conv"),
        keras.layers.Flatten(),
        keras.layers.Dense(2, name="head"),
    ]
    report = ksr.report(keras.Sequential(layers), console=False)
    assert report.notes == (
        "conv (ConvLSTM2D): kernels that are not plain float matrices [inputs, gates * units] "
        "cannot be cut into blocks, and count as everything else.",
    )
    assert report.notes[0] in " ".join(str(report).split())
    assert [row.layer for row in report.rows] == ["head"]


@pytest.mark.parametrize(
    "changed", [lambda layer: layer.enable_lora(2), lambda layer: layer.quantize("int8")]
)
def test_a_dense_layer_that_keras_has_changed_is_noted(changed):
    head = keras.layers.Dense(4, name="head")
    layers = [keras.Input((3, 4)), keras.layers.LSTM(4, name="rnn"), head]
    model = keras.Sequential(layers)
    assert ksr.report(model, console=False).notes == ()
    changed(head)
    report = ksr.report(model, console=False)
    assert report.uncut == ("head (Dense)",)
    assert report.notes == (
        "head (Dense): kernels that are not plain float matrices [inputs, gates * units] cannot be "
        "cut into blocks, and count as everything else.",
    )
