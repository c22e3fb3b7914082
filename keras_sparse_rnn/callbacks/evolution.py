"""Networks that are sparse from the first step to the last, and change which blocks live."""

import math

import keras

from keras_sparse_rnn.callbacks.configs import deserialize_selector, serialize_selector
from keras_sparse_rnn.callbacks.evolution_arguments import (
    GROWTHS,
    SCOPES,
    check_end,
    check_fraction,
    check_gradients,
    in_words,
    last_step,
    warn_if_over,
)
from keras_sparse_rnn.layers.growth import GradientWatch
from keras_sparse_rnn.patterns import check_choice, check_flag
from keras_sparse_rnn.pruning.evolving import DROPS, find_evolving
from keras_sparse_rnn.pruning.participant import Participant, State
from keras_sparse_rnn.schedules.schedule import check_step
from keras_sparse_rnn.selectors import as_selectors
from keras_sparse_rnn.slots import check_slots


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class Evolution(Participant):
    """Exchanges live blocks of packed layers for dead ones while a model trains. No dense kernel,
    gradient or optimizer slot is ever there.

        layer = ksr.layers.BlockSparseLSTM(512, sparsity=0.9)
        ...
        model.fit(x, y, epochs=20, callbacks=[ksr.callbacks.Evolution()])

    Every `frequency` steps, before `end_step`, the share

        zeta = fraction / 2 * (1 + cos(pi * step / end_step))

    of the live blocks of each gate, those of the least mean square of weights, is dropped, and as
    many blocks of the gate begin to live, with weights of zero and fresh slots of the optimizer:

    - `growth="gradient"`: those of the largest mean squared gradient, as RigL (Evci et al. 2020,
      arXiv 1911.11134, equation 1 and algorithm 1) does with weights. The gradient is that of the
      step after which blocks are exchanged. It is taken a stripe of the kernel at a time, by one
      more run through the layer, and costs what a dense gradient costs: at 99 % sparsity as much as
      some hundred steps' worth of live gradients, so give a larger `frequency` there. A block that
      was dropped may be among the largest: then it stays as it was.
    - `growth="random"`: dead ones by chance, as SET (Mocanu et al. 2018, arXiv 1707.04780) and
      Selfish-RNN (Liu et al. 2021, arXiv 2101.09048) do. It costs next to nothing.

    The number of live blocks stays what it is, so do all shapes, and nothing is traced again. Which
    blocks live stands in the weights, and everything else follows from `optimizer.iterations`: a
    run that `BackupAndRestore` has resumed goes on as if it had not been interrupted.

    `logs` get `"exchanged"`, how many blocks the last exchange has replaced.

    Args:
        frequency: steps between two exchanges.
        fraction: the share of live blocks that is exchanged at first, in (0, 1).
        end_step: the step from which on nothing is exchanged, so that the last blocks have time to
            learn; `None`: three quarters of the steps of the `fit`, of all its epochs if it goes on
            with a training, else of those that it runs. Steps are counted from when the model was
            compiled, so several `fit`s, or a loop of them, need a number.
        growth: `"gradient"` or `"random"`.
        layers: which layers, as in `BlockPruning`; `None`: all packed ones, `BlockSparseDense`
            among them.
        drop: `"magnitude"`, or `"signs"`: the share is dropped of the blocks whose weights have a
            sum above zero, and of the others. With blocks of one weight that is SET.
        scope: where blocks compete, and of what the number stays: each `"gate"`, or the `"kernel"`.
        keep_diagonal: never drop the blocks that touch the diagonal of a gate of a recurrent kernel
            (see `keep_diagonal` of the layers, which lets them live from the start).
        optimizer: the optimizer whose steps are counted; `None`: that of the model.

    Raises:
        ValueError: an argument is out of its range. When training begins, before anything changes:
            no packed layer has dead blocks; a layer has no live ones, or is of masked storage; an
            optimizer keeps slots of which it is not known what a new weight begins with; gradients
            of dead blocks cannot be had (recurrent dropout, several replicas); no `end_step` where
            `fit` knows no number of steps; the model has been trained with other options up to this
            step. Later: weights or gradients are NaN or infinite.
    """

    task = "its blocks evolve"

    def __init__(
        self,
        frequency=100,
        fraction=0.3,
        end_step=None,
        growth="gradient",
        layers=None,
        *,
        drop="magnitude",
        scope="gate",
        keep_diagonal=False,
        optimizer=None,
    ):
        super().__init__(optimizer)
        self.frequency = check_step(frequency, "frequency", least=1)
        self.fraction = check_fraction(fraction)
        self.end_step = end_step if end_step is None else check_step(end_step, "end_step", least=1)
        if self.end_step is not None:
            check_end(self.end_step, self.frequency)
        self.growth = check_choice(growth, GROWTHS, "growth")
        if layers is not None:
            as_selectors(layers)
        self.layers = layers
        self.drop = check_choice(drop, DROPS, "drop")
        self.scope = check_choice(scope, SCOPES, "scope")
        self.keep_diagonal = check_flag(keep_diagonal, "keep_diagonal")
        self.exchanged = 0
        self._kernels, self._watches = [], {}
        self._end = self._done = self._first_epoch = None

    @property
    def blocks(self):
        """The numbers of the live blocks, int32, by the name of the kernel."""
        return {one.name: one.blocks.numpy().copy() for one in self._kernels}

    def share(self, step):
        """The fraction of live blocks to exchange at `step`: `zeta` above."""
        end = self.end_step if self._end is None else self._end
        if end is None:
            raise ValueError(
                "`end_step` must be given before `fit` has told how many steps there will be. "
                "Received: end_step=None"
            )
        return self.fraction / 2 * (1 + math.cos(math.pi * min(step, end) / end))

    def on_epoch_begin(self, epoch, logs=None):
        if self.state is not State.RUNNING:
            self._first_epoch = epoch

    def find(self):
        end = self.end_step
        if end is None:
            end = last_step(self.params, self._steps.counted, self.frequency)
        kernels = find_evolving(self.model, self.layers, self.keep_diagonal)
        # Not by the first step: a run that is resumed has come further by then.
        warn_if_over(self._steps.count(), end, self.frequency, self.end_step is not None)
        for optimizer in self._steps.optimizers:
            for one in kernels:
                check_slots(optimizer, one.values)
        if self.growth == "gradient":
            check_gradients(self.model, kernels)
        return end, kernels

    def find_again(self):
        return self._end, self.find()[1]

    def install(self, found):
        self._end, self._kernels = found

    def begin_run(self, step):
        """By the first step all restoring has been done: the blocks that live now are those to go
        on with.
        """
        if self.end_step is None and not step and self._first_epoch:
            self._end = last_step(
                self.params, self._steps.counted, self.frequency, self._first_epoch
            )
        options = self._options()
        for layer in self._layers():
            if step and layer.evolution is not None and layer.evolution != options:
                raise ValueError(
                    f"The blocks of {layer.name!r} have evolved with other options up to step "
                    f"{step}: (frequency, fraction, end_step, growth, drop, scope, keep_diagonal) "
                    f"were {in_words(layer.evolution)}. Go on with these, or compile the model "
                    f"anew, which begins at step 0. Received: {in_words(options)}"
                )
        for layer in self._layers():
            layer.evolution = options
        self._done, self.exchanged = self._trigger(step), 0
        if self.growth == "gradient":
            self._watch()

    def before_step(self, step):
        coming = self._done + self.frequency
        if self.growth == "gradient" and coming < self._end:
            for layer in self._layers():
                if layer.watch.armed != coming - 1:
                    layer.watch.arm(coming - 1)

    def after_step(self, step):
        trigger = self._trigger(step)
        if trigger <= self._done:
            return
        if self.growth == "gradient":
            for layer in self._layers():
                layer.watch.check()
        chosen = []
        for one in self._kernels:
            dropped = one.weakest(self.share(trigger), self.scope, self.drop)
            if self.growth == "gradient":
                grown = one.by_gradient(dropped, self.scope)
            else:
                grown = one.by_chance(dropped, self.scope, trigger)
            chosen.append((one, dropped, grown))
        self.exchanged = sum(
            one.exchange(dropped, grown, self._steps.optimizers) for one, dropped, grown in chosen
        )
        self._done = trigger

    def remove(self):
        for layer in self._layers():
            layer.watch = None

    def traced(self):
        return tuple(layer.watch for layer in self._layers() if layer.watch is not None)

    def figures(self):
        return {"exchanged": self.exchanged}

    def write_logs(self, logs):
        logs.setdefault("exchanged", self.exchanged)

    def get_config(self):
        self.check_config()
        return {
            "frequency": self.frequency,
            "fraction": self.fraction,
            "end_step": self.end_step,
            "growth": self.growth,
            "layers": serialize_selector(self.layers),
            "drop": self.drop,
            "scope": self.scope,
            "keep_diagonal": self.keep_diagonal,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "layers": deserialize_selector(config.get("layers"))})

    def _layers(self):
        """The layers of the kernels, each once."""
        return list(dict.fromkeys(one.layer for one in self._kernels))

    def _trigger(self, step):
        """The last step up to `step` at which blocks are exchanged; 0 if there is none."""
        return min(step, self._end - 1) // self.frequency * self.frequency

    def _watch(self):
        """Puts a `GradientWatch` into each layer: those of an earlier run, if they fit, with which
        the training step has been traced.
        """
        optimizer = self._steps.counted
        counter = getattr(optimizer, "inner_optimizer", optimizer)
        for layer in self._layers():
            counts, lives = [0] * len(layer.grids), [0] * len(layer.grids)
            for one in self._kernels:
                if one.layer is layer:
                    most = one.most(self.scope)
                    counts[one.index] = min(most, math.ceil(self.fraction * most) + 1)
                    lives[one.index] = one.values.shape[0]
            wanted = (counts, lives, self.scope, counter)
            known, watch = self._watches.get(id(layer), (None, None))
            if known != wanted:
                grids = layer.grids

                def step(counter=counter):
                    return counter.iterations

                watch = GradientWatch(layer.name, counts, lives, self.scope, grids, step)
                self._watches[id(layer)] = wanted, watch
            watch.arm(-1)
            layer.watch = watch

    def _options(self):
        """What a resumed run must have in common with the one before, as numbers."""
        choices = (
            GROWTHS.index(self.growth),
            DROPS.index(self.drop),
            SCOPES.index(self.scope),
            self.keep_diagonal,
        )
        return tuple(map(float, (self.frequency, self.fraction, self._end, *choices)))
