"""Rebuilds a model layer by layer, with some of its layers replaced, and carries over everything
that the layers have learnt.
"""

import contextlib
import warnings

import keras

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.substitution.classes import in_its_class, in_keras_class, is_rebuildable
from keras_sparse_rnn.substitution.comparing import check_copies, check_predictions
from keras_sparse_rnn.substitution.copying import (
    carry_assets,
    copy_from_config,
    copy_of_lambda,
    copy_of_wrapper,
    inputs_of_copy,
    uncompiled,
)
from keras_sparse_rnn.substitution.kinds import is_block_sparse
from keras_sparse_rnn.substitution.outside import lacking
from keras_sparse_rnn.substitution.references import check_gone, replace_layers
from keras_sparse_rnn.substitution.sharing import check_nothing_shared, held_twice
from keras_sparse_rnn.substitution.twins import Transfer, transfers
from keras_sparse_rnn.substitution.walking import (
    CELL_HOLDERS,
    cells_of,
    is_users,
    keeps_its_place,
    sublayers,
    walk,
)


class Rebuilder:
    """Makes a copy of a Sequential or functional model, nested, wrapped and shared layers included;
    or changes a model of a user's class as it stands.

    A layer of a user's class is copied from its config, and its copy gets the new layers in the
    place of those that it has made.

    Args:
        replacements: a dict from `id(layer)` to the new layer, not built, that takes its place.
        compares: whether copies must compute the same: of models with a `call` of their own, and of
            layers of a user's class.
        transfers: what carries over from a replaced layer to its replacement: a function of both
            that returns a list of `Transfer`s.
    """

    def __init__(self, replacements, compares=True, transfers=transfers):
        self.replacements = replacements
        self.compares = compares
        self.transfers = transfers
        self._copies = {}
        self._holders = []
        self._held_twice = set()

    def rebuild(self, model):
        """Returns the copy and the list of `Transfer`s that were made from `model` to it."""
        self._held_twice = held_twice(model)
        with uncompiled(layer for layer in walk(model) if isinstance(layer, keras.Model)):
            copy = self._copy(model)
        for old, new in self._holders:  # grows while it lasts
            before = sublayers(new)  # kept alive, for ids are compared
            swaps = self._swaps(old, new)
            replace_layers(new, swaps)
            gone = [one for layer in before if id(layer) in swaps for one in layer.variables]
            stay = {id(one) for layer in sublayers(new) for one in layer.variables}
            check_gone(new, swaps, {id(one) for one in gone} - stay)
            del before, gone
        if self.compares:
            check_nothing_shared(model, self._copies)
        made = self._carried(model)
        if self.compares:
            self._compare(model)
        return copy, made

    def convert(self, model):
        """Replaces the layers in `model` itself, which is of a user's class. Returns the list of
        `Transfer`s; variables that stay are transferred to themselves.

        Raises:
            ValueError: an old layer would stay in use. Then `model` is as it was.
        """
        with uncompiled(layer for layer in walk(model) if isinstance(layer, keras.Model)):
            self._holders.append((model, model))
            for old, new in self._holders:  # grows while it lasts
                self._swaps(old, new)
        originals = [old for old in walk(model) if self._copies.get(id(old), old) is not old]
        swaps = {id(old): self._copies[id(old)] for old in originals}
        pairs = self._carried(model)
        private_keras.forget_functions(model)
        for holder, _ in self._holders:
            replace_layers(holder, swaps)
        gone = {id(transfer.old) for transfer in pairs} - {id(transfer.new) for transfer in pairs}
        try:
            check_gone(model, swaps, gone)
        except ValueError:
            back = {id(swaps[id(old)]): old for old in originals}
            for holder, _ in self._holders:
                replace_layers(holder, back)
            raise
        moved = {id(transfer.old) for transfer in pairs}
        return pairs + [Transfer(one, one) for one in model.variables if id(one) not in moved]

    def pairs(self, model):
        """`(layer, its copy)` for what has been copied of `model`, outer layers first."""
        return [
            (layer, self._copies[id(layer)])
            for layer in walk(model)
            if self._copies.get(id(layer), layer) is not layer
        ]

    def _compare(self, model):
        """Checks the copies of layers of a user's class; where something in them has been replaced,
        which may round, copies that were made with nothing replaced.
        """
        plain = Rebuilder({}, compares=False)

        def copy_of(layer):
            if not self._changes(layer):
                return self._copies.get(id(layer), layer)
            if not plain._copies:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # what is said of the copy that is kept
                    plain.rebuild(model)
            # What lies in a layer that is copied whole is compared as a part of that one.
            return plain._copies.get(id(layer), layer)

        check_copies(model, copy_of)

    def _swaps(self, old, new):
        """What takes the place of which layer right below `new`, a copy of `old` or itself: a dict
        from `id(layer)` to the layer.
        """
        swaps, olds, news = {}, sublayers(old), sublayers(new)
        if len(olds) != len(news) or any(
            type(theirs) is not type(mine) and not self._changes(theirs)
            for theirs, mine in zip(olds, news)
        ):
            raise ValueError(
                f"The layer {old.name!r} of class {type(old).__name__} cannot be copied: its copy, "
                "made from its config, has other layers. Expected: "
                f"{[type(layer).__name__ for layer in olds]}. Received: "
                f"{[type(layer).__name__ for layer in news]}"
            )
        for theirs, mine in zip(olds, news):
            stays = old is new and id(theirs) not in self.replacements and keeps_its_place(theirs)
            handed_on = old is not new and mine is theirs  # by a config, as an object
            if self._changes(theirs) and (stays or is_users(theirs)) and not handed_on:
                self._copies[id(theirs)] = mine
                self._holders.append((theirs, mine))
            elif (
                self._changes(theirs)
                or handed_on
                or (id(theirs) in self._copies and old is not new)
            ):
                with _named_like(theirs):
                    made = swaps[id(mine)] = self._copy(theirs)
                    if not made.built:
                        made.build_from_config(theirs.get_build_config())
            elif old is not new:
                self._copies.update(
                    (id(one), other) for one, other in zip(walk(theirs), walk(mine))
                )
        return swaps

    def _changes(self, layer):
        """Whether something in `layer` is replaced, or is not what its config makes."""
        return any(
            id(inner) in self.replacements or is_block_sparse(inner) for inner in walk(layer)
        )

    def _carried(self, model):
        """Carries over what the layers have learnt; returns the `Transfer`s."""
        pairs = self.pairs(model)
        made = [transfer for old, new in pairs for transfer in self._transfers(old, new)]
        for transfer in made:
            value = transfer.old.numpy()
            transfer.new.assign(value if transfer.convert is None else transfer.convert(value))
        for old, new in pairs:
            inside = any(id(inner) in self._copies for inner in sublayers(old))
            if id(old) not in self.replacements and not inside:
                carry_assets(old, new)
        self._carry_trainable(pairs, made)
        return made

    def _copy(self, layer):
        if id(layer) not in self._copies:
            self._copies[id(layer)] = self._made(layer)
        return self._copies[id(layer)]

    def _made(self, layer):
        if id(layer) in self.replacements:
            return self.replacements[id(layer)]
        if is_rebuildable(layer):
            clone = keras.models.clone_model(
                in_keras_class(layer), inputs_of_copy(layer), clone_function=self._copy
            )
            copy = in_its_class(layer, clone)
            if type(copy) is type(layer) and self.compares:
                check_predictions(
                    layer, lambda model: Rebuilder({}, compares=False).rebuild(model)[0]
                )
            return copy
        if type(layer) is keras.layers.Lambda:
            return copy_of_lambda(layer)
        shares = any(id(one) in self._held_twice for one in sublayers(layer))
        if is_users(layer):
            copy = copy_from_config(layer)
            handed_on = {id(one) for one in sublayers(layer)} & {id(one) for one in sublayers(copy)}
            if copy is not layer and (shares or handed_on or self._changes(layer)):
                self._holders.append((layer, copy))
            return copy
        if type(layer) in CELL_HOLDERS:  # each cell once, though several layers may hold it
            cells = [
                self._copy(one) if isinstance(one, keras.Layer) else one for one in cells_of(layer)
            ]
            inside = {"cells": cells} if hasattr(layer, "cells") else {"cell": cells[0]}
            try:
                config = layer.get_config()
            except (TypeError, NotImplementedError):  # of a cell without a config
                return copy_from_config(layer)
            return type(layer)(**{**config, **inside})
        deeper = [one for one in walk(layer) if one is not layer]
        if not shares and not any(
            self._changes(one) or type(one) is keras.layers.Lambda for one in deeper
        ):
            return copy_from_config(layer)
        config = layer.get_config()
        if isinstance(layer, keras.layers.Bidirectional):
            inner = {
                "layer": self._copy(layer.forward_layer),
                "backward_layer": self._copy(layer.backward_layer),
            }
            copy = type(layer)(**{**config, **inner})
            # It has made a forward layer of its own from the config of the one that it was given.
            replace_layers(copy, {id(copy.forward_layer): inner["layer"]})
            return copy
        return copy_of_wrapper(layer, self._copy(layer.layer))

    def _transfers(self, old, new):
        """What carries over between two layers, without the layers inside that have transfers of
        their own.
        """
        if id(old) in self.replacements:
            return self.transfers(old, new)
        inner = [
            (layer, self._copies[id(layer)])
            for layer in sublayers(old)
            if id(layer) in self._copies
        ]
        others = lacking(old, new).values() if is_rebuildable(old) else ()
        olds = _own_variables(old, [*(layer for layer, _ in inner), *sum(others, [])])
        news = _own_variables(new, [layer for _, layer in inner])
        if [variable.shape for variable in olds] != [variable.shape for variable in news]:
            raise ValueError(
                f"The layer {old.name!r} of class {type(old).__name__} cannot be copied: its copy, "
                "made from its config, has variables of other shapes. Expected: "
                f"{[tuple(v.shape) for v in olds]}. Received: {[tuple(v.shape) for v in news]}"
            )
        if type(old) is keras.layers.RNN and old.states is not None:  # no variables of it
            olds += keras.tree.flatten(old.states)
            news += keras.tree.flatten(new.states)
        return [Transfer(*variables) for variables in zip(olds, news)]

    def _carry_trainable(self, pairs, made):
        # A model sets the flag of all that is in it, so models come first and what they hold after
        # them.
        for old, new in sorted(pairs, key=lambda pair: not isinstance(pair[0], keras.Model)):
            new.trainable = old.trainable
        for transfer in made:
            if not transfer.quantized:
                transfer.new.trainable = transfer.old.trainable


@contextlib.contextmanager
def _named_like(layer):
    """While it lasts, the variables of new layers are named like those beside `layer`."""
    with contextlib.ExitStack() as scopes:
        for name in layer.path.split("/")[:-1]:
            scopes.enter_context(keras.name_scope(name))
        yield


def _own_variables(layer, without):
    inner = {id(variable) for other in without for variable in other.variables}
    return [variable for variable in layer.variables if id(variable) not in inner]
