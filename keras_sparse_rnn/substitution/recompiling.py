"""Compiles a rebuilt model like the model that it was made from, down to what the optimiser has in
mind.
"""

import inspect
import warnings

import keras
import numpy as np

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.layers.storage import PackedConstraint, has_padding
from keras_sparse_rnn.substitution.classes import listed, overridden
from keras_sparse_rnn.substitution.references import held
from keras_sparse_rnn.substitution.twins import Transfer

# Adafactor divides by the square root of about `epsilon_1 ** 2 / (mean squared gradient)` in the
# padding of partial blocks: this does not underflow.
ADAFACTOR_EPSILON = 1e-15
COMPILE_CONFIG = ("get_compile_config", "compile_from_config")
METRICS = ("metrics", "weighted_metrics")
# Slots that every optimiser keeps in one way, whatever its rule for a weight is.
COMMON_SLOTS = ("_model_variables_moving_average", "_accumulated_gradients")


def recompile(old, new, transfers):
    """Compiles `new` like `old`, with an optimiser of its own that continues where that of `old`
    is.

    Loss, loss weights, `run_eagerly`, `steps_per_execution` and `jit_compile` are taken over; the
    optimiser is a new object of the same class and settings, and so are the metrics of a copy. What
    the optimiser keeps per weight (momentum, moving averages, accumulated gradients) goes the way
    of the weight. Where that cannot be, `new` is not compiled, and a `UserWarning` says why.

    Args:
        old: the model that may be compiled.
        new: the model to compile; `old` itself if it was changed in place.
        transfers: list of `Transfer`, from the variables of `old` to those of `new`.
    """
    if not old.compiled:
        return
    if overridden(old, ["compile"]):
        _recompile_class(old, new, transfers)
        return
    settings = private_keras.compile_settings(old)
    optimizer = old.optimizer
    if (why := _reads_what_is_gone(settings, transfers)) is not None:
        _leave_uncompiled(old, new, why)
        return
    try:
        settings["optimizer"] = new_optimizer(optimizer, transfers)
    except Exception as error:  # whatever a user's constructor or `get_config` raises
        _leave_uncompiled(
            old,
            new,
            f"its optimizer of class {type(optimizer).__name__} cannot be made anew from its "
            f"config: {str(error).strip().rstrip('.')}. Compile it as you did before",
        )
        return
    for name in METRICS:
        if new is not old:
            settings[name] = keras.tree.map_structure(_new_metric, settings[name])
        for metric in keras.tree.flatten(settings[name]):
            # Keras does not, before the first batch; one without variables has not begun.
            if isinstance(metric, keras.Metric) and metric.variables:
                metric.reset_state()
    settings["jit_compile"] = settings["jit_compile"] and all(
        layer.supports_jit for layer in private_keras.inner_layers(new)
    )
    new.compile(**settings, auto_scale_loss=False)
    if not any(
        transfer.quantized for transfer in transfers
    ):  # such models are for inference: the optimiser would have nothing to continue
        carry_optimizer_state(optimizer, new.optimizer, transfers)


def _recompile_class(old, new, transfers):
    """Compiles `new` if the class of `old` says how; else warns that it is not compiled."""
    kind = type(old).__name__
    if type(new) is not type(old) or len(overridden(old, COMPILE_CONFIG)) < len(COMPILE_CONFIG):
        _leave_uncompiled(
            old,
            new,
            f"its class {kind} has its own `compile`, whose arguments are not known. Call it as "
            "you did before",
            " (A class that has its own `get_compile_config` and `compile_from_config`, too, is "
            "compiled by them.)",
            stacklevel=6,
        )
        return
    optimizer = old.optimizer
    try:
        new.compile_from_config(old.get_compile_config())
    except Exception as error:  # whatever a user's class raises
        _leave_uncompiled(
            old,
            new,
            f"its class {kind} has its own `get_compile_config` and `compile_from_config`, which "
            f"raise {type(error).__name__}: {str(error).strip().rstrip('.')}. Compile it as you "
            "did before",
            stacklevel=6,
        )
        return
    # Layers outside of the graph, which both models have now.
    moved, shared = (
        {id(one) for one in each} for each in ([t.old for t in transfers], new.variables)
    )
    transfers = transfers + [
        Transfer(one, one) for one in old.variables if id(one) in shared - moved
    ]
    if type(new.optimizer) is type(optimizer):
        carry_optimizer_state(optimizer, new.optimizer, transfers)


def _reads_what_is_gone(settings, transfers):
    """Which loss or metric reads a variable that `transfers` lead away from, in words; None if none
    does.
    """
    gone = {id(one.old) for one in transfers} - {id(one.new) for one in transfers}
    for name in ("loss", *METRICS):
        for path, thing in held((settings[name],)):
            if id(thing) in gone:
                return (
                    f"its `{name}` reads {thing.path!r} of the layers as they were, in "
                    f"`{name}{path.removeprefix('[0]')}`. Compile it as you did before, with one "
                    "that reads the new layers"
                )
    return None


def _leave_uncompiled(old, new, why, more="", stacklevel=5):
    warnings.warn(
        f"{old.name!r} is not compiled: {why}; the optimizer then starts afresh.{more}",
        UserWarning,
        stacklevel=stacklevel,
    )
    new.compiled = False


def new_optimizer(old, transfers):
    """An optimiser of the same class and settings, without state, for the new variables of
    `transfers`.

    One setting may differ: the `epsilon_1` of Adafactor is at least `ADAFACTOR_EPSILON` where
    packed kernels have partial blocks.
    """
    if old is None:
        return None
    if is_a(old, "MultiOptimizer"):
        return _new_multi_optimizer(old, transfers)
    config = private_keras.optimizer_config(old)
    if "inner_optimizer" in config:
        config["inner_optimizer"] = new_optimizer(old.inner_optimizer, transfers)
        return type(old)(**config)
    if untold := _untold(old, config):
        raise ValueError(f"its `get_config` lacks {listed(untold)}")
    if is_a(old, "Adafactor") and any(_is_padded(transfer.new) for transfer in transfers):
        config["epsilon_1"] = max(config["epsilon_1"], ADAFACTOR_EPSILON)
    return type(old).from_config(config)


def carry_optimizer_state(old, new, transfers):
    """Builds `new` for the counterparts of the variables that `old` was built for, and gives it the
    state of `old`. Variables of other models, which `old` may serve, too, are left out.

    A slot is carried over if it has the shape of its weight, or the same shape in both. Others
    start afresh: Adafactor's factors, and all that Muon keeps for a kernel that it trains by
    another rule once it is packed (Muon trains matrices, packed kernels are left to its AdamW).
    """
    if old is None or not old.built:
        return
    # First: before Keras 3.12 one that wraps another optimizer does not keep the variables.
    if hasattr(old, "inner_optimizer"):
        carry_optimizer_state(old.inner_optimizer, new.inner_optimizer, transfers)
    by_id = {id(transfer.old): transfer for transfer in transfers}
    known = private_keras.optimizer_variables(old)
    carried = {
        index: by_id[id(variable)] for index, variable in enumerate(known) if id(variable) in by_id
    }
    if not new.built and (carried or not known):
        new.build([transfer.new for transfer in carried.values()])
    for inner, new_inner in zip(getattr(old, "optimizers", ()), getattr(new, "optimizers", ())):
        carry_optimizer_state(inner, new_inner, transfers)
    private_keras.carry_decay_exclusions(
        old, new, [(transfer.old, transfer.new) for transfer in transfers]
    )
    for name, state in vars(old).items():
        if isinstance(state, keras.Variable) and isinstance(
            getattr(new, name, None), keras.Variable
        ):
            _assign(state, getattr(new, name), None)
    places = {
        id(variable): index for index, variable in enumerate(private_keras.optimizer_variables(new))
    }
    slots, new_slots = private_keras.slot_lists(old), private_keras.slot_lists(new)
    for index, transfer in carried.items():
        place = places.get(id(transfer.new))
        if place is None:  # a class that compiles itself may leave it out
            continue
        pairs = {
            name: (slots[name][index], new_slots[name][place])
            for name in slots
            if name in new_slots
        }
        same_rule = all((slot is None) == (new_slot is None) for slot, new_slot in pairs.values())
        for name, (slot, new_slot) in pairs.items():
            if (
                isinstance(slot, keras.Variable)
                and new_slot is not None
                and (same_rule or name in COMMON_SLOTS)
            ):
                _assign(slot, new_slot, transfer)


def is_a(optimizer, name):
    """Whether `optimizer` is of the class of this name in keras.optimizers, which an older Keras
    may not have.
    """
    return isinstance(optimizer, getattr(keras.optimizers, name, ()))


def _new_multi_optimizer(old, transfers):
    """A MultiOptimizer of new optimisers that gives every weight to the counterpart of the one that
    has it in `old`.
    """
    choose, copies = private_keras.optimizer_map(old), {}

    def copy(optimizer):
        if id(optimizer) not in copies:
            copies[id(optimizer)] = new_optimizer(optimizer, transfers)
        return copies[id(optimizer)]

    if is_a(choose, "OptimizerMap"):
        chosen = type(choose)(
            copy(choose.default_optimizer), {key: copy(one) for key, one in choose.items()}
        )
        for transfer in transfers:
            # A packed kernel has another name than the dense one, which the patterns of the map may
            # not know.
            wanted = copy(choose(transfer.old))
            if chosen(transfer.new) is not wanted:
                chosen[transfer.new.path] = wanted
    elif old.built:
        owners = {
            id(transfer.new): copy(owner)
            for transfer in transfers
            if (owner := private_keras.optimizer_of(old, transfer.old)) is not None
        }

        def chosen(variable):
            return owners[id(variable)]

    else:
        chosen = choose
    return type(old)(chosen, loss_scale_factor=old.loss_scale_factor, name=old.name)


def _is_padded(variable):
    constraint = variable.constraint
    return isinstance(constraint, PackedConstraint) and has_padding(constraint.grid)


def _assign(slot, new_slot, transfer):
    if transfer is not None and transfer.convert is not None and slot.shape == transfer.old.shape:
        # Where `old` has no weight the slot keeps its initial value, which need not be zero (and
        # must not, for Ftrl).
        known = transfer.convert(np.ones(slot.shape, bool))
        new_slot.assign(np.where(known, transfer.convert(slot.numpy()), new_slot.numpy()))
    elif slot.shape == new_slot.shape:
        new_slot.assign(slot)


def _new_metric(metric):
    if not isinstance(metric, keras.Metric):
        return metric
    try:
        config = metric.get_config()
        return metric if _untold(metric, config) else type(metric).from_config(config)
    except Exception:  # whatever a user's class raises
        # made of something that no config can hold: shared
        return metric


def _untold(thing, config):
    """The arguments that the constructor of an object of a user's class takes and that `config`,
    which its `from_config` hands on to it, lacks.
    """
    own = [kind for kind in type(thing).__mro__ if kind.__module__.split(".")[0] != "keras"]
    if type(thing) not in own or any("from_config" in vars(kind) for kind in own):
        return []
    parameters = list(inspect.signature(type(thing).__init__).parameters.values())[1:]  # self
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [one.name for one in parameters if one.kind in named and one.name not in config]
