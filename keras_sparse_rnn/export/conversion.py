"""Turns a Keras model into the bytes of a LiteRT file with dense weights."""

import contextlib
import re
import types

import keras
import tensorflow as tf

from keras_sparse_rnn import private_keras, running
from keras_sparse_rnn.export import cells, flatbuffer, own_operators, recurrence
from keras_sparse_rnn.export.quiet import quiet
from keras_sparse_rnn.layers import BlockSparseDense


@contextlib.contextmanager
def full_precision(model, integers=()):
    """Lets a model of another precision, of mixed precision or of int8 activations, compute in
    float32, as the file does, and sets its policies back at the end. Int8 activations of the layers
    `integers` stay.
    """
    rounding = {
        layer: (layer.activations_choice, layer.input_range)
        for layer in private_keras.inner_layers(model)
        if getattr(layer, "activations_choice", "float32") != "float32" and layer not in integers
    }
    floatx = keras.config.floatx()
    try:
        for layer in rounding:
            layer.activations_choice, layer.input_range = "float32", 0.0
        keras.config.set_floatx("float32")  # what Keras makes of a Python number
        with private_keras.computing_in_float32(private_keras.inner_layers(model)):
            yield
    finally:
        keras.config.set_floatx(floatx)
        for layer, (activations, input_range) in rounding.items():
            layer.activations_choice, layer.input_range = activations, input_range


@contextlib.contextmanager
def exportable(model):
    """Lets the layers run as they are exported: as our operators where those are chosen and know
    the layer, else recurrent ones as `recurrence` does, block-sparse ones on their dense kernels,
    and what is in a `TimeDistributed` on all steps at once.
    """
    swaps, operators = [], own_operators.current()
    for layer in private_keras.inner_layers(model):
        if isinstance(layer, keras.layers.Dense):
            call = operators and operators.call_of(layer)
            if call is None and type(layer) is BlockSparseDense:
                call = _dense_call(layer)
            swaps.append((layer, "call", call))
        elif isinstance(layer, keras.layers.RNN):
            loop = operators and operators.loop_of(layer)
            if loop is None and (cell := cells.of(layer)) is not None:
                loop = _loop_of(layer, cell)
            swaps.append((layer, "inner_loop", loop))
        elif type(layer) is keras.layers.TimeDistributed:
            swaps.append((layer, "call", _call_on_all_steps(layer)))
    swaps = [swap for swap in swaps if swap[2] is not None]
    with running.swapped(swaps):
        yield


def try_shapes(model, structure, specs):
    """Raises what a layer raises if the model cannot run on inputs of the fixed shapes of `specs`,
    or leaves a recurrent layer no steps.

    The model is traced, not run: run on a sequence that is too short, a convolution may return
    garbage instead of raising.
    """
    forward = tf.autograph.experimental.do_not_convert(
        lambda *inputs: call(model, structure, inputs)
    )
    stateful = [layer for layer in running.recurrent_layers(model) if layer.stateful]
    with (
        full_precision(model),
        running.swapped([(layer, "inner_loop", _loop_of_one_batch(layer)) for layer in stateful]),
    ):
        tf.function(forward, input_signature=specs).get_concrete_function()


def _loop_of_one_batch(layer):
    """The loop over time of a stateful layer, which refuses another batch than that of its states.
    Older versions of Keras broadcast, and the outputs have the batch of the states.
    """

    def inner_loop(sequences, initial_state, mask, training=False):
        states = keras.tree.flatten(initial_state)
        if any(sequences.shape[0] not in (None, state.shape[0]) for state in states):
            raise ValueError(
                "If an RNN is stateful, the batch size of the input sequences must be the same as "
                "the batch size of the initial state."
            )
        return type(layer).inner_loop(layer, sequences, initial_state, mask, training)

    return inner_loop


def _dense_call(layer):
    """What the Keras layer that the block-sparse `layer` stands for computes."""
    (kernel,), bias = cells.weights_of(layer)

    def call(inputs, training=None):
        dense = types.SimpleNamespace(
            kernel=tf.constant(kernel), bias=bias, activation=layer.activation
        )
        return keras.layers.Dense.call(dense, inputs)

    return call


def _call_on_all_steps(layer):
    """What a `TimeDistributed` computes, with the steps in the axis of the batch. Keras calls what
    is inside for each step, which the file would have as often, or not at all where their number
    is open. None where it keeps a state for each of the batch.
    """
    inside = layer.layer
    if any(getattr(each, "stateful", False) for each in private_keras.inner_layers(inside)):
        return None

    def joined(tensor):
        return tf.reshape(tensor, [-1, *recurrence.sizes(tensor)[2:]])

    def call(inputs, training=None, mask=None):
        options = {}
        if mask is not None and private_keras.takes_mask(inside):
            options["mask"] = joined(mask)
        if private_keras.takes_training(inside):
            options["training"] = training
        outputs = inside.call(joined(inputs), **options)
        return keras.tree.map_structure(
            lambda one: tf.reshape(
                one, [*recurrence.sizes(inputs)[:2], *recurrence.sizes(one)[1:]]
            ),
            outputs,
        )

    return call


def _loop_of(layer, cell):
    def inner_loop(sequences, initial_state, mask, training=False):
        return recurrence.run(
            cell,
            sequences,
            list(initial_state),
            running.mask_of_steps(mask),
            go_backwards=layer.go_backwards,
            return_sequences=layer.return_sequences,
            zero_output_for_mask=layer.zero_output_for_mask,
        )

    return inner_loop


def call(model, structure, inputs):
    """The flat list of the model's outputs on the flat list `inputs`, whose sizes may be others
    than those that the model was built for.
    """
    with private_keras.taking_other_sizes(private_keras.inner_layers(model)):
        return keras.tree.flatten(
            model(keras.tree.pack_sequence_as(structure, list(inputs)), training=False)
        )


def convert(model, structure, signature, output_names):
    """Converts `model` to the bytes of a LiteRT file with dense weights and one signature,
    `serving_default`.

    Args:
        model: a built Keras model.
        structure: the structure that the model takes its inputs in.
        signature: a flat list of named `tf.TensorSpec`.
        output_names: the names of the outputs, or None to call them `output_0`, `output_1`, ...

    Returns:
        The bytes, and the names of the outputs in their order.

    Raises:
        ValueError: the model uses an operator that LiteRT does not have built in.
    """
    names = list(output_names or [])
    states = running.states_of(model)
    module = tf.Module()
    module.states = [tf.Variable(tf.zeros(state.shape)) for state in states]
    module.weights = [variable.value for variable in model.variables]

    # nor does Keras, when it compiles what a model computes
    @tf.autograph.experimental.do_not_convert
    def forward(*inputs):
        # In a stateless scope the trace sees our variables as the states of the model, and assigns
        # to them instead.
        mapping = [(state, tf.identity(variable)) for state, variable in zip(states, module.states)]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            outputs = call(model, structure, inputs)
        for state, variable in zip(states, module.states):
            variable.assign(tf.cast(scope.get_current_value(state), tf.float32))
        if not names:
            names.extend(f"output_{number}" for number in range(len(outputs)))
        return {name: tf.identity(output) for name, output in zip(names, outputs)}

    with full_precision(model), exportable(model):
        traced = tf.function(forward, input_signature=signature).get_concrete_function()
    return converted(model, traced, module), names


def converted(model, traced, module):
    """The bytes of a LiteRT file of the concrete function `traced` of a `tf.Module` that holds its
    variables. `model` is what it computes, for errors; these are those of `convert`.
    """
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.allow_custom_ops = own_operators.current() is not None
    converter.experimental_enable_resource_variables = True
    converter._experimental_lower_tensor_list_ops = (
        True  # for Keras's own loop, around a cell that is not one of ours
    )
    try:
        with quiet(replay=False):
            content = converter.convert()
    except Exception as error:
        found = re.search(r"(?:Flex|Custom|TF Select) ops: ([^\n]*)", str(error))
        lines = [line for line in str(error).splitlines() if line.strip()]
        cause = f"the operators {found[1]}" if found else lines[0] if lines else repr(error)
        raise ValueError(
            "`model` must use only operators that LiteRT has built in. Received: "
            f"model={model.name!r}, whose conversion stopped at {cause}"
        ) from error
    if others := own_operators.others_in(flatbuffer.unpack(content)):
        raise ValueError(
            "`model` must use only operators that LiteRT has built in. Received: "
            f"model={model.name!r}, whose conversion stopped at the operators "
            f"{', '.join(others)}"
        )
    return content
