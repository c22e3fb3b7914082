"""A Keras model as the steps of a file: which layer reads what."""

import keras

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.export import signature
from keras_sparse_rnn.export.c import elementwise, layers
from keras_sparse_rnn.export.c.writer import Refused, Writer

LONGEST = 48  # bytes of the name of an input or output


def write(model, weights, activations):
    """The `ModelFile` of a Sequential or functional model.

    Raises:
        ValueError: the model, or a layer of it, cannot be exported; the layer is named, and what to
            do.
    """
    if private_keras.nodes(model) is None:
        raise ValueError(
            "`model` must be Sequential or functional, and built, so that it is known what reads "
            f"what. Received: model={model.name!r} of type {type(model).__name__}"
        )
    writer, registers = Writer(weights, activations), {}
    graph = private_keras.graph_of(model)
    names = signature.unique([_cut(tensor.name) for tensor in graph.inputs])
    for name, tensor in zip(names, graph.inputs):
        shape = tensor.shape
        if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] is None):
            raise ValueError(
                "`model` must have inputs [batch, steps, features], or tokens [batch, steps]. "
                f"Received: model={model.name!r} with the input {tensor.name!r} of shape {shape}"
            )
        register = writer.file.register(1 if len(shape) == 2 else shape[2])
        registers[id(tensor)] = register
        writer.file.add_input(name, register)
    tokens = {id(tensor) for tensor in graph.inputs if len(tensor.shape) == 2}
    _write(model, writer, registers, tokens)
    names = signature.unique([_cut(name) for name in signature.output_names(model)])
    for name, tensor in zip(names, graph.outputs):
        if id(tensor) in tokens:
            raise ValueError(
                "`model` must have outputs that layers give. Received: "
                f"model={model.name!r}, whose output {name!r} is the input {tensor.name!r}"
            )
        writer.file.add_output(name, registers[id(tensor)], len(tensor.shape) == 2)
    return writer.file


def _cut(name):
    """A name of at most `LONGEST` bytes, in whole letters."""
    return name.encode()[:LONGEST].decode(errors="ignore")


def _write(model, writer, registers, tokens):
    """Writes the layers of `model`, the registers of whose inputs are known."""
    nodes = private_keras.nodes(model)
    if nodes is None:
        raise Refused("it is no Sequential or functional model; use its layers themselves")
    # First those that Keras writes operations around, which would be named in their place.
    hindering = [node for node in nodes if type(node.operation) in layers.ADVICE]
    for node in [*hindering, *nodes]:
        layer, tensors = node.operation, node.input_tensors
        try:
            if len(node.output_tensors) > 1 and type(layer) in layers.NOTHING:
                raise Refused("it gives several outputs; use a layer for each")
            registers[id(node.output_tensors[0])] = _output(
                layer, node, tensors, writer, registers, tokens
            )
        except (Refused, ValueError) as error:
            if isinstance(error, ValueError) and str(error).startswith("`model` must"):
                raise
            raise ValueError(
                "`model` must have only layers that run frame by frame in C. Received: "
                f"model={model.name!r}, with the layer {layer.name!r} of type "
                f"{type(layer).__name__}: {error}"
            ) from None


def _output(layer, node, tensors, writer, registers, tokens):
    """The register of what a node gives."""
    if type(layer) in layers.ADVICE:
        raise Refused(layers.ADVICE[type(layer)])
    if isinstance(layer, keras.Layer):
        _check_arguments(node)
    for tensor in tensors:
        if id(tensor) not in registers:
            raise Refused("it reads a state of another layer; a stream keeps states by itself")
        if len(tensor.shape) > 3:
            raise Refused(f"it reads a tensor of shape {tensor.shape}; frames have one axis")
        if id(tensor) in tokens and not isinstance(layer, (keras.layers.Embedding, keras.Model)):
            raise Refused(
                f"it reads an input of shape {tensor.shape}, without an axis of steps; inputs are "
                "[batch, steps, features], or tokens [batch, steps] for an Embedding"
            )
    if len({len(tensor.shape) for tensor in tensors}) > 1:
        raise Refused("it reads a sequence and its last step; give both inputs an axis of steps")
    sources = [registers[id(tensor)] for tensor in tensors]
    if not isinstance(layer, keras.Layer):
        return elementwise.operation(writer, layer, node.arguments.args, sources)
    if type(layer) is keras.layers.TimeDistributed and isinstance(layer.layer, keras.Model):
        layer = layer.layer  # all of which runs frame by frame as it is
    if not isinstance(layer, keras.Model):
        return layers.write(writer, layer, sources)
    inner = private_keras.graph_of(layer)
    if private_keras.nodes(layer) is None:
        raise Refused("it is no Sequential or functional model; use its layers themselves")
    named = node.arguments.args[0] if node.arguments.args else None
    if isinstance(named, dict):  # which Keras hands on by name, and flattens by name
        tensors = [named[own.name] for own in inner.inputs]
    pairs = list(zip(inner.inputs, tensors, strict=True))
    inside = {id(own): registers[id(given)] for own, given in pairs}
    _write(layer, writer, inside, {id(own) for own, given in pairs if id(given) in tokens})
    for own, given in zip(inner.outputs, node.output_tensors):
        registers[id(given)] = inside[id(own)]
    return inside[id(inner.outputs[0])]


def _check_arguments(node):
    """Raises a `Refused` if a layer is called with numbers beside its tensors, such as an initial
    state or a mask that is an array: a file has the steps of tensors only.
    """
    given = [*enumerate(node.arguments.args), *node.arguments.kwargs.items()]
    for name, value in given:
        for one in keras.tree.flatten(value):
            if isinstance(one, (keras.KerasTensor, bool, str)) or one is None:
                continue
            what = f"`{name}`" if isinstance(name, str) else "an argument"
            raise Refused(
                f"it is called with {what} of type {type(one).__name__}, which is no tensor of the "
                "model; leave it out"
            )
