"""Early stopping for models that are pruned while they train."""

import keras

from keras_sparse_rnn.pruning.mask_holder import MaskHolder
from keras_sparse_rnn.pruning.train_function import TrainFunction


class EarlyStopping(keras.callbacks.EarlyStopping):
    """`keras.callbacks.EarlyStopping` that looks only at epochs of the final sparsity.

        stopping = ksr.callbacks.EarlyStopping("val_loss", patience=3, restore_best_weights=True)
        model.fit(x, y, validation_split=0.1, epochs=50, callbacks=[pruning, stopping])

    A model is at its best, as a rule, before it is pruned. So Keras's own callback, with
    `restore_best_weights=True`, brings back weights that are not sparse; and with a short patience
    it ends the training before the schedule does. This one begins to compare when every
    `BlockPruning` and `UnitPruning` of the training is finished: the first epoch that counts is the
    first one that ends at the final sparsity. In a `fit` without them every epoch counts.

    Args:
        kwargs: those of `keras.callbacks.EarlyStopping`.
    """

    def on_epoch_end(self, epoch, logs=None):
        current = TrainFunction.of(self.model)
        participants = [] if current is None else current.participants
        if all(one.is_finished for one in participants if isinstance(one, MaskHolder)):
            super().on_epoch_end(epoch, logs)
