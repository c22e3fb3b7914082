"""A Keras model as the steps of a file: which layer reads what."""

import dataclasses

import keras

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.export import signature
from keras_sparse_rnn.export.c import elementwise, layers
from keras_sparse_rnn.export.c.writer import Refused, Writer

LONGEST = 48  # bytes of the name of an input or output


@dataclasses.dataclass
class Known:
    """What is known of the tensors of a model, by their `id`.

    Attributes:
        registers: the register of each.
        tokens: those that have no axis of features.
        whole: of those that are integers in Keras, and float32 in C, their type in Keras.
        of_frames: whether no tensor has an axis of steps, for all is in a `TimeDistributed`.
    """

    registers: dict = dataclasses.field(default_factory=dict)
    tokens: set = dataclasses.field(default_factory=set)
    whole: dict = dataclasses.field(default_factory=dict)
    of_frames: bool = False

    def inside(self, pairs, of_frames):
        """The same, of the inputs of a model inside: pairs of its own and the given tensor, which
        Keras casts to the type of its own.
        """
        for own, given in pairs:
            dtype = self.whole.get(id(given), "float32")
            casts = "float" not in own.dtype and own.dtype != dtype
            if casts and id(given) not in self.tokens:  # which are whole numbers anyway
                raise Refused(
                    f"its input {own.name!r} casts {dtype} to {own.dtype}, which C does not; give "
                    "them the same type"
                )
        return Known(
            {id(own): self.registers[id(given)] for own, given in pairs},
            {id(own) for own, given in pairs if id(given) in self.tokens},
            {id(own): own.dtype for own, _ in pairs if "float" not in own.dtype},
            of_frames,
        )


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
    writer, known = Writer(weights, activations), Known()
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
        known.registers[id(tensor)] = register
        if len(shape) == 2:
            known.tokens.add(id(tensor))
        if "float" not in tensor.dtype:
            known.whole[id(tensor)] = tensor.dtype
        writer.file.add_input(name, register)
    _write(model, writer, known)
    names = signature.unique([_cut(name) for name in signature.output_names(model)])
    for name, tensor in zip(names, graph.outputs):
        if id(tensor) in known.tokens:
            raise ValueError(
                "`model` must have outputs that layers give. Received: "
                f"model={model.name!r}, whose output {name!r} is the input {tensor.name!r}"
            )
        writer.file.add_output(name, known.registers[id(tensor)], len(tensor.shape) == 2)
    return writer.file


def _cut(name):
    """A name of at most `LONGEST` bytes, in whole letters."""
    return name.encode()[:LONGEST].decode(errors="ignore")


def _write(model, writer, known):
    """Writes the layers of `model`, of whose inputs all is `Known`."""
    nodes = private_keras.nodes(model)
    # First those that Keras writes operations around, which would be named in their place.
    hindering = [node for node in nodes if type(node.operation) in layers.ADVICE]
    for node in [*hindering, *nodes]:
        layer, tensors = node.operation, node.input_tensors
        try:
            if len(node.output_tensors) > 1 and type(layer) in elementwise.NOTHING:
                raise Refused("it gives several outputs; use a layer for each")
            out = _output(layer, node, tensors, writer, known)
            known.registers[id(node.output_tensors[0])] = out
        except (Refused, ValueError) as error:
            if isinstance(error, ValueError) and str(error).startswith("`model` must"):
                raise
            raise ValueError(
                "`model` must have only layers that run frame by frame in C. Received: "
                f"model={model.name!r}, with the layer {layer.name!r} of type "
                f"{type(layer).__name__}: {error}"
            ) from None


def _check_whole(layer, node, known):
    """Raises a `Refused` if the layer would compute with integers in Keras. What a tensor behind a
    layer says of its type is not always so, behind an operation it is.
    """
    kind, out = type(layer), node.output_tensors[0]
    types = [known.whole.get(id(tensor), "float32") for tensor in node.input_tensors]
    if all("float" in dtype for dtype in types):
        return
    if not isinstance(layer, keras.Layer):
        says = [tensor.dtype for tensor in node.input_tensors]
        if "float" in out.dtype and types == says:
            return
    elif kind in elementwise.NOTHING or kind is keras.layers.Concatenate:
        if not any("float" in dtype for dtype in types):
            known.whole[id(out)] = keras.backend.result_type(*types)
        return
    elif kind in elementwise.MERGING:
        if any("float" in dtype for dtype in types):
            return
    elif kind not in elementwise.WRITERS or kind in elementwise.FLOATING:
        return
    raise Refused(
        "it would compute with integers in Keras and with float32 in C; let the input be float32, "
        "or put a Rescaling before it"
    )


def _output(layer, node, tensors, writer, known):
    """The register of what a node gives."""
    if type(layer) in layers.ADVICE:
        raise Refused(layers.ADVICE[type(layer)])
    if isinstance(layer, keras.Layer):
        _check_arguments(node)
    for tensor in tensors:
        if id(tensor) not in known.registers:
            raise Refused("it reads a state of another layer; a stream keeps states by itself")
        if len(tensor.shape) > 3:
            raise Refused(f"it reads a tensor of shape {tensor.shape}; frames have one axis")
        if known.of_frames and len(tensor.shape) > 2:
            raise Refused(
                f"it reads {tensor.shape} inside a TimeDistributed; frames have one axis there"
            )
        if id(tensor) in known.tokens and not isinstance(
            layer, (keras.layers.Embedding, keras.Model)
        ):
            raise Refused(
                f"it reads an input of shape {tensor.shape}, without an axis of steps; inputs are "
                "[batch, steps, features], or tokens [batch, steps] for an Embedding"
            )
    if len({len(tensor.shape) for tensor in tensors}) > 1:
        raise Refused("it reads a sequence and its last step; give both inputs an axis of steps")
    of_frames = known.of_frames
    if type(layer) is keras.layers.TimeDistributed:  # a frame is a step here as it is
        layer, of_frames = layer.layer, True
    _check_whole(layer, node, known)
    sources = [known.registers[id(tensor)] for tensor in tensors]
    if not isinstance(layer, keras.Layer):
        return elementwise.operation(writer, layer, node.arguments.args, sources)
    if not isinstance(layer, keras.Model):
        return layers.write(writer, layer, sources)
    inner = private_keras.graph_of(layer)
    if private_keras.nodes(layer) is None:
        raise Refused("it is no Sequential or functional model; use its layers themselves")
    pairs = list(zip(inner.inputs, _in_order(inner, node, tensors), strict=True))
    inside = known.inside(pairs, of_frames)
    _write(layer, writer, inside)
    for own, given in zip(inner.outputs, node.output_tensors):
        known.registers[id(given)] = inside.registers[id(own)]
        if id(own) in inside.whole:
            known.whole[id(given)] = inside.whole[id(own)]
    return inside.registers[id(inner.outputs[0])]


def _in_order(inner, node, tensors):
    """What `inner`, a functional model, is called with, in the order of its inputs: Keras hands a
    dict on by its keys, or by the names of inputs that are no dict.
    """
    given = [*node.arguments.args, *node.arguments.kwargs.values()]
    named = next((each for each in given if isinstance(each, dict)), None)
    if named is None:
        return tensors
    own = inner.input
    if not isinstance(own, dict):
        own = {each.name: each for each in inner.inputs}
    found = {key: named.get(key) for key in own}
    pairs = zip(keras.tree.flatten(own), keras.tree.flatten(found))
    place = {id(each): tensor for each, tensor in pairs}
    if not all(isinstance(place.get(id(each)), keras.KerasTensor) for each in inner.inputs):
        raise Refused(f"it is called with a dict of {sorted(named)}; call it with a list")
    return [place[id(each)] for each in inner.inputs]


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
