"""What the tests of pruning share."""

from keras_sparse_rnn.schedules import Constant

HALF = Constant(0.5, 2)


def fit(model, data, *callbacks, epochs=1):
    return model.fit(*data, batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks))


def kernels(model):
    cell = model.get_layer("rnn").cell
    return cell.kernel, cell.recurrent_kernel
