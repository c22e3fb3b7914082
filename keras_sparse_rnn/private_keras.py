"""What this package takes from Keras that Keras does not promise: all of it stands here.

Each function says which public way was weighed, and why it does not do. A name that a version of
Keras does not have raises a `RuntimeError` that says so, rather than being taken for "nothing
there".
"""

import contextlib

import keras
from keras.src.layers.rnn.dropout_rnn_cell import DropoutRNNCell
from keras.src.models.functional import Functional

# Classes without a public name: that of `keras.Model(inputs, outputs)`, and what a recurrent layer
# asks for the masks of dropout.
__all__ = ["DropoutRNNCell", "Functional"]


def _private(thing, name):
    """The private attribute `name` of `thing`, a Keras object."""
    try:
        return getattr(thing, name)
    except AttributeError:
        raise RuntimeError(
            f"Keras {keras.__version__} has no `{name}` in {type(thing).__name__}, which this "
            "version of keras_sparse_rnn needs. Install a newer keras_sparse_rnn, or a Keras that "
            "it was tested with (3.7 to 3.15)"
        ) from None


def inner_layers(layer, *, include_self=True, recursive=True):
    """The layers inside `layer`, whatever it is, as a list; not recursive: those right below it.

    Public: `Model.layers`, which wrappers, cells and custom layers have not.
    """
    return list(_private(layer, "_flatten_layers")(include_self=include_self, recursive=recursive))


def own_trainable_variables(layer):
    """The trainable weights of `layer` itself, without those of the layers inside it.

    Public: `Layer.trainable_variables`, in which they stand with the others.
    """
    return list(_private(layer, "_trainable_variables"))


def graph_of(model):
    """The functional model that a Sequential one has inside, else the model itself.

    Public: nothing; it has the inputs and outputs with their names.
    """
    return getattr(model, "_functional", None) or model  # None: not built, or no Sequential


def nodes(model):
    """The nodes of the graph of a Sequential or functional model in the order of computing, inputs
    left out; None if the model has no graph.

    Public: `Model.operations`, which does not say what reads what.
    """
    graph = graph_of(model)
    if not isinstance(graph, Functional):
        return None
    by_depth = _private(graph, "_nodes_by_depth")
    return [
        node
        for depth in sorted(by_depth, reverse=True)
        for node in by_depth[depth]
        if not node.is_input
    ]


def inputs_structure(model):
    """The structure in which a functional `model` takes its inputs.

    Public: `Model.inputs`, a flat list, which a Sequential model has alone.
    """
    graph = graph_of(model)
    return _private(graph, "_inputs_struct") if isinstance(graph, Functional) else model.inputs


def outputs_structure(model):
    """The structure in which a functional `model` gives its outputs.

    Public: `Model.outputs`, a flat list, which a Sequential model has alone.
    """
    graph = graph_of(model)
    return _private(graph, "_outputs_struct") if isinstance(graph, Functional) else model.outputs


def output_shape_of_lambda(layer):
    """The `output_shape` that a `Lambda` layer was given. Public: `get_config`, without
    functions.
    """
    return _private(layer, "_output_shape")


@contextlib.contextmanager
def computing_in_float32(layers):
    """While it lasts, those of `layers` that compute in another type compute in float32, whatever
    the type of their variables, which Keras casts when they are used.

    Public: `Layer.dtype_policy`, whose setter changes the variables' type with it.
    """
    layers = [layer for layer in layers if layer.compute_dtype not in (None, "float32")]
    before = [_private(layer, "_dtype_policy") for layer in layers]
    try:
        for layer in layers:
            policy = keras.dtype_policies.DTypePolicy("float32")
            policy._variable_dtype = layer.variable_dtype
            object.__setattr__(layer, "_dtype_policy", policy)
        yield
    finally:
        for layer, policy in zip(layers, before):
            object.__setattr__(layer, "_dtype_policy", policy)


@contextlib.contextmanager
def taking_other_sizes(layers):
    """While it lasts, those of `layers` that are functional models run on inputs of other sizes
    than they were built for, if what is in them does.

    Public: `Model.input_spec`, which can be set, but not be set back.
    """
    name = "_manual_input_spec"
    models = [layer for layer in layers if isinstance(layer, Functional)]
    before = [vars(model).get(name, name) for model in models]
    try:
        for model in models:
            object.__setattr__(model, name, None)
        yield
    finally:
        for model, spec in zip(models, before):
            if spec is name:
                object.__delattr__(model, name)
            else:
                object.__setattr__(model, name, spec)


def takes_mask(layer):
    """Whether the `call` of `layer` takes a mask. Public: nothing; a signature does not say it."""
    return _private(layer, "_call_has_mask_arg")


def takes_training(layer):
    """Whether the `call` of `layer` takes `training`. Public: as above."""
    return _private(layer, "_call_has_training_arg")


def initial_epoch(model):
    """The epoch at which `fit` begins, as Keras's BackupAndRestore has set it; 0 if it has not.

    Public: nothing.
    """
    return _private(model, "_initial_epoch") or 0


def set_initial_epoch(model, epoch):
    """Lets `fit` begin at `epoch`, as Keras's BackupAndRestore does; 0: where it was told to."""
    _private(model, "_initial_epoch")
    model._initial_epoch = epoch or None


def optimizer_variables(optimizer):
    """The weights that `optimizer` was built for, in the order of its slots; none before that.

    Public: `Optimizer.variables`, in which slots of all weights stand in a row, unnamed.
    """
    return list(_private(optimizer, "_trainable_variables")) if optimizer.built else []


def variable_key(optimizer, variable):
    """What `optimizer` knows `variable` by. Public: nothing."""
    return _private(optimizer, "_var_key")(variable)


EMA = "_model_variables_moving_average"  # the name of the list of these averages


def moving_averages(optimizer):
    """The averages that an optimizer with `use_ema` keeps of its weights, in their order.

    Public: `Optimizer.variables`, see above.
    """
    if not (optimizer.built and optimizer.use_ema):
        return []
    return list(_private(optimizer, EMA))


# The weights themselves, and all variables of an optimizer: as many, by chance, as weights.
_NO_SLOTS = ("_trainable_variables", "_variables")


def slot_lists(optimizer):
    """`{name: list}` of all that a built `optimizer` keeps, one entry for each of its weights
    (`None` where it keeps nothing for a weight).

    By Keras's convention slots stand in lists, in the order of the weights. Public:
    `Optimizer.variables`, see above.
    """
    count = len(optimizer_variables(optimizer))
    return {
        name: kept
        for name, kept in vars(optimizer).items()
        if isinstance(kept, list) and len(kept) == count and name not in _NO_SLOTS
    }


def optimizer_config(optimizer):
    """The config of `optimizer`, with the learning-rate schedule, or function, that it was given as
    the object that it is: it need be neither registered nor serializable.

    Public: `Optimizer.get_config`, which serializes it.
    """
    rate = _private(optimizer, "_learning_rate")
    if isinstance(rate, keras.Variable) or not callable(rate):
        return optimizer.get_config()
    object.__setattr__(optimizer, "_learning_rate", 0.0)  # past Keras, which tracks what is set
    try:
        return {**optimizer.get_config(), "learning_rate": rate}
    finally:
        object.__setattr__(optimizer, "_learning_rate", rate)


def optimizer_map(optimizer):
    """The function that tells a `MultiOptimizer` which optimizer a weight has. Public: nothing."""
    return _private(optimizer, "_optimizer_map")


def optimizer_of(optimizer, variable):
    """The optimizer in a built `MultiOptimizer` that has `variable`, or None. Public: nothing."""
    indices = _private(optimizer, "_var_to_optimizer_idx")
    index = indices.get(variable_key(optimizer, variable))
    return None if index is None else optimizer.optimizers[index]


def carry_decay_exclusions(old, new, pairs):
    """Excludes from the weight decay of `new` what `old` excludes: `pairs` of old and new weights.

    Public: `Optimizer.exclude_from_weight_decay`, which must be called before `build` and does not
    tell what it was called with.
    """
    excluded = getattr(old, "_exclude_from_weight_decay", None)
    if excluded is None:  # it was not called
        return
    keys = {variable_key(old, one): variable_key(new, other) for one, other in pairs}
    new._exclude_from_weight_decay = {keys[key] for key in excluded if key in keys}
    new._exclude_from_weight_decay_pattern = _private(old, "_exclude_from_weight_decay_pattern")


def compile_settings(model):
    """The arguments of the `compile` of a compiled `model`, as a dict of objects.

    Public: `Model.get_compile_config`, which refuses what is not registered for saving.
    """
    return dict(_private(model, "_compile_config").config)


# Attributes in which Keras keeps account of a layer. No layer is called through them.
BOOKKEEPING = (
    "_compile_loss",
    "_compile_metrics",
    "_compiled_trainable_state",
    "_inbound_nodes",
    "_layers",
    "_losses",
    "_metrics",
    "_outbound_nodes",
    "_self_unconditional_checkpoint_dependencies",
    "_self_unconditional_dependency_names",
    "_tracker",
    "optimizer",
)


def replace_tracked(holder, swaps):
    """Lets a built layer `holder` track new layers in the place of old ones: `swaps` is a dict from
    `id(old)` to the new one.

    Public: setting an attribute, which a built layer refuses for a new layer.
    """
    tracked, tracker = _private(holder, "_layers"), _private(holder, "_tracker")
    known = tracker.stored_ids["layers"]
    for index, layer in enumerate(tracked):
        if id(layer) in swaps:
            new = swaps[id(layer)]
            known.discard(id(layer))
            known.add(id(new))
            list.__setitem__(tracked, index, new)


def forget_functions(model):
    """Lets a model trace what it runs in `fit`, `evaluate` and `predict` anew. Public: `compile`,
    which a class may have overridden.
    """
    for name in ("train_function", "test_function", "predict_function"):
        _private(model, name)
        setattr(model, name, None)
