"""What `export_c` refuses, in words, with nothing left on disk."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from exported_models import sequential

from keras_sparse_rnn.export import export_c

K = keras.layers
START = "`model` must have only layers that run frame by frame in C. Received: model='chain', with "
AHEAD = "it needs the whole sequence, also what comes after a frame"


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch):
    monkeypatch.setenv("CC", "/nonexistent/cc")


class MinimalCell(K.Layer):
    def __init__(self, units, **options):
        super().__init__(**options)
        self.state_size = self.output_size = units

    def call(self, inputs, states):
        return states[0], states


def lstm(**options):
    return K.LSTM(4, name="the_layer", return_sequences=True, **options)


@pytest.mark.filterwarnings("ignore:You passed `rms_scaling=True`")
@pytest.mark.parametrize(
    ("layer", "kind", "says"),
    [
        (lambda: K.Bidirectional(K.LSTM(4), name="the_layer"), "Bidirectional",
         f"{AHEAD}; train its forward layer alone, or export the model for whole sequences with "
         "ksr.export_litert"),
        (lambda: lstm(go_backwards=True), "LSTM",
         f"it has go_backwards=True: {AHEAD}; use go_backwards=False"),
        (lambda: lstm(activation="relu"), "LSTM", "it has the activation relu; use one of tanh"),
        (lambda: lstm(recurrent_activation="hard_sigmoid"), "LSTM",
         "it has the activation hard_sigmoid; use one of sigmoid"),
        (lambda: K.Dense(4, activation="gelu", name="the_layer"), "Dense",
         "it has the activation gelu; use one of linear, relu, tanh, sigmoid, hard_sigmoid, silu, "
         "softmax, hard_silu, hard_tanh, leaky_relu, relu6"),
        (lambda: lstm(activation=K.ReLU()), "LSTM",
         "it has the activation ReLU, a layer; use one of tanh"),
        (lambda: K.Dense(4, activation=tf.nn.relu, name="the_layer"), "Dense",
         "it has the activation relu, which is none of Keras's; use one of linear, relu, tanh, "
         "sigmoid, hard_sigmoid, silu, softmax, hard_silu, hard_tanh, leaky_relu, relu6"),
        (lambda: K.Dense(4, activation=K.PReLU(name="own"), name="the_layer"), "Dense",
         "its activation 'own' has no weights yet; call the model once on data"),
        (lambda: K.Conv1D(4, 3, name="the_layer"), "Conv1D",
         f'it has padding="valid": {AHEAD}; use padding="causal"'),
        (lambda: K.Conv1D(4, 3, strides=2, padding="causal", name="the_layer"), "Conv1D",
         "it has strides=2; use strides=1, one output for each frame"),
        (lambda: K.BatchNormalization(axis=1, name="the_layer"), "BatchNormalization",
         "it has axis=1; use axis=-1"),
        (lambda: K.ReLU(6.0, 0.1, name="the_layer"), "ReLU",
         "it has a negative_slope and a max_value; use one of them"),
        (lambda: K.ReLU(threshold=0.5, name="the_layer"), "ReLU",
         "it has threshold=0.5; use a ReLU without one"),
        (lambda: K.PReLU(name="the_layer"), "PReLU",
         "it has slopes for each step; use shared_axes=[1], the same at all steps"),
        (lambda: K.LayerNormalization(axis=1, name="the_layer"), "LayerNormalization",
         "it has axis=1; use axis=-1"),
        (lambda: K.LayerNormalization(rms_scaling=True, name="the_layer"), "LayerNormalization",
         "it has rms_scaling=True, against which Keras advises; use RMSNormalization"),
        (lambda: K.RNN(K.LSTMCell(4), go_backwards=True, name="the_layer"), "RNN",
         f"it has go_backwards=True: {AHEAD}; use go_backwards=False"),
        (lambda: K.RNN([K.LSTMCell(4), MinimalCell(3, name="own")], name="the_layer"), "RNN",
         "it has the cell 'own' of type MinimalCell; use one of LSTMCell, GRUCell, SimpleRNNCell, "
         "BlockSparseCell"),
        (lambda: K.Masking(name="the_layer"), "Masking",
         "a stream has no mask; leave it out, and give the stream only the steps that count"),
        (lambda: K.GlobalAveragePooling1D(name="the_layer"), "GlobalAveragePooling1D",
         f"{AHEAD}; let the last recurrent layer have return_sequences=False instead"),
    ],
)  # fmt: skip
def test_a_layer_that_cannot_run_is_named_with_what_to_do(layer, kind, says, tmp_path):
    fixed = kind in ("BatchNormalization", "LayerNormalization", "PReLU")
    shape = (5, 6) if fixed else (None, 6)
    model = keras.Sequential([keras.Input(shape), layer()], name="chain")
    with pytest.raises(ValueError) as error:
        export_c(model, tmp_path / "c")
    assert str(error.value) == f"{START}the layer 'the_layer' of type {kind}: {says}"
    assert not list(tmp_path.iterdir())


def test_a_mask_is_refused_where_it_is_made(tmp_path):
    """Not at the operations that Keras writes around it, whose names nobody has given."""
    model = keras.Sequential(
        [keras.Input((None, 6)), K.Dense(3), K.Masking(name="skip"), lstm()], name="chain"
    )
    with pytest.raises(ValueError) as error:
        export_c(model, tmp_path / "c")
    assert str(error.value) == (
        f"{START}the layer 'skip' of type Masking: a stream has no mask; leave it out, and give "
        "the stream only the steps that count"
    )


def test_a_layer_that_is_not_known_is_told_which_are(tmp_path):
    model = keras.Sequential(
        [keras.Input((None, 6)), K.UnitNormalization(name="one")], name="chain"
    )
    with pytest.raises(ValueError) as error:
        export_c(model, tmp_path / "c")
    assert str(error.value).startswith(
        f"{START}the layer 'one' of type UnitNormalization: it is not among the layers that are "
        "known here: Activation, ActivityRegularization, Add, "
    )


def test_masks_and_states_of_others_are_refused(tmp_path):
    keras.utils.clear_session()
    x, tokens = keras.Input((None, 6)), keras.Input((None,), dtype="int32")
    h, _, _ = K.LSTM(4, return_sequences=True, return_state=True, name="one")(x)
    given = K.GRU(4, name="two")(x, initial_state=K.LSTM(4)(x))
    masked = K.Embedding(5, 4, mask_zero=True, name="three")(tokens)
    for model, says in (
        (keras.Model(x, h, name="chain"), "the layer 'one' of type LSTM: it has return_state=True; "
         "use return_state=False, a stream keeps it"),
        (keras.Model(x, given, name="chain"), "the layer 'two' of type GRU: it reads a "
         "sequence and its last step; give both inputs an axis of steps"),
        (keras.Model(tokens, masked, name="chain"), "the layer 'three' of type Embedding: it has "
         "mask_zero=True; use mask_zero=False, and give the stream only the steps that count"),
    ):  # fmt: skip
        with pytest.raises(ValueError) as error:
            export_c(model, tmp_path / "c")
        assert str(error.value) == START + says


def test_a_subclassed_model_is_refused(tmp_path):
    class Own(keras.Model):
        def __init__(self):
            super().__init__(name="own")
            self.layer = K.LSTM(4)

        def call(self, x):
            return self.layer(x)

    model = Own()
    model(keras.ops.zeros((1, 3, 6)))
    with pytest.raises(ValueError) as error:
        export_c(model, tmp_path / "c")
    assert str(error.value) == (
        "`model` must be Sequential or functional, and built, so that it is known what reads what. "
        "Received: model='own' of type Own"
    )


@pytest.mark.parametrize(
    "name",
    [
        "",
        "1x",
        "a-b",
        "int",
        "class",
        "ü",
        "x" * 41,
        None,
        "main",
        "ksr",
        "build",
        "KSR",
        "Linux",
        "signal",
        "clean",
        "concept",
    ],
)
def test_a_name_that_is_none_in_c_is_refused(name, tmp_path):
    with pytest.raises(ValueError) as error:
        export_c(sequential(lstm()), tmp_path / "c", name=name)
    assert str(error.value) == (
        "`name` must be a C identifier of at most 40 letters, digits and underscores that begins "
        "with a letter and not with ksr, and no word of C or C++, nor one that the written files, "
        f"C's headers or CMake use. Received: name={name!r}"
    )
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    model = sequential(lstm())
    (tmp_path / "file").write_text("")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("")
    for folder, says in (
        (tmp_path / "none" / "c", "must be in a folder that exists"),
        (tmp_path / "file", "must be no file"),
        (
            tmp_path / "other",
            "must be new, empty, or an earlier export of this name, which is "
            "replaced. Received: .*, which has thesis.txt$",
        ),
    ):
        with pytest.raises(ValueError, match=f"^`folder` {says}"):
            export_c(model, folder)
    with pytest.raises(ValueError, match="^`folder` must be the path of a folder. Received: "):
        export_c(model, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "other"]


def test_an_export_that_fails_leaves_the_one_before(tmp_path):
    model = sequential(lstm())
    export_c(model, tmp_path / "c")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "c").rglob("*")}
    with pytest.raises(
        ValueError, match="^`model` must give the same outputs in C as in Keras, to"
    ):
        export_c(model, tmp_path / "c", "int8", tolerance=1e-9)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "c").rglob("*")}
    export_c(model, tmp_path / "c", "int8")
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    assert {path.name for path in (tmp_path / "c").iterdir()} == {
        "CMakeLists.txt", "build.sh", "ksr", "main.c", "model.c", "model.h", "model.ksr",
        "model_weights.h",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"weights": "int4"}, "`weights` must be one of 'float32', 'bfloat16', 'int8'. Received: "
         "weights='int4'"),
        ({"activations": "int8"}, '`activations` must be "float32" where weights are not int8, for '
         "integers are multiplied with integers. Received: activations='int8', weights='float32'"),
        ({"tolerance": 0}, "`tolerance` must be a number above 0. Received: tolerance=0"),
        ({"sample": np.zeros((1, 3, 5))}, "the input 'x' must be [batch, steps, 6]. Received: "
         "shape (1, 3, 5)"),
        ({"metadata": 3}, "`metadata` must be a dict of JSON's values. Received: metadata=3"),
        ({"metadata": {"x": {1}}}, "`metadata` must be a dict of JSON's values. Received: "
         "metadata={'x': {1}}"),
        ({"metadata": {"weights": 1, "rate": 2}}, "`metadata` must have other names than what the "
         "file says of itself: weights. Received: metadata={'weights': 1, 'rate': 2}"),
    ],
)  # fmt: skip
def test_other_arguments_are_refused_in_words(options, says, tmp_path):
    with pytest.raises(ValueError) as error:
        export_c(sequential(lstm()), tmp_path / "c", **options)
    assert str(error.value) == says
    assert not list(tmp_path.iterdir())
