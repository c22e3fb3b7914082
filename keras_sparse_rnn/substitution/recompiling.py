"""Compiles a rebuilt model like the model that it was made from, down to what the optimiser has in mind."""

import keras


def recompile(old, new, transfers):
    """Compiles `new` like `old`, with an optimiser of its own that continues where that of `old` is.

    Loss, loss weights, `run_eagerly`, `steps_per_execution` and `jit_compile` are taken over; metrics and optimiser are new objects of the same
    class and settings. What the optimiser keeps per weight (momentum, moving averages, accumulated gradients) goes the way of the weight.

    Args:
        old: the model that may be compiled.
        new: the model to compile.
        transfers: list of `Transfer`, from the variables of `old` to those of `new`.
    """
    if not old.compiled or not hasattr(old, "_compile_config"):  # a class of its own may compile in its own way
        return
    settings = dict(old._compile_config.config)
    for name in ("metrics", "weighted_metrics"):
        settings[name] = keras.tree.map_structure(_new_metric, settings[name])
    settings["optimizer"] = new_optimizer(old.optimizer)
    settings["jit_compile"] = settings["jit_compile"] and all(layer.supports_jit for layer in new._flatten_layers())
    new.compile(**settings, auto_scale_loss=False)
    carry_optimizer_state(old.optimizer, new.optimizer, transfers)


def new_optimizer(old):
    """An optimiser of the same class and settings, without state."""
    if old is None:
        return None
    config = old.get_config()
    if "inner_optimizer" in config:
        config["inner_optimizer"] = new_optimizer(old.inner_optimizer)
        return type(old)(**config)
    rate = getattr(old, "_learning_rate", None)
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        config["learning_rate"] = (
            rate  # a pure function of the step: the object itself, so that it need not be registered
        )
    return type(old).from_config(config)


def carry_optimizer_state(old, new, transfers):
    """Builds `new` for the counterparts of the variables that `old` was built for, and gives it the state of `old`.

    A slot is carried over if it has the shape of its weight, or the same shape in both; others (Adafactor's factors) start afresh.
    """
    if old is None or not old.built:
        return
    by_id = {id(transfer.old): transfer for transfer in transfers}
    carried = [by_id[id(variable)] for variable in old._trainable_variables]
    if not new.built:
        new.build([transfer.new for transfer in carried])
    if hasattr(old, "inner_optimizer"):
        carry_optimizer_state(old.inner_optimizer, new.inner_optimizer, transfers)
    excluded = getattr(old, "_exclude_from_weight_decay", None)
    if excluded is not None:
        keys = {old._var_key(transfer.old): new._var_key(transfer.new) for transfer in transfers}
        new._exclude_from_weight_decay = {keys[key] for key in excluded if key in keys}
        new._exclude_from_weight_decay_pattern = old._exclude_from_weight_decay_pattern
    for name, state in vars(old).items():
        if name == "_trainable_variables":
            continue
        if isinstance(state, keras.Variable):
            _assign(state, getattr(new, name), None)
        elif isinstance(state, (list, tuple)) and len(state) == len(carried):
            # By Keras's convention slots stand in lists, in the order of the weights.
            for slot, new_slot, transfer in zip(state, getattr(new, name), carried):
                if isinstance(slot, keras.Variable):
                    _assign(slot, new_slot, transfer)


def _assign(slot, new_slot, transfer):
    if transfer is not None and transfer.convert is not None and slot.shape == transfer.old.shape:
        new_slot.assign(transfer.convert(slot.numpy()))
    elif slot.shape == new_slot.shape:
        new_slot.assign(slot)


def _new_metric(metric):
    if not isinstance(metric, keras.Metric):
        return metric
    try:
        return type(metric).from_config(metric.get_config())
    except (TypeError, ValueError):
        return metric  # made of something that no config can hold: shared, and reset at the start of every epoch
