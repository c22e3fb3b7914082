"""Finding the kernels of a model that can be sparse.

`find_kernels` walks a model of any make (Sequential, functional, nested, subclassed; Bidirectional,
TimeDistributed, RNN around one cell or a stack of cells) and returns one `Kernel` record for each
weight matrix: the variable itself, its gates and sizes, and the layer that owns it.

Which layers is the caller's choice. `layers=None` means every recurrent layer. Otherwise a
selector, or a list of them:

- a `str`: the name of a layer or its path (`"encoder/lstm"`), exactly or as a pattern (`"lstm_*"`,
  `"encoder/*"`);
- a type: `keras.layers.GRU`;
- a predicate: `lambda layer: layer.units >= 256`. It is given the layers that own kernels
  (recurrent layers, their cells, `Dense`) and those around them (`Bidirectional`, nested models),
  no others.

A selector that matches a container (a nested model, `Bidirectional`, the layer around a cell)
selects the recurrent kernels inside it. `Dense` layers are taken only when they are selected
themselves, or by a wrapper right around them (`TimeDistributed`)."""

import dataclasses
import warnings

import keras
import numpy as np

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.checks import check_keras_model
from keras_sparse_rnn.patterns import BlockGrid
from keras_sparse_rnn.selectors import as_selectors, is_owner, is_recurrent, path, selects

GATE_NAMES = (
    ((keras.layers.LSTM, keras.layers.LSTMCell), ("i", "f", "c", "o")),
    ((keras.layers.GRU, keras.layers.GRUCell), ("z", "r", "h")),
    ((keras.layers.SimpleRNN, keras.layers.SimpleRNNCell), ("h",)),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Kernel:
    """One kernel `[inputs, gates * units]` of a model.

    Attributes:
        layer: the layer around the cell, as a user knows it (`LSTM`, `RNN`); of a `Dense` layer,
            itself.
        cell: the layer that owns the variable (`LSTMCell`); of a `Dense` layer, itself.
        variable: the `keras.Variable`.
        role: `"kernel"` (from the inputs) or `"recurrent_kernel"` (from the previous state).
        gate_names: one name for each gate, in the order of the columns: LSTM `i, f, c, o`, GRU `z,
            r, h`.
        inputs: rows.
        units: columns of one gate.
        path: the names of the layers from the model down to the owner, joined by "/".
        chain: those layers.
    """

    layer: keras.Layer
    cell: keras.Layer
    variable: keras.Variable
    role: str
    gate_names: tuple
    inputs: int
    units: int
    path: str
    chain: tuple

    @property
    def gates(self):
        """How many gates stand side by side."""
        return len(self.gate_names)

    @property
    def name(self):
        """`path` and `role`: unique in the model."""
        return f"{self.path}/{self.role}"

    def grid(self, block_shape):
        """The `BlockGrid` that cuts this kernel into blocks of `block_shape`."""
        return BlockGrid(self.inputs, self.units, self.gates, tuple(block_shape))

    def numpy(self):
        """The weights now, in the variable's dtype."""
        return to_numpy(self.variable)


def find_kernels(model, layers=None, *, strict=True):
    """The kernels of the selected layers, in the order of the model, each once even if its layer is
    shared.

    Args:
        model: a built `keras.Model` or layer.
        layers: which layers: `None` for all recurrent ones, or a selector or a list of selectors
            (see the module's docstring).
        strict: raise and warn as told below; if not, what cannot be found is left out in silence.

    Returns:
        list of `Kernel`.

    Raises:
        ValueError: `model` is no Keras 3 model or layer, no kernel was found, a selector matches
            no layer, or a selected layer is not built.

    Warns:
        UserWarning: selected layers have weights but none that can be pruned; it names them.
    """
    check_keras_model(model, layers=True)
    selectors = None if layers is None else as_selectors(layers)
    places = list(walk(model))
    kernels, refused, matched = [], {}, set()
    for chain in places:
        hits = [
            number for number, selector in enumerate(selectors or ()) if selects(selector, chain)
        ]
        matched.update(hits)
        if hits if selectors is not None else is_recurrent(chain[-1]):
            found = _kernels_of(chain, strict)
            kernels += found
            if not found and _reason(chain[-1]):
                refused[id(chain[-1])] = chain
    kernels = _unique(kernels)
    if strict:
        _complain(model, layers, selectors, places, kernels, refused, matched)
    return kernels


def is_built(model):
    """Whether all layers of `model` have their weights. (A model whose `call` nobody uses, such as
    a GAN, may not be built itself.)
    """
    inside = private_keras.inner_layers(model, include_self=False)
    return all(layer.built for layer in inside) if inside else model.built


def to_numpy(variable):
    """The value of a variable or tensor. (Keras's `convert_to_numpy` of a variable makes NumPy 2
    warn.)
    """
    return np.asarray(variable.numpy())


def matches(selector, kernel):
    """Whether `selector` selects a `Kernel` that `find_kernels` has returned, by its owner or a
    layer around it.
    """
    return selects(selector, kernel.chain)


def short_names(kernels):
    """One short name for each kernel, unique among them: the layer's name and the role, longer only
    where two would be equal."""
    for depth in range(1, max((k.path.count("/") for k in kernels), default=0) + 2):
        names = [_short(k, depth) for k in kernels]
        if len(set(names)) == len(names):
            return names
    return [k.name.replace("/", "_") for k in kernels]


def walk(layer, chain=(), seen=None):
    """Yields, for each layer below `layer`, the chain of layers that leads to it, once for each
    layer.
    """
    seen = {id(layer)} if seen is None else seen
    children = private_keras.inner_layers(layer, include_self=False, recursive=False)
    if not chain and is_owner(layer):
        yield (layer,)
    for child in children:
        if id(child) not in seen:
            seen.add(id(child))
            yield chain + (child,)
            yield from walk(child, chain + (child,), seen)


def _kernels_of(chain, strict):
    """The `Kernel` records of the variables that the last layer of `chain` owns itself."""
    owner = chain[-1]
    if not is_owner(owner):
        return []
    if not owner.built:
        if strict:
            _raise_unbuilt(path(chain))
        return []
    recurrent = not isinstance(owner, keras.layers.Dense)
    roles = ("kernel", "recurrent_kernel") if recurrent else ("kernel",)
    layer = (
        next((one for one in reversed(chain) if isinstance(one, keras.layers.RNN)), owner)
        if recurrent
        else owner
    )
    records = []
    for role in roles:
        variable = getattr(owner, role, None)
        if not isinstance(variable, keras.Variable) or len(variable.shape) != 2:
            continue
        inputs, columns = variable.shape
        units = owner.units
        if columns % units == 0 and keras.backend.is_float_dtype(variable.dtype):
            gate_names = _gate_names(owner, columns // units) if recurrent else ("",)
            records.append(
                Kernel(layer, owner, variable, role, gate_names, inputs, units, path(chain), chain)
            )
    return records


def _gate_names(owner, gates):
    for types, names in GATE_NAMES:
        if isinstance(owner, types) and len(names) == gates:
            return names
    return tuple(str(number) for number in range(gates))


def _reason(layer):
    """Why a selected layer has no kernel to prune; `None` if it has no weights of its own and goes
    unmentioned.
    """
    if isinstance(layer, keras.layers.RNN):
        if any(is_owner(one) for one in private_keras.inner_layers(layer, include_self=False)):
            return None
        return (
            f"the kernels of {type(layer.cell).__name__} are not matrices [inputs, gates * units]"
        )
    if private_keras.own_trainable_variables(layer) and not is_owner(layer):
        return f"{type(layer).__name__} has no kernel [inputs, gates * units]"
    if hasattr(layer, "kernel_values"):
        return 'its weights are packed; use storage="masked" while pruning'
    if is_owner(layer) and layer.built:
        return "its kernel is not a plain float variable"
    return None


def _complain(model, layers, selectors, places, kernels, refused, matched):
    names = (
        ", ".join(
            dict.fromkeys(
                chain[0].name for chain in places if type(chain[0]) is not keras.layers.InputLayer
            )
        )
        or "none"
    )
    for number, selector in enumerate(selectors or ()):
        if number not in matched:
            raise ValueError(
                f"`layers` must match layers of the model; {selector!r} matches none. It has: "
                f"{names}"
            )
    listed = "; ".join(f"{path(chain)} ({_reason(chain[-1])})" for chain in refused.values())
    if not kernels:
        if not getattr(model, "built", True):
            _raise_unbuilt(model.name)
        what = (
            "recurrent layer (LSTM, GRU, SimpleRNN or their cells)"
            if layers is None
            else f"kernel in {layers!r}"
        )
        raise ValueError(
            f"The model must have a {what} that can be pruned. {model.name!r} has the layers: "
            f"{names}" + (f". Not these: {listed}" if listed else "")
        )
    if listed:
        warnings.warn(
            f"These selected layers cannot be pruned and stay as they are: {listed}", stacklevel=3
        )


def _raise_unbuilt(name):
    raise ValueError(
        f"The model must be built before its kernels are looked for: {name} has no weights yet. "
        "Call the model on a batch, or `model.build(input_shape)`, first."
    )


def _unique(kernels):
    """Drops variables that were met before, and gives equal paths a number."""
    result, variables, paths = [], set(), {}
    for kernel in kernels:
        if id(kernel.variable) in variables:
            continue
        variables.add(id(kernel.variable))
        owners = paths.setdefault(kernel.path, [])
        if kernel.cell not in owners:
            owners.append(kernel.cell)
        number = owners.index(kernel.cell)
        if number:
            kernel = dataclasses.replace(kernel, path=f"{kernel.path}#{number + 1}")
        result.append(kernel)
    return result


def _short(kernel, depth):
    """The role after the last `depth` names of the path; the cell's own name says nothing beside
    its layer's.
    """
    names = kernel.path.split("/")
    if kernel.cell is not kernel.layer and len(names) > 1 and kernel.layer.name == names[-2]:
        names = names[:-1]
    return "_".join(names[-depth:] + [kernel.role])
